//! The access token: made by hand, or generated from a consumer key and kept in a file.
//!
//! What a new token does to the old ones is not documented, so as few as possible are generated: one when a tenth of its
//! life is left, or one after a refusal; never two within [`PAUSE`], whatever became of the first. The file tells when
//! one was last asked for, and a lock beside it lets one process of a machine ask at a time; the others use what it got.
//! Processes on several machines do not hear of each other: one of them is to have the key.
//!
//! Source: GoDataFeed help, "Order Sync Destination: GoDataFeed API": lifespans, counted from the generation. Assumed: how
//! the key is passed and what the answer looks like.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Write as _},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use chrono::{DateTime, Utc};
use futures::future::BoxFuture;
use reqwest::StatusCode;
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use tracing::warn;

use super::{
    config::AuthSettings,
    template::{Place, Template},
};
use crate::{
    clock::Clock,
    config::{HttpUrl, Secret},
    domain::{delivery::Reason, ids::SinkName},
    http::retry_after,
    sinks::{
        http::read,
        oauth::{Bearer, Fingerprint, Fresh, NoToken, TokenSource, Tokens},
    },
};

/// Between two generations. Assumed: how often is no burden; the contract of this sink says so.
pub const PAUSE: Duration = Duration::from_mins(10);
/// Stands for ever.
const FOR_EVER: Duration = Duration::from_hours(24 * 365 * 50);
/// Between two looks at a lock that another process holds.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Where tokens come from.
#[derive(Debug)]
pub enum Auth {
    /// Read anew for every request: a replaced file is noticed without a restart.
    Static(Secret),
    Generated(Box<Generated>),
}

/// Tokens of a consumer key.
#[derive(Debug)]
pub struct Generated {
    tokens: Tokens,
    keeper: Keeper,
    life: Option<Duration>,
    is_told: AtomicBool,
    sink: SinkName,
}

/// How a key is turned into a token.
#[derive(Debug, Clone)]
pub struct Exchange {
    pub http: reqwest::Client,
    pub base_url: HttpUrl,
    pub template: Template,
    pub key: Secret,
    pub timeout: Duration,
}

impl Auth {
    pub fn new(
        settings: &AuthSettings,
        base_url: &HttpUrl,
        http: &reqwest::Client,
        timeout: Duration,
        sink: &SinkName,
        clock: &Clock,
    ) -> Self {
        match settings {
            AuthSettings::StaticToken { token } => Self::Static(token.clone()),
            AuthSettings::ConsumerKey { consumer_key, token_file, token_lifespan_days, auth_request_template } => {
                let exchange = Exchange {
                    http: http.clone(),
                    base_url: base_url.clone(),
                    template: auth_request_template.clone(),
                    key: consumer_key.clone(),
                    timeout,
                };
                let life = token_lifespan_days.map(|days| Duration::from_hours(24) * days);
                let keeper = Keeper { file: token_file.clone(), clock: clock.clone() };
                let generator = Generator { exchange, keeper: keeper.clone(), life };
                // A tenth of its life.
                let margin = life.map_or(Duration::ZERO, |life| life / 10);
                let tokens = Tokens::new(sink.clone(), generator, margin, clock.clone());
                Self::Generated(Box::new(Generated {
                    tokens,
                    keeper,
                    life,
                    is_told: AtomicBool::new(false),
                    sink: sink.clone(),
                }))
            }
        }
    }

    /// The token to use now.
    pub async fn token(&self) -> Result<Bearer, NoToken> {
        match self {
            Self::Static(secret) => {
                let text = secret.read().map_err(|_| NoToken::Refused { code: "secret_unreadable" })?;
                Bearer::new(text).ok_or(NoToken::Refused { code: "secret_unreadable" })
            }
            Self::Generated(generated) => {
                let bearer = generated.tokens.bearer().await?;
                generated.tell_its_age();
                Ok(bearer)
            }
        }
    }

    /// After a refusal: another token, where there may be one.
    pub async fn another_than(&self, refused: &Bearer) -> Option<Bearer> {
        match self {
            Self::Static(_) => self.token().await.ok().filter(|token| token != refused),
            Self::Generated(generated) => {
                // Another process may have got one meanwhile; that is used at once.
                let kept = generated.keeper.read();
                let is_old = kept.as_ref().is_none_or(|kept| kept.is_of(refused));
                if is_old && kept.is_some_and(|kept| generated.keeper.pause_of(&kept).is_some()) {
                    return None;
                }
                generated.tokens.refused(refused);
                generated.tokens.bearer().await.ok().filter(|token| token != refused)
            }
        }
    }
}

impl Generated {
    /// Once, when four fifths of its life are over. It is renewed by itself later.
    fn tell_its_age(&self) {
        let Some(life) = self.life else { return };
        if self.is_told.load(Ordering::Relaxed) {
            return;
        }
        let age = self.keeper.read().and_then(|kept| self.keeper.age(kept.created_at?));
        if age.is_some_and(|age| age >= life / 5 * 4) && !self.is_told.swap(true, Ordering::Relaxed) {
            warn!(sink.name = %self.sink, "access token has lived four fifths of its lifespan");
        }
    }
}

/// What the file holds.
#[derive(Serialize, Deserialize)]
struct Kept {
    /// Of the key, so that the token of another is not used.
    key: String,
    /// When a token was last asked for.
    asked_at: DateTime<Utc>,
    #[serde(default)]
    token: Option<String>,
    #[serde(default)]
    created_at: Option<DateTime<Utc>>,
}

impl Kept {
    fn is_of(&self, bearer: &Bearer) -> bool {
        self.token.as_deref() == Some(bearer.expose())
    }
}

/// The file, and time as it is written there.
#[derive(Debug, Clone)]
struct Keeper {
    file: PathBuf,
    clock: Clock,
}

impl Keeper {
    fn read(&self) -> Option<Kept> {
        serde_json::from_slice(&fs::read(&self.file).ok()?).ok()
    }

    /// In one piece, for its owner alone.
    fn write(&self, kept: &Kept) -> io::Result<()> {
        let folder = self.file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut file = tempfile::Builder::new().permissions(fs::Permissions::from_mode(0o600)).tempfile_in(folder)?;
        file.write_all(&serde_json::to_vec(kept)?)?;
        file.as_file().sync_all()?;
        file.persist(&self.file)?;
        Ok(())
    }

    /// None: in the future, so the clock was set back.
    fn age(&self, at: DateTime<Utc>) -> Option<Duration> {
        (self.clock.now() - at).to_std().ok()
    }

    /// How long no token may be asked for again.
    fn pause_of(&self, kept: &Kept) -> Option<Duration> {
        let left = PAUSE.checked_sub(self.age(kept.asked_at).unwrap_or_default())?;
        (!left.is_zero()).then_some(left)
    }

    /// Held until it is dropped; the system drops it with the process.
    async fn lock(&self, patience: Duration) -> io::Result<File> {
        let mut path = self.file.clone().into_os_string();
        path.push(".lock");
        let lock = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path)?;
        let until = tokio::time::Instant::now() + patience;
        loop {
            match lock.try_lock() {
                Ok(()) => return Ok(lock),
                Err(TryLockError::WouldBlock) if tokio::time::Instant::now() < until => {
                    tokio::time::sleep(LOOK_AGAIN).await;
                }
                Err(TryLockError::WouldBlock) => return Err(io::ErrorKind::TimedOut.into()),
                Err(TryLockError::Error(error)) => return Err(error),
            }
        }
    }
}

/// Generates tokens for [`Tokens`], which asks one at a time.
#[derive(Debug)]
struct Generator {
    exchange: Exchange,
    keeper: Keeper,
    life: Option<Duration>,
}

impl TokenSource for Generator {
    fn fetch<'a>(&'a self, refused: Option<&'a Bearer>) -> BoxFuture<'a, Result<Fresh, NoToken>> {
        Box::pin(async move {
            let _lock = self.keeper.lock(self.exchange.timeout).await.map_err(|error| self.unkept(&error))?;
            let key = hex::encode(&self.fingerprint()[..16]);
            let kept = self.keeper.read().filter(|kept| kept.key == key);
            if let Some(kept) = &kept {
                if let Some(fresh) = self.usable(kept, refused) {
                    return Ok(fresh);
                }
                if let Some(left) = self.keeper.pause_of(kept) {
                    return Err(NoToken::Unavailable { reason: Reason::CredentialsRejected, not_before: Some(left) });
                }
            }
            // Written down before it is asked for: whatever becomes of the answer, none is asked for soon.
            let asked_at = self.keeper.clock.now();
            let asked = Kept { key, asked_at, token: None, created_at: None };
            self.keeper.write(&asked).map_err(|error| self.unkept(&error))?;
            let bearer = self.exchange.ask().await?;
            let kept = Kept { token: Some(bearer.expose().to_owned()), created_at: Some(asked_at), ..asked };
            if let Err(error) = self.keeper.write(&kept) {
                warn!(error = %error, "generated access token not kept, a restart asks for another");
            }
            let life = self.life.unwrap_or(FOR_EVER);
            Ok(Fresh { bearer, life, left: life, scope: None })
        })
    }

    fn fingerprint(&self) -> Fingerprint {
        match self.exchange.key.read() {
            Ok(key) => Sha256::digest(key.expose_secret()).into(),
            Err(_) => Fingerprint::default(),
        }
    }
}

impl Generator {
    /// The kept token, unless it was refused or is to be renewed.
    fn usable(&self, kept: &Kept, refused: Option<&Bearer>) -> Option<Fresh> {
        let bearer = Bearer::new(kept.token.clone()?).filter(|bearer| refused != Some(bearer))?;
        let life = self.life.unwrap_or(FOR_EVER);
        let left = life.checked_sub(self.keeper.age(kept.created_at?)?)?;
        (left > self.life.unwrap_or_default() / 10).then_some(Fresh { bearer, life, left, scope: None })
    }

    fn unkept(&self, error: &io::Error) -> NoToken {
        let file = self.keeper.file.display();
        warn!(file = %file, error = %error, "token_file cannot be used, so no token is asked for");
        NoToken::Unavailable { reason: Reason::Misconfigured, not_before: None }
    }
}

impl Exchange {
    async fn ask(&self) -> Result<Bearer, NoToken> {
        let unusable = NoToken::Refused { code: "consumer_key_unusable" };
        let key = self.key.read().map_err(|_| unusable.clone())?;
        let url = self.template.url(&self.base_url, &[(Place::Key, key.expose_secret())]).ok_or(unusable)?;
        let unavailable = |reason| NoToken::Unavailable { reason, not_before: None };
        let request = self.http.request(self.template.method().clone(), url).timeout(self.timeout);
        let lost = |error: &reqwest::Error| {
            unavailable(if error.is_connect() { Reason::ConnectFailed } else { Reason::ConnectionLost })
        };
        let response = request.send().await.map_err(|error| lost(&error))?;
        let answer = read(response).await.map_err(|(_, error)| lost(&error))?;
        match answer.status {
            status if status.is_success() => {
                token_in(&answer.body).ok_or_else(|| unavailable(Reason::UnreadableAnswer))
            }
            StatusCode::TOO_MANY_REQUESTS => {
                Err(NoToken::Throttled { not_before: retry_after(&answer.headers, Utc::now()) })
            }
            status if status.is_server_error() => Err(NoToken::Unavailable {
                reason: Reason::ServerError,
                not_before: retry_after(&answer.headers, Utc::now()),
            }),
            _ => Err(NoToken::Refused { code: "consumer_key_refused" }),
        }
    }
}

/// A bare text, a JSON text, or a member of an object.
fn token_in(body: &[u8]) -> Option<Bearer> {
    let text = std::str::from_utf8(body).ok()?.trim();
    let token = match serde_json::from_str::<Value>(text) {
        Ok(Value::String(token)) => token,
        Ok(Value::Object(members)) => ["token", "Token", "access_token", "accessToken"]
            .iter()
            .find_map(|name| members.get(*name)?.as_str())?
            .to_owned(),
        // A token may be made of digits.
        Ok(Value::Number(_)) | Err(_) => text.to_owned(),
        Ok(_) => return None,
    };
    Bearer::new(token.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(body: &str) -> Option<String> {
        token_in(body.as_bytes()).map(|bearer| bearer.expose().to_owned())
    }

    #[test]
    fn a_token_is_read_in_every_form_an_answer_may_have() {
        let forms =
            ["abc", " abc\n", "\"abc\"", r#"{"token":"abc"}"#, r#"{"Token":"abc"}"#, r#"{"access_token":"abc"}"#];
        for form in forms {
            assert_eq!(token(form).as_deref(), Some("abc"), "{form}");
        }
        assert_eq!(token(r#"{"accessToken":"abc"}"#).as_deref(), Some("abc"));
        for form in ["", "<html>no token here</html>", "null", "[]", "{}", r#"{"error":"no"}"#] {
            assert_eq!(token(form), None, "{form}");
        }
    }

    #[test]
    fn what_is_kept_is_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let keeper = Keeper { file: folder.path().join("token"), clock: Clock::default() };
        let kept =
            Kept { key: "k".to_owned(), asked_at: DateTime::UNIX_EPOCH, token: Some("t".to_owned()), created_at: None };

        keeper.write(&kept).unwrap();
        keeper.write(&kept).unwrap();

        let mode = keeper.file.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(keeper.read().unwrap().token.as_deref(), Some("t"));
    }
}
