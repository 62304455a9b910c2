//! A backup: everything that a server needs to go on, in one file, made while it works.
//!
//! The file is a plain tar archive (POSIX.1-1988 ustar, so that any tar can look inside):
//!
//! | entry | is |
//! |---|---|
//! | `huskies-backup.json` | the [`Manifest`], first: what else there is, with sizes and SHA-256 |
//! | `huskies.db` | the store as of one moment |
//! | `repos/<owner>/<name>/control.bundle` | all refs of a control repository, read after that moment |
//! | `huskies.toml` | the server's configuration, which holds no secret; where one was named |
//!
//! What the store names cannot be missing: refs are read after it, and commits that it still needs
//! are in the bundle even where their branch moved on. Not in it: logs of runs, worktrees, secrets,
//! people's clones, what the forge has.

mod restore;
mod write;

use std::path::{Component, Path};

use serde::{Deserialize, Serialize};

pub use restore::{RestoreError, Restored, restore};
pub use write::{Source, Written, back_up};

/// The manifest's name in the archive.
const MANIFEST: &str = "huskies-backup.json";
const STORE: &str = "huskies.db";
const CONFIG: &str = "huskies.toml";
const BUNDLE: &str = "control.bundle";
/// Counts what a reader has to know. 1 is the first.
const FORMAT: u32 = 1;

/// What is in a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    pub format: u32,
    /// The version of huskies that wrote it.
    pub huskies: String,
    pub made_at: jiff::Timestamp,
    /// The version of the store's tables.
    pub schema: i64,
    pub entries: Vec<Entry>,
}

/// One file in the archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    pub path: String,
    pub bytes: u64,
    pub sha256: String,
}

impl Entry {
    /// A path of ours: relative, and it stays below where it begins.
    fn is_safe(&self) -> bool {
        let mut parts = Path::new(&self.path).components();
        !self.path.is_empty() && parts.all(|part| matches!(part, Component::Normal(_)))
    }
}
