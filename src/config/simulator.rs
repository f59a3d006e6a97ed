//! `[simulator]`: how the systems behave that `simulate` runs. The daemon only checks it.
//!
//! Whatever the documentation of a foreign system leaves open is a key here, as are the failures a client must survive.
//! Each key is explained in `config/simulator.toml`.

mod lightspeed;
mod unleashed;
mod xero;

use std::{borrow::Cow, collections::BTreeMap, num::NonZeroU32, time::Duration};

use axum::http::StatusCode;
use chrono::FixedOffset;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Deserialize;
use serde_json::{Map, Value};

pub use self::{lightspeed::LightspeedBehaviour, unleashed::UnleashedBehaviour, xero::XeroBehaviour};
use self::{lightspeed::RawLightspeedBehaviour, unleashed::RawUnleashedBehaviour, xero::RawXeroBehaviour};
use super::{
    CallLimit, ConfigError, LoadOptions, Problems, Report,
    duration::RawDuration,
    field::{Field, Parse, Table, Wrong, brief, choice},
    problems::Section,
    read,
};
use crate::simulator::{
    DEFAULT_IMPORT_DELAY, DEFAULT_REPORT_LAG,
    faults::{self, Fault},
    godatafeed::{
        Api, Bucket, Feed, GoDataFeedOptions, Hint, ListAnswer, Oddities, Oddity, OldTokens, Repeats, TokenAnswer,
        WriteAnswer, error_inside,
    },
    limits::Limit,
    spoton::{EnumStyle, Envelope, Manner, Numbers, RateHeaders, RepeatedCancel, Rules, SpotonOptions},
};

/// Name of the table in the file.
pub(super) const TABLE: &str = "simulator";

/// How the simulated systems are to behave.
#[derive(Debug, Default)]
pub struct SimulatorSettings {
    pub spoton: SpotonBehaviour,
    pub godatafeed: GodatafeedBehaviour,
    pub xero: XeroBehaviour,
    pub lightspeed: LightspeedBehaviour,
    pub unleashed: UnleashedBehaviour,
}

#[derive(Debug)]
pub struct SpotonBehaviour {
    pub options: SpotonOptions,
    /// What befalls the first submits, cancels and looks at the sales report, one each.
    pub submits: Vec<Fate>,
    pub cancels: Vec<Fate>,
    pub reports: Vec<Fate>,
}

impl Default for SpotonBehaviour {
    fn default() -> Self {
        let options = SpotonOptions { lag: DEFAULT_REPORT_LAG, ..SpotonOptions::default() };
        Self { options, submits: Vec::new(), cancels: Vec::new(), reports: Vec::new() }
    }
}

#[derive(Debug)]
pub struct GodatafeedBehaviour {
    pub options: GoDataFeedOptions,
    pub feed: Feed,
    /// What befalls the first writes and lists, one each.
    pub writes: Vec<Fate>,
    pub lists: Vec<Fate>,
}

impl Default for GodatafeedBehaviour {
    fn default() -> Self {
        let feed = Feed { delay: DEFAULT_IMPORT_DELAY, ..Feed::default() };
        Self { options: GoDataFeedOptions::default(), feed, writes: Vec::new(), lists: Vec::new() }
    }
}

/// What befalls one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Plainly,
    /// It has its effect and is never answered.
    Hang,
    ServerError,
    ServerErrorAfterTheEffect,
    Cut,
    CutAfterTheEffect,
    /// 200 with an error in the body, without the effect.
    ErrorInside,
    /// It has its effect, and the answer is no JSON.
    NotJson,
    Throttled,
    Unauthorized,
    Forbidden,
}
choice!(Fate {
    Plainly = "plainly", Hang = "hang", ServerError = "server_error",
    ServerErrorAfterTheEffect = "server_error_after_the_effect", Cut = "cut",
    CutAfterTheEffect = "cut_after_the_effect", ErrorInside = "error_inside", NotJson = "not_json",
    Throttled = "throttled", Unauthorized = "unauthorized", Forbidden = "forbidden"
});

impl Fate {
    pub fn fault(self) -> Fault {
        match self {
            Self::Plainly => faults::plainly(),
            Self::Hang => faults::plainly().answered_when(&tokio_util::sync::CancellationToken::new()),
            Self::ServerError => faults::status(500),
            Self::ServerErrorAfterTheEffect => faults::status(500).after_the_effect(),
            Self::Cut => faults::cut_before(),
            Self::CutAfterTheEffect => faults::cut_after(),
            Self::ErrorInside => error_inside(),
            Self::NotJson => faults::not_json(),
            Self::Throttled => faults::status(429),
            Self::Unauthorized => faults::status(401),
            Self::Forbidden => faults::status(403),
        }
    }
}

/// What the file says of the simulated systems. Nothing else in it is looked at.
pub fn load(options: &LoadOptions) -> Result<SimulatorSettings, ConfigError> {
    let file = options.file.clone();
    let mut tree = read::tree(file.as_deref(), options)?;
    let mut found = Problems::default();
    let settings = validate(&mut tree, &mut Section::root(&options.env, &mut found));
    if found.is_empty() {
        return Ok(settings);
    }
    Err(ConfigError::Invalid(Box::new(Report { file, settings: None, found })))
}

/// Takes the table out of the document.
pub(super) fn validate(tree: &mut Map<String, Value>, root: &mut Section<'_>) -> SimulatorSettings {
    let field = tree.remove(TABLE).map(Field::of).unwrap_or_default();
    root.table(TABLE, field, RawSimulator::validate)
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
struct RawSimulator {
    spoton: Field<Table<RawSpotonBehaviour>>,
    godatafeed: Field<Table<RawGodatafeedBehaviour>>,
    xero: Field<Table<RawXeroBehaviour>>,
    lightspeed: Field<Table<RawLightspeedBehaviour>>,
    unleashed: Field<Table<RawUnleashedBehaviour>>,
}

impl RawSimulator {
    fn validate(self, section: &mut Section<'_>) -> SimulatorSettings {
        SimulatorSettings {
            spoton: section.table("spoton", self.spoton, RawSpotonBehaviour::validate),
            godatafeed: section.table("godatafeed", self.godatafeed, RawGodatafeedBehaviour::validate),
            xero: section.table("xero", self.xero, RawXeroBehaviour::validate),
            lightspeed: section.table("lightspeed", self.lightspeed, RawLightspeedBehaviour::validate),
            unleashed: section.table("unleashed", self.unleashed, RawUnleashedBehaviour::validate),
        }
    }
}

choice!(EnumStyle { Prefixed = "prefixed", Short = "short" });
choice!(Envelope { Bare = "bare", Wrapped = "wrapped" });
choice!(Numbers { Plain = "plain", AsText = "as_text" });
choice!(RateHeaders { Told = "told", Missing = "missing", Garbage = "garbage" });
choice!(Api { V1 = "v1", V2 = "v2" });
choice!(OldTokens { LiveOn = "live_on", AreKilled = "are_killed" });
choice!(Hint { Nothing = "nothing", RetryAfter = "retry_after" });
choice!(WriteAnswer { Nothing = "nothing", Text = "text", Object = "object" });

/// Whether what was done already succeeds again, or the status it fails with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Repetition {
    Succeeds,
    Fails(StatusCode),
}

impl Parse for Repetition {
    fn parse(value: Value) -> Result<Self, Wrong> {
        if value.as_str() == Some("succeeds") {
            return Ok(Self::Succeeds);
        }
        let status = value.as_u64().filter(|status| (400..500).contains(status));
        match status.and_then(|status| StatusCode::from_u16(status as u16).ok()) {
            Some(status) => Ok(Self::Fails(status)),
            None => Err(Wrong::new(
                format!("{} is neither success nor a refusal", brief(&value)),
                "write \"succeeds\", or a status from 400 to 499",
            )),
        }
    }
}

impl JsonSchema for Repetition {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Repetition".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        schemars::json_schema!({
            "oneOf": [{ "const": "succeeds" }, { "type": "integer", "minimum": 400, "maximum": 499 }]
        })
    }
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
struct RawSpotonBehaviour {
    scopes: Field<Vec<String>>,
    token_life: Field<RawDuration>,
    per_second: Field<CallLimit>,
    per_minute: Field<CallLimit>,
    rate_headers: Field<RateHeaders>,
    takes_enum_style: Field<EnumStyle>,
    request_envelope: Field<Envelope>,
    takes_unknown_items: Field<bool>,
    takes_repeated_references: Field<bool>,
    takes_partial_customers: Field<bool>,
    takes_several_payments: Field<bool>,
    takes_zero_payments: Field<bool>,
    repeated_cancel: Field<Repetition>,
    enum_style: Field<EnumStyle>,
    envelope: Field<Envelope>,
    numbers: Field<Numbers>,
    leaves_out_defaults: Field<bool>,
    reports_reference: Field<bool>,
    reports_state: Field<bool>,
    lag: Field<RawDuration>,
    page_size: Field<u32>,
    kitchen: Field<RawDuration>,
    drive: Field<RawDuration>,
    tax_basis_points: Field<u32>,
    latency: Field<RawDuration>,
    submits: Field<Vec<Fate>>,
    cancels: Field<Vec<Fate>>,
    reports: Field<Vec<Fate>>,
}

impl RawSpotonBehaviour {
    fn validate(self, section: &mut Section<'_>) -> SpotonBehaviour {
        let usual = SpotonBehaviour::default();
        let SpotonOptions { rules, manner, .. } = usual.options.clone();
        let rules = Rules {
            enum_style: section.take("takes_enum_style", self.takes_enum_style).or(rules.enum_style),
            request_envelope: section.take("request_envelope", self.request_envelope).unwrap_or(rules.request_envelope),
            takes_unknown_items: section
                .take("takes_unknown_items", self.takes_unknown_items)
                .unwrap_or(rules.takes_unknown_items),
            takes_repeated_references: section
                .take("takes_repeated_references", self.takes_repeated_references)
                .unwrap_or(rules.takes_repeated_references),
            takes_partial_customers: section
                .take("takes_partial_customers", self.takes_partial_customers)
                .unwrap_or(rules.takes_partial_customers),
            takes_several_payments: section
                .take("takes_several_payments", self.takes_several_payments)
                .unwrap_or(rules.takes_several_payments),
            takes_zero_payments: section
                .take("takes_zero_payments", self.takes_zero_payments)
                .unwrap_or(rules.takes_zero_payments),
            repeated_cancel: match section.take("repeated_cancel", self.repeated_cancel) {
                Some(Repetition::Succeeds) => RepeatedCancel::Succeeds,
                Some(Repetition::Fails(status)) => RepeatedCancel::Fails(status.as_u16()),
                None => rules.repeated_cancel,
            },
        };
        let manner = Manner {
            enum_style: section.take("enum_style", self.enum_style).unwrap_or(manner.enum_style),
            envelope: section.take("envelope", self.envelope).unwrap_or(manner.envelope),
            numbers: section.take("numbers", self.numbers).unwrap_or(manner.numbers),
            leaves_out_defaults: section
                .take("leaves_out_defaults", self.leaves_out_defaults)
                .unwrap_or(manner.leaves_out_defaults),
            rate_headers: section.take("rate_headers", self.rate_headers).unwrap_or(manner.rate_headers),
            reports_reference: section
                .take("reports_reference", self.reports_reference)
                .unwrap_or(manner.reports_reference),
            reports_state: section.take("reports_state", self.reports_state).unwrap_or(manner.reports_state),
        };
        let [second, minute] = usual.options.limits[..] else { unreachable!("two limits are documented") };
        let limits = [("per_second", self.per_second, second), ("per_minute", self.per_minute, minute)];
        let limits = limits.into_iter().filter_map(|(key, field, usual)| {
            let calls = section.take(key, field).map_or(Some(usual.calls), CallLimit::calls)?;
            Some(Limit { calls, ..usual })
        });
        let limits: Vec<Limit> = limits.collect();
        let duration = |section: &mut Section<'_>, key, field, usual| {
            section.duration(key, field, Duration::ZERO).unwrap_or(usual)
        };
        let options = SpotonOptions {
            scopes: section.list("scopes", self.scopes).unwrap_or(usual.options.scopes),
            token_life: section
                .duration("token_life", self.token_life, Duration::from_secs(1))
                .unwrap_or(usual.options.token_life),
            lag: duration(section, "lag", self.lag, usual.options.lag),
            page_size: section
                .number("page_size", self.page_size, 1..=1000)
                .map_or(usual.options.page_size, |size| size as usize),
            kitchen: duration(section, "kitchen", self.kitchen, usual.options.kitchen),
            drive: duration(section, "drive", self.drive, usual.options.drive),
            tax_basis_points: section
                .number("tax_basis_points", self.tax_basis_points, 0..=10_000)
                .unwrap_or(usual.options.tax_basis_points),
            latency: duration(section, "latency", self.latency, usual.options.latency),
            rules,
            manner,
            limits,
            ..usual.options
        };
        SpotonBehaviour {
            options,
            submits: section.take("submits", self.submits).unwrap_or_default(),
            cancels: section.take("cancels", self.cancels).unwrap_or_default(),
            reports: section.take("reports", self.reports).unwrap_or_default(),
        }
    }
}

/// How a token is written, by the words of the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RawTokenAnswer {
    Bare,
    JsonString,
    Token,
    CapitalToken,
    AccessToken,
    CamelAccessToken,
}
choice!(RawTokenAnswer {
    Bare = "bare", JsonString = "json_string", Token = "token", CapitalToken = "Token",
    AccessToken = "access_token", CamelAccessToken = "accessToken"
});

impl RawTokenAnswer {
    fn answer(self) -> TokenAnswer {
        match self {
            Self::Bare => TokenAnswer::Bare,
            Self::JsonString => TokenAnswer::JsonString,
            Self::Token | Self::CapitalToken | Self::AccessToken | Self::CamelAccessToken => {
                TokenAnswer::Member(self.as_str())
            }
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RawListAnswer {
    Root,
    Orders,
    Data,
}
choice!(RawListAnswer { Root = "root", Orders = "orders", Data = "data" });

impl RawListAnswer {
    fn answer(self) -> ListAnswer {
        match self {
            Self::Root => ListAnswer::Root,
            Self::Orders | Self::Data => ListAnswer::Member(self.as_str()),
        }
    }
}

/// What is odd about one order's counterpart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Odd {
    Late,
    Never,
    Twice,
    NumberUsedElsewhere,
    TakenElsewhere,
}
choice!(Odd {
    Late = "late", Never = "never", Twice = "twice", NumberUsedElsewhere = "number_used_elsewhere",
    TakenElsewhere = "taken_elsewhere"
});

impl Odd {
    fn oddity(self) -> Oddity {
        match self {
            Self::Late => Oddity::Late,
            Self::Never => Oddity::Never,
            Self::Twice => Oddity::Twice,
            Self::NumberUsedElsewhere => Oddity::NumberUsedElsewhere,
            Self::TakenElsewhere => Oddity::TakenElsewhere { after: Duration::ZERO },
        }
    }
}

/// By Scoffable order id.
#[derive(Debug, Default)]
struct OddOrders(BTreeMap<String, Odd>);

impl Parse for OddOrders {
    fn parse(value: Value) -> Result<Self, Wrong> {
        let Value::Object(entries) = value else {
            let problem = format!("{} is not a table", brief(&value));
            return Err(Wrong::new(problem, "write order ids and what is odd, as { \"5500017\" = \"twice\" }"));
        };
        let odd = entries.into_iter().map(|(order, value)| match Odd::parse(value) {
            Ok(odd) => Ok((order, odd)),
            Err(Wrong { problem, suggestion }) => Err(Wrong::new(format!("{order:?}: {problem}"), suggestion)),
        });
        odd.collect::<Result<_, _>>().map(Self)
    }
}

impl JsonSchema for OddOrders {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "OddOrders".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        schemars::json_schema!({ "type": "object", "additionalProperties": { "enum": Odd::WORDS } })
    }
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
struct RawGodatafeedBehaviour {
    api: Field<Api>,
    consumer_key: Field<String>,
    token_life: Field<RawDuration>,
    token_answer: Field<RawTokenAnswer>,
    token_interval: Field<RawDuration>,
    old_tokens: Field<OldTokens>,
    unauthorized: Field<u32>,
    bucket_size: Field<CallLimit>,
    leaks_per_second: Field<u32>,
    throttle_hint: Field<Hint>,
    list_answer: Field<RawListAnswer>,
    listing_interval: Field<RawDuration>,
    paging: Field<u32>,
    write_answer: Field<WriteAnswer>,
    repeats: Field<Repetition>,
    acknowledged: Field<String>,
    cancelled: Field<String>,
    tracking_is_required: Field<bool>,
    local_times: Field<String>,
    marketplace: Field<String>,
    number_prefix: Field<String>,
    import_delay: Field<RawDuration>,
    odd_orders: Field<OddOrders>,
    latency: Field<RawDuration>,
    writes: Field<Vec<Fate>>,
    lists: Field<Vec<Fate>>,
}

impl RawGodatafeedBehaviour {
    fn validate(self, section: &mut Section<'_>) -> GodatafeedBehaviour {
        let usual = GodatafeedBehaviour::default();
        let duration = |section: &mut Section<'_>, key, field, usual| {
            section.duration(key, field, Duration::ZERO).unwrap_or(usual)
        };
        let bucket = validate_bucket(self.bucket_size, self.leaks_per_second, self.throttle_hint, section);
        let options = GoDataFeedOptions {
            api: section.take("api", self.api).unwrap_or(usual.options.api),
            consumer_key: section.take("consumer_key", self.consumer_key).unwrap_or(usual.options.consumer_key),
            token_life: section.duration("token_life", self.token_life, Duration::from_secs(1)),
            token_answer: section
                .take("token_answer", self.token_answer)
                .map_or(usual.options.token_answer, RawTokenAnswer::answer),
            token_interval: duration(section, "token_interval", self.token_interval, usual.options.token_interval),
            old_tokens: section.take("old_tokens", self.old_tokens).unwrap_or(usual.options.old_tokens),
            unauthorized: match section.take("unauthorized", self.unauthorized) {
                None => usual.options.unauthorized,
                Some(401) => StatusCode::UNAUTHORIZED,
                Some(403) => StatusCode::FORBIDDEN,
                Some(other) => {
                    section.problem("unauthorized", format!("{other} says nothing about tokens"), "use 401 or 403");
                    usual.options.unauthorized
                }
            },
            list_answer: section
                .take("list_answer", self.list_answer)
                .map_or(usual.options.list_answer, RawListAnswer::answer),
            listing_interval: duration(
                section,
                "listing_interval",
                self.listing_interval,
                usual.options.listing_interval,
            ),
            paging: section.number("paging", self.paging, 1..=1000).map(|size| size as usize),
            write_answer: section.take("write_answer", self.write_answer).unwrap_or(usual.options.write_answer),
            repeats: match section.take("repeats", self.repeats) {
                Some(Repetition::Succeeds) => Repeats::Succeed,
                Some(Repetition::Fails(status)) => Repeats::AreRefused(status),
                None => usual.options.repeats,
            },
            acknowledged: section.take("acknowledged", self.acknowledged).unwrap_or(usual.options.acknowledged),
            cancelled: section.take("cancelled", self.cancelled).unwrap_or(usual.options.cancelled),
            tracking_is_required: section
                .take("tracking_is_required", self.tracking_is_required)
                .unwrap_or(usual.options.tracking_is_required),
            local_times: validate_offset(self.local_times, section),
            marketplace: section.take("marketplace", self.marketplace).unwrap_or(usual.options.marketplace),
            latency: duration(section, "latency", self.latency, usual.options.latency),
            bucket,
            ..usual.options
        };
        let odd = section.take("odd_orders", self.odd_orders).unwrap_or_default().0;
        let odd: BTreeMap<String, Oddity> = odd.into_iter().map(|(order, odd)| (order, odd.oddity())).collect();
        let feed = Feed {
            delay: duration(section, "import_delay", self.import_delay, usual.feed.delay),
            prefix: section.take("number_prefix", self.number_prefix).unwrap_or_default(),
            oddities: if odd.is_empty() { Oddities::None } else { Oddities::Of(odd) },
            ..usual.feed
        };
        GodatafeedBehaviour {
            options,
            feed,
            writes: section.take("writes", self.writes).unwrap_or_default(),
            lists: section.take("lists", self.lists).unwrap_or_default(),
        }
    }
}

fn validate_bucket(
    size: Field<CallLimit>,
    leaks: Field<u32>,
    hint: Field<Hint>,
    section: &mut Section<'_>,
) -> Option<Bucket> {
    let usual = Bucket::DOCUMENTED;
    let leaks = section.number("leaks_per_second", leaks, 1..=1000).and_then(NonZeroU32::new);
    let hint = section.take("throttle_hint", hint).unwrap_or(usual.hint);
    let size = section.take("bucket_size", size).map_or(Some(usual.size), CallLimit::calls)?;
    Some(Bucket { size, leaks_per_second: leaks.unwrap_or(usual.leaks_per_second), hint })
}

fn validate_offset(field: Field<String>, section: &mut Section<'_>) -> Option<FixedOffset> {
    let text = section.take("local_times", field)?;
    let offset = text.parse().ok();
    if offset.is_none() {
        section.problem("local_times", format!("{text:?} is not an offset"), "write one as \"+01:00\"");
    }
    offset
}

#[cfg(test)]
mod tests;
