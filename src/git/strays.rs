//! Story branches that somebody else moved or deleted on the remote.
//!
//! Not for: pushing them (`land`), or what follows from it.

use std::collections::BTreeMap;

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
        let there = remote.story_branches(&self.inner.git).await?;
        let mut strays = Vec::new();
        for (branch, head) in branches {
            let stray = self.stray(branch, head, &there).await?;
            strays.extend(stray.map(|stray| (branch.clone(), stray)));
        }
        Ok(strays)
    }

    async fn stray(
        &self,
        branch: &BranchName,
        head: &Sha,
        there: &BTreeMap<String, Sha>,
    ) -> Result<Option<Stray>> {
        let name = remote_ref(branch);
        let Some(pushed) = self
            .read_objects(move |control| control.read(&name))
            .await?
        else {
            return Ok(None);
        };
        let Some(tip) = there.get(&branch.full()) else {
            return Ok(Some(Stray::Deleted));
        };
        if *tip == pushed || tip == head {
            return Ok(None);
        }
        let Some(tip) = self.fetch_branch(branch, &seen_ref(branch)).await? else {
            return Ok(Some(Stray::Deleted));
        };
        // A push whose answer got lost is huskies' own.
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
