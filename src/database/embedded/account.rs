//! Who the server runs as: ourselves, or an ordinary user when we are root, whom PostgreSQL refuses to run as.

use std::{
    io,
    os::unix::{
        fs::{MetadataExt, chown},
        process::CommandExt,
    },
    path::Path,
    process::{Command, Stdio},
};

use super::EmbeddedError;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Account {
    /// The user we are; nothing to switch.
    Ours,
    /// Another user, whom only root can become.
    Other { uid: u32, gid: u32 },
}

impl Account {
    /// The account for the data folder `data`: its owner if there is a cluster, else `postgres`, else `nobody`.
    ///
    /// The owner first, because PostgreSQL refuses a data folder of somebody else, and a package installed in between
    /// may have brought a `postgres` user that was not there when the cluster was made.
    pub fn choose(data: &Path) -> Self {
        if !rustix::process::geteuid().is_root() {
            return Self::Ours;
        }
        let owner = std::fs::metadata(data).ok().filter(|m| m.uid() != 0).map(|m| (m.uid(), m.gid()));
        // Directory services are not asked: both users are local ones wherever a package made them.
        let listed = || {
            let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
            ["postgres", "nobody"].iter().find_map(|name| in_passwd(&passwd, name))
        };
        let (uid, gid) = owner.or_else(listed).unwrap_or((65534, 65534));
        Self::Other { uid, gid }
    }

    /// Hands a folder or file to this account. Nothing to do when it is us.
    pub fn give(&self, path: &Path) -> io::Result<()> {
        match self {
            Self::Ours => Ok(()),
            Self::Other { uid, gid } => chown(path, Some(*uid), Some(*gid)),
        }
    }

    /// A command that runs as this account, with none of our environment: it holds secrets, and a process's environment
    /// can be read by every process of the same user.
    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.env_clear().env("LC_ALL", "C").stdin(Stdio::null());
        for kept in ["PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH"] {
            if let Some(value) = std::env::var_os(kept) {
                command.env(kept, value);
            }
        }
        if let Self::Other { uid, gid } = self {
            // Setting a uid as root also clears the supplementary groups, so root's do not leak into the server.
            command.uid(*uid).gid(*gid);
        }
        command
    }

    /// Proves, by doing it, that this account can run `program` and enter `folder`.
    pub fn try_out(&self, program: &Path, folder: &Path) -> Result<(), EmbeddedError> {
        let attempt =
            |cwd: &Path| self.command(program).arg("--version").current_dir(cwd).stdout(Stdio::null()).status();
        let closed = |path: &Path| EmbeddedError::FolderClosed(self.first_closed(path).to_owned());
        match attempt(Path::new("/")) {
            Ok(_) => {}
            Err(e) if e.raw_os_error() == Some(rustix::io::Errno::PERM.raw_os_error()) => {
                return Err(EmbeddedError::CannotSwitchUser);
            }
            Err(e) if e.kind() == io::ErrorKind::PermissionDenied => return Err(closed(program)),
            Err(source) => return Err(EmbeddedError::Io { path: program.to_owned(), source }),
        }
        match attempt(folder) {
            Ok(_) => Ok(()),
            Err(e) if e.kind() == io::ErrorKind::PermissionDenied => Err(closed(folder)),
            Err(source) => Err(EmbeddedError::Io { path: folder.to_owned(), source }),
        }
    }

    /// The outermost folder on the way to `path` whose mode keeps this account out; `path` itself if the mode does not
    /// tell. Only for the message: whether it is closed was found by trying.
    fn first_closed<'a>(&self, path: &'a Path) -> &'a Path {
        let Self::Other { uid, .. } = self else { return path };
        let shut =
            |p: &&Path| std::fs::metadata(p).is_ok_and(|m| m.is_dir() && m.uid() != *uid && m.mode() & 0o001 == 0);
        path.ancestors().filter(shut).last().unwrap_or(path)
    }
}

fn in_passwd(passwd: &str, name: &str) -> Option<(u32, u32)> {
    let line = passwd.lines().find(|line| line.split(':').next() == Some(name))?;
    let mut fields = line.split(':').skip(2);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_found_in_passwd_by_its_whole_name() {
        let passwd = "root:x:0:0::/root:/bin/sh\npostgres2:x:7:7::/:/bin/sh\npostgres:x:103:110:,,,:/var:/bin/bash\n";
        assert_eq!(in_passwd(passwd, "postgres"), Some((103, 110)));
        assert_eq!(in_passwd(passwd, "nobody"), None);
    }

    #[test]
    fn the_servers_environment_holds_nothing_of_ours_but_the_search_paths() {
        let command = Account::Ours.command(Path::new("/bin/true"));
        let names: Vec<_> = command.get_envs().map(|(name, _)| name.to_string_lossy().into_owned()).collect();
        assert!(names.iter().all(|name| ["PATH", "LC_ALL", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH"].contains(&&**name)));
    }
}
