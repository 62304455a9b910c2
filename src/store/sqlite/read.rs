//! Domain values out of rows.

use serde::de::{DeserializeOwned, Error as _};
use sqlx::{FromRow, SqlitePool};

use crate::domain::event::SubjectId;
use crate::domain::head::HeadId;
use crate::domain::id::{DeliveryId, RunId, StoryId};
use crate::domain::transition::Subject;
use crate::store::{
    EffectId, EventRecord, NewDelivery, PendingAct, PendingSurface, RunRecord, RunState,
    StoreError, StoryFilter, TimerWrite, Written,
};

use super::Failure;
use super::write::{integer, json};

pub(super) async fn subject(
    pool: &SqlitePool,
    id: &SubjectId,
) -> Result<Option<(Subject, u64)>, Failure> {
    let row: Option<(String, i64)> =
        sqlx::query_as("SELECT state, version FROM subjects WHERE subject = ?")
            .bind(id.to_string())
            .fetch_optional(pool)
            .await?;
    let Some((state, version)) = row else {
        return Ok(None);
    };
    Ok(Some((value(&state, || id.to_string())?, count(version)?)))
}

pub(super) async fn stories(
    pool: &SqlitePool,
    filter: &StoryFilter,
) -> Result<Vec<Subject>, Failure> {
    let query = match &filter.repo {
        Some(repo) => sqlx::query_as(
            "SELECT subject, state FROM subjects
             WHERE subject_kind = 'story' AND repo = ? ORDER BY number",
        )
        .bind(repo.as_str()),
        None => sqlx::query_as(
            "SELECT subject, state FROM subjects
             WHERE subject_kind = 'story' ORDER BY repo, number",
        ),
    };
    let rows: Vec<(String, String)> = query.fetch_all(pool).await?;
    rows.iter()
        .map(|(subject, state)| value(state, || subject.clone()))
        .collect()
}

#[derive(FromRow)]
struct EventRow {
    line: i64,
    version: i64,
    at: String,
    event: String,
    refusal: Option<String>,
}

pub(super) async fn events(
    pool: &SqlitePool,
    id: &SubjectId,
    after: u64,
) -> Result<Vec<(u64, EventRecord)>, Failure> {
    let rows: Vec<EventRow> = sqlx::query_as(
        "SELECT line, version, at, event, refusal FROM events
         WHERE subject = ? AND line > ? ORDER BY line",
    )
    .bind(id.to_string())
    .bind(integer(after)?)
    .fetch_all(pool)
    .await?;
    rows.into_iter().map(|row| row.into_record(id)).collect()
}

impl EventRow {
    fn into_record(self, subject: &SubjectId) -> Result<(u64, EventRecord), Failure> {
        let what = || format!("line {} of the log of {subject}", self.line);
        let record = EventRecord {
            subject: subject.clone(),
            version: count(self.version)?,
            at: name(&self.at, what)?,
            event: value(&self.event, what)?,
            refusal: self.refusal.clone(),
        };
        Ok((count(self.line)?, record))
    }
}

pub(super) async fn has_delivery(pool: &SqlitePool, id: &DeliveryId) -> Result<bool, Failure> {
    let found = sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM deliveries WHERE id = ?)")
        .bind(id.as_str())
        .fetch_one(pool)
        .await?;
    Ok(found)
}

#[derive(FromRow)]
struct DeliveryRow {
    id: String,
    received_at: String,
    name: String,
    content: String,
    reason: Option<String>,
}

pub(super) async fn pending_deliveries(
    pool: &SqlitePool,
    limit: u32,
) -> Result<Vec<NewDelivery>, Failure> {
    let rows: Vec<DeliveryRow> = sqlx::query_as(
        "SELECT id, received_at, name, content, reason FROM deliveries
         WHERE taken = 0 AND content IS NOT NULL ORDER BY seq LIMIT ?",
    )
    .bind(limit)
    .fetch_all(pool)
    .await?;
    rows.iter().map(DeliveryRow::delivery).collect()
}

pub(super) async fn inbox_depth(pool: &SqlitePool) -> Result<u64, Failure> {
    let depth = sqlx::query_scalar(
        "SELECT count(*) FROM deliveries WHERE taken = 0 AND content IS NOT NULL",
    )
    .fetch_one(pool)
    .await?;
    count(depth)
}

impl DeliveryRow {
    /// What cannot be read must not hold up what came behind it: it has a reason instead of content.
    fn delivery(&self) -> Result<NewDelivery, Failure> {
        let what = || format!("the delivery {}", self.id);
        let (content, reason) = match serde_json::from_str(&self.content) {
            Ok(content) => (Some(content), self.reason.clone()),
            Err(error) => (None, Some(format!("its content cannot be read: {error}"))),
        };
        Ok(NewDelivery {
            id: name(&self.id, what)?,
            received_at: name(&self.received_at, what)?,
            event: self.name.clone(),
            content,
            reason,
        })
    }
}

#[derive(FromRow)]
struct ActRow {
    id: String,
    subject_kind: String,
    subject: String,
    act: String,
}

pub(super) async fn pending_acts(pool: &SqlitePool) -> Result<Vec<PendingAct>, Failure> {
    let rows: Vec<ActRow> =
        sqlx::query_as("SELECT id, subject_kind, subject, act FROM acts ORDER BY seq")
            .fetch_all(pool)
            .await?;
    rows.into_iter().map(ActRow::into_act).collect()
}

impl ActRow {
    fn into_act(self) -> Result<PendingAct, Failure> {
        let what = || format!("the act {}", self.id);
        Ok(PendingAct {
            subject: subject_id(&self.subject_kind, &self.subject, what)?,
            act: value(&self.act, what)?,
            id: EffectId(self.id.clone()),
        })
    }
}

#[derive(FromRow)]
struct RunRow {
    id: String,
    subject_kind: String,
    subject: String,
    run: String,
    state: String,
    process: Option<String>,
    stop_wanted: bool,
}

pub(super) async fn open_runs(pool: &SqlitePool) -> Result<Vec<(RunRecord, bool)>, Failure> {
    let rows: Vec<RunRow> =
        sqlx::query_as("SELECT * FROM runs WHERE state <> 'ended' ORDER BY seq")
            .fetch_all(pool)
            .await?;
    rows.into_iter()
        .map(|row| Ok((row.record()?, row.stop_wanted)))
        .collect()
}

pub(super) async fn run(pool: &SqlitePool, id: &RunId) -> Result<Option<RunRecord>, Failure> {
    let row: Option<RunRow> = sqlx::query_as("SELECT * FROM runs WHERE id = ?")
        .bind(json(id)?)
        .fetch_optional(pool)
        .await?;
    row.map(|row| row.record()).transpose()
}

pub(super) async fn runs_of(pool: &SqlitePool, story: &StoryId) -> Result<Vec<RunRecord>, Failure> {
    let rows: Vec<RunRow> = sqlx::query_as("SELECT * FROM runs WHERE subject = ? ORDER BY seq")
        .bind(story.to_string())
        .fetch_all(pool)
        .await?;
    rows.iter().map(RunRow::record).collect()
}

impl RunRow {
    fn record(&self) -> Result<RunRecord, Failure> {
        let what = || format!("the run {}", self.id);
        Ok(RunRecord {
            id: value(&self.id, what)?,
            subject: subject_id(&self.subject_kind, &self.subject, what)?,
            run: value(&self.run, what)?,
            state: self.run_state()?,
        })
    }

    fn run_state(&self) -> Result<RunState, Failure> {
        let what = || format!("the state of the run {}", self.id);
        match (self.state.as_str(), &self.process) {
            ("requested", _) => Ok(RunState::Requested),
            ("started", Some(process)) => {
                let process = value(process, what)?;
                Ok(RunState::Started { process })
            }
            ("ended", _) => Ok(RunState::Ended),
            (state, _) => {
                let problem = format!("`{state}` is no state of a run");
                Err(corrupt(what, serde_json::Error::custom(problem)))
            }
        }
    }
}

#[derive(FromRow)]
struct SurfaceRow {
    subject_kind: String,
    subject: String,
    key: String,
    surface: String,
    version: i64,
    handle: Option<String>,
    digest: Option<String>,
}

pub(super) async fn pending_surfaces(pool: &SqlitePool) -> Result<Vec<PendingSurface>, Failure> {
    let rows: Vec<SurfaceRow> = sqlx::query_as(
        "SELECT subject_kind, subject, key, surface, version, handle, digest FROM surfaces
         WHERE written_version < version ORDER BY seq",
    )
    .fetch_all(pool)
    .await?;
    rows.into_iter().map(SurfaceRow::into_surface).collect()
}

pub(super) async fn surface(
    pool: &SqlitePool,
    subject: &SubjectId,
    key: &str,
) -> Result<Option<PendingSurface>, Failure> {
    let row: Option<SurfaceRow> = sqlx::query_as(
        "SELECT subject_kind, subject, key, surface, version, handle, digest FROM surfaces
         WHERE subject = ? AND key = ?",
    )
    .bind(subject.to_string())
    .bind(key)
    .fetch_optional(pool)
    .await?;
    row.map(SurfaceRow::into_surface).transpose()
}

impl SurfaceRow {
    fn into_surface(self) -> Result<PendingSurface, Failure> {
        let what = || format!("the surface {} of {}", self.key, self.subject);
        let written = self.handle.clone().zip(self.digest.clone());
        Ok(PendingSurface {
            subject: subject_id(&self.subject_kind, &self.subject, what)?,
            surface: value(&self.surface, what)?,
            version: count(self.version)?,
            written: written.map(|(handle, digest)| Written { handle, digest }),
        })
    }
}

pub(super) async fn calls(pool: &SqlitePool, subject: &SubjectId) -> Result<u64, Failure> {
    let calls: Option<i64> = sqlx::query_scalar("SELECT calls FROM forge_calls WHERE subject = ?")
        .bind(subject.to_string())
        .fetch_optional(pool)
        .await?;
    calls.map_or(Ok(0), count)
}

#[derive(FromRow)]
struct TimerRow {
    subject_kind: String,
    subject: String,
    name: String,
    at: String,
    event: String,
}

pub(super) async fn timers(pool: &SqlitePool) -> Result<Vec<TimerWrite>, Failure> {
    let rows: Vec<TimerRow> =
        sqlx::query_as("SELECT subject_kind, subject, name, at, event FROM timers ORDER BY at")
            .fetch_all(pool)
            .await?;
    rows.into_iter().map(TimerRow::into_timer).collect()
}

impl TimerRow {
    fn into_timer(self) -> Result<TimerWrite, Failure> {
        let what = || format!("the timer {} of {}", self.name, self.subject);
        Ok(TimerWrite {
            subject: subject_id(&self.subject_kind, &self.subject, what)?,
            at: name(&self.at, what)?,
            event: value(&self.event, what)?,
            name: self.name.clone(),
        })
    }
}

/// The inverse of [`SubjectId::kind`] and its `Display`.
pub(super) fn subject_id(
    kind: &str,
    text: &str,
    what: impl Fn() -> String,
) -> Result<SubjectId, Failure> {
    match kind {
        "story" => Ok(SubjectId::Story(name(text, what)?)),
        "repo" => Ok(SubjectId::Repo(name(text, what)?)),
        "head" => {
            let (repo, sha) = text.split_once('@').unwrap_or((text, ""));
            Ok(SubjectId::Head(HeadId {
                repo: name(repo, &what)?,
                sha: name(sha, &what)?,
            }))
        }
        "account" => Ok(SubjectId::Account),
        _ => {
            let problem = format!("`{kind}` is no kind of subject");
            Err(corrupt(what, serde_json::Error::custom(problem)))
        }
    }
}

pub(super) fn value<T: DeserializeOwned>(
    text: &str,
    what: impl Fn() -> String,
) -> Result<T, Failure> {
    serde_json::from_str(text).map_err(|source| corrupt(what, source))
}

pub(super) fn name<T>(text: &str, what: impl Fn() -> String) -> Result<T, Failure>
where
    T: std::str::FromStr<Err: std::fmt::Display>,
{
    text.parse()
        .map_err(|problem: T::Err| corrupt(what, serde_json::Error::custom(problem)))
}

fn corrupt(what: impl Fn() -> String, source: serde_json::Error) -> Failure {
    let what = what();
    StoreError::Corrupt { what, source }.into()
}

fn count(value: i64) -> Result<u64, Failure> {
    let count = u64::try_from(value).map_err(|error| sqlx::Error::Decode(error.into()))?;
    Ok(count)
}
