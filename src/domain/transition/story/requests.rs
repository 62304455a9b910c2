//! What people ask of a story, once it is known that they may.

use super::{Refusal, Turn, ignored};
use crate::domain::effect::{Act, Effect, GatesNews, MergeNews, Run};
use crate::domain::event::{AccountEvent, Admission, Event, RepoEvent};
use crate::domain::id::{BranchName, RunId, Slug};
use crate::domain::story::{
    Actor, BacklogNote, BlockedFrom, Counters, Merge, MergePhase, Phase, Purpose, Request, Stage,
    Then, Wish,
};
use crate::domain::work::{Task, TaskComment};

impl Turn {
    pub(super) fn asked(&mut self, wish: &Wish, by: &Actor) -> Result<(), Refusal> {
        self.refuse_what_is_moot(wish)?;
        match by {
            Actor::Operator => {
                self.grant(wish.clone(), Vec::new());
                Ok(())
            }
            Actor::Account { login } => {
                self.story.requests_seen += 1;
                let id = self.story.requests_seen;
                let pin = matches!(wish, Wish::Start { .. }).then_some(self.now);
                self.act(Act::Admit {
                    request: id,
                    login: login.clone(),
                    pin,
                });
                self.story.requests.push(Request {
                    id,
                    wish: wish.clone(),
                    by: by.clone(),
                    at: self.now,
                });
                Ok(())
            }
        }
    }

    pub(super) fn admitted(&mut self, id: u64, answer: &Admission) -> Result<(), Refusal> {
        let Some(position) = self
            .story
            .requests
            .iter()
            .position(|request| request.id == id)
        else {
            return ignored("this request was answered already");
        };
        let request = self.story.requests.remove(position);
        match (answer, request.by) {
            (Admission::Denied, Actor::Account { login }) => {
                self.story.refused.insert(login);
            }
            (Admission::Denied, Actor::Operator) => {}
            (Admission::Allowed { comments }, _) => {
                // The story may have moved on while the forge was asked; then there is nothing to do.
                if self.refuse_what_is_moot(&request.wish).is_ok() {
                    self.grant(request.wish, comments.clone());
                }
            }
        }
        Ok(())
    }

    /// Wishes that would change nothing are not worth a question to the forge.
    fn refuse_what_is_moot(&self, wish: &Wish) -> Result<(), Refusal> {
        let story = &self.story;
        let pending = |stops: bool| {
            story
                .requests
                .iter()
                .any(|request| matches!(request.wish, Wish::Start { .. }) != stops)
        };
        match (wish, &story.stage) {
            (Wish::Start { .. }, Stage::Done { .. }) => ignored("its change has landed already"),
            (
                Wish::Start { .. },
                Stage::Coding(work) | Stage::Qa(work) | Stage::MergeFailure { work, .. },
            ) if !work.phase.is_winding_down() && !pending(true) => {
                ignored("it is started already")
            }
            (Wish::Start { .. }, Stage::Merge(_)) if !pending(true) => {
                ignored("it is started already")
            }
            (Wish::Stop | Wish::Cancel, Stage::Done { .. } | Stage::Cancelled) => {
                ignored("it has ended")
            }
            (Wish::Stop, Stage::Backlog { .. }) if !pending(false) => ignored("it is not started"),
            (Wish::Cancel | Wish::Release, Stage::Backlog { .. })
                if !story.was_started() && !pending(false) =>
            {
                ignored("it was never started")
            }
            (Wish::Retry { label: None }, stage) if !matches!(stage, Stage::Blocked { .. }) => {
                ignored("it is not blocked")
            }
            (
                Wish::Start { .. }
                | Wish::Stop
                | Wish::Cancel
                | Wish::Retry { .. }
                | Wish::Hold
                | Wish::Release
                | Wish::PickAgent { .. }
                | Wish::Prioritise { .. },
                _,
            ) => Ok(()),
        }
    }

    fn grant(&mut self, wish: Wish, comments: Vec<TaskComment>) {
        match wish {
            Wish::Start {
                task,
                agent,
                priority,
            } => {
                self.story.wishes.agent = agent;
                self.story.wishes.priority = priority;
                self.start(Task { comments, ..task });
            }
            Wish::Stop => self.wind_down(Then::Backlog),
            Wish::Cancel => self.wind_down(Then::Cancelled),
            Wish::Retry { label } => {
                if let Some(label) = label {
                    self.act(Act::RemoveLabel { label });
                }
                self.retry_asked();
            }
            Wish::Hold => self.story.wishes.held = true,
            Wish::Release => self.release(),
            Wish::PickAgent { agent } => self.story.wishes.agent = agent,
            Wish::Prioritise { priority } => self.story.wishes.priority = priority,
        }
    }

    fn start(&mut self, task: Task) {
        let slug = Slug::from_title(&task.title);
        let number = self.story.id.number;
        self.story
            .branch
            .get_or_insert_with(|| BranchName::of_story(number, &slug));
        self.story.task = task;
        self.story.counters = Counters::default();
        self.story.fingerprints.clear();
        self.story.judged_tree = None;
        if self.story.work().is_some() {
            return self.wind_down(Then::Again);
        }
        if self.story.attempt.0 > 0 {
            self.remember(
                "The story was started again; the work kept from before is in the worktree.",
            );
        }
        self.begin_coding();
    }

    /// Enters Coding; a held story waits at its door.
    pub(super) fn begin_coding(&mut self) {
        let hold = self.story.wishes.held;
        self.story.stage = Stage::Coding(super::Work {
            purpose: Purpose::Task,
            phase: Phase::Held,
        });
        if !hold {
            self.begin_attempt();
        }
    }

    fn retry_asked(&mut self) {
        let Stage::Blocked { from, .. } = self.story.stage.clone() else {
            return;
        };
        self.story.counters = Counters::default();
        self.story.fingerprints.clear();
        self.story.judged_tree = None;
        self.remember("A person looked at what had stopped the story and asked for another try.");
        if let Some(provider) = self
            .story
            .rules
            .as_ref()
            .and_then(|rules| rules.project.coders().next())
        {
            let provider = provider.runtime.provider();
            self.effects.push(Effect::Tell(Event::Account {
                event: AccountEvent::PauseOver { provider },
            }));
        }
        match from {
            BlockedFrom::Coding | BlockedFrom::Qa => self.begin_coding(),
            BlockedFrom::Merge { head } => self.enter_merge(head),
            BlockedFrom::MergeFailure { failure } => self.begin_fix_up(failure),
        }
    }

    fn release(&mut self) {
        self.story.wishes.held = false;
        match &self.story.stage {
            Stage::Coding(work) | Stage::Qa(work) | Stage::MergeFailure { work, .. }
                if work.phase == Phase::Held =>
            {
                self.begin_attempt();
            }
            Stage::Merge(Merge {
                head,
                phase: MergePhase::Held,
            }) => self.enter_merge(head.clone()),
            Stage::Backlog { .. }
            | Stage::Coding(_)
            | Stage::Qa(_)
            | Stage::Merge(_)
            | Stage::MergeFailure { .. }
            | Stage::Blocked { .. }
            | Stage::Done { .. }
            | Stage::Cancelled => {}
        }
    }

    /// Ends whatever is under way, keeps the work, and then goes where `then` says.
    pub(super) fn wind_down(&mut self, then: Then) {
        let phase = self.story.work().map(|work| work.phase.clone());
        let attempt = self.story.attempt;
        match phase {
            Some(
                Phase::Starting {
                    engagement, from, ..
                }
                | Phase::Running {
                    engagement, from, ..
                },
            ) => {
                let id = RunId::Agent(self.story.id.clone(), attempt);
                self.effects.push(Effect::Run(Run::Stop { id }));
                return self.enter(Phase::Stopping {
                    engagement,
                    from,
                    then,
                });
            }
            Some(Phase::Stopping {
                engagement, from, ..
            }) => {
                return self.enter(Phase::Stopping {
                    engagement,
                    from,
                    then,
                });
            }
            Some(Phase::Collecting { agent, end, .. }) => {
                return self.enter(Phase::Collecting {
                    agent,
                    end,
                    then: Some(then),
                });
            }
            Some(Phase::WaitingForSlot) => self.release_slot(),
            Some(Phase::WaitingForMoney { .. } | Phase::Preparing(_)) => {
                self.release_slot();
                self.release_money();
            }
            Some(Phase::Judging { collected }) => {
                self.stop_judging();
                self.gates_status(&collected.head, GatesNews::Superseded);
            }
            Some(Phase::Held | Phase::Configuring) | None => {}
        }
        self.leave_merge();
        self.rest(then);
    }

    fn leave_merge(&mut self) {
        if let Stage::Merge(merge) = self.story.stage.clone() {
            let story = self.story.id.clone();
            self.tell_repo(RepoEvent::Withdrawn { story });
            self.merge_status(&merge.head, MergeNews::Withdrawn);
        }
    }

    pub(super) fn rest(&mut self, then: Then) {
        match then {
            Then::Backlog => {
                self.story.stage = Stage::Backlog {
                    note: Some(BacklogNote::Stopped),
                }
            }
            Then::Cancelled => {
                self.story.stage = Stage::Cancelled;
                self.forget_head();
            }
            Then::Again => self.begin_coding(),
            Then::Done { commit, receipt } => self.done(commit, receipt),
        }
    }
}

impl Phase {
    /// True while an agent is being stopped to go to rest.
    fn is_winding_down(&self) -> bool {
        match self {
            Self::Stopping { then, .. }
            | Self::Collecting {
                then: Some(then), ..
            } => {
                matches!(then, Then::Backlog | Then::Cancelled)
            }
            Self::Held
            | Self::Configuring
            | Self::WaitingForSlot
            | Self::WaitingForMoney { .. }
            | Self::Preparing(_)
            | Self::Starting { .. }
            | Self::Running { .. }
            | Self::Collecting { then: None, .. }
            | Self::Judging { .. } => false,
        }
    }
}
