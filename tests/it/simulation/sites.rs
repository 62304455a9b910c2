//! A project's repositories in memory: base branch, worktrees, checkouts, and what is kept.

use std::collections::{BTreeMap, BTreeSet};

use huskies::domain::id::{Attempt, BranchName, Sha};
use huskies::domain::work::Candidate;
use huskies::git::{Built, CandidateSpec, Landing, Stray};
use jiff::Timestamp;

use super::commits::{Commits, Merged, Tree, tree_name};
use super::world::World;

pub(super) const PROJECT_FILE: &str = ".huskies/project.toml";

/// Two gates at every moment; agents, retries and more are added by the history.
pub(super) const PROJECT: &str = r#"
land = "push"
max_retries = 2

[[gate]]
name = "unit"
command = "true"

[[gate]]
name = "lint"
command = "true"

[[agent]]
name = "claude"
stage = "coder"
max_budget_usd = 1.5

[[agent]]
name = "script"
stage = "coder"
runtime = "command"
command = "true"
"#;

/// The forge merges.
pub(super) fn by_pull_request(project: &str) -> String {
    project.replace("land = \"push\"", "land = \"pull-request\"")
}

pub(super) fn tree_of(world: &World, commit: &Sha) -> Sha {
    tree_name(world.commits.tree(commit))
}

/// A folder in which an agent works.
#[derive(Debug, Clone)]
pub(super) struct Site {
    pub(super) story: u64,
    pub(super) branch: BranchName,
    pub(super) head: Sha,
    /// What is in the folder, committed or not.
    pub(super) files: Tree,
}

#[derive(Debug)]
pub(super) struct Sites {
    pub(super) base: Sha,
    /// Every tip that the base branch ever had.
    pub(super) base_tips: Vec<Sha>,
    /// Worktrees by their paths.
    pub(super) worktrees: BTreeMap<String, Site>,
    /// Tips of branches whose folder is gone.
    branches: BTreeMap<BranchName, Sha>,
    pub(super) heads: BTreeMap<u64, Sha>,
    pub(super) snapshots: BTreeMap<(u64, Attempt), Sha>,
    pub(super) pushed: BTreeMap<BranchName, Sha>,
    /// What huskies knows that it pushed.
    pub(super) remembered: BTreeMap<BranchName, Sha>,
    pub(super) snapshots_pushed: BTreeMap<String, Sha>,
    pub(super) checkouts: BTreeMap<String, Sha>,
    /// Somebody works where the base branch is checked out.
    pub(super) dirty_until: Timestamp,
    /// Trees that merge gates really passed.
    pub(super) passed: BTreeSet<Sha>,
    /// Commits that landed through huskies.
    pub(super) landed: Vec<Sha>,
    /// Commits and files that agents made, with the number of their story.
    pub(super) made: Vec<(u64, Made)>,
    /// Stories whose worktree a call is at work on.
    pub(super) busy: BTreeSet<String>,
}

#[derive(Debug, Clone)]
pub(super) enum Made {
    Commit(Sha),
    File { path: String, content: String },
}

impl Sites {
    pub(super) fn new(commits: &mut Commits, (start, by_pull): (Timestamp, bool)) -> Self {
        let file = |path: &str, content: &str| (path.to_owned(), content.to_owned());
        let project = if by_pull {
            by_pull_request(PROJECT)
        } else {
            PROJECT.to_owned()
        };
        let tree = Tree::from([
            file(PROJECT_FILE, &project),
            file("shared.txt", "as it was"),
        ]);
        let base = commits.add(&[], &tree, "the beginning");
        Self {
            base_tips: vec![base.clone()],
            base,
            worktrees: BTreeMap::new(),
            branches: BTreeMap::new(),
            heads: BTreeMap::new(),
            snapshots: BTreeMap::new(),
            pushed: BTreeMap::new(),
            remembered: BTreeMap::new(),
            snapshots_pushed: BTreeMap::new(),
            checkouts: BTreeMap::new(),
            dirty_until: start,
            passed: BTreeSet::new(),
            landed: Vec::new(),
            made: Vec::new(),
            busy: BTreeSet::new(),
        }
    }

    pub(super) fn move_base(&mut self, to: &Sha) {
        self.base = to.clone();
        self.base_tips.push(to.clone());
    }
}

/// What collecting finds.
pub(super) struct Kept {
    pub(super) head: Sha,
    pub(super) snapshot: Option<Sha>,
}

impl World {
    /// The worktree at `path`, made where it is missing; true when it was made.
    pub(super) fn site(&mut self, path: &str, story: u64, start: (&BranchName, &Sha)) -> bool {
        if self.sites.worktrees.contains_key(path) {
            return false;
        }
        let (branch, base) = start;
        let known = self.sites.heads.get(&story);
        let left = self.sites.branches.get(branch);
        let head = left
            .filter(|left| known.is_none_or(|known| self.commits.contains(left, known)))
            .or(known)
            .unwrap_or(base)
            .clone();
        let newest = self.sites.snapshots.iter().rev();
        let mut newest = newest.filter(|((number, _), _)| *number == story);
        let unfinished = newest
            .next()
            .map(|(_, snapshot)| snapshot)
            .filter(|snapshot| {
                let commit = self.commits.get(snapshot);
                commit.is_some_and(|commit| commit.parents.first() == Some(&head))
            });
        let files = self.commits.tree(unfinished.unwrap_or(&head)).clone();
        let site = Site {
            story,
            branch: branch.clone(),
            head,
            files,
        };
        self.sites.worktrees.insert(path.to_owned(), site);
        true
    }

    /// Puts everything of a story's worktree under refs of the server's own.
    pub(super) fn keep(&mut self, path: &str, story: (u64, Attempt), base: &Sha) -> Kept {
        let number = story.0;
        let known = self.sites.heads.get(&number).unwrap_or(base).clone();
        let Some(site) = self.sites.worktrees.get(path).cloned() else {
            self.sites.heads.insert(number, known.clone());
            return Kept {
                head: known,
                snapshot: None,
            };
        };
        self.sites.heads.insert(number, site.head.clone());
        let dirty = *self.commits.tree(&site.head) != site.files;
        let previous = self.sites.snapshots.get(&story).cloned();
        let previous = previous.filter(|previous| !self.commits.contains(&site.head, previous));
        let mut parents = vec![site.head.clone()];
        parents.extend(previous);
        let snapshot = if dirty || parents.len() > 1 {
            self.commits
                .add(&parents, &site.files, "what was not committed")
        } else {
            site.head.clone()
        };
        self.sites.snapshots.insert(story, snapshot.clone());
        Kept {
            head: site.head,
            snapshot: dirty.then_some(snapshot),
        }
    }

    pub(super) fn retire(&mut self, path: &str) {
        if let Some(site) = self.sites.worktrees.remove(path) {
            self.sites.branches.insert(site.branch, site.head);
        }
    }

    /// What is on the remote that is neither what was pushed nor in the newest commit.
    pub(super) fn stray(&self, branch: &BranchName, [pushed, head]: [&Sha; 2]) -> Option<Stray> {
        match self.sites.pushed.get(branch) {
            None => Some(Stray::Deleted),
            Some(tip) if tip == pushed || self.commits.contains(head, tip) => None,
            Some(tip) => Some(Stray::Moved { tip: tip.clone() }),
        }
    }

    pub(super) fn squash(&mut self, spec: &CandidateSpec) -> Built {
        let tree = match self.commits.merge(&spec.base, &spec.head) {
            Merged::Clean(tree) => tree,
            Merged::Conflict { paths, .. } => return Built::Conflict { paths },
        };
        if tree == *self.commits.tree(&spec.base) {
            return Built::Nothing;
        }
        let commit = self.commits.add(
            std::slice::from_ref(&spec.base),
            &tree,
            &format!("{} {}", spec.head, spec.message),
        );
        Built::Candidate(Candidate {
            base: spec.base.clone(),
            head: spec.head.clone(),
            commit,
            tree: tree_name(&tree),
        })
    }

    /// Moves the base to a candidate, and checks that somebody tested it.
    pub(super) fn land(&mut self, candidate: &Candidate, now: Timestamp) -> Landing {
        if self.commits.contains(&self.sites.base, &candidate.commit) {
            return Landing::Landed;
        }
        if self.sites.base != candidate.base {
            let tip = self.sites.base.clone();
            return Landing::BaseMoved { tip };
        }
        if now < self.sites.dirty_until {
            let reason = "the work tree is not clean".to_owned();
            return Landing::Waiting { reason };
        }
        if self.fault_rate.is_some() && self.dice.luck(25) {
            let reason = "a rule of the forge forbids it".to_owned();
            return Landing::Rejected { reason };
        }
        let tree = tree_name(self.commits.tree(&candidate.commit));
        if !self.sites.passed.contains(&tree) {
            self.violation(format!("{} lands and nothing tested it", candidate.commit));
        }
        self.sites.move_base(&candidate.commit);
        self.sites.landed.push(candidate.commit.clone());
        Landing::Landed
    }

    /// What agents made and no kept ref or worktree leads to any more.
    pub(super) fn lost_work(&self) -> Vec<String> {
        let sites = &self.sites;
        let tips = sites
            .heads
            .values()
            .chain(sites.snapshots.values())
            .chain([&sites.base]);
        let mut kept = BTreeSet::new();
        for tip in tips {
            if !kept.contains(tip) {
                kept.extend(self.commits.ancestors(tip));
            }
        }
        let is_kept = |made: &Made| match made {
            Made::Commit(commit) => kept.contains(commit),
            Made::File { path, content } => {
                let mut trees = kept.iter().map(|commit| self.commits.tree(commit));
                trees.any(|tree| tree.get(path) == Some(content))
            }
        };
        // What could not be kept stays in its worktree, for a person.
        let stays = |story: u64, made: &Made| {
            let mut sites = self.sites.worktrees.values();
            sites.any(|site| {
                site.story == story
                    && match made {
                        Made::Commit(commit) => self.commits.contains(&site.head, commit),
                        Made::File { path, content } => site.files.get(path) == Some(content),
                    }
            })
        };
        sites
            .made
            .iter()
            .filter(|(story, made)| !is_kept(made) && !stays(*story, made))
            .map(|(story, made)| format!("work of #{story} is lost: {made:?}"))
            .collect()
    }
}
