//! Whatever goes wrong at whichever moment of a submit or of a cancel, nothing is cooked twice and nothing is lost (G2, G3).
//!
//! Each seed is the short life of one order: accepted, perhaps changed, perhaps cancelled, perhaps accepted again. One
//! call of it meets the trouble whose turn it is, others may meet more. Nobody sleeps: time is moved to what is due next,
//! and only a request that hangs costs real time, its timeout. What the report cannot settle is left to a scripted
//! operator, who looks at the restaurant's own books.
//!
//! `SEED=7` plays one, `SEEDS=500` that many.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::AddAssign,
    time::Duration,
};

use rand::{RngExt, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use scoffable_sync::{
    domain::ids::SinkName,
    simulator::{
        faults::{Fault, cut_after, cut_before, plainly, status, truncated},
        spoton::{Operation, RepeatedCancel, Show},
    },
    store::operations::{self, Named, Operator},
};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::harness::{
    app::{PATIENCE, Setup, order_of},
    pos::{Case, POS},
};

/// Seeds where nobody says how many: each trouble meets each merchant twice.
const SEEDS: u64 = 4 * TROUBLES;
const TROUBLES: u64 = 2 * 4 * 4;
/// Restaurants that play seeds side by side.
const STAGES: usize = 4;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Deed {
    Submit,
    Cancel,
}

impl Deed {
    fn operation(self) -> Operation {
        match self {
            Self::Submit => Operation::Submit,
            Self::Cancel => Operation::Cancel,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Moment {
    /// A token has to be fetched for it.
    TokenFetch,
    /// It has not had its effect.
    Before,
    /// It has had its effect.
    After,
    /// Its answer was lost, and the report is read.
    ReadBack,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Manner {
    Hangs,
    Answers500,
    Resets,
    ClosesMidBody,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Trouble {
    deed: Deed,
    moment: Moment,
    manner: Manner,
}

impl Trouble {
    fn all() -> Vec<Self> {
        let mut all = Vec::new();
        for deed in [Deed::Submit, Deed::Cancel] {
            for moment in [Moment::TokenFetch, Moment::Before, Moment::After, Moment::ReadBack] {
                for manner in [Manner::Hangs, Manner::Answers500, Manner::Resets, Manner::ClosesMidBody] {
                    all.push(Self { deed, moment, manner });
                }
            }
        }
        all
    }

    fn fault(self) -> Fault {
        let never = CancellationToken::new();
        match (self.moment, self.manner) {
            (Moment::Before, Manner::Hangs) => status(500).answered_when(&never),
            (Moment::Before, Manner::ClosesMidBody) => status(502).broken_off(),
            (Moment::After, Manner::Answers500) => status(500).after_the_effect(),
            (Moment::After, Manner::Resets) => cut_after(),
            (_, Manner::Hangs) => plainly().answered_when(&never),
            (_, Manner::Answers500) => status(500),
            (_, Manner::Resets) => cut_before(),
            (_, Manner::ClosesMidBody) => truncated(),
        }
    }
}

/// What an order says, version by version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Said {
    status: &'static str,
    total: i64,
}

/// A life in which there is an occasion for the deed; with the versions that are one.
fn life(deed: Deed, dice: &mut StdRng) -> (Vec<Said>, Vec<usize>) {
    let mut total = 1000;
    let mut life = vec![Said { status: "accepted", total }];
    let (mut submits, mut cancels) = (vec![0], Vec::new());
    let is_changed = dice.random_bool(0.4);
    if is_changed {
        total += dice.random_range(1..500);
        cancels.push(life.len());
        life.push(Said { status: "accepted", total });
    }
    if dice.random_bool(0.5) || (deed == Deed::Cancel && !is_changed) {
        cancels.push(life.len());
        life.push(Said { status: "cancelled", total });
        if dice.random_bool(0.5) {
            submits.push(life.len());
            life.push(Said { status: "accepted", total: total + [0, 70][dice.random_range(0..2)] });
            if dice.random_bool(0.3) {
                cancels.push(life.len());
                life.push(Said { status: "cancelled", total });
            }
        }
    }
    let occasions = match deed {
        Deed::Submit => submits,
        Deed::Cancel => cancels,
    };
    (life, occasions)
}

/// What came of seeds.
#[derive(Debug, Default)]
struct Figures {
    seeds: usize,
    versions: usize,
    tickets: usize,
    doubts: usize,
    adopted: usize,
    retried: usize,
    discarded: usize,
    struck: BTreeMap<Trouble, usize>,
}

impl AddAssign for Figures {
    fn add_assign(&mut self, other: Self) {
        self.seeds += other.seeds;
        self.versions += other.versions;
        self.tickets += other.tickets;
        self.doubts += other.doubts;
        self.adopted += other.adopted;
        self.retried += other.retried;
        self.discarded += other.discarded;
        for (trouble, n) in other.struck {
            *self.struck.entry(trouble).or_default() += n;
        }
    }
}

/// Whether a merchant accepts a second submit once the first is certainly nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Merchant {
    Accepting,
    Cautious,
}

/// One restaurant, on which seeds are played one after another.
struct Stage {
    case: Case,
    merchant: Merchant,
    figures: Figures,
}

/// Where the order stands.
#[derive(Debug, sqlx::FromRow)]
struct Standing {
    state: String,
    reason: Option<String>,
    pending_step: Option<Value>,
    applied_version: Option<i64>,
    /// None: nothing is due any more.
    due_in_ms: Option<i64>,
}

impl Standing {
    fn waits_for_a_person(&self) -> bool {
        self.state == "parked" || (self.state == "in_doubt" && self.due_in_ms.is_none())
    }
}

impl Stage {
    async fn set(merchant: Merchant) -> Self {
        let case = Case::start(|setup: Setup| {
            let setup = setup
                .with("sinks.pos.request_timeout", "200ms")
                .with("sinks.pos.on_change", "cancel_and_resubmit")
                // A cancel is tried for an hour before a person is asked; nothing is to be too old afterwards.
                .with("sinks.pos.max_submit_age", "24h");
            match merchant {
                Merchant::Cautious => setup,
                Merchant::Accepting => {
                    setup.with("sinks.pos.resubmit_when_absent", "true").with("sinks.pos.visible_after", "20s")
                }
            }
        })
        .await;
        Self { case, merchant, figures: Figures::default() }
    }

    async fn plays(&mut self, seed: u64) {
        let mut dice = StdRng::seed_from_u64(seed);
        let all = Trouble::all();
        let main = all[(seed % TROUBLES) as usize];
        let (life, occasions) = life(main.deed, &mut dice);
        let occasion = *occasions.choose(&mut dice).expect("there is one");
        let mut troubles = vec![(occasion, main)];
        if dice.random_bool(0.3) {
            troubles.push((dice.random_range(0..life.len()), *all.choose(&mut dice).expect("there are some")));
        }
        self.settle_the_rules(main, &mut dice);

        let id = seed.to_string();
        for (n, said) in life.iter().enumerate() {
            for (_, trouble) in troubles.iter().filter(|(at, _)| *at == n) {
                self.arms(*trouble, &mut dice);
            }
            self.case.arrives(&order_of(&id, n as i64 + 1, said.status, said.total)).await;
            // The next version may find the order in doubt, unless that would take it the occasion for its trouble.
            let is_last = n + 1 == life.len();
            if is_last || n + 1 == occasion || dice.random_bool(0.6) {
                self.comes_to_rest(&id, &life[..=n], &mut dice).await;
            }
            if dice.random_bool(0.05) {
                self.case.app.restart().await;
            }
        }
        self.counts_what_struck(&troubles);
        self.judges(seed, &life).await;
        self.figures.seeds += 1;
        self.figures.versions += life.len();
    }

    /// What is not documented may be either way.
    fn settle_the_rules(&self, main: Trouble, dice: &mut StdRng) {
        let is_read_back = main == Trouble { deed: Deed::Cancel, moment: Moment::ReadBack, ..main };
        let repeated = match dice.random_range(0..3) {
            // Only a refused repeat is read back.
            0 if !is_read_back => RepeatedCancel::Succeeds,
            1 => RepeatedCancel::Fails(400),
            _ => RepeatedCancel::Fails(409),
        };
        let tells_reference = dice.random_bool(0.8);
        self.case.sim.change_rules(|rules| rules.repeated_cancel = repeated);
        self.case.sim.change_manner(|manner| manner.reports_reference = tells_reference);
        if self.merchant == Merchant::Cautious && dice.random_bool(0.15) {
            self.case.sim.show_next([Show::Never]);
        }
    }

    fn arms(&self, trouble: Trouble, dice: &mut StdRng) {
        let (sim, operation) = (&self.case.sim, trouble.deed.operation());
        match trouble.moment {
            Moment::TokenFetch => {
                sim.tokens().revoke_access();
                sim.tokens().answer_next([trouble.fault()]);
            }
            Moment::Before | Moment::After => sim.answer_next_to(operation, [trouble.fault()]),
            Moment::ReadBack => {
                let lost = match trouble.deed {
                    Deed::Submit => [cut_before(), cut_after()].choose(dice).expect("two").clone(),
                    // Another cancel is refused, and that is looked into.
                    Deed::Cancel => cut_after(),
                };
                sim.answer_next_to(operation, [lost]);
                sim.answer_next_to(Operation::Report, [trouble.fault()]);
            }
        }
    }

    fn counts_what_struck(&mut self, troubles: &[(usize, Trouble)]) {
        let sim = &self.case.sim;
        for (_, trouble) in troubles {
            let left = match trouble.moment {
                Moment::TokenFetch => sim.tokens().faults().scripted_left(),
                Moment::Before | Moment::After => sim.scripted_left(trouble.deed.operation()),
                Moment::ReadBack => sim.scripted_left(trouble.deed.operation()) + sim.scripted_left(Operation::Report),
            };
            if left == 0 {
                *self.figures.struck.entry(*trouble).or_default() += 1;
            }
        }
        sim.clear_script();
        sim.tokens().faults().clear_script();
    }

    async fn standing(&self, id: &str) -> Standing {
        sqlx::query_as(
            "SELECT state, reason, pending_step, applied_version,
                    CASE WHEN open THEN (extract(epoch FROM next_attempt_at - now()) * 1000)::bigint - $2 END AS due_in_ms
             FROM deliveries WHERE order_id = $1",
        )
        .bind(id)
        .bind(self.case.app.clock.offset_ms())
        .fetch_one(&self.case.app.pool)
        .await
        .expect("the order is owed")
    }

    /// Moves time to whatever is due next, and calls the operator where nothing is.
    async fn comes_to_rest(&mut self, id: &str, life: &[Said], dice: &mut StdRng) {
        let mut was_in_doubt = false;
        for _ in 0..300 {
            self.case.app.dispatch().await;
            let is_idle = |ledger: &scoffable_sync::simulator::spoton::Ledger| ledger.running(id) == 0;
            self.case.sim.wait_until(is_idle, PATIENCE).await.expect("SpotOn hears that nobody waits any more");
            let standing = self.standing(id).await;
            if standing.state == "in_doubt" && !was_in_doubt {
                self.figures.doubts += 1;
            }
            was_in_doubt = standing.state == "in_doubt";
            match standing.due_in_ms {
                _ if standing.waits_for_a_person() => self.operator_settles(id, &standing, life, dice).await,
                None => return,
                Some(due_in_ms) => self.case.app.advance(Duration::from_millis(due_in_ms.max(0) as u64 + 100)),
            }
        }
        panic!("{id} never comes to rest: {:?}", self.standing(id).await);
    }

    /// Looks at the restaurant's own books, and says or does what they say.
    async fn operator_settles(&mut self, id: &str, standing: &Standing, life: &[Said], dice: &mut StdRng) {
        let step = standing.pending_step.as_ref();
        let told = |pointer: &str| step.and_then(|step| step.pointer(pointer)).and_then(Value::as_str);
        let reference = told("/receipt/reference").unwrap_or_default();
        let there = self.case.sim.find(reference);
        let is_cancelled = life.last().is_some_and(|said| said.status == "cancelled");
        let (sink, ids) = (SinkName::parse(POS).expect("a valid name"), [id.to_owned()]);
        let named = Named { sink: &sink, source: None, order_ids: &ids };
        let by = Operator { who: "scripted", why: Some("looked at the POS") };
        let (pool, offset_ms) = (&self.case.app.pool, self.case.app.clock.offset_ms());
        let done = match (told("/name"), there) {
            (Some("submit"), Some(there)) => {
                self.figures.adopted += 1;
                operations::adopt(pool, named, &there.id, by, offset_ms).await
            }
            (Some("submit"), None) if is_cancelled || dice.random_bool(0.1) => {
                self.figures.discarded += 1;
                operations::discard(pool, named, by, offset_ms).await
            }
            (Some("cancel"), Some(there)) if !there.is_standing() || dice.random_bool(0.5) => {
                self.case.sim.cancel_on_the_pos(&there.id);
                self.figures.adopted += 1;
                operations::adopt(pool, named, &there.id, by, offset_ms).await
            }
            _ => {
                self.figures.retried += 1;
                operations::retry(pool, named, by, offset_ms).await
            }
        };
        done.unwrap_or_else(|error| panic!("{id}: {error:?} of {standing:?}"));
    }

    /// Holds SpotOn's books against what the order says.
    async fn judges(&mut self, seed: u64, life: &[Said]) {
        let id = seed.to_string();
        let standing = self.standing(&id).await;
        let newest = life.last().expect("it has a version");
        let ledger = self.case.sim.ledger();
        let stored: Vec<_> = ledger.stored_of(&id).collect();
        let stands: Vec<i64> = ledger.standing_of(&id).iter().map(|stored| stored.grand_total()).collect();
        let context = format!("seed {seed}, {life:?}: {standing:?}, {stored:#?}");

        let references: BTreeSet<&str> = stored.iter().map(|stored| stored.reference()).collect();
        assert_eq!(references.len(), stored.len(), "one ticket for each submission; {context}");
        let n_accepted = life.iter().filter(|said| said.status == "accepted").count();
        assert!(stored.len() <= n_accepted, "at most one ticket for each time it was accepted; {context}");
        assert_eq!((ledger.doubled(), ledger.violations()), (&[][..], &[][..]), "{context}");
        let is_given_up = standing.state == "skipped" && standing.reason.as_deref() == Some("discarded");
        match newest.status {
            _ if is_given_up => assert_eq!(stands, [] as [i64; 0], "{context}"),
            "accepted" => {
                assert_eq!(stands, [newest.total], "{context}");
                assert_eq!(standing.state, "applied", "{context}");
                assert_eq!(standing.applied_version, Some(life.len() as i64), "{context}");
            }
            _ => {
                assert_eq!(stands, [] as [i64; 0], "{context}");
                assert!(["applied", "skipped"].contains(&standing.state.as_str()), "{context}");
            }
        }
        self.figures.tickets += stored.len();
    }
}

/// Plays seeds on one stage; returns what came of them.
async fn played(merchant: Merchant, seeds: Vec<u64>) -> Figures {
    let mut stage = Stage::set(merchant).await;
    for seed in seeds {
        stage.plays(seed).await;
    }
    assert_eq!(stage.case.sim.tokens().violations(), []);
    stage.figures
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_goes_wrong_at_whichever_moment_nothing_is_cooked_twice_and_nothing_is_lost() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    let seeds: Vec<u64> = match number("SEED") {
        Some(seed) => vec![seed],
        None => (0..number("SEEDS").unwrap_or(SEEDS)).collect(),
    };
    let mut stages: BTreeMap<usize, Vec<u64>> = BTreeMap::new();
    for seed in seeds.iter().copied() {
        // Both kinds of merchants meet every trouble.
        let (merchant, half) = ((seed / TROUBLES) as usize % 2, seed as usize % (STAGES / 2));
        stages.entry(merchant + 2 * half).or_default().push(seed);
    }

    let playing: Vec<_> = stages
        .into_iter()
        .map(|(stage, seeds)| {
            let merchant = if stage % 2 == 0 { Merchant::Cautious } else { Merchant::Accepting };
            tokio::spawn(played(merchant, seeds))
        })
        .collect();
    let mut figures = Figures::default();
    for one in playing {
        figures += one.await.expect("it is played to its end");
    }

    let Figures { versions, tickets, doubts, adopted, retried, discarded, struck, .. } = &figures;
    eprintln!(
        "{} seeds, {versions} versions, {tickets} tickets, {} troubles struck, {doubts} doubts; the operator adopted \
         {adopted}, retried {retried}, discarded {discarded}",
        figures.seeds,
        struck.values().sum::<usize>()
    );
    if seeds.len() >= SEEDS as usize {
        let missed: Vec<_> = Trouble::all().into_iter().filter(|trouble| !struck.contains_key(trouble)).collect();
        assert_eq!(missed, [], "each trouble strikes");
    }
}
