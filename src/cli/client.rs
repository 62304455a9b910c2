//! The command line's way to a running server.

use std::path::Path;

use reqwest::{Method, Response, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{CliError, ExitStatus};
use crate::app::{DataDir, ServerFile};
use crate::domain::id::StoryId;
use crate::upkeep::Swept;
use crate::web::{EventView, StatusView, StoryView};

/// A server's API, with the right to change things.
pub struct Client {
    http: reqwest::Client,
    server: ServerFile,
}

/// What the API says when it refuses.
#[derive(Deserialize)]
struct Refusal {
    error: String,
}

impl Client {
    /// The server that serves this data folder.
    pub fn of(data_dir: &Path) -> Result<Self, CliError> {
        match DataDir::server_file(data_dir)? {
            Some(server) => Ok(Self::to(server)),
            None => Err(unreachable_server(
                "no server has served this data folder yet",
            )),
        }
    }

    pub fn to(server: ServerFile) -> Self {
        Self {
            http: reqwest::Client::new(),
            server,
        }
    }

    /// Where the server listens.
    pub fn address(&self) -> &str {
        &self.server.listening
    }

    pub async fn status(&self) -> Result<StatusView, CliError> {
        self.get("/api/status").await
    }

    pub async fn stories(&self) -> Result<Vec<StoryView>, CliError> {
        self.get("/api/stories").await
    }

    pub async fn repos(&self) -> Result<Vec<String>, CliError> {
        self.get("/api/repos").await
    }

    pub async fn story(&self, id: &StoryId) -> Result<StoryView, CliError> {
        self.get(&path(id, "")).await
    }

    /// Events after a line of the log; waits up to `wait_secs` for the first of them.
    pub async fn events(
        &self,
        id: &StoryId,
        after: u64,
        wait_secs: u64,
    ) -> Result<Vec<EventView>, CliError> {
        self.get(&path(
            id,
            &format!("/events?after={after}&wait_secs={wait_secs}"),
        ))
        .await
    }

    /// What the built-in forge shows of a story.
    pub async fn forge(&self, id: &StoryId) -> Result<Value, CliError> {
        self.get(&path(id, "/forge")).await
    }

    pub async fn ask(&self, id: &StoryId, verb: &str) -> Result<StoryView, CliError> {
        let response = self
            .send(
                Method::POST,
                &path(id, &format!("/{verb}")),
                Some(serde_json::json!({})),
            )
            .await?;
        read(response).await
    }

    pub async fn new_issue(
        &self,
        repo: &str,
        (title, body): (&str, &str),
        parent: Option<u64>,
    ) -> Result<Value, CliError> {
        let issue = serde_json::json!({ "title": title, "body": body, "parent": parent });
        let response = self
            .send(
                Method::POST,
                &format!("/api/repos/{repo}/issues"),
                Some(issue),
            )
            .await?;
        read(response).await
    }

    /// Has the server remove what is older than it may be.
    pub async fn gc(&self, dry_run: bool) -> Result<Swept, CliError> {
        let path = format!("/api/gc?dry_run={dry_run}");
        let body = Some(serde_json::json!({}));
        read(self.send(Method::POST, &path, body).await?).await
    }

    /// An attempt's output, as it comes.
    pub async fn log(&self, id: &StoryId, query: &str) -> Result<Response, CliError> {
        let response = self
            .send(Method::GET, &path(id, &format!("/log?{query}")), None)
            .await?;
        if response.status().is_success() {
            Ok(response)
        } else {
            Err(refused(response).await)
        }
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, CliError> {
        read(self.send(Method::GET, path, None).await?).await
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<Response, CliError> {
        let url = format!("{}{path}", self.server.listening);
        let mut request = self
            .http
            .request(method, url)
            .bearer_auth(&self.server.token);
        if let Some(body) = body {
            request = request.json(&body);
        }
        request.send().await.map_err(|error| {
            let cause = anyhow::Error::new(error.without_url());
            unreachable_server(&format!(
                "nothing answers at {}: {cause}",
                self.server.listening
            ))
        })
    }
}

fn path(id: &StoryId, rest: &str) -> String {
    format!("/api/stories/{}/{}{rest}", id.repo, id.number)
}

fn unreachable_server(message: &str) -> CliError {
    let error = CliError::from(anyhow::anyhow!("{message}"));
    CliError {
        status: ExitStatus::Unreachable,
        ..error
    }
    .hint("start one with `huskies serve` and the same --config")
}

async fn read<T: DeserializeOwned>(response: Response) -> Result<T, CliError> {
    if !response.status().is_success() {
        return Err(refused(response).await);
    }
    Ok(response.json().await.map_err(anyhow::Error::new)?)
}

/// What the server refuses is not this program's fault: the asked thing failed.
async fn refused(response: Response) -> CliError {
    let status = match response.status() {
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::INTERNAL_SERVER_ERROR => ExitStatus::Internal,
        _ => ExitStatus::Failure,
    };
    let code = response.status();
    let message = match response.json::<Refusal>().await {
        Ok(refusal) => refusal.error,
        Err(_) => format!("the server answered {code}"),
    };
    CliError {
        status,
        ..CliError::from(anyhow::anyhow!("{message}"))
    }
}
