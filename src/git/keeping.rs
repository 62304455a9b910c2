//! What `control.git` keeps for later, and giving it up: kept work, candidates, idle checkouts.
//!
//! Only refs go here. What they alone held becomes unreachable and stays until somebody runs
//! `git gc` there.
//! Not for: deciding what is old enough.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use git2::{ErrorCode, Reference};
use jiff::Timestamp;

use super::error::{While, on};
use super::objects::{Objects, candidate_ref, head_ref, wip_ref};
use super::paths::checkout_name;
use super::repository::blocking;
use super::{Repository, Result, files};
use crate::domain::id::{Attempt, Sha};

/// What one attempt left, under `refs/huskies/wip/<story>/<attempt>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptWork {
    pub story: u64,
    pub attempt: Attempt,
}

/// A squash commit that was tested once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OldCandidate {
    /// The commit; its ref has a shorter name.
    pub commit: Sha,
    /// When it was built, or when its author wrote it, where nobody knows the former any more.
    pub at: Timestamp,
}

/// The head of a person's pull request that was brought in once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OldHead {
    pub commit: Sha,
    /// When it was brought in, or written, where nobody knows the former any more.
    pub at: Timestamp,
}

/// A clean checkout that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdleCheckout {
    pub slot: String,
    pub path: PathBuf,
    /// When it was last filled.
    pub at: Timestamp,
}

impl Repository {
    /// All kept work, in no particular order.
    pub async fn kept_work(&self) -> Result<Vec<KeptWork>> {
        self.read_objects(|control| {
            let mut kept = Vec::new();
            for_each(control, "refs/huskies/wip/*", |name, _| {
                let mut parts = name.rsplit('/');
                let attempt = parts.next().and_then(|attempt| attempt.parse().ok());
                let story = parts.next().and_then(|story| story.parse().ok());
                if let (Some(story), Some(attempt)) = (story, attempt) {
                    let attempt = Attempt(attempt);
                    kept.push(KeptWork { story, attempt });
                }
                Ok(())
            })?;
            Ok(kept)
        })
        .await
    }

    /// Gives up what an attempt left. Nothing there is fine.
    pub async fn forget_work(&self, kept: &KeptWork) -> Result<()> {
        let name = wip_ref(kept.story, kept.attempt);
        self.read_objects(move |control| delete(control, &name, None))
            .await
    }

    /// All candidates, in no particular order.
    pub async fn candidates(&self) -> Result<Vec<OldCandidate>> {
        let control = self.inner.paths.control();
        self.read_objects(move |objects| {
            let mut candidates = Vec::new();
            for_each(objects, "refs/huskies/candidate/*", |name, commit| {
                let at = match written_at(&control.join(name)) {
                    Some(at) => at,
                    None => authored_at(objects, &commit)?,
                };
                candidates.push(OldCandidate { commit, at });
                Ok(())
            })?;
            Ok(candidates)
        })
        .await
    }

    /// Gives up a candidate, unless its ref means another commit by now.
    pub async fn forget_candidate(&self, candidate: &OldCandidate) -> Result<()> {
        let (name, commit) = (candidate_ref(&candidate.commit), candidate.commit.clone());
        self.read_objects(move |control| delete(control, &name, Some(&commit)))
            .await
    }

    /// All heads of people's pull requests, in no particular order.
    pub async fn heads(&self) -> Result<Vec<OldHead>> {
        let control = self.inner.paths.control();
        self.read_objects(move |objects| {
            let mut heads = Vec::new();
            for_each(objects, "refs/huskies/head/*", |name, commit| {
                let at = match written_at(&control.join(name)) {
                    Some(at) => at,
                    None => authored_at(objects, &commit)?,
                };
                heads.push(OldHead { commit, at });
                Ok(())
            })?;
            Ok(heads)
        })
        .await
    }

    /// Gives up a head; one that is wanted again is brought in again.
    pub async fn forget_head(&self, head: &OldHead) -> Result<()> {
        let (name, commit) = (head_ref(&head.commit), head.commit.clone());
        self.read_objects(move |control| delete(control, &name, Some(&commit)))
            .await
    }

    /// The checkouts that are there. Whether one is in use is for the caller to know.
    pub async fn checkouts(&self) -> Result<Vec<IdleCheckout>> {
        let folder = self.inner.paths.checkouts();
        blocking(move || {
            let mut checkouts = Vec::new();
            for entry in std::fs::read_dir(&folder).while_doing(|| on("read", &folder))? {
                let path = entry.while_doing(|| on("read", &folder))?.path();
                let slot = path.file_name().and_then(|name| name.to_str());
                if let (Some(slot), Some(at)) = (slot, written_at(&path))
                    && files::is_real_folder(&path)
                {
                    let slot = slot.to_owned();
                    checkouts.push(IdleCheckout { slot, path, at });
                }
            }
            Ok(checkouts)
        })
        .await
    }

    /// Removes a checkout that nobody uses; the next run that needs it makes it anew.
    pub async fn remove_checkout(&self, slot: &str) -> Result<()> {
        let name = checkout_name(slot)?;
        let linked = self.linked(name, self.inner.paths.checkouts().join(slot));
        self.remove_linked(&linked).await
    }
}

fn for_each(
    control: &Objects,
    pattern: &str,
    mut visit: impl FnMut(&str, Sha) -> Result<()>,
) -> Result<()> {
    let doing = || format!("list {pattern}");
    for reference in control.0.references_glob(pattern).while_doing(doing)? {
        let reference = reference.while_doing(doing)?;
        if let (Ok(name), Some(commit)) = (reference.name(), reference.target()) {
            visit(name, super::objects::sha(commit))?;
        }
    }
    Ok(())
}

/// Deletes a ref, if it is there and at `expected` where that is given.
fn delete(control: &Objects, name: &str, expected: Option<&Sha>) -> Result<()> {
    let doing = || format!("delete {name}");
    let mut reference: Reference<'_> = match control.0.find_reference(name) {
        Ok(reference) => reference,
        Err(error) if error.code() == ErrorCode::NotFound => return Ok(()),
        Err(source) => return Err(source).while_doing(doing),
    };
    let target = reference.target().map(super::objects::sha);
    if expected.is_some() && target.as_ref() != expected {
        return Ok(());
    }
    reference.delete().while_doing(doing)
}

fn written_at(path: &Path) -> Option<Timestamp> {
    let modified: SystemTime = std::fs::metadata(path).ok()?.modified().ok()?;
    Timestamp::try_from(modified).ok()
}

/// A ref that was packed lost the time at which it was written; the commit's own is no later.
fn authored_at(control: &Objects, commit: &Sha) -> Result<Timestamp> {
    let seconds = control.commit(commit)?.committer().when().seconds();
    Ok(Timestamp::from_second(seconds).unwrap_or(Timestamp::MIN))
}
