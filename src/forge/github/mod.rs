//! GitHub, and what speaks its REST API.

mod access;
mod answer;
mod app;
mod cache;
mod checks;
mod ci_log;
mod client;
mod deliveries;
mod listing;
mod manifest;
mod manners;
mod needs;
mod obstacles;
mod pages;
mod payload;
mod pulls;
mod setup;
mod verdicts;

use async_trait::async_trait;
use jiff::Timestamp;
use secrecy::ExposeSecret;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::json;
use tokio::sync::watch;

pub use access::{Access, Grant};
pub use app::AppSettings;
pub use client::{Credentials, GithubSettings, InvalidSettings};
pub use deliveries::AskedAgain;
pub use manifest::app_manifest;
pub use needs::{EVENTS, NEEDS, Need};
pub use setup::{Made, NewApp, NewHook, NewLabel};

use super::{
    CheckId, CheckRun, CommentId, Forge, ForgeError, Health, Issue, Listing, MARKER_PREFIX,
    Permission, PullRequests, STAGE_PREFIX, Status, SubIssue,
};
use crate::domain::delivery::{CheckSource, CommentRef, Thread};
use crate::domain::effect::Reaction;
use crate::domain::id::{BranchName, RepoName, Sha, StoryId};
use crate::domain::work::TaskComment;
use crate::secret::{Renewal, Secret};
use client::{Client, Method, Request, segment};
use pages::PAGE;

/// The colour of stage labels.
const STAGE_COLOR: &str = "5b8db8";
const STAGE_MEANING: &str = "Where huskies is with this issue";

/// One GitHub, for any number of repositories.
pub struct Github {
    client: Client,
}

impl Github {
    /// Sends nothing yet. Must be called within a tokio runtime, which the connections live in.
    pub fn new(settings: &GithubSettings) -> Result<Self, InvalidSettings> {
        Ok(Self {
            client: Client::new(settings)?,
        })
    }

    /// The login that the token belongs to, or the App's.
    pub async fn own_login(&self) -> Result<String, ForgeError> {
        if let Some(app) = self.client.app() {
            return self.client.app_login(app).await;
        }
        let session = self.client.session().await?;
        let login = session
            .own_login
            .get_or_try_init(|| self.ask_own_login())
            .await?;
        Ok(login.clone())
    }

    /// What requests are made with, as it is at each moment; git wants it too. An App's is good
    /// after [`Renewal::renew`].
    pub fn token(&self) -> Secret {
        self.client.token().clone()
    }

    /// How the way to GitHub is, and every change of it.
    pub fn health(&self) -> watch::Receiver<Health> {
        self.client.health()
    }

    /// Asks for something that costs nothing of any limit, to see how the way is.
    pub async fn probe(&self) {
        let request = Request {
            method: Method::Get,
            path: "/rate_limit".to_owned(),
            what: "the rate limit",
        };
        // What came of it is in `health`.
        drop(self.client.send(request).await);
    }

    /// Whose token it is, which decides what may be done with it.
    pub fn token_kind(&self) -> TokenKind {
        if self.client.app().is_some() {
            return TokenKind::App;
        }
        TokenKind::of(self.client.token().current().expose_secret())
    }

    /// The App that it is, by GitHub's number.
    pub fn app_id(&self) -> Option<u64> {
        self.client.app().map(app::App::id)
    }

    async fn ask_own_login(&self) -> Result<String, ForgeError> {
        let what = "the token's own account";
        let request = Request {
            method: Method::Get,
            path: "/user".to_owned(),
            what,
        };
        Ok(self.client.ask::<payload::Account>(request).await?.login)
    }

    /// All comments of an issue, oldest first.
    async fn all_comments(&self, story: &StoryId) -> Result<Vec<payload::Comment>, ForgeError> {
        self.below(story, "comments").await
    }

    /// Everything on a list below an issue.
    async fn below<T: DeserializeOwned>(
        &self,
        story: &StoryId,
        list: &str,
    ) -> Result<Vec<T>, ForgeError> {
        let path = format!("{}/{list}", issue_path(story));
        self.all((&path, ""), &story.to_string()).await
    }

    /// Puts a stage label on an issue. GitHub creates one that the repository does not have yet,
    /// without a meaning: it is given one then.
    async fn add_stage_label(&self, story: &StoryId, label: &str) -> Result<(), ForgeError> {
        let what = story.to_string();
        let request = Request {
            method: Method::Post(json!({ "labels": [label] })),
            path: format!("{}/labels", issue_path(story)),
            what: &what,
        };
        let labels: Vec<payload::Label> = self.client.ask(request).await?;
        let is_new = |found: &payload::Label| found.is_called(label) && found.is_bare();
        if !labels.iter().any(is_new) {
            return Ok(());
        }
        let what = format!("the label `{label}` of {}", story.repo);
        let path = format!("{}/labels/{}", repo_path(&story.repo), segment(label));
        let method = Method::Patch(json!({ "color": STAGE_COLOR, "description": STAGE_MEANING }));
        let request = Request {
            method,
            path,
            what: &what,
        };
        self.client.tell(request).await
    }
}

/// Kinds of tokens by how they begin ("Behind GitHub's new authentication token formats").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenKind {
    /// With scopes, for everything that its owner may do.
    Classic,
    /// With permissions, for chosen repositories.
    FineGrained,
    /// An App's: the only kind that may write check runs.
    App,
    /// Of an OAuth App, or of another server.
    Other,
}

impl TokenKind {
    fn of(token: &str) -> Self {
        match token.split_once('_') {
            Some(("ghp", _)) => Self::Classic,
            Some(("github", rest)) if rest.starts_with("pat_") => Self::FineGrained,
            Some(("ghs", _)) => Self::App,
            Some(_) | None => Self::Other,
        }
    }

    /// Check runs are for Apps alone ("Using the REST API to interact with checks").
    pub fn may_write_checks(self) -> bool {
        self == Self::App
    }
}

#[async_trait]
impl Renewal for Github {
    async fn renew(&self) -> Result<(), String> {
        let session = self.client.session().await;
        session.map(drop).map_err(|error| error.to_string())
    }
}

fn repo_path(repo: &RepoName) -> String {
    // A repository's name is made of unreserved characters alone.
    format!("/repos/{repo}")
}

fn issue_path(story: &StoryId) -> String {
    format!("{}/issues/{}", repo_path(&story.repo), story.number)
}

#[async_trait]
impl Forge for Github {
    fn health(&self) -> Health {
        self.client.health().borrow().clone()
    }

    fn pull_requests(&self) -> Option<&dyn PullRequests> {
        Some(self)
    }

    fn listing(&self) -> Option<&dyn Listing> {
        Some(self)
    }

    async fn permission(&self, repo: &RepoName, login: &str) -> Result<Permission, ForgeError> {
        let what = format!("the permission of `{login}` in {repo}");
        let path = format!(
            "{}/collaborators/{}/permission",
            repo_path(repo),
            segment(login)
        );
        let answer = self
            .client
            .send(Request {
                method: Method::Get,
                path,
                what: &what,
            })
            .await?;
        // "{login} is not a user": Apps and deleted accounts. A bare "Not Found" is about the
        // repository and must not pass for an answer about the person.
        if answer.status == 404 && answer.message().contains("is not a user") {
            return Ok(Permission::None);
        }
        Ok(answer.read::<payload::Collaborator>(&what)?.permission())
    }

    async fn issue(&self, story: &StoryId) -> Result<Issue, ForgeError> {
        let what = story.to_string();
        let request = Request {
            method: Method::Get,
            path: issue_path(story),
            what: &what,
        };
        let issue: payload::Issue = self.client.ask(request).await?;
        Ok(issue.of(&story.repo))
    }

    /// Servers without sub-issues answer 404 ("List sub-issues").
    async fn sub_issues(&self, story: &StoryId) -> Result<Vec<SubIssue>, ForgeError> {
        let listed: Result<Vec<payload::SubIssue>, _> = self.below(story, "sub_issues").await;
        match listed {
            Ok(parts) => Ok(parts
                .into_iter()
                .filter_map(payload::SubIssue::read)
                .collect()),
            Err(ForgeError::NotFound { .. }) => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    async fn comments(
        &self,
        story: &StoryId,
        until: Timestamp,
    ) -> Result<Vec<TaskComment>, ForgeError> {
        let mut comments = self.all_comments(story).await?;
        comments.retain(|comment| {
            comment.last_changed() <= until && !comment.begins_with(MARKER_PREFIX)
        });
        Ok(comments.into_iter().map(TaskComment::from).collect())
    }

    async fn find_comment(
        &self,
        story: &StoryId,
        marker: &str,
    ) -> Result<Option<CommentId>, ForgeError> {
        let own_login = self.own_login().await?;
        let comments = self.all_comments(story).await?;
        let own = comments.into_iter().find(|comment| {
            comment.author().eq_ignore_ascii_case(&own_login) && comment.begins_with(marker)
        });
        Ok(own.map(|comment| CommentId(comment.id.to_string())))
    }

    async fn create_comment(&self, story: &StoryId, body: &str) -> Result<CommentId, ForgeError> {
        let what = story.to_string();
        let path = format!("{}/comments", issue_path(story));
        let method = Method::Reply(json!({ "body": body }));
        let created: payload::Created = self
            .client
            .ask(Request {
                method,
                path,
                what: &what,
            })
            .await?;
        Ok(CommentId(created.id.to_string()))
    }

    async fn update_comment(
        &self,
        story: &StoryId,
        comment: &CommentId,
        body: &str,
    ) -> Result<(), ForgeError> {
        let what = format!("comment {} of {story}", comment.0);
        let path = format!(
            "{}/issues/comments/{}",
            repo_path(&story.repo),
            segment(&comment.0)
        );
        let method = Method::Patch(json!({ "body": body }));
        self.client
            .tell(Request {
                method,
                path,
                what: &what,
            })
            .await
    }

    /// GitHub answers 201 to a new reaction and 200 to one that is there already ("Create reaction
    /// for an issue comment"); reviews themselves take none.
    async fn react(
        &self,
        repo: &RepoName,
        comment: CommentRef,
        reaction: Reaction,
    ) -> Result<(), ForgeError> {
        let what = format!("comment {} of {repo}", comment.id);
        let place = match comment.thread {
            Thread::Conversation => "issues",
            Thread::Changes => "pulls",
        };
        let path = format!(
            "{}/{place}/comments/{}/reactions",
            repo_path(repo),
            comment.id
        );
        let method = Method::Reply(json!({ "content": reaction.name() }));
        self.client
            .tell(Request {
                method,
                path,
                what: &what,
            })
            .await
    }

    async fn set_stage_label(&self, story: &StoryId, stage: &str) -> Result<(), ForgeError> {
        let what = story.to_string();
        let wanted = format!("{STAGE_PREFIX}{stage}");
        let path = format!("{}/labels", issue_path(story));
        let request = Request {
            method: Method::Get,
            path,
            what: &what,
        };
        let labels: Vec<payload::Label> = self.client.ask(request).await?;
        let (right, wrong): (Vec<_>, Vec<_>) = labels
            .into_iter()
            .map(payload::Label::into_name)
            .filter(|label| is_stage_label(label))
            // Label names are the same in every case on GitHub.
            .partition(|label| label.eq_ignore_ascii_case(&wanted));
        if right.is_empty() {
            self.add_stage_label(story, &wanted).await?;
        }
        for label in wrong {
            self.remove_label(story, &label).await?;
        }
        Ok(())
    }

    async fn remove_label(&self, story: &StoryId, label: &str) -> Result<(), ForgeError> {
        let what = story.to_string();
        let path = format!("{}/labels/{}", issue_path(story), segment(label));
        let answer = self
            .client
            .send(Request {
                method: Method::Delete,
                path,
                what: &what,
            })
            .await?;
        if answer.status == 404 && answer.message().contains("Label does not exist") {
            return Ok(());
        }
        answer.check(&what)
    }

    async fn set_status(
        &self,
        repo: &RepoName,
        commit: &Sha,
        status: &Status,
    ) -> Result<(), ForgeError> {
        let what = format!(
            "the status `{}` of {repo}@{}",
            status.context,
            commit.short()
        );
        let path = format!("{}/statuses/{commit}", repo_path(repo));
        let mut body = json!({
            "context": status.context,
            "state": status.state.name(),
            "description": status.short_description(),
        });
        if let Some(url) = &status.target_url {
            body["target_url"] = json!(url);
        }
        let method = Method::Post(body);
        self.client
            .ask::<IgnoredAny>(Request {
                method,
                path,
                what: &what,
            })
            .await?;
        Ok(())
    }

    fn takes_check_runs(&self) -> bool {
        self.token_kind().may_write_checks()
    }

    async fn put_check_run(
        &self,
        repo: &RepoName,
        commit: &Sha,
        check: (Option<&CheckId>, &CheckRun),
    ) -> Result<CheckId, ForgeError> {
        self.write_check_run(repo, commit, check).await
    }

    async fn failing_part(
        &self,
        repo: &RepoName,
        check: CheckSource,
    ) -> Result<Option<String>, ForgeError> {
        self.read_failing_part(repo, check).await
    }

    async fn default_branch(&self, repo: &RepoName) -> Result<Option<BranchName>, ForgeError> {
        let what = repo.to_string();
        let request = Request {
            method: Method::Get,
            path: repo_path(repo),
            what: &what,
        };
        let repository: payload::Repository = self.client.ask(request).await?;
        repository
            .default_branch
            .parse()
            .map(Some)
            .map_err(|error| ForgeError::Invalid {
                message: format!("the default branch of {repo} cannot be used: {error}"),
            })
    }
}

fn is_stage_label(label: &str) -> bool {
    label
        .get(..STAGE_PREFIX.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(STAGE_PREFIX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_of_tokens_are_told_by_how_they_begin() {
        let kinds = [
            "ghp_x",
            "github_pat_x",
            "ghs_x",
            "gho_x",
            "0123456789abcdef",
        ];
        let kinds = kinds.map(TokenKind::of);
        assert_eq!(
            kinds,
            [
                TokenKind::Classic,
                TokenKind::FineGrained,
                TokenKind::App,
                TokenKind::Other,
                TokenKind::Other
            ]
        );
        assert_eq!(
            kinds.map(TokenKind::may_write_checks),
            [false, false, true, false, false]
        );
    }
}
