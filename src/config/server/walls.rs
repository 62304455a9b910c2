//! `[walls]`: what the sandbox opens and limits. Only the server's owner can open anything.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::super::error::{ConfigError, value_error};

/// The hosts that agents and package managers need most often. A source host such as github.com is
/// not among them: whoever can push there can carry anything out.
const HOSTS: [&str; 16] = [
    "api.anthropic.com",
    "platform.claude.com",
    "api.openai.com",
    "chatgpt.com",
    "auth.openai.com",
    "generativelanguage.googleapis.com",
    "index.crates.io",
    "static.crates.io",
    "crates.io",
    "registry.npmjs.org",
    "registry.yarnpkg.com",
    "pypi.org",
    "files.pythonhosted.org",
    "proxy.golang.org",
    "sum.golang.org",
    "repo.maven.apache.org",
];

/// How much of the network there is inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NetworkChoice {
    All,
    #[default]
    Hosts,
    None,
}

/// What every sandbox of this server is like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WallsConfig {
    pub readable: Vec<PathBuf>,
    /// Shared by all stories: what one writes, the next one reads.
    pub writable: Vec<PathBuf>,
    pub network: NetworkChoice,
    pub hosts: Vec<String>,
    pub memory_mb: u64,
    pub processes: u64,
    pub open_files: u64,
    pub disk_mb: u64,
}

impl Default for WallsConfig {
    fn default() -> Self {
        Self {
            readable: Vec::new(),
            writable: Vec::new(),
            network: NetworkChoice::default(),
            hosts: HOSTS.map(str::to_owned).into(),
            memory_mb: 8192,
            processes: 2048,
            open_files: 16384,
            disk_mb: 10240,
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawWalls {
    readable: Vec<PathBuf>,
    writable: Vec<PathBuf>,
    network: NetworkChoice,
    hosts: Option<Vec<String>>,
    memory_mb: Option<u64>,
    processes: Option<u64>,
    open_files: Option<u64>,
    disk_mb: Option<u64>,
}

impl RawWalls {
    pub(super) fn check(self, home: Option<&str>) -> Result<WallsConfig, ConfigError> {
        let default = WallsConfig::default();
        // Far above anything sensible, and still without an overflow when made to bytes.
        let number = |key: &str, value: Option<u64>, default| match value {
            None => Ok(default),
            Some(value @ 1..=0xffff_ffff) => Ok(value),
            Some(_) => Err(value_error(key, "it must be between 1 and 4294967295")),
        };
        Ok(WallsConfig {
            readable: at_home(self.readable, home),
            writable: at_home(self.writable, home),
            network: self.network,
            hosts: self.hosts.unwrap_or(default.hosts),
            memory_mb: number("walls.memory_mb", self.memory_mb, default.memory_mb)?,
            processes: number("walls.processes", self.processes, default.processes)?,
            open_files: number("walls.open_files", self.open_files, default.open_files)?,
            disk_mb: number("walls.disk_mb", self.disk_mb, default.disk_mb)?,
        })
    }
}

impl WallsConfig {
    pub(super) fn relative_to(self, folder: &Path) -> Self {
        Self {
            readable: below(folder, &self.readable),
            writable: below(folder, &self.writable),
            ..self
        }
    }
}

pub(super) fn below(folder: &Path, paths: &[PathBuf]) -> Vec<PathBuf> {
    paths.iter().map(|path| folder.join(path)).collect()
}

/// `~/` is the home of the server's user.
pub(super) fn at_home(paths: Vec<PathBuf>, home: Option<&str>) -> Vec<PathBuf> {
    let place = |path: PathBuf| match (path.strip_prefix("~"), home) {
        (Ok(rest), Some(home)) => Path::new(home).join(rest),
        (Ok(_) | Err(_), _) => path,
    };
    paths.into_iter().map(place).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tilde_is_the_home_and_other_paths_begin_at_the_file() {
        let raw: RawWalls = toml::from_str("readable = ['~/a', 'b', '/c']").unwrap();
        let walls = raw
            .check(Some("/home/ada"))
            .unwrap()
            .relative_to(Path::new("/etc/huskies"));
        let expected = ["/home/ada/a", "/etc/huskies/b", "/c"].map(PathBuf::from);
        assert_eq!(walls.readable, expected);
    }

    #[test]
    fn a_limit_of_nothing_and_an_unknown_key_are_refused() {
        let raw: RawWalls = toml::from_str("processes = 0").unwrap();
        insta::assert_snapshot!(raw.check(None).unwrap_err(), @"walls.processes is not valid: it must be between 1 and 4294967295");
        assert!(toml::from_str::<RawWalls>("network = 'some'").is_err());
        assert!(toml::from_str::<RawWalls>("wall = 1").is_err());
    }
}
