//! One attempt of an agent, from its start to its end: the job of a supervisor.
//!
//! It starts the agent in its terminal, follows what it prints, and ends it when it is told to or
//! when it has been silent for too long. Not for: what a line means ([`super::runtime`]), what a
//! stop is caused by ([`crate::process::supervisor`]), and what follows from an end (the core).

mod lines;
mod log;
mod terminal;

use std::collections::HashSet;
use std::fs;
use std::path::PathBuf;
use std::pin::pin;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep_until, timeout};

use super::runtime::{self, Exit, Progress, StreamParser};
use crate::domain::id::SessionId;
use crate::domain::project::Runtime;
use crate::domain::work::{End, Start, Usage};
use crate::process::run_folder::RunFolder;
use crate::process::supervisor::{Job, JobControl, StopCause, StopRequest};
use crate::sandbox::{COULD_NOT_BUILD, Confinement, Enclosure, SANDBOX_COMPLAINT};
pub use lines::LineSplitter;
pub use log::LogLine;
use log::{Log, LogPlace};
use terminal::Running;

/// What an agent left running when it ended gets this long.
const LEFTOVER_GRACE: Duration = Duration::from_millis(500);
/// A stalled agent gets this long.
const STALL_GRACE: Duration = Duration::from_secs(5);
/// Whatever grace is asked for, a stopped agent is gone within 10 s.
const LONGEST_GRACE: Duration = Duration::from_secs(8);
/// How long the rest of the output is waited for when every known process is gone.
const DRAIN_LIMIT: Duration = Duration::from_secs(1);

/// Everything that one attempt needs, as it stands in the run's `spec.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentSpec {
    pub runtime: Runtime,
    pub start: Start,
    /// The program, along `PATH` or from the worktree, and its arguments.
    pub argv: Vec<String>,
    /// All of the environment; the last value of a name counts.
    pub environment: Vec<(String, String)>,
    pub worktree: PathBuf,
    /// Where [`AgentSpec::prompt`] is written before the start.
    pub prompt_file: PathBuf,
    pub prompt: String,
    /// What to do when the program is not there.
    pub install_hint: String,
    /// Silence without a running tool that counts as a stall.
    pub inactivity: Duration,
    /// How much output is kept.
    pub log_bytes: u64,
    /// What it may see and use; `None` for everything that the server may.
    #[serde(default)]
    pub confinement: Option<Confinement>,
}

/// What came of an attempt: the `result.json` of an agent's run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentOutcome {
    pub end: End,
    pub usage: Usage,
    /// What can be resumed, if the stream named a session.
    pub session: Option<SessionId>,
}

/// The job.
#[derive(Debug)]
pub struct AgentSession {
    pub spec: AgentSpec,
    pub folder: RunFolder,
    /// The clock of the log.
    pub now: fn() -> Timestamp,
}

impl Job for AgentSession {
    type Outcome = AgentOutcome;

    async fn run(self, control: JobControl) -> AgentOutcome {
        let mut follower = Follower::new(&self.spec, control.clone());
        let inactivity = self.spec.inactivity;
        let mark = control.mark().to_owned();
        let room = self
            .spec
            .confinement
            .as_ref()
            .map(|confinement| confinement.room.clone());
        let end = match tokio::task::spawn_blocking(move || self.start(&mark)).await {
            Ok(Ok(mut running)) => {
                let stopped_by = follower.follow(&mut running, inactivity).await;
                let refused = running.enclosure.as_ref().map(Enclosure::refused);
                follower.finish(running, stopped_by.grace()).await;
                follower.end(stopped_by, &refused.unwrap_or_default())
            }
            Ok(Err(message)) => End::CannotLaunch { message },
            Err(panicked) => End::CannotLaunch {
                message: format!("starting the agent broke off: {panicked}"),
            },
        };
        if let Some(Err(error)) = room.map(|room| room.remove_tmp()) {
            tracing::warn!(%error, "what the agent left in /tmp cannot be removed");
        }
        AgentOutcome {
            end,
            usage: follower.parser.usage(),
            session: follower.session,
        }
    }
}

impl AgentSession {
    fn start(mut self, mark: &str) -> Result<Running, String> {
        let secrets = self
            .folder
            .take_secrets()
            .map_err(|error| error.to_string())?;
        // What the runtime itself has set counts more: the last value of a name does.
        self.spec.environment.splice(0..0, secrets);
        fs::write(&self.spec.prompt_file, &self.spec.prompt).map_err(|error| {
            format!(
                "cannot write the prompt to {}: {error}",
                self.spec.prompt_file.display()
            )
        })?;
        let place = LogPlace {
            newest: self.folder.log(),
            older: self.folder.older_log(),
            bytes: self.spec.log_bytes,
        };
        let log =
            Log::create(place).map_err(|error| format!("cannot write the agent's log: {error}"))?;
        let enclosure = self.spec.confinement.as_ref().map(Enclosure::begin);
        let enclosure = enclosure
            .transpose()
            .map_err(|error| format!("{SANDBOX_COMPLAINT}: {error}"))?;
        terminal::start(&self.spec, (mark, enclosure), log, self.now)
    }
}

/// What ended the watching.
#[derive(Debug)]
enum Ended {
    Exited(Exit),
    Stalled {
        after: Duration,
    },
    /// It passed a limit, in words.
    Overstepped(String),
    Stopped(StopRequest),
}

impl Ended {
    fn grace(&self) -> Duration {
        match self {
            Self::Exited(_) => LEFTOVER_GRACE,
            Self::Stalled { .. } | Self::Overstepped(_) => STALL_GRACE,
            Self::Stopped(request) => request.grace.min(LONGEST_GRACE),
        }
    }
}

/// Follows one running agent.
struct Follower {
    parser: Box<dyn StreamParser>,
    control: JobControl,
    session: Option<SessionId>,
    tools: HashSet<String>,
    /// Until then silence is announced.
    backoff_until: Instant,
    /// Why the sandbox could not be built, if it says so.
    complaint: Option<String>,
}

impl Follower {
    fn new(spec: &AgentSpec, control: JobControl) -> Self {
        let parser = runtime::of(spec.runtime).parser(&spec.start);
        Self {
            parser,
            control,
            session: None,
            tools: HashSet::new(),
            backoff_until: Instant::now(),
            complaint: None,
        }
    }

    async fn follow(&mut self, running: &mut Running, inactivity: Duration) -> Ended {
        let control = self.control.clone();
        let mut stopped = pin!(control.stopped());
        let mut heard = Instant::now();
        let mut reads_on = true;
        let too_much = running.enclosure.as_ref().map(Enclosure::too_much_written);
        let mut overstepped = pin!(async {
            match too_much {
                Some(too_much) => too_much.await,
                None => std::future::pending().await,
            }
        });
        loop {
            let patience = heard.max(self.backoff_until) + inactivity;
            tokio::select! {
                request = &mut stopped => return Ended::Stopped(request),
                exit = &mut running.exit => return Ended::Exited(exit.unwrap_or(Exit::Status(-1))),
                lines = running.output.recv(), if reads_on => match lines {
                    Some(lines) => {
                        heard = Instant::now();
                        self.take(&lines);
                    }
                    None => reads_on = false,
                },
                () = sleep_until(patience), if self.tools.is_empty() => {
                    return Ended::Stalled { after: inactivity };
                }
                what = &mut overstepped => return Ended::Overstepped(what),
            }
        }
    }

    /// Ends the agent's whole tree while its last words are still read: a process that waits for
    /// its terminal does not hear a signal's handler out.
    async fn finish(&mut self, mut running: Running, grace: Duration) {
        let mut kill = pin!(running.tree.kill(grace));
        let mut drain = pin!(async {
            while let Some(lines) = running.output.recv().await {
                self.take(&lines);
            }
        });
        let killed = tokio::select! {
            killed = &mut kill => {
                if timeout(DRAIN_LIMIT, drain).await.is_err() {
                    tracing::warn!("somebody still holds the agent's terminal");
                }
                killed
            }
            () = &mut drain => kill.await,
        };
        if let Err(unkillable) = killed {
            tracing::error!(%unkillable, "something of the agent is still there");
        }
    }

    fn take(&mut self, lines: &[String]) {
        for line in lines {
            if line.contains(SANDBOX_COMPLAINT) {
                self.complaint = Some(line.trim().to_owned());
            }
            for progress in self.parser.line(line) {
                self.note(progress);
            }
        }
    }

    fn note(&mut self, progress: Progress) {
        match progress {
            Progress::SessionStarted(session) => {
                self.control.report_session(session.clone());
                self.session = Some(session);
            }
            Progress::ToolStarted { id, .. } => {
                self.tools.insert(id);
            }
            Progress::ToolEnded { id } => {
                self.tools.remove(&id);
            }
            Progress::Backoff { wait } => self.backoff_until = Instant::now() + wait,
            Progress::Message(_) => {}
        }
    }

    /// `refused`: what the limits of the sandbox refused.
    fn end(&self, ended: Ended, refused: &[String]) -> End {
        match ended {
            Ended::Exited(Exit::Status(status))
                if status == i32::from(COULD_NOT_BUILD) && self.complaint.is_some() =>
            {
                let message = self.complaint.clone().unwrap_or_default();
                End::CannotLaunch { message }
            }
            Ended::Exited(exit) => match self.parser.end(exit) {
                End::Crashed { message } if !refused.is_empty() => End::Crashed {
                    message: format!("{}; {message}", refused.join("; ")),
                },
                end => end,
            },
            Ended::Overstepped(message) => End::Crashed { message },
            Ended::Stalled { after } => End::Stalled { after },
            Ended::Stopped(StopRequest { cause, .. }) => match cause {
                StopCause::Requested => End::Stopped,
                StopCause::NoServer { after } => End::Lost {
                    message: format!("no huskies server was there for {} s", after.as_secs()),
                },
                StopCause::Terminated => End::Lost {
                    message: "its supervisor was told to end, as when the machine shuts down"
                        .to_owned(),
                },
            },
        }
    }
}

#[cfg(test)]
mod tests;
