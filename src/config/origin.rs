//! An origin as it is written in the configuration.

use std::net::Ipv6Addr;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoOrigin {
    #[error(
        "{0:?} is no origin: write scheme://host or scheme://host:port in ASCII, such as \"https://app.example\", without a path \
         or a slash at the end"
    )]
    Form(String),
    #[error("browsers leave :{port} out of {text:?}, which would never match: write {without:?}")]
    DefaultPort { text: String, port: u16, without: String },
}

/// The origin in lower case, as browsers send it (RFC 6454 §6.2): `scheme://host[:port]` and nothing else.
pub fn origin(text: &str) -> Result<String, NoOrigin> {
    let no_origin = || NoOrigin::Form(text.to_owned());
    let origin = text.to_ascii_lowercase();
    let (scheme, authority) = origin.split_once("://").ok_or_else(no_origin)?;
    // An IPv6 address has colons of its own, and brackets around them.
    let port_at = authority.rfind(':').filter(|at| *at > authority.rfind(']').unwrap_or(0));
    let (host, port) = match port_at {
        Some(at) => (&authority[..at], Some(&authority[at + 1..])),
        None => (authority, None),
    };
    if !is_scheme(scheme) || !is_host(host) {
        return Err(no_origin());
    }
    let Some(port) = port else { return Ok(origin) };
    if !port.bytes().all(|byte| byte.is_ascii_digit()) || port.starts_with('0') {
        return Err(no_origin());
    }
    let port: u16 = port.parse().map_err(|_| no_origin())?;
    if matches!((scheme, port), ("http", 80) | ("https", 443)) {
        let without = format!("{scheme}://{host}");
        return Err(NoOrigin::DefaultPort { text: text.to_owned(), port, without });
    }
    Ok(origin)
}

/// RFC 3986 §3.1. Not only the web's: apps and extensions have schemes of their own.
fn is_scheme(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_lowercase())
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"+-.".contains(&byte))
}

/// A name or an address. Other scripts have to be written as browsers send them, in punycode.
fn is_host(text: &str) -> bool {
    match text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(address) => address.parse::<Ipv6Addr>().is_ok(),
        None => !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_taken_in_lower_case() {
        for (text, expected) in [
            ("https://app.example", "https://app.example"),
            ("HTTPS://App.Example:8443", "https://app.example:8443"),
            ("http://localhost:3000", "http://localhost:3000"),
            ("http://127.0.0.1:443", "http://127.0.0.1:443"),
            ("http://[::1]:8080", "http://[::1]:8080"),
            ("https://[2001:DB8::1]", "https://[2001:db8::1]"),
            ("capacitor://localhost", "capacitor://localhost"),
            ("https://xn--bcher-kva.example", "https://xn--bcher-kva.example"),
        ] {
            assert_eq!(origin(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_no_browser_would_send_is_refused() {
        for text in [
            "",
            "app.example",
            "https://",
            "://app.example",
            "https://app.example/",
            "https://app.example/path",
            "https://user@app.example",
            "https://app.example?q",
            "https://app.example#f",
            "https://app.example:",
            "https://app.example:0",
            "https://app.example:+8",
            "https://app.example:08443",
            "https://app.example:65536",
            "https://*.app.example",
            "https://a b",
            "https://bücher.example",
            "null",
            "*",
            "https://[::1",
            "https://::1",
            "https://[::1]x:5",
            "https://[app]",
            "4ttps://app.example",
            "https://a\n",
            " https://app.example",
        ] {
            assert_eq!(origin(text), Err(NoOrigin::Form(text.to_owned())), "{text}");
        }
    }

    #[test]
    fn a_port_that_browsers_leave_out_is_told() {
        let told = origin("https://App.example:443").expect_err("the default port").to_string();
        let expected = "browsers leave :443 out of \"https://App.example:443\", which would never match: write \"https://app.example\"";
        assert_eq!(told, expected);
        assert!(origin("http://app.example:80").is_err() && origin("https://app.example:80").is_ok());
    }
}
