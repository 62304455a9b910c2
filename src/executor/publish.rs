//! Puts what a story has on the forge: its branch, and what an attempt had not committed. Not for: the
//! base branch.

use super::context::{RepoContext, Try};
use crate::domain::id::{Attempt, BranchName, Sha, StoryId};
use crate::git::{GitError, Pushed};

pub(super) async fn publish_branch(repo: &RepoContext, branch: &BranchName, commit: &Sha) -> Try {
    let pushed = repo.git.push_branch(branch, commit).await;
    let what = format!("the story branch {branch}");
    published(pushed, &what, "statuses on its commits may be missing")
}

pub(super) async fn publish_wip(
    repo: &RepoContext,
    story: &StoryId,
    attempt: Attempt,
    commit: &Sha,
) -> Try {
    let pushed = repo.git.push_wip(story, attempt, commit).await;
    let what = format!("the kept work of {story}, attempt {attempt}");
    published(pushed, &what, "it is on this server alone")
}

/// What is not taken for good is said in the log and holds up nothing: the server has it all.
fn published(pushed: Result<Pushed, GitError>, what: &str, otherwise: &str) -> Try {
    match pushed {
        Ok(Pushed::Done | Pushed::NoRemote) => {}
        Ok(Pushed::Moved { .. }) => {
            tracing::warn!("somebody else moved {what} on the forge; it is left as it is");
        }
        Ok(Pushed::Rejected { reason }) => {
            tracing::error!(reason, "the forge rejects {what}; {otherwise}");
        }
        Err(error @ (GitError::Unavailable { .. } | GitError::TimedOut { .. })) => {
            return Try::again(&error);
        }
        Err(error) => {
            tracing::error!(%error, "{what} cannot be pushed; {otherwise}");
        }
    }
    Try::Done(None)
}
