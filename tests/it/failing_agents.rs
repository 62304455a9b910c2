//! Agents that abort, hang, cannot be launched, do nothing or never do it right: each ends at its
//! own limit, with a reason that a person can act on.

use serde_json::Value;

use crate::greeting;
use crate::support::git::BASE;
use crate::support::project::Project;
use crate::support::scene::{Scene, Stage, WRITER, stage_labels};

/// A gate that leaves a line whenever it runs, and passes.
fn noted_gate(stage: &Stage) -> String {
    format!("echo ran >> '{}'", stage.agent.file("gates").display())
}

/// Serves the project, starts a story and waits until it is blocked and GitHub shows it.
async fn blocked(stage: Stage, project: &Project) -> (Scene, u64, Value) {
    let scene = stage.serve(project).await;
    let story = scene.start_story(greeting::TITLE, greeting::BODY).await;
    let blocked = scene.wait_for_stage(story, "blocked").await;
    scene
        .wait_for_github("it is reported as blocked", |github| {
            let sticky = greeting::sticky_comments(github, story);
            stage_labels(github, story) == ["stage:blocked"]
                && !greeting::announcements(github, story).is_empty()
                && sticky
                    .iter()
                    .any(|comment| comment.body.contains("huskies: blocked"))
        })
        .await;
    assert_eq!(greeting::announcements(&scene.github, story).len(), 1);
    assert_eq!(greeting::sticky_comments(&scene.github, story).len(), 1);
    assert_eq!(scene.remote.log(BASE).len(), 1, "nothing landed");
    (scene, story, blocked)
}

fn reason(story: &Value) -> &str {
    story["reason"].as_str().unwrap_or_default()
}

#[tokio::test]
async fn the_fifth_abort_in_a_row_blocks_and_no_gate_ever_runs() {
    let stage = Stage::new();
    stage.agent.always("kill -ABRT $$");
    let project = stage.coder().gate("noted", &noted_gate(&stage));
    let (scene, _, story) = blocked(stage, &project).await;
    let starts: Vec<String> = (1..=5).map(|n| format!("octo/app#1 {n}")).collect();
    assert_eq!(scene.agent.starts(), starts);
    assert!(scene.agent.lines("gates").is_empty());
    assert!(reason(&story).contains('5'), "{story}");
}

#[tokio::test]
async fn any_other_end_clears_the_count_of_aborts() {
    let stage = Stage::new();
    stage.agent.always("kill -ABRT $$");
    stage.agent.turn(4, greeting::WRONG);
    stage.agent.turn(9, greeting::RIGHT);
    let project = greeting::project(&stage);
    let scene = stage.serve(&project).await;
    let story = scene.start_story(greeting::TITLE, greeting::BODY).await;
    scene.wait_for_stage(story, "done").await;
    assert_eq!(scene.agent.starts().len(), 9);
}

#[tokio::test]
async fn a_silent_agent_is_stopped_retried_and_blocked() {
    let stage = Stage::new();
    stage.agent.always("echo half > half.txt; exec sleep 1000");
    let project = stage
        .coder()
        .inactivity_timeout_secs(1)
        .max_retries(1)
        .gate("noted", &noted_gate(&stage));
    let (scene, _, story) = blocked(stage, &project).await;
    assert_eq!(scene.agent.starts(), ["octo/app#1 1", "octo/app#1 2"]);
    assert!(scene.agent.lines("gates").is_empty());
    assert!(!reason(&story).is_empty(), "{story}");
    assert!(!scene.kept_work().is_empty(), "what it had is kept");
}

#[tokio::test]
async fn an_agent_that_talks_is_not_silent() {
    let stage = Stage::new();
    let talk = "for i in 1 2 3 4 5 6; do echo still here; sleep 0.5; done";
    stage.agent.always(&format!("{talk}; {}", greeting::RIGHT));
    let project = greeting::project(&stage).inactivity_timeout_secs(2);
    let scene = stage.serve(&project).await;
    let story = scene.start_story(greeting::TITLE, greeting::BODY).await;
    scene.wait_for_stage(story, "done").await;
    assert_eq!(scene.agent.starts().len(), 1);
}

#[tokio::test]
async fn an_agent_that_cannot_be_launched_blocks_at_once_with_the_reason() {
    let stage = Stage::new();
    let project = Project::new()
        .coder("coder", "/no/such/agent --now")
        .gate("noted", &noted_gate(&stage));
    let (scene, _, story) = blocked(stage, &project).await;
    assert_eq!(story["attempt"], 1, "no retry: {story}");
    assert!(scene.agent.lines("gates").is_empty());
    assert!(reason(&story).contains("/no/such/agent"), "{story}");
}

#[tokio::test]
async fn an_agent_that_commits_nothing_is_told_so_and_blocked_in_the_end() {
    let stage = Stage::new();
    stage.agent.always("echo thinking");
    let project = stage
        .coder()
        .max_retries(2)
        .gate("noted", &noted_gate(&stage));
    let (scene, story, _) = blocked(stage, &project).await;
    assert_eq!(scene.agent.starts().len(), 3);
    assert!(scene.agent.lines("gates").is_empty());
    let prompt = scene.agent.prompt(story, 2);
    assert!(prompt.contains("without a new commit"), "{prompt}");
}

#[tokio::test]
async fn a_crash_uses_a_retry() {
    let stage = Stage::new();
    stage.agent.turn(1, "echo half > half.txt; exit 3");
    stage.agent.turn(2, greeting::RIGHT);
    let project = greeting::project(&stage);
    let scene = stage.serve(&project).await;
    let story = scene.start_story(greeting::TITLE, greeting::BODY).await;
    scene.wait_for_stage(story, "done").await;
    assert_eq!(scene.agent.starts().len(), 2);
    assert_eq!(scene.remote.file(BASE, "half.txt"), "half");
}

#[tokio::test]
async fn gates_that_keep_failing_block_and_a_retry_label_goes_on() {
    let stage = Stage::new();
    stage
        .agent
        .always("echo \"$HUSKIES_ATTEMPT\" > greeting.txt; commit 'Count'");
    let project = stage.coder().max_retries(1).gate(
        "greets",
        "cat greeting.txt | tr 0-9 a-j; grep -q Hello greeting.txt",
    );
    let (scene, story, blocked) = blocked(stage, &project).await;
    assert_eq!(scene.agent.starts().len(), 2);
    assert!(reason(&blocked).contains("greets"), "{blocked}");
    let head = scene.agent.commits(story).pop().unwrap();
    assert_eq!(
        scene.states(&head, "huskies/gates").pop().as_deref(),
        Some("failure")
    );
    scene.agent.always(greeting::RIGHT);
    let retry = scene.github.label(story, "huskies:retry", WRITER);
    scene.accepted(&retry).await;
    scene.wait_for_stage(story, "done").await;
    scene
        .wait_for_github("the retry label is taken off", |github| {
            !github.labels(story).contains(&"huskies:retry".to_owned())
        })
        .await;
    assert_eq!(scene.agent.starts().len(), 3);
}

#[tokio::test]
async fn the_same_failure_three_times_blocks_early() {
    let stage = Stage::new();
    stage
        .agent
        .always("echo \"$HUSKIES_ATTEMPT\" > greeting.txt; commit 'Count'");
    let project = greeting::project(&stage).max_retries(9);
    let (scene, _, story) = blocked(stage, &project).await;
    assert_eq!(scene.agent.starts().len(), 3, "{story}");
}

#[tokio::test]
async fn a_project_without_gates_is_refused_with_advice() {
    let stage = Stage::new();
    stage.agent.always(greeting::RIGHT);
    let project = stage.coder();
    let (scene, _, story) = blocked(stage, &project).await;
    assert!(scene.agent.starts().is_empty());
    assert!(reason(&story).contains("[[gate]]"), "{story}");
}
