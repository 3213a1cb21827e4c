//! A configuration that is read again while the server runs: what of it is put into force, and what has to wait for the next start.
//!
//! ```text
//!   SIGHUP ──▶ the file, once more ──▶ Config ──┬── Changes::between ──▶ a line for each key that differs
//!              (refused: nothing changes)       └── Server::follow   ──▶ what is live: gate, sessions, webhooks, drain
//!                                                        └── Reloads ──▶ files that the configuration names: certificates
//! ```
//!
//! Accounts, keys, tiers, grants and watchlists are live by themselves and have nothing to do with this.

use std::fmt;

use super::Config;
use super::sections::{Printed, all_keys};

/// Sections all of whose keys act at once.
const LIVE_SECTIONS: &[&str] = &["limits", "replay", "slow_consumers"];

/// Keys of other sections that do.
const LIVE_KEYS: &[&str] = &[
    "allowed_origins",
    "trusted_proxies",
    "proxy_protocol",
    "drain_seconds",
    "restart_seconds",
    "level",
    "allow",
    "deny",
    "ports",
    "retry_seconds",
    "jitter_percent",
    "retry_after_max_seconds",
    "disable_failures",
    "disable_seconds",
    "secret_grace_seconds",
    "history",
    "history_hours",
];

/// A key that says something else than the configuration in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    section: &'static str,
    key: &'static str,
    /// Values as the file has them; none of a secret is ever here.
    values: Option<(Printed, Printed)>,
    /// It acts at once.
    pub is_live: bool,
}

/// Everything that differs between two configurations, in the order of the file that `--print-config` prints.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes(Vec<Change>);

impl Changes {
    pub fn between(before: &Config, after: &Config) -> Self {
        let mut changes = Vec::new();
        for (section, key) in all_keys() {
            let values = ((key.print)(&before.server), (key.print)(&after.server));
            let is_live = LIVE_SECTIONS.contains(&section.name) || LIVE_KEYS.contains(&key.name);
            let (section, key) = (section.name, key.name);
            match values {
                (Printed::Secret, Printed::Secret) if before.server.tokens.source != after.server.tokens.source => {
                    changes.push(Change { section, key, values: None, is_live });
                }
                (was, is) if was != is => changes.push(Change { section, key, values: Some((was, is)), is_live }),
                _ => {}
            }
        }
        Self(changes)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Change> {
        self.0.iter()
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { section, key, values, is_live } = self;
        write!(f, "`[{section}] {key}` changed")?;
        if let Some((was, is)) = values {
            write!(f, " from {} to {}", shown(was), shown(is))?;
        }
        f.write_str(if *is_live { ": in force" } else { ": takes effect at the next start" })
    }
}

fn shown(value: &Printed) -> String {
    match value {
        Printed::Set(text) => text.clone(),
        Printed::Unset => "nothing".to_owned(),
        Printed::Secret => "a secret".to_owned(),
        Printed::NotUnicode(path) => format!("{path:?}"),
    }
}

/// What reads its own files again at a reload. One that fails goes on with what it has, and says so.
#[derive(Default)]
pub struct Reloads(Vec<(&'static str, Box<Reload>)>);

type Reload = dyn Fn() -> Result<(), String> + Send + Sync;

impl Reloads {
    /// `what` begins a sentence: "the TLS certificate".
    pub fn add<E: fmt::Display>(
        &mut self,
        what: &'static str,
        reload: impl Fn() -> Result<(), E> + Send + Sync + 'static,
    ) {
        self.0.push((what, Box::new(move || reload().map_err(|error| error.to_string()))));
    }

    pub fn run(&self) {
        for (what, reload) in &self.0 {
            match reload() {
                Ok(()) => tracing::info!("{what} was read again"),
                Err(error) => tracing::error!(%error, "{what} stays as it was"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::sections::tests::FULL;
    use super::super::{File, ServerSettings};
    use super::*;

    fn config(text: &str) -> Config {
        Config::resolve(ServerSettings::default(), File::parse(text.as_bytes()).expect(text))
    }

    fn told(before: &str, after: &str) -> Vec<String> {
        Changes::between(&config(before), &config(after)).iter().map(Change::to_string).collect()
    }

    #[test]
    fn what_differs_is_named_with_both_values_and_when_it_acts() {
        assert_eq!(told(FULL, FULL), Vec::<String>::new());
        assert_eq!(
            told(
                "[server]\nshards = 2\n",
                "[server]\nshards = 4\n[limits]\nmessage_burst = 7\n[journal]\nsync = \"never\""
            ),
            [
                "`[server] shards` changed from 2 to 4: takes effect at the next start",
                "`[limits] message_burst` changed from 1200 to 7: in force",
                "`[journal] sync` changed from \"always\" to \"never\": takes effect at the next start",
            ]
        );
        assert_eq!(
            told("[server]\ncpus = \"0\"", "[webhooks]\nallow = [\"127.0.0.0/8\"]"),
            [
                "`[server] cpus` changed from \"0\" to nothing: takes effect at the next start",
                "`[webhooks] allow` changed from [] to [\"127.0.0.0/8\"]: in force",
            ]
        );
    }

    #[test]
    fn a_secret_that_changed_is_named_and_not_told() {
        let secret = |text: &str| format!("[jwt]\nsecret = \"{text}\"");
        let told = told(&secret("hush"), &secret("hush, hush"));
        assert_eq!(told, ["`[jwt] secret` changed: takes effect at the next start"]);
    }

    #[test]
    fn every_key_that_is_said_to_be_live_exists() {
        for name in LIVE_SECTIONS {
            assert!(all_keys().any(|(section, _)| section.name == *name), "[{name}]");
        }
        for name in LIVE_KEYS {
            assert!(all_keys().any(|(_, key)| key.name == *name), "{name}");
        }
    }

    #[test]
    fn one_that_cannot_be_read_again_keeps_nobody_else_from_it() {
        use std::sync::Arc;
        use std::sync::atomic::{AtomicU32, Ordering};
        let (count, mut reloads) = (Arc::new(AtomicU32::new(0)), Reloads::default());
        let counting = count.clone();
        reloads.add("the first", || Err("no such file"));
        reloads.add("the second", move || {
            counting.fetch_add(1, Ordering::Relaxed);
            Ok::<(), String>(())
        });
        reloads.run();
        reloads.run();
        assert_eq!(count.load(Ordering::Relaxed), 2);
    }
}
