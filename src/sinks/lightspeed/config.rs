//! The keys that only a sink of kind `lightspeed` has.

mod access;
mod shop;

use std::{collections::BTreeMap, fmt, time::Duration};

use chrono::{DateTime, Datelike, Utc};
use chrono_tz::Tz;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;

use self::{
    access::RawAccess,
    shop::{RawPaymentTypes, RawPlace, RawProducts, RawTaxIds},
};
pub use self::{
    access::{Access, Application},
    shop::{PaymentTypes, Place, Products, TaxIds},
};
use crate::{
    config::{
        CatalogueSettings, SinkCommon, Versions,
        catalogue::RawCatalogue,
        field::{Field, Named, Parse, Table, Wrong, brief, choice},
        problems::Section,
        secret::RawSecret,
        url::{HttpUrl, check_transport},
    },
    domain::{ids::SourceName, limits::Window},
    sinks::{
        customers::{Customers, settings::RawCustomerFields},
        products::{ItemFields, RawItemFields},
    },
};

/// Records on a page of changes. Source: third-party notes on the API.
pub const PAGE_SIZE: u32 = 200;
/// Source: vend/vend-cli waits as long.
const THROTTLE_PAUSE: Duration = Duration::from_secs(30);
/// Two calls at a time are what the contract of this sink advises; more would only meet its limit sooner.
const MOST_AT_ONCE: u32 = 8;

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct RawLightspeed {
    /// The shop's host, without a path.
    base_url: Field<HttpUrl>,
    /// The dated version of the API, as `"2026-07"`, or `"legacy"`.
    api: Field<Api>,
    /// Permits plain http to another machine.
    allow_insecure: Field<bool>,
    /// A personal token. Instead of the four keys of an application.
    token: Field<RawSecret>,
    /// The application's id.
    client_id: Field<RawSecret>,
    /// The application's secret.
    client_secret: Field<RawSecret>,
    /// The application's first refresh token.
    refresh_token: Field<RawSecret>,
    /// Where tokens come from.
    token_url: Field<HttpUrl>,
    /// The user who makes the sales.
    author_id: Field<String>,
    /// Zone of the shop, as `"Europe/London"`, for dates that people read.
    time_zone: Field<String>,
    /// Puts the register's prefix and suffix around invoice numbers.
    use_register_affixes: Field<bool>,
    /// What to do while the register is not open: `"post"`, `"hold"` or `"open"`.
    closed_register: Field<ClosedRegister>,
    /// What becomes of an order whose payments do not make up its total: `"hold"` or `"on_account"`.
    unpaid: Field<Unpaid>,
    /// How discounts are posted: as `"lines"`, or taken off the dishes (`"distribute"`).
    discounts: Field<Discounts>,
    /// What nothing explains: a `"line"`, or `"hold"`.
    unexplained: Field<Unexplained>,
    /// Minor units by which amounts may miss the total and still count as rounding.
    #[schemars(range(min = 0, max = 100))]
    rounding_tolerance: Field<u32>,
    /// Says of each sale whether it is delivered or picked up.
    mark_fulfilment: Field<bool>,
    /// When a sale is read back: `"now"`, or `"sweep"` for later.
    verify: Field<Verify>,
    /// Per cent of the shop's five-minute window that is used.
    #[schemars(range(min = 1, max = 100))]
    requests_share: Field<u32>,
    /// Permits another sink that keeps the same vendor's books.
    allow_multiple_ledgers: Field<bool>,
    /// The register of each vendor. Orders of others are skipped.
    vendors: Field<Named<RawPlace>>,
    /// Taxes of the shop, by id.
    tax_ids: Field<Table<RawTaxIds>>,
    /// Payment types of the shop, by id.
    payment_types: Field<Table<RawPaymentTypes>>,
    /// Products for what is no dish, by id.
    products: Field<Table<RawProducts>>,
    /// What stands for a dish that has no product: `"generic"`, `"create"` or `"hold"`.
    missing_product: Field<MissingProduct>,
    /// Products of dishes, by name. Never changed by the program.
    items: Field<Named<String>>,
    /// Where an item names itself, inside an item.
    item_fields: Field<Table<RawItemFields>>,
    /// Whose name sales bear: `"house"`, `"per_customer"` or `"none"`.
    customers: Field<CustomerMode>,
    /// The one customer, by id.
    house_customer: Field<String>,
    /// Where the customer stands in an order, as JSON pointers.
    customer_fields: Field<Table<RawCustomerFields>>,
    /// E-mail addresses that begin or end so never link anybody.
    customer_relays: Field<Vec<String>>,
    /// Customers there, by customer id or e-mail. Never changed by the program.
    customer_links: Field<Named<String>>,
    /// How the copy of its products, stock and customers is kept.
    catalogue: Field<Table<RawCatalogue>>,
}

/// The dialect that is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Api {
    /// Version 0.9 for sales, 2.0 for everything else.
    Legacy,
    /// All of it under one version.
    Dated { year: u16, month: u8 },
}

impl Api {
    /// The first whose description has both making and changing a sale. Source: Lightspeed, "2026-07 Sales API".
    const FIRST: (u16, u8) = (2026, 7);

    /// Source: Lightspeed, "Versioning strategy": a version is supported for at least twelve months. One that is over is
    /// not refused: another answers in its place, so its age is all that can be gone by.
    const AGES_AFTER_MONTHS: i32 = 10;

    /// Whether it is so old that somebody should move on.
    pub fn is_aging(self, now: DateTime<Utc>) -> bool {
        match self {
            Self::Legacy => false,
            Self::Dated { year, month } => {
                let months = |year: i32, month: i32| 12 * year + month;
                let age = months(now.year(), now.month() as i32) - months(year.into(), month.into());
                age > Self::AGES_AFTER_MONTHS
            }
        }
    }
}

impl fmt::Display for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Legacy => f.write_str("legacy"),
            Self::Dated { year, month } => write!(f, "{year}-{month:02}"),
        }
    }
}

impl Serialize for Api {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Parse for Api {
    fn parse(value: Value) -> Result<Self, Wrong> {
        let unknown = || {
            Wrong::new(
                format!("{} is no version of the API", brief(&value)),
                "use \"2026-07\", a later one, or \"legacy\"",
            )
        };
        let text = value.as_str().ok_or_else(unknown)?;
        if text == "legacy" {
            return Ok(Self::Legacy);
        }
        let (year, month) = text.split_once('-').ok_or_else(unknown)?;
        let is_written_out = year.len() == 4 && month.len() == 2;
        let (Ok(year), Ok(month)) = (year.parse::<u16>(), month.parse::<u8>()) else { return Err(unknown()) };
        // Source: Lightspeed, "Versioning strategy": a new version each quarter.
        if !is_written_out || ![1, 4, 7, 10].contains(&month) {
            return Err(unknown());
        }
        if (year, month) < Self::FIRST {
            return Err(Wrong::new(
                format!("{text:?} has no documented way to change a sale"),
                "use \"2026-07\" or a later one",
            ));
        }
        Ok(Self::Dated { year, month })
    }
}

impl JsonSchema for Api {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "LightspeedApi".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        schemars::json_schema!({ "type": "string", "pattern": "^(legacy|20[0-9]{2}-(01|04|07|10))$" })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClosedRegister {
    /// Posted all the same; if that is refused, orders wait.
    Post,
    Hold,
    /// The register is opened first.
    Open,
}
choice!(ClosedRegister { Post = "post", Hold = "hold", Open = "open" });

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unpaid {
    Hold,
    /// It stays open on its customer's account.
    OnAccount,
}
choice!(Unpaid { Hold = "hold", OnAccount = "on_account" });

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Discounts {
    /// Lines of their own, of a negative price.
    Lines,
    /// The dishes are cheaper.
    Distribute,
}
choice!(Discounts { Lines = "lines", Distribute = "distribute" });

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unexplained {
    /// A line makes up for it, and a person is told.
    Line,
    Hold,
}
choice!(Unexplained { Line = "line", Hold = "hold" });

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verify {
    /// Right after it was posted.
    Now,
    /// By `reconcile --verify-remote`.
    Sweep,
}
choice!(Verify { Now = "now", Sweep = "sweep" });

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MissingProduct {
    /// One product stands for all of them.
    Generic,
    /// It is made.
    Create,
    /// The order is parked.
    Hold,
}
choice!(MissingProduct { Generic = "generic", Create = "create", Hold = "hold" });

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CustomerMode {
    /// One for all orders: no personal data is copied.
    House,
    /// One for each that can be told, else that of the house.
    PerCustomer,
    /// Sales bear no name.
    None,
}
choice!(CustomerMode { House = "house", PerCustomer = "per_customer", None = "none" });

#[derive(Debug, Clone, Serialize)]
pub struct LightspeedSettings {
    /// Without a path.
    pub base_url: HttpUrl,
    pub api: Api,
    pub allow_insecure: bool,
    #[serde(flatten)]
    pub access: Access,
    pub author_id: String,
    #[serde(serialize_with = "as_zone")]
    pub time_zone: Tz,
    pub use_register_affixes: bool,
    pub closed_register: ClosedRegister,
    pub unpaid: Unpaid,
    pub discounts: Discounts,
    pub unexplained: Unexplained,
    /// Minor units.
    pub rounding_tolerance: u32,
    pub mark_fulfilment: bool,
    pub verify: Verify,
    /// After a refusal for too many calls that names no time: no longer than anything else waits.
    #[serde(skip)]
    pub throttle_pause: Duration,
    /// 1 to 100.
    pub requests_share: u32,
    pub allow_multiple_ledgers: bool,
    /// By vendor; never empty.
    pub vendors: BTreeMap<String, Place>,
    pub tax_ids: TaxIds,
    pub payment_types: PaymentTypes,
    pub products: Products,
    pub missing_product: MissingProduct,
    /// By dish, as it is written.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub items: BTreeMap<String, String>,
    pub item_fields: ItemFields,
    #[serde(rename = "customers")]
    pub customer_mode: CustomerMode,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub house_customer: Option<String>,
    #[serde(flatten)]
    pub customers: Customers,
    pub catalogue: CatalogueSettings,
    /// The account of each source, where there are several: order ids are only unique within one. No key of the file.
    #[serde(skip)]
    pub accounts: BTreeMap<SourceName, String>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "the signature serde calls")]
fn as_zone<S: Serializer>(zone: &Tz, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(zone.name())
}

impl LightspeedSettings {
    /// Source: Lightspeed, "Rate limiting": 300 requests per register and 50 more in five minutes, for each application. The
    /// registers that are named here are as many as are known before the shop was asked; it may tell less.
    pub fn limits(&self) -> Vec<(Window, u32)> {
        let registers: std::collections::BTreeSet<&str> =
            self.vendors.values().map(|place| place.register_id.as_str()).collect();
        let window = 300 * registers.len() as u32 + 50;
        vec![(Window::FiveMinutes, (window * self.requests_share / 100).max(1))]
    }
}

impl RawLightspeed {
    pub(crate) fn validate(self, common: &SinkCommon, section: &mut Section<'_>) -> Option<LightspeedSettings> {
        validate_common(common, section);
        let base_url = section.require("base_url", self.base_url, "base_url = \"https://acme.retail.lightspeed.app\"");
        if base_url.as_ref().is_some_and(|url| url.as_url().path() != "/" || url.as_url().query().is_some()) {
            section.problem(
                "base_url",
                "has a path: paths are built from `api`",
                "write the host alone, as \"https://acme.retail.lightspeed.app\"",
            );
        }
        let access = RawAccess {
            token: self.token,
            client_id: self.client_id,
            client_secret: self.client_secret,
            refresh_token: self.refresh_token,
            token_url: self.token_url,
        }
        .validate(base_url.as_ref(), section);
        let token_url = access.as_ref().and_then(Access::token_url);
        let in_the_open = token_url.filter(|url| url.is_plain_http() && !url.is_loopback());
        let (key, url) = match in_the_open {
            Some(url) => ("token_url", Some(url)),
            None => ("base_url", base_url.as_ref()),
        };
        let allow_insecure = check_transport(key, url, self.allow_insecure, section);

        let author_id = section.require("author_id", self.author_id, "author_id = \"…\"");
        let time_zone = section.take("time_zone", self.time_zone).unwrap_or_else(|| "Europe/London".to_owned());
        let time_zone = time_zone.parse::<Tz>().ok().or_else(|| {
            section.problem("time_zone", format!("{time_zone:?} is not a time zone"), "use one as \"Europe/London\"");
            None
        });
        let customer_mode = section.take("customers", self.customers).unwrap_or(CustomerMode::House);
        let house_customer = section.take("house_customer", self.house_customer);
        if customer_mode == CustomerMode::House
            && house_customer.is_none()
            && section.none_about(&["customers", "house_customer"])
        {
            section.problem(
                "house_customer",
                "is missing, and `customers` is \"house\": sales have to bear somebody's name",
                "name a customer of the shop by id, or set `customers = \"none\"`",
            );
        }
        let unpaid = section.take("unpaid", self.unpaid).unwrap_or(Unpaid::Hold);
        if unpaid == Unpaid::OnAccount
            && house_customer.is_none()
            && section.none_about(&["customers", "house_customer", "unpaid"])
        {
            section.problem(
                "unpaid",
                "is \"on_account\", which needs a customer whose account it is, and there may be none",
                "name one in `house_customer`, or set `unpaid = \"hold\"`",
            );
        }
        let key = (customer_mode == CustomerMode::PerCustomer).then_some("customers");
        let customers =
            Customers::validate(key, self.customer_fields, self.customer_relays, self.customer_links, section);

        let vendors = shop::validate_vendors(self.vendors, section);
        let tax_ids = section.table("tax_ids", self.tax_ids, RawTaxIds::validate);
        let payment_types = section.table("payment_types", self.payment_types, RawPaymentTypes::validate);
        let items = section.entries("items", self.items);
        let mut within = section.within("items");
        let items =
            items.into_iter().filter_map(|(dish, field)| Some((dish.clone(), within.take(&dish, field)?))).collect();
        Some(LightspeedSettings {
            api: section.take("api", self.api).unwrap_or(Api::Dated { year: 2026, month: 7 }),
            allow_insecure,
            use_register_affixes: section.take("use_register_affixes", self.use_register_affixes).unwrap_or(false),
            closed_register: section.take("closed_register", self.closed_register).unwrap_or(ClosedRegister::Post),
            unpaid,
            discounts: section.take("discounts", self.discounts).unwrap_or(Discounts::Lines),
            unexplained: section.take("unexplained", self.unexplained).unwrap_or(Unexplained::Line),
            rounding_tolerance: section.number("rounding_tolerance", self.rounding_tolerance, 0..=100).unwrap_or(2),
            mark_fulfilment: section.take("mark_fulfilment", self.mark_fulfilment).unwrap_or(false),
            verify: section.take("verify", self.verify).unwrap_or(Verify::Now),
            throttle_pause: common.retry.slow_interval.min(THROTTLE_PAUSE),
            requests_share: section.number("requests_share", self.requests_share, 1..=100).unwrap_or(80),
            allow_multiple_ledgers: section
                .take("allow_multiple_ledgers", self.allow_multiple_ledgers)
                .unwrap_or(false),
            products: section.table("products", self.products, RawProducts::validate),
            missing_product: section.take("missing_product", self.missing_product).unwrap_or(MissingProduct::Generic),
            items,
            item_fields: ItemFields::validate(self.item_fields, section),
            customer_mode,
            house_customer,
            customers,
            catalogue: CatalogueSettings::validate(self.catalogue, PAGE_SIZE, section),
            accounts: BTreeMap::new(),
            // Last, so that they hide no other problem.
            base_url: base_url?,
            access: access?,
            author_id: author_id?,
            time_zone: time_zone?,
            vendors: vendors?,
            tax_ids: tax_ids?,
            payment_types: payment_types?,
        })
    }
}

fn validate_common(common: &SinkCommon, section: &mut Section<'_>) {
    if common.versions == Versions::Every {
        section.problem(
            "versions",
            "\"every\" would post what is outdated already, and correct it at once",
            "leave the key out: the newest version is posted",
        );
    }
    if common.concurrency > MOST_AT_ONCE {
        section.problem(
            "concurrency",
            format!("{} calls at a time would use up the shop's window at once", common.concurrency),
            format!("use {MOST_AT_ONCE} or fewer; 2 is usual"),
        );
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn api(text: &str) -> Option<Api> {
        Api::parse(json!(text)).ok()
    }

    #[test]
    fn a_version_is_a_quarter_from_which_on_sales_can_be_changed() {
        assert_eq!(api("2026-07"), Some(Api::Dated { year: 2026, month: 7 }));
        assert_eq!(api("2027-01").unwrap().to_string(), "2027-01");
        assert_eq!(api("legacy"), Some(Api::Legacy));
        for other in ["2026-04", "2026-08", "2026-7", "2.0", "", "Legacy"] {
            assert_eq!(api(other), None, "{other}");
        }
    }

    #[test]
    fn a_version_ages_before_its_twelve_months_are_over() {
        let at = |text: &str| api("2026-07").unwrap().is_aging(text.parse().unwrap());

        assert!(!at("2027-05-31T23:59:59Z"));
        assert!(at("2027-06-01T00:00:00Z"));
        assert!(!Api::Legacy.is_aging("2040-01-01T00:00:00Z".parse().unwrap()));
    }
}
