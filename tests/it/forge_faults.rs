//! GitHub at its worst: every request of a story in turn meets every kind of fault, and the story
//! ends as if nothing had been: one sticky comment, one that says done, the right statuses.
//!
//! `HUSKIES_EVERY_FORGE_FAULT=1` tries all of them, which takes minutes; without it each kind is
//! tried at some requests.

use std::time::Duration;

use futures::stream::{self, StreamExt};

use crate::greeting;
use crate::support::git::BASE;
use crate::support::github_model::{Answer, Fault, GithubModel, RecordedRequest};
use crate::support::patience::eventually;
use crate::support::scene::{Scene, Stage, WRITER};

/// Runs side by side: most of a run is waiting.
const SIDE_BY_SIDE: usize = 4;
/// Requests that each kind meets where not all are tried.
const TRIED: usize = 2;

/// What goes wrong once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    ServerError,
    GatewayAfterEffect,
    CutAfterEffect,
    SecondaryLimit,
    TooManyRequests,
    UsedUp,
    Slow,
    /// GitHub wants a minute then.
    SecondaryLimitUnsaid,
    TooManyRequestsUnsaid,
}

impl Kind {
    /// What was asked for is done, and nobody hears of it.
    pub(crate) fn is_lost(self) -> bool {
        matches!(self, Self::GatewayAfterEffect | Self::CutAfterEffect)
    }

    pub(crate) const SOON: [Self; 7] = [
        Self::ServerError,
        Self::GatewayAfterEffect,
        Self::CutAfterEffect,
        Self::SecondaryLimit,
        Self::TooManyRequests,
        Self::UsedUp,
        Self::Slow,
    ];
    const UNSAID: [Self; 2] = [Self::SecondaryLimitUnsaid, Self::TooManyRequestsUnsaid];

    pub(crate) fn fault(self) -> Fault {
        let secondary = Answer::new(403, "You have exceeded a secondary rate limit.");
        let too_many = Answer::new(429, "Too many requests");
        match self {
            Self::ServerError => Fault::Instead(Answer::new(500, "Server Error")),
            Self::GatewayAfterEffect => Fault::AfterEffect(Answer::new(502, "Bad Gateway")),
            Self::CutAfterEffect => Fault::CutAfterEffect,
            Self::SecondaryLimit => Fault::Instead(secondary.header("retry-after", "1")),
            Self::TooManyRequests => Fault::Instead(too_many.header("retry-after", "1")),
            Self::UsedUp => Fault::Instead(
                Answer::new(403, "API rate limit exceeded for user ID 1.")
                    .header("x-ratelimit-remaining", "0")
                    .header("x-ratelimit-reset", "1767225600"),
            ),
            Self::Slow => Fault::Slow(Duration::from_secs(2)),
            Self::SecondaryLimitUnsaid => Fault::Instead(secondary),
            Self::TooManyRequestsUnsaid => Fault::Instead(too_many),
        }
    }
}

/// Tells the story with the fault at the request after the next `requests`; how many there were.
async fn tell(fault: Option<(Kind, usize)>) -> usize {
    let stage = Stage::new();
    greeting::teach(&stage.agent);
    let project = greeting::project(&stage);
    let scene = stage.serve(&project).await;
    let seed = scene.remote.tip(BASE);
    if let Some((kind, requests)) = fault {
        scene.github.fail_after(requests, kind.fault());
    }
    let story = scene.start_story(greeting::TITLE, greeting::BODY).await;
    // A limit without a word about its end is waited out for a minute.
    scene
        .wait_for_github(&format!("{fault:?}: the story begins"), |github| {
            !greeting::sticky_comments(github, story).is_empty()
        })
        .await;
    let done = scene.wait_for_stage(story, "done").await;
    let head = scene.agent.commits(story).pop().unwrap();
    scene
        .wait_for_github(&format!("{fault:?}: everything is reported"), |github| {
            greeting::is_reported(github, story, &head)
        })
        .await;
    greeting::assert_end(&scene, story, &seed, &done);
    scene.github.requests().len()
}

#[expect(
    clippy::disallowed_methods,
    reason = "whoever runs the tests says how much is tried"
)]
pub(crate) fn is_thorough() -> bool {
    std::env::var_os("HUSKIES_EVERY_FORGE_FAULT").is_some()
}

/// Which kinds meet which of so many requests.
fn plan(requests: usize) -> Vec<(Kind, usize)> {
    if is_thorough() {
        let kinds = Kind::SOON.into_iter().chain(Kind::UNSAID);
        return kinds
            .flat_map(|kind| (0..requests).map(move |at| (kind, at)))
            .collect();
    }
    // Each kind begins elsewhere, so that together they are everywhere.
    let kinds = Kind::SOON.into_iter().enumerate();
    kinds
        .flat_map(|(place, kind)| {
            let spread = (0..TRIED).map(move |part| {
                let step = Kind::SOON.len() * part + place;
                (kind, step * requests / (Kind::SOON.len() * TRIED))
            });
            spread.collect::<Vec<_>>()
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_story_ends_the_same_whatever_request_meets_whatever_fault() {
    let requests = tell(None).await;
    let plan = plan(requests);
    stream::iter(plan)
        .for_each_concurrent(SIDE_BY_SIDE, |fault| async move {
            tell(Some(fault)).await;
        })
        .await;
}

/// A story without a retry, landed by a push, in a repository that has its labels.
async fn quick_story() -> (Scene, u64) {
    let stage = Stage::new();
    stage.agent.always(greeting::RIGHT);
    for stage_label in ["stage:coding", "stage:merge", "stage:done"] {
        stage.github.create_label(stage_label);
    }
    let project = greeting::project(&stage);
    let scene = stage.serve(&project).await;
    let story = scene.start_story(greeting::TITLE, greeting::BODY).await;
    scene.wait_for_stage(story, "done").await;
    let head = scene.agent.commits(story).pop().unwrap();
    scene
        .wait_for_github("everything is reported", |github| {
            greeting::is_reported(github, story, &head)
        })
        .await;
    (scene, story)
}

#[tokio::test]
#[expect(clippy::print_stdout, reason = "the figure is what is asked for")]
async fn a_story_makes_few_requests_and_says_how_many() {
    let (scene, story) = quick_story().await;
    let github = &scene.github;
    let made = github.api_calls();
    let told = |request: RecordedRequest| {
        let answered = request.answered.unwrap_or_default();
        format!("{answered} {} {}", request.method, request.path)
    };
    let told: Vec<String> = github.requests().into_iter().map(told).collect();
    // What the base branch is was asked for the repository, and what was missed.
    let requests = github.requests();
    let counts = |request: &&RecordedRequest| {
        let paths = ["", "/issues", "/pulls"].map(|end| format!("/repos/octo/app{end}"));
        !paths.contains(&request.path) && request.answered != Some(304)
    };
    let of_story = requests.iter().filter(counts).count();
    println!(
        "API calls of a story without a retry, landed by a push: {of_story} (with the server's start: {made})"
    );
    assert!(of_story <= 25, "{of_story}: {told:#?}");
    scene
        .wait_for(story, "all requests are counted", |found| {
            found["api_calls"] == of_story
        })
        .await;
    let done = &greeting::done_comments(&scene.github, story)[0].body;
    let is_done = |request: &RecordedRequest| {
        let body = request.body.as_ref();
        body.is_some_and(|body| body["body"] == done.as_str())
    };
    let before = requests.iter().position(is_done).unwrap();
    let before = requests[..before].iter().filter(counts).count();
    let said = format!("<sub>{before} requests to the forge so far</sub>");
    assert!(done.contains(&said), "{before}: {done}");
}

/// A limit that one call meets is every call's: nothing is sent until it is over.
#[tokio::test]
async fn a_limit_holds_the_whole_installation_back() {
    let stage = Stage::new();
    stage.agent.always(greeting::RIGHT);
    let project = greeting::project(&stage);
    let scene = stage.serve(&project).await;
    let limit = Answer::new(403, "You have exceeded a secondary rate limit.");
    let limit = Fault::Instead(limit.header("retry-after", "600"));
    scene.github.fail_next("GET", "/permission", limit);
    scene.start_story(greeting::TITLE, greeting::BODY).await;
    scene
        .wait_for_github("the limit is met", |github| permissions(github) > 0)
        .await;
    let before = scene.github.requests().len();
    let other = scene.github.add_issue("Another", "", WRITER);
    scene.label(other).await;
    let is_held_back = |line: &str| line.contains("octo/app#2") && line.contains("asks to wait");
    eventually("the second story is held back", || {
        scene.server.log().lines().any(is_held_back)
    })
    .await;
    assert_eq!(permissions(&scene.github), 1);
    // One may have been on its way already.
    assert!(scene.github.requests().len() <= before + 1);
}

/// How often it was asked who may.
fn permissions(github: &GithubModel) -> usize {
    let requests = github.requests().into_iter();
    requests
        .filter(|request| request.path.ends_with("/permission"))
        .count()
}
