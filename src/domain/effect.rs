//! What can be asked for.
//!
//! *Acts* are short and may be carried out twice: they set a value, compare-and-swap, or create
//! with a marker that is looked for first. *Runs* (agents, gates) are recorded and never repeated.
//! *Surfaces* are desired state: one write brings them up to date, whatever was missed.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::account::Reservation;
use super::delivery::{CheckSource, CommentRef};
use super::dependency::LinksWanted;
use super::event::{Event, SubjectId};
use super::id::{Attempt, BranchName, ItemName, RunId, Sha, StoryId};
use super::project::{Agent, Component, Moment};
use super::proposal::HeadAnswer;
use super::reconciliation::Look;
use super::story::{BlockReason, MergeFailure, Purpose, Recent, Reply, TextEdit};
use super::work::{Candidate, GateReport, Message, Receipt, Start, Task};

/// One thing that a step asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    Act(Act),
    Run(Run),
    Surface(Surface),
    /// An event for another subject, taken in the same transaction.
    Tell(Event),
    Timer(Timer),
}

/// Names one effect: the subject and version that asked for it, and its place among the effects of
/// that step. The same step always gives the same name, so it doubles as a marker on the forge.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct EffectId(pub String);

impl EffectId {
    pub fn new(subject: &SubjectId, version: u64, place: usize) -> Self {
        Self(format!("{subject}@{version}.{place}"))
    }
}

/// A short deed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, strum::IntoStaticStr)]
#[serde(rename_all = "snake_case", tag = "act")]
#[strum(serialize_all = "snake_case")]
pub enum Act {
    // Of a story.
    /// Ask whether `login` may do what people with write permission may; with `pin`, read the
    /// comments up to that time.
    Admit {
        request: u64,
        login: String,
        /// It is a program: then its name has to be in the configuration.
        #[serde(default)]
        bot: bool,
        pin: Option<Timestamp>,
        /// What its story depends on is to be found out as well.
        #[serde(default)]
        links: Option<Box<LinksWanted>>,
        /// Who changed which text just before. Whether they may write is asked too, where it is the
        /// story's or its parent's.
        #[serde(default)]
        edits: Vec<TextEdit>,
    },
    /// Read the project file at the tip of the base branch.
    ReadProject {
        attempt: Attempt,
    },
    PrepareWorktree {
        attempt: Attempt,
        branch: BranchName,
        base: Sha,
        components: Vec<Component>,
    },
    /// Keep everything that is in the worktree.
    Collect {
        attempt: Attempt,
        branch: BranchName,
        since: Option<Sha>,
        base: Sha,
        /// Files in conflict, which an agent was to resolve.
        #[serde(default)]
        conflicts: Vec<String>,
    },
    RetireWorktree {
        branch: BranchName,
    },
    PublishBranch {
        branch: BranchName,
        commit: Sha,
    },
    /// Put what an attempt had not committed on the remote, for projects that say so.
    PublishWip {
        attempt: Attempt,
        commit: Sha,
    },
    /// Post a comment that asks a person to act, or says that all is done.
    Announce {
        announcement: Announcement,
    },
    /// Say something in a comment of its own, for which somebody asked in one.
    Reply {
        reply: Reply,
    },
    /// Show somebody that his comment was taken up, or was not. The same again changes nothing.
    React {
        comment: CommentRef,
        reaction: Reaction,
    },
    RemoveLabel {
        label: String,
    },
    /// Read the failing part of a check's log.
    ReadCheck {
        commit: Sha,
        name: String,
        summary: String,
        source: CheckSource,
    },
    /// Open the story's pull request, unless it is open already.
    OpenPull {
        branch: BranchName,
    },
    // Of a commit without a story.
    /// Bring it in from the forge.
    FetchHead {
        run: u32,
    },
    // Of a repository, which asks with [`Act::Admit`] and [`Act::React`] too.
    /// Say in a pull request why nothing was approved.
    Answer {
        number: u64,
        answer: HeadAnswer,
    },
    /// Look whether these stories' branches are on the forge where huskies put them; `by` may have
    /// moved one.
    SeeBranches {
        heads: Vec<(StoryId, Sha)>,
        by: Option<String>,
    },
    /// Look on the forge for what no delivery told.
    Look {
        look: Box<Look>,
    },
    /// Look how those issues are that a story waits for: the ones that its text names, and its
    /// sub-issues.
    SeeNeeds {
        story: StoryId,
        named: Vec<u64>,
        sub_issues: bool,
    },
    /// Look where the base branch is, and which of these tips it contains.
    SyncBase {
        heads: Vec<(StoryId, Sha)>,
    },
    BuildCandidate {
        number: u64,
        base: Sha,
        head: Sha,
        message: String,
    },
    Land {
        number: u64,
        branch: BranchName,
        candidate: Candidate,
    },
    /// Have the forge merge the story's pull request, if its head and the base are those of the
    /// candidate. `branch` is the base.
    MergePull {
        number: u64,
        story: StoryId,
        branch: BranchName,
        candidate: Candidate,
    },
}

/// How a comment is acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reaction {
    /// It was taken up.
    Eyes,
    /// It was not.
    Confused,
}

impl Reaction {
    /// As GitHub names it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Eyes => "eyes",
            Self::Confused => "confused",
        }
    }
}

/// A comment of its own, beside the sticky one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "announcement")]
pub enum Announcement {
    Blocked {
        reason: BlockReason,
    },
    Conflict {
        failure: MergeFailure,
    },
    Done {
        commit: Sha,
        receipt: Option<Box<Receipt>>,
    },
}

/// A supervised process: started once, stopped, never repeated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "run")]
pub enum Run {
    StartAgent { id: RunId, brief: Box<AgentBrief> },
    StartGates { id: RunId, brief: GatesBrief },
    Stop { id: RunId },
}

impl Run {
    pub fn id(&self) -> &RunId {
        match self {
            Self::StartAgent { id, .. } | Self::StartGates { id, .. } | Self::Stop { id } => id,
        }
    }
}

/// Everything that an agent's start needs. It cannot be made without a reservation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentBrief {
    pub agent: Agent,
    pub reservation: Reservation,
    pub purpose: Purpose,
    pub start: Start,
    pub branch: BranchName,
    pub base: Sha,
    pub task: Task,
    pub recent: Vec<Recent>,
    #[serde(default)]
    pub messages: Vec<Message>,
    /// Output of the gates that failed, when this is a retry.
    pub failure: Option<String>,
    pub first: bool,
}

/// A set of gates on one commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GatesBrief {
    pub commit: Sha,
    /// The base commit whose gate definitions apply.
    pub rules: Sha,
    pub moment: Moment,
}

/// Something on the forge that huskies keeps up to date.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "surface")]
pub enum Surface {
    /// The story's one comment, rendered from the story as it is when it is written.
    StickyComment,
    /// The one `stage:<name>` label, likewise.
    StageLabel,
    /// Title, text and readiness of the story's pull request, likewise.
    PullRequest,
    Status(CommitStatus),
    /// What the gates found on a commit at length, where the forge has check runs.
    CheckRun(CommitCheck),
}

impl Surface {
    /// What it is called in the store; a newer desire with the same key replaces an older one.
    pub fn key(&self) -> String {
        match self {
            Self::StickyComment => "comment".to_owned(),
            Self::StageLabel => "label".to_owned(),
            Self::PullRequest => "pull".to_owned(),
            Self::Status(status) => format!("status:{}:{}", status.news.context(), status.commit),
            // One that nobody finished would stay unfinished on the forge.
            Self::CheckRun(check) => format!("check:{}:{}", check.commit, check.run),
        }
    }

    /// All that is shown of the gates on a commit. `run` counts the gate runs of whose commit it is.
    pub fn of_gates(commit: &Sha, run: u32, news: GatesNews) -> [Effect; 2] {
        let check = CommitCheck {
            commit: commit.clone(),
            run,
            news: news.clone(),
        };
        let status = CommitStatus {
            commit: commit.clone(),
            news: StatusNews::Gates(news),
        };
        [Self::Status(status), Self::CheckRun(check)].map(Effect::Surface)
    }
}

/// A commit status as it should be; its words are made where reports are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommitStatus {
    pub commit: Sha,
    pub news: StatusNews,
}

/// A check run as it should be, one for each run of the gates on a commit. Its words are made of the
/// subject's newest report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommitCheck {
    pub commit: Sha,
    pub run: u32,
    pub news: GatesNews,
}

/// What a status tells, one context each.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StatusNews {
    Gates(GatesNews),
    Merge(MergeNews),
}

/// `huskies/gates`: about one tested commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "gates")]
pub enum GatesNews {
    /// A fork's commit, which somebody with write permission has to approve.
    AwaitsApproval {
        commit: Sha,
    },
    /// Others come first.
    Queued,
    Running,
    Judged {
        passed: usize,
        skipped: usize,
        failed: Vec<ItemName>,
    },
    Unavailable {
        message: String,
    },
    /// Somebody stopped the story, or a newer commit took this one's place.
    Superseded,
    /// This newer commit took its place.
    SupersededBy {
        commit: Sha,
    },
}

impl GatesNews {
    pub fn judged(report: &GateReport) -> Self {
        let skipped = report.outcomes.len() - report.executed();
        let failed: Vec<ItemName> = report
            .failures()
            .map(|outcome| outcome.gate.clone())
            .collect();
        Self::Judged {
            passed: report.executed() - failed.len(),
            skipped,
            failed,
        }
    }
}

/// `huskies/merge`: about a story's head on its way to the base.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "merge")]
pub enum MergeNews {
    Queued,
    Held,
    Testing {
        base: Sha,
    },
    Waiting {
        reason: String,
    },
    Landed {
        commit: Sha,
    },
    Failed {
        failure: MergeFailure,
    },
    Blocked,
    /// Somebody took the story out of the queue.
    Withdrawn,
}

impl StatusNews {
    /// What the gates' verdicts are called on a forge, as statuses and as check runs.
    pub const GATES: &'static str = "huskies/gates";
    /// The same of the way onto the base branch.
    pub const MERGE: &'static str = "huskies/merge";

    pub fn context(&self) -> &'static str {
        match self {
            Self::Gates(_) => Self::GATES,
            Self::Merge(_) => Self::MERGE,
        }
    }

    pub fn state(&self) -> StatusState {
        match self {
            Self::Gates(
                GatesNews::AwaitsApproval { .. } | GatesNews::Queued | GatesNews::Running,
            )
            | Self::Merge(
                MergeNews::Queued
                | MergeNews::Held
                | MergeNews::Testing { .. }
                | MergeNews::Waiting { .. },
            ) => StatusState::Pending,
            Self::Gates(GatesNews::Judged {
                failed, passed: 0, ..
            }) if failed.is_empty() => StatusState::Error,
            Self::Gates(GatesNews::Judged { failed, .. }) if failed.is_empty() => {
                StatusState::Success
            }
            Self::Merge(MergeNews::Landed { .. }) => StatusState::Success,
            Self::Gates(GatesNews::Judged { .. })
            | Self::Merge(MergeNews::Failed { .. } | MergeNews::Blocked) => StatusState::Failure,
            Self::Gates(
                GatesNews::Unavailable { .. }
                | GatesNews::Superseded
                | GatesNews::SupersededBy { .. },
            )
            | Self::Merge(MergeNews::Withdrawn) => StatusState::Error,
        }
    }
}

/// The four states of a commit status, as GitHub names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StatusState {
    Pending,
    Success,
    Failure,
    Error,
}

impl StatusState {
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Error => "error",
        }
    }
}

/// A wake-up. Arming a name again replaces it; what fires late is fenced like any other event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timer {
    /// Unique within the subject that arms it.
    pub name: String,
    pub at: Timestamp,
    pub event: Event,
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::domain::work::{GateOutcome, GateVerdict};

    fn sha() -> Sha {
        "a".repeat(40).parse().unwrap()
    }

    /// What the status says when so many gates passed, failed and did not apply.
    fn judged(passed: usize, failed: usize, skipped: usize) -> StatusNews {
        let outcome = |verdict| GateOutcome {
            gate: "unit".parse().unwrap(),
            verdict,
            duration: Duration::ZERO,
            tail: String::new(),
        };
        let mut outcomes = vec![outcome(GateVerdict::Passed); passed];
        outcomes.extend(vec![outcome(GateVerdict::Failed { status: 1 }); failed]);
        outcomes.extend(vec![outcome(GateVerdict::Skipped); skipped]);
        StatusNews::Gates(GatesNews::judged(&GateReport {
            commit: sha(),
            tree: sha(),
            outcomes,
        }))
    }

    #[test]
    fn gates_are_counted_by_what_became_of_them() {
        let StatusNews::Gates(GatesNews::Judged {
            passed,
            skipped,
            failed,
        }) = judged(4, 2, 3)
        else {
            panic!("not judged");
        };
        assert_eq!((passed, failed.len(), skipped), (4, 2, 3));
    }

    #[test]
    fn a_status_is_green_only_where_something_passed_and_nothing_failed() {
        for (passed, failed, skipped, state) in [
            (2, 0, 1, StatusState::Success),
            (1, 1, 0, StatusState::Failure),
            (0, 1, 1, StatusState::Failure),
            (0, 0, 2, StatusState::Error),
        ] {
            let status = judged(passed, failed, skipped);
            assert_eq!(status.state(), state, "{status:?}");
        }
    }

    #[test]
    fn what_replaces_each_other_on_the_forge_has_one_key() {
        let status = |news| {
            Surface::Status(CommitStatus {
                commit: sha(),
                news,
            })
        };
        let running = status(StatusNews::Gates(GatesNews::Running));
        let keys = [
            Surface::StickyComment,
            Surface::StageLabel,
            running,
            status(judged(1, 0, 0)),
            status(StatusNews::Merge(MergeNews::Held)),
        ]
        .map(|surface| surface.key());
        let commit = sha();
        let gates = format!("status:huskies/gates:{commit}");
        let merge = format!("status:huskies/merge:{commit}");
        assert_eq!(keys, ["comment", "label", &gates, &gates, &merge]);
    }
}
