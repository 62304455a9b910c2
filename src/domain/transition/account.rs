//! The ledger: reserve before a start, settle after, refuse with a reason.
//!
//! A request is refused when what is already *spent* leaves nothing; it waits when only
//! reservations, a pause or the limit on running agents stand in its way, since all three pass.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::{Refusal, Step, Subject, ignored};
use crate::domain::account::{Account, Budget, Pause, Reservation, Wanted};
use crate::domain::effect::{Effect, Timer};
use crate::domain::event::{AccountEvent, Event, StoryEvent};
use crate::domain::id::{Attempt, Provider, StoryId};
use crate::domain::money::Usd;

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
    match event {
        AccountEvent::Configured { limits } => ledger.account.limits = limits.clone(),
        AccountEvent::Wanted { wanted } => ledger.want(wanted)?,
        AccountEvent::Released { story, attempt } => ledger.settle(story, *attempt, Usd::ZERO)?,
        AccountEvent::Settled {
            story,
            attempt,
            used,
        } => {
            let held = ledger.held(story, *attempt);
            ledger.settle(story, *attempt, used.unwrap_or(held))?;
        }
        AccountEvent::Paused {
            provider,
            because,
            until,
        } => ledger.pause(provider, because, *until),
        AccountEvent::PauseOver { provider } => {
            if ledger.account.pauses.remove(provider).is_none() {
                return ignored("the provider is not paused");
            }
        }
    }
    ledger.grant_what_waits();
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
    Wait {
        because: String,
        until: Option<Timestamp>,
    },
    Refuse {
        reason: String,
    },
}

impl Ledger {
    /// Days are counted in UTC.
    fn turn_day(&mut self) {
        let today = self.now.to_zoned_datetime(TimeZone::UTC).date();
        if self.account.day != Some(today) {
            self.account.day = Some(today);
            self.account.spent_today = Usd::ZERO;
        }
    }

    fn want(&mut self, wanted: &Wanted) -> Result<(), Refusal> {
        let same = |story: &StoryId, attempt| *story == wanted.story && attempt == wanted.attempt;
        if self
            .account
            .reservations
            .iter()
            .any(|held| held.is_for(&wanted.story, wanted.attempt))
            || self
                .account
                .waiting
                .iter()
                .any(|other| same(&other.story, other.attempt))
        {
            return ignored("this attempt has asked already");
        }
        self.account.waiting.push(wanted.clone());
        if let Answer::Wait { because, until } = self.answer(wanted) {
            let attempt = wanted.attempt;
            self.tell(
                &wanted.story,
                StoryEvent::MoneyDelayed {
                    attempt,
                    because,
                    until,
                },
            );
        }
        Ok(())
    }

    fn held(&self, story: &StoryId, attempt: Attempt) -> Usd {
        let held = self
            .account
            .reservations
            .iter()
            .find(|held| held.is_for(story, attempt));
        held.map_or(Usd::ZERO, Reservation::amount)
    }

    fn settle(&mut self, story: &StoryId, attempt: Attempt, used: Usd) -> Result<(), Refusal> {
        let waiting = self.account.waiting.len();
        self.account
            .waiting
            .retain(|wanted| !(wanted.story == *story && wanted.attempt == attempt));
        let reserved = self.account.reservations.len();
        self.account
            .reservations
            .retain(|held| !held.is_for(story, attempt));
        if waiting == self.account.waiting.len() && reserved == self.account.reservations.len() {
            return ignored("nothing is reserved for this attempt");
        }
        if used > Usd::ZERO {
            self.account.spent_today += used;
            *self.account.stories.entry(story.clone()).or_default() += used;
        }
        Ok(())
    }

    fn pause(&mut self, provider: &Provider, because: &str, until: Option<Timestamp>) {
        let until = until.unwrap_or(self.now + PROBE_AFTER).max(self.now);
        self.account.pauses.insert(
            provider.clone(),
            Pause {
                because: because.to_owned(),
                until,
            },
        );
        self.effects.push(Effect::Timer(Timer {
            name: "pause-over",
            at: until,
            event: Event::Account {
                event: AccountEvent::PauseOver {
                    provider: provider.clone(),
                },
            },
        }));
    }

    fn grant_what_waits(&mut self) {
        let mut queue = std::mem::take(&mut self.account.waiting);
        queue.sort_by_key(|wanted| -i64::from(wanted.priority));
        for wanted in queue {
            let attempt = wanted.attempt;
            match self.answer(&wanted) {
                Answer::Grant(amount) => {
                    let reservation = Reservation::grant(&wanted, amount);
                    self.account.reservations.push(reservation.clone());
                    self.tell(
                        &wanted.story,
                        StoryEvent::Reserved {
                            attempt,
                            reservation,
                        },
                    );
                }
                Answer::Refuse { reason } => {
                    self.tell(&wanted.story, StoryEvent::MoneyRefused { attempt, reason });
                }
                Answer::Wait { .. } => self.account.waiting.push(wanted),
            }
        }
    }

    fn answer(&self, wanted: &Wanted) -> Answer {
        let Account {
            limits,
            reservations,
            ..
        } = &self.account;
        if let Some(pause) = self.account.pauses.get(&wanted.provider)
            && pause.until > self.now
        {
            return Answer::Wait {
                because: pause.because.clone(),
                until: Some(pause.until),
            };
        }
        if reservations.len() >= limits.agents as usize {
            let because = format!(
                "all {} places for agents on this server are taken",
                limits.agents
            );
            return Answer::Wait {
                because,
                until: None,
            };
        }
        match wanted.budget {
            Budget::Unmetered => Answer::Grant(Usd::ZERO),
            Budget::UpTo(most) => self.amount(wanted, Some(most)),
            Budget::Rest => self.amount(wanted, None),
        }
    }

    /// As much of `most` as the ceilings leave.
    fn amount(&self, wanted: &Wanted, most: Option<Usd>) -> Answer {
        let Account {
            limits,
            stories,
            spent_today,
            ..
        } = &self.account;
        let spent = stories.get(&wanted.story).copied().unwrap_or_default();
        let story_rest = limits.per_story.saturating_sub(spent);
        let day_rest = limits.per_day.saturating_sub(*spent_today);
        if story_rest == Usd::ZERO {
            let reason = format!(
                "{spent} is spent on this story; its ceiling is {}",
                limits.per_story
            );
            return Answer::Refuse { reason };
        }
        if day_rest == Usd::ZERO {
            let reason = format!(
                "{spent_today} is spent today; the ceiling for a day is {}",
                limits.per_day
            );
            return Answer::Refuse { reason };
        }
        let free_today = day_rest.saturating_sub(self.account.reserved());
        let amount = story_rest.min(most.unwrap_or(story_rest));
        if free_today < amount {
            let because = format!(
                "{} of today's ceiling is held for agents that run",
                self.account.reserved()
            );
            return if self.account.reservations.is_empty() {
                Answer::Grant(free_today)
            } else {
                Answer::Wait {
                    because,
                    until: None,
                }
            };
        }
        Answer::Grant(amount)
    }

    fn tell(&mut self, story: &StoryId, event: StoryEvent) {
        self.effects.push(Effect::Tell(Event::story(story, event)));
    }
}
