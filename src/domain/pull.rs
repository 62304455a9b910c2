//! A story's pull request, and what a forge wants before it lets one be merged.
//!
//! Not for: the pull requests of people, and the words about any of this (`report`).

use serde::{Deserialize, Serialize};

use super::id::Sha;

/// How far a story's pull request is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "pull")]
pub enum PullState {
    #[default]
    None,
    /// It is being opened.
    Asked,
    Open(Pull),
}

impl PullState {
    pub fn number(self) -> Option<u64> {
        match self {
            Self::None | Self::Asked => None,
            Self::Open(pull) => Some(pull.number),
        }
    }
}

/// A pull request that huskies opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pull {
    pub number: u64,
    /// The forge has no drafts for this repository: the title says that it is one.
    pub plain: bool,
    /// The gates passed: whoever reviews it may begin. It never becomes a draft again.
    pub ready: bool,
}

/// What the forge merged, where that is not what the gates had tested.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LandedTree {
    pub commit: Sha,
    /// The base's tip that the forge put it on.
    pub parent: Sha,
    pub tree: Sha,
    /// Merging the same head onto `parent` gives this very tree: the base moved in between, and
    /// nothing else happened.
    pub explained: bool,
}

/// Why a forge does not merge a pull request now: everything that could be found out.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Obstacles {
    /// The forge's own words.
    pub said: String,
    /// Approvals that are asked for and given, where more are needed.
    pub approvals: Option<(u64, u64)>,
    /// Who asked for changes.
    pub changes_requested: Vec<String>,
    /// Required checks that did not succeed yet.
    pub checks: Vec<String>,
    pub rules: Vec<Rule>,
}

/// A rule of the base branch that may stand in the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// The branch has a merge queue of the forge's own.
    MergeQueue,
    /// The story branch has to hold the base's tip first.
    Behind,
    /// A code owner has to approve.
    CodeOwner,
    /// Somebody else than who pushed last has to approve.
    LastPush,
    /// Every commit has to be signed.
    Signatures,
    /// Only some may move the branch.
    Restricted,
}
