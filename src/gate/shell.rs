//! One shell command under a time limit: its own process group, no input, both output streams in
//! one pipe, and nothing of it left when it has ended.

use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::pin::pin;
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::process::{Child, Command};

use super::output::Collector;
use super::{Cancelled, Place, Progress, Watch};
use crate::domain::id::ItemName;
use crate::domain::work::GateVerdict;
use crate::process::identity;
use crate::process::tree::{MARK_VARIABLE, Tree};
use crate::sandbox::{COULD_NOT_BUILD, Enclosure, SANDBOX_COMPLAINT};

/// Between SIGTERM and SIGKILL.
const GRACE: Duration = Duration::from_secs(2);

/// How long output is still read after everything that could be found has ended: a process that hid
/// from the search may hold the pipe open for ever.
const DRAIN: Duration = Duration::from_secs(1);

/// A command and how it is to run.
pub(super) struct ShellCommand<'a> {
    /// The gate or component that it belongs to.
    pub(super) of: &'a ItemName,
    pub(super) command: &'a str,
    pub(super) directory: PathBuf,
    pub(super) place: &'a Place,
    pub(super) timeout: Duration,
}

/// How it went. The verdict is never `Skipped`.
pub(super) struct Finished {
    pub(super) verdict: GateVerdict,
    pub(super) tail: String,
    pub(super) duration: Duration,
}

impl ShellCommand<'_> {
    /// Runs it to its end, to its time limit, or until the watch cancels it; whichever it is, its
    /// processes are gone afterwards, also those that it left in the background.
    pub(super) async fn run(&self, watch: &Watch) -> Result<Finished, Cancelled> {
        let start = Instant::now();
        let enclosure = self.place.confinement.as_ref().map(Enclosure::begin);
        let begun = enclosure.transpose().and_then(|enclosure| {
            let (child, output) = self.spawn(enclosure.as_ref())?;
            Ok((enclosure, child, output))
        });
        let (enclosure, child, output) = match begun {
            Ok(begun) => begun,
            Err(error) => {
                let message = format!("{error} (in {})", self.directory.display());
                return Ok(Finished {
                    verdict: GateVerdict::Broken { message },
                    tail: String::new(),
                    duration: start.elapsed(),
                });
            }
        };
        let mut collector = Collector::new(self.place.output_cap);
        let verdict = {
            let mut reading = pin!(self.read(output, &mut collector, watch));
            let mut ending = pin!(self.end(child, enclosure.as_ref(), watch));
            tokio::select! {
                verdict = &mut ending => {
                    if tokio::time::timeout(DRAIN, &mut reading).await.is_err() {
                        tracing::debug!(of = %self.of, "something still holds the output open");
                    }
                    verdict
                }
                () = &mut reading => ending.await,
            }
        }?;
        let mut tail = collector.into_tail();
        for refused in enclosure.iter().flat_map(Enclosure::refused) {
            let gap = if tail.is_empty() { "" } else { "\n" };
            tail = format!("{tail}{gap}huskies: {refused}");
        }
        Ok(Finished {
            verdict: explained(verdict, &tail),
            tail,
            duration: start.elapsed(),
        })
    }

    fn spawn(&self, enclosure: Option<&Enclosure>) -> std::io::Result<(Child, pipe::Receiver)> {
        let (reader, writer) = std::io::pipe()?;
        let argv = ["sh", "-c", self.command].map(str::to_owned);
        let (argv, environment) = match enclosure {
            Some(enclosure) => (
                enclosure.wrap(&argv),
                enclosure.environment(&self.place.environment),
            ),
            None => (argv.to_vec(), self.place.environment.clone()),
        };
        let mut command = Command::new(&argv[0]);
        command
            .args(&argv[1..])
            .current_dir(&self.directory)
            .env_clear()
            .envs(environment)
            .env(
                MARK_VARIABLE,
                format!("{} {}", self.place.marks, self.mark()),
            )
            .stdin(Stdio::null())
            .stdout(writer.try_clone()?)
            .stderr(writer)
            .process_group(0)
            .kill_on_drop(true);
        let child = command.spawn()?;
        Ok((child, pipe::Receiver::from_owned_fd(reader.into())?))
    }

    /// This command's own mark, below the run's: `merge-7/test`.
    fn mark(&self) -> String {
        let run = self.place.marks.rsplit(' ').next().unwrap_or_default();
        format!("{run}/{}", self.of)
    }

    async fn end(
        &self,
        mut child: Child,
        enclosure: Option<&Enclosure>,
        watch: &Watch,
    ) -> Result<GateVerdict, Cancelled> {
        let tree = self.tree(&child);
        let mut overstepped = None;
        let too_much = async {
            match enclosure {
                Some(enclosure) => enclosure.too_much_written().await,
                None => std::future::pending().await,
            }
        };
        let ended = tokio::select! {
            what = too_much => {
                overstepped = Some(what);
                Err(Cancelled)
            }
            () = watch.cancel.cancelled() => Err(Cancelled),
            ended = tokio::time::timeout(self.timeout, child.wait()) => Ok(ended),
        };
        if let Err(unkillable) = tree.kill(GRACE).await {
            tracing::error!(of = %self.of, %unkillable, "a command left processes");
        }
        match ended {
            Ok(Ok(Ok(status))) => Ok(verdict_of(status)),
            Ok(Ok(Err(error))) => Ok(GateVerdict::Broken {
                message: error.to_string(),
            }),
            Ok(Err(_elapsed)) => {
                self.reap(&mut child).await;
                Ok(GateVerdict::TimedOut {
                    after: self.timeout,
                })
            }
            Err(Cancelled) => {
                self.reap(&mut child).await;
                match overstepped {
                    Some(message) => Ok(GateVerdict::Broken { message }),
                    None => Err(Cancelled),
                }
            }
        }
    }

    /// What the command started. It is found by its mark alone once it has ended by itself.
    fn tree(&self, child: &Child) -> Tree {
        Tree {
            root: child.id().and_then(|pid| identity::identify(pid).ok()),
            mark: self.mark(),
        }
    }

    async fn reap(&self, child: &mut Child) {
        if let Err(error) = child.wait().await {
            tracing::warn!(of = %self.of, %error, "an ended command could not be reaped");
        }
    }

    async fn read(&self, mut output: pipe::Receiver, collector: &mut Collector, watch: &Watch) {
        let mut buffer = vec![0; 8 * 1024];
        loop {
            let read = output.read(&mut buffer).await.unwrap_or_else(|error| {
                tracing::warn!(of = %self.of, %error, "output could not be read");
                0
            });
            if read == 0 {
                break;
            }
            for line in collector.take(&buffer[..read]) {
                watch
                    .tell(Progress::Line {
                        of: self.of.clone(),
                        line,
                    })
                    .await;
            }
        }
        if let Some(line) = collector.rest() {
            watch
                .tell(Progress::Line {
                    of: self.of.clone(),
                    line,
                })
                .await;
        }
    }
}

/// A command that never began has no verdict of its own.
fn explained(verdict: GateVerdict, tail: &str) -> GateVerdict {
    let complaint = tail.lines().rfind(|line| line.contains(SANDBOX_COMPLAINT));
    match (&verdict, complaint) {
        (GateVerdict::Failed { status }, Some(complaint))
            if *status == i32::from(COULD_NOT_BUILD) =>
        {
            let message = complaint.to_owned();
            GateVerdict::Broken { message }
        }
        _ => verdict,
    }
}

/// The exit status alone decides; a signal counts as 128 + its number, as in the shell.
fn verdict_of(status: ExitStatus) -> GateVerdict {
    let signalled = || status.signal().map(|signal| 128 + signal);
    match status.code().or_else(signalled) {
        Some(0) => GateVerdict::Passed,
        Some(status) => GateVerdict::Failed { status },
        None => GateVerdict::Broken {
            message: "it ended without an exit status".to_owned(),
        },
    }
}
