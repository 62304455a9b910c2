//! No secret is ever told: the whole flow with distinctive ones, everything logged, failures forced,
//! and then every place searched in which one could have been left.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::sync::{Mutex, mpsc};

use crate::greeting;
use crate::support::github_model::{Answer, Fault, TOKEN, WEBHOOK_SECRET};
use crate::support::patience::{PATIENCE, eventually};
use crate::support::scene::{Scene, Stage, WRITER};
use crate::support::server::Server;

/// What an agent logs in with; only its own environment may hold it.
const CREDENTIAL: &str = "sk-ant-0123456789-distinctive";
const OLD_WEBHOOK_SECRET: &str = "the secret before this one";

/// A git remote over HTTP that refuses everybody and repeats what it was told, as some proxies do.
pub(crate) struct RefusingRemote {
    address: std::net::SocketAddr,
    tokens: Mutex<mpsc::UnboundedReceiver<String>>,
}

impl RefusingRemote {
    pub(crate) async fn start() -> Self {
        let (sender, tokens) = mpsc::unbounded_channel();
        let app = Router::new().fallback(refuse).with_state(sender);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self {
            address,
            tokens: Mutex::new(tokens),
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/octo/two.git", self.address)
    }

    /// The token of the next request, waited for.
    pub(crate) async fn next_token(&self) -> String {
        let mut tokens = self.tokens.lock().await;
        let next = tokio::time::timeout(PATIENCE, tokens.recv()).await;
        next.expect("git asks the remote").unwrap()
    }
}

async fn refuse(
    State(tokens): State<mpsc::UnboundedSender<String>>,
    request: Request,
) -> (StatusCode, [(&'static str, &'static str); 1], String) {
    let header = request.headers().get("authorization");
    let header = header
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let pair = header
        .strip_prefix("Basic ")
        .and_then(|encoded| STANDARD.decode(encoded).ok())
        .and_then(|pair| String::from_utf8(pair).ok())
        .unwrap_or_default();
    let token = pair.rsplit(':').next().unwrap_or_default().to_owned();
    let said = format!("no entry with {header}, which is {token}\n");
    // The test may be over.
    tokens.send(token).ok();
    (
        StatusCode::FORBIDDEN,
        [("content-type", "text/plain")],
        said,
    )
}

/// Looks at every process again and again: arguments of all, environments of those that have no
/// business with a secret.
struct Watch {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<(BTreeSet<String>, usize)>,
}

impl Watch {
    /// `secrets` must stand in no process's arguments.
    fn begin(secrets: &[String]) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, secrets) = (Arc::clone(&stop), secrets.to_vec());
        let thread = std::thread::spawn(move || {
            let (mut found, mut looks) = (BTreeSet::new(), 0);
            while !stopped.load(Ordering::Relaxed) {
                looks += 1;
                for process in std::fs::read_dir("/proc").unwrap().flatten() {
                    let arguments =
                        std::fs::read(process.path().join("cmdline")).unwrap_or_default();
                    let arguments = String::from_utf8_lossy(&arguments).replace('\0', " ");
                    if secrets.iter().any(|secret| arguments.contains(secret)) {
                        found.insert(arguments);
                    }
                }
            }
            (found, looks)
        });
        Self { stop, thread }
    }

    fn end(self) -> BTreeSet<String> {
        self.stop.store(true, Ordering::Relaxed);
        let (found, looks) = self.thread.join().unwrap();
        assert!(looks > 10, "the processes were looked at {looks} times");
        found
    }
}

/// Every file below `folder`.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_symlink() {
            continue;
        }
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.is_file() {
            found.push(path);
        }
    }
    found
}

/// Which of `secrets` stand in `bytes`.
fn told(bytes: &[u8], secrets: &[String]) -> Vec<String> {
    let text = String::from_utf8_lossy(bytes);
    let holds = |secret: &&String| text.contains(secret.as_str());
    secrets.iter().filter(holds).cloned().collect()
}

/// The two kinds of files that are there to hold a secret, and what each may hold.
fn may_hold(path: &Path, secret: &str, api_token: &str) -> bool {
    match path.file_name().and_then(|name| name.to_str()) {
        Some("server.json") => secret == api_token,
        Some("spec.json") => secret == CREDENTIAL,
        Some(_) | None => false,
    }
}

fn assert_files_tell_nothing(folder: &Path, secrets: &[String], api_token: &str) {
    let files = files(folder);
    assert!(files.len() > 20, "there is something to search: {files:?}");
    for file in files {
        let told = told(&std::fs::read(&file).unwrap_or_default(), secrets);
        let shown = file.display();
        for secret in &told {
            assert!(may_hold(&file, secret, api_token), "{shown} tells {secret}");
        }
        if !told.is_empty() {
            let mode = std::fs::metadata(&file).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{shown} holds a secret");
        }
    }
}

fn base64(token: &str) -> String {
    STANDARD.encode(format!("x-access-token:{token}"))
}

/// The flow of two attempts, with a forge that repeats the token in its refusals.
async fn tell_the_story(scene: &Scene) -> u64 {
    let echo = |status| Fault::Instead(Answer::new(status, &format!("no entry with {TOKEN}")));
    scene.github.fail_next("POST", "/statuses/", echo(422));
    scene.github.fail_next("POST", "/comments", echo(500));
    let story = scene.start_story(greeting::TITLE, greeting::BODY).await;
    scene.wait_for_stage(story, "done").await;
    story
}

/// The forge cannot be reached, in the ways in which errors tend to repeat what was sent.
async fn lose_the_forge(scene: &mut Scene, stories: &[u64]) {
    let address = scene.github.url().replace("http://", "https://");
    for (api_url, story) in ["http://127.0.0.1:1", &address].into_iter().zip(stories) {
        scene.server.stop().await;
        let variables = [
            ("HUSKIES_FORGE_GITHUB_API_URL", api_url),
            ("RUST_LOG", "trace"),
            ("ANTHROPIC_API_KEY", CREDENTIAL),
        ];
        scene.server.restart_with(&variables).await;
        let before = scene.server.log().matches("trying again").count();
        let label = scene.github.label(*story, "huskies", WRITER);
        scene.accepted(&label).await;
        eventually("the forge is missed", || {
            scene.server.log().matches("trying again").count() > before
        })
        .await;
    }
}

fn assert_log_tells_nothing(scene: &Scene, secrets: &[String]) {
    let log = scene.server.log();
    assert_eq!(told(log.as_bytes(), secrets), Vec::<String>::new());
    assert!(log.contains("TRACE"), "everything is logged");
    assert!(
        log.contains("no entry with Basic [secret], which is [secret]"),
        "git's complaint is in the log"
    );
}

/// The user's clone, the home folder, a gate, and the forge with the URLs that it was asked for.
fn assert_others_see_nothing(scene: &Scene, secrets: &[String]) {
    for folder in ["app", "home"] {
        for file in files(&scene.folder().join(folder)) {
            let told = told(&std::fs::read(&file).unwrap_or_default(), secrets);
            assert_eq!(told, Vec::<String>::new(), "{}", file.display());
        }
    }
    let seen = std::fs::read(scene.agent.file("seen-by-a-gate")).unwrap();
    assert!(!seen.is_empty());
    assert_eq!(told(&seen, secrets), Vec::<String>::new(), "a gate");
    let requests = scene.github.requests();
    assert!(requests.iter().any(|request| request.body.is_some()));
    for request in requests {
        let shown = format!("{request:?}");
        let told = told(shown.as_bytes(), secrets);
        assert_eq!(told, Vec::<String>::new(), "{shown}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_is_told_anywhere_whatever_fails() {
    let stage = Stage::new();
    greeting::teach(&stage.agent);
    let project = greeting::project(&stage).gate(
        "looks",
        &format!(
            "for p in /proc/[0-9]*; do tr '\\0' ' ' < $p/cmdline; done > {} 2>/dev/null; env >> {0}",
            stage.agent.file("seen-by-a-gate").display()
        ),
    );
    let remote_that_refuses = RefusingRemote::start().await;
    let (remote, config) = stage.prepare(&project);
    let config = config.also("octo/two", &remote_that_refuses.url());
    let variables = [("RUST_LOG", "trace"), ("ANTHROPIC_API_KEY", CREDENTIAL)];
    let launched = Server::launch(stage.folder(), &config, &variables).await;
    let server = launched.unwrap_or_else(|status| panic!("the server ended with {status}"));
    let mut scene = stage.with(remote, server);
    let api_token = Server::api_token(&scene.data_dir());
    let mut secrets: Vec<String> = [
        TOKEN,
        WEBHOOK_SECRET,
        OLD_WEBHOOK_SECRET,
        CREDENTIAL,
        &api_token,
    ]
    .map(str::to_owned)
    .to_vec();
    secrets.push(base64(TOKEN));
    let watch = Watch::begin(&secrets);

    assert_eq!(
        remote_that_refuses.next_token().await,
        TOKEN,
        "git was given it"
    );
    tell_the_story(&scene).await;
    let more = [
        scene.github.add_issue("Another", "", WRITER),
        scene.github.add_issue("And another", "", WRITER),
    ];
    scene.github.fail_next(
        "GET",
        "/collaborators/",
        Fault::Instead(Answer::new(401, &format!("no entry with {TOKEN}"))),
    );
    let stranger = scene.github.add_issue("By a stranger", "", "eve");
    let label = scene.github.label(stranger, "huskies", "eve");
    scene.accepted(&label).await;
    eventually("the refused token is in the log", || {
        scene.server.log().contains("no entry with [secret])")
    })
    .await;
    lose_the_forge(&mut scene, &more).await;
    let second_token = Server::api_token(&scene.data_dir());
    scene.server.kill_9().await;

    assert_eq!(
        watch.end(),
        BTreeSet::new(),
        "in the arguments of a process"
    );
    secrets.push(second_token.clone());
    assert_log_tells_nothing(&scene, &secrets);
    assert_files_tell_nothing(&scene.data_dir(), &secrets, &second_token);
    assert_others_see_nothing(&scene, &secrets);
}
