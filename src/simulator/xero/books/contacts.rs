//! Contacts, by themselves and as they come with a document.
//!
//! Source: xero_accounting.yaml 16.1.0, `Contact`, and the example of the error "already assigned to another contact".

use chrono::{DateTime, Utc};

use super::{Books, Desk, How, Invalid, stored};
use crate::simulator::xero::body::{AddressBody, ContactBody, PhoneBody};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContactStatus {
    Active,
    Archived,
}

impl ContactStatus {
    pub fn name(self) -> &'static str {
        match self {
            Self::Active => "ACTIVE",
            Self::Archived => "ARCHIVED",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contact {
    pub id: String,
    pub number: Option<String>,
    pub name: String,
    pub first_name: Option<String>,
    pub last_name: Option<String>,
    pub email: Option<String>,
    pub(in crate::simulator::xero) addresses: Vec<AddressBody>,
    pub(in crate::simulator::xero) phones: Vec<PhoneBody>,
    pub status: ContactStatus,
    /// It is archived since.
    pub merged_into: Option<String>,
    pub updated_at: DateTime<Utc>,
}

/// A document changed a contact that was there.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Overwrite {
    pub contact_id: String,
    /// The number of the document.
    pub document: String,
    pub members: Vec<&'static str>,
}

/// What comes of the contact of a document once everything else is in order.
#[derive(Debug)]
pub(super) enum ContactPlan {
    Keep,
    Use(usize),
    /// It also carries details.
    Change(usize, Box<Contact>),
    Create(Box<Contact>),
}

impl Books {
    pub fn contact(&self, id: &str) -> Option<&Contact> {
        self.contacts.iter().find(|contact| contact.id == id)
    }

    fn contact_place(&self, id: &str) -> Option<usize> {
        self.contacts.iter().position(|contact| contact.id == id)
    }

    pub(in crate::simulator::xero) fn save_contact(
        &mut self,
        sent: &ContactBody,
        how: How,
        desk: Desk<'_>,
    ) -> Result<usize, Invalid> {
        let mut problems = Invalid::new();
        let target = match (how, &sent.contact_id) {
            (How::Create, Some(_)) => {
                return Err(vec!["An id is given by Xero and cannot be sent with PUT".to_owned()]);
            }
            (How::Create, None) => None,
            (How::CreateOrUpdate, Some(id)) => match self.contact_place(id) {
                Some(at) => Some(at),
                None => return Err(vec!["The Contact could not be found".to_owned()]),
            },
            (How::CreateOrUpdate, None) => self.look_up(sent),
            (How::Update(at), Some(id)) if self.contacts[at].id != *id => {
                return Err(vec!["The id in the body is not that of the path".to_owned()]);
            }
            (How::Update(at), _) => Some(at),
        };
        let mut contact = match target {
            Some(at) => self.contacts[at].clone(),
            None => self.blank_contact(desk.now),
        };
        lay_over(&mut contact, sent, &mut problems);
        self.check_contact(&contact, target, &mut problems);
        if !problems.is_empty() {
            return Err(problems);
        }
        contact.updated_at = self.touch(desk.now);
        Ok(stored(&mut self.contacts, target, contact))
    }

    fn blank_contact(&mut self, now: DateTime<Utc>) -> Contact {
        Contact {
            id: self.new_id("contact"),
            number: None,
            name: String::new(),
            first_name: None,
            last_name: None,
            email: None,
            addresses: Vec::new(),
            phones: Vec::new(),
            status: ContactStatus::Active,
            merged_into: None,
            updated_at: now,
        }
    }

    /// By number, else by name among the active.
    fn look_up(&self, sent: &ContactBody) -> Option<usize> {
        let by_number = sent
            .contact_number
            .as_ref()
            .and_then(|number| self.contacts.iter().position(|contact| contact.number.as_ref() == Some(number)));
        by_number.or_else(|| sent.name.as_ref().and_then(|name| self.active_place(name)))
    }

    fn active_place(&self, name: &str) -> Option<usize> {
        let is_it =
            |contact: &Contact| contact.status == ContactStatus::Active && folded(&contact.name) == folded(name);
        self.contacts.iter().position(is_it)
    }

    fn check_contact(&self, contact: &Contact, own: Option<usize>, problems: &mut Invalid) {
        let name = &contact.name;
        if name.trim().is_empty() {
            problems.push("Name is required for a contact".to_owned());
        }
        if contact.status == ContactStatus::Active && self.active_place(name).is_some_and(|at| Some(at) != own) {
            problems.push(format!(
                "The contact name {name} is already assigned to another contact. The contact name must be unique \
                 across all active contacts."
            ));
        }
        let same_number = |other: &Contact| contact.number.is_some() && other.number == contact.number;
        if self.contacts.iter().position(same_number).is_some_and(|at| Some(at) != own) {
            problems.push("The contact number is already assigned to another contact".to_owned());
        }
        let texts = [
            ("Name", Some(name), 255),
            ("ContactNumber", contact.number.as_ref(), 50),
            ("FirstName", contact.first_name.as_ref(), 255),
            ("LastName", contact.last_name.as_ref(), 255),
            ("EmailAddress", contact.email.as_ref(), 255),
        ];
        let address_texts = contact.addresses.iter().flat_map(|address| {
            [
                ("AddressLine1", address.address_line1.as_ref(), 500),
                ("AddressLine2", address.address_line2.as_ref(), 500),
                ("City", address.city.as_ref(), 255),
                ("Region", address.region.as_ref(), 255),
                ("PostalCode", address.postal_code.as_ref(), 50),
                ("Country", address.country.as_ref(), 50),
            ]
        });
        for (member, text, longest) in texts.into_iter().chain(address_texts) {
            if text.is_some_and(|text| text.chars().count() > longest) {
                problems.push(format!("{member} is longer than {longest} characters"));
            }
        }
        if contact.email.as_ref().is_some_and(|email| !email.is_empty() && !email.contains('@')) {
            problems.push("EmailAddress is not valid".to_owned());
        }
    }

    pub(super) fn plan_contact(
        &mut self,
        sent: Option<&ContactBody>,
        document: &str,
        problems: &mut Invalid,
    ) -> Option<ContactPlan> {
        let sent = sent?;
        let n_before = problems.len();
        let found = match &sent.contact_id {
            Some(id) => {
                let found = self.contact_place(id);
                if found.is_none() {
                    problems.push(format!("The Contact of {document} could not be found"));
                    return None;
                }
                found
            }
            None => self.look_up(sent),
        };
        let plan = match found {
            Some(at) if self.contacts[at].status == ContactStatus::Archived => {
                problems.push(
                    "The contact has been archived. It must be un-archived before creating new invoices or credit notes"
                        .to_owned(),
                );
                return None;
            }
            Some(at) => {
                let mut contact = self.contacts[at].clone();
                lay_over(&mut contact, sent, problems);
                self.check_contact(&contact, Some(at), problems);
                if contact == self.contacts[at] {
                    ContactPlan::Use(at)
                } else {
                    ContactPlan::Change(at, Box::new(contact))
                }
            }
            None => {
                let mut contact = self.blank_contact(DateTime::UNIX_EPOCH);
                lay_over(&mut contact, sent, problems);
                self.check_contact(&contact, None, problems);
                ContactPlan::Create(Box::new(contact))
            }
        };
        (problems.len() == n_before).then_some(plan)
    }

    /// The id of the contact the document is to have; none where it keeps its own.
    pub(super) fn enact_contact(&mut self, plan: ContactPlan, document: &str, now: DateTime<Utc>) -> Option<String> {
        match plan {
            ContactPlan::Keep => None,
            ContactPlan::Use(at) => Some(self.contacts[at].id.clone()),
            ContactPlan::Change(at, mut contact) => {
                contact.updated_at = self.touch(now);
                let members = differences(&self.contacts[at], &contact);
                let (contact_id, document) = (contact.id.clone(), document.to_owned());
                self.overwrites.push(Overwrite { contact_id: contact_id.clone(), document, members });
                self.contacts[at] = *contact;
                Some(contact_id)
            }
            ContactPlan::Create(mut contact) => {
                contact.updated_at = self.touch(now);
                let id = contact.id.clone();
                self.contacts.push(*contact);
                Some(id)
            }
        }
    }
}

/// What a person does in Xero.
impl Books {
    /// Returns the contact's id.
    pub fn add_contact_by_hand(&mut self, name: &str, now: DateTime<Utc>) -> String {
        let mut contact = self.blank_contact(now);
        name.clone_into(&mut contact.name);
        let id = contact.id.clone();
        self.contacts.push(contact);
        id
    }

    /// Returns whether there is such a contact.
    pub fn edit_contact_by_hand(&mut self, id: &str, now: DateTime<Utc>, edit: impl FnOnce(&mut Contact)) -> bool {
        let Some(at) = self.contact_place(id) else { return false };
        edit(&mut self.contacts[at]);
        self.contacts[at].updated_at = self.touch(now);
        true
    }

    /// The first is archived and leads to the second, which gets its documents. Returns whether there are both.
    pub fn merge_contacts_by_hand(&mut self, from: &str, into: &str, now: DateTime<Utc>) -> bool {
        if self.contact(into).is_none() {
            return false;
        }
        let is_there = self.edit_contact_by_hand(from, now, |contact| {
            contact.status = ContactStatus::Archived;
            contact.merged_into = Some(into.to_owned());
        });
        for document in self.documents.iter_mut().filter(|document| is_there && document.contact_id == from) {
            into.clone_into(&mut document.contact_id);
        }
        is_there
    }
}

fn lay_over(contact: &mut Contact, sent: &ContactBody, problems: &mut Invalid) {
    if let Some(name) = &sent.name {
        name.clone_into(&mut contact.name);
    }
    for (sent, own) in [
        (&sent.contact_number, &mut contact.number),
        (&sent.first_name, &mut contact.first_name),
        (&sent.last_name, &mut contact.last_name),
        (&sent.email_address, &mut contact.email),
    ] {
        if sent.is_some() {
            own.clone_from(sent);
        }
    }
    if let Some(addresses) = &sent.addresses {
        contact.addresses.clone_from(addresses);
    }
    if let Some(phones) = &sent.phones {
        contact.phones.clone_from(phones);
    }
    match sent.contact_status.as_deref() {
        None => {}
        Some("ACTIVE") => contact.status = ContactStatus::Active,
        Some("ARCHIVED") => contact.status = ContactStatus::Archived,
        Some(other) => problems.push(format!("ContactStatus '{other}' does not exist")),
    }
}

fn differences(before: &Contact, after: &Contact) -> Vec<&'static str> {
    [
        (before.name != after.name, "Name"),
        (before.number != after.number, "ContactNumber"),
        (before.first_name != after.first_name, "FirstName"),
        (before.last_name != after.last_name, "LastName"),
        (before.email != after.email, "EmailAddress"),
        (before.addresses != after.addresses, "Addresses"),
        (before.phones != after.phones, "Phones"),
        (before.status != after.status, "ContactStatus"),
    ]
    .into_iter()
    .filter_map(|(is_changed, member)| is_changed.then_some(member))
    .collect()
}

/// Two names are one when they differ only in case and in spaces around them. Assumed.
fn folded(name: &str) -> String {
    name.trim().to_lowercase()
}
