//! The real store, with points at which the server may die before and after each write, and a disk
//! that refuses writes now and then.
//!
//! SQLite works on threads of its own. To the simulation a call takes no time: whoever asks stands
//! still until the answer is there, so that threads cannot change what happens in which order.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use huskies::domain::effect::{Act, CommitCheck, CommitStatus};
use huskies::domain::event::SubjectId;
use huskies::domain::id::{DeliveryId, RunId, Sha, StoryId};
use huskies::domain::transition::Subject;
use huskies::store::{
    Commit, EventRecord, NewDelivery, PendingAct, PendingSurface, RunRecord, SqliteStore, Store,
    StoreError, StoryFilter, TimerWrite, Written,
};
use tokio::runtime::{Builder, Runtime};

use super::check::{check_commit, note_statuses};
use super::watch::check_runs;
use super::world::Link;

/// Where the store's own asynchronous work is done.
pub(super) struct Host(Runtime);

impl Host {
    pub(super) fn new() -> Self {
        let mut runtime = Builder::new_multi_thread();
        let runtime = runtime.worker_threads(1).enable_all().build();
        Self(runtime.unwrap())
    }

    pub(super) fn wait_for<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> T {
        futures::executor::block_on(self.0.spawn(work)).unwrap()
    }

    pub(super) fn open(&self, path: &Path) -> SqliteStore {
        let path = path.to_owned();
        self.wait_for(async move { SqliteStore::open(&path).await.unwrap() })
    }
}

/// What was written, as far as the end is held against it.
#[derive(Debug, Default)]
pub(super) struct Writing {
    pub(super) announcements: Vec<PendingAct>,
    pub(super) commits: usize,
    /// What was last wanted of each status, by commit and context.
    pub(super) statuses: BTreeMap<(Sha, String), CommitStatus>,
    /// What was last wanted of each check run, by its id.
    pub(super) checks: BTreeMap<String, CommitCheck>,
}

pub(super) struct SimulatedStore {
    pub(super) host: Arc<Host>,
    pub(super) inner: SqliteStore,
    pub(super) link: Link,
    pub(super) written: Arc<Mutex<Writing>>,
}

impl SimulatedStore {
    fn ask<T, F>(&self, question: impl FnOnce(SqliteStore) -> F) -> T
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        self.host.wait_for(question(self.inner.clone()))
    }

    /// Whether the disk takes this write.
    fn refused(&self, what: &str) -> Option<StoreError> {
        let now = self.link.now();
        let mut world = self.link.lock();
        if world.refused_writes == 0 {
            return None;
        }
        world.refused_writes -= 1;
        world.note(now, &format!("the disk refuses {what}"));
        Some(StoreError::Database {
            path: "the simulation".to_owned(),
            source: sqlx::Error::Io(io::ErrorKind::StorageFull.into()),
        })
    }

    fn note(&self, commit: &Commit) {
        let now = self.link.now();
        let mut world = self.link.lock();
        for record in &commit.events {
            let refusal = record.refusal.as_ref();
            let refusal = refusal.map_or(String::new(), |refusal| format!(" ({refusal})"));
            let (subject, name) = (&record.subject, record.event.name());
            world.note(now, &format!("{subject} {name}{refusal}"));
        }
        check_commit(commit, &mut world);
        check_runs(commit, now, &mut world);
        drop(world);
        let mut written = self.written.lock().unwrap();
        written.commits += 1;
        note_statuses(commit, &mut written);
        let announced = |act: &&PendingAct| {
            matches!(
                act.act,
                Act::Announce { .. } | Act::Reply { .. } | Act::Answer { .. }
            )
        };
        let announced = commit.acts.iter().filter(announced).cloned();
        written.announcements.extend(announced);
    }
}

type Result<T> = std::result::Result<T, StoreError>;

#[async_trait]
impl Store for SimulatedStore {
    async fn commit(&self, commit: Commit) -> Result<()> {
        self.link.reach("before a commit").await;
        if let Some(error) = self.refused("a commit") {
            return Err(error);
        }
        let kept = commit.clone();
        self.ask(|store| async move { store.commit(commit).await })?;
        self.note(&kept);
        self.link.reach("after a commit").await;
        Ok(())
    }

    async fn subject(&self, id: &SubjectId) -> Result<Option<(Subject, u64)>> {
        let id = id.clone();
        self.ask(|store| async move { store.subject(&id).await })
    }

    async fn stories(&self, filter: &StoryFilter) -> Result<Vec<Subject>> {
        let filter = filter.clone();
        self.ask(|store| async move { store.stories(&filter).await })
    }

    async fn events(&self, id: &SubjectId, after: u64) -> Result<Vec<(u64, EventRecord)>> {
        let id = id.clone();
        self.ask(|store| async move { store.events(&id, after).await })
    }

    async fn has_delivery(&self, id: &DeliveryId) -> Result<bool> {
        let id = id.clone();
        self.ask(|store| async move { store.has_delivery(&id).await })
    }

    async fn receive(&self, deliveries: &[NewDelivery]) -> Result<Vec<bool>> {
        self.link.reach("before deliveries are received").await;
        if let Some(error) = self.refused("deliveries") {
            return Err(error);
        }
        let deliveries = deliveries.to_vec();
        let new = self.ask(|store| async move { store.receive(&deliveries).await })?;
        self.link.reach("after deliveries are received").await;
        Ok(new)
    }

    async fn pending_deliveries(&self, limit: u32) -> Result<Vec<NewDelivery>> {
        self.ask(|store| async move { store.pending_deliveries(limit).await })
    }

    async fn inbox_depth(&self) -> Result<u64> {
        self.ask(|store| async move { store.inbox_depth().await })
    }

    async fn pending_acts(&self) -> Result<Vec<PendingAct>> {
        self.ask(|store| async move { store.pending_acts().await })
    }

    async fn open_runs(&self) -> Result<Vec<(RunRecord, bool)>> {
        self.ask(|store| async move { store.open_runs().await })
    }

    async fn run(&self, id: &RunId) -> Result<Option<RunRecord>> {
        let id = id.clone();
        self.ask(|store| async move { store.run(&id).await })
    }

    async fn runs_of(&self, story: &StoryId) -> Result<Vec<RunRecord>> {
        let story = story.clone();
        self.ask(|store| async move { store.runs_of(&story).await })
    }

    async fn pending_surfaces(&self) -> Result<Vec<PendingSurface>> {
        self.ask(|store| async move { store.pending_surfaces().await })
    }

    async fn surface(&self, subject: &SubjectId, key: &str) -> Result<Option<PendingSurface>> {
        let (subject, key) = (subject.clone(), key.to_owned());
        self.ask(|store| async move { store.surface(&subject, &key).await })
    }

    async fn surface_written(
        &self,
        subject: &SubjectId,
        key: &str,
        version: u64,
        written: &Written,
    ) -> Result<()> {
        self.link.reach("before a surface is noted").await;
        if let Some(error) = self.refused("a note") {
            return Err(error);
        }
        let (subject, key, written) = (subject.clone(), key.to_owned(), written.clone());
        self.ask(|store| async move {
            store
                .surface_written(&subject, &key, version, &written)
                .await
        })?;
        self.link.reach("after a surface is noted").await;
        Ok(())
    }

    async fn add_calls(&self, subject: &SubjectId, calls: u64) -> Result<()> {
        let subject = subject.clone();
        self.ask(|store| async move { store.add_calls(&subject, calls).await })
    }

    async fn calls(&self, subject: &SubjectId) -> Result<u64> {
        let subject = subject.clone();
        self.ask(|store| async move { store.calls(&subject).await })
    }

    async fn timers(&self) -> Result<Vec<TimerWrite>> {
        self.ask(|store| async move { store.timers().await })
    }
}
