//! Which server a command is about: the one a configuration file names, or, inside a git
//! repository without one, that repository's own with the built-in forge.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;

use super::CliError;
use crate::config::environment::Environment;
use crate::config::server::{
    ForgeKind, HttpConfig, Identity, RepoConfig, RepoSource, Retention, ServerConfig,
};
use crate::domain::account::Limits;
use crate::domain::id::{RepoName, Slug};
use crate::domain::policy::Protection;
use crate::domain::project::Runtime;

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
            None => here(),
        }
    }

    /// The data folder alone, which needs no secret: enough to find a running server.
    pub(super) fn data_dir(&self, environment: &Environment) -> Result<PathBuf, CliError> {
        match &self.config {
            Some(file) => ServerConfig::data_dir(file, environment).map_err(CliError::usage),
            None => Ok(here()?.data_dir),
        }
    }
}

/// A server for the repository around the current folder. Its data lies in the repository's git
/// folder, where no commit can catch it.
fn here() -> Result<ServerConfig, CliError> {
    let hint = "name a configuration with --config, or go into a git repository";
    let repository = git2::Repository::discover(".")
        .context("there is no git repository here")
        .map_err(|error| CliError::usage(error).hint(hint))?;
    let Some(root) = repository.workdir() else {
        let error = anyhow::anyhow!("{} is a bare repository", repository.path().display());
        return Err(CliError::usage(error).hint(hint));
    };
    Ok(ServerConfig {
        listen: ([127, 0, 0, 1], 0).into(),
        data_dir: repository.commondir().join("huskies"),
        github: None,
        repos: vec![RepoConfig {
            name: local_name(root)?,
            source: RepoSource::Path(root.to_owned()),
            forge: ForgeKind::Local,
            base_branch: None,
            protection: Protection::default(),
        }],
        limits: Limits::default(),
        max_body_bytes: 0,
        max_pending: 0,
        http: HttpConfig::default(),
        identity: Identity::default(),
        retention: Retention::default(),
        agent_environment: Vec::new(),
        runtimes: Runtime::ALL.to_vec(),
    })
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
