//! Lists that are looked at where no delivery tells: issues and their history, comments.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, Query, State as Extracted};
use axum::routing::get;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::limits::Refusal;
use super::routes::{Answer, Model, check_issue, check_repo, page_of};
use super::state::State;
use super::{Shared, json as parts};

type Asked = Query<HashMap<String, String>>;

pub(super) fn routes() -> Router<Arc<Shared>> {
    Router::new()
        .route("/repos/{owner}/{repo}/issues", get(issues))
        .route("/repos/{owner}/{repo}/issues/{number}/events", get(history))
        .route("/repos/{owner}/{repo}/issues/comments", get(comments))
        .route("/repos/{owner}/{repo}/pulls/{number}/comments", get(lines))
}

/// From when on, where that is asked.
fn since(query: &HashMap<String, String>) -> Timestamp {
    let since = query.get("since").map(|since| since.parse());
    since.map_or(Timestamp::MIN, |since| since.expect("a time"))
}

async fn issues(
    Extracted(shared): Model,
    Path((owner, repo)): Path<(String, String)>,
    Query(query): Asked,
) -> Answer {
    let state = shared.lock();
    check_repo(&state, &owner, &repo)?;
    let all = query.get("state").is_some_and(|state| state == "all");
    let label = query.get("labels");
    let since = since(&query);
    let wanted = state.issues.values().filter(|issue| {
        let labelled = label.is_none_or(|label| issue.labels.contains(label));
        labelled && (all || issue.open) && issue.updated_at >= since
    });
    let issues = wanted.map(|issue| (issue.updated_at, parts::asked_issue(&state, issue)));
    let pulls = state
        .pulls
        .all
        .iter()
        .filter(|pull| label.is_none() && (all || pull.open) && pull.updated_at >= since);
    let pulls = pulls.map(|pull| (pull.updated_at, pull_as_issue(&state, pull.number)));
    let mut found: Vec<(Timestamp, Value)> = issues.chain(pulls).collect();
    found.sort_by_key(|(at, _)| *at);
    let found: Vec<Value> = found.into_iter().map(|(_, shown)| shown).collect();
    Ok(page_of(
        &found,
        &query,
        "https://api.github.com/repositories/1/issues",
    ))
}

/// For GitHub a pull request is an issue too.
fn pull_as_issue(state: &State, number: u64) -> Value {
    let pull = state.pulls.find(number).expect("no such pull request");
    json!({
        "id": 888_000 + number, "node_id": format!("PR_{number}"), "number": number,
        "title": pull.title, "body": pull.body, "labels": [], "user": parts::account(&pull.author),
        "state": if pull.open { "open" } else { "closed" },
        "created_at": pull.updated_at.to_string(), "updated_at": pull.updated_at.to_string(),
        "pull_request": { "url": format!("https://api.github.com/repos/{}/pulls/{number}", state.repo) },
    })
}

async fn history(
    Extracted(shared): Model,
    Path(path): Path<(String, String, u64)>,
    Query(query): Asked,
) -> Answer {
    let state = shared.lock();
    let number = check_issue(&state, &path)?;
    let of_issue = state.deeds.iter().filter(|deed| deed.issue == number);
    let all: Vec<Value> = of_issue.map(|deed| parts::deed(&state, deed)).collect();
    let url = format!("https://api.github.com/repositories/1/issues/{number}/events");
    Ok(page_of(&all, &query, &url))
}

async fn comments(
    Extracted(shared): Model,
    Path((owner, repo)): Path<(String, String)>,
    Query(query): Asked,
) -> Answer {
    let state = shared.lock();
    check_repo(&state, &owner, &repo)?;
    let since = since(&query);
    let wanted = state
        .comments
        .values()
        .filter(|comment| comment.updated_at >= since);
    let all: Vec<Value> = wanted
        .map(|comment| parts::comment(&state, comment))
        .collect();
    Ok(page_of(
        &all,
        &query,
        "https://api.github.com/repositories/1/issues/comments",
    ))
}

/// The model holds no comments at lines: tests send what is said in them.
async fn lines(
    Extracted(shared): Model,
    Path((_, _, number)): Path<(String, String, u64)>,
) -> Answer {
    let state = shared.lock();
    state.pulls.find(number).ok_or_else(Refusal::not_found)?;
    Ok(page_of(&[], &HashMap::new(), ""))
}
