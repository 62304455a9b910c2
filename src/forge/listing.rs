//! What can be looked up in lists, for the forges that tell of it in deliveries.

use async_trait::async_trait;
use jiff::Timestamp;

use super::{ForgeError, Issue};
use crate::domain::delivery::{CheckResult, PullRequestChange, Review};
use crate::domain::id::{RepoName, Sha, StoryId};
use crate::domain::reconciliation::Deed;

/// Everything that is on a list, over all its pages. Like [`super::Forge`], it retries nothing.
#[async_trait]
pub trait Listing: Send + Sync {
    /// Issues and pull requests, those that changed longest ago first; and the time by the forge's
    /// clock when they were asked for.
    async fn issues(
        &self,
        repo: &RepoName,
        wanted: WantedIssues<'_>,
    ) -> Result<(Vec<ListedIssue>, Timestamp), ForgeError>;

    /// Who labelled or closed an issue, oldest first.
    async fn deeds(&self, issue: &StoryId) -> Result<Vec<Deed>, ForgeError>;

    /// As if each had just been opened.
    async fn open_pulls(&self, repo: &RepoName) -> Result<Vec<PullRequestChange>, ForgeError>;

    /// As if it had just been opened or closed; what a person closed says nobody.
    async fn pull_change(
        &self,
        repo: &RepoName,
        number: u64,
    ) -> Result<PullRequestChange, ForgeError>;

    /// Comments in conversations that were written or edited since.
    async fn comments_since(
        &self,
        repo: &RepoName,
        since: Timestamp,
    ) -> Result<Vec<ListedComment>, ForgeError>;

    /// Reviews of a pull request, and the comments at lines of it.
    async fn reviews_of(
        &self,
        repo: &RepoName,
        pull: &PullRequestChange,
    ) -> Result<Vec<ListedReview>, ForgeError>;

    /// The checks of others that failed on a commit, as it stands.
    async fn failed_checks(
        &self,
        repo: &RepoName,
        commit: &Sha,
    ) -> Result<Vec<CheckResult>, ForgeError>;
}

/// Which issues are wanted.
#[derive(Debug, Clone, Copy)]
pub enum WantedIssues<'a> {
    /// The open ones that carry a label.
    Labelled(&'a str),
    /// All that changed since.
    Since(Timestamp),
}

/// An issue or a pull request on a list.
#[derive(Debug, Clone)]
pub struct ListedIssue {
    pub number: u64,
    pub is_pull: bool,
    pub issue: Issue,
}

/// A comment, and the issue or pull request that it is in the conversation of.
#[derive(Debug, Clone)]
pub struct ListedComment {
    pub id: u64,
    pub number: u64,
    pub author: String,
    pub by_bot: bool,
    pub at: Timestamp,
    pub text: String,
}

#[derive(Debug, Clone)]
pub struct ListedReview {
    pub id: u64,
    pub review: Review,
}
