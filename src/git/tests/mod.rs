//! The git room against real repositories.

mod candidates;
mod cells;
mod checkouts;
mod clones;
mod collecting;
mod commands;
mod faults;
mod fetching;
mod former;
mod hostile;
mod remotes;
mod worktrees;

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use super::*;
use crate::domain::id::{Attempt, BranchName, Sha, StoryId};
use crate::domain::work::{Candidate, Collected};

/// A folder with everything one test needs: an upstream, the server's data, a home for people.
struct World {
    folder: tempfile::TempDir,
}

#[expect(
    clippy::disallowed_methods,
    reason = "tests run with the git that the caller's PATH names"
)]
fn search_path() -> OsString {
    std::env::var_os("PATH").unwrap()
}

impl World {
    fn new() -> Self {
        let world = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        fs::create_dir(world.at("people")).unwrap();
        world
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What a person (or an agent) types in `folder`, with their own, here empty, settings.
    fn try_git(&self, folder: &Path, arguments: &[&str]) -> Output {
        let mut command = Command::new("git");
        command
            .env_clear()
            .env("PATH", search_path())
            .env("HOME", self.at("people"));
        command
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", self.at("people/gitconfig"));
        for who in ["AUTHOR", "COMMITTER"] {
            command
                .env(format!("GIT_{who}_NAME"), "Ada")
                .env(format!("GIT_{who}_EMAIL"), "ada@example.org");
            command.env(format!("GIT_{who}_DATE"), "1700000000 +0100");
        }
        command
            .current_dir(folder)
            .args(arguments)
            .output()
            .unwrap()
    }

    fn git(&self, folder: &Path, arguments: &[&str]) -> String {
        let output = self.try_git(folder, arguments);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "git {arguments:?}: {stderr}");
        String::from_utf8(output.stdout)
            .unwrap()
            .trim_end()
            .to_owned()
    }

    fn sha(&self, folder: &Path, name: &str) -> Sha {
        self.git(folder, &["rev-parse", name]).parse().unwrap()
    }

    /// Writes files and commits everything.
    fn commit(&self, folder: &Path, files: &[(&str, &str)], message: &str) -> Sha {
        write(folder, files);
        self.git(folder, &["add", "-A"]);
        self.git(folder, &["commit", "-q", "--allow-empty", "-m", message]);
        self.sha(folder, "HEAD")
    }

    /// A clone without a remote, on `main`, with one commit.
    fn clone(&self) -> PathBuf {
        let clone = self.at("clone");
        self.git(self.folder.path(), &["init", "-q", "-b", "main", "clone"]);
        self.commit(
            &clone,
            &[
                ("a.txt", "one\n"),
                ("src/lib.rs", "// lib\n"),
                (".gitignore", "*.log\n"),
            ],
            "Begin",
        );
        clone
    }

    /// A bare remote with the same commit, and the clone that pushes to it.
    fn remote(&self) -> (PathBuf, PathBuf) {
        let clone = self.clone();
        self.git(
            self.folder.path(),
            &["clone", "-q", "--bare", "clone", "remote.git"],
        );
        let remote = self.at("remote.git");
        self.git(
            &clone,
            &["remote", "add", "origin", remote.to_str().unwrap()],
        );
        (remote, clone)
    }

    fn settings(&self) -> GitSettings {
        GitSettings {
            home: self.at("data/home"),
            path: search_path(),
            environment: Vec::new(),
            time_limit: Duration::from_mins(2),
            network_time_limit: Duration::from_mins(2),
        }
    }

    fn paths(&self) -> RepoPaths {
        RepoPaths::new(self.at("data/repo"))
    }

    /// The repository of the story with this number.
    fn cell(&self, number: u64) -> PathBuf {
        self.paths().cell(&format!("story-{number}-door"))
    }

    async fn open_source(&self, source: Source) -> Result<Repository> {
        let identity = Identity {
            name: "huskies".to_owned(),
            email: "huskies@example.org".to_owned(),
        };
        Repository::open(self.paths(), source, identity, Git::new(self.settings())?).await
    }

    /// Opens what `[[repo]] path` names.
    async fn open(&self, clone: &Path) -> Repository {
        self.open_source(Source {
            clone: Some(clone.to_owned()),
            ..Source::default()
        })
        .await
        .unwrap()
    }
}

fn write(folder: &Path, files: &[(&str, &str)]) {
    for (name, content) in files {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
}

fn read(path: impl AsRef<Path>) -> String {
    fs::read_to_string(path).unwrap()
}

fn branch(name: &str) -> BranchName {
    name.parse().unwrap()
}

fn story(number: u64) -> (StoryId, BranchName) {
    let id = StoryId::new("octo/app".parse().unwrap(), number);
    (id, branch(&format!("feature/story-{number}-door")))
}

/// A story on its way: its worktree and what is asked about it.
struct Story {
    worktree: Worktree,
    spec: WorktreeSpec,
}

impl Story {
    async fn begin(repository: &Repository, number: u64) -> Self {
        let base = repository.sync_base(None).await.unwrap().sha;
        let (story, branch) = story(number);
        let spec = WorktreeSpec {
            story,
            branch,
            base,
        };
        Self {
            worktree: repository.prepare_worktree(&spec).await.unwrap(),
            spec,
        }
    }

    fn path(&self) -> &Path {
        &self.worktree.path
    }

    fn collecting(&self, attempt: u32) -> CollectSpec {
        CollectSpec {
            story: self.spec.story.clone(),
            branch: self.spec.branch.clone(),
            attempt: Attempt(attempt),
            since: None,
            base: self.spec.base.clone(),
            conflicts: Vec::new(),
        }
    }

    async fn collect(&self, repository: &Repository, attempt: u32) -> Collected {
        repository.collect(&self.collecting(attempt)).await.unwrap()
    }
}

/// Squashes a story that must not conflict.
async fn candidate(repository: &Repository, base: &Sha, head: &Sha) -> Candidate {
    let spec = CandidateSpec {
        base: base.clone(),
        head: head.clone(),
        message: "Mend the door".to_owned(),
    };
    match repository.build_candidate(&spec).await.unwrap() {
        Built::Candidate(candidate) => candidate,
        other => panic!("{other:?}"),
    }
}

/// The whole way of a story that adds `files`, up to its candidate.
async fn story_with(
    world: &World,
    repository: &Repository,
    number: u64,
    files: &[(&str, &str)],
) -> Candidate {
    let story = Story::begin(repository, number).await;
    world.commit(story.path(), files, "Mend");
    let collected = story.collect(repository, 1).await;
    candidate(repository, &story.spec.base, &collected.head).await
}
