//! `run`: the daemon.

use std::sync::Arc;

use anyhow::Context as _;
use arc_swap::ArcSwap;
use tokio::net::TcpListener;
use tracing::{error, info, warn};

use super::{CliError, FAILED, database};
use crate::{
    app::{self, App},
    clock::Clock,
    config::{self, ConfigError, Env, LoadOptions, Settings},
    database::{Database, install::Consent},
    lifecycle::{Lifecycle, service_manager},
    ops::{
        health::Limits,
        server::{self, OpsState, Present},
    },
    telemetry::{Instruments, chain, log, traces::Traces},
};

/// Runs until a signal. Exit code 0 after a drain, 4 when a part of it died.
pub async fn run(options: &LoadOptions, consent: Consent) -> Result<u8, CliError> {
    let report = config::check(options)?;
    let Some(settings) = report.settings.clone() else { return Err(ConfigError::Invalid(Box::new(report)).into()) };
    log::init(&settings.log, &Env::of_process()).map_err(|error| CliError::Unusable(Box::new(error)))?;
    for warning in &report.found.warnings {
        warn!(key = warning.key, suggestion = warning.suggestion, "{}", warning.problem);
    }
    let lifecycle = Lifecycle::new();
    let signals = lifecycle.obey_signals()?;
    let opened = tokio::select! {
        opened = database::open_migrated(&settings.database, consent) => opened?,
        () = lifecycle.drain().cancelled() => return Ok(super::FINE),
    };
    let read_again = || config::load(options);
    let code = daemon(&settings, opened.0, &lifecycle, &Clock::of_process(), &read_again).await?;
    signals.abort();
    Ok(code)
}

/// Listens where `http.listen` says, until the drain begins.
async fn serve(
    settings: &Settings,
    database: &Database,
    app: &App,
    clock: &Clock,
    present: &Arc<ArcSwap<Present>>,
    lifecycle: &Lifecycle,
) -> Result<(), CliError> {
    let Some(address) = settings.http.listen else { return Ok(()) };
    let listener = TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen on {address}: set another http.listen, or \"off\""))?;
    let address = listener.local_addr()?;
    let state = OpsState {
        pool: database.pool.clone(),
        clock: clock.clone(),
        present: Arc::clone(present),
        metrics: Arc::clone(&app.instruments.metrics),
        limits: Limits::of(settings),
        version: env!("CARGO_PKG_VERSION"),
        started_at: clock.wall(),
        alive: Arc::new(|| true),
        admin_token: settings.http.admin_token.as_ref().map(|token| token.value().clone()),
    };
    info!(http.listen = %address, "status API listening");
    let stop = lifecycle.drain().clone();
    lifecycle.spawn("status API", async move {
        if let Err(error) = server::serve(listener, state, stop).await {
            error!(error = chain(&error), "status API failed");
        }
    });
    Ok(())
}

/// Registers, runs and stops everything on an open database. The caller decides when to drain, and reads settings anew
/// when a reload is asked for.
pub async fn daemon(
    settings: &Settings,
    database: Database,
    lifecycle: &Lifecycle,
    clock: &Clock,
    read_again: &(dyn Fn() -> Result<Settings, ConfigError> + Sync),
) -> Result<u8, CliError> {
    let mut settings = settings.clone();
    let mut reloads = lifecycle.reloads();
    register(&settings, &database, lifecycle, clock).await?;
    if lifecycle.drain().is_cancelled() {
        return Ok(super::FINE);
    }
    let owner = app::owner();
    let traces = Traces::start(settings.traces.as_ref(), &owner).map_err(anyhow::Error::from)?;
    let instruments = Instruments { traces, ..Instruments::default() };
    let app =
        App::reporting(instruments.clone(), &settings, &database.pool, clock, &owner).map_err(anyhow::Error::from)?;
    let present = Arc::new(ArcSwap::from_pointee(Present::of(&settings, &app)));
    serve(&settings, &database, &app, clock, &present, lifecycle).await?;
    let mut phase = lifecycle.phase();
    app.spawn(&phase);
    let (sources, sinks) = (settings.sources.len(), settings.sinks.len());
    info!(sources, sinks, version = env!("CARGO_PKG_VERSION"), "daemon started");
    service_manager::ready(&summary(&settings));
    let watched = lifecycle.abort().clone();
    tokio::spawn(service_manager::watchdog(|| true, watched));

    loop {
        tokio::select! {
            () = lifecycle.drain().cancelled() => break,
            Ok(()) = reloads.changed() => {}
        }
        service_manager::reloading();
        let prepared = async {
            let new = read_again()?;
            let app = App::reporting(instruments.clone(), &new, &database.pool, clock, &app::owner());
            let app = app.map_err(anyhow::Error::from)?;
            register(&new, &database, lifecycle, clock).await?;
            Ok::<_, CliError>((new, app))
        };
        match prepared.await {
            Ok((new, app)) => {
                tell_what_stays(&settings, &new);
                phase.end(settings.delivery.drain).await;
                phase = lifecycle.phase();
                present.store(Arc::new(Present::of(&new, &app)));
                app.spawn(&phase);
                settings = new;
                info!(sources = settings.sources.len(), sinks = settings.sinks.len(), "settings reloaded");
            }
            Err(error) => error!(error = chain(&error), "settings not reloaded: those of before stay in use"),
        }
        service_manager::ready(&summary(&settings));
    }
    service_manager::stopping();
    let ending = lifecycle.run_to_end(settings.delivery.drain).await;
    let traces = instruments.traces;
    let _ = tokio::task::spawn_blocking(move || traces.finish()).await; // a panic of it ends nothing else
    info!(ending = ?ending, "daemon stopped");
    match database.close().await {
        Ok(()) => Ok(ending.exit_code()),
        Err(error) => {
            error!(error = chain(&error), "database not closed cleanly");
            Ok(FAILED)
        }
    }
}

fn summary(settings: &Settings) -> String {
    format!("{} sources, {} sinks", settings.sources.len(), settings.sinks.len())
}

/// Gives every source and sink its row; returns early when a drain begins.
async fn register(
    settings: &Settings,
    database: &Database,
    lifecycle: &Lifecycle,
    clock: &Clock,
) -> Result<(), CliError> {
    let register = async || app::register(&database.pool, settings, clock).await;
    tokio::select! {
        registered = database::patiently(&settings.database, register) => Ok(registered?),
        () = lifecycle.drain().cancelled() => Ok(()),
    }
}

/// What is opened once cannot follow a reload.
fn tell_what_stays(before: &Settings, after: &Settings) {
    let section = |settings: &Settings, name: &str| {
        serde_json::to_value(settings).ok().and_then(|all| all.get(name).cloned()).unwrap_or_default()
    };
    for name in ["database", "http", "log", "traces"] {
        if section(before, name) != section(after, name) {
            warn!(key = name, suggestion = "restart the service", "this table changed and needs a restart");
        }
    }
}
