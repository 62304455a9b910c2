//! huskies as a GitHub App: a key signs short-lived requests of the App itself, which get tokens of
//! an installation, and with those everything else is done ("Authenticating as a GitHub App
//! installation").
//!
//! Installation tokens last an hour. One is renewed before it ends, or when it is refused, and
//! never kept on the disk; the key's file is looked at whenever it is needed, so that it may be
//! replaced while the server runs.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use octocrab::auth::{AppAuth, EncodingKey};
use octocrab::models::AppId;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::{Mutex, OnceCell};
use tokio::time::Instant;

use super::answer::{Answer, date};
use super::client::{Client, Method, Request, Session};
use super::payload;
use crate::domain::id::RepoName;
use crate::forge::ForgeError;
use crate::secret::Secret;

/// A token is renewed so long before it ends, or after half its time where that is later.
const EARLY: Duration = Duration::from_mins(5);
/// How long an installation token is taken to last where GitHub does not say.
const LIFETIME: Duration = Duration::from_hours(1);
/// GitHub takes a signature for ten minutes, and octocrab makes it for nine.
const SIGNED_FOR: Duration = Duration::from_mins(5);

/// A GitHub App, and for which of its installations.
#[derive(Debug, Clone)]
pub struct AppSettings {
    pub app_id: u64,
    /// The private key that GitHub made, as PEM.
    pub key: Secret,
    /// `None`: that of `repo`.
    pub installation_id: Option<u64>,
    pub repo: RepoName,
}

/// What is known of an App and one of its installations.
pub(super) struct App {
    settings: AppSettings,
    installation: Mutex<Option<u64>>,
    token: Mutex<Option<Token>>,
    /// The same token for those who ask at their own time: git, and the masker.
    shared: Secret,
    signed: Mutex<Option<Signed>>,
    /// The App's own login, with which it comments.
    login: OnceCell<String>,
}

struct Token {
    value: SecretString,
    renew_at: Instant,
}

/// A session of the App itself.
struct Signed {
    session: Arc<Session>,
    key: SecretString,
    until: Instant,
}

#[derive(Deserialize)]
struct Issued {
    token: SecretString,
    expires_at: Option<Timestamp>,
}

impl App {
    pub(super) fn new(settings: AppSettings) -> Self {
        Self {
            installation: Mutex::new(settings.installation_id),
            settings,
            token: Mutex::default(),
            shared: Secret::changing(),
            signed: Mutex::default(),
            login: OnceCell::new(),
        }
    }

    pub(super) fn id(&self) -> u64 {
        self.settings.app_id
    }

    pub(super) fn shared(&self) -> &Secret {
        &self.shared
    }

    /// A token was refused: the next one is asked for.
    pub(super) async fn forget(&self, refused: &SecretString) {
        let mut known = self.token.lock().await;
        known.take_if(|known| known.value.expose_secret() == refused.expose_secret());
    }
}

impl Client {
    /// A token that is good for a while; the same one until it is about to end.
    pub(super) async fn installation_token(&self, app: &App) -> Result<SecretString, ForgeError> {
        let mut known = app.token.lock().await;
        if let Some(token) = known
            .as_ref()
            .filter(|known| Instant::now() < known.renew_at)
        {
            return Ok(token.value.clone());
        }
        let token = self.ask_token(app).await?;
        app.shared.replace(token.value.clone());
        let value = token.value.clone();
        *known = Some(token);
        Ok(value)
    }

    async fn ask_token(&self, app: &App) -> Result<Token, ForgeError> {
        let what = format!("a token for {}", app.settings.repo);
        let id = self.installation(app).await?;
        let path = format!("/app/installations/{id}/access_tokens");
        let request = Request {
            method: Method::Post(json!({})),
            path,
            what: &what,
        };
        let answer = self.send_signed(app, &request).await?;
        if answer.status == 404 {
            *app.installation.lock().await = app.settings.installation_id;
            return Err(not_installed(app));
        }
        let issued: Issued = answer.read(&what)?;
        let lifetime = lifetime(&answer, issued.expires_at);
        let early = EARLY.min(lifetime / 2);
        Ok(Token {
            value: issued.token,
            renew_at: Instant::now() + lifetime.saturating_sub(early),
        })
    }

    /// The configured installation, or that of the repository.
    async fn installation(&self, app: &App) -> Result<u64, ForgeError> {
        let mut known = app.installation.lock().await;
        if let Some(id) = *known {
            return Ok(id);
        }
        let what = format!("the App's installation on {}", app.settings.repo);
        let request = Request {
            method: Method::Get,
            path: format!("/repos/{}/installation", app.settings.repo),
            what: &what,
        };
        let answer = self.send_signed(app, &request).await?;
        if answer.status == 404 {
            return Err(not_installed(app));
        }
        let id = answer.read::<payload::Created>(&what)?.id;
        *known = Some(id);
        Ok(id)
    }

    /// The login under which the App's comments stand.
    pub(super) async fn app_login(&self, app: &App) -> Result<String, ForgeError> {
        let ask = async || {
            let what = "the App itself";
            let request = Request {
                method: Method::Get,
                path: "/app".to_owned(),
                what,
            };
            let answer = self.send_as_app(app, &request).await?;
            let slug = answer.read::<payload::App>(what)?.slug;
            Ok::<_, ForgeError>(format!("{slug}[bot]"))
        };
        app.login.get_or_try_init(ask).await.cloned()
    }

    /// Sends a request that only the App itself may make.
    pub(super) async fn send_as_app(
        &self,
        app: &App,
        request: &Request<'_>,
    ) -> Result<Answer, ForgeError> {
        let _turn = self.turn(request).await?;
        self.send_signed(app, request).await
    }

    /// For tokens: who needs one has its turn already, and asking for one changes nothing that
    /// GitHub wants spaced.
    async fn send_signed(&self, app: &App, request: &Request<'_>) -> Result<Answer, ForgeError> {
        let session = self.signed(app).await?;
        let answer = self.send_in(&session, request).await?;
        let answer = self.obey(request, answer)?;
        if answer.status == 401 {
            return Err(ForgeError::Unauthorized {
                message: format!(
                    "GitHub does not accept the App's key ({}): `app_id` and `private_key_file` must \
                     belong together, and the machine's clock must be right",
                    answer.message()
                ),
            });
        }
        Ok(answer)
    }

    async fn signed(&self, app: &App) -> Result<Arc<Session>, ForgeError> {
        let key = app.settings.key.whole();
        let mut known = app.signed.lock().await;
        let is_good = |known: &&Signed| {
            Instant::now() < known.until && known.key.expose_secret() == key.expose_secret()
        };
        if let Some(signed) = known.as_ref().filter(is_good) {
            return Ok(Arc::clone(&signed.session));
        }
        let session = Arc::new(self.new_session(sign(app.settings.app_id, &key)?)?);
        *known = Some(Signed {
            session: Arc::clone(&session),
            key,
            until: Instant::now() + SIGNED_FOR,
        });
        Ok(session)
    }
}

fn sign(app_id: u64, key: &SecretString) -> Result<SecretString, ForgeError> {
    let unusable = || ForgeError::Unauthorized {
        message:
            "`private_key_file` holds no RSA key in PEM form that could sign: put the file there \
                  that GitHub gave for the App"
                .to_owned(),
    };
    let key = EncodingKey::from_rsa_pem(key.expose_secret().as_bytes());
    let key = key.map_err(|_| unusable())?;
    let app_id = AppId(app_id);
    let signed = AppAuth { app_id, key }.generate_bearer_token();
    signed.map(SecretString::from).map_err(|_| unusable())
}

fn not_installed(app: &App) -> ForgeError {
    ForgeError::Unauthorized {
        message: format!(
            "the GitHub App {} is not installed on {}: install it there",
            app.settings.app_id, app.settings.repo
        ),
    }
}

/// By the forge's own clock.
fn lifetime(answer: &Answer, expires_at: Option<Timestamp>) -> Duration {
    let now = answer.headers.date.as_deref().and_then(date);
    let lifetime = expires_at
        .zip(now)
        .map(|(end, now)| end.duration_since(now));
    lifetime.map_or(LIFETIME, |lifetime| {
        Duration::try_from(lifetime).unwrap_or_default()
    })
}
