//! The receiver's edge: what it takes, what it refuses, and that neither changes what it must not.

use futures::stream::{self, StreamExt};
use serde_json::{Value, json};

use crate::greeting;
use crate::support::git::BASE;
use crate::support::github_model::Delivery;
use crate::support::scene::{Scene, Stage, WRITER};

async fn scene() -> Scene {
    let stage = Stage::new();
    stage.agent.always(greeting::RIGHT);
    let project = greeting::project(&stage);
    stage.serve(&project).await
}

/// An issue with the start label on it, and the delivery that says so.
fn label(scene: &Scene) -> (u64, Delivery) {
    let story = scene
        .github
        .add_issue(greeting::TITLE, greeting::BODY, WRITER);
    (story, scene.github.label(story, "huskies", WRITER))
}

#[tokio::test]
async fn every_example_of_github_is_taken() {
    let scene = scene().await;
    let examples = include_str!("../fixtures/github-examples/examples.jsonl");
    for (number, line) in examples.lines().enumerate() {
        let example: Value = serde_json::from_str(line).unwrap();
        let event = example["event"].as_str().unwrap();
        let delivery = scene.github.delivery(event, &example["payload"]);
        let answer = scene.server.deliver(&delivery).await;
        assert_eq!(answer.status, 202, "line {}: {}", number + 1, answer.body);
    }
    assert_nothing_happened(&scene).await;
}

/// Nothing came of what was sent: no story, no question to the forge, no agent.
async fn assert_nothing_happened(scene: &Scene) {
    let list = scene.server.get("/api/stories").await.body;
    let list = list.get("stories").unwrap_or(&list);
    assert_eq!(list, &json!([]));
    assert!(scene.agent.starts().is_empty());
    assert!(
        scene.github.writes().is_empty(),
        "{:?}",
        scene.github.writes()
    );
}

#[tokio::test]
async fn a_wrong_or_missing_signature_is_refused_before_anything_is_read() {
    let scene = scene().await;
    let (_, good) = label(&scene);
    let mut unsigned = good.clone();
    unsigned.signature = None;
    let mut stale = good.clone();
    stale.body.push(b' ');
    let mut garbage = good.clone();
    garbage.signature = Some("sha256=zz".to_owned());
    let mut of_another_hash = good.clone();
    of_another_hash.signature = good
        .signature
        .map(|signature| signature.replace("sha256", "sha1"));
    let forged = stale.clone().signed_with("a guess");
    let mut unreadable = stale.clone();
    unreadable.body = b"{".to_vec();
    for refused in [
        unsigned,
        stale,
        garbage,
        of_another_hash,
        forged,
        unreadable,
    ] {
        let answer = scene.server.deliver(&refused).await;
        assert_eq!(
            answer.status, 401,
            "{:?}: {}",
            refused.signature, answer.body
        );
    }
    assert_nothing_happened(&scene).await;
}

#[tokio::test]
async fn every_secret_that_is_valid_during_a_rotation_is_taken() {
    let scene = scene().await;
    let (story, delivery) = label(&scene);
    scene
        .accepted(&delivery.signed_with("the secret before this one"))
        .await;
    scene.wait_for_stage(story, "done").await;
}

#[tokio::test]
async fn what_is_signed_and_cannot_be_read_is_a_bad_request() {
    let scene = scene().await;
    let (_, good) = label(&scene);
    let secret = crate::support::github_model::WEBHOOK_SECRET;
    for body in ["", "{", "[]", "null", "{\"action\":1}", "\u{0}"] {
        let mut bad = good.clone();
        bad.body = body.as_bytes().to_vec();
        let answer = scene.server.deliver(&bad.signed_with(secret)).await;
        assert_eq!(answer.status, 400, "`{body}`: {}", answer.body);
    }
    let mut nameless = good.clone();
    nameless.id = String::new();
    assert_eq!(scene.server.deliver(&nameless).await.status, 400);
    assert_nothing_happened(&scene).await;
}

#[tokio::test]
async fn another_content_type_is_refused() {
    let scene = scene().await;
    let (_, good) = label(&scene);
    for content_type in ["application/x-www-form-urlencoded", "text/plain"] {
        let mut other = good.clone();
        other.content_type = content_type.to_owned();
        assert_eq!(scene.server.deliver(&other).await.status, 415);
    }
    assert_nothing_happened(&scene).await;
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_and_one_at_the_limit_is_not() {
    let stage = Stage::new();
    let project = greeting::project(&stage);
    let limit = 20_000;
    let scene = stage
        .serve_with(&project, |config| config.max_body_bytes(limit))
        .await;
    let sized = |bytes: usize| {
        let mut delivery = scene.github.ping();
        delivery.body.resize(bytes, b' ');
        delivery.signed_with(crate::support::github_model::WEBHOOK_SECRET)
    };
    let limit = usize::try_from(limit).unwrap();
    let over = scene.server.try_deliver(&sized(limit + 1)).await;
    assert_eq!(over.unwrap().status, 413);
    let far_over = sized(limit * 200);
    // The server may close the connection in the middle of so much; it must not take it.
    let answer = scene.server.try_deliver(&far_over).await;
    assert!(answer.is_err() || answer.is_ok_and(|answer| answer.status == 413));
    assert_eq!(scene.server.deliver(&sized(limit)).await.status, 202);
    assert_nothing_happened(&scene).await;
}

#[tokio::test]
async fn answers_name_the_delivery_and_what_became_of_it() {
    let scene = scene().await;
    let ping = scene.github.ping();
    let answer = scene.server.deliver(&ping).await;
    assert_eq!(answer.status, 202);
    assert_eq!(
        answer.body,
        json!({ "delivery": ping.id, "status": "accepted" })
    );
    let again = scene.server.deliver(&ping).await;
    assert_eq!(again.status, 202);
    assert_eq!(again.body["status"], "duplicate", "{}", again.body);
    assert_eq!(again.body["delivery"], ping.id.as_str());
    assert_nothing_happened(&scene).await;
}

#[tokio::test]
async fn events_and_actions_that_nobody_knows_are_ignored_with_a_reason() {
    let scene = scene().await;
    let repository = scene.github.ping().payload()["repository"].clone();
    let sender = json!({ "login": WRITER });
    let star = json!({ "action": "created", "repository": repository, "sender": sender });
    let (_, labelled) = label(&scene);
    let mut transferred = labelled.payload();
    transferred["action"] = Value::from("transferred");
    let mut elsewhere = labelled.payload();
    elsewhere["repository"]["full_name"] = Value::from("octo/unknown");
    for (event, payload) in [
        ("star", &star),
        ("issues", &transferred),
        ("issues", &elsewhere),
    ] {
        let delivery = scene.github.delivery(event, payload);
        let answer = scene.server.deliver(&delivery).await;
        assert_eq!(answer.status, 202);
        assert_eq!(answer.body["status"], "ignored", "{event}: {}", answer.body);
        let reason = answer.body["reason"].as_str().unwrap_or_default();
        assert!(!reason.is_empty(), "{}", answer.body);
    }
    assert_nothing_happened(&scene).await;
}

#[tokio::test]
async fn a_thousand_duplicates_start_one_story() {
    let scene = scene().await;
    let (story, delivery) = label(&scene);
    scene.accepted(&delivery).await;
    let answers: Vec<_> = stream::iter(0..1_000)
        .map(|_| scene.server.deliver(&delivery))
        .buffer_unordered(16)
        .collect()
        .await;
    for answer in &answers {
        assert_eq!(answer.status, 202);
        assert_eq!(answer.body["status"], "duplicate", "{}", answer.body);
    }
    scene.wait_for_stage(story, "done").await;
    let events = scene.events(story).await;
    let again = scene.server.deliver(&delivery).await;
    assert_eq!(again.body["status"], "duplicate", "after the end too");
    assert_eq!(scene.events(story).await, events);
    assert_eq!(scene.agent.starts(), ["octo/app#1 1"]);
    assert_eq!(
        scene.remote.log(BASE).len(),
        2,
        "one commit beside the seed"
    );
}

#[tokio::test]
async fn a_delivery_is_a_duplicate_after_a_restart_too() {
    let mut scene = scene().await;
    let (story, delivery) = label(&scene);
    scene.accepted(&delivery).await;
    scene.server.kill_9().await;
    scene.server.restart().await;
    let again = scene.server.deliver(&delivery).await;
    assert_eq!(again.body["status"], "duplicate", "{}", again.body);
    scene.wait_for_stage(story, "done").await;
    assert_eq!(scene.agent.starts(), ["octo/app#1 1"]);
}

#[tokio::test]
async fn the_server_says_that_it_lives_and_is_ready() {
    let scene = scene().await;
    assert_eq!(scene.server.get("/healthz").await.status, 200);
    assert_eq!(scene.server.get("/readyz").await.status, 200);
    assert_eq!(scene.server.get("/nowhere").await.status, 404);
    assert_eq!(scene.server.get("/webhooks/github").await.status, 405);
}
