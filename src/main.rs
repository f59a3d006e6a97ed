//! The `scoffable-sync` binary: hands over to the library.

fn main() -> std::process::ExitCode {
    scoffable_sync::cli::main()
}
