//! Pull requests, against the modelled GitHub: what each of its answers means.

use std::time::Duration;

use huskies::domain::id::{BranchName, RepoName, Sha};
use huskies::domain::pull::Rule;
use huskies::forge::{
    Credentials, ForgeError, Github, GithubSettings, MergeAnswer, Mergeable, NewPull, PullRequests,
    PullStage, PullText, Squash,
};
use tempfile::TempDir;

use crate::support::git::{self, BASE, TestRemote};
use crate::support::github_model::{Answer, BranchRules, Fault, GithubModel, TOKEN};

const BRANCH: &str = "feature/story-1-x";

/// A repository whose story branch has one commit more than its base.
struct Bench {
    github: Github,
    model: GithubModel,
    head: Sha,
    remote: TestRemote,
    _folder: TempDir,
}

fn repo() -> RepoName {
    "octo/app".parse().unwrap()
}

fn branch(name: &str) -> BranchName {
    name.parse().unwrap()
}

impl Bench {
    /// The API is at `path` below the model's address.
    fn at(path: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let remote = TestRemote::create(folder.path(), &[("a.txt", "a\n")]);
        let base = remote.tip(BASE);
        let head = remote.commit_on_base("b.txt", "b\n", "B");
        remote.fast_forward(BRANCH, &head);
        remote.fast_forward(BASE, &base);
        let model = GithubModel::start("octo/app");
        model.serve_commits_of(remote.path());
        let settings = GithubSettings {
            api_url: format!("{}{path}", model.url()),
            credentials: Credentials::Token(TOKEN.into()),
            write_spacing: Duration::ZERO,
        };
        Self {
            github: Github::new(&settings).unwrap(),
            model,
            head: head.parse().unwrap(),
            remote,
            _folder: folder,
        }
    }

    async fn open(&self) -> Result<u64, ForgeError> {
        let text = PullText {
            title: "A story".to_owned(),
            body: "For #1".to_owned(),
        };
        let wanted = NewPull {
            head: branch(BRANCH),
            base: branch(BASE),
            text,
            title_without_draft: "[draft] A story".to_owned(),
        };
        let opened = self.github.open_pull(&repo(), &wanted).await?;
        Ok(opened.number)
    }

    async fn merge(&self, number: u64) -> Result<MergeAnswer, ForgeError> {
        let squash = Squash {
            head: self.head.clone(),
            title: "A story (#1)".to_owned(),
            message: "Story: octo/app#1".to_owned(),
        };
        self.github.merge_pull(&repo(), number, &squash).await
    }
}

#[tokio::test]
async fn it_is_opened_once_marked_ready_once_and_merged() {
    for path in ["", "/api/v3"] {
        let bench = Bench::at(path);
        let number = bench.open().await.unwrap();
        assert_eq!(bench.open().await.unwrap(), number, "it is found");
        let draft = bench.merge(number).await.unwrap();
        assert!(matches!(draft, MergeAnswer::NotAllowed { .. }), "{draft:?}");
        for _ in 0..2 {
            bench.github.mark_ready(&repo(), number).await.unwrap();
        }
        let mutations = bench.model.writes().into_iter();
        let mutations = mutations.filter(|request| request.path.ends_with("/graphql"));
        assert_eq!(mutations.count(), 1, "a ready one is left alone");
        let MergeAnswer::Merged { commit } = bench.merge(number).await.unwrap() else {
            panic!("it is merged");
        };
        let now = bench.github.pull(&repo(), number).await.unwrap();
        assert_eq!(now.head, bench.head);
        let by_us = true;
        assert_eq!(now.stage, PullStage::Merged { commit, by_us });
    }
}

#[tokio::test]
async fn one_of_somebody_else_for_the_same_branch_is_not_taken_for_huskies_own() {
    let bench = Bench::at("");
    bench.model.open_pull_by(BRANCH, "ada");
    let refused = bench.open().await.unwrap_err();
    let ForgeError::Invalid { message } = refused else {
        panic!("{refused:?}");
    };
    assert!(message.contains("already exists"), "{message}");
}

#[tokio::test]
async fn every_answer_to_a_merge_has_its_own_meaning() {
    let bench = Bench::at("");
    let number = bench.open().await.unwrap();
    bench.github.mark_ready(&repo(), number).await.unwrap();
    for status in [405, 409, 403, 422, 500] {
        let answer = Answer::new(
            status,
            "Base branch was modified. Review and try the merge again.",
        );
        bench
            .model
            .fail_next("PUT", "/merge", Fault::Instead(answer));
        let answer = bench.merge(number).await;
        let is_right = match status {
            405 => matches!(answer, Ok(MergeAnswer::NotAllowed { .. })),
            409 => matches!(answer, Ok(MergeAnswer::Moved { .. })),
            403 => matches!(answer, Ok(MergeAnswer::Forbidden { .. })),
            422 => matches!(answer, Ok(MergeAnswer::Refused { .. })),
            _ => matches!(answer, Err(ForgeError::Unavailable { .. })),
        };
        assert!(is_right, "{status}: {answer:?}");
    }
    assert_eq!(bench.model.merges(), 0);
    let other = git::git(bench.remote.path(), &["rev-parse", BASE]);
    bench.remote.fast_forward(BRANCH, &other);
    let moved = bench.merge(number).await.unwrap();
    assert!(matches!(moved, MergeAnswer::Moved { .. }), "{moved:?}");
}

#[tokio::test]
async fn what_is_missing_is_found_out_also_where_the_token_may_see_little() {
    let bench = Bench::at("");
    let number = bench.open().await.unwrap();
    bench.github.mark_ready(&repo(), number).await.unwrap();
    bench.model.protect(BranchRules {
        approvals: 2,
        checks: vec!["ci"],
        classic_checks: vec!["docs"],
        merge_queue: true,
    });
    bench.model.review(number, "ada", ("APPROVED", ""));
    bench
        .model
        .review(number, "bob", ("CHANGES_REQUESTED", "No."));
    bench.model.pass_check(bench.head.as_str(), "docs");
    let now = bench.github.pull(&repo(), number).await.unwrap();
    assert_eq!(now.mergeable, Mergeable::Blocked);
    let found = bench
        .github
        .obstacles(&repo(), (number, &now))
        .await
        .unwrap();
    assert_eq!(found.approvals, Some((2, 1)));
    assert_eq!(found.changes_requested, ["bob"]);
    assert_eq!(found.checks, ["ci"]);
    assert_eq!(found.rules, [Rule::MergeQueue]);
    let hidden = Answer::new(404, "Not Found");
    for path in ["/rules/", "/branches/", "/reviews"] {
        bench
            .model
            .fail_next("GET", path, Fault::Instead(hidden.clone()));
    }
    bench.model.review(number, "ada", ("APPROVED", "again"));
    let found = bench.github.obstacles(&repo(), (number, &now)).await;
    assert!(found.is_ok(), "{found:?}");
}
