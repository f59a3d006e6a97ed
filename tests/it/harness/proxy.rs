//! What lies between a replica and Postgres: it passes everything on, until told to delay it, to refuse connections, or to
//! lose what is said without telling either end.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

/// What becomes of the server's end of a connection that leads nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FarEnd {
    /// It knows as little as the near end.
    Open,
    Closed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    Passing,
    Delaying(Duration),
    Refusing,
    Silent,
}

/// The connections made since the last break, which all end alike.
#[derive(Debug, Clone, Default)]
struct Generation {
    cut: CancellationToken,
    lost: CancellationToken,
    far_end_closed: CancellationToken,
}

#[derive(Debug)]
struct State {
    manner: Manner,
    generation: Generation,
}

/// A way to one port of this machine. Dropping it ends it.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    state: Arc<Mutex<State>>,
    accepting: JoinHandle<()>,
}

impl Proxy {
    pub async fn to(server: u16) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let port = listener.local_addr()?.port();
        let state = Arc::new(Mutex::new(State { manner: Manner::Passing, generation: Generation::default() }));
        let shared = Arc::clone(&state);
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (manner, generation) = {
                    let state = shared.lock().unwrap_or_else(PoisonError::into_inner);
                    (state.manner, state.generation.clone())
                };
                if manner != Manner::Refusing {
                    tokio::spawn(carry(client, server, Arc::clone(&shared), generation));
                }
            }
        });
        Ok(Self { port, state, accepting })
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// From now on all is well for new connections; what leads nowhere goes on to.
    pub fn pass(&self) {
        let mut state = self.state();
        if matches!(state.manner, Manner::Silent) {
            state.generation = Generation::default();
        }
        state.manner = Manner::Passing;
    }

    /// Each piece of what is said takes so much longer.
    pub fn delay(&self, by: Duration) {
        self.state().manner = Manner::Delaying(by);
    }

    /// Ends all connections and takes no new ones.
    pub fn refuse(&self) {
        let mut state = self.state();
        state.manner = Manner::Refusing;
        std::mem::take(&mut state.generation).cut.cancel();
    }

    /// Nothing said on any connection comes through any more, now or ever; nothing is answered on new ones until
    /// [`Self::pass`].
    pub fn fall_silent(&self, far_end: FarEnd) {
        let mut state = self.state();
        state.manner = Manner::Silent;
        let before = std::mem::take(&mut state.generation);
        before.lost.cancel();
        if far_end == FarEnd::Closed {
            before.far_end_closed.cancel();
        }
        // Who connects while it lasts is lost, too.
        state.generation.lost.cancel();
        state.generation.far_end_closed.cancel();
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.state().generation.cut.cancel();
    }
}

async fn carry(client: TcpStream, server: u16, state: Arc<Mutex<State>>, generation: Generation) {
    let Ok(server) = TcpStream::connect(("127.0.0.1", server)).await else { return };
    let ((mut from_client, mut to_client), (mut from_server, mut to_server)) = (halves(client), halves(server));
    tokio::select! {
        biased;
        () = generation.cut.cancelled() => return,
        () = generation.lost.cancelled() => {}
        () = pass_on(&mut from_client, &mut to_server, &state) => return,
        () = pass_on(&mut from_server, &mut to_client, &state) => return,
    }
    if generation.far_end_closed.is_cancelled() {
        drop((from_server, to_server));
        swallow(from_client).await;
    } else {
        tokio::select! {
            () = swallow(from_client) => {}
            () = swallow(from_server) => {}
        }
    }
}

fn halves(stream: TcpStream) -> (OwnedReadHalf, OwnedWriteHalf) {
    let _ = stream.set_nodelay(true);
    stream.into_split()
}

/// Until one end is closed.
async fn pass_on(from: &mut OwnedReadHalf, to: &mut OwnedWriteHalf, state: &Mutex<State>) {
    let mut piece = vec![0; 16 * 1024];
    loop {
        let Ok(read @ 1..) = from.read(&mut piece).await else { return };
        let manner = state.lock().unwrap_or_else(PoisonError::into_inner).manner;
        if let Manner::Delaying(by) = manner {
            tokio::time::sleep(by).await;
        }
        if to.write_all(&piece[..read]).await.is_err() {
            return;
        }
    }
}

/// Until the end it comes from is closed.
async fn swallow(mut from: OwnedReadHalf) {
    let mut piece = vec![0; 16 * 1024];
    while let Ok(1..) = from.read(&mut piece).await {}
}
