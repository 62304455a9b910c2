//! The socket, and what happens to every request before and after its route: it is recorded,
//! checked for a token, counted against the rate limit, and may meet a fault.

use std::net::TcpListener;
use std::sync::Arc;
use std::thread::JoinHandle;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State as Extracted};
use axum::http::request::Parts;
use axum::http::{HeaderValue, Response, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use sha2::{Digest, Sha256};
use tokio::sync::oneshot;

use super::Shared;
use super::app::is_for_apps;
use super::ci::LOGS;
use super::fault::{Answer, Fault};
use super::routes;
use super::state::{RecordedRequest, State};

const RATE_LIMIT: u32 = 5_000;

/// The thread that serves the model.
pub(super) struct Server {
    url: String,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    pub(super) fn start(shared: &Arc<Shared>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("a bound socket"));
        listener
            .set_nonblocking(true)
            .expect("a socket that can be polled");
        let (stop, stopped) = oneshot::channel();
        let router = router(shared);
        let thread = std::thread::spawn(move || serve(listener, router, stopped));
        Self {
            url,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// Cuts every connection and waits for the thread.
    pub(super) fn stop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the model's server does not panic");
        }
    }
}

fn serve(listener: TcpListener, router: Router, stopped: oneshot::Receiver<()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime for the model");
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::from_std(listener).expect("a socket that can be polled");
        tokio::select! {
            served = axum::serve(listener, router) => served.expect("serving goes on until it is stopped"),
            // An error is the sender being dropped, which is how it is stopped.
            _ = stopped => {}
        }
    });
}

fn router(shared: &Arc<Shared>) -> Router {
    let api = routes::router(shared).layer(from_fn_with_state(Arc::clone(shared), attend));
    Router::new().nest("/api/v3", api.clone()).merge(api)
}

/// Everything that is the same for all routes.
async fn attend(
    Extracted(shared): Extracted<Arc<Shared>>,
    request: Request,
    next: Next,
) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX)
        .await
        .unwrap_or_default();
    let (number, admission) = {
        let mut state = shared.lock();
        (state.requests.len(), admit(&mut state, &parts, &body))
    };
    let asked_for = parts.headers.get("if-none-match").cloned();
    let request = Request::from_parts(parts, Body::from(body));
    let mut response = answer(admission, request, next).await;
    if response.status() == 200 {
        response = with_etag(response, asked_for.as_ref()).await;
    }
    let mut state = shared.lock();
    state.secondary.end();
    if response.status() == 304 {
        // Unchanged answers do not count.
        state.rate_limit_remaining += 1;
    }
    state.requests[number].answered = Some(response.status().as_u16());
    add_rate_limit(&state, &mut response);
    drop(state);
    shared.changed();
    response
}

async fn answer(admission: Admission, request: Request, next: Next) -> Response<Body> {
    match admission {
        Admission::Admitted(None) => next.run(request).await,
        Admission::Refused(answer) | Admission::Admitted(Some(Fault::Instead(answer))) => {
            answer.into_response()
        }
        Admission::Admitted(Some(Fault::AfterEffect(answer))) => {
            // The effect is what counts; its own answer is what gets lost.
            drop(next.run(request).await);
            answer.into_response()
        }
        Admission::Admitted(Some(Fault::CutAfterEffect)) => {
            drop(next.run(request).await);
            cut()
        }
        Admission::Admitted(Some(Fault::Slow(time))) => {
            tokio::time::sleep(time).await;
            next.run(request).await
        }
    }
}

/// A body that breaks off, and its connection with it.
fn cut() -> Response<Body> {
    let broken = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
    let parts = futures::stream::iter([Ok(Bytes::from_static(b"{")), Err(broken)]);
    Response::new(Body::from_stream(parts))
}

/// Every success can be asked for again on condition that it changed.
async fn with_etag(response: Response<Body>, asked_for: Option<&HeaderValue>) -> Response<Body> {
    let (mut parts, body) = response.into_parts();
    let Ok(body) = axum::body::to_bytes(body, usize::MAX).await else {
        return cut();
    };
    let link = parts.headers.get("link").map(HeaderValue::as_bytes);
    let mut hash = Sha256::new_with_prefix(&body);
    hash.update(link.unwrap_or_default());
    let etag = format!("W/\"{}\"", hex::encode(hash.finalize()));
    let etag = HeaderValue::try_from(etag).expect("hexadecimal is ASCII");
    let body = if asked_for == Some(&etag) {
        parts.status = StatusCode::NOT_MODIFIED;
        Body::empty()
    } else {
        Body::from(body)
    };
    parts.headers.insert("etag", etag);
    Response::from_parts(parts, body)
}

/// Whether a request reaches its route.
enum Admission {
    Refused(Answer),
    Admitted(Option<Fault>),
}

fn admit(state: &mut State, parts: &Parts, body: &Bytes) -> Admission {
    let (method, path) = (parts.method.as_str(), parts.uri.path());
    state.requests.push(RecordedRequest {
        method: method.to_owned(),
        path: path.to_owned(),
        query: parts.uri.query().map(str::to_owned),
        // An address that GitHub gives is none of its API.
        by_program: !path.starts_with(LOGS)
            && (parts.headers.get("user-agent")).is_some_and(|agent| agent == "octocrab"),
        body: serde_json::from_slice(body).ok(),
        answered: None,
    });
    let over = state.secondary.begin(method, path);
    if !parts.headers.contains_key("user-agent") {
        return Admission::Refused(Answer::new(
            403,
            "Request forbidden by administrative rules.",
        ));
    }
    let token = token_of(parts);
    if !state.accepts(path, &token) {
        return Admission::Refused(Answer::new(401, "Bad credentials"));
    }
    if !is_for_apps(path) && !path.starts_with(LOGS) {
        state.last_token = Some(token);
    }
    if state.rate_limit_remaining == 0 {
        return Admission::Refused(Answer::new(403, "API rate limit exceeded for user ID 1."));
    }
    state.rate_limit_remaining -= 1;
    if let Some(needed) = state.lacks(method, path) {
        let refusal = Answer::new(403, "Resource not accessible by personal access token");
        let needed = format!("{needed}=write");
        return Admission::Refused(refusal.header("x-accepted-github-permissions", &needed));
    }
    if let Some(refusal) = over {
        return Admission::Refused(refusal);
    }
    let fault = state.faults.next();
    Admission::Admitted(fault.or_else(|| state.faults.take(method, path)))
}

/// Empty when there is none.
fn token_of(parts: &Parts) -> String {
    let header = parts
        .headers
        .get("authorization")
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let token = ["Bearer ", "token "]
        .iter()
        .find_map(|scheme| header.strip_prefix(scheme));
    token.unwrap_or_default().to_owned()
}

/// A fault's own headers win.
fn add_rate_limit(state: &State, response: &mut Response<Body>) {
    let reset = state.now.as_second() + 3_600;
    let headers = [
        ("x-ratelimit-limit", i64::from(RATE_LIMIT)),
        (
            "x-ratelimit-remaining",
            i64::from(state.rate_limit_remaining),
        ),
        ("x-ratelimit-reset", reset),
        (
            "x-ratelimit-used",
            i64::from(RATE_LIMIT.saturating_sub(state.rate_limit_remaining)),
        ),
    ];
    for (name, value) in headers {
        response
            .headers_mut()
            .entry(name)
            .or_insert(HeaderValue::from(value));
    }
    if let Some(scopes) = &state.scopes {
        let scopes = HeaderValue::try_from(scopes).expect("scopes are ASCII");
        response.headers_mut().insert("x-oauth-scopes", scopes);
    }
    // The clock that `x-ratelimit-reset` is told by is the model's.
    let date = state.now.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
    let date = HeaderValue::try_from(date).expect("a date is ASCII");
    response.headers_mut().entry("date").or_insert(date);
}
