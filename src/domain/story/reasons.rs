//! Why a change could not be merged, and why a story needs a person.

use serde::{Deserialize, Serialize};

use crate::domain::id::{ItemName, Sha};
use crate::domain::work::End;

/// Why a change could not be merged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum MergeFailure {
    ConflictDetected {
        base: Sha,
        paths: Vec<String>,
    },
    GatesFailed {
        base: Sha,
        failed: Vec<ItemName>,
    },
    PushRejected {
        reason: String,
    },
    /// It landed, but as another tree than the one that was tested (spec 7.5): by the forge's
    /// doing, or because the base moved in between and the gates failed on what came of it.
    LandedTreeDiffers {
        commit: Sha,
        tested: Sha,
        found: Sha,
        /// The gates that failed on what landed, where they could be asked.
        failed: Vec<ItemName>,
    },
}

/// Why a story needs a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "reason")]
pub enum BlockReason {
    /// The retries are used up; what the last attempt ended with.
    RetriesUsedUp {
        attempts: u32,
        last: LastTry,
    },
    /// The same gates failed in the same way again and again.
    SameFailure {
        times: u32,
        alternating: bool,
        failed: Vec<ItemName>,
    },
    Asked {
        question: String,
    },
    /// The ledger refused more money.
    Ceiling {
        message: String,
    },
    CannotLaunch {
        agent: ItemName,
        message: String,
    },
    WorktreeFailed {
        message: String,
    },
    ProjectUnusable {
        message: String,
    },
    Aborted {
        times: u32,
    },
    Lost {
        times: u32,
    },
    /// The provider kept refusing.
    Paused {
        times: u32,
        message: String,
    },
    /// None of the gates applies to what changed.
    NothingTested,
    /// The change touches files that decide what runs; a person has to approve this very commit.
    Protected {
        commit: Sha,
        paths: Vec<String>,
    },
    GatesUnavailable {
        message: String,
    },
    MergeFailed {
        failure: MergeFailure,
    },
    /// Somebody closed its pull request without merging it.
    PullRequestClosed {
        number: u64,
    },
}

/// How the attempt ended that used up the last retry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "last")]
pub enum LastTry {
    GatesFailed {
        failed: Vec<ItemName>,
    },
    NothingCommitted,
    /// Conflict markers were committed instead of a resolution.
    MarkersLeft {
        paths: Vec<String>,
    },
    Ended {
        end: End,
    },
    ReviewFailed {
        findings: String,
    },
    /// Checks of others failed on what it had committed.
    ChecksFailed {
        names: Vec<String>,
    },
}

/// Where a retry goes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "from")]
pub enum BlockedFrom {
    Coding,
    Qa,
    Merge { head: Sha },
    MergeFailure { failure: MergeFailure },
}
