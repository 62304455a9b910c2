//! The clock, and the timers that steps arm. The only place that reads time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::domain::event::SubjectId;
use crate::engine::Handle;
use crate::store::TimerWrite;

/// Tells the time.
pub trait Clock: Send + Sync {
    fn now(&self) -> Timestamp;
}

/// The machine's clock.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that reads the clock"
    )]
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

/// A clock that only moves when it is told to.
#[derive(Debug, Clone)]
pub struct ManualClock(Arc<AtomicI64>);

impl ManualClock {
    pub fn at(start: Timestamp) -> Self {
        Self(Arc::new(AtomicI64::new(start.as_millisecond())))
    }

    pub fn advance(&self, by: Duration) {
        let millis = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
        self.0.fetch_add(millis, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millisecond(self.0.load(Ordering::SeqCst)).unwrap_or(Timestamp::MAX)
    }
}

/// Waits for armed timers and hands what fires to the engine, until cancelled.
///
/// A timer that fired while the server was away fires at once. Firing late or twice is harmless:
/// steps fence what comes out of turn.
pub async fn run(
    mut armed: mpsc::UnboundedReceiver<TimerWrite>,
    clock: Arc<dyn Clock>,
    engine: Handle,
    shutdown: CancellationToken,
) {
    let mut timers: BTreeMap<(SubjectId, String), TimerWrite> = BTreeMap::new();
    loop {
        let next = timers.values().min_by_key(|timer| timer.at).cloned();
        let wait = next.as_ref().map(|timer| until(clock.as_ref(), timer.at));
        tokio::select! {
            () = shutdown.cancelled() => return,
            timer = armed.recv() => match timer {
                Some(timer) => {
                    timers.insert((timer.subject.clone(), timer.name.clone()), timer);
                }
                None => return,
            },
            () = tokio::time::sleep(wait.unwrap_or_default()), if wait.is_some() => {
                if let Some(timer) = next.filter(|timer| timer.at <= clock.now()) {
                    timers.remove(&(timer.subject.clone(), timer.name.clone()));
                    engine.fire(timer).await;
                }
            }
        }
    }
}

/// At most a minute at a time, so that a clock that jumps is noticed.
fn until(clock: &dyn Clock, at: Timestamp) -> Duration {
    let wait = at
        .duration_since(clock.now())
        .clamp(SignedDuration::ZERO, SignedDuration::from_secs(60));
    wait.unsigned_abs()
}
