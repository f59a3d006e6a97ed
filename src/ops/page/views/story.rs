//! Orders: found, and told.

use maud::{Markup, html};

use super::{Frame, acts, order_link, state, table, time};
use crate::{
    domain::money::Breakdown,
    ops::{
        page::Act,
        timeline::{Event, timeline, words},
    },
    store::orders::{Found, OrderHistory},
};

pub fn found(asked: &str, found: &[Found]) -> Markup {
    html! {
        @if found.is_empty() {
            p { "No order and no destination's document is called " strong { (asked) } ". Ids are compared whole, as they are written." }
        } @else {
            (table("Orders", &["Order", "Source", "Called so by"], &html! {
                @for order in found {
                    tr {
                        th scope="row" { (order_link(&order.source, &order.order_id)) }
                        td { (order.source) }
                        td { (order.named_by) }
                    }
                }
            }))
        }
    }
}

pub fn order(frame: &Frame, history: &OrderHistory, money: Option<&Breakdown>, done: Option<Act>) -> Markup {
    html! {
        @if let Some(done) = done {
            div.note.is-good role="status" { p { "Done: " (done.name().to_lowercase()) ". It stands in the story below." } }
        }
        section aria-label=(format!("Source {}", history.source)) {
            dl {
                dt { "Source" } dd { (history.source) }
                @if let Some(newest) = history.versions.last() {
                    dt { "Status" } dd { (newest.status) ", version " (newest.version) }
                    @if let Some(vendor) = &newest.vendor_id { dt { "Vendor" } dd { (vendor) } }
                    @if let Some(order_type) = &newest.order_type { dt { "Type" } dd { (order_type) } }
                    @if let Some(placed_at) = newest.placed_at { dt { "Placed" } dd { (time(placed_at)) } }
                }
            }
            h2 { "Where it stands" }
            @if history.deliveries.is_empty() { p.soft { "No sink is owed it." } }
            @else {
                (table("Deliveries", &["Sink", "State", "Version", "There", "What to know"], &html! {
                    @for delivery in &history.deliveries {
                        tr {
                            th scope="row" { (delivery.sink) }
                            td { (state(&delivery.state)) @if let Some(reason) = &delivery.reason { " " (reason) } }
                            td { (delivery.applied_version.map_or_else(|| "none".to_owned(), |n| n.to_string())) " of " (delivery.wanted_version) }
                            td { (delivery.external_id.as_deref().unwrap_or("–")) }
                            td.long {
                                @for text in [&delivery.hint, &delivery.last_error, &delivery.notice].into_iter().flatten() { (text) br; }
                                @if let Some(waiting_for) = &delivery.waiting_for { "waits for " (words::awaited(waiting_for)) br; }
                                (acts(frame, &delivery.sink, &history.source, &history.order_id, &delivery.state))
                            }
                        }
                    }
                }))
            }
            @if let Some(money) = money { h2 { "Money of the newest version" } (breakdown(money)) }
            h2 { "Story" }
            @if history.truncated { p.soft { "Only the newest rows of each kind are shown." } }
            ol.story { @for event in timeline(history) { (story(&event)) } }
        }
    }
}

fn story(event: &Event) -> Markup {
    html! {
        li {
            p.soft { (time(event.at)) " · " (event.actor) }
            p { (words::headline(&event.what)) }
            @let details = words::details(&event.what);
            @if !details.is_empty() { ul { @for line in details { li { (line) } } } }
        }
    }
}

fn breakdown(money: &Breakdown) -> Markup {
    let items = money.items;
    let lines = [
        ("Goods", items.map(|items| items.goods)),
        ("Offers", items.map(|items| items.offers)),
        ("Vouchers", items.map(|items| items.vouchers)),
        ("Delivery fee", money.delivery_fee),
        ("Service fee", money.service_fee),
        ("Expected", money.expected),
        ("Total", money.total),
        ("Goodwill", Some(money.goodwill)),
        ("Unexplained", money.residual),
        ("Due to the vendor", money.vendor_due),
    ];
    html! {
        (table("Money", &["What", "Amount"], &html! {
            @for (what, amount) in lines {
                @if let Some(minor) = amount { tr { th scope="row" { (what) } td.n { (words::amount(minor.into(), money.currency)) } } }
            }
        }))
    }
}
