//! A forge with pull requests that answers what a test tells it to. Nothing else of it is asked for.

use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use jiff::Timestamp;

use crate::domain::delivery::CommentRef;
use crate::domain::effect::Reaction;
use crate::domain::id::{BranchName, RepoName, Sha, StoryId};
use crate::domain::pull::Obstacles;
use crate::domain::work::TaskComment;
use crate::forge::{
    CheckId, CheckRun, CommentId, Forge, ForgeError, Issue, MergeAnswer, NewPull, OpenedPull,
    Permission, PullNow, PullRequests, PullText, Squash, Status,
};

type Answer<T> = Result<T, ForgeError>;

#[derive(Default)]
pub(super) struct Scripted(Mutex<Script>);

#[derive(Default)]
pub(super) struct Script {
    /// To whoever opens a pull request.
    pub(super) opened: Option<Answer<OpenedPull>>,
    /// How a pull request is.
    pub(super) now: Option<PullNow>,
    /// To whoever wants one merged.
    pub(super) merged: Option<MergeAnswer>,
    /// What was changed, in order.
    pub(super) changed: Vec<&'static str>,
}

impl Scripted {
    pub(super) fn script(&self) -> MutexGuard<'_, Script> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl PullRequests for Scripted {
    async fn open_pull(&self, _: &RepoName, _: &NewPull) -> Answer<OpenedPull> {
        self.script().opened.clone().expect("it is told")
    }

    async fn pull(&self, _: &RepoName, _: u64) -> Answer<PullNow> {
        Ok(self.script().now.clone().expect("it is told"))
    }

    async fn edit_pull(&self, _: &RepoName, _: u64, _: &PullText) -> Answer<()> {
        unreachable!("no test edits one")
    }

    async fn mark_ready(&self, _: &RepoName, _: u64) -> Answer<()> {
        self.script().changed.push("ready");
        Ok(())
    }

    async fn merge_pull(&self, _: &RepoName, _: u64, _: &Squash) -> Answer<MergeAnswer> {
        let mut script = self.script();
        script.changed.push("merge");
        Ok(script.merged.clone().expect("it is told"))
    }

    async fn obstacles(&self, _: &RepoName, _: (u64, &PullNow)) -> Answer<Obstacles> {
        Ok(Obstacles::default())
    }
}

#[async_trait]
impl Forge for Scripted {
    fn pull_requests(&self) -> Option<&dyn PullRequests> {
        Some(self)
    }

    async fn permission(&self, _: &RepoName, _: &str) -> Answer<Permission> {
        unreachable!("nobody is asked about")
    }

    async fn issue(&self, _: &StoryId) -> Answer<Issue> {
        unreachable!("no issue is read")
    }

    async fn comments(&self, _: &StoryId, _: Timestamp) -> Answer<Vec<TaskComment>> {
        unreachable!("no comment is read")
    }

    async fn find_comment(&self, _: &StoryId, _: &str) -> Answer<Option<CommentId>> {
        unreachable!("no comment is looked for")
    }

    async fn create_comment(&self, _: &StoryId, _: &str) -> Answer<CommentId> {
        unreachable!("no comment is made")
    }

    async fn update_comment(&self, _: &StoryId, _: &CommentId, _: &str) -> Answer<()> {
        unreachable!("no comment is edited")
    }

    async fn react(&self, _: &RepoName, _: CommentRef, _: Reaction) -> Answer<()> {
        unreachable!("no comment is reacted to")
    }

    async fn set_stage_label(&self, _: &StoryId, _: &str) -> Answer<()> {
        unreachable!("no label is set")
    }

    async fn remove_label(&self, _: &StoryId, _: &str) -> Answer<()> {
        unreachable!("no label is removed")
    }

    async fn set_status(&self, _: &RepoName, _: &Sha, _: &Status) -> Answer<()> {
        unreachable!("no status is set")
    }

    async fn put_check_run(
        &self,
        _: &RepoName,
        _: &Sha,
        _: (Option<&CheckId>, &CheckRun),
    ) -> Answer<CheckId> {
        unreachable!("no check run is put")
    }

    async fn default_branch(&self, _: &RepoName) -> Answer<Option<BranchName>> {
        unreachable!("the base branch is the clone's")
    }
}
