//! What a seed leads to: how many replicas, how the destinations behave, and which faults strike where. Pure: the same seed
//! plans the same, however the machine is.
//!
//! The first strike of each seed walks the square of faults and boundaries, so that `Fault::ALL.len() * Boundary::ALL.len()`
//! seeds in a row come by every pair once; whatever else strikes is dealt.

use std::time::Duration;

use rand::{RngExt, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use scoffable_sync::{boundary::Boundary, simulator::faults::Chaos};

macro_rules! faults {
    ($($(#[$doc:meta])* $variant:ident = $name:literal),+ $(,)?) => {
        /// Something that happens to a process, to Postgres, or to everything beyond HTTP at once.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Fault {
            $($(#[$doc])* $variant),+
        }

        impl Fault {
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }
        }
    };
}

faults! {
    Kill = "sigkill",
    /// Stopped for longer than a lease, then told to go on.
    Stop = "sigstop",
    Terminate = "sigterm",
    /// Every process of the server goes at once and comes again, as after an immediate shutdown.
    ServerCrash = "pg_crash",
    BackendsEnded = "pg_terminate",
    /// The replica's connections end, and it cannot connect for a while.
    Unreachable = "pg_unreachable",
    /// The replica's connections lead nowhere from now on, and neither end is told.
    Silence = "pg_silent",
    /// The same, but the server's end is closed: it rolls back, and the replica waits for an answer.
    HalfOpen = "pg_half_open",
    ReadOnly = "pg_read_only",
    StatementTimeout = "pg_timeout",
    /// Everything said to Postgres and by it takes its time.
    SlowCommits = "pg_slow",
    /// The file system that the database lies on is full for a while.
    DiskFull = "disk_full",
    ServerErrors = "http_5xx",
    /// With a hint, without one, and with one that nobody can read.
    Throttled = "http_429",
    /// The effect happens and the answer is lost.
    LostAnswers = "http_lost",
    /// Before the effect and after it.
    SlowAnswers = "http_slow",
    /// Broken off, and no JSON.
    GarbledAnswers = "http_garbled",
    /// A destination says that it will never take it.
    Refusals = "http_4xx",
    /// Access tokens are no longer taken.
    CredentialsExpired = "token_expired",
    /// The cursor that the source stands at is no longer known.
    StaleCursor = "stale_cursor",
    /// The replica's machine has a wrong time: hours ahead, then hours behind, then the right one again.
    ClockSteps = "clock_steps",
    /// Connections to the systems are reset in the middle of TLS: while hands are shaken, and between request and answer.
    TlsReset = "tls_reset",
}

/// What a fault is done to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    Process,
    /// Every use of the database is disturbed, also a start.
    Database,
    /// It is met by the requests that come after it, which need time to come.
    Answers,
}

impl Fault {
    pub fn target(self) -> Target {
        match self {
            Self::Kill | Self::Stop | Self::Terminate | Self::ClockSteps => Target::Process,
            Self::ServerCrash
            | Self::BackendsEnded
            | Self::Unreachable
            | Self::Silence
            | Self::HalfOpen
            | Self::ReadOnly
            | Self::StatementTimeout
            | Self::SlowCommits
            | Self::DiskFull => Target::Database,
            Self::ServerErrors
            | Self::Throttled
            | Self::LostAnswers
            | Self::SlowAnswers
            | Self::GarbledAnswers
            | Self::Refusals
            | Self::CredentialsExpired
            | Self::StaleCursor
            | Self::TlsReset => Target::Answers,
        }
    }
}

/// When a fault strikes.
#[derive(Debug, Clone, Copy)]
pub enum Moment {
    /// So long after the one before it.
    After(Duration),
    /// While the process stands there, for the so-manieth time.
    At(Boundary, u32),
}

#[derive(Debug, Clone, Copy)]
pub struct Strike {
    pub fault: Fault,
    pub moment: Moment,
    /// For faults that last.
    pub lasts: Duration,
}

#[derive(Debug, Clone)]
pub struct Plan {
    pub seed: u64,
    pub orders: usize,
    pub pace: Duration,
    /// The replicas come to the server by PgBouncer.
    pub pooled: bool,
    /// What the destinations do by themselves all the time.
    pub chaos: Chaos,
    /// For each replica what strikes it, one after another.
    pub replicas: Vec<Vec<Strike>>,
}

impl Plan {
    pub fn of(seed: u64) -> Self {
        let mut dice = StdRng::seed_from_u64(seed);
        let (round, column) = (seed as usize / Fault::ALL.len(), seed as usize % Fault::ALL.len());
        let boundary = Boundary::ALL[(round + column) % Boundary::ALL.len()];
        let walked = Strike { moment: at(boundary, &mut dice), ..strike(Fault::ALL[column], &mut dice) };
        let n_replicas = dice.random_range(1..=3);
        let mut replicas: Vec<Vec<Strike>> = (0..n_replicas).map(|_| some_strikes(&mut dice)).collect();
        replicas[0].insert(0, walked);
        let chaos = *[Chaos::None, Chaos::Mild, Chaos::Hard].choose(&mut dice).expect("there are three");
        let (orders, pace) = (dice.random_range(8..=24), Duration::from_millis(dice.random_range(2000..12_000)));
        let plan = Self { seed, orders, pace, pooled: seed.is_multiple_of(3), chaos, replicas };
        // What queues has to be there at once.
        if plan.wants_a_queue() { Self { pace: Duration::ZERO, ..plan } } else { plan }
    }

    /// Somewhere a process is struck that has to queue for a destination.
    pub fn wants_a_queue(&self) -> bool {
        let queues = |boundary| approach(boundary).by == Provocation::Queue;
        self.replicas.iter().flatten().any(|strike| matches!(strike.moment, Moment::At(at, _) if queues(at)))
    }
}

fn some_strikes(dice: &mut StdRng) -> Vec<Strike> {
    let how_many = dice.random_range(0..=2);
    let any = |dice: &mut StdRng| {
        let fault = *Fault::ALL.choose(dice).expect("there are some");
        strike(fault, dice)
    };
    (0..how_many).map(|_| any(dice)).collect()
}

fn strike(fault: Fault, dice: &mut StdRng) -> Strike {
    let moment = if dice.random_bool(0.7) {
        Moment::After(Duration::from_millis(dice.random_range(0..4000)))
    } else {
        at(*Boundary::ALL.choose(dice).expect("there are some"), dice)
    };
    Strike { fault, moment, lasts: Duration::from_millis(dice.random_range(500..5000)) }
}

fn at(boundary: Boundary, dice: &mut StdRng) -> Moment {
    Moment::At(boundary, dice.random_range(1..=approach(boundary).most))
}

/// How a process is made to come to a boundary.
#[derive(Debug, Clone, Copy)]
pub struct Approach {
    /// It comes there so often at least, in most runs.
    pub most: u32,
    pub by: Provocation,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Provocation {
    /// It comes there by itself.
    Nothing,
    /// Answers of destinations get lost, so that effects are looked up.
    LostAnswers,
    /// A destination fails again and again, so that its breaker opens.
    Failures,
    /// A destination takes so long that what is claimed with the first outlives its lease.
    Queue,
}

/// A boundary that is added has to say here how it is come to, and is then struck by every fault.
pub fn approach(boundary: Boundary) -> Approach {
    use Boundary as B;
    let often = |most| Approach { most, by: Provocation::Nothing };
    match boundary {
        B::SourceRegistered => often(1),
        B::TurnTaken | B::PageRequested | B::PageAnswered | B::PagesCommitted | B::PollFinished => often(3),
        B::SinkRegistered
        | B::CallsReserved
        | B::DeliveriesClaimed
        | B::IntentsWritten
        | B::SettlementBegun
        | B::SettlementCommitted => often(6),
        B::StepSending | B::StepAnswered => often(12),
        B::DependentsWoken => often(2),
        B::LeaseExtended => Approach { most: 1, by: Provocation::Queue },
        B::LookUpSending | B::LookUpAnswered => Approach { most: 2, by: Provocation::LostAnswers },
        B::ProbeWon | B::BreakerTurned => Approach { most: 1, by: Provocation::Failures },
    }
}

/// So many seeds in a row come by every fault at every boundary.
pub fn seeds_of_a_whole_walk() -> u64 {
    (Fault::ALL.len() * Boundary::ALL.len()) as u64
}

/// What a whole walk would leave out: nothing, or a fault or boundary was added that no plan comes by.
pub fn left_out() -> Vec<String> {
    let planned: Vec<Plan> = (0..seeds_of_a_whole_walk()).map(Plan::of).collect();
    let is_struck = |fault: Fault, boundary: Boundary| {
        let fits =
            |strike: &Strike| strike.fault == fault && matches!(strike.moment, Moment::At(at, _) if at == boundary);
        planned.iter().any(|plan| fits(&plan.replicas[0][0]))
    };
    let pairs = Fault::ALL.iter().flat_map(|fault| Boundary::ALL.iter().map(|boundary| (*fault, *boundary)));
    let missing = pairs.filter(|(fault, boundary)| !is_struck(*fault, *boundary));
    missing.map(|(fault, boundary)| format!("no seed plans {} at {}", fault.name(), boundary.name())).collect()
}
