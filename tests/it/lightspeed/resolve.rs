//! Which product and which customer of the shop a sale names.

use scoffable_sync::sinks::{
    customers::{Came, Customer},
    lightspeed::{
        call::{Dish, Resolve},
        facts::Product,
    },
};

use super::{
    stub::{ok, reply},
    *,
};

fn dish(name: &str, reference: Option<&str>) -> Dish {
    Dish {
        key: reference.map_or_else(|| name.to_lowercase(), str::to_owned),
        name: name.to_owned(),
        reference: reference.map(str::to_owned),
        price_including_tax: "10.95".to_owned(),
        price_excluding_tax: "9.12500".to_owned(),
    }
}

fn of(dishes: Vec<Dish>, services: &[&str], customer: Option<Customer>) -> Step {
    let services = services.iter().map(|code| (*code).to_owned()).collect();
    step(&Call::Resolve(Resolve { dishes, services, customer }), &holding(Vec::new()))
}

fn found(data: &Value) -> stub::Reply {
    ok(&json!({"data": data}))
}

fn product(id: &str, name: &str, sku: &str) -> Value {
    json!({"id": id, "name": name, "sku": sku, "active": true, "deleted_at": null})
}

impl Case {
    /// What the copy of the shop has of its products.
    async fn sells(&self, products: &[(&str, &str)]) {
        for (id, name) in products {
            let sql = "INSERT INTO catalogue_entities
                           (sink, kind, remote_id, name, remote_state, fields_hash, first_seen_at, last_checked_at)
                       VALUES ($1, 'product', $2, $3, 'active', '', now(), now())";
            let put = sqlx::query(sql).bind(TILL).bind(*id).bind(*name).execute(&self.app.pool).await;
            put.expect("the test's SQL works");
        }
    }

    fn n_asked(&self, line: &str) -> usize {
        self.shop.lines().iter().filter(|asked| *asked == line).count()
    }
}

fn known(id: &str) -> Product {
    Product { id: id.to_owned(), generic: false }
}

#[tokio::test]
async fn a_dish_is_told_by_its_code_in_any_case_and_then_by_its_link() {
    let case = Case::usual().await;
    let others = json!([product("p-0", "Other", "ab-10"), product("p-1", "Bhuna", "AB-1")]);
    case.shop.answers("GET", &path("search"), found(&others));
    let step = of(vec![dish("Lamb Bhuna", Some("Ab-1"))], &[], None);

    let first = held(&case.send(&step).await);
    let second = held(&case.send(&step).await);

    assert_eq!((&first.products["Ab-1"], &second.products["Ab-1"]), (&known("p-1"), &known("p-1")));
    let asked = case.shop.asked();
    assert_eq!(asked.len(), 1, "a link needs no call");
    assert_eq!((asked[0].query["type"].as_str(), asked[0].query["sku"].as_str()), ("products", "ab-1"));
}

#[tokio::test]
async fn a_dish_is_told_by_a_name_that_exactly_one_product_has() {
    let case = Case::usual().await;
    case.sells(&[("p-1", "lamb  BHUNA"), ("p-2", "Plain Naan"), ("p-3", "Plain Naan")]).await;
    case.shop.always_answers("GET", &path("search"), found(&json!([product("generic", "Item", "SCF-ITEM")])));

    let held = held(&case.send(&of(vec![dish("Lamb Bhuna", None), dish("Plain Naan", None)], &[], None)).await);

    assert_eq!(held.products["lamb bhuna"], known("p-1"));
    assert_eq!(held.products["plain naan"], Product { id: "generic".to_owned(), generic: true });
    assert_eq!(case.n_asked(&format!("GET {API}/products")), 0, "the shop is not listed for it");
}

#[tokio::test]
async fn a_dish_without_a_product_waits_for_a_person_who_is_told_the_most_similar_name() {
    let case = Case::start(&[("missing_product", "hold")]).await;
    case.sells(&[("p-1", "Lamb Bhuna")]).await;

    let held = held(&case.send(&of(vec![dish("Lamb Buna", None)], &[], None)).await);

    let detail = held.missing.unwrap().detail;
    assert!(detail.contains("\"Lamb Buna\", perhaps \"Lamb Bhuna\""), "{detail}");
    assert!(held.products.is_empty());
}

#[tokio::test]
async fn a_product_is_made_once_under_a_code_that_follows_from_the_dish() {
    let case = Case::start(&[("missing_product", "create")]).await;
    case.shop.always_answers("GET", &path("search"), found(&json!([])));
    case.shop.answers("POST", &path("products"), ok(&json!({"data": ["p-9"]})));
    let step = of(vec![dish("Lamb Bhuna", None)], &[], None);

    let answer = case.send(&step).await;
    held(&case.send(&step).await);

    let Outcome::Delivered(Receipt { alert: Some(alert), .. }) = &answer.outcome else { panic!("{answer:?}") };
    assert!(alert.cause == "product_created" && alert.detail.contains("Lamb Bhuna"), "{alert:?}");
    assert_eq!(held(&answer).products["lamb bhuna"], known("p-9"));
    assert_eq!(case.n_asked(&format!("POST {API}/products")), 1);
    let asked = case.shop.asked().into_iter().find(|asked| asked.line.starts_with("POST")).unwrap().json();
    assert_eq!((&asked["name"], &asked["price_including_tax"]), (&json!("Lamb Bhuna"), &json!(10.95)));
    assert!(asked["sku"].as_str().unwrap().starts_with("SCF-") && asked.get("inventory").is_none());
}

#[tokio::test]
async fn a_lost_answer_to_a_product_leaves_one_product() {
    let case = Case::start(&[("missing_product", "create")]).await;
    case.shop.answers("GET", &path("search"), found(&json!([])));
    case.shop.answers("POST", &path("products"), reply(502, &json!({})));
    let step = of(vec![dish("Lamb Bhuna", None)], &[], None);

    let lost = case.send(&step).await.outcome;
    let sku = case.shop.asked().pop().unwrap().json()["sku"].as_str().unwrap().to_owned();
    case.shop.answers("GET", &path("search"), found(&json!([product("p-9", "Lamb Bhuna", &sku)])));
    let then = held(&case.send(&step).await);

    assert!(matches!(lost, Outcome::Unknown { .. }), "{lost:?}");
    assert_eq!(then.products["lamb bhuna"], known("p-9"));
    assert_eq!(case.n_asked(&format!("POST {API}/products")), 1);
}

#[tokio::test]
async fn what_is_no_dish_has_a_product_under_a_code_of_its_own() {
    let case = Case::usual().await;
    case.shop.answers("GET", &path("search"), found(&json!([product("fee", "Fee", "scf-service-fee")])));
    case.shop.answers("GET", &path("search"), found(&json!([])));
    case.shop.answers("POST", &path("products"), ok(&json!({"data": ["delivery"]})));

    let held = held(&case.send(&of(Vec::new(), &["SCF-SERVICE-FEE", "SCF-DELIVERY-FEE"], None)).await);

    assert_eq!(held.products["SCF-SERVICE-FEE"], known("fee"));
    assert_eq!(held.products["SCF-DELIVERY-FEE"], known("delivery"));
    let asked = case.shop.asked().pop().unwrap().json();
    assert_eq!((&asked["sku"], &asked["price_including_tax"]), (&json!("SCF-DELIVERY-FEE"), &json!(0)));
}

// ---- customers ------------------------------------------------------------------------------------------------------

const PER_CUSTOMER: [(&str, &str); 3] = [
    ("customers", "per_customer"),
    ("customer_fields.id", "/customer/id"),
    ("customer_fields.email", "/customer/email"),
];

fn ines() -> Customer {
    Customer {
        id: Some("77".to_owned()),
        name: Some("Ines Marlow".to_owned()),
        email: Some(" Ines.Marlow@Example.org ".to_owned()),
        phone: None,
    }
}

fn customer(id: &str, email: &str) -> Value {
    json!({"id": id, "email": email, "customer_code": null, "deleted_at": null})
}

fn who(held: &Held) -> Option<(String, Came)> {
    let named = held.customer.clone().expect("it was looked for").named?;
    Some((named.id, named.how))
}

#[tokio::test]
async fn a_customer_is_found_by_e_mail_linked_and_never_changed() {
    let case = Case::start(&PER_CUSTOMER).await;
    case.shop.answers("GET", &path("search"), found(&json!([])));
    case.shop.answers("GET", &path("search"), found(&json!([customer("c-1", "INES.marlow@example.org")])));
    case.shop.answers("GET", &path("customers/c-1"), found(&customer("c-1", "another@example.org")));
    let step = of(Vec::new(), &[], Some(ines()));

    let first = held(&case.send(&step).await);
    let second = held(&case.send(&step).await);

    assert_eq!(
        (who(&first), who(&second)),
        (Some(("c-1".to_owned(), Came::Linked)), Some(("c-1".to_owned(), Came::Linked)))
    );
    let asked = case.shop.asked();
    assert_eq!(asked[0].query["customer_code"], "SCF-C-77");
    assert_eq!(asked[1].query["email"], "ines.marlow@example.org");
    assert!(asked.iter().all(|asked| asked.line.starts_with("GET")));
}

#[tokio::test]
async fn a_customer_whom_nothing_tells_is_made_with_our_code() {
    let case = Case::start(&PER_CUSTOMER).await;
    for _ in 0..2 {
        case.shop.answers("GET", &path("search"), found(&json!([])));
    }
    case.shop.answers("POST", &path("customers"), reply(201, &json!({"data": {"id": "c-9"}})));

    let held = held(&case.send(&of(Vec::new(), &[], Some(ines()))).await);

    assert_eq!(who(&held), Some(("c-9".to_owned(), Came::Created)));
    let expected = json!({
        "first_name": "Ines", "last_name": "Marlow", "customer_code": "SCF-C-77", "email": "ines.marlow@example.org",
        "do_not_email": true,
    });
    assert_eq!(case.shop.asked().pop().unwrap().json(), expected);
}

#[tokio::test]
async fn an_e_mail_that_two_customers_have_tells_nobody() {
    let case = Case::start(&PER_CUSTOMER).await;
    let alike = json!([customer("c-1", "ines.marlow@example.org"), customer("c-2", "ines.marlow@example.org")]);
    case.shop.answers("GET", &path("search"), found(&json!([]))).answers("GET", &path("search"), found(&alike));

    let answer = case.send(&of(Vec::new(), &[], Some(ines()))).await;

    assert_eq!(who(&held(&answer)), None);
    let Outcome::Delivered(Receipt { alert: Some(alert), .. }) = answer.outcome else { panic!() };
    assert_eq!(alert.cause, "ambiguous_customer");
}
