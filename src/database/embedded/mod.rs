//! A private PostgreSQL server run from the programs already on this machine.
//!
//! Responsible for one folder: making a cluster in it, running one server over it, and giving out its URL. It is a whole
//! PostgreSQL with `fsync` on, reached through the same pool as any other; it only saves setting one up. It does not
//! migrate, and fetches programs only through [`install`](super::install) and only with consent.
//!
//! Invariants:
//! - one server per folder: whoever starts it holds the folder's lock for as long as it runs, others use that server;
//! - the server ends with us, however we end: by [`stop`](EmbeddedServer::stop) or drop, and on Linux also by `kill -9`,
//!   through the parent-death signal. Where a server does outlive its owner, the next start takes it over;
//! - a server that dies is started again on the same port, so that pools heal by themselves;
//! - as root the server runs as `postgres` or `nobody`, and never sees our environment.
//!
//! [`binaries`] finds the programs, [`account`] the user to run as, [`cluster`] knows the folder, [`keeper`] the process.

mod account;
mod binaries;
mod cluster;
mod keeper;

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicI32, atomic::Ordering, mpsc},
    thread::JoinHandle,
    time::Duration,
};

use rustix::process::Pid;
use secrecy::SecretString;

use super::install::{Consent, InstallError};
use cluster::Cluster;

pub use binaries::OLDEST_MAJOR;

/// The role that owns everything in the private cluster.
const SUPERUSER: &str = "sync";
/// `initdb` makes it; ours is the only user of the cluster, so it needs no other.
const DATABASE: &str = "postgres";

/// What survives a power cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Every commit that was answered.
    Full,
    /// Nothing: no `fsync`. A test suite's databases live for seconds, and this makes them several times faster.
    TestsMayLoseData,
}

#[derive(Debug, Clone)]
pub struct EmbeddedOptions {
    /// Holds the cluster and all that belongs to it; made when missing.
    pub dir: PathBuf,
    /// Folder of `postgres` and `initdb`; searched for when `None`.
    pub binaries: Option<PathBuf>,
    /// Whether a missing PostgreSQL may be installed by the system's package manager.
    pub consent: Consent,
    pub max_connections: u16,
    pub durability: Durability,
}

impl EmbeddedOptions {
    /// The product's settings: 100 connections, durable, nothing installed.
    pub fn in_folder(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            binaries: None,
            consent: Consent::Withheld,
            max_connections: 100,
            durability: Durability::Full,
        }
    }
}

/// Why there is no private server. Each says in one line what to do.
#[derive(Debug, thiserror::Error)]
pub enum EmbeddedError {
    #[error(
        "no PostgreSQL on this machine: `apt-get install postgresql`, or let it be installed with --install-postgres \
         (INSTALL_POSTGRES=1), or set database.url to a running server"
    )]
    NotInstalled,
    #[error("{} holds no PostgreSQL server (`postgres` and `initdb`)", .0.display())]
    NoBinaries(PathBuf),
    #[error(
        "PostgreSQL {installed} is too old: install {OLDEST_MAJOR} or newer, or set database.url to a running server"
    )]
    TooOld { installed: u32 },
    #[error(
        "the data folder is of PostgreSQL {cluster}, but {installed} is installed: install version {cluster} beside it, \
         or choose another folder"
    )]
    OtherMajor { cluster: u32, installed: u32 },
    #[error(transparent)]
    Install(#[from] InstallError),
    #[error(
        "{} is closed to the user the database server runs as: `chmod o+x` it, or choose another folder as in \
         \"embedded:/var/lib/scoffable-sync\"", .0.display()
    )]
    FolderClosed(PathBuf),
    #[error(
        "root may not become another user here (CAP_SETUID and CAP_SETGID are missing), and PostgreSQL does not run as \
         root: run as an ordinary user, or set database.url to a running server"
    )]
    CannotSwitchUser,
    #[error(
        "user id {0} has no line in /etc/passwd, which `initdb` needs: add one, or set database.url to a running server"
    )]
    NoAccount(u32),
    #[error("the database cluster could not be made: {0}")]
    Initdb(String),
    #[error("{} is missing, and the cluster's password with it: restore it, or choose another folder", .0.display())]
    PasswordLost(PathBuf),
    #[error("the database server did not start: {said} (more in {})", .log.display())]
    DidNotStart { said: String, log: PathBuf },
    #[error("another process has held {} for {} s without a database server coming up", .dir.display(), .waited.as_secs())]
    Busy { dir: PathBuf, waited: Duration },
    #[error("the database server did not stop within {} s", .0.as_secs())]
    DidNotStop(Duration),
    #[error("{} could not be used", .path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("the thread that keeps the database server ended early")]
    KeeperGone,
}

/// How this process came to its server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tenure {
    /// Started by us; ends with us.
    Started,
    /// Found running without an owner; ours now, ends with us.
    Adopted,
    /// Another live process runs it; we only use it.
    Shared,
}

/// A running private server. Dropping it stops the server, if it is ours.
#[derive(Debug)]
pub struct EmbeddedServer {
    url: SecretString,
    password: SecretString,
    cluster: Cluster,
    port: u16,
    major: u32,
    tenure: Tenure,
    pid: Arc<AtomicI32>,
    keeper: Option<Keeper>,
}

#[derive(Debug)]
struct Keeper {
    stop: mpsc::Sender<()>,
    thread: JoinHandle<Result<(), EmbeddedError>>,
}

impl EmbeddedServer {
    /// Starts the server of `options.dir`, making its cluster first if there is none, or joins the one that runs there.
    ///
    /// Ready on return. Takes 0.5–2 s the first time and below 0.2 s afterwards.
    pub async fn start(options: EmbeddedOptions) -> Result<Self, EmbeddedError> {
        let (ready, started) = tokio::sync::oneshot::channel();
        let (stop, stopped) = mpsc::channel();
        // A thread of its own, alive as long as the server: the parent-death signal is tied to the thread that made the
        // child, and a worker of the async runtime may end before the process does.
        let thread = std::thread::Builder::new()
            .name("postgres-keeper".to_owned())
            .spawn(move || keeper::keep(&options, ready, &stopped))
            .map_err(|source| EmbeddedError::Io { path: PathBuf::from("a thread"), source })?;
        let up = started.await.map_err(|_| EmbeddedError::KeeperGone)??;

        let server = Self {
            url: Cluster::url(up.port, &up.password, DATABASE),
            password: up.password,
            cluster: up.cluster,
            port: up.port,
            major: up.major,
            tenure: up.tenure,
            pid: up.pid,
            keeper: Some(Keeper { stop, thread }),
        };
        tracing::info!(
            database.dir = %server.dir().display(), database.port = server.port, database.version = server.major,
            tenure = ?server.tenure, "embedded database ready"
        );
        Ok(server)
    }

    pub fn url(&self) -> &SecretString {
        &self.url
    }

    /// The URL of another database of this server.
    pub fn url_of(&self, database: &str) -> SecretString {
        Cluster::url(self.port, &self.password, database)
    }

    pub fn dir(&self) -> &Path {
        &self.cluster.dir
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Major version of the server.
    pub fn version(&self) -> u32 {
        self.major
    }

    pub fn tenure(&self) -> Tenure {
        self.tenure
    }

    /// The server's main process now; another one after it died and was started again.
    pub fn pid(&self) -> Option<Pid> {
        Pid::from_raw(self.pid.load(Ordering::Relaxed))
    }

    /// The line that opens this database for a person. It names the file with the password, not the password.
    pub fn psql_line(&self) -> String {
        self.psql_line_of(DATABASE)
    }

    /// The same for another database of this server.
    pub fn psql_line_of(&self, database: &str) -> String {
        let pgpass = self.cluster.pgpass();
        format!("PGPASSFILE={} psql -h 127.0.0.1 -p {} -U {SUPERUSER} {database}", pgpass.display(), self.port)
    }

    /// Disconnects everybody, writes everything out and waits for the server's end; a shared server is left alone.
    pub async fn stop(mut self) -> Result<(), EmbeddedError> {
        let Some(keeper) = self.keeper.take() else { return Ok(()) };
        let ended = tokio::task::spawn_blocking(move || keeper.end()).await;
        ended.map_err(|_| EmbeddedError::KeeperGone)?
    }
}

impl Keeper {
    fn end(self) -> Result<(), EmbeddedError> {
        drop(self.stop);
        self.thread.join().map_err(|_| EmbeddedError::KeeperGone)?
    }
}

impl Drop for EmbeddedServer {
    fn drop(&mut self) {
        if let Some(keeper) = self.keeper.take()
            && let Err(error) = keeper.end()
        {
            tracing::warn!(error = %error, "embedded database not stopped");
        }
    }
}
