//! `man`: a manual page for each command, made of its definition.

use std::{
    fs,
    io::{self, Write},
    path::PathBuf,
};

use clap::Args;

use super::FINE;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  scoffable-sync man --out man1 && man -l man1/scoffable-sync-run.1")]
pub struct ManArgs {
    /// Folder for the pages; made where it is missing
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

/// Writes `scoffable-sync.1` and a page for each subcommand that is not hidden.
pub fn run(command: clap::Command, args: &ManArgs, out: &mut impl Write) -> io::Result<u8> {
    fs::create_dir_all(&args.out)?;
    clap_mangen::generate_to(command, &args.out)?;
    writeln!(out, "manual pages in {}", args.out.display())?;
    Ok(FINE)
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, process};

    use clap::CommandFactory as _;

    use super::*;
    use crate::cli::Cli;

    fn pages() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let args = ManArgs { out: folder.path().join("man1") };
        run(Cli::command(), &args, &mut io::sink()).unwrap();
        folder
    }

    fn expected(name: &str, command: &clap::Command, pages: &mut BTreeSet<String>) {
        pages.insert(format!("{name}.1"));
        for inner in command.get_subcommands().filter(|inner| !inner.is_hide_set()) {
            expected(&format!("{name}-{}", inner.get_name()), inner, pages);
        }
    }

    #[test]
    fn every_command_that_people_see_has_a_page_and_no_other() {
        let folder = pages();
        let entries = fs::read_dir(folder.path().join("man1")).unwrap();
        let written: BTreeSet<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();

        let mut wanted = BTreeSet::new();
        expected("scoffable-sync", &Cli::command(), &mut wanted);

        assert!(
            wanted.contains("scoffable-sync-deliveries-retry.1") && !wanted.contains("scoffable-sync-dev-database.1")
        );
        assert_eq!(written, wanted);
    }

    #[test]
    fn the_pages_render_without_a_warning() {
        let folder = pages();
        for page in fs::read_dir(folder.path().join("man1")).unwrap() {
            let page = page.unwrap().path();
            let render = ["--warnings", "--encoding=UTF-8", "--local-file"];
            let rendered = process::Command::new("man").args(render).arg(&page).env("MANWIDTH", "80").output();
            let Ok(rendered) = rendered else {
                println!("there is no `man` here: the pages were not rendered");
                return;
            };
            let said = String::from_utf8_lossy(&rendered.stderr);
            assert!(rendered.status.success() && said.is_empty(), "{}: {said}", page.display());
            let text = String::from_utf8_lossy(&rendered.stdout);
            assert!(text.contains("SYNOPSIS"), "{}: {text}", page.display());
        }
    }
}
