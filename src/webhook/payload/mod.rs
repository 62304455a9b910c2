//! The fields of GitHub's payloads that huskies uses, a file for each family of events; everything
//! else may be there, be absent or be new. GitHub-compatible servers send less than GitHub, so as
//! little as possible is required. The action is looked at first: the payload of one that huskies
//! does not know may look like anything.

mod checks;
mod comments;
mod installations;
mod issues;
mod pull_requests;
mod pushes;

use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::{Content, DecodeError, ignored, printable};
use crate::domain::id::{BranchName, Sha};

/// Reads the payload of an event. Events that huskies has no use for are told by name alone.
pub(super) fn content(event: &str, payload: &Value) -> Result<Content, DecodeError> {
    match event {
        "issues" => issues::changed(payload),
        "issue_comment" => comments::written(payload),
        "push" => pushes::pushed(payload),
        "pull_request" => pull_requests::changed(payload),
        "pull_request_review" => pull_requests::reviewed(payload),
        "pull_request_review_comment" => pull_requests::commented(payload),
        "check_suite" => checks::suite(payload),
        "check_run" => checks::run(payload),
        "workflow_run" => checks::workflow(payload),
        "status" => checks::status(payload),
        "installation" => installations::changed(payload),
        "installation_repositories" => installations::repositories_changed(payload),
        "ping" => Ok(Content::Ping),
        other => Ok(ignored(format!(
            "huskies does not use `{}` events",
            printable(other)
        ))),
    }
}

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
    #[serde(default, deserialize_with = "or_default")]
    login: String,
    /// `User`, `Bot`, `Organization`. Not every program's login ends with `[bot]`.
    #[serde(default, rename = "type", deserialize_with = "or_default")]
    kind: String,
}

/// Who did something.
struct Sender {
    login: String,
    is_bot: bool,
}

#[derive(Deserialize)]
struct Sent {
    sender: Option<Account>,
}

/// Who did it, or why the delivery is ignored.
fn sender(payload: &Value) -> Result<Result<Sender, Content>, DecodeError> {
    let Sent { sender } = read(payload)?;
    Ok(match sender {
        Some(Account { login, kind }) if !login.is_empty() => Ok(Sender {
            is_bot: kind == "Bot" || login.ends_with("[bot]"),
            login,
        }),
        Some(_) | None => Err(ignored(
            "it does not say who did it, so nobody's permission can be checked",
        )),
    })
}

fn action(payload: &Value) -> Result<&str, DecodeError> {
    payload
        .get("action")
        .and_then(Value::as_str)
        .ok_or_else(|| DecodeError::malformed("`action` is missing"))
}

/// Something happened to `what` that huskies has no use for.
fn not_acted_on(what: &str, action: &str) -> Content {
    ignored(format!(
        "huskies does not act on {what} that are `{}`",
        printable(action)
    ))
}

fn read<'a, T: Deserialize<'a>>(payload: &'a Value) -> Result<T, DecodeError> {
    T::deserialize(payload).map_err(|error| DecodeError::malformed(error.to_string()))
}

/// A label; what is none is read over.
#[derive(Deserialize)]
#[serde(untagged)]
enum Label {
    Named { name: String },
    Other(IgnoredAny),
}

impl Label {
    fn name(self) -> Option<String> {
        match self {
            Self::Named { name } => Some(name),
            Self::Other(IgnoredAny) => None,
        }
    }
}

fn names(labels: Vec<Label>) -> Vec<String> {
    labels.into_iter().filter_map(Label::name).collect()
}

/// Forty zeros stand for "no commit": the branch was created or deleted.
fn commit_or_none(text: &str) -> Result<Option<Sha>, DecodeError> {
    if !text.is_empty() && text.bytes().all(|byte| byte == b'0') {
        return Ok(None);
    }
    commit(text).map(Some)
}

fn commit(text: &str) -> Result<Sha, DecodeError> {
    text.parse()
        .map_err(|error| DecodeError::malformed(format!("{error}")))
}

/// A branch of a name that huskies can work with.
fn branch(name: Option<&str>) -> Option<BranchName> {
    name?.parse().ok()
}
