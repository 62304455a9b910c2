//! What differs between agent programs: how one is started, and what its output lines mean.
//!
//! A new runtime is one file here and one arm in [`of`]. Not for: processes, terminals, logs and
//! time limits, which are the same for all ([`super::session`]).

mod claude_code;
mod command;

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::LaunchRequest;
use crate::domain::id::SessionId;
use crate::domain::project;
use crate::domain::work::{End, Start, Usage};

/// One kind of agent program.
pub trait Runtime: Sync {
    /// How to start it for this request.
    ///
    /// # Errors
    /// The agent is configured in a way that cannot be started.
    fn launch(&self, request: &LaunchRequest) -> Result<Launch, Unlaunchable>;

    /// A fresh parser for the output of one start.
    fn parser(&self, start: &Start) -> Box<dyn StreamParser>;
}

/// The adapter of a configured runtime.
pub fn of(runtime: project::Runtime) -> &'static dyn Runtime {
    match runtime {
        project::Runtime::ClaudeCode => &claude_code::ClaudeCode,
        project::Runtime::Command => &command::Command,
    }
}

/// The agent's configuration cannot be started; the text says what to change.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unlaunchable(pub String);

/// What to run. Everything else (folder, terminal, base environment) is common to all runtimes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Launch {
    pub argv: Vec<String>,
    /// Added to the base environment.
    pub environment: Vec<(String, String)>,
    /// What the prompt file holds.
    pub prompt_file: String,
    /// What a person can do when the program is not there.
    pub install_hint: String,
}

/// Turns output lines into progress, and a process's end into an attempt's end. Knows no time.
pub trait StreamParser: Send {
    /// Reads one line, already free of line ends and escape sequences. Never fails: what is not
    /// understood says nothing.
    fn line(&mut self, line: &str) -> Vec<Progress>;

    /// How the attempt ended, now that its process has.
    fn end(&self, exit: Exit) -> End;

    /// What was metered so far.
    fn usage(&self) -> Usage;
}

/// What an agent's output tells while it runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// From here on the session can be resumed.
    SessionStarted(SessionId),
    ToolStarted {
        id: String,
        name: String,
    },
    ToolEnded {
        id: String,
    },
    Message(String),
    /// It will be silent for this long and then try again.
    Backoff {
        wait: Duration,
    },
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Exit {
    Status(i32),
    Signal(i32),
}

/// `SIGABRT` (signal(7)).
const ABORT_SIGNAL: i32 = 6;
/// What a shell makes of a child that `SIGABRT` ended: 128 + 6.
const ABORT_STATUS: i32 = 134;

impl Exit {
    /// Ended by an abort signal, its own or that of a program it ran last.
    fn is_abort(self) -> bool {
        self == Self::Signal(ABORT_SIGNAL) || self == Self::Status(ABORT_STATUS)
    }

    /// Ended by a signal, or reports 128 + the signal that ended it, as shells and Claude Code do.
    fn is_by_signal(self) -> bool {
        match self {
            Self::Signal(_) => true,
            Self::Status(status) => (129..=192).contains(&status),
        }
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => write!(f, "exit status {status}"),
            Self::Signal(signal) => write!(f, "signal {signal}"),
        }
    }
}

/// The end of a program's plain output, for messages.
#[derive(Debug, Default)]
struct Tail {
    text: String,
}

impl Tail {
    const BYTES: usize = 2000;

    fn push(&mut self, line: &str) {
        use crate::domain::text::tail_at_char_boundary;
        if !self.text.is_empty() {
            self.text.push('\n');
        }
        self.text.push_str(tail_at_char_boundary(line, Self::BYTES));
        if self.text.len() > 2 * Self::BYTES {
            self.text = tail_at_char_boundary(&self.text, Self::BYTES).to_owned();
        }
    }

    /// At most [`Self::BYTES`], without white space around it.
    fn text(&self) -> &str {
        crate::domain::text::tail_at_char_boundary(self.text.trim(), Self::BYTES)
    }

    /// `what: <the tail>`, or `what` alone when nothing was printed.
    fn explain(&self, what: &str) -> String {
        if self.text().is_empty() {
            what.to_owned()
        } else {
            format!("{what}: {}", self.text())
        }
    }
}
