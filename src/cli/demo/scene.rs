//! The demonstration's stage: a repository with gates, a scripted agent and three issues.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use git2::{Oid, Repository, Signature};
use tempfile::TempDir;

use crate::config::server::{
    ForgeKind, HttpConfig, Identity, NetworkChoice, NotifyConfig, RepoConfig, RepoSource,
    Retention, ServerConfig, WallsConfig,
};
use crate::domain::account::Limits;
use crate::domain::policy::Protection;
use crate::domain::project::Runtime;
use crate::domain::sandbox::Sandbox;

pub(super) const REPO: &str = "demo/greeter";

/// Title and body of each issue, in the order of their numbers.
pub(super) const STORIES: [(&str, &str); 3] = [
    (
        "Greet the world",
        "greet.sh should print a friendly greeting. The test knows which one.",
    ),
    ("Choose a motto", "Put `Run together.` into motto.txt."),
    (
        "Choose another motto",
        "Put `Pull together.` into motto.txt.",
    ),
];

const PROJECT: &str = r#"land = "push"

[[gate]]
name = "syntax"
command = "sh -n greet.sh"
on = ["commit", "accept", "merge"]

[[gate]]
name = "test"
command = "sh test.sh"

[[agent]]
name = "coder-1"
runtime = "command"
command = "sh .huskies/scripted-agent.sh"

[[agent]]
name = "coder-2"
runtime = "command"
command = "sh .huskies/scripted-agent.sh"

[[agent]]
name = "coder-3"
runtime = "command"
command = "sh .huskies/scripted-agent.sh"
"#;

const TEST: &str = r#"# Passes when greet.sh prints what a well-bred husky says.
said=$(sh greet.sh)
if [ "$said" != "Hello, world!" ] && [ "$said" != "Hello." ]; then
  echo "greet.sh says: $said"
  echo "it should say: Hello, world!"
  exit 1
fi
"#;

/// Plays a coding agent. It knows nothing but its prompt, as a real one would.
const AGENT: &str = r#"prompt=$(cat "$HUSKIES_PROMPT_FILE")
says() { case "$prompt" in *"$1"*) return 0 ;; *) return 1 ;; esac; }

echo "working on $HUSKIES_STORY, attempt $HUSKIES_ATTEMPT"
case "$HUSKIES_STORY" in
*#1)
  if says "Your previous run's quality gates failed:"; then
    echo "the gate said what it wants: mending it"
    echo 'echo "Hello, world!"' >greet.sh
  else
    echo 'echo "hi world"' >greet.sh
  fi
  git commit -q -a -m "Greet the world"
  ;;
*)
  case "$HUSKIES_STORY" in *#2) motto="Run together." ;; *) motto="Pull together." ;; esac
  if says "motto.txt" && says "conflict"; then
    echo "somebody else chose a motto too: keeping both"
    tip=$(printf '%s\n' "$prompt" | grep -o '[0-9a-f]\{40\}' | head -n 1)
    git merge -q "$tip" || true
    { git show "$tip:motto.txt"; echo "$motto"; } >motto.txt
    git add motto.txt
    git commit -q -m "Keep both mottos"
  else
    while [ ! -e "@GO@" ]; do sleep 0.05; done
    echo "$motto" >motto.txt
    git commit -q -a -m "Choose a motto"
  fi
  ;;
esac
"#;

/// A folder with everything in it, removed at the end unless it is to be kept.
pub(super) struct Scene {
    folder: PathBuf,
    temporary: Option<TempDir>,
}

impl Scene {
    pub(super) fn make(keep: bool) -> anyhow::Result<Self> {
        let temporary = tempfile::Builder::new().prefix("huskies-demo-").tempdir()?;
        let folder = temporary.path().canonicalize()?;
        let temporary = if keep {
            // The folder is known already; only its removal is called off.
            let _kept = temporary.keep();
            None
        } else {
            Some(temporary)
        };
        let scene = Self { folder, temporary };
        scene
            .make_repository()
            .context("the demonstration's repository could not be made")?;
        Ok(scene)
    }

    fn make_repository(&self) -> anyhow::Result<()> {
        let root = self.repository();
        fs::create_dir_all(root.join(".huskies"))?;
        fs::write(root.join(".huskies/project.toml"), PROJECT)?;
        fs::create_dir_all(self.signals())?;
        let go = self.signals().join("go");
        fs::write(
            root.join(".huskies/scripted-agent.sh"),
            AGENT.replace("@GO@", &go.display().to_string()),
        )?;
        fs::write(root.join("greet.sh"), "echo \"Hello.\"\n")?;
        fs::write(root.join("test.sh"), TEST)?;
        fs::write(root.join("motto.txt"), "No motto yet.\n")?;
        let mut options = git2::RepositoryInitOptions::new();
        let repository =
            Repository::init_opts(&root, options.initial_head("main").external_template(false))?;
        let mut index = repository.index()?;
        index.add_all(["*"], git2::IndexAddOption::DEFAULT, None)?;
        index.write()?;
        let tree = repository.find_tree(index.write_tree()?)?;
        let author = Signature::now("huskies demo", "demo@localhost")?;
        repository.commit(
            Some("HEAD"),
            &author,
            &author,
            "Begin the greeter",
            &tree,
            &[],
        )?;
        Ok(())
    }

    pub(super) fn is_kept(&self) -> bool {
        self.temporary.is_none()
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(super) fn repository(&self) -> PathBuf {
        self.folder.join("greeter")
    }

    pub(super) fn data_dir(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// Where agents look for a word from the demonstration.
    fn signals(&self) -> PathBuf {
        self.folder.join("signals")
    }

    pub(super) fn config(&self, sandbox: Sandbox) -> ServerConfig {
        ServerConfig {
            notify: NotifyConfig::default(),
            listen: ([127, 0, 0, 1], 0).into(),
            data_dir: self.data_dir(),
            github: None,
            repos: REPO
                .parse()
                .map(|name| RepoConfig {
                    name,
                    source: RepoSource::Path(self.repository()),
                    forge: ForgeKind::Local,
                    base_branch: None,
                    protection: Protection::default(),
                    mentions: Vec::new(),
                    bots: Vec::new(),
                })
                .into_iter()
                .collect(),
            limits: Limits::default(),
            max_body_bytes: 0,
            max_pending: 0,
            http: HttpConfig::default(),
            identity: Identity::default(),
            retention: Retention::default(),
            agent_environment: Vec::new(),
            agent_credentials: Vec::new(),
            sandbox,
            walls: WallsConfig {
                readable: vec![self.signals()],
                network: NetworkChoice::None,
                ..WallsConfig::default()
            },
            runtimes: Runtime::ALL.to_vec(),
        }
    }

    /// The agents of the two rival stories wait for this.
    pub(super) fn let_rivals_go(&self) -> anyhow::Result<()> {
        Ok(fs::write(self.signals().join("go"), b"")?)
    }

    pub(super) fn tree_of(&self, commit: &str) -> anyhow::Result<String> {
        let repository = Repository::open(self.repository())?;
        Ok(repository
            .find_commit(Oid::from_str(commit)?)?
            .tree_id()
            .to_string())
    }

    pub(super) fn base_contains(&self, commit: &str) -> anyhow::Result<bool> {
        let repository = Repository::open(self.repository())?;
        let tip = repository.refname_to_id("refs/heads/main")?;
        let commit = Oid::from_str(commit)?;
        Ok(tip == commit || repository.graph_descendant_of(tip, commit)?)
    }

    /// The work tree of the person whose clone it is holds all three changes.
    pub(super) fn check_content(&self) -> anyhow::Result<()> {
        let read = |name: &str| fs::read_to_string(self.repository().join(name));
        ensure!(
            read("greet.sh")?.contains("Hello, world!"),
            "greet.sh was not changed"
        );
        let motto = read("motto.txt")?;
        ensure!(
            motto.contains("Run together.") && motto.contains("Pull together."),
            "motto.txt lost a motto: {motto}"
        );
        Ok(())
    }

    /// The commits on the base branch, newest first.
    pub(super) fn history(&self) -> anyhow::Result<Vec<String>> {
        let repository = Repository::open(self.repository())?;
        let mut walk = repository.revwalk()?;
        walk.push_ref("refs/heads/main")?;
        walk.map(|id| {
            let commit = repository.find_commit(id?)?;
            Ok(format!(
                "{:.10}  {}",
                commit.id(),
                commit.summary().ok().flatten().unwrap_or_default()
            ))
        })
        .collect()
    }
}
