//! Carries one delivery to its endpoint, by ureq. It blocks for as long as an attempt may take.
//!
//! ```text
//!   Job ──▶ sign ──▶ ureq ──▶ Guarded (every address is looked at) ──▶ Dial ──▶ Carried ─▶ TLS ─▶ Wire ──▶ the endpoint
//!                                                                       ▲          │
//!                                                                       └── Idle ◀─┘   connections that are kept
//! ```
//! ureq does HTTP and nothing else: names, sockets, TLS settings and the kept connections are of this folder.
//!
//! Invariants:
//! * No address is connected to that the guard has not let pass for this attempt, and no proxy is used, whatever the environment says.
//! * An attempt ends within `timeout_seconds`, whatever the endpoint does; what is read of its answer is bounded.
//! * The status is the answer. What happens to its body afterwards costs the connection, not the delivery.
//! * A connection that the endpoint closed while it was idle costs no attempt: the request goes out again, on a new one. One that is
//!   closed later than that explains does: the endpoint may have been at work on the request.
//! * A connection that nobody uses is closed by time, whether or not there are further deliveries.

mod dial;
mod failure;
mod idle;
mod trust;
mod wire;

#[cfg(test)]
mod tests;

use std::io::Read;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, Method, Request, Response, Uri};
use ureq::tls::TlsConfig;
use ureq::{Agent, Body};

use self::dial::{Dial, Guarded, is_stale};
use self::idle::Idle;
use self::trust::Trust;
use super::attempt::{AttemptError, Job, Outcome, Report};
use super::guard::{Allowed, GuardRefusal, GuardedResolver, Names, ResolveError, WebhookUrl};
use super::{DeliveryError, PortRange, WebhookOptions, retry, signature};
use crate::accounts::AccountId;
use crate::{clock, limits};

/// Shared by all workers: one store of connections.
pub struct Courier {
    agent: Agent,
    names: Arc<GuardedResolver>,
    idle: Arc<Idle>,
    ports: ArcSwap<Vec<PortRange>>,
    timeout: Duration,
    trusts_nobody: bool,
}

impl Courier {
    /// Reads the certificates that are trusted.
    pub fn new(options: &WebhookOptions, names: Arc<dyn Names>) -> Result<Self, DeliveryError> {
        let allowed = Allowed { allow: options.allow.clone(), deny: options.deny.clone() };
        let names = Arc::new(GuardedResolver::new(names, allowed));
        let timeout = Duration::from_secs(options.timeout_seconds);
        let Trust { roots, trusts_nobody } = Trust::load(options.ca_file.as_deref())?;
        let config = Agent::config_builder()
            // ureq would take HTTP_PROXY and the like from the environment, and the guard would see the proxy's address only.
            .proxy(None)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .http_status_as_error(false)
            .user_agent(concat!("Stentor-Webhooks/", env!("CARGO_PKG_VERSION")))
            .timeout_global(Some(timeout))
            .timeout_recv_body(Some(Duration::from_millis(limits::ANSWER_BODY_MS_MAX)))
            .max_response_header_size(limits::ANSWER_HEAD_BYTES_MAX)
            .input_buffer_size(limits::ANSWER_BUFFER_BYTES)
            .output_buffer_size(limits::REQUEST_BUFFER_BYTES)
            // ureq's own pool walks all of its connections twice a request, per host: `Idle` keeps them instead.
            .max_idle_connections(0)
            .max_idle_age(Duration::from_millis(limits::IDLE_CONNECTION_MS_MAX))
            .tls_config(TlsConfig::builder().root_certs(roots).build())
            .build();
        let idle = Arc::new(Idle::default());
        let agent = Agent::with_parts(config, Dial::new(idle.clone()), Guarded(names.clone()));
        let ports = ArcSwap::from_pointee(options.ports.clone());
        Ok(Self { agent, names, idle, ports, timeout, trusts_nobody })
    }

    /// Puts into force what may be reached from now on. Kept connections are used only to addresses that are allowed when they are.
    pub fn follow(&self, options: &WebhookOptions) {
        self.names.follow(Allowed { allow: options.allow.clone(), deny: options.deny.clone() });
        self.ports.store(Arc::new(options.ports.clone()));
    }

    /// Signs, sends, and reads the answer as far as it matters.
    pub fn attempt(&self, job: &Job) -> Report {
        let started = Instant::now();
        let outcome = dial::on_behalf_of(job.account, || self.carry(job, started)).unwrap_or_else(Outcome::Failed);
        Report { number: job.number, ticket: job.ticket, outcome, duration: started.elapsed() }
    }

    /// Looks at a URL that an account wants to be sent to: its text, and the addresses that its host has now.
    /// [`DeliveryError::Busy`] where the server can't find out just now.
    pub fn check(&self, account: AccountId, url: &str) -> Result<WebhookUrl, DeliveryError> {
        let url = WebhookUrl::parse(url, &self.ports.load(), &self.names.allowed())?;
        let uri = readable(&url)?;
        let (host, port) = dial::host_and_port(&uri);
        let unresolved = |error: ResolveError| error.into_refusal().map_or(DeliveryError::Busy, DeliveryError::Url);
        self.names.resolve(account, host, port, self.timeout).map_err(unresolved)?;
        Ok(url)
    }

    /// Closes the connections that nobody has used for too long. A delivery does so for those before it; somebody has to look after
    /// the last ones, once in a while.
    pub fn sweep(&self, now: Instant) {
        self.idle.sweep(now);
    }

    #[cfg(test)]
    pub(super) fn swept(&self) -> Option<Instant> {
        self.idle.swept()
    }

    fn carry(&self, job: &Job, started: Instant) -> Result<Outcome, AttemptError> {
        // The operator may have narrowed what is allowed since the URL was given.
        WebhookUrl::parse(job.url.as_str(), &self.ports.load(), &self.names.allowed())?;
        let uri = readable(&job.url)?;
        let failed = |error| failure::explain(error, self.timeout, self.trusts_nobody);
        let answer = match self.agent.run(request(job, uri.clone())) {
            Err(error) if is_stale(&error) => {
                let left = self.timeout.saturating_sub(started.elapsed());
                // No kept connection is young enough: `Dial` makes a new one.
                let again = self.agent.configure_request(request(job, uri)).max_idle_age(Duration::ZERO);
                self.agent.run(again.timeout_global(Some(left)).build())
            }
            answer => answer,
        };
        Ok(finish(answer.map_err(failed)?))
    }
}

fn readable(url: &WebhookUrl) -> Result<Uri, GuardRefusal> {
    url.as_str().parse().map_err(|error: http::uri::InvalidUri| GuardRefusal::Unreadable(error.to_string()))
}

/// The body is lent: it is the same bytes for every endpoint.
fn request(job: &Job, uri: Uri) -> Request<&[u8]> {
    let body = &job.payload.body[..];
    let delivery_id = job.delivery_id.to_string();
    let now_ms = clock::unix_ms();
    let signatures = signature::sign(&job.secrets, &delivery_id, now_ms, body);
    let delivery_id = text(delivery_id);

    let mut headers = HeaderMap::with_capacity(HEADERS);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert("x-webhook-signature", text(signatures.plain));
    headers.insert("x-webhook-id", text(job.ticket.webhook.to_string()));
    headers.insert("x-event-type", HeaderValue::from_static(job.payload.kind));
    headers.insert("x-delivery-id", delivery_id.clone());
    headers.insert("x-delivery-attempt", HeaderValue::from(job.attempt));
    headers.insert("webhook-id", delivery_id);
    headers.insert("webhook-timestamp", HeaderValue::from(now_ms / 1_000));
    headers.insert("webhook-signature", text(signatures.standard));

    let mut request = Request::new(body);
    *request.method_mut() = Method::POST;
    *request.uri_mut() = uri;
    *request.headers_mut() = headers;
    request
}

/// Ours and ureq's (`host`, `content-length`, `user-agent`, `accept`), so that the map does not grow.
const HEADERS: usize = 16;

/// Ids and signatures, all of them hex, base64 and punctuation.
fn text(value: String) -> HeaderValue {
    HeaderValue::try_from(value).expect("ids and signatures are visible ASCII")
}

/// Takes what matters from an answer, and reads its body away so that the connection can be kept.
fn finish(answer: Response<Body>) -> Outcome {
    let status = answer.status().as_u16();
    let header = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    let retry_after = header.and_then(|header| retry::parse_retry_after(header, clock::unix_ms() / 1_000));
    discard(answer);
    Outcome::Answered { status, retry_after }
}

/// A body that is too long, too slow or broken is given up with its connection: the status has been read, and that was the answer.
fn discard(mut answer: Response<Body>) {
    let length = answer.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|length| length > limits::ANSWER_BODY_BYTES_MAX) {
        return;
    }
    let mut body = answer.body_mut().as_reader();
    let mut piece = [0; 2_048];
    // `Carried` counts, and lets no answer go on for ever.
    while let Ok(1..) = body.read(&mut piece) {}
}
