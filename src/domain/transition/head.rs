//! Gates on a commit that no story owns.
//!
//! Whether and when it is gated is for its repository to say, which is told once that is over.

use super::{Refusal, Step, Subject, ignored};
use crate::domain::effect::{Act, Effect, GatesBrief, GatesNews, Run, Surface};
use crate::domain::event::{Event, HeadEvent, RepoEvent};
use crate::domain::head::{Head, HeadState};
use crate::domain::id::{RunId, Sha};
use crate::domain::project::Moment;
use crate::domain::work::GateReport;

/// Runs in a row that may come to nothing: a machine that broke down says nothing about a commit.
const TRIES: u32 = 3;

pub(super) fn step(head: &Head, event: &HeadEvent) -> Result<Step, Refusal> {
    let mut turn = Turn {
        head: head.clone(),
        effects: Vec::new(),
    };
    turn.apply(event)?;
    Ok(Step {
        subject: Subject::Head(Box::new(turn.head)),
        effects: turn.effects,
    })
}

/// One step in the making.
struct Turn {
    head: Head,
    effects: Vec<Effect>,
}

impl Turn {
    fn apply(&mut self, event: &HeadEvent) -> Result<(), Refusal> {
        match event {
            HeadEvent::Withheld => self.withhold(),
            HeadEvent::Queued => self.queue(),
            HeadEvent::GatesAsked { rules, again } => self.asked(rules, *again),
            HeadEvent::Fetched { run } => {
                self.expect(&HeadState::Fetching, *run, event.into())?;
                self.start();
                Ok(())
            }
            HeadEvent::NotFetched { run, message } => {
                self.expect(&HeadState::Fetching, *run, event.into())?;
                self.give_up(message);
                Ok(())
            }
            HeadEvent::GatesEnded { run, report } => {
                self.expect(&HeadState::Gating, *run, event.into())?;
                self.judge(report);
                Ok(())
            }
            HeadEvent::GatesLost { run, message } => {
                self.expect(&HeadState::Gating, *run, event.into())?;
                self.lose(message);
                Ok(())
            }
            HeadEvent::Superseded { by } => self.supersede(by.as_ref()),
        }
    }

    /// A verdict that is there, or under way, was come to by right.
    fn withhold(&mut self) -> Result<(), Refusal> {
        match self.head.state {
            HeadState::Unknown | HeadState::Superseded | HeadState::Unjudged { .. } => {}
            HeadState::Withheld => return ignored("it waits for an approval already"),
            HeadState::Queued
            | HeadState::Fetching
            | HeadState::Gating
            | HeadState::Judged { .. } => return ignored("it is gated already"),
        }
        self.head.state = HeadState::Withheld;
        let commit = self.head.id.sha.clone();
        self.show_next(GatesNews::AwaitsApproval { commit });
        Ok(())
    }

    /// Of a commit that has its verdict nothing is shown anew before the gates run again.
    fn queue(&mut self) -> Result<(), Refusal> {
        match self.head.state {
            HeadState::Unknown
            | HeadState::Withheld
            | HeadState::Superseded
            | HeadState::Unjudged { .. } => {}
            HeadState::Queued
            | HeadState::Fetching
            | HeadState::Gating
            | HeadState::Judged { .. } => return ignored("it is gated already"),
        }
        self.head.state = HeadState::Queued;
        self.show_next(GatesNews::Queued);
        Ok(())
    }

    fn asked(&mut self, rules: &Sha, again: bool) -> Result<(), Refusal> {
        match self.head.state {
            HeadState::Fetching | HeadState::Gating => return ignored("the gates run already"),
            HeadState::Judged { .. } if !again => {
                self.settled();
                return Ok(());
            }
            HeadState::Judged { .. }
            | HeadState::Unknown
            | HeadState::Withheld
            | HeadState::Queued
            | HeadState::Unjudged { .. }
            | HeadState::Superseded => {}
        }
        self.head.rules = Some(rules.clone());
        self.head.lost = 0;
        self.head.run += 1;
        self.head.state = HeadState::Fetching;
        let run = self.head.run;
        self.effects.push(Effect::Act(Act::FetchHead { run }));
        self.show(GatesNews::Running);
        Ok(())
    }

    fn start(&mut self) {
        let Some(rules) = self.head.rules.clone() else {
            return self.give_up("it is not known by which rules");
        };
        self.head.state = HeadState::Gating;
        let brief = GatesBrief {
            commit: self.head.id.sha.clone(),
            rules,
            moment: Moment::Accept,
        };
        let id = self.run_id();
        self.effects
            .push(Effect::Run(Run::StartGates { id, brief }));
    }

    fn expect(&self, state: &HeadState, run: u32, event: &'static str) -> Result<(), Refusal> {
        let newest = self.head.run;
        if run > newest {
            let state = format!("run {newest} is the newest");
            return Err(Refusal::Illegal { event, state });
        }
        if run < newest || self.head.state != *state {
            return ignored("of an older gate run");
        }
        Ok(())
    }

    fn judge(&mut self, report: &GateReport) {
        if report.commit != self.head.id.sha {
            return self.give_up("the gates ran on another commit than this one");
        }
        self.head.state = HeadState::Judged {
            report: report.clone(),
        };
        self.show(GatesNews::judged(report));
        self.settled();
    }

    fn lose(&mut self, message: &str) {
        if self.head.lost + 1 >= TRIES {
            return self.give_up(message);
        }
        self.head.lost += 1;
        self.head.run += 1;
        self.show(GatesNews::Running);
        self.start();
    }

    fn give_up(&mut self, message: &str) {
        let message = message.to_owned();
        self.head.state = HeadState::Unjudged {
            message: message.clone(),
        };
        self.show(GatesNews::Unavailable { message });
        self.settled();
    }

    fn supersede(&mut self, by: Option<&Sha>) -> Result<(), Refusal> {
        let news = by.map_or(GatesNews::Superseded, |commit| GatesNews::SupersededBy {
            commit: commit.clone(),
        });
        match self.head.state {
            HeadState::Gating => {
                let id = self.run_id();
                self.effects.push(Effect::Run(Run::Stop { id }));
                self.show(news);
            }
            HeadState::Fetching => self.show(news),
            HeadState::Withheld | HeadState::Queued => self.show_next(news),
            HeadState::Unknown
            | HeadState::Judged { .. }
            | HeadState::Unjudged { .. }
            | HeadState::Superseded => return ignored("the gates do not run"),
        }
        self.head.state = HeadState::Superseded;
        Ok(())
    }

    fn settled(&mut self) {
        let commit = self.head.id.sha.clone();
        let event = RepoEvent::HeadSettled { commit };
        let told = Event::repo(&self.head.id.repo, event);
        self.effects.push(Effect::Tell(told));
    }

    fn run_id(&self) -> RunId {
        let Head { id, run, .. } = &self.head;
        RunId::Head(id.repo.clone(), id.sha.clone(), *run)
    }

    /// Runs that came to nothing are one with those that took their place.
    fn show(&mut self, news: GatesNews) {
        let Head { id, run, lost, .. } = &self.head;
        let surfaces = Surface::of_gates(&id.sha, run.saturating_sub(*lost), news);
        self.effects.extend(surfaces);
    }

    /// What is shown before a run begins belongs to it.
    fn show_next(&mut self, news: GatesNews) {
        let Head { id, run, .. } = &self.head;
        let surfaces = Surface::of_gates(&id.sha, run + 1, news);
        self.effects.extend(surfaces);
    }
}
