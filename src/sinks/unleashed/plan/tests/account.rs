//! An account that does what steps say, from the JSON that goes out: enough of it to bring an order through its versions
//! without HTTP.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use crate::{
    domain::{
        delivery::{About, DeliveryKey, Plan, Progress, SkipReason, Step, WaitingFor},
        ids::{OrderKey, SinkName, SourceName},
        money::{Money, breakdown},
    },
    sinks::{
        Since, View,
        unleashed::{
            call::{Call, On},
            config::UnleashedSettings,
            facts::Facts,
            plan::{Stock, plan},
            receipt::{Held, Refusal, Standing},
            testing::{facts, gbp, now, settings_with},
            wire::{Number, SalesOrder},
        },
    },
    source::{self, SourceKind},
};

/// What a version came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    Settled {
        notice: Option<String>,
    },
    Skipped(SkipReason),
    Parked(&'static str),
    /// For a person who mends settings; the subject of the alert.
    Held(String),
    /// To be completed.
    Waits,
}

#[derive(Debug, Clone)]
struct Kept {
    guid: String,
    number: String,
    status: String,
    is_credit: bool,
    body: Value,
}

#[derive(Debug)]
pub struct Scene {
    pub settings: UnleashedSettings,
    pub facts: Facts,
    pub receipt: Option<Value>,
    /// None: a person said to try again.
    pub refused: Option<Duration>,
    pub now: DateTime<Utc>,
    /// Names of steps.
    pub calls: Vec<String>,
    /// What went out, in its order.
    pub bodies: Vec<String>,
    kept: Vec<Kept>,
    /// What completing an order makes of it.
    pub completes_as: &'static str,
    /// To the total of each order.
    pub adds_pennies: i64,
    /// An update leaves lines that it does not name.
    pub keeps_lines: bool,
    /// Steps of this name are refused.
    pub refuses: Option<&'static str>,
}

impl Scene {
    pub fn usual() -> Self {
        Self::with(&[])
    }

    pub fn with(keys: &[(&str, &str)]) -> Self {
        Self {
            settings: settings_with(keys),
            facts: facts(),
            receipt: None,
            refused: Some(Duration::ZERO),
            now: now(),
            calls: Vec::new(),
            bodies: Vec::new(),
            kept: Vec::new(),
            completes_as: "Completed",
            adds_pennies: 0,
            keeps_lines: false,
            refuses: None,
        }
    }

    /// Number, status and total with its sign of everything that stands.
    pub fn standing(&self) -> Vec<(String, String, i64)> {
        let standing = self.kept.iter().filter(|kept| kept.status != "Deleted");
        let total = |kept: &Kept| {
            let number: Number = serde_json::from_str(&kept.body["Total"].to_string()).unwrap();
            let minor = number.minor(gbp()).unwrap();
            if kept.is_credit { -minor } else { minor }
        };
        standing.map(|kept| (kept.number.clone(), kept.status.clone(), total(kept))).collect()
    }

    pub fn posted(&self) -> i64 {
        self.standing().iter().map(|(.., total)| total).sum()
    }

    pub fn held(&self) -> Held {
        Held::of(self.receipt.as_ref()).unwrap()
    }

    pub fn edit_by_hand(&mut self) {
        let body = &mut self.kept.last_mut().expect("something stands").body;
        body["SalesOrderLines"][0]["LineTotal"] = json!(1);
        body["LastModifiedOn"] = "/Date(1760000009999)/".into();
    }

    pub fn delete_by_hand(&mut self) {
        "Deleted".clone_into(&mut self.kept.last_mut().expect("something stands").status);
    }

    pub fn plan_of(&self, payload: &str) -> Plan {
        let order = source::decode_stored(SourceKind::Scoffable, payload).expect("it can be read");
        let key = DeliveryKey {
            sink: SinkName::parse("stock").unwrap(),
            order: OrderKey { source: SourceName::parse("main").unwrap(), order_id: order.id.clone() },
        };
        let view = View {
            key: &key,
            version: order.version,
            progress: Progress { applied: None, sent: None },
            receipt: self.receipt.as_ref(),
            external_id: None,
            order: &order,
            money: &breakdown(&order),
            payload,
            content_hash: &[],
            every_version: false,
            counterpart: None,
            since: Since { received: Duration::ZERO, owed: Duration::ZERO, refused: self.refused, begins_at: None },
            now: self.now,
        };
        plan(Stock { settings: &self.settings, facts: &self.facts }, &view)
    }

    /// Takes a version as far as it goes, however long that takes.
    pub fn bring(&mut self, order: &Value) -> Ended {
        self.bring_payload(&order.to_string())
    }

    pub fn bring_payload(&mut self, payload: &str) -> Ended {
        loop {
            match self.go_on(payload) {
                (Ended::Waits, wait) => self.now += wait,
                (ended, _) => return ended,
            }
        }
    }

    pub fn bring_until_it_waits(&mut self, order: &Value) -> Ended {
        self.go_on(&order.to_string()).0
    }

    fn go_on(&mut self, payload: &str) -> (Ended, Duration) {
        for _ in 0..30 {
            let ended = match self.plan_of(payload) {
                Plan::Send(step) => {
                    self.take(&step);
                    continue;
                }
                Plan::Settled(receipt) => {
                    self.receipt = receipt.receipt;
                    Ended::Settled { notice: receipt.notice }
                }
                Plan::Wait { waiting_for: WaitingFor::Shipment, wait, .. } => return (Ended::Waits, wait),
                Plan::Wait { alert, .. } => match alert.expect("it is told").about {
                    About::Shared(subject) => Ended::Held(subject),
                    About::Order | About::Customer(_) => panic!("one alert for all"),
                },
                Plan::Skip { reason, .. } => Ended::Skipped(reason),
                Plan::Park { reason, .. } => Ended::Parked(reason),
                other => panic!("{other:?}"),
            };
            return (ended, Duration::ZERO);
        }
        panic!("it never ends: {:?}", self.calls);
    }

    fn kept_mut(&mut self, guid: &str) -> &mut Kept {
        self.kept.iter_mut().find(|kept| kept.guid == guid).expect("it was made")
    }

    fn make(&mut self, on: &On, body: &str, is_credit: bool) {
        assert!(self.kept.iter().all(|kept| kept.number != on.number), "{} is made twice", on.number);
        self.bodies.push(body.to_owned());
        let mut body: Value = serde_json::from_str(body).unwrap();
        if self.adds_pennies != 0 {
            let total = Money::from_decimal(&body["Total"].to_string(), gbp()).unwrap();
            let total = Money::new(total.amount + self.adds_pennies, total.currency);
            body["Total"] = serde_json::from_str(&total.to_decimal()).unwrap();
        }
        let status = body["OrderStatus"].as_str().unwrap_or("Parked").to_owned();
        let (guid, number) = (on.guid.clone(), on.number.clone());
        self.kept.push(Kept { guid, number, status, is_credit, body });
    }

    fn take(&mut self, step: &Step) {
        let call = Call::read(&step.body).unwrap();
        let mut held = Held::of(step.receipt.as_ref()).unwrap();
        self.calls.push(step.name.clone());
        let is_refused = self.refuses == Some(call.name());
        let refusal = |on: &On| Refusal {
            step: step.name.clone(),
            about: on.number.clone(),
            cause: "rejected_by_unleashed".to_owned(),
            at: self.now,
        };
        match &call {
            Call::Customer(_) => panic!("there is one customer"),
            Call::Products(products) if is_refused => {
                held.refused_products.extend(products.products.iter().map(|product| product.code.clone()));
            }
            Call::Products(products) => {
                self.bodies.extend(products.products.iter().map(|product| product.body.get().to_owned()));
                held.products.extend(products.products.iter().map(|product| product.code.clone()));
            }
            Call::Order(post) if is_refused => held.refuse(refusal(&post.on)),
            Call::Order(post) => {
                self.make(&post.on, post.body.get(), false);
                held.made(&post.on.number, self.now);
            }
            Call::Complete(change) if is_refused => {
                held.restore(&change.before);
                held.refuse(refusal(&change.on));
            }
            Call::Complete(change) => {
                let status = self.completes_as;
                status.clone_into(&mut self.kept_mut(&change.on.guid).status);
            }
            Call::Update(update) => {
                self.bodies.push(update.body.get().to_owned());
                let keeps_lines = self.keeps_lines;
                let kept = self.kept_mut(&update.on.guid);
                let before = std::mem::replace(&mut kept.body, serde_json::from_str(update.body.get()).unwrap());
                let lines = kept.body["SalesOrderLines"].as_array_mut().unwrap();
                if keeps_lines {
                    let old = before["SalesOrderLines"].as_array().unwrap();
                    lines.extend(old.iter().skip(lines.len()).cloned().collect::<Vec<_>>());
                }
            }
            Call::Delete(change) => "Deleted".clone_into(&mut self.kept_mut(&change.on.guid).status),
            Call::DeleteLines(gone) => {
                let lines = &mut self.kept_mut(&gone.on.guid).body["SalesOrderLines"];
                let is_left = |line: &Value| !gone.lines.iter().any(|guid| line["Guid"] == guid.as_str());
                lines.as_array_mut().unwrap().retain(is_left);
            }
            Call::Credit(credit) => {
                self.make(&credit.on, credit.body.get(), true);
                held.made(&credit.on.number, self.now);
            }
            Call::CompleteCredit(change) => "Completed".clone_into(&mut self.kept_mut(&change.on.guid).status),
            Call::Read(read) => {
                for on in &read.orders {
                    let kept = self.kept_mut(&on.guid).clone();
                    let order = json_with(&kept.body, &kept.status);
                    held.seen(&on.number, Some(&order.seen(gbp()).unwrap()), &on.order_id);
                }
                for (on, _) in &read.credits {
                    let kept = self.kept_mut(&on.guid).clone();
                    let total: Number = serde_json::from_str(&kept.body["Total"].to_string()).unwrap();
                    held.seen_credit(&on.number, Standing::parse(&kept.status), total.minor(gbp()));
                }
                held.was_read(read.version, self.now);
            }
        }
        self.receipt = Some(held.receipt());
    }
}

fn json_with(body: &Value, status: &str) -> SalesOrder {
    let mut body = body.clone();
    body["OrderStatus"] = status.into();
    serde_json::from_value(body).unwrap()
}
