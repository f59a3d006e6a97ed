//! Tells people what `alerts` holds: by e-mail and by a POST, and an outside watch that we are well.
//!
//! What is to be told is written down first ([`store::alert_messages`](crate::store::alert_messages)); [`courier`] then brings
//! each message to every channel at least once, with the message's id as key, whatever is unreachable meanwhile. Any number
//! of processes may do so on one database. [`message`] puts it into words (pure); nothing personal is in them. Raises no
//! alert itself.

pub mod courier;
pub mod email;
pub mod hook;
pub mod message;

use crate::store::alert_messages::Failed;

/// Why a message did not get to a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undelivered {
    pub failed: Failed,
    /// A fixed word, or one with a status: `connect`, `timeout`, `status_500`.
    pub code: String,
}

impl Undelivered {
    /// The channel cannot be used now.
    fn channel(code: impl Into<String>) -> Self {
        Self { failed: Failed::Channel, code: code.into() }
    }

    /// This message was refused.
    fn message(code: impl Into<String>) -> Self {
        Self { failed: Failed::Message, code: code.into() }
    }
}
