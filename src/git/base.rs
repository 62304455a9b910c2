//! `base.git`: the base branch's objects, apart from everything that stories make.
//!
//! Cells and `control.git` borrow from it, so nothing is ever taken out: no collection runs there,
//! `extensions.preciousObjects` makes a person's `git gc` refuse, and a tip that a forced push left
//! behind keeps a ref. One ref per branch that was a base, `refs/huskies/remote/<branch>`, and
//! `refs/huskies/past/<commit>` for those tips.
//!
//! Not for: story branches (`repository::fetch_branch` brings those into `control.git`).

use std::path::Path;

use super::command::Git;
use super::error::{While, on};
use super::objects::{Objects, remote_ref, seen_ref};
use super::remote::FETCH_OPTIONS;
use super::repository::blocking;
use super::{Repository, Result, files};
use crate::domain::id::{BranchName, Sha};

/// From the `objects` folder of `control.git`. Relative, so that a data folder can be moved.
const ALTERNATES: &[u8] = b"../../base.git/objects\n";

/// Makes `base.git` refuse to lose anything (git's repository-version document,
/// `preciousObjects`).
pub(super) fn furnish(base: &Path) -> Result<()> {
    let file = base.join("config");
    let doing = || on("write", &file);
    let mut config = git2::Config::open(&file).while_doing(doing)?;
    config
        .set_i32("core.repositoryformatversion", 1)
        .while_doing(doing)?;
    config
        .set_bool("extensions.preciousObjects", true)
        .while_doing(doing)
}

/// Lets `control.git` borrow from `base.git`.
pub(super) fn lend(control: &Path) -> Result<()> {
    let file = control.join("objects/info/alternates");
    files::ensure_real_folder(&control.join("objects/info"))?;
    if files::read_regular(&file, 4_096)?.as_deref() == Some(ALTERNATES) {
        return Ok(());
    }
    files::replace(&file, ALTERNATES)
}

/// Copies branches that `control.git` already knows into `base.git`, so that the remote is not
/// asked for a whole history again.
pub(super) async fn seed(git: &Git, control: &Path, base: &Path, refs: &[String]) -> Result<()> {
    if refs.is_empty() {
        return Ok(());
    }
    let call = git.on(base, "fetch").args(FETCH_OPTIONS).allow("file");
    let call = call.arg("--").arg(control);
    let refs = refs.iter().map(|name| format!("+{name}:{name}"));
    call.args(refs).stdout().await.map(drop)
}

impl Repository {
    /// Brings the base branch into `base.git` and says where it is. `None`: no such branch.
    pub(super) async fn fetch_base(&self, branch: &BranchName) -> Result<Option<Sha>> {
        // Two fetches into one ref get in each other's way.
        let _one_at_a_time = self.inner.basing.lock().await;
        let paths = &self.inner.paths;
        let seen = seen_ref(branch);
        if self
            .fetch_into(&paths.base(), branch, &seen)
            .await?
            .is_none()
        {
            return Ok(None);
        }
        let (base, control, name) = (paths.base(), paths.control(), remote_ref(branch));
        blocking(move || {
            let base = Objects::open(&base)?;
            let Some(tip) = base.read(&seen)? else {
                return Ok(None);
            };
            if let Some(before) = base.read(&name)?
                && before != tip
                && !base.contains(&tip, &before)?
            {
                base.point(&format!("refs/huskies/past/{before}"), &before)?;
            }
            base.put(&name, &tip)?;
            Objects::open(&control)?.put(&name, &tip)?;
            Ok(Some(tip))
        })
        .await
    }
}
