//! Answers that a test orders in advance.

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

/// The faults that are still to come.
#[derive(Default)]
pub(super) struct Faults(Vec<(String, String, Fault)>);

impl Faults {
    pub(super) fn add(&mut self, method: &str, path: &str, fault: Fault) {
        self.0.push((method.to_owned(), path.to_owned(), fault));
    }

    pub(super) fn take(&mut self, method: &str, path: &str) -> Option<Fault> {
        let position = self
            .0
            .iter()
            .position(|(of_method, part, _)| of_method == method && path.contains(part))?;
        Some(self.0.remove(position).2)
    }
}
