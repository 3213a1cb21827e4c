//! A plane with 1,000 sockets in 1,000 accounts, which are in groups: the members of a group receive the same topics.

use std::path::Path;
use std::sync::Arc;

use stentor::accounts::{
    Account, AccountId, ApiKey, Grants, KeyId, KeyNumber, LiveKey, Owner, Role, Snapshot, Tier, Watchlist,
};
use stentor::clock::{self, Nanos};
use stentor::event::{Event, Topic};
use stentor::gate::{Entry, Gate, Policy};
use stentor::hub::{EncodedBatch, Origin};
use stentor::limits;
use stentor::protocol::{Admission, Protocol, SessionRules, Terms};
use stentor::shard::{Plane, SessionParts, Sessions, ShardSizes, ShardStats};
use stentor::tokens::{KeySource, TokenSettings, Verifier};
use stentor::ws::{Opcode, client};

use crate::ends::{FarEnds, Wrong};

pub const SOCKETS: usize = 1_000;
pub const TOPICS: usize = 100_000;
/// Slots beyond the crowd's own, for those who come in later.
pub const MORE_SLOTS: usize = 100;

/// The names of all topics of a case, and who is in which group.
pub struct Cast {
    pub protocol: Protocol,
    /// By group.
    names: Vec<Vec<String>>,
    /// The group of each member, in no order: members of a group are no neighbours in memory.
    group_of: Vec<usize>,
    keys: Vec<ApiKey>,
}

/// How much of the cast's topics a crowd receives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spread {
    /// One topic, which goes to the first group. Nobody else receives anything.
    One,
    /// One topic a group.
    OneEach,
    /// All of them.
    All,
}

impl Cast {
    /// `receivers` members are in a group, and get each event of its topics.
    pub fn new(protocol: Protocol, receivers: usize, random: &mut fastrand::Rng) -> Self {
        let groups = SOCKETS / receivers;
        let names = (0..groups).map(|_| (0..TOPICS / groups).map(|_| name(random)).collect()).collect();
        let mut group_of: Vec<usize> = (0..SOCKETS).map(|member| member % groups).collect();
        random.shuffle(&mut group_of);
        let keys = (0..SOCKETS).map(|_| ApiKey::generate().expect("the kernel's random numbers")).collect();
        Self { protocol, names, group_of, keys }
    }

    pub fn groups(&self) -> usize {
        self.names.len()
    }

    /// The topics of a group.
    pub fn names(&self, group: usize, spread: Spread) -> &[String] {
        match spread {
            Spread::One if group == 0 => &self.names[0][..1],
            Spread::One => &[],
            Spread::OneEach => &self.names[group][..1],
            Spread::All => &self.names[group],
        }
    }

    pub fn members(&self, group: usize) -> Vec<usize> {
        (0..SOCKETS).filter(|member| self.group_of[*member] == group).collect()
    }

    /// Every member's account. As when they are read from the database, each has its own copy of its owners' names.
    pub fn accounts(&self, spread: Spread) -> Snapshot {
        let accounts = (0..SOCKETS).map(|member| {
            let owners = match self.protocol {
                Protocol::Watchlist => self.names(self.group_of[member], spread),
                _ => &[],
            };
            account(member, &self.keys[member], 1, watchlist(owners))
        });
        Snapshot::empty().with_changes(1, accounts)
    }

    /// What a member's client says once it is connected.
    fn greeting(&self, member: usize, spread: Spread) -> Vec<u8> {
        let mut frames = Vec::new();
        if self.protocol == Protocol::Channels {
            let mut say =
                |text: String| client::append_client_frame(&mut frames, Opcode::Text, text.as_bytes(), [7; 4]);
            say(format!(r#"{{"type":"auth","apiKey":"{}"}}"#, self.keys[member].expose()));
            for name in self.names(self.group_of[member], spread) {
                say(format!(r#"{{"type":"subscribe","channel":"price","mint":"{name}"}}"#));
            }
        }
        frames
    }
}

/// A name as long as a wallet's.
pub fn name(random: &mut fastrand::Rng) -> String {
    (0..44).map(|_| random.alphanumeric()).collect()
}

pub fn watchlist(names: &[String]) -> Watchlist {
    names.iter().map(|name| name.parse::<Owner>().expect("a name of letters and digits")).collect()
}

pub fn account(member: usize, key: &ApiKey, version: u64, watchlist: Watchlist) -> Arc<Account> {
    let key = LiveKey {
        number: KeyNumber(member as u64),
        id: KeyId(member as u64),
        role: Role::Subscriber,
        hash: key.hash(),
    };
    Arc::new(Account {
        id: AccountId(member as u64),
        name: format!("account-{member}").parse().expect("a sound name"),
        tier: Tier::Elite,
        grants: Grants::of_a_new_account(),
        watchlist,
        keys: [key].into(),
        version,
    })
}

/// The plane, and the clients of its sockets.
pub struct Crowd<F: FarEnds> {
    plane: Plane<F::Kernel>,
    ends: F,
    gate: Arc<Gate>,
    stats: Arc<ShardStats>,
    protocol: Protocol,
    joined: usize,
    seq: u64,
}

impl<F: FarEnds> Crowd<F> {
    pub fn assemble((kernel, ends): (F::Kernel, F), cast: &Cast, spread: Spread, accounts: Arc<Snapshot>) -> Self {
        let gate = Arc::new(Gate::new(Policy::default()));
        let stats = Arc::new(ShardStats::default());
        let secret = KeySource::Secret("no token comes in this bench, ever".into());
        let settings = TokenSettings { source: secret, ..Default::default() };
        let tokens = Arc::new(Verifier::open(&settings, Path::new("/nonexistent")).expect("a secret is at hand"));
        let rules = SessionRules { messages_per_second: 0, subscriptions_max: 0, ..Default::default() };
        let parts = SessionParts { accounts, tokens, gate: gate.clone(), rules, stats: stats.clone(), seq: 0 };
        let sizes = ShardSizes { slots: (SOCKETS + MORE_SLOTS) as u32, log_bytes: limits::SHARD_LOG_BYTES };
        let plane = Plane::new(kernel, Sessions::new(sizes, parts));
        let mut crowd = Self { plane, ends, gate, stats, protocol: cast.protocol, joined: 0, seq: 0 };
        for member in 0..SOCKETS {
            crowd.join(cast.greeting(member, spread));
        }
        crowd
    }

    /// Lets the next member in, whose account has its number. Returns its number and how long that took the shard.
    pub fn join(&mut self, greeting: Vec<u8>) -> (usize, Nanos) {
        let member = self.joined;
        self.joined += 1;
        let number = member as u64;
        let admission = match self.protocol {
            Protocol::Channels => Admission::Channels,
            protocol => Admission::Keyed { protocol, account: AccountId(number), key: KeyNumber(number) },
        };
        let socket = self.ends.connect();
        let sent_before = ShardStats::get(&self.stats.sent_bytes);
        let began = clock::now();
        self.plane
            .enter(socket, admission, Terms::default(), Entry::uncounted(&self.gate), greeting)
            .expect("a slot for each");
        self.plane.collect();
        while self.plane.turn(0, clock::now) {
            self.plane.collect();
        }
        let took = clock::now() - began;
        self.ends.pass_over(member, ShardStats::get(&self.stats.sent_bytes) - sent_before);
        (member, took)
    }

    /// Gives the plane newer accounts. Returns how long it took to follow them.
    pub fn follow(&mut self, accounts: Arc<Snapshot>) -> Nanos {
        let began = clock::now();
        self.plane.follow_accounts(accounts);
        clock::now() - began
    }

    /// Publishes one event, sees that these members got it, and returns how long the hub and the shard took, from the parsed
    /// event until the kernel had it for everybody.
    pub fn publish(&mut self, name: &str, members: &[usize]) -> Result<Nanos, Wrong> {
        self.publish_burst(name, 1, members)
    }

    /// The same with a batch of such events, which leave in one send a socket.
    pub fn publish_burst(&mut self, name: &str, events: usize, members: &[usize]) -> Result<Nanos, Wrong> {
        let (burst, same) = (vec![self.event(name); events], vec![self.event(name); events]);
        let first_seq = self.seq + 1;
        self.seq += events as u64;
        let began = clock::now();
        let batch = Arc::new(EncodedBatch::encode(burst, first_seq, began, Origin::default()));
        self.plane.inbox().extend([batch]);
        self.plane.collect();
        while self.plane.turn(0, clock::now) {
            self.plane.collect();
        }
        let took = clock::now() - began;
        let expected = EncodedBatch::encode(same, first_seq, 0, Origin::default());
        let frames: Vec<u8> = (0..events).flat_map(|event| expected.frame(event)).copied().collect();
        self.ends.expect(members, first_seq, &frames)?;
        Ok(took)
    }

    /// Nobody has got anything but what [`Crowd::publish`] was told of.
    pub fn expect_nothing(&mut self) -> Result<(), Wrong> {
        self.ends.expect_nothing()
    }

    fn event(&self, name: &str) -> Event {
        let (kind, namespace) = match self.protocol {
            Protocol::Channels => ("price", "price"),
            _ => ("trade.open", "wallet"),
        };
        let data = format!(
            r#"{{"owner":"{name}","marketSymbol":"SOL-PERP","side":"long","sizeUsd":15000.5,"leverage":10,"entryPrice":152.37,"timestamp":1760000000}}"#
        );
        Event {
            kind: kind.into(),
            topic: Topic::parse(&format!("{namespace}:{name}")).expect("a sound topic"),
            data: data.into_bytes().into(),
            channel: None,
            key: None,
            id: None,
        }
    }
}
