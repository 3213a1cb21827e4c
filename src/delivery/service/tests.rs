//! The thread itself, over a journal of a test's own: what it does while the database fails, and that it is seen to live.

use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::*;
use crate::accounts::fixture::{Fixture, now, owners};
use crate::accounts::{AccountsService, Hooks, Role};
use crate::delivery::core::Events;
use crate::delivery::guard::WebhookUrl;
use crate::delivery::guard::fake_names::FakeNames;
use crate::delivery::{Asker, EventKind, ListWebhooks};
use crate::hub::{EncodedBatch, Origin};
use crate::journal::fixture::event;
use crate::journal::{Chunk, Part, ReadError};

/// A stop on the way fails the test long before; it only has to be longer than any busy machine takes.
const PATIENCE: Duration = Duration::from_secs(30);

/// Trades, one a request.
#[derive(Clone, Default)]
struct Trades(Arc<Mutex<Vec<Arc<EncodedBatch>>>>);

impl Trades {
    fn add(&self) {
        let trade = event(
            r#"{"type":"trade.open","data":{"owner":"w","marketSymbol":"SOL-PERP","side":"long","sizeUsd":1,"leverage":2,"entryPrice":1.5,"timestamp":"2026-01-02T03:04:05Z"}}"#,
        );
        let seq = self.kept();
        self.0.lock().expect("sound").push(Arc::new(EncodedBatch::encode(vec![trade], seq, 0, Origin::default())));
    }
}

impl Events for Trades {
    fn kept(&self) -> u64 {
        self.0.lock().expect("sound").len() as u64 + 1
    }

    fn read(&mut self, from: u64, _bytes_max: usize) -> Result<Chunk, ReadError> {
        let parts = self.0.lock().expect("sound").iter().skip(from as usize - 1).cloned().map(Part::Events).collect();
        Ok(Chunk { from, next: self.kept(), parts })
    }
}

struct Bench {
    service: DeliveryService,
    courier: Arc<Courier>,
    trades: Trades,
    asker: Asker,
    directory: TempDir,
    /// Of another process, which sees to it that the database fails.
    raw: rusqlite::Connection,
    _accounts: (AccountsService, Fixture),
}

impl Bench {
    /// An account that watches the trades.
    fn new() -> Self {
        let mut fixture = Fixture::new();
        let account = fixture.account("alice");
        let key = fixture.store.create_key(account, Role::Subscriber, now()).expect("a key").record.number;
        fixture.store.replace_watchlist(account, &owners(&["w"])).expect("a watchlist");
        let accounts = AccountsService::start(fixture.second_store(), Hooks::none()).expect("accounts");
        let directory = tempfile::tempdir().expect("a directory");
        let trades = Trades::default();
        let options = WebhookOptions { workers: 1, ..WebhookOptions::default() };
        let courier = Arc::new(Courier::new(&options, FakeNames::new()).expect("a courier"));
        let store = Store::open(directory.path(), None).expect("a database");
        let core = Core::open(store, options, Box::new(trades.clone()), accounts.directory().clone()).expect("a core");
        let service = DeliveryService::start_with(core, courier.clone(), 1, Arc::default(), 0).expect("a service");
        let raw = rusqlite::Connection::open(directory.path().join("webhooks.db")).expect("it is there");
        Self { service, courier, trades, asker: Asker { account, key }, directory, raw, _accounts: (accounts, fixture) }
    }

    /// Submits a command; whichever way its answer comes.
    fn ask<C: Command>(&self, command: C) -> Result<C::Answer, DeliveryError> {
        let (sender, answer) = channel();
        self.service.handle().submit(command, reply_to(sender))?;
        answer.recv_timeout(PATIENCE).expect("an answer")
    }

    fn make(&self) -> Result<Webhook, DeliveryError> {
        let url = WebhookUrl::stored("https://example.com/hook".into());
        let events = [EventKind::TradeNew].into_iter().collect();
        self.ask(MakeWebhook { wanted: NewWebhook { asker: self.asker, url: url.to_string(), events }, url })
    }

    fn list(&self) -> Result<Vec<Webhook>, DeliveryError> {
        self.ask(ListWebhooks { asker: self.asker })
    }

    /// From now on nothing can be inserted into this table, and the database is no good for a recovery.
    fn break_inserts(&self, table: &str) {
        let fails = "BEGIN SELECT RAISE(ABORT, 'it fails'); END";
        let sql = format!(
            "CREATE TRIGGER fails BEFORE INSERT ON {table} {fails};
             CREATE TRIGGER stays BEFORE UPDATE ON server {fails};"
        );
        self.raw.execute_batch(&sql).expect("it can be changed");
    }

    fn mend(&self) {
        self.raw.execute_batch("DROP TRIGGER fails; DROP TRIGGER stays").expect("nobody holds the lock");
    }

    fn is_recovering(&self) -> bool {
        matches!(self.service.handle.shared.require_open(), Err(DeliveryError::Recovering))
    }
}

fn reply_to<T: Send + 'static>(sender: Sender<Result<T, DeliveryError>>) -> Reply<T> {
    Box::new(move |answer| drop(sender.send(answer)))
}

fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let started = Instant::now();
    while !done() {
        assert!(started.elapsed() < PATIENCE, "{what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn while_the_database_fails_commands_are_refused_at_once_and_afterwards_carried_out_again() {
    let bench = Bench::new();
    let kept = bench.make().expect("a webhook");
    bench.break_inserts("webhooks");
    let told = bench.make().expect_err("it can't be stored");
    assert!(matches!(told, DeliveryError::Database(_)), "{told}");
    // It fails until it is mended, so none of these could be answered by a core that waits for it.
    for _ in 0..100 {
        let told = bench.list().map(|_| ()).expect_err("nothing in memory counts");
        assert!(matches!(told, DeliveryError::Recovering), "{told}");
    }
    let (sender, _answers) = channel();
    let wanted = NewWebhook { asker: bench.asker, url: "https://example.com/".into(), events: kept.events };
    let told = bench.service.handle().create(wanted, reply_to(sender)).expect_err("before its URL is looked at");
    assert!(matches!(told, DeliveryError::Recovering), "{told}");

    bench.mend();
    wait_until("it recovers", || !bench.is_recovering());
    let ids: Vec<_> = bench.list().expect("a list").into_iter().map(|webhook| webhook.id).collect();
    assert_eq!(ids, [kept.id]);
    bench.make().expect("it is written again");
    bench.service.finish();
}

#[test]
fn what_waits_when_the_database_fails_is_refused_and_not_tried() {
    let bench = Bench::new();
    bench.break_inserts("webhooks");
    // The core is held up until all of them wait, so that one turn takes them.
    let (go, waits) = channel::<()>();
    bench.service.handle().submit(Pause(waits), Box::new(|_| ())).expect("room");
    let (sender, answers) = channel();
    for _ in 0..3 {
        let url = WebhookUrl::stored("https://example.com/hook".into());
        let events = [EventKind::TradeNew].into_iter().collect();
        let wanted = NewWebhook { asker: bench.asker, url: url.to_string(), events };
        bench.service.handle().submit(MakeWebhook { wanted, url }, reply_to(sender.clone())).expect("room");
    }
    go.send(()).expect("it waits");
    let told: Vec<DeliveryError> =
        (0..3).map(|_| answers.recv_timeout(PATIENCE).expect("an answer").expect_err("not stored")).collect();
    let refused = told.iter().filter(|told| matches!(told, DeliveryError::Recovering)).count();
    assert_eq!(refused, 2, "{told:?}");
    bench.service.finish();
}

/// Holds the core up.
struct Pause(Receiver<()>);

impl Command for Pause {
    type Answer = ();

    fn execute(self, _core: &mut Core, _now_ms: u64) -> Result<(), DeliveryError> {
        self.0.recv_timeout(PATIENCE).expect("it goes on");
        Ok(())
    }
}

#[test]
fn a_server_that_ends_while_its_database_fails_moves_no_position_past_what_was_not_recorded() {
    let bench = Bench::new();
    bench.make().expect("a webhook");
    bench.break_inserts("deliveries");
    bench.trades.add();
    bench.service.handle.shared.wake();
    wait_until("it fails", || bench.is_recovering());
    // What a failing write leaves must not become writable in the last turn.
    bench.mend();
    let Bench { service, directory, trades, .. } = bench;
    service.finish();
    let store = Store::open(directory.path(), None).expect("a sound database");
    let position = store.position().expect("position").expect("it is known");
    let recorded: i64 = rusqlite::Connection::open(directory.path().join("webhooks.db"))
        .and_then(|raw| raw.query_row("SELECT count(*) FROM deliveries", (), |row| row.get(0)))
        .expect("a count");
    assert!(recorded == 1 || position < trades.kept(), "the event is neither recorded nor ahead: {position}");
}

#[test]
fn an_idle_core_and_one_that_waits_for_its_database_take_turns() {
    let bench = Bench::new();
    let pulse = bench.service.pulse();
    let moves = |what| {
        let before = pulse.turns();
        wait_until(what, || pulse.turns() > before + 1);
    };
    moves("it rests");
    bench.break_inserts("webhooks");
    bench.make().expect_err("it can't be stored");
    wait_until("it fails", || bench.is_recovering());
    moves("it waits for its database");
    bench.service.finish();
}

#[test]
fn connections_that_nobody_uses_are_looked_after_while_the_database_fails() {
    let bench = Bench::new();
    bench.break_inserts("webhooks");
    bench.make().expect_err("it can't be stored");
    wait_until("it fails", || bench.is_recovering());
    let before = bench.courier.swept();
    wait_until("they are looked after", || bench.courier.swept() != before);
    assert!(bench.is_recovering());
    bench.service.finish();
}
