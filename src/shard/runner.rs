//! The shard on its executor: mail, events and turns, and sleep when there is nothing to do.

use std::cell::{Cell, RefCell};
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::Sender;
use std::time::Duration;

use super::drain::{DrainRules, SHUTTING_DOWN};
use super::plane::Plane;
use super::secured::{Link, Secured};
use super::stats::{ReadFrom, ShardStats};
use super::survey::Survey;
use super::wheel::Tick;
use crate::accounts::Directory;
use crate::desk::{Door, Places};
use crate::gate::Entry;
use crate::journal::{Chunk, Journal, JournalHandle, ReadError, Window};
use crate::mailbox::Mailbox;
use crate::protocol::{Admission, LiveRules, Terms};
use crate::ring::{Doorbell, SocketRing};
use crate::watchman::Pulse;
use crate::ws::CloseCode;
use crate::{clock, executor, limits};

/// An upgraded socket on its way into a shard's ring, from its own front desk or another's.
pub struct Arrival {
    pub socket: Link<OwnedFd>,
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
    /// A question of an operator's.
    Survey(Survey),
    /// Let nobody new in, tell every session to come back, and close them over a while. `gone` is dropped when all are gone, or have had
    /// the time for it. The desk serves whoever is there.
    Drain {
        rules: DrainRules,
        gone: Sender<()>,
    },
    /// No event is to come any more: the same, at once, with those who are left, and then the end.
    Shutdown(DrainRules),
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
    /// What the sessions may do, as it is in force.
    pub rules: Arc<LiveRules>,
    /// The desk's, which the shard closes when it begins to end.
    pub door: Rc<Door>,
    /// Set when no event is to come any more, for its desk to see.
    pub stopping: Rc<Cell<bool>>,
    /// Of the desk's connections.
    pub places: Rc<Places>,
    /// Set by the desk while more connections are likely to wait for being accepted.
    pub rush: Rc<Cell<bool>>,
}

/// One shard, on its own thread.
pub struct Shard {
    pub index: usize,
    /// How many there are.
    pub shards: usize,
    pub handle: ShardHandle,
    pub journal: Arc<Window>,
    /// The journal on the disk.
    pub history: JournalHandle,
    pub directory: Arc<Directory>,
    /// Where the desk's requests wait for their answers.
    pub answers: Rc<crate::desk::Answers>,
    pub plane: Rc<RefCell<Plane<Secured<SocketRing>>>>,
    /// Slots in use at the last look, to give seats back as sockets leave.
    occupied: u32,
    position: u64,
    accounts_version: u64,
    rules: Arc<LiveRules>,
    rules_version: u64,
    ending: Ending,
    door: Rc<Door>,
    places: Rc<Places>,
    /// Tells the desk that no event is to come any more.
    stopping: Rc<Cell<bool>>,
    /// More connections are likely to wait at the desk.
    rush: Rc<Cell<bool>>,
}

/// How far the shard's end is.
enum Ending {
    /// It serves.
    NotYet,
    /// Sessions are told and closed, for as long as that takes and no longer than this; whoever holds the other end hears of it.
    Drains { until: Tick, gone: Sender<()> },
    /// The sessions are gone. Waits for the word that all others are, too.
    Drained,
    /// Waits until the sessions have been given every event that was accepted, to close them.
    Closes { ends: Tick, rules: DrainRules },
    /// Waits until the last socket is gone, and, for a moment, for requests that are being answered; or for the deadline.
    Farewell { polite_until: Tick, ends: Tick },
}

impl Shard {
    pub fn new(
        index: usize,
        shards: usize,
        handle: ShardHandle,
        neighbours: Neighbours,
        plane: Rc<RefCell<Plane<Secured<SocketRing>>>>,
    ) -> Self {
        let Neighbours { window: journal, history, directory, answers, rules, door, stopping, places, rush } =
            neighbours;
        // Not what is newest by now: the other shards serve already, and what came meanwhile is for this one, too.
        let position = plane.borrow().next_seq();
        Self {
            index,
            shards,
            handle,
            journal,
            history,
            directory,
            answers,
            plane,
            occupied: 0,
            position,
            accounts_version: 0,
            rules_version: rules.version(),
            rules,
            ending: Ending::NotYet,
            door,
            places,
            stopping,
            rush,
        }
    }

    /// Runs until every session has been closed after a shutdown, or its time is over.
    pub async fn run(mut self) {
        let doorbell = self.handle.mailbox.doorbell().clone();
        self.plane.borrow_mut().sockets().inner().attach_doorbell(doorbell.as_fd()).expect("an eventfd for the ring");
        self.plane.borrow_mut().sockets().inner().mute_doorbell(true);
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
            self.plane.borrow_mut().sockets().inner().mute_doorbell(false);
            if !self.turn(&mut mail) {
                listener.heard().await.expect("an eventfd can be read");
            }
            self.plane.borrow_mut().sockets().inner().mute_doorbell(true);
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
        let version = self.rules.version();
        if version != self.rules_version {
            self.rules_version = version;
            self.plane.borrow_mut().follow_rules(self.rules.load());
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
                Some(chunk) => {
                    self.handle.stats.replay_reads.of(ReadFrom::Memory).add(1);
                    plane.replayed(Some(chunk));
                }
                None => {
                    self.handle.stats.replay_reads.of(ReadFrom::Disk).add(1);
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
        let has_more = self.journal.visible() > self.position;
        let is_caught_up = plane.wants_events() && !has_more;
        drop(plane);
        self.go_on_with_ending(is_caught_up) || busy || has_more
    }

    /// Returns whether there is something to do at once.
    fn go_on_with_ending(&mut self, is_caught_up: bool) -> bool {
        let mut plane = self.plane.borrow_mut();
        match self.ending {
            // Whoever was to be closed later may have left before.
            Ending::Drains { until, .. } if plane.occupied() == 0 || tick() >= until => {
                tracing::debug!(shard = self.index, left = plane.occupied(), "the sessions are gone");
                if let Ending::Drains { gone, .. } = std::mem::replace(&mut self.ending, Ending::Drained) {
                    drop(gone);
                }
                false
            }
            Ending::Closes { ends, rules } if is_caught_up => {
                plane.begin_drain(DrainRules { drain_ms: 0, ..rules }, self.index, self.shards);
                self.ending = Ending::Farewell { polite_until: after_ms(limits::FAREWELL_MS), ends };
                true
            }
            _ => false,
        }
    }

    fn receive(&mut self, message: ShardMail) {
        match message {
            ShardMail::Arrival(arrival) => self.enter(arrival),
            ShardMail::Chunk(chunk) => {
                let chunk = chunk.inspect_err(|error| tracing::error!(shard = self.index, %error, "a replay ended"));
                self.plane.borrow_mut().replayed(chunk.ok());
            }
            ShardMail::Answer(ticket, answer) => self.answers.resolve(ticket, answer),
            ShardMail::Survey(survey) => self.plane.borrow_mut().survey(survey),
            ShardMail::Drain { rules, gone } => self.drain(rules, gone),
            ShardMail::Shutdown(rules) => {
                self.stopping.set(true);
                self.door.close(0, rules.restart_ms.into());
                self.ending = match self.ending {
                    // Whoever is left has had its time; the desk's last answers are still on their way.
                    Ending::Drains { .. } | Ending::Drained => {
                        let ends = after_ms(limits::FAREWELL_MS);
                        Ending::Farewell { polite_until: ends, ends }
                    }
                    _ => Ending::Closes { ends: after_ms(limits::SHUTDOWN_MS_MAX), rules },
                };
            }
        }
    }

    fn drain(&mut self, rules: DrainRules, gone: Sender<()>) {
        if !matches!(self.ending, Ending::NotYet) {
            return;
        }
        let mut plane = self.plane.borrow_mut();
        // With nobody to wait for there is no time for those who are still shaking hands.
        let ajar_ms = if plane.occupied() > 0 { limits::DOOR_AJAR_MS.min(rules.drain_ms.into()) } else { 0 };
        self.door.close(ajar_ms, rules.away_ms());
        plane.begin_drain(rules, self.index, self.shards);
        let until = after_ms(rules.drain_ms + limits::DRAIN_LINGER_MS);
        self.ending = Ending::Drains { until, gone };
    }

    fn enter(&mut self, arrival: Arrival) {
        let Arrival { socket, mut admission, terms, leftover, entry, seat } = arrival;
        if !matches!(self.ending, Ending::NotYet | Ending::Drains { .. }) {
            // Its handshake overlapped with the end: it was not there when the others were closed.
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
        match self.ending {
            Ending::NotYet | Ending::Drains { .. } | Ending::Drained => false,
            Ending::Closes { ends, .. } => tick() >= ends,
            Ending::Farewell { polite_until, ends } => {
                let is_empty = || self.plane.borrow().occupied() == 0 && self.door.is_shut();
                let at_rest = || tick() >= polite_until || self.places.are_at_rest(clock::now());
                tick() >= ends || (is_empty() && at_rest())
            }
        }
    }
}

/// The tick at which so much time has gone by.
fn after_ms(ms: u32) -> Tick {
    tick() + ms.div_ceil(limits::TICK_MS)
}

/// The present tick.
pub fn tick() -> Tick {
    (clock::now() / (u64::from(limits::TICK_MS) * 1_000_000)) as Tick
}
