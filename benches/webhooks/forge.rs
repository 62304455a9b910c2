//! As much of GitHub's API as the server asks for, and when it first wrote about an issue.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::Request;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Json, extract::State};
use serde_json::{Value, json};
use tokio::sync::watch;

/// Somebody who may write, and everybody else.
pub(crate) const WRITER: &str = "ada";
pub(crate) const STRANGER: &str = "eve";

#[derive(Clone, Default)]
pub(crate) struct Forge {
    writes: Arc<Mutex<HashMap<usize, watch::Sender<bool>>>>,
}

impl Forge {
    /// Serves it for as long as the benchmark runs.
    pub(crate) async fn start() -> (Self, SocketAddr) {
        let forge = Self::default();
        let app = Router::new().fallback(answer).with_state(forge.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, app).await });
        (forge, address)
    }

    /// Becomes true with the first comment on, or label of, an issue.
    pub(crate) fn first_write_about(&self, number: usize) -> watch::Receiver<bool> {
        self.about(number, watch::Sender::subscribe)
    }

    fn about<T>(&self, number: usize, act: impl FnOnce(&watch::Sender<bool>) -> T) -> T {
        act(self
            .writes
            .lock()
            .unwrap()
            .entry(number)
            .or_insert_with(|| watch::Sender::new(false)))
    }
}

async fn answer(State(forge): State<Forge>, request: Request) -> Response {
    let path = request.uri().path().to_owned();
    let parts: Vec<&str> = path.split('/').collect();
    let number = parts.get(5).and_then(|part| part.parse().ok());
    if request.method() != Method::GET
        && let Some(number) = number
    {
        forge.about(number, |seen| seen.send_replace(true));
    }
    match (
        request.method(),
        parts.get(4).copied(),
        parts.last().copied(),
    ) {
        (&Method::GET, Some("collaborators"), _) => {
            let role = if parts.get(5) == Some(&WRITER) {
                "write"
            } else {
                "read"
            };
            let login = parts.get(5).copied().unwrap_or_default();
            let account = json!({ "login": login, "id": 1, "type": "User" });
            json_answer(&json!({ "permission": role, "role_name": role, "user": account }))
        }
        (&Method::GET, Some("labels"), Some(name)) => json_answer(&json!({ "name": name })),
        (&Method::GET, None, Some("user")) => json_answer(&json!({ "login": "huskies", "id": 2 })),
        (&Method::GET, _, _) | (_, Some("issues"), Some("labels")) => json_answer(&json!([])),
        (_, _, _) => (StatusCode::CREATED, Json(json!({ "id": 1, "body": "" }))).into_response(),
    }
}

fn json_answer(value: &Value) -> Response {
    Json(value).into_response()
}
