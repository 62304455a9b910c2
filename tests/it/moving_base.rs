//! The base branch moves while a story is being merged: it starts over on the new tip, and what
//! lands is still what was tested.

use serde_json::Value;

use crate::greeting;
use crate::support::git::BASE;
use crate::support::pause::Held;
use crate::support::scene::{Scene, Stage};

/// A story whose first run of the merge gate stands still. The gate notes what it saw.
async fn in_the_merge_gate() -> (Scene, u64, Held) {
    let stage = Stage::new();
    stage.agent.always(greeting::RIGHT);
    let pause = stage.agent.pause("gate");
    let (once, seen) = (stage.agent.file("once"), stage.agent.file("seen"));
    let gate = format!(
        "ls | tr '\\n' ' ' >> '{seen}'; echo >> '{seen}'
         if mkdir '{once}' 2> /dev/null; then {}; fi
         {}",
        pause.shell(),
        greeting::GREETS,
        once = once.display(),
        seen = seen.display(),
    );
    let project =
        stage
            .coder()
            .gate_on("quick", "true", &["accept"])
            .gate_on("greets", &gate, &["merge"]);
    let scene = stage.serve(&project).await;
    let story = scene.start_story(greeting::TITLE, greeting::BODY).await;
    let standing = pause.reached().await;
    (scene, story, standing)
}

/// The story landed on top of what came from outside, as tested there.
fn assert_landed_on_the_new_tip(scene: &Scene, story: u64, outside: &str, done: &Value) {
    let landed = greeting::assert_landed_on(scene, story, outside, done);
    assert_eq!(scene.remote.file(&landed, "outside.txt"), "outside");
    assert_eq!(scene.remote.file(&landed, "greeting.txt"), "Hello");
    let seen = scene.agent.lines("seen");
    assert!(seen.len() > 1, "the gate ran again: {seen:?}");
    assert!(!seen[0].contains("outside.txt"), "{seen:?}");
    let last = seen.last().unwrap();
    assert!(
        last.contains("outside.txt"),
        "on the tree that landed: {seen:?}"
    );
    assert_eq!(
        scene.agent.starts().len(),
        1,
        "no agent is needed to merge anew"
    );
}

#[tokio::test]
async fn a_base_push_during_the_merge_gates_starts_the_merge_over() {
    let (scene, story, standing) = in_the_merge_gate().await;
    let outside = scene.push_to_base("outside.txt", "outside\n").await;
    scene
        .wait_for_github("the merge is tested on the new tip", |github| {
            let head = github.all_statuses().pop();
            head.and_then(|status| status.description)
                .is_some_and(|text| text.contains(&outside[..10]))
        })
        .await;
    standing.let_go();
    let done = scene.wait_for_stage(story, "done").await;
    assert_landed_on_the_new_tip(&scene, story, &outside, &done);
}

#[tokio::test]
async fn a_base_that_moved_unannounced_is_noticed_when_landing() {
    let (scene, story, standing) = in_the_merge_gate().await;
    let outside = scene
        .remote
        .commit_on_base("outside.txt", "outside\n", "Unannounced");
    standing.let_go();
    let done = scene.wait_for_stage(story, "done").await;
    assert_landed_on_the_new_tip(&scene, story, &outside, &done);
}

#[tokio::test]
async fn a_base_push_that_conflicts_during_the_merge_gates_is_a_conflict() {
    let (scene, story, standing) = in_the_merge_gate().await;
    let pause = scene.agent.pause("mend");
    scene.agent.turn(2, &pause.shell());
    let outside = scene.push_to_base("greeting.txt", "Good morning\n").await;
    pause.reached().await.let_go();
    standing.let_go();
    let stuck = scene.wait_for_stage(story, "blocked").await;
    assert_eq!(scene.remote.tip(BASE), outside, "{stuck}");
}

#[tokio::test]
async fn a_story_whose_change_somebody_else_pushed_is_done() {
    let (scene, story, standing) = in_the_merge_gate().await;
    let head = scene.agent.commits(story)[0].clone();
    let before = scene.remote.tip(BASE);
    scene.remote.fast_forward(BASE, &head);
    let push = scene.github.push(BASE, Some(&before), Some(&head), "ada");
    scene.accepted(&push).await;
    let done = scene.wait_for_stage(story, "done").await;
    assert_eq!(done["commit"], head.as_str());
    assert_eq!(scene.remote.tip(BASE), head);
    standing.let_go();
}

#[tokio::test]
async fn merge_gates_that_fail_send_the_story_back_once_and_then_block() {
    let stage = Stage::new();
    stage
        .agent
        .always("echo \"Hello $HUSKIES_ATTEMPT\" > greeting.txt; commit 'Greet'");
    let project = stage.coder().gate_on("quick", "true", &["accept"]).gate_on(
        "slow",
        "echo too slow; exit 1",
        &["merge"],
    );
    let scene = stage.serve(&project).await;
    let seed = scene.remote.tip(BASE);
    let story = scene.start_story(greeting::TITLE, greeting::BODY).await;
    let blocked = scene.wait_for_stage(story, "blocked").await;
    let reason = blocked["reason"].as_str().unwrap_or_default();
    assert!(reason.contains("slow"), "{blocked}");
    assert_eq!(scene.remote.tip(BASE), seed);
    assert_eq!(scene.agent.starts().len(), 2, "one repair, no more");
    let prompt = scene.agent.prompt(story, 2);
    assert!(prompt.contains(greeting::FAILURE_SECTION), "{prompt}");
    assert!(prompt.contains("too slow"), "{prompt}");
}

#[tokio::test]
async fn a_base_push_that_conflicts_is_said_at_once_and_told_to_the_next_agent() {
    let stage = Stage::new();
    let pause = stage.agent.pause("second");
    stage.agent.story_turn(1, 1, greeting::WRONG);
    stage.agent.story_turn(1, 2, &pause.shell());
    stage.agent.story_turn(
        1,
        3,
        r#"
tip=$(sed -n 's/.*base branch moved to \([0-9a-f]*\) and conflicts.*/\1/p' "$HUSKIES_PROMPT_FILE" | head -n 1)
git -c user.name=Agent -c user.email=agent@example.com merge "$tip" || true
echo Hello > greeting.txt
commit 'Merge the base, say hello'
"#,
    );
    let project = greeting::project(&stage);
    let scene = stage.serve(&project).await;
    let story = scene.start_story(greeting::TITLE, greeting::BODY).await;
    let standing = pause.reached().await;
    let outside = scene.push_to_base("greeting.txt", "Good evening\n").await;
    scene
        .wait_for_github("the comment names the conflict", |github| {
            let comments = greeting::sticky_comments(github, story);
            comments.iter().any(|comment| {
                comment.body.contains("**In the way.**") && comment.body.contains("greeting.txt")
            })
        })
        .await;
    standing.let_go();
    let done = scene.wait_for_stage(story, "done").await;
    let prompt = scene.agent.prompt(story, 3);
    let sentence = format!(
        "The base branch moved to {} and conflicts with your branch in greeting.txt.",
        &outside[..10]
    );
    assert!(prompt.contains(&sentence), "{prompt}");
    assert!(
        !scene
            .agent
            .prompt(story, 2)
            .contains("conflicts with your branch")
    );
    greeting::assert_landed_on(&scene, story, &outside, &done);
    scene
        .wait_for_github("the conflict is over", |github| {
            let comments = greeting::sticky_comments(github, story);
            comments
                .iter()
                .all(|comment| !comment.body.contains("In the way"))
        })
        .await;
}
