//! The topics of a run, and their names on the wire.

use super::protocol::Protocol;

pub const WALLETS: u16 = 40;
/// Wallets from here on are on nobody's watchlist.
pub const WALLETS_WATCHED: u16 = 36;
pub const PRICES: u16 = 50;
pub const TRANSACTION_WALLETS: u16 = 50;
pub const BOTS: u16 = 10;
pub const MARKETS: u16 = 50;
pub const ADMIN_LEVELS: u8 = 3;

/// Where an event is published.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Topic {
    Wallet(u16),
    Alerts,
    Bot(u16),
    Price(u16),
    Transactions(u16),
    User(u32),
    Market(u16),
    Admin(u8),
    System,
}

impl Topic {
    pub const fn protocol(self) -> Protocol {
        match self {
            Self::Wallet(_) => Protocol::Watchlist,
            Self::Alerts => Protocol::Tiered,
            Self::Bot(_) | Self::Price(_) | Self::Transactions(_) => Protocol::Channels,
            Self::User(_) | Self::Market(_) | Self::Admin(_) | Self::System => Protocol::Rooms,
        }
    }

    /// As publishers and the rooms protocol write it.
    pub fn text(self) -> String {
        let name = self.name();
        match self {
            Self::Wallet(_) => format!("wallet:{name}"),
            Self::Bot(_) => format!("bot:{name}"),
            Self::Price(_) => format!("price:{name}"),
            Self::Transactions(_) => format!("transactions:{name}"),
            Self::User(_) => format!("user:{name}"),
            Self::Market(_) => format!("market:{name}"),
            Self::Admin(_) => format!("admin:{name}"),
            Self::Alerts | Self::System => name,
        }
    }

    /// What stands behind the colon: an owner, a mint, a bot, a user. The topics without one have their whole text.
    pub fn name(self) -> String {
        match self {
            Self::Wallet(number) => format!("MixedOwner{number:034}"),
            Self::Bot(number) => format!("mixed_bot_{number}"),
            Self::Price(number) => format!("MixedMint{number:035}"),
            Self::Transactions(number) => format!("MixedWallet{number:033}"),
            Self::User(number) => format!("mixed_user_{number}"),
            Self::Market(number) => format!("MIXED{number}_USD"),
            Self::Admin(level) => level.to_string(),
            Self::Alerts => "alerts".to_owned(),
            Self::System => "system".to_owned(),
        }
    }
}
