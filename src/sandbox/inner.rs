//! The first process inside: it builds the room, gives up its rights, starts the program, collects
//! what ends, and says how the program ended. When it ends, the kernel ends everything else there.

use std::ffi::OsString;
use std::io::{self, IsTerminal, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use rustix::process::{Pid, Signal, WaitOptions, set_parent_process_death_signal, wait};

use super::confinement::Confinement;
use super::enclosure::{COULD_NOT_BUILD, SANDBOX_COMPLAINT};
use super::{rights, root};

/// POSIX, 2.8.2: what shells answer for a program that is not there, and one that cannot be run.
const NOT_FOUND: u8 = 127;
const NOT_EXECUTABLE: u8 = 126;
/// The host name inside: one that resolves.
const HOST_NAME: &[u8] = b"localhost";

/// Runs as PID 1. Standard input is the line to the watchman outside.
pub fn run(confinement: &str, argv: &[OsString]) -> ExitCode {
    match begin(confinement, argv) {
        Ok(child) => watch(child),
        Err(Failure::Room(error)) => {
            complain(&format!("{SANDBOX_COMPLAINT}: {error}"));
            ExitCode::from(COULD_NOT_BUILD)
        }
        Err(Failure::Program(error)) => {
            let program = argv.first().map(|program| program.display().to_string());
            complain(&format!(
                "cannot start `{}` inside the sandbox: {error}",
                program.unwrap_or_default()
            ));
            let not_there = error.kind() == io::ErrorKind::NotFound;
            ExitCode::from(if not_there { NOT_FOUND } else { NOT_EXECUTABLE })
        }
    }
}

enum Failure {
    Room(io::Error),
    Program(io::Error),
}

impl<E: Into<io::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Room(error.into())
    }
}

pub(super) fn complain(message: &str) {
    // When even stderr is closed nobody is left to tell; the exit status still says it.
    let _untold = writeln!(io::stderr(), "huskies: {message}");
}

fn begin(confinement: &str, argv: &[OsString]) -> Result<Pid, Failure> {
    wait_for_watchman()?;
    let confinement: Confinement = serde_json::from_str(confinement).map_err(io::Error::from)?;
    keep_descriptors_here()?;
    let terminal = io::stdout().is_terminal();
    let folder = std::env::current_dir()?;
    root::enter(&confinement, terminal)?;
    std::env::set_current_dir(&folder)?;
    rustix::system::sethostname(HOST_NAME)?;
    let mut command = program(argv, terminal)?;
    rights::give_up(&confinement)?;
    let child = command.spawn().map_err(Failure::Program)?;
    i32::try_from(child.id())
        .ok()
        .and_then(Pid::from_raw)
        .ok_or_else(|| Failure::Room(io::Error::other("the program has no process id")))
}

/// Waits for the watchman's word. From here on its end is this process's end, and so everybody's: an
/// end before the word closes the line.
fn wait_for_watchman() -> io::Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    let mut word = [0];
    io::stdin().read_exact(&mut word)
}

/// What an ancestor left open by mistake, a folder of the machine say, must not reach the program.
fn keep_descriptors_here() -> io::Result<()> {
    for entry in std::fs::read_dir("/proc/self/fd")? {
        let number = entry?
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok());
        if let Some(number @ 3..) = number {
            match fcntl(number, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)) {
                // The listing's own is closed by now.
                Ok(_) | Err(nix::errno::Errno::EBADF) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(())
}

fn program(argv: &[OsString], terminal: bool) -> io::Result<Command> {
    let (program, arguments) = argv
        .split_first()
        .ok_or_else(|| io::Error::other("there is no program to run"))?;
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null());
    if terminal {
        let console = std::fs::OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(libc::O_NOCTTY)
            .open(Path::new("/dev/console"))?;
        command.stdout(console.try_clone()?).stderr(console);
    }
    Ok(command)
}

/// Collects whatever ends, also what was left to the first process, until the program does.
fn watch(program: Pid) -> ExitCode {
    loop {
        match wait(WaitOptions::empty()) {
            Ok(Some((pid, status))) if pid == program => {
                let word = match (status.exit_status(), status.terminating_signal()) {
                    (Some(code), _) => format!("exit {code}"),
                    (None, Some(signal)) => format!("signal {signal}"),
                    (None, None) => continue,
                };
                // A watchman who is gone needs no word.
                let _unheard = rustix::io::write(io::stdin().as_fd(), word.as_bytes());
                return ExitCode::SUCCESS;
            }
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => {
                complain(&format!("the program cannot be waited for: {error}"));
                return ExitCode::from(COULD_NOT_BUILD);
            }
        }
    }
}
