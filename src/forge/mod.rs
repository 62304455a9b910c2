//! What huskies reads from and writes to a forge about issues and commits, behind one trait:
//! [`Github`] (and what is compatible with it) and the built-in [`LocalForge`].
//!
//! Every call is one short piece of work that either happened or says in its error when to try it
//! again; nothing here retries or remembers what it wrote. A write may wait for its turn, where the
//! forge wants changes one by one. Not for: what a report says, git
//! transport, webhooks.

pub mod calls;
mod check;
mod error;
mod github;
mod health;
mod links;
mod listing;
mod local;
mod pulls;

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::domain::delivery::{CheckSource, CommentRef};
use crate::domain::dependency::{Family, IssueState};
use crate::domain::effect::Reaction;
pub use crate::domain::effect::StatusState;
use crate::domain::id::{BranchName, RepoName, Sha, StoryId};
pub use crate::domain::story::{MARKER_PREFIX, STAGE_PREFIX};
use crate::domain::work::TaskComment;

pub use check::{Annotation, CheckId, CheckRun, CheckState, Conclusion, Level};
pub use error::{ForgeError, RetryWhen};
pub use github::{
    Access, AppSettings, AskedAgain, Credentials, EVENTS, Github, GithubSettings, Grant,
    InvalidSettings, Made, NEEDS, Need, NewApp, NewHook, NewLabel, TokenKind, app_manifest,
};
pub use health::Health;
pub use links::{read_links, see_needs};
pub use listing::{ListedComment, ListedIssue, ListedReview, Listing, WantedIssues};
pub use local::{Clock, LocalComment, LocalForge, LocalIssue, LocalStatus};
pub use pulls::{
    MergeAnswer, Mergeable, NewPull, OpenedPull, PullNow, PullRequests, PullStage, PullText, Squash,
};

/// The longest comment that GitHub takes, in characters; the local forge takes no longer ones.
pub const LONGEST_COMMENT: usize = 65_536;

/// The most of a check's log that is handed on, in bytes: as much as of a failed gate's output.
pub const LONGEST_LOG: usize = crate::domain::story::FAILURE_BYTES;

/// A forge, as the executor sees it.
#[async_trait]
pub trait Forge: Send + Sync {
    /// How it is, as far as the last requests tell; one that is not away has nothing to tell.
    fn health(&self) -> Health {
        Health::Well
    }

    /// The pull requests of a forge that has any.
    fn pull_requests(&self) -> Option<&dyn PullRequests> {
        None
    }

    /// What can be looked up, on a forge that does not tell everything by itself.
    fn listing(&self) -> Option<&dyn Listing> {
        None
    }

    /// What `login` may do. [`Permission::None`] for accounts that the forge does not know.
    async fn permission(&self, repo: &RepoName, login: &str) -> Result<Permission, ForgeError>;

    async fn issue(&self, story: &StoryId) -> Result<Issue, ForgeError>;

    /// The sub-issues of an issue, in their order; none where the forge knows none.
    async fn sub_issues(&self, story: &StoryId) -> Result<Vec<SubIssue>, ForgeError>;

    /// The comments as they were at `until`, oldest first: those written by then, without huskies'
    /// own (told by [`MARKER_PREFIX`]) and without those that were edited later, whose text of
    /// that time is gone.
    async fn comments(
        &self,
        story: &StoryId,
        until: Timestamp,
    ) -> Result<Vec<TaskComment>, ForgeError>;

    /// The oldest comment of huskies' own account that begins with `marker`. Comments of others
    /// that begin with it do not count: anybody can copy a marker.
    async fn find_comment(
        &self,
        story: &StoryId,
        marker: &str,
    ) -> Result<Option<CommentId>, ForgeError>;

    async fn create_comment(&self, story: &StoryId, body: &str) -> Result<CommentId, ForgeError>;

    /// Replaces a comment's text; [`ForgeError::NotFound`] when a person deleted it.
    async fn update_comment(
        &self,
        story: &StoryId,
        comment: &CommentId,
        body: &str,
    ) -> Result<(), ForgeError>;

    /// Reacts to a comment; the same reaction again changes nothing.
    async fn react(
        &self,
        repo: &RepoName,
        comment: CommentRef,
        reaction: Reaction,
    ) -> Result<(), ForgeError>;

    /// Makes `stage:<stage>` the issue's only `stage:` label and leaves the others alone. Writes
    /// nothing when it is so already.
    async fn set_stage_label(&self, story: &StoryId, stage: &str) -> Result<(), ForgeError>;

    /// Takes a label off; one that is not there is fine.
    async fn remove_label(&self, story: &StoryId, label: &str) -> Result<(), ForgeError>;

    /// Adds a commit status. The description is cut to what forges take.
    async fn set_status(
        &self,
        repo: &RepoName,
        commit: &Sha,
        status: &Status,
    ) -> Result<(), ForgeError>;

    /// Whether it has check runs, and the credentials may write them.
    fn takes_check_runs(&self) -> bool {
        false
    }

    /// Makes a check run of a commit what it should be, whatever it was: the one that is `known`,
    /// else the one with the same name and id, else a new one.
    async fn put_check_run(
        &self,
        repo: &RepoName,
        commit: &Sha,
        check: (Option<&CheckId>, &CheckRun),
    ) -> Result<CheckId, ForgeError>;

    /// The part of a check's log that says why it failed, cut to [`LONGEST_LOG`]; `None` where there
    /// is none, or it is gone.
    async fn failing_part(
        &self,
        _repo: &RepoName,
        _check: CheckSource,
    ) -> Result<Option<String>, ForgeError> {
        Ok(None)
    }

    /// The branch that changes go to unless somebody says otherwise; `None` when the forge does not
    /// keep one.
    async fn default_branch(&self, repo: &RepoName) -> Result<Option<BranchName>, ForgeError>;
}

/// What an account may do in a repository, the most first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Permission {
    Admin,
    Maintain,
    Write,
    Triage,
    Read,
    None,
}

impl Permission {
    /// Whether it is enough to start, stop and approve things.
    pub fn can_write(self) -> bool {
        match self {
            Self::Admin | Self::Maintain | Self::Write => true,
            Self::Triage | Self::Read | Self::None => false,
        }
    }
}

/// An issue as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issue {
    pub title: String,
    /// Empty when nothing was written.
    pub body: String,
    pub labels: Vec<String>,
    pub open: bool,
    /// Closed, it was closed for another reason than that it is done.
    pub not_planned: bool,
    pub family: Family,
    /// When anything about it last changed, comments included.
    pub updated_at: Timestamp,
}

impl Issue {
    /// How it is for those that wait for it.
    pub fn state(&self) -> IssueState {
        match (self.open, self.not_planned) {
            (true, _) => IssueState::Open,
            (false, false) => IssueState::Completed,
            (false, true) => IssueState::NotPlanned,
        }
    }
}

/// A part of an issue, which may be in another repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubIssue {
    pub issue: StoryId,
    pub title: String,
    pub state: IssueState,
    /// When anything about it last changed.
    pub updated_at: Timestamp,
}

/// A forge's name for a comment. Opaque: only the forge that gave it knows what it means.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct CommentId(pub String);

/// A commit status to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Tells statuses of one commit apart: `huskies/gates`.
    pub context: String,
    pub state: StatusState,
    pub description: String,
    /// `http` or `https`; GitHub refuses others.
    pub target_url: Option<String>,
}

impl Status {
    /// The longest description that GitHub takes, in characters. Not in its OpenAPI description;
    /// longer ones are answered 422 "description is too long (maximum is 140 characters)".
    pub const LONGEST_DESCRIPTION: usize = 140;

    /// The description in one line, cut to [`Self::LONGEST_DESCRIPTION`] with `…` at the cut.
    pub fn short_description(&self) -> String {
        let line = self
            .description
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ");
        if line.chars().count() <= Self::LONGEST_DESCRIPTION {
            return line;
        }
        let kept: String = line.chars().take(Self::LONGEST_DESCRIPTION - 1).collect();
        format!("{}…", kept.trim_end())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn described(description: &str) -> String {
        let description = description.to_owned();
        let status = Status {
            context: "huskies/gates".to_owned(),
            state: StatusState::Failure,
            description,
            target_url: None,
        };
        status.short_description()
    }

    #[test]
    fn a_description_is_cut_by_characters_not_bytes() {
        assert_eq!(described("2 of 3 gates passed"), "2 of 3 gates passed");
        let fits = "é".repeat(140);
        assert_eq!(described(&fits), fits);
        let cut = described(&"é".repeat(141));
        assert_eq!((cut.chars().count(), cut.ends_with("é…")), (140, true));
    }

    #[test]
    fn a_description_is_one_line() {
        assert_eq!(described("failed:\n  test_a\r\n"), "failed: test_a");
    }

    #[test]
    fn only_three_roles_can_write() {
        use Permission::{Admin, Maintain, None, Read, Triage, Write};
        assert_eq!(
            [Admin, Maintain, Write].map(Permission::can_write),
            [true; 3]
        );
        assert_eq!([Triage, Read, None].map(Permission::can_write), [false; 3]);
    }
}
