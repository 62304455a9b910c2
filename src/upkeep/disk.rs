//! How much room the data folder's disk has. Below the limit the ledger is told, which then grants
//! no start; when there is room again it is told that.

use std::path::Path;
use std::time::Duration;

use rustix::fs::{StatVfs, statvfs};

use super::Upkeep;
use crate::config::server::Retention;
use crate::domain::event::{AccountEvent, Event, SubjectId};
use crate::domain::transition::Subject;
use crate::engine::{EngineError, Report};

/// A disk tells nobody when it fills up. It is looked at after every commit, for those come before
/// each start, but not more often than this,
const AT_MOST_EVERY: Duration = Duration::from_millis(500);
/// and without any commit as often as this.
const AT_LEAST_EVERY: Duration = Duration::from_secs(15);
/// There is room again when there is this part more than the limit, so that it does not flicker.
const MARGIN: u64 = 8;

impl Upkeep {
    pub(super) async fn watch_disk(&self) {
        let mut commits = self.engine.commits();
        let mut low = self.known_to_be_low().await;
        loop {
            match self.look(low).await {
                Ok(now) => low = now,
                Err(EngineError::Stopped) => return,
                Err(error @ EngineError::Store(_)) => {
                    tracing::error!(%error, "the ledger could not be told of the disk; trying again");
                }
            }
            tokio::time::sleep(AT_MOST_EVERY).await;
            tokio::select! {
                changed = commits.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(AT_LEAST_EVERY) => {}
            }
        }
    }

    /// What the ledger was told by an earlier server.
    async fn known_to_be_low(&self) -> bool {
        match self.store.subject(&SubjectId::Account).await {
            Ok(Some((Subject::Account(account), _))) => account.disk_low.is_some(),
            Ok(Some((Subject::Story(_) | Subject::Repo(_) | Subject::Head(_), _)) | None) => false,
            Err(error) => {
                tracing::error!(%error, "the ledger cannot be read");
                false
            }
        }
    }

    /// Tells what has changed; whether there is too little room now.
    async fn look(&self, low: bool) -> Result<bool, EngineError> {
        let event = match (self.measure(low).await, low) {
            (Some(because), false) => {
                tracing::warn!("{because}; no agent starts until there is room");
                AccountEvent::DiskLow { because }
            }
            (None, true) => {
                tracing::info!("the disk has room again");
                AccountEvent::DiskFine
            }
            (Some(_), true) | (None, false) => return Ok(low),
        };
        self.engine
            .report(Report::event(Event::Account { event }))
            .await?;
        Ok(!low)
    }

    /// Why there is too little room. A disk that cannot be asked is not called full.
    async fn measure(&self, low: bool) -> Option<String> {
        let folder = self.data_dir.clone();
        let asked = tokio::task::spawn_blocking(move || statvfs(Path::new(&folder))).await;
        match asked {
            Ok(Ok(disk)) => shortage(&disk, &self.limits, low),
            Ok(Err(error)) => {
                tracing::warn!(%error, "the disk does not say how much room it has");
                None
            }
            // The server is leaving.
            Err(_) => None,
        }
    }
}

/// What is too little, in a sentence; `low`: it was too little before.
fn shortage(disk: &StatVfs, limits: &Retention, low: bool) -> Option<String> {
    let wanted = |limit: u64| if low { limit + limit / MARGIN } else { limit };
    let (free, least) = (
        disk.f_bavail.saturating_mul(disk.f_frsize),
        limits.min_free_bytes,
    );
    if free < wanted(least) {
        return Some(format!(
            "the disk of the server is nearly full: {} MB are free, and agents start with {} MB",
            free >> 20,
            least >> 20
        ));
    }
    // Some file systems make room for files as they need it, and say 0 of 0.
    let (files, least) = (disk.f_favail, limits.min_free_files);
    if disk.f_files > 0 && files < wanted(least) {
        return Some(format!(
            "the disk of the server is nearly full: {files} more files can be made, and agents start with {least}"
        ));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::StatVfsMountFlags;

    fn disk(free_mb: u64, files: u64, free_files: u64) -> StatVfs {
        StatVfs {
            f_bsize: 4096,
            f_frsize: 1 << 20,
            f_blocks: 10_000,
            f_bfree: free_mb + 500,
            f_bavail: free_mb,
            f_files: files,
            f_ffree: free_files,
            f_favail: free_files,
            f_fsid: 0,
            f_flag: StatVfsMountFlags::empty(),
            f_namemax: 255,
        }
    }

    #[test]
    fn too_few_bytes_or_files_are_named_and_a_disk_that_counts_no_files_is_not_full() {
        let limits = Retention::default();
        let said = |disk: StatVfs| shortage(&disk, &limits, false);
        insta::assert_snapshot!(said(disk(1_023, 1_000_000, 500_000)).unwrap(), @"the disk of the server is nearly full: 1023 MB are free, and agents start with 1024 MB");
        insta::assert_snapshot!(said(disk(5_000, 1_000_000, 9_999)).unwrap(), @"the disk of the server is nearly full: 9999 more files can be made, and agents start with 10000");
        assert_eq!(said(disk(1_024, 1_000_000, 10_000)), None);
        assert_eq!(said(disk(5_000, 0, 0)), None);
    }

    #[test]
    fn a_disk_that_was_full_has_room_only_with_something_to_spare() {
        let limits = Retention::default();
        let full = |free| shortage(&disk(free, 0, 0), &limits, true).is_some();
        assert!(full(1_151));
        assert!(!full(1_152));
    }
}
