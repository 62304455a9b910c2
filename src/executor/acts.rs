//! One exhaustive match over acts. Each may be carried out twice: what was cut off is repeated
//! until its outcome is known and stored.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio_util::sync::CancellationToken;

use super::context::{Backoff, Context, Leaving, RepoContext};
use super::worktree;
use crate::config::project;
use crate::domain::effect::{Act, Announcement, EffectId};
use crate::domain::event::{Admission, Event, RepoEvent, StoryEvent, SubjectId};
use crate::domain::id::{Attempt, BranchName, RepoName, Sha, StoryId};
use crate::domain::project::{Land, Project, Trigger};
use crate::domain::work::Candidate;
use crate::engine::Report;
use crate::forge::{ForgeError, RetryWhen};
use crate::git::{Built, CandidateSpec, GitError, Landing, Pushed};
use crate::report;
use crate::store::PendingAct;

/// Where a project's rules are kept.
pub(super) const PROJECT_FILE: &str = ".huskies/project.toml";
/// How soon a forge is asked again that wants a person to mend something first.
const MENDED_CHECK: Duration = Duration::from_mins(1);

/// What became of a try.
pub(super) enum Try {
    /// Carried out, with news or without.
    Done(Option<Event>),
    /// Not now; `after` where somebody said when.
    Again {
        after: Option<Duration>,
        why: String,
    },
}

impl Try {
    fn news(event: Event) -> Self {
        Self::Done(Some(event))
    }

    fn again(why: &impl ToString) -> Self {
        Self::Again {
            after: None,
            why: why.to_string(),
        }
    }
}

/// Carries an act out, however many tries it takes, and stores its outcome.
pub(super) async fn carry_out(
    context: &Arc<Context>,
    pending: PendingAct,
    shutdown: &CancellationToken,
) {
    let name: &'static str = (&pending.act).into();
    let mut backoff = Backoff::default();
    loop {
        context.adapters.crash.reach(&format!("act.{name}.before"));
        let tried = try_once(context, &pending).await;
        context.adapters.crash.reach(&format!("act.{name}.after"));
        let event = match tried {
            Try::Done(event) => event,
            Try::Again { after, why } => {
                tracing::warn!(act = name, subject = %pending.subject, why, "trying again");
                let waited = match after {
                    Some(pause) => backoff.wait_for(pause, shutdown).await,
                    None => backoff.wait(shutdown).await,
                };
                if let Err(Leaving) = waited {
                    return;
                }
                continue;
            }
        };
        let finished = || Report {
            event: event.clone(),
            finished_act: Some(pending.id.clone()),
            ..Report::default()
        };
        return context.tell(finished, shutdown).await;
    }
}

async fn try_once(context: &Arc<Context>, pending: &PendingAct) -> Try {
    match &pending.subject {
        SubjectId::Story(story) => of_story(context, story, pending).await,
        SubjectId::Repo(repo) => of_repo(context, repo, &pending.act).await,
        SubjectId::Head(_) | SubjectId::Account => misrouted(&pending.act),
    }
}

/// Acts of a story and of a repository are told apart by their subject; a mix-up is a fault.
fn misrouted(act: &Act) -> Try {
    tracing::error!(
        ?act,
        "an act came from a subject that has none like it; it is dropped"
    );
    Try::Done(None)
}

async fn of_story(context: &Arc<Context>, story: &StoryId, pending: &PendingAct) -> Try {
    let repo = match context.repo(&story.repo) {
        Ok(repo) => repo,
        Err(error) => {
            return Try::Again {
                after: Some(MENDED_CHECK),
                why: error.to_string(),
            };
        }
    };
    match &pending.act {
        Act::Admit {
            request,
            login,
            pin,
        } => admit(repo, story, *request, login, *pin).await,
        Act::ReadProject { attempt } => read_project(repo, story, *attempt).await,
        Act::PrepareWorktree {
            attempt,
            branch,
            base,
            components,
        } => {
            let order = worktree::Order {
                story,
                branch,
                base,
                components,
            };
            let event = worktree::prepare(context, repo, &order).await;
            Try::news(Event::story(story, event.into_event(*attempt)))
        }
        Act::Collect {
            attempt,
            branch,
            since,
            base,
            conflicts,
        } => {
            let spec = crate::git::CollectSpec {
                story: story.clone(),
                branch: branch.clone(),
                attempt: *attempt,
                since: since.clone(),
                base: base.clone(),
                conflicts: conflicts.clone(),
            };
            worktree::collect(repo, story, spec).await
        }
        Act::RetireWorktree { branch } => worktree::retire(context, repo, story, branch).await,
        Act::PublishBranch { branch, commit } => publish(repo, branch, commit).await,
        Act::Announce { announcement } => {
            let order = Announce {
                story,
                id: &pending.id,
                announcement,
            };
            settle(announce(context, repo, &order).await)
        }
        Act::RemoveLabel { label } => settle(repo.forge.remove_label(story, label).await),
        Act::SyncBase { .. } | Act::BuildCandidate { .. } | Act::Land { .. } => {
            misrouted(&pending.act)
        }
    }
}

async fn of_repo(context: &Arc<Context>, name: &RepoName, act: &Act) -> Try {
    let repo = match context.repo(name) {
        Ok(repo) => repo,
        Err(error) => {
            return Try::Again {
                after: Some(MENDED_CHECK),
                why: error.to_string(),
            };
        }
    };
    let event = match act {
        Act::SyncBase { heads } => sync_base(repo, heads).await,
        Act::BuildCandidate {
            number,
            base,
            head,
            message,
        } => {
            let spec = CandidateSpec {
                base: base.clone(),
                head: head.clone(),
                message: message.clone(),
            };
            build_candidate(repo, *number, &spec).await
        }
        Act::Land {
            number,
            branch,
            candidate,
        } => land(repo, *number, branch, candidate).await,
        Act::Admit { .. }
        | Act::ReadProject { .. }
        | Act::PrepareWorktree { .. }
        | Act::Collect { .. }
        | Act::RetireWorktree { .. }
        | Act::PublishBranch { .. }
        | Act::Announce { .. }
        | Act::RemoveLabel { .. } => return misrouted(act),
    };
    Try::news(Event::repo(name, event))
}

/// A write to the forge is tried until it is taken, or is given up with a word in the log: a
/// report that the forge refuses for good must not hold up the ones behind it.
pub(super) fn settle(outcome: Result<(), ForgeError>) -> Try {
    let Err(error) = outcome else {
        return Try::Done(None);
    };
    match error.retry_when() {
        RetryWhen::After(pause) => Try::Again {
            after: Some(pause),
            why: error.to_string(),
        },
        RetryWhen::BackingOff => Try::again(&error),
        RetryWhen::Mended => Try::Again {
            after: Some(MENDED_CHECK),
            why: error.to_string(),
        },
        RetryWhen::Never => {
            tracing::error!(%error, "the forge refuses a report; it is given up");
            Try::Done(None)
        }
    }
}

async fn admit(
    repo: &RepoContext,
    story: &StoryId,
    request: u64,
    login: &str,
    pin: Option<jiff::Timestamp>,
) -> Try {
    let answer = async {
        if !repo.forge.permission(&story.repo, login).await?.can_write() {
            return Ok(Admission::Denied);
        }
        let comments = match pin {
            Some(until) => repo.forge.comments(story, until).await?,
            None => Vec::new(),
        };
        Ok(Admission::Allowed { comments })
    };
    match answer.await {
        Ok(answer) => Try::news(Event::story(
            story,
            StoryEvent::Admitted { request, answer },
        )),
        Err(error) => match settle(Err(error)) {
            // Who cannot be asked about is not let in.
            Try::Done(_) => Try::news(Event::story(
                story,
                StoryEvent::Admitted {
                    request,
                    answer: Admission::Denied,
                },
            )),
            again @ Try::Again { .. } => again,
        },
    }
}

async fn read_project(repo: &RepoContext, story: &StoryId, attempt: Attempt) -> Try {
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
    if project.land == Land::PullRequest {
        let message =
            "it lands by pull request, which this version cannot do yet: set `land = \"push\"` in \
                       .huskies/project.toml on the base branch"
                .to_owned();
        return Err(Unreadable::Never(message));
    }
    Ok((tip.sha, project))
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

async fn publish(repo: &RepoContext, branch: &BranchName, commit: &Sha) -> Try {
    match repo.git.push_branch(branch, commit).await {
        Ok(Pushed::Done | Pushed::NoRemote) => Try::Done(None),
        Ok(Pushed::Moved { .. }) => {
            tracing::warn!(%branch, "somebody else moved the story branch on the forge; it is left as it is");
            Try::Done(None)
        }
        Ok(Pushed::Rejected { reason }) => {
            tracing::error!(%branch, reason, "the forge rejects the story branch; statuses on its commits may be missing");
            Try::Done(None)
        }
        Err(error @ (GitError::Unavailable { .. } | GitError::TimedOut { .. })) => {
            Try::again(&error)
        }
        Err(error) => {
            tracing::error!(%branch, %error, "the story branch cannot be pushed; statuses on its commits may be missing");
            Try::Done(None)
        }
    }
}

struct Announce<'a> {
    story: &'a StoryId,
    id: &'a EffectId,
    announcement: &'a Announcement,
}

/// The marker is looked for first, so that a repeat posts nothing.
async fn announce(
    context: &Context,
    repo: &RepoContext,
    order: &Announce<'_>,
) -> Result<(), ForgeError> {
    let marker = report::announcement_marker(order.id);
    if repo
        .forge
        .find_comment(order.story, &marker)
        .await?
        .is_some()
    {
        return Ok(());
    }
    let body = report::announcement(order.id, order.story, order.announcement);
    repo.forge
        .create_comment(order.story, &context.adapters.masker.mask(&body))
        .await?;
    Ok(())
}

async fn sync_base(repo: &RepoContext, heads: &[(StoryId, Sha)]) -> RepoEvent {
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
    let mut contained = Vec::new();
    for (story, head) in heads {
        if repo.git.contains(&tip.sha, head).await? {
            contained.push((story.clone(), head.clone()));
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
    })
}

async fn build_candidate(repo: &RepoContext, number: u64, spec: &CandidateSpec) -> RepoEvent {
    match repo.git.build_candidate(spec).await {
        Ok(Built::Candidate(candidate)) => RepoEvent::CandidateBuilt { number, candidate },
        Ok(Built::Conflict { paths }) => RepoEvent::CandidateConflicted {
            number,
            base: spec.base.clone(),
            paths,
        },
        Ok(Built::Nothing) => RepoEvent::CandidateEmpty {
            number,
            base: spec.base.clone(),
        },
        Err(error) => RepoEvent::CandidateFailed {
            number,
            message: error.to_string(),
        },
    }
}

async fn land(
    repo: &RepoContext,
    number: u64,
    branch: &BranchName,
    candidate: &Candidate,
) -> RepoEvent {
    match repo.git.land(branch, candidate).await {
        Ok(Landing::Landed) => RepoEvent::Landed { number },
        Ok(Landing::BaseMoved { tip }) => RepoEvent::LandMissed { number, tip },
        Ok(Landing::Waiting { reason }) => RepoEvent::LandWaits { number, reason },
        Ok(Landing::Rejected { reason }) => RepoEvent::LandRejected { number, reason },
        Err(error @ (GitError::Unavailable { .. } | GitError::TimedOut { .. })) => {
            RepoEvent::LandWaits {
                number,
                reason: error.to_string(),
            }
        }
        Err(error) => RepoEvent::LandRejected {
            number,
            reason: error.to_string(),
        },
    }
}
