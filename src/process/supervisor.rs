//! The supervising side: runs one job, whatever happens to the server that wanted it.
//!
//! ```text
//! claim ─▶ listen ─▶ job ─▶ kill the whole tree ─▶ result.json ─▶ tell the servers ─▶ exit
//!                     └── stopped by: a server's Stop · SIGTERM or SIGINT · no server for too long
//! ```

use std::io;
use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rustix::process::{getpid, set_child_subreaper, setsid};
use serde::Serialize;
use tokio::net::{UnixListener, UnixStream};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::identity;
use super::protocol::{Connection, SupervisorEnd, ToServer, ToSupervisor};
use super::run_folder::{FolderError, RunFolder, Supervision};
use super::tree::Tree;
use crate::domain::id::SessionId;
use crate::domain::work::ProcessIdentity;

/// What a stopped job's processes get when nobody says otherwise.
const DEFAULT_GRACE: Duration = Duration::from_secs(5);
/// What is left over after the job has ended gets this long.
const LEFTOVER_GRACE: Duration = Duration::from_millis(500);
/// How long servers are waited for to take the news that the job has ended.
const FAREWELL: Duration = Duration::from_secs(1);

/// What a supervisor runs.
pub trait Job: Send {
    /// What `result.json` will hold.
    type Outcome: Serialize + Send;

    /// Runs to the end, or until `control` says stop: then it ends its processes and returns what
    /// it has. Must not block.
    fn run(self, control: JobControl) -> impl Future<Output = Self::Outcome> + Send;
}

/// Why a job is to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopCause {
    /// A server said so.
    Requested,
    /// No server was heard of for this long.
    NoServer { after: Duration },
    /// The supervisor itself got SIGTERM or SIGINT: somebody shuts the machine down, say.
    Terminated,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StopRequest {
    pub cause: StopCause,
    /// From SIGTERM to SIGKILL.
    pub grace: Duration,
}

/// A job's line to its supervisor.
#[derive(Debug, Clone)]
pub struct JobControl {
    mark: String,
    stopped: CancellationToken,
    request: Arc<OnceLock<StopRequest>>,
    session: watch::Sender<Option<SessionId>>,
}

impl JobControl {
    /// A control whose job's processes carry `mark`, and the end that stops it.
    pub fn new(mark: String) -> (Self, JobHandle) {
        let (session, sessions) = watch::channel(None);
        let (stopped, request) = (CancellationToken::new(), Arc::default());
        let handle = JobHandle {
            stopped: stopped.clone(),
            request: Arc::clone(&request),
            sessions,
        };
        (
            Self {
                mark,
                stopped,
                request,
                session,
            },
            handle,
        )
    }

    /// The value of [`super::tree::MARK_VARIABLE`] that all the job's processes must get.
    pub fn mark(&self) -> &str {
        &self.mark
    }

    /// Cancelled when the job is to stop.
    pub fn token(&self) -> &CancellationToken {
        &self.stopped
    }

    /// Waits until the job is to stop.
    pub async fn stopped(&self) -> StopRequest {
        self.stopped.cancelled().await;
        let unsaid = StopRequest {
            cause: StopCause::Terminated,
            grace: DEFAULT_GRACE,
        };
        self.request.get().copied().unwrap_or(unsaid)
    }

    /// Tells every server, now or when it attaches, the session that the job works in.
    pub fn report_session(&self, session: SessionId) {
        self.session.send_replace(Some(session));
    }
}

/// The other end of a [`JobControl`].
#[derive(Debug)]
pub struct JobHandle {
    stopped: CancellationToken,
    request: Arc<OnceLock<StopRequest>>,
    sessions: watch::Receiver<Option<SessionId>>,
}

impl JobHandle {
    /// The first request counts; later ones change nothing.
    pub fn stop(&self, request: StopRequest) {
        self.request.get_or_init(|| request);
        self.stopped.cancel();
    }

    /// The session that the job reported last.
    pub fn session(&self) -> Option<SessionId> {
        self.sessions.borrow().clone()
    }
}

/// How supervising ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Supervised {
    /// The job ran; `result.json` is written.
    Ended,
    /// Another supervisor has this run, or had it. Nothing was done.
    AlreadyStarted,
}

/// Why a job could not be supervised.
#[derive(Debug, thiserror::Error)]
pub enum SuperviseError {
    #[error(transparent)]
    Folder(#[from] FolderError),
    #[error("cannot become the supervisor of a process tree: {0}")]
    Process(io::Error),
    #[error("cannot listen in the run's folder: {0}")]
    Listen(io::Error),
}

/// Runs `job`, once per folder. This process becomes a session leader and the parent of every
/// orphan of the job; it should do nothing else and exit when this returns.
pub async fn supervise<J: Job>(
    folder: &RunFolder,
    supervision: Supervision,
    job: J,
) -> Result<Supervised, SuperviseError> {
    detach().map_err(SuperviseError::Process)?;
    let me = identity::identify(std::process::id()).map_err(SuperviseError::Process)?;
    if !folder.claim(me.clone())? {
        return Ok(Supervised::AlreadyStarted);
    }
    let (control, handle) = JobControl::new(folder.mark());
    let mut watch = Watch::begin(folder, supervision, me.clone(), handle)?;
    let outcome = watch.until_done(job.run(control)).await;
    if let Err(unkillable) = (Tree {
        root: Some(me),
        mark: folder.mark(),
    })
    .kill(LEFTOVER_GRACE)
    .await
    {
        tracing::error!(%unkillable, "something of the run is still there");
    }
    folder.write_result(&outcome)?;
    watch.farewell().await;
    Ok(Supervised::Ended)
}

/// Leaves the server's session, so that its terminal and its signals do not reach this process, and
/// becomes the one that inherits the job's orphans.
fn detach() -> io::Result<()> {
    match setsid() {
        // EPERM: a group leader already (started by hand from a shell), so no signal to another
        // group comes here.
        Ok(_) | Err(rustix::io::Errno::PERM) => {}
        Err(error) => return Err(error.into()),
    }
    Ok(set_child_subreaper(Some(getpid()))?)
}

/// What a server's connection tells the main loop.
enum Notice {
    Heard,
    Stop { grace: Duration },
}

/// The supervisor's ears while the job runs.
struct Watch {
    listener: UnixListener,
    servers: JoinSet<()>,
    notices: mpsc::Receiver<Notice>,
    notify: mpsc::Sender<Notice>,
    terminate: Signal,
    interrupt: Signal,
    no_server: Duration,
    alone_until: Instant,
    process: ProcessIdentity,
    handle: JobHandle,
    ended: CancellationToken,
}

impl Watch {
    fn begin(
        folder: &RunFolder,
        supervision: Supervision,
        process: ProcessIdentity,
        handle: JobHandle,
    ) -> Result<Self, SuperviseError> {
        let opened = folder.open()?;
        let path = RunFolder::short_socket_path(&opened);
        let (notify, notices) = mpsc::channel(16);
        Ok(Self {
            listener: UnixListener::bind(path).map_err(SuperviseError::Listen)?,
            servers: JoinSet::new(),
            notices,
            notify,
            terminate: signal(SignalKind::terminate()).map_err(SuperviseError::Process)?,
            interrupt: signal(SignalKind::interrupt()).map_err(SuperviseError::Process)?,
            no_server: supervision.no_server,
            alone_until: Instant::now() + supervision.no_server,
            process,
            handle,
            ended: CancellationToken::new(),
        })
    }

    /// Drives the job to its end while it listens to servers and signals.
    async fn until_done<O>(&mut self, job: impl Future<Output = O>) -> O {
        let mut job = pin!(job);
        loop {
            tokio::select! {
                outcome = &mut job => return outcome,
                accepted = self.listener.accept() => self.welcome(accepted.map(|(stream, _)| stream)).await,
                Some(notice) = self.notices.recv() => self.heed(&notice),
                Some(_) = self.servers.join_next(), if !self.servers.is_empty() => {}
                () = sleep_until(self.alone_until), if !self.handle.stopped.is_cancelled() => {
                    self.stop(StopCause::NoServer { after: self.no_server }, DEFAULT_GRACE);
                }
                _ = self.terminate.recv() => self.stop(StopCause::Terminated, DEFAULT_GRACE),
                _ = self.interrupt.recv() => self.stop(StopCause::Terminated, DEFAULT_GRACE),
            }
        }
    }

    fn stop(&self, cause: StopCause, grace: Duration) {
        tracing::info!(?cause, ?grace, "the job is to stop");
        self.handle.stop(StopRequest { cause, grace });
    }

    fn heed(&mut self, notice: &Notice) {
        self.alone_until = Instant::now() + self.no_server;
        match *notice {
            Notice::Heard => {}
            Notice::Stop { grace } => self.stop(StopCause::Requested, grace),
        }
    }

    async fn welcome(&mut self, accepted: io::Result<UnixStream>) {
        match accepted {
            Ok(stream) => {
                self.heed(&Notice::Heard);
                let server = Server {
                    connection: Connection::new(stream),
                    process: self.process.clone(),
                    sessions: self.handle.sessions.clone(),
                    notify: self.notify.clone(),
                    ended: self.ended.clone(),
                };
                self.servers.spawn(server.serve());
            }
            Err(error) => {
                // Out of descriptors, most likely: going on at once would only spin.
                tracing::warn!(%error, "cannot accept a server");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }

    /// Tells the servers that the result is there; a server that is too slow will see the file.
    async fn farewell(mut self) {
        self.ended.cancel();
        let told = async { while self.servers.join_next().await.is_some() {} };
        if timeout(FAREWELL, told).await.is_err() {
            tracing::debug!("a server did not take the news in time");
        }
    }
}

/// One connected server.
struct Server {
    connection: SupervisorEnd<UnixStream>,
    process: ProcessIdentity,
    sessions: watch::Receiver<Option<SessionId>>,
    notify: mpsc::Sender<Notice>,
    ended: CancellationToken,
}

impl Server {
    async fn serve(mut self) {
        if let Err(error) = self.converse().await {
            tracing::debug!(%error, "a server hung up");
        }
    }

    async fn converse(&mut self) -> io::Result<()> {
        self.connection
            .send(&ToServer::Hello {
                process: self.process.clone(),
            })
            .await?;
        self.sessions.mark_changed();
        let (mut sessions_open, mut notices_open) = (true, true);
        loop {
            tokio::select! {
                biased;
                changed = self.sessions.changed(), if sessions_open => {
                    sessions_open = changed.is_ok();
                    self.tell_session().await?;
                }
                message = self.connection.receive() => {
                    let Some(message) = message else { return Ok(()) };
                    let notice = match message? {
                        ToSupervisor::Stop { grace } => Notice::Stop { grace },
                        ToSupervisor::Heartbeat => Notice::Heard,
                    };
                    if notices_open {
                        // The job has ended and nobody listens any more: `ended` comes next.
                        notices_open = self.notify.send(notice).await.is_ok();
                    }
                }
                () = self.ended.cancelled() => return self.connection.send(&ToServer::Ended).await,
            }
        }
    }

    async fn tell_session(&mut self) -> io::Result<()> {
        let session = self.sessions.borrow_and_update().clone();
        match session {
            Some(session) => self.connection.send(&ToServer::Session(session)).await,
            None => Ok(()),
        }
    }
}
