//! Listening sockets and the descriptors that pass between std, glommio and the ring.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd};
use std::time::Duration;

use socket2::{Domain, Protocol, SockAddr, Socket, Type};

/// Binds `count` sockets to one address with SO_REUSEPORT and listens, so that the kernel spreads connections over
/// them by a hash of the 4-tuple. Port 0 picks one free port for all.
///
/// SO_REUSEPORT would let a second server of the same user join the port unnoticed; a first bind without it finds
/// out. `send_buffer_bytes` becomes SO_SNDBUF, which accepted sockets inherit: it bounds what a socket that stopped
/// reading can hold in the kernel (which doubles the figure for its own bookkeeping, socket(7)). So do TCP_NODELAY and
/// TCP_USER_TIMEOUT: a peer that acknowledged nothing for `unacknowledged_max` is gone.
pub fn bind_listeners(
    address: SocketAddr,
    count: usize,
    backlog: i32,
    send_buffer_bytes: usize,
    unacknowledged_max: Duration,
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
        socket.set_send_buffer_size(send_buffer_bytes)?;
        socket.set_tcp_nodelay(true)?;
        socket.set_tcp_user_timeout(Some(unacknowledged_max))?;
        socket.bind(&SockAddr::from(address))?;
        socket.listen(backlog)?;
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
