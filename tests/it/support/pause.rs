//! A place where a scripted agent or gate stands still until the test lets it go on.
//!
//! It is a FIFO: whoever runs [`Pause::shell`] blocks until the test opens the other end, and the
//! test knows that somebody stands there because opening it succeeds only then.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::patience::eventually;

pub(crate) struct Pause {
    fifo: PathBuf,
}

impl Pause {
    /// A new one at a path of the test's own.
    pub(crate) fn at(fifo: &Path) -> Self {
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mkfifoat(rustix::fs::CWD, fifo, mode).expect("a FIFO can be made");
        Self {
            fifo: fifo.to_owned(),
        }
    }

    /// What a shell runs to stand still here.
    pub(crate) fn shell(&self) -> String {
        format!("read -r _ < '{}' || true", self.fifo.display())
    }

    /// Waits until somebody stands here. Dropping what is returned lets them go on.
    pub(crate) async fn reached(&self) -> Held {
        let nonblocking = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).expect("a small flag");
        let mut opened = None;
        eventually("somebody stands at the pause", || {
            opened = OpenOptions::new()
                .write(true)
                .custom_flags(nonblocking)
                .open(&self.fifo)
                .ok();
            opened.is_some()
        })
        .await;
        Held {
            _writer: opened.expect("it was just opened"),
        }
    }
}

/// Somebody who stands at a [`Pause`] until this is dropped.
pub(crate) struct Held {
    _writer: File,
}

impl Held {
    pub(crate) fn let_go(self) {
        drop(self);
    }
}
