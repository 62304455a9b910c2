//! Who may use the API.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::StatusCode;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;

use super::WebState;
use super::error::WebError;

/// Shows that the request may read: it comes from this machine, or brings the token.
pub(super) struct Reader;

/// Shows that the request may change things: it brings the token. A loopback address is not
/// enough, since any page in a local browser has one.
pub(super) struct Operator;

impl FromRequestParts<Arc<WebState>> for Reader {
    type Rejection = WebError;

    async fn from_request_parts(
        parts: &mut Parts,
        state: &Arc<WebState>,
    ) -> Result<Self, WebError> {
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>();
        if peer.is_some_and(|ConnectInfo(peer)| peer.ip().is_loopback())
            || brings_token(parts, &state.token)
        {
            return Ok(Self);
        }
        Err(WebError::new(
            StatusCode::FORBIDDEN,
            "the API answers this machine, or a request with its token",
        ))
    }
}

impl FromRequestParts<Arc<WebState>> for Operator {
    type Rejection = WebError;

    async fn from_request_parts(
        parts: &mut Parts,
        state: &Arc<WebState>,
    ) -> Result<Self, WebError> {
        if brings_token(parts, &state.token) {
            return Ok(Self);
        }
        let message = "changing anything takes `Authorization: Bearer` with the token in the data folder's server.json";
        Err(WebError::new(StatusCode::UNAUTHORIZED, message))
    }
}

fn brings_token(parts: &Parts, token: &SecretString) -> bool {
    let header = parts
        .headers
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok());
    let brought = header.and_then(|header| header.strip_prefix("Bearer "));
    brought.is_some_and(|brought| equal_in_constant_time(brought, token.expose_secret()))
}

/// Compares digests under a fixed key, so that the time taken tells nothing about either text.
fn equal_in_constant_time(one: &str, other: &str) -> bool {
    let digest = |text: &str| {
        let mac = Hmac::<Sha256>::new_from_slice(b"huskies api token").ok()?;
        Some(mac.chain_update(text.as_bytes()))
    };
    match (digest(one), digest(other)) {
        (Some(one), Some(other)) => one.verify(&other.finalize().into_bytes()).is_ok(),
        (None, _) | (_, None) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_very_token_is_equal() {
        assert!(equal_in_constant_time("secret", "secret"));
        assert!(!equal_in_constant_time("secret", "secreT"));
        assert!(!equal_in_constant_time("", "secret"));
    }
}
