//! Signed webhook deliveries, as GitHub sends them.

use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::Sha256;

use super::WEBHOOK_SECRET;

/// One delivery, ready to be sent: as often as a test wants, and bent as it wants.
#[derive(Debug, Clone)]
pub(crate) struct Delivery {
    /// `X-GitHub-Delivery`.
    pub(crate) id: String,
    /// `X-GitHub-Event`.
    pub(crate) event: String,
    pub(crate) content_type: String,
    /// `X-Hub-Signature-256`; `None` sends none.
    pub(crate) signature: Option<String>,
    pub(crate) body: Vec<u8>,
}

impl Delivery {
    pub(super) fn new(id: String, event: &str, payload: &Value) -> Self {
        let delivery = Self {
            id,
            event: event.to_owned(),
            content_type: "application/json".to_owned(),
            signature: None,
            body: payload.to_string().into_bytes(),
        };
        delivery.signed_with(WEBHOOK_SECRET)
    }

    /// Signs the body as it is now.
    pub(crate) fn signed_with(mut self, secret: &str) -> Self {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("any length will do");
        mac.update(&self.body);
        self.signature = Some(format!(
            "sha256={}",
            hex::encode(mac.finalize().into_bytes())
        ));
        self
    }

    /// The headers that GitHub documents for every delivery.
    pub(crate) fn headers(&self) -> Vec<(&'static str, String)> {
        let mut headers = vec![
            ("content-type", self.content_type.clone()),
            ("user-agent", "GitHub-Hookshot/0123456".to_owned()),
            ("x-github-delivery", self.id.clone()),
            ("x-github-event", self.event.clone()),
            ("x-github-hook-id", "109948940".to_owned()),
            (
                "x-github-hook-installation-target-type",
                "repository".to_owned(),
            ),
            (
                "x-github-hook-installation-target-id",
                "186853002".to_owned(),
            ),
        ];
        headers.extend(
            self.signature
                .clone()
                .map(|signature| ("x-hub-signature-256", signature)),
        );
        headers
    }

    /// The payload, for tests that look into it or change it.
    pub(crate) fn payload(&self) -> Value {
        serde_json::from_slice(&self.body).expect("deliveries are JSON")
    }
}

/// What a receiver answered.
#[derive(Debug, Clone)]
pub(crate) struct Receipt {
    pub(crate) status: u16,
    /// Null when the answer was no JSON.
    pub(crate) body: Value,
}

/// Posts a delivery to `<base_url>/webhooks/github`.
///
/// # Panics
/// When nobody answers.
pub(crate) async fn send(base_url: &str, delivery: &Delivery) -> Receipt {
    let mut request = reqwest::Client::new()
        .post(format!("{base_url}/webhooks/github"))
        .body(delivery.body.clone());
    for (name, value) in delivery.headers() {
        request = request.header(name, value);
    }
    let response = request.send().await.expect("the receiver answers");
    let status = response.status().as_u16();
    let body = response.bytes().await.expect("the answer has a body");
    Receipt {
        status,
        body: serde_json::from_slice(&body).unwrap_or(Value::Null),
    }
}
