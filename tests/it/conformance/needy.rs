//! Rules for a sink that cannot send every order.

use serde_json::Value;

use super::subject::{Case, Subject, TOTAL};
use crate::harness::app::order;

pub trait Needy: Subject {
    /// An accepted order without something that the sink needs.
    fn lacking(order_id: &str, version: i64) -> Value;
}

pub async fn an_order_without_what_it_needs_is_parked_with_what_to_do_and_cured_by_a_newer_version<S: Needy>() {
    let mut case = Case::<S>::start().await;

    case.arrives(&S::lacking("A-1", 1)).await;

    let delivery = case.delivery("A-1").await;
    assert_eq!(delivery.state, "parked");
    assert!(delivery.reason.is_some() && delivery.hint.is_some(), "{delivery:?}");
    assert!(case.there.asked().is_empty());
    case.arrives(&order("A-1", 2, "accepted")).await;
    case.assert_applied("A-1", TOTAL).await;
}
