//! Everything that needs Postgres or HTTP, in one binary: one module per behaviour.

mod harness;

mod breaker;
mod delivery;
mod dev_database;
mod embedded_postgres;
mod g10_discreet;
mod g2_no_order_forgotten;
mod g4_in_order;
mod g6_isolation;
mod g8_self_healing;
mod migrations;
mod modes;
mod properties;
mod retry;
mod webhook;
