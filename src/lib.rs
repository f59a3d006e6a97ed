//! `scoffable-sync` keeps other systems in step with Scoffable orders: once, in order, to the penny, whatever fails on
//! the way.
//!
//! # The life of an order
//!
//! ```text
//!  Scoffable ──page──▶ poller ──one statement──▶ order_versions + orders + deliveries + cursor
//!                                                           │
//!                   sinks ◀──HTTP── send ◀── plan ◀── claim ◀┘
//!                     │
//!                     └──outcome──▶ decide ──▶ settle (deliveries, attempts)
//! ```
//!
//! A [poller](ingest::poller) reads the stream of order *versions* page by page. Every version that was read is stored
//! in the same statement as the cursor behind it, together with what is now owed: one *delivery* per (sink, order),
//! "bring this order to this sink, up to `wanted_version`". A newer version only raises that number, which is how stale
//! versions are passed over, order is kept and corrections stay few.
//!
//! A [dispatcher](delivery::dispatcher) per sink leases due deliveries, asks the [sink](sinks) for a plan (pure), sends
//! at most one step of it, and settles what came back. A sink only classifies; [`delivery::decide`] alone chooses what
//! happens next. Whatever a delivery comes to stands in SQL with a state, a reason and what to do about it.
//!
//! A sink may post many orders as one document ([`delivery::summaries`]): the document is closed in the database first, and then
//! is a delivery like any other, for which its orders wait.
//!
//! Postgres is the engine: leases, fences, breakers and budgets are rows, never session state, so any number of
//! processes may share one database, also through a pooler. Nothing in memory is needed after a `kill -9`.
//!
//! # Where everything lives, in reading order
//!
//! | Module | What it does | What it must never know |
//! | --- | --- | --- |
//! | [`domain`] | orders, money, versions; states of a delivery | I/O, clocks, SQL |
//! | [`delivery`] | claims, plans, sends, decides, settles | which sinks there are |
//! | [`store`] | everything that talks to Postgres: one file per table | HTTP, decisions |
//! | [`sinks`] | one folder per destination: plan and client; the webhook is the simplest | retries, the database, each other |
//! | [`catalogue`] | keeps a copy of each destination's products and customers fresh, and looks whether what was linked and posted still stands | which sinks there are, orders |
//! | [`ingest`] | pages into versions, owed deliveries and the cursor | sinks |
//! | [`source`] | HTTP bytes into domain orders | sinks, storage, schedules |
//! | [`config`] | read → validate → build; `config/default.toml` is the manual | |
//! | [`database`] | connect, migrate, the private server of `url = "embedded"` | orders |
//! | [`operate`] | what a person may ask for, by command and over HTTP: requests, answers, consent | who called |
//! | [`ops`] | health, metrics, status and the page over HTTP | how anything is decided |
//! | [`watch`] | raises on a timer what no single event tells, and ends it | how people are told |
//! | [`alerts`] | tells people what stands in `alerts`, by e-mail and by a POST | what raises them |
//! | [`app`] | wiring, and nothing else | |
//! | [`lifecycle`], [`clock`], [`telemetry`], [`http`] | stopping, time, logs, metrics and traces, the HTTP client all share | |
//! | [`boundary`] | names for the moments at which a process may die; nothing in a release | |
//! | [`cli`] | a file per subcommand | |
//! | [`simulator`] | strict stand-ins for the foreign systems, and the ledger that judges us | our clients' types |
//!
//! The tests begin at `tests/it/delivery.rs`; each promise has a module named after it. `tests/it/protocol.rs` looks at every
//! state that leases and deliveries can come to.

pub mod alerts;
pub mod app;
pub mod boundary;
pub mod catalogue;
pub mod cli;
pub mod clock;
pub mod config;
pub mod database;
pub mod delivery;
pub mod domain;
pub mod http;
pub mod ingest;
pub mod lifecycle;
pub mod operate;
pub mod ops;
pub mod simulator;
pub mod sinks;
pub mod source;
pub mod store;
pub mod telemetry;
pub mod watch;
