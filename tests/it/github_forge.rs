//! What is particular to GitHub: permissions, limits, refusals, and what goes over the wire.

use std::time::Duration;

use huskies::domain::dependency::{Family, IssueState, Links, LinksWanted, Mentions, Parent};
use huskies::domain::id::{RepoName, StoryId};
use huskies::forge::{
    Credentials, Forge, ForgeError, Github, GithubSettings, Permission, RetryWhen, Status,
    StatusState, read_links,
};

use crate::support::github_model::{Answer, Fault, GithubModel, OWN_LOGIN, TOKEN};

const SHA: &str = "6113728f27ae82c7b1a177c8d03f9e96e0adf246";

fn client(api_url: &str, token: &str) -> Github {
    let settings = GithubSettings {
        api_url: api_url.to_owned(),
        credentials: Credentials::Token(token.into()),
        write_spacing: Duration::ZERO,
    };
    Github::new(&settings).unwrap()
}

fn repo() -> RepoName {
    "octo/app".parse().unwrap()
}

/// A model with one issue, and a client that talks to it.
fn with_issue() -> (GithubModel, Github, StoryId) {
    let model = GithubModel::start("octo/app");
    let number = model.add_issue("Fix the door", "It squeaks.", "ada");
    let github = client(model.url(), TOKEN);
    (model, github, StoryId::new(repo(), number))
}

fn success() -> Status {
    Status {
        context: "huskies/gates".to_owned(),
        state: StatusState::Success,
        description: "3 gates passed".to_owned(),
        target_url: None,
    }
}

/// Method and path of every request.
fn asked(model: &GithubModel) -> Vec<String> {
    model
        .requests()
        .iter()
        .map(|request| format!("{} {}", request.method, request.path))
        .collect()
}

#[tokio::test]
async fn every_role_is_told_from_the_others() {
    let (model, github, _) = with_issue();
    for (role, permission) in [
        ("admin", Permission::Admin),
        ("maintain", Permission::Maintain),
        ("write", Permission::Write),
        ("triage", Permission::Triage),
        ("read", Permission::Read),
        ("none", Permission::None),
    ] {
        model.set_permission("mia", role);
        assert_eq!(github.permission(&repo(), "mia").await.unwrap(), permission);
    }
}

#[tokio::test]
async fn an_account_that_github_does_not_know_may_nothing() {
    let (model, github, _) = with_issue();
    assert_eq!(
        github.permission(&repo(), "stranger").await.unwrap(),
        Permission::None
    );
    assert_eq!(
        github.permission(&repo(), "renovate[bot]").await.unwrap(),
        Permission::None
    );
    assert_eq!(
        github.permission(&repo(), "../../../user").await.unwrap(),
        Permission::None
    );
    assert!(asked(&model)[2].contains("/collaborators/..%2F..%2F..%2Fuser/permission"));
}

#[tokio::test]
async fn a_repository_that_cannot_be_seen_says_nothing_about_a_person() {
    let (_model, github, _) = with_issue();
    let answer = github
        .permission(&"octo/secret".parse().unwrap(), "ada")
        .await;
    assert!(
        matches!(answer, Err(ForgeError::NotFound { .. })),
        "{answer:?}"
    );
}

#[tokio::test]
async fn the_default_branch_is_asked_for() {
    let (_model, github, _) = with_issue();
    assert_eq!(
        github
            .default_branch(&repo())
            .await
            .unwrap()
            .unwrap()
            .as_str(),
        "main"
    );
}

#[tokio::test]
async fn the_own_login_is_asked_for_once_and_only_when_it_is_needed() {
    let (model, github, story) = with_issue();
    github.issue(&story).await.unwrap();
    assert_eq!(asked(&model), ["GET /repos/octo/app/issues/1"]);
    github.find_comment(&story, "<!-- huskies:x").await.unwrap();
    github.find_comment(&story, "<!-- huskies:y").await.unwrap();
    assert_eq!(
        asked(&model)
            .iter()
            .filter(|asked| *asked == "GET /user")
            .count(),
        1
    );
    assert_eq!(github.own_login().await.unwrap(), OWN_LOGIN);
}

#[tokio::test]
async fn a_first_stage_label_is_created_with_a_meaning() {
    let (model, github, story) = with_issue();
    github.set_stage_label(&story, "coding").await.unwrap();
    github.set_stage_label(&story, "coding").await.unwrap();
    assert_eq!(
        asked(&model),
        [
            "GET /repos/octo/app/issues/1/labels",
            "POST /repos/octo/app/issues/1/labels",
            "PATCH /repos/octo/app/labels/stage%3Acoding",
            "GET /repos/octo/app/issues/1/labels",
        ]
    );
    let given = model.writes()[1].body.clone().unwrap();
    assert_eq!(given["description"], "Where huskies is with this issue");
}

#[tokio::test]
async fn a_label_that_has_a_meaning_keeps_it() {
    let (model, github, story) = with_issue();
    model.create_label("stage:coding");
    github.set_stage_label(&story, "coding").await.unwrap();
    assert_eq!(model.labels(story.number), ["stage:coding"]);
    assert_eq!(model.writes().len(), 1);
}

/// What a text that depends on these issues leads to.
async fn links(github: &Github, story: &StoryId, body: &str, family: Family) -> Links {
    let mentions = Mentions::read("", body, &story.repo);
    let wanted = LinksWanted { mentions, family };
    read_links(github, story, &wanted).await.unwrap()
}

fn without_family() -> Family {
    Family {
        parent: Parent::None,
        sub_issues: Some(false),
    }
}

#[tokio::test]
async fn nothing_is_asked_about_an_issue_that_is_known_to_stand_alone() {
    let (model, github, story) = with_issue();
    let found = links(&github, &story, "", without_family()).await;
    assert_eq!(found, Links::default());
    assert!(asked(&model).is_empty());
    links(&github, &story, "", Family::default()).await;
    assert_eq!(asked(&model), ["GET /repos/octo/app/issues/1"]);
}

#[tokio::test]
async fn more_sub_issues_than_a_page_holds_are_all_known_once() {
    let (model, github, story) = with_issue();
    for _ in 0..101 {
        let part = model.add_issue("A part", "", "ada");
        model.add_sub_issue(story.number, part);
    }
    let parent = model.add_issue("The house", "All doors.", "ada");
    model.add_sub_issue(parent, story.number);
    drop(model.close(2, "ada"));
    let body = format!("Depends on #2, #{parent}, octo/other#5, #9999");
    let found = links(&github, &story, &body, Family::default()).await;
    assert_eq!(found.epic.unwrap().body, "All doors.");
    assert_eq!(found.unwatched, ["octo/other#5"]);
    let states: Vec<IssueState> = found.needs.iter().map(|need| need.state).collect();
    assert_eq!(states.len(), 102);
    assert_eq!(states[0], IssueState::Completed);
    assert_eq!(states[1], IssueState::Open);
    assert_eq!(states[101], IssueState::Missing);
    assert!(found.needs[0].sub_issue && !found.needs[101].sub_issue);
}

#[tokio::test]
async fn why_an_issue_was_closed_is_told_apart() {
    let (model, github, story) = with_issue();
    let state = async || github.issue(&story).await.unwrap().state();
    assert_eq!(state().await, IssueState::Open);
    drop(model.give_up(story.number, "ada"));
    assert_eq!(state().await, IssueState::NotPlanned);
    drop(model.close(story.number, "ada"));
    assert_eq!(state().await, IssueState::Completed);
}

#[tokio::test]
async fn a_server_without_sub_issues_has_none() {
    let (model, github, story) = with_issue();
    model.fail_next(
        "GET",
        "/sub_issues",
        Fault::Instead(Answer::new(404, "Not Found")),
    );
    assert_eq!(github.sub_issues(&story).await.unwrap(), []);
}

#[tokio::test]
async fn a_wrong_token_says_what_to_mend() {
    let (model, _, story) = with_issue();
    let error = client(model.url(), "ghp_revoked")
        .issue(&story)
        .await
        .unwrap_err();
    assert_eq!(error.retry_when(), RetryWhen::Mended);
    assert!(
        error.to_string().contains("Bad credentials") && error.to_string().contains("`token_env`")
    );
    assert!(!error.to_string().contains("ghp_revoked"));
}

#[tokio::test]
async fn a_used_up_rate_limit_waits_for_its_reset() {
    let (model, github, story) = with_issue();
    model.set_rate_limit_remaining(0);
    let held = client(model.url(), TOKEN);
    let error = held.issue(&story).await.unwrap_err();
    assert_eq!(
        error.retry_when(),
        RetryWhen::After(Duration::from_hours(1))
    );
    let reset = (model.now().as_second() + 90).to_string();
    let soon = Answer::new(403, "API rate limit exceeded").header("x-ratelimit-remaining", "0");
    model.set_rate_limit_remaining(9);
    model.fail_next(
        "GET",
        "/issues/1",
        Fault::Instead(soon.header("x-ratelimit-reset", &reset)),
    );
    let error = github.issue(&story).await.unwrap_err();
    assert_eq!(
        error.retry_when(),
        RetryWhen::After(Duration::from_secs(91))
    );
}

#[tokio::test]
async fn a_secondary_rate_limit_waits_as_it_says() {
    let (model, _, story) = with_issue();
    let secondary = Answer::new(403, "You have exceeded a secondary rate limit.");
    let waits = [
        (secondary.clone().header("retry-after", "17"), 17),
        (secondary, 60),
    ];
    for (answer, wait) in waits {
        model.fail_next("POST", "/comments", Fault::Instead(answer));
        let github = client(model.url(), TOKEN);
        let error = github.create_comment(&story, "Hello").await.unwrap_err();
        assert_eq!(
            error.retry_when(),
            RetryWhen::After(Duration::from_secs(wait))
        );
    }
    assert_eq!(model.comments(story.number).len(), 0);
}

#[tokio::test]
async fn a_missing_permission_is_named() {
    let (model, github, _) = with_issue();
    let refusal = Answer::new(403, "Resource not accessible by personal access token")
        .header("x-accepted-github-permissions", "statuses=write");
    model.fail_next("POST", "/statuses/", Fault::Instead(refusal));
    let error = github
        .set_status(&repo(), &SHA.parse().unwrap(), &success())
        .await
        .unwrap_err();
    assert_eq!(error.retry_when(), RetryWhen::Mended);
    assert!(error.to_string().contains("`statuses=write`"), "{error}");
}

#[tokio::test]
async fn a_commit_that_is_not_on_the_forge_gets_no_status() {
    let (model, github, _) = with_issue();
    model.serve_commits(|_| false);
    let error = github
        .set_status(&repo(), &SHA.parse().unwrap(), &success())
        .await
        .unwrap_err();
    assert_eq!(error.retry_when(), RetryWhen::Never);
    assert!(
        error.to_string().contains("No commit found for SHA"),
        "{error}"
    );
}

#[tokio::test]
async fn nothing_is_sent_twice_whatever_the_answer() {
    let (model, github, story) = with_issue();
    for status in [500, 502, 503, 429] {
        let answer = Answer::new(status, "Server Error");
        model.fail_next("POST", "/comments", Fault::AfterEffect(answer));
        let before = model.writes().len();
        let error = github.create_comment(&story, "Hello").await.unwrap_err();
        assert_ne!(error.retry_when(), RetryWhen::Never);
        assert_eq!(model.writes().len(), before + 1, "{status}");
    }
}

#[tokio::test]
async fn a_comment_whose_answer_was_lost_is_found_again() {
    let (model, github, story) = with_issue();
    let marker = "<!-- huskies:done:octo/app#1:1 -->";
    model.fail_next(
        "POST",
        "/comments",
        Fault::AfterEffect(Answer::new(504, "Gateway Timeout")),
    );
    let lost = github.create_comment(&story, marker).await.unwrap_err();
    assert_eq!(lost.retry_when(), RetryWhen::BackingOff);
    let found = github.find_comment(&story, marker).await.unwrap().unwrap();
    assert_eq!(found.0, model.comments(story.number)[0].id.to_string());
}

#[tokio::test]
async fn a_forge_that_is_gone_is_not_available() {
    let (model, github, story) = with_issue();
    drop(model);
    let error = github.issue(&story).await.unwrap_err();
    assert!(matches!(error, ForgeError::Unavailable { .. }));
    assert!(
        error.to_string().to_lowercase().contains("connect"),
        "{error}"
    );
}

#[tokio::test]
async fn an_api_below_a_path_is_reached() {
    let (model, _, story) = with_issue();
    let github = client(&format!("{}/api/v3/", model.url()), TOKEN);
    assert_eq!(github.issue(&story).await.unwrap().title, "Fix the door");
    github.create_comment(&story, "Hello").await.unwrap();
    assert_eq!(
        github.permission(&repo(), OWN_LOGIN).await.unwrap(),
        Permission::Write
    );
}

#[tokio::test]
async fn a_repository_that_moved_is_told_and_not_followed_with_a_change() {
    let (model, github, story) = with_issue();
    let moved = Answer::new(307, "Temporary Redirect")
        .header("location", "/repositories/1/issues/1/comments");
    model.fail_next("POST", "/comments", Fault::Instead(moved));
    let error = github.create_comment(&story, "Hello").await.unwrap_err();
    assert!(error.to_string().contains("has moved"), "{error}");
    assert_eq!(error.retry_when(), RetryWhen::Never);
}

#[tokio::test]
async fn what_is_unchanged_is_asked_for_again_and_costs_nothing() {
    let (model, github, story) = with_issue();
    let first = github.issue(&story).await.unwrap();
    assert_eq!(github.issue(&story).await.unwrap(), first);
    assert_eq!((model.requests().len(), model.api_calls()), (2, 1));
    model.edit_issue(story.number, "It creaks.", "ada");
    assert_eq!(github.issue(&story).await.unwrap().body, "It creaks.");
    assert_eq!(model.api_calls(), 2);
    let (issue, made) = huskies::forge::calls::counted(github.issue(&story)).await;
    assert_eq!((issue.unwrap().body.as_str(), made), ("It creaks.", 0));
}

#[tokio::test]
async fn the_pages_of_a_list_are_found_again_when_they_are_unchanged() {
    let (model, github, story) = with_issue();
    for number in 0..150 {
        model.comment(story.number, &format!("Comment {number}"), "ada");
    }
    let until = model.now();
    let first = github.comments(&story, until).await.unwrap();
    assert_eq!(first.len(), 150);
    assert_eq!(github.comments(&story, until).await.unwrap(), first);
    assert_eq!((model.requests().len(), model.api_calls()), (4, 2));
}

#[tokio::test]
async fn a_limit_that_one_call_meets_holds_the_others_back() {
    let (model, github, story) = with_issue();
    let limit = Answer::new(429, "Slow down").header("retry-after", "30");
    model.fail_next("POST", "/comments", Fault::Instead(limit));
    github.create_comment(&story, "Hello").await.unwrap_err();
    let error = github.issue(&story).await.unwrap_err();
    assert!(matches!(error, ForgeError::RetryAfter { .. }), "{error}");
    assert_eq!(model.requests().len(), 1);
}

#[tokio::test]
async fn the_last_request_of_the_hour_is_not_followed_by_one_too_many() {
    let (model, github, story) = with_issue();
    model.set_rate_limit_remaining(1);
    github.issue(&story).await.unwrap();
    let error = github.issue(&story).await.unwrap_err();
    assert!(error.to_string().contains("hourly limit"), "{error}");
    assert_eq!(model.requests().len(), 1);
}

#[tokio::test]
async fn a_write_whose_connection_was_cut_may_have_happened() {
    let (model, github, story) = with_issue();
    model.fail_next("POST", "/comments", Fault::CutAfterEffect);
    let error = github.create_comment(&story, "Hello").await.unwrap_err();
    assert_eq!(error.retry_when(), RetryWhen::BackingOff);
    assert_eq!(model.comments(story.number).len(), 1);
}
