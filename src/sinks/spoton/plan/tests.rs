use std::time::Duration;

use serde_json::json;

use super::*;
use crate::{
    domain::{
        delivery::{DeliveryKey, FORMER_IDS, Progress},
        ids::{OrderId, OrderKey, SinkName, SourceName, Version},
        money::breakdown,
    },
    sinks::{Since, spoton::testing::settings},
    source::{self, SourceKind},
};

const PLACED: &str = "2026-03-14T18:00:00Z";

fn minutes(n: i64) -> DateTime<Utc> {
    PLACED.parse::<DateTime<Utc>>().unwrap() + chrono::Duration::minutes(n)
}

fn order(version: i64, status: &str, total: i64) -> Value {
    let gbp = |amount: i64| json!({"amount": amount, "currency": "GBP"});
    json!({
        "id": "71", "version": version, "status": status, "type": "collection", "vendorId": "vendor-a",
        "placedAt": PLACED, "total": gbp(total),
        "items": [{"id": "a", "name": "Naan", "type": "product", "quantityOrdered": 1, "quantityFulfilled": 1,
                   "price": gbp(total)}],
    })
}

/// What is planned for one version, so many minutes after the order was placed.
struct Look {
    settings: SpotonSettings,
    receipt: Option<Value>,
    external_id: Option<String>,
    sent: Option<i64>,
    minute: i64,
}

impl Look {
    fn new() -> Self {
        Self { settings: settings(), receipt: None, external_id: None, sent: None, minute: 1 }
    }

    fn holding(held: &Held) -> Self {
        Self { receipt: Some(held.receipt()), sent: Some(held.version), ..Self::new() }
    }

    fn at(self, minute: i64) -> Self {
        Self { minute, ..self }
    }

    fn resubmitting(mut self) -> Self {
        self.settings.on_change = OnChange::CancelAndResubmit;
        self
    }

    fn plan(&self, order: &Value) -> Plan {
        let payload = order.to_string();
        let order = source::decode_stored(SourceKind::Scoffable, &payload).expect("it can be read");
        let key = DeliveryKey {
            sink: SinkName::parse("pos").unwrap(),
            order: OrderKey { source: SourceName::parse("main").unwrap(), order_id: OrderId::new("71") },
        };
        plan(
            &self.settings,
            &View {
                key: &key,
                version: order.version,
                progress: Progress { applied: self.sent.map(Version), sent: self.sent.map(Version) },
                receipt: self.receipt.as_ref(),
                external_id: self.external_id.as_deref(),
                money: &breakdown(&order),
                order: &order,
                payload: &payload,
                content_hash: &[],
                every_version: false,
                since: Since { received: Duration::ZERO, owed: Duration::ZERO, refused: None, begins_at: None },
                counterpart: None,
                now: minutes(self.minute),
            },
        )
    }
}

fn step(plan: Plan) -> Step {
    match plan {
        Plan::Send(step) => step,
        other => panic!("nothing is sent: {other:?}"),
    }
}

fn settled_with(plan: Plan) -> Receipt {
    match plan {
        Plan::Settled(receipt) => receipt,
        other => panic!("not settled: {other:?}"),
    }
}

fn skipped(plan: Plan) -> (SkipReason, Option<Alert>) {
    match plan {
        Plan::Skip { reason, alert } => (reason, alert),
        other => panic!("not skipped: {other:?}"),
    }
}

fn after(step: &Step) -> Held {
    Held::deserialize(step.receipt.as_ref().unwrap()).unwrap()
}

/// Version 1, submitted for 1000.
fn submitted() -> Held {
    Held { order_id: Some("ord-1".to_owned()), ..after(&step(Look::new().plan(&order(1, "accepted", 1000)))) }
}

fn n_resubmitted(held: Held, n: u32) -> Held {
    Held { resubmissions: n, ..held }
}

#[test]
fn a_new_order_is_submitted_once_and_never_repeated() {
    let step = step(Look::new().plan(&order(1, "accepted", 1000)));

    assert_eq!((step.name.as_str(), step.key.as_str()), (SUBMIT, "scoffable-71-1"));
    assert_eq!((step.repeat, step.completes), (Repeat::Never, true));
    let receipt = step.receipt.unwrap();
    assert_eq!((&receipt["n"], &receipt["order_id"], &receipt["stands"]), (&json!(1), &Value::Null, &json!(true)));
    assert_eq!(receipt["money"], json!({"posted_minor": 1000, "declared_minor": 0}));
    assert_eq!(receipt["location_id"], "BL-7Q2M-0ZK4-88TD");
}

#[test]
fn the_same_again_is_settled_and_a_change_is_told_and_left_to_people() {
    let look = Look::holding(&submitted());

    let same = settled_with(look.plan(&order(2, "accepted", 1000)));
    assert_eq!((same.notice, same.alert), (None, None));
    assert_eq!(same.receipt.unwrap()["version"], 2);

    let told = settled_with(look.plan(&order(3, "accepted", 900)));
    assert_eq!(told.notice.as_deref(), Some(DIVERGED));
    let alert = told.alert.unwrap();
    assert_eq!((alert.cause, &alert.about), (DIVERGED, &About::Order));
    assert!(["ord-1", "1000", "900"].iter().all(|named| alert.detail.contains(named)), "{}", alert.detail);
    let receipt = told.receipt.unwrap();
    assert_eq!(receipt["diverged"], json!({"version": 3, "total_minor": 900}));
    assert_eq!((&receipt["total_minor"], &receipt["version"]), (&json!(1000), &json!(1)), "both totals are kept");
    assert_eq!(receipt["money"], json!({"posted_minor": 1000, "declared_minor": 100}), "staff have to mend 1.00");
}

#[test]
fn a_change_that_is_taken_back_diverges_no_more() {
    let diverged = Held { diverged: Some(Diverged { version: 3, total_minor: Some(900) }), ..submitted() };

    let settled = settled_with(Look::holding(&diverged).plan(&order(4, "accepted", 1000)));

    assert_eq!((settled.notice, &settled.receipt.unwrap()["diverged"]), (None, &Value::Null));
}

#[test]
fn with_cancel_and_resubmit_the_old_one_is_cancelled_first_and_the_new_one_has_the_next_number() {
    let cancel = step(Look::holding(&submitted()).resubmitting().plan(&order(2, "accepted", 900)));
    assert_eq!((cancel.name.as_str(), cancel.key.as_str()), (CANCEL, "scoffable-71-1-cancel"));
    assert_eq!(
        (cancel.body.as_str(), cancel.repeat, cancel.completes),
        ("", Repeat::Within(CANCEL_REPEATED_FOR), false)
    );

    let submit = step(Look::holding(&after(&cancel)).resubmitting().plan(&order(2, "accepted", 900)));
    assert_eq!((submit.name.as_str(), submit.key.as_str(), submit.completes), (SUBMIT, "scoffable-71-2", true));
    assert_eq!(after(&submit).resubmissions, 1);
}

#[test]
fn an_order_is_resubmitted_at_most_three_times_and_only_while_it_is_fresh() {
    let change = order(9, "accepted", 900);
    let look = |n, minute| Look::holding(&n_resubmitted(submitted(), n)).resubmitting().at(minute);

    assert_eq!(step(look(2, 60).plan(&change)).name, CANCEL);
    assert_eq!(settled_with(look(3, 1).plan(&change)).notice.as_deref(), Some(DIVERGED));
    assert_eq!(settled_with(look(0, 61).plan(&change)).notice.as_deref(), Some(DIVERGED));
}

#[test]
fn what_was_delivered_or_returned_is_never_resubmitted() {
    for field in ["deliveredAt", "returnedAt"] {
        let mut refunded = order(2, "accepted", 900);
        refunded[field] = json!("2026-03-14T18:30:00Z");

        let told = settled_with(Look::holding(&submitted()).resubmitting().plan(&refunded));

        assert_eq!(told.notice.as_deref(), Some(DIVERGED), "{field}");
    }
}

#[test]
fn nothing_is_cancelled_for_an_order_that_could_not_be_submitted_again() {
    let mut unsellable = order(2, "accepted", 900);
    unsellable["total"]["amount"] = json!(500);

    let plan = Look::holding(&submitted()).resubmitting().plan(&unsellable);
    let flagged = settled_with(Look::holding(&submitted()).plan(&unsellable));

    assert!(matches!(plan, Plan::Park { reason: "totals_do_not_add_up", .. }), "{plan:?}");
    assert_eq!(flagged.notice.as_deref(), Some(DIVERGED));
}

#[test]
fn a_cancelled_order_is_cancelled_there_by_its_id_and_that_may_be_repeated() {
    let first = step(Look::holding(&submitted()).plan(&order(2, "cancelled", 1000)));
    assert_eq!(
        (first.name.as_str(), first.repeat, first.completes),
        (CANCEL, Repeat::Within(CANCEL_REPEATED_FOR), true)
    );
    let receipt = first.receipt.unwrap();
    assert_eq!((&receipt["stands"], &receipt["money"]["posted_minor"]), (&json!(false), &json!(0)));
}

#[test]
fn an_adopted_order_is_cancelled_by_the_id_a_person_gave() {
    let adopted = Held { order_id: None, ..submitted() };
    let look = Look { external_id: Some("ord-9".to_owned()), ..Look::holding(&adopted) };

    assert_eq!(after(&step(look.plan(&order(2, "cancelled", 1000)))).order_id.as_deref(), Some("ord-9"));
}

#[test]
fn an_order_of_which_nothing_was_submitted_is_not_cancelled() {
    assert_eq!(skipped(Look::new().plan(&order(2, "cancelled", 1000))), (SkipReason::CancelledBeforeSent, None));
}

#[test]
fn accepted_again_it_is_submitted_as_the_next_one_while_it_is_fresh_and_told_of_otherwise() {
    let cancelled = after(&step(Look::holding(&submitted()).plan(&order(2, "cancelled", 1000))));

    let again = step(Look::holding(&cancelled).at(60).plan(&order(3, "accepted", 1000)));
    assert_eq!((again.key.as_str(), after(&again).resubmissions), ("scoffable-71-2", 0));
    assert_eq!(again.receipt.unwrap()[FORMER_IDS], json!(["ord-1"]), "no look-up may take it for another's");

    let (reason, alert) = skipped(Look::holding(&cancelled).at(61).plan(&order(3, "accepted", 1000)));
    let alert = alert.expect("a person is told");
    assert_eq!((reason, alert.cause, alert.about), (SkipReason::Stale, "stale", About::Order));
}

#[test]
fn a_cancelled_order_that_stays_cancelled_asks_for_nothing() {
    let cancelled = after(&step(Look::holding(&submitted()).plan(&order(2, "cancelled", 1000))));

    let settled = settled_with(Look::holding(&cancelled).plan(&order(3, "cancelled", 1000)));

    assert_eq!((settled.notice, &settled.receipt.unwrap()["stands"]), (None, &json!(false)));
}

#[test]
fn nothing_old_is_ever_submitted_and_history_is_passed_over_in_silence() {
    assert_eq!(step(Look::new().at(60).plan(&order(1, "accepted", 1000))).name, SUBMIT);
    let (reason, alert) = skipped(Look::new().at(61).plan(&order(1, "accepted", 1000)));
    assert_eq!(reason, SkipReason::Stale);
    assert_eq!(alert.map(|alert| alert.about), Some(About::Shared("BL-7Q2M-0ZK4-88TD".to_owned())));
    let (reason, alert) = skipped(Look::new().at(24 * 60).plan(&order(1, "accepted", 1000)));
    assert_eq!((reason, alert), (SkipReason::Stale, None));
}

#[test]
fn age_counts_from_the_acceptance_where_there_is_one() {
    let mut late = order(1, "accepted", 1000);
    late["acceptedAt"] = json!("2026-03-14T20:00:00Z");
    assert_eq!(step(Look::new().at(179).plan(&late)).name, SUBMIT);

    let mut undated = order(1, "accepted", 1000);
    undated.as_object_mut().unwrap().remove("placedAt");
    let plan = Look::new().plan(&undated);
    assert!(matches!(plan, Plan::Park { reason: "age_unknown", curable: true, .. }), "{plan:?}");
}

#[test]
fn a_vendor_without_a_location_is_skipped_and_told_of_once_for_all_its_orders() {
    let mut elsewhere = order(1, "accepted", 1000);
    elsewhere["vendorId"] = json!("vendor-z");

    let (reason, alert) = skipped(Look::new().plan(&elsewhere));

    let alert = alert.expect("a person is told");
    assert_eq!((reason, alert.cause), (SkipReason::UnmappedVendor, "unmapped_vendor"));
    assert_eq!(alert.about, About::Shared("vendor-z".to_owned()));
}

#[test]
fn an_order_stays_at_the_location_it_was_submitted_to() {
    let mut moved = Look::holding(&submitted());
    moved.settings.vendors.get_mut("vendor-a").unwrap().location_id = "BL-NEW0-NEW0-NEW0".to_owned();

    let cancel = step(moved.plan(&order(2, "cancelled", 1000)));

    assert_eq!(after(&cancel).location_id, "BL-7Q2M-0ZK4-88TD");
    moved.settings.vendors.clear();
    assert_eq!(step(moved.plan(&order(2, "cancelled", 1000))).name, CANCEL, "also when its vendor is mapped no more");
}

#[test]
fn what_the_merchant_cancelled_is_told_and_never_submitted_again() {
    let cancelled = Held { state: HeldState::CancelledThere, ..submitted() };
    let look = Look::holding(&cancelled).resubmitting();

    for total in [1000, 900] {
        let told = settled_with(look.plan(&order(3, "accepted", total)));
        assert_eq!(told.notice.as_deref(), Some(DIVERGED));
        assert_eq!(
            told.receipt.unwrap()["money"],
            json!({"posted_minor": 0, "declared_minor": -total}),
            "to be explained"
        );
    }
    let rests = settled_with(look.plan(&order(3, "cancelled", 1000)));
    assert_eq!(rests.notice, None, "then nothing is left to say");
    assert_eq!(rests.receipt.unwrap()["money"], json!({"posted_minor": 0, "declared_minor": 0}));
}

#[test]
fn what_never_arrived_is_submitted_under_the_same_reference() {
    let absent = Held { state: HeldState::Absent, order_id: None, ..submitted() };

    let again = step(Look::holding(&absent).plan(&order(1, "accepted", 1000)));

    assert_eq!((again.key.as_str(), after(&again).resent, after(&again).n), ("scoffable-71-1", true, 1));
    let (reason, alert) = skipped(Look::holding(&absent).at(61).plan(&order(1, "accepted", 1000)));
    assert_eq!((reason, alert.is_some()), (SkipReason::Stale, true));
}

#[test]
fn a_receipt_that_cannot_be_read_parks() {
    let look = Look { receipt: Some(json!({"n": "many"})), ..Look::new() };

    assert!(matches!(look.plan(&order(2, "accepted", 900)), Plan::Park { reason: "unreadable_receipt", .. }));
}

#[test]
fn goodwill_is_noticed_while_the_order_stands() {
    let held = Held { remarks: vec![json!(Remark::Goodwill)], ..submitted() };

    assert_eq!(held.known(None).notice.as_deref(), Some("goodwill"));
    assert_eq!(Held { state: HeldState::Cancelled, ..held }.known(None).notice, None);
}
