//! What a connection is doing at the moment, and how long it may.

use std::cell::Cell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

use crate::clock::{self, Nanos};
use crate::limits;

/// What a connection is doing, and since when. Each has a deadline of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// No byte of a first request has come.
    Silent(Nanos),
    /// A request's head is coming in.
    Head(Nanos),
    /// A request is being served: each thing that its handler waits for has a deadline there.
    Serving,
    /// The answer is on its way out.
    Answering(Nanos),
    /// An answer without an end is on its way out; its last piece was made then.
    Streaming(Nanos),
    /// Between two requests.
    Idle(Nanos),
}

impl Phase {
    /// When the connection has to be ended, in nanoseconds. In a crowd, those that say nothing have less time.
    pub fn deadline(self, crowded: bool) -> Option<Nanos> {
        let silence_ms = |allowed_ms| if crowded { limits::CROWDED_SILENCE_MS.min(allowed_ms) } else { allowed_ms };
        let (since, allowed_ms) = match self {
            Self::Silent(since) => (since, silence_ms(limits::HANDSHAKE_MS)),
            Self::Head(since) => (since, limits::HANDSHAKE_MS),
            Self::Answering(since) | Self::Streaming(since) => (since, limits::ANSWER_SENT_MS),
            Self::Idle(since) => (since, silence_ms(limits::KEEP_ALIVE_MS)),
            Self::Serving => return None,
        };
        Some(since + allowed_ms * 1_000_000)
    }

    /// Since when it has been idle, for one that may be ended in favour of somebody else.
    pub fn idle_since(self, now: Nanos) -> Option<Nanos> {
        match self {
            Self::Idle(since) => Some(since),
            Self::Silent(since) if since + limits::SILENCE_MS_MIN * 1_000_000 <= now => Some(since),
            Self::Silent(_) | Self::Head(_) | Self::Serving | Self::Answering(_) | Self::Streaming(_) => None,
        }
    }
}

/// A connection's phase, shared by its stream, its service, its watchman and the desk.
pub struct PhaseCell {
    phase: Cell<Phase>,
    dismissed: Cell<bool>,
    watchman: Cell<Option<Waker>>,
}

impl PhaseCell {
    pub fn new() -> Rc<Self> {
        let phase = Cell::new(Phase::Silent(clock::now()));
        Rc::new(Self { phase, dismissed: Cell::default(), watchman: Cell::default() })
    }

    pub fn get(&self) -> Phase {
        self.phase.get()
    }

    pub fn set(&self, phase: Phase) {
        self.phase.set(phase);
    }

    pub fn bytes_came(&self) {
        match self.get() {
            Phase::Silent(since) => self.set(Phase::Head(since)),
            Phase::Idle(_) => self.set(Phase::Head(clock::now())),
            Phase::Head(_) | Phase::Serving | Phase::Answering(_) | Phase::Streaming(_) => {}
        }
    }

    /// The kernel has all that there was to send.
    pub fn all_sent(&self) {
        if let Phase::Answering(_) = self.get() {
            self.set(Phase::Idle(clock::now()));
        }
    }

    /// Ends the connection, if it is still idle by the time that it hears of it.
    pub fn dismiss(&self) {
        self.dismissed.set(true);
        if let Some(waker) = self.watchman.take() {
            waker.wake();
        }
    }

    /// Resolves when somebody else needs the place.
    pub async fn dismissed(&self) {
        poll_fn(|context| {
            if self.dismissed.replace(false) && matches!(self.get(), Phase::Idle(_) | Phase::Silent(_)) {
                return Poll::Ready(());
            }
            self.watchman.set(Some(context.waker().clone()));
            Poll::Pending
        })
        .await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crowd_shortens_silence_and_nothing_else() {
        let ms = |deadline: Option<Nanos>| deadline.map(|deadline| deadline / 1_000_000);
        for (phase, usual_ms, crowded_ms) in [
            (Phase::Silent(0), 10_000, 5_000),
            (Phase::Idle(0), 75_000, 5_000),
            (Phase::Head(0), 10_000, 10_000),
            (Phase::Answering(0), 30_000, 30_000),
        ] {
            assert_eq!(ms(phase.deadline(false)), Some(usual_ms), "{phase:?}");
            assert_eq!(ms(phase.deadline(true)), Some(crowded_ms), "{phase:?}");
        }
        assert_eq!(Phase::Serving.deadline(true), None);
    }

    #[test]
    fn a_stream_goes_on_as_long_as_its_client_takes_pieces() {
        let phase = PhaseCell::new();
        phase.set(Phase::Streaming(1_000_000));
        phase.all_sent();
        phase.bytes_came();
        assert_eq!(phase.get(), Phase::Streaming(1_000_000), "it is not over because all of it so far has left");
        assert_eq!(phase.get().idle_since(Nanos::MAX), None, "nobody takes its place");
        assert_eq!(phase.get().deadline(true), Some(30_001_000_000));
    }

    #[test]
    fn a_connection_is_idle_only_once_its_answer_has_left() {
        let phase = PhaseCell::new();
        phase.bytes_came();
        phase.set(Phase::Serving);
        phase.all_sent();
        assert_eq!(phase.get(), Phase::Serving, "what was sent is `100 Continue`");
        phase.set(Phase::Answering(clock::now()));
        assert_eq!(phase.get().idle_since(Nanos::MAX), None);
        phase.all_sent();
        assert!(matches!(phase.get(), Phase::Idle(_)));
        phase.bytes_came();
        assert!(matches!(phase.get(), Phase::Head(_)));
    }
}
