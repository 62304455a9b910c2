//! Secrets that change while the server runs: nothing is restarted, and nothing is refused that is
//! signed with a secret which is good at that moment.

use std::path::{Path, PathBuf};

use crate::greeting;
use crate::support::github_model::{TOKEN, WEBHOOK_SECRET};
use crate::support::scene::{Scene, Stage, WRITER};

/// The files that the server reads its secrets from.
struct Files {
    token: PathBuf,
    webhook: PathBuf,
}

impl Files {
    fn create(folder: &Path) -> Self {
        let files = Self {
            token: folder.join("token"),
            webhook: folder.join("webhook-secrets"),
        };
        replace(&files.token, TOKEN);
        replace(&files.webhook, WEBHOOK_SECRET);
        files
    }
}

/// Another file in the place of the old one, as careful people do it.
fn replace(file: &Path, text: &str) {
    let draft = file.with_extension("draft");
    std::fs::write(&draft, format!("{text}\n")).unwrap();
    std::fs::rename(draft, file).unwrap();
}

/// A server whose secrets are in files, and an agent that plays `turn`.
async fn serve(stage: Stage, turn: &str) -> (Scene, Files) {
    stage.agent.always(turn);
    let files = Files::create(stage.folder());
    let project = greeting::project(&stage);
    let scene = stage
        .serve_with(&project, |config| {
            config.secret_files(&files.token, &files.webhook)
        })
        .await;
    (scene, files)
}

#[tokio::test]
async fn a_webhook_secret_is_rotated_without_refusing_what_is_signed_with_a_good_one() {
    let (scene, files) = serve(Stage::new(), greeting::RIGHT).await;
    let status = async |secret: &str| {
        let delivery = scene.github.ping().signed_with(secret);
        scene.server.deliver(&delivery).await.status
    };
    assert_eq!(status(WEBHOOK_SECRET).await, 202);
    assert_eq!(status("the next secret").await, 401);

    replace(
        &files.webhook,
        &format!("the next secret\n{WEBHOOK_SECRET}"),
    );
    assert_eq!(status(WEBHOOK_SECRET).await, 202);
    assert_eq!(status("the next secret").await, 202);

    replace(&files.webhook, "the next secret");
    assert_eq!(status("the next secret").await, 202);
    assert_eq!(status(WEBHOOK_SECRET).await, 401);

    std::fs::remove_file(&files.webhook).unwrap();
    assert_eq!(status("the next secret").await, 202, "the last one stays");
    assert_eq!(status("").await, 401);
}

#[tokio::test]
async fn the_forges_token_is_rotated_in_the_middle_of_a_story() {
    let stage = Stage::new();
    let pause = stage.agent.pause("work");
    let turn = format!("{}; {}", pause.shell(), greeting::RIGHT);
    let (scene, files) = serve(stage, &turn).await;
    let story = scene.start_story(greeting::TITLE, greeting::BODY).await;
    let standing = pause.reached().await;
    scene.github.add_token("ghp_another0123456789");
    replace(&files.token, "ghp_another0123456789");
    scene.github.revoke_token(TOKEN);
    standing.let_go();
    scene.wait_for_stage(story, "done").await;
    scene
        .wait_for_github("everything is reported with the new token", |github| {
            let head = scene.agent.commits(story).pop();
            head.is_some_and(|head| greeting::is_reported(github, story, &head))
        })
        .await;
    let last = scene.github.last_token();
    assert_eq!(last.as_deref(), Some("ghp_another0123456789"));
    assert!(
        !scene.server.log().contains("ghp_"),
        "{}",
        scene.server.log()
    );
}

/// git asks for the token at each call, too: a remote over HTTP is asked with the one before and
/// then with the one after.
#[tokio::test]
async fn git_takes_the_rotated_token() {
    let stage = Stage::new();
    let files = Files::create(stage.folder());
    let remote = super::secrets::RefusingRemote::start().await;
    let project = greeting::project(&stage);
    let scene = stage
        .serve_with(&project, |config| {
            config
                .secret_files(&files.token, &files.webhook)
                .also("octo/two", &remote.url())
        })
        .await;
    assert_eq!(remote.next_token().await, TOKEN);
    scene.github.add_token("ghp_another0123456789");
    replace(&files.token, "ghp_another0123456789");
    let mut push = scene
        .github
        .push("main", None, Some(&"1".repeat(40)), WRITER);
    let mut payload = push.payload();
    payload["repository"]["full_name"] = "octo/two".into();
    push = scene.github.delivery("push", &payload);
    assert_eq!(scene.server.deliver(&push).await.status, 202);
    let mut token = remote.next_token().await;
    while token == TOKEN {
        token = remote.next_token().await;
    }
    assert_eq!(token, "ghp_another0123456789");
}

#[tokio::test]
async fn a_file_without_a_secret_stops_the_server_from_starting() {
    let stage = Stage::new();
    let project = greeting::project(&stage);
    let files = Files::create(stage.folder());
    let (_remote, config) = stage.prepare(&project);
    std::fs::write(&files.token, "\n").unwrap();
    let config = config.secret_files(&files.token, &files.webhook);
    let launched = crate::support::server::Server::launch(stage.folder(), &config, &[]).await;
    let status = launched.err().unwrap();
    assert_eq!(status.code(), Some(2));
    let log = std::fs::read_to_string(stage.folder().join("server.log")).unwrap();
    assert!(
        log.contains("forge.github.token_file is not valid"),
        "{log}"
    );
}
