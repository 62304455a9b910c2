//! Who is let in where: by raw requests, as a proxy, a page of another site, or a name that was
//! made to point here would send them.

use std::net::SocketAddr;

use crate::greeting;
use crate::support::raw::{RawAnswer, ask};
use crate::support::scene::{Scene, Stage};
use crate::support::server::Server;

struct Api {
    scene: Scene,
    address: SocketAddr,
    token: String,
}

impl Api {
    async fn serve() -> Self {
        let stage = Stage::new();
        let project = greeting::project(&stage);
        let scene = stage.serve(&project).await;
        Self {
            address: scene.server.address(),
            token: Server::api_token(&scene.data_dir()),
            scene,
        }
    }

    async fn ask(&self, request: &str, headers: &[&str], body: &str) -> RawAnswer {
        let mut lines = vec![request];
        lines.extend(headers);
        let answer = ask(self.address, &lines.join("\r\n"), body).await;
        answer.unwrap_or_else(|| panic!("no answer to {lines:?}"))
    }

    /// The status of a look at the stories.
    async fn look(&self, headers: &[&str]) -> u16 {
        let answer = self.ask("GET /api/stories HTTP/1.1", headers, "").await;
        let is_told = answer.json().is_array();
        assert_eq!(is_told, answer.status == 200, "{}", answer.body);
        answer.status
    }

    fn host(&self) -> String {
        format!("Host: {}", self.address)
    }

    fn bearer(&self) -> String {
        format!("Authorization: Bearer {}", self.token)
    }
}

#[tokio::test]
async fn this_machine_may_look_under_its_own_names() {
    let api = Api::serve().await;
    let port = api.address.port();
    for host in ["127.0.0.1", "localhost", "LocalHost", "[::1]", "127.0.0.2"] {
        assert_eq!(
            api.look(&[&format!("Host: {host}:{port}")]).await,
            200,
            "{host}"
        );
        assert_eq!(api.look(&[&format!("Host: {host}")]).await, 200, "{host}");
    }
}

#[tokio::test]
async fn a_name_that_was_made_to_point_here_opens_nothing() {
    let api = Api::serve().await;
    let port = api.address.port();
    for host in [
        "evil.example",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "0.0.0.0",
        "",
    ] {
        assert_eq!(
            api.look(&[&format!("Host: {host}:{port}")]).await,
            403,
            "{host}"
        );
    }
    assert_eq!(api.look(&[&api.host(), "Host: evil.example"]).await, 403);
    assert_eq!(api.look(&["Host: evil.example", &api.host()]).await, 403);
    let absolute = "GET http://evil.example/api/stories HTTP/1.1";
    assert_eq!(api.ask(absolute, &[&api.host()], "").await.status, 403);
    let nameless = api
        .ask("GET /api/stories HTTP/1.0", &["Accept: */*"], "")
        .await;
    assert_eq!(nameless.status, 403);
    assert_eq!(
        api.look(&["Host: evil.example", &api.bearer()]).await,
        200,
        "the token opens it"
    );
}

#[tokio::test]
async fn behind_a_proxy_nobody_is_this_machine() {
    let api = Api::serve().await;
    for forwarded in [
        "Forwarded: for=192.0.2.1",
        "X-Forwarded-For: 127.0.0.1",
        "X-Forwarded-Host: localhost",
        "x-forwarded-proto: https",
        "X-Real-IP: 127.0.0.1",
        "Via: 1.1 proxy",
    ] {
        assert_eq!(
            api.look(&[&api.host(), forwarded]).await,
            403,
            "{forwarded}"
        );
        let with_token = [&api.host(), forwarded, &api.bearer()];
        assert_eq!(api.look(&with_token).await, 200, "{forwarded}");
    }
}

#[tokio::test]
async fn pages_of_other_sites_get_nothing_whatever_they_bring() {
    let api = Api::serve().await;
    let host = api.host();
    let own = format!("Origin: http://{}", api.address);
    for page in [
        "Origin: https://evil.example",
        "Origin: null",
        "Origin: http://localhost:1",
        "Sec-Fetch-Site: cross-site",
        "Sec-Fetch-Site: same-site",
    ] {
        assert_eq!(api.look(&[&host, page]).await, 403, "{page}");
        assert_eq!(api.look(&[&host, page, &api.bearer()]).await, 403, "{page}");
    }
    assert_eq!(
        api.look(&[&host, &own, "Sec-Fetch-Site: same-origin"])
            .await,
        200
    );
    assert_eq!(api.look(&[&host, "Sec-Fetch-Site: none"]).await, 200);
}

#[tokio::test]
async fn no_other_site_is_ever_told_that_it_may() {
    let api = Api::serve().await;
    let host = api.host();
    let preflight = [
        host.as_str(),
        "Origin: https://evil.example",
        "Access-Control-Request-Method: POST",
        "Access-Control-Request-Headers: authorization, content-type",
    ];
    for path in [
        "/api/stories",
        "/api/stories/octo/app/1/start",
        "/webhooks/github",
    ] {
        let answer = api
            .ask(&format!("OPTIONS {path} HTTP/1.1"), &preflight, "")
            .await;
        assert!(answer.status >= 400, "{path}: {}", answer.head);
        assert!(!answer.head.contains("access-control"), "{}", answer.head);
    }
    let look = api.ask("GET /api/stories HTTP/1.1", &[&host], "").await;
    assert!(!look.head.contains("access-control"), "{}", look.head);
}

#[tokio::test]
async fn changing_anything_takes_the_token_and_json() {
    let api = Api::serve().await;
    let (host, bearer) = (api.host(), api.bearer());
    let json = "Content-Type: application/json";
    let start = "POST /api/stories/octo/app/1/start HTTP/1.1";
    let status = async |headers: &[&str]| api.ask(start, headers, "{}").await.status;
    assert_eq!(status(&[&host, json]).await, 401);
    let almost = &bearer[..bearer.len() - 1];
    for wrong in [
        almost,
        "Authorization: Bearer ",
        "Authorization: Basic eDp5",
        "Authorization: Bearer é",
    ] {
        assert_eq!(status(&[&host, json, wrong]).await, 401, "{wrong}");
    }
    assert_eq!(status(&[&host, &bearer]).await, 415);
    for form in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data",
    ] {
        let content_type = format!("Content-Type: {form}");
        assert_eq!(
            status(&[&host, &bearer, &content_type]).await,
            415,
            "{form}"
        );
    }
    let page = "Origin: https://evil.example";
    assert_eq!(status(&[&host, &bearer, json, page]).await, 403);
    assert!(api.scene.github.writes().is_empty());
    // Let in, and told that there is no such issue.
    assert_eq!(status(&[&host, &bearer, json]).await, 404);
}

#[tokio::test]
async fn answers_say_nothing_about_the_inside() {
    let api = Api::serve().await;
    let (host, bearer) = (api.host(), api.bearer());
    let json = "Content-Type: application/json";
    let mut answers = Vec::new();
    for request in [
        "GET / HTTP/1.1",
        "GET /healthz HTTP/1.1",
        "GET /readyz HTTP/1.1",
        "PUT /api/stories HTTP/1.1",
        "GET /api/nowhere HTTP/1.1",
        "GET /api/stories?repo=.. HTTP/1.1",
        "GET /api/stories/octo/app/x HTTP/1.1",
        "GET /api/stories/octo/app/1 HTTP/1.1",
        "GET /api/stories/octo/app/1/log?attempt=x HTTP/1.1",
        "GET /api/stories/octo/..%2f..%2fetc/1/log HTTP/1.1",
        "POST /api/stories/octo/app/1/explode HTTP/1.1",
        "POST /api/stories/octo/app/1/start HTTP/1.1",
        "POST /api/repos/octo/app/issues HTTP/1.1",
        "POST /webhooks/github HTTP/1.1",
        "GET /%00 HTTP/1.1",
        "BREW / HTTP/1.1",
        "nonsense",
    ] {
        answers.push(api.ask(request, &[&host, &bearer, json], "{").await);
    }
    let folder = api.scene.folder().display().to_string();
    let inside = [
        &folder,
        env!("CARGO_PKG_VERSION"),
        "src/",
        ".rs",
        "sqlx",
        "sqlite",
        "axum",
        "hyper",
        "panicked",
    ];
    for answer in answers {
        let said = format!("{}\n{}", answer.head, answer.body);
        assert_eq!(answer.header("server"), None, "{said}");
        for word in inside {
            assert!(!said.contains(word), "`{word}` in {said}");
        }
    }
}
