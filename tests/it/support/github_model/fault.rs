//! Answers that a test orders in advance.

use std::time::Duration;

use axum::body::Body;
use axum::http::Response;
use serde_json::{Value, json};

/// What happens to one request.
#[derive(Debug, Clone)]
pub(crate) enum Fault {
    /// Nothing is done; this is the answer.
    Instead(Answer),
    /// It is done, and then answered like this: the caller cannot know that it was done.
    AfterEffect(Answer),
    /// It is done, and the connection is cut before there is an answer.
    CutAfterEffect,
    /// It is done, and answered after this time.
    Slow(Duration),
}

/// An answer of the test's own.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Value,
}

impl Answer {
    pub(crate) fn new(status: u16, message: &str) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: json!({ "message": message, "status": status.to_string() }),
        }
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(super) fn into_response(self) -> Response<Body> {
        let mut response = Response::builder()
            .status(self.status)
            .header("content-type", "application/json");
        for (name, value) in &self.headers {
            response = response.header(name, value);
        }
        response
            .body(Body::from(self.body.to_string()))
            .expect("an answer that a test wrote")
    }
}

/// The faults that are still to come: by method and part of the path, and by the number of requests
/// that go well before.
#[derive(Default)]
pub(super) struct Faults(Vec<(String, String, Fault)>, Vec<(usize, Fault)>);

impl Faults {
    pub(super) fn add(&mut self, method: &str, path: &str, fault: Fault) {
        self.0.push((method.to_owned(), path.to_owned(), fault));
    }

    pub(super) fn add_after(&mut self, requests: usize, fault: Fault) {
        self.1.push((requests, fault));
    }

    /// That of the request which comes now.
    pub(super) fn next(&mut self) -> Option<Fault> {
        let due = self.1.iter().position(|(left, _)| *left == 0);
        let due = due.map(|place| self.1.remove(place).1);
        for (left, _) in &mut self.1 {
            *left = left.saturating_sub(1);
        }
        due
    }

    pub(super) fn take(&mut self, method: &str, path: &str) -> Option<Fault> {
        let position = self
            .0
            .iter()
            .position(|(of_method, part, _)| of_method == method && path.contains(part))?;
        Some(self.0.remove(position).2)
    }
}
