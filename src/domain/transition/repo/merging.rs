//! The merge queue: one story at a time is built on the base's tip, tested, and landed.
//!
//! Each run has a number; whatever an older run still says is ignored.

use jiff::SignedDuration;

use super::{Refusal, Turn, ignored, no_older};
use crate::domain::effect::{Act, Effect, GatesBrief, Run};
use crate::domain::event::{RepoEvent, StoryEvent};
use crate::domain::id::{RunId, Sha, StoryId};
use crate::domain::project::Moment;
use crate::domain::repo::{Merging, MergingPhase, QueueEntry};
use crate::domain::work::{Candidate, GateOutcome, GateReport, Receipt};

/// How soon a change that passed tries again to land in a work tree that is not clean.
const LAND_AGAIN: SignedDuration = SignedDuration::from_secs(15);
/// Failures of git or of the gates' own machinery on one entry before a person is asked.
pub(super) const MAX_FAILURES: u32 = 3;

impl Turn {
    pub(super) fn enqueue(&mut self, entry: &QueueEntry) {
        self.repo.queue.retain(|other| other.story != entry.story);
        let before = self.repo.queue.iter().map(|other| other.since);
        let entry = QueueEntry {
            since: no_older(entry.since, before),
            ..entry.clone()
        };
        self.repo.queue.push(entry);
        self.sort_queue();
        self.merge_next();
    }

    fn sort_queue(&mut self) {
        self.repo
            .queue
            .sort_by_key(|entry| (-i64::from(entry.priority), entry.since));
    }

    /// True when the story waits here.
    pub(super) fn prioritise_queue(&mut self, story: &StoryId, priority: i32) -> bool {
        let shelved = self.repo.shelf.iter_mut();
        let shelved = shelved.map(|shelved| &mut shelved.merging.entry);
        let mut entries = self.repo.queue.iter_mut().chain(shelved);
        let Some(entry) = entries.find(|entry| entry.story == *story) else {
            return false;
        };
        entry.priority = priority;
        self.sort_queue();
        true
    }

    pub(super) fn withdraw(&mut self, story: &StoryId) -> Result<(), Refusal> {
        if !self.take_out(story) {
            return ignored("it is not in the queue");
        }
        self.merge_next();
        Ok(())
    }

    /// Takes a story out of the queue and out of its merge run. What lands already cannot be called
    /// back, but is not tried again.
    pub(super) fn take_out(&mut self, story: &StoryId) -> bool {
        let before = self.repo.queue.len() + self.repo.shelf.len();
        self.repo.queue.retain(|entry| entry.story != *story);
        self.repo
            .shelf
            .retain(|shelved| shelved.merging.entry.story != *story);
        let mut found = before != self.repo.queue.len() + self.repo.shelf.len();
        let Some(mut merging) = self
            .repo
            .merging
            .take_if(|merging| merging.entry.story == *story && !merging.withdrawn)
        else {
            return found;
        };
        found = true;
        if matches!(
            merging.phase,
            MergingPhase::Landing { .. } | MergingPhase::Checking { .. }
        ) {
            merging.withdrawn = true;
            self.repo.merging = Some(merging);
        } else {
            self.stop_gates(&merging);
        }
        found
    }

    pub(super) fn merge_next(&mut self) {
        let is_busy = self.repo.merging.is_some() || self.repo.stopped.is_some();
        if is_busy || self.repo.base.is_none() {
            return;
        }
        if let Some((merging, tested)) = self.take_due() {
            return self.land(merging, tested);
        }
        if self.repo.queue.is_empty() {
            return;
        }
        let entry = self.repo.queue.remove(0);
        self.build(entry, 0);
    }

    /// Starts a merge run for `entry` on the tip as it is now.
    fn build(&mut self, entry: QueueEntry, failures: u32) {
        let Some(base) = self.repo.base.as_ref().map(|base| base.tip.clone()) else {
            return self.repo.queue.insert(0, entry);
        };
        self.repo.merge_number += 1;
        self.effects.push(Effect::Act(Act::BuildCandidate {
            number: self.repo.merge_number,
            base: base.clone(),
            head: entry.head.clone(),
            message: entry.message.clone(),
        }));
        self.repo.merging = Some(Merging {
            number: self.repo.merge_number,
            entry,
            phase: MergingPhase::Building { base },
            failures,
            waits: None,
            withdrawn: false,
            nudged: false,
        });
    }

    /// A run that has not begun to land starts over when the base moved under it.
    pub(super) fn restart_merge_on(&mut self, tip: &Sha) {
        let stale = |merging: &mut Merging| match &merging.phase {
            MergingPhase::Building { base } => base != tip,
            // The forge may have merged it: it is asked first.
            MergingPhase::Waiting { .. } if merging.entry.by_pull => false,
            MergingPhase::Gating { candidate } | MergingPhase::Waiting { candidate, .. } => {
                candidate.base != *tip
            }
            MergingPhase::Landing { .. } | MergingPhase::Checking { .. } => false,
        };
        if let Some(merging) = self.repo.merging.take_if(stale) {
            self.stop_gates(&merging);
            self.build(merging.entry, merging.failures);
        }
    }

    fn stop_gates(&mut self, merging: &Merging) {
        if matches!(merging.phase, MergingPhase::Gating { .. }) {
            let id = self.run_id(merging.number);
            self.effects.push(Effect::Run(Run::Stop { id }));
        }
    }

    pub(super) fn run_id(&self, number: u64) -> RunId {
        RunId::Merge(self.repo.name.clone(), number)
    }

    pub(super) fn merge_event(&mut self, number: u64, event: &RepoEvent) -> Result<(), Refusal> {
        let current = |merging: &mut Merging| merging.number == number;
        let Some(merging) = self.repo.merging.take_if(current) else {
            if matches!(event, RepoEvent::LandDue { .. }) && self.shelved_due(number) {
                return Ok(());
            }
            return ignored("of an older merge run");
        };
        match merging.phase.clone() {
            MergingPhase::Building { base } => self.built(merging, &base, event),
            MergingPhase::Gating { candidate } => self.gated(merging, candidate, event),
            MergingPhase::Landing { candidate, gates } => {
                self.tried_to_land(merging, Tested { candidate, gates }, event)
            }
            MergingPhase::Checking { tested, landed } => {
                self.checked_landed(merging, (tested, landed), event)
            }
            MergingPhase::Waiting { candidate, gates } => {
                let tested = Tested { candidate, gates };
                if matches!(event, RepoEvent::LandDue { .. }) {
                    self.land(merging, tested);
                    return Ok(());
                }
                // A second answer to the same try.
                self.tried_to_land(merging, tested, event)
            }
        }
    }

    fn built(&mut self, merging: Merging, on: &Sha, event: &RepoEvent) -> Result<(), Refusal> {
        match event {
            RepoEvent::CandidateBuilt {
                candidate,
                protected,
                ..
            } if candidate.base == *on && candidate.head == merging.entry.head => {
                if protected.is_empty() || merging.entry.approved {
                    self.gate(merging, candidate);
                } else {
                    let paths = protected.clone();
                    self.fail(&merging, |head| StoryEvent::MergeNeedsApproval {
                        head,
                        paths,
                    });
                }
            }
            RepoEvent::CandidateBuilt { .. } => {
                self.broke_down(merging, "another change was built than the one to merge");
            }
            RepoEvent::CandidateConflicted { base, paths, .. } => {
                let (base, paths) = (base.clone(), paths.clone());
                self.fail(&merging, |head| StoryEvent::MergeConflicted {
                    head,
                    base,
                    paths,
                });
            }
            RepoEvent::CandidateEmpty { base, .. } => {
                self.unwatch(&merging.entry.story);
                let tip = base.clone();
                self.fail(&merging, |_| StoryEvent::Contained { tip });
            }
            RepoEvent::CandidateFailed { message, .. } => self.broke_down(merging, message),
            other => return Err(too_early(&merging, other)),
        }
        Ok(())
    }

    fn gate(&mut self, merging: Merging, candidate: &Candidate) {
        let brief = GatesBrief {
            commit: candidate.commit.clone(),
            rules: candidate.base.clone(),
            moment: Moment::Merge,
        };
        let id = self.run_id(merging.number);
        self.effects
            .push(Effect::Run(Run::StartGates { id, brief }));
        let (head, base) = (merging.entry.head.clone(), candidate.base.clone());
        self.tell(&merging.entry.story, StoryEvent::MergeBegan { head, base });
        let candidate = candidate.clone();
        self.repo.merging = Some(Merging {
            phase: MergingPhase::Gating { candidate },
            ..merging
        });
    }

    fn gated(
        &mut self,
        merging: Merging,
        candidate: Candidate,
        event: &RepoEvent,
    ) -> Result<(), Refusal> {
        match event {
            RepoEvent::GatesEnded { report, .. } => self.judge(merging, candidate, report),
            RepoEvent::GatesLost { message, .. } => self.broke_down(merging, message),
            RepoEvent::CandidateBuilt { .. }
            | RepoEvent::CandidateConflicted { .. }
            | RepoEvent::CandidateEmpty { .. }
            | RepoEvent::CandidateFailed { .. } => return ignored("it is built already"),
            other => return Err(too_early(&merging, other)),
        }
        Ok(())
    }

    /// Only the very tree that would land counts: a report on another one is no verdict.
    fn judge(&mut self, merging: Merging, candidate: Candidate, report: &GateReport) {
        if report.tree != candidate.tree {
            let message = "the gates ran on another tree than the one to land";
            return self.broke_down(merging, message);
        }
        if report.passed() {
            let gates = report.outcomes.clone();
            return self.land(merging, Tested { candidate, gates });
        }
        if report.tested_nothing() {
            let reason =
                "none of the gates applies to what changed, so nothing tested it".to_owned();
            return self.fail(&merging, |head| StoryEvent::MergeRejected { head, reason });
        }
        let (base, report) = (candidate.base, report.clone());
        self.fail(&merging, |head| StoryEvent::MergeGatesFailed {
            head,
            base,
            report,
        });
    }

    fn land(&mut self, merging: Merging, tested: Tested) {
        let Some(branch) = self.repo.base.as_ref().map(|base| base.branch.clone()) else {
            return self.repo.queue.insert(0, merging.entry);
        };
        let Tested { candidate, gates } = tested;
        if merging.entry.by_pull {
            self.merge_pull(&merging, branch, &candidate);
        } else {
            self.effects.push(Effect::Act(Act::Land {
                number: merging.number,
                branch,
                candidate: candidate.clone(),
            }));
        }
        self.repo.merging = Some(Merging {
            phase: MergingPhase::Landing { candidate, gates },
            nudged: false,
            ..merging
        });
    }

    fn tried_to_land(
        &mut self,
        merging: Merging,
        tested: Tested,
        event: &RepoEvent,
    ) -> Result<(), Refusal> {
        match event {
            RepoEvent::Landed { .. } => self.landed(&merging, tested),
            RepoEvent::LandMissed { tip, .. } => self.missed(merging, &tested.candidate, tip),
            RepoEvent::LandWaits { reason, .. } if !merging.withdrawn => {
                self.wait_to_land(merging, tested, reason);
            }
            RepoEvent::PullWaits { reason, .. } if !merging.withdrawn => {
                self.shelve(merging, tested, reason);
            }
            RepoEvent::LandWaits { .. } | RepoEvent::PullWaits { .. } => self.merge_next(),
            RepoEvent::PullMerged { landed, .. } => self.pull_merged(merging, tested, landed),
            RepoEvent::PullMergedByHand { commit, .. } => self.merged_by_hand(&merging, commit),
            RepoEvent::PullGone { pull, .. } => {
                let number = *pull;
                self.fail(&merging, |_| StoryEvent::PullClosed { number });
            }
            RepoEvent::LandRejected { reason, .. } => {
                let reason = reason.clone();
                self.fail(&merging, |head| StoryEvent::MergeRejected { head, reason });
            }
            RepoEvent::CandidateFailed { message, .. } => self.broke_down(merging, message),
            RepoEvent::CandidateBuilt { .. }
            | RepoEvent::CandidateConflicted { .. }
            | RepoEvent::CandidateEmpty { .. }
            | RepoEvent::GatesEnded { .. }
            | RepoEvent::GatesLost { .. } => return ignored("it is tested already"),
            RepoEvent::LandDue { .. } => return ignored("it is landing already"),
            other => return Err(too_early(&merging, other)),
        }
        Ok(())
    }

    fn landed(&mut self, merging: &Merging, tested: Tested) {
        let Candidate {
            base,
            head,
            commit,
            tree,
        } = tested.candidate;
        let gates = tested.gates;
        self.has_landed(
            &merging.entry.story,
            Receipt {
                base,
                head,
                commit,
                tree,
                gates,
            },
        );
    }

    pub(super) fn has_landed(&mut self, story: &StoryId, receipt: Receipt) {
        let commit = receipt.commit.clone();
        if let Some(base) = &mut self.repo.base {
            base.tip = commit;
        }
        self.unwatch(story);
        self.repo.queue.retain(|entry| entry.story != *story);
        let receipt = Box::new(receipt);
        self.tell(story, StoryEvent::Landed { receipt });
        // The project file may have changed with it, and other stories may be contained now.
        self.sync();
        self.merge_next();
    }

    /// The base is not where the change was built on. When it did not move either, something is
    /// wrong with the landing itself, and that is not tried for ever.
    fn missed(&mut self, merging: Merging, candidate: &Candidate, tip: &Sha) {
        if candidate.base == *tip {
            let message = "the base branch could not be moved, though nobody else moved it";
            return self.broke_down(merging, message);
        }
        if let Some(base) = &mut self.repo.base {
            base.tip = tip.clone();
        }
        self.sync();
        if merging.withdrawn {
            self.merge_next();
        } else {
            self.build(merging.entry, merging.failures);
        }
    }

    fn wait_to_land(&mut self, merging: Merging, tested: Tested, reason: &str) {
        let number = merging.number;
        let Tested { candidate, gates } = tested;
        let phase = MergingPhase::Waiting { candidate, gates };
        self.repo.merging = Some(self.waits(merging, phase, reason));
        self.wake("land", LAND_AGAIN, RepoEvent::LandDue { number });
    }

    /// Says why it waits, where that is news.
    pub(super) fn waits(&mut self, merging: Merging, phase: MergingPhase, reason: &str) -> Merging {
        if merging.waits.as_deref() != Some(reason) {
            let (head, reason) = (merging.entry.head.clone(), reason.to_owned());
            self.tell(
                &merging.entry.story,
                StoryEvent::MergeWaits { head, reason },
            );
        }
        Merging {
            phase,
            waits: Some(reason.to_owned()),
            ..merging
        }
    }

    /// Ends the run with news for its story, and goes on with the next one.
    fn fail(&mut self, merging: &Merging, news: impl FnOnce(Sha) -> StoryEvent) {
        if !merging.withdrawn {
            self.tell(&merging.entry.story, news(merging.entry.head.clone()));
        }
        self.merge_next();
    }

    fn broke_down(&mut self, merging: Merging, message: &str) {
        let failures = merging.failures + 1;
        if failures < MAX_FAILURES && !merging.withdrawn {
            return self.build(merging.entry, failures);
        }
        let reason = message.to_owned();
        self.fail(&merging, |head| StoryEvent::MergeRejected { head, reason });
    }
}

/// A change and the gates that passed on its tree.
pub(super) struct Tested {
    pub(super) candidate: Candidate,
    pub(super) gates: Vec<GateOutcome>,
}

pub(super) fn too_early(merging: &Merging, event: &RepoEvent) -> Refusal {
    Refusal::Illegal {
        event: event.into(),
        state: format!("merge run {} is {:?}", merging.number, merging.phase),
    }
}
