//! Everything that needs Postgres or HTTP, in one binary: one module per behaviour.

mod harness;

mod embedded_postgres;
mod migrations;
