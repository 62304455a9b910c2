//! The base branch: where it is, what its project file says, and what it contains.

use anyhow::Context as _;

use super::context::{RepoContext, Try};
use crate::config::project::{self, PROJECT_FILE};
use crate::domain::event::{Event, RepoEvent, StoryEvent};
use crate::domain::id::{Attempt, Sha, StoryId};
use crate::domain::project::{Land, Project, Trigger};
use crate::domain::work::MergeCheck;
use crate::git::GitError;

pub(super) async fn read_project(repo: &RepoContext, story: &StoryId, attempt: Attempt) -> Try {
    let event = match read_project_at_tip(repo).await {
        Ok((base, project)) => StoryEvent::ProjectRead {
            attempt,
            base,
            project: Box::new(project),
        },
        Err(Unreadable::Later(why)) => return Try::again(&why),
        Err(Unreadable::Never(message)) => StoryEvent::ProjectUnusable { attempt, message },
    };
    Try::news(Event::story(story, event))
}

/// Why a project file could not be read.
enum Unreadable {
    Later(String),
    Never(String),
}

impl From<GitError> for Unreadable {
    fn from(error: GitError) -> Self {
        match error {
            GitError::Unavailable { .. } | GitError::TimedOut { .. } => {
                Self::Later(error.to_string())
            }
            GitError::Command { .. }
            | GitError::NotFound { .. }
            | GitError::Refused { .. }
            | GitError::Misconfigured { .. }
            | GitError::Damaged { .. }
            | GitError::Io { .. }
            | GitError::Library { .. } => Self::Never(error.to_string()),
        }
    }
}

async fn read_project_at_tip(repo: &RepoContext) -> Result<(Sha, Project), Unreadable> {
    let tip = repo.git.sync_base(repo.base_branch.as_ref()).await?;
    let project = project_at(repo, &tip.sha)
        .await
        .map_err(|error| Unreadable::Never(format!("{error:#}")))?;
    if project.land == Land::PullRequest && repo.forge.pull_requests().is_none() {
        let message =
            "it lands by pull request, and this forge has none: set `land = \"push\"` in \
                       .huskies/project.toml on the base branch"
                .to_owned();
        return Err(Unreadable::Never(message));
    }
    refuse_runtimes(repo, &project).map_err(Unreadable::Never)?;
    Ok((tip.sha, project))
}

/// A project can choose among what the server allows, and nothing else (spec 5.2).
fn refuse_runtimes(repo: &RepoContext, project: &Project) -> Result<(), String> {
    let refused = project
        .agents
        .iter()
        .find(|agent| !repo.runtimes.contains(&agent.runtime));
    let Some(agent) = refused else {
        return Ok(());
    };
    let allowed: Vec<&str> = repo.runtimes.iter().map(|runtime| runtime.name()).collect();
    Err(format!(
        "agent `{}` has the runtime `{}`, which this server does not allow: use one of {}, or add it to `runtimes` \
         in the [agents] table of the server's configuration",
        agent.name,
        agent.runtime.name(),
        allowed.join(", ")
    ))
}

/// The project file as it is in `commit`.
pub(super) async fn project_at(repo: &RepoContext, commit: &Sha) -> anyhow::Result<Project> {
    let bytes = repo
        .git
        .read_file(commit, PROJECT_FILE)
        .await?
        .unwrap_or_default();
    let text =
        String::from_utf8(bytes).with_context(|| format!("{PROJECT_FILE} is not UTF-8 text"))?;
    Ok(project::parse(&text, PROJECT_FILE, repo.default_land())?)
}

pub(super) async fn sync_base(repo: &RepoContext, heads: &[(StoryId, Sha)]) -> RepoEvent {
    match look_at_base(repo, heads).await {
        Ok(event) => event,
        Err(error) => {
            tracing::warn!(
                error = format!("{error:#}"),
                "the base branch cannot be read"
            );
            RepoEvent::BaseUnavailable {
                message: format!("{error:#}"),
            }
        }
    }
}

async fn look_at_base(repo: &RepoContext, heads: &[(StoryId, Sha)]) -> anyhow::Result<RepoEvent> {
    let tip = repo.git.sync_base(repo.base_branch.as_ref()).await?;
    let (mut contained, mut checks) = (Vec::new(), Vec::new());
    for (story, head) in heads {
        if repo.git.contains(&tip.sha, head).await? {
            contained.push((story.clone(), head.clone()));
        } else {
            checks.extend(check_merge(repo, &tip.sha, (story, head)).await);
        }
    }
    // A project file that is missing or broken names no labels; stories then say what is wrong.
    let trigger = project_at(repo, &tip.sha)
        .await
        .map_or_else(|_| Trigger::default(), |project| project.trigger);
    Ok(RepoEvent::BaseSynced {
        branch: tip.branch,
        tip: tip.sha,
        trigger,
        contained,
        checks,
    })
}

/// Whether a story still merges with the base. One that cannot be tried has no answer, and holds up
/// none of the others.
async fn check_merge(
    repo: &RepoContext,
    tip: &Sha,
    (story, head): (&StoryId, &Sha),
) -> Option<MergeCheck> {
    match repo.git.conflicts(tip, head).await {
        Ok(paths) => Some(MergeCheck {
            story: story.clone(),
            head: head.clone(),
            paths,
        }),
        Err(error) => {
            tracing::warn!(%story, %error, "its merge with the base branch could not be tried");
            None
        }
    }
}
