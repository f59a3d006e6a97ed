//! Finds the PostgreSQL server programs on this machine. Downloads nothing.
//!
//! Order: the folder named in the settings, then the folders packages use, then `PATH` with links resolved (`initdb`
//! looks for its data files beside itself). Of these the newest wins; an existing cluster takes only its own major
//! version, since a server reads no other.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    process::Command,
};

use super::EmbeddedError;

/// Oldest major version we use: older ones lack `lz4` columns and are out of support.
pub const OLDEST_MAJOR: u32 = 14;

/// A folder holding `postgres` and `initdb` of one major version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Binaries {
    pub dir: PathBuf,
    pub major: u32,
}

/// Folders packages put the programs in: (parent, start of the sub-folder's name, rest).
const PACKAGE_FOLDERS: [(&str, &str, &str); 10] = [
    ("/usr/lib/postgresql", "", "bin"),         // Debian, Ubuntu
    ("/usr", "pgsql-", "bin"),                  // PGDG on Red Hat
    ("/usr/libexec", "postgresql", ""),         // Alpine
    ("/usr/lib", "postgresql", "bin"),          // openSUSE
    ("/usr/lib64", "pgsql", "bin"),             // Gentoo, others
    ("/usr/lib64", "postgresql-", "bin"),       // Gentoo slots
    ("/opt/homebrew/opt", "postgresql", "bin"), // Homebrew on Apple silicon
    ("/usr/local/opt", "postgresql", "bin"),    // Homebrew on Intel
    ("/home/linuxbrew/.linuxbrew/opt", "postgresql", "bin"),
    ("/Applications/Postgres.app/Contents/Versions", "", "bin"),
];

/// The programs to use for a cluster of major version `cluster`, or for a new one.
pub(super) fn find(setting: Option<&Path>, cluster: Option<u32>) -> Result<Binaries, EmbeddedError> {
    if let Some(dir) = setting {
        let named = inspect(dir).ok_or_else(|| EmbeddedError::NoBinaries(dir.to_owned()))?;
        return choose(vec![named], cluster);
    }
    let found = candidates(std::env::var_os("PATH").as_deref()).iter().filter_map(|dir| inspect(dir)).collect();
    choose(found, cluster)
}

fn choose(mut found: Vec<Binaries>, cluster: Option<u32>) -> Result<Binaries, EmbeddedError> {
    // Stable: of equal versions the package folder stays before PATH.
    found.sort_by_key(|b| std::cmp::Reverse(b.major));
    let newest = found.first().map(|b| b.major);
    let fits = |b: &Binaries| match cluster {
        Some(major) => b.major == major,
        None => b.major >= OLDEST_MAJOR,
    };
    match (found.into_iter().find(fits), newest, cluster) {
        (Some(binaries), _, _) => Ok(binaries),
        (None, Some(installed), Some(cluster)) => Err(EmbeddedError::OtherMajor { cluster, installed }),
        (None, Some(installed), None) => Err(EmbeddedError::TooOld { installed }),
        (None, None, _) => Err(EmbeddedError::NotInstalled),
    }
}

/// Every folder worth a look, in order of preference, each once.
fn candidates(path: Option<&OsStr>) -> Vec<PathBuf> {
    let mut dirs: Vec<PathBuf> = vec![];
    let mut add = |dir: PathBuf| {
        if !dirs.contains(&dir) {
            dirs.push(dir);
        }
    };
    for (parent, start, rest) in PACKAGE_FOLDERS {
        for entry in std::fs::read_dir(parent).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().starts_with(start) {
                add(entry.path().join(rest));
            }
        }
    }
    for dir in path.map(std::env::split_paths).into_iter().flatten() {
        if let Ok(initdb) = dir.join("initdb").canonicalize() {
            initdb.parent().map(Path::to_owned).into_iter().for_each(&mut add);
        }
    }
    dirs
}

fn inspect(dir: &Path) -> Option<Binaries> {
    let complete = ["postgres", "initdb"].iter().all(|name| dir.join(name).is_file());
    if !complete {
        return None;
    }
    let output = Command::new(dir.join("postgres")).arg("--version").output().ok()?;
    let major = major_version(&String::from_utf8_lossy(&output.stdout))?;
    Some(Binaries { dir: dir.to_owned(), major })
}

/// `postgres (PostgreSQL) 17.2 (Debian 17.2-1)`, `postgres (PostgreSQL) 18beta1` → 17, 18.
fn major_version(line: &str) -> Option<u32> {
    let word = line.split_whitespace().find(|word| word.starts_with(|c: char| c.is_ascii_digit()))?;
    let digits = word.find(|c: char| !c.is_ascii_digit()).unwrap_or(word.len());
    word[..digits].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(majors: &[u32]) -> Vec<Binaries> {
        majors.iter().map(|&major| Binaries { dir: format!("/pg/{major}").into(), major }).collect()
    }

    #[test]
    fn a_new_cluster_takes_the_newest_version() {
        assert_eq!(choose(found(&[15, 17, 16]), None).unwrap().major, 17);
    }

    #[test]
    fn an_existing_cluster_takes_only_its_own_major_version() {
        assert_eq!(choose(found(&[15, 17]), Some(15)).unwrap().major, 15);
        let refused = choose(found(&[17, 16]), Some(15)).unwrap_err();
        assert!(matches!(refused, EmbeddedError::OtherMajor { cluster: 15, installed: 17 }));
    }

    #[test]
    fn a_version_out_of_support_is_not_used_for_a_new_cluster() {
        assert!(matches!(choose(found(&[13, 9]), None), Err(EmbeddedError::TooOld { installed: 13 })));
        assert!(matches!(choose(vec![], None), Err(EmbeddedError::NotInstalled)));
    }

    #[test]
    fn the_major_version_is_read_from_what_the_server_says_of_itself() {
        assert_eq!(major_version("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)"), Some(15));
        assert_eq!(major_version("postgres (PostgreSQL) 18beta1"), Some(18));
        assert_eq!(major_version("no digits"), None);
    }

    #[test]
    fn links_in_path_are_followed_to_the_real_folder() {
        let root = tempfile::tempdir().unwrap();
        let (real, linked) = (root.path().join("real"), root.path().join("linked"));
        for dir in [&real, &linked] {
            std::fs::create_dir(dir).unwrap();
        }
        std::fs::write(real.join("initdb"), "").unwrap();
        std::os::unix::fs::symlink(real.join("initdb"), linked.join("initdb")).unwrap();

        let dirs = candidates(Some(linked.as_os_str()));
        assert!(dirs.contains(&real.canonicalize().unwrap()));
        assert!(!dirs.contains(&linked));
    }
}
