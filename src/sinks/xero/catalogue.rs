//! Xero's items and contacts as a catalogue: what was changed, and one of them as it stands.
//!
//! An item is named by its code, as lines of documents name it; stock is a part of it. Of a contact nothing is kept that is
//! personal: its id, our own number for the customer, and a digest.
//!
//! Source: Xero Accounting API description 16.1.0: `Items` knows no pages and lists everything that was changed
//! (`If-Modified-Since`); `Contacts` has pages, and leaves archived ones out unless `includeArchived` is set.

use chrono::{DateTime, Utc};

use super::{
    api::{Asking, Since},
    client::Client,
    config::{ContactMode, ItemMode, XeroSettings},
    records::IN_ONE_ADDRESS,
    wire,
};
use crate::{
    config::Kept,
    domain::{
        catalogue::{Costs, Cursor, Kind, Looked, Page, Record, RemoteState, Span, digest},
        sale::normalised,
    },
    sinks::{
        Turns,
        catalogue::{ByHand, Catalogue, Missed, Reading, heard, in_turn},
        customers::{PREFIX, account_of},
        links::LinkKind,
    },
};

const ITEMS: &str = "Items";
const CONTACTS: &str = "Contacts";

/// Documents travel 25 a call and their payments too; alone an order takes two.
const COSTS: Costs = Costs { product: 1, customer: 1, ten_orders: 20, documents_at_once: IN_ONE_ADDRESS as u32 };

impl XeroSettings {
    /// What is kept of the organisation: items where lines name them, contacts where customers have one.
    pub fn kept(&self) -> Kept<'_> {
        let items = (self.items.mode != ItemMode::None).then_some(Kind::Product);
        let contacts = (self.contacts.mode == ContactMode::PerCustomer).then_some(Kind::Customer);
        Kept {
            settings: &self.catalogue,
            time_zone: self.time_zone,
            kinds: items.into_iter().chain(contacts).collect(),
            costs: COSTS,
        }
    }
}

impl Catalogue for Client {
    fn kinds(&self) -> Vec<Kind> {
        self.settings.kept().kinds
    }

    fn changes<'a>(&'a self, kind: Kind, span: Span, turns: &'a dyn Turns, now: DateTime<Utc>) -> Reading<'a, Page> {
        Box::pin(async move {
            let since = match span.since {
                Some(Cursor::At(at)) => Some(at),
                Some(Cursor::Version(_)) | None => None,
            };
            let mut asking = Asking::new(&self.api, now);
            match kind {
                Kind::Product => {
                    let read = read(&mut asking, ITEMS, &[], since, turns).await?;
                    let records = read.listing.items.into_iter().flat_map(|item| of_item(&item)).collect();
                    Ok(Page { records, date: read.date, version: None, has_more: false })
                }
                Kind::Customer => {
                    let (page, page_size) = (span.page.to_string(), span.page_size.to_string());
                    let query = [("page", &*page), ("pageSize", &*page_size), ("includeArchived", "true")];
                    let read = read(&mut asking, CONTACTS, &query, since, turns).await?;
                    let n_pages = read.listing.pagination.as_ref().and_then(|pagination| pagination.page_count);
                    let records: Vec<Record> =
                        read.listing.contacts.into_iter().filter_map(|contact| of_contact(&contact)).collect();
                    Ok(Page { records, date: read.date, version: None, has_more: span.page < n_pages.unwrap_or(1) })
                }
                Kind::Stock | Kind::Document => Ok(Page::default()),
            }
        })
    }

    fn look<'a>(
        &'a self,
        kind: Kind,
        remote_id: &'a str,
        turns: &'a dyn Turns,
        now: DateTime<Utc>,
    ) -> Reading<'a, Looked> {
        Box::pin(async move {
            let mut asking = Asking::new(&self.api, now);
            let records: Vec<Record> = match kind {
                Kind::Product => {
                    let filter = format!("Code==\"{remote_id}\"");
                    // A filter cannot quote a quotation mark; all items are one call as well.
                    let can_be_named = !remote_id.contains(['"', '\\']);
                    let query: &[(&str, &str)] = if can_be_named { &[("where", &filter)] } else { &[] };
                    let read = read(&mut asking, ITEMS, query, None, turns).await?;
                    let it = read.listing.items.iter().find(|item| item.code.as_deref() == Some(remote_id));
                    it.into_iter().flat_map(of_item).collect()
                }
                Kind::Customer => {
                    let listing = in_turn(turns, asking.read(&[CONTACTS, remote_id], &[])).await?;
                    let it = listing.and_then(|listing| listing.contacts.into_iter().next());
                    it.as_ref().and_then(of_contact).into_iter().collect()
                }
                Kind::Stock | Kind::Document => Vec::new(),
            };
            Ok(if records.is_empty() { Looked::Absent } else { Looked::Found(records) })
        })
    }

    fn count<'a>(&'a self, kind: Kind, turns: &'a dyn Turns, now: DateTime<Utc>) -> Reading<'a, Option<u64>> {
        Box::pin(async move {
            if kind != Kind::Customer {
                // All items are one call, however many there are.
                return Ok((kind == Kind::Product).then_some(1));
            }
            let one = [("page", "1"), ("pageSize", "1"), ("includeArchived", "true")];
            let read = read(&mut Asking::new(&self.api, now), CONTACTS, &one, None, turns).await?;
            let told = read.listing.pagination.unwrap_or_default();
            // Pages of one record each are as many as records.
            Ok(told.item_count.or(told.page_count.map(u64::from)))
        })
    }

    fn by_hand(&self) -> Vec<ByHand> {
        let kinds = self.kinds();
        let products = self.settings.items.item_codes.iter().map(|(dish, code)| ByHand {
            kind: LinkKind::Product,
            local_key: normalised(dish),
            remote_id: code.clone(),
        });
        let customers = self.settings.contacts.customers.linked_by_hand();
        let products = products.filter(|_| kinds.contains(&Kind::Product));
        products.chain(customers.filter(|_| kinds.contains(&Kind::Customer))).collect()
    }

    fn costs(&self) -> Costs {
        COSTS
    }
}

/// Takes the next turn for a listing. What the answer told is heard of in any case.
async fn read(
    asking: &mut Asking<'_>,
    path: &str,
    query: &[(&str, &str)],
    since: Option<DateTime<Utc>>,
    turns: &dyn Turns,
) -> Result<Since, Missed> {
    if !turns.next().await {
        return Err(Missed::NoTurn);
    }
    match asking.read_since(&[path], query, since).await {
        Ok(read) => {
            turns.heard(&read.limits, 0).await;
            Ok(read)
        }
        Err(answer) => Err(heard(turns, answer).await),
    }
}

/// The item, and its stock where Xero keeps that. None without a code: no line could name it.
fn of_item(item: &wire::Item) -> Vec<Record> {
    let Some(code) = item.code.clone().filter(|code| !code.is_empty()) else { return Vec::new() };
    let sales = item.sales_details.clone().unwrap_or_default();
    let modified_at = item.updated_date_utc.map(|at| at.0);
    // Assumed: what is not sold any more is refused on an invoice, as what is archived elsewhere.
    let is_sold = item.is_sold.unwrap_or(true);
    let product = Record {
        kind: Kind::Product,
        remote_id: code.clone(),
        key: Some(code.clone()),
        name: item.name.clone(),
        remote_version: None,
        remote_modified_at: modified_at,
        remote_state: if is_sold { RemoteState::Active } else { RemoteState::Archived },
        fields_hash: digest(&[
            item.item_id.as_deref(),
            Some(&code),
            item.name.as_deref(),
            Some(if is_sold { "sold" } else { "not sold" }),
            sales.unit_price.as_ref().map(wire::Number::as_str),
            sales.account_code.as_deref(),
            sales.tax_type.as_deref(),
        ]),
        survivor: None,
        local_key: None,
    };
    let on_hand = item.quantity_on_hand.as_ref().filter(|_| item.is_tracked_as_inventory);
    let stock = on_hand.map(|on_hand| Record {
        kind: Kind::Stock,
        name: None,
        remote_state: RemoteState::Active,
        fields_hash: digest(&[Some(on_hand.as_str())]),
        ..product.clone()
    });
    [product].into_iter().chain(stock).collect()
}

fn of_contact(contact: &wire::Contact) -> Option<Record> {
    let remote_id = contact.contact_id.clone()?;
    let number = contact.contact_number.as_deref();
    let survivor = contact.merged_to_contact_id.clone();
    Some(Record {
        kind: Kind::Customer,
        key: number.filter(|number| number.starts_with(PREFIX)).map(str::to_owned),
        name: None,
        remote_version: None,
        remote_modified_at: contact.updated_date_utc.map(|at| at.0),
        remote_state: if contact.is_active() && survivor.is_none() {
            RemoteState::Active
        } else {
            RemoteState::Archived
        },
        fields_hash: digest(&[
            Some(&remote_id),
            number,
            contact.contact_status.as_deref(),
            contact.name.as_deref(),
            contact.email_address.as_deref(),
            survivor.as_deref(),
        ]),
        local_key: number.filter(|_| contact.is_active()).and_then(account_of).map(str::to_owned),
        survivor,
        remote_id,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(json: &str) -> wire::Item {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn an_item_is_named_by_its_code_and_its_stock_is_no_change_of_it() {
        let plain = of_item(&item(r#"{"ItemID": "0b7d0d3f", "Code": "LAMB", "Name": "Lamb", "IsSold": true}"#));
        let tracked = |on_hand: u32| {
            let start = r#"{"ItemID": "0b7d0d3f", "Code": "LAMB", "Name": "Lamb", "IsTrackedAsInventory": true"#;
            of_item(&item(&format!(r#"{start}, "QuantityOnHand": {on_hand}}}"#)))
        };
        let (four, three) = (tracked(4), tracked(3));

        assert_eq!((plain.len(), plain[0].remote_id.as_str(), plain[0].remote_state), (1, "LAMB", RemoteState::Active));
        assert_eq!((four.len(), four[1].kind, four[1].remote_id.as_str()), (2, Kind::Stock, "LAMB"));
        assert_eq!(four[0].fields_hash, three[0].fields_hash);
        assert_ne!(four[1].fields_hash, three[1].fields_hash);
        assert!(of_item(&item(r#"{"Name": "without a code"}"#)).is_empty());
    }

    #[test]
    fn what_is_not_sold_any_more_is_not_to_be_used() {
        let state = |text: &str| of_item(&item(text))[0].remote_state;

        assert_eq!(state(r#"{"Code": "A", "IsSold": false}"#), RemoteState::Archived);
        assert_eq!(state(r#"{"Code": "A"}"#), RemoteState::Active);
    }

    #[test]
    fn of_a_contact_nothing_personal_is_kept_and_our_number_tells_whose_it_is() {
        let contact: wire::Contact = serde_json::from_str(
            r#"{"ContactID": "6f0e2a44", "ContactNumber": "SCF-C-77", "Name": "Ines Marlow", "EmailAddress": "ines@example.org"}"#,
        )
        .unwrap();

        let record = of_contact(&contact).unwrap();

        assert_eq!((record.key.as_deref(), record.local_key.as_deref()), (Some("SCF-C-77"), Some("77")));
        let kept = serde_json::to_string(&record).unwrap();
        assert!(!kept.contains("Ines") && !kept.contains("ines@"), "{kept}");
    }
}
