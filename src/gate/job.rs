//! Set-up, gates and teardown on one checkout as a job that can be written to a file, handed to a
//! supervisor process and read back from its result file.

use std::num::NonZeroUsize;

use serde::{Deserialize, Serialize};

use super::runner::{self, GateRun};
use super::setup::{SetupError, SetupFailure, run_setup, run_teardown};
use super::{Place, Watch};
use crate::domain::id::Sha;
use crate::domain::project::{Component, Gate};
use crate::domain::work::GateReport;

/// Everything that a supervisor needs to know to judge one checkout.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GatesSpec {
    pub commit: Sha,
    pub tree: Sha,
    pub components: Vec<Component>,
    pub gates: Vec<Gate>,
    pub place: Place,
    /// See [`GateRun::changed_paths`].
    pub changed_paths: Option<Vec<String>>,
    /// How many gates run at the same time.
    pub parallel: NonZeroUsize,
}

/// How the job ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "outcome")]
pub enum GatesOutcome {
    Judged {
        report: GateReport,
        /// Teardown commands that failed: worth a line in a log, no verdict about the tree.
        teardown: Vec<SetupFailure>,
    },
    /// No gate ran.
    SetupFailed {
        failure: SetupFailure,
        teardown: Vec<SetupFailure>,
    },
    /// Ended from outside, without teardown: whoever cancels wants everything gone at once.
    Cancelled,
}

/// Runs set-up, then the gates, then teardown (also after a failed set-up).
pub async fn run_spec(spec: GatesSpec, watch: &Watch) -> GatesOutcome {
    let GatesSpec {
        commit,
        tree,
        components,
        gates,
        place,
        changed_paths,
        parallel,
    } = spec;
    let judged = match run_setup(&components, &place, watch).await {
        Ok(_report) => {
            let request = GateRun {
                gates,
                place: place.clone(),
                changed_paths,
                parallel,
            };
            match runner::run(&request, watch).await {
                Ok(outcomes) => Ok(GateReport {
                    commit,
                    tree,
                    outcomes,
                }),
                Err(_cancelled) => return GatesOutcome::Cancelled,
            }
        }
        Err(SetupError::Failed(failure)) => Err(failure),
        Err(SetupError::Cancelled(_)) => return GatesOutcome::Cancelled,
    };
    match (run_teardown(&components, &place, watch).await, judged) {
        (Err(_cancelled), _) => GatesOutcome::Cancelled,
        (Ok(teardown), Ok(report)) => GatesOutcome::Judged { report, teardown },
        (Ok(teardown), Err(failure)) => GatesOutcome::SetupFailed { failure, teardown },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::project::Moment;
    use std::path::Path;
    use std::time::Duration;

    fn spec(directory: &Path, setup: &str) -> GatesSpec {
        let minute = Duration::from_mins(1);
        let component = Component {
            name: "all".parse().unwrap(),
            path: ".".to_owned(),
            setup: vec![setup.to_owned()],
            teardown: vec!["echo gone > teardown".to_owned()],
            timeout: minute,
        };
        let gate = Gate {
            name: "test".parse().unwrap(),
            command: "cat prepared".to_owned(),
            timeout: minute,
            on: vec![Moment::Accept],
            paths: Vec::new(),
        };
        GatesSpec {
            commit: "1".repeat(40).parse().unwrap(),
            tree: "2".repeat(40).parse().unwrap(),
            components: vec![component],
            gates: vec![gate],
            place: Place {
                directory: directory.to_owned(),
                environment: vec![("PATH".to_owned(), "/usr/bin:/bin".to_owned())],
                marks: directory.file_name().unwrap().to_str().unwrap().to_owned(),
                confinement: None,
                output_cap: Place::OUTPUT_CAP,
            },
            changed_paths: None,
            parallel: runner::default_parallel(),
        }
    }

    #[tokio::test]
    async fn set_up_comes_before_the_gates_and_teardown_after_them() {
        let folder = tempfile::tempdir().unwrap();
        let spec = spec(folder.path(), "echo ready > prepared");
        let spec: GatesSpec = serde_json::from_str(&serde_json::to_string(&spec).unwrap()).unwrap();
        let GatesOutcome::Judged { report, teardown } =
            run_spec(spec.clone(), &Watch::default()).await
        else {
            panic!("expected a verdict");
        };
        assert!(report.passed() && teardown.is_empty());
        assert_eq!((report.commit, report.tree), (spec.commit, spec.tree));
        assert_eq!(report.outcomes[0].tail, "ready");
        assert!(folder.path().join("teardown").exists());
    }

    #[tokio::test]
    async fn no_gate_runs_after_a_failed_set_up_but_teardown_does() {
        let folder = tempfile::tempdir().unwrap();
        let outcome = run_spec(spec(folder.path(), "exit 9"), &Watch::default()).await;
        let outcome: GatesOutcome =
            serde_json::from_str(&serde_json::to_string(&outcome).unwrap()).unwrap();
        assert!(
            matches!(outcome, GatesOutcome::SetupFailed { .. }),
            "{outcome:?}"
        );
        assert!(folder.path().join("teardown").exists());
    }

    #[tokio::test]
    async fn a_cancelled_job_is_no_verdict() {
        let folder = tempfile::tempdir().unwrap();
        let watch = Watch::default();
        watch.cancel.cancel();
        assert_eq!(
            run_spec(spec(folder.path(), "true"), &watch).await,
            GatesOutcome::Cancelled
        );
    }
}
