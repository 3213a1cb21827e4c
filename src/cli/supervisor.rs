//! What the service manager is told of the server (sd_notify(3)): that it serves, and that it stops and how long that may take.
//! Started by anything else, nobody is told.

use sd_notify::NotifyState;

use crate::limits::STOP_PATIENCE_MS;

/// The server accepts connections.
pub fn serves() {
    tell(&[NotifyState::Ready]);
}

/// The server was told to stop, and closes its sessions over so many seconds: however long that was configured to be, it is not to
/// be killed meanwhile. Where the unit's TimeoutStopSec is longer, that holds.
pub fn stops(drain_seconds: u32) {
    let micros = (u64::from(drain_seconds) * 1_000 + STOP_PATIENCE_MS) * 1_000;
    let micros = u32::try_from(micros).expect("the longest drain is bounded by that");
    tell(&[NotifyState::Stopping, NotifyState::ExtendTimeoutUsec(micros)]);
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!("the service manager can't be told ({error}): it may believe that the server hangs");
    }
}
