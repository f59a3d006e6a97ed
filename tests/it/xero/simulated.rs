//! The whole sink with the whole daemon around it, at a strict simulated Xero.

mod avoided;
mod catalogue;
mod code_flow;
mod contacts;
mod corrections;
mod edited;
mod items;
mod judged;
mod locked;
mod rewritten;

use scoffable_sync::simulator::{
    faults::{cut_after, status},
    xero::{Cents, DocumentKind as Kind, Operation, Resource, Status, XeroLimits, XeroOptions, XeroSim},
};

use super::*;
use crate::harness::app::{order, order_of};

const ONLINE: &str = "611";
const CASH: &str = "612";

/// The daemon with one sink, and the books it keeps.
pub(super) struct Books {
    pub(super) app: TestApp,
    pub(super) sim: XeroSim,
}

/// The daemon with these keys besides, at a Xero that has these limits.
pub async fn at_xero_with(keys: &[(&str, &str)], limits: XeroLimits) -> (TestApp, XeroSim) {
    let setup = Setup::default();
    let sim = start(&setup, XeroOptions { limits, ..XeroOptions::default() }).await;
    let Books { app, sim } = Books::limited(setup, sim, keys).await;
    (app, sim)
}

/// On the clock of the daemon that is to be started.
pub(super) async fn start(setup: &Setup, options: XeroOptions) -> XeroSim {
    let options = XeroOptions { clock: setup.clock().clone(), ..options };
    XeroSim::start(options).await.expect("a loopback port is free")
}

/// One document as it stands: kind, number, state and total.
type Shown = (Kind, String, Status, i64);

impl Books {
    async fn usual() -> Self {
        Self::with(&[]).await
    }

    async fn with(keys: &[(&str, &str)]) -> Self {
        Self::at(keys, XeroOptions::default()).await
    }

    async fn at(keys: &[(&str, &str)], options: XeroOptions) -> Self {
        let setup = Setup::default();
        let sim = start(&setup, options).await;
        Self::of(setup, sim, keys).await
    }

    pub(super) async fn of(setup: Setup, sim: XeroSim, keys: &[(&str, &str)]) -> Self {
        let unlimited = [("limits.per_minute", "unlimited"), ("limits.per_day", "unlimited")];
        Self::limited(setup, sim, &[unlimited.as_slice(), keys].concat()).await
    }

    /// With the limits that a sink has by itself.
    async fn limited(setup: Setup, sim: XeroSim, keys: &[(&str, &str)]) -> Self {
        let options = sim.options().clone();
        let usual = [
            ("kind", "xero"),
            ("base_url", &sim.url()),
            ("token_url", &sim.token_url()),
            ("connections_url", &sim.connections_url()),
            ("client_id", &options.client_id),
            ("client_secret", &options.client_secret),
            ("scopes", "broad"),
            ("time_zone", "Europe/London"),
            ("stable_for", "0s"),
            ("tax_types.default", "OUTPUT2"),
            ("tax_types.untaxed", "NONE"),
            ("accounts.sales", "200"),
            ("accounts.service_fee", "201"),
            ("accounts.delivery_fee", "202"),
            ("accounts.vendor_voucher", "205"),
            ("accounts.rounding", "498"),
            ("accounts.difference", "499"),
            ("accounts.scoffable_clearing", ONLINE),
            ("accounts.cash", CASH),
            ("accounts.card_terminal", "613"),
        ];
        let mut setup = setup.without_hook();
        for (key, value) in usual.iter().chain(keys) {
            setup = setup.with(&format!("sinks.{BOOKS}.{key}"), value);
        }
        Self { app: setup.start().await, sim }
    }

    /// A version arrives, and whatever it leads to is done.
    async fn bring(&mut self, order: &Value) {
        self.app.arrives(order).await;
        self.app.run_to_rest().await;
    }

    /// The same where the order is left waiting for settings.
    async fn bring_until_held(&mut self, order: &Value) {
        self.app.arrives(order).await;
        self.app.run_until_only("configuration").await;
    }

    fn documents(&self) -> Vec<Shown> {
        let shown = |one: &scoffable_sync::simulator::xero::Document| {
            (one.kind, one.number.clone(), one.status, one.totals().total.0)
        };
        self.sim.by_hand(|books, _| books.documents().iter().map(shown).collect())
    }

    fn assert_documents(&self, expected: &[(Kind, &str, Status, i64)]) {
        let expected: Vec<Shown> = expected
            .iter()
            .map(|(kind, number, status, total)| (*kind, (*number).to_owned(), *status, *total))
            .collect();
        assert_eq!(self.documents(), expected);
    }

    /// The order is posted with this much, of which so much is on each account; and nothing was done wrong on the way.
    fn assert_comes_to(&self, order_id: &str, revenue: i64, paid: &[(&str, i64)]) {
        let ledger = self.sim.ledger();
        let on_accounts: Vec<(String, i64)> =
            ledger.payments_by_account(order_id).into_iter().map(|(account, amount)| (account, amount.0)).collect();
        let paid: Vec<(String, i64)> = paid.iter().map(|(account, amount)| ((*account).to_owned(), *amount)).collect();
        assert_eq!((ledger.revenue(order_id).0, on_accounts), (revenue, paid));
        drop(ledger);
        self.assert_nothing_wrong();
    }

    fn assert_nothing_wrong(&self) {
        assert_eq!((self.sim.violations(), self.sim.doubled()), (vec![], vec![]));
        assert_eq!(self.sim.by_hand(|books, _| books.overwrites().to_vec()), []);
    }

    fn n_writes(&self) -> u64 {
        self.sim.ledger().calls().writes
    }

    async fn applied(&self, order_id: &str) -> (String, Option<i64>) {
        applied(&self.app, order_id).await
    }

    async fn notice(&self, order_id: &str) -> Option<String> {
        sqlx::query_scalar("SELECT notice FROM deliveries WHERE order_id = $1")
            .bind(order_id)
            .fetch_one(&self.app.pool)
            .await
            .unwrap()
    }

    /// Causes of what was told and is not over, each as often as it was told anew.
    async fn alerts(&self) -> Vec<String> {
        sqlx::query_scalar("SELECT cause FROM alerts WHERE resolved_at IS NULL ORDER BY cause")
            .fetch_all(&self.app.pool)
            .await
            .unwrap()
    }
}

/// An order of these dishes, in minor units, paid online.
fn order_with(id: &str, version: i64, dishes: &[(&str, i64)]) -> Value {
    let total: i64 = dishes.iter().map(|(_, minor)| minor).sum();
    let mut order = order_of(id, version, "accepted", total);
    let dish = |(name, minor): &(&str, i64)| {
        json!({
            "id": name, "name": name, "type": "product", "quantityOrdered": 1, "quantityFulfilled": 1,
            "price": {"amount": minor, "currency": "GBP"}, "total": {"amount": minor, "currency": "GBP"},
        })
    };
    order["items"] = dishes.iter().map(dish).collect();
    order
}

pub(super) async fn applied(app: &TestApp, order_id: &str) -> (String, Option<i64>) {
    let delivery = app.delivery_at(BOOKS, order_id).await;
    (delivery.state, delivery.applied)
}

/// Nothing hangs on the invoice of such an order.
fn unpaid(mut order: Value) -> Value {
    order["customerPayments"] = json!([]);
    order
}

fn paid_in(mut order: Value, tenders: &[(&str, &str, i64)]) -> Value {
    let tender = |(kind, holder, minor): &(&str, &str, i64)| json!({"type": kind, "collectedBy": holder, "payment": {"amount": minor, "currency": "GBP"}});
    order["customerPayments"] = tenders.iter().map(tender).collect();
    order
}

#[tokio::test]
async fn an_order_is_invoiced_and_paid_and_what_changes_is_credited() {
    let mut books = Books::usual().await;

    books.bring(&order("812345", 1, "accepted")).await;
    assert_eq!(books.applied("812345").await, ("applied".to_owned(), Some(1)));
    books.bring(&order_of("812345", 2, "accepted", 1000)).await;

    assert_eq!(books.applied("812345").await, ("applied".to_owned(), Some(2)));
    books.assert_documents(&[
        (Kind::Invoice, "SCF-812345", Status::Paid, 1250),
        (Kind::CreditNote, "SCF-812345-C1", Status::Paid, 250),
    ]);
    books.assert_comes_to("812345", 1000, &[(ONLINE, 1000)]);
}

#[tokio::test]
async fn a_lost_answer_leaves_one_invoice() {
    let mut books = Books::usual().await;
    // After the reading of the organisation.
    books.bring(&order("1", 1, "accepted")).await;
    books.sim.faults().answer_next([cut_after()]);

    books.bring(&order("2", 1, "accepted")).await;
    books.app.advance(Duration::from_secs(30));
    books.app.run_to_rest().await;

    assert_eq!(books.applied("2").await.0, "applied");
    books.assert_comes_to("2", 1250, &[(ONLINE, 1250)]);
}

fn notes(sim: &XeroSim) -> Vec<String> {
    sim.by_hand(|books, _| {
        let notes = books.documents().iter().flat_map(|document| books.notes(&document.id));
        notes.map(|note| note.details.clone()).collect()
    })
}

#[tokio::test]
async fn a_version_that_is_posted_is_noted_once_although_the_answer_is_lost() {
    let mut books = Books::with(&[("history_notes", "true")]).await;
    books.sim.answer_next_to(Operation::Annotate(Resource::Invoices), [cut_after()]);

    books.bring(&order("1", 1, "accepted")).await;

    assert_eq!(books.applied("1").await.0, "applied");
    assert_eq!(notes(&books.sim), ["Scoffable 1 v1: invoice SCF-1 of 12.50 GBP; it comes to 12.50 GBP"]);
    books.assert_nothing_wrong();
}

#[tokio::test]
async fn a_note_that_is_refused_holds_up_no_order() {
    let mut books = Books::with(&[("history_notes", "true")]).await;
    books.sim.answer_next_to(Operation::Annotate(Resource::Invoices), [status(400)]);

    books.bring(&order("1", 1, "accepted")).await;

    assert_eq!((books.applied("1").await.0, notes(&books.sim)), ("applied".to_owned(), vec![]));
}
