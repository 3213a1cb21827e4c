//! An answer's body that is made piece by piece while the client reads it.

use std::convert::Infallible;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_lite::Stream;
use hyper::body::{Body, Frame};

use super::phase::{Phase, PhaseCell};
use crate::clock;

/// What such a body is made of, in order.
pub type Pieces = Pin<Box<dyn Stream<Item = Bytes>>>;

/// hyper asks for a piece when it has room for it, so one that waits for long waits for the client: the connection's deadline
/// begins anew with each.
pub struct Streamed {
    pieces: Pieces,
    phase: Rc<PhaseCell>,
}

impl Streamed {
    pub fn new(pieces: Pieces, phase: Rc<PhaseCell>) -> Self {
        phase.set(Phase::Streaming(clock::now()));
        Self { pieces, phase }
    }
}

impl Body for Streamed {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let piece = ready!(self.pieces.as_mut().poll_next(task));
        let now = clock::now();
        self.phase.set(if piece.is_some() { Phase::Streaming(now) } else { Phase::Answering(now) });
        Poll::Ready(piece.map(|bytes| Ok(Frame::data(bytes))))
    }
}
