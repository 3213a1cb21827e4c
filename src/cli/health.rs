//! `stentor health`: asks a running server whether it is well, for containers that have no curl.

use std::io::ErrorKind;
use std::time::Duration;

use clap::Args;
use http::{Response, StatusCode};
use serde_json::Value;
use ureq::tls::TlsConfig;
use ureq::{Agent, Body};

use super::Failure;
use super::address::ServerUrl;
use crate::limits::{HEALTH_ANSWER_BYTES_MAX, HEALTH_TIMEOUT_MS};

/// Ask a running server whether it is well; exit code 0 where it is
#[derive(Clone, Debug, Args)]
pub struct HealthArgs {
    /// The server's address, https://… where it speaks TLS
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:5001")]
    url: ServerUrl,
    /// Whether it takes clients, too: not while it starts or stops
    #[arg(long)]
    ready: bool,
}

impl HealthArgs {
    pub fn run(&self) -> Result<(), Failure> {
        let url = self.url.route(if self.ready { "/readyz" } else { "/healthz" });
        let config = Agent::config_builder()
            .proxy(None)
            .timeout_global(Some(Duration::from_millis(HEALTH_TIMEOUT_MS)))
            .http_status_as_error(false)
            // Elsewhere is another server.
            .max_redirects(0)
            // Asked at 127.0.0.1, a server shows the certificate of its own name. Nothing is sent or believed here that
            // somebody in between could use.
            .tls_config(TlsConfig::builder().disable_verification(true).build());
        let agent: Agent = config.build().new_agent();
        match agent.get(&url).call() {
            Ok(answer) if answer.status() == StatusCode::OK => Ok(()),
            Ok(answer) => Err(Failure::failed(format!("{url} answered {}{}", answer.status(), words(answer)))),
            Err(error) => Err(Failure::failed(format!("{url}: {}", what_is_wrong(&error)))),
        }
    }
}

/// What the server says beside its status, if it is a Stentor.
fn words(mut answer: Response<Body>) -> String {
    let body = answer.body_mut().with_config().limit(HEALTH_ANSWER_BYTES_MAX).read_to_vec().unwrap_or_default();
    let said: Value = serde_json::from_slice(&body).unwrap_or_default();
    let said = said.pointer("/error/message").or_else(|| said.get("status"));
    said.and_then(Value::as_str).map(|words| format!(": {words}")).unwrap_or_default()
}

fn what_is_wrong(error: &ureq::Error) -> String {
    match error {
        ureq::Error::Io(error) if error.kind() == ErrorKind::ConnectionRefused => {
            "nobody listens there (connection refused): start the server, or name its address with --url".to_owned()
        }
        error if is_no_tls(error) => "it speaks no TLS: ask it at http://…".to_owned(),
        other => other.to_string(),
    }
}

/// Whether what came is no TLS at all.
fn is_no_tls(error: &ureq::Error) -> bool {
    let error = match error {
        ureq::Error::Rustls(error) => Some(error),
        ureq::Error::Io(error) => error.get_ref().and_then(|error| error.downcast_ref()),
        _ => None,
    };
    matches!(error, Some(rustls::Error::InvalidMessage(_)))
}
