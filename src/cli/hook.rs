//! `huskies hook`: the pre-commit hook of the worktree at hand.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;
use tokio::sync::mpsc;

use super::gate::outcome_line;
use super::interrupt::Interrupts;
use super::terminal::tame;
use super::{CliError, ExitStatus, Output};
use crate::config::environment;
use crate::domain::work::GateOutcome;
use crate::gate::{Place, Progress, Watch};
use crate::hook::{
    self, HookError, InstallOptions, Judged, PreCommit, PreCommitRun, Status, Uninstalled,
};

/// Lines of a failing gate's output that a commit shows; `huskies gate` shows more.
const SHOWN_LINES: usize = 40;

/// Run the project's quality gates before each commit in this worktree
#[derive(Debug, Args)]
pub struct HookArgs {
    #[command(subcommand)]
    command: HookCommand,
    /// A folder in the worktree
    #[arg(
        long,
        short = 'C',
        value_name = "FOLDER",
        default_value = ".",
        global = true
    )]
    directory: PathBuf,
}

#[derive(Debug, Subcommand)]
enum HookCommand {
    /// Install the hook, in front of the hooks that are there, or bring it up to date
    Install {
        /// The huskies binary that the hook starts instead of this one
        #[arg(long, value_name = "FILE")]
        binary: Option<PathBuf>,
        /// Say nothing unless it fails
        #[arg(long)]
        quiet: bool,
    },
    /// Say whether the hook is installed and works; exits with 1 when it is not or does not
    Status,
    /// Take the hook out; everything is then as it was before
    Uninstall,
    /// Do what the installed hook does (git calls this)
    Run { hook: RunnableHook },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum RunnableHook {
    PreCommit,
}

pub async fn run(args: HookArgs, out: &mut Output) -> Result<ExitStatus, CliError> {
    let directory = args.directory;
    match args.command {
        HookCommand::Install { binary, quiet } => install(directory, binary, quiet, out).await,
        HookCommand::Status => status(directory, out).await,
        HookCommand::Uninstall => uninstall(directory, out).await,
        HookCommand::Run {
            hook: RunnableHook::PreCommit,
        } => pre_commit(directory, out).await,
    }
}

/// Hook set-up is a handful of git calls and file writes, all of them blocking.
async fn blocking<T: Send + 'static>(
    directory: PathBuf,
    work: impl FnOnce(&Path) -> Result<T, HookError> + Send + 'static,
) -> Result<T, CliError> {
    let joined = tokio::task::spawn_blocking(move || work(&directory)).await;
    joined.map_err(anyhow::Error::new)?.map_err(CliError::usage)
}

async fn install(
    directory: PathBuf,
    binary: Option<PathBuf>,
    quiet: bool,
    out: &mut Output,
) -> Result<ExitStatus, CliError> {
    let binary = match binary {
        Some(binary) => std::path::absolute(binary)?,
        None => std::env::current_exe()?,
    };
    let options = InstallOptions { binary };
    let installed = blocking(directory, move |directory| {
        hook::install(directory, &options)
    })
    .await?;
    out.value(&json!({
        "changed": installed.changed,
        "folder": installed.folder,
        "previous": installed.previous,
    }))?;
    if !quiet {
        let done = if installed.changed {
            "installed"
        } else {
            "already installed"
        };
        out.line(format_args!(
            "pre-commit hook {done} in {}",
            installed.folder.display()
        ))?;
        out.line(format_args!(
            "hooks in {} go on working",
            installed.previous.display()
        ))?;
    }
    Ok(ExitStatus::Success)
}

async fn status(directory: PathBuf, out: &mut Output) -> Result<ExitStatus, CliError> {
    let status = blocking(directory, hook::status).await?;
    out.value(&status)?;
    match status {
        Status::Installed {
            folder,
            binary,
            previous,
        } => {
            out.line(format_args!("installed in {}", folder.display()))?;
            out.line(format_args!(
                "starts {}, after the hook in {}",
                binary.display(),
                previous.display()
            ))?;
            return Ok(ExitStatus::Success);
        }
        Status::NotInstalled => out.line("not installed: `huskies hook install` installs it")?,
        Status::Outdated { why } => {
            out.line(format_args!("outdated, {why}: run `huskies hook install`"))?;
        }
        Status::Broken { why } => {
            out.line(format_args!("broken, {why}: run `huskies hook install`"))?;
        }
    }
    Ok(ExitStatus::Failure)
}

async fn uninstall(directory: PathBuf, out: &mut Output) -> Result<ExitStatus, CliError> {
    let done = blocking(directory, hook::uninstall).await?;
    out.value(&json!({ "removed": done == Uninstalled::Removed }))?;
    out.line(match done {
        Uninstalled::Removed => "pre-commit hook removed, the hooks from before are in use again",
        Uninstalled::WasNotInstalled => "no pre-commit hook of huskies was installed here",
    })?;
    Ok(ExitStatus::Success)
}

async fn pre_commit(directory: PathBuf, out: &mut Output) -> Result<ExitStatus, CliError> {
    let interrupts = Interrupts::listen()?;
    let run = PreCommitRun {
        directory,
        environment: environment::for_project_commands(),
        marks: Place::marks_inside(
            environment::run_mark(),
            &format!("hook-{}", std::process::id()),
        ),
    };
    let (sender, progress) = mpsc::channel(64);
    let watch = Watch {
        progress: Some(sender),
        ..Watch::default()
    };
    let cancel = watch.cancel.clone();
    let work = async {
        // The sender goes with the watch, which ends the display.
        let judging = async move { hook::run_pre_commit(run, &watch).await };
        tokio::join!(judging, show(progress, out))
    };
    let (end, shown) = interrupts.during(&cancel, work).await;
    shown?;
    let stopped = "this commit was stopped before its gates could be run";
    let end = end.map_err(|error| CliError::usage(anyhow::Error::new(error).context(stopped)));
    conclude(
        end.map_err(|error| CliError {
            status: ExitStatus::Failure,
            ..error
        })?,
        out,
    )
}

async fn show(mut progress: mpsc::Receiver<Progress>, out: &mut Output) -> Result<(), CliError> {
    while let Some(progress) = progress.recv().await {
        match progress {
            Progress::GateEnded(outcome) => {
                out.remark(format_args!("huskies: {}", outcome_line(&outcome)))?;
            }
            Progress::ComponentStarted(_) | Progress::GateStarted(_) | Progress::Line { .. } => {}
        }
    }
    Ok(())
}

/// Says at the end, where it is seen, what stopped the commit and what to do.
fn conclude(end: PreCommit, out: &mut Output) -> Result<ExitStatus, CliError> {
    let (outcomes, on) = match end {
        PreCommit::NoGates => return Ok(ExitStatus::Success),
        PreCommit::Cancelled => return Ok(ExitStatus::Interrupted),
        PreCommit::PreviousRefused { hook, status } => {
            let hook = hook.display();
            out.remark(format_args!(
                "huskies: {hook} stopped this commit (exit status {status})"
            ))?;
            return Ok(ExitStatus::Failure);
        }
        PreCommit::Judged { outcomes, on } => (outcomes, on),
    };
    let failures: Vec<&GateOutcome> = outcomes
        .iter()
        .filter(|outcome| outcome.verdict.is_failure())
        .collect();
    if failures.is_empty() {
        return Ok(ExitStatus::Success);
    }
    for outcome in &failures {
        out.remark(format_args!(
            "\nhuskies: gate `{}` {}",
            outcome.gate,
            tame(&outcome.verdict.to_string())
        ))?;
        out.remark(last_lines(&tame(&outcome.tail), SHOWN_LINES))?;
    }
    if on == Judged::Copy {
        out.remark("\nhuskies: judged was what is staged; the work tree holds other changes or files besides")?;
    }
    out.remark(
        "\nhuskies: commit stopped; mend this, `git add` the mended files and commit again",
    )?;
    Ok(ExitStatus::Failure)
}

fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let cut = lines.len().saturating_sub(count);
    let mut shown = lines[cut..].join("\n");
    if cut > 0 {
        shown.insert_str(0, &format!("({cut} lines before)\n"));
    }
    shown
}
