//! The delivery core's thread, and the way to it for any other.
//!
//! ```text
//!   hub: kept ──┐                                      ┌──▶ crew (attempts) ── reports ──┐
//!   accounts ───┼─▶ wake ──▶ core's thread ── jobs ────┤                                 │
//!   desks ──────┘  commands     ▲  │                   └──▶ aside (checks, tests)        │
//!                               │  └── replies, once they are committed                  │
//!                               └─────────────────────────────────────────────────────────┘
//! ```
//!
//! Invariants:
//! * A command is answered only when its effect is on the disk.
//! * Every command that was taken is answered, also when the service stops or the database fails.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::thread::{self, Builder, JoinHandle, Thread};
use std::time::{Duration, Instant};

use super::attempt::Report;
use super::command::{Command, Reply};
use super::core::{Core, JournalEvents, MakeChange, MakeWebhook, Patience, PrepareTest, RecordTest};
use super::courier::Courier;
use super::guard::Names;
use super::sealer::Sealer;
use super::store::Store;
use super::workers::{Aside, Crew, settle};
use super::{AttemptRecord, DeliveryError, NewWebhook, TestWebhook, Webhook, WebhookChange, WebhookOptions};
use crate::accounts::Directory;
use crate::journal::{JournalHandle, Window};
use crate::{clock, limits};

/// What the core works with.
pub struct Surroundings {
    pub directory: Arc<Directory>,
    pub window: Arc<Window>,
    pub history: JournalHandle,
    pub names: Arc<dyn Names>,
    /// Shared with [`DeliveryWaker`]: the journal keeps every number below it.
    pub waker: DeliveryWaker,
    pub cpu: usize,
}

/// Wakes the core, from before it is there.
#[derive(Clone, Default)]
pub struct DeliveryWaker(Arc<Shared>);

#[derive(Default)]
struct Shared {
    kept: Arc<AtomicU64>,
    inbox: Mutex<Inbox>,
    /// The core's thread, once it runs.
    thread: Mutex<Option<Thread>>,
    /// Set while the core waits, or is about to: whoever clears it wakes it.
    idle: AtomicBool,
    stops: AtomicBool,
}

#[derive(Default)]
struct Inbox {
    tasks: Vec<Task>,
    reports: Vec<Report>,
    closed: bool,
}

/// A command with its types erased. Carried out, it leaves its answer, which waits for the commit.
type Task = Box<dyn FnOnce(&mut Core, u64) -> Carried + Send>;

struct Carried {
    /// The database failed in the middle of it.
    failed: bool,
    /// Told whether the commit succeeded.
    answer: Box<dyn FnOnce(bool)>,
}

/// The running thread and its workers.
pub struct DeliveryService {
    handle: DeliveryHandle,
    thread: JoinHandle<()>,
    ended: Receiver<()>,
}

/// The way to it; cheap to clone.
#[derive(Clone)]
pub struct DeliveryHandle {
    shared: Arc<Shared>,
    aside: Aside,
}

impl DeliveryWaker {
    /// The journal keeps every number below `next`.
    pub fn kept(&self, next: u64) {
        self.0.kept.fetch_max(next, Ordering::AcqRel);
        self.0.wake();
    }

    /// A new snapshot of the accounts is in force.
    pub fn accounts_changed(&self) {
        self.0.wake();
    }
}

impl Shared {
    fn wake(&self) {
        if self.idle.swap(false, Ordering::SeqCst)
            && let Some(thread) = &*self.thread.lock().expect("no holder panics")
        {
            thread.unpark();
        }
    }

    fn inbox(&self) -> std::sync::MutexGuard<'_, Inbox> {
        self.inbox.lock().expect("no holder panics")
    }

    fn report(&self, report: Report) {
        self.inbox().reports.push(report);
        self.wake();
    }

    /// `tasks_max` bounds those that wait.
    fn submit<C: Command>(&self, command: C, reply: Reply<C::Answer>, tasks_max: usize) -> Result<(), DeliveryError> {
        let task: Task = Box::new(move |core, now_ms| {
            let outcome = command.execute(core, now_ms);
            let failed = !C::ONLY_READS && outcome.as_ref().is_err_and(DeliveryError::is_of_the_database);
            let answer = Box::new(move |committed| match (outcome, committed) {
                (Ok(_), false) => reply(Err(DeliveryError::NotStored)),
                (outcome, _) => reply(outcome),
            });
            Carried { failed, answer }
        });
        let mut inbox = self.inbox();
        if inbox.closed {
            return Err(DeliveryError::Stopping);
        }
        if inbox.tasks.len() >= tasks_max {
            return Err(DeliveryError::Busy);
        }
        inbox.tasks.push(task);
        drop(inbox);
        self.wake();
        Ok(())
    }
}

impl DeliveryService {
    /// Opens the database and goes on where it ended.
    pub fn start(data_dir: &Path, options: WebhookOptions, with: Surroundings) -> Result<Self, DeliveryError> {
        let sealer = options.master_key.as_ref().map(Sealer::open).transpose()?;
        let store = Store::open(data_dir, sealer)?;
        let courier = Arc::new(Courier::new(&options, with.names)?);
        let shared = with.waker.0;
        let events = JournalEvents { kept: shared.kept.clone(), window: with.window, history: with.history };
        let workers = options.workers;
        let core = Core::open(store, options, Box::new(events), with.directory)?;
        let on_report = {
            let shared = shared.clone();
            Arc::new(move |report| shared.report(report))
        };
        let crew = Crew::start(courier.clone(), workers, with.cpu, on_report)?;
        let aside = Aside::new(courier.clone(), with.cpu);
        let (sender, ended) = channel();
        let (running, cpu) = (shared.clone(), with.cpu);
        let run = move || {
            settle(cpu);
            Loop { shared: &running, core, crew, courier, last_news: None, patience: Patience::default() }.run();
            // Whoever waits for the end may have gone.
            let _ = sender.send(());
        };
        let thread = Builder::new().name("delivery".into()).spawn(run).map_err(DeliveryError::Thread)?;
        *shared.thread.lock().expect("no holder panics") = Some(thread.thread().clone());
        // It may have gone to rest before anybody could wake it.
        thread.thread().unpark();
        Ok(Self { handle: DeliveryHandle { shared, aside }, thread, ended })
    }

    pub fn handle(&self) -> DeliveryHandle {
        self.handle.clone()
    }

    /// Waits for what is under way, up to [`limits::DELIVERY_STOP_MS`], and ends. What has not been sent is sent after the next start.
    pub fn finish(self) {
        self.handle.shared.stops.store(true, Ordering::Release);
        self.handle.shared.wake();
        // A moment more than the loop gives itself, in case it hangs in the disk.
        match self.ended.recv_timeout(Duration::from_millis(2 * limits::DELIVERY_STOP_MS)) {
            Err(RecvTimeoutError::Timeout) => {
                tracing::error!("the webhooks' database does not answer: the server ends without it");
            }
            _ => drop(self.thread.join()),
        }
    }
}

impl DeliveryHandle {
    /// Has a command carried out, without waiting.
    pub fn submit<C: Command>(&self, command: C, reply: Reply<C::Answer>) -> Result<(), DeliveryError> {
        self.shared.submit(command, reply, limits::DELIVERY_COMMANDS_MAX)
    }

    /// Makes a webhook, once its URL has been looked at.
    pub fn create(&self, wanted: NewWebhook, reply: Reply<Webhook>) -> Result<(), DeliveryError> {
        let shared = self.shared.clone();
        self.aside.run(wanted.asker.account, move |courier| {
            let made = courier.check(wanted.asker.account, &wanted.url).map_err(DeliveryError::from);
            hand_on(&shared, made.map(|url| MakeWebhook { wanted, url }), reply);
        })
    }

    /// Changes one; a new URL is looked at first.
    pub fn change(&self, change: WebhookChange, reply: Reply<Webhook>) -> Result<(), DeliveryError> {
        let Some(text) = change.url.clone() else {
            return self.submit(MakeChange { wanted: change, url: None }, reply);
        };
        let shared = self.shared.clone();
        self.aside.run(change.asker.account, move |courier| {
            let checked = courier.check(change.asker.account, &text).map_err(DeliveryError::from);
            hand_on(&shared, checked.map(|url| MakeChange { wanted: change, url: Some(url) }), reply);
        })
    }

    /// Makes one attempt of a test; the answer tells how it went.
    pub fn test(&self, test: TestWebhook, reply: Reply<AttemptRecord>) -> Result<(), DeliveryError> {
        let (shared, aside, account) = (self.shared.clone(), self.aside.clone(), test.asker.account);
        self.submit(
            PrepareTest(test),
            Box::new(move |prepared| {
                let job = match prepared {
                    Ok(job) => job,
                    Err(error) => return reply(Err(error)),
                };
                let (event, ticket) = (job.payload.event, job.ticket);
                let reply = Arc::new(Mutex::new(Some(reply)));
                let (told, sharing) = (reply.clone(), shared.clone());
                let take = |reply: &Mutex<Option<Reply<AttemptRecord>>>| {
                    reply.lock().expect("no holder panics").take().expect("one of the two replies")
                };
                let attempt = move |courier: &Courier| {
                    let report = courier.attempt(&job);
                    hand_on(&shared, Ok(RecordTest { event, report: Some(report), ticket }), take(&told));
                };
                if aside.run(account, attempt).is_err() {
                    // No thread for it: the webhook may be tested again, and whoever asked is told to come back.
                    hand_on(&sharing, Ok(RecordTest { event, report: None, ticket }), take(&reply));
                }
            }),
        )
    }
}

/// Submits what was found to be right, however many commands wait: there are no more of these than threads aside. Else, or where the
/// core has ended, tells whoever asked.
fn hand_on<C: Command>(shared: &Shared, command: Result<C, DeliveryError>, reply: Reply<C::Answer>) {
    let reply = Arc::new(Mutex::new(Some(reply)));
    let told = reply.clone();
    let take = move |reply: &Mutex<Option<Reply<C::Answer>>>| {
        reply.lock().expect("no holder panics").take().expect("it is told once")
    };
    let submitted =
        command.and_then(|command| shared.submit(command, Box::new(move |outcome| take(&told)(outcome)), usize::MAX));
    if let Err(error) = submitted
        && let Some(reply) = reply.lock().expect("no holder panics").take()
    {
        reply(Err(error));
    }
}

/// The core's thread.
struct Loop<'s> {
    shared: &'s Shared,
    core: Core,
    crew: Crew,
    courier: Arc<Courier>,
    /// What the core had not taken in when it last rested.
    last_news: Option<(u64, u64)>,
    /// With the database.
    patience: Patience,
}

impl Loop<'_> {
    fn run(mut self) {
        let mut until_ms = None;
        loop {
            let (tasks, reports) = {
                let mut inbox = self.shared.inbox();
                (std::mem::take(&mut inbox.tasks), std::mem::take(&mut inbox.reports))
            };
            let more = self.turn(tasks, reports);
            if self.shared.stops.load(Ordering::Acquire) {
                let until_ms = *until_ms.get_or_insert_with(|| clock::unix_ms() + limits::DELIVERY_STOP_MS);
                if self.core.under_way() == 0 || clock::unix_ms() >= until_ms {
                    return self.end();
                }
            }
            if !more {
                self.rest();
            }
        }
    }

    /// One turn: everything that has come in, its commit, answers, and jobs. Returns whether there is more to do at once.
    fn turn(&mut self, tasks: Vec<Task>, reports: Vec<Report>) -> bool {
        let now_ms = clock::unix_ms();
        let (mut failed, had_reports) = (false, !reports.is_empty());
        let ended = self.core.end_attempts(reports, now_ms);
        let carried: Vec<Carried> = tasks.into_iter().map(|task| task(&mut self.core, now_ms)).collect();
        failed |= carried.iter().any(|carried| carried.failed);
        let outcome = match failed {
            true => Err(DeliveryError::NotStored),
            false => self.core.turn(ended, now_ms).and_then(|more| self.core.commit(now_ms).map(|()| more)),
        };
        let committed = outcome.is_ok();
        carried.into_iter().for_each(|carried| (carried.answer)(committed));
        match outcome.and_then(|more| self.send_jobs(now_ms).map(|()| more || self.core.is_changed())) {
            Ok(more) => {
                self.patience.committed(had_reports);
                more
            }
            Err(error) => {
                self.recover(&error);
                true
            }
        }
    }

    fn send_jobs(&mut self, now_ms: u64) -> Result<(), DeliveryError> {
        if self.shared.stops.load(Ordering::Acquire) {
            return Ok(());
        }
        while let Some(job) = self.core.next_job(now_ms)? {
            self.crew.send(job);
        }
        Ok(())
    }

    /// Goes back to what the database holds, once that can be read and written again. The longer it fails, the longer the rest: each
    /// time what is under way is sent once more.
    fn recover(&mut self, error: &DeliveryError) {
        tracing::error!(%error, "webhooks wait for their database");
        loop {
            let until = clock::now() + self.patience.rest_ms() * 1_000_000;
            while clock::now() < until {
                if self.shared.stops.load(Ordering::Acquire) {
                    return;
                }
                thread::park_timeout(Duration::from_millis(limits::DELIVERY_LOOK_AGAIN_MS));
            }
            match self.core.recover() {
                Ok(()) => return tracing::info!("webhooks go on"),
                Err(error) => tracing::debug!(%error, "the webhooks' database fails still"),
            }
        }
    }

    /// Waits until something comes in or is due.
    fn rest(&mut self) {
        // Where nothing is sent any more, nobody else looks after the connections that were kept.
        self.courier.sweep(Instant::now());
        self.shared.idle.store(true, Ordering::SeqCst);
        // Whoever put something in before it saw the flag did not wake anybody.
        let inbox = self.shared.inbox();
        let has_mail = !inbox.tasks.is_empty() || !inbox.reports.is_empty();
        drop(inbox);
        // News that the last turn could not take in are no reason to look again at once.
        let news = self.core.news();
        let has_news = news.is_some() && self.last_news != news;
        self.last_news = news;
        if !has_mail && !has_news {
            let now_ms = clock::unix_ms();
            let patience_ms = match self.core.wake_at(now_ms) {
                // Nothing that is due is sent any more, and what was not readable a moment ago needs another one.
                _ if self.shared.stops.load(Ordering::SeqCst) || news.is_some() => limits::DELIVERY_LOOK_AGAIN_MS,
                Some(at_ms) => at_ms.saturating_sub(now_ms).min(limits::DELIVERY_REST_MS),
                None => limits::DELIVERY_REST_MS,
            };
            thread::park_timeout(Duration::from_millis(patience_ms));
        }
        self.shared.idle.store(false, Ordering::Release);
    }

    /// Brings the position to the disk, and answers those who are too late.
    fn end(mut self) {
        if let Err(error) = self.core.close() {
            tracing::error!(%error, "the webhooks' position could not be stored: some deliveries may be made again");
        }
        let tasks = {
            let mut inbox = self.shared.inbox();
            inbox.closed = true;
            std::mem::take(&mut inbox.tasks)
        };
        let now_ms = clock::unix_ms();
        for task in tasks {
            // Reads are answered; what would change something was not stored.
            (task(&mut self.core, now_ms).answer)(false);
        }
        self.crew.close(Duration::from_millis(limits::DELIVERY_CREW_STOP_MS));
    }
}
