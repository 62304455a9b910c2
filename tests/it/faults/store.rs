//! The store's file is damaged, no store at all, or in somebody else's hands.

use std::path::PathBuf;

use crate::greeting;
use crate::support::clone::run;
use crate::support::database;
use crate::support::scene::{Scene, Stage};
use crate::support::server::{Config, Server};

/// A scene with a story that is done, and no server.
async fn at_rest() -> (Scene, Config, PathBuf) {
    let stage = Stage::new();
    stage.agent.always(greeting::RIGHT);
    let project = greeting::project(&stage);
    let (remote, config) = stage.prepare(&project);
    let server = Server::start(stage.folder(), &config).await;
    let mut scene = stage.with(remote, server);
    let story = scene.start_story(greeting::TITLE, greeting::BODY).await;
    scene.wait_for_stage(story, "done").await;
    assert!(scene.server.stop().await.success());
    let store = scene.folder().join("data/huskies.db");
    database::execute(&store, "PRAGMA wal_checkpoint(TRUNCATE)").await;
    (scene, config, store)
}

/// The server does not begin; what it says.
async fn refusal(scene: &Scene, config: &Config) -> String {
    let before = scene.server.log().len();
    let refused = Server::launch(scene.folder(), config, &[]).await;
    let Err(status) = refused else {
        panic!("it serves a store that it cannot read");
    };
    assert_eq!(status.code(), Some(2), "{}", scene.server.log());
    scene.server.log().split_off(before)
}

#[tokio::test]
async fn a_damaged_store_is_refused_with_advice_and_not_touched() {
    let (scene, config, store) = at_rest().await;
    let whole = std::fs::read(&store).unwrap();
    let page = 4096;
    let mut in_the_header = whole.clone();
    in_the_header[..16].fill(b'x');
    let mut in_the_middle = whole.clone();
    let middle = whole.len() / page / 2 * page;
    in_the_middle[middle..middle + page].fill(0xff);
    let cut_off = whole[..whole.len() - 3 * page].to_vec();
    for damaged in [in_the_header, in_the_middle, cut_off] {
        std::fs::write(&store, &damaged).unwrap();
        let said = refusal(&scene, &config).await;
        assert!(said.contains("huskies.db"), "{said}");
        assert!(said.contains("restore a backup"), "{said}");
        assert_eq!(std::fs::read(&store).unwrap(), damaged, "{said}");
    }
    let backup = run(scene.folder(), &["backup", "of-it"]).await;
    assert_ne!(
        backup.code,
        Some(0),
        "a damaged store is not backed up: {backup:?}"
    );
    assert!(!scene.folder().join("of-it").exists());
    // The backup that one has is the way back.
    std::fs::write(&store, whole).unwrap();
    let server = Server::start(scene.folder(), &config).await;
    assert_eq!(server.get("/readyz").await.status, 200);
}

/// Another program that has begun a write and does not end it: `sqlite3` would do.
#[tokio::test]
async fn a_store_that_another_program_holds_is_waited_for_and_then_refused() {
    let (scene, config, store) = at_rest().await;
    let mut holder = Holder::of(&store).await;
    let said = refusal(&scene, &config).await;
    assert!(said.contains("another program holds it"), "{said}");
    holder.let_go().await;
    let server = Server::start(scene.folder(), &config).await;
    assert_eq!(server.get("/readyz").await.status, 200);
}

/// A connection of this process in the middle of a write.
struct Holder(sqlx::SqliteConnection);

impl Holder {
    async fn of(store: &std::path::Path) -> Self {
        use sqlx::Connection as _;
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(store);
        let connection = sqlx::SqliteConnection::connect_with(&options).await;
        let mut connection = connection.unwrap();
        sqlx::raw_sql("BEGIN IMMEDIATE")
            .execute(&mut connection)
            .await
            .unwrap();
        Self(connection)
    }

    async fn let_go(&mut self) {
        sqlx::raw_sql("ROLLBACK")
            .execute(&mut self.0)
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn a_store_that_is_held_for_a_moment_makes_a_delivery_wait_and_loses_none() {
    let (mut scene, config, store) = at_rest().await;
    scene.server = Server::start(scene.folder(), &config).await;
    scene.agent.story(2, "echo 2 > 2.txt; commit 'Do it'");
    let story = scene
        .github
        .add_issue("Another", "Do it.", crate::support::scene::WRITER);
    let label = scene
        .github
        .label(story, "huskies", crate::support::scene::WRITER);
    let mut holder = Holder::of(&store).await;
    let (answer, ()) = tokio::join!(scene.server.deliver(&label), async {
        // What waits is on its way once the server has it.
        assert_eq!(scene.server.get("/readyz").await.status, 200);
        holder.let_go().await;
    });
    assert_eq!(
        (answer.status, answer.body["status"].as_str()),
        (202, Some("accepted"))
    );
    scene.wait_for_stage(story, "done").await;
}
