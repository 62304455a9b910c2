//! What can happen to a repository.

use serde::{Deserialize, Serialize};

use crate::domain::delivery::{
    CheckRequest, CheckResult, Comment, IssueChange, PullRequestChange, Push, Review, Said,
};
use crate::domain::dependency::{Need, StoryState};
use crate::domain::id::{Attempt, BranchName, Sha, StoryId};
use crate::domain::project::Trigger;
use crate::domain::pull::LandedTree;
use crate::domain::reconciliation::{Found, Pace};
use crate::domain::repo::{QueueEntry, SlotRequest, Stray};
use crate::domain::story::Admission;
use crate::domain::work::{Candidate, GateReport, MergeCheck};

/// What can happen to a repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, strum::IntoStaticStr)]
#[serde(rename_all = "snake_case", tag = "event")]
#[strum(serialize_all = "snake_case")]
pub enum RepoEvent {
    /// The server begins to serve it, and looks at it so often.
    Opened {
        #[serde(default)]
        looks: Option<Pace>,
    },
    /// Story branches that somebody else moved or deleted on the forge, as far as the newest commits
    /// were known that they were held against.
    BranchesSeen {
        seen: Vec<(StoryId, Sha)>,
        strays: Vec<Stray>,
    },
    /// A timer: look for what no delivery told.
    LookDue,
    Looked {
        found: Box<Found>,
    },
    Issue {
        change: IssueChange,
    },
    /// A comment says something to huskies.
    Commented {
        comment: Comment,
        said: Said,
    },
    Pushed {
        push: Push,
    },
    PullRequest {
        change: Box<PullRequestChange>,
    },
    /// `said` is what its text says, if it says anything.
    Reviewed {
        review: Box<Review>,
        said: Option<Said>,
    },
    /// A check of somebody else ended.
    Checked {
        result: CheckResult,
    },
    CheckRequested {
        request: CheckRequest,
    },
    /// The forge's answer to who asked something about a pull request's head.
    Admitted {
        request: u64,
        answer: Admission,
    },
    /// A head was judged, or cannot be.
    HeadSettled {
        commit: Sha,
    },
    BaseSynced {
        branch: BranchName,
        tip: Sha,
        trigger: Trigger,
        /// The tips, of those that were asked about, that `tip` contains.
        #[serde(deserialize_with = "contained")]
        contained: Vec<(StoryId, Sha)>,
        /// Whether the others still merge with it, as far as that could be found out.
        #[serde(default)]
        checks: Vec<MergeCheck>,
    },
    BaseUnavailable {
        message: String,
    },
    /// A timer: look again.
    SyncDue,
    SlotWanted {
        request: SlotRequest,
    },
    SlotReleased {
        story: StoryId,
        attempt: Attempt,
    },
    /// A person changed the order in which a story is served.
    Prioritised {
        story: StoryId,
        priority: i32,
    },
    HeadKnown {
        story: StoryId,
        head: Option<Sha>,
    },
    Enqueued {
        entry: QueueEntry,
    },
    Withdrawn {
        story: StoryId,
    },
    CandidateBuilt {
        number: u64,
        candidate: Candidate,
        /// The protected paths in which it differs from the base.
        #[serde(default)]
        protected: Vec<String>,
    },
    CandidateConflicted {
        number: u64,
        base: Sha,
        paths: Vec<String>,
    },
    /// The base has everything already.
    CandidateEmpty {
        number: u64,
        base: Sha,
    },
    CandidateFailed {
        number: u64,
        message: String,
    },
    GatesEnded {
        number: u64,
        report: GateReport,
    },
    GatesLost {
        number: u64,
        message: String,
    },
    Landed {
        number: u64,
    },
    /// The base moved before the change could land.
    LandMissed {
        number: u64,
        tip: Sha,
    },
    LandWaits {
        number: u64,
        reason: String,
    },
    LandRejected {
        number: u64,
        reason: String,
    },
    /// A timer: try to land again.
    LandDue {
        number: u64,
    },
    /// A story's pull request has a number.
    PullKnown {
        story: StoryId,
        pull: u64,
    },
    /// The forge merged it.
    PullMerged {
        number: u64,
        landed: LandedTree,
    },
    /// Somebody else had merged it already.
    PullMergedByHand {
        number: u64,
        commit: Sha,
    },
    /// People or other checks have to do something before the forge merges it.
    PullWaits {
        number: u64,
        reason: String,
    },
    /// Somebody closed it without merging it.
    PullGone {
        number: u64,
        pull: u64,
    },
    /// A person looked at what had stopped the queue.
    QueueResumed {
        story: StoryId,
    },
    /// A story does not begin before these are done.
    Waits {
        story: StoryId,
        needs: Vec<Need>,
    },
    /// It does not wait any more.
    WaitEnded {
        story: StoryId,
    },
    /// A story that others depend on moved.
    StoryStands {
        story: StoryId,
        state: StoryState,
    },
    /// How issues are that a story waits for.
    NeedsSeen {
        story: StoryId,
        seen: Vec<Need>,
    },
}

/// The first logs name the stories alone; without a tip nobody is contained.
fn contained<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Vec<(StoryId, Sha)>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        WithTip(StoryId, Sha),
        Alone(#[expect(dead_code, reason = "read over")] StoryId),
    }
    let written = Vec::<Written>::deserialize(from)?;
    let with_tip = written.into_iter().filter_map(|written| match written {
        Written::WithTip(story, tip) => Some((story, tip)),
        Written::Alone(_) => None,
    });
    Ok(with_tip.collect())
}
