//! Pull requests: they really merge, in the repository behind the model; and the rules of the
//! base branch.

use std::path::PathBuf;
use std::sync::Arc;

use axum::extract::{Path, Query, State as Extracted};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::delivery::Delivery;
use super::json as parts;
use super::limits::{Refusal, required};
use super::state::State;
use super::{OWN_LOGIN, Shared};
use crate::support::git;

/// The longest title, in characters ("title is too long (maximum is 256 characters)").
const LONGEST_TITLE: usize = 256;
const LONGEST_BODY: usize = 65_536;

/// A pull request as it is now.
#[derive(Debug, Clone)]
pub(crate) struct PullRequest {
    pub(crate) number: u64,
    pub(crate) title: String,
    pub(crate) body: String,
    pub(crate) branch: String,
    pub(crate) author: String,
    pub(crate) draft: bool,
    pub(crate) open: bool,
    pub(crate) merged: Option<String>,
    merged_by: Option<String>,
    pub(super) updated_at: Timestamp,
    /// Oldest first.
    reviews: Vec<Review>,
}

#[derive(Debug, Clone)]
struct Review {
    by: String,
    state: &'static str,
    text: String,
    commit: Option<String>,
}

/// What the base branch asks for.
#[derive(Debug, Clone, Default)]
pub(crate) struct BranchRules {
    pub(crate) approvals: usize,
    pub(crate) checks: Vec<&'static str>,
    /// Named by the branch itself, as classic protection does.
    pub(crate) classic_checks: Vec<&'static str>,
    pub(crate) merge_queue: bool,
}

type Between = Box<dyn FnOnce() + Send>;

#[derive(Default)]
pub(super) struct Pulls {
    /// The bare repository that everything is merged in.
    pub(super) repository: Option<PathBuf>,
    pub(super) all: Vec<PullRequest>,
    pub(super) rules: BranchRules,
    pub(super) has_no_drafts: bool,
    /// Happens between the checks of the next merge and the merge itself.
    pub(super) between: Option<Between>,
    /// Check runs that succeeded: commit and name.
    pub(super) checks: Vec<(String, String)>,
    /// Merges that were made by request.
    pub(super) merges: usize,
}

type Model = Extracted<Arc<Shared>>;
type Answer = Result<Response, Refusal>;

pub(super) fn routes() -> Router<Arc<Shared>> {
    Router::new()
        .route("/repos/{owner}/{repo}/pulls", get(list).post(create))
        .route(
            "/repos/{owner}/{repo}/pulls/{number}",
            get(one).patch(update),
        )
        .route("/repos/{owner}/{repo}/pulls/{number}/merge", put(merge))
        .route("/repos/{owner}/{repo}/pulls/{number}/reviews", get(reviews))
        .route("/repos/{owner}/{repo}/rules/branches/{branch}", get(rules))
        .route("/repos/{owner}/{repo}/branches/{branch}", get(branch))
        .route(
            "/repos/{owner}/{repo}/commits/{sha}/status",
            get(combined_status),
        )
        .route("/graphql", post(graphql))
        // Where it is on Enterprise Server.
        .route("/api/graphql", post(graphql))
        // It is only ever asked with requests that lack something.
        .route("/repos/{owner}/{repo}/git/refs", post(lacking))
}

async fn lacking() -> Refusal {
    missing("ref")
}

fn missing(field: &str) -> Refusal {
    Refusal::invalid(json!([{ "resource": "Request", "field": field, "code": "missing_field" }]))
}

fn custom(message: &str) -> Refusal {
    Refusal::invalid(json!([{ "resource": "PullRequest", "code": "custom", "message": message }]))
}

impl Pulls {
    /// What other Apps' checks say about a commit, as the list of its check runs shows them.
    pub(super) fn check_runs(&self, sha: &str) -> Vec<Value> {
        let of_commit = self.checks.iter().filter(|(on, _)| on == sha);
        let shown = of_commit.map(|(_, name)| json!({ "name": name, "conclusion": "success" }));
        shown.collect()
    }

    fn path(&self) -> PathBuf {
        self.repository.clone().expect("a repository is served")
    }

    fn tip(&self, branch: &str) -> Option<String> {
        self.revision(&format!("refs/heads/{branch}"))
    }

    fn revision(&self, name: &str) -> Option<String> {
        let arguments = ["rev-parse", "-q", "--verify", name];
        let found = git::command(&self.path(), &arguments).output().ok()?;
        let text = String::from_utf8_lossy(&found.stdout).trim().to_owned();
        found.status.success().then_some(text)
    }

    pub(super) fn add(&mut self, branch: &str, by: &str, now: Timestamp) -> u64 {
        let number = 100 + self.all.len() as u64;
        self.all.push(PullRequest {
            number,
            title: "By hand".to_owned(),
            body: String::new(),
            branch: branch.to_owned(),
            author: by.to_owned(),
            draft: false,
            open: true,
            merged: None,
            merged_by: None,
            updated_at: now,
            reviews: Vec::new(),
        });
        number
    }

    pub(super) fn find(&self, number: u64) -> Option<&PullRequest> {
        self.all.iter().find(|pull| pull.number == number)
    }

    pub(super) fn find_mut(&mut self, number: u64) -> Result<&mut PullRequest, Refusal> {
        let mut all = self.all.iter_mut();
        let found = all.find(|pull| pull.number == number);
        found.ok_or_else(Refusal::not_found)
    }

    /// The tree of a merge, unless it conflicts.
    fn merged_tree(&self, base: &str, head: &str) -> Option<String> {
        let arguments = ["merge-tree", "--write-tree", base, head];
        let found = git::command(&self.path(), &arguments).output().ok()?;
        let tree = String::from_utf8_lossy(&found.stdout).trim().to_owned();
        found.status.success().then_some(tree)
    }
}

impl State {
    fn check_passed(&self, head: &str, name: &str) -> bool {
        let statuses = self.statuses.iter().rev();
        let mut of_name = statuses.filter(|status| status.sha == head && status.context == name);
        let by_status = of_name
            .next()
            .is_some_and(|status| status.state == "success");
        let mut checks = self.pulls.checks.iter();
        by_status || checks.any(|(sha, check)| sha == head && check == name)
    }

    /// Why the rules do not let it be merged.
    fn forbids(&self, pull: &PullRequest, head: &str) -> Option<String> {
        let rules = &self.pulls.rules;
        if rules.merge_queue {
            return Some(
                "Repository rule violations found\n\nChanges must be made through the merge queue\n\n"
                    .to_owned(),
            );
        }
        let newest = newest_reviews(pull);
        let approvals = newest
            .iter()
            .filter(|(_, state)| *state == "APPROVED")
            .count();
        if newest
            .iter()
            .any(|(_, state)| *state == "CHANGES_REQUESTED")
            && rules.approvals > 0
        {
            return Some("Changes have been requested.".to_owned());
        }
        if approvals < rules.approvals {
            return Some(format!(
                "At least {} approving review is required by reviewers with write access.",
                rules.approvals
            ));
        }
        let required = rules.checks.iter().chain(&rules.classic_checks);
        let missing = required
            .into_iter()
            .find(|name| !self.check_passed(head, name));
        missing.map(|name| format!("Required status check \"{name}\" is expected."))
    }

    fn mergeable_state(&self, pull: &PullRequest, head: &str) -> &'static str {
        let base = self.pulls.tip(git::BASE).unwrap_or_default();
        if pull.draft {
            "draft"
        } else if self.pulls.merged_tree(&base, head).is_none() {
            "dirty"
        } else if self.forbids(pull, head).is_some() {
            "blocked"
        } else {
            "clean"
        }
    }

    pub(super) fn pull_json(&self, pull: &PullRequest) -> Value {
        let head = self.pulls.tip(&pull.branch);
        let head = head.or_else(|| self.pulls.revision(&format!("refs/kept/{}", pull.branch)));
        let head = head.unwrap_or_default();
        let base = self.pulls.tip(git::BASE).unwrap_or_default();
        let side = |branch: &str, sha: &str| {
            json!({
                "ref": branch, "sha": sha, "label": format!("octo:{branch}"),
                "user": parts::account("octo"), "repo": parts::repository(self),
            })
        };
        json!({
            "id": 777_000 + pull.number, "node_id": format!("PR_{}", pull.number),
            "number": pull.number, "state": if pull.open { "open" } else { "closed" },
            "title": pull.title, "body": pull.body, "draft": pull.draft, "labels": [],
            "user": parts::account(&pull.author), "locked": false,
            "head": side(&pull.branch, &head), "base": side(git::BASE, &base),
            "merged": pull.merged.is_some(), "merge_commit_sha": pull.merged,
            "merged_by": pull.merged_by.as_deref().map(parts::account),
            "mergeable_state": self.mergeable_state(pull, &head),
            "html_url": format!("https://github.com/{}/pull/{}", self.repo, pull.number),
        })
    }

    pub(super) fn pull_event(&mut self, action: &str, number: u64, by: &str) -> Delivery {
        let pull = self
            .pulls
            .find(number)
            .expect("no such pull request")
            .clone();
        let payload = json!({
            "action": action, "number": number, "pull_request": self.pull_json(&pull),
            "repository": parts::repository(self), "sender": parts::account(by),
        });
        self.deliver("pull_request", &payload)
    }

    pub(super) fn review(
        &mut self,
        number: u64,
        by: &str,
        state: &'static str,
        text: &str,
    ) -> Delivery {
        let pull = self
            .pulls
            .find_mut(number)
            .ok()
            .expect("no such pull request");
        let branch = pull.branch.clone();
        let head = self.pulls.tip(&branch);
        let now = self.tick();
        let pull = self.pulls.find_mut(number).ok().expect("it is there");
        pull.updated_at = now;
        pull.reviews.push(Review {
            by: by.to_owned(),
            state,
            text: text.to_owned(),
            commit: head.clone(),
        });
        let id = 79 + pull.reviews.len();
        let pull = pull.clone();
        let mut shown = self.pull_json(&pull);
        // The payload of a review has no word about a merge.
        shown.as_object_mut().expect("an object").remove("merged");
        let payload = json!({
            "action": "submitted",
            "review": {
                "id": id, "user": parts::account(by), "body": text, "commit_id": head,
                "state": state.to_ascii_lowercase(),
            },
            "pull_request": shown, "repository": parts::repository(self),
            "sender": parts::account(by),
        });
        self.deliver("pull_request_review", &payload)
    }

    /// A check of somebody else succeeds on a commit.
    pub(super) fn pass_check(&mut self, sha: &str, name: &str) -> Delivery {
        self.pulls.checks.push((sha.to_owned(), name.to_owned()));
        let payload = json!({
            "action": "completed",
            "check_run": {
                "id": 4_400, "name": name, "head_sha": sha, "status": "completed",
                "conclusion": "success", "html_url": "https://github.com/checks/1",
                "output": { "title": null, "summary": null },
                "check_suite": { "head_branch": null }, "app": { "slug": "ci" },
            },
            "repository": parts::repository(self), "sender": parts::account("ci[bot]"),
        });
        self.deliver("check_run", &payload)
    }

    /// A comment in the conversation: for GitHub the pull request is an issue there.
    pub(super) fn pull_comment(&mut self, number: u64, text: &str, by: &str) -> Delivery {
        let pull = self.pulls.find(number).expect("no such pull request");
        let payload = json!({
            "action": "created",
            "issue": {
                "number": number, "title": pull.title, "body": pull.body, "labels": [],
                "state": "open", "user": parts::account(&pull.author),
                "pull_request": { "url": format!("https://api.github.com/pulls/{number}") },
            },
            "comment": { "id": 5_500, "body": text, "user": parts::account(by) },
            "repository": parts::repository(self), "sender": parts::account(by),
        });
        self.deliver("issue_comment", &payload)
    }

    pub(super) fn close_pull(&mut self, number: u64, by: &str) -> Delivery {
        self.pulls
            .find_mut(number)
            .ok()
            .expect("no such pull request")
            .open = false;
        self.pull_event("closed", number, by)
    }

    /// Squashes it; its commit. GitHub is the committer.
    pub(super) fn squash(
        &mut self,
        number: u64,
        by: &str,
        message: (&str, &str),
    ) -> Option<String> {
        let pull = self.pulls.find(number)?.clone();
        let (base, head) = (self.pulls.tip(git::BASE)?, self.pulls.tip(&pull.branch)?);
        let tree = self.pulls.merged_tree(&base, &head)?;
        let (title, text) = message;
        let arguments = ["commit-tree", &tree, "-p", &base, "-m", title, "-m", text];
        let mut command = git::command(&self.pulls.path(), &arguments);
        command
            .env("GIT_AUTHOR_NAME", by)
            .env("GIT_COMMITTER_NAME", "GitHub")
            .env("GIT_COMMITTER_EMAIL", "noreply@github.com");
        let output = command.output().expect("git is there");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let commit = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        let base_ref = format!("refs/heads/{}", git::BASE);
        git::git(
            &self.pulls.path(),
            &["update-ref", &base_ref, &commit, &base],
        );
        let known = self.pulls.find_mut(number).ok()?;
        (known.open, known.draft) = (false, false);
        known.merged = Some(commit.clone());
        known.merged_by = Some(by.to_owned());
        Some(commit)
    }
}

/// Everybody's newest word.
fn newest_reviews(pull: &PullRequest) -> Vec<(String, &'static str)> {
    let mut newest: Vec<(String, &'static str)> = Vec::new();
    for Review { by, state, .. } in &pull.reviews {
        newest.retain(|(known, _)| known != by);
        newest.push((by.clone(), state));
    }
    newest
}

async fn list(Extracted(shared): Model, Query(query): Query<Vec<(String, String)>>) -> Answer {
    let state = shared.lock();
    let asked = |name: &str| {
        let mut query = query.iter();
        query
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    };
    let head = asked("head").unwrap_or_default();
    let (_, branch) = head.split_once(':').unwrap_or(("", head));
    let open = asked("state").unwrap_or("open") == "open";
    let all = state.pulls.all.iter();
    let found =
        all.filter(|pull| pull.open == open && (branch.is_empty() || pull.branch == branch));
    let shown: Vec<Value> = found.map(|pull| state.pull_json(pull)).collect();
    Ok(Json(shown).into_response())
}

fn check_text(title: &str, body: &str) -> Result<(), Refusal> {
    if title.trim().is_empty() {
        return Err(missing("title"));
    }
    if title.chars().count() > LONGEST_TITLE {
        return Err(custom("title is too long (maximum is 256 characters)"));
    }
    if body.chars().count() > LONGEST_BODY {
        return Err(custom("body is too long (maximum is 65536 characters)"));
    }
    Ok(())
}

async fn create(Extracted(shared): Model, Json(body): Json<Value>) -> Answer {
    let mut state = shared.lock();
    let title = required(&body, "title")?.to_owned();
    let branch = required(&body, "head")?.to_owned();
    let base = required(&body, "base")?;
    let text = body["body"].as_str().unwrap_or_default().to_owned();
    check_text(&title, &text)?;
    if base != git::BASE {
        return Err(Refusal::invalid(
            json!([{ "resource": "PullRequest", "field": "base", "code": "invalid" }]),
        ));
    }
    let Some(head) = state.pulls.tip(&branch) else {
        return Err(Refusal::invalid(
            json!([{ "resource": "PullRequest", "field": "head", "code": "invalid" }]),
        ));
    };
    if state.pulls.tip(base).is_some_and(|tip| tip == head) {
        return Err(custom(&format!("No commits between {base} and {branch}")));
    }
    let draft = body["draft"].as_bool().unwrap_or_default();
    if draft && state.pulls.has_no_drafts {
        return Err(Refusal::saying(
            StatusCode::UNPROCESSABLE_ENTITY,
            "Draft pull requests are not supported in this repository.",
        ));
    }
    let mut all = state.pulls.all.iter();
    if all.any(|pull| pull.open && pull.branch == branch) {
        return Err(custom(&format!(
            "A pull request already exists for octo:{branch}."
        )));
    }
    let author = state.own_login().to_owned();
    let now = state.tick();
    let number = state.pulls.add(&branch, &author, now);
    let pull = state.pulls.find_mut(number)?;
    (pull.title, pull.body, pull.draft) = (title, text, draft);
    let pull = pull.clone();
    let answer = state.pull_json(&pull);
    let delivery = state.pull_event("opened", number, &author);
    state.own_deliveries.push(delivery);
    Ok((StatusCode::CREATED, Json(answer)).into_response())
}

type OfPull = Path<(String, String, u64)>;

async fn one(Extracted(shared): Model, Path((_, _, number)): OfPull) -> Answer {
    let state = shared.lock();
    let pull = state.pulls.find(number).ok_or_else(Refusal::not_found)?;
    Ok(Json(state.pull_json(pull)).into_response())
}

async fn update(
    Extracted(shared): Model,
    Path((_, _, number)): OfPull,
    Json(body): Json<Value>,
) -> Answer {
    let mut state = shared.lock();
    let pull = state.pulls.find_mut(number)?;
    let title = body["title"].as_str().unwrap_or(&pull.title).to_owned();
    let text = body["body"].as_str().unwrap_or(&pull.body).to_owned();
    check_text(&title, &text)?;
    (pull.title, pull.body) = (title, text);
    let by = state.own_login();
    let delivery = state.pull_event("edited", number, by);
    state.own_deliveries.push(delivery);
    let pull = state.pulls.find(number).ok_or_else(Refusal::not_found)?;
    Ok(Json(state.pull_json(pull)).into_response())
}

fn not_allowed(message: &str) -> Refusal {
    Refusal::saying(StatusCode::METHOD_NOT_ALLOWED, message)
}

async fn merge(
    Extracted(shared): Model,
    Path((_, _, number)): OfPull,
    Json(body): Json<Value>,
) -> Answer {
    let mut state = shared.lock();
    let pull = state
        .pulls
        .find(number)
        .ok_or_else(Refusal::not_found)?
        .clone();
    let head = state.pulls.tip(&pull.branch).unwrap_or_default();
    if body["sha"].as_str() != Some(&head) {
        let message = "Head branch was modified. Review and try the merge again.";
        return Err(Refusal::saying(StatusCode::CONFLICT, message));
    }
    if !pull.open {
        return Err(not_allowed("Pull Request is not mergeable"));
    }
    if pull.draft {
        return Err(not_allowed("Pull Request is still a draft"));
    }
    if let Some(because) = state.forbids(&pull, &head) {
        return Err(not_allowed(&because));
    }
    assert_eq!(body["merge_method"], "squash", "a commit for each story");
    if let Some(between) = state.pulls.between.take() {
        between();
    }
    let by = state.own_login();
    let message = (
        required(&body, "commit_title")?,
        required(&body, "commit_message")?,
    );
    let Some(commit) = state.squash(number, by, message) else {
        return Err(not_allowed("Pull Request is not mergeable"));
    };
    state.pulls.merges += 1;
    let delivery = state.pull_event("closed", number, by);
    state.own_deliveries.push(delivery);
    let answer = json!({
        "sha": commit, "merged": true, "message": "Pull Request successfully merged",
    });
    Ok(Json(answer).into_response())
}

async fn reviews(Extracted(shared): Model, Path((_, _, number)): OfPull) -> Answer {
    let state = shared.lock();
    let pull = state.pulls.find(number).ok_or_else(Refusal::not_found)?;
    let shown: Vec<Value> = pull
        .reviews
        .iter()
        .zip(80..)
        .map(|(review, id)| {
            json!({
                "id": id, "user": parts::account(&review.by), "state": review.state,
                "body": review.text, "commit_id": review.commit,
            })
        })
        .collect();
    Ok(Json(shown).into_response())
}

async fn rules(Extracted(shared): Model) -> Json<Value> {
    let rules = &shared.lock().pulls.rules;
    let mut shown = Vec::new();
    if rules.approvals > 0 {
        shown.push(json!({
            "type": "pull_request",
            "parameters": {
                "required_approving_review_count": rules.approvals,
                "require_code_owner_review": false, "require_last_push_approval": false,
            },
        }));
    }
    if !rules.checks.is_empty() {
        let checks = rules.checks.iter().map(|name| json!({ "context": name }));
        let checks: Vec<Value> = checks.collect();
        shown.push(json!({
            "type": "required_status_checks",
            "parameters": { "required_status_checks": checks },
        }));
    }
    if rules.merge_queue {
        shown.push(json!({ "type": "merge_queue", "parameters": { "merge_method": "SQUASH" } }));
    }
    Json(shown.into())
}

async fn branch(
    Extracted(shared): Model,
    Path((_, _, name)): Path<(String, String, String)>,
) -> Json<Value> {
    let state = shared.lock();
    let contexts = &state.pulls.rules.classic_checks;
    Json(json!({
        "name": name, "commit": { "sha": state.pulls.tip(&name) },
        "protected": !contexts.is_empty(),
        "protection": {
            "enabled": !contexts.is_empty(),
            "required_status_checks": { "enforcement_level": "everyone", "contexts": contexts },
        },
    }))
}

type OfCommit = Path<(String, String, String)>;

async fn combined_status(Extracted(shared): Model, Path((_, _, sha)): OfCommit) -> Json<Value> {
    let state = shared.lock();
    let mut newest: Vec<Value> = Vec::new();
    for status in state.statuses.iter().filter(|status| status.sha == sha) {
        newest.retain(|known| known["context"] != status.context.as_str());
        newest.push(parts::status(&state, status, OWN_LOGIN));
    }
    Json(json!({ "state": "pending", "sha": sha, "statuses": newest }))
}

/// The one mutation that huskies has to make there.
async fn graphql(Extracted(shared): Model, Json(body): Json<Value>) -> Answer {
    let mut state = shared.lock();
    let query = body["query"].as_str().unwrap_or_default().to_owned();
    if !query.contains("markPullRequestReadyForReview") {
        state.violations.push(format!("POST /graphql {query}"));
        return Err(Refusal::not_found());
    }
    let id = body["variables"]["id"].as_str().unwrap_or_default();
    let number = id
        .strip_prefix("PR_")
        .and_then(|number| number.parse().ok());
    let found = number.and_then(|number| state.pulls.find_mut(number).ok());
    let Some(pull) = found else {
        let message = format!("Could not resolve to a node with the global id of '{id}'");
        let errors = json!([{ "type": "NOT_FOUND", "message": message }]);
        return Ok(Json(json!({ "data": null, "errors": errors })).into_response());
    };
    pull.draft = false;
    let number = pull.number;
    let by = state.own_login();
    let delivery = state.pull_event("ready_for_review", number, by);
    state.own_deliveries.push(delivery);
    let data = json!({
        "markPullRequestReadyForReview": { "pullRequest": { "isDraft": false } },
    });
    Ok(Json(json!({ "data": data })).into_response())
}
