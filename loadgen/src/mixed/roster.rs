//! Who each socket of a run is, what it subscribes to, and what it must therefore get.
//!
//! A member is made from the seed and its socket's number whenever it is needed. Only its class stays: sockets that hear
//! the same topics share one list of the events they must get, in order.

use std::collections::{BTreeSet, HashMap};

use fastrand::Rng;

use super::protocol::Protocol;
use super::topic::{ADMIN_LEVELS, BOTS, MARKETS, PRICES, TRANSACTION_WALLETS, Topic, WALLETS_WATCHED};
use super::traffic::{Traffic, mix};

/// Sockets of one user of the rooms protocol.
const SOCKETS_PER_USER: u32 = 5;

/// Wallets of one account's watchlist. With eight accounts every watched wallet is on about two of them.
const WALLETS_PER_WATCHLIST: usize = 9;

/// An account's key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscriberKey {
    pub key: String,
    /// Whether its account may subscribe to every bot.
    pub may_bots: bool,
}

/// What a socket asks for, in order, before the first event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    Subscribe(Topic),
    Unsubscribe(Topic),
    /// A subscription that the server must refuse.
    Forbidden(Topic),
    /// The rooms protocol's list of what it is subscribed to.
    List,
}

/// One socket's part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    pub protocol: Protocol,
    pub identity: Identity,
    pub wishes: Vec<Wish>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Identity {
    /// The number of a subscriber key.
    Key(usize),
    /// A user of the rooms protocol. `by_header`: its token comes with the upgrade, not as a message.
    User { user: u32, admin_level: u8, by_header: bool },
}

/// The sockets with one set of topics.
#[derive(Debug)]
pub struct Class {
    /// Sorted.
    pub topics: Vec<Topic>,
    /// The events on those topics, ascending.
    pub events: Vec<u32>,
}

/// All sockets of a run.
#[derive(Debug)]
pub struct Roster {
    seed: u64,
    sockets: u32,
    users: u32,
    keys: Vec<SubscriberKey>,
    pub classes: Vec<Class>,
    class_of: Vec<u32>,
}

impl Roster {
    /// How many users the sockets of the rooms protocol are shared out among.
    pub fn users(sockets_per_protocol: u32) -> u32 {
        sockets_per_protocol.div_ceil(SOCKETS_PER_USER)
    }

    pub fn new(seed: u64, sockets_per_protocol: u32, keys: Vec<SubscriberKey>, traffic: &Traffic) -> Self {
        let (sockets, users) = (sockets_per_protocol * 4, Self::users(sockets_per_protocol));
        let mut roster = Self { seed, sockets, users, keys, classes: Vec::new(), class_of: Vec::new() };
        let mut known = HashMap::new();
        for socket in 0..sockets {
            let topics = roster.topics(&roster.member(socket));
            let class = *known.entry(topics).or_insert_with_key(|topics| {
                roster.classes.push(Class { topics: topics.clone(), events: Vec::new() });
                roster.classes.len() as u32 - 1
            });
            roster.class_of.push(class);
        }
        let mut classes_of_topic: HashMap<Topic, Vec<usize>> = HashMap::new();
        for (class, of) in roster.classes.iter().enumerate() {
            for topic in &of.topics {
                classes_of_topic.entry(*topic).or_default().push(class);
            }
        }
        for event in 0..traffic.events() {
            for class in classes_of_topic.get(&traffic.topic(event)).into_iter().flatten() {
                roster.classes[*class].events.push(event);
            }
        }
        roster
    }

    pub fn sockets(&self) -> u32 {
        self.sockets
    }

    pub fn keys(&self) -> &[SubscriberKey] {
        &self.keys
    }

    pub fn class_of(&self, socket: u32) -> u32 {
        self.class_of[socket as usize]
    }

    /// How many deliveries there are when every socket gets all of its events.
    pub fn deliveries(&self) -> u64 {
        self.class_of.iter().map(|class| self.classes[*class as usize].events.len() as u64).sum()
    }

    /// The wallets that the account of a subscriber key watches.
    pub fn watchlist(&self, key: usize) -> Vec<Topic> {
        let mut rng = Rng::with_seed(mix(self.seed, (1 << 40) + key as u64));
        some(&mut rng, WALLETS_PER_WATCHLIST, WALLETS_WATCHED, Topic::Wallet).into_iter().collect()
    }

    pub fn member(&self, socket: u32) -> Member {
        let mut rng = Rng::with_seed(mix(self.seed, (1 << 41) + u64::from(socket)));
        let (protocol, number) = (Protocol::of_socket(socket), Protocol::member_of_socket(socket));
        let key = number as usize % self.keys.len();
        let (identity, wishes) = match protocol {
            Protocol::Watchlist | Protocol::Tiered => (Identity::Key(key), Vec::new()),
            Protocol::Channels => (Identity::Key(key), channels_wishes(&mut rng, self.keys[key].may_bots)),
            Protocol::Rooms => {
                let user = number % self.users;
                // Half of the users are no administrators.
                let admin_level = (user % (2 * u32::from(ADMIN_LEVELS))).saturating_sub(2) as u8;
                let identity = Identity::User { user, admin_level, by_header: rng.bool() };
                (identity, self.rooms_wishes(&mut rng, user, admin_level))
            }
        };
        Member { protocol, identity, wishes }
    }

    /// What a member hears once its wishes are granted.
    pub fn topics(&self, member: &Member) -> Vec<Topic> {
        let mut topics: BTreeSet<Topic> = match (member.protocol, member.identity) {
            (Protocol::Watchlist, Identity::Key(key)) => self.watchlist(key).into_iter().collect(),
            (Protocol::Tiered, _) => [Topic::Alerts].into(),
            (_, Identity::Key(_)) => BTreeSet::new(),
            (_, Identity::User { user, admin_level, .. }) => {
                [Topic::User(user), Topic::System].into_iter().chain((1..=admin_level).map(Topic::Admin)).collect()
            }
        };
        for wish in &member.wishes {
            match wish {
                Wish::Subscribe(topic) => _ = topics.insert(*topic),
                Wish::Unsubscribe(topic) => _ = topics.remove(topic),
                Wish::Forbidden(_) | Wish::List => {}
            }
        }
        topics.into_iter().collect()
    }

    fn rooms_wishes(&self, rng: &mut Rng, user: u32, admin_level: u8) -> Vec<Wish> {
        let keep = some_of(rng, 1..=5, MARKETS, Topic::Market);
        let give_up = some_of(rng, 0..=2, MARKETS, Topic::Market);
        let mut forbidden = Vec::new();
        if rng.u8(0..4) == 0 {
            // The one user past the last has no sockets, but events.
            forbidden.push(Topic::User((user + 1) % (self.users + 1)));
        }
        if admin_level < ADMIN_LEVELS && rng.u8(0..4) == 0 {
            forbidden.push(Topic::Admin(admin_level + 1));
        }
        let mut wishes = wishes(rng, keep, give_up, forbidden);
        if rng.u8(0..8) == 0 {
            wishes.push(Wish::List);
        }
        wishes
    }
}

fn channels_wishes(rng: &mut Rng, may_bots: bool) -> Vec<Wish> {
    let mut keep = some_of(rng, 1..=4, PRICES, Topic::Price);
    keep.extend(some_of(rng, 0..=3, TRANSACTION_WALLETS, Topic::Transactions));
    let mut give_up = some_of(rng, 0..=1, PRICES, Topic::Price);
    give_up.extend(some_of(rng, 0..=1, TRANSACTION_WALLETS, Topic::Transactions));
    let mut forbidden = Vec::new();
    if may_bots {
        keep.extend(some_of(rng, 0..=2, BOTS, Topic::Bot));
        give_up.extend(some_of(rng, 0..=1, BOTS, Topic::Bot));
    } else if rng.u8(0..4) == 0 {
        forbidden.push(Topic::Bot(rng.u16(0..BOTS)));
    }
    wishes(rng, keep, give_up, forbidden)
}

/// Subscriptions in any order, one of them perhaps twice (which adds nothing), then what is given up again.
fn wishes(rng: &mut Rng, keep: BTreeSet<Topic>, give_up: BTreeSet<Topic>, forbidden: Vec<Topic>) -> Vec<Wish> {
    let give_up: Vec<Topic> = give_up.difference(&keep).copied().collect();
    let mut wishes: Vec<Wish> = keep.iter().chain(&give_up).map(|topic| Wish::Subscribe(*topic)).collect();
    if rng.u8(0..4) == 0 {
        wishes.push(wishes[rng.usize(0..wishes.len())]);
    }
    wishes.extend(forbidden.into_iter().map(Wish::Forbidden));
    rng.shuffle(&mut wishes);
    wishes.extend(give_up.into_iter().map(Wish::Unsubscribe));
    wishes
}

fn some_of(rng: &mut Rng, count: std::ops::RangeInclusive<usize>, of: u16, topic: fn(u16) -> Topic) -> BTreeSet<Topic> {
    let count = rng.usize(count);
    some(rng, count, of, topic)
}

fn some(rng: &mut Rng, count: usize, of: u16, topic: fn(u16) -> Topic) -> BTreeSet<Topic> {
    rng.choose_multiple(0..of, count).into_iter().map(topic).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roster() -> (Traffic, Roster) {
        let keys = (0..4).map(|n| SubscriberKey { key: format!("key{n}"), may_bots: n == 3 }).collect();
        let traffic = Traffic::new(3, 2000, Roster::users(300));
        let roster = Roster::new(3, 300, keys, &traffic);
        (traffic, roster)
    }

    #[test]
    fn a_class_has_exactly_the_events_of_its_members_topics() {
        let (traffic, roster) = roster();
        for socket in 0..roster.sockets() {
            let topics = roster.topics(&roster.member(socket));
            let class = &roster.classes[roster.class_of(socket) as usize];
            let expected: Vec<u32> = (0..2000).filter(|event| topics.contains(&traffic.topic(*event))).collect();
            assert_eq!(class.events, expected, "socket {socket}");
        }
    }

    #[test]
    fn every_kind_of_wish_and_identity_is_there() {
        let (_, roster) = roster();
        let members: Vec<Member> = (0..roster.sockets()).map(|socket| roster.member(socket)).collect();
        let some = |fits: fn(&Wish) -> bool| members.iter().filter(|member| member.wishes.iter().any(fits)).count();
        assert!(some(|wish| matches!(wish, Wish::Unsubscribe(Topic::Market(_)))) > 50);
        assert!(some(|wish| matches!(wish, Wish::Unsubscribe(Topic::Price(_)))) > 50);
        assert!(some(|wish| matches!(wish, Wish::Subscribe(Topic::Bot(_)))) > 20);
        assert!(some(|wish| matches!(wish, Wish::Forbidden(Topic::Bot(_)))) > 20);
        assert!(some(|wish| matches!(wish, Wish::Forbidden(Topic::User(_)))) > 20);
        assert!(some(|wish| matches!(wish, Wish::Forbidden(Topic::Admin(_)))) > 20);
        assert!(some(|wish| matches!(wish, Wish::List)) > 10);
        for level in 0..=ADMIN_LEVELS {
            assert!(members.iter().any(|member| matches!(member.identity,
                Identity::User { admin_level, .. } if admin_level == level)));
        }
    }

    #[test]
    fn a_key_without_the_grant_never_hears_a_bot() {
        let (_, roster) = roster();
        for socket in (0..roster.sockets()).filter(|socket| Protocol::of_socket(*socket) == Protocol::Channels) {
            let member = roster.member(socket);
            let hears_bots = roster.topics(&member).iter().any(|topic| matches!(topic, Topic::Bot(_)));
            assert!(!hears_bots || member.identity == Identity::Key(3));
        }
    }

    #[test]
    fn watchlists_overlap_and_leave_some_wallets_out() {
        let (_, roster) = roster();
        let lists: Vec<Vec<Topic>> = (0..4).map(|key| roster.watchlist(key)).collect();
        assert!(lists.iter().all(|list| list.len() == WALLETS_PER_WATCHLIST));
        let all: BTreeSet<Topic> = lists.iter().flatten().copied().collect();
        assert!(all.len() < lists.iter().map(Vec::len).sum(), "some wallet is on two lists");
        assert!(all.iter().all(|topic| *topic < Topic::Wallet(WALLETS_WATCHED)));
    }
}
