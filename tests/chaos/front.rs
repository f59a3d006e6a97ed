//! What lies between the replicas and a simulated system: it speaks TLS with them and passes on what is said, until told to
//! reset connections.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig, crypto,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    },
    server::TlsStream,
};
use tokio_util::sync::{CancellationToken, DropGuard};

/// The certificate of whoever signed the fronts'.
pub const CA_FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/harness/mail/ca.pem");

/// How often each kind of reset happens, or did.
#[derive(Debug, Clone, Copy, Default)]
pub struct Resets {
    /// Once the client has said hello: nothing was sent.
    pub in_handshake: u64,
    /// Once the system has begun to answer: the effect happened, and nothing of the answer is passed on.
    pub before_answer: u64,
}

#[derive(Debug, Default)]
struct State {
    to_do: Resets,
    done: Resets,
}

/// A way to one system. Dropping it ends it.
#[derive(Debug)]
pub struct Front {
    behind: SocketAddr,
    port: u16,
    state: Arc<Mutex<State>>,
    _stop: DropGuard,
}

impl Front {
    pub async fn before(behind: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let port = listener.local_addr()?.port();
        let state = Arc::<Mutex<State>>::default();
        let (shared, acceptor, stop) = (Arc::clone(&state), acceptor(), CancellationToken::new());
        tokio::spawn(stop.clone().run_until_cancelled_owned(async move {
            let mut carried = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                carried.spawn(carry(client, behind, acceptor.clone(), Arc::clone(&shared)));
                while carried.try_join_next().is_some() {}
            }
        }));
        Ok(Self { behind, port, state, _stop: stop.drop_guard() })
    }

    /// Where a client finds it that was told this about the system behind it; none: the URL is of another.
    pub fn url(&self, of_system: &str) -> Option<String> {
        let rest = of_system.strip_prefix(&format!("http://{}", self.behind))?;
        let is_whole = rest.is_empty() || rest.starts_with('/');
        is_whole.then(|| format!("https://127.0.0.1:{}{rest}", self.port))
    }

    /// The next connections, and the next requests on any.
    pub fn reset_next(&self, resets: Resets) {
        self.state().to_do = resets;
    }

    pub fn done(&self) -> Resets {
        self.state().done
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One less to do, and one more done; false where none is left to do.
fn is_next(state: &Mutex<State>, kind: fn(&mut Resets) -> &mut u64) -> bool {
    let State { to_do, done } = &mut *lock(state);
    let Some(left) = kind(to_do).checked_sub(1) else { return false };
    *kind(to_do) = left;
    *kind(done) += 1;
    true
}

fn acceptor() -> TlsAcceptor {
    let certificate = CertificateDer::from_pem_slice(include_bytes!("../it/harness/mail/server.pem"));
    let key = PrivateKeyDer::from_pem_slice(include_bytes!("../it/harness/mail/server.key"));
    let mut config = ServerConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring supports the default versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate.expect("a certificate")], key.expect("a key"))
        .expect("the key is the certificate's");
    // What the systems behind it speak.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    TlsAcceptor::from(Arc::new(config))
}

/// How a connection came to its end.
enum End {
    Closed,
    Reset,
}

async fn carry(client: TcpStream, behind: SocketAddr, acceptor: TlsAcceptor, state: Arc<Mutex<State>>) {
    let _ = client.set_nodelay(true);
    // The hello stays unread, so that what is reset says nothing.
    if !matches!(client.peek(&mut [0]).await, Ok(1..)) {
        return;
    }
    if is_next(&state, |resets| &mut resets.in_handshake) {
        return reset(&client);
    }
    let Ok(mut system) = TcpStream::connect(behind).await else { return reset(&client) };
    let _ = system.set_nodelay(true);
    let Ok(mut client) = acceptor.accept(client).await else { return };
    match pass_on(&mut client, &mut system, &state).await {
        End::Closed => _ = client.shutdown().await,
        End::Reset => reset(client.get_ref().0),
    }
}

/// Takes effect when the stream is dropped.
fn reset(stream: &TcpStream) {
    let _ = stream.set_zero_linger();
}

/// Until one side ends: where the system's is no clean one, the client is to have none either.
async fn pass_on(client: &mut TlsStream<TcpStream>, system: &mut TcpStream, state: &Mutex<State>) -> End {
    let (mut request, mut answer) = (vec![0; 16 * 1024], vec![0; 16 * 1024]);
    let mut is_answered = true;
    let mut is_doomed = false;
    loop {
        tokio::select! {
            read = client.read(&mut request) => {
                let Ok(n @ 1..) = read else { return End::Closed };
                // Further pieces of a request are not the next one.
                if std::mem::take(&mut is_answered) {
                    is_doomed = is_next(state, |resets| &mut resets.before_answer);
                }
                if system.write_all(&request[..n]).await.is_err() {
                    return End::Reset;
                }
            }
            read = system.read(&mut answer) => {
                let Ok(n) = read else { return End::Reset };
                if is_doomed {
                    return End::Reset;
                }
                if n == 0 {
                    return End::Closed;
                }
                is_answered = true;
                let passed = async {
                    client.write_all(&answer[..n]).await?;
                    client.flush().await
                };
                if passed.await.is_err() {
                    return End::Closed;
                }
            }
        }
    }
}
