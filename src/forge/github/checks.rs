//! Check runs, which GitHub takes from Apps alone ("Using the REST API to interact with checks").
//!
//! Annotations are added to those that are there with every request ("Update a check run"), so how
//! many there are is asked first: a request whose answer got lost is not made up for twice.

use serde::Deserialize;
use serde_json::{Value, json};

use super::client::{Method, Request};
use super::{Github, PAGE, repo_path};
use crate::domain::id::{RepoName, Sha};
use crate::forge::{Annotation, CheckId, CheckRun, CheckState, ForgeError};

#[derive(Deserialize)]
struct Found {
    id: u64,
    external_id: Option<String>,
    #[serde(default)]
    output: Output,
}

#[derive(Default, Deserialize)]
struct Output {
    #[serde(default)]
    annotations_count: usize,
}

#[derive(Deserialize)]
struct Listed {
    check_runs: Vec<Found>,
}

impl Github {
    pub(super) async fn write_check_run(
        &self,
        repo: &RepoName,
        commit: &Sha,
        (known, check): (Option<&CheckId>, &CheckRun),
    ) -> Result<CheckId, ForgeError> {
        let found = match known {
            Some(id) => self.known_check_run(repo, id, check).await?,
            None => self.own_check_run(repo, commit, check).await?,
        };
        let (id, mut sent) = match found {
            Some(found) => {
                let sent = found.output.annotations_count;
                let upto = self.change(repo, (found.id, sent), check).await?;
                (found.id, upto)
            }
            None => self.create(repo, commit, check).await?,
        };
        while sent < check.annotations.len() {
            sent = self.change(repo, (id, sent), check).await?;
        }
        Ok(CheckId(id.to_string()))
    }

    /// Only what has annotations must not be written twice.
    async fn known_check_run(
        &self,
        repo: &RepoName,
        id: &CheckId,
        check: &CheckRun,
    ) -> Result<Option<Found>, ForgeError> {
        let what = format!("check run {} of {repo}", id.0);
        if check.annotations.is_empty() {
            let id = id.0.parse().map_err(|_| ForgeError::NotFound { what })?;
            return Ok(Some(Found {
                id,
                external_id: None,
                output: Output::default(),
            }));
        }
        let request = Request {
            method: Method::Get,
            path: format!("{}/check-runs/{}", repo_path(repo), id.0),
            what: &what,
        };
        self.client.ask(request).await.map(Some)
    }

    /// The one that is there under the same name and id.
    async fn own_check_run(
        &self,
        repo: &RepoName,
        commit: &Sha,
        check: &CheckRun,
    ) -> Result<Option<Found>, ForgeError> {
        let what = format!("the check runs of {repo}@{}", commit.short());
        let name = super::client::segment(&check.name);
        let app = self
            .client
            .app()
            .map_or_else(String::new, |app| format!("&app_id={}", app.id()));
        let path = format!(
            "{}/commits/{commit}/check-runs?check_name={name}&filter=all&per_page={PAGE}{app}",
            repo_path(repo)
        );
        let request = Request {
            method: Method::Get,
            path,
            what: &what,
        };
        let listed: Listed = self.client.ask(request).await?;
        let mut found = listed.check_runs.into_iter();
        Ok(found.find(|found| found.external_id.as_ref() == Some(&check.external_id)))
    }

    /// The new one, and how many of its annotations it has.
    async fn create(
        &self,
        repo: &RepoName,
        commit: &Sha,
        check: &CheckRun,
    ) -> Result<(u64, usize), ForgeError> {
        let what = format!(
            "the check run `{}` of {repo}@{}",
            check.name,
            commit.short()
        );
        let (mut body, upto) = body(check, 0);
        body["head_sha"] = json!(commit.as_str());
        let request = Request {
            method: Method::Post(body),
            path: format!("{}/check-runs", repo_path(repo)),
            what: &what,
        };
        let created: Found = self.client.ask(request).await?;
        Ok((created.id, upto))
    }

    /// How many of its annotations it has then.
    async fn change(
        &self,
        repo: &RepoName,
        (id, sent): (u64, usize),
        check: &CheckRun,
    ) -> Result<usize, ForgeError> {
        let what = format!("check run {id} of {repo}");
        let (body, upto) = body(check, sent);
        let request = Request {
            method: Method::Patch(body),
            path: format!("{}/check-runs/{id}", repo_path(repo)),
            what: &what,
        };
        self.client.tell(request).await?;
        Ok(upto)
    }
}

/// A request with the next annotations after the first `sent`, and how many are sent then.
fn body(check: &CheckRun, sent: usize) -> (Value, usize) {
    let sent = sent.min(check.annotations.len());
    let upto = check
        .annotations
        .len()
        .min(sent + CheckRun::MOST_ANNOTATIONS);
    let annotations: Vec<Value> = check.annotations[sent..upto]
        .iter()
        .map(annotation)
        .collect();
    let mut output = json!({ "title": check.title, "summary": cut(&check.summary) });
    if !check.text.is_empty() {
        output["text"] = json!(cut(&check.text));
    }
    if !annotations.is_empty() {
        output["annotations"] = json!(annotations);
    }
    let mut body = json!({
        "name": check.name,
        "external_id": check.external_id,
        "status": check.state.name(),
        "output": output,
    });
    if let CheckState::Completed(conclusion) = check.state {
        body["conclusion"] = json!(conclusion.name());
    }
    (body, upto)
}

fn annotation(annotation: &Annotation) -> Value {
    let mut value = json!({
        "path": annotation.path,
        "start_line": annotation.line,
        "end_line": annotation.line,
        "annotation_level": annotation.level.name(),
        "title": annotation.title,
        "message": annotation.message,
    });
    if let Some(column) = annotation.column {
        value["start_column"] = json!(column);
        value["end_column"] = json!(column);
    }
    value
}

fn cut(text: &str) -> String {
    text.chars().take(CheckRun::LONGEST_TEXT).collect()
}
