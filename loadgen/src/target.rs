//! Where the load goes: an IPv4 address, a port and a path, read from a URL.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::Path;

use crate::secure::{Trust, TrustError};

/// One endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub address: SocketAddrV4,
    /// With the query; never empty.
    pub path: String,
    /// Where TLS is spoken: whose word on the server counts.
    pub trust: Option<Trust>,
}

/// Why a URL is no target. The caller mends it.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    #[error("`{url}` is not a {scheme}:// URL: write {scheme}://127.0.0.1:5001/path")]
    Scheme { url: String, scheme: &'static str },
    #[error("`{host}` is not an IPv4 address: write one (a name would be resolved at a time that nobody chose)")]
    Host { host: String },
    #[error("`{port}` is not a port: write a number from 1 to 65535")]
    Port { port: String },
    #[error("`{url}` has a space or a control character in it: write %20 and the like")]
    Blank { url: String },
    #[error("{address} is not this machine (127.0.0.0/8): pass --allow-remote if its owner agrees to the load")]
    Remote { address: SocketAddrV4 },
    #[error(transparent)]
    Trust(#[from] TrustError),
}

impl Target {
    /// Reads `scheme://host[:port][/path]`; the port is 80 where it is left out, `localhost` is 127.0.0.1.
    pub fn parse(url: &str, scheme: &'static str) -> Result<Self, TargetError> {
        Self::parse_plain(url, scheme, 80)
    }

    /// The same, or with `wss` for `ws` and `https` for `http`; then the port is 443 where it is left out. `ca`: the authority to
    /// believe, a PEM file; without it those of the system.
    pub fn parse_any(url: &str, scheme: &'static str, ca: Option<&Path>) -> Result<Self, TargetError> {
        match url.strip_prefix(scheme).and_then(|rest| rest.strip_prefix('s')).filter(|rest| rest.starts_with("://")) {
            None => Self::parse(url, scheme),
            Some(rest) => {
                let plain = Self::parse_plain(&format!("{scheme}{rest}"), scheme, 443)?;
                Ok(Self { trust: Some(Trust::new(ca)?), ..plain })
            }
        }
    }

    fn parse_plain(url: &str, scheme: &'static str, port: u16) -> Result<Self, TargetError> {
        let wrong_scheme = || TargetError::Scheme { url: url.to_owned(), scheme };
        let rest = url.strip_prefix(scheme).and_then(|rest| rest.strip_prefix("://")).ok_or_else(wrong_scheme)?;
        if url.bytes().any(|byte| byte <= b' ' || byte == 0x7F) {
            return Err(TargetError::Blank { url: url.to_owned() });
        }
        let path_at = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(path_at);
        let default_port = port.to_string();
        let (host, port) = authority.split_once(':').unwrap_or((authority, &default_port));
        let ip = match host {
            "localhost" => Ipv4Addr::LOCALHOST,
            other => other.parse().map_err(|_| TargetError::Host { host: other.to_owned() })?,
        };
        let port: u16 =
            port.parse().ok().filter(|port| *port > 0).ok_or_else(|| TargetError::Port { port: port.to_owned() })?;
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        Ok(Self { address: SocketAddrV4::new(ip, port), path, trust: None })
    }

    /// Refuses what is not this machine, unless the user said that it may be.
    pub fn check_local(&self, allow_remote: bool) -> Result<(), TargetError> {
        if allow_remote || self.address.ip().is_loopback() {
            return Ok(());
        }
        Err(TargetError::Remote { address: self.address })
    }

    /// `host:port`, as the `Host` header has it.
    pub fn authority(&self) -> String {
        self.address.to_string()
    }

    /// The same path with `name=value` in its query; as it is where the name is there already.
    pub fn with_query(mut self, name: &str, value: &str) -> Self {
        let query = self.path.split_once('?').map(|(_, query)| query);
        let named = |pair: &str| pair.split('=').next() == Some(name);
        if !query.is_some_and(|query| query.split('&').any(named)) {
            let joint = if query.is_some() { '&' } else { '?' };
            self.path = format!("{}{joint}{name}={value}", self.path);
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_taken_apart() {
        let target = Target::parse("ws://127.0.0.1:5001/ws/alerts?apiKey=a", "ws").unwrap();
        assert_eq!(
            (target.address.to_string().as_str(), target.path.as_str()),
            ("127.0.0.1:5001", "/ws/alerts?apiKey=a")
        );
        let bare = Target::parse("http://localhost", "http").unwrap();
        assert_eq!((bare.address.to_string().as_str(), bare.path.as_str()), ("127.0.0.1:80", "/"));
        assert_eq!(Target::parse("ws://127.0.0.1?x=1", "ws").unwrap().path, "/?x=1");
    }

    #[test]
    fn a_secure_url_has_its_own_scheme_and_port_and_somebody_to_believe() {
        let certificate = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap().cert;
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), certificate.pem()).unwrap();
        let parse = |url, ca| Target::parse_any(url, "ws", ca);
        let secure = parse("wss://127.0.0.1/ws", Some(file.path())).unwrap();
        assert_eq!((secure.address.port(), secure.path.as_str(), secure.trust.is_some()), (443, "/ws", true));
        let plain = parse("ws://127.0.0.1/ws", Some(file.path())).unwrap();
        assert_eq!((plain.address.port(), plain.trust), (80, None));
        let message = parse("wss://127.0.0.1/", Some(Path::new("/nowhere"))).unwrap_err().to_string();
        assert!(message.contains("/nowhere"), "{message}");
        assert!(parse("https://127.0.0.1/", None).is_err());
    }

    #[test]
    fn a_key_joins_the_query_once() {
        let with = |url| Target::parse(url, "ws").unwrap().with_query("apiKey", "k").path;
        assert_eq!(with("ws://127.0.0.1:1/ws"), "/ws?apiKey=k");
        assert_eq!(with("ws://127.0.0.1:1/ws?since=0"), "/ws?since=0&apiKey=k");
        assert_eq!(with("ws://127.0.0.1:1/ws?apiKey=own"), "/ws?apiKey=own");
    }

    #[test]
    fn what_is_not_a_target_is_named() {
        for (url, word) in [
            ("wss://127.0.0.1/", "ws://"),
            ("127.0.0.1:5001", "ws://"),
            ("ws://example.org/", "example.org"),
            ("ws://127.0.0.1:0/", "port"),
            ("ws://127.0.0.1:99999/", "99999"),
            ("ws://127.0.0.1/a b", "space"),
            ("ws://127.0.0.1/a\r\nX: y", "control"),
        ] {
            let message = Target::parse(url, "ws").unwrap_err().to_string();
            assert!(message.contains(word), "{url}: {message}");
        }
    }

    #[test]
    fn other_machines_need_a_word_of_consent() {
        let remote = Target::parse("ws://10.1.2.3:80/", "ws").unwrap();
        assert!(matches!(remote.check_local(false), Err(TargetError::Remote { .. })));
        assert!(remote.check_local(true).is_ok());
        assert!(Target::parse("ws://127.8.9.1:80/", "ws").unwrap().check_local(false).is_ok());
    }
}
