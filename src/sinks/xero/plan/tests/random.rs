//! Whatever becomes of an order, what stands at Xero comes to what the order says, or it is told why not.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::{
    domain::{money::breakdown, order::Status},
    simulator::world::{World, WorldOptions},
    sinks::xero::{
        config::{Correction, Delta, Goodwill, Mode, Unexplained},
        receipt::DocumentKind,
    },
    source::{self, SourceKind},
};

/// Versions are taken as they come; late ones, and those that no sink is asked about, are left out.
fn versions_of(world: &World, order_id: &str) -> Vec<String> {
    let mut newest = i64::MIN;
    let mut versions = Vec::new();
    for version in world.versions_of(order_id) {
        let payload = String::from_utf8(version.payload.to_vec()).expect("text");
        let Ok(order) = source::decode_stored(SourceKind::Scoffable, &payload) else { continue };
        let is_brought = matches!(order.status, Status::Accepted | Status::Cancelled);
        if order.version.0 > newest && is_brought {
            newest = order.version.0;
            versions.push(payload);
        }
    }
    versions
}

fn organisation() -> Facts {
    let currencies = ["GBP", "EUR", "USD", "JPY"].map(|code| crate::domain::money::Currency::parse(code).unwrap());
    Facts { currencies: currencies.into(), ..facts() }
}

/// Holds what stands against what one version says. Returns how it ended.
fn check(scene: &mut Scene, payload: &str) -> Result<&'static str, TestCaseError> {
    let order = source::decode_stored(SourceKind::Scoffable, payload).unwrap();
    let before = scene.documents.len() + scene.journals.len();
    let was_cancelled = order.status == Status::Cancelled;
    match scene.bring_payload(payload) {
        Ended::Settled { notice, .. } => {
            let sheet = breakdown(&order);
            let declared = scene.held().declared_minor;
            let expected = if was_cancelled { 0 } else { sheet.total.unwrap() + declared };
            prop_assert_eq!(scene.posted(), expected, "{}", payload);
            let receipt = scene.receipt.as_ref().unwrap();
            prop_assert_eq!(&receipt["money"]["posted_minor"], &Value::from(expected));
            prop_assert!(scene.documents.len() + scene.journals.len() <= before + 2);

            // Money: never more than was paid or than it comes to; all of it where nothing is told.
            let net: i64 = scene.paid().values().sum();
            let paid: i64 = order.payments.iter().filter_map(|one| one.amount).map(|money| money.amount).sum();
            if notice.as_deref() != Some("payments_differ") {
                let on_top = if scene.settings.goodwill == Goodwill::Receivable { declared } else { 0 };
                let capped = if was_cancelled { 0 } else { paid.min(expected - on_top) + on_top };
                prop_assert_eq!(net, capped, "{:?}: {}", notice, payload);
                let credit_left = scene
                    .documents
                    .values()
                    .filter(|kept| kept.kind == DocumentKind::CreditNote && kept.status.stands())
                    .map(|kept| kept.total - kept.applied)
                    .sum::<i64>();
                prop_assert_eq!(credit_left, 0, "{}", payload);
            }
            Ok("settled")
        }
        Ended::Skipped(SkipReason::CancelledBeforeSent) => {
            prop_assert_eq!(scene.documents.len(), 0);
            Ok("skipped")
        }
        Ended::Parked(reason) => {
            let known = [
                "mixed_currencies",
                "amount_unreadable",
                "total_missing",
                "price_missing",
                "quantity_missing",
                "currency_too_fine",
                "unknown_collector",
                "payment_unreadable",
                "unexplained_difference",
                "date_unknown",
            ];
            prop_assert!(known.contains(&reason), "{}: {}", reason, payload);
            Ok("parked")
        }
        Ended::Held(subject) => Err(TestCaseError::fail(format!("{subject}: {payload}"))),
        other @ Ended::Skipped(_) => Err(TestCaseError::fail(format!("{other:?}: {payload}"))),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn any_life_of_an_order_leads_to_documents_that_add_up_or_to_a_reason(
        seed in any::<u64>(),
        correction in prop::sample::select(vec![
            Correction::Delta, Correction::ReverseAndReplace, Correction::RewritePayments
        ]),
        goodwill in prop::sample::select(vec![Goodwill::Flag, Goodwill::Receivable]),
        unexplained in prop::sample::select(vec![Unexplained::Suspense, Unexplained::Hold]),
    ) {
        let world = World::generate(WorldOptions { seed, orders: 60, ..WorldOptions::default() });
        let settings = XeroSettings { correction, goodwill, unexplained, ..settings() };
        let mut ends = BTreeSet::new();
        for order_id in world.orders.keys() {
            let mut scene = Scene { facts: organisation(), ..Scene::with(settings.clone()) };
            for payload in versions_of(&world, order_id) {
                ends.insert(check(&mut scene, &payload)?);
                scene.now += chrono::TimeDelta::hours(2);
            }
        }
        prop_assert!(ends.contains("settled"), "{:?}", ends);
    }

    #[test]
    fn any_life_of_an_order_of_a_closed_day_adds_up_by_documents_and_by_journals(
        seed in any::<u64>(),
        delta in prop::sample::select(vec![Delta::Documents, Delta::Journal]),
        correction in prop::sample::select(vec![
            Correction::Delta, Correction::ReverseAndReplace, Correction::RewritePayments
        ]),
        goodwill in prop::sample::select(vec![Goodwill::Flag, Goodwill::Receivable]),
        unexplained in prop::sample::select(vec![Unexplained::Suspense, Unexplained::Hold]),
    ) {
        let world = World::generate(WorldOptions { seed, orders: 60, ..WorldOptions::default() });
        let mode = Mode::DailySummary;
        let settings = XeroSettings { mode, correction, delta, goodwill, unexplained, ..settings() };
        let (mut ends, mut n_journals) = (BTreeSet::new(), 0);
        for order_id in world.orders.keys() {
            let mut scene = Scene { facts: organisation(), ..Scene::with(settings.clone()) };
            for payload in versions_of(&world, order_id) {
                ends.insert(check(&mut scene, &payload)?);
                scene.now += chrono::TimeDelta::hours(2);
            }
            n_journals += scene.journals.len();
        }
        prop_assert!(ends.contains("settled"), "{:?}", ends);
        prop_assert_eq!(n_journals > 0, delta == Delta::Journal, "{}", n_journals);
    }
}
