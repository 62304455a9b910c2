//! The timers that steps arm: waited for, and handed to the engine when they are due.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::domain::event::SubjectId;
use crate::engine::Handle;
use crate::store::TimerWrite;

/// How soon a timer is handed over again that the store did not take.
const AGAIN: Duration = Duration::from_secs(1);

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
    let mut refused = false;
    loop {
        let next = timers.values().min_by_key(|timer| timer.at).cloned();
        let at_least = if refused { AGAIN } else { Duration::ZERO };
        let wait = next
            .as_ref()
            .map(|timer| until(clock.as_ref(), timer.at).max(at_least));
        // In a fixed order, so that the same history always goes the same way.
        tokio::select! {
            biased;
            () = shutdown.cancelled() => return,
            timer = armed.recv() => match timer {
                Some(timer) => {
                    timers.insert((timer.subject.clone(), timer.name.clone()), timer);
                }
                None => return,
            },
            () = tokio::time::sleep(wait.unwrap_or_default()), if wait.is_some() => {
                if let Some(timer) = next.filter(|timer| timer.at <= clock.now()) {
                    let taken = engine.fire(timer.clone()).await;
                    refused = taken.is_err();
                    match taken {
                        Ok(()) => drop(timers.remove(&(timer.subject, timer.name))),
                        Err(error) => tracing::warn!(%error, "a timer could not be taken; trying again"),
                    }
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
