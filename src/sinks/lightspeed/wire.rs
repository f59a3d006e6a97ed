//! Lightspeed's JSON, in both dialects, as it goes out and as it comes back.
//!
//! Of what comes back only that is looked at which something rests on, and tolerantly: unknown fields, `null`, amounts
//! written as text. Amounts stay decimal text until the currency is known; no float touches them.
//!
//! Source: Lightspeed X-Series API 2.0; "2026-07 Sales API"; "Sales 101" for the legacy names; "Sales states and attributes".

mod sale;

use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use serde_json::value::RawValue;

pub use self::sale::{
    Amounts, LineBody, PaymentBody, SaleBody, State, WrittenAs, body, changing, finished_return, voided,
};
use super::{amounts, config::Api};
use crate::domain::money::Currency;

/// A number, or one that is written as text, as it stands there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Number(String);

impl Number {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        let text = raw.get().trim_matches('"').trim();
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte)) {
            return Err(serde::de::Error::custom("not a number"));
        }
        Ok(Self(text.to_owned()))
    }
}

/// `null` is the value that stands for nothing.
pub(super) fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// `{data: …}`
#[derive(Debug, Deserialize)]
pub struct Data<T> {
    pub data: T,
}

/// One page of a listing.
#[derive(Debug, Deserialize)]
#[serde(bound = "T: DeserializeOwned")]
pub struct Page<T> {
    #[serde(deserialize_with = "or_default", default)]
    pub data: Vec<T>,
    #[serde(deserialize_with = "or_default", default)]
    pub version: Versions,
}

/// Source: Lightspeed, "Pagination": the cursor of the next page is the largest version of this one.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(default)]
pub struct Versions {
    pub max: Option<i64>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Register {
    pub id: Option<String>,
    pub name: Option<String>,
    pub invoice_prefix: Option<String>,
    pub invoice_suffix: Option<String>,
    pub is_open: Option<bool>,
    pub register_open_sequence_id: Option<String>,
    pub deleted_at: Option<String>,
}

/// A user or a payment type.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Named {
    pub id: Option<String>,
    pub deleted_at: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Tax {
    pub id: Option<String>,
    #[serde(deserialize_with = "or_default")]
    pub rates: Vec<TaxRate>,
    pub deleted_at: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct TaxRate {
    pub rate: Number,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Retailer {
    pub name: Option<String>,
    pub no_tax_group_id: Option<String>,
    pub timezone: Option<serde_json::Value>,
    pub tax_exclusive: Option<bool>,
    pub currency: Option<RetailerCurrency>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct RetailerCurrency {
    pub code: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Product {
    pub id: Option<String>,
    pub name: Option<String>,
    pub sku: Option<String>,
    pub active: Option<bool>,
    pub is_active: Option<bool>,
    pub price_including_tax: Option<Number>,
    pub price_excluding_tax: Option<Number>,
    pub version: Option<Number>,
    pub updated_at: Option<String>,
    pub deleted_at: Option<String>,
}

impl Product {
    pub fn is_usable(&self) -> bool {
        self.deleted_at.is_none() && self.active != Some(false) && self.is_active != Some(false)
    }
}

/// Of a product in one outlet.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Stock {
    pub product_id: Option<String>,
    pub outlet_id: Option<String>,
    pub inventory_level: Option<Number>,
    pub reorder_point: Option<Number>,
    pub version: Option<Number>,
}

/// Nothing of a customer is kept but what he is recognised by.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Customer {
    pub id: Option<String>,
    pub customer_code: Option<String>,
    pub email: Option<String>,
    pub version: Option<Number>,
    pub updated_at: Option<String>,
    pub deleted_at: Option<String>,
}

/// A sale as it stands there.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Sale {
    pub id: Option<String>,
    state: Option<String>,
    /// The legacy way to say the state.
    status: Option<String>,
    pub invoice_number: Option<String>,
    #[serde(deserialize_with = "or_default")]
    source: Source,
    source_id: Option<String>,
    register_id: Option<String>,
    #[serde(deserialize_with = "or_default")]
    totals: Totals,
    total_price: Option<Number>,
    total_tax: Option<Number>,
    updated_at: Option<String>,
    version: Option<Number>,
    #[serde(rename = "_metadata", deserialize_with = "or_default")]
    metadata: Metadata,
    #[serde(rename = "return", deserialize_with = "or_default")]
    returned: Returned,
    pub deleted_at: Option<String>,
}

/// The name of the outside system, or all that tells where a sale is from.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
enum Source {
    Whole(WholeSource),
    Other(serde::de::IgnoredAny),
}

impl Default for Source {
    fn default() -> Self {
        Self::Whole(WholeSource::default())
    }
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct WholeSource {
    id: Option<String>,
    register_id: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Totals {
    price_incl_tax: Option<Number>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Metadata {
    version: Option<Number>,
    complete_open_sequence_id: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Returned {
    #[serde(deserialize_with = "or_default")]
    return_sale_ids: Vec<String>,
}

impl Sale {
    /// None: a state that is not known.
    pub fn state(&self) -> Option<State> {
        match (&self.state, &self.status) {
            (Some(state), _) => State::parse(state),
            (None, Some(status)) => State::of_status(status),
            (None, None) => None,
        }
    }

    /// What it comes to with tax, in minor units. None: it is not told.
    pub fn total_minor(&self, currency: Currency) -> Option<i64> {
        let told = match (&self.totals.price_incl_tax, &self.total_price, &self.total_tax) {
            (Some(total), ..) => amounts::read(total.as_str())?,
            (None, Some(price), Some(tax)) => amounts::read(price.as_str())? + amounts::read(tax.as_str())?,
            (None, ..) => return None,
        };
        amounts::minor(told, currency)
    }

    /// What changes with the sale. None: nothing of the kind is told.
    pub fn mark(&self) -> Option<String> {
        let version = self.metadata.version.as_ref().or(self.version.as_ref()).map(Number::as_str);
        version.or(self.updated_at.as_deref()).map(str::to_owned)
    }

    /// The opening of its register in which it was closed.
    pub fn opening(&self) -> Option<&str> {
        self.metadata.complete_open_sequence_id.as_deref()
    }

    pub fn order_id(&self) -> Option<&str> {
        match &self.source {
            Source::Whole(source) => source.id.as_deref().or(self.source_id.as_deref()),
            Source::Other(_) => self.source_id.as_deref(),
        }
    }

    pub fn register_id(&self) -> Option<&str> {
        match &self.source {
            Source::Whole(source) => source.register_id.as_deref().or(self.register_id.as_deref()),
            Source::Other(_) => self.register_id.as_deref(),
        }
    }

    pub fn returns(&self) -> &[String] {
        &self.returned.return_sale_ids
    }
}

/// A sale, read and as it was written there.
#[derive(Debug)]
pub struct Shown {
    pub sale: Sale,
    /// The object itself.
    pub whole: Box<RawValue>,
}

/// What an answer says of the sale that was asked for. None: it cannot be read. Some of none: there is no such sale.
///
/// Source: vend/vend-cli: in the legacy dialect an id that is not known is answered with an empty list.
pub fn shown(body: &[u8], api: Api) -> Option<Option<Shown>> {
    #[derive(Deserialize)]
    struct Listed {
        register_sales: Vec<Box<RawValue>>,
    }
    let whole = match api {
        Api::Dated { .. } => Some(serde_json::from_slice::<Data<Box<RawValue>>>(body).ok()?.data),
        Api::Legacy => serde_json::from_slice::<Listed>(body).ok()?.register_sales.into_iter().next(),
    };
    match whole {
        None => Some(None),
        Some(whole) => Some(Some(Shown { sale: serde_json::from_str(whole.get()).ok()?, whole })),
    }
}

/// The id of what was made, in any of the forms that are documented: the record, its id alone, or a list of either.
pub fn made_id(body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Made {
        Id(String),
        Record { id: String },
        Listed(Vec<Made>),
    }
    impl Made {
        fn id(self) -> Option<String> {
            match self {
                Self::Id(id) | Self::Record { id } => Some(id),
                Self::Listed(all) => all.into_iter().next().and_then(Self::id),
            }
        }
    }
    serde_json::from_slice::<Data<Made>>(body).ok()?.data.id()
}

/// Everything that a refusal says, in lower case. It may echo a customer: it is compared, never kept.
pub fn said(body: &[u8]) -> String {
    String::from_utf8_lossy(body).to_lowercase()
}
