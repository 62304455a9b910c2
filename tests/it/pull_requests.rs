//! Landing by pull request, through the real binary: GitHub merges, when its rules allow that.

use std::path::Path;

use serde_json::Value;

use crate::greeting;
use crate::support::agent::AUTHOR;
use crate::support::clone::LocalScene;
use crate::support::git::{self, BASE};
use crate::support::github_model::{BranchRules, Comment, GithubModel, OWN_LOGIN, PullRequest};
use crate::support::patience::eventually;
use crate::support::project::Project;
use crate::support::scene::{Scene, Stage, WRITER};
use crate::support::server::Server;

/// A second gate, which a change of the base can break.
const HEALTHY: &str = "! grep -q bad health.txt 2>/dev/null";

fn project(stage: &Stage) -> Project {
    greeting::project(stage).by_pull_request()
}

/// A base that wants one approval.
fn one_approval() -> BranchRules {
    BranchRules {
        approvals: 1,
        ..BranchRules::default()
    }
}

/// A story whose agent is right at once, on a base with these rules.
async fn begun(rules: BranchRules) -> (Scene, u64) {
    let stage = Stage::new();
    stage.agent.always(greeting::RIGHT);
    stage.github.protect(rules);
    let project = project(&stage);
    let scene = stage.serve(&project).await;
    let story = scene.start_story(greeting::TITLE, greeting::BODY).await;
    (scene, story)
}

/// The same, where somebody has to approve what is tested before it lands.
async fn waiting_for_an_approval() -> (Scene, u64) {
    let (scene, story) = begun(one_approval()).await;
    wait_for_reason(&scene, story, "0 of 1 approvals").await;
    (scene, story)
}

fn only_pull(github: &GithubModel) -> PullRequest {
    let mut pulls = github.pulls();
    assert_eq!(pulls.len(), 1, "{pulls:#?}");
    pulls.remove(0)
}

async fn wait_for_reason(scene: &Scene, story: u64, words: &str) -> Value {
    scene
        .wait_for(story, words, |found| {
            found["reason"]
                .as_str()
                .is_some_and(|reason| reason.contains(words))
        })
        .await
}

async fn wait_for_report(scene: &Scene, story: u64) -> String {
    let head = scene.agent.commits(story).pop().expect("a commit");
    scene
        .wait_for_github("everything is reported", |github| {
            greeting::is_reported(github, story, &head)
        })
        .await;
    head
}

/// A turn that passes the gate and has something new each time.
const AGAIN: &str = "echo Hello >> greeting.txt; commit 'Say hello'";

/// What a job of GitHub Actions prints when it fails, round the part that matters.
const JOB_LOG: &str = "2026-01-01T00:00:00.0000001Z ##[group]Run actions/checkout@v4
2026-01-01T00:00:01.0000001Z ##[endgroup]
2026-01-01T00:00:02.0000001Z ##[group]Run just lint
2026-01-01T00:00:02.0000003Z ##[endgroup]
2026-01-01T00:00:03.0000001Z greeting.txt:1: it lacks a full stop
2026-01-01T00:00:03.0000003Z ##[error]Process completed with exit code 1.
2026-01-01T00:00:04.0000001Z Post job cleanup.
";

fn assert_hears_of_the_log(scene: &Scene, story: u64) {
    let prompt = scene.agent.prompt(story, 2);
    let heard = [
        "The check lint failed on your commit",
        "Run just lint\ngreeting.txt:1: it lacks a full stop\nProcess completed with exit code 1.",
    ];
    assert!(heard.iter().all(|words| prompt.contains(words)), "{prompt}");
    assert!(!prompt.contains("checkout"), "{prompt}");
}

/// The bodies of the requests with this method and end of the path.
fn asked(github: &GithubModel, method: &str, end: &str) -> Vec<Value> {
    let requests = github.requests().into_iter();
    let matching =
        requests.filter(|request| request.method == method && request.path.ends_with(end));
    matching.filter_map(|request| request.body).collect()
}

async fn retry(scene: &Scene, story: u64) {
    let label = scene.github.label(story, "huskies:retry", WRITER);
    scene.accepted(&label).await;
}

/// Somebody pushes to the base branch without anybody telling the server.
fn push_unseen(folder: &Path, path: &str, content: &str) -> String {
    let desk = folder.join("other-desk");
    let origin = folder.join("origin.git");
    let (origin, target) = (origin.to_str().unwrap(), desk.to_str().unwrap());
    git::git(folder, &["clone", "-q", origin, target]);
    std::fs::write(desk.join(path), content).unwrap();
    git::git(&desk, &["add", "-A"]);
    git::git(&desk, &["commit", "-q", "-m", "In between"]);
    git::git(&desk, &["push", "-q", "origin", BASE]);
    git::git(&desk, &["rev-parse", "HEAD"])
}

#[tokio::test]
async fn a_story_has_a_draft_that_becomes_ready_and_is_merged() {
    let stage = Stage::new();
    greeting::teach(&stage.agent);
    let project = project(&stage);
    let scene = stage.serve(&project).await;
    let seed = scene.remote.tip(BASE);
    let story = scene.start_story(greeting::TITLE, greeting::BODY).await;
    let done = scene.wait_for_stage(story, "done").await;
    let head = wait_for_report(&scene, story).await;
    scene
        .wait_for_github("the pull request says so", |github| {
            only_pull(github).body.contains("**State.** Done.")
        })
        .await;

    let created = asked(&scene.github, "POST", "/pulls");
    assert_eq!(created.len(), 1, "{created:#?}");
    assert_eq!(created[0]["draft"], true);
    assert_eq!(created[0]["base"], BASE);
    assert_eq!(asked(&scene.github, "POST", "/graphql").len(), 1);
    let pull = only_pull(&scene.github);
    assert_eq!((pull.title.as_str(), pull.draft), (greeting::TITLE, false));
    assert!(
        pull.body.contains(&format!("#{story} here")),
        "{}",
        pull.body
    );
    assert!(
        pull.body.contains("What landed is the tree"),
        "{}",
        pull.body
    );

    let landed = &scene.remote.log(BASE)[0];
    assert_eq!(pull.merged.as_deref(), Some(landed.sha.as_str()));
    assert_eq!(landed.parents, [seed.as_str()]);
    assert!(
        landed
            .message
            .starts_with("Greet the world (#1)\n\nStory: octo/app#1")
    );
    assert!(
        landed
            .message
            .contains(&format!("Co-authored-by: {AUTHOR}")),
        "{}",
        landed.message
    );
    assert_eq!(done["commit"], landed.sha.as_str());
    assert_eq!(done["receipt"]["tree"], landed.tree.as_str());
    assert_eq!(done["receipt"]["head"], head.as_str());
    assert_eq!(scene.github.merges(), 1);
    let asked = asked(&scene.github, "PUT", "/merge");
    assert_eq!(
        asked[0]["sha"],
        head.as_str(),
        "the very head that was tested"
    );
}

#[expect(
    clippy::print_stdout,
    reason = "the figure belongs into the test's report"
)]
#[tokio::test]
async fn a_missing_review_is_named_and_given_it_lands_with_few_requests() {
    let stage = Stage::new();
    greeting::teach(&stage.agent);
    stage.github.set_permission("bob", "write");
    stage.github.protect(BranchRules {
        approvals: 1,
        classic_checks: vec!["huskies/gates"],
        ..BranchRules::default()
    });
    let project = project(&stage);
    let scene = stage.serve(&project).await;
    let story = scene.start_story(greeting::TITLE, greeting::BODY).await;
    wait_for_reason(&scene, story, "0 of 1 approvals").await;
    let head = scene.agent.commits(story).pop().unwrap();
    scene
        .wait_for_github("the status names what is missing", |github| {
            let statuses = github.statuses(&head);
            let merge = statuses
                .iter()
                .rfind(|status| status.context == "huskies/merge");
            merge.is_some_and(|status| {
                let words = status.description.as_deref().unwrap_or_default();
                status.state == "pending" && words.contains("0 of 1 approvals")
            })
        })
        .await;
    assert_eq!(scene.github.merges(), 0);
    let pull = only_pull(&scene.github).number;
    let review = scene.github.review(pull, "bob", ("APPROVED", ""));
    scene.accepted(&review).await;
    scene.wait_for_stage(story, "done").await;
    wait_for_report(&scene, story).await;
    let calls = scene.github.api_calls();
    println!("API calls by pull request, one retry and one review: {calls}");
    assert!(calls <= 60, "{calls}: {:#?}", scene.github.requests());
    assert_eq!(scene.github.merges(), 1);
}

#[tokio::test]
async fn a_review_that_asks_for_changes_reaches_the_agent() {
    let (scene, story) = waiting_for_an_approval().await;
    scene.github.set_permission("bob", "write");
    let again = "echo Hello Bob > greeting.txt; commit 'Greet Bob'";
    scene.agent.story_turn(story, 2, again);
    let pull = only_pull(&scene.github).number;
    let review = scene
        .github
        .review(pull, "bob", ("CHANGES_REQUESTED", "Greet me by name."));
    scene.accepted(&review).await;
    wait_for_reason(&scene, story, "changes requested by bob").await;
    let prompt = scene.agent.prompt(story, 2);
    assert!(prompt.contains("Greet me by name."), "{prompt}");
    let review = scene.github.review(pull, "bob", ("APPROVED", "Thanks!"));
    scene.accepted(&review).await;
    scene.wait_for_stage(story, "done").await;
    assert_eq!(scene.remote.file(BASE, "greeting.txt"), "Hello Bob");
    assert_eq!(only_pull(&scene.github).number, pull, "it is the same one");
}

#[tokio::test]
async fn a_required_check_is_named_and_waited_for() {
    let (scene, story) = begun(BranchRules {
        checks: vec!["ci"],
        ..BranchRules::default()
    })
    .await;
    wait_for_reason(&scene, story, "required checks: ci").await;
    let head = scene.agent.commits(story).pop().unwrap();
    let passed = scene.github.pass_check(&head, "ci");
    scene.accepted(&passed).await;
    scene.wait_for_stage(story, "done").await;
}

#[tokio::test]
async fn a_rule_that_only_the_merge_itself_can_satisfy_is_explained() {
    let (scene, story) = begun(BranchRules {
        classic_checks: vec!["huskies/merge"],
        ..BranchRules::default()
    })
    .await;
    wait_for_reason(&scene, story, "require huskies/gates instead").await;
}

#[tokio::test]
async fn a_merge_queue_of_githubs_own_is_explained_and_merges_all_the_same() {
    let (scene, story) = begun(BranchRules {
        merge_queue: true,
        ..BranchRules::default()
    })
    .await;
    wait_for_reason(&scene, story, "GitHub's own merge queue").await;
    assert!(asked(&scene.github, "PUT", "/merge").is_empty());
    let pull = only_pull(&scene.github).number;
    let merged = scene.github.merge_by_hand(pull, "github-merge-queue[bot]");
    scene.accepted(&merged).await;
    scene.wait_for_stage(story, "done").await;
}

#[tokio::test]
async fn what_waits_for_people_holds_up_nobody_else() {
    let (scene, story) = begun(BranchRules {
        checks: vec!["ci"],
        ..BranchRules::default()
    })
    .await;
    wait_for_reason(&scene, story, "required checks: ci").await;
    let other = "echo more > other.txt; echo Hello > greeting.txt; commit Other";
    scene.agent.story(2, other);
    let second = scene.start_story("Another", "").await;
    wait_for_reason(&scene, second, "required checks: ci").await;
    let head = scene.agent.commits(second).pop().unwrap();
    let passed = scene.github.pass_check(&head, "ci");
    scene.accepted(&passed).await;
    scene.wait_for_stage(second, "done").await;
    assert_eq!(scene.story(story).await["stage"], "merge");
}

#[tokio::test]
async fn a_head_that_somebody_moved_is_not_merged() {
    let (scene, story) = begun(BranchRules {
        checks: vec!["ci"],
        ..BranchRules::default()
    })
    .await;
    wait_for_reason(&scene, story, "required checks: ci").await;
    let head = scene.agent.commits(story).pop().unwrap();
    let pull = only_pull(&scene.github);
    let path = scene.remote.path().to_owned();
    let tree = format!("{head}^{{tree}}");
    let moved = git::git(&path, &["commit-tree", &tree, "-p", &head, "-m", "Sneaky"]);
    scene.remote.fast_forward(&pull.branch, &moved);
    scene.github.pass_check(&moved, "ci");
    let synchronized = scene.github.pull_moved(pull.number, WRITER);
    scene.accepted(&synchronized).await;
    wait_for_reason(&scene, story, "was tested").await;
    assert_eq!(scene.github.merges(), 0);
    scene.remote.fast_forward(&pull.branch, &head);
    scene.github.pass_check(&head, "ci");
    let synchronized = scene.github.pull_moved(pull.number, WRITER);
    scene.accepted(&synchronized).await;
    scene.wait_for_stage(story, "done").await;
}

#[tokio::test]
async fn a_base_that_moved_in_between_has_what_landed_tested_at_once() {
    let stage = Stage::new();
    stage.agent.always(greeting::RIGHT);
    let folder = stage.folder().to_owned();
    stage
        .github
        .during_the_next_merge(move || drop(push_unseen(&folder, "other.txt", "more\n")));
    let project = project(&stage);
    let scene = stage.serve(&project).await;
    let story = scene.start_story(greeting::TITLE, greeting::BODY).await;
    let done = scene.wait_for_stage(story, "done").await;
    let landed = &scene.remote.log(BASE)[0];
    assert_eq!(scene.remote.file(BASE, "other.txt"), "more");
    assert_eq!(done["receipt"]["tree"], landed.tree.as_str());
    assert_eq!(done["receipt"]["base"], landed.parents[0].as_str());
    let gates = done["receipt"]["gates"].as_array().map(Vec::len);
    assert_eq!(gates, Some(1), "{done}");
}

#[tokio::test]
async fn a_landed_tree_that_fails_stops_the_queue_until_a_person_says_go_on() {
    let stage = Stage::new();
    stage.agent.always(greeting::RIGHT);
    let folder = stage.folder().to_owned();
    stage
        .github
        .during_the_next_merge(move || drop(push_unseen(&folder, "health.txt", "bad\n")));
    let project = project(&stage).gate("healthy", HEALTHY);
    let scene = stage.serve(&project).await;
    let story = scene.start_story(greeting::TITLE, greeting::BODY).await;
    let blocked = scene.wait_for_stage(story, "blocked").await;
    let reason = blocked["reason"].as_str().unwrap_or_default();
    assert!(reason.contains("not what was tested"), "{reason}");
    assert!(reason.contains("healthy failed"), "{reason}");
    scene
        .wait_for_github("one clear report", |github| {
            let reports = greeting::announcements(github, story);
            let words = "**huskies has stopped the merge queue.**";
            reports
                .iter()
                .filter(|report| report.body.contains(words))
                .count()
                == 1
        })
        .await;

    scene.push_to_base("health.txt", "fine\n").await;
    let other = "echo Hello there > greeting.txt; commit Other";
    scene.agent.story(2, other);
    let second = scene.start_story("Another", "").await;
    scene.wait_for_stage(second, "merge").await;
    assert_eq!(scene.github.merges(), 1);
    retry(&scene, story).await;
    scene.wait_for_stage(story, "done").await;
    scene.wait_for_stage(second, "done").await;
    assert_eq!(scene.github.merges(), 2);
}

#[tokio::test]
async fn one_that_somebody_merges_is_done() {
    let (scene, story) = waiting_for_an_approval().await;
    let pull = only_pull(&scene.github).number;
    let merged = scene.github.merge_by_hand(pull, WRITER);
    scene.accepted(&merged).await;
    let done = scene.wait_for_stage(story, "done").await;
    assert_eq!(done["commit"], scene.remote.tip(BASE).as_str());
    assert_eq!(done["receipt"], Value::Null);
    assert_eq!(scene.github.merges(), 0);
}

#[tokio::test]
async fn one_that_somebody_closes_blocks_its_story_and_a_retry_opens_another() {
    let (scene, story) = waiting_for_an_approval().await;
    let pull = only_pull(&scene.github).number;
    let closed = scene.github.close_pull(pull, WRITER);
    scene.accepted(&closed).await;
    let blocked = scene.wait_for_stage(story, "blocked").await;
    let reason = blocked["reason"].as_str().unwrap_or_default();
    assert!(
        reason.contains(&format!("#{pull} without merging")),
        "{reason}"
    );
    let head = scene.agent.commits(story).pop().unwrap();
    assert_eq!(blocked["head"], head.as_str(), "the work is kept");
    scene.github.protect(BranchRules::default());
    retry(&scene, story).await;
    scene.wait_for_stage(story, "done").await;
    let pulls = scene.github.pulls();
    assert_eq!(pulls.len(), 2, "{pulls:#?}");
    assert!(pulls[0].merged.is_none() && pulls[1].merged.is_some());
}

#[tokio::test]
async fn without_drafts_the_title_says_it() {
    let stage = Stage::new();
    stage.agent.always(greeting::RIGHT);
    stage.github.refuse_drafts();
    let project = project(&stage);
    let scene = stage.serve(&project).await;
    let story = scene.start_story(greeting::TITLE, greeting::BODY).await;
    scene.wait_for_stage(story, "done").await;
    scene
        .wait_for_github("the mark is gone", |github| {
            only_pull(github).title == greeting::TITLE
        })
        .await;
    let created = asked(&scene.github, "POST", "/pulls");
    let titles: Vec<&Value> = created.iter().map(|body| &body["title"]).collect();
    assert_eq!(titles, ["Greet the world", "[draft] Greet the world"]);
    assert!(asked(&scene.github, "POST", "/graphql").is_empty());
}

#[tokio::test]
async fn comments_on_the_pull_request_reach_its_story() {
    let (scene, story) = waiting_for_an_approval().await;
    let again = "echo Hello all > greeting.txt; commit 'Greet all'";
    scene.agent.story_turn(story, 2, again);
    let pull = only_pull(&scene.github).number;
    let said = scene
        .github
        .say_on_pull(pull, "/huskies greet all of us", WRITER);
    scene.accepted(&said).await;
    scene
        .wait_for(story, "a second attempt", |found| {
            found["attempt"] == 2 && found["stage"] == "merge"
        })
        .await;
    assert!(scene.agent.prompt(story, 2).contains("greet all of us"));
}

#[tokio::test]
async fn without_the_permission_the_story_says_which_one_is_missing() {
    let stage = Stage::new();
    stage.agent.always(greeting::RIGHT);
    stage.github.deny("pull_requests");
    let project = project(&stage);
    let scene = stage.serve(&project).await;
    let story = scene.start_story(greeting::TITLE, greeting::BODY).await;
    let blocked = scene.wait_for_stage(story, "blocked").await;
    let reason = blocked["reason"].as_str().unwrap_or_default();
    assert!(reason.contains("pull_requests=write"), "{reason}");
}

#[tokio::test]
async fn nothing_in_its_text_closes_an_issue_or_pings_people() {
    let stage = Stage::new();
    stage.agent.always(greeting::RIGHT);
    let project = project(&stage);
    let scene = stage.serve(&project).await;
    let title = "Fixes #7, says @octo/team";
    let story = scene.start_story(title, greeting::BODY).await;
    scene.wait_for_stage(story, "done").await;
    let pull = only_pull(&scene.github);
    assert_eq!(pull.author, OWN_LOGIN);
    assert_eq!(pull.title, "Fixes # 7, says @ octo/team");
    let (_, shown) = pull.body.split_once("-->\n").unwrap();
    let references: Vec<&str> = shown.split('#').collect();
    assert!(
        references[0].ends_with("huskies works on "),
        "{}",
        pull.body
    );
    assert_eq!(references.len(), 2, "one reference: {}", pull.body);
    assert!(!shown.contains('@'), "{}", pull.body);
}

#[tokio::test]
async fn a_forge_without_pull_requests_says_so() {
    let scene = LocalScene::serve(|agent| {
        let project = Project::new().coder("coder", &agent.command());
        project.gate("greets", greeting::GREETS).by_pull_request()
    })
    .await;
    let story = scene.tell(greeting::TITLE).await;
    let reason = story["reason"].as_str().unwrap_or_default();
    assert_eq!(story["stage"], "blocked");
    assert!(reason.contains("land = \"push\""), "{reason}");
    assert!(scene.agent.starts().is_empty());
}

/// `kill -9` around the two acts: one pull request, one merge.
#[tokio::test]
async fn a_server_killed_around_the_acts_opens_one_and_merges_it_once() {
    for point in [
        "act.open_pull.before:1",
        "act.open_pull.after:1",
        "act.merge_pull.before:1",
        "act.merge_pull.after:1",
        "surface.pull.before:1",
    ] {
        killed_at(point).await;
    }
}

async fn killed_at(point: &str) {
    let stage = Stage::new();
    stage.agent.always(greeting::RIGHT);
    let project = project(&stage);
    let (remote, config) = stage.prepare(&project);
    let variables = [("HUSKIES_CRASH_AT", point)];
    let server = Server::launch(stage.folder(), &config, &variables).await;
    let mut scene = stage.with(remote, server.unwrap());
    let story = scene.start_story(greeting::TITLE, greeting::BODY).await;
    scene.server.gone().await;
    scene.server.restart().await;
    let done = scene.wait_for_stage(story, "done").await;
    wait_for_report(&scene, story).await;
    let pull = only_pull(&scene.github);
    assert_eq!(scene.github.merges(), 1, "{point}");
    assert_eq!(pull.merged.as_deref(), done["commit"].as_str(), "{point}");
    let landed = scene.remote.log(BASE);
    assert_eq!(landed.len(), 2, "{point}: {landed:#?}");
    assert_eq!(done["receipt"]["tree"], landed[0].tree.as_str(), "{point}");
}

#[tokio::test]
async fn the_failing_part_of_a_ci_log_reaches_the_agent_that_is_called_back() {
    let (scene, story) = waiting_for_an_approval().await;
    let head = scene.agent.commits(story).pop().expect("a commit");
    let failed = scene.github.fail_job(&head, "lint", JOB_LOG);
    scene.accepted(&failed).await;
    scene
        .wait_for(story, "a second attempt", |found| found["attempt"] == 2)
        .await;
    eventually("the agent was told", || scene.agent.starts().len() == 2).await;
    assert_hears_of_the_log(&scene, story);
}

#[tokio::test]
async fn without_webhooks_reviews_and_failed_checks_come_back_to_the_agent_too() {
    let stage = Stage::new();
    stage.agent.always(AGAIN);
    stage.github.protect(one_approval());
    let project = project(&stage);
    let scene = stage
        .serve_with(&project, |config| config.without_webhooks().look_secs(1))
        .await;
    let story = scene
        .github
        .add_issue(greeting::TITLE, greeting::BODY, WRITER);
    drop(scene.github.label(story, "huskies", WRITER));
    wait_for_reason(&scene, story, "0 of 1 approvals").await;
    let head = scene.agent.commits(story).pop().expect("a commit");
    drop(scene.github.fail_job(&head, "lint", JOB_LOG));
    eventually("the agent was told", || scene.agent.starts().len() == 2).await;
    assert_hears_of_the_log(&scene, story);
    wait_for_reason(&scene, story, "0 of 1 approvals").await;
    let number = only_pull(&scene.github).number;
    let review = ("CHANGES_REQUESTED", "/huskies Say it louder.");
    drop(scene.github.review(number, WRITER, review));
    eventually("the agent was told", || scene.agent.starts().len() == 3).await;
    let prompt = scene.agent.prompt(story, 3);
    assert!(prompt.contains("Say it louder."), "{prompt}");
}

#[tokio::test]
async fn what_a_person_pushes_to_the_story_branch_is_gated_and_brought_in_by_the_agent() {
    let stage = Stage::new();
    stage.agent.turn(1, greeting::RIGHT);
    let theirs = stage.agent.file("theirs");
    stage.agent.turn(
        2,
        &format!(
            "git merge -q -m 'Bring in' \"$(cat '{}')\"",
            theirs.display()
        ),
    );
    stage.github.protect(one_approval());
    let project = project(&stage);
    let scene = stage.serve(&project).await;
    let story = scene.start_story(greeting::TITLE, greeting::BODY).await;
    wait_for_reason(&scene, story, "0 of 1 approvals").await;
    let head = scene.agent.commits(story).pop().expect("a commit");
    let branch = only_pull(&scene.github).branch;
    let commit = scene.remote.commit_on(&branch, "help.txt", "By hand");
    std::fs::write(&theirs, &commit).unwrap();
    let push = scene
        .github
        .push(&branch, Some(&head), Some(&commit), "bob");
    scene.accepted(&push).await;
    scene
        .wait_for_github("their commit is gated", |github| {
            let states = crate::support::scene::states(github, &commit, "huskies/gates");
            states.last().is_some_and(|state| state == "success")
        })
        .await;
    wait_for_reason(&scene, story, "0 of 1 approvals").await;
    let prompt = scene.agent.prompt(story, 2);
    assert!(prompt.contains(&format!("git merge {commit}")), "{prompt}");
    let number = only_pull(&scene.github).number;
    let approval = scene.github.review(number, WRITER, ("APPROVED", ""));
    scene.accepted(&approval).await;
    scene.wait_for_stage(story, "done").await;
    assert_eq!(scene.remote.file(BASE, "help.txt"), "By hand");
}

#[tokio::test]
async fn a_story_branch_deleted_by_hand_stops_its_story_and_loses_nothing() {
    let stage = Stage::new();
    stage.agent.always(AGAIN);
    stage.github.protect(one_approval());
    let project = project(&stage);
    let scene = stage.serve(&project).await;
    let story = scene.start_story(greeting::TITLE, greeting::BODY).await;
    wait_for_reason(&scene, story, "0 of 1 approvals").await;
    let head = scene.agent.commits(story).pop().expect("a commit");
    let branch = only_pull(&scene.github).branch;
    scene.remote.delete(&branch);
    let push = scene.github.push(&branch, Some(&head), None, "bob");
    scene.accepted(&push).await;
    // GitHub closes what has no branch any more.
    let closed = scene
        .github
        .close_pull(only_pull(&scene.github).number, "bob");
    scene.accepted(&closed).await;
    scene.wait_for_stage(story, "backlog").await;
    scene
        .wait_for_github("it is said who did it", |github| {
            let comments = greeting::sticky_comments(github, story);
            let says =
                |comment: &Comment| comment.body.contains("`bob` deleted the story's branch");
            comments.iter().any(says)
        })
        .await;
    git::git(&scene.control(), &["cat-file", "-e", &head]);
    scene.unlabel(story).await;
    scene.label(story).await;
    wait_for_reason(&scene, story, "0 of 1 approvals").await;
    let commits = scene.agent.commits(story);
    assert_eq!((commits.len(), &commits[0]), (2, &head), "it went on");
    assert_eq!(scene.remote.tip(&branch), commits[1]);
    let open = |pull: &&PullRequest| pull.open;
    assert_eq!(scene.github.pulls().iter().filter(open).count(), 1);
}

#[tokio::test]
async fn a_token_that_may_read_no_logs_and_no_checks_still_tells_the_agent_what_failed() {
    let stage = Stage::new();
    stage.agent.always(AGAIN);
    stage.github.protect(one_approval());
    stage.github.deny("actions");
    stage.github.deny("checks");
    let project = project(&stage);
    let scene = stage.serve(&project).await;
    let story = scene.start_story(greeting::TITLE, greeting::BODY).await;
    wait_for_reason(&scene, story, "0 of 1 approvals").await;
    let head = scene.agent.commits(story).pop().expect("a commit");
    let failed = scene.github.fail_job(&head, "lint", JOB_LOG);
    scene.accepted(&failed).await;
    eventually("the agent was told", || scene.agent.starts().len() == 2).await;
    let prompt = scene.agent.prompt(story, 2);
    assert!(
        prompt.contains("The check lint failed on your commit"),
        "{prompt}"
    );
}
