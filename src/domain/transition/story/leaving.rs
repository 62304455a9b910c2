//! The ways out of whatever is under way: stopped, started again, landed, or blocked.

use super::{Progress, Refusal, Turn, ignored};
use crate::domain::effect::{Act, Announcement, Effect, GatesNews, MergeNews, Run};
use crate::domain::event::{AccountEvent, RepoEvent};
use crate::domain::id::{RunId, Sha};
use crate::domain::story::{
    Activity, BacklogNote, BlockReason, BlockedFrom, Merge, MergePhase, Phase, Purpose, Stage,
    Then, Work,
};
use crate::domain::work::Receipt;

impl Turn {
    /// Ends whatever is under way, keeps the work, and then goes where `then` says.
    pub(super) fn wind_down(&mut self, then: Then) {
        let then = match self.destination() {
            Some(earlier) => weightier(earlier.clone(), then),
            None => then,
        };
        let phase = self.story.work().map(|work| work.phase.clone());
        if matches!(phase, Some(Phase::Starting { .. } | Phase::Running { .. })) {
            let id = RunId::Agent(self.story.id.clone(), self.story.attempt);
            self.effects.push(Effect::Run(Run::Stop { id }));
        }
        if let Some(phase) = phase.and_then(|phase| on_the_way_out(phase, &then)) {
            return self.enter(phase);
        }
        self.let_go();
        // Who says that it landed took it out of the queue as well.
        if !matches!(then, Then::Done { .. }) {
            self.withdraw();
        }
        self.rest(then);
    }

    /// Where a story goes whose agent is being stopped.
    pub(super) fn destination(&self) -> Option<&Then> {
        match &self.story.work()?.phase {
            Phase::Stopping { then, .. } => Some(then),
            Phase::Collecting { then, .. } => then.as_ref(),
            Phase::Held
            | Phase::Configuring
            | Phase::WaitingForSlot
            | Phase::WaitingForMoney { .. }
            | Phase::Preparing(_)
            | Phase::Starting { .. }
            | Phase::Running { .. }
            | Phase::Judging { .. } => None,
        }
    }

    /// Gives back what an attempt without a running agent holds.
    fn let_go(&mut self) {
        match self.progress() {
            Progress::WaitingForSlot => self.release_slot(),
            Progress::WaitingForMoney | Progress::Preparing => {
                self.release_slot();
                self.release_money();
            }
            Progress::Judging => self.stop_judging(),
            Progress::Configuring
            | Progress::Starting
            | Progress::Running
            | Progress::Collecting
            | Progress::Over => {}
        }
    }

    pub(super) fn withdraw(&mut self) {
        if let Stage::Merge(Merge { head, phase }) = self.story.stage.clone() {
            if phase != MergePhase::Held {
                self.leave_queue();
            }
            self.merge_status(&head, MergeNews::Withdrawn);
        }
    }

    fn stop_judging(&mut self) {
        let Some(Phase::Judging { collected, .. }) = self.story.work().map(|work| &work.phase)
        else {
            return;
        };
        let head = collected.head.clone();
        let id = self.gates_run_id();
        self.effects.push(Effect::Run(Run::Stop { id }));
        self.gates_status(&head, GatesNews::Superseded);
    }

    pub(super) fn leave_queue(&mut self) {
        let story = self.story.id.clone();
        self.tell_repo(RepoEvent::Withdrawn { story });
    }

    pub(super) fn release_slot(&mut self) {
        let (story, attempt) = (self.story.id.clone(), self.story.attempt);
        self.tell_repo(RepoEvent::SlotReleased { story, attempt });
    }

    pub(super) fn release_money(&mut self) {
        let (story, attempt) = (self.story.id.clone(), self.story.attempt);
        self.tell_account(AccountEvent::Released { story, attempt });
    }

    /// Goes where a stop leads, the work being kept.
    pub(super) fn rest(&mut self, then: Then) {
        match then {
            Then::Backlog => {
                self.story.stage = Stage::Backlog {
                    note: Some(BacklogNote::Stopped),
                }
            }
            Then::Cancelled => {
                self.story.stage = Stage::Cancelled;
                self.retire();
            }
            Then::Again => self.begin_again(),
            Then::Merge => match self.story.head.clone() {
                Some(head) => self.enter_merge(head.commit),
                None => self.begin_again(),
            },
            Then::Blocked { reason } => self.block(reason),
            Then::Done { commit, receipt } => {
                self.done(commit, receipt);
                self.retire();
            }
        }
    }

    pub(super) fn done(&mut self, commit: Sha, receipt: Option<Box<Receipt>>) {
        let landed = receipt.as_ref().map(|receipt| receipt.head.clone());
        let newest = self.story.head.as_ref().map(|head| head.commit.clone());
        if let Some(head) = landed.or(newest) {
            let commit = commit.clone();
            self.merge_status(&head, MergeNews::Landed { commit });
        }
        self.act(Act::Announce {
            announcement: Announcement::Done {
                commit: commit.clone(),
                receipt: receipt.clone(),
            },
        });
        self.story.failure = None;
        self.story.stage = Stage::Done { commit, receipt };
    }

    /// A story that has ended needs neither a watch on its tip nor its worktree.
    fn retire(&mut self) {
        self.unwatch();
        if let Some(branch) = self.story.branch.clone() {
            self.act(Act::RetireWorktree { branch });
        }
    }

    /// Gives the worktree of a story back at which nobody works. Stopped, blocked or ended: the next
    /// attempt gets a new one with everything that was kept.
    pub(super) fn long_at_rest(&mut self) -> Result<(), Refusal> {
        if self.story.activity() != Activity::None {
            return ignored("it is not at rest");
        }
        let Some(branch) = self.story.branch.clone() else {
            return ignored("it never had a worktree");
        };
        self.act(Act::RetireWorktree { branch });
        Ok(())
    }

    pub(super) fn unwatch(&mut self) {
        self.story.base_conflict = None;
        let story = self.story.id.clone();
        self.tell_repo(RepoEvent::HeadKnown { story, head: None });
    }

    /// Stops here until a person acts, says why on the forge, and where a retry will go on.
    /// Not where somebody has said meanwhile what may help.
    pub(super) fn block(&mut self, reason: BlockReason) {
        if self.is_answered(&reason) {
            self.forgive();
            return self.begin_coding();
        }
        let from = match &self.story.stage {
            Stage::Coding(Work {
                purpose: Purpose::FixUp { failure },
                ..
            })
            | Stage::MergeFailure { failure, .. } => BlockedFrom::MergeFailure {
                failure: failure.clone(),
            },
            Stage::Qa(_) => BlockedFrom::Qa,
            Stage::Merge(merge) => BlockedFrom::Merge {
                head: merge.head.clone(),
            },
            Stage::Backlog { .. }
            | Stage::Coding(_)
            | Stage::Blocked { .. }
            | Stage::Done { .. }
            | Stage::Cancelled => BlockedFrom::Coding,
        };
        self.block_at(reason, from);
    }

    pub(super) fn block_at(&mut self, reason: BlockReason, from: BlockedFrom) {
        if let Some(head) = self.story.head.clone() {
            let news = if let BlockReason::MergeFailed { failure } = &reason {
                let failure = failure.clone();
                MergeNews::Failed { failure }
            } else {
                MergeNews::Blocked
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

/// How an attempt goes on that is to end; `None` when nothing of it has to be waited for.
fn on_the_way_out(phase: Phase, then: &Then) -> Option<Phase> {
    match phase {
        Phase::Starting {
            engagement, from, ..
        }
        | Phase::Running {
            engagement, from, ..
        }
        | Phase::Stopping {
            engagement, from, ..
        } => Some(Phase::Stopping {
            engagement,
            from,
            then: then.clone(),
        }),
        Phase::Collecting { agent, end, .. } => Some(Phase::Collecting {
            agent,
            end,
            then: Some(then.clone()),
        }),
        Phase::Held
        | Phase::Configuring
        | Phase::WaitingForSlot
        | Phase::WaitingForMoney { .. }
        | Phase::Preparing(_)
        | Phase::Judging { .. } => None,
    }
}

/// What landed has landed, whatever is asked afterwards; and a closed issue does not go back to
/// Backlog because its label is removed as well.
fn weightier(earlier: Then, later: Then) -> Then {
    match (&earlier, &later) {
        (Then::Done { .. }, _)
        | (Then::Cancelled, Then::Backlog | Then::Blocked { .. })
        | (Then::Backlog, Then::Blocked { .. }) => earlier,
        (Then::Backlog | Then::Cancelled | Then::Again | Then::Merge | Then::Blocked { .. }, _) => {
            later
        }
    }
}
