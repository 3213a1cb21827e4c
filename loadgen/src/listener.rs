//! What a crowd's sockets say and how they take what they hear: bytes in, notices out. No ring, no clock of its own.

use std::borrow::Cow;

use crate::carries::Carries;
use crate::event_stream::first_block;
use crate::frame::{Frame, OPCODE_CLOSE, OPCODE_TEXT, client_control, first_frame};
use crate::handshake::{Answer, Framing, Verdict, read_event_stream, read_upgrade};

/// Where a socket stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Its upgrade was sent; the answer is awaited.
    Upgrading,
    /// Events are awaited.
    Open,
    /// It ended, by whichever side; nothing that still comes is read.
    Ended,
}

/// What the caller has to know or to do.
#[derive(Debug, PartialEq, Eq)]
pub enum Notice {
    /// The socket is connected and ready for events.
    Opened,
    /// The server answered the upgrade with something else. The run is over.
    Refused(Answer),
    /// The server speaks neither WebSocket nor server-sent events. The run is over.
    Nonsense(&'static str),
    /// The server did not answer a socket as its protocol has it. The run is over.
    Astray(String),
    /// These bytes are to be sent on the socket.
    Reply {
        socket: u32,
        frame: Vec<u8>,
    },
    /// The socket reads nothing from now on, until it is told to read on.
    StopReading {
        socket: u32,
    },
    ReadOn {
        socket: u32,
    },
    /// The socket says goodbye, and another takes its place once the server has ended it.
    ComeBack {
        socket: u32,
    },
    /// The socket ended before it was told to.
    Ended {
        socket: u32,
        why: String,
    },
}

/// One socket's stream of bytes.
#[derive(Clone, Copy, Debug)]
pub struct Stream {
    pub phase: Phase,
    /// Whether the [`Carries`] hold the start of something incomplete.
    pub carrying: bool,
}

impl Stream {
    /// Before the upgrade is answered.
    pub const FRESH: Self = Self { phase: Phase::Upgrading, carrying: false };
}

/// The receiving side of a crowd, whose sockets are numbered from 0. How bytes become frames is the same for all crowds; what
/// a frame means is the implementor's.
pub trait Listener {
    /// The upgrade request of `socket`.
    fn upgrade(&self, socket: u32) -> Cow<'_, [u8]>;

    /// What the answer to that request has to prove that it was read.
    fn accept(&self, socket: u32) -> &str;

    /// In what the messages of all sockets come.
    fn framing(&self) -> Framing {
        Framing::WebSocket
    }

    fn phase(&self, socket: u32) -> Phase;

    fn stream(&mut self, socket: u32) -> &mut Stream;

    /// What came of all sockets' incomplete frames and answers.
    fn carries(&mut self) -> &mut Carries;

    /// The head of the answer to the upgrade of `socket`, just before it is open.
    fn head(&mut self, _socket: u32, _head: &[u8]) {}

    /// The upgrade of `socket` was answered.
    fn opened(&mut self, socket: u32, now_ns: u64, notices: &mut Vec<Notice>);

    /// `socket` did not get as far as that, as `notice` says, which ends the run unless the implementor knows better.
    fn not_opened(&mut self, _socket: u32, notice: Notice, notices: &mut Vec<Notice>) {
        notices.push(notice);
    }

    /// Another connection takes the place of `socket`, from `now_ns` on.
    fn begin_anew(&mut self, socket: u32, _now_ns: u64) {
        *self.stream(socket) = Stream::FRESH;
    }

    /// The common case, for as long as it lasts: the bytes begin with exactly the frames that `socket` has to get next.
    /// Returns how many bytes those were.
    fn take_awaited(&mut self, socket: u32, bytes: &[u8], now_ns: u64) -> usize;

    /// Takes any other frame but a close. An event of an event stream is one of text, with all of its block as the whole.
    fn take_frame(&mut self, socket: u32, frame: Frame<'_>, now_ns: u64, notices: &mut Vec<Notice>);

    /// The server said goodbye on `socket`, with its close code where it named one; the stream is told to be ended next.
    fn closed(&mut self, _socket: u32, _code: Option<u16>) {}

    /// When another connection is to take the place of `socket`, whose stream, or whose attempt to connect anew, ended at `now_ns`. `None`:
    /// none is, and it counts as ended.
    fn returns_at(&mut self, _socket: u32, _now_ns: u64) -> Option<u64> {
        None
    }

    /// Tells that the open stream of `socket` ended, by `why`.
    fn tell_end(&mut self, socket: u32, why: &str, notices: &mut Vec<Notice>);

    /// Ends the batch that came out of the kernel at `now_ns`, of which nothing had been there for longer than `waited_ns_max`;
    /// returns the deliveries in it.
    fn end_batch(&mut self, now_ns: u64, waited_ns_max: u64) -> u64;

    /// Has sockets say what they say by themselves, unasked, where `now_ns` is the time for it. It is asked for only where
    /// it is needed: most crowds only listen.
    fn tend(&mut self, _now_ns: impl FnOnce() -> u64, _notices: &mut Vec<Notice>) {}

    /// Marks a socket as ended by us: what comes after is not read.
    fn leave(&mut self, socket: u32) {
        *self.stream(socket) = Stream { phase: Phase::Ended, carrying: false };
        self.carries().take(socket);
    }

    /// Takes what the kernel handed over for `socket` at `now_ns`.
    fn receive(&mut self, socket: u32, bytes: &[u8], now_ns: u64, notices: &mut Vec<Notice>) {
        let carrying = self.stream(socket).carrying;
        let all = self.carries().join(socket, carrying, bytes);
        let used = read(self, socket, &all, now_ns, notices);
        self.stream(socket).carrying = self.carries().keep(socket, all, used);
    }

    /// The stream of `socket` ended, by `why`.
    fn ended(&mut self, socket: u32, why: &str, notices: &mut Vec<Notice>) {
        match self.phase(socket) {
            Phase::Upgrading => {
                let kept = self.carries().take(socket);
                let notice = cut_off(self, socket, &kept);
                self.not_opened(socket, notice, notices);
            }
            Phase::Open => end(self, socket, why, notices),
            Phase::Ended => {}
        }
        self.leave(socket);
    }
}

/// Reads as much as is complete; returns how many bytes that was.
fn read<L: Listener + ?Sized>(
    listener: &mut L,
    socket: u32,
    bytes: &[u8],
    now_ns: u64,
    notices: &mut Vec<Notice>,
) -> usize {
    let mut used = 0;
    loop {
        let rest = &bytes[used..];
        if rest.is_empty() {
            return used;
        }
        match listener.phase(socket) {
            Phase::Open => {}
            Phase::Ended => return bytes.len(),
            Phase::Upgrading => {
                let notice = match read_answer(listener, socket, rest, false) {
                    Verdict::Partial => return used,
                    Verdict::Upgraded { consumed } => {
                        listener.head(socket, &rest[..consumed]);
                        used += consumed;
                        listener.stream(socket).phase = Phase::Open;
                        listener.opened(socket, now_ns, notices);
                        continue;
                    }
                    Verdict::Refused(answer) => Notice::Refused(answer),
                    Verdict::Nonsense(what) => Notice::Nonsense(what),
                };
                listener.stream(socket).phase = Phase::Ended;
                listener.not_opened(socket, notice, notices);
                return bytes.len();
            }
        }
        used += listener.take_awaited(socket, rest, now_ns);
        match listener.framing() {
            Framing::WebSocket => match first_frame(&bytes[used..]) {
                Ok(None) => return used,
                Ok(Some(frame)) => {
                    used += frame.whole.len();
                    match frame.opcode {
                        OPCODE_CLOSE => take_close(listener, socket, frame.payload, notices),
                        _ => listener.take_frame(socket, frame, now_ns, notices),
                    }
                }
                Err(fault) => end(listener, socket, &fault.to_string(), notices),
            },
            Framing::EventStream => match first_block(&bytes[used..]) {
                Ok(None) => return used,
                Ok(Some(block)) => {
                    used += block.whole.len();
                    if let Some(payload) = block.data {
                        let frame = Frame { opcode: OPCODE_TEXT, payload, whole: block.whole };
                        listener.take_frame(socket, frame, now_ns, notices);
                    }
                }
                Err(fault) => end(listener, socket, &fault.to_string(), notices),
            },
        }
    }
}

fn take_close<L: Listener + ?Sized>(listener: &mut L, socket: u32, payload: &[u8], notices: &mut Vec<Notice>) {
    let (code, reason) = payload.split_at_checked(2).unwrap_or((&[], &[]));
    notices.push(Notice::Reply { socket, frame: client_control(OPCODE_CLOSE, code) });
    let code = code.try_into().map(u16::from_be_bytes).ok();
    listener.closed(socket, code);
    let code = code.map_or("none".to_owned(), |code| code.to_string());
    let reason = String::from_utf8_lossy(reason);
    end(listener, socket, &format!("the server closed it (code {code}) {reason}"), notices);
}

fn end<L: Listener + ?Sized>(listener: &mut L, socket: u32, why: &str, notices: &mut Vec<Notice>) {
    listener.tell_end(socket, why, notices);
    listener.stream(socket).phase = Phase::Ended;
}

/// Reads the answer to the upgrade, or to the request for a stream.
fn read_answer<L: Listener + ?Sized>(listener: &L, socket: u32, bytes: &[u8], ended: bool) -> Verdict {
    match listener.framing() {
        Framing::WebSocket => read_upgrade(bytes, ended, listener.accept(socket)),
        Framing::EventStream => read_event_stream(bytes, ended),
    }
}

/// What an answer was that ended with the connection.
fn cut_off<L: Listener + ?Sized>(listener: &L, socket: u32, kept: &[u8]) -> Notice {
    match read_answer(listener, socket, kept, true) {
        Verdict::Refused(answer) => Notice::Refused(answer),
        Verdict::Nonsense(what) => Notice::Nonsense(what),
        Verdict::Partial | Verdict::Upgraded { .. } => Notice::Nonsense("the server's answer was cut off"),
    }
}
