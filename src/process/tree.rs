//! A process and everything that it started, also what moved to a session of its own or lost its
//! parent: found by descent in `/proc` and by a mark in the environment that children inherit.
//!
//! Not for: starting processes, or waiting for their exit status.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

/// The environment variable that carries the marks of the runs that a process belongs to, separated
/// by spaces, outermost first. A run inside another one (a commit's gates inside an agent's attempt)
/// adds its own, so that ending the inner one spares the outer one but not the other way round.
pub const MARK_VARIABLE: &str = "HUSKIES_RUN_MARK";

/// How often the process table is read again while processes are ending.
const POLL: Duration = Duration::from_millis(20);

/// How many rounds of SIGKILL are sent. What is still there after two seconds hangs in the kernel.
const KILL_ROUNDS: u32 = 100;

/// One run's processes.
#[derive(Debug, Clone)]
pub struct Tree {
    /// The process that the run began with. It counts only while it is a child of this process or
    /// carries the mark, so that a process that got its number later is safe.
    pub root: u32,
    /// This run's own mark, without spaces.
    pub mark: String,
}

impl Tree {
    /// Ends every member: SIGTERM, then SIGKILL for what is left after `grace`. Returns when none is
    /// left (zombies do not count), at once when there is none.
    pub async fn kill(&self, grace: Duration) {
        if self.signal_members(Signal::TERM).await == 0 {
            return;
        }
        let mut waited = Duration::ZERO;
        while waited < grace {
            tokio::time::sleep(POLL).await;
            waited += POLL;
            if self.members().await.is_empty() {
                return;
            }
        }
        for _ in 0..KILL_ROUNDS {
            if self.signal_members(Signal::KILL).await == 0 {
                return;
            }
            tokio::time::sleep(POLL).await;
        }
        tracing::warn!(
            root = self.root,
            mark = self.mark,
            "processes survive SIGKILL"
        );
    }

    /// The living processes of this run.
    pub async fn members(&self) -> Vec<u32> {
        let tree = self.clone();
        match tokio::task::spawn_blocking(move || tree.scan(&read_processes())).await {
            Ok(members) => members,
            Err(error) => {
                tracing::error!(%error, "the process table could not be read");
                Vec::new()
            }
        }
    }

    async fn signal_members(&self, signal: Signal) -> usize {
        let members = self.members().await;
        for pid in &members {
            let pid = i32::try_from(*pid).ok().and_then(Pid::from_raw);
            if let Some(Err(error)) = pid.map(|pid| kill_process(pid, signal)) {
                tracing::debug!(%error, ?pid, "a process was gone before its signal");
            }
        }
        members.len()
    }

    fn scan(&self, processes: &HashMap<u32, Process>) -> Vec<u32> {
        let own = std::process::id();
        let mut members: HashSet<u32> = processes
            .iter()
            .filter(|(_, process)| process.carries(&self.mark))
            .map(|(pid, _)| *pid)
            .collect();
        if processes
            .get(&self.root)
            .is_some_and(|root| root.parent == own)
        {
            members.insert(self.root);
        }
        loop {
            let found: Vec<u32> = processes
                .iter()
                .filter(|(pid, process)| {
                    members.contains(&process.parent) && !members.contains(pid)
                })
                .map(|(pid, _)| *pid)
                .collect();
            if found.is_empty() {
                break;
            }
            members.extend(found);
        }
        let living = |pid: &u32| processes.get(pid).is_some_and(|process| !process.zombie);
        members
            .into_iter()
            .filter(|pid| *pid != own && living(pid))
            .collect()
    }
}

/// What the process table says about one process.
struct Process {
    parent: u32,
    zombie: bool,
    marks: String,
}

impl Process {
    fn carries(&self, mark: &str) -> bool {
        self.marks.split(' ').any(|own| own == mark)
    }
}

/// Reads `/proc`; processes that end meanwhile or belong to somebody else are left out.
fn read_processes() -> HashMap<u32, Process> {
    let Ok(entries) = std::fs::read_dir("/proc") else {
        return HashMap::new();
    };
    entries
        .flatten()
        .filter_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            Some((pid, read_process(&entry.path())?))
        })
        .collect()
}

fn read_process(folder: &Path) -> Option<Process> {
    let stat = std::fs::read_to_string(folder.join("stat")).ok()?;
    // proc_pid_stat(5): the name in parentheses may hold anything, also spaces and parentheses.
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut fields = fields.split(' ');
    let zombie = matches!(fields.next()?, "Z" | "X");
    let parent = fields.next()?.parse().ok()?;
    let environ = std::fs::read(folder.join("environ")).unwrap_or_default();
    let prefix = format!("{MARK_VARIABLE}=");
    let marks = environ
        .split(|byte| *byte == 0)
        .find_map(|entry| entry.strip_prefix(prefix.as_bytes()))
        .map(|value| String::from_utf8_lossy(value).into_owned())
        .unwrap_or_default();
    Some(Process {
        parent,
        zombie,
        marks,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncBufReadExt, BufReader};

    async fn start(script: &str, marks: &str) -> (tokio::process::Child, Vec<u32>) {
        let mut child = tokio::process::Command::new("sh")
            .args(["-c", script])
            .env(MARK_VARIABLE, marks)
            .stdout(std::process::Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = lines.next_line().await.unwrap().unwrap();
        let pids = line.split(' ').map(|pid| pid.parse().unwrap()).collect();
        (child, pids)
    }

    /// Several test runs may share the machine.
    fn unique(name: &str) -> String {
        format!("{name}-{}", std::process::id())
    }

    fn lives(pid: u32) -> bool {
        read_process(&Path::new("/proc").join(pid.to_string()))
            .is_some_and(|process| !process.zombie)
    }

    #[tokio::test]
    async fn members_in_their_own_session_that_ignore_sigterm_are_ended_too() {
        let script = "trap '' TERM; setsid sleep 1000 & echo $$ $!; wait; wait";
        let mark = unique("own-session");
        let (child, pids) = start(script, &mark).await;
        let tree = Tree {
            root: child.id().unwrap(),
            mark,
        };
        tree.kill(Duration::from_millis(100)).await;
        assert!(pids.iter().all(|pid| !lives(*pid)), "{pids:?}");
    }

    #[tokio::test]
    async fn an_orphan_is_found_by_its_mark_and_an_outer_run_is_spared() {
        let (outer, inner) = (unique("outer"), unique("inner"));
        let marks = format!("{outer} {inner}");
        let (mut child, pids) = start("sleep 1000 >/dev/null & echo $!", &marks).await;
        child.wait().await.unwrap();
        let (_outer, outer_pids) = start("echo $$; exec sleep 1000", &outer).await;
        Tree {
            root: 0,
            mark: inner,
        }
        .kill(Duration::from_millis(100))
        .await;
        assert!(!lives(pids[0]));
        assert!(lives(outer_pids[0]));
        Tree {
            root: 0,
            mark: outer,
        }
        .kill(Duration::from_millis(100))
        .await;
        assert!(!lives(outer_pids[0]));
    }
}
