//! The pinned glommio executors that shards and the hub run on.
//!
//! glommio 0.9 has a trap. Where its preempt timer fires between its look at the rings and its look at the task queues
//! (the thread only has to be descheduled there), it takes "preempted before anything ran" for "nothing to run" and goes
//! to sleep, and tasks that are ready sleep with it until something unrelated completes. So here the timer is set never
//! to fire, nothing uses the latency ring that the timer shares, and long work calls [`breathe`] instead, after which
//! the executor looks at its rings. What would still fall asleep is found by the [`watchman`](crate::watchman).

use std::cell::Cell;
use std::future::Future;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use glommio::{BuilderErrorKind, ExecutorJoinHandle, GlommioError, LocalExecutorBuilder, Placement, PoolPlacement};

use crate::clock::{self, Nanos};
use crate::limits;
use crate::ring::Doorbell;

/// Why a thread does not run. Each message is one sentence that ends with the remedy.
#[derive(Debug, thiserror::Error)]
pub enum ThreadError {
    #[error(
        "thread {name} can't be started ({source}): allow more threads (`ulimit -u`, TasksMax= in the service's unit, \
         the container's pids limit) and more open files (`ulimit -n`)"
    )]
    Spawn { name: String, source: GlommioError<()> },
    #[error("thread {name} can't set up its executor ({source}): `stentor doctor` tells what this machine lacks")]
    Executor { name: String, source: GlommioError<()> },
    #[error(
        "thread {name} ended while it started and said nothing of its own: report this as a bug, with the lines above"
    )]
    Died { name: String },
}

/// How a thread tells its starter that it works, or why it doesn't.
pub type Outcome<E> = Sender<Result<(), E>>;

/// A thread that was spawned and has not yet told how its start went.
pub struct Starting<E> {
    name: String,
    thread: ExecutorJoinHandle<()>,
    outcome: Receiver<Result<(), E>>,
}

impl<E: From<ThreadError>> Starting<E> {
    /// Waits until the thread works.
    pub fn finish(self) -> Result<ExecutorJoinHandle<()>, E> {
        let Self { name, thread, outcome } = self;
        match outcome.recv() {
            Ok(Ok(())) => Ok(thread),
            Ok(Err(error)) => Err(error),
            // It ended without a word. glommio makes the executor on the thread itself, so only its end tells why.
            Err(_) => Err(E::from(match thread.join() {
                Ok(()) | Err(GlommioError::BuilderError(BuilderErrorKind::ThreadPanic(_))) => {
                    ThreadError::Died { name }
                }
                Err(source) => ThreadError::Executor { name, source },
            })),
        }
    }
}

/// Starts a thread of that name with an executor pinned to `cpu`. `main` gets the sender by which it has to tell how its
/// start went; see [`Starting::finish`].
pub fn spawn<E: Send + 'static, F: Future<Output = ()> + 'static>(
    name: &str,
    cpu: usize,
    main: impl FnOnce(Outcome<E>) -> F + Send + 'static,
) -> Result<Starting<E>, ThreadError> {
    let (sender, outcome) = channel();
    let thread = LocalExecutorBuilder::new(Placement::Fixed(cpu))
        .name(name)
        // The default of 10 MiB is above a usual memlock limit, and nothing here does direct I/O yet.
        .io_memory(limits::EXECUTOR_IO_BYTES)
        .ring_depth(limits::EXECUTOR_RING_ENTRIES)
        .preempt_timer(NEVER)
        .blocking_thread_pool_placement(PoolPlacement::Unbound(1))
        .spawn(move || main(sender))
        .map_err(|source| ThreadError::Spawn { name: name.to_owned(), source })?;
    Ok(Starting { name: name.to_owned(), thread, outcome })
}

const NEVER: Duration = Duration::from_secs(365 * 24 * 60 * 60);

thread_local! {
    static LAST_BREATH: Cell<Nanos> = const { Cell::new(0) };
    /// Tasks that wait for the executor to look at its rings.
    static WAITING: Cell<u32> = const { Cell::new(0) };
}

/// Lets everything else on this executor run: tasks that are ready each time, and, where the last time was `every_us` ago, in
/// microseconds, whatever the executor's rings have for them. To be called between the steps of any long work, with
/// [`BREATH_US`](limits::BREATH_US) where nothing speaks for less.
///
/// The executor looks at its rings when no task is ready, so a breath that one has begun is everybody's.
pub async fn breathe(every_us: u64) {
    let is_early = clock::now() - LAST_BREATH.get() < every_us * 1_000;
    if is_early && WAITING.get() == 0 {
        return glommio::executor().yield_task_queue_now().await;
    }
    let _waiting = Waiting::begin();
    // A timer that is due by the time it is looked at leaves this queue idle.
    glommio::timer::sleep(Duration::from_micros(1)).await;
    LAST_BREATH.set(clock::now());
}

struct Waiting;

impl Waiting {
    fn begin() -> Self {
        WAITING.set(WAITING.get() + 1);
        Self
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        WAITING.set(WAITING.get() - 1);
    }
}

/// A task that wakes its thread every tick, for its timers and its [`Pulse`](crate::watchman::Pulse).
pub async fn tick(doorbell: Doorbell) {
    loop {
        glommio::timer::sleep(Duration::from_millis(limits::TICK_MS.into())).await;
        doorbell.ring();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start<F: Future<Output = ()> + 'static>(
        main: impl FnOnce(Outcome<ThreadError>) -> F + Send + 'static,
    ) -> String {
        match spawn("worker", 0, main).expect("a thread").finish() {
            Ok(thread) => thread.join().map(|()| "works".to_owned()).expect("it ended well"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn a_thread_that_says_it_works_works() {
        assert_eq!(start(|outcome| async move { outcome.send(Ok(())).expect("awaited") }), "works");
    }

    /// Both are ready all the time, each in a queue of its own, as a shard's plane and its desk.
    #[test]
    fn whoever_breathes_seldom_holds_nobody_up_who_does_often() {
        let (told, steps) = channel();
        let told_by_main = start(move |outcome| async move {
            let queue = |name| executor_queue(name);
            let (often, seldom) = (queue("often"), queue("seldom"));
            let over = std::rc::Rc::new(Cell::new(false));
            let ends = over.clone();
            let long_work = glommio::spawn_local_into(
                async move {
                    let mut steps = 0;
                    while !ends.get() && steps < 100_000 {
                        breathe(u64::MAX / 1_000).await;
                        steps += 1;
                    }
                    steps
                },
                seldom,
            )
            .expect("a queue");
            let short_work = glommio::spawn_local_into(
                async move {
                    for _ in 0..1_000 {
                        breathe(0).await;
                    }
                },
                often,
            )
            .expect("a queue");
            short_work.await;
            over.set(true);
            told.send(long_work.await).expect("awaited");
            outcome.send(Ok(())).expect("awaited");
        });
        assert_eq!(told_by_main, "works");
        let steps: u64 = steps.recv().expect("it was told");
        assert!(steps < 10_000, "{steps} steps of the one for 1,000 of the other");
    }

    fn executor_queue(name: &str) -> glommio::TaskQueueHandle {
        glommio::executor().create_task_queue(glommio::Shares::Static(1), glommio::Latency::NotImportant, name)
    }

    #[test]
    fn what_a_thread_says_against_its_start_is_told() {
        let refused =
            || ThreadError::Executor { name: "worker".into(), source: std::io::Error::other("no ring").into() };
        let told = start(move |outcome| async move { outcome.send(Err(refused())).expect("awaited") });
        assert!(told.contains("worker") && told.contains("no ring"), "{told}");
    }

    #[test]
    fn a_thread_that_ends_without_a_word_is_no_success() {
        let told = start(|outcome| async move { drop(outcome) });
        assert!(told.contains("thread worker ended while it started"), "{told}");
    }

    #[test]
    fn a_cpu_that_is_not_there_is_told_with_the_thread() {
        let refused =
            spawn::<ThreadError, _>("worker", limits::CPU_NUMBER_MAX, |_| async {}).err().expect("no such CPU");
        assert!(refused.to_string().contains("thread worker") && refused.to_string().contains("1023"), "{refused}");
    }
}
