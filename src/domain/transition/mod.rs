//! What follows: `step(subject, event, now)` gives the new subject and the effects, or a refusal.
//!
//! Every legal pair of state and event is spelled out in the subject's own file. Late messages are
//! fenced by attempt and run numbers and answered with [`Refusal::Ignored`]; what can only come
//! from a fault is [`Refusal::Illegal`].

mod account;
mod head;
mod repo;
mod story;
#[cfg(test)]
mod tests;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::account::Account;
use super::effect::Effect;
use super::event::{Event, SubjectId};
use super::head::Head;
use super::repo::Repo;
use super::story::Story;

/// The state of one subject.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind", content = "state")]
pub enum Subject {
    Story(Box<Story>),
    Repo(Box<Repo>),
    Head(Box<Head>),
    Account(Box<Account>),
}

impl Subject {
    /// A subject before its first event.
    pub fn new(id: &SubjectId) -> Self {
        match id {
            SubjectId::Story(id) => Self::Story(Box::new(Story::new(id.clone()))),
            SubjectId::Repo(name) => Self::Repo(Box::new(Repo::new(name.clone()))),
            SubjectId::Head(id) => Self::Head(Box::new(Head::new(id.clone()))),
            SubjectId::Account => Self::Account(Box::default()),
        }
    }
}

/// What an event leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    pub subject: Subject,
    pub effects: Vec<Effect>,
}

/// Why an event changes nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It cannot happen in this state: a fault in huskies or in its store.
    #[error("`{event}` cannot happen while {state}")]
    Illegal { event: &'static str, state: String },
    /// It is late, repeated or of no concern.
    #[error("ignored: {because}")]
    Ignored { because: &'static str },
}

/// Decides what follows from `event`. Reads nothing but its arguments.
pub fn step(subject: &Subject, event: &Event, now: Timestamp) -> Result<Step, Refusal> {
    match (subject, event) {
        (Subject::Story(story), Event::Story { event, .. }) => story::step(story, event, now),
        (Subject::Repo(repo), Event::Repo { event, .. }) => repo::step(repo, event, now),
        (Subject::Head(head), Event::Head { event, .. }) => head::step(head, event),
        (Subject::Account(account), Event::Account { event }) => account::step(account, event, now),
        (Subject::Story(_) | Subject::Repo(_) | Subject::Head(_) | Subject::Account(_), event) => {
            Err(Refusal::Illegal {
                event: event.name(),
                state: "the event is for another subject".to_owned(),
            })
        }
    }
}

fn ignored<T>(because: &'static str) -> Result<T, Refusal> {
    Err(Refusal::Ignored { because })
}
