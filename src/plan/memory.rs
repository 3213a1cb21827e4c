//! What the server takes of the machine's memory at full load, and which bound it meets first.

use std::fmt;

use indicatif::{BinaryBytes, HumanCount};

use super::Machine;
use crate::limits::{
    DELIVERY_BYTES_PER_WORKER, DELIVERY_PAGES_CACHED_BYTES, DELIVERY_WORKERS, JOURNAL_WRITE_BYTES,
    KERNEL_BYTES_PER_SOCKET, PAYLOADS_CACHED_BYTES, QUEUED_BYTES_PER_SOCKET, RECEIVE_BUFFER_BYTES, RECEIVE_BUFFERS,
    REPLAY_PIECE_BYTES_MAX, REPLAY_SESSION_BYTES_MAX, RING_BYTES_PER_SHARD, RING_BYTES_PER_SLOT, SHARD_LOG_BYTES,
    TLS_BYTES_PER_SOCKET, TLS_HELD_BYTES_MAX, USER_BYTES_PER_SOCKET, WHOLE_PIECES_MAX, WINDOW_BYTES_MAX,
    WINDOW_KEPT_BYTES,
};

/// Memory at full load: every slot of every shard taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryPlan {
    /// Logs, buffers and rings of all shards, the journal's window and what it writes at a time, and what webhooks take: all of it
    /// without a socket.
    pub fixed_bytes: u64,
    pub user_bytes: u64,
    pub kernel_bytes: u64,
    /// Of `user_bytes`, what the sockets' TLS takes where they speak it.
    pub tls_bytes: u64,
    /// What comes on top where every session is behind and its socket takes no bytes.
    pub behind_bytes: u64,
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
        let fixed_bytes = FIXED_BYTES + shards * fixed_bytes_per_shard(slots_per_shard);
        let tcp_queue_bytes_max = machine.tcp_queue_bytes_max();

        let left = machine.memory_available_bytes.saturating_sub(fixed_bytes);
        let first_limit = FirstLimit::new(slots, left, USER_BYTES_PER_SOCKET, tcp_queue_bytes_max);
        Self {
            fixed_bytes,
            user_bytes: slots * USER_BYTES_PER_SOCKET,
            kernel_bytes: slots * KERNEL_BYTES_PER_SOCKET,
            tls_bytes: 0,
            behind_bytes: slots * BEHIND_BYTES_PER_SESSION,
            available_bytes: machine.memory_available_bytes,
            tcp_queue_bytes_max,
            first_limit,
        }
    }

    /// The same where each of so many slots holds a socket that speaks TLS.
    pub(super) fn secured(self, slots: u64) -> Self {
        let left = self.available_bytes.saturating_sub(self.fixed_bytes);
        let user_bytes_per_socket = USER_BYTES_PER_SOCKET + TLS_BYTES_PER_SOCKET;
        Self {
            user_bytes: slots * user_bytes_per_socket,
            tls_bytes: slots * TLS_BYTES_PER_SOCKET,
            behind_bytes: slots * (BEHIND_BYTES_PER_SESSION + TLS_HELD_BYTES_MAX as u64),
            first_limit: FirstLimit::new(slots, left, user_bytes_per_socket, self.tcp_queue_bytes_max),
            ..self
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
        if self.tls_bytes > 0 {
            lines.push(format!(
                "tls       {} of that, {} for each idle socket",
                BinaryBytes(self.tls_bytes),
                BinaryBytes(TLS_BYTES_PER_SOCKET),
            ));
        }
        lines.push(format!(
            "slow      up to {} more while every socket is slow: {} for each that is served from the journal",
            BinaryBytes(self.behind_bytes),
            BinaryBytes(BEHIND_BYTES_PER_SESSION + if self.tls_bytes > 0 { TLS_HELD_BYTES_MAX as u64 } else { 0 }),
        ));
        if let Some(bytes) = self.tcp_queue_bytes_max {
            lines
                .push(format!("queues    {} in all TCP sockets of the machine together (tcp_mem)", BinaryBytes(bytes)));
        }
        lines.push(format!("runs out  {}", self.first_limit));
        lines
    }
}

impl FirstLimit {
    /// `left_bytes`: of memory, for sockets.
    fn new(slots: u64, left_bytes: u64, user_bytes_per_socket: u64, tcp_queue_bytes_max: Option<u64>) -> Self {
        let by_memory = left_bytes / (user_bytes_per_socket + KERNEL_BYTES_PER_SOCKET);
        let by_tcp_memory = tcp_queue_bytes_max.map(|bytes| bytes / QUEUED_BYTES_PER_SOCKET);
        [(Resource::Slots, Some(slots)), (Resource::Memory, Some(by_memory)), (Resource::TcpMemory, by_tcp_memory)]
            .into_iter()
            .filter_map(|(resource, sockets)| sockets.map(|sockets| Self { resource, sockets }))
            .min_by_key(|limit| limit.sockets)
            .expect("the slots always count")
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

/// What a session that is behind holds of events: some pieces, which need not be full, and as much as may be unsent.
const BEHIND_BYTES_PER_SESSION: u64 = (WHOLE_PIECES_MAX * REPLAY_PIECE_BYTES_MAX + REPLAY_SESSION_BYTES_MAX) as u64;

/// What the journal takes: its window, and what it writes at a time.
const JOURNAL_BYTES: u64 = (WINDOW_BYTES_MAX + WINDOW_KEPT_BYTES + JOURNAL_WRITE_BYTES) as u64;

/// What webhooks take when many are sent: recent bodies, the database's pages, the workers' stacks and buffers.
const DELIVERY_BYTES: u64 = (PAYLOADS_CACHED_BYTES
    + DELIVERY_PAGES_CACHED_BYTES
    + DELIVERY_WORKERS as usize * DELIVERY_BYTES_PER_WORKER) as u64;

/// What is taken once, however many shards there are.
pub const FIXED_BYTES: u64 = JOURNAL_BYTES + DELIVERY_BYTES;

/// What one shard takes before its first socket.
pub fn fixed_bytes_per_shard(slots_per_shard: u32) -> u64 {
    SHARD_LOG_BYTES as u64
        + u64::from(RECEIVE_BUFFERS) * u64::from(RECEIVE_BUFFER_BYTES)
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
        assert_eq!(plan.fixed_bytes, ((64 + 32 + 8) << 20) + DELIVERY_BYTES + 2 * shard);
        assert_eq!(plan.user_bytes, 20_000 * 400);
        assert_eq!(plan.kernel_bytes, 20_000 * 3_500);
        assert_eq!(plan.total_bytes(), plan.fixed_bytes + 78_000_000);
        assert_eq!(plan.behind_bytes, 20_000 * (80 << 10));
        assert!(
            plan.lines().iter().any(|line| line.starts_with("slow      up to 1.53 GiB more")),
            "{:?}",
            plan.lines()
        );
    }

    #[test]
    fn tls_is_told_and_counts_for_what_runs_out_first() {
        let plain = MemoryPlan::new(&machine(512 << 20, None), 12, 20_000);
        assert!(!plain.lines().iter().any(|line| line.starts_with("tls")), "{:?}", plain.lines());
        let secured = plain.secured(240_000);
        assert_eq!(secured.tls_bytes, 240_000 * TLS_BYTES_PER_SOCKET);
        assert_eq!(secured.total_bytes(), plain.total_bytes() + secured.tls_bytes);
        assert_eq!(secured.first_limit.resource, Resource::Memory);
        assert!(secured.first_limit.sockets < plain.first_limit.sockets);
        assert!(secured.lines().iter().any(|line| line.starts_with("tls       ")), "{:?}", secured.lines());
        assert_eq!(secured.behind_bytes, plain.behind_bytes + 240_000 * TLS_HELD_BYTES_MAX as u64);
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
        assert!((60_000..80_000).contains(&memory.sockets), "{memory:?}");
        assert_eq!(limit(1 << 20, None, 1), FirstLimit { resource: Resource::Memory, sockets: 0 });
    }
}
