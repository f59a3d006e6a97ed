//! The real binary as a replica: started, armed to stop at a boundary, signalled, killed. What it says goes to a file.

use std::{
    fs::{File, OpenOptions},
    os::unix::process::ExitStatusExt,
    path::PathBuf,
    process::{ExitStatus, Stdio},
    time::{Duration, Instant},
};

use anyhow::Context as _;
use chrono::TimeDelta;
use rustix::process::{Pid, Signal, kill_process};
use scoffable_sync::boundary::Boundary;
use tokio::process::{Child, Command};

use crate::front::CA_FILE;

/// A drain and an abort take no longer, whatever they meet.
const ENDS_WITHIN: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(10);

/// One replica, life after life.
#[derive(Debug)]
pub struct Daemon {
    /// The whole configuration, as the environment holds it.
    env: Vec<(String, String)>,
    log: PathBuf,
    /// Holds by how many milliseconds its wall clock is wrong.
    wrong_by: PathBuf,
    running: Option<(Child, Pid)>,
    /// Where the log of this life begins.
    born_at: u64,
}

impl Daemon {
    /// With these keys of the configuration; not yet started.
    pub fn new(keys: &[(String, String)], log: PathBuf) -> Self {
        let variable = |key: &str| format!("SCOFFABLE_SYNC__{}", key.replace('.', "__").to_uppercase());
        let env = keys.iter().map(|(key, value)| (variable(key), value.clone())).collect();
        let wrong_by = log.with_extension("clock");
        let _ = std::fs::remove_file(&wrong_by);
        Self { env, log, wrong_by, running: None, born_at: 0 }
    }

    /// A new life, in which it stops where `armed` says. `later` is added to its time.
    pub fn start(&mut self, armed: Option<(Boundary, u32)>, later: Duration) -> anyhow::Result<()> {
        let log = OpenOptions::new().create(true).append(true).open(&self.log).context("the log cannot be written")?;
        self.born_at = log.metadata()?.len();
        let mut command = Command::new(env!("CARGO_BIN_EXE_scoffable-sync"));
        // No file of this machine may have a say.
        command
            .args(["--config", "/dev/null", "run"])
            .env_clear()
            .envs(self.env.iter().map(|(name, value)| (name, value)));
        if let Ok(path) = std::env::var("PATH") {
            command.env("PATH", path);
        }
        if let Some((boundary, times)) = armed {
            command.env("SCOFFABLE_SYNC_FAILPOINT", format!("{}:{times}=stop", boundary.name()));
        }
        command.env("SCOFFABLE_SYNC_LATER_BY_MS", later.as_millis().to_string());
        command.env("SCOFFABLE_SYNC_WRONG_BY_MS_FILE", &self.wrong_by);
        command.env("SCOFFABLE_SYNC_TRUST_FILE", CA_FILE);
        let said: (File, File) = (log.try_clone()?, log);
        let child = command
            .current_dir("/")
            // A Ctrl-C is for the proof alone.
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(said.0)
            .stderr(said.1)
            .kill_on_drop(true)
            .spawn()
            .context("the binary cannot be started")?;
        let pid = child.id().and_then(|pid| Pid::from_raw(pid as i32)).context("it has ended already")?;
        self.running = Some((child, pid));
        Ok(())
    }

    /// From now on, also in its next life.
    pub fn set_clock_wrong_by(&self, by: TimeDelta) -> anyhow::Result<()> {
        std::fs::write(&self.wrong_by, by.num_milliseconds().to_string()).context("its clock cannot be set")
    }

    pub fn is_running(&self) -> bool {
        self.running.is_some()
    }

    pub fn signal(&self, signal: Signal) {
        if let Some((_, pid)) = &self.running {
            let _ = kill_process(*pid, signal);
        }
    }

    /// Whether a signal holds it where it is.
    pub fn is_stopped(&self) -> bool {
        let Some((_, pid)) = &self.running else { return false };
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap_or_default();
        // Source: proc_pid_stat(5): the state stands behind the name in brackets.
        stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T'))
    }

    /// Until it stands at its boundary; false where it does not come there in this time, or ends before.
    pub async fn stops_within(&mut self, patience: Duration) -> bool {
        let began = Instant::now();
        while began.elapsed() < patience && self.is_alive() {
            if self.is_stopped() {
                return true;
            }
            tokio::time::sleep(LOOK).await;
        }
        false
    }

    fn is_alive(&mut self) -> bool {
        self.running.as_mut().is_some_and(|(child, _)| child.try_wait().is_ok_and(|ended| ended.is_none()))
    }

    /// How it came to its end, if it did since the last look.
    pub fn has_ended(&mut self) -> Option<ExitStatus> {
        let (child, _) = self.running.as_mut()?;
        let status = child.try_wait().ok()??;
        self.running = None;
        Some(status)
    }

    /// It had come so far in this life that it works, and nothing but a stop may end it.
    pub fn was_up(&self) -> bool {
        self.said().contains("daemon started")
    }

    /// What it said in this life.
    pub fn said(&self) -> String {
        let all = std::fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(all.get(self.born_at as usize..).unwrap_or_default()).into_owned()
    }

    pub async fn kill(&mut self) {
        if let Some((mut child, _)) = self.running.take() {
            let _ = child.kill().await;
        }
    }

    /// SIGTERM, and its exit code. None: it was killed, for it did not end.
    pub async fn terminate(&mut self) -> Option<i32> {
        self.signal(Signal::TERM);
        let began = Instant::now();
        while self.is_alive() && began.elapsed() < ENDS_WITHIN {
            // It may stand at its boundary, or come there on its way to the end.
            self.signal(Signal::CONT);
            tokio::time::sleep(LOOK).await;
        }
        let (mut child, _) = self.running.take()?;
        let Ok(status) = tokio::time::timeout(LOOK, child.wait()).await else {
            let _ = child.kill().await;
            return None;
        };
        let status = status.ok()?;
        // So early in its life that it does not listen yet, and has done nothing.
        let died_unborn = status.signal() == Some(Signal::TERM.as_raw()) && !self.was_up();
        if died_unborn { Some(0) } else { status.code() }
    }
}
