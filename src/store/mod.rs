//! Where everything is kept. A delivery is received into the inbox first, whatever else goes on;
//! then one [`Commit`] is one transaction: that it was taken, events, subjects and effects together,
//! or nothing.
//!
//! The engine is the only writer of subjects; executors read what is pending. Not for: decisions,
//! and not for the built-in forge's own tables, which only share the file.

#[cfg(test)]
mod contract;
pub mod retention;
mod sqlite;

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::domain::effect::{Act, EffectId, Run, Surface};
use crate::domain::event::{Event, SubjectId};
use crate::domain::id::{DeliveryId, RepoName, RunId, StoryId};
use crate::domain::transition::Subject;
use crate::domain::work::ProcessIdentity;

pub use sqlite::SqliteStore;

/// What can go wrong with the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Somebody else wrote the subject meanwhile; nothing of the commit took effect.
    #[error("{subject} was written by somebody else meanwhile (expected version {expected})")]
    VersionConflict { subject: String, expected: u64 },
    /// The inbox does not hold this delivery any more, or never did; nothing of the commit took
    /// effect.
    #[error("the delivery {id} was taken already")]
    TakenAlready { id: DeliveryId },
    /// The database cannot be opened, read or written.
    #[error("the store at {path} cannot be used: {source}{}", sqlite::advice(.source))]
    Database { path: String, source: sqlx::Error },
    /// What is stored cannot be understood.
    #[error("{what} in the store cannot be read: {source}")]
    Corrupt {
        what: String,
        source: serde_json::Error,
    },
    /// SQLite finds fault with the file.
    #[error(
        "the store at {path} is damaged ({complaint}): restore a backup, or move it away to begin with an empty one"
    )]
    Damaged { path: String, complaint: String },
    /// A newer huskies wrote this store.
    #[error(
        "the store at {path} was written by a newer huskies: install that version, or restore a backup"
    )]
    Newer { path: String },
}

/// All that one transaction writes, in this order of fields, and each field from its first entry to
/// its last: a subject may be written several times, a timer may be armed again by the very event
/// that it fired.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Commit {
    /// Deliveries whose events this commit holds. Each can be taken once: one that is not pending
    /// refuses the whole commit with [`StoreError::TakenAlready`].
    pub taken: Vec<DeliveryId>,
    pub events: Vec<EventRecord>,
    pub subjects: Vec<SubjectWrite>,
    pub acts: Vec<PendingAct>,
    /// Acts that are over, for whatever reason. Finishing one again changes nothing.
    pub finished_acts: Vec<EffectId>,
    pub runs: Vec<RunWrite>,
    pub surfaces: Vec<SurfaceWrite>,
    /// Timers that fired, by subject, name and the time they were armed for: one that was armed for
    /// another time meanwhile stays.
    pub fired: Vec<(SubjectId, String, Timestamp)>,
    pub timers: Vec<TimerWrite>,
}

/// An accepted delivery, stored before it is answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NewDelivery {
    pub id: DeliveryId,
    pub received_at: Timestamp,
    /// The forge's name for the event, for people.
    pub event: String,
    /// What follows from it; `None` for deliveries that huskies has no use for.
    pub content: Option<Event>,
    pub reason: Option<String>,
}

/// One line of a subject's log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EventRecord {
    pub subject: SubjectId,
    /// The subject's version after the event; unchanged where the event was refused.
    pub version: u64,
    pub at: Timestamp,
    pub event: Event,
    /// Why it changed nothing.
    pub refusal: Option<String>,
}

/// A subject's new state, conditional on the version it was computed from.
#[derive(Debug, Clone, PartialEq)]
pub struct SubjectWrite {
    pub id: SubjectId,
    /// 0 for a subject that is not stored yet.
    pub expected: u64,
    pub version: u64,
    pub state: Subject,
}

/// An act that was decided and is not known to be done.
#[derive(Debug, Clone, PartialEq)]
pub struct PendingAct {
    pub id: EffectId,
    pub subject: SubjectId,
    pub act: Act,
}

/// A supervised run's record.
#[derive(Debug, Clone, PartialEq)]
pub struct RunRecord {
    pub id: RunId,
    pub subject: SubjectId,
    pub run: Run,
    pub state: RunState,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum RunState {
    /// Decided; whether its process was started is to be found out in its folder.
    Requested,
    Started {
        process: ProcessIdentity,
    },
    Ended,
}

/// A change of a run's record. What does not fit any more changes nothing: a run that has ended
/// stays ended, and one that was never requested does not come to be.
#[derive(Debug, Clone, PartialEq)]
pub enum RunWrite {
    /// Inserted as requested; an id that is there already stays as it is.
    Requested {
        id: RunId,
        subject: SubjectId,
        run: Run,
    },
    Started {
        id: RunId,
        process: ProcessIdentity,
    },
    /// A stop is wanted; kept so that it survives a restart.
    StopWanted {
        id: RunId,
    },
    Ended {
        id: RunId,
    },
}

/// A surface's new desired state. The version counts up by one with each.
#[derive(Debug, Clone, PartialEq)]
pub struct SurfaceWrite {
    pub subject: SubjectId,
    pub surface: Surface,
}

/// A surface as it should be, and what of it is on the forge.
#[derive(Debug, Clone, PartialEq)]
pub struct PendingSurface {
    pub subject: SubjectId,
    pub surface: Surface,
    pub version: u64,
    /// Where it was written before, as the forge names it, and a digest of what was written.
    pub written: Option<Written>,
}

/// By default nobody knows what is there.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Written {
    /// The forge's id of a comment; empty where the surface needs none.
    pub handle: String,
    pub digest: String,
}

#[derive(Debug, Clone, PartialEq)]
pub struct TimerWrite {
    pub subject: SubjectId,
    pub name: String,
    pub at: Timestamp,
    pub event: Event,
}

/// What a story list asks for.
#[derive(Debug, Clone, Default)]
pub struct StoryFilter {
    pub repo: Option<RepoName>,
}

/// The store's face. Everything that is awaited is durable when it returns.
#[async_trait]
pub trait Store: Send + Sync {
    /// Applies `commit` in one transaction.
    async fn commit(&self, commit: Commit) -> Result<(), StoreError>;

    /// A subject and its version; `None` before its first event.
    async fn subject(&self, id: &SubjectId) -> Result<Option<(Subject, u64)>, StoreError>;
    /// Stories by repository, then by issue number.
    async fn stories(&self, filter: &StoryFilter) -> Result<Vec<Subject>, StoreError>;
    /// The log of a subject, oldest first, after the `after`-th line. Lines count from 1 in each
    /// subject's log and keep their numbers.
    async fn events(
        &self,
        id: &SubjectId,
        after: u64,
    ) -> Result<Vec<(u64, EventRecord)>, StoreError>;

    /// Puts deliveries into the inbox, all in one transaction. `false` for one whose id is there
    /// already, or twice among these: of it nothing changes.
    async fn receive(&self, deliveries: &[NewDelivery]) -> Result<Vec<bool>, StoreError>;
    async fn has_delivery(&self, id: &DeliveryId) -> Result<bool, StoreError>;
    /// Deliveries whose events were not taken yet, at most `limit`, in the order of their arrival.
    /// One that cannot be read any more comes without content, and with the reason.
    async fn pending_deliveries(&self, limit: u32) -> Result<Vec<NewDelivery>, StoreError>;
    /// How many there are of them in all.
    async fn inbox_depth(&self) -> Result<u64, StoreError>;
    /// Acts that are not finished, oldest first.
    async fn pending_acts(&self) -> Result<Vec<PendingAct>, StoreError>;
    /// Runs that have not ended, oldest first; `true` with a run for which a stop is wanted.
    async fn open_runs(&self) -> Result<Vec<(RunRecord, bool)>, StoreError>;
    async fn run(&self, id: &RunId) -> Result<Option<RunRecord>, StoreError>;
    /// The runs of a story, oldest first, for people who look for its logs.
    async fn runs_of(&self, story: &StoryId) -> Result<Vec<RunRecord>, StoreError>;
    /// Surfaces whose newest version is not written, in the order in which they first appeared.
    async fn pending_surfaces(&self) -> Result<Vec<PendingSurface>, StoreError>;
    async fn surface(
        &self,
        subject: &SubjectId,
        key: &str,
    ) -> Result<Option<PendingSurface>, StoreError>;
    /// Records that `version` of a surface is on the forge. A version older than one that was
    /// recorded before changes nothing.
    async fn surface_written(
        &self,
        subject: &SubjectId,
        key: &str,
        version: u64,
        written: &Written,
    ) -> Result<(), StoreError>;
    /// Adds to the requests that were made to the forge for a subject.
    async fn add_calls(&self, subject: &SubjectId, calls: u64) -> Result<(), StoreError>;
    /// How many requests to the forge there were for a subject.
    async fn calls(&self, subject: &SubjectId) -> Result<u64, StoreError>;
    /// Armed timers, the next one first.
    async fn timers(&self) -> Result<Vec<TimerWrite>, StoreError>;
}
