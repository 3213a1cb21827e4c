//! What memory a side's sockets took, at the server and in the kernel.

use serde::{Deserialize, Serialize};

use super::super::side::Footprint;
use super::Closed;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MemoryReport {
    pub server_rss_before_bytes: Option<u64>,
    pub server_rss_connected_bytes: Option<u64>,
    /// After the last event, with all sockets still there.
    pub server_rss_after_bytes: Option<u64>,
    /// The most that the server ever had.
    #[serde(default)]
    pub server_rss_peak_bytes: Option<u64>,
    pub server_anonymous_connected_bytes: Option<u64>,
    /// What the server's resident memory grew by while the sockets connected, per socket.
    pub server_bytes_per_socket: Option<f64>,
    pub tcp_sockets_connected: Option<u64>,
    pub tcp_buffers_connected_bytes: Option<u64>,
    pub tcp_buffers_after_bytes: Option<u64>,
    /// Growth of the kernel's slab caches per socket, both ends of it together.
    pub slab_bytes_per_socket: Option<f64>,
}

impl MemoryReport {
    /// The kernel's figures count the sockets of all sides, so only one that is alone has them.
    pub(super) fn new(sockets: u32, side: &Closed, alone: bool) -> Self {
        let rss = |at: &Footprint| at.server.map(|memory| memory.rss_bytes);
        let kernel = |at: &Footprint| at.tcp.filter(|_| alone);
        let grown =
            |before: Option<u64>, after: Option<u64>| Some((after? as f64 - before? as f64) / f64::from(sockets));
        Self {
            server_rss_before_bytes: rss(&side.before),
            server_rss_connected_bytes: rss(&side.connected),
            server_rss_after_bytes: rss(&side.after),
            server_rss_peak_bytes: side.after.server.map(|memory| memory.peak_bytes),
            server_anonymous_connected_bytes: side.connected.server.map(|memory| memory.anonymous_bytes),
            server_bytes_per_socket: grown(rss(&side.before), rss(&side.connected)),
            tcp_sockets_connected: kernel(&side.connected).map(|tcp| tcp.sockets),
            tcp_buffers_connected_bytes: kernel(&side.connected).map(|tcp| tcp.buffer_bytes),
            tcp_buffers_after_bytes: kernel(&side.after).map(|tcp| tcp.buffer_bytes),
            slab_bytes_per_socket: grown(side.before.slab_bytes, side.connected.slab_bytes).filter(|_| alone),
        }
    }
}
