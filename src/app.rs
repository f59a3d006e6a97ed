//! Wiring: builds the parts from validated settings and hands them to each other. Decides nothing.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use sqlx::PgPool;
use tokio::sync::Notify;

use crate::{
    alerts::courier::{Courier, CourierError},
    boundary::{Boundary, reach},
    catalogue::worker::Worker,
    clock::Clock,
    config::{self, Settings, SinkSettings, SourceSettings, Versions, WatchSettings},
    database::connect::at_length,
    delivery::{calls::Budget, dispatcher::Dispatcher, driver::Driver, slots::Slots},
    domain::ids::{SinkName, SourceName},
    ingest::{
        WakeUps,
        poller::{Parts, Poller},
        rewalk::Rewalker,
    },
    lifecycle::Phase,
    ops::{keeper::Keeper, pruner::Pruner},
    sinks::{self, BuildError, Services},
    source::scoffable::client::{ClientError, ClientSettings, ScoffableClient},
    store::{self, StoreError, line::Line},
    telemetry::Instruments,
    watch::watcher::Watcher,
};

/// Every loop of the daemon, not running yet.
#[derive(Debug)]
pub struct App {
    /// By which all of them ask.
    pub line: Line,
    pub pollers: Vec<Poller>,
    /// None: the last hours are never read again.
    pub rewalkers: Vec<Rewalker>,
    pub dispatchers: Vec<Dispatcher>,
    /// Of the sinks that know products and customers.
    pub catalogues: Vec<Worker>,
    /// None: nothing is ever removed.
    pub pruner: Option<Pruner>,
    pub keeper: Keeper,
    pub watcher: Watcher,
    /// None: nobody is told of alerts.
    pub courier: Option<Courier>,
    pub instruments: Instruments,
}

#[derive(Debug, thiserror::Error)]
pub enum AppError {
    #[error("source {name} cannot be built")]
    Source { name: SourceName, source: ClientError },
    #[error("sink {name} cannot be built")]
    Sink { name: SinkName, source: BuildError },
    #[error("nobody can be told of alerts")]
    Alerts(#[from] CourierError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Names this process in leases: host, process id, and a random part, because process ids come back.
pub fn owner() -> String {
    let host = rustix::system::uname();
    let host = host.nodename().to_string_lossy();
    format!("{host}:{}:{:08x}", std::process::id(), rand::random::<u32>())
}

const SCOPE_CHANGED: &str = "its token may see other locations now: what they had before the cursor was never read";

/// Makes sure that every source and sink has its row. Sources first: what a new sink is owed is counted from there, which may
/// take its time.
pub async fn register(pool: &PgPool, settings: &Settings, clock: &Clock) -> Result<(), AppError> {
    for (name, source) in &settings.sources {
        let row = store::sources::Registration {
            name,
            kind: source.kind.as_str(),
            account: &source.account,
            scope: source.scope.as_deref(),
        };
        let registered = at_length(pool, async |tx| {
            let scope_changed = store::sources::register(&mut *tx, &row).await?;
            if scope_changed {
                store::alerts::raise(&mut *tx, "scope_changed", name.as_str(), SCOPE_CHANGED).await?;
            }
            Ok::<_, StoreError>(scope_changed)
        });
        if registered.await.map_err(StoreError::of("sources.register"))?? {
            tracing::warn!(source.name = %name, hint = SCOPE_CHANGED, "scope changed");
        }
        reach(Boundary::SourceRegistered);
    }
    for (name, sink) in &settings.sinks {
        let row = store::sinks::Registration {
            name,
            kind: sink.kind.as_str(),
            carries_money: sink.kind.carries_money(),
            versions_mode: match sink.common.versions {
                Versions::Latest => "latest",
                Versions::Every => "every",
            },
            stable_for: sink.common.stable_for,
            lanes: &sink.kind.lanes(),
            start: match sink.common.start {
                config::Start::Activation => store::sinks::Start::Activation,
                config::Start::Beginning => store::sinks::Start::Beginning,
                config::Start::At(since) => store::sinks::Start::At(since),
            },
            paused: sink.common.paused,
        };
        let registered = at_length(pool, async |tx| {
            // Before the sink's own row is locked, as settling does.
            store::deliveries::wake_held(&mut *tx, name, clock.offset_ms()).await?;
            store::sinks::register(&mut *tx, &row, clock.offset_ms()).await
        });
        if registered.await.map_err(StoreError::of("sinks.register"))?? {
            tracing::info!(sink.name = %name, sink.kind = row.kind, "sink activated");
        }
        reach(Boundary::SinkRegistered);
    }
    Ok(())
}

impl App {
    /// Builds the loops of every source and sink.
    pub fn build(settings: &Settings, pool: &PgPool, clock: &Clock, owner: &str) -> Result<Self, AppError> {
        Self::reporting(Instruments::default(), settings, pool, clock, owner)
    }

    /// As [`Self::build`], reporting on where other loops of this process have reported.
    pub fn reporting(
        instruments: Instruments,
        settings: &Settings,
        pool: &PgPool,
        clock: &Clock,
        owner: &str,
    ) -> Result<Self, AppError> {
        let line = Line::new(pool.clone()).ending_within(settings.delivery.drain);
        let mut wake = WakeUps::default();
        let bells: BTreeMap<&SinkName, Arc<Notify>> = settings.sinks.keys().map(|name| (name, wake.add())).collect();
        let mut dispatchers = Vec::new();
        let mut catalogues = Vec::new();
        let mut sinks = BTreeMap::new();
        for (name, sink) in &settings.sinks {
            let waits_for_it = |(_, other): &(&SinkName, &SinkSettings)| other.common.after.as_ref() == Some(name);
            let dependents = settings.sinks.iter().filter(waits_for_it);
            let driver = Arc::new(Driver {
                dependents: dependents.map(|(other, _)| (other.clone(), Arc::clone(&bells[other]))).collect(),
                ..driver(name, sink, settings, &line, clock, owner, &instruments)?
            });
            sinks.insert(name.clone(), Arc::clone(&driver.sink));
            catalogues.extend(catalogue(sink, &driver));
            dispatchers.push(Dispatcher::new(driver, Arc::clone(&bells[name])));
        }
        let (mut pollers, mut rewalkers) = (Vec::new(), Vec::new());
        let WatchSettings { rewalk_interval, rewalk_back, .. } = settings.watch;
        for (name, source) in &settings.sources {
            let parts = || {
                Ok::<_, AppError>(Parts {
                    name: name.clone(),
                    client: client(name, source, clock)?,
                    settings: source.clone(),
                    pool: line.clone(),
                    clock: clock.clone(),
                    owner: owner.to_owned(),
                    lease: settings.delivery.lease,
                    wake: wake.clone(),
                    metrics: Arc::clone(&instruments.metrics),
                    traces: instruments.traces.clone(),
                })
            };
            pollers.push(Poller::new(parts()?));
            if !rewalk_interval.is_zero() {
                rewalkers.push(Rewalker::new(parts()?, rewalk_interval, rewalk_back));
            }
        }
        let pruner = settings.retention.removes_something().then(|| Pruner {
            pool: line.clone(),
            retention: settings.retention,
            clock: clock.clone(),
            owner: owner.to_owned(),
        });
        let keeper = Keeper { pool: line.clone(), clock: clock.clone(), sinks };
        let watcher = Watcher::new(settings, &line, clock);
        let courier = Courier::of(settings, &line, clock, &instruments.metrics)?;
        Ok(Self { line, pollers, rewalkers, dispatchers, catalogues, pruner, keeper, watcher, courier, instruments })
    }

    /// Starts every loop.
    pub fn spawn(self, phase: &Phase) {
        let (line, drain) = (self.line, phase.drain().clone());
        phase.spawn("line", async move {
            drain.cancelled().await;
            line.end();
        });
        for poller in self.pollers {
            phase.spawn("poller", poller.run(phase.drain().clone()));
        }
        for rewalker in self.rewalkers {
            phase.spawn("rewalker", rewalker.run(phase.drain().clone()));
        }
        for dispatcher in self.dispatchers {
            phase.spawn("dispatcher", dispatcher.run(phase.drain().clone()));
        }
        for catalogue in self.catalogues {
            phase.spawn("catalogue", catalogue.run(phase.drain().clone()));
        }
        if let Some(pruner) = self.pruner {
            phase.spawn("pruner", pruner.run(phase.drain().clone()));
        }
        phase.spawn("keeper", self.keeper.run(phase.drain().clone()));
        phase.spawn("watcher", self.watcher.run(phase.drain().clone()));
        if let Some(courier) = self.courier {
            phase.spawn("courier", courier.run(phase.drain().clone()));
        }
    }
}

/// The parts that plan and send, without their loops: for a look at what they would do.
pub fn drivers(settings: &Settings, pool: &PgPool, clock: &Clock, owner: &str) -> Result<Vec<Driver>, AppError> {
    let unheard = Instruments::default();
    let line = Line::new(pool.clone());
    let of = |(name, sink)| driver(name, sink, settings, &line, clock, owner, &unheard);
    settings.sinks.iter().map(of).collect()
}

/// What keeps a sink's catalogue, without its loop. None: the sink has none.
pub fn catalogue(sink: &SinkSettings, driver: &Arc<Driver>) -> Option<Worker> {
    let kept = sink.kind.catalogue()?;
    Some(Worker::new(Arc::clone(driver), kept.settings.clone(), kept.time_zone))
}

/// Where sinks keep what outlives their process.
pub fn services(pool: &PgPool, clock: &Clock) -> Services {
    let (pool, clock) = (pool.clone(), clock.clone());
    Services {
        credentials: Arc::new(store::credentials::Credentials { pool: pool.clone(), clock: clock.clone() }),
        links: Arc::new(store::links::Links { pool, clock }),
    }
}

fn driver(
    name: &SinkName,
    sink: &SinkSettings,
    settings: &Settings,
    line: &Line,
    clock: &Clock,
    owner: &str,
    instruments: &Instruments,
) -> Result<Driver, AppError> {
    let lanes: BTreeSet<String> = sink.kind.lanes().into_values().chain([String::new()]).collect();
    let lanes: Vec<String> = lanes.into_iter().collect();
    let lease = settings.delivery.lease;
    let destination = sinks::build(name, sink, clock, &services(line, clock))
        .map_err(|source| AppError::Sink { name: name.clone(), source })?;
    let most_at_once = destination.limits_calls_at_once().then_some(sink.common.concurrency);
    Ok(Driver {
        name: name.clone(),
        slots: most_at_once.map(|most| Slots::new(name, owner, most, lease, line, clock)),
        sink: destination,
        rules: sink.common.clone(),
        pool: line.clone(),
        clock: clock.clone(),
        owner: owner.to_owned(),
        lease,
        read_back: settings.delivery.read_back.clone(),
        budget: Budget::of(name, sink, &lanes, line, clock),
        lanes,
        dependents: Vec::new(),
        metrics: Arc::clone(&instruments.metrics),
        traces: instruments.traces.clone(),
    })
}

fn client(name: &SourceName, source: &SourceSettings, clock: &Clock) -> Result<ScoffableClient, AppError> {
    let settings = ClientSettings {
        base_url: source.base_url.as_url().clone(),
        token: source.token.value().clone(),
        page_size: source.page_size as u8,
        min_age_minutes: source.min_age_minutes,
        timeout: source.request_timeout,
        connect_timeout: source.connect_timeout,
        user_agent: concat!("scoffable-sync/", env!("CARGO_PKG_VERSION")).to_owned(),
    };
    ScoffableClient::new(settings, clock.clone()).map_err(|source| AppError::Source { name: name.clone(), source })
}
