//! What a shard counts: its plane and its desk, which share a thread. Read by other threads at any time.

use crate::clock::Nanos;
use crate::desk::DeskStats;
use crate::gate::GateRefusal;
use crate::metrics::{Counter, Counters, Gauge, Histogram, Label, labels};
use crate::protocol::Protocol;

/// Counters of one shard, written by it alone.
#[derive(Debug, Default)]
pub struct ShardStats {
    /// Sockets that came in and that are gone, ever. One that is only told why it is refused counts as the watchlist protocol's.
    entered: Counters<Protocol>,
    left: Counters<Protocol>,
    /// Deliveries queued to sockets: one for each event and socket.
    pub deliveries: Counter,
    pub events: Counter,
    /// Sends of whatever a socket has: live events, replayed ones, answers.
    pub sends: Counter,
    pub sent_bytes: Counter,
    /// Sessions that took bytes too slowly for the log, ever. Each end has a counter of its own: a difference of two that are read one
    /// after the other could fall.
    pub slow_consumers: Counters<SlowEnd>,
    /// Sessions that get events from the journal now.
    pub behind: Gauge,
    /// Sessions that went live after a replay, ever: slow ones, and those that resumed.
    pub caught_up: Counter,
    /// Deliveries from the journal.
    pub replayed: Counter,
    /// Events that were passed over, as a newer one of their key is known.
    pub skipped: Counter,
    /// Reads of the journal for those that are behind.
    pub replay_reads: Counters<ReadFrom>,
    pub heartbeats_lost: Counter,
    /// Sockets that the gate did not let in or let stay.
    pub refused_by_gate: Counters<GateRefusal>,
    /// From the moment when a publish request was read and checked to the moment when all of it was handed to the kernel for every live
    /// socket that is to have it; sockets that take no more bytes are not waited for. A request that no live socket is to have is none.
    pub fanout: Histogram,
    /// How long it took to come round to all sockets that had output.
    pub pass: Histogram,
    pub desk: DeskStats,
}

labels! {
    /// What became of a session that took bytes too slowly, by the policy that says so.
    pub enum SlowEnd {
        /// The journal serves it from then on.
        CatchUp = "catch_up",
        /// The same, with the newest only.
        Latest = "latest",
        /// It was closed, or was being closed and is cut off.
        Disconnect = "disconnect",
    }
}

labels! {
    /// Where events are read again.
    pub enum ReadFrom {
        Memory = "memory",
        Disk = "disk",
    }
}

impl ShardStats {
    pub fn add(counter: &Counter, count: u64) {
        counter.add(count);
    }

    pub fn get(counter: &Counter) -> u64 {
        counter.get()
    }

    pub fn enter(&self, protocol: Protocol) {
        self.entered.of(protocol).add(1);
    }

    pub fn leave(&self, protocol: Protocol) {
        self.left.of(protocol).add(1);
    }

    /// Sockets of a protocol that are here now.
    pub fn sockets_of(&self, protocol: Protocol) -> u64 {
        // In this order: whoever comes meanwhile does not leave before they came.
        let left = self.left.of(protocol).get();
        self.entered.of(protocol).get().saturating_sub(left)
    }

    pub fn sockets(&self) -> u64 {
        Protocol::ALL.iter().map(|protocol| self.sockets_of(*protocol)).sum()
    }

    /// Sessions that the log could not keep and the journal served from then on, ever.
    pub fn fell_behind(&self) -> u64 {
        [SlowEnd::CatchUp, SlowEnd::Latest].iter().map(|end| self.slow_consumers.of(*end).get()).sum()
    }

    pub fn slow_consumers_closed(&self) -> u64 {
        self.slow_consumers.of(SlowEnd::Disconnect).get()
    }

    pub fn record_fanout(&self, latency: Nanos) {
        self.fanout.record(latency);
    }
}
