//! The door of a desk: whether newcomers are let in, and how it is closed without shutting it in anybody's face.
//!
//! ```text
//!   open ── close() ──▶ barred: no new connection begins ──▶ ajar: those under way come in ──▶ shut: nobody waits, nobody accepts
//! ```
//!
//! The kernel keeps connections in a queue that the desk has not accepted. Where the listener is closed they are reset, so it is
//! closed only when that queue is empty and can't get longer.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

use super::Desk;
use crate::ring::Entrance;
use crate::{clock, executor, limits};

/// Shared by the shard, which closes it, the acceptor and the handlers.
#[derive(Default)]
pub struct Door {
    state: Cell<State>,
    /// How long after its own end a client is to come back, in milliseconds.
    away_ms: Cell<u64>,
    /// Who waits for its being closed.
    waiting: RefCell<Vec<Waker>>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Open,
    Closing {
        ajar_ms: u64,
    },
    /// An accept that fails from now on has been ended by us.
    Shutting,
    Shut,
}

impl Door {
    /// Lets nobody new in. Handshakes of TCP that have begun may still come to their end for `ajar_ms`. Whoever leaves finds another
    /// server `away_ms` later.
    pub fn close(&self, ajar_ms: u64, away_ms: u64) {
        if self.state.get() == State::Open {
            self.away_ms.set(away_ms);
            self.state.set(State::Closing { ajar_ms });
            self.waiting.take().into_iter().for_each(Waker::wake);
        }
    }

    /// Whether the server has begun to end: whoever is here is served, but nothing is begun that lasts.
    pub fn is_closing(&self) -> bool {
        self.state.get() != State::Open
    }

    /// How long whoever is sent away is to stay away, in milliseconds.
    pub(super) fn away_ms(&self) -> u64 {
        self.away_ms.get()
    }

    /// Whether accepts are made to fail.
    pub(super) fn is_shutting(&self) -> bool {
        self.state.get() == State::Shutting
    }

    /// Whether everybody who had knocked was let in.
    pub fn is_shut(&self) -> bool {
        self.state.get() == State::Shut
    }

    /// The acceptor has ended.
    pub(super) fn has_shut(&self) {
        self.state.set(State::Shut);
    }

    /// Resolves when it is being closed, with how long it is ajar.
    async fn closing(&self) -> u64 {
        poll_fn(|context| match self.state.get() {
            State::Closing { ajar_ms } => Poll::Ready(ajar_ms),
            State::Shutting | State::Shut => Poll::Ready(0),
            State::Open => {
                self.waiting.borrow_mut().push(context.waker().clone());
                Poll::Pending
            }
        })
        .await
    }
}

/// Waits for the door's being closed, and sees to it that the acceptor lets everybody in who has knocked, and then ends.
pub(super) async fn attend(desk: Rc<Desk>, entrance: Entrance) {
    let ajar_ms = desk.door.closing().await;
    if let Err(error) = entrance.bar() {
        // Then somebody may knock in the last moment, and be reset.
        tracing::debug!(shard = desk.shard, %error, "newcomers can't be kept from knocking");
    }
    if ajar_ms > 0 {
        glommio::timer::sleep(Duration::from_millis(ajar_ms)).await;
    }
    // They are let in by the acceptor. Where the desk is full, it takes until somebody leaves.
    let until = clock::now() + limits::DOOR_WAIT_MS * 1_000_000;
    while entrance.has_waiting() && clock::now() < until {
        executor::breathe(0).await;
    }
    desk.door.state.set(State::Shutting);
    if let Err(error) = entrance.shut() {
        tracing::debug!(shard = desk.shard, %error, "the listener can't be shut");
        desk.door.has_shut();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_lite::future::{block_on, poll_once};

    #[test]
    fn a_door_is_closed_once_and_says_so_to_whoever_waits() {
        let door = Door::default();
        assert!(!door.is_closing() && block_on(poll_once(door.closing())).is_none());
        door.close(7, 70);
        door.close(9, 90);
        assert_eq!((block_on(door.closing()), door.away_ms()), (7, 70), "the first word counts");
        assert!(door.is_closing() && !door.is_shut());
        door.has_shut();
        assert!(door.is_closing() && door.is_shut());
        door.close(1, 10);
        assert!(door.is_shut(), "it stays shut");
    }
}
