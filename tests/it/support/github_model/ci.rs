//! Jobs of GitHub Actions that failed, and their logs. As on GitHub a log is at another address, which
//! wants no token and must be shown none.

use std::sync::Arc;

use axum::extract::{Path, State as Extracted};
use axum::http::header::{HOST, LOCATION};
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};

use super::limits::Refusal;
use super::routes::{Answer, Model};
use super::state::State;
use super::{Delivery, GithubModel, Shared, json as parts};

/// Where logs are.
pub(super) const LOGS: &str = "/ci-logs/";

/// A job that failed.
#[derive(Debug, Clone)]
pub(super) struct Job {
    pub(super) id: u64,
    pub(super) sha: String,
    name: String,
    log: String,
}

impl GithubModel {
    /// A job of GitHub Actions fails on a commit, with this log; what GitHub sends for it.
    pub(crate) fn fail_job(&self, sha: &str, name: &str, log: &str) -> Delivery {
        self.change(|state| {
            let id = 6_000 + state.jobs.len() as u64;
            let (name, log) = (name.to_owned(), log.to_owned());
            let sha = sha.to_owned();
            state.jobs.push(Job { id, sha, name, log });
            let run = shown(&state.jobs[state.jobs.len() - 1]);
            let payload = json!({
                "action": "completed", "check_run": run,
                "repository": parts::repository(state),
                "sender": parts::account("github-actions[bot]"),
            });
            state.deliver("check_run", &payload)
        })
    }
}

pub(super) fn shown(job: &Job) -> Value {
    json!({
        "id": job.id, "name": job.name, "head_sha": job.sha, "status": "completed", "conclusion": "failure",
        "html_url": "https://github.com/checks/1", "output": { "title": null, "summary": null },
        "check_suite": { "head_branch": null }, "app": { "slug": "github-actions" },
    })
}

pub(super) fn routes() -> Router<Arc<Shared>> {
    Router::new()
        .route("/repos/{owner}/{repo}/actions/jobs/{id}/logs", get(logs))
        .route("/repos/{owner}/{repo}/actions/runs", get(runs))
        .route("/ci-logs/{id}", get(log))
}

fn job(state: &State, id: u64) -> Result<&Job, Refusal> {
    let mut jobs = state.jobs.iter();
    jobs.find(|job| job.id == id).ok_or_else(Refusal::not_found)
}

/// It is only ever asked whether it may be seen.
async fn runs() -> Json<Value> {
    Json(json!({ "total_count": 0, "workflow_runs": [] }))
}

async fn logs(
    Extracted(shared): Model,
    Path((_, _, id)): Path<(String, String, u64)>,
    headers: HeaderMap,
) -> Answer {
    job(&shared.lock(), id)?;
    let host = headers[HOST].to_str().expect("a host is ASCII");
    let (_, port) = host.rsplit_once(':').expect("a port");
    let location = format!("http://localhost:{port}{LOGS}{id}");
    Ok((StatusCode::FOUND, [(LOCATION, location)]).into_response())
}

async fn log(Extracted(shared): Model, Path(id): Path<u64>) -> Answer {
    Ok(job(&shared.lock(), id)?.log.clone().into_response())
}
