//! What is shipped beside the program: the systemd unit, the Debian package's files, the Compose file. They name each other, and
//! keys of the configuration, and must go on doing so.

use std::{collections::BTreeMap, fs, path::Path, process::Command};

use scoffable_sync::config::{self, Env, LoadOptions};
use serde_json::Value;
use tempfile::TempDir;

const UNIT: &str = include_str!("../../config/scoffable-sync.service");
const COMPOSE: &str = include_str!("../../config/compose.yaml");
const MANIFEST: &str = include_str!("../../Cargo.toml");

/// Highest exposure of the unit that `systemd-analyze security` may find, in tenths. What is left of it is the network, which
/// the service is for.
const EXPOSURE: &str = "--threshold=15";

/// The first that judges a unit without a running manager.
const FIRST_SYSTEMD: u32 = 250;

/// The value of the only line of the unit that begins so.
#[track_caller]
fn of_unit(key: &str) -> &'static str {
    let mut values = UNIT.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    let value = values.next().unwrap_or_else(|| panic!("the unit has no {key}"));
    assert_eq!(values.next(), None, "{key}");
    value
}

/// Whether this machine has the tool, new enough.
fn can_analyze() -> bool {
    let version = Command::new("systemd-analyze").arg("--version").output().ok();
    let version = version.and_then(|told| String::from_utf8(told.stdout).ok());
    let number = version.and_then(|told| told.split_whitespace().nth(1)?.parse::<u32>().ok());
    number.is_some_and(|number| number >= FIRST_SYSTEMD)
}

#[test]
fn the_unit_is_right_and_little_exposed() {
    if !can_analyze() {
        println!("there is no systemd-analyze of version {FIRST_SYSTEMD} or newer here: the unit was not verified");
        return;
    }
    let folder = TempDir::new().unwrap();
    let unit = folder.path().join("scoffable-sync.service");
    let program = concat!("ExecStart=", env!("CARGO_BIN_EXE_scoffable-sync"), " run ");
    let built = UNIT.replace("ExecStart=scoffable-sync run ", program);
    assert_ne!(built, UNIT, "the unit starts the program by its name");
    fs::write(&unit, built).unwrap();

    let verified = Command::new("systemd-analyze").arg("verify").arg(&unit).output().unwrap();
    let judged =
        Command::new("systemd-analyze").args(["security", "--offline=true", EXPOSURE]).arg(&unit).output().unwrap();

    // Other units of this machine are read too; what is wrong with them is not ours.
    let said = String::from_utf8_lossy(&verified.stderr);
    assert!(verified.status.success() && !said.contains("scoffable-sync"), "{said}");
    let said = String::from_utf8_lossy(&judged.stdout);
    assert!(judged.status.success() && said.contains("exposure level"), "{said}");
}

#[test]
fn the_package_brings_what_the_unit_needs() {
    let manifest: toml::Table = MANIFEST.parse().unwrap();
    let deb = &manifest["package"]["metadata"]["deb"];
    let assets: Vec<[&str; 3]> = deb["assets"].as_array().unwrap().iter().map(words).collect();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let shipped_as = |target: &str| {
        let [source, _, mode] = assets.iter().find(|[_, to, _]| *to == target).unwrap_or_else(|| panic!("{target}"));
        (fs::read_to_string(root.join(source)).unwrap(), *mode)
    };

    for [source, ..] in &assets {
        assert!(source.starts_with("target/") || root.join(source).is_file(), "{source} is not there");
    }
    let user = of_unit("User");
    let (users, _) = shipped_as("usr/lib/sysusers.d/scoffable-sync.conf");
    assert!(users.lines().any(|line| line.starts_with(&format!("u {user} "))), "{users}");
    let file = of_unit("ExecStart").rsplit_once(" --config ").unwrap().1;
    let (_, mode) = shipped_as(file.trim_start_matches('/'));
    let (modes, _) = shipped_as("usr/lib/tmpfiles.d/scoffable-sync.conf");
    assert_eq!(mode, "640", "the configuration may hold secrets");
    assert!(modes.lines().any(|line| line == format!("z {file} 0640 root {user}")), "{modes}");
    assert_eq!(deb["systemd-units"]["enable"].as_bool(), Some(false), "it has no configuration yet");
}

fn words(asset: &toml::Value) -> [&str; 3] {
    let words: Vec<&str> = asset.as_array().unwrap().iter().map(|word| word.as_str().unwrap()).collect();
    words.try_into().unwrap()
}

#[test]
fn the_packages_changelog_begins_with_this_version() {
    let changelog = include_str!("../../config/debian/changelog");

    let first = concat!("scoffable-sync (", env!("CARGO_PKG_VERSION"), "-1) ");
    assert!(changelog.starts_with(first), "{}", changelog.lines().next().unwrap());
}

fn compose() -> Value {
    serde_saphyr::from_str(COMPOSE).expect("the Compose file is YAML")
}

fn texts(list: &Value) -> impl Iterator<Item = &str> {
    list.as_array().into_iter().flatten().map(|entry| entry.as_str().unwrap())
}

/// With a file for each secret, and something for what a person gives at the start.
fn variables_of_daemon(compose: &Value, folder: &Path) -> BTreeMap<String, String> {
    let given = compose["services"]["daemon"]["environment"].as_object().unwrap();
    let value = |value: &Value| match value.as_str().unwrap() {
        text if text.starts_with("${") => "https://example.org/orders".to_owned(),
        text => text.replace("/run/secrets", folder.to_str().unwrap()),
    };
    given.iter().map(|(name, text)| (name.clone(), value(text))).collect()
}

#[test]
fn the_compose_file_is_a_configuration_without_mistakes() {
    let folder = TempDir::new().unwrap();
    let compose = compose();
    for secret in texts(&compose["services"]["daemon"]["secrets"]) {
        let text = match secret {
            "database-url" => "postgres://sync:a-password@postgres/sync",
            "hook" => "whsec_aHVudGVyMmh1bnRlcjJodW50ZXIyaHVudGVyMmh1bnRlcjI=",
            _ => "a-token-that-is-long-enough-for-admins",
        };
        fs::write(folder.path().join(secret), text).unwrap();
    }
    let variables = variables_of_daemon(&compose, folder.path());
    let load = |variables: &BTreeMap<String, String>| {
        let env: Env = variables.clone().into_iter().collect();
        config::check(&LoadOptions { env, ..LoadOptions::default() }).unwrap()
    };

    let report = load(&variables);

    assert!(report.found.is_empty() && report.found.warnings.is_empty(), "{report}");
    let settings = report.settings.unwrap();
    assert_eq!((settings.sources.len(), settings.sinks.len()), (1, 1));
    let port = settings.http.listen.unwrap().port();
    let published: Vec<&str> = texts(&compose["services"]["daemon"]["ports"]).collect();
    assert_eq!(published, [format!("127.0.0.1:{port}:{port}")]);
    // A variable that nothing knows would be told.
    let mut misspelt = variables.clone();
    misspelt.insert("SCOFFABLE_SYNC__LOG__FORMATT".to_owned(), "json".to_owned());
    assert_eq!(load(&misspelt).found.problems[0].key, "log.formatt");
    assert!(variables.keys().all(|name| name.starts_with("SCOFFABLE_SYNC__")));
}

#[test]
fn the_compose_file_publishes_nothing_beyond_this_machine_and_watches_all() {
    let compose = compose();
    let secrets = compose["secrets"].as_object().unwrap();

    for (name, service) in compose["services"].as_object().unwrap() {
        assert!(texts(&service["ports"]).all(|port| port.starts_with("127.0.0.1:")), "{name}");
        assert!(service["healthcheck"]["test"].is_array(), "{name}");
        assert!(texts(&service["secrets"]).all(|secret| secrets.contains_key(secret)), "{name}");
        for (variable, value) in service["environment"].as_object().unwrap() {
            let value = value.as_str().unwrap();
            if let Some(secret) = value.strip_prefix("/run/secrets/") {
                assert!(texts(&service["secrets"]).any(|given| given == secret), "{variable}: {secret}");
            }
            let holds_secret = ["PASSWORD", "TOKEN", "SECRET"].iter().any(|word| variable.contains(word));
            assert!(
                !holds_secret || variable.ends_with("_FILE"),
                "{variable} is seen by whoever inspects the container"
            );
        }
    }
    assert_eq!(compose["services"]["daemon"]["depends_on"]["postgres"]["condition"], "service_healthy");
}
