//! People who stop a story while its agent runs: the agent's whole tree ends, its work is kept.

use crate::greeting;
use crate::support::git::{self, BASE};
use crate::support::patience::eventually;
use crate::support::pause::Held;
use crate::support::project::Project;
use crate::support::scene::{Scene, Stage, WRITER, stage_labels};
use crate::support::sweep;

/// Leaves work of every kind, a child in a session of its own, and then stands still.
fn half_a_turn(stage: &Stage, stand_still: &str) -> String {
    let pids = stage.agent.file("pids");
    format!(
        "echo committed > committed.txt; commit 'First half'
         echo changed >> README.md; echo half > half.txt
         echo staged > staged.txt; git add staged.txt
         echo $$ >> '{pids}'
         setsid sh -c 'echo $$ >> \"{pids}\"; exec sleep 1000' < /dev/null > /dev/null 2>&1 &
         {stand_still}",
        pids = pids.display(),
    )
}

/// A scene whose first attempt stands in the middle of its work.
async fn in_mid_run() -> (Scene, u64, Held) {
    in_mid_run_of(|project| project).await
}

async fn in_mid_run_of(change: impl FnOnce(Project) -> Project) -> (Scene, u64, Held) {
    let stage = Stage::new();
    let pause = stage.agent.pause("work");
    stage.agent.turn(1, &half_a_turn(&stage, &pause.shell()));
    let project = change(greeting::project(&stage));
    let scene = stage.serve(&project).await;
    let story = scene.start_story(greeting::TITLE, greeting::BODY).await;
    let standing = pause.reached().await;
    eventually("both processes have said who they are", || {
        scene.agent.lines("pids").len() == 2
    })
    .await;
    assert!(sweep::agents_of(scene.folder()).len() >= 2);
    (scene, story, standing)
}

fn assert_nobody_is_left(scene: &Scene) {
    let left = sweep::agents_of(scene.folder());
    assert!(left.is_empty(), "{left:?} of the agent are still there");
}

/// The work that the stopped attempt had is kept: committed, changed, staged and untracked.
fn assert_work_is_kept(scene: &Scene, story: u64) {
    let kept = scene.kept_work();
    assert_eq!(kept.len(), 1, "{kept:?}");
    assert!(
        kept[0].ends_with(&format!("/{story}/1")),
        "of the first attempt: {kept:?}"
    );
    let show = |path: &str| git::git(&scene.control(), &["show", &format!("{}:{path}", kept[0])]);
    assert_eq!(show("half.txt"), "half");
    assert_eq!(show("staged.txt"), "staged");
    assert_eq!(show("committed.txt"), "committed");
    assert!(show("README.md").ends_with("changed"));
}

#[tokio::test]
async fn an_unlabelled_story_loses_its_agent_keeps_its_work_and_goes_on_from_it() {
    let (scene, story, _standing) = in_mid_run().await;
    let seed = scene.remote.tip(BASE);
    scene.unlabel(story).await;
    scene.wait_for_stage(story, "backlog").await;
    assert_nobody_is_left(&scene);
    assert_work_is_kept(&scene, story);
    assert_eq!(scene.remote.tip(BASE), seed);
    scene.agent.turn(
        2,
        &format!(
            "test -f committed.txt; test -f staged.txt; test -f half.txt; grep -q changed README.md; {}",
            greeting::RIGHT
        ),
    );
    scene.label(story).await;
    let done = scene.wait_for_stage(story, "done").await;
    let landed = greeting::assert_landed_on(&scene, story, &seed, &done);
    assert_eq!(scene.remote.file(&landed, "half.txt"), "half");
    assert_eq!(scene.agent.starts(), ["octo/app#1 1", "octo/app#1 2"]);
    let prompt = scene.agent.prompt(story, 2);
    assert!(!prompt.contains(greeting::FAILURE_SECTION), "{prompt}");
}

#[tokio::test]
async fn a_closed_issue_cancels_its_story_and_keeps_the_work() {
    let (scene, story, _standing) = in_mid_run().await;
    let close = scene.github.close(story, WRITER);
    scene.accepted(&close).await;
    scene.wait_for_stage(story, "cancelled").await;
    assert_nobody_is_left(&scene);
    assert_work_is_kept(&scene, story);
    assert_eq!(scene.agent.starts().len(), 1);
    scene
        .wait_for_github("the label says so", |github| {
            stage_labels(github, story) == ["stage:cancelled"]
        })
        .await;
}

#[tokio::test]
async fn a_reopened_and_labelled_issue_goes_on_from_the_kept_work() {
    let (scene, story, _standing) = in_mid_run().await;
    let close = scene.github.close(story, WRITER);
    scene.accepted(&close).await;
    scene.wait_for_stage(story, "cancelled").await;
    let reopen = scene.github.reopen(story, WRITER);
    assert_eq!(scene.server.deliver(&reopen).await.status, 202);
    scene.unlabel(story).await;
    let turn = format!("test -f half.txt; {}", greeting::RIGHT);
    scene.agent.turn(2, &turn);
    scene.label(story).await;
    scene.wait_for_stage(story, "done").await;
    assert_eq!(scene.remote.file(BASE, "half.txt"), "half");
    assert_eq!(scene.remote.file(BASE, "committed.txt"), "committed");
}

#[tokio::test]
async fn a_story_stopped_and_started_again_at_once_has_one_agent() {
    let (scene, story, _standing) = in_mid_run().await;
    scene.agent.turn(2, greeting::RIGHT);
    scene.unlabel(story).await;
    scene.label(story).await;
    scene.wait_for_stage(story, "done").await;
    assert_nobody_is_left(&scene);
    assert_eq!(scene.agent.starts(), ["octo/app#1 1", "octo/app#1 2"]);
}

#[tokio::test]
async fn a_server_that_is_asked_to_end_leaves_its_agent_running_and_meets_it_again() {
    let stage = Stage::new();
    let pause = stage.agent.pause("work");
    let turn = format!("{}; {}", pause.shell(), greeting::RIGHT);
    stage.agent.always(&turn);
    let project = greeting::project(&stage);
    let mut scene = stage.serve(&project).await;
    let story = scene.start_story(greeting::TITLE, greeting::BODY).await;
    let standing = pause.reached().await;
    let status = scene.server.stop().await;
    assert!(status.success(), "{status}\n{}", scene.server.log());
    assert!(!sweep::processes_of(scene.folder()).is_empty());
    scene.server.restart().await;
    standing.let_go();
    scene.wait_for_stage(story, "done").await;
    assert_eq!(scene.agent.starts(), ["octo/app#1 1"]);
}

#[tokio::test]
async fn an_agent_that_ends_while_no_server_is_there_is_not_started_again() {
    let stage = Stage::new();
    let pause = stage.agent.pause("work");
    let ended = stage.agent.file("ended");
    let turn = format!(
        "{}; {}; echo ended > '{}'",
        pause.shell(),
        greeting::RIGHT,
        ended.display()
    );
    stage.agent.always(&turn);
    let project = greeting::project(&stage);
    let mut scene = stage.serve(&project).await;
    let story = scene.start_story(greeting::TITLE, greeting::BODY).await;
    let standing = pause.reached().await;
    scene.server.kill_9().await;
    standing.let_go();
    scene.agent.wait_for_line("ended").await;
    scene.server.restart().await;
    scene.wait_for_stage(story, "done").await;
    assert_eq!(scene.agent.starts(), ["octo/app#1 1"]);
}

/// A power cut can come while git holds a lock, and nobody is left to take it away.
#[tokio::test]
async fn locks_that_a_killed_server_left_behind_stop_nothing() {
    let stage = Stage::new();
    stage.agent.always(greeting::RIGHT);
    let project = greeting::project(&stage);
    let mut scene = stage.serve(&project).await;
    scene.wait_until_ready().await;
    scene.server.kill_9().await;
    let branch = "refs/heads/feature/story-1-greet-the-world.lock";
    let cell = "cells/story-1-greet-the-world.git";
    let work = scene.control().with_file_name(cell).join(branch);
    let own = ["story/1/head.lock", "wip/1/1.lock"];
    let own = own.map(|name| scene.control().join("refs/huskies").join(name));
    let packed = scene.control().join("packed-refs.lock");
    for lock in own.iter().chain([&work, &packed]) {
        std::fs::create_dir_all(lock.parent().unwrap()).unwrap();
        std::fs::write(lock, "").unwrap();
    }
    scene.server.restart().await;
    let story = scene.start_story(greeting::TITLE, greeting::BODY).await;
    scene
        .wait_for(story, "an end", |story| {
            story["stage"] == "done" || story["stage"] == "blocked"
        })
        .await;
    let story = scene.story(story).await;
    assert_eq!(story["stage"], "done", "{story}");
}

#[tokio::test]
async fn a_restart_after_the_end_writes_nothing_again() {
    let stage = Stage::new();
    stage.agent.always(greeting::RIGHT);
    let project = greeting::project(&stage);
    let mut scene = stage.serve(&project).await;
    let story = scene.start_story(greeting::TITLE, greeting::BODY).await;
    let mut done = scene.wait_for_stage(story, "done").await;
    let head = scene.agent.commits(story).pop().unwrap();
    scene
        .wait_for_github("everything is reported", |github| {
            greeting::is_reported(github, story, &head)
        })
        .await;
    assert!(scene.server.stop().await.success());
    let writes = scene.github.writes().len();
    scene.server.restart().await;
    scene.wait_until_ready().await;
    let mut after = scene.story(story).await;
    // Its reports, which come after its end, count too.
    let calls = [&mut done, &mut after].map(|story| story["api_calls"].take().as_u64());
    assert!(calls[0] <= calls[1], "{calls:?}");
    assert_eq!(after, done);
    assert!(scene.server.stop().await.success());
    assert_eq!(scene.github.writes().len(), writes);
    assert_eq!(scene.remote.log(BASE).len(), 2);
}

/// How often a word stands in the ledger that set-up and teardown write.
fn count(ledger: &std::path::Path, word: &str) -> usize {
    let text = std::fs::read_to_string(ledger).unwrap_or_default();
    text.lines().filter(|line| *line == word).count()
}

#[tokio::test]
async fn each_life_of_a_worktree_is_set_up_once_and_torn_down_once() {
    let stage = Stage::new();
    let ledger = stage.agent.file("ledger");
    // Checkouts for gates are set up as well; only worktrees are on a branch.
    let note = |word: &str| {
        format!(
            "if git symbolic-ref -q HEAD; then echo {word} >> '{}'; fi",
            ledger.display()
        )
    };
    stage.agent.always("exit 1");
    let project = greeting::project(&stage)
        .max_retries(1)
        .component(note("up"), note("down"));
    let scene = stage.serve(&project).await;
    let story = scene.start_story(greeting::TITLE, greeting::BODY).await;
    scene.wait_for_stage(story, "blocked").await;
    assert_eq!(
        (count(&ledger, "up"), count(&ledger, "down")),
        (1, 0),
        "one worktree, two attempts"
    );
    let close = scene.github.close(story, WRITER);
    scene.accepted(&close).await;
    eventually("the worktree is torn down", || count(&ledger, "down") == 1).await;
    let reopen = scene.github.reopen(story, WRITER);
    assert_eq!(scene.server.deliver(&reopen).await.status, 202);
    scene.agent.always(greeting::RIGHT);
    scene.unlabel(story).await;
    scene.label(story).await;
    scene.wait_for_stage(story, "done").await;
    eventually("it is torn down again", || count(&ledger, "down") == 2).await;
    assert_eq!(
        count(&ledger, "up"),
        2,
        "the worktree that was built again was set up again"
    );
}

#[tokio::test]
async fn kept_work_is_on_the_remote_when_the_project_says_so() {
    let (scene, story, _standing) = in_mid_run_of(Project::push_wip).await;
    scene.unlabel(story).await;
    scene.wait_for_stage(story, "backlog").await;
    let name = format!("refs/huskies/wip/{story}/1");
    eventually("the remote has the kept work", || {
        scene.remote.refs("refs/huskies/wip").contains(&name)
    })
    .await;
    assert_eq!(scene.remote.file(&name, "half.txt"), "half");
    assert_eq!(scene.remote.file(&name, "committed.txt"), "committed");
}
