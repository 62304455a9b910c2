//! Who changed the text of an issue lately: a text that somebody without the permission changed just
//! before the start has to be confirmed (spec 2.5).

use jiff::{SignedDuration, Timestamp};

use super::Turn;
use crate::domain::delivery::IssueChange;
use crate::domain::dependency::{Family, Parent};
use crate::domain::repo::TextEdit;
use crate::domain::story::Actor;

/// How long before a start a change counts.
const JUST_BEFORE: SignedDuration = SignedDuration::from_mins(10);
/// How late a start may be delivered and still find the changes before it.
const KEPT: SignedDuration = SignedDuration::from_hours(24);
/// Of how many changes is known in all.
const MOST: usize = 500;

impl Turn {
    /// Keeps the last change of each person, of the last day.
    pub(super) fn note_edit(&mut self, change: &IssueChange) {
        let by = Actor::account(&change.sender, change.by_bot);
        let oldest = self.now - KEPT;
        let edits = &mut self.repo.edits;
        edits.retain(|edit| {
            let replaced = edit.issue == change.number && edit.by == by;
            !replaced && edit.at >= oldest
        });
        edits.push(TextEdit {
            issue: change.number,
            by,
            at: change.at,
        });
        let too_many = edits.len().saturating_sub(MOST);
        edits.drain(..too_many);
    }

    /// Who changed the issue's text, or its parent's, just before `at`.
    pub(super) fn editors(&self, issue: u64, family: &Family, at: Timestamp) -> Vec<Actor> {
        let parent = match family.parent {
            Parent::Here { issue } => Some(issue),
            Parent::Unknown | Parent::None | Parent::Elsewhere { .. } => None,
        };
        let mut editors: Vec<Actor> = Vec::new();
        for edit in &self.repo.edits {
            let is_of_it = edit.issue == issue || Some(edit.issue) == parent;
            let just_before = edit.at >= at - JUST_BEFORE && edit.at <= at;
            if is_of_it && just_before && !editors.contains(&edit.by) {
                editors.push(edit.by.clone());
            }
        }
        editors
    }
}
