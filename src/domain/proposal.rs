//! Pull requests of people: what is remembered of an open one so that its head is gated, and whose
//! turn it is. A story's own pull request is the story's business, and none of these.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::delivery::{CommentRef, PullRequestHead};
use super::id::{BranchName, Sha};

/// Those of one repository that go to its base branch.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Proposals {
    /// By number; one that is closed is forgotten.
    pub open: BTreeMap<u64, Proposal>,
    /// Heads that are being gated: a few at a time.
    pub gating: Vec<Sha>,
    /// Heads whose turn comes next, in this order.
    pub waiting: Vec<WaitingHead>,
    /// What people asked for, until the forge has said whether they may.
    pub requests: Vec<HeadRequest>,
    pub requests_seen: u64,
}

/// An open pull request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proposal {
    pub head: PullRequestHead,
    pub base: Option<BranchName>,
    /// The head that somebody with write permission approved, where that is needed.
    pub approved: Option<Sha>,
    /// The last heads before this one, the newest last.
    pub earlier: Vec<Sha>,
}

impl Proposal {
    /// So many of the earlier heads are remembered.
    pub const REMEMBERED: usize = 50;

    pub fn new(head: &PullRequestHead, base: Option<&BranchName>) -> Self {
        Self {
            head: head.clone(),
            base: base.cloned(),
            approved: None,
            earlier: Vec::new(),
        }
    }
}

/// A head whose turn has not come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitingHead {
    pub commit: Sha,
    /// Somebody wants a new verdict, whatever there is.
    pub again: bool,
}

/// Something that somebody asks about a head, whose permission is being asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeadRequest {
    pub id: u64,
    /// The pull request.
    pub number: u64,
    pub wish: HeadWish,
    /// Where it was asked in a comment, which is reacted to.
    pub comment: Option<CommentRef>,
}

/// What can be asked about a head.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "wish")]
pub enum HeadWish {
    /// Gate this very commit of a fork.
    Approve { commit: Sha },
    /// Gate it once more.
    Again { commit: Sha },
    /// An approval that approves nothing: that is all that there is to say.
    Mistaken { answer: HeadAnswer },
}

/// Why an approval approves nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "answer")]
pub enum HeadAnswer {
    /// It does not name a commit.
    WhichCommit { head: Sha },
    /// It names another commit than the head.
    AnotherCommit { head: Sha },
    /// What it names could be an earlier head as well.
    Ambiguous { head: Sha },
    /// Nothing waits for an approval.
    NothingWaits,
}
