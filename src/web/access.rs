//! Who may use the API.
//!
//! Three rules: this machine may read without a token, as long as nobody speaks for somebody else;
//! the token opens everything; and a page of another site gets nothing, whatever it brings. Not
//! for: the webhook, which trusts signatures.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::{ConnectInfo, FromRequestParts, Request};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, ORIGIN};
use axum::http::request::Parts;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::Response;
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;

use super::WebState;
use super::error::WebError;

/// Shows that the request may read: it comes from this machine, or brings the token.
pub(super) struct Reader;

/// Shows that the request may change things: it brings the token, and JSON. A loopback address is
/// not enough, since any page in a local browser has one.
pub(super) struct Operator;

impl FromRequestParts<Arc<WebState>> for Reader {
    type Rejection = WebError;

    async fn from_request_parts(
        parts: &mut Parts,
        state: &Arc<WebState>,
    ) -> Result<Self, WebError> {
        if is_of_this_machine(parts) || brings_token(parts, &state.token) {
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
        if !brings_token(parts, &state.token) {
            let message = "changing anything takes `Authorization: Bearer` with the token in the data folder's server.json";
            return Err(WebError::new(StatusCode::UNAUTHORIZED, message));
        }
        // No form of another site can say so (Fetch Standard, "CORS-safelisted request-header").
        if !is_json(&parts.headers) {
            let message = "send JSON, with `Content-Type: application/json`";
            return Err(WebError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, message));
        }
        Ok(Self)
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    text(headers, CONTENT_TYPE.as_str())
        .and_then(|found| found.split(';').next())
        .is_some_and(|essence| essence.trim().eq_ignore_ascii_case("application/json"))
}

/// Browsers say which site's page asks: `Sec-Fetch-Site` (Fetch Metadata) in all newer ones,
/// `Origin` in all with anything that is not a plain look.
pub(super) async fn refuse_other_sites(request: Request, next: Next) -> Result<Response, WebError> {
    let headers = request.headers();
    let is_own_fetch = headers
        .get_all("sec-fetch-site")
        .iter()
        .all(|site| ["same-origin", "none"].iter().any(|own| site == own));
    let is_own_origin = headers.get_all(ORIGIN).iter().all(|origin| {
        let origin = origin.to_str().ok().and_then(|origin| origin.parse().ok());
        let origin = origin.as_ref().and_then(Uri::authority);
        origin.is_some() && origin == asked_host(request.uri(), headers).as_ref()
    });
    if is_own_fetch && is_own_origin {
        return Ok(next.run(request).await);
    }
    Err(WebError::new(
        StatusCode::FORBIDDEN,
        "pages of other sites get nothing here",
    ))
}

/// A loopback peer that asked for a loopback name, itself: behind a proxy everybody has a loopback
/// address, and a page whose name was made to point here ("DNS rebinding") asks for that name.
fn is_of_this_machine(parts: &Parts) -> bool {
    let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>();
    peer.is_some_and(|ConnectInfo(peer)| peer.ip().to_canonical().is_loopback())
        && !speaks_for_another(&parts.headers)
        && asked_host(&parts.uri, &parts.headers).is_some_and(|host| is_loopback_name(host.host()))
}

/// The headers by which proxies say whom they speak for (RFC 7239, RFC 9110 7.6.3, and custom).
fn speaks_for_another(headers: &HeaderMap) -> bool {
    headers.keys().any(|name| {
        let name = name.as_str();
        name.starts_with("x-forwarded-")
            || [
                "forwarded",
                "via",
                "x-real-ip",
                "x-client-ip",
                "true-client-ip",
                "cf-connecting-ip",
            ]
            .contains(&name)
    })
}

/// The one host that is asked for; `None` when it is missing, or when two places say two things.
fn asked_host(uri: &Uri, headers: &HeaderMap) -> Option<Authority> {
    let mut hosts = headers.get_all(HOST).iter();
    let host: Authority = hosts.next()?.to_str().ok()?.parse().ok()?;
    let is_one = hosts.next().is_none() && uri.authority().is_none_or(|other| *other == host);
    is_one.then_some(host)
}

fn is_loopback_name(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || address
            .parse::<IpAddr>()
            .is_ok_and(|address| address.to_canonical().is_loopback())
}

fn brings_token(parts: &Parts, token: &SecretString) -> bool {
    let brought = text(&parts.headers, AUTHORIZATION.as_str())
        .and_then(|header| header.strip_prefix("Bearer "));
    brought.is_some_and(|brought| equal_in_constant_time(brought, token.expose_secret()))
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
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

    #[test]
    fn only_names_that_cannot_point_elsewhere_are_loopback() {
        for name in [
            "localhost",
            "LOCALHOST",
            "127.0.0.1",
            "127.1.2.3",
            "[::1]",
            "[::ffff:127.0.0.1]",
        ] {
            assert!(is_loopback_name(name), "{name}");
        }
        for name in [
            "",
            "localhost.evil.example",
            "127.0.0.1.nip.io",
            "0.0.0.0",
            "10.0.0.1",
            "[::]",
        ] {
            assert!(!is_loopback_name(name), "{name}");
        }
    }
}
