//! `stentor account …`: works on the database itself, while the server runs or before it ever has.

use std::path::Path;

use clap::{Args, Subcommand};
use jiff::Timestamp;

use super::Failure;
use super::console::Console;
use crate::accounts::audit::Author;
use crate::accounts::{
    AccountChange, AccountName, AccountRecord, Grant, GrantChange, Grants, NewAccount, Owner, Store, StoreError, Tier,
};
use crate::limits::OWNERS_INPUT_BYTES_MAX;

/// Make, change, list and delete accounts, and edit their watchlists
#[derive(Debug, Args)]
pub struct AccountArgs {
    #[command(subcommand)]
    command: AccountCommand,
}

#[derive(Debug, Subcommand)]
enum AccountCommand {
    /// Make an account; prints its name
    Create(Create),
    /// List all accounts
    List,
    /// Change an account's tier and grants
    Set(Set),
    /// Delete an account with its keys and its watchlist
    Delete {
        /// The account's name
        name: AccountName,
    },
    /// Add owners to an account's watchlist
    Watch(Owners),
    /// Remove owners from an account's watchlist
    Unwatch(Owners),
    /// Print an account's watchlist, one owner a line
    Watchlist {
        /// The account's name
        name: AccountName,
    },
}

#[derive(Debug, Args)]
struct Create {
    /// Letters, digits and . _ - + @
    name: AccountName,
    /// free, pro, elite or enterprise
    #[arg(long)]
    tier: Tier,
    /// A grant beside the usual price:* and transactions:*, such as bot:* or bot:team_*; may be repeated
    #[arg(long = "grant", value_name = "GRANT")]
    grants: Vec<Grant>,
}

#[derive(Debug, Args)]
struct Set {
    /// The account's name
    name: AccountName,
    /// free, pro, elite or enterprise
    #[arg(long, required_unless_present_any = ["grants", "revoke_grants"])]
    tier: Option<Tier>,
    /// A grant to add; may be repeated
    #[arg(long = "grant", value_name = "GRANT")]
    grants: Vec<Grant>,
    /// A grant to take away, written as `account list` shows it; may be repeated
    #[arg(long = "revoke-grant", value_name = "GRANT")]
    revoke_grants: Vec<Grant>,
}

#[derive(Debug, Args)]
struct Owners {
    /// The account's name
    name: AccountName,
    /// The wallets; `-` reads more from standard input, one a line
    #[arg(value_name = "OWNER", required = true)]
    owners: Vec<Owner>,
}

impl AccountArgs {
    pub fn run(self, data_dir: &Path) -> Result<(), Failure> {
        Console::of_process(|console| self.run_on(data_dir, console))
    }

    fn run_on(self, data_dir: &Path, console: &mut Console<'_>) -> Result<(), Failure> {
        match self.command {
            AccountCommand::Create(create) => create.run(data_dir, console),
            AccountCommand::List => list(data_dir, console),
            AccountCommand::Set(set) => set.run(data_dir, console),
            AccountCommand::Delete { name } => delete(data_dir, console, &name),
            AccountCommand::Watch(owners) => owners.watch(data_dir, console),
            AccountCommand::Unwatch(owners) => owners.unwatch(data_dir, console),
            AccountCommand::Watchlist { name } => watchlist(data_dir, console, &name),
        }
    }
}

impl Create {
    fn run(self, data_dir: &Path, console: &mut Console<'_>) -> Result<(), Failure> {
        let mut store = Store::open(data_dir).map_err(failure)?;
        let account =
            NewAccount { name: self.name, tier: self.tier, grants: Grants::of_a_new_account().with(self.grants) };
        let made = store.create_account(&account, &Author::of_process()).map_err(failure)?;
        console.say(format_args!("made account {} ({}; grants: {})", made.name, made.tier, made.grants));
        console.say(format_args!("give it a key with: stentor key create {}", made.name));
        console.value(made.name)
    }
}

impl Set {
    fn run(self, data_dir: &Path, console: &mut Console<'_>) -> Result<(), Failure> {
        let (mut store, account) = existing(data_dir, &self.name)?;
        let grants = GrantChange::Edit { add: self.grants, remove: self.revoke_grants };
        let change = AccountChange { tier: self.tier, grants: Some(grants) };
        let now = store.change_account(account.id, &change, &Author::of_process()).map_err(failure)?;
        console.say(format_args!("account {} is now {}; grants: {}", now.name, now.tier, now.grants));
        Ok(())
    }
}

impl Owners {
    fn watch(self, data_dir: &Path, console: &mut Console<'_>) -> Result<(), Failure> {
        let (mut store, account) = existing(data_dir, &self.name)?;
        let edit = store.watch(account.id, &self.read(console)?, &Author::of_process()).map_err(failure)?;
        console.say(format_args!("{}: {} added, {} watched in all", account.name, edit.added, edit.total));
        Ok(())
    }

    fn unwatch(self, data_dir: &Path, console: &mut Console<'_>) -> Result<(), Failure> {
        let (mut store, account) = existing(data_dir, &self.name)?;
        let edit = store.unwatch(account.id, &self.read(console)?, &Author::of_process()).map_err(failure)?;
        console.say(format_args!("{}: {} removed, {} watched in all", account.name, edit.removed, edit.total));
        Ok(())
    }

    /// The owners named, with standard input in place of each `-`.
    fn read(&self, console: &mut Console<'_>) -> Result<Vec<Owner>, Failure> {
        let mut owners = Vec::new();
        for owner in &self.owners {
            if owner.as_str() != "-" {
                owners.push(owner.clone());
                continue;
            }
            for (number, line) in console.lines(OWNERS_INPUT_BYTES_MAX)? {
                let owner = line.parse().map_err(|error| Failure::Usage(format!("input line {number}: {error}")))?;
                owners.push(owner);
            }
        }
        Ok(owners)
    }
}

fn list(data_dir: &Path, console: &mut Console<'_>) -> Result<(), Failure> {
    let store = Store::open_existing(data_dir).map_err(failure)?;
    let rows = store.accounts().map_err(failure)?.into_iter().map(|account| {
        [
            account.name.to_string(),
            account.id.to_string(),
            account.tier.to_string(),
            account.live_keys.to_string(),
            account.owners.to_string(),
            moment(account.created),
            account.grants.to_string(),
        ]
    });
    console.table(["NAME", "ID", "TIER", "KEYS", "OWNERS", "CREATED", "GRANTS"], rows)
}

fn delete(data_dir: &Path, console: &mut Console<'_>, name: &AccountName) -> Result<(), Failure> {
    let (mut store, account) = existing(data_dir, name)?;
    let gone = store.delete_account(account.id, &Author::of_process()).map_err(failure)?;
    console.say(format_args!(
        "deleted account {}, with {} keys in force and {} watched owners",
        gone.name, gone.live_keys, gone.owners
    ));
    Ok(())
}

fn watchlist(data_dir: &Path, console: &mut Console<'_>, name: &AccountName) -> Result<(), Failure> {
    let (store, account) = existing(data_dir, name)?;
    let owners = store.watchlist(account.id).map_err(failure)?;
    owners.iter().try_for_each(|owner| console.value(owner))
}

/// The account of that name, and the database that it is in.
pub(super) fn existing(data_dir: &Path, name: &AccountName) -> Result<(Store, AccountRecord), Failure> {
    let store = Store::open_existing(data_dir).map_err(failure)?;
    let account = store.account_named(name).map_err(failure)?;
    Ok((store, account))
}

/// The store's error, with the command that helps.
pub(super) fn failure(error: StoreError) -> Failure {
    match error {
        StoreError::NoSuchAccount { .. } => Failure::failed(format!("{error}: `stentor account list` shows them all")),
        StoreError::NoSuchKey { .. } => Failure::failed(format!("{error}: `stentor key list` shows them all")),
        _ => Failure::failed(error),
    }
}

/// A moment as tables show it: UTC, whole seconds.
pub(super) fn moment(moment: Timestamp) -> String {
    moment.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::super::console::tests::{Printed, with_input};
    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        account: AccountArgs,
    }

    fn parse(line: &str) -> Result<AccountArgs, clap::Error> {
        Line::try_parse_from(format!("account {line}").split_whitespace()).map(|line| line.account)
    }

    fn run_with_input(data_dir: &Path, line: &str, input: &str) -> Printed {
        let args = parse(line).expect(line);
        with_input(input, |console| args.run_on(data_dir, console))
    }

    fn run(data_dir: &Path, line: &str) -> Printed {
        run_with_input(data_dir, line, "")
    }

    fn values(data_dir: &Path, line: &str) -> String {
        let printed = run(data_dir, line);
        printed.outcome.expect(line);
        printed.values
    }

    #[test]
    fn a_wrong_command_line_is_refused_by_what_is_wrong_in_it() {
        for (line, told) in [
            ("create alice", "--tier"),
            ("create alice --tier gold", "enterprise"),
            ("create -x --tier pro", "-x"),
            ("create a/b --tier pro", "ASCII letters"),
            ("create alice --tier pro --grant bot", "namespace"),
            ("set alice", "--tier"),
            ("set alice --revoke-grant wallet:*", "wallet"),
            ("watch alice", "OWNER"),
            ("rename alice bob", "rename"),
        ] {
            let message = parse(line).expect_err(line).to_string();
            assert!(message.contains(told), "{line}: {message}");
        }
    }

    #[test]
    fn create_prints_the_name_alone_and_tells_the_next_step() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let printed = run(dir.path(), "create alice --tier elite --grant bot:* --grant bot:x");
        printed.outcome.expect("create");
        assert_eq!(printed.values, "alice\n");
        assert!(printed.words.contains("stentor key create alice"), "{}", printed.words);
        let refused = run(dir.path(), "create alice --tier pro");
        assert!(matches!(&refused.outcome, Err(Failure::Failed(why)) if why.contains("alice")));
        assert_eq!(refused.values, "");
    }

    #[test]
    fn list_shows_tier_grants_keys_and_owners() {
        let dir = tempfile::tempdir().expect("temporary directory");
        values(dir.path(), "create alice --tier elite --grant bot:*");
        values(dir.path(), "create bob --tier free");
        values(dir.path(), "watch alice w1 w2");
        let table = values(dir.path(), "list");
        let lines: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines[0], ["NAME", "ID", "TIER", "KEYS", "OWNERS", "CREATED", "GRANTS"]);
        assert_eq!(lines[1][..5], ["alice", "1", "elite", "0", "2"]);
        assert_eq!(lines[1][6..], ["bot:*", "price:*", "transactions:*"]);
        assert_eq!(lines[2][..5], ["bob", "2", "free", "0", "0"]);
        assert_eq!(lines.len(), 3);
    }

    #[test]
    fn set_changes_tier_and_grants() {
        let dir = tempfile::tempdir().expect("temporary directory");
        values(dir.path(), "create alice --tier free");
        values(dir.path(), "set alice --tier pro");
        values(dir.path(), "set alice --grant bot:a --grant bot:b --revoke-grant price:*");
        let table = values(dir.path(), "list");
        assert!(table.contains(" pro ") && table.ends_with("bot:a bot:b transactions:*\n"), "{table}");
    }

    #[test]
    fn owners_come_from_arguments_and_from_standard_input() {
        let dir = tempfile::tempdir().expect("temporary directory");
        values(dir.path(), "create alice --tier elite");
        let printed = run_with_input(dir.path(), "watch alice w3 -", "w1\n\n w2 \n");
        printed.outcome.expect("watch");
        assert!(printed.words.contains("3 added"), "{}", printed.words);
        assert_eq!(values(dir.path(), "watchlist alice"), "w1\nw2\nw3\n");
        run_with_input(dir.path(), "unwatch alice -", "w2\nnever-there\n").outcome.expect("unwatch");
        assert_eq!(values(dir.path(), "watchlist alice"), "w1\nw3\n");
    }

    #[test]
    fn a_bad_input_line_is_named_and_nothing_is_added() {
        let dir = tempfile::tempdir().expect("temporary directory");
        values(dir.path(), "create alice --tier elite");
        let printed = run_with_input(dir.path(), "watch alice -", "w1\nw 2\n");
        assert!(matches!(&printed.outcome, Err(Failure::Usage(why)) if why.contains("line 2")));
        assert_eq!(values(dir.path(), "watchlist alice"), "");
    }

    #[test]
    fn delete_takes_the_account_away() {
        let dir = tempfile::tempdir().expect("temporary directory");
        values(dir.path(), "create alice --tier elite");
        values(dir.path(), "delete alice");
        for line in ["delete alice", "set alice --tier pro", "watch alice w", "watchlist alice"] {
            let outcome = run(dir.path(), line).outcome;
            assert!(matches!(&outcome, Err(Failure::Failed(why)) if why.contains("alice")), "{line}: {outcome:?}");
        }
    }

    #[test]
    fn only_create_makes_a_data_directory() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let missing = dir.path().join("mistyped");
        for line in ["list", "delete alice", "watch alice w", "watchlist alice"] {
            let outcome = run(&missing, line).outcome;
            assert!(matches!(&outcome, Err(Failure::Failed(why)) if why.contains("mistyped")), "{line}: {outcome:?}");
        }
        assert!(!missing.exists());
        values(&missing, "create alice --tier pro");
        assert!(missing.exists());
    }
}
