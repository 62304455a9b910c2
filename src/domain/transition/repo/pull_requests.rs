//! What the forge says about pull requests that stories land by. All others are left to whoever
//! gates them.

use super::{Refusal, Turn, ignored};
use crate::domain::delivery::{PullRequestAction, PullRequestChange, PullRequestHead};
use crate::domain::event::StoryEvent;
use crate::domain::id::StoryId;
use crate::domain::repo::MergingPhase;

impl Turn {
    /// `None` when no story lands by this pull request.
    pub(super) fn pull_of_story(
        &mut self,
        change: &PullRequestChange,
    ) -> Option<Result<(), Refusal>> {
        let story = self.story_of_pull(change.number, &change.head)?;
        Some(self.story_pull(&story, change))
    }

    /// By its number, once that is known; until then by its branch.
    pub(super) fn story_of_pull(&self, number: u64, head: &PullRequestHead) -> Option<StoryId> {
        let known = self.repo.pulls.get(&number).cloned();
        known.or_else(|| self.story_of_head(head))
    }

    fn story_pull(&mut self, story: &StoryId, change: &PullRequestChange) -> Result<(), Refusal> {
        match &change.action {
            PullRequestAction::Closed { merged: None } => {
                let number = change.number;
                self.tell(story, StoryEvent::PullClosed { number });
            }
            PullRequestAction::Closed {
                merged: Some(commit),
            } => {
                if self.hears_of_it_anyway(story) {
                    return self.look_again(story);
                }
                self.unwatch(story);
                self.take_out(story);
                let tip = commit.clone();
                self.tell(story, StoryEvent::Contained { tip });
                self.sync();
                self.merge_next();
            }
            PullRequestAction::Reopened | PullRequestAction::Synchronized { .. } => {
                return self.look_again(story);
            }
            // These are huskies' own doing, nearly always.
            PullRequestAction::Opened
            | PullRequestAction::Edited
            | PullRequestAction::ReadyForReview
            | PullRequestAction::Labeled { .. }
            | PullRequestAction::Unlabeled { .. }
            | PullRequestAction::ConvertedToDraft => {
                return ignored("nothing follows from that for a story's own pull request");
            }
        }
        Ok(())
    }

    /// It was tested, and whether it is merged is asked for: only then is it known whether the
    /// forge did that for huskies, and what landed is compared with what was tested.
    fn hears_of_it_anyway(&self, story: &StoryId) -> bool {
        let lands = self.repo.merging.as_ref().is_some_and(|merging| {
            merging.entry.story == *story
                && match merging.phase {
                    MergingPhase::Landing { .. }
                    | MergingPhase::Waiting { .. }
                    | MergingPhase::Checking { .. } => true,
                    MergingPhase::Building { .. } | MergingPhase::Gating { .. } => false,
                }
        });
        lands || self.is_shelved(story)
    }
}
