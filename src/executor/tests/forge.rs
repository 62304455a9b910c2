//! A forge with pull requests and check runs that answers what a test tells it to. Nothing else of it is asked for.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use jiff::Timestamp;

use super::{World, repo};
use crate::domain::delivery::CommentRef;
use crate::domain::effect::Reaction;
use crate::domain::id::{BranchName, RepoName, Sha, StoryId};
use crate::domain::pull::Obstacles;
use crate::domain::work::TaskComment;
use crate::forge::{
    CheckId, CheckRun, CommentId, Forge, ForgeError, Issue, MergeAnswer, NewPull, OpenedPull,
    Permission, PullNow, PullRequests, PullText, Squash, Status, SubIssue,
};

type Answer<T> = Result<T, ForgeError>;

/// A world whose forge it is.
pub(super) async fn served() -> (World, Arc<Scripted>) {
    let mut world = World::new().await;
    let forge = Arc::new(Scripted::default());
    let repo = world.context.adapters.repos.get_mut(&repo()).unwrap();
    repo.forge = Arc::clone(&forge) as Arc<dyn Forge>;
    (world, forge)
}

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
    /// To whoever puts a check run.
    pub(super) put: Option<Answer<CheckId>>,
    /// What was changed, in order.
    pub(super) changed: Vec<String>,
}

impl Scripted {
    pub(super) fn script(&self) -> MutexGuard<'_, Script> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn changed(&self, what: &str) {
        self.script().changed.push(what.to_owned());
    }

    /// What was changed since it was last asked for.
    pub(super) fn take_changed(&self) -> Vec<String> {
        std::mem::take(&mut self.script().changed)
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

    async fn edit_pull(&self, _: &RepoName, _: u64, text: &PullText) -> Answer<()> {
        self.changed(&text.title);
        Ok(())
    }

    async fn mark_ready(&self, _: &RepoName, _: u64) -> Answer<()> {
        self.changed("ready");
        Ok(())
    }

    async fn merge_pull(&self, _: &RepoName, _: u64, _: &Squash) -> Answer<MergeAnswer> {
        self.changed("merge");
        Ok(self.script().merged.clone().expect("it is told"))
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

    fn takes_check_runs(&self) -> bool {
        true
    }

    async fn permission(&self, _: &RepoName, _: &str) -> Answer<Permission> {
        unreachable!("nobody is asked about")
    }

    async fn issue(&self, _: &StoryId) -> Answer<Issue> {
        unreachable!("no issue is read")
    }

    async fn sub_issues(&self, _: &StoryId) -> Answer<Vec<SubIssue>> {
        unreachable!("no sub-issue is read")
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
        (known, _): (Option<&CheckId>, &CheckRun),
    ) -> Answer<CheckId> {
        let known = known.map_or("a new check", |known| known.0.as_str());
        self.changed(known);
        self.script().put.clone().expect("it is told")
    }

    async fn default_branch(&self, _: &RepoName) -> Answer<Option<BranchName>> {
        unreachable!("the base branch is the clone's")
    }
}
