//! Linked worktrees of `work.git`, built and mended by huskies itself.
//!
//! `git worktree add` would run git on `work.git` and so read settings that agents can write.
//! The files that link a worktree to its repository are few and documented
//! (gitrepository-layout(5), "worktrees/"): they are written here, and the work tree is filled by
//! `control.git` over a private index that then becomes the worktree's own. Everything is built
//! aside and renamed into place last, so a folder that is there was complete once.
//!
//! Not for: what a worktree is for (`worktree`, `checkout`).

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::error::{While, on};
use super::foreign::{Head, read_head};
use super::repository::blocking;
use super::{Repository, Result, files};
use crate::domain::id::Sha;

/// An admin file is a line or two; anything longer was not written by git.
const ADMIN_FILE_LIMIT: u64 = 64 * 1024;

/// One worktree: its name in `work.git` and its folder.
#[derive(Debug, Clone)]
pub(super) struct Linked {
    work_git: PathBuf,
    name: String,
    path: PathBuf,
}

/// What a new worktree holds.
pub(super) struct Content {
    /// The commit whose files are written.
    pub(super) files: Sha,
    /// The commit that the index is at; where it differs from `files`, the difference is an
    /// uncommitted change.
    pub(super) index: Sha,
    pub(super) head: Head,
    /// `core.hooksPath` of this worktree alone.
    pub(super) hooks: Option<PathBuf>,
}

impl Linked {
    pub(super) fn new(work_git: PathBuf, name: String, path: PathBuf) -> Self {
        Self {
            work_git,
            name,
            path,
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// `work.git/worktrees/<name>`: HEAD, index and settings of this worktree.
    pub(super) fn admin(&self) -> PathBuf {
        self.work_git.join("worktrees").join(&self.name)
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
    fn ties(&self, folder: &Path) -> [(PathBuf, Vec<u8>); 3] {
        let line = |prefix: &str, path: &Path| {
            [
                prefix.as_bytes(),
                path.as_os_str().as_encoded_bytes(),
                b"\n",
            ]
            .concat()
        };
        let admin = self.admin();
        [
            (folder.join(".git"), line("gitdir: ", &admin)),
            (admin.join("commondir"), b"../..\n".to_vec()),
            (admin.join("gitdir"), line("", &self.path.join(".git"))),
        ]
    }

    /// Writes the admin folder anew. `index` is moved into it.
    fn register(&self, folder: &Path, content: &Content, index: &Path) -> Result<()> {
        let admin = self.admin();
        files::remove_tree(&admin)?;
        fs::create_dir_all(&admin).while_doing(|| on("create", &admin))?;
        for (path, text) in self.ties(folder) {
            files::remove_tree(&path)?;
            files::replace(&path, &text)?;
        }
        self.write_head(&content.head)?;
        self.adopt_index(index)?;
        self.configure(content.hooks.as_deref())
    }

    fn write_head(&self, head: &Head) -> Result<()> {
        let text = match head {
            Head::On(name) => format!("ref: {name}\n"),
            Head::Detached(sha) => format!("{sha}\n"),
        };
        let path = self.admin().join("HEAD");
        files::remove_tree(&path.with_extension("lock"))?;
        files::replace(&path, text.as_bytes())
    }

    pub(super) fn adopt_index(&self, index: &Path) -> Result<()> {
        let path = self.admin().join("index");
        fs::rename(index, &path).while_doing(|| on("write", &path))
    }

    /// Sets this worktree's own settings: not bare (whatever the shared file says by now), and its
    /// hooks. Other settings in the file stay.
    pub(super) fn configure(&self, hooks: Option<&Path>) -> Result<()> {
        let file = self.admin().join("config.worktree");
        let doing = || on("write", &file);
        let readable = files::read_regular(&file, ADMIN_FILE_LIMIT)?.is_some()
            && git2::Config::open(&file)
                .and_then(|mut config| config.snapshot())
                .is_ok();
        if !readable {
            files::replace(&file, b"")?;
        }
        let mut config = git2::Config::open(&file).while_doing(doing)?;
        config.set_bool("core.bare", false).while_doing(doing)?;
        match hooks {
            Some(hooks) => config
                .set_str("core.hooksPath", &hooks.to_string_lossy())
                .while_doing(doing),
            None => Ok(()),
        }
    }

    /// Puts right what a crash, or an agent, left wrong about the ties, and leaves the work alone.
    /// Says whether the index is there.
    pub(super) fn mend(&self, branch: &str) -> Result<bool> {
        let admin = self.admin();
        files::ensure_real_folder(&admin)?;
        for (path, text) in self.ties(&self.path) {
            if files::read_regular(&path, ADMIN_FILE_LIMIT)?.as_ref() != Some(&text) {
                files::remove_tree(&path)?;
                files::replace(&path, &text)?;
            }
        }
        if self.head()?.is_none() {
            files::remove_tree(&admin.join("HEAD"))?;
            self.write_head(&Head::On(branch.to_owned()))?;
        }
        // Nobody works in here now: a lock is what a killed git left behind.
        for lock in ["index.lock", "HEAD.lock", "config.worktree.lock"] {
            files::remove_tree(&admin.join(lock))?;
        }
        self.configure(None)?;
        Ok(fs::symlink_metadata(admin.join("index")).is_ok_and(|metadata| metadata.is_file()))
    }
}

impl Repository {
    /// Builds a worktree aside and puts it in place of whatever is there.
    pub(super) async fn build_linked(&self, linked: &Linked, content: Content) -> Result<()> {
        let tmp = self.inner.paths.tmp();
        let scratch = tempfile::tempdir_in(&tmp).while_doing(|| on("write in", &tmp))?;
        let (folder, index) = (scratch.path().join("tree"), scratch.path().join("index"));
        fs::create_dir(&folder).while_doing(|| on("create", &folder))?;
        self.fill(&folder, &index, &content).await?;
        let linked = linked.clone();
        blocking(move || {
            let open = fs::Permissions::from_mode(0o755);
            fs::set_permissions(&folder, open).while_doing(|| on("open", &folder))?;
            linked.register(&folder, &content, &index)?;
            set_aside(linked.path(), scratch.path())?;
            fs::rename(&folder, linked.path()).while_doing(|| on("create", linked.path()))?;
            files::remove_tree(scratch.path())
        })
        .await
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

    /// Removes a worktree's folder and its admin folder. The branch stays.
    pub(super) async fn remove_linked(&self, linked: &Linked) -> Result<()> {
        let (linked, tmp) = (linked.clone(), self.inner.paths.tmp());
        blocking(move || {
            let scratch = tempfile::tempdir_in(&tmp).while_doing(|| on("write in", &tmp))?;
            set_aside(linked.path(), scratch.path())?;
            files::remove_tree(&linked.admin())?;
            files::remove_tree(scratch.path())
        })
        .await
    }
}

/// Moves what is at `path` into `scratch`, so that it goes in one step however large it is.
fn set_aside(path: &Path, scratch: &Path) -> Result<()> {
    if files::exists(path) {
        fs::rename(path, scratch.join("old")).while_doing(|| on("move away", path))?;
    }
    Ok(())
}
