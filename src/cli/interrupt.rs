//! Ends a run in an orderly way when the person at the terminal, or whoever started the command,
//! has had enough: the processes of gates are in groups of their own and would not notice.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// The signals that ask a command to end.
pub(super) struct Interrupts {
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
}

impl Interrupts {
    /// From now on they do not end the process by themselves.
    pub(super) fn listen() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// Awaits `work`, and cancels the token when a signal comes meanwhile.
    pub(super) async fn during<T>(
        mut self,
        cancel: &CancellationToken,
        work: impl Future<Output = T>,
    ) -> T {
        tokio::pin!(work);
        loop {
            tokio::select! {
                result = &mut work => return result,
                _ = self.interrupt.recv() => cancel.cancel(),
                _ = self.terminate.recv() => cancel.cancel(),
                _ = self.hang_up.recv() => cancel.cancel(),
            }
        }
    }
}
