//! Nobody who may not starts anything.

use crate::greeting;
use crate::support::git::BASE;
use crate::support::scene::Stage;

#[tokio::test]
async fn a_sender_without_write_permission_starts_nothing_and_is_told_once() {
    let stage = Stage::new();
    stage.agent.always(greeting::RIGHT);
    stage.github.set_permission("eve", "read");
    let project = greeting::project(&stage);
    let scene = stage.serve(&project).await;
    let seed = scene.remote.tip(BASE);
    let story = scene
        .github
        .add_issue(greeting::TITLE, greeting::BODY, "eve");
    for _ in 0..2 {
        let label = scene.github.label(story, "huskies", "eve");
        scene.accepted(&label).await;
        scene
            .wait_for_github("eve is told", |github| {
                greeting::sticky_comments(github, story)
                    .iter()
                    .any(|comment| comment.body.contains("eve"))
            })
            .await;
        let unlabel = scene.github.unlabel(story, "huskies", "eve");
        scene.accepted(&unlabel).await;
    }
    let other = scene.start_story("Greet the world", greeting::BODY).await;
    scene.wait_for_stage(other, "done").await;
    let comments = scene.own_comments(story);
    assert_eq!(comments.len(), 1, "{comments:#?}");
    assert_eq!(comments[0].body.matches("eve").count(), 1, "{comments:#?}");
    assert!(!comments[0].body.contains("@eve"), "{comments:#?}");
    assert_eq!(scene.story(story).await["stage"], "backlog");
    assert_eq!(
        scene.agent.starts(),
        ["octo/app#2 1"],
        "only the other story ran"
    );
    assert_eq!(scene.remote.log(BASE)[0].parents, [seed]);
}

#[tokio::test]
async fn roles_below_write_are_refused_and_those_above_are_not() {
    let stage = Stage::new();
    stage
        .agent
        .always("echo Hello > greeting.txt; date +%N >> greeting.txt; commit Greet");
    let accounts = [("ann", "admin"), ("mia", "maintain"), ("tom", "triage")];
    for (login, role) in accounts {
        stage.github.set_permission(login, role);
    }
    let project = greeting::project(&stage);
    let scene = stage.serve(&project).await;
    for (login, role) in accounts {
        let story = scene.github.add_issue(greeting::TITLE, role, login);
        let label = scene.github.label(story, "huskies", login);
        scene.accepted(&label).await;
        if role == "triage" {
            scene
                .wait_for_github("tom is told", |github| {
                    !greeting::sticky_comments(github, story).is_empty()
                })
                .await;
        } else {
            scene.wait_for_stage(story, "done").await;
        }
    }
    assert_eq!(scene.agent.starts(), ["octo/app#1 1", "octo/app#2 1"]);
}

#[tokio::test]
async fn somebody_who_may_not_cannot_stop_what_runs() {
    let stage = Stage::new();
    let pause = stage.agent.pause("work");
    let turn = format!("{}; {}", pause.shell(), greeting::RIGHT);
    stage.agent.always(&turn);
    stage.github.set_permission("eve", "triage");
    let project = greeting::project(&stage);
    let scene = stage.serve(&project).await;
    let story = scene.start_story(greeting::TITLE, greeting::BODY).await;
    let standing = pause.reached().await;
    let unlabel = scene.github.unlabel(story, "huskies", "eve");
    scene.accepted(&unlabel).await;
    let close = scene.github.close(story, "eve");
    scene.accepted(&close).await;
    scene
        .wait_for_github("eve is told", |github| {
            greeting::sticky_comments(github, story)
                .iter()
                .any(|comment| comment.body.contains("eve"))
        })
        .await;
    standing.let_go();
    scene.wait_for_stage(story, "done").await;
    assert_eq!(scene.agent.starts().len(), 1);
}
