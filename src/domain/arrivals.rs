//! Whether it is unusual that no order comes, judged by the same hour of past weeks. Pure.

use chrono::{DateTime, Duration, NaiveDateTime, Utc};
use chrono_tz::Tz;

/// The hour that ends at `end`, and the same hour of the same weekday in each of so many weeks before: their beginnings, the
/// newest first. A week is one of the restaurant's clock, which summer time moves.
pub fn same_hours(end: DateTime<Utc>, zone: Tz, weeks: u32) -> Vec<DateTime<Utc>> {
    let begin = end - Duration::hours(1);
    let local: NaiveDateTime = begin.with_timezone(&zone).naive_local();
    let before = (1..=i64::from(weeks)).map(|ago| {
        let then = (local - Duration::weeks(ago)).and_local_timezone(zone).earliest();
        // An hour that the clock passed over never was: its neighbour will do.
        then.map_or_else(|| begin - Duration::weeks(ago), |then| then.with_timezone(&Utc))
    });
    std::iter::once(begin).chain(before).collect()
}

/// How many orders the hour usually brings, where that is so many and none came. `counts` are those of [`same_hours`].
///
/// Usual is the median: one holiday or one outage among the past weeks changes little, and where there is less than half
/// of the history it is zero, so that nothing is told.
pub fn missed(counts: &[i64], orders: u32) -> Option<i64> {
    let (0, past) = counts.split_first().map(|(now, past)| (*now, past))? else { return None };
    let mut past = past.to_vec();
    past.sort_unstable();
    // Of an even number the lower one.
    let usual = *past.get(past.len().checked_sub(1)? / 2)?;
    (orders > 0 && usual >= i64::from(orders)).then_some(usual)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn no_order_in_an_hour_that_usually_has_enough_is_missed_and_tells_what_is_usual() {
        assert_eq!(missed(&[0, 9, 12, 8, 0, 10], 8), Some(9));
        assert_eq!(missed(&[0, 9, 12, 8, 0, 10], 9), Some(9));
        assert_eq!(missed(&[0, 9, 12, 8, 0, 10], 10), None);
    }

    #[test]
    fn one_order_is_no_silence() {
        assert_eq!(missed(&[1, 90, 90, 90], 8), None);
    }

    #[test]
    fn less_than_half_of_the_history_tells_nothing() {
        assert_eq!(missed(&[0, 30, 30, 0, 0], 1), None);
        assert_eq!(missed(&[0, 30, 30, 30, 0], 1), Some(30));
        assert_eq!(missed(&[0], 1), None);
        assert_eq!(missed(&[], 1), None);
    }

    #[test]
    fn nothing_is_missed_where_it_is_switched_off() {
        assert_eq!(missed(&[0, 30, 30, 30], 0), None);
    }

    #[test]
    fn an_hour_is_the_restaurants_own_across_summer_time() {
        // In London the clock went forward on 29 March 2026.
        let hours = same_hours(at("2026-04-02T18:00:00Z"), chrono_tz::Europe::London, 2);

        assert_eq!(hours, ["2026-04-02T17:00:00Z", "2026-03-26T18:00:00Z", "2026-03-19T18:00:00Z"].map(at));
    }

    #[test]
    fn an_hour_that_the_clock_passed_over_has_a_neighbour() {
        let hours = same_hours(at("2026-04-05T01:30:00Z"), chrono_tz::Europe::London, 1);

        assert_eq!(hours, ["2026-04-05T00:30:00Z", "2026-03-29T00:30:00Z"].map(at));
    }
}
