//! No window ever holds more than allowed, whoever asks in whatever order and whatever the clock does.

use proptest::prelude::*;

use super::*;

mod pace;

const SCOPE: &str = "sink:hook";

fn limit(window: Window, max_calls: u32) -> Limit {
    Limit { scope: SCOPE.to_owned(), lane: None, window, max_calls: Some(max_calls) }
}

fn ask(class: Class, calls: u32) -> Ask {
    Ask { lane: String::new(), class, calls }
}

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn noon() -> DateTime<Utc> {
    at("2026-03-10T12:00:00Z")
}

fn ms(ms: i64) -> chrono::Duration {
    chrono::Duration::milliseconds(ms)
}

/// The rows of one sink, as several processes see them in turn.
#[derive(Debug, Clone)]
struct Rows {
    limits: Vec<Limit>,
    counters: Vec<Counter>,
}

impl Rows {
    fn of(limits: &[Limit]) -> Self {
        Self { limits: limits.to_vec(), counters: Vec::new() }
    }

    /// One read, decision and write.
    fn with<R>(&mut self, now: DateTime<Utc>, decide: impl FnOnce(&mut Ledger) -> R) -> R {
        for key in missing(&self.limits, &self.counters, now) {
            self.counters.retain(|counter| (&counter.scope, counter.window) != (&key.scope, key.window));
            self.counters.push(Counter {
                scope: key.scope,
                window: key.window,
                window_start: key.window_start,
                log: Vec::new(),
                learned_limit: None,
                learned_remaining: None,
                learned_spent: 0,
                learned_until: None,
                closed_until: None,
                revision: 0,
                next_slot_at: None,
                used: 0,
                max_calls: None,
                full_until: None,
            });
        }
        let mut ledger = Ledger::open(&self.limits, &self.counters, now);
        let decided = decide(&mut ledger);
        for changed in ledger.close() {
            let same = |counter: &Counter| (&counter.scope, counter.window) == (&changed.scope, changed.window);
            let at = self.counters.iter().position(same).unwrap();
            self.counters[at] = changed;
        }
        decided
    }

    fn take(&mut self, now: DateTime<Utc>, class: Class, calls: u32) -> u32 {
        self.with(now, |ledger| ledger.take(&[ask(class, calls)], calls)[0].calls)
    }

    fn take_all(&mut self, now: DateTime<Utc>, asks: &[Ask], most: u32) -> Vec<u32> {
        self.with(now, |ledger| ledger.take(asks, most)).into_iter().map(|granted| granted.calls).collect()
    }

    fn opens_in(&mut self, now: DateTime<Utc>, class: Class) -> Option<chrono::Duration> {
        self.with(now, |ledger| ledger.opens_at("", class)).map(|at| at - now)
    }

    fn counter(&self, window: Window) -> &Counter {
        self.counters.iter().find(|counter| counter.window == window).unwrap()
    }
}

#[derive(Debug, Clone)]
enum Event {
    Passes(i64),
    /// The clock alone.
    StepsBack(i64),
    Asks(Class, u32),
    /// So many calls of the newest reservation were not made after all.
    GivesBack(u32),
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let class = prop::sample::select(Class::ALL.to_vec());
    let event = prop_oneof![
        4 => prop_oneof![0..2_000_i64, 0..90_000_i64, 0..5_000_000_i64].prop_map(Event::Passes),
        1 => prop_oneof![0..2_000_i64, 0..200_000_i64, 0..100_000_000_i64].prop_map(Event::StepsBack),
        5 => (class, 1..30_u32).prop_map(|(class, calls)| Event::Asks(class, calls)),
        2 => (1..10_u32).prop_map(Event::GivesBack),
    ];
    prop::collection::vec(event, 1..120)
}

proptest! {
    #[test]
    fn no_stretch_of_a_windows_length_ever_holds_more_calls_than_allowed(
        events in events(),
        maxima in prop::collection::vec(1..40_u32, 4),
    ) {
        let windows = [Window::Minute, Window::FiveMinutes, Window::Hour, Window::Day];
        let limits: Vec<Limit> = windows.into_iter().zip(&maxima).map(|(window, max)| limit(window, *max)).collect();
        let mut rows = Rows::of(&limits);
        let (mut really, mut shown) = (noon(), noon());
        // Made calls by the time that really passed, with the instant they were dated.
        let mut made: Vec<(DateTime<Utc>, DateTime<Utc>, Class)> = Vec::new();

        for event in events {
            match event {
                Event::Passes(by) => (really, shown) = (really + ms(by), shown + ms(by)),
                Event::StepsBack(by) => shown -= ms(by),
                Event::Asks(class, calls) => {
                    let granted = rows.take(shown, class, calls);
                    made.extend((0..granted).map(|_| (really, shown, class)));
                }
                Event::GivesBack(calls) => {
                    let Some((_, dated, class)) = made.last().copied() else { continue };
                    let before = made.len();
                    while made.len() + calls as usize > before && made.last().is_some_and(|last| (last.1, last.2) == (dated, class)) {
                        made.pop();
                    }
                    let returned = (before - made.len()) as u32;
                    rows.with(shown, |ledger| ledger.give_back("", class, dated, returned));
                }
            }
            for (window, max) in windows.into_iter().zip(&maxima) {
                let from = really - chrono_of(window.length());
                let held = made.iter().filter(|(at, ..)| *at > from).count();
                prop_assert!(held <= *max as usize, "{held} calls within a {window} of {max}");
            }
        }
    }

    #[test]
    fn a_full_budget_opens_when_it_says(
        steps in prop::collection::vec((0..200_000_000_i64, prop::sample::select(Class::ALL.to_vec()), 1..50_u32), 1..80),
        max in 1..300_u32,
    ) {
        let mut rows = Rows::of(&[limit(Window::Minute, max), limit(Window::Day, 2 * max), limit(Window::Hour, max)]);
        let mut now = noon();

        for (passes, class, calls) in steps {
            now += ms(passes);
            rows.take(now, class, calls);
            if let Some(opens_in) = rows.opens_in(now, class) {
                prop_assert_eq!(rows.clone().take(now + opens_in - ms(1), class, 1), 0);
                prop_assert_eq!(rows.clone().take(now + opens_in, class, 1), 1);
            }
        }
    }

    #[test]
    fn a_month_never_holds_more_calls_than_allowed_nor_a_day_more_than_three_even_shares(
        steps in prop::collection::vec((0..200_000_000_i64, 1..50_u32), 1..80),
        max in 1..300_u32,
    ) {
        let mut rows = Rows::of(&[limit(Window::Month, max), Limit { max_calls: None, ..limit(Window::Day, 1) }]);
        let mut now = noon();
        let mut made = std::collections::BTreeMap::<DateTime<Utc>, u32>::new();

        for (passes, calls) in steps {
            now += ms(passes);
            *made.entry(month_of(now)).or_default() += rows.take(now, Class::New, calls);
            prop_assert!(made.values().all(|made| *made <= max), "{made:?} of {max}");
            prop_assert!(used(rows.counter(Window::Day)) <= i64::from(max * 3 / 28 + 1));
            prop_assert!(rows.opens_in(now, Class::New).is_none_or(|opens_in| opens_in > chrono::Duration::zero()));
        }
    }

    #[test]
    fn a_class_never_takes_what_it_has_to_leave(asks in prop::collection::vec((0..7_usize, 1..40_u32), 1..30), max in 1..100_u32) {
        let mut rows = Rows::of(&[limit(Window::Hour, max)]);

        for (class, calls) in asks {
            let class = Class::ALL[class];
            let granted = rows.take(noon(), class, calls);
            let left = i64::from(max) - used(rows.counter(Window::Hour));
            prop_assert!(granted == 0 || left >= i64::from(max) * class.floor_percent(Window::Hour) / 100);
        }
    }
}

#[test]
fn a_window_opens_when_its_first_calls_have_left_it() {
    let mut rows = Rows::of(&[limit(Window::Minute, 5)]);
    rows.take(noon(), Class::New, 3);
    rows.take(noon() + ms(20_000), Class::New, 3);

    let opens_in = rows.opens_in(noon() + ms(20_000), Class::New).unwrap();

    assert!((ms(43_000)..=ms(44_000)).contains(&opens_in), "{opens_in}");
    let opened = noon() + ms(20_000) + opens_in;
    assert_eq!(rows.take(opened - ms(1), Class::New, 9), 0);
    assert_eq!(rows.take(opened, Class::New, 9), 3);
}

#[test]
fn a_steady_stream_gets_nearly_all_that_is_allowed() {
    let mut rows = Rows::of(&[limit(Window::Minute, 60)]);

    let granted: u32 = (0..1_200).map(|half| rows.take(noon() + ms(500 * half), Class::New, 5)).sum();

    assert!((560..=600).contains(&granted), "{granted} in ten minutes");
}

#[test]
fn a_log_stays_short() {
    let mut rows = Rows::of(&[limit(Window::Day, 1_000_000)]);

    for second in 0..200_000 {
        rows.take(noon() + ms(1_000 * second), Class::New, 1);
    }

    assert!(rows.counter(Window::Day).log.len() <= 62);
}

#[test]
fn new_orders_go_before_corrections_and_these_before_backfill() {
    let mut rows = Rows::of(&[limit(Window::Minute, 5)]);
    let asks = [ask(Class::Backfill, 9), ask(Class::Correction, 9), ask(Class::New, 3)];

    assert_eq!(rows.take_all(noon(), &asks, 100), [0, 2, 3]);
}

#[test]
fn lanes_that_share_a_budget_are_served_in_turn() {
    let mut rows = Rows::of(&[limit(Window::Minute, 5)]);
    let of = |lane: &str| Ask { lane: lane.to_owned(), ..ask(Class::New, 9) };

    assert_eq!(rows.take_all(noon(), &[of("a"), of("b")], 100), [3, 2]);
}

#[test]
fn a_lane_that_is_full_takes_nothing_from_another() {
    let of = |lane: &str| Limit {
        scope: format!("sink:hook/{lane}"),
        lane: Some(lane.to_owned()),
        window: Window::Minute,
        max_calls: Some(2),
    };
    let mut rows = Rows::of(&[of("a"), of("b")]);
    let asks = ["a", "b"].map(|lane| Ask { lane: lane.to_owned(), ..ask(Class::New, 2) });
    rows.take_all(noon(), &asks[..1], 100);

    let granted = rows.take_all(noon(), &asks, 2);

    assert_eq!(granted, [0, 2]);
}

#[test]
fn every_window_must_have_room() {
    let mut rows = Rows::of(&[limit(Window::Minute, 5), limit(Window::Hour, 7)]);

    assert_eq!(rows.take(noon(), Class::New, 9), 5);
    assert_eq!(rows.take(noon() + ms(120_000), Class::New, 9), 2);
}

#[test]
fn pulls_sweeps_and_verification_together_leave_a_third_of_a_day_to_orders() {
    let mut rows = Rows::of(&[limit(Window::Day, 1000)]);

    assert_eq!(rows.take(noon(), Class::Pull, 500), 500);
    assert_eq!(rows.take(noon(), Class::Sweep, 500), 200);
    assert_eq!(rows.take(noon(), Class::New, 500), 300);
    assert!(rows.opens_in(noon(), Class::Pull).is_some());
}

#[test]
fn a_tenth_of_a_month_is_left_to_orders() {
    let mut rows = Rows::of(&[limit(Window::Month, 1000)]);

    for class in Class::ALL.into_iter().rev() {
        rows.take(noon(), class, 1000);
        let left = 1000 - used(rows.counter(Window::Month));
        assert!(class.floor_percent(Window::Month) == 0 || left >= 100, "{class:?} leaves {left}");
    }
}

#[test]
fn the_last_tenth_of_a_day_is_new_orders_alone() {
    for class in Class::ALL {
        let mut rows = Rows::of(&[limit(Window::Day, 1000)]);
        rows.take(noon(), class, 1000);
        let left = 1000 - used(rows.counter(Window::Day));

        assert!(if class == Class::New { left == 0 } else { left >= 100 }, "{class:?} leaves {left}");
        assert_eq!(i64::from(rows.take(noon(), Class::New, 1000)), left);
    }
    let mut rows = Rows::of(&[limit(Window::Minute, 10), limit(Window::Hour, 10)]);
    assert_eq!(rows.take(noon(), Class::Correction, 10), 10, "a shorter window comes back soon");
}

#[test]
fn what_the_other_side_says_is_left_of_a_day_is_new_orders_alone_once_it_is_a_tenth() {
    let mut rows = Rows::of(&[limit(Window::Day, 1000)]);
    let told = Told::Left { limit: None, remaining: Some(101), resets_in: None };
    learn(&mut rows, noon(), LearnedLimit { window: Window::Day, told });

    assert_eq!(rows.take(noon(), Class::Correction, 9), 1);
    assert_eq!(rows.take(noon(), Class::New, 999), 100);
}

#[test]
fn the_smallest_budget_starves_nobody() {
    for class in Class::ALL {
        assert_eq!(Rows::of(&[limit(Window::Month, 1), limit(Window::Day, 1)]).take(noon(), class, 5), 1, "{class:?}");
    }
}

#[test]
fn a_month_is_spread_over_its_days() {
    let first = at("2026-04-01T06:00:00Z");
    let last = at("2026-04-30T06:00:00Z");

    assert_eq!(day_allowance(30_000, 0, first), 1_500);
    assert_eq!(day_allowance(30_000, 29_000, first), 50);
    assert_eq!(day_allowance(30_000, 1_000, last), 3_000, "never more than three times the even share");
    assert_eq!(day_allowance(30_000, 29_990, last), 15);
    assert_eq!(day_allowance(30_000, 30_000, last), 0);
    assert_eq!(day_allowance(1, 0, first), 1);
}

#[test]
fn a_new_month_begins_with_a_full_budget_and_a_clock_that_steps_back_into_the_old_one_refills_nothing() {
    let mut rows = Rows::of(&[limit(Window::Month, 5)]);
    let (march, april) = (at("2026-03-31T23:59:59Z"), at("2026-04-01T00:00:00Z"));

    assert_eq!(rows.take(march, Class::New, 9), 5);
    assert_eq!(rows.opens_in(march, Class::New), Some(ms(1_000)));
    assert_eq!(rows.take(april, Class::New, 4), 4);
    assert_eq!(rows.take(march, Class::New, 9), 1);
    assert_eq!(rows.opens_in(march, Class::New), Some(at("2026-05-01T00:00:00Z") - march));
}

#[test]
fn unused_calls_are_there_again() {
    let mut rows = Rows::of(&[limit(Window::Minute, 5), limit(Window::Month, 9)]);
    rows.take(noon(), Class::New, 5);

    rows.with(noon() + ms(3_000), |ledger| ledger.give_back("", Class::New, noon(), 2));

    assert_eq!(rows.take(noon() + ms(3_000), Class::New, 9), 2);
    assert_eq!(used(rows.counter(Window::Month)), 5);
}

fn left(remaining: u32, resets_in: Option<u64>) -> LearnedLimit {
    let resets_in = resets_in.map(Duration::from_secs);
    LearnedLimit { window: Window::Minute, told: Told::Left { limit: None, remaining: Some(remaining), resets_in } }
}

fn refused(window: Window, seconds: u64) -> LearnedLimit {
    LearnedLimit { window, told: Told::Refused { wait: Duration::from_secs(seconds) } }
}

fn learn(rows: &mut Rows, now: DateTime<Utc>, learned: LearnedLimit) {
    rows.with(now, |ledger| ledger.learn("", learned, Duration::ZERO));
}

#[test]
fn the_other_sides_number_counts_where_it_is_smaller() {
    let mut rows = Rows::of(&[limit(Window::Minute, 50)]);
    rows.take(noon(), Class::New, 10);

    learn(&mut rows, noon(), left(55, Some(30)));
    assert_eq!(rows.clone().take(noon(), Class::New, 99), 40);

    learn(&mut rows, noon(), left(3, Some(30)));
    assert_eq!(rows.opens_in(noon(), Class::New), None);
    assert_eq!(rows.take(noon(), Class::New, 99), 3);
    assert_eq!(rows.opens_in(noon(), Class::New), Some(ms(30_000)));
    assert_eq!(rows.take(noon() + ms(30_000), Class::New, 99), 37, "the other side's window began anew");
}

#[test]
fn calls_under_way_are_not_granted_again_because_an_answer_does_not_know_of_them() {
    let mut rows = Rows::of(&[limit(Window::Minute, 50)]);
    learn(&mut rows, noon(), left(10, Some(30)));
    rows.take(noon(), Class::New, 8);

    learn(&mut rows, noon(), left(9, Some(30)));

    assert_eq!(rows.take(noon(), Class::New, 99), 2);
}

#[test]
fn a_number_that_rises_is_a_window_that_began_anew() {
    let mut rows = Rows::of(&[limit(Window::Minute, 50)]);
    learn(&mut rows, noon(), left(1, Some(30)));
    rows.take(noon(), Class::New, 1);

    learn(&mut rows, noon() + ms(5_000), left(20, Some(60)));

    assert_eq!(rows.take(noon() + ms(5_000), Class::New, 99), 20);
}

#[test]
fn what_was_told_without_an_end_is_forgotten_after_the_windows_length() {
    let mut rows = Rows::of(&[limit(Window::Minute, 50)]);
    learn(&mut rows, noon(), left(0, None));

    assert_eq!(rows.take(noon() + ms(59_999), Class::New, 1), 0);
    assert_eq!(rows.take(noon() + ms(60_000), Class::New, 1), 1);
}

#[test]
fn a_lower_limit_that_was_told_holds_while_its_window_lasts() {
    let mut rows = Rows::of(&[limit(Window::Minute, 50)]);
    let told = Told::Left { limit: Some(7), remaining: None, resets_in: None };
    learn(&mut rows, noon(), LearnedLimit { window: Window::Minute, told });

    assert_eq!(rows.take(noon(), Class::New, 99), 7);
    assert_eq!(rows.take(noon() + ms(60_000), Class::New, 99), 43);
}

#[test]
fn a_limit_told_again_and_again_does_not_prolong_what_was_said_to_be_left() {
    let mut rows = Rows::of(&[limit(Window::Minute, 50)]);
    learn(&mut rows, noon(), left(3, Some(30)));

    let told = Told::Left { limit: Some(40), remaining: None, resets_in: None };
    learn(&mut rows, noon() + ms(29_000), LearnedLimit { window: Window::Minute, told });

    assert_eq!(rows.clone().take(noon() + ms(29_000), Class::New, 99), 3);
    assert_eq!(rows.take(noon() + ms(30_000), Class::New, 99), 50);
}

#[test]
fn a_refusal_empties_the_window_until_the_time_given_whatever_late_answers_say() {
    let mut rows = Rows::of(&[limit(Window::Minute, 50), limit(Window::Day, 1000)]);
    learn(&mut rows, noon(), refused(Window::Day, 7_200));

    learn(&mut rows, noon(), left(30, Some(60)));
    learn(&mut rows, noon(), refused(Window::Day, 10));

    assert_eq!(rows.opens_in(noon(), Class::New), Some(ms(7_200_000)));
    assert_eq!(rows.counter(Window::Day).full_until, Some(noon() + ms(7_200_000)));
    assert_eq!(rows.take(noon() + ms(7_199_999), Class::New, 1), 0);
    assert_eq!(rows.take(noon() + ms(7_200_000), Class::New, 1), 1);
}

#[test]
fn a_refusal_for_a_window_without_limit_holds_as_well() {
    let mut rows = Rows::of(&[limit(Window::Minute, 50)]);

    learn(&mut rows, noon(), refused(Window::Day, 7_200));

    assert_eq!(rows.opens_in(noon(), Class::New), Some(ms(7_200_000)));
}

#[test]
fn what_was_told_long_ago_is_dated_then() {
    let mut rows = Rows::of(&[limit(Window::Minute, 50)]);

    rows.with(noon(), |ledger| ledger.learn("", refused(Window::Minute, 30), Duration::from_secs(20)));
    assert_eq!(rows.opens_in(noon(), Class::New), Some(ms(10_000)));

    let mut rows = Rows::of(&[limit(Window::Minute, 50)]);
    rows.with(noon(), |ledger| ledger.learn("", left(0, Some(30)), Duration::from_secs(31)));
    assert_eq!(rows.opens_in(noon(), Class::New), None);
}

#[test]
fn a_clock_that_was_far_ahead_does_not_close_a_budget_for_ever() {
    let mut rows = Rows::of(&[limit(Window::Minute, 5)]);
    let ahead = noon() + chrono::Duration::days(3650);
    rows.take(ahead, Class::New, 5);
    learn(&mut rows, ahead, refused(Window::Minute, 30));

    let opens_in = rows.opens_in(noon(), Class::New).unwrap();

    assert!(opens_in <= chrono_of(LONGEST_LESSON), "{opens_in}");
    assert_eq!(rows.take(noon() + opens_in, Class::New, 9), 5);
}
