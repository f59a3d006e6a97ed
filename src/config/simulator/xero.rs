//! `[simulator.xero]`: what Xero's documentation leaves open, and how much it takes.

use std::time::Duration;

use chrono::NaiveDate;
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
    simulator::xero::{
        App, DateStyle, KeyReuse, LinesWithoutIds, Manner, Organisation, Rules, ScopeRefusal, XeroLimits, XeroOptions,
    },
};

#[derive(Debug, Default)]
pub struct XeroBehaviour {
    pub options: XeroOptions,
    /// What befalls the first creations of invoices, credit notes and payments, one each.
    pub invoices: Vec<Fate>,
    pub credit_notes: Vec<Fate>,
    pub payments: Vec<Fate>,
}

choice!(KeyReuse { Refused = "refused", Replayed = "replayed", Processed = "processed" });
choice!(LinesWithoutIds { Replace = "replace", Add = "add" });
choice!(DateStyle { Microsoft = "microsoft", Iso = "iso" });
choice!(ScopeRefusal { Unauthorized = "unauthorized", Forbidden = "forbidden" });

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(super) struct RawXeroBehaviour {
    redirects: Field<Vec<String>>,
    scopes: Field<Vec<String>>,
    token_life: Field<RawDuration>,
    in_progress: Field<CallLimit>,
    per_minute: Field<CallLimit>,
    per_day: Field<CallLimit>,
    app_per_minute: Field<CallLimit>,
    concurrency_retry_after: Field<u32>,
    currencies: Field<Vec<String>>,
    period_lock: Field<String>,
    year_lock: Field<String>,
    contacts: Field<Vec<String>>,
    prefix: Field<String>,
    key_life: Field<RawDuration>,
    key_reuse: Field<KeyReuse>,
    lines_without_ids: Field<LinesWithoutIds>,
    takes_zero_totals: Field<bool>,
    takes_negative_lines: Field<bool>,
    frees_numbers: Field<bool>,
    removes_reconciled_payments: Field<bool>,
    takes_where: Field<bool>,
    max_elements: Field<u32>,
    dates: Field<DateStyle>,
    scope_refusal: Field<ScopeRefusal>,
    latency: Field<RawDuration>,
    invoices: Field<Vec<Fate>>,
    credit_notes: Field<Vec<Fate>>,
    payments: Field<Vec<Fate>>,
}

impl RawXeroBehaviour {
    pub(super) fn validate(self, section: &mut Section<'_>) -> XeroBehaviour {
        let usual = XeroOptions::default();
        let mut limit = |key: &str, field, usual| section.take(key, field).map_or(usual, CallLimit::calls);
        let limits = XeroLimits {
            in_progress: limit("in_progress", self.in_progress, usual.limits.in_progress),
            per_minute: limit("per_minute", self.per_minute, usual.limits.per_minute),
            per_day: limit("per_day", self.per_day, usual.limits.per_day),
            app_per_minute: limit("app_per_minute", self.app_per_minute, usual.limits.app_per_minute),
        };
        let mut flag = |key: &str, field, usual| section.take(key, field).unwrap_or(usual);
        let rules = Rules {
            takes_zero_totals: flag("takes_zero_totals", self.takes_zero_totals, usual.rules.takes_zero_totals),
            takes_negative_lines: flag(
                "takes_negative_lines",
                self.takes_negative_lines,
                usual.rules.takes_negative_lines,
            ),
            frees_numbers: flag("frees_numbers", self.frees_numbers, usual.rules.frees_numbers),
            removes_reconciled_payments: flag(
                "removes_reconciled_payments",
                self.removes_reconciled_payments,
                usual.rules.removes_reconciled_payments,
            ),
            takes_where: flag("takes_where", self.takes_where, usual.rules.takes_where),
            key_life: section.duration("key_life", self.key_life, Duration::ZERO).unwrap_or(usual.rules.key_life),
            key_reuse: section.take("key_reuse", self.key_reuse).unwrap_or(usual.rules.key_reuse),
            lines_without_ids: section
                .take("lines_without_ids", self.lines_without_ids)
                .unwrap_or(usual.rules.lines_without_ids),
            max_elements: section
                .number("max_elements", self.max_elements, 1..=1000)
                .map_or(usual.rules.max_elements, |most| most as usize),
        };
        let manner = Manner {
            dates: section.take("dates", self.dates).unwrap_or(usual.manner.dates),
            scope_refusal: section.take("scope_refusal", self.scope_refusal).unwrap_or(usual.manner.scope_refusal),
            concurrency_retry_after: section
                .number("concurrency_retry_after", self.concurrency_retry_after, 1..=60)
                .map(u64::from),
            ..usual.manner
        };
        let organisation = Organisation {
            currencies: section.list("currencies", self.currencies).unwrap_or(usual.organisation.currencies),
            period_lock: date("period_lock", self.period_lock, section),
            year_lock: date("year_lock", self.year_lock, section),
            ..usual.organisation
        };
        let options = XeroOptions {
            app: match section.list("redirects", self.redirects) {
                Some(redirects) => App::CodeFlow { redirects },
                None => App::CustomConnection,
            },
            scopes: section.list("scopes", self.scopes).unwrap_or(usual.scopes),
            token_life: section
                .duration("token_life", self.token_life, Duration::from_secs(1))
                .unwrap_or(usual.token_life),
            contacts: section.list("contacts", self.contacts).unwrap_or(usual.contacts),
            prefix: section.take("prefix", self.prefix).unwrap_or(usual.prefix),
            latency: section.duration("latency", self.latency, Duration::ZERO).unwrap_or(usual.latency),
            organisation,
            limits,
            rules,
            manner,
            ..XeroOptions::default()
        };
        XeroBehaviour {
            options,
            invoices: section.take("invoices", self.invoices).unwrap_or_default(),
            credit_notes: section.take("credit_notes", self.credit_notes).unwrap_or_default(),
            payments: section.take("payments", self.payments).unwrap_or_default(),
        }
    }
}

fn date(key: &str, field: Field<String>, section: &mut Section<'_>) -> Option<NaiveDate> {
    let text = section.take(key, field)?;
    let date = text.parse().ok();
    if date.is_none() {
        section.problem(key, format!("{text:?} is not a day"), "write one as \"2026-01-31\"");
    }
    date
}
