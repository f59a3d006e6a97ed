//! What stands, by what the tables say. Pure: the only place that decides about these causes.

use std::{collections::BTreeMap, time::Duration};

use chrono::{DateTime, Utc};

use crate::{
    config::{Settings, WatchSettings},
    domain::{arrivals, limits::Window},
    ops::health::Ago,
    store::{
        alerts::Standing,
        status::CallBudget,
        watch::{Credential, Failing, MOST_COUNTED, Probed, Stream, Suspect},
    },
};

/// Causes that [`standing`] decides about.
pub const CAUSES: [&str; 6] =
    ["breaker_open", "budget_low", "credential_expiring", "order_failing", "poison_order", "source_silent"];
/// The cause that [`missing`] decides about.
pub const NOTHING_ARRIVES: &str = "nothing_arrives";

/// A process may be killed while it works at an order; the third time the order is suspected of it.
pub const POISON_LOSSES: i64 = 3;
/// A stream is not called silent before, however often it is polled.
const SHORTEST_SILENCE: Duration = Duration::from_mins(15);
/// How long an unused refresh token lives. Source: Xero developer documentation, "The standard authorization code flow": 60
/// days. Assumed of the others, whose documentation names none.
const UNUSED_LIFE: Duration = Duration::from_hours(60 * 24);

/// What the tables say.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    pub now: DateTime<Utc>,
    pub streams: Vec<Stream>,
    pub failing: Vec<Failing>,
    pub suspects: Vec<Suspect>,
    pub probed: Vec<Probed>,
    pub credentials: Vec<Credential>,
    pub budgets: Vec<CallBudget>,
}

/// From when on something is told.
#[derive(Debug, Clone)]
pub struct Rules {
    watch: WatchSettings,
    /// Of each configured source, how long it may be silent. Nobody reads the others.
    silence: BTreeMap<String, Duration>,
    /// The configured sinks: nobody renews the credentials of others.
    sinks: Vec<String>,
}

impl Rules {
    pub fn of(settings: &Settings) -> Self {
        let most = |interval: Duration| interval.saturating_mul(settings.watch.silent_polls).max(SHORTEST_SILENCE);
        Self {
            watch: settings.watch.clone(),
            silence: settings.sources.iter().map(|(name, s)| (name.to_string(), most(s.poll_interval))).collect(),
            sinks: settings.sinks.keys().map(ToString::to_string).collect(),
        }
    }
}

/// Everything that stands.
pub fn standing(facts: &Facts, rules: &Rules) -> Vec<Standing> {
    let silent = facts.streams.iter().filter_map(|stream| silent(stream, rules));
    let failing = facts.failing.iter().map(failing);
    let suspects = facts.suspects.iter().map(poison);
    let probed = facts.probed.iter().map(probed);
    let credentials = facts.credentials.iter().filter_map(|credential| expiring(credential, facts.now, rules));
    let budgets = facts.budgets.iter().filter_map(|budget| low(budget, facts.now, rules));
    silent.chain(failing).chain(suspects).chain(probed).chain(credentials).chain(budgets).collect()
}

fn once(cause: &'static str, subject: String, detail: String) -> Standing {
    Standing { cause, subject, detail, count: 1 }
}

fn silent(stream: &Stream, rules: &Rules) -> Option<Standing> {
    let most = *rules.silence.get(&stream.source)?;
    (stream.silent_for > most).then(|| {
        let silent = Ago(stream.silent_for.as_secs() as i64);
        let detail =
            format!("no page of the stream was stored for {silent}: see `status` and last_error in `sync_status`");
        once("source_silent", stream.source.clone(), detail)
    })
}

fn failing(sink: &Failing) -> Standing {
    let orders = if sink.orders >= MOST_COUNTED { format!("{MOST_COUNTED} or more") } else { sink.orders.to_string() };
    let detail = format!(
        "orders that could not be brought and are tried again by themselves: {orders}; {} since {}, see `order`",
        sink.first,
        shown(sink.since)
    );
    Standing { cause: "order_failing", subject: sink.sink.clone(), detail, count: sink.orders }
}

fn poison(suspect: &Suspect) -> Standing {
    let Suspect { sink, source, order_id, losses } = suspect;
    let detail = format!(
        "{losses} processes were lost while they worked at this order: if nothing else ended them, report it and pause the sink"
    );
    Standing { cause: "poison_order", subject: format!("{sink}/{source}/{order_id}"), detail, count: *losses }
}

fn probed(part: &Probed) -> Standing {
    let reason = part.reason.as_deref().unwrap_or("unknown");
    let since = part.since.map(|since| format!(" since {}", shown(since))).unwrap_or_default();
    let detail =
        format!("it failed so often ({reason}) that it is only probed{since}: orders wait and lose no attempts");
    let subject = if part.lane.is_empty() { part.sink.clone() } else { format!("{}/{}", part.sink, part.lane) };
    once("breaker_open", subject, detail)
}

fn expiring(credential: &Credential, now: DateTime<Utc>, rules: &Rules) -> Option<Standing> {
    let Credential { sink, unused_for } = credential;
    let left = UNUSED_LIFE.saturating_sub(*unused_for);
    (rules.sinks.contains(sink) && left < rules.watch.credential_ahead).then(|| {
        let detail = format!(
            "its refresh token could not be renewed for {} and lapses unused about {}: see `doctor`, or authorise the application again",
            Ago(unused_for.as_secs() as i64),
            shown(now + left)
        );
        once("credential_expiring", sink.clone(), detail)
    })
}

fn low(budget: &CallBudget, now: DateTime<Utc>, rules: &Rules) -> Option<Standing> {
    // What is used up is told by whoever used it; shorter windows come and go.
    let is_long = budget.window >= Window::Day && budget.full_until.is_none();
    let at = budget.runs_out_at.filter(|at| is_long && *at < now + rules.watch.budget_ahead)?;
    let limit = budget.limit.map(|limit| format!(" of {limit}")).unwrap_or_default();
    let detail = format!(
        "{}{limit} calls of this {} are used, and the rest runs out at {} if they go on like this: see `budget`",
        budget.used,
        budget.window,
        shown(at)
    );
    let subject = format!("{}/{}", budget.scope.trim_start_matches("sink:"), budget.window);
    Some(once("budget_low", subject, detail))
}

/// Whether it stands that nothing arrives from a source whose end is reached. `counts` are those of
/// [`arrivals::same_hours`]. What was told once ends with an order, and not with the hour.
pub fn missing(source: &str, counts: &[i64], is_told: bool, usual_orders: u32) -> Option<Standing> {
    let detail = match arrivals::missed(counts, usual_orders) {
        Some(usual) => format!(
            "no order was placed within an hour that usually has {usual}: if the restaurants are open, look at the platform"
        ),
        None if is_told && counts.first() == Some(&0) => "no order was placed since".to_owned(),
        None => return None,
    };
    Some(once(NOTHING_ARRIVES, source.to_owned(), detail))
}

fn shown(at: DateTime<Utc>) -> impl std::fmt::Display {
    at.format("%Y-%m-%dT%H:%M:%SZ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_hours(24);

    fn rules() -> Rules {
        Rules {
            watch: WatchSettings::default(),
            silence: [("main".to_owned(), Duration::from_mins(20))].into(),
            sinks: vec!["books".to_owned()],
        }
    }

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn told(facts: &Facts) -> Vec<(&'static str, String)> {
        let told = standing(facts, &rules());
        assert!(told.iter().all(|alert| CAUSES.contains(&alert.cause)), "{told:?}");
        told.into_iter().map(|alert| (alert.cause, alert.subject)).collect()
    }

    fn silent_for(source: &str, minutes: u64) -> Facts {
        let silent_for = Duration::from_mins(minutes);
        let stream = Stream { source: source.to_owned(), silent_for, is_caught_up: true };
        Facts { streams: vec![stream], ..Facts::default() }
    }

    #[test]
    fn nothing_stands_where_nothing_is_the_matter() {
        assert_eq!(told(&Facts::default()), []);
    }

    #[test]
    fn a_stream_is_silent_beyond_its_own_limit_and_only_while_it_is_configured() {
        assert_eq!(told(&silent_for("main", 20)), []);
        assert_eq!(told(&silent_for("main", 21)), [("source_silent", "main".to_owned())]);
        assert_eq!(told(&silent_for("gone", 21)), []);
    }

    #[test]
    fn orders_that_fail_are_one_alert_with_their_count() {
        let since = at("2026-03-01T12:00:00Z");
        let failing = Failing { sink: "books".to_owned(), orders: 3, first: "main/A-1".to_owned(), since };

        let told = standing(&Facts { failing: vec![failing], ..Facts::default() }, &rules());

        assert_eq!((told[0].cause, told[0].subject.as_str(), told[0].count), ("order_failing", "books", 3));
        assert!(told[0].detail.contains("main/A-1 since 2026-03-01T12:00:00Z"), "{}", told[0].detail);
    }

    #[test]
    fn a_part_of_a_destination_is_named_with_its_destination() {
        let part = |lane: &str| Probed { sink: "pos".into(), lane: lane.into(), reason: None, since: None };

        let told = told(&Facts { probed: vec![part(""), part("BL-1")], ..Facts::default() });

        assert_eq!(told, [("breaker_open", "pos".to_owned()), ("breaker_open", "pos/BL-1".to_owned())]);
    }

    #[test]
    fn a_refresh_token_is_told_of_a_fortnight_before_it_lapses() {
        let unused = |sink: &str, unused_for| {
            told(&Facts { credentials: vec![Credential { sink: sink.to_owned(), unused_for }], ..Facts::default() })
        };

        assert_eq!(unused("books", 46 * DAY), []);
        assert_eq!(unused("books", 46 * DAY + DAY / 24), [("credential_expiring", "books".to_owned())]);
        assert_eq!(unused("books", 90 * DAY), [("credential_expiring", "books".to_owned())]);
        assert_eq!(unused("gone", 90 * DAY), []);
    }

    #[test]
    fn a_budget_is_low_when_its_end_is_near_and_not_reached_yet() {
        let now = at("2026-03-01T12:00:00Z");
        let budget = |window, out: Option<&str>, full: Option<&str>| CallBudget {
            scope: "sink:books".to_owned(),
            window,
            used: 4_000,
            limit: Some(5_000),
            learned_limit: None,
            learned_remaining: None,
            resets_at: None,
            full_until: full.map(at),
            runs_out_at: out.map(at),
        };
        let low = |budget| told(&Facts { now, budgets: vec![budget], ..Facts::default() });
        let soon = Some("2026-03-01T15:59:00Z");

        assert_eq!(low(budget(Window::Day, soon, None)), [("budget_low", "books/day".to_owned())]);
        assert_eq!(low(budget(Window::Day, Some("2026-03-01T16:00:00Z"), None)), []);
        assert_eq!(low(budget(Window::Hour, soon, None)), []);
        assert_eq!(low(budget(Window::Day, soon, Some("2026-03-01T18:00:00Z"))), []);
        assert_eq!(low(budget(Window::Day, None, None)), []);
    }

    #[test]
    fn a_silence_that_was_told_ends_with_an_order_and_not_with_the_hour() {
        let stands = |counts: &[i64], is_told| missing("main", counts, is_told, 8).is_some();

        assert!(stands(&[0, 9, 9, 9], false));
        assert!(!stands(&[0, 1, 1, 1], false));
        assert!(stands(&[0, 1, 1, 1], true));
        assert!(!stands(&[1, 9, 9, 9], true));
    }
}
