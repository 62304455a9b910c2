//! What a forge tells huskies, reduced to what the core can act on. Every forge's payloads become
//! these; a delivery that huskies has no use for never reaches the core.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::dependency::Family;
use super::id::{BranchName, RepoName, Sha};

/// Something changed on an issue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IssueChange {
    pub number: u64,
    pub action: IssueAction,
    /// The account that did it, by login.
    pub sender: String,
    /// That account is a program (GitHub's type `Bot`).
    #[serde(default)]
    pub by_bot: bool,
    pub title: String,
    pub body: String,
    /// All labels after the change.
    pub labels: Vec<String>,
    /// When the forge says that the issue last changed.
    pub at: Timestamp,
    /// Closed, it was closed for another reason than that it is done.
    #[serde(default)]
    pub not_planned: bool,
    #[serde(default)]
    pub family: Family,
}

/// The issue actions that huskies acts on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "action", content = "label")]
pub enum IssueAction {
    Labeled(String),
    Unlabeled(String),
    Closed,
    Reopened,
    Edited,
}

/// A branch moved on the forge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Push {
    pub branch: BranchName,
    /// `None` when the push created the branch.
    pub before: Option<Sha>,
    /// `None` when the push deleted the branch.
    pub after: Option<Sha>,
    pub sender: String,
}

/// Somebody wrote a comment in the conversation of an issue or a pull request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Comment {
    pub id: u64,
    /// The issue, or the pull request, which forges count together.
    pub number: u64,
    pub on_pull_request: bool,
    pub sender: String,
    pub by_bot: bool,
    /// The issue's own text and labels, as they were then: a comment can start it.
    pub title: String,
    pub body: String,
    pub labels: Vec<String>,
    #[serde(default)]
    pub family: Family,
    /// When it was written.
    #[serde(default)]
    pub at: Option<Timestamp>,
}

/// What a comment says to huskies, by the rules of the room `command`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "said")]
pub enum Said {
    /// `/huskies WORD`, and what stands behind it.
    Command {
        command: Command,
        text: Option<String>,
    },
    /// Free text that is addressed to the agent, as Markdown.
    ToAgent { text: String },
    /// `/huskies WORD` with a word that is none of them. `alone`: it looks like none of them either,
    /// so that it may be the answer to a question.
    Unknown { word: String, alone: bool },
}

/// The words that `/huskies` knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    Start,
    Stop,
    Retry,
    Unblock,
    Merge,
    Approve,
    Confirm,
    Status,
    Help,
}

impl Command {
    pub const ALL: [Self; 9] = [
        Self::Start,
        Self::Stop,
        Self::Retry,
        Self::Unblock,
        Self::Merge,
        Self::Approve,
        Self::Confirm,
        Self::Status,
        Self::Help,
    ];

    pub fn word(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Retry => "retry",
            Self::Unblock => "unblock",
            Self::Merge => "merge",
            Self::Approve => "approve",
            Self::Confirm => "confirm",
            Self::Status => "status",
            Self::Help => "help",
        }
    }
}

/// A comment that can be reacted to, by the forge's number for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommentRef {
    pub thread: Thread,
    pub id: u64,
}

/// Where a comment is; forges count the two kinds apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Thread {
    /// The conversation of an issue or a pull request.
    Conversation,
    /// A line of a pull request's changes.
    Changes,
}

/// The branch and commit that a pull request wants merged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PullRequestHead {
    /// Where the branch is: another repository than the one the delivery is about is a fork.
    /// `None` when that is gone, or the payload does not say.
    pub repo: Option<RepoName>,
    /// `None` for a name that huskies does not work with.
    pub branch: Option<BranchName>,
    pub commit: Sha,
}

/// Something changed on a pull request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PullRequestChange {
    pub number: u64,
    pub action: PullRequestAction,
    pub head: PullRequestHead,
    /// The branch it wants to go to, and where that was.
    pub base: PullRequestBase,
    /// Who opened it.
    pub author: String,
    pub sender: String,
    pub by_bot: bool,
    pub title: String,
    pub body: String,
    pub labels: Vec<String>,
    pub draft: bool,
}

/// Where a pull request wants to go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PullRequestBase {
    pub branch: Option<BranchName>,
    pub commit: Option<Sha>,
}

/// The pull request actions that can matter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "action")]
pub enum PullRequestAction {
    Opened,
    Reopened,
    /// Its head moved to the commit in [`PullRequestChange::head`].
    Synchronized {
        before: Option<Sha>,
    },
    /// `merged`: the commit on the base, where it was merged.
    Closed {
        merged: Option<Sha>,
    },
    /// Title, body or base branch.
    Edited,
    Labeled {
        label: String,
    },
    Unlabeled {
        label: String,
    },
    ReadyForReview,
    ConvertedToDraft,
}

/// Somebody reviewed a pull request, or wrote at a line of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Review {
    /// The pull request's number.
    pub number: u64,
    pub head: PullRequestHead,
    pub kind: ReviewKind,
    pub sender: String,
    pub by_bot: bool,
    /// What was written, as Markdown; may be empty.
    pub text: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum ReviewKind {
    Submitted {
        verdict: Verdict,
        /// The commit that was looked at.
        commit: Option<Sha>,
    },
    Dismissed,
    /// At a line. `line` is `None` where the comment is about the file or an older version of it.
    Comment {
        id: u64,
        path: String,
        line: Option<u64>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Approved,
    ChangesRequested,
    Commented,
}

/// A check of somebody else came to an end on a commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckResult {
    pub kind: CheckKind,
    /// The forge's number for the check run or workflow run; statuses have none that helps.
    pub id: Option<u64>,
    /// The check's name, the workflow's, or the status's context.
    pub name: String,
    pub commit: Sha,
    /// The branch that it ran for, where it is known.
    pub branch: Option<BranchName>,
    pub outcome: CheckOutcome,
    /// Its own words about the outcome; may be empty.
    pub summary: String,
    /// Where people read more.
    pub url: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckKind {
    CheckRun,
    WorkflowRun,
    Status,
}

impl CheckResult {
    /// Where more can be read about it; a status is all that there is of one.
    pub fn source(&self) -> Option<CheckSource> {
        let (kind, id) = (self.kind, self.id?);
        match kind {
            CheckKind::CheckRun | CheckKind::WorkflowRun => Some(CheckSource { kind, id }),
            CheckKind::Status => None,
        }
    }
}

/// A check that has more to tell, by the forge's number for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckSource {
    pub kind: CheckKind,
    pub id: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckOutcome {
    Success,
    /// It failed, or ran out of time.
    Failure,
    /// Neither: skipped, cancelled, stale, waiting for a person.
    Neutral,
}

/// Checks are asked for: by GitHub for a new commit, or by a person who wants them again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckRequest {
    pub wanted: WantedCheck,
    pub commit: Sha,
    pub branch: Option<BranchName>,
    /// The App whose checks are meant, by GitHub's number.
    pub app: Option<u64>,
    pub sender: String,
    pub by_bot: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "wanted")]
pub enum WantedCheck {
    /// The first checks of a new commit.
    Suite { id: u64 },
    /// All checks of a commit again.
    SuiteAgain { id: u64 },
    /// One check again.
    RunAgain { id: u64, name: String },
    /// A button of a check run.
    Action { id: u64, action: String },
}

/// An App was installed somewhere, or what it may reach changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstallationChange {
    /// The installation's number, which tokens are made for.
    pub id: u64,
    /// The account that it is installed on.
    pub account: String,
    pub action: InstallationAction,
    /// Repositories that can be reached from now on; of a new installation all that were named.
    pub added: Vec<RepoName>,
    pub removed: Vec<RepoName>,
    pub sender: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InstallationAction {
    Created,
    Deleted,
    Suspended,
    Unsuspended,
    PermissionsAccepted,
    /// Only its repositories changed.
    Repositories,
}
