//! What is finished and old goes; what is under way, at rest with work in it, or the only copy of
//! something stays. And a full disk stops new starts.

use serde_json::Value;

use crate::greeting;
use crate::support::clone::run;
use crate::support::database;
use crate::support::git::BASE;
use crate::support::pause::Held;
use crate::support::scene::{Scene, Stage, WRITER};

/// Everything that has an end is old at once.
const AT_ONCE: [&str; 6] = [
    "runs_days",
    "events_days",
    "kept_work_days",
    "candidates_days",
    "worktrees_days",
    "old_stores_days",
];

pub(crate) async fn gc(scene: &Scene, arguments: &[&str]) -> Value {
    let arguments = [&["gc", "--json"], arguments].concat();
    let ran = run(scene.folder(), &arguments).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    ran.json()
}

/// The names of one kind that a sweep removed.
pub(crate) fn names(swept: &Value, what: &str) -> Vec<String> {
    let of_kind = |removed: &&Value| removed["what"] == what;
    let removed = swept["removed"].as_array().unwrap();
    let names = removed
        .iter()
        .find(of_kind)
        .map(|removed| &removed["names"]);
    let names = names.and_then(Value::as_array).cloned().unwrap_or_default();
    let mut names: Vec<String> = names
        .iter()
        .filter_map(|name| name.as_str().map(str::to_owned))
        .collect();
    names.sort();
    names
}

/// The folders of runs that are there.
fn runs(scene: &Scene) -> Vec<String> {
    let folder = scene.folder().join("data/runs/octo/app");
    let entries = std::fs::read_dir(folder).unwrap().flatten();
    let mut names: Vec<String> = entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// Three stories under limits of nothing: one that is done and has a long log, one that is blocked,
/// and one whose agent stands in the middle of its work.
async fn with_one_done_one_blocked_and_one_under_way() -> (Scene, Held) {
    let stage = Stage::new();
    let pause = stage.agent.pause("work");
    let done = "echo one > one.txt; commit 'Do one'; echo scrap > scrap.txt";
    stage.agent.story(1, done);
    let blocked = "echo never > greeting.txt; commit 'Try'; echo precious > precious.txt";
    stage.agent.story_turn(2, 1, blocked);
    stage.agent.story(
        2,
        "test -f precious.txt; echo two > greeting.txt; commit 'Mend it'",
    );
    stage.agent.story(
        3,
        &format!(
            "{}; echo three > three.txt; commit 'Do three'",
            pause.shell()
        ),
    );
    let project = stage.coder().gate("fine", "! grep -q never greeting.txt");
    let project = project.max_retries(0);
    let scene = stage
        .serve_with(&project, |config| {
            AT_ONCE
                .iter()
                .fold(config, |config, key| config.retention(key, 0))
        })
        .await;
    let first = scene.github.add_issue("One", "Do it.", WRITER);
    let label = scene.github.label(first, "huskies", WRITER);
    scene.accepted(&label).await;
    scene.wait_for_stage(1, "done").await;
    // Lines that change nothing make its log long. They are written before the next story begins.
    for _ in 0..10 {
        scene.unlabel(1).await;
        scene.label(1).await;
    }
    assert_eq!(scene.start_story("Two", "Do it.").await, 2);
    scene.wait_for_stage(2, "blocked").await;
    assert_eq!(scene.start_story("Three", "Do it.").await, 3);
    let standing = pause.reached().await;
    (scene, standing)
}

/// Without a server the command does it itself.
async fn assert_swept_without_a_server(scene: &mut Scene) {
    assert!(scene.server.stop().await.success());
    let swept = gc(scene, &[]).await;
    assert!(names(&swept, "runs").contains(&"octo/app agent-3-1".to_owned()));
    assert!(runs(scene).is_empty());
    // One or two, as the gates of two stories met or not.
    let checkouts = names(&swept, "checkouts");
    assert_eq!(checkouts[0], "octo/app gates-0", "{checkouts:?}");
    let folder = scene.folder().join("data/repos/octo/app/checkouts");
    assert_eq!(std::fs::read_dir(folder).unwrap().count(), 0);
    scene.server.restart().await;
}

#[tokio::test]
async fn a_sweep_takes_what_is_over_and_leaves_what_anybody_can_still_need() {
    let (mut scene, standing) = with_one_done_one_blocked_and_one_under_way().await;
    let store = scene.folder().join("data/huskies.db");
    let long_ago = "UPDATE deliveries SET received_at = '2020-01-01T00:00:00.000000000Z'";
    database::execute(&store, &format!("{long_ago} WHERE name = 'issues'")).await;
    let all = runs(&scene);

    let planned = gc(&scene, &["--dry-run"]).await;
    assert_eq!(runs(&scene), all, "a dry run removes nothing");
    let swept = gc(&scene, &[]).await;
    assert_eq!(swept["removed"], planned["removed"]);

    // Of the story that goes on everything is there; of the others the logs are gone.
    assert_eq!(runs(&scene), ["agent-3-1"]);
    assert_eq!(
        names(&swept, "runs"),
        [
            "octo/app accept-1-1-1",
            "octo/app accept-2-1-1",
            "octo/app agent-1-1",
            "octo/app agent-2-1",
            "octo/app merge-1",
        ]
    );
    // Uncommitted work of a story that is done, and of nobody else.
    assert_eq!(names(&swept, "kept_work"), ["octo/app 1/1"]);
    assert_eq!(scene.kept_work(), ["refs/huskies/wip/2/1"]);
    assert_eq!(names(&swept, "worktrees"), ["octo/app#2"]);
    assert_eq!(names(&swept, "candidates").len(), 1);
    // The log of a story that is over keeps its end; the others' keep everything.
    assert_eq!(scene.story(1).await["stage"], "done");
    let lines = scene.events(1).await;
    assert_eq!(lines.len(), 20, "{lines:#?}");
    assert!(scene.events(2).await[0]["seq"] == 1);
    // What a delivery said is gone, that it was there is not.
    let bodies = "SELECT count(*) FROM deliveries WHERE content IS NOT NULL";
    assert_eq!(database::number(&store, bodies).await, 0);
    // Ids are kept for longer, but six years are too long.
    let ids = "SELECT count(*) FROM deliveries WHERE name = 'issues'";
    assert_eq!(database::number(&store, ids).await, 0);

    let folder = scene.folder().join("data/repos/octo/app/worktrees");
    crate::support::patience::eventually("the worktree is gone", || {
        std::fs::read_dir(&folder).unwrap().count() == 1
    })
    .await;
    let retry = scene.github.label(2, "huskies:retry", WRITER);
    scene.accepted(&retry).await;
    standing.let_go();
    scene.wait_for_stage(2, "done").await;
    scene.wait_for_stage(3, "done").await;
    assert_eq!(scene.remote.file(BASE, "precious.txt"), "precious");

    assert_swept_without_a_server(&mut scene).await;
    assert_eq!(scene.start_story("Four", "Do it.").await, 4);
    scene
        .agent
        .story(4, "echo four > four.txt; commit 'Do four'");
    scene.wait_for_stage(4, "done").await;
}

#[tokio::test]
async fn a_delivery_whose_body_is_gone_is_still_a_duplicate() {
    let stage = Stage::new();
    stage.agent.always(greeting::RIGHT);
    let project = greeting::project(&stage);
    let scene = stage.serve(&project).await;
    let story = scene
        .github
        .add_issue(greeting::TITLE, greeting::BODY, WRITER);
    let label = scene.github.label(story, "huskies", WRITER);
    scene.accepted(&label).await;
    scene.wait_for_stage(story, "done").await;
    let store = scene.folder().join("data/huskies.db");
    let aged = "UPDATE deliveries SET received_at =
                strftime('%Y-%m-%dT%H:%M:%S.000000000Z', 'now', '-8 days')";
    database::execute(&store, aged).await;
    gc(&scene, &[]).await;
    let bodies = "SELECT count(*) FROM deliveries WHERE content IS NOT NULL";
    assert_eq!(database::number(&store, bodies).await, 0);
    let answer = scene.server.deliver(&label).await;
    assert_eq!(
        (answer.status, answer.body["status"].as_str()),
        (202, Some("duplicate"))
    );
    assert_eq!(scene.agent.starts().len(), 1);
}

#[tokio::test]
async fn the_oldest_runs_go_first_when_all_together_are_too_big() {
    let stage = Stage::new();
    stage
        .agent
        .always("echo $HUSKIES_STORY > story.txt; commit 'Do it'");
    let project = stage.coder().gate("fine", "true");
    let scene = stage
        .serve_with(&project, |config| config.retention("runs_max_mb", 1))
        .await;
    for story in 1..=2 {
        scene.start_story("A story", "Do it.").await;
        scene.wait_for_stage(story, "done").await;
    }
    let log = scene
        .folder()
        .join("data/runs/octo/app/agent-1-1/log.1.jsonl");
    std::fs::write(log, vec![b'x'; 2 << 20]).unwrap();
    let swept = gc(&scene, &[]).await;
    let gone = names(&swept, "runs");
    assert!(gone.contains(&"octo/app agent-1-1".to_owned()), "{gone:?}");
    assert!(!gone.contains(&"octo/app agent-2-1".to_owned()), "{gone:?}");
    assert!(runs(&scene).contains(&"agent-2-1".to_owned()));
}
