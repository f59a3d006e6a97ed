//! The private server: starting, starting again, dying, sharing, stopping.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use scoffable_sync::database::{
    Database, DatabaseSource,
    connect::{ConnectError, ConnectOptions, connect},
    embedded::{Durability, EmbeddedOptions, EmbeddedServer, Tenure},
};
use secrecy::{ExposeSecret, SecretString};
use sqlx::PgPool;

use crate::harness::postgres::{empty_database, fresh_database, reachable_tempdir, throw_away};

const PATIENCE: Duration = Duration::from_secs(30);

async fn pool_of(server: &EmbeddedServer) -> PgPool {
    connect(server.url(), &ConnectOptions::default()).await.unwrap()
}

async fn write(pool: &PgPool, number: i32) {
    sqlx::raw_sql("CREATE TABLE IF NOT EXISTS kept (number integer)").execute(pool).await.unwrap();
    sqlx::query("INSERT INTO kept VALUES ($1)").bind(number).execute(pool).await.unwrap();
}

async fn read(pool: &PgPool) -> Result<Vec<i32>, sqlx::Error> {
    sqlx::query_scalar("SELECT number FROM kept ORDER BY number").fetch_all(pool).await
}

/// Waits for a condition in another process, which nothing here can be notified of.
async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    while !holds().await {
        assert!(began.elapsed() < PATIENCE, "still waiting until {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn is_alive(pid: Pid) -> bool {
    let zombie = std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| stat.contains(") Z "));
    test_kill_process(pid).is_ok() && !zombie
}

#[tokio::test]
async fn the_first_start_makes_a_cluster_and_the_second_finds_its_rows() {
    let dir = reachable_tempdir();

    let first = EmbeddedServer::start(throw_away(dir.path())).await.unwrap();
    assert_eq!(first.tenure(), Tenure::Started);
    write(&pool_of(&first).await, 1).await;
    let port = first.port();
    first.stop().await.unwrap();

    let second = EmbeddedServer::start(throw_away(dir.path())).await.unwrap();
    assert_eq!(read(&pool_of(&second).await).await.unwrap(), [1]);
    assert_eq!(second.port(), port, "the port stays the same while it is free");
    second.stop().await.unwrap();
}

#[tokio::test]
async fn the_product_runs_with_everything_that_keeps_an_answered_commit() {
    let dir = reachable_tempdir();
    let server = EmbeddedServer::start(EmbeddedOptions::in_folder(dir.path())).await.unwrap();

    let settings: Vec<String> = sqlx::query_scalar(
        "SELECT name || '=' || setting FROM pg_settings
         WHERE name IN ('fsync', 'full_page_writes', 'synchronous_commit', 'data_checksums', 'max_connections')
         ORDER BY name",
    )
    .fetch_all(&pool_of(&server).await)
    .await
    .unwrap();

    let all_on =
        ["data_checksums=on", "fsync=on", "full_page_writes=on", "max_connections=100", "synchronous_commit=on"];
    assert_eq!(settings, all_on);
    assert_eq!(EmbeddedOptions::in_folder("/x").durability, Durability::Full);
}

#[tokio::test]
async fn a_server_that_is_killed_comes_back_on_its_port_with_every_acknowledged_row() {
    let dir = reachable_tempdir();
    let options = EmbeddedOptions { durability: Durability::Full, ..throw_away(dir.path()) };
    let server = EmbeddedServer::start(options).await.unwrap();
    let pool = pool_of(&server).await;
    write(&pool, 1).await;
    let killed = server.pid().unwrap();

    kill_process(killed, Signal::KILL).unwrap();

    // The orphans of the killed one answer for a moment longer, so its successor is waited for first.
    until("there is another server", async || server.pid() != Some(killed)).await;
    until("the old pool reads again", async || read(&pool).await.is_ok_and(|rows| rows == [1])).await;
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_start_after_a_kill_recovers_every_acknowledged_row() {
    let dir = reachable_tempdir();
    let options = EmbeddedOptions { durability: Durability::Full, ..throw_away(dir.path()) };
    let (mut owner, pid) = start_in_another_process(dir.path());
    let shared = EmbeddedServer::start(options.clone()).await.unwrap();
    write(&pool_of(&shared).await, 1).await;
    drop(shared);

    kill_process(pid, Signal::KILL).unwrap();
    owner.kill().unwrap();
    owner.wait().unwrap();

    let next = EmbeddedServer::start(options).await.unwrap();
    assert_eq!(read(&pool_of(&next).await).await.unwrap(), [1]);
    next.stop().await.unwrap();
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn killing_its_owner_stops_the_server() {
    let dir = reachable_tempdir();
    let (mut owner, server) = start_in_another_process(dir.path());
    assert!(is_alive(server));

    owner.kill().unwrap();
    owner.wait().unwrap();

    until("the server has followed its owner", async || !is_alive(server)).await;
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_server_without_an_owner_is_adopted_and_ends_with_its_new_one() {
    use std::os::unix::{fs::MetadataExt, process::CommandExt};
    let dir = reachable_tempdir();
    let first = EmbeddedServer::start(throw_away(dir.path())).await.unwrap();
    let program = std::fs::read_link(format!("/proc/{}/exe", first.pid().unwrap())).unwrap();
    let port = first.port();
    write(&pool_of(&first).await, 1).await;
    first.stop().await.unwrap();
    let data = dir.path().join("pg");
    let mut command = Command::new(program);
    command.arg("-D").arg(&data).current_dir(&data).stderr(Stdio::null());
    command.args(["-c", &format!("port={port}"), "-c", "unix_socket_directories="]);
    if rustix::process::geteuid().is_root() {
        let owner = std::fs::metadata(&data).unwrap();
        command.uid(owner.uid()).gid(owner.gid());
    }
    let mut orphan = command.spawn().unwrap();
    let up = || std::fs::read_to_string(data.join("postmaster.pid")).is_ok_and(|lock| lock.contains("ready"));
    until("the orphan is up", async || up()).await;

    let adopter = EmbeddedServer::start(throw_away(dir.path())).await.unwrap();

    assert_eq!((adopter.tenure(), adopter.pid()), (Tenure::Adopted, Some(Pid::from_child(&orphan))));
    assert_eq!(read(&pool_of(&adopter).await).await.unwrap(), [1]);
    adopter.stop().await.unwrap();
    assert!(orphan.wait().unwrap().success());
}

#[tokio::test]
async fn an_open_database_brings_its_server_up_and_closing_it_down() {
    let dir = reachable_tempdir();
    let source = DatabaseSource::parse(&format!("embedded:{}", dir.path().display())).unwrap();

    let database = Database::open(&source, throw_away("/unused".as_ref()), &ConnectOptions::default()).await.unwrap();

    let pid = database.server().unwrap().pid().unwrap();
    write(&database.pool, 1).await;
    database.close().await.unwrap();
    assert!(!is_alive(pid));
}

#[tokio::test]
async fn a_second_process_uses_the_running_server_and_leaves_it_running() {
    let dir = reachable_tempdir();
    let owner = EmbeddedServer::start(throw_away(dir.path())).await.unwrap();

    let guest = EmbeddedServer::start(throw_away(dir.path())).await.unwrap();
    assert_eq!(guest.tenure(), Tenure::Shared);
    assert_eq!(guest.pid(), owner.pid());
    guest.stop().await.unwrap();

    write(&pool_of(&owner).await, 1).await;
    owner.stop().await.unwrap();
}

#[tokio::test]
async fn two_first_starts_at_once_make_one_cluster_and_one_server() {
    let dir = reachable_tempdir();

    let (one, two) =
        tokio::join!(EmbeddedServer::start(throw_away(dir.path())), EmbeddedServer::start(throw_away(dir.path())));
    let (one, two) = (one.unwrap(), two.unwrap());

    assert_eq!(one.pid(), two.pid());
    let mut tenures = [one.tenure(), two.tenure()];
    tenures.sort_by_key(|tenure| *tenure == Tenure::Shared);
    assert_eq!(tenures, [Tenure::Started, Tenure::Shared]);
    write(&pool_of(&two).await, 1).await;
    assert_eq!(read(&pool_of(&one).await).await.unwrap(), [1]);
}

#[tokio::test]
async fn a_cluster_left_half_made_is_made_anew() {
    let dir = reachable_tempdir();
    std::fs::create_dir_all(dir.path().join("pg.new/base")).unwrap();
    std::fs::write(dir.path().join("pg.new/PG_VERSION"), "15\n").unwrap();

    let server = EmbeddedServer::start(throw_away(dir.path())).await.unwrap();

    write(&pool_of(&server).await, 1).await;
    assert!(!dir.path().join("pg.new").exists());
    assert!(!dir.path().join("initdb.password").exists());
    server.stop().await.unwrap();
}

#[tokio::test]
async fn stopping_and_dropping_both_end_the_server() {
    let dir = reachable_tempdir();

    let stopped = EmbeddedServer::start(throw_away(dir.path())).await.unwrap();
    let pid = stopped.pid().unwrap();
    let _busy = pool_of(&stopped).await.acquire().await.unwrap();
    stopped.stop().await.unwrap();
    assert!(!is_alive(pid), "open connections do not hold it up");

    let dropped = EmbeddedServer::start(throw_away(dir.path())).await.unwrap();
    let pid = dropped.pid().unwrap();
    drop(dropped);
    assert!(!is_alive(pid));
}

#[tokio::test]
async fn a_folder_path_longer_than_a_socket_name_may_be_is_fine() {
    let dir = reachable_tempdir();
    let server = EmbeddedServer::start(throw_away(&dir.path().join("x".repeat(120)))).await.unwrap();
    write(&pool_of(&server).await, 1).await;
    server.stop().await.unwrap();
}

#[tokio::test]
async fn nothing_that_is_shown_holds_the_password() {
    let dir = reachable_tempdir();
    let server = EmbeddedServer::start(throw_away(dir.path())).await.unwrap();
    let url = server.url().expose_secret();
    let password = url.split([':', '@']).nth(2).unwrap();
    assert!(password.len() >= 32);

    let shown = format!("{server:?} {}", server.psql_line());

    assert!(!shown.contains(password));
    server.stop().await.unwrap();
}

#[tokio::test]
async fn each_test_gets_a_database_of_its_own() {
    let (one, two) = tokio::join!(fresh_database(), fresh_database());
    assert_ne!(one.name, two.name);

    write(&one.pool().await, 1).await;

    assert!(read(&two.pool().await).await.is_err(), "the table is only in the other one");
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_database_fail_at_once() {
    let database = empty_database().await;
    let options = ConnectOptions { connect_timeout: Duration::from_hours(1), ..ConnectOptions::default() };
    let right = database.url.expose_secret();
    let unknown = SecretString::from(right.replace(&database.name, "no_such_database"));

    let error = connect(&unknown, &options).await.unwrap_err();
    assert!(matches!(error, ConnectError::Refused { .. }), "{error:?}");
    assert!(error.to_string().contains("no_such_database"));

    if std::env::var_os("TEST_DATABASE_URL").is_none() {
        let password = right.split([':', '@']).nth(2).unwrap();
        let wrong = SecretString::from(right.replace(password, "hunter2"));
        let error = connect(&wrong, &options).await.unwrap_err();
        assert!(matches!(error, ConnectError::Refused { .. }), "{error:?}");
        assert!(!format!("{error} {error:?}").contains("hunter2"));
    }
}

#[tokio::test]
async fn a_server_that_comes_up_late_is_waited_for() {
    let dir = reachable_tempdir();
    let server = EmbeddedServer::start(throw_away(dir.path())).await.unwrap();
    let url = server.url().clone();
    server.stop().await.unwrap();

    let waiting = tokio::spawn(async move { connect(&url, &ConnectOptions::default()).await });
    let again = EmbeddedServer::start(throw_away(dir.path())).await.unwrap();

    waiting.await.unwrap().unwrap();
    again.stop().await.unwrap();
}

/// Runs [`holds_a_server_until_killed`] as a process of its own; returns it and the server's pid.
fn start_in_another_process(dir: &Path) -> (std::process::Child, Pid) {
    let mut owner = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "embedded_postgres::holds_a_server_until_killed", "--ignored", "--nocapture"])
        .env("TEST_SERVER_DIR", dir)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(owner.stdout.take().unwrap()).lines();
    let pid = lines.map_while(Result::ok).find_map(|line| line.split("server pid ").nth(1)?.trim().parse().ok());
    (owner, Pid::from_raw(pid.expect("the other process started a server")).unwrap())
}

#[tokio::test]
#[ignore = "a part of other tests: waits to be killed"]
async fn holds_a_server_until_killed() {
    let Some(dir) = std::env::var_os("TEST_SERVER_DIR") else { return };
    let options = EmbeddedOptions { durability: Durability::Full, ..throw_away(Path::new(&dir)) };
    let server = EmbeddedServer::start(options).await.unwrap();
    println!("server pid {}", server.pid().unwrap());
    std::future::pending::<()>().await;
}
