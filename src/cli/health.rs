//! `stentor health`: asks a running server whether it is well, for containers that have no curl.

use std::time::Duration;

use clap::Args;
use http::Uri;
use ureq::Agent;
use ureq::tls::TlsConfig;

use super::Failure;
use crate::limits::HEALTH_TIMEOUT_MS;

/// Ask a running server whether it is well; exit code 0 where it is
#[derive(Clone, Debug, Args)]
pub struct HealthArgs {
    /// The server's address
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:5001")]
    url: Uri,
    /// Whether it takes clients, too: not while it starts or stops
    #[arg(long)]
    ready: bool,
}

impl HealthArgs {
    pub fn run(&self) -> Result<(), Failure> {
        let url = self.address()?;
        let config = Agent::config_builder()
            .proxy(None)
            .timeout_global(Some(Duration::from_millis(HEALTH_TIMEOUT_MS)))
            // Asked at 127.0.0.1, a server shows the certificate of its own name. Nothing is sent or believed here that
            // somebody in between could use.
            .tls_config(TlsConfig::builder().disable_verification(true).build());
        let agent: Agent = config.build().new_agent();
        match agent.get(&url).call() {
            Ok(_) => Ok(()),
            Err(error) => Err(Failure::failed(format!("{url}: {error}"))),
        }
    }

    fn address(&self) -> Result<String, Failure> {
        let (Some(scheme @ ("http" | "https")), Some(authority)) = (self.url.scheme_str(), self.url.authority()) else {
            let url = &self.url;
            return Err(Failure::Usage(format!(
                "--url {url} is no address of a server: write it like http://127.0.0.1:5001"
            )));
        };
        Ok(format!("{scheme}://{authority}/{}", if self.ready { "readyz" } else { "healthz" }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_follows_from_the_servers_address() {
        let address = |url: &str, ready| HealthArgs { url: url.parse().expect(url), ready }.address();
        assert_eq!(address("http://127.0.0.1:5001", false).expect("address"), "http://127.0.0.1:5001/healthz");
        assert_eq!(address("https://[::1]:443/", true).expect("address"), "https://[::1]:443/readyz");
        for wrong in ["127.0.0.1:5001", "/healthz", "ftp://a", "ws://a:1"] {
            assert!(matches!(address(wrong, false), Err(Failure::Usage(_))), "{wrong}");
        }
    }
}
