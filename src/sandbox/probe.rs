//! Tries the walls from inside: everything here is what a hostile story would do, done harmlessly. It
//! says what it could do; whoever started it knows what it should not have been able to.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr as UnixAddress, UnixStream};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use nix::sched::{CloneFlags, unshare};
use serde::{Deserialize, Serialize};

/// For a connection that nobody refuses and nobody takes.
const PATIENCE: Duration = Duration::from_secs(2);

/// What to try to reach.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Targets {
    /// To be read.
    pub files: Vec<PathBuf>,
    /// To be made; whoever asked looks whether they are there.
    pub writes: Vec<PathBuf>,
    /// A process outside, by number and start time (field 22 of proc_pid_stat(5)).
    pub process: Option<(u32, u64)>,
    /// Unix sockets by path.
    pub sockets: Vec<PathBuf>,
    /// One by an abstract name (unix(7)).
    pub abstract_socket: Option<String>,
    pub tcp: Option<SocketAddr>,
    /// Whoever asked looks whether something arrives.
    pub udp: Option<SocketAddr>,
    /// Instead of everything else: fills this much memory.
    pub fill_memory_mb: Option<u64>,
}

/// One thing that was tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    pub wall: Wall,
    pub what: String,
    pub reached: bool,
}

/// What an attempt was against.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, strum::Display,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Wall {
    Files,
    Writes,
    Environment,
    Memory,
    UnixSockets,
    AbstractSockets,
    Tcp,
    Udp,
    Namespaces,
    KernelSettings,
}

/// Tries everything. Single-threaded, since the last attempt changes the process.
pub fn run(targets: &Targets) -> Vec<Attempt> {
    let mut attempts = Vec::new();
    let mut note = |wall, what: String, reached: io::Result<()>| {
        let reached = reached.is_ok();
        attempts.push(Attempt {
            wall,
            what,
            reached,
        });
    };
    for path in &targets.files {
        note(Wall::Files, shown(path), read(path));
    }
    for path in &targets.writes {
        note(Wall::Writes, shown(path), File::create(path).map(drop));
    }
    if let Some((pid, start)) = targets.process {
        let folder = Path::new("/proc").join(pid.to_string());
        let same = || is_same(&folder, start);
        note(
            Wall::Environment,
            format!("of process {pid}"),
            same().and_then(|()| read(&folder.join("environ"))),
        );
        let memory = || File::open(folder.join("mem")).map(drop);
        note(
            Wall::Memory,
            format!("of process {pid}"),
            same().and_then(|()| memory()),
        );
    }
    for path in &targets.sockets {
        note(
            Wall::UnixSockets,
            shown(path),
            UnixStream::connect(path).map(drop),
        );
    }
    if let Some(name) = &targets.abstract_socket {
        let connect =
            || UnixStream::connect_addr(&UnixAddress::from_abstract_name(name)?).map(drop);
        note(Wall::AbstractSockets, name.clone(), connect());
    }
    if let Some(address) = targets.tcp {
        let connected = TcpStream::connect_timeout(&address, PATIENCE).map(drop);
        note(Wall::Tcp, address.to_string(), connected);
    }
    if let Some(address) = targets.udp {
        note(Wall::Udp, address.to_string(), send(address));
    }
    let settings = Path::new("/proc/sys/kernel/core_pattern");
    let opened = OpenOptions::new().write(true).open(settings).map(drop);
    note(Wall::KernelSettings, shown(settings), opened);
    let space = unshare(CloneFlags::CLONE_NEWUSER).map_err(io::Error::from);
    note(Wall::Namespaces, "a user namespace".to_owned(), space);
    attempts
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

/// A folder is read by listing it. An empty one is not what was looked for.
fn read(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        let first = fs::read_dir(path)?.next();
        return first.map_or(Err(io::ErrorKind::NotFound.into()), |entry| entry.map(drop));
    }
    fs::read(path).map(drop)
}

/// Numbers mean other processes inside.
fn is_same(folder: &Path, start: u64) -> io::Result<()> {
    let found = start_ticks(&fs::read_to_string(folder.join("stat"))?);
    if found == Some(start) {
        Ok(())
    } else {
        Err(io::ErrorKind::NotFound.into())
    }
}

/// Field 22 of proc_pid_stat(5), counted from behind the name, which may hold spaces.
fn start_ticks(stat: &str) -> Option<u64> {
    stat.rsplit_once(')')?
        .1
        .split_ascii_whitespace()
        .nth(19)?
        .parse()
        .ok()
}

/// This very process, as a target.
pub fn this_process() -> io::Result<(u32, u64)> {
    let text = fs::read_to_string("/proc/self/stat")?;
    let start =
        start_ticks(&text).ok_or_else(|| io::Error::other("/proc/self/stat is not understood"))?;
    Ok((std::process::id(), start))
}

fn send(address: SocketAddr) -> io::Result<()> {
    let socket = UdpSocket::bind(("127.0.0.1", 0))?;
    socket.send_to(b"huskies", address).map(drop)
}

/// What the hidden subcommand `huskies confine-probe` does: prints what [`run`] found.
pub fn main(targets: &str) -> ExitCode {
    let tried = serde_json::from_str(targets)
        .map_err(io::Error::from)
        .and_then(|targets: Targets| {
            if let Some(megabytes) = targets.fill_memory_mb {
                return fill_memory(megabytes);
            }
            let text = serde_json::to_string(&run(&targets))?;
            writeln!(io::stdout(), "{text}")
        });
    ExitCode::from(u8::from(tried.is_err()))
}

/// Fills memory and says so; for the limit to strike before.
fn fill_memory(megabytes: u64) -> io::Result<()> {
    const STEP: usize = 1 << 20;
    let mut held: Vec<Vec<u8>> = Vec::new();
    for _ in 0..megabytes {
        held.push(vec![held.len().to_le_bytes()[0] | 1; STEP]);
    }
    let sum: u64 = held.iter().map(|part| u64::from(part[STEP - 1])).sum();
    writeln!(io::stdout(), "filled {} MB ({sum})", held.len())
}
