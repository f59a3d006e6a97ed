//! PgBouncer before a server, in transaction mode: each transaction of a client may come to another of its connections.
//!
//! The program is that of `$PGBOUNCER`, or the one on the path; where there is none, or one that carries no prepared statements,
//! whoever wants it is told why and goes without.

use std::{
    fs::Permissions,
    net::Ipv4Addr,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use secrecy::{ExposeSecret, SecretString};
use sqlx::{ConnectOptions as _, postgres::PgConnectOptions};
use tokio::net::TcpStream;

const UP_WITHIN: Duration = Duration::from_secs(10);
/// The first that carries prepared statements in transaction mode. Source: PgBouncer's changelog, 1.21.0.
const OLDEST: (u32, u32) = (1, 21);

/// Ends with this.
#[derive(Debug)]
pub struct Pooler {
    port: u16,
    process: std::process::Child,
    _folder: tempfile::TempDir,
}

impl Pooler {
    /// Before the server of this URL, whatever the database, with so many connections to each; it carries so many prepared
    /// statements. Err: there is no such program here.
    pub async fn before(server: &SecretString, connections: u32, statements: u32) -> Result<Self, String> {
        let program = std::env::var("PGBOUNCER").unwrap_or_else(|_| "pgbouncer".to_owned());
        let version = version_of(&program)?;
        if version < OLDEST {
            return Err(format!("{program} is {}.{}, and {}.{} is needed", version.0, version.1, OLDEST.0, OLDEST.1));
        }
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a loopback port is free");
        let port = listener.local_addr().expect("it is bound").port();
        drop(listener);
        let mut builder = tempfile::Builder::new();
        let folder = builder.permissions(Permissions::from_mode(0o711)).tempdir().expect("the temp folder is writable");
        let file = folder.path().join("pgbouncer.ini");
        std::fs::write(&file, settings(server, port, connections, statements)).expect("the folder is ours");
        let mut command = Command::new(&program);
        // It refuses to run as root.
        if rustix::process::geteuid().is_root() {
            command.args(["-u", "nobody"]);
        }
        let process = command.arg(&file).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let mut pooler = Self { port, process: process.map_err(|error| error.to_string())?, _folder: folder };
        pooler.is_up().await;
        Ok(pooler)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// The same database by this way.
    pub fn url(&self, direct: &SecretString) -> SecretString {
        let options: PgConnectOptions = direct.expose_secret().parse().expect("the URL was used already");
        options.host("127.0.0.1").port(self.port()).to_url_lossy().to_string().into()
    }

    async fn is_up(&mut self) {
        let began = Instant::now();
        while TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).await.is_err() {
            let ended = self.process.try_wait().expect("it is ours");
            assert!(ended.is_none() && began.elapsed() < UP_WITHIN, "PgBouncer does not come up: {ended:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn version_of(program: &str) -> Result<(u32, u32), String> {
    let said = Command::new(program).arg("--version").output();
    let said = said.map_err(|error| format!("{} cannot be run: {error}", Path::new(program).display()))?;
    let text = String::from_utf8_lossy(&said.stdout);
    let version = text.strip_prefix("PgBouncer ").and_then(|rest| {
        let mut numbers = rest.split(['.', '\n', ' ']).map(str::parse);
        Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
    });
    version.ok_or_else(|| format!("{program} says no version that is understood"))
}

fn settings(server: &SecretString, port: u16, connections: u32, statements: u32) -> String {
    let options: PgConnectOptions = server.expose_secret().parse().expect("the URL was used already");
    let url = options.to_url_lossy();
    format!(
        "[databases]
         * = host=127.0.0.1 port={} user={} password='{}'
         [pgbouncer]
         listen_addr = 127.0.0.1
         listen_port = {port}
         unix_socket_dir =
         auth_type = any
         pool_mode = transaction
         max_prepared_statements = {statements}
         default_pool_size = {connections}
         max_client_conn = 500
         server_login_retry = 1
         ",
        options.get_port(),
        options.get_username(),
        url.password().unwrap_or_default(),
    )
}
