//! What can go wrong with a repository, told apart by what the caller can do about it.

use std::path::Path;
use std::time::Duration;

/// A failed git operation. No variant ever holds a token or a URL with credentials.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// A git command ended with a status that means neither success nor a known answer.
    #[error("git {what} failed ({}): {stderr}", status.map_or("killed".to_owned(), |status| format!("exit status {status}")))]
    Command {
        what: String,
        status: Option<i32>,
        stderr: String,
    },
    /// Something that was asked for is not there: a branch, a commit, the git program.
    #[error("{what} was not found")]
    NotFound { what: String },
    /// A git command ran longer than its time limit and was killed with its children.
    #[error("git {what} took longer than {} s and was stopped", after.as_secs())]
    TimedOut { what: String, after: Duration },
    /// The remote cannot be reached or broke off; the same call may succeed later.
    #[error("the git remote cannot be reached: {message}; huskies tries again")]
    Unavailable { message: String },
    /// The remote wants other credentials or more rights; trying again changes nothing.
    #[error("the git remote refuses access: {message}; check the token or key and its permissions")]
    Refused { message: String },
    /// A setting or a repository is not what huskies can work with; the message says what to do.
    #[error("{message}")]
    Misconfigured { message: String },
    /// A story's own repository is not what git can read; its work tree is kept all the same.
    #[error("{message}")]
    Damaged { message: String },
    /// The file system said no.
    #[error("cannot {what}: {source}")]
    Io {
        what: String,
        source: std::io::Error,
    },
    /// libgit2 said no.
    #[error("cannot {what}: {}", reason(source))]
    Library { what: String, source: git2::Error },
}

/// libgit2 says "no error" where a write fails without its having a text for it (seen with EFBIG).
fn reason(source: &git2::Error) -> &str {
    match source.message() {
        "no error" => "libgit2 gives no reason; look whether the disk is full or fails",
        message => message,
    }
}

impl GitError {
    pub(super) fn misconfigured(message: impl Into<String>) -> Self {
        Self::Misconfigured {
            message: message.into(),
        }
    }
}

/// Says what was being done when a lower layer failed.
pub(super) trait While<T> {
    /// Completes "cannot …" with `what`.
    fn while_doing(self, what: impl FnOnce() -> String) -> Result<T, GitError>;
}

impl<T> While<T> for Result<T, std::io::Error> {
    fn while_doing(self, what: impl FnOnce() -> String) -> Result<T, GitError> {
        self.map_err(|source| GitError::Io {
            what: what(),
            source,
        })
    }
}

impl<T> While<T> for Result<T, git2::Error> {
    fn while_doing(self, what: impl FnOnce() -> String) -> Result<T, GitError> {
        self.map_err(|source| GitError::Library {
            what: what(),
            source,
        })
    }
}

/// Shorthand for the commonest context: an action on a path.
pub(super) fn on(action: &str, path: &Path) -> String {
    format!("{action} {}", path.display())
}
