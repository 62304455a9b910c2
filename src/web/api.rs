//! The API's reading side.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};

use super::access::Reader;
use super::error::WebError;
use super::{EventView, Shared, StoryView, WebState};
use crate::domain::event::{Event, StoryEvent, SubjectId};
use crate::domain::id::{RepoName, Sha, StoryId};
use crate::domain::story::Story;
use crate::domain::transition::Subject;
use crate::forge::{Forge as _, LocalComment, LocalStatus};
use crate::store::StoryFilter;

/// The longest that a request for events may wait for news.
const LONGEST_WAIT: Duration = Duration::from_mins(1);

/// `/{owner}/{repo}/{number}` of a story.
#[derive(Deserialize)]
pub(super) struct StoryPath {
    owner: String,
    repo: String,
    number: u64,
}

impl StoryPath {
    pub(super) fn id(&self) -> Result<StoryId, WebError> {
        let repo = repo_name(&self.owner, &self.repo)?;
        Ok(StoryId::new(repo, self.number))
    }
}

pub(super) fn repo_name(owner: &str, repo: &str) -> Result<RepoName, WebError> {
    format!("{owner}/{repo}")
        .parse()
        .map_err(|_| WebError::not_found("a repository of that name"))
}

/// The names of all repositories, sorted.
pub(super) async fn repos(_: Reader, State(state): Shared) -> Json<Vec<String>> {
    Json(state.repos.keys().map(ToString::to_string).collect())
}

#[derive(Deserialize)]
pub(super) struct StoriesQuery {
    repo: Option<RepoName>,
}

pub(super) async fn stories(
    _: Reader,
    State(state): Shared,
    Query(query): Query<StoriesQuery>,
) -> Result<Json<Vec<StoryView>>, WebError> {
    let subjects = state
        .store
        .stories(&StoryFilter { repo: query.repo })
        .await?;
    Ok(Json(
        subjects
            .iter()
            .filter_map(story_of)
            .filter(|story| story.was_started())
            .map(StoryView::of)
            .collect(),
    ))
}

fn story_of(subject: &Subject) -> Option<&Story> {
    match subject {
        Subject::Story(story) => Some(story),
        Subject::Repo(_) | Subject::Head(_) | Subject::Account(_) => None,
    }
}

pub(super) async fn story(
    _: Reader,
    State(state): Shared,
    Path(path): Path<StoryPath>,
) -> Result<Json<StoryView>, WebError> {
    Ok(Json(view(&state, &path.id()?).await?))
}

/// A story with everything that is known of it.
pub(super) async fn view(state: &Arc<WebState>, id: &StoryId) -> Result<StoryView, WebError> {
    let story = StoryView::of(&find(state, id).await?);
    let calls = state.store.calls(&SubjectId::Story(id.clone())).await?;
    Ok(story.with_calls(calls))
}

pub(super) async fn find(state: &Arc<WebState>, id: &StoryId) -> Result<Story, WebError> {
    let stored = state.store.subject(&SubjectId::Story(id.clone())).await?;
    let story = stored
        .as_ref()
        .and_then(|(subject, _)| story_of(subject))
        .cloned();
    story.ok_or_else(|| {
        let message = format!(
            "{id} was not started yet, if there is such an issue: its label starts it, or `huskies \
             story start {}`",
            id.number
        );
        WebError::new(StatusCode::NOT_FOUND, message)
    })
}

#[derive(Deserialize)]
pub(super) struct EventsQuery {
    #[serde(default)]
    after: u64,
    #[serde(default)]
    wait_secs: u64,
}

/// The log after a line; with `wait_secs`, the answer waits that long for something new.
pub(super) async fn events(
    _: Reader,
    State(state): Shared,
    Path(path): Path<StoryPath>,
    Query(query): Query<EventsQuery>,
) -> Result<Json<Vec<EventView>>, WebError> {
    let id = SubjectId::Story(path.id()?);
    let mut commits = state.engine.commits();
    let wait = Duration::from_secs(query.wait_secs).min(LONGEST_WAIT);
    let deadline = tokio::time::Instant::now() + wait;
    loop {
        commits.mark_unchanged();
        let events = state.store.events(&id, query.after).await?;
        if !events.is_empty() || wait.is_zero() {
            return Ok(Json(
                events
                    .into_iter()
                    .map(|(seq, record)| EventView::of(seq, record))
                    .collect(),
            ));
        }
        let news = tokio::time::timeout_at(deadline, commits.changed()).await;
        if !matches!(news, Ok(Ok(()))) {
            return Ok(Json(Vec::new()));
        }
    }
}

/// What the built-in forge shows of a story.
#[derive(Serialize)]
pub(super) struct ForgeView {
    labels: Vec<String>,
    comments: Vec<CommentView>,
    statuses: Vec<StatusView>,
}

#[derive(Serialize)]
struct CommentView {
    author: String,
    body: String,
}

#[derive(Serialize)]
struct StatusView {
    commit: String,
    context: String,
    state: &'static str,
    description: String,
}

pub(super) async fn local_forge(
    _: Reader,
    State(state): Shared,
    Path(path): Path<StoryPath>,
) -> Result<Json<ForgeView>, WebError> {
    let id = path.id()?;
    let story = find(&state, &id).await?;
    let local = state
        .repos
        .get(&id.repo)
        .and_then(|repo| repo.local.as_ref());
    let local =
        local.ok_or_else(|| WebError::not_found(&format!("{} on the built-in forge", id.repo)))?;
    let mut statuses = Vec::new();
    for commit in commits_of(&state, &story).await? {
        statuses.extend(
            local
                .statuses_of(&id.repo, &commit)
                .await?
                .into_iter()
                .map(StatusView::of),
        );
    }
    let comments = local
        .comments_of(&id)
        .await?
        .into_iter()
        .map(CommentView::of)
        .collect();
    Ok(Json(ForgeView {
        labels: local.issue(&id).await?.labels,
        comments,
        statuses,
    }))
}

/// Every commit of a story that was ever tested, in order.
async fn commits_of(state: &WebState, story: &Story) -> Result<Vec<Sha>, WebError> {
    let mut commits = Vec::new();
    for (_, record) in state
        .store
        .events(&SubjectId::Story(story.id.clone()), 0)
        .await?
    {
        if let Event::Story {
            event: StoryEvent::WorkCollected { collected, .. },
            ..
        } = record.event
            && !commits.contains(&collected.head)
        {
            commits.push(collected.head);
        }
    }
    Ok(commits)
}

impl CommentView {
    fn of(comment: LocalComment) -> Self {
        Self {
            author: comment.author,
            body: comment.body,
        }
    }
}

impl StatusView {
    fn of(status: LocalStatus) -> Self {
        Self {
            commit: status.commit.to_string(),
            context: status.context,
            state: status.state.name(),
            description: status.description,
        }
    }
}
