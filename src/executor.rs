//! The pinned glommio executors that shards and the hub run on.

use std::future::Future;
use std::time::Duration;

use glommio::{ExecutorJoinHandle, LocalExecutorBuilder, Placement, PoolPlacement};

use crate::limits;

/// Starts a thread of that name with an executor pinned to `cpu`.
pub fn spawn<F: Future<Output = ()> + 'static>(
    name: &str,
    cpu: usize,
    main: impl FnOnce() -> F + Send + 'static,
) -> Result<ExecutorJoinHandle<()>, glommio::GlommioError<()>> {
    LocalExecutorBuilder::new(Placement::Fixed(cpu))
        .name(name)
        // The default of 10 MiB is above a usual memlock limit, and nothing here does direct I/O yet.
        .io_memory(limits::EXECUTOR_IO_BYTES)
        .ring_depth(limits::EXECUTOR_RING_ENTRIES)
        // How long a busy task can keep the executor from looking at its sockets.
        .preempt_timer(Duration::from_micros(limits::PREEMPT_US))
        .blocking_thread_pool_placement(PoolPlacement::Unbound(1))
        .spawn(main)
}
