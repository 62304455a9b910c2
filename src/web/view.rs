//! Stories and their logs as JSON. Scripts depend on these names: fields are added, never changed.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::domain::event::Event;
use crate::domain::story::{Activity, Stage, Story};
use crate::domain::work::{GateReport, Receipt};
use crate::report;
use crate::store::EventRecord;

/// A story as the API shows it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StoryView {
    pub id: String,
    pub repo: String,
    pub number: u64,
    pub title: String,
    /// `backlog`, `coding`, `qa`, `merge`, `merge_failure`, `blocked`, `done` or `cancelled`.
    pub stage: String,
    /// `waiting`, `starting`, `running`, `judging`, `held`, `paused`; none where nothing goes on.
    pub activity: Option<String>,
    pub attempt: u32,
    /// Why it waits or stopped, in a sentence.
    pub reason: Option<String>,
    /// The commit that landed.
    pub commit: Option<String>,
    pub branch: Option<String>,
    /// The newest commit of the story branch.
    pub head: Option<String>,
    pub held: bool,
    pub priority: i32,
    pub retries: u32,
    pub gate_runs: u32,
    /// In US dollars.
    pub spent: String,
    pub gates: Option<GateReport>,
    pub receipt: Option<Receipt>,
    /// Requests that were made to the forge; not in lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_calls: Option<u64>,
}

impl StoryView {
    pub fn of(story: &Story) -> Self {
        let (commit, receipt) = match &story.stage {
            Stage::Done { commit, receipt } => {
                (Some(commit.to_string()), receipt.as_deref().cloned())
            }
            Stage::Backlog { .. }
            | Stage::Coding(_)
            | Stage::Qa(_)
            | Stage::Merge(_)
            | Stage::MergeFailure { .. }
            | Stage::Blocked { .. }
            | Stage::Cancelled => (None, None),
        };
        Self {
            id: story.id.to_string(),
            repo: story.id.repo.to_string(),
            number: story.id.number,
            title: story.task.title.clone(),
            stage: story.stage.name().to_owned(),
            activity: activity(&story.activity()).map(str::to_owned),
            attempt: story.attempt.0,
            reason: report::reason(story),
            commit,
            branch: story.branch.as_ref().map(ToString::to_string),
            head: story.head.as_ref().map(|head| head.commit.to_string()),
            held: story.wishes.held,
            priority: story.wishes.priority,
            retries: story.counters.retries,
            gate_runs: story.gate_runs,
            spent: story.spent.to_string(),
            gates: story.report.clone(),
            receipt,
            api_calls: None,
        }
    }

    #[must_use]
    pub fn with_calls(self, calls: u64) -> Self {
        Self {
            api_calls: Some(calls),
            ..self
        }
    }

    /// True when nothing happens any more unless somebody does something.
    pub fn is_at_rest(&self) -> bool {
        self.activity.is_none() || self.activity.as_deref() == Some("held")
    }
}

fn activity(activity: &Activity) -> Option<&'static str> {
    match activity {
        Activity::None => None,
        Activity::Waiting { .. } => Some("waiting"),
        Activity::Starting => Some("starting"),
        Activity::Running => Some("running"),
        Activity::Judging => Some("judging"),
        Activity::Held => Some("held"),
        Activity::Paused { .. } => Some("paused"),
    }
}

/// One line of a story's log.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct EventView {
    /// Ask for what comes after it with `?after=`.
    pub seq: u64,
    pub at: Timestamp,
    /// The event's name, such as `agent_ended`.
    pub event: String,
    /// A sentence about it.
    pub summary: String,
    /// Why it changed nothing.
    pub refusal: Option<String>,
    pub data: Event,
}

impl EventView {
    pub fn of(seq: u64, record: EventRecord) -> Self {
        Self {
            seq,
            at: record.at,
            event: record.event.name().to_owned(),
            summary: report::event_line(&record.event),
            refusal: record.refusal,
            data: record.event,
        }
    }
}
