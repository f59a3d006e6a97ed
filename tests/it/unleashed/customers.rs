//! Whose name orders bear: found by code or e-mail, made, or the customer of the house; never changed.

use scoffable_sync::sinks::{
    customers::{Came, Customer},
    unleashed::call,
};

use super::{
    stub::{listed, ok, reply},
    *,
};

const PER_CUSTOMER: [(&str, &str); 3] = [
    ("customers", "per_customer"),
    ("customer_fields.id", "/customer/id"),
    ("customer_fields.email", "/customer/email"),
];
const INES: &str = "77777777-0000-4000-8000-000000000077";

fn ines() -> Step {
    let customer = Customer {
        id: Some("77".to_owned()),
        name: Some("Ines <b>Marlow</b>".to_owned()),
        email: Some("Ines.Marlow@Example.org".to_owned()),
        phone: None,
    };
    let held = Held { currency: Some(gbp()), ..Held::default() };
    step(&Call::Customer(call::Customer { customer }), &held)
}

fn known(code: &str, email: &str) -> Value {
    json!({"Guid": INES, "CustomerCode": code, "CustomerName": "Ines", "Email": email, "Obsolete": false})
}

impl Case {
    /// The GUID of the customer, how it came, and the cause of an alert.
    async fn customer(&self) -> (String, Came, Option<&'static str>) {
        let answer = self.send(&ines()).await;
        let named = held(&answer).customer.unwrap();
        let Outcome::Delivered(Receipt { alert, .. }) = answer.outcome else { panic!("it is delivered") };
        (named.id, named.how, alert.map(|alert| alert.cause))
    }
}

#[tokio::test]
async fn a_customer_is_recognised_by_our_code_and_then_by_an_address_that_one_alone_has() {
    let case = Case::start(&PER_CUSTOMER).await;
    let longer = known("SCF-C-770", "x@example.org");
    case.there.answers("GET", "/Customers", listed(&[longer, known("SCF-C-77", "x@example.org")]));

    assert_eq!(case.customer().await, (INES.to_owned(), Came::Linked, None));
    let query = "customerCode=SCF-C-77&includeObsolete=true&pageSize=200";
    assert_eq!(case.there.asked()[0].query, query);
    // Now it is linked, and only looked at.
    case.there.answers("GET", &format!("/Customers/{INES}"), ok(&known("anything", "other@example.org")));
    assert_eq!(case.customer().await, (INES.to_owned(), Came::Linked, None));

    let by_address = Case::start(&PER_CUSTOMER).await;
    by_address.there.answers("GET", "/Customers", listed(&[]));
    by_address.there.answers("GET", "/Customers", listed(&[known("A-1", "ines.marlow@example.org")]));
    assert_eq!(by_address.customer().await, (INES.to_owned(), Came::Linked, None));

    let ambiguous = Case::start(&PER_CUSTOMER).await;
    ambiguous.there.answers("GET", "/Customers", listed(&[]));
    let both = [known("A-1", "ines.marlow@example.org"), known("A-2", "INES.marlow@example.org")];
    ambiguous.there.answers("GET", "/Customers", listed(&both));
    assert_eq!(ambiguous.customer().await, (HOUSE.to_owned(), Came::House, Some("ambiguous_customer")));
    for case in [&case, &by_address, &ambiguous] {
        assert!(case.there.lines().iter().all(|line| line.starts_with("GET")), "{:?}", case.there.lines());
    }
}

#[tokio::test]
async fn one_that_is_not_there_is_made_under_a_guid_of_ours_and_only_where_nothing_is() {
    let case = Case::start(&PER_CUSTOMER).await;
    case.there.answers("GET", "/Customers", listed(&[])).answers("GET", "/Customers", listed(&[]));
    let own = format!("/Customers/{}", uuid_of("customer:SCF-C-77"));
    case.there.answers("GET", &own, reply(404, &json!({}))).answers("POST", &own, reply(201, &json!({"Guid": null})));

    let (guid, how, alert) = case.customer().await;

    assert_eq!((format!("/Customers/{guid}"), how, alert), (own.clone(), Came::Created, None));
    let body: Value = serde_json::from_str(&case.there.asked()[3].body).unwrap();
    assert_eq!((&body["CustomerCode"], &body["Email"]), (&json!("SCF-C-77"), &json!("ines.marlow@example.org")));
    assert_eq!(body["CustomerName"], "Ines b Marlow /b");

    let there = Case::start(&PER_CUSTOMER).await;
    there.there.answers("GET", "/Customers", listed(&[])).answers("GET", "/Customers", listed(&[]));
    there.there.answers("GET", &own, ok(&known("renamed", "x@example.org")));
    assert_eq!(there.customer().await.0, guid);
    assert!(there.there.lines().iter().all(|line| line.starts_with("GET")));
}

fn uuid_of(name: &str) -> String {
    let namespace = "df43840a-ad1b-55b9-b6cb-4d065c5dd5af".parse().unwrap();
    uuid::Uuid::new_v5(&namespace, name.as_bytes()).to_string()
}

#[tokio::test]
async fn an_obsolete_or_stopped_customer_is_not_named() {
    for flag in ["Obsolete", "StopCredit"] {
        let case = Case::start(&PER_CUSTOMER).await;
        let mut closed = known("SCF-C-77", "x@example.org");
        closed[flag] = json!(true);
        case.there.answers("GET", "/Customers", listed(&[closed]));

        assert_eq!(case.customer().await, (HOUSE.to_owned(), Came::House, Some("customer_archived")));
    }
}

#[tokio::test]
async fn a_persons_word_goes_before_everything() {
    let links = ("customer_links", "{ \"77\" = \"77777777-0000-4000-8000-000000000077\" }");
    let case = Case::start(&[&PER_CUSTOMER[..], &[links]].concat()).await;
    case.there.answers("GET", &format!("/Customers/{INES}"), ok(&known("A-1", "x@example.org")));

    assert_eq!(case.customer().await, (INES.to_owned(), Came::Configured, None));
}
