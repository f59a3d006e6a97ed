//! The loop that keeps `alerts` in step with what stands.

use std::{collections::HashSet, time::Duration};

use chrono::DateTime;
use chrono_tz::Tz;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::causes::{self, CAUSES, Facts, NOTHING_ARRIVES, POISON_LOSSES, Rules};
use crate::{
    clock::Clock,
    config::Settings,
    domain::arrivals::same_hours,
    store::{
        Result,
        alerts::{self, Standing},
        housekeeping,
        line::Line,
        status, watch,
    },
    telemetry::chain,
};

/// Names of the turns.
const TASK: &str = "watch";
const ARRIVALS: &str = "watch_arrivals";
/// From one look to the next. With what gathers an alert and what sends it, it leaves within a minute of its cause.
const EVERY: Duration = Duration::from_secs(15);
/// The same for orders that do not come: an hour is long.
const ARRIVALS_EVERY: Duration = Duration::from_mins(5);
/// After a pause of the whole service everything is late: what is mended by the first polls is not told.
const FIRST_LOOK: Duration = Duration::from_mins(1);
/// What was not found standing for so long has ended; what comes and goes stands.
const CALM: Duration = Duration::from_mins(1);

/// The loop.
#[derive(Debug)]
pub struct Watcher {
    pool: Line,
    clock: Clock,
    rules: Rules,
    usual_orders: u32,
    usual_weeks: u32,
    zone: Tz,
    /// After this an order that was placed should be stored.
    delay: Duration,
}

impl Watcher {
    pub fn new(settings: &Settings, pool: &Line, clock: &Clock) -> Self {
        let delays = settings.sources.values().map(|source| {
            let hidden = Duration::from_mins(u64::from(source.min_age_minutes));
            // An interval is a tenth longer at most; the page takes its time, too.
            hidden + source.poll_interval.saturating_mul(2)
        });
        Self {
            pool: pool.clone(),
            clock: clock.clone(),
            rules: Rules::of(settings),
            usual_orders: settings.watch.usual_orders,
            usual_weeks: settings.watch.usual_weeks,
            zone: settings.alerts.quiet.time_zone,
            delay: delays.max().unwrap_or_default(),
        }
    }

    /// Runs until told to drain.
    pub async fn run(self, drain: CancellationToken) {
        let mut wait = FIRST_LOOK;
        loop {
            tokio::select! {
                () = drain.cancelled() => return,
                () = tokio::time::sleep(wait) => wait = EVERY,
            }
            if let Err(error) = self.tick().await {
                warn!(error = chain(&error), backoff_ms = EVERY.as_millis() as u64, "nothing watched");
            }
        }
    }

    /// Looks at what is due, if no other process has just done so.
    pub async fn tick(&self) -> Result<()> {
        let (pool, offset_ms) = (&self.pool, self.clock.offset_ms());
        if housekeeping::take(pool, TASK, EVERY, offset_ms).await? {
            let standing = causes::standing(&self.facts().await?, &self.rules);
            alerts::stand(pool, &CAUSES, &standing, CALM, offset_ms).await?;
            alerts::close_resolved_quarantine(pool, offset_ms).await?;
        }
        if self.usual_orders > 0 && housekeeping::take(pool, ARRIVALS, ARRIVALS_EVERY, offset_ms).await? {
            alerts::stand(pool, &[NOTHING_ARRIVES], &self.silences().await?, CALM, offset_ms).await?;
        }
        Ok(())
    }

    async fn facts(&self) -> Result<Facts> {
        let (pool, offset_ms) = (&self.pool, self.clock.offset_ms());
        Ok(Facts {
            now: watch::now(pool, offset_ms).await?,
            streams: watch::streams(pool, offset_ms).await?,
            failing: watch::failing(pool).await?,
            suspects: watch::suspects(pool, POISON_LOSSES).await?,
            probed: watch::probed(pool).await?,
            credentials: watch::credentials(pool, offset_ms).await?,
            budgets: status::call_budgets(pool).await?,
        })
    }

    /// The sources from which nothing arrives. One that is behind says nothing about its restaurants.
    async fn silences(&self) -> Result<Vec<Standing>> {
        let (pool, offset_ms) = (&self.pool, self.clock.offset_ms());
        let streams = watch::streams(pool, offset_ms).await?;
        let is_read = |source: &str| {
            let mut streams = streams.iter();
            streams.any(|s| s.source == source && s.is_caught_up && s.silent_for <= self.delay)
        };
        let told: HashSet<String> = alerts::open_of(pool, NOTHING_ARRIVES).await?.into_iter().collect();
        let end = watch::now(pool, offset_ms).await? - self.delay;
        let hours: Vec<DateTime<_>> = same_hours(end, self.zone, self.usual_weeks);
        let placed = watch::placed_in(pool, &hours).await?;
        let silences = placed.iter().filter_map(|(source, counts)| {
            let is_told = told.contains(source);
            // What was told stands while nobody can say.
            if !is_read(source) && !is_told {
                return None;
            }
            causes::missing(source, counts, is_told, self.usual_orders)
        });
        Ok(silences.collect())
    }
}
