//! What `loadgen fanout` and `loadgen floor` are asked to do.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::churn::{ChurnPlan, parse_churn};
use super::gate::{Assertion, Baseline, Gate, Known};
use super::load::{FloorOptions, Load, LoadArguments};
use super::mix::{Mix, Protocol};
use super::opening::{Credentials, Opening};
use super::report::Settings;
use super::rival::Rival;
use super::run::Contender;
use super::server::ServerArguments;
use super::stall::StallPlan;
use crate::args::{UsageError, parse_duration};
use crate::publisher::BurstAs;
use crate::token;

#[derive(Debug, Args)]
pub struct FanoutArguments {
    #[command(flatten)]
    pub server: ServerArguments,
    /// How a burst is published
    #[arg(long, value_enum, default_value = "request")]
    pub burst_as: BurstAs,
    /// Run this beside the server, in turns, and give the ratio: `floor` (a bare send loop), or another server,
    /// `[NAME=]URL[,publish=URL][,publish-key=KEY][,burst-as=requests][,pid=PID]`, whose publish URL may be
    /// nats://IP:PORT/SUBJECT; may be given several times
    #[arg(long, value_name = "floor|SERVER")]
    pub vs: Vec<Rival>,
    /// So many of the sockets, or such a share of them (10%), stop reading at the first timed event and then go on
    #[arg(long, value_name = "COUNT|SHARE%", value_parser = parse_share, conflicts_with_all = ["vs", "rounds"])]
    pub stalled: Option<Share>,
    /// How long those do not read
    #[arg(long, default_value = "30s", value_parser = parse_duration, requires = "stalled")]
    pub stall: Duration,
    /// Of which protocols Stentor's sockets are: one, or several with weights (watchlist=70,rooms=30), of watchlist, tiered,
    /// channels, rooms and sse; a rival's are all of its own [default: watchlist]
    #[arg(long, value_name = "PROTOCOL|NAME=WEIGHT,…", conflicts_with = "url")]
    pub mix: Option<Mix>,
    /// The HS256 secret that the server checks tokens with, for rooms: jwt-secret in its data directory
    #[arg(long, value_name = "FILE", requires = "mix")]
    pub jwt_secret: Option<PathBuf>,
    /// Such a share of the sockets end each second, and others take their place: a crowd of their own, told apart, ten seconds' worth of
    /// them and at most half of all
    #[arg(long, value_name = "SHARE%/s", value_parser = parse_churn, conflicts_with_all = ["vs", "rounds", "stalled"])]
    pub churn: Option<f64>,
    /// What must hold, such as 'p99<20ms', 'floor.p50<10ms' or 'ratio.floor.p50<1.10'; may be given several times. Where one does
    /// not, the exit code is 3
    #[arg(long = "assert", value_name = "FIGURE<BOUND")]
    pub assertions: Vec<Assertion>,
    /// An earlier run's --json, which this one must not be worse than
    #[arg(long, value_name = "FILE")]
    pub baseline: Option<PathBuf>,
    /// How much worse it may be. Ratios to the floor are compared where both runs have them, else times
    #[arg(long, value_name = "PERCENT%", default_value = "10%", value_parser = parse_percent)]
    pub max_regression: f64,
    #[command(flatten)]
    pub load: LoadArguments,
    #[command(flatten)]
    pub floor: FloorOptions,
}

#[derive(Debug, Args)]
pub struct FloorArguments {
    #[command(flatten)]
    pub load: LoadArguments,
    #[command(flatten)]
    pub floor: FloorOptions,
}

impl FanoutArguments {
    /// Whoever is measured, the server first; the others in the order in which they were named.
    pub fn contenders(&self) -> Result<Vec<Contender>, UsageError> {
        let mut server = self.server.server(self.burst_as)?;
        if let Some(mix) = &self.mix {
            server.openings = self.openings(mix)?;
        }
        let mut contenders = vec![Contender::Server(server)];
        for rival in &self.vs {
            contenders.push(rival.contender(self.server.allow_remote, self.server.ca.as_deref())?);
            let (rival, others) = contenders.split_last().expect("one was just pushed");
            if others.iter().any(|other| other.name() == rival.name()) {
                return Err(UsageError::SameName(rival.name().to_owned()));
            }
            // Each would get the other's events, too.
            if others.iter().any(|other| other.outlet().is_some() && other.outlet() == rival.outlet()) {
                return Err(UsageError::SameServer(rival.name().to_owned()));
            }
        }
        Ok(contenders)
    }

    /// What the run does. `sides`: how many contenders there are.
    pub fn load(&self, sides: u32) -> Result<Load, UsageError> {
        let mut load = self.load.load(&self.floor, sides)?;
        load.mix = self.mix.clone();
        load.burst_as = self.burst_as;
        load.stall = self.stall(&load)?;
        load.churn = self.churn.map(|percent| ChurnPlan::new(load.sockets, percent, &load.schedule)).transpose()?;
        if let Some(mix) = &self.mix {
            mix.check(load.sockets - load.apart())?;
        }
        Ok(load)
    }

    /// What the run has to reach.
    pub fn gate(&self, contenders: &[Contender], load: &Load) -> Result<Gate, UsageError> {
        let known: Vec<Known<'_>> = contenders.iter().map(Contender::known).collect();
        self.assertions.iter().try_for_each(|assertion| assertion.check(&known))?;
        let baseline = self.baseline.as_deref().map(Baseline::read).transpose()?;
        baseline.iter().try_for_each(|baseline| baseline.check(&Settings::of(load)))?;
        Ok(Gate { assertions: self.assertions.clone(), baseline, max_regression: self.max_regression })
    }

    fn openings(&self, mix: &Mix) -> Result<Vec<Opening>, UsageError> {
        let server = self.server.subscribe()?;
        let jwt_secret = self.jwt_secret.as_deref().map(token::read_secret).transpose()?;
        let (key, now_s) = (self.server.key.as_deref(), token::now_s());
        let credentials = Credentials { key, jwt_secret: jwt_secret.as_deref(), now_s };
        let opening = |(protocol, weight): &(Protocol, u32)| {
            Opening::stentor(*protocol, *weight, &server, &self.load.clients.owner, &credentials)
        };
        Ok(mix.parts().iter().map(opening).collect::<Result<_, _>>()?)
    }

    /// Which sockets stall; every one must see the load go on afterwards.
    pub fn stall(&self, load: &Load) -> Result<Option<StallPlan>, UsageError> {
        let Some(share) = self.stalled else { return Ok(None) };
        let sockets = match share {
            Share::Count(sockets) => sockets,
            Share::Percent(percent) => (f64::from(load.sockets) * percent / 100.0).round() as u32,
        };
        if sockets >= load.sockets {
            return Err(UsageError::Stalled(sockets));
        }
        let stall_ns = self.stall.as_nanos() as u64;
        let last_ns = load.schedule.offset_ns(load.schedule.timed_steps.saturating_sub(1));
        if last_ns <= stall_ns {
            return Err(UsageError::StallTooLong { stall: self.stall, load: Duration::from_nanos(last_ns) });
        }
        Ok(Some(StallPlan { sockets, stall_ns }))
    }
}

/// Some of the sockets.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Share {
    Count(u32),
    Percent(f64),
}

/// Reads `10%` as 0.1.
pub fn parse_percent(text: &str) -> Result<f64, String> {
    let percent = text.strip_suffix('%').and_then(|number| number.trim().parse::<f64>().ok());
    match percent.filter(|percent| (0.0..=1000.0).contains(percent)) {
        Some(percent) => Ok(percent / 100.0),
        None => Err(format!("`{text}` is no percentage: write 10%")),
    }
}

/// Reads `1000` or `10%`.
fn parse_share(text: &str) -> Result<Share, String> {
    let wrong = || format!("`{text}` is neither a number of sockets nor a share of them: write 1000 or 10%");
    match text.strip_suffix('%') {
        Some(percent) => match percent.trim().parse() {
            Ok(percent) if (0.0..=100.0).contains(&percent) => Ok(Share::Percent(percent)),
            _ => Err(wrong()),
        },
        None => text.parse().map(Share::Count).map_err(|_| wrong()),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::super::run::Server;
    use super::*;
    use crate::args::{Arguments, Command};
    use crate::publisher::Outlet;

    fn fanout(line: &str) -> FanoutArguments {
        let words = ["loadgen", "fanout"].into_iter().chain(line.split_whitespace());
        match Arguments::try_parse_from(words).unwrap().command {
            Command::Fanout(arguments) => *arguments,
            _ => unreachable!("asked for fanout"),
        }
    }

    fn server(line: &str) -> Result<Server, UsageError> {
        match fanout(line).contenders()?.swap_remove(0) {
            Contender::Server(server) => Ok(server),
            Contender::Floor => unreachable!("the server comes first"),
        }
    }

    #[test]
    fn host_and_key_make_the_usual_endpoints() {
        let server = server("--host 127.0.0.1:6000 --key abc --burst-as requests").unwrap();
        assert_eq!(server.openings[0].target.path, "/ws/alerts?apiKey=abc");
        let Outlet::Http { target, burst_as, .. } = server.outlet else { unreachable!("HTTP") };
        assert_eq!((target.authority().as_str(), target.path.as_str()), ("127.0.0.1:6000", "/api/events"));
        assert_eq!(burst_as, BurstAs::Requests);
    }

    #[test]
    fn a_rival_has_a_name_and_a_server_of_its_own() {
        let contenders = |line: &str| fanout(line).contenders();
        let names = |line: &str| -> Vec<String> {
            contenders(line).unwrap().iter().map(|contender| contender.name().to_owned()).collect()
        };
        assert_eq!(names("--vs floor --vs ws://127.0.0.1:6000/"), ["server", "floor", "other"]);
        let same = contenders("--vs ws://127.0.0.1:6000/ --vs ws://127.0.0.1:6001/");
        assert!(matches!(same, Err(UsageError::SameName(_))));
        let same = contenders("--host 127.0.0.1:6000 --vs again=ws://127.0.0.1:6000/");
        assert!(matches!(same, Err(UsageError::SameServer(_))));
    }

    #[test]
    fn another_machine_is_refused_for_subscribing_and_for_publishing() {
        assert!(server("--url ws://10.0.0.1:1/").is_err());
        assert!(server("--url ws://127.0.0.1:1/ --publish http://10.0.0.1:1/").is_err());
        assert!(server("--url ws://10.0.0.1:1/ --allow-remote").is_ok());
    }

    #[test]
    fn some_sockets_stall_for_less_than_the_load_lasts() {
        let stall = |line: &str| {
            let arguments = fanout(line);
            arguments.stall(&arguments.load.load(&arguments.floor, 1).unwrap())
        };
        let plan = stall("--sockets 250 --events 400 --rate 10 --stalled 10%").unwrap().unwrap();
        assert_eq!((plan.sockets, plan.stall_ns), (25, 30_000_000_000));
        assert_eq!(stall("--sockets 250 --stalled 7 --stall 1s").unwrap().unwrap().sockets, 7);
        assert_eq!(stall("--sockets 250").unwrap(), None);
        let message = stall("--sockets 250 --stalled 7 --events 20").unwrap_err().to_string();
        assert!(message.contains("30s outlasts"), "{message}");
        assert!(stall("--sockets 250 --stalled 251 --stall 1s").is_err());
        assert!(parse_share("110%").is_err() && parse_share("many").is_err());
    }

    #[test]
    fn a_mix_opens_each_protocol_with_the_one_key() {
        let secret = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(secret.path(), "secret").unwrap();
        let line = format!(
            "--host 127.0.0.1:6000 --key abc --mix watchlist=70,rooms=20,sse=10 --jwt-secret {}",
            secret.path().display()
        );
        let openings = server(&line).unwrap().openings;
        let told: Vec<(&str, u32, &str)> =
            openings.iter().map(|opening| (opening.name, opening.weight, opening.target.path.as_str())).collect();
        let stream = format!("/events/stream?topic=wallet:{}", crate::args::DEFAULT_OWNER);
        assert_eq!(
            told,
            [("watchlist", 70, "/ws/alerts?apiKey=abc"), ("rooms", 20, "/ws"), ("sse", 10, stream.as_str())]
        );
    }

    #[test]
    fn a_mix_that_lacks_something_is_refused_with_what_it_lacks() {
        let refused = |line: &str| server(line).unwrap_err().to_string();
        assert!(refused("--key abc --mix rooms").contains("--jwt-secret"));
        assert!(refused("--mix watchlist=1,tiered=1").contains("--key"));
        assert!(refused("--key abc --mix rooms --jwt-secret /nowhere/secret").contains("/nowhere/secret"));
        let few = fanout("--sockets 5 --key abc --mix watchlist=99,tiered=1").load(1).unwrap_err().to_string();
        assert!(few.contains("tiered gets none"), "{few}");
    }

    #[test]
    fn words_that_do_not_go_together_are_refused() {
        let wrong = |line: &str| {
            let words = ["loadgen", "fanout"].into_iter().chain(line.split_whitespace());
            Arguments::try_parse_from(words).unwrap_err().to_string()
        };
        for (line, word) in [
            ("--mix chat", "chat"),
            ("--mix rooms=0,sse=1", "weight"),
            ("--mix sse --url ws://127.0.0.1:1/", "--url"),
            ("--jwt-secret x", "--mix"),
            ("--churn 60%/s", "50%/s"),
            ("--churn 1%/s --vs floor", "--vs"),
            ("--churn 1%/s --rounds 2", "--rounds"),
            ("--churn 1%/s --stalled 2", "--stalled"),
        ] {
            let message = wrong(line);
            assert!(message.contains(word), "{line}: {message}");
        }
    }

    #[test]
    fn churn_is_planned_from_the_sockets_and_the_load() {
        let churn = |line: &str| fanout(line).load(1).map(|load| load.churn);
        let plan = churn("--sockets 1000 --events 300 --rate 10 --churn 1%/s").unwrap().unwrap();
        assert_eq!((plan.sockets, plan.reconnects_max()), (100, 299));
        assert_eq!(churn("--sockets 1000").unwrap(), None);
        assert!(matches!(churn("--sockets 10 --events 2 --churn 1%/s"), Err(UsageError::TooLittleChurn)));
    }

    #[test]
    fn a_rival_of_a_mix_has_sockets_of_its_own_kind() {
        let contenders = fanout("--key abc --mix tiered=1,sse=1 --vs ws://127.0.0.1:6000/").contenders().unwrap();
        let kinds: Vec<usize> = contenders
            .iter()
            .map(|contender| match contender {
                Contender::Server(server) => server.openings.len(),
                Contender::Floor => 0,
            })
            .collect();
        assert_eq!(kinds, [2, 1]);
    }
}
