//! Who changed the text of an issue lately: a text that somebody without the permission changed just
//! before the start has to be confirmed (spec 2.5).

use jiff::{SignedDuration, Timestamp};

use super::Turn;
use crate::domain::delivery::IssueChange;
use crate::domain::story::{Actor, TextEdit};

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

    /// Who changed any issue's text just before `at`.
    pub(super) fn edits_before(&self, at: Timestamp) -> Vec<TextEdit> {
        let edits = self.repo.edits.iter();
        let just_before = edits.filter(|edit| edit.at >= at - JUST_BEFORE && edit.at <= at);
        just_before.cloned().collect()
    }
}
