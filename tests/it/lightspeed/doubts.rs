//! What a look-up makes of steps whose answers were lost.

use std::time::Duration;

use scoffable_sync::sinks::{Doubt, Finding};

use super::{
    stub::{ok, reply},
    *,
};

impl Case {
    async fn look_up(&self, step: &Step) -> Finding {
        let key = key("812345");
        let doubt = Doubt { key: &key, step, sent: Duration::from_mins(2) };
        self.client.look_up(&[doubt], self.app.clock.wall()).await.findings.pop().expect("one finding for each doubt")
    }
}

fn found(finding: Finding) -> Held {
    let Finding::Stands(Receipt { receipt: Some(receipt), .. }) = finding else { panic!("{finding:?}") };
    Held::of(Some(&receipt)).unwrap()
}

#[tokio::test]
async fn a_sale_is_found_by_its_id_or_is_not_there_or_is_another() {
    let case = Case::usual().await;
    case.shop.answers("GET", &sale_path(ID), ok(&shown(ID, "closed", "21.90", 7)));
    case.shop.answers("GET", &sale_path(ID), reply(404, &json!({})));
    case.shop.answers("GET", &sale_path(ID), ok(&shown(ID, "closed", "1.00", 7)));
    case.shop.answers("GET", &sale_path(ID), reply(503, &json!({})));

    assert_eq!(found(case.look_up(&post()).await).sales[0].told_minor, Some(2190));
    assert!(matches!(case.look_up(&post()).await, Finding::NotFound));
    assert!(matches!(case.look_up(&post()).await, Finding::Ambiguous { hint } if hint.contains("SCF-812345")));
    assert!(matches!(case.look_up(&post()).await, Finding::Failed(_)));
}

#[tokio::test]
async fn a_sale_is_taken_back_or_it_is_not() {
    let case = Case::usual().await;
    case.shop.answers("GET", &sale_path(ID), ok(&shown(ID, "voided", "21.90", 8)));
    case.shop.answers("GET", &sale_path(ID), ok(&shown(ID, "closed", "21.90", 7)));

    assert_eq!(found(case.look_up(&void()).await).sales[0].state, State::Voided);
    assert!(matches!(case.look_up(&void()).await, Finding::NotFound));
}

#[tokio::test]
async fn a_return_that_was_begun_is_the_parked_one_that_nobody_knows() {
    let case = Case::usual().await;
    let original = |returns: &[&str]| {
        let mut sale = shown(ID, "closed", "21.90", 8);
        sale["data"]["return"] = json!({"return_sale_ids": returns});
        ok(&sale)
    };
    case.shop.always_answers("GET", &sale_path("old"), ok(&shown("old", "voided", "-1.00", 2)));
    case.shop.always_answers("GET", &sale_path("new"), ok(&shown("new", "parked", "-21.90", 8)));
    case.shop.always_answers("GET", &sale_path("newer"), ok(&shown("newer", "parked", "-21.90", 9)));
    for returns in [&["old", "new"][..], &["old"], &["new", "newer"]] {
        case.shop.answers("GET", &sale_path(ID), original(returns));
    }

    assert_eq!(found(case.look_up(&begin_return()).await).sales[1].id.as_deref(), Some("new"));
    assert!(matches!(case.look_up(&begin_return()).await, Finding::NotFound));
    assert!(matches!(case.look_up(&begin_return()).await, Finding::Ambiguous { .. }));
}

#[tokio::test]
async fn the_legacy_dialect_does_not_tell_of_returns_so_a_person_looks() {
    let case = Case::start(&[("api", "legacy")]).await;

    assert!(matches!(case.look_up(&begin_return()).await, Finding::Ambiguous { .. }));
    assert_eq!(case.shop.lines(), [""; 0]);
}
