//! Runs the user's own git with the user's own configuration: everything here happens inside, or
//! instead of, a git command that the user gave.
//!
//! Not for: the server, whose git calls are hermetic.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use super::HookError;

/// What git sets for its hooks to name the repository and the index (githooks(5), git(1)).
const REPOSITORY_VARIABLES: [&str; 7] = [
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_PREFIX",
    "GIT_COMMON_DIR",
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
];

/// Git in one folder.
#[derive(Debug, Clone)]
pub(super) struct Git {
    directory: PathBuf,
    /// Whether the repository and index of a surrounding git command are kept.
    within_hook: bool,
    variables: Vec<(&'static str, OsString)>,
}

impl Git {
    /// In the repository that `directory` lies in, whatever git command this process was started by.
    pub(super) fn in_folder(directory: &Path) -> Self {
        Self {
            directory: directory.to_owned(),
            within_hook: false,
            variables: Vec::new(),
        }
    }

    /// In the repository and with the index of the git command that runs this hook.
    pub(super) fn in_hook(directory: &Path) -> Self {
        Self {
            within_hook: true,
            ..Self::in_folder(directory)
        }
    }

    pub(super) fn with(mut self, variable: &'static str, value: &OsStr) -> Self {
        self.variables.push((variable, value.to_owned()));
        self
    }

    /// Runs it and returns what it printed.
    pub(super) fn run<A: AsRef<OsStr>>(&self, arguments: &[A]) -> Result<Vec<u8>, HookError> {
        let output = self.output(arguments)?;
        if output.status.success() {
            Ok(output.stdout)
        } else {
            Err(failure(arguments, &output))
        }
    }

    /// Runs it; exit status 1 means "there is none" (git-config(1), git-rev-parse(1) with `-q`).
    pub(super) fn find<A: AsRef<OsStr>>(
        &self,
        arguments: &[A],
    ) -> Result<Option<Vec<u8>>, HookError> {
        let output = self.output(arguments)?;
        match output.status.code() {
            Some(0) => Ok(Some(output.stdout)),
            Some(1) => Ok(None),
            _ => Err(failure(arguments, &output)),
        }
    }

    fn output<A: AsRef<OsStr>>(&self, arguments: &[A]) -> Result<Output, HookError> {
        let mut command = Command::new("git");
        command
            .args(arguments)
            .current_dir(&self.directory)
            .stdin(Stdio::null());
        if !self.within_hook {
            for variable in REPOSITORY_VARIABLES {
                command.env_remove(variable);
            }
        }
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command.output().map_err(HookError::NoGit)
    }
}

fn failure<A: AsRef<OsStr>>(arguments: &[A], output: &Output) -> HookError {
    let words: Vec<_> = arguments
        .iter()
        .map(|word| word.as_ref().to_string_lossy())
        .collect();
    let message = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    let message = if message.is_empty() {
        output.status.to_string()
    } else {
        message
    };
    HookError::Git {
        command: words.join(" "),
        message,
    }
}

/// A path as git printed it.
pub(super) fn path_of(bytes: &[u8]) -> PathBuf {
    PathBuf::from(OsString::from_vec(bytes.to_vec()))
}

/// Without the line end that git adds.
pub(super) fn line_of(bytes: &[u8]) -> &[u8] {
    bytes.strip_suffix(b"\n").unwrap_or(bytes)
}
