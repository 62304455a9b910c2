//! `huskies gate`: the project's gates, here and now, as the server would run them.

use std::path::{Path, PathBuf};

use anstyle::{AnsiColor, Style};
use clap::{Args, ValueEnum};
use serde_json::json;
use tempfile::TempDir;
use tokio::sync::mpsc;

use super::interrupt::Interrupts;
use super::place::root_around;
use super::terminal::tame;
use super::{CliError, ExitStatus, Output};
use crate::config::environment;
use crate::config::project::{self, PROJECT_FILE};
use crate::domain::project::{Component, Gate, Land, Moment, Project};
use crate::domain::work::{GateOutcome, GateVerdict};
use crate::gate::runner::{self, GateRun};
use crate::gate::setup::{SetupError, SetupFailure, run_setup, run_teardown};
use crate::gate::{Place, Progress, Watch};
use crate::hook::export_commit;

/// Run the project's quality gates on the work tree, or on a clean checkout of a commit
#[derive(Debug, Args)]
pub struct GateArgs {
    /// Run only these gates, whatever moment they are marked for
    names: Vec<String>,
    /// Which gates to run
    #[arg(long, value_enum, default_value = "accept")]
    on: On,
    /// Run them on a clean checkout of this commit, set-up included, instead of the work tree
    #[arg(long, value_name = "REVISION")]
    commit: Option<String>,
    /// A folder in the repository
    #[arg(long, short = 'C', value_name = "FOLDER", default_value = ".")]
    directory: PathBuf,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum On {
    Commit,
    Accept,
    Merge,
}

impl From<On> for Moment {
    fn from(on: On) -> Self {
        match on {
            On::Commit => Self::Commit,
            On::Accept => Self::Accept,
            On::Merge => Self::Merge,
        }
    }
}

/// The files to judge, and what they are.
struct Subject {
    folder: PathBuf,
    commit: Option<[String; 2]>,
    /// Only a checkout made for this run is set up; the work tree is the user's.
    checkout: Option<TempDir>,
}

/// Exit status: success when every gate that applied passed, failure when one failed, usage when
/// there is no gate to run, which is not a pass.
pub async fn run(args: GateArgs, out: &mut Output) -> Result<ExitStatus, CliError> {
    let interrupts = Interrupts::listen()?;
    let subject = subject(&args).await?;
    let project = read_project(&subject.folder)?;
    let gates = chosen_gates(&args, &project)?;
    let place = Place {
        directory: subject.folder.clone(),
        environment: environment::for_project_commands(),
        marks: Place::marks_inside(
            environment::run_mark(),
            &format!("gate-{}", std::process::id()),
        ),
        confinement: None,
        output_cap: Place::OUTPUT_CAP,
    };
    let components = if subject.checkout.is_some() {
        project.components
    } else {
        Vec::new()
    };
    let (sender, progress) = mpsc::channel(64);
    let watch = Watch {
        progress: Some(sender),
        ..Watch::default()
    };
    let cancel = watch.cancel.clone();
    let work = async {
        let (judged, shown) =
            tokio::join!(judge(components, gates, place, watch), show(progress, out));
        shown.and(judged)
    };
    let Some(verdicts) = interrupts.during(&cancel, work).await? else {
        return Ok(ExitStatus::Interrupted);
    };
    for failure in &verdicts.teardown {
        out.remark(format_args!(
            "teardown failed, which is no verdict: {failure}"
        ))?;
    }
    summarize(&verdicts.outcomes, &subject, out)
}

async fn subject(args: &GateArgs) -> Result<Subject, CliError> {
    let directory = args.directory.clone();
    let root = tokio::task::spawn_blocking(move || root_around(&directory)).await;
    let directory = root.map_err(anyhow::Error::new)?;
    let Some(revision) = args.commit.clone() else {
        return Ok(Subject {
            folder: directory,
            commit: None,
            checkout: None,
        });
    };
    let exported = tokio::task::spawn_blocking(move || export_commit(&directory, &revision));
    let exported = exported.await.map_err(anyhow::Error::new)?;
    let (checkout, folder, ids) = exported.map_err(CliError::usage)?;
    Ok(Subject {
        folder,
        commit: Some(ids),
        checkout: Some(checkout),
    })
}

fn read_project(folder: &Path) -> Result<Project, CliError> {
    let text = match std::fs::read_to_string(folder.join(PROJECT_FILE)) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => {
            return Err(CliError::usage(
                anyhow::Error::new(error).context(PROJECT_FILE),
            ));
        }
    };
    project::parse(&text, PROJECT_FILE, Land::Push).map_err(CliError::usage)
}

fn chosen_gates(args: &GateArgs, project: &Project) -> Result<Vec<Gate>, CliError> {
    if project.gates.is_empty() {
        return Err(CliError::usage(anyhow::anyhow!(project::no_gates_reason(
            PROJECT_FILE
        ))));
    }
    if args.names.is_empty() {
        let gates = project.gates_on(args.on.into());
        let none = || {
            CliError::usage(anyhow::anyhow!(
                "{PROJECT_FILE} marks no gate for this moment, so nothing was tested"
            ))
        };
        return if gates.is_empty() {
            Err(none().hint("add the moment to a gate's `on`"))
        } else {
            Ok(gates)
        };
    }
    let find = |name: &String| {
        let known = || {
            project
                .gates
                .iter()
                .map(|gate| gate.name.as_str())
                .collect::<Vec<_>>()
                .join(", ")
        };
        let found = project
            .gates
            .iter()
            .find(|gate| gate.name.as_str() == name)
            .cloned();
        found.ok_or_else(|| {
            CliError::usage(anyhow::anyhow!(
                "there is no gate `{name}`; there are: {}",
                known()
            ))
        })
    };
    args.names.iter().map(find).collect()
}

/// What the gates said, and which teardown commands failed after them.
struct Verdicts {
    outcomes: Vec<GateOutcome>,
    teardown: Vec<SetupFailure>,
}

/// The verdicts, or `None` when the run was interrupted.
async fn judge(
    components: Vec<Component>,
    gates: Vec<Gate>,
    place: Place,
    watch: Watch,
) -> Result<Option<Verdicts>, CliError> {
    match run_setup(&components, &place, &watch).await {
        Ok(_report) => {}
        Err(SetupError::Cancelled(_)) => return Ok(None),
        Err(SetupError::Failed(failure)) => {
            let tail = failure.tail.clone();
            let error = CliError::from(
                anyhow::Error::new(failure).context("set-up failed, so no gate was run"),
            );
            return Err(CliError {
                status: ExitStatus::Failure,
                ..error
            }
            .hint(format!("its output ends with:\n{tail}")));
        }
    }
    let request = GateRun {
        gates,
        place,
        changed_paths: None,
        parallel: runner::default_parallel(),
    };
    let Ok(outcomes) = runner::run(&request, &watch).await else {
        return Ok(None);
    };
    let torn_down = run_teardown(&components, &request.place, &watch).await;
    Ok(torn_down
        .ok()
        .map(|teardown| Verdicts { outcomes, teardown }))
}

async fn show(mut progress: mpsc::Receiver<Progress>, out: &mut Output) -> Result<(), CliError> {
    while let Some(progress) = progress.recv().await {
        match progress {
            Progress::ComponentStarted(name) => out.line(format_args!("setting up {name}"))?,
            Progress::GateEnded(outcome) => out.line(outcome_line(&outcome))?,
            Progress::GateStarted(_) | Progress::Line { .. } => {}
        }
    }
    Ok(())
}

/// `passed   fmt (0.4 s)`
pub(super) fn outcome_line(outcome: &GateOutcome) -> String {
    let (word, color) = match outcome.verdict {
        GateVerdict::Passed => ("passed ", AnsiColor::Green),
        GateVerdict::Skipped => ("skipped", AnsiColor::Yellow),
        GateVerdict::Failed { .. } => ("failed ", AnsiColor::Red),
        GateVerdict::TimedOut { .. } => ("timeout", AnsiColor::Red),
        GateVerdict::Broken { .. } => ("broken ", AnsiColor::Red),
    };
    let style = Style::new().bold().fg_color(Some(color.into()));
    format!(
        "{style}{word}{style:#} {} ({:.1} s)",
        outcome.gate,
        outcome.duration.as_secs_f64()
    )
}

fn summarize(
    outcomes: &[GateOutcome],
    subject: &Subject,
    out: &mut Output,
) -> Result<ExitStatus, CliError> {
    let failures: Vec<_> = outcomes
        .iter()
        .filter(|outcome| outcome.verdict.is_failure())
        .collect();
    for outcome in &failures {
        out.line(format_args!(
            "\ngate `{}` {}",
            outcome.gate,
            tame(&outcome.verdict.to_string())
        ))?;
        out.line(tame(&outcome.tail))?;
    }
    let [commit, tree] = match &subject.commit {
        Some([commit, tree]) => [Some(commit), Some(tree)],
        None => [None, None],
    };
    let passed = failures.is_empty();
    out.value(&json!({ "passed": passed, "commit": commit, "tree": tree, "gates": outcomes }))?;
    if passed {
        return Ok(ExitStatus::Success);
    }
    out.line(format_args!(
        "\n{} of {} gates failed",
        failures.len(),
        outcomes.len()
    ))?;
    Ok(ExitStatus::Failure)
}
