//! What can happen. Every delivery, every result of an effect and every timer becomes one of these.

mod account;
mod repo;
mod subject;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::account::Reservation;
use super::delivery::{CheckSource, CommentRef};
use super::dependency::Need;
pub use super::head::HeadEvent;
use super::head::HeadId;
use super::id::{Attempt, ItemName, RepoName, SessionId, Sha, StoryId};
use super::project::Project;
use super::story::{Actor, Admission, Wish};
use super::work::{Collected, End, GateReport, ProcessIdentity, Receipt, Usage};

pub use account::AccountEvent;
pub use repo::RepoEvent;
pub use subject::SubjectId;

/// An event and the subject it is for, which cannot disagree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "subject")]
pub enum Event {
    Story { id: StoryId, event: StoryEvent },
    Repo { id: RepoName, event: RepoEvent },
    Head { id: HeadId, event: HeadEvent },
    Account { event: AccountEvent },
}

impl Event {
    pub fn story(id: &StoryId, event: StoryEvent) -> Self {
        Self::Story {
            id: id.clone(),
            event,
        }
    }

    pub fn repo(id: &RepoName, event: RepoEvent) -> Self {
        Self::Repo {
            id: id.clone(),
            event,
        }
    }

    pub fn subject(&self) -> SubjectId {
        match self {
            Self::Story { id, .. } => SubjectId::Story(id.clone()),
            Self::Repo { id, .. } => SubjectId::Repo(id.clone()),
            Self::Head { id, .. } => SubjectId::Head(id.clone()),
            Self::Account { .. } => SubjectId::Account,
        }
    }

    /// The attempt that a story's event is about, where it is about one.
    pub fn attempt(&self) -> Option<u32> {
        match self {
            Self::Story { event, .. } => event.attempt().map(|attempt| attempt.0),
            Self::Repo { .. } | Self::Head { .. } | Self::Account { .. } => None,
        }
    }

    /// The event's name in the log and in refusals.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Story { event, .. } => event.into(),
            Self::Repo { event, .. } => event.into(),
            Self::Head { event, .. } => event.into(),
            Self::Account { event } => event.into(),
        }
    }
}

/// What can happen to a story.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, strum::IntoStaticStr)]
#[serde(rename_all = "snake_case", tag = "event")]
#[strum(serialize_all = "snake_case")]
pub enum StoryEvent {
    Asked {
        wish: Wish,
        by: Actor,
    },
    /// Somebody asked for something in a comment or a review.
    Said {
        wish: Box<Wish>,
        by: Actor,
        comment: Option<CommentRef>,
    },
    Admitted {
        request: u64,
        answer: Admission,
    },
    /// Another story depends on it, and its repository wants to know how it stands.
    Awaited,
    /// How what it waits for stands, and the circle in which it waits for itself, if it does.
    NeedsStand {
        needs: Vec<Need>,
        #[serde(default)]
        circle: Vec<u64>,
    },
    ProjectRead {
        attempt: Attempt,
        base: Sha,
        project: Box<Project>,
    },
    ProjectUnusable {
        attempt: Attempt,
        message: String,
    },
    SlotGranted {
        attempt: Attempt,
        agent: ItemName,
    },
    Reserved {
        attempt: Attempt,
        reservation: Reservation,
    },
    MoneyDelayed {
        attempt: Attempt,
        because: String,
        until: Option<Timestamp>,
    },
    MoneyRefused {
        attempt: Attempt,
        reason: String,
    },
    WorktreeReady {
        attempt: Attempt,
        head: Sha,
        hook_trouble: Option<String>,
        /// What somebody had tampered with since the last attempt, and was put back.
        #[serde(default)]
        noticed: Vec<String>,
    },
    WorktreeFailed {
        attempt: Attempt,
        message: String,
    },
    AgentStarted {
        attempt: Attempt,
        process: ProcessIdentity,
    },
    SessionSeen {
        attempt: Attempt,
        session: SessionId,
    },
    AgentEnded {
        attempt: Attempt,
        end: End,
        usage: Usage,
    },
    WorkCollected {
        attempt: Attempt,
        collected: Collected,
    },
    WorkNotCollected {
        attempt: Attempt,
        message: String,
    },
    GatesEnded {
        attempt: Attempt,
        /// Which run of the attempt's gates it was ([`super::id::RunId::Accept`]).
        #[serde(default)]
        round: u32,
        report: GateReport,
    },
    /// The gates broke down without a verdict.
    GatesLost {
        attempt: Attempt,
        #[serde(default)]
        round: u32,
        message: String,
    },
    MergeBegan {
        head: Sha,
        base: Sha,
    },
    MergeWaits {
        head: Sha,
        reason: String,
    },
    MergeConflicted {
        head: Sha,
        base: Sha,
        paths: Vec<String>,
    },
    MergeGatesFailed {
        head: Sha,
        base: Sha,
        report: GateReport,
    },
    MergeRejected {
        head: Sha,
        reason: String,
    },
    /// What would land touches protected paths, and nobody approved it.
    MergeNeedsApproval {
        head: Sha,
        paths: Vec<String>,
    },
    Landed {
        receipt: Box<Receipt>,
    },
    /// It landed as another tree than the tested one, and the queue has stopped for it.
    LandedDiffers {
        commit: Sha,
        tested: Sha,
        found: Sha,
        failed: Vec<ItemName>,
    },
    PullOpened {
        number: u64,
        /// The forge has no drafts here.
        plain: bool,
    },
    /// The forge does not open it, for good or until somebody mends something.
    PullRefused {
        message: String,
    },
    /// Somebody closed it, and did not merge it.
    PullClosed {
        number: u64,
    },
    /// Somebody else put commits on the story branch.
    BranchPushed {
        commit: Sha,
        by: Option<String>,
    },
    /// Somebody deleted the story branch on the forge.
    BranchDeleted {
        by: Option<String>,
    },
    /// The base branch contains the story's commits without huskies having landed them.
    Contained {
        tip: Sha,
    },
    /// A check of somebody else failed on a commit. `summary` is what it says about it; its log can
    /// be read where `source` says so.
    CheckFailed {
        commit: Sha,
        name: String,
        summary: String,
        #[serde(default)]
        source: Option<CheckSource>,
    },
    /// `log` is the failing part of it, where there is one.
    CheckRead {
        commit: Sha,
        name: String,
        summary: String,
        log: Option<String>,
    },
    /// Nothing has happened for long: a worktree that it still has can go. What is in it is kept
    /// first, and the next attempt gets a new one.
    LongAtRest,
    /// The base branch moved, and `head` conflicts with it in `paths`; none when it does not any
    /// more. Told on every change, not at every move.
    BaseConflicts {
        head: Sha,
        base: Sha,
        paths: Vec<String>,
    },
}

impl StoryEvent {
    /// The attempt that the event is about; what people and the merge queue say is about none.
    pub fn attempt(&self) -> Option<Attempt> {
        match self {
            Self::ProjectRead { attempt, .. }
            | Self::ProjectUnusable { attempt, .. }
            | Self::SlotGranted { attempt, .. }
            | Self::Reserved { attempt, .. }
            | Self::MoneyDelayed { attempt, .. }
            | Self::MoneyRefused { attempt, .. }
            | Self::WorktreeReady { attempt, .. }
            | Self::WorktreeFailed { attempt, .. }
            | Self::AgentStarted { attempt, .. }
            | Self::SessionSeen { attempt, .. }
            | Self::AgentEnded { attempt, .. }
            | Self::WorkCollected { attempt, .. }
            | Self::WorkNotCollected { attempt, .. }
            | Self::GatesEnded { attempt, .. }
            | Self::GatesLost { attempt, .. } => Some(*attempt),
            Self::Asked { .. }
            | Self::Said { .. }
            | Self::Awaited
            | Self::NeedsStand { .. }
            | Self::CheckFailed { .. }
            | Self::CheckRead { .. }
            | Self::BranchPushed { .. }
            | Self::BranchDeleted { .. }
            | Self::Admitted { .. }
            | Self::MergeBegan { .. }
            | Self::MergeWaits { .. }
            | Self::MergeConflicted { .. }
            | Self::MergeGatesFailed { .. }
            | Self::MergeRejected { .. }
            | Self::MergeNeedsApproval { .. }
            | Self::Landed { .. }
            | Self::LandedDiffers { .. }
            | Self::PullOpened { .. }
            | Self::PullRefused { .. }
            | Self::PullClosed { .. }
            | Self::Contained { .. }
            | Self::LongAtRest
            | Self::BaseConflicts { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_subject_has_a_name_that_no_other_has() {
        let repo: RepoName = "octo/app".parse().unwrap();
        let sha = "a".repeat(40).parse().unwrap();
        let head = HeadId {
            repo: repo.clone(),
            sha,
        };
        let names = [
            SubjectId::Story(StoryId::new(repo.clone(), 42)),
            SubjectId::Repo(repo),
            SubjectId::Head(head),
            SubjectId::Account,
        ]
        .map(|subject| format!("{} {subject}", subject.kind()));
        let expected = [
            "story octo/app#42",
            "repo octo/app",
            "head octo/app@aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            "account ledger",
        ];
        assert_eq!(names, expected);
    }

    #[test]
    fn an_event_says_which_attempt_it_is_about() {
        let id = StoryId::new("octo/app".parse().unwrap(), 42);
        let seen = StoryEvent::SessionSeen {
            attempt: Attempt(3),
            session: SessionId("a".to_owned()),
        };
        assert_eq!(Event::story(&id, seen).attempt(), Some(3));
        assert_eq!(Event::story(&id, StoryEvent::LongAtRest).attempt(), None);
        let opened = RepoEvent::Opened { looks: None };
        assert_eq!(Event::repo(&id.repo, opened).attempt(), None);
    }
}
