//! Installs the PostgreSQL server package through the system's own package manager, when somebody said so.
//!
//! Nothing is downloaded any other way, every command is shown before it runs, and nothing here runs without
//! [`Consent::Given`]. Only the programs are wanted: no cluster is created or started where the package allows that.

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// Whether the person who started us allowed installing packages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consent {
    /// By `--install-postgres` or `INSTALL_POSTGRES=1`.
    Given,
    Withheld,
}

impl Consent {
    /// Reads `INSTALL_POSTGRES`: `1` or `true` is consent, everything else is not.
    pub fn from_environment() -> Self {
        match std::env::var("INSTALL_POSTGRES").as_deref() {
            Ok("1" | "true") => Self::Given,
            _ => Self::Withheld,
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    #[error("no package manager we know is here: install PostgreSQL by hand, or set database.url to a running server")]
    NoPackageManager,
    #[error("installing PostgreSQL needs root and there is no `sudo` that works without asking: run `{0}` by hand")]
    NeedsRoot(String),
    #[error("`{command}` failed ({status}): install PostgreSQL by hand, or set database.url to a running server")]
    Failed { command: String, status: String },
    #[error("`{command}` could not be run")]
    NotRun { command: String, source: io::Error },
}

/// What is known of this machine before choosing.
trait Machine {
    fn is_root(&self) -> bool;
    fn has(&self, program: &str) -> bool;
    /// Whether `sudo` works without asking for a password.
    fn sudo_works(&self) -> bool;
}

/// One command of an installation.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Step {
    words: Vec<String>,
    on_failure: OnFailure,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OnFailure {
    GiveUp,
    /// The step only prepares or tidies; its failure is shown and nothing else.
    GoOn,
}

/// Package managers in the order they are looked for. `brew` comes last: on Linux it stands beside the system's own.
const MANAGERS: [Manager; 7] = [
    Manager { program: "apt-get", steps: apt_get, as_root: true },
    Manager { program: "dnf", steps: dnf, as_root: true },
    Manager { program: "yum", steps: yum, as_root: true },
    Manager { program: "apk", steps: apk, as_root: true },
    Manager { program: "zypper", steps: zypper, as_root: true },
    Manager { program: "pacman", steps: pacman, as_root: true },
    Manager { program: "brew", steps: brew, as_root: false },
];

struct Manager {
    program: &'static str,
    steps: fn() -> Vec<Step>,
    /// `brew` refuses to run as root, the others need it.
    as_root: bool,
}

fn must(line: &str) -> Step {
    Step { words: line.split_whitespace().map(str::to_owned).collect(), on_failure: OnFailure::GiveUp }
}

fn may(line: &str) -> Step {
    Step { on_failure: OnFailure::GoOn, ..must(line) }
}

/// Debian's package creates and starts a cluster named `main` unless told not to; the note that says so is only there
/// during the installation. Source: pg_createcluster(1), createcluster.conf and its `createcluster.d`.
fn apt_get() -> Vec<Step> {
    const FOLDER: &str = "/etc/postgresql-common/createcluster.d";
    let note = format!("mkdir -p {FOLDER} && echo create_main_cluster=false > {FOLDER}/scoffable-sync.conf");
    let write_note =
        Step { words: ["sh", "-c", &note].iter().map(|&word| word.to_owned()).collect(), on_failure: OnFailure::GoOn };
    vec![
        // A stale list of one third-party repository must not stand in the way.
        may("env DEBIAN_FRONTEND=noninteractive apt-get update"),
        write_note,
        must("env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends postgresql"),
        may(&format!("rm -f {FOLDER}/scoffable-sync.conf")),
    ]
}

/// Red Hat 8 and 9 default to a version that is too old; other systems have no such stream, which is no failure.
fn dnf() -> Vec<Step> {
    vec![may("dnf -y module enable postgresql:16"), must("dnf -y install postgresql-server")]
}

fn yum() -> Vec<Step> {
    vec![must("yum -y install postgresql-server")]
}

fn apk() -> Vec<Step> {
    vec![must("apk add --no-cache postgresql")]
}

fn zypper() -> Vec<Step> {
    vec![must("zypper --non-interactive install postgresql-server")]
}

fn pacman() -> Vec<Step> {
    vec![must("pacman -S --noconfirm --needed postgresql")]
}

fn brew() -> Vec<Step> {
    vec![must("brew install postgresql@17")]
}

/// The commands for this machine.
fn plan(machine: &dyn Machine) -> Result<Vec<Step>, InstallError> {
    let usable = |manager: &&Manager| machine.has(manager.program) && (manager.as_root || !machine.is_root());
    let manager = MANAGERS.iter().find(usable).ok_or(InstallError::NoPackageManager)?;
    let mut steps = (manager.steps)();
    if !manager.as_root || machine.is_root() {
        return Ok(steps);
    }
    if !machine.sudo_works() {
        let essential = steps.iter().find(|step| step.on_failure == OnFailure::GiveUp);
        return Err(InstallError::NeedsRoot(essential.map_or_else(String::new, Step::line)));
    }
    for step in &mut steps {
        step.words.splice(0..0, ["sudo".to_owned(), "-n".to_owned()]);
    }
    Ok(steps)
}

/// Installs the server package, showing on `shown` what it runs; the commands' own output goes to standard error.
///
/// Call only with consent. Blocks for as long as the package manager takes.
pub fn install(shown: &mut dyn Write) -> Result<(), InstallError> {
    let steps = plan(&ThisMachine)?;
    let _ = writeln!(shown, "PostgreSQL is missing; installing it as allowed:");
    let mut failure = None;
    for step in &steps {
        // After a failure only the tidying at the end is left to do.
        if failure.is_some() && step.on_failure == OnFailure::GiveUp {
            continue;
        }
        let _ = writeln!(shown, "+ {}", step.line());
        if let (Err(error), OnFailure::GiveUp) = (step.run(), step.on_failure) {
            failure = Some(error);
        }
    }
    failure.map_or(Ok(()), Err)
}

impl Step {
    fn line(&self) -> String {
        let quoted = self.words.iter().map(|w| if w.contains(' ') { format!("'{w}'") } else { w.clone() });
        quoted.collect::<Vec<_>>().join(" ")
    }

    fn run(&self) -> Result<(), InstallError> {
        let mut command = Command::new(&self.words[0]);
        // The commands' results must not mix with ours on standard output.
        command.args(&self.words[1..]).stdin(Stdio::null()).stdout(io::stderr());
        let status = command.status().map_err(|source| InstallError::NotRun { command: self.line(), source })?;
        if status.success() {
            return Ok(());
        }
        Err(InstallError::Failed { command: self.line(), status: status.to_string() })
    }
}

struct ThisMachine;

impl Machine for ThisMachine {
    fn is_root(&self) -> bool {
        rustix::process::geteuid().is_root()
    }

    fn has(&self, program: &str) -> bool {
        let usual =
            ["/usr/bin", "/bin", "/usr/sbin", "/sbin", "/opt/homebrew/bin", "/usr/local/bin"].map(PathBuf::from);
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path).chain(usual).any(|dir: PathBuf| Path::new(&dir).join(program).is_file())
    }

    fn sudo_works(&self) -> bool {
        let mut sudo = Command::new("sudo");
        sudo.args(["-n", "true"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        sudo.status().is_ok_and(|status| status.success())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fake {
        root: bool,
        programs: &'static [&'static str],
        sudo: bool,
    }

    impl Machine for Fake {
        fn is_root(&self) -> bool {
            self.root
        }
        fn has(&self, program: &str) -> bool {
            self.programs.contains(&program)
        }
        fn sudo_works(&self) -> bool {
            self.sudo
        }
    }

    fn lines(machine: &Fake) -> Vec<String> {
        plan(machine).unwrap().iter().map(Step::line).collect()
    }

    #[test]
    fn on_debian_the_lists_are_refreshed_and_no_cluster_is_started() {
        let lines = lines(&Fake { root: true, programs: &["brew", "apt-get"], sudo: false });
        assert_eq!(lines[0], "env DEBIAN_FRONTEND=noninteractive apt-get update");
        assert!(lines[1].contains("create_main_cluster=false"));
        assert!(lines[2].ends_with("apt-get install -y --no-install-recommends postgresql"));
        assert!(lines[3].starts_with("rm -f "));
    }

    #[test]
    fn an_ordinary_user_goes_through_sudo_that_never_asks() {
        let lines = lines(&Fake { root: false, programs: &["apk"], sudo: true });
        assert_eq!(lines, ["sudo -n apk add --no-cache postgresql"]);
    }

    #[test]
    fn without_sudo_the_command_to_run_by_hand_is_named() {
        let refused = plan(&Fake { root: false, programs: &["dnf"], sudo: false }).unwrap_err();
        assert!(matches!(refused, InstallError::NeedsRoot(line) if line == "dnf -y install postgresql-server"));
    }

    #[test]
    fn homebrew_is_never_run_as_root_nor_through_sudo() {
        let as_user = Fake { root: false, programs: &["brew"], sudo: true };
        assert_eq!(lines(&as_user), ["brew install postgresql@17"]);
        let as_root = Fake { root: true, programs: &["brew"], sudo: true };
        assert!(matches!(plan(&as_root), Err(InstallError::NoPackageManager)));
    }

    #[test]
    fn a_machine_without_a_known_package_manager_is_said_so() {
        let bare = Fake { root: true, programs: &["emerge"], sudo: false };
        assert!(matches!(plan(&bare), Err(InstallError::NoPackageManager)));
    }

    #[test]
    fn every_package_manager_has_one_step_that_decides() {
        for manager in &MANAGERS {
            let deciding = (manager.steps)().iter().filter(|s| s.on_failure == OnFailure::GiveUp).count();
            assert_eq!(deciding, 1, "{}", manager.program);
        }
    }
}
