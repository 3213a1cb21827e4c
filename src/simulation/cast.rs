//! Who takes part: topics, accounts, and the kinds of clients with what each of them is to get.

use std::sync::{Arc, LazyLock};

use crate::accounts::{Account, AccountId, ApiKey, Grant, KeyId, KeyNumber, LiveKey, Owner, Role, Snapshot, Tier};
use crate::event::Topic;
use crate::protocol::{Admission, Protocol};
use crate::tokens::{Claims, UserId};

/// Every topic that is published on; a topic is named by its place here.
pub const TOPICS: [&str; 16] = [
    "wallet:w0",
    "wallet:w1",
    "wallet:w2",
    "wallet:w3",
    "alerts",
    "price:a",
    "price:b",
    "price:c",
    "user:u1",
    "user:u2",
    "system",
    "admin:1",
    "admin:2",
    "market:x",
    "market:y",
    "market:z",
];

/// Those that a client names.
pub const PRICES: std::ops::Range<u8> = 5..8;
pub const MARKETS: std::ops::Range<u8> = 13..16;

/// Some of the topics, as bits.
pub type Mask = u32;

pub fn topic(number: u8) -> Topic {
    static PARSED: LazyLock<Vec<Topic>> =
        LazyLock::new(|| TOPICS.iter().map(|name| Topic::parse(name).expect("a topic")).collect());
    PARSED[number as usize].clone()
}

pub fn number_of(topic: &Topic) -> u8 {
    TOPICS.iter().position(|name| *name == topic.as_str()).expect("one of them") as u8
}

/// Which protocol a client speaks, and as whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Watchlist { account: u64 },
    Tiered { account: u64 },
    Channels { account: u64 },
    Rooms { user: u8, admin: Option<u32> },
}

impl Kind {
    pub fn random(rng: &mut fastrand::Rng) -> Self {
        let account = rng.u64(1..=3);
        match rng.u8(..4) {
            0 => Self::Watchlist { account },
            1 => Self::Tiered { account },
            2 => Self::Channels { account },
            _ => Self::Rooms { user: rng.u8(1..=2), admin: rng.choice([None, Some(1), Some(2)]).expect("one") },
        }
    }

    /// What it gets without naming it.
    pub fn home(self) -> Mask {
        let named = |wanted: &dyn Fn(&str) -> bool| {
            TOPICS.iter().enumerate().filter(|(_, name)| wanted(name)).fold(0, |mask, (number, _)| mask | 1 << number)
        };
        match self {
            Self::Watchlist { account } => named(&|name| {
                let wallet = name.strip_prefix("wallet:w").and_then(|wallet| wallet.parse::<u64>().ok());
                wallet.is_some_and(|wallet| wallet.is_multiple_of(account))
            }),
            Self::Tiered { .. } => named(&|name| name == "alerts"),
            Self::Channels { .. } => 0,
            Self::Rooms { user, admin } => named(&|name| {
                let level = name.strip_prefix("admin:").and_then(|level| level.parse::<u32>().ok());
                name == "system" || name == format!("user:u{user}") || level.is_some_and(|level| admin >= Some(level))
            }),
        }
    }

    /// What it may name.
    pub fn named(self) -> std::ops::Range<u8> {
        match self {
            Self::Channels { .. } => PRICES,
            Self::Rooms { .. } => MARKETS,
            Self::Watchlist { .. } | Self::Tiered { .. } => 0..0,
        }
    }

    pub fn admission(self, unix_ms: u64) -> Admission {
        let keyed =
            |protocol, account| Admission::Keyed { protocol, account: AccountId(account), key: KeyNumber(account) };
        match self {
            Self::Watchlist { account } => keyed(Protocol::Watchlist, account),
            Self::Tiered { account } => keyed(Protocol::Tiered, account),
            Self::Channels { .. } => Admission::Channels,
            Self::Rooms { user, admin } => Admission::Rooms {
                claims: Some(Claims {
                    user: UserId::new(&format!("u{user}")),
                    admin_level: admin,
                    expires_at_s: unix_ms / 1_000 + 1_000_000,
                }),
            },
        }
    }
}

pub fn api_key(account: u64) -> ApiKey {
    ApiKey::parse(&format!("stn_{account:0>43}")).expect("shaped like a key")
}

/// Account `n` watches the wallets whose number is a multiple of `n`, and may have every price.
pub fn accounts() -> Arc<Snapshot> {
    let account = |number: u64| {
        let owners = (0..4).filter(|wallet: &u64| wallet.is_multiple_of(number));
        Arc::new(Account {
            id: AccountId(number),
            name: format!("account-{number}").parse().expect("a name"),
            tier: Tier::Elite,
            grants: ["price:*".parse::<Grant>().expect("a grant")].into_iter().collect(),
            watchlist: owners.map(|wallet| format!("w{wallet}").parse::<Owner>().expect("an owner")).collect(),
            keys: [LiveKey {
                number: KeyNumber(number),
                id: KeyId(number),
                role: Role::Subscriber,
                hash: api_key(number).hash(),
            }]
            .into(),
            version: 1,
        })
    };
    Arc::new(Snapshot::empty().with_changes(1, (1..=3).map(account)))
}
