//! One look at everything: the server, its repositories and forges, stories by stage, what waits.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Shared;
use super::access::Reader;
use super::error::WebError;
use crate::domain::event::SubjectId;
use crate::domain::sandbox::Sandbox;
use crate::domain::transition::Subject;
use crate::forge::Health;
use crate::report;
use crate::store::StoryFilter;

/// The server as the API shows it. Fields are added, never changed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StatusView {
    pub version: String,
    /// `on` or `off`.
    pub sandbox: String,
    pub repositories: Vec<RepositoryView>,
    /// How many stories are in each stage.
    pub stories: BTreeMap<String, usize>,
    /// Stories that have not begun, because others are not done or their text is not confirmed.
    #[serde(default)]
    pub waiting: Vec<WaitView>,
    /// Providers that agents wait for.
    pub paused: Vec<PauseView>,
    /// Why no agent starts for lack of room, while that is so.
    pub disk_low: Option<String>,
    /// Deliveries that were accepted and wait.
    pub inbox: u64,
    /// Today, in US dollars.
    pub spent_today: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RepositoryView {
    pub name: String,
    /// `github` or `local`.
    pub forge: String,
    pub health: Health,
    /// Requests that were made to the forge for the repository itself, its stories' left out.
    pub api_calls: u64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct WaitView {
    pub story: String,
    pub why: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PauseView {
    pub provider: String,
    pub why: String,
    pub until: Timestamp,
}

pub(super) async fn status(_: Reader, State(state): Shared) -> Result<Json<StatusView>, WebError> {
    let mut repositories = Vec::new();
    for (name, repo) in &state.repos {
        repositories.push(RepositoryView {
            name: name.to_string(),
            forge: if repo.local.is_some() {
                "local"
            } else {
                "github"
            }
            .to_owned(),
            health: repo.forge.health(),
            api_calls: state.store.calls(&SubjectId::Repo(name.clone())).await?,
        });
    }
    let (mut stories, mut waiting) = (BTreeMap::new(), Vec::new());
    for subject in state.store.stories(&StoryFilter::default()).await? {
        if let Subject::Story(story) = subject
            && story.was_started()
        {
            *stories.entry(story.stage.name().to_owned()).or_default() += 1;
            if story.waits_to_begin() {
                waiting.push(WaitView {
                    story: story.id.to_string(),
                    why: report::reason(&story).unwrap_or_default(),
                });
            }
        }
    }
    let (paused, disk_low, spent) = match state.store.subject(&SubjectId::Account).await? {
        Some((Subject::Account(account), _)) => {
            let paused = account.pauses.iter().map(|(provider, pause)| PauseView {
                provider: provider.0.clone(),
                why: pause.because.clone(),
                until: pause.until,
            });
            (
                paused.collect(),
                account.disk_low.clone(),
                account.spent_today,
            )
        }
        Some((Subject::Story(_) | Subject::Repo(_) | Subject::Head(_), _)) | None => {
            (Vec::new(), None, crate::domain::money::Usd::ZERO)
        }
    };
    Ok(Json(StatusView {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        sandbox: match state.sandbox {
            Sandbox::On => "on",
            Sandbox::Off => "off",
        }
        .to_owned(),
        repositories,
        stories,
        waiting,
        paused,
        disk_low,
        inbox: state.store.inbox_depth().await?,
        spent_today: spent.to_string(),
    }))
}
