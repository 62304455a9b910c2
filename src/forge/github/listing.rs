//! GitHub's lists of issues, their events, pull requests, comments, reviews and checks ("REST API
//! endpoints for issues", "… issue events", "… pull requests", "… check runs").
//!
//! What is on them becomes what a delivery would have said.

use async_trait::async_trait;
use jiff::Timestamp;
use serde::Deserialize;

use super::client::{Method, Request, segment};
use super::payload::{GHOST, Issue, Label};
use super::pulls::pull_path;
use super::verdicts::{CheckRun, Status};
use super::{Github, issue_path, repo_path};
use crate::domain::delivery::{
    CheckResult, IssueAction, PullRequestAction, PullRequestBase, PullRequestChange,
    PullRequestHead, Review, ReviewKind, Verdict,
};
use crate::domain::id::{RepoName, Sha, StoryId};
use crate::domain::reconciliation::Deed;
use crate::forge::{ForgeError, ListedComment, ListedIssue, ListedReview, Listing, WantedIssues};

#[derive(Deserialize)]
struct Account {
    login: String,
    #[serde(rename = "type")]
    kind: Option<String>,
}

/// A login, and whether it is a program's.
fn name(account: Option<Account>) -> (String, bool) {
    account.map_or_else(
        || (GHOST.to_owned(), false),
        |account| {
            let is_bot = account.kind.as_deref() == Some("Bot");
            (account.login, is_bot)
        },
    )
}

#[derive(Deserialize)]
struct OnList {
    number: u64,
    #[serde(flatten)]
    issue: Issue,
}

#[derive(Deserialize)]
struct Named {
    name: String,
}

/// An entry of an issue's history.
#[derive(Deserialize)]
struct Entry {
    id: u64,
    event: String,
    label: Option<Named>,
    actor: Option<Account>,
    created_at: Timestamp,
}

impl Entry {
    fn deed(self) -> Option<Deed> {
        let action = match (self.event.as_str(), self.label) {
            ("labeled", Some(label)) => IssueAction::Labeled(label.name),
            ("unlabeled", Some(label)) => IssueAction::Unlabeled(label.name),
            ("closed", _) => IssueAction::Closed,
            _ => return None,
        };
        let (by, by_bot) = name(self.actor);
        Some(Deed {
            id: self.id,
            action,
            by,
            by_bot,
            at: self.created_at,
        })
    }
}

#[derive(Deserialize)]
struct Repository {
    full_name: Option<String>,
}

#[derive(Deserialize)]
struct Side {
    #[serde(rename = "ref")]
    branch: String,
    sha: Sha,
    /// Null when a fork was deleted.
    repo: Option<Repository>,
}

#[derive(Deserialize)]
struct Pull {
    number: u64,
    state: String,
    title: String,
    body: Option<String>,
    #[serde(default)]
    draft: bool,
    #[serde(default)]
    labels: Vec<Label>,
    user: Option<Account>,
    head: Side,
    base: Side,
    merged_at: Option<Timestamp>,
    merge_commit_sha: Option<Sha>,
}

impl From<Pull> for PullRequestChange {
    fn from(pull: Pull) -> Self {
        let merged = pull.merge_commit_sha.filter(|_| pull.merged_at.is_some());
        let action = if pull.state == "open" {
            PullRequestAction::Opened
        } else {
            PullRequestAction::Closed { merged }
        };
        let (author, by_bot) = name(pull.user);
        let head_repo = pull.head.repo.and_then(|repo| repo.full_name);
        Self {
            number: pull.number,
            action,
            head: PullRequestHead {
                repo: head_repo.and_then(|name| name.parse().ok()),
                branch: pull.head.branch.parse().ok(),
                commit: pull.head.sha,
            },
            base: PullRequestBase {
                branch: pull.base.branch.parse().ok(),
                commit: Some(pull.base.sha),
            },
            sender: author.clone(),
            author,
            by_bot,
            title: pull.title,
            body: pull.body.unwrap_or_default(),
            labels: pull.labels.into_iter().map(Label::into_name).collect(),
            draft: pull.draft,
        }
    }
}

#[derive(Deserialize)]
struct Comment {
    id: u64,
    issue_url: String,
    user: Option<Account>,
    body: Option<String>,
    created_at: Timestamp,
}

impl Comment {
    fn listed(self) -> Option<ListedComment> {
        let (_, number) = self.issue_url.rsplit_once('/')?;
        let (author, by_bot) = name(self.user);
        Some(ListedComment {
            id: self.id,
            number: number.parse().ok()?,
            author,
            by_bot,
            at: self.created_at,
            text: self.body.unwrap_or_default(),
        })
    }
}

#[derive(Deserialize)]
struct Reviewed {
    id: u64,
    user: Option<Account>,
    body: Option<String>,
    state: String,
    commit_id: Option<Sha>,
}

impl Reviewed {
    fn kind(&self) -> Option<ReviewKind> {
        let verdict = match self.state.as_str() {
            "APPROVED" => Verdict::Approved,
            "CHANGES_REQUESTED" => Verdict::ChangesRequested,
            "COMMENTED" => Verdict::Commented,
            // Not handed in yet, or taken back.
            _ => return None,
        };
        let commit = self.commit_id.clone();
        Some(ReviewKind::Submitted { verdict, commit })
    }
}

#[derive(Deserialize)]
struct AtLine {
    id: u64,
    user: Option<Account>,
    body: Option<String>,
    path: String,
    line: Option<u64>,
}

#[async_trait]
impl Listing for Github {
    async fn issues(
        &self,
        repo: &RepoName,
        wanted: WantedIssues<'_>,
    ) -> Result<(Vec<ListedIssue>, Timestamp), ForgeError> {
        let which = match wanted {
            WantedIssues::Labelled(label) => format!("state=open&labels={}", segment(label)),
            WantedIssues::Since(since) => format!("state=all&since={since}"),
        };
        let path = format!("{}/issues", repo_path(repo));
        let query = format!("{which}&sort=updated&direction=asc&");
        let what = format!("the list of issues of {repo}");
        // What is cut off changed last: the next look begins there.
        let pages = self.pages::<OnList>((&path, &query), &what).await?;
        let listed = |found: OnList| ListedIssue {
            number: found.number,
            is_pull: found.issue.is_pull(),
            issue: found.issue.of(repo),
        };
        let issues = pages.items.into_iter().map(listed).collect();
        // A server that does not say what time it is is looked at from the beginning again.
        Ok((issues, pages.asked_at.unwrap_or(Timestamp::UNIX_EPOCH)))
    }

    async fn deeds(&self, issue: &StoryId) -> Result<Vec<Deed>, ForgeError> {
        let path = format!("{}/events", issue_path(issue));
        let what = format!("the history of {issue}");
        let entries = self.all::<Entry>((&path, ""), &what).await?;
        Ok(entries.into_iter().filter_map(Entry::deed).collect())
    }

    async fn open_pulls(&self, repo: &RepoName) -> Result<Vec<PullRequestChange>, ForgeError> {
        let path = format!("{}/pulls", repo_path(repo));
        let what = format!("the pull requests of {repo}");
        let pulls = self.all::<Pull>((&path, "state=open&"), &what).await?;
        Ok(pulls.into_iter().map(PullRequestChange::from).collect())
    }

    async fn pull_change(
        &self,
        repo: &RepoName,
        number: u64,
    ) -> Result<PullRequestChange, ForgeError> {
        let what = format!("pull request {number} of {repo}");
        let request = Request {
            method: Method::Get,
            path: pull_path(repo, number),
            what: &what,
        };
        Ok(self.client.ask::<Pull>(request).await?.into())
    }

    async fn comments_since(
        &self,
        repo: &RepoName,
        since: Timestamp,
    ) -> Result<Vec<ListedComment>, ForgeError> {
        let path = format!("{}/issues/comments", repo_path(repo));
        let query = format!("since={since}&");
        let what = format!("the comments of {repo}");
        let comments = self.all::<Comment>((&path, &query), &what).await?;
        Ok(comments.into_iter().filter_map(Comment::listed).collect())
    }

    async fn reviews_of(
        &self,
        repo: &RepoName,
        pull: &PullRequestChange,
    ) -> Result<Vec<ListedReview>, ForgeError> {
        let path = pull_path(repo, pull.number);
        let what = format!("the reviews of pull request {} of {repo}", pull.number);
        let listed = |id, kind, (user, body): (Option<Account>, Option<String>)| {
            let (sender, by_bot) = name(user);
            let review = Review {
                number: pull.number,
                head: pull.head.clone(),
                kind,
                sender,
                by_bot,
                text: body.unwrap_or_default(),
            };
            ListedReview { id, review }
        };
        let reviews = format!("{path}/reviews");
        let reviews = self.all::<Reviewed>((&reviews, ""), &what).await?;
        let reviews = reviews
            .into_iter()
            .filter_map(|found| Some(listed(found.id, found.kind()?, (found.user, found.body))));
        let lines = format!("{path}/comments");
        let lines = self.all::<AtLine>((&lines, ""), &what).await?;
        let lines = lines.into_iter().map(|found| {
            let AtLine { id, path, line, .. } = found;
            let kind = ReviewKind::Comment { id, path, line };
            listed(id, kind, (found.user, found.body))
        });
        Ok(reviews.chain(lines).collect())
    }

    async fn failed_checks(
        &self,
        repo: &RepoName,
        commit: &Sha,
    ) -> Result<Vec<CheckResult>, ForgeError> {
        let (statuses, runs) = self.verdicts(repo, commit).await?;
        let runs = runs.into_iter().filter(CheckRun::has_failed);
        let runs = runs.map(|run| run.failure_on(commit));
        let statuses = statuses.into_iter().filter(Status::has_failed);
        let statuses = statuses.map(|status| status.failure_on(commit));
        Ok(runs.chain(statuses).collect())
    }
}
