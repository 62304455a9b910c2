//! What an answer of GitHub means: its body, or which error, by the documented rules for rate
//! limits ("Rate limits for the REST API" and "Best practices for using the REST API").
//!
//! Pure; what time it is comes from the answer's own `Date` header, so that neither a wrong clock
//! here nor one there makes a wait too long or too short.

use std::time::Duration;

use jiff::Timestamp;
use jiff::fmt::rfc2822;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::manners::{LONGEST_WAIT, Limit, UNSAID_WAIT};
use crate::forge::ForgeError;

/// One answer, taken apart.
#[derive(Debug, Default)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: Headers,
    pub(super) body: String,
}

/// The headers that matter.
#[derive(Debug, Default)]
pub(super) struct Headers {
    pub(super) date: Option<String>,
    pub(super) link: Option<String>,
    pub(super) location: Option<String>,
    pub(super) etag: Option<String>,
    pub(super) retry_after: Option<String>,
    pub(super) rate_limit_remaining: Option<String>,
    pub(super) rate_limit_reset: Option<String>,
    /// Which permission of a fine-grained token or an App would have been enough.
    pub(super) accepted_permissions: Option<String>,
    /// What a classic token may do.
    pub(super) scopes: Option<String>,
}

/// The body of a refusal. GitHub's `errors` are objects or strings.
#[derive(Deserialize, Default)]
struct Refusal {
    #[serde(default)]
    message: String,
    #[serde(default)]
    errors: Vec<serde_json::Value>,
}

impl Answer {
    /// The answer's JSON when it is a success; `what` is what was asked about (`octo/app#42`).
    pub(super) fn read<T: DeserializeOwned>(&self, what: &str) -> Result<T, ForgeError> {
        self.check(what)?;
        serde_json::from_str(&self.body).map_err(|error| ForgeError::Unavailable {
            message: format!("its answer about {what} cannot be read: {error}"),
        })
    }

    /// Whether there is another page after this one (RFC 8288).
    pub(super) fn has_next_page(&self) -> bool {
        self.headers
            .link
            .as_deref()
            .is_some_and(|link| link.contains("rel=\"next\""))
    }

    /// The error that the answer is, unless it is a success.
    pub(super) fn check(&self, what: &str) -> Result<(), ForgeError> {
        if let Some(limit) = self.limit() {
            return Err(ForgeError::RetryAfter {
                wait: limit.said.unwrap_or(UNSAID_WAIT),
                message: limit.message,
            });
        }
        let message = self.message();
        match self.status {
            200..=299 => Ok(()),
            300..=399 => Err(ForgeError::Invalid {
                message: self.moved(what),
            }),
            401 => Err(ForgeError::Unauthorized {
                message: format!(
                    "GitHub does not accept the token ({message}): it is wrong, expired or revoked; \
                     put a valid one where `token_env` or `token_file` says"
                ),
            }),
            403 => Err(ForgeError::Forbidden {
                message: self.forbidden(what, &message),
            }),
            404 | 410 => Err(ForgeError::NotFound {
                what: what.to_owned(),
            }),
            408 | 500..=599 => Err(ForgeError::Unavailable {
                message: format!("{} {message}", self.status),
            }),
            _ => Err(ForgeError::Invalid {
                message: format!("{message} ({what})"),
            }),
        }
    }

    /// What GitHub says for people: its message and the details of a validation error.
    pub(super) fn message(&self) -> String {
        let Ok(refusal) = serde_json::from_str::<Refusal>(&self.body) else {
            return "without a reason that can be read".to_owned();
        };
        let details: Vec<String> = refusal.errors.iter().map(detail).collect();
        if details.is_empty() {
            return refusal.message;
        }
        format!("{}: {}", refusal.message, details.join("; "))
    }

    /// The limit that refused the request. A 403 is one when a header or, as for secondary limits,
    /// only the message says so.
    pub(super) fn limit(&self) -> Option<Limit> {
        if ![403, 429].contains(&self.status) {
            return None;
        }
        let message = self.message();
        let words = message.to_ascii_lowercase();
        let is_limit = self.status == 429
            || self.headers.retry_after.is_some()
            || self.headers.rate_limit_remaining.as_deref() == Some("0")
            || words.contains("rate limit")
            || words.contains("abuse detection");
        let said = || {
            seconds(self.headers.retry_after.as_deref())
                .map(bounded)
                .or_else(|| self.until_reset())
        };
        is_limit.then(|| Limit {
            said: said(),
            message,
        })
    }

    /// How long the primary limit is used up, once it is: also said by the last answer before.
    pub(super) fn until_reset(&self) -> Option<Duration> {
        let headers = &self.headers;
        let used_up = headers.rate_limit_remaining.as_deref() == Some("0");
        let now = date(headers.date.as_deref()?)?.as_second();
        let reset = seconds(headers.rate_limit_reset.as_deref())?;
        // One second more: the header is cut to whole seconds.
        used_up.then(|| bounded(reset.saturating_sub(now).saturating_add(1)))
    }

    fn forbidden(&self, what: &str, message: &str) -> String {
        let refused = format!("GitHub does not allow the token to do this with {what} ({message})");
        match self
            .headers
            .accepted_permissions
            .as_deref()
            .filter(|names| !names.is_empty())
        {
            Some(names) => format!("{refused}; give it the permission `{names}`"),
            None => format!("{refused}; check the token's permissions and repositories"),
        }
    }

    fn moved(&self, what: &str) -> String {
        let location = self
            .headers
            .location
            .as_deref()
            .unwrap_or("an address it does not name");
        format!(
            "{what} has moved to {location}; use the repository's new name in the configuration"
        )
    }
}

fn seconds(text: Option<&str>) -> Option<i64> {
    text?.trim().parse().ok()
}

fn bounded(seconds: i64) -> Duration {
    Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
        .clamp(Duration::from_secs(1), LONGEST_WAIT)
}

/// One entry of a validation error's list.
fn detail(error: &serde_json::Value) -> String {
    let text = |field: &str| error.get(field).and_then(serde_json::Value::as_str);
    match (error.as_str(), text("message"), text("field"), text("code")) {
        (Some(message), ..) | (None, Some(message), ..) => message.to_owned(),
        (None, None, Some(field), Some(code)) => format!("`{field}` {code}"),
        _ => error.to_string(),
    }
}

pub(super) fn date(text: &str) -> Option<Timestamp> {
    rfc2822::DateTimeParser::new().parse_timestamp(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, message: &str) -> Answer {
        let body = serde_json::json!({ "message": message }).to_string();
        Answer {
            status,
            body,
            headers: Headers::default(),
        }
    }

    fn error(answer: &Answer) -> ForgeError {
        answer.check("octo/app#42").unwrap_err()
    }

    fn wait_of(answer: &Answer) -> u64 {
        match error(answer) {
            ForgeError::RetryAfter { wait, .. } => wait.as_secs(),
            other => panic!("not a rate limit: {other}"),
        }
    }

    #[test]
    fn a_limit_waits_as_it_says_itself() {
        for status in [403, 429] {
            let mut limited = answer(status, "You have exceeded a secondary rate limit.");
            limited.headers.retry_after = Some("17".to_owned());
            limited.headers.rate_limit_remaining = Some("0".to_owned());
            limited.headers.rate_limit_reset = Some("1767225700".to_owned());
            assert_eq!(wait_of(&limited), 17, "{status}");
        }
    }

    #[test]
    fn a_used_up_limit_waits_for_its_reset_by_the_forges_own_clock() {
        let mut limited = answer(403, "API rate limit exceeded for user ID 1.");
        limited.headers.date = Some("Thu, 01 Jan 2026 00:00:00 GMT".to_owned());
        limited.headers.rate_limit_remaining = Some("0".to_owned());
        limited.headers.rate_limit_reset = Some("1767225900".to_owned());
        assert_eq!(wait_of(&limited), 301);
    }

    #[test]
    fn a_limit_that_does_not_say_waits_a_minute() {
        assert_eq!(wait_of(&answer(429, "")), 60);
        assert_eq!(
            wait_of(&answer(403, "You have exceeded a secondary rate limit.")),
            60
        );
        let mut no_date = answer(403, "API rate limit exceeded");
        no_date.headers.rate_limit_remaining = Some("0".to_owned());
        no_date.headers.rate_limit_reset = Some("1767225900".to_owned());
        assert_eq!(wait_of(&no_date), 60);
        let mut remaining = answer(429, "");
        remaining.headers.date = Some("Thu, 01 Jan 2026 00:00:00 GMT".to_owned());
        remaining.headers.rate_limit_remaining = Some("12".to_owned());
        remaining.headers.rate_limit_reset = Some("1767225900".to_owned());
        assert_eq!(wait_of(&remaining), 60);
    }

    #[test]
    fn no_limit_waits_for_ever_or_not_at_all() {
        for (said, waited) in [("-5", 1), ("0", 1), ("99999999999", 3_600), ("soon", 60)] {
            let mut limited = answer(429, "");
            limited.headers.retry_after = Some(said.to_owned());
            assert_eq!(wait_of(&limited), waited, "{said}");
        }
    }

    #[test]
    fn a_refusal_for_lack_of_permission_names_the_permission() {
        let mut refused = answer(403, "Resource not accessible by personal access token");
        refused.headers.rate_limit_remaining = Some("4999".to_owned());
        refused.headers.accepted_permissions = Some("statuses=write".to_owned());
        let ForgeError::Forbidden { message } = error(&refused) else {
            panic!("not forbidden")
        };
        assert!(
            message.contains("octo/app#42") && message.contains("`statuses=write`"),
            "{message}"
        );
    }

    #[test]
    fn every_other_answer_says_when_to_try_again() {
        use crate::forge::RetryWhen::{BackingOff, Mended, Never};
        let expected = [
            (401, Mended),
            (403, Mended),
            (404, Never),
            (410, Never),
            (422, Never),
            (301, Never),
            (400, Never),
            (408, BackingOff),
            (500, BackingOff),
            (502, BackingOff),
            (503, BackingOff),
        ];
        for (status, when) in expected {
            assert_eq!(error(&answer(status, "No")).retry_when(), when, "{status}");
        }
        assert!(
            error(&answer(401, "Bad credentials"))
                .to_string()
                .contains("`token_env`")
        );
    }

    #[test]
    fn a_validation_error_is_told_in_full() {
        let body = r#"{"message":"Validation Failed","errors":[
            {"resource":"Status","code":"custom","message":"description is too long"},
            {"resource":"Label","field":"name","code":"invalid"}, "plain", 7]}"#;
        let refused = Answer {
            status: 422,
            body: body.to_owned(),
            headers: Headers::default(),
        };
        let told = "Validation Failed: description is too long; `name` invalid; plain; 7";
        assert_eq!(refused.message(), told);
        let html = Answer {
            status: 502,
            body: "<html>".to_owned(),
            headers: Headers::default(),
        };
        assert!(matches!(error(&html), ForgeError::Unavailable { .. }));
    }

    #[test]
    fn an_answer_that_is_no_json_may_be_asked_again() {
        let portal = Answer {
            status: 200,
            body: "<html>".to_owned(),
            headers: Headers::default(),
        };
        assert!(matches!(
            portal.read::<u64>("x"),
            Err(ForgeError::Unavailable { .. })
        ));
    }
}
