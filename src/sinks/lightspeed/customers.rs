//! The shop's customers, for those who link them.
//!
//! A customer that is linked is never changed: no request here names one in its path but to read it.
//!
//! Source: Lightspeed X-Series API 2.0, `search`, `Customer`, whose first and last names are required and may be `null`.
//! Source: the owner's pages as api-evangelist/lightspeed sums them up: texts that look like card numbers are masked without a
//! word, so nothing that was written is compared but the code.

use futures::future::BoxFuture;
use reqwest::Method;
use serde::Serialize;

use super::{
    api::{Asking, Heard},
    wire::{self, Customer, Data},
};
use crate::{
    domain::delivery::{Outcome, Reason},
    sinks::{
        Answer,
        customers::{Directory, NoRecord, Recognised, There, cut},
    },
};

/// Longest texts. Assumed: no limit is documented.
const LONGEST_NAME: usize = 255;
const LONGEST_PHONE: usize = 50;

pub struct Customers<'c, 'a> {
    pub asking: &'c mut Asking<'a>,
}

fn there(customer: Customer) -> Option<There> {
    let id = customer.id?;
    Some(if customer.deleted_at.is_none() { There::Active(id) } else { There::Not(NoRecord::Gone) })
}

impl Directory for Customers<'_, '_> {
    fn by_id<'a>(&'a mut self, id: &'a str) -> BoxFuture<'a, Result<There, Answer>> {
        Box::pin(async move {
            let found: Option<Data<Customer>> = self.asking.read_as(&["customers", id], &[]).await?;
            Ok(found.and_then(|found| there(found.data)).unwrap_or(There::Not(NoRecord::Gone)))
        })
    }

    fn by_code<'a>(&'a mut self, code: &'a str) -> BoxFuture<'a, Result<Option<There>, Answer>> {
        Box::pin(async move {
            let found: Vec<Customer> = self.asking.search("customers", "customer_code", code).await?;
            let ours = found.into_iter().find(|customer| customer.customer_code.as_deref() == Some(code));
            Ok(ours.and_then(there))
        })
    }

    fn by_email<'a>(&'a mut self, email: &'a str) -> BoxFuture<'a, Result<Vec<There>, Answer>> {
        Box::pin(async move {
            let found: Vec<Customer> = self.asking.search("customers", "email", email).await?;
            let is_it = |customer: &Customer| {
                let theirs = customer.email.as_deref().map(|theirs| theirs.trim().to_lowercase());
                customer.deleted_at.is_none() && theirs.as_deref() == Some(email)
            };
            Ok(found.into_iter().filter(is_it).filter_map(there).collect())
        })
    }

    fn make<'a>(&'a mut self, customer: &'a Recognised<'_>) -> BoxFuture<'a, Result<There, Answer>> {
        Box::pin(async move {
            #[derive(Serialize)]
            struct Body<'b> {
                first_name: Option<&'b str>,
                last_name: &'b str,
                customer_code: &'b str,
                #[serde(skip_serializing_if = "Option::is_none")]
                email: Option<&'b str>,
                #[serde(skip_serializing_if = "Option::is_none")]
                phone: Option<String>,
                do_not_email: bool,
            }
            let name = cut(&customer.name, LONGEST_NAME);
            let (first_name, last_name) = match name.rsplit_once(' ') {
                Some((first, last)) => (Some(first), last),
                None => (None, name.as_str()),
            };
            let body = Body {
                first_name,
                last_name,
                customer_code: &customer.code,
                email: customer.email.as_deref(),
                phone: customer.phone.as_deref().map(|phone| cut(phone, LONGEST_PHONE)),
                do_not_email: true,
            };
            let body = serde_json::to_string(&body).expect("plain data");
            let heard = self.asking.write(Method::POST, &["customers"], body).await?;
            match Made::of(&heard) {
                Made::Yes(id) => Ok(There::Active(id)),
                Made::Refused => Ok(There::Not(NoRecord::Refused)),
                Made::Unreadable => Err(heard.into_answer(Outcome::Unknown { reason: Reason::UnreadableAnswer })),
            }
        })
    }
}

/// What became of a record that was to be made.
pub enum Made {
    /// It is there, by this id.
    Yes(String),
    /// The shop does not want it.
    Refused,
    /// The answer cannot be read.
    Unreadable,
}

impl Made {
    pub fn of(heard: &Heard) -> Self {
        if !heard.answer.status.is_success() {
            return Self::Refused;
        }
        wire::made_id(&heard.answer.body).map_or(Self::Unreadable, Self::Yes)
    }
}
