//! How many requests one piece of work makes of a forge. The caller opens a scope, and whatever
//! talks to the forge inside counts; so no adapter has to be told for whom it works.
//!
//! Not for: keeping the numbers (`store`), and limits (`github`'s own manners).

use std::cell::Cell;

tokio::task_local! {
    static CALLS: Cell<u64>;
}

/// Does some work and says how many requests it made. What it spawns counts nothing.
pub async fn counted<T>(work: impl Future<Output = T>) -> (T, u64) {
    let counting = async {
        let result = work.await;
        (result, so_far())
    };
    CALLS.scope(Cell::new(0), counting).await
}

/// The requests of the scope around the caller; none where nobody counts.
pub fn so_far() -> u64 {
    CALLS.try_with(Cell::get).unwrap_or_default()
}

/// One request more.
pub(super) fn count() {
    let counted = CALLS.try_with(|calls| calls.set(calls.get() + 1));
    // Where nobody asked for the number there is nothing to do.
    counted.unwrap_or_default();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_scope_counts_its_own_requests_and_nobody_elses() {
        count();
        let work = async {
            count();
            let ((), inner) = counted(async { count() }).await;
            count();
            (inner, so_far())
        };
        assert_eq!(counted(work).await, ((1, 2), 2));
        assert_eq!(so_far(), 0);
    }
}
