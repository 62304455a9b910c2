//! Subjects, a clock, and everything that is in flight between them and the adapters.
//!
//! Events are delivered as the engine does it: one at a time, and what subjects tell each other at
//! once and in order. What acts and runs answer is up to the test ([`super::answers`]); what has to
//! hold after every event is in [`super::invariants`].

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use jiff::Timestamp;

use super::{noon, repo_name, sha};
use crate::domain::account::{Account, Limits};
use crate::domain::dependency::IssueState;
use crate::domain::effect::{Act, Effect, Run, Surface, Timer};
use crate::domain::event::{AccountEvent, Event, RepoEvent, StoryEvent, SubjectId};
use crate::domain::id::{Attempt, RunId, Sha, StoryId};
use crate::domain::project::Project;
use crate::domain::repo::Repo;
use crate::domain::story::Story;
use crate::domain::transition::{Refusal, Subject, step};

/// Something that was asked for and is not answered yet.
#[derive(Debug, Clone)]
pub(super) enum Flight {
    Act { subject: SubjectId, act: Act },
    Run(OpenRun),
}

#[derive(Debug, Clone)]
pub(super) struct OpenRun {
    pub(super) run: Run,
    pub(super) started: bool,
    /// Its session was seen.
    pub(super) seen: bool,
    pub(super) stopped: bool,
}

/// One line of the log of all subjects.
pub(super) struct Logged {
    pub(super) event: Event,
    pub(super) at: Timestamp,
    pub(super) applied: bool,
}

pub(super) struct World {
    pub(super) subjects: BTreeMap<SubjectId, Subject>,
    pub(super) now: Timestamp,
    pub(super) flights: Vec<Flight>,
    pub(super) timers: BTreeMap<(SubjectId, String), (Timestamp, Event)>,
    pub(super) log: Vec<Logged>,
    pub(super) surfaces: Vec<Surface>,
    /// Where the base branch really is.
    pub(super) tip: Sha,
    pub(super) project: Project,
    /// Attempts whose agent ended, and attempts whose work was asked to be kept.
    pub(super) ended: BTreeSet<(StoryId, Attempt)>,
    pub(super) collected: BTreeSet<(StoryId, Attempt)>,
    /// Commits with conflict markers in them.
    pub(super) marked: BTreeSet<Sha>,
    /// Trees that merge gates passed.
    pub(super) passed: BTreeSet<Sha>,
    /// Trees that touch protected paths.
    pub(super) protected: BTreeSet<Sha>,
    /// Heads that somebody of the repository wrote, or approved.
    pub(super) trusted: BTreeSet<Sha>,
    /// How issues really are, and since when, where they are not as they were at first.
    pub(super) issues: BTreeMap<u64, (IssueState, Timestamp)>,
    /// Issues that were done at some time: closed as done, or landed.
    pub(super) done_once: BTreeSet<u64>,
    runs: BTreeSet<RunId>,
    counter: u64,
}

impl World {
    pub(super) fn new(project: Project, limits: Limits) -> Self {
        let mut world = Self {
            subjects: BTreeMap::new(),
            now: noon(),
            flights: Vec::new(),
            timers: BTreeMap::new(),
            log: Vec::new(),
            surfaces: Vec::new(),
            tip: sha(1),
            project,
            ended: BTreeSet::new(),
            collected: BTreeSet::new(),
            marked: BTreeSet::new(),
            passed: BTreeSet::new(),
            protected: BTreeSet::new(),
            trusted: BTreeSet::new(),
            issues: BTreeMap::new(),
            done_once: BTreeSet::new(),
            runs: BTreeSet::new(),
            counter: 1,
        };
        world.must(Event::Account {
            event: AccountEvent::Configured { limits },
        });
        world.must(Event::repo(&repo_name(), RepoEvent::Opened { looks: None }));
        world
    }

    pub(super) fn new_sha(&mut self) -> Sha {
        self.counter += 1;
        sha(self.counter)
    }

    /// For a pull request.
    pub(super) fn new_number(&mut self) -> u64 {
        self.counter += 1;
        1_000 + self.counter
    }

    pub(super) fn subject(&self, id: &SubjectId) -> Subject {
        let known = self.subjects.get(id).cloned();
        known.unwrap_or_else(|| Subject::new(id))
    }

    pub(super) fn stories(&self) -> impl Iterator<Item = &Story> {
        self.subjects.values().filter_map(|subject| match subject {
            Subject::Story(story) => Some(&**story),
            Subject::Repo(_) | Subject::Head(_) | Subject::Account(_) => None,
        })
    }

    pub(super) fn repo(&self) -> Repo {
        match self.subject(&SubjectId::Repo(repo_name())) {
            Subject::Repo(repo) => *repo,
            other => panic!("not a repository: {other:?}"),
        }
    }

    pub(super) fn account(&self) -> Account {
        match self.subject(&SubjectId::Account) {
            Subject::Account(account) => *account,
            other => panic!("not the account: {other:?}"),
        }
    }

    pub(super) fn must(&mut self, event: Event) {
        let name = event.name();
        self.deliver(event)
            .unwrap_or_else(|refusal| panic!("{name} was refused: {refusal}"));
    }

    /// Delivers `event` and all that follows at once. The answer is that of the event itself.
    pub(super) fn deliver(&mut self, event: Event) -> Result<(), Refusal> {
        let mut first = None;
        let mut queue = VecDeque::from([event]);
        while let Some(event) = queue.pop_front() {
            let answer = self.take(event).map(|told| queue.extend(told));
            first.get_or_insert(answer);
        }
        self.check();
        first.expect("at least one event was delivered")
    }

    /// One step of one subject; gives back what it tells the others.
    fn take(&mut self, event: Event) -> Result<Vec<Event>, Refusal> {
        let id = event.subject();
        let before = self.subject(&id);
        let stepped = step(&before, &event, self.now);
        if let (Ok(_), Event::Story { id, event }) = (&stepped, &event)
            && let StoryEvent::AgentEnded { attempt, .. } = event
        {
            self.ended.insert((id.clone(), *attempt));
        }
        // The issue changed, whatever huskies makes of it.
        let after = stepped.as_ref().map_or(&before, |step| &step.subject);
        self.note_truth(&event, after);
        self.check_begin(&before, after);
        self.log.push(Logged {
            event,
            at: self.now,
            applied: stepped.is_ok(),
        });
        if let Err(Refusal::Illegal { event, state }) = &stepped {
            panic!("`{event}` was called illegal while {state}");
        }
        let step = stepped?;
        self.subjects.insert(id.clone(), step.subject);
        let effects = step.effects.into_iter();
        Ok(effects
            .filter_map(|effect| self.take_up(&id, effect))
            .collect())
    }

    fn take_up(&mut self, subject: &SubjectId, effect: Effect) -> Option<Event> {
        match effect {
            Effect::Tell(event) => return Some(event),
            Effect::Surface(surface) => self.surfaces.push(surface),
            Effect::Timer(Timer { name, at, event }) => {
                self.timers.insert((subject.clone(), name), (at, event));
            }
            Effect::Act(act) => {
                if let (SubjectId::Story(story), Act::Collect { attempt, .. }) = (subject, &act) {
                    self.collected.insert((story.clone(), *attempt));
                }
                let subject = subject.clone();
                self.flights.push(Flight::Act { subject, act });
            }
            Effect::Run(Run::Stop { id }) => self.stop(&id),
            Effect::Run(run) => self.start(run),
        }
        None
    }

    fn stop(&mut self, wanted: &RunId) {
        for flight in &mut self.flights {
            if let Flight::Run(open) = flight
                && open.run.id() == wanted
            {
                open.stopped = true;
            }
        }
    }

    fn start(&mut self, run: Run) {
        if let RunId::Head(_, sha, _) = run.id() {
            assert!(self.trusted.contains(sha), "nobody approved {sha}");
        }
        let id = run.id();
        assert!(self.runs.insert(id.clone()), "{id} was started twice");
        if let (RunId::Agent(story, attempt), Run::StartAgent { brief, .. }) = (id, &run) {
            assert!(
                brief.reservation.is_for(story, *attempt),
                "{id} was started on the reservation of another attempt"
            );
        }
        self.flights.push(Flight::Run(OpenRun {
            run,
            started: false,
            seen: false,
            stopped: false,
        }));
    }

    /// Puts the clock to the next armed timer and fires it. Gives back its event.
    pub(super) fn fire_next_timer(&mut self) -> Option<Event> {
        let next = self.timers.iter().min_by_key(|(_, (at, _))| *at);
        let (key, (at, event)) = next.map(|(key, value)| (key.clone(), value.clone()))?;
        self.timers.remove(&key);
        self.now = self.now.max(at);
        // A late timer is refused, and that is all right.
        self.deliver(event.clone()).ok();
        Some(event)
    }
}
