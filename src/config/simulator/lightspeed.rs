//! `[simulator.lightspeed]`: what Lightspeed's documentation leaves open, and how much it takes.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::Fate;
use crate::{
    config::{
        CallLimit,
        duration::RawDuration,
        field::{Field, choice},
        problems::Section,
    },
    simulator::lightspeed::{
        ErrorShape, LeftOut, LightspeedLimits, LightspeedOptions, Manner, MoneyStyle, Reposted, RetryAfter,
        ReturnAnswer, Rules, Shop, WriteAnswer,
    },
};

#[derive(Debug, Default)]
pub struct LightspeedBehaviour {
    pub options: LightspeedOptions,
    /// What befalls the first new sales, changes of sales, returns, products and customers, one each.
    pub sales: Vec<Fate>,
    pub changes: Vec<Fate>,
    pub returns: Vec<Fate>,
    pub products: Vec<Fate>,
    pub customers: Vec<Fate>,
}

choice!(Reposted { Refused = "refused", Updates = "updates", Doubles = "doubles" });
choice!(MoneyStyle { Either = "either", Texts = "texts", Numbers = "numbers" });
choice!(LeftOut { Deleted = "deleted", Kept = "kept" });
choice!(WriteAnswer { Whole = "whole", Id = "id" });
choice!(ReturnAnswer { Dated = "dated", Semantic = "semantic" });
choice!(ErrorShape { Envelope = "envelope", Nested = "nested" });
choice!(RetryAfter { HttpDate = "http_date", Seconds = "seconds", Missing = "missing", Garbage = "garbage" });

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(super) struct RawLightspeedBehaviour {
    redirects: Field<Vec<String>>,
    scopes: Field<Vec<String>>,
    token_life: Field<RawDuration>,
    per_register: Field<CallLimit>,
    calls_beside: Field<u32>,
    retry_after: Field<RetryAfter>,
    currency: Field<String>,
    catalogue: Field<Vec<String>>,
    prefix: Field<String>,
    takes_negative_prices: Field<bool>,
    takes_negative_totals: Field<bool>,
    takes_zero_totals: Field<bool>,
    reposted: Field<Reposted>,
    closes_short: Field<bool>,
    closes_over: Field<bool>,
    takes_closed_registers: Field<bool>,
    voids_after_closing: Field<bool>,
    money: Field<MoneyStyle>,
    places: Field<u32>,
    unique_invoice_numbers: Field<bool>,
    unique_skus: Field<bool>,
    return_rules: Field<bool>,
    takes_over_returns: Field<bool>,
    returns_touch: Field<bool>,
    left_out: Field<LeftOut>,
    strict_postcodes: Field<bool>,
    tracks_new_products: Field<bool>,
    max_page_size: Field<u32>,
    write_answer: Field<WriteAnswer>,
    return_answer: Field<ReturnAnswer>,
    errors: Field<ErrorShape>,
    latency: Field<RawDuration>,
    sales: Field<Vec<Fate>>,
    changes: Field<Vec<Fate>>,
    returns: Field<Vec<Fate>>,
    products: Field<Vec<Fate>>,
    customers: Field<Vec<Fate>>,
}

impl RawLightspeedBehaviour {
    pub(super) fn validate(self, section: &mut Section<'_>) -> LightspeedBehaviour {
        let usual = LightspeedOptions::default();
        let mut flag = |key: &str, field, usual| section.take(key, field).unwrap_or(usual);
        let usual_rules = &usual.rules;
        let rules = Rules {
            takes_negative_prices: flag(
                "takes_negative_prices",
                self.takes_negative_prices,
                usual_rules.takes_negative_prices,
            ),
            takes_negative_totals: flag(
                "takes_negative_totals",
                self.takes_negative_totals,
                usual_rules.takes_negative_totals,
            ),
            takes_zero_totals: flag("takes_zero_totals", self.takes_zero_totals, usual_rules.takes_zero_totals),
            closes_short: flag("closes_short", self.closes_short, usual_rules.closes_short),
            closes_over: flag("closes_over", self.closes_over, usual_rules.closes_over),
            takes_closed_registers: flag(
                "takes_closed_registers",
                self.takes_closed_registers,
                usual_rules.takes_closed_registers,
            ),
            voids_after_closing: flag("voids_after_closing", self.voids_after_closing, usual_rules.voids_after_closing),
            unique_invoice_numbers: flag(
                "unique_invoice_numbers",
                self.unique_invoice_numbers,
                usual_rules.unique_invoice_numbers,
            ),
            unique_skus: flag("unique_skus", self.unique_skus, usual_rules.unique_skus),
            return_rules: flag("return_rules", self.return_rules, usual_rules.return_rules),
            takes_over_returns: flag("takes_over_returns", self.takes_over_returns, usual_rules.takes_over_returns),
            returns_touch: flag("returns_touch", self.returns_touch, usual_rules.returns_touch),
            strict_postcodes: flag("strict_postcodes", self.strict_postcodes, usual_rules.strict_postcodes),
            tracks_new_products: flag("tracks_new_products", self.tracks_new_products, usual_rules.tracks_new_products),
            reposted: section.take("reposted", self.reposted).unwrap_or(usual_rules.reposted),
            money: section.take("money", self.money).unwrap_or(usual_rules.money),
            places: section.number("places", self.places, 0..=5).unwrap_or(usual_rules.places),
            left_out: section.take("left_out", self.left_out).unwrap_or(usual_rules.left_out),
            max_page_size: section
                .number("max_page_size", self.max_page_size, 1..=10_000)
                .map_or(usual_rules.max_page_size, |most| most as usize),
        };
        let manner = Manner {
            write_answer: section.take("write_answer", self.write_answer).unwrap_or(usual.manner.write_answer),
            return_answer: section.take("return_answer", self.return_answer).unwrap_or(usual.manner.return_answer),
            errors: section.take("errors", self.errors).unwrap_or(usual.manner.errors),
            retry_after: section.take("retry_after", self.retry_after).unwrap_or(usual.manner.retry_after),
        };
        let documented = LightspeedLimits::DOCUMENTED;
        let beside = section.number("calls_beside", self.calls_beside, 0..=100_000).unwrap_or(documented.beside);
        let per_register =
            section.take("per_register", self.per_register).map_or(Some(documented.per_register), CallLimit::calls);
        let shop = Shop {
            currency: section.take("currency", self.currency).unwrap_or_else(|| usual.shop.currency.clone()),
            ..usual.shop
        };
        let options = LightspeedOptions {
            redirects: section.list("redirects", self.redirects).unwrap_or_default(),
            scopes: section.list("scopes", self.scopes).unwrap_or(usual.scopes),
            token_life: section
                .duration("token_life", self.token_life, Duration::from_secs(1))
                .unwrap_or(usual.token_life),
            products: section.list("catalogue", self.catalogue).unwrap_or_default(),
            prefix: section.take("prefix", self.prefix).unwrap_or(usual.prefix),
            latency: section.duration("latency", self.latency, Duration::ZERO).unwrap_or(usual.latency),
            limits: per_register.map(|per_register| LightspeedLimits { per_register, beside }),
            shop,
            rules,
            manner,
            ..LightspeedOptions::default()
        };
        LightspeedBehaviour {
            options,
            sales: section.take("sales", self.sales).unwrap_or_default(),
            changes: section.take("changes", self.changes).unwrap_or_default(),
            returns: section.take("returns", self.returns).unwrap_or_default(),
            products: section.take("products", self.products).unwrap_or_default(),
            customers: section.take("customers", self.customers).unwrap_or_default(),
        }
    }
}
