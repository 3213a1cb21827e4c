//! Of which protocols a run's sockets are, and in what shares: what `--mix` says.

use std::fmt;
use std::str::FromStr;

/// What Stentor's sockets speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    Watchlist,
    Tiered,
    Channels,
    Rooms,
    Sse,
}

/// Protocols with their weights; never empty, and none twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mix(Vec<(Protocol, u32)>);

/// `--mix` says something that can't be read, or not enough goes with it.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum MixError {
    #[error("--mix `{0}`: write one protocol, or several with their weights: watchlist=70,rooms=30")]
    Form(String),
    #[error("--mix: `{0}` is no protocol: there are watchlist, tiered, channels, rooms and sse")]
    Protocol(String),
    #[error("--mix: `{0}` is no weight: write a whole number from 1 to {WEIGHT_MAX}")]
    Weight(String),
    #[error("--mix names {0} twice: give it one weight")]
    Twice(Protocol),
    #[error("of so few sockets {0} gets none: raise --sockets, or its weight in --mix")]
    None(Protocol),
    #[error("{0} sockets need a subscriber's key: give --key")]
    Key(Protocol),
    #[error("rooms sockets need a token: give --jwt-secret with the server's jwt-secret file")]
    Secret,
}

/// Enough for any share, and far from what a sum could not hold.
const WEIGHT_MAX: u32 = 1_000_000;

impl Protocol {
    const ALL: [Self; 5] = [Self::Watchlist, Self::Tiered, Self::Channels, Self::Rooms, Self::Sse];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Watchlist => "watchlist",
            Self::Tiered => "tiered",
            Self::Channels => "channels",
            Self::Rooms => "rooms",
            Self::Sse => "sse",
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Protocol {
    type Err = MixError;

    fn from_str(text: &str) -> Result<Self, MixError> {
        let found = Self::ALL.into_iter().find(|protocol| protocol.name() == text);
        found.ok_or_else(|| MixError::Protocol(text.to_owned()))
    }
}

impl FromStr for Mix {
    type Err = MixError;

    fn from_str(text: &str) -> Result<Self, MixError> {
        if !text.contains(['=', ',']) {
            return Ok(Self(vec![(text.parse()?, 1)]));
        }
        let mut parts: Vec<(Protocol, u32)> = Vec::new();
        for part in text.split(',') {
            let (name, weight) = part.split_once('=').ok_or_else(|| MixError::Form(text.to_owned()))?;
            let protocol = name.parse()?;
            if parts.iter().any(|(other, _)| *other == protocol) {
                return Err(MixError::Twice(protocol));
            }
            let number = weight.parse().ok().filter(|weight| (1..=WEIGHT_MAX).contains(weight));
            parts.push((protocol, number.ok_or_else(|| MixError::Weight(weight.to_owned()))?));
        }
        Ok(Self(parts))
    }
}

impl fmt::Display for Mix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let [(protocol, _)] = self.0[..] {
            return f.write_str(protocol.name());
        }
        for (number, (protocol, weight)) in self.0.iter().enumerate() {
            write!(f, "{}{protocol}={weight}", if number > 0 { "," } else { "" })?;
        }
        Ok(())
    }
}

impl Mix {
    pub fn parts(&self) -> &[(Protocol, u32)] {
        &self.0
    }

    /// Refuses so few sockets that one of the protocols would have none.
    pub fn check(&self, sockets: u32) -> Result<(), MixError> {
        let weights: Vec<u32> = self.0.iter().map(|(_, weight)| *weight).collect();
        let none = allot(sockets, &weights).iter().position(|sockets| *sockets == 0);
        none.map_or(Ok(()), |part| Err(MixError::None(self.0[part].0)))
    }
}

/// Shares `total` out by weight, in whole numbers that make it up again: what rounding down leaves goes to the largest rests.
pub fn allot(total: u32, weights: &[u32]) -> Vec<u32> {
    let sum: u64 = weights.iter().map(|weight| u64::from(*weight)).sum::<u64>().max(1);
    let exact = |weight: &u32| u64::from(total) * u64::from(*weight);
    let mut shares: Vec<u32> = weights.iter().map(|weight| (exact(weight) / sum) as u32).collect();
    let mut by_rest: Vec<usize> = (0..weights.len()).collect();
    by_rest.sort_by_key(|part| std::cmp::Reverse(exact(&weights[*part]) % sum));
    let left = total - shares.iter().sum::<u32>();
    by_rest.into_iter().take(left as usize).for_each(|part| shares[part] += 1);
    shares
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mix_is_one_protocol_or_several_with_weights() {
        assert_eq!("sse".parse(), Ok(Mix(vec![(Protocol::Sse, 1)])));
        let mix: Mix = "watchlist=70,rooms=30".parse().unwrap();
        assert_eq!(mix.parts(), [(Protocol::Watchlist, 70), (Protocol::Rooms, 30)]);
        for text in ["sse", "watchlist=70,rooms=30"] {
            assert_eq!(text.parse::<Mix>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_no_mix_is_told_with_its_word() {
        let wrong = |text: &str| text.parse::<Mix>().unwrap_err();
        assert_eq!(wrong("chat"), MixError::Protocol("chat".into()));
        assert_eq!(wrong(""), MixError::Protocol("".into()));
        assert_eq!(wrong("watchlist,rooms"), MixError::Form("watchlist,rooms".into()));
        assert_eq!(wrong("watchlist=1,"), MixError::Form("watchlist=1,".into()));
        assert_eq!(wrong("rooms=1,chat=1"), MixError::Protocol("chat".into()));
        assert_eq!(wrong("rooms=1,rooms=2"), MixError::Twice(Protocol::Rooms));
        for weight in ["0", "-1", "", "1.5", "4294967296", "1000001"] {
            assert_eq!(wrong(&format!("rooms={weight},sse=1")), MixError::Weight(weight.into()));
        }
    }

    #[test]
    fn shares_make_up_the_whole_and_follow_the_weights() {
        assert_eq!(allot(10, &[70, 30]), [7, 3]);
        assert_eq!(allot(10, &[1, 1, 1]), [4, 3, 3]);
        assert_eq!(allot(5, &[1, 98, 1]), [0, 5, 0]);
        assert_eq!(allot(4_000_000, &[WEIGHT_MAX; 5]), [800_000; 5]);
        for total in 0..60 {
            assert_eq!(allot(total, &[7, 11, 13, 1, 28]).iter().sum::<u32>(), total);
        }
    }

    #[test]
    fn a_protocol_without_a_socket_is_refused() {
        let mix: Mix = "watchlist=99,tiered=1".parse().unwrap();
        assert_eq!(mix.check(10), Err(MixError::None(Protocol::Tiered)));
        assert_eq!(mix.check(100), Ok(()));
    }
}
