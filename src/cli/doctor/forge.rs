//! What GitHub allows: each permission that is missing, and what does not work without it.

use super::Finding;
use crate::app::way_to_github;
use crate::config::server::{GitHubConfig, ServerConfig};
use crate::domain::id::RepoName;
use crate::forge::{Grant, TokenKind};

pub(super) async fn all(config: &ServerConfig) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (github, repo) in config.on_github() {
        findings.extend(of_repo(github, &repo.name).await);
    }
    findings
}

async fn of_repo(github: &GitHubConfig, repo: &RepoName) -> Vec<Finding> {
    let probe = format!("GitHub, {repo}");
    let way = match way_to_github(github, repo) {
        Ok(way) => way,
        Err(error) => return vec![Finding::does_not_hold(&probe, format!("{error:#}"))],
    };
    let login = match way.own_login().await {
        Ok(login) => login,
        Err(error) => return vec![Finding::does_not_hold(&probe, error.to_string())],
    };
    let access = match way.access(repo).await {
        Ok(access) => access,
        Err(error) => return vec![Finding::does_not_hold(&probe, error.to_string())],
    };
    let kind = match way.token_kind() {
        TokenKind::Classic => "a classic token",
        TokenKind::FineGrained => "a fine-grained token",
        TokenKind::App => "an App",
        TokenKind::Other => "a token",
    };
    let mut findings = vec![Finding::ok(&probe, format!("as `{login}`, with {kind}"))];
    for (need, grant) in access {
        let probe = format!("{} of {repo}", need.permission);
        let (access, feature) = (need.access, need.feature);
        findings.push(match grant {
            Grant::There => Finding::ok(&probe, format!("{access}: {feature}")),
            Grant::Missing => Finding::does_not_hold(
                &probe,
                format!("give it {access}: without it there is no {feature}"),
            ),
            Grant::Unknown => Finding::cannot_tell(
                &probe,
                format!("GitHub does not tell of this kind of token; {access} is for {feature}"),
            ),
        });
    }
    findings
}
