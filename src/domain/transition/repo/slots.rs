//! Which story may use which agent: one at a time, by priority, then age.

use super::{Refusal, Turn, ignored, no_older};
use crate::domain::event::StoryEvent;
use crate::domain::id::{Attempt, StoryId};
use crate::domain::repo::{SlotHolder, SlotRequest};

impl Turn {
    pub(super) fn slot_wanted(&mut self, request: &SlotRequest) -> Result<(), Refusal> {
        let holds = |holder: &SlotHolder| {
            holder.story == request.story && holder.attempt == request.attempt
        };
        if self.repo.slots.values().any(holds) {
            return ignored("this attempt has its agent");
        }
        self.repo
            .waiting
            .retain(|other| other.story != request.story);
        let before = self.repo.waiting.iter().map(|other| other.since);
        let request = SlotRequest {
            since: no_older(request.since, before),
            ..request.clone()
        };
        self.repo.waiting.push(request);
        self.grant_slots();
        Ok(())
    }

    pub(super) fn slot_released(
        &mut self,
        story: &StoryId,
        attempt: Attempt,
    ) -> Result<(), Refusal> {
        let before = self.repo.slots.len() + self.repo.waiting.len();
        self.repo
            .slots
            .retain(|_, holder| !(holder.story == *story && holder.attempt == attempt));
        self.repo
            .waiting
            .retain(|other| !(other.story == *story && other.attempt == attempt));
        if before == self.repo.slots.len() + self.repo.waiting.len() {
            return ignored("this attempt holds no slot");
        }
        self.grant_slots();
        Ok(())
    }

    /// True when the story waits here.
    pub(super) fn prioritise_slots(&mut self, story: &StoryId, priority: i32) -> bool {
        let mut waiting = self.repo.waiting.iter_mut();
        let Some(request) = waiting.find(|request| request.story == *story) else {
            return false;
        };
        request.priority = priority;
        true
    }

    /// Free agents go to waiting stories by priority, then age; each takes its first that is free.
    fn grant_slots(&mut self) {
        let mut waiting = std::mem::take(&mut self.repo.waiting);
        waiting.sort_by_key(|request| (-i64::from(request.priority), request.since));
        for request in waiting {
            let free = request
                .agents
                .iter()
                .find(|agent| !self.repo.slots.contains_key(*agent));
            let Some(agent) = free.cloned() else {
                self.repo.waiting.push(request);
                continue;
            };
            let SlotRequest { story, attempt, .. } = request;
            let granted = StoryEvent::SlotGranted {
                attempt,
                agent: agent.clone(),
            };
            self.tell(&story, granted);
            self.repo.slots.insert(agent, SlotHolder { story, attempt });
        }
    }
}
