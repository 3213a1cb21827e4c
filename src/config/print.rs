//! The configuration in force, written as a file that says the same.

use std::fmt::Write;
use std::path::PathBuf;

use super::Config;
use super::sections::{Printed, SECTIONS};

/// TOML holds only Unicode.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{key}` is {}, which is not UTF-8, and so no configuration file can hold it: rename it", .path.display())]
pub struct NotPrintable {
    key: &'static str,
    path: PathBuf,
}

impl Config {
    /// Commented TOML with every key. One that is not set, or is a secret, stands there as a comment.
    pub fn to_toml(&self) -> Result<String, NotPrintable> {
        let mut text = "# Stentor's configuration, for `stentor serve --config FILE`. Flags override it.\n".to_owned();
        for section in SECTIONS {
            writeln!(text, "\n{}[{}]", commented(section.about), section.name).expect("a String takes everything");
            for (number, key) in section.keys.iter().enumerate() {
                let (gap, about, name) = (if number == 0 { "" } else { "\n" }, commented(key.about), key.name);
                let line = match (key.print)(&self.server) {
                    Printed::Set(value) => format!("{name} = {value}"),
                    Printed::Unset => format!("# {name} = {}", key.example),
                    Printed::Secret => format!("# {name} = \"…\"  (set, not shown)"),
                    Printed::NotUnicode(path) => return Err(NotPrintable { key: name, path }),
                };
                writeln!(text, "{gap}{about}{line}").expect("a String takes everything");
            }
        }
        Ok(text)
    }
}

fn commented(text: &str) -> String {
    text.lines().map(|line| format!("# {line}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::super::sections::{all_keys, tests::FULL};
    use super::super::{File, ServerSettings};
    use super::*;
    use crate::tokens::KeySource;

    fn config(text: &str) -> Config {
        Config::resolve(ServerSettings::default(), File::parse(text.as_bytes()).expect(text))
    }

    fn printed(config: &Config) -> String {
        config.to_toml().expect("Unicode")
    }

    #[test]
    fn what_is_printed_reads_back_as_the_same_configuration() {
        let odd = r#"
            [server]
            data_dir = "/data \"of\" O'Brien\\\n\u007Fé"
            allowed_origins = []
            trusted_proxies = []
            [jwt]
            issuer = "a \"quoted\" # one\n"
            [limits]
            exempt_addresses = []
        "#;
        for text in ["", FULL, odd, "[jwt]\npublic_key_file = 'a\\b'", "[jwt]\njwks_file = 'j'"] {
            let config = config(text);
            let printed = printed(&config);
            assert_eq!(self::config(&printed), config, "{printed}");
        }
    }

    #[test]
    fn a_secret_is_not_shown_and_nothing_else_is_lost() {
        let mut config = config("[jwt]\nsecret = \"hush, hush\"\nissuer = \"i\"\n[limits]\nmessage_burst = 9");
        let printed = printed(&config);
        assert!(printed.contains("\n# secret = \"…\"  (set, not shown)\n") && !printed.contains("hush"), "{printed}");
        assert_ne!(self::config(&printed), config);
        config.server.tokens.source = KeySource::DataDirectory;
        assert_eq!(self::config(&printed), config);
    }

    /// The lines of comment right above each `name = …`, commented out or not.
    fn comments_above(printed: &str, section: &str, name: &str) -> Vec<String> {
        let lines: Vec<_> = printed.lines().collect();
        let header = lines.iter().position(|line| *line == format!("[{section}]")).expect("the section");
        let is_key = |line: &&str| line.trim_start_matches("# ").starts_with(&format!("{name} = "));
        let at = header + lines[header..].iter().position(is_key).expect("the key");
        let above = lines[..at].iter().rev().take_while(|line| line.starts_with("# "));
        above.map(|line| line.trim_start_matches("# ").to_owned()).collect()
    }

    #[test]
    fn every_key_is_printed_in_its_section_below_its_explanation() {
        for text in ["", FULL] {
            let printed = printed(&config(text));
            for (section, key) in all_keys() {
                let comments = comments_above(&printed, section.name, key.name);
                let words: usize = comments.iter().map(|line| line.split_whitespace().count()).sum();
                assert!(words >= 4, "[{}] {} is not explained: {comments:?}", section.name, key.name);
            }
            for line in printed.lines() {
                assert!(line.chars().count() <= 120 && line.trim_end() == line, "{line:?}");
            }
        }
    }

    #[test]
    fn a_name_that_toml_can_t_hold_is_not_bent() {
        use std::os::unix::ffi::OsStringExt;
        let path = || PathBuf::from(std::ffi::OsString::from_vec(b"/data/\xff".to_vec()));
        let settings = ServerSettings { data_dir: Some(path()), ..Default::default() };
        let error = Config::resolve(settings, File::default()).to_toml().expect_err("not Unicode").to_string();
        assert!(error.contains("`data_dir`") && error.ends_with("rename it"), "{error}");
        for source in [KeySource::PublicKeyFile(path()), KeySource::JwksFile(path())] {
            let mut config = config("");
            config.server.tokens.source = source;
            assert!(config.to_toml().is_err());
        }
    }
}
