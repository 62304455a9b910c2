//! Component set-up before gates or an agent, and teardown after them.
//!
//! A command cannot leave processes behind: what it put into the background is ended with it. A
//! service that must outlive its set-up belongs to something that keeps it, such as a container.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::shell::ShellCommand;
use super::{Cancelled, Place, Progress, Watch};
use crate::domain::id::ItemName;
use crate::domain::project::Component;
use crate::domain::work::GateVerdict;

/// What set-up printed and how long it took, component by component.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SetupReport {
    pub components: Vec<ComponentReport>,
}

/// One component whose commands all succeeded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ComponentReport {
    pub component: ItemName,
    pub duration: Duration,
    /// The end of what its commands printed.
    pub tail: String,
}

/// The command that did not succeed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("`{command}` of component `{component}` {verdict}")]
pub struct SetupFailure {
    pub component: ItemName,
    pub command: String,
    /// `Failed`, `TimedOut` (after the component's limit for all its commands) or `Broken`.
    pub verdict: GateVerdict,
    pub tail: String,
}

/// Why set-up did not come to its end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SetupError {
    #[error(transparent)]
    Failed(#[from] SetupFailure),
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}

/// Runs the set-up commands of all components, in the order of the file, and stops at the first
/// that fails.
pub async fn run_setup(
    components: &[Component],
    place: &Place,
    watch: &Watch,
) -> Result<SetupReport, SetupError> {
    let mut report = SetupReport::default();
    for component in components
        .iter()
        .filter(|component| !component.setup.is_empty())
    {
        report
            .components
            .push(run_commands(component, &component.setup, place, watch).await?);
    }
    Ok(report)
}

/// Runs the teardown commands of all components, last component first. A failure stops that
/// component's teardown only; all failures are returned.
pub async fn run_teardown(
    components: &[Component],
    place: &Place,
    watch: &Watch,
) -> Result<Vec<SetupFailure>, Cancelled> {
    let mut failures = Vec::new();
    for component in components.iter().rev() {
        match run_commands(component, &component.teardown, place, watch).await {
            Ok(_report) => {}
            Err(SetupError::Failed(failure)) => failures.push(failure),
            Err(SetupError::Cancelled(cancelled)) => return Err(cancelled),
        }
    }
    Ok(failures)
}

async fn run_commands(
    component: &Component,
    commands: &[String],
    place: &Place,
    watch: &Watch,
) -> Result<ComponentReport, SetupError> {
    watch
        .tell(Progress::ComponentStarted(component.name.clone()))
        .await;
    let start = Instant::now();
    let mut tails: Vec<String> = Vec::new();
    for command in commands {
        let shell = ShellCommand {
            of: &component.name,
            command,
            directory: place.directory.join(&component.path),
            place,
            timeout: component.timeout.saturating_sub(start.elapsed()),
        };
        let finished = shell.run(watch).await?;
        tails.extend((!finished.tail.is_empty()).then_some(finished.tail));
        let verdict = match finished.verdict {
            GateVerdict::Passed => continue,
            GateVerdict::TimedOut { .. } => GateVerdict::TimedOut {
                after: component.timeout,
            },
            other => other,
        };
        let (component, command) = (component.name.clone(), command.clone());
        return Err(SetupFailure {
            component,
            command,
            verdict,
            tail: tails.join("\n"),
        }
        .into());
    }
    Ok(ComponentReport {
        component: component.name.clone(),
        duration: start.elapsed(),
        tail: tails.join("\n"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn component(name: &str, setup: &[&str], teardown: &[&str]) -> Component {
        let own = |commands: &[&str]| commands.iter().map(|&command| command.to_owned()).collect();
        Component {
            name: name.parse().unwrap(),
            path: name.to_owned(),
            setup: own(setup),
            teardown: own(teardown),
            timeout: Duration::from_mins(1),
        }
    }

    fn place(directory: &Path) -> Place {
        for name in ["web", "api"] {
            std::fs::create_dir_all(directory.join(name)).unwrap();
        }
        Place {
            directory: directory.to_owned(),
            environment: vec![("PATH".to_owned(), "/usr/bin:/bin".to_owned())],
            marks: directory.file_name().unwrap().to_str().unwrap().to_owned(),
            confinement: None,
            output_cap: 1000,
        }
    }

    #[tokio::test]
    async fn commands_run_one_after_the_other_in_their_folders() {
        let folder = tempfile::tempdir().unwrap();
        let components = [
            component("web", &["echo 1 > a", "cat a"], &[]),
            component("api", &["cat ../web/a; echo x"], &[]),
        ];
        let report = run_setup(&components, &place(folder.path()), &Watch::default())
            .await
            .unwrap();
        let tails: Vec<&str> = report
            .components
            .iter()
            .map(|component| component.tail.as_str())
            .collect();
        assert_eq!(tails, ["1", "1\nx"]);
    }

    #[tokio::test]
    async fn the_first_failure_stops_set_up_and_says_what_failed() {
        let folder = tempfile::tempdir().unwrap();
        let components = [
            component(
                "web",
                &["echo begun", "echo broken; exit 4", "touch after"],
                &[],
            ),
            component("api", &["touch after"], &[]),
        ];
        let place = place(folder.path());
        let Err(SetupError::Failed(failure)) =
            run_setup(&components, &place, &Watch::default()).await
        else {
            panic!("a failing command must fail set-up");
        };
        assert_eq!(
            failure.to_string(),
            "`echo broken; exit 4` of component `web` failed with exit status 4"
        );
        assert_eq!(failure.tail, "begun\nbroken");
        assert!(
            !folder.path().join("web/after").exists() && !folder.path().join("api/after").exists()
        );
    }

    #[tokio::test]
    async fn the_limit_is_for_all_commands_of_a_component_together() {
        let folder = tempfile::tempdir().unwrap();
        let mut slow = component("web", &["true", "sleep 1000"], &[]);
        slow.timeout = Duration::from_millis(400);
        let Err(SetupError::Failed(failure)) =
            run_setup(&[slow], &place(folder.path()), &Watch::default()).await
        else {
            panic!("a hanging command must fail set-up");
        };
        assert_eq!(
            failure.verdict,
            GateVerdict::TimedOut {
                after: Duration::from_millis(400)
            }
        );
        assert_eq!(failure.command, "sleep 1000");
    }

    #[tokio::test]
    async fn teardown_goes_backwards_and_past_failures() {
        let folder = tempfile::tempdir().unwrap();
        let components = [
            component("web", &[], &["echo web >> ../order"]),
            component(
                "api",
                &[],
                &["echo api >> ../order; false", "echo no >> ../order"],
            ),
        ];
        let failures = run_teardown(&components, &place(folder.path()), &Watch::default())
            .await
            .unwrap();
        assert_eq!(failures.len(), 1);
        assert_eq!(
            std::fs::read_to_string(folder.path().join("order")).unwrap(),
            "api\nweb\n"
        );
    }
}
