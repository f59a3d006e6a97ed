use proptest::prelude::*;

use super::*;
use crate::domain::{
    ids::{OrderId, SourceName},
    money::breakdown,
    order::{Collector, Item, ItemType, Order, PaymentType, sample},
};

fn gbp() -> Currency {
    Currency::parse("GBP").unwrap()
}

fn said(version: i64, status: Status, total: i64) -> Said {
    Said { version: Version(version), status, total: Some(total), currency: Some(gbp()) }
}

fn accepted(version: i64, total: i64) -> Said {
    said(version, Status::Accepted, total)
}

fn standing(state: State, applied: Option<Said>, posted: i64) -> Standing {
    let version = applied.as_ref().map(|applied| applied.version);
    Standing {
        state,
        reason: None,
        waiting_for: None,
        progress: Progress { applied: version, sent: version },
        applied,
        notice: None,
        external_id: None,
        posted,
        declared: 0,
    }
}

fn entry(newest: Said, delivery: impl Into<Option<Standing>>) -> Entry {
    Entry {
        order: OrderKey { source: SourceName::parse("main").unwrap(), order_id: OrderId::new("71") },
        vendor_id: Some(VendorId::new("vendor-a")),
        at: DateTime::UNIX_EPOCH,
        newest,
        breakdown: None,
        delivery: delivery.into(),
    }
}

/// An amount and its reason.
type Why = (i128, Option<String>);

/// What is pending and what is excluded, and the difference.
fn shares(entry: Entry) -> (Why, Why, i128) {
    let Statement { amounts, pending_reason, excluded_reason, .. } = Statement::of(entry);
    ((amounts.pending, pending_reason), (amounts.excluded, excluded_reason), amounts.difference)
}

fn why<'a>(reason: impl Into<Option<&'a str>>) -> Option<String> {
    reason.into().map(str::to_owned)
}

mod one_order {
    use super::*;

    #[test]
    fn at_rest_is_held_against_the_version_that_it_holds_to_the_penny() {
        let held = |posted| entry(accepted(3, 1250), standing(State::Applied, Some(accepted(3, 1250)), posted));

        assert_eq!(Statement::of(held(1250)).verdict, Verdict::Equal);
        for (posted, difference) in [(1249, -1), (1251, 1), (0, -1250)] {
            let statement = Statement::of(held(posted));
            assert_eq!((statement.verdict, statement.amounts.difference), (Verdict::Differs, difference));
        }
    }

    #[test]
    fn what_the_contract_lets_stand_beside_the_total_is_no_difference() {
        let goodwill = Standing { declared: 130, ..standing(State::Applied, Some(accepted(3, 400)), 530) };

        let statement = Statement::of(entry(accepted(3, 400), goodwill));

        assert_eq!((statement.verdict, statement.amounts.declared), (Verdict::Equal, 130));
    }

    #[test]
    fn that_was_never_owed_is_excluded_as_a_whole() {
        assert_eq!(shares(entry(accepted(1, 1250), None)), ((0, None), (1250, why(NEVER_OWED)), 0));
    }

    #[test]
    fn that_is_not_posted_yet_is_pending_with_what_it_waits_for() {
        let waiting = |state, waiting_for: Option<&str>| {
            let waiting_for = waiting_for.map(str::to_owned);
            entry(accepted(1, 1250), Standing { waiting_for, ..standing(state, None, 0) })
        };

        assert_eq!(shares(waiting(State::Pending, None)).0, (1250, why("due")));
        assert_eq!(shares(waiting(State::Pending, Some("stability"))).0, (1250, why("stability")));
        for state in [State::InFlight, State::InDoubt, State::Parked] {
            assert_eq!(shares(waiting(state, None)), ((1250, why(state.as_str())), (0, None), 0));
        }
    }

    #[test]
    fn whose_correction_is_on_its_way_is_pending_by_what_the_correction_changes() {
        let correction = entry(accepted(2, 900), standing(State::Pending, Some(accepted(1, 1250)), 1250));
        assert_eq!(shares(correction), ((-350, why("due")), (0, None), 0));
    }

    #[test]
    fn that_waits_cannot_hide_a_penny_that_was_wrong_before() {
        for state in [State::Pending, State::Parked] {
            let correction = entry(accepted(2, 900), standing(state, Some(accepted(1, 1250)), 1251));
            assert_eq!(shares(correction).2, 1, "{state}");
        }
    }

    #[test]
    fn whose_steps_are_under_way_lacks_what_is_not_there_yet() {
        let half_posted = |state, posted| {
            let progress = Progress { applied: None, sent: Some(Version(1)) };
            entry(accepted(1, 1250), Standing { progress, ..standing(state, None, posted) })
        };

        for state in [State::Pending, State::InFlight, State::InDoubt, State::Parked] {
            assert_eq!(shares(half_posted(state, 1000)).0.0, 250, "{state}");
            assert_eq!(shares(half_posted(state, 1000)).2, 0, "{state}");
        }
        // A person closed it: what stands then is explained by nothing.
        assert_eq!(shares(half_posted(State::Skipped, 1000)).2, 1000);
    }

    #[test]
    fn that_is_cancelled_is_excluded_and_what_still_stands_is_pending() {
        let cancelled = || said(2, Status::Cancelled, 1250);
        let before = entry(cancelled(), standing(State::Skipped, None, 0));
        let on_its_way = entry(cancelled(), standing(State::Pending, Some(accepted(1, 1250)), 1250));
        let after = |posted| entry(cancelled(), standing(State::Applied, Some(cancelled()), posted));

        assert_eq!(shares(before), ((0, None), (1250, why("skipped")), 0));
        assert_eq!(shares(on_its_way), ((-1250, why("due")), (1250, why("cancelled")), 0));
        assert_eq!(shares(after(0)), ((0, None), (1250, why("cancelled")), 0));
        assert_eq!(shares(after(1250)).2, 1250);
    }

    #[test]
    fn that_is_skipped_is_excluded_with_the_reason_beyond_what_stands() {
        let skipped = |reason: &str, newest, applied: Option<Said>, posted| {
            entry(newest, Standing { reason: why(reason), ..standing(State::Skipped, applied, posted) })
        };
        let placed = || said(1, Status::Placed, 1250);

        assert_eq!(shares(skipped("never_accepted", placed(), None, 0)).1, (1250, why("never_accepted")));
        assert_eq!(shares(skipped("stale", accepted(1, 1250), None, 0)).1, (1250, why("stale")));
        let filtered = skipped("filtered", accepted(2, 900), Some(accepted(1, 1250)), 1250);
        assert_eq!(shares(filtered), ((0, None), (-350, why("filtered")), 0));
        assert_eq!(shares(skipped("stale", accepted(1, 1250), None, 1)).2, 1);
    }

    #[test]
    fn whose_steps_were_ended_by_a_status_nobody_knows_excludes_what_they_did_not_bring() {
        let progress = Progress { applied: None, sent: Some(Version(1)) };
        let reason = why("unknown_status");
        let delivery = Standing { reason, progress, ..standing(State::Skipped, None, 1250) };

        let newest = said(2, Status::Other("on_hold".into()), 1250);

        assert_eq!(shares(entry(newest, delivery)), ((0, None), (0, why("unknown_status")), 0));
    }

    #[test]
    fn without_a_total_counts_as_none_and_says_so() {
        let lacking = Said { total: None, ..accepted(1, 0) };

        let statement = Statement::of(entry(lacking.clone(), standing(State::Parked, None, 0)));
        assert_eq!((statement.verdict, statement.lacks_total), (Verdict::Equal, true));

        let posted = Statement::of(entry(lacking.clone(), standing(State::Applied, Some(lacking), 5)));
        assert_eq!(posted.verdict, Verdict::Differs);
    }

    #[test]
    fn that_changed_its_currency_differs_and_mixes_nothing() {
        let yen = Said { currency: Some(Currency::parse("JPY").unwrap()), ..accepted(2, 900) };

        let statement = Statement::of(entry(yen, standing(State::Parked, Some(accepted(1, 1250)), 1250)));

        assert_eq!((statement.verdict, statement.notice), (Verdict::Differs, why(CURRENCY_CHANGED)));
        assert_eq!((statement.amounts.source, statement.amounts.posted), (900, 0));
    }
}

mod the_destination {
    use super::*;

    fn held() -> Statement {
        Statement::of(entry(accepted(3, 1250), standing(State::Applied, Some(accepted(3, 1250)), 1250)))
    }

    #[test]
    fn confirms_contradicts_or_cannot_say() {
        assert_eq!(held().with(&Seen::Worth(1250)).verdict, Verdict::Equal);
        let there = held().with(&Seen::Worth(1249));
        assert_eq!((there.verdict, there.difference_there()), (Verdict::DiffersThere, Some(-1)));
        let untold = held().with(&Seen::Untold("out_of_calls".to_owned()));
        assert_eq!((untold.verdict, untold.difference_there()), (Verdict::Unverified, None));
    }

    #[test]
    fn cannot_make_good_what_the_receipt_says_wrongly() {
        let wrong = || Statement::of(entry(accepted(3, 1250), standing(State::Applied, Some(accepted(3, 1250)), 1)));

        assert_eq!(wrong().with(&Seen::Worth(1)).verdict, Verdict::Differs);
        assert_eq!(wrong().with(&Seen::Untold("not_seen".to_owned())).verdict, Verdict::Differs);
    }
}

mod many_orders {
    use super::*;

    #[test]
    fn are_summed_by_currency_and_never_across() {
        let yen = Said { currency: Some(Currency::parse("JPY").unwrap()), ..accepted(1, 900) };
        let mut totals = Totals::default();
        let mut rows = Rows::default();
        for newest in [accepted(1, 1250), yen, accepted(1, 50)] {
            let statement = Statement::of(entry(newest, None));
            totals.add(&statement);
            rows.add(None, &statement);
        }

        let sums: Vec<(String, i128, u64)> = totals
            .by_currency()
            .map(|total| (total.currency.unwrap().to_string(), total.tally.amounts.source, total.tally.orders))
            .collect();
        assert_eq!(sums, [("GBP".to_owned(), 1300, 2), ("JPY".to_owned(), 900, 1)]);
        assert_eq!(rows.iter().count(), 2);
        assert!(totals.is_explained());
    }

    #[test]
    fn beyond_64_bits_still_add_up() {
        let mut totals = Totals::default();
        for _ in 0..3 {
            totals.add(&Statement::of(entry(accepted(1, i64::MAX), None)));
        }

        let total = totals.by_currency().next().unwrap();
        assert_eq!(total.tally.amounts.excluded, 3 * i128::from(i64::MAX));
        assert!(serde_json::to_string(total).is_ok());
    }
}

/// What happens to an order after it was accepted, one for each kind of change that the platform knows.
#[derive(Debug, Clone, Copy)]
enum Change {
    Nothing,
    Edit,
    OutOfStock,
    PriceMatchedSubstitute,
    DearerSubstitute,
    GoodwillSubstitute,
    Damage,
    LateRefund,
    Surcharge,
    Offer,
    VendorVoucher,
    PlatformVoucher,
    Fee,
    UnknownLine,
    UnexplainedTotal,
    Cancel,
    AcceptAgain,
    Reject,
}

impl Change {
    fn any() -> impl Strategy<Value = Self> {
        prop::sample::select(vec![
            Self::Nothing,
            Self::Edit,
            Self::OutOfStock,
            Self::PriceMatchedSubstitute,
            Self::DearerSubstitute,
            Self::GoodwillSubstitute,
            Self::Damage,
            Self::LateRefund,
            Self::Surcharge,
            Self::Offer,
            Self::VendorVoucher,
            Self::PlatformVoucher,
            Self::Fee,
            Self::UnknownLine,
            Self::UnexplainedTotal,
            Self::Cancel,
            Self::AcceptAgain,
            Self::Reject,
        ])
    }

    /// Makes the next version of an order; `amount` is how much it is about.
    fn happen(self, order: &mut Order, amount: i64) {
        let name = format!("{self:?}-{}", order.items.len());
        let line = |kind, price| sample::line(&name, kind, price, 1, 1);
        let replace = |order: &mut Order, rise: i64| -> Item {
            let original = &mut order.items[0];
            let price = original.price.map_or(0, |price| price.amount);
            original.quantity_fulfilled = Some(crate::domain::order::Quantity::whole(0));
            let instead_of = original.id.as_ref().map_or("", |id| id.as_str()).to_owned();
            sample::substitute(&name, price + rise, 1, &[&instead_of])
        };
        let total = |order: &Order| breakdown(order).expected.unwrap();
        let before = order.total.unwrap().amount;
        let new_lines = match self {
            Self::Nothing | Self::UnexplainedTotal => vec![],
            Self::Edit => vec![line(ItemType::Product, amount)],
            Self::OutOfStock => {
                order.items[0].quantity_fulfilled = Some(crate::domain::order::Quantity::whole(0));
                vec![]
            }
            Self::PriceMatchedSubstitute => {
                let matched = sample::adjustment(&format!("{name}-match"), -amount, &[&name]);
                vec![replace(order, amount), matched]
            }
            Self::DearerSubstitute | Self::GoodwillSubstitute => vec![replace(order, amount)],
            Self::Damage => {
                let about = order.items[0].id.as_ref().map_or("", |id| id.as_str()).to_owned();
                vec![sample::adjustment(&name, -amount, &[&about])]
            }
            Self::LateRefund => vec![sample::adjustment(&name, -amount, &[])],
            Self::Surcharge => vec![sample::adjustment(&name, amount, &[])],
            Self::Offer => vec![line(ItemType::Offer, -amount)],
            Self::VendorVoucher => vec![line(ItemType::Voucher, -amount)],
            Self::PlatformVoucher => {
                order.payments.push(sample::paid(PaymentType::Voucher, Collector::Scoffable, amount));
                vec![]
            }
            Self::Fee => {
                order.service_fee = Some(sample::pounds(amount));
                order.delivery_fee = Some(sample::pounds(amount * 2));
                vec![]
            }
            Self::UnknownLine => vec![line(ItemType::from_text("deposit"), amount)],
            Self::Cancel => {
                order.status = Status::Cancelled;
                vec![]
            }
            Self::AcceptAgain => {
                order.status = Status::Accepted;
                vec![]
            }
            Self::Reject => {
                order.status = Status::Rejected;
                vec![]
            }
        };
        order.items.extend(new_lines);
        order.version = Version(order.version.0 + 1);
        order.total = Some(sample::pounds(match self {
            Self::GoodwillSubstitute => before,
            Self::UnexplainedTotal => before + 37,
            _ => total(order),
        }));
    }
}

/// What a ledger does with each version: brings it, or is somewhere on the way, or lets it be.
#[derive(Debug, Clone, Copy)]
enum Brought {
    Applied,
    Waiting,
    Lost,
    HalfWay,
    Refused,
    Skipped,
}

fn brought() -> impl Strategy<Value = Brought> {
    prop_oneof![
        6 => Just(Brought::Applied),
        1 => Just(Brought::Waiting),
        1 => Just(Brought::Lost),
        1 => Just(Brought::HalfWay),
        1 => Just(Brought::Refused),
        1 => Just(Brought::Skipped),
    ]
}

/// A ledger that posts the total and, beside it, the goodwill.
#[derive(Debug, Default)]
struct Ledger {
    applied: Option<Said>,
    sent: Option<Version>,
    posted: i64,
    declared: i64,
}

impl Ledger {
    fn take(&mut self, order: &Order, how: Brought) -> Standing {
        let newest = of(order);
        let sheet = breakdown(order);
        let is_sale = order.status == Status::Accepted;
        let (total, goodwill) = if is_sale { (order.total.unwrap().amount, sheet.goodwill) } else { (0, 0) };
        let state = match how {
            _ if matches!(order.status, Status::Rejected) => State::Skipped,
            Brought::Applied => {
                (self.posted, self.declared) = (total + goodwill, goodwill);
                (self.applied, self.sent) = (Some(newest.clone()), Some(newest.version));
                State::Applied
            }
            Brought::Waiting => State::Pending,
            Brought::Lost => {
                self.sent = Some(newest.version);
                State::InDoubt
            }
            Brought::HalfWay => {
                self.sent = Some(newest.version);
                self.posted += 1;
                State::Pending
            }
            Brought::Refused => State::Parked,
            Brought::Skipped => State::Skipped,
        };
        // What was begun is not passed over.
        let state = match state {
            State::Skipped if self.sent > self.applied.as_ref().map(|applied| applied.version) => State::Pending,
            state => state,
        };
        let progress = Progress { applied: self.applied.as_ref().map(|applied| applied.version), sent: self.sent };
        Standing {
            progress,
            declared: self.declared,
            reason: why("some_reason").filter(|_| matches!(state, State::Skipped | State::Parked)),
            ..standing(state, self.applied.clone(), self.posted)
        }
    }
}

fn of(order: &Order) -> Said {
    let total = order.total.unwrap();
    Said {
        version: order.version,
        status: order.status.clone(),
        total: Some(total.amount),
        currency: Some(total.currency),
    }
}

type History = Vec<(Change, i64, Brought)>;

fn histories() -> impl Strategy<Value = Vec<History>> {
    let step = (Change::any(), 1..5_000_i64, brought());
    prop::collection::vec(prop::collection::vec(step, 0..8), 1..12)
}

/// What is known after each history, one order each.
fn entries(histories: &[History]) -> Vec<Entry> {
    let live = |(n, history): (usize, &History)| {
        let mut order = sample::order(1250, [sample::goods("a", 1000, 1), sample::goods("b", 250, 1)]);
        let mut ledger = Ledger::default();
        let mut delivery = ledger.take(&order, Brought::Applied);
        for (change, amount, how) in history {
            change.happen(&mut order, *amount);
            delivery = ledger.take(&order, *how);
        }
        let key = OrderKey { source: SourceName::parse("main").unwrap(), order_id: OrderId::new(format!("order-{n}")) };
        Entry { order: key, breakdown: Some(breakdown(&order)), ..entry(of(&order), delivery) }
    };
    histories.iter().enumerate().map(live).collect()
}

fn totals(entries: Vec<Entry>) -> Totals {
    let mut totals = Totals::default();
    for entry in entries {
        totals.add(&Statement::of(entry));
    }
    totals
}

proptest! {
    #[test]
    fn every_history_reconciles_to_zero(histories in histories()) {
        let totals = totals(entries(&histories));

        prop_assert!(totals.is_explained(), "{:#?}", totals.open);
        for total in totals.by_currency() {
            let Amounts { source, declared, posted, pending, excluded, difference } = total.tally.amounts;
            prop_assert_eq!((source + declared, difference), (posted + pending + excluded, 0));
        }
    }

    #[test]
    fn the_parts_of_any_order_add_up_to_its_total(histories in histories()) {
        for entry in entries(&histories) {
            let (total, sheet) = (entry.newest.stated(), entry.breakdown.clone().unwrap());
            let parts = Statement::of(entry).parts;

            prop_assert_eq!(parts.sum(), total);
            prop_assert_eq!(parts.residual, -i128::from(sheet.residual.unwrap()));
            prop_assert_eq!(parts.goodwill, -i128::from(sheet.goodwill));
            prop_assert_eq!(parts.adjustments + parts.refunds, i128::from(sheet.items.unwrap().adjustments));
            prop_assert!(parts.refunds <= 0);
        }
    }

    #[test]
    fn one_penny_more_or_less_in_one_ledger_amount_names_that_order_and_no_other(
        histories in histories(), which in any::<prop::sample::Index>(), penny in prop_oneof![Just(1_i64), Just(-1)],
    ) {
        let mut entries = entries(&histories);
        let which = which.index(entries.len());
        let delivery = entries[which].delivery.as_mut().unwrap();
        prop_assume!(!delivery.is_under_way());
        delivery.posted += penny;
        let name = entries[which].order.clone();

        let totals = totals(entries);

        let named: Vec<_> = totals.open.iter().map(|open| (open.order.clone(), open.amounts.difference)).collect();
        prop_assert_eq!(named, vec![(name, i128::from(penny))]);
    }
}
