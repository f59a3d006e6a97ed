//! Orders that change after they were posted.

use super::*;

#[test]
fn within_an_opening_a_sale_is_taken_back_and_posted_anew() {
    let mut scene = Scene::new();
    scene.bring(&example());

    assert_eq!(scene.bring(&without_naan()), settled());

    assert_eq!(scene.steps(), ["sale", "read", "void", "sale"]);
    assert_eq!(scene.worth().0, 2_039_000);
    assert_eq!(scene.worth().1, [(ONLINE.to_owned(), 1_539_000), (VOUCHER.to_owned(), 500_000)].into());
    let held = scene.held();
    assert_eq!(held.sales[1].number, "SCF-812345-R2");
    assert_eq!(held.sales[1].id.as_deref(), Some("b046ce5c-825d-5c23-9f4c-58e17ee88410"));
}

#[test]
fn once_the_opening_is_over_what_has_to_go_is_returned() {
    let mut scene = Scene::new();
    scene.bring(&example());
    scene.opening = "tuesday".to_owned();

    assert_eq!(scene.bring(&without_naan()), settled());

    assert_eq!(scene.steps(), ["sale", "read", "begin_return", "finish_return"]);
    assert_eq!(scene.worth().0, 2_039_000);
    assert_eq!(scene.worth().1, [(ONLINE.to_owned(), 1_539_000), (VOUCHER.to_owned(), 500_000)].into());
}

#[test]
fn what_changes_both_ways_then_is_returned_whole_and_posted_anew() {
    let mut scene = Scene::new();
    scene.bring(&example());
    scene.opening = "tuesday".to_owned();
    let mut dearer = as_version(example(), 4, "accepted");
    dearer["items"][0]["price"] = money(1195);
    dearer["total"] = money(2529);
    dearer["customerPayments"][0]["payment"] = money(2029);

    assert_eq!(scene.bring(&dearer), settled());

    assert_eq!(scene.steps(), ["sale", "read", "begin_return", "finish_return", "sale"]);
    assert_eq!(scene.worth().0, 2_529_000);
}

#[test]
fn a_cancelled_order_leaves_nothing_and_may_come_back() {
    for opening in ["monday", "tuesday"] {
        let mut scene = Scene::new();
        scene.bring(&example());
        opening.clone_into(&mut scene.opening);

        assert_eq!(scene.bring(&as_version(example(), 4, "cancelled")), settled());
        assert_eq!(scene.worth(), (0, [].into()));
        assert_eq!(scene.receipt.as_ref().unwrap()["money"]["posted_minor"], 0);
        assert_eq!(scene.bring(&as_version(example(), 5, "accepted")), settled());

        assert_eq!(scene.worth().0, 2_329_000);
        assert_eq!(scene.held().sales.last().unwrap().number, "SCF-812345-R2", "{opening}");
    }
}

#[test]
fn a_return_that_was_begun_is_finished_before_anything_newer_is_looked_at() {
    let mut scene = Scene::new();
    scene.bring(&example());
    scene.opening = "tuesday".to_owned();
    let order = without_naan();
    for _ in 0..2 {
        let Plan::Send(step) = scene.plan(&order) else { panic!() };
        scene.take(&step);
    }
    assert_eq!(scene.steps().last(), Some(&"begin_return"));

    assert_eq!(scene.bring(&as_version(example(), 6, "accepted")), settled());

    assert_eq!(scene.steps()[3], "finish_return");
    assert_eq!(scene.worth().0, 2_329_000, "the naan is sold again");
}

#[test]
fn what_a_person_changed_there_is_never_overwritten() {
    let mut scene = Scene::new();
    scene.bring(&example());
    scene.sales.values_mut().next().unwrap().version = 99;

    assert_eq!(scene.bring(&without_naan()), noticed(REMOTE_EDITED));

    assert_eq!(scene.steps(), ["sale", "read"]);
    assert_eq!(scene.worth().0, 2_329_000);
    assert_eq!(scene.bring(&as_version(example(), 6, "accepted")), settled(), "nothing has to be corrected any more");
}

#[test]
fn what_a_person_took_back_there_is_not_posted_again() {
    let mut scene = Scene::new();
    scene.bring(&example());
    scene.sales.values_mut().next().unwrap().state = State::Voided;

    assert_eq!(scene.bring(&without_naan()), noticed(REMOTE_EDITED));
    assert_eq!(scene.worth().0, 0);
}

#[test]
fn a_change_that_leaves_lines_and_payments_alone_costs_no_call() {
    let mut scene = Scene::new();
    scene.bring(&example());

    assert_eq!(scene.bring(&as_version(example(), 4, "accepted")), settled());

    assert_eq!(scene.steps(), ["sale"]);
}

#[test]
fn a_sale_that_was_not_read_back_is_read_before_it_is_corrected() {
    let mut scene = Scene::with(settings_with(&[("verify", "sweep")]));

    assert_eq!(scene.bring(&example()), settled());
    assert_eq!(scene.steps(), ["sale"]);
    assert_eq!(scene.bring(&without_naan()), settled());

    assert_eq!(scene.steps(), ["sale", "read", "void", "sale"]);
    assert_eq!(scene.worth().0, 2_039_000);
}

#[test]
fn money_that_changed_hands_is_posted_anew() {
    let mut scene = Scene::new();
    scene.bring(&example());
    let mut cash = as_version(example(), 4, "accepted");
    cash["customerPayments"][0] = paid("cash", "vendor", 1829);

    assert_eq!(scene.bring(&cash), settled());

    assert_eq!(scene.worth().1, [(CASH.to_owned(), 1_829_000), (VOUCHER.to_owned(), 500_000)].into());
}
