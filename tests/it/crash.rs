//! `kill -9` of the server at every point of the main flow: before and after each durable write and
//! each act outside. The server counts the points itself (`HUSKIES_CRASH_TRACE` names a file that
//! gets a line at each, `HUSKIES_CRASH_AT` the point at which it kills itself), so that none is
//! left to chance. Whatever the point, the same end: nothing lost, nothing doubled.
//!
//! `HUSKIES_EVERY_CRASH_POINT=1` tries all of them, which takes minutes; without it the first and
//! the last time at each place are tried.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::ExitStatus;

use futures::stream::{self, StreamExt};
use serde_json::Value;

use crate::greeting;
use crate::support::following::api_path;
use crate::support::git::BASE;
use crate::support::github_model::Delivery;
use crate::support::scene::{Scene, Stage, WRITER};
use crate::support::server::Server;

/// Runs side by side: most of a run is waiting for processes and disks.
const SIDE_BY_SIDE: usize = 4;
/// SIGKILL.
const KILLED: i32 = 9;

/// One telling of the main flow, with a server that may die once on the way.
struct Telling {
    scene: Scene,
    trace: PathBuf,
    story: u64,
    /// The base branch before.
    seed: String,
    deaths: usize,
}

impl Telling {
    /// Everything up to a server that took the label's delivery.
    async fn begin(crash_at: Option<&Point>) -> Self {
        let stage = Stage::new();
        greeting::teach(&stage.agent);
        let project = greeting::project(&stage);
        let (remote, config) = stage.prepare(&project);
        let seed = remote.tip(BASE);
        let story = stage
            .github
            .add_issue(greeting::TITLE, greeting::BODY, WRITER);
        let label = stage.github.label(story, "huskies", WRITER);
        let trace = stage.folder().join("points");
        let point = crash_at.map(ToString::to_string);
        let mut variables = vec![("HUSKIES_CRASH_TRACE", trace.to_str().unwrap_or_default())];
        variables.extend(point.as_deref().map(|point| ("HUSKIES_CRASH_AT", point)));
        let mut deaths = 0;
        let server = match Server::launch(stage.folder(), &config, &variables).await {
            Ok(server) => server,
            Err(status) => {
                assert_killed(status);
                deaths += 1;
                Server::start(stage.folder(), &config).await
            }
        };
        let scene = stage.with(remote, server);
        let mut telling = Self {
            scene,
            trace,
            story,
            seed,
            deaths,
        };
        telling.deliver(&label).await;
        telling
    }

    /// Sends a delivery, and, as a forge would, again if nobody said that it was taken.
    async fn deliver(&mut self, delivery: &Delivery) {
        let answer = self.scene.server.try_deliver(delivery).await;
        if let Ok(answer) = answer {
            assert_eq!(answer.status, 202, "{}", answer.body);
            return;
        }
        let status = self.scene.server.gone().await;
        self.survive(status).await;
        let answer = self.scene.server.deliver(delivery).await;
        assert_eq!(answer.status, 202, "{}", answer.body);
    }

    async fn survive(&mut self, status: ExitStatus) {
        assert_killed(status);
        self.deaths += 1;
        self.scene.server.restart().await;
    }

    /// Goes on until GitHub shows the end and the server has nothing more to do; the story then.
    async fn finish(&mut self) -> Value {
        let story = self.story;
        loop {
            let Scene {
                server,
                github,
                agent,
                ..
            } = &mut self.scene;
            let reported = github.eventually("everything is reported", |github| {
                let head = agent.commits(story).pop();
                head.is_some_and(|head| greeting::is_reported(github, story, &head))
            });
            let status = tokio::select! {
                status = server.gone() => status,
                () = reported => break,
            };
            self.survive(status).await;
        }
        let shown = self.scene.server.try_get(&api_path(story, "")).await;
        // What is under way is finished before it leaves, so that the last points are reached too.
        let status = self.scene.server.stop().await;
        match shown {
            Ok(shown) if status.success() => shown.body,
            _ => {
                self.survive(status).await;
                self.scene.wait_for_stage(story, "done").await
            }
        }
    }

    /// The points that the first server reached, in order.
    fn points(&self) -> Vec<Point> {
        let trace = std::fs::read_to_string(&self.trace).unwrap_or_default();
        let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
        let mut numbered = |name| {
            let nth = seen.entry(name).or_default();
            *nth += 1;
            (name.to_owned(), *nth)
        };
        trace
            .lines()
            .map(|name| {
                let (name, nth) = numbered(name);
                Point { name, nth }
            })
            .collect()
    }
}

/// The n-th time at a place, as the server counts it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Point {
    name: String,
    nth: usize,
}

impl std::fmt::Display for Point {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.name, self.nth)
    }
}

/// Every point, or, where a quick answer is wanted, the first and the last time at each place.
#[expect(
    clippy::disallowed_methods,
    reason = "whoever runs the tests says how long they may take"
)]
fn chosen(points: Vec<Point>) -> Vec<Point> {
    if std::env::var_os("HUSKIES_EVERY_CRASH_POINT").is_some() {
        return points;
    }
    let last = |point: &Point| {
        let again = |other: &&Point| other.name == point.name && other.nth > point.nth;
        !points.iter().any(|other| again(&other))
    };
    let kept = |point: &&Point| point.nth == 1 || last(point);
    points.iter().filter(kept).cloned().collect()
}

fn assert_killed(status: ExitStatus) {
    assert_eq!(
        status.signal(),
        Some(KILLED),
        "the server ended with {status}"
    );
}

/// Tells the flow with a crash at a point; whether it came to be there. A surface that changes
/// twice in short order is written once or twice, so the last times at some places may not come.
async fn crash_at(point: Point) -> bool {
    let mut telling = Telling::begin(Some(&point)).await;
    let done = telling.finish().await;
    greeting::assert_end(&telling.scene, telling.story, &telling.seed, &done);
    assert!(telling.deaths < 2, "it dies at one point only");
    telling.deaths == 1
}

#[expect(
    clippy::print_stdout,
    reason = "how much was covered belongs into the test's report"
)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_killed_at_any_point_comes_to_the_same_end() {
    let mut undisturbed = Telling::begin(None).await;
    let done = undisturbed.finish().await;
    greeting::assert_end(
        &undisturbed.scene,
        undisturbed.story,
        &undisturbed.seed,
        &done,
    );
    let all = undisturbed.points();
    drop(undisturbed);
    assert!(all.len() > 50, "the flow has points: {all:#?}");
    let (count, chosen) = (all.len(), chosen(all));
    let outcomes: Vec<_> = stream::iter(chosen)
        .map(|point| async move { (point.clone(), tokio::spawn(crash_at(point)).await) })
        .buffer_unordered(SIDE_BY_SIDE)
        .collect()
        .await;
    let tried = outcomes.len();
    let (mut died, mut missed, mut failed) = (0, Vec::new(), Vec::new());
    for (point, outcome) in outcomes {
        match outcome {
            Ok(true) => died += 1,
            Ok(false) => missed.push(point),
            Err(_) => failed.push(point.to_string()),
        }
    }
    println!("killed at {died} of the {tried} points tried, of {count} in all");
    assert!(failed.is_empty(), "another end after a kill at {failed:#?}");
    let never: Vec<_> = missed.iter().filter(|point| point.nth == 1).collect();
    assert!(never.is_empty(), "never killed at {never:?}");
}
