//! The configuration in force, written as a file that says the same.

use std::path::PathBuf;

use super::Config;
use crate::server::ServerOptions;

/// TOML holds only Unicode.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the name of the data directory {} is not UTF-8, which no configuration file can hold: rename it", .0.display())]
pub struct NotPrintable(PathBuf);

impl Config {
    /// Commented TOML. What the machine decides stands there as a comment.
    pub fn to_toml(&self) -> Result<String, NotPrintable> {
        let ServerOptions { listen, data_dir, wishes, .. } = &self.server;
        let data_dir = data_dir.to_str().ok_or_else(|| NotPrintable(data_dir.clone()))?;
        let shards = set_or("shards", wishes.shards.map(|shards| shards.to_string()), "4");
        let cpus = set_or("cpus", wishes.cpus.as_ref().map(|cpus| quoted(&cpus.to_string())), "\"0-3,6\"");
        let delivery_cpu = set_or("delivery_cpu", wishes.delivery_cpu.map(|cpu| cpu.to_string()), "3");
        Ok(format!(
            "\
# Stentor's configuration, for `stentor serve --config FILE`. Flags override it.

[server]
# The address to listen on.
listen = {}

# Accounts, keys and the journal; from the working directory where it is relative.
data_dir = {}

# Pinned threads that hold the sockets. Unset: one a CPU.
{shards}

# The CPUs to use. Unset: all that this process may.
{cpus}

# The CPU for everything outbound that blocks: accounts, webhooks. Unset: the last one.
{delivery_cpu}
",
            quoted(&listen.to_string()),
            quoted(data_dir),
        ))
    }
}

fn set_or(key: &str, value: Option<String>, example: &str) -> String {
    value.map_or_else(|| format!("# {key} = {example}"), |value| format!("{key} = {value}"))
}

fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::super::{File, ServerSettings};
    use super::*;

    #[test]
    fn what_is_printed_reads_back_as_the_same_configuration() {
        let all = ServerSettings {
            listen: Some("[::1]:80".parse().expect("an address")),
            data_dir: Some("/data \"of\" O'Brien\\\n\u{7f}é".into()),
            shards: Some(3),
            cpus: Some("0-2,5".parse().expect("a list")),
            delivery_cpu: Some(1),
        };
        for settings in [ServerSettings::default(), all] {
            let config = Config::resolve(settings, File::default());
            let text = config.to_toml().expect("Unicode");
            let file = File::parse(text.as_bytes()).expect(&text);
            assert_eq!(Config::resolve(ServerSettings::default(), file), config, "{text}");
        }
    }

    #[test]
    fn every_example_in_it_is_valid() {
        let text = Config::resolve(ServerSettings::default(), File::default()).to_toml().expect("Unicode");
        let keys = ["shards", "cpus", "delivery_cpu"];
        let with_examples =
            keys.iter().fold(text, |text, key| text.replace(&format!("# {key} ="), &format!("{key} =")));
        let server = File::parse(with_examples.as_bytes()).expect(&with_examples).server;
        assert!(server.shards.is_some() && server.cpus.is_some() && server.delivery_cpu.is_some());
    }

    #[test]
    fn a_name_that_toml_can_t_hold_is_not_bent() {
        use std::os::unix::ffi::OsStringExt;
        let data_dir = Some(PathBuf::from(std::ffi::OsString::from_vec(b"/data/\xff".to_vec())));
        let config = Config::resolve(ServerSettings { data_dir, ..Default::default() }, File::default());
        assert!(config.to_toml().is_err());
    }
}
