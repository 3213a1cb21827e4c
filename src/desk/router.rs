//! Which handler answers a request.

use http::{Method, Request, StatusCode};
use hyper::body::Incoming;
use matchit::Router;
use serde_json::json;

use super::auth::ClientAddress;
use super::connection::ConnectionContext;
use super::error::{Reply, RestError, json_reply};
use super::{
    Desk, admin, alerts, audit, body, console, contract, cors, event_stream, events, keys, metrics, publish, refusals,
    slow, status, topics, upgrade, watchlist, webhooks,
};
use crate::contract::{ASYNCAPI, OPENAPI};
use crate::metrics::{Label, labels};

labels! {
    /// The server's routes, each with its path as the router and the metrics know it.
    pub enum Route {
        Events = "/api/events",
        EventStream = "/events/stream",
        Watchlist = "/api/watchlist",
        /// An owner may hold slashes, escaped or not.
        WatchlistOwner = "/api/watchlist/{*owner}",
        Keys = "/api/keys",
        Key = "/api/keys/{id}",
        Accounts = "/api/admin/accounts",
        Account = "/api/admin/accounts/{name}",
        AccountKeys = "/api/admin/accounts/{name}/keys",
        AccountKey = "/api/admin/accounts/{name}/keys/{id}",
        Audit = "/api/admin/audit",
        Webhooks = "/api/webhooks",
        Webhook = "/api/webhooks/{id}",
        WebhookTest = "/api/webhooks/{id}/test",
        WebhookDeliveries = "/api/webhooks/{id}/deliveries",
        WebhookSecret = "/api/webhooks/{id}/secret",
        WebhookReplay = "/api/webhooks/{id}/replay",
        OperatorWebhooks = "/api/admin/webhooks",
        OperatorWebhook = "/api/admin/webhooks/{id}",
        OperatorWebhookTest = "/api/admin/webhooks/{id}/test",
        OperatorWebhookDeliveries = "/api/admin/webhooks/{id}/deliveries",
        OperatorWebhookReplay = "/api/admin/webhooks/{id}/replay",
        Status = "/api/admin/status",
        StatusStream = "/api/admin/status/stream",
        Topics = "/api/admin/topics",
        Slow = "/api/admin/slow",
        Console = "/console",
        ConsoleFile = "/console/{file}",
        LatestAlerts = "/alerts/latest",
        Alerts = "/ws/alerts",
        Channels = "/v1/ws",
        Rooms = "/ws",
        #[cfg(feature = "conformance")]
        Echo = "/echo",
        Health = "/healthz",
        Ready = "/readyz",
        Metrics = "/metrics",
        OpenApi = "/openapi.json",
        AsyncApi = "/asyncapi.json",
    }
}

impl Route {
    /// Whether a good request's connection becomes a session.
    pub fn opens_sessions(self) -> bool {
        match self {
            Self::Alerts | Self::Channels | Self::Rooms | Self::EventStream => true,
            #[cfg(feature = "conformance")]
            Self::Echo => true,
            _ => false,
        }
    }

    /// Whether pages of other origins may read its answers, where the operator allows these origins. Whoever may scrape is known
    /// by their address, which a browser there has as well: that would be a credential that is sent by itself.
    fn is_for_pages(self) -> bool {
        self != Self::Metrics
    }

    /// The methods that the route takes, as an `Allow` header lists them.
    pub fn allow(self) -> &'static str {
        match self {
            Self::Events => "GET, POST",
            Self::Watchlist => "GET, PUT, POST",
            Self::Keys | Self::Accounts | Self::AccountKeys | Self::Webhooks => "GET, POST",
            Self::Webhook => "GET, PUT, DELETE",
            Self::WebhookTest | Self::WebhookSecret | Self::WebhookReplay => "POST",
            Self::OperatorWebhookTest | Self::OperatorWebhookReplay => "POST",
            Self::OperatorWebhook => "GET, PUT",
            Self::Account => "GET, PATCH, DELETE",
            Self::WatchlistOwner | Self::Key | Self::AccountKey => "DELETE",
            Self::LatestAlerts | Self::Health | Self::Ready | Self::Metrics => "GET, HEAD",
            Self::Console | Self::ConsoleFile | Self::OpenApi | Self::AsyncApi => "GET, HEAD",
            Self::OperatorWebhooks | Self::OperatorWebhookDeliveries => "GET",
            Self::Status | Self::StatusStream | Self::Topics | Self::Slow | Self::Audit => "GET",
            Self::Alerts | Self::Channels | Self::Rooms | Self::EventStream | Self::WebhookDeliveries => "GET",
            #[cfg(feature = "conformance")]
            Self::Echo => "GET",
        }
    }
}

thread_local! {
    static ROUTES: Router<Route> = routes();
}

fn routes() -> Router<Route> {
    let mut router = Router::new();
    for route in Route::ALL {
        router.insert(route.word(), *route).expect("routes don't collide");
    }
    router
}

/// Answers a request, errors included.
pub async fn answer(desk: &Desk, context: &ConnectionContext, request: Request<Incoming>) -> Reply {
    let visitor = cors::visitor(desk, request.headers());
    let client = context.client(request.headers());
    // Publishers are known by name where they are refused.
    let publishes = request.method() == Method::POST && request.uri().path() == "/api/events";
    let found = find(request.uri().path());
    let route = found.as_ref().map(|(route, _)| *route);
    let outcome = handle(desk, context, request, found).await;
    count(desk, route, &outcome, context);
    let mut reply = outcome.unwrap_or_else(|error| {
        if !publishes || error.status() == StatusCode::UNAUTHORIZED {
            refusals::tell(client, &error);
        }
        error.reply()
    });
    if route.is_none_or(Route::is_for_pages) {
        cors::mark(desk, &visitor, reply.headers_mut());
    }
    reply
}

/// Whether new clients are welcome here, as load balancers ask.
fn ready(desk: &Desk) -> Reply {
    let (status, word) = match desk.door.is_closing() {
        false => (StatusCode::OK, "ready"),
        true => (StatusCode::SERVICE_UNAVAILABLE, "draining"),
    };
    json_reply(status, &json!({ "status": word, "last_seq": desk.hub.last_seq() }))
}

fn count(desk: &Desk, route: Option<Route>, outcome: &Result<Reply, RestError>, context: &ConnectionContext) {
    let stats = &desk.shards[desk.shard].stats;
    stats.desk.note(route, outcome, context.upgrade.borrow().as_ref());
    if let Err(RestError::RateLimited(refused)) = outcome {
        stats.refused_by_gate.of(refused.kind()).add(1);
    }
}

/// The route of a path, and what stands in the places of the names in braces, as it was sent.
fn find(path: &str) -> Option<(Route, Vec<String>)> {
    ROUTES.with(|routes| {
        let found = routes.at(path).ok()?;
        let names = found.params.iter().map(|(_, text)| text.to_owned()).collect();
        Some((*found.value, names))
    })
}

async fn handle(
    desk: &Desk,
    context: &ConnectionContext,
    mut request: Request<Incoming>,
    found: Option<(Route, Vec<String>)>,
) -> Result<Reply, RestError> {
    let client = ClientAddress(context.client(request.headers()));
    request.extensions_mut().insert(client);
    let Some((route, names)) = found else {
        let error = RestError::NotFound(request.uri().path().to_owned());
        body::discard(desk, request).await;
        return Err(error);
    };
    if route.is_for_pages() && cors::is_preflight(&request) {
        return cors::preflight(desk, request.headers(), route.allow());
    }
    match (route, request.method()) {
        (Route::Events, &Method::GET) => events::poll(desk, &request).await,
        (Route::Events, &Method::POST) => publish::post(desk, request).await,
        (Route::EventStream, &Method::GET) => event_stream::open(desk, context, request).await,
        (Route::Watchlist, &Method::GET | &Method::PUT | &Method::POST) => watchlist::collection(desk, request).await,
        (Route::WatchlistOwner, &Method::DELETE) => watchlist::remove(desk, &request, &names[0]).await,
        (Route::Keys, &Method::GET) => keys::list(desk, request).await,
        (Route::Keys, &Method::POST) => keys::create(desk, request).await,
        (Route::Key, &Method::DELETE) => keys::revoke(desk, request, &names[0]).await,
        (Route::Accounts, &Method::GET) => admin::list(desk, request).await,
        (Route::Accounts, &Method::POST) => admin::create(desk, request).await,
        (Route::Account, &Method::GET) => admin::show(desk, request, &names[0]).await,
        (Route::Account, &Method::PATCH) => admin::change(desk, request, &names[0]).await,
        (Route::Account, &Method::DELETE) => admin::delete(desk, request, &names[0]).await,
        (Route::AccountKeys, &Method::GET) => admin::list_keys(desk, request, &names[0]).await,
        (Route::AccountKeys, &Method::POST) => admin::create_key(desk, request, &names[0]).await,
        (Route::AccountKey, &Method::DELETE) => admin::revoke_key(desk, request, &names[0], &names[1]).await,
        (Route::Audit, &Method::GET) => audit::list(desk, request).await,
        (Route::Webhooks, &Method::GET) => webhooks::list(desk, request).await,
        (Route::Webhooks, &Method::POST) => webhooks::create(desk, request).await,
        (Route::Webhook, &Method::GET) => webhooks::get(desk, request, &names[0]).await,
        (Route::Webhook, &Method::PUT) => webhooks::change(desk, request, &names[0]).await,
        (Route::Webhook, &Method::DELETE) => webhooks::delete(desk, request, &names[0]).await,
        (Route::WebhookTest, &Method::POST) => webhooks::test(desk, request, &names[0]).await,
        (Route::WebhookDeliveries, &Method::GET) => webhooks::deliveries(desk, request, &names[0]).await,
        (Route::WebhookSecret, &Method::POST) => webhooks::regenerate(desk, request, &names[0]).await,
        (Route::WebhookReplay, &Method::POST) => webhooks::replay(desk, request, &names[0]).await,
        (Route::OperatorWebhooks, &Method::GET) => webhooks::operator::list(desk, request).await,
        (Route::OperatorWebhook, &Method::GET) => webhooks::operator::show(desk, request, &names[0]).await,
        (Route::OperatorWebhook, &Method::PUT) => webhooks::operator::change(desk, request, &names[0]).await,
        (Route::OperatorWebhookTest, &Method::POST) => webhooks::operator::test(desk, request, &names[0]).await,
        (Route::OperatorWebhookDeliveries, &Method::GET) => {
            webhooks::operator::deliveries(desk, request, &names[0]).await
        }
        (Route::OperatorWebhookReplay, &Method::POST) => webhooks::operator::replay(desk, request, &names[0]).await,
        (Route::Status, &Method::GET) => status::sample(desk, request).await,
        (Route::StatusStream, &Method::GET) => status::open(desk, context, request).await,
        (Route::Topics, &Method::GET) => topics::busiest(desk, request).await,
        (Route::Slow, &Method::GET) => slow::sessions(desk, request).await,
        (Route::Console, &Method::GET | &Method::HEAD) => console::page(request.headers()),
        (Route::ConsoleFile, &Method::GET | &Method::HEAD) => console::file(&names[0], request.headers()),
        (Route::OpenApi, &Method::GET | &Method::HEAD) => Ok(contract::document(OPENAPI, request.headers())),
        (Route::AsyncApi, &Method::GET | &Method::HEAD) => Ok(contract::document(ASYNCAPI, request.headers())),
        (Route::LatestAlerts, &Method::GET | &Method::HEAD) => alerts::latest(desk, &request),
        (Route::Alerts, &Method::GET) => upgrade::alerts(desk, context, &request),
        (Route::Channels, &Method::GET) => upgrade::channels(desk, context, &request),
        (Route::Rooms, &Method::GET) => upgrade::rooms(desk, context, &request),
        #[cfg(feature = "conformance")]
        (Route::Echo, &Method::GET) => upgrade::echo(desk, context, &request),
        (Route::Metrics, &Method::GET | &Method::HEAD) => metrics::scrape(desk, context, request).await,
        // hyper leaves the body out of the answer to a HEAD, which load balancers probe with.
        (Route::Health, &Method::GET | &Method::HEAD) => Ok(json_reply(StatusCode::OK, &json!({ "status": "ok" }))),
        (Route::Ready, &Method::GET | &Method::HEAD) => Ok(ready(desk)),
        (route, _) => {
            body::discard(desk, request).await;
            Err(RestError::MethodNotAllowed { allow: route.allow() })
        }
    }
}
