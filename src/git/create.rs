//! Making `control.git` and `base.git`.
//!
//! Not for: cells (`cell`) and worktrees (`linked`).

use std::fs;
use std::path::Path;

use super::command::Git;
use super::error::{While, on};
use super::{RepoPaths, Result, base, files};

/// Creates what is missing. Each repository is built aside and renamed into place, so that one
/// that is there is complete.
pub(super) async fn create(git: &Git, paths: &RepoPaths) -> Result<()> {
    for folder in [
        paths.root().to_owned(),
        paths.cells(),
        paths.worktrees(),
        paths.checkouts(),
        paths.hooks(),
    ] {
        fs::create_dir_all(&folder).while_doing(|| on("create", &folder))?;
    }
    // Nothing in here outlives the call that made it, except after a crash.
    files::remove_tree(&paths.tmp())?;
    fs::create_dir_all(paths.tmp()).while_doing(|| on("create", &paths.tmp()))?;
    for (place, is_base) in [(paths.base(), true), (paths.control(), false)] {
        if !files::is_real_folder(&place) {
            let aside =
                tempfile::tempdir_in(paths.tmp()).while_doing(|| on("write in", &paths.tmp()))?;
            init(git, aside.path()).await?;
            if is_base {
                base::furnish(aside.path())?;
            }
            fs::rename(aside.keep(), &place).while_doing(|| on("create", &place))?;
        }
        // One server at a time has this repository, so whatever is locked was left by a killed one.
        clear_locks(&place)?;
    }
    base::lend(&paths.control())
}

/// An empty bare repository without the template's sample hooks; its HEAD names a branch that
/// never exists.
pub(super) async fn init(git: &Git, folder: &Path) -> Result<()> {
    let call =
        git.nowhere("init")
            .args(["--quiet", "--bare", "--template=", "--initial-branch=none"]);
    call.arg("--").arg(folder).stdout().await.map(drop)
}

fn clear_locks(repository: &Path) -> Result<()> {
    files::remove_locks(repository)?;
    files::remove_locks_below(&repository.join("refs"))
}
