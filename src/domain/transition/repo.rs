//! A repository: fans deliveries out to stories, hands out agents, and merges one story at a time.

use jiff::{SignedDuration, Timestamp};

use super::{Refusal, Step, Subject, ignored};
use crate::domain::delivery::{IssueAction, IssueChange, Push};
use crate::domain::effect::{Act, Effect, GatesBrief, Run, Timer};
use crate::domain::event::{Event, RepoEvent, StoryEvent};
use crate::domain::id::{Attempt, RunId, Sha, StoryId};
use crate::domain::project::{Moment, Trigger};
use crate::domain::repo::{Base, Merging, MergingPhase, QueueEntry, Repo, SlotHolder, SlotRequest};
use crate::domain::story::{Actor, Wish};
use crate::domain::work::{Candidate, GateReport, Receipt, Task};

/// How soon an unreachable base is looked at again.
const SYNC_AGAIN: SignedDuration = SignedDuration::from_secs(30);
/// How soon a change that passed tries again to land in a work tree that is not clean.
const LAND_AGAIN: SignedDuration = SignedDuration::from_secs(15);
/// Failures of git or of the gates' own machinery on one entry before a person is asked.
const MAX_FAILURES: u32 = 3;

/// Labels that huskies writes itself start with this; they ask for nothing.
const STAGE_PREFIX: &str = "stage:";

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

struct Turn {
    repo: Repo,
    effects: Vec<Effect>,
    now: Timestamp,
}

impl Turn {
    fn apply(&mut self, event: &RepoEvent) -> Result<(), Refusal> {
        match event {
            RepoEvent::Opened | RepoEvent::SyncDue => self.sync(),
            RepoEvent::Issue { change } => return self.issue(change),
            RepoEvent::Pushed { push } => return self.pushed(push),
            RepoEvent::BaseSynced {
                branch,
                tip,
                trigger,
                contained,
            } => {
                let base = Base {
                    branch: branch.clone(),
                    tip: tip.clone(),
                    trigger: trigger.clone(),
                };
                self.base_synced(base, contained);
            }
            RepoEvent::BaseUnavailable { .. } => self.wake("sync", SYNC_AGAIN, RepoEvent::SyncDue),
            RepoEvent::SlotWanted { request } => self.slot_wanted(request),
            RepoEvent::SlotReleased { story, attempt } => {
                return self.slot_released(story, *attempt);
            }
            RepoEvent::HeadKnown { story, head } => self.head_known(story, head.as_ref()),
            RepoEvent::Enqueued { entry } => self.enqueue(entry),
            RepoEvent::Withdrawn { story } => return self.withdraw(story),
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
            | RepoEvent::LandDue { number } => return self.merge_event(*number, event),
        }
        Ok(())
    }

    fn sync(&mut self) {
        let heads = self
            .repo
            .heads
            .iter()
            .map(|(story, head)| (story.clone(), head.clone()))
            .collect();
        self.effects.push(Effect::Act(Act::SyncBase { heads }));
    }

    fn wake(&mut self, name: &'static str, after: SignedDuration, event: RepoEvent) {
        let event = Event::repo(&self.repo.name, event);
        self.effects.push(Effect::Timer(Timer {
            name,
            at: self.now + after,
            event,
        }));
    }

    fn tell(&mut self, story: &StoryId, event: StoryEvent) {
        self.effects.push(Effect::Tell(Event::story(story, event)));
    }

    // Deliveries.

    fn issue(&mut self, change: &IssueChange) -> Result<(), Refusal> {
        let Some(base) = &self.repo.base else {
            self.repo.parked.push(change.clone());
            return Ok(());
        };
        let Some(wish) = wish(change, &base.trigger) else {
            return ignored("nothing that huskies acts on");
        };
        self.ask(change, wish);
        Ok(())
    }

    fn ask(&mut self, change: &IssueChange, wish: Wish) {
        let story = StoryId::new(self.repo.name.clone(), change.number);
        let by = Actor::Account {
            login: change.sender.clone(),
        };
        self.tell(&story, StoryEvent::Asked { wish, by });
    }

    fn pushed(&mut self, push: &Push) -> Result<(), Refusal> {
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

    fn base_synced(&mut self, base: Base, contained: &[StoryId]) {
        let (tip, trigger) = (base.tip.clone(), base.trigger.clone());
        self.repo.base = Some(base);
        for change in std::mem::take(&mut self.repo.parked) {
            if let Some(wish) = wish(&change, &trigger) {
                self.ask(&change, wish);
            }
        }
        for story in contained {
            if self.repo.heads.remove(story).is_some() {
                self.tell(story, StoryEvent::Contained { tip: tip.clone() });
            }
        }
        self.restart_merge_on(&tip);
        self.merge_next();
    }

    // Agents.

    fn slot_wanted(&mut self, request: &SlotRequest) {
        self.repo
            .waiting
            .retain(|other| other.story != request.story);
        self.repo.waiting.push(request.clone());
        self.grant_slots();
    }

    fn slot_released(&mut self, story: &StoryId, attempt: Attempt) -> Result<(), Refusal> {
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
            let holder = SlotHolder {
                story: request.story.clone(),
                attempt: request.attempt,
            };
            self.repo.slots.insert(agent.clone(), holder);
            self.tell(
                &request.story,
                StoryEvent::SlotGranted {
                    attempt: request.attempt,
                    agent,
                },
            );
        }
    }

    fn head_known(&mut self, story: &StoryId, head: Option<&Sha>) {
        match head {
            Some(head) => self.repo.heads.insert(story.clone(), head.clone()),
            None => self.repo.heads.remove(story),
        };
    }

    // The merge queue.

    fn enqueue(&mut self, entry: &QueueEntry) {
        self.repo.queue.retain(|other| other.story != entry.story);
        self.repo.queue.push(entry.clone());
        self.repo
            .queue
            .sort_by_key(|entry| (-i64::from(entry.priority), entry.since));
        self.merge_next();
    }

    fn withdraw(&mut self, story: &StoryId) -> Result<(), Refusal> {
        let before = self.repo.queue.len();
        self.repo.queue.retain(|entry| entry.story != *story);
        if let Some(merging) = self
            .repo
            .merging
            .take_if(|merging| merging.entry.story == *story)
        {
            if matches!(merging.phase, MergingPhase::Landing { .. }) {
                self.repo.merging = Some(merging);
                return ignored("it is landing already");
            }
            self.stop_gates(&merging);
            self.merge_next();
            return Ok(());
        }
        if before == self.repo.queue.len() {
            ignored("it is not in the queue")
        } else {
            Ok(())
        }
    }

    fn merge_next(&mut self) {
        if self.repo.merging.is_some() || self.repo.base.is_none() || self.repo.queue.is_empty() {
            return;
        }
        let entry = self.repo.queue.remove(0);
        self.build(entry, 0);
    }

    /// Starts a merge run for `entry` on the tip as it is now.
    fn build(&mut self, entry: QueueEntry, failures: u32) {
        let Some(base) = self.repo.base.as_ref().map(|base| base.tip.clone()) else {
            self.repo.queue.insert(0, entry);
            return;
        };
        self.repo.merge_number += 1;
        let number = self.repo.merge_number;
        let (head, message) = (entry.head.clone(), entry.message.clone());
        let phase = MergingPhase::Building { base: base.clone() };
        self.repo.merging = Some(Merging {
            number,
            entry,
            phase,
            failures,
        });
        self.effects.push(Effect::Act(Act::BuildCandidate {
            number,
            base,
            head,
            message,
        }));
    }

    /// A run that has not begun to land starts over when the base moved under it.
    fn restart_merge_on(&mut self, tip: &Sha) {
        let Some(merging) = self.repo.merging.take() else {
            return;
        };
        let stale = match &merging.phase {
            MergingPhase::Building { base } => base != tip,
            MergingPhase::Gating { candidate } | MergingPhase::Waiting { candidate, .. } => {
                candidate.base != *tip
            }
            MergingPhase::Landing { .. } => false,
        };
        if !stale {
            self.repo.merging = Some(merging);
            return;
        }
        self.stop_gates(&merging);
        self.build(merging.entry, merging.failures);
    }

    fn stop_gates(&mut self, merging: &Merging) {
        if matches!(merging.phase, MergingPhase::Gating { .. }) {
            self.effects.push(Effect::Run(Run::Stop {
                id: self.run_id(merging.number),
            }));
        }
    }

    fn run_id(&self, number: u64) -> RunId {
        RunId::Merge(self.repo.name.clone(), number)
    }

    fn merge_event(&mut self, number: u64, event: &RepoEvent) -> Result<(), Refusal> {
        let Some(merging) = self
            .repo
            .merging
            .take_if(|merging| merging.number == number)
        else {
            return ignored("of an older merge run");
        };
        match (merging.phase.clone(), event) {
            (MergingPhase::Building { .. }, RepoEvent::CandidateBuilt { candidate, .. }) => {
                self.gate(merging, candidate);
            }
            (MergingPhase::Building { .. }, RepoEvent::CandidateConflicted { base, paths, .. }) => {
                let (base, paths) = (base.clone(), paths.clone());
                self.fail(&merging, |head| StoryEvent::MergeConflicted {
                    head,
                    base,
                    paths,
                });
            }
            (MergingPhase::Building { .. }, RepoEvent::CandidateEmpty { base, .. }) => {
                self.fail(&merging, |_| StoryEvent::Contained { tip: base.clone() });
            }
            (
                MergingPhase::Building { .. } | MergingPhase::Landing { .. },
                RepoEvent::CandidateFailed { message, .. },
            )
            | (MergingPhase::Gating { .. }, RepoEvent::GatesLost { message, .. }) => {
                self.broke_down(merging, message)
            }
            (MergingPhase::Gating { candidate }, RepoEvent::GatesEnded { report, .. }) => {
                self.judge(merging, candidate, report);
            }
            (MergingPhase::Landing { candidate, gates }, RepoEvent::Landed { .. }) => {
                let Candidate {
                    base,
                    head,
                    commit,
                    tree,
                } = candidate;
                self.landed(
                    &merging,
                    Receipt {
                        base,
                        head,
                        commit,
                        tree,
                        gates,
                    },
                );
            }
            (MergingPhase::Landing { .. }, RepoEvent::LandMissed { tip, .. }) => {
                if let Some(base) = &mut self.repo.base {
                    base.tip = tip.clone();
                }
                self.build(merging.entry, merging.failures);
            }
            (MergingPhase::Landing { candidate, gates }, RepoEvent::LandWaits { reason, .. }) => {
                self.wait_to_land(merging, MergingPhase::Waiting { candidate, gates }, reason);
            }
            (MergingPhase::Landing { .. }, RepoEvent::LandRejected { reason, .. }) => {
                let reason = reason.clone();
                self.fail(&merging, |head| StoryEvent::MergeRejected { head, reason });
            }
            (MergingPhase::Waiting { candidate, gates }, RepoEvent::LandDue { .. }) => {
                self.land(merging, candidate, gates);
            }
            (_, event) => return self.out_of_turn(merging, event),
        }
        Ok(())
    }

    fn out_of_turn(&mut self, merging: Merging, event: &RepoEvent) -> Result<(), Refusal> {
        let event: &'static str = event.into();
        let state = format!("merge run {} is {:?}", merging.number, merging.phase);
        self.repo.merging = Some(merging);
        Err(Refusal::Illegal { event, state })
    }

    fn gate(&mut self, merging: Merging, candidate: &Candidate) {
        let brief = GatesBrief {
            commit: candidate.commit.clone(),
            rules: candidate.base.clone(),
            moment: Moment::Merge,
        };
        let id = self.run_id(merging.number);
        self.effects
            .push(Effect::Run(Run::StartGates { id, brief }));
        let (head, base) = (merging.entry.head.clone(), candidate.base.clone());
        self.tell(&merging.entry.story, StoryEvent::MergeBegan { head, base });
        let phase = MergingPhase::Gating {
            candidate: candidate.clone(),
        };
        self.repo.merging = Some(Merging { phase, ..merging });
    }

    /// Only the very tree that would land counts: a report on another one is no verdict.
    fn judge(&mut self, merging: Merging, candidate: Candidate, report: &GateReport) {
        if report.tree != candidate.tree {
            return self.broke_down(
                merging,
                "the gates ran on another tree than the one to land",
            );
        }
        if report.passed() {
            return self.land(merging, candidate, report.outcomes.clone());
        }
        let (base, report) = (candidate.base, report.clone());
        self.fail(&merging, |head| StoryEvent::MergeGatesFailed {
            head,
            base,
            report,
        });
    }

    fn land(
        &mut self,
        merging: Merging,
        candidate: Candidate,
        gates: Vec<crate::domain::work::GateOutcome>,
    ) {
        let Some(branch) = self.repo.base.as_ref().map(|base| base.branch.clone()) else {
            return;
        };
        let number = merging.number;
        self.effects.push(Effect::Act(Act::Land {
            number,
            branch,
            candidate: candidate.clone(),
        }));
        self.repo.merging = Some(Merging {
            phase: MergingPhase::Landing { candidate, gates },
            ..merging
        });
    }

    fn wait_to_land(&mut self, merging: Merging, phase: MergingPhase, reason: &str) {
        let (number, head) = (merging.number, merging.entry.head.clone());
        self.tell(
            &merging.entry.story,
            StoryEvent::MergeWaits {
                head,
                reason: reason.to_owned(),
            },
        );
        self.wake("land", LAND_AGAIN, RepoEvent::LandDue { number });
        self.repo.merging = Some(Merging { phase, ..merging });
    }

    fn landed(&mut self, merging: &Merging, receipt: Receipt) {
        if let Some(base) = &mut self.repo.base {
            base.tip = receipt.commit.clone();
        }
        self.repo.heads.remove(&merging.entry.story);
        self.tell(
            &merging.entry.story,
            StoryEvent::Landed {
                receipt: Box::new(receipt),
            },
        );
        // The project file may have changed with it, and other stories may be contained now.
        self.sync();
        self.merge_next();
    }

    /// Ends the run with news for its story, and goes on with the next one.
    fn fail(&mut self, merging: &Merging, news: impl FnOnce(Sha) -> StoryEvent) {
        self.tell(&merging.entry.story, news(merging.entry.head.clone()));
        self.merge_next();
    }

    fn broke_down(&mut self, merging: Merging, message: &str) {
        let failures = merging.failures + 1;
        if failures < MAX_FAILURES {
            return self.build(merging.entry, failures);
        }
        let reason = message.to_owned();
        self.fail(&merging, |head| StoryEvent::MergeRejected { head, reason });
    }
}

/// What a change of an issue asks for, if anything.
fn wish(change: &IssueChange, trigger: &Trigger) -> Option<Wish> {
    let Trigger {
        start_label: start,
        hold_label: hold,
        retry_label: retry,
    } = trigger;
    let agent = |label: &str| label.strip_prefix("agent:").map(str::to_owned);
    match &change.action {
        IssueAction::Labeled(label) | IssueAction::Unlabeled(label)
            if label.starts_with(STAGE_PREFIX) =>
        {
            None
        }
        IssueAction::Labeled(label) if label == start => Some(Wish::Start {
            task: Task {
                title: change.title.clone(),
                body: change.body.clone(),
                comments: Vec::new(),
            },
            agent: change.labels.iter().find_map(|label| agent(label)),
            priority: change
                .labels
                .iter()
                .find_map(|label| priority(label))
                .unwrap_or_default(),
        }),
        IssueAction::Labeled(label) if label == hold => Some(Wish::Hold),
        IssueAction::Labeled(label) if label == retry => Some(Wish::Retry {
            label: Some(retry.clone()),
        }),
        IssueAction::Labeled(label) => match (agent(label), priority(label)) {
            (Some(agent), _) => Some(Wish::PickAgent { agent: Some(agent) }),
            (None, Some(priority)) => Some(Wish::Prioritise { priority }),
            (None, None) => None,
        },
        IssueAction::Unlabeled(label) if label == start => Some(Wish::Stop),
        IssueAction::Unlabeled(label) if label == hold => Some(Wish::Release),
        IssueAction::Unlabeled(label) => match (agent(label), priority(label)) {
            (Some(_), _) => Some(Wish::PickAgent { agent: None }),
            (None, Some(_)) => Some(Wish::Prioritise { priority: 0 }),
            (None, None) => None,
        },
        IssueAction::Closed => Some(Wish::Cancel),
        IssueAction::Reopened | IssueAction::Edited => None,
    }
}

fn priority(label: &str) -> Option<i32> {
    label.strip_prefix("priority:")?.trim().parse().ok()
}
