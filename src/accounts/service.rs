//! The accounts thread: the one place in the server that touches the database.
//!
//! ```text
//!   shard ── AccountsClient::submit(command, answer) ──▶ Inbox ──▶ accounts thread
//!   server, webhooks ── AccountsClient::record(act) ───▶            │ 1. write down the acts that wait, in one transaction
//!                                                                   │ 2. execute a command on the Store
//!   another process ── commits ──▶ accounts.db ── data_version ─────┤ 3. reload what changed; also 5 × a second without a command
//!                                                                   │ 4. publish to the Directory, on_change
//!   shard's mailbox ◀────────────────────────── answer ─────────────┘ 5. answer
//! ```
//!
//! Invariants:
//! * A command is answered only when its effect is in the published snapshot: who was told "revoked" can rely on it.
//! * Every command that was taken in is answered, and every act written down, also when the service stops.
//! * No command takes the place of an act, and an act waits for one command at most.
//! * A reload that fails is told in the log and tried again; until then the last good snapshot stays in force.

use std::fmt;
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use jiff::Timestamp;

use super::audit::{Act, Actor, Author};
use super::inbox::{Inbox, Mail, SubmitError};
use super::{Command, Directory, Snapshot, Store, StoreError};
use crate::limits::FOREIGN_CHANGE_POLL_MS;

/// What the caller hangs on to the accounts thread.
pub struct Hooks {
    /// Runs first on the new thread: to pin it to a CPU, say.
    pub on_start: Box<dyn FnOnce() + Send>,
    /// Runs on the accounts thread after each new snapshot is in force, before the command that caused it is answered.
    pub on_change: OnChange,
}

/// Gets the snapshot that has just come into force.
pub type OnChange = Box<dyn Fn(&Arc<Snapshot>) + Send>;

impl Hooks {
    pub fn none() -> Self {
        Self { on_start: Box::new(|| {}), on_change: Box::new(|_| {}) }
    }
}

/// The running accounts thread. Dropped, it does what has come and ends.
#[derive(Debug)]
pub struct AccountsService {
    directory: Arc<Directory>,
    client: AccountsClient,
    thread: Option<JoinHandle<()>>,
}

impl AccountsService {
    /// Reads the database into the first snapshot, here and now, and starts the thread.
    pub fn start(mut store: Store, hooks: Hooks) -> Result<Self, StoreError> {
        let seen = store.data_version()?;
        let first = store.reload(&Snapshot::empty())?.unwrap_or_else(Snapshot::empty);
        let directory = Arc::new(Directory::new(first));
        let client = AccountsClient(Arc::new(Inbox::new()));
        let mut worker =
            Worker { store, seen, behind: false, directory: Arc::clone(&directory), on_change: hooks.on_change };
        let AccountsClient(inbox) = client.clone();
        let run = move || {
            (hooks.on_start)();
            worker.run(&inbox);
        };
        let thread = Builder::new().name("accounts".into()).spawn(run).map_err(StoreError::Thread)?;
        Ok(Self { directory, client, thread: Some(thread) })
    }

    pub fn directory(&self) -> &Arc<Directory> {
        &self.directory
    }

    pub fn client(&self) -> AccountsClient {
        self.client.clone()
    }
}

impl Drop for AccountsService {
    fn drop(&mut self) {
        self.client.0.close();
        if let Some(thread) = self.thread.take() {
            // It can end badly only by a panic, which the panic hook has told already.
            let _ = thread.join();
        }
    }
}

/// How other threads reach the accounts thread; cheap to clone.
#[derive(Clone)]
pub struct AccountsClient(Arc<Inbox<Job>>);

impl AccountsClient {
    /// Queues a command, without waiting; what it changes, `actor` has changed. `answer` is called once, on the accounts thread:
    /// it should do no more than hand the result to whoever waits for it.
    pub fn submit<C: Command>(
        &self,
        actor: Actor,
        command: C,
        answer: impl FnOnce(Result<C::Answer, StoreError>) + Send + 'static,
    ) -> Result<(), SubmitError> {
        self.0.submit(Box::new(move |store, now| {
            let outcome = command.execute(store, &Author { actor, at: now });
            Box::new(move |published: Result<(), StoreError>| {
                answer(outcome.and_then(|value| match published {
                    Ok(()) => Ok(value),
                    Err(error) => Err(StoreError::NotYetLive(Box::new(error))),
                }));
            })
        }))
    }

    /// Has something written into the audit log that was done elsewhere, now. Where many acts wait already it waits for these to be
    /// taken, so it is not for a shard's thread. It is done all the same where it can't be written, so the log of the process tells it
    /// then.
    pub fn record(&self, actor: Actor, act: Act) {
        if let Some((act, by)) = self.0.record(act, Author { actor, at: Timestamp::now() }) {
            tell_lost(&act, &by, &SubmitError::Stopped);
        }
    }
}

/// Of an act that is not in the audit log.
fn tell_lost(act: &Act, by: &Author, error: &dyn fmt::Display) {
    let (action, target, actor) = (act.action, act.target(), &by.actor);
    tracing::error!(%action, %target, %actor, "can't be written into the audit log: {error}");
}

impl fmt::Debug for AccountsClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AccountsClient")
    }
}

/// A command with its types erased: executed, it leaves its answer, which waits for the word that the snapshot is out.
type Job = Box<dyn FnOnce(&mut Store, Timestamp) -> PendingAnswer + Send>;
type PendingAnswer = Box<dyn FnOnce(Result<(), StoreError>)>;

/// What the thread owns.
struct Worker {
    store: Store,
    /// The database's `data_version` at the last good reload.
    seen: i64,
    /// The last reload failed, and the log says so.
    behind: bool,
    directory: Arc<Directory>,
    on_change: OnChange,
}

impl Worker {
    fn run(&mut self, inbox: &Inbox<Job>) {
        while let Some(Mail { acts, command }) = inbox.take(Duration::from_millis(FOREIGN_CHANGE_POLL_MS)) {
            self.write_down(&acts);
            match command {
                Some(job) => self.execute(job),
                None => self.poll(),
            }
        }
    }

    fn write_down(&mut self, acts: &[(Act, Author)]) {
        if let Err(error) = self.store.record_all(acts.iter().map(|(act, by)| (act, by))) {
            acts.iter().for_each(|(act, by)| tell_lost(act, by, &error));
        }
    }

    fn execute(&mut self, job: Job) {
        let answer = job(&mut self.store, Timestamp::now());
        // Also after a command that failed or only read: it costs one look at a number, and brings foreign changes along.
        answer(self.reload());
    }

    fn poll(&mut self) {
        match self.store.data_version() {
            Ok(version) if version == self.seen && !self.behind => {}
            // `reload` tells the log what went wrong.
            _ => drop(self.reload()),
        }
    }

    fn reload(&mut self) -> Result<(), StoreError> {
        let outcome = self.publish_news();
        match &outcome {
            Ok(()) if self.behind => tracing::info!("the accounts database can be read again"),
            Err(error) if !self.behind => {
                tracing::error!(%error, "can't reload accounts: the last good state stays in force, trying again");
            }
            _ => {}
        }
        self.behind = outcome.is_err();
        outcome
    }

    fn publish_news(&mut self) -> Result<(), StoreError> {
        // Taken before the reload: a commit that falls in between is then looked at twice, not missed.
        let seen = self.store.data_version()?;
        if let Some(next) = self.store.reload(&self.directory.load())? {
            let next = Arc::new(next);
            self.directory.publish(Arc::clone(&next));
            (self.on_change)(&next);
        }
        self.seen = seen;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Sender, channel};
    use std::thread;
    use std::time::Instant;

    use serde_json::json;

    use super::*;
    use crate::accounts::audit::{Action, AuditQuery, UnixUser};
    use crate::accounts::fixture::{Fixture, by, owners};
    use crate::accounts::{
        AccountChange, AccountId, ChangeAccount, CreateKey, CreatedKey, DeleteAccount, FindAccount, GetAccount,
        GetWatchlist, Grants, InForce, ListAccounts, ListAudit, ListKeys, NewAccount, ReplaceWatchlist, RevokeKey,
        Role, Tier, Unwatch, Watch,
    };
    use crate::database::DatabaseError;
    use crate::limits::{ACCOUNT_COMMANDS_QUEUED_MAX, AUDIT_ACTS_QUEUED_MAX};

    /// Far beyond what anything here takes on the slowest machine.
    const PATIENCE: Duration = Duration::from_secs(30);

    fn start(fixture: &Fixture) -> AccountsService {
        AccountsService::start(fixture.second_store(), Hooks::none()).expect("start")
    }

    fn ask<C: Command>(service: &AccountsService, command: C) -> Result<C::Answer, StoreError> {
        let (sender, answer) = channel();
        service
            .client()
            .submit(Actor::Server, command, move |result| sender.send(result).expect("waited for"))
            .expect("room");
        answer.recv_timeout(PATIENCE).expect("an answer")
    }

    fn wait_until(mut done: impl FnMut() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !done() {
            assert!(Instant::now() < deadline, "it never came");
            thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn every_command_does_what_it_says() {
        let fixture = Fixture::new();
        let service = start(&fixture);
        let wanted =
            NewAccount { name: "alice".parse().expect("name"), tier: Tier::Pro, grants: Grants::of_a_new_account() };
        let account = ask(&service, wanted).expect("create").id;
        let change = AccountChange { tier: Some(Tier::Elite), grants: None };
        assert_eq!(ask(&service, ChangeAccount { account, change }).expect("change").tier, Tier::Elite);
        let found = ask(&service, FindAccount { name: "ALICE".parse().expect("name") }).expect("find");
        assert_eq!(found, ask(&service, GetAccount { account }).expect("get"));
        assert_eq!(ask(&service, ListAccounts { after: None, accounts_max: 9 }).expect("list"), [found]);

        let edit = ask(&service, ReplaceWatchlist { account, owners: owners(&["a", "b"]) }).expect("replace");
        assert_eq!((edit.added, edit.total), (2, 2));
        assert_eq!(ask(&service, Watch { account, owners: owners(&["c"]) }).expect("watch").total, 3);
        assert_eq!(ask(&service, Unwatch { account, owners: owners(&["a"]) }).expect("unwatch").total, 2);
        let list = ask(&service, GetWatchlist { account }).expect("watchlist");
        assert_eq!(list, owners(&["b", "c"]).into_iter().collect());

        let CreatedKey { record, .. } = ask(&service, CreateKey { account, role: Role::Subscriber }).expect("key");
        let revoked = ask(&service, RevokeKey { account, key: record.id }).expect("revoke");
        assert!(revoked.revoked.is_some());
        assert_eq!(ask(&service, ListKeys { account }).expect("keys"), [revoked]);
        assert_eq!(ask(&service, DeleteAccount { account }).expect("delete").id, account);
        assert!(matches!(ask(&service, GetAccount { account }), Err(StoreError::NoSuchAccount { .. })));
        assert!(service.directory().load().is_empty());
    }

    #[test]
    fn the_first_snapshot_is_in_force_before_start_returns() {
        let mut fixture = Fixture::new();
        let alice = fixture.account("alice");
        assert!(start(&fixture).directory().load().account(alice).is_some());
    }

    #[test]
    fn a_command_is_answered_after_its_snapshot_is_in_force_and_told() {
        let mut fixture = Fixture::new();
        let account = fixture.account("alice");
        let (sender, order) = channel();
        let told = sender.clone();
        let hooks = Hooks {
            on_change: Box::new(move |snapshot| told.send(("told", snapshot.version())).expect("open")),
            ..Hooks::none()
        };
        let service = AccountsService::start(fixture.second_store(), hooks).expect("start");
        let directory = Arc::clone(service.directory());
        let answer = move |result: Result<CreatedKey, StoreError>| {
            let key = result.expect("created").key;
            assert!(directory.load().authenticate(key.expose()).is_some(), "answered before it was in force");
            sender.send(("answered", directory.version())).expect("open");
        };
        service.client().submit(Actor::Server, CreateKey { account, role: Role::Admin }, answer).expect("room");
        let version = service.directory().version();
        let next = || order.recv_timeout(PATIENCE).expect("in time");
        let (told, answered) = (next(), next());
        assert_eq!((told.0, answered.0, told.1), ("told", "answered", answered.1));
        assert!(answered.1 >= version);
    }

    #[test]
    fn a_command_that_fails_answers_its_error_and_publishes_nothing() {
        let fixture = Fixture::new();
        let service = start(&fixture);
        let before = service.directory().version();
        let refused = ask(&service, CreateKey { account: AccountId(9), role: Role::Admin }).expect_err("nobody");
        assert!(matches!(refused, StoreError::NoSuchAccount { .. }), "{refused}");
        assert_eq!(service.directory().version(), before);
    }

    #[test]
    fn what_a_key_asked_for_is_not_done_once_it_is_revoked() {
        let mut fixture = Fixture::new();
        let account = fixture.account("alice");
        let own = fixture.store.create_key(account, Role::Admin, &by()).expect("key").record;
        let service = start(&fixture);
        let make = || InForce { key: own.number, command: CreateKey { account, role: Role::Admin } };
        let made = ask(&service, make()).expect("an answer").expect("in force").record;
        // Another process revokes it, and no snapshot tells of it yet.
        fixture.store.revoke_key(account, own.id, &by()).expect("revoke");
        assert!(ask(&service, make()).expect("an answer").is_none());
        let keys = ask(&service, ListKeys { account }).expect("keys");
        assert_eq!(keys.iter().filter(|key| key.revoked.is_none()).collect::<Vec<_>>(), [&made]);
    }

    #[test]
    fn a_change_made_by_another_process_comes_into_force_by_itself() {
        let mut fixture = Fixture::new();
        let alice = fixture.account("alice");
        let made = fixture.store.create_key(alice, Role::Subscriber, &by()).expect("key");
        let service = start(&fixture);
        let directory = service.directory();
        fixture.store.watch(alice, &owners(&["w"]), &by()).expect("watch");
        wait_until(|| directory.load().account(alice).is_some_and(|account| account.watchlist.contains("w")));
        fixture.store.revoke_key(alice, made.record.id, &by()).expect("revoke");
        wait_until(|| !directory.load().key_is_live(made.record.number));
        assert!(directory.load().authenticate(made.key.expose()).is_none());
        fixture.store.delete_account(alice, &by()).expect("delete");
        wait_until(|| directory.load().is_empty());
    }

    #[test]
    fn a_change_is_recorded_as_whose_it_is_and_so_is_what_was_done_elsewhere() {
        let fixture = Fixture::new();
        let service = start(&fixture);
        let user = Actor::Cli(UnixUser { uid: 7, name: None, login: None });
        let wanted = NewAccount { name: "alice".parse().expect("name"), tier: Tier::Pro, grants: Grants::none() };
        let (sender, answer) = channel();
        service.client().submit(user.clone(), wanted, move |result| sender.send(result).expect("open")).expect("room");
        answer.recv_timeout(PATIENCE).expect("an answer").expect("created");
        service.client().record(Actor::Server, Act::new(Action::ServerStop, "here", json!({})));
        let query = AuditQuery { entries_max: 9, ..AuditQuery::default() };
        let entries = ask(&service, ListAudit(query)).expect("the log");
        let told: Vec<(&str, &str)> =
            entries.iter().map(|entry| (entry.action.as_str(), entry.actor.as_str())).collect();
        assert_eq!(told, [("server.stop", "server"), ("account.create", "cli by uid 7")]);
    }

    #[test]
    fn the_start_hook_runs_on_the_thread_that_works() {
        let fixture = Fixture::new();
        let (sender, name) = channel();
        let on_start = Box::new(move || sender.send(thread::current().name().map(str::to_owned)).expect("open"));
        let hooks = Hooks { on_start, ..Hooks::none() };
        let _service = AccountsService::start(fixture.second_store(), hooks).expect("start");
        assert_eq!(name.recv_timeout(PATIENCE).expect("it ran"), Some("accounts".into()));
    }

    #[test]
    fn a_full_queue_refuses_at_once_and_what_was_taken_is_answered_though_the_service_stops() {
        let fixture = Fixture::new();
        let (service, open) = start_at_a_word(&fixture);
        let client = service.client();
        let (sender, answers) = channel();
        let submit = || {
            let sender = sender.clone();
            client.submit(Actor::Server, ListAccounts { after: None, accounts_max: 1 }, move |result| {
                sender.send(result.is_ok()).expect("open")
            })
        };
        for _ in 0..ACCOUNT_COMMANDS_QUEUED_MAX {
            submit().expect("room");
        }
        assert_eq!(submit(), Err(SubmitError::Overloaded));
        open.send(()).expect("open the gate");
        drop(service);
        assert_eq!(answers.try_iter().filter(|ok| *ok).count(), ACCOUNT_COMMANDS_QUEUED_MAX);
        assert_eq!(submit(), Err(SubmitError::Stopped));
    }

    /// A service whose thread begins to work when it is told to.
    fn start_at_a_word(fixture: &Fixture) -> (AccountsService, Sender<()>) {
        let (open, gate) = channel::<()>();
        let on_start = Box::new(move || gate.recv_timeout(PATIENCE).expect("opened"));
        let service = AccountsService::start(fixture.second_store(), Hooks { on_start, ..Hooks::none() });
        (service.expect("start"), open)
    }

    fn act(target: usize) -> Act {
        Act::new(Action::WebhookChange, target, json!({}))
    }

    /// The targets of what was recorded, in its order.
    fn recorded(fixture: &Fixture) -> Vec<String> {
        let entries = fixture.store.audit(&AuditQuery { entries_max: 10_000, ..AuditQuery::default() });
        entries.expect("the log").into_iter().rev().map(|entry| entry.target).collect()
    }

    #[test]
    fn what_was_done_is_recorded_however_many_commands_wait() {
        let fixture = Fixture::new();
        let (service, open) = start_at_a_word(&fixture);
        let client = service.client();
        let list = || ListAccounts { after: None, accounts_max: 1 };
        while client.submit(Actor::Server, list(), |_| {}).is_ok() {}
        client.record(Actor::Server, act(1));
        open.send(()).expect("open the gate");
        drop(service);
        assert_eq!(recorded(&fixture), ["1"]);
    }

    #[test]
    fn whoever_does_more_than_can_be_recorded_waits_and_nothing_of_it_is_lost() {
        let fixture = Fixture::new();
        let (service, open) = start_at_a_word(&fixture);
        let (client, (sender, done)) = (service.client(), channel());
        let acts = AUDIT_ACTS_QUEUED_MAX + 5;
        let busy = thread::spawn(move || {
            (0..acts).for_each(|nth| {
                client.record(Actor::Server, act(nth));
                sender.send(nth).expect("open");
            });
        });
        (0..AUDIT_ACTS_QUEUED_MAX).for_each(|nth| assert_eq!(done.recv_timeout(PATIENCE), Ok(nth)));
        assert!(done.recv_timeout(Duration::from_millis(50)).is_err(), "there is no place for it");
        open.send(()).expect("open the gate");
        busy.join().expect("it goes on");
        drop(service);
        assert_eq!(recorded(&fixture), (0..acts).map(|nth| nth.to_string()).collect::<Vec<_>>());
    }

    #[test]
    fn while_reloading_fails_the_last_good_snapshot_stays_and_it_recovers_by_itself() {
        let mut fixture = Fixture::new();
        let account = fixture.account("alice");
        let service = start(&fixture);
        let held = service.directory().load();
        let raw = rusqlite::Connection::open(fixture.data_dir().join("accounts.db")).expect("open");
        raw.execute("INSERT INTO grants VALUES (?1, 'nonsense')", [account]).expect("damage");

        let answer = ask(&service, Watch { account, owners: owners(&["w"]) }).expect_err("can't be read back");
        assert!(matches!(&answer, StoreError::NotYetLive(cause)
            if matches!(**cause, StoreError::Database(DatabaseError::Corrupt { .. }))));
        assert!(Arc::ptr_eq(&service.directory().load(), &held));
        raw.execute("DELETE FROM grants WHERE pattern = 'nonsense'", []).expect("mend");
        wait_until(|| service.directory().load().account(account).is_some_and(|a| a.watchlist.contains("w")));
    }
}
