//! Runs: supervised processes that are started once, met again after a restart, and watched to
//! their end. What they ended with becomes an event.

mod brief;
mod outcome;
mod slots;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use super::context::{Backoff, Context, Leaving};
use super::supervisors::Supervisors;
use crate::domain::effect::Run;
use crate::domain::event::{Event, StoryEvent};
use crate::domain::id::RunId;
use crate::domain::work::ProcessIdentity;
use crate::engine::Report;
use crate::process::client::{Attached, Attachment, LaunchError, Progress};
use crate::process::run_folder::{RunFolder, Spec, Supervision};
use crate::store::{RunRecord, RunState, RunWrite};
use crate::supervised::RunSpec;
use outcome::Outcome;
use slots::Slots;

/// From a stop to SIGKILL; the whole stop stays within the 10 s that people may expect.
const STOP_GRACE: Duration = Duration::from_secs(5);
/// A supervisor that has not ended its run by then is left alone: without a server it ends it.
const STOP_LIMIT: Duration = Duration::from_secs(15);

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
                tracing::error!(%error, "a run's watcher broke down; it is met again at the next start");
            }
        }
    }

    /// Hangs up. The runs themselves go on under their supervisors, unless they are to end: then
    /// their supervisors write down how, and the next server reads it and keeps what they have.
    pub(super) async fn leave(mut self, stop: bool) {
        self.watchers.shutdown().await;
        if !stop {
            return;
        }
        let open = match self.context.store.open_runs().await {
            Ok(open) => open,
            Err(error) => {
                tracing::error!(%error, "it cannot be read what runs; it goes on");
                return;
            }
        };
        let mut stopping = JoinSet::new();
        for id in open.into_iter().map(|(run, _)| run.id) {
            if let Ok(folder) = RunFolder::of(&self.context.adapters.data_dir, &id) {
                let supervisors = Arc::clone(&self.context.adapters.supervisors);
                stopping.spawn(async move {
                    if let Err(error) = stop_now(supervisors.as_ref(), &folder).await {
                        tracing::error!(run = %id, error = format!("{error:#}"), "the run could not be stopped");
                    }
                });
            }
        }
        while stopping.join_next().await.is_some() {}
    }
}

/// Ends what runs in a folder and waits for it, if anything does.
async fn stop_now(supervisors: &dyn Supervisors, folder: &RunFolder) -> anyhow::Result<()> {
    let Attachment::Running(mut attached) = supervisors.meet(folder).await? else {
        return Ok(());
    };
    attached.stop(STOP_GRACE);
    let ended = async {
        while let Some(progress) = attached.next().await {
            if matches!(progress, Progress::Ended | Progress::Gone(_)) {
                return;
            }
        }
    };
    let ended = tokio::time::timeout(STOP_LIMIT, ended).await;
    ended.map_err(|_| anyhow::anyhow!("it did not end within {STOP_LIMIT:?}"))
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
        let event = outcome.event(&self.id);
        let report = || Report {
            event: Some(event.clone()),
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
                    tracing::error!(%error, run = %self.id, "the run's record cannot be read");
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
            Err(error) => return Some(Outcome::not_started(&record.run, &error.to_string())),
        };
        let supervisors = &self.context.adapters.supervisors;
        let attachment = match supervisors.meet(&folder).await {
            Ok(attachment) => attachment,
            Err(error) => return Some(Outcome::not_started(&record.run, &error.to_string())),
        };
        match attachment {
            Attachment::Running(attached) => self.follow(record, &folder, attached).await,
            Attachment::Ended => Some(Outcome::read(&record.run, &folder)),
            Attachment::Gone(process) => Some(Outcome::lost(&record.run, &process)),
            // Its folder is gone, or never came along with a restored store: it ran once.
            Attachment::NeverStarted if let RunState::Started { process } = &record.state => {
                Some(Outcome::lost(&record.run, process))
            }
            Attachment::NeverStarted if self.stop.is_cancelled() => {
                Some(Outcome::stopped(&record.run))
            }
            Attachment::NeverStarted => self.launch(record, &folder).await,
        }
    }

    async fn launch(&self, record: &RunRecord, folder: &RunFolder) -> Option<Outcome> {
        let job = match self.spec(record, folder).await {
            Ok(job) => job,
            Err(error) => return Some(Outcome::not_started(&record.run, &format!("{error:#}"))),
        };
        let spec = Spec {
            supervision: Supervision::default(),
            job,
        };
        if let Err(error) = folder.create(&spec) {
            return Some(Outcome::not_started(&record.run, &error.to_string()));
        }
        let secrets = match &record.run {
            Run::StartAgent { .. } => self.context.adapters.agent_secrets.as_slice(),
            Run::StartGates { .. } | Run::Stop { .. } => &[],
        };
        if let Err(error) = folder.leave_secrets(secrets) {
            return Some(Outcome::not_started(&record.run, &error.to_string()));
        }
        self.context.adapters.crash.reach("run.launch.before");
        let launched = self.context.adapters.supervisors.launch(folder).await;
        self.context.adapters.crash.reach("run.launch.after");
        match launched {
            Ok(attached) => self.follow(record, folder, attached).await,
            Err(LaunchError::Gone(process)) => Some(Outcome::lost(&record.run, &process)),
            Err(error) => Some(Outcome::not_started(&record.run, &error.to_string())),
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
                    brief::gates_spec(&self.context, &self.id, brief, (slot, folder)).await?,
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
                biased;
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
                Some(Progress::Gone(process)) => return Some(Outcome::lost(&record.run, &process)),
                Some(Progress::Ended) | None => return Some(Outcome::read(&record.run, folder)),
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
}
