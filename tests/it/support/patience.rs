//! Waiting for a condition, never for a time.

use std::time::Duration;

use tokio::time::Instant;

/// How long a test waits for what must come before it calls it missing.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);
/// How often it looks where nothing would wake it.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// Looks until `condition` holds.
///
/// # Panics
/// After [`PATIENCE`], with `what`.
pub(crate) async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "it did not come about: {what}");
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}
