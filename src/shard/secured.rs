//! TLS between a shard and its sockets: what is sent becomes records as it leaves, what came is decrypted as it is looked at. The
//! plane above knows nothing of it, and sockets without TLS pass through untouched.
//!
//! ```text
//!   plane ─ send ─▶ all that the socket has now, one ciphertext ─▶ inner.send ─┬─ all of it left: the buffer goes back
//!                                                                              └─ a part: kept, watched ─ POLLOUT ─▶ inner.send …
//!   plane ◀─ received ── decrypted ◀─ inner
//! ```
//!
//! Invariants worth naming:
//! * **Ciphertext is sent.** Its records have used up their numbers, so what the kernel refuses is kept here until it has left, or
//!   the socket ends. The plane is told that all was taken, and before that has left it gets `EAGAIN` for more.
//! * A watch of the plane's completes when the socket takes bytes again *and* nothing is left here. One of the layer's own is not
//!   seen by the plane.
//! * A shutdown waits for what is left, and sends a close_notify first.
//! * The plane gives a socket up once nothing of its own is armed. Here that waits until nothing of the layer's is, either.
//! * An idle socket owns no buffer, and no more than [`TLS_SEND_BYTES_MAX`] of plaintext are encrypted for one at a time.

use std::io::{self, IoSlice};

use super::sockets::{Received, Sockets};
use crate::limits::{TLS_SEND_BYTES_MAX, TLS_SPARE_BUFFER_BYTES_MAX, TLS_SPARE_BUFFERS_MAX};
use crate::ring::{Completion, Operation, SendBatch, SlotRef};
use crate::tls::Engine;

/// A socket on its way into a slot, with its TLS where it speaks that.
pub struct Link<T> {
    pub socket: T,
    pub tls: Option<Box<Engine>>,
}

pub struct Secured<S: Sockets> {
    inner: S,
    /// By slot; sockets without TLS have none.
    secures: Vec<Option<Box<Secure>>>,
    /// How many there are. As long as there are none, every call goes straight through.
    count: usize,
    /// Slots that take bytes again and have some waiting here.
    flushable: Vec<u32>,
    /// Completions that the plane is owed and the kernel will not make.
    made: Vec<Completion>,
    spare: Vec<Vec<u8>>,
    /// What the last receive said.
    plaintext: Vec<u8>,
    /// What a socket has to be sent, from its pieces.
    gathered: Vec<u8>,
    batch: SendBatch<'static>,
    outcomes: Vec<Outcome>,
    results: Vec<i32>,
}

/// One socket's TLS.
struct Secure {
    at: SlotRef,
    engine: Box<Engine>,
    /// Ciphertext, of which the first `sent` bytes have left. A buffer only while there is some.
    pending: Vec<u8>,
    sent: usize,
    /// The kernel owes a completion for POLLOUT.
    watching: bool,
    /// The plane waits for that completion, or for what it stands for.
    awaited: bool,
    /// The plane waits for its shutdown, which waits for `pending`.
    shutting_down: bool,
    /// Nothing more is sent, and nothing armed.
    over: bool,
    /// The kernel was asked to cancel what is armed, by the plane or by the layer.
    cancelled: bool,
    /// It owes the layer a completion for that.
    cancelling: bool,
    /// The plane has given the socket up.
    closing: bool,
}

/// What becomes of one send of the plane's.
#[derive(Clone, Copy)]
enum Outcome {
    /// It goes to the kernel as it is.
    Plain,
    /// So many of its bytes were encrypted, and these go.
    Sealed(i32),
    /// The keys are used up: what they encrypted goes, with a close_notify, as far as the kernel takes it at once, and then nothing.
    Last,
    /// Nothing goes, for this `errno`.
    Refused(i32),
}

impl<S: Sockets> Secured<S> {
    pub fn new(inner: S) -> Self {
        Self {
            inner,
            secures: Vec::new(),
            count: 0,
            flushable: Vec::new(),
            made: Vec::new(),
            spare: Vec::new(),
            plaintext: Vec::new(),
            gathered: Vec::new(),
            batch: SendBatch::default(),
            outcomes: Vec::new(),
            results: Vec::new(),
        }
    }

    pub fn inner(&mut self) -> &mut S {
        &mut self.inner
    }

    /// Ciphertext that the kernel has not taken, of all sockets.
    #[cfg(test)]
    pub fn held_bytes(&self) -> usize {
        self.secures.iter().flatten().map(|secure| secure.pending.len() - secure.sent).sum()
    }

    /// Encrypts what is to be sent to a slot, unless something waits there still.
    fn seal(&mut self, slot: u32, pieces: &[IoSlice<'_>]) -> Outcome {
        let Some(secure) = secure(&mut self.secures, slot) else { return Outcome::Plain };
        if secure.over {
            return Outcome::Refused(-libc::EPIPE);
        }
        if !secure.pending.is_empty() {
            return Outcome::Refused(-libc::EAGAIN);
        }
        self.gathered.clear();
        for piece in pieces {
            let room = TLS_SEND_BYTES_MAX - self.gathered.len();
            self.gathered.extend_from_slice(&piece[..piece.len().min(room)]);
        }
        secure.pending = self.spare.pop().unwrap_or_default();
        match secure.engine.send(&self.gathered, &mut secure.pending) {
            Ok(()) => Outcome::Sealed(self.gathered.len() as i32),
            Err(error) => {
                tracing::debug!(slot, %error, "a socket can be sent no more");
                if !secure.pending.is_empty() {
                    return Outcome::Last;
                }
                secure.end(&mut self.spare);
                Outcome::Refused(-libc::EPIPE)
            }
        }
    }

    /// Sends what waits for these slots, as much as the kernel takes.
    fn flush(&mut self, slots: &[u32]) {
        for slots in slots.chunks(self.inner.send_batch_max()) {
            let mut batch = std::mem::take(&mut self.batch).recycle();
            let there = slots.iter().filter_map(|slot| self.secures[*slot as usize].as_deref());
            for secure in there.filter(|secure| !secure.pending.is_empty()) {
                batch.begin(secure.at.slot);
                batch.push(&secure.pending[secure.sent..]);
            }
            let sent: Vec<u32> = batch.iter().map(|(slot, _)| slot).collect();
            if !batch.is_empty() {
                self.inner.send(&batch, &mut self.results);
            }
            self.batch = batch.recycle();
            let results = std::mem::take(&mut self.results);
            for (slot, result) in sent.iter().zip(&results) {
                // Its error is told to the plane by whatever that waits for.
                let _ = self.settle(*slot, *result);
            }
            self.results = results;
        }
    }

    /// What a send of ciphertext came to. An error of the socket's is returned.
    fn settle(&mut self, slot: u32, result: i32) -> Result<(), i32> {
        let secure = secure(&mut self.secures, slot).expect("it was sent to");
        match result {
            taken if taken >= 0 => secure.sent += taken as usize,
            full if full == -libc::EAGAIN || full == -libc::ENOBUFS || full == -libc::EINTR => {}
            error => {
                secure.end(&mut self.spare);
                secure.tell_the_plane(error, &mut self.made);
                return Err(error);
            }
        }
        let at = secure.at;
        if secure.sent < secure.pending.len() {
            if !std::mem::replace(&mut secure.watching, true) {
                self.inner.watch_writable(at);
            }
            return Ok(());
        }
        secure.drop_pending(&mut self.spare);
        if std::mem::take(&mut secure.awaited) {
            self.made.push(completion(Operation::Writable, at, libc::POLLOUT.into()));
        }
        if std::mem::take(&mut secure.shutting_down) {
            secure.over = true;
            self.inner.shutdown_write(at);
        }
        Ok(())
    }

    /// Sends what the engine has to say by itself, behind what waits.
    fn speak(&mut self, slot: u32, words: impl FnOnce(&mut Engine, &mut Vec<u8>)) {
        let secure = secure(&mut self.secures, slot).expect("the caller has one");
        let waits = !secure.pending.is_empty();
        if !waits {
            secure.pending = self.spare.pop().unwrap_or_default();
        }
        words(&mut secure.engine, &mut secure.pending);
        if secure.pending.is_empty() {
            secure.drop_pending(&mut self.spare);
        } else if !waits {
            self.flush(&[slot]);
        }
    }

    /// Takes out of the completions from `from` on what is the layer's own. Returns whether it asked the kernel for something.
    fn sift(&mut self, completions: &mut Vec<Completion>, from: usize) -> bool {
        let (mut kept, mut asked) = (from, false);
        for index in from..completions.len() {
            let completion = completions[index];
            if self.is_the_planes(completion, &mut asked) {
                completions[kept] = completion;
                kept += 1;
            }
        }
        completions.truncate(kept);
        asked
    }

    fn is_the_planes(&mut self, completion: Completion, asked: &mut bool) -> bool {
        let at = completion.at;
        let Some(secure) = secure(&mut self.secures, at.slot).filter(|secure| secure.at == at) else { return true };
        match completion.operation {
            Operation::Writable => {
                secure.watching = false;
                if secure.closing {
                    *asked |= self.close_if_quiet(at);
                    return false;
                }
                if secure.pending.is_empty() || secure.over {
                    return std::mem::take(&mut secure.awaited);
                }
                self.flushable.push(at.slot);
                false
            }
            Operation::Cancel if secure.cancelling => {
                secure.cancelling = false;
                *asked |= self.close_if_quiet(at);
                false
            }
            _ => true,
        }
    }

    /// Sends what has become possible. Returns whether there was something.
    fn flush_those_that_can(&mut self) -> bool {
        if self.flushable.is_empty() {
            return false;
        }
        let mut slots = std::mem::take(&mut self.flushable);
        self.flush(&slots);
        slots.clear();
        // Nothing is added meanwhile: that happens where completions are looked at.
        self.flushable = slots;
        true
    }

    /// Closes a socket that the plane has given up, once the kernel owes nothing for it any more.
    fn close_if_quiet(&mut self, at: SlotRef) -> bool {
        let secure = secure(&mut self.secures, at.slot).expect("the caller has one");
        if secure.watching || secure.cancelling {
            return false;
        }
        secure.drop_pending(&mut self.spare);
        self.secures[at.slot as usize] = None;
        self.count -= 1;
        self.inner.close(at);
        true
    }
}

impl Secure {
    fn new(at: SlotRef, engine: Box<Engine>) -> Self {
        Self {
            at,
            engine,
            pending: Vec::new(),
            sent: 0,
            watching: false,
            awaited: false,
            shutting_down: false,
            over: false,
            cancelled: false,
            cancelling: false,
            closing: false,
        }
    }

    fn drop_pending(&mut self, spare: &mut Vec<Vec<u8>>) {
        let mut buffer = std::mem::take(&mut self.pending);
        self.sent = 0;
        let worth_keeping = (1..=TLS_SPARE_BUFFER_BYTES_MAX).contains(&buffer.capacity());
        if worth_keeping && spare.len() < TLS_SPARE_BUFFERS_MAX {
            buffer.clear();
            spare.push(buffer);
        }
    }

    /// What waits will never leave.
    fn end(&mut self, spare: &mut Vec<Vec<u8>>) {
        self.over = true;
        self.drop_pending(spare);
    }

    /// Completes what the plane waits for, where the kernel is not going to.
    fn tell_the_plane(&mut self, error: i32, made: &mut Vec<Completion>) {
        if std::mem::take(&mut self.shutting_down) {
            made.push(completion(Operation::ShutdownWrite, self.at, error));
        }
        if !self.watching && std::mem::take(&mut self.awaited) {
            made.push(completion(Operation::Writable, self.at, error));
        }
    }
}

impl<S: Sockets> Sockets for Secured<S> {
    type Socket = Link<S::Socket>;

    fn send_batch_max(&self) -> usize {
        self.inner.send_batch_max()
    }

    fn adopt(&mut self, at: SlotRef, link: Link<S::Socket>) -> io::Result<()> {
        self.inner.adopt(at, link.socket)?;
        // Where a kernel has TLS of its own (CONFIG_TLS), this is where it would get the keys: `dangerous_into_kernel_connection` of
        // the engine's connection, two `setsockopt`s (SOL_TLS), and the slot is like one without TLS, but for control records.
        if let Some(engine) = link.tls {
            let slot = at.slot as usize;
            if self.secures.len() <= slot {
                self.secures.resize_with(slot + 1, || None);
            }
            self.secures[slot] = Some(Box::new(Secure::new(at, engine)));
            self.count += 1;
        }
        Ok(())
    }

    fn arm_receive(&mut self, at: SlotRef) {
        self.inner.arm_receive(at);
    }

    fn watch_writable(&mut self, at: SlotRef) {
        if let Some(secure) = secure(&mut self.secures, at.slot) {
            secure.awaited = true;
            // What waits is watched already, or about to be sent.
            if secure.watching || !secure.pending.is_empty() {
                return;
            }
            secure.watching = true;
        }
        self.inner.watch_writable(at);
    }

    fn shutdown_write(&mut self, at: SlotRef) {
        let Some(secure) = secure(&mut self.secures, at.slot) else { return self.inner.shutdown_write(at) };
        secure.shutting_down = true;
        self.speak(at.slot, Engine::finish);
        // With an engine that has nothing to say, nothing was sent that could have gone on with it.
        let secure = secure_mut(&mut self.secures, at.slot);
        if secure.pending.is_empty() && std::mem::take(&mut secure.shutting_down) {
            secure.over = true;
            self.inner.shutdown_write(at);
        }
    }

    fn cancel(&mut self, at: SlotRef) {
        if let Some(secure) = secure(&mut self.secures, at.slot) {
            secure.end(&mut self.spare);
            secure.cancelled = true;
            secure.tell_the_plane(-libc::ECANCELED, &mut self.made);
        }
        self.inner.cancel(at);
    }

    fn close(&mut self, at: SlotRef) {
        let Some(secure) = secure(&mut self.secures, at.slot) else { return self.inner.close(at) };
        if !secure.over && secure.pending.is_empty() {
            // As far as the kernel takes it at once.
            self.speak(at.slot, Engine::finish);
        }
        let secure = secure_mut(&mut self.secures, at.slot);
        secure.closing = true;
        secure.end(&mut self.spare);
        if secure.watching && !std::mem::replace(&mut secure.cancelled, true) {
            secure.cancelling = true;
            self.inner.cancel(at);
        }
        self.close_if_quiet(at);
    }

    fn send(&mut self, batch: &SendBatch<'_>, results: &mut Vec<i32>) {
        if self.count == 0 {
            return self.inner.send(batch, results);
        }
        let mut outcomes = std::mem::take(&mut self.outcomes);
        outcomes.clear();
        outcomes.extend(batch.iter().map(|(slot, pieces)| self.seal(slot, pieces)));
        let mut wire = std::mem::take(&mut self.batch).recycle();
        for ((slot, pieces), outcome) in batch.iter().zip(&outcomes) {
            match outcome {
                Outcome::Plain => {
                    wire.begin(slot);
                    pieces.iter().for_each(|piece| wire.push(piece));
                }
                Outcome::Sealed(_) | Outcome::Last => {
                    wire.begin(slot);
                    wire.push(&self.secures[slot as usize].as_ref().expect("it was sealed").pending);
                }
                Outcome::Refused(_) => {}
            }
        }
        let mut sent = std::mem::take(&mut self.results);
        sent.clear();
        if !wire.is_empty() {
            self.inner.send(&wire, &mut sent);
        }
        self.batch = wire.recycle();
        let mut of_kernel = sent.iter().copied();
        let mut next = || of_kernel.next().expect("a result for each send");
        results.clear();
        results.extend(batch.iter().zip(&outcomes).map(|((slot, _), outcome)| match *outcome {
            Outcome::Plain => next(),
            Outcome::Sealed(bytes) => self.settle(slot, next()).map_or_else(|error| error, |()| bytes),
            Outcome::Last => {
                next();
                secure_mut(&mut self.secures, slot).end(&mut self.spare);
                -libc::EPIPE
            }
            Outcome::Refused(error) => error,
        }));
        self.results = sent;
        self.outcomes = outcomes;
    }

    fn reap(&mut self, completions: &mut Vec<Completion>) {
        let from = completions.len();
        self.inner.reap(completions);
        if self.count == 0 && self.made.is_empty() {
            return;
        }
        let asked = self.sift(completions, from);
        // Once: what can be sent then is sent at the next reap, so that a socket that takes a little at a time holds nobody up.
        if self.flush_those_that_can() || asked {
            let from = completions.len();
            // What was asked for just now must not wait until somebody wakes the shard.
            self.inner.reap(completions);
            self.sift(completions, from);
        }
        completions.append(&mut self.made);
    }

    fn received(&mut self, at: SlotRef, buffer: u16, len: usize) -> Received<'_> {
        let Some(secure) = secure(&mut self.secures, at.slot).filter(|secure| secure.at == at) else {
            return self.inner.received(at, buffer, len);
        };
        self.plaintext.clear();
        let ciphertext = self.inner.received(at, buffer, len).bytes;
        let mut answer = Vec::new();
        if let Err(error) = secure.engine.receive(ciphertext, &mut self.plaintext, &mut answer) {
            tracing::debug!(slot = at.slot, %error, "a socket's TLS ended");
        }
        let (ended, over) = (secure.engine.has_ended(), secure.over);
        if !answer.is_empty() && !over {
            self.speak(at.slot, |_, outgoing| outgoing.extend_from_slice(&answer));
        }
        Received { bytes: &mut self.plaintext, ended }
    }

    fn recycle(&mut self, buffer: u16) {
        self.inner.recycle(buffer);
    }
}

fn secure(secures: &mut [Option<Box<Secure>>], slot: u32) -> Option<&mut Secure> {
    secures.get_mut(slot as usize)?.as_deref_mut()
}

fn secure_mut(secures: &mut [Option<Box<Secure>>], slot: u32) -> &mut Secure {
    secure(secures, slot).expect("the caller has one")
}

fn completion(operation: Operation, at: SlotRef, result: i32) -> Completion {
    Completion { operation, at, result, buffer: None, more: false }
}
