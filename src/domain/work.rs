//! What moves between the core and the adapters about one piece of work: the task, an attempt's
//! end, what git found, what the gates said.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::dependency::Epic;
use super::id::{ItemName, SessionId, Sha, StoryId};
use super::money::Usd;

/// An issue's text as it was when the story was started. A later edit counts once somebody who may
/// write made or confirmed it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Task {
    pub title: String,
    pub body: String,
    pub comments: Vec<TaskComment>,
    /// The parent issue, as it was then.
    #[serde(default)]
    pub epic: Option<Epic>,
}

impl Task {
    /// Names exactly this text, that of the parent included, in a confirmation: the first 12 hex
    /// digits of a SHA-256.
    pub fn digest(&self) -> String {
        let mut hash = Sha256::new();
        let epic = self.epic.iter().flat_map(|epic| [&epic.title, &epic.body]);
        for part in [&self.title, &self.body].into_iter().chain(epic) {
            // Each with its length, so that no two texts are the same bytes.
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part.as_bytes());
        }
        hex::encode(&hash.finalize()[..6])
    }
}

/// A comment that was there when the task was pinned. Data for the agent, never an instruction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskComment {
    pub author: String,
    pub body: String,
}

/// Something that a person who may write to the repository told the agent. It instructs, as the task
/// does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// The account that wrote it.
    pub author: String,
    pub place: Place,
    /// As it was written, in Markdown.
    pub text: String,
}

/// Where a message was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "place")]
pub enum Place {
    /// In a comment that addresses the agent.
    Conversation,
    /// In the issue's own text, which was changed.
    Issue,
    /// With commits on the story branch.
    Branch { commit: Sha },
    /// In a review of the change.
    Review,
    /// At a line of the change. Without a line: at the file.
    Line { path: String, line: Option<u64> },
}

/// How an agent's process ended, as its supervisor and runtime saw it. A claim where it concerns
/// success: what counts is what git and the gates say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "end")]
pub enum End {
    /// It says that it is done.
    Finished,
    /// It gave up or asked a question.
    Asked { question: String },
    /// Its own turn or budget limit stopped it.
    LimitReached { limit: Limit },
    /// The provider refuses more for now.
    RateLimited {
        until: Option<Timestamp>,
        message: String,
    },
    /// Out of credit, not logged in, model unknown: nothing mends this by trying again.
    AccountTrouble { message: String },
    /// Killed by an abort signal before any session was there.
    Aborted,
    /// The runtime refused to continue the session it was given.
    ResumeRefused { message: String },
    /// Nothing could be started: binary, arguments, worktree.
    CannotLaunch { message: String },
    /// It broke off without a result.
    Crashed { message: String },
    /// No output and no running tool for the configured time.
    Stalled { after: Duration },
    /// The supervisor or the machine is gone.
    Lost { message: String },
    /// huskies stopped it because somebody asked.
    Stopped,
}

/// Which limit of an attempt was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    Turns,
    Budget,
}

/// What an attempt used, as metered from its stream.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Usage {
    pub turns: u32,
    pub input_tokens: u64,
    pub output_tokens: u64,
    /// What this attempt cost; cumulative streams are already reduced by what earlier attempts of
    /// the session cost. `None`: the runtime does not say.
    pub cost: Option<Usd>,
    /// The session's running total as the stream reports it, to subtract from on the next resume.
    pub session_cost: Option<Usd>,
}

/// A supervised process, so that it can be recognised after a restart and never mistaken for
/// another one that got its number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessIdentity {
    pub pid: u32,
    /// Field 22 of `/proc/<pid>/stat`, in clock ticks since boot (proc_pid_stat(5)).
    pub start_ticks: u64,
    /// `/proc/sys/kernel/random/boot_id`.
    pub boot_id: String,
}

/// Whether an attempt continued the CLI's own session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Start {
    Cold,
    Warm(Session),
}

/// A conversation that can be resumed, and what it has cost so far.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    pub id: SessionId,
    /// The total the stream last reported for it.
    pub cost: Usd,
}

/// What was found in a worktree after its agent stopped, everything already kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Collected {
    /// The tip of the story branch.
    pub head: Sha,
    pub tree: Sha,
    /// The branch has a change against the base that could be merged.
    pub ahead: bool,
    /// The tip moved since the attempt began.
    pub advanced: bool,
    /// What was not committed, under `refs/huskies/wip/<story>/<attempt>`.
    pub wip: Option<Sha>,
    /// Of the files that were asked about, those that still hold conflict markers.
    #[serde(default)]
    pub markers: Vec<String>,
    /// What somebody had tampered with in the worktree's git data, a sentence each.
    #[serde(default)]
    pub noticed: Vec<String>,
}

/// What a set of gates found out about one tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GateReport {
    pub commit: Sha,
    pub tree: Sha,
    pub outcomes: Vec<GateOutcome>,
}

impl GateReport {
    /// True when every gate that applied passed, and at least one did: what nothing tested is not
    /// a pass.
    pub fn passed(&self) -> bool {
        !self.tested_nothing() && self.failures().next().is_none()
    }

    /// True when no gate applied to what changed.
    pub fn tested_nothing(&self) -> bool {
        self.executed() == 0
    }

    pub fn failures(&self) -> impl Iterator<Item = &GateOutcome> {
        self.outcomes
            .iter()
            .filter(|outcome| outcome.verdict.is_failure())
    }

    /// Every failing gate with its verdict and the end of its output. Not cut: whoever quotes it
    /// knows how much room there is.
    pub fn failure_text(&self) -> String {
        let part = |outcome: &GateOutcome| {
            let text = format!(
                "gate `{}` {}\n{}",
                outcome.gate, outcome.verdict, outcome.tail
            );
            format!("{}\n", text.trim_end())
        };
        self.failures().map(part).collect::<Vec<_>>().join("\n")
    }

    /// How many gates really ran.
    pub fn executed(&self) -> usize {
        self.outcomes
            .iter()
            .filter(|outcome| outcome.verdict != GateVerdict::Skipped)
            .count()
    }
}

/// One gate's verdict and the end of what it printed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GateOutcome {
    pub gate: ItemName,
    pub verdict: GateVerdict,
    pub duration: Duration,
    /// The last bytes of stdout and stderr together, escape sequences removed.
    pub tail: String,
}

/// What one gate said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "verdict")]
pub enum GateVerdict {
    Passed,
    /// The command's exit status, or 128 + the signal that ended it.
    Failed {
        status: i32,
    },
    TimedOut {
        after: Duration,
    },
    /// The command could not be run at all.
    Broken {
        message: String,
    },
    /// None of its `paths` changed. Never a pass.
    Skipped,
}

impl GateVerdict {
    pub fn is_failure(&self) -> bool {
        match self {
            Self::Passed | Self::Skipped => false,
            Self::Failed { .. } | Self::TimedOut { .. } | Self::Broken { .. } => true,
        }
    }
}

/// What a tool says about a line of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// From the root of the tree.
    pub path: String,
    /// From 1, as the column.
    pub line: u32,
    pub column: Option<u32>,
    pub severity: Severity,
    pub message: String,
}

/// How grave a finding is, by the tool's own word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    Error,
    Warning,
    Note,
}

/// Proof of what landed: byte for byte the tree that passed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// The base's tip that the change was built on.
    pub base: Sha,
    /// The story branch's tip that was squashed.
    pub head: Sha,
    pub commit: Sha,
    pub tree: Sha,
    /// The merge gates on `tree`.
    pub gates: Vec<GateOutcome>,
}

/// Whether a story's tip still merges with the base branch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MergeCheck {
    pub story: StoryId,
    pub head: Sha,
    /// The files in conflict; empty when it merges cleanly.
    pub paths: Vec<String>,
}

/// A squash commit that is ready to be tested and landed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Candidate {
    pub base: Sha,
    pub head: Sha,
    pub commit: Sha,
    pub tree: Sha,
}

/// The predicate of a sentence whose subject is the gate.
impl std::fmt::Display for GateVerdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Passed => f.write_str("passed"),
            Self::Failed { status } => write!(f, "failed with exit status {status}"),
            Self::TimedOut { after } => {
                write!(
                    f,
                    "was stopped after its time limit of {} s",
                    after.as_secs()
                )
            }
            Self::Broken { message } => write!(f, "could not be run: {message}"),
            Self::Skipped => f.write_str("was skipped: none of its paths changed"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_failure_text_names_each_failing_gate_with_its_output() {
        let outcome = |gate: &str, verdict, tail: &str| GateOutcome {
            gate: gate.parse().unwrap(),
            verdict,
            duration: Duration::from_secs(1),
            tail: tail.to_owned(),
        };
        let after = Duration::from_mins(10);
        let sha: Sha = "a".repeat(40).parse().unwrap();
        let report = GateReport {
            commit: sha.clone(),
            tree: sha,
            outcomes: vec![
                outcome("fmt", GateVerdict::Passed, "fine"),
                outcome("test", GateVerdict::Failed { status: 101 }, "1 failed\n"),
                outcome("slow", GateVerdict::TimedOut { after }, ""),
            ],
        };
        insta::assert_snapshot!(report.failure_text(), @r"
        gate `test` failed with exit status 101
        1 failed

        gate `slow` was stopped after its time limit of 600 s
        ");
    }
}
