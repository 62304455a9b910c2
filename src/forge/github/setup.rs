//! What a repository is set up with, once: labels that mean something, and the webhook. Asking
//! again changes nothing that is right.

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::{Value, json};

use super::client::{Method, Request, segment};
use super::needs::EVENTS;
use super::{Github, PAGE, STAGE_COLOR, STAGE_MEANING, payload, repo_path};
use crate::domain::id::RepoName;
use crate::forge::{ForgeError, STAGE_PREFIX};

/// What was found, or made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Made {
    There,
    Created,
    Changed,
}

/// A label to be there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewLabel {
    pub name: String,
    pub meaning: String,
    /// Six hexadecimal digits.
    pub color: &'static str,
}

impl NewLabel {
    /// The label that mirrors a stage.
    pub fn of_stage(stage: &str) -> Self {
        Self {
            name: format!("{STAGE_PREFIX}{stage}"),
            meaning: STAGE_MEANING.to_owned(),
            color: STAGE_COLOR,
        }
    }
}

/// A webhook to be there.
pub struct NewHook {
    /// Where deliveries go.
    pub url: String,
    pub secret: SecretString,
    /// GitHub does not know the secret yet, even if it knows the address.
    pub is_secret_new: bool,
}

/// A webhook as GitHub shows it: never its secret.
#[derive(Deserialize)]
pub(super) struct Hook {
    pub(super) id: u64,
    #[serde(default)]
    active: bool,
    #[serde(default)]
    events: Vec<String>,
    pub(super) config: HookConfig,
}

#[derive(Deserialize)]
pub(super) struct HookConfig {
    #[serde(default)]
    pub(super) url: String,
    #[serde(default)]
    content_type: String,
}

impl Hook {
    fn is_right(&self) -> bool {
        let hears = |event: &&str| {
            self.events
                .iter()
                .any(|heard| heard == event || heard == "*")
        };
        self.active && self.config.content_type == "json" && EVENTS.iter().all(hears)
    }
}

impl Github {
    /// Creates a label unless there is one of that name.
    pub async fn ensure_label(
        &self,
        repo: &RepoName,
        label: &NewLabel,
    ) -> Result<Made, ForgeError> {
        let what = format!("the label `{}` of {repo}", label.name);
        let path = format!("{}/labels/{}", repo_path(repo), segment(&label.name));
        let request = Request {
            method: Method::Get,
            path,
            what: &what,
        };
        match self.client.tell(request).await {
            Ok(()) => return Ok(Made::There),
            Err(ForgeError::NotFound { .. }) => {}
            Err(error) => return Err(error),
        }
        let (name, color, meaning) = (&label.name, label.color, &label.meaning);
        let body = json!({ "name": name, "color": color, "description": meaning });
        let request = Request {
            method: Method::Post(body),
            path: format!("{}/labels", repo_path(repo)),
            what: &what,
        };
        self.client.tell(request).await?;
        Ok(Made::Created)
    }

    /// Creates the webhook, or mends the one of the same address.
    pub async fn ensure_hook(&self, repo: &RepoName, hook: &NewHook) -> Result<Made, ForgeError> {
        let what = format!("the webhook of {repo}");
        let hooks = self.hooks(repo).await?;
        let known = hooks.into_iter().find(|known| known.config.url == hook.url);
        let config = json!({
            "url": hook.url, "content_type": "json", "secret": hook.secret.expose_secret(),
        });
        let wanted = json!({ "active": true, "events": EVENTS, "config": config });
        let hooks = format!("{}/hooks", repo_path(repo));
        let (method, path, made) = match known {
            Some(known) if known.is_right() && !hook.is_secret_new => return Ok(Made::There),
            Some(known) => (
                Method::Patch(wanted),
                format!("{hooks}/{}", known.id),
                Made::Changed,
            ),
            None => (Method::Post(named_web(wanted)), hooks, Made::Created),
        };
        let request = Request {
            method,
            path,
            what: &what,
        };
        self.client.tell(request).await?;
        Ok(made)
    }

    /// A repository has 20 webhooks for an event at most: one page.
    pub(super) async fn hooks(&self, repo: &RepoName) -> Result<Vec<Hook>, ForgeError> {
        let what = format!("the webhooks of {repo}");
        let request = Request {
            method: Method::Get,
            path: format!("{}/hooks?per_page={PAGE}", repo_path(repo)),
            what: &what,
        };
        self.client.ask(request).await
    }

    /// Makes an App of the code that GitHub gave for a manifest.
    pub async fn convert_manifest(api_url: &str, code: &str) -> Result<NewApp, ForgeError> {
        let unavailable = |error: octocrab::Error| ForgeError::Unavailable {
            message: super::client::in_full(&error),
        };
        let api_url = api_url.trim_end_matches('/');
        let octocrab = octocrab::Octocrab::builder().base_uri(api_url);
        #[expect(
            clippy::redundant_closure_for_method_calls,
            reason = "the builder has two methods of this name, told apart by its type"
        )]
        let octocrab = octocrab.and_then(|builder| builder.build());
        let octocrab = octocrab.map_err(unavailable)?;
        let uri = format!("{api_url}/app-manifests/{}/conversions", segment(code));
        let response = octocrab
            ._post(uri, None::<&()>)
            .await
            .map_err(unavailable)?;
        let status = response.status().as_u16();
        let body = octocrab
            .body_to_string(response)
            .await
            .map_err(unavailable)?;
        let what = "the App of this code, which is good for an hour and once";
        let answer = super::answer::Answer {
            status,
            body,
            headers: super::answer::Headers::default(),
        };
        let app: payload::NewApp = answer.read(what)?;
        Ok(NewApp {
            id: app.id,
            slug: app.slug,
            key: app.pem,
            webhook_secret: app.webhook_secret,
        })
    }
}

/// GitHub's name for every webhook of this kind.
fn named_web(mut wanted: Value) -> Value {
    wanted["name"] = json!("web");
    wanted
}

/// An App that was just made. Its key and secret are told this once.
pub struct NewApp {
    pub id: u64,
    pub slug: String,
    pub key: SecretString,
    pub webhook_secret: Option<SecretString>,
}
