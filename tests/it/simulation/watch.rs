//! What is held against the server about its runs while they go: it says that they started, and
//! ends those that are to end. Nobody sees the first at the end of a history, nor the second when
//! an agent comes to its end by itself.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use huskies::domain::event::{Event, StoryEvent};
use huskies::domain::id::RunId;
use huskies::store::{Commit, RunWrite};
use jiff::{SignedDuration, Timestamp};

use super::world::World;

/// What a server may need to pass a stop on, with a disk that refuses what it wants to say before.
const PATIENCE: Duration = Duration::from_mins(1);

/// What the servers know of the runs, by the runs' names.
#[derive(Debug, Default)]
pub(super) struct Watch {
    /// Since when a server is there, if one is.
    serving: Option<Timestamp>,
    /// Runs that told this server that they go.
    greeted: BTreeSet<String>,
    /// Runs of which the store says that they started, and agents of which the log says it.
    stored: BTreeSet<String>,
    logged: BTreeSet<String>,
    /// Runs that are to end, and since when.
    unwanted: BTreeMap<String, Timestamp>,
}

impl Watch {
    pub(super) fn begin(&mut self, now: Timestamp) {
        self.serving = Some(now);
        self.greeted.clear();
    }

    pub(super) fn leave(&mut self) {
        self.serving = None;
    }

    pub(super) fn greet(&mut self, run: &str) {
        self.greeted.insert(run.to_owned());
    }

    /// Whether a server that was there from its beginning on knew that the run is not to start.
    pub(super) fn forbids(&self, run: &str) -> bool {
        let wanted = self.unwanted.get(run).zip(self.serving);
        wanted.is_some_and(|(unwanted, serving)| *unwanted < serving)
    }

    /// Whether a server has let pass more time than it may since the run was to end.
    pub(super) fn overlooks(&self, run: &str, at: Timestamp) -> bool {
        let wanted = self.unwanted.get(run).zip(self.serving);
        let patience = SignedDuration::try_from(PATIENCE).unwrap();
        wanted.is_some_and(|(unwanted, serving)| at > serving.max(*unwanted) + patience)
    }

    fn tells_start(&self, id: &RunId) -> bool {
        let name = id.to_string();
        let logged = match id {
            RunId::Agent(..) => self.logged.contains(&name),
            RunId::Accept(..) | RunId::Merge(..) | RunId::Head(..) => true,
        };
        logged && self.stored.contains(&name)
    }
}

/// After every transaction.
pub(super) fn check_runs(commit: &Commit, now: Timestamp, world: &mut World) {
    for record in &commit.events {
        if let Event::Story { id, event } = &record.event
            && let StoryEvent::AgentStarted { attempt, .. } = event
        {
            let run = RunId::Agent(id.clone(), *attempt);
            world.watch.logged.insert(run.to_string());
        }
    }
    for write in &commit.runs {
        match write {
            RunWrite::Requested { .. } => {}
            RunWrite::Started { id, .. } => drop(world.watch.stored.insert(id.to_string())),
            RunWrite::StopWanted { id } => {
                let since = world.watch.unwanted.entry(id.to_string());
                since.or_insert(now);
            }
            RunWrite::Ended { id } => {
                let greeted = world.watch.greeted.contains(&id.to_string());
                if greeted && !world.watch.tells_start(id) {
                    world.violation(format!("{id} ended, and nobody wrote that it started"));
                }
            }
        }
    }
}
