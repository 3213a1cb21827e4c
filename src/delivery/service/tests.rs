//! The thread itself, over a journal of a test's own: what it does while the database fails, and that it is seen to live.

use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::*;
use crate::accounts::fixture::{Fixture, by, owners};
use crate::accounts::{AccountsService, Hooks, Role};
use crate::delivery::attempt::{Outcome, Report, Ticket};
use crate::delivery::core::Events;
use crate::delivery::guard::WebhookUrl;
use crate::delivery::guard::fake_names::FakeNames;
use crate::delivery::{Asker, EventKind, ListWebhooks, WebhookId};
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

/// A core, and what it works with.
struct Parts {
    core: Core,
    courier: Arc<Courier>,
    trades: Trades,
    asker: Asker,
    directory: TempDir,
    /// Of another process, which sees to it that the database fails.
    raw: rusqlite::Connection,
    accounts: (AccountsService, Fixture),
}

impl Parts {
    /// An account that watches the trades.
    fn new() -> Self {
        let mut fixture = Fixture::new();
        let account = fixture.account("alice");
        let key = fixture.store.create_key(account, Role::Subscriber, &by()).expect("a key").record.number;
        fixture.store.replace_watchlist(account, &owners(&["w"]), &by()).expect("a watchlist");
        let accounts = AccountsService::start(fixture.second_store(), Hooks::none()).expect("accounts");
        let directory = tempfile::tempdir().expect("a directory");
        let trades = Trades::default();
        let options = WebhookOptions { workers: 1, ..WebhookOptions::default() };
        let courier = Arc::new(Courier::new(&options, FakeNames::new()).expect("a courier"));
        let store = Store::open(directory.path(), None).expect("a database");
        let (events, known) = (Box::new(trades.clone()), accounts.directory().clone());
        let core = Core::open(store, options, events, known, clock::unix_ms()).expect("a core");
        let raw = rusqlite::Connection::open(directory.path().join("webhooks.db")).expect("it is there");
        let accounts = (accounts, fixture);
        Self { core, courier, trades, asker: Asker { account, key }, directory, raw, accounts }
    }
}

struct Bench {
    service: DeliveryService,
    courier: Arc<Courier>,
    trades: Trades,
    asker: Asker,
    directory: TempDir,
    raw: rusqlite::Connection,
    _accounts: (AccountsService, Fixture),
}

impl Bench {
    fn new() -> Self {
        let Parts { core, courier, trades, asker, directory, raw, accounts } = Parts::new();
        let service = DeliveryService::start_with(core, courier.clone(), 1, Arc::default(), nobody(), 0);
        let service = service.expect("a service");
        Self { service, courier, trades, asker, directory, raw, _accounts: accounts }
    }

    /// Submits a command; whichever way its answer comes.
    fn ask<C: Command>(&self, command: C) -> Result<C::Answer, DeliveryError> {
        let (sender, answer) = channel();
        self.service.handle().submit(command, reply_to(sender))?;
        answer.recv_timeout(PATIENCE).expect("an answer")
    }

    fn make(&self) -> Result<Webhook, DeliveryError> {
        self.ask(a_webhook(self.asker))
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

/// Is told of disabled webhooks.
fn nobody() -> OnDisabled {
    Box::new(|_| ())
}

fn a_webhook(asker: Asker) -> MakeWebhook {
    let url = WebhookUrl::stored("https://example.com/hook".into());
    let events = [EventKind::TradeNew].into_iter().collect();
    MakeWebhook { wanted: NewWebhook { asker, url: url.to_string(), events }, url }
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
        bench.service.handle().submit(a_webhook(bench.asker), reply_to(sender.clone())).expect("room");
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

#[test]
fn a_test_that_was_made_and_not_recorded_is_not_told_as_if_nothing_was_done() {
    let bench = Bench::new();
    let made = bench.make().expect("a webhook");
    bench.break_inserts("deliveries");
    let (sender, answer) = channel();
    let test = TestWebhook { asker: bench.asker, webhook: made.id };
    bench.service.handle().test(test, reply_to(sender)).expect("room");
    let told = answer.recv_timeout(PATIENCE).expect("an answer").expect_err("it can't be recorded");
    assert!(matches!(told, DeliveryError::TestNotRecorded), "{told}");
    bench.service.finish();
}

/// A loop whose turns the test takes, in a server that ends, so that it does not wait for its database.
fn with_loop(core: Core, courier: Arc<Courier>, test: impl FnOnce(&mut Loop<'_>, &Shared)) {
    with_loop_and(core, courier, nobody(), test);
}

fn with_loop_and(
    core: Core,
    courier: Arc<Courier>,
    on_disabled: OnDisabled,
    test: impl FnOnce(&mut Loop<'_>, &Shared),
) {
    let (shared, pulse) = (Shared::default(), Pulse::of_one_that_blocks(limits::DELIVERY_STILL_MS));
    shared.stops.store(true, Ordering::Release);
    let crew = Crew::start(courier.clone(), 1, 0, Arc::new(|_| ())).expect("a crew");
    test(&mut Loop::new(&shared, core, crew, courier, on_disabled, &pulse), &shared);
}

#[test]
fn reports_that_nobody_knows_any_more_do_not_say_that_the_database_takes_outcomes() {
    let Parts { core, courier, accounts: _accounts, directory: _directory, .. } = Parts::new();
    with_loop(core, courier, |running, _| {
        let rests = [(); 2].map(|()| running.patience.rest_ms());
        let ticket = Ticket { webhook: WebhookId(7), delivery: 1 };
        let outcome = Outcome::Answered { status: 200, retry_after: None };
        running.turn(Vec::new(), vec![Report { number: 99, ticket, outcome, duration: Duration::ZERO }]);
        assert_eq!(running.patience.rest_ms(), 2 * rests[1]);
    });
}

#[test]
fn a_command_beside_a_clock_that_was_set_back_is_stored_or_refused() {
    let Parts { mut core, courier, trades, asker, raw, accounts: _accounts, directory: _directory } = Parts::new();
    let ahead_ms = clock::unix_ms() + 86_400_000;
    a_webhook(asker).execute(&mut core, ahead_ms).expect("a webhook");
    core.turn(Vec::new(), ahead_ms).expect("a sound disk");
    core.commit(ahead_ms).expect("a sound disk");
    trades.add();
    // Now the first thing that is written after the core has begun anew fails.
    raw.execute_batch("CREATE TRIGGER fails BEFORE INSERT ON deliveries BEGIN SELECT RAISE(ABORT, 'it fails'); END")
        .expect("it can be changed");
    with_loop(core, courier, |running, shared| {
        let (sender, answer) = channel();
        shared.submit(a_webhook(asker), reply_to(sender), 1).expect("room");
        let (tasks, reports) = shared.take();
        running.turn(tasks, reports);
        assert!(answer.recv_timeout(PATIENCE).expect("an answer").is_err());
    });
    let stored: i64 = raw.query_row("SELECT count(*) FROM webhooks", (), |row| row.get(0)).expect("a count");
    assert_eq!(stored, 1, "what was refused is not there");
}

#[test]
fn an_endpoint_that_ends_its_webhook_is_told_once_that_is_stored_and_not_before() {
    for stored in [true, false] {
        let Parts { mut core, courier, trades, asker, raw, accounts: _accounts, directory: _directory } = Parts::new();
        let now_ms = clock::unix_ms();
        let made = a_webhook(asker).execute(&mut core, now_ms).expect("a webhook").id;
        core.commit(now_ms).expect("a sound disk");
        trades.add();
        core.turn(Vec::new(), now_ms).expect("a sound disk");
        core.commit(now_ms).expect("a sound disk");
        let job = core.next_job(now_ms).expect("a sound disk").expect("the trade's");
        if !stored {
            let fails = "CREATE TRIGGER fails BEFORE UPDATE ON webhooks BEGIN SELECT RAISE(ABORT, 'it fails'); END";
            raw.execute_batch(fails).expect("it can be changed");
        }
        let (sender, told) = channel();
        let on_disabled = Box::new(move |webhook: &Webhook| sender.send(webhook.clone()).expect("open"));
        with_loop_and(core, courier, on_disabled, |running, _| {
            let outcome = Outcome::Answered { status: 410, retry_after: None };
            let report = Report { number: job.number, ticket: job.ticket, outcome, duration: Duration::ZERO };
            running.turn(Vec::new(), vec![report]);
        });
        let told: Vec<_> = told.try_iter().map(|webhook| (webhook.id, webhook.is_active())).collect();
        assert_eq!(told, if stored { vec![(made, false)] } else { vec![] });
    }
}
