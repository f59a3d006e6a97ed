//! The keys that only a sink of kind `unleashed` has.

mod products;
mod vendors;

use std::{collections::BTreeMap, fmt, time::Duration};

use chrono_tz::Tz;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;

use self::{products::RawProducts, vendors::RawVendor};
pub use self::{
    products::{MissingProduct, Products, Service, ThirdParty},
    vendors::Vendor,
};
use super::amounts::Rate;
use crate::{
    config::{
        CatalogueSettings, SinkCommon, Versions,
        catalogue::RawCatalogue,
        duration::{self, RawDuration},
        field::{Field, Named, Parse, Table, Wrong, brief, choice},
        problems::Section,
        secret::{RawSecret, Secret},
        url::{HttpUrl, check_transport},
    },
    domain::{limits::Window, money::Currency},
    sinks::{
        customers::settings::{Customers, RawCustomerFields},
        products::{ItemFields, RawItemFields},
    },
};

/// Observed: the host of every public client.
const BASE_URL: &str = "https://api.unleashedsoftware.com";
/// What of a plan's calls is used, in per cent: the owner warns at 90, and others may use the same account.
const SHARE: u64 = 80;
/// Records on a page. Source: Unleashed API documentation: 200 unless told otherwise.
const PAGE_SIZE: u32 = 200;
/// Between calls that are refused for being too many.
const LONGEST_PAUSE: Duration = Duration::from_hours(1);
/// As many as `limits` takes.
const MOST_CALLS: u32 = 100_000_000;

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct RawUnleashed {
    /// Where Unleashed's API answers.
    base_url: Field<HttpUrl>,
    /// Permits plain http to another machine.
    allow_insecure: Field<bool>,
    /// The account's API id.
    api_id: Field<RawSecret>,
    /// The account's API key. It can never be changed there: guard it well.
    api_key: Field<RawSecret>,
    /// Who asks, as `"partner/application"`, one lower-case word each.
    client_type: Field<ClientType>,
    /// Time zone of the business, as `"Europe/London"`: an order has its day there.
    time_zone: Field<String>,
    /// The account's base currency; orders in another one wait.
    currency: Field<String>,
    /// When an order is completed there: `"immediately"`, `"after_minutes:180"` or `"never"`.
    complete: Field<Complete>,
    /// Where what lowers an order's price goes: `"distribute"` over the goods, or `"lines"` of their own.
    discounts: Field<Discounts>,
    /// Only `"lines"`: each line bears its tax.
    mixed_tax: Field<MixedTax>,
    /// Only false: where the address stands in an order is not known.
    copy_address: Field<NotYet>,
    /// A further line at price 0 for options that are products.
    option_products: Field<bool>,
    /// Makes an order again that a person deleted there.
    recreate_deleted: Field<bool>,
    /// Whether completing a credit note returns goods to stock there, which a person is told to check otherwise.
    returns_to_stock: Field<bool>,
    /// Calls of the plan in a calendar month, of which 80 % are used.
    #[schemars(range(min = 100, max = 100_000_000))]
    monthly_calls: Field<u32>,
    /// Most calls in any 60 seconds.
    #[schemars(range(min = 1, max = 10_000))]
    requests_per_minute: Field<u32>,
    /// Most calls in any 60 minutes.
    #[schemars(range(min = 1, max = 100_000))]
    requests_per_hour: Field<u32>,
    /// How often one call asks whether a used-up month is open again.
    quota_probe: Field<RawDuration>,
    /// Permits another sink that keeps the same vendor's books.
    allow_multiple_ledgers: Field<bool>,
    /// Each vendor's warehouse. Orders of others are skipped.
    vendors: Field<Named<RawVendor>>,
    /// The tax of all lines.
    tax: Field<Table<RawTax>>,
    /// Products of what is no dish, by their codes.
    products: Field<Table<RawProducts>>,
    /// What becomes of a dish that no product is found for: `"generic"`, `"create"` or `"hold"`.
    missing_product: Field<MissingProduct>,
    /// Product codes of dishes, by name. Never changed by the program.
    items: Field<Named<String>>,
    /// Where an item names itself, inside an item.
    item_fields: Field<Table<RawItemFields>>,
    /// Whose name orders bear: `"house"` or `"per_customer"`.
    customers: Field<CustomerMode>,
    /// The GUID of the one customer.
    house_customer: Field<String>,
    /// Where the customer stands in an order, as JSON pointers.
    customer_fields: Field<Table<RawCustomerFields>>,
    /// E-mail addresses that begin or end so never link anybody.
    customer_relays: Field<Vec<String>>,
    /// GUIDs of customers, by customer id or e-mail. Never changed by the program.
    customer_links: Field<Named<String>>,
    /// How often what was changed there is asked for, and what is looked at again.
    catalogue: Field<Table<RawCatalogue>>,
}

/// Assumed: letters, digits, `-` and `_` make a word.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct ClientType(String);

impl ClientType {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Parse for ClientType {
    fn parse(value: Value) -> Result<Self, Wrong> {
        let text = String::parse(value)?;
        let is_word = |word: &str| {
            let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte);
            !word.is_empty() && word.bytes().all(allowed)
        };
        match text.split_once('/') {
            Some((partner, application)) if is_word(partner) && is_word(application) => Ok(Self(text)),
            _ => Err(Wrong::new(
                format!("{text:?} does not say who asks"),
                "write partner and application, one lower-case word each, as \"acme/scoffsync\"",
            )),
        }
    }
}

impl JsonSchema for ClientType {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "UnleashedClientType".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        schemars::json_schema!({ "type": "string", "pattern": "^[a-z0-9_-]+/[a-z0-9_-]+$" })
    }
}

/// When an order is completed, which takes its goods out of stock and makes its invoice. Before that it is edited in place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Complete {
    Immediately,
    /// So long after it was made.
    After(Duration),
    /// A person does.
    Never,
}

impl Complete {
    const AFTER: &str = "after_minutes:";
    const LONGEST_MINUTES: u64 = 60 * 24 * 60;
}

impl Default for Complete {
    fn default() -> Self {
        Self::After(Duration::from_hours(3))
    }
}

impl fmt::Display for Complete {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Immediately => f.write_str("immediately"),
            Self::After(wait) => write!(f, "{}{}", Self::AFTER, wait.as_secs() / 60),
            Self::Never => f.write_str("never"),
        }
    }
}

impl Serialize for Complete {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Parse for Complete {
    fn parse(value: Value) -> Result<Self, Wrong> {
        let minutes = |text: &str| {
            let minutes: u64 = text.strip_prefix(Self::AFTER)?.parse().ok()?;
            (minutes <= Self::LONGEST_MINUTES).then(|| Self::After(Duration::from_mins(minutes)))
        };
        match value.as_str() {
            Some("immediately") => Ok(Self::Immediately),
            Some("never") => Ok(Self::Never),
            text => text.and_then(minutes).ok_or_else(|| {
                Wrong::new(
                    format!("{} is not known here", brief(&value)),
                    "use \"immediately\", \"never\" or, with minutes up to 60 days, \"after_minutes:180\"",
                )
            }),
        }
    }
}

impl JsonSchema for Complete {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "UnleashedComplete".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        schemars::json_schema!({ "type": "string", "pattern": "^(immediately|never|after_minutes:[0-9]+)$" })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Discounts {
    /// The goods get cheaper, each by its share.
    Distribute,
    /// A line of a negative price. Assumed: whether Unleashed takes one is not documented.
    Lines,
}
choice!(Discounts { Distribute = "distribute", Lines = "lines" });

/// Each line bears its tax. There is no other way: orders do not tell the rates of their lines, so that all have the one of
/// `tax`, and none is mixed that could be held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MixedTax {
    Lines,
}

impl MixedTax {
    const LINES: &str = "lines";
}

impl Serialize for MixedTax {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(Self::LINES)
    }
}

impl Parse for MixedTax {
    fn parse(value: Value) -> Result<Self, Wrong> {
        match value.as_str() {
            Some(Self::LINES) => Ok(Self::Lines),
            Some("hold") => Err(Wrong::new(
                "\"hold\" cannot be had: orders do not tell the tax rates of their lines, so all have the one of `tax`, and \
                 none is mixed that could be held",
                "leave the key out",
            )),
            _ => Err(crate::config::field::not_a_choice(&value, &[Self::LINES])),
        }
    }
}

impl JsonSchema for MixedTax {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "UnleashedMixedTax".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        schemars::json_schema!({ "const": Self::LINES })
    }
}

/// Something that can only be switched off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotYet;

impl Serialize for NotYet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bool(false)
    }
}

impl Parse for NotYet {
    fn parse(value: Value) -> Result<Self, Wrong> {
        if bool::parse(value)? {
            return Err(Wrong::new(
                "cannot be had: what an order's delivery address looks like is not documented",
                "leave the key out: no address is copied",
            ));
        }
        Ok(Self)
    }
}

impl JsonSchema for NotYet {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "NotYet".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        schemars::json_schema!({ "const": false })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CustomerMode {
    /// One customer for all orders: no personal data is copied.
    House,
    /// A customer there for each that can be told, else the one.
    PerCustomer,
}

impl CustomerMode {
    const WORDS: [&str; 2] = ["house", "per_customer"];
}

impl Serialize for CustomerMode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let [house, per_customer] = Self::WORDS;
        serializer.serialize_str(match self {
            Self::House => house,
            Self::PerCustomer => per_customer,
        })
    }
}

impl Parse for CustomerMode {
    fn parse(value: Value) -> Result<Self, Wrong> {
        match value.as_str() {
            Some("house") => Ok(Self::House),
            Some("per_customer") => Ok(Self::PerCustomer),
            Some("none") => {
                Err(Wrong::new("\"none\" cannot be had: every order has a customer at Unleashed", "use \"house\""))
            }
            _ => Err(crate::config::field::not_a_choice(&value, &Self::WORDS)),
        }
    }
}

impl JsonSchema for CustomerMode {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "UnleashedCustomerMode".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        schemars::json_schema!({ "type": "string", "enum": Self::WORDS })
    }
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
struct RawTax {
    /// The tax code of every order.
    code: Field<String>,
    /// Its rate, as a fraction.
    rate: Field<Rate>,
}

/// The one tax of all lines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tax {
    pub code: String,
    pub rate: Rate,
}

#[derive(Debug, Clone, Serialize)]
pub struct UnleashedSettings {
    pub base_url: HttpUrl,
    pub allow_insecure: bool,
    pub api_id: Secret,
    pub api_key: Secret,
    pub client_type: ClientType,
    #[serde(serialize_with = "as_zone")]
    pub time_zone: Tz,
    pub currency: Currency,
    pub complete: Complete,
    pub discounts: Discounts,
    pub mixed_tax: MixedTax,
    pub copy_address: NotYet,
    pub option_products: bool,
    pub recreate_deleted: bool,
    pub returns_to_stock: bool,
    pub monthly_calls: u32,
    pub requests_per_minute: u32,
    pub requests_per_hour: u32,
    #[serde(serialize_with = "duration::serialize")]
    pub quota_probe: Duration,
    /// After refusals for too many calls that name no time: no longer than anything else waits.
    #[serde(skip)]
    pub longest_pause: Duration,
    pub allow_multiple_ledgers: bool,
    /// By the vendor's id; at least one.
    pub vendors: BTreeMap<String, Vendor>,
    pub tax: Tax,
    pub products: Products,
    pub missing_product: MissingProduct,
    /// Product codes by dish, as it is written.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub items: BTreeMap<String, String>,
    pub item_fields: ItemFields,
    #[serde(rename = "customers")]
    pub customer_mode: CustomerMode,
    /// A GUID.
    pub house_customer: String,
    #[serde(flatten)]
    pub customers: Customers,
    pub catalogue: CatalogueSettings,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "the signature serde calls")]
fn as_zone<S: Serializer>(zone: &Tz, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(zone.name())
}

impl UnleashedSettings {
    /// Source: Unleashed help centre, "Understanding your API usage limits": a plan has so many calls in a calendar month.
    /// Shorter limits are not documented; the others are this program's own.
    pub fn limits(&self) -> Vec<(Window, u32)> {
        let monthly = u64::from(self.monthly_calls) * SHARE / 100;
        vec![
            (Window::Minute, self.requests_per_minute),
            (Window::Hour, self.requests_per_hour),
            (Window::Month, monthly as u32),
        ]
    }
}

impl RawUnleashed {
    pub(crate) fn validate(self, common: &SinkCommon, section: &mut Section<'_>) -> Option<UnleashedSettings> {
        if common.versions == Versions::Every {
            section.problem(
                "versions",
                "\"every\" would post what is outdated already, and correct it at once",
                "leave the key out: the newest version is posted",
            );
        }
        let documented = || HttpUrl::parse(BASE_URL).expect("a documented address");
        let base_url = section.take("base_url", self.base_url).unwrap_or_else(documented);
        let allow_insecure = check_transport("base_url", Some(&base_url), self.allow_insecure, section);
        if base_url.has_query() {
            section.problem("base_url", "has a query, which is what signatures are made over", "leave it out");
        }
        if self.api_id.is_absent() {
            section.missing("api_id", "api_id = \"…\"");
        }
        // An id alone opens nothing: it may stand in the file.
        let api_id = section.take("api_id", self.api_id).and_then(|raw| section.read_secret("api_id", raw));
        let api_key = section.require_secret("api_key", self.api_key, "api_key = { env = \"UNLEASHED_KEY\" }");
        let client_type = section.require("client_type", self.client_type, "client_type = \"acme/scoffsync\"");
        let time_zone = section.require("time_zone", self.time_zone, "time_zone = \"Europe/London\"");
        let time_zone = time_zone.and_then(|text| {
            let zone = text.parse::<Tz>().ok();
            if zone.is_none() {
                section.problem("time_zone", format!("{text:?} is not a time zone"), "use one as \"Europe/London\"");
            }
            zone
        });
        let currency = section.require("currency", self.currency, "currency = \"GBP\"");
        let currency = currency.and_then(|text| {
            let currency = Currency::parse(&text).ok();
            if currency.is_none() {
                section.problem("currency", format!("{text:?} is not a currency"), "use three letters, as \"GBP\"");
            }
            currency.filter(|currency| {
                let is_coarse = currency.exponent() <= 2;
                if !is_coarse {
                    section.problem(
                        "currency",
                        format!("{text} has more decimals than Unleashed keeps"),
                        "use another",
                    );
                }
                is_coarse
            })
        });
        let tax = section.table("tax", self.tax, |raw: RawTax, section| {
            let code = section.require("code", raw.code, "code = \"V.A.T.\"");
            let rate = section.require("rate", raw.rate, "rate = \"0.2\"");
            Some(Tax { code: code?, rate: rate? })
        });
        let house_customer = section.require("house_customer", self.house_customer, "house_customer = \"…\"");
        let house_customer = house_customer.and_then(|text| guid("house_customer", &text, section));
        let customer_mode = section.take("customers", self.customers).unwrap_or(CustomerMode::House);
        let key = (customer_mode == CustomerMode::PerCustomer).then_some("customers");
        let customers =
            Customers::validate(key, self.customer_fields, self.customer_relays, self.customer_links, section);
        for (customer, record) in &customers.links {
            guid(customer, record, &mut section.within("customer_links"));
        }
        let items = section.entries("items", self.items);
        let mut within = section.within("items");
        let items = items.into_iter().filter_map(|(dish, field)| Some((dish.clone(), within.take(&dish, field)?)));
        let items: BTreeMap<String, String> = items.collect();
        let vendors = vendors::validate(self.vendors, section);
        let products = section.table("products", self.products, RawProducts::validate);
        let mut number = |key, field, otherwise, within| section.number(key, field, within).unwrap_or(otherwise);
        let monthly_calls = number("monthly_calls", self.monthly_calls, 250_000, 100..=MOST_CALLS);
        let requests_per_minute = number("requests_per_minute", self.requests_per_minute, 60, 1..=10_000);
        let requests_per_hour = number("requests_per_hour", self.requests_per_hour, 1_500, 1..=100_000);
        let mut flag = |key, field| section.take(key, field).unwrap_or(false);
        Some(UnleashedSettings {
            base_url,
            allow_insecure,
            option_products: flag("option_products", self.option_products),
            recreate_deleted: flag("recreate_deleted", self.recreate_deleted),
            returns_to_stock: flag("returns_to_stock", self.returns_to_stock),
            allow_multiple_ledgers: flag("allow_multiple_ledgers", self.allow_multiple_ledgers),
            complete: section.take("complete", self.complete).unwrap_or_default(),
            discounts: section.take("discounts", self.discounts).unwrap_or(Discounts::Distribute),
            mixed_tax: section.take("mixed_tax", self.mixed_tax).unwrap_or(MixedTax::Lines),
            copy_address: section.take("copy_address", self.copy_address).unwrap_or(NotYet),
            monthly_calls,
            requests_per_minute,
            requests_per_hour,
            longest_pause: common.retry.slow_interval.min(LONGEST_PAUSE),
            quota_probe: section
                .duration("quota_probe", self.quota_probe, Duration::from_secs(1))
                .unwrap_or(Duration::from_hours(1)),
            vendors,
            products,
            missing_product: section.take("missing_product", self.missing_product).unwrap_or(MissingProduct::Generic),
            items,
            item_fields: ItemFields::validate(self.item_fields, section),
            customer_mode,
            customers,
            catalogue: CatalogueSettings::validate(self.catalogue, PAGE_SIZE, section),
            // Last, so that they hide no other problem.
            api_id: api_id?,
            api_key: api_key?,
            client_type: client_type?,
            time_zone: time_zone?,
            currency: currency?,
            tax: tax?,
            house_customer: house_customer?,
        })
    }
}

/// In the form that answers have it.
fn guid(key: &str, text: &str, section: &mut Section<'_>) -> Option<String> {
    let guid = uuid::Uuid::try_parse(text).ok();
    if guid.is_none() {
        section.problem(
            key,
            format!("{text:?} is not a GUID"),
            "copy the customer's from Unleashed, as \"55555555-aaaa-4bbb-8ccc-000000000001\"",
        );
    }
    guid.map(|guid| guid.to_string())
}
