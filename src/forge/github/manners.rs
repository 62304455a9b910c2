//! When a request may go out: GitHub's limits hold for an account or an installation, not for one
//! call, so that what one call is told counts for all of them ("Rate limits for the REST API",
//! "Best practices for using the REST API").
//!
//! Writes go one after the other, with a pause between them; those that a person waits to see go
//! before the others. A limit shuts the door for everybody
//! until the time that GitHub names, else for a minute, doubled each time that happens again; who
//! comes meanwhile is told when to come again and sends nothing.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;

use crate::forge::ForgeError;

/// Requests at the same time, of a hundred that GitHub allows an account (secondary limits): an
/// account may have other programs.
const AT_ONCE: usize = 32;
/// How long to wait when a limit does not say ("wait for at least one minute").
pub(super) const UNSAID_WAIT: Duration = Duration::from_mins(1);
/// The primary rate limit starts anew every hour; whoever asks for more is mistaken.
pub(super) const LONGEST_WAIT: Duration = Duration::from_hours(1);

/// Whether a request changes something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Read,
    Write,
    /// A write that somebody waits to see.
    Reply,
}

/// A limit as GitHub told it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Limit {
    /// How long it says to wait.
    pub(super) said: Option<Duration>,
    pub(super) message: String,
}

/// One account's or installation's manners.
#[derive(Debug)]
pub(super) struct Manners {
    turns: Semaphore,
    /// When the last write was over. Held while one is under way; who waits for it is served in
    /// order.
    writes: tokio::sync::Mutex<Option<Instant>>,
    /// Of the writes that nobody waits for, only the first waits for `writes`, so that a reply
    /// stands behind two others at most, and those after it are never left waiting for ever.
    line: tokio::sync::Mutex<()>,
    /// Between the end of a write and the next one.
    spacing: Duration,
    door: Mutex<Door>,
}

#[derive(Debug, Default)]
struct Door {
    shut: Option<Shut>,
    /// Limits in a row that did not say how long, and what was asked when the last one came.
    unsaid: u32,
    met_by: Option<Kind>,
}

#[derive(Debug)]
struct Shut {
    until: Instant,
    message: String,
}

/// The right to send one request; given back when it is dropped.
#[derive(Debug)]
pub(super) struct Turn<'a> {
    _place: SemaphorePermit<'a>,
    write: Option<Writing<'a>>,
}

type Writing<'a> = tokio::sync::MutexGuard<'a, Option<Instant>>;

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if let Some(last) = &mut self.write {
            **last = Some(Instant::now());
        }
    }
}

impl Manners {
    pub(super) fn new(spacing: Duration) -> Self {
        Self {
            turns: Semaphore::new(AT_ONCE),
            writes: tokio::sync::Mutex::default(),
            line: tokio::sync::Mutex::default(),
            spacing,
            door: Mutex::default(),
        }
    }

    /// Waits until a request may go out.
    ///
    /// # Errors
    /// [`ForgeError::RetryAfter`] while the door is shut.
    pub(super) async fn turn(&self, kind: Kind) -> Result<Turn<'_>, ForgeError> {
        self.check_door()?;
        let write = match kind {
            Kind::Read => None,
            Kind::Write => {
                let first = self.line.lock().await;
                let last = self.writes.lock().await;
                drop(first);
                Some(self.spaced(last).await)
            }
            Kind::Reply => Some(self.spaced(self.writes.lock().await).await),
        };
        // Nobody closes it.
        let Ok(place) = self.turns.acquire().await else {
            unreachable!("the semaphore is never closed")
        };
        // What waits in line does not run into a door that was shut meanwhile, and has sent nothing.
        if let Err(shut) = self.check_door() {
            drop(place);
            return Err(shut);
        }
        Ok(Turn {
            _place: place,
            write,
        })
    }

    async fn spaced<'a>(&self, last: Writing<'a>) -> Writing<'a> {
        if let Some(last) = *last {
            tokio::time::sleep_until(last + self.spacing).await;
        }
        last
    }

    /// # Errors
    /// [`ForgeError::RetryAfter`] while the door is shut.
    pub(super) fn check_door(&self) -> Result<(), ForgeError> {
        let mut door = self.door();
        let Some(shut) = &door.shut else {
            return Ok(());
        };
        let wait = shut.until.saturating_duration_since(Instant::now());
        if wait.is_zero() {
            door.shut = None;
            return Ok(());
        }
        Err(ForgeError::RetryAfter {
            wait,
            message: shut.message.clone(),
        })
    }

    /// GitHub refused a request because of a limit: what the caller is to be told.
    pub(super) fn limited(&self, limit: Limit, kind: Kind) -> ForgeError {
        let wait = {
            let mut door = self.door();
            door.met_by = Some(kind);
            limit.said.unwrap_or_else(|| {
                let doubled = UNSAID_WAIT.saturating_mul(1 << door.unsaid.min(6));
                door.unsaid += 1;
                doubled.min(LONGEST_WAIT)
            })
        };
        self.shut_for(wait, &limit.message);
        ForgeError::RetryAfter {
            wait,
            message: limit.message,
        }
    }

    /// A request went through. A read says nothing about a limit on writing.
    pub(super) fn passed(&self, kind: Kind) {
        let mut door = self.door();
        if kind != Kind::Read || matches!(door.met_by, None | Some(Kind::Read)) {
            door.unsaid = 0;
        }
    }

    /// Nothing goes out until `wait` is over. A door that is shut for longer stays so.
    pub(super) fn shut_for(&self, wait: Duration, message: &str) {
        let until = Instant::now() + wait;
        let mut door = self.door();
        if door.shut.as_ref().is_none_or(|shut| shut.until < until) {
            door.shut = Some(Shut {
                until,
                message: message.to_owned(),
            });
        }
    }

    /// Nothing in there leaves a half-made state behind.
    fn door(&self) -> MutexGuard<'_, Door> {
        self.door.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(said: Option<u64>) -> Limit {
        Limit {
            said: said.map(Duration::from_secs),
            message: "slow down".to_owned(),
        }
    }

    fn wait(refused: &ForgeError) -> u64 {
        match refused {
            ForgeError::RetryAfter { wait, .. } => wait.as_secs(),
            other => panic!("not a limit: {other}"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn writes_go_one_after_the_other_with_a_pause_and_reads_do_not_wait() {
        let manners = Manners::new(Duration::from_secs(1));
        let begun = Instant::now();
        let first = manners.turn(Kind::Write).await.unwrap();
        let (second, ()) = tokio::join!(manners.turn(Kind::Write), async {
            drop(manners.turn(Kind::Read).await.unwrap());
            assert_eq!(begun.elapsed(), Duration::ZERO, "a read waits for nobody");
            tokio::time::sleep(Duration::from_secs(3)).await;
            drop(first);
        });
        assert_eq!(begun.elapsed(), Duration::from_secs(4));
        drop(second.unwrap());
    }

    #[tokio::test(start_paused = true)]
    async fn a_reply_goes_before_the_writes_that_nobody_waits_for() {
        let manners = Manners::new(Duration::from_secs(1));
        let order = Mutex::new(Vec::new());
        let write = async |kind, name: &'static str| {
            drop(manners.turn(kind).await.unwrap());
            order.lock().unwrap().push(name);
        };
        tokio::join!(
            biased;
            write(Kind::Write, "1st label"),
            write(Kind::Write, "2nd label"),
            write(Kind::Write, "3rd label"),
            write(Kind::Write, "4th label"),
            write(Kind::Reply, "1st reply"),
            write(Kind::Reply, "2nd reply"),
        );
        assert_eq!(
            *order.lock().unwrap(),
            [
                "1st label",
                "2nd label",
                "3rd label",
                "1st reply",
                "2nd reply",
                "4th label"
            ]
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_limit_of_one_call_holds_for_all_until_it_is_over() {
        let manners = Manners::new(Duration::ZERO);
        assert_eq!(wait(&manners.limited(limit(Some(17)), Kind::Write)), 17);
        tokio::time::advance(Duration::from_secs(7)).await;
        for kind in [Kind::Read, Kind::Write] {
            assert_eq!(wait(&manners.turn(kind).await.unwrap_err()), 10);
        }
        manners.shut_for(Duration::from_secs(2), "shorter");
        tokio::time::advance(Duration::from_secs(5)).await;
        assert_eq!(wait(&manners.turn(Kind::Read).await.unwrap_err()), 5);
        tokio::time::advance(Duration::from_secs(5)).await;
        drop(manners.turn(Kind::Write).await.unwrap());
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_in_line_when_a_limit_comes_sends_nothing() {
        let manners = Manners::new(Duration::ZERO);
        let first = manners.turn(Kind::Write).await.unwrap();
        let (second, ()) = tokio::join!(manners.turn(Kind::Write), async {
            manners.limited(limit(Some(17)), Kind::Write);
            drop(first);
        });
        assert_eq!(wait(&second.unwrap_err()), 17);
    }

    #[test]
    fn a_limit_that_does_not_say_is_waited_for_twice_as_long_each_time() {
        let manners = Manners::new(Duration::ZERO);
        let waits: Vec<u64> = (0..8)
            .map(|_| wait(&manners.limited(limit(None), Kind::Write)))
            .collect();
        assert_eq!(waits, [60, 120, 240, 480, 960, 1_920, 3_600, 3_600]);
        manners.passed(Kind::Read);
        assert_eq!(wait(&manners.limited(limit(None), Kind::Write)), 3_600);
        manners.passed(Kind::Write);
        assert_eq!(wait(&manners.limited(limit(None), Kind::Read)), 60);
        manners.passed(Kind::Read);
        assert_eq!(wait(&manners.limited(limit(None), Kind::Read)), 60);
    }
}
