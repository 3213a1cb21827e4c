//! The thread that reads all counters, and the way to it.
//!
//! It sleeps until it is asked, but for a word in the log once a day about the TLS certificate. Asked, it waits until [`OBSERVE_EVERY_MS`](crate::limits::OBSERVE_EVERY_MS) have passed since its last
//! reading, reads once, and answers all who have asked by then.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use rustix::process::setpriority_process;
use rustix::thread::{CpuSet, gettid, sched_setaffinity};

use super::process::ProcessReader;
use super::reading::Reading;
use super::{Exposition, HistogramReading, Quantiles, Sample};
use crate::accounts::Directory;
use crate::clock::{self, Nanos};
use crate::delivery::DeliveryStats;
use crate::hub::HubHandle;
use crate::journal::{JournalHandle, Window};
use crate::limits;
use crate::shard::ShardHandle;
use crate::tls::Tls;
use crate::watchman::Pulse;

/// Takes the text of a scrape. It is called on the observer's thread and must not block.
pub type MetricsReply = Box<dyn FnOnce(Arc<Exposition>) + Send>;

/// The same for a sample.
pub type SampleReply = Box<dyn FnOnce(Arc<Sample>) + Send>;

/// Where the counters are.
pub struct Sources {
    pub shards: Arc<[ShardHandle]>,
    pub slots_per_shard: u32,
    pub hub: HubHandle,
    pub window: Arc<Window>,
    pub journal: JournalHandle,
    pub delivery: Arc<DeliveryStats>,
    pub directory: Arc<Directory>,
    /// Where the port speaks TLS.
    pub tls: Option<Arc<Tls>>,
    /// Threads that the watchman watches, by their names.
    pub pulses: Vec<(String, Arc<Pulse>)>,
}

enum Ask {
    Metrics(MetricsReply),
    Sample(SampleReply),
    Stop,
}

/// The way to the observer, for any thread. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ObserverHandle(Sender<Ask>);

impl ObserverHandle {
    /// Has a scrape answered. One reading serves all that wait for it. After the observer's end the reply is dropped.
    pub fn metrics(&self, reply: MetricsReply) {
        let _ = self.0.send(Ask::Metrics(reply));
    }

    /// Has a sample taken. One reading serves all that wait for it. After the observer's end the reply is dropped.
    pub fn sample(&self, reply: SampleReply) {
        let _ = self.0.send(Ask::Sample(reply));
    }
}

/// The running thread. Dropped, it ends.
pub struct ObserverService {
    handle: ObserverHandle,
    thread: Option<JoinHandle<()>>,
}

impl ObserverService {
    /// Starts it on the CPU for what is in no hurry.
    pub fn start(sources: Sources, cpu: usize) -> std::io::Result<Self> {
        let (sender, asked) = channel();
        let observer = Observer::new(sources);
        let run = move || {
            settle(cpu);
            serve(observer, &asked);
        };
        let thread = Builder::new().name("observer".into()).spawn(run)?;
        Ok(Self { handle: ObserverHandle(sender), thread: Some(thread) })
    }

    pub fn handle(&self) -> ObserverHandle {
        self.handle.clone()
    }
}

impl Drop for ObserverService {
    fn drop(&mut self) {
        let _ = self.handle.0.send(Ask::Stop);
        if let Some(thread) = self.thread.take() {
            // It can end badly only by a panic, which the panic hook has told already.
            let _ = thread.join();
        }
    }
}

/// Below everything else that runs there: it is the machine's business that is to be measured, not the measuring.
fn settle(cpu: usize) {
    let mut cpus = CpuSet::new();
    cpus.set(cpu);
    if let Err(error) = sched_setaffinity(None, &cpus) {
        tracing::debug!(cpu, %error, "the observer's thread could not be pinned");
    }
    if let Err(error) = setpriority_process(Some(gettid()), limits::DELIVERY_NICE) {
        tracing::debug!(%error, "the observer's thread could not be niced");
    }
}

fn serve(mut observer: Observer, asked: &Receiver<Ask>) {
    let mut read_at: Option<Nanos> = None;
    // The server has said so at its start.
    let mut remind_at = clock::now() + DAY_NS;
    loop {
        match asked.recv_timeout(Duration::from_nanos(remind_at.saturating_sub(clock::now()))) {
            Ok(first) => {
                let due = read_at.map_or(0, |at| at + limits::OBSERVE_EVERY_MS * 1_000_000);
                std::thread::sleep(Duration::from_nanos(due.saturating_sub(clock::now())));
                let asks: Vec<Ask> = std::iter::once(first).chain(asked.try_iter()).collect();
                if asks.iter().any(|ask| matches!(ask, Ask::Stop)) {
                    return;
                }
                read_at = Some(clock::now());
                observer.answer(asks);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        if remind_at <= clock::now() {
            remind_at += DAY_NS;
            observer.remind();
        }
    }
}

const DAY_NS: Nanos = 24 * 60 * 60 * 1_000_000_000;

struct Observer {
    sources: Sources,
    process: ProcessReader,
    started_ms: u64,
    fanout: Stretch,
}

impl Observer {
    fn new(sources: Sources) -> Self {
        let process = ProcessReader::new(Path::new("/"));
        Self { sources, process, started_ms: clock::unix_ms(), fanout: Stretch::default() }
    }

    /// Says what is to be known every day, though nobody asks.
    fn remind(&self) {
        if let Some(tls) = &self.sources.tls {
            tls.tell_expiry(clock::unix_ms());
        }
    }

    /// Reads once, and answers all.
    fn answer(&mut self, asks: Vec<Ask>) {
        let now = clock::now();
        let mut reading = Reading::take(&self.sources, &mut self.process, self.started_ms, now);
        let wants_sample = asks.iter().any(|ask| matches!(ask, Ask::Sample(_)));
        if wants_sample {
            let fanout = reading.fanout();
            reading.sample.fanout_us = quantiles(&self.fanout.since(fanout, now));
        }
        let sample = Arc::new(reading.sample.clone());
        let wants_metrics = asks.iter().any(|ask| matches!(ask, Ask::Metrics(_)));
        let exposition = wants_metrics.then(|| Arc::new(Exposition::of(reading)));
        for ask in asks {
            match (ask, &exposition) {
                (Ask::Sample(reply), _) => reply(sample.clone()),
                (Ask::Metrics(reply), Some(exposition)) => reply(exposition.clone()),
                (Ask::Metrics(_), None) | (Ask::Stop, _) => {}
            }
        }
    }
}

/// What was read when, so that quantiles can be of the time since.
#[derive(Default)]
struct Stretch {
    /// Old enough to begin with.
    begins: (Nanos, HistogramReading),
    /// What the next stretch may begin with.
    newest: (Nanos, HistogramReading),
}

impl Stretch {
    /// What came since the reading before, where that is long enough ago, else since an earlier one.
    fn since(&mut self, fanout: HistogramReading, now: Nanos) -> HistogramReading {
        if now.saturating_sub(self.newest.0) >= limits::FANOUT_SPAN_MS_MIN * 1_000_000 {
            self.begins = std::mem::replace(&mut self.newest, (now, fanout.clone()));
        }
        fanout.since(&self.begins.1)
    }
}

fn quantiles(fanout: &HistogramReading) -> Quantiles {
    Quantiles {
        count: fanout.count(),
        p50: fanout.quantile(0.5) / 1_000,
        p99: fanout.quantile(0.99) / 1_000,
        p999: fanout.quantile(0.999) / 1_000,
        max: fanout.max() / 1_000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Histogram;

    const MS: Nanos = 1_000_000;

    #[test]
    fn a_stretch_is_since_the_sample_before_but_never_much_shorter_than_a_second() {
        let (histogram, mut stretch) = (Histogram::default(), Stretch::default());
        let mut count_at = |ms: u64| {
            histogram.record(MS);
            stretch.since(histogram.read(), ms * MS).count()
        };
        assert_eq!(count_at(5_000), 1);
        assert_eq!(count_at(6_000), 1, "since the one before");
        assert_eq!(count_at(7_000), 1);
        // Others ask in between, and disturb nobody.
        assert_eq!([7_100, 7_500, 7_899].map(&mut count_at), [2, 3, 4]);
        assert_eq!(count_at(8_000), 4);
        assert_eq!(count_at(8_100), 5);
    }

    #[test]
    fn quantiles_are_told_in_microseconds() {
        let histogram = Histogram::default();
        (0..999).for_each(|_| histogram.record(2 * MS));
        histogram.record(50 * MS);
        let told = quantiles(&histogram.read());
        assert_eq!(told.count, 1_000);
        assert!((1_950..=2_000).contains(&told.p50) && told.p99 == told.p50 && told.p999 == told.p50, "{told:?}");
        assert_eq!(told.max, 50_000);
    }
}
