//! Carries out what was decided: one exhaustive match over acts (`acts`), runs that are watched
//! to their end (`runs`), and surfaces that are brought up to date (`surfaces`).
//!
//! Everything arrives here durable, and each result goes back to the engine as an event. Work of
//! one subject is done in order, in three lanes that do not wait for each other: admissions, work
//! on the repository, and reports, so that a forge that is away delays reports and nothing else.

mod acts;
mod admissions;
mod base;
mod checks;
mod context;
mod lanes;
mod look;
mod publish;
mod pulls;
mod rooms;
mod runs;
mod supervisors;
mod surfaces;
mod workshop;
mod worktree;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::domain::effect::Act;
use crate::domain::event::SubjectId;
use crate::engine::Work;
use crate::store::{PendingAct, RunWrite, StoreError};

pub use context::{Adapters, Context, RepoContext};
use lanes::{Lane, LaneKey, Lanes};
pub use supervisors::Supervisors;
pub use workshop::Workshop;

/// How long work in progress may go on when the server leaves. What is cut off is taken up again
/// at the next start.
const GRACE: Duration = Duration::from_secs(5);

/// One thing to do in a lane.
#[derive(Debug, Clone)]
enum Job {
    Act(Box<PendingAct>),
    Surface { subject: SubjectId, key: String },
}

/// Owns everything that is under way.
pub struct Executor {
    context: Arc<Context>,
    work: mpsc::UnboundedReceiver<Work>,
    lanes: Lanes<Job>,
    jobs: JoinSet<LaneKey>,
    runs: runs::Runs,
    /// Runs end with the server.
    stops_runs: bool,
    shutdown: CancellationToken,
}

impl Executor {
    pub fn new(
        context: Context,
        work: mpsc::UnboundedReceiver<Work>,
        shutdown: CancellationToken,
    ) -> Self {
        let context = Arc::new(context);
        Self {
            runs: runs::Runs::new(Arc::clone(&context), shutdown.clone()),
            context,
            work,
            lanes: Lanes::default(),
            jobs: JoinSet::new(),
            stops_runs: false,
            shutdown,
        }
    }

    /// Ends all runs when it leaves, instead of letting them go on under their supervisors.
    #[must_use]
    pub fn stopping_runs(self, stops_runs: bool) -> Self {
        Self { stops_runs, ..self }
    }

    /// Takes up what an earlier server left, then works until shutdown.
    pub async fn run(mut self) -> Result<(), StoreError> {
        self.recover().await?;
        loop {
            // In a fixed order, so that the same history always goes the same way.
            tokio::select! {
                biased;
                () = self.shutdown.cancelled() => break,
                Some(work) = self.work.recv() => self.take(work),
                Some(done) = self.jobs.join_next() => self.job_ended(done),
                Some(done) = self.runs.join_next() => self.runs.ended(done),
            }
        }
        self.leave().await;
        Ok(())
    }

    /// What is in the store and also arrives as new work is recognised by its id.
    async fn recover(&mut self) -> Result<(), StoreError> {
        let store = Arc::clone(&self.context.store);
        for act in store.pending_acts().await? {
            self.take(Work::Act(act));
        }
        for (record, stop_wanted) in store.open_runs().await? {
            self.runs.meet(record.id.clone());
            if stop_wanted {
                self.runs.stop(&record.id);
            }
        }
        for surface in store.pending_surfaces().await? {
            let key = surface.surface.key();
            self.queue(
                Lane::Reports,
                Job::Surface {
                    subject: surface.subject,
                    key,
                },
            );
        }
        Ok(())
    }

    fn take(&mut self, work: Work) {
        match work {
            Work::Act(act) => {
                let lane = lane_of(&act.act);
                self.queue(lane, Job::Act(Box::new(act)));
            }
            Work::Surface(write) => {
                let key = write.surface.key();
                self.queue(
                    Lane::Reports,
                    Job::Surface {
                        subject: write.subject,
                        key,
                    },
                );
            }
            Work::Run(RunWrite::Requested { id, .. }) => self.runs.begin(id),
            Work::Run(RunWrite::StopWanted { id }) => self.runs.stop(&id),
            // These are what runs themselves report, and timers have an owner of their own.
            Work::Run(RunWrite::Started { .. } | RunWrite::Ended { .. }) | Work::Timer(_) => {}
        }
    }

    fn queue(&mut self, lane: Lane, job: Job) {
        let subject = match &job {
            Job::Act(act) => act.subject.clone(),
            Job::Surface { subject, .. } => subject.clone(),
        };
        let key = LaneKey { subject, lane };
        if let Some(job) = self.lanes.push(&key, job) {
            self.spawn(key, job);
        }
    }

    fn spawn(&mut self, key: LaneKey, job: Job) {
        let (context, shutdown) = (Arc::clone(&self.context), self.shutdown.clone());
        self.jobs.spawn(async move {
            match job {
                Job::Act(act) => acts::carry_out(&context, *act, &shutdown).await,
                Job::Surface { subject, key } => {
                    surfaces::update(&context, &subject, &key, &shutdown).await;
                }
            }
            key
        });
    }

    fn job_ended(&mut self, done: Result<LaneKey, tokio::task::JoinError>) {
        match done {
            Ok(key) => {
                if let Some(job) = self.lanes.next(&key) {
                    self.spawn(key, job);
                }
            }
            // The act stays pending; its lane stays shut, so that nothing overtakes it.
            Err(error) => {
                tracing::error!(%error, "a job broke down; it is taken up again at the next start");
            }
        }
    }

    async fn leave(mut self) {
        let drained = tokio::time::timeout(GRACE, async {
            while self.jobs.join_next().await.is_some() {}
        });
        if drained.await.is_err() {
            tracing::warn!(
                "work was cut off after {GRACE:?}; it is taken up again at the next start"
            );
        }
        self.jobs.shutdown().await;
        self.runs.leave(self.stops_runs).await;
    }
}

fn lane_of(act: &Act) -> Lane {
    match act {
        Act::Admit { .. } | Act::SeeNeeds { .. } | Act::ReadCheck { .. } => Lane::Admissions,
        Act::Look { .. } | Act::SeeBranches { .. } => Lane::Looks,
        Act::ReadProject { .. }
        | Act::FetchHead { .. }
        | Act::PrepareWorktree { .. }
        | Act::Collect { .. }
        | Act::RetireWorktree { .. }
        | Act::SyncBase { .. }
        | Act::BuildCandidate { .. }
        | Act::Land { .. }
        | Act::MergePull { .. } => Lane::Repository,
        // Behind the branch that it is of.
        Act::OpenPull { .. }
        | Act::PublishBranch { .. }
        | Act::PublishWip { .. }
        | Act::Announce { .. }
        | Act::Answer { .. }
        | Act::Reply { .. }
        | Act::React { .. }
        | Act::RemoveLabel { .. } => Lane::Reports,
    }
}
