//! What the operator allows a session: the part of the configuration that the shards follow.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;

use super::{Endpoint, SlowPolicy};
use crate::limits;

/// Limits of one session. Those of rate and number can be 0: no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionRules {
    /// Messages and pings a second from the client, and how many may come at once.
    pub messages_per_second: u32,
    pub message_burst: u32,
    /// Messages refused as too many, without a pause between them, until the session is closed with 4429.
    pub refusals_max: u32,
    /// Topics that a session may have subscribed to.
    pub subscriptions_max: u32,
    /// A client's message, in bytes. A longer one ends the session with 1009.
    pub message_bytes_max: usize,
    /// How long a session may take to authenticate, in milliseconds; then it is closed with 4401.
    pub authentication_ms: u32,
    pub replay: ReplayRules,
    pub slow: SlowRules,
}

/// The rules in force: whoever configures swaps them, and shards look once a turn whether there are others.
#[derive(Debug, Default)]
pub struct LiveRules {
    current: ArcSwap<SessionRules>,
    version: AtomicU64,
}

impl LiveRules {
    pub fn new(rules: SessionRules) -> Self {
        Self { current: ArcSwap::from_pointee(rules), version: AtomicU64::new(0) }
    }

    pub fn load(&self) -> SessionRules {
        **self.current.load()
    }

    /// Changes with every change of the rules. Whoever sees a version loads rules that are at least as new.
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    pub fn publish(&self, rules: SessionRules) {
        self.current.store(Arc::new(rules));
        self.version.fetch_add(1, Ordering::Release);
    }
}

/// How fast sessions are sent what they missed, so that asking for everything is no weapon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplayRules {
    /// What one session is sent; 0: no limit.
    pub events_per_second: u32,
    /// The same in bytes.
    pub bytes_per_second: u64,
    /// Sessions of one shard that are served at once; the others wait for their turn.
    pub sessions: u32,
    /// The part of a shard's time that serving them may take, in percent.
    pub share_percent: u32,
}

/// What becomes of a session that is too slow, by the endpoint that it came in at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlowRules {
    /// In the order of [`Endpoint::ALL`], as the other is.
    policies: [SlowPolicy; Endpoint::ALL.len()],
    choice: [bool; Endpoint::ALL.len()],
}

impl SlowRules {
    /// What holds for a session that asks for nothing else.
    pub fn policy(&self, endpoint: Endpoint) -> SlowPolicy {
        self.policies[endpoint as usize]
    }

    /// Whether a session may ask for another policy.
    pub fn may_choose(&self, endpoint: Endpoint) -> bool {
        self.choice[endpoint as usize]
    }

    pub fn set_policy(&mut self, endpoint: Endpoint, policy: SlowPolicy) {
        self.policies[endpoint as usize] = policy;
    }

    /// Lets the sessions of these endpoints choose, and no others.
    pub fn set_choice(&mut self, endpoints: &[Endpoint]) {
        self.choice = Endpoint::ALL.map(|endpoint| endpoints.contains(&endpoint));
    }
}

impl Default for SessionRules {
    fn default() -> Self {
        Self {
            messages_per_second: limits::MESSAGES_PER_SECOND,
            message_burst: limits::MESSAGE_BURST,
            refusals_max: limits::MESSAGE_REFUSALS_MAX,
            subscriptions_max: limits::SUBSCRIPTIONS_MAX,
            message_bytes_max: limits::MESSAGE_BYTES_MAX,
            authentication_ms: limits::AUTHENTICATION_MS,
            replay: ReplayRules::default(),
            slow: SlowRules::default(),
        }
    }
}

impl Default for ReplayRules {
    fn default() -> Self {
        Self {
            events_per_second: limits::REPLAY_EVENTS_PER_SECOND,
            bytes_per_second: limits::REPLAY_BYTES_PER_SECOND,
            sessions: limits::REPLAY_SESSIONS,
            share_percent: limits::REPLAY_SHARE_PERCENT,
        }
    }
}

impl Default for SlowRules {
    fn default() -> Self {
        Self { policies: Default::default(), choice: Endpoint::ALL.map(|_| true) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_rules_are_in_force_and_told_by_their_version() {
        let live = LiveRules::new(SessionRules::default());
        let before = live.version();
        let changed = SessionRules { message_burst: 7, ..SessionRules::default() };
        live.publish(changed);
        assert!(live.version() != before && live.load() == changed);
    }

    #[test]
    fn each_endpoint_has_its_own_policy_and_choice() {
        let mut rules = SlowRules::default();
        rules.set_policy(Endpoint::Rooms, SlowPolicy::Latest);
        rules.set_policy(Endpoint::Stream, SlowPolicy::Disconnect);
        rules.set_choice(&[Endpoint::Stream, Endpoint::Watchlist]);
        let policies =
            [SlowPolicy::CatchUp, SlowPolicy::CatchUp, SlowPolicy::CatchUp, SlowPolicy::Latest, SlowPolicy::Disconnect];
        assert_eq!(Endpoint::ALL.map(|endpoint| rules.policy(endpoint)), policies);
        assert_eq!(Endpoint::ALL.map(|endpoint| rules.may_choose(endpoint)), [true, false, false, false, true]);
    }
}
