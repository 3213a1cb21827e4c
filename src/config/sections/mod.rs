//! The table of everything that `stentor.toml` can say. Reading, suggestions and `--print-config` all go by it: a new key is
//! one new entry, a new section one new file.

mod journal;
mod jwt;
mod limits;
mod log;
mod metrics;
mod replay;
mod server;
mod slow_consumers;
mod tls;
mod webhooks;

use std::fmt::Display;
use std::path::{Path, PathBuf};

use super::error::Misplaced;
use super::value::Value;
use crate::server::ServerOptions;

/// In the order in which they are printed.
pub static SECTIONS: [&Section; 10] = [
    &server::SECTION,
    &tls::SECTION,
    &jwt::SECTION,
    &limits::SECTION,
    &journal::SECTION,
    &replay::SECTION,
    &slow_consumers::SECTION,
    &webhooks::SECTION,
    &metrics::SECTION,
    &log::SECTION,
];

/// `[name]` and what may stand below it.
pub struct Section {
    pub name: &'static str,
    /// A comment of a line or two.
    pub about: &'static str,
    pub keys: &'static [Key],
    pub conflicts: &'static [Conflict],
}

/// One setting: how it is called, explained, read and printed.
pub struct Key {
    pub name: &'static str,
    /// A comment of a few lines: what it does, its unit, what 0 means, what happens at the limit.
    pub about: &'static str,
    /// What it takes, in words that follow "write".
    pub wanted: &'static str,
    /// A valid value, in TOML. Only a secret's is refused.
    pub example: &'static str,
    /// Puts the value where it belongs, or says what is wrong with it.
    pub read: fn(&mut ServerOptions, Value<'_>) -> Result<(), Misplaced>,
    pub print: fn(&ServerOptions) -> Printed,
}

/// Keys that are each right by themselves and wrong together. Looked for once the whole file is read, so that the order in
/// it doesn't matter.
pub struct Conflict {
    /// The key that is wrong, with whose line it is told. The defaults have no conflicts, so it stands in the file.
    pub key: &'static str,
    pub arises: fn(&ServerOptions) -> bool,
    /// Ends with the remedy.
    pub message: &'static str,
}

/// What a key has for a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Printed {
    /// This one, in TOML.
    Set(String),
    /// None.
    Unset,
    /// One that is nobody's to see.
    Secret,
    /// This one, which TOML can't hold.
    NotUnicode(PathBuf),
}

impl Printed {
    fn number(number: impl Display) -> Self {
        Self::Set(number.to_string())
    }

    fn switch(on: bool) -> Self {
        Self::Set(on.to_string())
    }

    fn text(text: impl Display) -> Self {
        Self::Set(toml::Value::from(text.to_string()).to_string())
    }

    fn texts<T: Display>(texts: &[T]) -> Self {
        Self::Set(toml::Value::from(texts.iter().map(T::to_string).collect::<Vec<_>>()).to_string())
    }

    fn numbers<T: Display>(numbers: &[T]) -> Self {
        Self::Set(format!("[{}]", numbers.iter().map(T::to_string).collect::<Vec<_>>().join(", ")))
    }

    fn path(path: &Path) -> Self {
        path.to_str().map_or_else(|| Self::NotUnicode(path.to_owned()), Self::text)
    }

    fn or_unset<T>(value: Option<T>, print: impl FnOnce(T) -> Self) -> Self {
        value.map_or(Self::Unset, print)
    }
}

/// Every key with its section, as they are printed.
pub fn all_keys() -> impl Iterator<Item = (&'static Section, &'static Key)> {
    SECTIONS.into_iter().flat_map(|section| section.keys.iter().map(move |key| (section, key)))
}

#[cfg(test)]
pub(in crate::config) mod tests {
    use super::super::File;
    use super::*;
    use crate::delivery::{MasterKeySource, PortRange, WebhookOptions};
    use crate::gate::{Network, Origins, Policy};
    use crate::journal::{Fanout, JournalOptions, SyncPolicy};
    use crate::logging::{LogFormat, LogOptions};
    use crate::plan::Wishes;
    use crate::protocol::{Endpoint, ReplayRules, SessionRules, SlowPolicy, SlowRules};
    use crate::shard::DrainRules;
    use crate::tls::TlsFiles;
    use crate::tokens::{KeySource, TokenSettings};

    /// Every key that can stand beside the others, with another value than its default.
    pub const FULL: &str = r#"
        [server]
        listen = "[::1]:80"
        data_dir = "/var/lib/stentor"
        shards = 0x0_c
        cpus = "0-2,5"
        delivery_cpu = 3
        allowed_origins = ["https://App.example", "http://localhost:3000"]
        trusted_proxies = ["10.0.0.0/8", "192.0.2.7"]
        proxy_protocol = true
        drain_seconds = 32
        restart_seconds = 33
        [tls]
        cert = "tls/cert.pem"
        key = "tls/key.pem"
        [jwt]
        jwks_file = "keys/jwks.json"
        issuer = "https://login.example"
        audience = "stentor"
        leeway_seconds = 0
        [limits]
        connections_per_key = 1
        connections_per_address = 2
        handshakes_per_second = 3
        handshake_burst = 4
        pending_authentications = 5
        exempt_addresses = ["2001:db8::/32"]
        messages_per_second = 6
        message_burst = 7
        refusals_before_close = 8
        subscriptions_per_connection = 9
        message_bytes = 1_048_576
        authentication_seconds = 300
        publisher_events_per_second = 10
        publisher_event_burst = 100_000
        publisher_bytes_in_flight = 8_388_608
        [journal]
        sync = "interval"
        sync_interval_ms = 250
        fanout = "durable"
        retention_bytes = 1_073_741_824
        retention_hours = 0
        segment_bytes = 1_048_576
        dedupe_seconds = 60
        [replay]
        events_per_second = 11
        bytes_per_second = 131_072
        sessions = 12
        share_percent = 13
        [slow_consumers]
        watchlist_policy = "latest"
        tiered_policy = "disconnect"
        channels_policy = "latest"
        rooms_policy = "disconnect"
        stream_policy = "latest"
        session_choice = ["stream", "tiered"]
        [webhooks]
        allow = ["127.0.0.0/8", "fd00::/8"]
        deny = ["127.0.0.2"]
        ports = [443, "8000-8999"]
        ca_file = "ca.pem"
        timeout_seconds = 14
        retry_seconds = [15, 16, 17]
        jitter_percent = 18
        retry_after_max_seconds = 19
        workers = 20
        concurrency = 21
        rate_per_second = 22
        rate_burst = 23
        backlog = 24
        breaker_failures = 25
        breaker_seconds = 26
        disable_failures = 27
        disable_seconds = 28
        secret_grace_seconds = 29
        master_key_file = "webhooks.key"
        history = 30
        history_hours = 31
        [metrics]
        scrapers = ["::1", "10.9.0.0/16"]
        [log]
        format = "json"
        level = "warn,stentor::shard=debug"
    "#;

    fn network(text: &str) -> Network {
        text.parse().expect(text)
    }

    #[test]
    fn every_key_is_read() {
        let mut slow = SlowRules::default();
        for (number, endpoint) in Endpoint::ALL.into_iter().enumerate() {
            slow.set_policy(endpoint, [SlowPolicy::Latest, SlowPolicy::Disconnect][number % 2]);
        }
        slow.set_choice(&[Endpoint::Tiered, Endpoint::Stream]);
        let expected = ServerOptions {
            listen: "[::1]:80".parse().expect("an address"),
            data_dir: "/var/lib/stentor".into(),
            wishes: Wishes { shards: Some(12), cpus: Some("0-2,5".parse().expect("a list")), delivery_cpu: Some(3) },
            policy: Policy {
                connections_per_key: 1,
                connections_per_address: 2,
                handshakes_per_second: 3,
                handshake_burst: 4,
                pending_authentications: 5,
                exempt_addresses: vec![network("2001:db8::/32")],
                publisher_events_per_second: 10,
                publisher_event_burst: 100_000,
                publisher_bytes_in_flight: 8 << 20,
                trusted_proxies: vec![network("10.0.0.0/8"), network("192.0.2.7")],
                proxy_protocol: true,
                allowed_origins: Origins::These(vec!["https://app.example".into(), "http://localhost:3000".into()]),
            },
            rules: SessionRules {
                messages_per_second: 6,
                message_burst: 7,
                refusals_max: 8,
                subscriptions_max: 9,
                message_bytes_max: 1 << 20,
                authentication_ms: 300_000,
                replay: ReplayRules {
                    events_per_second: 11,
                    bytes_per_second: 128 << 10,
                    sessions: 12,
                    share_percent: 13,
                },
                slow,
            },
            journal: JournalOptions {
                sync: SyncPolicy::Interval,
                sync_interval_ms: 250,
                fanout: Fanout::Durable,
                retention_bytes: 1 << 30,
                retention_hours: 0,
                segment_bytes: 1 << 20,
                dedupe_seconds: 60,
            },
            tokens: TokenSettings {
                source: KeySource::JwksFile("keys/jwks.json".into()),
                issuer: Some("https://login.example".into()),
                audience: Some("stentor".into()),
                leeway_s: 0,
            },
            tls: TlsFiles { cert: Some("tls/cert.pem".into()), key: Some("tls/key.pem".into()) },
            webhooks: WebhookOptions {
                allow: vec![network("127.0.0.0/8"), network("fd00::/8")],
                deny: vec![network("127.0.0.2")],
                ports: vec![PortRange::one(443), PortRange { first: 8_000, last: 8_999 }],
                ca_file: Some("ca.pem".into()),
                timeout_seconds: 14,
                retry_seconds: vec![15, 16, 17],
                jitter_percent: 18,
                retry_after_max_seconds: 19,
                workers: 20,
                concurrency: 21,
                rate_per_second: 22,
                rate_burst: 23,
                backlog: 24,
                breaker_failures: 25,
                breaker_seconds: 26,
                disable_failures: 27,
                disable_seconds: 28,
                secret_grace_seconds: 29,
                master_key: Some(MasterKeySource::File("webhooks.key".into())),
                history: 30,
                history_hours: 31,
            },
            scrapers: vec![network("::1"), network("10.9.0.0/16")],
            drain: DrainRules { drain_ms: 32_000, restart_ms: 33_000 },
            log: LogOptions { format: LogFormat::Json, level: "warn,stentor::shard=debug".parse().expect("a level") },
        };
        assert_eq!(File::parse(FULL.as_bytes()).expect("valid").server, expected);
        let left_out = ["secret", "public_key_file"];
        for (_, key) in all_keys().filter(|(_, key)| !left_out.contains(&key.name)) {
            assert!(FULL.contains(&format!("\n        {} = ", key.name)), "{} is set", key.name);
        }
    }

    fn read(section: &Section, line: &str) -> ServerOptions {
        let text = format!("[{}]\n{line}\n", section.name);
        File::parse(text.as_bytes()).unwrap_or_else(|(_, fault)| panic!("{text}: {fault}")).server
    }

    #[test]
    fn every_example_is_valid_and_is_what_is_printed_then() {
        for (section, key) in all_keys().filter(|(_, key)| key.name != "secret") {
            // It needs another key beside it.
            let beside = match key.name {
                "proxy_protocol" => "trusted_proxies = [\"::1\"]\n",
                "cert" => "key = \"key.pem\"\n",
                "key" => "cert = \"cert.pem\"\n",
                _ => "",
            };
            let printed = (key.print)(&read(section, &format!("{beside}{} = {}", key.name, key.example)));
            assert_eq!(printed, Printed::Set(key.example.to_owned()), "{}", key.name);
        }
    }

    #[test]
    fn every_name_stands_once() {
        // So that a key in a wrong section has one right section.
        let mut names: Vec<_> = all_keys().map(|(_, key)| key.name).collect();
        names.extend(SECTIONS.iter().map(|section| section.name));
        let number = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), number, "{names:?}");
    }

    #[test]
    fn every_conflict_is_of_a_key_and_not_of_the_defaults() {
        for section in SECTIONS {
            for conflict in section.conflicts {
                assert!(section.keys.iter().any(|key| key.name == conflict.key), "{}", conflict.key);
                assert!(!(conflict.arises)(&File::default().server), "{}", conflict.key);
            }
        }
    }

    #[test]
    fn every_key_refuses_another_type_and_says_what_it_wants() {
        for (section, key) in all_keys() {
            let text = format!("[{}]\n\n{} = 1979-05-27\n", section.name, key.name);
            let (line, fault) = File::parse(text.as_bytes()).expect_err(key.name);
            let told = fault.to_string();
            assert!(
                line == 3 && told.starts_with(&format!("`{}` is a date: write {}", key.name, key.wanted)),
                "{told}"
            );
        }
    }
}
