//! `stentor token mint`: a token for the rooms protocol, where the server's key for tokens is a secret.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::{Args, Subcommand};
use jiff::{Span, SpanRelativeTo, Timestamp, Unit};
use serde_json::json;

use super::Failure;
use super::account::moment;
use super::audit;
use super::console::Console;
use crate::accounts::audit::{Act, Action};
use crate::config::{Config, File, ServerSettings};
use crate::limits::{TOKEN_TTL_S_MAX, TOKEN_TTL_S_MIN};
use crate::tokens::{KeySource, Minter, NewToken, SECRET_FILE, UserId};

/// Make tokens for the rooms protocol
#[derive(Debug, Args)]
pub struct TokenArgs {
    #[command(subcommand)]
    command: TokenCommand,
}

#[derive(Debug, Subcommand)]
enum TokenCommand {
    /// Make a token for a user; prints the token. Nobody can take it back before its time
    Mint(MintArgs),
}

#[derive(Debug, Args)]
struct MintArgs {
    /// The user's id: what the token's sub says
    #[arg(long, value_name = "ID")]
    user: UserId,
    /// Makes an administrator, who receives admin: topics up to this level
    #[arg(long, value_name = "N")]
    admin_level: Option<u32>,
    /// How long the token is good for, such as 90s, 15m, 1h or 7d
    #[arg(long, value_name = "TIME", default_value = "1h")]
    ttl: Ttl,
    /// The server's configuration file: its [jwt] section and its data directory count
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// From a token's making to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ttl {
    seconds: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum InvalidTtl {
    #[error("write a number and its unit, such as 90s, 15m, 1h or 7d")]
    Unreadable,
    #[error("write whole seconds, from 1s to 366d")]
    OutOfRange,
}

impl FromStr for Ttl {
    type Err = InvalidTtl;

    fn from_str(text: &str) -> Result<Self, InvalidTtl> {
        let span: Span = text.parse().map_err(|_| InvalidTtl::Unreadable)?;
        // Months and years have no length of their own, and are refused here.
        let seconds =
            span.total((Unit::Second, SpanRelativeTo::days_are_24_hours())).map_err(|_| InvalidTtl::Unreadable)?;
        let allowed = TOKEN_TTL_S_MIN as f64..=TOKEN_TTL_S_MAX as f64;
        match seconds.fract() == 0.0 && allowed.contains(&seconds) {
            true => Ok(Self { seconds: seconds as u64 }),
            false => Err(InvalidTtl::OutOfRange),
        }
    }
}

impl TokenArgs {
    pub fn run(self, data_dir: Option<PathBuf>) -> Result<(), Failure> {
        let TokenCommand::Mint(arguments) = self.command;
        Console::of_process(|console| arguments.run_on(data_dir, console))
    }
}

impl MintArgs {
    fn run_on(self, data_dir: Option<PathBuf>, console: &mut Console<'_>) -> Result<(), Failure> {
        let file = match &self.config {
            Some(path) => File::read(path).map_err(|error| Failure::Usage(error.to_string()))?,
            None => File::default(),
        };
        let server = Config::resolve(ServerSettings { data_dir, ..ServerSettings::default() }, file).server;
        let secret = server.data_dir.join(SECRET_FILE);
        let makes_one = server.tokens.source == KeySource::DataDirectory && !secret.exists();
        let minter = Minter::open(&server.tokens, &server.data_dir).map_err(Failure::failed)?;
        if makes_one {
            console.say(format_args!(
                "made a new secret in {}: a server with another one believes no token of it",
                secret.display()
            ));
        }
        let token = NewToken { user: self.user, admin_level: self.admin_level, ttl_s: self.ttl.seconds };
        let now = Timestamp::now();
        let now_s = u64::try_from(now.as_second()).map_err(|_| Failure::failed("the clock is before 1970: set it"))?;
        let role = token.admin_level.map_or_else(String::new, |level| format!(", administrator of level {level},"));
        let end = now + Duration::from_secs(token.ttl_s);
        let detail = json!({ "admin_level": token.admin_level, "good_until": moment(end) });
        // Before anybody has it: a token that nobody knows of can't be looked for.
        audit::record(&server.data_dir, &Act::new(Action::TokenMint, &token.user, detail))?;
        console.say(format_args!("made a token for {}{role} good until {}", token.user, moment(end)));
        console.value(minter.mint(&token, now_s))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use clap::Parser;

    use super::super::console::tests::{Printed, with_input};
    use super::*;
    use crate::tokens::{TokenSettings, Verifier};

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        token: TokenArgs,
    }

    fn parse(line: &str) -> Result<MintArgs, clap::Error> {
        let line = Line::try_parse_from(format!("token {line}").split_whitespace())?;
        let TokenCommand::Mint(arguments) = line.token.command;
        Ok(arguments)
    }

    fn run(data_dir: Option<&Path>, line: &str) -> Printed {
        let arguments = parse(line).expect(line);
        with_input("", |console| arguments.run_on(data_dir.map(Path::to_owned), console))
    }

    #[test]
    fn mint_prints_the_token_alone_and_the_server_believes_it() {
        let dir = tempfile::tempdir().expect("a directory");
        let before_s = Timestamp::now().as_second() as u64;
        for (line, admin_level, ttl_s) in [
            ("mint --user user_123", None, 3600),
            ("mint --user user_123 --admin-level 2 --ttl 7d", Some(2), 7 * 24 * 3600),
        ] {
            let printed = run(Some(dir.path()), line);
            printed.outcome.expect(line);
            let token = printed.values.strip_suffix('\n').expect("a line");
            assert!(!printed.words.contains(token) && printed.words.contains("user_123"), "{}", printed.words);
            let verifier = Verifier::open(&TokenSettings::default(), dir.path()).expect("a verifier");
            let now_s = Timestamp::now().as_second() as u64;
            let claims = verifier.verify(token, now_s).expect("believed");
            assert_eq!((claims.user.as_str(), claims.admin_level), ("user_123", admin_level));
            assert!((before_s + ttl_s..=now_s + ttl_s).contains(&claims.expires_at_s), "{claims:?}");
        }
    }

    #[test]
    fn the_configuration_says_where_the_data_is_unless_a_flag_does() {
        let dir = tempfile::tempdir().expect("a directory");
        let (config, in_file, in_flag) =
            (dir.path().join("stentor.toml"), dir.path().join("file"), dir.path().join("flag"));
        std::fs::write(&config, format!("[server]\ndata_dir = {in_file:?}\n")).expect("written");
        let line = format!("mint --user u --config {}", config.display());
        run(None, &line).outcome.expect("minted");
        assert!(in_file.join("jwt-secret").exists());
        run(Some(&in_flag), &line).outcome.expect("minted");
        assert!(in_flag.join("jwt-secret").exists());
        let outcome = run(None, "mint --user u --config /nonexistent/stentor.toml").outcome;
        assert!(matches!(&outcome, Err(Failure::Usage(why)) if why.contains("--config")), "{outcome:?}");
    }

    #[test]
    fn a_secret_that_can_not_be_read_fails() {
        let dir = tempfile::tempdir().expect("a directory");
        std::fs::write(dir.path().join("jwt-secret"), "hunter2").expect("written");
        let printed = run(Some(dir.path()), "mint --user u");
        assert!(matches!(&printed.outcome, Err(Failure::Failed(why)) if why.contains("jwt-secret")));
        assert_eq!((printed.values.as_str(), printed.words.as_str()), ("", ""));
    }

    #[test]
    fn a_time_to_live_is_a_number_and_a_unit() {
        for (text, seconds) in [
            ("90s", Ok(90)),
            ("15m", Ok(900)),
            ("1h", Ok(3600)),
            ("1h30m", Ok(5400)),
            ("7d", Ok(604_800)),
            ("366d", Ok(TOKEN_TTL_S_MAX)),
            ("367d", Err(InvalidTtl::OutOfRange)),
            ("0s", Err(InvalidTtl::OutOfRange)),
            ("-1h", Err(InvalidTtl::OutOfRange)),
            ("500ms", Err(InvalidTtl::OutOfRange)),
            ("1mo", Err(InvalidTtl::Unreadable)),
            ("1y", Err(InvalidTtl::Unreadable)),
            ("60", Err(InvalidTtl::Unreadable)),
            ("", Err(InvalidTtl::Unreadable)),
            ("99999999999999999999d", Err(InvalidTtl::Unreadable)),
        ] {
            assert_eq!(text.parse::<Ttl>().map(|ttl| ttl.seconds), seconds, "{text}");
        }
    }

    #[test]
    fn a_wrong_command_line_is_refused_by_what_is_wrong_in_it() {
        let long = format!("mint --user {}", "u".repeat(300));
        for (line, told) in [
            ("mint", "--user"),
            (long.as_str(), "1 to 251 bytes"),
            ("mint --user u --ttl soon", "15m"),
            ("mint --user u --ttl=-1h", "366d"),
            ("mint --user u --admin-level x", "--admin-level"),
            ("mint --user u --admin-level 4294967296", "--admin-level"),
        ] {
            let message = parse(line).expect_err(line).to_string();
            assert!(message.contains(told), "{line}: {message}");
        }
    }
}
