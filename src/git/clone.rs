//! A person's clone without a remote: read as data, landed into by hand.
//!
//! No git process runs there, so none of its hooks, filters or settings do. Where the branch is
//! checked out, files, index and ref change together or not at all (`switch`); moving only the ref
//! would make the owner's next `commit -a` revert the landed change.

use std::fs;
use std::io::Write;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use super::error::{While, on};
use super::foreign::{Head, read_head};
use super::objects::{Objects, oid, sha};
use super::repository::blocking;
use super::source::open_clone;
use super::switch::{Place, Switched};
use super::{GitError, Landing, Repository, Result, files};
use crate::domain::id::{BranchName, Sha};
use crate::domain::work::Candidate;

/// The branch that is checked out in the clone itself.
pub(super) fn checked_out_branch(path: &Path) -> Result<BranchName> {
    let clone = open_clone(path)?;
    let branch = match read_head(clone.path())? {
        Some(Head::On(name)) => name
            .strip_prefix("refs/heads/")
            .and_then(|name| name.parse().ok()),
        Some(Head::Detached(_)) | None => None,
    };
    branch.ok_or_else(|| {
        GitError::misconfigured(format!(
            "{} is on no branch; set `base_branch`",
            path.display()
        ))
    })
}

/// Where the objects of the clone are, and the tip of one of its branches.
pub(super) fn tip(path: &Path, branch: &BranchName) -> Result<Option<(PathBuf, Sha)>> {
    let clone = open_clone(path)?;
    if clone.is_shallow() {
        return Err(GitError::misconfigured(format!(
            "{} is a shallow clone; run `git fetch --unshallow` there or set `clone_url`",
            path.display()
        )));
    }
    let Some(tip) = tip_in(&clone, branch)? else {
        return Ok(None);
    };
    Ok(Some((clone.commondir().join("objects"), tip)))
}

fn tip_in(clone: &git2::Repository, branch: &BranchName) -> Result<Option<Sha>> {
    match clone.refname_to_id(&branch.full()) {
        Ok(id) => Ok(Some(sha(id))),
        Err(error) if error.code() == git2::ErrorCode::NotFound => Ok(None),
        Err(source) => {
            Err(source).while_doing(|| format!("read `{branch}` in {}", clone.path().display()))
        }
    }
}

/// What has to be done in the clone.
enum Task {
    /// Nothing (any more).
    None(Landing),
    /// The branch is checked out nowhere.
    MoveRef,
    /// The work tree and the index go along.
    Switch(Place),
}

impl Repository {
    pub(super) async fn land_in_clone(
        &self,
        path: &Path,
        branch: &BranchName,
        candidate: &Candidate,
    ) -> Result<Landing> {
        let job = Job {
            path: path.to_owned(),
            branch: branch.clone(),
            candidate: candidate.clone(),
        };
        let control = self.inner.paths.control();
        let (job, task) = blocking(move || job.examine(&control).map(|task| (job, task))).await?;
        match task {
            Task::None(landing) => Ok(landing),
            Task::MoveRef => blocking(move || job.move_ref()).await,
            Task::Switch(place) => self.land_in_place(job, &place).await,
        }
    }

    /// Lands where the branch is checked out: files and index first, the ref last.
    async fn land_in_place(&self, job: Job, place: &Place) -> Result<Landing> {
        let Candidate { base, commit, .. } = job.candidate.clone();
        let Some(lock) = place.lock()? else {
            let folder = place.work_tree.display();
            let reason = format!("a git command is at work in {folder} (index.lock)");
            return Ok(Landing::Waiting { reason });
        };
        if let Switched::Refused { reason } = self.switch(place, &base, &commit).await? {
            return Ok(Landing::Waiting { reason });
        }
        let landing = blocking(move || job.move_ref()).await?;
        // Somebody moved the ref without touching the index: give the work tree back as it was.
        if let Landing::BaseMoved { .. } = &landing
            && let Switched::Refused { reason } = self.switch(place, &commit, &base).await?
        {
            tracing::warn!(
                reason,
                "a work tree could not be put back after its branch moved"
            );
        }
        lock.release()?;
        Ok(landing)
    }
}

/// One landing into one clone. All blocking.
struct Job {
    path: PathBuf,
    branch: BranchName,
    candidate: Candidate,
}

impl Job {
    fn examine(&self, control: &Path) -> Result<Task> {
        let clone = open_clone(&self.path)?;
        let places = places(&clone, &self.branch)?;
        for place in &places {
            place.clear_remains()?;
        }
        let Some(tip) = tip_in(&clone, &self.branch)? else {
            let reason = format!(
                "{} has no branch `{}` any more",
                self.path.display(),
                self.branch
            );
            return Ok(Task::None(Landing::Rejected { reason }));
        };
        if tip != self.candidate.base {
            return Ok(Task::None(self.compare(&clone, tip)?));
        }
        self.transfer(control, &clone)?;
        let mut places = places.into_iter();
        match (places.next(), places.next()) {
            (None, _) => Ok(Task::MoveRef),
            (Some(place), None) => match &place.busy {
                Some(busy) => Ok(Task::None(Landing::Waiting {
                    reason: busy.clone(),
                })),
                None => Ok(Task::Switch(place)),
            },
            (Some(one), Some(two)) => Ok(Task::None(Landing::Waiting {
                reason: format!(
                    "`{}` is checked out twice ({} and {}); check out another branch in one of them",
                    self.branch,
                    one.work_tree.display(),
                    two.work_tree.display()
                ),
            })),
        }
    }

    fn compare(&self, clone: &git2::Repository, tip: Sha) -> Result<Landing> {
        let commit = oid(&self.candidate.commit)?;
        let (there, here) = (oid(&tip)?, clone.find_commit(commit).is_ok());
        let doing = || format!("read the history of `{}`", self.branch);
        let landed = there == commit
            || (here
                && clone
                    .graph_descendant_of(there, commit)
                    .while_doing(doing)?);
        Ok(if landed {
            Landing::Landed
        } else {
            Landing::BaseMoved { tip }
        })
    }

    /// Copies the candidate's new objects into the clone, as one pack.
    fn transfer(&self, control: &Path, clone: &git2::Repository) -> Result<()> {
        let doing = || format!("copy the change into {}", self.path.display());
        let control = Objects::open(control)?;
        let commit = oid(&self.candidate.commit)?;
        let mut walk = control.0.revwalk().while_doing(doing)?;
        walk.push(commit).while_doing(doing)?;
        walk.hide(oid(&self.candidate.base)?).while_doing(doing)?;
        let mut pack = control.0.packbuilder().while_doing(doing)?;
        pack.insert_walk(&mut walk).while_doing(doing)?;
        let objects = clone.odb().while_doing(doing)?;
        let mut writer = objects.packwriter().while_doing(doing)?;
        let mut failure = None;
        let written = pack.foreach(|bytes| match writer.write_all(bytes) {
            Ok(()) => true,
            Err(error) => {
                failure = Some(error);
                false
            }
        });
        if let Some(error) = failure {
            return Err(error).while_doing(doing);
        }
        written.while_doing(doing)?;
        writer.commit().map(drop).while_doing(doing)
    }

    /// Compare-and-swap of the ref alone. libgit2 runs no hooks.
    fn move_ref(&self) -> Result<Landing> {
        let clone = open_clone(&self.path)?;
        let (base, commit) = (oid(&self.candidate.base)?, oid(&self.candidate.commit)?);
        let log = format!("huskies: land {}", self.candidate.commit.short());
        match clone.reference_matching(&self.branch.full(), commit, true, base, &log) {
            Ok(_) => Ok(Landing::Landed),
            Err(error) if error.code() == git2::ErrorCode::Modified => {
                match tip_in(&clone, &self.branch)? {
                    Some(tip) => self.compare(&clone, tip),
                    None => Ok(Landing::Rejected {
                        reason: format!("`{}` was deleted", self.branch),
                    }),
                }
            }
            Err(source) => Err(source)
                .while_doing(|| format!("move `{}` in {}", self.branch, self.path.display())),
        }
    }
}

/// Where `branch` is checked out, or in use by something that will come back to it.
pub(super) fn places(clone: &git2::Repository, branch: &BranchName) -> Result<Vec<Place>> {
    let common = clone.commondir();
    let mut found = Vec::new();
    let main = git2::Repository::open(common).while_doing(|| on("open", common))?;
    if let Some(work_tree) = main.workdir() {
        found.extend(place_in(common.to_owned(), work_tree.to_owned(), branch)?);
    }
    let linked = common.join("worktrees");
    let Ok(entries) = fs::read_dir(&linked) else {
        return Ok(found);
    };
    for entry in entries {
        let admin = entry.while_doing(|| on("read", &linked))?.path();
        // Relative with `extensions.relativeWorktrees`, to the admin folder.
        let Some(mut text) = files::read_regular(&admin.join("gitdir"), 64 * 1024)? else {
            continue;
        };
        text.truncate(text.trim_ascii_end().len());
        let tie = admin.join(std::ffi::OsString::from_vec(text));
        let work_tree = tie.parent().unwrap_or(&tie).to_owned();
        found.extend(place_in(admin, work_tree, branch)?);
    }
    Ok(found)
}

fn place_in(git_dir: PathBuf, work_tree: PathBuf, branch: &BranchName) -> Result<Option<Place>> {
    let shown = work_tree.display();
    let names_branch = |file: &str, name: &str| -> Result<bool> {
        let text = files::read_regular(&git_dir.join(file), 4_096)?;
        Ok(text.is_some_and(|text| text.trim_ascii() == name.as_bytes()))
    };
    let checked_out = read_head(&git_dir)? == Some(Head::On(branch.full()));
    let rebasing = names_branch("rebase-merge/head-name", &branch.full())?
        || names_branch("rebase-apply/head-name", &branch.full())?
        || names_branch("BISECT_START", branch.as_str())?;
    if !checked_out && !rebasing {
        return Ok(None);
    }
    let unfinished = [
        "MERGE_HEAD",
        "CHERRY_PICK_HEAD",
        "REVERT_HEAD",
        "rebase-merge",
        "rebase-apply",
    ];
    let busy = if rebasing
        || unfinished
            .iter()
            .any(|name| files::exists(&git_dir.join(name)))
    {
        Some(format!(
            "a merge, rebase or bisect of `{branch}` is unfinished in {shown}; finish or abort it"
        ))
    } else if !files::is_real_folder(&work_tree) {
        Some(format!(
            "`{branch}` is checked out in {shown}, which is gone; run `git worktree prune`"
        ))
    } else {
        None
    };
    Ok(Some(Place {
        branch: branch.clone(),
        git_dir,
        work_tree,
        busy,
    }))
}
