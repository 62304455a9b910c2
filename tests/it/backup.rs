//! A backup that is made while the server works, and going on from it somewhere else.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::greeting;
use crate::support::clone::{Ran, run};
use crate::support::following::follow;
use crate::support::git::{self, BASE};
use crate::support::scene::{Scene, Stage};
use crate::support::server::{Config, Server};
use crate::support::sweep;

/// Passes what says Hello, and leaves the first story to fail.
const GATE: &str = "! grep -q never greeting.txt";

/// Three stories: done; blocked with work that was not committed; and one whose agent stands still
/// in the middle of its work.
async fn busy_scene() -> (Scene, Config, crate::support::pause::Held) {
    let stage = Stage::new();
    let pause = stage.agent.pause("work");
    stage.agent.story(1, greeting::RIGHT);
    let blocked = "echo never > greeting.txt; commit 'Try'; echo precious > precious.txt";
    stage.agent.story_turn(2, 1, blocked);
    let mended = "test -f precious.txt; echo two > greeting.txt; commit 'Mend it'";
    stage.agent.story(2, mended);
    let half = format!("echo three > three.txt; {}", pause.shell());
    stage.agent.story_turn(3, 1, &half);
    stage
        .agent
        .story(3, "echo three > three.txt; commit 'Do three'");
    let project = stage.coder().gate("fine", GATE).max_retries(0);
    let (remote, config) = stage.prepare(&project);
    let server = Server::start(stage.folder(), &config).await;
    let scene = stage.with(remote, server);
    for (number, stage) in [(1, "done"), (2, "blocked")] {
        let story = scene.start_story("A story", "Do it.").await;
        assert_eq!(story, number);
        scene.wait_for_stage(story, stage).await;
    }
    scene.start_story("A long story", "Do it.").await;
    let standing = pause.reached().await;
    (scene, config, standing)
}

async fn backup(scene: &Scene, name: &str) -> (PathBuf, Ran) {
    let file = scene.folder().join(name);
    let ran = run(
        scene.folder(),
        &["backup", file.to_str().unwrap(), "--json"],
    )
    .await;
    (file, ran)
}

async fn restore(folder: &Path, file: &Path, data_dir: &Path) -> Ran {
    let (file, data_dir) = (file.to_str().unwrap(), data_dir.to_str().unwrap());
    run(folder, &["restore", file, "--data-dir", data_dir]).await
}

async fn stories(server: &Server) -> Vec<Value> {
    let answer = server.get("/api/stories").await;
    answer.body.as_array().cloned().unwrap_or_default()
}

#[tokio::test]
async fn a_backup_of_a_busy_server_goes_on_elsewhere_with_all_work_kept() {
    let (mut scene, config, standing) = busy_scene().await;
    let before = stories(&scene.server).await;
    let kept = scene.kept_work();
    let (file, ran) = backup(&scene, "huskies.backup").await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let entries: Vec<&str> = ran.json()["manifest"]["entries"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|entry| Some(entry["path"].as_str()?.to_owned().leak() as &str))
        .collect();
    assert_eq!(
        entries,
        [
            "huskies.db",
            "huskies.toml",
            "repos/octo/app/control.bundle"
        ]
    );
    // The machine is gone: server, supervisors, agents, data.
    scene.server.kill_9().await;
    sweep::kill_everything_of(&scene.folder().join("data"));
    drop(standing);
    std::fs::remove_dir_all(scene.folder().join("data")).unwrap();

    let elsewhere = scene.folder().join("elsewhere");
    let ran = restore(scene.folder(), &file, &elsewhere).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.stdout.contains("1 runs were under way"), "{ran:?}");
    scene.server = Server::start(scene.folder(), &config.in_folder(&elsewhere)).await;
    let after = stories(&scene.server).await;
    assert_eq!(after[..2], before[..2]);
    for name in kept {
        let control = elsewhere.join("repos/octo/app/control.git");
        git::git(&control, &["rev-parse", "--verify", &name]);
    }
    // What was under way is lost, and goes on; what was blocked is retried with its work.
    follow(&scene.server, 3, "the end", |story| {
        story["stage"] == "done"
    })
    .await;
    assert_eq!(scene.agent.starts().len(), 4, "{:?}", scene.agent.starts());
    let retry = scene
        .github
        .label(2, "huskies:retry", crate::support::scene::WRITER);
    scene.accepted(&retry).await;
    follow(&scene.server, 2, "the end", |story| {
        story["stage"] == "done"
    })
    .await;
    assert_eq!(scene.remote.file(BASE, "precious.txt"), "precious");
    assert_eq!(scene.remote.file(BASE, "three.txt"), "three");
}

#[tokio::test]
async fn what_is_no_whole_backup_is_refused_and_nothing_is_written() {
    let stage = Stage::new();
    stage.agent.always(greeting::RIGHT);
    let project = greeting::project(&stage);
    let scene = stage.serve(&project).await;
    let story = scene.start_story(greeting::TITLE, greeting::BODY).await;
    scene.wait_for_stage(story, "done").await;
    let (file, ran) = backup(&scene, "whole").await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let again = backup(&scene, "whole").await.1;
    assert_ne!(again.code, Some(0), "nothing is written over: {again:?}");
    let folder = scene.folder();
    let whole = std::fs::read(&file).unwrap();
    let mut flipped = whole.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 0x40;
    let bad: [(&str, &[u8], &str); 5] = [
        ("truncated", &whole[..middle], "damaged"),
        ("headless", &whole[512..], "no backup"),
        ("flipped", &flipped, "damaged"),
        ("text", b"Dear diary, today I was restored.\n", "no backup"),
        ("empty", b"", "no backup"),
    ];
    for (name, bytes, said) in bad {
        let path = folder.join(name);
        std::fs::write(&path, bytes).unwrap();
        let place = folder.join("new");
        let ran = restore(folder, &path, &place).await;
        assert_eq!(ran.code, Some(2), "{name}: {ran:?}");
        assert!(ran.stderr.contains(said), "{name}: {ran:?}");
        assert!(!place.exists(), "{name}");
    }
    let taken = restore(folder, &file, &folder.join("data")).await;
    assert_eq!(taken.code, Some(2), "{taken:?}");
    assert!(taken.stderr.contains("not empty"), "{taken:?}");
    let left: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| name.starts_with(".huskies-"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
    assert_eq!(scene.server.get("/readyz").await.status, 200);
}
