//! How an attempt ends and what follows (spec 5.7). The agent's word is a claim; what counts is
//! what git found in the worktree.

use super::{Progress, Refusal, Turn};
use crate::domain::effect::Act;
use crate::domain::event::{AccountEvent, RepoEvent, StoryEvent};
use crate::domain::id::{ItemName, Sha};
use crate::domain::money::Usd;
use crate::domain::story::{BlockReason, Engagement, LastTry, Phase, Purpose, Stage, Then, Tip};
use crate::domain::work::{Collected, End, Start, Usage};

/// Aborts before a session, losses or pauses, in a row: the fifth blocks.
const MAX_IN_A_ROW: u32 = 5;
/// Attempts in a row that used no retry, of whatever kinds: aborts and losses that take turns would
/// otherwise go on for ever.
const MAX_UNPAID: u32 = 10;

/// An attempt whose agent is gone.
struct Ended {
    engagement: Engagement,
    from: Sha,
    end: End,
    then: Option<Then>,
}

impl Turn {
    pub(super) fn ending_event(&mut self, event: &StoryEvent) -> Result<(), Refusal> {
        match event {
            StoryEvent::AgentEnded { end, usage, .. } => self.agent_ended(end, usage),
            StoryEvent::WorkCollected { collected, .. } => self.work_collected(collected),
            StoryEvent::WorkNotCollected { message, .. } => self.work_not_collected(message),
            other => Err(self.illegal(other.into())),
        }
    }

    /// Frees the slot, settles the money, and has the work kept, whatever the end was.
    fn agent_ended(&mut self, end: &End, usage: &Usage) -> Result<(), Refusal> {
        let ended = self.ended(end)?;
        let (Some(branch), Some(rules)) = (self.story.branch.clone(), &self.story.rules) else {
            return Err(self.illegal("agent_ended"));
        };
        let collect = Act::Collect {
            attempt: self.story.attempt,
            branch,
            since: Some(ended.from.clone()),
            base: rules.base.clone(),
            conflicts: self.story.conflicts.clone(),
        };
        self.release_slot();
        // Before its money is free for others, who would run into the same wall.
        self.pause_provider(&ended);
        self.settle(&ended, usage);
        self.note_session(&ended, usage);
        self.note_recent(&ended.end);
        self.act(collect);
        self.enter(Phase::Collecting {
            agent: ended.engagement.agent,
            end: ended.end,
            then: ended.then,
        });
        Ok(())
    }

    fn ended(&self, end: &End) -> Result<Ended, Refusal> {
        let phase = self.expect("agent_ended", Progress::Starting, Progress::Running)?;
        let (engagement, from, resumed, then) = match phase {
            Phase::Starting {
                engagement,
                from,
                start,
            }
            | Phase::Running {
                engagement,
                from,
                start,
                ..
            } => (engagement, from, *start != Start::Cold, None),
            Phase::Stopping {
                engagement,
                from,
                then,
            } => (engagement, from, true, Some(then.clone())),
            Phase::Held
            | Phase::Configuring
            | Phase::WaitingForSlot
            | Phase::WaitingForMoney { .. }
            | Phase::Preparing(_)
            | Phase::Collecting { .. }
            | Phase::Judging { .. } => return Err(self.illegal("agent_ended")),
        };
        Ok(Ended {
            engagement: engagement.clone(),
            from: from.clone(),
            end: as_it_counts(end, resumed),
            then,
        })
    }

    fn pause_provider(&mut self, ended: &Ended) {
        let (until, message) = match &ended.end {
            End::RateLimited { until, message } => (*until, message),
            End::AccountTrouble { message } => (None, message),
            End::Finished
            | End::Asked { .. }
            | End::LimitReached { .. }
            | End::Aborted
            | End::ResumeRefused { .. }
            | End::CannotLaunch { .. }
            | End::Crashed { .. }
            | End::Stalled { .. }
            | End::Lost { .. }
            | End::Stopped => return,
        };
        self.tell_account(AccountEvent::Paused {
            provider: ended.engagement.reservation.provider().clone(),
            because: message.clone(),
            until,
        });
    }

    fn settle(&mut self, ended: &Ended, usage: &Usage) {
        let (story, attempt) = (self.story.id.clone(), self.story.attempt);
        // What never ran cost nothing, whatever its meter failed to say.
        let used = usage.cost.or(never_ran(&ended.end).then_some(Usd::ZERO));
        self.story.spent += used.unwrap_or(ended.engagement.reservation.amount());
        self.tell_account(AccountEvent::Settled {
            story,
            attempt,
            used,
        });
    }

    /// Keeps the session's running total, and forgets sessions that cannot be continued.
    fn note_session(&mut self, ended: &Ended, usage: &Usage) {
        let agent = &ended.engagement.agent;
        let model = self.model_of(agent);
        let sessions = &mut self.story.sessions;
        if matches!(ended.end, End::Aborted) {
            sessions.clear();
        }
        if matches!(ended.end, End::ResumeRefused { .. }) {
            sessions.retain(|known| known.agent != *agent || known.model != model);
        }
        let known = sessions
            .iter_mut()
            .find(|known| known.agent == *agent && known.model == model);
        if let (Some(total), Some(known)) = (usage.session_cost, known) {
            known.session.cost = total;
        }
    }

    /// What the agent was told needs no telling again, unless it cannot have heard it.
    fn note_recent(&mut self, end: &End) {
        let sent = std::mem::take(&mut self.story.recent_sent);
        let messages = std::mem::take(&mut self.story.messages_sent);
        if !never_ran(end) {
            self.story.recent.drain(..sent);
            self.story.messages.drain(..messages);
            self.story.was_told = messages > 0;
        }
    }

    /// Somebody has to look: the worktree holds work that could not be kept.
    fn work_not_collected(&mut self, message: &str) -> Result<(), Refusal> {
        let at = Progress::Collecting;
        let Phase::Collecting { then, .. } = self.expect("work_not_collected", at, at)? else {
            return Err(self.illegal("work_not_collected"));
        };
        if let Some(Then::Done { commit, receipt }) = then.clone() {
            self.unwatch();
            self.done(commit, receipt);
        } else {
            self.block(BlockReason::WorktreeFailed {
                message: message.to_owned(),
            });
        }
        Ok(())
    }

    fn work_collected(&mut self, collected: &Collected) -> Result<(), Refusal> {
        let at = Progress::Collecting;
        let phase = self.expect("work_collected", at, at)?.clone();
        let Phase::Collecting { agent, end, then } = phase else {
            return Err(self.illegal("work_collected"));
        };
        self.remember_tampering(&collected.noticed);
        self.note_head(collected);
        self.publish_wip(collected);
        if let Some(then) = then {
            self.rest(then);
        } else {
            self.want_pull();
            self.follow(&agent, &end, collected);
        }
        Ok(())
    }

    fn note_head(&mut self, collected: &Collected) {
        let tip = Tip {
            commit: collected.head.clone(),
            tree: collected.tree.clone(),
        };
        if !collected.ahead || self.story.head.as_ref() == Some(&tip) {
            return;
        }
        if let Some(branch) = self.story.branch.clone() {
            self.act(Act::PublishBranch {
                branch,
                commit: tip.commit.clone(),
            });
        }
        let (story, head) = (self.story.id.clone(), Some(tip.commit.clone()));
        self.tell_repo(RepoEvent::HeadKnown { story, head });
        self.story.base_conflict = None;
        self.story.head = Some(tip);
    }

    fn publish_wip(&mut self, collected: &Collected) {
        let wanted = self.story.rules.as_ref();
        if let (true, Some(commit)) = (
            wanted.is_some_and(|rules| rules.project.push_wip),
            collected.wip.clone(),
        ) {
            let attempt = self.story.attempt;
            self.act(Act::PublishWip { attempt, commit });
        }
    }

    /// The table of spec 5.7.
    fn follow(&mut self, agent: &ItemName, end: &End, collected: &Collected) {
        self.count_in_a_row(end);
        match end {
            End::Finished
            | End::LimitReached { .. }
            | End::Crashed { .. }
            | End::Stalled { .. } => {
                if matches!(self.story.stage, Stage::Qa(_)) {
                    self.reviewed(end);
                } else {
                    self.coded(end, collected);
                }
            }
            End::Asked { question } => self.block(BlockReason::Asked {
                question: question.clone(),
            }),
            End::CannotLaunch { message } => self.block(BlockReason::CannotLaunch {
                agent: agent.clone(),
                message: message.clone(),
            }),
            End::RateLimited { .. }
            | End::AccountTrouble { .. }
            | End::Aborted
            | End::Lost { .. }
            | End::Stopped
            | End::ResumeRefused { .. } => match self.too_often(end) {
                Some(reason) => self.block(reason),
                None => self.begin_attempt(),
            },
        }
    }

    /// Why an end that uses no retry is not followed by another attempt, if it is not.
    fn too_often(&self, end: &End) -> Option<BlockReason> {
        let counters = &self.story.counters;
        let too_often = |times: u32| (times >= MAX_IN_A_ROW).then_some(times);
        let reason = match end {
            End::RateLimited { message, .. } | End::AccountTrouble { message } => {
                let message = message.clone();
                too_often(counters.pauses).map(|times| BlockReason::Paused { times, message })
            }
            End::Aborted => too_often(counters.aborts).map(|times| BlockReason::Aborted { times }),
            End::Lost { .. } | End::Stopped => {
                too_often(counters.lost).map(|times| BlockReason::Lost { times })
            }
            End::Finished
            | End::Asked { .. }
            | End::LimitReached { .. }
            | End::ResumeRefused { .. }
            | End::CannotLaunch { .. }
            | End::Crashed { .. }
            | End::Stalled { .. } => None,
        };
        let mixed = (counters.unpaid >= MAX_UNPAID).then(|| BlockReason::RetriesUsedUp {
            attempts: counters.unpaid,
            last: LastTry::Ended { end: end.clone() },
        });
        reason.or(mixed)
    }

    /// Counts that only mean something in a row are cleared by any other end.
    fn count_in_a_row(&mut self, end: &End) {
        let counters = &mut self.story.counters;
        let count = |counts: bool, so_far: u32| if counts { so_far + 1 } else { 0 };
        let paused = matches!(end, End::RateLimited { .. } | End::AccountTrouble { .. });
        // A stop that nobody asked for (the server was away too long) counts as a loss.
        let lost = matches!(end, End::Lost { .. } | End::Stopped);
        let aborted = matches!(end, End::Aborted);
        let refused = matches!(end, End::ResumeRefused { .. });
        counters.aborts = count(aborted, counters.aborts);
        counters.lost = count(lost, counters.lost);
        counters.pauses = count(paused, counters.pauses);
        counters.unpaid = count(aborted || lost || paused || refused, counters.unpaid);
    }

    /// A coder ran: new commits are judged, and the rest uses a retry.
    fn coded(&mut self, end: &End, collected: &Collected) {
        let finished = matches!(end, End::Finished);
        let limited = matches!(end, End::LimitReached { .. });
        if (finished || limited) && !collected.markers.is_empty() {
            return self.markers_left(&collected.markers);
        }
        if (finished || limited) && self.is_news(collected) {
            let retry_used = limited && self.use_retry();
            return self.judge(collected.clone(), retry_used);
        }
        if let (true, true, Some(head)) = (
            finished,
            self.story.was_told,
            self.story.accepted_head().cloned(),
        ) {
            // It heard what people said, and found nothing to change in what has passed.
            return self.accept(head);
        }
        if finished {
            self.remember(
                "Your previous run ended without a new commit. Commit your work: what is not \
                 committed is not judged.",
            );
            self.try_again(LastTry::NothingCommitted);
        } else {
            self.try_again(LastTry::Ended { end: end.clone() });
        }
    }

    /// Gates may well pass on a text file full of markers, so they are not even asked.
    fn markers_left(&mut self, paths: &[String]) {
        let files = paths.join(", ");
        self.remember(format!(
            "You committed conflict markers in {files}. Resolve the conflict there and commit."
        ));
        let paths = paths.to_vec();
        self.try_again(LastTry::MarkersLeft { paths });
    }

    /// Something is committed that was not judged yet. A repaired merge may well leave the tree as
    /// it was: there the new commit is the news.
    fn is_news(&self, collected: &Collected) -> bool {
        let repaired = matches!(self.purpose(), Some(Purpose::FixUp { .. })) && collected.advanced;
        collected.ahead && (self.story.judged_tree.as_ref() != Some(&collected.tree) || repaired)
    }

    /// Takes one of the retries. False when none is left.
    pub(super) fn use_retry(&mut self) -> bool {
        let rules = self.story.rules.as_ref();
        let most = rules.map_or(0, |rules| rules.project.max_retries);
        let left = self.story.counters.retries < most;
        if left {
            self.story.counters.retries += 1;
        }
        left
    }

    pub(super) fn block_without_retries(&mut self, last: LastTry) {
        let attempts = self.story.counters.retries + 1;
        self.block(BlockReason::RetriesUsedUp { attempts, last });
    }

    /// Another attempt in the same stage, as long as retries are left.
    pub(super) fn try_again(&mut self, last: LastTry) {
        if self.use_retry() {
            self.begin_attempt();
        } else {
            self.block_without_retries(last);
        }
    }
}

/// Where nothing was resumed, a refusal to resume is a crash: a fresh start would meet it again,
/// without an end.
fn as_it_counts(end: &End, resumed: bool) -> End {
    match end {
        End::ResumeRefused { message } if !resumed => End::Crashed {
            message: message.clone(),
        },
        other => other.clone(),
    }
}

/// The agent cannot have begun, so that it cost nothing and heard nothing.
fn never_ran(end: &End) -> bool {
    match end {
        End::CannotLaunch { .. } | End::ResumeRefused { .. } | End::Aborted => true,
        End::Finished
        | End::Asked { .. }
        | End::LimitReached { .. }
        | End::RateLimited { .. }
        | End::AccountTrouble { .. }
        | End::Crashed { .. }
        | End::Stalled { .. }
        | End::Lost { .. }
        | End::Stopped => false,
    }
}
