//! Pull requests, for the forges that have them.

use async_trait::async_trait;

use super::ForgeError;
use crate::domain::id::{BranchName, RepoName, Sha};
use crate::domain::pull::Obstacles;

/// What opens, keeps up to date and merges pull requests. Like [`super::Forge`], it retries nothing.
#[async_trait]
pub trait PullRequests: Send + Sync {
    /// Opens one, unless one of huskies' own account is open for that branch: then it is that one.
    async fn open_pull(&self, repo: &RepoName, wanted: &NewPull) -> Result<OpenedPull, ForgeError>;

    async fn pull(&self, repo: &RepoName, number: u64) -> Result<PullNow, ForgeError>;

    async fn edit_pull(
        &self,
        repo: &RepoName,
        number: u64,
        text: &PullText,
    ) -> Result<(), ForgeError>;

    /// Makes a draft ready for review; one that is no draft stays as it is.
    async fn mark_ready(&self, repo: &RepoName, number: u64) -> Result<(), ForgeError>;

    /// Squashes it onto its base, if its head is the one of `squash`. After
    /// [`ForgeError::Unavailable`] it may be merged or not: [`Self::pull`] tells.
    async fn merge_pull(
        &self,
        repo: &RepoName,
        number: u64,
        squash: &Squash,
    ) -> Result<MergeAnswer, ForgeError>;

    /// Why a pull request is not merged, as far as huskies may see that. `said` is left as it is.
    async fn obstacles(
        &self,
        repo: &RepoName,
        (number, pull): (u64, &PullNow),
    ) -> Result<Obstacles, ForgeError>;
}

/// Title and text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PullText {
    pub title: String,
    pub body: String,
}

/// What is to be opened.
#[derive(Debug, Clone)]
pub struct NewPull {
    pub head: BranchName,
    pub base: BranchName,
    pub text: PullText,
    /// Its title where the forge has no drafts.
    pub title_without_draft: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenedPull {
    pub number: u64,
    /// The forge has no drafts for this repository.
    pub plain: bool,
}

/// A pull request as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PullNow {
    pub stage: PullStage,
    pub head: Sha,
    pub base: String,
    pub draft: bool,
    pub mergeable: Mergeable,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PullStage {
    Open,
    Closed,
    Merged {
        commit: Sha,
        /// By huskies' own account.
        by_us: bool,
    },
}

/// Whether it can be merged, as far as the forge has found that out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mergeable {
    Yes,
    /// The rules of the base branch forbid it for now.
    Blocked,
    /// The rules want it to contain the base's tip.
    Behind,
    /// It conflicts with the base.
    Conflict,
    /// It is being found out, or the forge has a new word for something.
    Unknown,
}

/// How it is merged.
#[derive(Debug, Clone)]
pub struct Squash {
    pub head: Sha,
    pub title: String,
    pub message: String,
}

/// What the forge said to a merge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MergeAnswer {
    Merged {
        commit: Sha,
    },
    /// The rules of the base branch forbid it for now.
    NotAllowed {
        message: String,
    },
    /// Its head is another commit by now, or the base moved meanwhile.
    Moved {
        message: String,
    },
    /// The account may not merge here at all.
    Forbidden {
        message: String,
    },
    /// The forge will never do that.
    Refused {
        message: String,
    },
}
