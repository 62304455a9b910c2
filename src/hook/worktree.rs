//! Where a worktree's parts are.

use std::path::{Path, PathBuf};

use super::HookError;
use super::folder::FOLDER;
use super::git::{Git, path_of};

/// A main or linked work tree, all paths absolute.
#[derive(Debug, Clone)]
pub(super) struct Worktree {
    pub(super) top: PathBuf,
    /// `<main>/.git`, or `<main>/.git/worktrees/<name>` of a linked one.
    pub(super) git_dir: PathBuf,
    /// What all worktrees share.
    pub(super) common_dir: PathBuf,
}

impl Worktree {
    pub(super) fn discover(git: &Git, directory: &Path) -> Result<Self, HookError> {
        let arguments = [
            "rev-parse",
            "--path-format=absolute",
            "--show-toplevel",
            "--git-dir",
            "--git-common-dir",
        ];
        let refuse = |message: String| HookError::NotAWorkTree {
            directory: directory.to_owned(),
            message,
        };
        let printed = git.run(&arguments).map_err(|error| match error {
            HookError::Git { message, .. } => refuse(message),
            other => other,
        })?;
        let lines: Vec<&[u8]> = printed.split(|byte| *byte == b'\n').collect();
        let [top, git_dir, common_dir, b""] = lines.as_slice() else {
            return Err(refuse("a folder name with a line break in it".to_owned()));
        };
        Ok(Self {
            top: path_of(top),
            git_dir: path_of(git_dir),
            common_dir: path_of(common_dir),
        })
    }

    /// The folder for this worktree's hooks: outside the work tree, gone with the worktree.
    pub(super) fn hook_folder(&self) -> PathBuf {
        self.git_dir.join(FOLDER)
    }

    /// The hook folder as `core.hooksPath` should name it. Git takes a relative path from the top of
    /// the work tree. It is as durable as the link that git itself keeps from the work tree to its
    /// git data: relative where that is relative (the main work tree's `.git` folder, a submodule,
    /// `worktree.useRelativePaths`), so that moving the repository changes nothing; absolute where
    /// that is absolute, so that `git worktree move` changes nothing, and a move that needs `git
    /// worktree repair` needs `huskies hook install` too.
    pub(super) fn hooks_path_value(&self) -> PathBuf {
        let link = self.top.join(".git");
        if link.is_dir() {
            return Path::new(".git").join(FOLDER);
        }
        let text = std::fs::read_to_string(&link).unwrap_or_default();
        match text.trim_end().strip_prefix("gitdir: ").map(Path::new) {
            Some(target) if target.is_relative() => target.join(FOLDER),
            _ => self.hook_folder(),
        }
    }
}
