//! A story's worktree: where its agent works.
//!
//! Not for: the hook scripts themselves (the hook's own room writes them into
//! [`Repository::hooks_dir`]), taking the work out again (`collect`).

use std::path::{Path, PathBuf};

use super::error::{While, on};
use super::foreign::{Head, Import, Wanted, read_ref};
use super::linked::{Content, Linked};
use super::objects::{Objects, oid, story_ref};
use super::paths::worktree_name;
use super::repository::blocking;
use super::{GitError, Repository, Result, create};
use crate::domain::id::{BranchName, Sha, StoryId};

/// Which worktree is wanted.
#[derive(Debug, Clone)]
pub struct WorktreeSpec {
    pub story: StoryId,
    pub branch: BranchName,
    /// Where a story starts that has no commits yet.
    pub base: Sha,
}

/// A worktree that is ready to work in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Worktree {
    pub path: PathBuf,
    /// The tip of the story branch.
    pub head: Sha,
    /// The folder was made by this call: set-up has to run.
    pub created: bool,
}

impl Repository {
    /// Gives the story its worktree, on its branch.
    ///
    /// One that is there is used as it is, uncommitted work included; what ties it to its
    /// repository is mended. One that is gone is built again from the last known tip, with what the
    /// newest attempt had not committed put back as uncommitted changes. May be repeated after a
    /// crash at any point.
    pub async fn prepare_worktree(&self, spec: &WorktreeSpec) -> Result<Worktree> {
        let linked = self.story_worktree(&spec.branch)?;
        let story = story_ref(spec.story.number);
        let (paths, identity) = (self.inner.paths.clone(), self.inner.identity.clone());
        let full = spec.branch.full();
        blocking(move || {
            create::heal(&paths, &identity)?;
            unlock_branch(&paths.work(), &full)
        })
        .await?;
        let known = self
            .read_objects(move |control| control.read(&story))
            .await?;
        if linked.is_there() {
            let start = known.unwrap_or_else(|| spec.base.clone());
            self.mend_worktree(&linked, &spec.branch, &start).await
        } else {
            self.build_worktree(&linked, spec, known).await
        }
    }

    /// Makes git look for hooks of this worktree, and of no other, in `hooks`.
    pub async fn set_hooks_path(&self, worktree: &Worktree, hooks: &Path) -> Result<()> {
        let linked = self.linked(name_of(worktree)?, worktree.path.clone());
        let hooks = hooks.to_owned();
        if hooks.to_str().is_none() {
            return Err(GitError::misconfigured(
                "the path of the hooks must be valid UTF-8",
            ));
        }
        blocking(move || linked.configure(Some(&hooks))).await
    }

    /// A folder for this worktree's hook scripts, outside the work tree. It may not exist yet.
    ///
    /// # Errors
    /// [`GitError::Misconfigured`] when `worktree` is none of this repository's.
    pub fn hooks_dir(&self, worktree: &Worktree) -> Result<PathBuf> {
        Ok(self.inner.paths.hooks().join(name_of(worktree)?))
    }

    /// Where the worktree of a story branch is, or would be, and its hooks folder.
    pub fn places_of(&self, branch: &BranchName) -> Result<(PathBuf, PathBuf)> {
        let name = worktree_name(branch)?;
        let paths = &self.inner.paths;
        Ok((paths.worktrees().join(&name), paths.hooks().join(name)))
    }

    /// Where the hooks lie that the worktrees share, such as a project's own set-up puts them.
    pub fn shared_hooks_dir(&self) -> PathBuf {
        self.inner.paths.work().join("hooks")
    }

    pub(super) fn story_worktree(&self, branch: &BranchName) -> Result<Linked> {
        let name = worktree_name(branch)?;
        let path = self.inner.paths.worktrees().join(&name);
        Ok(self.linked(name, path))
    }

    pub(super) fn linked(&self, name: String, path: PathBuf) -> Linked {
        Linked::new(self.inner.paths.work(), name, path)
    }

    async fn mend_worktree(
        &self,
        linked: &Linked,
        branch: &BranchName,
        start: &Sha,
    ) -> Result<Worktree> {
        let work = self.inner.paths.work();
        let (worktree, full, start) = (linked.clone(), branch.full(), start.clone());
        let (head, checked_out, has_index) = blocking(move || {
            let head = match read_ref(&work, &full)? {
                Some(tip) => tip,
                None => set_branch(&work, &full, start)?,
            };
            let has_index = worktree.mend(&full)?;
            let checked_out = match worktree.head()? {
                Some(Head::Detached(sha)) => Some(sha),
                Some(Head::On(name)) => read_ref(&work, &name)?,
                None => None,
            };
            Ok((head, checked_out, has_index))
        })
        .await?;
        if !has_index {
            self.restore_index(linked, checked_out.as_ref().unwrap_or(&head))
                .await?;
        }
        Ok(Worktree {
            path: linked.path().to_owned(),
            head,
            created: false,
        })
    }

    /// Gives a worktree the index of what it has checked out; its files stay as they are.
    async fn restore_index(&self, linked: &Linked, commit: &Sha) -> Result<()> {
        // The commit may never have been collected.
        self.import(&[Wanted { commit, into: None }]).await?;
        let tmp = self.inner.paths.tmp();
        let scratch = tempfile::tempdir_in(&tmp).while_doing(|| on("write in", &tmp))?;
        let index = scratch.path().join("index");
        self.index_of(commit, &index).await?;
        let linked = linked.clone();
        blocking(move || linked.adopt_index(&index)).await
    }

    async fn build_worktree(
        &self,
        linked: &Linked,
        spec: &WorktreeSpec,
        known: Option<Sha>,
    ) -> Result<Worktree> {
        let start = match known {
            Some(known) => self.newest_tip(spec, known).await?,
            None => spec.base.clone(),
        };
        let (number, work, full) = (
            spec.story.number,
            self.inner.paths.work(),
            spec.branch.full(),
        );
        let tip = start.clone();
        let wip = self
            .read_objects(move |control| {
                control.point(&story_ref(number), &tip)?;
                let wip = unfinished(control, number, &tip)?;
                set_branch(&work, &full, tip)?;
                Ok(wip)
            })
            .await?;
        let content = Content {
            files: wip.unwrap_or_else(|| start.clone()),
            index: start.clone(),
            head: Head::On(spec.branch.full()),
            hooks: None,
        };
        self.build_linked(linked, content).await?;
        Ok(Worktree {
            path: linked.path().to_owned(),
            head: start,
            created: true,
        })
    }

    /// The story branch's tip in `work.git` where it goes on from the one that is known (commits
    /// of an agent whose folder vanished before anything was collected), else the known one.
    async fn newest_tip(&self, spec: &WorktreeSpec, known: Sha) -> Result<Sha> {
        let (work, full) = (self.inner.paths.work(), spec.branch.full());
        let found = blocking(move || read_ref(&work, &full)).await?;
        let Some(found) = found.filter(|found| *found != known) else {
            return Ok(known);
        };
        if let Err(error) = self
            .import(&[Wanted {
                commit: &found,
                into: None,
            }])
            .await
        {
            tracing::warn!(story = %spec.story, %found, %error, "the story branch in work.git cannot be read; going on from the last known tip");
            return Ok(known);
        }
        Ok(if self.contains(&found, &known).await? {
            found
        } else {
            known
        })
    }

    /// Brings commits from `work.git` into `control.git`.
    pub(super) async fn import(&self, wanted: &[Wanted<'_>]) -> Result<()> {
        let paths = &self.inner.paths;
        let (objects, control, tmp) = (paths.work().join("objects"), paths.control(), paths.tmp());
        let import = Import {
            git: &self.inner.git,
            objects: &objects,
            control: &control,
            tmp: &tmp,
        };
        import.fetch(wanted).await
    }
}

/// The name under which a worktree is registered: its folder's.
fn name_of(worktree: &Worktree) -> Result<String> {
    let name = worktree.path.file_name().and_then(|name| name.to_str());
    let name = name.ok_or_else(|| {
        GitError::misconfigured(format!(
            "{} is no worktree of huskies",
            worktree.path.display()
        ))
    })?;
    Ok(name.to_owned())
}

/// The newest snapshot, if it holds changes on top of `tip`.
pub(super) fn unfinished(control: &Objects, number: u64, tip: &Sha) -> Result<Option<Sha>> {
    let Some(wip) = control.newest_wip(number)? else {
        return Ok(None);
    };
    let commit = control.commit(&wip)?;
    let doing = || format!("read the snapshot {wip}");
    let on_top = commit.parent_count() > 0 && commit.parent_id(0).while_doing(doing)? == oid(tip)?;
    let differs = commit.tree_id() != control.tree(tip)?.id();
    Ok((on_top && differs).then_some(wip))
}

/// No agent of the story runs while its worktree is made ready, so a lock on its branch was left by
/// a process that was killed.
fn unlock_branch(work: &Path, full: &str) -> Result<()> {
    let lock = work.join(format!("{full}.lock"));
    match std::fs::remove_file(&lock) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).while_doing(|| on("remove", &lock))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Puts a branch of `work.git` at `commit` and returns that. libgit2 runs no hooks.
fn set_branch(work: &Path, full: &str, commit: Sha) -> Result<Sha> {
    Objects::open(work)?.point(full, &commit)?;
    Ok(commit)
}
