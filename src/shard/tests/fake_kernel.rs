//! A kernel for tests: it writes short, refuses, resets, answers late and out of order, and panics where the shard breaks
//! a rule that the real one would punish with a leak or with another socket's bytes.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::rc::Rc;

use rustls::ClientConnection;

use crate::ring::{Completion, Operation, SendBatch, SlotRef};
use crate::shard::secured::Link;
use crate::shard::sockets::{Received, Sockets};
use crate::tls::{Engine, fixture};

/// One connection, seen from its far end. Clones share it.
#[derive(Clone, Default)]
pub struct FakeClient(Rc<RefCell<Connection>>);

#[derive(Default)]
struct Connection {
    /// What the server sent and the client has not read yet.
    in_flight: Vec<u8>,
    /// What the client has read.
    read: Vec<u8>,
    /// What the client sent and the shard has not received yet.
    inbound: Vec<u8>,
    /// Bytes that the kernel takes before it is full.
    buffer_bytes: usize,
    reset: bool,
    client_finished: bool,
    server_finished: bool,
    server_closed: bool,
    /// Its end of TLS, and the server's until that is taken.
    tls: Option<ClientConnection>,
    engine: Option<Box<Engine>>,
}

impl FakeClient {
    /// A connection whose kernel buffer takes `buffer_bytes`.
    pub fn new(buffer_bytes: usize) -> Self {
        Self(Rc::new(RefCell::new(Connection { buffer_bytes, ..Connection::default() })))
    }

    /// One that has shaken hands by TLS. What it reads and sends is told as plaintext; its kernel counts ciphertext.
    pub fn secure(buffer_bytes: usize) -> Self {
        Self::connected_by(fixture::connected(), buffer_bytes)
    }

    /// The same; its server's keys are used up after so many records.
    pub fn enduring(records: u64, buffer_bytes: usize) -> Self {
        Self::connected_by(fixture::enduring(records), buffer_bytes)
    }

    fn connected_by((tls, engine): (ClientConnection, Engine), buffer_bytes: usize) -> Self {
        let client = Self::new(buffer_bytes);
        {
            let mut connection = client.0.borrow_mut();
            connection.tls = Some(tls);
            connection.engine = Some(Box::new(engine));
        }
        client
    }

    /// The server's end of it, on its way into a slot.
    pub fn link(&self) -> Link<Self> {
        Link { socket: self.clone(), tls: self.0.borrow_mut().engine.take() }
    }

    /// Reads at most `most` bytes of what has come.
    pub fn read(&self, most: usize) {
        let mut connection = self.0.borrow_mut();
        let taken = most.min(connection.in_flight.len());
        let mut bytes: Vec<u8> = connection.in_flight.drain(..taken).collect();
        if let Some(tls) = &mut connection.tls {
            bytes = fixture::take_in(tls, &bytes);
        }
        connection.read.extend(bytes);
    }

    /// The same, for a reader that keeps it elsewhere.
    pub fn take(&self, most: usize) -> Vec<u8> {
        let mut connection = self.0.borrow_mut();
        let taken = most.min(connection.in_flight.len());
        connection.in_flight.drain(..taken).collect()
    }

    /// Everything read so far.
    pub fn bytes(&self) -> Vec<u8> {
        self.0.borrow().read.clone()
    }

    /// The link got better: the kernel takes `buffer_bytes` from now on.
    pub fn widen(&self, buffer_bytes: usize) {
        self.0.borrow_mut().buffer_bytes = buffer_bytes;
    }

    pub fn unread(&self) -> usize {
        self.0.borrow().in_flight.len()
    }

    pub fn send(&self, bytes: &[u8]) {
        let mut connection = self.0.borrow_mut();
        match &mut connection.tls {
            Some(tls) => {
                let records = fixture::said(tls, bytes);
                connection.inbound.extend(records);
            }
            None => connection.inbound.extend_from_slice(bytes),
        }
    }

    pub fn is_secure(&self) -> bool {
        self.0.borrow().tls.is_some()
    }

    /// Sends bytes past its TLS.
    pub fn send_past_tls(&self, bytes: &[u8]) {
        self.0.borrow_mut().inbound.extend_from_slice(bytes);
    }

    /// Does something with its end of TLS, and sends what comes of it.
    pub fn with_tls(&self, act: impl FnOnce(&mut ClientConnection)) {
        let mut connection = self.0.borrow_mut();
        let tls = connection.tls.as_mut().expect("a secure client");
        act(tls);
        let records = fixture::to_send(tls);
        connection.inbound.extend(records);
    }

    /// Whether the end of its TLS has been announced to it, in what it has read.
    pub fn saw_close_notify(&self) -> bool {
        let mut connection = self.0.borrow_mut();
        connection
            .tls
            .as_mut()
            .expect("a secure client")
            .process_new_packets()
            .is_ok_and(|state| state.peer_has_closed())
    }

    pub fn finish(&self) {
        self.0.borrow_mut().client_finished = true;
    }

    pub fn reset(&self) {
        self.0.borrow_mut().reset = true;
    }

    /// Whether the server's end of the stream has come.
    pub fn saw_end(&self) -> bool {
        let connection = self.0.borrow();
        connection.server_finished || connection.server_closed
    }

    /// Whether the server gave the socket up.
    pub fn closed(&self) -> bool {
        self.0.borrow().server_closed
    }
}

/// The kernel's side of all connections of one shard.
pub struct FakeKernel {
    slots: BTreeMap<u32, Slot>,
    /// Completions that are made and not yet delivered.
    pending: Vec<Completion>,
    /// Buffers that the shard holds, by id; `None` where the kernel has them.
    buffers: Vec<Option<Vec<u8>>>,
    random: fastrand::Rng,
    /// Sends, by the slots of each batch.
    pub batches: Vec<Vec<u32>>,
    /// The most sends of one batch.
    pub batch_max: usize,
    /// Sends take at most a random part of what is lent.
    pub writes_short: bool,
    /// Completions come late and in any order.
    pub answers_late: bool,
}

struct Slot {
    client: FakeClient,
    receive: Option<SlotRef>,
    writable: Option<SlotRef>,
    shutdown: Option<SlotRef>,
}

const BUFFERS: usize = 4;
const BUFFER_BYTES: usize = 512;

impl FakeKernel {
    pub fn new(seed: u64) -> Self {
        Self {
            slots: BTreeMap::new(),
            pending: Vec::new(),
            buffers: vec![None; BUFFERS],
            random: fastrand::Rng::with_seed(seed),
            batches: Vec::new(),
            batch_max: 64,
            writes_short: false,
            answers_late: false,
        }
    }

    /// Slots in use.
    pub fn occupied(&self) -> usize {
        self.slots.len()
    }

    fn slot(&mut self, at: SlotRef) -> &mut Slot {
        self.slots.get_mut(&at.slot).unwrap_or_else(|| panic!("{at:?} has no socket"))
    }

    fn complete(&mut self, operation: Operation, at: SlotRef, result: i32) {
        self.pending.push(Completion { operation, at, result, buffer: None, more: false });
    }

    /// Lets things happen: bytes arrive, sockets take bytes again.
    fn happen(&mut self) {
        let slots: Vec<u32> = self.slots.keys().copied().collect();
        for number in slots {
            self.receive(number);
            let slot = &self.slots[&number];
            let connection = slot.client.0.borrow();
            let room = connection.reset || connection.in_flight.len() < connection.buffer_bytes;
            drop(connection);
            if let Some(at) = slot.writable.filter(|_| room) {
                self.slots.get_mut(&number).expect("listed above").writable = None;
                self.complete(Operation::Writable, at, libc::POLLOUT.into());
            }
        }
    }

    fn receive(&mut self, number: u32) {
        let slot = self.slots.get_mut(&number).expect("listed by the caller");
        let Some(at) = slot.receive else { return };
        let mut connection = slot.client.0.borrow_mut();
        let (result, more) = if connection.reset {
            (-libc::ECONNRESET, false)
        } else if !connection.inbound.is_empty() {
            let Some(buffer) = self.buffers.iter().position(Option::is_none) else {
                slot.receive = None;
                drop(connection);
                return self.complete(Operation::Receive, at, -libc::ENOBUFS);
            };
            let most = connection.inbound.len().min(1 + self.random.usize(..BUFFER_BYTES));
            let bytes: Vec<u8> = connection.inbound.drain(..most).collect();
            let result = bytes.len() as i32;
            self.buffers[buffer] = Some(bytes);
            // A multishot receive may end at any time; whoever does not arm it again goes deaf.
            let more = self.random.u8(..) > 40;
            self.pending.push(Completion {
                operation: Operation::Receive,
                at,
                result,
                buffer: Some(buffer as u16),
                more,
            });
            drop(connection);
            if !more {
                slot.receive = None;
            }
            return;
        } else if connection.client_finished {
            (0, false)
        } else {
            return;
        };
        drop(connection);
        slot.receive = None;
        self.pending.push(Completion { operation: Operation::Receive, at, result, buffer: None, more });
    }
}

impl Sockets for FakeKernel {
    type Socket = FakeClient;

    fn send_batch_max(&self) -> usize {
        self.batch_max
    }

    fn adopt(&mut self, at: SlotRef, socket: FakeClient) -> io::Result<()> {
        let slot = at.slot;
        let fresh = Slot { client: socket, receive: None, writable: None, shutdown: None };
        assert!(self.slots.insert(slot, fresh).is_none(), "slot {slot} was reused while its socket was open");
        Ok(())
    }

    fn arm_receive(&mut self, at: SlotRef) {
        let slot = self.slot(at);
        assert!(slot.receive.replace(at).is_none(), "{at:?} has two receives armed");
    }

    fn watch_writable(&mut self, at: SlotRef) {
        let slot = self.slot(at);
        assert!(slot.writable.replace(at).is_none(), "{at:?} is watched twice");
    }

    fn shutdown_write(&mut self, at: SlotRef) {
        let slot = self.slot(at);
        slot.shutdown = Some(at);
        slot.client.0.borrow_mut().server_finished = true;
        slot.shutdown = None;
        self.complete(Operation::ShutdownWrite, at, 0);
    }

    fn cancel(&mut self, at: SlotRef) {
        let slot = self.slot(at);
        let (receive, writable) = (slot.receive.take(), slot.writable.take());
        if let Some(at) = receive {
            self.complete(Operation::Receive, at, -libc::ECANCELED);
        }
        if let Some(at) = writable {
            self.complete(Operation::Writable, at, -libc::ECANCELED);
        }
        self.complete(Operation::Cancel, at, 0);
    }

    fn close(&mut self, at: SlotRef) {
        let slot = self.slot(at);
        assert!(
            slot.receive.is_none() && slot.writable.is_none() && slot.shutdown.is_none(),
            "{at:?} is closed with an operation armed: the socket would stay open"
        );
        let undelivered = self.pending.iter().find(|completion| completion.at.slot == at.slot);
        assert!(undelivered.is_none(), "{at:?} is closed before {undelivered:?} was reaped");
        self.slots[&at.slot].client.0.borrow_mut().server_closed = true;
        self.slots.remove(&at.slot);
        self.complete(Operation::Close, at, 0);
    }

    fn send(&mut self, batch: &SendBatch<'_>, results: &mut Vec<i32>) {
        results.clear();
        self.batches.push(batch.iter().map(|(slot, _)| slot).collect());
        for (slot, pieces) in batch.iter() {
            let client = &self.slots.get(&slot).unwrap_or_else(|| panic!("a send to vacant slot {slot}")).client;
            let mut connection = client.0.borrow_mut();
            assert!(!connection.server_finished, "a send to slot {slot} after its end of stream");
            let lent: Vec<u8> = pieces.iter().flat_map(|piece| piece.iter().copied()).collect();
            assert!(!lent.is_empty(), "an empty send to slot {slot}");
            // The link may have got worse since.
            let room = connection.buffer_bytes.saturating_sub(connection.in_flight.len());
            let mut taken = lent.len().min(room);
            if self.writes_short && taken > 1 {
                taken = 1 + self.random.usize(..taken);
            }
            results.push(if connection.reset {
                -libc::ECONNRESET
            } else if taken == 0 {
                -libc::EAGAIN
            } else {
                connection.in_flight.extend_from_slice(&lent[..taken]);
                taken as i32
            });
        }
    }

    fn reap(&mut self, completions: &mut Vec<Completion>) {
        self.happen();
        if !self.answers_late {
            completions.append(&mut self.pending);
            return;
        }
        // Only what belongs to one operation of one socket stays in order.
        let mut held_back: Vec<Completion> = Vec::new();
        for completion in std::mem::take(&mut self.pending) {
            let same = |other: &Completion| other.at == completion.at && other.operation == completion.operation;
            if held_back.iter().any(same) || self.random.bool() {
                held_back.push(completion);
            } else {
                completions.push(completion);
            }
        }
        self.pending = held_back;
    }

    fn received(&mut self, _: SlotRef, buffer: u16, len: usize) -> Received<'_> {
        let bytes = self.buffers[buffer as usize].as_mut().expect("the shard reads a buffer that it gave back");
        Received { bytes: &mut bytes[..len], ended: false }
    }

    fn recycle(&mut self, buffer: u16) {
        assert!(self.buffers[buffer as usize].take().is_some(), "buffer {buffer} was given back twice");
    }
}
