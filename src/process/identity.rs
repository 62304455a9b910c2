//! Telling one process from another that got its number later.

use std::fs;
use std::io;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::domain::work::ProcessIdentity;

/// Reads who `pid` is now.
///
/// # Errors
/// `NotFound` when there is no such process.
pub fn identify(pid: u32) -> io::Result<ProcessIdentity> {
    let stat = read_stat(pid)?;
    Ok(ProcessIdentity {
        pid,
        start_ticks: stat.start_ticks,
        boot_id: boot_id()?,
    })
}

/// Whether this very process still runs. A zombie does not: it has ended and only waits to be
/// collected by its parent.
pub fn is_alive(process: &ProcessIdentity) -> bool {
    boot_id().is_ok_and(|boot_id| boot_id == process.boot_id)
        && read_stat(process.pid)
            .is_ok_and(|stat| stat.start_ticks == process.start_ticks && !stat.is_over())
}

/// Sends `signal` to the process that had `start_ticks`, and to no later one with its number: the
/// descriptor is opened first and the start time compared afterwards, so that the number cannot
/// change hands in between. `false` when that process is gone or may not be signalled.
pub(super) fn signal(pid: u32, start_ticks: u64, signal: Signal) -> bool {
    let Some(raw) = i32::try_from(pid).ok().and_then(Pid::from_raw) else {
        return false;
    };
    let Ok(descriptor) = pidfd_open(raw, PidfdFlags::empty()) else {
        return false;
    };
    read_stat(pid).is_ok_and(|stat| stat.start_ticks == start_ticks)
        && pidfd_send_signal(&descriptor, signal).is_ok()
}

/// The fields of `/proc/<pid>/stat` that this room needs (proc_pid_stat(5)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stat {
    pub(super) state: char,
    pub(super) parent: u32,
    pub(super) start_ticks: u64,
}

impl Stat {
    /// Zombie or dead: nothing of it runs any more.
    pub(super) fn is_over(self) -> bool {
        matches!(self.state, 'Z' | 'X' | 'x')
    }

    /// Fields are counted from behind the command name, which may itself hold spaces and brackets.
    fn parse(text: &str) -> Option<Self> {
        let (_, rest) = text.rsplit_once(')')?;
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        Some(Self {
            state: fields.first()?.chars().next()?,
            parent: fields.get(1)?.parse().ok()?,
            start_ticks: fields.get(19)?.parse().ok()?,
        })
    }
}

pub(super) fn read_stat(pid: u32) -> io::Result<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    Stat::parse(&text)
        .ok_or_else(|| io::Error::other(format!("/proc/{pid}/stat is not understood")))
}

fn boot_id() -> io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?
        .trim()
        .to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn a_command_name_with_brackets_and_spaces_does_not_shift_the_fields() {
        let tail = "S 7 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 4242 0 0";
        let stat = Stat::parse(&format!("12 (a) b (c) {tail}")).unwrap();
        assert_eq!(
            stat,
            Stat {
                state: 'S',
                parent: 7,
                start_ticks: 4242
            }
        );
        assert_eq!(Stat::parse("12 nonsense"), None);
    }

    #[test]
    fn this_process_is_alive_and_one_with_another_start_or_boot_is_not() {
        let me = identify(std::process::id()).unwrap();
        assert!(is_alive(&me));
        assert!(!is_alive(&ProcessIdentity {
            start_ticks: me.start_ticks + 1,
            ..me.clone()
        }));
        assert!(!is_alive(&ProcessIdentity {
            boot_id: "another".to_owned(),
            ..me
        }));
    }

    #[test]
    fn an_ended_child_is_dead_even_before_it_is_collected() {
        let mut child = Command::new("sh")
            .args(["-c", "read x"])
            .stdin(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let identity = identify(child.id()).unwrap();
        assert!(is_alive(&identity));
        assert!(
            !signal(identity.pid, identity.start_ticks + 1, Signal::KILL),
            "not this start time"
        );
        assert!(signal(identity.pid, identity.start_ticks, Signal::KILL));
        while is_alive(&identity) {
            std::thread::yield_now();
        }
        child.wait().unwrap();
        assert!(identify(identity.pid).is_err());
    }
}
