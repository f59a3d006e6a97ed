//! By e-mail, over SMTP.

use std::{error::Error as _, time::Duration};

use lettre::{
    AsyncSmtpTransport, AsyncTransport as _, Message as Mail, Tokio1Executor,
    message::header::{ContentType, HeaderName, HeaderValue},
    transport::smtp::{
        self,
        authentication::Credentials,
        client::{Tls, TlsParameters},
    },
};
use secrecy::ExposeSecret;

use super::{Undelivered, message};
use crate::{
    config::{
        HttpUrl,
        alerts::{EmailSettings, Security},
    },
    store::alert_messages::Message,
};

/// Longest wait for each answer of the server.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// The way to a mail server; each message has a connection of its own.
#[derive(Debug)]
pub struct Email {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    settings: EmailSettings,
    page: Option<HttpUrl>,
}

/// TLS could not be prepared.
#[derive(Debug, thiserror::Error)]
#[error("TLS to the mail server cannot be prepared")]
pub struct TlsError(#[source] smtp::Error);

impl Email {
    pub fn new(settings: &EmailSettings, page: Option<&HttpUrl>) -> Result<Self, TlsError> {
        let parameters = || {
            let mut tls = TlsParameters::builder(settings.host.clone());
            if let Some(ca) = &settings.ca {
                tls = tls.add_root_certificate(ca.certificate.clone());
            }
            tls.build_rustls().map_err(TlsError)
        };
        let tls = match settings.security {
            Security::StartTls => Tls::Required(parameters()?),
            Security::Tls => Tls::Wrapper(parameters()?),
            Security::None => Tls::None,
        };
        // What is dangerous about it is to leave TLS out, which `tls` does not.
        let mut transport = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&settings.host)
            .port(settings.port)
            .tls(tls)
            .timeout(Some(ANSWER_LIMIT));
        if let Some(login) = &settings.login {
            let password = login.password.value().expose_secret().to_owned();
            transport = transport.credentials(Credentials::new(login.username.clone(), password));
        }
        Ok(Self { transport: transport.build(), settings: settings.clone(), page: page.cloned() })
    }

    /// Connects and logs in as before a message, and sends none.
    pub async fn greet(&self) -> Result<(), Undelivered> {
        match self.transport.test_connection().await {
            Ok(true) => Ok(()),
            Ok(false) => Err(Undelivered::channel("not_understood")),
            Err(error) => Err(undelivered(&error)),
        }
    }

    /// Hands the message to the server, for all recipients at once.
    pub async fn send(&self, message: &Message) -> Result<(), Undelivered> {
        let mail = self.mail(message).map_err(|_| Undelivered::message("not_writable"))?;
        self.transport.send(mail).await.map(|_| ()).map_err(|error| undelivered(&error))
    }

    fn mail(&self, message: &Message) -> Result<Mail, lettre::error::Error> {
        let EmailSettings { from, to, .. } = &self.settings;
        let id = format!("<{}@{}>", message.id, from.email.domain());
        let builder = Mail::builder()
            .from(from.clone())
            .subject(message::title(message))
            .date(message.composed_at.into())
            .message_id(Some(id))
            .header(ContentType::TEXT_PLAIN);
        let builder = to.iter().fold(builder, |builder, recipient| builder.to(recipient.clone()));
        let mut mail = builder.body(message::text(message, self.page.as_ref()))?;
        // So that nobody's absence note answers. Source: RFC 3834, section 5.
        let name = HeaderName::new_from_ascii_str("Auto-Submitted");
        mail.headers_mut().insert_raw(HeaderValue::new(name, "auto-generated".to_owned()));
        Ok(mail)
    }
}

/// What the server refuses for good is about this message: its recipients, its size. Not before it knows us, though.
///
/// Source: RFC 5321, section 4.2.1; RFC 4954, section 6 (530 to 538: authentication).
fn undelivered(error: &smtp::Error) -> Undelivered {
    match error.status().map(u16::from) {
        Some(code) if error.is_permanent() && !(530..=538).contains(&code) => {
            Undelivered::message(format!("smtp_{code}"))
        }
        Some(code) => Undelivered::channel(format!("smtp_{code}")),
        None if error.is_timeout() => Undelivered::channel("timeout"),
        None if error.is_tls() => Undelivered::channel("tls"),
        None if error.is_client() => Undelivered::channel("not_offered"),
        None if error.is_response() => Undelivered::channel("not_understood"),
        None if error.source().is_some() => Undelivered::channel("connect"),
        None => Undelivered::channel("failed"),
    }
}
