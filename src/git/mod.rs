//! Git, hermetically: everything huskies does with repositories.
//!
//! Per project (`design.md`, decision 3, with `work.git` cut into cells):
//!
//! ```text
//!   remote or clone ──fetch──▶ base.git          the base branch's objects, nothing else
//!          ▲                    ▲     ▲
//!          │              borrows     borrows
//!        push/land              │     │
//!          │                    │     │
//!      control.git ─────────────┘     └─── cells/<name>.git   one per story and per checkout slot
//!      the server's own  ◀── named commits, every object checked ──  │
//!                        ── a pack of the story's own commits ──▶    │ HEAD, index, settings of
//!                                                                    ▼
//!                                          worktrees/<name>, checkouts/<slot>
//! ```
//!
//! `control.git` fetches, merges, lands and keeps; agents never reach it. A worktree hangs off its
//! cell, and all that a process in it needs besides is the objects of `base.git` ([`Reach`]): it can
//! neither see nor move what another story has. The rule that makes the rest safe: **no git process
//! of the server ever opens a cell or a person's clone.** What is needed from them is read as plain
//! data (refs, object files) through a throw-away repository of ours (`foreign`), and their work
//! trees are read and written with `--git-dir=control.git --work-tree=…` and a private index. So
//! their hooks, filters, merge drivers, aliases, settings and borrowed objects have nobody to take
//! them up. What the server writes into a cell are single files (`cell`), put in place by renaming.
//!
//! Refs of `control.git`, all private:
//!
//! | ref | is |
//! |---|---|
//! | `refs/huskies/remote/<branch>` | where the remote's (or the clone's) branch was when last seen |
//! | `refs/huskies/story/<number>/head` | the story branch's last known tip |
//! | `refs/huskies/story/<number>/open` | there while an attempt may be at work; between attempts nobody moves the story's branch |
//! | `refs/huskies/wip/<number>/<attempt>` | what an attempt left, committed or not |
//! | `refs/huskies/stray/<number>/<commit>` | other branches, tags and stashes of a cell, and what somebody moved the branch to |
//! | `refs/huskies/seen/<branch>` | what a story branch was found at when somebody else had moved it |
//! | `refs/huskies/candidate/<short>` | a squash commit that is being tested or has landed |
//! | `refs/huskies/head/<commit>` | the head of a person's pull request, to be gated |
//! | `refs/huskies/backup/<commit>` | a commit that a restored backup remembers |
//! | `refs/huskies/former/…` | what an older huskies had in its `work.git` |
//!
//! Those of `base.git`: `refs/huskies/remote/<branch>`, `refs/huskies/past/<commit>` for tips that a
//! forced push left behind, `refs/huskies/seen/<branch>` on the way in.
//!
//! The command line does what changes things or needs the network (`command` is the one place
//! that runs it); libgit2 reads repositories of ours and clones, and moves single refs of ours.
//!
//! Not for: deciding anything about stories, running gates, the hook's contents, the forge's API.

mod base;
mod bundle;
mod candidate;
mod cell;
mod checkout;
mod clone;
mod collect;
mod command;
mod create;
mod error;
mod files;
mod foreign;
mod former;
mod index;
mod keeping;
mod land;
mod linked;
mod objects;
mod paths;
mod reach;
mod remote;
mod repository;
mod settings;
mod snapshot;
mod source;
mod strays;
mod supply;
mod switch;
mod worktree;

#[cfg(test)]
mod tests;

pub use bundle::{bundle, unbundle};
pub use candidate::{Built, CandidateSpec};
pub use collect::{CollectSpec, Retirement};
pub use command::{Git, GitSettings};
pub use error::GitError;
pub use keeping::{IdleCheckout, KeptWork, OldCandidate, OldHead};
pub use land::{Landing, Pushed};
pub use paths::RepoPaths;
pub use reach::Reach;
pub use remote::Auth;
pub use repository::{BaseTip, Identity, Repository};
pub use source::Source;
pub use strays::Stray;
pub use worktree::{Worktree, WorktreeSpec};

type Result<T> = std::result::Result<T, GitError>;
