//! The ways to GitHub that a configuration names: one for a token, and one for each installation of
//! an App, since limits and tokens belong to those.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::config::server::{GitHubConfig, GitHubIdentity, ServerConfig};
use crate::domain::id::RepoName;
use crate::forge::{AppSettings, Credentials, Github, GithubSettings};

/// One for each repository on GitHub; repositories of one installation share it.
pub(super) type Ways = BTreeMap<RepoName, Arc<Github>>;

/// Sends nothing yet.
pub(super) fn ways(config: &ServerConfig) -> anyhow::Result<Ways> {
    let mut made: BTreeMap<String, Arc<Github>> = BTreeMap::new();
    let mut ways = Ways::new();
    for (github, repo) in config.on_github() {
        let installation = installation_of(github, &repo.name);
        let way = match made.get(&installation) {
            Some(way) => Arc::clone(way),
            None => Arc::new(way(github, &repo.name)?),
        };
        made.insert(installation, Arc::clone(&way));
        ways.insert(repo.name.clone(), way);
    }
    Ok(ways)
}

/// An App is installed once for each owner of repositories.
fn installation_of(config: &GitHubConfig, repo: &RepoName) -> String {
    match &config.identity {
        GitHubIdentity::Token(_)
        | GitHubIdentity::App {
            installation_id: Some(_),
            ..
        } => String::new(),
        GitHubIdentity::App {
            installation_id: None,
            ..
        } => repo.owner().to_ascii_lowercase(),
    }
}

/// The way to one repository and to those beside it.
pub fn way(config: &GitHubConfig, repo: &RepoName) -> anyhow::Result<Github> {
    let credentials = match &config.identity {
        GitHubIdentity::Token(token) => Credentials::Token(token.clone()),
        GitHubIdentity::App {
            app_id,
            key,
            installation_id,
        } => Credentials::App(AppSettings {
            app_id: *app_id,
            key: key.clone(),
            installation_id: *installation_id,
            repo: repo.clone(),
        }),
    };
    Ok(Github::new(&GithubSettings {
        api_url: config.api_url.clone(),
        credentials,
        write_spacing: config.write_spacing,
    })?)
}
