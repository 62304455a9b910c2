//! Says whether a worktree's hook is there and would do its work.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::HookError;
use super::folder::{installed_binary, is_current, is_executable, missing_names};
use super::git::Git;
use super::settings::{HookSettings, is_huskies_folder};
use super::worktree::Worktree;

/// The state of one worktree's hook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "status")]
pub enum Status {
    NotInstalled,
    Installed {
        folder: PathBuf,
        binary: PathBuf,
        /// Where the hooks that were there before are.
        previous: PathBuf,
    },
    /// It works, but `huskies hook install` would write something else now.
    Outdated {
        why: String,
    },
    /// It does not do its work here.
    Broken {
        why: Breakage,
    },
}

/// What is wrong with an installation. `huskies hook install` mends each of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(rename_all = "snake_case", tag = "breakage", content = "path")]
pub enum Breakage {
    #[error("the hook folder {} is gone, so git runs no hook at all here", .0.display())]
    FolderGone(PathBuf),
    #[error("{} is missing or cannot be executed, so git runs no pre-commit hook here", .0.display())]
    ScriptGone(PathBuf),
    #[error("{}, which the hook starts, is gone", .0.display())]
    BinaryGone(PathBuf),
    #[error("git uses the hook folder of another worktree here, {}, and runs no hook once that is removed", .0.display())]
    OtherWorktree(PathBuf),
}

/// Looks at the hook of the worktree that `directory` lies in.
pub fn status(directory: &Path) -> Result<Status, HookError> {
    let git = Git::in_folder(directory);
    let worktree = Worktree::discover(&git, directory)?;
    let settings = HookSettings::read(&git)?;
    let Some(own) = settings.own.as_ref().filter(|own| is_huskies_folder(own)) else {
        return Ok(Status::NotInstalled);
    };
    let folder = worktree.top.join(own);
    let previous = settings.previous(&worktree);
    Ok(match breakage(&folder, &worktree) {
        Err(why) => Status::Broken { why },
        Ok(_) if !is_current(&folder) => Status::Outdated {
            why: "its scripts are those of another version of huskies".to_owned(),
        },
        Ok(binary) => match missing_names(&folder, &previous).as_slice() {
            [] => Status::Installed {
                folder: worktree.hook_folder(),
                binary,
                previous,
            },
            missing => Status::Outdated {
                why: format!("it does not hand on {} yet", missing.join(", ")),
            },
        },
    })
}

/// What keeps the hook in `folder` from its work, or the binary that it starts.
fn breakage(folder: &Path, worktree: &Worktree) -> Result<PathBuf, Breakage> {
    let Ok(real) = folder.canonicalize() else {
        return Err(Breakage::FolderGone(folder.to_owned()));
    };
    if worktree.hook_folder().canonicalize().ok().as_ref() != Some(&real) {
        return Err(Breakage::OtherWorktree(real));
    }
    let script = real.join("pre-commit");
    if !is_executable(&script) {
        return Err(Breakage::ScriptGone(script));
    }
    let binary = installed_binary(&real).unwrap_or_default();
    if is_executable(&binary) {
        Ok(binary)
    } else {
        Err(Breakage::BinaryGone(binary))
    }
}
