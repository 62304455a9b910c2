//! Taking a person's checked-out work tree from one commit to the next, or leaving it alone.
//!
//! The order makes a crash harmless: files first, then the index in one rename, and the ref last
//! (`clone`). In between, the work tree merely shows the landing change as uncommitted: whatever
//! the owner commits then contains it. A repeat recognises files that are already as they should
//! be, and completes the rest.

use std::collections::BTreeSet;
use std::fs;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use super::error::{While, on};
use super::index::{PrivateIndex, as_path};
use super::{Repository, Result, files};
use crate::domain::id::{BranchName, Sha};

/// A work tree that has the branch checked out.
pub(super) struct Place {
    pub(super) branch: BranchName,
    /// Where its HEAD and index are.
    pub(super) git_dir: PathBuf,
    pub(super) work_tree: PathBuf,
    /// Why it cannot be touched now, for its owner.
    pub(super) busy: Option<String>,
}

/// Whether the work tree went along.
pub(super) enum Switched {
    Done,
    /// The owner has something there that would be lost or mixed up.
    Refused {
        reason: String,
    },
}

/// In our `index.lock`, so that a repeat after a crash knows it, and a person too.
const LOCK_TEXT: &[u8] =
    b"huskies is landing a change in this work tree. If no huskies server runs, delete this file.\n";

/// What our private files in a git folder of somebody else begin with.
const COPY_PREFIX: &str = "index.huskies-";

/// Keeps the owner's git from changing the index meanwhile.
pub(super) struct IndexLock {
    path: PathBuf,
    held: bool,
}

impl Place {
    fn lock_file(&self) -> PathBuf {
        self.git_dir.join("index.lock")
    }

    /// Removes the lock and the index copies of a landing that a crash broke off.
    pub(super) fn clear_remains(&self) -> Result<()> {
        let lock = self.lock_file();
        if files::read_regular(&lock, LOCK_TEXT.len() as u64)?.as_deref() == Some(LOCK_TEXT) {
            files::remove_tree(&lock)?;
        }
        for entry in fs::read_dir(&self.git_dir).while_doing(|| on("read", &self.git_dir))? {
            let entry = entry.while_doing(|| on("read", &self.git_dir))?;
            if entry
                .file_name()
                .as_encoded_bytes()
                .starts_with(COPY_PREFIX.as_bytes())
            {
                files::remove_tree(&entry.path())?;
            }
        }
        Ok(())
    }

    /// `None`: somebody else has it. The lock appears with its text in it, in one step.
    pub(super) fn lock(&self) -> Result<Option<IndexLock>> {
        let path = self.lock_file();
        let write = || -> std::io::Result<tempfile::NamedTempFile> {
            let mut file = self.private_file()?;
            file.write_all(LOCK_TEXT)?;
            Ok(file)
        };
        let file = write().while_doing(|| on("write in", &self.git_dir))?;
        match file.persist_noclobber(&path) {
            Ok(_) => Ok(Some(IndexLock { path, held: true })),
            Err(error) if error.error.kind() == ErrorKind::AlreadyExists => Ok(None),
            Err(error) => Err(error.error).while_doing(|| on("lock", &path)),
        }
    }

    fn private_file(&self) -> std::io::Result<tempfile::NamedTempFile> {
        tempfile::Builder::new()
            .prefix(COPY_PREFIX)
            .tempfile_in(&self.git_dir)
    }
}

impl IndexLock {
    pub(super) fn release(mut self) -> Result<()> {
        self.held = false;
        files::remove_tree(&self.path)
    }
}

impl Drop for IndexLock {
    fn drop(&mut self) {
        if self.held {
            // Nobody is left to tell; a lock that stays is known by its text and cleared next time.
            drop(files::remove_tree(&self.path));
        }
    }
}

impl Repository {
    /// Takes files and index from `from` to `to`. The caller holds the index lock and moves the ref.
    pub(super) async fn switch(&self, place: &Place, from: &Sha, to: &Sha) -> Result<Switched> {
        let copy = place
            .private_file()
            .while_doing(|| on("write in", &place.git_dir))?
            .into_temp_path();
        copy_index(&place.git_dir.join("index"), &copy)?;
        let index = PrivateIndex {
            repository: self,
            work_tree: &place.work_tree,
            file: copy.to_path_buf(),
        };
        let dirty = self.in_the_way(&index, from, to).await?;
        if !dirty.is_empty() {
            return Ok(Switched::Refused {
                reason: place.explain(&dirty),
            });
        }
        // From what is there rather than from `from`: git takes a folder that has become a file
        // already for an untracked file in the way.
        let present = index.git("write-tree").line().await?;
        let call = index
            .git("read-tree")
            .args(["-m", "-u"])
            .arg(present)
            .arg(to.as_str());
        let output = call.run().await?;
        if output.status != Some(0) {
            // Its own checks come before it touches anything; they speak of "would".
            if output.stderr.contains("would") || output.stderr.contains("not uptodate") {
                return Ok(Switched::Refused {
                    reason: place.explain(&[output.stderr]),
                });
            }
            return Err(output.failure("read-tree".to_owned()));
        }
        let path = place.git_dir.join("index");
        copy.persist(&path)
            .map_err(|error| error.error)
            .while_doing(|| on("write", &path))?;
        Ok(Switched::Done)
    }

    /// What the owner has that is neither as in `from` nor, where the two differ, as in `to`. The
    /// index is left with those entries up to date that are already as in `to`.
    async fn in_the_way(
        &self,
        index: &PrivateIndex<'_>,
        from: &Sha,
        to: &Sha,
    ) -> Result<Vec<String>> {
        index.refresh().await?;
        let (one, two) = (from.clone(), to.clone());
        let changing: BTreeSet<Vec<u8>> = self
            .read_objects(move |control| control.differing_paths(&one, &two))
            .await?
            .into_iter()
            .collect();
        let staged: BTreeSet<Vec<u8>> = index.differing_from(from).await?.into_iter().collect();
        let not_yet: BTreeSet<Vec<u8>> = index.differing_from(to).await?.into_iter().collect();
        let mut suspicious = staged.clone();
        suspicious.extend(index.list(&["-m", "-d"]).await?);
        let tracked: BTreeSet<Vec<u8>> = index.list(&[]).await?.into_iter().collect();
        suspicious.extend(
            changing
                .iter()
                .filter_map(|path| untracked(index.work_tree, path, &tracked)),
        );

        let outside = suspicious.difference(&changing);
        let half_staged = staged.intersection(&not_yet);
        let mut dirty: BTreeSet<Vec<u8>> = outside.chain(half_staged).cloned().collect();
        if dirty.is_empty() && !suspicious.is_empty() {
            index.update(suspicious.iter().cloned().collect()).await?;
            let differing: BTreeSet<Vec<u8>> =
                index.differing_from(to).await?.into_iter().collect();
            dirty = suspicious.intersection(&differing).cloned().collect();
        }
        Ok(dirty
            .iter()
            .map(|path| String::from_utf8_lossy(path).into_owned())
            .collect())
    }
}

/// The untracked file, if any, that is at `path` or in the way of its folders. Ignored files
/// count: nobody asked for them to be overwritten.
fn untracked(work_tree: &Path, path: &[u8], tracked: &BTreeSet<Vec<u8>>) -> Option<Vec<u8>> {
    let at = as_path(path);
    let parents: Vec<&Path> = at
        .ancestors()
        .skip(1)
        .filter(|parent| !parent.as_os_str().is_empty())
        .collect();
    for parent in parents.into_iter().rev() {
        match fs::symlink_metadata(work_tree.join(parent)) {
            Ok(metadata) if metadata.is_dir() => {}
            Ok(_) => {
                let parent = parent.as_os_str().as_encoded_bytes().to_vec();
                return (!tracked.contains(&parent)).then_some(parent);
            }
            Err(_) => return None,
        }
    }
    let metadata = fs::symlink_metadata(work_tree.join(at)).ok()?;
    (!metadata.is_dir() && !tracked.contains(path)).then(|| path.to_vec())
}

/// The owner's index as it is, its marks included; a missing one is an empty one.
fn copy_index(index: &Path, copy: &Path) -> Result<()> {
    match fs::copy(index, copy) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => files::remove_tree(copy),
        Err(source) => Err(source).while_doing(|| on("read", index)),
    }
}

impl Place {
    fn explain(&self, paths: &[String]) -> String {
        const NAMED: usize = 5;
        let mut names: Vec<String> = paths.iter().take(NAMED).cloned().collect();
        if paths.len() > NAMED {
            names.push(format!("and {} more", paths.len() - NAMED));
        }
        let names = names.join(", ");
        format!(
            "`{}` is checked out in {} with changes of its own ({names}). Commit, stash or move them, \
             or check out another branch there; then the change lands.",
            self.branch,
            self.work_tree.display()
        )
    }
}
