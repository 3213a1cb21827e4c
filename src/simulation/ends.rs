//! The ends of a server's life: an orderly stop, a kill, a power cut. What the disk has left is recovered, and held against what was
//! promised before: what was to last is there, once and unchanged, and what was lost stays lost.

use std::sync::Arc;

use super::diary::note;
use super::server::Server;
use super::world::World;
use crate::hub::EncodedBatch;
use crate::journal::disk::fake::Faults;
use crate::journal::recovery::{Recovered, recover};
use crate::journal::{Journal, SyncPolicy};
use crate::shard::DrainRules;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Kill,
    PowerCut,
    Stop,
}

impl World {
    /// Ends this life in one of the ways, and begins the next.
    pub fn end_life(&mut self) {
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
        if self.rng.bool() {
            self.drain();
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

    /// Sessions are closed over a while, as events go on.
    fn drain(&mut self) {
        let drain_ms = self.rng.choice([0, 100, 1_000]).expect("one");
        note(|| format!("sessions are drained over {drain_ms} ms"));
        self.draining = true;
        self.server.begin_drain(DrainRules { drain_ms, restart_ms: 0 });
        for step in 0..1_000_000 {
            if self.server.has_drained() {
                return;
            }
            match step % 20 {
                0 => self.pass_ms(50),
                5 => self.publish(),
                _ => drop(self.hub_step()),
            }
            self.writer_step();
            for shard in 0..self.server.shards.len() {
                self.server.poll_read(shard);
                self.server.turn(shard);
            }
            self.somebody_reads();
        }
        panic!("a drain comes to no end");
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
        self.draining = false;
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
        self.history.follow_retention(&recovered.catalogue);
        let mut found: Vec<u64> = Vec::new();
        let history = &mut self.history;
        let hear = |batch: &Arc<EncodedBatch>| {
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
