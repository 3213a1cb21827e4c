//! The pinned glommio executors that shards and the hub run on.
//!
//! glommio 0.9 has a trap. Where its preempt timer fires between its look at the rings and its look at the task queues
//! (the thread only has to be descheduled there), it takes "preempted before anything ran" for "nothing to run" and goes
//! to sleep, and tasks that are ready sleep with it until something unrelated completes. So here the timer is set never
//! to fire, nothing uses the latency ring that the timer shares, and long work calls [`breathe`] instead, after which
//! the executor looks at its rings. What would still fall asleep is found by the [`watchman`](crate::watchman).

use std::cell::Cell;
use std::future::Future;
use std::time::Duration;

use glommio::{ExecutorJoinHandle, LocalExecutorBuilder, Placement, PoolPlacement};

use crate::clock::{self, Nanos};
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
        .preempt_timer(NEVER)
        .blocking_thread_pool_placement(PoolPlacement::Unbound(1))
        .spawn(main)
}

const NEVER: Duration = Duration::from_secs(365 * 24 * 60 * 60);

thread_local! {
    static LAST_BREATH: Cell<Nanos> = const { Cell::new(0) };
}

/// Lets everything else on this executor run: tasks that are ready each time, and, once a millisecond, whatever the
/// executor's rings have for them. To be called between the steps of any long work.
pub async fn breathe() {
    let now = clock::now();
    if now - LAST_BREATH.get() < limits::BREATH_US * 1_000 {
        return glommio::executor().yield_task_queue_now().await;
    }
    // A timer that is due by the time it is looked at leaves this queue idle, so that the executor looks at its rings.
    glommio::timer::sleep(Duration::from_micros(1)).await;
    LAST_BREATH.set(clock::now());
}
