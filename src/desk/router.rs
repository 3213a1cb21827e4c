//! Which handler answers a request.

use http::{Method, Request, StatusCode};
use hyper::body::Incoming;
use matchit::Router;
use serde_json::json;

use super::connection::ConnectionContext;
use super::error::{Reply, RestError, json_reply};
use super::{Desk, body, cors, publish, upgrade, watchlist};

/// The server's routes.
#[derive(Clone, Copy, Debug)]
enum Route {
    Events,
    Watchlist,
    WatchlistOwner,
    Alerts,
    #[cfg(feature = "conformance")]
    Echo,
    Health,
    Ready,
}

impl Route {
    /// The methods that the route takes, as an `Allow` header lists them.
    fn allow(self) -> &'static str {
        match self {
            Self::Events => "POST",
            Self::Watchlist => "GET, PUT, POST",
            Self::WatchlistOwner => "DELETE",
            Self::Health | Self::Ready => "GET, HEAD",
            Self::Alerts => "GET",
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
    add("/api/watchlist", Route::Watchlist);
    // An owner may hold slashes, escaped or not.
    add("/api/watchlist/{*owner}", Route::WatchlistOwner);
    add("/ws/alerts", Route::Alerts);
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
    let found = ROUTES
        .with(|routes| routes.at(path).ok().map(|found| (*found.value, found.params.get("owner").map(str::to_owned))));
    let Some((route, owner)) = found else {
        let error = RestError::NotFound(path.to_owned());
        body::discard(desk, request).await;
        return Err(error);
    };
    if cors::is_preflight(&request) {
        return cors::preflight(desk, request.headers(), route.allow());
    }
    match (route, request.method()) {
        (Route::Events, &Method::POST) => publish::post(desk, request).await,
        (Route::Watchlist, &Method::GET | &Method::PUT | &Method::POST) => watchlist::collection(desk, request).await,
        (Route::WatchlistOwner, &Method::DELETE) => {
            watchlist::remove(desk, &request, &owner.expect("the route has an owner")).await
        }
        (Route::Alerts, &Method::GET) => upgrade::alerts(desk, context, &request),
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
