//! Who ordered, as far as the configuration points to it: only to find the customer's contact.

use serde_json::Value;

use super::{
    call::Customer,
    config::{ContactMode, Contacts},
};
use crate::config::pointer::Pointer;

/// None: the order is for the house contact, because that is meant or because nobody can be told by id or e-mail.
pub fn of(contacts: &Contacts, payload: &str) -> Option<Customer> {
    if contacts.mode == ContactMode::House {
        return None;
    }
    let payload: Value = serde_json::from_str(payload).ok()?;
    let fields = &contacts.customer_fields;
    let email = text(fields.email.as_ref(), &payload).filter(|email| !is_relay(contacts, email));
    let id = fields.id.as_ref().and_then(|at| id_at(at, &payload));
    if id.is_none() && email.is_none() {
        return None;
    }
    Some(Customer {
        id,
        name: text(fields.name.as_ref(), &payload),
        email,
        phone: text(fields.phone.as_ref(), &payload),
    })
}

fn text(pointer: Option<&Pointer>, payload: &Value) -> Option<String> {
    pointer?.text(payload).map(str::to_owned)
}

/// An id may be a number.
fn id_at(pointer: &Pointer, payload: &Value) -> Option<String> {
    match pointer.value(payload)? {
        Value::Number(number) => Some(number.to_string()),
        other => other.as_str().map(str::trim).filter(|id| !id.is_empty()).map(str::to_owned),
    }
}

/// An address that many share.
fn is_relay(contacts: &Contacts, email: &str) -> bool {
    let email = email.to_lowercase();
    let relays = contacts.customer_relays.iter().map(|relay| relay.to_lowercase());
    relays.into_iter().any(|relay| email.starts_with(&relay) || email.ends_with(&relay))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{super::testing::settings, *};

    fn per_customer() -> Contacts {
        let mut contacts = settings().contacts;
        contacts.mode = ContactMode::PerCustomer;
        contacts.customer_fields.id = Some(Pointer::of("/who/id"));
        contacts.customer_fields.email = Some(Pointer::of("/who/email"));
        contacts
    }

    /// Id and e-mail of whoever is told.
    fn told(contacts: &Contacts, who: &Value) -> Option<(String, String)> {
        let customer = of(contacts, &json!({ "who": who }).to_string())?;
        Some((customer.id.unwrap_or_default(), customer.email.unwrap_or_default()))
    }

    fn by(id: &str, email: &str) -> Option<(String, String)> {
        Some((id.to_owned(), email.to_owned()))
    }

    #[test]
    fn nobody_is_looked_for_where_all_orders_have_one_contact() {
        let house = Contacts { mode: ContactMode::House, ..per_customer() };

        assert_eq!(told(&house, &json!({"id": "C-1"})), None);
        assert_eq!(told(&per_customer(), &json!({"id": "C-1"})), by("C-1", ""));
        assert_eq!(told(&per_customer(), &json!({"id": 77})), by("77", ""));
    }

    #[test]
    fn an_address_that_many_share_tells_nobody() {
        assert_eq!(told(&per_customer(), &json!({"email": "noreply@scoffable.example"})), None);
        assert_eq!(told(&per_customer(), &json!({"email": "ines@example.org"})), by("", "ines@example.org"));
        assert_eq!(told(&per_customer(), &json!({})), None);
    }
}
