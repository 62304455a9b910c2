//! Story branches that somebody else moved or deleted on the remote.
//!
//! Not for: pushing them (`land`), or what follows from it.

use super::linked::Linked;
use super::objects::{remote_ref, seen_ref};
use super::source::Upstream;
use super::worktree::WorktreeSpec;
use super::{Repository, Result};
use crate::domain::id::{BranchName, Sha};

/// A story branch that is not where huskies put it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stray {
    /// It holds commits of somebody else. They are in `control.git` now.
    Moved {
        tip: Sha,
    },
    Deleted,
}

impl Repository {
    /// Of these story branches and their newest commits, the ones that somebody else moved or
    /// deleted. One that was never pushed is nowhere else.
    pub async fn strays(&self, branches: &[(BranchName, Sha)]) -> Result<Vec<(BranchName, Stray)>> {
        let Upstream::Remote(remote) = &self.inner.upstream else {
            return Ok(Vec::new());
        };
        // Before the remote is asked: what is pushed for the first time meanwhile was not deleted.
        let mut pushed = Vec::new();
        for (branch, head) in branches {
            let name = remote_ref(branch);
            let known = self.read_objects(move |control| control.read(&name));
            pushed.extend(known.await?.map(|known| (branch, head, known)));
        }
        let there = remote.story_branches(&self.inner.git).await?;
        let mut strays = Vec::new();
        for (branch, head, known) in pushed {
            let stray = match there.get(&branch.full()) {
                None => Some(Stray::Deleted),
                Some(tip) if *tip == known || tip == head => None,
                Some(_) => self.moved(branch, head).await?,
            };
            strays.extend(stray.map(|stray| (branch.clone(), stray)));
        }
        Ok(strays)
    }

    async fn moved(&self, branch: &BranchName, head: &Sha) -> Result<Option<Stray>> {
        let Some(tip) = self.fetch_branch(branch, &seen_ref(branch)).await? else {
            return Ok(Some(Stray::Deleted));
        };
        // An older commit of the story is huskies' own: the answer to its push got lost, or it was
        // pushed while the remote was asked.
        let is_ours = self.contains(head, &tip).await?;
        Ok((!is_ours).then_some(Stray::Moved { tip }))
    }

    /// Puts what somebody else pushed to the story branch where its agent can merge it.
    pub(super) async fn offer_stray(&self, linked: &Linked, spec: &WorktreeSpec) -> Result<()> {
        let name = seen_ref(&spec.branch);
        let seen = self
            .read_objects(move |control| control.read(&name))
            .await?;
        match seen {
            Some(seen) => self.put_back_objects(linked, &seen).await,
            None => Ok(()),
        }
    }
}
