//! A story's transitions, by theme: what people ask ([`requests`]) and say ([`conversation`]), an attempt up to its agent
//! ([`attempt`]), how it ends ([`ending`]), the gates ([`judging`]), the merge ([`merging`]), its
//! pull request ([`pulls`]), what it waits for before it begins ([`waiting`]), changes of its text
//! ([`edits`]), and
//! the ways out of all of them ([`leaving`]).

mod attempt;
mod conversation;
mod edits;
mod ending;
mod judging;
mod leaving;
mod merging;
mod pulls;
mod requests;
mod waiting;

use jiff::Timestamp;

use super::{Refusal, Step, Subject, ignored};
use crate::domain::effect::{Act, CommitStatus, Effect, GatesNews, MergeNews, StatusNews, Surface};
use crate::domain::event::{AccountEvent, Event, RepoEvent, StoryEvent};
use crate::domain::id::{Attempt, Sha};
use crate::domain::pull::PullState;
use crate::domain::story::{Phase, Purpose, Recent, Stage, Story, Work};

pub(super) fn step(story: &Story, event: &StoryEvent, now: Timestamp) -> Result<Step, Refusal> {
    let mut turn = Turn {
        story: story.clone(),
        effects: Vec::new(),
        now,
    };
    turn.apply(event)?;
    turn.let_the_queue_go_on(story, event);
    turn.tell_of_waiting(story);
    if turn.story.was_started() || !turn.story.refused.is_empty() {
        turn.effects.push(Effect::Surface(Surface::StickyComment));
    }
    if let PullState::Open(_) = turn.story.pull {
        turn.effects.push(Effect::Surface(Surface::PullRequest));
    }
    let is_shown = story.was_started() && turn.story.stage.name() == story.stage.name();
    if turn.story.was_started() && !is_shown {
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

/// How far the newest attempt is, in the order in which every attempt goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Progress {
    Configuring,
    WaitingForSlot,
    WaitingForMoney,
    Preparing,
    Starting,
    /// It runs, or is being stopped.
    Running,
    Collecting,
    Judging,
    Over,
}

impl Turn {
    fn apply(&mut self, event: &StoryEvent) -> Result<(), Refusal> {
        if let Some(attempt) = event.attempt() {
            self.fence(attempt, event.into())?;
        }
        match event {
            StoryEvent::Asked { wish, by } => self.asked(wish, by),
            StoryEvent::Said { wish, by, comment } => self.said(wish, by, *comment),
            StoryEvent::BranchPushed { commit, by } => self.branch_pushed(commit, by.as_deref()),
            StoryEvent::BranchDeleted { by } => self.branch_deleted(by.as_deref()),
            StoryEvent::CheckFailed { .. } | StoryEvent::CheckRead { .. } => {
                self.check_event(event)
            }
            StoryEvent::Admitted { request, answer } => self.admitted(*request, answer),
            StoryEvent::Awaited => {
                self.awaited();
                Ok(())
            }
            StoryEvent::NeedsStand { needs, circle } => self.needs_stand(needs, circle),
            StoryEvent::ProjectRead { .. }
            | StoryEvent::ProjectUnusable { .. }
            | StoryEvent::SlotGranted { .. }
            | StoryEvent::Reserved { .. }
            | StoryEvent::MoneyDelayed { .. }
            | StoryEvent::MoneyRefused { .. }
            | StoryEvent::WorktreeReady { .. }
            | StoryEvent::WorktreeFailed { .. }
            | StoryEvent::AgentStarted { .. }
            | StoryEvent::SessionSeen { .. } => self.attempt_event(event),
            StoryEvent::AgentEnded { .. }
            | StoryEvent::WorkCollected { .. }
            | StoryEvent::WorkNotCollected { .. } => self.ending_event(event),
            StoryEvent::GatesEnded { .. } | StoryEvent::GatesLost { .. } => {
                self.judging_event(event)
            }
            StoryEvent::LongAtRest => self.long_at_rest(),
            StoryEvent::MergeBegan { .. }
            | StoryEvent::MergeWaits { .. }
            | StoryEvent::MergeConflicted { .. }
            | StoryEvent::MergeGatesFailed { .. }
            | StoryEvent::MergeRejected { .. }
            | StoryEvent::MergeNeedsApproval { .. }
            | StoryEvent::Landed { .. }
            | StoryEvent::Contained { .. } => self.merge_event(event),
            StoryEvent::PullOpened { .. }
            | StoryEvent::PullRefused { .. }
            | StoryEvent::PullClosed { .. }
            | StoryEvent::LandedDiffers { .. } => self.pull_event(event),
            StoryEvent::BaseConflicts { head, base, paths } => {
                self.base_conflicts(head, base, paths)
            }
        }
    }

    /// The queue has stopped for a change that landed as another one. Whatever a person does with
    /// its story says that he has seen it.
    fn let_the_queue_go_on(&mut self, before: &Story, event: &StoryEvent) {
        let stopped = before.stops_the_queue() || matches!(event, StoryEvent::LandedDiffers { .. });
        if stopped && !self.story.stops_the_queue() {
            let story = self.story.id.clone();
            self.tell_repo(RepoEvent::QueueResumed { story });
        }
    }

    /// A message of an older attempt changes nothing.
    fn fence(&self, attempt: Attempt, event: &'static str) -> Result<(), Refusal> {
        match attempt.cmp(&self.story.attempt) {
            std::cmp::Ordering::Less => ignored("of an older attempt"),
            std::cmp::Ordering::Equal => Ok(()),
            std::cmp::Ordering::Greater => Err(self.illegal(event)),
        }
    }

    fn progress(&self) -> Progress {
        let Some(Work { phase, .. }) = self.story.work() else {
            return Progress::Over;
        };
        match phase {
            Phase::Configuring => Progress::Configuring,
            Phase::WaitingForSlot => Progress::WaitingForSlot,
            Phase::WaitingForMoney { .. } => Progress::WaitingForMoney,
            Phase::Preparing(_) => Progress::Preparing,
            Phase::Starting { .. } => Progress::Starting,
            Phase::Running { .. } | Phase::Stopping { .. } => Progress::Running,
            Phase::Collecting { .. } => Progress::Collecting,
            Phase::Judging { .. } => Progress::Judging,
            Phase::Held => Progress::Over,
        }
    }

    /// The phase of an attempt that is between `earliest` and `latest`. What comes after that is
    /// late, what comes before it is a fault.
    fn expect(
        &self,
        event: &'static str,
        earliest: Progress,
        latest: Progress,
    ) -> Result<&Phase, Refusal> {
        let progress = self.progress();
        if progress > latest {
            return ignored("the attempt is past that");
        }
        match self.story.work() {
            Some(work) if progress >= earliest => Ok(&work.phase),
            Some(_) | None => Err(self.illegal(event)),
        }
    }

    fn illegal(&self, event: &'static str) -> Refusal {
        Refusal::Illegal {
            event,
            state: format!("{}, {:?}", self.story.stage.name(), self.progress()),
        }
    }

    /// Enters a stage in which an agent works; a held story waits at its door.
    fn enter_stage(&mut self, stage: impl FnOnce(Work) -> Stage, purpose: Purpose) {
        self.story.stage = stage(Work {
            purpose,
            phase: Phase::Held,
        });
        if !self.story.wishes.held {
            self.begin_attempt();
        }
    }

    /// Moves the work of the current stage to its next phase.
    fn enter(&mut self, phase: Phase) {
        match &mut self.story.stage {
            Stage::Coding(work) | Stage::Qa(work) | Stage::MergeFailure { work, .. } => {
                work.phase = phase;
            }
            Stage::Backlog { .. }
            | Stage::Merge(_)
            | Stage::Blocked { .. }
            | Stage::Done { .. }
            | Stage::Cancelled => {}
        }
    }

    fn purpose(&self) -> Option<&Purpose> {
        self.story.work().map(|Work { purpose, .. }| purpose)
    }

    fn act(&mut self, act: Act) {
        self.effects.push(Effect::Act(act));
    }

    fn tell_repo(&mut self, event: RepoEvent) {
        let event = Event::repo(&self.story.id.repo, event);
        self.effects.push(Effect::Tell(event));
    }

    fn tell_account(&mut self, event: AccountEvent) {
        self.effects.push(Effect::Tell(Event::Account { event }));
    }

    fn gates_status(&mut self, commit: &Sha, news: GatesNews) {
        let run = self.story.attempt.0;
        self.effects.extend(Surface::of_gates(commit, run, news));
    }

    fn merge_status(&mut self, commit: &Sha, news: MergeNews) {
        let (commit, news) = (commit.clone(), StatusNews::Merge(news));
        let status = Surface::Status(CommitStatus { commit, news });
        self.effects.push(Effect::Surface(status));
    }

    fn remember(&mut self, text: impl Into<String>) {
        self.remember_with_log(text, None);
    }

    fn remember_with_log(&mut self, text: impl Into<String>, log: Option<&str>) {
        self.story.recent.push(Recent {
            at: self.now,
            text: text.into(),
            log: log.map(str::to_owned),
        });
    }

    /// What somebody did to the worktree's git data that no attempt has to do there.
    fn remember_tampering(&mut self, noticed: &[String]) {
        for what in noticed {
            self.remember(format!(
                "Tampering was noticed in the worktree's git data: {what}"
            ));
        }
    }
}
