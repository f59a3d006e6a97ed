//! Items and notes.

use chrono::{DateTime, Utc};

use super::{Books, Desk, How, Invalid, stored};
use crate::simulator::xero::{
    amount::Fine,
    body::{HistoryBody, ItemBody},
};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    pub id: String,
    pub code: String,
    pub name: Option<String>,
    pub description: Option<String>,
    pub is_sold: bool,
    pub is_purchased: bool,
    pub unit_price: Option<Fine>,
    pub account_code: Option<String>,
    pub tax_type: Option<String>,
    pub updated_at: DateTime<Utc>,
}

/// A note in the history of something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    pub details: String,
    pub at: DateTime<Utc>,
}

impl Books {
    pub(in crate::simulator::xero) fn item_place(&self, id: &str) -> Option<usize> {
        self.items.iter().position(|item| item.id == id)
    }

    pub(in crate::simulator::xero) fn save_item(
        &mut self,
        sent: &ItemBody,
        how: How,
        desk: Desk<'_>,
    ) -> Result<usize, Invalid> {
        let mut problems = Invalid::new();
        let coded = |code: &String| self.items.iter().position(|item| item.code == *code);
        let target = match how {
            How::Create => None,
            How::CreateOrUpdate => {
                let by_id = sent.item_id.as_deref().and_then(|id| self.item_place(id));
                by_id.or_else(|| sent.code.as_ref().and_then(coded))
            }
            How::Update(at) => Some(at),
        };
        let code = sent.code.clone().unwrap_or_default();
        if code.is_empty() {
            problems.push("Code is required for an item".to_owned());
        }
        if coded(&code).is_some_and(|at| Some(at) != target) {
            problems.push(format!("Price List Item with Code '{code}' already exists"));
        }
        for (member, text, longest) in [
            ("Code", Some(&code), 30),
            ("Name", sent.name.as_ref(), 50),
            ("Description", sent.description.as_ref(), 4_000),
        ] {
            if text.is_some_and(|text| text.chars().count() > longest) {
                problems.push(format!("{member} is longer than {longest} characters"));
            }
        }
        if sent.inventory_asset_account_code.is_some() {
            problems.push("The simulated organisation tracks no inventory".to_owned());
        }
        let details = sent.sales_details.clone().unwrap_or_default();
        if let Some(code) = details.account_code.as_deref()
            && self.organisation.account(code).is_none_or(|account| account.is_archived)
        {
            problems.push(format!("Account code '{code}' is not a valid code for this document"));
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let before = target.map(|at| self.items[at].clone());
        let item = Item {
            id: before.as_ref().map_or_else(|| self.new_id("item"), |item| item.id.clone()),
            code,
            name: sent.name.clone().or_else(|| before.as_ref().and_then(|item| item.name.clone())),
            description: sent.description.clone().or_else(|| before.as_ref().and_then(|item| item.description.clone())),
            is_sold: sent.is_sold.or(before.as_ref().map(|item| item.is_sold)).unwrap_or(true),
            is_purchased: sent.is_purchased.or(before.as_ref().map(|item| item.is_purchased)).unwrap_or(true),
            unit_price: details.unit_price.map(|price| price.rounded(desk.places)),
            account_code: details.account_code,
            tax_type: details.tax_type,
            updated_at: self.touch(desk.now),
        };
        Ok(stored(&mut self.items, target, item))
    }

    /// Writes a note into the history of the thing with this id.
    pub(in crate::simulator::xero) fn annotate(
        &mut self,
        id: &str,
        sent: &HistoryBody,
        desk: Desk<'_>,
    ) -> Result<usize, Invalid> {
        let Some(details) = sent.details.clone().filter(|details| !details.is_empty()) else {
            return Err(vec!["Details is required".to_owned()]);
        };
        let note = Note { details, at: self.touch(desk.now) };
        let notes = self.history.entry(id.to_owned()).or_default();
        notes.push(note);
        Ok(notes.len() - 1)
    }
}

/// What a person does in Xero.
impl Books {
    /// An item that is sold, without a price.
    pub fn add_item_by_hand(&mut self, code: &str, name: &str, now: DateTime<Utc>) {
        let item = Item {
            id: self.new_id("item"),
            code: code.to_owned(),
            name: Some(name.to_owned()),
            description: None,
            is_sold: true,
            is_purchased: false,
            unit_price: None,
            account_code: None,
            tax_type: None,
            updated_at: self.touch(now),
        };
        self.items.push(item);
    }
}
