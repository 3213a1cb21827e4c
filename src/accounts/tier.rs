//! What an account has paid for, and what that opens.

use std::fmt;
use std::str::FromStr;

/// An account's tier; each one includes those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tier {
    Free,
    Pro,
    Elite,
    Enterprise,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no tier {0:?}: use free, pro, elite or enterprise")]
pub struct UnknownTier(pub String);

impl Tier {
    pub const ALL: [Self; 4] = [Self::Free, Self::Pro, Self::Elite, Self::Enterprise];

    /// The watchlist protocol: `/ws/alerts?apiKey=`.
    pub fn may_watchlist(self) -> bool {
        self >= Self::Elite
    }

    /// The tiered protocol: `/ws/alerts?api_key=`.
    pub fn may_tiered(self) -> bool {
        self >= Self::Pro
    }

    pub fn may_webhooks(self) -> bool {
        self >= Self::Elite
    }

    /// As it stands in messages, on the command line and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Free => "free",
            Self::Pro => "pro",
            Self::Elite => "elite",
            Self::Enterprise => "enterprise",
        }
    }
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Tier {
    type Err = UnknownTier;

    fn from_str(text: &str) -> Result<Self, UnknownTier> {
        Self::ALL.into_iter().find(|tier| tier.as_str() == text).ok_or_else(|| UnknownTier(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tier_survives_its_text_form() {
        for tier in Tier::ALL {
            assert_eq!(tier.to_string().parse(), Ok(tier));
        }
    }

    #[test]
    fn an_unknown_tier_is_refused_with_the_known_ones() {
        for wrong in ["", "gold", "Elite", "elite "] {
            let message = wrong.parse::<Tier>().expect_err(wrong).to_string();
            assert!(message.contains("enterprise"), "{message}");
        }
    }

    #[test]
    fn each_protocol_opens_at_its_tier() {
        let open = |may: fn(Tier) -> bool| Tier::ALL.map(may);
        assert_eq!(open(Tier::may_tiered), [false, true, true, true]);
        assert_eq!(open(Tier::may_watchlist), [false, false, true, true]);
        assert_eq!(open(Tier::may_webhooks), [false, false, true, true]);
    }
}
