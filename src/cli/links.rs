//! `links list|set|lock|unlock|break`: which record of ours is which record in a destination.

use std::io::Write;

use clap::{Args, Subcommand};
use serde_json::json;
use sqlx::PgPool;

use super::{
    FINE, JsonArgs,
    config::Form,
    operator::{OperatorArgs, done_or_told},
    table,
};
use crate::{
    domain::ids::SinkName,
    operate::{LISTED, links},
    sinks::links::LinkKind,
    store::links::Change,
};

#[derive(Debug, Subcommand)]
pub enum LinksCommand {
    /// Links of products and customers, and what is wrong with them
    #[command(after_help = "\
Examples:
  scoffable-sync links list --sink books
  scoffable-sync links list --problems          only those that documents cannot use, and what to do
  scoffable-sync links list --kind customer --json

Keys of customers may be e-mail addresses.")]
    List(ListArgs),
    /// Link a product or customer by hand; the program never changes it
    #[command(after_help = "\
Examples:
  scoffable-sync links set books product \"lamb bhuna\" LAMB-BHUNA
  scoffable-sync links set books customer C-77 6f0e2a44-2222-4c1e-9b7d-0d3f5a2b9c02 --why \"two contacts alike\"")]
    Set(SetArgs),
    /// Keep a link as it is: the program never changes it
    #[command(after_help = "\
Examples:
  scoffable-sync links lock books product \"lamb bhuna\"")]
    Lock(WhichArgs),
    /// Leave a link to the program again
    #[command(after_help = "\
Examples:
  scoffable-sync links unlock books product \"lamb bhuna\"")]
    Unlock(WhichArgs),
    /// Have a link used no more
    #[command(after_help = "\
Examples:
  scoffable-sync links break books customer C-77 --why \"the contact is somebody else\"")]
    Break(WhichArgs),
}

#[derive(Debug, Args)]
pub struct ListArgs {
    /// Only of this sink
    #[arg(long, value_name = "NAME", value_parser = SinkName::parse)]
    pub sink: Option<SinkName>,
    /// Only products, or only customers
    #[arg(long, value_name = "KIND", value_parser = kind)]
    pub kind: Option<LinkKind>,
    /// Only those that documents cannot use
    #[arg(long)]
    pub problems: bool,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = LISTED, value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: u32,
    #[command(flatten)]
    pub json: JsonArgs,
}

#[derive(Debug, Args)]
pub struct WhichArgs {
    /// The sink
    #[arg(value_parser = SinkName::parse)]
    pub sink: SinkName,
    /// product or customer
    #[arg(value_parser = kind)]
    pub kind: LinkKind,
    /// A product's reference, or its name in lower case; a customer's id or e-mail
    pub key: String,
    #[command(flatten)]
    pub operator: OperatorArgs,
    #[command(flatten)]
    pub json: JsonArgs,
}

#[derive(Debug, Args)]
pub struct SetArgs {
    /// The sink
    #[arg(value_parser = SinkName::parse)]
    pub sink: SinkName,
    /// product or customer
    #[arg(value_parser = kind)]
    pub kind: LinkKind,
    /// A product's reference, or its name in lower case; a customer's id or e-mail
    pub key: String,
    /// What the destination calls the record: its id, or its code where documents name it by code
    pub remote_id: String,
    #[command(flatten)]
    pub operator: OperatorArgs,
    #[command(flatten)]
    pub json: JsonArgs,
}

/// As it is written on the command line.
pub fn kind(text: &str) -> Result<LinkKind, String> {
    LinkKind::parse(text).ok_or_else(|| "it is either product or customer".to_owned())
}

/// Does what the command says. Returns the exit code: 0, or 1 when it was refused.
pub async fn run(pool: &PgPool, command: &LinksCommand, offset_ms: i64, out: &mut impl Write) -> anyhow::Result<u8> {
    let (args, change) = match command {
        LinksCommand::List(args) => return list(pool, args, out).await,
        LinksCommand::Set(args) => return set(pool, args, offset_ms, out).await,
        LinksCommand::Lock(args) => (args, Change::Lock),
        LinksCommand::Unlock(args) => (args, Change::Unlock),
        LinksCommand::Break(args) => (args, Change::Break),
    };
    let which = links::Which { sink: args.sink.clone(), kind: args.kind, key: args.key.clone() };
    let operated = links::change(args.operator.desk(pool, offset_ms), &which, change).await;
    let form = args.json.form();
    match done_or_told(operated, form, out)? {
        Ok(answer) => write_answer(&answer, form, out),
        Err(code) => Ok(code),
    }
}

async fn set(pool: &PgPool, args: &SetArgs, offset_ms: i64, out: &mut impl Write) -> anyhow::Result<u8> {
    let which = links::Which { sink: args.sink.clone(), kind: args.kind, key: args.key.clone() };
    let request = links::Set { which, remote_id: args.remote_id.clone() };
    let operated = links::set(args.operator.desk(pool, offset_ms), &request).await;
    let form = args.json.form();
    match done_or_told(operated, form, out)? {
        Ok(answer) => write_answer(&answer, form, out),
        Err(code) => Ok(code),
    }
}

fn write_answer(answer: &links::Answer, form: Form, out: &mut impl Write) -> anyhow::Result<u8> {
    match form {
        Form::Json => writeln!(out, "{:#}", json!(answer))?,
        Form::Text => {
            writeln!(out, "{} {:?} at sink {} is {}", answer.kind.as_str(), answer.key, answer.sink, answer.done)?;
        }
    }
    Ok(FINE)
}

async fn list(pool: &PgPool, args: &ListArgs, out: &mut impl Write) -> anyhow::Result<u8> {
    let request = links::List { sink: args.sink.clone(), kind: args.kind, problems: args.problems, limit: args.limit };
    let form = args.json.form();
    let listing = match done_or_told(links::list(pool, &request).await, form, out)? {
        Ok(listing) => listing,
        Err(code) => return Ok(code),
    };
    match form {
        Form::Json => writeln!(out, "{:#}", json!(listing))?,
        Form::Text if listing.links.is_empty() => writeln!(out, "no links")?,
        Form::Text => {
            let row = |link: &crate::store::links::Listed| {
                let shown = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
                vec![
                    link.sink.clone(),
                    link.kind.clone(),
                    link.local_key.clone(),
                    shown(&link.remote_id),
                    if link.locked { "locked".to_owned() } else { shown(&link.how) },
                    link.problem.clone().unwrap_or_default(),
                ]
            };
            let rows: Vec<Vec<String>> = listing.links.iter().map(row).collect();
            table::write(out, &["sink", "kind", "key", "there", "by", "problem"], &rows)?;
            for link in listing.links.iter().filter_map(|link| link.hint.as_ref().map(|hint| (link, hint))) {
                writeln!(out, "{}: {}", link.0.local_key, link.1)?;
            }
        }
    }
    Ok(FINE)
}
