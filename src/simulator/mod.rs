//! Stand-ins for the systems we talk to: seeded, strict, and misbehaving on order.
//!
//! Each foreign API has a file of its own, written from its documentation. None of them shares a type with our
//! clients, so that both cannot be wrong the same way; of our own code only the clock is used. What a real server
//! would refuse, they refuse. [`world`] makes up orders, [`ledger`] judges what a destination was told, [`faults`]
//! scripts or rolls misbehaviour, [`journal`] remembers, [`limits`] throttles, [`server`] cuts connections, [`shell`] runs
//! them all alike, [`conduct`] is what every ledger notes, [`amount`] and [`family`] what foreign books have in common,
//! [`token`] is the OAuth endpoint of those that have one.
//!
//! # A new simulator
//!
//! 1. A file named after the API, with its options, its state `Api`, and `pub type ApiSim = Sim<Api>`.
//! 2. `impl Simulator for Api`: routes in `arrive`, validation in `check`, effects and answers in `perform`.
//! 3. Its ledger behind a lock, with [`conduct::Violations`] and [`conduct::InFlight`]; `impl Destination for Api`.
//! 4. `impl ApiSim`: `start`, which ends with [`Sim::serve`](shell::Sim), and what tests may ask or change of it alone.
//! 5. A [`token::TokenSim`], if it has one: its router goes into [`Setup::beside`](shell::Setup).
//!
//! [`run`] starts the order stream and a webhook receiver together, and what else is asked for of [`spoton`],
//! [`godatafeed`], [`xero`], [`lightspeed`] and [`unleashed`], for `simulate` and `demo`; tests start what they need, also a
//! [`till`] that no real system is: the hardest destination we can think of.

pub mod amount;
pub mod conduct;
pub mod digest;
pub mod family;
pub mod faults;
pub mod godatafeed;
pub mod journal;
mod json;
pub mod ledger;
pub mod lightspeed;
pub mod limits;
mod payload;
pub mod scoffable;
pub mod server;
pub mod shell;
mod sign_in;
pub mod spoton;
#[cfg(test)]
mod test_client;
pub mod till;
pub mod time;
pub mod token;
pub mod unleashed;
pub mod webhook;
pub mod world;
pub mod xero;

use std::{fmt, net::SocketAddr, sync::Arc, time::Duration};

use serde_json::{Value, json};

use self::{
    faults::Chaos,
    godatafeed::{Feed, GoDataFeedOptions, GoDataFeedSim, Oddities},
    lightspeed::{LightspeedOptions, LightspeedSim},
    scoffable::{Grant, Limits, Pace, ScoffableOptions, ScoffableSim},
    spoton::{Chain, SpotonOptions, SpotonSim},
    unleashed::{UnleashedOptions, UnleashedSim},
    webhook::{WebhookOptions, WebhookSim, WebhookSimError},
    world::{Breakage, World, WorldOptions},
    xero::{XeroOptions, XeroSim},
};
use crate::clock::Clock;

/// The token's name in the journal of a simulation started by [`run`].
pub const TOKEN_ID: &str = "main";

/// How long SpotOn's sales report lags behind: minutes in truth, too long to watch.
pub const DEFAULT_REPORT_LAG: Duration = Duration::from_secs(5);
/// How much later than in the stream an order is found in GoDataFeed: minutes in truth, too long to watch.
pub const DEFAULT_IMPORT_DELAY: Duration = Duration::from_secs(5);

/// What to simulate.
#[derive(Clone)]
pub struct SimulateOptions {
    pub scoffable_listen: SocketAddr,
    pub webhook_listen: SocketAddr,
    /// None: SpotOn is not simulated.
    pub spoton_listen: Option<SocketAddr>,
    /// None: GoDataFeed is not simulated.
    pub godatafeed_listen: Option<SocketAddr>,
    /// None: Xero is not simulated.
    pub xero_listen: Option<SocketAddr>,
    /// None: Lightspeed is not simulated.
    pub lightspeed_listen: Option<SocketAddr>,
    /// None: Unleashed is not simulated.
    pub unleashed_listen: Option<SocketAddr>,
    pub orders: usize,
    pub seed: u64,
    pub chaos: Chaos,
    pub pace: Pace,
    pub limits: Limits,
    /// The only token the stream accepts.
    pub token: String,
    /// `whsec_` and base64.
    pub webhook_secret: String,
    pub spoton_client_id: String,
    pub spoton_client_secret: String,
    /// How SpotOn behaves; what else this struct names is taken from there.
    pub spoton: SpotonOptions,
    /// The token GoDataFeed accepts.
    pub godatafeed_token: String,
    /// How GoDataFeed behaves; what else this struct names is taken from there.
    pub godatafeed: GoDataFeedOptions,
    /// How orders come into GoDataFeed, but for their pace. Without oddities, chaos deals some.
    pub godatafeed_feed: Feed,
    /// How Xero behaves; what else this struct names is taken from there.
    pub xero: XeroOptions,
    /// How Lightspeed behaves; what else this struct names is taken from there.
    pub lightspeed: LightspeedOptions,
    /// How Unleashed behaves; what else this struct names is taken from there. It has the dishes of the world besides.
    pub unleashed: UnleashedOptions,
    /// See [`WorldOptions::payload_bytes`].
    pub payload_bytes: Option<usize>,
    /// How many versions to mix in that cannot be read.
    pub broken: usize,
    pub page_latency: Duration,
    pub clock: Clock,
}

impl Default for SimulateOptions {
    fn default() -> Self {
        let (scoffable, webhook, world) =
            (ScoffableOptions::default(), WebhookOptions::default(), WorldOptions::default());
        let spoton = SpotonOptions { lag: DEFAULT_REPORT_LAG, ..SpotonOptions::default() };
        Self {
            scoffable_listen: scoffable.listen,
            webhook_listen: webhook.listen,
            spoton_listen: None,
            godatafeed_listen: None,
            xero_listen: None,
            lightspeed_listen: None,
            unleashed_listen: None,
            orders: world.orders,
            seed: world.seed,
            chaos: Chaos::None,
            pace: Pace::AtOnce,
            limits: scoffable.limits,
            token: scoffable.grants[0].token.clone(),
            webhook_secret: webhook.secret,
            spoton_client_id: spoton.client_id.clone(),
            spoton_client_secret: spoton.client_secret.clone(),
            spoton,
            godatafeed_token: GoDataFeedOptions::default().token,
            godatafeed: GoDataFeedOptions::default(),
            godatafeed_feed: Feed { delay: DEFAULT_IMPORT_DELAY, ..Feed::default() },
            xero: XeroOptions::default(),
            lightspeed: LightspeedOptions::default(),
            unleashed: UnleashedOptions::default(),
            payload_bytes: None,
            broken: 0,
            page_latency: Duration::ZERO,
            clock: Clock::default(),
        }
    }
}

impl fmt::Debug for SimulateOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimulateOptions")
            .field("orders", &self.orders)
            .field("seed", &self.seed)
            .field("chaos", &self.chaos)
            .field("pace", &self.pace)
            .finish_non_exhaustive()
    }
}

/// A simulator could not be started.
#[derive(Debug, thiserror::Error)]
pub enum SimulatorError {
    #[error("the simulated order stream cannot listen on {0}")]
    Stream(SocketAddr, #[source] std::io::Error),
    #[error("the simulated webhook receiver cannot be started")]
    Webhook(#[source] WebhookSimError),
    #[error("the simulated SpotOn cannot listen on {0}")]
    Spoton(SocketAddr, #[source] std::io::Error),
    #[error("the simulated GoDataFeed cannot listen on {0}")]
    GoDataFeed(SocketAddr, #[source] std::io::Error),
    #[error("the simulated Xero cannot listen on {0}")]
    Xero(SocketAddr, #[source] std::io::Error),
    #[error("the simulated Lightspeed cannot listen on {0}")]
    Lightspeed(SocketAddr, #[source] std::io::Error),
    #[error("the simulated Unleashed cannot listen on {0}")]
    Unleashed(SocketAddr, #[source] std::io::Error),
}

/// The simulators at work on one world. Dropping it stops them at once.
#[derive(Debug)]
pub struct Simulation {
    pub world: Arc<World>,
    pub scoffable: ScoffableSim,
    pub webhook: WebhookSim,
    pub spoton: Option<SpotonSim>,
    pub godatafeed: Option<GoDataFeedSim>,
    pub xero: Option<XeroSim>,
    pub lightspeed: Option<LightspeedSim>,
    pub unleashed: Option<UnleashedSim>,
}

/// Makes up a world and starts the order stream, the webhook receiver, and whatever else is to be simulated.
pub async fn run(options: SimulateOptions) -> Result<Simulation, SimulatorError> {
    let seed = options.seed;
    let epoch = match options.pace {
        Pace::AtOnce => WorldOptions::default().epoch,
        // What appears before one's eyes should bear recent dates, and none in the future.
        Pace::Over(_) => options.clock.wall() - World::longest_span(options.orders),
    };
    let world = Arc::new(World::generate(WorldOptions {
        seed,
        orders: options.orders,
        epoch,
        payload_bytes: options.payload_bytes,
        broken: options.broken,
        breakages: Breakage::READABLE_PAGE.into(),
    }));
    let stream_options = ScoffableOptions {
        listen: options.scoffable_listen,
        pace: options.pace,
        limits: options.limits,
        grants: vec![Grant::new(TOKEN_ID, &options.token, "main")],
        latency: options.page_latency,
        chaos: options.chaos,
        seed,
        clock: options.clock.clone(),
        ..ScoffableOptions::default()
    };
    let scoffable = ScoffableSim::start(&world, stream_options)
        .await
        .map_err(|error| SimulatorError::Stream(options.scoffable_listen, error))?;
    let webhook = WebhookSim::start(WebhookOptions {
        listen: options.webhook_listen,
        secret: options.webhook_secret.clone(),
        chaos: options.chaos,
        seed,
        clock: options.clock.clone(),
        ..WebhookOptions::default()
    })
    .await
    .map_err(SimulatorError::Webhook)?;
    let spoton = match options.spoton_listen {
        Some(listen) => {
            let started = SpotonSim::start(SpotonOptions {
                listen,
                client_id: options.spoton_client_id.clone(),
                client_secret: options.spoton_client_secret.clone(),
                chain: Chain::of(&world),
                chaos: options.chaos,
                seed,
                clock: options.clock.clone(),
                ..options.spoton.clone()
            });
            Some(started.await.map_err(|error| SimulatorError::Spoton(listen, error))?)
        }
        None => None,
    };
    let godatafeed = match options.godatafeed_listen {
        Some(listen) => {
            let started = start_godatafeed(listen, &options, &world).await;
            Some(started.map_err(|error| SimulatorError::GoDataFeed(listen, error))?)
        }
        None => None,
    };
    let xero = match options.xero_listen {
        Some(listen) => {
            let started = XeroSim::start(XeroOptions {
                listen,
                chaos: options.chaos,
                seed,
                clock: options.clock.clone(),
                ..options.xero.clone()
            });
            Some(started.await.map_err(|error| SimulatorError::Xero(listen, error))?)
        }
        None => None,
    };
    let lightspeed = match options.lightspeed_listen {
        Some(listen) => {
            let started = LightspeedSim::start(LightspeedOptions {
                listen,
                chaos: options.chaos,
                seed,
                clock: options.clock.clone(),
                ..options.lightspeed.clone()
            });
            Some(started.await.map_err(|error| SimulatorError::Lightspeed(listen, error))?)
        }
        None => None,
    };
    let unleashed = match options.unleashed_listen {
        Some(listen) => {
            let named = &options.unleashed.products;
            let dishes = unleashed::products_of(&world).into_iter().filter(|dish| !named.contains(dish));
            let products = named.iter().cloned().chain(dishes).collect();
            let started = UnleashedSim::start(UnleashedOptions {
                listen,
                products,
                chaos: options.chaos,
                seed,
                clock: options.clock.clone(),
                ..options.unleashed.clone()
            });
            Some(started.await.map_err(|error| SimulatorError::Unleashed(listen, error))?)
        }
        None => None,
    };
    Ok(Simulation { world, scoffable, webhook, spoton, godatafeed, xero, lightspeed, unleashed })
}

/// With the orders of the world; some of them are odd where there is chaos.
async fn start_godatafeed(
    listen: SocketAddr,
    options: &SimulateOptions,
    world: &World,
) -> std::io::Result<GoDataFeedSim> {
    let &SimulateOptions { chaos, seed, pace, .. } = options;
    let godatafeed = GoDataFeedSim::start(GoDataFeedOptions {
        listen,
        token: options.godatafeed_token.clone(),
        chaos,
        seed,
        clock: options.clock.clone(),
        ..options.godatafeed.clone()
    })
    .await?;
    let oddities = match &options.godatafeed_feed.oddities {
        Oddities::None if chaos != Chaos::None => Oddities::Dealt { seed },
        stated => stated.clone(),
    };
    godatafeed.import_world(world, &Feed { pace, oddities, ..options.godatafeed_feed.clone() });
    Ok(godatafeed)
}

impl Simulation {
    /// Counts, the ledger in short, violations. The same stands at `GET /_sim/state` of each simulator for its part.
    pub fn state(&self) -> Value {
        let spoton = self.spoton.as_ref().map(SpotonSim::state);
        let godatafeed = self.godatafeed.as_ref().map(GoDataFeedSim::state);
        let xero = self.xero.as_ref().map(XeroSim::state);
        let lightspeed = self.lightspeed.as_ref().map(LightspeedSim::state);
        let unleashed = self.unleashed.as_ref().map(UnleashedSim::state);
        let (scoffable, webhook) = (self.scoffable.state(), self.webhook.state());
        json!({
            "scoffable": scoffable,
            "webhook": webhook,
            "spoton": spoton,
            "godatafeed": godatafeed,
            "xero": xero,
            "lightspeed": lightspeed,
            "unleashed": unleashed,
        })
    }

    /// Everything was published and read, so far as the stream can tell.
    pub fn is_drained(&self) -> bool {
        self.scoffable.is_drained_by(TOKEN_ID)
    }

    pub async fn stop(self) {
        self.scoffable.stop().await;
        self.webhook.stop().await;
        if let Some(spoton) = self.spoton {
            spoton.stop().await;
        }
        if let Some(godatafeed) = self.godatafeed {
            godatafeed.stop().await;
        }
        if let Some(xero) = self.xero {
            xero.stop().await;
        }
        if let Some(lightspeed) = self.lightspeed {
            lightspeed.stop().await;
        }
        if let Some(unleashed) = self.unleashed {
            unleashed.stop().await;
        }
    }
}

#[cfg(test)]
mod tests;
