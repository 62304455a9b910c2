//! The pull requests of stories, in memory: the forge merges what it is asked to, tested or not.

use async_trait::async_trait;
use huskies::domain::id::{BranchName, RepoName, Sha};
use huskies::domain::pull::Obstacles;
use huskies::forge::{
    ForgeError, MergeAnswer, Mergeable, NewPull, OpenedPull, PullNow, PullRequests, PullStage,
    PullText, Squash,
};
use huskies::git::{Built, CandidateSpec};
use jiff::{SignedDuration, Timestamp};

use super::forge::FakeForge;
use super::sites::tree_of;
use super::world::World;

/// The first pull request's number; no story has it, and no pull request of a person.
const FIRST: u64 = 200;

#[derive(Debug)]
pub(super) struct Pull {
    branch: BranchName,
    open: bool,
    draft: bool,
    merged: Option<(Sha, Sha)>,
    /// Its reviewers take so long.
    approved_at: Timestamp,
}

#[derive(Debug, Default)]
pub(super) struct OwnPulls {
    all: Vec<Pull>,
    /// What the forge merged, by its tree.
    pub(super) merged: Vec<(Sha, Sha)>,
}

type Result<T> = std::result::Result<T, ForgeError>;

impl World {
    fn own_pull(&mut self, number: u64) -> Result<&mut Pull> {
        let place = usize::try_from(number.saturating_sub(FIRST)).unwrap();
        let found = self.own_pulls.all.get_mut(place);
        found.ok_or_else(|| ForgeError::NotFound {
            what: format!("pull request {number}"),
        })
    }

    pub(super) fn open_own_pulls(&self) -> impl Iterator<Item = (u64, Sha)> {
        let numbered = (FIRST..).zip(&self.own_pulls.all);
        let open = numbered.filter(|(_, pull)| pull.open);
        open.map(|(number, pull)| (number, self.sites.pushed[&pull.branch].clone()))
    }

    /// What became of one that is closed, and its head.
    pub(super) fn own_pull_state(&mut self, number: u64) -> Result<(Option<Sha>, Sha)> {
        let pull = self.own_pull(number)?;
        let (merged, branch) = (pull.merged.clone(), pull.branch.clone());
        let head = self.sites.pushed[&branch].clone();
        Ok((merged.map(|(commit, _)| commit), head))
    }

    fn open_pull(&mut self, branch: &BranchName, now: Timestamp) -> OpenedPull {
        let plain = false;
        let mut all = self.own_pulls.all.iter();
        let known = all.position(|pull| pull.open && pull.branch == *branch);
        if let Some(place) = known {
            let number = FIRST + place as u64;
            return OpenedPull { number, plain };
        }
        if !self.sites.pushed.contains_key(branch) {
            self.violation(format!(
                "{branch} has a pull request and is not on the forge"
            ));
        }
        let wait = *self.dice.pick(&[0, 0, 300, 4_000]);
        self.own_pulls.all.push(Pull {
            branch: branch.clone(),
            open: true,
            draft: true,
            merged: None,
            approved_at: now + SignedDuration::from_secs(wait),
        });
        let number = FIRST + self.own_pulls.all.len() as u64 - 1;
        OpenedPull { number, plain }
    }

    fn merge_pull(&mut self, number: u64, squash: &Squash, now: Timestamp) -> Result<MergeAnswer> {
        let pull = self.own_pull(number)?;
        let (branch, approved_at) = (pull.branch.clone(), pull.approved_at);
        let message = "it cannot be merged".to_owned();
        if !pull.open || pull.draft || now < approved_at {
            return Ok(MergeAnswer::NotAllowed { message });
        }
        if self.sites.pushed.get(&branch) != Some(&squash.head) {
            return Ok(MergeAnswer::Moved { message });
        }
        let spec = CandidateSpec {
            base: self.sites.base.clone(),
            head: squash.head.clone(),
            message: squash.title.clone(),
        };
        let Built::Candidate(landed) = self.squash(&spec) else {
            return Ok(MergeAnswer::NotAllowed { message });
        };
        self.sites.move_base(&landed.commit);
        self.sites.landed.push(landed.commit.clone());
        let tree = tree_of(self, &landed.commit);
        self.own_pulls.merged.push((landed.commit.clone(), tree));
        let pull = self.own_pull(number)?;
        pull.open = false;
        pull.merged = Some((landed.commit.clone(), squash.head.clone()));
        let commit = landed.commit;
        Ok(MergeAnswer::Merged { commit })
    }

    fn pull_now(&mut self, number: u64, now: Timestamp) -> Result<PullNow> {
        let pull = self.own_pull(number)?;
        let (branch, draft, open) = (pull.branch.clone(), pull.draft, pull.open);
        let (merged, waits) = (pull.merged.clone(), now < pull.approved_at);
        let pushed = self.sites.pushed[&branch].clone();
        let head = merged.as_ref().map_or(pushed, |(_, head)| head.clone());
        Ok(PullNow {
            stage: match merged {
                Some((commit, _)) => PullStage::Merged {
                    commit,
                    by_us: true,
                },
                None if open => PullStage::Open,
                None => PullStage::Closed,
            },
            head,
            base: "main".to_owned(),
            draft,
            mergeable: if waits {
                Mergeable::Blocked
            } else {
                Mergeable::Yes
            },
        })
    }
}

#[async_trait]
impl PullRequests for FakeForge {
    async fn open_pull(&self, _: &RepoName, wanted: &NewPull) -> Result<OpenedPull> {
        self.ask("open_pull", |world, now| {
            Ok(world.open_pull(&wanted.head, now))
        })
        .await
    }

    async fn pull(&self, _: &RepoName, number: u64) -> Result<PullNow> {
        self.ask("pull", |world, now| world.pull_now(number, now))
            .await
    }

    async fn edit_pull(&self, _: &RepoName, number: u64, _: &PullText) -> Result<()> {
        self.ask("edit_pull", |world, _| world.own_pull(number).map(drop))
            .await
    }

    async fn mark_ready(&self, _: &RepoName, number: u64) -> Result<()> {
        self.ask("mark_ready", |world, _| {
            world.own_pull(number)?.draft = false;
            Ok(())
        })
        .await
    }

    async fn merge_pull(&self, _: &RepoName, number: u64, squash: &Squash) -> Result<MergeAnswer> {
        self.ask("merge_pull", |world, now| {
            world.merge_pull(number, squash, now)
        })
        .await
    }

    async fn obstacles(&self, _: &RepoName, _: (u64, &PullNow)) -> Result<Obstacles> {
        self.ask("obstacles", |_, _| {
            Ok(Obstacles {
                approvals: Some((1, 0)),
                ..Obstacles::default()
            })
        })
        .await
    }
}
