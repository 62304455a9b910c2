//! Stores that earlier programs wrote: read, brought up to date, and gone on with. The fixtures
//! are real: `tests/fixtures/stores/README.md` says how they were made.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use huskies::domain::event::SubjectId;
use huskies::domain::transition::{Refusal, Subject, step};
use huskies::store::{EventRecord, SqliteStore, Store as _, StoryFilter};
use tempfile::TempDir;

use crate::support::clone::run;
use crate::support::database;
use crate::support::following::follow;
use crate::support::git;
use crate::support::server::{Config, Server};
use crate::support::sweep;

/// The commits whose programs wrote them.
const WRITERS: [&str; 2] = ["4cb2b2a", "f733058"];
/// Those whose logs lead today's steps to the same stories. At `4cb2b2a` gate runs had no numbers,
/// so that its logs can be read, and not lived through again.
const REPLAYABLE: [&str; 1] = ["f733058"];

/// One earlier server's data, unfolded.
struct Heritage {
    folder: TempDir,
}

impl Heritage {
    async fn of(writer: &str) -> Self {
        let fixture = Path::new("tests/fixtures/stores").join(writer);
        let folder = tempfile::tempdir().unwrap();
        let heritage = Self { folder };
        let sql = std::fs::read_to_string(fixture.join("store.sql")).unwrap();
        std::fs::create_dir_all(heritage.data()).unwrap();
        database::execute(&heritage.store(), &sql).await;
        let control = heritage.data().join("repos/octo/app/control.git");
        import(&control, &["--bare"], &fixture.join("control.export"));
        import(&heritage.app(), &[], &fixture.join("app.export"));
        git::git(&heritage.app(), &["reset", "-q", "--hard"]);
        heritage
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn store(&self) -> PathBuf {
        self.data().join("huskies.db")
    }

    fn app(&self) -> PathBuf {
        self.folder.path().join("app")
    }

    fn config(&self) -> Config {
        Config::local(&self.data(), &self.app())
    }
}

impl Drop for Heritage {
    fn drop(&mut self) {
        sweep::kill_everything_of(self.folder.path());
    }
}

/// A repository out of a stream of git-fast-export(1).
fn import(path: &Path, kind: &[&str], stream: &Path) {
    std::fs::create_dir_all(path).unwrap();
    let init = ["init", "-q", "--initial-branch", "main"];
    git::git(path, &[&init, kind].concat());
    let stream = std::fs::File::open(stream).unwrap();
    let import = git::command(path, &["fast-import", "--quiet", "--force"])
        .stdin(Stdio::from(stream))
        .status();
    assert!(import.unwrap().success());
}

fn replay(log: Vec<(u64, EventRecord)>, subject: &Subject, id: &SubjectId) {
    let mut replayed = Subject::new(id);
    for (line, record) in log {
        match step(&replayed, &record.event, record.at) {
            Ok(step) => replayed = step.subject,
            Err(Refusal::Ignored { .. }) => {}
            Err(illegal) => panic!("line {line} of {id}: {illegal}"),
        }
    }
    let (Subject::Story(replayed), Subject::Story(stored)) = (replayed, subject) else {
        panic!("{id} is a story");
    };
    assert_eq!(replayed.stage, stored.stage, "the log of {id}");
    assert_eq!(replayed.attempt, stored.attempt, "the log of {id}");
}

#[tokio::test]
async fn everything_that_an_earlier_program_wrote_is_read_and_its_logs_tell_of_its_stories() {
    for writer in WRITERS {
        let heritage = Heritage::of(writer).await;
        let store = SqliteStore::open(&heritage.store()).await.unwrap();
        let stories = store.stories(&StoryFilter::default()).await.unwrap();
        assert_eq!(stories.len(), 6, "{writer}");
        for subject in stories {
            let Subject::Story(story) = &subject else {
                panic!("not a story: {subject:?}");
            };
            let id = SubjectId::Story(story.id.clone());
            let log = store.events(&id, 0).await.unwrap();
            assert!(!log.is_empty(), "the log of {id}");
            if REPLAYABLE.contains(&writer) {
                replay(log, &subject, &id);
            }
        }
        store.pending_acts().await.unwrap();
        store.pending_surfaces().await.unwrap();
        store.open_runs().await.unwrap();
        store.timers().await.unwrap();
        store.close().await;
    }
}

#[tokio::test]
async fn the_stories_of_every_earlier_program_go_on_to_their_end() {
    let told = WRITERS.map(|writer| tokio::spawn(goes_on(writer)));
    for told in told {
        told.await.unwrap();
    }
}

async fn goes_on(writer: &'static str) {
    let heritage = Heritage::of(writer).await;
    let server = Server::start(heritage.folder.path(), &heritage.config()).await;
    // What ran when the power went is lost and goes on; what waited to land lands.
    for story in [1, 3, 6] {
        follow(&server, story, "its end", |story| story["stage"] == "done").await;
    }
    for (story, verb) in [("2", "retry"), ("4", "start")] {
        let asked = run(heritage.folder.path(), &["story", verb, story]).await;
        assert_eq!(asked.code, Some(0), "{writer}: {asked:?}\n{}", server.log());
        let waited = run(heritage.folder.path(), &["story", "wait", story]).await;
        assert_eq!(
            waited.code,
            Some(0),
            "{writer}: {waited:?}\n{}",
            server.log()
        );
    }
    let new = ["story", "new", "Something new", "--start", "--json"];
    let new = run(heritage.folder.path(), &new).await.json();
    let id = new["id"].as_str().unwrap();
    let waited = run(heritage.folder.path(), &["story", "wait", id]).await;
    assert_eq!(
        waited.code,
        Some(0),
        "{writer}: {waited:?}\n{}",
        server.log()
    );
    let files = git::git(&heritage.app(), &["ls-tree", "--name-only", "main"]);
    for file in ["one.txt", "two.txt", "3.txt", "4.txt", "6.txt"] {
        assert!(files.lines().any(|name| name == file), "{writer}: {files}");
    }
}

/// The tables before the built-in forge had any: version 1 was on the main branch alone once.
const BACK_TO_1: &str = "
    DROP TABLE IF EXISTS local_parents; DROP TABLE local_statuses; DROP TABLE local_comments; DROP TABLE local_labels;
    DROP TABLE local_issues; DROP TABLE IF EXISTS forge_calls;
    DELETE FROM _sqlx_migrations WHERE version >= 2;";

async fn version(store: &Path) -> i64 {
    database::number(store, "SELECT max(version) FROM _sqlx_migrations").await
}

#[tokio::test]
async fn a_migration_keeps_a_copy_and_one_that_is_killed_is_begun_again() {
    let heritage = Heritage::of("4cb2b2a").await;
    database::execute(&heritage.store(), BACK_TO_1).await;
    let folder = heritage.folder.path();
    let crash = [("HUSKIES_CRASH_AT", "store.migrate.before:1")];
    let died = Server::launch(folder, &heritage.config(), &crash).await;
    assert!(died.is_err(), "it dies in the middle of the migration");
    assert_eq!(version(&heritage.store()).await, 1);
    let kept = heritage.data().join("huskies.db.before-4");
    assert_eq!(version(&kept).await, 1);
    let server = Server::start(folder, &heritage.config()).await;
    assert_eq!(
        server
            .get("/api/stories")
            .await
            .body
            .as_array()
            .unwrap()
            .len(),
        6
    );
    drop(server);
    assert_eq!(version(&heritage.store()).await, 4);
    assert_eq!(version(&kept).await, 1, "the copy can be gone back to");
    let stories = "SELECT count(*) FROM subjects WHERE subject_kind = 'story'";
    assert_eq!(database::number(&kept, stories).await, 6);
}

#[tokio::test]
async fn a_store_of_a_newer_program_is_refused_and_not_touched() {
    let heritage = Heritage::of("4cb2b2a").await;
    let newer =
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
                 VALUES (9000, 'of the future', 1, x'00', 0);";
    database::execute(&heritage.store(), newer).await;
    let before = std::fs::read(heritage.store()).unwrap();
    let folder = heritage.folder.path();
    let refused = Server::launch(folder, &heritage.config(), &[]).await;
    let Err(status) = refused else {
        panic!("it serves a store that it does not understand");
    };
    assert_eq!(status.code(), Some(2));
    let log = std::fs::read_to_string(folder.join("server.log")).unwrap();
    assert!(
        log.contains("was written by a newer huskies: install that version"),
        "{log}"
    );
    assert_eq!(std::fs::read(heritage.store()).unwrap(), before);
}
