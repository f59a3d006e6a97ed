//! What tells people: mail server, hook, outside watch and collector.

use super::{Findings, Level, PATIENCE, chain, examine_reach};
use crate::{
    alerts::email::Email,
    config::{
        AlertSettings, TraceSettings,
        alerts::{EmailSettings, Security},
    },
};

/// Logs in at the mail server and sends no mail; the others are only connected to.
pub async fn examine(alerts: &AlertSettings, traces: Option<&TraceSettings>, findings: &mut Findings) {
    if let Some(email) = &alerts.email {
        examine_mail(email, findings).await;
    }
    if let Some(hook) = &alerts.webhook {
        examine_reach("alerts.webhook", hook.url.url(), findings).await;
    }
    if let Some(watch) = &alerts.ping_url {
        examine_reach("alerts.ping_url", watch.url(), findings).await;
    }
    if let Some(traces) = traces {
        examine_reach("traces", &traces.endpoint, findings).await;
    }
}

async fn examine_mail(settings: &EmailSettings, findings: &mut Findings) {
    const SUBJECT: &str = "alerts.email";
    let EmailSettings { host, port, security, login, .. } = settings;
    let email = match Email::new(settings, None) {
        Ok(email) => email,
        Err(error) => return findings.add(Level::Problem, SUBJECT, chain(&error), "correct `host` or `ca_file`"),
    };
    let code = match tokio::time::timeout(PATIENCE, email.greet()).await {
        Ok(Ok(())) => {
            let with_login = if login.is_some() { " and took the login" } else { "" };
            return findings.fine(SUBJECT, format!("{host}:{port} answers{with_login} (no mail was sent)"));
        }
        Ok(Err(undelivered)) => undelivered.code,
        Err(_) => "timeout".to_owned(),
    };
    let to_do = match code.as_str() {
        "connect" | "timeout" => "check `host`, `port`, DNS and the firewall; alerts wait meanwhile",
        "tls" if *security == Security::Tls => {
            "check that the port speaks TLS from the start (else `security = \"starttls\"`), and that its certificate is valid, \
             for this name, and of a public authority or of `ca_file`"
        }
        "tls" => {
            "check that the server's certificate is valid, for this name, and of a public authority or of `ca_file`"
        }
        "not_offered" => {
            "the server offers no STARTTLS or no login that we know: check `security`, `port` and `username`"
        }
        "smtp_535" | "smtp_530" => "check `username` and `password`",
        _ => {
            "check `host`, `port` and `security`: what answers there says something else than a mail server that takes mail"
        }
    };
    findings.add(Level::Problem, SUBJECT, format!("{host}:{port} cannot be used: {code}"), to_do);
}
