//! People are told of alerts: one message for what came together, none lost, whatever is unreachable.

use std::{sync::Arc, time::Duration};

use chrono::Timelike as _;
use scoffable_sync::{
    alerts::courier::{Courier, Round},
    store::{alert_messages, alerts},
    telemetry::metrics::Metrics,
};
use serde_json::json;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::harness::{
    app::{Setup, TestApp},
    letterbox::Letterbox,
    mail::{MailServer, Protection, ca_file},
};

const GATHERING: Duration = Duration::from_secs(21);
const MINUTE: Duration = Duration::from_mins(1);

fn mailing(setup: Setup, port: u16) -> Setup {
    setup
        .with("alerts.email.host", "localhost")
        .with("alerts.email.port", &port.to_string())
        .with("alerts.email.security", "none")
        .with("alerts.email.from", "Order sync <sync@example.org>")
        .with("alerts.email.to", "[\"ops@example.org\", \"chef@example.org\"]")
}

fn posting(setup: Setup, letterbox: &Letterbox) -> Setup {
    setup.with("alerts.webhook.url", &letterbox.url)
}

async fn app_and_mail() -> (TestApp, MailServer) {
    let mail = MailServer::start(Protection::Never, None).await;
    (mailing(Setup::default(), mail.port).start().await, mail)
}

/// Those of one process.
fn courier(app: &TestApp) -> Courier {
    let metrics = Arc::new(Metrics::default());
    let courier = Courier::of(&app.settings, &app.line(), &app.clock, &metrics).expect("it can be built");
    courier.expect("somebody is to be told")
}

async fn round(app: &TestApp) -> Round {
    courier(app).tick(&CancellationToken::new()).await.expect("the database answers")
}

async fn raise(app: &TestApp, cause: &str, subject: &str) {
    alerts::raise(&app.pool, cause, subject, "look there").await.expect("the database answers");
}

async fn resolve(app: &TestApp, cause: &str, subject: &str) {
    alerts::resolve(&app.pool, cause, subject).await.expect("the database answers");
}

fn did(written: u64, sent: u64, failed: u64) -> Round {
    Round { written, sent, failed, pinged: false }
}

#[tokio::test]
async fn what_came_together_is_one_mail_with_its_count_within_a_minute() {
    let (app, mail) = app_and_mail().await;
    for n in 10..35 {
        raise(&app, "dead_letter", &format!("hook/main/A-{n}")).await;
    }
    raise(&app, "dead_letter", "hook/main/A-10").await;
    assert_eq!(round(&app).await, did(0, 0, 0), "more may come");

    app.advance(GATHERING);
    assert_eq!(round(&app).await, did(1, 1, 0));

    let mails = mail.taken();
    assert_eq!(mails.len(), 1);
    assert_eq!(
        (mails[0].from.as_str(), &mails[0].to[..]),
        ("sync@example.org", &["ops@example.org".to_owned(), "chef@example.org".to_owned()][..])
    );
    assert_eq!(mails[0].header("Subject"), "[scoffable-sync] dead_letter (25)");
    assert_eq!(mails[0].header("Auto-Submitted"), "auto-generated");
    let text = &mails[0].text;
    assert!(text.contains("dead_letter: 25 alerts, raised 26 times\n"), "{text}");
    assert!(
        text.contains("hook/main/A-29 (since") && !text.contains("A-30") && text.contains("- and 5 more\n"),
        "{text}"
    );
    assert_eq!(app.number("SELECT count(*) FROM alerts WHERE sent_at IS NULL").await, 0);
    assert_eq!(round(&app).await, did(0, 0, 0), "once");
}

#[tokio::test]
async fn what_comes_soon_after_a_message_is_gathered_for_the_next() {
    let (app, mail) = app_and_mail().await;
    raise(&app, "dead_letter", "hook/main/A-1").await;
    app.advance(GATHERING);
    round(&app).await;
    raise(&app, "dead_letter", "hook/main/A-2").await;
    raise(&app, "dead_letter", "hook/main/A-3").await;
    raise(&app, "quarantined", "main").await;

    app.advance(MINUTE);
    assert_eq!(round(&app).await, did(1, 1, 0), "another cause is another matter");
    app.advance(15 * MINUTE);
    assert_eq!(round(&app).await, did(1, 1, 0));

    let subjects: Vec<String> = mail.taken().iter().map(|mail| mail.header("Subject").to_owned()).collect();
    let expected = ["dead_letter: hook/main/A-1", "quarantined: main", "dead_letter (2)"];
    assert_eq!(subjects, expected.map(|what| format!("[scoffable-sync] {what}")));
}

#[tokio::test]
async fn an_end_is_told_once_and_only_of_what_was_told() {
    let (app, mail) = app_and_mail().await;
    raise(&app, "blocked", "hook").await;
    raise(&app, "source_failing", "main").await;
    resolve(&app, "source_failing", "main").await;
    app.advance(GATHERING);
    assert_eq!(round(&app).await, did(1, 1, 0), "what has passed by itself is told to nobody");

    resolve(&app, "blocked", "hook").await;
    app.advance(GATHERING);

    assert_eq!(round(&app).await, did(1, 1, 0));
    assert_eq!(mail.taken()[1].header("Subject"), "[scoffable-sync] resolved: blocked: hook");
    app.advance(60 * MINUTE);
    assert_eq!(round(&app).await, did(0, 0, 0));
}

#[tokio::test]
async fn an_unreachable_mail_server_loses_nothing_and_holds_up_no_other_channel() {
    let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let letterbox = Letterbox::start().await;
    let app = posting(mailing(Setup::default(), port), &letterbox).start().await;
    for cause in ["blocked", "dead_letter"] {
        raise(&app, cause, "hook").await;
    }
    app.advance(GATHERING);

    assert_eq!(round(&app).await, did(2, 2, 1), "the second mail is not tried in vain as well");
    resolve(&app, "blocked", "hook").await;
    app.advance(24 * 60 * MINUTE);
    round(&app).await;
    let waiting = alert_messages::waiting(&app.pool).await.unwrap();
    assert_eq!((waiting[0].channel.as_str(), waiting[0].last_error.as_deref()), ("email", Some("connect")));
    let mail = MailServer::at(port, Protection::Never, None).await;
    app.advance(31 * MINUTE);
    round(&app).await;

    let told: Vec<String> = mail.taken().iter().map(|mail| mail.header("Subject")[17..].to_owned()).collect();
    assert_eq!(told, ["blocked: hook", "dead_letter: hook", "resolved: blocked: hook"], "in their order");
    let ids: Vec<String> = mail.taken().iter().map(|mail| mail.header("Message-ID").to_owned()).collect();
    let keys = letterbox.letters();
    let keys =
        keys.iter().map(|letter| format!("<{}@example.org>", letter.headers["idempotency-key"].to_str().unwrap()));
    assert_eq!(ids, keys.collect::<Vec<_>>(), "a message has one id everywhere");
    assert_eq!(alert_messages::waiting(&app.pool).await.unwrap(), []);
}

#[tokio::test]
async fn a_mail_that_is_refused_holds_up_no_other_and_is_tried_again() {
    let (app, mail) = app_and_mail().await;
    raise(&app, "blocked", "hook").await;
    raise(&app, "dead_letter", "hook/main/A-1").await;
    mail.refuse("RCPT TO", "550 5.1.1 no such user");
    app.advance(GATHERING);

    assert_eq!(round(&app).await, did(2, 1, 1));
    assert_eq!(app.text("SELECT last_error FROM alert_sends WHERE sent_at IS NULL").await.as_deref(), Some("smtp_550"));
    app.advance(2 * MINUTE);
    assert_eq!(round(&app).await, did(0, 1, 0));

    assert_eq!(mail.taken()[1].header("Subject"), "[scoffable-sync] blocked: hook");
}

#[tokio::test]
async fn a_server_that_wants_to_be_left_alone_is() {
    let (app, mail) = app_and_mail().await;
    raise(&app, "blocked", "hook").await;
    raise(&app, "dead_letter", "hook/main/A-1").await;
    mail.refuse("MAIL FROM", "451 4.7.1 later");
    app.advance(GATHERING);

    assert_eq!(round(&app).await, did(2, 0, 1), "the other is not tried");
    app.advance(2 * MINUTE);

    assert_eq!(round(&app).await, did(0, 2, 0));
}

#[tokio::test]
async fn g9_many_processes_send_each_message_once() {
    let (app, mail) = app_and_mail().await;
    for cause in ["blocked", "clock_skew", "dead_cursor", "dead_letter", "quarantined", "source_failing"] {
        raise(&app, cause, "hook").await;
    }
    app.advance(GATHERING);

    let couriers: Vec<Courier> = (0..4).map(|_| courier(&app)).collect();
    let drain = CancellationToken::new();
    for _ in 0..2 {
        for round in futures::future::join_all(couriers.iter().map(|courier| courier.tick(&drain))).await {
            round.expect("the database answers");
        }
    }

    assert_eq!(mail.taken().len(), 6);
    assert_eq!(app.number("SELECT count(*) FROM alert_messages").await, 6);
    assert_eq!(app.number("SELECT count(*) FROM alert_sends WHERE attempts = 1 AND sent_at IS NOT NULL").await, 6);
}

#[tokio::test]
async fn a_process_that_died_while_sending_is_replaced_and_says_nothing_afterwards() {
    let (app, mail) = app_and_mail().await;
    raise(&app, "blocked", "hook").await;
    app.advance(GATHERING);
    let drained = CancellationToken::new();
    drained.cancel();
    courier(&app).tick(&drained).await.expect("the database answers");
    let offset_ms = app.clock.offset_ms();
    let claimed = alert_messages::claim(&app.pool, "email", MINUTE, offset_ms).await.unwrap().expect("it was written");
    assert_eq!(round(&app).await, did(0, 0, 0), "it is somebody's");

    app.advance(MINUTE);
    let other =
        alert_messages::claim(&app.pool, "email", MINUTE, app.clock.offset_ms()).await.unwrap().expect("it is due");
    let failed = alert_messages::Failed::Message;
    alert_messages::settle_failed(
        &app.pool,
        &claimed,
        "email",
        failed,
        "timeout",
        Duration::ZERO,
        app.clock.offset_ms(),
    )
    .await
    .unwrap();

    assert_eq!((other.attempt, &other.message), (2, &claimed.message));
    assert_eq!(round(&app).await, did(0, 0, 0), "the first one's failure does not end the second one's lease");
    app.advance(MINUTE);
    assert_eq!(round(&app).await, did(0, 1, 0));
    assert!(mail.taken()[0].header("Message-ID").contains(&claimed.message.id.to_string()));
}

#[tokio::test]
async fn in_quiet_hours_only_what_is_urgent_is_told() {
    let mail = MailServer::start(Protection::Never, None).await;
    let now = chrono::Utc::now();
    let hours = format!("{:02}:00-{:02}:00", now.hour(), (now.hour() + 2) % 24);
    let app = mailing(Setup::default().with("alerts.quiet_hours", &hours), mail.port).start().await;
    raise(&app, "dead_letter", "hook/main/A-1").await;
    raise(&app, "source_failing", "main").await;
    raise(&app, "blocked", "hook").await;

    app.advance(GATHERING);
    assert_eq!(round(&app).await, did(1, 1, 0));
    resolve(&app, "source_failing", "main").await;
    app.advance(120 * MINUTE);
    assert_eq!(round(&app).await, did(1, 1, 0));

    let told: Vec<String> = mail.taken().iter().map(|mail| mail.header("Subject")[17..].to_owned()).collect();
    assert_eq!(told, ["blocked: hook", "dead_letter: hook/main/A-1"]);
}

#[tokio::test]
async fn mail_goes_out_encrypted_and_with_the_password() {
    for (protection, security) in [(Protection::StartTls, "starttls"), (Protection::FromTheStart, "tls")] {
        let mail = MailServer::start(protection, Some(("sync", "hunter2"))).await;
        let setup = mailing(Setup::default(), mail.port)
            .with("alerts.email.security", security)
            .with("alerts.email.ca_file", ca_file().to_str().unwrap())
            .with("alerts.email.username", "sync")
            .with("alerts.email.password", "hunter2");
        let app = setup.start().await;
        raise(&app, "blocked", "hook").await;
        app.advance(GATHERING);

        assert_eq!(round(&app).await, did(1, 1, 0), "{security}: {:?}", mail.commands());

        assert_eq!(mail.taken().len(), 1, "{security}");
    }
}

#[tokio::test]
async fn a_server_that_cannot_be_trusted_is_told_nothing() {
    let plain = MailServer::start(Protection::Never, None).await;
    let unknown = MailServer::start(Protection::StartTls, None).await;
    for (mail, code) in [(&plain, "not_offered"), (&unknown, "connect")] {
        let app = mailing(Setup::default(), mail.port).with("alerts.email.security", "starttls").start().await;
        raise(&app, "blocked", "hook").await;
        app.advance(GATHERING);

        assert_eq!(round(&app).await, did(1, 0, 1));

        assert_eq!(app.text("SELECT last_error FROM alert_sends").await.as_deref(), Some(code));
        let said = mail.commands();
        assert!(!said.iter().any(|line| line.starts_with("MAIL") || line.starts_with("AUTH")), "{said:?}");
    }
}

#[tokio::test]
async fn a_wrong_password_is_about_the_channel() {
    let mail = MailServer::start(Protection::FromTheStart, Some(("sync", "hunter2"))).await;
    let setup = mailing(Setup::default(), mail.port)
        .with("alerts.email.security", "tls")
        .with("alerts.email.ca_file", ca_file().to_str().unwrap())
        .with("alerts.email.username", "sync")
        .with("alerts.email.password", "hunter3");
    let app = setup.start().await;
    raise(&app, "blocked", "hook").await;
    raise(&app, "dead_letter", "hook").await;
    app.advance(GATHERING);

    assert_eq!(round(&app).await, did(2, 0, 1));

    assert_eq!(app.text("SELECT max(last_error) FROM alert_sends").await.as_deref(), Some("smtp_535"));
}

#[tokio::test]
async fn a_post_holds_all_there_is_under_a_key_that_stays() {
    let letterbox = Letterbox::start().await;
    let app = posting(Setup::default().with("alerts.page_url", "https://sync.example.org"), &letterbox).start().await;
    raise(&app, "dead_letter", "hook/main/A-1").await;
    app.advance(GATHERING);
    letterbox.answer(503);
    assert_eq!(round(&app).await, did(1, 0, 1));
    app.advance(2 * MINUTE);

    assert_eq!(round(&app).await, did(0, 1, 0));

    let letters = letterbox.letters();
    assert_eq!(letters[0].body, letters[1].body, "the same again");
    assert_eq!(letters[0].headers["idempotency-key"], letters[1].headers["idempotency-key"]);
    let body = &letters[1].body;
    assert_eq!(
        (letters[1].path.as_str(), &body["cause"], &body["kind"]),
        ("/secret-path", &json!("dead_letter"), &json!("raised"))
    );
    assert_eq!((&body["subjects"], &body["alerts"][0]["subject"]), (&json!(1), &json!("hook/main/A-1")));
    let text = body["text"].as_str().unwrap();
    assert!(
        text.starts_with("[scoffable-sync] dead_letter: hook/main/A-1\n") && text.contains("https://sync.example.org"),
        "{text}"
    );
}

#[tokio::test]
async fn slack_gets_a_text_and_nothing_else() {
    let letterbox = Letterbox::start().await;
    let app = posting(Setup::default().with("alerts.webhook.format", "slack"), &letterbox).start().await;
    raise(&app, "blocked", "hook").await;
    app.advance(GATHERING);

    round(&app).await;

    let body = letterbox.letters()[0].body.clone();
    assert_eq!(body.as_object().unwrap().keys().collect::<Vec<_>>(), ["text"]);
    assert!(body["text"].as_str().unwrap().contains("blocked: 1 alert"));
}

#[tokio::test]
async fn an_outside_watch_is_told_by_one_process_as_long_as_all_is_well() {
    let (watch, letterbox) = (Letterbox::start().await, Letterbox::start().await);
    let app = posting(Setup::default().with("alerts.ping_url", &watch.url), &letterbox).start().await;
    app.run("UPDATE sources SET state = 'active', caught_up_at = now(), last_success_at = now(), cursor_at = now()")
        .await;
    let pinged = async || round(&app).await.pinged;

    assert!(pinged().await);
    assert!(!pinged().await, "the other process need not");
    app.advance(MINUTE);
    assert!(pinged().await);

    app.run("UPDATE sinks SET state = 'blocked', reason = 'unauthorized'").await;
    app.advance(MINUTE);
    assert!(!pinged().await, "a sink is stopped");
    app.run("UPDATE sinks SET state = 'active', reason = NULL").await;
    app.advance(MINUTE);
    assert!(pinged().await);

    raise(&app, "blocked", "hook").await;
    app.advance(MINUTE);
    letterbox.answer(500);
    assert!(!pinged().await, "people cannot be told, so the watch shall");
    app.advance(2 * MINUTE);
    assert!(pinged().await);
    assert_eq!(watch.letters().len(), 4);
    assert!(watch.letters().iter().all(|letter| letter.method == "GET" && letter.path == "/secret-path"));
}

#[tokio::test]
async fn messages_go_with_the_alerts_they_told_of() {
    let (app, mail) = app_and_mail().await;
    raise(&app, "blocked", "hook").await;
    app.advance(GATHERING);
    round(&app).await;
    resolve(&app, "blocked", "hook").await;
    app.advance(GATHERING);
    round(&app).await;
    app.advance(Duration::from_hours(24 * 401));

    let removed = scoffable_sync::store::retention::remove_alerts(
        &app.pool,
        0,
        100,
        Duration::from_hours(24 * 400),
        app.clock.offset_ms(),
    );
    assert_eq!(removed.await.unwrap(), 1);

    assert_eq!(mail.taken().len(), 2);
    assert_eq!(
        app.number("SELECT (SELECT count(*) FROM alert_messages) + (SELECT count(*) FROM alert_sends)").await,
        0
    );
}
