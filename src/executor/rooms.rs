//! Where each kind of run is confined to, and what it may reach of git.
//!
//! A story has one home for all its agents, since their programs keep sessions there; its set-up uses
//! it too, for what set-up prepares is for the agent. Gates get an empty home each time: what judges
//! a story shall not find what the story, or another one, has left there.

use std::path::{Path, PathBuf};

use super::context::{Context, RepoContext};
use crate::domain::id::{BranchName, StoryId};
use crate::domain::text;
use crate::git::GitError;
use crate::sandbox::{Confinement, Room, Stay};

/// The story's home and what its caches have on top of the machine's.
pub(super) fn kept_room(
    context: &Context,
    repo: &RepoContext,
    story: &StoryId,
    branch: &BranchName,
) -> Result<PathBuf, GitError> {
    let (worktree, _) = repo.git.places_of(branch)?;
    let homes = context.adapters.data_dir.join("homes");
    let name = worktree.file_name().unwrap_or_default();
    Ok(homes
        .join(story.repo.owner())
        .join(story.repo.name())
        .join(name))
}

/// Of an agent; `run` is its run's folder, of which it sees the prompt alone.
pub(super) fn of_agent(
    context: &Context,
    repo: &RepoContext,
    (story, branch): (&StoryId, &BranchName),
    (run, prompt): (&Path, &Path),
) -> Result<Option<Confinement>, GitError> {
    let room = Room::with_home(&kept_room(context, repo, story, branch)?, &run.join("room"));
    in_worktree(context, repo, branch, room, Some(prompt))
}

/// Of a worktree's set-up and teardown.
pub(super) fn of_set_up(
    context: &Context,
    repo: &RepoContext,
    story: &StoryId,
    branch: &BranchName,
) -> Result<Option<Confinement>, GitError> {
    let name = format!("{}-{}", text::digest(story.repo.as_str()), story.number);
    let rooms = context.adapters.data_dir.join("rooms").join(name);
    let room = Room::with_home(&kept_room(context, repo, story, branch)?, &rooms);
    in_worktree(context, repo, branch, room, None)
}

fn in_worktree(
    context: &Context,
    repo: &RepoContext,
    branch: &BranchName,
    room: Room,
    prompt: Option<&Path>,
) -> Result<Option<Confinement>, GitError> {
    let Some(walls) = &context.adapters.walls else {
        return Ok(None);
    };
    let (folder, _) = repo.git.places_of(branch)?;
    let reach = repo.git.reach_of_worktree(branch)?;
    let mut readable = reach.readable;
    readable.extend(prompt.map(Path::to_owned));
    Ok(Some(walls.confinement(Stay {
        folder,
        writable: reach.writable,
        readable,
        room,
        with_credentials: prompt.is_some(),
    })))
}

/// Of gates in a checkout.
pub(super) fn of_gates(
    context: &Context,
    repo: &RepoContext,
    slot: &str,
    folder: &Path,
    run: &Path,
) -> Result<Option<Confinement>, GitError> {
    let Some(walls) = &context.adapters.walls else {
        return Ok(None);
    };
    let reach = repo.git.reach_of_checkout(slot)?;
    Ok(Some(walls.confinement(Stay {
        folder: folder.to_owned(),
        writable: reach.writable,
        readable: reach.readable,
        room: Room::at(&run.join("room")),
        with_credentials: false,
    })))
}
