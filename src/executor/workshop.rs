//! What the executor asks of one project's repositories: branches, worktrees, checkouts, merging
//! and landing. [`Repository`] does it with git; a simulation does it in memory.
//!
//! Every call may be repeated after a crash at any point, as [`Repository`] documents it. Not for:
//! deciding what follows.

use std::path::{Path, PathBuf};

use async_trait::async_trait;

use crate::domain::id::{Attempt, BranchName, Sha, StoryId};
use crate::domain::work::{Candidate, Collected};
use crate::git::{
    BaseTip, Built, CandidateSpec, CollectSpec, GitError, Landing, Pushed, Reach, Repository,
    Retirement, Stray, Worktree, WorktreeSpec,
};
use crate::hook;

type Result<T> = std::result::Result<T, GitError>;

/// A project's repositories, as the executor sees them.
#[async_trait]
pub trait Workshop: Send + Sync {
    /// Brings in the base branch and says where it is; `None`: whichever the project has as such.
    async fn sync_base(&self, configured: Option<&BranchName>) -> Result<BaseTip>;
    /// Brings in a commit that is no story's.
    async fn fetch_head(&self, commit: &Sha) -> Result<()>;
    /// The content of a file as of `commit`, if it is there.
    async fn read_file(&self, commit: &Sha, path: &str) -> Result<Option<Vec<u8>>>;
    /// The paths that `commit` changed since it parted from `base`.
    async fn changed_paths(&self, base: &Sha, commit: &Sha) -> Result<Vec<String>>;
    /// Whether `commit` is `tip` or an ancestor of it.
    async fn contains(&self, tip: &Sha, commit: &Sha) -> Result<bool>;
    async fn tree_of(&self, commit: &Sha) -> Result<Sha>;

    /// Gives a story its worktree, on its branch, with everything in it that was kept.
    async fn prepare_worktree(&self, spec: &WorktreeSpec) -> Result<Worktree>;
    /// Where the worktree of a story branch is, or would be, and the folder for its hook.
    fn places_of(&self, branch: &BranchName) -> Result<(PathBuf, PathBuf)>;
    /// What an agent needs of the disk to work and commit in its worktree, once that is prepared.
    fn reach_of_worktree(&self, branch: &BranchName) -> Result<Reach>;
    /// What gates need of the disk in the checkout of `slot`, once that is made.
    fn reach_of_checkout(&self, slot: &str) -> Result<Reach>;
    /// Installs the pre-commit hook, which calls `binary`, for this worktree alone.
    async fn install_hook(&self, worktree: &Worktree, binary: &Path) -> anyhow::Result<()>;
    /// Keeps everything that an attempt has done, and says what there is.
    async fn collect(&self, spec: &CollectSpec) -> Result<Collected>;
    /// Keeps everything once more, and takes the worktree away.
    async fn retire_worktree(&self, spec: &CollectSpec) -> Result<Retirement>;
    /// Puts exactly `commit` into the clean checkout of `slot`, and says where that is.
    async fn checkout(&self, slot: &str, commit: &Sha) -> Result<PathBuf>;

    /// Puts a story branch on the forge at `commit`.
    async fn push_branch(&self, branch: &BranchName, commit: &Sha) -> Result<Pushed>;
    /// Of these story branches and their newest commits, those that somebody else moved or deleted.
    async fn strays(&self, branches: &[(BranchName, Sha)]) -> Result<Vec<(BranchName, Stray)>>;
    /// Puts what an attempt had not committed on the forge.
    async fn push_wip(&self, story: &StoryId, attempt: Attempt, commit: &Sha) -> Result<Pushed>;
    /// The files in which `head` conflicts with `base`; none when it merges cleanly.
    async fn conflicts(&self, base: &Sha, head: &Sha) -> Result<Vec<String>>;
    /// Squashes a story onto the base, in memory.
    async fn build_candidate(&self, spec: &CandidateSpec) -> Result<Built>;
    /// The message that the forge is to squash a candidate with: the candidate's, and who made it.
    async fn squash_message(&self, candidate: &Sha) -> Result<String>;
    /// The first parent of a commit; `None` for one without.
    async fn parent_of(&self, commit: &Sha) -> Result<Option<Sha>>;
    /// Moves the base branch from the candidate's base to the candidate, and from nowhere else.
    async fn land(&self, branch: &BranchName, candidate: &Candidate) -> Result<Landing>;
}

#[async_trait]
impl Workshop for Repository {
    async fn sync_base(&self, configured: Option<&BranchName>) -> Result<BaseTip> {
        self.sync_base(configured).await
    }

    async fn fetch_head(&self, commit: &Sha) -> Result<()> {
        self.fetch_head(commit).await
    }

    async fn read_file(&self, commit: &Sha, path: &str) -> Result<Option<Vec<u8>>> {
        self.read_file(commit, path).await
    }

    async fn changed_paths(&self, base: &Sha, commit: &Sha) -> Result<Vec<String>> {
        self.changed_paths(base, commit).await
    }

    async fn contains(&self, tip: &Sha, commit: &Sha) -> Result<bool> {
        self.contains(tip, commit).await
    }

    async fn tree_of(&self, commit: &Sha) -> Result<Sha> {
        self.tree_of(commit).await
    }

    async fn prepare_worktree(&self, spec: &WorktreeSpec) -> Result<Worktree> {
        self.prepare_worktree(spec).await
    }

    fn places_of(&self, branch: &BranchName) -> Result<(PathBuf, PathBuf)> {
        self.places_of(branch)
    }

    fn reach_of_worktree(&self, branch: &BranchName) -> Result<Reach> {
        self.reach_of_worktree(branch)
    }

    fn reach_of_checkout(&self, slot: &str) -> Result<Reach> {
        self.reach_of_checkout(slot)
    }

    async fn install_hook(&self, worktree: &Worktree, binary: &Path) -> anyhow::Result<()> {
        let hooks = self.hooks_dir(worktree)?;
        let (folder, binary) = (hooks.clone(), binary.to_owned());
        let previous = self.shared_hooks_dir(worktree)?;
        tokio::task::spawn_blocking(move || hook::write_hook_folder(&folder, &binary, &previous))
            .await??;
        self.set_hooks_path(worktree, &hooks).await?;
        Ok(())
    }

    async fn collect(&self, spec: &CollectSpec) -> Result<Collected> {
        self.collect(spec).await
    }

    async fn retire_worktree(&self, spec: &CollectSpec) -> Result<Retirement> {
        self.retire_worktree(spec).await
    }

    async fn checkout(&self, slot: &str, commit: &Sha) -> Result<PathBuf> {
        self.checkout(slot, commit).await
    }

    async fn push_branch(&self, branch: &BranchName, commit: &Sha) -> Result<Pushed> {
        self.push_branch(branch, commit).await
    }

    async fn strays(&self, branches: &[(BranchName, Sha)]) -> Result<Vec<(BranchName, Stray)>> {
        self.strays(branches).await
    }

    async fn push_wip(&self, story: &StoryId, attempt: Attempt, commit: &Sha) -> Result<Pushed> {
        self.push_wip(story, attempt, commit).await
    }

    async fn conflicts(&self, base: &Sha, head: &Sha) -> Result<Vec<String>> {
        self.conflicts(base, head).await
    }

    async fn build_candidate(&self, spec: &CandidateSpec) -> Result<Built> {
        self.build_candidate(spec).await
    }

    async fn squash_message(&self, candidate: &Sha) -> Result<String> {
        self.squash_message(candidate).await
    }

    async fn parent_of(&self, commit: &Sha) -> Result<Option<Sha>> {
        self.parent_of(commit).await
    }

    async fn land(&self, branch: &BranchName, candidate: &Candidate) -> Result<Landing> {
        self.land(branch, candidate).await
    }
}
