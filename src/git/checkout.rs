//! Clean checkouts of a commit, for gates.
//!
//! A checkout is a worktree with a cell of its own like an agent's (what a gate runs is as little
//! trusted as an agent), at a stable path, on no branch, without hooks. Cell and files are made anew
//! every time: after a gate ran in it, neither its index nor its `.gitattributes` can be trusted to
//! say what is unchanged, and the next run must not see what the last one was about.

use std::path::PathBuf;

use super::foreign::Head;
use super::linked::Content;
use super::paths::checkout_name;
use super::{Repository, Result};
use crate::domain::id::Sha;

impl Repository {
    /// Puts exactly `commit` into the checkout of `slot` and returns its folder. Whatever an
    /// earlier run left there is gone. A slot is used by one run at a time.
    ///
    /// # Errors
    /// [`super::GitError::Misconfigured`] when `slot` is no plain word.
    pub async fn checkout(&self, slot: &str, commit: &Sha) -> Result<PathBuf> {
        let name = checkout_name(slot)?;
        let linked = self.linked(name, self.inner.paths.checkouts().join(slot));
        let content = Content {
            files: commit.clone(),
            index: commit.clone(),
            head: Head::Detached(commit.clone()),
            hooks: Some("/dev/null".into()),
        };
        self.build_linked(&linked, content, false).await?;
        Ok(linked.path().to_owned())
    }
}
