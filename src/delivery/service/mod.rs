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
//! * Every command that was taken is answered, also when the service stops or the database fails; while the core recovers from a
//!   failure, each is refused at once.

mod inbox;
#[cfg(test)]
mod tests;
mod thread;

use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use super::command::{Command, Reply};
use super::core::{Core, JournalEvents, MakeChange, MakeWebhook, PrepareTest, RecordTest};
use super::courier::Courier;
use super::guard::Names;
use super::sealer::Sealer;
use super::store::Store;
use super::workers::{Aside, Crew, settle};
use super::{
    AttemptRecord, DeliveryError, DeliveryStats, NewWebhook, TestWebhook, Webhook, WebhookChange, WebhookOptions,
};
use crate::accounts::Directory;
use crate::journal::{JournalHandle, Window};
use crate::watchman::Pulse;
use crate::{clock, limits};
use inbox::Shared;
use thread::Loop;

/// What the core works with.
pub struct Surroundings {
    pub directory: Arc<Directory>,
    pub window: Arc<Window>,
    pub history: JournalHandle,
    pub names: Arc<dyn Names>,
    /// Shared with [`DeliveryWaker`]: the journal keeps every number below it.
    pub waker: DeliveryWaker,
    pub on_disabled: OnDisabled,
    pub cpu: usize,
}

/// Told of each webhook that was disabled because of what its endpoint answered, once that is on the disk. It is called on the core's
/// thread.
pub type OnDisabled = Box<dyn Fn(&Webhook) + Send>;

/// Wakes the core, from before it is there.
#[derive(Clone, Default)]
pub struct DeliveryWaker(Arc<Shared>);

/// The running thread and its workers.
pub struct DeliveryService {
    handle: DeliveryHandle,
    pulse: Arc<Pulse>,
    thread: JoinHandle<()>,
    ended: Receiver<()>,
}

/// The way to it; cheap to clone.
#[derive(Clone)]
pub struct DeliveryHandle {
    shared: Arc<Shared>,
    aside: Aside,
    stats: Arc<DeliveryStats>,
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

impl DeliveryService {
    /// Opens the database and goes on where it ended.
    pub fn start(data_dir: &Path, options: WebhookOptions, with: Surroundings) -> Result<Self, DeliveryError> {
        let sealer = options.master_key.as_ref().map(Sealer::open).transpose()?;
        let store = Store::open(data_dir, sealer)?;
        let courier = Arc::new(Courier::new(&options, with.names)?);
        let shared = with.waker.0;
        let events = JournalEvents { kept: shared.kept.clone(), window: with.window, history: with.history };
        let workers = options.workers;
        let core = Core::open(store, options, Box::new(events), with.directory, clock::unix_ms())?;
        Self::start_with(core, courier, workers, shared, with.on_disabled, with.cpu)
    }

    fn start_with(
        core: Core,
        courier: Arc<Courier>,
        workers: u32,
        shared: Arc<Shared>,
        on_disabled: OnDisabled,
        cpu: usize,
    ) -> Result<Self, DeliveryError> {
        let on_report = {
            let shared = shared.clone();
            Arc::new(move |report| shared.report(report))
        };
        let stats = core.stats();
        let crew = Crew::start(courier.clone(), workers, cpu, on_report)?;
        let aside = Aside::new(courier.clone(), cpu);
        let pulse = Arc::new(Pulse::of_one_that_blocks(limits::DELIVERY_STILL_MS));
        pulse.reach_by(shared.clone().into());
        let (sender, ended) = channel();
        let (running, beating) = (shared.clone(), pulse.clone());
        let run = move || {
            settle(cpu);
            Loop::new(&running, core, crew, courier, on_disabled, &beating).run();
            beating.rest();
            // Whoever waits for the end may have gone.
            let _ = sender.send(());
        };
        let thread = Builder::new().name("delivery".into()).spawn(run).map_err(DeliveryError::Thread)?;
        *shared.thread.lock().expect("no holder panics") = Some(thread.thread().clone());
        // It may have gone to rest before anybody could wake it.
        thread.thread().unpark();
        Ok(Self { handle: DeliveryHandle { shared, aside, stats }, pulse, thread, ended })
    }

    pub fn handle(&self) -> DeliveryHandle {
        self.handle.clone()
    }

    /// What the watchman watches.
    pub fn pulse(&self) -> Arc<Pulse> {
        self.pulse.clone()
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
    /// What the core has counted.
    pub fn stats(&self) -> Arc<DeliveryStats> {
        self.stats.clone()
    }

    /// Has a command carried out, without waiting.
    pub fn submit<C: Command>(&self, command: C, reply: Reply<C::Answer>) -> Result<(), DeliveryError> {
        self.shared.submit(command, reply, limits::DELIVERY_COMMANDS_MAX)
    }

    /// Puts into force what of these options can change while the service runs; see [`WebhookOptions::follow`].
    pub fn follow(&self, options: WebhookOptions) {
        self.shared.set_options(options);
    }

    /// Makes a webhook, once its URL has been looked at.
    pub fn create(&self, wanted: NewWebhook, reply: Reply<Webhook>) -> Result<(), DeliveryError> {
        self.shared.require_open()?;
        let shared = self.shared.clone();
        self.aside.run(wanted.asker.account, move |courier| {
            let made = courier.check(wanted.asker.account, &wanted.url);
            hand_on(&shared, made.map(|url| MakeWebhook { wanted, url }), reply);
        })
    }

    /// Changes one; a new URL is looked at first.
    pub fn change(&self, change: WebhookChange, reply: Reply<Webhook>) -> Result<(), DeliveryError> {
        let Some(text) = change.url.clone() else {
            return self.submit(MakeChange { wanted: change, url: None }, reply);
        };
        self.shared.require_open()?;
        let shared = self.shared.clone();
        self.aside.run(change.asker.account, move |courier| {
            let checked = courier.check(change.asker.account, &text);
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
                    let reply = take(&told);
                    let reply = Box::new(move |outcome: Result<_, _>| reply(outcome.map_err(of_a_made_test)));
                    hand_on(&shared, Ok(RecordTest { event, report: Some(report), ticket }), reply);
                };
                if aside.run(account, attempt).is_err() {
                    // No thread for it: the webhook may be tested again, and whoever asked is told to come back.
                    hand_on(&sharing, Ok(RecordTest { event, report: None, ticket }), take(&reply));
                }
            }),
        )
    }
}

/// Others say that nothing was done, but its attempt was made.
fn of_a_made_test(error: DeliveryError) -> DeliveryError {
    match error {
        DeliveryError::NoSuchWebhook => error,
        _ => DeliveryError::TestNotRecorded,
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
