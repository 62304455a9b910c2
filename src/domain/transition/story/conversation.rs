//! What people tell the agent, what other checks say about its commits, and how comments are
//! answered.
//!
//! What is told reaches the agent at its next turn. A story that would otherwise go on without one
//! (to a review, into the merge queue, to a person) turns back to its coder first: nothing that was
//! said to it lands unheard.

use super::{Refusal, Turn, ignored};
use crate::domain::delivery::CommentRef;
use crate::domain::effect::{Act, Reaction};
use crate::domain::event::StoryEvent;
use crate::domain::id::Sha;
use crate::domain::story::{
    BlockReason, BlockedFrom, FailedChecks, LastTry, Reply, Stage, Then, Wish,
};
use crate::domain::text::{head_at_char_boundary, visible_line};
use crate::domain::work::{Message, Place};

/// How much of a check's own words an agent is told, in bytes.
const SUMMARY_BYTES: usize = 500;
/// Who did something that the forge does not name the doer of.
const SOMEBODY: &str = "somebody";

impl Turn {
    pub(super) fn react(&mut self, comment: Option<CommentRef>, reaction: Reaction) {
        if let Some(comment) = comment {
            self.act(Act::React { comment, reaction });
        }
    }

    /// Only who asked in a comment is told why nothing came of it.
    pub(super) fn say_why_not(&mut self, comment: Option<CommentRef>, because: &str) {
        if comment.is_some() {
            self.react(comment, Reaction::Confused);
            let because = because.to_owned();
            self.act(Act::Reply {
                reply: Reply::Moot { because },
            });
        }
    }

    /// One word that is no command is an answer where there is a question.
    pub(super) fn as_an_answer(&self, wish: Wish) -> Wish {
        let reason = match &self.story.stage {
            Stage::Blocked { reason, .. } => Some(reason),
            Stage::Backlog { .. }
            | Stage::Coding(_)
            | Stage::Qa(_)
            | Stage::Merge(_)
            | Stage::MergeFailure { .. }
            | Stage::Done { .. }
            | Stage::Cancelled => None,
        };
        match (wish, reason) {
            (
                Wish::Say {
                    answer: Some(message),
                    ..
                },
                Some(BlockReason::Asked { .. }),
            ) => Wish::Tell { message },
            (other, _) => other,
        }
    }

    /// A running agent is not disturbed. A story that waits for a person goes on, with the message
    /// as its answer; one on its way to the base branch turns back.
    pub(super) fn tell_agent(&mut self, message: Message) {
        self.story.messages.push(message);
        match self.story.stage.clone() {
            Stage::Blocked { reason, from } => {
                self.forgive();
                if matches!(reason, BlockReason::Paused { .. }) {
                    self.lift_pauses();
                }
                match from {
                    BlockedFrom::MergeFailure { failure } => self.begin_fix_up(failure),
                    BlockedFrom::Coding | BlockedFrom::Qa | BlockedFrom::Merge { .. } => {
                        self.begin_coding();
                    }
                }
            }
            Stage::Merge(_) => {
                self.withdraw();
                self.begin_coding();
            }
            Stage::Backlog { .. }
            | Stage::Coding(_)
            | Stage::Qa(_)
            | Stage::MergeFailure { .. }
            | Stage::Done { .. }
            | Stage::Cancelled => {}
        }
    }

    /// Somebody else's commits on the story branch are brought in by its agent. Whoever may push
    /// there may write.
    pub(super) fn branch_pushed(&mut self, commit: &Sha, by: Option<&str>) -> Result<(), Refusal> {
        let rests = matches!(
            self.story.stage,
            Stage::Backlog { .. } | Stage::Done { .. } | Stage::Cancelled
        );
        if rests {
            return ignored("nobody works on it");
        }
        self.tell_agent(Message {
            author: by.unwrap_or(SOMEBODY).to_owned(),
            place: Place::Branch {
                commit: commit.clone(),
            },
            text: format!(
                "I pushed to the story's branch. The commit is in your repository: bring it into your work with\n\n\
                 \x20   git merge {commit}"
            ),
        });
        Ok(())
    }

    /// Its commits are kept. A person can start it again, which makes the branch anew.
    pub(super) fn branch_deleted(&mut self, by: Option<&str>) -> Result<(), Refusal> {
        if let Some(because) = self.moot(&Wish::Stop) {
            return ignored(because);
        }
        let by = by.unwrap_or(SOMEBODY);
        self.remember(format!("{by} deleted the story's branch on the forge."));
        self.story.branch_deleted_by = Some(by.to_owned());
        self.wind_down(Then::Backlog);
        Ok(())
    }

    /// A check of somebody else failed. What its log says is read first, where it has one.
    pub(super) fn check_event(&mut self, event: &StoryEvent) -> Result<(), Refusal> {
        match event {
            StoryEvent::CheckFailed {
                commit,
                name,
                summary,
                source,
            } => {
                self.expect_check(commit, name)?;
                let Some(source) = *source else {
                    self.hear_of_check((commit, name), summary, None);
                    return Ok(());
                };
                let (commit, name) = (commit.clone(), name.clone());
                self.act(Act::ReadCheck {
                    commit,
                    name,
                    summary: summary.clone(),
                    source,
                });
                Ok(())
            }
            StoryEvent::CheckRead {
                commit,
                name,
                summary,
                log,
            } => {
                self.expect_check(commit, name)?;
                self.hear_of_check((commit, name), summary, log.as_deref());
                Ok(())
            }
            other => Err(self.illegal(other.into())),
        }
    }

    /// Whether a failed check is news to the story as it is.
    fn expect_check(&self, commit: &Sha, name: &str) -> Result<(), Refusal> {
        if self.story.head.as_ref().map(|tip| &tip.commit) != Some(commit) {
            return ignored("of an older commit");
        }
        if matches!(self.story.stage, Stage::Done { .. } | Stage::Cancelled) {
            return ignored("it is over");
        }
        let known = self.story.failed_checks.as_ref();
        if known.is_some_and(|failed| failed.commit == *commit && failed.names.contains(name)) {
            return ignored("that check is known to have failed");
        }
        Ok(())
    }

    /// The first one on a commit calls the story back from the merge queue, as one of its retries;
    /// without a retry left it waits for a person.
    fn hear_of_check(&mut self, (commit, name): (&Sha, &str), summary: &str, log: Option<&str>) {
        let known = self.story.failed_checks.take();
        let mut failed = known
            .filter(|failed| failed.commit == *commit)
            .unwrap_or_else(|| FailedChecks {
                commit: commit.clone(),
                names: std::collections::BTreeSet::new(),
                told: false,
            });
        failed.names.insert(name.to_owned());
        self.story.failed_checks = Some(failed);
        let mut text = format!("The check {name} failed on your commit {}", commit.short());
        let summary = visible_line(summary);
        if !summary.is_empty() {
            text.push_str(": ");
            text.push_str(head_at_char_boundary(&summary, SUMMARY_BYTES));
        }
        self.remember_with_log(text, log);
        if matches!(self.story.stage, Stage::Merge(_)) && self.story.untold_checks().is_some() {
            self.withdraw();
            self.mend_checks();
        }
    }

    /// Turns back to the coder if there is something that it has to hear before the change goes on.
    pub(super) fn is_called_back(&mut self) -> bool {
        if !self.story.messages.is_empty() {
            self.begin_coding();
            return true;
        }
        if self.story.untold_checks().is_some() {
            self.mend_checks();
            return true;
        }
        false
    }

    fn mend_checks(&mut self) {
        if self.use_retry() {
            return self.begin_coding();
        }
        let failed = self.story.failed_checks.iter();
        let names = failed.flat_map(|failed| failed.names.clone()).collect();
        self.block_without_retries(LastTry::ChecksFailed { names });
    }

    /// Whether a person has said something already that may help with what stands in the way.
    pub(super) fn is_answered(&self, reason: &BlockReason) -> bool {
        let helps = match reason {
            BlockReason::Asked { .. } | BlockReason::SameFailure { .. } => true,
            BlockReason::RetriesUsedUp { last, .. } => match last {
                LastTry::GatesFailed { .. }
                | LastTry::NothingCommitted
                | LastTry::MarkersLeft { .. }
                | LastTry::ReviewFailed { .. }
                | LastTry::ChecksFailed { .. } => true,
                // It may never have begun, and so would not hear the next time either.
                LastTry::Ended { .. } => false,
            },
            BlockReason::Ceiling { .. }
            | BlockReason::CannotLaunch { .. }
            | BlockReason::WorktreeFailed { .. }
            | BlockReason::ProjectUnusable { .. }
            | BlockReason::Aborted { .. }
            | BlockReason::Lost { .. }
            | BlockReason::Paused { .. }
            | BlockReason::NothingTested
            | BlockReason::Protected { .. }
            | BlockReason::GatesUnavailable { .. }
            | BlockReason::PullRequestClosed { .. }
            | BlockReason::MergeFailed { .. } => false,
        };
        helps && !self.story.messages.is_empty()
    }

    /// Skips a review, never a gate: what is not accepted yet goes on being worked on and judged.
    pub(super) fn merge_without_review(&mut self) {
        match &self.story.stage {
            Stage::Coding(_) | Stage::MergeFailure { .. } => {
                self.story.wishes.skip_review = true;
            }
            Stage::Qa(_) => self.wind_down(Then::Merge),
            Stage::Blocked { .. } => {
                if let Some(head) = self.story.accepted_head().cloned() {
                    self.enter_merge(head);
                }
            }
            Stage::Backlog { .. } | Stage::Merge(_) | Stage::Done { .. } | Stage::Cancelled => {}
        }
    }

    pub(super) fn why_not_merge(&self) -> Option<&'static str> {
        let story = &self.story;
        match &story.stage {
            Stage::Coding(_) | Stage::MergeFailure { .. } if story.wishes.skip_review => {
                Some("it goes to the merge queue without a review already")
            }
            Stage::Qa(_) if self.destination() == Some(&Then::Merge) => {
                Some("it is on its way to the merge queue already")
            }
            Stage::Coding(_) | Stage::MergeFailure { .. } | Stage::Qa(_) => None,
            Stage::Merge(_) => Some("it is in the merge queue already"),
            Stage::Blocked { .. } if story.awaits_approval().is_some() => {
                Some("it waits for somebody to approve its commit")
            }
            Stage::Blocked { .. } if story.accepted_head().is_some() => None,
            Stage::Blocked { .. } => Some("its newest commit has not passed the gates"),
            Stage::Backlog { .. } | Stage::Done { .. } | Stage::Cancelled => {
                Some("nobody works on it")
            }
        }
    }
}

/// What shows somebody that what was asked is done.
pub(super) fn acknowledgement(wish: &Wish) -> Reaction {
    match wish {
        Wish::Say {
            reply: Reply::Unknown { .. } | Reply::Moot { .. },
            ..
        } => Reaction::Confused,
        Wish::Say {
            reply: Reply::Status | Reply::Help,
            ..
        }
        | Wish::Start { .. }
        | Wish::Edit { .. }
        | Wish::Confirm { .. }
        | Wish::Stop
        | Wish::Cancel
        | Wish::Retry { .. }
        | Wish::Approve { .. }
        | Wish::Hold
        | Wish::Release
        | Wish::PickAgent { .. }
        | Wish::Prioritise { .. }
        | Wish::Merge
        | Wish::Tell { .. } => Reaction::Eyes,
    }
}
