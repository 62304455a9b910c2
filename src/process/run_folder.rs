//! The folder of one supervised run, `<data>/runs/<owner>/<name>/<run-id>/`:
//!
//! | file | written by | is |
//! |---|---|---|
//! | `spec.json` | server | what to run ([`Spec`]); may hold secrets, so mode 0600 |
//! | `started.json` | supervisor | who runs it; created at most once, so a spec never runs twice |
//! | `socket` | supervisor | where it listens while it runs |
//! | `log.jsonl`, `log.1.jsonl` | job | its output, newest in `log.jsonl` |
//! | `supervisor.log` | supervisor | its stderr |
//! | `result.json` | supervisor | the job's outcome; there when and only when the job has ended |
//!
//! Everything that is written appears whole or not at all, and stays after a power cut.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};

use crate::domain::id::RunId;
use crate::domain::work::ProcessIdentity;

/// What went wrong with a run's folder.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {path}: {source}", path = path.display())]
pub struct FolderError {
    action: &'static str,
    path: PathBuf,
    source: io::Error,
}

/// How a supervisor watches over its job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Supervision {
    /// How long the job goes on when no server is heard of.
    pub no_server: Duration,
}

/// 60 s without a server (spec 9.4).
impl Default for Supervision {
    fn default() -> Self {
        Self {
            no_server: Duration::from_mins(1),
        }
    }
}

/// `spec.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spec<J> {
    #[serde(default)]
    pub supervision: Supervision,
    pub job: J,
}

/// `started.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Started {
    pub process: ProcessIdentity,
}

/// A run's folder; its path is absolute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunFolder {
    path: PathBuf,
}

impl RunFolder {
    /// The folder at `path`, which need not exist yet.
    pub fn at(path: &Path) -> io::Result<Self> {
        Ok(Self {
            path: std::path::absolute(path)?,
        })
    }

    /// The folder that belongs to `run` inside the server's data folder.
    pub fn of(data_dir: &Path, run: &RunId) -> io::Result<Self> {
        let repo = run.repo();
        Self::at(
            &data_dir
                .join("runs")
                .join(repo.owner())
                .join(repo.name())
                .join(run.to_string()),
        )
    }

    /// Makes the folder, private to this user, and writes what to run. Doing it again before the
    /// run has started replaces the spec; afterwards it changes nothing that matters.
    pub fn create<J: Serialize>(&self, spec: &Spec<J>) -> Result<(), FolderError> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.path)
            .map_err(|source| self.error("create", "", source))?;
        self.write("spec.json", spec)
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What marks the processes of this run, see [`super::tree`]. One word, whatever the path.
    pub fn mark(&self) -> String {
        crate::domain::text::digest(&self.path.display().to_string())
    }

    /// The newest output; older output is in [`RunFolder::older_log`].
    pub fn log(&self) -> PathBuf {
        self.path.join("log.jsonl")
    }

    pub fn older_log(&self) -> PathBuf {
        self.path.join("log.1.jsonl")
    }

    pub fn supervisor_log(&self) -> PathBuf {
        self.path.join("supervisor.log")
    }

    pub fn read_spec<J: DeserializeOwned>(&self) -> Result<Spec<J>, FolderError> {
        let missing = || self.error("read", "spec.json", io::ErrorKind::NotFound.into());
        self.read("spec.json")?.ok_or_else(missing)
    }

    /// How the run is watched, whatever its job.
    pub fn read_supervision(&self) -> Result<Supervision, FolderError> {
        self.read_spec::<IgnoredAny>().map(|spec| spec.supervision)
    }

    /// `None` while no supervisor has taken the run.
    pub fn read_started(&self) -> Result<Option<Started>, FolderError> {
        self.read("started.json")
    }

    /// `None` while the job has not ended.
    pub fn read_result<R: DeserializeOwned>(&self) -> Result<Option<R>, FolderError> {
        self.read("result.json")
    }

    /// Whether the job has ended, with a result that can be read.
    pub fn has_ended(&self) -> bool {
        self.path.join("result.json").exists()
    }

    /// Takes the run for `process`. `false` when it was taken before: a hard link is made or not
    /// made, so two supervisors that race cannot both have it, and no reader sees half a file.
    pub fn claim(&self, process: ProcessIdentity) -> Result<bool, FolderError> {
        let draft = format!("started.{}.tmp", process.pid);
        self.write(&draft, &Started { process })?;
        let draft = self.path.join(draft);
        let claimed = fs::hard_link(&draft, self.path.join("started.json"));
        fs::remove_file(&draft).map_err(|source| self.error("remove", "started.*.tmp", source))?;
        match claimed {
            Ok(()) => self.sync().map(|()| true),
            Err(taken) if taken.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(source) => Err(self.error("create", "started.json", source)),
        }
    }

    /// Writes how the job has ended.
    pub fn write_result<R: Serialize>(&self, result: &R) -> Result<(), FolderError> {
        self.write("result.json", result)
    }

    /// The socket's path through an open descriptor of the folder: the address of a Unix socket
    /// holds 108 bytes (unix(7)), a folder's path may be longer. Usable while `folder` is open.
    pub(super) fn short_socket_path(folder: &File) -> PathBuf {
        use std::os::fd::AsRawFd;
        PathBuf::from(format!("/proc/self/fd/{}/socket", folder.as_raw_fd()))
    }

    pub(super) fn open(&self) -> Result<File, FolderError> {
        File::open(&self.path).map_err(|source| self.error("open", "", source))
    }

    /// Writes `name` whole: to a draft, onto the disk, and then in place.
    fn write<T: Serialize>(&self, name: &str, value: &T) -> Result<(), FolderError> {
        let draft = self
            .path
            .join(format!("{name}.{}.draft", std::process::id()));
        let write = || {
            let mut file = OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(&draft)?;
            file.write_all(&serde_json::to_vec_pretty(value)?)?;
            file.sync_all()?;
            fs::rename(&draft, self.path.join(name))
        };
        write().map_err(|source| self.error("write", name, source))?;
        self.sync()
    }

    fn sync(&self) -> Result<(), FolderError> {
        self.open()?
            .sync_all()
            .map_err(|source| self.error("write", "", source))
    }

    fn read<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, FolderError> {
        let text = match fs::read(self.path.join(name)) {
            Ok(text) => text,
            Err(absent) if absent.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(self.error("read", name, source)),
        };
        serde_json::from_slice(&text)
            .map(Some)
            .map_err(|wrong| self.error("understand", name, wrong.into()))
    }

    fn error(&self, action: &'static str, name: &str, source: io::Error) -> FolderError {
        FolderError {
            action,
            path: self.path.join(name),
            source,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn folder(dir: &tempfile::TempDir) -> RunFolder {
        let run = RunId::Agent(
            "octo/app#42".parse().unwrap(),
            crate::domain::id::Attempt(3),
        );
        let folder = RunFolder::of(dir.path(), &run).unwrap();
        folder
            .create(&Spec {
                supervision: Supervision::default(),
                job: "work",
            })
            .unwrap();
        folder
    }

    fn process(pid: u32) -> ProcessIdentity {
        ProcessIdentity {
            pid,
            start_ticks: 1,
            boot_id: "boot".to_owned(),
        }
    }

    #[test]
    fn a_run_has_a_private_folder_of_its_own_and_reads_back_what_it_was_given() {
        let dir = tempfile::tempdir().unwrap();
        let folder = folder(&dir);
        assert!(folder.path().ends_with("runs/octo/app/agent-42-3"));
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(folder.path()), 0o700);
        assert_eq!(mode(&folder.path().join("spec.json")), 0o600);
        assert_eq!(folder.read_spec::<String>().unwrap().job, "work");
        assert_eq!(folder.read_supervision().unwrap(), Supervision::default());
        assert_eq!(folder.read_started().unwrap(), None);
        assert_eq!(folder.read_result::<String>().unwrap(), None);
    }

    #[test]
    fn of_many_claims_exactly_one_succeeds() {
        let dir = tempfile::tempdir().unwrap();
        let folder = folder(&dir);
        let claims: Vec<bool> = std::thread::scope(|scope| {
            let claim = |pid| folder.claim(process(pid)).unwrap();
            let threads: Vec<_> = (1..=8).map(|pid| scope.spawn(move || claim(pid))).collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .collect()
        });
        assert_eq!(claims.iter().filter(|&&claimed| claimed).count(), 1);
        let winner = claims.iter().position(|&claimed| claimed).unwrap() + 1;
        assert_eq!(
            folder.read_started().unwrap().unwrap().process.pid as usize,
            winner
        );
        assert_eq!(
            fs::read_dir(folder.path()).unwrap().count(),
            2,
            "no drafts are left"
        );
    }

    #[test]
    fn a_damaged_file_is_an_error_that_names_it() {
        let dir = tempfile::tempdir().unwrap();
        let folder = folder(&dir);
        fs::write(folder.path().join("result.json"), "{").unwrap();
        let error = folder.read_result::<String>().unwrap_err().to_string();
        assert!(
            error.starts_with("cannot understand") && error.contains("result.json"),
            "{error}"
        );
    }
}
