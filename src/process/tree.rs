//! Everything that one run started, and ending all of it.
//!
//! A signal to a process group is not enough: agents give their tools sessions of their own, and
//! wrappers leave the real program running when they die. So a run's processes are recognised in
//! two ways: by descent from its root, and by a mark in the environment that children inherit.
//! A process that leaves both (cleared environment *and* an ended parent) is still a descendant of
//! the run's supervisor, which is a child subreaper; only one that does so after its supervisor was
//! killed is out of reach, and in a sandbox not even that one: its PID namespace ends with its run.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::identity::{self, Stat};
use crate::domain::work::ProcessIdentity;

/// The environment variable that every process of a run inherits: the marks of the runs it is part
/// of, separated by spaces. A gate carries the mark of its set of gates and one of its own.
pub const MARK_VARIABLE: &str = "HUSKIES_RUN_MARK";

/// How long SIGKILL is repeated before the rest is called unkillable (uninterruptible sleep).
const KILL_LIMIT: Duration = Duration::from_secs(10);
/// How often `/proc` is read while something is expected to end.
const POLL: Duration = Duration::from_millis(10);

/// The processes of one run: what descends from `root` (itself included), and what carries `mark`.
/// The process that asks is never a member.
#[derive(Debug, Clone)]
pub struct Tree {
    /// `None` when only the mark is known.
    pub root: Option<ProcessIdentity>,
    pub mark: String,
}

/// Some processes of a tree could not be ended.
#[derive(Debug, thiserror::Error)]
#[error(
    "processes {pids:?} survived SIGKILL for {KILL_LIMIT:?}: they hang in the kernel; look at `ps -o pid,stat,wchan` and at the file systems they use"
)]
pub struct Unkillable {
    pub pids: Vec<u32>,
}

impl Tree {
    /// Ends every member: SIGTERM to all, and once `grace` is over SIGKILL until none is left.
    /// Returns as soon as all are gone.
    pub async fn kill(&self, grace: Duration) -> Result<(), Unkillable> {
        let tree = self.clone();
        match tokio::task::spawn_blocking(move || tree.kill_blocking(grace)).await {
            Ok(outcome) => outcome,
            Err(failed) => std::panic::resume_unwind(failed.into_panic()),
        }
    }

    /// As [`Tree::kill`], on the current thread.
    pub fn kill_blocking(&self, grace: Duration) -> Result<(), Unkillable> {
        let begun = Instant::now();
        let asked = self.members();
        signal_all(&asked, Signal::TERM);
        while asked.iter().any(|(&pid, &start)| is_running(pid, start)) && begun.elapsed() < grace {
            thread::sleep(POLL);
        }
        let begun = Instant::now();
        loop {
            let frozen = self.freeze();
            if frozen.is_empty() {
                return Ok(());
            }
            signal_all(&frozen, Signal::KILL);
            if begun.elapsed() > KILL_LIMIT {
                return Err(Unkillable {
                    pids: frozen.into_keys().collect(),
                });
            }
            thread::sleep(POLL);
        }
    }

    /// Whether anything of the run is alive.
    pub fn is_empty(&self) -> bool {
        self.members().is_empty()
    }

    /// Stops members until a look at `/proc` finds no new one: what is stopped cannot fork away
    /// from the SIGKILL that follows.
    fn freeze(&self) -> Members {
        let mut frozen = Members::new();
        for _ in 0..100 {
            let members = self.members();
            let new: Members = members
                .into_iter()
                .filter(|member| frozen.get(&member.0) != Some(&member.1))
                .collect();
            if new.is_empty() {
                break;
            }
            signal_all(&new, Signal::STOP);
            frozen.extend(new);
        }
        frozen.retain(|&pid, &mut start| is_running(pid, start));
        frozen
    }

    /// The live members by pid, with the start time each had when it was seen.
    fn members(&self) -> Members {
        let processes = processes();
        let mut members: HashSet<u32> = processes
            .keys()
            .copied()
            .filter(|&pid| self.carries_mark(pid))
            .collect();
        let root = self.root.as_ref().filter(|root| {
            let now = processes.get(&root.pid);
            now.is_some_and(|stat| stat.start_ticks == root.start_ticks)
        });
        members.extend(root.map(|root| root.pid));
        add_descendants(&mut members, &processes);
        members.remove(&std::process::id());
        let live = |pid| {
            processes
                .get(&pid)
                .filter(|stat| !stat.is_over())
                .map(|stat| (pid, stat.start_ticks))
        };
        members.into_iter().filter_map(live).collect()
    }

    fn carries_mark(&self, pid: u32) -> bool {
        let name = format!("{MARK_VARIABLE}=");
        fs::read(format!("/proc/{pid}/environ")).is_ok_and(|environment| {
            environment
                .split(|&byte| byte == 0)
                .filter_map(|entry| entry.strip_prefix(name.as_bytes()))
                .flat_map(|marks| marks.split(|&byte| byte == b' '))
                .any(|mark| mark == self.mark.as_bytes())
        })
    }
}

/// Start times by pid.
type Members = HashMap<u32, u64>;

fn signal_all(members: &Members, signal: Signal) {
    for (&pid, &start_ticks) in members {
        // A member that is gone by now needs no signal.
        identity::signal(pid, start_ticks, signal);
    }
}

fn is_running(pid: u32, start_ticks: u64) -> bool {
    identity::read_stat(pid).is_ok_and(|stat| stat.start_ticks == start_ticks && !stat.is_over())
}

fn processes() -> HashMap<u32, Stat> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return HashMap::new();
    };
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(|pid| Some((pid, identity::read_stat(pid).ok()?)))
        .collect()
}

fn add_descendants(members: &mut HashSet<u32>, processes: &HashMap<u32, Stat>) {
    loop {
        let children: Vec<u32> = processes
            .iter()
            .filter(|(pid, stat)| members.contains(&stat.parent) && !members.contains(pid))
            .map(|(&pid, _)| pid)
            .collect();
        if children.is_empty() {
            return;
        }
        members.extend(children);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader};
    use std::process::{Child, Command, Stdio};

    /// Starts a script with the mark set and waits until it has printed a line.
    fn start(mark: &str, script: &str) -> (Child, String) {
        let mut child = Command::new("sh")
            .args(["-c", script])
            .env(MARK_VARIABLE, mark)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        (child, line.trim().to_owned())
    }

    fn tree(child: &Child, mark: &str) -> Tree {
        Tree {
            root: Some(identity::identify(child.id()).unwrap()),
            mark: mark.to_owned(),
        }
    }

    #[test]
    fn a_process_that_forgets_its_mark_is_found_by_descent() {
        let (mut child, _) = start("tree-descent", "env -i sh -c 'echo up; sleep 600' ; true");
        let tree = tree(&child, "tree-descent");
        assert!(tree.members().len() >= 2);
        tree.kill_blocking(Duration::from_secs(5)).unwrap();
        assert!(tree.is_empty());
        child.wait().unwrap();
    }

    #[test]
    fn a_stray_that_left_its_parent_and_session_is_found_by_its_mark() {
        let (mut child, pid) = start("tree-stray", "setsid sh -c 'sleep 600 & echo $!' &");
        child.wait().unwrap();
        let stray = identity::identify(pid.parse().unwrap()).unwrap();
        let gone = ProcessIdentity {
            pid: child.id(),
            start_ticks: 1,
            boot_id: String::new(),
        };
        Tree {
            root: Some(gone),
            mark: "tree-stray".to_owned(),
        }
        .kill_blocking(Duration::ZERO)
        .unwrap();
        assert!(!identity::is_alive(&stray));
    }

    #[test]
    fn what_ignores_sigterm_or_forks_without_end_is_killed() {
        let (mut child, _) = start(
            "tree-stubborn",
            "trap '' TERM; echo up; while :; do sh -c 'trap \"\" TERM; sleep 600' & sleep 0.01; done",
        );
        let tree = tree(&child, "tree-stubborn");
        tree.kill_blocking(Duration::from_millis(100)).unwrap();
        assert!(tree.is_empty());
        child.wait().unwrap();
    }

    #[test]
    fn the_process_that_asks_is_never_a_member() {
        let me = identity::identify(std::process::id()).unwrap();
        let tree = Tree {
            root: Some(me),
            mark: "nobody carries this".to_owned(),
        };
        assert!(!tree.members().contains_key(&std::process::id()));
    }
}
