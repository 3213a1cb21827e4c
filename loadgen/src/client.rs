//! One client thread: its rings, its share of each crowd's sockets, and the loop that serves them.
//!
//! ```text
//!   connect: source ─▶ bind, connect, send the upgrade ─▶ adopt into a ring, close the process descriptor
//!   serve:   ring ─▶ completions ─▶ one clock reading ─▶ Listener ─▶ replies
//!   rest:    without a completion, sleep on the doorbell that all rings share
//! ```
//! * A socket is a direct descriptor, so a process holds more of them than RLIMIT_NOFILE: each ring's table may be as
//!   large as that limit, and there are as many rings as it takes.
//! * The thread reads the clock once per reaped batch (about 20 receives): at that moment all of the batch has been
//!   handed to user space, which is when a client has an event.
//! * It spins for `linger` before it sleeps, so that a server need not pay for waking it with nearly every send. Measured
//!   on two virtual CPUs, Stentor to the floor: medians of 1.01 to 1.07 with 200 µs, of 1.14 to 1.23 without.

use std::io;
use std::net::SocketAddrV4;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::Sender;
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use stentor::ring::Doorbell;

use crate::addresses::OutOfPorts;
use crate::clock::Clock;
use crate::cpu::{self, CpuTurns};
use crate::crowd::{Crowd, CrowdPlan};
use crate::handshake::Answer;
use crate::limits::{CLIENT_SLEEP_MS_MAX, CLOSING_MS_MAX};
use crate::listener::Listener;

/// Why a client thread gave up.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error("can't pin a client thread to CPU {cpu}: {source}")]
    Pin { cpu: usize, source: io::Error },
    #[error("can't set up a client ring of {slots} sockets: {source} (io_uring of Linux 6.1 or newer is needed)")]
    Ring { slots: u32, source: io::Error },
    #[error("can't make a client socket: {source} (is `ulimit -n` very low?)")]
    Socket { source: io::Error },
    #[error("can't connect to {address}: {source}: is the server running there?")]
    Connect { address: SocketAddrV4, source: io::Error },
    #[error("{address} did not take a connection in time: its accept queue is full or it hangs")]
    ConnectTimeout { address: SocketAddrV4 },
    #[error("{address} closed a connection before the upgrade could be sent: {source}")]
    SendUpgrade { address: SocketAddrV4, source: io::Error },
    #[error("{address} refused the upgrade: HTTP {} {}: {}", answer.status, answer.reason, answer.body)]
    Refused { address: SocketAddrV4, answer: Answer },
    #[error("{address} is no WebSocket server: {what}")]
    Nonsense { address: SocketAddrV4, what: &'static str },
    #[error("{address} did not make a socket ready: {what}")]
    Astray { address: SocketAddrV4, what: String },
    #[error(transparent)]
    Ports(#[from] OutOfPorts),
}

/// What other threads see of one crowd while it is at work.
#[derive(Debug, Default)]
pub struct Tally {
    /// Upgrades answered with 101.
    pub opened: AtomicU64,
    /// Distinct events received, over all sockets; of those that come and go, how many have everything to the end.
    pub delivered: AtomicU64,
    /// Sockets that ended before they were told to.
    pub ended: AtomicU64,
}

/// How a client thread runs.
#[derive(Clone, Copy, Debug)]
pub struct ClientOptions {
    pub cpu: Option<usize>,
    /// How long to spin without a completion before sleeping.
    pub linger: Duration,
    pub clock: Clock,
    pub turn: Turn,
}

/// Which of several threads on one CPU goes first. What one client thread does must not be felt as the server's lateness by the
/// sockets of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Like everybody else.
    Fair,
    /// Before others, where the user may: the sockets that measure while many others work.
    First,
    /// After others: sockets that are not measured.
    Last,
}

/// What a client thread leaves: its listeners in the order of the plans, and why sockets ended early (the first few).
pub struct ClientEnd<L> {
    pub listeners: Vec<L>,
    pub ended_why: Vec<String>,
}

/// A running client thread.
pub struct Client<L> {
    leave: Arc<AtomicBool>,
    cpu_ns: Arc<AtomicU64>,
    thread: JoinHandle<Option<ClientEnd<L>>>,
}

impl<L: Listener + Send + 'static> Client<L> {
    /// Starts a thread that connects the crowds one after another and serves them until it is told to leave. What
    /// makes it give up goes to `failures`.
    pub fn start(options: ClientOptions, plans: Vec<CrowdPlan<L>>, failures: Sender<ClientError>) -> io::Result<Self> {
        let (leave, cpu_ns) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (leave_seen, cpu_told) = (Arc::clone(&leave), Arc::clone(&cpu_ns));
        let run = move || match Loop::new(options, plans, leave_seen, cpu_told).and_then(Loop::run) {
            Ok(end) => Some(end),
            Err(error) => {
                // The receiver is gone only when the run is over already.
                let _ = failures.send(error);
                None
            }
        };
        let thread = std::thread::Builder::new().name("client".into()).spawn(run)?;
        Ok(Self { leave, cpu_ns, thread })
    }

    /// CPU time of the thread, up to its last rest.
    pub fn cpu_ns(&self) -> u64 {
        self.cpu_ns.load(Relaxed)
    }

    /// Has every socket closed with a closing handshake; `None` where the thread had given up.
    pub fn finish(self) -> Option<ClientEnd<L>> {
        self.leave.store(true, Relaxed);
        self.thread.join().expect("a client thread does not panic")
    }
}

struct Loop<L> {
    clock: Clock,
    linger_ns: u64,
    crowds: Vec<Crowd<L>>,
    doorbell: Doorbell,
    leave: Arc<AtomicBool>,
    cpu_ns: Arc<AtomicU64>,
    last_busy_ns: u64,
    turns: CpuTurns,
}

impl<L: Listener> Loop<L> {
    fn new(
        options: ClientOptions,
        plans: Vec<CrowdPlan<L>>,
        leave: Arc<AtomicBool>,
        cpu_ns: Arc<AtomicU64>,
    ) -> Result<Self, ClientError> {
        if let Some(cpu) = options.cpu {
            cpu::pin(cpu).map_err(|source| ClientError::Pin { cpu, source })?;
        }
        match options.turn {
            Turn::Fair => {}
            Turn::First => cpu::be_punctual(),
            Turn::Last => cpu::be_patient(),
        }
        let doorbell = Doorbell::new().map_err(|source| ClientError::Socket { source })?;
        let crowds: Result<Vec<Crowd<L>>, ClientError> =
            plans.into_iter().map(|plan| Crowd::new(plan, options.clock, &doorbell)).collect();
        let linger_ns = options.linger.as_nanos() as u64;
        let (clock, turns) = (options.clock, CpuTurns::of_this_thread());
        Ok(Self { clock, linger_ns, crowds: crowds?, doorbell, leave, cpu_ns, last_busy_ns: 0, turns })
    }

    fn run(mut self) -> Result<ClientEnd<L>, ClientError> {
        for index in 0..self.crowds.len() {
            while !self.crowds[index].is_connected() && !self.leaving() {
                self.crowds[index].connect_some()?;
                self.turn()?;
            }
        }
        while !self.leaving() {
            self.turn()?;
        }
        for crowd in &mut self.crowds {
            crowd.close_all(Duration::from_millis(CLOSING_MS_MAX));
        }
        let mut ended_why = Vec::new();
        let mut listeners = Vec::new();
        for crowd in self.crowds {
            let (listener, mut why) = crowd.into_listener();
            listeners.push(listener);
            ended_why.append(&mut why);
        }
        Ok(ClientEnd { listeners, ended_why })
    }

    fn leaving(&self) -> bool {
        self.leave.load(Relaxed)
    }

    fn turn(&mut self) -> Result<(), ClientError> {
        if self.serve()? > 0 {
            self.last_busy_ns = self.clock.now_ns();
        } else if self.clock.now_ns() - self.last_busy_ns < self.linger_ns {
            std::hint::spin_loop();
        } else {
            self.rest()?;
        }
        Ok(())
    }

    /// Handles what the rings have; returns how many completions that was.
    fn serve(&mut self) -> Result<usize, ClientError> {
        let mut handled = 0;
        for crowd in &mut self.crowds {
            handled += crowd.serve()?;
        }
        Ok(handled)
    }

    /// Sleeps until a ring has something, or for [`CLIENT_SLEEP_MS_MAX`].
    fn rest(&mut self) -> Result<(), ClientError> {
        self.cpu_ns.store(cpu::thread_ns(), Relaxed);
        self.crowds.iter_mut().for_each(|crowd| crowd.mute_doorbell(false));
        // What came between the last look and here rang no bell.
        if self.serve()? == 0 {
            let timeout = Timespec { tv_sec: 0, tv_nsec: CLIENT_SLEEP_MS_MAX as i64 * 1_000_000 };
            let waited_before_ns = self.turns.waited_ns();
            if poll(&mut [PollFd::new(&self.doorbell, PollFlags::IN)], Some(&timeout)) == Ok(1) {
                // Takes back the rings that were heard; it can't block, for the poll said that there is one.
                let _ = rustix::io::read(&self.doorbell, &mut [0u8; 8]);
            }
            // From the ring on it may have waited for the CPU.
            let waited_ns = self.turns.waited_ns().saturating_sub(waited_before_ns);
            let rung_ns = self.clock.now_ns().saturating_sub(waited_ns);
            self.crowds.iter_mut().for_each(|crowd| crowd.has_slept(rung_ns));
        }
        self.crowds.iter_mut().for_each(|crowd| crowd.mute_doorbell(true));
        Ok(())
    }
}
