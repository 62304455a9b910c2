//! Opening what a configuration names: repositories, forges, and what runs are started with.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use sqlx::SqlitePool;

use super::forges::Care;
use super::github;
use crate::clock::Clock;
use crate::config::environment::Environment;
use crate::config::server::{
    ForgeKind, GitHubConfig, GitHubIdentity, RepoConfig, RepoSource, ServerConfig,
};
use crate::crash::CrashPoints;
use crate::domain::event::SubjectId;
use crate::domain::id::{BranchName, RepoName};
use crate::domain::text::digest;
use crate::domain::transition::Subject;
use crate::executor::{Adapters, RepoContext};
use crate::forge::{Forge, Github, LocalForge, TokenKind};
use crate::git::{Auth, Git, GitSettings, Identity, RepoPaths, Repository, Source};
use crate::notify::Notifier;
use crate::process::client::Launcher;
use crate::process::tree::{MARK_VARIABLE, Tree};
use crate::report::Masker;
use crate::sandbox::Walls;
use crate::secret::{Renewal, Secret};
use crate::store::Store;
use crate::web::WebRepo;

/// For a git command on local files, and for one that talks to a remote.
const GIT_LIMIT: Duration = Duration::from_mins(2);
const GIT_NETWORK_LIMIT: Duration = Duration::from_mins(5);

/// What supervisors see of the environment.
const SUPERVISOR_ENVIRONMENT: [&str; 6] = ["PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "TZ"];
/// What an agent's CLI needs to log in, by the names that the CLIs document.
const CREDENTIALS: [&str; 6] = [
    "ANTHROPIC_API_KEY",
    "ANTHROPIC_AUTH_TOKEN",
    "ANTHROPIC_BASE_URL",
    "CLAUDE_CODE_OAUTH_TOKEN",
    "CLAUDE_CONFIG_DIR",
    "API_TIMEOUT_MS",
];

/// What the name of a variable says that holds a secret.
const SECRET_WORDS: [&str; 5] = ["KEY", "TOKEN", "SECRET", "PASSWORD", "CREDENTIAL"];

/// One repository with everything it needs.
pub(super) struct OpenRepo {
    git: Repository,
    forge: Arc<dyn Forge>,
    /// The same forge, where it is GitHub.
    github: Option<Arc<Github>>,
    local: Option<Arc<LocalForge>>,
    config: RepoConfig,
}

pub(super) async fn repositories(
    config: &ServerConfig,
    environment: &Environment,
    pool: &SqlitePool,
    clock: &Arc<dyn Clock>,
    store: &dyn Store,
) -> anyhow::Result<BTreeMap<RepoName, OpenRepo>> {
    let git = git(config, environment).await?;
    let mut ways = github::ways(config)?;
    let ticking = Arc::clone(clock);
    let local = Arc::new(LocalForge::new(
        pool.clone(),
        Arc::new(move || ticking.now()),
    ));
    let mut repos = BTreeMap::new();
    for repo in &config.repos {
        let github = ways.remove(&repo.name);
        let (forge, local): (Arc<dyn Forge>, _) = match &github {
            Some(github) => (Arc::clone(github) as Arc<dyn Forge>, None),
            None => (
                Arc::clone(&local) as Arc<dyn Forge>,
                Some(Arc::clone(&local)),
            ),
        };
        let git = repository(config, repo, (&git, github.as_ref()))
            .await
            .with_context(|| format!("cannot open {}", repo.name))?;
        let mut repo = repo.clone();
        if repo.base_branch.is_none() && repo.forge == ForgeKind::Local {
            repo.base_branch = settled_base(store, &git, &repo.name).await?;
        }
        repos.insert(
            repo.name.clone(),
            OpenRepo {
                git,
                forge,
                github,
                local,
                config: repo,
            },
        );
    }
    Ok(repos)
}

/// The base branch of a repository that no configuration and no forge names: the one that its owner
/// had checked out when huskies first saw it. Asking again each time would aim stories at whatever
/// branch the owner is on. `None` for a repository without a commit.
async fn settled_base(
    store: &dyn Store,
    git: &Repository,
    name: &RepoName,
) -> anyhow::Result<Option<BranchName>> {
    let known = store.subject(&SubjectId::Repo(name.clone())).await?;
    if let Some((Subject::Repo(repo), _)) = known
        && let Some(base) = repo.base
    {
        return Ok(Some(base.branch));
    }
    match git.sync_base(None).await {
        Ok(tip) => Ok(Some(tip.branch)),
        Err(error) => {
            tracing::warn!(%name, %error, "the base branch is not known yet");
            Ok(None)
        }
    }
}

/// Git commands carry a mark of this data folder: what a killed server left running would go on
/// writing into repositories that this one takes over.
async fn git(config: &ServerConfig, environment: &Environment) -> anyhow::Result<Git> {
    let mark = format!("git-{}", digest(&config.data_dir.display().to_string()));
    let left = Tree {
        root: None,
        mark: mark.clone(),
    };
    left.kill(Duration::ZERO).await?;
    let mut passed = environment.only(&[
        "SSH_AUTH_SOCK",
        "HTTPS_PROXY",
        "https_proxy",
        "NO_PROXY",
        "no_proxy",
        "SSL_CERT_FILE",
    ]);
    passed.push((MARK_VARIABLE.to_owned(), mark));
    let os = |text: String| OsString::from(text);
    Ok(Git::new(GitSettings {
        home: config.data_dir.join("git-home"),
        path: search_path(environment),
        environment: passed
            .into_iter()
            .map(|(name, value)| (os(name), os(value)))
            .collect(),
        time_limit: GIT_LIMIT,
        network_time_limit: GIT_NETWORK_LIMIT,
    })?)
}

async fn repository(
    config: &ServerConfig,
    repo: &RepoConfig,
    (git, github): (&Git, Option<&Arc<Github>>),
) -> anyhow::Result<Repository> {
    let (clone, remote) = match &repo.source {
        RepoSource::Path(path) => (Some(path.clone()), None),
        RepoSource::CloneUrl(url) => (None, Some(url.clone())),
    };
    let auth = github.map(|github| Auth {
        username: "x-access-token".to_owned(),
        token: github.token(),
        renewal: Some(Arc::clone(github) as Arc<dyn Renewal>),
    });
    let paths = RepoPaths::new(
        config
            .data_dir
            .join("repos")
            .join(repo.name.owner())
            .join(repo.name.name()),
    );
    let identity = Identity {
        name: config.identity.name.clone(),
        email: config.identity.email.clone(),
    };
    Ok(Repository::open(
        paths,
        Source {
            clone,
            remote,
            auth,
        },
        identity,
        git.clone(),
    )
    .await?)
}

/// The tokens that nobody configured: those of an App's installations, as they will be.
pub(super) fn tokens(repos: &BTreeMap<RepoName, OpenRepo>) -> Vec<Secret> {
    let mut known: Vec<&Arc<Github>> = Vec::new();
    for github in repos.values().filter_map(|repo| repo.github.as_ref()) {
        let is_new = !known.iter().any(|other| Arc::ptr_eq(other, github));
        if is_new && github.token_kind() == TokenKind::App {
            known.push(github);
        }
    }
    known.into_iter().map(|github| github.token()).collect()
}

/// The way to each repository that is on GitHub.
pub(super) fn ways(repos: &BTreeMap<RepoName, OpenRepo>) -> github::Ways {
    let way = |(name, repo): (&RepoName, &OpenRepo)| Some((name.clone(), repo.github.clone()?));
    repos.iter().filter_map(way).collect()
}

/// How those ways are looked after. A command of the owner's sees places and no secret.
pub(super) fn care(config: &ServerConfig, environment: &Environment, masker: &Masker) -> Care {
    Care {
        notifier: Arc::new(Notifier {
            command: config.notify.command.clone(),
            environment: environment.only(&SUPERVISOR_ENVIRONMENT),
            webhook: config.notify.webhook.clone(),
        }),
        masker: masker.clone(),
        redeliver: config.github.as_ref().and_then(|github| github.redeliver),
    }
}

/// The repositories alone.
pub(super) fn gits(repos: &BTreeMap<RepoName, OpenRepo>) -> BTreeMap<RepoName, Repository> {
    let git = |(name, repo): (&RepoName, &OpenRepo)| (name.clone(), repo.git.clone());
    repos.iter().map(git).collect()
}

/// The git command line for work beside a server: with a home of its own, and without the mark by
/// which the next server ends what this one left.
pub fn plain_git(home: &Path, environment: &Environment) -> anyhow::Result<Git> {
    Ok(Git::new(GitSettings {
        home: home.to_owned(),
        path: search_path(environment),
        environment: Vec::new(),
        time_limit: GIT_LIMIT,
        network_time_limit: GIT_NETWORK_LIMIT,
    })?)
}

fn search_path(environment: &Environment) -> OsString {
    let path = environment.get("PATH");
    path.unwrap_or("/usr/local/bin:/usr/bin:/bin").into()
}

pub(super) fn web_repos(repos: &BTreeMap<RepoName, OpenRepo>) -> BTreeMap<RepoName, WebRepo> {
    let web = |repo: &OpenRepo| WebRepo {
        forge: Arc::clone(&repo.forge),
        local: repo.local.clone(),
        mentions: repo.config.mentions.clone(),
        app: repo.github.as_ref().and_then(|github| github.app_id()),
    };
    repos
        .iter()
        .map(|(name, repo)| (name.clone(), web(repo)))
        .collect()
}

pub(super) fn adapters(
    config: &ServerConfig,
    environment: &Environment,
    repos: BTreeMap<RepoName, OpenRepo>,
    (masker, crash, walls): (Masker, CrashPoints, Option<Walls>),
) -> anyhow::Result<Adapters> {
    let context = |repo: OpenRepo| RepoContext {
        git: Arc::new(repo.git),
        forge: repo.forge,
        forge_kind: repo.config.forge,
        base_branch: repo.config.base_branch,
        protection: repo.config.protection,
        bots: repo.config.bots,
        mentions: repo.config.mentions,
        runtimes: config.runtimes.clone(),
    };
    let binary = super::walls::binary()?;
    Ok(Adapters {
        repos: repos
            .into_iter()
            .map(|(name, repo)| (name, context(repo)))
            .collect(),
        data_dir: config.data_dir.clone(),
        supervisors: Arc::new(Launcher {
            binary: binary.clone(),
            environment: environment.only(&SUPERVISOR_ENVIRONMENT),
        }),
        binary,
        agent_environment: environment.for_agents(),
        agent_secrets: agent_secrets(config, environment),
        walls,
        as_root: rustix::process::geteuid().is_root(),
        masker,
        crash,
    })
}

/// What the CLIs need to log in, and what the configuration names.
fn agent_secrets(config: &ServerConfig, environment: &Environment) -> Vec<(String, String)> {
    let mut variables = environment.only(&CREDENTIALS);
    let named: Vec<&str> = config
        .agent_environment
        .iter()
        .map(String::as_str)
        .collect();
    variables.extend(environment.only(&named));
    variables
}

/// The token that is configured. An App's key is read where it signs, and goes nowhere.
fn token(config: &GitHubConfig) -> Option<Secret> {
    match &config.identity {
        GitHubIdentity::Token(token) => Some(token.clone()),
        GitHubIdentity::App { .. } => None,
    }
}

/// Everything that must stand in no log and no report: the server's own secrets, and what agents
/// log in with.
pub(super) fn secrets(config: &ServerConfig, environment: &Environment) -> Vec<Secret> {
    let own = config
        .github
        .iter()
        .flat_map(|github| github.webhook_secrets.iter().cloned().chain(token(github)));
    let of_agents = agent_secrets(config, environment)
        .into_iter()
        .filter(|(name, _)| SECRET_WORDS.iter().any(|word| name.contains(word)))
        .map(|(_, value)| Secret::from(value));
    own.chain(of_agents).collect()
}
