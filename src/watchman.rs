//! A thread that sees to it that no executor sleeps while it has work, and that no thread hangs or is gone unnoticed.
//!
//! Every executor counts its turns, at least one a tick. Where a count stands still between two rounds, the watchman wakes
//! that executor from outside, which works even when nothing of its own is armed any more (see
//! [`executor`](crate::executor)), and says so in the log. A thread that blocks is given the time that it may block for.

use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::limits;

/// What an executor shows the watchman.
#[derive(Default)]
pub struct Pulse {
    turns: AtomicU64,
    waker: Mutex<Option<Waker>>,
    /// How often it had to be woken.
    rescues: AtomicU64,
    /// It has ended, as it was told to.
    rests: AtomicBool,
    /// Rounds in a row in which it may stand still.
    still_rounds_max: u64,
}

impl Pulse {
    /// Of a thread that may block for so long.
    pub fn of_one_that_blocks(still_ms_max: u64) -> Self {
        Self { still_rounds_max: still_ms_max.div_ceil(limits::WATCH_MS), ..Self::default() }
    }

    /// Counts a turn.
    pub fn beat(&self) {
        self.turns.fetch_add(1, Ordering::Relaxed);
    }

    pub fn turns(&self) -> u64 {
        self.turns.load(Ordering::Relaxed)
    }

    /// The executor ends: from now on it takes no turns, and is not to be woken.
    pub fn rest(&self) {
        self.rests.store(true, Ordering::Relaxed);
        // Let go of here, on its executor's own thread.
        *self.waker.lock().expect("no holder panics") = None;
    }

    pub fn rescues(&self) -> u64 {
        self.rescues.load(Ordering::Relaxed)
    }

    /// A task for the executor, whose waker is how the watchman reaches it. It never ends.
    pub async fn listen(self: Arc<Self>) {
        poll_fn(|context| {
            self.reach_by(context.waker().clone());
            Poll::Pending
        })
        .await
    }

    /// How the watchman reaches what is no executor.
    pub fn reach_by(&self, waker: Waker) {
        *self.waker.lock().expect("no holder panics") = Some(waker);
    }

    fn wake(&self) {
        // Cloned, because the woken task locks it again.
        let waker = self.waker.lock().expect("no holder panics").clone();
        if let Some(waker) = waker {
            self.rescues.fetch_add(1, Ordering::Relaxed);
            waker.wake();
        }
    }
}

/// The running watchman. Dropped, it ends.
pub struct Watchman {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Watchman {
    /// Watches threads by their names.
    pub fn start(watched: Vec<(String, Arc<Pulse>)>) -> std::io::Result<Self> {
        let (stop, stopped) = channel();
        let round = Duration::from_millis(limits::WATCH_MS);
        let thread = std::thread::Builder::new().name("watchman".into()).spawn(move || {
            // Turns, and the rounds in a row in which there was no other.
            let mut seen = vec![(0, 0); watched.len()];
            while stopped.recv_timeout(round) == Err(RecvTimeoutError::Timeout) {
                for ((name, pulse), (seen, still_rounds)) in watched.iter().zip(&mut seen) {
                    let turns = pulse.turns();
                    let is_still = turns == *seen && !pulse.rests.load(Ordering::Relaxed);
                    *seen = turns;
                    *still_rounds = if is_still { *still_rounds + 1 } else { 0 };
                    if *still_rounds > pulse.still_rounds_max {
                        tracing::warn!(thread = name, "a thread stood still and was woken");
                        pulse.wake();
                        *still_rounds = 0;
                    }
                }
            }
        })?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Watchman {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            // It can end badly only by a panic, which the panic hook has told already.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::Wake;
    use std::time::Instant;

    struct Woken(AtomicU64);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn sleeper() -> (Arc<Pulse>, Arc<Woken>) {
        let (pulse, woken) = (Arc::new(Pulse::default()), Arc::new(Woken(AtomicU64::new(0))));
        *pulse.waker.lock().unwrap() = Some(Waker::from(woken.clone()));
        (pulse, woken)
    }

    #[test]
    fn one_that_stands_still_is_woken_and_one_that_moves_is_left_alone() {
        let ((still, still_woken), (moving, moving_woken)) = (sleeper(), sleeper());
        let watchman =
            Watchman::start(vec![("still".into(), still.clone()), ("moving".into(), moving.clone())]).unwrap();
        let started = Instant::now();
        while still_woken.0.load(Ordering::Relaxed) == 0 && started.elapsed() < Duration::from_secs(30) {
            moving.beat();
            std::thread::yield_now();
        }
        drop(watchman);
        assert!(still.rescues() > 0);
        assert_eq!(moving_woken.0.load(Ordering::Relaxed), 0);
        assert_eq!(moving.rescues(), 0);
    }

    #[test]
    fn one_that_blocks_is_woken_when_it_stands_still_for_longer_than_it_may() {
        let ((still, _), (slow, slow_woken), (patient, patient_woken)) = (sleeper(), sleeper(), sleeper());
        let blocking = |pulse: Arc<Pulse>, still_ms_max| {
            let waker = pulse.waker.lock().unwrap().take().expect("it has one");
            let blocking = Arc::new(Pulse::of_one_that_blocks(still_ms_max));
            blocking.reach_by(waker);
            blocking
        };
        let (slow, patient) = (blocking(slow, 2 * limits::WATCH_MS), blocking(patient, 1_000 * limits::WATCH_MS));
        let watched = [("still", &still), ("slow", &slow), ("patient", &patient)];
        let watchman = Watchman::start(watched.map(|(name, pulse)| (name.into(), pulse.clone())).into()).unwrap();
        let started = Instant::now();
        while slow.rescues() == 0 && started.elapsed() < Duration::from_secs(30) {
            std::thread::sleep(Duration::from_millis(10));
        }
        drop(watchman);
        assert!(slow_woken.0.load(Ordering::Relaxed) > 0);
        assert!(still.rescues() > 2 * slow.rescues(), "in each round, and in the third");
        assert_eq!((patient.rescues(), patient_woken.0.load(Ordering::Relaxed)), (0, 0));
    }

    #[test]
    fn one_that_rests_is_left_alone() {
        let ((still, _), (resting, resting_woken)) = (sleeper(), sleeper());
        resting.rest();
        // Its waker is gone by now; with one it would not be woken either.
        *resting.waker.lock().unwrap() = Some(Waker::from(resting_woken.clone()));
        let watched = vec![("resting".into(), resting.clone()), ("still".into(), still.clone())];
        let watchman = Watchman::start(watched).unwrap();
        let started = Instant::now();
        while still.rescues() == 0 && started.elapsed() < Duration::from_secs(30) {
            std::thread::sleep(Duration::from_millis(10));
        }
        drop(watchman);
        assert!(still.rescues() > 0);
        assert_eq!((resting.rescues(), resting_woken.0.load(Ordering::Relaxed)), (0, 0));
    }
}
