//! The timers that steps arm: waited for, and handed to the engine when they are due.
//!
//! A timer is due when the clock says so. It is also due when as much time has passed as was left
//! when it was armed, whatever the clock says by then: a clock that was ahead and is put back by
//! days must not make anything wait for days. Firing early, late or twice is harmless: steps fence
//! what comes out of turn.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::domain::event::SubjectId;
use crate::engine::{EngineError, Handle};
use crate::store::TimerWrite;

/// The clock is looked at this often, so that one that was put forward is noticed.
const LOOK_AGAIN: Duration = Duration::from_mins(1);
/// How soon a timer is handed over again that the store did not take.
const AGAIN: Duration = Duration::from_secs(1);

/// Waits for armed timers and hands what fires to the engine, until cancelled.
///
/// A timer that fired while the server was away fires at once.
pub async fn run(
    mut armed: mpsc::UnboundedReceiver<TimerWrite>,
    clock: Arc<dyn Clock>,
    engine: Handle,
    shutdown: CancellationToken,
) {
    let mut timers = Timers::default();
    loop {
        let next = timers.next(clock.as_ref());
        // In a fixed order, so that the same history always goes the same way.
        tokio::select! {
            biased;
            () = shutdown.cancelled() => return,
            timer = armed.recv() => match timer {
                Some(timer) => timers.arm(timer, clock.as_ref()),
                None => return,
            },
            () = sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => {
                if let Some(timer) = timers.take_due(clock.as_ref()) {
                    match engine.fire(timer.clone()).await {
                        Ok(()) => {}
                        Err(EngineError::Stopped) => return,
                        Err(error @ EngineError::Store(_)) => {
                            tracing::error!(%error, timer = timer.name, "the store does not take a timer; trying again");
                            timers.put_back(timer);
                        }
                    }
                }
            }
        }
    }
}

/// What is armed, by name.
#[derive(Default)]
struct Timers(BTreeMap<(SubjectId, String), Armed>);

struct Armed {
    timer: TimerWrite,
    /// When as much time has passed as was left when it was armed.
    passed: Instant,
    /// Not handed over again before this.
    not_before: Instant,
}

impl Armed {
    fn is_due(&self, clock: &dyn Clock) -> bool {
        let now = Instant::now();
        self.not_before <= now && (self.passed <= now || self.timer.at <= clock.now())
    }

    fn wake(&self, clock: &dyn Clock) -> Instant {
        let by_the_clock = Instant::now() + until(clock, self.timer.at);
        by_the_clock.min(self.passed).max(self.not_before)
    }
}

impl Timers {
    fn arm(&mut self, timer: TimerWrite, clock: &dyn Clock) {
        let now = Instant::now();
        let passed = now + until(clock, timer.at);
        self.insert(timer, passed, now);
    }

    /// For one that could not be handed over.
    fn put_back(&mut self, timer: TimerWrite) {
        let again = Instant::now() + AGAIN;
        self.insert(timer, again, again);
    }

    fn insert(&mut self, timer: TimerWrite, passed: Instant, not_before: Instant) {
        let name = (timer.subject.clone(), timer.name.clone());
        let armed = Armed {
            timer,
            passed,
            not_before,
        };
        self.0.insert(name, armed);
    }

    /// When to look whether one is due; `None` when nothing is armed.
    fn next(&self, clock: &dyn Clock) -> Option<Instant> {
        let wake = self.0.values().map(|armed| armed.wake(clock)).min()?;
        Some(wake.min(Instant::now() + LOOK_AGAIN))
    }

    /// Takes out the one that has been due for longest.
    fn take_due(&mut self, clock: &dyn Clock) -> Option<TimerWrite> {
        let due = self.0.iter().filter(|(_, armed)| armed.is_due(clock));
        let (name, _) = due.min_by_key(|(_, armed)| armed.timer.at)?;
        let name = name.clone();
        self.0.remove(&name).map(|armed| armed.timer)
    }
}

/// How long it is, by the clock, until `at`; a century at most, which an [`Instant`] can hold.
fn until(clock: &dyn Clock, at: Timestamp) -> Duration {
    let century = SignedDuration::from_hours(24 * 36_525);
    at.duration_since(clock.now())
        .clamp(SignedDuration::ZERO, century)
        .unsigned_abs()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;
    use crate::domain::event::{AccountEvent, Event};

    fn timer(at: Timestamp) -> TimerWrite {
        TimerWrite {
            subject: SubjectId::Account,
            name: "day-turned".to_owned(),
            at,
            event: Event::Account {
                event: AccountEvent::DayTurned,
            },
        }
    }

    fn noon() -> Timestamp {
        "2026-01-05T12:00:00Z".parse().unwrap()
    }

    const HOUR: Duration = Duration::from_hours(1);

    #[test]
    fn a_clock_that_is_put_forward_makes_a_timer_due() {
        let clock = ManualClock::at(noon());
        let mut timers = Timers::default();
        timers.arm(timer(noon() + HOUR), &clock);
        assert!(timers.take_due(&clock).is_none());
        clock.advance(48 * HOUR);
        assert!(timers.take_due(&clock).is_some());
        assert!(timers.next(&clock).is_none());
    }

    #[test]
    fn a_clock_that_is_put_back_by_days_delays_no_timer() {
        let clock = ManualClock::at(noon() - 240 * HOUR);
        let mut timers = Timers::default();
        // Armed for a moment from now, by a clock that was ten days ahead.
        let now = Instant::now();
        timers.insert(timer(noon()), now, now);
        assert!(
            timers
                .next(&clock)
                .is_some_and(|wake| wake <= Instant::now())
        );
        assert!(timers.take_due(&clock).is_some());
    }

    #[test]
    fn a_timer_that_could_not_be_stored_is_handed_over_again_and_not_at_once() {
        let clock = ManualClock::at(noon() + HOUR);
        let mut timers = Timers::default();
        timers.put_back(timer(noon()));
        assert!(timers.take_due(&clock).is_none());
        let wake = timers.next(&clock).unwrap();
        assert!(wake > Instant::now() && wake <= Instant::now() + AGAIN);
    }
}
