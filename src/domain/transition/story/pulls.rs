//! The pull request that a story lands by: opened with its first commit, ready once the gates
//! have passed, and what follows when somebody closes it or the forge merges something else.

use super::{Refusal, Turn, ignored};
use crate::domain::effect::Act;
use crate::domain::event::{RepoEvent, StoryEvent};
use crate::domain::id::{ItemName, Sha};
use crate::domain::pull::{Pull, PullState};
use crate::domain::story::{BlockReason, MergeFailure, MergePhase, Stage, Then};

impl Turn {
    pub(super) fn pull_event(&mut self, event: &StoryEvent) -> Result<(), Refusal> {
        match event {
            StoryEvent::PullOpened { number, plain } => self.pull_opened(*number, *plain),
            StoryEvent::PullRefused { message } => self.pull_refused(message),
            StoryEvent::PullClosed { number } => self.pull_closed(*number),
            StoryEvent::LandedDiffers {
                commit,
                tested,
                found,
                failed,
            } => {
                self.landed_differs(commit, (tested, found), failed);
                Ok(())
            }
            other => Err(self.illegal(other.into())),
        }
    }

    /// Has a pull request opened, where the project lands by one and there is a commit for it.
    pub(super) fn want_pull(&mut self) {
        let is_there = self.story.pull != PullState::None;
        if is_there || self.story.head.is_none() || !self.story.lands_by_pull() {
            return;
        }
        if let Some(branch) = self.story.branch.clone() {
            self.story.pull = PullState::Asked;
            self.act(Act::OpenPull { branch });
        }
    }

    /// The gates passed, and nothing stands between it and the queue.
    pub(super) fn pull_is_ready(&mut self) {
        if let PullState::Open(pull) = &mut self.story.pull {
            pull.ready = true;
        }
    }

    fn pull_opened(&mut self, number: u64, plain: bool) -> Result<(), Refusal> {
        if self.story.pull != PullState::Asked {
            return ignored("no pull request is being opened");
        }
        let ready = matches!(self.story.stage, Stage::Merge(_));
        self.story.pull = PullState::Open(Pull {
            number,
            plain,
            ready,
        });
        let (story, pull) = (self.story.id.clone(), number);
        self.tell_repo(RepoEvent::PullKnown { story, pull });
        Ok(())
    }

    /// It is asked for once more when it is needed; without one then, a person has to look.
    fn pull_refused(&mut self, message: &str) -> Result<(), Refusal> {
        if self.story.pull != PullState::Asked {
            return ignored("no pull request is being opened");
        }
        self.story.pull = PullState::None;
        let Stage::Merge(merge) = &self.story.stage else {
            return Ok(());
        };
        if merge.phase != MergePhase::Held {
            self.leave_queue();
        }
        let reason = message.to_owned();
        let failure = MergeFailure::PushRejected { reason };
        self.block(BlockReason::MergeFailed { failure });
        Ok(())
    }

    /// The issue is still open: who closed the pull request did not want this change, and may want
    /// another one. So the story waits for a person, its work kept; a retry opens a new one.
    fn pull_closed(&mut self, number: u64) -> Result<(), Refusal> {
        if self.story.pull.number() != Some(number) {
            return ignored("it is not the story's pull request any more");
        }
        self.story.pull = PullState::None;
        match &self.story.stage {
            Stage::Coding(_) | Stage::Qa(_) | Stage::Merge(_) | Stage::MergeFailure { .. } => {
                self.wind_down(Then::Blocked {
                    reason: BlockReason::PullRequestClosed { number },
                });
            }
            Stage::Backlog { .. }
            | Stage::Blocked { .. }
            | Stage::Done { .. }
            | Stage::Cancelled => {}
        }
        Ok(())
    }

    /// Nobody can call it back; a person looks at it, and says so with a retry.
    fn landed_differs(&mut self, commit: &Sha, (tested, found): (&Sha, &Sha), failed: &[ItemName]) {
        let failure = MergeFailure::LandedTreeDiffers {
            commit: commit.clone(),
            tested: tested.clone(),
            found: found.clone(),
            failed: failed.to_vec(),
        };
        self.wind_down(Then::Blocked {
            reason: BlockReason::MergeFailed { failure },
        });
    }
}
