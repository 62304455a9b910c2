//! Puts what a story has on the forge: its branch, and what an attempt had not committed; and looks
//! whether it is still there. Not for: the base branch.

use super::context::{Context, RepoContext, Try};
use crate::domain::event::{Event, RepoEvent};
use crate::domain::id::{Attempt, BranchName, RepoName, Sha, StoryId};
use crate::domain::repo::Stray;
use crate::git::{self, GitError, Pushed};

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

/// Looks where story branches are on the forge.
pub(super) async fn see_branches(
    context: &Context,
    (name, repo): (&RepoName, &RepoContext),
    (heads, by): (&[(StoryId, Sha)], Option<&String>),
) -> Try {
    let mut branches = Vec::new();
    for (story, head) in heads {
        let branch = match context.story(story).await {
            Ok(story) => story.and_then(|story| story.branch),
            Err(error) => return Try::again(&error),
        };
        branches.extend(branch.map(|branch| (branch, head.clone())));
    }
    let strays = match repo.git.strays(&branches).await {
        Ok(strays) => strays,
        Err(error @ (GitError::Unavailable { .. } | GitError::TimedOut { .. })) => {
            return Try::again(&error);
        }
        Err(error) => {
            tracing::error!(%error, "it is not known where story branches are on the forge");
            return Try::Done(None);
        }
    };
    let stray = |(branch, stray): (BranchName, git::Stray)| {
        Some(Stray {
            story: StoryId::new(name.clone(), branch.story_number()?),
            tip: match stray {
                git::Stray::Moved { tip } => Some(tip),
                git::Stray::Deleted => None,
            },
            by: by.cloned(),
        })
    };
    let strays = strays.into_iter().filter_map(stray).collect();
    let seen = heads.to_vec();
    Try::news(Event::repo(name, RepoEvent::BranchesSeen { seen, strays }))
}
