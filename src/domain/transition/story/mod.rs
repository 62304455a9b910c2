//! A story's transitions, by theme: what people ask ([`requests`]), an attempt up to its agent
//! ([`attempt`]), how it ends ([`ending`]), the gates ([`judging`]) and the merge ([`merging`]).

mod attempt;
mod ending;
mod judging;
mod merging;
mod requests;

use jiff::Timestamp;

use super::{Refusal, Step, Subject, ignored};
use crate::domain::effect::{
    Act, Announcement, CommitStatus, Effect, GatesNews, MergeNews, StatusNews, Surface,
};
use crate::domain::event::{Event, RepoEvent, StoryEvent};
use crate::domain::id::{Attempt, Sha};
use crate::domain::story::{BlockReason, BlockedFrom, Phase, Recent, Stage, Story, Work};

pub(super) fn step(story: &Story, event: &StoryEvent, now: Timestamp) -> Result<Step, Refusal> {
    let mut turn = Turn {
        story: story.clone(),
        effects: Vec::new(),
        now,
    };
    turn.apply(event)?;
    if turn.story.was_started() || !turn.story.refused.is_empty() {
        turn.effects.push(Effect::Surface(Surface::StickyComment));
    }
    if turn.story.was_started() && turn.story.stage.name() != story.stage.name() {
        turn.effects.push(Effect::Surface(Surface::StageLabel));
    }
    Ok(Step {
        subject: Subject::Story(Box::new(turn.story)),
        effects: turn.effects,
    })
}

/// One step in the making.
struct Turn {
    story: Story,
    effects: Vec<Effect>,
    now: Timestamp,
}

impl Turn {
    fn apply(&mut self, event: &StoryEvent) -> Result<(), Refusal> {
        match event {
            StoryEvent::Asked { wish, by } => self.asked(wish, by),
            StoryEvent::Admitted { request, answer } => self.admitted(*request, answer),
            StoryEvent::ProjectRead {
                attempt,
                base,
                project,
            } => {
                self.fence(*attempt)?;
                self.project_read(base, project)
            }
            StoryEvent::ProjectUnusable { attempt, message } => {
                self.fence(*attempt)?;
                self.project_unusable(message)
            }
            StoryEvent::SlotGranted { attempt, agent } => {
                self.fence(*attempt)?;
                self.slot_granted(agent)
            }
            StoryEvent::Reserved {
                attempt,
                reservation,
            } => {
                self.fence(*attempt)?;
                self.reserved(reservation)
            }
            StoryEvent::MoneyDelayed {
                attempt,
                because,
                until,
            } => {
                self.fence(*attempt)?;
                self.money_delayed(because, *until)
            }
            StoryEvent::MoneyRefused { attempt, reason } => {
                self.fence(*attempt)?;
                self.money_refused(reason)
            }
            StoryEvent::WorktreeReady {
                attempt,
                head,
                hook_trouble,
            } => {
                self.fence(*attempt)?;
                self.worktree_ready(head, hook_trouble.as_deref())
            }
            StoryEvent::WorktreeFailed { attempt, message } => {
                self.fence(*attempt)?;
                self.worktree_failed(message)
            }
            StoryEvent::AgentStarted { attempt, process } => {
                self.fence(*attempt)?;
                self.agent_started(process)
            }
            StoryEvent::SessionSeen { attempt, session } => {
                self.fence(*attempt)?;
                self.session_seen(session)
            }
            StoryEvent::AgentEnded {
                attempt,
                end,
                usage,
            } => {
                self.fence(*attempt)?;
                self.agent_ended(end, usage)
            }
            StoryEvent::WorkCollected { attempt, collected } => {
                self.fence(*attempt)?;
                self.work_collected(collected)
            }
            StoryEvent::WorkNotCollected { attempt, message } => {
                self.fence(*attempt)?;
                self.work_not_collected(message)
            }
            StoryEvent::GatesEnded { attempt, report } => {
                self.fence(*attempt)?;
                self.gates_ended(report)
            }
            StoryEvent::GatesLost { attempt, message } => {
                self.fence(*attempt)?;
                self.gates_lost(message)
            }
            StoryEvent::MergeBegan { .. }
            | StoryEvent::MergeWaits { .. }
            | StoryEvent::MergeConflicted { .. }
            | StoryEvent::MergeGatesFailed { .. }
            | StoryEvent::MergeRejected { .. }
            | StoryEvent::Landed { .. }
            | StoryEvent::Contained { .. } => self.merge_event(event),
        }
    }

    /// A message of an older attempt changes nothing.
    fn fence(&self, attempt: Attempt) -> Result<(), Refusal> {
        if attempt == self.story.attempt {
            Ok(())
        } else {
            ignored("of an older attempt")
        }
    }

    fn act(&mut self, act: Act) {
        self.effects.push(Effect::Act(act));
    }

    fn tell_repo(&mut self, event: RepoEvent) {
        self.effects
            .push(Effect::Tell(Event::repo(&self.story.id.repo, event)));
    }

    fn gates_status(&mut self, commit: &Sha, news: GatesNews) {
        let status = CommitStatus {
            commit: commit.clone(),
            news: StatusNews::Gates(news),
        };
        self.effects.push(Effect::Surface(Surface::Status(status)));
    }

    fn merge_status(&mut self, commit: &Sha, news: MergeNews) {
        let status = CommitStatus {
            commit: commit.clone(),
            news: StatusNews::Merge(news),
        };
        self.effects.push(Effect::Surface(Surface::Status(status)));
    }

    fn remember(&mut self, text: impl Into<String>) {
        self.story.recent.push(Recent {
            at: self.now,
            text: text.into(),
        });
    }

    /// Moves the work of the current stage to its next phase.
    fn enter(&mut self, phase: Phase) {
        match &mut self.story.stage {
            Stage::Coding(work) | Stage::Qa(work) | Stage::MergeFailure { work, .. } => {
                work.phase = phase
            }
            Stage::Backlog { .. }
            | Stage::Merge(_)
            | Stage::Blocked { .. }
            | Stage::Done { .. }
            | Stage::Cancelled => {}
        }
    }

    /// The phase of the work in progress; what needs one is refused without it.
    fn phase(&self, event: &'static str) -> Result<&Phase, Refusal> {
        match self.story.work() {
            Some(Work { phase, .. }) => Ok(phase),
            None => Err(self.illegal(event)),
        }
    }

    fn illegal(&self, event: &'static str) -> Refusal {
        let phase = self
            .story
            .work()
            .map_or_else(String::new, |work| format!(", {:?}", work.phase.activity()));
        Refusal::Illegal {
            event,
            state: format!("{}{phase}", self.story.stage.name()),
        }
    }

    /// Stops here until a person acts, says why on the forge, and where a retry will go on.
    fn block(&mut self, reason: BlockReason) {
        let from = match &self.story.stage {
            Stage::Qa(_) => BlockedFrom::Qa,
            Stage::Merge(merge) => BlockedFrom::Merge {
                head: merge.head.clone(),
            },
            Stage::MergeFailure { failure, .. } => BlockedFrom::MergeFailure {
                failure: failure.clone(),
            },
            Stage::Backlog { .. }
            | Stage::Coding(_)
            | Stage::Blocked { .. }
            | Stage::Done { .. }
            | Stage::Cancelled => BlockedFrom::Coding,
        };
        self.block_at(reason, from);
    }

    fn block_at(&mut self, reason: BlockReason, from: BlockedFrom) {
        if let Some(head) = self.story.head.clone() {
            let news = match &reason {
                BlockReason::MergeFailed { failure } => MergeNews::Failed {
                    failure: failure.clone(),
                },
                _ => MergeNews::Blocked,
            };
            self.merge_status(&head.commit, news);
        }
        self.act(Act::Announce {
            announcement: Announcement::Blocked {
                reason: reason.clone(),
            },
        });
        self.story.stage = Stage::Blocked { reason, from };
    }
}
