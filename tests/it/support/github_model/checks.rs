//! Check runs in the model: for Apps alone, within the limits that GitHub documents.

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::{Path, Query, State as Extracted};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};

use super::app::{APP_ID, APP_LOGIN};
use super::limits::{Refusal, required};
use super::routes::check_repo;
use super::state::State;
use super::{Delivery, GithubModel, Shared, ci, json};

/// The longest summary and text (GitHub's OpenAPI description, `checks/create`).
const LONGEST_TEXT: usize = 65_535;
/// Annotations in one request, likewise.
const MOST_ANNOTATIONS: usize = 50;
/// Of an annotation, likewise: its title in characters, its message in bytes (64 KB).
const LONGEST_TITLE: usize = 255;
const LONGEST_MESSAGE: usize = 64 * 1024;
/// What an App may conclude; `stale` is GitHub's own.
const CONCLUSIONS: [&str; 7] = [
    "action_required",
    "cancelled",
    "failure",
    "neutral",
    "success",
    "skipped",
    "timed_out",
];
const SUITE: u64 = 4_000;

/// A check run as it is now.
#[derive(Debug, Clone)]
pub(crate) struct Check {
    pub(crate) id: u64,
    pub(crate) sha: String,
    pub(crate) name: String,
    pub(crate) external_id: String,
    pub(crate) status: String,
    pub(crate) conclusion: Option<String>,
    pub(crate) title: String,
    pub(crate) summary: String,
    pub(crate) text: String,
    /// With every request that has some, more.
    pub(crate) annotations: Vec<Value>,
    /// What `status` went through, and the conclusion last.
    pub(crate) states: Vec<String>,
}

/// What people do to check runs, and what a test looks at.
impl GithubModel {
    /// A commit's check runs, oldest first.
    pub(crate) fn checks(&self, sha: &str) -> Vec<Check> {
        let state = self.shared.lock();
        let of_commit = state.checks.iter().filter(|check| check.sha == sha);
        of_commit.cloned().collect()
    }

    /// Somebody presses "Re-run" at a check run of an App.
    pub(crate) fn rerequest_check(&self, check: &Check, (app, by): (u64, &str)) -> Delivery {
        self.change(|state| {
            let payload = json!({
                "action": "rerequested",
                "check_run": payload(check, app),
                "repository": json::repository(state),
                "sender": json::account(by),
            });
            state.deliver("check_run", &payload)
        })
    }

    /// Somebody presses "Re-run all checks" at a commit.
    pub(crate) fn rerequest_suite(&self, sha: &str, (app, by): (u64, &str)) -> Delivery {
        self.change(|state| {
            let payload = json!({
                "action": "rerequested",
                "check_suite": { "id": SUITE, "head_sha": sha, "head_branch": null, "app": { "id": app } },
                "repository": json::repository(state),
                "sender": json::account(by),
            });
            state.deliver("check_suite", &payload)
        })
    }
}

fn payload(check: &Check, app: u64) -> Value {
    json!({
        "id": check.id,
        "node_id": format!("CR_{}", check.id),
        "head_sha": check.sha,
        "external_id": check.external_id,
        "name": check.name,
        "status": check.status,
        "conclusion": check.conclusion,
        "output": {
            "title": check.title,
            "summary": check.summary,
            "text": check.text,
            "annotations_count": check.annotations.len(),
        },
        "check_suite": { "id": SUITE },
        "app": { "id": app, "slug": "huskies-app", "owner": json::account(APP_LOGIN) },
        "pull_requests": [],
    })
}

type Model = Extracted<Arc<Shared>>;
type Answer = Result<Response, Refusal>;

pub(super) fn routes() -> Router<Arc<Shared>> {
    Router::new()
        .route("/repos/{owner}/{repo}/check-runs", post(create))
        .route(
            "/repos/{owner}/{repo}/check-runs/{id}",
            get(read).patch(update),
        )
        .route("/repos/{owner}/{repo}/commits/{sha}/check-runs", get(list))
}

/// As GitHub says it to every other token.
fn check_app(state: &State) -> Result<(), Refusal> {
    let is_app = state.own_login() == APP_LOGIN;
    let message = "You must authenticate via a GitHub App.";
    is_app
        .then_some(())
        .ok_or_else(|| Refusal::saying(StatusCode::FORBIDDEN, message))
}

async fn create(
    Extracted(shared): Model,
    Path((owner, repo)): Path<(String, String)>,
    Json(body): Json<Value>,
) -> Answer {
    let mut state = shared.lock();
    check_repo(&state, &owner, &repo)?;
    check_app(&state)?;
    let sha = required(&body, "head_sha")?.to_owned();
    if !(state.knows_commit)(&sha) {
        let message = format!("No commit found for SHA: {sha}");
        return Err(Refusal::saying(StatusCode::UNPROCESSABLE_ENTITY, &message));
    }
    let mut check = Check {
        id: 70_000 + state.checks.len() as u64,
        sha,
        name: required(&body, "name")?.to_owned(),
        external_id: String::new(),
        status: "queued".to_owned(),
        conclusion: None,
        title: String::new(),
        summary: String::new(),
        text: String::new(),
        annotations: Vec::new(),
        states: Vec::new(),
    };
    change(&mut check, &body)?;
    state.checks.push(check.clone());
    Ok((StatusCode::CREATED, Json(payload(&check, APP_ID))).into_response())
}

async fn read(
    Extracted(shared): Model,
    Path((owner, repo, id)): Path<(String, String, u64)>,
) -> Answer {
    let state = shared.lock();
    check_repo(&state, &owner, &repo)?;
    if let Some(job) = state.jobs.iter().find(|job| job.id == id) {
        return Ok(Json(ci::shown(job)).into_response());
    }
    let mut checks = state.checks.iter();
    let check = checks.find(|check| check.id == id);
    let check = check.ok_or_else(Refusal::not_found)?;
    Ok(Json(payload(check, APP_ID)).into_response())
}

async fn update(
    Extracted(shared): Model,
    Path((owner, repo, id)): Path<(String, String, u64)>,
    Json(body): Json<Value>,
) -> Answer {
    let mut state = shared.lock();
    check_repo(&state, &owner, &repo)?;
    check_app(&state)?;
    let mut checks = state.checks.iter_mut();
    let check = checks.find(|check| check.id == id);
    let check = check.ok_or_else(Refusal::not_found)?;
    let mut changed = check.clone();
    change(&mut changed, &body)?;
    *check = changed.clone();
    Ok(Json(payload(&changed, APP_ID)).into_response())
}

async fn list(
    Extracted(shared): Model,
    Path((owner, repo, sha)): Path<(String, String, String)>,
    Query(query): Query<HashMap<String, String>>,
) -> Answer {
    let state = shared.lock();
    check_repo(&state, &owner, &repo)?;
    let own_app = APP_ID.to_string();
    let is_ours = query.get("app_id").is_none_or(|app| *app == own_app);
    let name = query.get("check_name");
    let wanted =
        |check: &&Check| is_ours && check.sha == sha && name.is_none_or(|name| *name == check.name);
    let mut found: Vec<&Check> = state.checks.iter().filter(wanted).collect();
    // Without `filter=all` the newest of each name.
    if query.get("filter").is_none_or(|filter| filter == "latest") {
        let newest: HashMap<&str, u64> = found.iter().map(|c| (c.name.as_str(), c.id)).collect();
        found.retain(|check| newest[check.name.as_str()] == check.id);
    }
    let mut runs: Vec<Value> = found.iter().map(|check| payload(check, APP_ID)).collect();
    if !query.contains_key("app_id") {
        runs.extend(state.pulls.check_runs(&sha));
        let failed = state.jobs.iter().filter(|job| job.sha == sha);
        runs.extend(failed.map(ci::shown));
    }
    Ok(Json(json!({ "total_count": runs.len(), "check_runs": runs })).into_response())
}

fn refuse<T>(field: &str, message: &str) -> Result<T, Refusal> {
    Err(Refusal::invalid(json!([{
        "resource": "CheckRun", "field": field, "code": "invalid", "message": message,
    }])))
}

/// What a request says about a check run, if GitHub would take it.
fn change(check: &mut Check, body: &Value) -> Result<(), Refusal> {
    let text = |field: &str| body[field].as_str().map(str::to_owned);
    if let Some(external_id) = text("external_id") {
        check.external_id = external_id;
    }
    if let Some(status) = text("status") {
        if !["queued", "in_progress", "completed"].contains(&status.as_str()) {
            return refuse("status", "status is not included in the list");
        }
        check.status = status;
    }
    check.conclusion = text("conclusion");
    let is_completed = check.status == "completed";
    match &check.conclusion {
        Some(conclusion) if !CONCLUSIONS.contains(&conclusion.as_str()) => {
            return refuse("conclusion", "conclusion is not included in the list");
        }
        Some(_) if !is_completed => {
            return refuse("status", "a conclusion completes a check run");
        }
        None if is_completed => return refuse("conclusion", "conclusion is missing"),
        Some(_) | None => {}
    }
    if !body["output"].is_null() {
        change_output(check, &body["output"])?;
    }
    let state = check.conclusion.as_ref().unwrap_or(&check.status).clone();
    check.states.push(state);
    Ok(())
}

fn change_output(check: &mut Check, output: &Value) -> Result<(), Refusal> {
    required(output, "title")?.clone_into(&mut check.title);
    required(output, "summary")?.clone_into(&mut check.summary);
    if let Some(text) = output["text"].as_str() {
        text.clone_into(&mut check.text);
    }
    let is_long = |text: &str| text.chars().count() > LONGEST_TEXT;
    if is_long(&check.summary) || is_long(&check.text) {
        return refuse("output", "it is too long (maximum is 65535 characters)");
    }
    let annotations = output["annotations"].as_array().cloned();
    let annotations = annotations.unwrap_or_default();
    if annotations.len() > MOST_ANNOTATIONS {
        return refuse("annotations", "no more than 50 annotations in one request");
    }
    for annotation in &annotations {
        check_annotation(annotation)?;
    }
    check.annotations.extend(annotations);
    Ok(())
}

fn check_annotation(annotation: &Value) -> Result<(), Refusal> {
    required(annotation, "path")?;
    let message = required(annotation, "message")?;
    let title = annotation["title"].as_str().unwrap_or_default();
    if message.len() > LONGEST_MESSAGE || title.chars().count() > LONGEST_TITLE {
        return refuse("annotations", "an annotation is too long");
    }
    let level = required(annotation, "annotation_level")?;
    if !["notice", "warning", "failure"].contains(&level) {
        return refuse("annotation_level", "it is not included in the list");
    }
    let (start, end) = (&annotation["start_line"], &annotation["end_line"]);
    let (Some(first), Some(last)) = (start.as_u64(), end.as_u64()) else {
        return refuse("start_line", "lines are missing");
    };
    let has_columns = !annotation["start_column"].is_null();
    if first == 0 || last < first || (has_columns && first != last) {
        return refuse("start_line", "lines or columns do not fit together");
    }
    Ok(())
}
