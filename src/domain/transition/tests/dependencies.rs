//! What the world may answer about issues that others depend on, and what has to hold of those that
//! wait for them.

use super::answers::Dice;
use super::world::World;
use super::{noon, story_id};
use crate::domain::delivery::{IssueAction, IssueChange};
use crate::domain::dependency::{Epic, IssueState, Links, Need, StoryState};
use crate::domain::event::{Event, RepoEvent, SubjectId};
use crate::domain::id::StoryId;
use crate::domain::story::{Phase, Stage, Story};
use crate::domain::transition::Subject;

/// An issue that nobody ever starts.
pub(super) const NOBODYS: u64 = 9;
/// What a story may turn out to depend on; there is no issue 99.
const CANDIDATES: [u64; 5] = [1, 2, 3, NOBODYS, 99];

impl World {
    /// What the forge says that a story depends on, if it is asked now.
    pub(super) fn links(&self, story: &StoryId, dice: &mut Dice) -> Links {
        if !dice.luck(3) {
            return Links::default();
        }
        let needs = CANDIDATES.iter().filter(|_| dice.luck(4));
        let numbers: Vec<u64> = needs.copied().collect();
        let needs = numbers.iter().map(|issue| self.need(*issue, dice.luck(3)));
        let epic = Epic {
            issue: 50,
            title: "All doors".to_owned(),
            body: format!("Of the house of {}.", story.number),
        };
        Links {
            needs: needs.collect(),
            epic: dice.luck(2).then_some(epic),
            unwatched: Vec::new(),
        }
    }

    fn need(&self, issue: u64, sub_issue: bool) -> Need {
        let state = self.issues.get(&issue).copied();
        let missing = (IssueState::Missing, None);
        let (state, at) = match state {
            _ if issue == 99 => missing,
            Some((state, at)) => (state, Some(at)),
            None => (IssueState::Open, Some(noon())),
        };
        Need {
            issue,
            title: format!("Story {issue}"),
            sub_issue,
            state,
            at,
            story: StoryState::None,
        }
    }

    pub(super) fn needs_seen(&self, story: &StoryId, named: &[u64], sub_issues: bool) -> RepoEvent {
        let wait = self.repo().waits.get(&story.number).cloned();
        let parts = wait.into_iter().flat_map(|wait| wait.needs);
        let parts = parts.filter(|need| sub_issues && need.sub_issue);
        let issues: Vec<u64> = parts.map(|need| need.issue).chain(named.to_vec()).collect();
        RepoEvent::NeedsSeen {
            story: story.clone(),
            seen: issues
                .into_iter()
                .map(|issue| self.need(issue, false))
                .collect(),
        }
    }

    /// Keeps what really happened to issues and stories.
    pub(super) fn note_truth(&mut self, event: &Event, after: &Subject) {
        if let Event::Repo {
            event: RepoEvent::Issue { change },
            ..
        } = event
            && let Some(state) = new_state(change)
        {
            self.issues.insert(change.number, (state, change.at));
            if state == IssueState::Completed {
                self.done_once.insert(change.number);
            }
        }
        if let Subject::Story(story) = after
            && matches!(story.stage, Stage::Done { .. })
        {
            self.done_once.insert(story.id.number);
        }
    }

    /// Nobody begins before everything is done that it depends on.
    pub(super) fn check_begin(&self, before: &Subject, after: &Subject) {
        let (Subject::Story(before), Subject::Story(after)) = (before, after) else {
            return;
        };
        let begins = |story: &Story| {
            let phase = story.work().map(|work| &work.phase);
            matches!(phase, Some(Phase::Configuring))
        };
        if begins(after) && !begins(before) {
            for need in &after.needs {
                let done = self.done_once.contains(&need.issue);
                assert!(done, "{} begins before {need:?}", after.id);
            }
            let held = after.unconfirmed.as_ref().is_some_and(|text| text.holds);
            assert!(!held, "{} begins unconfirmed", after.id);
        }
    }

    /// Who waits is listed, with what he waits for, and waits for something that is not done.
    pub(super) fn check_waits(&self) {
        let waits = self.repo().waits;
        for story in self.stories() {
            let wait = waits.get(&story.id.number);
            assert_eq!(story.waits_for_others(), wait.is_some(), "{waits:?}");
            let Some(wait) = wait else { continue };
            assert_eq!(wait.needs, story.needs, "{}", story.id);
            let open: Vec<&Need> = wait.needs.iter().filter(|need| !need.is_done()).collect();
            assert!(!open.is_empty(), "{} waits for what is done", story.id);
            for need in &wait.needs {
                let stands = match self.subject(&SubjectId::Story(story_id(need.issue))) {
                    Subject::Story(needed) => needed.standing(),
                    other => panic!("not a story: {other:?}"),
                };
                assert_eq!(need.story, stands, "{} and {need:?}", story.id);
            }
        }
    }

    /// What is known of issues that somebody waits for is so.
    pub(super) fn check_waits_rest(&self) {
        for (story, wait) in self.repo().waits {
            for need in &wait.needs {
                let truth = self.need(need.issue, need.sub_issue);
                assert_eq!(need.state, truth.state, "{story} waits for {need:?}");
            }
        }
    }
}

fn new_state(change: &IssueChange) -> Option<IssueState> {
    match &change.action {
        IssueAction::Closed if change.not_planned => Some(IssueState::NotPlanned),
        IssueAction::Closed => Some(IssueState::Completed),
        IssueAction::Reopened => Some(IssueState::Open),
        IssueAction::Labeled(_) | IssueAction::Unlabeled(_) | IssueAction::Edited => None,
    }
}
