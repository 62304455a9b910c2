//! Landing by pull request: the forge merges, and what it merged is compared with what was tested.
//!
//! What the forge does not merge yet is put on a shelf, so that it holds up nobody else. It is
//! tried again when something happens that may help, and every now and then.

use jiff::SignedDuration;

use super::merging::{MAX_FAILURES, Tested, too_early};
use super::{Refusal, Turn, ignored};
use crate::domain::effect::{Act, Effect, GatesBrief, Run};
use crate::domain::event::{RepoEvent, StoryEvent};
use crate::domain::id::{BranchName, ItemName, Sha, StoryId};
use crate::domain::project::Moment;
use crate::domain::pull::LandedTree;
use crate::domain::repo::{Merging, MergingPhase, Shelved};
use crate::domain::work::{Candidate, GateOutcome, GateReport, Receipt};

/// How soon the forge is asked again where no delivery told that something changed.
const ASK_AGAIN: SignedDuration = SignedDuration::from_mins(10);
/// Checks end in bursts: the forge is asked once, after the last of them.
const SETTLING: SignedDuration = SignedDuration::from_secs(3);

impl Turn {
    pub(super) fn merge_pull(
        &mut self,
        merging: &Merging,
        branch: BranchName,
        candidate: &Candidate,
    ) {
        self.effects.push(Effect::Act(Act::MergePull {
            number: merging.number,
            story: merging.entry.story.clone(),
            branch,
            candidate: candidate.clone(),
        }));
    }

    pub(super) fn shelve(&mut self, merging: Merging, tested: Tested, reason: &str) {
        let number = merging.number;
        let Tested { candidate, gates } = tested;
        let phase = MergingPhase::Waiting { candidate, gates };
        let due = merging.nudged;
        let merging = self.waits(merging, phase, reason);
        self.wake_shelved(number, ASK_AGAIN);
        self.repo.shelf.push(Shelved { merging, due });
        self.merge_next();
    }

    fn wake_shelved(&mut self, number: u64, after: SignedDuration) {
        self.wake(
            &format!("pull {number}"),
            after,
            RepoEvent::LandDue { number },
        );
    }

    pub(super) fn is_shelved(&self, story: &StoryId) -> bool {
        let mut shelf = self.repo.shelf.iter();
        shelf.any(|shelved| shelved.merging.entry.story == *story)
    }

    /// Takes the next thing from the shelf that something happened to.
    pub(super) fn take_due(&mut self) -> Option<(Merging, Tested)> {
        let due = self.repo.shelf.iter().position(|shelved| shelved.due)?;
        let merging = self.repo.shelf.remove(due).merging;
        match merging.phase.clone() {
            MergingPhase::Waiting { candidate, gates } => {
                Some((merging, Tested { candidate, gates }))
            }
            MergingPhase::Building { .. }
            | MergingPhase::Gating { .. }
            | MergingPhase::Landing { .. }
            | MergingPhase::Checking { .. } => None,
        }
    }

    fn make_due(&mut self, is_it: impl Fn(&Merging) -> bool) -> bool {
        let mut found = false;
        if let Some(merging) = self.repo.merging.as_mut().filter(|merging| is_it(merging))
            && matches!(merging.phase, MergingPhase::Landing { .. })
        {
            (merging.nudged, found) = (true, true);
        }
        for shelved in &mut self.repo.shelf {
            if is_it(&shelved.merging) {
                (shelved.due, found) = (true, true);
            }
        }
        found
    }

    /// Something happened to a story's pull request.
    pub(super) fn look_again(&mut self, story: &StoryId) -> Result<(), Refusal> {
        if !self.make_due(|merging| merging.entry.story == *story) {
            return ignored("it does not wait for the forge");
        }
        self.merge_next();
        Ok(())
    }

    /// A check passed on a commit that may have waited for it.
    pub(super) fn look_again_soon(&mut self, head: &Sha) -> Result<(), Refusal> {
        let mut shelf = self.repo.shelf.iter();
        let found = shelf.find(|shelved| shelved.merging.entry.head == *head);
        if let Some(number) = found.map(|shelved| shelved.merging.number) {
            self.wake_shelved(number, SETTLING);
            return Ok(());
        }
        if self.make_due(|merging| merging.entry.head == *head) {
            return Ok(());
        }
        ignored("nothing waits for that check")
    }

    /// The base moved, which may be what the forge wanted.
    pub(super) fn look_at_shelf_again(&mut self, tip: &Sha) {
        let stale = |merging: &Merging| {
            let candidate = merging.phase.candidate();
            candidate.is_some_and(|candidate| candidate.base != *tip)
        };
        self.make_due(stale);
    }

    /// A timer.
    pub(super) fn shelved_due(&mut self, number: u64) -> bool {
        let found = self.make_due(|merging| merging.number == number);
        if found {
            self.merge_next();
        }
        found
    }

    pub(super) fn pull_known(&mut self, story: &StoryId, pull: u64) -> Result<(), Refusal> {
        if self.repo.pulls.insert(pull, story.clone()).as_ref() == Some(story) {
            return ignored("it is known already");
        }
        if self.make_due(|merging| merging.entry.story == *story) {
            self.merge_next();
        }
        Ok(())
    }

    pub(super) fn pull_merged(&mut self, merging: Merging, tested: Tested, landed: &LandedTree) {
        let Tested { candidate, gates } = tested;
        if landed.tree == candidate.tree {
            let receipt = Receipt {
                base: landed.parent.clone(),
                head: candidate.head,
                commit: landed.commit.clone(),
                tree: candidate.tree,
                gates,
            };
            return self.has_landed(&merging.entry.story, receipt);
        }
        if landed.explained {
            self.check_landed(merging, candidate, landed);
        } else {
            let found = landed.tree.clone();
            self.stop_queue(
                &merging,
                &landed.commit,
                (candidate.tree, found),
                Vec::new(),
            );
        }
    }

    /// The base moved between the test and the merge. It cannot be called back; but whether it is
    /// any good can be found out at once.
    fn check_landed(&mut self, merging: Merging, tested: Candidate, landed: &LandedTree) {
        let head = tested.head;
        let landed = Candidate {
            base: landed.parent.clone(),
            head,
            commit: landed.commit.clone(),
            tree: landed.tree.clone(),
        };
        self.run_check(merging, tested.tree, landed);
    }

    fn run_check(&mut self, merging: Merging, tested: Sha, landed: Candidate) {
        self.repo.merge_number += 1;
        let number = self.repo.merge_number;
        let brief = GatesBrief {
            commit: landed.commit.clone(),
            rules: landed.base.clone(),
            moment: Moment::Merge,
        };
        let id = self.run_id(number);
        self.effects
            .push(Effect::Run(Run::StartGates { id, brief }));
        self.repo.merging = Some(Merging {
            number,
            phase: MergingPhase::Checking { tested, landed },
            ..merging
        });
    }

    pub(super) fn checked_landed(
        &mut self,
        merging: Merging,
        (tested, landed): (Sha, Candidate),
        event: &RepoEvent,
    ) -> Result<(), Refusal> {
        match event {
            RepoEvent::GatesEnded { report, .. } if report.tree == landed.tree => {
                self.judge_landed(&merging, (tested, landed), report);
            }
            RepoEvent::GatesEnded { .. } | RepoEvent::GatesLost { .. } => {
                if merging.failures + 1 < MAX_FAILURES {
                    let failures = merging.failures + 1;
                    self.run_check(
                        Merging {
                            failures,
                            ..merging
                        },
                        tested,
                        landed,
                    );
                } else {
                    self.stop_queue(&merging, &landed.commit, (tested, landed.tree), Vec::new());
                }
            }
            other => return Err(too_early(&merging, other)),
        }
        Ok(())
    }

    fn judge_landed(
        &mut self,
        merging: &Merging,
        (tested, landed): (Sha, Candidate),
        report: &GateReport,
    ) {
        if report.passed() {
            return self.has_landed(
                &merging.entry.story,
                Receipt {
                    base: landed.base,
                    head: landed.head,
                    commit: landed.commit,
                    tree: landed.tree,
                    gates: report.outcomes.clone(),
                },
            );
        }
        let failed = report
            .failures()
            .map(|outcome: &GateOutcome| outcome.gate.clone());
        let failed = failed.collect();
        self.stop_queue(merging, &landed.commit, (tested, landed.tree), failed);
    }

    /// What is on the base is not what was tested. Whatever lands next would land on that: so
    /// nothing does before a person has looked.
    fn stop_queue(
        &mut self,
        merging: &Merging,
        commit: &Sha,
        (tested, found): (Sha, Sha),
        failed: Vec<ItemName>,
    ) {
        let story = merging.entry.story.clone();
        if let Some(base) = &mut self.repo.base {
            base.tip = commit.clone();
        }
        self.unwatch(&story);
        self.repo.queue.retain(|entry| entry.story != story);
        self.repo.stopped = Some(story.clone());
        let commit = commit.clone();
        self.tell(
            &story,
            StoryEvent::LandedDiffers {
                commit,
                tested,
                found,
                failed,
            },
        );
        self.sync();
    }

    pub(super) fn queue_resumed(&mut self, story: &StoryId) -> Result<(), Refusal> {
        if self.repo.stopped.as_ref() != Some(story) {
            return ignored("the queue did not stop for it");
        }
        self.repo.stopped = None;
        self.merge_next();
        Ok(())
    }

    /// Somebody merged it: what it is now is nobody's to compare with anything.
    pub(super) fn merged_by_hand(&mut self, merging: &Merging, commit: &Sha) {
        let story = &merging.entry.story;
        self.unwatch(story);
        self.repo.queue.retain(|entry| entry.story != *story);
        let tip = commit.clone();
        self.tell(story, StoryEvent::Contained { tip });
        self.sync();
        self.merge_next();
    }
}
