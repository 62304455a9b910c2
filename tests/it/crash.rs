//! `kill -9` of the server at every point of the main flow: before and after each durable write and
//! each act outside. The server names the points itself (`HUSKIES_CRASH_TRACE` is a file that gets a
//! line at each, `HUSKIES_CRASH_AT` the point at which it kills itself), so that none is left to
//! chance. Whatever the point, the same end: nothing lost, nothing doubled.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::ExitStatus;

use futures::stream::{self, StreamExt};
use serde_json::Value;
use tokio::task::JoinError;

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
    async fn begin(crash_at: Option<&str>) -> Self {
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
        let mut variables = vec![("HUSKIES_CRASH_TRACE", trace.to_str().unwrap_or_default())];
        variables.extend(crash_at.map(|point| ("HUSKIES_CRASH_AT", point)));
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
    fn points(&self) -> Vec<String> {
        let trace = std::fs::read_to_string(&self.trace).unwrap_or_default();
        trace.lines().map(str::to_owned).collect()
    }
}

fn assert_killed(status: ExitStatus) {
    assert_eq!(
        status.signal(),
        Some(KILLED),
        "the server ended with {status}"
    );
}

/// Tells the flow with a crash at a point; whether it was reached at all.
async fn crash_at(point: String) -> bool {
    let mut telling = Telling::begin(Some(&point)).await;
    let done = telling.finish().await;
    greeting::assert_end(&telling.scene, telling.story, &telling.seed, &done);
    assert!(telling.deaths < 2, "it dies at one point only");
    telling.deaths == 1
}

/// The points as `HUSKIES_CRASH_AT` takes them: `act.land.before:1`.
fn counted(points: &[String]) -> Vec<String> {
    let mut counts: BTreeMap<&str, u32> = BTreeMap::new();
    points
        .iter()
        .map(|point| {
            let times = counts.entry(point).or_default();
            *times += 1;
            format!("{point}:{times}")
        })
        .collect()
}

#[expect(
    clippy::print_stdout,
    reason = "how much was covered belongs into the test's report"
)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_killed_at_any_point_comes_to_the_same_end() {
    let mut undisturbed = Telling::begin(None).await;
    let done = undisturbed.finish().await;
    let (scene, seed) = (&undisturbed.scene, &undisturbed.seed);
    greeting::assert_end(scene, undisturbed.story, seed, &done);
    let points = counted(&undisturbed.points());
    drop(undisturbed);
    assert!(points.len() > 50, "the flow has points: {points:#?}");
    let outcomes: Vec<_> = stream::iter(points)
        .map(|point| async move { (point.clone(), tokio::spawn(crash_at(point)).await) })
        .buffer_unordered(SIDE_BY_SIDE)
        .collect()
        .await;
    let of = |wanted: fn(&Result<bool, JoinError>) -> bool| -> Vec<&str> {
        let found = outcomes.iter().filter(|(_, outcome)| wanted(outcome));
        found.map(|(point, _)| point.as_str()).collect()
    };
    let failed = of(Result::is_err);
    let missed = of(|outcome| matches!(outcome, Ok(false)));
    let (all, reached) = (outcomes.len(), outcomes.len() - missed.len());
    println!("killed at {reached} of {all} points; not met again: {missed:?}");
    assert!(failed.is_empty(), "another end after a kill at {failed:#?}");
    // How often a comment or label is brought up to date depends on the pace, so the last times may
    // not come again; the first time of each kind must.
    let firsts: Vec<_> = missed
        .iter()
        .filter(|point| point.ends_with(":1"))
        .collect();
    assert!(firsts.is_empty(), "never killed at {firsts:?}");
}
