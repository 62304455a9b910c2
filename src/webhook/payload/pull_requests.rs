//! `pull_request`, `pull_request_review` and `pull_request_review_comment`.

use serde::Deserialize;

use super::{
    Account, Document, Label, action, branch, commit, names, not_acted_on, or_default, read, sender,
};
use crate::domain::delivery::{
    PullRequestAction, PullRequestBase, PullRequestChange, PullRequestHead, Review, ReviewKind,
    Verdict,
};
use crate::webhook::{Content, DecodeError, ignored, printable};

#[derive(Deserialize)]
struct Repository {
    full_name: Option<String>,
}

#[derive(Deserialize)]
struct Side {
    #[serde(rename = "ref")]
    branch: Option<String>,
    sha: Option<String>,
    /// Null when a fork was deleted.
    repo: Option<Repository>,
}

#[derive(Deserialize)]
struct PullRequest {
    number: u64,
    #[serde(default, deserialize_with = "or_default")]
    title: String,
    #[serde(default, deserialize_with = "or_default")]
    body: String,
    #[serde(default, deserialize_with = "or_default")]
    labels: Vec<Label>,
    #[serde(default, deserialize_with = "or_default")]
    draft: bool,
    /// Left out of the pull request in a review's payload.
    #[serde(default, deserialize_with = "or_default")]
    merged: bool,
    merge_commit_sha: Option<String>,
    user: Option<Account>,
    head: Side,
    base: Option<Side>,
}

impl PullRequest {
    fn head(&self) -> Result<PullRequestHead, DecodeError> {
        let repo = self.head.repo.as_ref();
        Ok(PullRequestHead {
            repo: repo.and_then(|repo| repo.full_name.as_ref()?.parse().ok()),
            branch: branch(self.head.branch.as_deref()),
            commit: commit(self.head.sha.as_deref().unwrap_or_default())?,
        })
    }

    fn base(&self) -> PullRequestBase {
        let base = self.base.as_ref();
        PullRequestBase {
            branch: branch(base.and_then(|base| base.branch.as_deref())),
            commit: base.and_then(|base| base.sha.as_ref()?.parse().ok()),
        }
    }
}

#[derive(Deserialize)]
struct Changed {
    pull_request: PullRequest,
    label: Option<Label>,
    before: Option<String>,
}

pub(super) fn changed(payload: &Document<'_>) -> Result<Content, DecodeError> {
    let name = action(payload)?;
    let known = [
        "opened",
        "reopened",
        "synchronize",
        "closed",
        "edited",
        "labeled",
        "unlabeled",
        "ready_for_review",
        "converted_to_draft",
    ];
    if !known.contains(&name) {
        return Ok(not_acted_on("pull requests", name));
    }
    let Changed {
        pull_request: pull,
        label,
        before,
    } = read(payload)?;
    let label = label.and_then(Label::name);
    let Some(action) = pull_request_action(name, &pull, (label, before)) else {
        return Ok(ignored("it does not say which label it is about"));
    };
    let sender = match sender(payload)? {
        Ok(sender) => sender,
        Err(ignored) => return Ok(ignored),
    };
    Ok(Content::PullRequest(PullRequestChange {
        number: pull.number,
        action,
        head: pull.head()?,
        base: pull.base(),
        author: pull.user.map(|user| user.login).unwrap_or_default(),
        sender: sender.login,
        by_bot: sender.is_bot,
        title: pull.title,
        body: pull.body,
        labels: names(pull.labels),
        draft: pull.draft,
    }))
}

/// One of the actions that are known by name; `None` for a label event without a label.
fn pull_request_action(
    name: &str,
    pull: &PullRequest,
    (label, before): (Option<String>, Option<String>),
) -> Option<PullRequestAction> {
    Some(match name {
        "opened" => PullRequestAction::Opened,
        "reopened" => PullRequestAction::Reopened,
        "synchronize" => PullRequestAction::Synchronized {
            before: before.and_then(|sha| sha.parse().ok()),
        },
        "closed" => PullRequestAction::Closed {
            // GitHub names a commit also where it only tried the merge.
            merged: pull
                .merge_commit_sha
                .as_ref()
                .filter(|_| pull.merged)
                .and_then(|sha| sha.parse().ok()),
        },
        "labeled" => PullRequestAction::Labeled { label: label? },
        "unlabeled" => PullRequestAction::Unlabeled { label: label? },
        "ready_for_review" => PullRequestAction::ReadyForReview,
        "converted_to_draft" => PullRequestAction::ConvertedToDraft,
        _ => PullRequestAction::Edited,
    })
}

#[derive(Deserialize)]
struct Submitted {
    #[serde(default, deserialize_with = "or_default")]
    body: String,
    #[serde(default, deserialize_with = "or_default")]
    state: String,
    commit_id: Option<String>,
}

#[derive(Deserialize)]
struct Reviewed {
    review: Submitted,
    pull_request: PullRequest,
}

pub(super) fn reviewed(payload: &Document<'_>) -> Result<Content, DecodeError> {
    let name = action(payload)?;
    if !matches!(name, "submitted" | "dismissed") {
        return Ok(not_acted_on("reviews", name));
    }
    let Reviewed {
        review,
        pull_request,
    } = read(payload)?;
    let kind = if name == "dismissed" {
        ReviewKind::Dismissed
    } else {
        // Webhooks write it in small letters, the API in capitals.
        let verdict = match review.state.to_ascii_lowercase().as_str() {
            "approved" => Verdict::Approved,
            "changes_requested" => Verdict::ChangesRequested,
            "commented" => Verdict::Commented,
            other => {
                return Ok(ignored(format!(
                    "huskies does not know what a review says that is `{}`",
                    printable(other)
                )));
            }
        };
        let commit = review.commit_id.and_then(|sha| sha.parse().ok());
        ReviewKind::Submitted { verdict, commit }
    };
    review_of(payload, &pull_request, (kind, review.body))
}

#[derive(Deserialize)]
struct LineComment {
    id: u64,
    #[serde(default, deserialize_with = "or_default")]
    body: String,
    #[serde(default, deserialize_with = "or_default")]
    path: String,
    /// Null once the line is outdated; older servers leave it out.
    line: Option<u64>,
}

#[derive(Deserialize)]
struct Commented {
    comment: LineComment,
    pull_request: PullRequest,
}

pub(super) fn commented(payload: &Document<'_>) -> Result<Content, DecodeError> {
    match action(payload)? {
        "created" => {}
        other => return Ok(not_acted_on("review comments", other)),
    }
    let Commented {
        comment,
        pull_request,
    } = read(payload)?;
    let kind = ReviewKind::Comment {
        id: comment.id,
        path: comment.path,
        line: comment.line,
    };
    review_of(payload, &pull_request, (kind, comment.body))
}

fn review_of(
    payload: &Document<'_>,
    pull: &PullRequest,
    (kind, text): (ReviewKind, String),
) -> Result<Content, DecodeError> {
    let sender = match sender(payload)? {
        Ok(sender) => sender,
        Err(ignored) => return Ok(ignored),
    };
    Ok(Content::Review(Review {
        number: pull.number,
        head: pull.head()?,
        kind,
        sender: sender.login,
        by_bot: sender.is_bot,
        text,
    }))
}
