//! What an operator can say about webhooks: `[webhooks]` in the configuration.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use crate::gate::Network;
use crate::limits;

/// Times and rates of deliveries, and what they may reach.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookOptions {
    /// Networks that the guard lets pass though they are private.
    pub allow: Vec<Network>,
    /// Networks that it lets nobody pass into, though they be public or allowed.
    pub deny: Vec<Network>,
    pub ports: Vec<PortRange>,
    /// Seconds before the second attempt, the third, and so on: one attempt more than there are entries.
    pub retry_seconds: Vec<u64>,
    /// What of a delay is left to chance, in percent: it grows by up to that.
    pub jitter_percent: u32,
    /// An attempt, from the look-up of the name to the last byte of the answer.
    pub timeout_seconds: u64,
    /// The longest `Retry-After` that is honoured.
    pub retry_after_max_seconds: u64,
    /// Attempts of one webhook at the same time.
    pub concurrency: u32,
    /// Attempts a second of one webhook. 0: no limit.
    pub rate_per_second: u32,
    pub rate_burst: u32,
    /// Failures in a row that open a webhook's circuit breaker, and how long until it is tried again; twice as long each time, up to
    /// [`limits::BREAKER_OPEN_MS_MAX`].
    pub breaker_failures: u32,
    pub breaker_seconds: u64,
    /// A webhook is disabled after so many failures in a row, if they go on for so long. 0 failures: never.
    pub disable_failures: u32,
    pub disable_seconds: u64,
    /// How long a secret that was replaced still signs, too.
    pub secret_grace_seconds: u64,
    pub master_key: Option<MasterKeySource>,
    /// More certificates (PEM) to trust beside the system's.
    pub ca_file: Option<PathBuf>,
    /// Threads that send.
    pub workers: u32,
    /// Deliveries of one webhook that wait, the oldest is dropped where it would be more.
    pub backlog: u32,
    /// Finished deliveries that are remembered, of one webhook, and for how long.
    pub history: u32,
    pub history_hours: u64,
}

impl WebhookOptions {
    /// Takes over what can change while deliveries are made: what may be reached, and what acts on the next attempt, the next failure and
    /// the next look at the history. What workers, lanes and connections are made with stays.
    pub fn follow(&mut self, newer: Self) {
        let Self {
            timeout_seconds, concurrency, rate_per_second, rate_burst, breaker_failures, breaker_seconds, ..
        } = *self;
        let (workers, backlog) = (self.workers, self.backlog);
        let (master_key, ca_file) = (self.master_key.take(), self.ca_file.take());
        *self = Self {
            timeout_seconds,
            concurrency,
            rate_per_second,
            rate_burst,
            breaker_failures,
            breaker_seconds,
            workers,
            backlog,
            master_key,
            ca_file,
            ..newer
        };
    }
}

impl Default for WebhookOptions {
    fn default() -> Self {
        Self {
            allow: Vec::new(),
            deny: Vec::new(),
            ports: vec![PortRange::one(80), PortRange::one(443), PortRange { first: 1024, last: 65_535 }],
            retry_seconds: vec![30, 60],
            jitter_percent: 0,
            timeout_seconds: 10,
            retry_after_max_seconds: 600,
            concurrency: 4,
            rate_per_second: 0,
            rate_burst: 1,
            breaker_failures: 5,
            breaker_seconds: 30,
            disable_failures: 50,
            disable_seconds: 24 * 3600,
            secret_grace_seconds: 24 * 3600,
            master_key: None,
            ca_file: None,
            workers: limits::DELIVERY_WORKERS,
            backlog: 100_000,
            history: 1_000,
            history_hours: 7 * 24,
        }
    }
}

/// Where the key is that seals secrets in the database. A file with 32 bytes in base64 or hex.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MasterKeySource {
    File(PathBuf),
}

/// Ports from one to another, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortRange {
    pub first: u16,
    pub last: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no port and no range: write one such as 443 or 8000-8999, of 1 to 65535")]
pub struct NotAPortRange(pub String);

impl PortRange {
    pub const fn one(port: u16) -> Self {
        Self { first: port, last: port }
    }

    pub fn contains(self, port: u16) -> bool {
        (self.first..=self.last).contains(&port)
    }
}

impl FromStr for PortRange {
    type Err = NotAPortRange;

    fn from_str(text: &str) -> Result<Self, NotAPortRange> {
        // `parse` alone would also take a sign.
        let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        let port = |text: &str| text.parse().ok().filter(|port| is_number(text) && *port > 0);
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let range = port(first).zip(port(last)).map(|(first, last)| Self { first, last });
        range.filter(|range| range.first <= range.last).ok_or_else(|| NotAPortRange(text.chars().take(40).collect()))
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.first == self.last {
            true => write!(f, "{}", self.first),
            false => write!(f, "{}-{}", self.first, self.last),
        }
    }
}
