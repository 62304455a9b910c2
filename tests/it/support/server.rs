//! The real binary: `huskies serve`, started, killed and started again on the same data.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde::Serialize;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use super::git;
use super::github_model::{Delivery, TOKEN, WEBHOOK_SECRET};
use super::patience::PATIENCE;

/// The server's configuration file, with the keys that are documented.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Config {
    listen: &'static str,
    data_dir: PathBuf,
    webhook: BTreeMap<&'static str, u64>,
    http: BTreeMap<&'static str, u64>,
    limits: BTreeMap<&'static str, u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    forge: Option<Forges>,
    repo: Vec<Repo>,
    #[serde(skip_serializing_if = "toml::Table::is_empty")]
    retention: toml::Table,
    #[serde(skip_serializing_if = "Option::is_none")]
    agents: Option<Agents>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sandbox: Option<&'static str>,
    walls: Walls,
    notify: BTreeMap<&'static str, Vec<String>>,
}

/// The scripted agent's folder is open to every story: it is where tests see what happened inside.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Walls {
    pub(crate) writable: Vec<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) network: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) hosts: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) memory_mb: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) processes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) disk_mb: Option<u64>,
}

#[derive(Debug, Clone, Serialize)]
struct Agents {
    runtimes: Vec<&'static str>,
}

#[derive(Debug, Clone, Serialize)]
struct Forges {
    github: Github,
}

#[derive(Debug, Clone, Serialize)]
struct Github {
    api_url: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    token_env: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token_file: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    app_id: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    private_key_file: Option<PathBuf>,
    webhook_secret_envs: Vec<&'static str>,
    webhook_secret_files: Vec<PathBuf>,
    write_spacing_ms: u64,
    redeliver_minutes: u64,
    look_secs: u64,
}

#[derive(Debug, Clone, Serialize)]
struct Repo {
    name: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    clone_url: Option<String>,
    forge: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    base_branch: Option<&'static str>,
    free_paths: Vec<&'static str>,
}

/// The repository that every test serves.
pub(crate) const REPO: &str = "octo/app";

impl Config {
    fn of(data_dir: &Path, forge: Option<Forges>, repo: Repo) -> Self {
        let agent = data_dir.with_file_name("agent");
        Self {
            sandbox: None,
            walls: Walls {
                writable: agent.is_dir().then_some(agent).into_iter().collect(),
                ..Walls::default()
            },
            listen: "127.0.0.1:0",
            data_dir: data_dir.to_owned(),
            webhook: BTreeMap::new(),
            http: BTreeMap::new(),
            limits: BTreeMap::new(),
            forge,
            repo: vec![repo],
            retention: toml::Table::new(),
            agents: None,
            notify: BTreeMap::new(),
        }
    }

    /// Serves the clone at `path`, whose forge is GitHub at `api_url`.
    pub(crate) fn github(data_dir: &Path, api_url: &str, path: &Path) -> Self {
        let github = Github {
            api_url: api_url.to_owned(),
            token_env: Some("HUSKIES_GITHUB_TOKEN"),
            token_file: None,
            app_id: None,
            private_key_file: None,
            webhook_secret_envs: vec!["HUSKIES_WEBHOOK_SECRET", "HUSKIES_OLD_WEBHOOK_SECRET"],
            webhook_secret_files: Vec::new(),
            write_spacing_ms: 0,
            redeliver_minutes: 0,
            look_secs: 3_600,
        };
        let repo = Repo {
            name: REPO,
            path: Some(path.to_owned()),
            clone_url: None,
            forge: "github",
            base_branch: None,
            free_paths: Vec::new(),
        };
        Self::of(data_dir, Some(Forges { github }), repo)
    }

    /// Serves the clone at `path` with the built-in forge.
    pub(crate) fn local(data_dir: &Path, path: &Path) -> Self {
        let repo = Repo {
            name: REPO,
            path: Some(path.to_owned()),
            clone_url: None,
            forge: "local",
            base_branch: None,
            free_paths: Vec::new(),
        };
        Self::of(data_dir, None, repo)
    }

    /// Instead of an existing clone, a URL to clone from.
    pub(crate) fn cloned_from(mut self, url: &str) -> Self {
        for repo in &mut self.repo {
            repo.path = None;
            repo.clone_url = Some(url.to_owned());
        }
        self
    }

    /// Paths that need nobody's approval.
    pub(crate) fn free_paths(mut self, globs: &[&'static str]) -> Self {
        for repo in &mut self.repo {
            repo.free_paths = globs.to_vec();
        }
        self
    }

    /// The runtimes that projects may use.
    pub(crate) fn runtimes(mut self, names: &[&'static str]) -> Self {
        let runtimes = names.to_vec();
        self.agents = Some(Agents { runtimes });
        self
    }

    pub(crate) fn sandbox_off(mut self) -> Self {
        self.sandbox = Some("off");
        self
    }

    pub(crate) fn walls(mut self, change: impl FnOnce(&mut Walls)) -> Self {
        change(&mut self.walls);
        self
    }

    /// One key of `[retention]`.
    pub(crate) fn retention(mut self, key: &str, value: i64) -> Self {
        self.retention.insert(key.to_owned(), value.into());
        self
    }

    /// Another data folder.
    pub(crate) fn in_folder(mut self, data_dir: &Path) -> Self {
        data_dir.clone_into(&mut self.data_dir);
        self
    }

    /// Another repository on the same GitHub.
    pub(crate) fn also(mut self, name: &'static str, url: &str) -> Self {
        self.repo.push(Repo {
            name,
            path: None,
            clone_url: Some(url.to_owned()),
            forge: "github",
            base_branch: None,
            free_paths: Vec::new(),
        });
        self
    }

    /// One more file with webhook secrets, behind those that there are.
    pub(crate) fn also_webhook_secrets(mut self, file: &Path) -> Self {
        if let Some(Forges { github }) = &mut self.forge {
            github.webhook_secret_files.push(file.to_owned());
        }
        self
    }

    /// Secrets from these files and from nowhere else.
    pub(crate) fn secret_files(mut self, token: &Path, webhook_secrets: &Path) -> Self {
        if let Some(Forges { github }) = &mut self.forge {
            github.token_env = None;
            github.token_file = Some(token.to_owned());
            github.webhook_secret_envs = Vec::new();
            github.webhook_secret_files = vec![webhook_secrets.to_owned()];
        }
        self
    }

    /// How often missed deliveries are asked for; otherwise never.
    pub(crate) fn redeliver_minutes(mut self, minutes: u64) -> Self {
        if let Some(Forges { github }) = &mut self.forge {
            github.redeliver_minutes = minutes;
        }
        self
    }

    /// How often the forge is looked at for what no delivery told.
    pub(crate) fn look_secs(mut self, seconds: u64) -> Self {
        if let Some(Forges { github }) = &mut self.forge {
            github.look_secs = seconds;
        }
        self
    }

    /// No webhook can reach the server.
    pub(crate) fn without_webhooks(mut self) -> Self {
        if let Some(Forges { github }) = &mut self.forge {
            github.webhook_secret_envs = Vec::new();
        }
        self
    }

    /// A command that is told when the forge cannot be used.
    pub(crate) fn notify(mut self, command: &[&str]) -> Self {
        let command = command.iter().map(ToString::to_string).collect();
        self.notify.insert("command", command);
        self
    }

    /// As a GitHub App whose key is in this file, instead of with a token.
    pub(crate) fn app(mut self, app_id: u64, key: &Path) -> Self {
        if let Some(Forges { github }) = &mut self.forge {
            github.token_env = None;
            github.app_id = Some(app_id);
            github.private_key_file = Some(key.to_owned());
        }
        self
    }

    pub(crate) fn max_body_bytes(mut self, bytes: u64) -> Self {
        self.webhook.insert("max_body_bytes", bytes);
        self
    }

    /// How deep the inbox may get.
    pub(crate) fn max_pending(mut self, deliveries: u64) -> Self {
        self.webhook.insert("max_pending", deliveries);
        self
    }

    /// A key of `[http]`.
    pub(crate) fn http(mut self, key: &'static str, value: u64) -> Self {
        self.http.insert(key, value);
        self
    }

    /// How many agents may run at the same time, and money for them.
    pub(crate) fn agents(mut self, agents: u64) -> Self {
        self.limits.insert("agents", agents);
        self.limits.insert("per_day_usd", agents * 100);
        self
    }
}

/// A running server. Dropping it kills it; what it started is the [`super::scene::Scene`]'s to end.
pub(crate) struct Server {
    folder: PathBuf,
    config: PathBuf,
    process: Child,
    url: String,
    client: reqwest::Client,
}

/// What the server answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Null when the answer was no JSON.
    pub(crate) body: Value,
}

impl Server {
    /// Writes the configuration into `folder` and starts the binary.
    ///
    /// # Panics
    /// When it does not come up.
    pub(crate) async fn start(folder: &Path, config: &Config) -> Self {
        Self::launch(folder, config, &[])
            .await
            .unwrap_or_else(|status| {
                panic!(
                    "the server ended with {status}:\n{}",
                    standard_error(folder)
                )
            })
    }

    /// Starts it with more variables in its environment; `Err` when it ended before it listened.
    pub(crate) async fn launch(
        folder: &Path,
        config: &Config,
        variables: &[(&str, &str)],
    ) -> Result<Self, ExitStatus> {
        let file = folder.join("huskies.toml");
        let text = toml::to_string(config).expect("the configuration is TOML");
        std::fs::write(&file, text).expect("a temp folder can be written to");
        Self::spawn(folder, &file, |mut serve| {
            serve.envs(variables.iter().copied());
            serve
        })
        .await
    }

    /// Starts it in another way: `change` gets the command and gives back the one to run.
    pub(crate) async fn start_by(
        folder: &Path,
        config: &Config,
        change: impl FnOnce(Command) -> Command,
    ) -> Result<Self, ExitStatus> {
        let file = folder.join("huskies.toml");
        let text = toml::to_string(config).expect("the configuration is TOML");
        std::fs::write(&file, text).expect("a temp folder can be written to");
        Self::spawn(folder, &file, change).await
    }

    async fn spawn(
        folder: &Path,
        config: &Path,
        change: impl FnOnce(Command) -> Command,
    ) -> Result<Self, ExitStatus> {
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(folder.join("server.log"))
            .expect("a temp folder can be written to");
        let mut serve = binary(folder);
        serve.args(["serve", "--config"]).arg(config);
        let mut process = change(serve)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .expect("the binary can be run");
        let Some(url) = listening(&mut process, folder).await else {
            return Err(process.wait().await.expect("a child can be waited for"));
        };
        Ok(Self {
            folder: folder.to_owned(),
            config: config.to_owned(),
            process,
            url,
            client: reqwest::Client::new(),
        })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        let address = self.url.trim_start_matches("http://");
        address.parse().expect("an address and a port")
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.id().expect("the server runs")
    }

    /// The token of the API, from where the command line finds it.
    pub(crate) fn api_token(data_dir: &Path) -> String {
        let file = std::fs::read(data_dir.join("server.json")).expect("a running server has one");
        let file: Value = serde_json::from_slice(&file).expect("it is JSON");
        file["token"].as_str().expect("it has a token").to_owned()
    }

    /// Everything it wrote to stderr, over all restarts.
    pub(crate) fn log(&self) -> String {
        standard_error(&self.folder)
    }

    /// Ends it as a power cut would.
    pub(crate) async fn kill_9(&mut self) {
        self.process
            .kill()
            .await
            .expect("the server runs until it is killed");
    }

    /// Asks it to end, and waits until it did.
    pub(crate) async fn stop(&mut self) -> ExitStatus {
        let pid = self.process.id().and_then(|pid| i32::try_from(pid).ok());
        let pid = pid
            .and_then(Pid::from_raw)
            .expect("the server runs until it is stopped");
        kill_process(pid, Signal::TERM).expect("an own child can be signalled");
        tokio::time::timeout(PATIENCE, self.process.wait())
            .await
            .expect("the server ends when it is asked to")
            .expect("a child can be waited for")
    }

    /// Waits until it is gone by itself.
    pub(crate) async fn gone(&mut self) -> ExitStatus {
        self.process
            .wait()
            .await
            .expect("a child can be waited for")
    }

    /// Starts it again on the same data, on another port.
    pub(crate) async fn restart(&mut self) {
        self.restart_with(&[]).await;
    }

    /// The same with more variables in its environment.
    pub(crate) async fn restart_with(&mut self, variables: &[(&str, &str)]) {
        let change = |mut serve: Command| {
            serve.envs(variables.iter().copied());
            serve
        };
        *self = Self::spawn(&self.folder, &self.config, change)
            .await
            .unwrap_or_else(|status| {
                panic!(
                    "the server ended with {status} when it was started again:\n{}",
                    self.log()
                )
            });
    }

    /// Sends a delivery; `Err` when nobody answered.
    pub(crate) async fn try_deliver(&self, delivery: &Delivery) -> reqwest::Result<Answer> {
        let mut request = self
            .client
            .post(format!("{}/webhooks/github", self.url))
            .body(delivery.body.clone());
        for (name, value) in delivery.headers() {
            request = request.header(name, value);
        }
        answer(request.send().await?).await
    }

    /// Sends a delivery.
    ///
    /// # Panics
    /// When nobody answers.
    pub(crate) async fn deliver(&self, delivery: &Delivery) -> Answer {
        self.try_deliver(delivery).await.unwrap_or_else(|error| {
            panic!("nobody took the delivery: {error}\n{}", self.log());
        })
    }

    /// Asks the JSON API (or a health route); `path` begins with a slash. `Err` when nobody
    /// answered.
    pub(crate) async fn try_get(&self, path: &str) -> reqwest::Result<Answer> {
        let url = format!("{}{path}", self.url);
        answer(self.client.get(url).send().await?).await
    }

    /// As [`Self::try_get`].
    ///
    /// # Panics
    /// When nobody answers.
    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.try_get(path)
            .await
            .unwrap_or_else(|error| panic!("GET {path}: {error}\n{}", self.log()))
    }
}

async fn answer(response: reqwest::Response) -> reqwest::Result<Answer> {
    let status = response.status().as_u16();
    let body = response.bytes().await?;
    Ok(Answer {
        status,
        body: serde_json::from_slice(&body).unwrap_or(Value::Null),
    })
}

/// The first line on stdout, which says where the server listens; `None` when it ended before.
async fn listening(process: &mut Child, folder: &Path) -> Option<String> {
    let stdout = process.stdout.take().expect("stdout is piped");
    let mut lines = BufReader::new(stdout).lines();
    let line = tokio::time::timeout(PATIENCE, lines.next_line())
        .await
        .unwrap_or_else(|_| panic!("the server does not listen:\n{}", standard_error(folder)))
        .expect("a pipe can be read")?;
    let said: Value = serde_json::from_str(&line)
        .unwrap_or_else(|error| panic!("the first line on stdout is `{line}`: {error}"));
    Some(
        said["listening"]
            .as_str()
            .expect("the first line says where it listens")
            .to_owned(),
    )
}

fn standard_error(folder: &Path) -> String {
    std::fs::read_to_string(folder.join("server.log")).unwrap_or_default()
}

/// The binary with nothing of this process's environment but the search path.
#[expect(
    clippy::disallowed_methods,
    reason = "programs are found by the search path of whoever runs the tests"
)]
pub(crate) fn binary(folder: &Path) -> Command {
    let home = folder.join("home");
    std::fs::create_dir_all(&home).expect("a temp folder can be written to");
    let mut command = Command::new(env!("CARGO_BIN_EXE_huskies"));
    command
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", home)
        .env("TMPDIR", folder)
        .env("HUSKIES_GITHUB_TOKEN", TOKEN)
        .env("HUSKIES_WEBHOOK_SECRET", WEBHOOK_SECRET)
        .env("HUSKIES_OLD_WEBHOOK_SECRET", "the secret before this one")
        .envs(git::HERMETIC);
    command
}
