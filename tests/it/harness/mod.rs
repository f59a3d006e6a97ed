//! What the tests stand on.

pub mod app;
pub mod letterbox;
pub mod log;
pub mod mail;
pub mod openapi;
pub mod pooler;
pub mod pos;
pub mod postgres;
pub mod process;
#[allow(dead_code, reason = "the proof uses what is not used here")]
pub mod proxy;
pub mod puppet;
pub mod recorder;
pub mod stream;
pub mod stub;
