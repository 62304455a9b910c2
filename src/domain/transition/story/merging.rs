//! A story in the merge queue: what its repository tells it, and how it ends.

use super::{Refusal, Turn, ignored};
use crate::domain::effect::{Act, Announcement, MergeNews};
use crate::domain::event::{RepoEvent, StoryEvent};
use crate::domain::id::{ItemName, Sha};
use crate::domain::repo::QueueEntry;
use crate::domain::story::{
    BlockReason, BlockedFrom, Merge, MergeFailure, MergePhase, Phase, Purpose, Stage, Then, Work,
};
use crate::domain::work::{GateReport, Receipt};

/// Fix-ups of a failed merge before a person is asked.
const MAX_FIX_UPS: u32 = 1;

impl Turn {
    /// Takes a place in the queue, unless a person holds the story.
    pub(super) fn enter_merge(&mut self, head: Sha) {
        if self.story.wishes.held {
            self.merge_status(&head, MergeNews::Held);
            self.story.stage = Stage::Merge(Merge {
                head,
                phase: MergePhase::Held,
            });
            return;
        }
        let entry = QueueEntry {
            story: self.story.id.clone(),
            head: head.clone(),
            message: self.commit_message(),
            priority: self.story.wishes.priority,
            since: self.now,
        };
        self.merge_status(&head, MergeNews::Queued);
        self.story.stage = Stage::Merge(Merge {
            head,
            phase: MergePhase::Queued,
        });
        self.tell_repo(RepoEvent::Enqueued { entry });
    }

    /// The squash commit's message: the title, and where it came from.
    fn commit_message(&self) -> String {
        let title = self
            .story
            .task
            .title
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ");
        let title = if title.is_empty() {
            "Untitled".to_owned()
        } else {
            title
        };
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
                self.expect_merge(head)?;
                self.merge_status(head, MergeNews::Testing { base: base.clone() });
                self.merge_phase(head, MergePhase::Testing { base: base.clone() });
                Ok(())
            }
            StoryEvent::MergeWaits { head, reason } => {
                self.expect_merge(head)?;
                self.merge_status(
                    head,
                    MergeNews::Waiting {
                        reason: reason.clone(),
                    },
                );
                self.merge_phase(
                    head,
                    MergePhase::Waiting {
                        reason: reason.clone(),
                    },
                );
                Ok(())
            }
            StoryEvent::MergeConflicted { head, base, paths } => {
                self.expect_merge(head)?;
                self.conflicted(MergeFailure::ConflictDetected {
                    base: base.clone(),
                    paths: paths.clone(),
                });
                Ok(())
            }
            StoryEvent::MergeGatesFailed { head, base, report } => {
                self.expect_merge(head)?;
                self.merge_gates_failed(base, report);
                Ok(())
            }
            StoryEvent::MergeRejected { head, reason } => {
                self.expect_merge(head)?;
                let failure = MergeFailure::PushRejected {
                    reason: reason.clone(),
                };
                self.block(BlockReason::MergeFailed { failure });
                Ok(())
            }
            other => Err(self.illegal(other.into())),
        }
    }

    /// News about a head that is not in the queue any more is late.
    fn expect_merge(&self, head: &Sha) -> Result<(), Refusal> {
        match &self.story.stage {
            Stage::Merge(merge) if merge.head == *head => Ok(()),
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

    fn merge_phase(&mut self, head: &Sha, phase: MergePhase) {
        self.story.stage = Stage::Merge(Merge {
            head: head.clone(),
            phase,
        });
    }

    /// A coder repairs the conflict once; after that a person does.
    fn conflicted(&mut self, failure: MergeFailure) {
        if let Some(head) = self.story.head.clone() {
            self.merge_status(
                &head.commit,
                MergeNews::Failed {
                    failure: failure.clone(),
                },
            );
        }
        if self.story.counters.fixups >= MAX_FIX_UPS {
            let from = BlockedFrom::MergeFailure {
                failure: failure.clone(),
            };
            return self.block_at(BlockReason::MergeFailed { failure }, from);
        }
        self.act(Act::Announce {
            announcement: Announcement::Conflict {
                failure: failure.clone(),
            },
        });
        self.begin_fix_up(failure);
    }

    pub(super) fn begin_fix_up(&mut self, failure: MergeFailure) {
        self.story.counters.fixups += 1;
        let hold = self.story.wishes.held;
        let work = Work {
            purpose: Purpose::FixUp {
                failure: failure.clone(),
            },
            phase: Phase::Held,
        };
        self.story.stage = match failure {
            MergeFailure::ConflictDetected { .. } | MergeFailure::PushRejected { .. } => {
                Stage::MergeFailure { failure, work }
            }
            MergeFailure::GatesFailed { .. } => Stage::Coding(work),
        };
        if !hold {
            self.begin_attempt();
        }
    }

    fn merge_gates_failed(&mut self, base: &Sha, report: &GateReport) {
        let failed: Vec<ItemName> = report
            .failures()
            .map(|outcome| outcome.gate.clone())
            .collect();
        let failure = MergeFailure::GatesFailed {
            base: base.clone(),
            failed,
        };
        self.note_report(report);
        self.story.failure = Some(super::judging::failure_text(report));
        self.remember(format!(
            "Your change passed on its own, but its gates failed once it was merged with the base branch at {}.",
            base.short()
        ));
        if self.story.counters.fixups >= MAX_FIX_UPS {
            let from = BlockedFrom::MergeFailure {
                failure: failure.clone(),
            };
            return self.block_at(BlockReason::MergeFailed { failure }, from);
        }
        if let Some(head) = self.story.head.clone() {
            self.merge_status(
                &head.commit,
                MergeNews::Failed {
                    failure: failure.clone(),
                },
            );
        }
        self.begin_fix_up(failure);
    }

    /// The change is on the base: whatever was under way is over.
    fn end_with(&mut self, commit: Sha, receipt: Option<Box<Receipt>>) -> Result<(), Refusal> {
        if matches!(self.story.stage, Stage::Done { .. }) {
            return ignored("it is done already");
        }
        if self.story.work().is_some() {
            self.wind_down(Then::Done { commit, receipt });
        } else {
            self.done(commit, receipt);
        }
        Ok(())
    }

    pub(super) fn done(&mut self, commit: Sha, receipt: Option<Box<Receipt>>) {
        if let Some(receipt) = &receipt {
            self.story.gate_runs += u32::try_from(receipt.gates.len()).unwrap_or(u32::MAX);
        }
        if let Some(head) = self.story.head.clone() {
            self.merge_status(
                &head.commit,
                MergeNews::Landed {
                    commit: commit.clone(),
                },
            );
        }
        let announcement = Announcement::Done {
            commit: commit.clone(),
            receipt: receipt.clone(),
        };
        self.act(Act::Announce { announcement });
        self.forget_head();
        self.story.failure = None;
        self.story.stage = Stage::Done { commit, receipt };
    }
}
