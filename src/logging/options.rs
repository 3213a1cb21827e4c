//! How much is said, and in which form.

use std::fmt;
use std::str::FromStr;

use tracing_subscriber::EnvFilter;

/// The `[log]` section of the configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogOptions {
    pub format: LogFormat,
    pub level: LogLevel,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// A line for people.
    #[default]
    Text,
    /// An object a line.
    Json,
}

/// Directives of [`EnvFilter`] that were read once, so that they can be read again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLevel(Box<str>);

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no such format: there are text and json")]
pub struct UnknownFormat;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no level: write error, warn, info, debug or trace, or one for a part, such as info,stentor::delivery=debug"
)]
pub struct NotALevel(String);

impl LogLevel {
    pub fn filter(&self) -> EnvFilter {
        EnvFilter::builder().parse(&*self.0).expect("it was read before")
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for LogLevel {
    fn default() -> Self {
        Self("info".into())
    }
}

impl FromStr for LogLevel {
    type Err = NotALevel;

    fn from_str(text: &str) -> Result<Self, NotALevel> {
        let wrong = || NotALevel(text.chars().take(80).collect());
        // A word that is no level would be taken for the name of a part, all of which is then said.
        let is_meant = |directive: &str| match directive.trim() {
            "" => false,
            "error" | "warn" | "info" | "debug" | "trace" | "off" => true,
            part => part.contains('='),
        };
        if !text.split(',').all(is_meant) || EnvFilter::builder().parse(text).is_err() {
            return Err(wrong());
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for LogLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for LogFormat {
    type Err = UnknownFormat;

    fn from_str(text: &str) -> Result<Self, UnknownFormat> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err(UnknownFormat),
        }
    }
}

impl fmt::Display for LogFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text => "text",
            Self::Json => "json",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_words_or_name_a_part() {
        for good in ["info", "warn", "off", "info,stentor::delivery=debug", "stentor::shard=trace, error"] {
            assert_eq!(good.parse::<LogLevel>().map(|level| level.to_string()).as_deref(), Ok(good));
        }
        for bad in ["", "loud", "info,", "info,stentor", "stentor=loud", "INFO", "5", "a=b=c"] {
            assert!(bad.parse::<LogLevel>().is_err(), "{bad}");
        }
    }
}
