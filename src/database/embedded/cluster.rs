//! The data folder of the private server: its layout, its making, and what `postmaster.pid` says about who uses it.
//!
//! ```text
//! dir/ lock          held by the process that runs the server, for as long as it does
//!      pg/           the cluster; exists only once `initdb` has finished (made as `pg.new`, then renamed)
//!      pgpass        the password, in the form `psql` reads
//!      port          the port used last, taken again if free, so that other programs find the server
//!      postgres.log  of this start; `postgres.log.old` of the one before
//! ```

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use rustix::{
    fs::{FlockOperation, flock},
    process::Pid,
};
use secrecy::{ExposeSecret, SecretString};

use super::{Durability, EmbeddedError, SUPERUSER, account::Account, binaries::Binaries};

/// How long a killed server may stay a zombie before its lock is taken away.
const ZOMBIE_PATIENCE: Duration = Duration::from_secs(1);

#[derive(Debug, Clone)]
pub(super) struct Cluster {
    pub dir: PathBuf,
}

/// What `postmaster.pid` and the process table say together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Occupant {
    /// No server; a stale lock that PostgreSQL clears by itself may be there.
    Nobody,
    /// A server that takes connections on `port`.
    Ready { pid: Pid, port: u16 },
    /// A server on its way up or down.
    Passing,
    /// A dead server nobody has waited for. PostgreSQL takes it for a live one and would refuse to start.
    Zombie,
    /// The pid now belongs to a process that has nothing to do with this folder.
    Stranger,
}

impl Cluster {
    /// Makes the outer folder if need be. Only the server's own folder below it is closed to others: when we are root the
    /// server is another user, who must be able to pass through.
    pub fn at(dir: &Path) -> Result<Self, EmbeddedError> {
        let mode = if rustix::process::geteuid().is_root() { 0o711 } else { 0o700 };
        let make = || {
            if !dir.exists() {
                fs::DirBuilder::new().recursive(true).mode(mode).create(dir)?;
                // Again, for a strict umask takes from what was asked for.
                fs::set_permissions(dir, fs::Permissions::from_mode(mode))?;
            }
            dir.canonicalize()
        };
        Ok(Self { dir: make().map_err(at(dir))? })
    }

    pub fn data(&self) -> PathBuf {
        self.dir.join("pg")
    }

    pub fn log(&self) -> PathBuf {
        self.dir.join("postgres.log")
    }

    pub fn pgpass(&self) -> PathBuf {
        self.dir.join("pgpass")
    }

    /// Takes the folder for this process; `None` while another holds it. Freed when the file is dropped, or by the
    /// kernel when we die. A child does not inherit it.
    pub fn try_own(&self) -> Result<Option<fs::File>, EmbeddedError> {
        let path = self.dir.join("lock");
        let file =
            OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path).map_err(at(&path))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(file)),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(e) => Err(at(&path)(e.into())),
        }
    }

    /// Major version of the cluster; `None` when there is none yet.
    pub fn major(&self) -> Result<Option<u32>, EmbeddedError> {
        let path = self.data().join("PG_VERSION");
        match fs::read_to_string(&path) {
            Ok(text) => match text.trim().parse() {
                Ok(major) => Ok(Some(major)),
                Err(e) => Err(at(&path)(io::Error::new(io::ErrorKind::InvalidData, e))),
            },
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(at(&path)(e)),
        }
    }

    /// Makes the cluster. Call only while owning the folder.
    ///
    /// `initdb` works in `pg.new`; the rename makes it the cluster in one step, so what an interrupted attempt leaves is
    /// never taken for one.
    pub fn initialise(
        &self,
        binaries: &Binaries,
        account: &Account,
        durability: Durability,
    ) -> Result<(), EmbeddedError> {
        let (staging, secret) = (self.dir.join("pg.new"), self.dir.join("initdb.password"));
        remove(&staging)?;
        fs::DirBuilder::new().mode(0o700).create(&staging).map_err(at(&staging))?;
        account.give(&staging).map_err(at(&staging))?;
        account.try_out(&binaries.dir.join("postgres"), &staging)?;

        // Two v4 UUIDs: 244 random bits from the system.
        let password = format!("{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple());
        write_private(&self.pgpass(), &format!("127.0.0.1:*:*:{SUPERUSER}:{password}\n"))
            .map_err(at(&self.pgpass()))?;
        write_private(&secret, &password).map_err(at(&secret))?;
        account.give(&secret).map_err(at(&secret))?;

        let run = |locale: &str| {
            let mut initdb = account.command(&binaries.dir.join("initdb"));
            initdb
                .args(["--username", SUPERUSER, "--encoding", "UTF8", "--locale", locale])
                .args(["--auth", "scram-sha-256", "--no-instructions", "--data-checksums"])
                .arg("--pwfile")
                .arg(&secret)
                .arg("--pgdata")
                .arg(&staging)
                .current_dir(&staging);
            if durability == Durability::TestsMayLoseData {
                initdb.arg("--no-sync");
            }
            initdb.output().map_err(at(&binaries.dir.join("initdb")))
        };
        let mut output = run("C.UTF-8")?;
        if !output.status.success() && String::from_utf8_lossy(&output.stderr).contains("invalid locale name") {
            output = run("C")?;
        }
        fs::remove_file(&secret).map_err(at(&secret))?;
        if !output.status.success() {
            return Err(initdb_error(&String::from_utf8_lossy(&output.stderr)));
        }

        fs::rename(&staging, self.data()).map_err(at(&self.data()))?;
        fs::File::open(&self.dir).and_then(|dir| dir.sync_all()).map_err(at(&self.dir))
    }

    pub fn password(&self) -> Result<SecretString, EmbeddedError> {
        let path = self.pgpass();
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Err(EmbeddedError::PasswordLost(path)),
            Err(e) => return Err(at(&path)(e)),
        };
        let password = text.lines().next().and_then(|line| line.rsplit(':').next()).filter(|p| !p.is_empty());
        password.map(SecretString::from).ok_or(EmbeddedError::PasswordLost(path))
    }

    /// `postgres://…` of one database of this server.
    pub fn url(port: u16, password: &SecretString, database: &str) -> SecretString {
        format!("postgres://{SUPERUSER}:{}@127.0.0.1:{port}/{database}", password.expose_secret()).into()
    }

    /// The port used last, while nobody else has it.
    pub fn remembered_port(&self) -> Option<u16> {
        let port = fs::read_to_string(self.dir.join("port")).ok()?.trim().parse().ok()?;
        TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok().then_some(port)
    }

    /// Losing this only costs the next start its usual port.
    pub fn remember_port(&self, port: u16) {
        let _ = fs::write(self.dir.join("port"), format!("{port}\n"));
    }

    pub fn occupant(&self) -> Occupant {
        let Some(lock) = fs::read_to_string(self.pid_file()).ok().as_deref().and_then(PidFile::parse) else {
            return Occupant::Nobody;
        };
        match process::state(lock.pid) {
            process::State::Gone => return Occupant::Nobody,
            process::State::Zombie => return Occupant::Zombie,
            process::State::Alive => {}
        }
        if process::works_elsewhere(lock.pid, &self.data()) {
            return Occupant::Stranger;
        }
        match lock.port {
            Some(port) if lock.ready && answers(port) => Occupant::Ready { pid: lock.pid, port },
            _ => Occupant::Passing,
        }
    }

    /// Removes a lock PostgreSQL would wrongly respect. Call only while owning the folder.
    ///
    /// A killed server stays a zombie until pid 1 waits for it, which in many containers never happens; it serves nobody.
    /// Its orphaned backends still guard themselves: a new server finds their shared memory in use and refuses.
    pub fn clear_dead_lock(&self) {
        let started = std::time::Instant::now();
        while self.occupant() == Occupant::Zombie && started.elapsed() < ZOMBIE_PATIENCE {
            thread::sleep(Duration::from_millis(20));
        }
        if matches!(self.occupant(), Occupant::Zombie | Occupant::Stranger) {
            tracing::info!(path = %self.pid_file().display(), "lock of a dead database server removed");
            let _ = fs::remove_file(self.pid_file());
        }
    }

    fn pid_file(&self) -> PathBuf {
        self.data().join("postmaster.pid")
    }
}

/// Lines of `postmaster.pid`: pid, data folder, start time, port, socket folder, address, shared memory, status.
/// Source: PostgreSQL, src/include/utils/pidfile.h; the same in 10 to 18.
#[derive(Debug, PartialEq, Eq)]
struct PidFile {
    pid: Pid,
    port: Option<u16>,
    ready: bool,
}

impl PidFile {
    fn parse(text: &str) -> Option<Self> {
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        Some(Self {
            pid: Pid::from_raw(lines.first()?.parse().ok()?)?,
            port: lines.get(3).and_then(|line| line.parse().ok()),
            ready: lines.get(7) == Some(&"ready"),
        })
    }
}

fn answers(port: u16) -> bool {
    TcpStream::connect_timeout(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)), Duration::from_secs(1)).is_ok()
}

/// What became of a process that need not be our child.
pub(super) mod process {
    use std::path::Path;

    use rustix::process::{Pid, test_kill_process};

    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum State {
        Alive,
        Zombie,
        Gone,
    }

    pub fn state(pid: Pid) -> State {
        if matches!(test_kill_process(pid), Err(rustix::io::Errno::SRCH)) {
            return State::Gone;
        }
        // The state follows the name, which is in brackets and may itself hold brackets. Other systems have no such
        // file; there a zombie counts as alive.
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        match stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next()) {
            Some('Z' | 'X') => State::Zombie,
            _ => State::Alive,
        }
    }

    /// True only with proof: a server works in its data folder, and this process works in another.
    pub fn works_elsewhere(pid: Pid, data: &Path) -> bool {
        let Ok(data) = data.canonicalize() else { return false };
        std::fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd != data)
    }
}

fn initdb_error(stderr: &str) -> EmbeddedError {
    if stderr.contains("could not look up effective user ID") {
        return EmbeddedError::NoAccount(rustix::process::geteuid().as_raw());
    }
    let line = stderr.lines().find(|line| line.contains("error:") || line.contains("FATAL")).or(stderr.lines().last());
    EmbeddedError::Initdb(line.unwrap_or("it said nothing").trim().to_owned())
}

/// Writes a file nobody else can read, private from its first moment; replaces an older one in one step.
fn write_private(path: &Path, text: &str) -> io::Result<()> {
    let staging = path.with_extension("new");
    let _ = fs::remove_file(&staging);
    let mut file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(&staging)?;
    // Against an umask that takes from the owner.
    file.set_permissions(fs::Permissions::from_mode(0o600))?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(staging, path)
}

fn remove(folder: &Path) -> Result<(), EmbeddedError> {
    match fs::remove_dir_all(folder) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(at(folder)(e)),
        _ => Ok(()),
    }
}

pub(super) fn at(path: &Path) -> impl FnOnce(io::Error) -> EmbeddedError {
    let path = path.to_owned();
    move |source| EmbeddedError::Io { path, source }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn cluster_with_lock(pid: u32, data_of_lock: &str) -> (tempfile::TempDir, Cluster) {
        let root = tempfile::tempdir().unwrap();
        let cluster = Cluster::at(root.path()).unwrap();
        fs::create_dir(cluster.data()).unwrap();
        let lock = format!("{pid}\n{data_of_lock}\n1700000000\n1\n\n127.0.0.1\n  1 2\nready   \n");
        fs::write(cluster.pid_file(), lock).unwrap();
        (root, cluster)
    }

    #[test]
    fn a_servers_lock_file_is_read_with_its_padding() {
        let text = "123\n/d\n1700000000\n5433\n\n127.0.0.1\n  5  6\nready   \n";
        let parsed = PidFile::parse(text).unwrap();
        assert_eq!((parsed.pid.as_raw_nonzero().get(), parsed.port, parsed.ready), (123, Some(5433), true));
    }

    #[test]
    fn a_lock_file_still_being_written_is_not_a_ready_server() {
        assert!(!PidFile::parse("123\n/d\n17\n").unwrap().ready);
        assert!(!PidFile::parse("123\n/d\n1\n5433\n\n127.0.0.1\n5 6\nstarting\n").unwrap().ready);
        assert_eq!(PidFile::parse(""), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_lock_of_a_zombie_is_removed() {
        let mut child = Command::new("true").spawn().unwrap();
        let (_root, cluster) = cluster_with_lock(child.id(), "/d");
        let pid = Pid::from_raw(child.id() as i32).unwrap();
        while process::state(pid) != process::State::Zombie {
            thread::yield_now();
        }

        cluster.clear_dead_lock();

        assert!(!cluster.pid_file().exists());
        child.wait().unwrap();
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_lock_whose_number_now_belongs_to_another_program_is_removed() {
        let (_root, cluster) = cluster_with_lock(std::process::id(), "/d");
        assert_eq!(cluster.occupant(), Occupant::Stranger);

        cluster.clear_dead_lock();

        assert!(!cluster.pid_file().exists());
    }

    #[test]
    fn the_folder_belongs_to_one_owner_at_a_time() {
        let root = tempfile::tempdir().unwrap();
        let cluster = Cluster::at(root.path()).unwrap();

        let first = cluster.try_own().unwrap();
        assert!(first.is_some());
        assert!(cluster.try_own().unwrap().is_none());

        drop(first);
        assert!(cluster.try_own().unwrap().is_some());
    }

    #[test]
    fn the_password_file_is_private_and_read_back() {
        let root = tempfile::tempdir().unwrap();
        let cluster = Cluster::at(root.path()).unwrap();
        assert!(matches!(cluster.password(), Err(EmbeddedError::PasswordLost(_))));

        write_private(&cluster.pgpass(), "127.0.0.1:*:*:sync:abc\n").unwrap();

        assert_eq!(cluster.password().unwrap().expose_secret(), "abc");
        assert_eq!(fs::metadata(cluster.pgpass()).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_user_without_a_passwd_line_is_told_so() {
        let said = "initdb: error: could not look up effective user ID 12345: user does not exist\n";
        assert!(matches!(initdb_error(said), EmbeddedError::NoAccount(_)));
        assert!(matches!(initdb_error("creating\ninitdb: error: no space\nhint\n"),
            EmbeddedError::Initdb(line) if line == "initdb: error: no space"));
    }
}
