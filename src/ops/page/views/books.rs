//! Money by day.

use maud::{Markup, html};

use super::{order_link, table, time};
use crate::{
    domain::{money::Currency, reconciliation::Tally},
    operate::reconcile::Books,
    ops::{page::reader::Shown, timeline::words},
};

/// The books of one sink.
#[derive(Debug)]
pub struct Ledger {
    pub sink: String,
    pub books: Books,
}

pub fn books(days: u32, shown: &Shown) -> Markup {
    let intro = html! {
        p { "Orders placed in the last " (days) " days, by day and vendor: what the orders say, and what our receipts say was posted." }
    };
    match shown {
        Shown::NotYet => html! {
            (intro)
            p role="status" { "The books are being read. This page shows them as soon as they are there." }
        },
        Shown::Older(read) => html! {
            (intro)
            p role="status" { "As of " (time(read.began_at)) "; newer ones are being read: " a href=(format!("/books?days={days}")) { "look again" } "." }
            (ledgers(&read.ledgers))
        },
        Shown::New(read) => html! {
            (intro)
            p.soft { "As of " (time(read.began_at)) "." }
            (ledgers(&read.ledgers))
        },
    }
}

fn ledgers(ledgers: &[Ledger]) -> Markup {
    html! {
        @if ledgers.is_empty() { p.soft { "No sink carries money." } }
        @for Ledger { sink, books } in ledgers {
            section aria-label=(format!("Books of {sink}")) {
                h2 { (sink) }
                @if !books.finished { div.note.is-bad { p { "Not all orders could be read in time: `reconcile` reads them all." } } }
                @else if books.is_well() { p.good { "Everything is explained." } }
                @else { p.bad { "Orders that are not explained: " (books.totals.open.len()) } }
                (table(&format!("Books of {sink}"), &["Day", "Vendor", "Orders", "Source", "Posted", "Pending", "Excluded", "Difference"], &html! {
                    @for (key, tally) in books.rows.iter() {
                        tr {
                            th scope="row" { @if let Some(day) = key.day { (day) } }
                            td { (key.vendor_id.as_deref().unwrap_or("–")) }
                            (amounts(tally, key.currency))
                        }
                    }
                }))
                @if !books.totals.open.is_empty() {
                    h3 { "Not explained" }
                    ul { @for open in books.totals.open.iter().take(50) {
                        li { (order_link(open.order.source.as_str(), open.order.order_id.as_str())) ": " (words::amount(open.amounts.difference, open.currency)) " (" (open.verdict.as_str()) ")" }
                    } }
                }
            }
        }
    }
}

fn amounts(tally: &Tally, currency: Option<Currency>) -> Markup {
    let difference = tally.amounts.difference;
    html! {
        td.n { (tally.orders) }
        @for minor in [tally.amounts.source, tally.amounts.posted, tally.amounts.pending, tally.amounts.excluded] {
            td.n { (words::amount(minor, currency)) }
        }
        td.n { span.bad[difference != 0] { (words::amount(difference, currency)) } }
    }
}
