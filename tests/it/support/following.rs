//! Following a story through the JSON API until it is as a test wants it.

use serde_json::Value;
use tokio::time::{Duration, Instant};

use super::patience::PATIENCE;
use super::server::{REPO, Server};

/// How long the server may hold back an answer until something happens.
const LONG_POLL_SECS: u64 = 5;
/// How long to wait before asking again about a story that the server has not heard of.
const UNKNOWN: Duration = Duration::from_millis(10);

/// Waits until the story, as the API shows it, is as `condition` wants it; the story then.
///
/// # Panics
/// After [`PATIENCE`], with the story, its events and the server's log.
pub(crate) async fn follow(
    server: &Server,
    story: u64,
    what: &str,
    mut condition: impl FnMut(&Value) -> bool,
) -> Value {
    let deadline = Instant::now() + PATIENCE;
    let mut seen = 0;
    loop {
        let found = server.get(&api_path(story, "")).await;
        if found.status == 200 && condition(&found.body) {
            return found.body;
        }
        assert!(
            Instant::now() < deadline,
            "story {story} did not come to: {what}\n{}",
            account_of(server, story).await
        );
        seen = next_event(server, story, seen).await;
    }
}

/// Waits until the story has events after `seen`; the newest one's number.
async fn next_event(server: &Server, story: u64, seen: u64) -> u64 {
    let query = format!("/events?after={seen}&wait_secs={LONG_POLL_SECS}");
    let answer = server.get(&api_path(story, &query)).await;
    if answer.status != 200 {
        tokio::time::sleep(UNKNOWN).await;
    }
    let events = answer.body.as_array().cloned().unwrap_or_default();
    let numbers = events.iter().filter_map(|event| event["seq"].as_u64());
    numbers.max().unwrap_or(seen)
}

/// A story's events, oldest first.
pub(crate) async fn events(server: &Server, story: u64) -> Vec<Value> {
    let answer = server.get(&api_path(story, "/events")).await;
    answer.body.as_array().cloned().unwrap_or_default()
}

/// Everything that is known about a story, for a person who looks for a mistake.
async fn account_of(server: &Server, story: u64) -> String {
    let shown = server.get(&api_path(story, "")).await.body;
    let events: Vec<String> = events(server, story)
        .await
        .iter()
        .map(Value::to_string)
        .collect();
    format!(
        "story: {shown}\nevents:\n{}\nserver:\n{}",
        events.join("\n"),
        server.log()
    )
}

/// The path of a story in the API, and what comes after it.
pub(crate) fn api_path(story: u64, rest: &str) -> String {
    format!("/api/stories/{REPO}/{story}{rest}")
}
