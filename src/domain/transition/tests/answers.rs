//! What the world may answer to what is in flight: every legal answer, by the fall of the dice.

use std::time::Duration;

use super::world::{Flight, OpenRun, World};
use super::{repo_name, report};
use crate::domain::effect::{Act, AgentBrief, GatesBrief, Run};
use crate::domain::event::{Event, HeadEvent, RepoEvent, StoryEvent, SubjectId};
use crate::domain::head::HeadId;
use crate::domain::id::{Attempt, RunId, SessionId, Sha, StoryId};
use crate::domain::money::Usd;
use crate::domain::project::Moment;
use crate::domain::story::Admission;
use crate::domain::work::{Collected, End, GateReport, Limit, ProcessIdentity, Usage};

/// Decides by a list of numbers, read over and over: a history that could go on for ever does.
#[derive(Debug)]
pub(super) struct Dice {
    numbers: Vec<u16>,
    next: usize,
    /// Troubles of the world outside that are left: nobody breaks things for ever.
    troubles: u32,
}

impl Dice {
    pub(super) fn new(numbers: Vec<u16>) -> Self {
        Self {
            numbers,
            next: 0,
            troubles: 10,
        }
    }

    /// A number below `sides`.
    pub(super) fn roll(&mut self, sides: usize) -> usize {
        let number = self.numbers[self.next % self.numbers.len()];
        self.next += 1;
        usize::from(number) % sides
    }

    /// True once in `often`.
    pub(super) fn luck(&mut self, often: usize) -> bool {
        self.roll(often) == often - 1
    }

    pub(super) fn trouble(&mut self, often: usize) -> bool {
        if self.troubles == 0 || !self.luck(often) {
            return false;
        }
        self.troubles -= 1;
        true
    }
}

impl World {
    /// Takes one flight out of the air. The answer is `None` where there is none to give.
    pub(super) fn answer(&mut self, position: usize, dice: &mut Dice) -> Option<Event> {
        match self.flights.remove(position) {
            Flight::Act { subject, act } => match subject {
                SubjectId::Story(story) => self
                    .story_act(&story, &act, dice)
                    .map(|event| Event::story(&story, event)),
                SubjectId::Repo(repo) => self
                    .repo_act(act, dice)
                    .map(|event| Event::repo(&repo, event)),
                SubjectId::Head(id) => head_act(&act, dice).map(|event| Event::Head { id, event }),
                SubjectId::Account => None,
            },
            Flight::Run(open) => self.run(open, dice),
        }
    }

    fn story_act(&mut self, story: &StoryId, act: &Act, dice: &mut Dice) -> Option<StoryEvent> {
        let message = "the disk is full".to_owned();
        match act {
            Act::Admit { request, .. } => Some(StoryEvent::Admitted {
                request: *request,
                answer: self.admission(story, act, dice),
            }),
            Act::ReadProject { attempt } if dice.luck(30) => Some(StoryEvent::ProjectUnusable {
                attempt: *attempt,
                message,
            }),
            Act::ReadProject { attempt } => Some(StoryEvent::ProjectRead {
                attempt: *attempt,
                base: self.tip.clone(),
                project: Box::new(self.project.clone()),
            }),
            Act::PrepareWorktree { attempt, .. } if dice.luck(30) => {
                Some(StoryEvent::WorktreeFailed {
                    attempt: *attempt,
                    message,
                })
            }
            Act::PrepareWorktree { attempt, base, .. } => Some(StoryEvent::WorktreeReady {
                attempt: *attempt,
                head: base.clone(),
                hook_trouble: dice.luck(5).then_some(message),
                noticed: Vec::new(),
            }),
            Act::Collect { attempt, .. } if dice.luck(30) => Some(StoryEvent::WorkNotCollected {
                attempt: *attempt,
                message,
            }),
            Act::Collect {
                attempt,
                since,
                conflicts,
                ..
            } => Some(StoryEvent::WorkCollected {
                attempt: *attempt,
                collected: self.collect(since.as_ref(), conflicts, dice),
            }),
            Act::OpenPull { .. } if dice.trouble(6) => Some(StoryEvent::PullRefused { message }),
            Act::OpenPull { .. } => Some(StoryEvent::PullOpened {
                number: self.new_number(),
                plain: dice.luck(5),
            }),
            Act::ReadCheck { .. } => check_read(act, dice.luck(2).then_some(message)),
            Act::RetireWorktree { .. }
            | Act::PublishBranch { .. }
            | Act::PublishWip { .. }
            | Act::Announce { .. }
            | Act::RemoveLabel { .. }
            | Act::Reply { .. }
            | Act::React { .. }
            | Act::FetchHead { .. }
            | Act::Answer { .. }
            | Act::SyncBase { .. }
            | Act::Look { .. }
            | Act::SeeBranches { .. }
            | Act::SeeNeeds { .. }
            | Act::BuildCandidate { .. }
            | Act::MergePull { .. }
            | Act::Land { .. } => None,
        }
    }

    fn admission(&self, story: &StoryId, act: &Act, dice: &mut Dice) -> Admission {
        let Act::Admit { links, edits, .. } = act else {
            return Admission::Denied;
        };
        let links = links.is_some().then(|| Box::new(self.links(story, dice)));
        let edited_by = (!edits.is_empty() && dice.luck(2)).then(|| "bob".to_owned());
        if dice.luck(5) {
            return Admission::Denied;
        }
        Admission::Allowed {
            comments: Vec::new(),
            links,
            edited_by,
        }
    }

    fn collect(&mut self, since: Option<&Sha>, conflicts: &[String], dice: &mut Dice) -> Collected {
        let (new, other) = (self.new_sha(), self.new_sha());
        let old = since.cloned().unwrap_or_else(|| self.tip.clone());
        let [head, tree, ahead, advanced] = match dice.roll(4) {
            0 | 1 => [Some(new), Some(other), Some(old.clone()), Some(old)],
            2 => [Some(old.clone()), Some(old.clone()), Some(old), None],
            _ => [Some(old.clone()), Some(old), None, None],
        };
        let head = head.expect("a head");
        let asked = !conflicts.is_empty();
        if asked && dice.luck(4) && advanced.is_some() {
            self.marked.insert(head.clone());
        }
        let markers = if asked && self.marked.contains(&head) {
            conflicts.to_vec()
        } else {
            Vec::new()
        };
        Collected {
            head,
            tree: tree.expect("a tree"),
            ahead: ahead.is_some(),
            advanced: advanced.is_some(),
            wip: None,
            markers,
            noticed: Vec::new(),
        }
    }

    fn run(&mut self, open: OpenRun, dice: &mut Dice) -> Option<Event> {
        match open.run.clone() {
            Run::StartAgent {
                id: RunId::Agent(story, attempt),
                brief,
            } => Some(Event::story(
                &story,
                self.agent(open, &brief, attempt, dice),
            )),
            Run::StartGates { id, brief } => {
                // Stopped gates may well be silent.
                let silent = open.stopped && dice.luck(2);
                (!silent).then(|| self.gates(&id, &brief, dice))
            }
            Run::StartAgent { .. } | Run::Stop { .. } => None,
        }
    }

    fn agent(
        &mut self,
        open: OpenRun,
        brief: &AgentBrief,
        attempt: Attempt,
        dice: &mut Dice,
    ) -> StoryEvent {
        if !open.started && !dice.luck(6) {
            let process = ProcessIdentity {
                pid: 7,
                start_ticks: 7,
                boot_id: "boot".to_owned(),
            };
            self.flights.push(Flight::Run(OpenRun {
                started: true,
                ..open
            }));
            return StoryEvent::AgentStarted { attempt, process };
        }
        if open.started && !open.seen && dice.luck(2) {
            self.flights
                .push(Flight::Run(OpenRun { seen: true, ..open }));
            let session = SessionId(format!("session-{}", dice.roll(3)));
            return StoryEvent::SessionSeen { attempt, session };
        }
        let end = if open.stopped && dice.luck(2) {
            End::Stopped
        } else {
            end(dice, self.now)
        };
        let most = brief.reservation.amount().micros();
        let spent = [None, Some(0), Some(most / 2), Some(most)][dice.roll(4)];
        let usage = Usage {
            cost: spent.map(Usd::from_micros),
            ..Usage::default()
        };
        StoryEvent::AgentEnded {
            attempt,
            end,
            usage,
        }
    }

    fn gates(&mut self, id: &RunId, brief: &GatesBrief, dice: &mut Dice) -> Event {
        let lost = dice.luck(7).then(|| "the runner is gone".to_owned());
        let report = self.report(brief, dice);
        match id {
            RunId::Accept(story, attempt, round) => {
                let (attempt, round) = (*attempt, *round);
                let event = match lost {
                    Some(message) => StoryEvent::GatesLost {
                        attempt,
                        round,
                        message,
                    },
                    None => StoryEvent::GatesEnded {
                        attempt,
                        round,
                        report,
                    },
                };
                Event::story(story, event)
            }
            RunId::Merge(repo, number) => {
                let number = *number;
                let event = match lost {
                    Some(message) => RepoEvent::GatesLost { number, message },
                    None => RepoEvent::GatesEnded { number, report },
                };
                Event::repo(repo, event)
            }
            RunId::Head(repo, sha, run) => {
                let run = *run;
                let event = match lost {
                    Some(message) => HeadEvent::GatesLost { run, message },
                    None => HeadEvent::GatesEnded { run, report },
                };
                let id = HeadId {
                    repo: repo.clone(),
                    sha: sha.clone(),
                };
                Event::Head { id, event }
            }
            RunId::Agent(..) => panic!("{id} has no gates"),
        }
    }

    fn report(&mut self, brief: &GatesBrief, dice: &mut Dice) -> GateReport {
        let tree = self.tree_of(&brief.commit, brief.moment);
        let tree = if dice.luck(30) { self.new_sha() } else { tree };
        let failure = match dice.roll(7) {
            0..=3 => None,
            4 => Some("assertion failed"),
            5 => Some("segmentation fault"),
            _ => Some("out of memory"),
        };
        let report = report(&brief.commit, &tree, failure);
        if brief.moment == Moment::Merge && report.passed() {
            self.passed.insert(tree);
        }
        report
    }

    /// The tree of a commit that somebody is having judged.
    fn tree_of(&self, commit: &Sha, moment: Moment) -> Sha {
        let merging = self.repo().merging;
        let candidate = merging.and_then(|merging| merging.phase.candidate().cloned());
        match candidate {
            Some(candidate) if moment == Moment::Merge && candidate.commit == *commit => {
                candidate.tree
            }
            _ => {
                let heads = self.stories().filter_map(|story| story.head.as_ref());
                let mut heads = heads.filter(|head| head.commit == *commit);
                heads
                    .next()
                    .map_or_else(|| commit.clone(), |head| head.tree.clone())
            }
        }
    }
}

fn check_read(act: &Act, log: Option<String>) -> Option<StoryEvent> {
    let Act::ReadCheck {
        commit,
        name,
        summary,
        ..
    } = act
    else {
        return None;
    };
    Some(StoryEvent::CheckRead {
        commit: commit.clone(),
        name: name.clone(),
        summary: summary.clone(),
        log,
    })
}

/// Every end of spec 5.7; finishing more often than the others.
fn end(dice: &mut Dice, now: jiff::Timestamp) -> End {
    let message = "something happened".to_owned();
    let soon = now + jiff::SignedDuration::from_mins(5);
    match dice.roll(20) {
        4 => End::Asked {
            question: "Which one?".to_owned(),
        },
        5 => End::LimitReached {
            limit: Limit::Turns,
        },
        6 => End::LimitReached {
            limit: Limit::Budget,
        },
        7 => End::RateLimited {
            until: Some(soon),
            message,
        },
        8 => End::RateLimited {
            until: None,
            message,
        },
        9 => End::AccountTrouble { message },
        10 => End::Aborted,
        11 => End::ResumeRefused { message },
        12 => End::CannotLaunch { message },
        13 => End::Crashed { message },
        14 => End::Stalled {
            after: Duration::from_mins(10),
        },
        15 => End::Lost { message },
        _ => End::Finished,
    }
}

/// Late or repeated news that must be recognised as such. What sets a state again, or answers one
/// of several equal tries, is not among them.
pub(super) fn is_fenced(event: &Event) -> bool {
    match event {
        Event::Story { event, .. } => !matches!(
            event,
            StoryEvent::SessionSeen { .. }
                | StoryEvent::PullOpened { .. }
                | StoryEvent::PullRefused { .. }
        ),
        Event::Repo { event, .. } => !matches!(
            event,
            RepoEvent::BaseSynced { .. }
                | RepoEvent::BaseUnavailable { .. }
                | RepoEvent::LandWaits { .. }
                | RepoEvent::PullWaits { .. }
                | RepoEvent::NeedsSeen { .. }
        ),
        Event::Head { .. } => true,
        Event::Account { .. } => false,
    }
}

/// A head is brought in, or is not there any more.
fn head_act(act: &Act, dice: &mut Dice) -> Option<HeadEvent> {
    let Act::FetchHead { run } = act else {
        return None;
    };
    let run = *run;
    Some(if dice.luck(8) {
        let message = "no such commit".to_owned();
        HeadEvent::NotFetched { run, message }
    } else {
        HeadEvent::Fetched { run }
    })
}

pub(super) fn pushed(tip: &Sha) -> Event {
    let push = crate::domain::delivery::Push {
        branch: "main".parse().unwrap(),
        before: None,
        after: Some(tip.clone()),
        sender: "mallory".to_owned(),
    };
    Event::repo(&repo_name(), RepoEvent::Pushed { push })
}
