//! What a room costs: the time of a confined `true` beside that of a bare one, in the same run.
//!
//! `cargo bench --bench sandbox_start`

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark is a program that prints, and stops when it cannot go on"
)]

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use huskies::config::environment::Environment;
use huskies::sandbox::{Enclosure, Limits, Network, Room, Stay, Walls};

const ROUNDS: usize = 60;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let _inside = runtime.enter();
    let folder = tempfile::tempdir().unwrap();
    let bare = median(|| time(&["true".to_owned()]));
    println!("bare                 {:>8.2} ms", milliseconds(bare));
    for (name, network) in [
        ("network = none", Network::None),
        (
            "network = hosts",
            Network::Hosts(vec!["example.com".to_owned()]),
        ),
        ("network = all", Network::All),
    ] {
        let walls = walls(network);
        let confined = median(|| confined(&walls, folder.path()));
        println!(
            "{name:20} {:>8.2} ms  {:.1} times bare",
            milliseconds(confined),
            confined.as_secs_f64() / bare.as_secs_f64()
        );
    }
}

/// With everything that the machine has on the allow list.
fn walls(network: Network) -> Walls {
    Walls {
        binary: env!("CARGO_BIN_EXE_huskies").into(),
        data_dir: "/nonexistent".into(),
        environment: Environment::of_process().only(&["HOME", "PATH"]),
        readable: Vec::new(),
        writable: Vec::new(),
        network,
        limits: Limits {
            memory_bytes: 1 << 30,
            processes: 256,
            open_files: 1024,
            disk_bytes: 1 << 30,
        },
        credentials: Vec::new(),
    }
}

/// All of it: the folders, the proxy, the groups, the room, the program.
fn confined(walls: &Walls, folder: &Path) -> Duration {
    let begun = Instant::now();
    let work = folder.join("work");
    std::fs::create_dir_all(&work).unwrap();
    let confinement = walls.confinement(Stay {
        folder: work.clone(),
        writable: Vec::new(),
        readable: Vec::new(),
        room: Room::at(&folder.join("room")),
        with_credentials: false,
    });
    let enclosure = Enclosure::begin(&confinement).unwrap();
    let argv = enclosure.wrap(&["true".to_owned()]);
    let mut command = Command::new(&argv[0]);
    command.args(&argv[1..]).current_dir(&work);
    run(&mut command);
    begun.elapsed()
}

fn time(argv: &[String]) -> Duration {
    let begun = Instant::now();
    run(Command::new(&argv[0]).args(&argv[1..]));
    begun.elapsed()
}

fn run(command: &mut Command) {
    assert!(command.stdin(Stdio::null()).status().unwrap().success());
}

fn median(mut once: impl FnMut() -> Duration) -> Duration {
    let mut times: Vec<Duration> = (0..ROUNDS).map(|_| once()).collect();
    times.sort();
    times[ROUNDS / 2]
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}
