//! The endpoints: an HTTP/1.1 server that takes deliveries as fast as one CPU can, by epoll, and answers as it was told.
//!
//! Every thread has a listener of its own on the same port (SO_REUSEPORT) and the connections that the kernel gave it. A
//! request is read into its connection's buffer and looked at there; nothing is copied.

use std::collections::VecDeque;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hdrhistogram::Histogram;
use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::SendFlags;

use super::book::{ArrivalKind, Book};
use super::endpoint::{Conduct, Reaction};
use super::fault::{Delivery, Fault};
use super::post::{Post, read_post};
use crate::clock::Clock;
use crate::cpu;
use crate::latency::latency_histogram;
use crate::limits::{WEBHOOK_FAULTS_TOLD_MAX, WEBHOOK_READ_BYTES, WEBHOOK_SINK_BACKLOG, WEBHOOK_SINK_EVENTS};
use crate::schedule::{Timetable, UNTIMED};

/// What a healthy endpoint answers, and so what the floor waits for.
pub const ACCEPTED: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK";
const REFUSED: &[u8] = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n";
const ERROR: &[u8] = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n";

/// Paths of endpoint K's deliveries and of the floor's requests to it.
pub const HOOK: &str = "/hook/";
pub const FLOOR: &str = "/floor/";

/// The listener's mark among the connections'.
const LISTENER: u64 = u64::MAX;
/// How long a thread may miss that the run is over.
const LOOK: Duration = Duration::from_millis(50);

/// What a sink thread works on.
#[derive(Clone, Debug)]
pub struct SinkPlan {
    pub book: Arc<Book>,
    /// When each event but the first was due; in a flood none is timed.
    pub timetable: Option<Arc<Timetable>>,
    pub clock: Clock,
    pub delay: Duration,
}

/// Listens already, answers once it is started.
pub struct BoundSink {
    listeners: Vec<TcpListener>,
    pub address: SocketAddrV4,
}

/// The running threads.
pub struct Sink {
    threads: Vec<JoinHandle<io::Result<Tally>>>,
    stop: Arc<AtomicBool>,
}

/// What one thread saw, or all of them together.
#[derive(Debug)]
pub struct Tally {
    pub connections: u64,
    pub requests: u64,
    /// First arrivals at healthy endpoints, from the intended time; without those that are not timed.
    pub latency: Histogram<u64>,
    /// First arrivals at healthy endpoints of all events but the one that goes ahead, and when the first and last came.
    pub deliveries: u64,
    pub first_ns: u64,
    pub last_ns: u64,
    /// Of those, how many came after a later event.
    pub late: u64,
    pub retries: u64,
    /// Attempts that came once more because their connection was reset.
    pub sent_again: u64,
    pub duplicates: u64,
    /// What was done wrong on purpose.
    pub errors: u64,
    pub resets: u64,
    pub hangs: u64,
    /// Answers that could not be written because the server had hung up.
    pub unanswered: u64,
    pub faults: u64,
    /// The first few of them in words.
    pub told: Vec<String>,
    pub cpu_ns: u64,
}

impl BoundSink {
    /// Takes a free port.
    pub fn bind(address: Ipv4Addr, threads: u32) -> io::Result<Self> {
        let first = listen(SocketAddrV4::new(address, 0))?;
        let address = match first.local_addr()? {
            SocketAddr::V4(address) => address,
            SocketAddr::V6(_) => unreachable!("bound to an IPv4 address"),
        };
        let mut listeners = vec![first];
        for _ in 1..threads {
            listeners.push(listen(address)?);
        }
        Ok(Self { listeners, address })
    }

    /// Starts a thread for each listener, on the CPUs given, counted round.
    pub fn start(self, cpus: &[usize], plan: &SinkPlan) -> io::Result<Sink> {
        let stop = Arc::new(AtomicBool::new(false));
        let mut threads = Vec::new();
        for (number, listener) in self.listeners.into_iter().enumerate() {
            let desk = Desk::new(listener, plan.clone(), Arc::clone(&stop))?;
            let cpu = cpus[number % cpus.len()];
            let run = move || {
                // A sink that may not be pinned still counts.
                let _ = cpu::pin(cpu);
                desk.run()
            };
            threads.push(std::thread::Builder::new().name(format!("sink-{number}")).spawn(run)?);
        }
        Ok(Sink { threads, stop })
    }
}

impl Sink {
    /// Whether a thread has ended, which it does by itself only when something is wrong.
    pub fn is_broken(&self) -> bool {
        self.threads.iter().any(JoinHandle::is_finished)
    }

    /// Stops all threads and adds up what they saw.
    pub fn finish(self) -> io::Result<Tally> {
        self.stop.store(true, Relaxed);
        let mut total = Tally::new();
        for thread in self.threads {
            total.add(thread.join().expect("a sink's thread does not panic")?);
        }
        Ok(total)
    }
}

fn listen(address: SocketAddrV4) -> io::Result<TcpListener> {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM.cloexec().nonblocking(), None)?;
    socket.set_reuse_port(true)?;
    socket.bind(&address.into())?;
    socket.listen(WEBHOOK_SINK_BACKLOG)?;
    Ok(socket.into())
}

/// One thread's connections.
struct Desk {
    listener: TcpListener,
    epoll: OwnedFd,
    plan: SinkPlan,
    stop: Arc<AtomicBool>,
    connections: Vec<Option<Connection>>,
    free: Vec<u32>,
    /// Counts connections, so that news of a closed one is not taken for its successor's.
    generation: u32,
    /// Answers that wait, in the order in which they are due.
    waiting: VecDeque<Waiting>,
    tally: Tally,
}

struct Connection {
    stream: TcpStream,
    generation: u32,
    received: Vec<u8>,
}

struct Waiting {
    due_ns: u64,
    token: u64,
    endpoint: u32,
    event: u32,
}

/// What is to be done with a connection after one of its requests.
enum Next {
    Answer(&'static [u8]),
    /// Answer that it was accepted; where that fails, take it back.
    Accept {
        endpoint: u32,
        event: u32,
    },
    Wait,
    Reset,
}

impl Desk {
    fn new(listener: TcpListener, plan: SinkPlan, stop: Arc<AtomicBool>) -> io::Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        epoll::add(&epoll, &listener, EventData::new_u64(LISTENER), EventFlags::IN)?;
        Ok(Self {
            listener,
            epoll,
            plan,
            stop,
            connections: Vec::new(),
            free: Vec::new(),
            generation: 0,
            waiting: VecDeque::new(),
            tally: Tally::new(),
        })
    }

    fn run(mut self) -> io::Result<Tally> {
        let mut events: Vec<Event> = Vec::with_capacity(WEBHOOK_SINK_EVENTS);
        while !self.stop.load(Relaxed) {
            let timeout = self.time_to_wait();
            let timeout = Timespec { tv_sec: 0, tv_nsec: i64::from(timeout.subsec_nanos()) };
            match epoll::wait(&self.epoll, spare_capacity(&mut events), Some(&timeout)) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            for event in events.drain(..) {
                match event.data.u64() {
                    LISTENER => self.accept()?,
                    token => self.read(token),
                }
            }
            self.answer_waiting();
        }
        self.tally.cpu_ns = cpu::thread_ns();
        Ok(self.tally)
    }

    fn time_to_wait(&self) -> Duration {
        let left = |waiting: &Waiting| Duration::from_nanos(waiting.due_ns.saturating_sub(self.plan.clock.now_ns()));
        self.waiting.front().map_or(LOOK, |waiting| left(waiting).min(LOOK))
    }

    fn accept(&mut self) -> io::Result<()> {
        loop {
            let stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => continue,
                Err(error) => return Err(error),
            };
            stream.set_nonblocking(true)?;
            stream.set_nodelay(true)?;
            let place = self.free.pop().unwrap_or_else(|| {
                self.connections.push(None);
                self.connections.len() as u32 - 1
            });
            self.generation = self.generation.wrapping_add(1) & (u32::MAX >> 1);
            let token = u64::from(self.generation) << 32 | u64::from(place);
            epoll::add(&self.epoll, &stream, EventData::new_u64(token), EventFlags::IN)?;
            let connection = Connection { stream, generation: self.generation, received: Vec::new() };
            self.connections[place as usize] = Some(connection);
            self.tally.connections += 1;
        }
    }

    fn connection(&mut self, token: u64) -> Option<&mut Connection> {
        let connection = self.connections.get_mut((token & u64::from(u32::MAX)) as usize)?.as_mut()?;
        (u64::from(connection.generation) == token >> 32).then_some(connection)
    }

    /// Nobody waits any more for what it was owed.
    fn close(&mut self, token: u64) {
        if self.connection(token).is_none() {
            return;
        }
        let place = token as u32;
        self.connections[place as usize] = None;
        self.free.push(place);
        let (book, unanswered) = (&self.plan.book, &mut self.tally.unanswered);
        self.waiting.retain(|waiting| {
            let is_owed = waiting.token == token;
            if is_owed {
                book.take_back(waiting.endpoint, waiting.event);
                *unanswered += 1;
            }
            !is_owed
        });
    }

    /// Reads what there is, once: where there is more, epoll says so again.
    fn read(&mut self, token: u64) {
        let Some(connection) = self.connection(token) else { return };
        let mut received = std::mem::take(&mut connection.received);
        received.reserve(WEBHOOK_READ_BYTES);
        match rustix::io::read(&connection.stream, spare_capacity(&mut received)) {
            Ok(0) => return self.close(token),
            Ok(_) => {}
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(_) => return self.close(token),
        }
        let now_ns = self.plan.clock.now_ns();
        let mut used = 0;
        loop {
            let next = match read_post(&received[used..]) {
                Ok(None) => break,
                Ok(Some(post)) => {
                    let request = &received[used..used + post.bytes];
                    used += post.bytes;
                    self.take(&post, request, now_ns)
                }
                Err(what) => {
                    self.fault(Fault::Request, what);
                    return self.close(token);
                }
            };
            if !self.follow(next, token, now_ns) {
                return;
            }
        }
        received.drain(..used);
        if let Some(connection) = self.connection(token) {
            connection.received = received;
        }
    }

    /// Does what follows from a request; `false` where its connection is gone.
    fn follow(&mut self, next: Next, token: u64, now_ns: u64) -> bool {
        match next {
            Next::Answer(answer) if !self.answer(token, answer) => {
                self.tally.unanswered += 1;
                false
            }
            Next::Accept { endpoint, event } if self.plan.delay.is_zero() => {
                self.accept_delivery(token, endpoint, event)
            }
            Next::Accept { endpoint, event } => {
                let due_ns = now_ns + self.plan.delay.as_nanos() as u64;
                self.waiting.push_back(Waiting { due_ns, token, endpoint, event });
                true
            }
            Next::Reset => {
                if let Some(connection) = self.connection(token) {
                    let _ = socket2::SockRef::from(&connection.stream).set_linger(Some(Duration::ZERO));
                }
                self.close(token);
                false
            }
            Next::Answer(_) | Next::Wait => true,
        }
    }

    fn answer_waiting(&mut self) {
        while let Some(first) = self.waiting.front()
            && first.due_ns <= self.plan.clock.now_ns()
        {
            let Waiting { token, endpoint, event, .. } = self.waiting.pop_front().expect("there was one");
            self.accept_delivery(token, endpoint, event);
        }
    }

    fn accept_delivery(&mut self, token: u64, endpoint: u32, event: u32) -> bool {
        let answered = self.answer(token, ACCEPTED);
        if !answered {
            self.tally.unanswered += 1;
            self.plan.book.take_back(endpoint, event);
        }
        answered
    }

    /// Whether the answer was written; if not, the connection is gone.
    fn answer(&mut self, token: u64, answer: &[u8]) -> bool {
        let Some(connection) = self.connection(token) else { return false };
        // An answer is far smaller than a socket's buffer: whoever lets that fill up has asked without listening.
        match rustix::net::send(&connection.stream, answer, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
            Ok(sent) if sent == answer.len() => true,
            _ => {
                self.close(token);
                false
            }
        }
    }

    fn take(&mut self, post: &Post<'_>, request: &[u8], now_ns: u64) -> Next {
        self.tally.requests += 1;
        let book = Arc::clone(&self.plan.book);
        let number = |mark: &str| {
            let number: u32 = post.path.strip_prefix(mark)?.parse().ok()?;
            book.endpoints.get(number as usize).map(|endpoint| (number, endpoint))
        };
        if let Some((number, endpoint)) = number(HOOK) {
            let verified = endpoint.verify(post, Some(unix_seconds()));
            let arrival = verified.and_then(|delivery| Ok((delivery, book.arrive(number, &delivery, post.body)?)));
            match arrival {
                Ok((delivery, arrival)) => {
                    if endpoint.conduct == Conduct::Healthy {
                        book.keep_sample(request);
                        self.note_arrival(arrival.kind, &delivery, now_ns);
                    }
                    return self.react(arrival.reaction, number, delivery.event);
                }
                Err(fault) => self.fault(fault, post.path),
            }
        } else if let Some((_, endpoint)) = number(FLOOR) {
            match endpoint.verify(post, None) {
                Ok(_) => return Next::Answer(ACCEPTED),
                Err(fault) => self.fault(fault, post.path),
            }
        } else {
            self.fault(Fault::Request, post.path);
        }
        Next::Answer(REFUSED)
    }

    fn note_arrival(&mut self, kind: ArrivalKind, delivery: &Delivery<'_>, now_ns: u64) {
        let tally = &mut self.tally;
        match kind {
            ArrivalKind::First { late } if delivery.event > 0 => {
                tally.deliveries += 1;
                tally.late += u64::from(late);
                tally.first_ns = tally.first_ns.min(now_ns);
                tally.last_ns = tally.last_ns.max(now_ns);
                let due_ns =
                    self.plan.timetable.as_ref().map_or(UNTIMED, |times| times.intended_ns(delivery.event - 1));
                if due_ns != UNTIMED {
                    tally.latency.saturating_record(now_ns.saturating_sub(due_ns).max(1));
                }
            }
            ArrivalKind::First { .. } => {}
            ArrivalKind::Retry => tally.retries += 1,
            ArrivalKind::SentAgain => tally.sent_again += 1,
            ArrivalKind::Duplicate => tally.duplicates += 1,
        }
    }

    fn react(&mut self, reaction: Reaction, endpoint: u32, event: u32) -> Next {
        match reaction {
            Reaction::Accept => Next::Accept { endpoint, event },
            Reaction::Error => {
                self.tally.errors += 1;
                Next::Answer(ERROR)
            }
            Reaction::Reset => {
                self.tally.resets += 1;
                Next::Reset
            }
            Reaction::Hang => {
                self.tally.hangs += 1;
                Next::Wait
            }
        }
    }

    fn fault(&mut self, fault: Fault, whereabouts: &str) {
        self.tally.faults += 1;
        if self.tally.told.len() < WEBHOOK_FAULTS_TOLD_MAX {
            self.tally.told.push(format!("{whereabouts}: {fault}"));
        }
    }
}

fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

impl Tally {
    fn new() -> Self {
        Self {
            connections: 0,
            requests: 0,
            latency: latency_histogram(),
            deliveries: 0,
            first_ns: u64::MAX,
            last_ns: 0,
            late: 0,
            retries: 0,
            sent_again: 0,
            duplicates: 0,
            errors: 0,
            resets: 0,
            hangs: 0,
            unanswered: 0,
            faults: 0,
            told: Vec::new(),
            cpu_ns: 0,
        }
    }

    fn add(&mut self, other: Self) {
        self.latency.add(&other.latency).expect("histograms of the same bounds");
        self.first_ns = self.first_ns.min(other.first_ns);
        self.last_ns = self.last_ns.max(other.last_ns);
        for (mine, theirs) in [
            (&mut self.connections, other.connections),
            (&mut self.requests, other.requests),
            (&mut self.deliveries, other.deliveries),
            (&mut self.late, other.late),
            (&mut self.retries, other.retries),
            (&mut self.sent_again, other.sent_again),
            (&mut self.duplicates, other.duplicates),
            (&mut self.errors, other.errors),
            (&mut self.resets, other.resets),
            (&mut self.hangs, other.hangs),
            (&mut self.unanswered, other.unanswered),
            (&mut self.faults, other.faults),
            (&mut self.cpu_ns, other.cpu_ns),
        ] {
            *mine += theirs;
        }
        self.told.extend(other.told);
        self.told.truncate(WEBHOOK_FAULTS_TOLD_MAX);
    }
}

#[cfg(test)]
mod tests;
