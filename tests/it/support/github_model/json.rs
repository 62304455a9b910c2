//! The JSON that GitHub answers and delivers, with the fields that its own samples carry.

use serde_json::{Value, json};

use super::state::{Comment, Deed, Issue, Label, State, Status};

/// 40 zeros: how a push payload says "no commit".
const NO_COMMIT: &str = "0000000000000000000000000000000000000000";
const REPOSITORY_ID: u64 = 186_853_002;

/// An id that stays the same for a name, as GitHub's do.
fn id_of(name: &str) -> u64 {
    name.bytes()
        .fold(5_381, |id, byte| (id * 33 + u64::from(byte)) % 100_000_007)
}

fn account_type(login: &str) -> &'static str {
    if login.ends_with("[bot]") {
        "Bot"
    } else {
        "User"
    }
}

pub(super) fn account(login: &str) -> Value {
    json!({
        "login": login,
        "id": id_of(login),
        "node_id": format!("U_{}", id_of(login)),
        "avatar_url": format!("https://avatars.githubusercontent.com/u/{}?v=4", id_of(login)),
        "url": format!("https://api.github.com/users/{login}"),
        "html_url": format!("https://github.com/{login}"),
        "type": account_type(login),
        "site_admin": false,
    })
}

pub(super) fn repository(state: &State) -> Value {
    let (owner, name) = state.repo.split_once('/').expect("owner/name");
    json!({
        "id": REPOSITORY_ID,
        "node_id": "R_kgDOCyMz",
        "name": name,
        "full_name": state.repo,
        "private": false,
        "owner": account(owner),
        "html_url": format!("https://github.com/{}", state.repo),
        "description": null,
        "fork": false,
        "url": format!("https://api.github.com/repos/{}", state.repo),
        "clone_url": format!("https://github.com/{}.git", state.repo),
        "default_branch": state.default_branch,
        "archived": false,
        "disabled": false,
        "visibility": "public",
        "open_issues_count": state.issues.values().filter(|issue| issue.open).count(),
        "topics": [],
    })
}

pub(super) fn label(state: &State, label: &Label) -> Value {
    json!({
        "id": id_of(&label.name),
        "node_id": format!("LA_{}", id_of(&label.name)),
        "url": format!("https://api.github.com/repos/{}/labels/{}", state.repo, label.name),
        "name": label.name,
        "color": label.color,
        "default": false,
        "description": label.description,
    })
}

/// The labels of an issue.
pub(super) fn labels(state: &State, names: &[String]) -> Value {
    names
        .iter()
        .filter_map(|name| state.label_named(name))
        .map(|found| label(state, found))
        .collect()
}

pub(super) fn issue(state: &State, issue: &Issue) -> Value {
    let url = format!(
        "https://api.github.com/repos/{}/issues/{}",
        state.repo, issue.number
    );
    json!({
        "url": url,
        "repository_url": format!("https://api.github.com/repos/{}", state.repo),
        "labels_url": format!("{url}/labels{{/name}}"),
        "comments_url": format!("{url}/comments"),
        "html_url": format!("https://github.com/{}/issues/{}", state.repo, issue.number),
        "id": 444_500_000 + issue.number,
        "node_id": format!("I_{}", issue.number),
        "number": issue.number,
        "title": issue.title,
        "user": account(&issue.author),
        "labels": labels(state, &issue.labels),
        "state": if issue.open { "open" } else { "closed" },
        "state_reason": issue.state_reason,
        "sub_issues_summary": sub_issues_summary(state, issue.number),
        "locked": false,
        "assignee": null,
        "assignees": [],
        "milestone": null,
        "comments": state.comments.values().filter(|comment| comment.issue == issue.number).count(),
        "created_at": issue.created_at.to_string(),
        "updated_at": issue.updated_at.to_string(),
        "closed_at": (!issue.open).then(|| issue.updated_at.to_string()),
        "author_association": "CONTRIBUTOR",
        // GitHub says null where nothing was written.
        "body": (!issue.body.is_empty()).then_some(&issue.body),
    })
}

/// A line of an issue's history.
pub(super) fn deed(state: &State, deed: &Deed) -> Value {
    let mut shown = json!({
        "id": deed.id,
        "node_id": format!("LE_{}", deed.id),
        "url": format!("https://api.github.com/repos/{}/issues/events/{}", state.repo, deed.id),
        "actor": account(&deed.by),
        "event": deed.event,
        "commit_id": null,
        "commit_url": null,
        "created_at": deed.at.to_string(),
    });
    if let Some(label) = deed
        .label
        .as_deref()
        .and_then(|name| state.label_named(name))
    {
        shown["label"] = json!({ "name": label.name, "color": label.color });
    }
    shown
}

/// An issue as it is answered to whoever asks for it. Deliveries do not say what it is a part of
/// (GitHub's OpenAPI description, `webhooks_issue`).
pub(super) fn asked_issue(state: &State, of: &Issue) -> Value {
    let mut asked = issue(state, of);
    let parent = of.parent.map(|number| {
        format!(
            "https://api.github.com/repos/{}/issues/{number}",
            state.repo
        )
    });
    asked["parent_issue_url"] = json!(parent);
    asked
}

fn sub_issues_summary(state: &State, number: u64) -> Value {
    let parts = state.issues.values();
    let parts: Vec<_> = parts.filter(|part| part.parent == Some(number)).collect();
    let completed = parts.iter().filter(|part| !part.open).count();
    let percent = (completed * 100).checked_div(parts.len()).unwrap_or(0);
    json!({ "total": parts.len(), "completed": completed, "percent_completed": percent })
}

pub(super) fn comment(state: &State, comment: &Comment) -> Value {
    json!({
        "url": format!("https://api.github.com/repos/{}/issues/comments/{}", state.repo, comment.id),
        "html_url": format!(
            "https://github.com/{}/issues/{}#issuecomment-{}",
            state.repo, comment.issue, comment.id
        ),
        "issue_url": format!("https://api.github.com/repos/{}/issues/{}", state.repo, comment.issue),
        "id": comment.id,
        "node_id": format!("IC_{}", comment.id),
        "user": account(&comment.author),
        "created_at": comment.created_at.to_string(),
        "updated_at": comment.updated_at.to_string(),
        "author_association": "CONTRIBUTOR",
        "body": comment.body,
        "performed_via_github_app": null,
    })
}

pub(super) fn status(state: &State, status: &Status, creator: &str) -> Value {
    json!({
        "url": format!("https://api.github.com/repos/{}/statuses/{}", state.repo, status.sha),
        "id": state.statuses.len(),
        "state": status.state,
        "description": status.description,
        "target_url": status.target_url,
        "context": status.context,
        "created_at": state.now.to_string(),
        "updated_at": state.now.to_string(),
        "creator": account(creator),
    })
}

pub(super) fn permission(login: &str, role: &str) -> Value {
    // `permission` knows four words; `role_name` says what the role is really called.
    let permission = match role {
        "maintain" => "write",
        "triage" => "read",
        role => role,
    };
    json!({ "permission": permission, "role_name": role, "user": account(login) })
}

/// A branch that moved.
pub(super) struct PushedBranch<'a> {
    pub(super) branch: &'a str,
    pub(super) before: Option<&'a str>,
    pub(super) after: Option<&'a str>,
    pub(super) by: &'a str,
}

pub(super) fn push(state: &State, push: &PushedBranch<'_>) -> Value {
    let before = push.before.unwrap_or(NO_COMMIT);
    let after = push.after.unwrap_or(NO_COMMIT);
    let commit = push.after.map(|sha| {
        json!({
            "id": sha,
            "tree_id": sha,
            "distinct": true,
            "message": "A change",
            "timestamp": state.now.to_string(),
            "url": format!("https://github.com/{}/commit/{sha}", state.repo),
            "author": { "name": push.by, "email": format!("{}@example.com", push.by), "username": push.by },
            "committer": { "name": push.by, "email": format!("{}@example.com", push.by), "username": push.by },
            "added": [], "removed": [], "modified": ["README.md"],
        })
    });
    json!({
        "ref": format!("refs/heads/{}", push.branch),
        "before": before,
        "after": after,
        "repository": repository(state),
        "pusher": { "name": push.by, "email": format!("{}@example.com", push.by) },
        "sender": account(push.by),
        "created": push.before.is_none(),
        "deleted": push.after.is_none(),
        "forced": false,
        "base_ref": null,
        "compare": format!("https://github.com/{}/compare/{before}...{after}", state.repo),
        "commits": commit.iter().collect::<Vec<_>>(),
        "head_commit": commit,
    })
}

pub(super) fn ping(state: &State) -> Value {
    json!({
        "zen": "Responsive is better than fast.",
        "hook_id": 109_948_940,
        "hook": {
            "type": "Repository",
            "id": 109_948_940,
            "name": "web",
            "active": true,
            "events": ["issues", "push"],
            "config": { "content_type": "json", "insecure_ssl": "0", "secret": "********" },
        },
        "repository": repository(state),
        "sender": account("octo"),
    })
}
