//! A webhook's URL, checked as far as its text goes.
//!
//! The text is read once, by the WHATWG's rules, and what is stored and sent to is the form that these give it: however an address was
//! written, it is looked at and kept as the address it is. The client reads the stored form by other rules (RFC 3986), so one that
//! these read differently is refused.

use std::fmt;

use http::Uri;
use url::{Host, ParseError, Position, Url};

use super::{Allowed, GuardRefusal};
use crate::delivery::PortRange;
use crate::limits::{HOST_LABEL_BYTES_MAX, HOST_NAME_BYTES_MAX, WEBHOOK_URL_BYTES_MAX};

/// An absolute http or https URL without credentials and fragment, whose port is allowed and whose host, where it is an address, is
/// one that may be reached. In the form that the WHATWG URL standard gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookUrl(Box<str>);

impl WebhookUrl {
    pub fn parse(text: &str, ports: &[PortRange], allowed: &Allowed) -> Result<Self, GuardRefusal> {
        check_text(text)?;
        let mut url = Url::parse(text).map_err(|error| match error {
            ParseError::EmptyHost => GuardRefusal::NoHost,
            error => GuardRefusal::Unreadable(error.to_string()),
        })?;
        check_form(text, &url)?;
        check_host(&mut url, allowed)?;
        check_port(&url, ports)?;
        check_reading(&url)?;
        Ok(Self(String::from(url).into()))
    }

    /// One that was checked when it was stored; the attempt looks again.
    pub fn stored(text: String) -> Self {
        Self(text.into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for WebhookUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// The standard passes over blanks and line breaks and takes a backslash for a slash. Nobody means that, but for those who hope that
/// somebody else reads it otherwise.
fn check_text(text: &str) -> Result<(), GuardRefusal> {
    match text {
        _ if text.len() > WEBHOOK_URL_BYTES_MAX => Err(GuardRefusal::TooLong),
        _ if text.contains(|c: char| c.is_control() || c.is_whitespace()) => Err(GuardRefusal::Blank),
        _ if text.contains('\\') => Err(GuardRefusal::Backslash),
        _ => Ok(()),
    }
}

/// Scheme, slashes, credentials and fragment.
fn check_form(text: &str, url: &Url) -> Result<(), GuardRefusal> {
    if !matches!(url.scheme(), "http" | "https") {
        return Err(GuardRefusal::Scheme(url.scheme().chars().take(SCHEME_CHARS_TOLD).collect()));
    }
    // The standard also takes `http:host` and `http:////host`.
    let behind_scheme = text.get(url.scheme().len()..).and_then(|rest| rest.strip_prefix("://"));
    let authority = behind_scheme.filter(|rest| !rest.starts_with('/')).ok_or(GuardRefusal::NoHost)?;
    let authority = authority.split(['/', '?', '#']).next().unwrap_or_default();
    // Empty ones, too (`http://@host/`), which the standard drops.
    if authority.contains('@') {
        return Err(GuardRefusal::Credentials);
    }
    match url.fragment() {
        Some(_) => Err(GuardRefusal::Fragment),
        None => Ok(()),
    }
}

/// What is told of a scheme that is none.
const SCHEME_CHARS_TOLD: usize = 32;

/// An address has to be one that may be reached, a name one that can be public. A dot at a name's end is dropped: one name, one text.
fn check_host(url: &mut Url, allowed: &Allowed) -> Result<(), GuardRefusal> {
    let domain = match url.host().ok_or(GuardRefusal::NoHost)? {
        Host::Ipv4(address) => return allowed.check(address.into()),
        Host::Ipv6(address) => return allowed.check(address.into()),
        Host::Domain(domain) => domain,
    };
    let name = domain.strip_suffix('.').unwrap_or(domain).to_owned();
    if !is_host_name(&name) {
        return Err(GuardRefusal::Host(name.chars().take(HOST_NAME_BYTES_MAX).collect()));
    }
    // Where the operator lets deliveries into some network, its names are judged by their addresses, as all others.
    if allowed.is_empty() && is_local_name(&name) {
        return Err(GuardRefusal::LocalName(name));
    }
    if name.len() < domain.len() {
        url.set_host(Some(&name)).map_err(|error| GuardRefusal::Unreadable(error.to_string()))?;
    }
    match url.host() {
        Some(Host::Domain(domain)) if domain == name => Ok(()),
        _ => Err(GuardRefusal::Ambiguous),
    }
}

/// The standard lets much more pass, such as `a;b` and `a..b`. An underscore is in use.
fn is_host_name(name: &str) -> bool {
    let is_label = |label: &str| {
        (1..=HOST_LABEL_BYTES_MAX).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    name.len() <= HOST_NAME_BYTES_MAX && name.split('.').all(is_label)
}

/// Names that nobody can have in public: without a dot, and below what RFC 6761 (localhost), RFC 6762 with its appendix G, RFC 8375
/// (home.arpa) and ICANN (internal) keep out of the public DNS.
fn is_local_name(name: &str) -> bool {
    const LOCAL_ENDS: [&str; 10] =
        ["localhost", "localdomain", "local", "internal", "intranet", "private", "corp", "home", "lan", "home.arpa"];
    let below = |end: &str| name.strip_suffix(end).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
    !name.contains('.') || LOCAL_ENDS.into_iter().any(below)
}

fn check_port(url: &Url, ports: &[PortRange]) -> Result<(), GuardRefusal> {
    let port = url.port_or_known_default().unwrap_or(0);
    if ports.iter().any(|range| range.contains(port)) {
        return Ok(());
    }
    let allowed = ports.iter().map(PortRange::to_string).collect::<Vec<_>>().join(", ");
    Err(GuardRefusal::Port { port, allowed })
}

/// The form that is stored is no longer than the text may be, and the client reads it the same.
fn check_reading(url: &Url) -> Result<(), GuardRefusal> {
    if url.as_str().len() > WEBHOOK_URL_BYTES_MAX {
        return Err(GuardRefusal::TooLong);
    }
    let uri = url.as_str().parse().map_err(|_| GuardRefusal::Ambiguous)?;
    reads_the_same(url, &uri).then_some(()).ok_or(GuardRefusal::Ambiguous)
}

fn reads_the_same(url: &Url, uri: &Uri) -> bool {
    uri.scheme_str() == Some(url.scheme())
        && uri.host() == url.host_str()
        && uri.port_u16() == url.port()
        && uri.authority().map(|authority| authority.as_str()) == Some(&url[Position::BeforeHost..Position::AfterPort])
        && uri.path_and_query().map(|path| path.as_str()) == Some(&url[Position::BeforePath..Position::AfterQuery])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_reading_of_any_part_is_noticed() {
        let url = Url::parse("http://hooks.example:8080/a?b").expect("a URL");
        assert!(reads_the_same(&url, &"http://hooks.example:8080/a?b".parse().expect("a URI")));
        for other in [
            "https://hooks.example:8080/a?b",
            "http://hooks.example/a?b",
            "http://hooks.example:8081/a?b",
            "http://127.0.0.1:8080/a?b",
            "http://user@hooks.example:8080/a?b",
            "http://hooks.example:8080/a?c",
            "http://hooks.example:8080/",
            "/a?b",
        ] {
            assert!(!reads_the_same(&url, &other.parse().expect("a URI")), "{other}");
        }
    }
}
