//! What every sink has to stand, whatever its destination: the rules are written once, for any [`Subject`].
//!
//! To put a sink under them, write a [`Subject`] for its simulator beside [`webhook`] and [`till`], and name the groups
//! that fit it below: [`any`] fits every sink; [`safe`] one whose requests may all be repeated, [`keyed`] one whose requests
//! may be for a while, [`once`] one with requests that must not; of the latter, [`provable`] one whose look-ups can prove that nothing stands, [`unprovable`]
//! one whose cannot; [`needy`] one that cannot send every order. Of [`any`], `of_making` is for a sink whose requests make
//! what stands, and make it anew when it was taken back; `of_walking` for one that may take every version. Of [`provable`],
//! `of_making_provably` is for the former, `of_tireless` for one that sends again as often as it takes.

mod any;
mod godatafeed;
mod groups;
mod keyed;
mod lightspeed;
mod needy;
mod once;
mod provable;
mod safe;
mod spoton;
mod subject;
mod till;
mod unleashed;
mod unprovable;
mod webhook;
mod xero;

use groups::{
    of_any, of_keyed, of_making, of_making_provably, of_needy, of_once, of_provable, of_safe, of_tireless,
    of_unprovable, of_walking,
};

mod a_webhook {
    use super::{of_any, of_making, of_safe, of_walking, webhook::Receiver};

    of_any!(Receiver);
    of_making!(Receiver);
    of_walking!(Receiver);
    of_safe!(Receiver);
}

mod a_till {
    use super::{
        of_any, of_making, of_making_provably, of_needy, of_once, of_provable, of_tireless, of_walking, till::Till,
    };

    of_any!(Till);
    of_making!(Till);
    of_walking!(Till);
    of_tireless!(Till);
    of_once!(Till);
    of_provable!(Till);
    of_making_provably!(Till);
    of_needy!(Till);
}

mod a_till_that_never_proves_absence {
    use super::{of_once, of_unprovable, till::BlindTill};

    of_once!(BlindTill);
    of_unprovable!(BlindTill);
}

/// It takes no version that is outdated already, and sends an order whose absence is proven once more and no oftener.
mod a_point_of_sale {
    use super::{of_any, of_making, of_making_provably, of_needy, of_once, of_provable, spoton::Pos};

    of_any!(Pos);
    of_making!(Pos);
    of_once!(Pos);
    of_provable!(Pos);
    of_making_provably!(Pos);
    of_needy!(Pos);
}

mod a_point_of_sale_that_asks_a_person {
    use super::{of_once, of_unprovable, spoton::CautiousPos};

    of_once!(CautiousPos);
    of_unprovable!(CautiousPos);
}

/// It holds the orders by itself: what the sink does is told of them, and what was cancelled stays so.
mod a_feed {
    use super::{godatafeed::Feed, of_any, of_once, of_provable, of_tireless};

    of_any!(Feed);
    of_once!(Feed);
    of_provable!(Feed);
    of_tireless!(Feed);
}

mod a_feed_at_which_orders_are_shipped_at_once {
    use super::{godatafeed::ShippingFeed, groups::tests};

    tests!(any, ShippingFeed:
        a_new_order_is_brought_by_the_requests_it_takes_and_each_once,
        a_version_that_changes_nothing_visible_asks_for_nothing,
        an_outcome_lost_with_its_process_leaves_one_effect_each,
        a_throttled_request_waits_as_long_as_asked_and_costs_no_attempt,
        throttling_without_a_wish_backs_off_and_costs_no_attempt,
        unaccepted_credentials_block_the_sink_until_they_are_accepted_again,
        a_missing_right_blocks_the_sink_until_it_is_given_again,
        a_redirect_is_refused_and_nothing_follows_it,
        a_refused_version_is_cured_by_a_newer_one,
        every_fault_at_every_request_of_a_correction_ends_right,
        a_process_stopped_at_any_moment_loses_nothing,
        two_processes_share_the_work_and_repeat_none,
        a_dry_run_asks_for_no_effect_and_changes_nothing,
        nothing_that_is_echoed_is_kept_or_logged,
        before_another_sink_it_wakes_that_one,
        a_drain_waits_for_the_answer_and_records_it,
    );
}

mod a_feed_with_a_key {
    use super::{godatafeed::KeyedFeed, groups::tests};

    tests!(any, KeyedFeed:
        a_new_order_is_brought_by_the_requests_it_takes_and_each_once,
        unaccepted_credentials_block_the_sink_until_they_are_accepted_again,
        nothing_that_is_echoed_is_kept_or_logged,
    );
}

/// It takes no version that is outdated already. A dry run reads what every order needs, as a new process does.
mod a_ledger {
    use super::{groups::tests, of_any, of_keyed, of_needy, xero::Ledger};

    of_any!(Ledger);
    of_keyed!(Ledger);
    of_needy!(Ledger);
    tests!(any, Ledger:
        an_order_cancelled_before_it_was_sent_is_never_sent,
        every_fault_at_every_request_of_an_order_accepted_again_ends_right,
        a_restart_between_any_two_steps_repeats_none,
        before_another_sink_it_wakes_that_one,
        before_another_sink_what_was_taken_back_holds_that_one_until_it_stands_again,
    );
    tests!(once, Ledger:
        a_server_error_that_names_a_time_is_a_doubt_and_no_repeat,
        a_doubt_that_is_given_back_stays_one,
        an_older_version_that_is_found_leaves_the_newer_one_owed,
    );
    tests!(provable, Ledger:
        many_doubts_at_once_each_come_to_their_own_end,
        a_late_refusal_does_not_settle_the_step_that_was_sent_again_since,
        two_processes_share_doubts_and_repeat_nothing_that_stands,
    );
}

/// It takes no version that is outdated already, and tries again by itself what was refused. A dry run reads what every order
/// needs, as a new process does.
mod a_shop {
    use super::{groups::tests, lightspeed::Shop, of_any, of_making_provably, of_needy, of_provable, of_tireless};

    of_any!(Shop);
    of_provable!(Shop);
    of_making_provably!(Shop);
    of_tireless!(Shop);
    of_needy!(Shop);
    tests!(any, Shop:
        an_order_cancelled_before_it_was_sent_is_never_sent,
        every_fault_at_every_request_of_an_order_accepted_again_ends_right,
        a_restart_between_any_two_steps_repeats_none,
        before_another_sink_it_wakes_that_one,
        before_another_sink_what_was_taken_back_holds_that_one_until_it_stands_again,
    );
    tests!(once, Shop:
        a_lost_answer_is_a_doubt_that_a_look_up_settles,
        a_server_error_that_names_a_time_is_a_doubt_and_no_repeat,
        a_doubt_that_is_given_back_stays_one,
        a_look_up_that_fails_is_made_again,
        an_older_version_that_is_found_leaves_the_newer_one_owed,
        a_cancellation_during_a_doubt_is_owed_once_the_step_is_found,
    );
}

/// What it refuses waits for a person, or for a newer version, and is not parked: tests/it/unleashed/simulated/cost.rs. It takes
/// no version that is outdated already. A dry run reads what every order needs, as a new process does.
mod a_stock {
    use super::{groups::tests, of_making_provably, of_needy, of_provable, of_tireless, unleashed::Stock};

    tests!(any, Stock:
        a_new_order_is_brought_by_the_requests_it_takes_and_each_once,
        a_version_that_changes_nothing_visible_asks_for_nothing,
        a_correction_replaces_what_stands,
        an_outcome_lost_with_its_process_leaves_one_effect_each,
        a_throttled_request_waits_as_long_as_asked_and_costs_no_attempt,
        throttling_without_a_wish_backs_off_and_costs_no_attempt,
        unaccepted_credentials_block_the_sink_until_they_are_accepted_again,
        a_missing_right_blocks_the_sink_until_it_is_given_again,
        a_redirect_is_refused_and_nothing_follows_it,
        every_fault_at_every_request_of_a_correction_ends_right,
        every_fault_at_every_request_of_a_cancellation_ends_right,
        a_process_stopped_at_any_moment_loses_nothing,
        two_processes_share_the_work_and_repeat_none,
        a_dry_run_asks_for_no_effect_and_changes_nothing,
        nothing_that_is_echoed_is_kept_or_logged,
        behind_another_sink_it_waits_and_is_woken,
        a_version_that_arrives_while_a_request_is_under_way_follows_it,
        a_drain_waits_for_the_answer_and_records_it,
        an_order_cancelled_before_it_was_sent_is_never_sent,
        every_fault_at_every_request_of_an_order_accepted_again_ends_right,
        a_restart_between_any_two_steps_repeats_none,
        before_another_sink_it_wakes_that_one,
        before_another_sink_what_was_taken_back_holds_that_one_until_it_stands_again,
    );
    tests!(once, Stock:
        a_lost_answer_is_a_doubt_that_a_look_up_settles,
        a_server_error_that_names_a_time_is_a_doubt_and_no_repeat,
        a_doubt_that_is_given_back_stays_one,
        a_look_up_that_fails_is_made_again,
        an_older_version_that_is_found_leaves_the_newer_one_owed,
        a_cancellation_during_a_doubt_is_owed_once_the_step_is_found,
    );
    of_provable!(Stock);
    of_making_provably!(Stock);
    of_tireless!(Stock);
    of_needy!(Stock);
}
