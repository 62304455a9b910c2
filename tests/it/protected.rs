//! A change to files that decide what runs waits for a person who may write, whatever the gates say.

use crate::greeting;
use crate::support::clone::LocalScene;
use crate::support::git::BASE;
use crate::support::project::Project;
use crate::support::scene::{Scene, Stage, WRITER};

/// Passes the gate, and changes what the gates of the next story would be.
const SLY: &str = "echo Hello > greeting.txt; printf '\\n[[gate]]\\nname = \"x\"\\ncommand = \"true\"\\n' >> .huskies/project.toml
mkdir -p .github/workflows; echo 'on: push' > .github/workflows/own.yml; commit 'Say hello'";

async fn waiting_for_approval() -> (Scene, u64, String) {
    let stage = Stage::new();
    stage.agent.always(SLY);
    let project = greeting::project(&stage);
    let scene = stage.serve(&project).await;
    let story = scene.start_story(greeting::TITLE, greeting::BODY).await;
    let blocked = scene.wait_for_stage(story, "blocked").await;
    let head = blocked["head"].as_str().expect("a head").to_owned();
    let reason = blocked["reason"].as_str().unwrap_or_default();
    for named in [".huskies/project.toml", ".github/workflows/own.yml", &head] {
        assert!(reason.contains(named), "{reason}");
    }
    (scene, story, head)
}

#[tokio::test]
async fn a_writers_label_lets_the_commit_land_and_a_strangers_does_not() {
    let (scene, story, head) = waiting_for_approval().await;
    let seed = scene.remote.tip(BASE);
    scene
        .wait_for_github(
            "the issue asks for an approval, and the head shows it",
            |github| {
                let comments = greeting::announcements(github, story);
                let states = crate::support::scene::states(github, &head, "huskies/merge");
                comments
                    .iter()
                    .any(|comment| comment.body.contains("needs an approval"))
                    && states.last().is_some_and(|last| last == "failure")
            },
        )
        .await;
    scene.github.set_permission("eve", "triage");
    let label = scene.github.label(story, "huskies:approve", "eve");
    scene.accepted(&label).await;
    scene
        .wait_for_github("eve is told", |github| {
            let comments = greeting::sticky_comments(github, story);
            comments.iter().any(|comment| comment.body.contains("eve"))
        })
        .await;
    assert_eq!(scene.story(story).await["stage"], "blocked");
    assert_eq!(scene.remote.tip(BASE), seed);

    let away = scene.github.unlabel(story, "huskies:approve", WRITER);
    scene.accepted(&away).await;
    let label = scene.github.label(story, "huskies:approve", WRITER);
    scene.accepted(&label).await;
    let done = scene.wait_for_stage(story, "done").await;
    let landed = greeting::assert_landed_on(&scene, story, &seed, &done);
    assert_eq!(
        scene.remote.file(&landed, ".github/workflows/own.yml"),
        "on: push"
    );
    scene
        .wait_for_github("the label is taken off", |github| {
            !github.labels(story).contains(&"huskies:approve".to_owned())
        })
        .await;
    assert_eq!(scene.agent.starts().len(), 1, "an approval starts no agent");
}

#[tokio::test]
async fn a_retry_goes_round_no_approval() {
    let (scene, story, _) = waiting_for_approval().await;
    let seed = scene.remote.tip(BASE);
    let label = scene.github.label(story, "huskies:retry", WRITER);
    scene.accepted(&label).await;
    scene
        .wait_for_github("the label is taken off", |github| {
            !github.labels(story).contains(&"huskies:retry".to_owned())
        })
        .await;
    assert_eq!(scene.story(story).await["stage"], "blocked");
    assert_eq!(scene.remote.tip(BASE), seed);
}

#[tokio::test]
async fn the_servers_configuration_can_free_a_path() {
    let stage = Stage::new();
    stage.agent.always(SLY);
    let project = greeting::project(&stage);
    let scene = stage
        .serve_with(&project, |config| {
            config.free_paths(&[".github/**", ".huskies/project.toml"])
        })
        .await;
    let story = scene.start_story(greeting::TITLE, greeting::BODY).await;
    scene.wait_for_stage(story, "done").await;
}

#[tokio::test]
async fn a_runtime_that_the_server_does_not_allow_starts_nothing() {
    let stage = Stage::new();
    stage.agent.always(greeting::RIGHT);
    let project = greeting::project(&stage);
    let scene = stage
        .serve_with(&project, |config| config.runtimes(&["claude-code"]))
        .await;
    let story = scene.start_story(greeting::TITLE, greeting::BODY).await;
    let blocked = scene.wait_for_stage(story, "blocked").await;
    let reason = blocked["reason"].as_str().unwrap_or_default();
    assert!(
        reason.contains("runtime 'command'") && reason.contains("[agents]"),
        "{reason}"
    );
    assert!(scene.agent.starts().is_empty());
}

#[tokio::test]
async fn the_command_line_approves_the_commit_that_it_names_and_no_other() {
    let scene = LocalScene::serve(|agent| {
        Project::new()
            .coder("coder", &agent.command())
            .gate("greets", greeting::GREETS)
    })
    .await;
    scene.agent.always(SLY);
    let blocked = scene.tell(greeting::TITLE).await;
    assert_eq!(blocked["stage"], "blocked", "{blocked}");
    let head = blocked["head"].as_str().unwrap();
    for (commit, code) in [("0123456789", 1), (&head[..6], 1), ("HEAD~1", 2)] {
        let refused = scene.huskies(&["story", "approve", "1", commit]).await;
        assert_eq!(refused.code, Some(code), "{refused:?}");
    }
    let wait = scene.huskies(&["story", "wait", "1"]).await;
    assert_eq!(wait.code, Some(1), "it still waits: {wait:?}");
    let approve = scene.huskies(&["story", "approve", "1", &head[..10]]).await;
    assert_eq!(approve.code, Some(0), "{approve:?}");
    let wait = scene.huskies(&["story", "wait", "1"]).await;
    assert_eq!(wait.code, Some(0), "{wait:?}");
    let again = scene.huskies(&["story", "approve", "1", head]).await;
    assert_eq!(again.code, Some(1), "{again:?}");
}
