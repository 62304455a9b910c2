//! The ledger: what is spent, what is held in reserve, and which providers pause.
//!
//! There is no way round it: an agent's start needs a [`Reservation`], and only the account's own
//! transition can make one.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use super::id::{Attempt, Provider, StoryId};
use super::money::Usd;

/// The ledger of one server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    pub limits: Limits,
    /// The UTC day that `spent_today` counts.
    pub day: Option<Date>,
    pub spent_today: Usd,
    pub stories: BTreeMap<StoryId, Usd>,
    pub reservations: Vec<Reservation>,
    /// Requests that wait for money, for a pause to end or for a free place, oldest first.
    pub waiting: Vec<Wanted>,
    pub pauses: BTreeMap<Provider, Pause>,
    /// Why the server's disk has no room for another agent, while that is so.
    #[serde(default)]
    pub disk_low: Option<String>,
}

impl Account {
    pub fn new() -> Self {
        Self {
            limits: Limits::default(),
            day: None,
            spent_today: Usd::ZERO,
            stories: BTreeMap::new(),
            reservations: Vec::new(),
            waiting: Vec::new(),
            pauses: BTreeMap::new(),
            disk_low: None,
        }
    }

    pub fn reserved(&self) -> Usd {
        self.reservations.iter().map(|held| held.amount).sum()
    }
}

impl Default for Account {
    fn default() -> Self {
        Self::new()
    }
}

/// Ceilings from the server's configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    pub per_story: Usd,
    pub per_day: Usd,
    /// Agents that may run at the same time on this server.
    pub agents: u32,
}

/// 5 USD a story and 50 USD a day, as the specification sets them; four agents at once.
impl Default for Limits {
    fn default() -> Self {
        Self {
            per_story: Usd::from_cents(500),
            per_day: Usd::from_cents(5_000),
            agents: 4,
        }
    }
}

/// Money and a place held for one attempt. Granted by the account alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reservation {
    story: StoryId,
    attempt: Attempt,
    provider: Provider,
    amount: Usd,
}

impl Reservation {
    /// Only the account's transition may grant one.
    pub(super) fn grant(wanted: &Wanted, amount: Usd) -> Self {
        Self {
            story: wanted.story.clone(),
            attempt: wanted.attempt,
            provider: wanted.provider.clone(),
            amount,
        }
    }

    pub fn is_for(&self, story: &StoryId, attempt: Attempt) -> bool {
        self.story == *story && self.attempt == attempt
    }

    /// What the attempt may cost at most; zero for agents that are not metered.
    pub fn amount(&self) -> Usd {
        self.amount
    }

    pub fn provider(&self) -> &Provider {
        &self.provider
    }

    pub fn story(&self) -> &StoryId {
        &self.story
    }
}

/// A request for a reservation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wanted {
    pub story: StoryId,
    pub attempt: Attempt,
    pub provider: Provider,
    pub budget: Budget,
    pub priority: i32,
}

/// How much an attempt asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "budget", content = "amount")]
pub enum Budget {
    /// It cannot be metered and has no budget of its own.
    Unmetered,
    /// At most this.
    UpTo(Usd),
    /// Whatever the story may still spend.
    Rest,
}

/// A provider that refuses work for now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    pub because: String,
    pub until: Timestamp,
    #[serde(default)]
    pub probe: Probe,
}

/// How a pause ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Probe {
    /// The provider named the time: then everybody goes on.
    #[default]
    Needless,
    /// Nobody knows: at the pause's end one agent tries.
    Planned,
    /// One agent may try; the pause is over when an attempt ends without trouble.
    UnderWay,
}
