//! Checkpoints beside the writing: what is in the write-ahead log goes into the database by a
//! connection of its own, so that no commit has to wait until thousands of pages are on the disk.
//!
//! SQLite by itself makes every thousandth page's commit do that work, which is what its slowest
//! commits are. Nothing depends on this: without it the writer does it, later and at once.

use std::path::PathBuf;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::SqliteStore;

/// At this length, in pages of 4 KiB, a commit does the work itself: 64 MiB. It stays shorter unless
/// writing never pauses.
pub(super) const LONGEST_LOG_PAGES: &str = "16384";
/// A log that is shorter, in bytes, is left alone.
const SHORT: u64 = 4 * 1024 * 1024;
/// Between looks at the log while there is writing.
const PAUSE: Duration = Duration::from_millis(50);

impl SqliteStore {
    /// Writes checkpoints until cancelled.
    pub async fn keep_log_short(self, shutdown: CancellationToken) {
        let mut commits = self.commits.subscribe();
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                changed = commits.changed() => if changed.is_err() { return },
            }
            if self.log_length().await < SHORT {
                tokio::time::sleep(PAUSE).await;
                continue;
            }
            if let Err(error) = self.checkpoint().await {
                tracing::warn!(%error, "a checkpoint was not written; commits do it themselves");
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// The log is as long as it ever was since it was last emptied; only what is new in it is work.
    async fn log_length(&self) -> u64 {
        let mut log = self.path.clone().into_os_string();
        log.push("-wal");
        let metadata = tokio::fs::metadata(PathBuf::from(log)).await;
        metadata.map_or(0, |metadata| metadata.len())
    }

    /// Moves what it can without waiting for anybody, and without anybody waiting for it
    /// (sqlite.org/pragma.html, "wal_checkpoint").
    async fn checkpoint(&self) -> Result<(), sqlx::Error> {
        sqlx::query("PRAGMA wal_checkpoint(PASSIVE)")
            .execute(&self.checkpoints)
            .await?;
        Ok(())
    }
}
