//! Whose name an order's documents bear.
//!
//! A customer is recognised by our code, then by e-mail if exactly one active customer has it, never by name. A customer that is
//! linked is never changed: `POST` would overwrite it, so it goes to GUIDs of our own only, and to none that is there. Documents
//! bear the GUID and nothing else. Where nobody can be told, the customer of the house stands in, and a person is told why.
//!
//! Source: Unleashed API documentation, `/Customers`: `customerCode` and `contactEmail` filter by the beginning, so what is
//! found is compared; codes are unique.

use futures::future::BoxFuture;
use reqwest::Method;
use serde::Serialize;

use super::{
    api::Asking,
    guid,
    signature::{Query, is_plain},
    wire::{Customer, Page},
};
use crate::{
    domain::delivery::{Outcome, Reason},
    sinks::{
        Answer,
        customers::{Directory, NoRecord, Recognised, There, cut},
    },
};

/// Longest texts. Assumed: they are not documented, and less than others take.
const LONGEST_NAME: usize = 100;
const LONGEST_PHONE: usize = 25;
const PAGE_SIZE: &str = "200";

/// The customer of this GUID. None: there is none.
pub async fn by_guid(asking: &mut Asking<'_>, guid: &str) -> Result<Option<There>, Answer> {
    let customer: Option<Customer> = asking.read(&["Customers", guid], &Query::default()).await?;
    Ok(customer.map(|customer| state(&customer, guid)))
}

fn state(customer: &Customer, guid: &str) -> There {
    if customer.obsolete || customer.stop_credit {
        return There::Not(NoRecord::Archived);
    }
    There::Active(guid.to_owned())
}

/// The account's customers.
pub struct Customers<'c, 'a> {
    pub asking: &'c mut Asking<'a>,
}

impl Customers<'_, '_> {
    async fn search(&mut self, filter: &str, value: &str) -> Result<Vec<Customer>, Answer> {
        let query = Query::of(&[(filter, value), ("includeObsolete", "true"), ("pageSize", PAGE_SIZE)]);
        let page: Page<Customer> = self.asking.list(&["Customers"], &query).await?;
        Ok(page.items)
    }

    async fn put(&mut self, customer: &Recognised<'_>) -> Result<There, Answer> {
        let own = guid::of_customer(&customer.code);
        if let Some(there) = by_guid(self.asking, &own).await? {
            return Ok(there);
        }
        let name = cut(&customer.name, LONGEST_NAME);
        let body = serde_json::to_string(&NewCustomer {
            guid: &own,
            customer_code: &customer.code,
            customer_name: &name,
            email: customer.email.as_deref(),
            phone_number: customer.phone.as_deref().map(|phone| cut(phone, LONGEST_PHONE)),
            source_id: &customer.code,
        });
        let body = body.expect("plain data");
        let heard = self.asking.write(Method::POST, &["Customers", &own], Some(&body)).await?;
        if heard.is_success() {
            return Ok(There::Active(own));
        }
        if heard.is_not_found() {
            return Err(heard.into_answer(Outcome::Reject { reason: Reason::NotFound }));
        }
        Ok(There::Not(NoRecord::Refused))
    }
}

impl Directory for Customers<'_, '_> {
    fn by_id<'a>(&'a mut self, id: &'a str) -> BoxFuture<'a, Result<There, Answer>> {
        Box::pin(async move { Ok(by_guid(self.asking, id).await?.unwrap_or(There::Not(NoRecord::Gone))) })
    }

    fn by_code<'a>(&'a mut self, code: &'a str) -> BoxFuture<'a, Result<Option<There>, Answer>> {
        Box::pin(async move {
            if !is_plain(code) {
                return by_guid(self.asking, &guid::of_customer(code)).await;
            }
            let found = self.search("customerCode", code).await?;
            let customer = found.into_iter().find(|customer| customer.customer_code.as_deref() == Some(code));
            Ok(customer.and_then(|customer| Some(state(&customer, customer.guid.as_deref()?))))
        })
    }

    /// An address may need escapes: then the client finds out which form of the query is signed.
    fn by_email<'a>(&'a mut self, email: &'a str) -> BoxFuture<'a, Result<Vec<There>, Answer>> {
        Box::pin(async move {
            let found = self.search("contactEmail", email).await?;
            let is_it = |customer: &Customer| {
                let theirs = customer.email.as_deref().map(|theirs| theirs.trim().to_lowercase());
                theirs.as_deref() == Some(email) && !customer.obsolete && !customer.stop_credit
            };
            Ok(found.into_iter().filter(is_it).filter_map(|customer| customer.guid).map(There::Active).collect())
        })
    }

    fn make<'a>(&'a mut self, customer: &'a Recognised<'_>) -> BoxFuture<'a, Result<There, Answer>> {
        Box::pin(self.put(customer))
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct NewCustomer<'a> {
    guid: &'a str,
    customer_code: &'a str,
    customer_name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    phone_number: Option<String>,
    source_id: &'a str,
}
