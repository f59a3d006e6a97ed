//! A database per test, out of one private server per run of the test binary.
//!
//! The server starts with the first test that wants a database and ends with the process, however that ends. Its folder
//! is a numbered slot below the build folder, taken by lock and wiped by the next run that gets it, so nothing piles up
//! and two runs at once do not meet. `INSTALL_POSTGRES=1` lets a missing PostgreSQL be installed;
//! `TEST_DATABASE_URL` names a running server to use instead (its role must be able to create databases).

use std::{
    fs::{File, OpenOptions},
    io::ErrorKind,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use rustix::fs::{FlockOperation, flock};
use scoffable_sync::database::{
    connect::{self, ConnectOptions},
    embedded::{Durability, EmbeddedError, EmbeddedOptions, EmbeddedServer},
    install::Consent,
    migrate,
};
use secrecy::{ExposeSecret, SecretString};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, PgPool, migrate::Migrator, postgres::PgConnectOptions};
use tokio::sync::OnceCell;

/// Every database of ours starts so; on a shared server leftovers are found by it.
const PREFIX: &str = "scoffable_sync_test";
const MAX_FOREIGN_SLOTS: u32 = 10;

/// A migrated database of one test's own.
#[derive(Debug, Clone)]
pub struct TestDatabase {
    pub url: SecretString,
    pub name: String,
}

impl TestDatabase {
    pub async fn pool(&self) -> PgPool {
        connect::connect(&self.url, &ConnectOptions::default()).await.expect("a database just made can be reached")
    }
}

/// A migrated database nobody else uses.
pub async fn fresh_database() -> TestDatabase {
    let server = server().await;
    let name = unused_name();
    server.create(&name, Some(&server.template)).await;
    TestDatabase { url: server.url_of(&name), name }
}

/// A database with nothing in it.
pub async fn empty_database() -> TestDatabase {
    let server = server().await;
    let name = unused_name();
    server.create(&name, None).await;
    TestDatabase { url: server.url_of(&name), name }
}

/// Options of a throw-away private server, for tests of the server itself.
pub fn throw_away(dir: &Path) -> EmbeddedOptions {
    EmbeddedOptions {
        consent: Consent::from_environment(),
        max_connections: 300,
        durability: Durability::TestsMayLoseData,
        ..EmbeddedOptions::in_folder(dir)
    }
}

/// A folder that the server's user can reach also when root runs the tests out of a closed home.
pub fn reachable_tempdir() -> tempfile::TempDir {
    use std::{fs::Permissions, os::unix::fs::PermissionsExt};
    let mut builder = tempfile::Builder::new();
    builder.prefix(PREFIX).permissions(Permissions::from_mode(0o711)).tempdir().expect("the temp folder is writable")
}

/// The schema every test starts with.
fn migrator() -> Migrator {
    sqlx::migrate!()
}

struct Server {
    maintenance: SecretString,
    template: String,
    // Both live until the process ends; the kernel then frees the slot and stops the server.
    _embedded: Option<EmbeddedServer>,
    _slot: Option<File>,
}

async fn server() -> &'static Server {
    static SERVER: OnceCell<Server> = OnceCell::const_new();
    SERVER.get_or_init(Server::start).await
}

fn unused_name() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("{PREFIX}_{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

impl Server {
    async fn start() -> Self {
        let template = format!("{PREFIX}_{}_template", std::process::id());
        let server = if let Ok(url) = std::env::var("TEST_DATABASE_URL") {
            let server = Self { maintenance: url.into(), template, _embedded: None, _slot: None };
            server.drop_leftovers().await;
            server
        } else {
            let (embedded, slot) = start_embedded().await;
            Self { maintenance: embedded.url().clone(), template, _embedded: Some(embedded), _slot: Some(slot) }
        };
        server.create(&server.template, None).await;
        let pool = connect::connect(&server.url_of(&server.template), &ConnectOptions::default()).await;
        let pool = pool.expect("the template can be reached");
        migrate::migrate(&pool, &migrator()).await.expect("the migrations apply to an empty database");
        // A template can only be copied while nobody is connected to it.
        pool.close().await;
        server
    }

    fn url_of(&self, database: &str) -> SecretString {
        use sqlx::ConnectOptions as _;
        let options: PgConnectOptions = self.maintenance.expose_secret().parse().expect("the URL was used already");
        options.database(database).to_url_lossy().to_string().into()
    }

    async fn connect(&self) -> PgConnection {
        PgConnection::connect(self.maintenance.expose_secret()).await.expect("the test server answers")
    }

    async fn create(&self, name: &str, template: Option<&str>) {
        let mut connection = self.connect().await;
        let source = template.unwrap_or("template0");
        let sql = format!("CREATE DATABASE {name} TEMPLATE {source}");
        connection.execute(AssertSqlSafe(sql)).await.expect("the test role may create databases");
        connection.close().await.expect("the test server answers");
    }

    /// Databases of earlier runs, which could not remove them when they were killed.
    async fn drop_leftovers(&self) {
        let mut connection = self.connect().await;
        let unused = "SELECT datname::text FROM pg_database d WHERE datname LIKE $1 || '%'
            AND NOT EXISTS (SELECT FROM pg_stat_activity a WHERE a.datname = d.datname)";
        let names: Vec<String> =
            sqlx::query_scalar(unused).bind(PREFIX).fetch_all(&mut connection).await.expect("the test server answers");
        for name in names {
            // Another run may be faster, or just have started to use it.
            let _ = connection.execute(AssertSqlSafe(format!("DROP DATABASE IF EXISTS {name}"))).await;
        }
    }
}

async fn start_embedded() -> (EmbeddedServer, File) {
    let below_build_folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    match start_in(&below_build_folder).await {
        // Root's checkout in a closed home: the server's user cannot get there.
        Err(EmbeddedError::FolderClosed(_)) => {
            let shared = std::env::temp_dir().join(format!("{PREFIX}s"));
            start_in(&shared).await.unwrap_or_else(|error| panic!("no database for the tests: {error}"))
        }
        started => started.unwrap_or_else(|error| panic!("no database for the tests: {error}")),
    }
}

async fn start_in(parent: &Path) -> Result<(EmbeddedServer, File), EmbeddedError> {
    let io = |source| EmbeddedError::Io { path: parent.to_owned(), source };
    std::fs::create_dir_all(parent).map_err(io)?;
    for number in 0.. {
        let slot = parent.join(format!("postgres-{number}"));
        let lock = OpenOptions::new().create(true).truncate(false).write(true).open(slot.with_extension("lock"));
        let lock = match lock {
            // A slot of another user, out of the time somebody ran the tests as root.
            Err(e) if e.kind() == ErrorKind::PermissionDenied && number < MAX_FOREIGN_SLOTS => continue,
            lock => lock.map_err(io)?,
        };
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok() {
            wipe(&slot).await.map_err(io)?;
            return Ok((EmbeddedServer::start(throw_away(&slot)).await?, lock));
        }
    }
    unreachable!("one of endless slots is free")
}

/// Removes a slot's folder. A server whose run was killed a moment ago may still be writing its last files into it.
async fn wipe(slot: &Path) -> std::io::Result<()> {
    let began = Instant::now();
    loop {
        match std::fs::remove_dir_all(slot) {
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
            Err(e) if began.elapsed() > Duration::from_secs(10) => return Err(e),
            _ => tokio::task::yield_now().await,
        }
    }
}
