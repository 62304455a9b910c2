//! The world outside of the server: everything that goes on whether or not a server lives, and the
//! faults that it has.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use huskies::clock::Clock;
use huskies::domain::id::DeliveryId;
use huskies::store::NewDelivery;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use super::commits::Commits;
use super::dice::Dice;
use super::forge::Issues;
use super::landing::OwnPulls;
use super::pulls::Pulls;
use super::runs::Processes;
use super::sites::Sites;
use super::watch::Watch;

/// Everything outside, in one place: what happens in it happens in one order.
pub(super) struct World {
    pub(super) dice: Dice,
    /// How often a call goes wrong: once in this many. `None`: never.
    pub(super) fault_rate: Option<u64>,
    /// How often a delivery gets lost: once in this many. `None`: never.
    pub(super) loss_rate: Option<u64>,
    /// Faults that are left: nothing breaks for ever.
    pub(super) faults: u32,
    /// Writes that the disk will refuse.
    pub(super) refused_writes: u32,
    pub(super) commits: Commits,
    pub(super) sites: Sites,
    pub(super) issues: Issues,
    pub(super) pulls: Pulls,
    pub(super) own_pulls: OwnPulls,
    pub(super) processes: Processes,
    pub(super) watch: Watch,
    /// Deliveries on their way, by the time of their arrival and a number.
    pub(super) mail: BTreeMap<(Timestamp, u64), NewDelivery>,
    pub(super) letters: u64,
    /// Deliveries whose acceptance was answered, and whether the core has a use for them.
    pub(super) accepted: BTreeMap<DeliveryId, bool>,
    /// Issues whose sticky comment somebody deleted.
    pub(super) deleted: BTreeSet<u64>,
    /// Issues that were done at some time: closed as done, or landed.
    pub(super) done_once: BTreeSet<u64>,
    /// What happened, one line each.
    pub(super) trace: Vec<String>,
    /// What must not happen.
    pub(super) violations: Vec<String>,
    /// Points at which a server can die that were reached so far.
    pub(super) points: u64,
    /// The points at which it does.
    pub(super) crash_at: Vec<u64>,
    /// The server is dead: whatever is left of it does nothing any more.
    dead: bool,
}

impl World {
    pub(super) fn new(
        dice: Dice,
        (fault_rate, loss_rate): (Option<u64>, Option<u64>),
        start: Timestamp,
    ) -> Self {
        let mut commits = Commits::default();
        let by_pull = dice.clone().luck(3);
        let sites = Sites::new(&mut commits, (start, by_pull));
        Self {
            fault_rate,
            loss_rate,
            faults: 12,
            dice,
            refused_writes: 0,
            commits,
            sites,
            issues: Issues::new(start),
            pulls: Pulls::default(),
            own_pulls: OwnPulls::default(),
            processes: Processes::default(),
            watch: Watch::default(),
            mail: BTreeMap::new(),
            letters: 0,
            accepted: BTreeMap::new(),
            deleted: BTreeSet::new(),
            done_once: BTreeSet::new(),
            trace: Vec::new(),
            violations: Vec::new(),
            points: 0,
            crash_at: Vec::new(),
            dead: false,
        }
    }

    pub(super) fn note(&mut self, now: Timestamp, what: &str) {
        self.trace.push(format!("{now} {what}"));
    }

    pub(super) fn violation(&mut self, what: String) {
        self.trace.push(format!("!!! {what}"));
        self.violations.push(what);
    }

    /// A new server begins.
    pub(super) fn revive(&mut self, now: Timestamp) {
        self.dead = false;
        self.watch.begin(now);
        self.sites.busy.clear();
    }

    /// Whether a supervisor cannot be started this time.
    pub(super) fn fails_to_launch(&mut self) -> bool {
        self.fault().is_some()
    }

    /// How long a call takes at most, in milliseconds. Where there are faults, some hang for minutes.
    fn patience(&mut self) -> u64 {
        let hangs = self.fault_rate.is_some() && self.faults > 0 && self.dice.luck(150);
        if hangs {
            self.faults -= 1;
        }
        if hangs { 400_000 } else { 900 }
    }

    fn fault(&mut self) -> Option<Fault> {
        let rate = self.fault_rate?;
        if self.faults == 0 || !self.dice.luck(rate) {
            return None;
        }
        self.faults -= 1;
        Some(*self.dice.pick(&[Fault::Before, Fault::After]))
    }
}

/// When a call to the outside goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// Nothing was done.
    Before,
    /// It was done, and nobody learns of it.
    After,
}

/// One server's hold on the world. It is worth nothing once that server is dead.
#[derive(Clone)]
pub(super) struct Link {
    world: Arc<Mutex<World>>,
    pub(super) clock: Arc<SimulatedClock>,
    died: Arc<Notify>,
}

impl Link {
    pub(super) fn new(world: Arc<Mutex<World>>, clock: SimulatedClock) -> Self {
        Self {
            world,
            clock: Arc::new(clock),
            died: Arc::new(Notify::new()),
        }
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap()
    }

    /// Returns once this server is dead.
    pub(super) async fn died(&self) {
        self.died.notified().await;
    }

    /// A point at which the server may die: from there, nothing of it goes on.
    pub(super) async fn reach(&self, place: &str) {
        let alive = {
            let mut world = self.lock();
            if !world.dead {
                world.points += 1;
                if world.crash_at.contains(&world.points) {
                    let (now, number) = (self.now(), world.points);
                    world.note(
                        now,
                        &format!("*** the server dies at point {number}: {place}"),
                    );
                    world.dead = true;
                    self.died.notify_one();
                }
            }
            !world.dead
        };
        if !alive {
            std::future::pending::<()>().await;
        }
    }

    /// Something that takes a while.
    pub(super) async fn pass(&self, milliseconds: u64) {
        let pause = self.lock().dice.between(1, milliseconds);
        sleep(Duration::from_millis(pause)).await;
    }

    /// One call to the outside, with its two points and its faults: `effect` is what it does,
    /// `trouble` what the caller hears when it goes wrong.
    pub(super) async fn call<T, E>(
        &self,
        name: &str,
        trouble: impl FnOnce(&mut Dice) -> E,
        effect: impl FnOnce(&mut World, Timestamp) -> Result<T, E>,
    ) -> Result<T, E> {
        self.reach(&format!("before {name}")).await;
        let longest = self.lock().patience();
        self.pass(longest).await;
        let outcome = {
            let now = self.now();
            let mut world = self.lock();
            world.advance(now);
            match world.fault() {
                Some(Fault::Before) => {
                    world.note(now, &format!("{name}: fails"));
                    Err(trouble(&mut world.dice))
                }
                Some(Fault::After) => {
                    world.note(now, &format!("{name}: done, and its answer is lost"));
                    drop(effect(&mut world, now));
                    Err(trouble(&mut world.dice))
                }
                None => {
                    world.note(now, name);
                    effect(&mut world, now)
                }
            }
        };
        self.reach(&format!("after {name}")).await;
        outcome
    }
}

/// Follows the time of the runtime, which stands still until everybody waits for it.
pub(super) struct SimulatedClock {
    began: Instant,
    at: Timestamp,
}

impl SimulatedClock {
    /// A clock that shows `at` now.
    pub(super) fn showing(at: Timestamp) -> Self {
        Self {
            began: Instant::now(),
            at,
        }
    }
}

impl Clock for SimulatedClock {
    fn now(&self) -> Timestamp {
        self.at + SignedDuration::try_from(self.began.elapsed()).unwrap()
    }
}

/// From now to then, zero if that is over.
pub(super) fn until(now: Timestamp, then: Timestamp) -> Duration {
    then.duration_since(now)
        .max(SignedDuration::ZERO)
        .unsigned_abs()
}
