//! An agent's process in its pseudo-terminal, and the two threads that watch it: one reads the
//! terminal, one waits for the exit. Everything here blocks; nothing decides.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::thread;

use jiff::Timestamp;
use portable_pty::{CommandBuilder, MasterPty, PtySize, native_pty_system};
use rustix::process::{Pid, WaitOptions, WaitStatus, waitpid};
use tokio::sync::{mpsc, oneshot};

use super::AgentSpec;
use super::lines::LineSplitter;
use super::log::Log;
use crate::agent::runtime::Exit;
use crate::process::identity::identify;
use crate::process::tree::{MARK_VARIABLE, Tree};
use crate::sandbox::Enclosure;

/// Wide enough that no CLI wraps its JSON.
const SIZE: PtySize = PtySize {
    rows: 50,
    cols: 4000,
    pixel_width: 0,
    pixel_height: 0,
};
/// MAX_ARG_STRLEN of execve(2), less its terminating zero.
const LONGEST_ARGUMENT: usize = 128 * 1024 - 1;
/// A line keeps this much; tool results can hold whole files.
const LONGEST_LINE: usize = 8 * 1024 * 1024;
/// How many reads may wait to be looked at; then the agent has to wait with printing.
const READS_AHEAD: usize = 8;

/// A running agent.
pub(super) struct Running {
    pub(super) tree: Tree,
    pub(super) exit: oneshot::Receiver<Exit>,
    /// One item per read, also when it completed no line: bytes are a sign of life. Closed when
    /// nobody holds the terminal any more.
    pub(super) output: mpsc::Receiver<Vec<String>>,
    /// What it is confined by.
    pub(super) enclosure: Option<Enclosure>,
    /// Closing it would hang up on the agent.
    _terminal: Box<dyn MasterPty + Send>,
}

/// Starts the agent.
///
/// # Errors
/// What is missing, in words for the person who configured the agent.
pub(super) fn start(
    spec: &AgentSpec,
    (mark, enclosure): (&str, Option<Enclosure>),
    log: Log,
    now: fn() -> Timestamp,
) -> Result<Running, String> {
    check(spec)?;
    let broken = |error: anyhow::Error| format!("no pseudo-terminal for the agent: {error:#}");
    let pty = native_pty_system().openpty(SIZE).map_err(broken)?;
    let reader = pty.master.try_clone_reader().map_err(broken)?;
    let child = pty
        .slave
        .spawn_command(command(spec, mark, enclosure.as_ref()));
    let child = child.map_err(|error| format!("cannot start {}: {error:#}", spec.argv[0]))?;
    // While it is open here, the terminal never ends.
    drop(pty.slave);
    let pid = child.process_id().ok_or("the agent has no process id")?;
    // Before anybody waits for it: until then its number cannot go to another process.
    let root =
        identify(pid).map_err(|error| format!("the agent's process cannot be seen: {error}"))?;

    let (send_exit, exit) = oneshot::channel();
    let (send_output, output) = mpsc::channel(READS_AHEAD);
    // Not joined: the first ends with the process. The second ends with the last process that
    // holds the terminal, which a stray can put off until the supervisor's final kill.
    thread::spawn(move || {
        // Nobody hears it when the session was dropped.
        let _ = send_exit.send(wait(pid));
    });
    thread::spawn(move || read(reader, &send_output, log, now));
    let tree = Tree {
        root: Some(root),
        mark: mark.to_owned(),
    };
    Ok(Running {
        tree,
        exit,
        output,
        enclosure,
        _terminal: pty.master,
    })
}

/// The agent behind a shell that closes its standard input and then becomes it. The terminal stays
/// its controlling one, but there is nothing to read: a question gets an end of file, no eternal
/// silence. Besides, a program that cannot be executed is reported by the shell (126, 127) in words,
/// where portable-pty's own child would die of an abort signal.
fn command(spec: &AgentSpec, mark: &str, enclosure: Option<&Enclosure>) -> CommandBuilder {
    let mut command = CommandBuilder::new("/bin/sh");
    command.args(["-c", "exec \"$@\" </dev/null", "sh"]);
    let (argv, environment) = match enclosure {
        Some(enclosure) => (
            enclosure.wrap(&spec.argv),
            enclosure.environment(&spec.environment),
        ),
        None => (spec.argv.clone(), spec.environment.clone()),
    };
    command.args(argv);
    command.cwd(&spec.worktree);
    command.env_clear();
    // Anything but `dumb` invites colours and cursor movements into the log.
    command.env("TERM", "dumb");
    for (name, value) in environment {
        command.env(name, value);
    }
    command.env(MARK_VARIABLE, mark);
    command
}

/// Everything that portable-pty would answer with something else than an error.
fn check(spec: &AgentSpec) -> Result<(), String> {
    if !spec.worktree.is_dir() {
        return Err(format!(
            "the worktree {} is not there",
            spec.worktree.display()
        ));
    }
    if spec
        .argv
        .iter()
        .any(|argument| argument.len() > LONGEST_ARGUMENT)
    {
        return Err(format!(
            "an argument is longer than {LONGEST_ARGUMENT} bytes, which Linux does not allow; shorten the agent's `args`"
        ));
    }
    let program = spec.argv.first().ok_or("the agent has no program")?;
    if find_program(program, spec).is_none() {
        let path = variable(spec, "PATH").unwrap_or_default();
        return Err(format!(
            "the program `{program}` was not found (PATH={path}); {}",
            spec.install_hint
        ));
    }
    Ok(())
}

/// As execvp(3) looks for it: a name with a slash from the worktree, another one along `PATH`.
fn find_program(program: &str, spec: &AgentSpec) -> Option<PathBuf> {
    if program.contains('/') {
        return Some(spec.worktree.join(program)).filter(|path| is_executable(path));
    }
    let path = variable(spec, "PATH")?;
    std::env::split_paths(&path)
        .map(|folder| spec.worktree.join(folder).join(program))
        .find(|path| is_executable(path))
}

fn variable(spec: &AgentSpec, name: &str) -> Option<String> {
    // The last one counts, as in `command`.
    spec.environment
        .iter()
        .rev()
        .find(|(given, _)| given == name)
        .map(|(_, value)| value.clone())
}

fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata()
        .is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

fn wait(pid: u32) -> Exit {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    loop {
        match waitpid(pid, WaitOptions::empty()) {
            Ok(Some((_, status))) => {
                if let Some(exit) = exit(status) {
                    return exit;
                }
            }
            Ok(None) | Err(rustix::io::Errno::INTR) => {}
            // Nobody else waits for this child, so the number is that of an unknown end.
            Err(_) => return Exit::Status(-1),
        }
    }
}

fn exit(status: WaitStatus) -> Option<Exit> {
    status
        .exit_status()
        .map(Exit::Status)
        .or_else(|| status.terminating_signal().map(Exit::Signal))
}

/// Reads to the end, keeps all of it in the log, hands lines on.
fn read(
    mut terminal: Box<dyn Read + Send>,
    output: &mpsc::Sender<Vec<String>>,
    mut log: Log,
    now: fn() -> Timestamp,
) {
    let mut splitter = LineSplitter::new(LONGEST_LINE);
    let mut buffer = vec![0; 64 * 1024];
    let mut log_works = true;
    loop {
        let (lines, is_over) = match terminal.read(&mut buffer) {
            Ok(0) => (splitter.finish().into_iter().collect(), true),
            Ok(count) => (splitter.feed(&buffer[..count]), false),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => {
                tracing::warn!(%error, "the agent's terminal cannot be read any more");
                (splitter.finish().into_iter().collect(), true)
            }
        };
        if log_works && let Err(error) = log.append(now(), &lines) {
            // The run goes on: what counts is in git.
            tracing::error!(%error, "the agent's output is not kept any more");
            log_works = false;
        }
        if output.blocking_send(lines).is_err() || is_over {
            return;
        }
    }
}
