//! `GET /metrics`: what Prometheus and its like scrape.
//!
//! Requests from the networks of `[metrics] scrapers` need no key, anybody else's an admin key. A request that is passed on is not
//! the proxy's own: where no trusted proxy names its client in `X-Forwarded-For`, it needs a key wherever the proxy is. And no
//! page of another origin reads what a browser at a scraper's address would get.

use std::sync::Arc;
use std::time::Duration;

use http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;

use super::connection::ConnectionContext;
use super::error::{Reply, RestError};
use super::{Desk, auth};
use crate::accounts::Role;
use crate::gate::Network;
use crate::limits;
use crate::metrics::Exposition;

const OPEN_METRICS: &str = "application/openmetrics-text";

pub async fn scrape(
    desk: &Desk,
    context: &ConnectionContext,
    mut request: Request<Incoming>,
) -> Result<Reply, RestError> {
    if !needs_no_key(desk, context, request.headers()) {
        (_, request) = auth::admit(desk, request, Role::Admin).await?;
    }
    let (ticket, answer) = desk.answers.ticket(&desk.shards[desk.shard].mailbox);
    desk.observer.metrics(Box::new(answer));
    let exposition: Option<Arc<Exposition>> = ticket.answer_within(Duration::from_millis(limits::ANSWER_MS)).await;
    let unread = RestError::Unconfirmed { waited_ms: limits::ANSWER_MS, outcome: "ask for the metrics again" };
    let exposition = exposition.ok_or(unread)?;
    let (kind, text) = match wants_open_metrics(request.headers()) {
        true => (Exposition::OPEN_METRICS_TYPE, &exposition.open_metrics),
        false => (Exposition::PLAIN_TYPE, &exposition.plain),
    };
    let mut reply = Response::new(Full::new(text.clone()));
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    reply.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(reply)
}

fn needs_no_key(desk: &Desk, context: &ConnectionContext, headers: &HeaderMap) -> bool {
    context.named_client(headers).is_some_and(|client| Network::any_contains(&desk.scrapers, client))
}

/// Whether a scraper names that form; without it there is no other that it would rather have.
fn wants_open_metrics(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut ranges = accepted.flat_map(|value| value.split(','));
    ranges.any(|range| {
        let mut parts = range.split(';').map(str::trim);
        let named = parts.next().is_some_and(|kind| kind.eq_ignore_ascii_case(OPEN_METRICS));
        let is_refused = |part: &str| {
            let weight = part.strip_prefix("q=").or_else(|| part.strip_prefix("Q="));
            weight.and_then(|weight| weight.parse::<f32>().ok()).is_some_and(|weight| weight <= 0.0)
        };
        named && !parts.any(is_refused)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_metrics_is_for_those_who_ask_for_it() {
        for (accept, wanted) in [
            ("application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.2", true),
            ("text/plain;q=0.5, application/OpenMetrics-text; version=0.0.1", true),
            ("application/openmetrics-text;q=0, text/plain", false),
            ("application/openmetrics-text;q=0.0", false),
            ("application/openmetrics", false),
            ("text/plain", false),
            ("*/*", false),
            ("", false),
        ] {
            let headers = HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(accept))]);
            assert_eq!(wants_open_metrics(&headers), wanted, "{accept}");
        }
        assert!(!wants_open_metrics(&HeaderMap::new()));
    }
}
