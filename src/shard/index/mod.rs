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
//! There is all of it once for WebSockets and once for streams of server-sent events ([`Framing`]), because the two get other bytes
//! for one event. A stream may name single wallets, too, and an operator's any topic.
//!
//! Invariant: no event matches two audiences of one socket, because each namespace is served by one kind of audience; a stream
//! has either the whole watchlist or single wallets, and one of a user names no rooms. So nothing is ever delivered twice.

mod audience;
mod wallets;

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;

use super::framing::Framing;
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
    /// By [`Framing`].
    bonds: [Bonds; Framing::ALL.len()],
    /// How many audiences are of streams.
    streams: usize,
}

/// What leads to the audiences of one framing.
#[derive(Default)]
struct Bonds {
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
    framing: Framing,
    audience: Option<Audience>,
}

/// Where an account has sessions.
#[derive(Clone, Copy, Debug)]
pub struct AccountAudience {
    pub framing: Framing,
    pub protocol: Protocol,
    pub account: AccountId,
    pub id: AudienceId,
}

const _: () = assert!(size_of::<Place>() == 64);

impl TopicIndex {
    /// Adds the audiences of a topic in one framing to `matched`.
    pub fn find(&self, topic: &Topic, framing: Framing, matched: &mut Vec<AudienceId>) {
        let bonds = self.bonds(framing);
        match topic.namespace() {
            Namespace::Wallet => {
                let listed = bonds.wallets.of(topic.name()).iter();
                matched.extend(listed.filter(|listed| is_live(&self.audiences, listed)).map(|listed| listed.id));
            }
            Namespace::Alerts => matched.extend(bonds.tiered.values()),
            Namespace::Bot | Namespace::Price | Namespace::Transactions | Namespace::Market => {}
            Namespace::User => matched.extend(bonds.users.get(topic.name())),
            Namespace::System => matched.extend(bonds.users.values()),
            Namespace::Admin => {
                let level = topic.admin_level().expect("an admin topic has a level");
                matched.extend(bonds.admins.range(level..).map(|(_, id)| *id));
            }
        }
        if is_named(topic.namespace(), framing) {
            matched.extend(bonds.topics.get(topic.as_str()));
        }
    }

    /// Whether anybody gets server-sent events.
    pub fn has_streams(&self) -> bool {
        self.streams > 0
    }

    pub fn audience(&mut self, id: AudienceId) -> &mut Audience {
        self.audiences[id as usize].audience.as_mut().expect("an audience in use")
    }

    pub fn bond(&self, id: AudienceId) -> &Bond {
        &self.audiences[id as usize].audience.as_ref().expect("an audience in use").bond
    }

    /// The audience of those who named `topic`.
    pub fn of_topic(&self, framing: Framing, topic: &str) -> Option<AudienceId> {
        self.bonds(framing).topics.get(topic).copied()
    }

    /// The audience of an account's sessions in a protocol.
    pub fn of_account(&self, framing: Framing, protocol: Protocol, account: AccountId) -> Option<AudienceId> {
        self.bonds(framing).accounts(protocol)?.get(&account).copied()
    }

    /// Every audience of an account.
    pub fn audiences_of(&self, account: AccountId) -> impl Iterator<Item = AccountAudience> {
        ACCOUNT_MAPS.into_iter().filter_map(move |(framing, protocol)| {
            let id = self.of_account(framing, protocol, account)?;
            Some(AccountAudience { framing, protocol, account, id })
        })
    }

    /// The same of every account with sessions.
    pub fn account_audiences(&self) -> impl Iterator<Item = AccountAudience> {
        ACCOUNT_MAPS.into_iter().flat_map(|(framing, protocol)| {
            let accounts = self.bonds(framing).accounts(protocol).into_iter().flatten();
            accounts.map(move |(account, id)| AccountAudience { framing, protocol, account: *account, id: *id })
        })
    }

    /// Whether that is still so.
    pub fn is_current(&self, audience: &AccountAudience) -> bool {
        self.of_account(audience.framing, audience.protocol, audience.account) == Some(audience.id)
    }

    /// The audience of an account's sessions in a protocol; where this is its first, a new one, to be joined at once.
    pub fn account_audience(&mut self, framing: Framing, protocol: Protocol, account: &Account) -> AudienceId {
        let known = self.of_account(framing, protocol, account.id);
        known.unwrap_or_else(|| self.open_account(framing, protocol, account))
    }

    /// The same of a user.
    pub fn user_audience(&mut self, framing: Framing, user: &UserId) -> AudienceId {
        self.bonds(framing).users.get(user.as_str()).copied().unwrap_or_else(|| {
            let id = self.open(framing, Bond::User(user.clone()));
            self.bonds_mut(framing).users.insert(user.clone(), id);
            id
        })
    }

    /// The same of those who name a topic.
    pub fn topic_audience(&mut self, framing: Framing, topic: &str) -> AudienceId {
        self.of_topic(framing, topic).unwrap_or_else(|| {
            let id = self.open(framing, Bond::Topic(topic.into()));
            self.bonds_mut(framing).topics.insert(topic.into(), id);
            id
        })
    }

    /// The same of the administrators of a level.
    pub fn admin_audience(&mut self, framing: Framing, level: u32) -> AudienceId {
        self.bonds(framing).admins.get(&level).copied().unwrap_or_else(|| {
            let id = self.open(framing, Bond::Admin(level));
            self.bonds_mut(framing).admins.insert(level, id);
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
        let framing = self.audiences[id as usize].framing;
        let watches = self.bonds(framing).watchlist.get(&account.id) == Some(&id);
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
        let generation = self.audiences[id as usize].generation;
        let wallets = &mut self.bonds_mut(framing).wallets;
        for owner in diff.removed {
            wallets.remove(&owner, id);
        }
        for owner in diff.added {
            wallets.add(owner, Listed { id, generation });
        }
    }

    fn bonds(&self, framing: Framing) -> &Bonds {
        &self.bonds[framing as usize]
    }

    fn bonds_mut(&mut self, framing: Framing) -> &mut Bonds {
        &mut self.bonds[framing as usize]
    }

    fn open_account(&mut self, framing: Framing, protocol: Protocol, account: &Account) -> AudienceId {
        let watches = protocol == Protocol::Watchlist;
        let watchlist = if watches { account.watchlist.clone() } else { Watchlist::empty() };
        let id = self.open(
            framing,
            Bond::Account {
                account: account.id,
                version: account.version,
                watchlist: watchlist.clone(),
                grants: account.grants.clone(),
            },
        );
        let generation = self.audiences[id as usize].generation;
        let bonds = self.bonds_mut(framing);
        let accounts = match protocol {
            Protocol::Watchlist => &mut bonds.watchlist,
            Protocol::Tiered => &mut bonds.tiered,
            Protocol::Channels => &mut bonds.channels,
            other => unreachable!("{other:?} knows no accounts"),
        };
        accounts.insert(account.id, id);
        for owner in watchlist.iter() {
            bonds.wallets.add(owner.clone(), Listed { id, generation });
        }
        id
    }

    fn open(&mut self, framing: Framing, bond: Bond) -> AudienceId {
        let id = self.vacant.pop().unwrap_or_else(|| {
            self.audiences.push(Place::default());
            self.audiences.len() as AudienceId - 1
        });
        let place = &mut self.audiences[id as usize];
        place.framing = framing;
        place.audience = Some(Audience::new(bond));
        self.streams += usize::from(framing == Framing::EventStream);
        id
    }

    fn close(&mut self, id: AudienceId) {
        let place = &mut self.audiences[id as usize];
        let framing = place.framing;
        let audience = place.audience.take().expect("an audience in use");
        place.generation = place.generation.wrapping_add(1);
        self.vacant.push(id);
        self.streams -= usize::from(framing == Framing::EventStream);
        let bonds = &mut self.bonds[framing as usize];
        match *audience.bond {
            Bond::Account { account, watchlist, .. } => {
                for accounts in [&mut bonds.watchlist, &mut bonds.tiered, &mut bonds.channels] {
                    if accounts.get(&account) == Some(&id) {
                        forget(accounts, &account);
                    }
                }
                let audiences = &self.audiences;
                bonds.wallets.forget(watchlist.len(), |listed| is_live(audiences, listed));
            }
            Bond::User(user) => forget(&mut bonds.users, &user),
            Bond::Topic(topic) => forget(&mut bonds.topics, &topic),
            Bond::Admin(level) => drop(bonds.admins.remove(&level)),
        }
    }
}

/// Where accounts have audiences.
const ACCOUNT_MAPS: [(Framing, Protocol); 6] = [
    (Framing::WebSocket, Protocol::Watchlist),
    (Framing::WebSocket, Protocol::Tiered),
    (Framing::WebSocket, Protocol::Channels),
    (Framing::EventStream, Protocol::Watchlist),
    (Framing::EventStream, Protocol::Tiered),
    (Framing::EventStream, Protocol::Channels),
];

impl Bonds {
    fn accounts(&self, protocol: Protocol) -> Option<&Map<AccountId>> {
        match protocol {
            Protocol::Watchlist => Some(&self.watchlist),
            Protocol::Tiered => Some(&self.tiered),
            Protocol::Channels => Some(&self.channels),
            _ => None,
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

/// Whether somebody may have named a topic of that namespace. A stream names single wallets, and an operator's any topic.
fn is_named(namespace: Namespace, framing: Framing) -> bool {
    match namespace {
        Namespace::Bot | Namespace::Price | Namespace::Transactions | Namespace::Market => true,
        Namespace::Wallet | Namespace::User | Namespace::Admin | Namespace::System => framing == Framing::EventStream,
        Namespace::Alerts => false,
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
            let id = self.account_audience(Framing::WebSocket, protocol, account);
            self.join(id, slot, &mut Moves::new())
        }

        fn join_user(&mut self, user: &UserId, slot: u32) -> Membership {
            let id = self.user_audience(Framing::WebSocket, user);
            self.join(id, slot, &mut Moves::new())
        }

        fn join_topic(&mut self, topic: &str, slot: u32) -> Membership {
            let id = self.topic_audience(Framing::WebSocket, topic);
            self.join(id, slot, &mut Moves::new())
        }

        fn join_admin(&mut self, level: u32, slot: u32) -> Membership {
            let id = self.admin_audience(Framing::WebSocket, level);
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
        receivers_in(index, Framing::WebSocket, topic)
    }

    fn receivers_in(index: &mut TopicIndex, framing: Framing, topic: &str) -> Vec<u32> {
        let mut ids = Vec::new();
        index.find(&Topic::parse(topic).unwrap(), framing, &mut ids);
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
        let (entries, owners, live) = index.bonds(Framing::WebSocket).wallets.sizes();
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
        assert_eq!(index.bonds(Framing::WebSocket).wallets.sizes(), (1, 1, 1));
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
        let bonds = index.bonds(Framing::WebSocket);
        assert!(
            bonds.tiered.is_empty() && bonds.topics.is_empty() && bonds.users.is_empty() && bonds.admins.is_empty()
        );
    }

    #[test]
    fn streams_have_audiences_of_their_own() {
        let mut index = TopicIndex::default();
        let one = account(1, 1, [1]);
        index.join_account(Protocol::Watchlist, &one, 1);
        index.join_topic("price:m", 1);
        assert!(!index.has_streams());
        let join = |index: &mut TopicIndex, id, slot| index.join(id, slot, &mut Moves::new());
        let whole = index.account_audience(Framing::EventStream, Protocol::Watchlist, &one);
        let whole = join(&mut index, whole, 2);
        let named = index.topic_audience(Framing::EventStream, "wallet:w1");
        let named = join(&mut index, named, 3);
        let price = index.topic_audience(Framing::EventStream, "price:m");
        let price = join(&mut index, price, 3);
        assert_eq!(receivers(&mut index, "wallet:w1"), [1]);
        assert_eq!(receivers(&mut index, "price:m"), [1]);
        assert_eq!(receivers_in(&mut index, Framing::EventStream, "wallet:w1"), [2, 3]);
        assert_eq!(receivers_in(&mut index, Framing::EventStream, "price:m"), [3]);
        index.follow(whole.audience, &account(1, 2, [2]));
        assert_eq!(receivers_in(&mut index, Framing::EventStream, "wallet:w1"), [3]);
        assert_eq!(receivers_in(&mut index, Framing::EventStream, "wallet:w2"), [2]);
        assert_eq!(receivers(&mut index, "wallet:w1"), [1], "it is followed by itself");
        assert_eq!(index.audiences_of(AccountId(1)).count(), 2);
        for membership in [whole, named, price] {
            assert!(index.has_streams());
            index.leave_alone(membership);
        }
        assert!(!index.has_streams());
        assert_eq!(receivers(&mut index, "price:m"), [1]);
    }
}
