//! `erase`: what is personal of orders, or of a customer.

use std::io::Write;

use clap::{Args, builder::NonEmptyStringValueParser};
use serde_json::json;
use sqlx::PgPool;

use super::{
    FINE, JsonArgs, NOT_WELL,
    config::Form,
    operator::{ADD_YES, OperatorArgs, Progress, done_or_told},
};
use crate::{
    config::Settings,
    domain::ids::SourceName,
    operate::{
        erase::{self, Erase, Erased, Whose},
        stored::Wish,
    },
};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  scoffable-sync erase 5500017
  scoffable-sync erase 5500017 5500018 --yes --why \"request 12\"
  scoffable-sync erase --customer someone@example.org --yes --why \"request 13\"

Removes payloads, stored steps, excerpts of answers and bytes in quarantine, and which record of a destination is the
customer's. Ids, versions, amounts, digests, receipts and states stay, so an order that comes again is known and the money
is proven as before; it can be neither replayed nor backfilled. What destinations hold is theirs to erase. A newer version
that the platform sends later brings its content with it. An order that is still owed to a sink is refused: let it be
brought, or discard it. A customer is found by e-mail, or by the id that customer_fields of a sink point to.")]
pub struct EraseArgs {
    /// Orders, by id
    #[arg(value_name = "ORDER", required_unless_present = "customer")]
    pub orders: Vec<String>,
    /// Every order of the customer with this id or e-mail
    #[arg(long, value_name = "KEY", conflicts_with = "orders", value_parser = NonEmptyStringValueParser::new())]
    pub customer: Option<String>,
    /// Of this source; needed where several know an id
    #[arg(long, value_name = "NAME", value_parser = SourceName::parse)]
    pub source: Option<SourceName>,
    /// Only say what would be erased
    #[arg(long, conflicts_with = "yes")]
    pub dry_run: bool,
    /// Do it; without this, only say what would be erased
    #[arg(long)]
    pub yes: bool,
    #[command(flatten)]
    pub operator: OperatorArgs,
    #[command(flatten)]
    pub json: JsonArgs,
}

/// Does what the command says. Returns the exit code: 0, or 1 when it wants consent, was refused or was interrupted.
pub async fn run(
    settings: &Settings,
    pool: &PgPool,
    args: &EraseArgs,
    offset_ms: i64,
    out: &mut impl Write,
) -> anyhow::Result<u8> {
    let form = args.json.form();
    let wish = Wish::of(args.dry_run, args.yes);
    let whose = Whose::of(args.orders.clone(), args.customer.clone())?;
    let request = Erase { whose, source: args.source.clone(), wish };
    let progress = Progress::spinner("looked through");
    let desk = args.operator.desk(pool, offset_ms);
    let customers = erase::customers(settings);
    let operated = erase::erase(desk, &customers, &request, &mut |step| progress.watch(step)).await;
    drop(progress);
    let erased = match done_or_told(operated, form, out)? {
        Ok(erased) => erased,
        Err(code) => return Ok(code),
    };
    match form {
        Form::Json => writeln!(out, "{:#}", json!(erased))?,
        Form::Text => write_text(&erased, wish, out)?,
    }
    let wants_consent = wish == Wish::Ask && erased.total() > 0;
    Ok(if wants_consent || !erased.finished { NOT_WELL } else { FINE })
}

fn write_text(erased: &Erased, wish: Wish, out: &mut impl Write) -> std::io::Result<()> {
    if erased.total() == 0 && erased.finished {
        return writeln!(out, "nothing personal is kept of it");
    }
    writeln!(out, "{}:", if erased.erased { "erased" } else { "to be erased" })?;
    for order in &erased.orders {
        let parts = [
            (order.personal.payloads, "payloads"),
            (order.personal.answers, "excerpts of answers"),
            (order.personal.quarantine, "quarantine cases"),
            (order.personal.steps, "steps and errors of deliveries"),
        ];
        let parts: Vec<String> = parts.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect();
        let parts = if parts.is_empty() { "nothing personal".to_owned() } else { parts.join(", ") };
        writeln!(out, "  order {}/{}: {parts}", order.source, order.order_id)?;
    }
    for (n, what) in [
        (erased.customers.links, "links to customers' records"),
        (erased.customers.quarantine, "quarantine cases without an order"),
    ] {
        if n > 0 {
            writeln!(out, "  {n} {what}")?;
        }
    }
    if !erased.finished {
        return writeln!(out, "interrupted: run it again to go on");
    }
    writeln!(out, "kept: ids, versions, amounts, digests, receipts, states")?;
    if wish == Wish::Ask { writeln!(out, "{ADD_YES}") } else { Ok(()) }
}
