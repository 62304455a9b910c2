//! The server's own configuration: a TOML file, each key also as an environment variable.
//!
//! `HUSKIES_` and the key's path in capitals, joined by `_`, wins over the file:
//! `HUSKIES_LISTEN`, `HUSKIES_FORGE_GITHUB_API_URL`, `HUSKIES_REPO_0_PATH`. Lists are separated by
//! commas. Relative paths begin at the file's folder. Secrets are never in the file: it names the
//! variables or the files that hold them.

mod github;
mod http;
mod retention;
mod walls;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::environment::Environment;
pub use super::error::ConfigError;
use super::error::value_error;
use super::overrides;
use crate::domain::account::Limits;
use crate::domain::id::{BranchName, RepoName};
use crate::domain::money::Usd;
use crate::domain::policy::Protection;
use crate::domain::project::Runtime;
use crate::domain::reconciliation::Pace;
use crate::domain::sandbox::Sandbox;
use walls::RawWalls;
pub use walls::{NetworkChoice, WallsConfig};

use github::RawGitHub;
pub use github::{GitHubConfig, GitHubIdentity};
pub use http::HttpConfig;
use http::RawHttp;
use retention::RawRetention;
pub use retention::Retention;

/// GitHub's cap on webhook payloads is 25 MB (docs.github.com, "Webhook events and payloads").
const MAX_BODY_BYTES: usize = 25 * 1024 * 1024;
/// Deliveries that are on the disk and were not acted on yet: some 100 MB.
const MAX_PENDING: u64 = 50_000;

/// Everything a server needs to run.
#[derive(Debug, Clone)]
pub struct ServerConfig {
    pub listen: SocketAddr,
    pub data_dir: PathBuf,
    pub github: Option<GitHubConfig>,
    pub repos: Vec<RepoConfig>,
    pub limits: Limits,
    pub max_body_bytes: usize,
    /// How deep the inbox may get before deliveries are sent away for a while.
    pub max_pending: u64,
    pub http: HttpConfig,
    pub identity: Identity,
    /// How long what is finished is kept.
    pub retention: Retention,
    /// Variables of the server's environment that agents may see, by name.
    pub agent_environment: Vec<String>,
    /// The runtimes that projects may use.
    pub runtimes: Vec<Runtime>,
    /// Files that agents' programs log in with.
    pub agent_credentials: Vec<PathBuf>,
    pub sandbox: Sandbox,
    pub walls: WallsConfig,
    pub notify: NotifyConfig,
}

/// `[notify]`: another way to reach a person than the forge.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NotifyConfig {
    /// A program and its arguments.
    pub command: Vec<String>,
    pub webhook: Option<String>,
}

#[derive(Debug, Clone)]
pub struct RepoConfig {
    pub name: RepoName,
    pub source: RepoSource,
    pub forge: ForgeKind,
    pub base_branch: Option<BranchName>,
    /// What may not land without a person's approval.
    pub protection: Protection,
    /// Names by which a comment addresses the agent, without the `@`.
    pub mentions: Vec<String>,
    /// Programs' accounts that may do what people with write permission may.
    pub bots: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RepoSource {
    /// An existing clone.
    Path(PathBuf),
    CloneUrl(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ForgeKind {
    GitHub,
    Local,
}

/// Who commits what huskies itself writes.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Identity {
    pub name: String,
    pub email: String,
}

impl Default for Identity {
    fn default() -> Self {
        Self {
            name: "huskies".to_owned(),
            email: "huskies@localhost".to_owned(),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawConfig {
    listen: Option<String>,
    data_dir: Option<PathBuf>,
    #[serde(default)]
    forge: RawForges,
    #[serde(default, rename = "repo")]
    repos: Vec<RawRepo>,
    #[serde(default)]
    limits: RawLimits,
    #[serde(default)]
    webhook: RawWebhook,
    #[serde(default)]
    http: RawHttp,
    #[serde(default)]
    identity: Identity,
    #[serde(default)]
    agents: RawAgents,
    #[serde(default)]
    sandbox: Sandbox,
    #[serde(default)]
    walls: RawWalls,
    #[serde(default)]
    retention: RawRetention,
    #[serde(default)]
    notify: NotifyConfig,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawForges {
    github: Option<RawGitHub>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRepo {
    name: RepoName,
    path: Option<PathBuf>,
    clone_url: Option<String>,
    forge: ForgeKind,
    base_branch: Option<BranchName>,
    #[serde(default)]
    free_paths: Vec<String>,
    mentions: Option<Vec<String>>,
    #[serde(default)]
    bots: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawLimits {
    per_story_usd: Option<f64>,
    per_day_usd: Option<f64>,
    agents: Option<u32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawWebhook {
    max_body_bytes: Option<usize>,
    max_pending: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawAgents {
    environment: Vec<String>,
    credentials: Vec<PathBuf>,
    runtimes: Option<Vec<Runtime>>,
}

impl ServerConfig {
    /// Reads and checks a configuration file under the overrides of the environment.
    pub fn load(path: &Path, environment: &Environment) -> Result<Self, ConfigError> {
        let shown = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Unreadable {
            path: shown.clone(),
            source,
        })?;
        let folder = folder_of(path)?;
        let config = Self::parse_in(&folder, &text, &shown, environment)?;
        Ok(config.relative_to(&folder))
    }

    /// Like [`Self::load`], for text that is at hand; `shown` names it in errors.
    pub fn parse(text: &str, shown: &str, environment: &Environment) -> Result<Self, ConfigError> {
        Self::parse_in(Path::new(""), text, shown, environment)
    }

    fn parse_in(
        folder: &Path,
        text: &str,
        shown: &str,
        environment: &Environment,
    ) -> Result<Self, ConfigError> {
        let invalid = |message: String| ConfigError::Invalid {
            path: shown.to_owned(),
            message,
        };
        let mut table: toml::Table =
            toml::from_str(text).map_err(|error| invalid(error.to_string()))?;
        overrides::apply(&mut table, environment)?;
        let raw: RawConfig = table
            .try_into()
            .map_err(|error: toml::de::Error| invalid(error.to_string()))?;
        raw.check(environment, folder)
    }

    /// The data folder that a configuration file names. Nothing else is checked and no secret is
    /// needed, so this serves commands that only look for a running server.
    pub fn data_dir(path: &Path, environment: &Environment) -> Result<PathBuf, ConfigError> {
        let table = table_of(path, environment)?;
        let data_dir = table.get("data_dir").and_then(toml::Value::as_str);
        match data_dir {
            Some(data_dir) => Ok(folder_of(path)?.join(data_dir)),
            None => Err(value_error("data_dir", "it is missing")),
        }
    }

    /// The repositories that are on GitHub, and how it is used for them.
    pub fn on_github(&self) -> impl Iterator<Item = (&GitHubConfig, &RepoConfig)> {
        let on_github = |repo: &&RepoConfig| repo.forge == ForgeKind::GitHub;
        let repos = self.repos.iter().filter(on_github);
        repos.filter_map(|repo| Some((self.github.as_ref()?, repo)))
    }

    /// How often a repository is looked at for what no delivery told; the built-in forge tells all.
    pub fn pace_of(&self, repo: &RepoConfig) -> Option<Pace> {
        let github = self.github.as_ref()?;
        let on_github = repo.forge == ForgeKind::GitHub;
        on_github.then(|| Pace {
            seconds: u32::try_from(github.look_every.as_secs()).unwrap_or(u32::MAX),
            alone: github.webhook_secrets.is_empty(),
        })
    }

    /// The first file for webhook secrets that a configuration names, whether it is there or not.
    pub fn webhook_secret_file(
        path: &Path,
        environment: &Environment,
    ) -> Result<Option<PathBuf>, ConfigError> {
        let table = table_of(path, environment)?;
        let files = ["forge", "github", "webhook_secret_files"];
        let table = toml::Value::Table(table);
        let files = files.iter().try_fold(&table, |value, key| value.get(key));
        let first = files
            .and_then(|files| files.get(0))
            .and_then(toml::Value::as_str);
        first
            .map(|file| Ok(folder_of(path)?.join(file)))
            .transpose()
    }

    /// Takes relative paths from `folder`, wherever the server or a command is started.
    fn relative_to(self, folder: &Path) -> Self {
        let repos = self.repos.into_iter().map(|repo| RepoConfig {
            source: match repo.source {
                RepoSource::Path(path) => RepoSource::Path(folder.join(path)),
                RepoSource::CloneUrl(url) => RepoSource::CloneUrl(url),
            },
            ..repo
        });
        Self {
            data_dir: folder.join(&self.data_dir),
            repos: repos.collect(),
            agent_credentials: walls::below(folder, &self.agent_credentials),
            walls: self.walls.relative_to(folder),
            ..self
        }
    }

    pub fn repo(&self, name: &RepoName) -> Option<&RepoConfig> {
        self.repos.iter().find(|repo| repo.name == *name)
    }
}

/// A configuration file under the overrides of the environment, unchecked.
fn table_of(path: &Path, environment: &Environment) -> Result<toml::Table, ConfigError> {
    let shown = path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Unreadable {
        path: shown.clone(),
        source,
    })?;
    let mut table =
        toml::from_str(&text).map_err(|error: toml::de::Error| ConfigError::Invalid {
            path: shown,
            message: error.to_string(),
        })?;
    overrides::apply(&mut table, environment)?;
    Ok(table)
}

/// The absolute folder of a configuration file.
fn folder_of(path: &Path) -> Result<PathBuf, ConfigError> {
    let absolute = std::path::absolute(path).map_err(|source| ConfigError::Unreadable {
        path: path.display().to_string(),
        source,
    })?;
    Ok(absolute.parent().unwrap_or(&absolute).to_owned())
}

impl RawConfig {
    fn check(self, environment: &Environment, folder: &Path) -> Result<ServerConfig, ConfigError> {
        let listen = self.listen.unwrap_or_else(|| "127.0.0.1:8377".to_owned());
        let listen = listen.parse().map_err(|_| {
            value_error(
                "listen",
                &format!("`{listen}` is not an address and port such as `127.0.0.1:8377`"),
            )
        })?;
        let data_dir = self.data_dir.ok_or_else(|| {
            value_error(
                "data_dir",
                "it is missing: name the folder that huskies may keep its data in",
            )
        })?;
        if self.repos.is_empty() {
            return Err(value_error(
                "repo",
                "it is missing: add a [[repo]] with `name`, `path` and `forge`",
            ));
        }
        let repos = self
            .repos
            .into_iter()
            .map(RawRepo::check)
            .collect::<Result<Vec<_>, _>>()?;
        refuse_doubles(&repos)?;
        let wants_github = repos.iter().any(|repo| repo.forge == ForgeKind::GitHub);
        let github = match self.forge.github {
            Some(github) => Some(github.check(environment, folder)?),
            None if wants_github => Some(RawGitHub::default().check(environment, folder)?),
            None => None,
        };
        let max_body_bytes = self.webhook.max_body_bytes.unwrap_or(MAX_BODY_BYTES);
        Ok(ServerConfig {
            listen,
            data_dir,
            github,
            repos,
            limits: self.limits.check()?,
            max_body_bytes,
            max_pending: self.webhook.max_pending.unwrap_or(MAX_PENDING),
            http: self.http.check(max_body_bytes)?,
            identity: self.identity,
            retention: self.retention.check()?,
            agent_environment: self.agents.environment,
            agent_credentials: walls::at_home(self.agents.credentials, environment.get("HOME")),
            sandbox: self.sandbox,
            notify: self.notify,
            walls: self.walls.check(environment.get("HOME"))?,
            runtimes: self.agents.runtimes.unwrap_or(Runtime::ALL.to_vec()),
        })
    }
}

fn refuse_doubles(repos: &[RepoConfig]) -> Result<(), ConfigError> {
    for (place, repo) in repos.iter().enumerate() {
        if repos[..place].iter().any(|other| other.name == repo.name) {
            return Err(value_error(
                "repo.name",
                &format!("`{}` is there twice", repo.name),
            ));
        }
    }
    Ok(())
}

impl RawRepo {
    fn check(self) -> Result<RepoConfig, ConfigError> {
        let source = match (self.path, self.clone_url) {
            (Some(path), None) => RepoSource::Path(path),
            (None, Some(url)) => RepoSource::CloneUrl(url),
            (Some(_), Some(_)) | (None, None) => {
                let message = format!(
                    "`{}` needs either `path` (an existing clone) or `clone_url`",
                    self.name
                );
                return Err(value_error("repo", &message));
            }
        };
        let protection = Protection::except(&self.free_paths)
            .map_err(|error| value_error("repo.free_paths", &error.to_string()))?;
        Ok(RepoConfig {
            name: self.name,
            source,
            forge: self.forge,
            base_branch: self.base_branch,
            protection,
            mentions: logins(
                "repo.mentions",
                self.mentions.unwrap_or_else(default_mentions),
            )?,
            bots: logins("repo.bots", self.bots)?,
        })
    }
}

fn default_mentions() -> Vec<String> {
    vec!["huskies".to_owned()]
}

/// Logins as forges write them, without `@`; those of GitHub Apps end with `[bot]`.
fn logins(key: &str, logins: Vec<String>) -> Result<Vec<String>, ConfigError> {
    for login in &logins {
        let name = login.strip_suffix("[bot]").unwrap_or(login);
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if name.is_empty() || !name.chars().all(fits) {
            let message = format!("`{login}` is not a login such as `huskies` or `renovate[bot]`");
            return Err(value_error(key, &message));
        }
    }
    Ok(logins)
}

impl RawLimits {
    fn check(self) -> Result<Limits, ConfigError> {
        let default = Limits::default();
        let amount = |key: &str, dollars: Option<f64>, default: Usd| match dollars {
            None => Ok(default),
            Some(dollars) => Usd::from_dollars(dollars).ok_or_else(|| {
                value_error(key, &format!("`{dollars}` is not an amount in US dollars"))
            }),
        };
        let agents = self.agents.unwrap_or(default.agents);
        if agents == 0 {
            return Err(value_error(
                "limits.agents",
                "with 0 no agent could ever start",
            ));
        }
        Ok(Limits {
            per_story: amount(
                "limits.per_story_usd",
                self.per_story_usd,
                default.per_story,
            )?,
            per_day: amount("limits.per_day_usd", self.per_day_usd, default.per_day)?,
            agents,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"
        listen = "127.0.0.1:0"
        data_dir = "/var/lib/huskies"
        [forge.github]
        api_url = "https://api.github.com"
        token_env = "HUSKIES_GITHUB_TOKEN"
        webhook_secret_envs = ["HUSKIES_WEBHOOK_SECRET"]
        [[repo]]
        name = "octo/app"
        path = "/srv/app"
        forge = "github"
    "#;

    fn secrets() -> Environment {
        Environment::from_pairs([
            ("HUSKIES_GITHUB_TOKEN", "t"),
            ("HUSKIES_WEBHOOK_SECRET", "s"),
        ])
    }

    fn error(text: &str) -> String {
        ServerConfig::parse(text, "huskies.toml", &secrets())
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn the_documented_file_is_read_and_secrets_stay_out_of_debug_output() {
        let config = ServerConfig::parse(FILE, "huskies.toml", &secrets()).unwrap();
        assert_eq!(config.repos[0].source, RepoSource::Path("/srv/app".into()));
        assert_eq!(config.limits, Limits::default());
        let debug = format!("{config:?}");
        assert!(
            debug.contains("REDACTED") && !debug.contains("\"s\""),
            "{debug}"
        );
    }

    #[test]
    fn an_environment_variable_wins_over_the_file_also_for_repositories() {
        let environment = Environment::from_pairs([
            ("HUSKIES_GITHUB_TOKEN", "t"),
            ("A", "1"),
            ("B", "2"),
            ("HUSKIES_LISTEN", "127.0.0.1:9"),
            ("HUSKIES_FORGE_GITHUB_WEBHOOK_SECRET_ENVS", "A, B"),
            ("HUSKIES_LIMITS_PER_STORY_USD", "2.5"),
            ("HUSKIES_REPO_0_PATH", "/srv/other"),
            ("HUSKIES_REPO_1_NAME", "octo/two"),
            ("HUSKIES_REPO_1_CLONE_URL", "https://example.com/two.git"),
            ("HUSKIES_REPO_1_FORGE", "local"),
            ("HUSKIES_REPO_1_FREE_PATHS", "AGENTS.md, docs/**"),
            ("HUSKIES_AGENTS_RUNTIMES", "command"),
        ]);
        let config = ServerConfig::parse(FILE, "huskies.toml", &environment).unwrap();
        assert_eq!(config.listen.port(), 9);
        assert_eq!(config.github.unwrap().webhook_secrets.len(), 2);
        assert_eq!(config.limits.per_story, Usd::from_cents(250));
        assert_eq!(
            config.repos[0].source,
            RepoSource::Path("/srv/other".into())
        );
        assert_eq!(config.repos[1].forge, ForgeKind::Local);
        let touched = |place: usize| {
            let paths = ["AGENTS.md".to_owned()];
            config.repos[place].protection.touched(&paths).len()
        };
        assert_eq!((touched(0), touched(1)), (1, 0));
        assert_eq!(config.runtimes, [Runtime::Command]);
    }

    #[test]
    fn what_is_wrong_is_named_with_what_to_do() {
        insta::assert_snapshot!(error("listen = 'x'\ndata_dir = '/d'"), @"listen is not valid: `x` is not an address and port such as `127.0.0.1:8377`");
        insta::assert_snapshot!(error("data_dir = '/d'"), @"repo is not valid: it is missing: add a [[repo]] with `name`, `path` and `forge`");
        let unset = ServerConfig::parse(FILE, "huskies.toml", &Environment::default()).unwrap_err();
        insta::assert_snapshot!(unset, @"the environment variable HUSKIES_GITHUB_TOKEN is not set: set it to a token that may write issues, statuses and contents");
        insta::assert_snapshot!(error(&format!("{FILE}\nfree_paths = ['[']")), @"repo.free_paths is not valid: `[` is no glob: unclosed character class; missing ']'");
        assert!(error(&format!("colour = 1\n{FILE}")).contains("unknown field `colour`"));
        assert!(
            error(&FILE.replace("octo/app", "../app"))
                .contains("repository name such as `octo/app`")
        );
    }
}
