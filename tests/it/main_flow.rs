//! The main job, through the real binary: a signed label event becomes a merged, reported change.

use serde_json::{Value, json};

use crate::greeting;
use crate::support::git::BASE;
use crate::support::scene::{Scene, Stage};

/// Serves the greeting project, labels its issue, and waits for the end and for its reports.
async fn greet() -> (Scene, u64, String, Value) {
    let stage = Stage::new();
    greeting::teach(&stage.agent);
    let project = greeting::project(&stage);
    let scene = stage.serve(&project).await;
    let seed = scene.remote.tip(BASE);
    let story = scene.start_story(greeting::TITLE, greeting::BODY).await;
    let done = scene.wait_for_stage(story, "done").await;
    let head = scene
        .agent
        .commits(story)
        .pop()
        .expect("the agent committed");
    scene
        .wait_for_github("everything is reported", |github| {
            greeting::is_reported(github, story, &head)
        })
        .await;
    (scene, story, seed, done)
}

#[tokio::test]
async fn a_label_becomes_a_merged_and_reported_change() {
    let (scene, story, seed, done) = greet().await;
    greeting::assert_end(&scene, story, &seed, &done);
    assert_eq!(scene.agent.starts(), ["octo/app#1 1", "octo/app#1 2"]);
    let head = scene.agent.commits(story).pop().unwrap();
    assert_eq!(scene.states(&head, "huskies/merge")[0], "pending");
    let branch = scene.remote.tip("feature/story-1-greet-the-world");
    assert_eq!(
        branch, head,
        "the story branch is on the forge, as it was tested"
    );
}

#[tokio::test]
async fn the_api_shows_the_story_and_its_events() {
    let (scene, story, _, done) = greet().await;
    let expected = json!({
        "id": "octo/app#1", "repo": "octo/app", "number": 1, "title": greeting::TITLE,
        "stage": "done", "attempt": 2, "reason": null, "commit": scene.remote.tip(BASE),
    });
    for (key, value) in expected.as_object().unwrap() {
        assert_eq!(&done[key], value, "{key} of {done}");
    }
    assert!(done.get("activity").is_some(), "{done}");
    let list = scene.server.get("/api/stories").await.body;
    let list = list.get("stories").unwrap_or(&list);
    assert_eq!(list.as_array().map(Vec::len), Some(1), "{list}");
    assert_eq!(list[0]["id"], "octo/app#1");
    let events = scene.events(story).await;
    let numbers: Vec<u64> = events
        .iter()
        .map(|event| event["seq"].as_u64().unwrap())
        .collect();
    assert!(numbers.is_sorted_by(|one, next| one < next), "{numbers:?}");
    let names: Vec<&str> = events
        .iter()
        .filter_map(|event| event["event"].as_str())
        .collect();
    for name in ["asked", "agent_started", "gates_ended", "landed"] {
        assert!(names.contains(&name), "{name} is in {names:?}");
    }
    let missing = scene.server.get("/api/stories/octo/app/99").await;
    assert_eq!(missing.status, 404);
}

#[tokio::test]
async fn statuses_are_written_on_change_only_and_fit() {
    let (scene, _, _, _) = greet().await;
    let all = scene.github.all_statuses();
    for status in &all {
        let length = status
            .description
            .as_ref()
            .map_or(0, |text| text.chars().count());
        assert!((1..=140).contains(&length), "{status:?}");
    }
    for pair in all.windows(2) {
        assert_ne!(pair[0], pair[1], "the same status twice");
    }
}

#[tokio::test]
async fn what_huskies_did_itself_on_the_forge_changes_nothing() {
    let (scene, story, _, done) = greet().await;
    let comments = scene.own_comments(story).len();
    let own = scene.github.take_own_deliveries();
    assert!(!own.is_empty(), "labels and comments cause deliveries");
    for delivery in own {
        assert_eq!(scene.server.deliver(&delivery).await.status, 202);
    }
    let again = "echo Hello again > greeting.txt; commit Again";
    scene.agent.story(2, again);
    let next = scene.start_story("Greet again", greeting::BODY).await;
    scene.wait_for_stage(next, "done").await;
    assert_eq!(scene.own_comments(story).len(), comments);
    for (key, value) in done.as_object().unwrap() {
        if key != "api_calls" {
            assert_eq!(&scene.story(story).await[key], value, "{key}");
        }
    }
}

#[tokio::test]
async fn a_repository_can_be_served_from_a_url_alone() {
    let stage = Stage::new();
    stage.agent.always(greeting::RIGHT);
    let project = greeting::project(&stage);
    let url = stage
        .folder()
        .join("origin.git")
        .to_str()
        .unwrap()
        .to_owned();
    let scene = stage
        .serve_with(&project, |config| config.cloned_from(&url))
        .await;
    let seed = scene.remote.tip(BASE);
    let story = scene.start_story(greeting::TITLE, greeting::BODY).await;
    let done = scene.wait_for_stage(story, "done").await;
    greeting::assert_landed_on(&scene, story, &seed, &done);
}
