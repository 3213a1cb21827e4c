//! The operator's page: its files, in the binary. Plain HTML, CSS and JavaScript modules, as they are in `page/`: nothing is built,
//! and nothing is loaded from elsewhere.
//!
//! ```text
//!   index.html ─▶ theme.js, app.js ─▶ session.js   the admin key, and every request with it
//!                                  ├▶ feed.js      server-sent events over fetch, which can send a header
//!                                  ├▶ live.js      samples ─▶ rates.js ─▶ plot.js
//!                                  ├▶ accounts.js, webhooks.js, tail.js, audit.js
//!                                  └▶ element.js, dialog.js, format.js   what views are made of
//! ```

use std::hash::{DefaultHasher, Hasher};
use std::sync::LazyLock;

/// A file of the page.
pub struct File {
    pub name: &'static str,
    /// Its `Content-Type`.
    pub kind: &'static str,
    pub text: &'static str,
    /// Its `ETag`: the same for the same text.
    pub tag: LazyLock<String>,
}

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

macro_rules! file {
    ($name:literal, $kind:expr) => {
        File {
            name: $name,
            kind: $kind,
            text: include_str!(concat!("page/", $name)),
            tag: LazyLock::new(|| tag(include_str!(concat!("page/", $name)))),
        }
    };
}

/// What `/console` answers.
pub static INDEX: File = file!("index.html", HTML);

/// What is at `/console/{name}`.
pub static FILES: [File; 19] = [
    file!("icon.svg", SVG),
    file!("theme.css", CSS),
    file!("shell.css", CSS),
    file!("parts.css", CSS),
    file!("theme.js", SCRIPT),
    file!("app.js", SCRIPT),
    file!("session.js", SCRIPT),
    file!("feed.js", SCRIPT),
    file!("status.js", SCRIPT),
    file!("rates.js", SCRIPT),
    file!("format.js", SCRIPT),
    file!("element.js", SCRIPT),
    file!("dialog.js", SCRIPT),
    file!("plot.js", SCRIPT),
    file!("live.js", SCRIPT),
    file!("accounts.js", SCRIPT),
    file!("webhooks.js", SCRIPT),
    file!("tail.js", SCRIPT),
    file!("audit.js", SCRIPT),
];

pub fn find(name: &str) -> Option<&'static File> {
    FILES.iter().find(|file| file.name == name)
}

fn tag(text: &str) -> String {
    let mut hasher = DefaultHasher::new();
    hasher.write(text.as_bytes());
    format!("\"{:016x}\"", hasher.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/console/page");

    #[test]
    fn every_file_of_the_page_is_in_the_binary() {
        let mut there: Vec<String> = std::fs::read_dir(PAGE)
            .expect("the page's folder")
            .map(|entry| entry.expect("a file").file_name().into_string().expect("UTF-8"))
            .collect();
        let mut known: Vec<&str> = FILES.iter().chain([&INDEX]).map(|file| file.name).collect();
        there.sort_unstable();
        known.sort_unstable();
        assert_eq!(known, there);
    }

    #[test]
    fn every_text_has_a_tag_of_its_own() {
        let tags: std::collections::BTreeSet<&str> = FILES.iter().chain([&INDEX]).map(|file| &**file.tag).collect();
        assert_eq!(tags.len(), FILES.len() + 1);
        assert!(tags.iter().all(|tag| tag.len() == 18 && tag.starts_with('"') && tag.ends_with('"')), "{tags:?}");
    }

    /// What a file names beside itself: modules by `from './…'`, everything else by its path.
    fn named(text: &str) -> impl Iterator<Item = &str> {
        let modules = text.split("from './").skip(1);
        let paths = text.split("\"/console/").skip(1);
        modules.chain(paths).map(|rest| rest.split(['\'', '"']).next().expect("a first piece"))
    }

    #[test]
    fn whatever_a_file_loads_is_there_and_nothing_comes_from_elsewhere() {
        for file in FILES.iter().chain([&INDEX]) {
            for name in named(file.text) {
                assert!(find(name).is_some(), "{} loads {name}", file.name);
            }
            let text = file.text.replace("http://www.w3.org/", "");
            assert!(!text.contains("http://") && !text.contains("https://"), "{} loads from elsewhere", file.name);
        }
        assert!(named(INDEX.text).count() >= 5, "the page loads its parts");
    }

    #[test]
    fn the_page_needs_no_inline_script_or_style_as_its_policy_forbids_them() {
        assert!(!INDEX.text.contains("<style") && !INDEX.text.contains(" style=") && !INDEX.text.contains(" onclick="));
        assert!(
            INDEX
                .text
                .split("<script")
                .skip(1)
                .all(|script| script.split('>').next().is_some_and(|tag| tag.contains("src=")))
        );
    }
}
