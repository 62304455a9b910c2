//! What deliveries are read as: GitHub's own, thinner ones of compatible servers, and hostile ones.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::domain::delivery::IssueAction;
use crate::domain::dependency::Family;

const ZEROS: &str = "0000000000000000000000000000000000000000";
/// One that is not read.
const UNREAD_EVENT: &str = "star";
const SHA: &str = "6113728f27ae82c7b1a177c8d03f9e96e0adf246";
const OTHER_SHA: &str = "0d1a26e67d8f5eaf1f6ba5c57fc3c7d91ac0fd1c";

fn headers(event: &str) -> DeliveryHeaders<'_> {
    DeliveryHeaders {
        event: Some(event),
        delivery: Some("72d3162e-cc78-11e3-81ab-4c9367dc0958"),
        content_type: Some("application/json"),
    }
}

fn decode_json(event: &str, payload: &Value) -> Result<Decoded, DecodeError> {
    decode(&headers(event), payload.to_string().as_bytes())
}

fn content(event: &str, payload: &Value) -> Content {
    decode_json(event, payload).unwrap().content
}

/// Why a payload is ignored.
fn reason(event: &str, payload: &Value) -> String {
    match content(event, payload) {
        Content::Ignored { reason } => reason,
        other => panic!("not ignored: {other:?}"),
    }
}

fn malformed(event: &str, payload: &Value) -> bool {
    matches!(
        decode_json(event, payload),
        Err(DecodeError::Malformed { .. })
    )
}

fn labeled() -> Value {
    json!({
        "action": "labeled",
        "issue": {
            "number": 42, "title": "Fix the door", "body": "It squeaks.", "state": "open",
            "labels": [{ "id": 1, "name": "bug", "color": "d73a4a" }, { "id": 2, "name": "huskies" }],
            "updated_at": "2026-01-02T03:04:05Z", "user": { "login": "ada" },
        },
        "label": { "id": 2, "name": "huskies", "color": "ededed", "default": false },
        "repository": { "id": 3, "full_name": "octo/app" },
        "sender": { "login": "bob", "id": 4, "type": "User" },
    })
}

fn pushed() -> Value {
    json!({
        "ref": "refs/heads/main", "before": OTHER_SHA, "after": SHA,
        "created": false, "deleted": false, "forced": false, "commits": [],
        "repository": { "full_name": "octo/app" },
        "pusher": { "name": "ada", "email": "ada@example.com" }, "sender": { "login": "ada" },
    })
}

#[test]
fn a_labeled_issue_is_read() {
    let decoded = decode_json("issues", &labeled()).unwrap();
    assert_eq!(
        decoded.delivery.as_str(),
        "72d3162e-cc78-11e3-81ab-4c9367dc0958"
    );
    assert_eq!(decoded.repo.unwrap().as_str(), "octo/app");
    let expected = IssueChange {
        number: 42,
        action: IssueAction::Labeled("huskies".to_owned()),
        sender: "bob".to_owned(),
        by_bot: false,
        title: "Fix the door".to_owned(),
        body: "It squeaks.".to_owned(),
        labels: vec!["bug".to_owned(), "huskies".to_owned()],
        at: "2026-01-02T03:04:05Z".parse().unwrap(),
        not_planned: false,
        family: Family::default(),
    };
    assert_eq!(decoded.content, Content::Issue(expected));
}

#[test]
fn every_action_that_moves_a_story_is_read() {
    let actions = [
        ("labeled", IssueAction::Labeled("huskies".to_owned())),
        ("unlabeled", IssueAction::Unlabeled("huskies".to_owned())),
        ("closed", IssueAction::Closed),
        ("reopened", IssueAction::Reopened),
        ("edited", IssueAction::Edited),
    ];
    for (action, expected) in actions {
        let mut payload = labeled();
        payload["action"] = json!(action);
        let Content::Issue(change) = content("issues", &payload) else {
            panic!("{action} is not read")
        };
        assert_eq!(change.action, expected);
    }
}

#[test]
fn a_thin_payload_of_a_compatible_server_is_read() {
    let payload = json!({
        "action": "labeled",
        "issue": { "number": 42, "title": null, "body": null, "updated_at": "2026-01-02T05:04:05+02:00" },
        "label": { "name": "huskies", "color": "ededed" },
        "repository": { "full_name": "octo/app" },
        "sender": { "login": "bob" },
    });
    let Content::Issue(change) = content("issues", &payload) else {
        panic!("not read")
    };
    assert_eq!((change.title.as_str(), change.body.as_str()), ("", ""));
    assert_eq!(change.labels, ["huskies"]);
    assert_eq!(change.at.to_string(), "2026-01-02T03:04:05Z");
}

#[test]
fn the_labels_are_those_after_the_change_whoever_sends_them() {
    let mut payload = labeled();
    payload["action"] = json!("unlabeled");
    let Content::Issue(change) = content("issues", &payload) else {
        panic!("not read")
    };
    assert_eq!(change.labels, ["bug"]);
}

#[test]
fn what_huskies_does_not_use_is_ignored_with_the_reason() {
    let mut typed = labeled();
    typed["action"] = json!("typed");
    typed["issue"] = json!("of a form that nobody has seen yet");
    assert_eq!(
        reason("issues", &typed),
        "huskies does not act on issues that are `typed`"
    );
    assert_eq!(
        reason("star", &json!({ "action": 7 })),
        "huskies does not use `star` events"
    );
    let mut no_label = labeled();
    no_label.as_object_mut().unwrap().remove("label");
    assert_eq!(
        reason("issues", &no_label),
        "it does not say which label it is about"
    );
    let mut nobody = labeled();
    nobody["sender"] = Value::Null;
    assert!(reason("issues", &nobody).starts_with("it does not say who did it"));
    assert_eq!(
        content("ping", &json!({ "zen": "Keep it logically awesome." })),
        Content::Ping
    );
}

#[test]
fn a_push_to_a_branch_is_read() {
    let Content::Push(push) = content("push", &pushed()) else {
        panic!("not read")
    };
    assert_eq!(
        (push.branch.as_str(), push.sender.as_str()),
        ("main", "ada")
    );
    assert_eq!(
        (push.before.unwrap().as_str(), push.after.unwrap().as_str()),
        (OTHER_SHA, SHA)
    );
}

#[test]
fn zeros_stand_for_a_branch_that_was_created_or_deleted() {
    let mut created = pushed();
    created["before"] = json!(ZEROS);
    let Content::Push(push) = content("push", &created) else {
        panic!("not read")
    };
    assert_eq!((push.before, push.after.is_some()), (None, true));
    let mut deleted = pushed();
    deleted["after"] = json!(ZEROS);
    deleted["head_commit"] = Value::Null;
    let Content::Push(push) = content("push", &deleted) else {
        panic!("not read")
    };
    assert_eq!((push.before.is_some(), push.after), (true, None));
    created["after"] = json!(ZEROS);
    assert_eq!(
        reason("push", &created),
        "the push neither begins nor ends at a commit"
    );
}

#[test]
fn a_thin_push_names_whoever_it_can() {
    let mut payload = pushed();
    payload["sender"] = Value::Null;
    payload["pusher"] = json!({ "name": "eve" });
    let Content::Push(push) = content("push", &payload) else {
        panic!("not read")
    };
    assert_eq!(push.sender, "eve");
    payload.as_object_mut().unwrap().remove("pusher");
    let Content::Push(push) = content("push", &payload) else {
        panic!("not read")
    };
    assert_eq!(push.sender, "ghost");
}

#[test]
fn tags_and_hostile_branch_names_are_ignored() {
    for reference in [
        "refs/tags/v1",
        "refs/notes/commits",
        "main",
        "refs/heads/a..b",
        "refs/heads/-x",
        "refs/heads/",
    ] {
        let mut payload = pushed();
        payload["ref"] = json!(reference);
        assert!(
            reason("push", &payload).contains("is not a branch"),
            "{reference}"
        );
    }
    let mut payload = pushed();
    payload["ref"] = json!("refs/heads/x\n::set-output\u{1b}[2J");
    assert!(!reason("push", &payload).chars().any(char::is_control));
}

#[test]
fn what_cannot_be_read_is_malformed() {
    for repo in ["../etc/passwd", "octo", "octo/../app", "", "octo/app;rm"] {
        let mut payload = labeled();
        payload["repository"]["full_name"] = json!(repo);
        assert!(malformed("issues", &payload), "{repo}");
    }
    let broken = [
        ("/issue/number", json!(-1)),
        ("/issue/number", json!("42")),
        ("/issue/updated_at", json!("yesterday")),
        ("/issue", Value::Null),
        ("/action", Value::Null),
        ("/sender", json!("bob")),
    ];
    for (field, value) in broken {
        let mut payload = labeled();
        *payload.pointer_mut(field).unwrap() = value;
        assert!(malformed("issues", &payload), "{field}");
    }
    for (field, value) in [
        ("/after", json!("deadbeef")),
        ("/before", json!("")),
        ("/ref", json!(1)),
    ] {
        let mut payload = pushed();
        *payload.pointer_mut(field).unwrap() = value;
        assert!(malformed("push", &payload), "{field}");
    }
    for body in [
        "",
        "{",
        "[]",
        "null",
        "\"text\"",
        "{\"action\":\"labeled\"} trailing",
    ] {
        let result = decode(&headers("issues"), body.as_bytes());
        assert!(
            matches!(result, Err(DecodeError::Malformed { .. })),
            "{body}"
        );
    }
    let deep = "[".repeat(100_000);
    assert!(matches!(
        decode(&headers("ping"), deep.as_bytes()),
        Err(DecodeError::Malformed { .. })
    ));
}

#[test]
fn only_json_is_taken_and_the_error_says_where_to_set_it() {
    let body = pushed().to_string();
    for good in ["application/json", "Application/JSON; charset=utf-8"] {
        let headers = DeliveryHeaders {
            content_type: Some(good),
            ..headers("push")
        };
        assert!(decode(&headers, body.as_bytes()).is_ok(), "{good}");
    }
    for bad in [
        None,
        Some("application/x-www-form-urlencoded"),
        Some("text/json"),
        Some("application/jsonx"),
    ] {
        let headers = DeliveryHeaders {
            content_type: bad,
            ..headers("push")
        };
        let error = decode(&headers, body.as_bytes()).unwrap_err();
        assert!(matches!(error, DecodeError::ContentType { .. }), "{bad:?}");
        assert!(
            error
                .to_string()
                .contains("set the webhook's content type to `application/json`")
        );
    }
}

#[test]
fn a_delivery_needs_its_event_and_its_id() {
    let body = pushed().to_string();
    for event in [None, Some("")] {
        let headers = DeliveryHeaders {
            event,
            ..headers("push")
        };
        let error = decode(&headers, body.as_bytes()).unwrap_err();
        assert_eq!(
            error,
            DecodeError::Header {
                name: "X-GitHub-Event"
            }
        );
    }
    for delivery in [None, Some(""), Some("two words")] {
        let headers = DeliveryHeaders {
            delivery,
            ..headers("push")
        };
        let error = decode(&headers, body.as_bytes()).unwrap_err();
        assert_eq!(
            error,
            DecodeError::Header {
                name: "X-GitHub-Delivery"
            }
        );
    }
}

/// JSON of any shape, in and around the field names that are looked at.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        Just(json!("labeled")),
        Just(json!("octo/app")),
        Just(json!(ZEROS)),
        Just(json!("2026-01-02T03:04:05Z")),
    ];
    leaf.prop_recursive(4, 64, 8, |inner| {
        let key = prop_oneof![
            Just("action"),
            Just("issue"),
            Just("label"),
            Just("labels"),
            Just("name"),
            Just("number"),
            Just("repository"),
            Just("full_name"),
            Just("sender"),
            Just("login"),
            Just("ref"),
            Just("before"),
            Just("after"),
            Just("updated_at"),
            Just("title"),
        ];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(key.prop_map(str::to_owned), inner, 0..8)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn no_bytes_and_no_headers_cause_a_panic(
        body in prop::collection::vec(any::<u8>(), 0..200),
        event in prop::option::of("[a-z]{0,8}"),
        delivery in prop::option::of(any::<String>()),
        content_type in prop::option::of(any::<String>()),
    ) {
        let headers = DeliveryHeaders {
            event: event.as_deref(),
            delivery: delivery.as_deref(),
            content_type: content_type.as_deref(),
        };
        prop_assert!(decode(&headers, &body).is_err() || content_type.is_some());
        let secrets = [secrecy::SecretString::from("a secret")];
        prop_assert!(verify(&secrets, delivery.as_deref(), &body).is_err());
    }

    #[test]
    fn no_json_causes_a_panic_and_what_is_read_names_its_repository(
        payload in any_json(),
        event in prop::sample::select([&EVENTS[..], &[UNREAD_EVENT]].concat()),
    ) {
        if let Ok(decoded) = decode_json(event, &payload) {
            prop_assert!(!decoded.content.is_of_a_repository() || decoded.repo.is_some());
        }
    }

    #[test]
    fn one_field_of_any_shape_causes_no_panic(value in any_json(), field in 0..7_usize) {
        let fields = ["/action", "/issue", "/label", "/sender", "/repository", "/issue/labels", "/issue/number"];
        let mut payload = labeled();
        *payload.pointer_mut(fields[field]).unwrap() = value;
        if let Ok(Decoded { content: Content::Issue(change), .. }) = decode_json("issues", &payload) {
            prop_assert!(!change.sender.is_empty());
        }
    }
}
