//! `[retention]`: how long what is finished is kept, and how much room there has to be.

use std::time::Duration;

use jiff::SignedDuration;
use serde::Deserialize;

use super::{ConfigError, value_error};

/// GitHub sends a delivery again for three days (docs.github.com, "Redelivering webhooks").
const REDELIVERY_DAYS: u32 = 3;
/// Two centuries: an age that is nobody's meaning, and would leave what a time can be.
const LONGEST_DAYS: u32 = 73_000;

/// Ages and sizes. What is the only copy of somebody's work has no age.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retention {
    /// Folders of runs, with their logs, of stories at rest.
    pub runs: SignedDuration,
    /// All folders of runs together; beyond it the oldest of stories at rest go.
    pub runs_max_bytes: u64,
    /// What deliveries said.
    pub deliveries: SignedDuration,
    /// That a delivery was there at all, by which its repetition is recognised.
    pub delivery_ids: SignedDuration,
    /// Logs of stories that are done or cancelled, of repositories and of the ledger.
    pub events: SignedDuration,
    /// What attempts of stories that are done had not committed.
    pub kept_work: SignedDuration,
    /// Squash commits that were tested.
    pub candidates: SignedDuration,
    /// Worktrees of stories at rest, and clean checkouts that nobody used.
    pub worktrees: SignedDuration,
    /// Copies of the store from before its tables were changed.
    pub old_stores: SignedDuration,
    /// How often the server looks. `None`: only when it is told to.
    pub every: Option<Duration>,
    /// With less than this free on the data folder's disk no agent starts.
    pub min_free_bytes: u64,
    /// The same for the number of files that can still be made.
    pub min_free_files: u64,
}

impl Default for Retention {
    fn default() -> Self {
        let days = |days: i64| SignedDuration::from_hours(24 * days);
        Self {
            runs: days(30),
            runs_max_bytes: megabytes(2_048),
            deliveries: days(7),
            delivery_ids: days(90),
            events: days(365),
            kept_work: days(90),
            candidates: days(14),
            worktrees: days(14),
            old_stores: days(30),
            every: Some(Duration::from_hours(6)),
            min_free_bytes: megabytes(1_024),
            min_free_files: 10_000,
        }
    }
}

fn megabytes(count: u64) -> u64 {
    count.saturating_mul(1024 * 1024)
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawRetention {
    runs_days: Option<u32>,
    runs_max_mb: Option<u64>,
    deliveries_days: Option<u32>,
    delivery_ids_days: Option<u32>,
    events_days: Option<u32>,
    kept_work_days: Option<u32>,
    candidates_days: Option<u32>,
    worktrees_days: Option<u32>,
    old_stores_days: Option<u32>,
    every_hours: Option<u32>,
    min_free_mb: Option<u64>,
    min_free_files: Option<u64>,
}

impl RawRetention {
    pub(super) fn check(self) -> Result<Retention, ConfigError> {
        let default = Retention::default();
        let checked = Retention {
            runs: age("runs_days", self.runs_days, default.runs)?,
            runs_max_bytes: self.runs_max_mb.map_or(default.runs_max_bytes, megabytes),
            deliveries: age("deliveries_days", self.deliveries_days, default.deliveries)?,
            delivery_ids: age(
                "delivery_ids_days",
                self.delivery_ids_days,
                default.delivery_ids,
            )?,
            events: age("events_days", self.events_days, default.events)?,
            kept_work: age("kept_work_days", self.kept_work_days, default.kept_work)?,
            candidates: age("candidates_days", self.candidates_days, default.candidates)?,
            worktrees: age("worktrees_days", self.worktrees_days, default.worktrees)?,
            old_stores: age("old_stores_days", self.old_stores_days, default.old_stores)?,
            every: match self.every_hours {
                None => default.every,
                Some(0) => None,
                Some(hours) => Some(Duration::from_hours(hours.into())),
            },
            min_free_bytes: self.min_free_mb.map_or(default.min_free_bytes, megabytes),
            min_free_files: self.min_free_files.unwrap_or(default.min_free_files),
        };
        checked.hold_to_redelivery()
    }
}

impl Retention {
    fn hold_to_redelivery(self) -> Result<Self, ConfigError> {
        if self.deliveries < SignedDuration::from_hours(24 * i64::from(REDELIVERY_DAYS)) {
            let message = format!(
                "GitHub sends deliveries again for {REDELIVERY_DAYS} days: keep them as long"
            );
            return Err(value_error("retention.deliveries_days", &message));
        }
        if self.delivery_ids < self.deliveries {
            let message = "ids must be kept at least as long as `deliveries_days`: a delivery \
                           without its id would take effect again";
            return Err(value_error("retention.delivery_ids_days", message));
        }
        Ok(self)
    }
}

fn age(
    key: &str,
    days: Option<u32>,
    default: SignedDuration,
) -> Result<SignedDuration, ConfigError> {
    match days {
        None => Ok(default),
        Some(days) if days <= LONGEST_DAYS => Ok(SignedDuration::from_hours(24 * i64::from(days))),
        Some(days) => {
            let message = format!("`{days}` days are more than {LONGEST_DAYS}");
            Err(value_error(&format!("retention.{key}"), &message))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str) -> Result<Retention, ConfigError> {
        let raw: RawRetention = toml::from_str(text).unwrap();
        raw.check()
    }

    #[test]
    fn what_is_wrong_is_named_with_its_reason() {
        let error = |text: &str| check(text).unwrap_err().to_string();
        insta::assert_snapshot!(error("deliveries_days = 2"), @"retention.deliveries_days is not valid: GitHub sends deliveries again for 3 days: keep them as long");
        insta::assert_snapshot!(error("deliveries_days = 100"), @"retention.delivery_ids_days is not valid: ids must be kept at least as long as `deliveries_days`: a delivery without its id would take effect again");
        insta::assert_snapshot!(error("runs_days = 4000000000"), @"retention.runs_days is not valid: `4000000000` days are more than 73000");
    }

    #[test]
    fn what_is_left_out_is_the_default_and_zero_hours_mean_never() {
        assert_eq!(check("").unwrap(), Retention::default());
        assert_eq!(check("every_hours = 0").unwrap().every, None);
        assert_eq!(check("runs_max_mb = 1").unwrap().runs_max_bytes, 1 << 20);
    }
}
