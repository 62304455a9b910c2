//! Making `control.git` and `work.git`, and putting right what an agent may have broken in the
//! latter.
//!
//! Not for: worktrees (`linked`).

use std::fs;
use std::path::Path;

use super::command::Git;
use super::error::{While, on};
use super::{Identity, RepoPaths, Result, files};

/// Creates what is missing. Each repository is built aside and renamed into place, so that one
/// that is there is complete.
pub(super) async fn create(git: &Git, paths: &RepoPaths, identity: &Identity) -> Result<()> {
    for folder in [
        paths.root().to_owned(),
        paths.worktrees(),
        paths.checkouts(),
        paths.hooks(),
    ] {
        fs::create_dir_all(&folder).while_doing(|| on("create", &folder))?;
    }
    // Nothing in here outlives the call that made it, except after a crash.
    files::remove_tree(&paths.tmp())?;
    fs::create_dir_all(paths.tmp()).while_doing(|| on("create", &paths.tmp()))?;
    if !files::is_real_folder(&paths.control()) {
        let aside =
            tempfile::tempdir_in(paths.tmp()).while_doing(|| on("write in", &paths.tmp()))?;
        init(git, aside.path()).await?;
        place(aside, &paths.control())?;
    }
    // One server at a time has this repository, so whatever is locked was left by a killed one.
    files::remove_locks(&paths.control())?;
    files::remove_locks_below(&paths.control().join("refs"))?;
    if !files::is_real_folder(&paths.work()) {
        let aside =
            tempfile::tempdir_in(paths.tmp()).while_doing(|| on("write in", &paths.tmp()))?;
        init(git, aside.path()).await?;
        furnish(aside.path(), paths, identity)?;
        place(aside, &paths.work())?;
    }
    heal(paths, identity)
}

/// An empty bare repository without the template's sample hooks; its HEAD names a branch that
/// never exists.
pub(super) async fn init(git: &Git, folder: &Path) -> Result<()> {
    let call =
        git.nowhere("init")
            .args(["--quiet", "--bare", "--template=", "--initial-branch=none"]);
    call.arg("--").arg(folder).stdout().await.map(drop)
}

fn place(aside: tempfile::TempDir, path: &Path) -> Result<()> {
    fs::rename(aside.keep(), path).while_doing(|| on("create", path))
}

fn furnish(work: &Path, paths: &RepoPaths, identity: &Identity) -> Result<()> {
    for folder in ["objects/info", "worktrees", "info"] {
        let folder = work.join(folder);
        fs::create_dir_all(&folder).while_doing(|| on("create", &folder))?;
    }
    files::replace(&work.join(ALTERNATES), &alternates(paths))?;
    // git-worktree(1): with `extensions.worktreeConfig`, `core.bare` belongs to the main
    // repository's own `config.worktree`, or every linked worktree would count as bare.
    files::replace(&work.join("config.worktree"), b"[core]\n\tbare = true\n")?;
    write_config(&work.join("config"), identity)
}

/// The shared settings of all agents' worktrees. `gc.auto=0`: a collection that an agent's commit
/// triggers would slow it down and throw away what `git fsck` could still find.
fn write_config(file: &Path, identity: &Identity) -> Result<()> {
    let text = "[core]\n\trepositoryformatversion = 1\n\tfilemode = true\n\tlogAllRefUpdates = true\n\
                [extensions]\n\tworktreeConfig = true\n[gc]\n\tauto = 0\n[maintenance]\n\tauto = false\n";
    files::replace(file, text.as_bytes())?;
    let doing = || on("write", file);
    let mut config = git2::Config::open(file).while_doing(doing)?;
    config
        .set_str("user.name", &identity.name)
        .while_doing(doing)?;
    config
        .set_str("user.email", &identity.email)
        .while_doing(doing)
}

const ALTERNATES: &str = "objects/info/alternates";

fn alternates(paths: &RepoPaths) -> Vec<u8> {
    let mut line = paths
        .control()
        .join("objects")
        .into_os_string()
        .into_encoded_bytes();
    line.push(b'\n');
    line
}

/// Puts back what every worktree depends on: the borrowed objects, the folder of worktrees, and
/// the shared settings when they can no longer be read (otherwise they are the agents' to use).
pub(super) fn heal(paths: &RepoPaths, identity: &Identity) -> Result<()> {
    let work = paths.work();
    let wanted = alternates(paths);
    files::ensure_real_folder(&work.join("objects/info"))?;
    if files::read_regular(&work.join(ALTERNATES), 64 * 1024)?.as_ref() != Some(&wanted) {
        files::replace(&work.join(ALTERNATES), &wanted)?;
    }
    files::ensure_real_folder(&work.join("worktrees"))?;
    if git2::Repository::open_bare(&work).is_err() {
        furnish(&work, paths, identity)?;
    }
    Ok(())
}
