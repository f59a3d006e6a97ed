//! The keys that only a sink of kind `spoton` has.

use std::{collections::BTreeMap, time::Duration};

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::vendors::{self, RawVendor, Vendor};
use crate::config::{
    duration::{RawDuration, serialize as as_duration},
    field::{Field, Named, Parse, Table, Wrong, brief, choice},
    pointer::Pointer,
    problems::Section,
    secret::{RawSecret, Secret},
    url::{HttpUrl, check_transport},
};

/// Source: SpotOn OAuth - Integration Guide.
const BASE_URL: &str = "https://api.spoton.com";
const TOKEN_URL: &str = "https://api.spoton.com/oauth2/v1/token";
/// Reading back what became of a submit. Assumed: what else an application was granted it has without asking.
const DEFAULT_SCOPE: &str = "reporting:orders:read";
/// Cents that rounding explains.
const RESIDUAL_LIMIT: u32 = 5;
/// Not seeing an order proves something only after this, and three looks.
const VISIBLE_AFTER: Duration = Duration::from_mins(15);

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct RawSpoton {
    /// Where SpotOn's Central API answers.
    base_url: Field<HttpUrl>,
    /// Where tokens come from.
    token_url: Field<HttpUrl>,
    /// Permits plain http to another machine.
    allow_insecure: Field<bool>,
    /// The application's id.
    client_id: Field<RawSecret>,
    /// The application's secret.
    client_secret: Field<RawSecret>,
    /// What the token is asked for.
    scopes: Field<Vec<String>>,
    /// Paths below `base_url`.
    paths: Field<Table<RawPaths>>,
    /// How enumerations are spelt: `"prefixed"` or `"short"`.
    enum_style: Field<EnumStyle>,
    /// `"order"` puts the order into an object of that name.
    request_envelope: Field<Envelope>,
    /// Printed on receipts and in the kitchen, and a filter in reports: never change it.
    source_name: Field<String>,
    /// Name of the tender.
    provider_name: Field<String>,
    /// The location of each vendor, by the platform's vendor id. Orders of other vendors are skipped.
    vendors: Field<Named<RawVendor>>,
    /// Older orders are never submitted.
    max_submit_age: Field<RawDuration>,
    /// What becomes of an order that changes after it was submitted: `"flag"` or `"cancel_and_resubmit"`.
    on_change: Field<OnChange>,
    /// Permits one more submit when the first one's answer was lost and the order is not found.
    resubmit_when_absent: Field<bool>,
    /// When an order that was submitted is certainly in the sales report.
    visible_after: Field<RawDuration>,
    /// Which customer data is sent: `"none"`, `"minimal"` or `"full"`.
    customer_mode: Field<CustomerMode>,
    /// One payment per kind of tender.
    split_tenders: Field<bool>,
    /// Cents by which amounts may miss the total and still count as rounding.
    #[schemars(range(min = 0, max = 1000))]
    residual_limit: Field<u32>,
    /// Permits orders that cost nothing.
    allow_zero_total: Field<bool>,
    /// How a delivery by Uber is submitted: `"delivery"` or `"pickup"`.
    uber_delivery_as: Field<UberDelivery>,
    /// How tax is told: `"none"`.
    tax_mode: Field<TaxMode>,
    /// Only `false`.
    reread_before_write: Field<Never>,
    /// Where the customer stands in an order, as JSON pointers.
    customer_pointers: Field<Table<RawCustomerPointers>>,
    /// Where the time stands that the customer asked for.
    requested_time_pointer: Field<Pointer>,
    /// Where the parts of the delivery address stand.
    address_pointers: Field<Table<RawAddressPointers>>,
    /// Where an item names itself, inside an item.
    item_pointers: Field<Table<RawItemPointers>>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
struct RawPaths {
    /// Takes a new order.
    submit: Field<String>,
    /// Cancels one.
    cancel: Field<String>,
    /// Computes one and keeps nothing; asked only by a person's command.
    propose: Field<String>,
    /// The sales report.
    reporting_orders: Field<String>,
    /// What is on a menu.
    menu_items: Field<String>,
    /// A location's own record.
    location: Field<String>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
struct RawCustomerPointers {
    /// First and last name in one.
    name: Field<Pointer>,
    /// The first name.
    first_name: Field<Pointer>,
    /// The last name.
    last_name: Field<Pointer>,
    /// The e-mail address.
    email: Field<Pointer>,
    /// The telephone number.
    phone: Field<Pointer>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
struct RawAddressPointers {
    /// Street and number.
    address_line_1: Field<Pointer>,
    /// What else finds the door.
    address_line_2: Field<Pointer>,
    /// The town.
    city: Field<Pointer>,
    /// The state or county.
    state: Field<Pointer>,
    /// The postcode.
    zip: Field<Pointer>,
    /// The country.
    country: Field<Pointer>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
struct RawItemPointers {
    /// The vendor's own reference.
    reference: Field<Pointer>,
    /// The barcode.
    barcode: Field<Pointer>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EnumStyle {
    Prefixed,
    Short,
}
choice!(EnumStyle { Prefixed = "prefixed", Short = "short" });

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Envelope {
    Bare,
    Order,
}
choice!(Envelope { Bare = "none", Order = "order" });

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnChange {
    /// A person is told; staff mend it on the POS.
    Flag,
    /// The order is cancelled there and submitted anew: the kitchen prints again.
    CancelAndResubmit,
}
choice!(OnChange { Flag = "flag", CancelAndResubmit = "cancel_and_resubmit" });

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CustomerMode {
    None,
    /// First name and phone, for the ticket. Creates no customer record.
    Minimal,
    /// All four, where there are all four: the merchant's database gets a customer.
    Full,
}
choice!(CustomerMode { None = "none", Minimal = "minimal", Full = "full" });

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UberDelivery {
    Delivery,
    /// The food is handed over at the counter.
    Pickup,
}
choice!(UberDelivery { Delivery = "delivery", Pickup = "pickup" });

/// What is told of tax: nothing. The platform gives no split, and its total is all-in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TaxMode {
    None,
}

impl Parse for TaxMode {
    fn parse(value: Value) -> Result<Self, Wrong> {
        match value.as_str() {
            Some("none") => Ok(Self::None),
            Some("inclusive") => Err(Wrong::new(
                "\"inclusive\" cannot be had yet: SpotOn does not document whether its subtotal then holds the tax, and \
                 a wrong guess would change what orders come to",
                "leave the key out until SpotOn's partner reference says so",
            )),
            _ => Err(Wrong::new(format!("{} is not known here", brief(&value)), "use \"none\"")),
        }
    }
}

impl JsonSchema for TaxMode {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "TaxMode".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        schemars::json_schema!({ "const": "none" })
    }
}

/// A switch that stays off.
#[derive(Debug, Clone, Copy)]
struct Never;

impl Parse for Never {
    fn parse(value: Value) -> Result<Self, Wrong> {
        match value.as_bool() {
            Some(false) => Ok(Self),
            Some(true) => Err(Wrong::new(
                "cannot be had: a sink never asks the order stream, and the call it would take is not documented",
                "leave it out: the newest version that is known right before the request is the one that is sent",
            )),
            None => Err(Wrong::new(format!("{} is not a truth value", brief(&value)), "leave it out")),
        }
    }
}

impl JsonSchema for Never {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Never".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        schemars::json_schema!({ "const": false })
    }
}

#[derive(Debug, Clone, Serialize)]
pub struct SpotonSettings {
    pub base_url: HttpUrl,
    pub token_url: HttpUrl,
    pub allow_insecure: bool,
    pub client_id: Secret,
    pub client_secret: Secret,
    pub scopes: Vec<String>,
    pub paths: Paths,
    pub enum_style: EnumStyle,
    pub request_envelope: Envelope,
    pub source_name: String,
    pub provider_name: String,
    pub vendors: BTreeMap<String, Vendor>,
    #[serde(serialize_with = "as_duration")]
    pub max_submit_age: Duration,
    pub on_change: OnChange,
    pub resubmit_when_absent: bool,
    #[serde(serialize_with = "as_duration")]
    pub visible_after: Duration,
    pub customer_mode: CustomerMode,
    pub split_tenders: bool,
    pub residual_limit: u32,
    pub allow_zero_total: bool,
    pub uber_delivery_as: UberDelivery,
    pub tax_mode: TaxMode,
    pub reread_before_write: bool,
    pub customer_pointers: CustomerPointers,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requested_time_pointer: Option<Pointer>,
    pub address_pointers: AddressPointers,
    pub item_pointers: ItemPointers,
}

/// Templates. Each begins with a slash and holds the names in braces that it needs and no others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Paths {
    pub submit: String,
    pub cancel: String,
    pub propose: String,
    pub reporting_orders: String,
    pub menu_items: String,
    pub location: String,
}

/// Assumed, all but the reports, menus and locations, whose paths a public client calls.
impl Default for Paths {
    fn default() -> Self {
        Self {
            submit: "/order/v1/locations/{location_id}/orders/submit".to_owned(),
            cancel: "/order/v1/locations/{location_id}/orders/{order_id}/cancel".to_owned(),
            propose: "/order/v1/locations/{location_id}/orders/propose".to_owned(),
            reporting_orders: "/reporting/v1/locations/{location_id}/orders".to_owned(),
            menu_items: "/menu/v1/locations/{location_id}/menus/{menu_id}/items".to_owned(),
            location: "/business/v1/locations/{location_id}".to_owned(),
        }
    }
}

impl SpotonSettings {
    /// Whether anything is looked for in an order as it was received.
    pub fn points_into_payload(&self) -> bool {
        self.requested_time_pointer.is_some()
            || self.customer_pointers != CustomerPointers::default()
            || self.address_pointers != AddressPointers::default()
            || self.item_pointers != ItemPointers::default()
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct CustomerPointers {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<Pointer>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_name: Option<Pointer>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_name: Option<Pointer>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<Pointer>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phone: Option<Pointer>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct AddressPointers {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address_line_1: Option<Pointer>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address_line_2: Option<Pointer>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub city: Option<Pointer>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<Pointer>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zip: Option<Pointer>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub country: Option<Pointer>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ItemPointers {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reference: Option<Pointer>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub barcode: Option<Pointer>,
}

impl RawSpoton {
    pub(crate) fn validate(self, section: &mut Section<'_>) -> Option<SpotonSettings> {
        let documented = |text| HttpUrl::parse(text).expect("a documented address");
        let base_url = section.take("base_url", self.base_url).unwrap_or_else(|| documented(BASE_URL));
        let token_url = section.take("token_url", self.token_url).unwrap_or_else(|| documented(TOKEN_URL));
        let plainest = [("token_url", &token_url), ("base_url", &base_url)];
        let plainest = plainest.into_iter().find(|(_, url)| url.is_plain_http() && !url.is_loopback());
        let (key, url) = plainest.unwrap_or(("base_url", &base_url));
        let allow_insecure = check_transport(key, Some(url), self.allow_insecure, section);
        let client_id = section.require_secret("client_id", self.client_id, "client_id = { env = \"SPOTON_ID\" }");
        let client_secret =
            section.require_secret("client_secret", self.client_secret, "client_secret = { env = \"SPOTON_SECRET\" }");
        let scopes = section.list("scopes", self.scopes);
        let paths = section.table("paths", self.paths, RawPaths::validate);
        let (resubmit_when_absent, visible_after) =
            validate_absence(self.resubmit_when_absent, self.visible_after, section);
        section.take("reread_before_write", self.reread_before_write);
        let customer_mode = section.take("customer_mode", self.customer_mode).unwrap_or(CustomerMode::Minimal);
        let vendors = vendors::validate(self.vendors, section);
        let settings = SpotonSettings {
            base_url,
            token_url,
            allow_insecure,
            scopes: scopes.unwrap_or_else(|| vec![DEFAULT_SCOPE.to_owned()]),
            paths,
            enum_style: section.take("enum_style", self.enum_style).unwrap_or(EnumStyle::Prefixed),
            request_envelope: section.take("request_envelope", self.request_envelope).unwrap_or(Envelope::Bare),
            source_name: section.take("source_name", self.source_name).unwrap_or_else(|| "Scoffable".to_owned()),
            provider_name: section.take("provider_name", self.provider_name).unwrap_or_else(|| "Scoffable".to_owned()),
            vendors,
            max_submit_age: section
                .duration("max_submit_age", self.max_submit_age, Duration::from_secs(1))
                .unwrap_or(Duration::from_hours(1)),
            on_change: section.take("on_change", self.on_change).unwrap_or(OnChange::Flag),
            resubmit_when_absent,
            visible_after,
            customer_mode,
            split_tenders: section.take("split_tenders", self.split_tenders).unwrap_or(false),
            residual_limit: section.number("residual_limit", self.residual_limit, 0..=1000).unwrap_or(RESIDUAL_LIMIT),
            allow_zero_total: section.take("allow_zero_total", self.allow_zero_total).unwrap_or(false),
            uber_delivery_as: section.take("uber_delivery_as", self.uber_delivery_as).unwrap_or(UberDelivery::Delivery),
            tax_mode: section.take("tax_mode", self.tax_mode).unwrap_or(TaxMode::None),
            reread_before_write: false,
            customer_pointers: section.table(
                "customer_pointers",
                self.customer_pointers,
                RawCustomerPointers::validate,
            ),
            requested_time_pointer: section.take("requested_time_pointer", self.requested_time_pointer),
            address_pointers: section.table("address_pointers", self.address_pointers, RawAddressPointers::validate),
            item_pointers: section.table("item_pointers", self.item_pointers, RawItemPointers::validate),
            // Last, so that they hide no other problem.
            client_id: client_id?,
            client_secret: client_secret?,
        };
        Some(settings)
    }
}

fn validate_absence(
    resubmit: Field<bool>,
    visible_after: Field<RawDuration>,
    section: &mut Section<'_>,
) -> (bool, Duration) {
    let resubmit = section.take("resubmit_when_absent", resubmit).unwrap_or(false);
    let visible_after = section.duration("visible_after", visible_after, Duration::ZERO).unwrap_or(VISIBLE_AFTER);
    if resubmit && visible_after < VISIBLE_AFTER {
        section.warn(
            "visible_after",
            "an order that shows in the sales report later than this is submitted a second time, and cooked twice",
            "use 15m or more, unless SpotOn has told you better",
        );
    }
    (resubmit, visible_after)
}

impl RawPaths {
    fn validate(self, section: &mut Section<'_>) -> Paths {
        let known = Paths::default();
        Paths {
            submit: template("submit", self.submit, known.submit, &["location_id"], section),
            cancel: template("cancel", self.cancel, known.cancel, &["location_id", "order_id"], section),
            propose: template("propose", self.propose, known.propose, &["location_id"], section),
            reporting_orders: template(
                "reporting_orders",
                self.reporting_orders,
                known.reporting_orders,
                &["location_id"],
                section,
            ),
            menu_items: template("menu_items", self.menu_items, known.menu_items, &["location_id", "menu_id"], section),
            location: template("location", self.location, known.location, &["location_id"], section),
        }
    }
}

/// A path without a name that it needs would ask about everything at once, or about nothing.
fn template(key: &str, field: Field<String>, otherwise: String, needed: &[&str], section: &mut Section<'_>) -> String {
    let Some(path) = section.take(key, field) else { return otherwise };
    let mut rest = path.clone();
    let missing: Vec<String> = needed.iter().map(|name| format!("{{{name}}}")).filter(|n| !path.contains(n)).collect();
    for name in needed {
        rest = rest.replace(&format!("{{{name}}}"), "");
    }
    if !path.starts_with('/') || !missing.is_empty() || rest.contains(['{', '}', '?', '#']) {
        let names: Vec<String> = needed.iter().map(|name| format!("{{{name}}}")).collect();
        section.problem(
            key,
            format!("{path:?} is not a path with {}", names.join(" and ")),
            format!("write it as {otherwise:?}"),
        );
    }
    path
}

impl RawCustomerPointers {
    fn validate(self, section: &mut Section<'_>) -> CustomerPointers {
        CustomerPointers {
            name: section.take("name", self.name),
            first_name: section.take("first_name", self.first_name),
            last_name: section.take("last_name", self.last_name),
            email: section.take("email", self.email),
            phone: section.take("phone", self.phone),
        }
    }
}

impl RawAddressPointers {
    fn validate(self, section: &mut Section<'_>) -> AddressPointers {
        AddressPointers {
            address_line_1: section.take("address_line_1", self.address_line_1),
            address_line_2: section.take("address_line_2", self.address_line_2),
            city: section.take("city", self.city),
            state: section.take("state", self.state),
            zip: section.take("zip", self.zip),
            country: section.take("country", self.country),
        }
    }
}

impl RawItemPointers {
    fn validate(self, section: &mut Section<'_>) -> ItemPointers {
        ItemPointers {
            reference: section.take("reference", self.reference),
            barcode: section.take("barcode", self.barcode),
        }
    }
}
