//! Customers. What is changed of one through the API is remembered: nobody should.

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::{Desk, Refused, Store};
use crate::simulator::lightspeed::{
    body::{CustomerDetails, Named},
    text::{is_postcode, masked},
};

#[derive(Debug, Clone)]
pub struct Customer {
    pub id: String,
    pub code: String,
    pub details: CustomerDetails,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    pub deleted_at: Option<DateTime<Utc>>,
    pub version: u64,
}

impl Customer {
    pub fn is_there(&self) -> bool {
        self.deleted_at.is_none()
    }

    /// Empty where it has none.
    pub fn name(&self) -> String {
        let names = [self.details.first_name.text(), self.details.last_name.text()];
        names.into_iter().flatten().collect::<Vec<_>>().join(" ")
    }
}

/// A customer's details were changed, or the customer was deleted, through the API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Overwrite {
    pub customer_id: String,
    pub is_deletion: bool,
}

impl Store {
    pub(in super::super) fn customer_place(&self, id: &str) -> Result<usize, Refused> {
        let found = self.customers.iter().position(|customer| customer.id == id && customer.is_there());
        found.ok_or_else(|| Refused::missing("customer", id))
    }

    pub(in super::super) fn create_customer(
        &mut self,
        details: &CustomerDetails,
        desk: Desk<'_>,
    ) -> Result<usize, Refused> {
        let details = check(details, desk)?;
        let code = details.customer_code.clone();
        let is_taken =
            |code: &String| self.customers.iter().any(|customer| customer.is_there() && customer.code == *code);
        // Assumed: "Customer code used for claiming loyalty" names one customer.
        if code.as_ref().is_some_and(is_taken) {
            return Err(Refused::wrong("a customer with this customer_code is there already"));
        }
        Ok(self.add_customer(details, code, desk.now))
    }

    pub(super) fn add_customer(&mut self, details: CustomerDetails, code: Option<String>, now: DateTime<Utc>) -> usize {
        let id = self.new_id("customer");
        let version = self.next_version();
        let prefix = details.first_name.text().unwrap_or("UNNAMED");
        let code = code.unwrap_or_else(|| format!("{prefix}-{}", id[..4].to_ascii_uppercase()));
        self.customers.push(Customer {
            id,
            code,
            details,
            created_at: now,
            updated_at: now,
            deleted_at: None,
            version,
        });
        self.customers.len() - 1
    }

    pub(in super::super) fn update_customer(
        &mut self,
        id: &str,
        details: &CustomerDetails,
        desk: Desk<'_>,
    ) -> Result<usize, Refused> {
        let place = self.customer_place(id)?;
        let details = check(details, desk)?;
        let version = self.next_version();
        let customer = &mut self.customers[place];
        customer.code = details.customer_code.clone().unwrap_or_else(|| customer.code.clone());
        customer.details = details;
        (customer.updated_at, customer.version) = (desk.now, version);
        self.overwrites.push(Overwrite { customer_id: id.to_owned(), is_deletion: false });
        Ok(place)
    }

    pub(in super::super) fn delete_customer(&mut self, id: &str, now: DateTime<Utc>) -> Result<(), Refused> {
        let place = self.customer_place(id)?;
        self.remove_customer(place, now);
        self.overwrites.push(Overwrite { customer_id: id.to_owned(), is_deletion: true });
        Ok(())
    }

    pub(super) fn remove_customer(&mut self, place: usize, now: DateTime<Utc>) {
        let version = self.next_version();
        let customer = &mut self.customers[place];
        (customer.deleted_at, customer.updated_at, customer.version) = (Some(now), now, version);
    }
}

/// The details as they are kept. What looks like a card in them is masked without a word.
fn check(details: &CustomerDetails, desk: Desk<'_>) -> Result<CustomerDetails, Refused> {
    if desk.generation.is_strict() && desk.rules.strict_postcodes {
        let addresses = [
            (&details.physical_country_id, &details.physical_postcode),
            (&details.postal_country_id, &details.postal_postcode),
        ];
        for (country, code) in addresses {
            if let (Some(country), Some(code)) = (country, code)
                && !is_postcode(country, code)
            {
                let status = axum::http::StatusCode::BAD_REQUEST;
                return Err(Refused { status, reason: format!("{code} is no postal code of {country}") });
            }
        }
    }
    let mut kept = details.clone();
    for name in [&mut kept.first_name, &mut kept.last_name] {
        if let Named::Text(text) = name {
            *text = masked(text);
        }
    }
    let texts = [
        &mut kept.note,
        &mut kept.company_name,
        &mut kept.physical_address_1,
        &mut kept.physical_address_2,
        &mut kept.postal_address_1,
        &mut kept.postal_address_2,
        &mut kept.custom_field_1,
        &mut kept.custom_field_2,
        &mut kept.custom_field_3,
        &mut kept.custom_field_4,
    ];
    for text in texts.into_iter().flatten() {
        *text = masked(text);
    }
    Ok(kept)
}
