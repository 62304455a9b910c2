//! Somebody kills what the server started, or the server is told to go.
//!
//! Without the sandbox: inside it, processes have other numbers than here, and the kernel ends them
//! with their supervisor, which `sandbox` shows. Here huskies has to do it.

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::greeting;
use crate::support::git::BASE;
use crate::support::patience::eventually;
use crate::support::pause::{Held, Pause};
use crate::support::scene::{Scene, Stage};
use crate::support::server::{Config, Server};
use crate::support::sweep;

fn kill(pid: u32) {
    let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    kill_process(pid, Signal::KILL).unwrap();
}

/// Notes the agent's own process and that of a tool in a session of its own, and stands still.
fn with_a_tool(stage: &Stage, pause: &Pause) -> String {
    format!(
        "echo half > half.txt
         echo $$ >> '{pids}'
         setsid sh -c 'echo $$ >> \"{pids}\"; exec sleep 1000' < /dev/null > /dev/null 2>&1 &
         {pause}",
        pids = stage.agent.file("pids").display(),
        pause = pause.shell(),
    )
}

/// A scene whose first attempt stands in the middle of a tool call.
async fn in_a_tool_call() -> (Scene, u64, Held) {
    let stage = Stage::new();
    let pause = stage.agent.pause("work");
    stage.agent.turn(1, &with_a_tool(&stage, &pause));
    let second = format!("test -f half.txt; {}", greeting::RIGHT);
    stage.agent.turn(2, &second);
    let project = greeting::project(&stage);
    let scene = stage.serve_with(&project, Config::sandbox_off).await;
    let story = scene.start_story(greeting::TITLE, greeting::BODY).await;
    let standing = pause.reached().await;
    eventually("both processes have said who they are", || {
        pids(&scene).len() == 2
    })
    .await;
    // The agent may be faster than the news of its start.
    scene
        .wait_for(story, "its start is known", |story| {
            story["activity"] == "running"
        })
        .await;
    (scene, story, standing)
}

/// The agent and its tool.
fn pids(scene: &Scene) -> Vec<u32> {
    let lines = scene.agent.lines("pids");
    lines.iter().filter_map(|pid| pid.parse().ok()).collect()
}

fn started(scene: &Scene, run: &str) -> Value {
    let folder = scene.folder().join("data/runs/octo/app").join(run);
    let text = std::fs::read(folder.join("started.json")).unwrap_or_default();
    serde_json::from_slice(&text).unwrap_or_default()
}

fn supervisor(scene: &Scene, run: &str) -> u32 {
    let pid = started(scene, run)["process"]["pid"].as_u64();
    pid.and_then(|pid| u32::try_from(pid).ok()).unwrap()
}

/// How the story's agents ended, in order.
async fn ends(scene: &Scene, story: u64) -> Vec<String> {
    let events = scene.events(story).await;
    let ends = events
        .iter()
        .filter(|event| event["event"] == "agent_ended");
    ends.map(|event| {
        let end = &event["data"]["event"]["end"]["end"];
        end.as_str().unwrap_or_default().to_owned()
    })
    .collect()
}

/// It went on in a second attempt, from the work of the first, and nothing was done twice.
async fn assert_went_on(scene: &Scene, story: u64, first_end: &str, retries: u64) {
    let done = scene.wait_for_stage(story, "done").await;
    assert_eq!(scene.agent.starts(), ["octo/app#1 1", "octo/app#1 2"]);
    assert_eq!(ends(scene, story).await, [first_end, "finished"]);
    assert_eq!(done["retries"], retries, "{done}");
    assert_eq!(scene.remote.file(BASE, "half.txt"), "half");
    assert_eq!(scene.remote.log(BASE).len(), 2, "it landed once");
    for pid in pids(scene) {
        assert!(!sweep::is_running(pid), "process {pid} is still there");
    }
    // Slot, place and money are free again: another story runs to its end.
    scene.agent.story(2, "echo two > two.txt; commit 'Do two'");
    let second = scene.start_story("Another", "Do it.").await;
    scene.wait_for_stage(second, "done").await;
}

#[tokio::test]
async fn a_supervisor_that_is_killed_takes_its_tree_along_and_the_story_goes_on() {
    let (scene, story, _standing) = in_a_tool_call().await;
    kill(supervisor(&scene, "agent-1-1"));
    assert_went_on(&scene, story, "lost", 0).await;
}

#[tokio::test]
async fn orphans_of_a_supervisor_that_died_while_no_server_was_there_are_ended_by_the_next() {
    let (mut scene, story, _standing) = in_a_tool_call().await;
    scene.server.kill_9().await;
    kill(supervisor(&scene, "agent-1-1"));
    // The agent itself is hung up on when its terminal goes; its tool has a session of its own.
    assert!(sweep::is_running(pids(&scene)[1]), "the tool is an orphan");
    scene.server.restart().await;
    assert_went_on(&scene, story, "lost", 0).await;
}

#[tokio::test]
async fn an_agent_that_is_killed_in_a_tool_call_has_crashed_and_its_tool_goes_too() {
    let (scene, story, _standing) = in_a_tool_call().await;
    kill(pids(&scene)[0]);
    assert_went_on(&scene, story, "crashed", 1).await;
}

#[tokio::test]
async fn a_machine_that_booted_in_between_has_lost_its_runs() {
    let (mut scene, story, _standing) = in_a_tool_call().await;
    scene.server.kill_9().await;
    sweep::kill_everything_of(scene.folder());
    // After a boot another process may have the number, even with the same ticks.
    let record = scene
        .folder()
        .join("data/runs/octo/app/agent-1-1/started.json");
    let mut process = started(&scene, "agent-1-1");
    process["process"]["pid"] = std::process::id().into();
    process["process"]["boot_id"] = "00000000-0000-0000-0000-000000000000".into();
    std::fs::write(record, process.to_string()).unwrap();
    scene.server.restart().await;
    assert_went_on(&scene, story, "lost", 0).await;
}

#[tokio::test]
async fn a_run_whose_folder_is_gone_does_not_start_again() {
    let (mut scene, story, _standing) = in_a_tool_call().await;
    scene.server.kill_9().await;
    sweep::kill_everything_of(scene.folder());
    std::fs::remove_dir_all(scene.folder().join("data/runs")).unwrap();
    scene.server.restart().await;
    assert_went_on(&scene, story, "lost", 0).await;
}

/// A scene in which the accept gates stand still.
async fn in_a_gate() -> (Scene, u64, Held) {
    let stage = Stage::new();
    let pause = stage.agent.pause("gate");
    stage.agent.always(greeting::RIGHT);
    let (pids, before) = (stage.agent.file("pids"), stage.agent.file("before"));
    // Only the first time.
    let gate = format!(
        "if mkdir '{}' 2>/dev/null; then echo $$ >> '{}'; {}; fi",
        before.display(),
        pids.display(),
        pause.shell()
    );
    let project = stage.coder().gate("stands", &gate);
    let scene = stage.serve_with(&project, Config::sandbox_off).await;
    let story = scene.start_story(greeting::TITLE, greeting::BODY).await;
    let standing = pause.reached().await;
    (scene, story, standing)
}

#[tokio::test]
async fn a_gate_that_is_killed_has_failed_with_its_signal() {
    let (scene, story, _standing) = in_a_gate().await;
    kill(pids(&scene)[0]);
    let ended = scene
        .wait_for(story, "a verdict", |story| !story["gates"].is_null())
        .await;
    let events = scene.events(story).await;
    let verdict = events.iter().find(|event| event["event"] == "gates_ended");
    let verdict = &verdict.unwrap()["data"]["event"]["report"]["outcomes"][0]["verdict"];
    assert_eq!(verdict["status"], 128 + 9, "{ended}");
}

#[tokio::test]
async fn gates_whose_supervisor_is_killed_give_no_verdict_and_run_again() {
    let (scene, story, _standing) = in_a_gate().await;
    let gate = pids(&scene)[0];
    kill(supervisor(&scene, "accept-1-1-1"));
    let done = scene.wait_for_stage(story, "done").await;
    assert!(!sweep::is_running(gate), "the gate is still there");
    assert_eq!(done["retries"], 0, "{done}");
    assert_eq!(scene.agent.starts().len(), 1);
    let events = scene.events(story).await;
    let lost = events.iter().filter(|event| event["event"] == "gates_lost");
    assert_eq!(lost.count(), 1);
}

/// The server leaves within its grace, whatever goes on, and the flow ends as if it had stayed.
#[tokio::test]
async fn a_server_that_is_told_to_go_in_the_middle_of_a_gate_finds_it_again() {
    let (mut scene, story, standing) = in_a_gate().await;
    let status = scene.server.stop().await;
    assert!(status.success(), "{status}");
    assert!(sweep::is_running(pids(&scene)[0]), "the gate goes on");
    scene.server.restart().await;
    standing.let_go();
    scene.wait_for_stage(story, "done").await;
    assert_eq!(scene.agent.starts().len(), 1);
    assert_eq!(pids(&scene).len(), 1, "the gate ran once");
}

#[tokio::test]
async fn a_server_that_takes_its_agents_along_keeps_their_work() {
    let stage = Stage::new();
    let pause = stage.agent.pause("work");
    stage.agent.turn(1, &with_a_tool(&stage, &pause));
    stage
        .agent
        .turn(2, &format!("test -f half.txt; {}", greeting::RIGHT));
    let project = greeting::project(&stage);
    let (remote, config) = stage.prepare(&project);
    let config = config.sandbox_off();
    let server = Server::start_by(stage.folder(), &config, |mut serve| {
        serve.arg("--stop-agents");
        serve
    });
    let server = server.await.unwrap();
    let mut scene = stage.with(remote, server);
    let story = scene.start_story(greeting::TITLE, greeting::BODY).await;
    let _standing = pause.reached().await;
    eventually("both processes have said who they are", || {
        pids(&scene).len() == 2
    })
    .await;
    let status = scene.server.stop().await;
    assert!(status.success(), "{status}\n{}", scene.server.log());
    // A supervisor that has told the end has nothing more to do, and goes by itself.
    let data = scene.folder().join("data");
    eventually("nothing runs any more", || {
        sweep::processes_of(&data).is_empty()
    })
    .await;
    scene.server.restart().await;
    assert_went_on(&scene, story, "stopped", 0).await;
}

#[tokio::test]
async fn a_second_server_on_the_same_data_is_sent_away() {
    let stage = Stage::new();
    stage.agent.always(greeting::RIGHT);
    let project = greeting::project(&stage);
    let (remote, config) = stage.prepare(&project);
    let server = Server::start(stage.folder(), &config).await;
    let scene = stage.with(remote, server);
    let second = Server::launch(scene.folder(), &config, &[]).await;
    assert_eq!(second.err().and_then(|status| status.code()), Some(2));
    let log = scene.server.log();
    assert!(
        log.contains("another huskies serves the data folder"),
        "{log}"
    );
    let story = scene.start_story(greeting::TITLE, greeting::BODY).await;
    scene.wait_for_stage(story, "done").await;
}
