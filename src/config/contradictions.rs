//! Settings of different tables that cannot both be meant. Each finding names both keys and what would happen.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    catalogue::Kept,
    delivery::{DeliverySettings, LEASE_MARGIN},
    duration::shown,
    problems::Problems,
    retention::RetentionSettings,
    sink::{SinkCommon, SinkKind, SinkSettings},
    source::SourceSettings,
};
use crate::{
    catalogue::estimate::{self, Load},
    domain::ids::{SinkName, SourceName},
};

type Sinks = BTreeMap<SinkName, SinkCommon>;
type Sources = BTreeMap<SourceName, SourceSettings>;

pub(super) fn check(
    delivery: &DeliverySettings,
    retention: &RetentionSettings,
    sources: &Sources,
    sinks: &Sinks,
    problems: &mut Problems,
) {
    leases_outlast_requests(delivery, sinks, problems);
    drains_outlast_requests(delivery, sinks, problems);
    attempts_outlast_failing(retention, sinks, problems);
    nothing_waits_in_a_circle(sinks, problems);
    accounts_have_one_limit(sources, problems);
    tokens_are_used_once(sources, problems);
    every_source_has_a_sink(sources, sinks, problems);
}

/// What two sinks post of one vendor is in the books twice.
pub(super) fn no_vendor_has_two_ledgers(sinks: &Sinks, kinds: &BTreeMap<SinkName, SinkKind>, problems: &mut Problems) {
    let ledgers: Vec<(&SinkName, bool)> =
        kinds.iter().filter_map(|(name, kind)| Some((name, kind.permits_other_ledgers()?))).collect();
    let vendors = |name: &SinkName| {
        let of_all = || Some(sinks[name].vendors.as_ref()?.iter().map(String::as_str).collect());
        kinds[name].own_vendors().or_else(of_all)
    };
    for (at, (name, permits)) in ledgers.iter().enumerate() {
        let shares = |other: &&(&SinkName, bool)| match (vendors(name), vendors(other.0)) {
            (Some(own), Some(others)) => own.iter().any(|vendor| others.contains(vendor)),
            _ => true,
        };
        let Some((other, _)) = ledgers[..at].iter().filter(|(_, other)| !(*permits && *other)).find(shares) else {
            continue;
        };
        problems.add(
            format!("sinks.{name}.vendors"),
            format!("`sinks.{other}` keeps books of the same vendor: its sales would be counted twice"),
            "name different `vendors` in the two, or set `allow_multiple_ledgers = true` in both where that is meant",
        );
    }
}

/// Readings have to leave room for orders, which cost calls as well and are not counted here.
pub(super) fn catalogues_fit_their_budgets(sinks: &BTreeMap<SinkName, SinkSettings>, problems: &mut Problems) {
    for (name, sink) in sinks {
        let Some(Kept { settings, kinds, costs, .. }) = sink.kind.catalogue() else { continue };
        let Some(allowed) = estimate::allowed(&sink.call_limits().1) else { continue };
        let load = Load { settings, costs, kinds: &kinds, reads_back: true, orders_a_month: 0 };
        let planned = estimate::of(&load).total;
        if planned <= allowed {
            continue;
        }
        let knob = estimate::knob(&load);
        let helps = knob.map_or_else(
            || "raise `limits` where the destination allows more".to_owned(),
            |knob| format!("`{} = \"{}\"` helps most: it saves {} of them", knob.setting, knob.value, knob.saves),
        );
        problems.warn(
            format!("sinks.{name}.catalogue"),
            format!("plans {planned} calls in 30 days, and the limits allow {allowed}, orders included"),
            helps,
        );
    }
}

fn leases_outlast_requests(delivery: &DeliverySettings, sinks: &Sinks, problems: &mut Problems) {
    for (name, sink) in sinks {
        let key = format!("sinks.{name}.request_timeout");
        let needed = sink.request_timeout + LEASE_MARGIN;
        if delivery.lease >= needed || !problems.none_about(&["delivery.lease", &key]) {
            continue;
        }
        problems.add(
            &key,
            format!(
                "is {}, but `delivery.lease` is {}: a lease could end while its request is under way, and another \
                 process would send the same order",
                shown(sink.request_timeout),
                shown(delivery.lease)
            ),
            format!("set `delivery.lease` to {} or more, or shorten the timeout", shown(needed)),
        );
    }
}

fn drains_outlast_requests(delivery: &DeliverySettings, sinks: &Sinks, problems: &mut Problems) {
    let Some((name, sink)) = sinks.iter().max_by_key(|(_, sink)| sink.request_timeout) else { return };
    let key = format!("sinks.{name}.request_timeout");
    if sink.request_timeout > delivery.drain && problems.none_about(&["delivery.drain", &key]) {
        problems.warn(
            "delivery.drain",
            format!(
                "is {}, shorter than `{key}` ({}): a stop can cut a request off, and its order is then in doubt",
                shown(delivery.drain),
                shown(sink.request_timeout)
            ),
            format!("use {} or more", shown(sink.request_timeout)),
        );
    }
}

fn attempts_outlast_failing(retention: &RetentionSettings, sinks: &Sinks, problems: &mut Problems) {
    let Some(kept) = retention.attempts.limit() else { return };
    let Some((name, sink)) = sinks.iter().max_by_key(|(_, sink)| sink.retry.give_up_after) else { return };
    let key = format!("sinks.{name}.retry.give_up_after");
    if sink.retry.give_up_after > kept && problems.none_about(&["retention.attempts", &key]) {
        problems.warn(
            "retention.attempts",
            format!(
                "is {}, shorter than `{key}` ({}): how an order came to fail is forgotten before it is given up",
                shown(kept),
                shown(sink.retry.give_up_after)
            ),
            format!("use {} or more", shown(sink.retry.give_up_after)),
        );
    }
}

/// A sink waits for at most one other, so a walk from each finds every circle; each is told once, at its first name.
fn nothing_waits_in_a_circle(sinks: &Sinks, problems: &mut Problems) {
    for first in sinks.keys() {
        let mut circle = vec![first];
        let mut at = first;
        while let Some(next) = sinks.get(at).and_then(|sink| sink.after.as_ref()) {
            if next == first && circle.iter().all(|name| *name >= first) {
                let names: Vec<&str> = circle.iter().chain([&first]).map(|name| name.as_str()).collect();
                problems.add(
                    format!("sinks.{first}.after"),
                    format!("closes a circle, in which no sink would ever begin: {}", names.join(" after ")),
                    "remove one `after` of the circle",
                );
            }
            if circle.contains(&next) {
                break;
            }
            circle.push(next);
            at = next;
        }
    }
}

fn accounts_have_one_limit(sources: &Sources, problems: &mut Problems) {
    let mut first_of = BTreeMap::<&str, (&SourceName, &SourceSettings)>::new();
    for (name, source) in sources {
        let (first, other) = *first_of.entry(&source.account).or_insert((name, source));
        let limits = (source.account_requests_per_minute, other.account_requests_per_minute);
        let key = format!("sources.{name}.account_requests_per_minute");
        let other_key = format!("sources.{first}.account_requests_per_minute");
        if limits.0 != limits.1 && problems.none_about(&[&key, &other_key]) {
            problems.add(
                key,
                format!(
                    "is {}, but `{other_key}` is {} and both belong to account {:?}, which has one limit",
                    limits.0, limits.1, source.account
                ),
                "give both the same value, or each its own `account`",
            );
        }
    }
}

/// Two streams of one token are possible (with different `min_age_minutes`), but then every order comes twice.
fn tokens_are_used_once(sources: &Sources, problems: &mut Problems) {
    for (at, (name, source)) in sources.iter().enumerate() {
        let earlier = sources.iter().take(at);
        let same = |(_, other): &(&SourceName, &SourceSettings)| {
            other.base_url == source.base_url && other.token.is_same_as(&source.token)
        };
        if let Some((other, _)) = earlier.into_iter().find(same) {
            problems.warn(
                format!("sources.{name}.token"),
                format!("is the token of `sources.{other}`: every order arrives twice, once from each source"),
                "remove one of the two, or tell the sinks apart by `sources`",
            );
        }
    }
}

fn every_source_has_a_sink(sources: &Sources, sinks: &Sinks, problems: &mut Problems) {
    let taken: BTreeSet<&SourceName> = sinks
        .values()
        .flat_map(|sink| match &sink.sources {
            Some(listed) => listed.iter().collect::<Vec<_>>(),
            None => sources.keys().collect(),
        })
        .collect();
    for name in sources.keys().filter(|name| !taken.contains(name)) {
        problems.warn(
            format!("sources.{name}"),
            "no sink takes its orders: they are stored and go nowhere",
            "add a sink, or name this source in the `sources` of one",
        );
    }
}
