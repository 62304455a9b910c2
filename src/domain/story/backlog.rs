//! What keeps a story in Backlog that somebody started.

use serde::{Deserialize, Serialize};

use super::{Stage, Story};
use crate::domain::dependency::StoryState;
use crate::domain::id::ItemName;
use crate::domain::work::Task;

/// Why a story that somebody started is in Backlog.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "note")]
pub enum BacklogNote {
    Stopped,
    UnknownAgent {
        wanted: String,
        known: Vec<ItemName>,
    },
    /// What it depends on is not done ([`Story::needs`]). `circle`: the way over what it waits for
    /// back to itself, its own number first.
    Waits {
        circle: Vec<u64>,
    },
    /// Its text was changed by somebody who may not write ([`Story::unconfirmed`]).
    Unconfirmed,
}

/// A text of the issue that somebody who may not write had a hand in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unconfirmed {
    /// The last one who did, by login.
    pub by: String,
    pub title: String,
    pub body: String,
    /// It was changed just before the start, which waits for the confirmation. Otherwise the story
    /// goes on with the text it has.
    pub holds: bool,
}

impl Story {
    /// Somebody who may has started it, and it has not begun: for what it depends on, or for its
    /// text.
    pub fn waits_to_begin(&self) -> bool {
        matches!(
            &self.stage,
            Stage::Backlog {
                note: Some(BacklogNote::Waits { .. } | BacklogNote::Unconfirmed)
            }
        )
    }

    /// It has not begun because of what it depends on.
    pub fn waits_for_others(&self) -> bool {
        matches!(
            &self.stage,
            Stage::Backlog {
                note: Some(BacklogNote::Waits { .. })
            }
        )
    }

    /// How it stands, for those that depend on it.
    pub fn standing(&self) -> StoryState {
        match &self.stage {
            Stage::Backlog { note } => match note {
                Some(BacklogNote::Waits { .. } | BacklogNote::Unconfirmed) => StoryState::UnderWay,
                Some(BacklogNote::Stopped | BacklogNote::UnknownAgent { .. }) | None => {
                    StoryState::None
                }
            },
            Stage::Coding(_)
            | Stage::Qa(_)
            | Stage::Merge(_)
            | Stage::MergeFailure { .. }
            | Stage::Blocked { .. } => StoryState::UnderWay,
            Stage::Done { .. } => StoryState::Done,
            Stage::Cancelled => StoryState::Cancelled,
        }
    }

    /// The text that a confirmation would be of: with the change that waits for it.
    pub fn text_to_confirm(&self) -> Option<Task> {
        let Unconfirmed { title, body, .. } = self.unconfirmed.as_ref()?;
        Some(Task {
            title: title.clone(),
            body: body.clone(),
            ..self.task.clone()
        })
    }
}
