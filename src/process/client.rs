//! The server's side of a supervised run: starting it once, meeting it again after a restart,
//! hearing how it goes, stopping it.

use std::io;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::net::UnixStream;
use tokio::process::{Child, Command};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use super::identity;
use super::protocol::{Connection, ServerEnd, ToServer, ToSupervisor};
use super::run_folder::{FolderError, RunFolder};
use super::tree::Tree;
use crate::domain::id::SessionId;
use crate::domain::text::tail_at_char_boundary;
use crate::domain::work::ProcessIdentity;

/// A supervisor that has not even taken its run by then will not.
const LAUNCH_LIMIT: Duration = Duration::from_secs(30);
/// Between two looks at a supervisor that does not answer.
const RETRY: Duration = Duration::from_millis(20);
/// Strays of a dead supervisor get this long to end by themselves.
const STRAY_GRACE: Duration = Duration::from_secs(2);

/// What a supervised run tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// The supervisor answers.
    Hello(ProcessIdentity),
    /// The job works in this session.
    Session(SessionId),
    /// `result.json` is there, and nothing of the run is left. The last message.
    Ended,
    /// The supervisor died without a result; what it had started is killed. The last message.
    Gone(ProcessIdentity),
}

/// What is found when a server looks for a run.
#[derive(Debug)]
pub enum Attachment {
    Running(Attached),
    /// `result.json` is there.
    Ended,
    /// No supervisor ever took it; it may be launched.
    NeverStarted,
    /// This supervisor took it and died without a result; what it had started is killed. It must
    /// not be launched again.
    Gone(ProcessIdentity),
}

/// Why a run could not be started.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    #[error(transparent)]
    Folder(#[from] FolderError),
    #[error("cannot start {binary} as a supervisor: {source}; huskies starts itself under the path it was started with, so put the binary back there", binary = binary.display())]
    Spawn { binary: PathBuf, source: io::Error },
    #[error("the supervisor ended ({status}) before it took the run: {log}")]
    Refused { status: ExitStatus, log: String },
    #[error("the supervisor did not take the run within {LAUNCH_LIMIT:?}; it was killed")]
    Hangs,
    #[error("the run was started before by process {}, which died without a result", .0.pid)]
    Gone(ProcessIdentity),
}

/// How supervisors are started.
#[derive(Debug, Clone)]
pub struct Launcher {
    /// The `huskies` binary.
    pub binary: PathBuf,
    /// The whole environment of a supervisor: `PATH`, `HOME`, `LANG` and the like, no secrets.
    pub environment: Vec<(String, String)>,
}

impl Launcher {
    /// Starts the run in `folder`, or joins it where it is started already: however often and by
    /// however many servers this is called, the job runs once.
    pub async fn launch(&self, folder: &RunFolder) -> Result<Attached, LaunchError> {
        let mut child = self.spawn(folder)?;
        let begun = Instant::now();
        loop {
            let exited = child
                .try_wait()
                .map_err(|source| self.spawn_error(source))?;
            match (attach(folder).await?, exited) {
                (Attachment::Running(attached), _) => return Ok(attached),
                (Attachment::Ended, _) => return Ok(Attached::ended()),
                (Attachment::Gone(process), _) => return Err(LaunchError::Gone(process)),
                (Attachment::NeverStarted, Some(status)) => {
                    return Err(LaunchError::Refused {
                        status,
                        log: log_tail(folder),
                    });
                }
                (Attachment::NeverStarted, None) if begun.elapsed() > LAUNCH_LIMIT => {
                    child
                        .kill()
                        .await
                        .map_err(|source| self.spawn_error(source))?;
                    return Err(LaunchError::Hangs);
                }
                (Attachment::NeverStarted, None) => sleep(RETRY).await,
            }
        }
    }

    /// The child is dropped once it has taken the run; tokio collects it when it ends.
    fn spawn(&self, folder: &RunFolder) -> Result<Child, LaunchError> {
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(folder.supervisor_log());
        let log = log.map_err(|source| self.spawn_error(source))?;
        Command::new(&self.binary)
            .arg("run-attempt")
            .arg(folder.path())
            .env_clear()
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .map_err(|source| self.spawn_error(source))
    }

    fn spawn_error(&self, source: io::Error) -> LaunchError {
        LaunchError::Spawn {
            binary: self.binary.clone(),
            source,
        }
    }
}

fn log_tail(folder: &RunFolder) -> String {
    match std::fs::read(folder.supervisor_log()) {
        Ok(log) => tail_at_char_boundary(String::from_utf8_lossy(&log).trim(), 1000).to_owned(),
        Err(error) => format!("(its log cannot be read: {error})"),
    }
}

/// Looks what has become of the run in `folder`, and joins it if it runs.
pub async fn attach(folder: &RunFolder) -> Result<Attachment, FolderError> {
    if folder.has_ended() {
        return Ok(Attachment::Ended);
    }
    let Some(started) = folder.read_started()? else {
        return Ok(Attachment::NeverStarted);
    };
    match look_again(folder, &started.process).await {
        Some(Progress::Gone(process)) => Ok(Attachment::Gone(process)),
        Some(Progress::Ended | Progress::Hello(_) | Progress::Session(_)) => Ok(Attachment::Ended),
        None => Ok(Attachment::Running(Attached::follow(
            folder,
            started.process,
        ))),
    }
}

/// How the run has ended, if it has. The result is looked for after the process: it writes the
/// result while it is still alive.
async fn look_again(folder: &RunFolder, process: &ProcessIdentity) -> Option<Progress> {
    let alive = identity::is_alive(process);
    if folder.has_ended() {
        return Some(Progress::Ended);
    }
    if alive {
        return None;
    }
    let strays = Tree {
        root: Some(process.clone()),
        mark: folder.mark(),
    };
    if let Err(unkillable) = strays.kill(STRAY_GRACE).await {
        tracing::error!(%unkillable, run = %folder.path().display(), "the supervisor died and left processes");
    }
    Some(Progress::Gone(process.clone()))
}

/// A run that this server follows. Keeps the run alive by its heartbeats, whether or not anybody
/// reads; dropping it hangs up and stops nothing.
#[derive(Debug)]
pub struct Attached {
    progress: mpsc::UnboundedReceiver<Progress>,
    stop: watch::Sender<Option<Duration>>,
    /// The one task that holds the connection; aborted on drop.
    _follower: JoinSet<()>,
}

impl Attached {
    /// What happens next; `None` after [`Progress::Ended`] or [`Progress::Gone`].
    pub async fn next(&mut self) -> Option<Progress> {
        self.progress.recv().await
    }

    /// Asks for the job's end: SIGTERM now, SIGKILL after `grace`. Asked again after every
    /// reconnection, so it is not lost.
    pub fn stop(&self, grace: Duration) {
        self.stop.send_replace(Some(grace));
    }

    /// A run that `follower` follows: it passes on what happens, and hears of a stop that is asked
    /// for. It is aborted when this is dropped.
    pub fn by<F>(
        follower: impl FnOnce(mpsc::UnboundedSender<Progress>, watch::Receiver<Option<Duration>>) -> F,
    ) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        // Unbounded, for a supervisor says a handful of things in its whole life.
        let (sender, progress) = mpsc::unbounded_channel();
        let (stop, stops) = watch::channel(None);
        let mut tasks = JoinSet::new();
        tasks.spawn(follower(sender, stops));
        Self {
            progress,
            stop,
            _follower: tasks,
        }
    }

    fn follow(folder: &RunFolder, process: ProcessIdentity) -> Self {
        Self::by(|progress, stop| {
            let follower = Follower {
                folder: folder.clone(),
                process,
                progress,
                stop,
                heartbeat: folder.read_supervision().unwrap_or_default().no_server / 4,
                told: None,
            };
            follower.run()
        })
    }

    fn ended() -> Self {
        Self::by(|progress, _| async move {
            // Nobody is left to hear it when the owner has just dropped its end.
            drop(progress.send(Progress::Ended));
        })
    }
}

/// Holds the connection to a supervisor, and takes it up again when it drops.
struct Follower {
    folder: RunFolder,
    process: ProcessIdentity,
    progress: mpsc::UnboundedSender<Progress>,
    stop: watch::Receiver<Option<Duration>>,
    heartbeat: Duration,
    /// The session that was last passed on.
    told: Option<SessionId>,
}

impl Follower {
    async fn run(mut self) {
        let mut greeted = false;
        loop {
            match self.connect_and_converse(&mut greeted).await {
                Ok(()) => {}
                Err(error) => tracing::debug!(%error, "a supervisor does not answer"),
            }
            if let Some(end) = look_again(&self.folder, &self.process).await {
                // Nobody is left to hear it when the owner has just dropped its end.
                drop(self.progress.send(end));
                return;
            }
            sleep(RETRY).await;
        }
    }

    /// Talks until the supervisor hangs up.
    async fn connect_and_converse(&mut self, greeted: &mut bool) -> io::Result<()> {
        let folder = self.folder.open().map_err(io::Error::other)?;
        let stream = UnixStream::connect(RunFolder::short_socket_path(&folder)).await?;
        let mut connection: ServerEnd<UnixStream> = Connection::new(stream);
        let mut heartbeat = interval(self.heartbeat.max(Duration::from_millis(1)));
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        self.stop.mark_changed();
        loop {
            tokio::select! {
                message = connection.receive() => match message {
                    Some(message) => self.pass_on(message?, greeted),
                    None => return Ok(()),
                },
                _ = heartbeat.tick() => connection.send(&ToSupervisor::Heartbeat).await?,
                Ok(()) = self.stop.changed() => {
                    let asked = *self.stop.borrow_and_update();
                    if let Some(grace) = asked {
                        connection.send(&ToSupervisor::Stop { grace }).await?;
                    }
                }
            }
        }
    }

    /// Each news is passed on once, however often the connection was taken up again.
    fn pass_on(&mut self, message: ToServer, greeted: &mut bool) {
        let news = match message {
            ToServer::Hello { process } if !*greeted => {
                *greeted = true;
                Progress::Hello(process)
            }
            ToServer::Session(session) if self.told.as_ref() != Some(&session) => {
                self.told = Some(session.clone());
                Progress::Session(session)
            }
            // `Ended` is passed on when the result is seen, right after the supervisor hangs up.
            ToServer::Hello { .. } | ToServer::Session(_) | ToServer::Ended => return,
        };
        // Nobody is left to hear it when the owner has just dropped its end.
        drop(self.progress.send(news));
    }
}
