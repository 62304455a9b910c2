//! What a server and a supervisor say to each other: length-prefixed JSON frames over anything that
//! carries bytes both ways. A Unix socket carries them today.

use std::io;
use std::marker::PhantomData;
use std::time::Duration;

use futures::{SinkExt, StreamExt};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::bytes::Bytes;
use tokio_util::codec::{Framed, LengthDelimitedCodec};

use crate::domain::id::SessionId;
use crate::domain::work::ProcessIdentity;

/// Far above any message below; keeps a confused peer from filling the memory.
const MAX_FRAME: usize = 64 * 1024;

/// From a server to a supervisor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToSupervisor {
    /// End the job; whatever it started gets SIGTERM and has `grace` before SIGKILL.
    Stop { grace: Duration },
    /// A server is here. Its absence for too long ends the job.
    Heartbeat,
}

/// From a supervisor to a server. A server that connects late first hears what it missed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToServer {
    Hello {
        process: ProcessIdentity,
    },
    /// The job's stream has shown this session.
    Session(SessionId),
    /// `result.json` is there.
    Ended,
}

/// One end of a conversation: receives `I`, sends `O`.
pub struct Connection<T, I, O> {
    frames: Framed<T, LengthDelimitedCodec>,
    messages: PhantomData<fn(O) -> I>,
}

/// A supervisor's end.
pub type SupervisorEnd<T> = Connection<T, ToSupervisor, ToServer>;
/// A server's end.
pub type ServerEnd<T> = Connection<T, ToServer, ToSupervisor>;

impl<T, I, O> Connection<T, I, O>
where
    T: AsyncRead + AsyncWrite + Unpin,
    I: DeserializeOwned,
    O: Serialize,
{
    pub fn new(transport: T) -> Self {
        let codec = LengthDelimitedCodec::builder()
            .max_frame_length(MAX_FRAME)
            .new_codec();
        Self {
            frames: Framed::new(transport, codec),
            messages: PhantomData,
        }
    }

    pub async fn send(&mut self, message: &O) -> io::Result<()> {
        self.frames
            .send(Bytes::from(serde_json::to_vec(message)?))
            .await
    }

    /// The next message; `None` when the other end has hung up. Safe to drop while it waits.
    pub async fn receive(&mut self) -> Option<io::Result<I>> {
        let frame = self.frames.next().await?;
        Some(frame.and_then(|frame| Ok(serde_json::from_slice(&frame)?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt;

    #[tokio::test]
    async fn messages_cross_any_transport_in_order_and_a_hang_up_is_seen() {
        let (left, right) = tokio::io::duplex(7);
        let mut server: ServerEnd<_> = Connection::new(left);
        let mut supervisor: SupervisorEnd<_> = Connection::new(right);
        let sending = async {
            server.send(&ToSupervisor::Heartbeat).await.unwrap();
            server
                .send(&ToSupervisor::Stop {
                    grace: Duration::from_millis(1500),
                })
                .await
                .unwrap();
            drop(server);
        };
        let receiving = async {
            let mut seen = Vec::new();
            while let Some(message) = supervisor.receive().await {
                seen.push(message.unwrap());
            }
            seen
        };
        let ((), seen) = tokio::join!(sending, receiving);
        assert_eq!(
            seen,
            [
                ToSupervisor::Heartbeat,
                ToSupervisor::Stop {
                    grace: Duration::from_millis(1500)
                }
            ]
        );
    }

    #[tokio::test]
    async fn an_oversized_or_senseless_frame_is_an_error_and_not_memory() {
        for bytes in [&u32::MAX.to_be_bytes()[..], b"\0\0\0\x02{]"] {
            let (mut left, right) = tokio::io::duplex(64);
            left.write_all(bytes).await.unwrap();
            let mut supervisor: SupervisorEnd<_> = Connection::new(right);
            assert!(supervisor.receive().await.unwrap().is_err());
        }
    }
}
