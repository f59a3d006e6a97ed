//! Whose name documents bear: found by number or e-mail, made, or the house contact; never changed.

use scoffable_sync::sinks::{
    customers::{Came, Customer, Named},
    xero::call::Contact,
};

use super::{
    stub::{ok, reply},
    *,
};

const HOUSE: &str = "Scoffable customers";
const NUMBER: &str = "SCF-C-77";
const EMAIL: &str = "ines.marlow@example.org";

const PER_CUSTOMER: [(&str, &str); 4] = [
    ("contacts", "per_customer"),
    ("customer_fields.id", "/customer/id"),
    ("customer_fields.email", "/customer/email"),
    ("house_customer", CONTACT),
];

fn ines() -> Customer {
    Customer {
        id: Some("77".to_owned()),
        name: Some("Ines <b>Marlow</b>\n".to_owned()),
        email: Some(" Ines.Marlow@Example.org ".to_owned()),
        phone: None,
    }
}

fn of(customer: Customer) -> Step {
    let contact = Contact::Customer { customer, house_name: HOUSE.to_owned() };
    step(&Call::Contact(contact), &Held { currency: Some(gbp()), ..Held::default() })
}

fn contact(id: &str, number: Option<&str>, email: &str) -> Value {
    json!({
        "ContactID": id_of(id), "ContactNumber": number, "ContactStatus": "ACTIVE", "Name": "Ines Marlow",
        "EmailAddress": email,
    })
}

fn listed(contacts: &[Value]) -> Value {
    json!({"Contacts": contacts, "pagination": {"page": 1, "pageCount": 1}})
}

impl Case {
    fn finds(&self, contacts: &[Value]) -> &Self {
        self.xero.answers("GET", "/Contacts", ok(&listed(contacts)));
        self
    }

    fn shows(&self, contact: &Value) -> &Self {
        let path = format!("/Contacts/{}", contact["ContactID"].as_str().unwrap());
        self.xero.answers("GET", &path, ok(&json!({"Contacts": [contact]})));
        self
    }

    async fn contact_of(&self, customer: Customer) -> (Named, Option<&'static str>) {
        let answer = self.send(&of(customer)).await;
        let Outcome::Delivered(Receipt { alert, .. }) = &answer.outcome else { panic!("{:?}", answer.outcome) };
        let cause = alert.as_ref().map(|alert| alert.cause);
        (held(&answer).contact.unwrap(), cause)
    }

    /// No linked contact was ever changed, and nothing but a creation named anybody.
    fn assert_nobody_was_changed(&self) {
        for asked in self.xero.asked() {
            assert_ne!(asked.method, "POST", "{}", asked.path);
            assert!(asked.method == "GET" || asked.path == "/Contacts", "{asked:?}");
        }
    }
}

fn linked(id: &str) -> Named {
    Named { id: id_of(id), how: Came::Linked }
}

fn house() -> Named {
    Named { id: CONTACT.to_owned(), how: Came::House }
}

#[tokio::test]
async fn the_house_contact_is_found_by_its_exact_name_or_made_once() {
    let case = Case::start(&[]).await;
    let step = step(&Call::Contact(Contact::House { name: HOUSE.to_owned() }), &Held::default());
    let made = json!({"ContactID": id_of("house"), "Name": HOUSE, "ContactStatus": "ACTIVE"});
    let alike = json!({"ContactID": id_of("alike"), "Name": "Scoffable customers (old)", "ContactStatus": "ACTIVE"});
    case.finds(&[alike]);
    case.xero.answers("PUT", "/Contacts", ok(&json!({"Contacts": [made]})));

    let answer = case.send(&step).await;

    assert_eq!(held(&answer).contact, Some(Named { id: id_of("house"), how: Came::House }));
    let asked = case.xero.asked();
    assert_eq!(asked[0].query["searchTerm"], HOUSE);
    assert_eq!(asked[1].json(), json!({"Contacts": [{"Name": HOUSE}]}));
    case.finds(&[made_as(&asked[1].json())]);
    let again = case.send(&step).await;
    assert_eq!(held(&again).contact.unwrap().id, id_of("house"));
}

/// What Xero lists of a contact that was made.
fn made_as(body: &Value) -> Value {
    json!({"ContactID": id_of("house"), "Name": body["Contacts"][0]["Name"], "ContactStatus": "ACTIVE"})
}

#[tokio::test]
async fn a_customer_is_recognised_by_our_number_and_only_read_from_then_on() {
    let case = Case::start(&PER_CUSTOMER).await;
    let there = contact("ines", Some(NUMBER), "another@example.org");
    let longer = contact("other", Some("SCF-C-770"), EMAIL);
    case.finds(&[longer, there.clone()]).shows(&there);

    let first = case.contact_of(ines()).await;
    let second = case.contact_of(Customer { email: Some("new@example.org".to_owned()), ..ines() }).await;

    assert_eq!((first, second), ((linked("ines"), None), (linked("ines"), None)));
    assert_eq!(case.xero.lines(), ["GET /Contacts", &format!("GET /Contacts/{}", id_of("ines"))]);
    let row: (String, String, bool) =
        sqlx::query_as("SELECT local_key, how, locked FROM links").fetch_one(&case.app.pool).await.unwrap();
    assert_eq!(row, ("77".to_owned(), "id".to_owned(), false));
    case.assert_nobody_was_changed();
}

#[tokio::test]
async fn one_active_contact_with_the_e_mail_is_the_customers_and_two_are_nobodys() {
    let one = Case::start(&PER_CUSTOMER).await;
    let mut archived = contact("old", None, EMAIL);
    archived["ContactStatus"] = json!("ARCHIVED");
    one.finds(&[]).finds(&[archived, contact("ines", None, "INES.MARLOW@example.org ")]);
    assert_eq!(one.contact_of(ines()).await, (linked("ines"), None));

    let two = Case::start(&PER_CUSTOMER).await;
    two.finds(&[]).finds(&[contact("ines", None, EMAIL), contact("twin", None, EMAIL)]);
    assert_eq!(two.contact_of(ines()).await, (house(), Some("ambiguous_customer")));
    assert_eq!(two.app.number("SELECT count(*) FROM links").await, 0);

    one.assert_nobody_was_changed();
    two.assert_nobody_was_changed();
}

#[tokio::test]
async fn an_address_behind_which_there_may_be_anybody_links_nobody() {
    let case = Case::start(&PER_CUSTOMER).await;

    for email in ["noreply@scoffable.example", "", "no address", "@example.org"] {
        let nobody = Customer { id: None, email: Some(email.to_owned()), ..ines() };
        assert_eq!(case.contact_of(nobody).await, (house(), None), "{email}");
    }

    assert_eq!(case.xero.lines(), [""; 0]);
}

#[tokio::test]
async fn a_customer_without_a_contact_is_made_one_with_our_number() {
    let case = Case::start(&PER_CUSTOMER).await;
    case.finds(&[]).finds(&[]);
    case.xero.answers("PUT", "/Contacts", ok(&json!({"Contacts": [contact("ines", Some(NUMBER), EMAIL)]})));

    let found = case.contact_of(ines()).await;

    assert_eq!(found, (Named { id: id_of("ines"), how: Came::Created }, None));
    let body = case.xero.asked()[2].json();
    let contact = json!({"Name": "Ines b Marlow /b", "ContactNumber": NUMBER, "EmailAddress": EMAIL});
    assert_eq!(body, json!({"Contacts": [contact]}));
    assert_eq!(case.app.text("SELECT how FROM links").await.as_deref(), Some("created"));
    case.assert_nobody_was_changed();
}

#[tokio::test]
async fn a_name_that_is_taken_is_told_apart_once_and_then_the_house_contact_stands_in() {
    let taken = || reply(400, &exception("The contact name Ines is already assigned to another contact."));
    let case = Case::start(&PER_CUSTOMER).await;
    case.finds(&[]).finds(&[]);
    case.xero.answers("PUT", "/Contacts", taken());
    case.xero.answers("PUT", "/Contacts", ok(&json!({"Contacts": [contact("ines", Some(NUMBER), EMAIL)]})));
    assert_eq!(case.contact_of(ines()).await.0.how, Came::Created);
    assert_eq!(case.xero.asked()[3].json()["Contacts"][0]["Name"], "Ines b Marlow /b (SCF 77)");

    let other = Case::start(&PER_CUSTOMER).await;
    other.finds(&[]).finds(&[]);
    other.xero.answers("PUT", "/Contacts", taken()).answers("PUT", "/Contacts", taken());
    assert_eq!(other.contact_of(ines()).await, (house(), Some("customer_name_taken")));
}

#[tokio::test]
async fn an_archived_contact_stays_archived_and_a_merged_one_is_followed_to_its_survivor() {
    let mut archived = contact("ines", Some(NUMBER), EMAIL);
    archived["ContactStatus"] = json!("ARCHIVED");
    let case = Case::start(&PER_CUSTOMER).await;
    case.finds(std::slice::from_ref(&archived));
    assert_eq!(case.contact_of(ines()).await, (house(), Some("customer_archived")));
    case.assert_nobody_was_changed();

    let mut merged = archived;
    merged["MergedToContactID"] = json!(id_of("survivor"));
    let case = Case::start(&PER_CUSTOMER).await;
    let survivor = contact("survivor", None, EMAIL);
    case.finds(&[contact("ines", Some(NUMBER), EMAIL)]).shows(&merged).shows(&survivor).shows(&survivor);
    assert_eq!(case.contact_of(ines()).await, (linked("ines"), None));
    assert_eq!(case.contact_of(ines()).await, (linked("survivor"), None));
    assert_eq!(case.contact_of(ines()).await, (linked("survivor"), None));
    assert_eq!(case.app.text("SELECT remote_id FROM links").await, Some(id_of("survivor")));
    case.assert_nobody_was_changed();
}

#[tokio::test]
async fn a_contact_that_is_gone_is_replaced_by_no_other() {
    let case = Case::start(&PER_CUSTOMER).await;
    case.finds(&[contact("ines", Some(NUMBER), EMAIL)]);
    case.xero.answers("GET", &format!("/Contacts/{}", id_of("ines")), reply(404, &json!({})));
    case.contact_of(ines()).await;

    assert_eq!(case.contact_of(ines()).await, (house(), Some("customer_gone")));
    assert_eq!(case.app.text("SELECT remote_id FROM links").await, Some(id_of("ines")));
}

#[tokio::test]
async fn a_link_by_hand_wins_and_is_locked() {
    let by_hand = id_of("by hand");
    let keys: Vec<(&str, &str)> = PER_CUSTOMER.into_iter().chain([("customer_links.77", by_hand.as_str())]).collect();
    let case = Case::start(&keys).await;
    case.shows(&contact("by hand", None, "somebody@example.org"));

    let (found, _) = case.contact_of(ines()).await;

    assert_eq!(found, Named { id: id_of("by hand"), how: Came::Configured });
    let row: (String, bool) = sqlx::query_as("SELECT how, locked FROM links").fetch_one(&case.app.pool).await.unwrap();
    assert_eq!(row, ("manual".to_owned(), true));
}

#[tokio::test]
async fn two_processes_make_one_contact() {
    let case = Case::start(&PER_CUSTOMER).await;
    let other = case.another();
    // The first dies between the creation and the link: its right to make one has an end.
    case.finds(&[]).finds(&[]);
    case.xero.answers("PUT", "/Contacts", reply(500, &json!({})));
    let lost = case.send(&of(ines())).await;
    assert!(matches!(lost.outcome, Outcome::Unknown { .. }), "{:?}", lost.outcome);

    case.finds(&[]).finds(&[]);
    let waits = other.send(&of(ines()), case.app.clock.wall()).await;
    assert!(matches!(waits.outcome, Outcome::Throttled { not_before: Some(_) }), "{:?}", waits.outcome);
    case.app.advance(Duration::from_mins(1));
    case.finds(&[contact("ines", Some(NUMBER), EMAIL)]);
    let found = other.send(&of(ines()), case.app.clock.wall()).await;

    assert_eq!(held(&found).contact, Some(linked("ines")));
    assert_eq!(case.xero.lines().iter().filter(|line| line.starts_with("PUT")).count(), 1);
}
