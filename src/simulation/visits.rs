//! Clients that come, read, speak and go, in an order that the seed decides.

use std::collections::BTreeSet;

use super::cast::Kind;
use super::client::Session;
use super::diary::note;
use super::world::World;
use crate::clock;
use crate::gate::Entry;
use crate::protocol::{SlowPolicy, Terms};
use crate::shard::tests::fake_kernel::FakeClient;

impl World {
    pub fn somebody_reads(&mut self) {
        for number in 0..self.clients.len() {
            if self.rng.bool() {
                let pace = self.clients[number].session.as_ref().map_or(0, |session| session.pace);
                let most = if pace == usize::MAX { pace } else { self.rng.usize(..=pace) };
                self.read(number, most);
            }
        }
    }

    /// Returns whether anything came.
    pub fn read(&mut self, number: usize, most: usize) -> bool {
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

    pub fn somebody_comes_or_goes(&mut self) {
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
    pub fn enter(&mut self, number: usize) {
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

    pub fn somebody_speaks(&mut self) {
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
