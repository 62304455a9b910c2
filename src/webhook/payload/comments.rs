//! `issue_comment`: the conversation of issues and of pull requests.
//!
//! Only a new comment counts. An edit does not say again what was said, and whoever reads the
//! conversation afterwards could not see what an edited command had done.

use jiff::Timestamp;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use super::{
    Document, Label, ParentField, action, family, names, not_acted_on, or_default, read, sender,
};
use crate::domain::delivery::Comment;
use crate::webhook::{Content, DecodeError};

#[derive(Deserialize)]
struct Issue {
    number: u64,
    #[serde(default, deserialize_with = "or_default")]
    title: String,
    #[serde(default, deserialize_with = "or_default")]
    body: String,
    #[serde(default, deserialize_with = "or_default")]
    labels: Vec<Label>,
    /// There when the issue is a pull request.
    pull_request: Option<IgnoredAny>,
    #[serde(default)]
    parent_issue_url: ParentField,
    #[serde(default)]
    sub_issues_summary: Value,
}

#[derive(Deserialize)]
struct Written {
    id: u64,
    #[serde(default, deserialize_with = "or_default")]
    body: String,
    #[serde(default)]
    created_at: Option<Timestamp>,
}

#[derive(Deserialize)]
struct Payload {
    issue: Issue,
    comment: Written,
}

pub(super) fn written(payload: &Document<'_>) -> Result<Content, DecodeError> {
    match action(payload)? {
        "created" => {}
        other => return Ok(not_acted_on("comments", other)),
    }
    let Payload { issue, comment } = read(payload)?;
    let sender = match sender(payload)? {
        Ok(sender) => sender,
        Err(ignored) => return Ok(ignored),
    };
    Ok(Content::Comment {
        comment: Comment {
            id: comment.id,
            number: issue.number,
            on_pull_request: issue.pull_request.is_some(),
            sender: sender.login,
            by_bot: sender.is_bot,
            title: issue.title,
            body: issue.body,
            labels: names(issue.labels),
            family: family(
                &issue.parent_issue_url,
                &issue.sub_issues_summary,
                payload.repository().as_ref(),
            ),
            at: comment.created_at,
        },
        text: comment.body,
    })
}
