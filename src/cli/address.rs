//! Where a server is, as it is named on the command line.

use std::str::FromStr;

use url::Url;

/// `http://` or `https://`, a host, perhaps a port, and perhaps a path that stands before the server's routes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerUrl(String);

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("write it like http://127.0.0.1:5001 or https://example.com")]
pub struct NotAServer;

impl ServerUrl {
    /// The whole address of a route, which begins with a slash.
    pub fn route(&self, path: &str) -> String {
        format!("{}{path}", self.0)
    }

    pub fn is_secure(&self) -> bool {
        self.0.starts_with("https:")
    }
}

impl FromStr for ServerUrl {
    type Err = NotAServer;

    fn from_str(text: &str) -> Result<Self, NotAServer> {
        // `http::Uri` passes over a port that is none, and 80 would be asked.
        let url = Url::parse(text).map_err(|_| NotAServer)?;
        let is_plain = url.username().is_empty() && url.password().is_none();
        let is_plain = is_plain && url.query().is_none() && url.fragment().is_none();
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() || !is_plain {
            return Err(NotAServer);
        }
        Ok(Self(url.as_str().trim_end_matches('/').to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_servers_address_keeps_its_port_and_its_path() {
        let route = |text: &str| text.parse::<ServerUrl>().map(|server| server.route("/healthz"));
        for (text, expected) in [
            ("http://127.0.0.1:5001", "http://127.0.0.1:5001/healthz"),
            ("http://box/stentor/", "http://box/stentor/healthz"),
            ("HTTPS://[::1]:8443/", "https://[::1]:8443/healthz"),
            ("https://example.com:443", "https://example.com/healthz"),
        ] {
            assert_eq!(route(text).as_deref(), Ok(expected), "{text}");
        }
        for wrong in [
            "",
            "nonsense",
            "/healthz",
            "127.0.0.1:5001",
            "localhost:5001",
            "http://",
            "http://127.0.0.1:99999",
            "http://127.0.0.1:port",
            "http://name:word@127.0.0.1:5001",
            "http://127.0.0.1:5001/?a=b",
            "ftp://127.0.0.1:5001",
            "ws://127.0.0.1:5001",
        ] {
            assert_eq!(route(wrong), Err(NotAServer), "{wrong}");
        }
    }

    #[test]
    fn it_says_whether_it_is_secure() {
        let is_secure = |text: &str| text.parse::<ServerUrl>().expect(text).is_secure();
        assert!(is_secure("https://a") && is_secure("HTTPS://a") && !is_secure("http://a"));
    }
}
