//! What is due, what an answer means, and when something is wrong. Pure.

use std::time::Duration;

use chrono::{DateTime, NaiveTime, Utc};

use crate::domain::catalogue::{Cursor, Page, Progress, Pull, Record};

/// Changes are asked for from so long before the cursor: clocks differ, and what was written late was dated early.
pub const OVERLAP: Duration = Duration::from_mins(5);
/// Of clocks that differ by more, neither can be trusted with a cursor.
pub const LARGEST_SKEW: Duration = Duration::from_hours(1);
/// Longest wait after failures of a pull.
const LONGEST_BACKOFF: Duration = Duration::from_hours(1);
/// Suspected ghosts in one sweep at most, so that they keep the others waiting for no longer than that.
pub const MOST_GHOSTS: u32 = 3;
/// Looks in a row without an answer after which a record is left alone for [`ERROR_REST`].
pub const MOST_ERRORS: u32 = 3;
pub const ERROR_REST: Duration = Duration::from_hours(24);
/// Fewer looks in a day tell nothing about the feed of changes.
const TELLING_LOOKS: u64 = 10;

/// Where the next page of a pull begins.
pub fn asked_since(pull: &Pull) -> Option<Cursor> {
    match pull.since? {
        Cursor::At(at) if !pull.full => Some(Cursor::At(at - OVERLAP)),
        since => Some(since),
    }
}

/// The pull that a kind begins whose changes are known up to `cursor`.
pub fn begun(cursor: Cursor, now: DateTime<Utc>) -> Pull {
    Pull { since: Some(cursor), began: now, page: 1, full: false }
}

/// How far a pull has come with a page. Where changes are told by time, the cursor moves at the end only, to the earlier of
/// both clocks at the pull's begin: what was changed meanwhile comes with the next pull. Where versions are counted it moves
/// with each page.
pub fn after_page(cursor: Option<Cursor>, pull: Pull, page: &Page) -> Progress {
    let goes_on = |pull: Pull| page.has_more.then_some(pull);
    let ended_full = pull.full && !page.has_more;
    if let Some(version) = page.version.map(Cursor::Version) {
        let next = Pull { since: Some(version), ..pull };
        let known = cursor.map_or(version, |cursor| cursor.further(version));
        return Progress { cursor: Some(known), pull: goes_on(next), ended_full };
    }
    if matches!(pull.since.or(cursor), Some(Cursor::Version(_))) {
        // An empty page: nothing is newer.
        return Progress { cursor, pull: None, ended_full: pull.full };
    }
    let began = if pull.page == 1 { page.date.map_or(pull.began, |date| date.min(pull.began)) } else { pull.began };
    let next = Pull { began, page: pull.page + 1, ..pull };
    let reached = if page.has_more {
        cursor
    } else {
        let began = Cursor::At(began);
        Some(cursor.map_or(began, |cursor| cursor.further(began)))
    };
    Progress { cursor: reached, pull: goes_on(next), ended_full }
}

/// How far the destination's clock is from ours.
pub fn skew(date: DateTime<Utc>, now: DateTime<Utc>) -> Duration {
    (date - now).abs().to_std().unwrap_or_default()
}

/// Whether the feed of changes has had its time to tell of a record as it is now. Of one that says neither when it was
/// changed nor its version, it has.
pub fn should_have_been_told(record: &Record, cursor: Option<Cursor>) -> bool {
    match cursor {
        None => false,
        Some(Cursor::At(at)) => record.remote_modified_at.is_none_or(|modified_at| modified_at <= at - OVERLAP),
        Some(Cursor::Version(known)) => {
            let version = record.remote_version.as_deref().and_then(|version| version.parse::<i64>().ok());
            version.is_none_or(|version| version <= known)
        }
    }
}

/// Whether so many surprises in a day say that the feed of changes does not work.
pub fn is_suspect(looked: u64, drifted: u64, percent: u32) -> bool {
    looked >= TELLING_LOOKS && drifted * 100 > looked * u64::from(percent)
}

/// Where a suspect feed is asked again from: its cursor of a day ago.
pub fn a_day_back(cursor: Option<Cursor>, former: Option<Cursor>, now: DateTime<Utc>) -> Option<Cursor> {
    match cursor? {
        Cursor::At(at) => Some(Cursor::At(at.min(now) - Duration::from_hours(24))),
        Cursor::Version(_) => former,
    }
}

/// Longest wait after so many failures in a row, from 1 on: 1, 2, 4 … 60 minutes.
pub fn backoff(failures: u32) -> Duration {
    let minutes = 1_u64.checked_shl(failures.saturating_sub(1)).unwrap_or(u64::MAX);
    Duration::from_mins(minutes.min(60)).min(LONGEST_BACKOFF)
}

/// An interval give or take a tenth; `chance` is from 0 to 1000.
pub fn jittered(interval: Duration, chance: u32) -> Duration {
    interval * (900 + chance.min(1_000) / 5) / 1_000
}

/// An interval, or up to a tenth less; `chance` is from 0 to 1000. So that a round of sweeps is never longer than promised.
pub fn sooner(interval: Duration, chance: u32) -> Duration {
    interval * (900 + chance.min(1_000) / 10) / 1_000
}

/// How much is left of the quiet part of a day, from a time in it.
pub fn quiet_for(now: NaiveTime, until: NaiveTime) -> Duration {
    let left = until.signed_duration_since(now);
    let left = if left < chrono::Duration::zero() { left + chrono::Duration::days(1) } else { left };
    left.to_std().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::catalogue::{Kind, RemoteState, digest};

    fn at(text: &str) -> DateTime<Utc> {
        format!("2026-03-01T{text}Z").parse().unwrap()
    }

    fn cursor(text: &str) -> Cursor {
        Cursor::At(at(text))
    }

    fn page(has_more: bool) -> Page {
        Page { has_more, ..Page::default() }
    }

    #[test]
    fn changes_are_asked_for_with_an_overlap_and_all_there_is_without() {
        let pull = begun(Cursor::At(at("12:00:00")), at("13:00:00"));

        assert_eq!(asked_since(&pull), Some(cursor("11:55:00")));
        assert_eq!(asked_since(&begun(Cursor::Version(7), at("13:00:00"))), Some(Cursor::Version(7)));
        assert_eq!(asked_since(&Pull { since: None, full: true, ..pull }), None);
    }

    #[test]
    fn a_pull_by_time_moves_the_cursor_at_its_end_to_the_earlier_clock_of_its_begin() {
        let pull = begun(Cursor::At(at("12:00:00")), at("13:00:00"));
        let first = Page { date: Some(at("12:59:30")), ..page(true) };

        let after_first = after_page(Some(cursor("12:00:00")), pull, &first);
        assert_eq!(after_first.cursor, Some(cursor("12:00:00")));
        let second = after_first.pull.unwrap();
        assert_eq!((second.page, second.began, second.since), (2, at("12:59:30"), Some(cursor("12:00:00"))));

        let last = Page { date: Some(at("13:05:00")), ..page(false) };
        let end = after_page(after_first.cursor, second, &last);
        assert_eq!((end.cursor, end.pull, end.ended_full), (Some(cursor("12:59:30")), None, false));
    }

    #[test]
    fn a_clock_that_stepped_back_leaves_the_cursor() {
        let pull = begun(Cursor::At(at("12:00:00")), at("11:00:00"));

        assert_eq!(after_page(Some(cursor("12:00:00")), pull, &page(false)).cursor, Some(cursor("12:00:00")));
    }

    #[test]
    fn versions_move_the_cursor_with_each_page_and_an_empty_one_leaves_it() {
        let pull = begun(Cursor::Version(7), at("13:00:00"));
        let first = after_page(pull.since, pull, &Page { version: Some(207), ..page(true) });
        assert_eq!((first.cursor, first.pull.unwrap().since), (Some(Cursor::Version(207)), Some(Cursor::Version(207))));

        let end = after_page(first.cursor, first.pull.unwrap(), &page(false));
        assert_eq!((end.cursor, end.pull), (Some(Cursor::Version(207)), None));
    }

    #[test]
    fn reading_everything_moves_no_version_back() {
        let full = Pull { since: None, began: at("13:00:00"), page: 1, full: true };

        let first = after_page(Some(Cursor::Version(900)), full, &Page { version: Some(200), ..page(true) });
        let end = after_page(first.cursor, first.pull.unwrap(), &Page { version: Some(450), ..page(false) });

        assert_eq!(first.pull.unwrap().since, Some(Cursor::Version(200)));
        assert_eq!(
            (first.cursor, end.cursor, end.ended_full),
            (Some(Cursor::Version(900)), Some(Cursor::Version(900)), true)
        );
    }

    fn record(modified_at: Option<DateTime<Utc>>, version: Option<&str>) -> Record {
        Record {
            kind: Kind::Product,
            remote_id: "1".to_owned(),
            key: None,
            name: None,
            remote_version: version.map(str::to_owned),
            remote_modified_at: modified_at,
            remote_state: RemoteState::Active,
            fields_hash: digest(&[]),
            survivor: None,
            local_key: None,
        }
    }

    #[test]
    fn a_change_of_this_moment_is_none_that_the_feed_has_kept_silent_about() {
        let told = |modified: &str| should_have_been_told(&record(Some(at(modified)), None), Some(cursor("12:00:00")));
        assert_eq!([told("11:00:00"), told("11:58:00"), told("12:30:00")], [true, false, false]);

        let told = |version| should_have_been_told(&record(None, version), Some(Cursor::Version(10)));
        assert_eq!([told(Some("10")), told(Some("11")), told(None)], [true, false, true]);
        assert!(!should_have_been_told(&record(None, None), None));
    }

    #[test]
    fn a_feed_is_suspect_above_its_share_of_surprises_and_never_by_a_few_looks() {
        assert_eq!([is_suspect(50, 10, 20), is_suspect(50, 11, 20)], [false, true]);
        assert_eq!([is_suspect(9, 9, 20), is_suspect(10, 3, 20)], [false, true]);
    }

    #[test]
    fn a_suspect_feed_goes_back_a_day() {
        let now = "2026-03-02T12:00:00Z".parse().unwrap();

        assert_eq!(a_day_back(Some(Cursor::At(now)), None, now), Some(cursor("12:00:00")));
        assert_eq!(a_day_back(Some(Cursor::Version(9)), Some(Cursor::Version(4)), now), Some(Cursor::Version(4)));
        assert_eq!(a_day_back(Some(Cursor::Version(9)), None, now), None);
    }

    #[test]
    fn failures_wait_longer_each_time_up_to_an_hour() {
        let minutes: Vec<u64> = [1, 2, 3, 6, 7, 40, 90].map(|n| backoff(n).as_secs() / 60).into();

        assert_eq!(minutes, [1, 2, 4, 32, 60, 60, 60]);
    }

    #[test]
    fn an_interval_varies_by_a_tenth() {
        let hour = Duration::from_hours(1);

        let minutes = [0, 500, 1_000].map(|chance| jittered(hour, chance).as_secs() / 60);

        assert_eq!(minutes, [54, 60, 66]);
    }

    #[test]
    fn a_round_of_sweeps_is_never_longer_than_its_intervals() {
        let hour = Duration::from_hours(1);

        assert_eq!([0, 500, 1_000].map(|chance| sooner(hour, chance).as_secs()), [3_240, 3_420, 3_600]);
    }

    #[test]
    fn quiet_hours_end_also_tomorrow() {
        let time = |text: &str| NaiveTime::parse_from_str(text, "%H:%M").unwrap();

        assert_eq!(quiet_for(time("18:00"), time("22:00")), Duration::from_hours(4));
        assert_eq!(quiet_for(time("23:00"), time("06:00")), Duration::from_hours(7));
    }
}
