//! Following a newer snapshot: sessions of revoked keys and deleted accounts end, tiers, grants and watchlists act on those
//! that stay.

use std::sync::Arc;

use super::framing::Framing;
use super::index::{AccountAudience, Bond};
use super::sessions::Sessions;
use crate::accounts::{Account, Snapshot, Tier};
use crate::event::Topic;
use crate::protocol::channels::Channel;
use crate::protocol::{ErrorCode, Protocol, SocketError, StreamTopic, channels};
use crate::ws::CloseCode;

pub(super) const KEY_REVOKED: &str = "this API key was revoked";
pub(super) const TIER_TOO_LOW: &str = "the account's tier does not include this stream any more";

/// Whether sessions of a protocol are for accounts of this tier.
pub(super) fn admits(protocol: Protocol, tier: Tier) -> bool {
    match protocol {
        Protocol::Watchlist => tier.may_watchlist(),
        Protocol::Tiered => tier.may_tiered(),
        _ => true,
    }
}

impl Sessions {
    /// From now on `accounts` is who they are.
    pub fn follow_accounts(&mut self, accounts: Arc<Snapshot>) {
        let before = std::mem::replace(&mut self.accounts, accounts.clone());
        let index = &self.index;
        let audiences: Vec<_> = match accounts.changed_since(before.version()) {
            Some(changed) => changed.flat_map(|id| index.audiences_of(id)).collect(),
            None => index.account_audiences().collect(),
        };
        for audience in audiences {
            // An account that changed twice is here twice, and may have lost its last session the first time.
            if !self.index.is_current(&audience) {
                continue;
            }
            let AccountAudience { framing, protocol, account, id } = audience;
            let account = accounts.account(account);
            let Bond::Account { version, grants, .. } = self.index.bond(id) else {
                unreachable!("it is an account's");
            };
            // Whatever changes of an account, its keys included, changes its version.
            if account.is_some_and(|account| account.version == *version) {
                continue;
            }
            let regranted = account.is_some_and(|account| account.grants != *grants);
            for slot in self.index.audience(id).members.clone() {
                self.follow_account(slot, protocol, account, &accounts);
                match account.filter(|_| protocol == Protocol::Channels) {
                    Some(account) if framing == Framing::EventStream => self.follow_topics(slot, account),
                    Some(account) if regranted => self.follow_grants(slot, account),
                    _ => {}
                }
            }
            if let Some(account) = account.filter(|_| self.index.is_current(&audience)) {
                self.index.follow(id, account);
            }
        }
    }

    fn follow_account(&mut self, slot: u32, protocol: Protocol, account: Option<&Arc<Account>>, accounts: &Snapshot) {
        let live = self.slots[slot].key.is_some_and(|key| accounts.key_is_live(key));
        match account.filter(|_| live) {
            None => self.close(slot, CloseCode::AUTHENTICATION, KEY_REVOKED),
            Some(account) if self.streams_anything(slot, account) => {}
            Some(account) if !admits(protocol, account.tier) => self.close(slot, CloseCode::TIER, TIER_TOO_LOW),
            Some(_) => {}
        }
    }

    /// Whether it is the stream of an operator, who may have every topic whatever the account may.
    fn streams_anything(&self, slot: u32, account: &Account) -> bool {
        let socket = &self.slots[slot];
        socket.protocol == Protocol::Stream && socket.key.is_some_and(|key| account.is_operators(key))
    }

    /// Ends a stream that has named what its account may not have any more. There is no word for "this topic has ended" that its
    /// client would have to understand, so it is told by an error and comes back with other topics.
    fn follow_topics(&mut self, slot: u32, account: &Account) {
        if self.streams_anything(slot, account) {
            return;
        }
        let named = self.subscriptions(slot).filter_map(|topic| Topic::parse(topic).ok()).map(StreamTopic::Named);
        let refused = named.map(|topic| topic.check(account)).find_map(Result::err);
        if let Some(refused) = refused {
            self.close(slot, CloseCode::TIER, &refused.to_string());
        }
    }

    /// Ends the subscriptions that an account's grants don't cover any more, and tells so.
    fn follow_grants(&mut self, slot: u32, account: &Account) {
        let channels = self.subscriptions(slot).filter_map(Channel::of);
        let lost: Vec<Channel> =
            channels.filter(|channel| !account.grants.allows(channel.kind, channel.topic.name())).collect();
        for channel in lost {
            self.unsubscribe(slot, channel.topic.as_str());
            let message = format!("the account's grants do not include {} any more", channel.topic);
            self.say(slot, SocketError::new(ErrorCode::Forbidden, message).frame());
            self.say(slot, channels::unsubscribed(&channel, self.position(slot)));
        }
    }
}
