//! The writer on the simulated disk: by name in `writer.rs`, in seeded rounds in `storm.rs`.

mod storm;
mod writer;

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};

use fastrand::Rng;

use super::disk::fake::{FakeDisk, run};
use super::recovery::{Recovered, recover};
use super::writer::{Clock, Origin, Writer};
use super::{Catalogue, Journal, JournalOptions, JournalStatus, Window};
use crate::clock::Nanos;
use crate::event::EventParser;
use crate::hub::{EncodedBatch, Origin as Publisher};

/// A clock that the simulation moves.
#[derive(Clone, Default)]
struct FakeClock(Rc<Cell<Nanos>>);

impl FakeClock {
    fn advance_ms(&self, ms: u64) {
        self.0.set(self.0.get() + ms * 1_000_000);
    }
}

impl Clock for FakeClock {
    fn now(&self) -> Nanos {
        self.0.get()
    }

    fn unix_ms(&self) -> u64 {
        1_800_000_000_000 + self.0.get() / 1_000_000
    }
}

/// A request whose events are like no others.
fn batch(first_seq: u64, events: u64, bytes: usize, rng: &mut Rng) -> Arc<EncodedBatch> {
    let mut event = || {
        let pad: String = (0..bytes).map(|_| rng.alphanumeric()).collect();
        let body = format!(r#"{{"type":"alert","data":{{"n":"{:016x}","pad":"{pad}"}}}}"#, rng.u64(..));
        EventParser::new().parse(body.as_bytes(), 1, None).expect("a sound event")
    };
    let events = (0..events).map(|_| event()).collect();
    Arc::new(EncodedBatch::encode(events, first_seq, 0, Publisher { publisher: 3, unix_ms: 1_800_000_000_000 }))
}

/// One run of the server's journal, from its start to its end or to a crash. Dropped, it has crashed.
struct Life {
    disk: FakeDisk,
    clock: FakeClock,
    window: Arc<Window>,
    status: Arc<JournalStatus>,
    catalogue: Rc<RefCell<Catalogue>>,
    first_seq: u64,
    kept: Arc<AtomicU64>,
    stops: Rc<Cell<bool>>,
    work: Pin<Box<dyn Future<Output = ()>>>,
}

impl Life {
    fn start(disk: &FakeDisk, clock: &FakeClock, options: JournalOptions) -> Self {
        let recovered = run(recover(disk)).unwrap_or_else(|error| panic!("{options:?}: {error}"));
        let Recovered { catalogue, next_seq, follows, .. } = recovered;
        let window = Arc::new(Window::new(0, next_seq, usize::MAX, 0));
        window.await_disk();
        let catalogue = Rc::new(RefCell::new(catalogue));
        let status = Arc::<JournalStatus>::default();
        let kept = Arc::new(AtomicU64::new(next_seq));
        let stops = Rc::<Cell<bool>>::default();
        let told = kept.clone();
        let writer = Writer::new(
            Rc::new(disk.clone()),
            clock.clone(),
            options,
            window.clone(),
            Origin { next_seq, follows, catalogue: catalogue.clone() },
            status.clone(),
            Box::new(move |kept| assert!(told.swap(kept, Ordering::Relaxed) < kept, "told in order")),
        );
        let work = Box::pin(work(writer, window.clone(), status.clone(), stops.clone()));
        let (disk, clock, first_seq) = (disk.clone(), clock.clone(), next_seq);
        Self { disk, clock, window, status, catalogue, first_seq, kept, stops, work }
    }

    fn kept(&self) -> u64 {
        self.kept.load(Ordering::Relaxed)
    }

    /// What the hub does, where it may: nothing is appended while there is a fault or no lease.
    fn append(&self, batch: &Arc<EncodedBatch>) -> bool {
        let may = self.status.fault().is_none() && self.status.leased() >= batch.next_seq() - 1;
        if may {
            self.window.append(batch.clone());
        }
        may
    }

    /// Appends a request of small events.
    fn publish(&self, events: u64, rng: &mut Rng) {
        assert!(self.append(&batch(self.window.head(), events, 10, rng)), "it is taken");
    }

    /// One step of the thread.
    fn poll(&mut self) -> Poll<()> {
        self.work.as_mut().poll(&mut Context::from_waker(Waker::noop()))
    }

    /// Goes on until something holds, while time goes by.
    fn until(&mut self, holds: impl Fn(&Self) -> bool) {
        for _ in 0..1_000_000 {
            if holds(self) {
                return;
            }
            self.clock.advance_ms(1);
            assert!(self.poll().is_pending(), "nobody stops it");
        }
        panic!("it does not come to that: {:?}", self.status);
    }

    /// Goes on until all is kept and more would be taken.
    fn until_well(&mut self) {
        self.until(|life| life.kept() == life.window.head() && life.status.fault().is_none() && life.status.room() > 0);
    }

    /// An orderly end.
    fn stop(mut self) {
        self.stops.set(true);
        while self.poll().is_pending() {}
    }

    /// How many segments there are.
    fn segments(&self) -> usize {
        self.catalogue.borrow().segments().count()
    }
}

/// What the thread does, with a pause after each turn.
async fn work(
    mut writer: Writer<FakeDisk, FakeClock>,
    window: Arc<Window>,
    status: Arc<JournalStatus>,
    stops: Rc<Cell<bool>>,
) {
    while !stops.get() {
        writer.turn().await;
        let is_behind = status.fault().is_none() && status.written() < window.head();
        assert_eq!(writer.has_more(), is_behind, "the thread would sleep, or spin");
        let mut paused = false;
        poll_fn(|_| if std::mem::replace(&mut paused, true) { Poll::Ready(()) } else { Poll::Pending }).await;
    }
    while writer.close().await.is_err() {}
}
