//! Which server a command is about: the one a configuration file names, or, inside a git
//! repository without one, that repository's own with the built-in forge.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use serde::Serialize;

use super::CliError;
use crate::config::environment::Environment;
use crate::config::server::ServerConfig;
use crate::domain::id::{RepoName, Slug};

/// Where Claude Code keeps its login, in the home.
const CLAUDE_LOGIN: &str = "~/.claude/.credentials.json";

/// The options that every command about a server has.
#[derive(Debug, Clone, Args)]
pub(super) struct PlaceArgs {
    /// The server's configuration file; without one, this git repository with the built-in forge
    #[arg(long, value_name = "FILE", env = "HUSKIES_CONFIG", global = true)]
    pub config: Option<PathBuf>,
}

impl PlaceArgs {
    /// The whole configuration, for a server.
    pub(super) fn server(&self, environment: &Environment) -> Result<ServerConfig, CliError> {
        match &self.config {
            Some(file) => ServerConfig::load(file, environment).map_err(CliError::usage),
            None => here(environment),
        }
    }

    /// The data folder alone, which needs no secret: enough to find a running server.
    pub(super) fn data_dir(&self, environment: &Environment) -> Result<PathBuf, CliError> {
        match &self.config {
            Some(file) => ServerConfig::data_dir(file, environment).map_err(CliError::usage),
            None => Ok(here(environment)?.data_dir),
        }
    }
}

/// What a configuration file for one repository would say.
#[derive(Debug, Serialize)]
struct OwnConfig<'a> {
    listen: &'a str,
    data_dir: PathBuf,
    repo: [OwnRepo<'a>; 1],
    agents: OwnAgents<'a>,
}

#[derive(Debug, Serialize)]
struct OwnRepo<'a> {
    name: &'a str,
    path: &'a Path,
    forge: &'a str,
}

#[derive(Debug, Serialize)]
struct OwnAgents<'a> {
    credentials: [&'a str; 1],
}

/// A server for the repository around the current folder. Its data lies in the repository's git
/// folder, where no commit can catch it. Variables of the environment count as with a file.
fn here(environment: &Environment) -> Result<ServerConfig, CliError> {
    let hint = "name a configuration with --config, or go into a git repository";
    let repository = git2::Repository::discover(".")
        .context("there is no git repository here")
        .map_err(|error| CliError::usage(error).hint(hint))?;
    let Some(root) = repository.workdir() else {
        let error = anyhow::anyhow!("{} is a bare repository", repository.path().display());
        return Err(CliError::usage(error).hint(hint));
    };
    let name = local_name(root)?;
    let own = OwnConfig {
        listen: "127.0.0.1:0",
        data_dir: repository.commondir().join("huskies"),
        repo: [OwnRepo {
            name: name.as_str(),
            path: root,
            forge: "local",
        }],
        agents: OwnAgents {
            credentials: [CLAUDE_LOGIN],
        },
    };
    let text = toml::to_string(&own).map_err(anyhow::Error::new)?;
    ServerConfig::parse(&text, "the environment", environment).map_err(CliError::usage)
}

/// The root of the work tree around a folder, where the project file is; the folder itself where
/// there is no git repository. Reads the disk.
pub(super) fn root_around(folder: &Path) -> PathBuf {
    git2::Repository::discover(folder)
        .ok()
        .and_then(|repository| repository.workdir().map(Path::to_owned))
        .unwrap_or_else(|| folder.to_owned())
}

/// `local/<folder>`, as far as the folder's name can be one.
fn local_name(root: &Path) -> Result<RepoName, CliError> {
    let folder = root
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default();
    let name = format!("local/{folder}")
        .parse()
        .or_else(|_| format!("local/{}", Slug::from_title(&folder)).parse());
    name.map_err(CliError::usage)
}
