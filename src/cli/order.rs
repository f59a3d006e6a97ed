//! `order ID`: the story of one order. Everything but the personal data in its payloads.

use std::io::{self, Write};

use sqlx::PgPool;

use super::{FINE, NOT_WELL, config::Form, status::shown};
use crate::{
    domain::ids::SourceName,
    ops::{
        server::OrderAnswer,
        timeline::{Event, timeline, words},
    },
    store::orders::{self, OrderHistory},
};

/// Writes the order of every source that knows it, or of this one. Returns the exit code: 0, or 1 when none does.
pub async fn run(
    pool: &PgPool,
    order_id: &str,
    source: Option<&SourceName>,
    form: Form,
    out: &mut impl Write,
) -> anyhow::Result<u8> {
    let histories = orders::histories(pool, order_id, source).await?;
    let code = if histories.is_empty() { NOT_WELL } else { FINE };
    match form {
        Form::Json => {
            let orders: Vec<OrderAnswer> = histories.into_iter().map(OrderAnswer::from).collect();
            let answer = serde_json::json!({ "order_id": order_id, "orders": orders });
            writeln!(out, "{answer:#}")?;
        }
        Form::Text if histories.is_empty() => {
            let where_to = source.map_or_else(|| "any source".to_owned(), |source| format!("source {source}"));
            writeln!(out, "no order {order_id} in {where_to}")?;
        }
        Form::Text => {
            for (n, history) in histories.iter().enumerate() {
                if n > 0 {
                    writeln!(out)?;
                }
                write_order(history, out)?;
            }
        }
    }
    Ok(code)
}

fn write_order(history: &OrderHistory, out: &mut impl Write) -> io::Result<()> {
    write!(out, "order {} of source {}", history.order_id, history.source)?;
    if let Some(newest) = history.versions.last() {
        write!(out, ": {}, version {}", newest.status, newest.version)?;
        if let Some(vendor) = &newest.vendor_id {
            write!(out, ", vendor {vendor}")?;
        }
        if let Some(order_type) = &newest.order_type {
            write!(out, ", {order_type}")?;
        }
        if let Some(placed_at) = newest.placed_at {
            write!(out, ", placed {}", shown(placed_at))?;
        }
    }
    writeln!(out)?;
    if history.truncated {
        writeln!(out, "(only the newest {} rows of each kind are shown)", orders::MOST_ROWS)?;
    }
    for event in timeline(history) {
        write_event(&event, out)?;
    }
    Ok(())
}

fn write_event(event: &Event, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "{}  {:<16}  {}", shown(event.at), event.actor, words::headline(&event.what))?;
    for line in words::details(&event.what) {
        writeln!(out, "{:40}{line}", "")?;
    }
    Ok(())
}
