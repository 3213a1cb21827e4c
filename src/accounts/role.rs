//! What a key is for.

use std::fmt;
use std::str::FromStr;

/// What the holder of a key may do. The roles do not include one another: a publisher's key that leaks reads nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// May publish events.
    Publisher,
    /// May open sockets and use the REST side for its own account.
    Subscriber,
    /// The operator: may manage accounts.
    Admin,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no role {0:?}: use publisher, subscriber or admin")]
pub struct UnknownRole(pub String);

impl Role {
    pub const ALL: [Self; 3] = [Self::Publisher, Self::Subscriber, Self::Admin];

    /// As it stands in messages, on the command line and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Publisher => "publisher",
            Self::Subscriber => "subscriber",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Role {
    type Err = UnknownRole;

    fn from_str(text: &str) -> Result<Self, UnknownRole> {
        Self::ALL.into_iter().find(|role| role.as_str() == text).ok_or_else(|| UnknownRole(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_role_survives_its_text_form() {
        for role in Role::ALL {
            assert_eq!(role.to_string().parse(), Ok(role));
        }
    }

    #[test]
    fn an_unknown_role_is_refused_with_the_known_ones() {
        let message = "root".parse::<Role>().expect_err("root").to_string();
        assert!(message.contains("root") && message.contains("publisher"), "{message}");
    }
}
