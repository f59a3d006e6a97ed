//! What a sink's month costs in calls, before it begins; and which setting helps where that is too much. Pure.

use std::time::Duration;

use serde::Serialize;

use crate::{
    config::CatalogueSettings,
    domain::{
        catalogue::{Costs, Kind},
        limits::Window,
    },
};

/// A month has so many days here.
const DAYS: u64 = 30;
const MONTH: Duration = Duration::from_hours(24 * DAYS);
/// What is tried again, of the calls of orders.
const RETRIED_PERCENT: u64 = 5;
/// The most that is proposed of ourselves.
const LONGEST_PULL_INTERVAL: Duration = Duration::from_hours(2);
const FEWEST_SWEEP_ITEMS: u32 = 5;

/// What a month consists of.
#[derive(Debug, Clone)]
pub struct Load<'a> {
    pub settings: &'a CatalogueSettings,
    pub costs: Costs,
    /// Kinds whose changes are asked for.
    pub kinds: &'a [Kind],
    /// Whether posted orders are read back.
    pub reads_back: bool,
    pub orders_a_month: u64,
}

/// Calls of a month.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Estimate {
    pub pulls: u64,
    pub sweeps: u64,
    /// Reading back what was posted.
    pub documents: u64,
    pub orders: u64,
    pub retries: u64,
    pub total: u64,
}

/// Source: the synchronisation practices this follows: a pull costs a call for each kind, a sweep what its looks cost.
pub fn of(load: &Load<'_>) -> Estimate {
    let Load { settings, costs, kinds, .. } = load;
    let pulls = rounds(settings.pull_interval) * kinds.len() as u64;
    let sweep = |kind, every, items: u32, calls: u32| {
        if kinds.contains(&kind) { rounds(every) * u64::from(items) * u64::from(calls) } else { 0 }
    };
    let sweeps = sweep(Kind::Product, settings.sweep_interval, settings.sweep_items, costs.product)
        + sweep(Kind::Customer, settings.customer_sweep_interval, settings.customer_sweep_items, costs.customer);
    let documents = if load.reads_back {
        let calls = settings.document_sweep_items.div_ceil(costs.documents_at_once.max(1));
        rounds(settings.document_sweep_interval) * u64::from(calls)
    } else {
        0
    };
    let orders = (load.orders_a_month * u64::from(costs.ten_orders)).div_ceil(10);
    let retries = (orders * RETRIED_PERCENT).div_ceil(100);
    Estimate { pulls, sweeps, documents, orders, retries, total: pulls + sweeps + documents + orders + retries }
}

fn rounds(every: Duration) -> u64 {
    u64::try_from(MONTH.as_millis().div_ceil(every.as_millis().max(1))).unwrap_or(u64::MAX)
}

/// Calls that limits allow in a month: the tightest of them. None: nothing limits them.
pub fn allowed(limits: &[(Window, u32)]) -> Option<u64> {
    let of = |(window, calls): &(Window, u32)| match window {
        Window::Month => u64::from(*calls),
        _ => u64::from(*calls) * (MONTH.as_secs() / window.length().as_secs()),
    };
    limits.iter().map(of).min()
}

/// The setting that saves most, and what is left of the total with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Knob {
    pub setting: &'static str,
    pub value: &'static str,
    pub saves: u64,
}

/// What to turn where a month is too dear. None: nothing that is left to turn saves anything.
pub fn knob(load: &Load<'_>) -> Option<Knob> {
    let total = of(load).total;
    let saved =
        |settings: CatalogueSettings| total.saturating_sub(of(&Load { settings: &settings, ..load.clone() }).total);
    let settings = load.settings;
    let pull_interval = settings.pull_interval.max(LONGEST_PULL_INTERVAL);
    let sweep_items = settings.sweep_items.min(FEWEST_SWEEP_ITEMS);
    let document_sweep_interval = settings.document_sweep_interval.max(Duration::from_hours(24));
    let knobs = [
        Knob {
            setting: "pull_interval",
            value: "2h",
            saves: saved(CatalogueSettings { pull_interval, ..settings.clone() }),
        },
        Knob {
            setting: "sweep_items",
            value: "5",
            saves: saved(CatalogueSettings { sweep_items, ..settings.clone() }),
        },
        Knob {
            setting: "document_sweep_interval",
            value: "24h",
            saves: saved(CatalogueSettings { document_sweep_interval, ..settings.clone() }),
        },
    ];
    knobs.into_iter().filter(|knob| knob.saves > 0).max_by_key(|knob| knob.saves)
}

#[cfg(test)]
mod tests {
    use super::*;

    const COSTS: Costs = Costs { product: 2, customer: 1, ten_orders: 30, documents_at_once: 20 };
    const KINDS: [Kind; 3] = [Kind::Product, Kind::Stock, Kind::Customer];

    fn load(settings: &CatalogueSettings) -> Load<'_> {
        Load { settings, costs: COSTS, kinds: &KINDS, reads_back: true, orders_a_month: 40 * 30 }
    }

    #[test]
    fn a_month_of_the_defaults_costs_what_experience_says() {
        let settings = CatalogueSettings::of_pages(200);

        let month = of(&load(&settings));

        assert_eq!((month.pulls, month.orders, month.retries), (2_160, 3_600, 180));
        // Ten products of two calls, five times a day; and five customers once.
        assert_eq!((month.sweeps, month.documents), (3_000 + 150, 30));
        assert_eq!(month.total, 2_160 + 3_150 + 30 + 3_600 + 180);
    }

    #[test]
    fn what_is_not_kept_costs_nothing() {
        let settings = CatalogueSettings::of_pages(200);

        let month = of(&Load { kinds: &[], reads_back: false, orders_a_month: 0, ..load(&settings) });

        assert_eq!(month.total, 0);
    }

    #[test]
    fn the_tightest_limit_is_the_months() {
        assert_eq!(allowed(&[(Window::Minute, 50), (Window::Day, 4_000)]), Some(120_000));
        assert_eq!(allowed(&[(Window::Month, 100_000), (Window::Day, 4_000)]), Some(100_000));
        assert_eq!(allowed(&[]), None);
    }

    #[test]
    fn the_setting_that_saves_most_is_named_until_none_does() {
        let often = CatalogueSettings { pull_interval: Duration::from_mins(1), ..CatalogueSettings::of_pages(200) };
        let turned = knob(&load(&often)).unwrap();
        assert_eq!((turned.setting, turned.saves), ("pull_interval", 3 * (43_200 - 360)));

        let usual = CatalogueSettings::of_pages(200);
        assert_eq!(knob(&load(&usual)).unwrap().setting, "sweep_items");

        let least = CatalogueSettings { pull_interval: Duration::from_hours(2), sweep_items: 5, ..usual };
        assert_eq!(knob(&load(&least)), None);
    }
}
