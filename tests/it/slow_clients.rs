//! Clients that are slow, many, endless or gone: each is bounded, and none keeps the others out.

use futures::stream::{self, StreamExt};

use crate::greeting;
use crate::support::github_model::Delivery;
use crate::support::raw::Raw;
use crate::support::scene::{Scene, Stage};

/// A server that gives everybody one second, and has few places.
async fn impatient() -> Scene {
    let stage = Stage::new();
    let project = greeting::project(&stage);
    stage
        .serve_with(&project, |config| {
            config
                .http("header_timeout_secs", 1)
                .http("body_timeout_secs", 1)
                .http("max_connections", 50)
                .max_body_bytes(50_000)
        })
        .await
}

/// The head of a delivery's request, with a length of the test's own.
fn head(delivery: &Delivery, length: &str) -> String {
    let lines = delivery.headers().into_iter();
    let lines = lines.map(|(name, value)| format!("{name}: {value}\r\n"));
    let headers = lines.collect::<Vec<_>>().concat();
    format!("POST /webhooks/github HTTP/1.1\r\nhost: localhost\r\n{headers}{length}\r\n\r\n")
}

/// Somebody else is answered, now.
async fn assert_others_are_served(scene: &Scene) {
    assert_eq!(scene.server.deliver(&scene.github.ping()).await.status, 202);
}

#[tokio::test]
async fn headers_that_do_not_come_are_not_waited_for_and_hold_nobody_up() {
    let scene = impatient().await;
    for begun in ["", "GET /healthz HTTP/1.1\r\nhost: local"] {
        let mut slow = Raw::connect(scene.server.address()).await;
        slow.send(begun).await;
        assert_others_are_served(&scene).await;
        slow.closed().await;
    }
}

#[tokio::test]
async fn an_open_connection_is_closed_when_nothing_more_is_asked() {
    let scene = impatient().await;
    let mut idle = Raw::connect(scene.server.address()).await;
    idle.send("GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n")
        .await;
    assert_eq!(idle.answer().await.unwrap().status, 200);
    idle.closed().await;
}

#[tokio::test]
async fn a_body_that_does_not_come_is_not_waited_for_and_holds_nobody_up() {
    let scene = impatient().await;
    let delivery = scene.github.ping();
    let mut slow = Raw::connect(scene.server.address()).await;
    slow.send(head(&delivery, "content-length: 40000")).await;
    slow.send("{\"zen\"").await;
    assert_others_are_served(&scene).await;
    assert_eq!(slow.answer().await.unwrap().status, 408);
    slow.closed().await;
}

#[tokio::test]
async fn a_body_that_is_announced_too_long_is_refused_before_it_comes() {
    let scene = impatient().await;
    let mut long = Raw::connect(scene.server.address()).await;
    long.send(head(&scene.github.ping(), "content-length: 50001"))
        .await;
    assert_eq!(long.answer().await.unwrap().status, 413);
}

#[tokio::test]
async fn a_body_without_an_end_is_cut_off_at_the_limit() {
    let scene = impatient().await;
    let mut endless = Raw::connect(scene.server.address()).await;
    endless
        .send(head(&scene.github.ping(), "transfer-encoding: chunked"))
        .await;
    let chunk = format!("1000\r\n{}\r\n", "x".repeat(0x1000));
    let mut sent = 0;
    while sent < 10_000 && endless.send(&chunk).await {
        sent += 1;
    }
    assert!(sent < 10_000, "40 MB were taken where 50 kB are the limit");
    assert_others_are_served(&scene).await;
}

#[tokio::test]
async fn a_body_that_nobody_asked_for_is_not_read_for_ever() {
    let scene = impatient().await;
    let mut endless = Raw::connect(scene.server.address()).await;
    endless
        .send("GET /healthz HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n")
        .await;
    let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
    let mut sent = 0;
    while sent < 10_000 && endless.send(&chunk).await {
        sent += 1;
    }
    assert!(sent < 10_000, "the server reads on and on");
}

#[tokio::test]
async fn huge_and_countless_headers_are_refused() {
    let scene = impatient().await;
    let huge = format!("x-huge: {}\r\n", "x".repeat(100_000));
    let countless = "x-one: of many\r\n".repeat(500);
    for headers in [huge, countless] {
        let mut greedy = Raw::connect(scene.server.address()).await;
        greedy
            .send(format!(
                "GET /healthz HTTP/1.1\r\nhost: localhost\r\n{headers}\r\n"
            ))
            .await;
        // Cut off in the middle of so much, it may not get to read the answer.
        if let Some(answer) = greedy.answer().await {
            assert_eq!(answer.status, 431, "{}", answer.head);
        }
    }
    assert_others_are_served(&scene).await;
}

#[tokio::test]
async fn who_shuts_down_in_the_middle_is_let_go() {
    let scene = impatient().await;
    let mut gone = Raw::connect(scene.server.address()).await;
    gone.send(head(&scene.github.ping(), "content-length: 40000"))
        .await;
    gone.finish().await;
    gone.closed().await;
}

#[tokio::test]
async fn a_thousand_silent_connections_do_not_keep_anybody_out() {
    let scene = impatient().await;
    let address = scene.server.address();
    let mut silent = Vec::new();
    for round in 0..10 {
        let more: Vec<Raw> = stream::iter(0..100)
            .map(|_| Raw::connect(address))
            .buffer_unordered(20)
            .collect()
            .await;
        silent.extend(more);
        assert_others_are_served(&scene).await;
        assert_eq!(silent.len(), (round + 1) * 100);
    }
    for connection in &mut silent {
        connection.closed().await;
    }
}
