//! The whole server in one world that a seed decides: hub, journal and shards over a simulated kernel, disk and clock, on one thread
//! and without real time, against a shadow model of what every publisher and every client must be told.
//!
//! ```text
//!   publishers ─▶ hub (letter by letter) ─▶ window ─▶ shards (turn by turn) ─▶ simulated kernel ─▶ clients
//!        ▲                                   │  ▲                                                     │
//!        └────────── answers ◀── writer, reads (poll by poll) ─▶ simulated disk                       │
//!                                                 shadow model ◀───── every answer and message ───────┘
//! ```
//!
//! Each step moves one of them on by a little, in an order that the seed decides, and between any two the process may be killed or
//! the power go. Then the journal is recovered from what the disk still has, and the clients come back with the last number that they
//! know. What is checked stands in `client.rs`, `publisher.rs` and [`World::crash`].
//!
//! `STENTOR_SEED=n` repeats one seed; `scripts/sim` runs a range of them. `sabotage.rs` has bugs to put in, and each must be found.

mod cast;
mod client;
mod history;
mod publisher;
pub mod sabotage;
mod server;
mod tests;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use fastrand::Rng;

use self::cast::Kind;
use self::client::{Client, Present, Session};
use self::history::History;
use self::publisher::Publishers;
use self::server::{Server, Setting};
use crate::clock::{self, Nanos};
use crate::gate::Entry;
use crate::hub::by_hand::Letter;
use crate::journal::disk::fake::{FakeDisk, Faults, run};
use crate::journal::recovery::{Recovered, recover};
use crate::journal::{Fanout, Journal, JournalOptions, SyncPolicy};
use crate::protocol::{ReplayRules, SlowPolicy, Terms};
use crate::shard::ShardStats;
use crate::shard::tests::fake_kernel::FakeClient;

/// How many of the last steps are remembered, to be told with a failure.
const STEPS_TOLD: usize = 60;

thread_local! {
    static STEPS: RefCell<VecDeque<String>> = const { RefCell::new(VecDeque::new()) };
    /// Steps are put into words only where somebody will read them: a seed that failed is run again for that.
    static TELLS: Cell<bool> = const { Cell::new(false) };
}

fn note(step: impl FnOnce() -> String) {
    if !TELLS.get() {
        return;
    }
    STEPS.with_borrow_mut(|steps| {
        let most = std::env::var("STENTOR_STEPS").ok().and_then(|most| most.parse().ok()).unwrap_or(STEPS_TOLD);
        if steps.len() >= most {
            steps.pop_front();
        }
        steps.push_back(step());
    });
}

/// The last steps of this thread's world.
fn last_steps() -> Vec<String> {
    STEPS.with_borrow(|steps| steps.iter().cloned().collect())
}

/// What a world has seen, so that a run can tell whether it saw enough.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    pub lives: u64,
    pub events: u64,
    pub lost: u64,
    pub delivered: u64,
    pub acknowledged: u64,
    pub sessions: u64,
    pub fell_behind: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Kill,
    PowerCut,
    Stop,
}

struct World {
    rng: Rng,
    now: Nanos,
    setting: Setting,
    pad_max: usize,
    keys: u8,
    disk: FakeDisk,
    server: Server,
    life: u32,
    history: History,
    publishers: Publishers,
    clients: Vec<Client>,
    /// The number of the next event that the model has not noted.
    noted: u64,
    stopping: bool,
    tally: Tally,
}

/// Runs the world of a seed to its end. Panics where anything is not as it must be.
fn simulate(seed: u64) -> Tally {
    STEPS.with_borrow_mut(VecDeque::clear);
    fastrand::seed(seed);
    clock::simulate(Some(0));
    let mut world = World::new(seed);
    let lives = world.rng.u32(1..=4);
    for _ in 0..lives {
        world.live();
        world.end_life();
    }
    world.live();
    world.finish();
    let tally = world.tally();
    clock::simulate(None);
    tally
}

fn setting(rng: &mut Rng) -> Setting {
    use SyncPolicy::{Always, Interval, Never};
    let mut one = |of: &[usize]| *rng.choice(of).expect("one");
    let [lag_bytes_max, kept_bytes, chunk_bytes] =
        [one(&[30_000, 300_000]), one(&[0, 3_000, 60_000]), one(&[1, 3_000, 40_000])];
    let [inbox_bytes, send_batch_max, shards] = [one(&[1, 5_000, 1 << 20]), one(&[1, 3, 64]), one(&[1, 2, 3])];
    let [events_per_second, bytes_per_second, sessions] = [one(&[0, 0, 60]), one(&[0, 0, 30_000]), one(&[1, 2, 100])];
    Setting {
        journal: JournalOptions {
            sync: rng.choice([Always, Always, Interval, Never]).expect("one"),
            sync_interval_ms: 100,
            fanout: if rng.u8(..3) == 0 { Fanout::Durable } else { Fanout::Immediate },
            retention_bytes: if rng.bool() { rng.u64(40_000..300_000) } else { 0 },
            retention_hours: rng.u64(..2),
            segment_bytes: rng.u64(10_000..60_000),
            dedupe_seconds: rng.choice([3, 600]).expect("one"),
        },
        replay: ReplayRules {
            events_per_second: events_per_second as u32,
            bytes_per_second: bytes_per_second as u64,
            sessions: sessions as u32,
            share_percent: 100,
        },
        shards,
        lag_bytes_max,
        kept_bytes,
        chunk_bytes,
        inbox_bytes,
        send_batch_max,
        writes_short: rng.bool(),
        answers_late: rng.bool(),
    }
}

impl World {
    fn new(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let setting = setting(&mut rng);
        note(|| format!("{setting:?}"));
        let disk = FakeDisk::new(rng.u64(..));
        let recovered = run(recover(&disk)).expect("an empty disk");
        let server = Server::start(&setting, &disk, recovered, rng.u64(..), |_| {});
        let clients = (0..rng.usize(3..9)).map(|_| Client::new(Kind::random(&mut rng))).collect();
        Self {
            pad_max: rng.choice([10, 300, 3_000, 3_000]).expect("one"),
            keys: rng.choice([0, 3]).expect("one"),
            rng,
            now: 0,
            setting,
            disk,
            noted: server.window.head(),
            server,
            life: 1,
            history: History::default(),
            publishers: Publishers::default(),
            clients,
            stopping: false,
            tally: Tally { lives: 1, ..Tally::default() },
        }
    }

    fn tally(&self) -> Tally {
        let history = &self.history;
        Tally {
            events: history.entries().count() as u64,
            lost: history.entries().filter(|(_, entry)| entry.lost).count() as u64,
            delivered: history.events_seen,
            acknowledged: self.publishers.acknowledged,
            ..self.tally
        }
    }

    fn present(&self) -> Present {
        let durable = self.setting.journal.fanout == Fanout::Durable;
        Present {
            head: self.server.window.head(),
            seen_max: durable.then(|| self.server.kept()),
            stopping: self.stopping,
        }
    }

    /// Some steps, with whatever a seed brings.
    fn live(&mut self) {
        for _ in 0..self.rng.usize(..1_500) {
            self.step();
        }
    }

    fn step(&mut self) {
        if !self.server.has_begun() {
            self.writer_step();
            return;
        }
        match self.rng.u8(..100) {
            0..14 => self.publish(),
            14..32 => self.hub_steps(),
            32..48 => self.writer_steps(),
            48..68 => {
                let shard = self.rng.usize(..self.server.shards.len());
                note(|| format!("shard {shard} takes a turn"));
                self.server.turn(shard);
            }
            68..73 => {
                let shard = self.rng.usize(..self.server.shards.len());
                for _ in 0..self.rng.usize(1..20) {
                    self.server.poll_read(shard);
                }
            }
            73..84 => self.somebody_reads(),
            84..89 => self.somebody_comes_or_goes(),
            89..93 => self.somebody_speaks(),
            93..98 => {
                let ms = self.rng.choice([10, 50, 200, 1_500]).expect("one");
                self.pass_ms(ms);
            }
            98 => self.change_disk(),
            _ if self.rng.u8(..20) == 0 => self.pass_ms(3_700_000),
            _ => {}
        }
    }

    fn pass_ms(&mut self, ms: u64) {
        note(|| format!("{ms} ms go by"));
        self.now += ms * 1_000_000;
        clock::simulate(Some(self.now));
        self.server.wake_writer();
    }

    fn publish(&mut self) {
        note(|| "a publisher posts".to_owned());
        self.publishers.publish(&self.server.handle, &mut self.rng, self.pad_max, self.keys);
    }

    fn hub_steps(&mut self) {
        for _ in 0..self.rng.usize(1..6) {
            if !self.hub_step() {
                break;
            }
        }
    }

    /// Returns whether the hub had anything to read.
    fn hub_step(&mut self) -> bool {
        let Some(letter) = self.server.hub.step() else { return false };
        note(|| format!("the hub reads {letter:?}, the next number is {}", self.server.window.head()));
        let appended = self.server.window.unwritten(self.noted, usize::MAX);
        self.noted = self.server.window.head();
        if letter == Letter::Publish {
            let window_ms = self.setting.journal.dedupe_seconds * 1_000;
            self.publishers.read(&appended, &mut self.history, self.life, window_ms, clock::unix_ms());
        } else {
            assert!(appended.is_empty());
        }
        self.publishers.hear(&mut self.history);
        true
    }

    fn writer_steps(&mut self) {
        for _ in 0..self.rng.usize(1..15) {
            self.writer_step();
        }
    }

    fn writer_step(&mut self) -> bool {
        let ended = self.server.poll_writer();
        let catalogue = self.server.catalogue.borrow();
        if let Some(oldest) = catalogue.segments().next() {
            self.history.retained_from = self.history.retained_from.max(oldest.first_seq());
        }
        ended
    }

    fn change_disk(&mut self) {
        let rng = &mut self.rng;
        let mut chance = |of: f64| if rng.u8(..3) == 0 { rng.f64() * of } else { 0.0 };
        let [short_writes, write_errors, sync_errors] = [chance(0.8), chance(0.3), chance(0.3)];
        let room = if rng.u8(..4) == 0 { rng.u64(..200_000) } else { u64::MAX };
        let faults = match rng.u8(..3) {
            0 => Faults::default(),
            // Nobody was promised that what a failed sync has lost is told.
            _ if self.setting.journal.sync == SyncPolicy::Never => Faults { short_writes, room, ..Faults::default() },
            _ => Faults { short_writes, write_errors, sync_errors, room },
        };
        note(|| format!("{faults:?}"));
        self.disk.set_faults(faults);
    }

    fn somebody_reads(&mut self) {
        for number in 0..self.clients.len() {
            if self.rng.bool() {
                let pace = self.clients[number].session.as_ref().map_or(0, |session| session.pace);
                let most = if pace == usize::MAX { pace } else { self.rng.usize(..=pace) };
                self.read(number, most);
            }
        }
    }

    /// Returns whether anything came.
    fn read(&mut self, number: usize, most: usize) -> bool {
        let present = self.present();
        let client = &mut self.clients[number];
        // A panic in there is told with whose it was.
        note(|| format!("client {number}, {:?}, reads", client.kind));
        let some = client.read(most, &mut self.history, &present);
        let is_over =
            |session: &Session| session.closed.is_some() || (session.link.closed() && session.link.unread() == 0);
        if client.session.as_ref().is_some_and(is_over) {
            note(|| format!("client {number} was closed: {:?}", client.session.as_ref().and_then(|one| one.closed)));
            client.leave();
        }
        some
    }

    fn somebody_comes_or_goes(&mut self) {
        let number = self.rng.usize(..self.clients.len());
        let choice = self.rng.u8(..10);
        let Some(session) = &mut self.clients[number].session else { return self.enter(number) };
        match choice {
            0..3 => {
                session.pace = self.rng.choice([0, 0, 50, 3_000, usize::MAX]).expect("one");
                note(|| format!("client {number} reads at {} from now on", session.pace));
            }
            3 => {
                note(|| format!("client {number} ends its side"));
                session.link.finish();
                session.gone = true;
            }
            4 => {
                note(|| format!("client {number} goes"));
                self.clients[number].leave();
            }
            5 => {
                note(|| format!("client {number} flaps"));
                self.clients[number].leave();
                self.enter(number);
            }
            _ => session.link.widen(self.rng.choice([50, 2_000, 1 << 20]).expect("one")),
        }
    }

    /// A client comes, or comes back.
    fn enter(&mut self, number: usize) {
        let shard = self.rng.usize(..self.server.shards.len());
        let link = FakeClient::new(self.rng.choice([50, 2_000, 1 << 20, 1 << 20]).expect("one"));
        let policy =
            self.rng.choice([SlowPolicy::CatchUp, SlowPolicy::CatchUp, SlowPolicy::Latest, SlowPolicy::Disconnect]);
        let policy = policy.expect("one");
        let client = &mut self.clients[number];
        if self.rng.u8(..12) == 0 {
            // It wants all that there is, or nothing of it.
            client.cursors.values_mut().for_each(|cursor| *cursor = 0);
        } else if self.rng.u8(..12) == 0 {
            client.cursors.clear();
        }
        let named: Vec<u8> = client.wants.iter().copied().collect();
        let cursors: BTreeSet<_> = named.iter().map(|topic| client.cursors.get(&Some(*topic)).copied()).collect();
        // One number for all of its topics, where it has the same of each.
        let common = match cursors.first() {
            Some(Some(cursor)) if cursors.len() == 1 => Some(*cursor),
            _ => None,
        };
        let in_address = self.rng.bool();
        let since = match client.kind {
            Kind::Channels { .. } => common.filter(|_| in_address),
            _ => client.cursors.get(&None).copied(),
        };
        let plane = &mut self.server.shards[shard].plane;
        let entry = Entry::enter(&self.server.gate, [192, 0, 2, 1].into(), 0).expect("the gate is open");
        let admission = client.kind.admission(clock::unix_ms());
        if plane.enter(link.clone(), admission, Terms { since, policy }, entry, Vec::new()).is_err() {
            return;
        }
        note(|| {
            format!(
                "client {number}, {:?}, enters shard {shard} with {since:?} of {:?} and {policy}, which is at {}",
                client.kind,
                client.cursors,
                plane.taken_in()
            )
        });
        let mut session = Session::new(client.kind, link, policy, since, plane.taken_in());
        match client.kind {
            Kind::Channels { account } if common.is_some() && !in_address => {
                session.authenticate(account, common, &named);
            }
            Kind::Channels { account } => {
                session.authenticate(account, None, &[]);
                for topic in named {
                    let cursor = client.cursors.get(&Some(topic)).copied();
                    session.subscribe(topic, if since.is_some() { None } else { cursor });
                }
            }
            Kind::Rooms { .. } => {
                for topic in named {
                    // Where it has no number of a market, that of the address counts.
                    session.subscribe(topic, client.cursors.get(&Some(topic)).copied());
                }
            }
            Kind::Watchlist { .. } | Kind::Tiered { .. } => {}
        }
        self.tally.sessions += 1;
        client.session = Some(session);
    }

    fn somebody_speaks(&mut self) {
        let number = self.rng.usize(..self.clients.len());
        let client = &mut self.clients[number];
        let Some(session) = client.session.as_mut().filter(|session| !session.gone) else { return };
        let named = client.kind.named();
        if named.is_empty() || self.rng.u8(..4) == 0 {
            note(|| format!("client {number} pings"));
            return session.ping();
        }
        let topic = self.rng.u8(named);
        // One that says so of a topic again before it is answered can't tell which of its numbers counts.
        if session.is_awaited(topic) {
            return;
        }
        if self.rng.u8(..3) == 0 {
            note(|| format!("client {number} unsubscribes from {topic}"));
            client.wants.remove(&topic);
            return session.unsubscribe(topic);
        }
        let known = session.done(topic).or(client.cursors.get(&Some(topic)).copied());
        let since = match self.rng.u8(..4) {
            0 => known,
            1 => known.map(|known| known - self.rng.u64(..=known.min(30))),
            _ => None,
        };
        note(|| format!("client {number} subscribes to {topic} with {since:?}"));
        client.wants.insert(topic);
        session.subscribe(topic, since);
    }
}

impl World {
    /// Ends this life in one of the ways, and begins the next.
    fn end_life(&mut self) {
        let end = self.rng.choice([End::PowerCut, End::PowerCut, End::Kill, End::Stop]).expect("one");
        note(|| format!("the end: {end:?}"));
        // A stop may come to no end.
        let end = if end == End::Stop && !self.stop() { End::PowerCut } else { end };
        self.crash(end);
    }

    /// An orderly stop. Returns whether it came to its end before somebody lost patience.
    fn stop(&mut self) -> bool {
        if !self.server.has_begun() {
            return false;
        }
        let patience = if self.rng.bool() { usize::MAX } else { self.rng.usize(..300) };
        self.server.handle.stop(Box::new(|| {}));
        let mut closed = false;
        let mut polls = 0;
        for step in 0..1_000_000 {
            if step >= patience {
                note(|| "it is cut short".to_owned());
                return false;
            }
            if step == 400 {
                self.disk.set_faults(Faults::default());
            }
            if step % 50 == 0 {
                self.pass_ms(50);
            }
            if !closed {
                if !self.hub_step() && self.server.hub.is_done() {
                    self.server.hub.end();
                    self.publishers.turned_away();
                    closed = true;
                }
            } else if !self.stopping {
                if (0..self.server.shards.len()).all(|shard| self.server.is_caught_up(shard)) {
                    note(|| "the sessions are closed".to_owned());
                    self.stopping = true;
                    self.server.close_sessions();
                    self.server.stop_writer();
                }
            } else {
                polls += 1;
                if self.writer_step() && polls > 100 {
                    assert!(self.publishers.is_answered(), "somebody waits for an answer for ever");
                    return true;
                }
            }
            if !self.stopping {
                self.writer_step();
            }
            for shard in 0..self.server.shards.len() {
                self.server.poll_read(shard);
                self.server.turn(shard);
            }
            self.somebody_reads();
        }
        panic!("a stop comes to no end");
    }

    /// The process is gone, and maybe the power was. What the disk has left is recovered and held against what was promised.
    fn crash(&mut self, end: End) {
        self.count_fallen();
        let head = self.server.window.head();
        let (synced, kept) = (self.server.status.synced(), self.server.kept());
        let synced_well = self.disk.failed_syncs() == 0;
        for number in 0..self.clients.len() {
            // What the kernel has taken may still arrive.
            if self.rng.bool() {
                self.read(number, usize::MAX);
            }
            self.clients[number].leave();
        }
        self.stopping = false;
        self.publishers.hear(&mut self.history);
        self.publishers.forget();
        let recovered = self.recover(end);
        if self.rng.u8(..8) == 0 {
            self.pass_ms(3_700_000);
        }
        let Recovered { next_seq, follows, .. } = recovered;
        note(|| {
            format!("recovered up to {follows}, goes on with {next_seq}; head {head}, synced {synced}, kept {kept}")
        });
        assert!(end != End::Stop || next_seq == head, "an orderly stop wastes no number");
        if self.rng.u8(..6) == 0 {
            note(|| "the disk is full now".to_owned());
            self.disk.set_faults(Faults { room: 0, ..Faults::default() });
        }
        if let Some(oldest) = recovered.catalogue.segments().next() {
            self.history.retained_from = self.history.retained_from.max(oldest.first_seq());
        }
        let mut found: Vec<u64> = Vec::new();
        let history = &mut self.history;
        let hear = |batch: &Arc<crate::hub::EncodedBatch>| {
            for (event, seq) in batch.events().iter().zip(batch.first_seq()..) {
                let entry = history.get_mut(seq).unwrap_or_else(|| panic!("event {seq} is nobody's"));
                assert_eq!(entry.event(), event, "event {seq} is another one");
                assert!(!entry.lost, "event {seq} was lost, and is there again");
                assert!(found.last().is_none_or(|last| *last < seq), "event {seq} is there twice");
                entry.lasting = true;
                found.push(seq);
            }
        };
        let seed = self.rng.u64(..);
        self.server = Server::start(&self.setting, &self.disk, recovered, seed, hear);
        self.noted = self.server.window.head();
        self.check_what_is_gone(end, &found, synced, kept, synced_well);
        self.life += 1;
        self.tally.lives += 1;
    }

    fn count_fallen(&mut self) {
        self.tally.fell_behind +=
            self.server.shards.iter().map(|shard| ShardStats::get(&shard.stats.fell_behind)).sum::<u64>();
    }

    /// Of what is not there nothing was promised, or it was retained for long enough.
    fn check_what_is_gone(&mut self, end: End, found: &[u64], synced: u64, kept: u64, synced_well: bool) {
        let always = self.setting.journal.sync == SyncPolicy::Always;
        let numbers: Vec<u64> = self.history.entries().map(|(seq, _)| seq).collect();
        let mut found = found.iter().copied().peekable();
        for seq in numbers {
            if found.next_if_eq(&seq).is_some() {
                continue;
            }
            let retained = seq >= self.history.retained_from;
            let entry = self.history.get_mut(seq).expect("it is one of them");
            if entry.lost || !retained {
                continue;
            }
            let must_last = match end {
                End::Stop => true,
                // After a failed sync, what only the kernel had may have been under way to another segment.
                End::Kill if synced_well => entry.promised || seq < kept,
                End::Kill | End::PowerCut => (always && entry.promised) || seq < synced,
            };
            assert!(!must_last && !entry.lasting, "event {seq} is gone after {end:?}, and was promised to last");
            entry.lost = true;
        }
    }

    /// The disk as the next start finds it, and what it recovers, maybe with another crash meanwhile.
    fn recover(&mut self, end: End) -> Recovered {
        let mut kill = end == End::Kill;
        loop {
            self.disk = if kill { self.disk.after_kill() } else { self.disk.after_power_cut() };
            let polls = if self.rng.u8(..4) == 0 { self.rng.usize(..150) } else { usize::MAX };
            if let Some(recovered) = self.disk.run_for(polls, recover(&self.disk)) {
                return recovered.unwrap_or_else(|error| panic!("{error}"));
            }
            kill = self.rng.bool();
            note(|| format!("the recovery is cut short, by a kill: {kill}"));
        }
    }
}

impl World {
    /// Everything heals, and in the end everybody has everything.
    fn finish(&mut self) {
        note(|| "everything heals".to_owned());
        self.disk.set_faults(Faults::default());
        while !self.server.has_begun() {
            self.writer_step();
        }
        self.settle();
        // Those that are open are live: they get what is published now.
        self.publishers.publish_on_all(&self.server.handle);
        self.settle();
        assert!(self.publishers.is_answered(), "somebody waits for an answer for ever");
        assert!(!self.server.hub.is_awaited());
        self.read_all_again();
        let present = self.present();
        for (number, client) in self.clients.iter_mut().enumerate() {
            if let Some(session) = client.session.as_mut().filter(|session| !session.gone) {
                note(|| format!("client {number}, {:?}, is looked at", client.kind));
                session.check_whole(&self.history, &present);
            }
        }
        for shard in &mut self.server.shards {
            assert_eq!(shard.plane.behind(), 0, "somebody is not live");
        }
        self.clients.iter_mut().for_each(Client::leave);
        for _ in 0..100 {
            for shard in 0..self.server.shards.len() {
                self.server.turn(shard);
            }
        }
        for shard in &mut self.server.shards {
            assert_eq!((shard.plane.occupied(), shard.plane.sockets().occupied()), (0, 0), "slots are not vacant");
        }
        self.count_fallen();
        assert!(self.server.gate.is_empty(), "a place at the gate was not given back");
    }

    /// Goes on until nothing happens any more.
    fn settle(&mut self) {
        let mut quiet = 0;
        for step in 0_u64..200_000 {
            let mut busy = self.hub_step();
            self.pass_quietly(50);
            if step % 400 == 0 {
                self.clients.iter_mut().filter_map(|client| client.session.as_mut()).for_each(|session| {
                    if !session.gone {
                        session.ping();
                    }
                });
            }
            for _ in 0..5 {
                self.writer_step();
            }
            busy |= self.server.kept() < self.server.window.head() || self.server.status.fault().is_some();
            for shard in 0..self.server.shards.len() {
                self.server.poll_read(shard);
                busy |= self.server.turn(shard);
            }
            for number in 0..self.clients.len() {
                if let Some(session) = &mut self.clients[number].session {
                    session.pace = usize::MAX;
                    session.link.widen(1 << 20);
                }
                busy |= self.read(number, usize::MAX);
            }
            quiet = if busy { 0 } else { quiet + 1 };
            if quiet == 40 {
                return;
            }
        }
        panic!("it never comes to rest");
    }

    fn pass_quietly(&mut self, ms: u64) {
        self.now += ms * 1_000_000;
        clock::simulate(Some(self.now));
        self.server.wake_writer();
    }

    /// Somebody who asks for everything gets it, in every protocol.
    fn read_all_again(&mut self) {
        for kind in [
            Kind::Watchlist { account: 1 },
            Kind::Tiered { account: 2 },
            Kind::Rooms { user: 1, admin: Some(2) },
            Kind::Channels { account: 1 },
        ] {
            let mut client = Client::new(kind);
            client.cursors.insert(None, 0);
            for topic in kind.named() {
                client.wants.insert(topic);
                client.cursors.insert(Some(topic), 0);
            }
            self.clients.push(client);
            // Where there is no room for it, there is none.
            self.enter(self.clients.len() - 1);
        }
        self.settle();
    }
}
