//! The executor's parts over real repositories, a real store and the built-in forge.

mod base;
mod checks;
mod forge;
mod pulls;
mod rooms;
mod surfaces;
mod workshop;
mod worktree;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use jiff::Timestamp;
use tokio::task::JoinHandle;

use super::*;
use crate::clock::SystemClock;
use crate::config::environment::Environment;
use crate::config::project;
use crate::config::server::ForgeKind;
use crate::crash::CrashPoints;
use crate::domain::effect::AgentBrief;
use crate::domain::id::{Attempt, BranchName, RepoName, Sha, StoryId};
use crate::domain::policy::Protection;
use crate::domain::project::{Land, Project, Runtime};
use crate::domain::story::{Purpose, Story};
use crate::domain::transition::Subject;
use crate::domain::work::{Start, Task};
use crate::engine::Engine;
use crate::forge::LocalForge;
use crate::git::{
    CollectSpec, Git, GitSettings, Identity, RepoPaths, Repository, Source, WorktreeSpec,
};
use crate::process::client::Launcher;
use crate::report::Masker;
use crate::sandbox::{Limits, Network, Walls};
use crate::store::{Commit, SqliteStore, Store, SubjectWrite};

/// The project file of a repository that lands by push.
pub(super) const PROJECT: &str = r#"
land = "push"

[[gate]]
name = "greets"
command = "test -e greeting.txt"

[[agent]]
name = "coder"
runtime = "command"
command = "true"
"#;

/// One repository with its remote, and a server's adapters for it.
pub(super) struct World {
    folder: tempfile::TempDir,
    pub(super) store: Arc<SqliteStore>,
    pub(super) forge: LocalForge,
    pub(super) context: Context,
    _engine: JoinHandle<()>,
}

impl World {
    /// Its base branch has the project file and `a.txt`.
    pub(super) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for name in ["people", "data"] {
            std::fs::create_dir(path(name)).unwrap();
        }
        let store = SqliteStore::open(&path("data/huskies.db")).await.unwrap();
        let store = Arc::new(store);
        let forge = LocalForge::new(store.pool().clone(), Arc::new(|| Timestamp::UNIX_EPOCH));
        let (work, _) = mpsc::unbounded_channel();
        let (engine, handle) = Engine::new(
            Arc::clone(&store) as Arc<dyn Store>,
            Arc::new(SystemClock),
            work,
        );
        begin_repository(folder.path());
        let repo = RepoContext {
            git: Arc::new(open_repository(folder.path()).await),
            forge: Arc::new(forge.clone()),
            forge_kind: ForgeKind::Local,
            base_branch: None,
            protection: Protection::default(),
            bots: Vec::new(),
            mentions: Vec::new(),
            runtimes: vec![Runtime::Command],
        };
        let adapters = adapters(&path("data"), repo);
        Self {
            folder,
            context: Context {
                store: Arc::clone(&store) as Arc<dyn Store>,
                engine: handle,
                adapters,
            },
            store,
            forge,
            _engine: tokio::spawn(engine.run()),
        }
    }

    pub(super) fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(super) fn repo(&self) -> &RepoContext {
        self.context.repo(&repo()).unwrap()
    }

    /// From now on runs are confined.
    pub(super) fn with_walls(mut self) -> Self {
        self.context.adapters.walls = Some(Walls {
            binary: "/usr/bin/huskies".into(),
            data_dir: self.at("data"),
            environment: Vec::new(),
            readable: Vec::new(),
            writable: Vec::new(),
            network: Network::None,
            limits: Limits {
                memory_bytes: 1,
                processes: 1,
                open_files: 1,
                disk_bytes: 1,
            },
            credentials: vec!["/login/file".into()],
        });
        self
    }

    /// Where the base branch is.
    pub(super) async fn tip(&self) -> Sha {
        self.repo().git.sync_base(None).await.unwrap().sha
    }

    /// A person commits files to the base branch and pushes them.
    pub(super) fn push(&self, files: &[(&str, &str)]) -> Sha {
        let clone = self.at("clone");
        let commit = commit(self.folder.path(), &clone, files);
        git(
            self.folder.path(),
            &clone,
            &["push", "-q", "origin", "HEAD:main"],
        );
        commit
    }

    /// An agent commits files in its worktree.
    pub(super) fn work(&self, worktree: &Path, files: &[(&str, &str)]) -> Sha {
        commit(self.folder.path(), worktree, files)
    }

    pub(super) fn git(&self, folder: &Path, arguments: &[&str]) -> String {
        git(self.folder.path(), folder, arguments)
    }

    /// A story's worktree, on the base branch as it is now.
    pub(super) async fn worktree_of(&self, number: u64) -> (WorktreeSpec, PathBuf) {
        let (story, branch) = story(number);
        let spec = WorktreeSpec {
            story,
            branch,
            base: self.tip().await,
        };
        let worktree = self.repo().git.prepare_worktree(&spec).await.unwrap();
        (spec, worktree.path)
    }

    /// Where a story's branch is once its first attempt is over.
    pub(super) async fn collected(&self, spec: &WorktreeSpec) -> Sha {
        let spec = CollectSpec {
            story: spec.story.clone(),
            branch: spec.branch.clone(),
            attempt: Attempt(1),
            since: None,
            base: spec.base.clone(),
            conflicts: Vec::new(),
        };
        self.repo().git.collect(&spec).await.unwrap().head
    }

    /// Has the store know a subject.
    pub(super) async fn know(&self, state: Subject) {
        let id = match &state {
            Subject::Story(story) => SubjectId::Story(story.id.clone()),
            Subject::Repo(_) => SubjectId::Repo(repo()),
            Subject::Head(_) | Subject::Account(_) => unreachable!("no test needs one"),
        };
        let write = SubjectWrite {
            id,
            expected: 0,
            version: 1,
            state,
        };
        let known = Commit {
            subjects: vec![write],
            ..Commit::default()
        };
        self.store.commit(known).await.unwrap();
    }

    pub(super) async fn know_story(&self, number: u64, change: impl FnOnce(&mut Story)) {
        let mut known = Story::new(story(number).0);
        change(&mut known);
        self.know(Subject::Story(Box::new(known))).await;
    }

    /// What the first attempt of story 1 is started with.
    pub(super) async fn brief(&self) -> AgentBrief {
        // Only the account grants reservations; one that was stored is as good.
        let reservation = serde_json::json!({
            "story": "octo/app#1",
            "attempt": 1,
            "provider": "command",
            "amount": 0,
        });
        AgentBrief {
            agent: parsed(PROJECT).agents.remove(0),
            reservation: serde_json::from_value(reservation).unwrap(),
            purpose: Purpose::Task,
            start: Start::Cold,
            branch: story(1).1,
            base: self.tip().await,
            task: Task::default(),
            recent: Vec::new(),
            messages: Vec::new(),
            failure: None,
            first: true,
        }
    }
}

pub(super) fn repo() -> RepoName {
    "octo/app".parse().unwrap()
}

pub(super) fn story(number: u64) -> (StoryId, BranchName) {
    let branch = format!("feature/story-{number}-door");
    (StoryId::new(repo(), number), branch.parse().unwrap())
}

pub(super) fn parsed(text: &str) -> Project {
    project::parse(text, project::PROJECT_FILE, Land::Push).unwrap()
}

fn begin_repository(root: &Path) {
    let clone = root.join("clone");
    git(root, root, &["init", "-q", "-b", "main", "clone"]);
    commit(
        root,
        &clone,
        &[(project::PROJECT_FILE, PROJECT), ("a.txt", "one\n")],
    );
    git(
        root,
        root,
        &["clone", "-q", "--bare", "clone", "remote.git"],
    );
    let remote = root.join("remote.git");
    git(
        root,
        &clone,
        &["remote", "add", "origin", remote.to_str().unwrap()],
    );
}

async fn open_repository(root: &Path) -> Repository {
    let settings = GitSettings {
        home: root.join("data/home"),
        path: search_path().into(),
        environment: Vec::new(),
        time_limit: Duration::from_mins(2),
        network_time_limit: Duration::from_mins(2),
    };
    let identity = Identity {
        name: "huskies".to_owned(),
        email: "huskies@example.org".to_owned(),
    };
    let source = Source {
        clone: Some(root.join("clone")),
        ..Source::default()
    };
    let paths = RepoPaths::new(root.join("data/repo"));
    Repository::open(paths, source, identity, Git::new(settings).unwrap())
        .await
        .unwrap()
}

fn adapters(data_dir: &Path, of_repo: RepoContext) -> Adapters {
    Adapters {
        repos: BTreeMap::from([(repo(), of_repo)]),
        data_dir: data_dir.to_owned(),
        supervisors: Arc::new(Launcher {
            binary: "/nonexistent/huskies".into(),
            environment: Vec::new(),
        }),
        binary: data_dir.join("huskies"),
        agent_environment: Vec::new(),
        agent_secrets: Vec::new(),
        walls: None,
        as_root: false,
        masker: Masker::default(),
        crash: CrashPoints::off(),
    }
}

fn search_path() -> String {
    let environment = Environment::of_process();
    environment.get("PATH").unwrap_or_default().to_owned()
}

/// What somebody types in `folder`, with their own, here empty, settings.
fn git(root: &Path, folder: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new("git");
    command
        .env_clear()
        .env("PATH", search_path())
        .env("HOME", root.join("people"))
        .env("GIT_CONFIG_NOSYSTEM", "1");
    for who in ["AUTHOR", "COMMITTER"] {
        command
            .env(format!("GIT_{who}_NAME"), "Ada")
            .env(format!("GIT_{who}_EMAIL"), "ada@example.org");
    }
    let output = command
        .current_dir(folder)
        .args(arguments)
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "git {arguments:?}: {stderr}");
    String::from_utf8(output.stdout)
        .unwrap()
        .trim_end()
        .to_owned()
}

fn commit(root: &Path, folder: &Path, files: &[(&str, &str)]) -> Sha {
    for (name, content) in files {
        let path = folder.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
    git(root, folder, &["add", "-A"]);
    git(root, folder, &["commit", "-q", "-m", "Mend"]);
    git(root, folder, &["rev-parse", "HEAD"]).parse().unwrap()
}
