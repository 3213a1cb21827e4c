//! Which handler answers a request.

use http::{Method, Request, StatusCode};
use hyper::body::Incoming;
use matchit::Router;
use serde_json::json;

use super::connection::ConnectionContext;
use super::error::{Reply, RestError, json_reply};
use super::{Desk, admin, alerts, body, cors, event_stream, events, keys, publish, upgrade, watchlist, webhooks};

/// The server's routes.
#[derive(Clone, Copy, Debug)]
enum Route {
    Events,
    EventStream,
    Watchlist,
    WatchlistOwner,
    Keys,
    Key,
    Accounts,
    Account,
    AccountKeys,
    AccountKey,
    Webhooks,
    Webhook,
    WebhookTest,
    WebhookDeliveries,
    WebhookSecret,
    WebhookReplay,
    LatestAlerts,
    Alerts,
    Channels,
    Rooms,
    #[cfg(feature = "conformance")]
    Echo,
    Health,
    Ready,
}

impl Route {
    /// The methods that the route takes, as an `Allow` header lists them.
    fn allow(self) -> &'static str {
        match self {
            Self::Events => "GET, POST",
            Self::Watchlist => "GET, PUT, POST",
            Self::Keys | Self::Accounts | Self::AccountKeys | Self::Webhooks => "GET, POST",
            Self::Webhook => "GET, PUT, DELETE",
            Self::WebhookTest | Self::WebhookSecret | Self::WebhookReplay => "POST",
            Self::Account => "GET, PATCH, DELETE",
            Self::WatchlistOwner | Self::Key | Self::AccountKey => "DELETE",
            Self::LatestAlerts | Self::Health | Self::Ready => "GET, HEAD",
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
    let mut add = |path, route| router.insert(path, route).expect("routes don't collide");
    add("/api/events", Route::Events);
    add("/events/stream", Route::EventStream);
    add("/api/watchlist", Route::Watchlist);
    // An owner may hold slashes, escaped or not.
    add("/api/watchlist/{*owner}", Route::WatchlistOwner);
    add("/api/keys", Route::Keys);
    add("/api/keys/{id}", Route::Key);
    add("/api/admin/accounts", Route::Accounts);
    add("/api/admin/accounts/{name}", Route::Account);
    add("/api/admin/accounts/{name}/keys", Route::AccountKeys);
    add("/api/admin/accounts/{name}/keys/{id}", Route::AccountKey);
    add("/api/webhooks", Route::Webhooks);
    add("/api/webhooks/{id}", Route::Webhook);
    add("/api/webhooks/{id}/test", Route::WebhookTest);
    add("/api/webhooks/{id}/deliveries", Route::WebhookDeliveries);
    add("/api/webhooks/{id}/secret", Route::WebhookSecret);
    add("/api/webhooks/{id}/replay", Route::WebhookReplay);
    add("/alerts/latest", Route::LatestAlerts);
    add("/ws/alerts", Route::Alerts);
    add("/v1/ws", Route::Channels);
    add("/ws", Route::Rooms);
    #[cfg(feature = "conformance")]
    add("/echo", Route::Echo);
    add("/healthz", Route::Health);
    add("/readyz", Route::Ready);
    router
}

/// Answers a request, errors included.
pub async fn answer(desk: &Desk, context: &ConnectionContext, request: Request<Incoming>) -> Reply {
    let visitor = cors::visitor(desk, request.headers());
    let mut reply = handle(desk, context, request).await.unwrap_or_else(|error| error.reply());
    cors::mark(desk, &visitor, reply.headers_mut());
    reply
}

async fn handle(desk: &Desk, context: &ConnectionContext, request: Request<Incoming>) -> Result<Reply, RestError> {
    let path = request.uri().path();
    let found = ROUTES.with(|routes| {
        let found = routes.at(path).ok()?;
        // What stands in the places of the names in braces, as it was sent.
        let names: Vec<String> = found.params.iter().map(|(_, text)| text.to_owned()).collect();
        Some((*found.value, names))
    });
    let Some((route, names)) = found else {
        let error = RestError::NotFound(path.to_owned());
        body::discard(desk, request).await;
        return Err(error);
    };
    if cors::is_preflight(&request) {
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
        (Route::Webhooks, &Method::GET) => webhooks::list(desk, request).await,
        (Route::Webhooks, &Method::POST) => webhooks::create(desk, request).await,
        (Route::Webhook, &Method::GET) => webhooks::get(desk, request, &names[0]).await,
        (Route::Webhook, &Method::PUT) => webhooks::change(desk, request, &names[0]).await,
        (Route::Webhook, &Method::DELETE) => webhooks::delete(desk, request, &names[0]).await,
        (Route::WebhookTest, &Method::POST) => webhooks::test(desk, request, &names[0]).await,
        (Route::WebhookDeliveries, &Method::GET) => webhooks::deliveries(desk, request, &names[0]).await,
        (Route::WebhookSecret, &Method::POST) => webhooks::regenerate(desk, request, &names[0]).await,
        (Route::WebhookReplay, &Method::POST) => webhooks::replay(desk, request, &names[0]).await,
        (Route::LatestAlerts, &Method::GET | &Method::HEAD) => alerts::latest(desk, &request),
        (Route::Alerts, &Method::GET) => upgrade::alerts(desk, context, &request),
        (Route::Channels, &Method::GET) => upgrade::channels(desk, context, &request),
        (Route::Rooms, &Method::GET) => upgrade::rooms(desk, context, &request),
        #[cfg(feature = "conformance")]
        (Route::Echo, &Method::GET) => upgrade::echo(desk, context, &request),
        // hyper leaves the body out of the answer to a HEAD, which load balancers probe with.
        (Route::Health, &Method::GET | &Method::HEAD) => Ok(json_reply(StatusCode::OK, &json!({ "status": "ok" }))),
        (Route::Ready, &Method::GET | &Method::HEAD) => {
            Ok(json_reply(StatusCode::OK, &json!({ "status": "ready", "last_seq": desk.hub.last_seq() })))
        }
        (route, _) => {
            body::discard(desk, request).await;
            Err(RestError::MethodNotAllowed { allow: route.allow() })
        }
    }
}
