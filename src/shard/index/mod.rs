//! Who gets what: topics → audiences → sockets of this shard.
//!
//! ```text
//!   wallet:DRVR… ──▶ accounts that watch it ───────────▶ [slot 3, slot 912, …]
//!   alerts       ──▶ every account of the tiered ones ─▶ [slot 44]
//!   price:EPj…   ──▶ who named it ─────────────────────▶ [slot 7, slot 8]
//!   user:u1      ──▶ that user      system ──▶ every user      admin:2 ──▶ levels 2, 3, …
//! ```
//!
//! An audience is the sockets that receive the same: all sessions of one account, of one user, of one topic's subscribers. So
//! a watchlist of ten thousand owners is in the index once a shard, however many sockets its account has. Finding an
//! event's audiences is one look-up, however many topics there are; the cost after that is in proportion to them. Pure.
//!
//! Invariant: no event matches two audiences of one socket, because each namespace is served by one kind of audience. So
//! nothing is ever delivered twice.

mod audience;
mod wallets;

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;

use super::socket::Membership;
use crate::accounts::{Account, AccountId, Watchlist};
use crate::event::{Namespace, Topic};
use crate::limits;
use crate::protocol::Protocol;
use crate::tokens::UserId;

pub use audience::{Audience, Bond, Moves};
use wallets::{Listed, WalletLists};

pub type AudienceId = u32;

#[cfg(not(test))]
type Map<K> = HashMap<K, AudienceId, ahash::RandomState>;
/// Walked in the same order by every run of a seed.
#[cfg(test)]
type Map<K> = HashMap<K, AudienceId, std::hash::BuildHasherDefault<std::hash::DefaultHasher>>;

#[derive(Default)]
pub struct TopicIndex {
    audiences: Vec<Place>,
    vacant: Vec<AudienceId>,
    wallets: WalletLists,
    watchlist: Map<AccountId>,
    tiered: Map<AccountId>,
    channels: Map<AccountId>,
    users: Map<UserId>,
    topics: Map<Box<str>>,
    admins: BTreeMap<u32, AudienceId>,
}

/// One line of the processor's caches: an event finds its audiences anywhere among a hundred thousand.
#[derive(Default)]
#[repr(align(64))]
struct Place {
    generation: u32,
    audience: Option<Audience>,
}

const _: () = assert!(size_of::<Place>() == 64);

impl TopicIndex {
    /// Adds the audiences of a topic to `matched`.
    pub fn find(&self, topic: &Topic, matched: &mut Vec<AudienceId>) {
        match topic.namespace() {
            Namespace::Wallet => {
                let listed = self.wallets.of(topic.name()).iter();
                matched.extend(listed.filter(|listed| is_live(&self.audiences, listed)).map(|listed| listed.id));
            }
            Namespace::Alerts => matched.extend(self.tiered.values()),
            Namespace::Bot | Namespace::Price | Namespace::Transactions | Namespace::Market => {
                matched.extend(self.topics.get(topic.as_str()));
            }
            Namespace::User => matched.extend(self.users.get(topic.name())),
            Namespace::System => matched.extend(self.users.values()),
            Namespace::Admin => {
                let level = topic.admin_level().expect("an admin topic has a level");
                matched.extend(self.admins.range(level..).map(|(_, id)| *id));
            }
        }
    }

    pub fn audience(&mut self, id: AudienceId) -> &mut Audience {
        self.audiences[id as usize].audience.as_mut().expect("an audience in use")
    }

    pub fn bond(&self, id: AudienceId) -> &Bond {
        &self.audiences[id as usize].audience.as_ref().expect("an audience in use").bond
    }

    /// The audience of those who named `topic`.
    pub fn of_topic(&self, topic: &str) -> Option<AudienceId> {
        self.topics.get(topic).copied()
    }

    /// The audience of an account's sessions in a protocol.
    pub fn of_account(&self, protocol: Protocol, account: AccountId) -> Option<AudienceId> {
        self.accounts(protocol)?.get(&account).copied()
    }

    /// The protocol, the account and the audience of each protocol that the account has sessions in.
    pub fn audiences_of(&self, account: AccountId) -> impl Iterator<Item = (Protocol, AccountId, AudienceId)> {
        let protocols = [Protocol::Watchlist, Protocol::Tiered, Protocol::Channels].into_iter();
        protocols.filter_map(move |protocol| Some((protocol, account, self.of_account(protocol, account)?)))
    }

    /// The same of every account with sessions.
    pub fn account_audiences(&self) -> impl Iterator<Item = (Protocol, AccountId, AudienceId)> {
        let of = |protocol| {
            let accounts = self.accounts(protocol).into_iter().flatten();
            accounts.map(move |(account, id)| (protocol, *account, *id))
        };
        of(Protocol::Watchlist).chain(of(Protocol::Tiered)).chain(of(Protocol::Channels))
    }

    /// The audience of an account's sessions in a protocol; where this is its first, a new one, to be joined at once.
    pub fn account_audience(&mut self, protocol: Protocol, account: &Account) -> AudienceId {
        self.of_account(protocol, account.id).unwrap_or_else(|| self.open_account(protocol, account))
    }

    /// The same of a user.
    pub fn user_audience(&mut self, user: &UserId) -> AudienceId {
        self.users.get(user.as_str()).copied().unwrap_or_else(|| {
            let id = self.open(Bond::User(user.clone()));
            self.users.insert(user.clone(), id);
            id
        })
    }

    /// The same of those who name a topic.
    pub fn topic_audience(&mut self, topic: &str) -> AudienceId {
        self.of_topic(topic).unwrap_or_else(|| {
            let id = self.open(Bond::Topic(topic.into()));
            self.topics.insert(topic.into(), id);
            id
        })
    }

    /// The same of the administrators of a level.
    pub fn admin_audience(&mut self, level: u32) -> AudienceId {
        self.admins.get(&level).copied().unwrap_or_else(|| {
            let id = self.open(Bond::Admin(level));
            self.admins.insert(level, id);
            id
        })
    }

    /// Adds a live socket to an audience. Whoever has to move for it is told in `moves`, here as everywhere.
    pub fn join(&mut self, id: AudienceId, slot: u32, moves: &mut Moves) -> Membership {
        let position = self.audience(id).join(slot, moves);
        Membership { audience: id, position }
    }

    /// Takes a socket out. An audience that nobody is in any more is forgotten.
    pub fn leave(&mut self, membership: Membership, moves: &mut Moves) {
        let audience = self.audience(membership.audience);
        audience.leave(membership.position, moves);
        if audience.members.is_empty() {
            self.close(membership.audience);
        }
    }

    /// Makes a live member one that is behind.
    pub fn fall_behind(&mut self, membership: Membership, moves: &mut Moves) -> Membership {
        let position = self.audience(membership.audience).fall_behind(membership.position, moves);
        Membership { position, ..membership }
    }

    /// Makes a member that is behind live.
    pub fn go_live(&mut self, membership: Membership, moves: &mut Moves) -> Membership {
        let position = self.audience(membership.audience).go_live(membership.position, moves);
        Membership { position, ..membership }
    }

    /// Brings an account's audience up to its present version, and to its watchlist where that decides what it receives.
    pub fn follow(&mut self, id: AudienceId, account: &Account) {
        let watches = self.watchlist.get(&account.id) == Some(&id);
        let Bond::Account { version, watchlist, grants, .. } = &mut *self.audience(id).bond else {
            unreachable!("only accounts are followed");
        };
        *version = account.version;
        *grants = account.grants.clone();
        if !watches || watchlist.is_same(&account.watchlist) {
            return;
        }
        let before = std::mem::replace(watchlist, account.watchlist.clone());
        let diff = before.diff(&account.watchlist);
        for owner in diff.removed {
            self.wallets.remove(&owner, id);
        }
        let generation = self.audiences[id as usize].generation;
        for owner in diff.added {
            self.wallets.add(owner, Listed { id, generation });
        }
    }

    fn accounts(&self, protocol: Protocol) -> Option<&Map<AccountId>> {
        match protocol {
            Protocol::Watchlist => Some(&self.watchlist),
            Protocol::Tiered => Some(&self.tiered),
            Protocol::Channels => Some(&self.channels),
            _ => None,
        }
    }

    fn open_account(&mut self, protocol: Protocol, account: &Account) -> AudienceId {
        let watches = protocol == Protocol::Watchlist;
        let watchlist = if watches { account.watchlist.clone() } else { Watchlist::empty() };
        let id = self.open(Bond::Account {
            account: account.id,
            version: account.version,
            watchlist: watchlist.clone(),
            grants: account.grants.clone(),
        });
        let accounts = match protocol {
            Protocol::Watchlist => &mut self.watchlist,
            Protocol::Tiered => &mut self.tiered,
            Protocol::Channels => &mut self.channels,
            other => unreachable!("{other:?} knows no accounts"),
        };
        accounts.insert(account.id, id);
        let generation = self.audiences[id as usize].generation;
        for owner in watchlist.iter() {
            self.wallets.add(owner.clone(), Listed { id, generation });
        }
        id
    }

    fn open(&mut self, bond: Bond) -> AudienceId {
        let id = self.vacant.pop().unwrap_or_else(|| {
            self.audiences.push(Place::default());
            self.audiences.len() as AudienceId - 1
        });
        self.audiences[id as usize].audience = Some(Audience::new(bond));
        id
    }

    fn close(&mut self, id: AudienceId) {
        let place = &mut self.audiences[id as usize];
        let audience = place.audience.take().expect("an audience in use");
        place.generation = place.generation.wrapping_add(1);
        self.vacant.push(id);
        match *audience.bond {
            Bond::Account { account, watchlist, .. } => {
                for accounts in [&mut self.watchlist, &mut self.tiered, &mut self.channels] {
                    if accounts.get(&account) == Some(&id) {
                        forget(accounts, &account);
                    }
                }
                let audiences = &self.audiences;
                self.wallets.forget(watchlist.len(), |listed| is_live(audiences, listed));
            }
            Bond::User(user) => forget(&mut self.users, &user),
            Bond::Topic(topic) => forget(&mut self.topics, &topic),
            Bond::Admin(level) => drop(self.admins.remove(&level)),
        }
    }
}

/// Removes an entry. Some maps are walked whole for an event, so one that has shrunk gives its room back.
fn forget<K: Hash + Eq>(map: &mut Map<K>, key: &K) {
    map.remove(key);
    if map.len() * limits::INDEX_ROOM_FACTOR_MAX < map.capacity() {
        map.shrink_to(map.len() * 2);
    }
}

fn is_live(audiences: &[Place], listed: &Listed) -> bool {
    audiences[listed.id as usize].generation == listed.generation
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accounts::{AccountName, Grants, Owner, Tier};

    fn account(number: u64, version: u64, owners: impl IntoIterator<Item = u32>) -> Account {
        let owners = owners.into_iter().map(|owner| format!("w{owner}").parse::<Owner>().unwrap());
        Account {
            id: AccountId(number),
            name: "someone".parse::<AccountName>().unwrap(),
            tier: Tier::Elite,
            grants: Grants::none(),
            watchlist: owners.collect(),
            keys: [].into(),
            version,
        }
    }

    impl TopicIndex {
        fn join_account(&mut self, protocol: Protocol, account: &Account, slot: u32) -> Membership {
            let id = self.account_audience(protocol, account);
            self.join(id, slot, &mut Moves::new())
        }

        fn join_user(&mut self, user: &UserId, slot: u32) -> Membership {
            let id = self.user_audience(user);
            self.join(id, slot, &mut Moves::new())
        }

        fn join_topic(&mut self, topic: &str, slot: u32) -> Membership {
            let id = self.topic_audience(topic);
            self.join(id, slot, &mut Moves::new())
        }

        fn join_admin(&mut self, level: u32, slot: u32) -> Membership {
            let id = self.admin_audience(level);
            self.join(id, slot, &mut Moves::new())
        }

        /// Returns who was moved.
        fn leave_alone(&mut self, membership: Membership) -> Option<u32> {
            let mut moves = Moves::new();
            self.leave(membership, &mut moves);
            moves.first().map(|(slot, _)| *slot)
        }
    }

    /// The slots that get an event of `topic`, each as often as it would.
    fn receivers(index: &mut TopicIndex, topic: &str) -> Vec<u32> {
        let mut ids = Vec::new();
        index.find(&Topic::parse(topic).unwrap(), &mut ids);
        let mut slots: Vec<u32> = ids.into_iter().flat_map(|id| index.audience(id).members.clone()).collect();
        slots.sort_unstable();
        slots
    }

    #[test]
    fn an_owner_leads_to_the_accounts_that_watch_it() {
        let mut index = TopicIndex::default();
        index.join_account(Protocol::Watchlist, &account(1, 1, [1, 2]), 10);
        index.join_account(Protocol::Watchlist, &account(2, 1, [2, 3]), 11);
        index.join_account(Protocol::Watchlist, &account(2, 1, [2, 3]), 12);
        assert_eq!(receivers(&mut index, "wallet:w1"), [10]);
        assert_eq!(receivers(&mut index, "wallet:w2"), [10, 11, 12]);
        assert!(receivers(&mut index, "wallet:w9").is_empty());
    }

    #[test]
    fn an_account_without_sockets_is_no_audience_even_if_its_place_is_used_again() {
        let mut index = TopicIndex::default();
        let membership = index.join_account(Protocol::Watchlist, &account(1, 1, [1]), 10);
        index.leave_alone(membership);
        index.join_account(Protocol::Watchlist, &account(2, 1, [2]), 11);
        assert!(receivers(&mut index, "wallet:w1").is_empty());
        index.join_account(Protocol::Watchlist, &account(1, 1, [1]), 12);
        assert_eq!(receivers(&mut index, "wallet:w1"), [12]);
    }

    #[test]
    fn a_changed_watchlist_is_followed_by_its_difference() {
        let mut index = TopicIndex::default();
        let membership = index.join_account(Protocol::Watchlist, &account(1, 1, [1, 2]), 10);
        index.follow(membership.audience, &account(1, 2, [2, 3]));
        assert!(receivers(&mut index, "wallet:w1").is_empty());
        assert_eq!(receivers(&mut index, "wallet:w2"), [10]);
        assert_eq!(receivers(&mut index, "wallet:w3"), [10]);
    }

    #[test]
    fn the_one_that_takes_a_leavers_position_is_told() {
        let mut index = TopicIndex::default();
        let one = account(1, 1, [1]);
        let first = index.join_account(Protocol::Watchlist, &one, 10);
        index.join_account(Protocol::Watchlist, &one, 11);
        index.join_account(Protocol::Watchlist, &one, 12);
        assert_eq!(index.leave_alone(first), Some(12));
        assert_eq!(index.audience(first.audience).members[..], [12, 11]);
    }

    #[test]
    fn reconnecting_for_ever_does_not_grow_the_index() {
        let mut index = TopicIndex::default();
        index.join_account(Protocol::Watchlist, &account(1, 1, 0..100), 1);
        for round in 0..2_000 {
            let membership = index.join_account(Protocol::Watchlist, &account(2, 1, 0..50), 10);
            index.leave_alone(membership);
            let membership = index.join_account(Protocol::Watchlist, &account(3, 1, round * 10..round * 10 + 10), 11);
            index.leave_alone(membership);
        }
        let (entries, owners, live) = index.wallets.sizes();
        assert!(entries <= 100 + 2 * limits::DEAD_LISTINGS_MIN, "{entries} entries");
        assert!(owners <= 100 + 2 * limits::DEAD_LISTINGS_MIN);
        assert_eq!(live, 100);
    }

    #[test]
    fn changing_a_watchlist_for_ever_does_not_grow_the_index() {
        let mut index = TopicIndex::default();
        let membership = index.join_account(Protocol::Watchlist, &account(1, 1, [0]), 10);
        for owner in 1..1_000 {
            index.follow(membership.audience, &account(1, 1 + u64::from(owner), [owner]));
        }
        assert_eq!(index.wallets.sizes(), (1, 1, 1));
    }

    #[test]
    fn each_namespace_leads_to_its_own_protocols_sockets() {
        let mut index = TopicIndex::default();
        let one = account(1, 1, [1]);
        index.join_account(Protocol::Watchlist, &one, 1);
        index.join_account(Protocol::Tiered, &one, 2);
        index.join_account(Protocol::Channels, &one, 3);
        index.join_topic("price:m", 3);
        index.join_user(&UserId::new("u"), 4);
        index.join_topic("market:M", 4);
        index.join_admin(2, 4);
        index.join_user(&UserId::new("v"), 5);
        index.join_admin(1, 5);
        for (topic, slots) in [
            ("wallet:w1", &[1][..]),
            ("alerts", &[2]),
            ("price:m", &[3]),
            ("bot:m", &[]),
            ("transactions:m", &[]),
            ("user:u", &[4]),
            ("user:uv", &[]),
            ("market:M", &[4]),
            ("admin:0", &[4, 5]),
            ("admin:1", &[4, 5]),
            ("admin:2", &[4]),
            ("admin:3", &[]),
            ("system", &[4, 5]),
        ] {
            assert_eq!(receivers(&mut index, topic), slots, "{topic}");
        }
    }

    #[test]
    fn what_nobody_listens_to_is_forgotten() {
        let mut index = TopicIndex::default();
        for slot in 0..2_000 {
            let one = account(slot.into(), 1, [slot]);
            let memberships = [
                index.join_account(Protocol::Tiered, &one, slot),
                index.join_topic(&format!("price:{slot}"), slot),
                index.join_user(&UserId::new(&format!("u{slot}")), slot),
                index.join_admin(slot, slot),
            ];
            for membership in memberships {
                index.leave_alone(membership);
            }
        }
        assert_eq!(index.audiences.len(), 4, "places are used again");
        assert!(
            index.tiered.is_empty() && index.topics.is_empty() && index.users.is_empty() && index.admins.is_empty()
        );
    }
}
