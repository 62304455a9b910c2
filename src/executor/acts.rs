//! One exhaustive match over acts. Each may be carried out twice: what was cut off is repeated
//! until its outcome is known and stored.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::base::{read_project, sync_base};
use super::context::{Backoff, Context, Leaving, RepoContext, Try};
use super::publish::{publish_branch, publish_wip, see_branches};
use super::{admissions, look, pulls, worktree};
use crate::domain::effect::{Act, Announcement, EffectId};
use crate::domain::event::{Event, HeadEvent, RepoEvent, StoryEvent, SubjectId};
use crate::domain::head::HeadId;
use crate::domain::id::{BranchName, RepoName, StoryId};
use crate::domain::proposal::HeadAnswer;
use crate::domain::story::{Admission, Reply, Story};
use crate::domain::work::Candidate;
use crate::engine::Report;
use crate::forge::{ForgeError, RetryWhen};
use crate::git::{Built, CandidateSpec, CollectSpec, GitError, Landing};
use crate::report::{self, Markdown};
use crate::store::PendingAct;

/// How soon a forge is asked again that wants a person to mend something first.
pub(super) const MENDED_CHECK: Duration = Duration::from_mins(1);

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
        let work = Box::pin(try_once(context, &pending));
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
        SubjectId::Repo(repo) => of_repo(context, repo, pending).await,
        SubjectId::Head(head) => of_head(context, head, &pending.act).await,
        SubjectId::Account => misrouted(&pending.act),
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
    let own_comment = || OwnComment::new(context, repo, story, &pending.id);
    match &pending.act {
        Act::Admit { request, .. } => {
            let answer = admissions::of_story(repo, story, &pending.act).await;
            let request = *request;
            let admitted = |answer| StoryEvent::Admitted { request, answer };
            answered(answer, |answer| Event::story(story, admitted(answer)))
        }
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
        Act::Announce { announcement } => settle(own_comment().announce(announcement).await),
        Act::Reply { reply } => own_comment().reply(reply).await,
        Act::React { comment, reaction } => {
            settle(repo.forge.react(&story.repo, *comment, *reaction).await)
        }
        Act::ReadCheck { .. } => read_check(repo, story, &pending.act).await,
        Act::RemoveLabel { label } => settle(repo.forge.remove_label(story, label).await),
        Act::OpenPull { branch } => pulls::open(context, repo, story, branch).await,
        Act::FetchHead { .. }
        | Act::Answer { .. }
        | Act::SeeNeeds { .. }
        | Act::SyncBase { .. }
        | Act::Look { .. }
        | Act::SeeBranches { .. }
        | Act::BuildCandidate { .. }
        | Act::Land { .. }
        | Act::MergePull { .. } => misrouted(&pending.act),
    }
}

async fn of_repo(context: &Arc<Context>, name: &RepoName, pending: &PendingAct) -> Try {
    let repo = match context.repo(name) {
        Ok(repo) => repo,
        Err(error) => return not_configured(&error),
    };
    let act = &pending.act;
    let event = match act {
        Act::SyncBase { heads } => sync_base(repo, heads).await,
        Act::Look { look } => return look::look(context, (name, repo), look).await,
        Act::SeeBranches { heads, by } => {
            return see_branches(context, (name, repo), (heads, by.as_ref())).await;
        }
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
        Act::MergePull {
            number,
            story,
            branch,
            candidate,
        } => {
            let number = *number;
            let order = pulls::Order {
                number,
                story,
                branch,
                candidate,
            };
            pulls::merge(context, repo, &order).await
        }
        Act::Admit { .. } => return admit(repo, name, act).await,
        Act::SeeNeeds { .. } => return admissions::see_needs(repo, act).await,
        Act::React { comment, reaction } => {
            return settle(repo.forge.react(name, *comment, *reaction).await);
        }
        Act::Answer { number, answer } => {
            let thread = thread(name, *number);
            let comment = OwnComment::new(context, repo, &thread, &pending.id);
            return settle(comment.answer(answer).await);
        }
        Act::FetchHead { .. }
        | Act::ReadProject { .. }
        | Act::PrepareWorktree { .. }
        | Act::Collect { .. }
        | Act::RetireWorktree { .. }
        | Act::PublishBranch { .. }
        | Act::PublishWip { .. }
        | Act::Announce { .. }
        | Act::Reply { .. }
        | Act::OpenPull { .. }
        | Act::ReadCheck { .. }
        | Act::RemoveLabel { .. } => return misrouted(act),
    };
    Try::news(Event::repo(name, event))
}

/// Whether somebody may have something done that is no story's.
async fn admit(repo: &RepoContext, name: &RepoName, act: &Act) -> Try {
    let Act::Admit {
        request,
        login,
        bot,
        ..
    } = act
    else {
        return misrouted(act);
    };
    let answer = admissions::may_write(repo, name, (login, *bot)).await;
    let answer = answer.map(|may| {
        if may {
            Admission::allowed()
        } else {
            Admission::Denied
        }
    });
    let request = *request;
    answered(answer, |answer| {
        Event::repo(name, RepoEvent::Admitted { request, answer })
    })
}

/// The failing part of a check's log, where it may be read.
async fn read_check(repo: &RepoContext, story: &StoryId, act: &Act) -> Try {
    let Act::ReadCheck {
        commit,
        name,
        summary,
        source,
    } = act
    else {
        return misrouted(act);
    };
    let log = match repo.forge.failing_part(&story.repo, *source).await {
        Ok(log) => log,
        Err(error) => match settle(Err(error)) {
            // It may not be read.
            Try::Done(_) => None,
            again @ Try::Again { .. } => return again,
        },
    };
    let read = StoryEvent::CheckRead {
        commit: commit.clone(),
        name: name.clone(),
        summary: summary.clone(),
        log,
    };
    Try::news(Event::story(story, read))
}

/// Where comments on a pull request stand: forges count issues and pull requests together.
fn thread(repo: &RepoName, number: u64) -> StoryId {
    StoryId::new(repo.clone(), number)
}

async fn of_head(context: &Arc<Context>, head: &HeadId, act: &Act) -> Try {
    let repo = match context.repo(&head.repo) {
        Ok(repo) => repo,
        Err(error) => return not_configured(&error),
    };
    let Act::FetchHead { run } = act else {
        return misrouted(act);
    };
    let run = *run;
    let event = match repo.git.fetch_head(&head.sha).await {
        Ok(()) => HeadEvent::Fetched { run },
        Err(error @ (GitError::Unavailable { .. } | GitError::TimedOut { .. })) => {
            return Try::again(&error);
        }
        Err(error) => HeadEvent::NotFetched {
            run,
            message: error.to_string(),
        },
    };
    let id = head.clone();
    Try::news(Event::Head { id, event })
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

fn answered(answer: Result<Admission, ForgeError>, event: impl FnOnce(Admission) -> Event) -> Try {
    match answer {
        Ok(answer) => Try::news(event(answer)),
        Err(error) => match settle(Err(error)) {
            // Who cannot be asked about is not let in.
            Try::Done(_) => Try::news(event(Admission::Denied)),
            again @ Try::Again { .. } => again,
        },
    }
}

/// A comment of its own. Its marker is looked for first, so that a repeat posts nothing.
struct OwnComment<'a> {
    context: &'a Context,
    repo: &'a RepoContext,
    story: &'a StoryId,
    id: &'a EffectId,
}

impl<'a> OwnComment<'a> {
    fn new(
        context: &'a Context,
        repo: &'a RepoContext,
        story: &'a StoryId,
        id: &'a EffectId,
    ) -> Self {
        Self {
            context,
            repo,
            story,
            id,
        }
    }

    async fn announce(&self, announcement: &Announcement) -> Result<(), ForgeError> {
        if self.is_posted().await? {
            return Ok(());
        }
        let mut body = report::announcement(self.id, self.story, announcement);
        if let Announcement::Done { .. } = announcement
            && let Some(made) = self.context.calls_so_far(self.story).await
        {
            body = report::with_calls(body, made);
        }
        self.post(&body).await
    }

    async fn reply(&self, reply: &Reply) -> Try {
        let known = match self.context.story(self.story).await {
            Ok(known) => known.unwrap_or_else(|| Story::new(self.story.clone())),
            Err(error) => return Try::again(&error),
        };
        let posted = async {
            if self.is_posted().await? {
                return Ok(());
            }
            self.post(&report::reply(self.id, &known, reply)).await
        };
        settle(posted.await)
    }

    async fn answer(&self, answer: &HeadAnswer) -> Result<(), ForgeError> {
        if self.is_posted().await? {
            return Ok(());
        }
        self.post(&report::head_answer(self.id, answer)).await
    }

    async fn is_posted(&self) -> Result<bool, ForgeError> {
        let marker = report::announcement_marker(self.id);
        let found = self.repo.forge.find_comment(self.story, &marker).await?;
        Ok(found.is_some())
    }

    async fn post(&self, body: &Markdown) -> Result<(), ForgeError> {
        let body = self.context.adapters.masker.comment(body);
        self.repo.forge.create_comment(self.story, &body).await?;
        Ok(())
    }
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
