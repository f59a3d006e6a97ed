//! One test per row of what is to be done, with the bodies as they go out.

use std::sync::Arc;

use super::*;
use crate::{
    config::{self, LoadOptions, SinkKind},
    domain::{
        delivery::{DeliveryKey, Progress},
        ids::{OrderId, OrderKey, SinkName, SourceName, Version},
        money::breakdown,
        order::{
            DeliveryProvider, Order, OrderType,
            sample::{goods, order, replaced},
        },
    },
    sinks::{Counterpart, Since, godatafeed::wire::Listed},
};

const ID: &str = "5512087";
const NUMBER: &str = "ord-4K0W9";
const MINUTE: Duration = Duration::from_mins(1);

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

/// The settings of a feed that may write, with these keys besides.
pub fn settings(keys: &[(&str, &str)]) -> GodatafeedSettings {
    let usual = [
        ("database.url", "embedded"),
        ("sources.main.kind", "scoffable"),
        ("sources.main.token", "token"),
        ("sinks.pos.kind", "webhook"),
        ("sinks.pos.url", "https://example.org"),
        ("sinks.pos.signing_secret", "c2ltdWxhdG9yIHNpZ25pbmcga2V5LCBub3Qgc2VjcmV0"),
        ("sinks.feed.kind", "godatafeed"),
        ("sinks.feed.after", "pos"),
        ("sinks.feed.token", "token"),
        ("sinks.feed.templates_confirmed", "true"),
    ];
    let own = keys.iter().map(|(key, value)| (format!("sinks.feed.{key}"), (*value).to_owned()));
    let overrides = usual.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).chain(own).collect();
    let settings = config::load(&LoadOptions { overrides, ..LoadOptions::default() });
    let settings = settings.unwrap_or_else(|error| panic!("{error}"));
    match &settings.sinks[&SinkName::parse("feed").unwrap()].kind {
        SinkKind::Godatafeed(settings) => (**settings).clone(),
        other => panic!("{other:?}"),
    }
}

/// An order and all that a plan may know of it.
#[derive(Clone)]
struct Case {
    settings: GodatafeedSettings,
    order: Order,
    listed: Vec<Listed>,
    may_be_cut: bool,
    known: Option<Known>,
    held: Option<Held>,
    number: Option<&'static str>,
    other: State,
    sent: bool,
    since: Since,
    now: DateTime<Utc>,
}

fn listed(gdf_id: &str) -> Listed {
    Listed {
        gdf_id: gdf_id.to_owned(),
        number: ID.to_owned(),
        purchased_at: Some(at("2026-03-14T18:02:11Z")),
        is_of_channel: true,
    }
}

/// An order that was accepted a few minutes ago, listed there, and inserted.
fn case() -> Case {
    let accepted = Order {
        order_type: Some(OrderType::Delivery),
        delivery_provider: Some(DeliveryProvider::Vendor),
        placed_at: Some(at("2026-03-14T18:02:11Z")),
        accepted_at: Some(at("2026-03-14T18:04:00Z")),
        ..order(1250, [goods("a", 1250, 1)])
    };
    Case {
        settings: settings(&[]),
        order: accepted,
        listed: vec![listed("G-300417")],
        may_be_cut: false,
        known: None,
        held: None,
        number: Some(NUMBER),
        other: State::Applied,
        sent: false,
        since: Since { received: MINUTE, owed: MINUTE, refused: None, begins_at: Some(at("2026-03-13T18:00:00Z")) },
        now: at("2026-03-14T18:10:00Z"),
    }
}

fn held(reached: Reached) -> Held {
    Held {
        gdf_id: "G-300417".to_owned(),
        purchased_at: Some(at("2026-03-14T18:02:11Z")),
        reached,
        number: Some(NUMBER.to_owned()),
        changed_number: None,
        ship_date: None,
        partial: false,
        cancel_asked: false,
    }
}

impl Case {
    fn with(keys: &[(&str, &str)]) -> Self {
        Self { settings: settings(keys), ..case() }
    }

    fn of(status: Status, reached: Option<Reached>) -> Self {
        let long_ago = Since { received: Duration::from_hours(1), ..case().since };
        Self { order: Order { status, ..case().order }, held: reached.map(held), since: long_ago, ..case() }
    }

    fn plan(&self) -> Plan {
        let key = DeliveryKey {
            sink: SinkName::parse("feed").unwrap(),
            order: OrderKey { source: SourceName::parse("main").unwrap(), order_id: OrderId::new(ID) },
        };
        let listing = Listing::of(self.listed.clone(), self.may_be_cut, self.now);
        let young = Known::Young { listing: Arc::new(listing), next_in: 3 * MINUTE };
        let receipt = self.held.as_ref().map(Held::receipt);
        let display = serde_json::json!({ "display_id": "42" });
        let counterpart = Counterpart { state: self.other, external_id: self.number, receipt: Some(&display) };
        plan(
            &self.settings,
            self.known.as_ref().unwrap_or(&young),
            &View {
                key: &key,
                version: Version(3),
                progress: Progress { applied: None, sent: self.sent.then_some(Version(3)) },
                receipt: receipt.as_ref(),
                external_id: None,
                order: &self.order,
                money: &breakdown(&self.order),
                payload: "{}",
                content_hash: b"",
                every_version: false,
                counterpart: Some(counterpart),
                since: self.since,
                now: self.now,
            },
        )
    }

    /// The plan once everything that is to be noted stands in the receipt.
    fn then(&self) -> (Self, Plan) {
        let mut case = self.clone();
        for _ in 0..5 {
            match case.plan() {
                Plan::Note(receipt) => case.held = Held::of(receipt.receipt.as_ref()).unwrap(),
                plan => return (case, plan),
            }
        }
        panic!("it notes without end");
    }

    #[track_caller]
    fn step(&self) -> Step {
        match self.then().1 {
            Plan::Send(step) => step,
            other => panic!("{other:?}"),
        }
    }

    #[track_caller]
    fn parked(&self) -> &'static str {
        match self.then().1 {
            Plan::Park { reason, hint, .. } => {
                assert!(hint.len() > 40, "{hint}");
                reason
            }
            other => panic!("{other:?}"),
        }
    }

    #[track_caller]
    fn waits(&self) -> (WaitingFor, Duration) {
        match self.then().1 {
            Plan::Wait { wait, waiting_for, .. } => (waiting_for, wait),
            other => panic!("{other:?}"),
        }
    }

    #[track_caller]
    fn notice(&self) -> Option<String> {
        match self.then().1 {
            Plan::Settled(receipt) => {
                assert_eq!(receipt.alert.map(|alert| alert.cause), receipt.notice.as_deref());
                receipt.notice
            }
            other => panic!("{other:?}"),
        }
    }
}

fn dispatched(at_time: &str) -> Case {
    let case = Case { held: Some(held(Reached::Acknowledged)), now: at("2026-03-14T18:50:00Z"), ..case() };
    Case { order: Order { dispatched_at: Some(at(at_time)), ..case.order.clone() }, ..case }
}

// Bodies.

#[test]
fn an_acknowledgement_carries_the_number_of_the_other_system() {
    let step = case().step();

    assert_eq!((step.name.as_str(), step.repeat, step.completes), (ACKNOWLEDGE, Repeat::Never, false));
    insta::assert_snapshot!(step.body, @r#"{"destinationOrderNumber":"ord-4K0W9"}"#);
    insta::assert_snapshot!(step.receipt.unwrap(), @r#"{"gdf_id":"G-300417","number":"ord-4K0W9","purchased_at":"2026-03-14T18:02:11Z","reached":"acknowledged","stands":true}"#);
    let display = Case::with(&[("destination_number", "display_id")]).step();
    insta::assert_snapshot!(display.body, @r#"{"destinationOrderNumber":"42"}"#);
}

#[test]
fn a_shipment_carries_date_and_time_and_who_carries_it() {
    let step = dispatched("2026-03-14T18:44:07.750Z").step();

    assert_eq!((step.name.as_str(), step.repeat, step.completes), (SHIP, Repeat::Once, false));
    insta::assert_snapshot!(step.body, @r#"{"status":"SHIPPED","shipDate":"2026-03-14T18:44:07Z","carrier":"Merchant delivery"}"#);
    let of = |order_type, delivery_provider| {
        let case = dispatched("2026-03-14T18:44:07Z");
        let order = Order { order_type, delivery_provider, ..case.order.clone() };
        Case { order, ..case }.step().body
    };
    insta::assert_snapshot!(of(Some(OrderType::Delivery), Some(DeliveryProvider::Uber)), @r#"{"status":"SHIPPED","shipDate":"2026-03-14T18:44:07Z","carrier":"Uber"}"#);
    insta::assert_snapshot!(of(Some(OrderType::Collection), None), @r#"{"status":"SHIPPED","shipDate":"2026-03-14T18:44:07Z","carrier":"Customer pickup"}"#);
    insta::assert_snapshot!(of(Some(OrderType::Delivery), None), @r#"{"status":"SHIPPED","shipDate":"2026-03-14T18:44:07Z"}"#);
}

#[test]
fn a_cancellation_carries_the_status_alone() {
    let step = Case::of(Status::Cancelled, Some(Reached::Acknowledged)).step();

    assert_eq!((step.name.as_str(), step.repeat, step.completes), (CANCEL, Repeat::Once, false));
    insta::assert_snapshot!(step.body, @r#"{"status":"CANCELLED"}"#);
}

#[test]
fn every_name_that_is_not_documented_can_be_another() {
    let keys = [
        ("fields.destination_number", "sellerOrderId"),
        ("fields.status", "orderStatus"),
        ("fields.ship_date", "shippedAt"),
        ("fields.tracking_number", "tracking"),
        ("fields.carrier", "shipper"),
        ("literals.shipped", "Shipped"),
        ("literals.cancelled", "CANCEL"),
        ("carriers.vendor", "Own rider"),
        ("tracking", "order_id"),
        ("ship_time_zone", "+01:00"),
    ];
    let settings = settings(&keys);
    let with = |case: Case| Case { settings: settings.clone(), ..case }.step().body;

    insta::assert_snapshot!(with(case()), @r#"{"sellerOrderId":"ord-4K0W9"}"#);
    insta::assert_snapshot!(with(dispatched("2026-03-14T18:44:07Z")), @r#"{"orderStatus":"Shipped","shippedAt":"2026-03-14T19:44:07+01:00","tracking":"5512087","shipper":"Own rider"}"#);
    insta::assert_snapshot!(with(Case::of(Status::Cancelled, Some(Reached::Acknowledged))), @r#"{"orderStatus":"CANCEL"}"#);
}

// What to do, by status and by how far the order has come.

#[test]
fn an_accepted_order_that_is_not_listed_waits_for_the_next_list_and_then_is_none() {
    let missing = Case { listed: Vec::new(), ..case() };
    assert_eq!(missing.waits(), (WaitingFor::Counterpart, 3 * MINUTE));

    let almost = Since { owed: Duration::from_hours(24).checked_sub(MINUTE).unwrap(), ..missing.since };
    assert_eq!(Case { since: almost, ..missing.clone() }.waits(), (WaitingFor::Counterpart, MINUTE));
    let over = Since { owed: Duration::from_hours(24), ..missing.since };
    assert_eq!(Case { since: over, ..missing }.plan(), Plan::skip(SkipReason::NoCounterpart));
}

#[test]
fn what_is_found_is_noted_with_the_number_before_it_is_acknowledged() {
    let Plan::Note(noted) = case().plan() else { panic!("not noted") };

    assert_eq!(noted.external_id.as_deref(), Some("G-300417"));
    assert_eq!(noted.receipt, Some(Held { reached: Reached::New, ..held(Reached::New) }.receipt()));
    assert_eq!(noted.receipt.unwrap()[STANDS], false);
}

#[test]
fn an_order_is_new_until_the_other_sink_certainly_holds_it() {
    for other in [State::InDoubt, State::Parked, State::Skipped] {
        assert_eq!(Case { other, ..case() }.waits().0, WaitingFor::Dependency, "{other}");
    }
    for number in [None, Some(""), Some(ID), Some(" 5512087 ")] {
        assert_eq!(Case { number, ..case() }.waits().0, WaitingFor::Dependency, "{number:?}");
    }
    let over = Since { owed: Duration::from_hours(24), ..case().since };
    assert_eq!(Case { number: None, since: over, ..case() }.parked(), "number_missing");
}

#[test]
fn a_number_that_may_have_been_told_stays_the_same_and_one_that_was_not_does_not() {
    let noted = Case { held: Some(held(Reached::New)), number: Some("ord-2"), ..case() };

    assert!(noted.step().body.contains("ord-2"));
    assert!(Case { sent: true, ..noted }.step().body.contains(NUMBER));
}

#[test]
fn an_acknowledged_order_is_shipped_when_the_stream_says_so_or_time_has_passed() {
    let acknowledged = Case { held: Some(held(Reached::Acknowledged)), ..case() };
    assert_eq!(acknowledged.waits(), (WaitingFor::Shipment, 54 * MINUTE));

    let later = Case { now: at("2026-03-14T19:04:00Z"), ..acknowledged.clone() };
    insta::assert_snapshot!(later.step().body, @r#"{"status":"SHIPPED","shipDate":"2026-03-14T19:04:00Z","carrier":"Merchant delivery"}"#);
    let delivered = Order { delivered_at: Some(at("2026-03-14T18:09:00Z")), ..acknowledged.order.clone() };
    assert!(Case { order: delivered, ..acknowledged.clone() }.step().body.contains("18:09:00Z"));
    let tracked = Order { delivery_provider: Some(DeliveryProvider::Uber), ..acknowledged.order.clone() };
    assert_eq!(Case { order: tracked, ..later }.waits().0, WaitingFor::Shipment, "its dispatch will be told");
}

#[test]
fn a_ship_time_once_noted_is_used_again_whatever_is_known_since() {
    let (noted, first) = dispatched("2026-03-14T18:44:07Z").then();

    let later = Order { dispatched_at: Some(at("2026-03-14T18:46:00Z")), ..noted.order.clone() };
    let again = Case { order: later, now: at("2026-03-14T19:50:00Z"), ..noted }.plan();

    assert_eq!(first, again);
}

#[test]
fn a_shipment_at_the_second_of_the_purchase_is_told_a_second_later() {
    let step = dispatched("2026-03-14T18:02:11.400Z").step();
    assert!(step.body.contains("2026-03-14T18:02:12Z"), "{}", step.body);

    let purchased_in_the_future =
        Held { purchased_at: Some(at("2026-03-14T18:50:10Z")), ..held(Reached::Acknowledged) };
    let case = Case { held: Some(purchased_in_the_future), ..dispatched("2026-03-14T18:44:07Z") };
    assert_eq!(case.waits(), (WaitingFor::Shipment, Duration::from_secs(11)));
}

#[test]
fn a_shipped_order_owes_nothing_more_and_says_what_a_person_should_know() {
    let shipped = Case { held: Some(held(Reached::Shipped)), ..case() };
    assert_eq!(shipped.notice(), None);

    let returned = Order { returned_at: Some(at("2026-03-14T18:09:00Z")), ..shipped.order.clone() };
    assert_eq!(Case { order: returned, ..shipped.clone() }.notice().as_deref(), Some("returned"));
    assert_eq!(Case { number: Some("ord-2"), ..shipped }.notice().as_deref(), Some("number_changed"));
}

#[test]
fn a_number_that_changes_after_the_acknowledgement_is_told_to_a_person_and_not_there() {
    let changed = Case { held: Some(held(Reached::Acknowledged)), number: Some("ord-2"), ..case() };

    let Plan::Note(noted) = changed.plan() else { panic!("not noted") };
    assert_eq!(noted.notice.as_deref(), Some("number_changed"));
    assert_eq!(noted.alert.map(|alert| alert.cause), Some("number_changed"));

    let (after, plan) = changed.then();
    assert!(matches!(plan, Plan::Wait { waiting_for: WaitingFor::Shipment, .. }), "{plan:?}");
    assert_eq!(after.held.unwrap().number.as_deref(), Some(NUMBER));
}

#[test]
fn a_cancellation_waits_for_its_grace_and_is_then_sent_from_new_and_from_acknowledged() {
    for reached in [None, Some(Reached::New), Some(Reached::Acknowledged)] {
        let cancelled = Case::of(Status::Cancelled, reached);
        let early = Since { received: 19 * MINUTE, ..cancelled.since };
        assert_eq!(Case { since: early, ..cancelled.clone() }.waits(), (WaitingFor::Grace, MINUTE), "{reached:?}");

        let step = Case { number: None, ..cancelled }.step();
        assert_eq!(step.name, CANCEL, "{reached:?}");
        assert_eq!(step.receipt.unwrap()[STANDS], false);
    }
}

#[test]
fn a_cancellation_during_a_doubt_of_the_other_sink_waits_only_where_it_was_acknowledged() {
    let doubtful = |reached| Case { other: State::InDoubt, ..Case::of(Status::Cancelled, reached) };

    assert_eq!(doubtful(None).step().name, CANCEL);
    assert_eq!(doubtful(Some(Reached::New)).step().name, CANCEL);
    assert_eq!(doubtful(Some(Reached::Acknowledged)).waits().0, WaitingFor::Dependency);
}

#[test]
fn a_cancelled_order_without_a_counterpart_is_dropped() {
    let cancelled = Case { listed: Vec::new(), ..Case::of(Status::Cancelled, None) };

    assert_eq!(cancelled.plan(), Plan::skip(SkipReason::CancelledBeforeSent));
}

#[test]
fn a_cancellation_after_the_shipment_is_a_persons() {
    assert_eq!(Case::of(Status::Cancelled, Some(Reached::Shipped)).parked(), "cancel_after_ship");
}

#[test]
fn what_was_cancelled_there_is_final() {
    assert_eq!(Case::of(Status::Cancelled, Some(Reached::Cancelled)).notice(), None);
    assert_eq!(Case::of(Status::Accepted, Some(Reached::Cancelled)).parked(), "cancelled_upstream");
}

#[test]
fn an_order_that_is_accepted_again_before_its_cancellation_was_sent_goes_on_as_before() {
    assert_eq!(Case::of(Status::Accepted, Some(Reached::New)).step().name, ACKNOWLEDGE);
    assert_eq!(Case::of(Status::Accepted, Some(Reached::Acknowledged)).waits().0, WaitingFor::Shipment);
}

#[test]
fn orders_that_were_placed_or_rejected_after_they_were_taken_over_are_flagged() {
    for status in [Status::Placed, Status::Rejected] {
        for reached in [Reached::Acknowledged, Reached::Shipped] {
            let case = Case::of(status.clone(), Some(reached));
            assert!(has_a_say(&status, Some(&held(reached).receipt()), false));
            assert_eq!(case.notice().as_deref(), Some("no_longer_accepted"), "{status}");
        }
        assert!(!has_a_say(&status, Some(&held(Reached::New).receipt()), false));
        assert!(!has_a_say(&status, None, false));
        assert_eq!(Case::of(status, None).plan(), Plan::skip(SkipReason::NeverAccepted));
    }
}

#[test]
fn a_rejected_order_is_cancelled_there_only_where_that_is_configured() {
    let configured = Case { settings: settings(&[("cancel_rejected", "true")]), ..Case::of(Status::Rejected, None) };

    assert!(has_a_say(&Status::Rejected, None, true));
    assert_eq!(configured.step().name, CANCEL);
    let acknowledged = Case { held: Some(held(Reached::Acknowledged)), ..configured };
    assert_eq!(acknowledged.notice().as_deref(), Some("no_longer_accepted"));
}

// Hard cases.

#[test]
fn two_new_orders_with_one_number_are_a_persons_to_tell_apart() {
    let two = vec![listed("G-1"), listed("G-2")];

    assert_eq!(Case { listed: two.clone(), ..case() }.parked(), "ambiguous_counterpart");
    assert_eq!(Case { listed: two, ..Case::of(Status::Cancelled, None) }.parked(), "ambiguous_counterpart");
}

#[test]
fn an_order_that_vanishes_before_we_took_it_over_is_a_persons_unless_the_list_may_be_cut() {
    for status in [Status::Accepted, Status::Cancelled] {
        let gone = Case { listed: Vec::new(), ..Case::of(status, Some(Reached::New)) };

        assert_eq!(gone.parked(), "taken_elsewhere");
        assert_eq!(Case { may_be_cut: true, ..gone }.waits().0, WaitingFor::Counterpart);
    }
}

#[test]
fn an_order_of_which_nothing_was_supplied_is_not_shipped_and_one_in_part_is() {
    let with = |items: Vec<crate::domain::order::Item>| {
        let case = dispatched("2026-03-14T18:44:07Z");
        Case { order: Order { items, ..case.order.clone() }, ..case }
    };

    assert_eq!(with(vec![replaced("a", 1250, 1, &[])]).parked(), "nothing_fulfilled");
    let part = with(vec![replaced("a", 1250, 1, &[]), goods("b", 300, 1)]).step();
    assert_eq!(part.receipt.unwrap()["partial"], true);
}

#[test]
fn other_items_and_amounts_after_the_acknowledgement_change_nothing() {
    let acknowledged = Case { held: Some(held(Reached::Acknowledged)), ..case() };
    let changed = Case { order: Order { items: vec![goods("z", 5, 9)], ..acknowledged.order.clone() }, ..acknowledged };

    assert_eq!(changed.waits().0, WaitingFor::Shipment);
    assert_eq!(Case { held: Some(held(Reached::Shipped)), ..changed }.notice(), None);
}

#[test]
fn a_refund_after_the_delivery_sends_nothing() {
    let delivered = Case { held: Some(held(Reached::Shipped)), ..dispatched("2026-03-14T18:44:07Z") };
    let refunded = Order {
        delivered_at: Some(at("2026-03-14T19:00:00Z")),
        total: Some(crate::domain::money::Money::new(0, crate::domain::money::Currency::parse("GBP").unwrap())),
        ..delivered.order.clone()
    };

    assert_eq!(Case { order: refunded, ..delivered }.notice(), None);
}

#[test]
fn orders_from_before_the_sink_was_there_are_left_alone_unless_somebody_asked_for_them() {
    let since = Since { begins_at: Some(at("2026-03-14T18:04:01Z")), ..case().since };
    for status in [Status::Accepted, Status::Cancelled] {
        let old = Case { since, ..Case::of(status.clone(), None) };
        let old = Case { since: Since { received: Duration::from_hours(1), ..since }, ..old };
        assert_eq!(old.plan(), Plan::skip(SkipReason::Stale), "{status}");

        let asked_for = Case { since: Since { begins_at: None, ..old.since }, ..old };
        assert!([ACKNOWLEDGE, CANCEL].contains(&asked_for.step().name.as_str()), "{status}");
    }
    let new = Case { since: Since { begins_at: Some(at("2026-03-14T18:04:00Z")), ..since }, ..case() };
    assert_eq!(new.step().name, ACKNOWLEDGE);
}

#[test]
fn a_list_is_asked_for_only_by_orders_that_need_it_and_not_by_each_after_a_failure() {
    for known in [Known::Nothing, Known::Failed { next_in: MINUTE }] {
        let with = |case: Case| Case { known: Some(known.clone()), ..case };
        for case in [case(), Case::of(Status::Cancelled, None)] {
            let expected = match known {
                Known::Nothing => Plan::Unread,
                _ => Plan::wait(MINUTE, WaitingFor::Counterpart),
            };
            assert_eq!(with(case).plan(), expected);
        }
        assert_eq!(with(dispatched("2026-03-14T18:44:07Z")).step().name, SHIP);
        assert_eq!(with(Case::of(Status::Cancelled, Some(Reached::Acknowledged))).step().name, CANCEL);
    }
}

#[test]
fn until_a_person_confirms_the_templates_every_step_is_shown_and_withheld() {
    let settings = settings(&[("templates_confirmed", "false")]);
    let cancelled = Case::of(Status::Cancelled, Some(Reached::Acknowledged));
    for case in [case(), dispatched("2026-03-14T18:44:07Z"), cancelled] {
        let (would, confirmed) = (case.step(), Case { settings: settings.clone(), ..case });
        let withheld = Plan::Withhold { step: would, wait: 5 * MINUTE, waiting_for: WaitingFor::Confirmation };
        assert_eq!(confirmed.then().1, withheld);
    }
}

#[test]
fn what_was_declined_is_cancelled_once_a_person_asks_and_at_once() {
    for status in [Status::Placed, Status::Rejected] {
        let asked = |reached| {
            let mut case = Case::of(status.clone(), Some(reached));
            case.since.received = Duration::ZERO;
            Case { held: Some(Held { cancel_asked: true, ..held(reached) }), ..case }
        };
        let receipt = asked(Reached::New).held.map(|held| held.receipt());
        assert!(has_a_say(&status, receipt.as_ref(), false));
        assert!(has_a_say(&status, Some(&serde_json::json!({ CANCEL_ASKED: true })), false));
        assert!(!has_a_say(&status, Some(&held(Reached::New).receipt()), false));

        for reached in [Reached::New, Reached::Acknowledged] {
            let step = asked(reached).step();
            assert_eq!(step.name, CANCEL, "{reached:?}");
            assert_eq!(step.receipt.unwrap().get(CANCEL_ASKED), None, "it is done then");
        }
        assert_eq!(asked(Reached::Shipped).parked(), "cancel_after_ship");
        assert_eq!(asked(Reached::Cancelled).notice(), None);
        assert_eq!(Case { listed: Vec::new(), ..asked(Reached::New) }.parked(), "taken_elsewhere");
    }
}

#[test]
fn what_a_person_wanted_cancelled_is_forgotten_once_it_is_accepted() {
    let asked = Case { held: Some(Held { cancel_asked: true, ..held(Reached::New) }), ..case() };

    assert_eq!(asked.plan(), Plan::Note(Receipt { receipt: Some(held(Reached::New).receipt()), ..Receipt::default() }));
    assert_eq!(asked.step().name, ACKNOWLEDGE);
}

#[test]
fn numbers_are_compared_whole_with_what_the_marketplace_puts_before_them() {
    let decorated = |prefix: &str| {
        let one = Listed { number: format!("SC-{ID}"), ..listed("G-1") };
        Case { listed: vec![one], ..Case::with(&[("match_prefix", prefix)]) }
    };

    let templated = |template: &str| {
        let one = Listed { number: format!("SC-{ID}-UK"), ..listed("G-1") };
        Case { listed: vec![one], ..Case::with(&[("match_template", template)]) }
    };
    assert_eq!(templated("SC-{id}-UK").step().name, ACKNOWLEDGE);
    assert_eq!(templated("SC-{id}").waits().0, WaitingFor::Counterpart);
    assert_eq!(decorated("SC-").step().name, ACKNOWLEDGE);
    assert_eq!(decorated("S").waits().0, WaitingFor::Counterpart);
    let other_channel = Listed { is_of_channel: false, ..listed("G-1") };
    assert_eq!(Case { listed: vec![other_channel], ..case() }.waits().0, WaitingFor::Counterpart);
}
