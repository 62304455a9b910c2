//! Two stories that change the same line: the second one's agent repairs the merge once, and if it
//! cannot, a person is asked.

use crate::greeting;
use crate::support::git::BASE;
use crate::support::scene::{Scene, Stage};

/// Resolves the conflict as the prompt says, keeping both sides.
const REPAIR: &str = r#"
tip=$(grep -o 'git merge [0-9a-f]\{40\}' "$HUSKIES_PROMPT_FILE" | head -n 1 | cut -d ' ' -f 3)
git -c user.name=Agent -c user.email=agent@example.com merge "$tip" || true
printf 'Hello from one\nHello from two\n' > greeting.txt
commit 'Merge the base'
"#;

/// The first story landed while the second one's agent was at work on the same line; the second
/// one's repair stands still at a pause, then does what `repair` says.
async fn in_conflict(repair: &str) -> (Scene, u64, crate::support::pause::Held) {
    let stage = Stage::new();
    let (work, mend) = (stage.agent.pause("work"), stage.agent.pause("mend"));
    let say = |who: &str| format!("echo 'Hello from {who}' > greeting.txt; commit 'Say {who}'");
    stage.agent.story(1, &say("one"));
    stage
        .agent
        .story_turn(2, 1, &format!("{}; {}", work.shell(), say("two")));
    stage
        .agent
        .story_turn(2, 2, &format!("{}; {repair}", mend.shell()));
    let project = stage
        .coder()
        .coder("second", &stage.agent.command())
        .gate("greets", greeting::GREETS);
    let scene = stage.serve(&project).await;
    let second = {
        let first = scene.github.add_issue("Say one", "", "ada");
        let second = scene.start_story("Say two", "").await;
        let at_work = work.reached().await;
        scene.label(first).await;
        scene.wait_for_stage(first, "done").await;
        at_work.let_go();
        second
    };
    let standing = mend.reached().await;
    (scene, second, standing)
}

#[tokio::test]
async fn a_conflict_names_its_paths_and_is_repaired_by_one_fix_up() {
    let (scene, story, standing) = in_conflict(REPAIR).await;
    let failed = scene.wait_for_stage(story, "merge_failure").await;
    let reason = failed["reason"].as_str().unwrap_or_default();
    assert!(reason.contains("greeting.txt"), "{failed}");
    let prompt = scene.agent.prompt(story, 2);
    assert!(prompt.contains("greeting.txt"), "{prompt}");
    let head = scene.agent.commits(story)[0].clone();
    scene
        .wait_for_github("the conflict is reported", |github| {
            let states = crate::support::scene::states(github, &head, "huskies/merge");
            states.last().is_some_and(|last| last == "failure")
                && greeting::announcements(github, story)
                    .iter()
                    .any(|comment| comment.body.contains("greeting.txt"))
        })
        .await;
    let first = scene.remote.tip(BASE);
    standing.let_go();
    let done = scene.wait_for_stage(story, "done").await;
    greeting::assert_landed_on(&scene, story, &first, &done);
    assert_eq!(
        scene.remote.file(BASE, "greeting.txt"),
        "Hello from one\nHello from two"
    );
    assert_eq!(scene.agent.starts().len(), 3);
}

#[tokio::test]
async fn a_repair_that_leaves_the_conflict_blocks_the_story() {
    let still = "echo 'Hello from two, again' > greeting.txt; commit 'Insist'";
    let (scene, story, standing) = in_conflict(still).await;
    let first = scene.remote.tip(BASE);
    standing.let_go();
    let blocked = scene.wait_for_stage(story, "blocked").await;
    let reason = blocked["reason"].as_str().unwrap_or_default();
    assert!(reason.contains("greeting.txt"), "{blocked}");
    assert_eq!(scene.remote.tip(BASE), first, "nothing of it landed");
    assert_eq!(scene.agent.starts().len(), 3, "one repair, no more");
    let head = scene.agent.commits(story).pop().unwrap();
    scene
        .wait_for_github("the head shows it", |github| {
            let states = crate::support::scene::states(github, &head, "huskies/merge");
            states.last().is_some_and(|last| last == "failure")
        })
        .await;
    scene
        .wait_for_github("both conflicts are said", |github| {
            greeting::announcements(github, story).len() == 2
        })
        .await;
}

#[tokio::test]
async fn a_repair_that_commits_conflict_markers_does_not_land() {
    let markers = r#"
tip=$(grep -o 'git merge [0-9a-f]\{40\}' "$HUSKIES_PROMPT_FILE" | head -n 1 | cut -d ' ' -f 3)
git -c user.name=Agent -c user.email=agent@example.com merge "$tip" || true
commit 'Merge with markers'
"#;
    let (scene, story, standing) = in_conflict(markers).await;
    let first = scene.remote.tip(BASE);
    standing.let_go();
    scene
        .wait_for(story, "an end without landing", |story| {
            story["stage"] == "blocked" || story["stage"] == "done"
        })
        .await;
    assert_eq!(scene.story(story).await["stage"], "blocked");
    assert_eq!(scene.remote.tip(BASE), first);
}
