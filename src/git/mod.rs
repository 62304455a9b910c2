//! Git, hermetically: everything huskies does with repositories.
//!
//! Two repositories per project (`design.md`, decision 3). `control.git` is the server's own: it
//! fetches, merges, lands and keeps. Agents' worktrees hang off `work.git`, which borrows
//! control's objects. The rule that makes this safe: **no git process of the server ever opens
//! `work.git` or a person's clone.** What is needed from them is read as plain data (refs, objects)
//! through a throw-away repository of ours (`foreign`), and their work trees are read and written
//! with `--git-dir=control.git --work-tree=…` and a private index. So their hooks, filters, merge
//! drivers, aliases and settings have nobody to run them.
//!
//! Refs of `control.git`, all private:
//!
//! | ref | is |
//! |---|---|
//! | `refs/huskies/remote/<branch>` | where the remote's (or the clone's) branch was when last seen |
//! | `refs/huskies/story/<number>/head` | the story branch's last known tip |
//! | `refs/huskies/wip/<number>/<attempt>` | what an attempt left, committed or not |
//! | `refs/huskies/seen/<branch>` | what a story branch was found at when somebody else had moved it |
//! | `refs/huskies/candidate/<short>` | a squash commit that is being tested or has landed |
//! | `refs/huskies/backup/<commit>` | a commit that a restored backup remembers |
//!
//! The command line does what changes things or needs the network (`command` is the one place
//! that runs it); libgit2 reads, and moves single refs.
//!
//! Not for: deciding anything about stories, running gates, the hook's contents, the forge's API.

mod bundle;
mod candidate;
mod checkout;
mod clone;
mod collect;
mod command;
mod create;
mod error;
mod files;
mod foreign;
mod index;
mod keeping;
mod land;
mod linked;
mod objects;
mod paths;
mod remote;
mod repository;
mod snapshot;
mod source;
mod switch;
mod worktree;

#[cfg(test)]
mod tests;

pub use bundle::{bundle, unbundle};
pub use candidate::{Built, CandidateSpec};
pub use collect::{CollectSpec, Retirement};
pub use command::{Git, GitSettings};
pub use error::GitError;
pub use keeping::{IdleCheckout, KeptWork, OldCandidate};
pub use land::{Landing, Pushed};
pub use paths::RepoPaths;
pub use remote::Auth;
pub use repository::{BaseTip, Identity, Repository};
pub use source::Source;
pub use worktree::{Worktree, WorktreeSpec};

type Result<T> = std::result::Result<T, GitError>;
