//! What has to hold after every event of every history, and once everything is at rest.

use std::collections::BTreeSet;

use super::world::{Flight, OpenRun, World};
use crate::domain::account::Reservation;
use crate::domain::effect::Run;
use crate::domain::event::SubjectId;
use crate::domain::head::{Head, HeadState};
use crate::domain::id::{Attempt, Sha, StoryId};
use crate::domain::money::Usd;
use crate::domain::repo::{Merging, Repo};
use crate::domain::story::{MergePhase, Phase, Stage, Story};
use crate::domain::transition::{Subject, step};

impl World {
    pub(super) fn check(&self) {
        self.check_money();
        self.check_agents();
        self.check_queue();
        self.check_slots();
        for story in self.stories() {
            self.check_caps(story);
            self.check_receipt(story);
        }
        self.check_heads();
        self.check_waits();
        assert_eq!(self.ended, self.collected, "work is kept after every end");
    }

    fn check_money(&self) {
        let account = self.account();
        let limits = &account.limits;
        assert!(
            account.spent_today + account.reserved() <= limits.per_day,
            "the day's ceiling: {account:?}"
        );
        for story in self.stories() {
            let spent = account.stories.get(&story.id).copied().unwrap_or_default();
            let reservations = account.reservations.iter();
            let held = reservations.filter(|held| *held.story() == story.id);
            let held: Usd = held.map(Reservation::amount).sum();
            assert!(
                spent + held <= limits.per_story,
                "the story's ceiling: {account:?}"
            );
            assert_eq!(
                spent, story.spent,
                "the ledger and the story on what it cost"
            );
        }
        assert!(account.reservations.len() <= limits.agents as usize);
    }

    /// One agent per story, one story per agent.
    fn check_agents(&self) {
        let mut agents = BTreeSet::new();
        let mut stories = BTreeSet::new();
        for flight in &self.flights {
            if let Flight::Run(OpenRun { run, .. }) = flight
                && let Run::StartAgent { brief, .. } = run
            {
                let story = brief.reservation.story();
                assert!(stories.insert(story.clone()), "two agents work on {story}");
                let name = &brief.agent.name;
                assert!(agents.insert(name.clone()), "{name} works on two stories");
            }
        }
    }

    /// A story is in the queue exactly while it says that it is.
    fn check_queue(&self) {
        let repo = self.repo();
        let wanted = |merging: &&Merging| !merging.withdrawn;
        let merging = repo
            .merging
            .iter()
            .filter(wanted)
            .map(|merging| &merging.entry);
        let shelf = repo.shelf.iter().map(|shelved| &shelved.merging.entry);
        let mut listed: Vec<_> = repo.queue.iter().chain(merging).chain(shelf).collect();
        listed.sort_by_key(|entry| entry.story.clone());
        let listed: Vec<_> = listed
            .iter()
            .map(|entry| (&entry.story, &entry.head))
            .collect();
        let queued: Vec<_> = self.stories().filter_map(queued).collect();
        assert_eq!(listed, queued, "who is queued, and who thinks so");
    }

    /// Slots and reservations are held by those who need them, and by nobody else.
    fn check_slots(&self) {
        let (repo, account) = (self.repo(), self.account());
        let mut slots: Vec<_> = repo
            .slots
            .values()
            .map(|holder| (holder.story.clone(), holder.attempt))
            .collect();
        slots.sort();
        assert_eq!(slots, self.at(needs_slot), "slots, and who needs one");
        let waiting = repo.waiting.iter();
        let mut waiting: Vec<_> = waiting
            .map(|wait| (wait.story.clone(), wait.attempt))
            .collect();
        waiting.sort();
        let waits = |phase: &Phase| *phase == Phase::WaitingForSlot;
        assert_eq!(
            waiting,
            self.at(waits),
            "who is listed for a slot, and who waits"
        );
        let paid = |phase: &Phase| phase.engagement().is_some();
        for (story, attempt) in self.at(paid) {
            let mut reservations = account.reservations.iter();
            assert!(
                reservations.any(|held| held.is_for(&story, attempt)),
                "{story} is paid for"
            );
        }
        assert_eq!(
            account.reservations.len(),
            self.at(paid).len(),
            "no money is held in vain"
        );
        let waits = |phase: &Phase| matches!(phase, Phase::WaitingForMoney { .. });
        assert_eq!(
            account.waiting.len(),
            self.at(waits).len(),
            "who waits for money"
        );
    }

    /// A few heads at a time, each once, and whoever has a turn is at work.
    fn check_heads(&self) {
        let proposals = self.repo().proposals;
        assert!(proposals.gating.len() <= 2, "{proposals:?}");
        for head in self.heads() {
            let sha = &head.id.sha;
            let busy = matches!(head.state, HeadState::Fetching | HeadState::Gating);
            let has_turn = proposals.gating.contains(sha);
            assert_eq!(busy, has_turn, "{head:?} {proposals:?}");
            if head.state == HeadState::Queued {
                let mut waiting = proposals.waiting.iter();
                assert!(waiting.any(|waiting| waiting.commit == *sha), "{head:?}");
            }
        }
    }

    fn heads(&self) -> impl Iterator<Item = &Head> {
        self.subjects.values().filter_map(|subject| match subject {
            Subject::Head(head) => Some(&**head),
            Subject::Story(_) | Subject::Repo(_) | Subject::Account(_) => None,
        })
    }

    /// Every head of an open pull request has a verdict, or waits for a person.
    fn check_heads_rest(&self, repo: &Repo) {
        let proposals = &repo.proposals;
        assert!(
            proposals.gating.is_empty() && proposals.waiting.is_empty(),
            "{proposals:?}"
        );
        assert!(proposals.requests.is_empty(), "{proposals:?}");
        for open in proposals.open.values() {
            let commit = &open.head.commit;
            let mut heads = self.heads();
            let head = heads.find(|head| head.id.sha == *commit);
            let state = head.map(|head| &head.state);
            let rests = match state {
                Some(HeadState::Judged { .. } | HeadState::Unjudged { .. }) => true,
                Some(HeadState::Withheld) => open.approved.as_ref() != Some(commit),
                Some(_) => false,
                // At the base's own tip, or a story's.
                None => repo.heads.values().any(|head| head == commit),
            };
            assert!(rests, "{commit} is {state:?}");
        }
    }

    fn at(&self, phase: impl Fn(&Phase) -> bool) -> Vec<(StoryId, Attempt)> {
        let working = self
            .stories()
            .filter(|story| story.work().is_some_and(|work| phase(&work.phase)));
        working
            .map(|story| (story.id.clone(), story.attempt))
            .collect()
    }

    fn check_caps(&self, story: &Story) {
        let counters = &story.counters;
        assert!(counters.retries <= self.project.max_retries, "{counters:?}");
        assert!(counters.aborts <= 5 && counters.lost <= 5 && counters.pauses <= 5);
        assert!(
            counters.unpaid <= 10 && counters.fixups <= 1,
            "{counters:?}"
        );
        assert!(counters.gate_rounds <= 3, "{counters:?}");
    }

    /// What landed is, byte for byte, a tree that passed the merge gates.
    fn check_receipt(&self, story: &Story) {
        if let Stage::Merge(_) = &story.stage {
            assert!(story.messages.is_empty(), "unheard: {:?}", story.messages);
            assert!(story.untold_checks().is_none(), "{:?}", story.failed_checks);
        }
        if let Stage::Done {
            commit,
            receipt: Some(receipt),
        } = &story.stage
        {
            let head = &receipt.head;
            assert!(!self.marked.contains(head), "{head} has conflict markers");
            assert_eq!(*commit, receipt.commit);
            assert!(
                self.passed.contains(&receipt.tree),
                "{} was not tested",
                receipt.tree
            );
            assert!(
                !self.protected.contains(&receipt.tree) || story.approved.as_ref() == Some(head),
                "{head} touches protected paths, and nobody approved it"
            );
        }
    }

    /// Nothing is in flight: nobody may hold or wait for anything but a person.
    pub(super) fn check_rest(&self) {
        let repo = self.repo();
        if let Some(stopped) = &repo.stopped {
            let mut stories = self.stories();
            let blocked = stories.any(|story| story.id == *stopped && story.stops_the_queue());
            assert!(blocked, "nobody can make the queue go on: {repo:?}");
        }
        for story in self.stories() {
            let queues = repo.stopped.is_some() && queued(story).is_some();
            assert!(
                rests(story) || queues,
                "{} waits for nobody: {:?}",
                story.id,
                story.stage
            );
            assert!(story.requests.is_empty(), "{:?}", story.requests);
        }
        let account = self.account();
        assert!(repo.slots.is_empty() && repo.waiting.is_empty(), "{repo:?}");
        assert!(repo.merging.is_none(), "{repo:?}");
        // What waits behind a change that landed as another one waits for a person.
        let lines_are_empty = repo.queue.is_empty() && repo.shelf.is_empty();
        assert!(lines_are_empty || repo.stopped.is_some(), "{repo:?}");
        self.check_heads_rest(&repo);
        self.check_waits_rest();
        assert!(
            account.reservations.is_empty() && account.waiting.is_empty(),
            "{account:?}"
        );
    }

    /// The log alone gives the same subjects, and both survive being stored.
    pub(super) fn check_replay(&self) {
        let mut replayed = std::collections::BTreeMap::<SubjectId, Subject>::new();
        for logged in &self.log {
            let id = logged.event.subject();
            let before = replayed.remove(&id).unwrap_or_else(|| Subject::new(&id));
            let json = serde_json::to_string(&logged.event).unwrap();
            let event = serde_json::from_str(&json).unwrap();
            assert_eq!(logged.event, event, "an event is stored as it is");
            match step(&before, &event, logged.at) {
                Ok(step) if logged.applied => drop(replayed.insert(id, step.subject)),
                Err(_) if !logged.applied => drop(replayed.insert(id, before)),
                other => panic!("{} was answered differently: {other:?}", event.name()),
            }
        }
        for (id, subject) in &self.subjects {
            assert_eq!(Some(subject), replayed.get(id), "{id} is what its log says");
            let json = serde_json::to_string(subject).unwrap();
            let stored: Subject = serde_json::from_str(&json).unwrap();
            assert_eq!(*subject, stored, "{id} is stored as it is");
        }
    }
}

fn queued(story: &Story) -> Option<(&StoryId, &Sha)> {
    match &story.stage {
        Stage::Merge(merge) if merge.phase != MergePhase::Held => Some((&story.id, &merge.head)),
        Stage::Merge(_)
        | Stage::Backlog { .. }
        | Stage::Coding(_)
        | Stage::Qa(_)
        | Stage::MergeFailure { .. }
        | Stage::Blocked { .. }
        | Stage::Done { .. }
        | Stage::Cancelled => None,
    }
}

fn needs_slot(phase: &Phase) -> bool {
    matches!(phase, Phase::WaitingForMoney { .. }) || phase.engagement().is_some()
}

/// It waits for a person, or for nothing any more.
fn rests(story: &Story) -> bool {
    match &story.stage {
        Stage::Backlog { .. } | Stage::Blocked { .. } | Stage::Done { .. } | Stage::Cancelled => {
            true
        }
        Stage::Coding(work) | Stage::Qa(work) | Stage::MergeFailure { work, .. } => {
            work.phase == Phase::Held && story.wishes.held
        }
        Stage::Merge(merge) => merge.phase == MergePhase::Held && story.wishes.held,
    }
}
