//! The heads of people's pull requests, gated through the real binary: statuses for every kind of
//! token, check runs with annotations for an App, forks after an approval of the very commit.

use serde_json::{Value, json};

use crate::forge_faults::{Kind, is_thorough};
use crate::support::git::BASE;
use crate::support::github_model::{
    APP_ID, Answer, Check, Delivery, FIRST_KEY, Fault, GithubModel,
};
use crate::support::project::Project;
use crate::support::scene::{Scene, Stage, WRITER, states};
use crate::support::server::REPO;
use crate::upkeep::{gc, names};

const GATES: &str = "huskies/gates";
/// A gate that wants a greeting, and complains as a compiler does.
const GREETS: &str = "grep -q Hello greeting.txt && exit 0
    echo 'greeting.txt:1:3: error: does not say Hello'
    echo 'nowhere.txt:1:3: error: is not there'
    exit 1";

/// A pull request, as far as a test tells it.
struct Pull<'a> {
    number: u64,
    /// Where its branch is.
    from: &'a str,
    head: &'a str,
}

impl<'a> Pull<'a> {
    fn new(number: u64, from: &'a str, head: &'a str) -> Self {
        Self { number, from, head }
    }

    fn payload(&self) -> Value {
        json!({
            "number": self.number,
            "title": "A greeting",
            "body": null,
            "user": { "login": "eve" },
            "draft": true,
            "labels": [],
            "merged": false,
            "head": { "ref": "greeting", "sha": self.head, "repo": { "full_name": self.from } },
            "base": { "ref": BASE, "sha": self.head, "repo": { "full_name": REPO } },
        })
    }

    fn event(&self, github: &GithubModel, event: &str, more: &Value) -> Delivery {
        let mut payload = json!({
            "pull_request": self.payload(),
            "number": self.number,
            "repository": { "full_name": REPO },
            "sender": { "login": "eve", "type": "User" },
        });
        for (name, value) in more.as_object().expect("an object") {
            payload[name] = value.clone();
        }
        github.delivery(event, &payload)
    }

    fn opened(&self, github: &GithubModel) -> Delivery {
        self.event(github, "pull_request", &json!({ "action": "opened" }))
    }

    fn pushed(&self, github: &GithubModel, before: &str) -> Delivery {
        let more = json!({ "action": "synchronize", "before": before, "after": self.head });
        self.event(github, "pull_request", &more)
    }

    fn closed(&self, github: &GithubModel) -> Delivery {
        self.event(github, "pull_request", &json!({ "action": "closed" }))
    }

    fn approved(&self, github: &GithubModel, (commit, by): (&str, &str)) -> Delivery {
        let more = json!({
            "action": "submitted",
            "review": { "body": null, "state": "approved", "commit_id": commit, "user": { "login": by } },
            "sender": { "login": by, "type": "User" },
        });
        self.event(github, "pull_request_review", &more)
    }
}

/// Somebody writes in the conversation of a pull request; the comment's number.
async fn say(scene: &Scene, number: u64, text: &str, by: &str) -> u64 {
    let (comment, delivery) = scene.github.say(number, text, by);
    let mut payload = delivery.payload();
    payload["issue"]["pull_request"] = json!({ "url": "https://api.github.com/pulls" });
    let delivery = scene.github.delivery("issue_comment", &payload);
    scene.accepted(&delivery).await;
    comment
}

/// What a head comes to show. What was overtaken on the way may never have been shown.
async fn wait_for_state(scene: &Scene, head: &str, wanted: &str) {
    let what = format!("{head} is {wanted}");
    scene
        .wait_for_github(&what, |github| {
            states(github, head, GATES).pop().as_deref() == Some(wanted)
        })
        .await;
}

/// Everything but `pending` that a head showed so far.
fn ends(scene: &Scene, head: &str) -> Vec<String> {
    let mut states = scene.states(head, GATES);
    states.retain(|state| state != "pending");
    states
}

fn description(github: &GithubModel, head: &str) -> String {
    let last = github.statuses(head).pop();
    last.and_then(|status| status.description)
        .unwrap_or_default()
}

fn project(stage: &Stage) -> Project {
    stage.coder().gate("greets", GREETS)
}

/// A server for a project whose gate wants a greeting; pull request 1 has a conversation.
async fn served() -> Scene {
    let stage = Stage::new();
    let project = project(&stage);
    let scene = stage.serve(&project).await;
    scene.github.add_issue("A greeting", "", "eve");
    scene
}

/// The same as a GitHub App.
async fn served_as_app() -> Scene {
    let stage = Stage::new();
    stage.github.install_app();
    let key = stage.folder().join("key.pem");
    std::fs::write(&key, FIRST_KEY.0).unwrap();
    let project = project(&stage);
    stage
        .serve_with(&project, |config| config.app(APP_ID, &key))
        .await
}

const RIGHT: &[(&str, &str)] = &[("greeting.txt", "Hello\n")];
const WRONG: &[(&str, &str)] = &[("greeting.txt", "Goodbye\n")];

#[tokio::test]
async fn the_head_of_a_pull_request_is_gated_once_and_shows_what_its_gates_found() {
    let scene = served().await;
    let (right, wrong) = (
        scene.remote.propose(1, RIGHT),
        scene.remote.propose(2, WRONG),
    );
    let pull = |number, head| Pull::new(number, REPO, head);
    let opened = pull(1, &right).opened(&scene.github);
    scene.accepted(&opened).await;
    let again = scene.server.deliver(&opened).await;
    assert_eq!(again.body["status"], "duplicate");
    wait_for_state(&scene, &right, "success").await;
    scene.accepted(&pull(2, &wrong).opened(&scene.github)).await;
    wait_for_state(&scene, &wrong, "failure").await;
    assert_eq!(description(&scene.github, &right), "1 passed.");
    assert_eq!(description(&scene.github, &wrong), "Failed: greets.");
    // The same commit once more, by another delivery and in another pull request.
    scene.accepted(&pull(1, &right).opened(&scene.github)).await;
    scene.accepted(&pull(3, &right).opened(&scene.github)).await;
    let last = scene
        .remote
        .propose(4, &[("greeting.txt", "Hello again\n")]);
    scene.accepted(&pull(4, &last).opened(&scene.github)).await;
    wait_for_state(&scene, &last, "success").await;
    assert_eq!(ends(&scene, &right), ["success"]);
    assert_eq!(scene.states(&right, GATES)[0], "pending");
    let writes = scene.github.writes();
    assert!(
        writes
            .iter()
            .all(|request| !request.path.contains("check-runs")),
        "a token writes no check runs: {writes:#?}"
    );
}

/// Gate definitions of a pull request count for nothing: the base branch's do.
#[tokio::test]
async fn a_pull_request_cannot_change_the_gates_that_judge_it() {
    let scene = served().await;
    let easy = "land = \"push\"\n[[gate]]\nname = \"easy\"\ncommand = \"true\"\n";
    let files = [(".huskies/project.toml", easy), WRONG[0]];
    let head = scene.remote.propose(1, &files);
    let pull = Pull::new(1, REPO, &head);
    scene.accepted(&pull.opened(&scene.github)).await;
    wait_for_state(&scene, &head, "failure").await;
    assert_eq!(description(&scene.github, &head), "Failed: greets.");
}

#[tokio::test]
async fn a_forks_head_waits_until_somebody_who_may_approved_that_very_commit() {
    let scene = served().await;
    scene.github.set_permission("eve", "read");
    let older = scene.remote.propose(1, WRONG);
    let head = scene.remote.propose(1, RIGHT);
    let fork = |head| Pull::new(1, "eve/app", head);
    scene.accepted(&fork(&older).opened(&scene.github)).await;
    wait_for_state(&scene, &older, "pending").await;
    let wanted = format!("/huskies approve {}", &older[..10]);
    let said = description(&scene.github, &older);
    assert!(said.contains(&wanted), "{said}");
    scene
        .accepted(&fork(&head).pushed(&scene.github, &older))
        .await;
    wait_for_state(&scene, &older, "error").await;
    assert_eq!(
        description(&scene.github, &older),
        format!("superseded by {head}")
    );
    wait_for_state(&scene, &head, "pending").await;
    let reaction = |comment: u64, reaction: &'static str| {
        scene.wait_for_github(reaction, move |github: &GithubModel| {
            github.reactions(comment) == [reaction]
        })
    };
    let own = say(&scene, 1, &format!("/huskies approve {head}"), "eve").await;
    reaction(own, "confused").await;
    let other = say(&scene, 1, &format!("/huskies approve {older}"), WRITER).await;
    reaction(other, "confused").await;
    scene
        .wait_for_github("it is said why", |github| {
            let comments = github.comments(1);
            comments.iter().any(|comment| {
                comment
                    .body
                    .contains("that is another commit than the head")
                    && comment.body.contains(&head)
            })
        })
        .await;
    assert_eq!(scene.states(&head, GATES), ["pending"]);
    let short = format!("/huskies approve {}", &head[..10]);
    let right = say(&scene, 1, &short, WRITER).await;
    reaction(right, "eyes").await;
    wait_for_state(&scene, &head, "success").await;
    assert_eq!(scene.own_comments(1).len(), 1);
}

#[tokio::test]
async fn a_review_approves_the_commit_that_was_looked_at() {
    let scene = served().await;
    let older = scene.remote.propose(1, WRONG);
    let head = scene.remote.propose(1, RIGHT);
    let fork = Pull::new(1, "eve/app", &head);
    scene.accepted(&fork.opened(&scene.github)).await;
    wait_for_state(&scene, &head, "pending").await;
    scene.github.set_permission("eve", "read");
    for approval in [(older.as_str(), WRITER), (head.as_str(), "eve")] {
        scene
            .accepted(&fork.approved(&scene.github, approval))
            .await;
    }
    scene
        .wait_for_github("it is said that it is another commit", |github| {
            github.comments(1).len() == 1
        })
        .await;
    assert_eq!(scene.states(&head, GATES), ["pending"]);
    scene
        .accepted(&fork.approved(&scene.github, (&head, WRITER)))
        .await;
    wait_for_state(&scene, &head, "success").await;
}

/// A gate that stands still on the first commit that it sees.
async fn standing_still() -> (Scene, String, crate::support::pause::Held) {
    let stage = Stage::new();
    let pause = stage.agent.pause("gate");
    let (once, done) = (stage.agent.file("once"), stage.agent.file("done"));
    let gate = format!(
        "if mkdir '{}' 2> /dev/null; then {}; echo done >> '{}'; fi; {GREETS}",
        once.display(),
        pause.shell(),
        done.display(),
    );
    let project = stage.coder().gate("greets", &gate);
    let scene = stage.serve(&project).await;
    let head = scene.remote.propose(1, RIGHT);
    let pull = Pull::new(1, REPO, &head);
    scene.accepted(&pull.opened(&scene.github)).await;
    let held = pause.reached().await;
    (scene, head, held)
}

#[tokio::test]
async fn a_newer_head_stops_the_gates_of_the_one_before() {
    let (scene, head, _held) = standing_still().await;
    let newer = scene
        .remote
        .propose(1, &[("greeting.txt", "Hello there\n")]);
    let pull = Pull::new(1, REPO, &newer);
    scene.accepted(&pull.pushed(&scene.github, &head)).await;
    wait_for_state(&scene, &head, "error").await;
    wait_for_state(&scene, &newer, "success").await;
    assert_eq!(
        description(&scene.github, &head),
        format!("superseded by {newer}")
    );
    assert!(scene.agent.lines("done").is_empty(), "the gate was ended");
}

#[tokio::test]
async fn a_closed_pull_request_has_no_gates() {
    let (scene, head, _held) = standing_still().await;
    let pull = Pull::new(1, REPO, &head);
    scene.accepted(&pull.closed(&scene.github)).await;
    wait_for_state(&scene, &head, "error").await;
    assert_eq!(
        description(&scene.github, &head),
        "Stopped before a verdict."
    );
    // Opened again it is gated again.
    let reopened = pull.event(
        &scene.github,
        "pull_request",
        &json!({ "action": "reopened" }),
    );
    scene.accepted(&reopened).await;
    wait_for_state(&scene, &head, "success").await;
}

#[tokio::test]
async fn gates_that_run_go_on_over_a_restart() {
    let (mut scene, head, held) = standing_still().await;
    scene.server.kill_9().await;
    scene.server.restart().await;
    held.let_go();
    wait_for_state(&scene, &head, "success").await;
    assert_eq!(scene.agent.lines("done").len(), 1, "they ran once");
}

fn check(github: &GithubModel, head: &str) -> Check {
    let mut checks = github.checks(head);
    assert_eq!(checks.len(), 1, "{checks:#?}");
    checks.remove(0)
}

fn is_concluded(github: &GithubModel, head: &str, conclusion: &str) -> bool {
    let last = github.checks(head).pop();
    last.is_some_and(|check| check.conclusion.as_deref() == Some(conclusion))
}

async fn open_as_app(scene: &Scene, number: u64, files: &[(&str, &str)]) -> String {
    let head = scene.remote.propose(number, files);
    let pull = Pull::new(number, REPO, &head);
    scene.accepted(&pull.opened(&scene.github)).await;
    head
}

#[tokio::test]
async fn an_app_shows_check_runs_with_what_is_wrong_at_its_line() {
    let scene = served_as_app().await;
    let head = open_as_app(&scene, 1, WRONG).await;
    scene
        .wait_for_github("the check run fails", |github| {
            is_concluded(github, &head, "failure")
        })
        .await;
    wait_for_state(&scene, &head, "failure").await;
    let check = check(&scene.github, &head);
    assert_eq!(check.name, GATES);
    assert_eq!(check.external_id, format!("{REPO}@{head}/1"));
    assert_eq!(check.states.last().unwrap(), "failure");
    assert_eq!(check.title, "Failed: greets.");
    assert!(check.text.contains("does not say Hello"), "{}", check.text);
    let annotation = json!({
        "path": "greeting.txt",
        "start_line": 1,
        "end_line": 1,
        "start_column": 3,
        "end_column": 3,
        "annotation_level": "failure",
        "title": "greets",
        "message": "error: does not say Hello",
    });
    assert_eq!(check.annotations, [annotation]);
}

#[tokio::test]
async fn a_check_is_run_again_for_whoever_may_write_and_no_other_apps() {
    let scene = served_as_app().await;
    scene.github.set_permission("eve", "read");
    let head = open_as_app(&scene, 1, RIGHT).await;
    scene
        .wait_for_github("the check run succeeds", |github| {
            is_concluded(github, &head, "success")
        })
        .await;
    let first = check(&scene.github, &head);
    let other = scene.github.rerequest_check(&first, (777, WRITER));
    let ignored = scene.server.deliver(&other).await;
    assert_eq!(ignored.body["status"], "ignored", "{}", ignored.body);
    for by in ["eve", WRITER] {
        let again = scene.github.rerequest_check(&first, (APP_ID, by));
        scene.accepted(&again).await;
    }
    let succeeded = |times: usize| {
        let head = head.clone();
        move |github: &GithubModel| {
            let checks = github.checks(&head);
            let passed = |check: &&Check| check.conclusion.as_deref() == Some("success");
            checks.iter().filter(passed).count() == times
        }
    };
    scene.wait_for_github("it is run again", succeeded(2)).await;
    let suite = scene.github.rerequest_suite(&head, (APP_ID, WRITER));
    scene.accepted(&suite).await;
    scene.wait_for_github("and again", succeeded(3)).await;
    let ids: Vec<String> = scene
        .github
        .checks(&head)
        .into_iter()
        .map(|check| check.external_id)
        .collect();
    let id = |run| format!("{REPO}@{head}/{run}");
    assert_eq!(ids, [id(1), id(2), id(3)]);
}

const METHODS: [&str; 3] = ["GET", "POST", "PATCH"];

/// Each kind at each method; without a wish for all, lost answers of writes and one of the others each.
fn plan() -> Vec<(Kind, &'static str)> {
    let mut plan = Vec::new();
    for (place, kind) in Kind::SOON.into_iter().enumerate() {
        for (number, method) in METHODS.into_iter().enumerate() {
            let is_chosen = if kind.is_lost() {
                method != "GET"
            } else {
                place % METHODS.len() == number
            };
            if is_chosen || is_thorough() {
                plan.push((kind, method));
            }
        }
    }
    plan
}

/// Whatever request about a check run meets whatever fault, there is one, and every annotation once.
#[tokio::test]
async fn a_check_run_is_there_once_whatever_goes_wrong_with_writing_it() {
    let scene = served_as_app().await;
    for (number, (kind, method)) in (1..).zip(plan()) {
        let what = format!("{method} with {kind:?}");
        scene.github.fail_next(method, "check-runs", kind.fault());
        let text = format!("Goodbye {number}\n");
        let head = open_as_app(&scene, number, &[("greeting.txt", &text)]).await;
        scene
            .wait_for_github(&what, |github| is_concluded(github, &head, "failure"))
            .await;
        wait_for_state(&scene, &head, "failure").await;
        let check = check(&scene.github, &head);
        assert_eq!(check.annotations.len(), 1, "{what}: {check:#?}");
    }
}

#[tokio::test]
async fn an_app_that_may_not_write_check_runs_still_sets_statuses() {
    let scene = served_as_app().await;
    let refusal = || {
        let answer = Answer::new(403, "Resource not accessible by integration");
        Fault::Instead(answer.header("x-accepted-github-permissions", "checks=write"))
    };
    for _ in 0..20 {
        scene.github.fail_next("GET", "check-runs", refusal());
    }
    let head = open_as_app(&scene, 1, RIGHT).await;
    wait_for_state(&scene, &head, "success").await;
    assert!(scene.github.checks(&head).is_empty());
}

/// A head is kept as long as its pull request is open.
#[tokio::test]
async fn the_heads_of_closed_pull_requests_are_swept() {
    let stage = Stage::new();
    let project = project(&stage);
    let scene = stage
        .serve_with(&project, |config| config.retention("candidates_days", 0))
        .await;
    let head = scene.remote.propose(1, RIGHT);
    let pull = Pull::new(1, REPO, &head);
    scene.accepted(&pull.opened(&scene.github)).await;
    wait_for_state(&scene, &head, "success").await;
    let name = format!("{REPO} {}", &head[..10]);
    let swept = gc(&scene, &[]).await;
    assert!(names(&swept, "candidates").is_empty(), "{swept}");
    scene.accepted(&pull.closed(&scene.github)).await;
    // Deliveries are taken in order: once this one has effect, the one before has.
    let other = scene.remote.propose(2, WRONG);
    let next = Pull::new(2, REPO, &other);
    scene.accepted(&next.opened(&scene.github)).await;
    wait_for_state(&scene, &other, "failure").await;
    let swept = gc(&scene, &[]).await;
    assert_eq!(names(&swept, "candidates"), [name]);
}
