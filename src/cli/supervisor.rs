//! What the service manager is told of the server (sd_notify(3)): that it serves, that it reloads, that it stops. Started by
//! anything else, nobody is told.

use sd_notify::NotifyState;

/// The server accepts connections.
pub fn serves() {
    tell(&[NotifyState::Ready]);
}

/// The server was told to stop, and may take as long as the unit's TimeoutStopSec.
pub fn stops() {
    tell(&[NotifyState::Stopping]);
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!("the service manager can't be told ({error}): it may believe that the server hangs");
    }
}
