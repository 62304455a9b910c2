//! How an attempt ends and what follows (spec 5.7). The agent's word is a claim; what counts is
//! what git found in the worktree.

use jiff::Timestamp;

use super::{Refusal, Turn};
use crate::domain::effect::Act;
use crate::domain::event::{AccountEvent, RepoEvent};
use crate::domain::id::ItemName;
use crate::domain::story::{BlockReason, LastTry, Phase, Purpose, Stage, Tip};
use crate::domain::work::{Collected, End, Usage};

/// Aborts before a session, or losses, in a row: the fifth blocks.
const MAX_IN_A_ROW: u32 = 5;

impl Turn {
    /// Frees the slot, settles the money, and has the work kept, whatever the end was.
    pub(super) fn agent_ended(&mut self, end: &End, usage: &Usage) -> Result<(), Refusal> {
        let (engagement, from, then) = match self.phase("agent_ended")?.clone() {
            Phase::Starting {
                engagement, from, ..
            }
            | Phase::Running {
                engagement, from, ..
            } => (engagement, from, None),
            Phase::Stopping {
                engagement,
                from,
                then,
            } => (engagement, from, Some(then)),
            _ => return Err(self.illegal("agent_ended")),
        };
        let (Some(branch), Some(rules)) = (self.story.branch.clone(), &self.story.rules) else {
            return Err(self.illegal("agent_ended"));
        };
        let (attempt, base) = (self.story.attempt, rules.base.clone());
        self.release_slot();
        self.settle(end, usage);
        self.note_session(&engagement.agent, end, usage);
        self.act(Act::Collect {
            attempt,
            branch,
            since: Some(from),
            base,
        });
        self.enter(Phase::Collecting {
            agent: engagement.agent,
            end: end.clone(),
            then,
        });
        Ok(())
    }

    fn settle(&mut self, end: &End, usage: &Usage) {
        let (story, attempt) = (self.story.id.clone(), self.story.attempt);
        // What never ran cost nothing, whatever its meter failed to say.
        let never_ran = matches!(
            end,
            End::CannotLaunch { .. } | End::ResumeRefused { .. } | End::Aborted
        );
        let used = if never_ran {
            Some(usage.cost.unwrap_or_default())
        } else {
            usage.cost
        };
        self.story.spent += used.unwrap_or_default();
        self.tell_account(AccountEvent::Settled {
            story,
            attempt,
            used,
        });
    }

    /// Keeps the session's running total, and forgets sessions that cannot be continued.
    fn note_session(&mut self, agent: &ItemName, end: &End, usage: &Usage) {
        if matches!(end, End::Aborted) {
            self.story.sessions.clear();
        }
        if matches!(end, End::ResumeRefused { .. }) {
            self.story.sessions.retain(|known| known.agent != *agent);
        }
        if let Some(total) = usage.session_cost
            && let Some(known) = self
                .story
                .sessions
                .iter_mut()
                .find(|known| known.agent == *agent)
        {
            known.session.cost = total;
        }
    }

    pub(super) fn work_not_collected(&mut self, message: &str) -> Result<(), Refusal> {
        self.expect_phase("work_not_collected", |phase| {
            matches!(phase, Phase::Collecting { .. })
        })?;
        self.block(BlockReason::WorktreeFailed {
            message: message.to_owned(),
        });
        Ok(())
    }

    pub(super) fn work_collected(&mut self, collected: &Collected) -> Result<(), Refusal> {
        let Phase::Collecting { agent, end, then } = self.phase("work_collected")?.clone() else {
            return Err(self.illegal("work_collected"));
        };
        self.note_head(collected);
        match then {
            Some(then) => self.rest(then),
            None if matches!(self.story.stage, Stage::Qa(_)) => self.reviewed(&end),
            None => self.follow(&agent, &end, collected),
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
        self.story.head = Some(tip);
    }

    /// A tip that is gone for good needs no watching.
    pub(super) fn forget_head(&mut self) {
        let story = self.story.id.clone();
        self.tell_repo(RepoEvent::HeadKnown { story, head: None });
        if let Some(branch) = self.story.branch.clone() {
            self.act(Act::RetireWorktree { branch });
        }
    }

    /// The table of spec 5.7 for a coder's attempt.
    fn follow(&mut self, agent: &ItemName, end: &End, collected: &Collected) {
        self.count_in_a_row(end);
        let unjudged = collected.ahead && self.story.judged_tree.as_ref() != Some(&collected.tree);
        match end {
            End::Finished | End::LimitReached { .. } if unjudged => self.judge(collected.clone()),
            End::Finished => {
                self.remember(
                    "Your previous run ended without a new commit. Commit your work: what is not committed is not \
                     judged.",
                );
                self.try_again(LastTry::NothingCommitted);
            }
            End::LimitReached { .. } | End::Crashed { .. } | End::Stalled { .. } => {
                self.try_again(LastTry::Ended { end: end.clone() });
            }
            End::Asked { question } => self.block(BlockReason::Asked {
                question: question.clone(),
            }),
            End::RateLimited { until, message } => self.pause(agent, message, *until),
            End::AccountTrouble { message } => self.pause(agent, message, None),
            End::CannotLaunch { message } => {
                self.block(BlockReason::CannotLaunch {
                    agent: agent.clone(),
                    message: message.clone(),
                });
            }
            End::Aborted if self.story.counters.aborts >= MAX_IN_A_ROW => {
                self.block(BlockReason::Aborted {
                    times: self.story.counters.aborts,
                });
            }
            End::Lost { .. } | End::Stopped if self.story.counters.lost >= MAX_IN_A_ROW => {
                self.block(BlockReason::Lost {
                    times: self.story.counters.lost,
                });
            }
            End::Aborted | End::ResumeRefused { .. } | End::Lost { .. } | End::Stopped => {
                self.begin_attempt()
            }
        }
    }

    /// Counts that only mean something in a row are cleared by any other end.
    fn count_in_a_row(&mut self, end: &End) {
        let counters = &mut self.story.counters;
        counters.aborts = if matches!(end, End::Aborted) {
            counters.aborts + 1
        } else {
            0
        };
        // A stop that nobody asked for (the server was away too long) counts as a loss.
        let lost = matches!(end, End::Lost { .. } | End::Stopped);
        counters.lost = if lost { counters.lost + 1 } else { 0 };
        let paused = matches!(end, End::RateLimited { .. } | End::AccountTrouble { .. });
        counters.pauses = if paused { counters.pauses + 1 } else { 0 };
    }

    /// The provider's account pauses, and the next attempt waits with it.
    fn pause(&mut self, agent: &ItemName, message: &str, until: Option<Timestamp>) {
        if self.story.counters.pauses >= MAX_IN_A_ROW {
            let times = self.story.counters.pauses;
            return self.block(BlockReason::Paused {
                times,
                message: message.to_owned(),
            });
        }
        if let Some(provider) = self.agent(agent).map(|agent| agent.runtime.provider()) {
            self.tell_account(AccountEvent::Paused {
                provider,
                because: message.to_owned(),
                until,
            });
        }
        self.begin_attempt();
    }

    /// Another attempt in the same stage, as long as retries are left.
    pub(super) fn try_again(&mut self, last: LastTry) {
        let most = self
            .story
            .rules
            .as_ref()
            .map_or(0, |rules| rules.project.max_retries);
        if self.story.counters.retries >= most {
            let attempts = self.story.counters.retries + 1;
            return self.block(BlockReason::RetriesUsedUp { attempts, last });
        }
        self.story.counters.retries += 1;
        self.begin_attempt();
    }

    /// A reviewer's exit status is its verdict; anything but a clean end is a failure.
    fn reviewed(&mut self, end: &End) {
        let Some(head) = self.story.head.clone() else {
            return self.try_again(LastTry::NothingCommitted);
        };
        if matches!(end, End::Finished) {
            return self.enter_merge(head.commit);
        }
        let findings = match end {
            End::Crashed { message } => message.clone(),
            other => format!("{other:?}"),
        };
        self.remember(format!("A reviewer did not accept the change: {findings}"));
        self.story.stage = Stage::Coding(super::Work {
            purpose: Purpose::Task,
            phase: Phase::Held,
        });
        self.try_again(LastTry::ReviewFailed { findings });
    }
}
