//! How runs end, and the events that tell of it.

use std::time::Duration;

use crate::agent::session::AgentOutcome;
use crate::domain::effect::Run;
use crate::domain::event::{Event, HeadEvent, RepoEvent, StoryEvent};
use crate::domain::head::HeadId;
use crate::domain::id::RunId;
use crate::domain::work::{End, GateOutcome, GateReport, ProcessIdentity, Usage};
use crate::gate::job::{GatesOutcome, GatesSpec};
use crate::gate::setup::SetupFailure;
use crate::process::run_folder::RunFolder;
use crate::supervised::RunSpec;

/// Said where a run's record and its folder do not agree on what it was.
const ANOTHER_KIND: &str = "the run ended as something else than it began";

/// How a run ended.
pub(super) enum Outcome {
    Agent {
        end: End,
        usage: Usage,
    },
    /// The verdict, or why there is none.
    Gates(Result<GateReport, String>),
}

impl Outcome {
    /// What the supervisor wrote down.
    pub(super) fn read(run: &Run, folder: &RunFolder) -> Self {
        match run {
            Run::StartAgent { .. } => match folder.read_result::<AgentOutcome>() {
                Ok(Some(AgentOutcome { end, usage, .. })) => Self::Agent { end, usage },
                Ok(None) => Self::agent(End::Lost {
                    message: "it left no result".to_owned(),
                }),
                Err(error) => Self::agent(End::Lost {
                    message: error.to_string(),
                }),
            },
            Run::StartGates { .. } | Run::Stop { .. } => Self::Gates(read_gates(folder)),
        }
    }

    /// The supervisor is gone and left nothing.
    pub(super) fn lost(run: &Run, process: &ProcessIdentity) -> Self {
        let message = format!(
            "its supervisor (process {}) is gone without a result",
            process.pid
        );
        match run {
            Run::StartAgent { .. } => Self::agent(End::Lost { message }),
            Run::StartGates { .. } | Run::Stop { .. } => Self::Gates(Err(message)),
        }
    }

    /// A stop came before the start.
    pub(super) fn stopped(run: &Run) -> Self {
        match run {
            Run::StartAgent { .. } => Self::agent(End::Stopped),
            Run::StartGates { .. } | Run::Stop { .. } => {
                Self::Gates(Err("stopped before the start".to_owned()))
            }
        }
    }

    pub(super) fn not_started(run: &Run, message: &str) -> Self {
        let message = message.to_owned();
        match run {
            Run::StartAgent { .. } => Self::agent(End::CannotLaunch { message }),
            Run::StartGates { .. } | Run::Stop { .. } => Self::Gates(Err(message)),
        }
    }

    fn agent(end: End) -> Self {
        Self::Agent {
            end,
            usage: Usage::default(),
        }
    }

    /// The news for the subject that asked for the run.
    pub(super) fn event(self, id: &RunId) -> Event {
        match id {
            RunId::Agent(story, attempt) => {
                let (end, usage) = match self {
                    Self::Agent { end, usage } => (end, usage),
                    Self::Gates(_) => (
                        End::Lost {
                            message: ANOTHER_KIND.to_owned(),
                        },
                        Usage::default(),
                    ),
                };
                Event::story(
                    story,
                    StoryEvent::AgentEnded {
                        attempt: *attempt,
                        end,
                        usage,
                    },
                )
            }
            RunId::Accept(story, attempt, round) => {
                let (attempt, round) = (*attempt, *round);
                let event = match self.gates() {
                    Ok(report) => StoryEvent::GatesEnded {
                        attempt,
                        round,
                        report,
                    },
                    Err(message) => StoryEvent::GatesLost {
                        attempt,
                        round,
                        message,
                    },
                };
                Event::story(story, event)
            }
            RunId::Merge(repo, number) => {
                let number = *number;
                let event = match self.gates() {
                    Ok(report) => RepoEvent::GatesEnded { number, report },
                    Err(message) => RepoEvent::GatesLost { number, message },
                };
                Event::repo(repo, event)
            }
            RunId::Head(repo, sha, run) => {
                let run = *run;
                let event = match self.gates() {
                    Ok(report) => HeadEvent::GatesEnded { run, report },
                    Err(message) => HeadEvent::GatesLost { run, message },
                };
                let id = HeadId {
                    repo: repo.clone(),
                    sha: sha.clone(),
                };
                Event::Head { id, event }
            }
        }
    }

    fn gates(self) -> Result<GateReport, String> {
        match self {
            Self::Gates(gates) => gates,
            Self::Agent { .. } => Err(ANOTHER_KIND.to_owned()),
        }
    }
}

fn read_gates(folder: &RunFolder) -> Result<GateReport, String> {
    let spec = folder
        .read_spec::<RunSpec>()
        .map_err(|error| error.to_string())?;
    let outcome = folder
        .read_result::<GatesOutcome>()
        .map_err(|error| error.to_string())?;
    match (outcome, spec.job) {
        (Some(outcome), RunSpec::Gates(spec)) => judged(outcome, &spec),
        (None, RunSpec::Gates(_)) => Err("the gates left no result".to_owned()),
        (_, RunSpec::Agent(_)) => Err(ANOTHER_KIND.to_owned()),
    }
}

/// What a set of gates found out. A set-up that fails on a commit is that commit's failure, like a
/// gate's.
fn judged(outcome: GatesOutcome, spec: &GatesSpec) -> Result<GateReport, String> {
    match outcome {
        GatesOutcome::Judged { report, teardown } => {
            for failure in teardown {
                tracing::warn!(%failure, "teardown failed after the gates");
            }
            Ok(report)
        }
        GatesOutcome::SetupFailed { failure, .. } => {
            let SetupFailure {
                component,
                verdict,
                tail,
                command,
            } = failure;
            let tail = format!("$ {command}\n{tail}");
            let outcome = GateOutcome {
                gate: component,
                verdict,
                duration: Duration::ZERO,
                tail,
            };
            Ok(GateReport {
                commit: spec.commit.clone(),
                tree: spec.tree.clone(),
                outcomes: vec![outcome],
            })
        }
        GatesOutcome::Cancelled => Err("the gates were stopped".to_owned()),
    }
}
