//! What a confined process has to see of the disk, besides its own folder, for git to work there.
//!
//! The cell is writable as a whole, its settings and hooks too: a commit writes objects, refs, logs
//! and locks all over it, a project's set-up installs hooks and settings there, and the server
//! never reads what they say. Nothing that another story or the server depends on is in it.
//!
//! Not for: building the walls.

use std::path::PathBuf;

use super::paths::{checkout_name, worktree_name};
use super::{Repository, Result};
use crate::domain::id::BranchName;

/// What a process needs of the disk, besides its folder, to work and commit there. All absolute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reach {
    pub writable: Vec<PathBuf>,
    pub readable: Vec<PathBuf>,
}

impl Repository {
    /// Of an agent in a story's worktree, once that is prepared: its cell, the base branch's
    /// objects, and its hook scripts.
    ///
    /// # Errors
    /// [`super::GitError::Misconfigured`] when no worktree can have this branch.
    pub fn reach_of_worktree(&self, branch: &BranchName) -> Result<Reach> {
        let name = worktree_name(branch)?;
        let mut reach = self.reach_of(&name);
        reach.readable.push(self.inner.paths.hooks().join(name));
        Ok(reach)
    }

    /// Of gates in the checkout of `slot`, once that is made.
    ///
    /// # Errors
    /// [`super::GitError::Misconfigured`] when `slot` is no plain word.
    pub fn reach_of_checkout(&self, slot: &str) -> Result<Reach> {
        Ok(self.reach_of(&checkout_name(slot)?))
    }

    fn reach_of(&self, name: &str) -> Reach {
        let paths = &self.inner.paths;
        Reach {
            writable: vec![paths.cell(name)],
            readable: vec![paths.base().join("objects")],
        }
    }
}
