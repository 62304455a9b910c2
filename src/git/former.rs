//! Taking over a `work.git`, the one repository that all worktrees shared before there were cells.
//!
//! It is renamed first, so that nobody commits into it any more, and goes last; what was cut off in
//! between is done again at the next start. All its branches, tags and stashes are kept in
//! `control.git` under `refs/huskies/former/…`; each worktree gets a cell with its branch, and its
//! admin folder moves there (a rebase in the midst of things included).
//!
//! Not for: anything once the data folder is in the new order.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::base::seed;
use super::cell::Cell;
use super::error::{While, on};
use super::foreign::{Head, Import, Lender, Wanted, all_refs, read_head, read_ref};
use super::linked::Linked;
use super::paths::slot_of;
use super::repository::blocking;
use super::{Repository, Result, files};
use crate::domain::id::{ItemName, Sha};

/// A worktree of the old repository.
struct Lodger {
    linked: Linked,
    /// Its admin folder there.
    admin: PathBuf,
    /// The branch, or what else is checked out, and where that is.
    head: Option<Head>,
    tip: Option<Sha>,
    /// The story branch, should something else be checked out.
    branch: Option<(String, Sha)>,
}

impl Repository {
    /// Does nothing where there is no old repository.
    pub(super) async fn take_over_former_work(&self) -> Result<()> {
        let paths = &self.inner.paths;
        let (work, former) = (paths.former_work(), paths.root().join("work.git.former"));
        if files::is_real_folder(&work) && !files::exists(&former) {
            fs::rename(&work, &former).while_doing(|| on("rename", &work))?;
        }
        if !files::is_real_folder(&former) {
            return Ok(());
        }
        tracing::info!(folder = %former.display(), "taking over the worktrees of an older huskies");
        let refs = all_refs(&former)?;
        self.seed_base(&refs).await?;
        let everything = self.keep_former_refs(&former, refs.clone()).await?;
        self.open_stories().await?;
        for lodger in self.lodgers(&former, &refs)? {
            self.rehouse(former.clone(), lodger).await?;
        }
        if everything {
            let tmp =
                tempfile::tempdir_in(paths.tmp()).while_doing(|| on("write in", &paths.tmp()))?;
            fs::rename(&former, tmp.path().join("former")).while_doing(|| on("remove", &former))?;
            files::remove_tree(tmp.path())?;
        }
        Ok(())
    }

    /// Whoever was at work in the old repository may go on: what they did is theirs.
    async fn open_stories(&self) -> Result<()> {
        self.read_objects(move |control| {
            for name in control.names("refs/huskies/story/*/head")? {
                if let Some(head) = control.read(&name)? {
                    control.put(&name.replace("/head", "/open"), &head)?;
                }
            }
            Ok(())
        })
        .await
    }

    /// What control knows of the remote and is no branch of a story is the base.
    async fn seed_base(&self, refs: &[(String, Sha)]) -> Result<()> {
        let stories: BTreeSet<String> = refs
            .iter()
            .filter_map(|(name, _)| name.strip_prefix("refs/heads/"))
            .map(|branch| format!("refs/huskies/remote/{branch}"))
            .collect();
        let bases = self
            .read_objects(move |control| control.names("refs/huskies/remote/*"))
            .await?;
        let bases: Vec<String> = bases
            .into_iter()
            .filter(|name| !stories.contains(name))
            .collect();
        let paths = &self.inner.paths;
        seed(&self.inner.git, &paths.control(), &paths.base(), &bases).await
    }

    /// Brings every ref of the old repository into control. Says whether all could be; those that
    /// could not leave the old folder where it is.
    async fn keep_former_refs(&self, former: &Path, refs: Vec<(String, Sha)>) -> Result<bool> {
        let mut refs: Vec<(String, Sha)> = refs
            .into_iter()
            .map(|(name, sha)| (name.replacen("refs/", "refs/huskies/former/", 1), sha))
            .collect();
        for (name, admin) in admin_folders(former)? {
            if let Some(Head::Detached(sha)) = read_head(&admin)? {
                refs.push((format!("refs/huskies/former/detached/{name}"), sha));
            }
        }
        if self.keep_former(former, &refs).await.is_ok() {
            return Ok(true);
        }
        let mut everything = true;
        for one in &refs {
            if let Err(error) = self.keep_former(former, std::slice::from_ref(one)).await {
                everything = false;
                tracing::warn!(name = one.0, %error, folder = %former.display(), "a branch of an older huskies cannot be read; its repository is left where it is");
            }
        }
        Ok(everything)
    }

    async fn keep_former(&self, former: &Path, refs: &[(String, Sha)]) -> Result<()> {
        if refs.is_empty() {
            return Ok(());
        }
        let paths = &self.inner.paths;
        let (objects, control) = (former.join("objects"), paths.control().join("objects"));
        let import = Import {
            git: &self.inner.git,
            lender: Lender::Cell {
                objects: &objects,
                base: &control,
            },
            receiver: &paths.control(),
            tmp: &paths.tmp(),
        };
        let wanted = refs.iter().map(|(name, commit)| Wanted {
            commit,
            into: Some(name),
        });
        let wanted: Vec<Wanted<'_>> = wanted.collect();
        import.fetch(&wanted).await
    }

    fn lodgers(&self, former: &Path, refs: &[(String, Sha)]) -> Result<Vec<Lodger>> {
        let mut lodgers = Vec::new();
        for (name, admin) in admin_folders(former)? {
            let paths = &self.inner.paths;
            let path = match slot_of(&name) {
                Some(slot) => paths.checkouts().join(slot),
                None => paths.worktrees().join(&name),
            };
            let head = read_head(&admin)?;
            let tip = match &head {
                Some(Head::On(full)) => read_ref(former, full)?,
                Some(Head::Detached(sha)) => Some(sha.clone()),
                None => None,
            };
            let of_story = |(full, _): &&(String, Sha)| {
                full.starts_with("refs/heads/") && full.rsplit('/').next() == Some(&name)
            };
            lodgers.push(Lodger {
                branch: refs.iter().find(of_story).cloned(),
                linked: self.linked(name, path),
                admin,
                head,
                tip,
            });
        }
        Ok(lodgers)
    }

    /// Gives a worktree of the old repository a cell of its own.
    async fn rehouse(&self, former: PathBuf, lodger: Lodger) -> Result<()> {
        let repository = self.clone();
        let (linked, tip) = blocking(move || {
            let cell = lodger.linked.cell();
            if !cell.is_there() {
                repository.found_cell(&former, &lodger)?;
            }
            let admin = lodger.linked.admin();
            if !files::exists(&admin) {
                fs::rename(&lodger.admin, &admin).while_doing(|| on("move", &lodger.admin))?;
                // Its entries may name objects that only the old repository has.
                files::remove_tree(&admin.join("index"))?;
            }
            if lodger.linked.is_there() {
                let branch = lodger.branch.as_ref();
                lodger
                    .linked
                    .mend(branch.map_or("refs/heads/none", |(full, _)| full), None)?;
            }
            Ok((lodger.linked, lodger.tip))
        })
        .await?;
        match tip {
            Some(tip) if linked.is_there() => self.restore_index(&linked, &tip).await,
            Some(_) | None => Ok(()),
        }
    }

    /// Builds the cell with what is checked out in it. Blocking.
    fn found_cell(&self, former: &Path, lodger: &Lodger) -> Result<()> {
        let tmp = self.inner.paths.tmp();
        let scratch = tempfile::tempdir_in(&tmp).while_doing(|| on("write in", &tmp))?;
        let aside = Cell::at(scratch.path().join("cell.git"));
        aside.lay_out(&self.inner.blueprint)?;
        let checked_out = match (&lodger.head, &lodger.tip) {
            (Some(Head::On(full)), Some(tip)) => Some((Some(full), tip)),
            (Some(Head::Detached(_)), Some(tip)) => Some((None, tip)),
            (Some(_) | None, _) => None,
        };
        let branch = lodger.branch.as_ref().map(|(full, tip)| (Some(full), tip));
        for (full, tip) in branch.into_iter().chain(checked_out) {
            if let Err(error) = self.supply(&aside, tip, scratch.path()) {
                tracing::warn!(name = lodger.linked.name(), %error, "a commit of an older huskies is damaged");
                continue;
            }
            if let Some(full) = full {
                aside.point(full, tip)?;
            }
        }
        keep_settings(former, &aside)?;
        let place = lodger.linked.cell().git_dir();
        fs::rename(aside.git_dir(), place).while_doing(|| on("create", place))
    }
}

/// What set-up commands have installed: hooks, and settings (looked at when a worktree is prepared).
fn keep_settings(former: &Path, cell: &Cell) -> Result<()> {
    if let Some(text) = files::read_regular(&former.join("config"), SETTINGS_LIMIT)? {
        files::replace(&cell.git_dir().join("config"), &text)?;
    }
    let (from, to) = (former.join("hooks"), cell.git_dir().join("hooks"));
    if !files::is_real_folder(&from) {
        return Ok(());
    }
    fs::create_dir_all(&to).while_doing(|| on("create", &to))?;
    for entry in fs::read_dir(&from).while_doing(|| on("read", &from))? {
        let entry = entry.while_doing(|| on("read", &from))?;
        let is_hook = entry
            .metadata()
            .is_ok_and(|found| found.is_file() && found.len() <= SETTINGS_LIMIT);
        if is_hook {
            let place = to.join(entry.file_name());
            fs::copy(entry.path(), &place).while_doing(|| on("copy", &entry.path()))?;
        }
    }
    Ok(())
}

/// A hook, or a file of settings, is never larger.
const SETTINGS_LIMIT: u64 = 256 * 1024;

/// The worktrees that an old repository had: names and admin folders.
fn admin_folders(former: &Path) -> Result<Vec<(String, PathBuf)>> {
    let folder = former.join("worktrees");
    if !files::is_real_folder(&folder) {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    for entry in fs::read_dir(&folder).while_doing(|| on("read", &folder))? {
        let entry = entry.while_doing(|| on("read", &folder))?;
        if let Ok(name) = entry.file_name().into_string()
            && name.parse::<ItemName>().is_ok()
            && files::is_real_folder(&entry.path())
        {
            found.push((name, entry.path()));
        }
    }
    Ok(found)
}
