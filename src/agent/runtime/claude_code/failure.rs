//! What stood behind a failed run: the provider's limits, the account, or something else.

use jiff::Timestamp;
use serde_json::Value;

use super::stream::{text, timestamp};
use crate::domain::work::End;

/// Collects what the stream says about failed API calls.
#[derive(Debug, Default)]
pub(super) struct Failure {
    /// `error` of the last message that reports an API error.
    kind: String,
    /// The HTTP status of the last API error.
    status: Option<u64>,
    /// When the provider lets more through, where it says so.
    resets_at: Option<Timestamp>,
}

impl Failure {
    /// Looks at any event.
    pub(super) fn note(&mut self, event: &Value) {
        match text(event, "type") {
            "assistant" => {
                // A message without an error means that the calls go through again.
                text(event, "error").clone_into(&mut self.kind);
                self.status = event["api_error_status"].as_u64();
            }
            "result" => {
                self.status = event["api_error_status"].as_u64().or(self.status);
                self.resets_at = reset_in_text(text(event, "result")).or(self.resets_at);
            }
            "rate_limit_event" => {
                let info = &event["rate_limit_info"];
                self.resets_at = timestamp(&info["resetsAt"])
                    .or_else(|| timestamp(&info["resets_at"]))
                    .or(self.resets_at);
            }
            _ => {}
        }
    }

    /// The end that follows, if it is one of the provider's.
    pub(super) fn end(&self, message: &str) -> Option<End> {
        let message = message.to_owned();
        match self.kind.as_str() {
            "billing_error" | "authentication_failed" | "model_not_found" => {
                Some(End::AccountTrouble { message })
            }
            "rate_limit" | "overloaded" => Some(End::RateLimited {
                until: self.resets_at,
                message,
            }),
            _ => match self.status {
                Some(401..=404) => Some(End::AccountTrouble { message }),
                Some(429 | 529) => Some(End::RateLimited {
                    until: self.resets_at,
                    message,
                }),
                Some(_) | None => None,
            },
        }
    }
}

/// Subscriptions end with `… usage limit reached|1767225600`.
fn reset_in_text(message: &str) -> Option<Timestamp> {
    let (_, behind) = message.split_once("limit reached|")?;
    let digits: String = behind.chars().take_while(char::is_ascii_digit).collect();
    Timestamp::from_second(digits.parse().ok()?).ok()
}
