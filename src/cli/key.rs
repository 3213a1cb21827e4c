//! `stentor key …`: works on the database itself; a running server follows within a second.

use std::path::Path;

use clap::{Args, Subcommand};

use super::Failure;
use super::account::{existing, failure, moment};
use super::console::Console;
use crate::accounts::audit::Author;
use crate::accounts::{AccountName, KeyRecord, Role, Store};

/// Make, list and revoke API keys
#[derive(Debug, Args)]
pub struct KeyArgs {
    #[command(subcommand)]
    command: KeyCommand,
}

#[derive(Debug, Subcommand)]
enum KeyCommand {
    /// Make a key for an account; prints the key, this once
    Create {
        /// The account's name
        account: AccountName,
        /// publisher, subscriber or admin
        #[arg(long, default_value = "subscriber")]
        role: Role,
    },
    /// List keys, revoked ones included; of one account or of all
    List {
        /// The account's name
        account: Option<AccountName>,
    },
    /// Take a key out of force, for good
    Revoke {
        /// The key's id (key_…), its prefix as listed (stn_…), or the key itself
        key: String,
    },
}

impl KeyArgs {
    pub fn run(self, data_dir: &Path) -> Result<(), Failure> {
        Console::of_process(|console| self.run_on(data_dir, console))
    }

    fn run_on(self, data_dir: &Path, console: &mut Console<'_>) -> Result<(), Failure> {
        match self.command {
            KeyCommand::Create { account, role } => create(data_dir, console, &account, role),
            KeyCommand::List { account } => list(data_dir, console, account.as_ref()),
            KeyCommand::Revoke { key } => revoke(data_dir, console, &key),
        }
    }
}

fn create(data_dir: &Path, console: &mut Console<'_>, name: &AccountName, role: Role) -> Result<(), Failure> {
    let (mut store, account) = existing(data_dir, name)?;
    let made = store.create_key(account.id, role, &Author::of_process()).map_err(failure)?;
    let id = made.record.id;
    console.say(format_args!("made {role} key {id} for {}; it is shown only now:", account.name));
    console.value(made.key.expose()).map_err(|unwritable| {
        // A key that nobody has seen is of no use to anybody.
        match store.revoke_key(account.id, id, &Author::of_process()) {
            Ok(_) => Failure::failed(format!("{unwritable}; revoked the key again, as it could not be shown")),
            Err(error) => Failure::failed(format!("{unwritable}; revoke the unseen key {id} ({error})")),
        }
    })
}

fn list(data_dir: &Path, console: &mut Console<'_>, name: Option<&AccountName>) -> Result<(), Failure> {
    let keys = match name {
        Some(name) => {
            let (store, account) = existing(data_dir, name)?;
            store.keys_of(account.id)
        }
        None => Store::open_existing(data_dir).and_then(|store| store.keys()),
    };
    let rows = keys.map_err(failure)?.into_iter().map(|key: KeyRecord| {
        [
            key.id.to_string(),
            key.prefix.to_string(),
            key.account_name.to_string(),
            key.role.to_string(),
            moment(key.created),
            key.revoked.map_or_else(|| "-".to_owned(), moment),
        ]
    });
    console.table(["ID", "PREFIX", "ACCOUNT", "ROLE", "CREATED", "REVOKED"], rows)
}

fn revoke(data_dir: &Path, console: &mut Console<'_>, text: &str) -> Result<(), Failure> {
    let mut store = Store::open_existing(data_dir).map_err(failure)?;
    let key = store.find_key(text).map_err(failure)?;
    let earlier = key.revoked;
    store.revoke_key(key.account, key.id, &Author::of_process()).map_err(failure)?;
    match earlier {
        None => console.say(format_args!("revoked {} key {} of {}", key.role, key.id, key.account_name)),
        Some(earlier) => console.say(format_args!("key {} was revoked already, at {}", key.id, moment(earlier))),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};

    use clap::Parser;

    use super::super::console::tests::{Printed, with_input};
    use super::*;
    use crate::accounts::{Grants, NewAccount, Snapshot, Tier};

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        key: KeyArgs,
    }

    fn parse(line: &str) -> Result<KeyArgs, clap::Error> {
        Line::try_parse_from(format!("key {line}").split_whitespace()).map(|line| line.key)
    }

    fn run(data_dir: &Path, line: &str) -> Printed {
        let args = parse(line).expect(line);
        with_input("", |console| args.run_on(data_dir, console))
    }

    fn values(data_dir: &Path, line: &str) -> String {
        let printed = run(data_dir, line);
        printed.outcome.expect(line);
        printed.values
    }

    /// A data directory with the accounts alice and bob.
    fn data_dir() -> tempfile::TempDir {
        let dir = tempfile::tempdir().expect("temporary directory");
        let mut store = Store::open(dir.path()).expect("open");
        for name in ["alice", "bob"] {
            let account = NewAccount { name: name.parse().expect(name), tier: Tier::Elite, grants: Grants::none() };
            store.create_account(&account, &Author::of_process()).expect(name);
        }
        dir
    }

    fn snapshot(data_dir: &Path) -> Snapshot {
        Store::open(data_dir).expect("open").reload(&Snapshot::empty()).expect("reload").expect("not empty")
    }

    #[test]
    fn a_wrong_command_line_is_refused_by_what_is_wrong_in_it() {
        for (line, told) in [("create", "ACCOUNT"), ("create alice --role root", "publisher"), ("revoke", "KEY")] {
            let message = parse(line).expect_err(line).to_string();
            assert!(message.contains(told), "{line}: {message}");
        }
    }

    #[test]
    fn create_prints_the_key_alone_and_it_opens_the_account() {
        let dir = data_dir();
        for (line, role) in [("create alice", Role::Subscriber), ("create alice --role publisher", Role::Publisher)] {
            let printed = run(dir.path(), line);
            printed.outcome.expect(line);
            let key = printed.values.strip_suffix('\n').expect("a line");
            let identity = snapshot(dir.path()).authenticate(key).expect("in force");
            assert_eq!((identity.account.name.as_str(), identity.role), ("alice", role));
            assert!(!printed.words.contains(key), "words may be logged");
        }
        let outcome = run(dir.path(), "create nobody").outcome;
        assert!(matches!(&outcome, Err(Failure::Failed(why)) if why.contains("nobody")), "{outcome:?}");
    }

    #[test]
    fn list_shows_every_key_or_those_of_one_account_but_no_secret() {
        let dir = data_dir();
        let key = values(dir.path(), "create alice --role admin");
        values(dir.path(), "create bob");
        let all = values(dir.path(), "list");
        assert_eq!(all.lines().count(), 3);
        assert!(!all.contains(key.trim()));
        let alices = values(dir.path(), "list alice");
        let row: Vec<&str> = alices.lines().nth(1).expect("a row").split_whitespace().collect();
        assert_eq!((row[1], row[2], row[3], row[5]), (&key[..12], "alice", "admin", "-"));
        assert_eq!(alices.lines().count(), 2);
    }

    #[test]
    fn revoke_takes_an_id_a_prefix_or_the_key_itself() {
        let dir = data_dir();
        let key_id = |key: &str| snapshot(dir.path()).authenticate(key).expect("in force").key_id.to_string();
        let names: [&dyn Fn(&str) -> String; 3] = [&key_id, &|key| key[..12].to_owned(), &str::to_owned];
        for name in names {
            let key = values(dir.path(), "create alice").trim().to_owned();
            let line = format!("revoke {}", name(&key));
            let words = run(dir.path(), &line).words;
            assert!(words.contains("revoked subscriber key") && !words.contains(&key), "{words}");
            assert!(snapshot(dir.path()).authenticate(&key).is_none());
            let again = run(dir.path(), &line);
            assert!(again.outcome.is_ok() && again.words.contains("already"), "{}", again.words);
        }
        let outcome = run(dir.path(), "revoke key_0123456789abcdef").outcome;
        assert!(matches!(&outcome, Err(Failure::Failed(why)) if why.contains("key_0123456789abcdef")), "{outcome:?}");
    }

    #[test]
    fn a_key_that_could_not_be_shown_is_revoked_again() {
        struct Full;
        impl Write for Full {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::StorageFull.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let dir = data_dir();
        let mut console = Console { input: &mut io::empty(), values: &mut Full, words: &mut io::sink() };
        parse("create alice").expect("parse").run_on(dir.path(), &mut console).expect_err("unwritable");
        let keys = Store::open(dir.path()).expect("open").keys().expect("keys");
        assert!(keys.len() == 1 && keys[0].revoked.is_some(), "{keys:?}");
    }
}
