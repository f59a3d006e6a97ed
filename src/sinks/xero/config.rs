//! The keys that only a sink of kind `xero` has.

mod accounts;
mod contacts;
mod tracking;

use std::{collections::BTreeMap, fmt};

use chrono::NaiveTime;
use chrono_tz::Tz;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;

pub use self::{
    accounts::{AccountRef, Accounts, PaymentAccounts, TaxTypes},
    contacts::{ContactMode, Contacts, ItemMode, Items},
    tracking::{TrackBy, Tracking},
};
use self::{
    accounts::{RawAccounts, RawPayments, RawTaxTypes},
    tracking::RawTracking,
};
pub use crate::domain::sale::{Kind, Tender};
use crate::{
    config::{
        CatalogueSettings, SinkCommon, Versions,
        catalogue::RawCatalogue,
        field::{Field, Named, Parse, Table, Wrong, choice},
        problems::Section,
        secret::{RawSecret, Secret},
        url::{HttpUrl, check_transport},
    },
    domain::limits::Window,
    sinks::{customers::settings::RawCustomerFields, products::RawItemFields},
};

/// Source: XeroAPI/Xero-OpenAPI, xero_accounting.yaml and xero-identity.yaml; the hosts of tokens are those of Xero's
/// developer pages on OAuth 2.0.
const BASE_URL: &str = "https://api.xero.com/api.xro/2.0";
const TOKEN_URL: &str = "https://identity.xero.com/connect/token";
const AUTHORIZE_URL: &str = "https://login.xero.com/identity/connect/authorize";
const CONNECTIONS_URL: &str = "https://api.xero.com/connections";
/// Source: Xero developer FAQ, limits: five requests of one organisation may be in progress.
const MOST_AT_ONCE: u32 = 5;
/// Contacts on a page. Source: Xero Accounting API, parameter `page`: 100 unless told otherwise.
const PAGE_SIZE: u32 = 100;
/// How times of a day are written.
const TIME: &str = "%H:%M";
/// Orders of the last minutes of a day are stable by then, with the usual `stable_for`.
const SUMMARY_AT: NaiveTime = NaiveTime::from_hms_opt(4, 0, 0).expect("a time of the day");

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct RawXero {
    /// Where Xero's Accounting API answers.
    base_url: Field<HttpUrl>,
    /// Where tokens come from.
    token_url: Field<HttpUrl>,
    /// Where a person permits access, with `auth = "code"`.
    authorize_url: Field<HttpUrl>,
    /// Where the organisations are listed that a token reaches, with `auth = "code"`.
    connections_url: Field<HttpUrl>,
    /// Permits plain http to another machine.
    allow_insecure: Field<bool>,
    /// `"custom_connection"`, or `"code"` for an app with refresh tokens.
    auth: Field<Auth>,
    /// The app's id.
    client_id: Field<RawSecret>,
    /// The app's secret.
    client_secret: Field<RawSecret>,
    /// The organisation, by its tenant id. Needed with `auth = "code"`.
    tenant_id: Field<String>,
    /// The first refresh token, with `auth = "code"`; `xero connect` brings one too.
    refresh_token: Field<RawSecret>,
    /// What tokens are asked for: `"granular-2026"`, `"broad"`, or the scopes themselves.
    scopes: Field<Scopes>,
    /// The app's plan: `"standard"` or `"starter"`, which has fewer calls a day.
    tier: Field<Tier>,
    /// `"per_order"`, or `"daily_summary"`: the orders of a day as one document.
    mode: Field<Mode>,
    /// With `"daily_summary"`, when a day is closed: at this time of the next one, as `"04:00"`.
    summary_at: Field<String>,
    /// Time zone of the organisation, as `"Europe/London"`: a document has the day of its order there.
    time_zone: Field<String>,
    /// As what documents are posted: `"authorised"`, `"submitted"` or `"draft"`.
    document_status: Field<DocumentStatus>,
    /// What stands before the order's id in the numbers of its documents. Never change it.
    number_prefix: Field<String>,
    /// Account codes.
    accounts: Field<Table<RawAccounts>>,
    /// Accounts that payments go to, where they are not those of `accounts`.
    payments: Field<Table<RawPayments>>,
    /// Tax types of the organisation.
    tax_types: Field<Table<RawTaxTypes>>,
    /// Tells the tax of each line instead of letting Xero compute it.
    tax_override: Field<bool>,
    /// Tracking categories of the lines, by name; two at most.
    tracking: Field<Named<RawTracking>>,
    /// Whose name documents bear: `"house"` or `"per_customer"`.
    contacts: Field<ContactMode>,
    /// Xero's id of the one contact. Left out: it is found by `house_name`, or made.
    house_customer: Field<String>,
    /// Name of the one contact.
    house_name: Field<String>,
    /// Where the customer stands in an order, as JSON pointers.
    customer_fields: Field<Table<RawCustomerFields>>,
    /// E-mail addresses that begin or end so never link anybody.
    customer_relays: Field<Vec<String>>,
    /// Contacts of customers, by customer id or e-mail. Never changed by the program.
    customer_links: Field<Named<String>>,
    /// Whether lines name Xero's items: `"none"`, `"match"` or `"create"`.
    items: Field<ItemMode>,
    /// Item codes of dishes, by name.
    item_codes: Field<Named<String>>,
    /// Where an item names itself, inside an item.
    item_fields: Field<Table<RawItemFields>>,
    /// What becomes of an order of a locked period: `"hold"` or `"redate"`.
    locked_first_post: Field<LockedFirstPost>,
    /// How a posted order is corrected: `"delta"`, `"reverse_and_replace"` or `"rewrite_payments"`.
    correction: Field<Correction>,
    /// By what a day that was closed is corrected: `"documents"` or `"journal"`.
    delta: Field<Delta>,
    /// Permits credit notes for documents that a person has edited.
    correct_edited: Field<bool>,
    /// Writes a note into the history of an order's invoice for each version that is posted. A call each.
    history_notes: Field<bool>,
    /// Minor units by which amounts may miss the total and still count as rounding.
    #[schemars(range(min = 0, max = 100))]
    rounding_tolerance: Field<u32>,
    /// What the platform pays on top: `"flag"` or `"receivable"`.
    goodwill: Field<Goodwill>,
    /// What nothing explains: `"suspense"` or `"hold"`.
    unexplained: Field<Unexplained>,
    /// Posts no document of total zero.
    skip_zero: Field<bool>,
    /// Xero's id of a branding theme.
    branding_theme_id: Field<String>,
    /// Address of an order for people, with `{order_id}`.
    url_template: Field<String>,
    /// Permits another sink that keeps the same vendor's books.
    allow_multiple_ledgers: Field<bool>,
    /// How fresh the copy of items and contacts is kept, and what is looked at again.
    catalogue: Field<Table<RawCatalogue>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Auth {
    /// Client credentials for one organisation.
    CustomConnection,
    /// Refresh tokens that a person's consent begins.
    Code,
}
choice!(Auth { CustomConnection = "custom_connection", Code = "code" });

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tier {
    Standard,
    Starter,
}
choice!(Tier { Standard = "standard", Starter = "starter" });

impl Tier {
    /// Source: Xero developer documentation, OAuth 2.0 API limits: 60 calls a minute and 5,000 a day for each organisation.
    /// Assumed: 1,000 a day on the free tier, which third parties report. Less is enough.
    pub fn limits(self) -> &'static [(Window, u32)] {
        match self {
            Self::Standard => &[(Window::Minute, 50), (Window::Day, 4000)],
            Self::Starter => &[(Window::Minute, 50), (Window::Day, 800)],
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DocumentStatus {
    Authorised,
    /// Waits for approval in Xero, as a draft does: nothing can be paid before that, and this program does not.
    Submitted,
    Draft,
}
choice!(DocumentStatus { Authorised = "authorised", Submitted = "submitted", Draft = "draft" });

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockedFirstPost {
    /// The order waits, and a person is told.
    Hold,
    /// It is dated on the first open day; its reference keeps the true one.
    Redate,
}
choice!(LockedFirstPost { Hold = "hold", Redate = "redate" });

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Correction {
    /// What has to go is credited, what was missing is invoiced.
    Delta,
    /// All that stands is credited, and the order is invoiced anew.
    ReverseAndReplace,
    /// Our own payments are removed, the invoice is changed, and paid again.
    RewritePayments,
}
choice!(Correction {
    Delta = "delta",
    ReverseAndReplace = "reverse_and_replace",
    RewritePayments = "rewrite_payments"
});

/// By what a day that was closed is corrected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delta {
    /// Each change by an invoice or credit note of its own.
    Documents,
    /// By a manual journal, where lines and money change by the same.
    Journal,
}
choice!(Delta { Documents = "documents", Journal = "journal" });

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Goodwill {
    /// The invoice stays partly unpaid, and a person is told.
    Flag,
    /// It is paid from the account `goodwill`.
    Receivable,
}
choice!(Goodwill { Flag = "flag", Receivable = "receivable" });

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unexplained {
    /// A line on the account `difference` makes up for it, and a person is told.
    Suspense,
    /// The order is parked.
    Hold,
}
choice!(Unexplained { Suspense = "suspense", Hold = "hold" });

/// How orders become documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// One by one.
    PerOrder,
    /// Those of a business day together.
    DailySummary,
}
choice!(Mode { PerOrder = "per_order", DailySummary = "daily_summary" });

/// What a token is asked for.
///
/// Source: Xero developer FAQ, custom integrations: apps made since March 2026 and custom connections made since the end of
/// April 2026 get no broad scopes. Assumed: the names of the granular ones, which is why they can be written out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scopes {
    Broad,
    Granular2026,
    Listed(Vec<String>),
}

impl Scopes {
    const BROAD: &str = "broad";
    const GRANULAR: &str = "granular-2026";

    /// As a token request has them.
    pub fn names(&self, auth: Auth) -> Vec<String> {
        let preset: &[&str] = match self {
            Self::Broad => &["accounting.transactions", "accounting.contacts", "accounting.settings.read"],
            Self::Granular2026 => {
                &["accounting.invoices", "accounting.payments", "accounting.contacts", "accounting.settings.read"]
            }
            Self::Listed(names) => return names.clone(),
        };
        let offline = (auth == Auth::Code).then_some("offline_access");
        preset.iter().copied().chain(offline).map(str::to_owned).collect()
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Broad => f.write_str(Self::BROAD),
            Self::Granular2026 => f.write_str(Self::GRANULAR),
            Self::Listed(names) => f.write_str(&names.join(" ")),
        }
    }
}

impl Serialize for Scopes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Parse for Scopes {
    fn parse(value: Value) -> Result<Self, Wrong> {
        let listed = match value {
            Value::Array(_) => Vec::<String>::parse(value)?,
            other => String::parse(other)?.split_whitespace().map(str::to_owned).collect(),
        };
        Ok(match listed.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
            [Self::BROAD] => Self::Broad,
            [Self::GRANULAR] => Self::Granular2026,
            [] => return Err(Wrong::new("names no scope", "use \"granular-2026\", or list the scopes")),
            _ => Self::Listed(listed),
        })
    }
}

impl JsonSchema for Scopes {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "XeroScopes".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        schemars::json_schema!({
            "anyOf": [{ "type": "string" }, { "type": "array", "items": { "type": "string" }, "minItems": 1 }]
        })
    }
}

#[derive(Debug, Clone, Serialize)]
pub struct XeroSettings {
    pub base_url: HttpUrl,
    pub token_url: HttpUrl,
    pub authorize_url: HttpUrl,
    pub connections_url: HttpUrl,
    pub allow_insecure: bool,
    pub auth: Auth,
    pub client_id: Secret,
    pub client_secret: Secret,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refresh_token: Option<Secret>,
    pub scopes: Scopes,
    pub tier: Tier,
    pub mode: Mode,
    /// Of the day after the one that is closed, in the organisation's zone.
    #[serde(serialize_with = "as_time")]
    pub summary_at: NaiveTime,
    #[serde(serialize_with = "as_zone")]
    pub time_zone: Tz,
    pub document_status: DocumentStatus,
    pub number_prefix: String,
    pub accounts: Accounts,
    #[serde(skip_serializing_if = "PaymentAccounts::is_empty")]
    pub payments: PaymentAccounts,
    pub tax_types: TaxTypes,
    pub tax_override: bool,
    /// Two at most.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub tracking: BTreeMap<String, Tracking>,
    #[serde(flatten)]
    pub contacts: Contacts,
    #[serde(flatten)]
    pub items: Items,
    pub locked_first_post: LockedFirstPost,
    pub correction: Correction,
    pub delta: Delta,
    pub correct_edited: bool,
    pub history_notes: bool,
    /// Minor units.
    pub rounding_tolerance: u32,
    pub goodwill: Goodwill,
    pub unexplained: Unexplained,
    pub skip_zero: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub branding_theme_id: Option<String>,
    /// Holds `{order_id}`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url_template: Option<String>,
    pub allow_multiple_ledgers: bool,
    pub catalogue: CatalogueSettings,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "the signature serde calls")]
fn as_zone<S: Serializer>(zone: &Tz, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(zone.name())
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "the signature serde calls")]
fn as_time<S: Serializer>(time: &NaiveTime, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&time.format(TIME))
}

impl RawXero {
    pub(crate) fn validate(self, common: &SinkCommon, section: &mut Section<'_>) -> Option<XeroSettings> {
        validate_common(common, section);
        let mut address = |key, field, otherwise| {
            let documented = || HttpUrl::parse(otherwise).expect("a documented address");
            section.take(key, field).unwrap_or_else(documented)
        };
        let base_url: HttpUrl = address("base_url", self.base_url, BASE_URL);
        let token_url = address("token_url", self.token_url, TOKEN_URL);
        let authorize_url = address("authorize_url", self.authorize_url, AUTHORIZE_URL);
        let connections_url = address("connections_url", self.connections_url, CONNECTIONS_URL);
        let all = [
            ("base_url", &base_url),
            ("token_url", &token_url),
            ("authorize_url", &authorize_url),
            ("connections_url", &connections_url),
        ];
        let plainest = all.into_iter().find(|(_, url)| url.is_plain_http() && !url.is_loopback());
        let (key, url) = plainest.unwrap_or(("base_url", &base_url));
        let allow_insecure = check_transport(key, Some(url), self.allow_insecure, section);

        let auth = section.take("auth", self.auth).unwrap_or(Auth::CustomConnection);
        if self.client_id.is_absent() {
            section.missing("client_id", "client_id = \"…\"");
        }
        // An id is no secret: it may stand in the file.
        let client_id = section.take("client_id", self.client_id).and_then(|raw| section.read_secret("client_id", raw));
        let client_secret =
            section.require_secret("client_secret", self.client_secret, "client_secret = { env = \"XERO_SECRET\" }");
        let tenant_id = section.take("tenant_id", self.tenant_id);
        if auth == Auth::Code && tenant_id.is_none() && section.none_about(&["auth", "tenant_id"]) {
            section.warn(
                "tenant_id",
                "is missing: a token of this kind may reach several organisations, and nothing is posted before one is named",
                "run `xero connect`, which lists them, and add `tenant_id = \"…\"`",
            );
        }
        let is_code_only = !self.refresh_token.is_absent() && auth == Auth::CustomConnection;
        let refresh_token = section.secret("refresh_token", self.refresh_token);
        if is_code_only && section.none_about(&["auth", "refresh_token"]) {
            section.problem(
                "refresh_token",
                "belongs to auth = \"code\": a custom connection has none",
                "leave it out, or set `auth = \"code\"`",
            );
        }

        let time_zone =
            section.require("time_zone", self.time_zone, "time_zone = \"Europe/London\"").and_then(|text| {
                let zone = text.parse::<Tz>().ok();
                if zone.is_none() {
                    section.problem(
                        "time_zone",
                        format!("{text:?} is not a time zone"),
                        "use one as \"Europe/London\"",
                    );
                }
                zone
            });
        let mode = section.take("mode", self.mode).unwrap_or(Mode::PerOrder);
        let document_status =
            section.take("document_status", self.document_status).unwrap_or(DocumentStatus::Authorised);
        let scopes = section.take("scopes", self.scopes).unwrap_or(Scopes::Granular2026);
        let delta = section.take("delta", self.delta).unwrap_or(Delta::Documents);
        if delta == Delta::Journal {
            validate_journals(mode, document_status, &scopes, section);
        }
        let summary_at = section.take("summary_at", self.summary_at).and_then(|text| {
            let time = NaiveTime::parse_from_str(&text, TIME).ok();
            if time.is_none() {
                section.problem("summary_at", format!("{text:?} is no time of a day"), "write it as \"04:00\"");
            }
            time
        });
        let goodwill = section.take("goodwill", self.goodwill).unwrap_or(Goodwill::Flag);
        let unexplained = section.take("unexplained", self.unexplained).unwrap_or(Unexplained::Suspense);
        let accounts = section.table("accounts", self.accounts, |raw: RawAccounts, section| {
            raw.validate(goodwill == Goodwill::Receivable, unexplained == Unexplained::Suspense, section)
        });
        let payments = section.table("payments", self.payments, RawPayments::validate);
        let tax_types = section.table("tax_types", self.tax_types, RawTaxTypes::validate);
        let number_prefix = section.take("number_prefix", self.number_prefix).unwrap_or_else(|| "SCF-".to_owned());
        // Source: Xero Accounting API, Invoices: a number has at most 255 characters; an order's id and a suffix follow.
        if number_prefix.chars().count() > 40 {
            section.problem("number_prefix", "is too long", "use 40 characters or fewer, as \"SCF-\"");
        }
        let url_template = section.take("url_template", self.url_template);
        if let Some(template) = url_template.as_deref().filter(|template| !template.contains("{order_id}")) {
            section.problem(
                "url_template",
                format!("{template:?} does not say where the order's id goes"),
                "write it as \"https://example.org/orders/{order_id}\"",
            );
        }
        let contacts = contacts::validate(
            self.contacts,
            self.house_customer,
            self.house_name,
            self.customer_fields,
            self.customer_relays,
            self.customer_links,
            section,
        );
        if mode == Mode::DailySummary && contacts.mode == ContactMode::PerCustomer {
            section.problem(
                "contacts",
                "\"per_customer\" does not go with mode = \"daily_summary\": a day's document bears one name",
                "leave it out: the house contact is used",
            );
        }
        let items = contacts::validate_items(self.items, self.item_codes, self.item_fields, section);
        Some(XeroSettings {
            base_url,
            token_url,
            authorize_url,
            connections_url,
            allow_insecure,
            auth,
            tenant_id,
            refresh_token,
            scopes,
            tier: section.take("tier", self.tier).unwrap_or(Tier::Standard),
            mode,
            summary_at: summary_at.unwrap_or(SUMMARY_AT),
            document_status,
            number_prefix,
            payments,
            tax_override: section.take("tax_override", self.tax_override).unwrap_or(false),
            tracking: tracking::validate(self.tracking, section),
            contacts,
            items,
            locked_first_post: section
                .take("locked_first_post", self.locked_first_post)
                .unwrap_or(LockedFirstPost::Hold),
            correction: section.take("correction", self.correction).unwrap_or(Correction::Delta),
            delta,
            correct_edited: section.take("correct_edited", self.correct_edited).unwrap_or(false),
            history_notes: section.take("history_notes", self.history_notes).unwrap_or(false),
            rounding_tolerance: section.number("rounding_tolerance", self.rounding_tolerance, 0..=100).unwrap_or(2),
            goodwill,
            unexplained,
            skip_zero: section.take("skip_zero", self.skip_zero).unwrap_or(false),
            branding_theme_id: section.take("branding_theme_id", self.branding_theme_id),
            url_template,
            allow_multiple_ledgers: section
                .take("allow_multiple_ledgers", self.allow_multiple_ledgers)
                .unwrap_or(false),
            catalogue: CatalogueSettings::validate(self.catalogue, PAGE_SIZE, section),
            // Last, so that they hide no other problem.
            accounts: accounts?,
            tax_types: tax_types?,
            time_zone: time_zone?,
            client_id: client_id?,
            client_secret: client_secret?,
        })
    }
}

fn validate_journals(mode: Mode, status: DocumentStatus, scopes: &Scopes, section: &mut Section<'_>) {
    if mode != Mode::DailySummary && section.none_about(&["mode", "delta"]) {
        section.problem(
            "delta",
            "\"journal\" belongs to mode = \"daily_summary\": it corrects days that were closed",
            "leave it out, or set `mode = \"daily_summary\"`",
        );
    }
    if status != DocumentStatus::Authorised && section.none_about(&["document_status", "delta"]) {
        section.problem(
            "delta",
            "\"journal\" does not go with documents that wait for approval: nothing is paid of them that it could move",
            "leave it out, or set `document_status = \"authorised\"`",
        );
    }
    if *scopes == Scopes::Granular2026 && section.none_about(&["scopes", "delta"]) {
        section.warn(
            "scopes",
            "\"granular-2026\" has no scope for manual journals, whose name is not documented",
            "list the scopes, with the one that Xero names for manual journals",
        );
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
            format!("{} is more than Xero takes of one organisation at a time", common.concurrency),
            format!("use {MOST_AT_ONCE} or fewer"),
        );
    }
}
