//! Which channels an account may subscribe to: `namespace:name`, `namespace:prefix*` or `namespace:*`.

use crate::limits::GRANT_NAME_BYTES_MAX;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// The namespaces of topics that need a grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum GrantNamespace {
    Bot,
    Price,
    Transactions,
}

impl GrantNamespace {
    pub const ALL: [Self; 3] = [Self::Bot, Self::Price, Self::Transactions];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Bot => "bot",
            Self::Price => "price",
            Self::Transactions => "transactions",
        }
    }
}

/// One permission. Its text form is unique, so that granting and revoking find each other.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Grant {
    namespace: GrantNamespace,
    pattern: Pattern,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Pattern {
    /// Every name that starts so; empty for `*`.
    Prefix(Box<str>),
    Exact(Box<str>),
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidGrant {
    #[error(
        "the grant {0:?} has no namespace: write bot:NAME, price:NAME or transactions:NAME, or NAMESPACE:* for all"
    )]
    NoNamespace(String),
    #[error("there is nothing to grant in the namespace {0:?}: use bot, price or transactions")]
    UnknownNamespace(String),
    #[error("the grant {0:?} names nothing after its colon: write NAMESPACE:NAME, or NAMESPACE:* for all")]
    NoName(String),
    #[error("the name in the grant {0:?} is longer than {GRANT_NAME_BYTES_MAX} bytes")]
    TooLong(String),
    #[error("the grant {0:?} may hold only printable ASCII without blanks, and `*` only as its last character")]
    Character(String),
}

impl Grant {
    pub fn allows(&self, namespace: GrantNamespace, name: &str) -> bool {
        self.namespace == namespace
            && match &self.pattern {
                Pattern::Prefix(prefix) => name.starts_with(&**prefix),
                Pattern::Exact(exact) => name == &**exact,
            }
    }
}

impl FromStr for Grant {
    type Err = InvalidGrant;

    fn from_str(text: &str) -> Result<Self, InvalidGrant> {
        let quoted = || text.chars().take(GRANT_NAME_BYTES_MAX).collect::<String>();
        let (namespace, name) = text.split_once(':').ok_or_else(|| InvalidGrant::NoNamespace(quoted()))?;
        let namespace = GrantNamespace::ALL
            .into_iter()
            .find(|known| known.as_str() == namespace)
            .ok_or_else(|| InvalidGrant::UnknownNamespace(namespace.chars().take(GRANT_NAME_BYTES_MAX).collect()))?;
        if name.is_empty() {
            return Err(InvalidGrant::NoName(quoted()));
        }
        let (pattern, is_prefix) = name.strip_suffix('*').map_or((name, false), |prefix| (prefix, true));
        if pattern.len() > GRANT_NAME_BYTES_MAX {
            return Err(InvalidGrant::TooLong(quoted()));
        }
        if !pattern.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'*') {
            return Err(InvalidGrant::Character(quoted()));
        }
        let pattern = if is_prefix { Pattern::Prefix(pattern.into()) } else { Pattern::Exact(pattern.into()) };
        Ok(Self { namespace, pattern })
    }
}

impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.pattern {
            Pattern::Prefix(prefix) => write!(f, "{}:{prefix}*", self.namespace.as_str()),
            Pattern::Exact(exact) => write!(f, "{}:{exact}", self.namespace.as_str()),
        }
    }
}

/// All grants of an account: sorted, each once; cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grants(Arc<[Grant]>);

impl Grants {
    pub fn none() -> Self {
        Self(Arc::new([]))
    }

    /// What a new account may do unless told otherwise: prices and transactions are open, a bot needs its own grant.
    pub fn of_a_new_account() -> Self {
        let all = |namespace| Grant { namespace, pattern: Pattern::Prefix("".into()) };
        [all(GrantNamespace::Price), all(GrantNamespace::Transactions)].into_iter().collect()
    }

    /// Whether the account may subscribe to `namespace:name`. An empty name is nobody's.
    pub fn allows(&self, namespace: GrantNamespace, name: &str) -> bool {
        !name.is_empty() && self.0.iter().any(|grant| grant.allows(namespace, name))
    }

    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Grant> {
        self.0.iter()
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// These and `more`.
    pub fn with(&self, more: impl IntoIterator<Item = Grant>) -> Self {
        self.0.iter().cloned().chain(more).collect()
    }

    /// These but for `fewer`; a grant that isn't there is no error.
    pub fn without(&self, fewer: &[Grant]) -> Self {
        self.0.iter().filter(|grant| !fewer.contains(grant)).cloned().collect()
    }
}

impl FromIterator<Grant> for Grants {
    fn from_iter<I: IntoIterator<Item = Grant>>(grants: I) -> Self {
        let mut grants: Vec<Grant> = grants.into_iter().collect();
        grants.sort_unstable();
        grants.dedup();
        Self(grants.into())
    }
}

impl fmt::Display for Grants {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("none");
        }
        for (nth, grant) in self.0.iter().enumerate() {
            write!(f, "{}{grant}", if nth == 0 { "" } else { " " })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grants(texts: &[&str]) -> Grants {
        texts.iter().map(|text| text.parse::<Grant>().expect(text)).collect()
    }

    #[test]
    fn a_grant_survives_its_text_form() {
        for text in ["bot:*", "bot:bot_abc123", "price:EPj*", "transactions:*", "bot:a:b"] {
            assert_eq!(text.parse::<Grant>().expect(text).to_string(), text);
        }
    }

    #[test]
    fn a_wrong_grant_is_refused_by_what_is_wrong_with_it() {
        use InvalidGrant::*;
        let long = format!("bot:{}", "x".repeat(GRANT_NAME_BYTES_MAX + 1));
        let parse = |text: &str| text.parse::<Grant>().expect_err(text);
        assert!(matches!(parse("bot"), NoNamespace(_)));
        assert!(matches!(parse(""), NoNamespace(_)));
        assert!(matches!(parse("wallet:*"), UnknownNamespace(_)));
        assert!(matches!(parse("*:*"), UnknownNamespace(_)));
        assert!(matches!(parse("bot:"), NoName(_)));
        assert!(matches!(parse(&long), TooLong(_)));
        for text in ["bot:a*b", "bot:**", "bot:a b", "bot:é", "bot:\n"] {
            assert!(matches!(parse(text), Character(_)), "{text:?}");
        }
    }

    #[test]
    fn exact_prefix_and_all_allow_what_they_say_and_no_more() {
        use GrantNamespace::*;
        let held = grants(&["bot:alpha", "price:EP*", "transactions:*"]);
        assert!(held.allows(Bot, "alpha") && !held.allows(Bot, "alpha2") && !held.allows(Bot, "alph"));
        assert!(held.allows(Price, "EPjF") && held.allows(Price, "EP") && !held.allows(Price, "SOL"));
        assert!(held.allows(Transactions, "anything") && !held.allows(Transactions, ""));
    }

    #[test]
    fn a_new_account_sees_prices_and_transactions_but_no_bot() {
        assert_eq!(Grants::of_a_new_account(), grants(&["price:*", "transactions:*"]));
    }

    #[test]
    fn adding_twice_is_once_and_removing_what_is_absent_is_nothing() {
        let held = grants(&["bot:a"]);
        assert_eq!(held.with(["bot:a".parse().expect("grant")]), held);
        assert_eq!(held.without(&["bot:b".parse().expect("grant")]), held);
        assert_eq!(held.without(&["bot:a".parse().expect("grant")]), Grants::none());
    }
}
