//! A core and what it works with.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::accounts::audit::Actor;
use crate::accounts::fixture::{Fixture, by, owners};
use crate::accounts::{AccountId, AccountsService, Hooks, KeyNumber, ReplaceWatchlist, Role, SubmitError};
use crate::delivery::attempt::{AttemptError, Job, Outcome, Report};
use crate::delivery::command::{Asker, Command, GetWebhook, ListDeliveries, NewWebhook};
use crate::delivery::core::{Core, Events, MakeWebhook};
use crate::delivery::guard::WebhookUrl;
use crate::delivery::store::Store;
use crate::delivery::{DeliveryError, DeliveryRecord, DeliveryState, EventKind, Webhook, WebhookId, WebhookOptions};
use crate::hub::{EncodedBatch, Origin};
use crate::journal::fixture::event;
use crate::journal::{Chunk, Damage, Gap, GapReason, Part, ReadError};
use crate::limits;

/// A journal that never loses anything unless it is told to.
#[derive(Clone, Default)]
pub struct TestJournal(Arc<Held>);

#[derive(Default)]
struct Held {
    batches: Mutex<Vec<Arc<EncodedBatch>>>,
    kept: AtomicU64,
    /// The first number that it still has.
    oldest: AtomicU64,
    damaged: AtomicBool,
}

impl Events for TestJournal {
    fn kept(&self) -> u64 {
        self.0.kept.load(Ordering::Relaxed).max(1)
    }

    fn read(&mut self, from: u64, bytes_max: usize) -> Result<Chunk, ReadError> {
        if self.0.damaged.load(Ordering::Relaxed) {
            let (file, flaw) = ("a file".to_owned(), Damage::Nothing);
            return Err(ReadError::Corrupt { file, offset: 0, seq: from, flaw });
        }
        let oldest = self.0.oldest.load(Ordering::Relaxed);
        let mut chunk = Chunk { from, next: from, parts: Vec::new() };
        if from < oldest {
            chunk.parts.push(Part::Gap(Gap { from, to: oldest - 1, reason: GapReason::Retention }));
            chunk.next = oldest;
        }
        let mut bytes = 0;
        for batch in self.0.batches.lock().expect("sound").iter().filter(|batch| batch.next_seq() > chunk.from) {
            if batch.first_seq() < oldest || (bytes > 0 && bytes + batch.bytes() > bytes_max) {
                continue;
            }
            bytes += batch.bytes();
            chunk.next = batch.next_seq();
            chunk.parts.push(Part::Events(batch.clone()));
        }
        Ok(chunk)
    }
}

pub struct Rig {
    pub core: Core,
    pub journal: TestJournal,
    pub now_ms: u64,
    pub accounts: AccountsService,
    pub fixture: Fixture,
    pub options: WebhookOptions,
    /// Deliveries that a lane's queue holds.
    queue_max: usize,
    directory: tempfile::TempDir,
    /// Jobs that the test has not reported on.
    pub jobs: Vec<Job>,
}

/// A moment in 2026.
pub const START_MS: u64 = 1_795_000_000_000;

impl Rig {
    pub fn new() -> Self {
        Self::with(WebhookOptions::default())
    }

    pub fn with(options: WebhookOptions) -> Self {
        Self::with_queues(options, limits::LANE_QUEUE_MAX)
    }

    pub fn with_queues(options: WebhookOptions, queue_max: usize) -> Self {
        let fixture = Fixture::new();
        let accounts = AccountsService::start(fixture.second_store(), Hooks::none()).expect("accounts");
        let directory = tempfile::tempdir().expect("a directory");
        let journal = TestJournal::default();
        let store = Store::open(directory.path(), None).expect("a database");
        let events = Box::new(journal.clone());
        let known = accounts.directory().clone();
        let core = Core::open_with_queues(store, options.clone(), events, known, queue_max, START_MS).expect("a core");
        Self { core, journal, now_ms: START_MS, accounts, fixture, options, queue_max, directory, jobs: Vec::new() }
    }

    /// What a `kill -9` leaves: what was committed, and nothing else.
    pub fn restart(&mut self) {
        self.jobs.clear();
        self.core.abandon();
        let store = Store::open(self.directory.path(), None).expect("a database");
        let (options, events) = (self.options.clone(), Box::new(self.journal.clone()));
        let known = self.accounts.directory().clone();
        self.core = Core::open_with_queues(store, options, events, known, self.queue_max, self.now_ms).expect("a core");
    }

    /// An elite account that watches these, and its key.
    pub fn account(&mut self, name: &str, watched: &[&str]) -> Asker {
        let account = self.fixture.account(name);
        let key = self.fixture.store.create_key(account, Role::Subscriber, &by()).expect("a key").record.number;
        self.watch(account, watched);
        Asker { account, key }
    }

    pub fn watch(&mut self, account: AccountId, watched: &[&str]) {
        self.ask(ReplaceWatchlist { account, owners: owners(watched) });
    }

    /// Has the accounts thread do it; when this returns the snapshot is in force.
    pub fn ask<C: crate::accounts::Command>(&self, command: C) -> C::Answer {
        let (sender, answer) = std::sync::mpsc::channel();
        let submitted: Result<(), SubmitError> =
            self.accounts.client().submit(Actor::Server, command, move |result| sender.send(result).expect("awaited"));
        submitted.expect("room");
        answer.recv_timeout(Duration::from_secs(30)).expect("an answer").unwrap_or_else(|error| panic!("{error}"))
    }

    pub fn webhook(&mut self, asker: Asker, path: &str) -> WebhookId {
        self.webhook_for(asker, path, &EventKind::ALL)
    }

    pub fn webhook_for(&mut self, asker: Asker, path: &str, kinds: &[EventKind]) -> WebhookId {
        self.make(asker, path, kinds).expect("made").id
    }

    pub fn make(&mut self, asker: Asker, path: &str, kinds: &[EventKind]) -> Result<Webhook, DeliveryError> {
        let url = WebhookUrl::stored(format!("https://example.com/{path}"));
        let wanted = NewWebhook { asker, url: url.to_string(), events: kinds.iter().copied().collect() };
        self.command(MakeWebhook { wanted, url })
    }

    pub fn command<C: Command>(&mut self, command: C) -> Result<C::Answer, DeliveryError> {
        let answer = command.execute(&mut self.core, self.now_ms);
        self.core.commit(self.now_ms).expect("a sound disk");
        answer
    }

    /// Publishes a trade of this owner that the journal keeps; returns its number.
    pub fn publish(&mut self, kind: &str, owner: &str) -> u64 {
        let seq = self.journal.kept();
        let data = format!(
            r#"{{"owner":"{owner}","marketSymbol":"SOL-PERP","side":"long","sizeUsd":{seq},"leverage":2,"entryPrice":1.5,"timestamp":"2026-01-02T03:04:05Z"}}"#
        );
        let event = event(&format!(r#"{{"type":"{kind}","data":{data}}}"#));
        let origin = Origin { publisher: 7, unix_ms: self.now_ms };
        let batch = EncodedBatch::encode(vec![event], seq, 0, origin);
        self.journal.0.batches.lock().expect("sound").push(Arc::new(batch));
        self.journal.0.kept.store(seq + 1, Ordering::Relaxed);
        seq
    }

    /// The journal's retention drops everything before a number.
    pub fn retain_from(&mut self, oldest: u64) {
        self.journal.0.oldest.store(oldest, Ordering::Relaxed);
    }

    /// Somebody brings the journal back as it was when `next` was the next number.
    pub fn bring_back_journal(&mut self, next: u64) {
        self.journal.0.batches.lock().expect("sound").retain(|batch| batch.next_seq() <= next);
        self.journal.0.kept.store(next, Ordering::Relaxed);
    }

    /// Nothing that the journal has can be read, or all of it.
    pub fn damage_journal(&mut self, damaged: bool) {
        self.journal.0.damaged.store(damaged, Ordering::Relaxed);
    }

    /// One turn of the core alone. Returns whether there is more to do at once.
    pub fn turn(&mut self) -> bool {
        let more = self.core.turn(Vec::new(), self.now_ms).expect("a sound disk");
        self.core.commit(self.now_ms).expect("a sound disk");
        more
    }

    /// The file of the database, for what else happens to it.
    pub fn database(&self) -> rusqlite::Connection {
        rusqlite::Connection::open(self.directory.path().join("webhooks.db")).expect("it is there")
    }

    /// Turns until there is nothing more to do now; new jobs are added to `jobs`.
    pub fn run(&mut self) {
        self.run_with(Vec::new());
    }

    fn run_with(&mut self, mut reports: Vec<Report>) {
        loop {
            let ended = self.core.end_attempts(reports.drain(..), self.now_ms);
            let more = self.core.turn(ended, self.now_ms).expect("a sound disk");
            self.core.commit(self.now_ms).expect("a sound disk");
            let before = self.jobs.len();
            while let Some(job) = self.core.next_job(self.now_ms).expect("a sound disk") {
                self.jobs.push(job);
            }
            if !more && self.jobs.len() == before {
                return;
            }
        }
    }

    pub fn pass(&mut self, ms: u64) {
        self.now_ms += ms;
        self.run();
    }

    /// Ends the oldest attempt under way.
    pub fn answer(&mut self, status: u16) -> Job {
        self.report(0, Outcome::Answered { status, retry_after: None })
    }

    /// Ends one of the attempts under way.
    pub fn report(&mut self, index: usize, outcome: Outcome) -> Job {
        let job = self.jobs.remove(index);
        let report = Report { number: job.number, ticket: job.ticket, outcome, duration: Duration::from_millis(5) };
        self.run_with(vec![report]);
        job
    }

    /// The report of a success.
    pub fn delivered(job: Job) -> Report {
        let outcome = Outcome::Answered { status: 200, retry_after: None };
        Report { number: job.number, ticket: job.ticket, outcome, duration: Duration::from_millis(5) }
    }

    /// The report of a failure.
    pub fn failed(job: Job) -> Report {
        let outcome = Outcome::Answered { status: 500, retry_after: None };
        Report { number: job.number, ticket: job.ticket, outcome, duration: Duration::from_millis(5) }
    }

    pub fn timeout() -> Outcome {
        Outcome::Failed(AttemptError::Timeout(10))
    }

    pub fn history(&mut self, asker: Asker, webhook: WebhookId) -> Vec<DeliveryRecord> {
        self.command(ListDeliveries { asker, webhook, records_max: 100_000 }).expect("a history")
    }

    /// The states of the deliveries of events, oldest first.
    pub fn states(&mut self, asker: Asker, webhook: WebhookId) -> Vec<(u64, DeliveryState)> {
        let records = self.history(asker, webhook);
        let mut states: Vec<_> = records.iter().filter_map(|record| Some((record.seq?, record.state))).collect();
        states.reverse();
        states
    }

    pub fn get(&mut self, asker: Asker, webhook: WebhookId) -> Webhook {
        self.command(GetWebhook { asker, webhook }).expect("it is there")
    }

    pub fn revoke(&mut self, key: KeyNumber) {
        let keys = self.fixture.store.keys().expect("keys");
        let found = keys.iter().find(|record| record.number == key).expect("its record");
        self.ask(crate::accounts::RevokeKey { account: found.account, key: found.id });
    }
}
