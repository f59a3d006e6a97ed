//! The copy of a destination's products and customers: how fresh it is, one record at once, all of it anew, and what a month
//! of it costs.

use serde::{Deserialize, Serialize};
use sqlx::PgPool;

use super::{Desk, Step, Watch};
use crate::{
    catalogue::{
        estimate::{self, Estimate, Knob, Load},
        pull::Pulled,
        sweep::Seen,
        worker::Worker,
    },
    config::{CatalogueSettings, SinkSettings},
    domain::{
        catalogue::{Costs, Kind},
        ids::SinkName,
        limits::Window,
    },
    sinks::links::{LinkKey, LinkKind},
    store::{
        self, StoreError,
        catalogue::Status,
        operations::{self, Operated, Refusal},
        status::CallBudget,
    },
};

/// Orders of a month are those of the last so many days.
const DAYS: u32 = 30;

#[derive(Debug, Serialize)]
pub struct Freshness {
    pub catalogue: Vec<Status>,
}

impl Freshness {
    /// Whether nothing is older than it may be.
    pub fn is_well(&self) -> bool {
        self.catalogue.iter().all(|status| !status.stale)
    }
}

/// How fresh the copies are, of all sinks or one.
pub async fn status(pool: &PgPool, sink: Option<&SinkName>) -> Operated<Freshness> {
    if let Some(sink) = sink {
        let mut db = pool.acquire().await.map_err(StoreError::of("catalogue.begin"))?;
        operations::sink_must_exist(&mut db, sink).await?;
    }
    Ok(Freshness { catalogue: store::catalogue::status(pool, sink).await? })
}

/// One record that is to be looked at.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sync {
    pub sink: SinkName,
    pub kind: LinkKind,
    /// Our key of it, or the destination's id where nothing is linked by it.
    pub key: String,
}

impl Sync {
    fn kind(&self) -> Kind {
        match self.kind {
            LinkKind::Product => Kind::Product,
            LinkKind::Customer => Kind::Customer,
        }
    }

    async fn remote_id(&self, pool: &PgPool) -> Result<String, StoreError> {
        let key = LinkKey { sink: &self.sink, kind: self.kind, local_key: &self.key };
        let linked = store::links::find(pool, key).await?;
        Ok(linked.map_or_else(|| self.key.clone(), |link| link.remote_id))
    }
}

#[derive(Debug, Serialize)]
pub struct Wanted {
    pub sink: SinkName,
    pub kind: LinkKind,
    pub remote_id: String,
    /// Fixed word: `queued`, or what the look told: `same`, `changed`, `archived`, `deleted`, `missing`, or why there was no
    /// answer.
    pub found: String,
}

/// Has a record looked at by the daemon, before all else it looks at.
pub async fn want(desk: Desk<'_>, sync: &Sync) -> Operated<Wanted> {
    let mut db = desk.pool.acquire().await.map_err(StoreError::of("catalogue.begin"))?;
    operations::sink_must_exist(&mut db, &sync.sink).await?;
    drop(db);
    let remote_id = sync.remote_id(desk.pool).await?;
    let (sink, kind) = (&sync.sink, sync.kind());
    if !store::catalogue::want(desk.pool, sink, kind, &remote_id, desk.by, desk.offset_ms).await? {
        return Err(Refusal::NoCatalogue(sink.clone()).into());
    }
    Ok(Wanted { sink: sink.clone(), kind: sync.kind, remote_id, found: "queued".to_owned() })
}

/// Looks at a record at once.
pub async fn look_now(desk: Desk<'_>, worker: &mut Worker, sync: &Sync) -> Operated<Wanted> {
    worker.set_up().await?;
    // Should this process die before the answer, the daemon looks.
    let wanted = want(desk, sync).await?;
    let found = match worker.look_now(sync.kind(), &wanted.remote_id).await? {
        Ok(Seen::Same) => "same".to_owned(),
        Ok(Seen::Changed) => "changed".to_owned(),
        Ok(Seen::NotActive(state)) => state.as_str().to_owned(),
        Ok(Seen::Absent(_)) => "missing".to_owned(),
        Err(missed) => missed.code().to_owned(),
    };
    Ok(Wanted { found, ..wanted })
}

/// All of it anew.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bootstrap {
    pub sink: SinkName,
    /// Without it, only what it costs is told.
    #[serde(default)]
    pub yes: bool,
}

#[derive(Debug, Serialize)]
pub struct Bootstrapped {
    pub sink: SinkName,
    pub kinds: Vec<KindCost>,
    /// Where all of it is known before.
    pub calls: Option<u64>,
    pub records: u64,
    /// False: consent is missing, it was interrupted, or it is left to the daemon, which goes on with it.
    pub finished: bool,
    /// Why it did not come to its end.
    pub stopped_by: Option<String>,
}

/// What reading one kind costs.
#[derive(Debug, Serialize)]
pub struct KindCost {
    pub kind: Kind,
    /// None: nobody knows before the end.
    pub records: Option<u64>,
    pub calls: Option<u64>,
}

/// Has the daemon read all there is, if there is consent.
pub async fn begin(desk: Desk<'_>, bootstrap: &Bootstrap) -> Operated<Bootstrapped> {
    let mut db = desk.pool.acquire().await.map_err(StoreError::of("catalogue.begin"))?;
    operations::sink_must_exist(&mut db, &bootstrap.sink).await?;
    drop(db);
    let sink = &bootstrap.sink;
    let status = store::catalogue::status(desk.pool, Some(sink)).await?;
    let kinds: Vec<Kind> =
        status.iter().filter(|row| row.next_pull_at.is_some()).filter_map(|row| Kind::parse(&row.kind)).collect();
    if kinds.is_empty() {
        return Err(Refusal::NoCatalogue(sink.clone()).into());
    }
    if bootstrap.yes {
        store::catalogue::begin_anew(desk.pool, sink, &kinds, desk.by, desk.offset_ms).await?;
    }
    let kinds = kinds.into_iter().map(|kind| KindCost { kind, records: None, calls: None }).collect();
    Ok(Bootstrapped { sink: sink.clone(), kinds, calls: None, records: 0, finished: false, stopped_by: None })
}

/// Says what reading all there is costs, and does it if there is consent.
pub async fn bootstrap(
    desk: Desk<'_>,
    worker: &mut Worker,
    bootstrap: &Bootstrap,
    watch: Watch<'_>,
) -> Operated<Bootstrapped> {
    worker.set_up().await?;
    let kinds = worker.kinds();
    if kinds.is_empty() {
        return Err(Refusal::NoCatalogue(bootstrap.sink.clone()).into());
    }
    let mut costs = Vec::new();
    for kind in &kinds {
        let records = worker.count(*kind).await;
        let calls = records.map(|records| records.div_ceil(u64::from(worker.settings().page_size)).max(1));
        costs.push(KindCost { kind: *kind, records, calls });
    }
    let calls = costs.iter().map(|cost| cost.calls).sum::<Option<u64>>();
    let of = costs.iter().map(|cost| cost.records).sum::<Option<u64>>();
    let mut done = Bootstrapped {
        sink: bootstrap.sink.clone(),
        kinds: costs,
        calls,
        records: 0,
        finished: false,
        stopped_by: None,
    };
    if !bootstrap.yes {
        return Ok(done);
    }
    // From here on the daemon would end what this process leaves.
    store::catalogue::begin_anew(desk.pool, &bootstrap.sink, &kinds, desk.by, desk.offset_ms).await?;
    for kind in kinds {
        let mut tell = |records: usize| {
            done.records += records as u64;
            watch(Step { done: done.records, of })
        };
        match worker.read_all(kind, &mut tell).await? {
            Some(Pulled::Finished) => {}
            Some(Pulled::Unfinished) => return Ok(done),
            Some(Pulled::Missed(missed)) => {
                return Ok(Bootstrapped { stopped_by: Some(missed.code().to_owned()), ..done });
            }
            // A running daemon was faster, and goes on with it.
            Some(Pulled::LeaseLost) | None => {
                return Ok(Bootstrapped { stopped_by: Some("busy".to_owned()), ..done });
            }
        }
        if watch(Step { done: done.records, of }).is_break() {
            return Ok(done);
        }
    }
    done.finished = true;
    Ok(done)
}

/// What the months of a sink are planned from.
#[derive(Debug, Clone)]
pub struct Ground {
    settings: CatalogueSettings,
    costs: Costs,
    kinds: Vec<Kind>,
    reads_back: bool,
    limits: Vec<(Window, u32)>,
}

impl Ground {
    /// None: the sink has no catalogue.
    pub fn of(worker: &Worker, sink: &SinkSettings) -> Option<Self> {
        Some(Self {
            settings: worker.settings().clone(),
            costs: worker.catalogue()?.costs(),
            kinds: worker.kinds(),
            reads_back: worker.reads_back(),
            limits: sink.call_limits().1,
        })
    }
}

/// A month that is to be planned.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Month {
    pub sink: SinkName,
    /// None: as many as in the last 30 days.
    pub orders_a_day: Option<u32>,
}

/// What a sink's month costs in calls.
#[derive(Debug, Serialize)]
pub struct Budget {
    pub sink: SinkName,
    /// Orders that it was brought in the last 30 days, or as many as were asked about.
    pub orders_a_month: u64,
    pub plan: Estimate,
    /// What the limits allow in 30 days. None: nothing limits them.
    pub allowed: Option<u64>,
    pub fits: bool,
    /// The setting that helps most.
    pub knob: Option<Knob>,
    /// Of each limit, and when it will be used up.
    pub used: Vec<CallBudget>,
}

/// Plans a month, with what was used of each limit and when it runs out. Without ground the sink has no catalogue.
pub async fn budget(pool: &PgPool, month: &Month, ground: Option<&Ground>) -> Operated<Budget> {
    let name = &month.sink;
    let Some(ground) = ground else {
        let mut db = pool.acquire().await.map_err(StoreError::of("catalogue.begin"))?;
        operations::sink_must_exist(&mut db, name).await?;
        return Err(Refusal::NoCatalogue(name.clone()).into());
    };
    let orders_a_month = match month.orders_a_day {
        Some(orders) => u64::from(orders) * u64::from(DAYS),
        None => store::catalogue::orders_of_the_last(pool, name, DAYS).await?,
    };
    let load = Load {
        settings: &ground.settings,
        costs: ground.costs,
        kinds: &ground.kinds,
        reads_back: ground.reads_back,
        orders_a_month,
    };
    let plan = estimate::of(&load);
    let allowed = estimate::allowed(&ground.limits);
    let fits = allowed.is_none_or(|allowed| plan.total <= allowed);
    let mine = format!("sink:{name}");
    let is_mine = |budget: &CallBudget| {
        budget.scope == mine || budget.scope.strip_prefix(&mine).is_some_and(|rest| rest.starts_with('/'))
    };
    let used = store::status::call_budgets(pool).await?.into_iter().filter(is_mine).collect();
    let knob = if fits { None } else { estimate::knob(&load) };
    Ok(Budget { sink: name.clone(), orders_a_month, plan, allowed, fits, knob, used })
}
