//! Whose state an event is about.

use serde::{Deserialize, Serialize};

use crate::domain::head::HeadId;
use crate::domain::id::{RepoName, StoryId};

/// Whose event it is, and whose state it may change.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind", content = "id")]
pub enum SubjectId {
    Story(StoryId),
    Repo(RepoName),
    Head(HeadId),
    /// The server's ledger.
    Account,
}

impl SubjectId {
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Story(_) => "story",
            Self::Repo(_) => "repo",
            Self::Head(_) => "head",
            Self::Account => "account",
        }
    }
}

/// `octo/app#42`, `octo/app`, `octo/app@<sha>`, `ledger`: unique over all kinds.
impl std::fmt::Display for SubjectId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Story(story) => story.fmt(f),
            Self::Repo(repo) => repo.fmt(f),
            Self::Head(head) => write!(f, "{}@{}", head.repo, head.sha),
            Self::Account => f.write_str("ledger"),
        }
    }
}
