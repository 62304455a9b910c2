//! What a forge tells huskies, reduced to what the core can act on. Every forge's payloads become
//! these; a delivery that huskies has no use for never reaches the core.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::id::{BranchName, Sha};

/// Something changed on an issue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IssueChange {
    pub number: u64,
    pub action: IssueAction,
    /// The account that did it, by login.
    pub sender: String,
    pub title: String,
    pub body: String,
    /// All labels after the change.
    pub labels: Vec<String>,
    /// When the forge says that the issue last changed.
    pub at: Timestamp,
}

/// The issue actions that huskies acts on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "action", content = "label")]
pub enum IssueAction {
    Labeled(String),
    Unlabeled(String),
    Closed,
    Reopened,
    Edited,
}

/// A branch moved on the forge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Push {
    pub branch: BranchName,
    /// `None` when the push created the branch.
    pub before: Option<Sha>,
    /// `None` when the push deleted the branch.
    pub after: Option<Sha>,
    pub sender: String,
}
