//! The ledger: reserve before a start, settle after, refuse with a reason.
//!
//! A request is refused when what is already *spent* leaves nothing; it waits when only
//! reservations, a pause or the limit on running agents stand in its way, since all three pass.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::{Refusal, Step, Subject, ignored};
use crate::domain::account::{Account, Budget, Pause, Probe, Reservation, Wanted};
use crate::domain::effect::{Effect, Timer};
use crate::domain::event::{AccountEvent, Event, StoryEvent};
use crate::domain::id::{Attempt, Provider, StoryId};
use crate::domain::money::Usd;
use crate::domain::story::Delay;

/// A pause that nobody gave an end for is tried again after this long: one start probes whether
/// the account was mended, so nothing runs in a loop and nothing waits for ever.
const PROBE_AFTER: SignedDuration = SignedDuration::from_mins(30);

pub(super) fn step(
    account: &Account,
    event: &AccountEvent,
    now: Timestamp,
) -> Result<Step, Refusal> {
    let mut ledger = Ledger {
        account: account.clone(),
        effects: Vec::new(),
        now,
    };
    ledger.turn_day();
    ledger.apply(event)?;
    ledger.grant_what_waits();
    ledger.explain_what_waits(account);
    Ok(Step {
        subject: Subject::Account(Box::new(ledger.account)),
        effects: ledger.effects,
    })
}

struct Ledger {
    account: Account,
    effects: Vec<Effect>,
    now: Timestamp,
}

/// What a request can get at this moment.
enum Answer {
    Grant(Usd),
    Wait(Delay),
    Refuse(String),
}

impl Ledger {
    fn apply(&mut self, event: &AccountEvent) -> Result<(), Refusal> {
        match event {
            AccountEvent::Configured { limits } => self.account.limits = limits.clone(),
            AccountEvent::Wanted { wanted } => return self.want(wanted),
            AccountEvent::Released { story, attempt } => {
                self.take_back(story, *attempt)?;
            }
            AccountEvent::Settled {
                story,
                attempt,
                used,
            } => return self.settle(story, *attempt, *used),
            AccountEvent::Paused {
                provider,
                because,
                until,
            } => self.pause(provider, because, *until),
            AccountEvent::PauseOver { provider } => return self.pause_over(provider),
            AccountEvent::Mended { provider } => {
                if self.account.pauses.remove(provider).is_none() {
                    return ignored("the provider is not paused");
                }
            }
            // The day was turned before the event was looked at.
            AccountEvent::DayTurned => {}
            AccountEvent::DiskLow { because } => self.account.disk_low = Some(because.clone()),
            AccountEvent::DiskFine => {
                if self.account.disk_low.take().is_none() {
                    return ignored("there was room before");
                }
            }
            AccountEvent::Prioritised { story, priority } => {
                return self.prioritise(story, *priority);
            }
        }
        Ok(())
    }

    /// Days are counted in UTC. A clock that is put back does not give a day's money twice. One
    /// that had run far ahead and is right again must not hold today's money until that day comes:
    /// the day is today's, and what was spent stays spent.
    fn turn_day(&mut self) {
        let today = self.now.to_zoned_datetime(TimeZone::UTC).date();
        let Some(day) = self.account.day else {
            self.account.day = Some(today);
            return;
        };
        if day < today {
            self.account.day = Some(today);
            self.account.spent_today = Usd::ZERO;
        } else if today.tomorrow().is_ok_and(|tomorrow| tomorrow < day) {
            self.account.day = Some(today);
        }
    }

    fn want(&mut self, wanted: &Wanted) -> Result<(), Refusal> {
        let same = |other: &Wanted| other.story == wanted.story && other.attempt == wanted.attempt;
        let reserved = |held: &Reservation| held.is_for(&wanted.story, wanted.attempt);
        if self.account.reservations.iter().any(reserved) || self.account.waiting.iter().any(same) {
            return ignored("this attempt has asked already");
        }
        self.account.waiting.push(wanted.clone());
        Ok(())
    }

    fn prioritise(&mut self, story: &StoryId, priority: i32) -> Result<(), Refusal> {
        let mut waiting = self.account.waiting.iter_mut();
        let Some(wanted) = waiting.find(|wanted| wanted.story == *story) else {
            return ignored("it does not wait for money");
        };
        wanted.priority = priority;
        Ok(())
    }

    /// Gives back what an attempt holds, or its place among those that wait.
    fn take_back(
        &mut self,
        story: &StoryId,
        attempt: Attempt,
    ) -> Result<Option<Reservation>, Refusal> {
        let is_its = |held: &Reservation| held.is_for(story, attempt);
        let reservations = &mut self.account.reservations;
        if let Some(position) = reservations.iter().position(is_its) {
            return Ok(Some(reservations.remove(position)));
        }
        let before = self.account.waiting.len();
        self.account
            .waiting
            .retain(|wanted| !(wanted.story == *story && wanted.attempt == attempt));
        if before == self.account.waiting.len() {
            return ignored("nothing is reserved for this attempt");
        }
        Ok(None)
    }

    fn settle(
        &mut self,
        story: &StoryId,
        attempt: Attempt,
        used: Option<Usd>,
    ) -> Result<(), Refusal> {
        let Some(held) = self.take_back(story, attempt)? else {
            return Ok(());
        };
        let used = used.unwrap_or(held.amount());
        if used > Usd::ZERO {
            self.account.spent_today += used;
            *self.account.stories.entry(story.clone()).or_default() += used;
        }
        // An agent that ran into trouble paused its provider again before it settled.
        let proven = |pause: &Pause| pause.probe == Probe::UnderWay;
        if self.account.pauses.get(held.provider()).is_some_and(proven) {
            self.account.pauses.remove(held.provider());
        }
        Ok(())
    }

    fn pause(&mut self, provider: &Provider, because: &str, until: Option<Timestamp>) {
        let probe = if until.is_some() {
            Probe::Needless
        } else {
            Probe::Planned
        };
        let known = self.account.pauses.get(provider).map(|pause| pause.until);
        let until = until.unwrap_or(self.now + PROBE_AFTER).max(self.now);
        let until = known.map_or(until, |known| known.max(until));
        let pause = Pause {
            because: because.to_owned(),
            until,
            probe,
        };
        self.account.pauses.insert(provider.clone(), pause);
        self.arm_pause_over(provider, until);
    }

    fn arm_pause_over(&mut self, provider: &Provider, until: Timestamp) {
        let provider = provider.clone();
        // A name for each: a second provider's pause must not replace the wake-up of the first.
        self.arm(
            format!("pause-over:{}", provider.0),
            until,
            AccountEvent::PauseOver { provider },
        );
    }

    fn pause_over(&mut self, provider: &Provider) -> Result<(), Refusal> {
        let Some(pause) = self.account.pauses.get_mut(provider) else {
            return ignored("the provider is not paused");
        };
        // A probe that is further away than it can ever be was planned by a clock that was ahead.
        let misplaced =
            pause.probe == Probe::Planned && pause.until.duration_since(self.now) > PROBE_AFTER;
        if pause.until > self.now && !misplaced {
            let until = pause.until;
            self.arm_pause_over(provider, until);
            return Ok(());
        }
        match pause.probe {
            Probe::Needless => drop(self.account.pauses.remove(provider)),
            Probe::Planned => pause.probe = Probe::UnderWay,
            Probe::UnderWay => return ignored("an agent tries already"),
        }
        Ok(())
    }

    fn grant_what_waits(&mut self) {
        let mut queue = std::mem::take(&mut self.account.waiting);
        queue.sort_by_key(|wanted| -i64::from(wanted.priority));
        for wanted in queue {
            let attempt = wanted.attempt;
            match self.account.answer(&wanted) {
                Answer::Grant(amount) => {
                    let reservation = Reservation::grant(&wanted, amount);
                    self.account.reservations.push(reservation.clone());
                    let reserved = StoryEvent::Reserved {
                        attempt,
                        reservation,
                    };
                    self.tell(&wanted.story, reserved);
                }
                Answer::Refuse(reason) => {
                    self.tell(&wanted.story, StoryEvent::MoneyRefused { attempt, reason });
                }
                Answer::Wait(_) => self.account.waiting.push(wanted),
            }
        }
    }

    /// Tells those that wait why, whenever the reason is another one than before, and again each
    /// day.
    fn explain_what_waits(&mut self, before: &Account) {
        for wanted in self.account.waiting.clone() {
            let Answer::Wait(delay) = self.account.answer(&wanted) else {
                continue;
            };
            let waited = before
                .waiting
                .iter()
                .any(|other| other.story == wanted.story && other.attempt == wanted.attempt);
            let same_day = before.day == self.account.day;
            if waited && same_day && before.delay(&wanted).as_ref() == Some(&delay) {
                continue;
            }
            let delayed = StoryEvent::MoneyDelayed {
                attempt: wanted.attempt,
                because: delay.because,
                until: delay.until,
            };
            self.tell(&wanted.story, delayed);
            if self.account.waits_for_tomorrow(&wanted) {
                self.arm(
                    "day-turned".to_owned(),
                    self.midnight(),
                    AccountEvent::DayTurned,
                );
            }
        }
    }

    /// When the next day begins.
    fn midnight(&self) -> Timestamp {
        let tomorrow = self.account.day.and_then(|day| day.tomorrow().ok());
        let midnight = tomorrow.and_then(|day| day.to_zoned_datetime(TimeZone::UTC).ok());
        midnight.map_or(Timestamp::MAX, |midnight| midnight.timestamp())
    }

    fn arm(&mut self, name: String, at: Timestamp, event: AccountEvent) {
        let event = Event::Account { event };
        self.effects.push(Effect::Timer(Timer { name, at, event }));
    }

    fn tell(&mut self, story: &StoryId, event: StoryEvent) {
        self.effects.push(Effect::Tell(Event::story(story, event)));
    }
}

impl Account {
    fn delay(&self, wanted: &Wanted) -> Option<Delay> {
        match self.answer(wanted) {
            Answer::Wait(delay) => Some(delay),
            Answer::Grant(_) | Answer::Refuse(_) => None,
        }
    }

    fn answer(&self, wanted: &Wanted) -> Answer {
        let in_the_way = self.paused(&wanted.provider);
        let in_the_way = in_the_way
            .or_else(|| self.full())
            .or_else(|| self.crowded());
        if let Some(delay) = in_the_way {
            return Answer::Wait(delay);
        }
        match wanted.budget {
            Budget::Unmetered => Answer::Grant(Usd::ZERO),
            Budget::UpTo(most) => self.amount(wanted, Some(most)),
            Budget::Rest => self.amount(wanted, None),
        }
    }

    /// Why the provider cannot be used now.
    fn paused(&self, provider: &Provider) -> Option<Delay> {
        let pause = self.pauses.get(provider)?;
        let because = pause.because.clone();
        match pause.probe {
            Probe::Needless | Probe::Planned => Some(Delay {
                because,
                until: Some(pause.until),
            }),
            Probe::UnderWay => {
                let mut running = self.reservations.iter();
                running.find(|held| held.provider() == provider)?;
                Some(Delay {
                    because: format!("{because} (another agent tries whether that has changed)"),
                    until: None,
                })
            }
        }
    }

    /// Why the server has no room for what an agent would write.
    fn full(&self) -> Option<Delay> {
        let because = self.disk_low.clone()?;
        Some(Delay {
            because,
            until: None,
        })
    }

    /// Why no further agent may run on this server now.
    fn crowded(&self) -> Option<Delay> {
        let places = self.limits.agents;
        (self.reservations.len() >= places as usize).then(|| Delay {
            because: format!("all {places} places for agents on this server are taken"),
            until: None,
        })
    }

    /// As much of `most` as the ceilings leave.
    fn amount(&self, wanted: &Wanted, most: Option<Usd>) -> Answer {
        let limits = &self.limits;
        let spent = self.stories.get(&wanted.story).copied().unwrap_or_default();
        if spent >= limits.per_story {
            return Answer::Refuse(format!(
                "{spent} is spent on this story; its ceiling is {}",
                limits.per_story
            ));
        }
        if self.spent_today >= limits.per_day {
            return Answer::Refuse(format!(
                "{} is spent today; the ceiling for a day is {}",
                self.spent_today, limits.per_day
            ));
        }
        let story_rest = self.rest_of(&wanted.story);
        if story_rest == Usd::ZERO {
            return Answer::Wait(Delay {
                because: "all that the ceiling of this story leaves is held for another attempt \
                          of it"
                    .to_owned(),
                until: None,
            });
        }
        let amount = story_rest.min(most.unwrap_or(story_rest));
        let free_today = limits
            .per_day
            .saturating_sub(self.spent_today + self.reserved());
        if amount <= free_today {
            return Answer::Grant(amount);
        }
        if self.reserved() == Usd::ZERO {
            return Answer::Grant(free_today);
        }
        Answer::Wait(Delay {
            because: "the rest of today's money is held for agents that run".to_owned(),
            until: None,
        })
    }

    /// What the ceiling of a story leaves, beside what it spent and what is held for it.
    fn rest_of(&self, story: &StoryId) -> Usd {
        let spent = self.stories.get(story).copied().unwrap_or_default();
        let held = self.reserved_for(|held| held.story() == story);
        self.limits.per_story.saturating_sub(spent + held)
    }

    fn reserved_for(&self, counts: impl Fn(&Reservation) -> bool) -> Usd {
        let held = self.reservations.iter().filter(|held| counts(held));
        held.map(Reservation::amount).sum()
    }

    /// Nothing but the day's money stands in its way.
    fn waits_for_tomorrow(&self, wanted: &Wanted) -> bool {
        self.paused(&wanted.provider).is_none()
            && self.full().is_none()
            && self.crowded().is_none()
            && self.rest_of(&wanted.story) > Usd::ZERO
    }
}
