//! Reading `stentor.toml`.
//!
//! The file is walked as a tree of values that know their places, not deserialized: so an unknown key is told with its own
//! line and the name that was meant, and a value with what would be right there.

use std::io::{self, Read};
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{ConfigError, Fault, ServerSettings};
use crate::limits::{CONFIG_FILE_BYTES_MAX, CPU_NUMBER_MAX, SHARDS_MAX};
use crate::plan::CpuList;

/// What the file says. Default: nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct File {
    pub server: ServerSettings,
}

const SECTIONS: &[&str] = &["server"];
const SERVER_KEYS: &[&str] = &["listen", "data_dir", "shards", "cpus", "delivery_cpu"];

/// A fault and the byte at which it begins.
type Misplaced = (usize, Fault);

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
    for (name, value) in in_order(root.get_ref()) {
        match name.get_ref().as_ref() {
            "server" => file.server = server(table("server", value)?)?,
            other => return Err((name.span().start, unknown_section(other))),
        }
    }
    Ok(file)
}

fn server(table: &DeTable<'_>) -> Result<ServerSettings, Misplaced> {
    let mut server = ServerSettings::default();
    for (name, value) in in_order(table) {
        match name.get_ref().as_ref() {
            "listen" => {
                let wanted = "an address with its port, such as \"127.0.0.1:5001\"";
                let wrong = |text: &str| format!("{text:?} is no address: write {wanted}");
                server.listen =
                    Some(parsed("listen", value, wanted, |text| SocketAddr::from_str(text).map_err(|_| wrong(text)))?);
            }
            "data_dir" => {
                let wanted = "a directory, such as \"/var/lib/stentor\"";
                server.data_dir = Some(parsed("data_dir", value, wanted, |text| match text {
                    "" => Err(format!("it is empty: write {wanted}")),
                    path => Ok(PathBuf::from(path)),
                })?);
            }
            "shards" => server.shards = Some(number("shards", value, "a number, such as 4", 1..=SHARDS_MAX)?),
            "cpus" => {
                let wanted = "a list in quotes, such as \"0-3,6\"";
                server.cpus = Some(parsed("cpus", value, wanted, |text| {
                    CpuList::from_str(text).map_err(|error| error.to_string())
                })?);
            }
            "delivery_cpu" => {
                server.delivery_cpu =
                    Some(number("delivery_cpu", value, "a CPU's number, such as 3", 0..=CPU_NUMBER_MAX)?);
            }
            other => {
                let (name, at) = (other.to_owned(), name.span().start);
                let nearest = nearest(other, SERVER_KEYS);
                return Err((at, Fault::UnknownKey { section: "server", name, nearest, known: SERVER_KEYS }));
            }
        }
    }
    Ok(server)
}

/// A table's entries as they stand in the file, so that the first fault is told first.
fn in_order<'t, 'i>(table: &'t DeTable<'i>) -> Vec<(&'t Spanned<toml::de::DeString<'i>>, &'t Spanned<DeValue<'i>>)> {
    let mut entries: Vec<_> = table.iter().collect();
    entries.sort_by_key(|(name, _)| name.span().start);
    entries
}

fn table<'t, 'i>(key: &'static str, value: &'t Spanned<DeValue<'i>>) -> Result<&'t DeTable<'i>, Misplaced> {
    value.get_ref().as_table().ok_or_else(|| wrong_type(key, value, "a section, such as [server]"))
}

fn parsed<T>(
    key: &'static str,
    value: &Spanned<DeValue<'_>>,
    wanted: &'static str,
    parse: impl FnOnce(&str) -> Result<T, String>,
) -> Result<T, Misplaced> {
    let text = value.get_ref().as_str().ok_or_else(|| wrong_type(key, value, wanted))?;
    parse(text).map_err(|message| (value.span().start, Fault::WrongValue { key, message }))
}

fn number(
    key: &'static str,
    value: &Spanned<DeValue<'_>>,
    wanted: &'static str,
    allowed: RangeInclusive<usize>,
) -> Result<usize, Misplaced> {
    let integer = value.get_ref().as_integer().ok_or_else(|| wrong_type(key, value, wanted))?;
    // What is negative or overflows lies outside as well.
    match usize::from_str_radix(integer.as_str(), integer.radix()) {
        Ok(number) if allowed.contains(&number) => Ok(number),
        _ => {
            let message = format!("{integer} is out of range: write {} to {}", allowed.start(), allowed.end());
            Err((value.span().start, Fault::WrongValue { key, message }))
        }
    }
}

fn wrong_type(key: &'static str, value: &Spanned<DeValue<'_>>, wanted: &'static str) -> Misplaced {
    let got = match value.get_ref() {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) => "a number",
        DeValue::Float(_) => "a decimal number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    };
    (value.span().start, Fault::WrongType { key, got, wanted })
}

fn unknown_section(name: &str) -> Fault {
    match SERVER_KEYS.iter().find(|known| **known == name) {
        Some(key) => Fault::OutsideSection { key, section: "server" },
        None => Fault::UnknownSection { name: name.to_owned(), nearest: nearest(name, SECTIONS), known: SECTIONS },
    }
}

/// The name that is at most two slips of the keyboard away. Of two or three letters, two slips leave nothing.
fn nearest(name: &str, known: &[&'static str]) -> Option<&'static str> {
    const SLIPS_MAX: usize = 2;
    let name = name.to_ascii_lowercase().replace('-', "_");
    let nearest = known.iter().map(|known| (strsim::osa_distance(&name, known), *known)).min()?;
    (nearest.0 <= SLIPS_MAX && nearest.0 * 2 <= nearest.1.len()).then_some(nearest.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> String {
        let (line, fault) = File::parse(text.as_bytes()).expect_err(text);
        format!("line {line}: {fault}")
    }

    #[test]
    fn every_key_is_read() {
        let text = r#"
            [server]
            listen = "[::1]:80"
            data_dir = "/var/lib/stentor"
            shards = 0x0_c
            cpus = "0-2,5"
            delivery_cpu = 3
        "#;
        let server = File::parse(text.as_bytes()).expect("valid").server;
        let expected = ServerSettings {
            listen: Some("[::1]:80".parse().expect("an address")),
            data_dir: Some("/var/lib/stentor".into()),
            shards: Some(12),
            cpus: Some("0-2,5".parse().expect("a list")),
            delivery_cpu: Some(3),
        };
        assert_eq!(server, expected);
    }

    #[test]
    fn a_file_without_settings_says_nothing() {
        for text in ["", "# nothing\n", "[server]\n"] {
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
                "line 2: unknown key `port`: [server] has listen, data_dir, shards, cpus, delivery_cpu",
            ),
            ("[sever]\n", "line 1: unknown section [sever]: did you mean `server`?"),
            ("[server]\n[tls]\n", "line 2: unknown section [tls]: the sections are server"),
            ("# top\nshards = 2\n", "line 2: `shards` stands in no section: put it below [server]"),
            ("server = 5", "line 1: `server` is a number: write a section, such as [server]"),
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
    }

    #[test]
    fn a_file_is_bounded_and_has_to_be_there() {
        let path = Path::new("/dev/zero");
        assert!(matches!(File::read(path), Err(ConfigError::TooLong { .. })));
        let message = File::read(Path::new("/nonexistent/stentor.toml")).expect_err("not there").to_string();
        assert!(message.contains("/nonexistent/stentor.toml") && message.contains("--config"), "{message}");
    }
}
