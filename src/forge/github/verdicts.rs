//! What statuses and check runs say about a commit, whoever wrote them ("REST API endpoints for commit
//! statuses", "… check runs"). GitHub keeps the two apart.

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::client::{Method, Request};
use super::pages::PAGE;
use super::{Github, repo_path};
use crate::domain::delivery::{CheckKind, CheckOutcome, CheckResult};
use crate::domain::id::{RepoName, Sha};
use crate::forge::ForgeError;

#[derive(Default, Deserialize)]
struct Output {
    title: Option<String>,
    summary: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct CheckRun {
    id: Option<u64>,
    pub(super) name: String,
    pub(super) conclusion: Option<String>,
    html_url: Option<String>,
    output: Option<Output>,
}

impl CheckRun {
    pub(super) fn has_failed(&self) -> bool {
        matches!(self.conclusion.as_deref(), Some("failure" | "timed_out"))
    }

    pub(super) fn failure_on(self, commit: &Sha) -> CheckResult {
        let output = self.output.unwrap_or_default();
        let title = output.title.filter(|title| !title.is_empty());
        CheckResult {
            kind: CheckKind::CheckRun,
            id: self.id,
            name: self.name,
            commit: commit.clone(),
            branch: None,
            outcome: CheckOutcome::Failure,
            summary: title.or(output.summary).unwrap_or_default(),
            url: self.html_url,
        }
    }
}

#[derive(Deserialize)]
struct CheckRuns {
    check_runs: Vec<CheckRun>,
}

#[derive(Deserialize)]
pub(super) struct Status {
    pub(super) context: String,
    pub(super) state: String,
    description: Option<String>,
    target_url: Option<String>,
}

impl Status {
    pub(super) fn has_failed(&self) -> bool {
        matches!(self.state.as_str(), "failure" | "error")
    }

    pub(super) fn failure_on(self, commit: &Sha) -> CheckResult {
        CheckResult {
            kind: CheckKind::Status,
            id: None,
            name: self.context,
            commit: commit.clone(),
            branch: None,
            outcome: CheckOutcome::Failure,
            summary: self.description.unwrap_or_default(),
            url: self.target_url,
        }
    }
}

#[derive(Deserialize)]
struct Combined {
    statuses: Vec<Status>,
}

impl Github {
    /// The newest status of each context and the newest check run of each name, as far as the token
    /// may see them.
    pub(super) async fn verdicts(
        &self,
        repo: &RepoName,
        commit: &Sha,
    ) -> Result<(Vec<Status>, Vec<CheckRun>), ForgeError> {
        let what = format!("the checks of {repo}@{}", commit.short());
        let path = format!("{}/commits/{commit}", repo_path(repo));
        let statuses = format!("{path}/status?per_page={PAGE}");
        let statuses: Option<Combined> = self.if_allowed(&what, statuses).await?;
        let runs = format!("{path}/check-runs?per_page={PAGE}");
        let runs: Option<CheckRuns> = self.if_allowed(&what, runs).await?;
        Ok((
            statuses.map_or_else(Vec::new, |combined| combined.statuses),
            runs.map_or_else(Vec::new, |runs| runs.check_runs),
        ))
    }

    /// `None` for what the token may not see, or the server does not have.
    pub(super) async fn if_allowed<T: DeserializeOwned>(
        &self,
        what: &str,
        path: String,
    ) -> Result<Option<T>, ForgeError> {
        let request = Request {
            method: Method::Get,
            path,
            what,
        };
        allowed(self.client.ask(request).await)
    }
}

/// `None` where it was not, or there is none of it: forges do not tell which.
pub(super) fn allowed<T>(answer: Result<T, ForgeError>) -> Result<Option<T>, ForgeError> {
    match answer {
        Ok(found) => Ok(Some(found)),
        Err(ForgeError::NotFound { .. } | ForgeError::Forbidden { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}
