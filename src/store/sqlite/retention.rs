//! Old rows out of the file.

use std::ops::Range;

use async_trait::async_trait;
use jiff::Timestamp;
use sqlx::sqlite::SqliteArguments;
use sqlx::{AssertSqlSafe, FromRow};

use super::read::{name, subject_id, value};
use super::write::{json, time};
use super::{Failure, SqliteStore};
use crate::domain::event::SubjectId;
use crate::domain::id::RunId;
use crate::domain::transition::Subject;
use crate::store::StoreError;
use crate::store::retention::{EndedRun, Freed, LAST_LINES, LastSeen, Mode, Retention, STEP};

/// Rows of one table that go together.
struct Sweep<'a> {
    /// `FROM … WHERE …`, with the place for its arguments.
    rows: &'a str,
    /// What a row holds, in bytes.
    size: &'a str,
    /// `DELETE FROM …` or `UPDATE … SET …`, to be followed by which rows.
    statement: &'a str,
    arguments: Vec<String>,
}

impl Sweep<'_> {
    async fn carry_out(&self, store: &SqliteStore, mode: Mode) -> Result<Freed, Failure> {
        let (rows, size) = (self.rows, self.size);
        let look = format!("SELECT count(*), coalesce(sum({size}), 0) {rows}");
        let query = sqlx::query_as_with(AssertSqlSafe(look), self.bound());
        let (count, bytes): (i64, i64) = query.fetch_one(&store.readers).await?;
        if mode == Mode::Remove && count > 0 {
            self.remove(store).await?;
        }
        Ok(Freed {
            rows: count.unsigned_abs(),
            bytes: bytes.unsigned_abs(),
        })
    }

    async fn remove(&self, store: &SqliteStore) -> Result<(), Failure> {
        let (statement, rows) = (self.statement, self.rows);
        let step = format!("{statement} WHERE rowid IN (SELECT rowid {rows} LIMIT {STEP})");
        loop {
            let query = sqlx::query_with(AssertSqlSafe(step.clone()), self.bound());
            if query.execute(&store.writer).await?.rows_affected() < u64::from(STEP) {
                return Ok(());
            }
        }
    }

    fn bound(&self) -> SqliteArguments {
        let mut arguments = SqliteArguments::default();
        for argument in &self.arguments {
            // Text always fits.
            drop(sqlx::Arguments::add(&mut arguments, argument.clone()));
        }
        arguments
    }
}

#[derive(FromRow)]
struct SeenRow {
    subject: String,
    state: String,
    at: String,
}

async fn last_seen(store: &SqliteStore) -> Result<Vec<LastSeen>, Failure> {
    let rows: Vec<SeenRow> = sqlx::query_as(
        "SELECT subject, state, (SELECT at FROM events WHERE events.subject = subjects.subject
                                 ORDER BY line DESC LIMIT 1) AS at
         FROM subjects WHERE subject_kind = 'story' AND at IS NOT NULL",
    )
    .fetch_all(&store.readers)
    .await?;
    let mut seen = Vec::new();
    for row in rows {
        let what = || row.subject.clone();
        if let Subject::Story(story) = value(&row.state, what)? {
            seen.push(LastSeen {
                story: *story,
                at: name(&row.at, what)?,
            });
        }
    }
    Ok(seen)
}

#[derive(FromRow)]
struct RunRow {
    id: String,
    subject_kind: String,
    subject: String,
}

async fn ended_runs(store: &SqliteStore) -> Result<Vec<EndedRun>, Failure> {
    let rows: Vec<RunRow> = sqlx::query_as(
        "SELECT id, subject_kind, subject FROM runs WHERE state = 'ended' ORDER BY seq",
    )
    .fetch_all(&store.readers)
    .await?;
    rows.iter()
        .map(|row| {
            let what = || format!("the run {}", row.id);
            Ok(EndedRun {
                id: value(&row.id, what)?,
                subject: subject_id(&row.subject_kind, &row.subject, what)?,
            })
        })
        .collect()
}

async fn forget_runs(store: &SqliteStore, runs: &[RunId]) -> Result<(), Failure> {
    for run in runs {
        sqlx::query("DELETE FROM runs WHERE id = ? AND state = 'ended'")
            .bind(json(run)?)
            .execute(&store.writer)
            .await?;
    }
    Ok(())
}

async fn other_subjects(store: &SqliteStore) -> Result<Vec<SubjectId>, Failure> {
    let rows: Vec<(String, String)> =
        sqlx::query_as("SELECT subject_kind, subject FROM subjects WHERE subject_kind <> 'story'")
            .fetch_all(&store.readers)
            .await?;
    rows.iter()
        .map(|(kind, subject)| subject_id(kind, subject, || format!("the subject {subject}")))
        .collect()
}

#[async_trait]
impl Retention for SqliteStore {
    async fn last_seen(&self) -> Result<Vec<LastSeen>, StoreError> {
        self.located(last_seen(self).await)
    }

    async fn ended_runs(&self) -> Result<Vec<EndedRun>, StoreError> {
        self.located(ended_runs(self).await)
    }

    async fn forget_runs(&self, runs: &[RunId]) -> Result<(), StoreError> {
        self.located(forget_runs(self, runs).await)
    }

    async fn drop_delivery_bodies(
        &self,
        between: Range<Timestamp>,
        mode: Mode,
    ) -> Result<Freed, StoreError> {
        let sweep = Sweep {
            rows: "FROM deliveries WHERE taken = 1 AND content IS NOT NULL
                   AND received_at >= ? AND received_at < ?",
            size: "length(content)",
            statement: "UPDATE deliveries SET content = NULL",
            arguments: vec![time(between.start), time(between.end)],
        };
        self.located(sweep.carry_out(self, mode).await)
    }

    async fn drop_deliveries(&self, before: Timestamp, mode: Mode) -> Result<Freed, StoreError> {
        let sweep = Sweep {
            rows: "FROM deliveries WHERE (taken = 1 OR content IS NULL) AND received_at < ?",
            size: "length(id) + coalesce(length(content), 0)",
            statement: "DELETE FROM deliveries",
            arguments: vec![time(before)],
        };
        self.located(sweep.carry_out(self, mode).await)
    }

    async fn drop_events(
        &self,
        subject: &SubjectId,
        before: Timestamp,
        mode: Mode,
    ) -> Result<Freed, StoreError> {
        let rows = format!(
            "FROM events WHERE subject = ?1 AND at < ?2
             AND line <= (SELECT max(line) - {LAST_LINES} FROM events WHERE subject = ?1)"
        );
        let sweep = Sweep {
            rows: &rows,
            size: "length(event)",
            statement: "DELETE FROM events",
            arguments: vec![subject.to_string(), time(before)],
        };
        self.located(sweep.carry_out(self, mode).await)
    }

    async fn other_subjects(&self) -> Result<Vec<SubjectId>, StoreError> {
        self.located(other_subjects(self).await)
    }
}
