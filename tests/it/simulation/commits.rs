//! Commits, trees and merging in memory: what git would answer, without git.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use huskies::domain::id::Sha;
use sha2::{Digest, Sha256};

/// Paths and what is in them.
pub(super) type Tree = BTreeMap<String, String>;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Commit {
    pub(super) parents: Vec<Sha>,
    pub(super) tree: Tree,
}

/// Every commit of the world, by a name that is made of its content, as in git.
#[derive(Debug, Default)]
pub(super) struct Commits(BTreeMap<Sha, Commit>);

/// What came of a merge in memory.
pub(super) enum Merged {
    Clean(Tree),
    Conflict { paths: Vec<String>, tree: Tree },
}

impl Commits {
    pub(super) fn add(&mut self, parents: &[Sha], tree: &Tree, message: &str) -> Sha {
        let parents_text: Vec<&str> = parents.iter().map(Sha::as_str).collect();
        let tree_name = tree_name(tree);
        let name = name_of(&format!("{} {tree_name} {message}", parents_text.join(" ")));
        let commit = Commit {
            parents: parents.to_vec(),
            tree: tree.clone(),
        };
        self.0.insert(name.clone(), commit);
        name
    }

    pub(super) fn get(&self, name: &Sha) -> Option<&Commit> {
        self.0.get(name)
    }

    /// The tree of a commit that is there.
    pub(super) fn tree(&self, name: &Sha) -> &Tree {
        &self.0[name].tree
    }

    pub(super) fn ancestors(&self, of: &Sha) -> BTreeSet<Sha> {
        let mut seen = BTreeSet::new();
        let mut next = VecDeque::from([of.clone()]);
        while let Some(name) = next.pop_front() {
            if let Some(commit) = self.0.get(&name)
                && seen.insert(name)
            {
                next.extend(commit.parents.iter().cloned());
            }
        }
        seen
    }

    pub(super) fn contains(&self, tip: &Sha, commit: &Sha) -> bool {
        self.ancestors(tip).contains(commit)
    }

    /// The nearest commit that both have.
    fn merge_base(&self, ours: &Sha, theirs: &Sha) -> Option<Sha> {
        let of_ours = self.ancestors(ours);
        let mut next = VecDeque::from([theirs.clone()]);
        while let Some(name) = next.pop_front() {
            if of_ours.contains(&name) {
                return Some(name);
            }
            next.extend(self.0.get(&name)?.parents.iter().cloned());
        }
        None
    }

    /// The paths that `theirs` changed since it parted from `ours`.
    pub(super) fn changed(&self, ours: &Sha, theirs: &Sha) -> Vec<String> {
        let empty = Tree::new();
        let base = self.merge_base(ours, theirs);
        let base = base.map_or(&empty, |base| self.tree(&base));
        differing(base, self.tree(theirs))
    }

    /// Three ways, file by file: what both changed, and not to the same, is a conflict.
    pub(super) fn merge(&self, ours: &Sha, theirs: &Sha) -> Merged {
        let empty = Tree::new();
        let base = self.merge_base(ours, theirs);
        let base = base.map_or(&empty, |base| self.tree(&base));
        let (ours, theirs) = (self.tree(ours), self.tree(theirs));
        let (mut merged, mut paths) = (ours.clone(), Vec::new());
        for path in differing(base, theirs) {
            let (old, our, their) = (base.get(&path), ours.get(&path), theirs.get(&path));
            if our == their {
                continue;
            }
            let content = if our == old {
                their.cloned()
            } else {
                paths.push(path.clone());
                let side = |side: Option<&String>| side.cloned().unwrap_or_default();
                Some(format!(
                    "<<<<<<< ours\n{}\n=======\n{}\n>>>>>>> theirs\n",
                    side(our),
                    side(their)
                ))
            };
            match content {
                Some(content) => merged.insert(path, content),
                None => merged.remove(&path),
            };
        }
        if paths.is_empty() {
            Merged::Clean(merged)
        } else {
            Merged::Conflict {
                paths,
                tree: merged,
            }
        }
    }
}

pub(super) fn differing(one: &Tree, other: &Tree) -> Vec<String> {
    let paths: BTreeSet<&String> = one.keys().chain(other.keys()).collect();
    paths
        .into_iter()
        .filter(|path| one.get(*path) != other.get(*path))
        .cloned()
        .collect()
}

pub(super) fn tree_name(tree: &Tree) -> Sha {
    let text: Vec<String> = tree
        .iter()
        .map(|(path, content)| format!("{path}\0{content}\0"))
        .collect();
    name_of(&text.concat())
}

fn name_of(text: &str) -> Sha {
    let digest = Sha256::digest(text.as_bytes());
    hex::encode(&digest[..20]).parse().unwrap()
}
