//! Everything of a server but its face to the network: engine, executor and timers over a store.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::engine::{Engine, Handle, Work};
use crate::executor::{Adapters, Context, Executor};
use crate::store::{Store, TimerWrite};
use crate::timer;

/// The parts of a server that end together; each gives its name when it ends.
pub type Roots = JoinSet<anyhow::Result<&'static str>>;

/// A server's inside, ready to run.
pub struct Core {
    engine: Engine,
    work: mpsc::UnboundedReceiver<Work>,
    context: Context,
    clock: Arc<dyn Clock>,
    stops_runs: bool,
}

impl Core {
    pub fn new(store: Arc<dyn Store>, clock: Arc<dyn Clock>, adapters: Adapters) -> Self {
        let (sender, work) = mpsc::unbounded_channel();
        let (engine, handle) = Engine::new(Arc::clone(&store), Arc::clone(&clock), sender);
        let context = Context {
            store,
            engine: handle,
            adapters,
        };
        Self {
            engine,
            work,
            context,
            clock,
            stops_runs: false,
        }
    }

    /// Runs end when it leaves, instead of going on under their supervisors.
    #[must_use]
    pub fn stopping_runs(self, stops_runs: bool) -> Self {
        Self { stops_runs, ..self }
    }

    /// Talks to the engine. The core runs until every handle is gone.
    pub fn handle(&self) -> Handle {
        self.context.engine.clone()
    }

    /// Takes up what an earlier server left, and works until `shutdown`.
    pub async fn start(
        self,
        roots: &mut Roots,
        shutdown: &CancellationToken,
    ) -> anyhow::Result<()> {
        let Self {
            engine,
            work,
            context,
            clock,
            stops_runs,
        } = self;
        let armed_before = context.store.timers().await?;
        roots.spawn(async move {
            engine.run().await;
            anyhow::Ok("engine")
        });
        let (work_sender, sorted) = mpsc::unbounded_channel();
        let (timers, armed) = mpsc::unbounded_channel();
        for timer in armed_before {
            timers.send(timer)?;
        }
        roots.spawn(split_timers(work, work_sender, timers, shutdown.clone()));
        let (handle, stop) = (context.engine.clone(), shutdown.clone());
        roots.spawn(async move {
            timer::run(armed, clock, handle, stop).await;
            Ok("timers")
        });
        let executor = Executor::new(context, sorted, shutdown.clone());
        let executor = executor.stopping_runs(stops_runs);
        roots.spawn(async move {
            executor.run().await?;
            Ok("executor")
        });
        Ok(())
    }
}

/// Timers go to their owner, everything else to the executor.
async fn split_timers(
    mut work: mpsc::UnboundedReceiver<Work>,
    executor: mpsc::UnboundedSender<Work>,
    timers: mpsc::UnboundedSender<TimerWrite>,
    shutdown: CancellationToken,
) -> anyhow::Result<&'static str> {
    loop {
        let work = tokio::select! {
            biased;
            () = shutdown.cancelled() => return Ok("work"),
            work = work.recv() => work,
        };
        // Owners that left are at rest; what is stored is taken up at the next start.
        match work {
            Some(Work::Timer(timer)) => drop(timers.send(timer)),
            Some(work) => drop(executor.send(work)),
            None => return Ok("work"),
        }
    }
}
