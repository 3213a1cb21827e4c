//! What a token that was believed says.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::limits::USER_ID_BYTES_MAX;

/// A user of the rooms protocol: the token's `sub` (or `userId`).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UserId(Arc<str>);

/// The text is no user id, because `user:{id}` would be no topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a user id has 1 to {USER_ID_BYTES_MAX} bytes and no control characters")]
pub struct InvalidUserId;

impl UserId {
    /// A text that was checked before: what comes from elsewhere is parsed.
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for UserId {
    type Err = InvalidUserId;

    fn from_str(text: &str) -> Result<Self, InvalidUserId> {
        let fits = (1..=USER_ID_BYTES_MAX).contains(&text.len()) && !text.chars().any(char::is_control);
        if fits { Ok(Self::new(text)) } else { Err(InvalidUserId) }
    }
}

/// So that a map of users can be asked with a topic's name.
impl Borrow<str> for UserId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The claims of a verified token that Stentor acts on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    pub user: UserId,
    /// `admin_level`: the token's sessions receive `admin:` topics up to this level. None: no administrator.
    pub admin_level: Option<u32>,
    /// `exp`, in Unix seconds, at most [`TOKEN_DATE_S_MAX`](crate::limits::TOKEN_DATE_S_MAX). Its sessions end then.
    pub expires_at_s: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Topic;

    #[test]
    fn a_user_id_is_what_makes_a_topic() {
        let longest = "u".repeat(USER_ID_BYTES_MAX);
        let too_long = format!("{longest}u");
        for (text, fits) in
            [("u", true), ("auth0|a@b.c", true), ("ü 名", true), ("", false), ("a\nb", false), ("\u{85}", false)]
                .into_iter()
                .chain([(longest.as_str(), true), (too_long.as_str(), false)])
        {
            assert_eq!(text.parse::<UserId>().is_ok(), fits, "{text:?}");
            assert_eq!(Topic::parse(&format!("user:{text}")).is_ok(), fits, "{text:?}");
        }
    }
}
