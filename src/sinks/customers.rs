//! Which record in a destination is the customer of an order: linked once, never overwritten.
//!
//! In this order, and the first that succeeds wins: what a person linked; what was linked before; our code in the
//! destination's field for foreign ids; an e-mail that exactly one active record has; a record that is made. People are
//! never told apart by name. Where none of it tells who it is, or the record is gone, the sink's one record of the house
//! stands in, and a person is told why.
//!
//! A sink lends its eyes and hands ([`Directory`]); it has no way here to change a record that exists.

pub mod settings;

use std::time::Duration;

use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

pub use self::settings::{CustomerFields, Customers};
use super::{
    Answer,
    links::{How, Link, LinkKey, LinkKind, LinkStore, Linked, MayMake},
    oauth::StoreFailed,
};
use crate::{
    config::pointer::Pointer,
    domain::{
        delivery::{About, Alert, Outcome, Reason, Sent},
        ids::SinkName,
    },
};

/// Longest code and e-mail, which every destination takes.
const LONGEST_CODE: usize = 50;
const LONGEST_EMAIL: usize = 255;
/// Stands before a customer's id in the code of his record, in every sink.
pub const PREFIX: &str = "SCF-C-";
/// Of a customer whose id is too long for a code. Assumed: no id is written like one.
const BYTES_OF_A_DIGEST: usize = 12;
/// How long others leave the making of a record to the one that began it, beyond its call.
const MAKING_MARGIN: Duration = Duration::from_secs(15);
/// When one that was left to another is looked at again.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// Who ordered, as far as the configuration points to it. Personal data: never stored, logged or told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Customer {
    /// The platform's id of the customer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// As it was written; never one that many share.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phone: Option<String>,
}

/// The customer's id in the code of his record. None: the code is a digest of something longer, or none of ours.
pub fn account_of(code: &str) -> Option<&str> {
    let id = code.strip_prefix(PREFIX).filter(|id| !id.is_empty())?;
    let may_be_digest = id.len() == 2 * BYTES_OF_A_DIGEST && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    (!may_be_digest).then_some(id)
}

/// The customer of an order, from the order as received. None: nobody can be told by id or e-mail.
pub fn customer_of(settings: &Customers, payload: &str) -> Option<Customer> {
    let payload: Value = serde_json::from_str(payload).ok()?;
    let fields = &settings.fields;
    let text = |pointer: Option<&Pointer>| Some(pointer?.text(&payload)?.to_owned());
    let email = text(fields.email.as_ref()).filter(|email| personal(email, &settings.relays).is_some());
    let id = fields.id.as_ref().and_then(|at| id_at(at, &payload));
    if id.is_none() && email.is_none() {
        return None;
    }
    Some(Customer { id, name: text(fields.name.as_ref()), email, phone: text(fields.phone.as_ref()) })
}

/// An id may be a number.
fn id_at(pointer: &Pointer, payload: &Value) -> Option<String> {
    match pointer.value(payload)? {
        Value::Number(number) => Some(number.to_string()),
        other => other.as_str().map(str::trim).filter(|id| !id.is_empty()).map(str::to_owned),
    }
}

/// In lower case; none for what is no address, or one behind which there may be anybody.
fn personal(email: &str, relays: &[String]) -> Option<String> {
    let email = email.trim().to_lowercase();
    let is_relay = |relay: &String| {
        let relay = relay.trim().to_lowercase();
        !relay.is_empty() && (email.starts_with(&relay) || email.ends_with(&relay))
    };
    let looks_right = email.split_once('@').is_some_and(|(who, host)| !who.is_empty() && host.contains('.'))
        && !email.contains(|c: char| c.is_whitespace() || c.is_control() || "<>".contains(c));
    (looks_right && email.len() <= LONGEST_EMAIL && !relays.iter().any(is_relay)).then_some(email)
}

/// A customer as he can be told from others.
#[derive(Debug)]
pub struct Recognised<'c> {
    /// Of his link.
    pub key: String,
    pub id: Option<&'c str>,
    /// Of the record that is made for him.
    pub code: String,
    /// In lower case. None where it may be many people's.
    pub email: Option<String>,
    /// Never empty.
    pub name: String,
    pub phone: Option<String>,
}

impl<'c> Recognised<'c> {
    /// None: nothing tells who it is.
    pub fn by(customer: &'c Customer, relays: &[String]) -> Option<Self> {
        let id = customer.id.as_deref().map(str::trim).filter(|id| !id.is_empty());
        let email = customer.email.as_deref().and_then(|email| personal(email, relays));
        let key = id.map(str::to_owned).or_else(|| email.clone())?;
        let code = match id {
            Some(id) if PREFIX.len() + id.chars().count() <= LONGEST_CODE => format!("{PREFIX}{id}"),
            // An address is not to stand in a code that everybody sees.
            _ => format!("{PREFIX}{}", hex::encode(&Sha256::digest(&key)[..BYTES_OF_A_DIGEST])),
        };
        let told = |text: &Option<String>| text.as_deref().map(tidy).filter(|text| !text.is_empty());
        Some(Self {
            name: told(&customer.name).unwrap_or_else(|| format!("Scoffable customer {}", &code[PREFIX.len()..])),
            phone: told(&customer.phone),
            key,
            id,
            code,
            email,
        })
    }
}

/// A customer's text without what looks like markup.
fn tidy(text: &str) -> String {
    let plain: String = text.chars().map(|c| if c.is_control() || "<>".contains(c) { ' ' } else { c }).collect();
    plain.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// No longer than it may be, in characters.
pub fn cut(text: &str, longest: usize) -> String {
    text.chars().take(longest).collect::<String>().trim_end().to_owned()
}

/// What is known of a record there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum There {
    /// It can be named, by this id: its own, or that of the record which the destination itself calls its survivor.
    Active(String),
    Not(NoRecord),
}

/// Why no record of the customer is named; the cause of an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoRecord {
    /// Several customers, or several records, share an e-mail.
    Ambiguous,
    /// It is archived, obsolete or stopped.
    Archived,
    Gone,
    /// Other records have all the names that one for him could have.
    NameTaken,
    /// The destination does not want one made.
    Refused,
}

impl NoRecord {
    fn cause(self) -> &'static str {
        match self {
            Self::Ambiguous => "ambiguous_customer",
            Self::Archived => "customer_archived",
            Self::Gone => "customer_gone",
            Self::NameTaken => "customer_name_taken",
            Self::Refused => "customer_refused",
        }
    }

    /// What to do about it, for a person.
    fn hint(self) -> &'static str {
        match self {
            Self::Ambiguous => {
                "several customers or records share an e-mail, so the order bears the one of the house: link the customer by \
                 hand in `customer_links`"
            }
            Self::Archived => {
                "the customer's record is archived, so the order bears the one of the house: restore it, or link another"
            }
            Self::Gone => {
                "the customer's record is gone, so the order bears the one of the house: link another in `customer_links`"
            }
            Self::NameTaken => {
                "records of the customer's name are there already, so the order bears the one of the house: link one of them \
                 in `customer_links`"
            }
            Self::Refused => {
                "no record can be made of the customer, so the order bears the one of the house: make one there and link it in \
                 `customer_links`"
            }
        }
    }
}

impl NoRecord {
    /// One for each e-mail, else for each customer, however many orders he has.
    pub fn alert(self, customer: &Customer) -> Alert {
        let email = customer.email.as_deref().map(|email| email.trim().to_lowercase());
        let who = email.or_else(|| customer.id.clone()).unwrap_or_default();
        let about = About::Customer(hex::encode(&Sha256::digest(who)[..BYTES_OF_A_DIGEST]));
        Alert { cause: self.cause(), about, detail: self.hint().to_owned() }
    }
}

/// How a record came to be the customer's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Came {
    /// It is the one of the house.
    House,
    /// A person linked it.
    Configured,
    Linked,
    Created,
}

/// The record that a document names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Named {
    pub id: String,
    pub how: Came,
}

/// A destination's records of customers. What fails to be asked or said is an [`Answer`] that the whole step gets.
pub trait Directory: Send {
    /// The record of this id, or its survivor.
    fn by_id<'a>(&'a mut self, id: &'a str) -> BoxFuture<'a, Result<There, Answer>>;

    /// Whatever has our code, in whatever state. None: nothing has.
    fn by_code<'a>(&'a mut self, code: &'a str) -> BoxFuture<'a, Result<Option<There>, Answer>>;

    /// Each active record with exactly this address, which is in lower case.
    fn by_email<'a>(&'a mut self, email: &'a str) -> BoxFuture<'a, Result<Vec<There>, Answer>>;

    /// Makes a record with our code. To be safe against being asked twice for one customer.
    fn make<'a>(&'a mut self, customer: &'a Recognised<'_>) -> BoxFuture<'a, Result<There, Answer>>;
}

/// What it takes to link customers.
#[derive(Debug)]
pub struct Linker<'l> {
    pub sink: &'l SinkName,
    pub links: &'l dyn LinkStore,
    pub settings: &'l Customers,
    /// Longest that the making of one record takes.
    pub timeout: Duration,
}

impl Linker<'_> {
    /// The record of a customer, found or made; or why there is none to name. None: nothing tells who it is.
    pub async fn find(
        &self,
        directory: &mut dyn Directory,
        customer: &Customer,
    ) -> Result<Option<Result<Named, NoRecord>>, Answer> {
        let Some(customer) = Recognised::by(customer, &self.settings.relays) else { return Ok(None) };
        self.recognise(directory, &customer).await.map(Some)
    }

    async fn recognise(
        &self,
        directory: &mut dyn Directory,
        customer: &Recognised<'_>,
    ) -> Result<Result<Named, NoRecord>, Answer> {
        let key = LinkKey { sink: self.sink, kind: LinkKind::Customer, local_key: &customer.key };
        if let Some(by_hand) = self.settings.by_hand(customer.id, customer.email.as_deref()) {
            // Whatever became of writing it down: a person has said so.
            self.links.link(key, by_hand, How::Manual).await.map_err(|error| unstored(&error))?;
            return Ok(match directory.by_id(by_hand).await? {
                There::Active(id) => Ok(Named { id, how: Came::Configured }),
                There::Not(why) => Err(why),
            });
        }
        if let Some(link) = self.links.find(key).await.map_err(|error| unstored(&error))? {
            return self.linked(directory, key, link).await;
        }
        if let Some(there) = directory.by_code(&customer.code).await? {
            return self.found(directory, key, there, How::Id).await;
        }
        if let Some(email) = &customer.email {
            let mut alike = directory.by_email(email).await?;
            match alike.len() {
                0 => {}
                1 => return self.found(directory, key, alike.remove(0), How::Email).await,
                _ => return Ok(Err(NoRecord::Ambiguous)),
            }
        }
        match self.links.attempt(key, self.timeout + MAKING_MARGIN).await.map_err(|error| unstored(&error))? {
            MayMake::Yes => {
                let made = directory.make(customer).await?;
                self.found(directory, key, made, How::Created).await
            }
            MayMake::Linked(link) => self.linked(directory, key, link).await,
            MayMake::Busy => Err(Outcome::Throttled { not_before: Some(LOOK_AGAIN) }.into()),
        }
    }

    async fn linked(
        &self,
        directory: &mut dyn Directory,
        key: LinkKey<'_>,
        link: Link,
    ) -> Result<Result<Named, NoRecord>, Answer> {
        if link.is_broken {
            return Ok(Err(NoRecord::Gone));
        }
        let how = if link.how == How::Manual { Came::Configured } else { Came::Linked };
        Ok(match directory.by_id(&link.remote_id).await? {
            There::Active(id) => {
                if id != link.remote_id
                    && self.links.follow(key, &id).await.map_err(|error| unstored(&error))? == Linked::Taken
                {
                    return Ok(Err(NoRecord::Ambiguous));
                }
                Ok(Named { id, how })
            }
            There::Not(why) => Err(why),
        })
    }

    /// One that was recognised or made is linked, unless another customer has it.
    async fn found(
        &self,
        directory: &mut dyn Directory,
        key: LinkKey<'_>,
        there: There,
        how: How,
    ) -> Result<Result<Named, NoRecord>, Answer> {
        let id = match there {
            There::Active(id) => id,
            There::Not(why) => return Ok(Err(why)),
        };
        let came = if how == How::Created { Came::Created } else { Came::Linked };
        Ok(match self.links.link(key, &id, how).await.map_err(|error| unstored(&error))? {
            Linked::Yes => Ok(Named { id, how: came }),
            Linked::Otherwise(link) => return self.linked(directory, key, link).await,
            Linked::Taken => Err(NoRecord::Ambiguous),
        })
    }
}

/// Links could not be read or written: nothing was sent, and the step is tried again.
pub fn unstored(error: &StoreFailed) -> Answer {
    tracing::warn!(error = error.0.as_ref(), "link store could not be asked");
    Outcome::Retry { reason: Reason::ConnectFailed, sent: Sent::No, not_before: None }.into()
}

#[cfg(test)]
mod tests;
