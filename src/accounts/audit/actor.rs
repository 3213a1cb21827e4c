//! Who did something: as the log shows it, and on whose side.

use std::fmt;
use std::net::IpAddr;

use jiff::Timestamp;
use nix::unistd::{Uid, User};

use crate::accounts::{AccountId, AccountName, Identity, KeyId, Role};
use crate::limits::AUDIT_USER_CHARS_MAX;

/// Who makes a change, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Author {
    pub actor: Actor,
    pub at: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Actor {
    /// A subcommand, run by somebody on the server's machine.
    Cli(UnixUser),
    /// A request over HTTP.
    Key(KeyActor),
    /// The server, by itself or told by a signal.
    Server,
    /// The server, because of what something of this account's did. Its owner may make that happen at will, so it is counted with what
    /// the account's own keys do.
    ServerFor(AccountId),
}

/// A key that was used, and from where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyActor {
    pub key: KeyId,
    pub role: Role,
    pub account: AccountName,
    pub account_id: AccountId,
    /// The client's, also where a proxy passed the request on.
    pub address: IpAddr,
}

/// Who runs this process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnixUser {
    pub uid: u32,
    pub name: Option<String>,
    /// Who logged in, where that is somebody else: the one behind `sudo`. The kernel keeps it.
    pub login: Option<Box<UnixUser>>,
}

/// Whose entries an entry is counted with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Operator,
    Customer(AccountId),
}

impl Author {
    /// This process's user, now.
    pub fn of_process() -> Self {
        Self { actor: Actor::Cli(UnixUser::of_process()), at: Timestamp::now() }
    }
}

impl Actor {
    pub fn side(&self) -> Side {
        match self {
            Self::Key(KeyActor { role: Role::Subscriber | Role::Publisher, account_id, .. }) => {
                Side::Customer(*account_id)
            }
            Self::ServerFor(account) => Side::Customer(*account),
            Self::Key(KeyActor { role: Role::Admin, .. }) | Self::Cli(_) | Self::Server => Side::Operator,
        }
    }
}

impl KeyActor {
    pub fn new(identity: &Identity, address: IpAddr) -> Self {
        let (account, account_id) = (identity.account.name.clone(), identity.account.id);
        Self { key: identity.key_id, role: identity.role, account, account_id, address }
    }
}

impl UnixUser {
    pub fn of_process() -> Self {
        let uid = rustix::process::getuid().as_raw();
        let login = std::fs::read_to_string("/proc/self/loginuid").ok();
        let login =
            login.and_then(|text| text.trim().parse().ok()).filter(|login| *login != uid && *login != NOBODY_YET);
        Self { login: login.map(|uid| Box::new(Self::of(uid))), ..Self::of(uid) }
    }

    fn of(uid: u32) -> Self {
        let name = User::from_uid(Uid::from_raw(uid)).ok().flatten().map(|user| shown(&user.name));
        Self { uid, name: name.filter(|name| !name.is_empty()), login: None }
    }
}

/// What the kernel says where nobody has logged in: a service, a container.
const NOBODY_YET: u32 = u32::MAX;

/// Names come from a file of the machine, or from its network: what would break a line is left out.
fn shown(name: &str) -> String {
    name.chars().filter(char::is_ascii_graphic).take(AUDIT_USER_CHARS_MAX).collect()
}

/// As the log shows it: `cli by root (uid 0)`, `admin key key_… of ops from 203.0.113.7`, `server`.
impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cli(user) => write!(f, "cli by {user}"),
            Self::Key(KeyActor { key, role, account, address, .. }) => {
                write!(f, "{role} key {key} of {account} from {address}")
            }
            Self::Server | Self::ServerFor(_) => f.write_str("server"),
        }
    }
}

impl fmt::Display for UnixUser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "{name} (uid {})", self.uid)?,
            None => write!(f, "uid {}", self.uid)?,
        }
        match &self.login {
            Some(login) => write!(f, ", logged in as {login}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(uid: u32, name: Option<&str>) -> UnixUser {
        UnixUser { uid, name: name.map(str::to_owned), login: None }
    }

    fn key(role: Role) -> Actor {
        let (account, address) = ("ops".parse().expect("a name"), "2001:db8::1".parse().expect("an address"));
        Actor::Key(KeyActor { key: KeyId(7), role, account, account_id: AccountId(3), address })
    }

    #[test]
    fn an_actor_is_told_in_one_line() {
        let sudo = UnixUser { login: Some(Box::new(user(1000, Some("alice")))), ..user(0, Some("root")) };
        for (actor, told) in [
            (Actor::Server, "server"),
            (Actor::ServerFor(AccountId(3)), "server"),
            (Actor::Cli(user(0, Some("root"))), "cli by root (uid 0)"),
            (Actor::Cli(user(4711, None)), "cli by uid 4711"),
            (Actor::Cli(sudo), "cli by root (uid 0), logged in as alice (uid 1000)"),
            (key(Role::Admin), "admin key key_0000000000000007 of ops from 2001:db8::1"),
        ] {
            assert_eq!(actor.to_string(), told);
        }
    }

    #[test]
    fn keys_of_customers_and_what_is_theirs_alone_are_on_their_side() {
        let sides = [Actor::Server, Actor::Cli(user(0, None)), key(Role::Admin)].map(|actor| actor.side());
        assert_eq!(sides, [Side::Operator; 3]);
        let customers = [Role::Subscriber, Role::Publisher].map(|role| key(role).side());
        assert_eq!(customers, [Side::Customer(AccountId(3)); 2]);
        assert_eq!(Actor::ServerFor(AccountId(3)).side(), Side::Customer(AccountId(3)));
    }

    #[test]
    fn this_process_has_a_user() {
        let user = UnixUser::of_process();
        assert_eq!(user.uid, rustix::process::getuid().as_raw());
        assert!(user.to_string().contains(&format!("uid {}", user.uid)));
    }

    #[test]
    fn a_users_name_breaks_no_line() {
        assert_eq!(shown("al\nice\u{1b}[31m é"), "alice[31m");
        assert_eq!(shown(&"x".repeat(100)).len(), AUDIT_USER_CHARS_MAX);
    }
}
