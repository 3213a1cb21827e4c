//! One world: the server with its disk, those who publish and listen, and the shadow model; each step moves one of them on.
//! All chance is drawn from `rng`, so the order of its draws is what a seed means.

use fastrand::Rng;

use super::cast::Kind;
use super::client::{Client, Present};
use super::diary::note;
use super::history::History;
use super::publisher::Publishers;
use super::server::Server;
use super::setting::Setting;
use super::tally::Tally;
use crate::clock::{self, Nanos};
use crate::hub::by_hand::Letter;
use crate::journal::disk::fake::{FakeDisk, Faults, run};
use crate::journal::recovery::recover;
use crate::journal::{Fanout, Journal, SyncPolicy};

pub struct World {
    pub rng: Rng,
    now: Nanos,
    pub setting: Setting,
    pad_max: usize,
    keys: u8,
    pub disk: FakeDisk,
    pub server: Server,
    pub life: u32,
    pub history: History,
    pub publishers: Publishers,
    pub clients: Vec<Client>,
    /// The number of the next event that the model has not noted.
    pub noted: u64,
    pub stopping: bool,
    /// Sessions are told to come back, and closed.
    pub draining: bool,
    pub tally: Tally,
}

impl World {
    pub fn new(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let setting = Setting::random(&mut rng);
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
            draining: false,
            tally: Tally { lives: 1, ..Tally::default() },
        }
    }

    pub fn tally(&self) -> Tally {
        let history = &self.history;
        Tally {
            events: history.entries().count() as u64,
            lost: history.entries().filter(|(_, entry)| entry.lost).count() as u64,
            delivered: history.events_seen,
            acknowledged: self.publishers.acknowledged,
            ..self.tally
        }
    }

    pub fn present(&self) -> Present {
        let durable = self.setting.journal.fanout == Fanout::Durable;
        Present {
            head: self.server.window.head(),
            seen_max: durable.then(|| self.server.kept()),
            stopping: self.stopping || self.draining,
        }
    }

    /// Some steps, with whatever a seed brings.
    pub fn live(&mut self) {
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

    pub fn pass_ms(&mut self, ms: u64) {
        note(|| format!("{ms} ms go by"));
        self.pass_quietly(ms);
    }

    pub fn pass_quietly(&mut self, ms: u64) {
        self.now += ms * 1_000_000;
        clock::simulate(Some(self.now));
        self.server.wake_writer();
    }

    pub fn publish(&mut self) {
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
    pub fn hub_step(&mut self) -> bool {
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

    pub fn writer_step(&mut self) -> bool {
        let ended = self.server.poll_writer();
        self.history.follow_retention(&self.server.catalogue.borrow());
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

    pub fn count_fallen(&mut self) {
        self.tally.fell_behind += self.server.shards.iter().map(|shard| shard.stats.fell_behind()).sum::<u64>();
    }
}
