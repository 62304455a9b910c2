//! The store in one SQLite file, for one machine.
//!
//! Write-ahead log with `synchronous = FULL`: a commit is on the disk when it returns. All writes
//! of a process go through one connection, so that they wait in line and not in SQLite's busy
//! handler, which sleeps; readers have connections of their own and never wait for a writer. Other
//! processes may use the same file at the same time.

mod checkpoint;
mod file;
mod read;
mod retention;
mod write;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use sqlx::error::DatabaseError;
use sqlx::migrate::Migrator;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Connection as _, SqlitePool};
use tokio::sync::watch;

use crate::crash::CrashPoints;
use crate::domain::event::SubjectId;
use crate::domain::id::{DeliveryId, RunId, StoryId};
use crate::domain::transition::Subject;

use super::{
    Commit, EventRecord, NewDelivery, PendingAct, PendingSurface, RunRecord, Store, StoreError,
    StoryFilter, TimerWrite, Written,
};

/// Every table of the file, the built-in forge's among them. Cargo does not notice a new file in
/// the folder: change this one with it.
pub(crate) static MIGRATOR: Migrator = sqlx::migrate!("src/store/migrations");

/// How long a write waits for another process that is writing.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// How often, and after what pause, a file that another process is just making is tried again.
const ATTEMPTS: usize = 100;
const PAUSE: Duration = Duration::from_millis(50);

/// Reads are short and mostly served from the page cache.
const READERS: u32 = 4;

/// The store in one SQLite file. Clones share its connections.
#[derive(Debug, Clone)]
pub struct SqliteStore {
    path: PathBuf,
    writer: SqlitePool,
    readers: SqlitePool,
    crash_points: CrashPoints,
    commits: watch::Sender<u64>,
    /// Opened when it is first needed.
    checkpoints: SqlitePool,
}

impl SqliteStore {
    /// Opens the file at `path`, makes it where it is missing (its folder must be there), and
    /// brings its tables up to date.
    ///
    /// A file that is damaged, no store, or a newer program's is refused and stays as it is. Of one
    /// with older tables a copy is kept beside it first, as `huskies.db.before-<version>`.
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        Self::open_with(path, CrashPoints::off()).await
    }

    /// Like [`Self::open`]; a test may kill the process before and after each durable write.
    pub async fn open_with(path: &Path, crash_points: CrashPoints) -> Result<Self, StoreError> {
        Self::connect(path, crash_points)
            .await
            .map_err(|failure| failure.at(path))
    }

    async fn connect(path: &Path, crash_points: CrashPoints) -> Result<Self, Failure> {
        if let Some(version) = file::examine(path).await? {
            file::keep_before_migration(path, version).await?;
        }
        let options = SqliteConnectOptions::new()
            .filename(path)
            .foreign_keys(true)
            .busy_timeout(BUSY_TIMEOUT);
        let writer = options
            .clone()
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .pragma("wal_autocheckpoint", checkpoint::LONGEST_LOG_PAGES);
        let writer = connect_writer(writer).await?;
        file::migrate(path, &writer, &crash_points).await?;
        let readers = lasting(READERS)
            .connect_with(options.clone().pragma("query_only", "on"))
            .await?;
        let checkpoints = SqlitePoolOptions::new()
            .max_connections(1)
            .connect_lazy_with(options.synchronous(SqliteSynchronous::Full));
        Ok(Self {
            path: path.to_owned(),
            writer,
            readers,
            crash_points,
            commits: watch::Sender::new(0),
            checkpoints,
        })
    }

    /// The one connection that writes. Whoever holds it keeps the engine waiting: take it for one
    /// short transaction, begun with `BEGIN IMMEDIATE`.
    pub fn pool(&self) -> &SqlitePool {
        &self.writer
    }

    /// Connections that only read, and see what was committed before they were asked.
    pub fn read_pool(&self) -> &SqlitePool {
        &self.readers
    }

    /// Waits for what is under way and closes the file. Without it nothing is lost; the next one to
    /// open the file has a longer log to read.
    pub async fn close(&self) {
        self.checkpoints.close().await;
        self.readers.close().await;
        self.writer.close().await;
    }

    fn located<T>(&self, outcome: Result<T, Failure>) -> Result<T, StoreError> {
        outcome.map_err(|failure| failure.at(&self.path))
    }

    async fn write(&self, commit: &Commit) -> Result<(), Failure> {
        let mut transaction = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        if let Err(failure) = write::apply(&mut transaction, commit).await {
            // After some failures SQLite has done so itself; the failure says more than that.
            drop(transaction.rollback().await);
            return Err(failure);
        }
        self.crash_points.reach("store.commit.before");
        transaction.commit().await?;
        self.crash_points.reach("store.commit.after");
        self.written();
        Ok(())
    }

    /// Tells who writes checkpoints, if anybody does.
    fn written(&self) {
        self.commits.send_modify(|commits| *commits += 1);
    }
}

/// A pool whose connections are opened once and kept: SQLite's do not go stale.
fn lasting(connections: u32) -> SqlitePoolOptions {
    SqlitePoolOptions::new()
        .min_connections(1)
        .max_connections(connections)
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
}

/// Of two that make a new file at the same time, SQLite sends one away at once: both read it and
/// want it alone to switch the write-ahead log on, so that waiting would last for ever
/// (sqlite.org/c3ref/busy_handler.html).
async fn connect_writer(options: SqliteConnectOptions) -> Result<SqlitePool, sqlx::Error> {
    for _ in 1..ATTEMPTS {
        match writing().connect_with(options.clone()).await {
            Err(error) if primary_code(&error) == Some(SQLITE_BUSY) => {
                tokio::time::sleep(PAUSE).await;
            }
            outcome => return outcome,
        }
    }
    writing().connect_with(options).await
}

/// One connection at a time. SQLite itself ends a transaction whose disk is full or fails
/// (sqlite.org/lang_transaction.html, "Response To Errors Within A Transaction"); sqlx goes on
/// counting it, and that connection could never begin another. It is closed for a new one.
fn writing() -> SqlitePoolOptions {
    lasting(1).after_release(|connection, _| {
        Box::pin(async move {
            if !connection.is_in_transaction() {
                return Ok(true);
            }
            // One that was dropped is rolled back by now: this is answered when all before it is.
            connection.ping().await?;
            Ok(!connection.is_in_transaction())
        })
    })
}

/// What went wrong, before it is said in which file.
#[derive(Debug)]
enum Failure {
    Database(sqlx::Error),
    Newer,
    /// What SQLite's own check complains about.
    Damaged(String),
    /// An error that names no file.
    Known(StoreError),
}

impl Failure {
    fn at(self, path: &Path) -> StoreError {
        let path = path.display().to_string();
        match self {
            Self::Database(source) => StoreError::Database { path, source },
            Self::Newer => StoreError::Newer { path },
            Self::Damaged(complaint) => StoreError::Damaged { path, complaint },
            Self::Known(error) => error,
        }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Known(error)
    }
}

impl From<sqlx::Error> for Failure {
    fn from(source: sqlx::Error) -> Self {
        Self::Database(source)
    }
}

/// What a person can do about it, to follow the error's own words; empty where nobody knows.
pub(super) fn advice(error: &sqlx::Error) -> &'static str {
    match primary_code(error) {
        Some(SQLITE_BUSY) => "; another program holds it: end that program, then try again",
        // SQLITE_READONLY, SQLITE_CANTOPEN
        Some(8 | 14) => "; its folder must exist and let this user write to it and to the file",
        // SQLITE_IOERR
        Some(10) => "; the disk or its file system fails: look into the system's log",
        // SQLITE_CORRUPT, SQLITE_NOTADB
        Some(11 | 26) => {
            "; the file is damaged or no store: \
             restore a backup, or move it away to begin with an empty one"
        }
        // SQLITE_FULL
        Some(13) => "; the disk is full: free some space",
        Some(_) | None => "",
    }
}

const SQLITE_BUSY: u32 = 5;

/// SQLite's result code without its details, which are in the higher bytes
/// (sqlite.org/rescode.html).
fn primary_code(error: &sqlx::Error) -> Option<u32> {
    let code = error.as_database_error().and_then(DatabaseError::code)?;
    code.parse::<u32>().ok().map(|code| code & 0xff)
}

#[async_trait]
impl Store for SqliteStore {
    async fn commit(&self, commit: Commit) -> Result<(), StoreError> {
        self.located(self.write(&commit).await)
    }

    async fn subject(&self, id: &SubjectId) -> Result<Option<(Subject, u64)>, StoreError> {
        self.located(read::subject(&self.readers, id).await)
    }

    async fn stories(&self, filter: &StoryFilter) -> Result<Vec<Subject>, StoreError> {
        self.located(read::stories(&self.readers, filter).await)
    }

    async fn events(
        &self,
        id: &SubjectId,
        after: u64,
    ) -> Result<Vec<(u64, EventRecord)>, StoreError> {
        self.located(read::events(&self.readers, id, after).await)
    }

    async fn has_delivery(&self, id: &DeliveryId) -> Result<bool, StoreError> {
        self.located(read::has_delivery(&self.readers, id).await)
    }

    async fn receive(&self, deliveries: &[NewDelivery]) -> Result<Vec<bool>, StoreError> {
        self.crash_points.reach("store.receive.before");
        let new = self.located(write::receive(&self.writer, deliveries).await)?;
        self.crash_points.reach("store.receive.after");
        self.written();
        Ok(new)
    }

    async fn pending_deliveries(&self, limit: u32) -> Result<Vec<NewDelivery>, StoreError> {
        self.located(read::pending_deliveries(&self.readers, limit).await)
    }

    async fn inbox_depth(&self) -> Result<u64, StoreError> {
        self.located(read::inbox_depth(&self.readers).await)
    }

    async fn pending_acts(&self) -> Result<Vec<PendingAct>, StoreError> {
        self.located(read::pending_acts(&self.readers).await)
    }

    async fn open_runs(&self) -> Result<Vec<(RunRecord, bool)>, StoreError> {
        self.located(read::open_runs(&self.readers).await)
    }

    async fn run(&self, id: &RunId) -> Result<Option<RunRecord>, StoreError> {
        self.located(read::run(&self.readers, id).await)
    }

    async fn runs_of(&self, story: &StoryId) -> Result<Vec<RunRecord>, StoreError> {
        self.located(read::runs_of(&self.readers, story).await)
    }

    async fn pending_surfaces(&self) -> Result<Vec<PendingSurface>, StoreError> {
        self.located(read::pending_surfaces(&self.readers).await)
    }

    async fn surface(
        &self,
        subject: &SubjectId,
        key: &str,
    ) -> Result<Option<PendingSurface>, StoreError> {
        self.located(read::surface(&self.readers, subject, key).await)
    }

    async fn surface_written(
        &self,
        subject: &SubjectId,
        key: &str,
        version: u64,
        written: &Written,
    ) -> Result<(), StoreError> {
        self.crash_points.reach("store.surface_written.before");
        let update = write::SurfaceUpdate {
            subject,
            key,
            version,
            written,
        };
        self.located(update.apply(&self.writer).await)?;
        self.crash_points.reach("store.surface_written.after");
        Ok(())
    }

    async fn add_calls(&self, subject: &SubjectId, calls: u64) -> Result<(), StoreError> {
        self.located(write::add_calls(&self.writer, subject, calls).await)
    }

    async fn calls(&self, subject: &SubjectId) -> Result<u64, StoreError> {
        self.located(read::calls(&self.readers, subject).await)
    }

    async fn timers(&self) -> Result<Vec<TimerWrite>, StoreError> {
        self.located(read::timers(&self.readers).await)
    }
}
