//! One life of the server, from its start to a stop or a crash: hub, journal and shards, each moved on by a call.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};

use super::cast;
use super::sabotage::{self, Sabotage};
use super::setting::Setting;
use crate::clock::{self, Nanos};
use crate::gate::{Gate, Policy};
use crate::hub::by_hand::ByHand;
use crate::hub::{EncodedBatch, Hub, HubHandle, Keeper};
use crate::journal::disk::fake::{FakeDisk, run};
use crate::journal::recovery::Recovered;
use crate::journal::writer::{Clock, Origin, Writer};
use crate::journal::{Catalogue, Chunk, Journal, JournalError, JournalFault, JournalStatus, Part, Reader, Window};
use crate::limits;
use crate::protocol::SessionRules;
use crate::shard::tests::fake_kernel::FakeKernel;
use crate::shard::{DrainRules, Plane, SessionParts, Sessions, ShardSizes, ShardStats, Tick};
use crate::tokens::{KeySource, TokenSettings, Verifier};
use crate::ws::CloseCode;

/// Room for few events, so that it wraps often; sixteen frames of the longest.
const LOG_BYTES: usize = 64 << 10;

pub struct Server {
    pub window: Arc<Window>,
    pub hub: ByHand,
    pub handle: HubHandle,
    pub status: Arc<JournalStatus>,
    pub shards: Vec<Shard>,
    pub gate: Arc<Gate>,
    /// Below this number everything was told to be kept.
    pub kept: Arc<AtomicU64>,
    pub catalogue: Rc<RefCell<Catalogue>>,
    woken: Arc<AtomicBool>,
    stops: Rc<Cell<bool>>,
    begun: Rc<Cell<bool>>,
    writer: Option<Pin<Box<dyn Future<Output = ()>>>>,
    chunk_bytes: usize,
    inbox_bytes: usize,
    reader: Rc<Reader<FakeDisk>>,
}

pub struct Shard {
    pub plane: Plane<FakeKernel>,
    pub stats: Arc<ShardStats>,
    index: usize,
    position: u64,
    read: Option<Pin<Box<dyn Future<Output = Chunk>>>>,
    /// The journal's answer, which waits for the next turn.
    answer: Option<Chunk>,
}

#[derive(Clone)]
struct SimulatedClock;

impl Clock for SimulatedClock {
    fn now(&self) -> Nanos {
        clock::now()
    }

    fn unix_ms(&self) -> u64 {
        clock::unix_ms()
    }
}

struct SimulatedKeeper {
    status: Arc<JournalStatus>,
    woken: Arc<AtomicBool>,
}

impl Keeper for SimulatedKeeper {
    fn wake(&self) {
        self.woken.store(true, Ordering::Relaxed);
    }

    fn leased(&self) -> u64 {
        self.status.leased()
    }

    fn room_bytes(&self) -> u64 {
        self.status.room()
    }

    fn fault(&self) -> Option<JournalError> {
        self.status.fault().map(|fault| match &*fault {
            JournalFault::DiskFull => JournalError::DiskFull,
            JournalFault::Io(reason) => JournalError::Failed { reason: reason.clone() },
        })
    }
}

/// The present tick.
pub fn tick() -> Tick {
    (clock::now() / (u64::from(limits::TICK_MS) * 1_000_000)) as Tick
}

impl Server {
    /// Begins with what was recovered. Every event that is there is handed to `hear` first.
    pub fn start(
        setting: &Setting,
        disk: &FakeDisk,
        recovered: Recovered,
        seed: u64,
        mut hear: impl FnMut(&Arc<EncodedBatch>),
    ) -> Self {
        let Recovered { catalogue, next_seq, follows, .. } = recovered;
        let window = Window::new(setting.shards, next_seq, setting.lag_bytes_max, setting.kept_bytes);
        let window = Arc::new(window);
        let catalogue = Rc::new(RefCell::new(catalogue));
        let disk = Rc::new(disk.clone());
        let mut hub = Hub::new(window.clone(), Vec::new(), &setting.journal).expect("a descriptor");
        let reader = Rc::new(Reader::new(disk.clone(), catalogue.clone()));
        let now = clock::unix_ms();
        let mut from = 1;
        loop {
            let chunk = run(reader.read(from, setting.chunk_bytes)).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(chunk.from, from);
            if chunk.next == from {
                break;
            }
            for part in chunk.parts {
                let Part::Events(batch) = part else { continue };
                hear(&batch);
                if !sabotage::is(Sabotage::ForgetIds) {
                    hub.remember(&batch, now);
                }
            }
            from = chunk.next;
        }
        let (status, kept) = (Arc::<JournalStatus>::default(), Arc::new(AtomicU64::new(next_seq)));
        let (woken, stops) = (Arc::new(AtomicBool::new(true)), Rc::<Cell<bool>>::default());
        let (handle, told) = (hub.handle(), kept.clone());
        let on_kept = handle.clone();
        let on_kept = Box::new(move |next| {
            assert!(told.swap(next, Ordering::Relaxed) < next, "told in order");
            on_kept.kept(next);
        });
        let origin = Origin { next_seq, follows, catalogue: catalogue.clone() };
        let writer =
            Writer::new(disk, SimulatedClock, setting.journal, window.clone(), origin, status.clone(), on_kept);
        let begun = Rc::<Cell<bool>>::default();
        let writer =
            Some(Box::pin(write(writer, stops.clone(), begun.clone(), woken.clone()))
                as Pin<Box<dyn Future<Output = ()>>>);
        hub.keep_with(Box::new(SimulatedKeeper { status: status.clone(), woken: woken.clone() }));
        let policy = Policy { handshakes_per_second: 0, connections_per_key: 0, ..Policy::default() };
        let gate = Arc::new(Gate::new(policy));
        let shard = |index| Shard::new(index, setting, &window, &gate, seed.wrapping_add(index as u64));
        let shards = (0..setting.shards).map(shard).collect();
        Self {
            window: window.clone(),
            hub: ByHand::new(hub),
            handle,
            status,
            shards,
            gate,
            kept,
            catalogue,
            woken,
            stops,
            begun,
            writer,
            chunk_bytes: setting.chunk_bytes,
            inbox_bytes: setting.inbox_bytes,
            reader,
        }
    }

    pub fn kept(&self) -> u64 {
        self.kept.load(Ordering::Relaxed)
    }

    /// Whether the journal's thread has taken its first turn, before which nobody gets in.
    pub fn has_begun(&self) -> bool {
        self.begun.get()
    }

    /// One step of the journal's thread. Returns whether it has ended.
    pub fn poll_writer(&mut self) -> bool {
        let Some(writer) = &mut self.writer else { return true };
        let ended = writer.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready();
        if ended {
            self.writer = None;
        }
        ended
    }

    /// What the tick does to the journal's bell.
    pub fn wake_writer(&self) {
        self.woken.store(true, Ordering::Relaxed);
    }

    /// Lets the journal end when everything is on the disk.
    pub fn stop_writer(&self) {
        self.stops.set(true);
        self.wake_writer();
    }

    /// One step of a read for a shard, if one is under way.
    pub fn poll_read(&mut self, shard: usize) {
        let shard = &mut self.shards[shard];
        let Some(read) = &mut shard.read else { return };
        if let Poll::Ready(chunk) = read.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            shard.read = None;
            shard.answer = Some(chunk);
        }
    }

    /// One turn of a shard, as its thread takes it. Returns whether there is more to do at once.
    pub fn turn(&mut self, shard: usize) -> bool {
        let Shard { plane, index, position, read, answer, .. } = &mut self.shards[shard];
        plane.tell_time(clock::unix_ms());
        if let Some(chunk) = answer.take() {
            plane.replayed(Some(chunk));
        }
        plane.collect();
        if plane.wants_events() {
            *position = self.window.read_from(*index, *position, self.inbox_bytes, plane.inbox());
        }
        plane.tell_newest(self.window.head() - 1);
        if let Some(from) = plane.replay_wants() {
            match self.window.recent(from, self.chunk_bytes) {
                Some(chunk) => plane.replayed(Some(chunk)),
                None => {
                    let (reader, bytes_max) = (self.reader.clone(), self.chunk_bytes);
                    *read = Some(Box::pin(async move {
                        reader.read(from, bytes_max).await.unwrap_or_else(|error| panic!("{error}"))
                    }));
                }
            }
        }
        let busy = plane.turn(tick(), clock::now);
        plane.sockets().batches.clear();
        busy || self.window.visible() > *position || read.is_some() || answer.is_some()
    }

    /// Whether a shard has taken in everything that may be seen.
    pub fn is_caught_up(&mut self, shard: usize) -> bool {
        let Shard { plane, position, .. } = &mut self.shards[shard];
        plane.wants_events() && *position == self.window.visible()
    }

    /// Begins to tell sessions to come back, and to close them over a while.
    pub fn begin_drain(&mut self, rules: DrainRules) {
        let shards = self.shards.len();
        for shard in &mut self.shards {
            shard.plane.begin_drain(rules, shard.index, shards);
        }
    }

    pub fn has_drained(&self) -> bool {
        self.shards.iter().all(|shard| shard.plane.has_drained())
    }

    pub fn close_sessions(&mut self) {
        for shard in &mut self.shards {
            shard.plane.close_all(CloseCode::SERVICE_RESTART, "the server is shutting down");
        }
    }
}

impl Shard {
    fn new(index: usize, setting: &Setting, window: &Window, gate: &Arc<Gate>, seed: u64) -> Self {
        let source = KeySource::Secret("a secret of thirty-two characters".into());
        let tokens = TokenSettings { source, ..TokenSettings::default() };
        let tokens = Verifier::open(&tokens, std::path::Path::new("/nonexistent")).expect("a secret is at hand");
        let stats = Arc::<ShardStats>::default();
        let parts = SessionParts {
            accounts: cast::accounts(),
            tokens: Arc::new(tokens),
            gate: gate.clone(),
            rules: SessionRules { messages_per_second: 0, replay: setting.replay, ..SessionRules::default() },
            stats: stats.clone(),
            seq: window.visible() - 1,
        };
        let mut kernel = FakeKernel::new(seed);
        kernel.batch_max = setting.send_batch_max;
        kernel.writes_short = setting.writes_short;
        kernel.answers_late = setting.answers_late;
        let mut plane = Plane::new(kernel, Sessions::new(ShardSizes { slots: 6, log_bytes: LOG_BYTES }, parts));
        plane.tell_time(clock::unix_ms());
        // Its ticks begin now, and not with the process.
        plane.turn(tick(), clock::now);
        Self { plane, stats, index, position: window.visible(), read: None, answer: None }
    }
}

/// What the journal's thread does: a turn, then a pause until it is woken or there is more to do.
async fn write(
    mut writer: Writer<FakeDisk, SimulatedClock>,
    stops: Rc<Cell<bool>>,
    begun: Rc<Cell<bool>>,
    woken: Arc<AtomicBool>,
) {
    while !stops.get() {
        writer.turn().await;
        begun.set(true);
        let mut has_more = writer.has_more();
        poll_fn(|_| {
            let due = writer.sync_due_at().is_some_and(|at| clock::now() >= at);
            if std::mem::take(&mut has_more) {
                woken.store(true, Ordering::Relaxed);
                return Poll::Pending;
            }
            if woken.swap(false, Ordering::Relaxed) || due || stops.get() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
    while writer.close().await.is_err() {
        let mut paused = false;
        poll_fn(|_| if std::mem::replace(&mut paused, true) { Poll::Ready(()) } else { Poll::Pending }).await;
    }
}
