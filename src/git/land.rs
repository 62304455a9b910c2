//! Moving the base branch to a tested commit, and the story branch to where it is.
//!
//! Both are compare-and-swap: a branch that is not where huskies last knew it stays where it is.
//!
//! Not for: what happens in a person's clone (`clone`, `switch`).

use super::objects::{remote_ref, seen_ref, wip_ref};
use super::remote::{Over, Push, PushAnswer, Remote};
use super::source::Upstream;
use super::{Repository, Result};
use crate::domain::id::{Attempt, BranchName, Sha, StoryId};
use crate::domain::work::Candidate;

/// What became of an attempt to land.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Landing {
    /// The base branch holds the candidate, now or already before.
    Landed,
    /// Somebody was faster; the candidate has to be built and tested on the new tip.
    BaseMoved { tip: Sha },
    /// The base is checked out in somebody's work tree that must not be touched now. Trying again
    /// later makes sense; the reason says what that person can do.
    Waiting { reason: String },
    /// The remote does not take it, in its own words.
    Rejected { reason: String },
}

/// What became of pushing a story branch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pushed {
    /// The remote's branch is at the commit.
    Done,
    /// There is no remote to push to.
    NoRemote,
    /// Somebody else put the branch elsewhere (`None`: deleted it). Their commits are left alone.
    Moved { tip: Option<Sha> },
    /// The remote does not take it, in its own words.
    Rejected { reason: String },
}

impl Repository {
    /// Moves the base branch from `candidate.base` to `candidate.commit`, nowhere else from. May be
    /// repeated after a crash at any point.
    pub async fn land(&self, branch: &BranchName, candidate: &Candidate) -> Result<Landing> {
        let _one_at_a_time = self.inner.landing.lock().await;
        match &self.inner.upstream {
            Upstream::Remote(remote) => self.land_on_remote(remote, branch, candidate).await,
            Upstream::Clone(path) => self.land_in_clone(path, branch, candidate).await,
        }
    }

    async fn land_on_remote(
        &self,
        remote: &Remote,
        branch: &BranchName,
        candidate: &Candidate,
    ) -> Result<Landing> {
        let push = Push {
            target: &branch.full(),
            commit: &candidate.commit,
            over: Over::Lease(Some(&candidate.base)),
        };
        let reason = match remote
            .push(&self.inner.git, &self.inner.paths.control(), push)
            .await?
        {
            PushAnswer::Updated => {
                self.remember(branch, &candidate.commit).await?;
                return Ok(Landing::Landed);
            }
            PushAnswer::Rejected { reason } => reason,
        };
        let Some(tip) = self.fetch_base(branch).await? else {
            return Ok(Landing::Rejected {
                reason: format!("the remote has no branch `{branch}` any more"),
            });
        };
        if self.contains(&tip, &candidate.commit).await? {
            Ok(Landing::Landed)
        } else if tip == candidate.base {
            Ok(Landing::Rejected { reason })
        } else {
            Ok(Landing::BaseMoved { tip })
        }
    }

    /// Puts the story branch on the remote at `commit`, over what huskies itself last pushed there
    /// (or over an ancestor of `commit`), never over commits of somebody else.
    pub async fn push_branch(&self, branch: &BranchName, commit: &Sha) -> Result<Pushed> {
        let Upstream::Remote(remote) = &self.inner.upstream else {
            return Ok(Pushed::NoRemote);
        };
        let name = remote_ref(branch);
        let mut lease = self
            .read_objects(move |control| control.read(&name))
            .await?;
        for last_try in [false, true] {
            let push = Push {
                target: &branch.full(),
                commit,
                over: Over::Lease(lease.as_ref()),
            };
            let reason = match remote
                .push(&self.inner.git, &self.inner.paths.control(), push)
                .await?
            {
                PushAnswer::Updated => {
                    self.remember(branch, commit).await?;
                    return Ok(Pushed::Done);
                }
                PushAnswer::Rejected { reason } => reason,
            };
            // Not into the remembered ref: that one is the lease, and must not learn what others
            // pushed until somebody has looked at it.
            let tip = self.fetch_branch(branch, &seen_ref(branch)).await?;
            if tip == lease {
                return Ok(Pushed::Rejected { reason });
            }
            // One that was deleted is made anew: whoever deleted it has stopped its story, and it
            // goes on by somebody's wish.
            let is_ours = match &tip {
                Some(tip) => self.contains(commit, tip).await?,
                None => true,
            };
            if last_try || !is_ours {
                return Ok(Pushed::Moved { tip });
            }
            lease = tip;
        }
        Ok(Pushed::Moved { tip: lease })
    }

    /// Puts what an attempt had not committed on the remote, under the name it has in
    /// `control.git`, over whatever an earlier try put there.
    pub async fn push_wip(
        &self,
        story: &StoryId,
        attempt: Attempt,
        commit: &Sha,
    ) -> Result<Pushed> {
        let Upstream::Remote(remote) = &self.inner.upstream else {
            return Ok(Pushed::NoRemote);
        };
        let push = Push {
            target: &wip_ref(story.number, attempt),
            commit,
            over: Over::Anything,
        };
        let control = self.inner.paths.control();
        Ok(match remote.push(&self.inner.git, &control, push).await? {
            PushAnswer::Updated => Pushed::Done,
            PushAnswer::Rejected { reason } => Pushed::Rejected { reason },
        })
    }

    async fn remember(&self, branch: &BranchName, commit: &Sha) -> Result<()> {
        let (name, commit) = (remote_ref(branch), commit.clone());
        self.read_objects(move |control| control.point(&name, &commit))
            .await
    }
}
