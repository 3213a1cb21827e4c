//! `[metrics]`: who may scrape.

use super::{Key, Printed, Section};

pub static SECTION: Section = Section { name: "metrics", about: "Who may read /metrics.", keys: KEYS, conflicts: &[] };

const KEYS: &[Key] = &[Key {
    name: "scrapers",
    about: "Addresses and networks that may read /metrics without a key, such as your Prometheus. From anywhere else it\n\
            takes an admin key (Authorization: Bearer). []: from everywhere. Where a proxy on this machine passes strangers\n\
            on, name it in `trusted_proxies`, or leave the loopback networks out here.",
    wanted: "a list of networks",
    example: "[\"127.0.0.0/8\", \"10.1.2.3\"]",
    read: |options, value| {
        options.scrapers = value.entries()?.map(|entry| entry.parsed()).collect::<Result<_, _>>()?;
        Ok(())
    },
    print: |options| Printed::texts(&options.scrapers),
}];
