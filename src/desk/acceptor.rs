//! Accepts connections, as many at a time as the desk may hold.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use glommio::net::{TcpListener, TcpStream};

use super::places::Place;
use super::{Desk, connection, door};
use crate::logging::Occasion;
use crate::ring::Entrance;
use crate::{clock, executor, limits};

/// Accepts until the desk's door is shut. At the bound it ends the connection that has been idle longest. Where none is, it stops
/// accepting, so that newcomers wait in the kernel's queue, and takes them on as others leave; every connection at the desk has a
/// deadline, so somebody always does.
///
/// Thousands who knock at once wait in the kernel's queue, too: an accept that finds somebody there answers at once, and all of
/// their handshakes in one go would hold up the shard that shares the thread.
pub async fn accept(desk: Rc<Desk>, listener: TcpListener, entrance: Entrance) {
    glommio::spawn_local(door::attend(desk.clone(), entrance)).detach();
    let mut at_once = 0;
    loop {
        if at_once == limits::ACCEPTS_AT_ONCE_MAX {
            at_once = 0;
            executor::breathe(0).await;
        }
        // Where there is no place, nobody is accepted, however many knock.
        desk.rush.set(false);
        desk.places.vacancy().await;
        let mut accepting = pin!(listener.accept());
        let accepted = poll_fn(|task| {
            let accepted = accepting.as_mut().poll(task);
            if accepted.is_pending() {
                at_once = 0;
            }
            // Somebody was there, so more are likely to be.
            desk.rush.set(matches!(accepted, Poll::Ready(Ok(_))));
            accepted
        })
        .await;
        at_once += 1;
        match accepted {
            Ok(stream) => {
                let place = desk.places.take();
                glommio::spawn_local(serve(desk.clone(), stream, place)).detach();
            }
            // What `Entrance::shut` does to an accept. An accept is never given up: it may have got somebody already.
            Err(_) if desk.door.is_shutting() => break,
            Err(error) => {
                // Out of descriptors, or the peer was gone before it was accepted. Neither gets better by hurrying.
                static FAILED: Occasion = Occasion::new();
                if let Some(untold) = FAILED.tell(clock::now()) {
                    tracing::warn!(shard = desk.shard, %error, untold, "a connection could not be accepted");
                }
                glommio::timer::sleep(Duration::from_millis(limits::ACCEPT_RETRY_MS)).await;
            }
        }
    }
    drop(listener);
    desk.door.has_shut();
    // The shard may wait for that.
    desk.shards[desk.shard].mailbox.doorbell().ring();
}

async fn serve(desk: Rc<Desk>, stream: TcpStream, place: Place) {
    let stats = &desk.shards[desk.shard].stats.desk;
    stats.connections.raise();
    connection::serve(desk.clone(), stream, place).await;
    stats.connections.lower();
}
