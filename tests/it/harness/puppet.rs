//! A destination in the test's hand, without HTTP: what it answers and finds is told beforehand, and it tells what it was
//! asked. For the rules of the engine that no simulated system shows by itself.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::Duration,
};

use chrono::{DateTime, Utc};
use futures::future::BoxFuture;
use scoffable_sync::{
    delivery::{calls::Budget, dispatcher::Dispatcher, driver::Driver},
    domain::{
        delivery::{Outcome, Plan, Receipt, Repeat, Step},
        ids::SinkName,
    },
    sinks::{Answer, Calls, Doubt, Finding, GroupAnswer, LookedUp, Sink, View},
};
use serde_json::json;

use tokio::sync::Notify;

use super::app::{SINK, TestApp};

/// One thing it was asked, with the keys of the steps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Call {
    Send(String),
    Group(Vec<String>),
    LookUp(Vec<String>),
}

pub struct Puppet {
    pub repeat: Repeat,
    pub group_size: usize,
    pub visible_after: Option<Duration>,
    /// Rung by a request that was told to wait, and by the test that lets it go on.
    pub waiting: Notify,
    pub go_on: Notify,
    said: Mutex<Said>,
}

#[derive(Default)]
struct Said {
    answers: VecDeque<Outcome>,
    groups: VecDeque<GroupAnswer>,
    findings: VecDeque<Finding>,
    look_up_costs: Option<Calls>,
    unprepared: VecDeque<Answer>,
    lacks_a_read: bool,
    plans: VecDeque<Plan>,
    waits: bool,
    calls: Vec<Call>,
}

impl Puppet {
    pub fn new(repeat: Repeat) -> Self {
        Self {
            repeat,
            group_size: 1,
            visible_after: None,
            waiting: Notify::new(),
            go_on: Notify::new(),
            said: Mutex::default(),
        }
    }

    fn said(&self) -> std::sync::MutexGuard<'_, Said> {
        self.said.lock().expect("nothing panics with it")
    }

    /// The next send, or shared read, waits until it may go on.
    pub fn waits(&self) {
        self.said().waits = true;
    }

    /// To the next step; without any left it takes each.
    pub fn answers(&self, outcome: Outcome) {
        self.said().answers.push_back(outcome);
    }

    pub fn answers_group(&self, answer: GroupAnswer) {
        self.said().groups.push_back(answer);
    }

    /// About the next step in doubt; without any left it stands there.
    pub fn finds(&self, finding: Finding) {
        self.said().findings.push_back(finding);
    }

    /// The next look-up takes these calls; otherwise one, which tells nothing.
    pub fn look_up_costs(&self, calls: Calls) {
        self.said().look_up_costs = Some(calls);
    }

    /// For the next version, instead of a step.
    pub fn plans(&self, plan: Plan) {
        self.said().plans.push_back(plan);
    }

    /// The next plan lacks a shared read, which ends so.
    pub fn is_not_prepared(&self, outcome: Outcome) {
        self.lacks(Answer { calls_beside: 1, ..outcome.into() });
    }

    /// The next plan lacks a shared read, which is not made: how the one before ended is told again.
    pub fn is_told_again(&self, outcome: Outcome) {
        self.lacks(outcome.into());
    }

    fn lacks(&self, told: Answer) {
        let mut said = self.said();
        said.unprepared.push_back(told);
        said.lacks_a_read = true;
    }

    pub fn calls(&self) -> Vec<Call> {
        self.said().calls.clone()
    }

    fn of_key(key: &str) -> Receipt {
        Receipt { external_id: Some(format!("there-{key}")), ..Receipt::default() }
    }
}

impl Sink for Puppet {
    fn kind(&self) -> &'static str {
        "puppet"
    }

    fn prepare(&self, _: DateTime<Utc>) -> BoxFuture<'_, Result<Calls, Answer>> {
        let (unprepared, waits) = {
            let mut said = self.said();
            let unprepared = said.unprepared.pop_front();
            said.lacks_a_read = unprepared.is_some();
            (unprepared, std::mem::take(&mut said.waits))
        };
        Box::pin(async move {
            if waits {
                self.waiting.notify_one();
                self.go_on.notified().await;
            }
            unprepared.map_or(Ok(Calls { made: 1, limits: Vec::new() }), Err)
        })
    }

    fn plan(&self, view: &View<'_>) -> Plan {
        let mut said = self.said();
        if let Some(plan) = said.plans.pop_front() {
            return plan;
        }
        if said.lacks_a_read {
            return Plan::Unread;
        }
        Plan::Send(Step {
            name: "submit".to_owned(),
            key: format!("{}-{}", view.key.order.order_id, view.version),
            body: view.payload.to_owned(),
            repeat: self.repeat,
            completes: true,
            receipt: Some(json!({ "version": view.version })),
        })
    }

    fn send<'a>(&'a self, step: &'a Step, _: DateTime<Utc>) -> BoxFuture<'a, Answer> {
        Box::pin(async move {
            let (outcome, waits) = {
                let mut said = self.said();
                said.calls.push(Call::Send(step.key.clone()));
                let answer = said.answers.pop_front();
                (answer.unwrap_or_else(|| Outcome::Delivered(Self::of_key(&step.key))), std::mem::take(&mut said.waits))
            };
            if waits {
                self.waiting.notify_one();
                self.go_on.notified().await;
            }
            outcome.into()
        })
    }

    fn group_size(&self) -> usize {
        self.group_size
    }

    fn send_group<'a>(&'a self, steps: &'a [&'a Step], _: DateTime<Utc>) -> BoxFuture<'a, GroupAnswer> {
        let mut said = self.said();
        said.calls.push(Call::Group(steps.iter().map(|step| step.key.clone()).collect()));
        let each = || steps.iter().map(|step| Outcome::Delivered(Self::of_key(&step.key)).into()).collect();
        let answer = said.groups.pop_front().unwrap_or_else(|| GroupAnswer::Each(each()));
        Box::pin(std::future::ready(answer))
    }

    fn look_up<'a>(&'a self, doubts: &'a [Doubt<'a>], _: DateTime<Utc>) -> BoxFuture<'a, LookedUp> {
        let mut said = self.said();
        said.calls.push(Call::LookUp(doubts.iter().map(|doubt| doubt.step.key.clone()).collect()));
        let found = |doubt: &Doubt<'_>, said: &mut Said| {
            said.findings.pop_front().unwrap_or_else(|| Finding::Stands(Self::of_key(&doubt.step.key)))
        };
        let findings = doubts.iter().map(|doubt| found(doubt, &mut said)).collect();
        let calls = std::mem::take(&mut said.look_up_costs).unwrap_or(Calls { made: 1, limits: Vec::new() });
        Box::pin(std::future::ready(LookedUp { findings, calls }))
    }

    fn visible_after(&self, _: &Step) -> Option<Duration> {
        self.visible_after
    }
}

/// Puts a sink of the test's in the place of the usual one. Its loop is the only one afterwards.
pub fn drive(app: &mut TestApp, sink: Arc<dyn Sink>) {
    let name = SinkName::parse(SINK).expect("a valid name");
    let settings = app.settings.sinks.values().next().expect("the test has a sink");
    let driver = Driver {
        budget: Budget::of(&name, settings, &[String::new()], &app.line(), &app.clock),
        name,
        sink,
        rules: settings.common.clone(),
        pool: app.line(),
        clock: app.clock.clone(),
        owner: "a test".to_owned(),
        lease: app.settings.delivery.lease,
        read_back: app.settings.delivery.read_back.clone(),
        lanes: vec![String::new()],
        dependents: Vec::new(),
        metrics: Arc::default(),
        traces: scoffable_sync::telemetry::traces::Traces::default(),
        slots: None,
    };
    app.dispatchers = vec![Dispatcher::new(Arc::new(driver), Arc::default())];
}
