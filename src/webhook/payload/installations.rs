//! `installation` and `installation_repositories`: where an App is installed, and what it may
//! reach.

use serde::Deserialize;

use super::{Account, Document, action, not_acted_on, or_default, read, sender};
use crate::domain::delivery::{InstallationAction, InstallationChange};
use crate::domain::id::RepoName;
use crate::webhook::{Content, DecodeError};

#[derive(Deserialize)]
struct Installation {
    id: u64,
    account: Option<Account>,
}

#[derive(Deserialize)]
struct Repository {
    full_name: Option<String>,
}

#[derive(Deserialize)]
struct Payload {
    installation: Installation,
    #[serde(default, deserialize_with = "or_default")]
    repositories: Vec<Repository>,
    #[serde(default, deserialize_with = "or_default")]
    repositories_added: Vec<Repository>,
    #[serde(default, deserialize_with = "or_default")]
    repositories_removed: Vec<Repository>,
}

/// Those of names that huskies can work with; GitHub leaves the name of a deleted one out.
fn names(repositories: &[Repository]) -> Vec<RepoName> {
    let names = repositories
        .iter()
        .filter_map(|repo| repo.full_name.as_ref());
    names.filter_map(|name| name.parse().ok()).collect()
}

pub(super) fn changed(payload: &Document<'_>) -> Result<Content, DecodeError> {
    let action = match action(payload)? {
        "created" => InstallationAction::Created,
        "deleted" => InstallationAction::Deleted,
        "suspend" => InstallationAction::Suspended,
        "unsuspend" => InstallationAction::Unsuspended,
        "new_permissions_accepted" => InstallationAction::PermissionsAccepted,
        other => return Ok(not_acted_on("installations", other)),
    };
    let read: Payload = read(payload)?;
    let named = names(&read.repositories);
    let (added, removed) = match action {
        InstallationAction::Created => (named, Vec::new()),
        InstallationAction::Deleted => (Vec::new(), named),
        InstallationAction::Suspended
        | InstallationAction::Unsuspended
        | InstallationAction::PermissionsAccepted
        | InstallationAction::Repositories => (Vec::new(), Vec::new()),
    };
    content(payload, read.installation, (action, added, removed))
}

pub(super) fn repositories_changed(payload: &Document<'_>) -> Result<Content, DecodeError> {
    let name = action(payload)?;
    if !matches!(name, "added" | "removed") {
        return Ok(not_acted_on("repositories of an installation", name));
    }
    let read: Payload = read(payload)?;
    let added = names(&read.repositories_added);
    let removed = names(&read.repositories_removed);
    let action = InstallationAction::Repositories;
    content(payload, read.installation, (action, added, removed))
}

fn content(
    payload: &Document<'_>,
    installation: Installation,
    (action, added, removed): (InstallationAction, Vec<RepoName>, Vec<RepoName>),
) -> Result<Content, DecodeError> {
    let sender = match sender(payload)? {
        Ok(sender) => sender,
        Err(ignored) => return Ok(ignored),
    };
    let account = installation.account;
    Ok(Content::Installation(InstallationChange {
        id: installation.id,
        account: account.map(|account| account.login).unwrap_or_default(),
        action,
        added,
        removed,
        sender: sender.login,
    }))
}
