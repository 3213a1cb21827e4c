//! What can be done that is recorded, by its name: the thing, a dot, and what became of it.

use std::fmt;
use std::str::FromStr;

macro_rules! actions {
    ($($action:ident => $name:literal,)*) => {
        /// Something that is recorded when it was done.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Action {
            $($action,)*
        }

        impl Action {
            pub const ALL: &[Self] = &[$(Self::$action,)*];

            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$action => $name,)*
                }
            }
        }
    };
}

actions! {
    AccountCreate => "account.create",
    AccountChange => "account.change",
    AccountDelete => "account.delete",
    KeyCreate => "key.create",
    KeyRevoke => "key.revoke",
    WatchlistReplace => "watchlist.replace",
    WatchlistAdd => "watchlist.add",
    WatchlistRemove => "watchlist.remove",
    WebhookCreate => "webhook.create",
    WebhookChange => "webhook.change",
    WebhookDelete => "webhook.delete",
    WebhookSecret => "webhook.secret",
    WebhookReplay => "webhook.replay",
    WebhookDisable => "webhook.disable",
    TokenMint => "token.mint",
    ServerStart => "server.start",
    ServerReload => "server.reload",
    ServerStop => "server.stop",
    JournalRepair => "journal.repair",
    BackupCreate => "backup.create",
    BackupRestore => "backup.restore",
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// One action, or all whose name begins with a word: `key` is `key.create` and `key.revoke`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ActionFilter(&'static str);

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no action that is recorded: name one of {all}, or its first word", all = names())]
pub struct UnknownAction(String);

impl ActionFilter {
    pub fn as_str(self) -> &'static str {
        self.0
    }
}

impl FromStr for ActionFilter {
    type Err = UnknownAction;

    fn from_str(text: &str) -> Result<Self, UnknownAction> {
        let names = || Action::ALL.iter().map(|action| action.as_str());
        let words = names().filter_map(|name| Some(name.split_once('.')?.0));
        let known = names().chain(words).find(|known| *known == text);
        known.map(Self).ok_or_else(|| UnknownAction(text.chars().take(64).collect()))
    }
}

fn names() -> String {
    Action::ALL.iter().map(|action| action.as_str()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_an_action_or_its_first_word_and_nothing_else() {
        for known in ["key.create", "key", "server", "watchlist.add"] {
            assert_eq!(known.parse::<ActionFilter>().expect(known).as_str(), known);
        }
        for unknown in ["", "k", "key.", "create", "KEY", "key.create.x", "key%"] {
            let told = unknown.parse::<ActionFilter>().expect_err(unknown).to_string();
            assert!(told.contains("key.create"), "{told}");
        }
    }

    #[test]
    fn every_action_is_a_thing_and_what_became_of_it() {
        for action in Action::ALL {
            let (thing, done) = action.as_str().split_once('.').expect("a dot");
            assert!([thing, done].iter().all(|word| !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase())));
        }
    }
}
