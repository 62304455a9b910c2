//! Queues in which one job is under way at a time.

use std::collections::{HashMap, VecDeque};

use crate::domain::event::SubjectId;

/// Kinds of work that do not wait for each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Lane {
    Admissions,
    Repository,
    /// They may wait long for a forge that is away.
    Looks,
    Reports,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct LaneKey {
    pub(super) subject: SubjectId,
    pub(super) lane: Lane,
}

/// A lane is here while a job of it is under way, with what waits behind it.
#[derive(Debug)]
pub(super) struct Lanes<J> {
    waiting: HashMap<LaneKey, VecDeque<J>>,
}

impl<J> Default for Lanes<J> {
    fn default() -> Self {
        Self {
            waiting: HashMap::new(),
        }
    }
}

impl<J> Lanes<J> {
    /// Gives the job back when it can begin at once.
    pub(super) fn push(&mut self, key: &LaneKey, job: J) -> Option<J> {
        if let Some(waiting) = self.waiting.get_mut(key) {
            waiting.push_back(job);
            None
        } else {
            self.waiting.insert(key.clone(), VecDeque::new());
            Some(job)
        }
    }

    /// The next job of a lane whose job has ended; an empty lane is forgotten.
    pub(super) fn next(&mut self, key: &LaneKey) -> Option<J> {
        let next = self.waiting.get_mut(key)?.pop_front();
        if next.is_none() {
            self.waiting.remove(key);
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lane_runs_one_job_at_a_time_in_order_and_others_do_not_wait() {
        let key = |lane| LaneKey {
            subject: SubjectId::Account,
            lane,
        };
        let mut lanes = Lanes::default();
        assert_eq!(lanes.push(&key(Lane::Reports), 1), Some(1));
        assert_eq!(lanes.push(&key(Lane::Reports), 2), None);
        assert_eq!(lanes.push(&key(Lane::Repository), 3), Some(3));
        assert_eq!(lanes.next(&key(Lane::Reports)), Some(2));
        assert_eq!(lanes.next(&key(Lane::Reports)), None);
        assert_eq!(lanes.push(&key(Lane::Reports), 4), Some(4));
    }
}
