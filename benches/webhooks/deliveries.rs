//! Signed deliveries, made before the clock starts.

use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::forge::STRANGER;

pub(crate) const SECRET: &str = "the secret of a benchmark";
pub(crate) const REPO: &str = "octo/app";
/// A sample of GitHub's own, of 12 kB.
const SAMPLE: &str = include_str!("../../tests/fixtures/github-deliveries/issues.labeled.json");
/// Among how many issues ordinary labels are spread.
const ISSUES: usize = 500;

/// Whole HTTP/1.1 requests.
pub(crate) struct Deliveries(pub(crate) Vec<Vec<u8>>);

struct Label<'a> {
    number: usize,
    name: &'a str,
    sender: &'a str,
}

impl Deliveries {
    /// What any busy repository sends: labels that mean nothing to huskies.
    pub(crate) fn ordinary(count: usize) -> Self {
        Self::of((0..count).map(|place| Label {
            number: place % ISSUES + 1_000,
            name: "bug",
            sender: STRANGER,
        }))
    }

    /// The start label on as many issues.
    pub(crate) fn starts(count: usize) -> Self {
        Self::of((0..count).map(|place| Label {
            number: place + 100_000,
            name: "huskies",
            sender: STRANGER,
        }))
    }

    /// The start label on one issue.
    pub(crate) fn start_of(number: usize, sender: &str) -> Self {
        Self::of(std::iter::once(Label {
            number,
            name: "huskies",
            sender,
        }))
    }

    fn of<'a>(labels: impl Iterator<Item = Label<'a>>) -> Self {
        let sample: Value = serde_json::from_str(SAMPLE).unwrap();
        Self(
            labels
                .map(|label| request(sample.clone(), &label))
                .collect(),
        )
    }
}

fn request(mut payload: Value, label: &Label<'_>) -> Vec<u8> {
    payload["issue"]["number"] = json!(label.number);
    payload["issue"]["updated_at"] = json!("2026-11-24T12:00:00Z");
    payload["issue"]["labels"] = json!([{ "name": label.name }]);
    payload["label"]["name"] = json!(label.name);
    payload["repository"]["full_name"] = json!(REPO);
    payload["sender"]["login"] = json!(label.sender);
    let body = payload.to_string();
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(body.as_bytes());
    let signature = hex::encode(mac.finalize().into_bytes());
    let mut id = [0; 16];
    getrandom::fill(&mut id).unwrap();
    let id = hex::encode(id);
    format!(
        "POST /webhooks/github HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n\
         x-github-event: issues\r\nx-github-delivery: {id}\r\nx-hub-signature-256: sha256={signature}\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}
