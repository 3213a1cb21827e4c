//! Which events a stream or a poll is sent: the topics that it named, and those that come by themselves. Pure.
//!
//! | with | topic | needs |
//! |---|---|---|
//! | a key | `wallet:*`: the account's whole watchlist | tier elite or enterprise |
//! | | `wallet:{owner}`, and not `wallet:*` beside it | the same |
//! | | `alerts` | tier pro, elite or enterprise |
//! | | `bot:`, `price:`, `transactions:` with a name | the account's grants |
//! | an admin's key | the same, and every other topic by its name | nothing |
//! | a token | `market:` with a name | |
//! | | the user's own, `system`, `admin:` up to its level | nothing: they come by themselves, named or not |

use ahash::HashSet;

use crate::accounts::{Account, AccountId, KeyNumber, Watchlist};
use crate::event::{InvalidTopic, Namespace, Topic};
use crate::limits::SUBSCRIPTION_NAMES_BYTES_MAX;
use crate::protocol::SessionRules;
use crate::protocol::channels::Channel;
use crate::tokens::Claims;

/// A stream that is to be opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamAdmission {
    pub who: StreamHolder,
    /// Each once.
    pub topics: Vec<StreamTopic>,
    /// What is to be sent first: the answer's head, and the number to go on from.
    pub head: Box<[u8]>,
}

/// Whose stream it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StreamHolder {
    Key { account: AccountId, key: KeyNumber },
    User(Claims),
}

/// What a stream or a poll has named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StreamTopic {
    /// `wallet:*`: the account's watchlist, as it is at each moment.
    Watchlist,
    Named(Topic),
}

/// Why topics are not to be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TopicRefusal {
    #[error(
        "name what you want, as in ?topic=alerts: there are wallet:*, wallet:, alerts, bot:, price: and transactions:"
    )]
    None,
    #[error("the topic {0:?} can't be had: {1}")]
    Unknown(String, InvalidTopic),
    #[error("wallet:* holds the wallets of the watchlist already: name it, or single wallets, but not both")]
    WatchlistAndWallets,
    #[error("at most {0} topics can be named: open another stream, or ask again, for the others")]
    TooMany(u32),
    #[error("the names of the topics have more than {SUBSCRIPTION_NAMES_BYTES_MAX} bytes together")]
    TooLong,
    #[error("the topic {topic} is not for you: it needs {needs}")]
    Forbidden { topic: String, needs: &'static str },
}

impl TopicRefusal {
    /// Whether somebody else would be let in.
    pub fn is_forbidden(&self) -> bool {
        matches!(self, Self::Forbidden { .. })
    }
}

impl StreamTopic {
    /// What an account's key may have of the named topics: all of them, and at least one.
    pub fn of_account<'a>(
        names: impl IntoIterator<Item = &'a str>,
        account: &Account,
        rules: &SessionRules,
    ) -> Result<Vec<Self>, TopicRefusal> {
        named(collect(names, rules, |topic| account_may_have(topic, account).map(|()| true))?)
    }

    /// What an operator's key may have: whatever it names, and at least one.
    pub fn of_operator<'a>(
        names: impl IntoIterator<Item = &'a str>,
        rules: &SessionRules,
    ) -> Result<Vec<Self>, TopicRefusal> {
        named(collect(names, rules, |_| Ok(true))?)
    }

    /// What a user may have of the named topics beside those that come by themselves.
    pub fn of_user<'a>(
        names: impl IntoIterator<Item = &'a str>,
        claims: &Claims,
        rules: &SessionRules,
    ) -> Result<Vec<Self>, TopicRefusal> {
        collect(names, rules, |topic| match topic {
            Some(topic) => match topic.namespace() {
                Namespace::Market => Ok(true),
                Namespace::User | Namespace::Admin | Namespace::System => {
                    needs(comes_by_itself(claims, topic), "another user's token").map(|()| false)
                }
                _ => Err("an API key in place of a token"),
            },
            None => Err("an API key in place of a token"),
        })
    }

    /// Whether an account's key may have it, as the account is now; else what it lacks.
    pub fn check(&self, account: &Account) -> Result<(), TopicRefusal> {
        let named = match self {
            Self::Watchlist => None,
            Self::Named(topic) => Some(topic),
        };
        let forbidden = |needs| TopicRefusal::Forbidden { topic: self.as_str().to_owned(), needs };
        account_may_have(named, account).map_err(forbidden)
    }

    pub fn as_str(&self) -> &str {
        match self {
            Self::Watchlist => WATCHLIST,
            Self::Named(topic) => topic.as_str(),
        }
    }
}

/// Refuses topics of an account that make no sense together.
fn named(topics: Vec<StreamTopic>) -> Result<Vec<StreamTopic>, TopicRefusal> {
    let is_wallet =
        |topic: &StreamTopic| matches!(topic, StreamTopic::Named(topic) if topic.namespace() == Namespace::Wallet);
    if topics.is_empty() {
        return Err(TopicRefusal::None);
    }
    if topics.contains(&StreamTopic::Watchlist) && topics.iter().any(is_wallet) {
        return Err(TopicRefusal::WatchlistAndWallets);
    }
    Ok(topics)
}

const WATCHLIST: &str = "wallet:*";
const ELITE: &str = "tier elite or enterprise";

fn needs(met: bool, what: &'static str) -> Result<(), &'static str> {
    if met { Ok(()) } else { Err(what) }
}

/// Whether an account's key may have a topic, or, without one, the whole watchlist.
fn account_may_have(topic: Option<&Topic>, account: &Account) -> Result<(), &'static str> {
    let Some(topic) = topic else { return needs(account.tier.may_watchlist(), ELITE) };
    match topic.namespace() {
        Namespace::Wallet => needs(account.tier.may_watchlist(), ELITE),
        Namespace::Alerts => needs(account.tier.may_tiered(), "tier pro, elite or enterprise"),
        Namespace::Bot | Namespace::Price | Namespace::Transactions => {
            let granted = Channel::of_topic(topic.clone())
                .is_some_and(|channel| account.grants.allows(channel.kind, topic.name()));
            needs(granted, "a grant of the account")
        }
        Namespace::User | Namespace::Market | Namespace::Admin | Namespace::System => {
            Err("a user's token in place of an API key")
        }
    }
}

/// Reads names and keeps each once for which `admit` is true. It is asked with nothing for the whole watchlist, and says what
/// is needed where a topic is not to be had.
fn collect<'a>(
    names: impl IntoIterator<Item = &'a str>,
    rules: &SessionRules,
    admit: impl Fn(Option<&Topic>) -> Result<bool, &'static str>,
) -> Result<Vec<StreamTopic>, TopicRefusal> {
    let (mut topics, mut seen, mut names_bytes) = (Vec::new(), HashSet::default(), 0);
    for name in names {
        if !seen.insert(name) {
            continue;
        }
        names_bytes += name.len();
        let topic = match name {
            WATCHLIST => StreamTopic::Watchlist,
            // It is repeated cut, as it may be anything.
            name => StreamTopic::Named(
                Topic::parse(name).map_err(|error| TopicRefusal::Unknown(name.chars().take(64).collect(), error))?,
            ),
        };
        let named = match &topic {
            StreamTopic::Watchlist => None,
            StreamTopic::Named(topic) => Some(topic),
        };
        if admit(named).map_err(|needs| TopicRefusal::Forbidden { topic: name.to_owned(), needs })? {
            topics.push(topic);
        }
        if rules.subscriptions_max > 0 && topics.len() > rules.subscriptions_max as usize {
            return Err(TopicRefusal::TooMany(rules.subscriptions_max));
        }
        if names_bytes > SUBSCRIPTION_NAMES_BYTES_MAX {
            return Err(TopicRefusal::TooLong);
        }
    }
    Ok(topics)
}

/// Whether every session of a user is sent this topic's events.
fn comes_by_itself(claims: &Claims, topic: &Topic) -> bool {
    match topic.namespace() {
        Namespace::User => topic.name() == claims.user.as_str(),
        Namespace::Admin => claims.admin_level >= topic.admin_level(),
        Namespace::System => true,
        _ => false,
    }
}

/// Which topics' events a poll is answered.
pub struct Filter {
    named: HashSet<Topic>,
    more: More,
}

/// What is let through beside the named topics.
enum More {
    Nothing,
    Watchlist(Watchlist),
    Rooms(Claims),
}

impl Filter {
    /// Of an account with this watchlist, as it is now.
    pub fn of_account(topics: Vec<StreamTopic>, watchlist: &Watchlist) -> Self {
        let watches = topics.contains(&StreamTopic::Watchlist);
        Self::new(topics, if watches { More::Watchlist(watchlist.clone()) } else { More::Nothing })
    }

    pub fn of_user(topics: Vec<StreamTopic>, claims: Claims) -> Self {
        Self::new(topics, More::Rooms(claims))
    }

    fn new(topics: Vec<StreamTopic>, more: More) -> Self {
        let named = topics.into_iter().filter_map(|topic| match topic {
            StreamTopic::Watchlist => None,
            StreamTopic::Named(topic) => Some(topic),
        });
        Self { named: named.collect(), more }
    }

    pub fn admits(&self, topic: &Topic) -> bool {
        let by_itself = match &self.more {
            More::Nothing => false,
            More::Watchlist(watchlist) => topic.namespace() == Namespace::Wallet && watchlist.contains(topic.name()),
            More::Rooms(claims) => comes_by_itself(claims, topic),
        };
        by_itself || self.named.contains(topic)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accounts::{Grant, Owner, Tier};
    use crate::tokens::UserId;

    fn account(tier: Tier, grants: &[&str]) -> Account {
        Account {
            id: AccountId(1),
            name: "one".parse().expect("a name"),
            tier,
            grants: grants.iter().map(|grant| grant.parse::<Grant>().expect(grant)).collect(),
            watchlist: watchlist(&["w1"]),
            keys: Box::default(),
            version: 1,
        }
    }

    fn watchlist(owners: &[&str]) -> Watchlist {
        owners.iter().map(|owner| owner.parse::<Owner>().expect(owner)).collect()
    }

    fn claims(admin_level: Option<u32>) -> Claims {
        Claims { user: UserId::new("u1"), admin_level, expires_at_s: 1 }
    }

    fn asks(account: &Account, names: &[&str]) -> Result<Vec<String>, TopicRefusal> {
        told(StreamTopic::of_account(names.iter().copied(), account, &SessionRules::default()))
    }

    fn user_asks(claims: &Claims, names: &[&str]) -> Result<Vec<String>, TopicRefusal> {
        told(StreamTopic::of_user(names.iter().copied(), claims, &SessionRules::default()))
    }

    fn told(topics: Result<Vec<StreamTopic>, TopicRefusal>) -> Result<Vec<String>, TopicRefusal> {
        topics.map(|topics| topics.iter().map(|topic| topic.as_str().to_owned()).collect())
    }

    #[test]
    fn an_account_has_what_its_tier_and_its_grants_open_each_once() {
        let elite = account(Tier::Elite, &["bot:b", "price:*"]);
        let names = ["wallet:w9", "alerts", "bot:b", "price:m", "alerts"];
        assert_eq!(asks(&elite, &names), Ok(names[..4].iter().map(|name| (*name).to_owned()).collect()));
        assert_eq!(asks(&elite, &["wallet:*", "alerts"]), Ok(vec!["wallet:*".into(), "alerts".into()]));
    }

    #[test]
    fn what_is_not_an_accounts_is_refused_by_name() {
        let (free, pro) = (account(Tier::Free, &["price:*"]), account(Tier::Pro, &["price:*"]));
        assert!(asks(&free, &["price:m"]).is_ok() && asks(&pro, &["alerts"]).is_ok());
        for (account, name, needs) in [
            (&free, "alerts", "tier pro"),
            (&pro, "wallet:*", "tier elite"),
            (&pro, "wallet:w1", "tier elite"),
            (&pro, "bot:b", "grant"),
            (&pro, "transactions:w", "grant"),
            (&pro, "market:X", "token"),
            (&pro, "user:u1", "token"),
            (&pro, "admin:0", "token"),
            (&pro, "system", "token"),
        ] {
            let refused = asks(account, &["price:m", name]).expect_err(name);
            let message = refused.to_string();
            assert!(refused.is_forbidden() && message.contains(name) && message.contains(needs), "{message}");
        }
    }

    #[test]
    fn an_operator_has_every_topic_by_its_name() {
        let names = ["wallet:w9", "alerts", "bot:b", "user:u2", "market:X", "admin:7", "system"];
        let asks = |names: &[&str]| StreamTopic::of_operator(names.iter().copied(), &SessionRules::default());
        assert_eq!(told(asks(&names)), Ok(names.map(str::to_owned).to_vec()));
        assert_eq!(told(asks(&["wallet:*"])), Ok(vec!["wallet:*".to_owned()]));
        assert_eq!(asks(&[]), Err(TopicRefusal::None));
        assert_eq!(asks(&["wallet:w", "wallet:*"]), Err(TopicRefusal::WatchlistAndWallets));
        assert!(matches!(asks(&["trades:x"]), Err(TopicRefusal::Unknown(..))));
    }

    #[test]
    fn what_makes_no_sense_is_refused_to_everybody() {
        let elite = account(Tier::Elite, &[]);
        assert_eq!(asks(&elite, &[]), Err(TopicRefusal::None));
        assert_eq!(asks(&elite, &["wallet:w", "wallet:*"]), Err(TopicRefusal::WatchlistAndWallets));
        for wrong in ["", "wallet", "bot:", "trades:x", "alerts:1", "price:a\nb"] {
            for refused in [asks(&elite, &[wrong]), user_asks(&claims(None), &[wrong])] {
                assert!(matches!(refused, Err(TopicRefusal::Unknown(..))), "{wrong:?}: {refused:?}");
            }
        }
        let long = "x".repeat(10_000);
        assert!(asks(&elite, &[&long]).expect_err("too long").to_string().len() < 300);
    }

    #[test]
    fn topics_are_bounded_in_number_and_in_bytes() {
        let account = account(Tier::Free, &["price:*"]);
        let names: Vec<String> = (0..400).map(|number| format!("price:{number:0200}")).collect();
        let asks = |count: usize, subscriptions_max| {
            let rules = SessionRules { subscriptions_max, ..SessionRules::default() };
            StreamTopic::of_account(names[..count].iter().map(String::as_str), &account, &rules)
        };
        assert_eq!(asks(10, 10).map(|topics| topics.len()), Ok(10));
        assert_eq!(asks(11, 10), Err(TopicRefusal::TooMany(10)));
        assert_eq!(asks(300, 0).map(|topics| topics.len()), Ok(300));
        assert_eq!(asks(400, 0), Err(TopicRefusal::TooLong));
    }

    #[test]
    fn a_user_names_markets_and_the_own_rooms_come_by_themselves() {
        assert_eq!(user_asks(&claims(None), &[]), Ok(vec![]));
        let names = ["market:X", "user:u1", "system", "admin:2", "admin:0"];
        assert_eq!(user_asks(&claims(Some(2)), &names), Ok(vec!["market:X".into()]));
        for name in ["user:u2", "admin:3", "alerts", "wallet:*", "wallet:w", "bot:b", "price:m", "transactions:w"] {
            let refused = user_asks(&claims(Some(2)), &[name]).expect_err(name);
            assert!(refused.is_forbidden() && refused.to_string().contains(name), "{refused}");
        }
        assert!(user_asks(&claims(None), &["admin:0"]).is_err_and(|refused| refused.is_forbidden()));
    }

    fn admitted(filter: &Filter) -> Vec<&'static str> {
        const ALL: [&str; 12] = [
            "wallet:w1",
            "wallet:w2",
            "alerts",
            "bot:w1",
            "price:m",
            "transactions:w1",
            "user:u1",
            "user:u2",
            "market:X",
            "admin:1",
            "admin:2",
            "system",
        ];
        ALL.into_iter().filter(|topic| filter.admits(&Topic::parse(topic).expect(topic))).collect()
    }

    #[test]
    fn a_filter_lets_through_what_was_named_and_what_comes_by_itself() {
        let named = |topics: &[&str]| {
            topics.iter().map(|topic| StreamTopic::Named(Topic::parse(topic).expect(topic))).collect::<Vec<_>>()
        };
        let watches = watchlist(&["w1"]);
        let whole = [vec![StreamTopic::Watchlist], named(&["price:m"])].concat();
        assert_eq!(admitted(&Filter::of_account(whole, &watches)), ["wallet:w1", "price:m"]);
        let some = named(&["wallet:w2", "alerts", "transactions:w1"]);
        assert_eq!(admitted(&Filter::of_account(some, &watches)), ["wallet:w2", "alerts", "transactions:w1"]);
        assert_eq!(admitted(&Filter::of_user(named(&[]), claims(None))), ["user:u1", "system"]);
        let admin = Filter::of_user(named(&["market:X"]), claims(Some(1)));
        assert_eq!(admitted(&admin), ["user:u1", "market:X", "admin:1", "system"]);
    }
}
