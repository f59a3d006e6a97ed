//! Everything that needs Postgres or HTTP, in one binary: one module per behaviour.

mod harness;

mod breaker;
mod checklist_limits;
mod checklist_paging;
mod checklist_privacy;
mod checklist_status;
mod checklist_transport;
mod checklist_versions;
mod command_line;
mod conformance;
mod delivery;
mod dev_database;
mod embedded_postgres;
mod end_to_end;
mod g10_discreet;
mod g1_no_version_lost;
mod g2_no_order_forgotten;
mod g3_no_effect_twice;
mod g4_in_order;
mod g5_to_the_penny;
mod g6_isolation;
mod g7_explainable;
mod g8_self_healing;
mod g9_replicas;
mod ingest;
mod migrations;
mod modes;
mod operate;
mod ops;
mod plan;
mod process;
mod properties;
mod retry;
mod till;
mod webhook;
