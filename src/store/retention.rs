//! What the store can give up when it is old, beside the living side in [`super::Store`].
//!
//! Everything goes in small steps, each a short transaction of its own, so that the engine never
//! waits long for one. The room is used again inside the file. Not for: how old is too old.

use std::ops::Range;

use async_trait::async_trait;
use jiff::Timestamp;

use super::StoreError;
use crate::domain::event::SubjectId;
use crate::domain::id::RunId;
use crate::domain::story::Story;

/// How many rows one step touches at most.
pub(super) const STEP: u32 = 500;
/// How many lines of a log stay, however old they are: the end of the account.
pub const LAST_LINES: u32 = 20;

/// Whether to remove or only to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    DryRun,
    Remove,
}

/// What was removed, or would be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Freed {
    pub rows: u64,
    /// Of text, roughly.
    pub bytes: u64,
}

/// A story and when something last happened to it.
#[derive(Debug, Clone)]
pub struct LastSeen {
    pub story: Story,
    pub at: Timestamp,
}

/// A run that has ended, and whose it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndedRun {
    pub id: RunId,
    pub subject: SubjectId,
}

/// A store's side of retention.
#[async_trait]
pub trait Retention: Send + Sync {
    /// Every story that has a log, with the time of its newest line.
    async fn last_seen(&self) -> Result<Vec<LastSeen>, StoreError>;
    /// Runs that have ended, oldest first.
    async fn ended_runs(&self) -> Result<Vec<EndedRun>, StoreError>;
    /// Forgets runs that have ended; one that has not stays.
    async fn forget_runs(&self, runs: &[RunId]) -> Result<(), StoreError>;
    /// What deliveries said that were taken between these times. Their ids stay, so that a
    /// repetition is recognised.
    async fn drop_delivery_bodies(
        &self,
        between: Range<Timestamp>,
        mode: Mode,
    ) -> Result<Freed, StoreError>;
    /// Whole deliveries from before `before` that were taken, or that nobody had a use for.
    async fn drop_deliveries(&self, before: Timestamp, mode: Mode) -> Result<Freed, StoreError>;
    /// Lines of a subject's log from before `before`, except the last [`LAST_LINES`].
    async fn drop_events(
        &self,
        subject: &SubjectId,
        before: Timestamp,
        mode: Mode,
    ) -> Result<Freed, StoreError>;
    /// The subjects that are no stories: repositories, commits, the ledger.
    async fn other_subjects(&self) -> Result<Vec<SubjectId>, StoreError>;
}
