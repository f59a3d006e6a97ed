//! Faults before and after the effect, cut bodies, and a client that leaves.

use tokio_util::sync::CancellationToken;

use super::*;
use crate::simulator::faults::{cut_after, cut_before, not_json, plainly, status, truncated};

const POST: Operation = Operation::Save(Resource::SalesOrders);

#[tokio::test]
async fn a_fault_leaves_an_order_behind_or_none() {
    let desk = start().await;
    for (number, fault, is_there) in [
        ("SCF-1", status(500), false),
        ("SCF-2", status(500).after_the_effect(), true),
        ("SCF-3", cut_before(), false),
        ("SCF-4", cut_after(), true),
        ("SCF-5", truncated(), true),
        ("SCF-6", not_json(), true),
    ] {
        let order = desk.order(number, &[("NAAN", 1, 100)]);
        desk.answer_next_to(POST, [fault.clone()]);
        let sent = desk.request("POST", &order_path(&order)).body(order.to_string()).send().await;
        if let Ok(answer) = sent {
            assert!(!answer.status().is_success() || answer.json::<Value>().await.is_err(), "{number}");
        }
        let found = desk.act("GET", &order_path(&order)).await.0;
        assert_eq!(found, if is_there { 200 } else { 404 }, "{}", fault.name());
    }
}

#[tokio::test]
async fn two_writes_of_one_order_and_two_completes_at_once_are_noted() {
    let desk = start().await;
    let order = desk.order("SCF-1", &[("NAAN", 1, 100)]);
    desk.posted(&order).await;
    let gate = CancellationToken::new();
    desk.answer_next_to(Operation::Complete(Resource::SalesOrders), [plainly().answered_when(&gate)]);
    let complete = format!("{}/Complete", order_path(&order));
    let hanging = tokio::spawn(ask(desk.request("POST", &complete)));
    desk.wait_until(|ledger| !ledger.account().invoices().is_empty(), secs(30)).await.expect("it is completed");

    assert_eq!(desk.act("POST", &complete).await.0, 400);
    desk.posted(&desk.order("SCF-2", &[("NAAN", 1, 100)])).await;
    gate.cancel();
    hanging.await.expect("it ends");

    let operation = Operation::Complete(Resource::SalesOrders);
    let guid = guid("SCF-1").parse().expect("a GUID");
    assert_eq!(
        desk.violations(),
        [
            Violation::SideBySide { order: "1".to_owned(), operation, running: operation },
            Violation::TwoCompletes { guid },
            Violation::CompletedAgain { number: "SCF-1".to_owned() },
        ]
    );
    assert_eq!((desk.on_hand("NAAN"), desk.ledger().running("1")), (99_999, 0));
}
