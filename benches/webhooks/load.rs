//! Sends deliveries over connections that are kept open, and takes the time of each answer.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::deliveries::Deliveries;
use crate::memory::Memory;

/// What a run came to.
pub(crate) struct Figures {
    /// Of each answer, sorted.
    times: Vec<Duration>,
    whole: Duration,
}

/// Sends all of them, each once; each connection waits for an answer before it sends the next.
///
/// # Panics
/// When one is not taken: then there is nothing to compare.
pub(crate) async fn drive(
    address: SocketAddr,
    deliveries: &Deliveries,
    concurrency: usize,
) -> Figures {
    let requests: Arc<[Vec<u8>]> = deliveries.0.clone().into();
    let next = Arc::new(AtomicUsize::new(0));
    let mut connections = Vec::new();
    for _ in 0..concurrency {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        connections.push(stream);
    }
    let began = Instant::now();
    let senders: Vec<_> = connections
        .into_iter()
        .map(|stream| tokio::spawn(send(stream, Arc::clone(&requests), Arc::clone(&next))))
        .collect();
    let mut times = Vec::new();
    for sender in senders {
        times.extend(sender.await.unwrap());
    }
    let whole = began.elapsed();
    times.sort();
    Figures { times, whole }
}

async fn send(
    mut stream: TcpStream,
    requests: Arc<[Vec<u8>]>,
    next: Arc<AtomicUsize>,
) -> Vec<Duration> {
    let mut times = Vec::new();
    let mut answer = Vec::with_capacity(1_024);
    while let Some(request) = requests.get(next.fetch_add(1, Ordering::Relaxed)) {
        let began = Instant::now();
        stream.write_all(request).await.unwrap();
        read_answer(&mut stream, &mut answer).await;
        times.push(began.elapsed());
        let status = answer.get(9..12).unwrap_or_default();
        assert_eq!(status, b"202", "{}", String::from_utf8_lossy(&answer));
    }
    times
}

/// Reads one answer with a `content-length` to its end.
async fn read_answer(stream: &mut TcpStream, answer: &mut Vec<u8>) {
    answer.clear();
    loop {
        let read = stream.read_buf(answer).await.unwrap();
        assert!(read > 0, "the server hung up");
        let Some(end) = answer.windows(4).position(|four| four == b"\r\n\r\n") else {
            continue;
        };
        let head = String::from_utf8_lossy(&answer[..end]).to_lowercase();
        let length = head.split("\r\n").find_map(|line| {
            line.strip_prefix("content-length:")?
                .trim()
                .parse::<usize>()
                .ok()
        });
        if answer.len() >= end + 4 + length.unwrap_or_default() {
            return;
        }
    }
}

impl Figures {
    pub(crate) const HEADING: &str =
        "              c   a second       p50       p99       max   memory in MiB";

    pub(crate) fn rate(&self) -> f64 {
        f64::from(u32::try_from(self.times.len()).unwrap()) / self.whole.as_secs_f64()
    }

    pub(crate) fn percentile(&self, percent: f64) -> Duration {
        let count = f64::from(u32::try_from(self.times.len()).unwrap());
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a place in a list"
        )]
        let place = (count * percent / 100.0) as usize;
        self.times[place.min(self.times.len() - 1)]
    }

    pub(crate) fn row(&self, name: &str, concurrency: usize, memory: &Memory) -> String {
        format!(
            "  {name:<9} {concurrency:>3}   {:>8.0} {:>9} {:>9} {:>9}  {memory}",
            self.rate(),
            millis(self.percentile(50.0)),
            millis(self.percentile(99.0)),
            millis(self.percentile(100.0)),
        )
    }
}

pub(crate) fn millis(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1_000.0)
}
