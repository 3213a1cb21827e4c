//! Accepts connections, as many at a time as the desk may hold.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use glommio::net::TcpListener;

use super::{Desk, connection};
use crate::limits;

/// Accepts for ever. At the bound it stops accepting, so that newcomers wait in the kernel's queue, and takes them on as
/// others leave; every connection at the desk has a deadline, so somebody always does.
pub async fn accept(desk: Rc<Desk>, listener: TcpListener) {
    let held = Rc::new(Held::default());
    loop {
        while held.count.get() >= desk.connections_max {
            held.left().await;
        }
        match listener.accept().await {
            Ok(stream) => {
                let place = Place::take(&held);
                let desk = desk.clone();
                glommio::spawn_local(async move {
                    connection::serve(desk, stream).await;
                    drop(place);
                })
                .detach();
            }
            Err(error) => {
                // Out of descriptors, or the peer was gone before it was accepted. Neither gets better by hurrying.
                tracing::warn!(shard = desk.shard, %error, "a connection could not be accepted");
                glommio::timer::sleep(Duration::from_millis(limits::ACCEPT_RETRY_MS)).await;
            }
        }
    }
}

/// How many connections the desk holds, and who waits for one to leave.
#[derive(Default)]
struct Held {
    count: Cell<usize>,
    waiting: Cell<Option<std::task::Waker>>,
}

impl Held {
    async fn left(&self) {
        let before = self.count.get();
        std::future::poll_fn(|context| {
            if self.count.get() < before {
                return std::task::Poll::Ready(());
            }
            self.waiting.set(Some(context.waker().clone()));
            std::task::Poll::Pending
        })
        .await;
    }
}

/// A connection's place at the desk.
struct Place(Rc<Held>);

impl Place {
    fn take(held: &Rc<Held>) -> Self {
        held.count.set(held.count.get() + 1);
        Self(held.clone())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.count.set(self.0.count.get() - 1);
        if let Some(waker) = self.0.waiting.take() {
            waker.wake();
        }
    }
}
