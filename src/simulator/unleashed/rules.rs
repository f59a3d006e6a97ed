//! What the documentation leaves open, and how this server decides it. All of it can be changed while it runs; unless told
//! otherwise it is what is harder on a client.

/// Which form of the query a signature is made over. Observed: public clients disagree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignedQuery {
    /// With its escapes, byte for byte.
    AsSent,
    Decoded,
}

impl SignedQuery {
    pub(super) const ALL: [Self; 2] = [Self::AsSent, Self::Decoded];
}

/// What comes of a second `POST` to the GUID of a sales order that stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecondPost {
    /// 409.
    Refused,
    /// Answered with what stands; nothing is changed.
    Answered,
    /// Treated as an update.
    Overwrites,
}

/// Which members the body of a sales order or a credit note must have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequiredFields {
    /// Those a careful client sends. Source: the tables of fields in the sales order and credit note pages.
    All,
    /// A customer, and lines with a product, a quantity and a price; the rest is made up.
    Few,
}

/// What comes of lines whose tax rate is not the order's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MixedTax {
    Taken,
    Refused,
    /// They are taxed as the order is, without a word.
    Flattened,
}

/// What comes of completing an order whose goods are not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WithoutStock {
    Refused,
    /// It answers success, and the order is `Backordered`.
    Backordered,
    /// Stock goes below nothing.
    Completed,
}

/// The status of a call when the month is used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blocked {
    TooManyRequests,
    /// 403 with a text that speaks of usage.
    Forbidden,
}

/// The status of a call whose id or signature is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WrongSignature {
    Unauthorized,
    Forbidden,
}

#[derive(Debug, Clone)]
pub struct Rules {
    pub signed_query: SignedQuery,
    pub wrong_signature: WrongSignature,
    pub client_type_required: bool,
    pub second_post: SecondPost,
    /// The GUID of a deleted sales order may be posted to again.
    pub frees_guids: bool,
    /// The number of a deleted sales order may be used again.
    pub frees_numbers: bool,
    /// In characters, of an order number.
    pub max_number: usize,
    pub required_fields: RequiredFields,
    pub takes_negative_prices: bool,
    pub takes_zero_totals: bool,
    pub mixed_tax: MixedTax,
    /// A line's total need not be its quantity at its price, rounded to two places.
    pub line_totals_rule: bool,
    /// Otherwise lines that an update leaves out stay, and are added up with the others.
    pub put_removes_lines: bool,
    pub without_stock: WithoutStock,
    /// The GUID in the body of a free credit becomes its own, unless it is taken: then a second credit note is made.
    pub keeps_credit_guids: bool,
    pub free_credit_returns_stock: bool,
    /// GUIDs, numbers and codes stand in the answers to writes. Observed: an old client found null.
    pub tells_ids: bool,
    pub blocked: Blocked,
    /// `Retry-After` stands with 429.
    pub tells_retry_after: bool,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            signed_query: SignedQuery::AsSent,
            wrong_signature: WrongSignature::Forbidden,
            client_type_required: true,
            second_post: SecondPost::Refused,
            frees_guids: false,
            frees_numbers: false,
            max_number: 20,
            required_fields: RequiredFields::All,
            takes_negative_prices: false,
            takes_zero_totals: true,
            mixed_tax: MixedTax::Refused,
            line_totals_rule: false,
            put_removes_lines: true,
            without_stock: WithoutStock::Refused,
            keeps_credit_guids: true,
            free_credit_returns_stock: false,
            tells_ids: true,
            blocked: Blocked::TooManyRequests,
            tells_retry_after: false,
        }
    }
}
