//! One client thread's sockets to one server: opening them, moving them into rings, serving their completions.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::net::SocketAddrV4;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use ahash::AHashMap;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use stentor::ring::{Completion, Doorbell, Operation, RingOptions, SendBatch, SlotRef, SocketRing};

use crate::addresses::Sources;
use crate::client::{ClientError, Tally};
use crate::clock::Clock;
use crate::frame::{OPCODE_CLOSE, client_control};
use crate::handshake::Framing;
use crate::limits::{
    CLOSING_MS_MAX, CLOSING_QUIET_MS_MAX, COMPLETIONS_A_REAP, RECEIVE_BUFFER_BYTES, RECEIVE_BUFFERS_PER_RING,
    RING_COMPLETION_ENTRIES, RING_SUBMISSION_ENTRIES,
};
use crate::listener::{Listener, Notice, Phase};
use crate::returns::Returns;
use crate::secure::{Session, Trust};

/// How long the server may leave a connection in its accept queue.
const CONNECT_SECONDS_MAX: u64 = 20;

/// How many early ends are kept in words.
const ENDS_TOLD_MAX: usize = 5;

/// Upgrades started in one turn, before answers are looked at again.
const CONNECTS_PER_TURN: u32 = 16;

/// Which sockets to open, and who takes what they receive.
pub struct CrowdPlan<L> {
    pub address: SocketAddrV4,
    /// Where TLS is spoken: whose word on the server counts.
    pub trust: Option<Trust>,
    pub listener: L,
    pub sockets: u32,
    /// Where they come from; `None` lets the kernel choose (a server on another machine).
    pub sources: Option<Sources>,
    pub slots_per_ring: u32,
    pub handshakes_max: u32,
    pub tally: Arc<Tally>,
}

/// A ring and the number of its first socket; the others follow slot by slot.
struct Lane {
    ring: SocketRing,
    first: u32,
    /// Sockets whose receive ended and must be armed again, first come first served. Only as many at a time as there
    /// are buffers: arming all 10,000 that a storm left without would serve 64 and fail the rest, again and again.
    deaf: VecDeque<Deaf>,
    /// When everything in the ring had been read.
    looked_ns: u64,
    /// Sockets that are not to read for now.
    held: AHashMap<u32, Held>,
    /// Sockets that go, by slot, until their descriptor is closed and another may take their place.
    leaving: AHashMap<u32, Leaving>,
    /// By slot, where TLS is spoken.
    secure: AHashMap<u32, Box<Session>>,
    /// What TLS itself has to say.
    records: Vec<(u32, Vec<u8>)>,
    /// What a secure socket got, in plain.
    plain: Vec<u8>,
}

/// A socket that can't receive until it is armed again.
#[derive(Clone, Copy, Debug)]
struct Deaf {
    at: SlotRef,
    /// Nothing that it has to read came before this time.
    since_ns: u64,
}

/// What a socket that does not read waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Held {
    /// For the end of the receive that is still armed.
    Armed,
    /// For being told to read on.
    Unarmed,
}

/// What a socket that goes waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leaving {
    /// For its end to be heeded. Its receive ended with it, so nothing more will be heard of it.
    Heeding,
    /// For the server's end of the stream.
    Stream { until_ns: u64 },
    /// For the kernel to have closed its descriptor.
    Descriptor,
}

/// The sockets of one plan. A socket's number is its place in the plan: lane × slots + slot.
pub struct Crowd<L> {
    plan: CrowdPlan<L>,
    clock: Clock,
    lanes: Vec<Lane>,
    /// Sockets whose upgrade was sent, and those of them that were answered.
    started: u32,
    opened: u32,
    /// Those that ended and come back.
    returns: Returns,
    completions: Vec<Completion>,
    notices: Vec<Notice>,
    ended_why: Vec<String>,
}

impl<L: Listener> Crowd<L> {
    /// Sets up as many rings as the sockets take, all ringing `doorbell`.
    pub fn new(plan: CrowdPlan<L>, clock: Clock, doorbell: &Doorbell) -> Result<Self, ClientError> {
        let mut lanes = Vec::new();
        for first in (0..plan.sockets).step_by(plan.slots_per_ring.max(1) as usize) {
            let slots = (plan.sockets - first).min(plan.slots_per_ring);
            let options = RingOptions {
                slots,
                submission_entries: RING_SUBMISSION_ENTRIES,
                completion_entries: RING_COMPLETION_ENTRIES,
                receive_buffers: RECEIVE_BUFFERS_PER_RING,
                receive_buffer_bytes: RECEIVE_BUFFER_BYTES,
            };
            let setup = || {
                let ring = SocketRing::new(options)?;
                ring.attach_doorbell(doorbell.as_fd())?;
                io::Result::Ok(ring)
            };
            lanes.push(Lane {
                ring: setup().map_err(|source| ClientError::Ring { slots, source })?,
                first,
                deaf: VecDeque::new(),
                looked_ns: 0,
                held: AHashMap::new(),
                leaving: AHashMap::new(),
                secure: AHashMap::new(),
                records: Vec::new(),
                plain: Vec::new(),
            });
        }
        let (returns, completions, notices, ended_why) = Default::default();
        Ok(Self { plan, clock, lanes, started: 0, opened: 0, returns, completions, notices, ended_why })
    }

    pub fn is_connected(&self) -> bool {
        self.opened == self.plan.sockets
    }

    /// The thread slept until something came, at `rung_ns`.
    pub fn has_slept(&mut self, rung_ns: u64) {
        self.lanes.iter_mut().for_each(|lane| lane.looked_ns = lane.looked_ns.max(rung_ns));
    }

    pub fn mute_doorbell(&mut self, muted: bool) {
        self.lanes.iter_mut().for_each(|lane| lane.ring.mute_doorbell(muted));
    }

    /// Opens a few sockets more, as far as the window of unanswered upgrades allows.
    pub fn connect_some(&mut self) -> Result<(), ClientError> {
        for _ in 0..CONNECTS_PER_TURN {
            if self.started == self.plan.sockets || self.started - self.opened >= self.plan.handshakes_max {
                break;
            }
            self.open(self.started)?;
            self.started += 1;
        }
        Ok(())
    }

    fn open(&mut self, number: u32) -> Result<(), ClientError> {
        let upgrade = self.plan.listener.upgrade(number);
        let lane = &mut self.lanes[(number / self.plan.slots_per_ring) as usize];
        let slot = number % self.plan.slots_per_ring;
        let first = match &self.plan.trust {
            None => upgrade,
            Some(trust) => {
                let mut session = trust.session(*self.plan.address.ip());
                session.say(&upgrade);
                let hello = session.outgoing();
                lane.secure.insert(slot, session.into());
                hello.into()
            }
        };
        let socket = open_socket(self.plan.address, self.plan.sources.as_mut(), &first)?;
        lane.ring.adopt(slot, socket).map_err(|source| ClientError::Socket { source })?;
        lane.ring.arm_receive(SlotRef::new(slot, 0));
        Ok(())
    }

    /// Opens those anew whose time has come, a few at a time; returns how many that was.
    fn open_returning(&mut self) -> Result<usize, ClientError> {
        if !self.returns.are_awaited() {
            return Ok(0);
        }
        let listener = &self.plan.listener;
        self.returns.retain_under_way(|socket| listener.phase(socket) == Phase::Upgrading);
        for begun in 0..CONNECTS_PER_TURN as usize {
            let Some(number) = self.returns.next(self.clock.now_ns(), self.plan.handshakes_max as usize) else {
                return Ok(begun);
            };
            self.open_anew(number)?;
        }
        Ok(CONNECTS_PER_TURN as usize)
    }

    /// Has another connection take the place of a socket that left. What the server does not take is a fault of its, and not the
    /// end of the run: it took the first one.
    fn open_anew(&mut self, number: u32) -> Result<(), ClientError> {
        self.plan.listener.begin_anew(number, self.clock.now_ns());
        match self.open(number) {
            Err(
                error @ (ClientError::Connect { .. }
                | ClientError::ConnectTimeout { .. }
                | ClientError::SendUpgrade { .. }),
            ) => {
                self.plan.listener.leave(number);
                match self.plan.listener.returns_at(number, self.clock.now_ns()) {
                    Some(at_ns) => self.returns.wait(number, at_ns),
                    None => self.tell_ended(error.to_string()),
                }
                Ok(())
            }
            other => other,
        }
    }

    fn tell_ended(&mut self, why: String) {
        self.plan.tally.ended.fetch_add(1, Relaxed);
        if self.ended_why.len() < ENDS_TOLD_MAX {
            self.ended_why.push(why);
        }
    }

    /// Handles what the rings have; returns how many completions that was.
    pub fn serve(&mut self) -> Result<usize, ClientError> {
        let mut handled = 0;
        for index in 0..self.lanes.len() {
            let lane = &mut self.lanes[index];
            let rearmed = lane.deaf.len().min(usize::from(RECEIVE_BUFFERS_PER_RING));
            let unread_since_ns = lane.unread_since_ns();
            for Deaf { at, .. } in lane.deaf.drain(..rearmed) {
                match lane.held.get_mut(&at.slot) {
                    Some(held) => *held = Held::Unarmed,
                    None => lane.ring.arm_receive(at),
                }
            }
            handled += rearmed;
            lane.ring.reap(&mut self.completions);
            let now_ns = self.clock.now_ns();
            // Where the kernel brought all that it brings at a time and has more, that has been there as long. Else what it has by now came
            // just now.
            let is_behind = self.completions.len() >= COMPLETIONS_A_REAP && lane.ring.has_more();
            let looked_ns = if is_behind { lane.looked_ns } else { now_ns };
            if self.completions.is_empty() {
                lane.looked_ns = looked_ns;
                continue;
            }
            handled += self.completions.len();
            let mut left = Vec::new();
            for completion in self.completions.drain(..) {
                match completion.operation {
                    Operation::Receive => {
                        take_received(lane, completion, &mut self.plan.listener, now_ns, &mut self.notices);
                    }
                    Operation::Close if lane.leaving.remove(&completion.at.slot) == Some(Leaving::Descriptor) => {
                        left.push(lane.first + completion.at.slot);
                    }
                    _ => {}
                }
            }
            lane.looked_ns = looked_ns;
            lane.say_records();
            let delivered = self.plan.listener.end_batch(now_ns, now_ns.saturating_sub(unread_since_ns));
            self.plan.tally.delivered.fetch_add(delivered, Relaxed);
            self.heed_notices()?;
            for number in left {
                if !self.returns.is_vacant(number) {
                    self.open_anew(number)?;
                }
            }
        }
        self.plan.listener.tend(|| self.clock.now_ns(), &mut self.notices);
        self.heed_notices()?;
        self.give_up_waiting();
        Ok(handled + self.open_returning()?)
    }

    /// Counts those as ended whose goodbye the server does not answer, and ends those by ourselves that come back.
    fn give_up_waiting(&mut self) {
        for index in 0..self.lanes.len() {
            if self.lanes[index].leaving.is_empty() {
                continue;
            }
            let now_ns = self.clock.now_ns();
            let late = |(_, leaving): &(&u32, &Leaving)| matches!(leaving, Leaving::Stream { until_ns } if now_ns >= *until_ns);
            let slots: Vec<u32> = self.lanes[index].leaving.iter().filter(late).map(|(slot, _)| *slot).collect();
            for slot in slots {
                let lane = &mut self.lanes[index];
                lane.leaving.remove(&slot);
                lane.ring.cancel(SlotRef::new(slot, 0));
                if self.returns.is_leaving(lane.first + slot) {
                    // Its receive ends with that, and its descriptor is closed then, or this is done again.
                    lane.leaving.insert(slot, Leaving::Stream { until_ns: now_ns + CLOSING_MS_MAX * 1_000_000 });
                    continue;
                }
                lane.ring.close(SlotRef::new(slot, 0));
                self.tell_ended("the server did not end a connection that was closed with 1000".to_owned());
            }
        }
    }

    /// Says goodbye on every open socket and waits for the server's closes, at most for `patience`, and not for a
    /// server that closes nothing.
    pub fn close_all(&mut self, patience: Duration) {
        let deadline = Instant::now() + patience;
        let goodbye = client_control(OPCODE_CLOSE, &1000u16.to_be_bytes());
        for lane in &mut self.lanes {
            let sockets = lane.first..self.started.min(lane.first.saturating_add(self.plan.slots_per_ring));
            let open: Vec<u32> = sockets.filter(|socket| self.plan.listener.phase(*socket) == Phase::Open).collect();
            let mut left = open.len();
            for some in open.chunks(lane.ring.send_batch_max()) {
                let frames: Vec<(u32, &[u8])> = some.iter().map(|socket| (socket - lane.first, &goodbye[..])).collect();
                match self.plan.listener.framing() {
                    Framing::WebSocket => lane.send(&frames),
                    // Nothing may be said on it; the server sees that nobody listens any more.
                    Framing::EventStream => {
                        frames.iter().for_each(|(slot, _)| lane.ring.shutdown_write(SlotRef::new(*slot, 0)));
                    }
                }
                some.iter().for_each(|socket| self.plan.listener.leave(*socket));
                left = left.saturating_sub(drain_ended(&mut lane.ring, &mut self.completions, Duration::ZERO));
            }
            while left > 0 && Instant::now() < deadline {
                match drain_ended(&mut lane.ring, &mut self.completions, Duration::from_millis(CLOSING_QUIET_MS_MAX)) {
                    0 => break,
                    ended => left = left.saturating_sub(ended),
                }
            }
        }
    }

    /// Who took what was received, and why sockets ended early.
    pub fn into_listener(self) -> (L, Vec<String>) {
        (self.plan.listener, self.ended_why)
    }

    fn heed_notices(&mut self) -> Result<(), ClientError> {
        if self.notices.is_empty() {
            return Ok(());
        }
        let (address, slots) = (self.plan.address, self.plan.slots_per_ring);
        let (mut ended, mut leaving, mut returning) = (Vec::new(), Vec::new(), Vec::new());
        let mut replies: Vec<(u32, Vec<u8>)> = Vec::new();
        for notice in self.notices.drain(..) {
            match notice {
                Notice::Opened => {
                    self.opened += 1;
                    self.plan.tally.opened.fetch_add(1, Relaxed);
                }
                Notice::Refused(answer) => return Err(ClientError::Refused { address, answer }),
                Notice::Nonsense(what) => return Err(ClientError::Nonsense { address, what }),
                Notice::Astray(what) => return Err(ClientError::Astray { address, what }),
                Notice::Reply { socket, frame } => replies.push((socket, frame)),
                Notice::StopReading { socket } => self.lanes[(socket / slots) as usize].stop_reading(socket % slots),
                Notice::ReadOn { socket } => self.lanes[(socket / slots) as usize].read_on(socket % slots),
                Notice::ComeBack { socket } => {
                    if self.plan.listener.framing() == Framing::WebSocket {
                        replies.push((socket, client_control(OPCODE_CLOSE, &1000u16.to_be_bytes())));
                    }
                    leaving.push(socket);
                }
                Notice::Ended { socket, why } => {
                    if let Some(at_ns) = self.plan.listener.returns_at(socket, self.clock.now_ns()) {
                        self.returns.leave(socket, at_ns);
                        returning.push(socket);
                        continue;
                    }
                    ended.push(socket);
                    self.plan.tally.ended.fetch_add(1, Relaxed);
                    if self.ended_why.len() < ENDS_TOLD_MAX {
                        self.ended_why.push(why);
                    }
                }
            }
        }
        for of_lane in replies.chunk_by(|(one, _), (other, _)| one / slots == other / slots) {
            let lane = &mut self.lanes[(of_lane[0].0 / slots) as usize];
            for some in of_lane.chunks(lane.ring.send_batch_max()) {
                let frames: Vec<(u32, &[u8])> =
                    some.iter().map(|(socket, frame)| (socket % slots, &frame[..])).collect();
                lane.send(&frames);
            }
        }
        for socket in leaving {
            self.plan.listener.leave(socket);
            let (lane, slot) = (&mut self.lanes[(socket / slots) as usize], socket % slots);
            if self.plan.listener.framing() == Framing::EventStream {
                lane.ring.shutdown_write(SlotRef::new(slot, 0));
            }
            let until_ns = self.clock.now_ns() + CLOSING_MS_MAX * 1_000_000;
            lane.leaving.insert(slot, Leaving::Stream { until_ns });
        }
        for socket in returning {
            self.plan.listener.leave(socket);
            let until_ns = self.clock.now_ns() + CLOSING_MS_MAX * 1_000_000;
            self.lanes[(socket / slots) as usize].let_go(SlotRef::new(socket % slots, 0), until_ns);
        }
        for socket in ended {
            let (lane, at) = (&mut self.lanes[(socket / slots) as usize], SlotRef::new(socket % slots, 0));
            lane.leaving.remove(&at.slot);
            lane.ring.cancel(at);
            lane.ring.close(at);
        }
        Ok(())
    }
}

impl Lane {
    /// Sends small frames, in records where TLS is spoken.
    fn send(&mut self, frames: &[(u32, &[u8])]) {
        if self.secure.is_empty() {
            return send(&mut self.ring, frames);
        }
        for (slot, frame) in frames {
            if let Some(session) = self.secure.get_mut(slot) {
                session.say(frame);
                self.records.push((*slot, session.outgoing()));
            }
        }
        self.say_records();
    }

    fn say_records(&mut self) {
        for some in self.records.chunks(self.ring.send_batch_max()) {
            let records: Vec<(u32, &[u8])> = some.iter().map(|(slot, records)| (*slot, &records[..])).collect();
            send(&mut self.ring, &records);
        }
        self.records.clear();
    }

    /// Since when something may have been there that was not read yet.
    fn unread_since_ns(&self) -> u64 {
        self.deaf.front().map_or(self.looked_ns, |deaf| deaf.since_ns)
    }

    fn stop_reading(&mut self, slot: u32) {
        self.held.insert(slot, Held::Armed);
        self.ring.cancel(SlotRef::new(slot, 0));
    }

    fn read_on(&mut self, slot: u32) {
        // Where the receive has not ended yet, its end has it armed anew.
        if self.held.remove(&slot) == Some(Held::Unarmed) {
            self.deaf.push_back(Deaf { at: SlotRef::new(slot, 0), since_ns: self.looked_ns });
        }
    }

    /// Has a socket go whose stream is over for us, so that its slot is vacant for another: once the server has ended it, too.
    fn let_go(&mut self, at: SlotRef, until_ns: u64) {
        let leaving = if self.leaving.get(&at.slot) == Some(&Leaving::Heeding) {
            self.ring.close(at);
            Leaving::Descriptor
        } else {
            // A server that would keep the connection, as after a refusal, is told that it is over.
            self.ring.shutdown_write(at);
            Leaving::Stream { until_ns }
        };
        self.leaving.insert(at.slot, leaving);
    }

    /// Has a socket's receive, which ended, armed again as soon as it may read.
    fn hear_again(&mut self, at: SlotRef) {
        match self.held.get_mut(&at.slot) {
            Some(held) => *held = Held::Unarmed,
            None => self.deaf.push_back(Deaf { at, since_ns: self.looked_ns }),
        }
    }
}

fn take_received(
    lane: &mut Lane,
    completion: Completion,
    listener: &mut impl Listener,
    now_ns: u64,
    notices: &mut Vec<Notice>,
) {
    let socket = lane.first + completion.at.slot;
    if let Some(buffer) = completion.buffer {
        if completion.result > 0 {
            let bytes = lane.ring.received(buffer, completion.result as usize);
            match lane.secure.get_mut(&completion.at.slot) {
                None => listener.receive(socket, bytes, now_ns, notices),
                Some(session) => {
                    lane.plain.clear();
                    let taken = session.receive(bytes, &mut lane.plain);
                    if !lane.plain.is_empty() {
                        listener.receive(socket, &lane.plain, now_ns, notices);
                    }
                    let records = session.outgoing();
                    if !records.is_empty() {
                        lane.records.push((completion.at.slot, records));
                    }
                    match taken {
                        Ok(()) => {}
                        Err(error) if listener.phase(socket) == Phase::Upgrading => {
                            listener.not_opened(socket, Notice::Astray(format!("TLS: {error}")), notices);
                        }
                        Err(error) => listener.ended(socket, &format!("TLS: {error}"), notices),
                    }
                }
            }
        }
        lane.ring.recycle(buffer);
    }
    let out_of_buffers = completion.result == -rustix::io::Errno::NOBUFS.raw_os_error();
    let ended = listener.phase(socket) == Phase::Ended;
    let held = completion.result == -rustix::io::Errno::CANCELED.raw_os_error() && !ended;
    let leaving = lane.leaving.get_mut(&completion.at.slot);
    if completion.result > 0 || out_of_buffers || held {
        // Out of buffers, or the kernel ended the multishot, or the socket stopped reading.
        if !completion.more && (!ended || leaving.is_some()) {
            lane.hear_again(completion.at);
        }
    } else if let Some(leaving) = leaving {
        *leaving = Leaving::Descriptor;
        lane.ring.close(completion.at);
    } else if completion.result == 0 {
        listener.ended(socket, "the server ended the stream without a close frame", notices);
    } else {
        listener.ended(socket, &io::Error::from_raw_os_error(-completion.result).to_string(), notices);
    }
    // The end of the stream may come in one batch with the message that ends it for us, before that is heeded.
    if !completion.more && listener.phase(socket) == Phase::Ended {
        lane.leaving.entry(completion.at.slot).or_insert(Leaving::Heeding);
    }
}

/// Sends small frames. What a full socket does not take is dropped: it has more urgent troubles than a pong.
fn send(ring: &mut SocketRing, frames: &[(u32, &[u8])]) {
    let mut batch = SendBatch::default();
    for (slot, frame) in frames {
        batch.begin(*slot);
        batch.push(frame);
    }
    ring.send(&batch, &mut Vec::new());
}

/// Reaps, throws away what is still received, and counts the streams that ended.
fn drain_ended(ring: &mut SocketRing, completions: &mut Vec<Completion>, wait: Duration) -> usize {
    if wait.is_zero() {
        ring.reap(completions);
    } else {
        ring.wait(wait, completions);
    }
    let mut ended = 0;
    for completion in completions.drain(..) {
        if let Some(buffer) = completion.buffer {
            ring.recycle(buffer);
        }
        if completion.operation == Operation::Receive && !completion.more {
            let out_of_buffers = completion.result == -rustix::io::Errno::NOBUFS.raw_os_error();
            if completion.result > 0 || out_of_buffers {
                ring.arm_receive(completion.at);
            } else {
                ended += 1;
                ring.close(completion.at);
            }
        }
    }
    ended
}

/// A connected socket with the upgrade already sent.
fn open_socket(address: SocketAddrV4, sources: Option<&mut Sources>, upgrade: &[u8]) -> Result<OwnedFd, ClientError> {
    let mut socket = match sources {
        None => connect(address, None).map_err(|source| refused(address, source))?,
        Some(sources) => loop {
            match connect(address, Some(sources.next()?)) {
                Ok(socket) => break socket,
                // Somebody else has that port, or a connection from it is still in TIME_WAIT.
                Err(error) if matches!(error.kind(), io::ErrorKind::AddrInUse | io::ErrorKind::AddrNotAvailable) => {}
                Err(source) => return Err(refused(address, source)),
            }
        },
    };
    socket.write_all(upgrade).map_err(|source| ClientError::SendUpgrade { address, source })?;
    Ok(OwnedFd::from(socket))
}

fn connect(address: SocketAddrV4, source: Option<SocketAddrV4>) -> io::Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM.cloexec(), Some(Protocol::TCP))?;
    if let Some(source) = source {
        socket.set_reuse_address(true)?;
        socket.bind(&SockAddr::from(source))?;
    }
    // SO_SNDTIMEO bounds connect(2) too (socket(7)).
    socket.set_write_timeout(Some(Duration::from_secs(CONNECT_SECONDS_MAX)))?;
    socket.set_tcp_nodelay(true)?;
    socket.connect(&SockAddr::from(address))?;
    Ok(socket)
}

fn refused(address: SocketAddrV4, source: io::Error) -> ClientError {
    match source.raw_os_error().map(rustix::io::Errno::from_raw_os_error) {
        Some(rustix::io::Errno::INPROGRESS | rustix::io::Errno::AGAIN | rustix::io::Errno::TIMEDOUT) => {
            ClientError::ConnectTimeout { address }
        }
        Some(rustix::io::Errno::MFILE | rustix::io::Errno::NFILE) => ClientError::Socket { source },
        _ => ClientError::Connect { address, source },
    }
}
