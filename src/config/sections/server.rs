//! `[server]`: where it listens, which CPUs it uses, and whom it lets speak for others.

use std::net::SocketAddr;

use super::super::error::Misplaced;
use super::super::origin::origin;
use super::super::value::Value;
use super::{Conflict, Key, Printed, Section};
use crate::gate::Origins;
use crate::limits;

pub static SECTION: Section = Section {
    name: "server",
    about: "Where the server listens, what it runs on, and whom it believes.",
    keys: KEYS,
    conflicts: &[Conflict {
        key: "proxy_protocol",
        arises: |options| options.policy.proxy_protocol && options.policy.trusted_proxies.is_empty(),
        message: "there are no trusted_proxies, so nobody could connect through it: name your proxies there, or write false",
    }],
};

const MS_PER_S: u32 = 1_000;

// The words below name this bound.
const _: () = assert!(limits::CONFIGURED_DRAIN_S_MAX == 3_600 && limits::CONFIGURED_RESTART_S_MAX == 3_600);

const KEYS: &[Key] = &[
    Key {
        name: "listen",
        about: "The address to listen on.",
        wanted: "an address with its port",
        example: "\"127.0.0.1:5001\"",
        read: |options, value| {
            let text = value.text()?;
            let wrong = |_| value.wrong(format!("{text:?} is no address: write {}", value.wanted()));
            options.listen = text.parse::<SocketAddr>().map_err(wrong)?;
            Ok(())
        },
        print: |options| Printed::text(options.listen),
    },
    Key {
        name: "data_dir",
        about: "Accounts, keys and the journal; from the working directory where it is relative.",
        wanted: "a directory",
        example: "\"/var/lib/stentor\"",
        read: |options, value| value.path().map(|path| options.data_dir = path),
        print: |options| Printed::path(&options.data_dir),
    },
    Key {
        name: "shards",
        about: "Pinned threads that hold the sockets. Unset: one a CPU.",
        wanted: "a number",
        example: "4",
        read: |options, value| value.number(1..=limits::SHARDS_MAX).map(|shards| options.wishes.shards = Some(shards)),
        print: |options| Printed::or_unset(options.wishes.shards, Printed::number),
    },
    Key {
        name: "cpus",
        about: "The CPUs to use. Unset: all that this process may.",
        wanted: "a list in quotes",
        example: "\"0-3,6\"",
        read: |options, value| value.parsed().map(|cpus| options.wishes.cpus = Some(cpus)),
        print: |options| Printed::or_unset(options.wishes.cpus.as_ref(), Printed::text),
    },
    Key {
        name: "delivery_cpu",
        about: "The CPU for everything outbound that blocks: accounts, webhooks. Unset: the last one.",
        wanted: "a CPU's number",
        example: "3",
        read: |options, value| {
            options.wishes.delivery_cpu = Some(value.number(0..=limits::CPU_NUMBER_MAX)?);
            Ok(())
        },
        print: |options| Printed::or_unset(options.wishes.delivery_cpu, Printed::number),
    },
    Key {
        name: "allowed_origins",
        about: "Web pages that may connect and call from a browser, by their origin: scheme://host[:port], nothing behind it.\n\
                [\"*\"]: every page. []: none. WebSockets and preflights of other pages are refused with 403. A request of theirs\n\
                that needs no preflight is carried out, but answered without CORS headers, so that the page can't read it.\n\
                What is no browser isn't asked for an origin.",
        wanted: "a list of origins",
        example: "[\"https://app.example\", \"http://localhost:3000\"]",
        read: |options, value| origins(value).map(|origins| options.policy.allowed_origins = origins),
        print: |options| match &options.policy.allowed_origins {
            Origins::Any => Printed::texts(&["*"]),
            Origins::These(origins) => Printed::texts(origins),
        },
    },
    Key {
        name: "trusted_proxies",
        about: "Addresses and networks whose word on the client's address is taken (X-Forwarded-For, the PROXY protocol).\n\
                No other header is read, so a proxy has to write that one. From anywhere else the connection's own address\n\
                counts. []: none is trusted.",
        wanted: "a list of networks",
        example: "[\"10.0.0.0/8\", \"192.0.2.7\"]",
        read: |options, value| {
            options.policy.trusted_proxies = value.entries()?.map(|entry| entry.parsed()).collect::<Result<_, _>>()?;
            Ok(())
        },
        print: |options| Printed::texts(&options.policy.trusted_proxies),
    },
    Key {
        name: "proxy_protocol",
        about: "Whether every connection from a trusted proxy begins with a PROXY protocol header, version 2.\n\
                One without it is closed then. It needs trusted_proxies.",
        wanted: "true or false",
        example: "true",
        read: |options, value| value.switch().map(|on| options.policy.proxy_protocol = on),
        print: |options| Printed::switch(options.policy.proxy_protocol),
    },
    Key {
        name: "drain_seconds",
        about: "At a stop (SIGTERM, SIGINT): over how long sessions are closed, evenly, in seconds, 0 to 3600. Each is told before to\n\
                come back, and when. 0: all at once.",
        wanted: "a number of seconds",
        example: "10",
        read: |options, value| {
            options.drain.drain_ms = MS_PER_S * value.number(0..=limits::CONFIGURED_DRAIN_S_MAX)?;
            Ok(())
        },
        print: |options| Printed::number(options.drain.drain_ms / MS_PER_S),
    },
    Key {
        name: "restart_seconds",
        about: "How long after that another server is there, in seconds, 0 to 3600: nobody is told to come back before.",
        wanted: "a number of seconds",
        example: "2",
        read: |options, value| {
            options.drain.restart_ms = MS_PER_S * value.number(0..=limits::CONFIGURED_RESTART_S_MAX)?;
            Ok(())
        },
        print: |options| Printed::number(options.drain.restart_ms / MS_PER_S),
    },
];

fn origins(value: Value<'_>) -> Result<Origins, Misplaced> {
    let entries: Vec<_> = value.entries()?.collect();
    match entries.iter().find(|entry| entry.text() == Ok("*")) {
        Some(_) if entries.len() == 1 => return Ok(Origins::Any),
        Some(any) => return Err(any.wrong("\"*\" allows every origin: write it alone, or leave it out".to_owned())),
        None => {}
    }
    let checked = |entry: Value<'_>| origin(entry.text()?).map_err(|error| entry.wrong(error.to_string()));
    entries.into_iter().map(checked).collect::<Result<_, _>>().map(Origins::These)
}

#[cfg(test)]
mod tests {
    use super::super::super::File;
    use super::super::super::file::tests::told;

    #[test]
    fn faults_in_a_list_are_told_with_the_line_of_the_entry() {
        let networks = "write a list of networks, such as [\"10.0.0.0/8\", \"192.0.2.7\"]";
        let one_network = "write one such as 10.0.0.0/8, 192.0.2.7 or 2001:db8::/32";
        for (text, expected) in [
            ("trusted_proxies = \"10.0.0.0/8\"", format!("line 2: `trusted_proxies` is a text: {networks}")),
            ("trusted_proxies = [\n\"::1\",\n7]", format!("line 4: `trusted_proxies` is an array with a number in it: {networks}")),
            (
                "trusted_proxies = [\n\"::1\",\n\"10/8\"]",
                format!("line 4: `trusted_proxies`: \"10/8\" is no address and no network: {one_network}"),
            ),
            (
                "allowed_origins = [\"http://a\",\n\"*\"]",
                "line 3: `allowed_origins`: \"*\" allows every origin: write it alone, or leave it out".to_owned(),
            ),
            (
                "allowed_origins = [\n\"https://app.example/\"]",
                "line 3: `allowed_origins`: \"https://app.example/\" is no origin: write scheme://host or scheme://host:port \
                 in ASCII, such as \"https://app.example\", without a path or a slash at the end".to_owned(),
            ),
        ] {
            assert_eq!(told(&format!("[server]\n{text}")), expected, "{text}");
        }
        let list = |entries| format!("[limits]\nexempt_addresses = [{}]", "\"::1\",".repeat(entries));
        assert!(File::parse(list(1_000).as_bytes()).is_ok());
        assert_eq!(told(&list(1_001)), "line 2: `exempt_addresses`: it has 1001 entries: write 1000 at most");
    }

    #[test]
    fn a_proxy_protocol_that_nobody_may_speak_is_refused() {
        let expected = "line 2: `proxy_protocol`: there are no trusted_proxies, so nobody could connect through it: name your \
                        proxies there, or write false";
        assert_eq!(told("[server]\nproxy_protocol = true\ntrusted_proxies = []\nshards = 1"), expected);
        assert_eq!(told("[server]\nproxy_protocol = true"), expected);
        // The order in the file doesn't matter.
        assert!(File::parse(b"[server]\nproxy_protocol = true\ntrusted_proxies = [\"::1\"]").is_ok());
    }
}
