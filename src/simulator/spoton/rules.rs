//! What the documentation leaves open, and how this server decides it. All of it can be changed while it runs.

/// How a value of an enumeration is spelt, where a prefix is known for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EnumStyle {
    /// `ORDER_STATE_CLOSED`
    Prefixed,
    /// `CLOSED`
    Short,
}

/// Whether an order stands in an object of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Envelope {
    /// `{…}`
    Bare,
    /// `{"order": {…}}`
    Wrapped,
}

/// What comes of cancelling what is cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RepeatedCancel {
    Succeeds,
    /// With this status.
    Fails(u16),
}

/// What is taken and what is refused.
#[derive(Debug, Clone)]
pub struct Rules {
    /// None: both are read.
    pub enum_style: Option<EnumStyle>,
    pub request_envelope: Envelope,
    /// Lines without an id or with one that is not on the menu, and modifiers with such an id.
    pub takes_unknown_items: bool,
    /// A reference that is used already: a second order, and a second ticket in the kitchen. Otherwise 409.
    pub takes_repeated_references: bool,
    /// A customer with fewer than all four of first name, last name, email and phone.
    pub takes_partial_customers: bool,
    pub takes_several_payments: bool,
    /// A payment of nothing.
    pub takes_zero_payments: bool,
    pub repeated_cancel: RepeatedCancel,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            enum_style: None,
            request_envelope: Envelope::Bare,
            takes_unknown_items: false,
            takes_repeated_references: true,
            takes_partial_customers: true,
            takes_several_payments: false,
            takes_zero_payments: false,
            repeated_cancel: RepeatedCancel::Fails(409),
        }
    }
}

/// How whole numbers are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Numbers {
    Plain,
    /// `"2839"`, as gateways write 64-bit numbers.
    AsText,
}

/// What answers tell of the limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RateHeaders {
    /// All three, and right.
    Told,
    Missing,
    Garbage,
}

/// How it answers.
#[derive(Debug, Clone)]
pub struct Manner {
    pub enum_style: EnumStyle,
    pub envelope: Envelope,
    pub numbers: Numbers,
    /// Zeros and empty texts are not written. Otherwise a time there is none of is written `0001-01-01T00:00:00Z`.
    pub leaves_out_defaults: bool,
    pub rate_headers: RateHeaders,
    /// A sales report bears `external_reference_id`; the one report anybody saw does not.
    pub reports_reference: bool,
    /// A sales report bears `state`; the one report anybody saw does not, and then only voided payments tell.
    pub reports_state: bool,
}

impl Default for Manner {
    fn default() -> Self {
        Self {
            enum_style: EnumStyle::Prefixed,
            envelope: Envelope::Wrapped,
            numbers: Numbers::Plain,
            leaves_out_defaults: false,
            rate_headers: RateHeaders::Told,
            reports_reference: true,
            reports_state: true,
        }
    }
}

/// How the answer to one submit differs from the usual. The order is stored in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Twist {
    /// Stands for "no twist here" in a script.
    Plainly,
    Bare,
    Wrapped,
    NumbersAsText,
    WithoutId,
    EmptyId,
    /// So many cents more than were sent.
    AnotherTotal(i64),
    /// The merchant cancels it on the POS before it is answered; the answer does not say so.
    CancelledByMerchant,
}
