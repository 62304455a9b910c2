//! `issues`.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use super::{
    Document, Label, ParentField, action, family, names, or_default, read, sender, unacted,
};
use crate::domain::delivery::{IssueAction, IssueChange};
use crate::webhook::{Content, DecodeError, ignored};

#[derive(Deserialize)]
struct Issue {
    number: u64,
    #[serde(default, deserialize_with = "or_default")]
    title: String,
    #[serde(default, deserialize_with = "or_default")]
    body: String,
    #[serde(default, deserialize_with = "or_default")]
    labels: Vec<Label>,
    updated_at: Timestamp,
    /// Why it was closed: `completed`, `not_planned`, `duplicate`.
    #[serde(default)]
    state_reason: Option<String>,
    #[serde(default)]
    parent_issue_url: ParentField,
    #[serde(default)]
    sub_issues_summary: Value,
}

#[derive(Deserialize)]
struct Payload {
    issue: Issue,
}

pub(super) fn changed(payload: &Document<'_>) -> Result<Content, DecodeError> {
    let action = match issue_action(action(payload)?, payload.label()) {
        Ok(action) => action,
        Err(reason) => return Ok(ignored(reason)),
    };
    let Payload { issue } = read(payload)?;
    let sender = match sender(payload)? {
        Ok(sender) => sender,
        Err(ignored) => return Ok(ignored),
    };
    Ok(Content::Issue(IssueChange {
        number: issue.number,
        sender: sender.login,
        by_bot: sender.is_bot,
        title: issue.title,
        body: issue.body,
        labels: labels_after(&action, names(issue.labels)),
        at: issue.updated_at,
        not_planned: action == IssueAction::Closed
            && matches!(
                issue.state_reason.as_deref(),
                Some("not_planned" | "duplicate")
            ),
        family: family(
            &issue.parent_issue_url,
            &issue.sub_issues_summary,
            payload.repository().as_ref(),
        ),
        action,
    }))
}

/// The action, or why it is ignored. GitHub's schema allows a label event without a label.
fn issue_action(action: &str, label: Option<String>) -> Result<IssueAction, String> {
    let label = || label.ok_or("it does not say which label it is about");
    match action {
        "labeled" => Ok(IssueAction::Labeled(label()?)),
        "unlabeled" => Ok(IssueAction::Unlabeled(label()?)),
        "closed" => Ok(IssueAction::Closed),
        "reopened" => Ok(IssueAction::Reopened),
        "edited" => Ok(IssueAction::Edited),
        other => Err(unacted("issues", other)),
    }
}

/// GitHub lists the labels as they are after the change; other servers may send an issue without
/// them or from before it.
fn labels_after(action: &IssueAction, mut labels: Vec<String>) -> Vec<String> {
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
