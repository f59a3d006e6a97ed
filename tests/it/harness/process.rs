//! The real binary as a child process: started with a configuration of the test's own, listened to, signalled, killed.
//!
//! A child inherits nothing of the test's environment but the way to programs and the consent to install Postgres, so a
//! developer's own settings change no test. Every wait has a deadline, and what a child said is shown when one passes.
//! Dropping a [`Process`] kills it.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    path::{Path, PathBuf},
    process::Stdio,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use scoffable_sync::simulator::Simulation;
use secrecy::ExposeSecret;
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, BufReader},
    process::{Child, Command},
    sync::Notify,
    task::JoinHandle,
};

use super::{
    app::{SINK, SOURCE},
    postgres::TestDatabase,
};

/// Longest wait for anything a process should do soon. Generous: the machine may be busy with other tests.
pub const PATIENCE: Duration = Duration::from_secs(90);
/// How often a condition is looked at that nothing tells us of.
const LOOK: Duration = Duration::from_millis(20);

/// A command line to run: arguments, environment, working folder.
#[derive(Debug)]
pub struct Invocation {
    args: Vec<String>,
    env: BTreeMap<String, String>,
    folder: PathBuf,
}

/// `scoffable-sync ARGS`, in a folder without a configuration file.
pub fn scoffable_sync<A: Into<String>>(args: impl IntoIterator<Item = A>) -> Invocation {
    let kept = ["PATH", "INSTALL_POSTGRES", "LLVM_PROFILE_FILE"];
    let env = kept.iter().filter_map(|name| Some(((*name).to_owned(), std::env::var(name).ok()?)));
    Invocation { args: args.into_iter().map(Into::into).collect(), env: env.collect(), folder: "/".into() }
}

impl Invocation {
    pub fn arg(mut self, arg: &str) -> Self {
        self.args.push(arg.to_owned());
        self
    }

    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Overrides a key of the configuration, as in `("http.listen", "off")`.
    pub fn with(self, key: &str, value: &str) -> Self {
        let name = format!("SCOFFABLE_SYNC__{}", key.replace('.', "__").to_uppercase());
        self.env(&name, value)
    }

    pub fn in_folder(mut self, folder: &Path) -> Self {
        folder.clone_into(&mut self.folder);
        self
    }

    pub fn start(self) -> Process {
        let mut child = Command::new(env!("CARGO_BIN_EXE_scoffable-sync"))
            .args(&self.args)
            .env_clear()
            .envs(&self.env)
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the binary was built with the tests");
        let said = Said::default();
        let listening = vec![
            said.listen(child.stdout.take().expect("it is piped"), Stream::Out),
            said.listen(child.stderr.take().expect("it is piped"), Stream::Err),
        ];
        let pid = child.id().and_then(|pid| Pid::from_raw(pid as i32)).expect("it has not been waited for");
        Process { name: self.args.join(" "), child, pid, said, listening }
    }

    /// Runs the command to its end.
    pub async fn finish(self) -> Finished {
        self.start().finished().await
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stream {
    Out,
    Err,
}

/// Everything a child wrote so far, line by line.
#[derive(Debug, Clone, Default)]
struct Said {
    lines: Arc<Mutex<Vec<(Stream, String)>>>,
    more: Arc<Notify>,
}

impl Said {
    fn listen(&self, pipe: impl AsyncRead + Unpin + Send + 'static, stream: Stream) -> JoinHandle<()> {
        let said = self.clone();
        tokio::spawn(async move {
            let mut lines = BufReader::new(pipe).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                said.lines.lock().expect("nobody panics holding it").push((stream, line));
                said.more.notify_waiters();
            }
        })
    }

    fn of(&self, stream: Stream) -> String {
        let lines = self.lines.lock().expect("nobody panics holding it");
        lines.iter().filter(|(from, _)| *from == stream).fold(String::new(), |mut text, (_, line)| {
            let _ = writeln!(text, "{line}"); // writing to a String cannot fail
            text
        })
    }

    fn all(&self) -> String {
        format!("--- stdout\n{}--- stderr\n{}", self.of(Stream::Out), self.of(Stream::Err))
    }
}

/// A running child.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    pid: Pid,
    said: Said,
    listening: Vec<JoinHandle<()>>,
}

/// A child that has ended by itself.
#[derive(Debug)]
pub struct Finished {
    /// `None`: ended by a signal.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Process {
    pub fn stdout(&self) -> String {
        self.said.of(Stream::Out)
    }

    pub fn stderr(&self) -> String {
        self.said.of(Stream::Err)
    }

    /// Waits until the child has written something; returns the line.
    pub async fn says(&mut self, text: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let more = self.said.more.clone();
            let more = more.notified();
            let found = {
                let lines = self.said.lines.lock().expect("nobody panics holding it");
                lines.iter().map(|(_, line)| line).find(|line| line.contains(text)).cloned()
            };
            if let Some(line) = found {
                return line;
            }
            let ended = self.child.try_wait().expect("it is our child").is_some();
            let has_said_all = ended && self.listening.iter().all(JoinHandle::is_finished);
            let goes_on = !has_said_all && Instant::now() < deadline;
            assert!(goes_on, "`{}` never said {text:?}\n{}", self.name, self.said.all());
            // Its end is no line, so look for that once in a while.
            let _ = tokio::time::timeout(LOOK, more).await;
        }
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid, signal).expect("it has not been waited for");
    }

    /// `kill -9`, and waits until it is gone.
    pub async fn kill(mut self) {
        self.child.kill().await.expect("it is our child");
    }

    /// Whether a signal holds it where it is.
    pub fn is_stopped(&self) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid.as_raw_nonzero())).unwrap_or_default();
        // Source: proc_pid_stat(5): the state stands behind the name in brackets.
        stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T'))
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("it is our child").is_none()
    }

    /// Waits for its end.
    pub async fn finished(self) -> Finished {
        self.finished_within(PATIENCE).await
    }

    /// For what takes longer because something else does.
    pub async fn finished_within(mut self, patience: Duration) -> Finished {
        let Ok(status) = tokio::time::timeout(patience, self.child.wait()).await else {
            panic!("`{}` does not end\n{}", self.name, self.said.all());
        };
        // A grandchild that holds the pipe must not hold us.
        for listening in &mut self.listening {
            let _ = tokio::time::timeout(Duration::from_secs(2), listening).await;
        }
        let code = status.expect("it is our child").code();
        Finished { code, stdout: self.stdout(), stderr: self.stderr() }
    }
}

impl Finished {
    /// Fails with all that was written when the exit code is another.
    #[track_caller]
    pub fn expect_code(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "--- stdout\n{}--- stderr\n{}", self.stdout, self.stderr);
        self
    }
}

/// A free port of the loopback interface: nobody listens there.
pub fn unused_port() -> u16 {
    let [port] = unused_ports();
    port
}

/// Several at once. Asked for one after the other, two may be the same.
pub fn unused_ports<const N: usize>() -> [u16; N] {
    let bound = [(); N].map(|()| std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free"));
    bound.map(|socket| socket.local_addr().expect("it is bound").port())
}

/// Waits for a condition that nothing tells us of.
pub async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds().await {
        assert!(Instant::now() < deadline, "still waiting until {what}");
        tokio::time::sleep(LOOK).await;
    }
}

/// A configuration file that ties a daemon to a database and to simulated systems: impatient, without HTTP.
#[derive(Debug)]
pub struct ConfigFile {
    folder: tempfile::TempDir,
}

impl ConfigFile {
    /// One source and one webhook.
    pub fn of(database: &TestDatabase, simulation: &Simulation) -> Self {
        let simulated = scoffable_sync::simulator::SimulateOptions::default();
        Self::holding(&format!(
            r#"
[database]
url = "{database}"
connect_timeout = "30s"

[http]
listen = "off"

[delivery]
lease = "11s"
drain = "20s"

[sources.{SOURCE}]
kind = "scoffable"
base_url = "{stream}"
token = "{token}"
poll_interval = "1s"
request_timeout = "2s"
requests_per_minute = "unlimited"
account_requests_per_minute = "unlimited"

[sinks.{SINK}]
kind = "webhook"
url = "{receiver}"
signing_secret = "{secret}"
request_timeout = "1s"
retry = {{ initial = "100ms", max = "1s", slow_interval = "1s", give_up_after = "10m" }}
breaker = {{ failures = 20, probe = "100ms" }}
"#,
            database = database.url.expose_secret(),
            stream = simulation.scoffable.base_url(),
            token = simulated.token,
            receiver = simulation.webhook.url(),
            secret = simulated.webhook_secret,
        ))
    }

    /// This text.
    pub fn holding(text: &str) -> Self {
        let folder = tempfile::tempdir().expect("the temp folder is writable");
        std::fs::write(folder.path().join("sync.toml"), text).expect("the temp folder is writable");
        Self { folder }
    }

    pub fn path(&self) -> String {
        self.folder.path().join("sync.toml").display().to_string()
    }

    /// `scoffable-sync ARGS --config` this file.
    pub fn command(&self, args: &[&str]) -> Invocation {
        let path = self.path();
        scoffable_sync(args.iter().copied().chain(["--config", &path]))
    }
}
