//! URLs that somebody hopes will get through, and those that have to. Each goes the whole way: its text, the client's reading of it, a
//! resolver of our own, and every address.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use proptest::prelude::*;

use super::fake_names::FakeNames;
use super::{AddressKind, Allowed, GuardRefusal, GuardedResolver, WebhookUrl};
use crate::accounts::AccountId;
use crate::delivery::{PortRange, WebhookOptions};
use crate::limits::WEBHOOK_URL_BYTES_MAX;

/// Everything that lies between a customer's text and a connection.
struct Way {
    ports: Vec<PortRange>,
    allowed: Allowed,
    resolver: GuardedResolver,
}

impl Way {
    fn new(names: &Arc<FakeNames>, allow: &[&str]) -> Self {
        Self::with(names, allow, &[])
    }

    fn with(names: &Arc<FakeNames>, allow: &[&str], deny: &[&str]) -> Self {
        let networks = |texts: &[&str]| texts.iter().map(|text| text.parse().expect("a network")).collect();
        let allowed = Allowed { allow: networks(allow), deny: networks(deny) };
        let resolver = GuardedResolver::new(names.clone(), allowed.clone());
        Self { ports: WebhookOptions::default().ports, allowed, resolver }
    }

    fn parse(&self, text: &str) -> Result<WebhookUrl, GuardRefusal> {
        WebhookUrl::parse(text, &self.ports, &self.allowed)
    }

    /// What the client would connect to: it has the stored text, and reads it its own way.
    fn connect(&self, url: &WebhookUrl) -> Result<Vec<SocketAddr>, GuardRefusal> {
        let uri: Uri = url.as_str().parse().expect("the client reads it");
        let port = uri.port_u16().unwrap_or(if uri.scheme_str() == Some("https") { 443 } else { 80 });
        let host = uri.host().expect("it has a host");
        self.resolver
            .resolve(AccountId(1), host, port, Duration::from_secs(1))
            .map_err(|error| error.into_refusal().expect("nothing is lacking"))
    }

    fn go(&self, text: &str) -> Result<(String, Vec<SocketAddr>), GuardRefusal> {
        let url = self.parse(text)?;
        let addresses = self.connect(&url)?;
        Ok((url.to_string(), addresses))
    }
}

fn names() -> Arc<FakeNames> {
    let names = FakeNames::new();
    for (name, addresses) in [
        ("hooks.example", &["8.8.8.8", "2606:4700::1"][..]),
        ("xn--bcher-kva.example", &["8.8.4.4"]),
        ("a_b.example", &["8.8.4.4"]),
        ("inside.example", &["10.0.0.5"]),
        ("inside6.example", &["fd00::5"]),
        ("loop.example", &["127.0.0.1"]),
        ("mixed.example", &["8.8.8.8", "192.168.0.1"]),
        ("mapped.example", &["::ffff:7f00:1"]),
        ("nat64.example", &["64:ff9b::a9fe:a9fe"]),
        ("metadata.example", &["169.254.169.254"]),
        ("zero.example", &["0.0.0.0"]),
        ("empty.example", &[]),
        ("box.local", &["192.168.0.9"]),
        ("localhost", &["127.0.0.1"]),
    ] {
        names.answer(name, addresses);
    }
    names.hang("hangs.example");
    names
}

fn address(address: &str, kind: AddressKind) -> GuardRefusal {
    GuardRefusal::Address { address: address.parse().expect(address), kind }
}

fn leads(name: &str, kind: AddressKind) -> GuardRefusal {
    GuardRefusal::Name { name: name.to_owned(), kind }
}

fn unreadable(reason: &str) -> GuardRefusal {
    GuardRefusal::Unreadable(reason.to_owned())
}

fn scheme(scheme: &str) -> GuardRefusal {
    GuardRefusal::Scheme(scheme.to_owned())
}

fn local(name: &str) -> GuardRefusal {
    GuardRefusal::LocalName(name.to_owned())
}

fn no_host_name(name: &str) -> GuardRefusal {
    GuardRefusal::Host(name.to_owned())
}

fn port(port: u16) -> GuardRefusal {
    GuardRefusal::Port { port, allowed: "80, 443, 1024-65535".to_owned() }
}

fn no_address(name: &str, reason: &str) -> GuardRefusal {
    GuardRefusal::NoAddress { name: name.to_owned(), reason: reason.to_owned() }
}

fn hostile() -> Vec<(&'static str, GuardRefusal)> {
    use AddressKind::*;
    use GuardRefusal::{Backslash, Blank, Credentials, Fragment, LookUpTimeout, NoHost};
    vec![
        // This machine, in all spellings of its address.
        ("http://127.0.0.1/", address("127.0.0.1", Loopback)),
        ("https://127.8.9.10:8443/hook", address("127.8.9.10", Loopback)),
        ("http://2130706433/", address("127.0.0.1", Loopback)),
        ("http://017700000001/", address("127.0.0.1", Loopback)),
        ("http://0x7f000001/", address("127.0.0.1", Loopback)),
        ("http://0177.0.0.1/", address("127.0.0.1", Loopback)),
        ("http://0x7f.1/", address("127.0.0.1", Loopback)),
        ("http://127.1/", address("127.0.0.1", Loopback)),
        ("http://127.0.1/", address("127.0.0.1", Loopback)),
        ("http://0X7F.0.0x0.01/", address("127.0.0.1", Loopback)),
        ("http://127.0.0.1./", address("127.0.0.1", Loopback)),
        ("http://１２７.0.0.1/", address("127.0.0.1", Loopback)),
        ("http://127。0。0。1/", address("127.0.0.1", Loopback)),
        ("http://127．0｡0.1/", address("127.0.0.1", Loopback)),
        ("http://①②⑦.0.0.1/", address("127.0.0.1", Loopback)),
        ("http://%31%32%37.0.0.1/", address("127.0.0.1", Loopback)),
        ("http://127%2e0%2E0%2e1/", address("127.0.0.1", Loopback)),
        ("HTTP://127.0.0.1/", address("127.0.0.1", Loopback)),
        ("http://[::1]/", address("::1", Loopback)),
        ("http://[0:0:0:0:0:0:0:1]:8080/", address("::1", Loopback)),
        ("http://[::ffff:127.0.0.1]/", address("::ffff:127.0.0.1", Loopback)),
        ("http://[::ffff:7f00:1]/", address("::ffff:127.0.0.1", Loopback)),
        ("http://[0:0:0:0:0:FFFF:7F00:0001]/", address("::ffff:127.0.0.1", Loopback)),
        ("http://[::127.0.0.1]/", address("::127.0.0.1", Loopback)),
        ("http://[::ffff:0:127.0.0.1]/", address("::ffff:0:7f00:1", Loopback)),
        ("http://[64:ff9b::7f00:1]/", address("64:ff9b::7f00:1", Loopback)),
        ("http://[64:ff9b:1::7f00:1]/", address("64:ff9b:1::7f00:1", Tunnel)),
        ("http://[2002:7f00:1::]/", address("2002:7f00:1::", Loopback)),
        ("http://[2001:0:808:808::80ff:fffe]/", address("2001:0:808:808::80ff:fffe", Loopback)),
        ("http://0.0.0.0:8080/", address("0.0.0.0", Unspecified)),
        ("http://0/", address("0.0.0.0", Unspecified)),
        ("http://0x0.0/", address("0.0.0.0", Unspecified)),
        ("http://[::]/", address("::", Unspecified)),
        ("http://[::ffff:0:0]/", address("::ffff:0.0.0.0", Unspecified)),
        // Names of it.
        ("http://localhost/", local("localhost")),
        ("http://localhost./", local("localhost")),
        ("http://LOCALHOST:3000/", local("localhost")),
        ("http://LocalHost.LocalDomain/", local("localhost.localdomain")),
        ("http://ｌｏｃａｌｈｏｓｔ/", local("localhost")),
        ("http://loc%61lhost/", local("localhost")),
        ("http://loc\u{ad}alhost/", local("localhost")),
        ("http://hooks.localhost/", local("hooks.localhost")),
        ("http://intranet/", local("intranet")),
        ("http://router/", local("router")),
        ("https://router.:8443/", local("router")),
        ("http://box.local/", local("box.local")),
        ("http://metadata.google.internal/computeMetadata/v1/", local("metadata.google.internal")),
        ("http://nas.home.arpa./", local("nas.home.arpa")),
        // Metadata.
        ("http://169.254.169.254/latest/meta-data/", address("169.254.169.254", Metadata)),
        ("http://2852039166/latest/", address("169.254.169.254", Metadata)),
        ("http://0xA9.0xFE.0xA9.0xFE/", address("169.254.169.254", Metadata)),
        ("http://[::ffff:a9fe:a9fe]/", address("::ffff:169.254.169.254", Metadata)),
        ("http://[64:ff9b::169.254.169.254]/", address("64:ff9b::a9fe:a9fe", Metadata)),
        ("http://[fd00:ec2::254]/", address("fd00:ec2::254", Metadata)),
        ("http://100.100.100.200/", address("100.100.100.200", Metadata)),
        ("http://168.63.129.16/", address("168.63.129.16", Metadata)),
        // Networks that are somebody's own, and what is nobody's.
        ("http://10.0.0.1/", address("10.0.0.1", Private)),
        ("http://172.16.0.1/", address("172.16.0.1", Private)),
        ("http://172.31.255.255/", address("172.31.255.255", Private)),
        ("http://192.168.1.1/", address("192.168.1.1", Private)),
        ("http://3232235777/", address("192.168.1.1", Private)),
        ("http://[fec0::1]/", address("fec0::1", Private)),
        ("http://100.64.0.1/", address("100.64.0.1", Shared)),
        ("http://169.254.1.1/", address("169.254.1.1", LinkLocal)),
        ("http://[fe80::1]/", address("fe80::1", LinkLocal)),
        ("http://[fc00::1]/", address("fc00::1", UniqueLocal)),
        ("http://[fd12:3456:789a::1]/", address("fd12:3456:789a::1", UniqueLocal)),
        ("http://198.18.0.1/", address("198.18.0.1", Benchmarking)),
        ("http://192.0.2.1/", address("192.0.2.1", Documentation)),
        ("http://[2001:db8::1]/", address("2001:db8::1", Documentation)),
        ("http://224.0.0.1/", address("224.0.0.1", Multicast)),
        ("http://[ff02::1]/", address("ff02::1", Multicast)),
        ("http://255.255.255.255/", address("255.255.255.255", Broadcast)),
        ("http://240.0.0.1/", address("240.0.0.1", Reserved)),
        ("http://192.0.0.8/", address("192.0.0.8", Reserved)),
        ("http://[2002:808:808::1]/", address("2002:808:808::1", Tunnel)),
        // Names that lead to such.
        ("https://inside.example/", leads("inside.example", Private)),
        ("https://inside6.example/", leads("inside6.example", UniqueLocal)),
        ("https://loop.example./", leads("loop.example", Loopback)),
        ("https://mixed.example/", leads("mixed.example", Private)),
        ("https://mapped.example/", leads("mapped.example", Loopback)),
        ("https://nat64.example/", leads("nat64.example", Metadata)),
        ("https://METADATA.example/", leads("metadata.example", Metadata)),
        ("https://zero.example/", leads("zero.example", Unspecified)),
        ("https://empty.example/", no_address("empty.example", "none is known")),
        ("https://nowhere.example/", no_address("nowhere.example", "no such name")),
        ("https://hangs.example/", LookUpTimeout { name: "hangs.example".to_owned() }),
        // One host for us and another for the client.
        ("http://hooks.example@127.0.0.1/", Credentials),
        ("http://127.0.0.1@hooks.example/", Credentials),
        ("http://user:secret@hooks.example/", Credentials),
        ("http://@hooks.example/", Credentials),
        ("http://:@127.0.0.1/", Credentials),
        ("http://127.0.0.1:80@hooks.example:80/", Credentials),
        ("http://127.0.0.1%2f@hooks.example/", Credentials),
        ("http://127.0.0.1#@hooks.example/", Fragment),
        ("http://hooks.example#@127.0.0.1/", Fragment),
        ("https://hooks.example/#", Fragment),
        ("http://127.0.0.1?@hooks.example/", address("127.0.0.1", Loopback)),
        ("http://127.0.0.1/@hooks.example/", address("127.0.0.1", Loopback)),
        ("http://hooks.example\\@127.0.0.1/", Backslash),
        ("http:\\\\127.0.0.1\\", Backslash),
        ("http://127.0.0.1\\.hooks.example/", Backslash),
        ("http://127.0.0.1%5c.hooks.example/", unreadable("invalid international domain name")),
        ("http://127.0.0.1%00.hooks.example/", unreadable("invalid international domain name")),
        ("http://hooks.example%2f@127.0.0.1/", Credentials),
        ("http://hooks.example%2f.127.0.0.1/", unreadable("invalid international domain name")),
        ("http://hooks.example%3a80/", unreadable("invalid international domain name")),
        ("http://hooks.example%20/", unreadable("invalid international domain name")),
        // What the standard passes over.
        ("ht\ntp://127.0.0.1/", Blank),
        ("http://127.0.\t0.1/", Blank),
        ("http://hooks.example/\r\nX-Evil:1", Blank),
        (" http://hooks.example/", Blank),
        ("http://hooks.example/ ", Blank),
        ("http://hooks.example/a b", Blank),
        ("http://hooks.example/\u{0}", Blank),
        ("http://hooks.example/\u{7f}", Blank),
        ("http://hooks.example\u{3000}/", Blank),
        ("\u{feff}http://hooks.example/", unreadable("relative URL without a base")),
        ("http:/127.0.0.1/", NoHost),
        ("http:127.0.0.1/", NoHost),
        ("http:////127.0.0.1/", NoHost),
        ("http:///127.0.0.1/", NoHost),
        // Other schemes, and none.
        ("file:///etc/passwd", scheme("file")),
        ("gopher://127.0.0.1:6379/_INFO", scheme("gopher")),
        ("ftp://hooks.example/", scheme("ftp")),
        ("ws://hooks.example/", scheme("ws")),
        ("javascript:alert(1)", scheme("javascript")),
        ("data:text/plain,hello", scheme("data")),
        ("unix:/run/docker.sock", scheme("unix")),
        ("blob:https://hooks.example/1", scheme("blob")),
        ("localhost:3000", scheme("localhost")),
        ("", unreadable("relative URL without a base")),
        ("hooks.example/path", unreadable("relative URL without a base")),
        ("//hooks.example/path", unreadable("relative URL without a base")),
        ("/path", unreadable("relative URL without a base")),
        // No host, and hosts that are none.
        ("http://", NoHost),
        ("https:///", NoHost),
        ("http://:80/", NoHost),
        ("http://?x=1", NoHost),
        ("http://./", no_host_name("")),
        ("http://hooks..example/", no_host_name("hooks..example")),
        ("http://hooks.example../", no_host_name("hooks.example.")),
        ("http://*.hooks.example/", no_host_name("*.hooks.example")),
        ("http://a;b.example/", no_host_name("a;b.example")),
        ("http://$(id).example/", no_host_name("$(id).example")),
        ("http://256.0.0.1/", unreadable("invalid IPv4 address")),
        ("http://1.2.3.4.5/", unreadable("invalid IPv4 address")),
        ("http://09.0.0.1/", unreadable("invalid IPv4 address")),
        ("http://hooks.127/", unreadable("invalid IPv4 address")),
        ("http://4294967296/", unreadable("invalid IPv4 address")),
        ("http://[fe80::1%25eth0]/", unreadable("invalid IPv6 address")),
        ("http://[fe80::1%eth0]/", unreadable("invalid IPv6 address")),
        ("http://[::1/", unreadable("invalid IPv6 address")),
        ("http://[127.0.0.1]/", unreadable("invalid IPv6 address")),
        ("http://[v1.fe80::1]/", unreadable("invalid IPv6 address")),
        ("http://xn--a/", unreadable("invalid international domain name")),
        // Ports.
        ("http://hooks.example:22/", port(22)),
        ("http://hooks.example:25/", port(25)),
        ("http://hooks.example:0/", port(0)),
        ("http://hooks.example:1023/", port(1023)),
        ("https://8.8.8.8:53/", port(53)),
        ("http://hooks.example:65536/", unreadable("invalid port number")),
        ("http://hooks.example:-1/", unreadable("invalid port number")),
        ("http://hooks.example:80:443/", unreadable("invalid port number")),
        ("http://hooks.example:８０/", unreadable("invalid port number")),
    ]
}

/// With the form that is stored, and where it leads.
const HONEST: [(&str, &str, &str); 20] = [
    ("https://hooks.example/webhook", "https://hooks.example/webhook", "8.8.8.8:443"),
    ("http://hooks.example/webhook", "http://hooks.example/webhook", "8.8.8.8:80"),
    ("https://hooks.example", "https://hooks.example/", "8.8.8.8:443"),
    ("https://hooks.example:443/a", "https://hooks.example/a", "8.8.8.8:443"),
    ("http://hooks.example:80", "http://hooks.example/", "8.8.8.8:80"),
    ("http://hooks.example:443/", "http://hooks.example:443/", "8.8.8.8:443"),
    ("https://hooks.example:8443/a/b?c=d&e=f", "https://hooks.example:8443/a/b?c=d&e=f", "8.8.8.8:8443"),
    ("http://hooks.example:65535/", "http://hooks.example:65535/", "8.8.8.8:65535"),
    ("http://hooks.example:1024/", "http://hooks.example:1024/", "8.8.8.8:1024"),
    ("https://HOOKS.Example/Path", "https://hooks.example/Path", "8.8.8.8:443"),
    ("HTTPS://hooks.example./Path", "https://hooks.example/Path", "8.8.8.8:443"),
    ("https://bücher.example/é", "https://xn--bcher-kva.example/%C3%A9", "8.8.4.4:443"),
    ("https://a_b.example/", "https://a_b.example/", "8.8.4.4:443"),
    ("https://hooks.example/a/../b/./c", "https://hooks.example/b/c", "8.8.8.8:443"),
    ("https://hooks.example/a@b:c|d?e@f|{g}^`", "https://hooks.example/a@b:c|d?e@f|{g}^`", "8.8.8.8:443"),
    ("https://hooks.example?token=a%20b%0a", "https://hooks.example/?token=a%20b%0a", "8.8.8.8:443"),
    ("https://8.8.8.8/", "https://8.8.8.8/", "8.8.8.8:443"),
    ("http://134744072/", "http://8.8.8.8/", "8.8.8.8:80"),
    ("https://[2606:4700:0::1]:8443/", "https://[2606:4700::1]:8443/", "[2606:4700::1]:8443"),
    ("https://[64:ff9b::8.8.8.8]/", "https://[64:ff9b::808:808]/", "[64:ff9b::808:808]:443"),
];

#[test]
fn no_hostile_url_gets_through_and_each_is_told_its_own_fault() {
    let way = Way::new(&names(), &[]);
    let told = |(text, expected)| (text, way.go(text), Err(expected));
    let wrong: Vec<_> = hostile().into_iter().map(told).filter(|(_, got, expected)| got != expected).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn honest_urls_lead_where_they_say() {
    let way = Way::new(&names(), &[]);
    for (text, stored, leads_to) in HONEST {
        let (url, addresses) = way.go(text).unwrap_or_else(|refusal| panic!("{text}: {refusal}"));
        assert_eq!(url, stored, "{text}");
        assert_eq!(addresses[0].to_string(), leads_to, "{text}");
    }
}

/// The sentence without what is this URL's own in it, so that two of a kind are the same and two of different kinds have to differ in
/// their own words.
fn words(refusal: &GuardRefusal) -> String {
    let own = match refusal {
        GuardRefusal::Unreadable(own) | GuardRefusal::Scheme(own) | GuardRefusal::LocalName(own) => vec![own.clone()],
        GuardRefusal::Host(own) => vec![format!("{own:?}")],
        GuardRefusal::Port { port, allowed } => vec![format!("port {port}"), allowed.clone()],
        GuardRefusal::Address { address, .. } => vec![address.to_string()],
        GuardRefusal::Name { name, .. } | GuardRefusal::LookUpTimeout { name } => vec![name.clone()],
        GuardRefusal::NoAddress { name, reason } => vec![name.clone(), reason.clone()],
        GuardRefusal::TooLong | GuardRefusal::Blank | GuardRefusal::Backslash | GuardRefusal::Credentials => vec![],
        GuardRefusal::Fragment | GuardRefusal::Ambiguous | GuardRefusal::NoHost => vec![],
    };
    own.iter().fold(refusal.to_string(), |sentence, own| sentence.replacen(own.as_str(), "…", 1))
}

/// What is refused, and as what kind of address.
type Kind = (std::mem::Discriminant<GuardRefusal>, Option<AddressKind>);

fn kind(refusal: &GuardRefusal) -> Kind {
    let of_address = match refusal {
        GuardRefusal::Address { kind, .. } | GuardRefusal::Name { kind, .. } => Some(*kind),
        _ => None,
    };
    (std::mem::discriminant(refusal), of_address)
}

#[test]
fn every_kind_of_refusal_has_a_sentence_of_its_own() {
    use AddressKind::*;
    let way = Way::new(&names(), &[]);
    let mut refusals: Vec<_> = hostile().into_iter().map(|(text, _)| way.go(text).expect_err(text)).collect();
    // Those that the table does not bring about, but the tests beside it.
    refusals.extend([GuardRefusal::TooLong, GuardRefusal::Ambiguous]);
    for kind in [Unspecified, Loopback, Private, LinkLocal, Metadata, UniqueLocal, Shared, Multicast, Broadcast]
        .into_iter()
        .chain([Documentation, Benchmarking, Tunnel, Reserved, Denied])
    {
        refusals.extend([address("192.0.2.1", kind), leads("hooks.example", kind)]);
    }
    let mut told: Vec<(Kind, String)> = Vec::new();
    for refusal in refusals {
        let (kind, words, sentence) = (kind(&refusal), words(&refusal), refusal.to_string());
        assert!(sentence.len() > 20 && !sentence.contains('\n') && !sentence.ends_with('.'), "{sentence}");
        for (other, said) in &told {
            assert_eq!(*other == kind, *said == words, "{words:?} and {said:?}");
        }
        told.push((kind, words));
    }
}

#[test]
fn a_url_is_as_long_as_it_may_be_also_in_the_form_that_is_stored() {
    let way = Way::new(&names(), &[]);
    let of_length = |bytes: usize| format!("https://hooks.example/{:a<1$}", "", bytes - "https://hooks.example/".len());
    assert!(way.parse(&of_length(WEBHOOK_URL_BYTES_MAX)).is_ok());
    assert_eq!(way.parse(&of_length(WEBHOOK_URL_BYTES_MAX + 1)), Err(GuardRefusal::TooLong));
    assert_eq!(way.parse(&format!("https://hooks.example/{}", "é".repeat(500))), Err(GuardRefusal::TooLong));
    let long_label = format!("https://{}.example/", "a".repeat(64));
    let long_name = format!("https://{}example/", "a.".repeat(124));
    for text in [long_label, long_name] {
        assert!(matches!(way.parse(&text), Err(GuardRefusal::Host(_))), "{text}");
    }
}

#[test]
fn a_name_that_answers_differently_the_second_time_is_refused_then() {
    let names = FakeNames::new();
    names.answer("rebinds.example", &["8.8.8.8"]);
    names.answer("rebinds.example", &["169.254.169.254"]);
    let way = Way::new(&names, &[]);
    crate::clock::simulate(Some(0));
    let url = way.parse("https://rebinds.example/").expect("nothing is wrong with the text");
    assert_eq!(way.connect(&url), Ok(vec!["8.8.8.8:443".parse().expect("an address with a port")]));
    crate::clock::simulate(Some(crate::limits::NAME_CACHED_MS * 1_000_000));
    assert_eq!(way.connect(&url), Err(leads("rebinds.example", AddressKind::Metadata)));
}

#[test]
fn what_the_operator_allows_is_reached_by_address_and_by_name_and_nothing_beside_it() {
    let way = Way::new(&names(), &["127.0.0.0/8"]);
    for text in ["http://127.0.0.1:3000/", "http://localhost:3000/", "http://127.1/", "http://[::ffff:127.0.0.1]/"] {
        assert!(way.go(text).is_ok(), "{text}");
    }
    for (text, expected) in [
        ("http://[::1]/", address("::1", AddressKind::Loopback)),
        ("http://[64:ff9b::7f00:1]/", address("64:ff9b::7f00:1", AddressKind::Loopback)),
        ("http://10.0.0.1/", address("10.0.0.1", AddressKind::Private)),
        // Names are judged by their addresses then, whatever they are called.
        ("http://box.local/", leads("box.local", AddressKind::Private)),
        ("http://intranet/", no_address("intranet", "no such name")),
        ("http://127.0.0.1:22/", port(22)),
        ("http://user@127.0.0.1/", GuardRefusal::Credentials),
    ] {
        assert_eq!(way.go(text), Err(expected), "{text}");
    }
}

#[test]
fn what_the_operator_denies_is_reached_by_no_address_and_no_name_though_it_be_public_or_allowed() {
    let way = Way::with(&names(), &["127.0.0.0/8"], &["127.0.0.1", "8.8.8.8"]);
    for (text, expected) in [
        ("http://127.0.0.1:3000/", address("127.0.0.1", AddressKind::Denied)),
        ("http://localhost/", leads("localhost", AddressKind::Denied)),
        ("https://8.8.8.8/", address("8.8.8.8", AddressKind::Denied)),
        ("https://hooks.example/", leads("hooks.example", AddressKind::Denied)),
    ] {
        assert_eq!(way.go(text), Err(expected), "{text}");
    }
    assert!(way.go("http://127.0.0.2/").is_ok());
    assert!(way.go("https://a_b.example/").is_ok());
}

#[test]
fn a_url_that_was_stored_under_other_rules_is_looked_at_again() {
    let way = Way::new(&names(), &[]);
    let url = WebhookUrl::stored("http://127.0.0.1:3000/".to_owned());
    assert_eq!(way.connect(&url), Err(address("127.0.0.1", AddressKind::Loopback)));
}

/// Pieces of URLs, so that random texts get somewhere.
fn url_like() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("http".to_owned()),
        Just("https://".to_owned()),
        Just("http://".to_owned()),
        Just("127.0.0.1".to_owned()),
        Just("hooks.example".to_owned()),
        Just("[::ffff:".to_owned()),
        Just("0x7f".to_owned()),
        "[a-z0-9.:/@?#%&=\\[\\]|^`{}~*-]{1,4}",
        "\\PC{1,2}",
    ];
    let texts = proptest::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat());
    (any::<bool>(), texts).prop_map(|(whole, text)| if whole { format!("http://{text}") } else { text })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    /// No text makes it panic; what passes is public, has one reading, and is its own stored form.
    #[test]
    fn what_passes_is_public_and_reads_the_same_to_everybody(text in url_like()) {
        let way = Way::new(&FakeNames::new(), &[]);
        if let Ok(url) = way.parse(&text) {
            prop_assert_eq!(way.parse(url.as_str()), Ok(url.clone()));
            let uri: Uri = url.as_str().parse().expect("the client reads it");
            let read = url::Url::parse(url.as_str()).expect("it was written by this");
            prop_assert_eq!(uri.host(), read.host_str());
            prop_assert_eq!(uri.port_u16(), read.port());
            prop_assert!(!url.as_str().contains(|c: char| !c.is_ascii_graphic()));
            // As no name is known here, what leads somewhere is an address.
            if let Ok(addresses) = way.connect(&url) {
                prop_assert!(super::kind_of(addresses[0].ip()).is_none(), "{url}");
            }
        }
    }
}
