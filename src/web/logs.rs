//! An attempt's output as it grows.

use std::path::PathBuf;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::response::Response;
use futures::Stream;
use serde::Deserialize;
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt};

use super::Shared;
use super::access::Reader;
use super::api::StoryPath;
use super::error::WebError;
use crate::domain::id::{Attempt, RunId};
use crate::process::run_folder::RunFolder;

/// How often a log is looked at for more. Files tell nobody when they grow.
const LOOK_AGAIN: Duration = Duration::from_millis(150);
const CHUNK: usize = 64 * 1024;

#[derive(Deserialize)]
pub(super) struct LogQuery {
    /// The newest one, if not given.
    attempt: Option<u32>,
    #[serde(default)]
    follow: bool,
}

/// The log as JSON lines; with `follow`, on and on until the attempt has ended.
pub(super) async fn log(
    _: Reader,
    State(state): Shared,
    Path(path): Path<StoryPath>,
    Query(query): Query<LogQuery>,
) -> Result<Response, WebError> {
    let id = path.id()?;
    let story = super::api::find(&state, &id).await?;
    let attempt = query.attempt.map_or(story.attempt, Attempt);
    let folder = RunFolder::of(&state.data_dir, &RunId::Agent(id.clone(), attempt));
    let folder = folder.map_err(|_| WebError::not_found("the log"))?;
    if !query.follow && !folder.log().exists() {
        return Err(WebError::not_found(&format!(
            "output of attempt {attempt} of {id}"
        )));
    }
    let tail = Tail {
        folder,
        older: true,
        file: None,
        follow: query.follow,
    };
    Ok(Response::new(Body::from_stream(tail.chunks())))
}

struct Tail {
    folder: RunFolder,
    /// The rotated-out part comes first.
    older: bool,
    file: Option<(PathBuf, File)>,
    follow: bool,
}

impl Tail {
    fn chunks(self) -> impl Stream<Item = std::io::Result<Vec<u8>>> {
        futures::stream::try_unfold(self, |mut tail| async move {
            Ok(tail.next().await?.map(|chunk| (chunk, tail)))
        })
    }

    async fn next(&mut self) -> std::io::Result<Option<Vec<u8>>> {
        loop {
            // Asked before reading: what was written before the end is read after it.
            let ended = self.folder.has_ended();
            if let Some(chunk) = self.read().await? {
                return Ok(Some(chunk));
            }
            if std::mem::take(&mut self.older) {
                self.file = None;
                continue;
            }
            if ended || !self.follow {
                return Ok(None);
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    async fn read(&mut self) -> std::io::Result<Option<Vec<u8>>> {
        let path = if self.older {
            self.folder.older_log()
        } else {
            self.folder.log()
        };
        let mut file = match self.file.take() {
            Some((open, file)) if open == path => file,
            Some(_) | None => match File::open(&path).await {
                Ok(file) => file,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(error),
            },
        };
        // A log that was rotated is shorter than where reading stood: the new one begins at 0.
        if file.stream_position().await? > file.metadata().await?.len() {
            file.rewind().await?;
        }
        let mut chunk = vec![0; CHUNK];
        let length = file.read(&mut chunk).await?;
        self.file = Some((path, file));
        chunk.truncate(length);
        Ok((length > 0).then_some(chunk))
    }
}
