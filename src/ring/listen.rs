//! Listening sockets and the descriptors that pass between std, glommio and the ring.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd};
use std::time::Duration;

use socket2::{Domain, Protocol, SockAddr, Socket, Type};

/// What accepted sockets inherit from their listener.
#[derive(Clone, Copy, Debug)]
pub struct ListenOptions {
    /// Connections that wait to be accepted.
    pub backlog: i32,
    /// SO_SNDBUF: bounds what is sent and not yet acknowledged (the kernel doubles it for its own bookkeeping, socket(7)).
    pub send_buffer_bytes: usize,
    /// TCP_NOTSENT_LOWAT, Linux 3.12: past the peer's window, the kernel takes no more than this and what is left of one segment of
    /// its own (about 64 KiB). So a socket that stopped reading costs the peer's window and that, instead of a whole send buffer.
    pub unsent_bytes: u32,
    /// TCP_USER_TIMEOUT: a peer that acknowledged nothing for so long is gone.
    pub unacknowledged_max: Duration,
}

/// Binds `count` sockets to one address with SO_REUSEPORT and listens, so that the kernel spreads connections over
/// them by a hash of the 4-tuple. Port 0 picks one free port for all.
///
/// SO_REUSEPORT would let a second server of the same user join the port unnoticed; a first bind without it finds out.
pub fn bind_listeners(
    address: SocketAddr,
    count: usize,
    options: ListenOptions,
) -> io::Result<(Vec<OwnedFd>, SocketAddr)> {
    let probe = stream_socket(address)?;
    probe.set_reuse_address(true)?;
    probe.bind(&SockAddr::from(address))?;
    let address = probe.local_addr()?.as_socket().expect("an internet socket has an internet address");
    drop(probe);
    let mut listeners = Vec::with_capacity(count);
    for _ in 0..count {
        let socket = stream_socket(address)?;
        socket.set_reuse_address(true)?;
        socket.set_reuse_port(true)?;
        socket.set_send_buffer_size(options.send_buffer_bytes)?;
        socket.set_tcp_notsent_lowat(options.unsent_bytes)?;
        socket.set_tcp_nodelay(true)?;
        socket.set_tcp_user_timeout(Some(options.unacknowledged_max))?;
        socket.bind(&SockAddr::from(address))?;
        socket.listen(options.backlog)?;
        listeners.push(OwnedFd::from(socket));
    }
    Ok((listeners, address))
}

/// Hands a listening socket to the executor that runs on this thread.
pub fn glommio_listener(listener: OwnedFd) -> glommio::net::TcpListener {
    // SAFETY: the descriptor is owned and passes into the listener, which closes it.
    unsafe { glommio::net::TcpListener::from_raw_fd(listener.into_raw_fd()) }
}

/// Takes a connected socket out of glommio, which gives its descriptors away only as duplicates.
pub fn take_descriptor(stream: glommio::net::TcpStream) -> io::Result<OwnedFd> {
    // SAFETY: the stream lives, and so does its descriptor, until the end of this function.
    unsafe { BorrowedFd::borrow_raw(stream.as_raw_fd()) }.try_clone_to_owned()
}

fn stream_socket(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM.cloexec(), Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::{TcpListener, TcpStream};

    use super::*;

    /// A peer that does not read costs its window and what may be unsent, not the whole send buffer.
    #[test]
    fn little_is_taken_for_a_peer_that_does_not_read() {
        let taken = |unsent_bytes| {
            let options = ListenOptions {
                backlog: 1,
                send_buffer_bytes: 1 << 20,
                unsent_bytes,
                unacknowledged_max: Duration::from_secs(1),
            };
            let (mut listeners, address) =
                bind_listeners(SocketAddr::from(([127, 0, 0, 1], 0)), 1, options).expect("bind");
            let listener = TcpListener::from(listeners.remove(0));
            let _peer = TcpStream::connect(address).expect("connect");
            let (mut socket, _) = listener.accept().expect("accept");
            socket.set_nonblocking(true).expect("nonblocking");
            std::iter::from_fn(|| socket.write(&[0; 1 << 10]).ok()).sum::<usize>()
        };
        let (bounded, whole_buffer) = (taken(16 << 10), taken(u32::MAX));
        assert!(bounded + (256 << 10) < whole_buffer, "{bounded} bytes taken, {whole_buffer} without the bound");
    }
}
