//! The fuzz targets over what was found once, what is recorded, what attackers write, and a
//! bounded number of inputs made of those. `cargo fuzz` goes on from here for as long as it is let.

#[expect(
    unreachable_pub,
    reason = "the same files are a crate of their own, where libFuzzer calls them"
)]
#[path = "../fuzz/src/lib.rs"]
pub(crate) mod code;

use std::path::{Path, PathBuf};

use code::targets::{ALL, Target};

/// Inputs that are made for each target, beside the seeds.
const MADE: usize = 40;
/// The longest of them.
const LONGEST: usize = 1024;

fn tests() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests")
}

/// The files of a folder, in order.
pub(crate) fn files(folder: &Path) -> Vec<Vec<u8>> {
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    paths
        .iter()
        .map(|path| std::fs::read(path).unwrap())
        .collect()
}

fn seeds(target: &str) -> Vec<Vec<u8>> {
    let recorded = match target {
        "webhook" => Some("fixtures/github-deliveries"),
        "agent_stream" | "terminal_lines" => Some("fixtures/claude-code"),
        _ => None,
    };
    let own = tests().join("fuzz/seeds").join(target);
    let mut seeds = files(&tests().join("fixtures/hostile"));
    seeds.extend(
        recorded
            .into_iter()
            .flat_map(|folder| files(&tests().join(folder))),
    );
    if own.is_dir() {
        seeds.extend(files(&own));
    }
    seeds
}

/// Makes inputs of seeds: pieces of them, joined, doubled, with bytes changed. The same every time.
struct Maker {
    state: u64,
    seeds: Vec<Vec<u8>>,
}

impl Maker {
    /// Marsaglia's xorshift64.
    fn below(&mut self, limit: usize) -> usize {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        usize::try_from(self.state % limit.max(1) as u64).unwrap()
    }

    fn piece(&mut self) -> Vec<u8> {
        let which = self.below(self.seeds.len());
        let length = self.seeds[which].len();
        let from = self.below(length + 1);
        let to = from + self.below((length - from).min(LONGEST / 4) + 1);
        self.seeds[which][from..to].to_vec()
    }

    fn make(&mut self) -> Vec<u8> {
        let mut made = Vec::new();
        for _ in 0..=self.below(4) {
            let piece = self.piece();
            let times = [1, 1, 1, 20][self.below(4)];
            for _ in 0..times {
                made.extend_from_slice(&piece);
            }
        }
        made.truncate(LONGEST);
        for _ in 0..self.below(6) {
            let at = self.below(made.len());
            if let Some(byte) = made.get_mut(at) {
                *byte = u8::try_from(self.state % 256).unwrap();
            }
        }
        made
    }
}

fn run((name, target): Target) {
    let mut maker = Maker {
        state: 0x9e37_79b9_7f4a_7c15,
        seeds: seeds(name),
    };
    for seed in &maker.seeds {
        target(seed);
    }
    target(&[]);
    for _ in 0..MADE {
        target(&maker.make());
    }
}

#[test]
fn no_bytes_from_the_network_break_a_decoder() {
    ALL.into_iter()
        .filter(|(name, _)| ["webhook", "command", "signature", "frames"].contains(name))
        .for_each(run);
}

#[test]
fn no_bytes_of_a_process_break_what_reads_them() {
    ALL.into_iter()
        .filter(|(name, _)| ["agent_stream", "terminal_lines", "gate_output"].contains(name))
        .for_each(run);
}

#[test]
fn no_file_and_no_name_breaks_what_reads_it() {
    ALL.into_iter()
        .filter(|(name, _)| ["project_file", "server_config", "names"].contains(name))
        .for_each(run);
}

#[test]
fn no_bytes_do_anything_in_a_comment_a_status_or_a_prompt() {
    ALL.into_iter()
        .filter(|(name, _)| ["markdown", "prompt"].contains(name))
        .for_each(run);
}

#[test]
fn every_target_is_one_of_libfuzzers_too() {
    let mut programs: Vec<String> = std::fs::read_dir(tests().join("fuzz/bin"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    programs.sort();
    let mut targets = ALL.map(|(name, _)| name.to_owned());
    targets.sort();
    assert_eq!(programs, targets);
}
