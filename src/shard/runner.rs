//! The shard on its executor: mail, events and turns, and sleep when there is nothing to do.

use std::cell::{Cell, RefCell};
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::plane::Plane;
use super::stats::ShardStats;
use super::wheel::Tick;
use crate::accounts::Directory;
use crate::gate::Entry;
use crate::journal::{Chunk, Journal, JournalHandle, ReadError, Window};
use crate::mailbox::Mailbox;
use crate::protocol::{Admission, Terms};
use crate::ring::{Doorbell, SocketRing};
use crate::watchman::Pulse;
use crate::ws::CloseCode;
use crate::{clock, executor, limits};

/// An upgraded socket on its way into a shard's ring, from its own front desk or another's.
pub struct Arrival {
    pub socket: OwnedFd,
    pub admission: Admission,
    pub terms: Terms,
    /// What was read past the handshake.
    pub leftover: Vec<u8>,
    /// Counts it at the gate.
    pub entry: Entry,
    pub seat: Seat,
}

/// What other threads send to a shard.
pub enum ShardMail {
    Arrival(Arrival),
    /// What the disk holds for sessions that are behind.
    Chunk(Result<Chunk, ReadError>),
    /// An answer to a request of this shard's front desk.
    Answer(u64, crate::desk::Answer),
    /// Close every session with 1012, then say that it is done.
    Shutdown,
}

/// What every thread may know of a shard.
#[derive(Clone)]
pub struct ShardHandle {
    pub mailbox: Arc<Mailbox<ShardMail>>,
    pub stats: Arc<ShardStats>,
    pub pulse: Arc<Pulse>,
    seats: Arc<AtomicU32>,
}

/// A slot promised to a handshake, so that no client gets a 101 for which there is no room.
pub struct Seat(Arc<AtomicU32>);

impl ShardHandle {
    pub fn new(slots: u32) -> std::io::Result<Self> {
        Ok(Self {
            mailbox: Arc::new(Mailbox::new(Doorbell::new()?)),
            stats: Arc::default(),
            pulse: Arc::default(),
            seats: Arc::new(AtomicU32::new(slots)),
        })
    }

    /// Promises a slot, if one is free.
    pub fn seat(&self) -> Option<Seat> {
        let taken = self.seats.fetch_update(Ordering::AcqRel, Ordering::Acquire, |free| free.checked_sub(1));
        taken.ok().map(|_| Seat(self.seats.clone()))
    }
}

impl Seat {
    /// The socket is in its slot now; the plane tells when it leaves.
    fn taken(self) {
        std::mem::forget(self);
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::AcqRel);
    }
}

/// What a shard works with beside its own sockets.
pub struct Neighbours {
    /// The newest events.
    pub window: Arc<Window>,
    /// The journal on the disk.
    pub history: JournalHandle,
    pub directory: Arc<Directory>,
    /// Where the desk's requests wait for their answers.
    pub answers: Rc<crate::desk::Answers>,
    /// Set when the shard begins to stop, for its desk to see.
    pub stopping: Rc<Cell<bool>>,
    /// Set by the desk while more connections are likely to wait for being accepted.
    pub rush: Rc<Cell<bool>>,
}

/// What a client reads beside 1012.
const SHUTTING_DOWN: &str = "the server is shutting down";

/// One shard, on its own thread.
pub struct Shard {
    pub index: usize,
    pub handle: ShardHandle,
    pub journal: Arc<Window>,
    /// The journal on the disk.
    pub history: JournalHandle,
    pub directory: Arc<Directory>,
    /// Where the desk's requests wait for their answers.
    pub answers: Rc<crate::desk::Answers>,
    pub plane: Rc<RefCell<Plane<SocketRing>>>,
    /// Slots in use at the last look, to give seats back as sockets leave.
    occupied: u32,
    position: u64,
    accounts_version: u64,
    /// While a shutdown is under way: when it ends, whoever is still there.
    ends: Option<Tick>,
    /// Tells the desk that nobody is to be upgraded any more.
    stopping: Rc<Cell<bool>>,
    /// More connections are likely to wait at the desk.
    rush: Rc<Cell<bool>>,
    /// The sessions are to be closed as soon as they have been given every event that was accepted.
    closes: bool,
}

impl Shard {
    pub fn new(
        index: usize,
        handle: ShardHandle,
        neighbours: Neighbours,
        plane: Rc<RefCell<Plane<SocketRing>>>,
    ) -> Self {
        let Neighbours { window: journal, history, directory, answers, stopping, rush } = neighbours;
        // Not what is newest by now: the other shards serve already, and what came meanwhile is for this one, too.
        let position = plane.borrow().next_seq();
        Self {
            index,
            handle,
            journal,
            history,
            directory,
            answers,
            plane,
            occupied: 0,
            position,
            accounts_version: 0,
            ends: None,
            stopping,
            rush,
            closes: false,
        }
    }

    /// Runs until every session has been closed after a shutdown, or its time is over.
    pub async fn run(mut self) {
        let doorbell = self.handle.mailbox.doorbell().clone();
        self.plane.borrow_mut().sockets().attach_doorbell(doorbell.as_fd()).expect("an eventfd for the ring");
        self.plane.borrow_mut().sockets().mute_doorbell(true);
        let listener = doorbell.listen().expect("a descriptor for the shard's doorbell");
        let _ticker = glommio::spawn_local(executor::tick(doorbell.clone()));
        let _listening = glommio::spawn_local(self.handle.pulse.clone().listen());
        let mut mail = Vec::new();
        while !self.is_over() {
            if self.turn(&mut mail) {
                self.breathe().await;
                continue;
            }
            if let Some(rest) = self.rest() {
                if self.rush.get() {
                    // Newcomers are served meanwhile.
                    executor::breathe(0).await;
                } else {
                    // Too short to go to sleep by the executor, and not long enough to be missed by a request at the desk.
                    doorbell.nap(rest).expect("an eventfd can be waited for");
                    self.breathe().await;
                }
                continue;
            }
            // What came before the doorbell was unmuted is found by one more turn; what comes after it rings.
            self.plane.borrow_mut().sockets().mute_doorbell(false);
            if !self.turn(&mut mail) {
                listener.heard().await.expect("an eventfd can be read");
            }
            self.plane.borrow_mut().sockets().mute_doorbell(true);
        }
    }

    /// How long there is nothing to do but for those that are behind, whose share of the time is used up.
    fn rest(&self) -> Option<Duration> {
        let until = self.plane.borrow().rests_until()?;
        let rest = Duration::from_nanos(until.saturating_sub(clock::now()));
        Some(rest.min(Duration::from_micros(limits::NAP_US_MAX)))
    }

    /// Lets the desk have its turn. What is published does not wait for sessions that are behind, and newcomers for both.
    async fn breathe(&self) {
        let soon = self.rush.get() || self.plane.borrow().serves_those_behind();
        executor::breathe(if soon { limits::BUSY_BREATH_US } else { limits::BREATH_US }).await;
    }

    fn turn(&mut self, mail: &mut Vec<ShardMail>) -> bool {
        self.handle.pulse.beat();
        // Mail first, then the snapshot, then what the mail says: the desk let nobody in by a newer snapshot than this.
        self.handle.mailbox.collect(mail);
        let version = self.directory.version();
        if version != self.accounts_version {
            self.accounts_version = version;
            self.plane.borrow_mut().follow_accounts(self.directory.load());
        }
        self.plane.borrow_mut().tell_time(clock::unix_ms());
        for message in mail.drain(..) {
            self.receive(message);
        }
        let mut plane = self.plane.borrow_mut();
        plane.collect();
        if plane.wants_events() {
            self.position = self.journal.read_from(self.index, self.position, limits::SHARD_INBOX_BYTES, plane.inbox());
        }
        plane.tell_newest(self.journal.head() - 1);
        if let Some(from) = plane.replay_wants() {
            match self.journal.recent(from, limits::REPLAY_CHUNK_BYTES) {
                Some(chunk) => plane.replayed(Some(chunk)),
                None => {
                    let mailbox = self.handle.mailbox.clone();
                    let reply = Box::new(move |chunk| mailbox.post(ShardMail::Chunk(chunk)));
                    self.history.read(from, limits::REPLAY_CHUNK_BYTES, reply);
                }
            }
        }
        let busy = plane.turn(tick(), clock::now);
        let occupied = plane.occupied();
        if occupied < self.occupied {
            self.handle.seats.fetch_add(self.occupied - occupied, Ordering::AcqRel);
        }
        self.occupied = occupied;
        let caught_up = plane.wants_events() && self.journal.visible() == self.position;
        if self.closes && caught_up {
            self.closes = false;
            plane.close_all(CloseCode::SERVICE_RESTART, SHUTTING_DOWN);
            return true;
        }
        busy || self.journal.visible() > self.position
    }

    fn receive(&mut self, message: ShardMail) {
        match message {
            ShardMail::Arrival(arrival) => self.enter(arrival),
            ShardMail::Chunk(chunk) => {
                let chunk = chunk.inspect_err(|error| tracing::error!(shard = self.index, %error, "a replay ended"));
                self.plane.borrow_mut().replayed(chunk.ok());
            }
            ShardMail::Answer(ticket, answer) => self.answers.resolve(ticket, answer),
            ShardMail::Shutdown => {
                self.ends = Some(tick() + limits::SHUTDOWN_MS_MAX / limits::TICK_MS);
                self.closes = true;
                self.stopping.set(true);
            }
        }
    }

    fn enter(&mut self, arrival: Arrival) {
        let Arrival { socket, mut admission, terms, leftover, entry, seat } = arrival;
        if self.ends.is_some() {
            // Its handshake overlapped with the shutdown: it was not there when the others were closed.
            if matches!(admission, Admission::Stream(_)) {
                // Its answer has not begun, and a connection that ends is all that there is to say.
                return;
            }
            admission = Admission::refused(CloseCode::SERVICE_RESTART, SHUTTING_DOWN);
        }
        let mut plane = self.plane.borrow_mut();
        match plane.enter(socket, admission, terms, entry, leftover) {
            Ok(()) => {
                seat.taken();
                self.occupied += 1;
            }
            // The socket is dropped, which resets the connection; the seat goes back.
            Err(error) => tracing::error!(shard = self.index, %error, "an upgraded socket could not enter its slot"),
        }
    }

    fn is_over(&self) -> bool {
        self.ends.is_some_and(|ends| self.plane.borrow().occupied() == 0 || tick() >= ends)
    }
}

/// The present tick.
pub fn tick() -> Tick {
    (clock::now() / (u64::from(limits::TICK_MS) * 1_000_000)) as Tick
}
