//! What is being committed: the index that git hands to the hook, and a copy of it as files.
//!
//! The user's work tree, index and stash are only read. The index is copied before git works on it,
//! because during `commit -a` and `commit PATH` it is a lock file that the surrounding command owns.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::HookError;
use super::git::{Git, line_of, path_of};
use super::worktree::Worktree;

/// Optional features whose helpers and patterns belong to the user's own work tree and index.
const PLAIN: [&str; 10] = [
    "-c",
    "core.fsmonitor=false",
    "-c",
    "core.untrackedCache=false",
    "-c",
    "core.sparseCheckout=false",
    "-c",
    "core.splitIndex=false",
    "-c",
    "submodule.recurse=false",
];

/// The content of a staged file; `None` when it is not staged.
pub(super) fn staged_file(git: &Git, path: &str) -> Result<Option<String>, HookError> {
    let entries = git.run(&["ls-files", "--cached", "-z", "--", path])?;
    if entries.is_empty() {
        return Ok(None);
    }
    let content = git.run(&["cat-file", "blob", &format!(":{path}")])?;
    Ok(Some(String::from_utf8_lossy(&content).into_owned()))
}

/// The paths that differ between the last commit and the index; `None` before the first commit.
pub(super) fn changed_paths(git: &Git) -> Result<Option<Vec<String>>, HookError> {
    if git
        .find(&["rev-parse", "--quiet", "--verify", "HEAD"])?
        .is_none()
    {
        return Ok(None);
    }
    let printed = git.run(&[
        "diff-index",
        "--cached",
        "--name-only",
        "--no-renames",
        "-z",
        "HEAD",
    ])?;
    let paths = printed
        .split(|byte| *byte == 0)
        .filter(|path| !path.is_empty());
    Ok(Some(
        paths
            .map(|path| String::from_utf8_lossy(path).into_owned())
            .collect(),
    ))
}

/// How the work tree relates to the index.
pub(super) struct Comparison {
    /// Nothing differs and nothing is untracked: what lies there is what is being committed.
    pub(super) same: bool,
    /// Ignored files and folders, relative to the top.
    pub(super) ignored: Vec<PathBuf>,
}

/// Compares the work tree with the index.
pub(super) fn compare(git: &Git) -> Result<Comparison, HookError> {
    let printed = git.run(&[
        "--no-optional-locks",
        "status",
        "--porcelain=v1",
        "-z",
        "--no-renames",
        "--untracked-files=normal",
        "--ignored=matching",
        "--ignore-submodules=dirty",
    ])?;
    let mut comparison = Comparison {
        same: true,
        ignored: Vec::new(),
    };
    // Each entry is two status letters (index, work tree), a space and the path.
    for entry in printed
        .split(|byte| *byte == 0)
        .filter(|entry| entry.len() > 3)
    {
        match (entry[0], entry[1]) {
            (b'!', b'!') => comparison.ignored.push(path_of(&entry[3..])),
            (_, b' ') => {}
            _ => comparison.same = false,
        }
    }
    Ok(comparison)
}

/// Checks the index out into a temporary folder. Ignored files and folders of the work tree
/// (dependencies, caches, local settings) are linked into it: they are no part of any commit, and
/// gates find them in the work tree too. Submodules stay empty, and there is no `.git`.
pub(super) fn copy_of_index(
    git: &Git,
    worktree: &Worktree,
    ignored: &[PathBuf],
) -> Result<TempDir, HookError> {
    let copy = temporary_folder()?;
    let index = git.run(&["rev-parse", "--path-format=absolute", "--git-path", "index"])?;
    let (index, own_index) = (path_of(line_of(&index)), copy.path().join("staged-index"));
    if index.exists() {
        fs::copy(&index, &own_index).map_err(HookError::file(&index))?;
    }
    let tree = git
        .clone()
        .with("GIT_INDEX_FILE", own_index.as_os_str())
        .run(&["write-tree"])?;
    check_out(git, worktree, &copy, path_of(line_of(&tree)).as_os_str())?;
    for path in ignored {
        link_into(&worktree.top.join(path), &files(&copy).join(path))?;
    }
    Ok(copy)
}

/// Checks a commit of the repository around `directory` out into a temporary folder, which is gone
/// when the guard is dropped. Returns the guard, the folder with the files, and the commit's and the
/// tree's ids.
pub fn export_commit(
    directory: &Path,
    revision: &str,
) -> Result<(TempDir, PathBuf, [String; 2]), HookError> {
    let git = Git::in_folder(directory);
    let worktree = Worktree::discover(&git, directory)?;
    let id = |object: &str| -> Result<String, HookError> {
        let printed = git.run(&[
            "rev-parse",
            "--verify",
            "--end-of-options",
            &format!("{revision}^{{{object}}}"),
        ])?;
        Ok(String::from_utf8_lossy(line_of(&printed)).into_owned())
    };
    let ids = [id("commit")?, id("tree")?];
    let copy = temporary_folder()?;
    check_out(&git, &worktree, &copy, OsStr::new(&ids[1]))?;
    let folder = files(&copy);
    Ok((copy, folder, ids))
}

/// Where the files of a copy are, beside the index that they were checked out with.
pub(super) fn files(copy: &TempDir) -> PathBuf {
    copy.path().join("tree")
}

fn temporary_folder() -> Result<TempDir, HookError> {
    let made = tempfile::Builder::new().prefix("huskies-").tempdir();
    made.map_err(HookError::file(std::env::temp_dir()))
}

/// `read-tree -u` rather than `checkout-index --prefix`: it takes `.gitattributes` from the tree that
/// it writes, not from the user's work tree.
fn check_out(
    git: &Git,
    worktree: &Worktree,
    copy: &TempDir,
    tree: &OsStr,
) -> Result<(), HookError> {
    let folder = files(copy);
    fs::create_dir(&folder).map_err(HookError::file(&folder))?;
    let arguments = PLAIN
        .into_iter()
        .chain(["read-tree", "--reset", "-u"])
        .map(OsString::from);
    let arguments: Vec<OsString> = arguments.chain([tree.to_owned()]).collect();
    git.clone()
        .with("GIT_DIR", worktree.git_dir.as_os_str())
        .with("GIT_WORK_TREE", folder.as_os_str())
        .with("GIT_INDEX_FILE", copy.path().join("index").as_os_str())
        .run(&arguments)
        .map(|_printed| ())
}

fn link_into(original: &Path, link: &Path) -> Result<(), HookError> {
    // A link is made of the name without the slash that git puts behind a folder.
    let link: PathBuf = link.components().collect();
    if link.symlink_metadata().is_ok() {
        return Ok(());
    }
    if let Some(parent) = link.parent() {
        fs::create_dir_all(parent).map_err(HookError::file(parent))?;
    }
    symlink(original.components().collect::<PathBuf>(), &link).map_err(HookError::file(&link))
}
