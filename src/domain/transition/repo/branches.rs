//! Story branches that people move or delete on the forge.

use super::{Refusal, Turn, ignored};
use crate::domain::delivery::Push;
use crate::domain::effect::{Act, Effect};
use crate::domain::event::StoryEvent;
use crate::domain::id::{BranchName, Sha, StoryId};
use crate::domain::repo::{MergingPhase, Stray};

impl Turn {
    /// The story that works on a branch and has a commit.
    pub(super) fn story_of_branch(&self, branch: &BranchName) -> Option<StoryId> {
        let story = StoryId::new(self.repo.name.clone(), branch.story_number()?);
        self.repo.heads.contains_key(&story).then_some(story)
    }

    /// Most pushes to story branches are huskies' own, of the newest commit or of one before it.
    pub(super) fn story_branch_pushed(
        &mut self,
        story: &StoryId,
        push: &Push,
    ) -> Result<(), Refusal> {
        let by = Some(push.sender.clone());
        let Some(head) = self.repo.heads.get(story).cloned() else {
            return ignored("nobody works on that branch");
        };
        match &push.after {
            None => self.found_stray(&Stray {
                story: story.clone(),
                tip: None,
                by,
            }),
            Some(after) if *after == head => match self.repo.strays.remove(story) {
                Some(_) => Ok(()),
                None => ignored("huskies itself pushed that"),
            },
            Some(_) => {
                self.see_branch(story, head, by);
                Ok(())
            }
        }
    }

    /// Has all of them looked at.
    pub(super) fn see_branches(&mut self) {
        if self.repo.heads.is_empty() {
            return;
        }
        let heads = self.repo.heads.iter();
        let heads = heads
            .map(|(story, head)| (story.clone(), head.clone()))
            .collect();
        let act = Act::SeeBranches { heads, by: None };
        self.effects.push(Effect::Act(act));
    }

    /// What is known of a branch that is where it belongs again is forgotten.
    pub(super) fn branches_seen(
        &mut self,
        seen: &[(StoryId, Sha)],
        strays: &[Stray],
    ) -> Result<(), Refusal> {
        let before = self.repo.strays.len();
        let is_seen = |story: &StoryId| seen.iter().any(|(seen, _)| seen == story);
        let strays_still = |story: &StoryId| strays.iter().any(|stray| stray.story == *story);
        let keeps = |story: &StoryId| !is_seen(story) || strays_still(story);
        self.repo.strays.retain(|story, _| keeps(story));
        let mut is_news = self.repo.strays.len() < before;
        for stray in strays {
            is_news |= match self.moved_on(&stray.story, seen) {
                Some(head) => {
                    self.see_branch(&stray.story, head, stray.by.clone());
                    true
                }
                None => self.found_stray(stray).is_ok(),
            };
        }
        if is_news {
            Ok(())
        } else {
            ignored("all are where huskies put them, or it is known already")
        }
    }

    /// The story's newest commit, if its branch was held against an older one: what is on the forge
    /// then may be a commit that huskies itself pushed while it looked.
    fn moved_on(&self, story: &StoryId, seen: &[(StoryId, Sha)]) -> Option<Sha> {
        let head = self.repo.heads.get(story)?;
        let is_held_against = |(seen, held): &(StoryId, Sha)| seen == story && held == head;
        (!seen.iter().any(is_held_against)).then(|| head.clone())
    }

    fn see_branch(&mut self, story: &StoryId, head: Sha, by: Option<String>) {
        let heads = vec![(story.clone(), head)];
        self.effects
            .push(Effect::Act(Act::SeeBranches { heads, by }));
    }

    fn found_stray(&mut self, stray: &Stray) -> Result<(), Refusal> {
        let Stray { story, tip, by } = stray;
        if !self.repo.heads.contains_key(story) {
            return ignored("nobody works on that branch");
        }
        if self.repo.strays.get(story) == Some(tip) {
            return ignored("it is known already");
        }
        let by = by.clone();
        match tip {
            // Forges delete a branch when they merge it.
            None if self.is_landing(story) => {
                return ignored("its change is about to land");
            }
            None => self.tell(story, StoryEvent::BranchDeleted { by }),
            Some(commit) => {
                self.gate_head(commit, false);
                let commit = commit.clone();
                self.tell(story, StoryEvent::BranchPushed { commit, by });
            }
        }
        self.repo.strays.insert(story.clone(), tip.clone());
        Ok(())
    }

    /// Whether the forge is being asked to merge it, or has been.
    fn is_landing(&self, story: &StoryId) -> bool {
        let merging = self.repo.merging.as_ref();
        merging.is_some_and(|merging| {
            merging.entry.story == *story
                && match merging.phase {
                    MergingPhase::Landing { .. } | MergingPhase::Checking { .. } => true,
                    MergingPhase::Building { .. }
                    | MergingPhase::Gating { .. }
                    | MergingPhase::Waiting { .. } => false,
                }
        })
    }
}
