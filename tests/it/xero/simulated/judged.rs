//! Orders and answers that do not add up: posted openly, or set aside with nothing paid.

use scoffable_sync::simulator::xero::LinesWithoutIds;

use super::*;

/// Its lines come to 12.50, and it says another total, which is what was paid.
fn off_by(version: i64, minor: i64) -> Value {
    let mut order = order("1", version, "accepted");
    order["total"]["amount"] = json!(1250 + minor);
    order["customerPayments"][0]["payment"]["amount"] = json!(1250 + minor);
    order
}

impl Books {
    fn on_account(&self, account: &str) -> i64 {
        self.sim.ledger().revenue_by_account("1").get(account).map_or(0, |amount| amount.0)
    }
}

#[tokio::test]
async fn a_difference_that_nothing_explains_is_posted_where_it_can_be_seen_and_told() {
    let mut books = Books::usual().await;

    books.bring(&off_by(1, 300)).await;

    assert_eq!((books.on_account("200"), books.on_account("499")), (1250, 300));
    assert_eq!(
        (books.notice("1").await.as_deref(), books.alerts().await),
        (Some("unexplained"), vec!["unexplained".to_owned()])
    );
    books.assert_comes_to("1", 1550, &[(ONLINE, 1550)]);

    // A version that adds up takes it off again.
    books.bring(&off_by(2, 0)).await;
    assert_eq!((books.on_account("200"), books.on_account("499")), (1250, 0));
    assert_eq!((books.notice("1").await, books.alerts().await), (None, vec![]));
    books.assert_comes_to("1", 1250, &[(ONLINE, 1250)]);
}

#[tokio::test]
async fn a_difference_that_nothing_explains_may_be_held_until_a_version_adds_up() {
    let mut books = Books::with(&[("unexplained", "hold")]).await;

    books.bring(&off_by(1, 300)).await;
    let parked = books.app.delivery_at(BOOKS, "1").await;
    assert_eq!((parked.state.as_str(), parked.reason.as_deref()), ("parked", Some("unexplained_difference")));
    assert_eq!(books.documents(), []);
    books.bring(&off_by(2, 0)).await;

    assert_eq!(books.applied("1").await, ("applied".to_owned(), Some(2)));
    books.assert_comes_to("1", 1250, &[(ONLINE, 1250)]);
}

#[tokio::test]
async fn pennies_are_rounding_and_nobody_is_told() {
    let mut books = Books::usual().await;

    books.bring(&off_by(1, 2)).await;

    assert_eq!((books.on_account("200"), books.on_account("498")), (1250, 2));
    assert_eq!((books.notice("1").await, books.alerts().await), (None, vec![]));
    books.assert_comes_to("1", 1252, &[(ONLINE, 1252)]);
}

#[tokio::test]
async fn a_document_that_xero_reckons_a_penny_otherwise_is_not_paid() {
    let mut books = Books::usual().await;
    books.sim.change_manner(|manner| manner.misstates_totals_by = Cents(1));

    books.bring(&order("1", 1, "accepted")).await;

    let parked = books.app.delivery_at(BOOKS, "1").await;
    assert_eq!((parked.state.as_str(), parked.reason.as_deref()), ("parked", Some("total_mismatch")));
    assert_eq!(books.alerts().await, ["dead_letter"]);
    books.assert_documents(&[(Kind::Invoice, "SCF-1", Status::Authorised, 1250)]);
    books.assert_comes_to("1", 1250, &[]);

    // Nor by a version that comes later: a person looks first.
    books.bring(&order_of("1", 2, "accepted", 1000)).await;
    assert_eq!(books.app.delivery_at(BOOKS, "1").await.state, "parked");
    books.assert_comes_to("1", 1250, &[]);
}

/// Whether lines without ids take the place of all lines is not documented.
#[tokio::test]
async fn an_update_that_added_lines_instead_of_replacing_them_is_not_paid() {
    let mut books = Books::usual().await;
    books.sim.change_rules(|rules| rules.lines_without_ids = LinesWithoutIds::Add);
    books.bring(&unpaid(order("1", 1, "accepted"))).await;

    books.bring(&order_of("1", 2, "accepted", 1000)).await;

    let parked = books.app.delivery_at(BOOKS, "1").await;
    assert_eq!((parked.state.as_str(), parked.reason.as_deref()), ("parked", Some("total_mismatch")));
    books.assert_comes_to("1", 2250, &[]);
}
