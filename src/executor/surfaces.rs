//! Brings what huskies shows on the forge up to date: one write, whatever was missed, and none
//! when nothing changed.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::acts::settle;
use super::checks::{check_run, repo_of};
use super::context::{Backoff, Context, Leaving, RepoContext, Try};
use super::pulls;
use crate::domain::effect::{CommitStatus, Surface};
use crate::domain::event::SubjectId;
use crate::domain::id::{RepoName, StoryId};
use crate::domain::pull::PullState;
use crate::domain::story::Story;
use crate::domain::text;
use crate::forge::{CommentId, ForgeError, Status};
use crate::report;
use crate::store::{PendingSurface, Written};

/// Writes the newest state of a surface, trying until the forge takes it.
pub(super) async fn update(
    context: &Arc<Context>,
    subject: &SubjectId,
    key: &str,
    shutdown: &CancellationToken,
) {
    let mut backoff = Backoff::default();
    loop {
        let (after, why) = match context
            .counting(subject, try_once(context, subject, key))
            .await
        {
            Try::Done(_) => return,
            Try::Again { after, why } => (after, why),
        };
        tracing::warn!(%subject, surface = key, why, "trying again");
        let waited = match after {
            Some(pause) => backoff.wait_for(pause, shutdown).await,
            None => backoff.wait(shutdown).await,
        };
        if let Err(Leaving) = waited {
            return;
        }
    }
}

/// The state is read anew at each try: what was overtaken meanwhile is never written.
async fn try_once(context: &Arc<Context>, subject: &SubjectId, key: &str) -> Try {
    let pending = match context.store.surface(subject, key).await {
        Ok(Some(pending)) => pending,
        Ok(None) => return Try::Done(None),
        Err(error) => {
            return Try::Again {
                after: None,
                why: error.to_string(),
            };
        }
    };
    match write(context, &pending).await {
        Ok(written) => {
            context.adapters.crash.reach("surface.after");
            let stored = context
                .store
                .surface_written(subject, key, pending.version, &written)
                .await;
            stored.map_or_else(
                |error| Try::Again {
                    after: None,
                    why: error.to_string(),
                },
                |()| Try::Done(None),
            )
        }
        Err(Trouble::Forge(error)) => settle(Err(error)),
        Err(Trouble::Here(error)) => Try::Again {
            after: None,
            why: format!("{error:#}"),
        },
    }
}

pub(super) enum Trouble {
    Forge(ForgeError),
    Here(anyhow::Error),
}

impl From<ForgeError> for Trouble {
    fn from(error: ForgeError) -> Self {
        Self::Forge(error)
    }
}

impl From<anyhow::Error> for Trouble {
    fn from(error: anyhow::Error) -> Self {
        Self::Here(error)
    }
}

async fn write(context: &Context, pending: &PendingSurface) -> Result<Written, Trouble> {
    match (&pending.subject, &pending.surface) {
        (SubjectId::Story(story), Surface::StickyComment) => {
            sticky_comment(context, story, pending).await
        }
        (SubjectId::Story(story), Surface::StageLabel) => {
            stage_label(context, story, pending).await
        }
        (SubjectId::Story(story), Surface::PullRequest) => {
            pull_request(context, story, pending).await
        }
        (
            SubjectId::Story(StoryId { repo, .. }) | SubjectId::Repo(repo),
            Surface::Status(status),
        ) => commit_status(context, repo, status, pending).await,
        (SubjectId::Head(head), Surface::Status(status)) => {
            commit_status(context, &head.repo, status, pending).await
        }
        (subject, Surface::CheckRun(check)) if let Some(repo) = repo_of(subject) => {
            check_run(context, repo, (check, pending)).await
        }
        (_, Surface::CheckRun(_))
        | (SubjectId::Repo(_) | SubjectId::Head(_) | SubjectId::Account, _) => Err(Trouble::Here(
            anyhow::anyhow!("{} has no such surface", pending.subject),
        )),
    }
}

async fn known_story(context: &Context, id: &StoryId) -> anyhow::Result<Story> {
    let story = context.story(id).await?;
    story.ok_or_else(|| anyhow::anyhow!("{id} is not in the store"))
}

/// What was written last, when it is the same as what would be written now.
pub(super) fn unchanged(pending: &PendingSurface, digest: &str) -> Option<Written> {
    pending
        .written
        .clone()
        .filter(|written| written.digest == digest)
}

/// Before something is written: should nobody hear how that went, what was written before must not
/// pass for what is there. Without this a state that came back to what it was would stay unwritten.
pub(super) async fn forget(context: &Context, pending: &PendingSurface) -> anyhow::Result<()> {
    let Some(written) = pending.written.as_ref() else {
        return Ok(());
    };
    if written.digest.is_empty() {
        return Ok(());
    }
    let unknown = Written {
        handle: written.handle.clone(),
        digest: String::new(),
    };
    let (key, before) = (pending.surface.key(), pending.version.saturating_sub(1));
    let forgotten = context
        .store
        .surface_written(&pending.subject, &key, before, &unknown);
    Ok(forgotten.await?)
}

async fn sticky_comment(
    context: &Context,
    id: &StoryId,
    pending: &PendingSurface,
) -> Result<Written, Trouble> {
    let repo = context.repo(&id.repo)?;
    let story = known_story(context, id).await?;
    let sandbox = context.sandbox();
    let body = context
        .adapters
        .masker
        .comment(&report::sticky_comment(&story, sandbox));
    let digest = text::digest(&body);
    if let Some(written) = unchanged(pending, &digest) {
        return Ok(written);
    }
    forget(context, pending).await?;
    context.adapters.crash.reach("surface.comment.before");
    let handle = put_comment(repo, id, pending.written.as_ref(), &body).await?;
    Ok(Written {
        handle: handle.0,
        digest,
    })
}

/// Edits the comment that is there, finding it by its marker where its id is not known or nothing
/// has it any more: a post whose answer was lost must not be repeated. One that a person deleted is
/// posted anew.
async fn put_comment(
    repo: &RepoContext,
    story: &StoryId,
    written: Option<&Written>,
    body: &str,
) -> Result<CommentId, ForgeError> {
    if let Some(written) = written {
        let known = CommentId(written.handle.clone());
        if edit_comment(repo, story, (&known, body)).await? {
            return Ok(known);
        }
    }
    let marker = report::story_marker(story);
    if let Some(found) = repo.forge.find_comment(story, &marker).await?
        && edit_comment(repo, story, (&found, body)).await?
    {
        return Ok(found);
    }
    repo.forge.create_comment(story, body).await
}

/// False when there is no such comment any more.
async fn edit_comment(
    repo: &RepoContext,
    story: &StoryId,
    (comment, body): (&CommentId, &str),
) -> Result<bool, ForgeError> {
    match repo.forge.update_comment(story, comment, body).await {
        Ok(()) => Ok(true),
        Err(ForgeError::NotFound { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

async fn stage_label(
    context: &Context,
    id: &StoryId,
    pending: &PendingSurface,
) -> Result<Written, Trouble> {
    let stage = known_story(context, id).await?.stage.name();
    if let Some(written) = unchanged(pending, stage) {
        return Ok(written);
    }
    forget(context, pending).await?;
    context.adapters.crash.reach("surface.label.before");
    context
        .repo(&id.repo)?
        .forge
        .set_stage_label(id, stage)
        .await?;
    Ok(Written {
        handle: String::new(),
        digest: stage.to_owned(),
    })
}

/// Title, text, and whether it is ready: one that is gone is nobody's to keep up to date.
async fn pull_request(
    context: &Context,
    id: &StoryId,
    pending: &PendingSurface,
) -> Result<Written, Trouble> {
    let repo = context.repo(&id.repo)?;
    let story = known_story(context, id).await?;
    let (PullState::Open(pull), Some(pulls)) = (story.pull, repo.forge.pull_requests()) else {
        return Ok(pending.written.clone().unwrap_or_default());
    };
    let text = pulls::text(context, &story, pull.plain && !pull.ready);
    let (handle, title) = (pull.number.to_string(), &text.title);
    let digest = text::digest(&format!("{handle} {} {title}\n{}", pull.ready, text.body));
    if let Some(written) = unchanged(pending, &digest) {
        return Ok(written);
    }
    forget(context, pending).await?;
    context.adapters.crash.reach("surface.pull.before");
    pulls.edit_pull(&id.repo, pull.number, &text).await?;
    if pull.ready && !pull.plain {
        pulls.mark_ready(&id.repo, pull.number).await?;
    }
    Ok(Written { handle, digest })
}

async fn commit_status(
    context: &Context,
    repo: &RepoName,
    status: &CommitStatus,
    pending: &PendingSurface,
) -> Result<Written, Trouble> {
    let description = context.adapters.masker.status(&status.news);
    let state = status.news.state();
    let digest = text::digest(&format!("{} {description}", state.name()));
    if let Some(written) = unchanged(pending, &digest) {
        return Ok(written);
    }
    forget(context, pending).await?;
    context.adapters.crash.reach("surface.status.before");
    let wanted = Status {
        context: status.news.context().to_owned(),
        state,
        description,
        target_url: None,
    };
    context
        .repo(repo)?
        .forge
        .set_status(repo, &status.commit, &wanted)
        .await?;
    Ok(Written {
        handle: String::new(),
        digest,
    })
}
