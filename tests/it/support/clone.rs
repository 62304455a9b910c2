//! Somebody's own clone without a remote, served with the built-in forge and driven by the command
//! line, as on a machine without any account.

use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;

use super::agent::ScriptedAgent;
use super::git::{self, BASE};
use super::patience::PATIENCE;
use super::project::Project;
use super::server::{self, Config, Server};
use super::sweep;

pub(crate) struct LocalScene {
    pub(crate) server: Server,
    pub(crate) agent: ScriptedAgent,
    folder: TempDir,
}

/// How a command of the command line ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    /// The one JSON value on stdout.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

impl LocalScene {
    /// A clone whose base branch is checked out, with the project on it, and a server for it.
    pub(crate) async fn serve(project: impl FnOnce(&ScriptedAgent) -> Project) -> Self {
        let folder = tempfile::tempdir().expect("a temp folder can be made");
        let agent = ScriptedAgent::create(&folder.path().join("agent"));
        let clone = folder.path().join("app");
        make_clone(&clone, &project(&agent));
        let config = Config::local(&folder.path().join("data"), &clone);
        let server = Server::start(folder.path(), &config).await;
        Self {
            server,
            agent,
            folder,
        }
    }

    pub(crate) fn clone(&self) -> PathBuf {
        self.folder.path().join("app")
    }

    pub(crate) fn git(&self, arguments: &[&str]) -> String {
        git::git(&self.clone(), arguments)
    }

    pub(crate) fn write(&self, path: &str, content: &str) {
        std::fs::write(self.clone().join(path), content).expect("a temp folder can be written to");
    }

    pub(crate) fn read(&self, path: &str) -> String {
        std::fs::read_to_string(self.clone().join(path)).unwrap_or_default()
    }

    /// Runs the command line against the server.
    pub(crate) async fn huskies(&self, arguments: &[&str]) -> Ran {
        run(self.folder.path(), arguments).await
    }

    /// Opens an issue, starts it and waits until it is at rest.
    pub(crate) async fn tell(&self, title: &str) -> Value {
        let new = self
            .huskies(&["story", "new", title, "--start", "--json"])
            .await;
        assert_eq!(new.code, Some(0), "{new:?}");
        let id = new.json()["id"].as_str().unwrap_or_default().to_owned();
        let waited = self.huskies(&["story", "wait", &id, "--json"]).await;
        waited.json()
    }
}

impl Drop for LocalScene {
    #[expect(
        clippy::print_stderr,
        reason = "a failed test shows what the server said"
    )]
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the server's log\n{}", self.server.log());
        }
        sweep::kill_everything_of(self.folder.path());
    }
}

/// Runs the binary; the configuration in `folder`, if there is one, says which server is meant.
pub(crate) async fn run(folder: &Path, arguments: &[&str]) -> Ran {
    let output = server::binary(folder)
        .args(arguments)
        .env("HUSKIES_CONFIG", folder.join("huskies.toml"))
        .current_dir(folder)
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(PATIENCE, output)
        .await
        .unwrap_or_else(|_| panic!("`huskies {}` does not end", arguments.join(" ")))
        .expect("the binary can be run");
    Ran {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

fn make_clone(clone: &Path, project: &Project) {
    std::fs::create_dir_all(clone.join(".huskies")).expect("a temp folder can be written to");
    let files = [
        ("greeting.txt", "Nothing yet\n".to_owned()),
        ("README.md", "# An app\n".to_owned()),
        (".huskies/project.toml", project.to_toml()),
    ];
    for (path, content) in files {
        std::fs::write(clone.join(path), content).expect("a temp folder can be written to");
    }
    git::git(clone, &["init", "-q", "--initial-branch", BASE]);
    git::git(clone, &["add", "-A"]);
    git::git(clone, &["commit", "-q", "-m", "Begin"]);
}
