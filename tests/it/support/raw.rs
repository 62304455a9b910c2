//! A bare connection to the server, for what no HTTP client would do.

use std::net::SocketAddr;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::patience::PATIENCE;

pub(crate) struct Raw(TcpStream);

/// An answer as it came over the wire.
#[derive(Debug)]
pub(crate) struct RawAnswer {
    pub(crate) status: u16,
    /// Status line and headers, in lower case.
    pub(crate) head: String,
    pub(crate) body: String,
}

impl RawAnswer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines();
        lines
            .filter_map(|line| line.split_once(": "))
            .find(|(found, _)| *found == name)
            .map(|(_, value)| value)
    }
}

impl Raw {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self(
            TcpStream::connect(address)
                .await
                .expect("the server listens"),
        )
    }

    /// `false` when the server hung up already.
    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.0.write_all(bytes.as_ref()).await.is_ok()
    }

    /// Says that nothing more will come.
    pub(crate) async fn finish(&mut self) {
        self.0
            .shutdown()
            .await
            .expect("an open connection can be shut");
    }

    /// One answer; `None` when the server hung up without one.
    pub(crate) async fn answer(&mut self) -> Option<RawAnswer> {
        let answer = tokio::time::timeout(PATIENCE, self.read_answer());
        answer.await.expect("the server answers or hangs up")
    }

    async fn read_answer(&mut self) -> Option<RawAnswer> {
        let mut bytes = Vec::new();
        loop {
            if let Some(answer) = parse(&bytes) {
                return Some(answer);
            }
            if self.0.read_buf(&mut bytes).await.ok()? == 0 {
                return None;
            }
        }
    }

    /// Waits until the server hangs up; whatever it says before is not looked at.
    ///
    /// # Panics
    /// When it does not.
    pub(crate) async fn closed(&mut self) {
        let read = async {
            let mut bytes = [0; 4_096];
            // An error is a reset: hung up, too.
            while self.0.read(&mut bytes).await.is_ok_and(|length| length > 0) {}
        };
        let closed = tokio::time::timeout(PATIENCE, read).await;
        closed.expect("the server hangs up");
    }
}

fn parse(bytes: &[u8]) -> Option<RawAnswer> {
    let text = String::from_utf8_lossy(bytes);
    let (head, body) = text.split_once("\r\n\r\n")?;
    let head = head.to_lowercase();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: ")?.parse().ok())
        .unwrap_or(0);
    let status = head.split(' ').nth(1)?.parse().ok()?;
    (body.len() >= length).then(|| RawAnswer {
        status,
        body: body.to_owned(),
        head,
    })
}

/// One request on a connection of its own. `request` is everything before the empty line, without
/// the last line end.
pub(crate) async fn ask(address: SocketAddr, request: &str, body: &str) -> Option<RawAnswer> {
    let mut raw = Raw::connect(address).await;
    let length = match body {
        "" => String::new(),
        body => format!("content-length: {}\r\n", body.len()),
    };
    raw.send(format!("{request}\r\n{length}\r\n{body}")).await;
    raw.answer().await
}
