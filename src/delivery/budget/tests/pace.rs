//! No second ever holds more calls than allowed, whichever processes book slots, however late within them calls go out.

use crate::domain::pace::{AHEAD, LONGEST_PREPARE, PREPARE, PUNCTUAL, TRAVEL, interval};

use super::*;

const SECOND: Duration = Duration::from_secs(1);

impl Rows {
    fn spaced(per_second: u32) -> Self {
        Self::of(&[limit(Window::Second, per_second)])
    }

    fn book(&mut self, now: DateTime<Utc>, class: Class, calls: u32) -> Vec<Slot> {
        self.with(now, |ledger| ledger.take(&[ask(class, calls)], calls).remove(0).slots)
    }
}

#[derive(Debug, Clone)]
enum Paced {
    Passes(i64),
    /// The clock alone.
    StepsBack(i64),
    /// One of the processes books slots. How long it takes to prepare, and when within a slot a call goes out and how
    /// long it travels, in percent of what is possible.
    Books {
        process: usize,
        class: Class,
        calls: u32,
        prepare: u32,
        goes_out: u32,
        travels: u32,
    },
    /// The process needs its last slot no more.
    GivesUp {
        process: usize,
    },
    Made(u32),
    Learns(u32),
}

fn paced() -> impl Strategy<Value = Vec<Paced>> {
    let class = prop::sample::select(Class::ALL.to_vec());
    let books = (0..3_usize, class, 1..60_u32, 0..=100_u32, 0..=100_u32, 0..=100_u32);
    let event = prop_oneof![
        5 => prop_oneof![0..30_i64, 0..400_i64, 0..5_000_i64].prop_map(Paced::Passes),
        1 => prop_oneof![0..300_i64, 0..200_000_i64].prop_map(Paced::StepsBack),
        8 => books.prop_map(|(process, class, calls, prepare, goes_out, travels)| {
            Paced::Books { process, class, calls, prepare, goes_out, travels }
        }),
        3 => (0..3_usize).prop_map(|process| Paced::GivesUp { process }),
        1 => (1..5_u32).prop_map(Paced::Made),
        1 => (1..80_u32).prop_map(Paced::Learns),
    ];
    prop::collection::vec(event, 1..150)
}

/// A booked slot, by the time that really passes.
#[derive(Debug, Clone, Copy)]
struct Booked {
    slot: Slot,
    sent_at: DateTime<Utc>,
    arrives_at: DateTime<Utc>,
}

fn share(of: Duration, percent: u32) -> Duration {
    of * percent / 100
}

proptest! {
    #[test]
    fn no_second_holds_more_calls_than_allowed(events in paced(), per_second in 1..60_u32) {
        let mut rows = Rows::spaced(per_second);
        let (mut really, mut shown) = (noon(), noon());
        let mut booked: [Vec<Booked>; 3] = Default::default();

        for event in events {
            match event {
                Paced::Passes(by) => (really, shown) = (really + ms(by), shown + ms(by)),
                Paced::StepsBack(by) => shown -= ms(by),
                Paced::Books { process, class, calls, prepare, goes_out, travels } => {
                    let prepare = share(LONGEST_PREPARE, prepare).max(PREPARE);
                    let slots = rows.with(shown, |ledger| {
                        let mut paced = ledger.clone().prepared_within(prepare);
                        let slots = paced.take(&[ask(class, calls)], calls).remove(0).slots;
                        *ledger = paced;
                        slots
                    });
                    for slot in slots {
                        prop_assert!(slot.opens <= shown + AHEAD);
                        let open = (slot.closes - slot.opens).to_std().unwrap();
                        let sent_at = really + (slot.opens - shown) + share(open, goes_out);
                        booked[process].push(Booked { slot, sent_at, arrives_at: sent_at + share(TRAVEL, travels) });
                    }
                }
                Paced::GivesUp { process } => {
                    if let Some(last) = booked[process].pop_if(|last| last.sent_at > really) {
                        rows.with(shown, |ledger| ledger.give_back_slot("", last.slot));
                    }
                }
                // Of calls that nobody reserved none can be refused: only that they close nothing for long.
                Paced::Made(calls) => {
                    rows.with(shown, |ledger| ledger.count("", Class::New, calls));
                    prop_assert!(rows.opens_in(shown, Class::New).is_none_or(|wait| wait <= chrono_of(2 * SECOND)));
                }
                Paced::Learns(limit) => {
                    let told = Told::Left { limit: Some(limit), remaining: Some(0), resets_in: Some(SECOND) };
                    learn(&mut rows, shown, LearnedLimit { window: Window::Second, told });
                }
            }
        }

        let mut arrivals: Vec<_> = booked.iter().flatten().map(|booked| booked.arrives_at).collect();
        arrivals.sort_unstable();
        for (first, one_more) in arrivals.iter().zip(arrivals.iter().skip(per_second as usize)) {
            prop_assert!(*one_more - *first >= chrono_of(SECOND), "more than {per_second} from {first} to {one_more}");
        }
    }

    #[test]
    fn a_second_that_is_booked_opens_when_it_says(
        steps in prop::collection::vec((0..1_500_i64, prop::sample::select(Class::ALL.to_vec()), 1..80_u32), 1..60),
        per_second in 1..60_u32,
    ) {
        let mut rows = Rows::spaced(per_second);
        let mut now = noon();

        for (passes, class, calls) in steps {
            now += ms(passes);
            rows.take(now, class, calls);
            if let Some(opens_in) = rows.opens_in(now, class) {
                prop_assert_eq!(rows.clone().take(now + opens_in - chrono::Duration::microseconds(1), class, 1), 0);
                prop_assert_eq!(rows.clone().take(now + opens_in, class, 1), 1);
            }
        }
    }
}

#[test]
fn an_idle_sinks_first_call_may_go_out_at_once_and_the_others_follow_evenly() {
    let slots = Rows::spaced(50).book(noon(), Class::New, 4);

    assert_eq!(slots[0], Slot { opens: noon(), closes: noon() + PREPARE });
    assert_eq!(slots[1].opens, noon() + PREPARE - PUNCTUAL + interval(50));
    assert_eq!(slots[2].opens, slots[1].opens + interval(50));
    assert_eq!(slots[3], Slot { opens: slots[2].opens + interval(50), closes: slots[3].opens + PUNCTUAL });
}

#[test]
fn slots_are_booked_a_second_ahead_and_no_further() {
    let mut rows = Rows::spaced(50);

    let slots = rows.book(noon(), Class::New, 200);

    assert!((40..=50).contains(&slots.len()), "{}", slots.len());
    assert!(slots[slots.len() - 1].opens <= noon() + AHEAD);
    assert!(slots[slots.len() - 1].opens > noon() + AHEAD - interval(50));
    assert_eq!(rows.take(noon(), Class::New, 1), 0);
    let second = rows.counter(Window::Second);
    assert!(second.full_until.is_some_and(|until| until <= noon() + interval(50)), "{second:?}");
    assert!((48..=50).contains(&second.used), "{second:?}");
}

#[test]
fn a_steady_stream_gets_at_least_95_percent_of_the_limit() {
    for per_second in [1, 5, 50, 500] {
        let mut rows = Rows::spaced(per_second);

        let granted: u32 = (0..2_000).map(|step| rows.take(noon() + ms(5 * step), Class::New, 9)).sum();

        assert!(granted >= per_second * 10 * 95 / 100, "{granted} in ten seconds of {per_second}");
    }
}

#[test]
fn backfill_leaves_a_fifth_of_the_coming_second_to_orders_that_arrive() {
    let mut rows = Rows::spaced(50);

    let old = rows.book(noon(), Class::Backfill, 200);
    let new = rows.book(noon(), Class::New, 200);

    assert!(old[old.len() - 1].opens <= noon() + AHEAD * 4 / 5);
    assert!((9..=11).contains(&new.len()), "{}", new.len());
}

#[test]
fn slots_that_nobody_needs_are_booked_again_from_the_last_one_on() {
    let mut rows = Rows::spaced(5);
    let slots = rows.book(noon(), Class::New, 3);

    rows.with(noon(), |ledger| ledger.give_back_slot("", slots[1]));
    assert!(rows.clone().book(noon(), Class::New, 1)[0].opens > slots[2].opens, "another stands behind it");
    rows.with(noon(), |ledger| {
        ledger.give_back_slot("", slots[2]);
        ledger.give_back_slot("", slots[1]);
    });

    assert_eq!(rows.book(noon(), Class::New, 1), slots[1..2]);
}

#[test]
fn a_lower_limit_that_was_told_widens_the_spacing_and_what_is_left_of_a_second_is_old_news() {
    let mut rows = Rows::spaced(50);
    let told = Told::Left { limit: Some(5), remaining: Some(0), resets_in: Some(SECOND) };

    learn(&mut rows, noon(), LearnedLimit { window: Window::Second, told });

    let slots = rows.book(noon() + ms(30_000), Class::New, 9);
    assert!(slots.len() <= 5, "{}", slots.len());
    assert_eq!(slots[2].opens, slots[1].opens + interval(5));
    assert!(rows.take(noon() + ms(60_000), Class::New, 99) > 40, "forgotten after a minute");
}

#[test]
fn a_refusal_closes_a_sink_that_has_no_other_limit() {
    let mut rows = Rows::spaced(50);

    learn(&mut rows, noon(), refused(Window::Minute, 30));

    assert_eq!(rows.opens_in(noon(), Class::New), Some(ms(30_000)));
    assert_eq!(rows.take(noon() + ms(29_999), Class::New, 1), 0);
    assert_eq!(rows.take(noon() + ms(30_000), Class::New, 1), 1);
}

#[test]
fn a_call_needs_room_in_every_window_and_books_no_slot_without() {
    let mut rows = Rows::of(&[limit(Window::Second, 50), limit(Window::Minute, 3)]);

    assert_eq!(rows.book(noon(), Class::New, 9).len(), 3);
    let booked_until = rows.counter(Window::Second).next_slot_at;
    assert_eq!(rows.take(noon(), Class::New, 9), 0);

    assert_eq!(rows.counter(Window::Second).next_slot_at, booked_until);
}

#[test]
fn a_lane_whose_slots_are_booked_holds_up_no_other() {
    let of = |lane: &str| Limit {
        scope: format!("sink:hook/{lane}"),
        lane: Some(lane.to_owned()),
        ..limit(Window::Second, 5)
    };
    let mut rows = Rows::of(&[of("a"), of("b")]);
    let asks = ["a", "b"].map(|lane| Ask { lane: lane.to_owned(), ..ask(Class::New, 50) });
    rows.take_all(noon(), &asks[..1], 100);

    let granted = rows.take_all(noon(), &asks, 100);

    assert_eq!(granted, [0, 5]);
}
