//! What the documentation leaves open, and how this shop decides it. All of it can be changed while it runs.

/// What comes of a new sale whose id is taken, in the dated dialect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reposted {
    /// 409.
    Refused,
    /// It changes the sale, as in the legacy dialect.
    Updates,
    /// It is another sale, under an id of the server's: the worst that can be.
    Doubles,
}

/// How amounts of a sale may be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MoneyStyle {
    Either,
    Texts,
    Numbers,
}

/// What an update in the dated dialect does with lines and payments when their list is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeftOut {
    /// They are deleted, as in the legacy dialect.
    Deleted,
    Kept,
}

/// What is taken and what is refused.
#[derive(Debug, Clone)]
pub struct Rules {
    pub takes_negative_prices: bool,
    pub takes_negative_totals: bool,
    pub takes_zero_totals: bool,
    pub reposted: Reposted,
    /// A closed sale whose payments are short of its total.
    pub closes_short: bool,
    /// One whose payments are above it.
    pub closes_over: bool,
    /// A sale at a register that is not open.
    pub takes_closed_registers: bool,
    /// A closed sale may be voided after the opening it belongs to.
    pub voids_after_closing: bool,
    pub money: MoneyStyle,
    /// How many places of a price and a tax are kept: 0 to 5.
    pub places: u32,
    pub unique_invoice_numbers: bool,
    pub unique_skus: bool,
    /// From 2026-07 on: a return voids other parked ones of its sale when it is started and when it is closed, and may not
    /// be closed with products that the sale does not have.
    pub return_rules: bool,
    /// More of a product may be returned than was sold.
    pub takes_over_returns: bool,
    /// A return changes its sale: another version, another time.
    pub returns_touch: bool,
    pub left_out: LeftOut,
    /// From 2026-07 on.
    pub strict_postcodes: bool,
    /// Whether a product that is made without a count has its stock tracked.
    pub tracks_new_products: bool,
    /// More records than that are on no page, whatever is asked.
    pub max_page_size: usize,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            takes_negative_prices: true,
            takes_negative_totals: true,
            takes_zero_totals: true,
            reposted: Reposted::Refused,
            closes_short: false,
            closes_over: false,
            takes_closed_registers: true,
            voids_after_closing: true,
            money: MoneyStyle::Either,
            places: super::amount::PLACES,
            unique_invoice_numbers: true,
            unique_skus: true,
            return_rules: true,
            takes_over_returns: false,
            returns_touch: true,
            left_out: LeftOut::Deleted,
            strict_postcodes: true,
            tracks_new_products: true,
            max_page_size: 200,
        }
    }
}

/// What a created or changed sale is answered with in the dated dialect. It is documented once like this, once like that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriteAnswer {
    Whole,
    Id,
}

/// In what form a return is answered that was started in the dated dialect: as its schema, or as its example.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReturnAnswer {
    Dated,
    Semantic,
}

/// What an error looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorShape {
    /// `{"error": title, "message": detail}`
    Envelope,
    /// `{"error": {"code": status, "message": detail}}`
    Nested,
}

/// How it is told when to come back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryAfter {
    HttpDate,
    Seconds,
    Missing,
    Garbage,
}

/// How answers look.
#[derive(Debug, Clone)]
pub struct Manner {
    pub write_answer: WriteAnswer,
    pub return_answer: ReturnAnswer,
    pub errors: ErrorShape,
    pub retry_after: RetryAfter,
}

impl Default for Manner {
    fn default() -> Self {
        Self {
            write_answer: WriteAnswer::Whole,
            return_answer: ReturnAnswer::Dated,
            errors: ErrorShape::Envelope,
            retry_after: RetryAfter::HttpDate,
        }
    }
}
