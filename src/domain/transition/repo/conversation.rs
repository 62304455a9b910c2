//! What people say in comments and reviews, and what other checks say about a commit: told to the
//! story that it is about.

use super::deliveries::Startable;
use super::proposals::spells;
use super::{Refusal, Turn, ignored};
use crate::domain::delivery::{
    CheckOutcome, CheckResult, Command, Comment, CommentRef, PullRequestHead, Review, ReviewKind,
    Said, Thread, Verdict,
};
use crate::domain::event::StoryEvent;
use crate::domain::id::{Sha, StoryId};
use crate::domain::story::{Actor, Reply, Wish};
use crate::domain::work::{Message, Place};

/// How the names of huskies' own checks and statuses begin.
const OWN_CHECKS: &str = "huskies/";

impl Turn {
    pub(super) fn commented(&mut self, comment: &Comment, said: &Said) -> Result<(), Refusal> {
        self.note_comment(comment.id);
        if let Said::Command {
            command: Command::Approve,
            text,
        } = said
            && comment.on_pull_request
            && self.is_proposal(comment.number)
        {
            self.approve_in_comment(comment, text.as_deref());
            return Ok(());
        }
        let Some(story) = self.story_of(comment) else {
            return ignored("it is not known which story that pull request is of");
        };
        let wishes = match said {
            // The text of a pull request is no task.
            Said::Command {
                command: Command::Start,
                text,
            } if !comment.on_pull_request => {
                let issue = Startable {
                    title: &comment.title,
                    body: &comment.body,
                    labels: &comment.labels,
                    family: &comment.family,
                    at: comment.at.unwrap_or(self.now),
                };
                let told = text.as_ref().map(|text| tell(&comment.sender, text));
                self.start(&issue).into_iter().chain(told).collect()
            }
            Said::Command {
                command: Command::Approve,
                text: Some(text),
            } => vec![self.approve(&story, text)],
            other => vec![wish(other, &comment.sender, Place::Conversation)],
        };
        let by = Actor::account(&comment.sender, comment.by_bot);
        let id = CommentRef {
            thread: Thread::Conversation,
            id: comment.id,
        };
        // One of them is acknowledged: it is one comment.
        let answered = wishes.iter().position(|wish| !matches!(wish, Wish::Hold));
        for (place, wish) in wishes.into_iter().enumerate() {
            let comment = (Some(place) == answered).then_some(id);
            let (by, wish) = (by.clone(), Box::new(wish));
            self.tell(&story, StoryEvent::Said { wish, by, comment });
        }
        Ok(())
    }

    /// An issue is its own story.
    fn story_of(&self, comment: &Comment) -> Option<StoryId> {
        if comment.on_pull_request {
            return self.repo.pulls.get(&comment.number).cloned();
        }
        Some(StoryId::new(self.repo.name.clone(), comment.number))
    }

    /// What is written in a review reaches the agent. An approval calls nobody back, whatever kind
    /// words come with it; a change that waited for it is tried again.
    pub(super) fn reviewed(&mut self, review: &Review, said: Option<&Said>) -> Result<(), Refusal> {
        let Some(story) = self.story_of_pull(review.number, &review.head) else {
            return self.reviewed_proposal(review, said);
        };
        let (place, comment) = match &review.kind {
            ReviewKind::Dismissed => return ignored("nothing follows from a dismissed review"),
            ReviewKind::Submitted {
                verdict: Verdict::Approved,
                ..
            } if !matches!(said, Some(Said::Command { .. })) => {
                return self.look_again(&story);
            }
            ReviewKind::Submitted { .. } => (Place::Review, None),
            ReviewKind::Comment { id, path, line } => {
                let (path, line) = (path.clone(), *line);
                let thread = Thread::Changes;
                let comment = CommentRef { thread, id: *id };
                (Place::Line { path, line }, Some(comment))
            }
        };
        let Some(said) = said else {
            return ignored("it says nothing");
        };
        let wish = Box::new(wish(said, &review.sender, place));
        let by = Actor::account(&review.sender, review.by_bot);
        self.tell(&story, StoryEvent::Said { wish, by, comment });
        Ok(())
    }

    fn reviewed_proposal(&mut self, review: &Review, said: Option<&Said>) -> Result<(), Refusal> {
        if !self.is_proposal(review.number) {
            return ignored("it is about no story's branch");
        }
        match said {
            Some(Said::Command {
                command: Command::Approve,
                text,
            }) => {
                let by = Actor::account(&review.sender, review.by_bot);
                self.approve_by_name(review.number, text.as_deref(), (&by, None));
                Ok(())
            }
            Some(_) | None => self.approve_in_review(review),
        }
    }

    /// Approves the story's newest commit, if that is the one that `text` begins to spell.
    fn approve(&self, story: &StoryId, text: &str) -> Wish {
        let tip = self.repo.heads.get(story);
        let named = tip.filter(|tip| spells(text, tip));
        match named {
            Some(commit) => Wish::Approve {
                commit: Some(commit.clone()),
                label: None,
            },
            None => say(Reply::Moot {
                because: "that commit does not wait for an approval".to_owned(),
            }),
        }
    }

    /// A branch of a fork is nobody's here, whatever its name.
    pub(super) fn story_of_head(&self, head: &PullRequestHead) -> Option<StoryId> {
        let is_ours = head.repo.as_ref() == Some(&self.repo.name);
        let branch = head.branch.as_ref().filter(|_| is_ours);
        self.story_of_branch(branch?)
    }

    /// Failures on a story's newest commit are told to it.
    pub(super) fn checked(&mut self, result: &CheckResult) -> Result<(), Refusal> {
        if result.name.starts_with(OWN_CHECKS) {
            return ignored("a check of huskies' own");
        }
        match result.outcome {
            CheckOutcome::Failure => {}
            CheckOutcome::Success | CheckOutcome::Neutral => {
                return self.look_again_soon(&result.commit);
            }
        }
        let Some(story) = self.story_at(&result.commit) else {
            return ignored("no story is at that commit");
        };
        let (commit, name) = (result.commit.clone(), result.name.clone());
        let (summary, source) = (result.summary.clone(), result.source());
        self.tell(
            &story,
            StoryEvent::CheckFailed {
                commit,
                name,
                summary,
                source,
            },
        );
        Ok(())
    }

    pub(super) fn story_at(&self, commit: &Sha) -> Option<StoryId> {
        let mut heads = self.repo.heads.iter();
        let found = heads.find(|(_, head)| *head == commit);
        found.map(|(story, _)| story.clone())
    }
}

fn message(author: &str, text: &str, place: Place) -> Message {
    Message {
        author: author.to_owned(),
        place,
        text: text.to_owned(),
    }
}

fn tell(author: &str, text: &str) -> Wish {
    Wish::Tell {
        message: message(author, text, Place::Conversation),
    }
}

fn say(reply: Reply) -> Wish {
    let answer = None;
    Wish::Say { reply, answer }
}

fn first_word(text: Option<&str>) -> String {
    let word = text.and_then(|text| text.split_whitespace().next());
    word.unwrap_or_default().trim_matches('`').to_owned()
}

/// What is asked for, where that does not depend on the issue. A retry with words behind it is
/// those words, which a blocked story goes on with; behind other commands words say nothing.
fn wish(said: &Said, author: &str, place: Place) -> Wish {
    match said {
        Said::ToAgent { text } => Wish::Tell {
            message: message(author, text, place),
        },
        Said::Unknown { word, alone } => Wish::Say {
            reply: Reply::Unknown { word: word.clone() },
            answer: alone.then(|| message(author, word, place)),
        },
        Said::Command { command, text } => match (command, text) {
            (Command::Retry | Command::Unblock, Some(text)) => tell(author, text),
            (Command::Retry | Command::Unblock, None) => Wish::Retry { label: None },
            (Command::Stop, _) => Wish::Stop,
            (Command::Merge, _) => Wish::Merge,
            (Command::Approve, _) => Wish::Approve {
                commit: None,
                label: None,
            },
            (Command::Confirm, text) => Wish::Confirm {
                digest: first_word(text.as_deref()),
            },
            (Command::Status, _) => say(Reply::Status),
            // A review does not know the issue that it would start.
            (Command::Help | Command::Start, _) => say(Reply::Help),
        },
    }
}
