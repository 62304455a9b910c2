//! A GitHub App in the model: what it signs is checked, and its installation gets tokens that end.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, State as Extracted};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use jiff::Timestamp;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode};
use serde_json::{Value, json};

use super::Shared;
use super::limits::Refusal;

/// The keys that an App may sign with: a private one and what GitHub knows of it.
pub(crate) const FIRST_KEY: (&str, &str) = (
    include_str!("../../../fixtures/github-app/first.pem"),
    include_str!("../../../fixtures/github-app/first.pub.pem"),
);
pub(crate) const SECOND_KEY: (&str, &str) = (
    include_str!("../../../fixtures/github-app/second.pem"),
    include_str!("../../../fixtures/github-app/second.pub.pem"),
);
pub(crate) const APP_ID: u64 = 12_345;
const INSTALLATION: u64 = 67_890;
/// Whose comments those of its installations are.
pub(crate) const APP_LOGIN: &str = "huskies-app[bot]";

/// An App that is installed on the model's repository.
pub(super) struct App {
    pub(super) public_key: &'static str,
    pub(super) is_installed: bool,
    pub(super) lifetime: Duration,
    pub(super) permissions: BTreeMap<&'static str, &'static str>,
    tokens: BTreeMap<String, Timestamp>,
    /// How many there were ever.
    given: u32,
}

impl App {
    pub(super) fn new() -> Self {
        let permissions = [
            ("metadata", "read"),
            ("contents", "write"),
            ("issues", "write"),
            ("statuses", "write"),
            ("pull_requests", "write"),
            ("checks", "write"),
            ("workflows", "write"),
        ];
        Self {
            public_key: FIRST_KEY.1,
            is_installed: true,
            lifetime: Duration::from_hours(1),
            permissions: BTreeMap::from(permissions),
            tokens: BTreeMap::new(),
            given: 0,
        }
    }

    pub(super) fn issued(&self) -> Vec<String> {
        self.tokens.keys().cloned().collect()
    }

    pub(super) fn revoke(&mut self) {
        self.tokens.clear();
    }

    pub(super) fn accepts(&self, token: &str, now: Timestamp) -> bool {
        self.tokens.get(token).is_some_and(|end| now < *end)
    }

    /// Whether a request is signed by the App, and only just now.
    pub(super) fn has_signed(&self, jwt: &str) -> bool {
        let key = DecodingKey::from_rsa_pem(self.public_key.as_bytes()).expect("a fixture");
        let signed = decode::<Value>(jwt, &key, &Validation::new(Algorithm::RS256));
        signed.is_ok_and(|signed| {
            let claims = signed.claims;
            let lasts = claims["exp"].as_i64().zip(claims["iat"].as_i64());
            // GitHub takes ten minutes at most.
            claims["iss"] == APP_ID && lasts.is_some_and(|(end, begin)| end - begin <= 600)
        })
    }
}

/// What only the App itself may ask for.
pub(super) fn is_for_apps(path: &str) -> bool {
    let path = path.strip_prefix("/api/v3").unwrap_or(path);
    path == "/app" || path.starts_with("/app/") || path.ends_with("/installation")
}

pub(super) fn routes() -> Router<Arc<Shared>> {
    Router::new()
        .route("/app", get(app))
        .route("/repos/{owner}/{repo}/installation", get(installation))
        .route("/app/installations/{id}/access_tokens", post(access_token))
}

type Answer = Result<Response, Refusal>;

async fn app(Extracted(shared): Extracted<Arc<Shared>>) -> Answer {
    let state = shared.lock();
    let app = state.app.as_ref().ok_or_else(Refusal::not_found)?;
    let told = json!({
        "id": APP_ID, "slug": "huskies-app", "name": "huskies-app",
        "permissions": app.permissions, "events": ["issues", "push"],
    });
    Ok(Json(told).into_response())
}

async fn installation(
    Extracted(shared): Extracted<Arc<Shared>>,
    Path((owner, repo)): Path<(String, String)>,
) -> Answer {
    let state = shared.lock();
    let app = state.app.as_ref().filter(|app| app.is_installed);
    let app = app.ok_or_else(Refusal::not_found)?;
    if state.repo != format!("{owner}/{repo}") {
        return Err(Refusal::not_found());
    }
    let told = json!({
        "id": INSTALLATION, "app_id": APP_ID, "permissions": app.permissions,
        "repository_selection": "selected",
    });
    Ok(Json(told).into_response())
}

async fn access_token(Extracted(shared): Extracted<Arc<Shared>>, Path(id): Path<u64>) -> Answer {
    let mut state = shared.lock();
    let now = state.now;
    let app = state.app.as_mut().filter(|app| app.is_installed);
    let app = app.filter(|_| id == INSTALLATION);
    let app = app.ok_or_else(Refusal::not_found)?;
    app.given += 1;
    let token = format!("ghs_model{:07}", app.given);
    let expires_at = now + app.lifetime;
    app.tokens.insert(token.clone(), expires_at);
    let told = json!({
        "token": token, "expires_at": expires_at.to_string(), "permissions": app.permissions,
        "repository_selection": "selected",
    });
    Ok((StatusCode::CREATED, Json(told)).into_response())
}
