//! Linked worktrees of cells, built and mended by huskies itself.
//!
//! `git worktree add` would run git on a cell and so read settings that agents can write.
//! The files that link a worktree to its repository are few and documented
//! (gitrepository-layout(5), "worktrees/"): they are written here, and the work tree is filled by
//! `control.git` over a private index that then becomes the worktree's own. Everything is built
//! aside and renamed into place last, so a folder that is there was complete once.
//!
//! Not for: what a worktree is for (`worktree`, `checkout`).

use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::cell::Cell;
use super::error::{While, on};
use super::foreign::{Head, read_head};
use super::objects::Objects;
use super::repository::blocking;
use super::supply::pack_beyond_base;
use super::{Repository, Result, files, settings};
use crate::domain::id::Sha;

/// An admin file is a line or two; anything longer was not written by git.
const ADMIN_FILE_LIMIT: u64 = 64 * 1024;

/// One worktree: its cell, its name there, and its folder.
#[derive(Debug, Clone)]
pub(super) struct Linked {
    cell: Cell,
    name: String,
    path: PathBuf,
}

/// What a new worktree holds.
pub(super) struct Content {
    /// The commit whose files are written.
    pub(super) files: Sha,
    /// The commit that the index, and the branch if there is one, is at; where it differs from
    /// `files`, the difference is an uncommitted change.
    pub(super) index: Sha,
    pub(super) head: Head,
    /// `core.hooksPath` of this worktree alone.
    pub(super) hooks: Option<PathBuf>,
}

impl Linked {
    pub(super) fn new(cell: Cell, name: String, path: PathBuf) -> Self {
        Self { cell, name, path }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn cell(&self) -> &Cell {
        &self.cell
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// `<cell>/worktrees/<name>`: HEAD, index and settings of this worktree.
    pub(super) fn admin(&self) -> PathBuf {
        self.admin_in(self.cell.git_dir())
    }

    fn admin_in(&self, git_dir: &Path) -> PathBuf {
        git_dir.join("worktrees").join(&self.name)
    }

    /// True when there is a folder with something in it. A link is nobody's worktree.
    pub(super) fn is_there(&self) -> bool {
        files::is_real_folder(&self.path)
            && fs::read_dir(&self.path).is_ok_and(|mut entries| entries.next().is_some())
    }

    /// The commit or branch that is checked out, as far as it can be read.
    pub(super) fn head(&self) -> Result<Option<Head>> {
        if files::is_real_folder(&self.admin()) {
            read_head(&self.admin())
        } else {
            Ok(None)
        }
    }

    /// The text of the three files that tie the folder and the repository together.
    fn ties(&self, folder: &Path, admin: &Path) -> [(PathBuf, Vec<u8>); 3] {
        let line = |prefix: &str, path: &Path| {
            [
                prefix.as_bytes(),
                path.as_os_str().as_encoded_bytes(),
                b"\n",
            ]
            .concat()
        };
        [
            (folder.join(".git"), line("gitdir: ", &self.admin())),
            (admin.join("commondir"), b"../..\n".to_vec()),
            (admin.join("gitdir"), line("", &self.path.join(".git"))),
        ]
    }

    /// Writes the admin folder anew, in `cell`, which may stand aside. `index` is moved into it.
    fn register(
        &self,
        cell: &Cell,
        (folder, index): (&Path, &Path),
        content: &Content,
    ) -> Result<()> {
        let admin = self.admin_in(cell.git_dir());
        files::remove_tree(&admin)?;
        fs::create_dir_all(&admin).while_doing(|| on("create", &admin))?;
        for (path, text) in self.ties(folder, &admin) {
            files::remove_tree(&path)?;
            files::replace(&path, &text)?;
        }
        write_head(&admin, &content.head)?;
        adopt_index(&admin, index)?;
        let settings = settings::of_worktree(content.hooks.as_deref());
        files::replace(&admin.join(SETTINGS), &settings)
    }

    pub(super) fn adopt_index(&self, index: &Path) -> Result<()> {
        adopt_index(&self.admin(), index)
    }

    /// Writes this worktree's own settings anew.
    pub(super) fn configure(&self, hooks: Option<&Path>) -> Result<()> {
        let file = self.admin().join(SETTINGS);
        if files::is_real_folder(&file) {
            files::remove_tree(&file)?;
        }
        files::replace(&file, &settings::of_worktree(hooks))
    }

    /// The settings as they are, where they are not as huskies writes them. Nothing: unreadable.
    pub(super) fn odd_settings(&self, hooks: Option<&Path>) -> Result<Option<Vec<u8>>> {
        let file = self.admin().join(SETTINGS);
        let found = files::read_regular(&file, ADMIN_FILE_LIMIT)?;
        Ok(match found {
            Some(text) if text == settings::of_worktree(hooks) => None,
            other => Some(other.unwrap_or_default()),
        })
    }

    /// Puts right what a crash, or an agent, left wrong about the ties, and leaves the work alone.
    /// Says whether the index is there.
    pub(super) fn mend(&self, branch: &str, hooks: Option<&Path>) -> Result<bool> {
        let admin = self.admin();
        let is_new = !files::exists(&admin);
        files::ensure_real_folder(&admin)?;
        for (path, text) in self.ties(&self.path, &admin) {
            if files::read_regular(&path, ADMIN_FILE_LIMIT)?.as_ref() != Some(&text) {
                files::remove_tree(&path)?;
                files::replace(&path, &text)?;
            }
        }
        if self.head()?.is_none() {
            files::remove_tree(&admin.join("HEAD"))?;
            write_head(&admin, &Head::On(branch.to_owned()))?;
        }
        // Nobody works in here now: a lock is what a killed git left behind.
        files::remove_locks(&admin)?;
        if is_new {
            self.configure(hooks)?;
        }
        let index = admin.join("index");
        let has_index = is_index(&index)?;
        if !has_index {
            files::remove_tree(&index)?;
        }
        Ok(has_index)
    }
}

/// The file of a worktree's own settings (git-worktree(1), "CONFIGURATION FILE").
const SETTINGS: &str = "config.worktree";

/// Whether a file begins as an index does (gitformat-index(5)) and can hold one.
fn is_index(path: &Path) -> Result<bool> {
    let is_file =
        fs::symlink_metadata(path).is_ok_and(|found| found.is_file() && found.len() >= 32);
    if !is_file {
        return Ok(false);
    }
    let mut signature = [0; 4];
    let file = fs::File::open(path);
    let read = file.and_then(|mut file| file.read_exact(&mut signature));
    read.while_doing(|| on("read", path))?;
    Ok(&signature == b"DIRC")
}

fn write_head(admin: &Path, head: &Head) -> Result<()> {
    let text = match head {
        Head::On(name) => format!("ref: {name}\n"),
        Head::Detached(sha) => format!("{sha}\n"),
    };
    files::replace(&admin.join("HEAD"), text.as_bytes())
}

fn adopt_index(admin: &Path, index: &Path) -> Result<()> {
    let path = admin.join("index");
    fs::rename(index, &path).while_doing(|| on("write", &path))
}

impl Repository {
    /// Builds a worktree aside and puts it in place of whatever is there. Its cell is used as it is
    /// where `keep_cell` says so (it must be in order), and made anew otherwise.
    pub(super) async fn build_linked(
        &self,
        linked: &Linked,
        content: Content,
        keep_cell: bool,
    ) -> Result<()> {
        let tmp = self.inner.paths.tmp();
        let scratch = tempfile::tempdir_in(&tmp).while_doing(|| on("write in", &tmp))?;
        let (folder, index) = (scratch.path().join("tree"), scratch.path().join("index"));
        fs::create_dir(&folder).while_doing(|| on("create", &folder))?;
        self.fill(&folder, &index, &content).await?;
        let (linked, repository) = (linked.clone(), self.clone());
        blocking(move || {
            let open = fs::Permissions::from_mode(0o755);
            fs::set_permissions(&folder, open).while_doing(|| on("open", &folder))?;
            let built = (folder.as_path(), index.as_path());
            if keep_cell {
                repository.furnish_cell(&linked.cell, &content, scratch.path())?;
                linked.register(&linked.cell, built, &content)?;
            } else {
                let aside = Cell::at(scratch.path().join("cell.git"));
                aside.lay_out(&repository.inner.blueprint)?;
                repository.furnish_cell(&aside, &content, scratch.path())?;
                linked.register(&aside, built, &content)?;
                set_aside(linked.cell.git_dir(), &scratch.path().join("old.git"))?;
                let place = linked.cell.git_dir();
                fs::rename(aside.git_dir(), place).while_doing(|| on("create", place))?;
            }
            set_aside(linked.path(), &scratch.path().join("old"))?;
            fs::rename(&folder, linked.path()).while_doing(|| on("create", linked.path()))?;
            files::remove_tree(scratch.path())
        })
        .await
    }

    /// Gives a cell the objects and the branch that its worktree needs. Blocking.
    fn furnish_cell(&self, cell: &Cell, content: &Content, scratch: &Path) -> Result<()> {
        self.supply(cell, &content.index, scratch)?;
        match &content.head {
            Head::On(name) => cell.point(name, &content.index),
            Head::Detached(_) => Ok(()),
        }
    }

    /// Copies what `commit` needs beyond the base branch into a cell. Blocking.
    pub(super) fn supply(&self, cell: &Cell, commit: &Sha, scratch: &Path) -> Result<()> {
        let paths = &self.inner.paths;
        let (control, base) = (
            Objects::open(&paths.control())?,
            Objects::open(&paths.base())?,
        );
        let packs = scratch.join("packs");
        pack_beyond_base(&control, &base, commit, &packs)?;
        cell.adopt_packs(&packs)
    }

    async fn fill(&self, folder: &Path, index: &Path, content: &Content) -> Result<()> {
        let (git, control) = (&self.inner.git, self.inner.paths.control());
        let call = git
            .on(&control, "read-tree")
            .args(["--reset", "-u"])
            .arg(content.files.as_str());
        call.over(folder, index).stdout().await?;
        if content.index == content.files {
            return Ok(());
        }
        files::remove_tree(index)?;
        self.index_of(&content.index, index).await?;
        // Exit status 1 means that files differ from the index, which is the point here.
        git.on(&control, "update-index")
            .args(["-q", "--refresh"])
            .over(folder, index)
            .run()
            .await?;
        Ok(())
    }

    /// Writes the index of a commit, as if nothing were known about any work tree.
    pub(super) async fn index_of(&self, commit: &Sha, index: &Path) -> Result<()> {
        let call = self.inner.git.on(&self.inner.paths.control(), "read-tree");
        call.arg(commit.as_str())
            .index(index)
            .stdout()
            .await
            .map(drop)
    }

    /// Removes a worktree's folder and its cell.
    pub(super) async fn remove_linked(&self, linked: &Linked) -> Result<()> {
        let (linked, tmp) = (linked.clone(), self.inner.paths.tmp());
        blocking(move || {
            let scratch = tempfile::tempdir_in(&tmp).while_doing(|| on("write in", &tmp))?;
            set_aside(linked.path(), &scratch.path().join("old"))?;
            set_aside(linked.cell.git_dir(), &scratch.path().join("old.git"))?;
            files::remove_tree(scratch.path())
        })
        .await
    }
}

/// Moves what is at `path` to `aside`, so that it goes in one step however large it is.
fn set_aside(path: &Path, aside: &Path) -> Result<()> {
    if files::exists(path) {
        fs::rename(path, aside).while_doing(|| on("move away", path))?;
    }
    Ok(())
}
