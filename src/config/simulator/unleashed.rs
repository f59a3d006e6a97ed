//! `[simulator.unleashed]`: what Unleashed's documentation leaves open, and how much it takes.

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
    simulator::unleashed::{
        Blocked, MixedTax, RequiredFields, Rules, SecondPost, Settings, SignedQuery, UnleashedLimits, UnleashedOptions,
        WithoutStock, WrongSignature,
    },
};

#[derive(Debug, Default)]
pub struct UnleashedBehaviour {
    pub options: UnleashedOptions,
    /// What befalls the first creations of sales orders, completions of them, and creations of credit notes, one each.
    pub sales_orders: Vec<Fate>,
    pub completions: Vec<Fate>,
    pub credit_notes: Vec<Fate>,
}

choice!(SignedQuery { AsSent = "as_sent", Decoded = "decoded" });
choice!(WrongSignature { Unauthorized = "unauthorized", Forbidden = "forbidden" });
choice!(SecondPost { Refused = "refused", Answered = "answered", Overwrites = "overwrites" });
choice!(RequiredFields { All = "all", Few = "few" });
choice!(MixedTax { Taken = "taken", Refused = "refused", Flattened = "flattened" });
choice!(WithoutStock { Refused = "refused", Backordered = "backordered", Completed = "completed" });
choice!(Blocked { TooManyRequests = "too_many_requests", Forbidden = "forbidden" });

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(super) struct RawUnleashedBehaviour {
    per_month: Field<CallLimit>,
    per_minute: Field<CallLimit>,
    blocked: Field<Blocked>,
    tells_retry_after: Field<bool>,
    signed_query: Field<SignedQuery>,
    wrong_signature: Field<WrongSignature>,
    client_type_required: Field<bool>,
    currencies: Field<Vec<String>>,
    warehouses: Field<Vec<String>>,
    customers: Field<Vec<String>>,
    products: Field<Vec<String>>,
    prefix: Field<String>,
    second_post: Field<SecondPost>,
    frees_guids: Field<bool>,
    frees_numbers: Field<bool>,
    max_number: Field<u32>,
    required_fields: Field<RequiredFields>,
    takes_negative_prices: Field<bool>,
    takes_zero_totals: Field<bool>,
    mixed_tax: Field<MixedTax>,
    line_totals_rule: Field<bool>,
    put_removes_lines: Field<bool>,
    without_stock: Field<WithoutStock>,
    keeps_credit_guids: Field<bool>,
    free_credit_returns_stock: Field<bool>,
    tells_ids: Field<bool>,
    latency: Field<RawDuration>,
    sales_orders: Field<Vec<Fate>>,
    completions: Field<Vec<Fate>>,
    credit_notes: Field<Vec<Fate>>,
}

impl RawUnleashedBehaviour {
    pub(super) fn validate(self, section: &mut Section<'_>) -> UnleashedBehaviour {
        let usual = UnleashedOptions::default();
        let mut limit = |key: &str, field, usual| section.take(key, field).map_or(usual, CallLimit::calls);
        let limits = UnleashedLimits {
            per_month: limit("per_month", self.per_month, usual.limits.per_month),
            per_minute: limit("per_minute", self.per_minute, usual.limits.per_minute),
        };
        let mut flag = |key: &str, field, usual| section.take(key, field).unwrap_or(usual);
        let rules = Rules {
            client_type_required: flag(
                "client_type_required",
                self.client_type_required,
                usual.rules.client_type_required,
            ),
            frees_guids: flag("frees_guids", self.frees_guids, usual.rules.frees_guids),
            frees_numbers: flag("frees_numbers", self.frees_numbers, usual.rules.frees_numbers),
            takes_negative_prices: flag(
                "takes_negative_prices",
                self.takes_negative_prices,
                usual.rules.takes_negative_prices,
            ),
            takes_zero_totals: flag("takes_zero_totals", self.takes_zero_totals, usual.rules.takes_zero_totals),
            line_totals_rule: flag("line_totals_rule", self.line_totals_rule, usual.rules.line_totals_rule),
            put_removes_lines: flag("put_removes_lines", self.put_removes_lines, usual.rules.put_removes_lines),
            keeps_credit_guids: flag("keeps_credit_guids", self.keeps_credit_guids, usual.rules.keeps_credit_guids),
            free_credit_returns_stock: flag(
                "free_credit_returns_stock",
                self.free_credit_returns_stock,
                usual.rules.free_credit_returns_stock,
            ),
            tells_ids: flag("tells_ids", self.tells_ids, usual.rules.tells_ids),
            tells_retry_after: flag("tells_retry_after", self.tells_retry_after, usual.rules.tells_retry_after),
            signed_query: section.take("signed_query", self.signed_query).unwrap_or(usual.rules.signed_query),
            wrong_signature: section
                .take("wrong_signature", self.wrong_signature)
                .unwrap_or(usual.rules.wrong_signature),
            second_post: section.take("second_post", self.second_post).unwrap_or(usual.rules.second_post),
            max_number: section
                .number("max_number", self.max_number, 1..=1000)
                .map_or(usual.rules.max_number, |most| most as usize),
            required_fields: section
                .take("required_fields", self.required_fields)
                .unwrap_or(usual.rules.required_fields),
            mixed_tax: section.take("mixed_tax", self.mixed_tax).unwrap_or(usual.rules.mixed_tax),
            without_stock: section.take("without_stock", self.without_stock).unwrap_or(usual.rules.without_stock),
            blocked: section.take("blocked", self.blocked).unwrap_or(usual.rules.blocked),
        };
        let currencies = section.list("currencies", self.currencies).unwrap_or(usual.settings.currencies.clone());
        let settings = Settings {
            base_currency: currencies.first().cloned().unwrap_or(usual.settings.base_currency),
            currencies,
            taxes: usual.settings.taxes,
        };
        let options = UnleashedOptions {
            warehouses: section.list("warehouses", self.warehouses).unwrap_or(usual.warehouses),
            customers: section.list("customers", self.customers).unwrap_or(usual.customers),
            products: section.list("products", self.products).unwrap_or(usual.products),
            prefix: section.take("prefix", self.prefix).unwrap_or(usual.prefix),
            latency: section.duration("latency", self.latency, Duration::ZERO).unwrap_or(usual.latency),
            settings,
            limits,
            rules,
            ..UnleashedOptions::default()
        };
        UnleashedBehaviour {
            options,
            sales_orders: section.take("sales_orders", self.sales_orders).unwrap_or_default(),
            completions: section.take("completions", self.completions).unwrap_or_default(),
            credit_notes: section.take("credit_notes", self.credit_notes).unwrap_or_default(),
        }
    }
}
