//! `[alerts]`: who is told what a person should know, by which way, and when not.

use std::{fmt, time::Duration};

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use lettre::{message::Mailbox, transport::smtp::client::Certificate};
use schemars::JsonSchema;
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize, Serializer};

use super::{
    catalogue::QuietHours,
    duration::{self, RawDuration},
    field::{Field, Table, choice},
    problems::Section,
    secret::{RawSecret, Secret},
    url::{HttpUrl, check_transport},
};

/// Longest time that alerts are gathered before people are told: longer is no alert.
const LONGEST_GATHERING: Duration = Duration::from_hours(1);
const BEGIN: &[u8] = b"-----BEGIN CERTIFICATE-----";
/// What stops every order of a source or a sink.
const URGENT: [&str; 4] = ["blocked", "dead_cursor", "needs_authorisation", "source_parked"];
/// Pings may not be more frequent.
const SHORTEST_PING: Duration = Duration::from_secs(10);

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub struct RawAlerts {
    /// How long alerts of one cause are gathered before people are told.
    gather: Field<RawDuration>,
    /// Shortest time between two messages about one cause.
    every: Field<RawDuration>,
    /// Time of the day in which only `urgent` causes are told.
    quiet_hours: Field<QuietHours>,
    /// Where `quiet_hours` are meant.
    time_zone: Field<String>,
    /// Causes that are told in quiet hours too.
    urgent: Field<Vec<String>>,
    /// Address of the page, which messages end with.
    page_url: Field<HttpUrl>,
    /// Asked for after each healthy round: a dead-man's signal.
    ping_url: Field<RawSecret>,
    /// How often `ping_url` is asked for.
    ping_interval: Field<RawDuration>,
    /// By e-mail.
    email: Field<Table<RawEmail>>,
    /// By a POST.
    webhook: Field<Table<RawHook>>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub struct RawEmail {
    /// Name of the mail server.
    host: Field<String>,
    /// Its port.
    #[schemars(range(min = 1, max = 65535))]
    port: Field<u32>,
    /// `"starttls"`, `"tls"` from the first byte on, or `"none"`.
    security: Field<Security>,
    /// Permits `"none"` to another machine.
    allow_insecure: Field<bool>,
    /// A certificate (PEM) that is trusted besides the public ones.
    ca_file: Field<String>,
    /// Who we are to the server.
    username: Field<String>,
    /// The password of `username`.
    password: Field<RawSecret>,
    /// Sender.
    from: Field<String>,
    /// Recipients.
    to: Field<Vec<String>>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub struct RawHook {
    /// Where messages are posted to.
    url: Field<RawSecret>,
    /// Permits plain http to another machine.
    allow_insecure: Field<bool>,
    /// `"json"`, or `"slack"` for what Slack and its like take.
    format: Field<HookFormat>,
}

/// How the connection to a mail server is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Security {
    /// Plain at first, then TLS; nothing is sent without.
    StartTls,
    /// TLS from the first byte on.
    Tls,
    None,
}

choice!(Security { StartTls = "starttls", Tls = "tls", None = "none" });

impl Security {
    /// Source: RFC 6409 (587), RFC 8314 (465), RFC 5321 (25).
    fn port(self) -> u16 {
        match self {
            Self::StartTls => 587,
            Self::Tls => 465,
            Self::None => 25,
        }
    }
}

/// What a message is posted as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HookFormat {
    /// All there is, with the text for people beside it.
    Json,
    /// The text for people only.
    Slack,
}

choice!(HookFormat { Json = "json", Slack = "slack" });

#[derive(Debug, Clone, Serialize)]
pub struct AlertSettings {
    #[serde(serialize_with = "duration::serialize")]
    pub gather: Duration,
    #[serde(serialize_with = "duration::serialize")]
    pub every: Duration,
    #[serde(flatten)]
    pub quiet: Quiet,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub page_url: Option<HttpUrl>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ping_url: Option<SecretUrl>,
    #[serde(serialize_with = "duration::serialize")]
    pub ping_interval: Duration,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<EmailSettings>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub webhook: Option<HookSettings>,
}

/// When people are left alone.
#[derive(Debug, Clone, Serialize)]
pub struct Quiet {
    #[serde(rename = "quiet_hours", skip_serializing_if = "Option::is_none")]
    pub hours: Option<QuietHours>,
    #[serde(serialize_with = "as_zone")]
    pub time_zone: Tz,
    /// Causes that are told all the same.
    pub urgent: Vec<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature is serde's")]
fn as_zone<S: Serializer>(zone: &Tz, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(zone.name())
}

impl Quiet {
    /// Whether a cause is not told of at this time.
    pub fn holds(&self, cause: &str, now: DateTime<Utc>) -> bool {
        let is_quiet = self.hours.is_some_and(|hours| hours.holds(now.with_timezone(&self.time_zone).time()));
        is_quiet && !self.urgent.iter().any(|urgent| urgent == cause)
    }
}

#[derive(Debug, Clone, Serialize)]
pub struct EmailSettings {
    pub host: String,
    pub port: u16,
    pub security: Security,
    pub allow_insecure: bool,
    #[serde(rename = "ca_file", skip_serializing_if = "Option::is_none")]
    pub ca: Option<CaFile>,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub login: Option<Login>,
    #[serde(serialize_with = "as_text")]
    pub from: Mailbox,
    /// At least one.
    #[serde(serialize_with = "as_texts")]
    pub to: Vec<Mailbox>,
}

/// A certificate that is trusted besides the public ones.
#[derive(Debug, Clone)]
pub struct CaFile {
    path: String,
    pub certificate: Certificate,
}

impl Serialize for CaFile {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.path)
    }
}

impl CaFile {
    fn read(path: String, section: &mut Section<'_>) -> Option<Self> {
        const WHAT_TO_DO: &str = "name a file with one certificate or more as PEM text, which this process may read";
        let expanded = match section.path(&path) {
            Ok(expanded) => expanded,
            Err(error) => {
                section.problem("ca_file", error.to_string(), error.what_to_do());
                return None;
            }
        };
        let pem = match std::fs::read(&expanded) {
            Ok(pem) => pem,
            Err(error) => {
                section.problem("ca_file", format!("{path:?} cannot be read: {error}"), WHAT_TO_DO);
                return None;
            }
        };
        // Bytes without a certificate are none, and no error to the reader.
        let holds_some = pem.windows(BEGIN.len()).any(|window| window == BEGIN);
        match Certificate::from_pem(&pem) {
            Ok(certificate) if holds_some => Some(Self { path, certificate }),
            Ok(_) | Err(_) => {
                section.problem("ca_file", format!("{path:?} holds no certificate"), WHAT_TO_DO);
                None
            }
        }
    }
}

#[derive(Debug, Clone, Serialize)]
pub struct Login {
    pub username: String,
    pub password: Secret,
}

fn as_text<S: Serializer>(mailbox: &Mailbox, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(mailbox)
}

fn as_texts<S: Serializer>(mailboxes: &[Mailbox], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(mailboxes.iter().map(ToString::to_string))
}

#[derive(Debug, Clone, Serialize)]
pub struct HookSettings {
    pub url: SecretUrl,
    pub allow_insecure: bool,
    pub format: HookFormat,
}

/// An address whose path is a secret, as that of a Slack hook: who knows it may post there.
#[derive(Clone)]
pub struct SecretUrl {
    kept: Secret,
    url: HttpUrl,
}

impl SecretUrl {
    /// As it was when the configuration was read.
    pub fn url(&self) -> &HttpUrl {
        &self.url
    }

    pub fn secret(&self) -> &Secret {
        &self.kept
    }

    fn take(key: &str, field: Field<RawSecret>, section: &mut Section<'_>) -> Option<Self> {
        let kept = section.secret(key, field)?;
        match HttpUrl::parse(kept.value().expose_secret()) {
            Ok(url) => Some(Self { kept, url }),
            Err(wrong) => {
                section.problem(key, wrong.problem, wrong.suggestion);
                None
            }
        }
    }
}

impl fmt::Debug for SecretUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.kept.fmt(f)
    }
}

impl Serialize for SecretUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.kept.serialize(serializer)
    }
}

impl RawAlerts {
    pub(super) fn validate(self, section: &mut Section<'_>) -> AlertSettings {
        let gather = section.duration("gather", self.gather, Duration::ZERO).unwrap_or(Duration::from_secs(20));
        if gather > LONGEST_GATHERING {
            section.problem(
                "gather",
                format!("{} is too long", duration::shown(gather)),
                format!("use {} or less", duration::shown(LONGEST_GATHERING)),
            );
        }
        let every = section.duration("every", self.every, Duration::ZERO).unwrap_or(Duration::from_mins(15));
        let quiet = Quiet {
            hours: section.take("quiet_hours", self.quiet_hours),
            time_zone: time_zone(self.time_zone, section),
            urgent: urgent(self.urgent, section),
        };
        let page_url = section.take("page_url", self.page_url);
        let ping_url = SecretUrl::take("ping_url", self.ping_url, section);
        if ping_url.as_ref().is_some_and(|ping| ping.url().is_plain_http() && !ping.url().is_loopback()) {
            section.problem(
                "ping_url",
                "is plain http to another machine: whoever listens could ping in our name",
                "use https",
            );
        }
        let ping_interval =
            section.duration("ping_interval", self.ping_interval, SHORTEST_PING).unwrap_or(Duration::from_mins(1));
        let email = (!self.email.is_absent()).then(|| section.table("email", self.email, RawEmail::validate)).flatten();
        let webhook =
            (!self.webhook.is_absent()).then(|| section.table("webhook", self.webhook, RawHook::validate)).flatten();
        AlertSettings { gather, every, quiet, page_url, ping_url, ping_interval, email, webhook }
    }
}

fn time_zone(field: Field<String>, section: &mut Section<'_>) -> Tz {
    let Some(text) = section.take("time_zone", field) else { return Tz::UTC };
    text.parse().unwrap_or_else(|_| {
        section.problem("time_zone", format!("{text:?} is not a time zone"), "use one as \"Europe/London\"");
        Tz::UTC
    })
}

fn urgent(field: Field<Vec<String>>, section: &mut Section<'_>) -> Vec<String> {
    if field.is_absent() {
        return URGENT.map(str::to_owned).to_vec();
    }
    let urgent = section.take("urgent", field).unwrap_or_default();
    let is_code = |cause: &str| cause.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    if let Some(wrong) = urgent.iter().find(|cause| !is_code(cause)) {
        section.problem(
            "urgent",
            format!("{wrong:?} is not a cause of alerts"),
            "write causes as `status` lists them, as \"dead_letter\"",
        );
    }
    urgent
}

impl RawEmail {
    fn validate(self, section: &mut Section<'_>) -> Option<EmailSettings> {
        let host = section.require("host", self.host, "host = \"mail.example.org\"");
        let security = section.take("security", self.security).unwrap_or(Security::StartTls);
        let port = section.number("port", self.port, 1..=65_535).map_or_else(|| security.port(), |port| port as u16);
        let allow_insecure = section.take("allow_insecure", self.allow_insecure).unwrap_or(false);
        let is_near = host.as_deref().is_some_and(is_loopback);
        if security == Security::None && !is_near && !allow_insecure {
            section.problem(
                "security",
                "is \"none\" to another machine: messages and the password would travel unencrypted",
                "use \"starttls\" or \"tls\", or add `allow_insecure = true` to this table",
            );
        }
        let ca = section.take("ca_file", self.ca_file).and_then(|path| CaFile::read(path, section));
        let (no_username, no_password) = (self.username.is_absent(), self.password.is_absent());
        let username = section.take("username", self.username);
        let password = section.secret("password", self.password);
        if no_username != no_password {
            let missing = if no_username { "username" } else { "password" };
            section.problem(
                missing,
                "is missing beside the other",
                "give both, or none where the server asks for none",
            );
        }
        let login = username.zip(password).map(|(username, password)| Login { username, password });
        let from = section
            .require("from", self.from, "from = \"sync@example.org\"")
            .and_then(|text| mailbox("from", &text, section));
        if self.to.is_absent() {
            section.missing("to", "to = [\"ops@example.org\"]");
        }
        let to = section.list("to", self.to)?;
        let to: Vec<Mailbox> = to.iter().filter_map(|text| mailbox("to", text, section)).collect();
        Some(EmailSettings { host: host?, port, security, allow_insecure, ca, login, from: from?, to })
    }
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn mailbox(key: &str, text: &str, section: &mut Section<'_>) -> Option<Mailbox> {
    let mailbox = text.parse().ok();
    if mailbox.is_none() {
        section.problem(
            key,
            format!("{text:?} is not an address"),
            "write \"ops@example.org\" or \"Operations <ops@example.org>\"",
        );
    }
    mailbox
}

impl RawHook {
    fn validate(self, section: &mut Section<'_>) -> Option<HookSettings> {
        if self.url.is_absent() {
            section.missing("url", "url = { env = \"ALERT_HOOK\" }");
        }
        let url = SecretUrl::take("url", self.url, section);
        let allow_insecure = check_transport("url", url.as_ref().map(SecretUrl::url), self.allow_insecure, section);
        let format = section.take("format", self.format).unwrap_or(HookFormat::Json);
        Some(HookSettings { url: url?, allow_insecure, format })
    }
}
