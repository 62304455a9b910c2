//! Setting huskies up on GitHub, what it may do there, and what it does when something is missing:
//! a delivery, or the right to be there.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use huskies::forge::{Credentials, Github, GithubSettings, Grant};
use serde_json::Value;

use crate::greeting;
use crate::support::git::TestRemote;
use crate::support::github_model::{APP_ID, GithubModel, TOKEN};
use crate::support::patience::eventually;
use crate::support::scene::{Stage, WRITER};
use crate::support::server::{Config, binary};

/// What a command printed, and how it ended.
struct Ran {
    code: Option<i32>,
    out: String,
    err: String,
}

async fn huskies(folder: &Path, arguments: &[&str]) -> Ran {
    let output = binary(folder).args(arguments).output().await.unwrap();
    Ran {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

fn write(stage: &Stage, config: &Config) -> PathBuf {
    let file = stage.folder().join("huskies.toml");
    std::fs::write(&file, toml::to_string(config).unwrap()).unwrap();
    file
}

/// A configuration whose secret file is not there yet.
fn prepared() -> (Stage, TestRemote, PathBuf, PathBuf) {
    prepared_with(|config, _| config)
}

fn prepared_with(
    change: impl FnOnce(Config, &Path) -> Config,
) -> (Stage, TestRemote, PathBuf, PathBuf) {
    let stage = Stage::new();
    let (remote, config) = stage.prepare(&greeting::project(&stage));
    let (token, secret) = (stage.folder().join("token"), stage.folder().join("secret"));
    std::fs::write(&token, TOKEN).unwrap();
    let config = change(config.secret_files(&token, &secret), stage.folder());
    let file = write(&stage, &config);
    (stage, remote, file, secret)
}

#[tokio::test]
async fn init_makes_labels_and_the_webhook_once() {
    let (stage, _remote, file, secret) = prepared();
    let arguments = [
        "init",
        "--github",
        "--json",
        "--url",
        "https://huskies.example.com/",
        "--config",
        file.to_str().unwrap(),
    ];
    let first = huskies(stage.folder(), &arguments).await;
    assert_eq!(first.code, Some(0), "{}", first.err);
    let said: Value = serde_json::from_str(&first.out).unwrap();
    let done = &said["repositories"][0];
    assert_eq!(done["webhook"], "created");
    assert_eq!(
        done["labels_created"].as_array().unwrap().len(),
        12,
        "{done}"
    );
    let value = std::fs::read_to_string(&secret).unwrap();
    assert_eq!(value.trim().len(), 64);
    assert_eq!(
        secret.metadata().unwrap().permissions().mode() & 0o777,
        0o600
    );
    let hooks = stage.github.hooks();
    assert_eq!(hooks.len(), 1);
    assert_eq!(hooks[0].secret, value.trim());
    assert_eq!(hooks[0].url, "https://huskies.example.com/webhooks/github");
    assert!(!first.out.contains(value.trim()) && !first.err.contains(value.trim()));

    let writes = stage.github.writes().len();
    let second = huskies(stage.folder(), &arguments).await;
    let said: Value = serde_json::from_str(&second.out).unwrap();
    assert_eq!(said["repositories"][0]["webhook"], "there", "{said}");
    assert_eq!(said["secret_file"], Value::Null);
    assert_eq!(stage.github.writes().len(), writes, "nothing is made twice");

    std::fs::remove_file(&secret).unwrap();
    let third = huskies(stage.folder(), &arguments).await;
    let said: Value = serde_json::from_str(&third.out).unwrap();
    assert_eq!(said["repositories"][0]["webhook"], "changed", "{said}");
    let value = std::fs::read_to_string(&secret).unwrap();
    assert_eq!(stage.github.hooks()[0].secret, value.trim());
}

#[tokio::test]
async fn of_several_secret_files_the_webhook_gets_the_secret_of_the_first() {
    let (stage, _remote, file, secret) = prepared_with(|config, folder| {
        let former = folder.join("former");
        std::fs::write(&former, "the secret before this one").unwrap();
        config.also_webhook_secrets(&former)
    });
    let (url, file) = ("https://huskies.example.com", file.to_str().unwrap());
    let arguments = ["init", "--github", "--url", url, "--config", file];
    let made = huskies(stage.folder(), &arguments).await;
    assert_eq!(made.code, Some(0), "{}", made.err);
    let fresh = std::fs::read_to_string(&secret).unwrap();
    assert_eq!(stage.github.hooks()[0].secret, fresh.trim());
}

#[tokio::test]
async fn init_says_what_the_token_lacks_and_can_be_tried_again() {
    let (stage, _remote, file, _secret) = prepared();
    stage.github.deny("repository_hooks");
    let file = file.to_str().unwrap();
    let arguments = [
        "init",
        "--github",
        "--url",
        "https://h.example",
        "--config",
        file,
    ];
    let refused = huskies(stage.folder(), &arguments).await;
    assert_eq!(refused.code, Some(1), "{}", refused.err);
    assert!(
        refused.err.contains("`repository_hooks=write`"),
        "{}",
        refused.err
    );
    let none = huskies(stage.folder(), &["init", "--github"]).await;
    assert_eq!(none.code, Some(2), "{}", none.err);
}

#[tokio::test]
async fn an_app_is_made_of_its_manifest() {
    let folder = tempfile::tempdir().unwrap();
    let model = GithubModel::start("octo/app");
    let url = "https://huskies.example.com";
    let page = folder.path().join("app.html");
    let first = [
        "app-manifest",
        "--url",
        url,
        "--org",
        "octo",
        "--page",
        page.to_str().unwrap(),
    ];
    let first = huskies(folder.path(), &first).await;
    assert_eq!(first.code, Some(0), "{}", first.err);
    let text = std::fs::read_to_string(&page).unwrap();
    assert!(
        text.contains("https://github.com/organizations/octo/settings/apps/new"),
        "{text}"
    );
    assert!(text.contains("&quot;default_permissions&quot;"), "{text}");

    let into = folder.path().to_str().unwrap();
    let second = |code| {
        [
            "app-manifest",
            "--code",
            code,
            "--api-url",
            model.url(),
            "--into",
            into,
            "--json",
        ]
    };
    let wrong = huskies(folder.path(), &second("bad-code")).await;
    assert_eq!(wrong.code, Some(1), "{}", wrong.err);
    let made = huskies(folder.path(), &second("good-code")).await;
    let said: Value = serde_json::from_str(&made.out).unwrap();
    assert_eq!(said["app_id"], APP_ID);
    for file in ["app.pem", "webhook-secret"] {
        let mode = folder
            .path()
            .join(file)
            .metadata()
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
    let again = huskies(folder.path(), &second("good-code")).await;
    assert_eq!(
        again.code,
        Some(2),
        "a key is never written over: {}",
        again.err
    );
}

/// The permissions of one verdict.
async fn grants(model: &GithubModel, token: &str, grant: Grant) -> Vec<&'static str> {
    let settings = GithubSettings {
        api_url: model.url().to_owned(),
        credentials: Credentials::Token(token.into()),
        write_spacing: Duration::ZERO,
    };
    let github = Github::new(&settings).unwrap();
    let access = github.access(&"octo/app".parse().unwrap()).await.unwrap();
    let of_grant = access.into_iter().filter(|(_, found)| *found == grant);
    of_grant.map(|(need, _)| need.permission).collect()
}

#[tokio::test]
async fn what_a_fine_grained_token_may_is_found_out_without_doing_it() {
    let model = GithubModel::start("octo/app");
    model.add_token("github_pat_x");
    assert_eq!(
        grants(&model, "github_pat_x", Grant::Missing).await,
        [""; 0]
    );
    model.deny("statuses");
    model.deny("repository_hooks");
    model.deny("actions");
    let missing = grants(&model, "github_pat_x", Grant::Missing).await;
    assert_eq!(missing, ["statuses", "actions", "repository_hooks"]);
    assert_eq!(
        grants(&model, "github_pat_x", Grant::Unknown).await,
        ["workflows"]
    );
    assert!(model.all_statuses().is_empty() && model.hooks().is_empty());
}

#[tokio::test]
async fn what_a_classic_token_may_is_read_off_its_scopes() {
    let model = GithubModel::start("octo/app");
    model.set_scopes("repo:status, public_repo");
    let missing = grants(&model, TOKEN, Grant::Missing).await;
    assert_eq!(missing, ["workflows", "repository_hooks"]);
    assert!(model.writes().is_empty());
}

#[tokio::test]
async fn the_doctor_names_what_is_missing_and_what_for() {
    let (stage, _remote, file, secret) = prepared();
    std::fs::write(secret, "a webhook's secret").unwrap();
    stage.github.set_scopes("public_repo");
    let arguments = ["doctor", "--json", "--config", file.to_str().unwrap()];
    let ran = huskies(stage.folder(), &arguments).await;
    let findings: Vec<Value> = serde_json::from_str(&ran.out).unwrap();
    let of = |probe: &str| {
        findings
            .iter()
            .find(|found| found["probe"] == probe)
            .unwrap()
    };
    assert_eq!(of("GitHub, octo/app")["verdict"], "ok", "{findings:#?}");
    let missing = of("workflows of octo/app");
    assert_eq!(missing["verdict"], "does_not_hold");
    let detail = missing["detail"].as_str().unwrap();
    assert!(detail.contains(".github/workflows"), "{detail}");
    assert_eq!(ran.code, Some(1));
}

#[tokio::test]
async fn a_delivery_that_was_missed_is_asked_for_and_starts_its_story() {
    let stage = Stage::new();
    stage.agent.always(greeting::RIGHT);
    let url = "https://huskies.example.com/webhooks/github";
    stage.github.add_hook(url);
    let story = stage
        .github
        .add_issue(greeting::TITLE, greeting::BODY, WRITER);
    let missed = stage.github.label(story, "huskies", WRITER);
    stage.github.missed(&missed, 502);
    let project = greeting::project(&stage);
    let scene = stage
        .serve_with(&project, |config| config.redeliver_minutes(1))
        .await;
    scene
        .wait_for_github("the delivery is asked for", |github| {
            !github.redelivered().is_empty()
        })
        .await;
    let again = scene.github.redelivered();
    assert_eq!(again[0].id, missed.id);
    scene.accepted(&again[0]).await;
    scene.wait_for_stage(story, "done").await;
    assert_eq!(scene.github.redelivered().len(), 1);
}

#[tokio::test]
async fn a_token_that_is_revoked_is_told_once_by_another_way_and_mends_itself() {
    let stage = Stage::new();
    stage.agent.always(greeting::RIGHT);
    let heard = stage.folder().join("heard");
    let tell = format!("cat >> '{0}'; echo >> '{0}'", heard.display());
    let project = greeting::project(&stage);
    let scene = stage
        .serve_with(&project, |config| config.notify(&["sh", "-c", &tell]))
        .await;
    let file = scene.folder().join("huskies.toml");
    let status = ["status", "--json", "--config", file.to_str().unwrap()];
    let well = huskies(scene.folder(), &status).await;
    assert_eq!(well.code, Some(0), "{}", well.err);

    scene.github.revoke_token(TOKEN);
    scene.start_story(greeting::TITLE, greeting::BODY).await;
    let news = || -> Vec<Value> {
        let heard = std::fs::read_to_string(&heard).unwrap_or_default();
        heard
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect()
    };
    eventually("somebody is told", || news().len() == 1).await;
    assert_eq!(news()[0]["state"], "refused");
    assert_eq!(news()[0]["repositories"][0], "octo/app");
    assert!(!std::fs::read_to_string(&heard).unwrap().contains(TOKEN));
    let ill = huskies(scene.folder(), &status).await;
    assert_eq!(ill.code, Some(1), "{}", ill.err);
    let shown: Value = serde_json::from_str(&ill.out).unwrap();
    assert_eq!(shown["repositories"][0]["health"]["state"], "refused");
    assert_eq!(
        scene.server.get("/readyz").await.status,
        200,
        "deliveries are taken"
    );

    scene.github.add_token(TOKEN);
    eventually("somebody is told that it is well", || news().len() == 2).await;
    assert_eq!(news()[1]["state"], "well");
}
