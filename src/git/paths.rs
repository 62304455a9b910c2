//! Where one project's repositories, worktrees and checkouts are.
//!
//! Not for: creating them (`create`, `linked`).

use std::path::{Path, PathBuf};

use super::{GitError, Result};
use crate::domain::id::{BranchName, ItemName};

/// The folder of one project inside the server's data folder. Everything in it belongs to huskies
/// and must be on one file system, since folders are built aside and renamed into place.
#[derive(Debug, Clone)]
pub struct RepoPaths {
    root: PathBuf,
}

impl RepoPaths {
    /// `root` must be absolute.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The server's own bare repository. Agents never write there.
    pub fn control(&self) -> PathBuf {
        self.root.join("control.git")
    }

    /// The base branch's history, and nothing else: `control.git` and every cell borrow from it.
    pub fn base(&self) -> PathBuf {
        self.root.join("base.git")
    }

    /// One small bare repository per story and per checkout slot.
    pub fn cells(&self) -> PathBuf {
        self.root.join("cells")
    }

    /// The cell of a worktree's or a checkout's registered name.
    pub(super) fn cell(&self, name: &str) -> PathBuf {
        self.cells().join(format!("{name}.git"))
    }

    /// The one repository that all worktrees shared before there were cells; gone once it is
    /// taken over.
    pub(super) fn former_work(&self) -> PathBuf {
        self.root.join("work.git")
    }

    /// One folder per story.
    pub fn worktrees(&self) -> PathBuf {
        self.root.join("worktrees")
    }

    /// One folder per gate slot.
    pub fn checkouts(&self) -> PathBuf {
        self.root.join("checkouts")
    }

    /// One folder of hook scripts per worktree, outside every work tree.
    pub fn hooks(&self) -> PathBuf {
        self.root.join("hooks")
    }

    /// Private indexes, borrowed views, folders on their way out.
    pub(super) fn tmp(&self) -> PathBuf {
        self.root.join("tmp")
    }
}

/// The folder name of a story's worktree: the last part of its branch.
pub(super) fn worktree_name(branch: &BranchName) -> Result<String> {
    let last = branch
        .as_str()
        .rsplit('/')
        .next()
        .unwrap_or(branch.as_str());
    // Checkouts register under `checkout.<slot>`; a story must not take their name.
    match last.parse::<ItemName>() {
        Ok(name) if !last.starts_with(CHECKOUT_PREFIX) => Ok(name.into()),
        Ok(_) | Err(_) => Err(GitError::misconfigured(format!(
            "the branch `{branch}` does not end in a word that can name a folder"
        ))),
    }
}

/// The name under which the checkout of a slot is registered in its cell.
pub(super) fn checkout_name(slot: &str) -> Result<String> {
    match slot.parse::<ItemName>() {
        Ok(slot) => Ok(format!("{CHECKOUT_PREFIX}{slot}")),
        Err(error) => Err(GitError::misconfigured(format!(
            "the checkout slot {error}"
        ))),
    }
}

/// The slot of a registered name, if it is a checkout's.
pub(super) fn slot_of(name: &str) -> Option<&str> {
    name.strip_prefix(CHECKOUT_PREFIX)
}

const CHECKOUT_PREFIX: &str = "checkout.";
