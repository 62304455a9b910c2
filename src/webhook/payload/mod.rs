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

use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_json::value::RawValue;

use super::{Content, DecodeError, ignored, printable};
use crate::domain::dependency::{Family, Parent};
use crate::domain::id::{BranchName, RepoName, Sha};

/// A JSON object whose parts are read when somebody wants them. Most of a payload is addresses that
/// nobody here asks for: to read all of it into values costs more than everything else about a
/// delivery but the disk.
pub(super) struct Document<'a> {
    body: &'a [u8],
    envelope: Envelope<'a>,
    action: Option<String>,
}

/// What all events have in common, of whatever type it is.
#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    action: Option<&'a RawValue>,
    #[serde(borrow)]
    sender: Option<&'a RawValue>,
    #[serde(borrow)]
    repository: Option<&'a RawValue>,
    #[serde(borrow)]
    label: Option<&'a RawValue>,
}

impl<'a> Document<'a> {
    pub(super) fn open(body: &'a [u8]) -> Result<Self, DecodeError> {
        // serde would take an array for a struct.
        if body.trim_ascii_start().first() != Some(&b'{') {
            return Err(DecodeError::malformed("it is not a JSON object"));
        }
        let envelope: Envelope<'a> = serde_json::from_slice(body)
            .map_err(|error| DecodeError::malformed(format!("it is not JSON: {error}")))?;
        Ok(Self {
            body,
            action: part(envelope.action),
            envelope,
        })
    }

    /// `repository.full_name`, where it could be a repository's name.
    pub(super) fn repository(&self) -> Option<RepoName> {
        #[derive(Deserialize)]
        struct Repository {
            full_name: String,
        }
        part::<Repository>(self.envelope.repository)?
            .full_name
            .parse()
            .ok()
    }

    fn label(&self) -> Option<String> {
        part::<Label>(self.envelope.label)?.name()
    }
}

/// A part of the envelope, if it is what it should be.
fn part<T: DeserializeOwned>(raw: Option<&RawValue>) -> Option<T> {
    serde_json::from_str(raw?.get()).ok()
}

/// Reads the payload of an event. Events that huskies has no use for are told by name alone.
pub(super) fn content(event: &str, payload: &Document<'_>) -> Result<Content, DecodeError> {
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

/// Who did it, or why the delivery is ignored.
fn sender(payload: &Document<'_>) -> Result<Result<Sender, Content>, DecodeError> {
    let sender = match payload.envelope.sender {
        Some(sender) => Option::<Account>::deserialize(sender)
            .map_err(|error| DecodeError::malformed(error.to_string()))?,
        None => None,
    };
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

fn action<'a>(payload: &'a Document<'_>) -> Result<&'a str, DecodeError> {
    payload
        .action
        .as_deref()
        .ok_or_else(|| DecodeError::malformed("`action` is missing"))
}

/// Something happened to `what` that huskies has no use for.
fn not_acted_on(what: &str, action: &str) -> Content {
    ignored(unacted(what, action))
}

fn unacted(what: &str, action: &str) -> String {
    let action = printable(action);
    format!("huskies does not act on {what} that are `{action}`")
}

/// What one event has beside the envelope.
fn read<T: DeserializeOwned>(payload: &Document<'_>) -> Result<T, DecodeError> {
    serde_json::from_slice(payload.body).map_err(|error| DecodeError::malformed(error.to_string()))
}

/// `parent_issue_url`, of whatever type it is: not every delivery has it.
#[derive(Default)]
enum ParentField {
    #[default]
    Absent,
    Null,
    At(String),
}

impl<'de> Deserialize<'de> for ParentField {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match Value::deserialize(deserializer)? {
            Value::Null => Self::Null,
            Value::String(address) => Self::At(address),
            Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => Self::Absent,
        })
    }
}

/// What an issue object says about the issues around it.
fn family(parent: &ParentField, summary: &Value, repo: Option<&RepoName>) -> Family {
    let parent = match (parent, repo) {
        (ParentField::At(address), Some(repo)) => Parent::at(address, repo),
        (ParentField::Null, _) => Parent::None,
        (ParentField::At(_), None) | (ParentField::Absent, _) => Parent::Unknown,
    };
    let total = summary["total"].as_u64();
    Family {
        parent,
        sub_issues: total.map(|total| total > 0),
    }
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
