//! A story: one issue on its way to a merged change.
//!
//! Each stage carries what it needs, so that an impossible combination cannot be written. What
//! follows from what is in [`super::transition`].

mod asking;
mod backlog;
mod reasons;
mod stage;

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::dependency::Need;
use super::id::{Attempt, BranchName, ItemName, Sha, StoryId};
use super::money::Usd;
use super::project::{Land, Project};
use super::pull::PullState;
use super::work::{GateReport, Message, Session, Task};

pub use asking::{Actor, Admission, Around, Reply, Request, TextEdit, Wish};
pub use backlog::{BacklogNote, Unconfirmed};
pub use reasons::{BlockReason, BlockedFrom, LastTry, MergeFailure};
pub use stage::{
    Activity, Delay, Engagement, Merge, MergePhase, Phase, Purpose, Stage, Then, Work,
};

/// How much of the failing gates' output the next prompt quotes, in bytes (spec 5.4).
pub const FAILURE_BYTES: usize = 3_000;

/// How every comment of huskies begins: an HTML comment, which forges do not show. What follows it
/// up to `-->` tells one from the others.
pub const MARKER_PREFIX: &str = "<!-- huskies:";

/// How the labels begin that show a story's stage: `stage:coding`.
pub const STAGE_PREFIX: &str = "stage:";

/// Everything that is known about a story.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Story {
    pub id: StoryId,
    /// The pinned text. Empty before the first start.
    pub task: Task,
    /// Fixed at the first start, so that a changed title does not move the branch.
    pub branch: Option<BranchName>,
    pub stage: Stage,
    /// The newest attempt; messages of older ones change nothing.
    pub attempt: Attempt,
    /// The project's rules as read for the newest attempt.
    pub rules: Option<Rules>,
    pub wishes: Wishes,
    /// Requests whose sender's permission is being asked for.
    pub requests: Vec<Request>,
    /// Counts requests, so that each answer finds its own.
    pub requests_seen: u64,
    /// People who were told, once, that they may not do this.
    pub refused: BTreeSet<String>,
    pub counters: Counters,
    /// The newest commit of the story branch that huskies has.
    pub head: Option<Tip>,
    /// The tree that the accept gates judged last: judging it again would tell nothing new.
    pub judged_tree: Option<Sha>,
    /// How the newest commit conflicts with the base branch as it is now, when it does.
    #[serde(default)]
    pub base_conflict: Option<BaseConflict>,
    /// The commit that somebody who may let land although it touches protected paths.
    #[serde(default)]
    pub approved: Option<Sha>,
    /// Files of the last conflict, which may hold markers until a repair has passed the gates.
    #[serde(default)]
    pub conflicts: Vec<String>,
    pub sessions: Vec<KnownSession>,
    /// What happened since the agent last ran; it is told at its next turn.
    pub recent: Vec<Recent>,
    /// How many of them the agent that runs was started with.
    #[serde(default)]
    pub recent_sent: usize,
    /// Who deleted the story branch on the forge, which stopped the story.
    #[serde(default)]
    pub branch_deleted_by: Option<String>,
    /// What people told the agent and it was not given yet. The story does not go on to a merge
    /// before it was.
    #[serde(default)]
    pub messages: Vec<Message>,
    /// How many of them the agent that runs was started with.
    #[serde(default)]
    pub messages_sent: usize,
    /// The newest attempt was told something by people, so that ending without a new commit is an
    /// answer too.
    #[serde(default)]
    pub was_told: bool,
    /// Checks of others that failed on a commit of the story.
    #[serde(default)]
    pub failed_checks: Option<FailedChecks>,
    /// Output of the gates that failed last, for the next prompt.
    pub failure: Option<String>,
    /// One fingerprint for each gate failure in a row.
    pub fingerprints: Vec<String>,
    pub spent: Usd,
    pub gate_runs: u32,
    /// The newest gate report, for the sticky comment.
    pub report: Option<GateReport>,
    /// Where the project lands by pull request.
    #[serde(default)]
    pub pull: PullState,
    /// What it depends on, as last heard while it waited.
    #[serde(default)]
    pub needs: Vec<Need>,
    /// What it depends on and nobody watches, by name.
    #[serde(default)]
    pub unwatched: Vec<String>,
    /// Another story depends on it: its repository is told where it goes.
    #[serde(default)]
    pub awaited: bool,
    /// A change of its text that nobody who may write has confirmed.
    #[serde(default)]
    pub unconfirmed: Option<Unconfirmed>,
    /// When the issue had the newest text that is known of it, pinned or not.
    #[serde(default)]
    pub text_at: Option<Timestamp>,
}

impl Story {
    pub fn new(id: StoryId) -> Self {
        Self {
            id,
            task: Task::default(),
            branch: None,
            stage: Stage::Backlog { note: None },
            attempt: Attempt::default(),
            rules: None,
            wishes: Wishes::default(),
            requests: Vec::new(),
            requests_seen: 0,
            refused: BTreeSet::new(),
            counters: Counters::default(),
            head: None,
            judged_tree: None,
            base_conflict: None,
            approved: None,
            conflicts: Vec::new(),
            sessions: Vec::new(),
            recent: Vec::new(),
            recent_sent: 0,
            branch_deleted_by: None,
            messages: Vec::new(),
            messages_sent: 0,
            was_told: false,
            failed_checks: None,
            failure: None,
            fingerprints: Vec::new(),
            spent: Usd::ZERO,
            gate_runs: 0,
            report: None,
            pull: PullState::None,
            needs: Vec::new(),
            unwatched: Vec::new(),
            awaited: false,
            unconfirmed: None,
            text_at: None,
        }
    }

    /// True once somebody who may has started it.
    pub fn was_started(&self) -> bool {
        self.branch.is_some()
    }

    /// True when the newest rules want the forge to merge it.
    pub fn lands_by_pull(&self) -> bool {
        let rules = self.rules.as_ref();
        rules.is_some_and(|rules| rules.project.land == Land::PullRequest)
    }

    /// Its change landed with another tree than the one that was tested, and nobody has looked at
    /// it yet: until then nothing else lands.
    pub fn stops_the_queue(&self) -> bool {
        let is_it = |reason: &BlockReason| {
            matches!(
                reason,
                BlockReason::MergeFailed {
                    failure: MergeFailure::LandedTreeDiffers { .. }
                }
            )
        };
        let to_be_blocked = match self.work().map(|work| &work.phase) {
            Some(
                Phase::Stopping { then, .. }
                | Phase::Collecting {
                    then: Some(then), ..
                },
            ) => matches!(then, Then::Blocked { reason } if is_it(reason)),
            Some(_) | None => false,
        };
        to_be_blocked || matches!(&self.stage, Stage::Blocked { reason, .. } if is_it(reason))
    }

    /// The work in progress, where the stage has one.
    pub fn work(&self) -> Option<&Work> {
        match &self.stage {
            Stage::Coding(work) | Stage::Qa(work) | Stage::MergeFailure { work, .. } => Some(work),
            Stage::Backlog { .. }
            | Stage::Merge(_)
            | Stage::Blocked { .. }
            | Stage::Done { .. }
            | Stage::Cancelled => None,
        }
    }

    /// The commit that cannot land before somebody who may has approved it.
    pub fn awaits_approval(&self) -> Option<&Sha> {
        match &self.stage {
            Stage::Blocked {
                reason: BlockReason::Protected { commit, .. },
                ..
            } => Some(commit),
            Stage::Blocked { .. }
            | Stage::Backlog { .. }
            | Stage::Coding(_)
            | Stage::Qa(_)
            | Stage::Merge(_)
            | Stage::MergeFailure { .. }
            | Stage::Done { .. }
            | Stage::Cancelled => None,
        }
    }

    /// The newest commit, if it is the one that the accept gates passed.
    pub fn accepted_head(&self) -> Option<&Sha> {
        let (head, report) = (self.head.as_ref()?, self.report.as_ref()?);
        (report.commit == head.commit && report.passed()).then_some(&head.commit)
    }

    /// Checks of others that failed on the newest commit, and of which no agent was told.
    pub fn untold_checks(&self) -> Option<&FailedChecks> {
        let (head, failed) = (self.head.as_ref()?, self.failed_checks.as_ref()?);
        (failed.commit == head.commit && !failed.told).then_some(failed)
    }

    pub fn activity(&self) -> Activity {
        match &self.stage {
            Stage::Coding(work) | Stage::Qa(work) | Stage::MergeFailure { work, .. } => {
                work.phase.activity()
            }
            Stage::Merge(merge) => merge.phase.activity(),
            Stage::Backlog {
                note: Some(BacklogNote::Waits { circle }),
            } if circle.is_empty() && !self.needs.iter().any(Need::is_stuck) => Activity::Waiting {
                what: "what it depends on".to_owned(),
            },
            Stage::Backlog { .. }
            | Stage::Blocked { .. }
            | Stage::Done { .. }
            | Stage::Cancelled => Activity::None,
        }
    }
}

/// The commit and tree at the tip of a story branch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tip {
    pub commit: Sha,
    pub tree: Sha,
}

/// Checks of others (a forge's CI) that failed on one commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedChecks {
    pub commit: Sha,
    pub names: BTreeSet<String>,
    /// An agent was started with it.
    pub told: bool,
}

/// What a story's branch and the base branch both changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BaseConflict {
    pub base: Sha,
    pub paths: Vec<String>,
}

/// The project file of one base commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rules {
    pub base: Sha,
    pub project: Project,
}

/// What people asked for with labels, beside starting and stopping.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Wishes {
    pub held: bool,
    /// What the gates pass goes to the merge queue, without an agent's review.
    #[serde(default)]
    pub skip_review: bool,
    pub agent: Option<String>,
    /// Higher goes first.
    pub priority: i32,
}

/// Limits on repetition. Cleared by a retry that a person asks for; money is not.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Counters {
    pub retries: u32,
    /// Aborts before a session, in a row.
    pub aborts: u32,
    /// Attempts lost with their machine or supervisor, in a row.
    pub lost: u32,
    /// Pauses for the provider's limits, in a row.
    pub pauses: u32,
    /// Attempts in a row that used no retry, whatever their ends were.
    pub unpaid: u32,
    pub fixups: u32,
    /// Gate runs of one attempt that broke down without a verdict.
    pub gate_rounds: u32,
}

/// A session that an agent's next attempt can continue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownSession {
    pub agent: ItemName,
    pub model: Option<String>,
    pub session: Session,
}

/// A line for the agent's `<recent-events>`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recent {
    pub at: Timestamp,
    pub text: String,
    /// What somebody's log says about it.
    #[serde(default)]
    pub log: Option<String>,
}
