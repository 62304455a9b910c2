//! Reading a request's body: so many bytes, so much time, and so much memory for all together.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::header::CONTENT_LENGTH;
use axum::http::{HeaderMap, StatusCode};
use http_body_util::BodyExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::error::WebError;

/// How long, and how many bytes, a body that is too large is still read and thrown away: an answer
/// is lost to a client that is cut off while it sends.
const LINGER: Duration = Duration::from_millis(250);
const LINGER_BYTES: usize = 1024 * 1024;

/// What bodies may cost.
#[derive(Debug, Clone)]
pub(super) struct Budget {
    time: Duration,
    /// In bytes, of all bodies that are being read or worked on.
    memory: Arc<Semaphore>,
}

/// A whole body; its memory is given back when it is dropped.
#[derive(Debug)]
pub(super) struct WholeBody {
    bytes: Vec<u8>,
    memory: Option<OwnedSemaphorePermit>,
}

impl std::ops::Deref for WholeBody {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Budget {
    pub(super) fn new(time: Duration, memory: usize) -> Self {
        Self {
            time,
            memory: Arc::new(Semaphore::new(memory.min(Semaphore::MAX_PERMITS))),
        }
    }

    /// Reads `body` to its end: 413 over `limit`, 408 when it takes too long, 503 when there is no
    /// room for it now.
    pub(super) async fn read(
        &self,
        headers: &HeaderMap,
        mut body: Body,
        limit: usize,
    ) -> Result<WholeBody, WebError> {
        let announced = headers
            .get(CONTENT_LENGTH)
            .and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
        if announced.is_some_and(|announced| announced > limit) {
            linger(&mut body).await;
            return Err(too_large(limit));
        }
        tokio::time::timeout(self.time, self.collect(body, limit))
            .await
            .unwrap_or_else(|_| {
                let message = "the body did not arrive in time";
                Err(WebError::new(StatusCode::REQUEST_TIMEOUT, message))
            })
    }

    async fn collect(&self, mut body: Body, limit: usize) -> Result<WholeBody, WebError> {
        let mut whole = WholeBody {
            bytes: Vec::new(),
            memory: None,
        };
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|_| {
                let message = "the body could not be read to its end";
                WebError::new(StatusCode::BAD_REQUEST, message)
            })?;
            // Trailers say nothing that anybody here wants to know.
            let Ok(data) = frame.into_data() else {
                continue;
            };
            if whole.bytes.len() + data.len() > limit {
                linger(&mut body).await;
                return Err(too_large(limit));
            }
            self.add(&mut whole, &data)?;
        }
        Ok(whole)
    }

    fn add(&self, whole: &mut WholeBody, data: &Bytes) -> Result<(), WebError> {
        let length = u32::try_from(data.len()).unwrap_or(u32::MAX);
        let room = Arc::clone(&self.memory).try_acquire_many_owned(length);
        let room = room.map_err(|_| {
            tracing::warn!("a request is sent away: too many bodies are in memory");
            WebError::busy("too much is going on here; come again later")
        })?;
        match &mut whole.memory {
            Some(memory) => memory.merge(room),
            none @ None => *none = Some(room),
        }
        whole.bytes.extend_from_slice(data);
        Ok(())
    }
}

async fn linger(body: &mut Body) {
    let mut left = LINGER_BYTES;
    let discard = async {
        while let Some(Ok(frame)) = body.frame().await {
            let length = frame.data_ref().map_or(0, Bytes::len);
            match left.checked_sub(length) {
                Some(rest) => left = rest,
                None => return,
            }
        }
    };
    // Whether it ended or time did, the answer is the same.
    let _in_time = tokio::time::timeout(LINGER, discard).await;
}

fn too_large(limit: usize) -> WebError {
    let message = format!("a body may be at most {limit} bytes here");
    WebError::new(StatusCode::PAYLOAD_TOO_LARGE, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::stream;

    fn chunks(sizes: &[usize]) -> Body {
        let chunks: Vec<_> = sizes
            .iter()
            .map(|size| Ok::<_, std::io::Error>(vec![b'x'; *size]))
            .collect();
        Body::from_stream(stream::iter(chunks))
    }

    fn status(outcome: &Result<WholeBody, WebError>) -> u16 {
        outcome
            .as_ref()
            .map_or_else(|error| error.status().as_u16(), |_| 200)
    }

    #[tokio::test]
    async fn a_body_of_the_limit_is_read_and_one_byte_more_is_not() {
        let budget = Budget::new(Duration::from_secs(60), 1_000);
        let headers = HeaderMap::new();
        let whole = budget.read(&headers, chunks(&[4, 6]), 10).await.unwrap();
        assert_eq!(&*whole, b"xxxxxxxxxx");
        let over = budget.read(&headers, chunks(&[4, 6, 1]), 10).await;
        assert_eq!(status(&over), 413);
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_LENGTH, 11.into());
        let announced = budget.read(
            &headers,
            Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>()),
            10,
        );
        assert_eq!(status(&announced.await), 413, "before any of it came");
    }

    #[tokio::test]
    async fn bodies_share_their_memory_and_give_it_back() {
        let budget = Budget::new(Duration::from_secs(60), 10);
        let headers = HeaderMap::new();
        let first = budget.read(&headers, chunks(&[3, 3]), 10).await.unwrap();
        assert_eq!(
            status(&budget.read(&headers, chunks(&[2, 3]), 10).await),
            503
        );
        drop(first);
        assert_eq!(
            status(&budget.read(&headers, chunks(&[5, 5]), 10).await),
            200
        );
    }

    #[tokio::test]
    async fn a_body_that_does_not_end_is_given_up() {
        let budget = Budget::new(Duration::from_millis(1), 10);
        let body = Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>());
        let outcome = budget.read(&HeaderMap::new(), body, 10).await;
        assert_eq!(status(&outcome), 408);
    }
}
