//! A private index over a work tree that may belong to somebody else.
//!
//! Every question about such a work tree is asked through `control.git` and an index file of ours,
//! so neither the owner's settings nor their index are in play.
//!
//! Not for: what the answers mean (`snapshot`, `switch`).

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use super::command::Call;
use super::{Repository, Result, files};
use crate::domain::id::Sha;

/// Paths relative to the work tree, as git's `-z` formats have them.
pub(super) type Paths = Vec<Vec<u8>>;

/// An index file of ours and the work tree it speaks about.
pub(super) struct PrivateIndex<'a> {
    pub(super) repository: &'a Repository,
    pub(super) work_tree: &'a Path,
    pub(super) file: PathBuf,
}

impl PrivateIndex<'_> {
    pub(super) fn git(&self, command: &str) -> Call {
        let control = self.repository.inner.paths.control();
        self.repository
            .inner
            .git
            .on(&control, command)
            .over(self.work_tree, &self.file)
    }

    /// What `git ls-files -z` lists.
    pub(super) async fn list(&self, options: &[&str]) -> Result<Paths> {
        Ok(split(
            &self
                .git("ls-files")
                .arg("-z")
                .args(options)
                .stdout()
                .await?,
        ))
    }

    /// The files that differ from their entries or have none, and whether git could look into every
    /// folder: one that it cannot open it leaves out with a warning.
    pub(super) async fn list_changed(&self) -> Result<(Paths, bool)> {
        let call = self.git("ls-files").arg("-z");
        let call = call.args(["-m", "-d", "-o", "--exclude-standard"]);
        let output = call.run().await?;
        if output.status != Some(0) {
            return Err(output.failure("ls-files".to_owned()));
        }
        Ok((split(&output.stdout), output.stderr.is_empty()))
    }

    /// The files in `folder` that are not ignored, as if it were a work tree of its own.
    pub(super) async fn list_inside(&self, folder: &Path) -> Result<Paths> {
        let none = self.file.with_extension("none");
        let call = self
            .git("ls-files")
            .args(["-z", "-o", "--exclude-standard"]);
        Ok(split(&call.over(folder, &none).stdout().await?))
    }

    /// The paths whose entry differs from the one in `commit`.
    pub(super) async fn differing_from(&self, commit: &Sha) -> Result<Paths> {
        let call = self
            .git("diff-index")
            .args(["--cached", "--name-only", "--no-renames", "-z"]);
        Ok(split(&call.arg(commit.as_str()).stdout().await?))
    }

    /// Looks which files really differ from their entries. They are not an error here.
    pub(super) async fn refresh(&self) -> Result<()> {
        let output = self
            .git("update-index")
            .args(["-q", "--refresh"])
            .run()
            .await?;
        match output.status {
            Some(0 | 1) => Ok(()),
            Some(_) | None => Err(output.failure("update-index".to_owned())),
        }
    }

    /// Brings the entries of `paths` in line with the files; returns names that git will not store.
    pub(super) async fn update(&self, paths: Paths) -> Result<Vec<String>> {
        let (present, gone) = self.sort_out(paths);
        self.remove(&gone).await?;
        self.add(&present).await
    }

    /// Tells paths where there is something that git can store from all others.
    pub(super) fn sort_out(&self, paths: Paths) -> (Paths, Paths) {
        paths
            .into_iter()
            .partition(|path| is_storable(self.work_tree, path))
    }

    pub(super) async fn remove(&self, paths: &[Vec<u8>]) -> Result<()> {
        self.feed(&["--force-remove"], paths).await.map(drop)
    }

    pub(super) async fn add(&self, paths: &[Vec<u8>]) -> Result<Vec<String>> {
        self.feed(&["--add", "--remove", "--replace"], paths).await
    }

    async fn feed(&self, options: &[&str], paths: &[Vec<u8>]) -> Result<Vec<String>> {
        if paths.is_empty() {
            return Ok(Vec::new());
        }
        let call = self
            .git("update-index")
            .args(options)
            .args(["-z", "--stdin"])
            .stdin(paths.join(&0));
        let output = call.run().await?;
        if output.status != Some(0) {
            return Err(output.failure("update-index".to_owned()));
        }
        let ignored = output
            .stderr
            .lines()
            .filter_map(|line| line.strip_prefix("Ignoring path "));
        Ok(ignored.map(str::to_owned).collect())
    }
}

/// True when there is something at `path` that git can store, and no link on the way to it.
fn is_storable(work_tree: &Path, path: &[u8]) -> bool {
    let inside = as_path(path);
    let mut parents = inside
        .ancestors()
        .skip(1)
        .filter(|parent| !parent.as_os_str().is_empty());
    let special = |kind: fs::FileType| {
        kind.is_fifo() || kind.is_socket() || kind.is_block_device() || kind.is_char_device()
    };
    parents.all(|parent| files::is_real_folder(&work_tree.join(parent)))
        && fs::symlink_metadata(work_tree.join(inside))
            .is_ok_and(|metadata| !special(metadata.file_type()))
}

pub(super) fn as_path(path: &[u8]) -> &Path {
    Path::new(std::ffi::OsStr::from_bytes(path))
}

/// The fields of a `-z` format.
pub(super) fn split(output: &[u8]) -> Paths {
    output
        .split(|&byte| byte == 0)
        .filter(|path| !path.is_empty())
        .map(<[u8]>::to_vec)
        .collect()
}
