//! What the server takes of the machine's memory at full load, and which bound it meets first.

use std::fmt;

use indicatif::{BinaryBytes, HumanCount};

use super::Machine;

// limits:

/// One shard's log: the frames that its sockets have yet to be sent.
pub const SHARD_LOG_BYTES: u64 = 4 << 20;

/// Receive buffers that all sockets of a shard draw from.
pub const RECEIVE_BUFFERS_PER_SHARD: u64 = 256;

/// A client's messages are short; a page holds any of them.
pub const RECEIVE_BUFFER_BYTES: u64 = 4096;

/// Submission and completion queues of a shard's ring, the message headers beside them, and glommio's own rings.
pub const RING_BYTES_PER_SHARD: u64 = 1 << 20;

/// One entry of the ring's table of direct descriptors: a pointer.
pub const RING_BYTES_PER_SLOT: u64 = 8;

/// The target for a connected, idle socket in user space (design: 0.6 KB measured, 0.4 KB wanted).
pub const USER_BYTES_PER_SOCKET: u64 = 400;

/// What the kernel keeps for one end of an idle TCP connection (measured): socket, file, inode, hash entries.
pub const KERNEL_BYTES_PER_SOCKET: u64 = 3_500;

/// While an event is on its way the kernel charges `tcp_mem` a page a socket: it counts in whole pages.
pub const QUEUED_BYTES_PER_SOCKET: u64 = 4_096;

/// The newest part of the journal, which stays in memory for sessions that resume.
pub const JOURNAL_WINDOW_BYTES: u64 = 64 << 20;

/// Memory at full load: every slot of every shard taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryPlan {
    /// Logs, buffers and rings of all shards, and the journal's window: taken before the first socket.
    pub fixed_bytes: u64,
    pub user_bytes: u64,
    pub kernel_bytes: u64,
    pub available_bytes: u64,
    /// What all TCP sockets of the machine may have queued together (`tcp_mem`), where it could be read.
    pub tcp_queue_bytes_max: Option<u64>,
    pub first_limit: FirstLimit,
}

/// The bound that a growing number of sockets meets first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FirstLimit {
    pub resource: Resource,
    /// The last number of sockets that still fits.
    pub sockets: u64,
}

/// What can run out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    /// The shards' tables of direct descriptors, each bounded by RLIMIT_NOFILE.
    Slots,
    /// The memory that was available at start.
    Memory,
    /// `tcp_mem`, with one page queued on each socket.
    TcpMemory,
}

impl MemoryPlan {
    pub(super) fn new(machine: &Machine, shards: usize, slots_per_shard: u32) -> Self {
        let shards = shards as u64;
        let slots = shards * u64::from(slots_per_shard);
        let fixed_bytes = JOURNAL_WINDOW_BYTES + shards * fixed_bytes_per_shard(slots_per_shard);
        let tcp_queue_bytes_max = machine.tcp_queue_bytes_max();

        let left = machine.memory_available_bytes.saturating_sub(fixed_bytes);
        let by_memory = left / (USER_BYTES_PER_SOCKET + KERNEL_BYTES_PER_SOCKET);
        let by_tcp_memory = tcp_queue_bytes_max.map(|bytes| bytes / QUEUED_BYTES_PER_SOCKET);
        let first_limit =
            [(Resource::Slots, Some(slots)), (Resource::Memory, Some(by_memory)), (Resource::TcpMemory, by_tcp_memory)]
                .into_iter()
                .filter_map(|(resource, sockets)| sockets.map(|sockets| FirstLimit { resource, sockets }))
                .min_by_key(|limit| limit.sockets)
                .expect("the slots always count");

        Self {
            fixed_bytes,
            user_bytes: slots * USER_BYTES_PER_SOCKET,
            kernel_bytes: slots * KERNEL_BYTES_PER_SOCKET,
            available_bytes: machine.memory_available_bytes,
            tcp_queue_bytes_max,
            first_limit,
        }
    }

    /// Everything at full load.
    pub fn total_bytes(&self) -> u64 {
        self.fixed_bytes + self.user_bytes + self.kernel_bytes
    }

    pub(super) fn lines(&self) -> Vec<String> {
        let mut lines = vec![format!(
            "memory    {} of {} available at full load: {} fixed, {} for sockets, {} for sockets in the kernel",
            BinaryBytes(self.total_bytes()),
            BinaryBytes(self.available_bytes),
            BinaryBytes(self.fixed_bytes),
            BinaryBytes(self.user_bytes),
            BinaryBytes(self.kernel_bytes),
        )];
        if let Some(bytes) = self.tcp_queue_bytes_max {
            lines
                .push(format!("queues    {} in all TCP sockets of the machine together (tcp_mem)", BinaryBytes(bytes)));
        }
        lines.push(format!("runs out  {}", self.first_limit));
        lines
    }
}

impl fmt::Display for FirstLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sockets = HumanCount(self.sockets);
        match self.resource {
            Resource::Slots => write!(f, "slots first, at {sockets} sockets (more: raise RLIMIT_NOFILE or --shards)"),
            Resource::Memory => write!(f, "memory first, at {sockets} sockets (more: free or add memory)"),
            Resource::TcpMemory => {
                write!(f, "tcp_mem first, at {sockets} sockets with a page queued on each (more: net.ipv4.tcp_mem)")
            }
        }
    }
}

/// What one shard takes before its first socket.
pub fn fixed_bytes_per_shard(slots_per_shard: u32) -> u64 {
    SHARD_LOG_BYTES
        + RECEIVE_BUFFERS_PER_SHARD * RECEIVE_BUFFER_BYTES
        + RING_BYTES_PER_SHARD
        + RING_BYTES_PER_SLOT * u64::from(slots_per_shard)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(available_bytes: u64, tcp_mem_max_pages: Option<u64>) -> Machine {
        Machine {
            cpus: "0-1".parse().expect("a list"),
            descriptors_max: 20_000,
            memory_total_bytes: available_bytes,
            memory_available_bytes: available_bytes,
            tcp_mem_pages: tcp_mem_max_pages.map(|max| [max / 2, max / 3 * 2, max]),
            page_bytes: 4096,
        }
    }

    #[test]
    fn full_load_is_the_sum_of_its_parts() {
        let plan = MemoryPlan::new(&machine(24 << 30, None), 2, 10_000);
        let shard = (4 << 20) + 256 * 4096 + (1 << 20) + 8 * 10_000;
        assert_eq!(plan.fixed_bytes, (64 << 20) + 2 * shard);
        assert_eq!(plan.user_bytes, 20_000 * 400);
        assert_eq!(plan.kernel_bytes, 20_000 * 3_500);
        assert_eq!(plan.total_bytes(), plan.fixed_bytes + 78_000_000);
    }

    #[test]
    fn the_scarcest_resource_is_named() {
        let limit =
            |available, tcp_mem, shards| MemoryPlan::new(&machine(available, tcp_mem), shards, 20_000).first_limit;
        let slots = limit(24 << 30, Some(575_802), 12);
        assert_eq!(slots, FirstLimit { resource: Resource::Slots, sockets: 240_000 });
        let tcp = limit(24 << 30, Some(100_000), 12);
        assert_eq!(tcp, FirstLimit { resource: Resource::TcpMemory, sockets: 100_000 });
        let memory = limit(512 << 20, Some(575_802), 12);
        assert_eq!(memory.resource, Resource::Memory);
        assert!((90_000..110_000).contains(&memory.sockets), "{memory:?}");
        assert_eq!(limit(1 << 20, None, 1), FirstLimit { resource: Resource::Memory, sockets: 0 });
    }
}
