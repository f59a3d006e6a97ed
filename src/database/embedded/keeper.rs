//! The thread that starts the server, watches it, starts it again when it dies, and stops it.

use std::{
    fs::{self, File},
    io,
    net::{Ipv4Addr, TcpListener},
    os::unix::{fs::OpenOptionsExt, process::CommandExt},
    process::{Child, Command},
    sync::{
        Arc,
        atomic::{AtomicI32, Ordering},
        mpsc::{Receiver, RecvTimeoutError},
    },
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use secrecy::SecretString;
use tokio::sync::oneshot;

use super::{
    Durability, EmbeddedError, EmbeddedOptions, Tenure,
    account::Account,
    binaries::{self, Binaries},
    cluster::{Cluster, Occupant, at, process},
};
use crate::database::install::{self, Consent};

/// How long another process may hold the folder without a server coming up.
const OWNER_PATIENCE: Duration = Duration::from_mins(1);
/// How long a living server may take to be ready. After a crash it first replays its log, which takes as long as it takes.
const READY_PATIENCE: Duration = Duration::from_mins(5);
/// How long orphans of a killed server may hold its memory, and how long a fast shutdown may take.
const STOP_PATIENCE: Duration = Duration::from_secs(20);
/// Between two looks at something that happens in milliseconds.
const GLANCE: Duration = Duration::from_millis(10);
/// Between two looks at a running server.
const WATCH: Duration = Duration::from_millis(250);
/// Ports are picked before the server binds them, so somebody may be faster.
const PORT_ATTEMPTS: u32 = 10;

/// What the starter learns once the server is ready.
#[derive(Debug)]
pub(super) struct Up {
    pub cluster: Cluster,
    pub password: SecretString,
    pub port: u16,
    pub major: u32,
    pub tenure: Tenure,
    pub pid: Arc<AtomicI32>,
}

/// Starts, reports through `ready`, and serves until the other end of `stop` is dropped.
pub(super) fn keep(
    options: &EmbeddedOptions,
    ready: oneshot::Sender<Result<Up, EmbeddedError>>,
    stop: &Receiver<()>,
) -> Result<(), EmbeddedError> {
    let mut keeper = match start(options) {
        Ok(Start::Owned(keeper)) => keeper,
        Ok(Start::Shared(up)) => {
            let _ = ready.send(Ok(up));
            return Ok(());
        }
        Err(error) => {
            let _ = ready.send(Err(error));
            return Ok(());
        }
    };
    // An unheard report means that the start was given up: stop at once.
    if ready.send(Ok(keeper.up())).is_ok() {
        keeper.watch(stop);
    }
    keeper.server.stop()
}

enum Start {
    Owned(Keeper),
    Shared(Up),
}

struct Keeper {
    recipe: Recipe,
    password: SecretString,
    port: u16,
    tenure: Tenure,
    server: Server,
    pid: Arc<AtomicI32>,
    /// Keeps other processes from running a server over the same folder.
    _lock: File,
}

/// All it takes to start the server, also for another time.
struct Recipe {
    cluster: Cluster,
    binaries: Binaries,
    account: Account,
    max_connections: u16,
    durability: Durability,
}

#[derive(Clone, Copy)]
enum Port {
    /// The usual one if free, else any.
    Any,
    /// The one that pools already know.
    Only(u16),
}

fn start(options: &EmbeddedOptions) -> Result<Start, EmbeddedError> {
    let cluster = Cluster::at(&options.dir)?;
    let began = Instant::now();
    let lock = loop {
        if let Some(lock) = cluster.try_own()? {
            break lock;
        }
        // The owner holds the folder before its server is up and until it is down.
        if let Occupant::Ready { pid, port } = cluster.occupant() {
            let (password, major) = (cluster.password()?, cluster.major()?.unwrap_or_default());
            let pid = Arc::new(AtomicI32::new(pid.as_raw_nonzero().get()));
            return Ok(Start::Shared(Up { cluster, password, port, major, tenure: Tenure::Shared, pid }));
        }
        if began.elapsed() > OWNER_PATIENCE {
            return Err(EmbeddedError::Busy { dir: cluster.dir, waited: OWNER_PATIENCE });
        }
        thread::sleep(GLANCE);
    };

    let account = Account::choose(&cluster.data());
    let existing = cluster.major()?;
    let binaries = find_or_install(options, existing)?;
    if existing.is_none() {
        // Anew, since an installation may just have made the user.
        let account = Account::choose(&cluster.data());
        cluster.initialise(&binaries, &account, options.durability)?;
    } else {
        account.try_out(&binaries.dir.join("postgres"), &cluster.data())?;
    }
    let account = Account::choose(&cluster.data());
    let password = cluster.password()?;
    let recipe =
        Recipe { cluster, binaries, account, max_connections: options.max_connections, durability: options.durability };

    let (server, port, tenure) = if let Some((pid, port)) = recipe.settle_occupant() {
        (Server::Adopted(pid), port, Tenure::Adopted)
    } else {
        let (child, port) = recipe.launch(Port::Any)?;
        (Server::Child(child), port, Tenure::Started)
    };
    recipe.cluster.remember_port(port);
    let pid = Arc::new(AtomicI32::new(server.pid().as_raw_nonzero().get()));
    Ok(Start::Owned(Keeper { recipe, password, port, tenure, server, pid, _lock: lock }))
}

fn find_or_install(options: &EmbeddedOptions, existing: Option<u32>) -> Result<Binaries, EmbeddedError> {
    let find = || binaries::find(options.binaries.as_deref(), existing);
    match (find(), options.consent) {
        (Err(EmbeddedError::NotInstalled | EmbeddedError::TooOld { .. }), Consent::Given) => {
            install::install(&mut io::stderr())?;
            find()
        }
        (found, _) => found,
    }
}

impl Keeper {
    fn up(&self) -> Up {
        Up {
            cluster: self.recipe.cluster.clone(),
            password: self.password.clone(),
            port: self.port,
            major: self.recipe.binaries.major,
            tenure: self.tenure,
            pid: Arc::clone(&self.pid),
        }
    }

    /// Returns when asked to stop. A server that dies before is started again, for as long as it takes.
    fn watch(&mut self, stop: &Receiver<()>) {
        let mut failures: u32 = 0;
        loop {
            // 0.25 s, then after failed restarts 0.5, 1, 2, 4, 8 s.
            let wait = WATCH * 2u32.pow(failures.min(5));
            match stop.recv_timeout(wait) {
                Err(RecvTimeoutError::Timeout) if self.server.is_gone() => {}
                Err(RecvTimeoutError::Timeout) => continue,
                Ok(()) | Err(RecvTimeoutError::Disconnected) => return,
            }
            match self.recipe.launch(Port::Only(self.port)) {
                Ok((child, _)) => {
                    failures = 0;
                    self.server = Server::Child(child);
                    self.pid.store(self.server.pid().as_raw_nonzero().get(), Ordering::Relaxed);
                    tracing::warn!(database.port = self.port, "embedded database died and was started again");
                }
                Err(error) => {
                    failures += 1;
                    tracing::warn!(error = %error, "embedded database died and does not start");
                }
            }
        }
    }
}

impl Recipe {
    /// The server that outlived its owner, if there is one. Waits for one that is on its way up or down.
    fn settle_occupant(&self) -> Option<(Pid, u16)> {
        let began = Instant::now();
        loop {
            match self.cluster.occupant() {
                Occupant::Ready { pid, port } => return Some((pid, port)),
                Occupant::Passing if began.elapsed() < OWNER_PATIENCE => thread::sleep(GLANCE),
                Occupant::Passing | Occupant::Nobody | Occupant::Zombie | Occupant::Stranger => return None,
            }
        }
    }

    fn launch(&self, port: Port) -> Result<(Child, u16), EmbeddedError> {
        let began = Instant::now();
        let mut ports_taken = 0;
        self.cluster.clear_dead_lock();
        loop {
            let number = match port {
                Port::Only(number) => number,
                Port::Any if ports_taken == 0 => self.cluster.remembered_port().map_or_else(free_port, Ok)?,
                Port::Any => free_port()?,
            };
            let mut child = self.spawn(number)?;
            let said = match self.wait_until_ready(&mut child)? {
                Readiness::Ready => return Ok((child, number)),
                Readiness::Ended { said } => said,
            };
            let port_taken = said.contains("could not bind") || said.contains("could not create any TCP/IP sockets");
            // Backends of a killed server notice its death within moments, and hold its memory until then.
            let orphans_left = said.contains("pre-existing shared memory block") || said.contains("lock file");
            if port_taken && matches!(port, Port::Any) && ports_taken < PORT_ATTEMPTS {
                ports_taken += 1;
            } else if orphans_left && began.elapsed() < STOP_PATIENCE {
                thread::sleep(GLANCE * 5);
                self.cluster.clear_dead_lock();
            } else {
                return Err(EmbeddedError::DidNotStart { said: last_complaint(&said), log: self.cluster.log() });
            }
        }
    }

    fn spawn(&self, port: u16) -> Result<Child, EmbeddedError> {
        let (program, log) = (self.binaries.dir.join("postgres"), self.cluster.log());
        let _ = fs::rename(&log, log.with_extension("log.old"));
        let mut private = File::options();
        private.create(true).write(true).truncate(true).mode(0o600);
        let out = private.open(&log).map_err(at(&log))?;
        let err = out.try_clone().map_err(at(&log))?;

        let mut command = self.account.command(&program);
        command.arg("-D").arg(self.cluster.data()).current_dir(self.cluster.data()).stdout(out).stderr(err);
        let max_connections = format!("max_connections={}", self.max_connections);
        let port = format!("port={port}");
        let mut settings = vec![
            max_connections.as_str(),
            port.as_str(),
            "listen_addresses=127.0.0.1",
            // TCP alone: a socket's path is limited to 107 bytes, which a data folder easily exceeds.
            "unix_socket_directories=",
            "shared_buffers=128MB",
            // Short statements only; and where a service may not write executable memory, JIT makes them fail.
            "jit=off",
            "TimeZone=UTC",
            "log_timezone=UTC",
            "logging_collector=off",
            "log_destination=stderr",
            // Without the detail lines, which repeat the values of a refused row.
            "log_error_verbosity=terse",
        ];
        settings.extend(match self.durability {
            Durability::Full => ["fsync=on", "full_page_writes=on", "synchronous_commit=on"],
            Durability::TestsMayLoseData => ["fsync=off", "full_page_writes=off", "synchronous_commit=off"],
        });
        for setting in settings {
            command.args(["-c", setting]);
        }
        // Out of the terminal's group: Ctrl-C goes to us, and we finish our work before the server goes.
        command.process_group(0);
        end_with_this_thread(&mut command);
        command.spawn().map_err(at(&program))
    }

    fn wait_until_ready(&self, child: &mut Child) -> Result<Readiness, EmbeddedError> {
        let log = self.cluster.log();
        let began = Instant::now();
        let ours = Pid::from_child(child);
        loop {
            if child.try_wait().map_err(at(&log))?.is_some() {
                return Ok(Readiness::Ended { said: fs::read_to_string(&log).unwrap_or_default() });
            }
            if matches!(self.cluster.occupant(), Occupant::Ready { pid, .. } if pid == ours) {
                return Ok(Readiness::Ready);
            }
            if began.elapsed() > READY_PATIENCE {
                let _ = kill_process(ours, Signal::INT);
                let _ = child.wait();
                let said = format!("not ready after {} s", READY_PATIENCE.as_secs());
                return Err(EmbeddedError::DidNotStart { said, log });
            }
            thread::sleep(GLANCE);
        }
    }
}

enum Readiness {
    Ready,
    Ended { said: String },
}

enum Server {
    Child(Child),
    /// Somebody else's child: it is watched by its number.
    Adopted(Pid),
}

impl Server {
    fn pid(&self) -> Pid {
        match self {
            Self::Child(child) => Pid::from_child(child),
            Self::Adopted(pid) => *pid,
        }
    }

    fn is_gone(&mut self) -> bool {
        match self {
            Self::Child(child) => matches!(child.try_wait(), Ok(Some(_)) | Err(_)),
            Self::Adopted(pid) => process::state(*pid) != process::State::Alive,
        }
    }

    /// Fast shutdown: running transactions are rolled back, clients disconnected, everything is written out. Should it
    /// hang, an immediate one, after which the next start replays the log.
    fn stop(&mut self) -> Result<(), EmbeddedError> {
        for signal in [Signal::INT, Signal::QUIT] {
            if self.is_gone() {
                return Ok(());
            }
            let _ = kill_process(self.pid(), signal);
            let began = Instant::now();
            while began.elapsed() < STOP_PATIENCE {
                if self.is_gone() {
                    return Ok(());
                }
                thread::sleep(GLANCE);
            }
        }
        Err(EmbeddedError::DidNotStop(STOP_PATIENCE * 2))
    }
}

fn free_port() -> Result<u16, EmbeddedError> {
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr());
    free.map(|address| address.port()).map_err(at("127.0.0.1".as_ref()))
}

/// The line that says why the server gave up.
fn last_complaint(log: &str) -> String {
    let fatal = log.lines().rfind(|line| line.contains("FATAL") || line.contains("PANIC"));
    let line = fatal.or(log.lines().last()).unwrap_or("it said nothing");
    line.rsplit_once("FATAL:").map_or(line, |(_, reason)| reason).trim().to_owned()
}

/// Makes the kernel send the server a fast shutdown when the thread that spawns it ends, whatever ended it: also
/// `kill -9` of this process leaves no server behind. Elsewhere the next start adopts the survivor.
#[cfg(target_os = "linux")]
fn end_with_this_thread(command: &mut Command) {
    let parent = rustix::process::getpid();
    let arm = move || {
        rustix::process::set_parent_process_death_signal(Some(Signal::INT))?;
        // Had the parent died before the line above, no signal would ever come.
        if rustix::process::getppid() == Some(parent) {
            Ok(())
        } else {
            Err(io::Error::from(io::ErrorKind::BrokenPipe))
        }
    };
    // The only unsafe code of the crate. std runs the closure after the change of user, which would clear the setting.
    // SAFETY: between fork and exec only async-signal-safe functions may be called. The closure makes two bare system
    // calls, allocates nothing, takes no lock, and its errors are plain numbers.
    #[allow(unsafe_code)]
    unsafe {
        command.pre_exec(arm);
    }
}

#[cfg(not(target_os = "linux"))]
fn end_with_this_thread(_command: &mut Command) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fatal_line_of_the_log_is_what_people_are_told() {
        let log = "2026-01-01 LOG:  starting\n2026-01-01 UTC [1] FATAL:  data directory has wrong ownership\nHINT: x\n";
        assert_eq!(last_complaint(log), "data directory has wrong ownership");
        assert_eq!(last_complaint(""), "it said nothing");
    }
}
