//! Whom a server is measured beside: what `--vs` says.

use std::path::Path;
use std::str::FromStr;

use clap::ValueEnum;

use super::opening::Opening;
use super::run::{Contender, Server};
use crate::args::UsageError;
use crate::publisher::{BurstAs, Outlet};
use crate::target::{Target, TargetError};

/// The other side of a pair.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rival {
    /// A bare `send(2)` loop.
    Floor,
    Server(RivalServer),
}

/// `[NAME=]URL[,publish=URL][,publish-key=KEY][,burst-as=request|requests][,pid=PID]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RivalServer {
    pub name: String,
    /// Where its sockets connect.
    pub url: String,
    /// Where events are published, `http://…` or `nats://IP:PORT/SUBJECT`; as Stentor has it where it is not named.
    pub publish: Option<String>,
    pub publish_key: Option<String>,
    pub burst_as: BurstAs,
    pub pid: Option<u32>,
}

/// `--vs` says something that can't be read.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum RivalError {
    #[error(
        "--vs `{0}`: write floor, or [NAME=]ws://IP:PORT/PATH[,publish=http://IP:PORT/PATH][,publish-key=KEY][,pid=PID]"
    )]
    Form(String),
    #[error("--vs: `{0}` is none of publish=, publish-key=, burst-as=request|requests and pid=")]
    Option(String),
    #[error("--vs: `pid={0}` is no process id")]
    Pid(String),
}

impl FromStr for Rival {
    type Err = RivalError;

    fn from_str(text: &str) -> Result<Self, RivalError> {
        if text == "floor" {
            return Ok(Self::Floor);
        }
        let mut parts = text.split(',');
        let first = parts.next().unwrap_or_default();
        // A URL's query may hold an equals sign: a name stands before the scheme.
        let (name, url) = match first.split_once('=') {
            Some((name, url)) if !name.contains(':') => (name, url),
            _ => ("other", first),
        };
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if name.is_empty() || !name.bytes().all(plain) || name == "floor" || !url.contains("://") {
            return Err(RivalError::Form(text.to_owned()));
        }
        let mut server = RivalServer {
            name: name.to_owned(),
            url: url.to_owned(),
            publish: None,
            publish_key: None,
            burst_as: BurstAs::Request,
            pid: None,
        };
        for part in parts {
            match part.split_once('=') {
                Some(("publish", url)) => server.publish = Some(url.to_owned()),
                Some(("publish-key", key)) => server.publish_key = Some(key.to_owned()),
                Some(("burst-as", text)) => {
                    server.burst_as =
                        BurstAs::from_str(text, false).map_err(|_| RivalError::Option(part.to_owned()))?;
                }
                Some(("pid", pid)) => {
                    server.pid = Some(pid.parse().map_err(|_| RivalError::Pid(pid.to_owned()))?);
                }
                _ => return Err(RivalError::Option(part.to_owned())),
            }
        }
        Ok(Self::Server(server))
    }
}

impl Rival {
    pub fn contender(&self, allow_remote: bool, ca: Option<&Path>) -> Result<Contender, UsageError> {
        let Self::Server(rival) = self else { return Ok(Contender::Floor) };
        let (subscribe, outlet) = rival.ends(allow_remote, ca)?;
        let opening = match &outlet {
            Outlet::Nats { subject, .. } => Opening::nats(subscribe, subject.clone()),
            Outlet::Http { .. } => Opening::plain(subscribe),
        };
        Ok(Contender::Server(Server { name: rival.name.clone(), openings: vec![opening], outlet, pid: rival.pid }))
    }
}

impl RivalServer {
    /// Where its sockets connect, and where events are published.
    fn ends(&self, allow_remote: bool, ca: Option<&Path>) -> Result<(Target, Outlet), TargetError> {
        let subscribe = Target::parse_any(&self.url, "ws", ca)?;
        let scheme = if subscribe.trust.is_some() { "https" } else { "http" };
        let default = format!("{scheme}://{}/api/events", subscribe.authority());
        let publish = self.publish.as_deref().unwrap_or(&default);
        let is_nats = publish.starts_with("nats:");
        let target = match is_nats {
            true => Target::parse(publish, "nats")?,
            false => Target::parse_any(publish, "http", ca)?,
        };
        subscribe.check_local(allow_remote)?;
        target.check_local(allow_remote)?;
        let outlet = match is_nats {
            true => Outlet::Nats { address: target.address, subject: target.path.trim_start_matches('/').to_owned() },
            false => Outlet::Http { target, key: self.publish_key.clone(), burst_as: self.burst_as },
        };
        Ok((subscribe, outlet))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(text: &str) -> RivalServer {
        match text.parse() {
            Ok(Rival::Server(server)) => server,
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn a_rival_is_the_floor_or_a_server_with_a_name() {
        assert_eq!("floor".parse(), Ok(Rival::Floor));
        let peer =
            server("nchan=ws://127.0.0.1:8081/sub?id=a,publish=http://127.0.0.1:8081/pub?id=a,publish-key=k=,pid=7");
        assert_eq!((peer.name.as_str(), peer.url.as_str()), ("nchan", "ws://127.0.0.1:8081/sub?id=a"));
        assert_eq!(peer.publish.as_deref(), Some("http://127.0.0.1:8081/pub?id=a"));
        assert_eq!((peer.publish_key.as_deref(), peer.pid), (Some("k="), Some(7)));
        let other = server("ws://127.0.0.1:5002/ws/alerts?apiKey=k");
        assert_eq!((other.name.as_str(), other.url.as_str()), ("other", "ws://127.0.0.1:5002/ws/alerts?apiKey=k"));
        let Outlet::Http { target, .. } = other.ends(false, None).unwrap().1 else { unreachable!("HTTP") };
        assert_eq!(target.path, "/api/events");
        let nats = server("nats=ws://127.0.0.1:9222/,publish=nats://127.0.0.1:4222/alerts,burst-as=requests");
        let address = "127.0.0.1:4222".parse().unwrap();
        assert_eq!(nats.ends(false, None).unwrap().1, Outlet::Nats { address, subject: "alerts".to_owned() });
        assert_eq!(nats.burst_as, BurstAs::Requests);
    }

    #[test]
    fn what_is_no_rival_is_told_with_the_form() {
        for wrong in
            ["", "ceiling", "=ws://127.0.0.1:1/", "a b=ws://127.0.0.1:1/", "floor=ws://127.0.0.1:1/", "x=nowhere"]
        {
            assert_eq!(wrong.parse::<Rival>(), Err(RivalError::Form(wrong.to_owned())));
        }
        assert_eq!("ws://127.0.0.1:1/,key=k".parse::<Rival>(), Err(RivalError::Option("key=k".to_owned())));
        assert_eq!("ws://127.0.0.1:1/,pid=x".parse::<Rival>(), Err(RivalError::Pid("x".to_owned())));
    }

    #[test]
    fn a_rival_on_another_machine_needs_consent_too() {
        let remote = server("ws://127.0.0.1:1/,publish=http://10.0.0.1:1/");
        assert!(remote.ends(false, None).is_err() && remote.ends(true, None).is_ok());
    }
}
