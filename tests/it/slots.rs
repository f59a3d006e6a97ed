//! The slots of calls in progress that the processes of one database share.

use std::{sync::Arc, time::Duration};

use scoffable_sync::{
    delivery::{budget::Class, driver::Driver, reading::PATIENCE, slots::Slots},
    domain::{catalogue::Kind, ids::SinkName},
    sinks::{Sink, Turns},
    store::{
        self,
        slots::{Hold, create},
    },
};

use crate::{
    catalogue::shop::{Counts, Shop},
    harness::app::{SINK, TestApp},
};

const LEASE: Duration = Duration::from_secs(30);

struct Desk {
    app: TestApp,
    sink: SinkName,
}

impl Desk {
    async fn with(slots: u32) -> Self {
        let desk = Self { app: TestApp::start().await, sink: SinkName::parse(SINK).unwrap() };
        create(&desk.app.pool, &desk.sink, slots).await.unwrap();
        desk
    }

    async fn hold(&self, owner: &str, wanted: u32, most: u32) -> u32 {
        let hold = Hold { sink: &self.sink, owner, wanted, most, lease: LEASE };
        store::slots::hold(&self.app.pool, hold, self.app.clock.offset_ms()).await.unwrap()
    }
}

#[tokio::test]
async fn processes_have_together_what_there_is_and_what_one_gives_back_another_takes() {
    let desk = Desk::with(3).await;

    assert_eq!(desk.hold("one", 2, 3).await, 2);
    assert_eq!(desk.hold("two", 3, 3).await, 1);
    assert_eq!(desk.hold("one", 3, 3).await, 2, "its own it keeps");
    assert_eq!(desk.hold("one", 1, 3).await, 1);
    assert_eq!(desk.hold("two", 3, 3).await, 2);
    assert_eq!(desk.hold("one", 0, 3).await, 0);
    assert_eq!(desk.hold("two", 3, 3).await, 3);
}

#[tokio::test]
async fn what_a_process_that_died_had_is_free_within_one_lease() {
    let desk = Desk::with(2).await;
    assert_eq!(desk.hold("one", 2, 2).await, 2);

    desk.app.advance(LEASE.saturating_sub(Duration::from_secs(1)));
    assert_eq!(desk.hold("two", 2, 2).await, 0);

    desk.app.advance(Duration::from_secs(2));
    assert_eq!(desk.hold("two", 2, 2).await, 2);
    assert_eq!(desk.hold("one", 2, 2).await, 0, "should it come back after all");
}

#[tokio::test]
async fn a_limit_that_was_lowered_holds_at_once() {
    let desk = Desk::with(3).await;
    assert_eq!(desk.hold("one", 3, 3).await, 3);

    assert_eq!(desk.hold("one", 3, 2).await, 2);
    assert_eq!(desk.hold("two", 3, 2).await, 0);
}

#[tokio::test]
async fn processes_that_ask_at_once_never_get_more_than_there_is() {
    let desk = Desk::with(3).await;

    for _ in 0..20 {
        let names = ["one", "two", "three", "four"];
        let got = futures::future::join_all(names.map(|name| desk.hold(name, 2, 3))).await;
        assert!(got.iter().sum::<u32>() <= 3, "{got:?}");
        futures::future::join_all(names.map(|name| desk.hold(name, 0, 3))).await;
    }
}

#[tokio::test]
async fn a_reading_is_one_of_the_calls_at_a_time_and_waits_for_its_place() {
    let desk = Desk::with(1).await;
    let (app, name) = (&desk.app, desk.sink.clone());
    let driver = Driver {
        slots: Some(Slots::new(&name, "one", 1, LEASE, &app.line(), &app.clock)),
        sink: Shop::new(&app.clock, Counts::Time, &[Kind::Product]) as Arc<dyn Sink>,
        rules: app.settings.sinks[&name].common.clone(),
        name,
        pool: app.line(),
        clock: app.clock.clone(),
        owner: "one".to_owned(),
        lease: LEASE,
        read_back: Vec::new(),
        lanes: vec![String::new()],
        dependents: Vec::new(),
        metrics: Arc::default(),
        traces: scoffable_sync::telemetry::traces::Traces::default(),
        budget: None,
    };
    let turns = driver.turns("", Class::Backfill);

    let hold = Hold { sink: &desk.sink, owner: "one", wanted: 1, most: 1, lease: 2 * PATIENCE };
    assert_eq!(store::slots::hold(&app.pool, hold, app.clock.offset_ms()).await.unwrap(), 1);
    let (is_its_turn, ()) = tokio::join!(turns.next(), async { app.advance(PATIENCE) });
    assert!(!is_its_turn, "deliveries of the same process have the only place");

    desk.hold("one", 0, 1).await;
    assert!(turns.next().await);
    assert_eq!(desk.hold("one", 1, 1).await, 0, "the reading is under way");
    turns.heard(&[], 0).await;
    assert_eq!(desk.hold("one", 1, 1).await, 1);
    desk.hold("one", 0, 1).await;
    assert!(turns.next().await, "no answer comes");
    driver.end_reading(turns).await;
    assert_eq!(desk.hold("one", 1, 1).await, 1);
}
