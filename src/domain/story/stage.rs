//! Where a story is, with all that belongs to that place and to no other. Not for: what leads from one
//! to the next.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{BacklogNote, BlockReason, BlockedFrom, MergeFailure};
use crate::domain::account::Reservation;
use crate::domain::id::{ItemName, Sha};
use crate::domain::work::{Collected, End, ProcessIdentity, Receipt, Start};

/// Where a story is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "stage")]
pub enum Stage {
    Backlog {
        note: Option<BacklogNote>,
    },
    Coding(Work),
    Qa(Work),
    Merge(Merge),
    /// The change could not be merged; an agent repairs it.
    MergeFailure {
        failure: MergeFailure,
        work: Work,
    },
    Blocked {
        reason: BlockReason,
        from: BlockedFrom,
    },
    Done {
        commit: Sha,
        receipt: Option<Box<Receipt>>,
    },
    Cancelled,
}

impl Stage {
    /// The name in labels and in the API.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Backlog { .. } => "backlog",
            Self::Coding(_) => "coding",
            Self::Qa(_) => "qa",
            Self::Merge(_) => "merge",
            Self::MergeFailure { .. } => "merge_failure",
            Self::Blocked { .. } => "blocked",
            Self::Done { .. } => "done",
            Self::Cancelled => "cancelled",
        }
    }

    pub const NAMES: [&str; 8] = [
        "backlog",
        "coding",
        "qa",
        "merge",
        "merge_failure",
        "blocked",
        "done",
        "cancelled",
    ];
}

/// An agent's turn, from asking for a slot to the verdict of the gates.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Work {
    pub purpose: Purpose,
    pub phase: Phase,
}

/// What an attempt is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "purpose")]
pub enum Purpose {
    /// Do what the issue says.
    Task,
    /// Judge what was done.
    Review,
    /// Only repair a failed merge: at most 20 turns and 1 USD.
    FixUp { failure: MergeFailure },
}

/// How far an attempt is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "phase")]
pub enum Phase {
    /// A person asked to wait before this stage.
    Held,
    /// The project's rules are being read from the base branch.
    Configuring,
    WaitingForSlot,
    WaitingForMoney {
        agent: ItemName,
        delay: Option<Delay>,
    },
    Preparing(Engagement),
    Starting {
        engagement: Engagement,
        start: Start,
        from: Sha,
    },
    Running {
        engagement: Engagement,
        start: Start,
        from: Sha,
        process: ProcessIdentity,
    },
    /// The agent is being stopped; then this follows.
    Stopping {
        engagement: Engagement,
        from: Sha,
        then: Then,
    },
    /// The agent is gone; its work is being kept.
    Collecting {
        agent: ItemName,
        end: End,
        then: Option<Then>,
    },
    Judging {
        collected: Collected,
        /// The attempt's end used a retry already; a failing gate does not use a second one.
        #[serde(default)]
        retry_used: bool,
    },
}

impl Phase {
    pub fn activity(&self) -> Activity {
        match self {
            Self::Held => Activity::Held,
            Self::Configuring | Self::Preparing(_) | Self::Starting { .. } => Activity::Starting,
            Self::WaitingForSlot => Activity::Waiting {
                what: "a free agent".to_owned(),
            },
            Self::WaitingForMoney { delay: None, .. } => Activity::Waiting {
                what: "the ledger".to_owned(),
            },
            Self::WaitingForMoney {
                delay: Some(delay), ..
            } => Activity::Paused {
                why: delay.because.clone(),
                until: delay.until,
            },
            Self::Running { .. } | Self::Stopping { .. } => Activity::Running,
            Self::Collecting { .. } | Self::Judging { .. } => Activity::Judging,
        }
    }

    /// The agent that was granted, from the moment that its money is until its work is kept.
    pub fn engagement(&self) -> Option<&Engagement> {
        match self {
            Self::Preparing(engagement)
            | Self::Starting { engagement, .. }
            | Self::Running { engagement, .. }
            | Self::Stopping { engagement, .. } => Some(engagement),
            Self::Held
            | Self::Configuring
            | Self::WaitingForSlot
            | Self::WaitingForMoney { .. }
            | Self::Collecting { .. }
            | Self::Judging { .. } => None,
        }
    }
}

/// An agent that was granted to a story, with the money to run it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Engagement {
    pub agent: ItemName,
    pub reservation: Reservation,
}

/// Why a start waits for its account, and until when if that is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delay {
    pub because: String,
    pub until: Option<Timestamp>,
}

/// What follows once the agent is gone and its work is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "then")]
pub enum Then {
    Backlog,
    Cancelled,
    /// It was started again meanwhile.
    Again,
    /// Into the merge queue, without waiting for the reviewer.
    Merge,
    /// To wait for a person.
    Blocked {
        reason: BlockReason,
    },
    Done {
        commit: Sha,
        receipt: Option<Box<Receipt>>,
    },
}

/// A story on its way through the merge queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Merge {
    pub head: Sha,
    pub phase: MergePhase,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "phase")]
pub enum MergePhase {
    Held,
    Queued,
    /// The merge gates run on what would land.
    Testing {
        base: Sha,
    },
    /// It passed and cannot land yet.
    Waiting {
        reason: String,
    },
}

impl MergePhase {
    pub(super) fn activity(&self) -> Activity {
        match self {
            Self::Held => Activity::Held,
            Self::Queued => Activity::Waiting {
                what: "the merge queue".to_owned(),
            },
            Self::Testing { .. } => Activity::Judging,
            Self::Waiting { reason } => Activity::Waiting {
                what: reason.clone(),
            },
        }
    }
}

/// What a person sees beside the stage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "activity")]
pub enum Activity {
    None,
    Waiting {
        what: String,
    },
    Starting,
    Running,
    Judging,
    Held,
    Paused {
        why: String,
        until: Option<Timestamp>,
    },
}
