//! Listening sockets and the descriptors that pass between std, glommio and the ring.

use std::io;
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd};
use std::time::Duration;

use socket2::{Domain, Protocol, SockAddr, SockFilter, Socket, Type};

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

/// The outside of a listening socket whose inside an executor accepts from: by it the socket is closed without resetting anybody
/// whose handshake has begun.
pub struct Entrance(Socket);

impl Entrance {
    /// Of a socket that listens. It costs a descriptor.
    pub fn of(listener: &OwnedFd) -> io::Result<Self> {
        listener.try_clone().map(|descriptor| Self(Socket::from(descriptor)))
    }

    /// Lets no further handshake begin: the kernel drops segments with SYN before it looks at them (a classic BPF program at a TCP
    /// socket begins at the TCP header). Whoever has had an answer to its SYN still comes in, and whoever has not sends it again
    /// after a second, to whatever listens by then. Connections that are accepted from here on have the program, too, which
    /// never meets a SYN there.
    pub fn bar(&self) -> io::Result<()> {
        const LOAD_BYTE: u16 = 0x30;
        const JUMP_IF_SET: u16 = 0x45;
        const RETURN: u16 = 0x06;
        const FLAGS_AT: u32 = 13;
        const SYN: u32 = 0x02;
        self.0.attach_filter(&[
            SockFilter::new(LOAD_BYTE, 0, 0, FLAGS_AT),
            SockFilter::new(JUMP_IF_SET, 0, 1, SYN),
            SockFilter::new(RETURN, 0, 0, 0),
            SockFilter::new(RETURN, 0, 0, u32::MAX),
        ])
    }

    /// Whether somebody waits to be accepted.
    pub fn has_waiting(&self) -> bool {
        let mut poll = [rustix::event::PollFd::new(&self.0, rustix::event::PollFlags::IN)];
        rustix::event::poll(&mut poll, Some(&rustix::event::Timespec::default())).is_ok_and(|ready| ready > 0)
    }

    /// Stops listening. Whoever waits to be accepted is reset; an accept that is under way, and any other, fails.
    pub fn shut(&self) -> io::Result<()> {
        self.0.shutdown(Shutdown::Both)
    }
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
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};

    use super::*;

    fn listen() -> (TcpListener, Entrance, SocketAddr) {
        let options = ListenOptions {
            backlog: 8,
            send_buffer_bytes: 1 << 16,
            unsent_bytes: 1 << 16,
            unacknowledged_max: Duration::from_secs(1),
        };
        let (mut listeners, address) = bind_listeners(SocketAddr::from(([127, 0, 0, 1], 0)), 1, options).expect("bind");
        let listener = listeners.remove(0);
        let entrance = Entrance::of(&listener).expect("a descriptor");
        (TcpListener::from(listener), entrance, address)
    }

    #[test]
    fn a_barred_entrance_lets_those_in_who_have_knocked_and_nobody_else() {
        let (listener, entrance, address) = listen();
        assert!(!entrance.has_waiting());
        let mut early = TcpStream::connect(address).expect("connect");
        assert!(entrance.has_waiting());
        entrance.bar().expect("a filter");
        let late = TcpStream::connect_timeout(&address, Duration::from_millis(200));
        assert_eq!(late.expect_err("barred").kind(), io::ErrorKind::TimedOut);
        let (mut accepted, _) = listener.accept().expect("it had knocked");
        assert!(!entrance.has_waiting());
        entrance.shut().expect("shut");
        assert!(listener.accept().is_err(), "nobody is accepted any more");
        // Whoever was accepted goes on.
        early.write_all(b"hello").expect("a write");
        let mut heard = [0; 5];
        accepted.read_exact(&mut heard).expect("a read");
        assert_eq!(&heard, b"hello");
        drop((listener, entrance));
        assert_eq!(TcpStream::connect(address).expect_err("closed").kind(), io::ErrorKind::ConnectionRefused);
    }

    #[test]
    fn an_accept_that_waits_fails_when_the_entrance_is_shut() {
        let (listener, entrance, _) = listen();
        let waiting = std::thread::spawn(move || listener.accept().map(drop));
        std::thread::sleep(Duration::from_millis(20));
        entrance.shut().expect("shut");
        assert!(waiting.join().expect("no panic").is_err());
    }

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
