//! Bodies and answers as the till's contract has them. Amounts are minor units.

use serde::{Deserialize, Serialize};

/// Opens a ticket, or replaces what one says.
#[derive(Debug, Serialize, Deserialize)]
pub struct Sale {
    pub reference: String,
    pub order: String,
    pub version: i64,
    /// They add up to the total.
    pub lines: Vec<Line>,
    pub total_minor: i64,
    pub currency: String,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Line {
    pub name: String,
    /// May be negative.
    pub minor: i64,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Payment {
    pub reference: String,
    /// Negative: a refund.
    pub minor: i64,
    pub currency: String,
}

/// Body of a void.
#[derive(Debug, Serialize)]
pub struct Void<'a> {
    pub reference: &'a str,
}

#[derive(Debug, Deserialize)]
pub struct Opened {
    pub ticket: String,
}

#[derive(Debug, Deserialize)]
pub struct Refused {
    pub error: String,
}

/// Code of a refusal because the ticket is void.
pub const ALREADY_VOID: &str = "already_void";

#[derive(Debug, Deserialize)]
pub struct Tickets {
    pub tickets: Vec<Ticket>,
}

#[derive(Debug, Deserialize)]
pub struct Ticket {
    pub ticket: String,
    pub order: String,
    pub state: TicketState,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TicketState {
    Open,
    Void,
}

#[derive(Debug, Deserialize)]
pub struct Payments {
    pub payments: Vec<Payment>,
}
