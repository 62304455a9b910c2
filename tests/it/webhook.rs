//! GitHub's deliveries, as its own examples show them and as its model sends them, through the
//! receiver's verification and reading.

use huskies::domain::delivery::{IssueAction, IssueChange};
use huskies::webhook::{Content, Decoded, DeliveryHeaders, SignatureError, decode, verify};
use secrecy::SecretString;
use serde_json::json;

use crate::support::github_model::{Delivery, GithubModel, WEBHOOK_SECRET};

const SHA: &str = "6113728f27ae82c7b1a177c8d03f9e96e0adf246";

fn read(delivery: &Delivery) -> Decoded {
    let secrets = [SecretString::from(WEBHOOK_SECRET)];
    verify(&secrets, delivery.signature.as_deref(), &delivery.body).unwrap();
    let headers = DeliveryHeaders {
        event: Some(&delivery.event),
        delivery: Some(&delivery.id),
        content_type: Some(&delivery.content_type),
    };
    decode(&headers, &delivery.body).unwrap()
}

fn issue_change(delivery: &Delivery) -> IssueChange {
    match read(delivery).content {
        Content::Issue(change) => change,
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_change_of_an_issue_arrives() {
    let model = GithubModel::start("octo/app");
    let number = model.add_issue("Fix the door", "It squeaks.", "ada");
    let labeled = model.label(number, "huskies", "bob");
    assert_eq!(read(&labeled).repo.unwrap().as_str(), "octo/app");
    let change = issue_change(&labeled);
    assert_eq!(change.action, IssueAction::Labeled("huskies".to_owned()));
    assert_eq!(
        (change.number, change.sender.as_str(), change.body.as_str()),
        (number, "bob", "It squeaks.")
    );
    assert_eq!(
        (change.labels, change.at),
        (vec!["huskies".to_owned()], model.now())
    );

    let unlabeled = issue_change(&model.unlabel(number, "huskies", "bob"));
    assert_eq!(
        unlabeled.action,
        IssueAction::Unlabeled("huskies".to_owned())
    );
    assert!(unlabeled.labels.is_empty());
    assert_eq!(
        issue_change(&model.edit_issue(number, "", "ada")).action,
        IssueAction::Edited
    );
    assert_eq!(
        issue_change(&model.close(number, "ada")).action,
        IssueAction::Closed
    );
    assert_eq!(
        issue_change(&model.reopen(number, "ada")).action,
        IssueAction::Reopened
    );
}

#[test]
fn pushes_and_greetings_arrive_and_the_rest_is_ignored() {
    let model = GithubModel::start("octo/app");
    let Content::Push(push) = read(&model.push("main", None, Some(SHA), "ada")).content else {
        panic!("not read")
    };
    assert_eq!((push.before, push.after.unwrap().as_str()), (None, SHA));
    assert_eq!(read(&model.ping()).content, Content::Ping);
    let star = model.delivery("star", &json!({ "action": "created", "starred_at": null }));
    assert!(matches!(read(&star).content, Content::Ignored { .. }));
}

#[test]
fn a_delivery_signed_with_another_secret_is_refused() {
    let model = GithubModel::start("octo/app");
    let forged = model.ping().signed_with("a guess");
    let secrets = [
        SecretString::from("new"),
        SecretString::from(WEBHOOK_SECRET),
    ];
    let verdict = verify(&secrets, forged.signature.as_deref(), &forged.body);
    assert_eq!(verdict, Err(SignatureError::Wrong));
    let rotated = model.ping().signed_with("new");
    assert_eq!(
        verify(&secrets, rotated.signature.as_deref(), &rotated.body),
        Ok(())
    );
}

/// What one of GitHub's own example payloads is read as.
fn example(event: &str, payload: &str) -> Content {
    let headers = DeliveryHeaders {
        event: Some(event),
        delivery: Some("72d3162e-cc78-11e3-81ab-4c9367dc0958"),
        content_type: Some("application/json"),
    };
    let decoded = decode(&headers, payload.as_bytes()).unwrap();
    assert_eq!(decoded.repo.unwrap().name(), "Hello-World");
    decoded.content
}

macro_rules! example {
    ($event:literal, $file:literal) => {
        example(
            $event,
            include_str!(concat!("../fixtures/github-deliveries/", $file, ".json")),
        )
    };
}

#[test]
fn githubs_own_examples_are_read() {
    let Content::Issue(labeled) = example!("issues", "issues.labeled") else {
        panic!("not read")
    };
    assert_eq!(labeled.action, IssueAction::Labeled("bug".to_owned()));
    assert_eq!(
        (labeled.number, labeled.title.as_str()),
        (1, "Spelling error in the README file")
    );
    assert_eq!(
        (labeled.labels, labeled.sender.as_str()),
        (vec!["bug".to_owned()], "Codertocat")
    );
    assert_eq!(labeled.at.to_string(), "2019-05-15T15:20:18Z");

    let Content::Issue(unlabeled) = example!("issues", "issues.unlabeled") else {
        panic!("not read")
    };
    assert_eq!(unlabeled.action, IssueAction::Unlabeled("bug".to_owned()));
    let Content::Issue(edited) = example!("issues", "issues.edited") else {
        panic!("not read")
    };
    assert_eq!(edited.action, IssueAction::Edited);
    let Content::Push(push) = example!("push", "push.branch-created") else {
        panic!("not read")
    };
    assert_eq!(
        (
            push.branch.as_str(),
            push.before,
            push.after.unwrap().as_str()
        ),
        ("master", None, SHA)
    );
}

#[test]
fn githubs_examples_of_other_events_are_ignored() {
    let others = [
        example!("issues", "issues.assigned"),
        example!("push", "push.tag-deleted"),
    ];
    assert!(
        others
            .iter()
            .all(|other| matches!(other, Content::Ignored { .. }))
    );
    assert_eq!(example!("ping", "ping"), Content::Ping);
}
