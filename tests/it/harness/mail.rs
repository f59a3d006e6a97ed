//! A mail server on loopback that takes what RFC 5321 describes, in the order it describes, and refuses the rest.
//!
//! The certificate in `mail/` is for `localhost` and signed by `mail/ca.pem`, whose key nobody has kept.

use std::{
    collections::VecDeque,
    path::PathBuf,
    sync::{Arc, Mutex},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufStream},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig, crypto,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    },
};
use tokio_util::sync::{CancellationToken, DropGuard};

/// How a connection is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protection {
    Never,
    /// Once it was asked for; before that no mail is taken.
    StartTls,
    FromTheStart,
}

/// A mail that was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    pub from: String,
    pub to: Vec<String>,
    /// Headers and body, with `\n` at the ends of lines.
    pub text: String,
}

impl Mail {
    /// Value of a header that stands there once.
    pub fn header(&self, name: &str) -> &str {
        let head = self.text.split("\n\n").next().unwrap_or_default();
        let mut named = head.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        let value = named.next().unwrap_or_else(|| panic!("no {name} in {head}"));
        assert_eq!(named.next(), None, "{name} stands there twice");
        value
    }
}

#[derive(Debug)]
struct State {
    protection: Protection,
    /// As `AUTH PLAIN` says it.
    login: Option<(String, String)>,
    taken: Mutex<Vec<Mail>>,
    refusals: Mutex<VecDeque<(&'static str, &'static str)>>,
    violations: Mutex<Vec<String>>,
    commands: Mutex<Vec<String>>,
}

/// The server; it ends with this.
pub struct MailServer {
    pub port: u16,
    state: Arc<State>,
    _stop: DropGuard,
}

/// The certificate of whoever signed the server's.
pub fn ca_file() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/harness/mail/ca.pem"))
}

impl MailServer {
    pub async fn start(protection: Protection, login: Option<(&str, &str)>) -> Self {
        Self::at(0, protection, login).await
    }

    pub async fn at(port: u16, protection: Protection, login: Option<(&str, &str)>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).await.expect("a loopback port is free");
        let port = listener.local_addr().expect("it listens").port();
        let state = Arc::new(State {
            protection,
            login: login.map(|(user, password)| (user.to_owned(), password.to_owned())),
            taken: Mutex::default(),
            refusals: Mutex::default(),
            violations: Mutex::default(),
            commands: Mutex::default(),
        });
        let stop = CancellationToken::new();
        let (stopped, shared) = (stop.clone(), Arc::clone(&state));
        tokio::spawn(stopped.run_until_cancelled_owned(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(converse(stream, Arc::clone(&shared)));
            }
        }));
        Self { port, state, _stop: stop.drop_guard() }
    }

    /// Answers the next command that begins with this by a refusal.
    pub fn refuse(&self, command: &'static str, answer: &'static str) {
        self.state.refusals.lock().unwrap().push_back((command, answer));
    }

    /// Mails in the order of their coming. Fails the test where a client said something it must not.
    pub fn taken(&self) -> Vec<Mail> {
        let violations = self.state.violations.lock().unwrap();
        assert!(violations.is_empty(), "{violations:?}");
        self.state.taken.lock().unwrap().clone()
    }

    /// Every line that a client said, but for mails.
    pub fn commands(&self) -> Vec<String> {
        self.state.commands.lock().unwrap().clone()
    }
}

fn acceptor() -> TlsAcceptor {
    let certificate = CertificateDer::from_pem_slice(include_bytes!("mail/server.pem")).expect("a certificate");
    let key = PrivateKeyDer::from_pem_slice(include_bytes!("mail/server.key")).expect("a key");
    let config = ServerConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring supports the default versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .expect("the key is the certificate's");
    TlsAcceptor::from(Arc::new(config))
}

async fn converse(stream: TcpStream, state: Arc<State>) {
    match state.protection {
        Protection::Never => _ = Session::new(stream, &state, true).greet().await,
        Protection::FromTheStart => {
            let Ok(stream) = acceptor().accept(stream).await else { return };
            _ = Session::new(stream, &state, true).greet().await;
        }
        Protection::StartTls => {
            let Some(stream) = Session::new(stream, &state, false).greet().await else { return };
            let Ok(stream) = acceptor().accept(stream).await else { return };
            _ = Session::new(stream, &state, true).listen().await;
        }
    }
}

/// What was said so far. Each step allows the next.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Said {
    Nothing,
    Hello,
    From(String),
    To(String, Vec<String>),
}

struct Session<'s, S> {
    stream: BufStream<S>,
    state: &'s State,
    /// Whether mail may be taken here.
    protected: bool,
    authorised: bool,
    said: Said,
}

impl<'s, S: AsyncRead + AsyncWrite + Unpin> Session<'s, S> {
    fn new(stream: S, state: &'s State, protected: bool) -> Self {
        let authorised = state.login.is_none();
        Self { stream: BufStream::new(stream), state, protected, authorised, said: Said::Nothing }
    }

    async fn greet(mut self) -> Option<S> {
        self.answer("220 mail.test ESMTP").await?;
        self.listen().await
    }

    /// Until the client leaves, or asks for TLS: then the stream is given back.
    async fn listen(mut self) -> Option<S> {
        loop {
            let line = self.line().await?;
            self.state.commands.lock().unwrap().push(line.clone());
            if let Some(refusal) = self.refusal(&line) {
                self.answer(refusal).await?;
                continue;
            }
            let verb = line.split(' ').next().unwrap_or_default().to_ascii_uppercase();
            match (verb.as_str(), self.said.clone()) {
                ("EHLO", _) if line.len() > 5 => self.hello().await?,
                ("STARTTLS", Said::Hello) if !self.protected => {
                    self.answer("220 go ahead").await?;
                    return Some(self.stream.into_inner());
                }
                ("AUTH", Said::Hello) if self.protected && !self.authorised => self.authorise(&line).await?,
                ("MAIL", Said::Hello) if self.protected && self.authorised => {
                    let from = self.path(&line, "MAIL FROM:")?;
                    self.said = Said::From(from);
                    self.answer("250 2.1.0 ok").await?;
                }
                ("RCPT", Said::From(from)) => {
                    self.said = Said::To(from, vec![self.path(&line, "RCPT TO:")?]);
                    self.answer("250 2.1.5 ok").await?;
                }
                ("RCPT", Said::To(from, mut to)) => {
                    to.push(self.path(&line, "RCPT TO:")?);
                    self.said = Said::To(from, to);
                    self.answer("250 2.1.5 ok").await?;
                }
                ("DATA", Said::To(from, to)) => self.data(from, to).await?,
                ("RSET", _) => {
                    self.said = Said::Hello;
                    self.answer("250 2.0.0 ok").await?;
                }
                ("NOOP", _) => self.answer("250 2.0.0 ok").await?,
                ("QUIT", _) => {
                    self.answer("221 2.0.0 bye").await?;
                    return None;
                }
                (_, said) => {
                    self.violated(format!("{line:?} after {said:?}"));
                    self.answer("503 5.5.1 not now").await?;
                }
            }
        }
    }

    async fn hello(&mut self) -> Option<()> {
        self.said = Said::Hello;
        let offered = match (self.protected, self.authorised) {
            (false, _) => "STARTTLS",
            (true, false) => "AUTH PLAIN",
            (true, true) => "8BITMIME",
        };
        self.answer(&format!("250-mail.test\r\n250 {offered}")).await
    }

    /// Source: RFC 4616, section 2.
    async fn authorise(&mut self, line: &str) -> Option<()> {
        let said = line.strip_prefix("AUTH PLAIN ").and_then(|text| STANDARD.decode(text).ok());
        let right = self.state.login.as_ref().map(|(user, password)| format!("\0{user}\0{password}").into_bytes());
        self.authorised = said.is_some() && said == right;
        self.answer(if self.authorised { "235 2.7.0 ok" } else { "535 5.7.8 who are you" }).await
    }

    async fn data(&mut self, from: String, to: Vec<String>) -> Option<()> {
        self.answer("354 go on").await?;
        let mut text = String::new();
        loop {
            let line = self.line().await?;
            if line == "." {
                break;
            }
            if line.len() > 998 {
                self.violated(format!("a line has {} bytes", line.len()));
            }
            text.push_str(line.strip_prefix('.').unwrap_or(&line));
            text.push('\n');
        }
        self.state.taken.lock().unwrap().push(Mail { from, to, text });
        self.said = Said::Hello;
        self.answer("250 2.0.0 taken").await
    }

    /// The address between `<` and `>`, which is not empty.
    fn path(&self, line: &str, command: &str) -> Option<String> {
        let path = line.strip_prefix(command).and_then(|rest| rest.strip_prefix('<')?.split_once('>'));
        match path {
            Some((address, _)) if address.contains('@') => Some(address.to_owned()),
            _ => {
                self.violated(format!("{line:?} names no address"));
                None
            }
        }
    }

    fn refusal(&self, line: &str) -> Option<&'static str> {
        let mut refusals = self.state.refusals.lock().unwrap();
        let (command, answer) = *refusals.front()?;
        line.starts_with(command).then(|| {
            refusals.pop_front();
            answer
        })
    }

    fn violated(&self, what: String) {
        self.state.violations.lock().unwrap().push(what);
    }

    /// A line without its end, which has to be CRLF.
    async fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        let n = self.stream.read_line(&mut line).await.ok()?;
        if n == 0 {
            return None;
        }
        let Some(whole) = line.strip_suffix("\r\n") else {
            self.violated(format!("{line:?} does not end with CRLF"));
            return None;
        };
        Some(whole.to_owned())
    }

    async fn answer(&mut self, text: &str) -> Option<()> {
        self.stream.write_all(format!("{text}\r\n").as_bytes()).await.ok()?;
        self.stream.flush().await.ok()
    }
}
