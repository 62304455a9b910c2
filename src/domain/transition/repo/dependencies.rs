//! Who waits for which issue to be done. Stories say what they wait for; the forge says how issues
//! are, other stories how they stand; and whoever waits is told of every change, and of a circle in
//! which it would wait for itself.

use std::collections::{BTreeSet, VecDeque};

use super::{Refusal, Turn, ignored};
use crate::domain::delivery::{IssueAction, IssueChange};
use crate::domain::dependency::{IssueState, Need};
use crate::domain::effect::{Act, Effect};
use crate::domain::event::{RepoEvent, StoryEvent};
use crate::domain::id::StoryId;
use crate::domain::repo::Wait;

impl Turn {
    pub(super) fn dependency_event(&mut self, event: &RepoEvent) -> Result<(), Refusal> {
        match event {
            RepoEvent::Waits { story, needs } => {
                self.begin_to_wait(story, needs);
                Ok(())
            }
            RepoEvent::WaitEnded { story } => {
                if self.repo.waits.remove(&story.number).is_none() {
                    return ignored("it does not wait here");
                }
                self.tell_circles(&BTreeSet::new());
                Ok(())
            }
            RepoEvent::StoryStands { story, state } => self.note(story.number, |need| {
                need.story = *state;
            }),
            RepoEvent::NeedsSeen { story, seen } => self.needs_seen(story, seen),
            other => Err(super::out_of_place(other)),
        }
    }

    /// What was read before the story was listed here may have changed meanwhile: it is looked at
    /// again, now that nothing can be missed any more.
    fn begin_to_wait(&mut self, story: &StoryId, needs: &[Need]) {
        let wait = Wait {
            needs: needs.to_vec(),
            circle: Vec::new(),
        };
        self.repo.waits.insert(story.number, wait);
        for need in needs {
            let needed = StoryId::new(self.repo.name.clone(), need.issue);
            self.tell(&needed, StoryEvent::Awaited);
        }
        self.see_needs_of(story.number);
        self.tell_circles(&BTreeSet::new());
    }

    /// Has everything looked at that stories wait for: deliveries may have been missed.
    pub(super) fn see_all_needs(&mut self) {
        let waiting: Vec<u64> = self.repo.waits.keys().copied().collect();
        for number in waiting {
            self.see_needs_of(number);
        }
    }

    fn see_needs_of(&mut self, number: u64) {
        let Some(wait) = self.repo.waits.get(&number) else {
            return;
        };
        let open = || wait.needs.iter().filter(|need| !need.is_done());
        let named = open().filter(|need| !need.sub_issue);
        let named = named.map(|need| need.issue).collect();
        let sub_issues = open().any(|need| need.sub_issue);
        let story = StoryId::new(self.repo.name.clone(), number);
        self.effects.push(Effect::Act(Act::SeeNeeds {
            story,
            named,
            sub_issues,
        }));
    }

    fn needs_seen(&mut self, story: &StoryId, seen: &[Need]) -> Result<(), Refusal> {
        let Some(wait) = self.repo.waits.get_mut(&story.number) else {
            return ignored("it does not wait here");
        };
        let before = wait.needs.clone();
        for need in &mut wait.needs {
            let found = seen.iter().find(|seen| seen.issue == need.issue);
            if let Some(found) = found {
                need.hear(found.state, found.at);
            }
        }
        if wait.needs == before {
            return ignored("nothing changed there");
        }
        self.tell_circles(&BTreeSet::from([story.number]));
        Ok(())
    }

    /// An issue was closed or opened again. False when nobody waits for it.
    pub(super) fn note_issue(&mut self, change: &IssueChange) -> bool {
        let state = match &change.action {
            IssueAction::Closed if change.not_planned => IssueState::NotPlanned,
            IssueAction::Closed => IssueState::Completed,
            IssueAction::Reopened => IssueState::Open,
            IssueAction::Labeled(_) | IssueAction::Unlabeled(_) | IssueAction::Edited => {
                return false;
            }
        };
        let at = Some(change.at);
        self.note(change.number, |need| need.hear(state, at))
            .is_ok()
    }

    /// A pull request was closed, for which stories may wait as for issues.
    pub(super) fn note_pull(&mut self, number: u64, merged: bool) -> bool {
        let state = if merged {
            IssueState::Completed
        } else {
            IssueState::NotPlanned
        };
        let at = Some(self.now);
        self.note(number, |need| need.hear(state, at)).is_ok()
    }

    /// Changes what is known of an issue with everybody who waits for it.
    fn note(&mut self, issue: u64, change: impl Fn(&mut Need)) -> Result<(), Refusal> {
        let mut changed = BTreeSet::new();
        for (waiting, wait) in &mut self.repo.waits {
            let mut needs = wait.needs.iter_mut();
            let Some(need) = needs.find(|need| need.issue == issue) else {
                continue;
            };
            let before = need.clone();
            change(need);
            if *need != before {
                changed.insert(*waiting);
            }
        }
        if changed.is_empty() {
            return ignored("nobody waits for that");
        }
        self.tell_circles(&changed);
        Ok(())
    }

    /// Tells those whose circle came, went or changed, and those of `changed` in any case.
    fn tell_circles(&mut self, changed: &BTreeSet<u64>) {
        let waiting: Vec<u64> = self.repo.waits.keys().copied().collect();
        for number in waiting {
            let circle = self.circle_of(number);
            let Some(wait) = self.repo.waits.get_mut(&number) else {
                continue;
            };
            if wait.circle == circle && !changed.contains(&number) {
                continue;
            }
            wait.circle = circle;
            let Wait { needs, circle } = wait.clone();
            let story = StoryId::new(self.repo.name.clone(), number);
            self.tell(&story, StoryEvent::NeedsStand { needs, circle });
        }
    }

    /// A shortest way from a story over what it waits for back to itself.
    fn circle_of(&self, number: u64) -> Vec<u64> {
        let mut ways = VecDeque::from([vec![number]]);
        let mut seen = BTreeSet::new();
        while let Some(way) = ways.pop_front() {
            let last = way.last().and_then(|last| self.repo.waits.get(last));
            let needs = last.iter().flat_map(|wait| &wait.needs);
            for need in needs.filter(|need| !need.is_done()) {
                if need.issue == number {
                    return way;
                }
                if seen.insert(need.issue) {
                    let mut longer = way.clone();
                    longer.push(need.issue);
                    ways.push_back(longer);
                }
            }
        }
        Vec::new()
    }
}
