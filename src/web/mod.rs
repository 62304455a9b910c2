//! What talks HTTP: GitHub's webhook, and the API that people and the command line read.
//!
//! The webhook is for everybody and trusts a signature alone. The API is for this machine: reading
//! takes a loopback address or the server's token, changing anything takes the token.

mod access;
mod actions;
mod api;
mod error;
mod logs;
mod upkeep;
mod view;
mod webhook;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use secrecy::SecretString;

use crate::clock::Clock;
use crate::domain::id::RepoName;
use crate::engine::Handle;
use crate::forge::{Forge, LocalForge};
use crate::store::Store;
use crate::upkeep::Upkeep;

pub use view::{EventView, StoryView};

/// What requests are answered from.
pub struct WebState {
    pub engine: Handle,
    pub store: Arc<dyn Store>,
    pub clock: Arc<dyn Clock>,
    pub repos: BTreeMap<RepoName, WebRepo>,
    /// Empty when no repository is on GitHub: then every delivery is refused.
    pub webhook_secrets: Vec<SecretString>,
    pub max_body_bytes: usize,
    /// Opens the API.
    pub token: SecretString,
    pub data_dir: PathBuf,
    pub upkeep: Arc<Upkeep>,
}

/// A repository as the API sees it.
pub struct WebRepo {
    pub forge: Arc<dyn Forge>,
    /// Where the built-in forge holds its issues.
    pub local: Option<Arc<LocalForge>>,
}

/// How long requests that wait for news are let go on when the server leaves.
pub const GRACE: Duration = Duration::from_secs(1);

type Shared = State<Arc<WebState>>;

/// All routes.
pub fn router(state: WebState) -> Router {
    let limit = DefaultBodyLimit::max(state.max_body_bytes);
    Router::new()
        .route("/healthz", get(async || StatusCode::OK))
        .route("/readyz", get(ready))
        .route("/webhooks/github", post(webhook::receive).layer(limit))
        .route("/api/stories", get(api::stories))
        .route("/api/stories/{owner}/{repo}/{number}", get(api::story))
        .route(
            "/api/stories/{owner}/{repo}/{number}/events",
            get(api::events),
        )
        .route(
            "/api/stories/{owner}/{repo}/{number}/forge",
            get(api::local_forge),
        )
        .route("/api/stories/{owner}/{repo}/{number}/log", get(logs::log))
        .route(
            "/api/stories/{owner}/{repo}/{number}/{verb}",
            post(actions::act),
        )
        .route("/api/gc", post(upkeep::gc))
        .route("/api/repos", get(api::repos))
        .route("/api/repos/{owner}/{repo}/issues", post(actions::new_issue))
        .with_state(Arc::new(state))
}

/// Ready means that what is accepted can be stored.
async fn ready(State(state): Shared) -> StatusCode {
    match state.store.timers().await {
        Ok(_) => StatusCode::OK,
        Err(error) => {
            tracing::error!(%error, "not ready: the store does not answer");
            StatusCode::SERVICE_UNAVAILABLE
        }
    }
}
