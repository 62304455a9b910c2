//! What can happen to the ledger.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::domain::account::{Limits, Wanted};
use crate::domain::id::{Attempt, Provider, StoryId};
use crate::domain::money::Usd;

/// What can happen to the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, strum::IntoStaticStr)]
#[serde(rename_all = "snake_case", tag = "event")]
#[strum(serialize_all = "snake_case")]
pub enum AccountEvent {
    Configured {
        limits: Limits,
    },
    Wanted {
        wanted: Wanted,
    },
    /// The attempt will not start, or did not: nothing was spent.
    Released {
        story: StoryId,
        attempt: Attempt,
    },
    /// The attempt ended. `None`: nobody knows what it cost, so the reservation counts in full.
    Settled {
        story: StoryId,
        attempt: Attempt,
        used: Option<Usd>,
    },
    /// The provider refuses work. Without `until` it is tried again after a while.
    Paused {
        provider: Provider,
        because: String,
        until: Option<Timestamp>,
    },
    /// A timer. Early and repeated ones change nothing.
    PauseOver {
        provider: Provider,
    },
    /// A person says that the provider works again, whatever the pause says.
    Mended {
        provider: Provider,
    },
    /// A timer: a new day has a new ceiling.
    DayTurned,
    /// The server's disk is nearly full: what runs goes on, and no agent starts.
    DiskLow {
        because: String,
    },
    /// There is room again.
    DiskFine,
    /// A person changed the order in which a story is served.
    Prioritised {
        story: StoryId,
        priority: i32,
    },
}
