//! The fields of GitHub's payloads that huskies uses; everything else may be there, be absent or
//! be new. GitHub-compatible servers send less than GitHub, so as little as possible is required.

use jiff::Timestamp;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::{Content, DecodeError, ignored, printable};
use crate::domain::delivery::{IssueAction, IssueChange, Push};
use crate::domain::id::Sha;

/// The account that GitHub shows for deleted ones.
const GHOST: &str = "ghost";

/// A field that some servers leave out and others send as null.
fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[derive(Deserialize)]
struct Account {
    login: String,
}

#[derive(Deserialize)]
struct Issue {
    number: u64,
    #[serde(default, deserialize_with = "or_default")]
    title: String,
    #[serde(default, deserialize_with = "or_default")]
    body: String,
    #[serde(default, deserialize_with = "or_default")]
    labels: Vec<Value>,
    updated_at: Timestamp,
}

#[derive(Deserialize)]
struct IssuesPayload {
    issue: Issue,
    sender: Option<Account>,
}

fn read<'a, T: Deserialize<'a>>(payload: &'a Value) -> Result<T, DecodeError> {
    T::deserialize(payload).map_err(|error| DecodeError::malformed(error.to_string()))
}

/// Reads an `issues` event. The action is looked at first: the payload of one that huskies does not
/// know may look like anything.
pub(super) fn issues(payload: &Value) -> Result<Content, DecodeError> {
    let Some(action) = payload.get("action").and_then(Value::as_str) else {
        return Err(DecodeError::malformed("`action` is missing"));
    };
    let action = match issue_action(action, payload.get("label")) {
        Ok(action) => action,
        Err(reason) => return Ok(ignored(reason)),
    };
    let IssuesPayload { issue, sender } = read(payload)?;
    let Some(Account { login: sender }) = sender.filter(|sender| !sender.login.is_empty()) else {
        return Ok(ignored(
            "it does not say who did it, so nobody's permission can be checked",
        ));
    };
    Ok(Content::Issue(IssueChange {
        number: issue.number,
        sender,
        title: issue.title,
        body: issue.body,
        labels: labels_after(&action, &issue.labels),
        at: issue.updated_at,
        action,
    }))
}

/// The action, or why it is ignored. GitHub's schema allows a label event without a label.
fn issue_action(action: &str, label: Option<&Value>) -> Result<IssueAction, String> {
    let label = || {
        let name = label
            .and_then(label_name)
            .ok_or("it does not say which label it is about")?;
        Ok::<String, String>(name.to_owned())
    };
    match action {
        "labeled" => Ok(IssueAction::Labeled(label()?)),
        "unlabeled" => Ok(IssueAction::Unlabeled(label()?)),
        "closed" => Ok(IssueAction::Closed),
        "reopened" => Ok(IssueAction::Reopened),
        "edited" => Ok(IssueAction::Edited),
        other => Err(format!(
            "huskies does not act on issues that are `{}`",
            printable(other)
        )),
    }
}

fn label_name(label: &Value) -> Option<&str> {
    label.get("name")?.as_str()
}

/// GitHub lists the labels as they are after the change; other servers may send an issue without
/// them or from before it.
fn labels_after(action: &IssueAction, labels: &[Value]) -> Vec<String> {
    let mut labels: Vec<String> = labels
        .iter()
        .filter_map(label_name)
        .map(str::to_owned)
        .collect();
    match action {
        IssueAction::Labeled(label) if !labels.contains(label) => labels.push(label.clone()),
        IssueAction::Unlabeled(label) => labels.retain(|kept| kept != label),
        IssueAction::Labeled(_)
        | IssueAction::Closed
        | IssueAction::Reopened
        | IssueAction::Edited => {}
    }
    labels
}

#[derive(Deserialize)]
struct Pusher {
    name: Option<String>,
}

#[derive(Deserialize)]
struct PushPayload {
    #[serde(rename = "ref")]
    reference: String,
    before: String,
    after: String,
    sender: Option<Account>,
    pusher: Option<Pusher>,
}

/// Reads a `push` event; tags and refs that are no branches are ignored.
pub(super) fn push(payload: &Value) -> Result<Content, DecodeError> {
    let PushPayload {
        reference,
        before,
        after,
        sender,
        pusher,
    } = read(payload)?;
    let Some(branch) = reference.strip_prefix("refs/heads/") else {
        return Ok(ignored(format!(
            "`{}` is not a branch",
            printable(&reference)
        )));
    };
    let Ok(branch) = branch.parse() else {
        let branch = printable(branch);
        return Ok(ignored(format!(
            "`{branch}` is not a branch name that huskies can work with"
        )));
    };
    let (before, after) = (commit(&before)?, commit(&after)?);
    if before.is_none() && after.is_none() {
        return Ok(ignored("the push neither begins nor ends at a commit"));
    }
    let sender = sender
        .map(|account| account.login)
        .or_else(|| pusher.and_then(|pusher| pusher.name))
        .unwrap_or_else(|| GHOST.to_owned());
    Ok(Content::Push(Push {
        branch,
        before,
        after,
        sender,
    }))
}

/// Forty zeros stand for "no commit": the branch was created or deleted.
fn commit(text: &str) -> Result<Option<Sha>, DecodeError> {
    if !text.is_empty() && text.bytes().all(|byte| byte == b'0') {
        return Ok(None);
    }
    text.parse()
        .map(Some)
        .map_err(|error| DecodeError::malformed(format!("{error}")))
}
