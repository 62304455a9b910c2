//! What is particular to SQLite: migrations, two processes on one file, a power cut.

use std::os::unix::process::ExitStatusExt;
use std::process::Command;

use sqlx::{Connection, SqliteConnection};
use tempfile::TempDir;

use super::*;
use crate::store::contract::{Place, assert_steps, hold_to_contract, step, subject};
use crate::store::retention::{Mode, Retention as _};

/// A folder with one store in it.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn file(&self) -> PathBuf {
        self.0.path().join("huskies.db")
    }

    /// Runs SQL on the file as another program would.
    async fn execute(&self, sql: &'static str) {
        let options = SqliteConnectOptions::new().filename(self.file());
        let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
        sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    }
}

#[async_trait]
impl Place for Folder {
    async fn open(&self) -> Box<dyn Store> {
        Box::new(SqliteStore::open(&self.file()).await.unwrap())
    }
}

hold_to_contract! {
    Folder::new();
    everything_in_one_commit_is_there_after_reopening,
    a_conflict_leaves_nothing_of_its_commit,
    a_subject_conflicts_unless_it_is_as_expected,
    a_subject_may_be_written_twice_in_one_commit,
    a_delivery_is_received_once,
    a_delivery_can_be_taken_once,
    a_delivery_accepted_but_not_taken_is_found_after_reopening,
    acts_wait_in_the_order_in_which_they_were_decided,
    a_log_can_be_read_on_from_any_line,
    a_run_is_requested_once_and_stays_ended,
    a_story_lists_its_runs_oldest_first,
    a_surface_is_pending_until_its_newest_version_is_written,
    a_timer_is_armed_again_or_fires_but_is_not_lost,
    stories_are_listed_by_number,
    calls_to_the_forge_add_up_for_each_subject,
    two_stores_see_each_others_commits_and_conflicts,
    of_two_who_write_at_once_neither_is_overwritten,
}

/// Opening fails, and the message names the file.
async fn refusal(path: &Path) -> (StoreError, String) {
    let error = SqliteStore::open(path).await.unwrap_err();
    let message = error.to_string();
    assert!(message.contains(&path.display().to_string()), "{message}");
    (error, message)
}

#[tokio::test]
async fn a_store_that_a_newer_version_wrote_is_refused_and_left_as_it_is() {
    let (folder, id) = (Folder::new(), subject("octo/app#7"));
    folder.open().await.commit(step(&id, 1)).await.unwrap();
    let newer =
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
                 VALUES (9999, 'from the future', TRUE, x'00', 0)";
    folder.execute(newer).await;

    let (error, _) = refusal(&folder.file()).await;

    assert!(matches!(error, StoreError::Newer { .. }), "{error}");
    folder
        .execute("DELETE FROM _sqlx_migrations WHERE version = 9999")
        .await;
    assert_steps(folder.open().await.as_ref(), &id, 1).await;
}

#[tokio::test]
async fn a_file_that_is_no_store_is_refused_and_left_as_it_is() {
    let folder = Folder::new();
    let garbage = b"these are not the bytes of a database\n".repeat(200);
    std::fs::write(folder.file(), &garbage).unwrap();

    let (error, message) = refusal(&folder.file()).await;

    assert!(matches!(error, StoreError::Database { .. }));
    assert!(message.contains("damaged or no store"), "{message}");
    assert_eq!(std::fs::read(folder.file()).unwrap(), garbage);
}

#[tokio::test]
async fn a_folder_that_is_missing_or_takes_no_files_is_said() {
    let folder = Folder::new();
    // Not even root can make a file in /proc.
    for path in [
        folder.0.path().join("missing/huskies.db"),
        "/proc/self/huskies.db".into(),
    ] {
        let (error, message) = refusal(&path).await;
        assert!(matches!(error, StoreError::Database { .. }));
        assert!(message.contains("its folder must exist"), "{message}");
    }
}

#[tokio::test]
async fn a_row_that_cannot_be_understood_is_named() {
    let (folder, id) = (Folder::new(), subject("octo/app#7"));
    let store = folder.open().await;
    store.commit(step(&id, 1)).await.unwrap();
    folder
        .execute("UPDATE subjects SET state = '{}'; UPDATE events SET at = 'once'; UPDATE acts SET subject_kind = 'epic'")
        .await;

    let errors = [
        store.subject(&id).await.map(drop).unwrap_err(),
        store.events(&id, 0).await.map(drop).unwrap_err(),
        store.pending_acts().await.map(drop).unwrap_err(),
    ];

    let names = [
        "octo/app#7 in",
        "line 1 of the log of octo/app#7 in",
        "the act octo/app#7@1.0 in",
    ];
    for (error, name) in errors.iter().zip(names) {
        assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
        assert!(error.to_string().starts_with(name), "{error}");
    }
}

#[tokio::test]
async fn commits_are_as_durable_as_sqlite_makes_them_and_readers_cannot_write() {
    let folder = Folder::new();
    let store = SqliteStore::open(&folder.file()).await.unwrap();
    for (pragma, expected) in [
        ("SELECT journal_mode FROM pragma_journal_mode", "wal"),
        (
            "SELECT CAST(synchronous AS TEXT) FROM pragma_synchronous",
            "2",
        ),
        (
            "SELECT CAST(foreign_keys AS TEXT) FROM pragma_foreign_keys",
            "1",
        ),
    ] {
        let value: String = sqlx::query_scalar(pragma)
            .fetch_one(store.pool())
            .await
            .unwrap();
        assert_eq!(value, expected, "{pragma}");
    }
    let write = sqlx::query("DELETE FROM subjects").execute(store.read_pool());
    assert!(write.await.unwrap_err().to_string().contains("readonly"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_file_may_be_opened_by_several_at_once() {
    let folder = Folder::new();
    let opened = futures::future::join_all((0..4).map(|_| folder.open())).await;
    let id = subject("octo/app#7");
    for (store, version) in opened.iter().zip(1..) {
        store.commit(step(&id, version)).await.unwrap();
    }
    assert_steps(opened[0].as_ref(), &id, 4).await;
}

#[tokio::test]
async fn a_closed_store_is_one_file_that_holds_everything() {
    let (folder, id) = (Folder::new(), subject("octo/app#7"));
    let store = SqliteStore::open(&folder.file()).await.unwrap();
    store.commit(step(&id, 1)).await.unwrap();
    store.close().await;

    let files: Vec<_> = std::fs::read_dir(folder.0.path()).unwrap().collect();
    assert_eq!(files.len(), 1, "{files:?}");
    assert_steps(folder.open().await.as_ref(), &id, 1).await;
}

/// SQLite's own limit on the file stands for the disk's: the error and what follows are the same.
#[tokio::test]
async fn a_store_that_was_full_once_takes_commits_again() {
    let (folder, id) = (Folder::new(), subject("octo/app#7"));
    let store = SqliteStore::open(&folder.file()).await.unwrap();
    let limit = "PRAGMA max_page_count = 1";
    sqlx::raw_sql(limit).execute(store.pool()).await.unwrap();
    let mut version = 0;
    let full = loop {
        version += 1;
        assert!(version < 10_000, "it never fills up");
        if let Err(error) = store.commit(step(&id, version)).await {
            break error;
        }
    };
    assert!(full.to_string().contains("the disk is full"), "{full}");
    let lifted = "PRAGMA max_page_count = 1000000";
    sqlx::raw_sql(lifted).execute(store.pool()).await.unwrap();
    store.commit(step(&id, version)).await.unwrap();
    assert_steps(&store, &id, version).await;
}

#[tokio::test]
async fn old_deliveries_go_also_those_that_nobody_had_a_use_for_and_pending_ones_stay() {
    let folder = Folder::new();
    let store = SqliteStore::open(&folder.file()).await.unwrap();
    folder
        .execute(
            "INSERT INTO deliveries (id, received_at, name, content, taken) VALUES
             ('taken', '2020-01-01T00:00:00.000000000Z', 'issues', '{}', 1),
             ('useless', '2020-01-01T00:00:00.000000000Z', 'ping', NULL, 0),
             ('pending', '2020-01-01T00:00:00.000000000Z', 'issues', '{}', 0),
             ('new', '2026-01-01T00:00:00.000000000Z', 'ping', NULL, 0)",
        )
        .await;
    let before = "2025-01-01T00:00:00Z".parse().unwrap();
    let freed = store.drop_deliveries(before, Mode::Remove).await.unwrap();
    assert_eq!(freed.rows, 2);
    let left: Vec<String> = sqlx::query_scalar("SELECT id FROM deliveries ORDER BY seq")
        .fetch_all(store.read_pool())
        .await
        .unwrap();
    assert_eq!(left, ["pending", "new"]);
}

#[tokio::test]
#[ignore = "a part of the test below, which runs it in a process of its own"]
async fn three_commits_in_a_process_of_its_own() {
    let Ok(kill_at) = std::fs::read_to_string("kill_at") else {
        return;
    };
    let points = CrashPoints::new(kill_at.parse().ok(), Some("trace".into())).unwrap();
    let store = SqliteStore::open(Path::new("huskies.db")).await.unwrap();
    let store = SqliteStore {
        crash_points: points,
        ..store
    };
    for version in 1..=3 {
        store
            .commit(step(&subject("octo/app#7"), version))
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn a_process_killed_round_a_commit_leaves_it_whole_or_not_at_all() {
    for kill_at in 1..=6 {
        let folder = Folder::new();
        std::fs::write(folder.0.path().join("kill_at"), kill_at.to_string()).unwrap();
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact"])
            .arg("store::sqlite::tests::three_commits_in_a_process_of_its_own")
            .current_dir(folder.0.path())
            .output()
            .unwrap();

        assert_eq!(child.status.signal(), Some(9), "{child:?}");
        let trace = std::fs::read_to_string(folder.0.path().join("trace")).unwrap();
        let place = if kill_at % 2 == 0 { "after" } else { "before" };
        assert_eq!(
            trace.lines().last(),
            Some(&*format!("store.commit.{place}"))
        );
        // The n-th commit is durable from the 2n-th place on.
        assert_steps(
            folder.open().await.as_ref(),
            &subject("octo/app#7"),
            kill_at / 2,
        )
        .await;
    }
}
