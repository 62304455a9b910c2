//! The story that most flows tell: an issue asks for a greeting, the agent's first try says the
//! wrong thing, the gate finds out, the second try mends it. And how it must end, whatever happened
//! on the way.

use serde_json::Value;

use crate::support::agent::{AUTHOR, ScriptedAgent};
use crate::support::git::BASE;
use crate::support::github_model::{Comment, GithubModel, OWN_LOGIN, Status};
use crate::support::project::Project;
use crate::support::scene::{Scene, Stage, stage_labels, states};

/// What the failing gate prints.
pub(crate) const COMPLAINT: &str = "greeting.txt does not say Hello";
/// How the part of a prompt begins that tells of failed gates.
pub(crate) const FAILURE_SECTION: &str = "Your previous run's quality gates failed:";
/// A gate that wants the greeting.
pub(crate) const GREETS: &str =
    "grep -q Hello greeting.txt || { echo 'greeting.txt does not say Hello'; exit 1; }";
/// A turn that fails the gate.
pub(crate) const WRONG: &str = "echo Goodbye > greeting.txt; commit 'Say something'";
/// A turn that passes it.
pub(crate) const RIGHT: &str = "echo Hello > greeting.txt; commit 'Say hello'";
pub(crate) const TITLE: &str = "Greet the world";
pub(crate) const BODY: &str = "Write a greeting into greeting.txt.";

/// Writes the agent's two turns: it does better once it is told what failed.
pub(crate) fn teach(agent: &ScriptedAgent) {
    agent.always(&format!(
        "if grep -q '^{}' \"$HUSKIES_PROMPT_FILE\"; then {RIGHT}; else {WRONG}; fi",
        FAILURE_SECTION.replace('\'', ".")
    ));
}

pub(crate) fn project(stage: &Stage) -> Project {
    stage.coder().gate("greets", GREETS)
}

/// True once GitHub shows everything that it will ever show of a story that is done.
pub(crate) fn is_reported(github: &GithubModel, story: u64, head: &str) -> bool {
    let is_last = |context: &str, state: &str| {
        states(github, head, context)
            .last()
            .is_some_and(|last| last == state)
    };
    stage_labels(github, story) == ["stage:done"]
        && is_last("huskies/gates", "success")
        && is_last("huskies/merge", "success")
        && sticky_comments(github, story)
            .iter()
            .any(|comment| comment.body.contains("huskies: done"))
        && !done_comments(github, story).is_empty()
}

/// The comments that are edited in place.
pub(crate) fn sticky_comments(github: &GithubModel, story: u64) -> Vec<Comment> {
    own_comments(github, story, "<!-- huskies:story ")
}

/// The comments that say that all is done.
pub(crate) fn done_comments(github: &GithubModel, story: u64) -> Vec<Comment> {
    let mut comments = announcements(github, story);
    comments.retain(|comment| comment.body.contains("**Done.**"));
    comments
}

/// The comments beside the sticky one.
pub(crate) fn announcements(github: &GithubModel, story: u64) -> Vec<Comment> {
    own_comments(github, story, "<!-- huskies:act ")
}

fn own_comments(github: &GithubModel, story: u64, marker: &str) -> Vec<Comment> {
    let mut comments = github.comments(story);
    comments.retain(|comment| comment.author == OWN_LOGIN && comment.body.starts_with(marker));
    comments
}

/// The story's newest commit was squashed onto `base`, byte for byte the tree that was tested, and
/// nothing else landed; the commit's SHA.
pub(crate) fn assert_landed_on(scene: &Scene, story: u64, base: &str, done: &Value) -> String {
    let log = scene.remote.log(BASE);
    let landed = &log[0];
    assert_eq!(landed.parents, [base], "one squash commit: {log:#?}");
    assert_eq!(landed.author, AUTHOR);
    assert!(
        landed.message.contains(&format!("#{story}")),
        "{}",
        landed.message
    );
    assert_eq!(done["commit"], landed.sha.as_str());
    let receipt = &done["receipt"];
    assert_eq!(receipt["tree"], landed.tree.as_str(), "{done}");
    assert_eq!(receipt["base"], base);
    assert_eq!(receipt["commit"], landed.sha.as_str());
    let head = scene.agent.commits(story).pop();
    assert_eq!(receipt["head"].as_str(), head.as_deref());
    landed.sha.clone()
}

/// The whole end of the story on a base that nobody else moved: nothing missing, nothing doubled.
pub(crate) fn assert_end(scene: &Scene, story: u64, seed: &str, done: &Value) {
    assert_landed_on(scene, story, seed, done);
    let commits = scene.agent.commits(story);
    assert_eq!(commits.len(), 2, "one commit a try: {commits:?}");
    assert_eq!(
        scene.remote.tree_of(BASE),
        scene.remote.tree_of(&commits[1])
    );
    assert_tried_twice(scene, story);
    assert_statuses(scene, &commits);
    assert_comments(scene, story);
    assert_eq!(stage_labels(&scene.github, story), ["stage:done"]);
}

/// Two starts, each of an attempt of its own, and only the second knew what had failed.
fn assert_tried_twice(scene: &Scene, story: u64) {
    let starts = scene.agent.starts();
    let attempts: Vec<u64> = starts
        .iter()
        .filter_map(|start| start.rsplit_once(' ')?.1.parse().ok())
        .collect();
    assert_eq!(attempts.len(), 2, "{starts:?}");
    assert!(attempts[0] < attempts[1], "{starts:?}");
    let first = scene.agent.prompt(story, attempts[0]);
    assert!(first.contains(TITLE) && first.contains(BODY), "{first}");
    assert!(!first.contains(FAILURE_SECTION), "{first}");
    let second = scene.agent.prompt(story, attempts[1]);
    assert_eq!(second.matches(FAILURE_SECTION).count(), 1, "{second}");
    let section = second.split(FAILURE_SECTION).nth(1).unwrap_or_default();
    assert!(section.contains(COMPLAINT), "{second}");
    assert!(
        second.lines().any(|line| line.starts_with(FAILURE_SECTION)),
        "{second}"
    );
}

fn assert_statuses(scene: &Scene, commits: &[String]) {
    let last = |commit: &str, context| scene.states(commit, context).pop();
    assert_eq!(
        last(&commits[0], "huskies/gates").as_deref(),
        Some("failure")
    );
    assert_eq!(
        last(&commits[1], "huskies/gates").as_deref(),
        Some("success")
    );
    assert_eq!(
        last(&commits[1], "huskies/merge").as_deref(),
        Some("success")
    );
    assert_ne!(
        last(&commits[0], "huskies/merge").as_deref(),
        Some("success")
    );
    let all = scene.github.all_statuses();
    let tested = |status: &Status| commits.contains(&status.sha);
    assert!(
        all.iter().all(tested),
        "statuses are on the story's commits: {all:#?}"
    );
}

fn assert_comments(scene: &Scene, story: u64) {
    let github = &scene.github;
    let all = scene.own_comments(story);
    assert_eq!(sticky_comments(github, story).len(), 1, "{all:#?}");
    assert_eq!(done_comments(github, story).len(), 1, "{all:#?}");
    assert_eq!(
        all.len(),
        2,
        "the sticky comment and one that says done: {all:#?}"
    );
}
