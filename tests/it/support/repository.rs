//! A real repository in a folder of its own, with a git that reads nobody's configuration.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

pub(crate) const HUSKIES: &str = env!("CARGO_BIN_EXE_huskies");

pub(crate) struct Repository {
    room: TempDir,
    pub(crate) path: PathBuf,
}

impl Repository {
    /// A repository with one commit, which holds `files`.
    pub(crate) fn new(files: &[(&str, &str)]) -> Self {
        let room = tempfile::tempdir().unwrap();
        let path = room.path().join("main");
        fs::create_dir_all(room.path().join("home")).unwrap();
        fs::create_dir(&path).unwrap();
        let repository = Self { room, path };
        repository.git(&["init", "--quiet", "--initial-branch=main"]);
        for (name, content) in files {
            repository.write(name, content);
        }
        repository.git(&["add", "--all"]);
        repository.git(&["commit", "--quiet", "--allow-empty", "--message=first"]);
        repository
    }

    /// The folder around the repository.
    pub(crate) fn room(&self) -> &Path {
        self.room.path()
    }

    /// A linked worktree beside the main one, as a repository of its own.
    pub(crate) fn linked(&self, name: &str) -> Linked<'_> {
        let path = self.room().join(name);
        self.git(&["worktree", "add", "--quiet", path.to_str().unwrap()]);
        Linked {
            repository: self,
            path,
        }
    }

    pub(crate) fn command(&self, program: &str, directory: &Path) -> Command {
        let mut command = Command::new(program);
        let home = self.room().join("home");
        command
            .current_dir(directory)
            .env("HOME", &home)
            .env("GIT_CONFIG_GLOBAL", home.join("gitconfig"))
            .env("GIT_CONFIG_SYSTEM", "/dev/null")
            .env("GIT_AUTHOR_NAME", "A")
            .env("GIT_AUTHOR_EMAIL", "a@example.invalid")
            .env("GIT_COMMITTER_NAME", "A")
            .env("GIT_COMMITTER_EMAIL", "a@example.invalid");
        for variable in [
            "GIT_DIR",
            "GIT_WORK_TREE",
            "GIT_INDEX_FILE",
            "GIT_PREFIX",
            "HUSKIES_RUN_MARK",
        ] {
            command.env_remove(variable);
        }
        command
    }

    pub(crate) fn git_in(&self, directory: &Path, arguments: &[&str]) -> Ended {
        Ended::of(
            self.command("git", directory)
                .args(arguments)
                .output()
                .unwrap(),
        )
    }

    pub(crate) fn huskies_in(&self, directory: &Path, arguments: &[&str]) -> Ended {
        Ended::of(
            self.command(HUSKIES, directory)
                .args(arguments)
                .output()
                .unwrap(),
        )
    }

    pub(crate) fn write_in(directory: &Path, name: &str, content: &str) {
        let path = directory.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// Git in the main work tree; it must succeed.
    pub(crate) fn git(&self, arguments: &[&str]) -> String {
        self.git_in(&self.path, arguments).succeeded()
    }

    pub(crate) fn huskies(&self, arguments: &[&str]) -> Ended {
        self.huskies_in(&self.path, arguments)
    }

    pub(crate) fn write(&self, name: &str, content: &str) {
        Self::write_in(&self.path, name, content);
    }

    /// An executable shell script, relative to the main work tree.
    pub(crate) fn script(&self, name: &str, body: &str) {
        self.write(name, &format!("#!/bin/sh\n{body}\n"));
        fs::set_permissions(self.path.join(name), fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// `git commit` with these arguments in the main work tree.
    pub(crate) fn commit(&self, arguments: &[&str]) -> Ended {
        self.git_in(
            &self.path,
            &[&["commit", "--message=next"], arguments].concat(),
        )
    }

    pub(crate) fn commits(&self) -> usize {
        self.git(&["rev-list", "--count", "HEAD"])
            .trim()
            .parse()
            .unwrap()
    }
}

/// A linked worktree.
pub(crate) struct Linked<'a> {
    repository: &'a Repository,
    pub(crate) path: PathBuf,
}

impl Linked<'_> {
    pub(crate) fn git(&self, arguments: &[&str]) -> Ended {
        self.repository.git_in(&self.path, arguments)
    }

    pub(crate) fn huskies(&self, arguments: &[&str]) -> Ended {
        self.repository.huskies_in(&self.path, arguments)
    }

    pub(crate) fn write(&self, name: &str, content: &str) {
        Repository::write_in(&self.path, name, content);
    }
}

/// How a command ended.
#[derive(Debug)]
#[must_use = "say whether it was to succeed"]
pub(crate) struct Ended {
    pub(crate) status: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    pub(crate) fn of(output: Output) -> Self {
        Self {
            status: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    #[track_caller]
    pub(crate) fn succeeded(self) -> String {
        assert_eq!(self.status, 0, "{self:?}");
        self.stdout
    }

    /// It ended with this status; what it said on stderr.
    #[track_caller]
    pub(crate) fn failed(self, status: i32) -> String {
        assert_eq!(self.status, status, "{self:?}");
        self.stderr
    }
}
