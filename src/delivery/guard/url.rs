//! A webhook's URL, checked as far as its text goes.

use std::fmt;

use super::{Allowed, GuardRefusal};
use crate::delivery::PortRange;

/// An absolute http or https URL without credentials and fragment, whose port is allowed and whose host, where it is an address, is
/// one that may be reached. In the form that the WHATWG URL standard gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookUrl(Box<str>);

impl WebhookUrl {
    pub fn parse(_text: &str, _ports: &[PortRange], _allowed: &Allowed) -> Result<Self, GuardRefusal> {
        todo!()
    }

    /// One that was checked when it was stored; the attempt looks again.
    pub fn stored(text: String) -> Self {
        Self(text.into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for WebhookUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}
