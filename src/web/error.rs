//! Refusals as JSON: `{"error": …}`, in words for whoever asked, without a word about the inside.

use axum::Json;
use axum::http::header::{CONNECTION, RETRY_AFTER};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::engine::{DeliveryError, EngineError};
use crate::forge::ForgeError;
use crate::store::StoreError;

/// What a 503 asks for, in seconds: what it waits for is a matter of seconds, mostly.
const COME_AGAIN: HeaderValue = HeaderValue::from_static("10");

/// A refused or failed request.
#[derive(Debug)]
pub(super) struct WebError {
    status: StatusCode,
    message: String,
}

impl WebError {
    pub(super) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self {
            status,
            message: message.into(),
        }
    }

    pub(super) fn not_found(what: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, format!("{what} is not known here"))
    }

    /// Nothing was done, and it may be asked again.
    pub(super) fn busy(message: &str) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, message)
    }

    #[cfg(test)]
    pub(super) fn status(&self) -> StatusCode {
        self.status
    }

    /// Details go to the log, never to the client.
    fn internal(error: &dyn std::fmt::Display) -> Self {
        tracing::error!(%error, "a request failed");
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "the server cannot answer that now; its log says why",
        )
    }
}

impl From<StoreError> for WebError {
    fn from(error: StoreError) -> Self {
        Self::internal(&error)
    }
}

impl From<EngineError> for WebError {
    fn from(error: EngineError) -> Self {
        Self::internal(&error)
    }
}

impl From<DeliveryError> for WebError {
    fn from(error: DeliveryError) -> Self {
        match error {
            DeliveryError::Overloaded => Self::busy(&error.to_string()),
            DeliveryError::Engine(error) => error.into(),
        }
    }
}

impl From<ForgeError> for WebError {
    fn from(error: ForgeError) -> Self {
        match &error {
            ForgeError::NotFound { .. } => Self::new(StatusCode::NOT_FOUND, error.to_string()),
            ForgeError::Invalid { .. } => {
                Self::new(StatusCode::UNPROCESSABLE_ENTITY, error.to_string())
            }
            ForgeError::RetryAfter { .. }
            | ForgeError::Unavailable { .. }
            | ForgeError::Unauthorized { .. }
            | ForgeError::Forbidden { .. } => Self::internal(&error),
        }
    }
}

impl IntoResponse for WebError {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(json!({ "error": self.message }))).into_response();
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(RETRY_AFTER, COME_AGAIN);
        }
        // What is left of the body is never read, so nothing else can come on this connection
        // (RFC 9110, 15.5.14 and 15.5.9).
        let cut_off = [StatusCode::PAYLOAD_TOO_LARGE, StatusCode::REQUEST_TIMEOUT];
        if cut_off.contains(&self.status) {
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(CONNECTION, close);
        }
        response
    }
}
