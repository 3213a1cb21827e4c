//! What can't be read anywhere and is found out by doing it.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use crate::limits;
use crate::ring::{ListenOptions, RingOptions, SocketRing, bind_listeners, probe};

/// The outcome of each trial; the messages are those of the errors.
#[derive(Debug)]
pub struct Probed {
    /// As `uname -r` prints it.
    pub release: String,
    /// Whether the socket plane's ring can be set up, and has all its operations.
    pub ring: Result<(), String>,
    /// Whether two sockets can listen on one port, and a socket can move into a ring.
    pub hand_over: Result<(), String>,
    /// Room at the data directory, or at its nearest parent that exists.
    pub disk_available_bytes: Option<u64>,
}

impl Probed {
    /// Tries everything, on loopback and in memory; leaves nothing behind.
    pub fn try_out(data_dir: &Path) -> Self {
        Self {
            release: rustix::system::uname().release().to_string_lossy().into_owned(),
            ring: probe::probe().map_err(|error| error.to_string()),
            hand_over: hand_over().map_err(|error| error.to_string()),
            disk_available_bytes: disk_available_bytes(data_dir),
        }
    }
}

/// Two listeners on one port, and one of them moved into a small ring, as the server does it with every socket.
fn hand_over() -> io::Result<()> {
    let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let options = ListenOptions {
        backlog: 1,
        send_buffer_bytes: limits::SEND_BUFFER_BYTES,
        unsent_bytes: limits::UNSENT_BYTES_MAX,
        unacknowledged_max: Duration::from_secs(1),
    };
    let (listeners, _) = bind_listeners(any_port, 2, options)?;
    let small = RingOptions {
        slots: 1,
        submission_entries: 8,
        completion_entries: 16,
        receive_buffers: 1,
        receive_buffer_bytes: 4096,
    };
    let mut ring = SocketRing::new(small)?;
    let socket: OwnedFd = listeners.into_iter().next().expect("two were asked for");
    ring.adopt(0, socket)
}

fn disk_available_bytes(data_dir: &Path) -> Option<u64> {
    let absolute = std::path::absolute(data_dir).ok()?;
    let existing = absolute.ancestors().find(|path| path.exists())?;
    let disk = rustix::fs::statvfs(existing).ok()?;
    Some(disk.f_bavail.saturating_mul(disk.f_frsize))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_data_directory_to_come_is_measured_at_its_nearest_parent() {
        let root = tempfile::tempdir().expect("a directory");
        let room = disk_available_bytes(&root.path().join("not/yet/there")).expect("room");
        assert!(room > 0);
        assert!(!root.path().join("not").exists(), "the doctor makes no directories");
    }
}
