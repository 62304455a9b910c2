//! Where a project's commits come from and go to: its remote, or a person's clone without one.
//!
//! Not for: moving anything (`remote`, `clone`).

use std::path::{Path, PathBuf};

use super::error::While;
use super::remote::{Auth, Remote, RemoteUrl};
use super::{GitError, Result};

/// What `[[repo]]` says about a project.
#[derive(Debug, Clone, Default)]
pub struct Source {
    /// An existing clone (`path`). It is read as data; its branches move only when it has no remote.
    pub clone: Option<PathBuf>,
    /// The remote (`clone_url`). `None`: the clone's `origin`, if it has one.
    pub remote: Option<String>,
    /// For a remote over HTTPS; beats credentials in its address.
    pub auth: Option<Auth>,
}

/// Which of the two it is.
pub(super) enum Upstream {
    Remote(Remote),
    Clone(PathBuf),
}

impl Source {
    /// Finds out. Blocking: reads the clone's settings.
    pub(super) fn resolve(self) -> Result<Upstream> {
        let folder = self.clone.clone().unwrap_or_else(|| "/".into());
        let address = match (self.remote, &self.clone) {
            (Some(address), _) => Some(address),
            (None, Some(clone)) => origin_of(clone)?,
            (None, None) => None,
        };
        match (address, self.clone) {
            (Some(address), _) => {
                let (url, embedded) = RemoteUrl::parse(&address, &folder)?;
                Ok(Upstream::Remote(Remote::new(
                    url,
                    self.auth.or(embedded).as_ref(),
                )?))
            }
            (None, Some(clone)) => Ok(Upstream::Clone(clone)),
            (None, None) => Err(GitError::misconfigured(
                "a repository needs `path` or `clone_url`",
            )),
        }
    }
}

/// `remote.origin.url` of a clone, as data: nothing in the clone's settings takes effect.
fn origin_of(clone: &Path) -> Result<Option<String>> {
    let repository = open_clone(clone)?;
    let file = repository.commondir().join("config");
    let settings = git2::Config::open(&file).while_doing(|| format!("read {}", file.display()))?;
    match settings.get_string("remote.origin.url") {
        Ok(url) => Ok(Some(url)),
        Err(error) if error.code() == git2::ErrorCode::NotFound => Ok(None),
        Err(source) => Err(source).while_doing(|| format!("read {}", file.display())),
    }
}

/// Opens a person's clone with libgit2, which runs none of its hooks and filters.
pub(super) fn open_clone(path: &Path) -> Result<git2::Repository> {
    git2::Repository::open(path).map_err(|error| match error.code() {
        git2::ErrorCode::NotFound => GitError::NotFound {
            what: format!("a git repository at {}", path.display()),
        },
        git2::ErrorCode::Owner => GitError::misconfigured(format!(
            "{} belongs to another user; run huskies as its owner or set `clone_url`",
            path.display()
        )),
        _ => GitError::Library {
            what: format!("open {}", path.display()),
            source: error,
        },
    })
}
