//! The model of GitHub that other tests trust: it must say no where GitHub says no.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::github_model::{
    Answer, Fault, GithubModel, OWN_LOGIN, TOKEN, WEBHOOK_SECRET, send,
};

const SHA: &str = "6113728f27ae82c7b1a177c8d03f9e96e0adf246";

/// One request with the model's token; the status and the JSON of the answer.
async fn ask(
    model: &GithubModel,
    method: Method,
    path: &str,
    body: Option<Value>,
) -> (StatusCode, Value) {
    let mut request = reqwest::Client::new()
        .request(method, format!("{}{path}", model.url()))
        .header("user-agent", "a test")
        .bearer_auth(TOKEN);
    if let Some(body) = body {
        request = request.json(&body);
    }
    let response = request.send().await.unwrap();
    (response.status(), response.json().await.unwrap())
}

#[tokio::test]
async fn a_route_that_is_not_known_is_a_violation() {
    let model = GithubModel::start("octo/app");
    assert_eq!(
        ask(&model, Method::GET, "/repos/octo/app/milestones", None)
            .await
            .0,
        404
    );
    assert_eq!(
        ask(&model, Method::PUT, "/repos/octo/app/issues/1", None)
            .await
            .0,
        404
    );
    assert_eq!(
        model.take_violations(),
        [
            "GET /repos/octo/app/milestones",
            "PUT /repos/octo/app/issues/1"
        ]
    );
    model.assert_clean();
}

#[tokio::test]
async fn a_wrong_token_is_refused_and_a_missing_user_agent_too() {
    let model = GithubModel::start("octo/app");
    let url = format!("{}/user", model.url());
    let client = reqwest::Client::new();
    let wrong = client
        .get(&url)
        .header("user-agent", "a test")
        .bearer_auth("ghp_other")
        .send()
        .await
        .unwrap();
    assert_eq!(wrong.status(), 401);
    let anonymous = client.get(&url).bearer_auth(TOKEN).send().await.unwrap();
    assert_eq!(anonymous.status(), 403);
    assert_eq!(
        ask(&model, Method::GET, "/api/v3/user", None).await.1["login"],
        OWN_LOGIN
    );
}

#[tokio::test]
async fn statuses_obey_the_documented_limits() {
    let model = GithubModel::start("octo/app");
    model.lift_limits_on_pace();
    let path = format!("/repos/octo/app/statuses/{SHA}");
    let post = async |status: Value| {
        ask(&model, Method::POST, &path, Some(status))
            .await
            .0
            .as_u16()
    };
    assert_eq!(
        post(json!({ "state": "success", "description": "x".repeat(141) })).await,
        422
    );
    assert_eq!(post(json!({ "state": "fine" })).await, 422);
    assert_eq!(
        post(json!({ "state": "error", "target_url": "file:///etc" })).await,
        422
    );
    for _ in 0..1_000 {
        assert_eq!(
            post(json!({ "state": "pending", "context": "huskies/gates" })).await,
            201
        );
    }
    assert_eq!(
        post(json!({ "state": "success", "context": "Huskies/Gates" })).await,
        422
    );
    assert_eq!(
        post(json!({ "state": "success", "context": "huskies/merge" })).await,
        201
    );
    assert_eq!(model.all_statuses().len(), 1_001);
    assert_eq!(model.statuses(SHA).last().unwrap().context, "huskies/merge");
}

#[tokio::test]
async fn a_status_needs_a_commit_that_the_remote_has() {
    let folder = tempfile::tempdir().unwrap();
    let repository = git2::Repository::init_bare(folder.path()).unwrap();
    let author = git2::Signature::new("Ada", "ada@example.com", &git2::Time::new(0, 0)).unwrap();
    let tree = repository
        .find_tree(repository.treebuilder(None).unwrap().write().unwrap())
        .unwrap();
    let commit = repository
        .commit(None, &author, &author, "First", &tree, &[])
        .unwrap();
    let model = GithubModel::start("octo/app");
    model.serve_commits_of(folder.path());

    let status = Some(json!({ "state": "success" }));
    let unknown = ask(
        &model,
        Method::POST,
        &format!("/repos/octo/app/statuses/{SHA}"),
        status.clone(),
    )
    .await;
    assert_eq!(unknown.0, 422);
    assert_eq!(
        unknown.1["message"],
        format!("No commit found for SHA: {SHA}")
    );
    let known = ask(
        &model,
        Method::POST,
        &format!("/repos/octo/app/statuses/{commit}"),
        status,
    )
    .await;
    assert_eq!(
        (known.0.as_u16(), &known.1["context"]),
        (201, &json!("default"))
    );
}

#[tokio::test]
async fn a_fault_strikes_once_and_may_strike_after_the_effect() {
    let model = GithubModel::start("octo/app");
    let number = model.add_issue("A door", "squeaks", "ada");
    let path = format!("/repos/octo/app/issues/{number}/comments");
    let body = Some(json!({ "body": "Hello" }));
    let broken = Answer::new(502, "Server Error");
    model.fail_next("POST", "/comments", Fault::Instead(broken.clone()));
    model.fail_next(
        "POST",
        "/comments",
        Fault::AfterEffect(broken.header("retry-after", "7")),
    );

    assert_eq!(ask(&model, Method::POST, &path, body.clone()).await.0, 502);
    assert_eq!(model.comments(number).len(), 0);
    assert_eq!(ask(&model, Method::POST, &path, body.clone()).await.0, 502);
    assert_eq!(model.comments(number).len(), 1);
    assert_eq!(ask(&model, Method::POST, &path, body).await.0, 201);
    assert_eq!(model.writes().len(), 3);
    assert_eq!(model.writes()[0].body, Some(json!({ "body": "Hello" })));
}

#[tokio::test]
async fn the_rate_limit_runs_out() {
    let model = GithubModel::start("octo/app");
    model.set_rate_limit_remaining(1);
    assert_eq!(ask(&model, Method::GET, "/user", None).await.0, 200);
    assert_eq!(ask(&model, Method::GET, "/user", None).await.0, 403);
}

#[tokio::test]
async fn comments_come_in_pages() {
    let model = GithubModel::start("octo/app");
    let number = model.add_issue("A door", "", "ada");
    for n in 0..5 {
        model.comment(number, &format!("Comment {n}"), "ada");
    }
    let path = format!("/repos/octo/app/issues/{number}/comments?per_page=2&page=3");
    let (_, page) = ask(&model, Method::GET, &path, None).await;
    assert_eq!(page.as_array().unwrap().len(), 1);
    assert_eq!(page[0]["body"], "Comment 4");
}

#[test]
fn changes_move_the_time_and_are_told_as_github_tells_them() {
    let model = GithubModel::start("octo/app");
    let number = model.add_issue("A door", "squeaks", "ada");
    let before = model.now();
    let labeled = model.label(number, "huskies", "bob").payload();
    assert_eq!(labeled["action"], "labeled");
    assert_eq!(labeled["label"]["name"], "huskies");
    assert_eq!(labeled["issue"]["labels"][0]["name"], "huskies");
    assert_eq!(labeled["sender"]["login"], "bob");
    assert_eq!(
        labeled["issue"]["updated_at"],
        (before + Duration::from_secs(1)).to_string()
    );
    assert_eq!(model.labels(number), ["huskies"]);

    assert_eq!(
        model.unlabel(number, "huskies", "bob").payload()["action"],
        "unlabeled"
    );
    assert_eq!(
        model.close(number, "bob").payload()["issue"]["state"],
        "closed"
    );
    assert_eq!(
        model.reopen(number, "bob").payload()["issue"]["closed_at"],
        Value::Null
    );
    assert_eq!(
        model.edit_issue(number, "creaks", "ada").payload()["issue"]["body"],
        "creaks"
    );
    let comment = model.comment(number, "Which door?", "bob");
    model.edit_comment(comment, "Which of them?");
    assert_eq!(model.comments(number)[0].body, "Which of them?");
    model.delete_comment(comment);
    assert!(model.comments(number).is_empty());

    model.advance(Duration::from_mins(10));
    assert!(model.now() > before + Duration::from_mins(10));
    let push = model.push("main", Some(SHA), None, "ada").payload();
    assert_eq!(
        (&push["deleted"], &push["head_commit"]),
        (&json!(true), &Value::Null)
    );
    assert_eq!(model.ping().event, "ping");
}

#[tokio::test]
async fn a_change_by_the_token_is_delivered_as_well() {
    let model = GithubModel::start("octo/app");
    let number = model.add_issue("A door", "", "ada");
    let labels = Some(json!({ "labels": ["stage:coding"] }));
    ask(
        &model,
        Method::POST,
        &format!("/repos/octo/app/issues/{number}/labels"),
        labels,
    )
    .await;
    let own = model.take_own_deliveries();
    assert_eq!(own.len(), 1);
    assert_eq!(own[0].payload()["sender"]["login"], OWN_LOGIN);
    assert!(model.take_own_deliveries().is_empty());
    assert_eq!(model.requests().len(), 1);
}

#[tokio::test]
async fn waiting_ends_with_the_change_that_was_waited_for() {
    let model = GithubModel::start("octo/app");
    let number = model.add_issue("A door", "", "ada");
    let body = Some(json!({ "body": "Hello" }));
    let path = format!("/repos/octo/app/issues/{number}/comments");
    let ((), (status, _)) = tokio::join!(
        model.eventually("a comment", |model| !model.comments(number).is_empty()),
        ask(&model, Method::POST, &path, body)
    );
    assert_eq!(status, 201);
}

#[tokio::test]
async fn a_delivery_reaches_a_receiver_with_the_headers_of_github() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base_url = format!("http://{}", listener.local_addr().unwrap());
    let echo = async |headers: http::HeaderMap| {
        let signature = headers["x-hub-signature-256"].to_str().unwrap().to_owned();
        axum::Json(
            json!({ "event": headers["x-github-event"].to_str().unwrap(), "signature": signature }),
        )
    };
    let router = axum::Router::new().route("/webhooks/github", axum::routing::post(echo));
    let model = GithubModel::start("octo/app");
    let delivery = model.delivery("star", &json!({ "action": "created" }));
    let receipt = tokio::select! {
        receipt = send(&base_url, &delivery) => receipt,
        served = async { axum::serve(listener, router).await } => panic!("the receiver stopped: {served:?}"),
    };
    assert_eq!(
        (receipt.status, &receipt.body["event"]),
        (200, &json!("star"))
    );
    assert_eq!(
        receipt.body["signature"],
        delivery.signature.clone().unwrap()
    );
    assert_eq!(
        delivery.clone().signed_with(WEBHOOK_SECRET).signature,
        delivery.signature
    );
    assert_ne!(
        delivery.clone().signed_with("another").signature,
        delivery.signature
    );
}

#[tokio::test]
async fn a_role_is_told_in_both_of_githubs_words() {
    let model = GithubModel::start("octo/app");
    model.set_permission("mia", "maintain");
    let path = "/repos/octo/app/collaborators/mia/permission";
    let (_, answer) = ask(&model, Method::GET, path, None).await;
    assert_eq!(
        (&answer["permission"], &answer["role_name"]),
        (&json!("write"), &json!("maintain"))
    );
    assert_eq!(
        (
            model.requests()[0].path.as_str(),
            &model.requests()[0].query
        ),
        (path, &None)
    );
    let stranger = "/repos/octo/app/collaborators/stranger/permission";
    assert_eq!(ask(&model, Method::GET, stranger, None).await.0, 404);
}

#[tokio::test]
async fn too_many_changes_within_a_minute_meet_the_secondary_limit() {
    let model = GithubModel::start("octo/app");
    let path = format!("/repos/octo/app/statuses/{SHA}");
    let post = async || {
        let status = json!({ "state": "pending", "context": "huskies/gates" });
        ask(&model, Method::POST, &path, Some(status)).await.0
    };
    for _ in 0..180 {
        assert_eq!(post().await.as_u16(), 201);
    }
    assert_eq!(post().await.as_u16(), 403, "900 points are used up");
}

#[tokio::test]
async fn too_many_comments_within_a_minute_meet_the_secondary_limit() {
    let model = GithubModel::start("octo/app");
    let number = model.add_issue("A door", "", "ada");
    let path = format!("/repos/octo/app/issues/{number}/comments");
    for _ in 0..80 {
        let body = Some(json!({ "body": "Hello" }));
        assert_eq!(ask(&model, Method::POST, &path, body).await.0, 201);
    }
    let body = Some(json!({ "body": "Hello" }));
    let (status, answer) = ask(&model, Method::POST, &path, body).await;
    assert_eq!(status, 403);
    assert!(answer["message"].as_str().unwrap().contains("secondary"));
    assert_eq!(model.comments(number).len(), 80);
}

#[tokio::test]
async fn check_runs_are_for_apps_alone() {
    let model = GithubModel::start("octo/app");
    let body = json!({ "name": "huskies/gates", "head_sha": SHA });
    let path = "/repos/octo/app/check-runs";
    let (status, refusal) = ask(&model, Method::POST, path, Some(body)).await;
    assert_eq!(status, 403);
    assert_eq!(
        refusal["message"],
        "You must authenticate via a GitHub App."
    );
    let listed = format!("/repos/octo/app/commits/{SHA}/check-runs");
    let (status, found) = ask(&model, Method::GET, &listed, None).await;
    assert_eq!((status.as_u16(), &found["total_count"]), (200, &json!(0)));
}

#[tokio::test]
async fn a_check_run_that_github_would_not_take_is_refused() {
    let model = GithubModel::start("octo/app");
    model.install_app();
    model.add_token("ghs_of_the_app");
    let post = async |body: Value| {
        let url = format!("{}/repos/octo/app/check-runs", model.url());
        let request = reqwest::Client::new().post(url).json(&body);
        let request = request
            .header("user-agent", "a test")
            .bearer_auth("ghs_of_the_app");
        request.send().await.unwrap().status().as_u16()
    };
    let with = |field: &str, value: Value| {
        let mut body = json!({ "name": "huskies/gates", "head_sha": SHA });
        body[field] = value;
        body
    };
    let output = |summary: &str, annotations: Value| {
        let output = json!({ "title": "T", "summary": summary, "annotations": annotations });
        with("output", output)
    };
    let annotation = json!({
        "path": "a.c", "start_line": 1, "end_line": 1, "annotation_level": "failure", "message": "M",
    });
    let many = |count: usize| json!(vec![annotation.clone(); count]);
    let two_lines = json!([{
        "path": "a.c", "start_line": 1, "end_line": 2, "start_column": 1,
        "annotation_level": "failure", "message": "M",
    }]);
    for (body, status) in [
        (with("status", json!("queued")), 201),
        (with("status", json!("pending")), 422),
        (with("status", json!("completed")), 422),
        (with("conclusion", json!("stale")), 422),
        (with("conclusion", json!("success")), 422),
        (with("output", json!({ "title": "T" })), 422),
        (output(&"é".repeat(65_535), json!([])), 201),
        (output(&"é".repeat(65_536), json!([])), 422),
        (output("S", many(50)), 201),
        (output("S", many(51)), 422),
        (output("S", two_lines), 422),
        (json!({ "head_sha": SHA }), 422),
        (json!({ "name": "N" }), 422),
    ] {
        assert_eq!(post(body.clone()).await, status, "{body}");
    }
}
