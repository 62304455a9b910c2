//! `POST /webhooks/github`: signature first, then parsing, then the store, then the answer.

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::Serialize;

use super::body::Budget;
use super::error::WebError;
use super::{Shared, WebRepo, WebState};
use crate::command;
use crate::domain::event::{Event, RepoEvent};
use crate::domain::id::RepoName;
use crate::engine::Accepted;
use crate::secret::Secret;
use crate::store::NewDelivery;
use crate::webhook::{self, Content, DecodeError, Decoded, DeliveryHeaders};

/// The answer to a delivery that was taken.
#[derive(Serialize)]
struct Answer {
    delivery: String,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

pub(super) async fn receive(
    State(state): Shared,
    Extension(budget): Extension<Budget>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, WebError> {
    let body = budget.read(&headers, body, state.max_body_bytes).await?;
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let secrets: Vec<_> = state
        .webhook_secrets
        .iter()
        .flat_map(Secret::valid)
        .collect();
    webhook::verify(&secrets, header("x-hub-signature-256"), &body)
        .map_err(|error| WebError::new(StatusCode::UNAUTHORIZED, error.to_string()))?;
    let delivery = DeliveryHeaders {
        event: header("x-github-event"),
        delivery: header("x-github-delivery"),
        content_type: header("content-type"),
    };
    let decoded = webhook::decode(&delivery, &body).map_err(|error| refuse(&error))?;
    let event_name = delivery.event.unwrap_or_default().to_owned();
    let answer = accept(&state, decoded, event_name).await?;
    Ok((StatusCode::ACCEPTED, Json(answer)).into_response())
}

fn refuse(error: &DecodeError) -> WebError {
    let status = match error {
        DecodeError::ContentType { .. } => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        DecodeError::Header { .. } | DecodeError::Malformed { .. } => StatusCode::BAD_REQUEST,
    };
    WebError::new(status, error.to_string())
}

/// The delivery is durable when this returns.
async fn accept(state: &WebState, decoded: Decoded, event: String) -> Result<Answer, WebError> {
    let delivery = decoded.delivery.to_string();
    let (content, reason) = match content(state, decoded.repo, decoded.content) {
        Ok(content) => (content, None),
        Err(reason) => (None, Some(reason)),
    };
    let new = NewDelivery {
        id: decoded.delivery,
        received_at: state.clock.now(),
        event,
        content,
        reason: reason.clone(),
    };
    let status = match (state.engine.deliver(new).await?, &reason) {
        (Accepted::Duplicate, _) => "duplicate",
        (Accepted::New, Some(_)) => "ignored",
        (Accepted::New, None) => "accepted",
    };
    let reason = if status == "duplicate" { None } else { reason };
    Ok(Answer {
        delivery,
        status,
        reason,
    })
}

/// What follows from a delivery, or why nothing does.
fn content(
    state: &WebState,
    repo: Option<RepoName>,
    content: Content,
) -> Result<Option<Event>, String> {
    let served = served(state, repo);
    let event = match content {
        Content::Ping => return Ok(None),
        Content::Ignored { reason } => return Err(reason),
        Content::Installation(_) => {
            // The repositories that an App reaches are asked for when one is used.
            return Err("huskies serves the repositories that its configuration names".to_owned());
        }
        Content::Issue(change) => RepoEvent::Issue { change },
        Content::Comment { comment, text } => RepoEvent::Commented {
            said: command::read(&text, &served.clone()?.1.mentions)
                .ok_or_else(|| "the comment says nothing to huskies".to_owned())?,
            comment,
        },
        Content::Push(push) => RepoEvent::Pushed { push },
        Content::PullRequest(change) => RepoEvent::PullRequest {
            change: Box::new(change),
        },
        Content::Review(review) => RepoEvent::Reviewed {
            said: command::read_review(&review.text, &served.clone()?.1.mentions),
            review: Box::new(review),
        },
        Content::Check(result) => RepoEvent::Checked { result },
        Content::CheckRequest(request) => {
            if request.app.is_none() || request.app != served.clone()?.1.app {
                return Err("it is about checks of another App".to_owned());
            }
            RepoEvent::CheckRequested { request }
        }
    };
    let (name, _) = served?;
    Ok(Some(Event::repo(&name, event)))
}

/// A repository that is served from GitHub. One of the built-in forge is nobody's there, whatever a
/// payload calls itself.
fn served(state: &WebState, repo: Option<RepoName>) -> Result<(RepoName, &WebRepo), String> {
    let name = repo.ok_or_else(|| "it names no repository".to_owned())?;
    match state.repos.get(&name).filter(|repo| repo.local.is_none()) {
        Some(repo) => Ok((name, repo)),
        None => Err(format!(
            "{name} is not configured on this server as a GitHub repository"
        )),
    }
}
