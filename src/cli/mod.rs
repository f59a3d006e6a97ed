//! The command line, a file for each subcommand.

pub mod config;
pub mod doctor;
pub mod order;
pub mod status;
mod table;
