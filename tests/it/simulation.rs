//! The real engine, executor, timers and store, over a world in memory that is told what to do by
//! a seed: people, agents, gates, merges and a forge, each with its faults, deliveries that come
//! late or twice, and a server that dies at any point between two durable writes or acts outside.
//!
//! Time is the runtime's own, which stands still until everybody waits for it, and all of a history
//! happens on one thread: the same seed always tells the same history.
//!
//! | variable | does |
//! |---|---|
//! | `HUSKIES_SIM_SEEDS=5000` | tells the histories of so many seeds, and of some with a kill at every point |
//! | `HUSKIES_SIM_SEED=17` | tells one, and prints it; `17@345` kills the server at its point 345 |

mod cases;
mod check;
mod commits;
mod dice;
mod forge;
mod history;
mod landing;
mod life;
mod lists;
mod pulls;
mod runs;
mod script;
mod sites;
mod store;
mod supervisors;
mod watch;
mod workshop;
mod world;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use dice::Dice;
use life::{Told, tell};
use store::Host;

/// The one repository, and how many issues it has.
const REPO: &str = "octo/app";
const STORIES: u64 = 3;

/// Without a wish: what the patience of `cargo test` allows for.
const SEEDS: u64 = 32;
/// Histories grow up to about this seed; few seeds are spread over all lengths.
const GROWN: u64 = 384;
/// Of so many seeds, one has the server killed at each of its points.
const EVERY_POINT: u64 = 384;
/// Side by side.
const THREADS: u64 = 2;

/// One telling: a seed, and the points at which the server dies.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Case {
    seed: u64,
    crashes: Vec<u64>,
}

impl std::fmt::Display for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.seed)?;
        for point in &self.crashes {
            write!(f, "@{point}")?;
        }
        Ok(())
    }
}

impl std::str::FromStr for Case {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut numbers = text.split('@').map(str::parse);
        let seed = numbers.next().unwrap_or(Ok(0))?;
        let crashes = numbers.collect::<Result<_, _>>()?;
        Ok(Self { seed, crashes })
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "whoever runs the tests says how long they may take, and what they should replay"
)]
fn wished(variable: &str) -> Option<String> {
    std::env::var(variable).ok()
}

/// What a number of tellings came to.
#[derive(Debug, Default)]
struct Sum {
    histories: u64,
    points: u64,
    crashes: u64,
    commits: usize,
    landed: usize,
    failures: BTreeSet<(Case, String)>,
}

impl Sum {
    fn add(&mut self, case: &Case, told: &Told) {
        self.histories += 1;
        self.crashes += case.crashes.len() as u64;
        self.commits += told.commits;
        self.landed += told.landed;
        if case.crashes.is_empty() {
            self.points += told.points;
        }
        if let Some(violation) = told.violations.first() {
            self.failures.insert((case.clone(), violation.clone()));
        }
    }

    fn join(mut self, other: Self) -> Self {
        self.histories += other.histories;
        self.points += other.points;
        self.crashes += other.crashes;
        self.commits += other.commits;
        self.landed += other.landed;
        self.failures.extend(other.failures);
        self
    }
}

/// The histories of `seeds`, each undisturbed, with one crash and with several; of one in
/// `every`, with a crash at each point there is.
fn tell_all(seeds: u64, every: u64) -> Sum {
    let next = AtomicU64::new(0);
    let worker = || {
        let host = Arc::new(Host::new());
        let mut sum = Sum::default();
        loop {
            let place = next.fetch_add(1, Ordering::Relaxed);
            if place >= seeds {
                return sum;
            }
            let seed = place * (GROWN / seeds).max(1);
            let undisturbed = Case {
                seed,
                crashes: Vec::new(),
            };
            let told = tell(seed, &[], &host);
            sum.add(&undisturbed, &told);
            for case in disturbed(seed, told.points, every) {
                let told = tell(seed, &case.crashes, &host);
                sum.add(&case, &told);
            }
        }
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(worker)).collect();
        let sums = threads.into_iter().map(|thread| thread.join().unwrap());
        sums.fold(Sum::default(), Sum::join)
    })
}

fn disturbed(seed: u64, points: u64, every: u64) -> Vec<Case> {
    let case = |crashes| Case { seed, crashes };
    let mut dice = Dice::new(!seed);
    let mut cases = vec![case(vec![dice.between(1, points)])];
    let mut several: Vec<u64> = (0..4).map(|_| dice.between(1, points)).collect();
    several.sort_unstable();
    several.dedup();
    cases.push(case(several));
    if seed.is_multiple_of(every) {
        cases.extend((1..=points).map(|point| case(vec![point])));
    }
    cases
}

#[expect(
    clippy::print_stdout,
    reason = "how much was covered, and how to see a failure again, belongs into the test's report"
)]
#[test]
fn every_history_keeps_every_promise() {
    let host = Arc::new(Host::new());
    if let Some(case) = wished("HUSKIES_SIM_SEED") {
        let case: Case = case.parse().unwrap();
        let told = tell(case.seed, &case.crashes, &host);
        println!("{}", told.trace.join("\n"));
        assert!(told.violations.is_empty(), "{:#?}", told.violations);
        return;
    }
    let seeds = wished("HUSKIES_SIM_SEEDS").and_then(|seeds| seeds.parse().ok());
    let began = std::time::Instant::now();
    let sum = tell_all(seeds.unwrap_or(SEEDS), EVERY_POINT);
    let seconds = began.elapsed().as_secs().max(1);
    println!(
        "simulated {} histories ({} a second) with {} crashes: {} points, {} transactions, {} landings",
        sum.histories,
        sum.histories / seconds,
        sum.crashes,
        sum.points,
        sum.commits,
        sum.landed
    );
    for (case, violation) in sum.failures.iter().take(20) {
        println!(
            "HUSKIES_SIM_SEED={case} cargo test --test it every_history -- --nocapture\n    {violation}"
        );
    }
    let failed = sum.failures.len();
    assert_eq!(
        failed, 0,
        "of {} histories {failed} broke a promise",
        sum.histories
    );
}

#[test]
fn the_same_seed_tells_the_same_history() {
    let host = Arc::new(Host::new());
    for case in ["90", "91@60", "350@100@200"] {
        let case: Case = case.parse().unwrap();
        let once = tell(case.seed, &case.crashes, &host);
        let again = tell(case.seed, &case.crashes, &host);
        assert!(once.trace.len() > 20, "{:#?}", once.trace);
        assert_eq!(once.trace, again.trace, "{case}");
    }
}
