//! The built-in local forge: issues, labels, comments and commit statuses in huskies' own database,
//! driven by the command line, so that everything works in any repository without an account.
//!
//! It shares the store's file and nothing else. Whoever can reach the database may write. What
//! people do here ([`LocalForge::label`] and the like) returns what a webhook would have told.

mod adapter;
mod rows;

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use sqlx::SqlitePool;

use super::{CommentId, ForgeError, LONGEST_COMMENT, StatusState};
use crate::domain::delivery::{IssueAction, IssueChange};
use crate::domain::id::{RepoName, Sha, StoryId};
use rows::Change;

/// Tells the time of a change.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// The author of huskies' own comments.
const OWN_LOGIN: &str = "huskies";
/// The longest label, in characters: GitHub's limit.
const LONGEST_LABEL: usize = 50;

/// The local forge, for any number of repositories.
#[derive(Clone)]
pub struct LocalForge {
    pool: SqlitePool,
    clock: Clock,
}

impl fmt::Debug for LocalForge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalForge").finish_non_exhaustive()
    }
}

/// An issue of the local forge as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalIssue {
    pub number: u64,
    pub title: String,
    pub body: String,
    pub author: String,
    pub labels: Vec<String>,
    pub open: bool,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// A comment of the local forge, markers and all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalComment {
    pub id: CommentId,
    pub author: String,
    pub body: String,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// A commit status of the local forge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalStatus {
    pub commit: Sha,
    pub context: String,
    pub state: StatusState,
    pub description: String,
    pub target_url: Option<String>,
    pub created_at: Timestamp,
}

/// What people do, through the command line.
impl LocalForge {
    /// Uses a database that has the store's migrations.
    pub fn new(pool: SqlitePool, clock: Clock) -> Self {
        Self { pool, clock }
    }

    /// Opens an issue and returns its number: the next one of its repository, from 1.
    pub async fn create_issue(
        &self,
        repo: &RepoName,
        title: &str,
        body: &str,
        author: &str,
    ) -> Result<u64, ForgeError> {
        if title.trim().is_empty() {
            return Err(refused("an issue needs a title"));
        }
        let issue = rows::NewIssue {
            repo,
            title,
            body,
            author,
        };
        Ok(rows::insert_issue(&self.pool, &issue, self.now()).await?)
    }

    /// Makes an issue a part of another one, of which it had been no part.
    pub async fn add_sub_issue(&self, parent: &StoryId, part: u64) -> Result<(), ForgeError> {
        let mut transaction = rows::begin(&self.pool).await?;
        for number in [parent.number, part] {
            let issue = StoryId::new(parent.repo.clone(), number);
            rows::issue(&mut transaction, &issue)
                .await?
                .ok_or_else(|| not_found(&issue))?;
        }
        rows::insert_parent(&mut transaction, parent, part).await?;
        Ok(transaction.commit().await?)
    }

    /// The issues of a repository, open and closed, by number.
    pub async fn list_issues(&self, repo: &RepoName) -> Result<Vec<LocalIssue>, ForgeError> {
        Ok(rows::issues(&self.pool, repo).await?)
    }

    /// Sets a label; `None` when it was there already.
    pub async fn label(
        &self,
        story: &StoryId,
        label: &str,
        by: &str,
    ) -> Result<Option<IssueChange>, ForgeError> {
        let unprintable = label.trim() != label || label.chars().any(char::is_control);
        if label.is_empty() || label.chars().count() > LONGEST_LABEL || unprintable {
            return Err(refused(&format!(
                "a label is one line of 1 to {LONGEST_LABEL} characters, without spaces around it"
            )));
        }
        self.change(story, Change::AddLabel(label), by).await
    }

    /// Takes a label off; `None` when it was not there.
    pub async fn unlabel(
        &self,
        story: &StoryId,
        label: &str,
        by: &str,
    ) -> Result<Option<IssueChange>, ForgeError> {
        self.change(story, Change::RemoveLabel(label), by).await
    }

    /// Closes an issue; `None` when it was closed.
    pub async fn close(
        &self,
        story: &StoryId,
        by: &str,
    ) -> Result<Option<IssueChange>, ForgeError> {
        self.change(story, Change::SetOpen(false), by).await
    }

    /// Opens a closed issue again; `None` when it was open.
    pub async fn reopen(
        &self,
        story: &StoryId,
        by: &str,
    ) -> Result<Option<IssueChange>, ForgeError> {
        self.change(story, Change::SetOpen(true), by).await
    }

    /// Writes a comment for a person.
    pub async fn comment(
        &self,
        story: &StoryId,
        body: &str,
        by: &str,
    ) -> Result<CommentId, ForgeError> {
        check_comment(body)?;
        let mut transaction = rows::begin(&self.pool).await?;
        rows::issue(&mut transaction, story)
            .await?
            .ok_or_else(|| not_found(story))?;
        let comment = rows::NewComment { author: by, body };
        let id = rows::insert_comment(&mut transaction, story, &comment, self.now()).await?;
        transaction.commit().await?;
        Ok(id)
    }

    /// All comments of an issue, oldest first.
    pub async fn comments_of(&self, story: &StoryId) -> Result<Vec<LocalComment>, ForgeError> {
        Ok(rows::comments(&self.pool, story).await?)
    }

    /// All statuses of a commit, oldest first: the last one of a context is the one that counts.
    pub async fn statuses_of(
        &self,
        repo: &RepoName,
        commit: &Sha,
    ) -> Result<Vec<LocalStatus>, ForgeError> {
        Ok(rows::statuses(&self.pool, repo, commit).await?)
    }

    /// Makes one change of an issue and tells what a webhook would have told; `None` when the issue
    /// was like that already.
    async fn change(
        &self,
        story: &StoryId,
        change: Change<'_>,
        by: &str,
    ) -> Result<Option<IssueChange>, ForgeError> {
        let mut transaction = rows::begin(&self.pool).await?;
        rows::issue(&mut transaction, story)
            .await?
            .ok_or_else(|| not_found(story))?;
        if !rows::apply(&mut transaction, story, change, self.now()).await? {
            return Ok(None);
        }
        let issue = rows::issue(&mut transaction, story)
            .await?
            .ok_or_else(|| not_found(story))?;
        transaction.commit().await?;
        Ok(Some(IssueChange {
            number: issue.number,
            action: action_of(change),
            sender: by.to_owned(),
            by_bot: false,
            title: issue.title,
            body: issue.body,
            labels: issue.labels,
            at: issue.updated_at,
            // Nobody closes an issue here but to cancel it.
            not_planned: !issue.open,
            family: rows::family(&self.pool, story).await?,
        }))
    }

    /// The time in the database's precision, so that what is returned is what is stored.
    fn now(&self) -> Timestamp {
        let now = (self.clock)();
        Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now)
    }
}

fn action_of(change: Change<'_>) -> IssueAction {
    match change {
        Change::AddLabel(label) => IssueAction::Labeled(label.to_owned()),
        Change::RemoveLabel(label) => IssueAction::Unlabeled(label.to_owned()),
        Change::SetOpen(true) => IssueAction::Reopened,
        Change::SetOpen(false) => IssueAction::Closed,
    }
}

fn check_comment(body: &str) -> Result<(), ForgeError> {
    match body.chars().count() {
        0 => Err(refused("a comment needs a text")),
        1..=LONGEST_COMMENT => Ok(()),
        _ => Err(refused(&format!(
            "a comment has at most {LONGEST_COMMENT} characters"
        ))),
    }
}

fn refused(message: &str) -> ForgeError {
    ForgeError::Invalid {
        message: message.to_owned(),
    }
}

fn not_found(story: &StoryId) -> ForgeError {
    ForgeError::NotFound {
        what: story.to_string(),
    }
}

impl From<sqlx::Error> for ForgeError {
    fn from(error: sqlx::Error) -> Self {
        Self::Unavailable {
            message: format!("the local forge's database: {error}"),
        }
    }
}
