//! Which rules make up a group: each becomes a test of the subject it is named for.

/// A test for each rule of a module.
macro_rules! tests {
    ($group:ident, $subject:ty: $($rule:ident),+ $(,)?) => {
        $(
            #[tokio::test]
            async fn $rule() {
                crate::conformance::$group::$rule::<$subject>().await;
            }
        )+
    };
}

macro_rules! of_any {
    ($subject:ty) => {
        crate::conformance::groups::tests!(any, $subject:
            a_new_order_is_brought_by_the_requests_it_takes_and_each_once,
            a_version_that_changes_nothing_visible_asks_for_nothing,
            a_correction_replaces_what_stands,
            an_outcome_lost_with_its_process_leaves_one_effect_each,
            a_throttled_request_waits_as_long_as_asked_and_costs_no_attempt,
            throttling_without_a_wish_backs_off_and_costs_no_attempt,
            unaccepted_credentials_block_the_sink_until_they_are_accepted_again,
            a_missing_right_blocks_the_sink_until_it_is_given_again,
            a_redirect_is_refused_and_nothing_follows_it,
            a_refused_version_is_cured_by_a_newer_one,
            every_fault_at_every_request_of_a_correction_ends_right,
            every_fault_at_every_request_of_a_cancellation_ends_right,
            a_process_stopped_at_any_moment_loses_nothing,
            two_processes_share_the_work_and_repeat_none,
            a_dry_run_asks_for_no_effect_and_changes_nothing,
            whatever_is_in_an_answer_nothing_panics_or_stands_twice_and_the_next_order_is_brought,
            nothing_that_is_echoed_is_kept_or_logged,
            behind_another_sink_it_waits_and_is_woken,
            a_version_that_arrives_while_a_request_is_under_way_follows_it,
            a_drain_waits_for_the_answer_and_records_it,
        );
    };
}

macro_rules! of_making {
    ($subject:ty) => {
        crate::conformance::groups::tests!(any, $subject:
            an_order_cancelled_before_it_was_sent_is_never_sent,
            every_fault_at_every_request_of_an_order_accepted_again_ends_right,
            a_restart_between_any_two_steps_repeats_none,
            before_another_sink_it_wakes_that_one,
            before_another_sink_what_was_taken_back_holds_that_one_until_it_stands_again,
            a_dry_run_asks_for_nothing_at_all,
        );
    };
}

macro_rules! of_walking {
    ($subject:ty) => {
        crate::conformance::groups::tests!(any, $subject:
            every_fault_at_every_request_ends_right_with_each_version_in_turn,
        );
    };
}

macro_rules! of_safe {
    ($subject:ty) => {
        crate::conformance::groups::tests!(safe, $subject:
            a_lost_answer_is_asked_for_again_with_the_same_key_and_bytes,
            a_server_error_that_names_a_time_is_repeated_then,
        );
    };
}

macro_rules! of_keyed {
    ($subject:ty) => {
        crate::conformance::groups::tests!(keyed, $subject:
            a_lost_answer_is_asked_for_again_with_the_same_key_and_bytes,
            once_its_key_is_not_trusted_any_more_a_step_is_looked_up_and_not_repeated,
            a_step_that_is_not_found_then_is_sent_again,
            a_look_up_that_fails_is_made_again,
            a_cancellation_during_a_doubt_is_owed_once_the_step_is_found,
            a_cancellation_during_a_doubt_is_not_owed_for_what_is_absent,
        );
    };
}

macro_rules! of_once {
    ($subject:ty) => {
        crate::conformance::groups::tests!(once, $subject:
            a_lost_answer_is_a_doubt_that_a_look_up_settles,
            a_server_error_that_names_a_time_is_a_doubt_and_no_repeat,
            a_late_answer_settles_the_doubt_about_its_own_sending,
            a_doubt_that_is_given_back_stays_one,
            a_look_up_that_fails_is_made_again,
            an_older_version_that_is_found_leaves_the_newer_one_owed,
            a_cancellation_during_a_doubt_is_owed_once_the_step_is_found,
        );
    };
}

macro_rules! of_provable {
    ($subject:ty) => {
        crate::conformance::groups::tests!(provable, $subject:
            what_is_not_seen_is_sent_again_only_once_it_is_proven_absent,
            many_doubts_at_once_each_come_to_their_own_end,
            a_late_refusal_does_not_settle_the_step_that_was_sent_again_since,
        );
    };
}

macro_rules! of_making_provably {
    ($subject:ty) => {
        crate::conformance::groups::tests!(provable, $subject:
            a_cancellation_during_a_doubt_is_not_owed_for_what_is_absent,
        );
    };
}

macro_rules! of_tireless {
    ($subject:ty) => {
        crate::conformance::groups::tests!(provable, $subject:
            two_processes_share_doubts_and_repeat_nothing_that_stands,
        );
    };
}

macro_rules! of_unprovable {
    ($subject:ty) => {
        crate::conformance::groups::tests!(unprovable, $subject:
            what_is_never_seen_waits_for_a_person,
            a_person_who_adopts_it_ends_the_doubt,
            a_person_who_adopts_an_older_version_leaves_the_newer_one_owed,
            a_person_who_says_that_nothing_stands_has_it_sent_again,
            a_person_who_discards_it_has_nothing_sent_until_it_is_retried,
            a_cancellation_after_a_discarded_doubt_waits_for_a_person_too,
            a_cancellation_is_owed_for_what_was_adopted_and_not_for_what_never_stood,
        );
    };
}

macro_rules! of_needy {
    ($subject:ty) => {
        crate::conformance::groups::tests!(needy, $subject:
            an_order_without_what_it_needs_is_parked_with_what_to_do_and_cured_by_a_newer_version,
        );
    };
}

pub(crate) use {
    of_any, of_keyed, of_making, of_making_provably, of_needy, of_once, of_provable, of_safe, of_tireless,
    of_unprovable, of_walking, tests,
};
