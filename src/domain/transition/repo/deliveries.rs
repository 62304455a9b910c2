//! What the forge says about issues and branches, read by the labels that the project names.

use jiff::Timestamp;

use super::{Refusal, Turn, ignored};
use crate::domain::delivery::{IssueAction, IssueChange, Push};
use crate::domain::dependency::Family;
use crate::domain::event::StoryEvent;
use crate::domain::id::StoryId;
use crate::domain::project::Trigger;
use crate::domain::story::{Actor, Around, STAGE_PREFIX, Wish};
use crate::domain::work::Task;

/// An issue as it was when somebody started it.
pub(super) struct Startable<'a> {
    pub(super) title: &'a str,
    pub(super) body: &'a str,
    pub(super) labels: &'a [String],
    pub(super) family: &'a Family,
    pub(super) at: Timestamp,
}

impl Turn {
    pub(super) fn issue(&mut self, change: &IssueChange) -> Result<(), Refusal> {
        let is_awaited = self.note_issue(change);
        if change.action == IssueAction::Edited {
            self.note_edit(change);
        }
        if self.repo.base.is_none() {
            self.repo.parked.push(change.clone());
            return Ok(());
        }
        let is_noted = self.note_labels(change);
        if self.ask_about_issue(change) || is_noted || is_awaited {
            return Ok(());
        }
        ignored("nothing that huskies acts on")
    }

    /// False when it asks for nothing.
    pub(super) fn ask_about_issue(&mut self, change: &IssueChange) -> bool {
        let Some(base) = &self.repo.base else {
            return false;
        };
        let trigger = base.trigger.clone();
        let wishes = self.wishes(change, &trigger);
        let asks = !wishes.is_empty();
        self.ask(change, wishes);
        asks
    }

    /// Takes up what arrived before the names of the labels were known.
    pub(super) fn unpark(&mut self) {
        let Some(trigger) = self.repo.base.as_ref().map(|base| base.trigger.clone()) else {
            return;
        };
        for change in std::mem::take(&mut self.repo.parked) {
            self.note_labels(&change);
            let wishes = self.wishes(&change, &trigger);
            self.ask(&change, wishes);
        }
    }

    fn ask(&mut self, change: &IssueChange, wishes: Vec<Wish>) {
        let story = StoryId::new(self.repo.name.clone(), change.number);
        for wish in wishes {
            let by = Actor::account(&change.sender, change.by_bot);
            self.tell(&story, StoryEvent::Asked { wish, by });
        }
    }

    /// What a change of an issue asks for, in this order.
    fn wishes(&self, change: &IssueChange, trigger: &Trigger) -> Vec<Wish> {
        match &change.action {
            IssueAction::Labeled(label) if *label == trigger.start_label => {
                let issue = Startable {
                    title: &change.title,
                    body: &change.body,
                    labels: &change.labels,
                    family: &change.family,
                    at: change.at,
                };
                self.start(&issue)
            }
            IssueAction::Labeled(label) => labeled(label, trigger),
            IssueAction::Unlabeled(label) => {
                unlabeled(label, change, trigger).into_iter().collect()
            }
            IssueAction::Closed => vec![Wish::Cancel],
            IssueAction::Edited => vec![Wish::Edit {
                title: change.title.clone(),
                body: change.body.clone(),
                at: change.at,
            }],
            IssueAction::Reopened => Vec::new(),
        }
    }

    /// To start a story. One that is on hold is held before it begins.
    pub(super) fn start(&self, issue: &Startable<'_>) -> Vec<Wish> {
        let trigger = self.repo.base.as_ref().map(|base| &base.trigger);
        let is_held = trigger.is_some_and(|trigger| issue.labels.contains(&trigger.hold_label));
        let start = Wish::Start {
            task: Task {
                title: issue.title.to_owned(),
                body: issue.body.to_owned(),
                ..Task::default()
            },
            agent: agent_in(issue.labels),
            priority: priority_in(issue.labels),
            around: Box::new(Around {
                family: issue.family.clone(),
                at: Some(issue.at),
                edits: self.edits_before(issue.at),
                links: None,
            }),
        };
        let before = is_held.then_some(Wish::Hold);
        before.into_iter().chain([start]).collect()
    }

    pub(super) fn pushed(&mut self, push: &Push) -> Result<(), Refusal> {
        if let Some(story) = self.story_of_branch(&push.branch) {
            return self.story_branch_pushed(&story, push);
        }
        match &self.repo.base {
            Some(base) if base.branch != push.branch => ignored("not the base branch"),
            Some(base) if push.after.as_ref() == Some(&base.tip) => {
                ignored("this tip is known already")
            }
            Some(_) | None => {
                self.sync();
                Ok(())
            }
        }
    }
}

fn labeled(label: &str, trigger: &Trigger) -> Vec<Wish> {
    if label.starts_with(STAGE_PREFIX) {
        return Vec::new();
    }
    if label == trigger.hold_label {
        return vec![Wish::Hold];
    }
    if label == trigger.retry_label {
        let label = Some(trigger.retry_label.clone());
        return vec![Wish::Retry { label }];
    }
    if label == trigger.approve_label {
        let (commit, label) = (None, Some(trigger.approve_label.clone()));
        return vec![Wish::Approve { commit, label }];
    }
    let agent = agent(label).map(|agent| Wish::PickAgent { agent: Some(agent) });
    let priority = priority(label).map(|priority| Wish::Prioritise { priority });
    agent.or(priority).into_iter().collect()
}

/// Of several labels of one kind, the others still count when one is removed.
fn unlabeled(label: &str, change: &IssueChange, trigger: &Trigger) -> Option<Wish> {
    if label.starts_with(STAGE_PREFIX) {
        return None;
    }
    if label == trigger.start_label {
        return Some(Wish::Stop);
    }
    if label == trigger.hold_label {
        return Some(Wish::Release);
    }
    let picked = agent(label).map(|_| Wish::PickAgent {
        agent: agent_in(&change.labels),
    });
    let prioritised = priority(label).map(|_| Wish::Prioritise {
        priority: priority_in(&change.labels),
    });
    picked.or(prioritised)
}

fn agent_in(labels: &[String]) -> Option<String> {
    labels.iter().find_map(|label| agent(label))
}

fn priority_in(labels: &[String]) -> i32 {
    let mut labels = labels.iter();
    labels.find_map(|label| priority(label)).unwrap_or_default()
}

fn agent(label: &str) -> Option<String> {
    label.strip_prefix("agent:").map(str::to_owned)
}

fn priority(label: &str) -> Option<i32> {
    label.strip_prefix("priority:")?.trim().parse().ok()
}
