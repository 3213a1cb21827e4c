//! `/api/webhooks`: what owners ask for, who may, and what each answer looks like. What is sent is in `webhook_deliveries`.

use std::net::{Ipv4Addr, TcpListener};
use std::time::Duration;

use serde_json::{Value, json};

use crate::admin::operator;
use crate::http::{Reply, Request};
use crate::process::{OWNER, Server};
use crate::trade::trade;
use crate::wait::{SOON, until};
use crate::webhook_sink::{Answer, Sink};

const WEBHOOKS: &str = "/api/webhooks";
/// Of nobody.
const UNKNOWN: &str = "wh_0123456789abcdef";
const EVERY_TRADE: [&str; 4] = ["trade.new", "trade.increase", "trade.close", "trade.liquidation"];

/// A server that lets webhooks lead to this machine, with more lines for `[webhooks]`.
pub fn server(more: &str) -> Server {
    Server::configured(&format!("[webhooks]\nallow = [\"127.0.0.0/8\"]\n{more}\n"))
}

/// A webhook as its owner knows it.
#[derive(Debug)]
pub struct Hook {
    pub id: String,
    pub secret: String,
}

impl Hook {
    /// One of the account whose key this is, for every trade.
    pub fn create(server: &Server, key: &str, url: &str) -> Self {
        Self::of_events(server, key, url, &EVERY_TRADE)
    }

    pub fn of_events(server: &Server, key: &str, url: &str, events: &[&str]) -> Self {
        let webhook = done(201, &create(server, key, url, events))["webhook"].clone();
        let text = |name: &str| webhook[name].as_str().expect(name).to_owned();
        Self { id: text("id"), secret: text("secret") }
    }

    pub fn path(&self, behind: &str) -> String {
        format!("{WEBHOOKS}/{}{behind}", self.id)
    }

    pub fn show(&self, server: &Server, key: &str) -> Value {
        done(200, &send(server, key, Request::get(&self.path(""))))["webhook"].clone()
    }

    pub fn change(&self, server: &Server, key: &str, change: &Value) -> Value {
        let reply = send(server, key, Request::new("PUT", &self.path("")).body(change.to_string()));
        done(200, &reply)["webhook"].clone()
    }

    /// The newest first.
    pub fn deliveries(&self, server: &Server, key: &str) -> Vec<Value> {
        let reply = send(server, key, Request::get(&self.path("/deliveries?limit=1000")));
        done(200, &reply)["deliveries"].as_array().cloned().expect("a list")
    }

    /// Waits until the delivery of an event is as it is wanted.
    pub fn delivery(&self, server: &Server, key: &str, seq: u64, status: &str) -> Value {
        until(&format!("the delivery of {seq} that is {status}"), 2 * SOON, || {
            let listed = self.deliveries(server, key);
            listed.into_iter().find(|delivery| delivery["seq"] == seq && delivery["status"] == status)
        })
    }

    pub fn replay(&self, server: &Server, key: &str, since: u64) -> Reply {
        send(server, key, Request::post(&self.path("/replay")).body(json!({ "since": since }).to_string()))
    }
}

pub fn send(server: &Server, key: &str, request: Request) -> Reply {
    request.header("X-API-Key", key).send(server.address)
}

fn create(server: &Server, key: &str, url: &str, events: &[&str]) -> Reply {
    send(server, key, Request::post(WEBHOOKS).body(json!({ "url": url, "events": events }).to_string()))
}

pub fn done(status: u16, reply: &Reply) -> Value {
    assert_eq!(reply.status, status, "{}", reply.text());
    let json = reply.json();
    assert_eq!(json["success"], true, "{json}");
    json
}

fn refused(what: &str, reply: &Reply, status: u16, code: &str) -> String {
    let error = reply.error();
    assert_eq!((reply.status, error["code"].as_str()), (status, Some(code)), "{what}: {error}");
    error["message"].as_str().expect("words").to_owned()
}

fn fields(value: &Value) -> Vec<&str> {
    value.as_object().expect("an object").keys().map(String::as_str).collect()
}

/// Every request about one webhook, with a body where it takes one.
fn requests_about(id: &str) -> Vec<(&'static str, Request)> {
    let of = |behind: &str| format!("{WEBHOOKS}/{id}{behind}");
    vec![
        ("GET", Request::get(&of(""))),
        ("PUT", Request::new("PUT", &of("")).body(r#"{"events":["trade.close"]}"#)),
        ("test", Request::post(&of("/test"))),
        ("deliveries", Request::get(&of("/deliveries"))),
        ("secret", Request::post(&of("/secret"))),
        ("replay", Request::post(&of("/replay")).body(r#"{"since":0}"#)),
        ("DELETE", Request::new("DELETE", &of(""))),
    ]
}

#[test]
fn a_webhook_is_made_listed_shown_changed_and_deleted() {
    let server = server("");
    let key = &server.subscriber;
    assert_eq!(done(200, &send(&server, key, Request::get(WEBHOOKS))), json!({ "success": true, "webhooks": [] }));

    let url = "http://127.0.0.1:9009/hook?room=7";
    let reply = create(&server, key, url, &["trade.new", "trade.close", "trade.new"]);
    let made = done(201, &reply);
    assert_eq!(reply.header("cache-control"), Some("no-store"));
    assert_eq!(fields(&made), ["success", "webhook", "message"]);
    assert_eq!(made["message"], "Webhook created. Save your secret - it will only be shown once!");
    let webhook = &made["webhook"];
    assert_eq!(fields(webhook), ["id", "url", "events", "secret"]);
    assert_eq!((&webhook["url"], &webhook["events"]), (&json!(url), &json!(["trade.new", "trade.close"])));
    let hook = Hook {
        id: webhook["id"].as_str().expect("an id").to_owned(),
        secret: webhook["secret"].as_str().expect("a secret").to_owned(),
    };
    assert!(hook.id.starts_with("wh_") && hook.secret.starts_with("whsec_"), "{hook:?}");

    let shown = hook.show(&server, key);
    let mut expected = json!({ "id": hook.id, "url": url, "events": ["trade.new", "trade.close"], "is_active": true });
    expected["created_at"] = shown["created_at"].clone();
    expected["failures"] = 0.into();
    assert_eq!(shown, expected);
    assert!(shown["created_at"].as_str().is_some_and(|moment| moment.ends_with('Z')), "{shown}");
    let list = done(200, &send(&server, key, Request::get(WEBHOOKS)));
    assert_eq!(list, json!({ "success": true, "webhooks": [shown] }));

    // What is not named stays, so nothing named changes nothing.
    assert_eq!(hook.change(&server, key, &json!({})), shown);
    expected["url"] = "http://127.0.0.1:9009/other".into();
    assert_eq!(hook.change(&server, key, &json!({ "url": "http://127.0.0.1:9009/other" })), expected);
    expected["events"] = json!(["trade.liquidation", "operational"]);
    assert_eq!(hook.change(&server, key, &json!({ "events": ["operational", "trade.liquidation"] })), expected);
    let disabled = hook.change(&server, key, &json!({ "is_active": false }));
    assert_eq!((&disabled["is_active"], &disabled["disabled"]["reason"]), (&json!(false), &json!("owner")));
    assert_eq!(fields(&disabled["disabled"]), ["reason", "at", "since"]);
    assert_eq!(hook.show(&server, key), disabled);
    assert_eq!(hook.change(&server, key, &json!({ "is_active": true })), expected);

    let second = Hook::create(&server, key, url);
    let list = done(200, &send(&server, key, Request::get(WEBHOOKS)));
    let ids: Vec<&str> =
        list["webhooks"].as_array().expect("a list").iter().filter_map(|one| one["id"].as_str()).collect();
    assert_eq!(ids, [&*hook.id, &*second.id], "the oldest first");

    let deleted = done(200, &send(&server, key, Request::new("DELETE", &hook.path(""))));
    assert_eq!(fields(&deleted), ["success", "message"]);
    for (what, request) in requests_about(&hook.id) {
        refused(what, &send(&server, key, request), 404, "NO_SUCH_WEBHOOK");
    }
    second.show(&server, key);
}

#[test]
fn a_secret_is_shown_when_it_is_made_and_never_again() {
    let server = server("");
    let key = &server.subscriber;
    let sink = Sink::start();
    let hook = Hook::create(&server, key, &sink.url("/hook"));
    let reply = send(&server, key, Request::post(&hook.path("/secret")));
    let made = done(200, &reply);
    assert_eq!(reply.header("cache-control"), Some("no-store"));
    assert_eq!(made["message"], "Secret regenerated. Save it - it will only be shown once!");
    assert_eq!(fields(&made["webhook"]), ["id", "url", "events", "secret"]);
    let new = made["webhook"]["secret"].as_str().expect("a secret").to_owned();
    assert!(new.starts_with("whsec_") && new != hook.secret);

    let (seq, _) = server.publish(&[trade("trade.open", OWNER)]);
    hook.delivery(&server, key, seq, "delivered");
    for request in [
        Request::get(WEBHOOKS),
        Request::get(&hook.path("")),
        Request::get(&hook.path("/deliveries")),
        Request::new("PUT", &hook.path("")).body("{}"),
        Request::post(&hook.path("/test")),
        Request::new("DELETE", &hook.path("")),
    ] {
        let reply = send(&server, key, request);
        done(200, &reply);
        for secret in [&new, &hook.secret] {
            let bare = secret.strip_prefix("whsec_").expect("a mark");
            assert!(!reply.text().contains(bare) && !reply.text().contains("whsec_"), "{}", reply.text());
        }
    }
    assert!(!server.said().contains("whsec_"), "{}", server.said());
}

#[test]
fn another_accounts_webhook_is_answered_like_one_that_is_not_there_and_like_no_id_at_all() {
    let server = server("");
    let hook = Hook::create(&server, &server.subscriber, "http://127.0.0.1:9009/hook");
    let before = hook.show(&server, &server.subscriber);
    let stranger = server.member("stranger", "enterprise", &[]);
    assert_eq!(done(200, &send(&server, &stranger, Request::get(WEBHOOKS)))["webhooks"], json!([]));
    let malformed = ["wh_", "wh_1", "x", "wh_0123456789ABCDEF", "wh_0123456789abcdef0", "%00"];
    for id in [&*hook.id, UNKNOWN].into_iter().chain(malformed) {
        for (what, request) in requests_about(id) {
            let words = refused(&format!("{what} {id}"), &send(&server, &stranger, request), 404, "NO_SUCH_WEBHOOK");
            assert_eq!(words, "there is no such webhook", "{what} {id}");
        }
    }
    assert_eq!(hook.show(&server, &server.subscriber), before);
}

#[test]
fn webhooks_are_for_subscriber_and_admin_keys_of_the_two_highest_tiers() {
    let server = server("");
    let every_request = || {
        let new = json!({ "url": "http://127.0.0.1:9009/", "events": ["trade.new"] }).to_string();
        let mut requests = requests_about(UNKNOWN);
        requests.push(("list", Request::get(WEBHOOKS)));
        requests.push(("create", Request::post(WEBHOOKS).body(new)));
        requests
    };
    for tier in ["free", "pro"] {
        let key = server.member(tier, tier, &[]);
        for (what, request) in every_request() {
            let words = refused(what, &send(&server, &key, request), 403, "FORBIDDEN");
            assert!(words.contains("elite and enterprise") && words.contains(tier), "{what}: {words}");
        }
    }
    let publisher = server.data_dir.key("watcher", "publisher");
    for (what, request) in every_request() {
        let known = until("the publisher key", SOON, || {
            let reply = send(&server, &publisher, request.clone());
            (reply.status != 401).then_some(reply)
        });
        let words = refused(what, &known, 403, "FORBIDDEN");
        assert!(words.contains("subscriber"), "{what}: {words}");
        refused(what, &request.send(server.address), 401, "AUTHENTICATION_FAILED");
        refused(what, &send(&server, "stn_nobody", request), 401, "AUTHENTICATION_FAILED");
    }
    for key in [server.member("large", "enterprise", &[]), operator(&server, "watcher")] {
        Hook::create(&server, &key, "http://127.0.0.1:9009/hook").show(&server, &key);
    }
    // An admin's rights do not raise its account's tier.
    let poor = operator(&server, "feed");
    refused("an admin of a free account", &send(&server, &poor, Request::get(WEBHOOKS)), 403, "FORBIDDEN");
}

#[test]
fn a_url_that_leads_where_it_must_not_is_refused_with_its_reason_and_makes_nothing() {
    // Nothing is allowed here.
    let server = Server::start();
    let key = &server.subscriber;
    for (url, told) in [
        ("http://127.0.0.1:9000/hook", "127.0.0.1"),
        ("http://2130706433/hook", "127.0.0.1"),
        ("http://[::ffff:127.0.0.1]/hook", "127.0.0.1"),
        ("http://10.1.2.3/hook", "10.1.2.3"),
        ("http://169.254.169.254/latest/meta-data/", "169.254.169.254"),
        ("http://localhost/hook", "localhost"),
        ("ftp://hooks.example.com/", "ftp"),
        ("https://user:secret@hooks.example.com/", "password"),
        ("https://8.8.8.8:25/hook", "25"),
        ("hooks.example.com", "URL"),
        ("", "URL"),
    ] {
        let words = refused(url, &create(&server, key, url, &["trade.new"]), 400, "INVALID_URL");
        assert!(words.contains(told), "{url}: {words}");
    }
    let long = format!("https://8.8.8.8/{}", "x".repeat(2_048));
    refused("a long one", &create(&server, key, &long, &["trade.new"]), 400, "INVALID_URL");
    assert_eq!(done(200, &send(&server, key, Request::get(WEBHOOKS)))["webhooks"], json!([]));

    // A literal address is not looked up, so this needs no network.
    let hook = Hook::create(&server, key, "https://8.8.8.8/hook");
    let before = hook.show(&server, key);
    let change = json!({ "url": "http://127.0.0.1:9000/hook", "events": ["trade.close"], "is_active": false });
    let reply = send(&server, key, Request::new("PUT", &hook.path("")).body(change.to_string()));
    refused("a change", &reply, 400, "INVALID_URL");
    assert_eq!(hook.show(&server, key), before, "all or nothing");
}

#[test]
fn a_wrong_request_is_refused_by_what_is_wrong_in_it() {
    let server = server("");
    let key = &server.subscriber;
    let hook = Hook::create(&server, key, "http://127.0.0.1:9009/hook");
    let url = r#""url":"http://127.0.0.1:9009/hook""#;
    for (body, code, told) in [
        (format!(r#"{{{url},"events":["trade.new","trade.open"]}}"#), "INVALID_EVENTS", "\"trade.open\""),
        (format!(r#"{{{url},"events":["webhook.test"]}}"#), "INVALID_EVENTS", "trade.liquidation"),
        (format!(r#"{{{url},"events":[]}}"#), "INVALID_EVENTS", "at least one"),
        (format!(r#"{{{url}}}"#), "INVALID_REQUEST", "events"),
        (r#"{"events":["trade.new"]}"#.to_owned(), "INVALID_REQUEST", "url"),
        (format!(r#"{{{url},"events":["trade.new"],"secret":"mine"}}"#), "INVALID_REQUEST", "`secret`"),
        (format!(r#"{{{url},"events":["trade.new"]"#), "INVALID_REQUEST", "the body must be"),
    ] {
        let words = refused(&body, &send(&server, key, Request::post(WEBHOOKS).body(&*body)), 400, code);
        assert!(words.contains(told), "{body}: {words}");
    }
    for (method, behind, body, code) in [
        ("PUT", "", r#"{"active":true}"#, "INVALID_REQUEST"),
        ("PUT", "", r#"{"is_active":"yes"}"#, "INVALID_REQUEST"),
        ("PUT", "", r#"{"events":["trade"]}"#, "INVALID_EVENTS"),
        ("POST", "/replay", "{}", "INVALID_REQUEST"),
        ("POST", "/replay", r#"{"since":-1}"#, "INVALID_REQUEST"),
        ("POST", "/replay", r#"{"since":1000000}"#, "SINCE_IN_FUTURE"),
        ("GET", "/deliveries?limit=0", "", "INVALID_REQUEST"),
        ("GET", "/deliveries?limit=1001", "", "INVALID_REQUEST"),
    ] {
        let request = Request::new(method, &hook.path(behind)).body(body);
        refused(&format!("{behind} {body}"), &send(&server, key, request), 400, code);
    }
    let long = format!(r#"{{{url},"events":["trade.new"],"x":"{}"}}"#, "x".repeat(17_000));
    let words = refused("a long body", &send(&server, key, Request::post(WEBHOOKS).body(long)), 413, "BODY_TOO_LARGE");
    assert!(words.contains("16384 bytes"), "{words}");
    for (method, path, allow) in [
        ("PATCH", WEBHOOKS.to_owned(), "GET, POST"),
        ("POST", hook.path(""), "GET, PUT, DELETE"),
        ("GET", hook.path("/test"), "POST"),
        ("POST", hook.path("/deliveries"), "GET"),
        ("GET", hook.path("/secret"), "POST"),
        ("PUT", hook.path("/replay"), "POST"),
    ] {
        let reply = send(&server, key, Request::new(method, &path));
        refused(&path, &reply, 405, "METHOD_NOT_ALLOWED");
        assert_eq!(reply.header("allow"), Some(allow), "{method} {path}");
    }
    refused("no route", &send(&server, key, Request::post(&hook.path("/ping"))), 404, "NOT_FOUND");
    let preflight = Request::new("OPTIONS", &hook.path(""))
        .header("Origin", "https://app.example")
        .header("Access-Control-Request-Method", "PUT")
        .send(server.address);
    assert_eq!(preflight.status, 204);
    assert_eq!(preflight.header("access-control-allow-methods"), Some("GET, PUT, DELETE"));
}

#[test]
fn a_test_is_one_attempt_whose_end_is_told_and_recorded() {
    let server = server("timeout_seconds = 1\nretry_seconds = [1, 1]");
    let key = &server.subscriber;
    let sink = Sink::answering(|nth, _| match nth {
        0 => Answer::of(204),
        1 => Answer::of(500),
        _ => Answer { delay: Duration::from_secs(3), ..Answer::of(200) },
    });
    let hook = Hook::of_events(&server, key, &sink.url("/hook"), &["operational"]);
    let test = || send(&server, key, Request::post(&hook.path("/test")));

    let told = done(200, &test());
    assert_eq!(fields(&told), ["success", "message"]);
    let words = told["message"].as_str().expect("words");
    assert!(words.starts_with("Test delivered: your endpoint answered 204 in ") && words.ends_with(" ms."), "{words}");
    let posts = sink.posts("/hook", 1);
    let post = &posts[0];
    post.assert_signed(&hook.secret);
    assert_eq!((post.header("x-event-type"), post.header("x-delivery-attempt")), ("webhook.test", "1"));
    let body = post.json();
    assert_eq!(body["type"], "webhook.test");
    // A whole trade, so that the owner's receiver runs as it will run.
    let data = &body["data"];
    assert!(["owner", "marketSymbol", "side", "timestamp"].iter().all(|name| data[name].is_string()), "{data}");
    assert!(["sizeUsd", "leverage", "entryPrice"].iter().all(|name| data[name].is_number()), "{data}");

    let words = refused("a 500", &test(), 502, "TEST_FAILED");
    assert!(words.contains("500"), "{words}");
    let words = refused("no answer in time", &test(), 502, "TEST_FAILED");
    assert!(words.contains("1 s"), "{words}");
    let closed = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port").local_addr().expect("an address");
    hook.change(&server, key, &json!({ "url": format!("http://{closed}/hook"), "is_active": false }));
    refused("nobody listens, and it is disabled", &test(), 502, "TEST_FAILED");

    let listed = hook.deliveries(&server, key);
    let outcomes: Vec<_> = listed
        .iter()
        .map(|one| (one["status"].as_str().expect("a status"), &one["attempts"][0]["status_code"]))
        .collect();
    assert_eq!(
        outcomes,
        [("failed", &Value::Null), ("failed", &Value::Null), ("failed", &json!(500)), ("delivered", &json!(204))]
    );
    for delivery in &listed {
        assert_eq!((&delivery["event_type"], &delivery["seq"]), (&json!("webhook.test"), &Value::Null));
        assert_eq!(delivery["attempts"].as_array().map(Vec::len), Some(1), "a test is not tried again");
        assert_eq!(delivery["attempts"][0]["error"].is_null(), delivery["status"] == "delivered", "{delivery}");
    }
    assert_eq!(listed[3]["id"], post.header("x-delivery-id"));
    assert_eq!(sink.posts_so_far("/hook").len(), 3);
}
