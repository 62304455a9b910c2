//! A flood of deliveries while agents and gates run: none that was accepted is lost, none takes
//! effect twice, the bad ones among them change nothing, and memory does not grow with them.
//!
//! `HUSKIES_LOAD=10000` sends so many, with 50 agents; without it 1,000 are sent, with 5. How fast
//! the answers are is not tested here but measured by `cargo bench`.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use futures::stream::{self, StreamExt};
use rusqlite::{Connection, OpenFlags};
use serde_json::Value;

use crate::greeting;
use crate::support::github_model::Delivery;
use crate::support::patience::eventually;
use crate::support::project::Project;
use crate::support::raw;
use crate::support::scene::{Scene, Stage, WRITER};
use crate::support::server::Server;

/// Issues that get labels which mean nothing to huskies.
const ISSUES: u64 = 100;
/// Each sends the deliveries of its own issues, one after the other, so that their order is known.
const SENDERS: u64 = 10;
/// The largest body that is taken.
const LIMIT: usize = 40_000;

/// How much is sent, and beside how many agents.
#[derive(Clone, Copy)]
struct Size {
    deliveries: u64,
    agents: u64,
}

#[expect(
    clippy::disallowed_methods,
    reason = "whoever runs the tests says how long they may take"
)]
fn size() -> Size {
    let wanted = std::env::var("HUSKIES_LOAD").ok();
    match wanted.and_then(|wanted| wanted.parse().ok()) {
        Some(deliveries) => Size {
            deliveries,
            agents: 50,
        },
        None => Size {
            deliveries: 1_000,
            agents: 5,
        },
    }
}

/// Agents that print until the test says that it is enough; one that is done at once, and a gate
/// that goes on working for as long.
async fn busy_server(agents: u64) -> Scene {
    let stage = Stage::new();
    let until_enough = |work: &str| {
        let enough = stage.agent.file("enough").display().to_string();
        format!("until [ -e '{enough}' ]; do {work}; done")
    };
    let greet = "echo Hello > greeting.txt; echo $number >> greeting.txt; commit Greet";
    let print = until_enough("echo working; sleep 0.2");
    stage.agent.always(&format!("{print}; {greet}"));
    stage.agent.story(1, greet);
    let work = until_enough("head -c 1000000 /dev/zero | sha256sum; sleep 0.2");
    let mut project = Project::new().gate("greets", &format!("{work}; grep -q Hello greeting.txt"));
    for number in 0..agents {
        project = project.coder(&format!("coder-{number}"), &stage.agent.command());
    }
    let scene = stage
        .serve_with(&project, |config| {
            config
                .agents(agents)
                .max_body_bytes(u64::try_from(LIMIT).unwrap())
        })
        .await;
    for number in 0..agents {
        scene.start_story(&format!("Story {number}"), "").await;
    }
    eventually("every agent runs", || {
        scene.agent.starts().len() as u64 == agents
    })
    .await;
    scene
}

/// A label of its own on one of the issues, so that what follows from each delivery can be found.
fn labelled(scene: &Scene, sample: &Value, issue: u64, number: u64) -> Delivery {
    let mut payload = sample.clone();
    let label = format!("label-{number}-");
    payload["issue"]["number"] = issue.into();
    payload["issue"]["labels"] = serde_json::json!([{ "name": label }]);
    payload["issue"]["body"] = "x".repeat(8_000).into();
    payload["label"]["name"] = label.into();
    scene.github.delivery("issues", &payload)
}

/// What is wrong with a delivery, by its number; most are good.
fn spoilt(good: &Delivery, number: u64) -> Option<(Delivery, u16)> {
    let mut bad = good.clone();
    bad.id = format!("bad-{number}");
    let secret = crate::support::github_model::WEBHOOK_SECRET;
    match number % 50 {
        10 => {
            bad.signature = bad
                .signature
                .map(|signature| signature.replace('a', "b") + "00");
            Some((bad, 401))
        }
        20 => {
            bad.body.truncate(1_000);
            Some((bad.signed_with(secret), 400))
        }
        30 => {
            "text/plain".clone_into(&mut bad.content_type);
            Some((bad, 415))
        }
        40 => {
            bad.body.resize(LIMIT + 1, b' ');
            Some((bad.signed_with(secret), 413))
        }
        _ => None,
    }
}

/// Sends a share of the deliveries, with bad ones and repetitions among them.
async fn send_share(scene: &Scene, sample: &Value, numbers: &[u64]) {
    for number in numbers {
        let issue = 1_000 + number % ISSUES;
        let good = labelled(scene, sample, issue, *number);
        if let Some((bad, status)) = spoilt(&good, *number) {
            // In the middle of a body that is too large the connection may be cut.
            if let Ok(answer) = scene.server.try_deliver(&bad).await {
                assert_eq!(answer.status, status, "{}", answer.body);
            }
        }
        let answer = scene.server.deliver(&good).await;
        assert_eq!(answer.body["status"], "accepted", "{}", answer.body);
        if number % 7 == 0 {
            let again = scene.server.deliver(&good).await;
            assert_eq!(again.body["status"], "duplicate", "{}", again.body);
        }
    }
}

async fn flood(scene: &Scene, sample: &Value, numbers: std::ops::Range<u64>) {
    // Issue and sender follow from the number, and ISSUES is a multiple of SENDERS.
    let of = |sender| {
        numbers
            .clone()
            .filter(move |number| number % SENDERS == sender)
    };
    let shares: Vec<Vec<u64>> = (0..SENDERS).map(|sender| of(sender).collect()).collect();
    stream::iter(&shares)
        .for_each_concurrent(None, |numbers| send_share(scene, sample, numbers))
        .await;
}

/// The store as it is on the disk, looked at by another program.
fn look(data_dir: &Path) -> Connection {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Connection::open_with_flags(data_dir.join("huskies.db"), flags).unwrap()
}

fn pending(store: &Connection) -> i64 {
    let query = "SELECT count(*) FROM deliveries WHERE taken = 0 AND content IS NOT NULL";
    store.query_row(query, [], |row| row.get(0)).unwrap()
}

/// Each label's place in the log of the repository, and the issue that it was set on.
fn effects(store: &Connection) -> HashMap<u64, Vec<(i64, u64)>> {
    let mut events = store
        .prepare(
            "SELECT seq, event FROM events WHERE subject_kind = 'repo' AND event LIKE '%label-%'",
        )
        .unwrap();
    let rows = events
        .query_map([], |row| Ok((row.get(0)?, row.get::<_, String>(1)?)))
        .unwrap();
    let mut effects: HashMap<u64, Vec<(i64, u64)>> = HashMap::new();
    for (seq, event) in rows.flatten() {
        let number = event
            .split("label-")
            .nth(1)
            .unwrap()
            .split('-')
            .next()
            .unwrap();
        let issue = event.split("\"number\":").nth(1).unwrap();
        let issue: String = issue.chars().take_while(char::is_ascii_digit).collect();
        let effect = (seq, issue.parse().unwrap());
        effects
            .entry(number.parse().unwrap())
            .or_default()
            .push(effect);
    }
    effects
}

fn assert_each_took_effect_once_and_in_order(effects: &HashMap<u64, Vec<(i64, u64)>>, count: u64) {
    let mut of_issue: BTreeMap<u64, Vec<(u64, i64)>> = BTreeMap::new();
    for number in 0..count {
        let effect = effects.get(&number).map(Vec::as_slice).unwrap_or_default();
        let [(seq, issue)] = effect else {
            panic!("delivery {number} took effect {} times", effect.len());
        };
        of_issue.entry(*issue).or_default().push((number, *seq));
    }
    for (issue, effects) in of_issue {
        assert!(
            effects.is_sorted_by_key(|(_, seq)| *seq),
            "out of order on issue {issue}: {effects:?}"
        );
    }
}

/// Resident memory of the server, in KiB.
fn memory(scene: &Scene) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", scene.server.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.unwrap()
        .split_whitespace()
        .next()
        .unwrap()
        .parse()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_loses_nothing_doubles_nothing_and_leaves_memory_flat() {
    let Size { deliveries, agents } = size();
    let scene = busy_server(agents).await;
    let issue = scene.github.add_issue("Any", "", "eve");
    let sample = scene.github.label(issue, "any", "eve").payload();

    let (before, store) = (deliveries / 2, look(&scene.data_dir()));
    flood(&scene, &sample, 0..before).await;
    eventually("the first half took effect", || pending(&store) == 0).await;
    let half_way = memory(&scene);
    flood(&scene, &sample, before..deliveries).await;
    eventually("all took effect", || pending(&store) == 0).await;
    let grown = memory(&scene).saturating_sub(half_way);

    assert_each_took_effect_once_and_in_order(&effects(&store), deliveries);
    let starts = scene.agent.starts();
    let started: BTreeSet<&str> = starts
        .iter()
        .filter_map(|start| start.split(' ').next())
        .collect();
    assert_eq!(
        started.len() as u64,
        agents,
        "nothing else was started: {starts:?}"
    );
    // What was sent in the second half is 8 kB each, and more in memory.
    let sent = (deliveries - before) * 8;
    assert!(
        grown < 8 * 1_024 + sent / 4,
        "it grew by {grown} KiB over {sent} KiB"
    );

    std::fs::write(scene.agent.file("enough"), "").unwrap();
    for number in 1..=agents {
        scene
            .wait_for(number, "a verdict", |story| {
                story["gate_runs"].as_u64().is_some_and(|runs| runs > 0)
            })
            .await;
    }
}

#[tokio::test]
async fn an_inbox_that_is_full_sends_deliveries_away_and_stores_nothing() {
    let stage = Stage::new();
    stage.agent.always(greeting::RIGHT);
    let project = greeting::project(&stage);
    let (remote, config) = stage.prepare(&project);
    let server = Server::start(stage.folder(), &config.clone().max_pending(0)).await;
    let mut scene = stage.with(remote, server);
    let story = scene
        .github
        .add_issue(greeting::TITLE, greeting::BODY, WRITER);
    let label = scene.github.label(story, "huskies", WRITER);
    let headers: Vec<String> = label
        .headers()
        .iter()
        .map(|(name, value)| format!("{name}: {value}"))
        .collect();
    let request = format!(
        "POST /webhooks/github HTTP/1.1\r\nhost: localhost\r\n{}",
        headers.join("\r\n")
    );
    let body = String::from_utf8(label.body.clone()).unwrap();
    let refused = raw::ask(scene.server.address(), &request, &body)
        .await
        .unwrap();
    assert_eq!(refused.status, 503, "{refused:?}");
    let seconds = refused.header("retry-after").unwrap();
    assert!(seconds.parse::<u32>().unwrap() > 0);
    let ready = scene.server.get("/readyz").await;
    assert_eq!(ready.status, 503);
    assert!(
        ready.body["error"]
            .as_str()
            .unwrap()
            .contains("1 were sent away"),
        "{}",
        ready.body
    );
    assert_eq!(scene.server.get("/healthz").await.status, 200);

    scene.server.stop().await;
    scene.server = Server::start(scene.folder(), &config).await;
    scene.accepted(&label).await;
    scene.wait_for_stage(story, "done").await;
}
