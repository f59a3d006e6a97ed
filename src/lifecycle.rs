//! How a process stops, and how it knows that it must.
//!
//! A stop has two steps. *Drain*: claim nothing new, finish or give back what is held. *Abort*: drop everything where it
//! is; leases and stored steps make that safe, as they do a `kill -9`. The first SIGTERM or SIGINT drains, the second
//! aborts, and so does the drain limit. A task that ends before anybody asked it to has died: the rest drains, and
//! [`Ending::exit_code`] says so. SIGHUP only wakes whoever watches [`Lifecycle::reloads`].
//!
//! Tasks are spawned through [`Lifecycle::spawn`] and by no other way, or a stop would not wait for them. Nothing here
//! knows what they do.

use std::{
    fmt, io,
    panic::AssertUnwindSafe,
    sync::{Arc, OnceLock},
    time::Duration,
};

use futures::FutureExt as _;
use sd_notify::NotifyState;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
    task::JoinHandle,
    time::{MissedTickBehavior, interval, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{debug, error, info, warn};

/// How long aborted tasks get to be dropped; one that never yields is left behind after it.
const ABORT_GRACE: Duration = Duration::from_secs(2);

/// The tasks of a process and the two tokens that stop them. Clones share everything.
#[derive(Debug, Clone)]
pub struct Lifecycle {
    drain: CancellationToken,
    abort: CancellationToken,
    tasks: TaskTracker,
    /// The first task that died, if any: later ones mostly die of the same cause.
    died: Arc<OnceLock<Died>>,
    reload: watch::Sender<u64>,
}

impl Default for Lifecycle {
    fn default() -> Self {
        Self {
            drain: CancellationToken::new(),
            abort: CancellationToken::new(),
            tasks: TaskTracker::new(),
            died: Arc::default(),
            reload: watch::Sender::new(0),
        }
    }
}

/// A task that ended although nobody had asked it to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Died {
    /// As given to [`Lifecycle::spawn`].
    pub task: &'static str,
    pub how: HowItDied,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HowItDied {
    Panicked,
    /// Its future ended.
    Returned,
}

impl fmt::Display for Died {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let how = match self.how {
            HowItDied::Panicked => "panicked",
            HowItDied::Returned => "ended by itself",
        };
        write!(f, "the {} {how}", self.task)
    }
}

/// How a process came to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// Asked to stop, and everything was finished or given back.
    Drained,
    /// Asked to stop; what was under way was cut off. Leases will end, nothing is lost.
    Aborted,
    /// A task died. What else there was has been stopped.
    Died(Died),
}

impl Ending {
    /// 0 when asked to stop, however it went; 4 when a task died.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Drained | Self::Aborted => 0,
            Self::Died(_) => 4,
        }
    }
}

/// Some tasks of a [`Lifecycle`], which drains them too.
#[derive(Debug)]
pub struct Phase {
    lifecycle: Lifecycle,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Phase {
    /// Cancelled when nothing new may be begun.
    pub fn drain(&self) -> &CancellationToken {
        &self.stop
    }

    /// As [`Lifecycle::spawn`], for a task that goes on until [`Self::drain`] is cancelled.
    pub fn spawn(&self, task: &'static str, future: impl Future<Output = ()> + Send + 'static) {
        let running = self.lifecycle.spawn_until(self.stop.clone(), task, future);
        self.tasks.spawn(running);
    }

    /// Drains these tasks and waits for their ends, but no longer than the limit: what holds on then holds leases, and
    /// hinders nobody.
    pub async fn end(self, limit: Duration) {
        self.stop.cancel();
        self.tasks.close();
        if timeout(limit, self.tasks.wait()).await.is_err() {
            warn!(stop.reason = "reload", "a task goes on with the settings of before");
        }
    }
}

impl Lifecycle {
    pub fn new() -> Self {
        Self::default()
    }

    /// Cancelled when nothing new may be begun. Cancelled by an abort, too.
    pub fn drain(&self) -> &CancellationToken {
        &self.drain
    }

    /// Cancelled when everything is dropped. Tasks need not watch it: they are dropped at their next `await`.
    pub fn abort(&self) -> &CancellationToken {
        &self.abort
    }

    /// Asks for a drain; a second time changes nothing.
    pub fn request_drain(&self) {
        self.drain.cancel();
    }

    pub fn request_abort(&self) {
        self.drain.cancel();
        self.abort.cancel();
    }

    /// Changes with each request to read secrets and mappings again.
    pub fn reloads(&self) -> watch::Receiver<u64> {
        self.reload.subscribe()
    }

    pub fn request_reload(&self) {
        self.reload.send_modify(|generation| *generation += 1);
    }

    /// Runs a task that goes on until [`Self::drain`] is cancelled. Ending earlier, or by a panic at any time, is dying:
    /// the whole process then drains. Name it by what it does: `"poller"`.
    pub fn spawn(&self, task: &'static str, future: impl Future<Output = ()> + Send + 'static) {
        self.spawn_until(self.drain.clone(), task, future);
    }

    /// Tasks that can be stopped before the process is, for instance to start again with other settings.
    pub fn phase(&self) -> Phase {
        Phase { lifecycle: self.clone(), stop: self.drain.child_token(), tasks: TaskTracker::new() }
    }

    fn spawn_until(
        &self,
        stop: CancellationToken,
        task: &'static str,
        future: impl Future<Output = ()> + Send + 'static,
    ) -> JoinHandle<()> {
        let lifecycle = self.clone();
        let guarded = AssertUnwindSafe(future).catch_unwind();
        self.tasks.spawn(async move {
            let ended = tokio::select! {
                ended = guarded => ended,
                () = lifecycle.abort.cancelled() => return,
            };
            let how = match ended {
                Ok(()) if stop.is_cancelled() => return debug!(task.name = task, "task drained"),
                Ok(()) => HowItDied::Returned,
                Err(_) => HowItDied::Panicked,
            };
            let died = Died { task, how };
            error!(task.name = task, error = %died, "task died");
            _ = lifecycle.died.set(died);
            lifecycle.drain.cancel();
        })
    }

    /// Until a drain is asked for, and then until every task has ended, but no longer than `limit` before everything is
    /// aborted.
    pub async fn run_to_end(&self, limit: Duration) -> Ending {
        self.drain.cancelled().await;
        self.tasks.close();
        let drained = tokio::select! {
            biased;
            () = self.abort.cancelled() => false,
            () = self.tasks.wait() => true,
            () = tokio::time::sleep(limit) => {
                warn!(stop.reason = "drain_limit", "drain cut off");
                false
            }
        };
        self.request_abort();
        if timeout(ABORT_GRACE, self.tasks.wait()).await.is_err() {
            warn!("task left behind");
        }
        match self.died.get() {
            Some(died) => Ending::Died(died.clone()),
            None if drained => Ending::Drained,
            None => Ending::Aborted,
        }
    }

    /// Takes over SIGTERM, SIGINT and SIGHUP from now on, and turns them into requests until the second stop signal. Not
    /// one of the tasks that a drain waits for.
    pub fn obey_signals(&self) -> io::Result<JoinHandle<()>> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut hangup = signal(SignalKind::hangup())?;
        let lifecycle = self.clone();
        Ok(tokio::spawn(async move {
            loop {
                let reason = tokio::select! {
                    _ = terminate.recv() => "sigterm",
                    _ = interrupt.recv() => "sigint",
                    _ = hangup.recv() => {
                        info!("reload requested");
                        lifecycle.request_reload();
                        continue;
                    }
                };
                if lifecycle.drain.is_cancelled() {
                    warn!(stop.reason = reason, "abort requested");
                    return lifecycle.request_abort();
                }
                info!(stop.reason = reason, "drain requested");
                lifecycle.request_drain();
            }
        }))
    }
}

/// Tells systemd, or whatever else started us with `NOTIFY_SOCKET`, how we are. Without one it tells nobody.
///
/// Source: sd_notify(3), sd_watchdog_enabled(3).
pub mod service_manager {
    use super::{CancellationToken, Duration, MissedTickBehavior, NotifyState, debug, interval, warn};

    /// Started: units that wait for this one go on. Also ends a [`reloading`].
    pub fn ready(status: &str) {
        tell(&[NotifyState::Ready, NotifyState::Status(&one_line(status))]);
    }

    /// A reload begins; [`ready`] must follow.
    pub fn reloading() {
        if let Ok(now) = NotifyState::monotonic_usec_now() {
            tell(&[NotifyState::Reloading, now]);
        }
    }

    pub fn stopping() {
        tell(&[NotifyState::Stopping]);
    }

    /// One line for people, shown by `systemctl status`.
    pub fn status(status: &str) {
        tell(&[NotifyState::Status(&one_line(status))]);
    }

    /// Pings the watchdog, where there is one, for as long as `alive` says so. A process that is not alive goes unpinged
    /// and is restarted. Ends only with `stop`; give it the abort token and spawn it apart from [`super::Lifecycle`], so
    /// that a drain is watched too but does not wait for the watchdog.
    pub async fn watchdog(alive: impl Fn() -> bool, stop: CancellationToken) {
        match sd_notify::watchdog_enabled() {
            Some(limit) => ping_while(alive, || tell(&[NotifyState::Watchdog]), limit / 2, stop).await,
            None => stop.cancelled().await,
        }
    }

    pub(super) async fn ping_while(
        alive: impl Fn() -> bool,
        ping: impl Fn(),
        every: Duration,
        stop: CancellationToken,
    ) {
        let mut ticks = interval(every.max(Duration::from_millis(1)));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = ticks.tick() => {}
            }
            if alive() {
                ping();
            } else {
                warn!("watchdog unpinged");
            }
        }
    }

    fn tell(states: &[NotifyState<'_>]) {
        if let Err(error) = sd_notify::notify(states) {
            debug!(%error, "service manager unreached");
        }
    }

    /// A newline would begin another message.
    pub(super) fn one_line(text: &str) -> String {
        text.replace(['\n', '\r'], " ")
    }
}

#[cfg(test)]
mod tests {
    use std::{
        future::pending,
        sync::atomic::{AtomicBool, AtomicU32, Ordering},
    };

    use tokio::sync::oneshot;

    use super::*;

    const LONG: Duration = Duration::from_hours(1);

    /// Says when it is dropped.
    struct Held(Option<oneshot::Sender<()>>);

    impl Drop for Held {
        fn drop(&mut self) {
            _ = self.0.take().map(|sender| sender.send(()));
        }
    }

    #[tokio::test]
    async fn a_drain_waits_for_every_task() {
        let lifecycle = Lifecycle::new();
        let finished = Arc::new(AtomicBool::new(false));
        let (finish, drain) = (finished.clone(), lifecycle.drain().clone());
        lifecycle.spawn("poller", async move {
            drain.cancelled().await;
            tokio::task::yield_now().await;
            finish.store(true, Ordering::SeqCst);
        });

        lifecycle.request_drain();
        let ending = lifecycle.run_to_end(LONG).await;

        assert_eq!(ending, Ending::Drained);
        assert_eq!(ending.exit_code(), 0);
        assert!(finished.load(Ordering::SeqCst));
    }

    #[tokio::test]
    async fn an_abort_drops_what_does_not_drain() {
        let lifecycle = Lifecycle::new();
        let (dropped, was_dropped) = oneshot::channel();
        let held = Held(Some(dropped));
        lifecycle.spawn("dispatcher", async move {
            let _held = held;
            pending::<()>().await;
        });

        lifecycle.request_abort();
        let ending = lifecycle.run_to_end(LONG).await;

        assert_eq!(ending, Ending::Aborted);
        assert_eq!(ending.exit_code(), 0, "it was asked to stop");
        assert_eq!(was_dropped.await, Ok(()));
    }

    #[tokio::test]
    async fn the_drain_limit_aborts() {
        let lifecycle = Lifecycle::new();
        lifecycle.spawn("dispatcher", pending());

        lifecycle.request_drain();

        assert_eq!(lifecycle.run_to_end(Duration::ZERO).await, Ending::Aborted);
        assert!(lifecycle.abort().is_cancelled());
    }

    #[tokio::test]
    async fn a_task_that_panics_drains_the_others_and_is_told_apart_from_a_stop() {
        let lifecycle = Lifecycle::new();
        let drain = lifecycle.drain().clone();
        lifecycle.spawn("poller", async move { drain.cancelled().await });
        lifecycle.spawn("dispatcher", async { panic!("a bug") });

        let ending = lifecycle.run_to_end(LONG).await;

        assert_eq!(ending, Ending::Died(Died { task: "dispatcher", how: HowItDied::Panicked }));
        assert_eq!(ending.exit_code(), 4);
    }

    #[tokio::test]
    async fn a_task_that_returns_unasked_has_died() {
        let lifecycle = Lifecycle::new();
        lifecycle.spawn("pruner", async {});

        let ending = lifecycle.run_to_end(LONG).await;

        assert_eq!(ending, Ending::Died(Died { task: "pruner", how: HowItDied::Returned }));
    }

    #[tokio::test]
    async fn a_panic_while_draining_is_still_a_death() {
        let lifecycle = Lifecycle::new();
        let drain = lifecycle.drain().clone();
        lifecycle.spawn("dispatcher", async move {
            drain.cancelled().await;
            panic!("a bug while draining")
        });

        lifecycle.request_drain();

        assert_eq!(lifecycle.run_to_end(LONG).await.exit_code(), 4);
    }

    #[tokio::test]
    async fn signals_reload_then_drain_then_abort() {
        let lifecycle = Lifecycle::new();
        let mut reloads = lifecycle.reloads();
        let signals = lifecycle.obey_signals().unwrap();
        let send = |signal| rustix::process::kill_process(rustix::process::getpid(), signal).unwrap();

        send(rustix::process::Signal::HUP);
        reloads.changed().await.unwrap();
        assert!(!lifecycle.drain().is_cancelled());

        send(rustix::process::Signal::TERM);
        lifecycle.drain().cancelled().await;
        assert!(!lifecycle.abort().is_cancelled());

        send(rustix::process::Signal::INT);
        lifecycle.abort().cancelled().await;
        signals.await.unwrap();
    }

    #[tokio::test]
    async fn the_watchdog_is_pinged_only_while_alive() {
        let (pings, alive) = (AtomicU32::new(0), AtomicBool::new(true));
        let stop = CancellationToken::new();
        let checks = AtomicU32::new(0);
        let check = || {
            let n = checks.fetch_add(1, Ordering::SeqCst);
            alive.store(n < 3, Ordering::SeqCst);
            if n == 5 {
                stop.cancel();
            }
            alive.load(Ordering::SeqCst)
        };
        let ping = || _ = pings.fetch_add(1, Ordering::SeqCst);

        service_manager::ping_while(check, ping, Duration::from_millis(1), stop.clone()).await;

        assert!(checks.load(Ordering::SeqCst) >= 6);
        assert_eq!(pings.load(Ordering::SeqCst), 3);
    }

    #[test]
    fn a_status_is_one_line() {
        assert_eq!(service_manager::one_line("idle\nREADY=1"), "idle READY=1");
    }
}
