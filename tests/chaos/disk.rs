//! A file system of its own for the databases of worlds, so small that it can be filled.

use std::{
    fs::File,
    io::{self, ErrorKind, Write},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use anyhow::Context as _;

/// A world takes less than a quarter of it.
const SIZE: &str = "64m";
/// What the server gives back meanwhile is taken within this time.
const TAKEN_WITHIN: Duration = Duration::from_millis(20);

/// Mounted as long as it lives.
#[derive(Debug)]
pub struct SmallDisk {
    at: PathBuf,
}

impl SmallDisk {
    /// In a new folder there, for the user that `like` belongs to.
    pub fn mount(at: PathBuf, like: &Path) -> anyhow::Result<Self> {
        let owner = std::fs::metadata(like)?;
        std::fs::create_dir(&at)?;
        let options = format!("size={SIZE},mode=0700,uid={},gid={}", owner.uid(), owner.gid());
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(&at).output();
        let mounted = mounted.context("`mount` cannot be run")?;
        let said = String::from_utf8_lossy(&mounted.stderr);
        anyhow::ensure!(mounted.status.success(), "{}", said.lines().next().unwrap_or_default());
        Ok(Self { at })
    }

    pub fn path(&self) -> &Path {
        &self.at
    }

    /// Leaves no room on it for so long.
    pub async fn fill(&self, lasts: Duration) -> io::Result<()> {
        // It has no name, so that it goes with its handle.
        let mut ballast = tempfile::tempfile_in(&self.at)?;
        let began = Instant::now();
        while began.elapsed() < lasts {
            take_what_is_left(&mut ballast)?;
            tokio::time::sleep(TAKEN_WITHIN).await;
        }
        Ok(())
    }
}

impl Drop for SmallDisk {
    /// Also while a server that is killed has its files open.
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.at).status();
    }
}

fn take_what_is_left(ballast: &mut File) -> io::Result<()> {
    loop {
        match ballast.write_all(&[0; 16 * 1024]) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::StorageFull => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}
