//! Ends every process that a test left behind: agents and supervisors outlive the server on
//! purpose, and must not outlive the test.

use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// How long the kernel is given to end what was killed.
const LIMIT: Duration = Duration::from_secs(10);

/// Kills until no process is left whose environment or command line mentions `folder`, which must
/// be a test's own temporary folder.
pub(crate) fn kill_everything_of(folder: &Path) {
    let mark = folder.as_os_str().as_encoded_bytes();
    let deadline = Instant::now() + LIMIT;
    while Instant::now() < deadline {
        let left = processes_that_mention(mark);
        if left.is_empty() {
            return;
        }
        for pid in left {
            // It may be gone already, which is what is wanted.
            let _gone = kill_process(pid, Signal::KILL);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The processes of a test that are running now.
pub(crate) fn processes_of(folder: &Path) -> Vec<Pid> {
    processes_that_mention(folder.as_os_str().as_encoded_bytes())
}

/// The processes of a test's agents that are running now, whatever they are called inside.
pub(crate) fn agents_of(folder: &Path) -> Vec<Pid> {
    processes_that_mention(format!("HUSKIES_WORKTREE={}", folder.display()).as_bytes())
}

/// True while the process is there and not merely waiting to be reaped.
pub(crate) fn is_running(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| {
        let state = stat
            .rsplit_once(") ")
            .map(|(_, rest)| rest.chars().next().unwrap_or('Z'));
        state.is_some_and(|state| state != 'Z' && state != 'X')
    })
}

fn processes_that_mention(mark: &[u8]) -> Vec<Pid> {
    let Ok(entries) = std::fs::read_dir("/proc") else {
        return Vec::new();
    };
    let own = std::process::id();
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .filter(|pid| *pid != own && mentions(*pid, mark) && is_running(*pid))
        .filter_map(|pid| Pid::from_raw(i32::try_from(pid).ok()?))
        .collect()
}

fn mentions(pid: u32, mark: &[u8]) -> bool {
    ["environ", "cmdline"].iter().any(|file| {
        std::fs::read(format!("/proc/{pid}/{file}"))
            .is_ok_and(|content| content.windows(mark.len()).any(|window| window == mark))
    })
}
