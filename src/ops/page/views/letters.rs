//! What waits for a person, and what that person is told before deciding.

use maud::{Markup, html};

use super::{Frame, acts, cards, hidden, order_href, order_link, query, state, time};
use crate::{
    operate::deliveries::Listing,
    ops::page::Act,
    store::{operations::Listed, orders::StoredDelivery},
};

/// What a list of deliveries was asked by.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    pub sink: String,
    pub reason: String,
    pub state: String,
}

pub fn letters(frame: &Frame, asked: &Asked, sinks: &[String], listing: &Listing) -> Markup {
    let states = [("", "parked and in doubt"), ("parked", "parked"), ("in_doubt", "in doubt")];
    html! {
        form.filter action="/letters" method="get" {
            label { "Sink"
                select name="sink" {
                    option value="" { "all" }
                    @for sink in sinks { option value=(sink) selected[*sink == asked.sink] { (sink) } }
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
    cards(
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
