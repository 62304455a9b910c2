//! The engine: the only writer of subjects.
//!
//! It takes events one after another, lets the domain decide, and stores event, subject and
//! effects in one transaction, many events at a time when many wait (group commit). Only what is
//! durable is handed on to the executor. Deliveries come through an inbox of their own (`inbox`).
//! Not for: carrying anything out.

mod inbox;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;

use crate::clock::Clock;
use crate::domain::effect::{Effect, EffectId, Run, Timer};
use crate::domain::event::{Event, SubjectId};
use crate::domain::transition::{self, Refusal, Step, Subject};
use crate::store::{
    Commit, EventRecord, NewDelivery, PendingAct, RunWrite, Store, StoreError, SubjectWrite,
    SurfaceWrite, TimerWrite,
};
use inbox::{Door, Inbox, Slot};

/// How many messages may wait before senders have to.
const QUEUE: usize = 1_024;
/// How many messages share one transaction at most.
const BATCH: usize = 256;
/// How many events one message may lead to. More is a loop between subjects.
const CASCADE: usize = 1_000;
/// So many acts may be under way or wait in the executor's memory. Above it deliveries stay in the
/// inbox, on the disk, until some are finished.
const ACTS: usize = 10_000;
/// How many subjects are remembered. The store has them all.
const REMEMBERED: usize = 1_000;

/// What became of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accepted {
    New,
    /// This id was accepted before; nothing changed.
    Duplicate,
}

/// The engine could not store what it was told.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    #[error("the server is shutting down")]
    Stopped,
    #[error(transparent)]
    Store(#[from] Arc<StoreError>),
}

/// A delivery was not accepted; nothing of it is stored, and it may be sent again.
#[derive(Debug, thiserror::Error)]
pub enum DeliveryError {
    #[error("more deliveries arrive than the server can act on")]
    Overloaded,
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// News from an adapter: an event, and which effect it completes.
#[derive(Debug, Default)]
pub struct Report {
    pub event: Option<Event>,
    pub finished_act: Option<EffectId>,
    pub run: Option<RunWrite>,
    /// A timer that fired, and the time it was armed for.
    pub fired: Option<(SubjectId, String, Timestamp)>,
}

impl Report {
    pub fn event(event: Event) -> Self {
        Self {
            event: Some(event),
            ..Self::default()
        }
    }
}

/// Durable work for the executor and the timers.
#[derive(Debug, Clone)]
pub enum Work {
    Act(PendingAct),
    /// A run was requested, or its stop.
    Run(RunWrite),
    Surface(SurfaceWrite),
    Timer(TimerWrite),
}

struct Message {
    report: Box<Report>,
    reply: Reply,
}

type Reply = oneshot::Sender<Result<Option<Refusal>, EngineError>>;

/// Talks to the engine. Cheap to copy.
#[derive(Clone)]
pub struct Handle {
    messages: mpsc::Sender<Message>,
    slot: Slot,
    commits: watch::Receiver<u64>,
}

impl Handle {
    /// Puts a delivery into the inbox. Durable when it returns; what follows from it comes later,
    /// for each subject in the order of arrival.
    pub async fn deliver(&self, delivery: NewDelivery) -> Result<Accepted, DeliveryError> {
        self.slot.hand_in(delivery).await
    }

    /// Deliveries are sent away while so many wait in the inbox. Without it none are.
    pub fn limit_inbox(&self, max_pending: u64) {
        self.slot.gauge.limit(max_pending);
    }

    /// Whether deliveries are sent away.
    pub fn is_overloaded(&self) -> bool {
        self.slot.gauge.is_full()
    }

    /// How many deliveries were sent away since the server began.
    pub fn sent_away(&self) -> u64 {
        self.slot.gauge.refused()
    }

    /// Stores news and what follows. The refusal says why an event changed nothing.
    pub async fn report(&self, report: Report) -> Result<Option<Refusal>, EngineError> {
        let (reply, answer) = oneshot::channel();
        let message = Message {
            report: Box::new(report),
            reply,
        };
        self.messages
            .send(message)
            .await
            .map_err(|_| EngineError::Stopped)?;
        answer.await.map_err(|_| EngineError::Stopped)?
    }

    /// Hands over a timer that is due. It stays armed in the store until that is durable: when it
    /// is not, it has to be handed over again.
    pub async fn fire(&self, timer: TimerWrite) -> Result<(), EngineError> {
        let fired = Some((timer.subject, timer.name, timer.at));
        let report = Report {
            event: Some(timer.event),
            fired,
            ..Report::default()
        };
        self.report(report).await.map(drop)
    }

    /// Counts commits; changes whenever something durable happened.
    pub fn commits(&self) -> watch::Receiver<u64> {
        self.commits.clone()
    }
}

/// The owner of all subjects, until it runs.
pub struct Engine {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    messages: mpsc::Receiver<Message>,
    door: Door,
    inbox: Inbox,
    work: mpsc::UnboundedSender<Work>,
    commits: watch::Sender<u64>,
}

impl Engine {
    pub fn new(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        work: mpsc::UnboundedSender<Work>,
    ) -> (Self, Handle) {
        let (sender, messages) = mpsc::channel(QUEUE);
        let (slot, door, inbox) = Inbox::new(Arc::clone(&store));
        let (commits, seen) = watch::channel(0);
        let engine = Self {
            store,
            clock,
            messages,
            door,
            inbox,
            work,
            commits,
        };
        (
            engine,
            Handle {
                messages: sender,
                slot,
                commits: seen,
            },
        )
    }

    /// Runs until every [`Handle`] is gone. What is left in the inbox then is taken at the next
    /// start.
    pub async fn run(self) {
        let Self {
            door, mut inbox, ..
        } = self;
        let mut desk = Desk {
            store: self.store,
            clock: self.clock,
            work: self.work,
            commits: self.commits,
            subjects: HashMap::new(),
            acts: HashSet::new(),
        };
        let mut messages = self.messages;
        desk.recover().await;
        inbox.recover(desk.store.as_ref()).await;
        // A task of its own, so that who stands at the door does not wait for a decision.
        let mut doors = JoinSet::new();
        doors.spawn(door.run());
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            // In a fixed order, so that the same history always goes the same way. Reports answer what
            // the engine asked for, and come to an end; the inbox may not.
            tokio::select! {
                biased;
                received = messages.recv_many(&mut batch, BATCH) => {
                    if received == 0 {
                        break;
                    }
                    desk.take(std::mem::take(&mut batch)).await;
                }
                limit = desk.ready_for(&mut inbox) => desk.empty(&mut inbox, limit).await,
            }
        }
        doors.join_all().await;
    }
}

/// Where decisions are made.
struct Desk {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    work: mpsc::UnboundedSender<Work>,
    commits: watch::Sender<u64>,
    /// Subjects as last committed.
    subjects: HashMap<SubjectId, (Subject, u64)>,
    /// Acts that were decided and are not finished.
    acts: HashSet<EffectId>,
}

impl Desk {
    /// Counts what an earlier server left to the executor.
    async fn recover(&mut self) {
        match self.store.pending_acts().await {
            Ok(acts) => self.acts.extend(acts.into_iter().map(|act| act.id)),
            // Only the bound is less strict: who carries acts out reads them for itself.
            Err(error) => tracing::error!(%error, "it is not known how many acts are pending"),
        }
    }

    /// Decides on a batch and stores it whole, or not at all.
    async fn take(&mut self, batch: Vec<Message>) {
        let mut draft = Draft::default();
        let mut answers = Vec::with_capacity(batch.len());
        let mut outcome = Ok(());
        for Message { report, reply } in batch {
            match self.report(&mut draft, *report).await {
                Ok(refusal) => answers.push((reply, refusal)),
                // Half a message must not be stored; senders whose reply is dropped learn of it.
                Err(error) => outcome = Err(Arc::new(error)),
            }
        }
        if outcome.is_ok() {
            outcome = self.store_draft(draft).await;
        }
        for (reply, refusal) in answers {
            let answer = outcome.clone().map(|()| refusal);
            // A sender that gave up waiting needs no answer.
            drop(reply.send(answer.map_err(EngineError::Store)));
        }
    }

    /// Returns when deliveries should be taken, and how many at most. What is under way comes
    /// first; its ends are reports, after each of which this is asked anew.
    async fn ready_for(&self, inbox: &mut Inbox) -> u32 {
        if self.acts.len() >= ACTS {
            return std::future::pending().await;
        }
        inbox.due().await
    }

    /// Takes deliveries out of the inbox, in the order of their arrival: they are marked as taken
    /// in the transaction that holds what follows from them.
    async fn empty(&mut self, inbox: &mut Inbox, limit: u32) {
        match self.take_deliveries(limit).await {
            Ok(count) => inbox.took(count, limit),
            Err(error) => {
                tracing::error!(%error, "the inbox cannot be taken on; trying again");
                inbox.postpone();
            }
        }
    }

    async fn take_deliveries(&mut self, limit: u32) -> Result<usize, Arc<StoreError>> {
        let deliveries = self.store.pending_deliveries(limit).await?;
        let count = deliveries.len();
        let mut draft = Draft::default();
        for delivery in deliveries {
            if let Some(event) = delivery.content {
                self.apply(&mut draft, event).await?;
            } else {
                tracing::error!(
                    delivery = %delivery.id,
                    reason = delivery.reason,
                    "an accepted delivery cannot be acted on and is set aside; its content stays in \
                     the store until retention removes it"
                );
            }
            draft.commit.taken.push(delivery.id);
        }
        self.store_draft(draft).await?;
        Ok(count)
    }

    async fn report(
        &mut self,
        draft: &mut Draft,
        report: Report,
    ) -> Result<Option<Refusal>, StoreError> {
        draft.commit.finished_acts.extend(report.finished_act);
        draft.commit.runs.extend(report.run);
        draft.commit.fired.extend(report.fired);
        match report.event {
            Some(event) => self.apply(draft, event).await,
            None => Ok(None),
        }
    }

    /// Steps the subject of `event`, then those it tells, until nobody has anything to tell.
    /// The answer is the refusal of the first event, if it was refused.
    async fn apply(
        &mut self,
        draft: &mut Draft,
        event: Event,
    ) -> Result<Option<Refusal>, StoreError> {
        let mut first = None;
        let mut queue = VecDeque::from([event]);
        for place in 0..CASCADE {
            let Some(event) = queue.pop_front() else {
                return Ok(first);
            };
            let (subject, version) = self.load(draft, &event.subject()).await?;
            let now = self.clock.now();
            let record = |version, refusal: Option<&Refusal>| EventRecord {
                subject: event.subject(),
                version,
                at: now,
                event: event.clone(),
                refusal: refusal.map(ToString::to_string),
            };
            match transition::step(&subject, &event, now) {
                Ok(step) => {
                    draft.commit.events.push(record(version + 1, None));
                    queue.extend(draft.applied(&event.subject(), version, step));
                }
                Err(refusal) => {
                    log_refusal(&event, &refusal);
                    // A subject that never was has no log: strangers' events leave no trace of it.
                    if version > 0 {
                        draft.commit.events.push(record(version, Some(&refusal)));
                    }
                    if place == 0 {
                        first = Some(refusal);
                    }
                }
            }
        }
        tracing::error!("subjects keep telling each other things; what was left was dropped");
        Ok(first)
    }

    async fn load(&mut self, draft: &Draft, id: &SubjectId) -> Result<(Subject, u64), StoreError> {
        if let Some(known) = draft.subjects.get(id).or_else(|| self.subjects.get(id)) {
            return Ok(known.clone());
        }
        let stored = self.store.subject(id).await?;
        Ok(stored.unwrap_or_else(|| (Subject::new(id), 0)))
    }

    async fn store_draft(&mut self, draft: Draft) -> Result<(), Arc<StoreError>> {
        let Draft {
            mut commit,
            subjects,
            before,
        } = draft;
        if commit == Commit::default() {
            return Ok(());
        }
        commit.subjects = subjects
            .iter()
            .map(|(id, (state, version))| {
                let expected = before.get(id).copied().unwrap_or_default();
                SubjectWrite {
                    id: id.clone(),
                    expected,
                    version: *version,
                    state: state.clone(),
                }
            })
            .collect();
        let work = work_of(&commit);
        let finished = commit.finished_acts.clone();
        self.store.commit(commit).await.map_err(|error| {
            // What is cached may be what made the commit fail; the store is the truth.
            self.subjects.clear();
            tracing::error!(%error, "nothing of this batch was stored");
            Arc::new(error)
        })?;
        if self.subjects.len() > REMEMBERED {
            self.subjects.clear();
        }
        self.subjects.extend(subjects);
        for work in work {
            if let Work::Act(act) = &work {
                self.acts.insert(act.id.clone());
            }
            // The executor only goes away at shutdown; what is stored is taken up at the next start.
            self.work.send(work).ok();
        }
        for id in &finished {
            self.acts.remove(id);
        }
        self.commits.send_modify(|count| *count += 1);
        Ok(())
    }
}

/// What a batch will write, and the subjects as they will be.
#[derive(Default)]
struct Draft {
    commit: Commit,
    /// Sorted, so that the same events always make the same commit.
    subjects: BTreeMap<SubjectId, (Subject, u64)>,
    /// The versions that the store has now.
    before: BTreeMap<SubjectId, u64>,
}

impl Draft {
    /// Notes a step's outcome and gives back the events it tells others.
    fn applied(&mut self, id: &SubjectId, version: u64, step: Step) -> Vec<Event> {
        self.before.entry(id.clone()).or_insert(version);
        let version = version + 1;
        self.subjects.insert(id.clone(), (step.subject, version));
        let mut told = Vec::new();
        for (place, effect) in step.effects.into_iter().enumerate() {
            let subject = id.clone();
            match effect {
                Effect::Tell(event) => told.push(event),
                Effect::Act(act) => {
                    let id = EffectId::new(id, version, place);
                    self.commit.acts.push(PendingAct { id, subject, act });
                }
                Effect::Run(Run::Stop { id }) => self.commit.runs.push(RunWrite::StopWanted { id }),
                Effect::Run(run @ (Run::StartAgent { .. } | Run::StartGates { .. })) => {
                    self.commit.runs.push(RunWrite::Requested {
                        id: run.id().clone(),
                        subject,
                        run,
                    });
                }
                Effect::Surface(surface) => {
                    self.commit.surfaces.push(SurfaceWrite { subject, surface });
                }
                Effect::Timer(Timer { name, at, event }) => {
                    self.commit.timers.push(TimerWrite {
                        subject,
                        name: name.clone(),
                        at,
                        event,
                    });
                }
            }
        }
        told
    }
}

fn work_of(commit: &Commit) -> Vec<Work> {
    let acts = commit.acts.iter().cloned().map(Work::Act);
    let wanted = commit.runs.iter().filter(|write| match write {
        RunWrite::Requested { .. } | RunWrite::StopWanted { .. } => true,
        RunWrite::Started { .. } | RunWrite::Ended { .. } => false,
    });
    let runs = wanted.cloned().map(Work::Run);
    let surfaces = commit.surfaces.iter().cloned().map(Work::Surface);
    let timers = commit.timers.iter().cloned().map(Work::Timer);
    acts.chain(runs).chain(surfaces).chain(timers).collect()
}

fn log_refusal(event: &Event, refusal: &Refusal) {
    let (subject, name) = (event.subject(), event.name());
    match refusal {
        Refusal::Ignored { because } => tracing::debug!(%subject, event = name, because, "ignored"),
        Refusal::Illegal { state, .. } => {
            tracing::error!(%subject, event = name, state, "illegal event");
        }
    }
}
