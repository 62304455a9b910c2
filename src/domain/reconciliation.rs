//! What is looked up on a forge instead of being told: what was missed, and everything where no
//! webhook reaches the server.
//!
//! Not for: deliveries as they arrive (`delivery`), and the base branch, which is looked at with git.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::delivery::{CheckResult, Comment, IssueAction, PullRequestChange, Review, Said};
use super::dependency::Family;
use super::id::Sha;
use super::story::STAGE_PREFIX;

/// How often a repository is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pace {
    pub seconds: u32,
    /// No webhook reaches the server: what people say and what checks find is looked up too.
    pub alone: bool,
}

impl Pace {
    pub fn pause(self) -> SignedDuration {
        SignedDuration::from_secs(i64::from(self.seconds))
    }
}

/// How far the looks at a repository have come.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Looks {
    /// `None`: the forge tells everything by itself.
    pub pace: Option<Pace>,
    /// The next one begins as soon as the base branch is known.
    pub due: bool,
    /// One is under way.
    pub asked: bool,
    /// By the forge's clock; what changed later was not seen.
    pub until: Option<Timestamp>,
    /// Open issues that are, or were, to be worked on, as they were last heard of.
    pub issues: BTreeMap<u64, KnownIssue>,
    /// The newest of what people wrote, by the forge's numbers.
    pub newest: Newest,
}

/// An issue's labels as they were last heard of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownIssue {
    pub labels: BTreeSet<String>,
    /// When the forge said so.
    pub at: Timestamp,
    /// The newest entry of its history that was read; 0 where none was.
    pub deed: u64,
}

impl KnownIssue {
    /// Whether these are the labels that are known.
    pub fn has(&self, labels: &[String]) -> bool {
        self.labels == peoples(labels)
    }
}

/// Without the labels that huskies itself keeps.
pub fn peoples(labels: &[String]) -> BTreeSet<String> {
    let labels = labels.iter();
    let peoples = labels.filter(|label| !label.starts_with(STAGE_PREFIX));
    peoples.cloned().collect()
}

/// Forges count up, and each kind apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Newest {
    pub comment: u64,
    /// At a line of a change.
    pub line: u64,
    pub review: u64,
}

/// What is to be looked up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Look {
    /// `None`: the first look, at the issues with [`Self::label`].
    pub since: Option<Timestamp>,
    pub label: String,
    pub alone: bool,
    /// By their numbers. No map: keys of an act are read back as text.
    pub issues: Vec<(u64, KnownIssue)>,
    /// Pull requests that were open.
    pub pulls: BTreeSet<u64>,
    /// The newest commits of stories with a pull request.
    pub heads: BTreeSet<Sha>,
    pub newest: Newest,
}

impl Look {
    /// A forge may show a change a little later than it dates it.
    pub const SLACK: SignedDuration = SignedDuration::from_mins(1);

    pub fn known(&self, number: u64) -> Option<&KnownIssue> {
        let mut known = self.issues.iter();
        known.find_map(|(issue, known)| (*issue == number).then_some(known))
    }

    /// From when on changes are asked for.
    pub fn from(&self) -> Option<Timestamp> {
        self.since.map(|since| since - Self::SLACK)
    }
}

/// What there was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// See [`Looks::until`].
    pub until: Timestamp,
    pub issues: Vec<FoundIssue>,
    /// Open ones, and those that were open and are closed.
    pub pulls: Vec<PullRequestChange>,
    /// What people wrote since, if it says something to huskies.
    pub comments: Vec<(Comment, Said)>,
    pub reviews: Vec<FoundReview>,
    /// Checks of others that failed.
    pub checks: Vec<CheckResult>,
}

/// An issue as it is now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FoundIssue {
    pub number: u64,
    pub title: String,
    pub body: String,
    pub labels: Vec<String>,
    pub family: Family,
    pub open: bool,
    /// When it last changed.
    pub at: Timestamp,
    /// Who did what to it, oldest first; read only where something has changed.
    pub history: Vec<Deed>,
    /// A story was started for it and is not over.
    pub in_flight: bool,
    /// A story was started for it once.
    pub has_story: bool,
}

/// Who labelled or closed an issue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deed {
    /// The forge's number for it; they count up.
    pub id: u64,
    #[serde(flatten)]
    pub action: IssueAction,
    pub by: String,
    pub by_bot: bool,
    pub at: Timestamp,
}

/// A review, or a comment at a line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FoundReview {
    pub id: u64,
    pub review: Review,
    pub said: Option<Said>,
}
