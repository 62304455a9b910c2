//! The limits that GitHub documents, and how it refuses what goes beyond them.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::fault::Answer;
use super::state::{State, Status};

/// A comment's longest body, in characters ("body is too long (maximum is 65536 characters)").
const LONGEST_COMMENT: usize = 65_536;
/// A status's longest description ("description is too long (maximum is 140 characters)").
const LONGEST_DESCRIPTION: usize = 140;
/// Statuses of one commit and context; one more is a validation error.
const MOST_STATUSES: usize = 1_000;
const LONGEST_LABEL: usize = 50;

/// Requests at the same time, of everybody together ("Rate limits for the REST API", secondary).
const MOST_AT_ONCE: u32 = 100;
/// Comments and the like within a minute, and within an hour.
const MOST_CREATED: [(Duration, usize); 2] =
    [(Duration::from_mins(1), 80), (Duration::from_hours(1), 500)];
/// Points within a minute: a read costs one, a change five.
const MOST_POINTS: u32 = 900;

/// What is counted for the limits that no header tells of.
#[derive(Default)]
pub(super) struct Secondary {
    under_way: u32,
    created: VecDeque<Instant>,
    points: VecDeque<(Instant, u32)>,
    /// As on an Enterprise Server, where an administrator switches them on.
    pub(super) are_off: bool,
}

impl Secondary {
    /// Counts a request; the answer to one that goes beyond a limit.
    pub(super) fn begin(&mut self, method: &str, path: &str) -> Option<Answer> {
        self.under_way += 1;
        let too_many = "You have exceeded a secondary rate limit. Please wait a few minutes.";
        let refusal = Answer::new(403, too_many).header("retry-after", "60");
        if self.under_way > MOST_AT_ONCE {
            return Some(refusal);
        }
        let now = Instant::now();
        let is_over = self.spends(method, now) || self.creates(method, path, now);
        (is_over && !self.are_off).then_some(refusal)
    }

    /// Counts a request's points; whether they are too many.
    fn spends(&mut self, method: &str, now: Instant) -> bool {
        let cost = if method == "GET" { 1 } else { 5 };
        let a_minute = Duration::from_mins(1);
        (self.points).retain(|(at, _)| now.duration_since(*at) < a_minute);
        self.points.push_back((now, cost));
        self.points.iter().map(|(_, cost)| cost).sum::<u32>() > MOST_POINTS
    }

    /// Counts what creates something that people are told of; whether that is too much.
    fn creates(&mut self, method: &str, path: &str, now: Instant) -> bool {
        let creates = ["/comments", "/issues", "/pulls", "/reviews"];
        if method != "POST" || !creates.iter().any(|end| path.ends_with(end)) {
            return false;
        }
        self.created.push_back(now);
        MOST_CREATED.iter().any(|(within, most)| {
            let recent = |at: &&Instant| now.duration_since(**at) < *within;
            self.created.iter().filter(recent).count() > *most
        })
    }

    pub(super) fn end(&mut self) {
        self.under_way -= 1;
    }
}

/// An error answer in GitHub's form.
pub(super) struct Refusal {
    status: StatusCode,
    message: String,
    errors: Value,
}

impl Refusal {
    pub(super) fn not_found() -> Self {
        Self::saying(StatusCode::NOT_FOUND, "Not Found")
    }

    pub(super) fn saying(status: StatusCode, message: &str) -> Self {
        Self {
            status,
            message: message.to_owned(),
            errors: Value::Null,
        }
    }

    pub(super) fn invalid(errors: Value) -> Self {
        Self {
            status: StatusCode::UNPROCESSABLE_ENTITY,
            message: "Validation Failed".to_owned(),
            errors,
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut body = json!({
            "message": self.message,
            "documentation_url": "https://docs.github.com/rest",
            "status": self.status.as_str(),
        });
        if !self.errors.is_null() {
            body["errors"] = self.errors;
        }
        (self.status, Json(body)).into_response()
    }
}

/// A required, non-empty text of a request's body.
pub(super) fn required<'a>(body: &'a Value, field: &str) -> Result<&'a str, Refusal> {
    body[field]
        .as_str()
        .filter(|text| !text.is_empty())
        .ok_or_else(|| {
            Refusal::invalid(
                json!([{ "resource": "Request", "field": field, "code": "missing_field" }]),
            )
        })
}

pub(super) fn check_comment(body: &Value) -> Result<&str, Refusal> {
    let text = required(body, "body")?;
    if text.chars().count() > LONGEST_COMMENT {
        return Err(Refusal::invalid(json!([{
            "resource": "IssueComment", "field": "data", "code": "unprocessable",
            "message": "Body is too long (maximum is 65536 characters)",
        }])));
    }
    Ok(text)
}

/// What a comment can be reacted with ("Create reaction for an issue comment").
const REACTIONS: [&str; 8] = [
    "+1", "-1", "laugh", "confused", "heart", "hooray", "rocket", "eyes",
];

pub(super) fn check_reaction(body: &Value) -> Result<&str, Refusal> {
    let content = required(body, "content")?;
    if REACTIONS.contains(&content) {
        return Ok(content);
    }
    Err(Refusal::invalid(json!([{
        "resource": "Reaction", "field": "content", "code": "invalid",
    }])))
}

pub(super) fn check_label(name: &str) -> Result<(), Refusal> {
    if name.is_empty() || name.chars().count() > LONGEST_LABEL {
        return Err(Refusal::invalid(
            json!([{ "resource": "Label", "field": "name", "code": "invalid" }]),
        ));
    }
    Ok(())
}

pub(super) fn check_status(state: &State, status: &Status) -> Result<(), Refusal> {
    let refuse = |message: &str| {
        Err(Refusal::invalid(
            json!([{ "resource": "Status", "code": "custom", "message": message }]),
        ))
    };
    let same = |other: &&Status| {
        other.sha == status.sha && other.context.eq_ignore_ascii_case(&status.context)
    };
    if !["error", "failure", "pending", "success"].contains(&status.state.as_str()) {
        return refuse("state is not included in the list");
    }
    if status
        .description
        .as_ref()
        .is_some_and(|text| text.chars().count() > LONGEST_DESCRIPTION)
    {
        return refuse("description is too long (maximum is 140 characters)");
    }
    if status
        .target_url
        .as_ref()
        .is_some_and(|url| !url.starts_with("http://") && !url.starts_with("https://"))
    {
        return refuse("target_url must use http(s) scheme");
    }
    if !(state.knows_commit)(&status.sha) {
        let message = format!("No commit found for SHA: {}", status.sha);
        return Err(Refusal::saying(StatusCode::UNPROCESSABLE_ENTITY, &message));
    }
    if state.statuses.iter().filter(same).count() >= MOST_STATUSES {
        return refuse("This SHA and context has reached the maximum number of statuses.");
    }
    Ok(())
}
