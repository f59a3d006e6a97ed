//! The moments between which a process may die: one before and one after every commit and every request.
//!
//! In a release they are nothing. With the cargo feature `failpoints` the environment names one of them, and the process
//! kills itself there, or stops until it is told to go on: that is how the tests walk a process through `kill -9` at each.
//! A boundary that is added here fails the build of that walk until it has a test, and a statement that writes without
//! naming its boundary fails another.

macro_rules! boundaries {
    ($($(#[$doc:meta])* $variant:ident = $name:literal),+ $(,)?) => {
        /// One such moment.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Boundary {
            $($(#[$doc])* $variant),+
        }

        impl Boundary {
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// As the environment names it.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }
        }
    };
}

boundaries! {
    /// A source has its row.
    SourceRegistered = "source_registered",
    /// A sink has its row, and what it owes from before its time.
    SinkRegistered = "sink_registered",
    /// The turn at a stream is ours.
    TurnTaken = "turn_taken",
    /// A page is about to be asked for; its call was reserved.
    PageRequested = "page_requested",
    /// A page was read and is nowhere yet.
    PageAnswered = "page_answered",
    /// Pages stand in the database, with the cursor behind them.
    PagesCommitted = "pages_committed",
    /// How a poll ended stands in the source's row.
    PollFinished = "poll_finished",
    /// Calls of a sink are reserved and nothing was claimed yet.
    CallsReserved = "calls_reserved",
    /// Deliveries are leased and nothing was planned yet.
    DeliveriesClaimed = "deliveries_claimed",
    /// A lane's probe is ours.
    ProbeWon = "probe_won",
    /// Steps are written down and nothing was sent yet.
    IntentsWritten = "intents_written",
    /// A lease was prolonged so that it outlasts a call.
    LeaseExtended = "lease_extended",
    /// A step is about to be sent, if its lease still lasts.
    StepSending = "step_sending",
    /// A step was answered, and nobody else knows.
    StepAnswered = "step_answered",
    /// A look-up is about to be made.
    LookUpSending = "look_up_sending",
    /// A look-up was answered, and nobody else knows.
    LookUpAnswered = "look_up_answered",
    /// Outcomes are about to be recorded.
    SettlementBegun = "settlement_begun",
    /// Outcomes are recorded.
    SettlementCommitted = "settlement_committed",
    /// Deliveries that waited for another sink were woken.
    DependentsWoken = "dependents_woken",
    /// A breaker's state is recorded.
    BreakerTurned = "breaker_turned",
}

/// Says that the process is at this moment.
#[inline]
pub fn reach(boundary: Boundary) {
    #[cfg(feature = "failpoints")]
    failpoints::reach(boundary);
    #[cfg(not(feature = "failpoints"))]
    let _ = boundary;
}

#[cfg(feature = "failpoints")]
mod failpoints {
    use std::{
        sync::{
            OnceLock,
            atomic::{AtomicU32, Ordering},
        },
        time::Duration,
    };

    use rustix::process::{Signal, getpid, kill_process};

    use super::Boundary;

    /// `NAME` or `NAME:N`: dies when it comes there for the N-th time. `NAME=stop`: stops there instead.
    const VARIABLE: &str = "SCOFFABLE_SYNC_FAILPOINT";
    /// A stopped process is past it by the time it goes on.
    const STOPS_WITHIN: Duration = Duration::from_secs(1);

    struct Chosen {
        name: String,
        signal: Signal,
        left: AtomicU32,
    }

    fn chosen() -> Option<&'static Chosen> {
        static CHOSEN: OnceLock<Option<Chosen>> = OnceLock::new();
        CHOSEN.get_or_init(|| std::env::var(VARIABLE).ok().map(|text| parse(&text))).as_ref()
    }

    fn parse(text: &str) -> Chosen {
        let (text, signal) = match text.strip_suffix("=stop") {
            Some(text) => (text, Signal::STOP),
            None => (text, Signal::KILL),
        };
        let (name, times) = text.split_once(':').unwrap_or((text, "1"));
        Chosen { name: name.to_owned(), signal, left: AtomicU32::new(times.parse().unwrap_or(1)) }
    }

    pub(super) fn reach(boundary: Boundary) {
        let Some(chosen) = chosen().filter(|chosen| chosen.name == boundary.name()) else { return };
        if chosen.left.fetch_sub(1, Ordering::SeqCst) != 1 {
            return;
        }
        let _ = kill_process(getpid(), chosen.signal);
        // Nothing may happen between the signal's sending and its coming, which on a busy machine takes some milliseconds:
        // another thread may be the one that is interrupted.
        if chosen.signal == Signal::KILL {
            loop {
                std::thread::park();
            }
        }
        std::thread::sleep(STOPS_WITHIN);
    }
}
