//! Accepts connections, as many at a time as the desk may hold.

use std::rc::Rc;
use std::time::Duration;

use glommio::net::TcpListener;

use super::{Desk, connection};
use crate::limits;

/// Accepts for ever. At the bound it ends the connection that has been idle longest. Where none is, it stops accepting, so
/// that newcomers wait in the kernel's queue, and takes them on as others leave; every connection at the desk has a
/// deadline, so somebody always does.
pub async fn accept(desk: Rc<Desk>, listener: TcpListener) {
    loop {
        desk.places.vacancy().await;
        match listener.accept().await {
            Ok(stream) => {
                let place = desk.places.take();
                glommio::spawn_local(connection::serve(desk.clone(), stream, place)).detach();
            }
            Err(error) => {
                // Out of descriptors, or the peer was gone before it was accepted. Neither gets better by hurrying.
                tracing::warn!(shard = desk.shard, %error, "a connection could not be accepted");
                glommio::timer::sleep(Duration::from_millis(limits::ACCEPT_RETRY_MS)).await;
            }
        }
    }
}
