//! The whole server: threads, their channels, and its orderly end.

use std::cell::{Cell, RefCell};
use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use glommio::ExecutorJoinHandle;
use hdrhistogram::Histogram;
use rustix::fs::FlockOperation;

use crate::accounts::{AccountsClient, AccountsService, Directory, Hooks, Store, StoreError};
use crate::delivery::guard::SystemNames;
use crate::delivery::{DeliveryError, DeliveryHandle, DeliveryService, DeliveryWaker, Surroundings, WebhookOptions};
use crate::desk::{self, Answers, Budget, Desk, Places};
use crate::executor::{Outcome, Starting, ThreadError};
use crate::gate::{Gate, Policy, Publishers, Refusals};
use crate::hub::{Hub, HubHandle};
use crate::journal::service::StopError;
use crate::journal::{JournalHandle, JournalOptions, JournalService, OpenError, Opening, Window};
use crate::plan::{Machine, MachineError, Plan, PlanError, ShardPlan, Wishes};
use crate::protocol::SessionRules;
use crate::ring::probe::Unsupported;
use crate::ring::{self, ListenOptions, RingOptions, SocketRing};
use crate::shard::{
    Neighbours, Plane, SessionParts, Sessions, Shard, ShardHandle, ShardMail, ShardSizes, ShardStats, new_histogram,
};
use crate::tokens::{KeyError, TokenSettings, Verifier};
use crate::watchman::Watchman;
use crate::{clock, executor, limits};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerOptions {
    pub listen: SocketAddr,
    pub data_dir: PathBuf,
    pub wishes: Wishes,
    pub policy: Policy,
    pub rules: SessionRules,
    pub journal: JournalOptions,
    pub tokens: TokenSettings,
    pub webhooks: WebhookOptions,
}

/// Why the server can't start. Each message is one sentence that ends with the remedy.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Unsupported(#[from] Unsupported),
    #[error(transparent)]
    Machine(#[from] MachineError),
    #[error(transparent)]
    Plan(#[from] PlanError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Journal(#[from] OpenError),
    #[error(transparent)]
    JournalThread(#[from] crate::journal::service::StartError),
    #[error(transparent)]
    Tokens(#[from] KeyError),
    #[error(transparent)]
    Delivery(#[from] DeliveryError),
    #[error(
        "can't raise RLIMIT_NOFILE to its hard limit ({source}): raise it before the start (`ulimit -n`, LimitNOFILE= in the service's unit)"
    )]
    DescriptorLimit { source: io::Error },
    #[error("can't lock {} ({source}): check its owner and mode, or choose a directory on a local file system with --data-dir", .path.display())]
    Lock { path: PathBuf, source: io::Error },
    #[error("another Stentor runs on {}: stop it, or choose another directory with --data-dir", .0.display())]
    DataDirInUse(PathBuf),
    #[error("{address} is taken by another program: stop it, or choose another address with --listen")]
    AddressInUse { address: SocketAddr },
    #[error("can't listen on {address} ({source}): choose another address with --listen")]
    Listen { address: SocketAddr, source: io::Error },
    #[error("shard {shard} can't set up its ring ({source}): `stentor doctor` tells what this machine lacks")]
    Ring { shard: usize, source: io::Error },
    #[error(
        "can't make the eventfd that wakes {thread} ({source}): allow more open files (`ulimit -n`, sysctl fs.file-max)"
    )]
    Doorbell { thread: String, source: io::Error },
    #[error(transparent)]
    Thread(#[from] ThreadError),
    #[error(
        "can't start the watchman's thread ({source}): allow more threads (`ulimit -u`, TasksMax= in the service's unit, the \
         container's pids limit)"
    )]
    Watchman { source: io::Error },
}

/// A running server.
pub struct Server {
    pub address: SocketAddr,
    pub plan: Plan,
    shards: Arc<[ShardHandle]>,
    hub: HubHandle,
    accounts: AccountsService,
    journal: JournalService,
    delivery: DeliveryService,
    hub_thread: ExecutorJoinHandle<()>,
    shard_threads: Vec<ExecutorJoinHandle<()>>,
    _watchman: Watchman,
    /// Held for the life of the process.
    _lock: File,
}

/// What all shards together have done so far.
#[derive(Clone, Copy, Debug, Default)]
pub struct Totals {
    pub sockets: u64,
    pub deliveries: u64,
    pub slow_consumers_closed: u64,
    /// Sessions that the journal had to serve because they were too slow.
    pub fell_behind: u64,
    /// Sessions that have got from the journal what they missed, and are live.
    pub caught_up: u64,
    pub last_seq: u64,
}

impl Server {
    /// Starts every thread and returns once the server accepts connections.
    pub fn start(options: ServerOptions) -> Result<Self, StartError> {
        ring::probe::probe()?;
        ring::probe::check_locked_memory()?;
        crate::plan::raise_descriptor_limit().map_err(|source| StartError::DescriptorLimit { source })?;
        if let Err(error) = crate::plan::decline_huge_pages() {
            tracing::warn!("transparent huge pages can't be declined ({error}): disable them for the machine");
        }
        let plan = Plan::new(&Machine::read(Path::new("/"))?, &options.wishes)?;
        let store = Store::open(&options.data_dir)?;
        let lock = lock(&options.data_dir)?;
        let tokens = Arc::new(Verifier::open(&options.tokens, &options.data_dir)?);
        let (listeners, address) = bind(options.listen, plan.shards.len())?;
        let shards = plan
            .shards
            .iter()
            .map(|shard| {
                ShardHandle::new(plan.slots_per_shard)
                    .map_err(|source| StartError::Doorbell { thread: shard_name(shard.index), source })
            })
            .collect::<Result<Arc<[ShardHandle]>, _>>()?;
        let mut opening = Opening::open(&options.data_dir)?;
        let next_seq = opening.next_seq();
        let window = Window::new(shards.len(), next_seq, limits::WINDOW_BYTES_MAX, limits::WINDOW_KEPT_BYTES);
        let window = Arc::new(window);
        let waker = DeliveryWaker::default();
        let accounts = AccountsService::start(store, hooks(&shards, waker.clone(), plan.delivery_cpu))?;
        let doorbells = shards.iter().map(|shard| shard.mailbox.doorbell().clone()).collect();
        let mut hub = Hub::new(window.clone(), doorbells, &options.journal).map_err(hub_doorbell)?;
        let (handle, hub_pulse) = (hub.handle(), hub.pulse());
        let now = clock::unix_ms();
        let remembered_since = now.saturating_sub(options.journal.dedupe_seconds.saturating_mul(1_000));
        opening.recall(remembered_since, |batch| hub.remember(batch, now))?;
        let (publishers, webhooks) = (handle.clone(), waker.clone());
        let on_kept = Box::new(move |next| {
            publishers.kept(next);
            webhooks.kept(next);
        });
        let journal = opening.start(options.journal, window.clone(), plan.delivery_cpu, on_kept)?;
        hub.keep_with(Box::new(journal.handle()));
        waker.kept(next_seq);
        let surroundings = Surroundings {
            directory: accounts.directory().clone(),
            window: window.clone(),
            history: journal.handle(),
            names: Arc::new(SystemNames),
            waker,
            cpu: plan.delivery_cpu,
        };
        let delivery = DeliveryService::start(&options.data_dir, options.webhooks, surroundings)?;
        let main = |outcome: Outcome<StartError>| {
            // Nobody hears it only where the start has failed elsewhere.
            hub.run(move |started| drop(outcome.send(started.map_err(hub_doorbell))))
        };
        let hub_thread = executor::spawn(HUB, plan.hub_cpu, main)?.finish()?;
        let parts = ShardParts {
            shards: shards.clone(),
            window,
            history: journal.handle(),
            directory: accounts.directory().clone(),
            accounts: accounts.client(),
            hub: handle.clone(),
            delivery: delivery.handle(),
            refusals: Arc::default(),
            publishers: Publishers::new(&options.policy),
            gate: Arc::new(Gate::new(options.policy)),
            rules: options.rules,
            tokens,
            connections_max: plan.descriptors.desk_connections_per_shard as usize,
            sizes: ShardSizes { slots: plan.slots_per_shard, log_bytes: limits::SHARD_LOG_BYTES },
        };
        let shard_threads = start_shards(&plan, parts, listeners)?;
        let watched = shards.iter().enumerate().map(|(index, shard)| (shard_name(index), shard.pulse.clone()));
        let others = [(HUB, hub_pulse), ("journal", journal.pulse()), ("delivery", delivery.pulse())];
        let others = others.map(|(name, pulse)| (name.to_owned(), pulse));
        let watched = watched.chain(others).collect();
        let watchman = Watchman::start(watched).map_err(|source| StartError::Watchman { source })?;
        Ok(Self {
            address,
            plan,
            shards,
            hub: handle,
            accounts,
            journal,
            delivery,
            hub_thread,
            shard_threads,
            _watchman: watchman,
            _lock: lock,
        })
    }

    pub fn hub(&self) -> HubHandle {
        self.hub.clone()
    }

    pub fn accounts(&self) -> AccountsClient {
        self.accounts.client()
    }

    /// For other threads to see how it is doing.
    pub fn watch(&self) -> ServerWatch {
        ServerWatch { shards: self.shards.clone(), hub: self.hub.clone() }
    }

    /// Takes no more events, waits until those that were taken are kept, closes every session with 1012 and waits for the shards
    /// to end. Each step has a deadline. An error: events may be missing from the disk.
    pub fn shut_down(self) -> Result<(), StopError> {
        let (stopped, all_numbered) = std::sync::mpsc::channel();
        self.hub.stop(Box::new(move || {
            let _ = stopped.send(());
        }));
        let _ = all_numbered.recv();
        if let Err(error) = self.hub_thread.join() {
            tracing::error!(%error, "the hub ended badly");
        }
        self.shards.iter().for_each(|shard| shard.mailbox.post(ShardMail::Shutdown));
        for thread in self.shard_threads {
            if let Err(error) = thread.join() {
                tracing::error!(%error, "a shard ended badly");
            }
        }
        self.delivery.finish();
        self.journal.handle().stop();
        self.journal.finish()
    }
}

/// A view of a running server's counters.
#[derive(Clone)]
pub struct ServerWatch {
    shards: Arc<[ShardHandle]>,
    hub: HubHandle,
}

impl ServerWatch {
    /// Counters since the start.
    pub fn totals(&self) -> Totals {
        let sum = |counter: fn(&ShardStats) -> &AtomicU64| {
            self.shards.iter().map(|shard| ShardStats::get(counter(&shard.stats))).sum()
        };
        Totals {
            sockets: sum(|stats| &stats.sockets),
            deliveries: sum(|stats| &stats.deliveries),
            slow_consumers_closed: sum(|stats| &stats.slow_consumers_closed),
            fell_behind: sum(|stats| &stats.fell_behind),
            caught_up: sum(|stats| &stats.caught_up),
            last_seq: self.hub.last_seq(),
        }
    }

    /// The fan-out latencies since the last call, in nanoseconds: from a request's acceptance to the moment when the
    /// kernel had the bytes for every socket of a shard.
    pub fn take_fanout(&self) -> Histogram<u32> {
        let mut total = new_histogram();
        self.shards.iter().for_each(|shard| shard.stats.take_fanout(&mut total));
        total
    }
}

/// What every shard gets a copy of.
#[derive(Clone)]
struct ShardParts {
    shards: Arc<[ShardHandle]>,
    window: Arc<Window>,
    history: JournalHandle,
    directory: Arc<Directory>,
    accounts: AccountsClient,
    hub: HubHandle,
    delivery: DeliveryHandle,
    refusals: Arc<Refusals>,
    publishers: Arc<Publishers>,
    gate: Arc<Gate>,
    rules: SessionRules,
    tokens: Arc<Verifier>,
    connections_max: usize,
    sizes: ShardSizes,
}

fn start_shards(
    plan: &Plan,
    parts: ShardParts,
    listeners: Vec<OwnedFd>,
) -> Result<Vec<ExecutorJoinHandle<()>>, StartError> {
    let spawn = |(shard, listener): (&ShardPlan, OwnedFd)| {
        let (parts, index) = (parts.clone(), shard.index);
        executor::spawn(&shard_name(index), shard.cpu, move |outcome| run_shard(index, parts, listener, outcome))
    };
    // All of them first: they start beside each other.
    let starting: Vec<_> = plan.shards.iter().zip(listeners).map(spawn).collect::<Result<_, _>>()?;
    starting.into_iter().map(Starting::finish).collect()
}

const HUB: &str = "hub";

fn shard_name(index: usize) -> String {
    format!("shard-{index}")
}

fn hub_doorbell(source: io::Error) -> StartError {
    StartError::Doorbell { thread: HUB.to_owned(), source }
}

async fn run_shard(index: usize, parts: ShardParts, listener: OwnedFd, outcome: Outcome<StartError>) {
    let ring = match SocketRing::new(ring_options(parts.sizes.slots)) {
        Ok(ring) => ring,
        Err(source) => {
            let _ = outcome.send(Err(StartError::Ring { shard: index, source }));
            return;
        }
    };
    let handle = parts.shards[index].clone();
    let shared = SessionParts {
        accounts: parts.directory.load(),
        tokens: parts.tokens.clone(),
        gate: parts.gate.clone(),
        rules: parts.rules,
        stats: handle.stats.clone(),
        seq: parts.window.visible() - 1,
    };
    let sessions = Sessions::new(parts.sizes, shared);
    let plane = Rc::new(RefCell::new(Plane::new(ring, sessions)));
    let answers = Rc::new(Answers::default());
    let stopping = Rc::new(Cell::new(false));
    let rush = Rc::new(Cell::new(false));
    let desk = Rc::new(Desk {
        shard: index,
        shards: parts.shards,
        directory: parts.directory.clone(),
        accounts: parts.accounts,
        hub: parts.hub,
        delivery: parts.delivery,
        window: parts.window.clone(),
        history: parts.history.clone(),
        rules: parts.rules,
        refusals: parts.refusals,
        gate: parts.gate,
        tokens: parts.tokens,
        publishers: parts.publishers,
        answers: answers.clone(),
        stopping: stopping.clone(),
        rush: rush.clone(),
        places: Places::new(parts.connections_max),
        bodies: Budget::new(limits::DESK_BODIES_BYTES_MAX),
    });
    let queue =
        glommio::executor().create_task_queue(glommio::Shares::default(), glommio::Latency::NotImportant, "desk");
    let accepting = desk::accept(desk, ring::glommio_listener(listener));
    glommio::spawn_local_into(accepting, queue).expect("the queue was made just now").detach();
    let _ = outcome.send(Ok(()));
    let pulse = handle.pulse.clone();
    let neighbours = Neighbours {
        window: parts.window,
        history: parts.history,
        directory: parts.directory,
        answers,
        stopping,
        rush,
    };
    Shard::new(index, handle, neighbours, plane).run().await;
    pulse.rest();
}

fn ring_options(slots: u32) -> RingOptions {
    RingOptions {
        slots,
        submission_entries: limits::RING_SUBMISSION_ENTRIES,
        completion_entries: limits::RING_COMPLETION_ENTRIES,
        receive_buffers: limits::RECEIVE_BUFFERS,
        receive_buffer_bytes: limits::RECEIVE_BUFFER_BYTES,
    }
}

fn bind(address: SocketAddr, shards: usize) -> Result<(Vec<OwnedFd>, SocketAddr), StartError> {
    let options = ListenOptions {
        backlog: limits::LISTEN_BACKLOG,
        send_buffer_bytes: limits::SEND_BUFFER_BYTES,
        unsent_bytes: limits::UNSENT_BYTES_MAX,
        unacknowledged_max: Duration::from_millis(limits::UNACKNOWLEDGED_MS_MAX.into()),
    };
    let started = clock::now();
    let mut told = false;
    loop {
        match ring::bind_listeners(address, shards, options) {
            Ok(bound) => return Ok(bound),
            Err(source) if source.kind() != io::ErrorKind::AddrInUse => {
                return Err(StartError::Listen { address, source });
            }
            Err(_) if clock::now() - started > limits::ADDRESS_WAIT_MS * 1_000_000 => {
                return Err(StartError::AddressInUse { address });
            }
            // The kernel takes a process's rings apart after its end, and until then they hold its listening sockets.
            Err(_) => {
                if !std::mem::replace(&mut told, true) {
                    tracing::debug!(%address, "the address is still taken: waiting for it a moment");
                }
                std::thread::sleep(Duration::from_millis(limits::ADDRESS_RETRY_MS));
            }
        }
    }
}

/// The accounts thread blocks on the disk, so it lives on the delivery CPU; every shard and the delivery core hear of a new snapshot.
fn hooks(shards: &Arc<[ShardHandle]>, delivery: DeliveryWaker, cpu: usize) -> Hooks {
    let shards = shards.clone();
    Hooks {
        on_start: Box::new(move || {
            let mut cpus = rustix::thread::CpuSet::new();
            cpus.set(cpu);
            if let Err(error) = rustix::thread::sched_setaffinity(None, &cpus) {
                tracing::warn!(cpu, %error, "the accounts thread could not be pinned");
            }
        }),
        on_change: Box::new(move |_| {
            shards.iter().for_each(|shard| shard.mailbox.doorbell().ring());
            delivery.accounts_changed();
        }),
    }
}

/// Makes sure that no other server runs on a data directory for as long as the file is held.
pub(crate) fn lock(data_dir: &Path) -> Result<File, StartError> {
    let path = data_dir.join("server.lock");
    let file = File::create(&path).map_err(|source| StartError::Lock { path: path.clone(), source })?;
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(StartError::DataDirInUse(data_dir.to_owned())),
        Err(error) => Err(StartError::Lock { path, source: error.into() }),
    }
}
