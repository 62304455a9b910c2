//! A cell: the small bare repository that one worktree, or one checkout, hangs off.
//!
//! Every story and every checkout slot has its own, so that whoever can write to one can neither
//! see nor move anything of another. It borrows the base branch's objects from `base.git` and holds
//! its own story's beside. What is in it belongs to its agent: the server reads it as plain data
//! (`foreign`), writes single files into it, and runs no git on it.
//!
//! Not for: the worktree's own files in it (`linked`), bringing objects into it (`supply`).

use std::fs;
use std::path::{Path, PathBuf};

use super::error::{While, on};
use super::foreign::{read_head, read_ref};
use super::repository::blocking;
use super::settings::{self, quoted};
use super::{Identity, Repository, Result, files};
use crate::domain::id::Sha;

/// What a new cell is made of, the same for all of a project.
#[derive(Debug, Clone)]
pub(super) struct Blueprint {
    config: Vec<u8>,
}

/// From the `objects` folder of a cell. Relative, so that a data folder can be moved.
const ALTERNATES: &[u8] = b"../../../base.git/objects\n";
/// git-worktree(1): with `extensions.worktreeConfig`, `core.bare` belongs to the main repository's
/// own `config.worktree`, or every linked worktree would count as bare.
const MAIN_SETTINGS: &[u8] = b"[core]\n\tbare = true\n";
const HEAD: &[u8] = b"ref: refs/heads/none\n";
const FOLDERS: [&str; 6] = [
    "objects",
    "objects/info",
    "objects/pack",
    "refs",
    "refs/heads",
    "worktrees",
];
/// A file of settings, or of borrowed objects, is never as large.
const SETTINGS_LIMIT: u64 = 256 * 1024;

impl Blueprint {
    /// `gc.auto=0`: a collection that an agent's commit triggers would slow it down and throw away
    /// what `git fsck` could still find.
    pub(super) fn new(identity: &Identity) -> Self {
        let config = format!(
            "[core]\n\trepositoryformatversion = 1\n\tfilemode = true\n\tlogAllRefUpdates = true\n\
             [extensions]\n\tworktreeConfig = true\n[gc]\n\tauto = 0\n[maintenance]\n\tauto = false\n\
             [user]\n\tname = {}\n\temail = {}\n",
            quoted(&identity.name),
            quoted(&identity.email)
        );
        Self {
            config: config.into_bytes(),
        }
    }
}

/// What mending a cell came to.
#[derive(Debug, Default)]
pub(super) struct Healed {
    /// What somebody had changed, in words.
    pub(super) noticed: Vec<String>,
    /// Objects of the story may be gone.
    pub(super) lost_objects: bool,
}

/// One cell, which may not be there yet.
#[derive(Debug, Clone)]
pub(super) struct Cell {
    git_dir: PathBuf,
}

impl Cell {
    pub(super) fn at(git_dir: PathBuf) -> Self {
        Self { git_dir }
    }

    pub(super) fn git_dir(&self) -> &Path {
        &self.git_dir
    }

    pub(super) fn objects(&self) -> PathBuf {
        self.git_dir.join("objects")
    }

    pub(super) fn is_there(&self) -> bool {
        files::is_real_folder(&self.git_dir)
    }

    /// Writes an empty one.
    pub(super) fn lay_out(&self, blueprint: &Blueprint) -> Result<()> {
        for folder in FOLDERS {
            let folder = self.git_dir.join(folder);
            fs::create_dir_all(&folder).while_doing(|| on("create", &folder))?;
        }
        for (name, text) in [
            ("objects/info/alternates", ALTERNATES),
            ("config.worktree", MAIN_SETTINGS),
            ("config", &blueprint.config),
            ("HEAD", HEAD),
        ] {
            let path = self.git_dir.join(name);
            fs::write(&path, text).while_doing(|| on("write", &path))?;
        }
        Ok(())
    }

    /// Where a branch is, as far as it can be read.
    pub(super) fn tip(&self, full: &str) -> Result<Option<Sha>> {
        read_ref(&self.git_dir, full)
    }

    /// Puts a branch at `commit`. A file beats what `packed-refs` says (gitrepository-layout(5)).
    pub(super) fn point(&self, full: &str, commit: &Sha) -> Result<()> {
        let path = self.git_dir.join(full);
        let inside = Path::new(full).ancestors().skip(1);
        let mut parents: Vec<&Path> = inside.filter(|part| !part.as_os_str().is_empty()).collect();
        parents.reverse();
        for parent in parents {
            files::ensure_real_folder(&self.git_dir.join(parent))?;
        }
        for stale in [self.git_dir.join(format!("{full}.lock")), path.clone()] {
            if stale != path || files::is_real_folder(&path) {
                files::remove_tree(&stale)?;
            }
        }
        files::replace(&path, format!("{commit}\n").as_bytes())
    }

    /// Takes over packs that were written beside. The index comes last: without it a pack is none.
    pub(super) fn adopt_packs(&self, folder: &Path) -> Result<()> {
        let pack = self.git_dir.join("objects/pack");
        for end in ["pack", "idx"] {
            for entry in fs::read_dir(folder).while_doing(|| on("read", folder))? {
                let path = entry.while_doing(|| on("read", folder))?.path();
                if let Some(name) = path.file_name()
                    && path.extension().is_some_and(|found| found == end)
                {
                    let to = pack.join(name);
                    fs::rename(&path, &to).while_doing(|| on("write", &to))?;
                }
            }
        }
        Ok(())
    }

    /// Whether the object may be in here: as a file of its own, or in some pack. Cheap, and only a
    /// hint: nothing is opened.
    pub(super) fn may_hold(&self, commit: &Sha) -> bool {
        let (folder, rest) = commit.as_str().split_at(2);
        let loose = self.objects().join(folder).join(rest);
        let packs = fs::read_dir(self.objects().join("pack"));
        files::exists(&loose) || packs.is_ok_and(|mut packs| packs.next().is_some())
    }

    /// Puts back what every git command in here depends on, and takes away what killed ones left.
    /// Nobody works in it meanwhile. Settings are looked at by [`Repository::heal`].
    fn heal(&self) -> Result<Healed> {
        let mut healed = Healed::default();
        self.heal_folders(&mut healed)?;
        healed.lost_objects |= self.remove_empty_objects()?;
        self.heal_files(&mut healed.noticed)?;
        for folder in ["", "objects/info"] {
            files::remove_locks(&self.git_dir.join(folder))?;
        }
        files::remove_locks_below(&self.git_dir.join("refs"))?;
        Ok(healed)
    }

    fn heal_folders(&self, healed: &mut Healed) -> Result<()> {
        for folder in FOLDERS {
            let path = self.git_dir.join(folder);
            if files::is_real_folder(&path) {
                continue;
            }
            if files::exists(&path) {
                healed.noticed.push(format!("`{folder}` had been replaced"));
            }
            healed.lost_objects |= folder.starts_with("objects");
            files::ensure_real_folder(&path)?;
        }
        Ok(())
    }

    fn heal_files(&self, noticed: &mut Vec<String>) -> Result<()> {
        for (name, text) in [
            ("objects/info/alternates", ALTERNATES),
            ("config.worktree", MAIN_SETTINGS),
        ] {
            let path = self.git_dir.join(name);
            if files::read_regular(&path, SETTINGS_LIMIT)?.as_deref() != Some(text) {
                noticed.push(format!("`{name}` had been changed"));
                put(&path, text)?;
            }
        }
        for redirection in ["commondir", "gitdir"] {
            let path = self.git_dir.join(redirection);
            if files::exists(&path) {
                noticed.push(format!("`{redirection}` pointed elsewhere"));
                files::remove_tree(&path)?;
            }
        }
        let packed = self.git_dir.join("packed-refs");
        if fs::symlink_metadata(&packed).is_ok_and(|found| !found.is_file()) {
            noticed.push("`packed-refs` had been replaced".to_owned());
            files::remove_tree(&packed)?;
        }
        if read_head(&self.git_dir)?.is_none() {
            put(&self.git_dir.join("HEAD"), HEAD)?;
        }
        Ok(())
    }

    /// A power cut leaves objects empty that were just written. Git takes one for the object, and
    /// stumbles over it for ever. Says whether there was any.
    fn remove_empty_objects(&self) -> Result<bool> {
        let objects = self.objects();
        let mut found = false;
        for entry in fs::read_dir(&objects).while_doing(|| on("read", &objects))? {
            let folder = entry.while_doing(|| on("read", &objects))?.path();
            let is_fan_out = folder.file_name().is_some_and(|name| name.len() == 2);
            if !is_fan_out || !files::is_real_folder(&folder) {
                continue;
            }
            for entry in fs::read_dir(&folder).while_doing(|| on("read", &folder))? {
                let entry = entry.while_doing(|| on("read", &folder))?;
                if entry
                    .metadata()
                    .is_ok_and(|found| found.is_file() && found.len() == 0)
                {
                    files::remove_tree(&entry.path())?;
                    found = true;
                }
            }
        }
        Ok(found)
    }
}

/// Writes a file whatever has its name.
fn put(path: &Path, text: &[u8]) -> Result<()> {
    if files::is_real_folder(path) {
        files::remove_tree(path)?;
    }
    files::replace(path, text)
}

impl Repository {
    /// Makes an empty cell, in one step.
    pub(super) async fn found(&self, cell: &Cell) -> Result<()> {
        let (tmp, blueprint, cell) = (
            self.inner.paths.tmp(),
            self.inner.blueprint.clone(),
            cell.clone(),
        );
        blocking(move || {
            let scratch = tempfile::tempdir_in(&tmp).while_doing(|| on("write in", &tmp))?;
            let aside = Cell::at(scratch.path().join("cell.git"));
            aside.lay_out(&blueprint)?;
            let place = &cell.git_dir;
            fs::rename(&aside.git_dir, place).while_doing(|| on("create", place))
        })
        .await
    }

    /// Mends a cell that is there. The settings in it are the agent's to use, as long as git can
    /// read them and they do not turn the cell into something else.
    pub(super) async fn heal(&self, cell: &Cell) -> Result<Healed> {
        let copy = cell.clone();
        let (mut healed, text) = blocking(move || {
            if !copy.is_there() {
                files::remove_tree(&copy.git_dir)?;
                return Ok((Healed::default(), None));
            }
            let healed = copy.heal()?;
            let text = files::read_regular(&copy.git_dir.join("config"), SETTINGS_LIMIT)?;
            Ok((healed, Some(text.unwrap_or_default())))
        })
        .await?;
        let blueprint = &self.inner.blueprint;
        if let Some(text) = text
            && text != blueprint.config
            && !self.are_sound(&text).await?
        {
            let what = "its settings had been made unusable".to_owned();
            healed.noticed.push(what);
            put(&cell.git_dir.join("config"), &blueprint.config)?;
        }
        Ok(healed)
    }

    /// Whether settings of a cell leave it what it is: a plain repository with a worktree.
    async fn are_sound(&self, text: &[u8]) -> Result<bool> {
        let (git, tmp) = (&self.inner.git, self.inner.paths.tmp());
        let Some(entries) = settings::read(git, &tmp, text).await? else {
            return Ok(false);
        };
        let last = |key: &str| settings::last(&entries, key);
        let extensions = entries
            .iter()
            .filter(|(key, _)| key.starts_with("extensions."));
        Ok(last("core.repositoryformatversion") == Some("1")
            && last("extensions.worktreeconfig") == Some("true")
            && extensions.count() == 1
            && last("core.worktree").is_none()
            && matches!(last("core.bare"), None | Some("false")))
    }
}
