//! What the page looks like. Pure: from what was read to HTML, in which every text from outside is escaped.
//!
//! One column, tables that scroll by themselves, labels on every field, nothing that needs a script. Here stands what all
//! pages share.

pub mod books;
pub mod letters;
pub mod overview;
pub mod story;

use chrono::{DateTime, Utc};
use maud::{DOCTYPE, Markup, html};

use super::Act;

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

/// With a mark it keeps itself up to date from there on.
pub fn page(frame: &Frame, place: Place, title: &str, mark: Option<&str>, body: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) " – scoffable-sync" }
                link rel="stylesheet" href="/style.css";
                @if mark.is_some() { script src="/live.js" defer {} }
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
                        input #q name="q" type="search" required maxlength="200" placeholder="its id here or there";
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
                main #main data-live=[mark] { h1 { (title) } (body) }
                footer { "Version " (frame.version) ". Times are UTC. " span #live role="status" {} }
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

/// Its rows stand as cards on a phone: for cells that say by themselves what they are.
fn cards(name: &str, heads: &[&str], rows: &Markup) -> Markup {
    html! { div.cards { (table(name, heads, rows)) } }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_an_address_are_escaped_and_empty_ones_left_out() {
        assert_eq!(query(&[("sink", ""), ("order", "A/1 &?"), ("act", "retry")]), "order=A%2F1+%26%3F&act=retry");
    }
}
