//! Reading `stentor.toml`.
//!
//! The file is walked as a tree of values that know their places, not deserialized: so an unknown key is told with its own
//! line and the name that was meant, and a value with what would be right there.

use std::io::{self, Read};
use std::path::Path;

use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::error::Misplaced;
use super::sections::{Key, SECTIONS, Section, all_keys};
use super::value::{Value, kind};
use super::{ConfigError, DEFAULT_DATA_DIR, DEFAULT_LISTEN, Fault};
use crate::delivery::WebhookOptions;
use crate::gate::{Network, Policy};
use crate::journal::JournalOptions;
use crate::limits::CONFIG_FILE_BYTES_MAX;
use crate::logging::LogOptions;
use crate::plan::Wishes;
use crate::protocol::SessionRules;
use crate::server::ServerOptions;
use crate::shard::DrainRules;
use crate::tls::TlsFiles;
use crate::tokens::TokenSettings;

/// What the file says, and the defaults where it says nothing. Default: it says nothing at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    pub server: ServerOptions,
}

impl Default for File {
    fn default() -> Self {
        Self {
            server: ServerOptions {
                listen: DEFAULT_LISTEN,
                data_dir: DEFAULT_DATA_DIR.into(),
                wishes: Wishes::default(),
                policy: Policy::default(),
                rules: SessionRules::default(),
                journal: JournalOptions::default(),
                tokens: TokenSettings::default(),
                tls: TlsFiles::default(),
                webhooks: WebhookOptions::default(),
                scrapers: vec![Network::LOOPBACK_V4, Network::LOOPBACK_V6],
                drain: DrainRules::default(),
                log: LogOptions::default(),
            },
        }
    }
}

impl File {
    /// Reads a file that was named, and so has to be there.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let file = std::fs::File::open(path).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => ConfigError::Missing { path: path.to_owned() },
            _ => ConfigError::Unreadable { path: path.to_owned(), source },
        })?;
        let mut bytes = Vec::new();
        file.take(CONFIG_FILE_BYTES_MAX + 1)
            .read_to_end(&mut bytes)
            .map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
        if bytes.len() as u64 > CONFIG_FILE_BYTES_MAX {
            return Err(ConfigError::TooLong { path: path.to_owned() });
        }
        Self::parse(&bytes).map_err(|(line, fault)| ConfigError::Wrong { path: path.to_owned(), line, fault })
    }

    /// Errors: the line, from 1, and what is wrong with it.
    pub fn parse(bytes: &[u8]) -> Result<Self, (usize, Fault)> {
        let parsed = match std::str::from_utf8(bytes) {
            Ok(text) => walk(text),
            Err(error) => Err((error.valid_up_to(), Fault::NotUtf8)),
        };
        let line = |at: usize| 1 + bytes[..at.min(bytes.len())].iter().filter(|byte| **byte == b'\n').count();
        parsed.map_err(|(at, fault)| (line(at), fault))
    }
}

fn walk(text: &str) -> Result<File, Misplaced> {
    let root = DeTable::parse(text).map_err(|error| {
        let message = error.message().lines().map(str::trim).collect::<Vec<_>>().join(", ");
        (error.span().map_or(0, |span| span.start), Fault::Syntax { message })
    })?;
    let mut file = File::default();
    let mut conflicts = Vec::new();
    for (name, value) in in_order(root.get_ref()) {
        let section = section(name)?;
        for (name, value) in in_order(table(section, value)?) {
            let key = key(section, name)?;
            (key.read)(&mut file.server, Value::new(key, value))?;
            let of_key = section.conflicts.iter().filter(|conflict| conflict.key == key.name);
            conflicts.extend(of_key.map(|conflict| (conflict, name.span().start)));
        }
    }
    match conflicts.into_iter().find(|(conflict, _)| (conflict.arises)(&file.server)) {
        Some((conflict, at)) => {
            Err((at, Fault::WrongValue { key: conflict.key, message: conflict.message.to_owned() }))
        }
        None => Ok(file),
    }
}

/// A table's entries as they stand in the file, so that the first fault is told first.
fn in_order<'t, 'i>(table: &'t DeTable<'i>) -> Vec<(&'t Spanned<DeString<'i>>, &'t Spanned<DeValue<'i>>)> {
    let mut entries: Vec<_> = table.iter().collect();
    entries.sort_by_key(|(name, _)| name.span().start);
    entries
}

fn section(name: &Spanned<DeString<'_>>) -> Result<&'static Section, Misplaced> {
    let text = name.get_ref().as_ref();
    if let Some(section) = SECTIONS.into_iter().find(|section| section.name == text) {
        return Ok(section);
    }
    let fault = match all_keys().find(|(_, key)| key.name == text) {
        Some((section, key)) => Fault::OutsideSection { key: key.name, section: section.name },
        None => {
            let known: Vec<_> = SECTIONS.iter().map(|section| section.name).collect();
            Fault::UnknownSection { name: text.to_owned(), nearest: nearest(text, known.iter().copied()), known }
        }
    };
    Err((name.span().start, fault))
}

fn table<'t, 'i>(section: &Section, value: &'t Spanned<DeValue<'i>>) -> Result<&'t DeTable<'i>, Misplaced> {
    let no_section = || Fault::NoSection { name: section.name, got: kind(value.get_ref()) };
    value.get_ref().as_table().ok_or_else(|| (value.span().start, no_section()))
}

fn key(section: &'static Section, name: &Spanned<DeString<'_>>) -> Result<&'static Key, Misplaced> {
    let text = name.get_ref().as_ref();
    let found = section.keys.iter().find(|key| key.name == text);
    found.ok_or_else(|| (name.span().start, unknown_key(section, text)))
}

/// What was meant: a key that stands in the wrong place, one of this section, or one of another.
fn unknown_key(section: &'static Section, name: &str) -> Fault {
    if let Some((section, key)) = all_keys().find(|(_, key)| key.name == name) {
        return Fault::OtherSection { key: key.name, section: section.name };
    }
    let known: Vec<_> = section.keys.iter().map(|key| key.name).collect();
    let nearest_here = nearest(name, known.iter().copied());
    // `port` in [server] is no slip for `ports` of [webhooks]: of another section a short name proves nothing.
    let long_names = all_keys().map(|(_, key)| key.name).filter(|known| known.len() > SHORT_NAME_CHARS_MAX);
    let nearest_anywhere = nearest(name, long_names);
    let elsewhere = all_keys().find(|(_, key)| Some(key.name) == nearest_anywhere);
    match (nearest_here, elsewhere) {
        (None, Some((section, key))) => {
            Fault::MisspeltInOtherSection { name: name.to_owned(), key: key.name, section: section.name }
        }
        (nearest, _) => Fault::UnknownKey { section: section.name, name: name.to_owned(), nearest, known },
    }
}

const SHORT_NAME_CHARS_MAX: usize = 5;

/// The name that is at most two slips of the keyboard away. Of two or three letters, two slips leave nothing.
fn nearest(name: &str, known: impl Iterator<Item = &'static str>) -> Option<&'static str> {
    const SLIPS_MAX: usize = 2;
    let name = name.to_ascii_lowercase().replace('-', "_");
    let nearest = known.map(|known| (strsim::osa_distance(&name, known), known)).min()?;
    (nearest.0 <= SLIPS_MAX && nearest.0 * 2 <= nearest.1.len()).then_some(nearest.1)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// The fault of a file that has one, with its line.
    pub fn told(text: &str) -> String {
        let (line, fault) = File::parse(text.as_bytes()).expect_err(text);
        format!("line {line}: {fault}")
    }

    #[test]
    fn a_file_without_settings_says_nothing() {
        for text in ["", "# nothing\n", "[server]\n", "[limits]\n[jwt]\n[server]\nallowed_origins = [\"*\"]"] {
            assert_eq!(File::parse(text.as_bytes()), Ok(File::default()), "{text}");
        }
    }

    #[test]
    fn faults_are_told_with_line_and_remedy() {
        for (text, expected) in [
            ("\n[server]\nlsiten = \"127.0.0.1:1\"\n", "line 3: unknown key `lsiten`: did you mean `listen`?"),
            ("[server]\ndata-dir = \"x\"", "line 2: unknown key `data-dir`: did you mean `data_dir`?"),
            (
                "[server]\nport = 5001",
                "line 2: unknown key `port`: [server] has listen, data_dir, shards, cpus, delivery_cpu, allowed_origins, trusted_proxies, proxy_protocol, drain_seconds, restart_seconds",
            ),
            ("[sever]\n", "line 1: unknown section [sever]: did you mean `server`?"),
            (
                "[server]\n[clusters]\n",
                "line 2: unknown section [clusters]: the sections are server, tls, jwt, limits, journal, replay, slow_consumers, webhooks, metrics, log",
            ),
            ("# top\nshards = 2\n", "line 2: `shards` stands in no section: put it below [server]"),
            ("issuer = \"i\"\n", "line 1: `issuer` stands in no section: put it below [jwt]"),
            ("server = 5", "line 1: `server` is a number: write a section, such as [server]"),
            ("[[jwt]]\n", "line 1: `jwt` is an array: write a section, such as [jwt]"),
            (
                "[server]\n\nlisten = 5001",
                "line 3: `listen` is a number: write an address with its port, such as \"127.0.0.1:5001\"",
            ),
            (
                "[server]\nlisten = \"localhost\"",
                "line 2: `listen`: \"localhost\" is no address: write an address with its port, such as \"127.0.0.1:5001\"",
            ),
            (
                "[server]\ndata_dir = \"\"",
                "line 2: `data_dir`: it is empty: write a directory, such as \"/var/lib/stentor\"",
            ),
            ("[server]\nshards = \"2\"", "line 2: `shards` is a text: write a number, such as 4"),
            ("[server]\nshards = 0", "line 2: `shards`: 0 is out of range: write 1 to 256"),
            ("[server]\nshards = -1", "line 2: `shards`: -1 is out of range: write 1 to 256"),
            ("[server]\nshards = 2.5", "line 2: `shards` is a decimal number: write a number, such as 4"),
            ("[server]\ncpus = [0, 1]", "line 2: `cpus` is an array: write a list in quotes, such as \"0-3,6\""),
            (
                "[server]\ncpus = \"a\"",
                "line 2: `cpus`: `a` is neither a CPU number nor a range: write numbers and ranges, such as 0-3,6",
            ),
            ("[server]\ndelivery_cpu = 1024", "line 2: `delivery_cpu`: 1024 is out of range: write 0 to 1023"),
            ("[server]\nproxy_protocol = \"on\"", "line 2: `proxy_protocol` is a text: write true or false"),
        ] {
            assert_eq!(told(text), expected, "{text}");
        }
    }

    #[test]
    fn a_key_in_the_wrong_section_is_told_the_right_one() {
        for (text, expected) in [
            (
                "[server]\nshards = 1\nmessage_bytes = 5",
                "line 3: `message_bytes` belongs to another section: put it below [limits]",
            ),
            ("[limits]\nlisten = \"x\"", "line 2: `listen` belongs to another section: put it below [server]"),
            (
                "[server]\nmesage_bytes = 5",
                "line 2: unknown key `mesage_bytes`: did you mean `message_bytes` of [limits]?",
            ),
            ("[jwt]\nIssuers = \"i\"", "line 2: unknown key `Issuers`: did you mean `issuer`?"),
        ] {
            assert_eq!(told(text), expected, "{text}");
        }
    }

    #[test]
    fn broken_toml_is_told_with_its_line() {
        for (text, line) in [
            ("[server]\nlisten = \n", "line 2: not valid TOML: "),
            ("[server]\nshards = 1\nshards = 2\n", "line 3: not valid TOML: "),
            ("[server]\n\nlisten = \"127", "line 3: not valid TOML: "),
            ("[server\n", "line 1: not valid TOML: "),
        ] {
            let told = told(text);
            assert!(told.starts_with(line) && told.len() > line.len() && !told.contains('\n'), "{told}");
        }
        assert_eq!(File::parse(b"# ok\n\xff"), Err((2, Fault::NotUtf8)));
    }

    #[test]
    fn of_several_faults_the_first_is_told() {
        assert_eq!(told("[server]\nzz = 1\naa = 2\n").split(':').next(), Some("line 2"));
        assert_eq!(told("[limits]\nzz = 1\n[jwt]\naa = 2\n").split(':').next(), Some("line 2"));
    }

    #[test]
    fn a_file_is_bounded_and_has_to_be_there() {
        let path = Path::new("/dev/zero");
        assert!(matches!(File::read(path), Err(ConfigError::TooLong { .. })));
        let message = File::read(Path::new("/nonexistent/stentor.toml")).expect_err("not there").to_string();
        assert!(message.contains("/nonexistent/stentor.toml") && message.contains("--config"), "{message}");
    }
}
