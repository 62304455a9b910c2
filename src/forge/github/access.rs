//! What a token may do, permission by permission, without doing any of it.
//!
//! An App's installation says it, and so do the scopes of a classic token. A fine-grained token
//! does not: it is asked with requests that lack what they must have, which GitHub answers 422
//! where they would be allowed, and 403 or 404 where not.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::json;

use super::client::{Method, Request};
use super::needs::{By, NEEDS, Need};
use super::{Github, TokenKind, repo_path};
use crate::domain::id::RepoName;
use crate::forge::ForgeError;

/// Whether a permission is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grant {
    There,
    Missing,
    Unknown,
}

/// A repository's row: what is needed and whether it is there.
pub type Access = Vec<(Need, Grant)>;

#[derive(Deserialize)]
struct Installation {
    #[serde(default)]
    permissions: BTreeMap<String, String>,
}

impl Github {
    /// What may be done with one repository, for each thing that is needed.
    ///
    /// # Errors
    /// When the repository cannot be seen at all, or GitHub cannot be asked.
    pub async fn access(&self, repo: &RepoName) -> Result<Access, ForgeError> {
        match self.token_kind() {
            TokenKind::App => self.access_of_app(repo).await,
            TokenKind::Classic => self.access_of_classic(repo).await,
            TokenKind::FineGrained | TokenKind::Other => self.access_by_asking(repo).await,
        }
    }

    async fn access_of_app(&self, repo: &RepoName) -> Result<Access, ForgeError> {
        // A token that an App gave away, without the App.
        let Some(app) = self.client.app() else {
            return self.access_by_asking(repo).await;
        };
        let what = format!("the App's installation on {repo}");
        let request = Request {
            method: Method::Get,
            path: format!("{}/installation", repo_path(repo)),
            what: &what,
        };
        let answer = self.client.send_as_app(app, &request).await?;
        let found: Installation = answer.read(&what)?;
        let grant = |need: &Need| {
            let level = found.permissions.get(need.permission).map(String::as_str);
            match level {
                Some("write" | "admin") => Grant::There,
                Some("read") if need.access == "read" => Grant::There,
                Some(_) | None => Grant::Missing,
            }
        };
        let needs = NEEDS.iter().filter(|need| need.by != By::Tokens);
        Ok(needs.map(|need| (*need, grant(need))).collect())
    }

    async fn access_of_classic(&self, repo: &RepoName) -> Result<Access, ForgeError> {
        let what = repo.to_string();
        let request = Request {
            method: Method::Get,
            path: repo_path(repo),
            what: &what,
        };
        let answer = self.client.send(request).await?;
        answer.check(&what)?;
        let Some(scopes) = &answer.headers.scopes else {
            return self.access_by_asking(repo).await;
        };
        let scopes: Vec<&str> = scopes.split(',').map(str::trim).collect();
        let grant = |need: &Need| match need.scopes.iter().any(|scope| scopes.contains(scope)) {
            true => Grant::There,
            // A public repository is seen without any scope.
            false if need.access == "read" => Grant::There,
            false => Grant::Missing,
        };
        let needs = NEEDS.iter().filter(|need| need.by != By::Apps);
        Ok(needs.map(|need| (*need, grant(need))).collect())
    }

    async fn access_by_asking(&self, repo: &RepoName) -> Result<Access, ForgeError> {
        let mut access = Access::new();
        for need in NEEDS.iter().filter(|need| need.by != By::Apps) {
            access.push((*need, self.ask_about(repo, need).await?));
        }
        Ok(access)
    }

    async fn ask_about(&self, repo: &RepoName, need: &Need) -> Result<Grant, ForgeError> {
        let lacking = || Method::Post(json!({}));
        let (method, below) = match need.permission {
            "metadata" => (Method::Get, String::new()),
            "actions" => (Method::Get, "/actions/runs?per_page=1".to_owned()),
            "contents" => (lacking(), "/git/refs".to_owned()),
            "issues" => (lacking(), "/labels".to_owned()),
            "statuses" => (lacking(), format!("/statuses/{}", "0".repeat(40))),
            "pull_requests" => (lacking(), "/pulls".to_owned()),
            "repository_hooks" => (lacking(), "/hooks".to_owned()),
            _ => return Ok(Grant::Unknown),
        };
        let what = format!("`{}` of {repo}", need.permission);
        let path = format!("{}{below}", repo_path(repo));
        let request = Request {
            method,
            path,
            what: &what,
        };
        let answer = self.client.send(request).await?;
        match answer.status {
            200..=299 | 400 | 422 => Ok(Grant::There),
            403 | 404 => Ok(Grant::Missing),
            _ => answer.check(&what).map(|()| Grant::Unknown),
        }
    }
}
