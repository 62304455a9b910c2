//! The built-in local forge on a SQLite file of its own, with a clock under the test's control.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use huskies::forge::LocalForge;
use jiff::Timestamp;
use sqlx::SqlitePool;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};
use tempfile::TempDir;

/// When the clock begins: 2026-01-01T00:00:00Z.
const BEGINNING: i64 = 1_767_225_600;

/// A local forge in a folder that goes away with it.
pub(crate) struct LocalForgeBench {
    pub(crate) forge: LocalForge,
    pub(crate) pool: SqlitePool,
    seconds: Arc<AtomicI64>,
    folder: TempDir,
}

impl LocalForgeBench {
    pub(crate) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let pool = open(folder.path()).await;
        for migration in [
            include_str!("../../../src/store/migrations/0002_local_forge.sql"),
            include_str!("../../../src/store/migrations/0004_local_sub_issues.sql"),
        ] {
            sqlx::raw_sql(migration).execute(&pool).await.unwrap();
        }
        let seconds = Arc::new(AtomicI64::new(BEGINNING));
        Self {
            forge: forge(&pool, &seconds),
            pool,
            seconds,
            folder,
        }
    }

    /// The same forge through another pool, as another process has it.
    pub(crate) async fn another(&self) -> LocalForge {
        forge(&open(self.folder.path()).await, &self.seconds)
    }

    /// The time; a second passes.
    pub(crate) fn tick(&self) -> Timestamp {
        tick(&self.seconds)
    }
}

fn tick(seconds: &AtomicI64) -> Timestamp {
    Timestamp::from_second(seconds.fetch_add(1, Ordering::SeqCst)).unwrap()
}

fn forge(pool: &SqlitePool, seconds: &Arc<AtomicI64>) -> LocalForge {
    let seconds = Arc::clone(seconds);
    LocalForge::new(pool.clone(), Arc::new(move || tick(&seconds)))
}

async fn open(folder: &Path) -> SqlitePool {
    let options = SqliteConnectOptions::new()
        .filename(folder.join("huskies.db"))
        .create_if_missing(true)
        .foreign_keys(true);
    SqlitePoolOptions::new()
        .max_connections(2)
        .connect_with(options)
        .await
        .unwrap()
}
