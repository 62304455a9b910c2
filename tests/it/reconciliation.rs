//! What no delivery told is found: after a server was away, and all of it where no webhook reaches
//! the server.

use std::collections::BTreeSet;

use crate::greeting;
use crate::support::git::{BASE, git};
use crate::support::github_model::{BranchRules, GithubModel, RecordedRequest};
use crate::support::patience::eventually;
use crate::support::scene::{Scene, Stage, WRITER, states};
use crate::support::server::Server;

/// The requests of a server that has nothing to do but look.
fn looks(github: &GithubModel) -> Vec<RecordedRequest> {
    let requests = github.requests().into_iter();
    let asks = |request: &RecordedRequest| request.path.ends_with("/repos/octo/app/issues");
    requests.filter(asks).collect()
}

async fn wait_for_looks(github: &GithubModel, more: usize) {
    let before = looks(github).len();
    github
        .eventually("another look", |github| {
            looks(github).len() >= before + more
        })
        .await;
}

/// Without webhooks, and looking every second.
async fn polling(stage: Stage) -> Scene {
    let project = greeting::project(&stage);
    stage
        .serve_with(&project, |config| config.without_webhooks().look_secs(1))
        .await
}

#[tokio::test]
async fn a_label_that_was_set_while_no_server_ran_starts_its_story_as_whoever_set_it() {
    let stage = Stage::new();
    stage.agent.always(greeting::RIGHT);
    stage.github.set_permission("eve", "read");
    let wanted = stage
        .github
        .add_issue(greeting::TITLE, greeting::BODY, "eve");
    let refused = stage.github.add_issue("Mine", greeting::BODY, WRITER);
    // Their deliveries reach nobody.
    drop(stage.github.label(wanted, "huskies", WRITER));
    drop(stage.github.label(refused, "huskies", "eve"));
    let project = greeting::project(&stage);
    let scene = stage.serve(&project).await;
    scene.wait_for_stage(wanted, "done").await;
    scene
        .wait_for_github("eve is refused by name", |github| {
            let comments = greeting::sticky_comments(github, refused);
            comments.iter().any(|comment| comment.body.contains("eve"))
        })
        .await;
    assert_eq!(scene.agent.starts(), ["octo/app#1 1"]);
}

#[tokio::test]
async fn what_happened_to_a_story_while_the_server_was_away_is_found_at_its_next_start() {
    let stage = Stage::new();
    let pause = stage.agent.pause("work");
    stage.agent.always(&pause.shell());
    let project = greeting::project(&stage);
    let (remote, config) = stage.prepare(&project);
    let server = Server::start(stage.folder(), &config).await;
    let mut scene = stage.with(remote, server);
    let closed = scene.start_story(greeting::TITLE, greeting::BODY).await;
    let standing = pause.reached().await;
    scene.server.stop().await;
    drop(scene.github.close(closed, WRITER));
    let label = scene.github.add_issue("Another", greeting::BODY, WRITER);
    drop(scene.github.label(label, "huskies", WRITER));
    drop(scene.github.unlabel(label, "huskies", WRITER));
    scene.server.restart().await;
    scene.wait_for_stage(closed, "cancelled").await;
    standing.let_go();
    assert_eq!(
        scene.server.get("/api/stories/octo/app/2").await.status,
        404
    );
}

#[tokio::test]
async fn a_pull_request_that_was_open_before_huskies_came_is_gated() {
    let stage = Stage::new();
    let project = stage.coder().gate("greets", "grep -q Hello greeting.txt");
    let (remote, config) = stage.prepare(&project);
    let head = remote.propose(1, &[("greeting.txt", "Hello\n")]);
    git(remote.path(), &["update-ref", "refs/heads/greeting", &head]);
    stage.github.open_pull_by("greeting", "bob");
    let server = Server::start(stage.folder(), &config).await;
    let scene = stage.with(remote, server);
    scene
        .wait_for_github("its head is judged", |github| {
            states(github, &head, "huskies/gates")
                .last()
                .map(String::as_str)
                == Some("success")
        })
        .await;
}

#[tokio::test]
async fn without_webhooks_a_story_is_started_steered_and_landed_by_polling_alone() {
    let stage = Stage::new();
    stage
        .agent
        .turn(1, "echo Nothing > greeting.txt; commit Try");
    stage.agent.turn(2, greeting::RIGHT);
    let scene = polling(stage).await;
    let log = scene.server.log();
    assert!(log.contains("GitHub is polled every 1 s"), "{log}");
    let story = scene
        .github
        .add_issue(greeting::TITLE, greeting::BODY, WRITER);
    drop(scene.github.label(story, "huskies", WRITER));
    let (comment, _) = scene.github.say(story, "/huskies status", WRITER);
    scene
        .wait_for_github("the command is answered", |github| {
            github.reactions(comment) == ["eyes"]
        })
        .await;
    scene.wait_for_stage(story, "done").await;
    // Neither its own labels and comments nor what it saw before is taken for news.
    wait_for_looks(&scene.github, 3).await;
    assert_eq!(scene.agent.starts(), ["octo/app#1 1", "octo/app#1 2"]);
    let comments = scene.own_comments(story);
    assert_eq!(comments.len(), 3, "in place, answered, done: {comments:#?}");
}

#[tokio::test]
async fn without_webhooks_a_label_that_goes_and_comes_back_between_two_looks_starts_again() {
    let stage = Stage::new();
    stage.agent.always("give_up 'Which greeting?'");
    let scene = polling(stage).await;
    let story = scene
        .github
        .add_issue(greeting::TITLE, greeting::BODY, WRITER);
    drop(scene.github.label(story, "huskies", WRITER));
    scene.wait_for_stage(story, "blocked").await;
    wait_for_looks(&scene.github, 2).await;
    let before = scene.agent.starts().len();
    drop(scene.github.unlabel(story, "huskies", WRITER));
    scene.wait_for_stage(story, "backlog").await;
    drop(scene.github.label(story, "huskies", WRITER));
    scene.wait_for_stage(story, "blocked").await;
    assert!(scene.agent.starts().len() > before);
}

#[tokio::test]
async fn a_base_that_moved_without_a_word_is_seen_at_the_next_look() {
    let stage = Stage::new();
    let scene = polling(stage).await;
    let tip = scene
        .remote
        .commit_on_base("new.txt", "new\n", "From outside");
    let control = scene.control();
    let known = || {
        let name = format!("refs/huskies/remote/{BASE}");
        git(&control, &["for-each-ref", "--format=%(objectname)", &name])
    };
    eventually("the tip is known", || known() == tip).await;
}

/// The issue's own figure: an idle day with webhooks, at most 200 requests.
#[tokio::test]
#[expect(clippy::print_stdout, reason = "the figure is what is asked for")]
async fn an_idle_day_costs_few_requests() {
    let stage = Stage::new();
    stage
        .github
        .add_hook("https://huskies.example/webhooks/github");
    let project = greeting::project(&stage);
    let scene = stage
        .serve_with(&project, |config| config.look_secs(1).redeliver_minutes(30))
        .await;
    wait_for_looks(&scene.github, 2).await;
    let before = scene.github.requests().len();
    wait_for_looks(&scene.github, 4).await;
    let requests = scene.github.requests();
    let (start, idle) = requests.split_at(before);
    let rounds = idle
        .iter()
        .filter(|request| request.path.ends_with("/issues"))
        .count();
    let each: BTreeSet<&str> = idle.iter().map(|request| request.path.as_str()).collect();
    assert!(idle.len() <= each.len() * (rounds + 1), "{idle:#?}");
    let hooks = |request: &&RecordedRequest| request.path.contains("/hooks");
    let redelivery = start.iter().filter(hooks).count();
    // A look an hour, and missed deliveries every 30 minutes: the defaults.
    let day = 24 * each.len() + 48 * redelivery + (start.len() - redelivery);
    println!(
        "an idle day with webhooks: {day} requests (start {}, each of 24 looks {}, each of 48 times asking for missed deliveries {redelivery})",
        start.len(),
        each.len()
    );
    assert!(day <= 200, "{day}: {each:?}");
    let unchanged = idle
        .iter()
        .filter(|request| request.answered == Some(304))
        .count();
    assert!(unchanged + 2 >= idle.len(), "most of it is free: {idle:#?}");
}

#[tokio::test]
async fn a_token_that_may_not_read_checks_polls_everything_else() {
    let stage = Stage::new();
    stage.agent.always(greeting::RIGHT);
    stage.github.deny("checks");
    stage.github.protect(BranchRules {
        approvals: 1,
        ..BranchRules::default()
    });
    let project = greeting::project(&stage).by_pull_request();
    let scene = stage
        .serve_with(&project, |config| config.without_webhooks().look_secs(1))
        .await;
    let story = scene
        .github
        .add_issue(greeting::TITLE, greeting::BODY, WRITER);
    drop(scene.github.label(story, "huskies", WRITER));
    scene.wait_for_stage(story, "merge").await;
    // It has a pull request, whose checks are looked at.
    wait_for_looks(&scene.github, 3).await;
    drop(scene.github.unlabel(story, "huskies", WRITER));
    scene.wait_for_stage(story, "backlog").await;
}
