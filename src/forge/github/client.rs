//! Sends one request through octocrab and takes the answer apart.
//!
//! octocrab carries the token, TLS and the connection pool. Its typed models and its retries are
//! not used: models break when GitHub adds something, and its retries would post comments twice
//! (the crate's `retry` feature is left out in Cargo.toml, so they are not even compiled).

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::header::{HeaderMap, HeaderValue, IF_NONE_MATCH};
use octocrab::Octocrab;
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::{OnceCell, watch};

use super::answer::{Answer, Headers};
use super::app::{App, AppSettings};
use super::cache::{Cache, Kept};
use super::manners::{Kind, Manners, Turn};
use crate::forge::{ForgeError, Health, calls};
use crate::secret::Secret;

/// For a connection, and for every pause within an answer.
const SILENCE: Duration = Duration::from_secs(20);
/// For a whole request. GitHub itself gives up after 10 s.
const DEADLINE: Duration = Duration::from_secs(45);

/// Requests in a row that come to nothing until GitHub counts as away: one or two are everyday.
const AWAY_AFTER: u32 = 3;

/// As octocrab gives it.
type Response = http::Response<http_body_util::combinators::BoxBody<bytes::Bytes, octocrab::Error>>;

/// Where GitHub's API is, and who asks.
#[derive(Debug, Clone)]
pub struct GithubSettings {
    /// The API's base: `https://api.github.com`, or `https://<host>/api/v3` on Enterprise Server.
    pub api_url: String,
    pub credentials: Credentials,
    /// Between two changes: GitHub asks for a second or more.
    pub write_spacing: Duration,
}

/// As whom.
#[derive(Debug, Clone)]
pub enum Credentials {
    /// A personal access token. One that is rotated is taken at the next request.
    Token(Secret),
    App(AppSettings),
}

/// Why a client cannot be made. Never shows the token.
#[derive(Debug, thiserror::Error)]
pub enum InvalidSettings {
    #[error("the API's address `{0}` is not of the form `https://api.github.com`")]
    ApiUrl(String),
    #[error(
        "the GitHub token is empty or has characters that no token has (a line break, perhaps)"
    )]
    Token,
    /// Usually a machine without root certificates.
    #[error("no secure connections can be made: {0}; install the package `ca-certificates`")]
    Tls(String),
}

/// What to ask.
pub(super) enum Method {
    Get,
    Post(Value),
    /// A POST without a body, where GitHub's description has none.
    BarePost,
    /// A POST that goes before other changes, because a person waits to see it.
    Reply(Value),
    Patch(Value),
    Put(Value),
    Delete,
    /// A mutation; the path of the request does not count.
    Graphql(Value),
}

impl Method {
    fn kind(&self) -> Kind {
        match self {
            Self::Get => Kind::Read,
            Self::Post(_)
            | Self::BarePost
            | Self::Patch(_)
            | Self::Put(_)
            | Self::Delete
            | Self::Graphql(_) => Kind::Write,
            Self::Reply(_) => Kind::Reply,
        }
    }
}

/// One request. `what` names its subject in errors.
pub(super) struct Request<'a> {
    pub(super) method: Method,
    /// Below the API's base, percent-encoded, with a slash at its start.
    pub(super) path: String,
    pub(super) what: &'a str,
}

enum Identity {
    Token(Secret),
    App(Box<App>),
}

/// The way to one API.
pub(super) struct Client {
    api_url: String,
    identity: Identity,
    /// The path of the API's base, without a slash at its end.
    base_path: String,
    /// octocrab holds on to the token that it was made with: another token takes another one.
    session: Mutex<Option<Arc<Session>>>,
    manners: Manners,
    health: watch::Sender<Health>,
    /// Requests in a row that came to nothing.
    failures: AtomicU32,
}

/// What belongs to one token.
pub(super) struct Session {
    token: SecretString,
    octocrab: Octocrab,
    /// A token's own login, asked for when it is first needed.
    pub(super) own_login: OnceCell<String>,
    cache: Mutex<Cache>,
}

impl Session {
    fn new(api_url: &str, token: SecretString) -> Result<Self, InvalidSettings> {
        let octocrab = Octocrab::builder()
            .base_uri(api_url)
            .map_err(|_| InvalidSettings::ApiUrl(api_url.to_owned()))?
            .personal_token(usable(&token)?)
            .set_connect_timeout(Some(SILENCE))
            .set_read_timeout(Some(SILENCE))
            .set_write_timeout(Some(SILENCE))
            .build()
            .map_err(|error| InvalidSettings::Tls(in_full(&error)))?;
        Ok(Self {
            token,
            octocrab,
            own_login: OnceCell::new(),
            cache: Mutex::default(),
        })
    }

    /// For the next time that this is asked.
    fn remember(&self, path: &str, answer: &Answer) {
        if let Some(etag) = answer.headers.etag.clone() {
            let (body, link) = (answer.body.clone(), answer.headers.link.clone());
            self.cache().keep(path, Kept { etag, body, link });
        }
    }

    fn cache(&self) -> MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Client {
    /// Makes a client; nothing is sent. Must be called within a tokio runtime.
    pub(super) fn new(settings: &GithubSettings) -> Result<Self, InvalidSettings> {
        let invalid_url = || InvalidSettings::ApiUrl(settings.api_url.clone());
        let api_url = settings.api_url.trim().trim_end_matches('/');
        let (_, address) = api_url
            .split_once("://")
            .filter(|(scheme, _)| ["https", "http"].contains(scheme))
            .ok_or_else(invalid_url)?;
        if address.is_empty() || address.contains(['?', '#', '@']) {
            return Err(invalid_url());
        }
        let base_path = address
            .find('/')
            .map_or("", |start| &address[start..])
            .to_owned();
        let (identity, session) = match settings.credentials.clone() {
            Credentials::App(app) => (Identity::App(Box::new(App::new(app))), None),
            Credentials::Token(token) => {
                let session = Session::new(api_url, token.current())?;
                (Identity::Token(token), Some(session))
            }
        };
        Ok(Self {
            api_url: api_url.to_owned(),
            identity,
            base_path,
            session: Mutex::new(session.map(Arc::new)),
            manners: Manners::new(settings.write_spacing),
            health: watch::Sender::default(),
            failures: AtomicU32::new(0),
        })
    }

    /// The session of the token as it is now.
    pub(super) async fn session(&self) -> Result<Arc<Session>, ForgeError> {
        let token = match &self.identity {
            Identity::App(app) => self.installation_token(app).await?,
            Identity::Token(token) => token.current(),
        };
        let mut session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        let is_same = |known: &&Arc<Session>| known.token.expose_secret() == token.expose_secret();
        if let Some(known) = session.as_ref().filter(is_same) {
            return Ok(Arc::clone(known));
        }
        let fresh = Arc::new(self.new_session(token)?);
        *session = Some(Arc::clone(&fresh));
        Ok(fresh)
    }

    pub(super) fn new_session(&self, token: SecretString) -> Result<Session, ForgeError> {
        Session::new(&self.api_url, token).map_err(|error| ForgeError::Unauthorized {
            message: error.to_string(),
        })
    }

    /// What requests are made with; for an App, empty before the first one.
    pub(super) fn token(&self) -> &Secret {
        match &self.identity {
            Identity::App(app) => app.shared(),
            Identity::Token(token) => token,
        }
    }

    pub(super) fn app(&self) -> Option<&App> {
        match &self.identity {
            Identity::App(app) => Some(app),
            Identity::Token(_) => None,
        }
    }

    /// Asks and reads the JSON of a success.
    pub(super) async fn ask<T: DeserializeOwned>(
        &self,
        request: Request<'_>,
    ) -> Result<T, ForgeError> {
        let what = request.what;
        self.send(request).await?.read(what)
    }

    /// Asks for something whose answer does not matter as long as it is a success.
    pub(super) async fn tell(&self, request: Request<'_>) -> Result<(), ForgeError> {
        let what = request.what;
        self.send(request).await?.check(what)
    }

    /// The answer as it is, refusals included, but for those of a limit: they are everybody's.
    pub(super) async fn send(&self, request: Request<'_>) -> Result<Answer, ForgeError> {
        let outcome = self.send_in_turn(&request).await;
        let error = match &outcome {
            Ok(answer) => answer.check(request.what).err(),
            Err(error) => Some(error.clone()),
        };
        self.judge(error);
        outcome
    }

    pub(super) fn health(&self) -> watch::Receiver<Health> {
        self.health.subscribe()
    }

    /// What an outcome says about the way to GitHub.
    fn judge(&self, error: Option<ForgeError>) {
        let health = match error {
            Some(ForgeError::Unavailable { message: why }) => {
                if self.failures.fetch_add(1, Ordering::Relaxed) + 1 < AWAY_AFTER {
                    return;
                }
                Health::Away { why }
            }
            Some(ForgeError::Unauthorized { message: why }) => Health::Refused { why },
            // A limit is no fault, and may have been met without asking.
            Some(ForgeError::RetryAfter { .. }) => return,
            Some(
                ForgeError::Forbidden { .. }
                | ForgeError::NotFound { .. }
                | ForgeError::Invalid { .. },
            )
            | None => Health::Well,
        };
        if !matches!(health, Health::Away { .. }) {
            self.failures.store(0, Ordering::Relaxed);
        }
        self.health.send_if_modified(|known| {
            let is_news = known.name() != health.name();
            *known = health;
            is_news
        });
    }

    async fn send_in_turn(&self, request: &Request<'_>) -> Result<Answer, ForgeError> {
        let _turn = self.turn(request).await?;
        let answer = self.send_with_newest(request).await?;
        self.obey(request, answer)
    }

    pub(super) async fn turn(&self, request: &Request<'_>) -> Result<Turn<'_>, ForgeError> {
        self.manners.turn(request.method.kind()).await
    }

    /// What an answer says about limits holds for all requests.
    pub(super) fn obey(&self, request: &Request<'_>, answer: Answer) -> Result<Answer, ForgeError> {
        let kind = request.method.kind();
        if let Some(limit) = answer.limit() {
            return Err(self.manners.limited(limit, kind));
        }
        self.manners.passed(kind);
        if let Some(wait) = answer.until_reset() {
            self.manners.shut_for(wait, "the hourly limit is used up");
        }
        Ok(answer)
    }

    async fn send_with_newest(&self, request: &Request<'_>) -> Result<Answer, ForgeError> {
        let session = self.session().await?;
        let answer = self.send_in(&session, request).await?;
        if answer.status != 401 {
            return Ok(answer);
        }
        // Refused in the middle of a rotation: with a token that was replaced meanwhile, or that
        // can be replaced now.
        if let Some(app) = self.app() {
            app.forget(&session.token).await;
        }
        let newest = self.session().await?;
        if Arc::ptr_eq(&session, &newest) {
            return Ok(answer);
        }
        self.send_in(&newest, request).await
    }

    pub(super) async fn send_in(
        &self,
        session: &Session,
        request: &Request<'_>,
    ) -> Result<Answer, ForgeError> {
        match tokio::time::timeout(DEADLINE, self.exchange(session, request)).await {
            Ok(answer) => answer.map_err(|error| ForgeError::Unavailable {
                message: in_full(&error),
            }),
            Err(_) => Err(ForgeError::Unavailable {
                message: format!(
                    "no answer about {} in {} s",
                    request.what,
                    DEADLINE.as_secs()
                ),
            }),
        }
    }

    async fn exchange(&self, session: &Session, request: &Request<'_>) -> octocrab::Result<Answer> {
        let kept = match request.method.kind() {
            Kind::Read => session.cache().get(&request.path),
            Kind::Write | Kind::Reply => None,
        };
        let response = self.put(session, request, kept.as_ref()).await;
        let is_unchanged = response.as_ref().is_ok_and(|found| found.status() == 304);
        // What is unchanged does not count at GitHub either.
        if !is_unchanged {
            calls::count();
        }
        let response = response?;
        let mut answer = Answer {
            status: response.status().as_u16(),
            headers: headers(&response),
            body: session.octocrab.body_to_string(response).await?,
        };
        // What repeats the token must not carry it into errors and reports.
        let token = session.token.expose_secret().trim();
        answer.body = answer.body.replace(token, "[secret]");
        if let Some(kept) = kept.filter(|_| is_unchanged) {
            (answer.status, answer.body, answer.headers.link) = (200, kept.body, kept.link);
        } else if answer.status == 200 && request.method.kind() == Kind::Read {
            session.remember(&request.path, &answer);
        }
        Ok(answer)
    }

    async fn put(
        &self,
        session: &Session,
        request: &Request<'_>,
        kept: Option<&Kept>,
    ) -> octocrab::Result<Response> {
        let octocrab = &session.octocrab;
        // With its base's path in front octocrab takes the path as it is.
        let uri = format!("{}{}", self.base_path, request.path);
        match &request.method {
            Method::Get => {
                let headers = kept.and_then(only_if_changed);
                octocrab._get_with_headers(uri, headers).await
            }
            Method::Post(body) | Method::Reply(body) => octocrab._post(uri, Some(body)).await,
            Method::BarePost => octocrab._post(uri, None::<&()>).await,
            Method::Patch(body) => octocrab._patch(uri, Some(body)).await,
            Method::Put(body) => octocrab._put(uri, Some(body)).await,
            Method::Graphql(body) => {
                let uri = graphql_path(&self.base_path);
                octocrab._post(uri, Some(body)).await
            }
            Method::Delete => octocrab._delete(uri, None::<&()>).await,
        }
    }
}

/// GraphQL is beside the REST API: at `/graphql`, and at `/api/graphql` on Enterprise Server
/// ("Forming calls with GraphQL").
fn graphql_path(base_path: &str) -> String {
    let root = base_path.strip_suffix("/v3").unwrap_or(base_path);
    format!("{root}/graphql")
}

fn only_if_changed(kept: &Kept) -> Option<HeaderMap> {
    let etag = HeaderValue::from_str(&kept.etag).ok()?;
    Some(HeaderMap::from_iter([(IF_NONE_MATCH, etag)]))
}

fn headers(response: &Response) -> Headers {
    let header = |name: &str| Some(response.headers().get(name)?.to_str().ok()?.to_owned());
    Headers {
        date: header("date"),
        link: header("link"),
        location: header("location"),
        etag: header("etag"),
        retry_after: header("retry-after"),
        rate_limit_remaining: header("x-ratelimit-remaining"),
        rate_limit_reset: header("x-ratelimit-reset"),
        accepted_permissions: header("x-accepted-github-permissions"),
        scopes: header("x-oauth-scopes"),
    }
}

/// octocrab panics over a token that does not fit into a header.
fn usable(token: &SecretString) -> Result<SecretString, InvalidSettings> {
    let token = token.expose_secret().trim();
    if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(InvalidSettings::Token);
    }
    Ok(SecretString::from(token))
}

/// An error with everything that caused it: octocrab's own text alone says little.
pub(super) fn in_full(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

/// A text as one segment of a path: everything but unreserved characters is percent-encoded
/// (RFC 3986, 2.3), so that a label cannot lead to another address. `.` and `..` are encoded too.
pub(super) fn segment(text: &str) -> String {
    let dots = text.bytes().all(|byte| byte == b'.');
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        let unreserved =
            byte.is_ascii_alphanumeric() || b"-_~".contains(&byte) || (byte == b'.' && !dots);
        if unreserved {
            encoded.push(char::from(byte));
        } else {
            encoded.push('%');
            encoded.push_str(&hex::encode_upper([byte]));
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(api_url: &str, token: &str) -> Result<Client, InvalidSettings> {
        Client::new(&GithubSettings {
            api_url: api_url.to_owned(),
            credentials: Credentials::Token(Secret::from(token)),
            write_spacing: Duration::ZERO,
        })
    }

    #[test]
    fn a_segment_stays_one_segment() {
        assert_eq!(
            segment("stage:in progress/ä?"),
            "stage%3Ain%20progress%2F%C3%A4%3F"
        );
        assert_eq!(segment(".."), "%2E%2E");
        assert_eq!(segment("v1.2-a_b~c"), "v1.2-a_b~c");
    }

    #[test]
    fn graphql_is_beside_the_rest_api() {
        assert_eq!(graphql_path(""), "/graphql");
        assert_eq!(graphql_path("/api/v3"), "/api/graphql");
    }

    #[tokio::test]
    async fn an_address_that_is_none_is_refused() {
        for bad in [
            "",
            "api.github.com",
            "ftp://x",
            "https://",
            "https://x?y",
            "https://me@x",
            "https://a b",
        ] {
            assert!(
                matches!(made(bad, "t"), Err(InvalidSettings::ApiUrl(_))),
                "{bad}"
            );
        }
        assert_eq!(
            made("http://ghe.example/api/v3/", "t").unwrap().base_path,
            "/api/v3"
        );
        assert_eq!(made("http://127.0.0.1:80", "t").unwrap().base_path, "");
    }

    #[tokio::test]
    async fn a_rotated_token_takes_a_new_session_and_an_unusable_one_none() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        std::fs::write(&file, "ghp_one\n").unwrap();
        let client = Client::new(&GithubSettings {
            api_url: "http://127.0.0.1:80".to_owned(),
            credentials: Credentials::Token(Secret::file(&file).unwrap()),
            write_spacing: Duration::ZERO,
        })
        .unwrap();
        let first = client.session().await.unwrap();
        assert!(Arc::ptr_eq(&first, &client.session().await.unwrap()));
        std::fs::write(&file, "ghp_é\n").unwrap();
        let refused = client.session().await.err().unwrap();
        assert!(!refused.to_string().contains("ghp_"), "{refused}");
        std::fs::write(&file, "ghp_three\n").unwrap();
        let third = client.session().await.unwrap();
        assert_eq!(third.token.expose_secret(), "ghp_three");
        assert!(!Arc::ptr_eq(&first, &third));
    }

    #[tokio::test]
    async fn a_token_that_is_none_is_refused_without_showing_it() {
        for bad in ["", "  ", "ghp_one\nghp_two", "ghp_é"] {
            let error = made("http://127.0.0.1:80", bad).err().unwrap();
            assert!(!error.to_string().contains("ghp_"), "{bad}");
        }
        assert!(made("http://127.0.0.1:80", "ghp_one\n").is_ok());
    }
}
