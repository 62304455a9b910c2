//! How fast deliveries are taken: the real server beside a bare axum + hmac + SQLite group-commit
//! loop, in the same run. `cargo bench --bench webhooks`; `-- quick` for a tenth of the deliveries.
//!
//! Ratios are what counts: absolute figures move by a factor of two between machines and hours.
//! Nothing is asserted; the goals are printed beside the figures.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark that cannot go on stops, and its output is its result"
)]

mod baseline;
mod deliveries;
mod forge;
mod huskies;
mod load;
mod memory;
mod repository;

use std::time::Duration;

use deliveries::Deliveries;
use huskies::Served;
use load::{Figures, drive};
use memory::Memory;

/// Connections that send one delivery after the other.
const CONCURRENCIES: [usize; 3] = [1, 16, 64];
/// Interleaved runs of each server; the middle one is printed.
const ROUNDS: usize = 3;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let first = arguments.next();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    if first.as_deref() == Some(baseline::ARGUMENT) {
        let file = arguments.next().unwrap();
        return runtime.block_on(baseline::serve(file.as_ref()));
    }
    let quick = first.as_deref() == Some("quick");
    runtime.block_on(report(if quick { 1_000 } else { 10_000 }));
}

async fn report(count: usize) {
    println!(
        "{count} signed `issues.labeled` deliveries of 12 kB in each run, {ROUNDS} runs each\n"
    );
    println!("labels that ask for nothing, on 500 issues");
    compare(count, Deliveries::ordinary).await;
    println!(
        "\nthe start label, each on an issue of its own, by somebody who may not start anything"
    );
    compare(count, Deliveries::starts).await;
    acknowledgement().await;
    under_load(count).await;
}

/// Both servers, in turns, at each concurrency.
async fn compare(count: usize, workload: fn(usize) -> Deliveries) {
    println!("{}", Figures::HEADING);
    for concurrency in CONCURRENCIES {
        // The first delivery of a run pays for what is not there yet.
        let count = if concurrency == 1 { count / 4 } else { count };
        let (mut bare, mut real) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            bare.push(against_baseline(concurrency, &workload(count)).await);
            real.push(against_huskies(concurrency, &workload(count)).await);
        }
        let (bare, real) = (middle(bare), middle(real));
        println!("{}", bare.0.row("baseline", concurrency, &bare.1));
        println!("{}", real.0.row("huskies", concurrency, &real.1));
        let ratio = real.0.rate() / bare.0.rate();
        println!("  ratio {:>3.0} % (goal: 80 % or more)", ratio * 100.0);
    }
}

fn middle(mut runs: Vec<(Figures, Memory)>) -> (Figures, Memory) {
    runs.sort_by(|one, other| one.0.rate().total_cmp(&other.0.rate()));
    runs.swap_remove(ROUNDS / 2)
}

async fn against_baseline(concurrency: usize, deliveries: &Deliveries) -> (Figures, Memory) {
    let served = baseline::Served::start().await;
    let before = Memory::of(served.pid());
    let figures = drive(served.address(), deliveries, concurrency).await;
    (figures, before.now(served.pid()))
}

async fn against_huskies(concurrency: usize, deliveries: &Deliveries) -> (Figures, Memory) {
    let served = Served::start(huskies::Workload::Idle).await;
    let before = Memory::of(served.pid());
    let figures = drive(served.address(), deliveries, concurrency).await;
    (figures, before.now(served.pid()))
}

/// From the label's delivery being sent to the first thing that people see on the forge.
async fn acknowledgement() {
    let served = Served::start(huskies::Workload::Idle).await;
    let mut times = Vec::new();
    for number in 1..=20 {
        let deliveries = Deliveries::start_of(number, forge::WRITER);
        let mut first = served.forge.first_write_about(number);
        let began = std::time::Instant::now();
        drive(served.address(), &deliveries, 1).await;
        first.wait_for(|seen| *seen).await.unwrap();
        times.push(began.elapsed());
    }
    times.sort();
    println!(
        "\nlabel to the first thing visible on the forge, 20 times: median {}, longest {}",
        load::millis(times[times.len() / 2]),
        load::millis(times[times.len() - 1])
    );
}

/// The tail of the answers while 50 agents and gates that never rest load the machine.
async fn under_load(count: usize) {
    let served = Served::start(huskies::Workload::FiftyAgents).await;
    for number in 1..=50 {
        let deliveries = Deliveries::start_of(number, forge::WRITER);
        drive(served.address(), &deliveries, 1).await;
    }
    served.wait_for_agents(50, Duration::from_mins(5)).await;
    println!("\nwhile 50 agents in pseudo-terminals and their tests run");
    println!("{}", Figures::HEADING);
    let before = Memory::of(served.pid());
    let figures = drive(served.address(), &Deliveries::ordinary(count), 16).await;
    println!("{}", figures.row("huskies", 16, &before.now(served.pid())));
    println!(
        "  p99 {} (goal: under 250 ms)",
        load::millis(figures.percentile(99.0))
    );
}
