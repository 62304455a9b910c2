//! Runs: supervised processes that are started once, met again after a restart, and watched to
//! their end. What they ended with becomes an event.

mod brief;
mod slots;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use super::context::{Backoff, Context, Leaving};
use crate::agent::session::AgentOutcome;
use crate::domain::effect::Run;
use crate::domain::event::{Event, HeadEvent, RepoEvent, StoryEvent};
use crate::domain::head::HeadId;
use crate::domain::id::RunId;
use crate::domain::work::{End, GateOutcome, GateReport, ProcessIdentity, Usage};
use crate::engine::Report;
use crate::gate::job::{GatesOutcome, GatesSpec};
use crate::gate::setup::SetupFailure;
use crate::process::client::{Attached, Attachment, LaunchError, Progress, attach};
use crate::process::run_folder::{RunFolder, Spec};
use crate::store::{RunRecord, RunState, RunWrite};
use crate::supervised::RunSpec;
use slots::Slots;

/// From a stop to SIGKILL; the whole stop stays within the 10 s that people may expect.
const STOP_GRACE: Duration = Duration::from_secs(5);

/// All runs of this server that have not ended.
pub(super) struct Runs {
    context: Arc<Context>,
    slots: Slots,
    /// Cancelled when a run is to be stopped.
    stops: HashMap<RunId, CancellationToken>,
    watchers: JoinSet<RunId>,
    shutdown: CancellationToken,
}

impl Runs {
    pub(super) fn new(context: Arc<Context>, shutdown: CancellationToken) -> Self {
        Self {
            context,
            slots: Slots::default(),
            stops: HashMap::new(),
            watchers: JoinSet::new(),
            shutdown,
        }
    }

    /// Watches over a run, starting it if it never was. A run that is watched already stays so.
    pub(super) fn begin(&mut self, id: RunId) {
        if self.stops.contains_key(&id) {
            return;
        }
        let stop = CancellationToken::new();
        self.stops.insert(id.clone(), stop.clone());
        let watcher = Watcher {
            context: Arc::clone(&self.context),
            slots: self.slots.clone(),
            id: id.clone(),
            stop,
            shutdown: self.shutdown.clone(),
        };
        self.watchers.spawn(async move {
            watcher.watch().await;
            id
        });
    }

    /// Meets a run that an earlier server may have started. The checkout that its gates use is
    /// taken before anything new can ask for one.
    pub(super) fn meet(&mut self, id: RunId) {
        let folder = RunFolder::of(&self.context.adapters.data_dir, &id);
        let spec = folder
            .ok()
            .and_then(|folder| folder.read_spec::<RunSpec>().ok());
        if let Some(RunSpec::Gates(gates)) = spec.map(|spec| spec.job) {
            self.slots.keep(&id, &gates.place.directory);
        }
        self.begin(id);
    }

    pub(super) fn stop(&self, id: &RunId) {
        if let Some(stop) = self.stops.get(id) {
            stop.cancel();
        }
    }

    pub(super) async fn join_next(&mut self) -> Option<Result<RunId, JoinError>> {
        self.watchers.join_next().await
    }

    pub(super) fn ended(&mut self, done: Result<RunId, JoinError>) {
        match done {
            Ok(id) => {
                self.stops.remove(&id);
            }
            Err(error) => {
                tracing::error!(%error, "a run's watcher broke down; it is met again at the next start")
            }
        }
    }

    /// Hangs up. The runs themselves go on under their supervisors.
    pub(super) async fn leave(mut self) {
        self.watchers.shutdown().await;
    }
}

/// How a run ended, whatever it was.
enum Outcome {
    Agent { end: End, usage: Usage },
    Gates(Result<GateReport, String>),
}

struct Watcher {
    context: Arc<Context>,
    slots: Slots,
    id: RunId,
    stop: CancellationToken,
    shutdown: CancellationToken,
}

impl Watcher {
    async fn watch(&self) {
        let record = match self.record().await {
            Some(record) if record.state != RunState::Ended => record,
            Some(_) | None => return,
        };
        let Some(outcome) = self.outcome(&record).await else {
            return;
        };
        let report = || Report {
            event: Some(self.event(&outcome)),
            run: Some(RunWrite::Ended {
                id: self.id.clone(),
            }),
            ..Report::default()
        };
        self.context.tell(report, &self.shutdown).await;
        self.slots.release(&self.id);
    }

    async fn record(&self) -> Option<RunRecord> {
        let mut backoff = Backoff::default();
        loop {
            match self.context.store.run(&self.id).await {
                Ok(record) => return record,
                Err(error) => {
                    tracing::error!(%error, run = %self.id, "the run's record cannot be read")
                }
            }
            if let Err(Leaving) = backoff.wait(&self.shutdown).await {
                return None;
            }
        }
    }

    /// `None` when the server leaves before the run has ended.
    async fn outcome(&self, record: &RunRecord) -> Option<Outcome> {
        let folder = match RunFolder::of(&self.context.adapters.data_dir, &self.id) {
            Ok(folder) => folder,
            Err(error) => return Some(self.not_started(record, &error.to_string())),
        };
        let attachment = match attach(&folder).await {
            Ok(attachment) => attachment,
            Err(error) => return Some(self.not_started(record, &error.to_string())),
        };
        match attachment {
            Attachment::Running(attached) => self.follow(record, &folder, attached).await,
            Attachment::Ended => Some(self.result(record, &folder)),
            Attachment::Gone(process) => Some(self.lost(record, &process)),
            Attachment::NeverStarted if self.stop.is_cancelled() => Some(self.stopped(record)),
            Attachment::NeverStarted => self.launch(record, &folder).await,
        }
    }

    async fn launch(&self, record: &RunRecord, folder: &RunFolder) -> Option<Outcome> {
        let job = match self.spec(record, folder).await {
            Ok(job) => job,
            Err(error) => return Some(self.not_started(record, &format!("{error:#}"))),
        };
        let spec = Spec {
            supervision: crate::process::run_folder::Supervision::default(),
            job,
        };
        if let Err(error) = folder.create(&spec) {
            return Some(self.not_started(record, &error.to_string()));
        }
        self.context.adapters.crash.reach("run.launch.before");
        let launched = self.context.adapters.launcher.launch(folder).await;
        self.context.adapters.crash.reach("run.launch.after");
        match launched {
            Ok(attached) => self.follow(record, folder, attached).await,
            Err(LaunchError::Gone(process)) => Some(self.lost(record, &process)),
            Err(error) => Some(self.not_started(record, &error.to_string())),
        }
    }

    async fn spec(&self, record: &RunRecord, folder: &RunFolder) -> anyhow::Result<RunSpec> {
        match &record.run {
            Run::StartAgent { brief, .. } => {
                let RunId::Agent(story, attempt) = &self.id else {
                    anyhow::bail!("{} is no agent's run", self.id)
                };
                let order = brief::AgentOrder {
                    story,
                    attempt: *attempt,
                    brief,
                    folder,
                };
                Ok(RunSpec::Agent(Box::new(
                    brief::agent_spec(&self.context, &order).await?,
                )))
            }
            Run::StartGates { brief, .. } => {
                let slot = self.slots.take(&self.id);
                Ok(RunSpec::Gates(Box::new(
                    brief::gates_spec(&self.context, &self.id, brief, slot).await?,
                )))
            }
            Run::Stop { .. } => anyhow::bail!("a stop is no run"),
        }
    }

    async fn follow(
        &self,
        record: &RunRecord,
        folder: &RunFolder,
        mut attached: Attached,
    ) -> Option<Outcome> {
        let mut asked = false;
        loop {
            let progress = tokio::select! {
                () = self.shutdown.cancelled() => return None,
                () = self.stop.cancelled(), if !asked => {
                    asked = true;
                    attached.stop(STOP_GRACE);
                    continue;
                }
                progress = attached.next() => progress,
            };
            match progress {
                Some(Progress::Hello(process)) => self.started(&process).await,
                Some(Progress::Session(session)) => {
                    if let RunId::Agent(story, attempt) = &self.id {
                        let event = StoryEvent::SessionSeen {
                            attempt: *attempt,
                            session,
                        };
                        self.context
                            .tell_event(&Event::story(story, event), &self.shutdown)
                            .await;
                    }
                }
                Some(Progress::Ended) => return Some(self.result(record, folder)),
                Some(Progress::Gone(process)) => return Some(self.lost(record, &process)),
                None => return Some(self.result(record, folder)),
            }
        }
    }

    async fn started(&self, process: &ProcessIdentity) {
        let event = match &self.id {
            RunId::Agent(story, attempt) => {
                let event = StoryEvent::AgentStarted {
                    attempt: *attempt,
                    process: process.clone(),
                };
                Some(Event::story(story, event))
            }
            RunId::Accept(..) | RunId::Merge(..) | RunId::Head(..) => None,
        };
        let report = || Report {
            event: event.clone(),
            run: Some(RunWrite::Started {
                id: self.id.clone(),
                process: process.clone(),
            }),
            ..Report::default()
        };
        self.context.tell(report, &self.shutdown).await;
    }

    fn result(&self, record: &RunRecord, folder: &RunFolder) -> Outcome {
        match &record.run {
            Run::StartAgent { .. } => match folder.read_result::<AgentOutcome>() {
                Ok(Some(outcome)) => Outcome::Agent {
                    end: outcome.end,
                    usage: outcome.usage,
                },
                Ok(None) => agent_end(End::Lost {
                    message: "it left no result".to_owned(),
                }),
                Err(error) => agent_end(End::Lost {
                    message: error.to_string(),
                }),
            },
            Run::StartGates { .. } | Run::Stop { .. } => {
                let spec = folder.read_spec::<RunSpec>().map(|spec| spec.job);
                let gates = match (folder.read_result::<GatesOutcome>(), spec) {
                    (Ok(Some(outcome)), Ok(RunSpec::Gates(spec))) => judged(outcome, &spec),
                    (Ok(None), _) => Err("the gates left no result".to_owned()),
                    (Err(error), _) | (_, Err(error)) => Err(error.to_string()),
                    (Ok(Some(_)), Ok(RunSpec::Agent(_))) => {
                        Err("the run's folder holds another job".to_owned())
                    }
                };
                Outcome::Gates(gates)
            }
        }
    }

    fn lost(&self, record: &RunRecord, process: &ProcessIdentity) -> Outcome {
        let message = format!(
            "its supervisor (process {}) is gone without a result",
            process.pid
        );
        match &record.run {
            Run::StartAgent { .. } => agent_end(End::Lost { message }),
            Run::StartGates { .. } | Run::Stop { .. } => Outcome::Gates(Err(message)),
        }
    }

    fn stopped(&self, record: &RunRecord) -> Outcome {
        match &record.run {
            Run::StartAgent { .. } => agent_end(End::Stopped),
            Run::StartGates { .. } | Run::Stop { .. } => {
                Outcome::Gates(Err("stopped before the start".to_owned()))
            }
        }
    }

    fn not_started(&self, record: &RunRecord, message: &str) -> Outcome {
        match &record.run {
            Run::StartAgent { .. } => agent_end(End::CannotLaunch {
                message: message.to_owned(),
            }),
            Run::StartGates { .. } | Run::Stop { .. } => Outcome::Gates(Err(message.to_owned())),
        }
    }

    fn event(&self, outcome: &Outcome) -> Event {
        match (&self.id, outcome) {
            (RunId::Agent(story, attempt), Outcome::Agent { end, usage }) => {
                let event = StoryEvent::AgentEnded {
                    attempt: *attempt,
                    end: end.clone(),
                    usage: usage.clone(),
                };
                Event::story(story, event)
            }
            (RunId::Agent(story, attempt), Outcome::Gates(_)) => {
                let end = End::Lost {
                    message: "the run ended as something else".to_owned(),
                };
                Event::story(
                    story,
                    StoryEvent::AgentEnded {
                        attempt: *attempt,
                        end,
                        usage: Usage::default(),
                    },
                )
            }
            (_, Outcome::Gates(gates)) => gates_event(&self.id, gates.clone()),
            (_, Outcome::Agent { .. }) => {
                gates_event(&self.id, Err("the run ended as something else".to_owned()))
            }
        }
    }
}

fn agent_end(end: End) -> Outcome {
    Outcome::Agent {
        end,
        usage: Usage::default(),
    }
}

fn gates_event(id: &RunId, gates: Result<GateReport, String>) -> Event {
    match id {
        RunId::Agent(story, attempt) | RunId::Accept(story, attempt, _) => {
            let attempt = *attempt;
            Event::story(
                story,
                match gates {
                    Ok(report) => StoryEvent::GatesEnded { attempt, report },
                    Err(message) => StoryEvent::GatesLost { attempt, message },
                },
            )
        }
        RunId::Merge(repo, number) => {
            let number = *number;
            Event::repo(
                repo,
                match gates {
                    Ok(report) => RepoEvent::GatesEnded { number, report },
                    Err(message) => RepoEvent::GatesLost { number, message },
                },
            )
        }
        RunId::Head(repo, sha, run) => {
            let (id, run) = (
                HeadId {
                    repo: repo.clone(),
                    sha: sha.clone(),
                },
                *run,
            );
            Event::Head {
                id,
                event: match gates {
                    Ok(report) => HeadEvent::GatesEnded { run, report },
                    Err(message) => HeadEvent::GatesLost { run, message },
                },
            }
        }
    }
}

/// What a set of gates found out. A set-up that fails on a commit is that commit's failure, like a
/// gate's.
fn judged(outcome: GatesOutcome, spec: &GatesSpec) -> Result<GateReport, String> {
    match outcome {
        GatesOutcome::Judged { report, teardown } => {
            for failure in teardown {
                tracing::warn!(%failure, "teardown failed after the gates");
            }
            Ok(report)
        }
        GatesOutcome::SetupFailed { failure, .. } => {
            let SetupFailure {
                component,
                verdict,
                tail,
                command,
            } = failure;
            let tail = format!("$ {command}\n{tail}");
            let outcome = GateOutcome {
                gate: component,
                verdict,
                duration: Duration::ZERO,
                tail,
            };
            Ok(GateReport {
                commit: spec.commit.clone(),
                tree: spec.tree.clone(),
                outcomes: vec![outcome],
            })
        }
        GatesOutcome::Cancelled => Err("the gates were stopped".to_owned()),
    }
}
