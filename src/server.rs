//! The whole server: threads, their channels, and its orderly end.

use std::cell::{Cell, RefCell};
use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

use async_lock::Mutex;
use glommio::ExecutorJoinHandle;
use rustix::fs::FlockOperation;
use serde_json::json;

use crate::accounts::audit::{Act, Action, Actor, UnixUser};
use crate::accounts::{AccountsClient, AccountsService, Directory, Hooks, Store, StoreError};
use crate::config::{Change, Changes, Reloads};
use crate::delivery::guard::SystemNames;
use crate::delivery::{
    DeliveryError, DeliveryHandle, DeliveryService, DeliveryWaker, OnDisabled, Surroundings, WebhookOptions, recorded,
};
use crate::desk::{self, Answers, Budget, Desk, Door, Places, StatusStreams};
use crate::executor::{Outcome, Starting, ThreadError};
use crate::gate::{Gate, Network, Policy, Publishers, Refusals};
use crate::hub::{Hub, HubHandle};
use crate::journal::service::StopError;
use crate::journal::{JournalHandle, JournalOptions, JournalService, OpenError, Opening, Window};
use crate::logging::{AccountNews, LogOptions};
use crate::metrics::{HistogramReading, ObserverHandle, ObserverService, Sources};
use crate::plan::{Machine, MachineError, Plan, PlanError, ShardPlan, Wishes};
use crate::protocol::{LiveRules, SessionRules};
use crate::ring::probe::Unsupported;
use crate::ring::{self, Entrance, ListenOptions, RingOptions, SocketRing};
use crate::shard::{
    DrainRules, Neighbours, Plane, Secured, SessionParts, Sessions, Shard, ShardHandle, ShardMail, ShardSizes,
    ShardStats,
};
use crate::tls::{CertificateError, Tls, TlsFiles};
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
    pub tls: TlsFiles,
    pub webhooks: WebhookOptions,
    /// Networks that may have the metrics without a key.
    pub scrapers: Vec<Network>,
    pub drain: DrainRules,
    pub log: LogOptions,
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
    Certificate(#[from] CertificateError),
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
        "shard {shard} can't hold its listener by a second descriptor ({source}): allow more open files (`ulimit -n`)"
    )]
    Entrance { shard: usize, source: io::Error },
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
    #[error(
        "can't start the observer's thread ({source}): allow more threads (`ulimit -u`, TasksMax= in the service's unit, the \
         container's pids limit)"
    )]
    Observer { source: io::Error },
}

/// A running server.
pub struct Server {
    pub address: SocketAddr,
    pub plan: Plan,
    tls: Option<Arc<Tls>>,
    shards: Arc<[ShardHandle]>,
    hub: HubHandle,
    accounts: AccountsService,
    journal: JournalService,
    delivery: DeliveryService,
    hub_thread: ExecutorJoinHandle<()>,
    shard_threads: Vec<ExecutorJoinHandle<()>>,
    gate: Arc<Gate>,
    publishers: Arc<Publishers>,
    rules: Arc<LiveRules>,
    drain: DrainRules,
    /// What else is read again at a reload.
    reloads: Reloads,
    _watchman: Watchman,
    _observer: ObserverService,
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
        let tls = Tls::open(options.tls)?.map(Arc::new);
        let plan = Plan::new(&Machine::read(Path::new("/"))?, &options.wishes)?;
        let plan = if tls.is_some() { plan.secured() } else { plan };
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
        let news = Arc::new(AccountNews::default());
        let accounts = AccountsService::start(store, hooks(&shards, waker.clone(), news.clone(), plan.delivery_cpu))?;
        news.tell(&accounts.directory().load());
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
            on_disabled: on_disabled(&accounts),
            cpu: plan.delivery_cpu,
        };
        let delivery = DeliveryService::start(&options.data_dir, options.webhooks, surroundings)?;
        let main = |outcome: Outcome<StartError>| {
            // Nobody hears it only where the start has failed elsewhere.
            hub.run(move |started| drop(outcome.send(started.map_err(hub_doorbell))))
        };
        let hub_thread = executor::spawn(HUB, plan.hub_cpu, main)?.finish()?;
        let watched = shards.iter().enumerate().map(|(index, shard)| (shard_name(index), shard.pulse.clone()));
        let others = [(HUB, hub_pulse), ("journal", journal.pulse()), ("delivery", delivery.pulse())];
        let others = others.map(|(name, pulse)| (name.to_owned(), pulse));
        let watched: Vec<_> = watched.chain(others).collect();
        let sources = Sources {
            shards: shards.clone(),
            slots_per_shard: plan.slots_per_shard,
            hub: handle.clone(),
            window: window.clone(),
            journal: journal.handle(),
            delivery: delivery.handle().stats(),
            directory: accounts.directory().clone(),
            tls: tls.clone(),
            pulses: watched.clone(),
        };
        let observer =
            ObserverService::start(sources, plan.delivery_cpu).map_err(|source| StartError::Observer { source })?;
        let gate = Arc::new(Gate::new(options.policy.clone()));
        let publishers = Publishers::new(&options.policy);
        let rules = Arc::new(LiveRules::new(options.rules));
        let mut reloads = Reloads::default();
        if let Some(tls) = tls.clone() {
            tls.tell_expiry(clock::unix_ms());
            reloads.add("the TLS certificate", move || tls.reload().inspect(|()| tls.tell_expiry(clock::unix_ms())));
        }
        let parts = ShardParts {
            shards: shards.clone(),
            window,
            history: journal.handle(),
            directory: accounts.directory().clone(),
            accounts: accounts.client(),
            hub: handle.clone(),
            delivery: delivery.handle(),
            observer: observer.handle(),
            scrapers: options.scrapers.into(),
            refusals: Arc::default(),
            publishers: publishers.clone(),
            gate: gate.clone(),
            rules: rules.clone(),
            tokens,
            tls: tls.clone(),
            connections_max: plan.descriptors.desk_connections_per_shard as usize,
            sizes: ShardSizes { slots: plan.slots_per_shard, log_bytes: limits::SHARD_LOG_BYTES },
        };
        let shard_threads = start_shards(&plan, parts, listeners)?;
        let watchman = Watchman::start(watched).map_err(|source| StartError::Watchman { source })?;
        accounts.client().record(Actor::Server, started(address, &plan));
        Ok(Self {
            address,
            plan,
            tls,
            shards,
            hub: handle,
            accounts,
            journal,
            delivery,
            hub_thread,
            shard_threads,
            gate,
            publishers,
            rules,
            drain: options.drain,
            reloads,
            _watchman: watchman,
            _observer: observer,
            _lock: lock,
        })
    }

    pub fn hub(&self) -> HubHandle {
        self.hub.clone()
    }

    /// What the port's TLS goes by, where it speaks that; to be [reloaded](Tls::reload) when the files have changed.
    pub fn tls(&self) -> Option<Arc<Tls>> {
        self.tls.clone()
    }

    pub fn accounts(&self) -> AccountsClient {
        self.accounts.client()
    }

    /// Over how long its sessions are closed at its end, rounded up.
    pub fn drain_seconds(&self) -> u32 {
        self.drain.drain_ms.div_ceil(1_000)
    }

    /// For other threads to see how it is doing.
    pub fn watch(&self) -> ServerWatch {
        ServerWatch { shards: self.shards.clone(), hub: self.hub.clone() }
    }

    /// Puts into force what can change while the server runs; what else differs has been told. See [`Changes`].
    pub fn follow(&mut self, options: &ServerOptions) {
        self.gate.follow(options.policy.clone());
        self.publishers.follow(&options.policy);
        self.rules.publish(options.rules);
        self.delivery.handle().follow(options.webhooks.clone());
        self.drain = options.drain;
        self.reloads.run();
    }

    /// Writes into the audit log that the configuration was read again, and what of it differed.
    pub fn record_reload(&self, changes: &Changes) {
        let changes: Vec<String> = changes.iter().map(Change::to_string).collect();
        let act = Act::new(Action::ServerReload, self.address, json!({ "changes": changes }));
        self.accounts.client().record(Actor::Server, act);
    }

    /// Drains the sessions, takes no more events, waits until those that were taken are kept, and for the shards, the webhooks under
    /// way and the journal to end. Each step has a deadline. An error: events may be missing from the disk.
    pub fn shut_down(self) -> Result<(), StopError> {
        if self.drain.drain_ms > 0 {
            self.drain_sessions();
        }
        let (stopped, all_numbered) = std::sync::mpsc::channel();
        self.hub.stop(Box::new(move || {
            let _ = stopped.send(());
        }));
        let _ = all_numbered.recv();
        if let Err(error) = self.hub_thread.join() {
            tracing::error!(%error, "the hub ended badly");
        }
        self.shards.iter().for_each(|shard| shard.mailbox.post(ShardMail::Shutdown(self.drain)));
        for thread in self.shard_threads {
            if let Err(error) = thread.join() {
                tracing::error!(%error, "a shard ended badly");
            }
        }
        tracing::debug!("every shard has ended");
        self.delivery.finish();
        // Written before the accounts thread ends, which it does behind all that was asked of it.
        self.accounts.client().record(Actor::Server, Act::new(Action::ServerStop, self.address, json!({})));
        self.journal.handle().stop();
        let ended = self.journal.finish();
        tracing::info!(in_order = ended.is_ok(), "stopped");
        ended
    }

    /// Closes the sessions over a while. Events go on meanwhile, from publishers that are connected.
    fn drain_sessions(&self) {
        let (gone, all_gone) = std::sync::mpsc::channel();
        for shard in self.shards.iter() {
            shard.mailbox.post(ShardMail::Drain { rules: self.drain, gone: gone.clone() });
        }
        drop(gone);
        let patience_ms = u64::from(self.drain.drain_ms + limits::DRAIN_LINGER_MS) + limits::DRAIN_LATE_MS;
        match all_gone.recv_timeout(Duration::from_millis(patience_ms)) {
            Err(RecvTimeoutError::Timeout) => tracing::warn!("a shard does not say that its sessions are gone"),
            // Nothing is ever sent: every shard has let go of its end.
            _ => tracing::info!(left = self.watch().totals().sockets, "the sessions are gone"),
        }
    }
}

/// A start, as the audit log tells it.
fn started(address: SocketAddr, plan: &Plan) -> Act {
    let user = UnixUser::of_process().to_string();
    let version = env!("CARGO_PKG_VERSION");
    let detail = json!({ "version": version, "pid": std::process::id(), "user": user, "shards": plan.shards.len() });
    Act::new(Action::ServerStart, address, detail)
}

/// Writes into the audit log that an endpoint's answers have ended its webhook.
fn on_disabled(accounts: &AccountsService) -> OnDisabled {
    let (client, directory) = (accounts.client(), accounts.directory().clone());
    Box::new(move |webhook| {
        let owner = directory.load().account(webhook.account).map(|account| account.name.to_string());
        let owner = owner.unwrap_or_else(|| webhook.account.to_string());
        client.record(Actor::ServerFor(webhook.account), recorded::disabled(webhook, owner));
    })
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
        let sum = |counted: fn(&ShardStats) -> u64| self.shards.iter().map(|shard| counted(&shard.stats)).sum();
        Totals {
            sockets: sum(ShardStats::sockets),
            deliveries: sum(|stats| stats.deliveries.get()),
            slow_consumers_closed: sum(ShardStats::slow_consumers_closed),
            fell_behind: sum(ShardStats::fell_behind),
            caught_up: sum(|stats| stats.caught_up.get()),
            last_seq: self.hub.last_seq(),
        }
    }

    /// The fan-out latencies since the start; see [`ShardStats::fanout`].
    pub fn fanout(&self) -> HistogramReading {
        let mut total = HistogramReading::default();
        self.shards.iter().for_each(|shard| total.add(&shard.stats.fanout.read()));
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
    observer: ObserverHandle,
    scrapers: Arc<[Network]>,
    refusals: Arc<Refusals>,
    publishers: Arc<Publishers>,
    gate: Arc<Gate>,
    rules: Arc<LiveRules>,
    tokens: Arc<Verifier>,
    tls: Option<Arc<Tls>>,
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
        rules: parts.rules.load(),
        stats: handle.stats.clone(),
        seq: parts.window.visible() - 1,
    };
    let sessions = Sessions::new(parts.sizes, shared);
    let plane = Rc::new(RefCell::new(Plane::new(Secured::new(ring), sessions)));
    let answers = Rc::new(Answers::default());
    let shards = parts.shards.len();
    let entrance = match Entrance::of(&listener) {
        Ok(entrance) => entrance,
        Err(source) => {
            let _ = outcome.send(Err(StartError::Entrance { shard: index, source }));
            return;
        }
    };
    let (door, places) = (Rc::<Door>::default(), Places::new(parts.connections_max));
    let stopping = Rc::new(Cell::new(false));
    let rush = Rc::new(Cell::new(false));
    let desk = Rc::new(Desk {
        shard: index,
        shards: parts.shards,
        directory: parts.directory.clone(),
        accounts: parts.accounts,
        hub: parts.hub,
        delivery: parts.delivery,
        observer: parts.observer,
        scrapers: parts.scrapers,
        window: parts.window.clone(),
        history: parts.history.clone(),
        rules: parts.rules.clone(),
        refusals: parts.refusals,
        gate: parts.gate,
        tokens: parts.tokens,
        tls: parts.tls,
        handshake: Mutex::new(()),
        publishers: parts.publishers,
        answers: answers.clone(),
        door: door.clone(),
        stopping: stopping.clone(),
        rush: rush.clone(),
        places: places.clone(),
        status_streams: Rc::<StatusStreams>::default(),
        bodies: Budget::new(limits::DESK_BODIES_BYTES_MAX),
    });
    let queue =
        glommio::executor().create_task_queue(glommio::Shares::default(), glommio::Latency::NotImportant, "desk");
    let accepting = desk::accept(desk, ring::glommio_listener(listener), entrance);
    glommio::spawn_local_into(accepting, queue).expect("the queue was made just now").detach();
    let _ = outcome.send(Ok(()));
    let pulse = handle.pulse.clone();
    let neighbours = Neighbours {
        window: parts.window,
        history: parts.history,
        directory: parts.directory,
        answers,
        rules: parts.rules,
        door,
        stopping,
        places,
        rush,
    };
    Shard::new(index, shards, handle, neighbours, plane).run().await;
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
fn hooks(shards: &Arc<[ShardHandle]>, delivery: DeliveryWaker, news: Arc<AccountNews>, cpu: usize) -> Hooks {
    let shards = shards.clone();
    Hooks {
        on_start: Box::new(move || {
            let mut cpus = rustix::thread::CpuSet::new();
            cpus.set(cpu);
            if let Err(error) = rustix::thread::sched_setaffinity(None, &cpus) {
                tracing::warn!(cpu, %error, "the accounts thread could not be pinned");
            }
        }),
        on_change: Box::new(move |snapshot| {
            news.tell(snapshot);
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
