//! `simulate`: only the simulated systems, for integrators who want something to talk to.

use std::{io::Write, net::SocketAddr, time::Duration};

use clap::Args;

use super::{CliError, FINE};
use crate::{
    config::{
        LoadOptions,
        simulator::{self as behaviour, Fate, SimulatorSettings},
    },
    lifecycle::Lifecycle,
    simulator::{
        self, SimulateOptions, Simulation,
        faults::{Chaos, Fault},
        godatafeed,
        lightspeed::{self, LightspeedOptions},
        scoffable::{Limits, Pace},
        spoton,
        unleashed::{self, UnleashedOptions},
        xero::{self, Resource, XeroOptions},
    },
};

/// As in `config/simulator.toml`, which a test holds against these.
pub const TOKEN: &str = "simulator-token";
pub const STREAM: &str = "127.0.0.1:9471";
pub const RECEIVER: &str = "127.0.0.1:9472";
pub const SPOTON: &str = "127.0.0.1:9473";
pub const SPOTON_CLIENT_ID: &str = "simulator-client";
pub const SPOTON_CLIENT_SECRET: &str = "simulator-client-secret";
pub const GODATAFEED: &str = "127.0.0.1:9474";
pub const GODATAFEED_TOKEN: &str = "simulator-gdf-token";
pub const XERO: &str = "127.0.0.1:9475";
pub const XERO_CLIENT_ID: &str = "simulator-xero-client";
pub const XERO_CLIENT_SECRET: &str = "simulator-xero-secret";
pub const LIGHTSPEED: &str = "127.0.0.1:9476";
pub const LIGHTSPEED_TOKEN: &str = "simulator-lightspeed-token";
pub const LIGHTSPEED_CLIENT_ID: &str = "simulator-lightspeed-client";
pub const LIGHTSPEED_CLIENT_SECRET: &str = "simulator-lightspeed-secret";
pub const UNLEASHED: &str = "127.0.0.1:9477";
pub const UNLEASHED_API_ID: &str = "simulator-unleashed-id";
pub const UNLEASHED_API_KEY: &str = "simulator-unleashed-key";
pub const SIGNING_SECRET: &str = "whsec_c2ltdWxhdG9yIHNpZ25pbmcga2V5LCBub3Qgc2VjcmV0";

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  scoffable-sync simulate --chaos hard --seed 7
  scoffable-sync run --config config/simulator.toml   the daemon, in another terminal
  curl -s http://127.0.0.1:9471/_sim/state            what was asked; so on the other ports
  scoffable-sync simulate --config my-simulator.toml  with another [simulator] table

How SpotOn, GoDataFeed, Xero, Lightspeed and Unleashed behave is said by the tables
[simulator.spoton], [simulator.godatafeed], [simulator.xero], [simulator.lightspeed] and
[simulator.unleashed] of the file that --config names;
config/simulator.toml explains every key. Nothing else in it counts.")]
pub struct SimulateArgs {
    /// How many orders there are
    #[arg(long, default_value_t = 200)]
    orders: usize,
    /// Leads to the same orders and faults each time
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How badly the systems behave
    #[arg(long, value_enum, default_value = "none")]
    chaos: Chaos,
    /// The versions appear over this time; 0s: all at once
    #[arg(long, default_value = "60s", value_parser = humantime::parse_duration, value_name = "DURATION")]
    pace: Duration,
    /// Address of the order stream
    #[arg(long, default_value = STREAM, value_name = "ADDRESS")]
    stream: SocketAddr,
    /// Address of the webhook receiver
    #[arg(long, default_value = RECEIVER, value_name = "ADDRESS")]
    receiver: SocketAddr,
    /// Address of SpotOn, with a location for each vendor
    #[arg(long, default_value = SPOTON, value_name = "ADDRESS")]
    spoton: SocketAddr,
    /// Address of GoDataFeed, version 1
    #[arg(long, default_value = GODATAFEED, value_name = "ADDRESS")]
    godatafeed: SocketAddr,
    /// Address of Xero, with one organisation
    #[arg(long, default_value = XERO, value_name = "ADDRESS")]
    xero: SocketAddr,
    /// Address of Lightspeed Retail (X-Series), with one retailer
    #[arg(long, default_value = LIGHTSPEED, value_name = "ADDRESS")]
    lightspeed: SocketAddr,
    /// Address of Unleashed, with one account
    #[arg(long, default_value = UNLEASHED, value_name = "ADDRESS")]
    unleashed: SocketAddr,
    /// Enforce the documented limits of 30 requests a minute per token and 60 per account
    #[arg(long)]
    limits: bool,
}

pub async fn run(args: SimulateArgs, options: &LoadOptions, out: &mut impl Write) -> Result<u8, CliError> {
    let behaviour = behaviour::load(options)?;
    let lifecycle = Lifecycle::new();
    let signals = lifecycle.obey_signals()?;
    let simulation = simulator::run(SimulateOptions {
        scoffable_listen: args.stream,
        webhook_listen: args.receiver,
        spoton_listen: Some(args.spoton),
        godatafeed_listen: Some(args.godatafeed),
        xero_listen: Some(args.xero),
        lightspeed_listen: Some(args.lightspeed),
        unleashed_listen: Some(args.unleashed),
        orders: args.orders,
        seed: args.seed,
        chaos: args.chaos,
        pace: if args.pace.is_zero() { Pace::AtOnce } else { Pace::Over(args.pace) },
        limits: if args.limits { Limits::DOCUMENTED } else { Limits::NONE },
        token: TOKEN.to_owned(),
        webhook_secret: SIGNING_SECRET.to_owned(),
        spoton_client_id: SPOTON_CLIENT_ID.to_owned(),
        spoton_client_secret: SPOTON_CLIENT_SECRET.to_owned(),
        spoton: behaviour.spoton.options.clone(),
        godatafeed_token: GODATAFEED_TOKEN.to_owned(),
        godatafeed: behaviour.godatafeed.options.clone(),
        godatafeed_feed: behaviour.godatafeed.feed.clone(),
        xero: XeroOptions {
            client_id: XERO_CLIENT_ID.to_owned(),
            client_secret: XERO_CLIENT_SECRET.to_owned(),
            ..behaviour.xero.options.clone()
        },
        lightspeed: LightspeedOptions {
            personal_token: Some(LIGHTSPEED_TOKEN.to_owned()),
            client_id: LIGHTSPEED_CLIENT_ID.to_owned(),
            client_secret: LIGHTSPEED_CLIENT_SECRET.to_owned(),
            ..behaviour.lightspeed.options.clone()
        },
        unleashed: UnleashedOptions {
            api_id: UNLEASHED_API_ID.to_owned(),
            api_key: UNLEASHED_API_KEY.to_owned(),
            ..behaviour.unleashed.options.clone()
        },
        ..SimulateOptions::default()
    })
    .await
    .map_err(anyhow::Error::from)?;
    script(&simulation, &behaviour);
    writeln!(out, "order stream      {}  (token {TOKEN})", simulation.scoffable.base_url())?;
    writeln!(out, "webhook receiver  {}  (signing secret {SIGNING_SECRET})", simulation.webhook.url())?;
    if let Some(spoton) = &simulation.spoton {
        let client = format!("client {SPOTON_CLIENT_ID}, secret {SPOTON_CLIENT_SECRET}");
        writeln!(out, "SpotOn            {}  ({client}, tokens at {})", spoton.url(), spoton.token_url())?;
    }
    if let Some(godatafeed) = &simulation.godatafeed {
        writeln!(out, "GoDataFeed        {}  (token {GODATAFEED_TOKEN})", godatafeed.url())?;
    }
    if let Some(xero) = &simulation.xero {
        let client = format!("client {XERO_CLIENT_ID}, secret {XERO_CLIENT_SECRET}");
        writeln!(out, "Xero              {}  ({client}, tokens at {})", xero.url(), xero.token_url())?;
    }
    if let Some(lightspeed) = &simulation.lightspeed {
        let client = format!("client {LIGHTSPEED_CLIENT_ID}, secret {LIGHTSPEED_CLIENT_SECRET}");
        let token = format!("token {LIGHTSPEED_TOKEN}; or {client}, tokens at {}", lightspeed.token_url());
        writeln!(out, "Lightspeed        {}  ({token})", lightspeed.url())?;
    }
    if let Some(unleashed) = &simulation.unleashed {
        let house = unleashed.options().customers.first().and_then(|name| unleashed.customer_guid(name));
        let house = house.map(|guid| format!(", customer {guid}")).unwrap_or_default();
        writeln!(
            out,
            "Unleashed         {}  (id {UNLEASHED_API_ID}, key {UNLEASHED_API_KEY}{house})",
            unleashed.url()
        )?;
    }
    writeln!(out, "Ctrl-C ends it.")?;
    lifecycle.drain().cancelled().await;
    simulation.stop().await;
    signals.abort();
    Ok(FINE)
}

/// What befalls the first requests.
fn script(simulation: &Simulation, behaviour: &SimulatorSettings) {
    let faults = |fates: &[Fate]| fates.iter().map(|fate| fate.fault()).collect::<Vec<Fault>>();
    if let Some(spoton) = &simulation.spoton {
        spoton.answer_next_to(spoton::Operation::Submit, faults(&behaviour.spoton.submits));
        spoton.answer_next_to(spoton::Operation::Cancel, faults(&behaviour.spoton.cancels));
        spoton.answer_next_to(spoton::Operation::Report, faults(&behaviour.spoton.reports));
    }
    if let Some(godatafeed) = &simulation.godatafeed {
        godatafeed.answer_next_writes(faults(&behaviour.godatafeed.writes));
        godatafeed.answer_next_to(godatafeed::Operation::List, faults(&behaviour.godatafeed.lists));
    }
    if let Some(xero) = &simulation.xero {
        let fates = [
            (Resource::Invoices, &behaviour.xero.invoices),
            (Resource::CreditNotes, &behaviour.xero.credit_notes),
            (Resource::Payments, &behaviour.xero.payments),
        ];
        for (resource, fates) in fates {
            xero.answer_next_to(xero::Operation::Create(resource), faults(fates));
        }
    }
    if let Some(lightspeed) = &simulation.lightspeed {
        use lightspeed::Operation;
        let fates = [
            (Operation::CreateSale, &behaviour.lightspeed.sales),
            (Operation::SaveLegacySale, &behaviour.lightspeed.sales),
            (Operation::UpdateSale, &behaviour.lightspeed.changes),
            (Operation::StartReturn, &behaviour.lightspeed.returns),
            (Operation::CreateProduct, &behaviour.lightspeed.products),
            (Operation::CreateCustomer, &behaviour.lightspeed.customers),
        ];
        for (operation, fates) in fates {
            lightspeed.answer_next_to(operation, faults(fates));
        }
    }
    if let Some(unleashed) = &simulation.unleashed {
        let orders = unleashed::Resource::SalesOrders;
        let fates = [
            (unleashed::Operation::Save(orders), &behaviour.unleashed.sales_orders),
            (unleashed::Operation::Complete(orders), &behaviour.unleashed.completions),
            (unleashed::Operation::FreeCredit, &behaviour.unleashed.credit_notes),
        ];
        for (operation, fates) in fates {
            unleashed.answer_next_to(operation, faults(fates));
        }
    }
}
