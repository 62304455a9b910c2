//! The file as a whole: looked at before it is touched, copied while it is in use, brought to
//! today's tables with a copy of what was there before.

use std::path::{Path, PathBuf};

use sqlx::migrate::MigrateError;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, Connection as _, SqliteConnection, SqlitePool};

use super::{BUSY_TIMEOUT, Failure, MIGRATOR, SqliteStore};
use crate::crash::CrashPoints;
use crate::store::StoreError;

/// The version of the tables that this program writes.
fn newest() -> i64 {
    MIGRATOR
        .iter()
        .map(|migration| migration.version)
        .max()
        .unwrap_or_default()
}

/// A connection that can write nothing.
async fn look_at(path: &Path) -> Result<SqliteConnection, Failure> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .read_only(true)
        .busy_timeout(BUSY_TIMEOUT);
    Ok(SqliteConnection::connect_with(&options).await?)
}

/// The version of the file's tables; 0 for a file that has none yet.
async fn version(connection: &mut SqliteConnection) -> Result<i64, Failure> {
    let known = "SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE name = '_sqlx_migrations')";
    let known: bool = sqlx::query_scalar(known)
        .fetch_one(&mut *connection)
        .await?;
    if !known {
        return Ok(0);
    }
    let newest = "SELECT coalesce(max(version), 0) FROM _sqlx_migrations";
    Ok(sqlx::query_scalar(newest).fetch_one(connection).await?)
}

/// Looks whether the file at `path` is a whole store of this program or an older one, and changes
/// nothing; its version. `None`: there is no file yet.
pub(super) async fn examine(path: &Path) -> Result<Option<i64>, Failure> {
    // An empty file is what SQLite makes before it first writes.
    match std::fs::metadata(path) {
        Ok(metadata) if metadata.len() > 0 => {}
        Ok(_) => return Ok(None),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(sqlx::Error::Io(error).into()),
    }
    let mut connection = look_at(path).await?;
    let version = version(&mut connection).await?;
    if version > newest() {
        return Err(Failure::Newer);
    }
    let complaints: Vec<String> = sqlx::query_scalar("PRAGMA quick_check(1)")
        .fetch_all(&mut connection)
        .await?;
    connection.close().await?;
    match complaints.first().map(String::as_str) {
        None | Some("ok") => Ok(Some(version)),
        Some(complaint) => Err(Failure::Damaged(complaint.to_owned())),
    }
}

/// Where the copy lies that is made before the tables are brought to version `to`.
fn before(path: &Path, to: i64) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".before-{to}"));
    name.into()
}

/// Brings the tables up to date: one transaction round all migrations, so that of two processes
/// that open a new file at the same time the second one finds it ready, and one that is killed in
/// the middle leaves the file as it was.
pub(super) async fn migrate(
    path: &Path,
    writer: &SqlitePool,
    crash_points: &CrashPoints,
) -> Result<(), Failure> {
    let mut transaction = writer.begin_with("BEGIN IMMEDIATE").await?;
    // `run` does the same, but makes every future that opens a store one that is not `Send`: its
    // `Acquire` bound is not general enough for the compiler. sqlx keeps this way round it.
    let migrated = MIGRATOR.run_direct(None, &mut *transaction, false).await;
    crash_points.reach("store.migrate.before");
    match migrated {
        Ok(()) => transaction.commit().await?,
        Err(MigrateError::VersionMissing(_)) => return Err(Failure::Newer),
        Err(MigrateError::Execute(source)) => return Err(Failure::Database(source)),
        Err(error) => return Err(Failure::Database(error.into())),
    }
    crash_points.reach("store.migrate.after");
    tracing::debug!(path = %path.display(), version = newest(), "the store is up to date");
    Ok(())
}

/// Keeps a copy of an older store before its tables are changed. Made again after an interruption.
pub(super) async fn keep_before_migration(path: &Path, version: i64) -> Result<(), Failure> {
    if version == 0 || version == newest() {
        return Ok(());
    }
    let kept = before(path, newest());
    copy(path, &kept).await?;
    tracing::info!(kept = %kept.display(), from = version, to = newest(), "the store is brought up to date; a copy of the old one is kept");
    Ok(())
}

/// Writes a copy of the store as of one moment, whoever writes to it meanwhile. `into` is there
/// whole, or not at all.
async fn copy(path: &Path, into: &Path) -> Result<(), Failure> {
    let mut part = into.as_os_str().to_owned();
    part.push(".part");
    let part = PathBuf::from(part);
    match std::fs::remove_file(&part) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(sqlx::Error::Io(error).into());
        }
        Ok(()) | Err(_) => {}
    }
    let mut connection = look_at(path).await?;
    sqlx::query("VACUUM INTO ?")
        .bind(part.display().to_string())
        .execute(&mut connection)
        .await?;
    connection.close().await?;
    let finish = || {
        std::fs::File::open(&part)?.sync_all()?;
        std::fs::rename(&part, into)?;
        let folder = into
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty());
        std::fs::File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
    };
    Ok(finish().map_err(sqlx::Error::Io)?)
}

/// For backups: the file as a whole, whether or not a server has it open.
impl SqliteStore {
    /// Whether there is a store at `path` that this program can read, and is not damaged; its
    /// version. Changes nothing.
    pub async fn inspect(path: &Path) -> Result<Option<i64>, StoreError> {
        examine(path).await.map_err(|failure| failure.at(path))
    }

    /// Copies the store at `path` as of this moment.
    pub async fn copy(path: &Path, into: &Path) -> Result<(), StoreError> {
        copy(path, into).await.map_err(|failure| failure.at(path))
    }

    /// The text of every subject's state that is not at its end, and of every pending act: what
    /// names commits that must not be missing.
    pub async fn living_texts(path: &Path) -> Result<Vec<String>, StoreError> {
        let read = async {
            let mut connection = look_at(path).await?;
            let query = "SELECT state FROM subjects
                         WHERE coalesce(json_extract(state, '$.state.stage.stage'), '')
                               NOT IN ('done', 'cancelled')
                         UNION ALL SELECT act FROM acts";
            let texts = sqlx::query_scalar(query).fetch_all(&mut connection).await?;
            connection.close().await?;
            Ok(texts)
        };
        read.await.map_err(|failure: Failure| failure.at(path))
    }

    /// Marks every run that has not ended as started by a process that is nowhere: in the copy of a
    /// store that goes on elsewhere nobody knows what became of it, and it must not start again.
    pub async fn lose_open_runs(path: &Path) -> Result<u64, StoreError> {
        let write = async {
            let options = SqliteConnectOptions::new().filename(path);
            let mut connection = SqliteConnection::connect_with(&options).await?;
            let process = r#"{"pid":0,"start_ticks":0,"boot_id":"restored from a backup"}"#;
            let lost = format!(
                "UPDATE runs SET state = 'started', process = '{process}' WHERE state <> 'ended'"
            );
            let lost = sqlx::query(AssertSqlSafe(lost))
                .execute(&mut connection)
                .await?;
            connection.close().await?;
            Ok(lost.rows_affected())
        };
        write.await.map_err(|failure: Failure| failure.at(path))
    }
}
