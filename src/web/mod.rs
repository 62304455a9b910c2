//! What talks HTTP: GitHub's webhook, and the API that people and the command line read.
//!
//! The webhook is for everybody and trusts a signature alone. The API is for this machine: reading
//! takes a loopback address or the server's token, changing anything takes the token. Pages of
//! other sites get nothing, whatever they bring.

mod access;
mod actions;
mod api;
mod body;
mod error;
mod logs;
mod serve;
mod status;
mod upkeep;
mod view;
mod webhook;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::middleware::from_fn;
use axum::routing::{get, post};
use secrecy::SecretString;

use crate::clock::Clock;
use crate::domain::id::RepoName;
use crate::domain::sandbox::Sandbox;
use crate::engine::Handle;
use crate::forge::{Forge, LocalForge};
use crate::secret::Secret;
use crate::store::Store;
use crate::upkeep::Upkeep;
use body::Budget;
use error::WebError;

pub use serve::{Limits, serve};
pub use status::{PauseView, RepositoryView, StatusView, WaitView};
pub use view::{EventView, StoryView};

/// What requests are answered from.
pub struct WebState {
    pub engine: Handle,
    pub store: Arc<dyn Store>,
    pub clock: Arc<dyn Clock>,
    pub repos: BTreeMap<RepoName, WebRepo>,
    /// Empty when no repository is on GitHub: then every delivery is refused.
    pub webhook_secrets: Vec<Secret>,
    pub max_body_bytes: usize,
    pub limits: Limits,
    /// Opens the API.
    pub token: SecretString,
    pub data_dir: PathBuf,
    pub upkeep: Arc<Upkeep>,
    pub sandbox: Sandbox,
}

/// A repository as the API sees it.
pub struct WebRepo {
    pub forge: Arc<dyn Forge>,
    /// Where the built-in forge holds its issues.
    pub local: Option<Arc<LocalForge>>,
    /// The names by which a comment addresses the agent, without the `@`.
    pub mentions: Vec<String>,
    /// The App that the server is on GitHub, by its number there.
    pub app: Option<u64>,
}

type Shared = State<Arc<WebState>>;

/// All routes.
fn router(state: WebState) -> Router {
    let budget = Budget::new(state.limits.body_time, state.limits.body_memory);
    let state = Arc::new(state);
    let api = Router::new()
        .route("/stories", get(api::stories))
        .route("/stories/{owner}/{repo}/{number}", get(api::story))
        .route("/stories/{owner}/{repo}/{number}/events", get(api::events))
        .route(
            "/stories/{owner}/{repo}/{number}/forge",
            get(api::local_forge),
        )
        .route("/stories/{owner}/{repo}/{number}/log", get(logs::log))
        .route(
            "/stories/{owner}/{repo}/{number}/{verb}",
            post(actions::act),
        )
        .route("/gc", post(upkeep::gc))
        .route("/status", get(status::status))
        .route("/repos", get(api::repos))
        .route("/repos/{owner}/{repo}/issues", post(actions::new_issue))
        .fallback(nowhere)
        .layer(from_fn(access::refuse_other_sites));
    Router::new()
        .route("/healthz", get(async || StatusCode::OK))
        .route("/readyz", get(ready))
        .route("/webhooks/github", post(webhook::receive))
        .nest("/api", api)
        .fallback(nowhere)
        .method_not_allowed_fallback(async || {
            WebError::new(StatusCode::METHOD_NOT_ALLOWED, "not in this way")
        })
        .layer(axum::Extension(budget))
        .with_state(state)
}

async fn nowhere() -> WebError {
    WebError::not_found("that address")
}

/// Ready means that what arrives can be stored, and that there is room for it.
async fn ready(State(state): Shared) -> Result<StatusCode, WebError> {
    if state.engine.is_overloaded() {
        let message = format!(
            "more deliveries arrive than can be acted on; {} were sent away so far",
            state.engine.sent_away()
        );
        return Err(WebError::busy(&message));
    }
    state.store.timers().await?;
    Ok(StatusCode::OK)
}
