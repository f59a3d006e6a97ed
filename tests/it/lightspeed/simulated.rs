//! The whole sink with the whole daemon around it, at a strict simulated shop.

mod catalogue;
mod histories;

use std::collections::BTreeMap;

use scoffable_sync::simulator::{
    faults::{cut_after, cut_before, status},
    lightspeed::{
        LightspeedOptions, LightspeedSim, Operation, Pence, Reposted, ReturnAnswer, State as There, WriteAnswer, ids,
    },
};

use super::*;
use crate::harness::app::{order, order_of};

const VOUCHER: &str = ids::PAYMENT_TYPES[1];
const CASH: &str = ids::PAYMENT_TYPES[2];
/// Dishes that the shop has from the start.
const DISHES: [&str; 4] = ["Lamb Kofta Plate", "Lamb Bhuna", "Plain Naan", "Pilau Rice"];

/// The daemon with one sink, and the shop it posts to.
struct Till {
    app: TestApp,
    sim: LightspeedSim,
}

/// A sale as the shop has it: its number, its state and what it comes to.
type Shown = (String, There, i64);

impl Till {
    async fn usual() -> Self {
        Self::with(&[]).await
    }

    async fn with(keys: &[(&str, &str)]) -> Self {
        Self::at(keys, LightspeedOptions::default()).await
    }

    /// With a shop that has [`DISHES`], on the daemon's clock.
    async fn at(keys: &[(&str, &str)], options: LightspeedOptions) -> Self {
        let setup = Setup::default();
        let options = LightspeedOptions {
            personal_token: Some(TOKEN.to_owned()),
            products: DISHES.map(str::to_owned).into(),
            clock: setup.clock().clone(),
            ..options
        };
        let sim = LightspeedSim::start(options).await.expect("a loopback port is free");
        let products = sim.by_hand(|store, _| store.products().to_vec());
        let dishes = products.iter().filter(|product| DISHES.contains(&product.name.as_str()));
        let items: Vec<String> = dishes.map(|dish| format!("{:?} = {:?}", dish.name, dish.id)).collect();
        let items = format!("{{ {} }}", items.join(", "));
        let usual = [("items", &*items), ("payment_types.goodwill", ids::PAYMENT_TYPES[4])];
        let setup = set_up(setup, &sim.url(), &[&usual, keys].concat());
        Self { app: setup.start().await, sim }
    }

    /// The id of the newest product of this name.
    fn product(&self, name: &str) -> String {
        let ledger = self.sim.ledger();
        let product = ledger.store().products().iter().rfind(|product| product.name == name);
        product.expect("it is there").id.clone()
    }

    /// A version arrives, and whatever it leads to is done.
    async fn bring(&mut self, order: &Value) {
        self.app.arrives(order).await;
        self.app.run_to_rest().await;
    }

    /// The sales of an order, oldest first; a return by its original's number, which its own does not tell.
    fn sales(&self, order_id: &str) -> Vec<Shown> {
        let ledger = self.sim.ledger();
        let number = |id: &str| ledger.store().sale(id).map(|sale| format!("return of {}", sale.invoice_number));
        let shown = ledger.sales_of(order_id).map(|sale| {
            let number = sale.return_for.as_deref().and_then(number).unwrap_or_else(|| sale.invoice_number.clone());
            (number, sale.state, sale.gross().0)
        });
        shown.collect()
    }

    fn assert_sales(&self, order_id: &str, expected: &[(&str, There, i64)]) {
        let expected: Vec<Shown> =
            expected.iter().map(|(number, state, total)| ((*number).to_owned(), *state, *total)).collect();
        assert_eq!(self.sales(order_id), expected);
        self.assert_nothing_wrong();
    }

    /// The order comes to so much there, paid so.
    fn assert_stands(&self, order_id: &str, total: i64, tenders: &[(&str, i64)]) {
        let standing = self.sim.ledger().standing(order_id);
        let expected: BTreeMap<String, Pence> =
            tenders.iter().map(|(kind, amount)| ((*kind).to_owned(), Pence(*amount))).collect();
        assert_eq!((standing.total, standing.tenders), (Pence(total), expected), "{order_id}");
    }

    fn assert_nothing_wrong(&self) {
        assert_eq!((self.sim.violations(), self.sim.doubled()), (vec![], vec![]));
    }

    async fn applied(&self, order_id: &str) -> (String, Option<i64>) {
        let delivery = self.app.delivery_at(TILL, order_id).await;
        (delivery.state, delivery.applied)
    }

    /// The register is closed at the end of its day, and opened for the next.
    fn turn_the_day(&self) {
        self.sim.by_hand(|store, now| {
            assert!(store.close_register_by_hand(REGISTER, now) && store.open_register_by_hand(REGISTER, now));
        });
    }
}

fn pounds(minor: i64) -> Value {
    json!({"amount": minor, "currency": "GBP"})
}

fn item(item_type: &str, name: &str, price: i64, ordered: i64, fulfilled: i64) -> Value {
    json!({
        "id": name, "name": name, "type": item_type, "quantityOrdered": ordered, "quantityFulfilled": fulfilled,
        "price": pounds(price),
    })
}

fn paid(payment_type: &str, collected_by: &str, amount: i64) -> Value {
    json!({"type": payment_type, "collectedBy": collected_by, "payment": pounds(amount)})
}

/// An order of these items, paid so.
fn order_with(id: &str, version: i64, total: i64, items: &[Value], payments: &[Value]) -> Value {
    let mut order = order_of(id, version, "accepted", total);
    (order["items"], order["customerPayments"]) = (items.into(), payments.into());
    order
}

/// The documentation's example: a substitution, an adjustment, a voucher of the vendor and one of the platform.
fn example(version: i64) -> Value {
    let mut garlic = item("product", "Garlic Naan", 290, 1, 0);
    garlic["substitutionDetails"] = json!({"substitutedBy": ["Plain Naan"]});
    let mut plain = item("product", "Plain Naan", 290, 0, 1);
    plain["substitutionDetails"] = json!({"substitutedFor": ["Garlic Naan"]});
    let items = [
        item("product", "Lamb Bhuna", 1095, 2, 2),
        garlic,
        plain,
        item("adjustment", "late delivery", -200, 0, 1),
        item("voucher", "SAVE3", -300, 1, 1),
    ];
    let payments = [paid("online", "scoffable", 1829), paid("voucher", "scoffable", 500)];
    let mut order = order_with("812345", version, 2329, &items, &payments);
    (order["serviceFee"], order["deliveryFee"]) = (pounds(99), pounds(250));
    order["deliveryProvider"] = json!("vendor");
    order
}

fn as_status(mut order: Value, status: &str) -> Value {
    order["status"] = json!(status);
    order
}

#[tokio::test]
async fn the_documentations_example_is_posted_corrected_cancelled_and_accepted_again() {
    let mut till = Till::usual().await;

    till.bring(&example(3)).await;
    assert_eq!(till.applied("812345").await, ("applied".to_owned(), Some(3)));
    till.assert_sales("812345", &[("SCF-812345", There::Closed, 2329)]);
    till.assert_stands("812345", 2329, &[(ONLINE, 1829), (VOUCHER, 500)]);
    assert_eq!(till.sim.ledger().store().sale(ID).map(|sale| sale.lines.len()), Some(6));

    let mut cheaper = example(4);
    cheaper["serviceFee"] = pounds(0);
    cheaper["total"] = pounds(2230);
    cheaper["customerPayments"][0]["payment"] = pounds(1730);
    till.bring(&cheaper).await;
    till.assert_stands("812345", 2230, &[(ONLINE, 1730), (VOUCHER, 500)]);
    till.bring(&as_status(example(5), "cancelled")).await;
    till.assert_stands("812345", 0, &[]);
    till.bring(&example(6)).await;

    assert_eq!(till.applied("812345").await, ("applied".to_owned(), Some(6)));
    till.assert_sales(
        "812345",
        &[
            ("SCF-812345", There::Voided, 2329),
            ("SCF-812345-R2", There::Voided, 2230),
            ("SCF-812345-R3", There::Closed, 2329),
        ],
    );
    till.assert_stands("812345", 2329, &[(ONLINE, 1829), (VOUCHER, 500)]);
    crate::lightspeed_description::check(&till.sim);
}

#[tokio::test]
async fn an_order_whose_products_are_linked_takes_three_calls() {
    let mut till = Till::usual().await;
    till.bring(&example(1)).await;
    // What is known of it in memory is gone, what was linked is not.
    till.app.restart().await;
    till.bring(&order("0", 1, "accepted")).await;
    let before = till.sim.journal().total();

    for n in 1..=50 {
        till.app.publish(&order(&n.to_string(), 1, "accepted"));
    }
    till.app.poll().await;
    till.app.run_to_rest().await;

    let calls = till.sim.journal().total() - before;
    assert!(calls <= 150, "{calls} calls for 50 orders");
    for n in 1..=50 {
        till.assert_stands(&n.to_string(), 1250, &[(ONLINE, 1250)]);
    }
    till.assert_nothing_wrong();
}

#[tokio::test]
async fn reading_a_sale_back_may_be_left_to_a_sweep_for_two_calls_an_order() {
    let mut till = Till::with(&[("verify", "sweep")]).await;
    till.bring(&order("0", 1, "accepted")).await;
    let before = till.sim.journal().total();

    for n in 1..=20 {
        till.app.publish(&order(&n.to_string(), 1, "accepted"));
    }
    till.app.poll().await;
    till.app.run_to_rest().await;

    let calls = till.sim.journal().total() - before;
    assert!(calls <= 40, "{calls} calls for 20 orders");
    till.assert_nothing_wrong();
}

#[tokio::test]
async fn what_was_sold_on_an_earlier_day_is_returned_and_not_taken_back() {
    let mut till = Till::usual().await;
    let naans = |version, n: i64| {
        let items = [item("product", "Plain Naan", 290, 3, n), item("product", "Lamb Bhuna", 1095, 1, 1)];
        let total = 290 * n + 1095;
        order_with("1", version, total, &items, &[paid("online", "scoffable", total)])
    };
    till.bring(&naans(1, 3)).await;
    till.turn_the_day();

    till.bring(&naans(2, 1)).await;

    till.assert_sales("1", &[("SCF-1", There::Closed, 1965), ("return of SCF-1", There::Closed, -580)]);
    till.assert_stands("1", 1385, &[(ONLINE, 1385)]);
    till.bring(&as_status(naans(3, 1), "cancelled")).await;
    till.assert_stands("1", 0, &[]);
    till.bring(&naans(4, 2)).await;

    assert_eq!(till.applied("1").await, ("applied".to_owned(), Some(4)));
    till.assert_stands("1", 1675, &[(ONLINE, 1675)]);
    till.assert_nothing_wrong();
}

/// Cause: what was read of a register's opening was believed for minutes, in which it may be closed.
#[tokio::test]
async fn a_sale_whose_register_is_closed_before_it_is_taken_back_is_returned() {
    let mut till = Till::usual().await;
    till.bring(&order("1", 1, "accepted")).await;
    let throttled = status(429).retry_after(std::time::Duration::from_mins(1));
    till.sim.answer_next_to(Operation::UpdateSale, [throttled]);
    till.app.arrives(&order("1", 2, "cancelled")).await;

    till.turn_the_day();
    till.app.run_to_rest().await;

    till.assert_sales("1", &[("SCF-1", There::Closed, 1250), ("return of SCF-1", There::Closed, -1250)]);
}

#[tokio::test]
async fn an_order_that_is_paid_otherwise_after_all_is_returned_and_sold_anew_on_a_later_day() {
    let mut till = Till::usual().await;
    till.bring(&order("1", 1, "accepted")).await;
    till.turn_the_day();
    let mut in_cash = order("1", 2, "accepted");
    in_cash["customerPayments"] = json!([paid("cash", "vendor", 1250)]);

    till.bring(&in_cash).await;

    till.assert_sales(
        "1",
        &[("SCF-1", There::Closed, 1250), ("return of SCF-1", There::Closed, -1250), ("SCF-1-R2", There::Closed, 1250)],
    );
    till.assert_stands("1", 1250, &[(CASH, 1250)]);
}

#[tokio::test]
async fn a_lost_answer_leaves_one_sale_one_return_and_nothing_twice() {
    for fault in [cut_after(), cut_before(), status(502).after_the_effect(), status(500)] {
        let mut till = Till::usual().await;
        till.sim.answer_next_to(Operation::CreateSale, [fault.clone()]);
        till.bring(&order("1", 1, "accepted")).await;
        till.assert_sales("1", &[("SCF-1", There::Closed, 1250)]);
        till.turn_the_day();
        till.sim.answer_next_to(Operation::StartReturn, [fault.clone()]);
        till.sim.answer_next_to(Operation::UpdateSale, [fault]);

        till.bring(&order("1", 2, "cancelled")).await;

        assert_eq!(till.applied("1").await, ("applied".to_owned(), Some(2)));
        till.assert_sales("1", &[("SCF-1", There::Closed, 1250), ("return of SCF-1", There::Closed, -1250)]);
        till.assert_stands("1", 0, &[]);
    }
}

#[tokio::test]
async fn whatever_form_answers_have_they_are_understood() {
    let mut till = Till::usual().await;
    till.sim.change_manner(|manner| {
        (manner.write_answer, manner.return_answer) = (WriteAnswer::Id, ReturnAnswer::Semantic);
    });
    till.sim.change_rules(|rules| (rules.reposted, rules.returns_touch) = (Reposted::Doubles, false));

    till.bring(&order("1", 1, "accepted")).await;
    till.turn_the_day();
    till.bring(&order("1", 2, "cancelled")).await;

    till.assert_sales("1", &[("SCF-1", There::Closed, 1250), ("return of SCF-1", There::Closed, -1250)]);
}

#[tokio::test]
async fn the_legacy_dialect_posts_corrects_and_cancels_as_well() {
    let mut till = Till::with(&[("api", "legacy")]).await;

    till.bring(&order("1", 1, "accepted")).await;
    till.bring(&order_of("1", 2, "accepted", 900)).await;
    till.assert_stands("1", 900, &[(ONLINE, 900)]);
    till.bring(&order("1", 3, "cancelled")).await;

    assert_eq!(till.applied("1").await, ("applied".to_owned(), Some(3)));
    till.assert_stands("1", 0, &[]);
    till.assert_nothing_wrong();
}

#[tokio::test]
async fn an_order_that_a_person_changed_in_the_shop_is_told_and_never_overwritten() {
    let mut till = Till::usual().await;
    till.bring(&order("1", 1, "accepted")).await;
    assert!(till.sim.by_hand(|store, now| {
        let id = store.sales()[0].id.clone();
        store.edit_sale_by_hand(&id, now, |sale| sale.note.push_str(", no onions"))
    }));

    till.bring(&order_of("1", 2, "accepted", 900)).await;

    assert_eq!(till.applied("1").await, ("applied".to_owned(), Some(2)));
    assert_eq!(till.app.text("SELECT notice FROM deliveries").await.as_deref(), Some("remote_edited"));
    till.assert_sales("1", &[("SCF-1", There::Closed, 1250)]);
}

#[tokio::test]
async fn a_shop_that_takes_no_text_for_amounts_is_given_numbers() {
    let mut till = Till::usual().await;
    till.sim.change_rules(|rules| rules.money = scoffable_sync::simulator::lightspeed::MoneyStyle::Numbers);

    till.bring(&order("1", 1, "accepted")).await;

    assert_eq!(till.applied("1").await, ("applied".to_owned(), Some(1)));
    till.assert_stands("1", 1250, &[(ONLINE, 1250)]);
}

#[tokio::test]
async fn dishes_that_the_shop_lacks_are_sold_as_one_product_or_made() {
    for (missing, n_made) in [("generic", 1), ("create", 2)] {
        let mut till = Till::with(&[("missing_product", missing)]).await;
        let items = [item("product", "Mango Lassi", 350, 1, 1), item("product", "Papadom", 120, 2, 2)];
        let n_before = till.sim.ledger().store().products().len();

        till.bring(&order_with("1", 1, 590, &items, &[paid("online", "scoffable", 590)])).await;
        till.bring(&order_with("2", 1, 590, &items, &[paid("online", "scoffable", 590)])).await;

        till.assert_stands("2", 590, &[(ONLINE, 590)]);
        assert_eq!(till.sim.ledger().store().products().len() - n_before, n_made, "{missing}");
        till.assert_nothing_wrong();
    }
}

#[tokio::test]
async fn an_order_in_another_currency_waits_and_nothing_is_posted() {
    let mut till = Till::usual().await;
    let mut order = order("1", 1, "accepted");
    for pointer in ["/total", "/items/0/price", "/items/0/total", "/customerPayments/0/payment"] {
        order.pointer_mut(pointer).expect("the sample has it")["currency"] = json!("EUR");
    }

    till.app.arrives(&order).await;

    let delivery = till.app.delivery_at(TILL, "1").await;
    assert_eq!((delivery.state.as_str(), delivery.waiting_for.as_deref()), ("pending", Some("configuration")));
    assert_eq!(till.sales("1"), []);
}
