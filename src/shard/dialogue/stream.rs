//! A stream of server-sent events: whose it is, and what it receives. All of that was in its address; its client says nothing.

use smallvec::SmallVec;

use super::{Dialogue, Stage};
use crate::accounts::{AccountId, KeyNumber};
use crate::event::Namespace;
use crate::protocol::{Protocol, StreamAdmission, StreamHolder, StreamTopic};
use crate::shard::accounts::KEY_REVOKED;
use crate::shard::framing::Framing;
use crate::shard::sessions::Sessions;
use crate::ws::CloseCode;

impl Sessions {
    /// Opens the session of a stream that the desk has admitted. Whatever becomes of it, its answer has a head.
    pub(in crate::shard) fn open_stream(&mut self, slot: u32, admission: StreamAdmission, since: Option<u64>) {
        let StreamAdmission { who, topics, head } = admission;
        self.say(slot, head);
        self.slots[slot].dialogue = Some(Dialogue::new(None));
        match who {
            StreamHolder::Key { account, key } => self.receive_account(slot, account, key, &topics),
            StreamHolder::User(claims) => self.receive_user(slot, claims),
        }
        if !self.slots[slot].is_open() {
            return;
        }
        let from = since.unwrap_or(self.position(slot)) + 1;
        for topic in &topics {
            if let StreamTopic::Named(topic) = topic
                && topic.namespace() != Namespace::Alerts
            {
                self.join_topic(slot, topic.as_str(), from);
            }
        }
        if let Some(since) = since {
            self.resume(slot, since);
        }
        match self.slots[slot].has_token() {
            true => self.rooms_timers(slot),
            false => self.start_heartbeat(slot),
        }
    }

    /// Joins what is an account's, not a topic's: its watchlist, the alerts, and an audience that receives nothing and by which
    /// the stream is found when the account changes. The snapshot may be newer than the one that the desk decided by.
    fn receive_account(&mut self, slot: u32, account: AccountId, key: KeyNumber, topics: &[StreamTopic]) {
        let accounts = self.accounts.clone();
        let Some(account) = accounts.account(account).filter(|_| accounts.key_is_live(key)) else {
            return self.close(slot, CloseCode::AUTHENTICATION, KEY_REVOKED);
        };
        let refused = || topics.iter().find_map(|topic| topic.check(account).err());
        if let Some(refused) = (!account.is_operators(key)).then(refused).flatten() {
            return self.close(slot, CloseCode::TIER, &refused.to_string());
        }
        let mut join = |protocol| {
            let audience = self.index.account_audience(Framing::EventStream, protocol, account);
            self.join(slot, audience)
        };
        let home = join(Protocol::Channels);
        let mut places = SmallVec::new();
        for topic in topics {
            match topic {
                StreamTopic::Watchlist => places.push(join(Protocol::Watchlist)),
                StreamTopic::Named(topic) if topic.namespace() == Namespace::Alerts => {
                    places.push(join(Protocol::Tiered));
                }
                StreamTopic::Named(_) => {}
            }
        }
        let socket = &mut self.slots[slot];
        socket.key = Some(key);
        socket.home = Some(home);
        socket.dialogue().stage = Stage::Stream(places);
    }
}
