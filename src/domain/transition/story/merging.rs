//! A story in the merge queue: what its repository tells it, and how a failed merge is repaired.

use super::{Refusal, Turn, ignored};
use crate::domain::effect::{Act, Announcement, MergeNews};
use crate::domain::event::{RepoEvent, StoryEvent};
use crate::domain::id::{ItemName, Sha};
use crate::domain::repo::QueueEntry;
use crate::domain::story::{
    BaseConflict, BlockReason, BlockedFrom, Merge, MergeFailure, MergePhase, Purpose, Stage, Then,
};
use crate::domain::text::{ends_with_closing_word, inert_line};
use crate::domain::work::{GateReport, GateVerdict, Receipt};

/// The longest title that a commit's subject shows.
const SUBJECT_CHARS: usize = 120;
/// Fix-ups of a failed merge before a person is asked.
const MAX_FIX_UPS: u32 = 1;

impl Turn {
    /// Takes a place in the queue, unless a person holds the story.
    pub(super) fn enter_merge(&mut self, head: Sha) {
        if self.is_called_back() {
            return;
        }
        if self.story.wishes.held {
            return self.hold_merge(head);
        }
        self.pull_is_ready();
        self.want_pull();
        let entry = QueueEntry {
            story: self.story.id.clone(),
            head: head.clone(),
            message: self.commit_message(),
            priority: self.story.wishes.priority,
            since: self.now,
            approved: self.story.approved.as_ref() == Some(&head),
            by_pull: self.story.lands_by_pull(),
        };
        self.merge_status(&head, MergeNews::Queued);
        self.merge_phase(&head, MergePhase::Queued);
        self.tell_repo(RepoEvent::Enqueued { entry });
    }

    /// The squash commit's message: the title, and where it came from. Whoever may open an issue
    /// writes the title, and a forge acts on the messages of commits that land.
    fn commit_message(&self) -> String {
        let mut title = inert_line(&self.story.task.title, SUBJECT_CHARS);
        if title.is_empty() {
            "Untitled".clone_into(&mut title);
        }
        // `Fixes (#42)` is a reference; no forge shall ever read it as an order.
        if ends_with_closing_word(&title) {
            title.push('.');
        }
        format!(
            "{title} (#{})\n\nStory: {}\n",
            self.story.id.number, self.story.id
        )
    }

    pub(super) fn merge_event(&mut self, event: &StoryEvent) -> Result<(), Refusal> {
        match event {
            StoryEvent::Landed { receipt } => {
                self.end_with(receipt.commit.clone(), Some(receipt.clone()))
            }
            StoryEvent::Contained { tip } => self.end_with(tip.clone(), None),
            StoryEvent::MergeBegan { head, base } => {
                let base = base.clone();
                self.merge_goes_on(
                    head,
                    MergeNews::Testing { base: base.clone() },
                    MergePhase::Testing { base },
                )
            }
            StoryEvent::MergeWaits { head, reason } => {
                let reason = reason.clone();
                self.merge_goes_on(
                    head,
                    MergeNews::Waiting {
                        reason: reason.clone(),
                    },
                    MergePhase::Waiting { reason },
                )
            }
            StoryEvent::MergeConflicted { head, base, paths } => {
                self.expect_merge(head)?;
                let (base, paths) = (base.clone(), paths.clone());
                self.repair(MergeFailure::ConflictDetected { base, paths });
                Ok(())
            }
            StoryEvent::MergeGatesFailed { head, base, report } => {
                self.merge_gates_failed(head, base, report)
            }
            StoryEvent::MergeRejected { head, reason } => self.merge_rejected(head, reason),
            StoryEvent::MergeNeedsApproval { head, paths } => {
                self.expect_merge(head)?;
                let (commit, paths) = (head.clone(), paths.clone());
                self.block(BlockReason::Protected { commit, paths });
                Ok(())
            }
            other => Err(self.illegal(other.into())),
        }
    }

    /// News about a head that is not in the queue any more is late.
    fn expect_merge(&self, head: &Sha) -> Result<(), Refusal> {
        match &self.story.stage {
            Stage::Merge(merge) if merge.head == *head && merge.phase != MergePhase::Held => Ok(()),
            Stage::Merge(_)
            | Stage::Backlog { .. }
            | Stage::Coding(_)
            | Stage::Qa(_)
            | Stage::MergeFailure { .. }
            | Stage::Blocked { .. }
            | Stage::Done { .. }
            | Stage::Cancelled => ignored("it is not being merged"),
        }
    }

    fn merge_goes_on(
        &mut self,
        head: &Sha,
        news: MergeNews,
        phase: MergePhase,
    ) -> Result<(), Refusal> {
        self.expect_merge(head)?;
        self.merge_status(head, news);
        self.merge_phase(head, phase);
        Ok(())
    }

    fn merge_phase(&mut self, head: &Sha, phase: MergePhase) {
        let head = head.clone();
        self.story.stage = Stage::Merge(Merge { head, phase });
    }

    fn merge_gates_failed(
        &mut self,
        head: &Sha,
        base: &Sha,
        report: &GateReport,
    ) -> Result<(), Refusal> {
        self.expect_merge(head)?;
        let failed = report.failures().map(|outcome| outcome.gate.clone());
        let failed: Vec<ItemName> = failed.collect();
        self.note_report(report);
        self.story.failure = Some(super::judging::failure_text(report));
        self.remember(format!(
            "Your change passed on its own, but its gates failed once it was merged with the base \
             branch at {}.",
            base.short()
        ));
        let base = base.clone();
        self.repair(MergeFailure::GatesFailed { base, failed });
        Ok(())
    }

    /// The forge will not have it, whatever the change is: a person has to look.
    fn merge_rejected(&mut self, head: &Sha, reason: &str) -> Result<(), Refusal> {
        self.expect_merge(head)?;
        let reason = reason.to_owned();
        let failure = MergeFailure::PushRejected { reason };
        self.block(BlockReason::MergeFailed { failure });
        Ok(())
    }

    /// A coder repairs a failed merge once; after that a person does.
    fn repair(&mut self, failure: MergeFailure) {
        if self.story.counters.fixups >= MAX_FIX_UPS {
            let from = BlockedFrom::MergeFailure {
                failure: failure.clone(),
            };
            return self.block_at(BlockReason::MergeFailed { failure }, from);
        }
        if let Some(head) = self.story.head.clone() {
            let failure = failure.clone();
            self.merge_status(&head.commit, MergeNews::Failed { failure });
        }
        if matches!(failure, MergeFailure::ConflictDetected { .. }) {
            let failure = failure.clone();
            self.act(Act::Announce {
                announcement: Announcement::Conflict { failure },
            });
        }
        self.begin_fix_up(failure);
    }

    pub(super) fn begin_fix_up(&mut self, failure: MergeFailure) {
        self.story.counters.fixups += 1;
        let purpose = Purpose::FixUp {
            failure: failure.clone(),
        };
        if let MergeFailure::ConflictDetected { paths, .. } = &failure {
            self.story.conflicts.clone_from(paths);
        }
        match failure {
            MergeFailure::ConflictDetected { .. }
            | MergeFailure::PushRejected { .. }
            | MergeFailure::LandedTreeDiffers { .. } => {
                self.enter_stage(|work| Stage::MergeFailure { failure, work }, purpose);
            }
            MergeFailure::GatesFailed { .. } => self.enter_stage(Stage::Coding, purpose),
        }
    }

    /// The base branch moved under a story in flight. An agent is told at its next turn; people
    /// see it in the sticky comment. What is in the merge queue is tried there anyway.
    pub(super) fn base_conflicts(
        &mut self,
        head: &Sha,
        base: &Sha,
        paths: &[String],
    ) -> Result<(), Refusal> {
        if self.story.head.as_ref().map(|tip| &tip.commit) != Some(head) {
            return ignored("of an older commit");
        }
        let conflict = (!paths.is_empty()).then(|| BaseConflict {
            base: base.clone(),
            paths: paths.to_vec(),
        });
        if conflict.is_none() && self.story.base_conflict.is_none() {
            return ignored("it did not conflict");
        }
        let text = match &conflict {
            Some(BaseConflict { base, paths }) => format!(
                "The base branch moved to {} and conflicts with your branch in {}.",
                base.short(),
                paths.join(", ")
            ),
            None => format!(
                "The base branch moved to {} and does not conflict with your branch any more.",
                base.short()
            ),
        };
        self.remember(text);
        self.story.base_conflict = conflict;
        Ok(())
    }

    /// The change is on the base: whatever was under way is over.
    fn end_with(&mut self, commit: Sha, receipt: Option<Box<Receipt>>) -> Result<(), Refusal> {
        if matches!(self.story.stage, Stage::Done { .. }) {
            return ignored("it is done already");
        }
        if let Some(receipt) = &receipt {
            let ran = receipt
                .gates
                .iter()
                .filter(|outcome| outcome.verdict != GateVerdict::Skipped);
            self.story.gate_runs += u32::try_from(ran.count()).unwrap_or(u32::MAX);
        }
        self.wind_down(Then::Done { commit, receipt });
        Ok(())
    }
}
