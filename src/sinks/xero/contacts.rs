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

use futures::future::BoxFuture;
use reqwest::Method;
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::{
    api::{Asking, Write},
    call,
    config::Contacts as Settings,
    reading::Shared,
    refusal::Why,
    wire::{self, Contact},
};
use crate::{
    domain::{
        delivery::{Alert, Outcome, Reason, Sent},
        ids::SinkName,
    },
    sinks::{
        Answer,
        customers::{Came, Directory, Linker, Named, NoRecord, PREFIX, Recognised, There, cut},
        links::LinkStore,
    },
};

/// Longest texts. Source: Xero Accounting API, `Contact`.
const LONGEST_NAME: usize = 255;
const LONGEST_PHONE: usize = 50;
/// Longest chain of mergers that is followed.
const MOST_MERGERS: usize = 5;

/// A contact for an order, and what a person should know about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    pub held: Named,
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

impl Finder<'_> {
    /// Finds or makes the contact of a call.
    pub async fn find(&self, asking: &mut Asking<'_>, wanted: &call::Contact) -> Result<Found, Answer> {
        let (alert, house_name) = match wanted {
            call::Contact::House { name } => (None, name),
            call::Contact::Customer { customer, house_name } => {
                let Self { sink, links, settings, timeout, .. } = *self;
                let linker = Linker { sink, links, settings: &settings.customers, timeout };
                match linker.find(&mut Contacts { asking, sink }, customer).await? {
                    Some(Ok(held)) => return Ok(Found { held, alert: None }),
                    Some(Err(why)) => (Some(why.alert(customer)), house_name),
                    None => (None, house_name),
                }
            }
        };
        let id = self.house(asking, house_name).await?;
        Ok(Found { held: Named { id, how: Came::House }, alert })
    }

    /// The one contact: as configured, as it was found, or made.
    async fn house(&self, asking: &mut Asking<'_>, name: &str) -> Result<String, Answer> {
        if let Some(contact_id) = &self.settings.house_customer {
            return Ok(contact_id.clone());
        }
        if let Some(contact_id) = self.shared.facts.get(asking.now()).and_then(|facts| facts.house_contact.clone()) {
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

/// The organisation's contacts.
struct Contacts<'c, 'a> {
    asking: &'c mut Asking<'a>,
    sink: &'c SinkName,
}

impl Contacts<'_, '_> {
    async fn read(&mut self, contact_id: &str) -> Result<Option<Contact>, Answer> {
        let listing = self.asking.read(&["Contacts", contact_id], &[]).await?;
        Ok(listing.and_then(|listing| listing.contacts.into_iter().next()))
    }

    /// Follows mergers to the one that Xero itself names.
    async fn survivor(&mut self, mut there: Contact) -> Result<There, Answer> {
        for _ in 0..MOST_MERGERS {
            let Some(survivor) = there.merged_to_contact_id.take() else {
                return Ok(match there.contact_id {
                    Some(id) if there.contact_status.as_deref().is_none_or(|status| status == "ACTIVE") => {
                        There::Active(id)
                    }
                    Some(_) => There::Not(NoRecord::Archived),
                    None => There::Not(NoRecord::Gone),
                });
            };
            match self.read(&survivor).await? {
                Some(next) => there = next,
                None => break,
            }
        }
        Ok(There::Not(NoRecord::Gone))
    }

    /// Names are unique, so one that is taken gets what tells the customer apart.
    async fn put(&mut self, customer: &Recognised<'_>) -> Result<There, Answer> {
        let name = cut(&customer.name, LONGEST_NAME);
        let apart = cut(&format!("{name} (SCF {})", &customer.code[PREFIX.len()..]), LONGEST_NAME);
        let phone = customer.phone.as_deref().map(|phone| cut(phone, LONGEST_PHONE));
        for name in [&name, &apart] {
            let new = NewContact {
                name,
                contact_number: Some(&customer.code),
                email_address: customer.email.as_deref(),
                phones: phone.iter().map(|number| Phone { phone_type: "DEFAULT", phone_number: number }).collect(),
            };
            match put(self.asking, self.sink, &new).await? {
                Ok(id) => return Ok(There::Active(id)),
                Err(Why::NameTaken) => {}
                Err(_) => return Ok(There::Not(NoRecord::Refused)),
            }
        }
        Ok(There::Not(NoRecord::NameTaken))
    }
}

impl Directory for Contacts<'_, '_> {
    fn by_id<'a>(&'a mut self, id: &'a str) -> BoxFuture<'a, Result<There, Answer>> {
        Box::pin(async move {
            match self.read(id).await? {
                Some(there) => self.survivor(there).await,
                None => Ok(There::Not(NoRecord::Gone)),
            }
        })
    }

    fn by_code<'a>(&'a mut self, code: &'a str) -> BoxFuture<'a, Result<Option<There>, Answer>> {
        Box::pin(async move {
            match numbered(self.asking, code).await? {
                Some(there) => self.survivor(there).await.map(Some),
                None => Ok(None),
            }
        })
    }

    fn by_email<'a>(&'a mut self, email: &'a str) -> BoxFuture<'a, Result<Vec<There>, Answer>> {
        Box::pin(async move {
            let alike = with_email(self.asking, email).await?;
            Ok(alike.into_iter().filter_map(|contact| contact.contact_id).map(There::Active).collect())
        })
    }

    fn make<'a>(&'a mut self, customer: &'a Recognised<'_>) -> BoxFuture<'a, Result<There, Answer>> {
        Box::pin(self.put(customer))
    }
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
