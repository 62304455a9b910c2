//! One test's world: a remote, the modelled GitHub, a scripted agent and the real server; with the
//! verbs that flows are told in.

use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;

use super::agent::ScriptedAgent;
use super::following::{self, api_path};
use super::git::{self, TestRemote};
use super::github_model::{Comment, Delivery, GithubModel, OWN_LOGIN, Status};
use super::patience::eventually;
use super::project::Project;
use super::server::{Config, REPO, Server};
use super::sweep;

/// Somebody who may write.
pub(crate) const WRITER: &str = "ada";

/// Everything but the server, so that a test can write its project file and its agent's turns
/// before anything runs.
pub(crate) struct Stage {
    pub(crate) agent: ScriptedAgent,
    pub(crate) github: GithubModel,
    folder: TempDir,
}

impl Stage {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temp folder can be made");
        let github = GithubModel::start(REPO);
        github.set_permission(WRITER, "write");
        Self {
            agent: ScriptedAgent::create(&folder.path().join("agent")),
            github,
            folder,
        }
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The scripted agent as the project's one coder.
    pub(crate) fn coder(&self) -> Project {
        Project::new().coder("coder", &self.agent.command())
    }

    /// Puts the project on the remote's base branch and starts a server for a clone of it.
    pub(crate) async fn serve(self, project: &Project) -> Scene {
        self.serve_with(project, |config| config).await
    }

    pub(crate) async fn serve_with(
        self,
        project: &Project,
        change: impl FnOnce(Config) -> Config,
    ) -> Scene {
        let (remote, config) = self.prepare(project);
        let server = Server::start(self.folder.path(), &change(config)).await;
        self.with(remote, server)
    }

    /// The remote with the project on it, and the configuration of a server for it.
    pub(crate) fn prepare(&self, project: &Project) -> (TestRemote, Config) {
        let folder = self.folder.path();
        let files = [
            ("README.md", "# An app\n"),
            ("greeting.txt", "Nothing yet\n"),
            (".huskies/project.toml", &project.to_toml()),
        ];
        let remote = TestRemote::create(folder, &files);
        self.github.serve_commits_of(remote.path());
        let clone = folder.join("app");
        remote.clone_to(&clone);
        let config = Config::github(&folder.join("data"), self.github.url(), &clone);
        (remote, config)
    }

    pub(crate) fn with(self, remote: TestRemote, server: Server) -> Scene {
        Scene {
            server,
            remote,
            agent: self.agent,
            github: self.github,
            folder: self.folder,
        }
    }
}

pub(crate) struct Scene {
    pub(crate) server: Server,
    pub(crate) remote: TestRemote,
    pub(crate) agent: ScriptedAgent,
    pub(crate) github: GithubModel,
    folder: TempDir,
}

/// What people do.
impl Scene {
    /// Opens an issue, labels it as somebody who may, and has GitHub tell the server.
    pub(crate) async fn start_story(&self, title: &str, body: &str) -> u64 {
        let story = self.github.add_issue(title, body, WRITER);
        self.label(story).await;
        story
    }

    /// Sets the start label.
    pub(crate) async fn label(&self, story: u64) {
        let delivery = self.github.label(story, "huskies", WRITER);
        self.accepted(&delivery).await;
    }

    /// Takes the start label away.
    pub(crate) async fn unlabel(&self, story: u64) {
        let delivery = self.github.unlabel(story, "huskies", WRITER);
        self.accepted(&delivery).await;
    }

    /// Sends a delivery that the server must take.
    pub(crate) async fn accepted(&self, delivery: &Delivery) {
        let answer = self.server.deliver(delivery).await;
        assert_eq!(
            (answer.status, answer.body["status"].as_str()),
            (202, Some("accepted")),
            "{}",
            answer.body
        );
    }

    /// Somebody pushes a commit to the base branch, and GitHub says so; the commit's SHA.
    pub(crate) async fn push_to_base(&self, path: &str, content: &str) -> String {
        let before = self.remote.tip(git::BASE);
        let after = self.remote.commit_on_base(path, content, "From outside");
        let delivery = self
            .github
            .push(git::BASE, Some(&before), Some(&after), WRITER);
        self.accepted(&delivery).await;
        after
    }
}

/// What a test waits for.
impl Scene {
    pub(crate) async fn wait_for_stage(&self, story: u64, stage: &str) -> Value {
        self.wait_for(story, &format!("stage {stage}"), |found| {
            found["stage"] == stage
        })
        .await
    }

    /// As [`following::follow`].
    pub(crate) async fn wait_for(
        &self,
        story: u64,
        what: &str,
        condition: impl FnMut(&Value) -> bool,
    ) -> Value {
        following::follow(&self.server, story, what, condition).await
    }

    /// Waits until the server has taken up what it knows: it has looked at the remote again.
    pub(crate) async fn wait_until_ready(&self) {
        eventually("control.git is there", || {
            find(&self.folder.path().join("data"), "control.git").is_some()
        })
        .await;
        let ready = self.server.get("/readyz").await;
        assert_eq!(ready.status, 200, "{}", self.server.log());
    }

    /// What the modelled GitHub shows, looked at again after each of its changes.
    pub(crate) async fn wait_for_github(
        &self,
        what: &str,
        condition: impl FnMut(&GithubModel) -> bool,
    ) {
        self.github.eventually(what, condition).await;
    }
}

/// What a test looks at.
impl Scene {
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn data_dir(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    pub(crate) async fn story(&self, story: u64) -> Value {
        self.server.get(&api_path(story, "")).await.body
    }

    pub(crate) async fn events(&self, story: u64) -> Vec<Value> {
        following::events(&self.server, story).await
    }

    /// The comments that huskies wrote on a story's issue.
    pub(crate) fn own_comments(&self, story: u64) -> Vec<Comment> {
        let own = |comment: &Comment| comment.author == OWN_LOGIN;
        self.github
            .comments(story)
            .into_iter()
            .filter(own)
            .collect()
    }

    /// The states that a commit's status of one context went through.
    pub(crate) fn states(&self, commit: &str, context: &str) -> Vec<String> {
        states(&self.github, commit, context)
    }

    /// The server's own bare repository.
    pub(crate) fn control(&self) -> PathBuf {
        find(&self.folder.path().join("data"), "control.git").expect("the server made control.git")
    }

    /// Commits under `refs/huskies/wip/`, by ref.
    pub(crate) fn kept_work(&self) -> Vec<String> {
        let refs = ["for-each-ref", "--format=%(refname)", "refs/huskies/wip"];
        git::git(&self.control(), &refs)
            .lines()
            .map(str::to_owned)
            .collect()
    }
}

impl Drop for Scene {
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

/// The labels of a story's issue that mirror its stage: one, once what changed is written.
pub(crate) fn stage_labels(github: &GithubModel, story: u64) -> Vec<String> {
    let mut labels = github.labels(story);
    labels.retain(|label| label.starts_with("stage:"));
    labels
}

/// The states that a commit's status of one context went through, oldest first.
pub(crate) fn states(github: &GithubModel, commit: &str, context: &str) -> Vec<String> {
    let of_context = |status: &Status| status.context == context;
    github
        .statuses(commit)
        .into_iter()
        .filter(of_context)
        .map(|status| status.state)
        .collect()
}

/// The first folder called `name` below `folder`, which is not searched in itself.
fn find(folder: &Path, name: &str) -> Option<PathBuf> {
    let entries = std::fs::read_dir(folder).ok()?;
    let folders: Vec<PathBuf> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.is_dir() && !path.is_symlink())
        .collect();
    let found = folders
        .iter()
        .find(|path| path.file_name().is_some_and(|found| found == name));
    found
        .cloned()
        .or_else(|| folders.iter().find_map(|inner| find(inner, name)))
}
