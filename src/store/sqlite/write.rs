//! Rows out of domain values. Everything here runs inside one transaction of the caller's.

use std::collections::HashSet;

use jiff::Timestamp;
use serde::Serialize;
use sqlx::{SqliteConnection, SqlitePool};

use crate::domain::effect::Run;
use crate::domain::event::SubjectId;
use crate::domain::id::{DeliveryId, RepoName, RunId};
use crate::domain::work::ProcessIdentity;
use crate::store::{
    Commit, EffectId, EventRecord, NewDelivery, PendingAct, RunWrite, StoreError, SubjectWrite,
    SurfaceWrite, TimerWrite, Written,
};

use super::Failure;

/// Writes all of `commit` in the order of its fields. After a failure the caller rolls back.
pub(super) async fn apply(
    connection: &mut SqliteConnection,
    commit: &Commit,
) -> Result<(), Failure> {
    for id in &commit.taken {
        take_delivery(connection, id).await?;
    }
    for record in &commit.events {
        append_event(connection, record).await?;
    }
    for write in &commit.subjects {
        write_subject(connection, write).await?;
    }
    for act in &commit.acts {
        insert_act(connection, act).await?;
    }
    for id in &commit.finished_acts {
        delete_act(connection, id).await?;
    }
    for write in &commit.runs {
        write_run(connection, write).await?;
    }
    for write in &commit.surfaces {
        desire_surface(connection, write).await?;
    }
    for (subject, name, at) in &commit.fired {
        disarm(connection, subject, name, *at).await?;
    }
    for timer in &commit.timers {
        arm(connection, timer).await?;
    }
    Ok(())
}

/// One statement for any number of deliveries, which is a transaction by itself: with one for each,
/// most of the time would go into handing them over. `true` for those that are new.
pub(super) async fn receive(
    writer: &SqlitePool,
    deliveries: &[NewDelivery],
) -> Result<Vec<bool>, Failure> {
    if let [delivery] = deliveries {
        return Ok(vec![receive_one(writer, delivery).await?]);
    }
    let rows = deliveries
        .iter()
        .map(Arrived::of)
        .collect::<Result<Vec<_>, _>>()?;
    let inserted: Vec<String> = sqlx::query_scalar(
        "INSERT INTO deliveries (id, received_at, name, content, reason)
         SELECT value ->> 'id', value ->> 'received_at', value ->> 'name', value ->> 'content',
                value ->> 'reason'
         FROM json_each(?) WHERE true ORDER BY key
         ON CONFLICT (id) DO NOTHING RETURNING id",
    )
    .bind(json(&rows)?)
    .fetch_all(writer)
    .await?;
    let mut inserted: HashSet<String> = inserted.into_iter().collect();
    let is_new = |delivery: &NewDelivery| inserted.remove(delivery.id.as_str());
    Ok(deliveries.iter().map(is_new).collect())
}

/// Most come alone, and need neither a list nor an answer that is one.
async fn receive_one(writer: &SqlitePool, delivery: &NewDelivery) -> Result<bool, Failure> {
    let row = Arrived::of(delivery)?;
    let inserted = sqlx::query(
        "INSERT INTO deliveries (id, received_at, name, content, reason) VALUES (?, ?, ?, ?, ?)
         ON CONFLICT (id) DO NOTHING",
    )
    .bind(row.id)
    .bind(row.received_at)
    .bind(row.name)
    .bind(row.content)
    .bind(row.reason)
    .execute(writer)
    .await?;
    Ok(inserted.rows_affected() == 1)
}

/// A row of the inbox, on its way to SQLite.
#[derive(Serialize)]
struct Arrived<'a> {
    id: &'a str,
    received_at: String,
    name: &'a str,
    content: Option<String>,
    reason: Option<&'a str>,
}

impl<'a> Arrived<'a> {
    fn of(delivery: &'a NewDelivery) -> Result<Self, sqlx::Error> {
        Ok(Self {
            id: delivery.id.as_str(),
            received_at: time(delivery.received_at),
            name: &delivery.event,
            content: delivery.content.as_ref().map(json).transpose()?,
            reason: delivery.reason.as_deref(),
        })
    }
}

async fn take_delivery(connection: &mut SqliteConnection, id: &DeliveryId) -> Result<(), Failure> {
    let taken = sqlx::query("UPDATE deliveries SET taken = 1 WHERE id = ? AND taken = 0")
        .bind(id.as_str())
        .execute(connection)
        .await?;
    if taken.rows_affected() == 0 {
        return Err(StoreError::TakenAlready { id: id.clone() }.into());
    }
    Ok(())
}

async fn append_event(
    connection: &mut SqliteConnection,
    record: &EventRecord,
) -> Result<(), Failure> {
    sqlx::query(
        "INSERT INTO events (subject_kind, subject, line, version, at, name, event, refusal)
         VALUES (?1, ?2, (SELECT coalesce(max(line), 0) + 1 FROM events WHERE subject = ?2),
                 ?3, ?4, ?5, ?6, ?7)",
    )
    .bind(record.subject.kind())
    .bind(record.subject.to_string())
    .bind(integer(record.version)?)
    .bind(time(record.at))
    .bind(record.event.name())
    .bind(json(&record.event)?)
    .bind(&record.refusal)
    .execute(connection)
    .await?;
    Ok(())
}

async fn write_subject(
    connection: &mut SqliteConnection,
    write: &SubjectWrite,
) -> Result<(), Failure> {
    let (subject, state) = (write.id.to_string(), json(&write.state)?);
    let (expected, version) = (integer(write.expected)?, integer(write.version)?);
    let written = if expected == 0 {
        let (repo, number) = whereabouts(&write.id);
        sqlx::query(
            "INSERT INTO subjects (subject, subject_kind, repo, number, version, state)
             VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (subject) DO NOTHING",
        )
        .bind(&subject)
        .bind(write.id.kind())
        .bind(repo.map(RepoName::as_str))
        .bind(number.map(integer).transpose()?)
        .bind(version)
        .bind(state)
    } else {
        sqlx::query("UPDATE subjects SET version = ?, state = ? WHERE subject = ? AND version = ?")
            .bind(version)
            .bind(state)
            .bind(&subject)
            .bind(expected)
    }
    .execute(connection)
    .await?;
    if written.rows_affected() == 0 {
        let expected = write.expected;
        return Err(StoreError::VersionConflict { subject, expected }.into());
    }
    Ok(())
}

/// The repository that a subject belongs to, and a story's number.
fn whereabouts(id: &SubjectId) -> (Option<&RepoName>, Option<u64>) {
    match id {
        SubjectId::Story(story) => (Some(&story.repo), Some(story.number)),
        SubjectId::Repo(repo) => (Some(repo), None),
        SubjectId::Head(head) => (Some(&head.repo), None),
        SubjectId::Account => (None, None),
    }
}

/// An id that is there already is a fault: versions only count up, so no step has its name twice.
async fn insert_act(connection: &mut SqliteConnection, act: &PendingAct) -> Result<(), Failure> {
    let name: &'static str = (&act.act).into();
    sqlx::query("INSERT INTO acts (id, subject_kind, subject, name, act) VALUES (?, ?, ?, ?, ?)")
        .bind(&act.id.0)
        .bind(act.subject.kind())
        .bind(act.subject.to_string())
        .bind(name)
        .bind(json(&act.act)?)
        .execute(connection)
        .await?;
    Ok(())
}

async fn delete_act(connection: &mut SqliteConnection, id: &EffectId) -> Result<(), Failure> {
    sqlx::query("DELETE FROM acts WHERE id = ?")
        .bind(&id.0)
        .execute(connection)
        .await?;
    Ok(())
}

async fn write_run(connection: &mut SqliteConnection, write: &RunWrite) -> Result<(), Failure> {
    match write {
        RunWrite::Requested { id, subject, run } => request_run(connection, id, subject, run).await,
        RunWrite::Started { id, process } => start_run(connection, id, process).await,
        RunWrite::StopWanted { id } => {
            let stop = "UPDATE runs SET stop_wanted = 1 WHERE id = ?";
            sqlx::query(stop)
                .bind(json(id)?)
                .execute(connection)
                .await?;
            Ok(())
        }
        RunWrite::Ended { id } => {
            let end = "UPDATE runs SET state = 'ended' WHERE id = ?";
            sqlx::query(end).bind(json(id)?).execute(connection).await?;
            Ok(())
        }
    }
}

async fn request_run(
    connection: &mut SqliteConnection,
    id: &RunId,
    subject: &SubjectId,
    run: &Run,
) -> Result<(), Failure> {
    sqlx::query(
        "INSERT INTO runs (id, subject_kind, subject, run, state)
         VALUES (?, ?, ?, ?, 'requested') ON CONFLICT (id) DO NOTHING",
    )
    .bind(json(id)?)
    .bind(subject.kind())
    .bind(subject.to_string())
    .bind(json(run)?)
    .execute(connection)
    .await?;
    Ok(())
}

async fn start_run(
    connection: &mut SqliteConnection,
    id: &RunId,
    process: &ProcessIdentity,
) -> Result<(), Failure> {
    sqlx::query("UPDATE runs SET state = 'started', process = ? WHERE id = ? AND state <> 'ended'")
        .bind(json(process)?)
        .bind(json(id)?)
        .execute(connection)
        .await?;
    Ok(())
}

async fn desire_surface(
    connection: &mut SqliteConnection,
    write: &SurfaceWrite,
) -> Result<(), Failure> {
    sqlx::query(
        "INSERT INTO surfaces (subject_kind, subject, key, surface, version)
         VALUES (?, ?, ?, ?, 1)
         ON CONFLICT (subject, key)
         DO UPDATE SET surface = excluded.surface, version = surfaces.version + 1",
    )
    .bind(write.subject.kind())
    .bind(write.subject.to_string())
    .bind(write.surface.key())
    .bind(json(&write.surface)?)
    .execute(connection)
    .await?;
    Ok(())
}

/// `version` of a surface is on the forge.
pub(super) struct SurfaceUpdate<'a> {
    pub(super) subject: &'a SubjectId,
    pub(super) key: &'a str,
    pub(super) version: u64,
    pub(super) written: &'a Written,
}

impl SurfaceUpdate<'_> {
    pub(super) async fn apply(&self, writer: &SqlitePool) -> Result<(), Failure> {
        sqlx::query(
            "UPDATE surfaces SET written_version = ?1, handle = ?2, digest = ?3
             WHERE subject = ?4 AND key = ?5 AND written_version <= ?1",
        )
        .bind(integer(self.version)?)
        .bind(&self.written.handle)
        .bind(&self.written.digest)
        .bind(self.subject.to_string())
        .bind(self.key)
        .execute(writer)
        .await?;
        Ok(())
    }
}

pub(super) async fn add_calls(
    writer: &SqlitePool,
    subject: &SubjectId,
    calls: u64,
) -> Result<(), Failure> {
    sqlx::query(
        "INSERT INTO forge_calls (subject, calls) VALUES (?, ?)
         ON CONFLICT (subject) DO UPDATE SET calls = calls + excluded.calls",
    )
    .bind(subject.to_string())
    .bind(integer(calls)?)
    .execute(writer)
    .await?;
    Ok(())
}

async fn disarm(
    connection: &mut SqliteConnection,
    subject: &SubjectId,
    name: &str,
    at: Timestamp,
) -> Result<(), Failure> {
    sqlx::query("DELETE FROM timers WHERE subject = ? AND name = ? AND at = ?")
        .bind(subject.to_string())
        .bind(name)
        .bind(time(at))
        .execute(connection)
        .await?;
    Ok(())
}

async fn arm(connection: &mut SqliteConnection, timer: &TimerWrite) -> Result<(), Failure> {
    sqlx::query(
        "INSERT INTO timers (subject_kind, subject, name, at, event) VALUES (?, ?, ?, ?, ?)
         ON CONFLICT (subject, name) DO UPDATE SET at = excluded.at, event = excluded.event",
    )
    .bind(timer.subject.kind())
    .bind(timer.subject.to_string())
    .bind(&timer.name)
    .bind(time(timer.at))
    .bind(json(&timer.event)?)
    .execute(connection)
    .await?;
    Ok(())
}

/// The key of a run, and every column that holds a domain value.
pub(super) fn json<T: Serialize>(value: &T) -> Result<String, sqlx::Error> {
    serde_json::to_string(value).map_err(|error| sqlx::Error::Encode(error.into()))
}

/// Fixed width, so that the text sorts by time and comes back as the same instant.
pub(super) fn time(at: Timestamp) -> String {
    format!("{at:.9}")
}

/// SQLite's integers have a sign.
pub(super) fn integer(value: u64) -> Result<i64, sqlx::Error> {
    i64::try_from(value).map_err(|error| sqlx::Error::Encode(error.into()))
}
