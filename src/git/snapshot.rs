//! What is in a work tree, as a git tree, whatever state its repository is in.
//!
//! Taken with `control.git` and a fresh private index: no index, filter, hook or file-system
//! monitor of an agent takes part, and links are recorded, not followed. `git add` is not used: in
//! a nested repository it starts `git status`, which would read that repository's settings.
//!
//! Not for: deciding what becomes of the tree (`collect`).

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::error::{While, on};
use super::index::{Paths, PrivateIndex, as_path};
use super::objects::{Objects, text_of_paths};
use super::repository::blocking;
use super::{GitError, Repository, Result, files};
use crate::domain::id::Sha;

/// A work tree, seen at one moment.
pub(super) struct Snapshot {
    pub(super) tree: Sha,
    /// Folders that are repositories of their own. Their files are in the tree (unless they are
    /// registered as submodules), their history is not.
    pub(super) nested: Vec<String>,
    /// Names that git cannot store, such as a file called `git~1`, and where it could not look.
    pub(super) left_out: Vec<String>,
}

impl Repository {
    /// Writes everything in `work_tree` that is not ignored as a tree into `control.git`.
    pub(super) async fn snapshot(&self, work_tree: &Path, head: &Sha) -> Result<Snapshot> {
        let tmp = self.inner.paths.tmp();
        let scratch = tempfile::tempdir_in(&tmp).while_doing(|| on("write in", &tmp))?;
        let file = scratch.path().join("index");
        self.index_of(head, &file).await?;
        photograph(&PrivateIndex {
            repository: self,
            work_tree,
            file,
        })
        .await
    }
}

async fn photograph(index: &PrivateIndex<'_>) -> Result<Snapshot> {
    let (changed, is_whole) = index.list_changed().await?;
    let (folders, mut changed): (Paths, Paths) =
        changed.into_iter().partition(|path| path.ends_with(b"/"));
    let mut nested = enter(index, folders, &mut changed).await?;
    changed.sort_unstable();
    changed.dedup();
    let (present, gone) = index.sort_out(changed);
    index.remove(&gone).await?;
    let mut left_out = match index.add(&present).await {
        Ok(left_out) => left_out,
        // An attribute that cannot be honoured (an unknown encoding) must not cost the work.
        Err(GitError::Command { .. }) => store_raw(index, present).await?,
        Err(error) => return Err(error),
    };
    if !is_whole {
        left_out.push("folders that git could not open: too deep, or closed".to_owned());
    }
    nested.extend(submodules(index).await?);
    let tree = index.git("write-tree").line().await?;
    let tree = tree.parse().map_err(|_| GitError::NotFound {
        what: "the id of the snapshot".to_owned(),
    })?;
    Ok(Snapshot {
        tree,
        nested: text_of_paths(&nested),
        left_out,
    })
}

/// Adds the files of nested repositories, and of those nested in them, as if they were plain files
/// of the project. Returns all those folders.
async fn enter(index: &PrivateIndex<'_>, folders: Paths, changed: &mut Paths) -> Result<Paths> {
    let mut nested = folders.clone();
    let mut waiting = folders;
    while let Some(folder) = waiting.pop() {
        let path = index.work_tree.join(as_path(&folder));
        if !files::is_real_folder(&path) {
            continue;
        }
        for inner in index.list_inside(&path).await? {
            let full = [folder.as_slice(), inner.as_slice()].concat();
            if full.ends_with(b"/") {
                nested.push(full.clone());
                waiting.push(full);
            } else {
                changed.push(full);
            }
        }
    }
    Ok(nested)
}

/// The submodules that are checked out here.
async fn submodules(index: &PrivateIndex<'_>) -> Result<Paths> {
    let entries = index.list(&["-s"]).await?;
    let links = entries
        .into_iter()
        .filter(|entry| entry.starts_with(b"160000 "));
    let paths = links.filter_map(|entry| {
        let tab = entry.iter().position(|&byte| byte == b'\t')?;
        Some(entry[tab + 1..].to_vec())
    });
    Ok(paths
        .filter(|path| files::exists(&index.work_tree.join(as_path(path)).join(".git")))
        .collect())
}

/// Stores the bytes of `paths` as they are, without any conversion; returns what could not be.
async fn store_raw(index: &PrivateIndex<'_>, paths: Paths) -> Result<Vec<String>> {
    let control = index.repository.inner.paths.control();
    let work_tree = index.work_tree.to_owned();
    let (lines, left_out) = blocking(move || {
        let control = Objects::open(&control)?;
        let (mut lines, mut left_out) = (Vec::new(), Vec::new());
        for path in paths {
            match raw_entry(&control, &work_tree.join(as_path(&path)))? {
                Some(entry) => lines.extend([entry.as_bytes(), &path, b"\0"].concat()),
                None => left_out.push(path),
            }
        }
        Ok((lines, text_of_paths(&left_out)))
    })
    .await?;
    let call = index
        .git("update-index")
        .args(["--replace", "-z", "--index-info"]);
    call.stdin(lines).stdout().await?;
    Ok(left_out)
}

/// A line of `git update-index --index-info`, up to the path.
fn raw_entry(control: &Objects, file: &Path) -> Result<Option<String>> {
    let reading = || on("read", file);
    let metadata = match fs::symlink_metadata(file) {
        Ok(metadata) if !metadata.is_dir() => metadata,
        Ok(_) | Err(_) => return Ok(None),
    };
    let (mode, content) = if metadata.is_symlink() {
        (
            "120000",
            fs::read_link(file)
                .while_doing(reading)?
                .into_os_string()
                .into_encoded_bytes(),
        )
    } else if metadata.permissions().mode() & 0o100 != 0 {
        ("100755", fs::read(file).while_doing(reading)?)
    } else {
        ("100644", fs::read(file).while_doing(reading)?)
    };
    let blob = control.0.blob(&content).while_doing(|| on("store", file))?;
    Ok(Some(format!("{mode} {blob}\t")))
}
