//! All of a `control.git` in one file, and back: for backups.
//!
//! These work on a repository from outside, also while a server has it open: they read refs and
//! objects and write nothing into it. Not for: what else a backup holds.

use std::path::Path;

use git2::Oid;

use super::command::Git;
use super::create;
use super::error::{While, on};
use super::objects::Objects;
use super::repository::blocking;
use super::{RepoPaths, Result, files};

/// Writes all refs of the repository at `control`, and every commit among `named` that it has, with
/// their whole history into a new bundle (git-bundle(1)) at `into`. `false`: there is nothing to
/// write, and no file was made.
///
/// `named` are ids that something else remembers: a branch may have moved on since. They are under
/// `refs/huskies/backup/` in the bundle.
pub async fn bundle(git: &Git, control: &Path, named: Vec<String>, into: &Path) -> Result<bool> {
    let scratch = scratch_beside(into)?;
    create::init(git, scratch.path()).await?;
    let (from, view) = (control.to_owned(), scratch.path().to_owned());
    let count = blocking(move || borrow(&from, &view, &named)).await?;
    if count == 0 {
        return Ok(false);
    }
    let call = git.on(scratch.path(), "bundle");
    let call = call.args(["create", "--quiet"]).arg(into).arg("--all");
    call.stdout().await?;
    Ok(true)
}

/// Makes a new repository at `control` from a bundle. The bundle's objects are checked.
pub async fn unbundle(git: &Git, bundle: &Path, control: &Path) -> Result<()> {
    create::init(git, control).await?;
    let call = git.on(control, "fetch").allow("file");
    let call = call.args(["--quiet", "--no-tags", "--no-write-fetch-head", "--"]);
    call.arg(bundle)
        .arg("+refs/*:refs/*")
        .stdout()
        .await
        .map(drop)
}

fn scratch_beside(into: &Path) -> Result<tempfile::TempDir> {
    let folder = into.parent().unwrap_or(Path::new("/"));
    tempfile::tempdir_in(folder).while_doing(|| on("write in", folder))
}

/// Fills an empty repository of ours with the refs of another, whose objects it borrows; how many
/// refs it has then. Refs are read before anything relies on their objects, which never go while
/// a ref has them.
fn borrow(from: &Path, view: &Path, named: &[String]) -> Result<usize> {
    // What `control.git` borrows is named too: a loan is not followed through a relative path.
    let base = from.parent().map(|root| RepoPaths::new(root).base());
    let places = [Some(from.to_owned()), base.filter(|base| base.is_dir())];
    let lines = places.into_iter().flatten().map(|place| {
        let objects = place.join("objects");
        [objects.as_os_str().as_encoded_bytes(), b"\n"].concat()
    });
    let lines = lines.collect::<Vec<_>>().concat();
    let info = view.join("objects/info");
    std::fs::create_dir_all(&info).while_doing(|| on("create", &info))?;
    files::replace(&info.join("alternates"), &lines)?;
    let (from, view) = (Objects::open(from)?, Objects::open(view)?);
    let mut count = 0;
    let doing = || "read the refs".to_owned();
    for reference in from.0.references().while_doing(doing)? {
        let reference = reference.while_doing(doing)?;
        let (Ok(name), Some(target)) = (reference.name(), reference.target()) else {
            continue;
        };
        point(&view, name, target)?;
        count += 1;
    }
    for name in named {
        let Ok(oid) = Oid::from_str(name) else {
            continue;
        };
        if from.0.find_commit(oid).is_ok() {
            point(&view, &format!("refs/huskies/backup/{oid}"), oid)?;
            count += 1;
        }
    }
    Ok(count)
}

fn point(view: &Objects, name: &str, target: Oid) -> Result<()> {
    let written = view.0.reference(name, target, true, "backup");
    written.map(drop).while_doing(|| format!("copy {name}"))
}
