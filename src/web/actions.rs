//! The API's changing side: what an operator asks of stories, and issues of the built-in forge.

use std::sync::Arc;

use axum::extract::{Path, Query, Request, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};

use super::access::Operator;
use super::api::{find, repo_name, view};
use super::body::Budget;
use super::error::WebError;
use super::{Shared, StoryView, WebRepo, WebState};
use crate::domain::dependency::{LinksWanted, Mentions};
use crate::domain::event::{Event, StoryEvent, SubjectId};
use crate::domain::id::StoryId;
use crate::domain::project::Trigger;
use crate::domain::story::{Actor, Around, Wish};
use crate::domain::transition::{Refusal, Subject};
use crate::domain::work::Task;
use crate::engine::Report;
use crate::forge::{Forge, read_links};

/// In bytes, far more than GitHub's 65,536 characters.
const LONGEST_ISSUE: usize = 1024 * 1024;

/// Who the built-in forge says did what the command line asked for.
const OPERATOR: &str = "operator";

#[derive(Deserialize)]
pub(super) struct ActionPath {
    owner: String,
    repo: String,
    number: u64,
    verb: Verb,
}

/// What can be asked of a story.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Verb {
    Start,
    Stop,
    Cancel,
    Retry,
    Hold,
    Release,
    Approve,
}

/// What is said about the thing that is asked.
#[derive(Deserialize)]
pub(super) struct ActionQuery {
    /// The commit that is approved, or its first digits.
    commit: Option<String>,
}

/// The fewest digits of a commit that name it.
const SHORTEST_COMMIT: usize = 7;

pub(super) async fn act(
    _: Operator,
    State(state): Shared,
    Path(path): Path<ActionPath>,
    Query(query): Query<ActionQuery>,
) -> Result<Json<StoryView>, WebError> {
    let id = StoryId::new(repo_name(&path.owner, &path.repo)?, path.number);
    let repo = state
        .repos
        .get(&id.repo)
        .ok_or_else(|| WebError::not_found(&id.repo.to_string()))?;
    let trigger = trigger(&state, &id).await?;
    show_on_forge(repo, &id, path.verb, &trigger).await?;
    let wish = match path.verb {
        Verb::Approve => approval(&state, &id, &query).await?,
        verb => wish(repo, &id, verb).await?,
    };
    let event = Event::story(
        &id,
        StoryEvent::Asked {
            wish,
            by: Actor::Operator,
        },
    );
    if let Some(refusal) = state.engine.report(Report::event(event)).await? {
        let message = match refusal {
            Refusal::Ignored { because } => format!("nothing to do for {id}: {because}"),
            illegal @ Refusal::Illegal { .. } => illegal.to_string(),
        };
        return Err(WebError::new(StatusCode::CONFLICT, message));
    }
    Ok(Json(view(&state, &id).await?))
}

async fn wish(repo: &WebRepo, id: &StoryId, verb: Verb) -> Result<Wish, WebError> {
    Ok(match verb {
        Verb::Start => start(repo, id).await?,
        Verb::Stop => Wish::Stop,
        Verb::Cancel => Wish::Cancel,
        Verb::Retry => Wish::Retry { label: None },
        Verb::Hold => Wish::Hold,
        Verb::Release => Wish::Release,
        Verb::Approve => Wish::Approve {
            commit: None,
            label: None,
        },
    })
}

/// What a start depends on is looked up here: an operator's word counts at once, so that nothing
/// asks the forge afterwards.
async fn start(repo: &WebRepo, id: &StoryId) -> Result<Wish, WebError> {
    let issue = repo.forge.issue(id).await?;
    let named = |prefix: &str| {
        let mut labels = issue.labels.iter();
        labels.find_map(|label| label.strip_prefix(prefix))
    };
    let wanted = LinksWanted {
        mentions: Mentions::read(&issue.title, &issue.body, &id.repo),
        family: issue.family.clone(),
    };
    let links = read_links(repo.forge.as_ref(), id, &wanted).await?;
    Ok(Wish::Start {
        agent: named("agent:").map(str::to_owned),
        priority: named("priority:")
            .and_then(|number| number.parse().ok())
            .unwrap_or_default(),
        around: Box::new(Around {
            links: Some(Box::new(links)),
            ..Around::default()
        }),
        task: Task {
            title: issue.title,
            body: issue.body,
            ..Task::default()
        },
    })
}

/// An approval names the commit that it is of, so that nobody approves what came meanwhile.
async fn approval(
    state: &Arc<WebState>,
    id: &StoryId,
    query: &ActionQuery,
) -> Result<Wish, WebError> {
    let story = find(state, id).await?;
    let commit = story.awaits_approval().cloned();
    let named = query.commit.as_deref().unwrap_or_default();
    if let Some(waiting) = &commit
        && (named.len() < SHORTEST_COMMIT || !waiting.as_str().starts_with(named))
    {
        let message = format!(
            "an approval names the commit that waits for it, or at least {SHORTEST_COMMIT} of its digits: {id} waits \
             with {waiting}"
        );
        return Err(WebError::new(StatusCode::CONFLICT, message));
    }
    Ok(Wish::Approve {
        commit,
        label: None,
    })
}

/// On the built-in forge the issue shows what was asked, as it would on GitHub. Doing so twice is
/// harmless, so a request that broke off can simply be made again.
async fn show_on_forge(
    repo: &WebRepo,
    id: &StoryId,
    verb: Verb,
    trigger: &Trigger,
) -> Result<(), WebError> {
    let Some(local) = &repo.local else {
        return Ok(());
    };
    match verb {
        Verb::Start => drop(local.label(id, &trigger.start_label, OPERATOR).await?),
        Verb::Stop => drop(local.unlabel(id, &trigger.start_label, OPERATOR).await?),
        Verb::Cancel => drop(local.close(id, OPERATOR).await?),
        Verb::Hold => drop(local.label(id, &trigger.hold_label, OPERATOR).await?),
        Verb::Release => drop(local.unlabel(id, &trigger.hold_label, OPERATOR).await?),
        Verb::Retry | Verb::Approve => {}
    }
    Ok(())
}

async fn trigger(state: &WebState, id: &StoryId) -> Result<Trigger, WebError> {
    let repo = state
        .store
        .subject(&SubjectId::Repo(id.repo.clone()))
        .await?;
    Ok(match repo {
        Some((Subject::Repo(repo), _)) => repo.base.map(|base| base.trigger).unwrap_or_default(),
        Some((Subject::Story(_) | Subject::Head(_) | Subject::Account(_), _)) | None => {
            Trigger::default()
        }
    })
}

#[derive(Deserialize)]
pub(super) struct NewIssue {
    title: String,
    #[serde(default)]
    body: String,
    /// The issue that it is a part of.
    parent: Option<u64>,
}

#[derive(Serialize)]
pub(super) struct IssueCreated {
    id: String,
    number: u64,
}

pub(super) async fn new_issue(
    _: Operator,
    State(state): Shared,
    Path((owner, repo)): Path<(String, String)>,
    Extension(budget): Extension<Budget>,
    request: Request,
) -> Result<(StatusCode, Json<IssueCreated>), WebError> {
    let (parts, body) = request.into_parts();
    let body = budget.read(&parts.headers, body, LONGEST_ISSUE).await?;
    let issue: NewIssue = serde_json::from_slice(&body).map_err(|_| {
        let message = "send an object with `title` and, if you like, `body` and `parent`";
        WebError::new(StatusCode::BAD_REQUEST, message)
    })?;
    let name = repo_name(&owner, &repo)?;
    let known = state
        .repos
        .get(&name)
        .ok_or_else(|| WebError::not_found(&name.to_string()))?;
    let local = known.local.as_ref().map(Arc::clone).ok_or_else(|| {
        let message = format!("{name} is on GitHub: open the issue there");
        WebError::new(StatusCode::UNPROCESSABLE_ENTITY, message)
    })?;
    let parent = issue
        .parent
        .map(|number| StoryId::new(name.clone(), number));
    if let Some(parent) = &parent {
        Forge::issue(local.as_ref(), parent).await?;
    }
    let number = local
        .create_issue(&name, &issue.title, &issue.body, OPERATOR)
        .await?;
    if let Some(parent) = &parent {
        local.add_sub_issue(parent, number).await?;
    }
    let id = StoryId::new(name, number).to_string();
    Ok((StatusCode::CREATED, Json(IssueCreated { id, number })))
}
