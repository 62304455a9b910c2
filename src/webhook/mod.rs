//! From the bytes of a GitHub delivery to something the core can act on: [`verify`] first, then
//! [`decode`].
//!
//! Pure and tolerant: payloads are read with structs that want only what huskies uses, events and
//! actions that huskies does not know are [`Content::Ignored`] (GitHub adds new ones), and nothing
//! in a payload can cause a panic. Not for: routes, sizes, storing, or deciding what follows.

mod payload;
mod signature;

use payload::Document;
pub use signature::{SignatureError, verify};

use crate::domain::delivery::{
    CheckRequest, CheckResult, Comment, InstallationChange, IssueChange, PullRequestChange, Push,
    Review,
};
use crate::domain::id::{DeliveryId, RepoName};
use crate::domain::text::visible_line;

/// The events whose payloads are read; all others are ignored.
pub const EVENTS: [&str; 13] = [
    "issues",
    "issue_comment",
    "push",
    "pull_request",
    "pull_request_review",
    "pull_request_review_comment",
    "check_suite",
    "check_run",
    "workflow_run",
    "status",
    "installation",
    "installation_repositories",
    "ping",
];

/// The headers of a delivery that matter for reading it, as they arrived.
#[derive(Debug, Clone, Copy, Default)]
pub struct DeliveryHeaders<'a> {
    /// `X-GitHub-Event`.
    pub event: Option<&'a str>,
    /// `X-GitHub-Delivery`: the same again when GitHub or a person sends a delivery again.
    pub delivery: Option<&'a str>,
    /// `Content-Type`.
    pub content_type: Option<&'a str>,
}

/// A delivery that could be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decoded {
    pub delivery: DeliveryId,
    /// Which repository it is about; `None` where the payload names none that could be one
    /// (installations, for example). Always there where [`Content::is_of_a_repository`].
    pub repo: Option<RepoName>,
    pub content: Content,
}

/// What a delivery says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    Issue(IssueChange),
    /// A new comment, and its Markdown.
    Comment {
        comment: Comment,
        text: String,
    },
    Push(Push),
    PullRequest(PullRequestChange),
    Review(Review),
    Check(CheckResult),
    CheckRequest(CheckRequest),
    Installation(InstallationChange),
    /// GitHub's greeting when a webhook is set up.
    Ping,
    /// Nothing that huskies acts on; `reason` says why, for the record.
    Ignored {
        reason: String,
    },
}

impl Content {
    /// Whether it means nothing without a repository.
    pub fn is_of_a_repository(&self) -> bool {
        match self {
            Self::Issue(_)
            | Self::Comment { .. }
            | Self::Push(_)
            | Self::PullRequest(_)
            | Self::Review(_)
            | Self::Check(_)
            | Self::CheckRequest(_) => true,
            Self::Installation(_) | Self::Ping | Self::Ignored { .. } => false,
        }
    }
}

/// Why a delivery could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Answer 415. GitHub's other choice, a form, is not read: its signature covers other bytes.
    #[error(
        "the delivery's content type is `{found}`; set the webhook's content type to \
         `application/json` in the repository's webhook settings"
    )]
    ContentType { found: String },
    /// Answer 400.
    #[error("the delivery has no usable `{name}` header")]
    Header { name: &'static str },
    /// Answer 400.
    #[error("the delivery cannot be read: {message}")]
    Malformed { message: String },
}

impl DecodeError {
    fn malformed(message: impl Into<String>) -> Self {
        Self::Malformed {
            message: message.into(),
        }
    }
}

/// Reads a delivery whose signature was verified.
pub fn decode(headers: &DeliveryHeaders<'_>, body: &[u8]) -> Result<Decoded, DecodeError> {
    check_content_type(headers.content_type)?;
    let event = headers
        .event
        .filter(|event| !event.is_empty())
        .ok_or(DecodeError::Header {
            name: "X-GitHub-Event",
        })?;
    let delivery = headers
        .delivery
        .and_then(|id| id.parse().ok())
        .ok_or(DecodeError::Header {
            name: "X-GitHub-Delivery",
        })?;
    let payload = Document::open(body)?;
    let content = payload::content(event, &payload)?;
    let repo = payload.repository();
    if repo.is_none() && content.is_of_a_repository() {
        return Err(DecodeError::malformed(
            "`repository.full_name` is no repository's name",
        ));
    }
    Ok(Decoded {
        delivery,
        repo,
        content,
    })
}

/// `application/json`, with or without parameters, in any case (RFC 9110, 8.3.1).
fn check_content_type(content_type: Option<&str>) -> Result<(), DecodeError> {
    let found = content_type.unwrap_or_default();
    let essence = found.split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case("application/json") {
        Ok(())
    } else {
        Err(DecodeError::ContentType {
            found: printable(found),
        })
    }
}

fn ignored(reason: impl Into<String>) -> Content {
    Content::Ignored {
        reason: reason.into(),
    }
}

/// A sender's word, made fit for a log line or an answer.
fn printable(text: &str) -> String {
    visible_line(text).chars().take(80).collect()
}

#[cfg(test)]
mod examples;
#[cfg(test)]
mod tests;
