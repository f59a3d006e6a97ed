//! Whose name the documents bear when each customer has a contact of his own.

use scoffable_sync::simulator::xero::{Contact, ContactStatus};

use super::*;

const HOUSE: &str = "Scoffable customers";
const PER_CUSTOMER: [(&str, &str); 4] = [
    ("contacts", "per_customer"),
    ("customer_fields.id", "/customer/id"),
    ("customer_fields.email", "/customer/email"),
    ("customer_fields.name", "/customer/name"),
];

async fn per_customer() -> Books {
    Books::with(&PER_CUSTOMER).await
}

fn order_by(id: &str, customer: Value) -> Value {
    let mut order = order(id, 1, "accepted");
    order["customer"] = customer;
    order
}

fn ines() -> Value {
    json!({"id": "77", "name": "Ines Marlow", "email": "Ines.Marlow@example.org"})
}

impl Books {
    /// A person enters a contact.
    fn enters(&self, name: &str, email: &str) -> String {
        self.sim.by_hand(|books, now| {
            let id = books.add_contact_by_hand(name, now);
            books.edit_contact_by_hand(&id, now, |contact| contact.email = Some(email.to_owned()));
            id
        })
    }

    fn contacts(&self) -> Vec<Contact> {
        self.sim.by_hand(|books, _| books.contacts().to_vec())
    }

    /// Name of the contact of an order's invoice.
    fn contact_of(&self, order_id: &str) -> String {
        self.sim.by_hand(|books, _| {
            let invoice = books.invoice(&format!("SCF-{order_id}")).expect("it is invoiced");
            books.contact(&invoice.contact_id).expect("it is there").name.clone()
        })
    }
}

#[tokio::test]
async fn a_customer_is_linked_by_account_and_the_contact_is_never_changed_again() {
    let mut books = per_customer().await;
    books.bring(&order_by("1", ines())).await;
    let made = books.contacts();

    // Another name and address by now, and later a correction of the first order.
    books.bring(&order_by("2", json!({"id": 77, "name": "I. Marlow-Reed", "email": "new@example.org"}))).await;
    let mut corrected = order_of("1", 2, "accepted", 1000);
    corrected["customer"] = ines();
    books.bring(&corrected).await;

    assert_eq!(books.contacts(), made, "nothing of them was changed, and none came");
    let contact = made.iter().find(|contact| contact.number.as_deref() == Some("SCF-C-77")).unwrap();
    assert_eq!((contact.name.as_str(), contact.email.as_deref()), ("Ines Marlow", Some("ines.marlow@example.org")));
    assert_eq!((books.contact_of("1"), books.contact_of("2")), ("Ines Marlow".to_owned(), "Ines Marlow".to_owned()));
    let credited = books.sim.by_hand(|all, _| all.credit_note("SCF-1-C1").unwrap().contact_id.clone());
    assert_eq!(credited, contact.id);
    books.assert_nothing_wrong();
}

#[tokio::test]
async fn no_request_about_a_linked_customer_says_anything_but_its_id() {
    let mut books = per_customer().await;
    // Linked by account, by e-mail, and after a correction, a cancellation and an acceptance.
    books.enters("I. Marlow", "ino@example.org");
    let ino = json!({"id": "78", "name": "Ino Marlow", "email": "ino@example.org"});
    for (id, customer) in [("1", ines()), ("2", ines()), ("3", ino.clone()), ("4", ino)] {
        books.bring(&order_by(id, customer)).await;
    }
    for (version, status, total) in [(2, "accepted", 1000), (3, "cancelled", 1000), (4, "accepted", 1400)] {
        let mut changed = order_of("1", version, status, total);
        changed["customer"] = ines();
        books.bring(&changed).await;
    }

    let mut documents = 0;
    let mut made = 0;
    for asked in books.sim.received() {
        assert!(!matches!(asked.operation, Operation::Update(Resource::Contacts)), "{asked:?}");
        let Ok(body) = serde_json::from_slice::<Value>(&asked.body) else { continue };
        made += usize::from(matches!(asked.operation, Operation::Create(Resource::Contacts)));
        let of = |kind: &str| body[kind].as_array().cloned().unwrap_or_default();
        for document in
            of("Invoices").iter().chain(&of("CreditNotes")).filter(|document| document["LineItems"].is_array())
        {
            let said: Vec<_> = document["Contact"].as_object().expect("it names a contact").keys().collect();
            assert_eq!(said, ["ContactID"], "{asked:?}");
            documents += 1;
        }
    }
    assert!(documents >= 6, "{documents} documents were looked at");
    assert_eq!(made, 1, "who has no contact yet is made one, once");
    books.assert_nothing_wrong();
}

#[tokio::test]
async fn the_one_active_contact_with_the_customers_e_mail_is_linked_as_it_is() {
    let mut books = per_customer().await;
    let old = books.enters("Marlow (moved away)", "ines.marlow@example.org");
    books.sim.by_hand(|all, now| {
        all.edit_contact_by_hand(&old, now, |contact| contact.status = ContactStatus::Archived);
    });
    books.enters("I. Marlow", " INES.Marlow@example.org");
    let before = books.contacts();

    books.bring(&order_by("1", ines())).await;

    assert_eq!(books.contact_of("1"), "I. Marlow");
    assert_eq!(books.contacts(), before, "it does not even get our number");
    assert_eq!(books.app.text("SELECT how FROM links").await.as_deref(), Some("email"));
    books.assert_nothing_wrong();
}

#[tokio::test]
async fn two_contacts_with_one_e_mail_leave_the_order_to_the_house_and_a_person_is_told_once() {
    let mut books = per_customer().await;
    books.enters("I. Marlow", "ines.marlow@example.org");
    books.enters("Marlow & Sons", "ines.marlow@example.org");

    books.bring(&order_by("1", ines())).await;
    let mut changed = order_of("1", 2, "accepted", 1000);
    changed["customer"] = ines();
    books.bring(&changed).await;
    // Another order, and an order of another account with that address.
    books.bring(&order_by("2", ines())).await;
    books.bring(&order_by("3", json!({"id": "78", "name": "Ino Marlow", "email": " ines.MARLOW@example.org"}))).await;

    for id in ["1", "2", "3"] {
        assert_eq!(books.contact_of(id), HOUSE, "{id}");
    }
    assert_eq!(books.alerts().await, ["ambiguous_customer"]);
    let told = books.app.text("SELECT subject || ': ' || detail FROM alerts").await.unwrap();
    assert!(told.ends_with("; last seen with order main/3"), "{told}");
    assert!(!told.to_lowercase().contains("marlow") && !told.contains("77"), "{told}");
    assert_eq!(books.app.number("SELECT count(*) FROM links").await, 0);
    assert_eq!(books.contacts().len(), 3, "none was made");
    books.assert_comes_to("1", 1000, &[(ONLINE, 1000)]);
}

#[tokio::test]
async fn orders_of_a_new_customer_that_come_at_once_make_one_contact() {
    let mut books = per_customer().await;

    for id in ["1", "2", "3", "4"] {
        books.app.stores(&order_by(id, ines())).await;
    }
    books.app.run_to_rest().await;

    let numbered = books.contacts().iter().filter(|contact| contact.number.is_some()).count();
    assert_eq!((numbered, books.contacts().len()), (1, 2));
    for id in ["1", "2", "3", "4"] {
        assert_eq!(books.contact_of(id), "Ines Marlow", "{id}");
    }
    books.assert_nothing_wrong();
}

#[tokio::test]
async fn a_name_that_somebody_else_has_is_told_apart_by_the_customers_id() {
    let mut books = per_customer().await;
    let namesake = books.enters("Ines Marlow", "another.ines@example.org");

    books.bring(&order_by("1", ines())).await;

    assert_eq!(books.contact_of("1"), "Ines Marlow (SCF 77)");
    let untouched = books.contacts().into_iter().find(|contact| contact.id == namesake).unwrap();
    assert_eq!((untouched.number, untouched.email.as_deref()), (None, Some("another.ines@example.org")));
    books.assert_nothing_wrong();
}

#[tokio::test]
async fn a_linked_contact_is_followed_where_it_was_merged_and_left_alone_once_archived() {
    let mut books = per_customer().await;
    books.bring(&order_by("1", ines())).await;
    let own = books.contacts().into_iter().find(|contact| contact.number.is_some()).unwrap().id;
    let survivor = books.enters("Marlow household", "household@example.org");
    books.sim.by_hand(|all, now| assert!(all.merge_contacts_by_hand(&own, &survivor, now)));

    books.bring(&order_by("2", ines())).await;
    assert_eq!(books.contact_of("2"), "Marlow household");
    books.sim.by_hand(|all, now| {
        all.edit_contact_by_hand(&survivor, now, |contact| contact.status = ContactStatus::Archived);
    });
    books.bring(&order_by("3", ines())).await;

    assert_eq!((books.contact_of("3"), books.alerts().await), (HOUSE.to_owned(), vec!["customer_archived".to_owned()]));
    let kept = books.contacts().into_iter().find(|contact| contact.id == survivor).unwrap();
    assert_eq!(kept.status, ContactStatus::Archived);
    books.assert_nothing_wrong();
}
