//! Lives of a server, one after another, until the history is told and everything is at rest.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use huskies::app::{Core, Roots};
use huskies::config::server::ForgeKind;
use huskies::crash::CrashPoints;
use huskies::domain::account::Limits;
use huskies::domain::event::{AccountEvent, Event, RepoEvent};
use huskies::domain::money::Usd;
use huskies::domain::policy::Protection;
use huskies::domain::project::Runtime;
use huskies::domain::reconciliation::Pace;
use huskies::engine::{EngineError, Handle, Report};
use huskies::executor::{Adapters, RepoContext};
use huskies::report::Masker;
use huskies::store::{NewDelivery, SqliteStore};
use jiff::{SignedDuration, Timestamp};
use tempfile::TempDir;
use tokio::runtime::Builder;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::REPO;
use super::check;
use super::dice::Dice;
use super::forge::FakeForge;
use super::history::{History, Step, operators};
use super::store::{Host, SimulatedStore, Writing};
use super::supervisors::FakeSupervisors;
use super::workshop::FakeWorkshop;
use super::world::{Link, SimulatedClock, World, until};

/// Transactions after which a history must have come to rest.
const ENOUGH: usize = 3_000;
/// Longer than it has to be quiet before a history is over.
const LOOKS: Pace = Pace {
    seconds: 3_600,
    alone: false,
};
/// Nothing that waits for something waits longer than this, but for the next day's money.
const QUIET: u32 = 45;
/// Then also that has come.
const A_DAY_QUIET: u32 = 26 * 60;
/// A server that is told to leave does so within this time.
const LEAVING: Duration = Duration::from_secs(30);

/// What came of a history.
pub(super) struct Told {
    pub(super) trace: Vec<String>,
    pub(super) violations: Vec<String>,
    /// Points at which a server could have died.
    pub(super) points: u64,
    pub(super) commits: usize,
    pub(super) landed: usize,
}

/// Tells the history of `seed`, with a server that dies at each of `crashes`.
pub(super) fn tell(seed: u64, crashes: &[u64], host: &Arc<Host>) -> Told {
    let mut dice = Dice::new(seed);
    let history = History::of(seed, &mut dice);
    tell_history(history, dice, (crashes, host))
}

/// Tells a history; what agents, gates and faults make of it is the dice's.
pub(super) fn tell_history(
    history: History,
    dice: Dice,
    (crashes, host): (&[u64], &Arc<Host>),
) -> Told {
    let mut telling = Telling::new(history, dice, host);
    telling.world.lock().unwrap().crash_at = crashes.to_vec();
    let mut now = start();
    loop {
        // What a dead server leaves behind goes with its runtime: nothing is cleaned up.
        let runtime = Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        let (end, at) = runtime.block_on(telling.live(now));
        drop(runtime);
        match end {
            End::Rest => break,
            End::Died => now = telling.after_a_crash(at),
            End::Left { away } => now = telling.stay_away(at, (away, false)),
        }
    }
    telling.conclude()
}

fn start() -> Timestamp {
    "2026-03-02T12:00:00Z".parse().unwrap()
}

/// How a server's life ends.
enum End {
    Rest,
    Died,
    Left { away: Duration },
}

struct Telling {
    world: Arc<Mutex<World>>,
    host: Arc<Host>,
    store: SqliteStore,
    written: Arc<Mutex<Writing>>,
    folder: TempDir,
    limits: Limits,
    steps: VecDeque<(Timestamp, Step)>,
}

impl Telling {
    fn new(history: History, dice: Dice, host: &Arc<Host>) -> Self {
        let mut at = start();
        let steps = history.steps.into_iter().map(|(pause, step)| {
            at += SignedDuration::try_from(pause).unwrap();
            (at, step)
        });
        let steps = steps.collect();
        let limits = Limits {
            per_story: Usd::from_cents(500),
            per_day: Usd::from_cents(history.cents),
            agents: 2,
        };
        let folder = temporary_folder();
        Self {
            store: host.open(&folder.path().join("huskies.db")),
            world: Arc::new(Mutex::new(World::new(
                dice,
                (history.fault_rate, history.loss_rate),
                start(),
            ))),
            host: Arc::clone(host),
            written: Arc::default(),
            folder,
            limits,
            steps,
        }
    }

    /// One server's life, from its start on.
    async fn live(&mut self, at: Timestamp) -> (End, Timestamp) {
        let clock = SimulatedClock::showing(at);
        let link = Link::new(Arc::clone(&self.world), clock);
        {
            let mut world = link.lock();
            world.note(at, "--- a server starts");
            world.revive(at);
        }
        let store = SimulatedStore {
            host: Arc::clone(&self.host),
            inner: self.store.clone(),
            link: link.clone(),
            written: Arc::clone(&self.written),
        };
        let core = Core::new(Arc::new(store), link.clock.clone(), self.adapters(&link));
        let end = tokio::select! {
            biased;
            () = link.died() => End::Died,
            end = self.serve(core, &link) => end,
        };
        (end, link.now())
    }

    fn adapters(&self, link: &Link) -> Adapters {
        let root = self.folder.path().to_owned();
        let repo = RepoContext {
            git: Arc::new(FakeWorkshop {
                link: link.clone(),
                root: root.clone(),
            }),
            forge: Arc::new(FakeForge { link: link.clone() }),
            forge_kind: ForgeKind::Local,
            base_branch: Some("main".parse().unwrap()),
            protection: Protection::default(),
            bots: Vec::new(),
            mentions: Vec::new(),
            runtimes: Runtime::ALL.to_vec(),
        };
        Adapters {
            repos: BTreeMap::from([(REPO.parse().unwrap(), repo)]),
            data_dir: root,
            supervisors: Arc::new(FakeSupervisors { link: link.clone() }),
            binary: "/usr/bin/huskies".into(),
            agent_environment: Vec::new(),
            agent_secrets: Vec::new(),
            walls: None,
            as_root: false,
            masker: Masker::default(),
            crash: CrashPoints::off(),
        }
    }

    async fn serve(&mut self, core: Core, link: &Link) -> End {
        let shutdown = CancellationToken::new();
        let mut roots = Roots::new();
        let handle = core.handle();
        core.start(&mut roots, &shutdown).await.unwrap();
        if self.begin(&handle).await.is_err() {
            // The disk does not even take the first words: it leaves, and somebody starts it again.
            let away = Duration::from_secs(5);
            return leave(roots, handle, (shutdown, away), link).await;
        }
        let mut quiet = 0;
        loop {
            if let Some(ended) = roots.try_join_next() {
                link.lock()
                    .violation(format!("a part of the server ended: {ended:?}"));
                return End::Rest;
            }
            match self.next() {
                Some(at) => {
                    quiet = 0;
                    sleep(until(link.now(), at)).await;
                    if let Some(away) = self.perform(&handle, link).await {
                        return leave(roots, handle, (shutdown, away), link).await;
                    }
                }
                None if self.is_over(&handle, &mut quiet, link).await => return End::Rest,
                None => {}
            }
        }
    }

    /// What a server tells its subjects when it starts.
    async fn begin(&self, handle: &Handle) -> Result<(), EngineError> {
        let limits = self.limits.clone();
        let event = AccountEvent::Configured { limits };
        handle
            .report(Report::event(Event::Account { event }))
            .await?;
        let opened = Event::repo(
            &REPO.parse().unwrap(),
            RepoEvent::Opened { looks: Some(LOOKS) },
        );
        handle.report(Report::event(opened)).await?;
        Ok(())
    }

    /// When the next step or delivery is due.
    fn next(&self) -> Option<Timestamp> {
        let step = self.steps.front().map(|(at, _)| *at);
        let world = self.world.lock().unwrap();
        let mail = world.mail.keys().next().map(|(at, _)| *at);
        step.into_iter().chain(mail).min()
    }

    /// Does what is due. Gives back for how long the server is to be away, if it is.
    async fn perform(&mut self, handle: &Handle, link: &Link) -> Option<Duration> {
        let now = link.now();
        let letter = {
            let mut world = link.lock();
            world.advance(now);
            let first = world.mail.iter().next();
            first
                .filter(|((at, _), _)| *at <= now)
                .map(|(key, delivery)| (*key, delivery.clone()))
        };
        if let Some((key, delivery)) = letter {
            self.deliver(handle, (key, delivery), link).await;
            return None;
        }
        if self.steps.front().is_none_or(|(at, _)| *at > now) {
            return None;
        }
        let (_, step) = self.steps.pop_front()?;
        {
            let mut world = link.lock();
            world.note(now, &format!("> {step:?}"));
            world.happen(&step, now);
        }
        match step {
            Step::Operator { number, wish } => {
                let event = operators(number, &wish);
                // An operator whose word is not taken is told so.
                if let Err(error) = handle.report(Report::event(event)).await {
                    link.lock().note(now, &format!("not taken: {error}"));
                }
                None
            }
            Step::Restart { away } => Some(away),
            Step::Issue { .. }
            | Step::Depend { .. }
            | Step::Part { .. }
            | Step::Comment { .. }
            | Step::Say { .. }
            | Step::DeleteSticky { .. }
            | Step::Push(_)
            | Step::Pull { .. }
            | Step::ForgeDown { .. }
            | Step::Dirty { .. }
            | Step::FullDisk { .. } => None,
        }
    }

    /// A forge sends again what was not answered.
    async fn deliver(
        &self,
        handle: &Handle,
        (key, delivery): ((Timestamp, u64), NewDelivery),
        link: &Link,
    ) {
        let id = delivery.id.clone();
        let answer = handle.deliver(delivery.clone()).await;
        let now = link.now();
        let mut world = link.lock();
        world.note(now, &format!("{id}: {answer:?}"));
        world.mail.remove(&key);
        if answer.is_ok() {
            world.accepted.insert(id, delivery.content.is_some());
        } else {
            let later = now + SignedDuration::from_secs(10);
            world.mail.insert((later, key.1), delivery);
        }
    }

    /// Lets time pass; true when nothing will happen any more.
    async fn is_over(&self, handle: &Handle, quiet: &mut u32, link: &Link) -> bool {
        let mut commits = handle.commits();
        commits.mark_unchanged();
        let changed = timeout(Duration::from_mins(1), commits.changed()).await;
        if changed.is_ok() {
            *quiet = 0;
            if self.written.lock().unwrap().commits > ENOUGH {
                link.lock().violation("it goes on for ever".to_owned());
                return true;
            }
            return false;
        }
        *quiet += 1;
        if *quiet < QUIET || !quiet.is_multiple_of(QUIET) {
            return false;
        }
        match check::unrest(&self.host, &self.store) {
            None => true,
            Some(what) if *quiet > A_DAY_QUIET => {
                link.lock().violation(format!("it is stuck: {what}"));
                true
            }
            Some(_) => false,
        }
    }

    fn after_a_crash(&self, at: Timestamp) -> Timestamp {
        let (away, boot) = {
            let mut world = self.world.lock().unwrap();
            let seconds = *world.dice.pick(&[1, 3, 20, 100, 600]);
            (Duration::from_secs(seconds), world.dice.luck(4))
        };
        self.stay_away(at, (away, boot))
    }

    fn stay_away(&self, from: Timestamp, (away, boot): (Duration, bool)) -> Timestamp {
        let to = from + SignedDuration::try_from(away).unwrap();
        let mut world = self.world.lock().unwrap();
        if boot {
            world.note(from, "--- the machine starts anew");
        }
        world.pass_without_server((from, to), boot);
        to
    }

    fn conclude(self) -> Told {
        let mut world = self.world.lock().unwrap();
        let mut written = self.written.lock().unwrap();
        if world.violations.is_empty() {
            let found = check::at_the_end(&mut world, (&self.host, &self.store), &written);
            for violation in found {
                world.violation(violation);
            }
        }
        Told {
            trace: std::mem::take(&mut world.trace),
            violations: std::mem::take(&mut world.violations),
            points: world.points,
            commits: std::mem::take(&mut written.commits),
            landed: world.sites.landed.len(),
        }
    }
}

/// SIGTERM: nothing new starts, and the server leaves.
async fn leave(
    mut roots: Roots,
    handle: Handle,
    (shutdown, away): (CancellationToken, Duration),
    link: &Link,
) -> End {
    shutdown.cancel();
    drop(handle);
    let left = timeout(LEAVING, async {
        while let Some(ended) = roots.join_next().await {
            if let Ok(Err(error)) = ended {
                link.lock().violation(format!("it left with {error:#}"));
            }
        }
    });
    if left.await.is_err() {
        link.lock().violation("it does not leave".to_owned());
    }
    End::Left { away }
}

/// In memory where the system has such a place: a simulation is about order, not about disks.
fn temporary_folder() -> TempDir {
    let memory = std::path::Path::new("/dev/shm");
    tempfile::tempdir_in(memory)
        .or_else(|_| tempfile::tempdir())
        .unwrap()
}
