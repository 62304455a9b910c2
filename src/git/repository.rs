//! One project's repositories, as the rest of huskies sees them: opening, and everything that only
//! reads.

use std::path::Path;
use std::sync::Arc;

use super::cell::Blueprint;
use super::command::Git;
use super::foreign::{Import, Lender, Wanted};
use super::objects::{Objects, head_ref, sha, text_of_paths};
use super::source::{Source, Upstream};
use super::{GitError, RepoPaths, Result, clone, create};
use crate::domain::id::{BranchName, Sha};

/// Who huskies is in commits: the committer of what it lands, and the default author in agents'
/// worktrees.
#[derive(Debug, Clone)]
pub struct Identity {
    pub name: String,
    pub email: String,
}

/// Where the base branch is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseTip {
    pub branch: BranchName,
    pub sha: Sha,
}

/// The repositories of one project. Cheap to clone; all clones are the same project. Different
/// stories may be worked on at the same time; calls about one story's worktree, or one checkout
/// slot, must not overlap.
#[derive(Clone)]
pub struct Repository {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    pub(super) paths: RepoPaths,
    pub(super) git: Git,
    pub(super) upstream: Upstream,
    pub(super) identity: Identity,
    pub(super) blueprint: Blueprint,
    /// Held while what is known about the base branch changes.
    pub(super) basing: tokio::sync::Mutex<()>,
    /// Held while the base branch is moved: one landing at a time.
    pub(super) landing: tokio::sync::Mutex<()>,
}

impl Repository {
    /// Opens the project at `paths`, creating what is missing. May be repeated after a crash at
    /// any point, but `paths` may be open only once at a time.
    ///
    /// # Errors
    /// [`GitError::Misconfigured`] when `source` names no usable remote or clone.
    pub async fn open(
        paths: RepoPaths,
        source: Source,
        identity: Identity,
        git: Git,
    ) -> Result<Self> {
        let upstream = blocking(move || source.resolve()).await?;
        create::create(&git, &paths).await?;
        let repository = Self {
            inner: Arc::new(Inner {
                paths,
                git,
                upstream,
                blueprint: Blueprint::new(&identity),
                identity,
                basing: tokio::sync::Mutex::new(()),
                landing: tokio::sync::Mutex::new(()),
            }),
        };
        repository.take_over_former_work().await?;
        Ok(repository)
    }

    /// Fetches the base branch and says where it is. The branch is `configured`, else what the
    /// remote's (or the clone's) `HEAD` points to.
    ///
    /// # Errors
    /// [`GitError::NotFound`] when there is no such branch; [`GitError::Unavailable`] and
    /// [`GitError::Refused`] as the remote answers.
    pub async fn sync_base(&self, configured: Option<&BranchName>) -> Result<BaseTip> {
        let branch = match (configured, &self.inner.upstream) {
            (Some(branch), _) => branch.clone(),
            (None, Upstream::Remote(remote)) => remote.default_branch(&self.inner.git).await?,
            (None, Upstream::Clone(path)) => {
                let path = path.clone();
                blocking(move || clone::checked_out_branch(&path)).await?
            }
        };
        match self.fetch_base(&branch).await? {
            Some(sha) => Ok(BaseTip { branch, sha }),
            None => Err(GitError::NotFound {
                what: format!("the base branch `{branch}`"),
            }),
        }
    }

    /// Brings a branch of the remote or the clone into `control.git`'s ref `into` and says where it
    /// is. `None`: there is no such branch.
    pub(super) async fn fetch_branch(
        &self,
        branch: &BranchName,
        into: &str,
    ) -> Result<Option<Sha>> {
        let control = self.inner.paths.control();
        if self.fetch_into(&control, branch, into).await?.is_none() {
            return Ok(None);
        }
        let into = into.to_owned();
        self.read_objects(move |control| control.read(&into)).await
    }

    /// Brings a commit that is no story's into `control.git`. What is here already is not asked for.
    ///
    /// # Errors
    /// [`GitError::NotFound`] when the remote does not have it, or there is no remote;
    /// [`GitError::Unavailable`] and [`GitError::Refused`] as the remote answers.
    pub async fn fetch_head(&self, commit: &Sha) -> Result<()> {
        let into = head_ref(commit);
        let (wanted, name) = (commit.clone(), into.clone());
        let known = self.read_objects(move |control| {
            let is_there = control.read(&name)?.as_ref() == Some(&wanted);
            Ok(is_there && control.commit(&wanted).is_ok())
        });
        if known.await? {
            return Ok(());
        }
        let Inner { git, upstream, .. } = &*self.inner;
        let control = self.inner.paths.control();
        let found = match upstream {
            Upstream::Remote(remote) => remote.fetch_commit(git, &control, (commit, &into)).await?,
            Upstream::Clone(_) => false,
        };
        if found {
            return Ok(());
        }
        Err(GitError::NotFound {
            what: format!("the commit {commit} on the remote"),
        })
    }

    /// Brings a branch of the remote or the clone into a ref of a repository of ours.
    pub(super) async fn fetch_into(
        &self,
        receiver: &Path,
        branch: &BranchName,
        into: &str,
    ) -> Result<Option<()>> {
        let Inner { git, upstream, .. } = &*self.inner;
        let path = match upstream {
            Upstream::Remote(remote) => return remote.fetch(git, receiver, (branch, into)).await,
            Upstream::Clone(path) => path,
        };
        let (path, name) = (path.clone(), branch.clone());
        let Some((objects, tip)) = blocking(move || clone::tip(&path, &name)).await? else {
            return Ok(None);
        };
        let import = Import {
            git,
            lender: Lender::Clone { objects: &objects },
            receiver,
            tmp: &self.inner.paths.tmp(),
        };
        let wanted = Wanted {
            commit: &tip,
            into: Some(into),
        };
        import.fetch(&[wanted]).await.map(Some)
    }

    /// The content of a file as of `commit`; `None` when there is no regular file at `path`.
    pub async fn read_file(&self, commit: &Sha, path: &str) -> Result<Option<Vec<u8>>> {
        let (commit, path) = (commit.clone(), path.to_owned());
        self.read_objects(move |control| control.read_file(&commit, &path))
            .await
    }

    /// The paths that `commit` changed since it parted from `base`, sorted; a renamed file is there
    /// under both names.
    pub async fn changed_paths(&self, base: &Sha, commit: &Sha) -> Result<Vec<String>> {
        let (base, commit) = (base.clone(), commit.clone());
        self.read_objects(move |control| {
            control
                .changed_paths(&base, &commit)
                .map(|paths| text_of_paths(&paths))
        })
        .await
    }

    /// Whether `commit` is `tip` or an ancestor of it.
    ///
    /// # Errors
    /// [`GitError::NotFound`] when `tip` itself is not known; an unknown `commit` is not contained.
    pub async fn contains(&self, tip: &Sha, commit: &Sha) -> Result<bool> {
        let (tip, commit) = (tip.clone(), commit.clone());
        self.read_objects(move |control| control.contains(&tip, &commit))
            .await
    }

    /// The tree of a commit.
    pub async fn tree_of(&self, commit: &Sha) -> Result<Sha> {
        let commit = commit.clone();
        self.read_objects(move |control| control.tree(&commit).map(|tree| sha(tree.id())))
            .await
    }

    /// Asks `control.git` something, off the async workers.
    pub(super) async fn read_objects<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Objects) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let control = self.inner.paths.control();
        blocking(move || question(&Objects::open(&control)?)).await
    }
}

/// Runs what blocks on a thread made for it. A panic in there goes on here.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(GitError::misconfigured("the server is shutting down")),
        },
    }
}
