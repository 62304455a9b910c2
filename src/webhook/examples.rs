//! Every example that GitHub publishes of the events that huskies reads, and payloads of servers
//! that are only like GitHub.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use super::*;
use crate::domain::delivery::{ReviewKind, WantedCheck};

const EXAMPLES: &str = include_str!("../../tests/fixtures/github-examples/examples.jsonl");

#[derive(Deserialize)]
struct Example {
    event: String,
    payload: Value,
}

fn read(event: &str, payload: &Value) -> Content {
    let headers = DeliveryHeaders {
        event: Some(event),
        delivery: Some("d-1"),
        content_type: Some("application/json"),
    };
    let decoded = decode(&headers, payload.to_string().as_bytes());
    decoded
        .unwrap_or_else(|error| panic!("{event}: {error}: {payload}"))
        .content
}

fn head(head: &crate::domain::delivery::PullRequestHead) -> String {
    let repo = head.repo.as_ref().map_or("nowhere", RepoName::as_str);
    let branch = head.branch.as_ref().map_or("?", |branch| branch.as_str());
    format!("{} of {branch} in {repo}", head.commit.short())
}

/// What an example is read as, in a few words.
#[expect(clippy::too_many_lines, reason = "a table is read as a whole")]
fn words(content: &Content) -> String {
    match content {
        Content::Issue(change) => format!(
            "{:?} #{} by {}",
            change.action, change.number, change.sender
        ),
        Content::Comment { comment, text } => {
            let place = if comment.on_pull_request {
                "pull request"
            } else {
                "issue"
            };
            format!(
                "{} on {place} #{} by {}: {text:?}",
                comment.id, comment.number, comment.sender
            )
        }
        Content::Push(push) => format!("{} by {}", push.branch, push.sender),
        Content::PullRequest(change) => format!(
            "{:?} #{}: {} to {:?} by {}{}",
            change.action,
            change.number,
            head(&change.head),
            change
                .base
                .branch
                .as_ref()
                .map(ToString::to_string)
                .unwrap_or_default(),
            change.sender,
            if change.draft { ", a draft" } else { "" }
        ),
        Content::Review(review) => {
            let kind = match &review.kind {
                ReviewKind::Submitted { verdict, .. } => format!("{verdict:?}"),
                ReviewKind::Dismissed => "Dismissed".to_owned(),
                ReviewKind::Comment { id, path, line } => format!("{id} at {path}:{line:?}"),
            };
            format!(
                "{kind} #{}: {} by {}: {:?}",
                review.number,
                head(&review.head),
                review.sender,
                review.text
            )
        }
        Content::Check(result) => format!(
            "{:?} of {:?} on {} of {}: {:?}",
            result.outcome,
            result.name,
            result.commit.short(),
            result.branch.as_ref().map_or("?", |branch| branch.as_str()),
            result.summary,
        ),
        Content::CheckRequest(request) => {
            let wanted = match &request.wanted {
                WantedCheck::Suite { .. } => "a suite".to_owned(),
                WantedCheck::SuiteAgain { .. } => "a suite again".to_owned(),
                WantedCheck::RunAgain { name, .. } => format!("{name:?} again"),
                WantedCheck::Action { action, .. } => format!("the action {action:?}"),
            };
            format!(
                "{wanted} on {} of App {:?} by {}",
                request.commit.short(),
                request.app,
                request.sender
            )
        }
        Content::Installation(change) => format!(
            "{:?} at {}: {} added, {} removed",
            change.action,
            change.account,
            change.added.len(),
            change.removed.len()
        ),
        Content::Ping => "a greeting".to_owned(),
        Content::Ignored { reason } => format!("ignored: {reason}"),
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table is read as a whole")]
fn every_example_of_github_is_read() {
    let mut table: BTreeMap<String, usize> = BTreeMap::new();
    for line in EXAMPLES.lines() {
        let Example { event, payload } = serde_json::from_str(line).unwrap();
        let line = format!("{event}: {}", words(&read(&event, &payload)));
        *table.entry(line).or_default() += 1;
    }
    let lines: Vec<String> = table
        .iter()
        .map(|(line, count)| format!("{count} {line}"))
        .collect();
    insta::assert_snapshot!(lines.join("\n"), @r#"
    2 check_run: "randscape" again on d6fde92930 of App Some(2) by octocat
    1 check_run: Failure of "Octocoders-linter" on ec26c3e57c of changes: ""
    1 check_run: Success of "Octocoders-linter" on 14977a7b54 of changes: ""
    2 check_run: Success of "Octocoders-linter" on ec26c3e57c of changes: ""
    5 check_run: ignored: huskies does not act on check runs that are `created`
    1 check_run: the action "lgtm|26764" on 5bd5f196a4 of App Some(25811) by codebytere
    1 check_suite: a suite again on 14977a7b54 of App Some(2) by octocoders-linter[bot]
    2 check_suite: a suite again on ec26c3e57c of App Some(29310) by octocoders-linter[bot]
    1 check_suite: a suite on 78a96099c3 of App Some(2) by Codertocat
    3 check_suite: a suite on f95f852bd8 of App Some(29310) by Codertocat
    6 check_suite: ignored: huskies does not act on check suites that are `completed`
    3 installation: Created at Codertocat: 1 added, 0 removed
    1 installation: Deleted at Codertocat: 0 added, 0 removed
    2 installation: Deleted at octocat: 0 added, 1 removed
    1 installation: PermissionsAccepted at Codertocat: 0 added, 0 removed
    1 installation: Suspended at Codertocat: 0 added, 0 removed
    1 installation: Unsuspended at Codertocat: 0 added, 0 removed
    1 installation_repositories: Repositories at Codertocat: 0 added, 1 removed
    3 installation_repositories: Repositories at Codertocat: 1 added, 0 removed
    1 installation_repositories: Repositories at octocat: 0 added, 1 removed
    1 issue_comment: 2 on issue #1 by Codertocat: "You are totally right! I'll get this fixed right away."
    5 issue_comment: 492700400 on issue #1 by Codertocat: "You are totally right! I'll get this fixed right away."
    3 issue_comment: ignored: huskies does not act on comments that are `deleted`
    3 issue_comment: ignored: huskies does not act on comments that are `edited`
    4 issues: Edited #1 by Codertocat
    3 issues: Labeled("bug") #1 by Codertocat
    1 issues: Reopened #1 by Codertocat
    3 issues: Unlabeled("bug") #1 by Codertocat
    4 issues: ignored: huskies does not act on issues that are `assigned`
    1 issues: ignored: huskies does not act on issues that are `deleted`
    3 issues: ignored: huskies does not act on issues that are `demilestoned`
    2 issues: ignored: huskies does not act on issues that are `locked`
    3 issues: ignored: huskies does not act on issues that are `milestoned`
    5 issues: ignored: huskies does not act on issues that are `opened`
    1 issues: ignored: huskies does not act on issues that are `pinned`
    1 issues: ignored: huskies does not act on issues that are `transferred`
    3 issues: ignored: huskies does not act on issues that are `unassigned`
    2 issues: ignored: huskies does not act on issues that are `unlocked`
    1 issues: ignored: huskies does not act on issues that are `unpinned`
    5 ping: a greeting
    1 pull_request: Closed { merged: None } #2: 14977a7b54 of changes in Codertocat/Hello-World to "master" by Codertocat
    2 pull_request: Closed { merged: None } #2: ec26c3e57c of changes in Codertocat/Hello-World to "master" by Codertocat
    3 pull_request: ConvertedToDraft #2: ec26c3e57c of changes in Codertocat/Hello-World to "master" by Codertocat, a draft
    1 pull_request: Labeled { label: "bug" } #2: 14977a7b54 of changes in Codertocat/Hello-World to "master" by Codertocat
    2 pull_request: Labeled { label: "bug" } #2: ec26c3e57c of changes in Codertocat/Hello-World to "master" by Codertocat
    1 pull_request: Opened #2: 14977a7b54 of changes in Codertocat/Hello-World to "master" by Codertocat
    4 pull_request: Opened #2: ec26c3e57c of changes in Codertocat/Hello-World to "master" by Codertocat
    3 pull_request: ReadyForReview #2: ec26c3e57c of changes in Codertocat/Hello-World to "master" by Codertocat
    2 pull_request: Reopened #2: ec26c3e57c of changes in Codertocat/Hello-World to "master" by Codertocat
    1 pull_request: Synchronized { before: Some(Sha("f95f852bd8fca8fcc58a9a2d6c842781e32a215e")) } #2: ec26c3e57c of changes in Codertocat/Hello-World to "master" by Codertocat
    1 pull_request: Unlabeled { label: "bug" } #2: 14977a7b54 of changes in Codertocat/Hello-World to "master" by Codertocat
    2 pull_request: Unlabeled { label: "bug" } #2: ec26c3e57c of changes in Codertocat/Hello-World to "master" by Codertocat
    3 pull_request: ignored: huskies does not act on pull requests that are `assigned`
    2 pull_request: ignored: huskies does not act on pull requests that are `locked`
    1 pull_request: ignored: huskies does not act on pull requests that are `review_request_removed`
    1 pull_request: ignored: huskies does not act on pull requests that are `review_requested`
    3 pull_request: ignored: huskies does not act on pull requests that are `unassigned`
    2 pull_request: ignored: huskies does not act on pull requests that are `unlocked`
    1 pull_request_review: Commented #2: 14977a7b54 of changes in Codertocat/Hello-World by Codertocat: ""
    3 pull_request_review: Commented #2: ec26c3e57c of changes in Codertocat/Hello-World by Codertocat: ""
    1 pull_request_review: Dismissed #2: ec26c3e57c of changes in Codertocat/Hello-World by Codertocat: ""
    1 pull_request_review_comment: 2 at README.md:None #2: 14977a7b54 of changes in Codertocat/Hello-World by Codertocat: "Maybe you should use more emoji on this line."
    1 pull_request_review_comment: 284312630 at README.md:None #2: ec26c3e57c of changes in Codertocat/Hello-World by Codertocat: "Maybe you should use more emoji on this line."
    2 pull_request_review_comment: 284312630 at README.md:Some(265) #2: ec26c3e57c of changes in Codertocat/Hello-World by Codertocat: "Maybe you should use more emoji on this line."
    1 pull_request_review_comment: ignored: huskies does not act on review comments that are `deleted`
    1 pull_request_review_comment: ignored: huskies does not act on review comments that are `edited`
    8 push: ignored: `refs/tags/simple-tag` is not a branch
    2 push: master by Codertocat
    2 status: Success of "default" on 4544205a38 of ?: ""
    3 status: Success of "default" on 6113728f27 of ?: ""
    1 status: Success of "default" on 6113728f27 of master: ""
    1 workflow_run: Neutral of "Manually triggered workflow" on 5779607b49 of main: ""
    2 workflow_run: Success of "" on 3484a3fb81 of master: ""
    2 workflow_run: ignored: huskies does not act on workflow runs that are `requested`
    "#);
}

/// As emulate 0.12.2 and Gitea send them: with less than GitHub, or with actions of their own.
#[test]
#[expect(clippy::too_many_lines, reason = "a table is read as a whole")]
fn thin_payloads_of_servers_like_github_are_read_or_ignored() {
    let repository = json!({ "full_name": "octo/app" });
    let sender = json!({ "login": "ada" });
    let sha = "6113728f27ae82c7b1a177c8d03f9e96e0adf246";
    let mut lines = Vec::new();
    for (event, mut payload) in [
        (
            "issues",
            json!({ "action": "label_updated", "issue": { "number": 1 } }),
        ),
        (
            "issues",
            json!({ "action": "label_cleared", "issue": { "number": 1 } }),
        ),
        (
            "issues",
            json!({ "action": "labeled", "issue": { "number": 1, "updated_at": "2026-01-02T03:04:05Z" } }),
        ),
        (
            "issue_comment",
            json!({ "action": "created", "issue": { "number": 1 }, "comment": { "id": 2, "body": null } }),
        ),
        (
            "issue_comment",
            json!({ "action": "created", "issue": { "number": 1, "pull_request": {} }, "comment": { "id": 2, "body": "Hi" } }),
        ),
        ("issue_comment", json!({ "action": "pinned" })),
        (
            "push",
            json!({ "ref": "refs/heads/main", "before": "0".repeat(40), "after": "0".repeat(40), "commits": [] }),
        ),
        (
            "push",
            json!({ "ref": "refs/heads/main", "before": "0".repeat(40), "after": sha }),
        ),
        (
            "pull_request",
            json!({ "action": "opened", "pull_request": { "number": 3, "head": { "ref": "x", "sha": sha } } }),
        ),
        (
            "pull_request",
            json!({ "action": "label_updated", "pull_request": {} }),
        ),
        (
            "pull_request",
            json!({ "action": "labeled", "pull_request": { "number": 3, "head": { "ref": "x", "sha": sha } } }),
        ),
        (
            "pull_request",
            json!({ "action": "closed", "pull_request": { "number": 3, "merged": true, "merge_commit_sha": sha, "head": { "ref": "x", "sha": sha, "repo": null } } }),
        ),
        (
            "pull_request_review",
            json!({ "action": "submitted", "review": { "state": "APPROVED" }, "pull_request": { "number": 3, "head": { "sha": sha } } }),
        ),
        (
            "pull_request_review",
            json!({ "action": "submitted", "review": {}, "pull_request": { "number": 3, "head": { "sha": sha } } }),
        ),
        (
            "pull_request_review_comment",
            json!({ "action": "created", "comment": { "id": 4, "body": "?" }, "pull_request": { "number": 3, "head": { "sha": sha } } }),
        ),
        (
            "check_run",
            json!({ "action": "completed", "check_run": { "id": 5, "head_sha": sha, "name": "ci", "conclusion": "failure" } }),
        ),
        (
            "check_run",
            json!({ "action": "created", "check_run": { "id": 5 } }),
        ),
        (
            "check_run",
            json!({ "action": "rerequested", "check_run": { "id": 5, "head_sha": sha } }),
        ),
        (
            "check_suite",
            json!({ "action": "rerequested", "check_suite": { "head_sha": sha } }),
        ),
        (
            "workflow_run",
            json!({ "action": "completed", "workflow_run": { "head_sha": sha, "conclusion": "something_new" } }),
        ),
        ("status", json!({ "sha": sha, "state": "warning" })),
        ("status", json!({ "sha": sha, "state": "failure" })),
        (
            "installation",
            json!({ "action": "created", "installation": { "id": 6 } }),
        ),
        ("installation_target", json!({ "action": "renamed" })),
    ] {
        payload["repository"] = repository.clone();
        payload["sender"] = sender.clone();
        lines.push(format!("{event}: {}", words(&read(event, &payload))));
        payload.as_object_mut().unwrap().remove("sender");
        let anonymous = read(event, &payload);
        let known = matches!(
            &anonymous,
            Content::Ignored { .. } | Content::Push(_) | Content::Check(_)
        );
        assert!(known, "{event}: nobody asked for that: {anonymous:?}");
    }
    insta::assert_snapshot!(lines.join("\n"), @r#"
    issues: ignored: huskies does not act on issues that are `label_updated`
    issues: ignored: huskies does not act on issues that are `label_cleared`
    issues: ignored: it does not say which label it is about
    issue_comment: 2 on issue #1 by ada: ""
    issue_comment: 2 on pull request #1 by ada: "Hi"
    issue_comment: ignored: huskies does not act on comments that are `pinned`
    push: ignored: the push neither begins nor ends at a commit
    push: main by ada
    pull_request: Opened #3: 6113728f27 of x in nowhere to "" by ada
    pull_request: ignored: huskies does not act on pull requests that are `label_updated`
    pull_request: ignored: it does not say which label it is about
    pull_request: Closed { merged: Some(Sha("6113728f27ae82c7b1a177c8d03f9e96e0adf246")) } #3: 6113728f27 of x in nowhere to "" by ada
    pull_request_review: Approved #3: 6113728f27 of ? in nowhere by ada: ""
    pull_request_review: ignored: huskies does not know what a review says that is ``
    pull_request_review_comment: 4 at :None #3: 6113728f27 of ? in nowhere by ada: "?"
    check_run: Failure of "ci" on 6113728f27 of ?: ""
    check_run: ignored: huskies does not act on check runs that are `created`
    check_run: "" again on 6113728f27 of App None by ada
    check_suite: a suite again on 6113728f27 of App None by ada
    workflow_run: Neutral of "" on 6113728f27 of ?: ""
    status: ignored: huskies does not act on statuses that are `warning`
    status: Failure of "" on 6113728f27 of ?: ""
    installation: Created at : 0 added, 0 removed
    installation_target: ignored: huskies does not use `installation_target` events
    "#);
}

#[test]
fn a_program_is_told_from_a_person() {
    let comment = |sender: Value| {
        let payload = json!({
            "action": "created", "issue": { "number": 1 }, "comment": { "id": 2 },
            "repository": { "full_name": "octo/app" }, "sender": sender,
        });
        match read("issue_comment", &payload) {
            Content::Comment { comment, .. } => comment.by_bot,
            other => panic!("not read: {other:?}"),
        }
    };
    assert!(!comment(json!({ "login": "ada", "type": "User" })));
    assert!(!comment(json!({ "login": "ada" })));
    assert!(comment(json!({ "login": "Copilot", "type": "Bot" })));
    assert!(comment(json!({ "login": "renovate[bot]" })));
}
