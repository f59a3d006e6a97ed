//! Corrections that took no document of their own are counted, once, wherever one looks.

use super::*;

#[tokio::test]
async fn metric_status_and_receipts_count_the_same_corrections_that_were_avoided() {
    let mut books = Books::with(&[("correction", "rewrite_payments")]).await;
    let process = books.app.another_process().await;
    (books.app.pollers, books.app.dispatchers) = (process.pollers, process.dispatchers);
    let dishes: [&[(&str, i64)]; 4] =
        [&[("Lamb", 900), ("Naan", 290)], &[("Lamb", 950)], &[("Lamb", 950), ("Rice", 300)], &[("Lamb", 950)]];

    // One that nothing hangs on, changed twice; one that is paid again; one that is credited; one that is new.
    for (n, version) in (1..).zip(&dishes[..3]) {
        books.bring(&unpaid(order_with("1", n, version))).await;
    }
    for (n, version) in (1..).zip(&dishes[2..]) {
        books.bring(&order_with("2", n, version)).await;
    }
    books.bring(&order_with("3", 1, dishes[0])).await;
    books.sim.by_hand(|all, now| assert!(all.reconcile_by_hand("SCF-3-P1-1", now)));
    books.bring(&order_with("3", 2, dishes[3])).await;
    books.bring(&order_with("4", 1, dishes[0])).await;

    let in_receipts = books
        .app
        .number("SELECT sum((receipt ->> 'corrections_avoided')::bigint)::bigint FROM deliveries WHERE sink = 'books'")
        .await;
    let rendered = process.instruments.metrics.render();
    let counted = rendered.lines().find(|line| line.starts_with("scoffable_sync_sink_corrections_avoided_total{"));
    // 1: what went and what came (2 documents), then what came (1); 2: what went (1); 3 took as many as there are.
    assert_eq!(in_receipts, 4);
    assert_eq!(books.app.number("SELECT corrections_avoided FROM sink_status").await, 4);
    assert_eq!(counted, Some("scoffable_sync_sink_corrections_avoided_total{sink=\"books\"} 4"), "{rendered}");
    books.assert_nothing_wrong();
}
