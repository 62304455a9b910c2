//! Webhooks, their deliveries, and what else a set-up asks for.

use std::sync::Arc;

use axum::extract::{Path, State as Extracted};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, patch, post};
use axum::{Json, Router};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::app::FIRST_KEY;
use super::delivery::Delivery;
use super::limits::{Refusal, required};
use super::{APP_ID, Shared};

/// A webhook as it was set up, its secret included.
#[derive(Debug, Clone)]
pub(crate) struct Hook {
    pub(crate) id: u64,
    pub(crate) events: Vec<String>,
    pub(crate) url: String,
    pub(crate) secret: String,
}

/// A try to deliver something.
#[derive(Debug, Clone)]
pub(super) struct Attempt {
    pub(super) id: u64,
    pub(super) status: u16,
    pub(super) at: Timestamp,
    pub(super) delivery: Delivery,
}

type Model = Extracted<Arc<Shared>>;
type Answer = Result<Response, Refusal>;

pub(super) fn routes() -> Router<Arc<Shared>> {
    Router::new()
        .route(
            "/rate_limit",
            get(async || Json(json!({ "resources": {} }))),
        )
        .route("/repos/{owner}/{repo}/hooks", get(hooks).post(create_hook))
        .route("/repos/{owner}/{repo}/hooks/{id}", patch(update_hook))
        .route(
            "/repos/{owner}/{repo}/hooks/{id}/deliveries",
            get(deliveries),
        )
        .route(
            "/repos/{owner}/{repo}/hooks/{hook}/deliveries/{id}/attempts",
            post(
                async |model: Model, Path((_, _, _, id)): Path<(String, String, u64, u64)>| {
                    again(&model.0, id)
                },
            ),
        )
        .route("/app/hook/deliveries", get(deliveries))
        .route(
            "/app/hook/deliveries/{id}/attempts",
            post(async |model: Model, Path(id): Path<u64>| again(&model.0, id)),
        )
        .route("/app-manifests/{code}/conversions", post(conversion))
}

fn shown(hook: &Hook) -> Value {
    json!({
        "type": "Repository", "id": hook.id, "name": "web", "active": true, "events": hook.events,
        "config": { "url": hook.url, "content_type": "json", "insecure_ssl": "0", "secret": "********" },
    })
}

async fn hooks(Extracted(shared): Model) -> Json<Value> {
    Json(shared.lock().hooks.iter().map(shown).collect())
}

fn read(body: &Value, id: u64) -> Result<Hook, Refusal> {
    let config = &body["config"];
    let events = body["events"].as_array().cloned().unwrap_or_default();
    Ok(Hook {
        id,
        events: events
            .iter()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect(),
        url: required(config, "url")?.to_owned(),
        secret: required(config, "secret")?.to_owned(),
    })
}

async fn create_hook(Extracted(shared): Model, Json(body): Json<Value>) -> Answer {
    let mut state = shared.lock();
    required(&body, "name")?;
    let hook = read(&body, 500 + state.hooks.len() as u64)?;
    let answer = shown(&hook);
    state.hooks.push(hook);
    Ok((StatusCode::CREATED, Json(answer)).into_response())
}

async fn update_hook(
    Extracted(shared): Model,
    Path((_, _, id)): Path<(String, String, u64)>,
    Json(body): Json<Value>,
) -> Answer {
    let mut state = shared.lock();
    let known = state.hooks.iter_mut().find(|hook| hook.id == id);
    let known = known.ok_or_else(Refusal::not_found)?;
    *known = read(&body, id)?;
    Ok(Json(shown(known)).into_response())
}

async fn deliveries(Extracted(shared): Model) -> Json<Value> {
    let state = shared.lock();
    let newest_first = state.attempts.iter().rev();
    let shown = newest_first.map(|attempt| {
        json!({
            "id": attempt.id, "guid": attempt.delivery.id, "delivered_at": attempt.at.to_string(),
            "redelivery": false, "status": "", "status_code": attempt.status,
            "event": attempt.delivery.event, "action": null,
        })
    });
    Json(shown.collect())
}

fn again(shared: &Shared, id: u64) -> Answer {
    let mut state = shared.lock();
    let known = state.attempts.iter().find(|attempt| attempt.id == id);
    let delivery = known.ok_or_else(Refusal::not_found)?.delivery.clone();
    let (status, at) = (state.redelivery_status, state.now);
    state.attempt(&delivery, status, at);
    state.redelivered.push(delivery);
    Ok((StatusCode::ACCEPTED, Json(json!({}))).into_response())
}

async fn conversion(Path(code): Path<String>) -> Answer {
    if code != "good-code" {
        return Err(Refusal::not_found());
    }
    let app = json!({
        "id": APP_ID, "slug": "huskies-app", "name": "huskies-app", "pem": FIRST_KEY.0,
        "webhook_secret": "a secret of the App's webhook",
    });
    Ok((StatusCode::CREATED, Json(app)).into_response())
}
