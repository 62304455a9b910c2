//! Reads of `control.git` through libgit2, and moves of its single refs. All blocking.
//!
//! Not for: anything that others write to (`foreign`).

use std::path::Path;

use git2::{ErrorCode, Oid, Repository, Tree};

use super::error::{While, on};
use super::{GitError, Result};
use crate::domain::id::{Attempt, BranchName, Sha};

/// The names of control's refs; the table is in the module's documentation.
pub(super) fn remote_ref(branch: &BranchName) -> String {
    format!("refs/huskies/remote/{branch}")
}

/// What a branch was found at, before anything is made of it.
pub(super) fn seen_ref(branch: &BranchName) -> String {
    format!("refs/huskies/seen/{branch}")
}

pub(super) fn story_ref(number: u64) -> String {
    format!("refs/huskies/story/{number}/head")
}

pub(super) fn wip_ref(number: u64, attempt: Attempt) -> String {
    format!("refs/huskies/wip/{number}/{attempt}")
}

/// There while an attempt may be at work: from when its worktree is made ready until what it did
/// is collected. A branch that moves at another time was moved by somebody else.
pub(super) fn open_ref(number: u64) -> String {
    format!("refs/huskies/story/{number}/open")
}

/// Commits that nobody answers for, kept all the same.
pub(super) fn stray_ref(number: u64, commit: &Sha) -> String {
    format!("refs/huskies/stray/{number}/{commit}")
}

pub(super) fn candidate_ref(commit: &Sha) -> String {
    format!("refs/huskies/candidate/{}", commit.short())
}

/// A commit that is gated without a story.
pub(super) fn head_ref(commit: &Sha) -> String {
    format!("refs/huskies/head/{commit}")
}

/// The mode of a symbolic link in a tree.
const LINK: i32 = 0o120_000;

/// A libgit2 id as a name of ours.
pub(super) fn sha(oid: Oid) -> Sha {
    #[expect(
        clippy::expect_used,
        reason = "libgit2 prints ids as 40 lowercase hexadecimal digits"
    )]
    oid.to_string().parse().expect("an object id")
}

pub(super) fn oid(sha: &Sha) -> Result<Oid> {
    Oid::from_str(sha.as_str()).while_doing(|| format!("read the object id {sha}"))
}

/// One opened repository of ours.
pub(super) struct Objects(pub(super) Repository);

impl Objects {
    pub(super) fn open(git_dir: &Path) -> Result<Self> {
        Repository::open_bare(git_dir)
            .while_doing(|| on("open", git_dir))
            .map(Self)
    }

    pub(super) fn commit(&self, sha: &Sha) -> Result<git2::Commit<'_>> {
        self.0
            .find_commit(oid(sha)?)
            .map_err(|error| match error.code() {
                ErrorCode::NotFound => GitError::NotFound {
                    what: format!("the commit {sha}"),
                },
                _ => GitError::Library {
                    what: format!("read the commit {sha}"),
                    source: error,
                },
            })
    }

    pub(super) fn tree(&self, commit: &Sha) -> Result<Tree<'_>> {
        self.commit(commit)?
            .tree()
            .while_doing(|| format!("read the tree of {commit}"))
    }

    pub(super) fn tree_id(&self, commit: &Sha) -> Result<Sha> {
        Ok(sha(self.commit(commit)?.tree_id()))
    }

    /// Where a ref of ours points.
    pub(super) fn read(&self, name: &str) -> Result<Option<Sha>> {
        match self.0.refname_to_id(name) {
            Ok(oid) => Ok(Some(sha(oid))),
            Err(error) if error.code() == ErrorCode::NotFound => Ok(None),
            Err(source) => Err(source).while_doing(|| format!("read {name}")),
        }
    }

    /// Puts a ref at `commit`, wherever it was.
    pub(super) fn point(&self, name: &str, commit: &Sha) -> Result<()> {
        let done = self.0.reference(name, oid(commit)?, true, "huskies");
        done.map(drop).while_doing(|| format!("move {name}"))
    }

    /// As [`Self::point`]; a ref that is there already is not written.
    pub(super) fn put(&self, name: &str, commit: &Sha) -> Result<()> {
        if self.read(name)?.as_ref() == Some(commit) {
            return Ok(());
        }
        self.point(name, commit)
    }

    /// Takes a ref away, wherever it pointed.
    pub(super) fn drop_ref(&self, name: &str) -> Result<()> {
        let doing = || format!("remove {name}");
        match self.0.find_reference(name) {
            Ok(mut reference) => reference.delete().while_doing(doing),
            Err(error) if error.code() == ErrorCode::NotFound => Ok(()),
            Err(source) => Err(source).while_doing(doing),
        }
    }

    /// The names of refs that match a pattern.
    pub(super) fn names(&self, pattern: &str) -> Result<Vec<String>> {
        let doing = || format!("list {pattern}");
        let mut references = self.0.references_glob(pattern).while_doing(doing)?;
        let names = references.names();
        names
            .map(|name| name.map(str::to_owned).while_doing(doing))
            .collect()
    }

    /// What the refs of huskies point to.
    pub(super) fn tips(&self) -> Result<Vec<Oid>> {
        let doing = || "list the refs".to_owned();
        let references = self
            .0
            .references_glob("refs/huskies/*")
            .while_doing(doing)?;
        let mut tips = Vec::new();
        for reference in references {
            tips.extend(reference.while_doing(doing)?.target());
        }
        tips.sort_unstable();
        tips.dedup();
        Ok(tips)
    }

    /// True when `commit` is `tip` or one of its ancestors. A commit that is not here is not.
    pub(super) fn contains(&self, tip: &Sha, commit: &Sha) -> Result<bool> {
        self.commit(tip)?;
        let (tip, commit) = (oid(tip)?, oid(commit)?);
        if self.0.find_commit(commit).is_err() {
            return Ok(false);
        }
        let doing = || format!("compare {tip} and {commit}");
        Ok(tip == commit || self.0.graph_descendant_of(tip, commit).while_doing(doing)?)
    }

    pub(super) fn merge_base(&self, one: &Sha, two: &Sha) -> Result<Option<Sha>> {
        match self.0.merge_base(oid(one)?, oid(two)?) {
            Ok(base) => Ok(Some(sha(base))),
            Err(error) if error.code() == ErrorCode::NotFound => Ok(None),
            Err(source) => Err(source).while_doing(|| format!("find where {one} and {two} part")),
        }
    }

    /// The paths that differ between two commits' trees, sorted, a renamed file under both names.
    pub(super) fn differing_paths(&self, from: &Sha, to: &Sha) -> Result<Vec<Vec<u8>>> {
        let (from, to) = (self.tree(from)?, self.tree(to)?);
        let diff = self.0.diff_tree_to_tree(Some(&from), Some(&to), None);
        let diff = diff.while_doing(|| "compare two trees".to_owned())?;
        let files = diff.deltas().flat_map(|delta| {
            [delta.old_file(), delta.new_file()].map(|file| file.path_bytes().map(<[u8]>::to_vec))
        });
        let mut paths: Vec<Vec<u8>> = files.flatten().collect();
        paths.sort_unstable();
        paths.dedup();
        Ok(paths)
    }

    /// The paths that `commit` changed since it parted from `base`.
    pub(super) fn changed_paths(&self, base: &Sha, commit: &Sha) -> Result<Vec<Vec<u8>>> {
        let start = self
            .merge_base(base, commit)?
            .unwrap_or_else(|| base.clone());
        self.differing_paths(&start, commit)
    }

    /// The content of the file at `path`; `None` when there is none or it is no regular file.
    pub(super) fn read_file(&self, commit: &Sha, path: &str) -> Result<Option<Vec<u8>>> {
        let doing = || format!("read {path} in {commit}");
        let entry = match self.tree(commit)?.get_path(Path::new(path)) {
            Ok(entry) => entry,
            Err(error) if error.code() == ErrorCode::NotFound => return Ok(None),
            Err(source) => return Err(source).while_doing(doing),
        };
        if entry.kind() != Some(git2::ObjectType::Blob) || entry.filemode() == LINK {
            return Ok(None);
        }
        let blob = self.0.find_blob(entry.id()).while_doing(doing)?;
        Ok(Some(blob.content().to_vec()))
    }

    /// The WIP snapshot with the highest attempt number.
    pub(super) fn newest_wip(&self, number: u64) -> Result<Option<Sha>> {
        let doing = || format!("list the kept work of story {number}");
        let pattern = format!("refs/huskies/wip/{number}/*");
        let references = self.0.references_glob(&pattern).while_doing(doing)?;
        let mut newest: Option<(u32, Oid)> = None;
        for reference in references {
            let reference = reference.while_doing(doing)?;
            let attempt = reference
                .name()
                .ok()
                .and_then(|name| name.rsplit('/').next()?.parse().ok());
            if let (Some(attempt), Some(oid)) = (attempt, reference.target())
                && newest.is_none_or(|(other, _)| other < attempt)
            {
                newest = Some((attempt, oid));
            }
        }
        Ok(newest.map(|(_, oid)| sha(oid)))
    }
}

/// Paths as text, for people and for globs; bytes that are no UTF-8 become `U+FFFD`.
pub(super) fn text_of_paths(paths: &[Vec<u8>]) -> Vec<String> {
    paths
        .iter()
        .map(|path| String::from_utf8_lossy(path).into_owned())
        .collect()
}
