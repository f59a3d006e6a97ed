//! The throw-away database lent to a command.

use std::ffi::OsString;

use scoffable_sync::database::{
    dev::{self, DevError},
    install::Consent,
};

fn command(words: &[&str]) -> Vec<OsString> {
    words.iter().map(OsString::from).collect()
}

#[tokio::test]
async fn the_command_finds_the_migrated_database_and_its_exit_code_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("0001_one.sql"), "CREATE TABLE one (id bigint)").unwrap();
    let seen = folder.path().join("url");
    // The program sees a server that answers at the address; more would need a client on every machine.
    let script = format!("printf %s \"$DATABASE_URL\" > '{}'; exit 7", seen.display());

    let code = dev::run(&command(&["sh", "-c", &script]), Consent::from_environment(), folder.path()).await.unwrap();

    assert_eq!(code, 7);
    assert!(std::fs::read_to_string(seen).unwrap().starts_with("postgres://"));
}

#[tokio::test]
async fn a_command_ended_by_a_signal_is_told_as_a_shell_would() {
    let folder = tempfile::tempdir().unwrap();

    let code =
        dev::run(&command(&["sh", "-c", "kill -9 $$"]), Consent::from_environment(), folder.path()).await.unwrap();

    assert_eq!(code, 128 + 9);
}

#[tokio::test]
async fn without_a_command_no_server_is_started() {
    let refused = dev::run(&[], Consent::Withheld, "migrations".as_ref()).await;
    assert!(matches!(refused, Err(DevError::NoCommand)));
}
