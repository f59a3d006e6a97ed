//! A shop that does what steps say: enough of it to bring an order through its versions without HTTP. It counts what goes out,
//! from what goes out.

use std::{collections::BTreeMap, time::Duration};

use super::*;
use crate::{
    domain::{
        delivery::{DeliveryKey, Progress},
        ids::{OrderKey, SinkName, SourceName},
        money::breakdown,
    },
    sinks::{
        Since,
        customers::{Came, Named},
        lightspeed::{
            call::Post,
            receipt::{ReadMark, Seen, WhoBuys},
            send::begun,
            testing::{facts, gbp, now, settings},
            wire::SaleBody,
        },
    },
    source::{self, SourceKind},
};

/// What a version came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    Settled {
        notice: Option<String>,
        alert: Option<String>,
    },
    Skipped(SkipReason),
    Parked(&'static str),
    /// For a person who mends settings; the subject of the alert.
    Held(String),
}

#[derive(Debug, Clone)]
pub struct Kept {
    pub state: State,
    /// Units and price with tax of one, in hundred-thousandths.
    pub lines: Vec<(i64, i128)>,
    /// By payment type, in hundred-thousandths.
    pub payments: BTreeMap<String, i128>,
    pub opening: String,
    pub version: u32,
    /// The sale that it returns.
    pub of: Option<String>,
}

impl Kept {
    fn total(&self) -> i128 {
        self.lines.iter().map(|(units, price)| i128::from(*units) * price).sum()
    }
}

/// One order in a shop, and what the engine knows of it.
#[derive(Debug, Clone)]
pub struct Scene {
    pub settings: LightspeedSettings,
    pub facts: Facts,
    pub now: DateTime<Utc>,
    pub receipt: Option<Value>,
    /// None: a person said to try again.
    pub refused: Option<Duration>,
    pub sales: BTreeMap<String, Kept>,
    /// The register's present one.
    pub opening: String,
    /// Name and call of every step that was sent.
    pub sent: Vec<(String, Call)>,
    n: u32,
}

impl Scene {
    pub fn new() -> Self {
        Self::with(settings())
    }

    pub fn with(settings: LightspeedSettings) -> Self {
        Self {
            settings,
            facts: facts(),
            now: now(),
            receipt: None,
            refused: Some(Duration::ZERO),
            sales: BTreeMap::new(),
            opening: "monday".to_owned(),
            sent: Vec::new(),
            n: 0,
        }
    }

    pub fn plan(&self, order: &Value) -> Plan {
        let payload = order.to_string();
        let order = source::decode_stored(SourceKind::Scoffable, &payload).expect("it can be read");
        let key = DeliveryKey {
            sink: SinkName::parse("till").unwrap(),
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
            payload: &payload,
            content_hash: &[],
            every_version: false,
            counterpart: None,
            since: Since { received: Duration::ZERO, owed: Duration::ZERO, refused: self.refused, begins_at: None },
            now: self.now,
        };
        plan(Shop { settings: &self.settings, facts: &self.facts }, &view)
    }

    /// Takes a version as far as it goes.
    pub fn bring(&mut self, order: &Value) -> Ended {
        for _ in 0..20 {
            match self.plan(order) {
                Plan::Send(step) => self.take(&step),
                Plan::Settled(Receipt { receipt, notice, alert, .. }) => {
                    self.receipt = receipt;
                    return Ended::Settled { notice, alert: alert.map(|alert| alert.cause.to_owned()) };
                }
                Plan::Skip { reason, .. } => return Ended::Skipped(reason),
                Plan::Park { reason, .. } => return Ended::Parked(reason),
                Plan::Wait { wait, waiting_for, alert: Some(alert) } => {
                    assert_eq!(waiting_for, WaitingFor::Configuration);
                    assert!(!wait.is_zero() && alert.cause == "configuration" && !alert.detail.is_empty());
                    let About::Shared(subject) = alert.about else { panic!("about one order: {alert:?}") };
                    return Ended::Held(subject);
                }
                other => panic!("{other:?}"),
            }
        }
        panic!("it does not come to an end: {:?}", self.steps());
    }

    pub fn steps(&self) -> Vec<&str> {
        self.sent.iter().map(|(name, _)| name.as_str()).collect()
    }

    pub fn held(&self) -> Held {
        Held::of(self.receipt.as_ref()).unwrap()
    }

    /// What stands there, in hundred-thousandths, and how it was paid.
    pub fn worth(&self) -> (i128, BTreeMap<String, i128>) {
        let mut paid = BTreeMap::<String, i128>::new();
        let mut total = 0;
        for sale in self.sales.values().filter(|sale| matches!(sale.state, State::Closed | State::Pending)) {
            total += sale.total();
            for (id, amount) in &sale.payments {
                *paid.entry(id.clone()).or_default() += amount;
            }
        }
        paid.retain(|_, amount| *amount != 0);
        (total, paid)
    }

    fn seen(&self, id: &str) -> Seen {
        let kept = &self.sales[id];
        Seen {
            state: kept.state,
            total_minor: amounts::minor(kept.total(), gbp()),
            mark: Some(kept.version.to_string()),
            opening: Some(kept.opening.clone()),
        }
    }

    fn keep(&mut self, body: &SaleBody) {
        let lines = body.lines.iter().map(|line| (line.quantity, read(&line.price) + read(&line.tax)));
        let payments = body.payments.iter().map(|payment| (payment.type_id.clone(), read(&payment.amount)));
        self.n += 1;
        let kept = Kept {
            state: body.state,
            lines: lines.collect(),
            payments: payments.collect(),
            opening: self.opening.clone(),
            version: self.n,
            of: None,
        };
        if kept.state == State::Closed {
            assert_eq!(kept.total(), kept.payments.values().sum::<i128>(), "a closed sale balances");
        }
        self.sales.insert(body.id.clone(), kept);
    }

    /// Does what a step says.
    pub fn take(&mut self, step: &Step) {
        let call = Call::read(&step.body).unwrap();
        assert_eq!(step.repeat == Repeat::Safe, matches!(call, Call::Read(_) | Call::Resolve(_)));
        let mut held = Held::of(step.receipt.as_ref()).unwrap();
        self.sent.push((step.name.clone(), call.clone()));
        self.n += 1;
        let n = self.n;
        match call {
            Call::Resolve(resolve) => {
                for dish in resolve.dishes {
                    let product = Product { id: format!("product of {}", dish.key), generic: false };
                    held.products.insert(dish.key, product);
                }
                for code in resolve.services {
                    held.products.insert(code.clone(), Product { id: code, generic: false });
                }
                if resolve.customer.is_some() {
                    let named = Named { id: "a customer".to_owned(), how: Came::Linked };
                    held.customer = Some(WhoBuys { named: Some(named) });
                }
            }
            Call::Sale(Post { sale, .. }) => {
                assert!(!self.sales.contains_key(&sale.id), "an id is used once");
                self.keep(&sale);
                self.confirm(&mut held, &sale.id);
            }
            Call::Update(Post { sale, .. }) => {
                assert!(matches!(self.sales[&sale.id].state, State::Pending | State::Parked));
                self.keep(&sale);
                self.confirm(&mut held, &sale.id);
            }
            Call::Void(change) => {
                let kept = self.sales.get_mut(&change.id).unwrap();
                assert!(kept.state != State::Closed || kept.opening == self.opening, "its opening is over");
                kept.state = State::Voided;
                kept.version = n;
            }
            Call::BeginReturn(change) => {
                let id = format!("return {n}");
                let original = self.sales.get_mut(&change.id).unwrap();
                assert_eq!(original.state, State::Closed);
                // The sale changes with it.
                original.version = n;
                let kept = Kept {
                    state: State::Parked,
                    lines: original.lines.iter().map(|(units, price)| (-units, *price)).collect(),
                    payments: BTreeMap::new(),
                    opening: self.opening.clone(),
                    version: n,
                    of: Some(change.id.clone()),
                };
                self.sales.insert(id.clone(), kept);
                begun(&mut held, id, Some(&change.id));
            }
            Call::FinishReturn(finish) => {
                let line = |line: &wire::LineBody| (line.quantity, read(&line.price) + read(&line.tax));
                let lines: Vec<(i64, i128)> = finish.lines.iter().map(line).collect();
                let payments = finish.payments.iter().map(|one| (one.type_id.clone(), read(&one.amount)));
                let kept = self.sales.get_mut(&finish.id).unwrap();
                assert_eq!(kept.state, State::Parked);
                for (units, price) in &lines {
                    let sold: i64 = kept.lines.iter().filter(|(_, one)| one == price).map(|(units, _)| units).sum();
                    assert!(*units < 0 && *units >= sold, "more is returned than was sold");
                }
                kept.lines = lines;
                kept.payments = payments.collect();
                kept.state = State::Closed;
                kept.version = n;
                assert_eq!(kept.total(), kept.payments.values().sum::<i128>(), "a return balances");
                let of = kept.of.clone().unwrap();
                self.sales.get_mut(&of).unwrap().version = n;
                self.confirm(&mut held, &finish.id);
            }
            Call::Read(read) => {
                for id in &read.sales {
                    let seen = self.seen(id);
                    held.sale_mut(id).unwrap().look_at(seen);
                }
                let openings = read.registers.iter().map(|id| (id.clone(), self.opening.clone())).collect();
                held.read = Some(ReadMark { version: read.version, at: self.now, openings });
            }
        }
        self.receipt = Some(held.receipt());
    }

    fn confirm(&self, held: &mut Held, id: &str) {
        let sale = held.sale_mut(id).unwrap();
        if self.settings.verify == Verify::Now {
            sale.confirm(self.seen(id));
        } else {
            sale.mark = None;
        }
    }
}

fn read(text: &str) -> i128 {
    amounts::read(text).unwrap()
}
