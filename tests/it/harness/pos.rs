//! The sink at a simulated SpotOn: one chain of two restaurants, `vendor-a` at home and `vendor-b` away.

use std::time::Duration;

use scoffable_sync::simulator::spoton::{
    Chain, Location, OPEN_ITEM, SCOPE_BUSINESS, SCOPE_ORDERS, SCOPE_REPORTS, SpotonOptions, SpotonSim, VendorMapping,
};
use serde_json::{Value, json};

use super::app::{Setup, TestApp, order};

pub const POS: &str = "pos";
pub const LAG: Duration = Duration::from_secs(20);
/// Of the vendor whose orders [`order`] makes.
pub const HOME: &str = "BL-7Q2M-0ZK4-88TD";
pub const AWAY: &str = "BL-0000-0000-0002";

/// Adds a sink at a simulated point of sale, without limits, and publishes orders as placed right now. The vendors are those
/// of the world that the chain was made for, else `vendor-a` and `vendor-b`.
pub fn at_pos(setup: Setup, sink: &str, sim: &SpotonSim) -> Setup {
    let options = sim.options();
    let key = |key: &str| format!("sinks.{sink}.{key}");
    let scopes = format!("[{SCOPE_ORDERS:?}, {SCOPE_REPORTS:?}, {SCOPE_BUSINESS:?}]");
    let mut setup = setup
        .placed_now()
        .with(&key("kind"), "spoton")
        .with(&key("base_url"), &sim.url())
        .with(&key("token_url"), &sim.token_url())
        .with(&key("client_id"), &options.client_id)
        .with(&key("client_secret"), &options.client_secret)
        .with(&key("scopes"), &scopes)
        .with(&key("limits.per_second"), "unlimited")
        .with(&key("limits.per_minute"), "unlimited");
    if !options.chain.vendors.is_empty() {
        return setup.with(&key("vendors"), &of_world(&options.chain));
    }
    for (vendor, location) in ["vendor-a", "vendor-b"].into_iter().zip(&options.chain.locations) {
        setup = setup
            .with(&key(&format!("vendors.{vendor}.location_id")), &location.id)
            .with(&key(&format!("vendors.{vendor}.menu_id")), &location.menus[0].id)
            .with(&key(&format!("vendors.{vendor}.currency")), "GBP")
            .with(&key(&format!("vendors.{vendor}.fallback_item_id")), OPEN_ITEM);
    }
    setup
}

/// The vendors of a chain that was made for a world, as an inline table.
fn of_world(chain: &Chain) -> String {
    let of_vendor = |(vendor, there): (&String, &VendorMapping)| {
        format!(
            "{vendor:?} = {{ location_id = {:?}, menu_id = {:?}, currency = {:?}, fallback_item_id = {:?} }}",
            there.location_id, there.menu_id, there.currency, there.fallback_item_id
        )
    };
    format!("{{ {} }}", chain.vendors.iter().map(of_vendor).collect::<Vec<_>>().join(", "))
}

/// One sink, at a chain of two restaurants: `vendor-a` at home, `vendor-b` away.
pub struct Case {
    pub app: TestApp,
    pub sim: SpotonSim,
}

impl Case {
    pub async fn start(change: impl FnOnce(Setup) -> Setup) -> Self {
        Self::beside(Setup::default(), change).await
    }

    /// Beside what is set up already.
    pub async fn beside(setup: Setup, change: impl FnOnce(Setup) -> Setup) -> Self {
        let setup = setup.without_hook().with("sinks.pos.breaker.failures", "1000");
        let mut chain = Chain::default();
        let away = Location { id: AWAY.to_owned(), ..chain.locations[0].clone() };
        chain.locations.push(away);
        let options = SpotonOptions {
            lag: LAG,
            chain,
            limits: Vec::new(),
            clock: setup.clock().clone(),
            ..SpotonOptions::default()
        };
        let sim = SpotonSim::start(options).await.expect("a loopback port is free");
        let app = change(at_pos(setup, POS, &sim)).start().await;
        Self { app, sim }
    }

    pub async fn usual() -> Self {
        Self::start(|setup| setup).await
    }

    pub async fn arrives(&mut self, order: &Value) {
        self.app.arrives(order).await;
    }

    pub async fn state(&self, order_id: &str) -> (String, Option<String>) {
        let delivery = self.app.delivery_at(POS, order_id).await;
        (delivery.state, delivery.reason)
    }

    pub async fn receipt(&self, order_id: &str) -> Value {
        sqlx::query_scalar("SELECT receipt FROM deliveries WHERE sink = 'pos' AND order_id = $1")
            .bind(order_id)
            .fetch_one(&self.app.pool)
            .await
            .expect("a delivery can be read")
    }

    pub async fn notice(&self, order_id: &str) -> Option<String> {
        sqlx::query_scalar("SELECT notice FROM deliveries WHERE sink = 'pos' AND order_id = $1")
            .bind(order_id)
            .fetch_one(&self.app.pool)
            .await
            .expect("a delivery can be read")
    }

    /// Cause, subject and count of the open alerts.
    pub async fn alerts(&self) -> Vec<(String, String, i64)> {
        sqlx::query_as("SELECT cause, subject, count FROM alerts WHERE resolved_at IS NULL ORDER BY id")
            .fetch_all(&self.app.pool)
            .await
            .expect("alerts can be read")
    }

    /// How many orders were ever stored there, and how many of them stand.
    pub fn tickets(&self, order_id: &str) -> (usize, usize) {
        let ledger = self.sim.ledger();
        (ledger.tickets(order_id), ledger.standing_of(order_id).len())
    }

    pub fn assert_nothing_wrong(&self) {
        assert_eq!((self.sim.violations(), self.sim.doubled()), (vec![], vec![]));
    }
}

pub fn of_vendor(id: &str, vendor: &str) -> Value {
    let mut order = order(id, 1, "accepted");
    order["vendorId"] = json!(vendor);
    order
}
