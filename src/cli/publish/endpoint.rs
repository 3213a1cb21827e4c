//! The server's side of publishing: one request at a time over one kept connection, and what its answers mean.

use std::io;
use std::thread;
use std::time::Duration;

use http::header::{HeaderValue, RETRY_AFTER};
use http::{Response, StatusCode};
use rustls::CertificateError;
use serde::Deserialize;
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::{Agent, Body};

use super::batches::{Batch, BatchFormat};
use crate::cli::address::{NotAServer, ServerUrl};
use crate::limits::{
    PUBLISH_ANSWER_BYTES_MAX, PUBLISH_ANSWER_TIMEOUT_S, PUBLISH_CONNECT_TIMEOUT_S, PUBLISH_IDLE_CONNECTION_S,
    PUBLISH_RETRY_AFTER_S_MAX, PUBLISH_RETRY_FIRST_MS, PUBLISH_RETRY_MS_MAX, PUBLISH_TRIES_MAX,
};

/// Where batches go.
pub struct Endpoint {
    agent: Agent,
    url: String,
    key: HeaderValue,
}

/// What the server answers once its journal holds a batch. `last_seq` is the larger of the batch's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct Accepted {
    pub accepted: u64,
    #[serde(default)]
    pub last_seq: Option<u64>,
    /// How many of them had been published before, by their ids.
    #[serde(default)]
    pub duplicates: u64,
}

/// Why an endpoint can't be addressed: wrong usage, told before anything is read.
#[derive(Debug, thiserror::Error)]
pub enum AddressError {
    #[error("--url `{url}` is no address of a server: {how}")]
    NoUrl { url: String, how: NotAServer },
    #[error("--key holds characters that no key has: give it as `stentor key create` printed it")]
    Key,
}

/// Why a batch was not published. The place in the file is told by the caller, who knows it.
#[derive(Debug, thiserror::Error)]
pub enum EndpointError {
    #[error("nobody listens at {url} (connection refused, {tries} tries): start the server with `stentor serve`")]
    NobodyThere { url: String, tries: u32 },
    #[error("the server refused {0}")]
    Refused(Refusal),
    #[error("the server was too busy ({status}) at each of {tries} tries: publish slower (--rate) or later")]
    Busy { status: StatusCode, tries: u32 },
    #[error("the server could not keep events at any of {tries} tries: {refusal}")]
    CannotKeep { refusal: Words, tries: u32 },
    #[error("the server is too busy ({status}) and wants {seconds} s of quiet: publish again after that")]
    BusyForLong { status: StatusCode, seconds: u64 },
    #[error("{url} can't be reached: {source}")]
    Unreachable { url: String, source: ureq::Error },
    #[error(
        "{url} is not trusted ({reason}): name the file with its authority's certificate in the environment's SSL_CERT_FILE, and the \
         host as it stands in the server's own"
    )]
    Untrusted { url: String, reason: CertificateError },
    #[error(
        "the connection broke before the answer ({source}), so it is not known whether the server took these events; \
         events that carry an `id` can be published again without harm"
    )]
    Broken { source: ureq::Error },
    #[error("{url} answered {status} with something that is no answer of a Stentor server: check --url")]
    Strange { url: String, status: StatusCode },
}

/// The server's own words about what was wrong. Nothing of the batch was taken.
#[derive(Debug, Deserialize)]
pub struct Refusal {
    pub code: String,
    pub message: String,
    /// The message without line and field, which are told apart here: the server knows only lines of the batch.
    #[serde(default)]
    pub reason: Option<String>,
    /// Counted from 1 within the request's body.
    #[serde(default)]
    pub line: Option<u64>,
    #[serde(default)]
    pub field: Option<String>,
}

/// What the server says about its journal, with the code.
#[derive(Debug)]
pub struct Words(Refusal);

/// The server is well but for its journal: it is not the publisher's haste.
const JOURNAL_CODES: [&str; 2] = ["JOURNAL_FULL", "JOURNAL_FAILED"];

#[derive(Deserialize)]
struct RefusalBody {
    error: Refusal,
}

/// Those that the system trusts, or the environment names (`SSL_CERT_FILE`, `SSL_CERT_DIR`).
fn authorities() -> RootCerts {
    let found = rustls_native_certs::load_native_certs().certs;
    RootCerts::from(found.iter().map(|certificate| Certificate::from_der(certificate).to_owned()))
}

/// Why the server's certificate was not believed, where that is what went wrong: nothing has been sent then.
fn certificate_error(error: &ureq::Error) -> Option<CertificateError> {
    let error = match error {
        ureq::Error::Rustls(error) => error,
        ureq::Error::Io(error) => error.get_ref()?.downcast_ref::<rustls::Error>()?,
        _ => return None,
    };
    match error {
        rustls::Error::InvalidCertificate(error) => Some(error.clone()),
        _ => None,
    }
}

/// One try's outcome.
enum Answer {
    Accepted(Accepted),
    /// Nothing was taken, and it may be otherwise in a while.
    Later {
        wait: Option<Duration>,
        why: EndpointError,
    },
}

impl Endpoint {
    /// `url` names the server; the route is added.
    pub fn new(url: &str, key: &str) -> Result<Self, AddressError> {
        let server: ServerUrl = url.parse().map_err(|how| AddressError::NoUrl { url: url.to_owned(), how })?;
        let mut key = HeaderValue::from_str(key.trim()).map_err(|_| AddressError::Key)?;
        key.set_sensitive(true);
        let config = Agent::config_builder()
            // A proxy from the environment has no business between a publisher and its server.
            .proxy(None)
            .http_status_as_error(false)
            .tls_config(
                TlsConfig::builder()
                    .root_certs(if server.is_secure() { authorities() } else { RootCerts::WebPki })
                    .build(),
            )
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_connect(Some(Duration::from_secs(PUBLISH_CONNECT_TIMEOUT_S)))
            .timeout_per_call(Some(Duration::from_secs(PUBLISH_ANSWER_TIMEOUT_S)))
            .max_idle_age(Duration::from_secs(PUBLISH_IDLE_CONNECTION_S))
            .user_agent(concat!("stentor-publish/", env!("CARGO_PKG_VERSION")))
            .build();
        Ok(Self { agent: config.new_agent(), url: server.route("/api/events"), key })
    }

    /// Publishes a batch; waits and tries again where the server took none of it and may take it later. Each wait is
    /// told to `say` first.
    pub fn post(&self, batch: &Batch, say: impl Fn(&str)) -> Result<Accepted, EndpointError> {
        let mut tries = 1;
        loop {
            let (wait, why) = match self.try_once(batch, tries)? {
                Answer::Accepted(accepted) => return Ok(accepted),
                Answer::Later { wait, why } => (wait.unwrap_or_else(|| own_wait(tries)), why),
            };
            if tries == PUBLISH_TRIES_MAX {
                return Err(why);
            }
            let reason = match &why {
                EndpointError::Busy { status, .. } => format!("the server is busy ({status})"),
                EndpointError::CannotKeep { refusal, .. } => refusal.to_string(),
                _ => format!("nobody listens at {}", self.url),
            };
            say(&format!("{reason}: trying again in {:.1} s", wait.as_secs_f64()));
            thread::sleep(wait);
            tries += 1;
        }
    }

    fn try_once(&self, batch: &Batch, tries: u32) -> Result<Answer, EndpointError> {
        let content_type = match batch.format {
            BatchFormat::Ndjson => "application/x-ndjson",
            BatchFormat::Json => "application/json",
        };
        let request = self.agent.post(&self.url).header("content-type", content_type).header("x-api-key", &self.key);
        match request.send(&batch.body[..]) {
            Ok(response) => self.read_answer(response, tries),
            Err(ureq::Error::Io(error)) if error.kind() == io::ErrorKind::ConnectionRefused => {
                let why = EndpointError::NobodyThere { url: self.url.clone(), tries };
                Ok(Answer::Later { wait: None, why })
            }
            Err(
                source @ (ureq::Error::HostNotFound
                | ureq::Error::ConnectionFailed
                | ureq::Error::Timeout(ureq::Timeout::Resolve | ureq::Timeout::Connect)),
            ) => Err(EndpointError::Unreachable { url: self.url.clone(), source }),
            Err(source) => Err(match certificate_error(&source) {
                Some(reason) => EndpointError::Untrusted { url: self.url.clone(), reason },
                None => EndpointError::Broken { source },
            }),
        }
    }

    fn read_answer(&self, mut response: Response<Body>, tries: u32) -> Result<Answer, EndpointError> {
        let status = response.status();
        let retry_after = response.headers().get(RETRY_AFTER).and_then(seconds);
        let body = response.body_mut().with_config().limit(PUBLISH_ANSWER_BYTES_MAX).read_to_vec();
        let strange = || EndpointError::Strange { url: self.url.clone(), status };
        let refusal = |body: Vec<u8>| serde_json::from_slice::<RefusalBody>(&body).ok().map(|body| body.error);
        match status {
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => match retry_after {
                Some(seconds) if seconds > PUBLISH_RETRY_AFTER_S_MAX => {
                    Err(EndpointError::BusyForLong { status, seconds })
                }
                // "At once" still leaves the server a moment.
                wait => Ok(Answer::Later {
                    wait: wait
                        .map(|seconds| Duration::from_secs(seconds).max(Duration::from_millis(PUBLISH_RETRY_FIRST_MS))),
                    why: match body.ok().and_then(refusal) {
                        Some(refusal) if JOURNAL_CODES.contains(&&*refusal.code) => {
                            EndpointError::CannotKeep { refusal: Words(refusal), tries }
                        }
                        _ => EndpointError::Busy { status, tries },
                    },
                }),
            },
            status if status.is_success() => {
                let body = body.map_err(|source| EndpointError::Broken { source })?;
                Ok(Answer::Accepted(serde_json::from_slice(&body).map_err(|_| strange())?))
            }
            _ => Err(body.ok().and_then(refusal).map_or_else(strange, EndpointError::Refused)),
        }
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let words = self.reason.as_ref().unwrap_or(&self.message);
        match &self.field {
            Some(field) => write!(f, "field `{field}`: {words} ({})", self.code),
            None => write!(f, "it: {words} ({})", self.code),
        }
    }
}

impl std::fmt::Display for Words {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({})", self.0.message, self.0.code)
    }
}

/// `Retry-After` in seconds. Its other form, a date, is left to our own schedule.
fn seconds(value: &HeaderValue) -> Option<u64> {
    value.to_str().ok()?.trim().parse().ok()
}

/// The wait after the failed try number `tries`, counted from 1.
fn own_wait(tries: u32) -> Duration {
    let doubled = PUBLISH_RETRY_FIRST_MS.saturating_mul(1 << (tries - 1).min(16));
    Duration::from_millis(doubled.min(PUBLISH_RETRY_MS_MAX))
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::net::{Ipv4Addr, TcpListener};

    use super::super::batches::Batches;
    use super::super::responder::{Reply, Responder};
    use super::*;

    fn batch() -> Batch {
        let input = Box::new(io::Cursor::new(b"{}\n".to_vec()));
        Batches::read(input, None, 1).next().expect("readable").expect("a batch")
    }

    fn answer_to(reply: Reply) -> Result<Accepted, EndpointError> {
        let responder = Responder::scripted(vec![reply]);
        Endpoint::new(&responder.url(), "key").expect("an address").post(&batch(), |_| {})
    }

    #[test]
    fn an_endpoint_keeps_a_path_before_its_route() {
        let url = |text| Endpoint::new(text, "key").expect(text).url;
        assert_eq!(url("http://127.0.0.1:5001"), "http://127.0.0.1:5001/api/events");
        assert_eq!(url("http://box/stentor/"), "http://box/stentor/api/events");
        assert!(matches!(Endpoint::new("http://box", "a\nb"), Err(AddressError::Key)));
    }

    #[test]
    fn a_foreign_answer_is_told_from_a_refusal() {
        for reply in [Reply::new(200, "<html>"), Reply::new(404, "not here"), Reply::new(302, "")] {
            let error = answer_to(reply).expect_err("no Stentor");
            assert!(matches!(error, EndpointError::Strange { .. }), "{error}");
        }
        let refusal = r#"{"success":false,"error":{"code":"FORBIDDEN","message":"a subscriber's key can't publish"}}"#;
        let error = answer_to(Reply::new(403, refusal)).expect_err("refused");
        assert_eq!(error.to_string(), "the server refused it: a subscriber's key can't publish (FORBIDDEN)");
    }

    #[test]
    fn what_ails_the_journal_is_told_at_each_try() {
        let body = |code: &str| {
            format!(
                r#"{{"success":false,"error":{{"code":"{code}","message":"the journal's disk is full: make room"}}}}"#
            )
        };
        let refusals = JOURNAL_CODES.map(|code| Reply::new(503, &body(code)).with_header("Retry-After: 0"));
        let script = refusals.into_iter().chain([Reply::accepted(1, 9)]).collect();
        let responder = Responder::scripted(script);
        let said = RefCell::new(Vec::new());
        let endpoint = Endpoint::new(&responder.url(), "key").expect("an address");
        let accepted = endpoint.post(&batch(), |words| said.borrow_mut().push(words.to_owned()));
        assert_eq!(accepted.expect("in the end").last_seq, Some(9));
        let told = |code| format!("the journal's disk is full: make room ({code}): trying again in 0.2 s");
        assert_eq!(said.into_inner(), JOURNAL_CODES.map(told));
    }

    #[test]
    fn a_wish_for_a_long_rest_is_handed_to_the_user() {
        let error = answer_to(Reply::new(503, "{}").with_header("Retry-After: 31")).expect_err("too long");
        assert!(matches!(error, EndpointError::BusyForLong { seconds: 31, .. }), "{error}");
    }

    #[test]
    fn a_server_that_comes_up_late_is_waited_for() {
        // A port that nobody listens on, until the first refusal was told.
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let address = listener.local_addr().expect("an address");
        drop(listener);
        let (said, up) = (RefCell::new(Vec::new()), RefCell::new(None));
        let endpoint = Endpoint::new(&format!("http://{address}"), "key").expect("an address");
        let accepted = endpoint.post(&batch(), |words| {
            said.borrow_mut().push(words.to_owned());
            up.borrow_mut().get_or_insert_with(|| Responder::at(address, vec![Reply::accepted(1, 9)]));
        });
        assert_eq!(accepted.expect("accepted"), Accepted { accepted: 1, last_seq: Some(9), duplicates: 0 });
        let said = said.into_inner();
        assert!(said[0].contains("nobody listens") && said[0].contains("trying again in 0.2"), "{said:?}");
    }

    #[test]
    fn waits_double_up_to_their_bound() {
        let waits: Vec<u64> = (1..=PUBLISH_TRIES_MAX).map(|tries| own_wait(tries).as_millis() as u64).collect();
        assert_eq!(waits, [250, 500, 1_000, 2_000, 4_000, 8_000, 8_000, 8_000]);
        assert_eq!(own_wait(u32::MAX), Duration::from_millis(PUBLISH_RETRY_MS_MAX));
    }
}
