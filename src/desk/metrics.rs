//! `GET /metrics`: what Prometheus and its like scrape.
//!
//! Requests from the networks of `[metrics] scrapers` need no key, anybody else's an admin key. A request that is passed on is not
//! the proxy's own: where no trusted proxy names its client in `X-Forwarded-For`, it needs a key wherever the proxy is. And no
//! page of another origin reads what a browser at a scraper's address would get.

use std::sync::Arc;
use std::time::Duration;

use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;

use super::accepts::accepts;
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
    let (kind, text) = match accepts(request.headers(), OPEN_METRICS) {
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
