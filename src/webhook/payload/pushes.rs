//! `push`.

use serde::Deserialize;

use super::{Account, Document, commit_or_none, read};
use crate::domain::delivery::Push;
use crate::webhook::{Content, DecodeError, ignored, printable};

/// The account that GitHub shows for deleted ones.
const GHOST: &str = "ghost";

#[derive(Deserialize)]
struct Pusher {
    name: Option<String>,
}

#[derive(Deserialize)]
struct Payload {
    #[serde(rename = "ref")]
    reference: String,
    before: String,
    after: String,
    sender: Option<Account>,
    pusher: Option<Pusher>,
}

/// Tags and refs that are no branches are ignored. Who pushed starts nothing, so it may be unknown.
pub(super) fn pushed(payload: &Document<'_>) -> Result<Content, DecodeError> {
    let Payload {
        reference,
        before,
        after,
        sender,
        pusher,
    } = read(payload)?;
    let Some(branch) = reference.strip_prefix("refs/heads/") else {
        return Ok(ignored(format!(
            "`{}` is not a branch",
            printable(&reference)
        )));
    };
    let Ok(branch) = branch.parse() else {
        let branch = printable(branch);
        return Ok(ignored(format!(
            "`{branch}` is not a branch name that huskies can work with"
        )));
    };
    let (before, after) = (commit_or_none(&before)?, commit_or_none(&after)?);
    if before.is_none() && after.is_none() {
        return Ok(ignored("the push neither begins nor ends at a commit"));
    }
    let sender = sender
        .map(|account| account.login)
        .filter(|login| !login.is_empty())
        .or_else(|| pusher.and_then(|pusher| pusher.name))
        .unwrap_or_else(|| GHOST.to_owned());
    Ok(Content::Push(Push {
        branch,
        before,
        after,
        sender,
    }))
}
