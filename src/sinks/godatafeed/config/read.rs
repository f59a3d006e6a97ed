//! From the keys of the file to settings.

use std::{collections::BTreeSet, time::Duration};

use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    Api, AuthMode, AuthSettings, Carriers, DestinationNumber, Fields, GodatafeedSettings, Literals, Matching, ORDER_ID,
    Paging, Pointers, Templates, Tracking,
};
use crate::{
    config::{
        SinkCommon, Versions,
        duration::RawDuration,
        field::{Field, Table},
        problems::Section,
        secret::RawSecret,
        url::{HttpUrl, check_transport},
    },
    sinks::{
        godatafeed::{
            ship_time::ShipTime,
            template::{Place, Template},
        },
        oauth::Bearer,
    },
};

/// Source: GoDataFeed API v1 and v2 Reference, introduction.
const BASE_URL: &str = "https://api.godatafeed.com";
/// Lifespans a consumer key can have, in days. Source: GoDataFeed help, "Order Sync Destination: GoDataFeed API".
const LIFESPANS: [u32; 3] = [7, 14, 30];
/// New orders are imported every 15 to 30 minutes, so looking more often finds nothing. Source: as above.
const SHORTEST_SENSIBLE_POLL: Duration = Duration::from_mins(2);
const SHORTEST_SENSIBLE_GRACE: Duration = Duration::from_mins(10);

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct RawGodatafeed {
    /// Where GoDataFeed answers; the paths of `templates` are appended.
    base_url: Field<HttpUrl>,
    /// Permits plain http to another machine.
    allow_insecure: Field<bool>,
    /// `"v1"` has the token in every path, `"v2"` in a header.
    api: Field<Api>,
    /// `"static_token"`: made in GoDataFeed's app; `"consumer_key"`: generated here.
    auth_mode: Field<AuthMode>,
    /// Access token, with `auth_mode = "static_token"`.
    token: Field<RawSecret>,
    /// Consumer key, with `auth_mode = "consumer_key"`.
    consumer_key: Field<RawSecret>,
    /// File that keeps the generated token, with `auth_mode = "consumer_key"`.
    token_file: Field<String>,
    /// How long a generated token lives: 7, 14 or 30 days. Left out: for ever.
    token_lifespan_days: Field<u32>,
    /// Request that generates a token, with `{key}`.
    auth_request_template: Field<String>,
    /// Permits writing. Until then the sink lists orders and shows what it would send.
    templates_confirmed: Field<bool>,
    /// The requests.
    templates: Field<Table<RawTemplates>>,
    /// Where the parts of a listed order stand, as JSON pointers.
    pointers: Field<Table<RawPointers>>,
    /// Pages of the list of new orders. Left out: it is one page.
    paging: Field<Table<RawPaging>>,
    /// Names of what is sent.
    fields: Field<Table<RawFields>>,
    /// What the statuses are called.
    literals: Field<Table<RawLiterals>>,
    /// What carriers are called.
    carriers: Field<Table<RawCarriers>>,
    /// Only orders of the marketplace with this name.
    channel_name: Field<String>,
    /// What stands before the Scoffable order number in the marketplace's.
    match_prefix: Field<String>,
    /// The marketplace's order number, with `{id}` for the Scoffable order's.
    match_template: Field<String>,
    /// Which number of the other sink's order is acknowledged: its `"id"` or its `"display_id"`.
    destination_number: Field<DestinationNumber>,
    /// The tracking number of a shipment: `"omit"` it, or send the `"order_id"`.
    tracking: Field<Tracking>,
    /// After its acceptance an order that is never tracked counts as shipped.
    ship_after: Field<RawDuration>,
    /// How long a cancellation waits: it cannot be taken back there.
    cancel_grace: Field<RawDuration>,
    /// Cancels new orders that were rejected, too.
    cancel_rejected: Field<bool>,
    /// How long GoDataFeed's own record of an order is waited for.
    counterpart_wait: Field<RawDuration>,
    /// How old the list of new orders may be.
    poll_interval: Field<RawDuration>,
    /// Zone in which ship times are written: `"UTC"` or an offset.
    ship_time_zone: Field<String>,
    /// How ship times are written, in the manner of `strftime`.
    ship_time_format: Field<String>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub struct RawTemplates {
    /// Lists new orders.
    list: Field<String>,
    /// Reads one order. Left out: a refused status is never read back.
    get: Field<String>,
    /// Acknowledges an order.
    acknowledge: Field<String>,
    /// Sets an order's status.
    status: Field<String>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub struct RawPointers {
    /// The list of orders, in an answer. Left out: the answer itself, `/orders` or `/data`.
    orders: Field<String>,
    /// GoDataFeed's id, in an order.
    id: Field<String>,
    /// The marketplace's order number, in an order.
    number: Field<String>,
    /// The marketplace's name, in an order.
    marketplace: Field<String>,
    /// The status, in an order.
    status: Field<String>,
    /// The time of purchase, in an order.
    purchased_at: Field<String>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub struct RawPaging {
    /// Orders on a page.
    #[schemars(range(min = 1, max = 1000))]
    size: Field<u32>,
    /// Name of the query parameter for the page's number, from 1.
    page_parameter: Field<String>,
    /// Name of the query parameter for its size.
    size_parameter: Field<String>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub struct RawFields {
    /// Of an acknowledgement: the other sink's order number.
    destination_number: Field<String>,
    /// Of a change of status: the new one.
    status: Field<String>,
    /// Of a shipment: date and time.
    ship_date: Field<String>,
    /// Of a shipment: see `tracking`.
    tracking_number: Field<String>,
    /// Of a shipment: see `carriers`.
    carrier: Field<String>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub struct RawLiterals {
    /// Of an order that nobody has taken over.
    new: Field<String>,
    /// Of a shipped one.
    shipped: Field<String>,
    /// Of a cancelled one.
    cancelled: Field<String>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub struct RawCarriers {
    /// Of deliveries by Uber.
    uber: Field<String>,
    /// Of deliveries by the vendor.
    vendor: Field<String>,
    /// Of orders that the customer picks up.
    collection: Field<String>,
}

impl RawGodatafeed {
    pub(crate) fn validate(self, common: &SinkCommon, section: &mut Section<'_>) -> Option<GodatafeedSettings> {
        check_common(common, section);
        let base_url = if self.base_url.is_absent() {
            HttpUrl::parse(BASE_URL).ok()
        } else {
            section.take("base_url", self.base_url)
        };
        let allow_insecure = check_transport("base_url", base_url.as_ref(), self.allow_insecure, section);
        let api = section.take("api", self.api).unwrap_or(Api::V1);
        let auth = validate_auth(
            RawAuth {
                mode: self.auth_mode,
                token: self.token,
                consumer_key: self.consumer_key,
                token_file: self.token_file,
                lifespan: self.token_lifespan_days,
                template: self.auth_request_template,
            },
            section,
        );
        let templates_confirmed = section.take("templates_confirmed", self.templates_confirmed).unwrap_or(false);
        let templates = section.table("templates", self.templates, |raw, section| raw.validate(api, section));
        let pointers = section.table("pointers", self.pointers, RawPointers::validate);
        let has_paging = !self.paging.is_absent();
        let paging = section.table("paging", self.paging, |raw: RawPaging, section| raw.validate(has_paging, section));
        let fields = section.table("fields", self.fields, RawFields::validate);
        let literals = section.table("literals", self.literals, RawLiterals::validate);
        let carriers = section.table("carriers", self.carriers, RawCarriers::validate);
        let poll_interval =
            section.duration("poll_interval", self.poll_interval, Duration::from_secs(1)).unwrap_or(POLL_INTERVAL);
        if poll_interval < SHORTEST_SENSIBLE_POLL {
            section.warn(
                "poll_interval",
                "new orders come into GoDataFeed every 15 to 30 minutes: asking this often only uses up calls",
                "use 5m",
            );
        }
        let cancel_grace =
            section.duration("cancel_grace", self.cancel_grace, Duration::ZERO).unwrap_or(Duration::from_mins(20));
        if cancel_grace < SHORTEST_SENSIBLE_GRACE {
            section.warn(
                "cancel_grace",
                "a cancellation cannot be taken back there, and Scoffable may take it back within this time",
                "use 20m, or at least two of the source's poll_interval",
            );
        }
        let zone = section.take("ship_time_zone", self.ship_time_zone);
        let format = section.take("ship_time_format", self.ship_time_format);
        let ship_time = match ShipTime::new(zone.as_deref(), format.as_deref()) {
            Ok(ship_time) => Some(ship_time),
            Err((key, wrong)) => {
                section.problem(key, wrong.problem, wrong.suggestion);
                None
            }
        };
        let matching = validate_matching(self.match_prefix, self.match_template, section);
        let duration = |section: &mut Section<'_>, key, field, default| {
            section.duration(key, field, Duration::ZERO).unwrap_or(default)
        };
        Some(GodatafeedSettings {
            channel_name: section.take("channel_name", self.channel_name),
            destination_number: section
                .take("destination_number", self.destination_number)
                .unwrap_or(DestinationNumber::Id),
            tracking: section.take("tracking", self.tracking).unwrap_or(Tracking::Omit),
            ship_after: duration(section, "ship_after", self.ship_after, Duration::from_hours(1)),
            cancel_grace,
            cancel_rejected: section.take("cancel_rejected", self.cancel_rejected).unwrap_or(false),
            counterpart_wait: duration(section, "counterpart_wait", self.counterpart_wait, Duration::from_hours(24)),
            poll_interval,
            templates_confirmed,
            allow_insecure,
            api,
            matching: matching.ok()?,
            paging: paging.ok()?,
            base_url: base_url?,
            auth: auth?,
            templates: templates?,
            pointers: pointers?,
            fields: fields?,
            literals: literals?,
            carriers: carriers?,
            ship_time: ship_time?,
        })
    }
}

const POLL_INTERVAL: Duration = Duration::from_mins(5);

/// What of the common keys this kind cannot do with or without.
fn check_common(common: &SinkCommon, section: &mut Section<'_>) {
    if common.after.is_none() && section.none_about(&["after"]) {
        section.problem(
            "after",
            "is missing: orders are acknowledged with the number that another sink's system gave them",
            "add `after = \"pos\"`, the name of the sink that inserts them",
        );
    }
    if common.versions == Versions::Every {
        section.problem(
            "versions",
            "\"every\" would acknowledge and cancel by versions that are outdated",
            "use \"latest\", or leave the key out",
        );
    }
}

/// An error where one of the two is wrong.
fn validate_matching(
    prefix: Field<String>,
    template: Field<String>,
    section: &mut Section<'_>,
) -> Result<Option<Matching>, ()> {
    let n_stated = usize::from(!prefix.is_absent()) + usize::from(!template.is_absent());
    match (section.take("match_prefix", prefix), section.take("match_template", template)) {
        (Some(_), Some(_)) => {
            section.problem("match_template", "stands beside `match_prefix`", "remove one of the two");
            Err(())
        }
        (None, Some(template)) if template.matches(ORDER_ID).count() != 1 => {
            let problem = format!("{template:?} does not say where the order id stands");
            let suggestion = "write {id} once in its place, as \"SC-{id}-UK\"";
            section.problem("match_template", problem, suggestion);
            Err(())
        }
        (prefix, template) => {
            let matching = prefix.map(Matching::Prefix).or(template.map(Matching::Template));
            if n_stated == usize::from(matching.is_some()) { Ok(matching) } else { Err(()) }
        }
    }
}

struct RawAuth {
    mode: Field<AuthMode>,
    token: Field<RawSecret>,
    consumer_key: Field<RawSecret>,
    token_file: Field<String>,
    lifespan: Field<u32>,
    template: Field<String>,
}

fn validate_auth(raw: RawAuth, section: &mut Section<'_>) -> Option<AuthSettings> {
    let mode = if raw.mode.is_absent() { Some(AuthMode::StaticToken) } else { section.take("auth_mode", raw.mode) };
    let Some(mode) = mode else {
        // Which of the others belong here is not known; each is judged all the same.
        section.secret("token", raw.token);
        section.secret("consumer_key", raw.consumer_key);
        section.take("token_file", raw.token_file);
        lifespan(raw.lifespan, section);
        auth_template(raw.template, section);
        return None;
    };
    let mut refuse = |key: &str, is_absent: bool| {
        if !is_absent {
            section.problem(key, format!("does nothing with `auth_mode = \"{mode}\"`"), "remove it");
        }
    };
    match mode {
        AuthMode::StaticToken => {
            refuse("consumer_key", raw.consumer_key.is_absent());
            refuse("token_file", raw.token_file.is_absent());
            refuse("token_lifespan_days", raw.lifespan.is_absent());
            refuse("auth_request_template", raw.template.is_absent());
            let token = section.require_secret("token", raw.token, "token = { env = \"GODATAFEED_TOKEN\" }")?;
            if Bearer::new(token.value().clone()).is_none() {
                section.problem("token", "has characters that no token has", "check what the secret holds");
                return None;
            }
            Some(AuthSettings::StaticToken { token })
        }
        AuthMode::ConsumerKey => {
            refuse("token", raw.token.is_absent());
            let to_add = "consumer_key = { env = \"GODATAFEED_KEY\" }";
            let consumer_key = section.require_secret("consumer_key", raw.consumer_key, to_add);
            let to_add = "token_file = \"/var/lib/scoffable-sync/godatafeed-token\"";
            let token_file = section.require("token_file", raw.token_file, to_add);
            let token_file = token_file.and_then(|written| match section.path(&written) {
                Ok(path) => Some(path),
                Err(error) => {
                    section.problem("token_file", error.to_string(), error.what_to_do());
                    None
                }
            });
            let token_lifespan_days = lifespan(raw.lifespan, section);
            let auth_request_template = auth_template(raw.template, section);
            Some(AuthSettings::ConsumerKey {
                consumer_key: consumer_key?,
                token_file: token_file?,
                token_lifespan_days,
                auth_request_template: auth_request_template?,
            })
        }
    }
}

fn lifespan(field: Field<u32>, section: &mut Section<'_>) -> Option<u32> {
    let days = section.take("token_lifespan_days", field)?;
    if !LIFESPANS.contains(&days) {
        let what = format!("{days} days is no lifespan that a consumer key can have");
        section.problem("token_lifespan_days", what, "use 7, 14 or 30, or leave it out for one that never expires");
        return None;
    }
    Some(days)
}

fn auth_template(field: Field<String>, section: &mut Section<'_>) -> Option<Template> {
    // Assumed: how the key is passed. Tests and the simulator rely on it.
    template("auth_request_template", field, "GET /v1/authorization?consumerKey={key}", &[Place::Key], section)
}

fn template(
    key: &str,
    field: Field<String>,
    default: &str,
    places: &[Place],
    section: &mut Section<'_>,
) -> Option<Template> {
    let text = if field.is_absent() { default.to_owned() } else { section.take(key, field)? };
    match Template::parse(&text, places) {
        Ok(template) => Some(template),
        Err(wrong) => {
            section.problem(key, wrong.problem, wrong.suggestion);
            None
        }
    }
}

impl RawTemplates {
    fn validate(self, api: Api, section: &mut Section<'_>) -> Option<Templates> {
        let (of_list, of_order): (&[Place], &[Place]) = match api {
            Api::V1 => (&[Place::Token], &[Place::Token, Place::Order]),
            Api::V2 => (&[], &[Place::Order]),
        };
        let root = match api {
            Api::V1 => "/v1/{t}/orders",
            Api::V2 => "/v2/orders",
        };
        // Assumed: all but the filter of the list. Tests and the simulator rely on them.
        let list = template("list", self.list, &format!("GET {root}?status=NEW"), of_list, section);
        let has_get = !self.get.is_absent();
        let get = template("get", self.get, &format!("GET {root}/{{gdf_id}}"), of_order, section);
        let acknowledge =
            template("acknowledge", self.acknowledge, &format!("PUT {root}/{{gdf_id}}/acknowledge"), of_order, section);
        let status = template("status", self.status, &format!("PUT {root}/{{gdf_id}}/status"), of_order, section);
        let get = if has_get { Some(get?) } else { None };
        Some(Templates { list: list?, get, acknowledge: acknowledge?, status: status? })
    }
}

impl RawPointers {
    fn validate(self, section: &mut Section<'_>) -> Option<Pointers> {
        let mut pointer = |key, field: Field<String>, default: &str| {
            if field.is_absent() {
                return Some(default.to_owned());
            }
            let pointer = section.take(key, field)?;
            if !pointer.starts_with('/') {
                section.problem(key, format!("{pointer:?} is not a JSON pointer"), "begin it with a slash, as \"/id\"");
                return None;
            }
            Some(pointer)
        };
        let has_orders = !self.orders.is_absent();
        let orders = pointer("orders", self.orders, "/orders");
        // Assumed: all of them. Tests and the simulator rely on them.
        let id = pointer("id", self.id, "/id");
        let number = pointer("number", self.number, "/marketplaceOrderNumber");
        let marketplace = pointer("marketplace", self.marketplace, "/marketplace");
        let status = pointer("status", self.status, "/status");
        let purchased_at = pointer("purchased_at", self.purchased_at, "/orderDate");
        Some(Pointers {
            orders: if has_orders { Some(orders?) } else { None },
            id: id?,
            number: number?,
            marketplace: marketplace?,
            status: status?,
            purchased_at: purchased_at?,
        })
    }
}

impl RawPaging {
    fn validate(self, is_there: bool, section: &mut Section<'_>) -> Result<Option<Paging>, ()> {
        if !is_there {
            return Ok(None);
        }
        if self.size.is_absent() {
            section.missing("size", "size = 100");
        }
        let size = section.number("size", self.size, 1..=1000);
        let page_parameter = word("page_parameter", self.page_parameter, "page", section);
        let size_parameter = word("size_parameter", self.size_parameter, "pageSize", section);
        let paging = size.zip(page_parameter.zip(size_parameter));
        let (size, (page_parameter, size_parameter)) = paging.ok_or(())?;
        Ok(Some(Paging { size, page_parameter, size_parameter }))
    }
}

fn word(key: &str, field: Field<String>, default: &str, section: &mut Section<'_>) -> Option<String> {
    if field.is_absent() { Some(default.to_owned()) } else { section.take(key, field) }
}

impl RawFields {
    fn validate(self, section: &mut Section<'_>) -> Option<Fields> {
        // Assumed: all of them. Tests and the simulator rely on them.
        let fields = Fields {
            destination_number: word("destination_number", self.destination_number, "destinationOrderNumber", section)
                .unwrap_or_default(),
            status: word("status", self.status, "status", section).unwrap_or_default(),
            ship_date: word("ship_date", self.ship_date, "shipDate", section).unwrap_or_default(),
            tracking_number: word("tracking_number", self.tracking_number, "trackingNumber", section)
                .unwrap_or_default(),
            carrier: word("carrier", self.carrier, "carrier", section).unwrap_or_default(),
        };
        let of_a_shipment = [
            ("status", &fields.status),
            ("ship_date", &fields.ship_date),
            ("tracking_number", &fields.tracking_number),
            ("carrier", &fields.carrier),
        ];
        let mut names = BTreeSet::new();
        for (key, name) in of_a_shipment {
            if !name.is_empty() && !names.insert(name) {
                section.problem(key, format!("{name:?} is the name of another field too"), "give each its own name");
            }
        }
        let is_whole = !fields.destination_number.is_empty() && names.len() == of_a_shipment.len();
        is_whole.then_some(fields)
    }
}

impl RawLiterals {
    fn validate(self, section: &mut Section<'_>) -> Option<Literals> {
        // Source: GoDataFeed help, "Order Sync Destination: GoDataFeed API", for NEW and the word shipped. Assumed: the
        // spelling of the other two; the page writes "CANCEL" and "cancelled".
        let new = word("new", self.new, "NEW", section);
        let shipped = word("shipped", self.shipped, "SHIPPED", section);
        let cancelled = word("cancelled", self.cancelled, "CANCELLED", section);
        Some(Literals { new: new?, shipped: shipped?, cancelled: cancelled? })
    }
}

impl RawCarriers {
    fn validate(self, section: &mut Section<'_>) -> Option<Carriers> {
        let uber = word("uber", self.uber, "Uber", section);
        let vendor = word("vendor", self.vendor, "Merchant delivery", section);
        let collection = word("collection", self.collection, "Customer pickup", section);
        Some(Carriers { uber: uber?, vendor: vendor?, collection: collection? })
    }
}
