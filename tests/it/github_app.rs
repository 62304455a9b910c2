//! huskies as a GitHub App: tokens of an installation, renewed in time, taken by git as well, and a
//! key that may be replaced.

use std::path::Path;
use std::time::Duration;

use huskies::domain::id::{RepoName, StoryId};
use huskies::forge::{
    Annotation, AppSettings, CheckRun, CheckState, Conclusion, Credentials, Forge, ForgeError,
    Github, GithubSettings, Level, RetryWhen, TokenKind,
};
use huskies::secret::Secret;

use crate::greeting;
use crate::support::github_model::{
    APP_ID, APP_LOGIN, Answer, Check, FIRST_KEY, Fault, GithubModel, SECOND_KEY,
};
use crate::support::scene::Stage;

struct Bench {
    model: GithubModel,
    folder: tempfile::TempDir,
    github: Github,
    story: StoryId,
}

impl Bench {
    fn new() -> Self {
        let model = GithubModel::start("octo/app");
        model.install_app();
        let repo: RepoName = "octo/app".parse().unwrap();
        let story = StoryId::new(repo.clone(), model.add_issue("A door", "", "ada"));
        let folder = tempfile::tempdir().unwrap();
        let key = folder.path().join("key.pem");
        std::fs::write(&key, FIRST_KEY.0).unwrap();
        let settings = GithubSettings {
            api_url: model.url().to_owned(),
            credentials: Credentials::App(AppSettings {
                app_id: APP_ID,
                key: Secret::file(&key).unwrap(),
                installation_id: None,
                repo,
            }),
            write_spacing: Duration::ZERO,
        };
        let github = Github::new(&settings).unwrap();
        Self {
            model,
            folder,
            github,
            story,
        }
    }

    fn replace_key(&self, key: &str) {
        std::fs::write(self.folder.path().join("key.pem"), key).unwrap();
    }

    /// How often something was asked for.
    fn asked(&self, path: &str) -> usize {
        let requests = self.model.requests();
        requests
            .iter()
            .filter(|request| request.path == path)
            .count()
    }
}

const TOKENS: &str = "/app/installations/67890/access_tokens";

#[tokio::test]
async fn a_token_is_used_until_it_is_about_to_end() {
    let bench = Bench::new();
    assert_eq!(bench.github.token_kind(), TokenKind::App);
    for _ in 0..3 {
        bench.github.issue(&bench.story).await.unwrap();
    }
    assert_eq!(bench.asked("/repos/octo/app/installation"), 1);
    assert_eq!(bench.model.app_tokens().len(), 1);
    bench.model.revoke_app_tokens();
    bench.model.set_app_token_lifetime(Duration::ZERO);
    for _ in 0..3 {
        // One that is over at once is refused, and another one is asked for each time.
        drop(bench.github.issue(&bench.story).await);
    }
    assert!(bench.asked(TOKENS) > 3, "{:#?}", bench.model.requests());
}

#[tokio::test]
async fn a_limit_that_the_app_itself_meets_holds_for_everything() {
    let bench = Bench::new();
    let limit = Answer::new(403, "You have exceeded a secondary rate limit.");
    let fault = Fault::Instead(limit.header("retry-after", "17"));
    bench.model.fail_next("POST", TOKENS, fault);
    for _ in 0..2 {
        let refused = bench.github.issue(&bench.story).await.unwrap_err();
        assert!(
            matches!(refused, ForgeError::RetryAfter { wait, .. } if wait.as_secs() > 15),
            "{refused}"
        );
    }
    assert_eq!(bench.asked(TOKENS), 1, "the second one is not sent");
}

#[tokio::test]
async fn a_refused_token_is_replaced_at_once() {
    let bench = Bench::new();
    bench.github.issue(&bench.story).await.unwrap();
    bench.model.revoke_app_tokens();
    bench
        .github
        .create_comment(&bench.story, "Hello")
        .await
        .unwrap();
    let comments = bench.model.comments(bench.story.number);
    assert_eq!(comments.len(), 1);
    assert_eq!(comments[0].author, APP_LOGIN);
    assert_eq!(bench.asked(TOKENS), 2);
}

#[tokio::test]
async fn an_apps_own_comments_are_found_under_its_login() {
    let bench = Bench::new();
    let marker = "<!-- huskies:x -->";
    bench
        .github
        .create_comment(&bench.story, marker)
        .await
        .unwrap();
    assert_eq!(bench.github.own_login().await.unwrap(), APP_LOGIN);
    let found = bench.github.find_comment(&bench.story, marker).await;
    assert!(found.unwrap().is_some());
}

#[tokio::test]
async fn a_key_is_replaced_without_a_restart_and_a_wrong_one_is_said() {
    let bench = Bench::new();
    bench.github.issue(&bench.story).await.unwrap();
    bench.model.set_app_key(SECOND_KEY.1);
    bench.model.revoke_app_tokens();
    let refused = bench.github.issue(&bench.story).await.unwrap_err();
    assert_eq!(refused.retry_when(), RetryWhen::Mended);
    assert!(
        refused.to_string().contains("`private_key_file`"),
        "{refused}"
    );
    bench.replace_key("no key at all\n");
    let refused = bench.github.issue(&bench.story).await.unwrap_err();
    assert!(refused.to_string().contains("no RSA key"), "{refused}");
    bench.replace_key(SECOND_KEY.0);
    bench.github.issue(&bench.story).await.unwrap();
}

#[tokio::test]
async fn an_app_that_is_not_installed_waits_until_somebody_mended_it() {
    let bench = Bench::new();
    bench.model.uninstall_app();
    let refused = bench.github.issue(&bench.story).await.unwrap_err();
    assert!(matches!(refused, ForgeError::Unauthorized { .. }));
    assert!(
        refused.to_string().contains("is not installed on octo/app"),
        "{refused}"
    );
}

const HEAD: &str = "6113728f27ae82c7b1a177c8d03f9e96e0adf246";

fn annotated(count: u32) -> CheckRun {
    let annotation = |line| Annotation {
        path: "a.c".to_owned(),
        line,
        column: Some(1),
        level: Level::Warning,
        title: "lint".to_owned(),
        message: format!("warning {line}"),
    };
    CheckRun {
        name: "huskies/gates".to_owned(),
        external_id: "octo/app#1/1".to_owned(),
        state: CheckState::Completed(Conclusion::Failure),
        title: "Failed: lint.".to_owned(),
        summary: "é".repeat(70_000),
        text: String::new(),
        annotations: (1..=count).map(annotation).collect(),
    }
}

#[tokio::test]
async fn annotations_go_out_fifty_at_a_time_and_once_whatever_answer_is_lost() {
    let bench = Bench::new();
    let (repo, commit) = (&bench.story.repo, HEAD.parse().unwrap());
    let check = annotated(120);
    let put = |known| bench.github.put_check_run(repo, &commit, (known, &check));
    assert!(bench.github.takes_check_runs());
    bench
        .model
        .fail_next("POST", "/check-runs", Fault::CutAfterEffect);
    put(None).await.unwrap_err();
    let lost = Answer::new(502, "Bad Gateway");
    bench
        .model
        .fail_next("PATCH", "/check-runs", Fault::AfterEffect(lost));
    put(None).await.unwrap_err();
    let id = put(None).await.unwrap();
    assert_eq!(put(Some(&id)).await.unwrap(), id);
    let checks = bench.model.checks(HEAD);
    assert_eq!(checks.len(), 1, "{checks:#?}");
    let lines: Vec<u64> = checks[0]
        .annotations
        .iter()
        .filter_map(|annotation| annotation["start_line"].as_u64())
        .collect();
    assert_eq!(lines, (1..=120).collect::<Vec<u64>>());
    assert_eq!(checks[0].summary.chars().count(), CheckRun::LONGEST_TEXT);
}

#[tokio::test]
async fn another_run_of_the_same_gates_is_another_check_run() {
    let bench = Bench::new();
    let (repo, commit) = (&bench.story.repo, HEAD.parse().unwrap());
    let first = annotated(1);
    let second = CheckRun {
        external_id: "octo/app#1/2".to_owned(),
        ..first.clone()
    };
    let put = |check| bench.github.put_check_run(repo, &commit, (None, check));
    let one = put(&first).await.unwrap();
    assert_ne!(put(&second).await.unwrap(), one);
    assert_eq!(put(&first).await.unwrap(), one);
}

/// Everything that a folder's files say.
fn texts(folder: &Path) -> String {
    let mut text = String::new();
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_symlink() {
            continue;
        }
        if path.is_dir() {
            text.push_str(&texts(&path));
        } else {
            text.push_str(&String::from_utf8_lossy(
                &std::fs::read(path).unwrap_or_default(),
            ));
        }
    }
    text
}

#[tokio::test]
async fn an_app_does_a_whole_story() {
    let stage = Stage::new();
    greeting::teach(&stage.agent);
    stage.github.install_app();
    let key = stage.folder().join("key.pem");
    std::fs::write(&key, FIRST_KEY.0).unwrap();
    let project = greeting::project(&stage);
    let scene = stage
        .serve_with(&project, |config| config.app(APP_ID, &key))
        .await;
    let story = scene.start_story(greeting::TITLE, greeting::BODY).await;
    scene.wait_for_stage(story, "done").await;
    scene
        .wait_for_github("the app says that it is done", |github| {
            let comments = github.comments(story);
            comments
                .iter()
                .any(|comment| comment.author == APP_LOGIN && comment.body.contains("**Done.**"))
        })
        .await;
    let head = scene.agent.commits(story).pop().unwrap();
    scene
        .wait_for_github("its gates have a check run", |github| {
            let checks = github.checks(&head);
            let passed = |check: &Check| check.conclusion.as_deref() == Some("success");
            checks.len() == 1 && checks.iter().all(passed)
        })
        .await;
    let tokens = scene.github.app_tokens();
    assert_eq!(tokens.len(), 1);
    assert!(!texts(&scene.data_dir()).contains(&tokens[0]));
    assert!(!scene.server.log().contains(&tokens[0]));
}

/// git gets a token of the installation, too, through a remote that only looks at it.
#[tokio::test]
async fn git_takes_the_installations_token() {
    let stage = Stage::new();
    stage.github.install_app();
    let key = stage.folder().join("key.pem");
    std::fs::write(&key, FIRST_KEY.0).unwrap();
    let remote = super::secrets::RefusingRemote::start().await;
    let project = greeting::project(&stage);
    let scene = stage
        .serve_with(&project, |config| {
            config.app(APP_ID, &key).also("octo/two", &remote.url())
        })
        .await;
    assert_eq!(remote.next_token().await, scene.github.app_tokens()[0]);
}
