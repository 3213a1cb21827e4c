//! What can be wrong with a configuration file. Each message is one sentence that ends with the remedy.

use std::io;
use std::path::PathBuf;

use crate::limits::CONFIG_FILE_BYTES_MAX;

/// Why a file is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("there is no {}: correct --config, or make one with `stentor serve --print-config`", .path.display())]
    Missing { path: PathBuf },
    #[error("can't read {} ({source}): check its owner and mode, or correct --config", .path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("{} has more than {CONFIG_FILE_BYTES_MAX} bytes: correct --config, this is no configuration", .path.display())]
    TooLong { path: PathBuf },
    /// `line` counts from 1.
    #[error("{}, line {line}: {fault}", .path.display())]
    Wrong { path: PathBuf, line: usize, fault: Fault },
}

/// What is wrong with one line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error("not UTF-8: save the file in that encoding")]
    NotUtf8,
    #[error("not valid TOML: {message}")]
    Syntax { message: String },
    #[error("`{name}` is {got}: write a section, such as [{name}]")]
    NoSection { name: &'static str, got: &'static str },
    #[error("unknown section [{name}]: {}", suggestion(.nearest, "the sections are", .known))]
    UnknownSection { name: String, nearest: Option<&'static str>, known: Vec<&'static str> },
    #[error("`{key}` stands in no section: put it below [{section}]")]
    OutsideSection { key: &'static str, section: &'static str },
    #[error("`{key}` belongs to another section: put it below [{section}]")]
    OtherSection { key: &'static str, section: &'static str },
    #[error("unknown key `{name}`: did you mean `{key}` of [{section}]?")]
    MisspeltInOtherSection { name: String, key: &'static str, section: &'static str },
    #[error("unknown key `{name}`: {}", suggestion(.nearest, &format!("[{section}] has"), .known))]
    UnknownKey { section: &'static str, name: String, nearest: Option<&'static str>, known: Vec<&'static str> },
    #[error("`{key}` is {got}: write {wanted}")]
    WrongType { key: &'static str, got: String, wanted: String },
    #[error("`{key}`: {message}")]
    WrongValue { key: &'static str, message: String },
}

/// A fault and the byte at which it begins.
pub type Misplaced = (usize, Fault);

fn suggestion(nearest: &Option<&'static str>, lead: &str, known: &[&str]) -> String {
    match nearest {
        Some(nearest) => format!("did you mean `{nearest}`?"),
        None => format!("{lead} {}", known.join(", ")),
    }
}
