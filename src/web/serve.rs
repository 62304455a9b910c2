//! Serving connections, so that nobody can keep the others out: by being slow, by being many, by
//! never ending, or by being gone.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::response::Response;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustix::net::sockopt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use super::WebState;

/// How long requests that wait for news are let go on when the server leaves.
const GRACE: Duration = Duration::from_secs(1);
/// A request's headers: far more than any client of ours sends, and little memory.
const HEADER_BYTES: usize = 32 * 1024;
const HEADERS: usize = 100;
/// After this much silence the kernel asks whether the other side is still there, and what was sent
/// and is not taken for as long ends the connection (tcp(7), TCP_KEEPIDLE and TCP_USER_TIMEOUT).
const SILENCE: Duration = Duration::from_secs(30);
/// When no connection can be taken for want of something (open files, mostly).
const PAUSE: Duration = Duration::from_millis(100);

/// What each client gets.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    pub connections: usize,
    /// For the headers of a request, also of the next one on an open connection.
    pub header_time: Duration,
    /// For a request's body.
    pub body_time: Duration,
    /// All bodies together, in bytes.
    pub body_memory: usize,
}

/// Serves until shutdown; what is under way then has a moment to end.
pub async fn serve(
    listener: TcpListener,
    state: WebState,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let room = Room::new(state.limits.connections);
    let header_time = state.limits.header_time;
    let router = super::router(state);
    let mut connections = JoinSet::new();
    loop {
        let (stream, peer) = tokio::select! {
            () = shutdown.cancelled() => break,
            Some(_) = connections.join_next() => continue,
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be taken");
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
            },
        };
        let guest = tokio::select! {
            () = shutdown.cancelled() => break,
            guest = room.enter() => guest,
        };
        let connection = Connection {
            peer,
            router: router.clone(),
            header_time,
            guest: Arc::new(guest),
        };
        connections.spawn(connection.serve(stream, shutdown.clone()));
    }
    drop(listener);
    let ended = async { while connections.join_next().await.is_some() {} };
    // Long polls and followed logs do not hold the server back.
    if tokio::time::timeout(GRACE, ended).await.is_err() {
        connections.shutdown().await;
    }
    Ok(())
}

struct Connection {
    peer: SocketAddr,
    router: Router,
    header_time: Duration,
    guest: Arc<Guest>,
}

impl Connection {
    async fn serve(self, stream: TcpStream, shutdown: CancellationToken) {
        if let Err(error) = prepare(&stream) {
            tracing::debug!(%error, "a connection has no settings of its own");
        }
        let guest = Arc::clone(&self.guest);
        let header_time = self.header_time;
        let service = service_fn(move |request| self.answer(request));
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(header_time)
            .max_buf_size(HEADER_BYTES)
            .max_headers(HEADERS)
            .serve_connection(TokioIo::new(stream), service);
        tokio::pin!(connection);
        tokio::select! {
            // Clients break off, are too slow, or send what is no HTTP: nothing to be said about.
            ended = &mut connection => return report(ended),
            () = guest.shown_out.cancelled() => return,
            () = shutdown.cancelled() => connection.as_mut().graceful_shutdown(),
        }
        report(connection.await);
    }

    fn answer(
        &self,
        request: http::Request<Incoming>,
    ) -> impl Future<Output = Result<Response, Infallible>> + use<> {
        self.guest.spoke();
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(ConnectInfo(self.peer));
        self.router.clone().oneshot(request)
    }
}

fn report(ended: Result<(), hyper::Error>) {
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
    }
}

fn prepare(stream: &TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    sockopt::set_socket_keepalive(stream, true)?;
    sockopt::set_tcp_keepidle(stream, SILENCE)?;
    let millis = u32::try_from(SILENCE.as_millis()).unwrap_or(u32::MAX);
    sockopt::set_tcp_user_timeout(stream, millis)?;
    Ok(())
}

/// Places for connections. When all are taken, whoever came first and never said anything leaves.
#[derive(Clone)]
struct Room {
    places: Arc<Semaphore>,
    silent: Silent,
}

/// Connections without a request so far, the oldest first.
type Silent = Arc<Mutex<Register>>;

#[derive(Default)]
struct Register {
    next: u64,
    guests: BTreeMap<u64, CancellationToken>,
}

impl Room {
    fn new(places: usize) -> Self {
        Self {
            places: Arc::new(Semaphore::new(places)),
            silent: Silent::default(),
        }
    }

    async fn enter(&self) -> Guest {
        let place = if let Ok(place) = Arc::clone(&self.places).try_acquire_owned() {
            Some(place)
        } else {
            self.show_somebody_out();
            // The semaphore is never closed.
            Arc::clone(&self.places).acquire_owned().await.ok()
        };
        let shown_out = CancellationToken::new();
        let mut register = lock(&self.silent);
        let number = register.next;
        register.next += 1;
        register.guests.insert(number, shown_out.clone());
        Guest {
            number,
            shown_out,
            silent: Arc::clone(&self.silent),
            _place: place,
        }
    }

    fn show_somebody_out(&self) {
        if let Some((_, oldest)) = lock(&self.silent).guests.pop_first() {
            oldest.cancel();
        }
    }
}

/// Nothing in there leaves a half-made state behind.
fn lock(silent: &Silent) -> MutexGuard<'_, Register> {
    silent.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Guest {
    number: u64,
    shown_out: CancellationToken,
    silent: Silent,
    _place: Option<OwnedSemaphorePermit>,
}

impl Guest {
    /// It made a request: from now on it may stay.
    fn spoke(&self) {
        lock(&self.silent).guests.remove(&self.number);
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.spoke();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_oldest_that_never_spoke_makes_room() {
        let room = Room::new(3);
        let (polite, silent, later) = (room.enter().await, room.enter().await, room.enter().await);
        polite.spoke();
        let newcomer = room.enter();
        tokio::pin!(newcomer);
        assert!(futures::poll!(&mut newcomer).is_pending());
        assert!(silent.shown_out.is_cancelled());
        assert!(!polite.shown_out.is_cancelled() && !later.shown_out.is_cancelled());
        drop(silent);
        newcomer.await;
    }
}
