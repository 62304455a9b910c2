//! How much a run's folders grow. No quota can be counted on, so somebody looks: after every sudden
//! loss of free space, and every few seconds.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::statvfs;

/// Between two looks at the free space, which cost nothing.
const GLANCE: Duration = Duration::from_millis(250);
/// The least time between two measurements without a reason.
const PAUSE: Duration = Duration::from_secs(5);
/// Measuring may take this part of the time.
const SHARE: u32 = 20;
/// `st_blocks` counts these (stat(3type)).
const BLOCK: u64 = 512;

/// What is measured, and how much it may grow.
pub(super) struct Growth {
    pub(super) folders: Vec<PathBuf>,
    /// Lists the run's processes, where there is a cgroup: what they hold open without a name is
    /// counted too.
    pub(super) processes: Option<PathBuf>,
    pub(super) limit: u64,
}

impl Growth {
    /// Returns when the limit is passed; the number of bytes by which the folders have grown.
    pub(super) async fn passed(self) -> u64 {
        let this = std::sync::Arc::new(self);
        let mut last = this.look().await;
        let begun = last.bytes;
        let mut free = this.free();
        let mut measured = Instant::now();
        loop {
            tokio::time::sleep(GLANCE).await;
            let now = this.free();
            let shrank = free.saturating_sub(now) > this.limit / 8;
            if !shrank && measured.elapsed() < PAUSE.max(last.took * SHARE) {
                continue;
            }
            last = this.look().await;
            (free, measured) = (now, Instant::now());
            let grown = last.bytes.saturating_sub(begun);
            if grown > this.limit {
                return grown;
            }
        }
    }

    fn free(&self) -> u64 {
        let free = |folder: &PathBuf| {
            statvfs(folder)
                .ok()
                .map(|system| system.f_bavail * system.f_frsize)
        };
        self.folders.iter().find_map(free).unwrap_or_default()
    }

    async fn look(self: &std::sync::Arc<Self>) -> Look {
        let this = std::sync::Arc::clone(self);
        tokio::task::spawn_blocking(move || this.measure())
            .await
            .unwrap_or_default()
    }

    fn measure(&self) -> Look {
        let begun = Instant::now();
        let mut count = Count::default();
        for folder in &self.folders {
            count.tree(folder);
        }
        if let Some(list) = &self.processes {
            count.nameless(list);
        }
        Look {
            bytes: count.bytes,
            took: begun.elapsed(),
        }
    }
}

#[derive(Debug, Clone, Copy, Default)]
struct Look {
    bytes: u64,
    took: Duration,
}

/// Each file once, however many names it has.
#[derive(Default)]
struct Count {
    bytes: u64,
    linked: HashSet<(u64, u64)>,
}

impl Count {
    /// What vanishes while it is counted is not there. Links are not followed.
    fn tree(&mut self, folder: &Path) {
        let mut folders = vec![folder.to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
                let Ok(metadata) = entry.metadata() else {
                    continue;
                };
                self.add(&metadata);
                if metadata.is_dir() {
                    folders.push(entry.path());
                }
            }
        }
    }

    fn add(&mut self, metadata: &fs::Metadata) {
        let several = metadata.nlink() != 1 && !metadata.is_dir();
        if !several || self.linked.insert((metadata.dev(), metadata.ino())) {
            self.bytes += metadata.blocks() * BLOCK;
        }
    }

    /// Files that were deleted and are still open.
    fn nameless(&mut self, processes: &Path) {
        let list = fs::read_to_string(processes).unwrap_or_default();
        for pid in list.lines() {
            let open = fs::read_dir(Path::new("/proc").join(pid).join("fd"));
            for entry in open.into_iter().flatten().flatten() {
                let found = fs::metadata(entry.path());
                if let Ok(metadata) = found.map_err(drop)
                    && metadata.is_file()
                    && metadata.nlink() == 0
                {
                    self.add(&metadata);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_with_two_names_is_counted_once_and_a_link_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let outside = tempfile::NamedTempFile::new().unwrap();
        fs::write(outside.path(), vec![1; 1 << 20]).unwrap();
        fs::write(folder.path().join("a"), vec![1; 1 << 16]).unwrap();
        fs::hard_link(folder.path().join("a"), folder.path().join("b")).unwrap();
        std::os::unix::fs::symlink(outside.path(), folder.path().join("c")).unwrap();
        let mut count = Count::default();
        count.tree(folder.path());
        assert!((1 << 16..1 << 17).contains(&count.bytes), "{}", count.bytes);
    }

    #[test]
    fn a_deleted_file_that_is_held_open_is_counted() {
        let folder = tempfile::tempdir().unwrap();
        let held = tempfile::tempfile_in(folder.path()).unwrap();
        std::io::Write::write_all(&mut &held, &vec![1; 1 << 20]).unwrap();
        let list = folder.path().join("list");
        fs::write(&list, std::process::id().to_string()).unwrap();
        let mut count = Count::default();
        count.nameless(&list);
        assert!(count.bytes >= 1 << 20, "{}", count.bytes);
    }
}
