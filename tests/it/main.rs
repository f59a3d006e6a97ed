//! Everything that needs Postgres or HTTP, in one binary: one module per behaviour.

mod harness;

mod command_line;
mod delivery;
mod dev_database;
mod embedded_postgres;
mod end_to_end;
mod migrations;
mod process;
