//! A message in words. Pure; the same message always reads the same.
//!
//! What others wrote (ids of orders, words of a destination) is put on one line, shortened, and loses whatever looks like
//! an e-mail address: alerts hold nothing personal by their contract, and a mistake about that shall not travel.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use crate::{
    config::HttpUrl,
    store::alert_messages::{Kind, Listed, Message},
};

/// Characters of a subject and of a detail at most.
const LONGEST: usize = 300;

/// One line that says what it is about.
pub fn title(message: &Message) -> String {
    let what = match (message.subjects, message.listed.first()) {
        (1, Some(only)) => format!("{}: {}", message.cause, tidy(&only.subject)),
        (n, _) => format!("{} ({n})", message.cause),
    };
    match message.kind {
        Kind::Raised => format!("[scoffable-sync] {what}"),
        Kind::Resolved => format!("[scoffable-sync] resolved: {what}"),
    }
}

/// For people.
pub fn text(message: &Message, page: Option<&HttpUrl>) -> String {
    let mut lines = vec![heading(message), String::new()];
    for alert in &message.listed {
        lines.push(format!("- {}{}", tidy(&alert.subject), when(alert)));
        lines.extend(alert.detail.as_deref().map(|detail| format!("  {}", tidy(detail))));
    }
    let more = message.subjects - message.listed.len() as i64;
    if more > 0 {
        lines.push(format!("- and {more} more"));
    }
    if let Some(page) = page {
        lines.extend([String::new(), page.to_string()]);
    }
    lines.join("\n") + "\n"
}

/// For programs.
pub fn json(message: &Message, page: Option<&HttpUrl>) -> Value {
    let alert = |alert: &Listed| {
        json!({
            "subject": tidy(&alert.subject),
            "detail": alert.detail.as_deref().map(tidy),
            "count": alert.count,
            "raised_at": alert.raised_at,
            "resolved_at": alert.resolved_at,
        })
    };
    json!({
        "id": message.id.to_string(),
        "cause": message.cause,
        "kind": message.kind,
        "composed_at": message.composed_at,
        "subjects": message.subjects,
        "times": message.times,
        "alerts": message.listed.iter().map(alert).collect::<Vec<_>>(),
        "text": slack(message, page),
    })
}

/// Title and text. Slack's markup takes `&`, `<` and `>` for its own.
///
/// Source: Slack, "Formatting text for app surfaces", Escaping text.
pub fn slack(message: &Message, page: Option<&HttpUrl>) -> String {
    let text = format!("{}\n{}", title(message), text(message, page));
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn heading(message: &Message) -> String {
    let Message { cause, subjects, times, .. } = message;
    let subjects = if *subjects == 1 { "1 alert".to_owned() } else { format!("{subjects} alerts") };
    let raised = if *times == message.subjects { String::new() } else { format!(", raised {times} times") };
    match message.kind {
        Kind::Raised => format!("{cause}: {subjects}{raised}"),
        Kind::Resolved => format!("{cause}: {subjects} ended"),
    }
}

fn when(alert: &Listed) -> String {
    let times = if alert.count > 1 { format!(", {} times", alert.count) } else { String::new() };
    let since = instant(alert.raised_at);
    match alert.resolved_at {
        Some(until) => format!(" ({since} to {}{times})", instant(until)),
        None => format!(" (since {since}{times})"),
    }
}

fn instant(at: DateTime<Utc>) -> impl std::fmt::Display {
    at.format("%Y-%m-%d %H:%M UTC")
}

/// One line, not too long, without addresses.
fn tidy(text: &str) -> String {
    let words = text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty());
    let line =
        words.map(|word| if looks_like_address(word) { "[redacted]" } else { word }).collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

fn looks_like_address(word: &str) -> bool {
    word.split_once('@').is_some_and(|(who, host)| !who.is_empty() && host.contains('.'))
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn at(minute: u32) -> DateTime<Utc> {
        format!("2026-03-01T12:{minute:02}:00Z").parse().unwrap()
    }

    fn alert(subject: &str, detail: &str) -> Listed {
        Listed {
            subject: subject.to_owned(),
            detail: Some(detail.to_owned()),
            count: 1,
            raised_at: at(0),
            resolved_at: None,
        }
    }

    fn message(kind: Kind, subjects: i64, listed: Vec<Listed>) -> Message {
        Message {
            id: Uuid::nil(),
            cause: "dead_letter".to_owned(),
            kind,
            composed_at: at(1),
            subjects,
            times: subjects + 2,
            listed,
        }
    }

    #[test]
    fn a_message_tells_what_how_often_since_when_and_where_to_look() {
        let listed =
            vec![Listed { count: 3, ..alert("hook/main/A-1", "correct the order") }, alert("hook/main/A-2", "")];
        let page = HttpUrl::parse("https://sync.example.org/").unwrap();

        let text = text(&message(Kind::Raised, 25, listed), Some(&page));

        assert_eq!(
            text,
            "dead_letter: 25 alerts, raised 27 times\n\n\
             - hook/main/A-1 (since 2026-03-01 12:00 UTC, 3 times)\n  correct the order\n\
             - hook/main/A-2 (since 2026-03-01 12:00 UTC)\n  \n\
             - and 23 more\n\n\
             https://sync.example.org\n"
        );
    }

    #[test]
    fn the_end_of_an_alert_is_told_with_both_its_times() {
        let ended = Listed { resolved_at: Some(at(30)), ..alert("hook", "it answers again") };
        let message = message(Kind::Resolved, 1, vec![ended]);

        assert_eq!(title(&message), "[scoffable-sync] resolved: dead_letter: hook");
        assert!(text(&message, None).contains("- hook (2026-03-01 12:00 UTC to 2026-03-01 12:30 UTC)"));
    }

    #[test]
    fn what_others_wrote_begins_no_line_and_names_no_person() {
        let listed = vec![alert("hook/main/A-1\r\nBcc: x", "jane@example.org did it"), alert("B", &"x".repeat(1_000))];
        let message = message(Kind::Raised, 2, listed);

        let text = text(&message, None);

        assert_eq!(text.lines().count(), 6, "{text}");
        assert!(text.contains("- hook/main/A-1 Bcc: x (") && text.contains("[redacted] did it"), "{text}");
        assert!(!text.contains("jane") && text.lines().all(|line| line.chars().count() < 400), "{text}");
        assert!(!title(&message).contains('\n'));
    }

    #[test]
    fn markup_of_a_chat_is_taken_literally() {
        let message = message(Kind::Raised, 1, vec![alert("hook/main/<!channel>", "a & b")]);

        assert!(
            slack(&message, None).contains("hook/main/&lt;!channel&gt;") && slack(&message, None).contains("a &amp; b")
        );
    }
}
