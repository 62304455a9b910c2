//! A repository: fans deliveries out to stories ([`deliveries`], [`conversation`]), hands out
//! agents ([`slots`]), merges one story at a time ([`merging`]), by pull request where that is wanted
//! ([`pulls`], [`pull_requests`]), has the heads of people's pull requests gated ([`proposals`]),
//! knows who waits for whom ([`dependencies`]) and who changed which text lately ([`edits`]), sees to
//! story branches that people move ([`branches`]), and looks for what no delivery told
//! ([`reconciling`]).

mod branches;
mod conversation;
mod deliveries;
mod dependencies;
mod edits;
mod merging;
mod proposals;
mod pull_requests;
mod pulls;
mod reconciling;
mod slots;

use jiff::{SignedDuration, Timestamp};

use super::{Refusal, Step, Subject, ignored};
use crate::domain::delivery::{PullRequestAction, PullRequestChange};
use crate::domain::effect::{Act, Effect, Timer};
use crate::domain::event::{Event, RepoEvent, StoryEvent};
use crate::domain::id::{Sha, StoryId};
use crate::domain::repo::{Base, Repo};
use crate::domain::work::MergeCheck;

/// How soon an unreachable base is looked at again.
const SYNC_AGAIN: SignedDuration = SignedDuration::from_secs(30);

pub(super) fn step(repo: &Repo, event: &RepoEvent, now: Timestamp) -> Result<Step, Refusal> {
    let mut turn = Turn {
        repo: repo.clone(),
        effects: Vec::new(),
        now,
    };
    turn.apply(event)?;
    Ok(Step {
        subject: Subject::Repo(Box::new(turn.repo)),
        effects: turn.effects,
    })
}

/// One step in the making. What a refused one did to it is thrown away with it.
struct Turn {
    repo: Repo,
    effects: Vec<Effect>,
    now: Timestamp,
}

impl Turn {
    fn apply(&mut self, event: &RepoEvent) -> Result<(), Refusal> {
        match event {
            RepoEvent::Opened { .. }
            | RepoEvent::LookDue
            | RepoEvent::SyncDue
            | RepoEvent::BaseUnavailable { .. }
            | RepoEvent::BaseSynced { .. } => self.base_event(event),
            RepoEvent::Issue { change } => self.issue(change),
            RepoEvent::Pushed { push } => self.pushed(push),
            RepoEvent::Commented { comment, said } => self.commented(comment, said),
            RepoEvent::Reviewed { review, said } => self.reviewed(review, said.as_ref()),
            RepoEvent::Checked { result } => self.checked(result),
            RepoEvent::PullRequest { change } => self.pull_request_changed(change),
            RepoEvent::Looked { found } => self.looked(found),
            RepoEvent::BranchesSeen { seen, strays } => self.branches_seen(seen, strays),
            RepoEvent::PullKnown { story, pull } => self.pull_known(story, *pull),
            RepoEvent::QueueResumed { story } => self.queue_resumed(story),
            RepoEvent::CheckRequested { request } => self.check_requested(request),
            RepoEvent::Admitted { request, answer } => self.admitted(*request, answer),
            RepoEvent::HeadSettled { commit } => self.head_settled(commit),
            RepoEvent::Waits { .. }
            | RepoEvent::WaitEnded { .. }
            | RepoEvent::StoryStands { .. }
            | RepoEvent::NeedsSeen { .. } => self.dependency_event(event),
            RepoEvent::SlotWanted { request } => self.slot_wanted(request),
            RepoEvent::SlotReleased { story, attempt } => self.slot_released(story, *attempt),
            RepoEvent::Prioritised { story, priority } => self.prioritised(story, *priority),
            RepoEvent::HeadKnown { story, head } => self.head_known(story, head.as_ref()),
            RepoEvent::Enqueued { entry } => {
                self.enqueue(entry);
                Ok(())
            }
            RepoEvent::Withdrawn { story } => self.withdraw(story),
            RepoEvent::CandidateBuilt { number, .. }
            | RepoEvent::CandidateConflicted { number, .. }
            | RepoEvent::CandidateEmpty { number, .. }
            | RepoEvent::CandidateFailed { number, .. }
            | RepoEvent::GatesEnded { number, .. }
            | RepoEvent::GatesLost { number, .. }
            | RepoEvent::Landed { number }
            | RepoEvent::LandMissed { number, .. }
            | RepoEvent::LandWaits { number, .. }
            | RepoEvent::LandRejected { number, .. }
            | RepoEvent::PullMerged { number, .. }
            | RepoEvent::PullMergedByHand { number, .. }
            | RepoEvent::PullWaits { number, .. }
            | RepoEvent::PullGone { number, .. }
            | RepoEvent::LandDue { number } => self.merge_event(*number, event),
        }
    }

    fn pull_request_changed(&mut self, change: &PullRequestChange) -> Result<(), Refusal> {
        let is_awaited = match &change.action {
            PullRequestAction::Closed { merged } => self.note_pull(change.number, merged.is_some()),
            PullRequestAction::Opened
            | PullRequestAction::Reopened
            | PullRequestAction::Synchronized { .. }
            | PullRequestAction::Edited
            | PullRequestAction::Labeled { .. }
            | PullRequestAction::Unlabeled { .. }
            | PullRequestAction::ReadyForReview
            | PullRequestAction::ConvertedToDraft => false,
        };
        let outcome = match self.pull_of_story(change) {
            Some(outcome) => outcome,
            None => self.pull_request(change),
        };
        match outcome {
            // It changed nothing more.
            Err(Refusal::Ignored { .. }) if is_awaited => Ok(()),
            outcome => outcome,
        }
    }

    fn base_event(&mut self, event: &RepoEvent) -> Result<(), Refusal> {
        match event {
            RepoEvent::Opened { looks } => {
                self.pace_looks(*looks);
                self.sync();
                if looks.is_none() {
                    // Otherwise a look does.
                    self.see_all_needs();
                }
            }
            RepoEvent::LookDue => self.look_due(),
            RepoEvent::SyncDue => self.sync(),
            RepoEvent::BaseUnavailable { .. } => self.wake("sync", SYNC_AGAIN, RepoEvent::SyncDue),
            RepoEvent::BaseSynced {
                branch,
                tip,
                trigger,
                contained,
                checks,
            } => {
                let base = Base {
                    branch: branch.clone(),
                    tip: tip.clone(),
                    trigger: trigger.clone(),
                };
                self.base_synced(base, contained);
                self.note_checks(tip, checks);
                self.look_if_due();
            }
            other => return Err(out_of_place(other)),
        }
        Ok(())
    }

    /// Has the base branch looked at, and whether it contains the stories that are not done.
    fn sync(&mut self) {
        let heads = self.repo.heads.iter();
        let heads = heads
            .map(|(story, head)| (story.clone(), head.clone()))
            .collect();
        self.effects.push(Effect::Act(Act::SyncBase { heads }));
    }

    fn base_synced(&mut self, base: Base, contained: &[(StoryId, Sha)]) {
        let tip = base.tip.clone();
        let before = self.repo.base.replace(base);
        let branch = self.repo.base.as_ref().map(|base| &base.branch);
        if before.as_ref().map(|base| &base.branch) != branch {
            self.reconsider_proposals();
        }
        self.unpark();
        for (story, head) in contained {
            // A story that has a newer commit by now is not contained with it.
            if self.repo.heads.get(story) == Some(head) {
                self.unwatch(story);
                self.take_out(story);
                self.tell(story, StoryEvent::Contained { tip: tip.clone() });
            }
        }
        self.restart_merge_on(&tip);
        self.look_at_shelf_again(&tip);
        self.merge_next();
    }

    /// Tells the stories whose merge with the base changed from clean to conflict, to another
    /// conflict, or back.
    fn note_checks(&mut self, tip: &Sha, checks: &[MergeCheck]) {
        for MergeCheck { story, head, paths } in checks {
            if self.repo.heads.get(story) != Some(head) {
                continue;
            }
            let known = if paths.is_empty() {
                self.repo.conflicts.remove(story)
            } else {
                self.repo.conflicts.insert(story.clone(), paths.clone())
            };
            if known.unwrap_or_default() != *paths {
                let (head, base, paths) = (head.clone(), tip.clone(), paths.clone());
                self.tell(story, StoryEvent::BaseConflicts { head, base, paths });
            }
        }
    }

    fn head_known(&mut self, story: &StoryId, head: Option<&Sha>) -> Result<(), Refusal> {
        if self.repo.heads.get(story) == head {
            return ignored("this tip is known already");
        }
        let stray = self.repo.strays.remove_entry(story);
        self.unwatch(story);
        if let Some(head) = head {
            self.repo.heads.insert(story.clone(), head.clone());
            self.repo.strays.extend(stray);
        }
        Ok(())
    }

    /// Forgets a story's tip and what is known about it.
    fn unwatch(&mut self, story: &StoryId) {
        self.repo.heads.remove(story);
        self.repo.conflicts.remove(story);
        self.repo.strays.remove(story);
    }

    /// Where a story stands in every line it waits in.
    fn prioritised(&mut self, story: &StoryId, priority: i32) -> Result<(), Refusal> {
        let slots = self.prioritise_slots(story, priority);
        let queue = self.prioritise_queue(story, priority);
        if slots || queue {
            Ok(())
        } else {
            ignored("it does not wait here")
        }
    }

    fn wake(&mut self, name: &str, after: SignedDuration, event: RepoEvent) {
        let event = Event::repo(&self.repo.name, event);
        self.effects.push(Effect::Timer(Timer {
            name: name.to_owned(),
            at: self.now + after,
            event,
        }));
    }

    fn tell(&mut self, story: &StoryId, event: StoryEvent) {
        self.effects.push(Effect::Tell(Event::story(story, event)));
    }
}

/// Who arrives now has not waited longer than those that wait already, also when the clock was put
/// back meanwhile.
fn no_older(since: Timestamp, before: impl Iterator<Item = Timestamp>) -> Timestamp {
    before.fold(since, Timestamp::max)
}

fn out_of_place(event: &RepoEvent) -> Refusal {
    Refusal::Illegal {
        event: event.into(),
        state: "another part of the repository takes it".to_owned(),
    }
}
