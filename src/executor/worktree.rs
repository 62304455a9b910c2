//! Acts on a story's worktree: making it ready (branch, set-up, hook), keeping what is in it, and
//! taking it away.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::context::{Context, RepoContext, Try};
use super::rooms;
use crate::config::environment;
use crate::domain::event::{Event, StoryEvent};
use crate::domain::id::{Attempt, BranchName, Sha, StoryId};
use crate::domain::project::Component;
use crate::domain::text;
use crate::gate::setup::{SetupError, run_setup, run_teardown};
use crate::gate::{Place, Watch};
use crate::git::{CollectSpec, GitError, Retirement, Worktree, WorktreeSpec};
use crate::sandbox::{Confinement, Room};

/// A worktree that takes longer fails its attempt (spec 4.1); set-up has limits of its own.
const TAKING_LIMIT: Duration = Duration::from_mins(2);
/// How much of a set-up command's output an error quotes.
const OUTPUT_BYTES: usize = 64 * 1024;
/// Tries to keep an agent's work before a person is asked.
const COLLECT_TRIES: u32 = 3;

/// Which worktree is to be made ready.
pub(super) struct Order<'a> {
    pub(super) story: &'a StoryId,
    pub(super) branch: &'a BranchName,
    pub(super) base: &'a Sha,
    pub(super) components: &'a [Component],
}

/// What came of it.
pub(super) enum Prepared {
    Ready {
        head: Sha,
        hook_trouble: Option<String>,
        noticed: Vec<String>,
    },
    Failed {
        message: String,
    },
}

impl Prepared {
    pub(super) fn into_event(self, attempt: Attempt) -> StoryEvent {
        match self {
            Self::Ready {
                head,
                hook_trouble,
                noticed,
            } => StoryEvent::WorktreeReady {
                attempt,
                head,
                hook_trouble,
                noticed,
            },
            Self::Failed { message } => StoryEvent::WorktreeFailed { attempt, message },
        }
    }
}

pub(super) async fn prepare(context: &Context, repo: &RepoContext, order: &Order<'_>) -> Prepared {
    let spec = WorktreeSpec {
        story: order.story.clone(),
        branch: order.branch.clone(),
        base: order.base.clone(),
    };
    let worktree = match tokio::time::timeout(TAKING_LIMIT, repo.git.prepare_worktree(&spec)).await
    {
        Ok(Ok(worktree)) => worktree,
        Ok(Err(error)) => {
            return Prepared::Failed {
                message: error.to_string(),
            };
        }
        Err(_) => {
            let message = format!(
                "making the worktree took longer than {} s",
                TAKING_LIMIT.as_secs()
            );
            return Prepared::Failed { message };
        }
    };
    let hooks = match repo.git.places_of(order.branch) {
        Ok((_, hooks)) => hooks,
        Err(error) => {
            return Prepared::Failed {
                message: error.to_string(),
            };
        }
    };
    let confinement = match rooms::of_set_up(context, repo, order.story, order.branch) {
        Ok(confinement) => confinement,
        Err(error) => {
            return Prepared::Failed {
                message: error.to_string(),
            };
        }
    };
    if let Err(message) = set_up(order, &worktree, &hooks, confinement).await {
        return Prepared::Failed { message };
    }
    // The hook is help: that it could not be installed is said and stops nothing.
    let installed = repo.git.install_hook(&worktree, &context.adapters.binary);
    let hook_trouble = installed.await.err().map(|error| format!("{error:#}"));
    Prepared::Ready {
        head: worktree.head,
        hook_trouble,
        noticed: worktree.noticed,
    }
}

/// Runs the set-up commands once for each worktree; a marker beside the hook remembers it.
async fn set_up(
    order: &Order<'_>,
    worktree: &Worktree,
    hooks: &Path,
    confinement: Option<Confinement>,
) -> Result<(), String> {
    let marker = set_up_marker(hooks);
    let done_before = marker.exists() && !worktree.created;
    if order.components.is_empty() || done_before {
        return Ok(());
    }
    let place = place_of(order.story, &worktree.path, confinement);
    let done = run_setup(order.components, &place, &Watch::default()).await;
    forget_tmp(&place);
    match done {
        Ok(_) => std::fs::write(&marker, b"")
            .map_err(|error| format!("cannot write {}: {error}", marker.display())),
        Err(SetupError::Failed(failure)) => Err(format!("{failure}\n{}", failure.tail)),
        Err(SetupError::Cancelled(_)) => Err("set-up was stopped".to_owned()),
    }
}

/// Where it is remembered that a worktree was set up.
fn set_up_marker(hooks: &Path) -> PathBuf {
    hooks.with_extension("set-up")
}

fn forget_tmp(place: &Place) {
    if let Some(confinement) = &place.confinement
        && let Err(error) = confinement.room.remove_tmp()
    {
        tracing::warn!(%error, "what set-up left in /tmp cannot be removed");
    }
}

fn place_of(story: &StoryId, worktree: &Path, confinement: Option<Confinement>) -> Place {
    Place {
        confinement,
        directory: worktree.to_owned(),
        environment: environment::for_project_commands(),
        marks: format!(
            "setup-{}-{}",
            text::digest(story.repo.as_str()),
            story.number
        ),
        output_cap: OUTPUT_BYTES,
    }
}

/// Runs the teardown of a worktree that was set up, before it goes. What fails in it is said in the
/// log and keeps nothing from going.
async fn tear_down(
    context: &Context,
    repo: &RepoContext,
    (story, branch): (&StoryId, &BranchName),
    components: &[Component],
) {
    let Ok((worktree, hooks)) = repo.git.places_of(branch) else {
        return;
    };
    let marker = set_up_marker(&hooks);
    if !worktree.is_dir() || std::fs::remove_file(&marker).is_err() {
        return;
    }
    let confinement = match rooms::of_set_up(context, repo, story, branch) {
        Ok(confinement) => confinement,
        Err(error) => {
            tracing::warn!(%story, %error, "no teardown: it cannot be confined");
            return;
        }
    };
    let place = place_of(story, &worktree, confinement);
    // Nobody holds the watch that could cancel it.
    if let Ok(failures) = run_teardown(components, &place, &Watch::default()).await {
        for failure in failures {
            tracing::warn!(%story, %failure, output = failure.tail, "teardown failed");
        }
    }
    forget_tmp(&place);
}

/// The story is over: so are its agents' sessions and caches.
fn forget_home(context: &Context, repo: &RepoContext, story: &StoryId, branch: &BranchName) {
    let removed = rooms::kept_room(context, repo, story, branch)
        .map_err(std::io::Error::other)
        .and_then(|kept| {
            Room::with_home(&kept, &kept)
                .remove()
                .and_then(|()| remove_folder(&kept))
        });
    if let Err(error) = removed {
        tracing::warn!(%story, %error, "the story's home cannot be removed");
    }
}

fn remove_folder(folder: &Path) -> std::io::Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

pub(super) async fn collect(repo: &RepoContext, story: &StoryId, spec: CollectSpec) -> Try {
    let attempt = spec.attempt;
    let mut last = None;
    for _ in 0..COLLECT_TRIES {
        match repo.git.collect(&spec).await {
            Ok(collected) => {
                let event = StoryEvent::WorkCollected { attempt, collected };
                return Try::Done(Some(Event::story(story, event)));
            }
            Err(error) => last = Some(error),
        }
    }
    let message = last.as_ref().map_or_else(String::new, GitError::to_string);
    Try::Done(Some(Event::story(
        story,
        StoryEvent::WorkNotCollected { attempt, message },
    )))
}

pub(super) async fn retire(
    context: &Context,
    repo: &RepoContext,
    story: &StoryId,
    branch: &BranchName,
) -> Try {
    let known = match context.story(story).await {
        Ok(known) => known,
        Err(error) => {
            return Try::Again {
                after: None,
                why: error.to_string(),
            };
        }
    };
    let Some((attempt, rules)) = known.and_then(|story| Some((story.attempt, story.rules?))) else {
        return Try::Done(None);
    };
    tear_down(context, repo, (story, branch), &rules.project.components).await;
    let spec = CollectSpec {
        story: story.clone(),
        branch: branch.clone(),
        attempt,
        since: None,
        base: rules.base,
        conflicts: Vec::new(),
    };
    match repo.git.retire_worktree(&spec).await {
        Ok(Retirement::Removed) => forget_home(context, repo, story, branch),
        Ok(Retirement::Kept { reason }) => {
            tracing::warn!(%story, reason, "the worktree is kept: a person has to look");
        }
        Err(error) => {
            tracing::warn!(%story, %error, "the worktree could not be removed; it is left where it is");
        }
    }
    Try::Done(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::{Limits, Network};

    #[test]
    fn a_folder_is_removed_with_what_is_in_it_and_one_that_is_not_there_is_removed_already() {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().join("home");
        std::fs::create_dir(&home).unwrap();
        std::fs::write(home.join("session"), "words").unwrap();
        remove_folder(&home).unwrap();
        assert!(!home.exists());
        remove_folder(&home).unwrap();
    }

    #[test]
    fn what_cannot_be_removed_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("home");
        std::fs::write(&file, "no folder").unwrap();
        let error = remove_folder(&file).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::NotADirectory);
    }

    #[test]
    fn what_set_up_left_in_tmp_goes_and_its_home_stays() {
        let folder = tempfile::tempdir().unwrap();
        let room = Room::at(folder.path());
        for part in [&room.tmp, &room.home] {
            std::fs::create_dir(part).unwrap();
            std::fs::write(part.join("left"), "words").unwrap();
        }
        let confinement = Confinement {
            binary: "/usr/bin/huskies".into(),
            folder: folder.path().to_owned(),
            writable: Vec::new(),
            own: Vec::new(),
            readable: Vec::new(),
            layered: Vec::new(),
            home: "/home/huskies".into(),
            room: room.clone(),
            network: Network::None,
            limits: Limits {
                memory_bytes: 1,
                processes: 1,
                open_files: 1,
                disk_bytes: 1,
            },
        };
        let story = "octo/app#1".parse().unwrap();
        forget_tmp(&place_of(&story, folder.path(), Some(confinement)));
        assert!(!room.tmp.exists() && room.home.join("left").exists());
    }
}
