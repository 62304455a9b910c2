//! Keeps the data folder within bounds: what is finished and old goes (`sweep`), and a disk that
//! is nearly full stops new starts (`disk`).
//!
//! It asks the store and the repositories what there is, removes what nobody can need, and tells
//! the engine of everything that is a subject's business. Not for: what is the only copy of
//! somebody's work, which has no age; deciding anything about stories.

mod disk;
mod folders;
mod sweep;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::config::server::{Retention, ServerConfig};
use crate::domain::id::RepoName;
use crate::engine::Handle;
use crate::git::Repository;
use crate::store::Store;
use crate::store::retention::Retention as RetentionStore;

pub use crate::store::retention::Mode;

/// What looking after the data folder takes.
pub struct Upkeep {
    data_dir: PathBuf,
    limits: Retention,
    store: Arc<dyn Store>,
    /// The same store's old rows.
    old: Arc<dyn RetentionStore>,
    repos: BTreeMap<RepoName, Repository>,
    engine: Handle,
    clock: Arc<dyn Clock>,
    /// One sweep at a time.
    busy: Mutex<()>,
}

/// What a sweep removed, or would remove.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Swept {
    pub dry_run: bool,
    pub removed: Vec<Removed>,
}

/// One kind of thing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Removed {
    pub what: Kind,
    pub count: u64,
    /// Room that is free afterwards. What was in the database is used again by it; what was in git
    /// counts nothing, and goes when somebody collects there.
    pub bytes: u64,
    /// Which ones, where they have names.
    pub names: Vec<String>,
}

/// What has a limit.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, strum::Display,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Kind {
    Runs,
    DeliveryBodies,
    DeliveryIds,
    Events,
    KeptWork,
    Candidates,
    Worktrees,
    Checkouts,
    OldStores,
}

impl Swept {
    fn add(&mut self, what: Kind, names: Vec<String>, bytes: u64) {
        let count = names.len() as u64;
        self.count(Removed {
            what,
            count,
            bytes,
            names,
        });
    }

    fn count(&mut self, removed: Removed) {
        if removed.count > 0 {
            self.removed.push(removed);
        }
    }

    /// All that it gives on the disk.
    pub fn bytes(&self) -> u64 {
        self.removed.iter().map(|removed| removed.bytes).sum()
    }
}

impl Upkeep {
    /// Looks after the data folder that `config` names, whose store is `store`.
    pub fn new<S>(
        config: &ServerConfig,
        store: S,
        repos: BTreeMap<RepoName, Repository>,
        engine: Handle,
        clock: Arc<dyn Clock>,
    ) -> Self
    where
        S: Store + RetentionStore + Clone + 'static,
    {
        Self {
            data_dir: config.data_dir.clone(),
            limits: config.retention.clone(),
            store: Arc::new(store.clone()),
            old: Arc::new(store),
            repos,
            engine,
            clock,
            busy: Mutex::default(),
        }
    }

    /// Watches the disk and sweeps at the configured interval, until cancelled.
    pub async fn run(self: Arc<Self>, shutdown: CancellationToken) {
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = self.watch_disk() => {}
            () = self.sweep_at_intervals() => {}
        }
    }

    /// The first one comes after an interval: a server that is restarted in a loop does not sweep in
    /// one. What fails is tried again at the next.
    async fn sweep_at_intervals(&self) {
        let Some(every) = self.limits.every else {
            return std::future::pending().await;
        };
        loop {
            tokio::time::sleep(every).await;
            match self.sweep(Mode::Remove).await {
                Ok(swept) => {
                    for removed in &swept.removed {
                        let (what, count, bytes) = (removed.what, removed.count, removed.bytes);
                        tracing::info!(%what, count, bytes, "removed what was old");
                    }
                }
                Err(error) => {
                    let error = format!("{error:#}");
                    tracing::error!(error, "old data could not be removed; trying again later");
                }
            }
        }
    }
}
