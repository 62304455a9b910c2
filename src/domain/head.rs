//! A commit that is gated without a story: the head of a person's branch or pull request.

use serde::{Deserialize, Serialize};

use super::id::{RepoName, Sha};
use super::work::GateReport;

/// What is known about one such commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    pub id: HeadId,
    pub state: HeadState,
    /// Counts gate runs; it fences late messages of an older one.
    pub run: u32,
    /// The base commit whose gate definitions apply.
    #[serde(default)]
    pub rules: Option<Sha>,
    /// Runs in a row that came to no verdict.
    #[serde(default)]
    pub lost: u32,
}

impl Head {
    pub fn new(id: HeadId) -> Self {
        Self {
            id,
            state: HeadState::Unknown,
            run: 0,
            rules: None,
            lost: 0,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct HeadId {
    pub repo: RepoName,
    pub sha: Sha,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum HeadState {
    Unknown,
    /// It is a fork's, and nobody approved it yet.
    Withheld,
    /// Others come first.
    Queued,
    /// It is being brought in from the forge.
    Fetching,
    Gating,
    Judged {
        report: GateReport,
    },
    /// No verdict: the gates could not run.
    Unjudged {
        message: String,
    },
    /// A newer head took its place before it was judged, or nobody wants it any more.
    Superseded,
}

/// What can happen to a commit without a story.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, strum::IntoStaticStr)]
#[serde(rename_all = "snake_case", tag = "event")]
#[strum(serialize_all = "snake_case")]
pub enum HeadEvent {
    /// It is a fork's: it is not gated before somebody approved it.
    Withheld,
    /// It is gated once its turn comes.
    Queued,
    /// `rules` is the base commit whose gate definitions apply. `again`: a verdict that is there does
    /// not count.
    GatesAsked {
        rules: Sha,
        #[serde(default)]
        again: bool,
    },
    /// The commit is here.
    Fetched {
        run: u32,
    },
    NotFetched {
        run: u32,
        message: String,
    },
    GatesEnded {
        run: u32,
        report: GateReport,
    },
    GatesLost {
        run: u32,
        message: String,
    },
    /// Nobody wants a verdict any more; `by` took its place.
    Superseded {
        #[serde(default)]
        by: Option<Sha>,
    },
}
