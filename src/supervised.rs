//! What the hidden subcommand `huskies run-attempt <folder>` does: it reads what the folder asks for
//! and supervises it. The one place that knows both the supervisor and the jobs.

use std::io;
use std::path::Path;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::agent::session::{AgentSession, AgentSpec};
use crate::gate::Watch;
use crate::gate::job::{GatesOutcome, GatesSpec, run_spec};
use crate::process::run_folder::{FolderError, RunFolder, Spec};
use crate::process::supervisor::{self, Job, JobControl, SuperviseError, Supervised};

/// What can be supervised: the `job` of a run's `spec.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunSpec {
    Agent(Box<AgentSpec>),
    Gates(Box<GatesSpec>),
}

/// Why a run could not be supervised. Its text ends up in the run's `supervisor.log`.
#[derive(Debug, thiserror::Error)]
pub enum RunAttemptError {
    #[error("the run's folder is not usable: {0}")]
    Path(#[from] io::Error),
    #[error(transparent)]
    Folder(#[from] FolderError),
    #[error(transparent)]
    Supervise(#[from] SuperviseError),
}

/// Runs what `folder` asks for, unless it was started before. `now` is the clock of its log.
pub async fn run_attempt(
    folder: &Path,
    now: fn() -> Timestamp,
) -> Result<Supervised, RunAttemptError> {
    let folder = RunFolder::at(folder)?;
    let spec: Spec<RunSpec> = folder.read_spec()?;
    match spec.job {
        RunSpec::Agent(agent) => {
            let job = AgentSession {
                spec: *agent,
                folder: folder.clone(),
                now,
            };
            Ok(supervisor::supervise(&folder, spec.supervision, job).await?)
        }
        RunSpec::Gates(gates) => {
            let job = GatesJob { spec: *gates };
            Ok(supervisor::supervise(&folder, spec.supervision, job).await?)
        }
    }
}

/// A set of gates as a supervised job.
struct GatesJob {
    spec: GatesSpec,
}

impl Job for GatesJob {
    type Outcome = GatesOutcome;

    async fn run(mut self, control: JobControl) -> GatesOutcome {
        control.mark().clone_into(&mut self.spec.place.marks);
        let watch = Watch {
            progress: None,
            cancel: control.token().clone(),
        };
        let room = self
            .spec
            .place
            .confinement
            .as_ref()
            .map(|confinement| confinement.room.clone());
        let outcome = run_spec(self.spec, &watch).await;
        let removed =
            tokio::task::spawn_blocking(move || room.map_or(Ok(()), |room| room.remove()));
        if let Ok(Err(error)) = removed.await {
            tracing::warn!(%error, "what the gates left in their home cannot be removed");
        }
        outcome
    }
}
