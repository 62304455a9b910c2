//! The routes of GitHub's REST API that huskies uses.
//! A route or method that is not here is answered 404 and recorded as a violation.

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::{Path, Query, Request, State as Extracted};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, patch, post};
use axum::{Json, Router};
use serde_json::{Value, json};

use super::limits::{Refusal, check_comment, check_label, check_reaction, check_status, required};
use super::state::{Label, State, Status};
use super::{OWN_LOGIN, Shared, app, checks, ci, hooks, json, lists, pulls};

pub(super) type Model = Extracted<Arc<Shared>>;
pub(super) type Answer = Result<Response, Refusal>;

pub(super) fn router(shared: &Arc<Shared>) -> Router {
    Router::new()
        .route("/user", get(own_account))
        .route("/repos/{owner}/{repo}", get(repository))
        .route(
            "/repos/{owner}/{repo}/collaborators/{login}/permission",
            get(permission),
        )
        .route("/repos/{owner}/{repo}/issues/{number}", get(issue))
        .route(
            "/repos/{owner}/{repo}/issues/{number}/sub_issues",
            get(sub_issues),
        )
        .route(
            "/repos/{owner}/{repo}/issues/{number}/comments",
            get(comments).post(create_comment),
        )
        .route(
            "/repos/{owner}/{repo}/issues/comments/{id}",
            patch(update_comment),
        )
        .route(
            "/repos/{owner}/{repo}/issues/comments/{id}/reactions",
            post(react_in_conversation),
        )
        .route(
            "/repos/{owner}/{repo}/pulls/comments/{id}/reactions",
            post(react_in_changes),
        )
        .route(
            "/repos/{owner}/{repo}/issues/{number}/labels",
            get(issue_labels).post(add_labels),
        )
        .route(
            "/repos/{owner}/{repo}/issues/{number}/labels/{name}",
            axum::routing::delete(remove_label),
        )
        .route("/repos/{owner}/{repo}/labels", post(create_label))
        .route(
            "/repos/{owner}/{repo}/labels/{name}",
            get(label).patch(update_label),
        )
        .route("/repos/{owner}/{repo}/statuses/{sha}", post(create_status))
        .merge(app::routes())
        .merge(checks::routes())
        .merge(ci::routes())
        .merge(hooks::routes())
        .merge(lists::routes())
        .merge(pulls::routes())
        .fallback(unknown_route)
        .method_not_allowed_fallback(unknown_route)
        .with_state(Arc::clone(shared))
}

async fn unknown_route(Extracted(shared): Model, request: Request) -> Refusal {
    shared
        .lock()
        .violations
        .push(format!("{} {}", request.method(), request.uri()));
    Refusal::not_found()
}

pub(super) fn check_repo(state: &State, owner: &str, repo: &str) -> Result<(), Refusal> {
    let (own_owner, own_repo) = state.repo.split_once('/').expect("owner/name");
    let same = own_owner.eq_ignore_ascii_case(owner) && own_repo.eq_ignore_ascii_case(repo);
    if same {
        Ok(())
    } else {
        Err(Refusal::not_found())
    }
}

pub(super) fn check_issue(
    state: &State,
    (owner, repo, number): &(String, String, u64),
) -> Result<u64, Refusal> {
    check_repo(state, owner, repo)?;
    if state.issues.contains_key(number) {
        Ok(*number)
    } else {
        Err(Refusal::not_found())
    }
}

async fn own_account(Extracted(shared): Model) -> Answer {
    let own = shared.lock().own_login();
    if own != OWN_LOGIN {
        let message = "Resource not accessible by integration";
        return Err(Refusal::saying(StatusCode::FORBIDDEN, message));
    }
    Ok(Json(json::account(OWN_LOGIN)).into_response())
}

async fn repository(
    Extracted(shared): Model,
    Path((owner, repo)): Path<(String, String)>,
) -> Answer {
    let state = shared.lock();
    check_repo(&state, &owner, &repo)?;
    Ok(Json(json::repository(&state)).into_response())
}

async fn permission(
    Extracted(shared): Model,
    Path((owner, repo, login)): Path<(String, String, String)>,
) -> Answer {
    let state = shared.lock();
    check_repo(&state, &owner, &repo)?;
    let known = state
        .roles
        .iter()
        .find(|(known, _)| known.eq_ignore_ascii_case(&login));
    let Some((login, role)) = known else {
        return Err(Refusal::saying(
            StatusCode::NOT_FOUND,
            &format!("{login} is not a user"),
        ));
    };
    Ok(Json(json::permission(login, role)).into_response())
}

async fn issue(Extracted(shared): Model, Path(path): Path<(String, String, u64)>) -> Answer {
    let state = shared.lock();
    let number = check_issue(&state, &path)?;
    Ok(Json(json::asked_issue(&state, &state.issues[&number])).into_response())
}

async fn sub_issues(
    Extracted(shared): Model,
    Path(path): Path<(String, String, u64)>,
    Query(query): Query<HashMap<String, String>>,
) -> Answer {
    let state = shared.lock();
    let number = check_issue(&state, &path)?;
    let parts = state.issues.values();
    let parts = parts.filter(|part| part.parent == Some(number));
    let all: Vec<Value> = parts.map(|part| json::asked_issue(&state, part)).collect();
    let (owner, repo, _) = path;
    Ok(page_of(
        &all,
        &query,
        &format!("/repos/{owner}/{repo}/issues/{number}/sub_issues"),
    ))
}

async fn comments(
    Extracted(shared): Model,
    Path(path): Path<(String, String, u64)>,
    Query(query): Query<HashMap<String, String>>,
) -> Answer {
    let state = shared.lock();
    let number = check_issue(&state, &path)?;
    let all: Vec<Value> = state
        .comments
        .values()
        .filter(|comment| comment.issue == number)
        .map(|comment| json::comment(&state, comment))
        .collect();
    Ok(page_of(
        &all,
        &query,
        &format!("https://api.github.com/repositories/1/issues/{number}/comments"),
    ))
}

/// One page, with the `Link` header that GitHub sends when there are others.
pub(super) fn page_of(all: &[Value], query: &HashMap<String, String>, url: &str) -> Response {
    let number_of = |name: &str| {
        query
            .get(name)
            .and_then(|value| value.parse::<usize>().ok())
    };
    let size = number_of("per_page").unwrap_or(30).clamp(1, 100);
    let page = number_of("page").unwrap_or(1).max(1);
    let last = all.len().div_ceil(size).max(1);
    let items: Vec<&Value> = all.iter().skip((page - 1) * size).take(size).collect();
    let mut response = Json(items).into_response();
    if page < last {
        let link = format!(
            "<{url}?per_page={size}&page={}>; rel=\"next\", <{url}?per_page={size}&page={last}>; rel=\"last\"",
            page + 1
        );
        response
            .headers_mut()
            .insert("link", link.parse().expect("a link is ASCII"));
    }
    response
}

async fn create_comment(
    Extracted(shared): Model,
    Path(path): Path<(String, String, u64)>,
    Json(body): Json<Value>,
) -> Answer {
    let mut state = shared.lock();
    let number = check_issue(&state, &path)?;
    let own = state.own_login();
    let id = state.add_comment(number, check_comment(&body)?, own);
    let delivery = state.comment_event("created", id);
    state.own_deliveries.push(delivery);
    Ok((
        StatusCode::CREATED,
        Json(json::comment(&state, &state.comments[&id])),
    )
        .into_response())
}

async fn update_comment(
    Extracted(shared): Model,
    Path((owner, repo, id)): Path<(String, String, u64)>,
    Json(body): Json<Value>,
) -> Answer {
    let mut state = shared.lock();
    check_repo(&state, &owner, &repo)?;
    if !state.comments.contains_key(&id) {
        return Err(Refusal::not_found());
    }
    state.edit_comment(id, check_comment(&body)?);
    let delivery = state.comment_event("edited", id);
    state.own_deliveries.push(delivery);
    Ok(Json(json::comment(&state, &state.comments[&id])).into_response())
}

async fn react_in_conversation(
    Extracted(shared): Model,
    Path(path): Path<(String, String, u64)>,
    Json(body): Json<Value>,
) -> Answer {
    if !shared.lock().comments.contains_key(&path.2) {
        return Err(Refusal::not_found());
    }
    react(&shared, ("issues", path), &body)
}

/// The model holds no comments of changes: tests send what is said in them.
async fn react_in_changes(
    Extracted(shared): Model,
    Path(path): Path<(String, String, u64)>,
    Json(body): Json<Value>,
) -> Answer {
    react(&shared, ("pulls", path), &body)
}

/// 201 for a new reaction, 200 for one that this account has there already.
fn react(
    shared: &Shared,
    (place, (owner, repo, id)): (&'static str, (String, String, u64)),
    body: &Value,
) -> Answer {
    let mut state = shared.lock();
    check_repo(&state, &owner, &repo)?;
    let content = check_reaction(body)?.to_owned();
    let is_new = state.reactions.insert((place, id, content.clone()));
    let status = if is_new {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    let reaction = json!({ "id": id, "content": content, "user": json::account(OWN_LOGIN) });
    Ok((status, Json(reaction)).into_response())
}

async fn issue_labels(Extracted(shared): Model, Path(path): Path<(String, String, u64)>) -> Answer {
    let state = shared.lock();
    let number = check_issue(&state, &path)?;
    Ok(Json(json::labels(&state, &state.issues[&number].labels)).into_response())
}

async fn add_labels(
    Extracted(shared): Model,
    Path(path): Path<(String, String, u64)>,
    Json(body): Json<Value>,
) -> Answer {
    let mut state = shared.lock();
    let number = check_issue(&state, &path)?;
    let own = state.own_login();
    let names = body["labels"].as_array().cloned().unwrap_or_default();
    for name in names.iter().filter_map(Value::as_str) {
        check_label(name)?;
        let delivery = state.add_label(number, name, own);
        state.own_deliveries.extend(delivery);
    }
    Ok(Json(json::labels(&state, &state.issues[&number].labels)).into_response())
}

async fn remove_label(
    Extracted(shared): Model,
    Path((owner, repo, number, name)): Path<(String, String, u64, String)>,
) -> Answer {
    let mut state = shared.lock();
    let number = check_issue(&state, &(owner, repo, number))?;
    let own = state.own_login();
    let Some(delivery) = state.remove_label(number, &name, own) else {
        return Err(Refusal::saying(
            StatusCode::NOT_FOUND,
            "Label does not exist",
        ));
    };
    state.own_deliveries.push(delivery);
    Ok(Json(json::labels(&state, &state.issues[&number].labels)).into_response())
}

async fn label(
    Extracted(shared): Model,
    Path((owner, repo, name)): Path<(String, String, String)>,
) -> Answer {
    let state = shared.lock();
    check_repo(&state, &owner, &repo)?;
    let label = state.label_named(&name).ok_or_else(Refusal::not_found)?;
    Ok(Json(json::label(&state, label)).into_response())
}

async fn create_label(
    Extracted(shared): Model,
    Path((owner, repo)): Path<(String, String)>,
    Json(body): Json<Value>,
) -> Answer {
    let mut state = shared.lock();
    check_repo(&state, &owner, &repo)?;
    let name = required(&body, "name")?;
    check_label(name)?;
    if state.label_named(name).is_some() {
        let error = json!([{ "resource": "Label", "field": "name", "code": "already_exists" }]);
        return Err(Refusal::invalid(error));
    }
    let label = Label {
        name: name.to_owned(),
        color: body["color"].as_str().unwrap_or("ededed").to_owned(),
        description: body["description"].as_str().map(str::to_owned),
    };
    state.labels.push(label.clone());
    Ok((StatusCode::CREATED, Json(json::label(&state, &label))).into_response())
}

async fn update_label(
    Extracted(shared): Model,
    Path((owner, repo, name)): Path<(String, String, String)>,
    Json(body): Json<Value>,
) -> Answer {
    let mut state = shared.lock();
    check_repo(&state, &owner, &repo)?;
    let mut labels = state.labels.iter_mut();
    let found = labels.find(|label| label.name.eq_ignore_ascii_case(&name));
    let label = found.ok_or_else(Refusal::not_found)?;
    let text = |field: &str| body[field].as_str().map(str::to_owned);
    label.color = text("color").unwrap_or_else(|| label.color.clone());
    label.description = text("description").or_else(|| label.description.clone());
    let label = label.clone();
    Ok(Json(json::label(&state, &label)).into_response())
}

async fn create_status(
    Extracted(shared): Model,
    Path((owner, repo, sha)): Path<(String, String, String)>,
    Json(body): Json<Value>,
) -> Answer {
    let mut state = shared.lock();
    check_repo(&state, &owner, &repo)?;
    let text = |field: &str| body[field].as_str().map(str::to_owned);
    let status = Status {
        context: text("context").unwrap_or_else(|| "default".to_owned()),
        state: required(&body, "state")?.to_owned(),
        description: text("description"),
        target_url: text("target_url"),
        sha,
    };
    check_status(&state, &status)?;
    state.statuses.push(status.clone());
    Ok((
        StatusCode::CREATED,
        Json(json::status(&state, &status, state.own_login())),
    )
        .into_response())
}
