//! What a token that was believed says.

use std::fmt;
use std::sync::Arc;

/// A user of the rooms protocol: the token's `sub` (or `userId`).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UserId(Arc<str>);

impl UserId {
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }

    pub fn as_str(&self) -> &str {
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
    /// `exp`, in Unix seconds. Its sessions end then.
    pub expires_at_s: u64,
}
