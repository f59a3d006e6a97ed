//! What the page looks like. Pure: from what was read to HTML, in which every text from outside is escaped.
//!
//! One column, tables that scroll by themselves, labels on every field, nothing that needs a script.

use chrono::{DateTime, Utc};
use maud::{DOCTYPE, Markup, html};

use super::{Act, chart};
use crate::{
    domain::{money::Breakdown, reconciliation::Tally},
    operate::{deliveries::Listing, reconcile::Books},
    ops::{
        health::{Ago, Health},
        timeline::{Event, timeline, words},
    },
    store::{
        alert_messages::Waiting,
        operations::Listed,
        orders::{Found, OrderHistory, StoredDelivery},
        status::{CallBudget, Details, Hour, OpenAlert, Overview, SinkStatus, SourceStatus},
    },
};

/// What every page shows around what it is about.
#[derive(Debug, Clone)]
pub struct Frame {
    /// What forms carry. None: nobody is logged in.
    pub form_token: Option<String>,
    /// Whether anybody can be: without an admin token nothing can be changed.
    pub has_token: bool,
    pub version: &'static str,
}

/// Places that the head links to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    Overview,
    Letters,
    Books,
    Elsewhere,
}

const PLACES: [(Place, &str, &str); 3] = [
    (Place::Overview, "/", "Overview"),
    (Place::Letters, "/letters", "Dead letters"),
    (Place::Books, "/books", "Books"),
];

pub fn page(frame: &Frame, place: Place, title: &str, body: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) " – scoffable-sync" }
                link rel="stylesheet" href="/style.css";
            }
            body {
                a.skip href="#main" { "Skip to the content" }
                header.top {
                    strong { "scoffable-sync" }
                    nav aria-label="Pages" {
                        ul {
                            @for (to, href, name) in PLACES {
                                li { a href=(href) aria-current=[(to == place).then_some("page")] { (name) } }
                            }
                        }
                    }
                    form action="/orders" method="get" role="search" {
                        label for="q" { "Order" }
                        input #q name="q" type="search" required maxlength="200" placeholder="its id, or the destination's";
                        button { "Find" }
                    }
                    @match &frame.form_token {
                        Some(form_token) => {
                            form action="/logout" method="post" { (hidden("form_token", form_token)) button { "Log out" } }
                        }
                        None if frame.has_token => { a href="/login" { "Log in" } }
                        None => {}
                    }
                }
                main #main { h1 { (title) } (body) }
                footer { "Version " (frame.version) ". Times are UTC." }
            }
        }
    }
}

/// Something that went wrong.
pub fn refusal(message: &str) -> Markup {
    html! {
        div.note.is-bad role="alert" { p { (message) } }
        p { a href="/" { "Back to the overview" } }
    }
}

pub fn login(wrong: Option<&str>) -> Markup {
    html! {
        @if let Some(wrong) = wrong { div.note.is-bad role="alert" { p { (wrong) } } }
        form.stack action="/login" method="post" {
            label { "Admin token (`http.admin_token` of the configuration)"
                input name="token" type="password" required autocomplete="current-password" autofocus;
            }
            div { button.main { "Log in" } }
        }
    }
}

/// What the overview is made of.
#[derive(Debug)]
pub struct Seen<'a> {
    pub health: &'a Health,
    pub overview: &'a Overview,
    pub details: &'a Details,
    pub waiting: &'a [Waiting],
    pub hours: &'a [Hour],
}

pub fn overview(frame: &Frame, seen: &Seen<'_>) -> Markup {
    html! {
        (health(seen.health))
        @if !seen.details.alerts.is_empty() || !seen.waiting.is_empty() {
            section aria-labelledby="alerts" { h2 #alerts { "Alerts" } (alerts(&seen.details.alerts, seen.waiting)) }
        }
        section aria-labelledby="activity" { h2 #activity { "The last day" } (chart::activity(seen.hours)) }
        section aria-labelledby="sinks" { h2 #sinks { "Sinks" } (sinks(&seen.overview.sinks)) }
        section aria-labelledby="sources" { h2 #sources { "Sources" } (sources(&seen.overview.sources)) }
        @if !seen.overview.call_budgets.is_empty() {
            section aria-labelledby="budgets" { h2 #budgets { "Calls to destinations" } (budgets(&seen.overview.call_budgets)) }
        }
        section aria-labelledby="letters" {
            h2 #letters { "Dead letters, newest" }
            @if seen.details.dead_letters.is_empty() { p.soft { "None: no delivery waits for a person." } }
            @else {
                (table("Dead letters", &["Order", "Sink", "Reason", "What to do", "For"], &html! {
                    @for letter in &seen.details.dead_letters {
                        tr {
                            th scope="row" { (order_link(&letter.source, &letter.order_id)) }
                            td { (letter.sink) }
                            td { (state(&letter.state)) " " (letter.reason.as_deref().unwrap_or_default()) }
                            td.long { (letter.hint.as_deref().unwrap_or_default()) (acts(frame, &letter.sink, &letter.source, &letter.order_id, &letter.state)) }
                            td.n { (Ago(letter.age_seconds)) }
                        }
                    }
                }))
                p { a href="/letters" { "All dead letters" } }
            }
        }
    }
}

fn health(health: &Health) -> Markup {
    if !health.is_degraded() {
        return html! { div.note.is-good { p.good { "All is well." } } };
    }
    html! {
        ul.plain aria-label="What is not as it should be" {
            @for reason in &health.reasons {
                li.note.is-bad {
                    p { strong { (reason.subject) } ": " (reason.detail) " " span.soft { "(" (reason.cause) ")" } }
                    p { (reason.hint) }
                }
            }
        }
    }
}

fn alerts(alerts: &[OpenAlert], waiting: &[Waiting]) -> Markup {
    html! {
        @for channel in waiting {
            div.note.is-bad {
                p {
                    (channel.messages) " messages to " strong { (channel.channel) } " could not be sent since " (time(channel.since))
                    " (" (channel.last_error.as_deref().unwrap_or("not tried")) ", " (channel.attempts) " tries): they are kept and tried again."
                }
            }
        }
        @if !alerts.is_empty() {
            (table("Open alerts", &["Cause", "About", "What to know", "Times", "Since"], &html! {
                @for alert in alerts {
                    tr {
                        th scope="row" { (alert.cause) }
                        td { (alert.subject) }
                        td.long { (alert.detail.as_deref().unwrap_or_default()) }
                        td.n { (alert.count) }
                        td.n { (time(alert.raised_at)) }
                    }
                }
            }))
        }
    }
}

fn sinks(sinks: &[SinkStatus]) -> Markup {
    if sinks.is_empty() {
        return html! { p.soft { "None is known: orders are only stored." } };
    }
    table(
        "Sinks",
        &["Sink", "State", "Waiting", "In doubt", "Parked", "Due longest", "Last delivered"],
        &html! {
            @for sink in sinks {
                tr {
                    th scope="row" { (sink.sink) " " span.soft { (sink.kind) } }
                    td {
                        (state(&sink.state))
                        @if let Some(reason) = &sink.reason { " " (reason) }
                        @if sink.breaker != "closed" { " " span.warn { "breaker " (sink.breaker.replace('_', " ")) } }
                        @if let Some(hint) = &sink.hint { br; (hint) }
                    }
                    td {
                        (sink.pending + sink.in_flight)
                        @for (what, n) in &sink.waiting_for { br; span.soft { (n) " for " (what) } }
                    }
                    td.n { (letters_link(sink.in_doubt, &sink.sink, "in_doubt")) }
                    td.n { (letters_link(sink.parked, &sink.sink, "parked")) }
                    td.n { @if let Some(due) = sink.oldest_due_seconds { (Ago(due)) } @else { "–" } }
                    td.n { (sink.last_success_at.map_or_else(|| html! { "never" }, time)) }
                }
            }
        },
    )
}

fn sources(sources: &[SourceStatus]) -> Markup {
    table(
        "Sources",
        &["Source", "State", "Position confirmed", "End reached", "Versions", "Quarantined", "Next poll"],
        &html! {
            @for source in sources {
                tr {
                    th scope="row" { (source.source) }
                    td {
                        (state(&source.state))
                        @if let Some(reason) = &source.reason { " " (reason) }
                        @if let Some(hint) = &source.hint { br; (hint) }
                        @if let Some(error) = &source.last_error { br; span.soft { (error) } }
                    }
                    td.n { @if let Some(age) = source.cursor_age_seconds { (Ago(age)) " ago" } @else { "nothing read yet" } }
                    td.n { (Ago(source.lag_seconds)) " ago" }
                    td.n { (source.versions) }
                    td.n { @if source.quarantined > 0 { span.bad { (source.quarantined) } } @else { "0" } }
                    td.n { (time(source.next_poll_at)) }
                }
            }
        },
    )
}

fn budgets(budgets: &[CallBudget]) -> Markup {
    table(
        "Calls to destinations",
        &["Budget", "Window", "Used", "Limit", "Forecast"],
        &html! {
            @for budget in budgets {
                tr {
                    th scope="row" { (budget.scope.strip_prefix("sink:").unwrap_or(&budget.scope)) }
                    td { (budget.window.as_str()) }
                    td.n { (budget.used) }
                    td.n { @if let Some(limit) = budget.limit { (limit) } @else { "–" } }
                    td {
                        @if let Some(until) = budget.full_until { span.bad { "none left until " (time(until)) } }
                        @else if let Some(at) = budget.runs_out_at { span.warn { "runs out at " (time(at)) } }
                        @else { span.good { "lasts" } }
                    }
                }
            }
        },
    )
}

/// What a list of deliveries was asked by.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    pub sink: String,
    pub reason: String,
    pub state: String,
}

pub fn letters(frame: &Frame, asked: &Asked, sinks: &[SinkStatus], listing: &Listing) -> Markup {
    let states = [("", "parked and in doubt"), ("parked", "parked"), ("in_doubt", "in doubt")];
    html! {
        form.stack action="/letters" method="get" {
            label { "Sink"
                select name="sink" {
                    option value="" { "all" }
                    @for SinkStatus { sink, .. } in sinks { option value=(sink) selected[*sink == asked.sink] { (sink) } }
                }
            }
            label { "State"
                select name="state" { @for (code, name) in states { option value=(code) selected[code == asked.state] { (name) } } }
            }
            label { "Reason (a code as the table shows it)" input name="reason" value=(asked.reason) maxlength="100"; }
            div { button { "Show" } }
        }
        @if !frame.has_token { p.soft { "Nothing can be changed here: the configuration has no http.admin_token." } }
        @else if frame.form_token.is_none() { p.soft { a href="/login" { "Log in" } " to retry, discard or adopt." } }
        @if listing.deliveries.is_empty() { p.soft { "No delivery waits for a person." } }
        @else { (letter_table(frame, &listing.deliveries)) }
        @if let Some(next) = &listing.next {
            p { a href=(format!("/letters?{}", query(&[("sink", &asked.sink), ("state", &asked.state), ("reason", &asked.reason), ("after", &String::from(next.clone()))]))) { "Older ones" } }
        }
    }
}

fn letter_table(frame: &Frame, deliveries: &[Listed]) -> Markup {
    table(
        "Dead letters",
        &["Order", "Sink", "State", "Reason", "What to do", "Last error", "Since"],
        &html! {
            @for letter in deliveries {
                tr {
                    th scope="row" { (order_link(&letter.source, &letter.order_id)) " " span.soft { (letter.source) } }
                    td { (letter.sink) }
                    td { (state(&letter.state)) @if let Some(step) = &letter.pending_step { br; span.soft { "step " (step) } } }
                    td { (letter.reason.as_deref().unwrap_or_default()) }
                    td.long { (letter.hint.as_deref().unwrap_or_default()) (acts(frame, &letter.sink, &letter.source, &letter.order_id, &letter.state)) }
                    td.long { (letter.last_error.as_deref().unwrap_or_default()) }
                    td.n { (time(letter.updated_at)) }
                }
            }
        },
    )
}

/// What a person may do about a delivery in this state.
fn acts(frame: &Frame, sink: &str, source: &str, order_id: &str, state: &str) -> Markup {
    let possible: &[Act] = match state {
        _ if frame.form_token.is_none() => &[],
        "parked" => &[Act::Retry, Act::Discard],
        "in_doubt" => &[Act::Retry, Act::Discard, Act::Adopt],
        _ => &[],
    };
    html! {
        @if !possible.is_empty() {
            div.acts {
                @for act in possible {
                    a href=(format!("/act?{}", query(&[("act", act.as_str()), ("sink", sink), ("source", source), ("order", order_id)]))) aria-label=(format!("{} order {order_id} at {sink}", act.name())) { (act.name()) }
                }
            }
        }
    }
}

/// What is done with which delivery.
#[derive(Debug, Clone, Copy)]
pub struct Touched<'a> {
    pub act: Act,
    pub source: &'a str,
    pub order_id: &'a str,
    pub delivery: &'a StoredDelivery,
}

pub fn ask(frame: &Frame, touched: Touched<'_>) -> Markup {
    let Touched { act, source, order_id, delivery } = touched;
    let is_doubt = delivery.state == "in_doubt";
    html! {
        dl {
            dt { "Order" } dd { (order_link(source, order_id)) " of source " (source) }
            dt { "Sink" } dd { (delivery.sink) }
            dt { "Stands" } dd { (state(&delivery.state)) @if let Some(reason) = &delivery.reason { " (" (reason) ")" } }
            dt { "Version" } dd { (delivery.wanted_version) " wanted, " @if let Some(applied) = delivery.applied_version { (applied) } @else { "none" } " applied" }
            @if let Some(hint) = &delivery.hint { dt { "What to do" } dd { (hint) } }
            @if let Some(error) = &delivery.last_error { dt { "Last error" } dd { (error) } }
        }
        div.note.is-bad { p { (consequence(act, is_doubt)) } }
        form.stack action="/act" method="post" {
            (hidden("form_token", frame.form_token.as_deref().unwrap_or_default()))
            (hidden("act", act.as_str()))
            (hidden("sink", &delivery.sink))
            (hidden("source", source))
            (hidden("order", order_id))
            @if act == Act::Adopt {
                label { "What the destination calls it" input name="external_id" required maxlength="500" autocomplete="off"; }
            }
            label { "Who you are" input name="who" required maxlength="100" autocomplete="username"; }
            label { "Why" input name="why" required maxlength="1000" autocomplete="off"; }
            div.acts { button.main { (act.name()) " order " (order_id) " at " (delivery.sink) } a href=(order_href(source, order_id)) { "Leave it" } }
        }
    }
}

fn consequence(act: Act, is_doubt: bool) -> &'static str {
    match (act, is_doubt) {
        (Act::Retry, false) => "It is tried again at once, with its newest version.",
        (Act::Retry, true) => {
            "Something was sent and no answer came. By this you confirm that nothing stands at the destination: it is sent again, \
             and stands there twice if you are wrong."
        }
        (Act::Discard, false) => "It is closed: this version is not sent. A newer version of the order is.",
        (Act::Discard, true) => {
            "It is closed as something that possibly stands there: nothing is ever created again for this order at this sink."
        }
        (Act::Adopt, _) => {
            "By this you confirm that it stands at the destination under that id. What follows is sent to that one."
        }
    }
}

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

/// The books of one sink.
#[derive(Debug)]
pub struct Ledger {
    pub sink: String,
    pub books: Books,
}

pub fn books(days: u32, ledgers: &[Ledger]) -> Markup {
    html! {
        p { "Orders placed in the last " (days) " days, by day and vendor: what the orders say, and what our receipts say was posted." }
        @if ledgers.is_empty() { p.soft { "No sink carries money." } }
        @for Ledger { sink, books } in ledgers {
            section aria-label=(format!("Books of {sink}")) {
                h2 { (sink) }
                @if !books.finished { div.note.is-bad { p { "Not all orders could be read in time: `reconcile` reads them all." } } }
                @else if books.is_well() { p.good { "Everything is explained." } }
                @else { p.bad { (books.totals.open.len()) " orders are not explained." } }
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

fn amounts(tally: &Tally, currency: Option<crate::domain::money::Currency>) -> Markup {
    let difference = tally.amounts.difference;
    html! {
        td.n { (tally.orders) }
        @for minor in [tally.amounts.source, tally.amounts.posted, tally.amounts.pending, tally.amounts.excluded] {
            td.n { (words::amount(minor, currency)) }
        }
        td.n { span.bad[difference != 0] { (words::amount(difference, currency)) } }
    }
}

fn table(name: &str, heads: &[&str], rows: &Markup) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label=(name) {
            table {
                thead { tr { @for head in heads { th scope="col" { (head) } } } }
                tbody { (rows) }
            }
        }
    }
}

/// A state in its colour and in words.
fn state(state: &str) -> Markup {
    let words = state.replace('_', " ");
    match state {
        "active" | "applied" => html! { span.good { (words) } },
        "paused" | "failing" | "in_doubt" => html! { span.warn { (words) } },
        "blocked" | "parked" => html! { span.bad { (words) } },
        _ => html! { (words) },
    }
}

fn time(at: DateTime<Utc>) -> Markup {
    html! { time datetime=(at.to_rfc3339()) { (at.format("%Y-%m-%d %H:%M:%S")) } }
}

fn hidden(name: &str, value: &str) -> Markup {
    html! { input type="hidden" name=(name) value=(value); }
}

fn letters_link(n: i64, sink: &str, state: &str) -> Markup {
    let href = format!("/letters?{}", query(&[("sink", sink), ("state", state)]));
    html! { @if n == 0 { "0" } @else { a href=(href) { (n) } } }
}

fn order_link(source: &str, order_id: &str) -> Markup {
    html! { a href=(order_href(source, order_id)) { (order_id) } }
}

/// Of the order's own page.
pub fn order_href(source: &str, order_id: &str) -> String {
    format!("/order?{}", query(&[("source", source), ("id", order_id)]))
}

/// Names and values for behind a `?`, those that are empty left out.
pub fn query(pairs: &[(&str, &str)]) -> String {
    let mut text = form_urlencoded::Serializer::new(String::new());
    text.extend_pairs(pairs.iter().filter(|(_, value)| !value.is_empty()));
    text.finish()
}
