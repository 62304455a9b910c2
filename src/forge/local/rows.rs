//! The local forge's tables (`store/migrations/0002_local_forge.sql` and
//! `0004_local_sub_issues.sql`): SQL in, values out.

use jiff::Timestamp;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, Sqlite, SqliteConnection, SqlitePool, Transaction};

use super::{LocalComment, LocalIssue, LocalStatus};
use crate::domain::dependency::{Family, Parent};
use crate::domain::id::{RepoName, Sha, StoryId};
use crate::forge::{CommentId, Status, StatusState};

type Result<T> = std::result::Result<T, sqlx::Error>;

/// One change of an issue.
#[derive(Debug, Clone, Copy)]
pub(super) enum Change<'a> {
    AddLabel(&'a str),
    RemoveLabel(&'a str),
    SetOpen(bool),
}

pub(super) struct NewIssue<'a> {
    pub(super) repo: &'a RepoName,
    pub(super) title: &'a str,
    pub(super) body: &'a str,
    pub(super) author: &'a str,
}

pub(super) struct NewComment<'a> {
    pub(super) author: &'a str,
    pub(super) body: &'a str,
}

pub(super) struct NewStatus<'a> {
    pub(super) repo: &'a RepoName,
    pub(super) commit: &'a Sha,
    pub(super) status: &'a Status,
}

/// Takes the write lock at once: a transaction that reads first and writes later could find the
/// database changed in between, and fail.
pub(super) async fn begin(pool: &SqlitePool) -> Result<Transaction<'static, Sqlite>> {
    pool.begin_with("BEGIN IMMEDIATE").await
}

pub(super) async fn insert_issue(
    pool: &SqlitePool,
    issue: &NewIssue<'_>,
    now: Timestamp,
) -> Result<u64> {
    let inserted = sqlx::query(
        "INSERT INTO local_issues (repo, number, title, body, state, author, created_at, updated_at)
         SELECT ?1, COALESCE(MAX(number), 0) + 1, ?2, ?3, 'open', ?4, ?5, ?5
         FROM local_issues WHERE repo = ?1
         RETURNING number",
    );
    let row = inserted
        .bind(issue.repo.as_str())
        .bind(issue.title)
        .bind(issue.body)
        .bind(issue.author)
        .bind(now.as_microsecond())
        .fetch_one(pool)
        .await?;
    number_in(&row)
}

pub(super) async fn issues(pool: &SqlitePool, repo: &RepoName) -> Result<Vec<LocalIssue>> {
    let mut transaction = pool.begin().await?;
    let rows = sqlx::query("SELECT * FROM local_issues WHERE repo = ? ORDER BY number")
        .bind(repo.as_str())
        .fetch_all(&mut *transaction)
        .await?;
    let mut issues = Vec::with_capacity(rows.len());
    for row in rows {
        let story = StoryId::new(repo.clone(), number_in(&row)?);
        issues.push(issue_in(&row, labels(&mut transaction, &story).await?)?);
    }
    Ok(issues)
}

/// `None` when there is no such issue.
pub(super) async fn issue(
    connection: &mut SqliteConnection,
    story: &StoryId,
) -> Result<Option<LocalIssue>> {
    let found = sqlx::query("SELECT * FROM local_issues WHERE repo = ? AND number = ?")
        .bind(story.repo.as_str())
        .bind(key(story))
        .fetch_optional(&mut *connection)
        .await?;
    match found {
        Some(row) => Ok(Some(issue_in(&row, labels(connection, story).await?)?)),
        None => Ok(None),
    }
}

pub(super) async fn insert_parent(
    connection: &mut SqliteConnection,
    parent: &StoryId,
    part: u64,
) -> Result<()> {
    sqlx::query("INSERT INTO local_parents (repo, number, parent) VALUES (?, ?, ?)")
        .bind(parent.repo.as_str())
        .bind(key(&StoryId::new(parent.repo.clone(), part)))
        .bind(key(parent))
        .execute(connection)
        .await?;
    Ok(())
}

/// What an issue is a part of, and whether it has parts.
pub(super) async fn family(pool: &SqlitePool, story: &StoryId) -> Result<Family> {
    let parent =
        sqlx::query("SELECT parent AS number FROM local_parents WHERE repo = ? AND number = ?")
            .bind(story.repo.as_str())
            .bind(key(story))
            .fetch_optional(pool)
            .await?;
    let parent = match parent {
        Some(row) => Parent::Here {
            issue: number_in(&row)?,
        },
        None => Parent::None,
    };
    let parts = parts(pool, story).await?;
    Ok(Family {
        parent,
        sub_issues: Some(!parts.is_empty()),
    })
}

/// The numbers of an issue's parts.
pub(super) async fn parts(pool: &SqlitePool, story: &StoryId) -> Result<Vec<u64>> {
    let rows = sqlx::query(
        "SELECT number FROM local_parents WHERE repo = ? AND parent = ? ORDER BY number",
    )
    .bind(story.repo.as_str())
    .bind(key(story))
    .fetch_all(pool)
    .await?;
    rows.iter().map(number_in).collect()
}

async fn labels(connection: &mut SqliteConnection, story: &StoryId) -> Result<Vec<String>> {
    sqlx::query_scalar("SELECT name FROM local_labels WHERE repo = ? AND number = ? ORDER BY id")
        .bind(story.repo.as_str())
        .bind(key(story))
        .fetch_all(connection)
        .await
}

/// Makes a change of an issue that is there; false when it was like that already.
pub(super) async fn apply(
    connection: &mut SqliteConnection,
    story: &StoryId,
    change: Change<'_>,
    now: Timestamp,
) -> Result<bool> {
    let (statement, value) = match change {
        Change::AddLabel(label) => (
            "INSERT INTO local_labels (repo, number, name) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
            label,
        ),
        Change::RemoveLabel(label) => (
            "DELETE FROM local_labels WHERE repo = ? AND number = ? AND name = ?",
            label,
        ),
        Change::SetOpen(open) => (
            "UPDATE local_issues SET state = ?3 WHERE repo = ?1 AND number = ?2 AND state <> ?3",
            if open { "open" } else { "closed" },
        ),
    };
    let written = sqlx::query(statement)
        .bind(story.repo.as_str())
        .bind(key(story))
        .bind(value)
        .execute(&mut *connection)
        .await?;
    let changed = written.rows_affected() > 0;
    if changed {
        touch(connection, story, now).await?;
    }
    Ok(changed)
}

async fn touch(connection: &mut SqliteConnection, story: &StoryId, now: Timestamp) -> Result<()> {
    sqlx::query("UPDATE local_issues SET updated_at = ? WHERE repo = ? AND number = ?")
        .bind(now.as_microsecond())
        .bind(story.repo.as_str())
        .bind(key(story))
        .execute(connection)
        .await?;
    Ok(())
}

pub(super) async fn insert_comment(
    connection: &mut SqliteConnection,
    story: &StoryId,
    comment: &NewComment<'_>,
    now: Timestamp,
) -> Result<CommentId> {
    let id: i64 = sqlx::query_scalar(
        "INSERT INTO local_comments (repo, number, author, body, created_at, updated_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?5) RETURNING id",
    )
    .bind(story.repo.as_str())
    .bind(key(story))
    .bind(comment.author)
    .bind(comment.body)
    .bind(now.as_microsecond())
    .fetch_one(&mut *connection)
    .await?;
    touch(connection, story, now).await?;
    Ok(CommentId(id.to_string()))
}

pub(super) async fn has_comment(pool: &SqlitePool, id: u64) -> Result<bool> {
    let found: Option<i64> = sqlx::query_scalar("SELECT id FROM local_comments WHERE id = ?1")
        .bind(i64::try_from(id).unwrap_or_default())
        .fetch_optional(pool)
        .await?;
    Ok(found.is_some())
}

/// False when the comment is gone.
pub(super) async fn update_comment(
    pool: &SqlitePool,
    comment: &CommentId,
    body: &str,
    now: Timestamp,
) -> Result<bool> {
    let Ok(id) = comment.0.parse::<i64>() else {
        return Ok(false);
    };
    let written = sqlx::query("UPDATE local_comments SET body = ?, updated_at = ? WHERE id = ?")
        .bind(body)
        .bind(now.as_microsecond())
        .bind(id)
        .execute(pool)
        .await?;
    Ok(written.rows_affected() > 0)
}

pub(super) async fn comments(pool: &SqlitePool, story: &StoryId) -> Result<Vec<LocalComment>> {
    let rows =
        sqlx::query("SELECT * FROM local_comments WHERE repo = ? AND number = ? ORDER BY id")
            .bind(story.repo.as_str())
            .bind(key(story))
            .fetch_all(pool)
            .await?;
    let comment = |row: &SqliteRow| {
        Ok(LocalComment {
            id: CommentId(row.try_get::<i64, _>("id")?.to_string()),
            author: row.try_get("author")?,
            body: row.try_get("body")?,
            created_at: time_in(row, "created_at")?,
            updated_at: time_in(row, "updated_at")?,
        })
    };
    rows.iter().map(comment).collect()
}

pub(super) async fn insert_status(
    pool: &SqlitePool,
    new: &NewStatus<'_>,
    now: Timestamp,
) -> Result<()> {
    sqlx::query(
        "INSERT INTO local_statuses (repo, commit_id, context, state, description, target_url, created_at)
         VALUES (?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(new.repo.as_str())
    .bind(new.commit.as_str())
    .bind(&new.status.context)
    .bind(new.status.state.name())
    .bind(new.status.short_description())
    .bind(&new.status.target_url)
    .bind(now.as_microsecond())
    .execute(pool)
    .await?;
    Ok(())
}

pub(super) async fn statuses(
    pool: &SqlitePool,
    repo: &RepoName,
    commit: &Sha,
) -> Result<Vec<LocalStatus>> {
    let rows =
        sqlx::query("SELECT * FROM local_statuses WHERE repo = ? AND commit_id = ? ORDER BY id")
            .bind(repo.as_str())
            .bind(commit.as_str())
            .fetch_all(pool)
            .await?;
    let status = |row: &SqliteRow| {
        Ok(LocalStatus {
            commit: commit.clone(),
            context: row.try_get("context")?,
            state: state_in(row)?,
            description: row.try_get("description")?,
            target_url: row.try_get("target_url")?,
            created_at: time_in(row, "created_at")?,
        })
    };
    rows.iter().map(status).collect()
}

/// A story's number as SQLite keeps it. Numbers beyond its range belong to no issue; `-1` is none.
fn key(story: &StoryId) -> i64 {
    i64::try_from(story.number).unwrap_or(-1)
}

fn issue_in(row: &SqliteRow, labels: Vec<String>) -> Result<LocalIssue> {
    Ok(LocalIssue {
        number: number_in(row)?,
        title: row.try_get("title")?,
        body: row.try_get("body")?,
        author: row.try_get("author")?,
        labels,
        open: row.try_get::<String, _>("state")? == "open",
        created_at: time_in(row, "created_at")?,
        updated_at: time_in(row, "updated_at")?,
    })
}

fn number_in(row: &SqliteRow) -> Result<u64> {
    u64::try_from(row.try_get::<i64, _>("number")?).map_err(|error| undecodable("number", error))
}

fn time_in(row: &SqliteRow, column: &str) -> Result<Timestamp> {
    Timestamp::from_microsecond(row.try_get(column)?).map_err(|error| undecodable(column, error))
}

fn state_in(row: &SqliteRow) -> Result<StatusState> {
    let name: String = row.try_get("state")?;
    let states = [
        StatusState::Pending,
        StatusState::Success,
        StatusState::Failure,
        StatusState::Error,
    ];
    let known = states.into_iter().find(|state| state.name() == name);
    known.ok_or_else(|| undecodable("state", format!("`{name}` is no state")))
}

fn undecodable(
    column: &str,
    source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> sqlx::Error {
    sqlx::Error::ColumnDecode {
        index: column.to_owned(),
        source: source.into(),
    }
}
