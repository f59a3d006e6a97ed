//! Whose name an order's documents bear.
//!
//! A customer is recognised by our number, then by e-mail if exactly one active contact has it, never by name. A contact
//! that is linked is never changed: no request here names one in its path but to read it, and documents bear its id only.
//! Where nobody can be told, or the contact is archived or gone, the one contact of the house stands in, and a person is
//! told why.
//!
//! Source: Xero Accounting API description 16.1.0, `Contact`: the number is set by the API only and meant for foreign ids;
//! `searchTerm` looks into names, numbers and e-mails; names are unique among active contacts.

use std::time::Duration;

use reqwest::Method;
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::{
    api::{Asking, Write},
    call,
    config::Contacts as Settings,
    reading::Shared,
    receipt::{ContactHeld, ContactHow},
    refusal::Why,
    wire::{self, Contact},
};
use crate::{
    domain::{
        delivery::{About, Alert, Outcome, Reason, Sent},
        ids::SinkName,
    },
    sinks::{
        Answer,
        links::{How, Link, LinkKey, LinkKind, LinkStore, Linked, MayMake},
        oauth::StoreFailed,
    },
};

/// Longest texts. Source: Xero Accounting API, `Contact`.
const LONGEST_NAME: usize = 255;
const LONGEST_EMAIL: usize = 255;
const LONGEST_NUMBER: usize = 50;
const LONGEST_PHONE: usize = 50;
/// Stands before a customer's id in the number of his contact, in every sink.
const PREFIX: &str = "SCF-C-";
/// How long others leave the making of a contact to the one that began it, beyond its call.
const MAKING_MARGIN: Duration = Duration::from_secs(15);
/// When one that was left to another is looked at again.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
/// Longest chain of mergers that is followed.
const MOST_MERGERS: usize = 5;

/// A contact for an order, and what a person should know about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    pub held: ContactHeld,
    pub alert: Option<Alert>,
}

/// What it takes to find one.
#[derive(Debug)]
pub struct Finder<'f> {
    pub sink: &'f SinkName,
    pub links: &'f dyn LinkStore,
    pub shared: &'f Shared,
    pub settings: &'f Settings,
    pub timeout: Duration,
}

/// Whether a record there can be used.
enum Use {
    Active(String),
    /// Why not; the cause of the alert.
    Not(&'static str),
}

/// Causes of alerts.
const AMBIGUOUS: &str = "ambiguous_customer";
const ARCHIVED: &str = "customer_archived";
const GONE: &str = "customer_gone";
const NAME_TAKEN: &str = "customer_name_taken";
const REFUSED: &str = "customer_refused";

impl Finder<'_> {
    /// Finds or makes the contact of a call.
    pub async fn find(&self, asking: &mut Asking<'_>, wanted: &call::Contact) -> Result<Found, Answer> {
        let (customer, house_name) = match wanted {
            call::Contact::House { name } => (None, name),
            call::Contact::Customer { customer, house_name } => {
                (Recognised::by(customer, &self.settings.customer_relays), house_name)
            }
        };
        let not = match customer {
            None => None,
            Some(customer) => match self.customer(asking, &customer).await? {
                Ok(held) => return Ok(Found { held, alert: None }),
                Err(cause) => Some(cause),
            },
        };
        let id = self.house(asking, house_name).await?;
        Ok(Found { held: ContactHeld { id, how: ContactHow::House }, alert: not.map(alert) })
    }

    /// The contact of a customer, or why there is none to use.
    async fn customer(
        &self,
        asking: &mut Asking<'_>,
        customer: &Recognised<'_>,
    ) -> Result<Result<ContactHeld, &'static str>, Answer> {
        let key = LinkKey { sink: self.sink, kind: LinkKind::Customer, local_key: &customer.key };
        if let Some(by_hand) = self.by_hand(customer) {
            // Whatever became of writing it down: a person has said so.
            self.links.link(key, by_hand, How::Manual).await.map_err(|error| unstored(&error))?;
            return Ok(match self.usable(asking, by_hand).await? {
                Use::Active(id) => Ok(ContactHeld { id, how: ContactHow::Configured }),
                Use::Not(cause) => Err(cause),
            });
        }
        if let Some(link) = self.links.find(key).await.map_err(|error| unstored(&error))? {
            return self.linked(asking, key, link).await;
        }
        if let Some(there) = numbered(asking, &customer.number).await? {
            return self.recognised(asking, key, there, How::Id).await;
        }
        if let Some(email) = &customer.email {
            let mut alike = with_email(asking, email).await?;
            match alike.len() {
                0 => {}
                1 => return self.recognised(asking, key, alike.remove(0), How::Email).await,
                _ => return Ok(Err(AMBIGUOUS)),
            }
        }
        match self.links.attempt(key, self.timeout + MAKING_MARGIN).await.map_err(|error| unstored(&error))? {
            MayMake::Yes => self.make(asking, key, customer).await,
            MayMake::Linked(link) => self.linked(asking, key, link).await,
            MayMake::Busy => Err(Outcome::Throttled { not_before: Some(LOOK_AGAIN) }.into()),
        }
    }

    /// The contact that a person named in the configuration.
    fn by_hand(&self, customer: &Recognised<'_>) -> Option<&str> {
        let named = self.settings.customer_links.iter().find(|(named, _)| {
            Some(named.as_str()) == customer.id
                || customer.email.as_ref().is_some_and(|email| *email == named.trim().to_lowercase())
        });
        named.map(|(_, contact_id)| contact_id.as_str())
    }

    async fn linked(
        &self,
        asking: &mut Asking<'_>,
        key: LinkKey<'_>,
        link: Link,
    ) -> Result<Result<ContactHeld, &'static str>, Answer> {
        if link.is_broken {
            return Ok(Err(GONE));
        }
        let how = if link.how == How::Manual { ContactHow::Configured } else { ContactHow::Linked };
        Ok(match self.usable(asking, &link.remote_id).await? {
            Use::Active(id) => {
                if id != link.remote_id
                    && self.links.follow(key, &id).await.map_err(|error| unstored(&error))? == Linked::Taken
                {
                    return Ok(Err(AMBIGUOUS));
                }
                Ok(ContactHeld { id, how })
            }
            Use::Not(cause) => Err(cause),
        })
    }

    /// One that was recognised is linked, unless another customer has it.
    async fn recognised(
        &self,
        asking: &mut Asking<'_>,
        key: LinkKey<'_>,
        there: Contact,
        how: How,
    ) -> Result<Result<ContactHeld, &'static str>, Answer> {
        let id = match self.survivor(asking, there).await? {
            Use::Active(id) => id,
            Use::Not(cause) => return Ok(Err(cause)),
        };
        Ok(match self.links.link(key, &id, how).await.map_err(|error| unstored(&error))? {
            Linked::Yes => Ok(ContactHeld { id, how: ContactHow::Linked }),
            Linked::Otherwise(link) => return self.linked(asking, key, link).await,
            Linked::Taken => Err(AMBIGUOUS),
        })
    }

    async fn usable(&self, asking: &mut Asking<'_>, contact_id: &str) -> Result<Use, Answer> {
        let listing = asking.read(&["Contacts", contact_id], &[]).await?;
        match listing.and_then(|listing| listing.contacts.into_iter().next()) {
            Some(there) => self.survivor(asking, there).await,
            None => Ok(Use::Not(GONE)),
        }
    }

    /// Follows mergers to the one that Xero itself names.
    async fn survivor(&self, asking: &mut Asking<'_>, mut there: Contact) -> Result<Use, Answer> {
        for _ in 0..MOST_MERGERS {
            let Some(survivor) = there.merged_to_contact_id.take() else {
                return Ok(match there.contact_id {
                    Some(id) if there.contact_status.as_deref().is_none_or(|status| status == "ACTIVE") => {
                        Use::Active(id)
                    }
                    Some(_) => Use::Not(ARCHIVED),
                    None => Use::Not(GONE),
                });
            };
            let listing = asking.read(&["Contacts", &survivor], &[]).await?;
            match listing.and_then(|listing| listing.contacts.into_iter().next()) {
                Some(next) => there = next,
                None => return Ok(Use::Not(GONE)),
            }
        }
        Ok(Use::Not(GONE))
    }

    async fn make(
        &self,
        asking: &mut Asking<'_>,
        key: LinkKey<'_>,
        customer: &Recognised<'_>,
    ) -> Result<Result<ContactHeld, &'static str>, Answer> {
        let apart = cut(&format!("{} (SCF {})", customer.name, &customer.number[PREFIX.len()..]), LONGEST_NAME);
        for name in [&customer.name, &apart] {
            let new = NewContact {
                name,
                contact_number: Some(&customer.number),
                email_address: customer.email.as_deref(),
                phones: customer
                    .phone
                    .iter()
                    .map(|number| Phone { phone_type: "DEFAULT", phone_number: number })
                    .collect(),
            };
            match put(asking, self.sink, &new).await? {
                Ok(id) => {
                    return Ok(
                        match self.links.link(key, &id, How::Created).await.map_err(|error| unstored(&error))? {
                            Linked::Yes => Ok(ContactHeld { id, how: ContactHow::Created }),
                            Linked::Otherwise(link) => Ok(ContactHeld { id: link.remote_id, how: ContactHow::Linked }),
                            Linked::Taken => Err(AMBIGUOUS),
                        },
                    );
                }
                Err(Why::NameTaken) => {}
                Err(_) => return Ok(Err(REFUSED)),
            }
        }
        Ok(Err(NAME_TAKEN))
    }

    /// The one contact: as configured, as it was found, or made.
    async fn house(&self, asking: &mut Asking<'_>, name: &str) -> Result<String, Answer> {
        if let Some(contact_id) = &self.settings.house_customer {
            return Ok(contact_id.clone());
        }
        if let Some(contact_id) = self.shared.facts(asking.now()).and_then(|facts| facts.house_contact.clone()) {
            return Ok(contact_id);
        }
        let contact_id = if let Some(contact_id) = named(asking, name).await? {
            contact_id
        } else {
            let new = NewContact { name, contact_number: None, email_address: None, phones: Vec::new() };
            // Another process may have been faster, or the name is refused: the next look tells.
            let again = Outcome::Retry { reason: Reason::Conflict, sent: Sent::No, not_before: None };
            put(asking, self.sink, &new).await?.map_err(|_| Answer::from(again))?
        };
        self.shared.has_house_contact(&contact_id);
        Ok(contact_id)
    }
}

/// A customer as he can be told from others.
#[derive(Debug)]
struct Recognised<'c> {
    /// Of his link.
    key: String,
    id: Option<&'c str>,
    /// Of the contact that is made for him.
    number: String,
    /// In lower case. None where it may be many people's.
    email: Option<String>,
    name: String,
    phone: Option<String>,
}

impl<'c> Recognised<'c> {
    /// None: nothing tells who it is.
    fn by(customer: &'c call::Customer, relays: &[String]) -> Option<Self> {
        let id = customer.id.as_deref().map(str::trim).filter(|id| !id.is_empty());
        let email = customer.email.as_deref().and_then(|email| personal(email, relays));
        let key = id.map(str::to_owned).or_else(|| email.clone())?;
        let number = match id {
            Some(id) if PREFIX.len() + id.chars().count() <= LONGEST_NUMBER => format!("{PREFIX}{id}"),
            // An address is not to stand in a number that everybody sees.
            _ => format!("{PREFIX}{}", hex::encode(&Sha256::digest(&key)[..12])),
        };
        let name = customer.name.as_deref().map(|name| tidy(name, LONGEST_NAME)).filter(|name| !name.is_empty());
        let phone = customer.phone.as_deref().map(|phone| tidy(phone, LONGEST_PHONE));
        Some(Self {
            name: name.unwrap_or_else(|| format!("Scoffable customer {}", &number[PREFIX.len()..])),
            phone: phone.filter(|phone| !phone.is_empty()),
            key,
            id,
            number,
            email,
        })
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

/// A customer's text without what looks like markup, and no longer than it may be.
fn tidy(text: &str, longest: usize) -> String {
    let plain: String = text.chars().map(|c| if c.is_control() || "<>".contains(c) { ' ' } else { c }).collect();
    cut(&plain.split_whitespace().collect::<Vec<_>>().join(" "), longest)
}

fn cut(text: &str, longest: usize) -> String {
    text.chars().take(longest).collect::<String>().trim_end().to_owned()
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct NewContact<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    contact_number: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    email_address: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    phones: Vec<Phone<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Phone<'a> {
    phone_type: &'a str,
    phone_number: &'a str,
}

/// Makes one contact: its id, or why Xero did not take it.
async fn put(asking: &mut Asking<'_>, sink: &SinkName, new: &NewContact<'_>) -> Result<Result<String, Why>, Answer> {
    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct Body<'a> {
        contacts: [&'a NewContact<'a>; 1],
    }
    let body = serde_json::to_string(&Body { contacts: [new] }).expect("plain data");
    // The same for every order that would make it.
    let key = hex::encode(Sha256::digest(format!("{sink}|contact|{body}")));
    let heard = asking.write(Write { method: Method::PUT, path: &["Contacts"], body, key: &key }).await?;
    if let Some(why) = heard.why() {
        return Ok(Err(why));
    }
    let made = heard.listing().and_then(|listing| listing.contacts.into_iter().next());
    match made {
        Some(made) if !made.verdict().is_good() => Ok(Err(Why::of_messages(&made.validation_errors))),
        Some(wire::Contact { contact_id: Some(id), .. }) => Ok(Ok(id)),
        _ => Err(heard.into_answer(Outcome::Unknown { reason: Reason::UnreadableAnswer })),
    }
}

/// The active contact of exactly this name.
pub async fn named(asking: &mut Asking<'_>, name: &str) -> Result<Option<String>, Answer> {
    let is_it = |contact: &Contact| contact.is_active() && contact.name.as_deref().map(str::trim) == Some(name.trim());
    let found = search(asking, name, &[]).await?;
    Ok(found.into_iter().find(is_it).and_then(|contact| contact.contact_id))
}

/// Whatever has our number, archived or merged too.
async fn numbered(asking: &mut Asking<'_>, number: &str) -> Result<Option<Contact>, Answer> {
    let found = search(asking, number, &[("includeArchived", "true")]).await?;
    Ok(found.into_iter().find(|contact| contact.contact_number.as_deref() == Some(number)))
}

/// Active contacts with this address.
async fn with_email(asking: &mut Asking<'_>, email: &str) -> Result<Vec<Contact>, Answer> {
    let is_it = |contact: &Contact| {
        let theirs = contact.email_address.as_deref().map(|theirs| theirs.trim().to_lowercase());
        contact.is_active() && theirs.as_deref() == Some(email)
    };
    Ok(search(asking, email, &[]).await?.into_iter().filter(is_it).collect())
}

/// Xero finds the term anywhere in several fields: what it finds has to be compared.
async fn search(asking: &mut Asking<'_>, term: &str, more: &[(&str, &str)]) -> Result<Vec<Contact>, Answer> {
    let query: Vec<_> = [("searchTerm", term)].into_iter().chain(more.iter().copied()).collect();
    let pages = asking.read_pages(&["Contacts"], &query).await?;
    Ok(pages.into_iter().flat_map(|page| page.contacts).collect())
}

fn alert(cause: &'static str) -> Alert {
    let detail = match cause {
        AMBIGUOUS => {
            "several customers or contacts share an e-mail, so the order bears the house contact: link the \
                      customer by hand in `customer_links`"
        }
        ARCHIVED => {
            "the customer's contact is archived, so the order bears the house contact: restore it, or link another"
        }
        GONE => {
            "the customer's contact is gone, so the order bears the house contact: link another in `customer_links`"
        }
        NAME_TAKEN => {
            "Xero has contacts of the customer's name already, so the order bears the house contact: link one of \
                       them in `customer_links`"
        }
        _ => {
            "Xero refuses to make a contact of the customer, so the order bears the house contact: make one there and \
              link it in `customer_links`"
        }
    };
    Alert { cause, about: About::Order, detail: detail.to_owned() }
}

fn unstored(error: &StoreFailed) -> Answer {
    tracing::warn!(error = error.0.as_ref(), "link store could not be asked");
    Outcome::Retry { reason: Reason::ConnectFailed, sent: Sent::No, not_before: None }.into()
}
