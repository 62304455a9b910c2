//! The pre-commit hook of one worktree: installed beside its git data, in front of the hooks that
//! were there, running the project's commit gates on exactly what is being committed.
//!
//! How it is installed (`git config --worktree core.hooksPath`, so that every other worktree stays as
//! it was) and why the path is written as it is, see [`install`]. The hook is help for whoever
//! commits; the server's own gate run is the authority.
//!
//! Not for: the worktrees of the server's own repositories beyond [`write_hook_folder`]; their
//! configuration is the git room's.

mod folder;
mod git;
mod install;
mod pre_commit;
mod settings;
mod staged;
mod status;
mod worktree;

use std::path::PathBuf;

pub use folder::{FOLDER, write_hook_folder};
pub use install::{InstallOptions, Installed, Uninstalled, install, uninstall};
pub use pre_commit::{Judged, PreCommit, PreCommitRun, run_pre_commit};
pub use staged::export_commit;
pub use status::{Breakage, Status, status};

/// Why something about a hook could not be done.
#[derive(Debug, thiserror::Error)]
pub enum HookError {
    #[error("{} is not inside a work tree of a git repository: {message}", directory.display())]
    NotAWorkTree { directory: PathBuf, message: String },
    #[error("git could not be started: {0}; install git 2.39 or newer and put it on the PATH")]
    NoGit(#[source] std::io::Error),
    #[error("`git {command}` failed: {message}")]
    Git { command: String, message: String },
    #[error("{}: {source}", path.display())]
    File {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("{} could not be run: {source}", path.display())]
    PreviousHook {
        path: PathBuf,
        source: std::io::Error,
    },
    /// The project file that is being committed was refused.
    #[error(transparent)]
    Project(#[from] crate::config::project::ProjectError),
    #[error("{0} ended unexpectedly; this is a bug in huskies")]
    Internal(&'static str),
}

impl HookError {
    fn file(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { path, source }
    }
}
