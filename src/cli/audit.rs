//! `stentor audit`: prints the audit log, and keeps on printing it; and how other subcommands write into it.

use std::path::Path;
use std::str::FromStr;
use std::thread;
use std::time::Duration;

use clap::Args;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Span, SpanRelativeTo, Timestamp, Unit};
use serde_json::Value;

use super::Failure;
use super::account::{failure, moment};
use super::console::Console;
use crate::accounts::audit::{Act, ActionFilter, AuditEntry, AuditQuery, Author};
use crate::accounts::{Store, StoreError};
use crate::limits::{AUDIT_DAYS_MAX, AUDIT_FOLLOW_MS, AUDIT_FOLLOWED_MAX, AUDIT_PRINTED};

/// Print who changed what and when: accounts, keys, watchlists, webhooks, tokens, the server itself
#[derive(Debug, Args)]
pub struct AuditArgs {
    /// Only what was done since then: a time ago, such as 90m, 24h or 7d, or a moment, such as 2026-11-20 or 2026-11-20T08:00:00Z
    #[arg(long, value_name = "TIME")]
    since: Option<Since>,
    /// Only what such an actor did: an account, a key's id, an address, a user's name, cli, server
    #[arg(long, value_name = "TEXT")]
    actor: Option<String>,
    /// Only such actions: key.create, or key for all of keys
    #[arg(long)]
    action: Option<ActionFilter>,
    /// At most so many, the newest
    #[arg(long, value_name = "N", default_value_t = AUDIT_PRINTED)]
    limit: usize,
    /// Print a JSON object a line instead of the table
    #[arg(long)]
    json: bool,
    /// Go on with what is done from now on
    #[arg(long, short)]
    follow: bool,
}

/// A moment, or how long ago it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Since {
    Ago { seconds: i64 },
    At(Timestamp),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("write a time ago, such as 90m, 24h or 7d, or a moment in UTC, such as 2026-11-20 or 2026-11-20T08:00:00Z")]
struct InvalidSince;

impl FromStr for Since {
    type Err = InvalidSince;

    fn from_str(text: &str) -> Result<Self, InvalidSince> {
        if let Ok(span) = text.parse::<Span>() {
            let seconds = span.total((Unit::Second, SpanRelativeTo::days_are_24_hours())).map_err(|_| InvalidSince)?;
            // A log of more than that is not kept; what is longer, or in the future, is a mistake.
            let longest = (AUDIT_DAYS_MAX * 24 * 3600) as f64;
            return match (0.0..=longest).contains(&seconds) {
                true => Ok(Self::Ago { seconds: seconds as i64 }),
                false => Err(InvalidSince),
            };
        }
        if let Ok(moment) = text.parse() {
            return Ok(Self::At(moment));
        }
        let midnight = text.parse::<Date>().and_then(|date| date.to_zoned(TimeZone::UTC));
        midnight.map(|midnight| Self::At(midnight.timestamp())).map_err(|_| InvalidSince)
    }
}

impl Since {
    fn moment(self, now: Timestamp) -> Timestamp {
        match self {
            Self::Ago { seconds } => now.saturating_sub(SignedDuration::from_secs(seconds)).unwrap_or(Timestamp::MIN),
            Self::At(moment) => moment,
        }
    }
}

const HEADER: [&str; 5] = ["AT", "ACTION", "TARGET", "ACTOR", "DETAIL"];

impl AuditArgs {
    pub fn run(self, data_dir: &Path) -> Result<(), Failure> {
        Console::of_process(|console| self.run_on(data_dir, console))
    }

    fn run_on(self, data_dir: &Path, console: &mut Console<'_>) -> Result<(), Failure> {
        let store = Store::open_existing(data_dir).map_err(failure)?;
        // Everything up to here is printed first, whatever is done meanwhile.
        let last = newest(&store)?;
        let wanted = AuditQuery {
            before: Some(last + 1),
            since: self.since.map(|since| since.moment(Timestamp::now())),
            actor: self.actor,
            action: self.action,
            entries_max: self.limit,
            ..AuditQuery::default()
        };
        let mut entries = store.audit(&wanted).map_err(failure)?;
        entries.reverse();
        let widths = Console::widths(HEADER, &entries.iter().map(row).collect::<Vec<_>>());
        if !self.json {
            console.rows(widths, [HEADER.map(str::to_owned)])?;
        }
        let mut print = |entries: &[AuditEntry]| match self.json {
            true => entries.iter().try_for_each(|entry| console.value(entry.to_json())),
            false => console.rows(widths, entries.iter().map(row)),
        };
        print(&entries)?;
        if self.follow {
            return follow(&store, wanted, last, print);
        }
        let dropped = store.audit_dropped().map_err(failure)?;
        if entries.len() < self.limit && dropped > 0 {
            console.say(format_args!("{dropped} older entries are no longer kept"));
        }
        Ok(())
    }
}

/// Prints what comes after the entry `last`, all of it and in its order, until that fails.
fn follow(
    store: &Store,
    wanted: AuditQuery,
    mut last: u64,
    mut print: impl FnMut(&[AuditEntry]) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut wanted = AuditQuery { entries_max: AUDIT_FOLLOWED_MAX, oldest_first: true, ..wanted };
    loop {
        // Of those up to there that are not wanted, none is looked at again.
        let newest = newest(store)?;
        (wanted.after, wanted.before) = (Some(last), Some(newest + 1));
        let entries = store.audit(&wanted).map_err(failure)?;
        print(&entries)?;
        match entries.last() {
            Some(entry) if entries.len() == AUDIT_FOLLOWED_MAX => last = entry.id,
            _ => {
                last = newest;
                thread::sleep(Duration::from_millis(AUDIT_FOLLOW_MS));
            }
        }
    }
}

/// The number of the newest entry, or 0.
fn newest(store: &Store) -> Result<u64, Failure> {
    let entries = store.audit(&AuditQuery { entries_max: 1, ..AuditQuery::default() }).map_err(failure)?;
    Ok(entries.first().map_or(0, |entry| entry.id))
}

fn row(entry: &AuditEntry) -> [String; HEADER.len()] {
    let detail = entry.detail.as_object().into_iter().flatten();
    let detail: Vec<String> = detail.map(|(name, value)| format!("{name}={}", short(value))).collect();
    let (action, target, actor) = (entry.action.clone(), entry.target.clone(), entry.actor.clone());
    [moment(entry.at), action, target, actor, detail.join(" ")]
}

/// A value as a table shows it: a word as it is, a list of words with commas, anything else as JSON.
fn short(value: &Value) -> String {
    let word = |value: &Value| {
        let text = value.as_str()?;
        let plain = !text.is_empty() && text.chars().all(|c| c.is_ascii_graphic() && !"\"',=".contains(c));
        plain.then(|| text.to_owned())
    };
    let list =
        |value: &Value| value.as_array()?.iter().map(word).collect::<Option<Vec<_>>>().map(|words| words.join(","));
    word(value).or_else(|| list(value)).unwrap_or_else(|| value.to_string())
}

/// Writes down what a subcommand has done, where a server's accounts are: without them there is nothing to write it beside.
pub(super) fn record(data_dir: &Path, act: &Act) -> Result<(), Failure> {
    let written = Store::open_existing(data_dir).and_then(|mut store| store.record(act, &Author::of_process()));
    match written {
        Ok(()) | Err(StoreError::NoDatabase { .. }) => Ok(()),
        Err(error) => Err(Failure::failed(format!("{} can't be written into the audit log: {error}", act.action))),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use serde_json::json;

    use super::super::console::tests::{Printed, with_input};
    use super::*;
    use crate::accounts::audit::Action;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        audit: AuditArgs,
    }

    fn run(data_dir: &Path, line: &str) -> Printed {
        let line = Line::try_parse_from(format!("audit {line}").split_whitespace()).expect(line);
        with_input("", |console| line.audit.run_on(data_dir, console))
    }

    fn data_dir() -> tempfile::TempDir {
        let dir = tempfile::tempdir().expect("temporary directory");
        Store::open(dir.path()).expect("open");
        for (action, target) in
            [(Action::TokenMint, "user_1"), (Action::BackupCreate, "/a b"), (Action::TokenMint, "u")]
        {
            record(dir.path(), &Act::new(action, target, json!({ "n": 1, "who": ["a", "b"] }))).expect("record");
        }
        dir
    }

    #[test]
    fn since_is_a_time_ago_or_a_moment() {
        let at = |text: &str| text.parse::<Since>().expect(text).moment("2026-11-21T02:00:00Z".parse().expect("now"));
        for (text, moment) in [
            ("24h", "2026-11-20T02:00:00Z"),
            ("7d", "2026-11-14T02:00:00Z"),
            ("1h30m", "2026-11-21T00:30:00Z"),
            ("2026-11-20", "2026-11-20T00:00:00Z"),
            ("2026-11-20T08:00:00Z", "2026-11-20T08:00:00Z"),
            ("2026-11-20T08:00:00+02:00", "2026-11-20T06:00:00Z"),
        ] {
            assert_eq!(at(text), moment.parse().expect("a moment"), "{text}");
        }
        for wrong in ["", "yesterday", "24", "-24h", "3y", "1mo", "2026-13-01"] {
            assert_eq!(wrong.parse::<Since>(), Err(InvalidSince), "{wrong}");
        }
    }

    #[test]
    fn the_newest_are_printed_the_oldest_of_them_first() {
        let dir = data_dir();
        let printed = run(dir.path(), "--limit 2");
        printed.outcome.expect("printed");
        let lines: Vec<&str> = printed.values.lines().collect();
        assert_eq!(lines.len(), 3, "{}", printed.values);
        assert!(lines[0].starts_with("AT") && lines[1].contains("backup.create  /a b"), "{}", printed.values);
        assert!(lines[2].contains("token.mint") && lines[2].ends_with("n=1 who=a,b"), "{}", printed.values);
        assert!(lines[2].contains(&format!("uid {}", rustix::process::getuid().as_raw())), "{}", printed.values);
        assert_eq!(printed.words, "");
    }

    #[test]
    fn json_is_an_object_a_line() {
        let dir = data_dir();
        let printed = run(dir.path(), "--json --action token");
        let entries: Vec<Value> =
            printed.values.lines().map(|line| serde_json::from_str(line).expect("an object")).collect();
        assert_eq!(entries.iter().map(|entry| &entry["id"]).collect::<Vec<_>>(), [1, 3]);
        assert_eq!((&entries[0]["action"], &entries[0]["target"]), (&json!("token.mint"), &json!("user_1")));
    }

    #[test]
    fn whoever_follows_gets_all_of_a_burst_that_is_longer_than_one_read() {
        let dir = data_dir();
        let mut store = Store::open(dir.path()).expect("open");
        let (minted, backed_up) = (Action::TokenMint, Action::BackupCreate);
        let burst = 2 * AUDIT_FOLLOWED_MAX + 500;
        let acts: Vec<Act> =
            (0..burst).map(|nth| Act::new(if nth % 5 == 4 { backed_up } else { minted }, nth, json!({}))).collect();
        let by = Author::of_process();
        store.record_all(acts.iter().map(|act| (act, &by))).expect("record");
        let follow = |wanted: AuditQuery, count: usize| {
            let mut told = Vec::new();
            let print = |entries: &[AuditEntry]| {
                told.extend(entries.iter().map(|entry| entry.target.clone()));
                if told.len() < count { Ok(()) } else { Err(Failure::failed("that is all")) }
            };
            follow(&store, wanted, 3, print).expect_err("it ends by that alone");
            told
        };
        let all: Vec<String> = (0..burst).map(|nth| nth.to_string()).collect();
        assert_eq!(follow(AuditQuery::default(), burst), all);
        let wanted = AuditQuery { action: Some("backup".parse().expect("an action")), ..AuditQuery::default() };
        assert_eq!(follow(wanted, burst / 5), all.iter().skip(4).step_by(5).cloned().collect::<Vec<_>>());
    }

    #[test]
    fn without_accounts_nothing_is_recorded_and_nothing_made() {
        let dir = tempfile::tempdir().expect("temporary directory");
        record(dir.path(), &Act::new(Action::TokenMint, "u", json!({}))).expect("no place for it");
        assert_eq!(std::fs::read_dir(dir.path()).expect("directory").count(), 0);
        assert!(matches!(run(dir.path(), "").outcome, Err(Failure::Failed(_))));
    }
}
