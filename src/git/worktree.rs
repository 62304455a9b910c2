//! A story's worktree: where its agent works.
//!
//! Not for: the hook scripts themselves (the hook's own room writes them into
//! [`Repository::hooks_dir`]), taking the work out again (`collect`).

use std::path::{Path, PathBuf};

use super::cell::Cell;
use super::error::{While, on};
use super::foreign::{Head, Import, Lender, Wanted};
use super::linked::{Content, Linked};
use super::objects::{Objects, oid, open_ref, story_ref, stray_ref};
use super::paths::worktree_name;
use super::repository::blocking;
use super::{GitError, Repository, Result, files, settings};
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
    /// What somebody had tampered with since huskies last looked, and that it was put back; a
    /// sentence each. Empty as a rule.
    pub noticed: Vec<String>,
}

/// Where a story stands when its worktree is made ready.
struct Standing {
    /// The branch's last known tip.
    known: Option<Sha>,
    /// An attempt may have been at work since that was known.
    open: bool,
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
        let (number, base) = (spec.story.number, spec.base.clone());
        let healed = self.heal(linked.cell()).await?;
        let standing = self.standing(number).await?;
        let moved = self.put_branch_back(&linked, spec, &standing).await?;
        let mut worktree = if linked.is_there() {
            let start = standing.known.unwrap_or_else(|| spec.base.clone());
            if healed.lost_objects {
                self.put_back_objects(&linked, &start).await?;
            }
            self.mend_worktree(&linked, &spec.branch, start).await?
        } else {
            self.build_worktree(&linked, spec, standing.known).await?
        };
        worktree
            .noticed
            .splice(0..0, healed.noticed.into_iter().chain(moved));
        for what in &worktree.noticed {
            tracing::warn!(story = %spec.story, what, "tampering was noticed in a worktree's git data");
        }
        self.offer_stray(&linked, spec).await?;
        if !standing.open {
            self.read_objects(move |control| {
                let known = control.read(&story_ref(number))?.unwrap_or(base);
                control.point(&open_ref(number), &known)
            })
            .await?;
        }
        Ok(worktree)
    }

    async fn standing(&self, number: u64) -> Result<Standing> {
        self.read_objects(move |control| {
            Ok(Standing {
                known: control.read(&story_ref(number))?,
                open: control.read(&open_ref(number))?.is_some(),
            })
        })
        .await
    }

    /// A branch that moved while no attempt was at work was moved by somebody else: it goes back,
    /// and what it was moved to is kept.
    async fn put_branch_back(
        &self,
        linked: &Linked,
        spec: &WorktreeSpec,
        standing: &Standing,
    ) -> Result<Option<String>> {
        let (Some(known), false) = (&standing.known, standing.open) else {
            return Ok(None);
        };
        let (cell, full) = (linked.cell().clone(), spec.branch.full());
        if !cell.is_there() {
            return Ok(None);
        }
        let found = blocking(move || cell.tip(&full)).await?;
        if found.as_ref() == Some(known) {
            return Ok(None);
        }
        let what = match &found {
            Some(found) => {
                let kept = self.keep_stray(linked, spec.story.number, found).await;
                let kept = kept.map_or_else(
                    |error| format!("which could not be kept ({error})"),
                    |name| format!("which is kept as {name}"),
                );
                format!("had been moved to {}, {kept}", found.short())
            }
            None => "had been deleted".to_owned(),
        };
        self.put_at(linked, &spec.branch, known).await?;
        Ok(Some(format!(
            "while no attempt was at work, the story branch {what}; it is back at {}",
            known.short()
        )))
    }

    /// Brings a commit of a cell into `control.git` under a ref of its own.
    async fn keep_stray(&self, linked: &Linked, number: u64, commit: &Sha) -> Result<String> {
        let name = stray_ref(number, commit);
        let wanted = Wanted {
            commit,
            into: Some(&name),
        };
        self.import(linked.cell(), &[wanted]).await?;
        Ok(name)
    }

    /// Puts the branch in the cell at a commit of ours, whose objects may be gone there.
    async fn put_at(&self, linked: &Linked, branch: &BranchName, commit: &Sha) -> Result<()> {
        self.put_back_objects(linked, commit).await?;
        let (cell, full, commit) = (linked.cell().clone(), branch.full(), commit.clone());
        blocking(move || cell.point(&full, &commit)).await
    }

    pub(super) async fn put_back_objects(&self, linked: &Linked, commit: &Sha) -> Result<()> {
        let (repository, cell, commit) = (self.clone(), linked.cell().clone(), commit.clone());
        blocking(move || {
            let tmp = repository.inner.paths.tmp();
            let scratch = tempfile::tempdir_in(&tmp).while_doing(|| on("write in", &tmp))?;
            repository.supply(&cell, &commit, scratch.path())
        })
        .await
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

    /// Where a project's own set-up puts hooks when it runs in this worktree.
    ///
    /// # Errors
    /// [`GitError::Misconfigured`] when `worktree` is none of this repository's.
    pub fn shared_hooks_dir(&self, worktree: &Worktree) -> Result<PathBuf> {
        Ok(self.inner.paths.cell(&name_of(worktree)?).join("hooks"))
    }

    pub(super) fn story_worktree(&self, branch: &BranchName) -> Result<Linked> {
        let name = worktree_name(branch)?;
        let path = self.inner.paths.worktrees().join(&name);
        Ok(self.linked(name, path))
    }

    pub(super) fn linked(&self, name: String, path: PathBuf) -> Linked {
        let cell = Cell::at(self.inner.paths.cell(&name));
        Linked::new(cell, name, path)
    }

    /// The folder that `core.hooksPath` of a worktree has to name, once hooks are installed there.
    fn installed_hooks(&self, linked: &Linked) -> Option<PathBuf> {
        let hooks = self.inner.paths.hooks().join(linked.name());
        files::exists(&hooks.join("pre-commit")).then_some(hooks)
    }

    /// What is wrong with a worktree's settings.
    pub(super) async fn trouble_with_settings(&self, linked: &Linked) -> Result<Option<String>> {
        let hooks = self.installed_hooks(linked);
        let (copy, wanted) = (linked.clone(), hooks.clone());
        let odd = blocking(move || copy.odd_settings(wanted.as_deref())).await?;
        let Some(odd) = odd else {
            return Ok(None);
        };
        let (git, tmp) = (&self.inner.git, self.inner.paths.tmp());
        let entries = settings::read(git, &tmp, &odd).await?;
        Ok(settings::trouble(entries.as_ref(), hooks.as_deref()))
    }

    async fn mend_worktree(
        &self,
        linked: &Linked,
        branch: &BranchName,
        start: Sha,
    ) -> Result<Worktree> {
        if !linked.cell().is_there() {
            self.found(linked.cell()).await?;
        }
        let head = if let Some(tip) = self.held_tip(linked, branch).await? {
            tip
        } else {
            self.put_at(linked, branch, &start).await?;
            start
        };
        let (worktree, full, hooks) = (linked.clone(), branch.full(), self.installed_hooks(linked));
        let wanted = hooks.clone();
        let (has_index, checked_out) = blocking(move || {
            let has_index = worktree.mend(&full, wanted.as_deref())?;
            let checked_out = match worktree.head()? {
                Some(Head::Detached(sha)) => Some(sha),
                Some(Head::On(name)) => worktree.cell().tip(&name)?,
                None => None,
            };
            Ok((has_index, checked_out))
        })
        .await?;
        let noticed = self.mend_settings(linked, hooks).await?;
        if !has_index {
            self.restore_index(linked, checked_out.as_ref().unwrap_or(&head))
                .await?;
        }
        Ok(Worktree {
            path: linked.path().to_owned(),
            head,
            created: false,
            noticed: noticed.into_iter().collect(),
        })
    }

    /// The branch's tip in its cell, if there is such a commit within the cell's reach.
    async fn held_tip(&self, linked: &Linked, branch: &BranchName) -> Result<Option<Sha>> {
        let (cell, full) = (linked.cell().clone(), branch.full());
        let base = self.inner.paths.base();
        blocking(move || match cell.tip(&full)? {
            Some(tip) if cell.may_hold(&tip) || Objects::open(&base)?.commit(&tip).is_ok() => {
                Ok(Some(tip))
            }
            Some(_) | None => Ok(None),
        })
        .await
    }

    /// Puts a worktree's settings back where they do not do what they are for.
    async fn mend_settings(
        &self,
        linked: &Linked,
        hooks: Option<PathBuf>,
    ) -> Result<Option<String>> {
        let noticed = self.trouble_with_settings(linked).await?;
        if noticed.is_some() {
            let worktree = linked.clone();
            blocking(move || worktree.configure(hooks.as_deref())).await?;
        }
        Ok(noticed)
    }

    /// Gives a worktree the index of what it has checked out; its files stay as they are.
    pub(super) async fn restore_index(&self, linked: &Linked, commit: &Sha) -> Result<()> {
        // The commit may never have been collected.
        self.import(linked.cell(), &[Wanted { commit, into: None }])
            .await?;
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
            Some(known) => self.newest_tip(linked, spec, known).await?,
            None => spec.base.clone(),
        };
        let (number, tip) = (spec.story.number, start.clone());
        let wip = self
            .read_objects(move |control| {
                control.point(&story_ref(number), &tip)?;
                unfinished(control, number, &tip)
            })
            .await?;
        let content = Content {
            files: wip.unwrap_or_else(|| start.clone()),
            index: start.clone(),
            head: Head::On(spec.branch.full()),
            hooks: None,
        };
        let keep_cell = linked.cell().is_there();
        self.build_linked(linked, content, keep_cell).await?;
        Ok(Worktree {
            path: linked.path().to_owned(),
            head: start,
            created: true,
            noticed: Vec::new(),
        })
    }

    /// The story branch's tip in its cell where it goes on from the one that is known (commits of
    /// an agent whose folder vanished before anything was collected), else the known one.
    async fn newest_tip(&self, linked: &Linked, spec: &WorktreeSpec, known: Sha) -> Result<Sha> {
        let (cell, full) = (linked.cell().clone(), spec.branch.full());
        let found = blocking(move || cell.tip(&full)).await?;
        let Some(found) = found.filter(|found| *found != known) else {
            return Ok(known);
        };
        if let Err(error) = self.keep_stray(linked, spec.story.number, &found).await {
            tracing::warn!(story = %spec.story, %found, %error, "the story branch in its cell cannot be read; going on from the last known tip");
            return Ok(known);
        }
        Ok(if self.contains(&found, &known).await? {
            found
        } else {
            known
        })
    }

    /// Brings commits from a cell into `control.git`.
    pub(super) async fn import(&self, cell: &Cell, wanted: &[Wanted<'_>]) -> Result<()> {
        let paths = &self.inner.paths;
        let (objects, base) = (cell.objects(), paths.base().join("objects"));
        let import = Import {
            git: &self.inner.git,
            lender: Lender::Cell {
                objects: &objects,
                base: &base,
            },
            receiver: &paths.control(),
            tmp: &paths.tmp(),
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
