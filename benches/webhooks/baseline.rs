//! The least that can be done: the signature is checked, the body is on the disk, 202.
//!
//! axum, hmac, and SQLite with a write-ahead log and `synchronous = FULL`, in group commits by a
//! thread of its own. No parsing, no duplicates, nothing follows.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use hmac::{Hmac, KeyInit, Mac};
use rusqlite::Connection;
use sha2::Sha256;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::{mpsc, oneshot};

use crate::deliveries::SECRET;

pub(crate) const ARGUMENT: &str = "--serve-the-baseline";
const BATCH: usize = 256;

struct Arrival {
    id: String,
    body: Bytes,
    stored: oneshot::Sender<()>,
}

/// Runs it until it is killed. Says where it listens on stdout.
pub(crate) async fn serve(file: &Path) {
    let (sender, receiver) = mpsc::channel(1_024);
    let connection = Connection::open(file).unwrap();
    std::thread::spawn(move || store(&connection, receiver));
    let app = Router::new()
        .route("/webhooks/github", post(receive))
        .with_state(Arc::new(sender));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("{}", listener.local_addr().unwrap());
    axum::serve(listener, app).await.unwrap();
}

async fn receive(
    State(sender): State<Arc<mpsc::Sender<Arrival>>>,
    headers: HeaderMap,
    body: Bytes,
) -> StatusCode {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let signature = header("x-hub-signature-256")
        .and_then(|text| hex::decode(text.strip_prefix("sha256=")?).ok())
        .unwrap_or_default();
    let mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    if mac.chain_update(&body).verify_slice(&signature).is_err() {
        return StatusCode::UNAUTHORIZED;
    }
    let id = header("x-github-delivery").unwrap_or_default().to_owned();
    let (stored, done) = oneshot::channel();
    sender.send(Arrival { id, body, stored }).await.unwrap();
    done.await.unwrap();
    StatusCode::ACCEPTED
}

fn store(connection: &Connection, mut arrivals: mpsc::Receiver<Arrival>) {
    connection
        .execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
             CREATE TABLE deliveries (seq INTEGER PRIMARY KEY, id TEXT UNIQUE, body BLOB);",
        )
        .unwrap();
    let mut insert = connection
        .prepare("INSERT INTO deliveries (id, body) VALUES (?, ?) ON CONFLICT DO NOTHING")
        .unwrap();
    let mut batch = Vec::with_capacity(BATCH);
    while arrivals.blocking_recv_many(&mut batch, BATCH) > 0 {
        connection.execute_batch("BEGIN IMMEDIATE").unwrap();
        for arrival in &batch {
            insert.execute((&arrival.id, &*arrival.body)).unwrap();
        }
        connection.execute_batch("COMMIT").unwrap();
        for arrival in batch.drain(..) {
            // A sender that hung up needs no answer.
            arrival.stored.send(()).ok();
        }
    }
}

/// The baseline in a process of its own, so that its memory can be told from the loader's.
pub(crate) struct Served {
    process: Child,
    address: SocketAddr,
    _folder: tempfile::TempDir,
}

impl Served {
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut process = Command::new(std::env::current_exe().unwrap())
            .arg(ARGUMENT)
            .arg(folder.path().join("baseline.db"))
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let address = lines.next_line().await.unwrap().unwrap().parse().unwrap();
        Self {
            process,
            address,
            _folder: folder,
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.id().unwrap()
    }
}
