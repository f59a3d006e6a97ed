use serde_json::json;

use super::*;

fn settings() -> Customers {
    Customers {
        fields: CustomerFields {
            id: Some(Pointer::of("/who/id")),
            email: Some(Pointer::of("/who/email")),
            ..CustomerFields::default()
        },
        relays: vec!["noreply@".to_owned()],
        ..Customers::default()
    }
}

/// Id and e-mail of whoever is told.
fn told(who: &Value) -> Option<(String, String)> {
    let customer = customer_of(&settings(), &json!({ "who": who }).to_string())?;
    Some((customer.id.unwrap_or_default(), customer.email.unwrap_or_default()))
}

fn by(id: &str, email: &str) -> (String, String) {
    (id.to_owned(), email.to_owned())
}

#[test]
fn a_customer_is_told_by_an_id_that_may_be_a_number() {
    assert_eq!(told(&json!({"id": "C-1"})), Some(by("C-1", "")));
    assert_eq!(told(&json!({"id": 77})), Some(by("77", "")));
}

#[test]
fn an_address_that_many_share_tells_nobody() {
    assert_eq!(told(&json!({"email": "noreply@scoffable.example"})), None);
    assert_eq!(told(&json!({"email": "ines@example.org"})), Some(by("", "ines@example.org")));
    assert_eq!(told(&json!({"email": "nobody"})), None);
    assert_eq!(told(&json!({})), None);
}

#[test]
fn an_address_never_stands_in_a_code() {
    let customer = Customer { id: None, name: None, email: Some("Ines@Example.org".to_owned()), phone: None };

    let recognised = Recognised::by(&customer, &[]).unwrap();

    assert_eq!(recognised.key, "ines@example.org");
    assert!(recognised.code.starts_with(PREFIX) && !recognised.code.contains("ines"), "{}", recognised.code);
    assert!(!recognised.name.contains("ines"), "{}", recognised.name);
}

#[test]
fn a_code_that_may_be_a_digest_tells_nobody() {
    assert_eq!(account_of("SCF-C-0123456789abcdef01234567"), None);
    assert_eq!([account_of("SCF-C-"), account_of("C-77"), account_of("SCF-C-A1")], [None, None, Some("A1")]);
}
