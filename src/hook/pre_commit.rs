//! The pre-commit hook at work: the hook that was here before first, then the project's commit
//! gates on exactly what is being committed.

use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::HookError;
use super::folder::{is_executable, is_own_script, top_up};
use super::git::Git;
use super::settings::{HookSettings, is_huskies_folder};
use super::staged::{self, changed_paths, compare, copy_of_index, staged_file};
use super::worktree::Worktree;
use crate::config::project::{self, PROJECT_FILE};
use crate::domain::project::{Gate, Land, Moment};
use crate::domain::work::GateOutcome;
use crate::gate::runner::{self, GateRun};
use crate::gate::{Place, Watch};

/// What a hook run needs to know; the repository and the index come from git's own environment.
#[derive(Debug, Clone)]
pub struct PreCommitRun {
    /// Where git started the hook.
    pub directory: PathBuf,
    /// The environment for gates, without any `GIT_*` variable: a gate's own git must not work on
    /// the index that is being committed.
    pub environment: Vec<(String, String)>,
    /// See [`Place::marks`].
    pub marks: String,
}

/// How a hook run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PreCommit {
    /// What is being committed has no project file, or one without gates for commits.
    NoGates,
    /// The hook that was here before stopped the commit; it has said why.
    PreviousRefused {
        hook: PathBuf,
        status: i32,
    },
    Judged {
        outcomes: Vec<GateOutcome>,
        on: Judged,
    },
    Cancelled,
}

/// What the gates looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judged {
    /// The work tree itself, because it is exactly what is being committed.
    WorkTree,
    /// A temporary copy of the staged content, because the work tree differs from it.
    Copy,
}

/// Runs the previous hook and the commit gates.
pub async fn run_pre_commit(run: PreCommitRun, watch: &Watch) -> Result<PreCommit, HookError> {
    let directory = run.directory.clone();
    let prepared = tokio::task::spawn_blocking(move || prepare(&directory));
    let prepared = prepared
        .await
        .map_err(|_panic| HookError::Internal("preparing the hook"))??;
    let subject = match prepared {
        Prepared::Ended(end) => return Ok(end),
        Prepared::Ready(subject) => subject,
    };
    let request = GateRun {
        gates: subject.gates,
        place: Place {
            directory: subject.folder,
            environment: run.environment,
            marks: run.marks,
            confinement: None,
            output_cap: Place::OUTPUT_CAP,
        },
        changed_paths: subject.changed_paths,
        parallel: runner::default_parallel(),
    };
    let on = if subject.copy.is_some() {
        Judged::Copy
    } else {
        Judged::WorkTree
    };
    Ok(match runner::run(&request, watch).await {
        Ok(outcomes) => PreCommit::Judged { outcomes, on },
        Err(_cancelled) => PreCommit::Cancelled,
    })
}

enum Prepared {
    Ended(PreCommit),
    Ready(Subject),
}

/// What the gates are run on.
struct Subject {
    gates: Vec<Gate>,
    folder: PathBuf,
    /// Keeps the copy until the gates are done.
    copy: Option<TempDir>,
    changed_paths: Option<Vec<String>>,
}

/// Everything before the gates. The previous hook comes first of all: it may change the index, as
/// formatters do.
fn prepare(directory: &Path) -> Result<Prepared, HookError> {
    let worktree = Worktree::discover(&Git::in_hook(directory), directory)?;
    let git = Git::in_hook(&worktree.top);
    if let Some(refusal) = run_previous(&git, &worktree)? {
        return Ok(Prepared::Ended(refusal));
    }
    let Some(text) = staged_file(&git, PROJECT_FILE)? else {
        return Ok(Prepared::Ended(PreCommit::NoGates));
    };
    // How changes land plays no part in a commit.
    let project = project::parse(&text, PROJECT_FILE, Land::Push)?;
    let gates = project.gates_on(Moment::Commit);
    if gates.is_empty() {
        return Ok(Prepared::Ended(PreCommit::NoGates));
    }
    let narrowed = gates.iter().any(|gate| !gate.paths.is_empty());
    let changed_paths = if narrowed { changed_paths(&git)? } else { None };
    let comparison = compare(&git)?;
    if comparison.same {
        return Ok(Prepared::Ready(Subject {
            gates,
            folder: worktree.top,
            copy: None,
            changed_paths,
        }));
    }
    let copy = copy_of_index(&git, &worktree, &comparison.ignored)?;
    Ok(Prepared::Ready(Subject {
        gates,
        folder: staged::files(&copy),
        copy: Some(copy),
        changed_paths,
    }))
}

/// Runs the pre-commit hook that git would run without huskies, with git's own environment, streams
/// and working folder.
fn run_previous(git: &Git, worktree: &Worktree) -> Result<Option<PreCommit>, HookError> {
    let settings = HookSettings::read(git)?;
    let previous = settings.previous(worktree);
    if is_huskies_folder(&previous) {
        return Ok(None);
    }
    if let Some(own) = settings.own.as_ref().filter(|own| is_huskies_folder(own)) {
        top_up(&worktree.top.join(own), &previous)?;
    }
    let hook = previous.join("pre-commit");
    if !is_executable(&hook) || is_own_script(&hook) {
        return Ok(None);
    }
    let status = Command::new(&hook).current_dir(&worktree.top).status();
    let status = status.map_err(|source| HookError::PreviousHook {
        path: hook.clone(),
        source,
    })?;
    if status.success() {
        return Ok(None);
    }
    let status = status
        .code()
        .or_else(|| status.signal().map(|signal| 128 + signal))
        .unwrap_or(1);
    Ok(Some(PreCommit::PreviousRefused { hook, status }))
}
