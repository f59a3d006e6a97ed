//! What the documentation leaves open, and how this server decides it. All of it can be changed while it runs.

use std::time::Duration;

use super::amount::Cents;

/// What comes of an idempotency key that was used for something else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyReuse {
    /// 400.
    Refused,
    /// The answer that was given first, whatever is asked now.
    Replayed,
    /// It counts as another request.
    Processed,
}

/// What an update does with the lines a document has, when those that are sent have no ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinesWithoutIds {
    /// They take the place of all lines.
    Replace,
    /// They are added.
    Add,
}

/// What is taken and what is refused.
#[derive(Debug, Clone)]
pub struct Rules {
    /// For how long an idempotency key is remembered.
    pub key_life: Duration,
    pub key_reuse: KeyReuse,
    pub lines_without_ids: LinesWithoutIds,
    /// Approved documents over nothing; they are paid at once.
    pub takes_zero_totals: bool,
    pub takes_negative_lines: bool,
    /// The number of a voided or deleted document may be used again.
    pub frees_numbers: bool,
    pub removes_reconciled_payments: bool,
    /// Otherwise filters by `where` are refused because of high volume.
    pub takes_where: bool,
    /// Elements in one body.
    pub max_elements: usize,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            key_life: Duration::from_mins(10),
            key_reuse: KeyReuse::Refused,
            lines_without_ids: LinesWithoutIds::Replace,
            takes_zero_totals: true,
            takes_negative_lines: true,
            frees_numbers: false,
            removes_reconciled_payments: false,
            takes_where: true,
            max_elements: 50,
        }
    }
}

/// How a date is written in an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DateStyle {
    /// `/Date(1760000000000+0000)/`
    Microsoft,
    /// `2025-10-09T00:00:00`
    Iso,
}

/// How a call is answered that its token has no scope for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScopeRefusal {
    /// 401, with `AuthorizationUnsuccessful` in `Detail`.
    Unauthorized,
    Forbidden,
}

/// How answers look.
#[derive(Debug, Clone)]
pub struct Manner {
    pub dates: DateStyle,
    pub scope_refusal: ScopeRefusal,
    pub problems: ProblemNames,
    /// Seconds to wait when too much is in progress; none: no `Retry-After` with that.
    pub concurrency_retry_after: Option<u64>,
    /// The total of a document is told as so much more than its lines come to: as if Xero reckoned otherwise.
    pub misstates_totals_by: Cents,
}

impl Default for Manner {
    fn default() -> Self {
        Self {
            dates: DateStyle::Microsoft,
            scope_refusal: ScopeRefusal::Unauthorized,
            problems: ProblemNames::default(),
            concurrency_retry_after: None,
            misstates_totals_by: Cents::ZERO,
        }
    }
}

/// What stands in `X-Rate-Limit-Problem`. Assumed: nobody documents the words.
#[derive(Debug, Clone)]
pub struct ProblemNames {
    pub concurrent: &'static str,
    pub minute: &'static str,
    pub day: &'static str,
    pub app_minute: &'static str,
}

impl Default for ProblemNames {
    fn default() -> Self {
        Self { concurrent: "Concurrent", minute: "Minute", day: "Day", app_minute: "AppMinute" }
    }
}
