//! A repository: its base branch, who works, and the merge queue.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::delivery::IssueChange;
use super::dependency::Need;
use super::id::{Attempt, BranchName, ItemName, RepoName, Sha, StoryId};
use super::project::Trigger;
use super::proposal::Proposals;
use super::reconciliation::Looks;
use super::story::TextEdit;
use super::work::Candidate;

/// Everything that is known about a repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repo {
    pub name: RepoName,
    pub base: Option<Base>,
    /// Issue changes that arrived before the base branch and its labels were known.
    pub parked: Vec<IssueChange>,
    /// One story at a time for each agent.
    pub slots: BTreeMap<ItemName, SlotHolder>,
    pub waiting: Vec<SlotRequest>,
    pub queue: Vec<QueueEntry>,
    pub merging: Option<Merging>,
    /// Counts merge runs; it fences every late message of an older one.
    pub merge_number: u64,
    /// Tips of stories that are not done, to see when a push to the base contains them or comes
    /// into conflict with them.
    pub heads: BTreeMap<StoryId, Sha>,
    /// Of these, the ones that conflict with the base's tip, and in which files.
    #[serde(default)]
    pub conflicts: BTreeMap<StoryId, Vec<String>>,
    /// Pull requests of people.
    #[serde(default)]
    pub proposals: Proposals,
    /// Pull requests that stories land by, by number.
    #[serde(default)]
    pub pulls: BTreeMap<u64, StoryId>,
    /// What passed and is not allowed to land yet. It holds up nobody else.
    #[serde(default)]
    pub shelf: Vec<Shelved>,
    /// The story whose change landed with another tree than the tested one. Nothing lands before a
    /// person has looked at it.
    #[serde(default)]
    pub stopped: Option<StoryId>,
    #[serde(default)]
    pub looks: Looks,
    /// Where stories' branches were found that somebody else moved, `None` for deleted ones: each is
    /// told once.
    #[serde(default)]
    pub strays: BTreeMap<StoryId, Option<Sha>>,
    /// Stories that wait for others to be done, by number.
    #[serde(default)]
    pub waits: BTreeMap<u64, Wait>,
    /// Who changed the text of which issue lately, oldest first.
    #[serde(default)]
    pub edits: Vec<TextEdit>,
}

impl Repo {
    pub fn new(name: RepoName) -> Self {
        Self {
            name,
            base: None,
            parked: Vec::new(),
            slots: BTreeMap::new(),
            waiting: Vec::new(),
            queue: Vec::new(),
            merging: None,
            merge_number: 0,
            heads: BTreeMap::new(),
            conflicts: BTreeMap::new(),
            proposals: Proposals::default(),
            pulls: BTreeMap::new(),
            shelf: Vec::new(),
            stopped: None,
            looks: Looks::default(),
            strays: BTreeMap::new(),
            waits: BTreeMap::new(),
            edits: Vec::new(),
        }
    }
}

/// What a story waits for before it begins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wait {
    pub needs: Vec<Need>,
    /// The way from the story over what it waits for back to it, if there is one.
    pub circle: Vec<u64>,
}

/// The base branch as last seen, with the labels that its project file names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Base {
    pub branch: BranchName,
    pub tip: Sha,
    pub trigger: Trigger,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlotHolder {
    pub story: StoryId,
    pub attempt: Attempt,
}

/// A story that wants one of these agents, in this order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlotRequest {
    pub story: StoryId,
    pub attempt: Attempt,
    pub agents: Vec<ItemName>,
    pub priority: i32,
    pub since: Timestamp,
}

/// A story that waits to be merged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueEntry {
    pub story: StoryId,
    pub head: Sha,
    /// The squash commit's message.
    pub message: String,
    pub priority: i32,
    pub since: Timestamp,
    /// Somebody who may let this head touch protected paths.
    #[serde(default)]
    pub approved: bool,
    /// The forge merges it.
    #[serde(default)]
    pub by_pull: bool,
}

/// A tested change that the forge does not merge yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shelved {
    pub merging: Merging,
    /// Something happened that may have changed that: it is tried again next.
    pub due: bool,
}

/// A story branch that is not where huskies put it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stray {
    pub story: StoryId,
    /// `None`: it was deleted.
    pub tip: Option<Sha>,
    /// Who did it, where that is known.
    pub by: Option<String>,
}

/// The one merge that is under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Merging {
    pub number: u64,
    pub entry: QueueEntry,
    pub phase: MergingPhase,
    /// Failures of git itself on this entry, which say nothing about the change.
    pub failures: u32,
    /// Why it could not land when it last tried.
    #[serde(default)]
    pub waits: Option<String>,
    /// It was taken out of the queue while it landed: whether it did is still to be heard, and it
    /// is not tried again.
    #[serde(default)]
    pub withdrawn: bool,
    /// Something happened while the forge was asked to merge it, which it may not have seen.
    #[serde(default)]
    pub nudged: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "phase")]
pub enum MergingPhase {
    Building {
        base: Sha,
    },
    Gating {
        candidate: Candidate,
    },
    Landing {
        candidate: Candidate,
        gates: Vec<super::work::GateOutcome>,
    },
    /// It passed; the place to land in is not free. A timer tries again.
    Waiting {
        candidate: Candidate,
        gates: Vec<super::work::GateOutcome>,
    },
    /// The forge merged it, and the base had moved in between: the gates run on what landed.
    Checking {
        tested: Sha,
        landed: Candidate,
    },
}

impl MergingPhase {
    /// What would land, once it is built, or what has landed.
    pub fn candidate(&self) -> Option<&Candidate> {
        match self {
            Self::Building { .. } => None,
            Self::Gating { candidate }
            | Self::Landing { candidate, .. }
            | Self::Waiting { candidate, .. }
            | Self::Checking {
                landed: candidate, ..
            } => Some(candidate),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_land_is_known_once_it_is_built() {
        let sha = || -> Sha { "a".repeat(40).parse().unwrap() };
        let candidate = Candidate {
            base: sha(),
            head: sha(),
            commit: sha(),
            tree: sha(),
        };
        let building = MergingPhase::Building { base: sha() };
        assert_eq!(building.candidate(), None);
        let built = || candidate.clone();
        for phase in [
            MergingPhase::Gating { candidate: built() },
            MergingPhase::Landing {
                candidate: built(),
                gates: Vec::new(),
            },
            MergingPhase::Waiting {
                candidate: built(),
                gates: Vec::new(),
            },
        ] {
            assert_eq!(phase.candidate(), Some(&candidate));
        }
    }
}
