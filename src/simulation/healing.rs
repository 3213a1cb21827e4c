//! The last part of a world: nothing fails any more, everybody is told everything, and in the end nothing is left over.

use super::cast::Kind;
use super::client::Client;
use super::diary::note;
use super::world::World;
use crate::journal::Journal;
use crate::journal::disk::fake::Faults;

impl World {
    /// Everything heals, and in the end everybody has everything.
    pub fn finish(&mut self) {
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
