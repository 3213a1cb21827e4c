//! One webhook: where an account wants what sent.

use std::fmt;
use std::str::FromStr;

use super::guard::WebhookUrl;
use super::{Made, SigningSecrets};
use crate::accounts::AccountId;
use crate::event::TradeKind;

const ID_MARK: &str = "wh_";
const ID_DIGITS: usize = 16;

/// A webhook's public name, random: it may be logged and shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WebhookId(pub u64);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("this is not a webhook's id: one is wh_ and 16 hex digits")]
pub struct NotAWebhookId;

impl WebhookId {
    pub fn generate() -> Result<Self, getrandom::Error> {
        // SQLite's integers have a sign.
        getrandom::u64().map(|random| Self(random >> 1))
    }
}

impl fmt::Display for WebhookId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{ID_MARK}{:0width$x}", self.0, width = ID_DIGITS))
    }
}

impl FromStr for WebhookId {
    type Err = NotAWebhookId;

    fn from_str(text: &str) -> Result<Self, NotAWebhookId> {
        let digits = text.strip_prefix(ID_MARK).ok_or(NotAWebhookId)?;
        // from_str_radix alone would also take a sign and capitals: one id, one text.
        let well_formed = digits.len() == ID_DIGITS && digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        let number = u64::from_str_radix(digits, 16).ok().filter(|number| well_formed && *number >> 63 == 0);
        number.map(Self).ok_or(NotAWebhookId)
    }
}

/// What a webhook may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum EventKind {
    TradeNew,
    TradeIncrease,
    TradeClose,
    TradeLiquidation,
    /// What happens to the account's webhooks: one was disabled.
    Operational,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "there is no event {0:?} for webhooks: there are trade.new, trade.increase, trade.close, trade.liquidation and operational"
)]
pub struct UnknownEventKind(pub String);

impl EventKind {
    pub const ALL: [Self; 5] =
        [Self::TradeNew, Self::TradeIncrease, Self::TradeClose, Self::TradeLiquidation, Self::Operational];

    pub const fn of_trade(kind: TradeKind) -> Self {
        match kind {
            TradeKind::Open => Self::TradeNew,
            TradeKind::Increase => Self::TradeIncrease,
            TradeKind::Close => Self::TradeClose,
            TradeKind::Liquidation => Self::TradeLiquidation,
        }
    }

    /// As in a payload's `type`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TradeNew => "trade.new",
            Self::TradeIncrease => "trade.increase",
            Self::TradeClose => "trade.close",
            Self::TradeLiquidation => "trade.liquidation",
            Self::Operational => "operational",
        }
    }
}

impl FromStr for EventKind {
    type Err = UnknownEventKind;

    fn from_str(text: &str) -> Result<Self, UnknownEventKind> {
        let known = Self::ALL.into_iter().find(|kind| kind.as_str() == text);
        known.ok_or_else(|| UnknownEventKind(text.chars().take(40).collect()))
    }
}

/// A set of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EventKinds(u8);

impl EventKinds {
    pub fn contains(self, kind: EventKind) -> bool {
        self.0 & 1 << kind as u8 != 0
    }

    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// In the order of [`EventKind::ALL`].
    pub fn iter(self) -> impl Iterator<Item = EventKind> {
        EventKind::ALL.into_iter().filter(move |kind| self.contains(*kind))
    }

    /// As a number, for the database. `None`: a bit that stands for nothing is set.
    pub fn from_bits(bits: u8) -> Option<Self> {
        (bits >> EventKind::ALL.len() == 0).then_some(Self(bits))
    }

    pub fn bits(self) -> u8 {
        self.0
    }
}

impl FromIterator<EventKind> for EventKinds {
    fn from_iter<I: IntoIterator<Item = EventKind>>(kinds: I) -> Self {
        Self(kinds.into_iter().fold(0, |bits, kind| bits | 1 << kind as u8))
    }
}

/// A webhook as the core holds it and the database keeps it. Times are Unix milliseconds.
#[derive(Clone, Debug)]
pub struct Webhook {
    pub id: WebhookId,
    pub account: AccountId,
    pub url: WebhookUrl,
    pub events: EventKinds,
    pub secrets: SigningSecrets,
    pub created_ms: u64,
    /// Events from this number on are for it: what was published when it was made or enabled comes from a replay only.
    pub from_seq: u64,
    /// `None`: it is active.
    pub disabled: Option<Disabled>,
    /// Failed attempts in a row, and when the first of them ended.
    pub failures: u32,
    pub failing_since_ms: Option<u64>,
    /// A replay under way: the number of the next event to look at, and the one to end before.
    pub replay: Option<(u64, u64)>,
}

impl Webhook {
    pub fn made(&self) -> Made {
        Made { at_ms: self.created_ms, webhook: self.id }
    }

    pub fn is_active(&self) -> bool {
        self.disabled.is_none()
    }
}

/// Since when nothing is sent, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disabled {
    pub reason: DisableReason,
    pub at_ms: u64,
    /// The number of the first event that it may have missed: a replay takes `since` one below it.
    pub from_seq: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DisableReason {
    /// Its owner did it.
    Owner,
    /// It failed too often, for too long.
    Failures,
    /// It answered 410.
    Gone,
}

impl DisableReason {
    pub const ALL: [Self; 3] = [Self::Owner, Self::Failures, Self::Gone];

    /// As it stands in the database and in answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Failures => "failures",
            Self::Gone => "gone",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_one_text() {
        let id = WebhookId(0xabc);
        assert_eq!((id.to_string().as_str(), "wh_0000000000000abc".parse()), ("wh_0000000000000abc", Ok(id)));
        assert_eq!("wh_7fffffffffffffff".parse(), Ok(WebhookId(i64::MAX as u64)));
        for other in [
            "",
            "wh_",
            "wh_abc",
            "wh_0000000000000ABC",
            "wh_+000000000000abc",
            "wh_00000000000000abc",
            "wh_8000000000000000",
            "WH_0000000000000abc",
            "0000000000000abc",
            "wh_0000000000000abc ",
        ] {
            assert_eq!(other.parse::<WebhookId>(), Err(NotAWebhookId), "{other:?}");
        }
    }

    #[test]
    fn a_new_id_is_random_and_has_a_text() {
        let [one, other] = [(); 2].map(|()| WebhookId::generate().expect("random numbers"));
        assert_ne!(one, other);
        assert_eq!(one.to_string().parse(), Ok(one));
    }

    #[test]
    fn every_kind_has_a_name_and_each_trade_one_of_them() {
        for kind in EventKind::ALL {
            assert_eq!(kind.as_str().parse(), Ok(kind));
        }
        assert_eq!(EventKind::of_trade(TradeKind::Open).as_str(), "trade.new");
        let unknown = "trade.open".repeat(100).parse::<EventKind>().expect_err("unknown");
        assert_eq!(unknown.0.len(), 40, "a peer's text is not told back at any length");
    }

    #[test]
    fn a_set_of_kinds_keeps_each_once_and_in_one_order() {
        let kinds: EventKinds =
            [EventKind::Operational, EventKind::TradeClose, EventKind::TradeClose].into_iter().collect();
        assert_eq!(kinds.iter().collect::<Vec<_>>(), [EventKind::TradeClose, EventKind::Operational]);
        assert!(kinds.contains(EventKind::TradeClose) && !kinds.contains(EventKind::TradeNew));
        assert!(EventKinds::default().is_empty() && !kinds.is_empty());
        assert_eq!(EventKinds::from_bits(kinds.bits()), Some(kinds));
        assert_eq!(EventKinds::from_bits(1 << EventKind::ALL.len()), None);
        let all: EventKinds = EventKind::ALL.into_iter().collect();
        assert_eq!(EventKinds::from_bits(all.bits()), Some(all));
    }
}
