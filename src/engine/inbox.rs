//! The inbox: a delivery is on the disk before anybody is told that it was accepted, and what
//! follows from it comes later.
//!
//! The door stores what arrives, many deliveries at a time when many arrive at once. Who stands at
//! the door goes first: the engine takes deliveries once nobody comes, or a few of them when that
//! does not happen for a while. So an answer never waits for work, and a flood ends in a deep inbox
//! that lets nobody in until the engine is through with it. Not for: what a delivery means.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use super::{Accepted, DeliveryError, EngineError};
use crate::store::{NewDelivery, Store};

/// How many deliveries may stand at the door. More are sent away.
const AT_THE_DOOR: usize = 1_024;
/// How many are stored together at most.
const TOGETHER: usize = 256;
/// Nobody came for this long: the engine may take what there is.
const QUIET: Duration = Duration::from_millis(5);
/// Somebody came all the time for this long: the engine takes a few all the same.
const PATIENCE: Duration = Duration::from_millis(250);
/// How many deliveries the engine takes at once when nobody is at the door, and when somebody is.
const MANY: u32 = 256;
const FEW: u32 = 32;
/// After the store refused.
const AFTER_FAILURE: Duration = Duration::from_secs(1);

pub(super) struct Arrival {
    delivery: NewDelivery,
    reply: oneshot::Sender<Result<Accepted, EngineError>>,
}

/// How full the inbox is, and whom it turned away.
#[derive(Debug)]
pub(super) struct Gauge {
    limit: AtomicU64,
    depth: AtomicU64,
    refused: AtomicU64,
    /// Who was let in and has no answer yet.
    standing: AtomicU64,
}

impl Gauge {
    pub(super) fn limit(&self, limit: u64) {
        self.limit.store(limit, Ordering::Relaxed);
    }

    pub(super) fn is_full(&self) -> bool {
        self.depth.load(Ordering::Relaxed) >= self.limit.load(Ordering::Relaxed)
    }

    /// Somebody stands at the door until this is dropped.
    fn stand(self: &Arc<Self>) -> Standing {
        self.standing.fetch_add(1, Ordering::Relaxed);
        Standing(Arc::clone(self))
    }

    fn somebody_stands(&self) -> bool {
        self.standing.load(Ordering::Relaxed) > 0
    }

    pub(super) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Counted, and said in the log now and then: a flood must not become one of log lines.
    fn refuse(&self) -> DeliveryError {
        let before = self.refused.fetch_add(1, Ordering::Relaxed);
        if before.is_multiple_of(1_000) {
            let (depth, refused) = (self.depth.load(Ordering::Relaxed), before + 1);
            tracing::warn!(
                depth,
                refused,
                "deliveries are sent away: more arrive than can be acted on"
            );
        }
        DeliveryError::Overloaded
    }
}

/// Somebody at the door, for as long as it is there: also when nobody waits for the answer any more.
struct Standing(Arc<Gauge>);

impl Drop for Standing {
    fn drop(&mut self) {
        self.0.standing.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Where deliveries are handed in. Cheap to copy.
#[derive(Clone)]
pub(super) struct Slot {
    arrivals: mpsc::Sender<Arrival>,
    pub(super) gauge: Arc<Gauge>,
}

impl Slot {
    /// Durable when it returns.
    pub(super) async fn hand_in(&self, delivery: NewDelivery) -> Result<Accepted, DeliveryError> {
        if self.gauge.is_full() {
            return Err(self.gauge.refuse());
        }
        let _standing = self.gauge.stand();
        let (reply, answer) = oneshot::channel();
        match self.arrivals.try_send(Arrival { delivery, reply }) {
            Ok(()) => Ok(answer.await.map_err(|_| EngineError::Stopped)??),
            Err(mpsc::error::TrySendError::Full(_)) => Err(self.gauge.refuse()),
            Err(mpsc::error::TrySendError::Closed(_)) => Err(EngineError::Stopped.into()),
        }
    }
}

/// Stores what arrives.
pub(super) struct Door {
    store: Arc<dyn Store>,
    arrivals: mpsc::Receiver<Arrival>,
    gauge: Arc<Gauge>,
    stored: watch::Sender<u64>,
}

impl Door {
    /// Runs until every [`Slot`] is gone.
    pub(super) async fn run(mut self) {
        let mut batch = Vec::with_capacity(TOGETHER);
        while self.arrivals.recv_many(&mut batch, TOGETHER).await > 0 {
            self.store(std::mem::take(&mut batch)).await;
        }
    }

    async fn store(&self, batch: Vec<Arrival>) {
        let (deliveries, replies): (Vec<_>, Vec<_>) = batch
            .into_iter()
            .map(|arrival| (arrival.delivery, arrival.reply))
            .unzip();
        let received = self.store.receive(&deliveries).await.map_err(|error| {
            tracing::error!(%error, "deliveries could not be stored; they are not accepted");
            Arc::new(error)
        });
        let news = match &received {
            Ok(new) => deliveries
                .iter()
                .zip(new)
                .filter(|(delivery, new)| **new && delivery.content.is_some())
                .count(),
            Err(_) => 0,
        };
        if news > 0 {
            // Before the answers leave: who was answered is in the inbox for everybody.
            self.gauge.depth.fetch_add(news as u64, Ordering::Relaxed);
            self.stored.send_modify(|count| *count += 1);
        }
        for (place, reply) in replies.into_iter().enumerate() {
            let answer = match &received {
                Ok(new) if new[place] => Ok(Accepted::New),
                Ok(_) => Ok(Accepted::Duplicate),
                Err(error) => Err(EngineError::Store(Arc::clone(error))),
            };
            // A sender that gave up waiting needs no answer.
            drop(reply.send(answer));
        }
    }
}

/// The engine's side: when to take, and how many.
pub(super) struct Inbox {
    gauge: Arc<Gauge>,
    stored: watch::Receiver<u64>,
    /// Since when something waits; `None`: nothing does.
    since: Option<Instant>,
    /// The store failed; not before this.
    not_before: Option<Instant>,
    /// Nobody came since the last look, and there is more.
    at_leisure: bool,
}

impl Inbox {
    /// The three ends of an inbox.
    pub(super) fn new(store: Arc<dyn Store>) -> (Slot, Door, Self) {
        let (sender, arrivals) = mpsc::channel(AT_THE_DOOR);
        let (stored, seen) = watch::channel(0);
        let gauge = Arc::new(Gauge {
            limit: AtomicU64::new(u64::MAX),
            depth: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            standing: AtomicU64::new(0),
        });
        let slot = Slot {
            arrivals: sender,
            gauge: Arc::clone(&gauge),
        };
        let door = Door {
            store,
            arrivals,
            gauge: Arc::clone(&gauge),
            stored,
        };
        let inbox = Self {
            gauge,
            stored: seen,
            since: None,
            not_before: None,
            at_leisure: false,
        };
        (slot, door, inbox)
    }

    /// Counts what an earlier server left, and has it taken.
    pub(super) async fn recover(&mut self, store: &dyn Store) {
        match store.inbox_depth().await {
            Ok(0) => {}
            Ok(left) => {
                self.gauge.depth.fetch_add(left, Ordering::Relaxed);
                self.since = Some(Instant::now());
            }
            Err(error) => {
                tracing::error!(%error, "it is not known what is in the inbox; it is looked at again");
                self.since = Some(Instant::now());
                self.postpone();
            }
        }
    }

    /// Returns when deliveries should be taken, and how many at most. May be dropped and asked
    /// again at any time.
    pub(super) async fn due(&mut self) -> u32 {
        if let Some(at) = self.not_before {
            tokio::time::sleep_until(at).await;
            self.not_before = None;
        }
        loop {
            let Some(since) = self.since else {
                if self.stored.changed().await.is_err() {
                    // The door is shut for good, and nothing waits.
                    pending::<()>().await;
                }
                self.since = Some(Instant::now());
                continue;
            };
            if since.elapsed() >= PATIENCE {
                return FEW;
            }
            let somebody = self.gauge.somebody_stands();
            if self.at_leisure && !somebody && !self.stored.has_changed().unwrap_or_default() {
                return MANY;
            }
            let latest = since + PATIENCE;
            tokio::select! {
                biased;
                changed = self.stored.changed() => if changed.is_err() { return MANY },
                () = tokio::time::sleep_until(latest.min(Instant::now() + QUIET)) => {
                    // A disk that is slow to store them does not make those at the door nobody.
                    if Instant::now() < latest && !self.gauge.somebody_stands() {
                        return MANY;
                    }
                }
            }
        }
    }

    /// So many of at most `limit` were taken.
    pub(super) fn took(&mut self, count: usize, limit: u32) {
        let taken = |depth: u64| Some(depth.saturating_sub(count as u64));
        // It always gives a new depth, so nothing can be refused.
        let _ = self
            .gauge
            .depth
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, taken);
        let more = count == limit as usize;
        self.since = more.then(Instant::now);
        self.at_leisure = more && limit == MANY;
    }

    /// None could be taken.
    pub(super) fn postpone(&mut self) {
        self.not_before = Some(Instant::now() + AFTER_FAILURE);
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;
    use tokio::task::JoinSet;

    use super::*;
    use crate::engine::tests::opened as delivery;
    use crate::store::{Commit, SqliteStore};

    struct World {
        store: Arc<dyn Store>,
        slot: Slot,
        inbox: Inbox,
        _door: JoinSet<()>,
        _folder: TempDir,
    }

    impl World {
        async fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let store = SqliteStore::open(&folder.path().join("huskies.db")).await;
            let store: Arc<dyn Store> = Arc::new(store.unwrap());
            let (slot, door, inbox) = Inbox::new(Arc::clone(&store));
            let mut doors = JoinSet::new();
            doors.spawn(door.run());
            Self {
                store,
                slot,
                inbox,
                _door: doors,
                _folder: folder,
            }
        }

        async fn take_all(&mut self) -> Vec<String> {
            let limit = self.inbox.due().await;
            let pending = self.store.pending_deliveries(limit).await.unwrap();
            let taken: Vec<_> = pending.into_iter().map(|delivery| delivery.id).collect();
            let commit = Commit {
                taken: taken.clone(),
                ..Commit::default()
            };
            self.store.commit(commit).await.unwrap();
            self.inbox.took(taken.len(), limit);
            taken.iter().map(ToString::to_string).collect()
        }
    }

    #[tokio::test]
    async fn a_full_inbox_sends_away_until_there_is_room_again() {
        let mut world = World::new().await;
        world.slot.gauge.limit(2);
        for id in ["1", "2"] {
            let accepted = world.slot.hand_in(delivery(id)).await;
            assert_eq!(accepted.unwrap(), Accepted::New);
        }
        let refused = world.slot.hand_in(delivery("3")).await;
        assert!(matches!(refused, Err(DeliveryError::Overloaded)));
        assert!(world.slot.gauge.is_full());
        assert_eq!(world.slot.gauge.refused(), 1);
        let third = "3".parse().unwrap();
        assert!(!world.store.has_delivery(&third).await.unwrap());
        assert_eq!(world.take_all().await, ["1", "2"]);
        let accepted = world.slot.hand_in(delivery("3")).await;
        assert_eq!(accepted.unwrap(), Accepted::New);
        assert_eq!(world.take_all().await, ["3"]);
    }

    #[tokio::test]
    async fn of_two_that_are_the_same_at_the_door_one_is_new() {
        let mut world = World::new().await;
        let (one, other) = tokio::join!(
            world.slot.hand_in(delivery("1")),
            world.slot.hand_in(delivery("1"))
        );
        let answers = [one.unwrap(), other.unwrap()];
        assert_eq!(answers, [Accepted::New, Accepted::Duplicate]);
        assert_eq!(world.take_all().await, ["1"]);
    }

    #[tokio::test]
    async fn what_an_earlier_server_left_is_due_and_counts() {
        let mut world = World::new().await;
        world.store.receive(&[delivery("1")]).await.unwrap();
        world.slot.gauge.limit(1);
        world.inbox.recover(world.store.as_ref()).await;
        assert!(world.slot.gauge.is_full());
        assert_eq!(world.take_all().await, ["1"]);
        assert!(!world.slot.gauge.is_full());
    }

    #[tokio::test]
    async fn while_somebody_stands_at_the_door_only_a_few_are_taken_and_only_after_a_while() {
        let mut world = World::new().await;
        world.store.receive(&[delivery("1")]).await.unwrap();
        world.inbox.recover(world.store.as_ref()).await;
        tokio::time::pause();
        let began = Instant::now();
        world.inbox.since = Some(began);
        let standing = world.slot.gauge.stand();
        assert_eq!(world.inbox.due().await, FEW);
        assert!(began.elapsed() >= PATIENCE);
        drop(standing);
        world.inbox.since = Some(Instant::now());
        assert_eq!(world.inbox.due().await, MANY);
    }

    #[tokio::test]
    async fn a_store_that_failed_is_left_alone_for_a_while() {
        let mut world = World::new().await;
        tokio::time::pause();
        let began = Instant::now();
        world.inbox.since = Some(began);
        world.inbox.postpone();
        world.inbox.due().await;
        assert!(began.elapsed() >= AFTER_FAILURE);
    }

    #[tokio::test]
    async fn a_delivery_without_content_fills_nothing() {
        let world = World::new().await;
        world.slot.gauge.limit(1);
        for id in ["1", "2"] {
            let nothing = NewDelivery {
                content: None,
                ..delivery(id)
            };
            let accepted = world.slot.hand_in(nothing).await;
            assert_eq!(accepted.unwrap(), Accepted::New);
        }
        assert!(!world.slot.gauge.is_full());
    }
}
