//! Pull requests on GitHub ("REST API endpoints for pull requests").

use async_trait::async_trait;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::json;

use super::client::{Method, Request, segment};
use super::payload::Account;
use super::{Github, repo_path};
use crate::domain::id::{RepoName, Sha};
use crate::domain::pull::Obstacles;
use crate::forge::ForgeError;
use crate::forge::pulls::{
    MergeAnswer, Mergeable, NewPull, OpenedPull, PullNow, PullRequests, PullStage, PullText, Squash,
};

/// The one thing that REST cannot do ("Mutations", `markPullRequestReadyForReview`).
const READY: &str = "mutation($id: ID!) { markPullRequestReadyForReview(input: {pullRequestId: $id}) \
                     { pullRequest { isDraft } } }";

#[derive(Deserialize)]
struct Head {
    sha: Sha,
}

#[derive(Deserialize)]
struct Base {
    #[serde(rename = "ref")]
    branch: String,
}

#[derive(Deserialize)]
struct Pull {
    number: u64,
    node_id: String,
    state: String,
    title: String,
    #[serde(default)]
    draft: bool,
    user: Option<Account>,
    head: Head,
    base: Base,
    /// Not in lists.
    #[serde(default)]
    merged: bool,
    merge_commit_sha: Option<Sha>,
    merged_by: Option<Account>,
    mergeable_state: Option<String>,
}

impl Pull {
    fn mergeable(&self) -> Mergeable {
        match self.mergeable_state.as_deref() {
            // Checks that nobody requires failed or run: GitHub merges it.
            Some("clean" | "unstable" | "has_hooks") => Mergeable::Yes,
            Some("blocked") => Mergeable::Blocked,
            Some("behind") => Mergeable::Behind,
            Some("dirty") => Mergeable::Conflict,
            Some(_) | None => Mergeable::Unknown,
        }
    }

    fn is_by(&self, login: &str) -> bool {
        let author = self.user.as_ref();
        author.is_some_and(|author| author.login.eq_ignore_ascii_case(login))
    }
}

#[derive(Deserialize)]
struct Merged {
    sha: Sha,
}

#[derive(Deserialize)]
struct Graphql {
    #[serde(default)]
    errors: Vec<GraphqlError>,
}

#[derive(Deserialize)]
struct GraphqlError {
    message: String,
}

impl Github {
    async fn whole_pull(&self, repo: &RepoName, number: u64) -> Result<Pull, ForgeError> {
        let what = format!("pull request {number} of {repo}");
        let request = Request {
            method: Method::Get,
            path: pull_path(repo, number),
            what: &what,
        };
        self.client.ask(request).await
    }

    /// The open pull request of a branch that this account opened.
    async fn own_pull(
        &self,
        repo: &RepoName,
        wanted: &NewPull,
    ) -> Result<Option<OpenedPull>, ForgeError> {
        let what = format!("the pull requests of {repo}");
        let path = format!(
            "{}/pulls?state=open&head={}%3A{}&per_page=100",
            repo_path(repo),
            segment(repo.owner()),
            segment(wanted.head.as_str())
        );
        let request = Request {
            method: Method::Get,
            path,
            what: &what,
        };
        let found: Vec<Pull> = self.client.ask(request).await?;
        if found.is_empty() {
            return Ok(None);
        }
        let own_login = self.own_login().await?;
        let own = found.into_iter().find(|pull| pull.is_by(&own_login));
        Ok(own.map(|pull| OpenedPull {
            number: pull.number,
            plain: !pull.draft && pull.title == wanted.title_without_draft,
        }))
    }

    /// `Ok(None)`: drafts are not supported here, which depends on the repository's plan.
    async fn create_pull(
        &self,
        repo: &RepoName,
        wanted: &NewPull,
        is_draft: bool,
    ) -> Result<Option<OpenedPull>, ForgeError> {
        let what = format!("a pull request of {repo}");
        let title = if is_draft {
            &wanted.text.title
        } else {
            &wanted.title_without_draft
        };
        let method = Method::Post(json!({
            "title": title,
            "body": wanted.text.body,
            "head": wanted.head.as_str(),
            "base": wanted.base.as_str(),
            "draft": is_draft,
        }));
        let path = format!("{}/pulls", repo_path(repo));
        let request = Request {
            method,
            path,
            what: &what,
        };
        let answer = self.client.send(request).await?;
        if is_draft && answer.status == 422 && answer.message().contains("not supported") {
            return Ok(None);
        }
        let created: Pull = answer.read(&what)?;
        Ok(Some(OpenedPull {
            number: created.number,
            plain: !is_draft,
        }))
    }
}

pub(super) fn pull_path(repo: &RepoName, number: u64) -> String {
    format!("{}/pulls/{number}", repo_path(repo))
}

#[async_trait]
impl PullRequests for Github {
    /// Looks first, so that one whose answer was lost is not opened twice; GitHub itself takes one
    /// for each head and base, and answers 422 "A pull request already exists" to a second one.
    async fn open_pull(&self, repo: &RepoName, wanted: &NewPull) -> Result<OpenedPull, ForgeError> {
        if let Some(own) = self.own_pull(repo, wanted).await? {
            return Ok(own);
        }
        if let Some(opened) = self.create_pull(repo, wanted, true).await? {
            return Ok(opened);
        }
        let plain = self.create_pull(repo, wanted, false).await?;
        plain.ok_or_else(|| ForgeError::Invalid {
            message: "it takes pull requests neither as drafts nor without that".to_owned(),
        })
    }

    async fn pull(&self, repo: &RepoName, number: u64) -> Result<PullNow, ForgeError> {
        let pull = self.whole_pull(repo, number).await?;
        let stage = match (&pull.merge_commit_sha, pull.merged) {
            (Some(commit), true) => {
                let own_login = self.own_login().await?;
                let merged_by = pull.merged_by.as_ref();
                let by_us = merged_by.is_some_and(|by| by.login.eq_ignore_ascii_case(&own_login));
                let commit = commit.clone();
                PullStage::Merged { commit, by_us }
            }
            (None | Some(_), _) if pull.state == "open" => PullStage::Open,
            (None | Some(_), _) => PullStage::Closed,
        };
        Ok(PullNow {
            stage,
            mergeable: pull.mergeable(),
            head: pull.head.sha,
            base: pull.base.branch,
            draft: pull.draft,
        })
    }

    async fn edit_pull(
        &self,
        repo: &RepoName,
        number: u64,
        text: &PullText,
    ) -> Result<(), ForgeError> {
        let what = format!("pull request {number} of {repo}");
        let method = Method::Patch(json!({ "title": text.title, "body": text.body }));
        let request = Request {
            method,
            path: pull_path(repo, number),
            what: &what,
        };
        self.client.ask::<IgnoredAny>(request).await?;
        Ok(())
    }

    async fn mark_ready(&self, repo: &RepoName, number: u64) -> Result<(), ForgeError> {
        let pull = self.whole_pull(repo, number).await?;
        if !pull.draft {
            return Ok(());
        }
        let what = format!("pull request {number} of {repo}");
        let body = json!({ "query": READY, "variables": { "id": pull.node_id } });
        let request = Request {
            method: Method::Graphql(body),
            path: String::new(),
            what: &what,
        };
        let answer: Graphql = self.client.ask(request).await?;
        match answer.errors.into_iter().next() {
            None => Ok(()),
            Some(error) => Err(ForgeError::Invalid {
                message: format!("{} ({what})", error.message),
            }),
        }
    }

    /// 405 where a rule forbids it, 409 where its head is another one ("Merge a pull request").
    async fn merge_pull(
        &self,
        repo: &RepoName,
        number: u64,
        squash: &Squash,
    ) -> Result<MergeAnswer, ForgeError> {
        let what = format!("pull request {number} of {repo}");
        let method = Method::Put(json!({
            "sha": squash.head,
            "merge_method": "squash",
            "commit_title": squash.title,
            "commit_message": squash.message,
        }));
        let path = format!("{}/merge", pull_path(repo, number));
        let request = Request {
            method,
            path,
            what: &what,
        };
        let answer = self.client.send(request).await?;
        let message = answer.message();
        match answer.status {
            405 => Ok(MergeAnswer::NotAllowed { message }),
            409 => Ok(MergeAnswer::Moved { message }),
            403 => Ok(MergeAnswer::Forbidden { message }),
            422 => Ok(MergeAnswer::Refused { message }),
            _ => {
                let Merged { sha: commit } = answer.read(&what)?;
                Ok(MergeAnswer::Merged { commit })
            }
        }
    }

    async fn obstacles(
        &self,
        repo: &RepoName,
        (number, pull): (u64, &PullNow),
    ) -> Result<Obstacles, ForgeError> {
        self.find_obstacles(repo, (number, pull)).await
    }
}
