//! The repositories, as the executor asks for them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use huskies::domain::id::{Attempt, BranchName, Sha, StoryId};
use huskies::domain::work::{Candidate, Collected};
use huskies::executor::Workshop;
use huskies::git::{
    BaseTip, Built, CandidateSpec, CollectSpec, GitError, Landing, Pushed, Reach, Retirement,
    Stray, Worktree, WorktreeSpec,
};

use super::commits::{Merged, tree_name};
use super::dice::Dice;
use super::world::Link;

pub(super) struct FakeWorkshop {
    pub(super) link: Link,
    pub(super) root: PathBuf,
}

type Result<T> = std::result::Result<T, GitError>;

fn trouble(dice: &mut Dice) -> GitError {
    let what = "a command".to_owned();
    match dice.roll(3) {
        0 => GitError::Unavailable {
            message: "no route to host".to_owned(),
        },
        1 => GitError::TimedOut {
            what,
            after: Duration::from_mins(2),
        },
        _ => GitError::Command {
            what,
            status: Some(128),
            stderr: "fatal: something".to_owned(),
        },
    }
}

fn unreachable(_: &mut Dice) -> GitError {
    let message = "no route to host".to_owned();
    GitError::Unavailable { message }
}

fn not_found(commit: &Sha) -> GitError {
    GitError::NotFound {
        what: commit.to_string(),
    }
}

/// Marks a worktree as being worked on by a call; two at once are a violation.
struct Busy {
    link: Link,
    path: String,
}

impl Busy {
    fn with(link: &Link, path: &str, doing: &str) -> Self {
        let mut world = link.lock();
        if !world.sites.busy.insert(path.to_owned()) {
            world.violation(format!(
                "{doing} {path} while another call is at work there"
            ));
        }
        if let Some(run) = world.processes.running_in(path) {
            world.violation(format!("{doing} {path} while {run} runs there"));
        }
        Self {
            link: link.clone(),
            path: path.to_owned(),
        }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.link.lock().sites.busy.remove(&self.path);
    }
}

impl FakeWorkshop {
    fn worktree_of(&self, branch: &BranchName) -> PathBuf {
        let name = branch.as_str().replace('/', "_");
        self.root.join("worktrees").join(name)
    }

    fn text_of(&self, branch: &BranchName) -> String {
        self.worktree_of(branch).display().to_string()
    }
}

#[async_trait]
impl Workshop for FakeWorkshop {
    async fn sync_base(&self, _configured: Option<&BranchName>) -> Result<BaseTip> {
        let tip = self.link.call("sync_base", trouble, |world, _| {
            Ok(BaseTip {
                branch: "main".parse().unwrap(),
                sha: world.sites.base.clone(),
            })
        });
        tip.await
    }

    async fn fetch_head(&self, commit: &Sha) -> Result<()> {
        let fetched = self.link.call("fetch_head", unreachable, |world, _| {
            world.check_trust(commit);
            match world.commits.get(commit) {
                Some(_) => Ok(()),
                None => Err(not_found(commit)),
            }
        });
        fetched.await
    }

    async fn read_file(&self, commit: &Sha, path: &str) -> Result<Option<Vec<u8>>> {
        let world = self.link.lock();
        let commit = world.commits.get(commit).ok_or_else(|| not_found(commit))?;
        Ok(commit.tree.get(path).map(|text| text.clone().into_bytes()))
    }

    async fn changed_paths(&self, base: &Sha, commit: &Sha) -> Result<Vec<String>> {
        Ok(self.link.lock().commits.changed(base, commit))
    }

    async fn contains(&self, tip: &Sha, commit: &Sha) -> Result<bool> {
        Ok(self.link.lock().commits.contains(tip, commit))
    }

    async fn tree_of(&self, commit: &Sha) -> Result<Sha> {
        let world = self.link.lock();
        let commit = world.commits.get(commit).ok_or_else(|| not_found(commit))?;
        Ok(tree_name(&commit.tree))
    }

    async fn prepare_worktree(&self, spec: &WorktreeSpec) -> Result<Worktree> {
        let path = self.worktree_of(&spec.branch);
        let text = self.text_of(&spec.branch);
        let _busy = Busy::with(&self.link, &text, "prepare");
        let prepared = self.link.call("prepare_worktree", trouble, |world, _| {
            let created = world.site(&text, spec.story.number, (&spec.branch, &spec.base));
            let head = world.sites.worktrees[&text].head.clone();
            Ok(Worktree {
                path: path.clone(),
                head,
                created,
                noticed: Vec::new(),
            })
        });
        prepared.await
    }

    fn places_of(&self, branch: &BranchName) -> Result<(PathBuf, PathBuf)> {
        let worktree = self.worktree_of(branch);
        Ok((worktree.clone(), worktree.with_extension("hooks")))
    }

    fn reach_of_worktree(&self, _branch: &BranchName) -> Result<Reach> {
        Ok(nothing())
    }

    fn reach_of_checkout(&self, _slot: &str) -> Result<Reach> {
        Ok(nothing())
    }

    async fn install_hook(&self, _worktree: &Worktree, _binary: &Path) -> anyhow::Result<()> {
        let installed = self.link.call("install_hook", trouble, |_, _| Ok(()));
        Ok(installed.await?)
    }

    async fn collect(&self, spec: &CollectSpec) -> Result<Collected> {
        let path = self.text_of(&spec.branch);
        let _busy = Busy::with(&self.link, &path, "collect");
        let collected = self.link.call("collect", trouble, |world, _| {
            let kept = world.keep(&path, (spec.story.number, spec.attempt), &spec.base);
            let tree = world.commits.tree(&kept.head);
            let marked = |path: &&String| tree.get(*path).is_some_and(|text| text.contains("<<<"));
            Ok(Collected {
                tree: tree_name(tree),
                ahead: !world.commits.contains(&spec.base, &kept.head)
                    && !world.commits.changed(&spec.base, &kept.head).is_empty(),
                advanced: *spec.since.as_ref().unwrap_or(&spec.base) != kept.head,
                wip: kept.snapshot,
                noticed: Vec::new(),
                markers: spec.conflicts.iter().filter(marked).cloned().collect(),
                head: kept.head,
            })
        });
        collected.await
    }

    async fn retire_worktree(&self, spec: &CollectSpec) -> Result<Retirement> {
        let path = self.text_of(&spec.branch);
        let _busy = Busy::with(&self.link, &path, "retire");
        let retired = self.link.call("retire_worktree", trouble, |world, _| {
            world.keep(&path, (spec.story.number, spec.attempt), &spec.base);
            world.retire(&path);
            Ok(Retirement::Removed)
        });
        retired.await
    }

    async fn checkout(&self, slot: &str, commit: &Sha) -> Result<PathBuf> {
        let path = self.root.join("checkouts").join(slot);
        let text = path.display().to_string();
        let _busy = Busy::with(&self.link, &text, "check out");
        let checked_out = self.link.call("checkout", trouble, |world, _| {
            world.sites.checkouts.insert(text.clone(), commit.clone());
            Ok(path.clone())
        });
        checked_out.await
    }

    async fn push_branch(&self, branch: &BranchName, commit: &Sha) -> Result<Pushed> {
        let pushed = self.link.call("push_branch", unreachable, |world, _| {
            world.sites.pushed.insert(branch.clone(), commit.clone());
            Ok(Pushed::Done)
        });
        let pushed = pushed.await?;
        self.link.pass(50).await;
        self.link.reach("before a push is remembered").await;
        let mut world = self.link.lock();
        let (branch, commit) = (branch.clone(), commit.clone());
        world.sites.remembered.insert(branch, commit);
        Ok(pushed)
    }

    async fn strays(&self, branches: &[(BranchName, Sha)]) -> Result<Vec<(BranchName, Stray)>> {
        let remembered = self.link.lock().sites.remembered.clone();
        let asked = self.link.call("strays", unreachable, |world, _| {
            let branches = branches.iter();
            let strays = branches.filter_map(|(branch, head)| {
                let known = remembered.get(branch)?;
                let stray = world.stray(branch, [known, head])?;
                Some((branch.clone(), stray))
            });
            Ok(strays.collect())
        });
        asked.await
    }

    async fn push_wip(&self, story: &StoryId, attempt: Attempt, commit: &Sha) -> Result<Pushed> {
        let name = format!("refs/huskies/wip/{}/{attempt}", story.number);
        let pushed = self.link.call("push_wip", unreachable, |world, _| {
            world.sites.snapshots_pushed.insert(name, commit.clone());
            Ok(Pushed::Done)
        });
        pushed.await
    }

    async fn conflicts(&self, base: &Sha, head: &Sha) -> Result<Vec<String>> {
        Ok(match self.link.lock().commits.merge(base, head) {
            Merged::Clean(_) => Vec::new(),
            Merged::Conflict { paths, .. } => paths,
        })
    }

    async fn build_candidate(&self, spec: &CandidateSpec) -> Result<Built> {
        let built = self.link.call(
            "build_candidate",
            trouble,
            |world, _| Ok(world.squash(spec)),
        );
        built.await
    }

    async fn squash_message(&self, candidate: &Sha) -> Result<String> {
        let world = self.link.lock();
        let commit = world.commits.get(candidate);
        commit.ok_or_else(|| not_found(candidate))?;
        Ok("A story\n\nStory: octo/app#1\n".to_owned())
    }

    async fn parent_of(&self, commit: &Sha) -> Result<Option<Sha>> {
        let world = self.link.lock();
        let commit = world.commits.get(commit).ok_or_else(|| not_found(commit))?;
        Ok(commit.parents.first().cloned())
    }

    async fn land(&self, _branch: &BranchName, candidate: &Candidate) -> Result<Landing> {
        let landed = self.link.call("land", trouble, |world, now| {
            let landing = world.land(candidate, now);
            world.note(now, &format!("  {landing:?}"));
            Ok(landing)
        });
        landed.await
    }
}

/// Nothing is confined here.
fn nothing() -> Reach {
    Reach {
        writable: Vec::new(),
        readable: Vec::new(),
    }
}
