//! An attempt's output on disk: JSON lines, never more than a given size, the newest kept.
//!
//! `log.jsonl` is written; when it has half of the size it becomes `log.1.jsonl` in place of an
//! older one, and the next `log.jsonl` begins by saying how much is gone.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::domain::text::{head_at_char_boundary, visible};

/// One line of a log file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum LogLine {
    /// A line that the agent printed.
    Output { at: Timestamp, line: String },
    /// Older output is gone, this many bytes of it in all.
    Cut { at: Timestamp, bytes: u64 },
}

impl LogLine {
    /// What a person sees of it.
    pub fn text(&self) -> String {
        match self {
            Self::Output { line, .. } => visible(line),
            Self::Cut { bytes, .. } => format!("… {bytes} bytes of older output are gone"),
        }
    }
}

/// Where a log is and how large it may get.
#[derive(Debug, Clone)]
pub(super) struct LogPlace {
    pub(super) newest: PathBuf,
    pub(super) older: PathBuf,
    pub(super) bytes: u64,
}

/// The log of a running attempt.
#[derive(Debug)]
pub(super) struct Log {
    place: LogPlace,
    file: File,
    written: u64,
    cut: u64,
}

impl Log {
    pub(super) fn create(place: LogPlace) -> io::Result<Self> {
        let file = open(&place)?;
        Ok(Self {
            place,
            file,
            written: 0,
            cut: 0,
        })
    }

    /// Writes lines that were printed at `at`, in one piece so that a follower sees whole lines.
    pub(super) fn append(&mut self, at: Timestamp, lines: &[String]) -> io::Result<()> {
        let longest = usize::try_from(self.place.bytes / 8).unwrap_or(usize::MAX);
        let mut text = Vec::new();
        for line in lines {
            let kept = head_at_char_boundary(line, longest);
            let cut = line.len() - kept.len();
            let line = if cut == 0 {
                kept.to_owned()
            } else {
                format!("{kept} … [{cut} bytes cut]")
            };
            encode(&mut text, &LogLine::Output { at, line })?;
            if text.len() as u64 + self.written > self.place.bytes / 2 {
                self.flush(&mut text)?;
                self.rotate(at)?;
            }
        }
        self.flush(&mut text)
    }

    fn flush(&mut self, text: &mut Vec<u8>) -> io::Result<()> {
        self.file.write_all(text)?;
        self.written += text.len() as u64;
        text.clear();
        Ok(())
    }

    fn rotate(&mut self, at: Timestamp) -> io::Result<()> {
        self.cut += fs::metadata(&self.place.older).map_or(0, |older| older.len());
        fs::rename(&self.place.newest, &self.place.older)?;
        self.file = open(&self.place)?;
        self.written = 0;
        let mut text = Vec::new();
        if self.cut > 0 {
            encode(
                &mut text,
                &LogLine::Cut {
                    at,
                    bytes: self.cut,
                },
            )?;
        }
        self.flush(&mut text)
    }
}

fn open(place: &LogPlace) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(&place.newest)
}

fn encode(text: &mut Vec<u8>, line: &LogLine) -> io::Result<()> {
    serde_json::to_writer(&mut *text, line)?;
    text.push(b'\n');
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(path: &std::path::Path) -> Vec<LogLine> {
        let text = fs::read_to_string(path).unwrap();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    #[test]
    fn the_newest_output_is_kept_and_the_loss_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let place = LogPlace {
            newest: dir.path().join("log.jsonl"),
            older: dir.path().join("log.1.jsonl"),
            bytes: 4096,
        };
        let mut log = Log::create(place.clone()).unwrap();
        for number in 0..1000 {
            log.append(Timestamp::UNIX_EPOCH, &[format!("line {number}")])
                .unwrap();
        }
        let (older, newest) = (read(&place.older), read(&place.newest));
        let size = |path| fs::metadata(path).unwrap().len();
        assert!(size(&place.older) + size(&place.newest) <= 4096 + 200);
        let LogLine::Cut { bytes, .. } = newest[0] else {
            panic!("{:?}", newest[0])
        };
        assert!(bytes > 40_000, "{bytes}");
        let last = LogLine::Output {
            at: Timestamp::UNIX_EPOCH,
            line: "line 999".to_owned(),
        };
        assert_eq!(
            newest.last().unwrap_or_else(|| older.last().unwrap()),
            &last
        );
    }

    #[test]
    fn a_line_reads_as_one_flat_object() {
        let dir = tempfile::tempdir().unwrap();
        let place = LogPlace {
            newest: dir.path().join("a"),
            older: dir.path().join("b"),
            bytes: 8000,
        };
        Log::create(place.clone())
            .unwrap()
            .append(Timestamp::UNIX_EPOCH, &["hi".to_owned(), "x".repeat(1002)])
            .unwrap();
        let text = fs::read_to_string(&place.newest).unwrap();
        assert!(
            text.starts_with(
                "{\"kind\":\"output\",\"at\":\"1970-01-01T00:00:00Z\",\"line\":\"hi\"}\n"
            ),
            "{text}"
        );
        assert!(text.ends_with("xx … [2 bytes cut]\"}\n"), "{text}");
    }
}
