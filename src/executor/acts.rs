//! One exhaustive match over acts. Each may be carried out twice: what was cut off is repeated
//! until its outcome is known and stored.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::base::{read_project, sync_base};
use super::context::{Backoff, Context, Leaving, RepoContext, Try};
use super::worktree;
use crate::domain::effect::{Act, Announcement, EffectId};
use crate::domain::event::{Event, RepoEvent, StoryEvent, SubjectId};
use crate::domain::id::{Attempt, BranchName, RepoName, Sha, StoryId};
use crate::domain::story::Admission;
use crate::domain::work::Candidate;
use crate::engine::Report;
use crate::forge::{ForgeError, RetryWhen};
use crate::git::{Built, CandidateSpec, CollectSpec, GitError, Landing, Pushed};
use crate::report;
use crate::store::PendingAct;

/// How soon a forge is asked again that wants a person to mend something first.
const MENDED_CHECK: Duration = Duration::from_mins(1);

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
        let work = try_once(context, &pending);
        let tried = context.counting(&pending.subject, work).await;
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

/// What is asked of a repository that nobody configures any more waits until somebody does.
fn not_configured(error: &anyhow::Error) -> Try {
    Try::Again {
        after: Some(MENDED_CHECK),
        why: error.to_string(),
    }
}

async fn of_story(context: &Arc<Context>, story: &StoryId, pending: &PendingAct) -> Try {
    let repo = match context.repo(&story.repo) {
        Ok(repo) => repo,
        Err(error) => return not_configured(&error),
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
            let spec = CollectSpec {
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
        Act::PublishBranch { branch, commit } => publish_branch(repo, branch, commit).await,
        Act::PublishWip { attempt, commit } => publish_wip(repo, story, *attempt, commit).await,
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
        Err(error) => return not_configured(&error),
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
        | Act::PublishWip { .. }
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

async fn publish_branch(repo: &RepoContext, branch: &BranchName, commit: &Sha) -> Try {
    let pushed = repo.git.push_branch(branch, commit).await;
    let what = format!("the story branch {branch}");
    published(pushed, &what, "statuses on its commits may be missing")
}

async fn publish_wip(repo: &RepoContext, story: &StoryId, attempt: Attempt, commit: &Sha) -> Try {
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
    let mut body = report::announcement(order.id, order.story, order.announcement);
    if let Announcement::Done { .. } = order.announcement
        && let Some(made) = context.calls_so_far(order.story).await
    {
        body = report::with_calls(body, made);
    }
    repo.forge
        .create_comment(order.story, &context.adapters.masker.comment(&body))
        .await?;
    Ok(())
}

async fn build_candidate(repo: &RepoContext, number: u64, spec: &CandidateSpec) -> RepoEvent {
    match repo.git.build_candidate(spec).await {
        Ok(Built::Candidate(candidate)) => candidate_built(repo, number, candidate).await,
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

/// What a change touches is looked up in the very commit that would land: a merge on the story's
/// side can undo what the base did meanwhile.
async fn candidate_built(repo: &RepoContext, number: u64, candidate: Candidate) -> RepoEvent {
    let changed = repo
        .git
        .changed_paths(&candidate.base, &candidate.commit)
        .await;
    match changed {
        Ok(paths) => RepoEvent::CandidateBuilt {
            number,
            protected: repo.protection.touched(&paths),
            candidate,
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
