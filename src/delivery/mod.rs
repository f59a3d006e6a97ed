//! Leases due deliveries, hands them to sinks, records what came back.
//!
//! One [`dispatcher`] per sink runs the loop; its [`driver`] claims in batches ([`throughput`] says how large, [`next_claim`]
//! when), takes each delivery as far as it goes ([`attempt`], and [`doubt`] where an answer was lost) and records in batches
//! what it came to ([`settle`]). A sink only plans and classifies; [`rules`] say what is owed to any kind of sink, [`decide`]
//! alone chooses what happens next, [`backoff`] how long to wait, [`breaker`] whether a lane is left in peace for a while,
//! [`budget`] how many calls may be made ([`calls`] reserves them in rows that all processes share, before the claim), and
//! where calls are spaced, [`turns`] when each goes out.
//!
//! Needed for correctness: the lease token that every write names, the deadline checked before the first byte, the
//! order of claim → (intent) → send → settle. Only saving work: batches, prefetching, wake-ups, the breaker's counter.
//!
//! Where a sink gathers orders into documents of many, [`summaries`] closes them and tells orders what became of theirs.
//!
//! [`preview`] says what would be done, and does nothing; [`shadow`] what other settings would make of what was done.
//! [`verify`] asks a destination what stands there.
//!
//! What this cannot promise: a process that is stopped between its last deadline check and the write to the socket can
//! still send when it wakes. A step that must not be repeated is therefore written down first and looked up afterwards.

pub mod attempt;
pub mod backoff;
pub mod breaker;
pub mod budget;
pub mod calls;
pub mod decide;
pub mod dispatcher;
pub mod doubt;
pub mod driver;
pub mod next_claim;
pub mod preview;
pub mod reading;
pub mod rules;
pub mod settle;
pub mod shadow;
pub mod slots;
pub mod summaries;
pub mod throughput;
pub mod turns;
pub mod verify;
