//! GitHub's deliveries, as its model sends them, through the receiver's verification and reading.

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
        other @ (Content::Push(_) | Content::Ping | Content::Ignored { .. }) => panic!("{other:?}"),
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
