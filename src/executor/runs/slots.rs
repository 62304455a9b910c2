//! Which clean checkout each set of gates uses. Checkouts are few, stable and used again, since
//! making new ones is slow and loses every build cache.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::domain::id::{RepoName, RunId};

/// The checkouts in use. Clones share them.
#[derive(Debug, Clone, Default)]
pub(super) struct Slots {
    taken: Arc<Mutex<HashMap<RepoName, BTreeMap<usize, RunId>>>>,
}

impl Slots {
    /// The first checkout of the run's repository that is free: `gates-0`, `gates-1`, …
    pub(super) fn take(&self, run: &RunId) -> String {
        let mut taken = self.lock();
        let taken = taken.entry(run.repo().clone()).or_default();
        let place = (0..=taken.len())
            .find(|place| !taken.contains_key(place))
            .unwrap_or_default();
        taken.insert(place, run.clone());
        format!("gates-{place}")
    }

    /// Marks the checkout of a run that goes on from an earlier server.
    pub(super) fn keep(&self, run: &RunId, directory: &Path) {
        let name = directory
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        if let Some(place) = name
            .strip_prefix("gates-")
            .and_then(|place| place.parse().ok())
        {
            self.lock()
                .entry(run.repo().clone())
                .or_default()
                .insert(place, run.clone());
        }
    }

    pub(super) fn release(&self, run: &RunId) {
        if let Some(taken) = self.lock().get_mut(run.repo()) {
            taken.retain(|_, holder| holder != run);
        }
    }

    /// The map is whole after every statement, so a panic elsewhere cannot have broken it.
    fn lock(&self) -> MutexGuard<'_, HashMap<RepoName, BTreeMap<usize, RunId>>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(number: u64) -> RunId {
        RunId::Merge("octo/app".parse().unwrap(), number)
    }

    #[test]
    fn a_checkout_is_used_by_one_run_at_a_time_and_used_again() {
        let slots = Slots::default();
        slots.keep(&run(1), Path::new("/data/checkouts/gates-0"));
        assert_eq!(slots.take(&run(2)), "gates-1");
        slots.release(&run(1));
        assert_eq!(slots.take(&run(3)), "gates-0");
    }
}
