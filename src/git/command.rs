//! The one place that runs the git command line.
//!
//! Every call is hermetic: a cleared environment, a home folder and a configuration file of our
//! own, no system configuration, no prompts, hooks and helpers off, only the transports that the
//! call asked for, a time limit that ends the whole process group. A token travels in the child's
//! environment alone (`GIT_CONFIG_KEY_n`, git-config(1) "ENVIRONMENT"), never in `argv`, where any
//! user of the machine could read it.
//!
//! Not for: interpreting what a particular git command says.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::sync::Semaphore;

use super::error::{While, on};
use super::files;
use super::remote::AuthHeader;
use super::{GitError, Result};

/// Settings that beat whatever a repository's own configuration says.
const SETTINGS: [&str; 17] = [
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.untrackedCache=false",
    "core.splitIndex=false",
    "core.attributesFile=/dev/null",
    "core.excludesFile=/dev/null",
    "core.askPass=",
    "credential.helper=",
    "gc.auto=0",
    "maintenance.auto=false",
    "submodule.recurse=false",
    "fetch.recurseSubmodules=false",
    "fetch.fsckObjects=true",
    "receive.fsckObjects=true",
    "push.gpgSign=false",
    "advice.detachedHead=false",
    "protocol.allow=never",
];

/// The environment of every call, beside its folders.
const ENVIRONMENT: [(&str, &str); 7] = [
    ("LC_ALL", "C"),
    ("GIT_CONFIG_NOSYSTEM", "1"),
    ("GIT_ATTR_NOSYSTEM", "1"),
    ("GIT_TERMINAL_PROMPT", "0"),
    ("GIT_NO_REPLACE_OBJECTS", "1"),
    // A multiplexed connection would outlive the call and keep its pipes open.
    (
        "GIT_SSH_COMMAND",
        "ssh -oBatchMode=yes -oControlMaster=no -oControlPath=none",
    ),
    ("GIT_SSH_VARIANT", "ssh"),
];

/// Flaws that old but honest histories carry (sloppy dates, mails and modes written by early
/// tools). Refusing them would lock whole projects out; none of them can do harm.
const TOLERATED_FLAWS: [&str; 8] = [
    "badDate",
    "badEmail",
    "badTimezone",
    "missingEmail",
    "missingNameBeforeEmail",
    "missingSpaceBeforeDate",
    "zeroPaddedDate",
    "zeroPaddedFilemode",
];

/// How many commands run at the same time, and how many more that talk to a remote: a thousand
/// stories that start at once must not become a thousand processes.
const AT_ONCE: usize = 16;

/// How much of a command's standard error is kept for people, from its end, in bytes.
const STDERR_KEPT: usize = 4_000;

/// How git is run, the same for all repositories of a server.
#[derive(Debug, Clone)]
pub struct GitSettings {
    /// The home folder git sees, in the data folder; created when missing.
    pub home: PathBuf,
    /// `PATH`: where git, and the ssh that it may need, are found.
    pub path: OsString,
    /// Further variables passed on as they are: `SSH_AUTH_SOCK`, proxies, a private CA. Only what
    /// the operator names.
    pub environment: Vec<(OsString, OsString)>,
    /// For a command on local files.
    pub time_limit: Duration,
    /// For a command that talks to a remote.
    pub network_time_limit: Duration,
}

/// The git command line, ready to be asked. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Git {
    settings: Arc<GitSettings>,
    local_turns: Arc<Semaphore>,
    network_turns: Arc<Semaphore>,
}

impl Git {
    /// Prepares the home folder and the configuration file. Touches the disk, briefly.
    pub fn new(settings: GitSettings) -> Result<Self> {
        std::fs::create_dir_all(&settings.home).while_doing(|| on("create", &settings.home))?;
        // `*`: our git only opens repositories of ours and remotes that the operator named, so the
        // owner of a folder (which a shared server may well not be) says nothing about trust.
        let text = "# Written by huskies. Changes are overwritten.\n[safe]\n\tdirectory = *\n";
        files::replace(&settings.home.join(CONFIG_FILE), text.as_bytes())?;
        Ok(Self {
            settings: Arc::new(settings),
            local_turns: Arc::new(Semaphore::new(AT_ONCE)),
            network_turns: Arc::new(Semaphore::new(AT_ONCE)),
        })
    }

    /// What `git --version` says, such as `git version 2.39.5`.
    pub async fn version(&self) -> Result<String> {
        let mut call = Call::new(self.clone(), None);
        call.arguments.push("--version".into());
        let text = call.stdout().await?;
        Ok(String::from_utf8_lossy(&text).trim().to_owned())
    }

    /// Starts a call on a bare repository of ours.
    pub(super) fn on(&self, git_dir: &Path, command: &str) -> Call {
        let mut call = Call::new(self.clone(), Some(git_dir.to_owned()));
        call.arguments.push(command.into());
        call
    }

    /// Starts a call that needs no repository.
    pub(super) fn nowhere(&self, command: &str) -> Call {
        let mut call = Call::new(self.clone(), None);
        call.arguments.push(command.into());
        call
    }
}

const CONFIG_FILE: &str = "gitconfig";

/// One git command, being put together.
pub(super) struct Call {
    git: Git,
    git_dir: Option<PathBuf>,
    work_tree: Option<PathBuf>,
    index: Option<PathBuf>,
    allowed: Option<&'static str>,
    auth: Option<AuthHeader>,
    arguments: Vec<OsString>,
    stdin: Option<Vec<u8>>,
    time_limit: Duration,
    turns: Arc<Semaphore>,
}

/// How a git command ended.
pub(super) struct Output {
    /// `None`: ended by a signal.
    pub(super) status: Option<i32>,
    pub(super) stdout: Vec<u8>,
    /// The end of it, without secrets.
    pub(super) stderr: String,
}

impl Call {
    fn new(git: Git, git_dir: Option<PathBuf>) -> Self {
        Self {
            time_limit: git.settings.time_limit,
            turns: Arc::clone(&git.local_turns),
            git,
            git_dir,
            work_tree: None,
            index: None,
            allowed: None,
            auth: None,
            arguments: Vec::new(),
            stdin: None,
        }
    }

    pub(super) fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.arguments.push(argument.as_ref().to_owned());
        self
    }

    pub(super) fn args<A: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.arguments.extend(
            arguments
                .into_iter()
                .map(|argument| argument.as_ref().to_owned()),
        );
        self
    }

    /// Works on the files in `work_tree`, with `index` as their index.
    pub(super) fn over(mut self, work_tree: &Path, index: &Path) -> Self {
        self.work_tree = Some(work_tree.to_owned());
        self.index(index)
    }

    /// Uses a private index file.
    pub(super) fn index(mut self, index: &Path) -> Self {
        self.index = Some(index.to_owned());
        self
    }

    pub(super) fn stdin(mut self, input: Vec<u8>) -> Self {
        self.stdin = Some(input);
        self
    }

    /// Lets this call use one transport; without it none is allowed.
    pub(super) fn allow(mut self, protocol: &'static str) -> Self {
        self.allowed = Some(protocol);
        self
    }

    /// Sends `auth` to its own origin, and gives the call the time limit of the network.
    pub(super) fn network(mut self, auth: Option<AuthHeader>) -> Self {
        self.auth = auth;
        self.time_limit = self.git.settings.network_time_limit;
        self.turns = Arc::clone(&self.git.network_turns);
        self
    }

    /// Runs it; only success is an answer.
    pub(super) async fn stdout(self) -> Result<Vec<u8>> {
        let what = self.name();
        let output = self.run().await?;
        if output.status == Some(0) {
            Ok(output.stdout)
        } else {
            Err(output.failure(what))
        }
    }

    /// Runs it and trims what it printed: an id, a line.
    pub(super) async fn line(self) -> Result<String> {
        Ok(String::from_utf8_lossy(&self.stdout().await?)
            .trim()
            .to_owned())
    }

    /// The git command's name, for errors. Never the arguments.
    pub(super) fn name(&self) -> String {
        self.arguments
            .first()
            .map_or_else(String::new, |name| name.to_string_lossy().into_owned())
    }

    /// Runs it and returns whatever status it ended with.
    pub(super) async fn run(mut self) -> Result<Output> {
        let what = self.name();
        let mut command = self.command();
        let input = self.stdin.take();
        // Never closed, so there is always a turn.
        let _turn = self.turns.acquire().await;
        let mut child = command.spawn().map_err(|source| match source.kind() {
            std::io::ErrorKind::NotFound => GitError::NotFound {
                what: "the git program".to_owned(),
            },
            _ => GitError::Io {
                what: format!("start git {what}"),
                source,
            },
        })?;
        let mut group = ProcessGroup::of(&child);
        let (stdin, stdout, stderr) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let work =
            async { tokio::join!(feed(stdin, input), read(stdout), read(stderr), child.wait()) };
        let Ok((fed, stdout, stderr, status)) = tokio::time::timeout(self.time_limit, work).await
        else {
            group.kill();
            // Reaped here, so that no zombie stays; its status says nothing that the limit did not.
            child
                .wait()
                .await
                .while_doing(|| format!("stop git {what}"))?;
            return Err(GitError::TimedOut {
                what,
                after: self.time_limit,
            });
        };
        group.forget();
        let doing = || format!("talk to git {what}");
        fed.while_doing(doing)?;
        let status = status.while_doing(doing)?;
        let stderr = self.presentable(&stderr.while_doing(doing)?);
        Ok(Output {
            status: status.code(),
            stdout: stdout.while_doing(doing)?,
            stderr,
        })
    }

    fn command(&self) -> tokio::process::Command {
        let settings = &self.git.settings;
        let mut command = tokio::process::Command::new("git");
        command
            .env_clear()
            .envs(settings.environment.iter().cloned());
        command
            .env("PATH", &settings.path)
            .env("HOME", &settings.home);
        command
            .env("GIT_CONFIG_GLOBAL", settings.home.join(CONFIG_FILE))
            .envs(ENVIRONMENT);
        if let Some(index) = &self.index {
            command.env("GIT_INDEX_FILE", index);
        }
        if let Some(auth) = &self.auth {
            command
                .env("GIT_CONFIG_COUNT", "1")
                .env("GIT_CONFIG_KEY_0", auth.key());
            command.env("GIT_CONFIG_VALUE_0", auth.value());
        }
        command.args(self.global_arguments()).args(&self.arguments);
        // Where it stands must not matter; it must only exist.
        command.current_dir(self.work_tree.as_ref().unwrap_or(&settings.home));
        let stdin = if self.stdin.is_some() {
            Stdio::piped()
        } else {
            Stdio::null()
        };
        command
            .stdin(stdin)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command.process_group(0).kill_on_drop(true);
        command
    }

    fn global_arguments(&self) -> Vec<OsString> {
        let mut arguments = vec!["--no-pager".into(), "--literal-pathspecs".into()];
        let tolerated = TOLERATED_FLAWS.map(|flaw| format!("fetch.fsck.{flaw}=warn"));
        let allowed = self
            .allowed
            .map(|protocol| format!("protocol.{protocol}.allow=always"));
        for setting in SETTINGS
            .iter()
            .map(|&setting| setting.to_owned())
            .chain(tolerated)
            .chain(allowed)
        {
            arguments.extend(["-c".into(), setting.into()]);
        }
        for (option, path) in [
            ("--git-dir=", &self.git_dir),
            ("--work-tree=", &self.work_tree),
        ] {
            if let Some(path) = path {
                let mut argument = OsString::from(option);
                argument.push(path);
                arguments.push(argument);
            }
        }
        arguments
    }

    /// The end of what a command complained about, without the secret it was given.
    fn presentable(&self, stderr: &[u8]) -> String {
        let text = String::from_utf8_lossy(stderr);
        let text = match &self.auth {
            Some(auth) => auth.redact(&text),
            None => text.into_owned(),
        };
        let start = text.ceil_char_boundary(text.len().saturating_sub(STDERR_KEPT));
        text[start..].trim().to_owned()
    }
}

impl Output {
    pub(super) fn failure(self, what: String) -> GitError {
        GitError::Command {
            what,
            status: self.status,
            stderr: self.stderr,
        }
    }
}

async fn feed(
    stdin: Option<tokio::process::ChildStdin>,
    input: Option<Vec<u8>>,
) -> std::io::Result<()> {
    let (Some(mut stdin), Some(input)) = (stdin, input) else {
        return Ok(());
    };
    match stdin.write_all(&input).await {
        // A command that fails early stops reading; its exit status tells the story.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

async fn read(pipe: Option<impl AsyncRead + Unpin>) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if let Some(mut pipe) = pipe {
        pipe.read_to_end(&mut bytes).await?;
    }
    Ok(bytes)
}

/// Git and the helpers it starts (ssh, git-remote-https); killed together when the call is dropped.
struct ProcessGroup(Option<Pid>);

impl ProcessGroup {
    fn of(child: &tokio::process::Child) -> Self {
        Self(child.id().and_then(|id| Pid::from_raw(id.cast_signed())))
    }

    fn kill(&mut self) {
        if let Some(pid) = self.0.take() {
            // Fails only when everybody in the group is gone already, which is what we want.
            let _ = kill_process_group(pid, Signal::KILL);
        }
    }

    /// The leader has been reaped: its number may soon be somebody else's.
    fn forget(&mut self) {
        self.0 = None;
    }
}

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        self.kill();
    }
}
