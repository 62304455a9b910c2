//! The watchman: what `huskies confine` is. It makes the namespaces, starts the first process in
//! them, ends with whoever started it, and takes everything inside with it.
//!
//! It runs with one thread only: a user namespace cannot be entered otherwise.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitCode, Stdio};

use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{SigSet, Signal as Blocked};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{
    Pid, PidfdFlags, Signal, getegid, geteuid, getpid, getppid, kill_process, pidfd_open,
};

use super::confinement::{Network, Order};
use super::enclosure::{COULD_NOT_BUILD, SANDBOX_COMPLAINT};
use super::inner::complain;
use super::network::{PROXY_PORT, hand_over, raise_loopback};
use super::rights;

/// The hidden subcommand that runs as the first process inside.
const INNER: &str = "confine-inner";

/// Runs `argv` as `order` says. Ends as it ended, by exit status or signal;
/// [`COULD_NOT_BUILD`] when it never began.
pub fn run(order: &str, argv: &[OsString]) -> ExitCode {
    let ended = match confine(order, argv) {
        Ok(ended) => ended,
        Err(error) => {
            complain(&format!("{SANDBOX_COMPLAINT}: {error}"));
            return ExitCode::from(COULD_NOT_BUILD);
        }
    };
    match ended {
        Ended::Exit(code) => ExitCode::from(code),
        Ended::Signal(signal) => die_of(signal),
    }
}

/// How the program ended.
enum Ended {
    Exit(u8),
    Signal(i32),
}

fn confine(order: &str, argv: &[OsString]) -> io::Result<Ended> {
    let order: Order = serde_json::from_str(order)?;
    let guardian = guardian(&order)?;
    // What asks the program to end reaches it directly; the watchman stays for its exit status.
    hold_signals().thread_block()?;
    for group in &order.groups {
        fs::write(group, std::process::id().to_string())
            .map_err(|error| naming(&error, group.as_os_str()))?;
    }
    enter_namespaces(&order)?;
    let (ours, theirs) = UnixStream::pair()?;
    let mut first = Command::new("/proc/self/exe")
        .arg(INNER)
        .arg(serde_json::to_string(&order.confinement)?)
        .arg("--")
        .args(argv)
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .spawn()?;
    watch(&mut first, &guardian, ours)
}

fn naming(error: &io::Error, what: &OsStr) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", what.display()))
}

fn hold_signals() -> SigSet {
    let mut held = SigSet::empty();
    for signal in [
        Blocked::SIGTERM,
        Blocked::SIGINT,
        Blocked::SIGHUP,
        Blocked::SIGQUIT,
        Blocked::SIGPIPE,
    ] {
        held.add(signal);
    }
    held
}

/// Whoever started this: when it ends, so does the room. Not a parent-death signal, which comes when
/// the *thread* ends that started it (PR_SET_PDEATHSIG(2const)).
fn guardian(order: &Order) -> io::Result<OwnedFd> {
    let parent =
        getppid().filter(|parent| parent.as_raw_nonzero().get().unsigned_abs() == order.guardian);
    let parent = parent.ok_or_else(|| io::Error::other("whoever asked for it is gone"))?;
    Ok(pidfd_open(parent, PidfdFlags::empty())?)
}

/// User, mount, PID, IPC, host name, cgroup and, unless the machine's own is asked for, network
/// namespaces (namespaces(7)). Inside, the user is who they are outside, and root of nothing.
fn enter_namespaces(order: &Order) -> io::Result<()> {
    let (user, group) = (geteuid().as_raw(), getegid().as_raw());
    let own_network = order.confinement.network != Network::All;
    let mut spaces = CloneFlags::CLONE_NEWUSER
        | CloneFlags::CLONE_NEWNS
        | CloneFlags::CLONE_NEWPID
        | CloneFlags::CLONE_NEWIPC
        | CloneFlags::CLONE_NEWUTS
        | CloneFlags::CLONE_NEWCGROUP;
    spaces.set(CloneFlags::CLONE_NEWNET, own_network);
    unshare(spaces).map_err(|error| {
        io::Error::new(
            io::Error::from(error).kind(),
            format!("this machine does not allow namespaces of its own ({error})"),
        )
    })?;
    let map = |file: &str, text: String| {
        fs::write(file, text).map_err(|error| naming(&error, OsStr::new(file)))
    };
    map("/proc/self/setgroups", "deny".to_owned())?;
    map("/proc/self/uid_map", format!("{user} {user} 1"))?;
    map("/proc/self/gid_map", format!("{group} {group} 1"))?;
    rights::keep_over_exec()?;
    if own_network {
        raise_loopback()?;
    }
    if let Some(socket) = &order.socket {
        let mut ports = vec![PROXY_PORT];
        ports.extend(&order.bridges);
        hand_over(socket, &ports)?;
    }
    Ok(())
}

/// Waits for the program's end, or for the guardian's.
fn watch(first: &mut Child, guardian: &OwnedFd, mut line: UnixStream) -> io::Result<Ended> {
    line.write_all(b"g")?;
    let pid = i32::try_from(first.id()).ok().and_then(Pid::from_raw);
    let pid = pid.ok_or_else(|| io::Error::other("the first process has no process id"))?;
    let process = pidfd_open(pid, PidfdFlags::empty())?;
    loop {
        let mut watched = [
            PollFd::new(&process, PollFlags::IN),
            PollFd::new(guardian, PollFlags::IN),
        ];
        match poll(&mut watched, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let [process, guardian] = watched.map(|polled| !polled.revents().is_empty());
        if process {
            break;
        }
        if guardian {
            first.kill()?;
        }
    }
    let status = first.wait()?;
    let mut word = String::new();
    line.read_to_string(&mut word)?;
    Ok(match word.split_once(' ') {
        Some(("exit", code)) => Ended::Exit(code.parse().unwrap_or(u8::MAX)),
        Some(("signal", signal)) => Ended::Signal(signal.parse().unwrap_or(9)),
        // The first process itself was killed, or could not begin.
        Some(_) | None => match (status.code(), status.signal()) {
            (Some(code), _) => Ended::Exit(u8::try_from(code).unwrap_or(u8::MAX)),
            (None, signal) => Ended::Signal(signal.unwrap_or(9)),
        },
    })
}

/// Ends as the program did, so that whoever waits sees no difference.
fn die_of(signal: i32) -> ExitCode {
    let released = hold_signals().thread_unblock();
    let wanted = Signal::from_named_raw(signal);
    if let (Ok(()), Some(wanted)) = (released, wanted) {
        // Without an effect, the exit status below says it as a shell would.
        let _alive = kill_process(getpid(), wanted);
    }
    ExitCode::from(u8::try_from(128 + signal).unwrap_or(u8::MAX))
}
