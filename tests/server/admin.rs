//! `/api/admin/accounts`: the operator's side over HTTP, in force when it is answered, and closed to everybody else.

use serde_json::{Value, json};
use stentor::ws::CloseCode;

use crate::http::{Reply, Request};
use crate::process::{OWNER, Server};
use crate::wait::{SOON, until};

const ACCOUNTS: &str = "/api/admin/accounts";

/// An admin key of that account, which is made where it is missing; in force.
pub fn operator(server: &Server, account: &str) -> String {
    let known = server.data_dir.value(&["account", "list"]).contains(account);
    if !known {
        server.data_dir.account(account, "free");
    }
    let key = server.data_dir.key(account, "admin");
    until("the admin key", SOON, || (send(server, &key, Request::get(ACCOUNTS)).status == 200).then_some(()));
    key
}

fn send(server: &Server, key: &str, request: Request) -> Reply {
    request.header("X-API-Key", key).send(server.address)
}

fn of(name: &str) -> String {
    format!("{ACCOUNTS}/{name}")
}

fn create(body: &Value) -> Request {
    Request::post(ACCOUNTS).body(body.to_string())
}

fn change(name: &str, body: &Value) -> Request {
    Request::new("PATCH", &of(name)).body(body.to_string())
}

fn done(status: u16, reply: &Reply) -> Value {
    assert_eq!(reply.status, status, "{}", reply.text());
    let json = reply.json();
    assert_eq!(json["success"], true, "{json}");
    json
}

fn refused(what: &str, reply: &Reply, status: u16, code: &str) {
    let error = reply.error();
    assert_eq!((reply.status, error["code"].as_str()), (status, Some(code)), "{what}: {error}");
}

#[test]
fn an_account_lives_from_its_creation_to_its_deletion() {
    let server = Server::start();
    let admin = operator(&server, "ops");
    let made = done(201, &send(&server, &admin, create(&json!({ "name": "alice@example.com", "tier": "pro" }))));
    let mut expected = json!({ "name": "alice@example.com", "tier": "pro", "grants": ["price:*", "transactions:*"],
        "watchlist_size": 0, "live_keys": 0 });
    expected["created"] = made["account"]["created"].clone();
    assert!(expected["created"].as_str().is_some_and(|moment| moment.ends_with('Z')));
    assert_eq!(made["account"], expected);
    for name in ["alice@example.com", "Alice%40Example.com"] {
        assert_eq!(done(200, &send(&server, &admin, Request::get(&of(name))))["account"], expected, "{name}");
    }

    let key = done(
        201,
        &send(&server, &admin, Request::post(&of("alice@example.com/keys")).body(r#"{"role":"subscriber"}"#)),
    );
    let secret = key["key"]["secret"].as_str().expect("a secret");
    let watch = send(&server, secret, Request::post("/api/watchlist").body(json!({ "owner": OWNER }).to_string()));
    assert_eq!(watch.status, 200, "{}", watch.text());
    (expected["watchlist_size"], expected["live_keys"]) = (1.into(), 1.into());
    assert_eq!(done(200, &send(&server, &admin, Request::get(&of("alice@example.com"))))["account"], expected);

    let gone = done(200, &send(&server, &admin, Request::new("DELETE", &of("ALICE@example.com"))));
    assert_eq!(gone["account"], expected, "what it was");
    refused("its key", &send(&server, secret, Request::get("/api/watchlist")), 401, "AUTHENTICATION_FAILED");
    for method in ["GET", "DELETE"] {
        refused(method, &send(&server, &admin, Request::new(method, &of("alice@example.com"))), 404, "NO_SUCH_ACCOUNT");
    }
}

#[test]
fn tier_and_grants_change_as_asked_and_the_rest_stays() {
    let server = Server::start();
    let admin = operator(&server, "ops");
    let new = json!({ "name": "alice", "tier": "free", "grants": ["bot:b", "bot:a"] });
    let made = done(201, &send(&server, &admin, create(&new)));
    assert_eq!(made["account"]["grants"], json!(["bot:a", "bot:b"]), "these and no others");
    for (body, tier, grants) in [
        (json!({ "tier": "elite" }), "elite", json!(["bot:a", "bot:b"])),
        (
            json!({ "grant": ["price:*", "bot:a"], "revoke": ["bot:b", "bot:never"] }),
            "elite",
            json!(["bot:a", "price:*"]),
        ),
        (json!({ "tier": "pro", "grants": ["bot:*"] }), "pro", json!(["bot:*"])),
        (json!({}), "pro", json!(["bot:*"])),
        (json!({ "grants": [] }), "pro", json!([])),
    ] {
        let changed = done(200, &send(&server, &admin, change("alice", &body)));
        assert_eq!((&changed["account"]["tier"], &changed["account"]["grants"]), (&json!(tier), &grants), "{body}");
        assert_eq!(done(200, &send(&server, &admin, Request::get(&of("alice")))), changed, "{body}");
    }
    let before = done(200, &send(&server, &admin, Request::get(&of("alice"))));
    let many: Vec<String> = (0..257).map(|number| format!("bot:{number}")).collect();
    for (body, status, code, told) in [
        (json!({ "tier": "gold" }), 400, "INVALID_REQUEST", "free, pro, elite or enterprise"),
        (json!({ "name": "bob" }), 400, "INVALID_REQUEST", "expected one of `tier`, `grants`, `grant`, `revoke`"),
        (json!({ "grants": ["bot:*"], "grant": ["bot:a"] }), 400, "INVALID_REQUEST", "alone"),
        (json!({ "tier": "elite", "grant": ["wallet:*"] }), 400, "INVALID_GRANT", "wallet"),
        (json!({ "tier": "elite", "grants": many }), 409, "TOO_MANY_GRANTS", "256"),
    ] {
        let reply = send(&server, &admin, change("alice", &body));
        refused(&body.to_string(), &reply, status, code);
        assert!(reply.text().contains(told), "{told}: {}", reply.text());
    }
    assert_eq!(done(200, &send(&server, &admin, Request::get(&of("alice")))), before, "nothing was half done");
    refused("nobody", &send(&server, &admin, change("nobody", &json!({ "tier": "pro" }))), 404, "NO_SUCH_ACCOUNT");
}

#[test]
fn a_lowered_tier_closes_the_live_session() {
    let server = Server::start();
    let admin = operator(&server, "ops");
    let mut socket = server.connect();
    done(200, &send(&server, &admin, change("watcher", &json!({ "tier": "free" }))));
    socket.expect_close(CloseCode::TIER);
}

#[test]
fn a_new_account_needs_a_free_name_and_known_words() {
    let server = Server::start();
    let admin = operator(&server, "ops");
    for (body, status, code) in [
        (json!({ "name": "Watcher", "tier": "pro" }), 409, "NAME_TAKEN"),
        (json!({ "name": "a/b", "tier": "pro" }), 400, "INVALID_NAME"),
        (json!({ "name": "", "tier": "pro" }), 400, "INVALID_NAME"),
        (json!({ "name": "bob" }), 400, "INVALID_REQUEST"),
        (json!({ "name": "bob", "tier": "Pro" }), 400, "INVALID_REQUEST"),
        (json!({ "name": "bob", "tier": "pro", "grants": ["bot"] }), 400, "INVALID_GRANT"),
        (json!({ "name": "bob", "tier": "pro", "role": "admin" }), 400, "INVALID_REQUEST"),
        (json!({ "name": "b".repeat(200_000), "tier": "pro" }), 413, "BODY_TOO_LARGE"),
    ] {
        let what = body.to_string();
        refused(&what[..what.len().min(80)], &send(&server, &admin, create(&body)), status, code);
    }
    refused("a bad name", &send(&server, &admin, Request::get(&of("%ff"))), 400, "INVALID_NAME");
    let names: Vec<Value> = done(200, &send(&server, &admin, Request::get(ACCOUNTS)))["accounts"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|account| account["name"].clone())
        .collect();
    assert_eq!(names, ["feed", "ops", "watcher"]);
}

#[test]
fn the_list_comes_in_pages_by_name() {
    let server = Server::start();
    let admin = operator(&server, "ops");
    for number in 0..5 {
        done(201, &send(&server, &admin, create(&json!({ "name": format!("x{number}"), "tier": "free" }))));
    }
    let mut names = Vec::new();
    let mut path = format!("{ACCOUNTS}?limit=3");
    loop {
        let page = done(200, &send(&server, &admin, Request::get(&path)));
        let accounts = page["accounts"].as_array().expect("a list");
        assert!((1..=3).contains(&accounts.len()), "{page}");
        names.extend(accounts.iter().map(|account| account["name"].as_str().expect("a name").to_owned()));
        let Some(next) = page["next"].as_str() else { break };
        assert_eq!(names.last().map(String::as_str), Some(next));
        path = format!("{ACCOUNTS}?limit=3&after={next}");
    }
    assert_eq!(names, ["feed", "ops", "watcher", "x0", "x1", "x2", "x3", "x4"]);
    let exactly = done(200, &send(&server, &admin, Request::get(&format!("{ACCOUNTS}?limit=8"))));
    assert_eq!(exactly["next"], Value::Null, "an empty page does not follow");
    for query in ["limit=0", "limit=101"] {
        let reply = send(&server, &admin, Request::get(&format!("{ACCOUNTS}?{query}")));
        refused(query, &reply, 400, "INVALID_REQUEST");
        assert!(reply.text().contains("1 to 100"), "{}", reply.text());
    }
    refused("no name", &send(&server, &admin, Request::get(&format!("{ACCOUNTS}?after=a%20b"))), 400, "INVALID_NAME");
}

#[test]
fn only_an_admin_key_opens_any_of_it() {
    let server = Server::start();
    let admin = operator(&server, "ops");
    let id = done(200, &send(&server, &admin, Request::get(&of("watcher/keys"))))["keys"][0]["id"].clone();
    let requests = || {
        [
            Request::get(ACCOUNTS),
            create(&json!({ "name": "mallory", "tier": "enterprise" })),
            Request::get(&of("watcher")),
            change("watcher", &json!({ "tier": "enterprise", "grant": ["bot:*"] })),
            Request::new("DELETE", &of("feed")),
            Request::get(&of("watcher/keys")),
            Request::post(&of("watcher/keys")).body(r#"{"role":"admin"}"#),
            Request::new("DELETE", &of(&format!("watcher/keys/{}", id.as_str().expect("an id")))),
        ]
    };
    for key in [&server.subscriber, &server.publisher] {
        for request in requests() {
            refused(&format!("{request:?}"), &send(&server, key, request), 403, "FORBIDDEN");
        }
    }
    for request in requests() {
        refused(&format!("{request:?}"), &request.send(server.address), 401, "AUTHENTICATION_FAILED");
    }
    let accounts = done(200, &send(&server, &admin, Request::get(ACCOUNTS)));
    let told: Vec<_> = accounts["accounts"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|a| json!([a["name"], a["tier"], a["live_keys"]]))
        .collect();
    assert_eq!(told, [json!(["feed", "free", 1]), json!(["ops", "free", 1]), json!(["watcher", "elite", 1])]);
    for (method, path, allow) in [
        ("PUT", ACCOUNTS.to_owned(), "GET, POST"),
        ("POST", of("watcher"), "GET, PATCH, DELETE"),
        ("PATCH", of("watcher/keys"), "GET, POST"),
        ("GET", of("watcher/keys/key_1"), "DELETE"),
    ] {
        let reply = send(&server, &admin, Request::new(method, &path));
        refused(&path, &reply, 405, "METHOD_NOT_ALLOWED");
        assert_eq!(reply.header("allow"), Some(allow), "{path}");
    }
}

#[test]
fn an_admin_manages_the_keys_of_any_account_by_its_name_and_sees_no_secret() {
    let server = Server::start();
    let admin = operator(&server, "ops");
    let keys_of = |name: &str| send(&server, &admin, Request::get(&of(&format!("{name}/keys"))));
    let made = ["subscriber", "publisher", "admin"].map(|role| {
        let reply = send(&server, &admin, Request::post(&of("feed/keys")).body(json!({ "role": role }).to_string()));
        assert_eq!(reply.header("cache-control"), Some("no-store"));
        done(201, &reply)["key"].clone()
    });
    let text = keys_of("feed").text() + &send(&server, &admin, Request::get(ACCOUNTS)).text();
    for key in &made {
        let secret = key["secret"].as_str().expect("a secret");
        assert!(!text.contains(&secret[12..]) && keys_of("Feed").text().contains(&secret[..12]), "{text}");
    }
    assert!(!text.contains(&server.publisher[12..]), "{text}");
    // A key is found under its own account only.
    let id = made[1]["id"].as_str().expect("an id");
    let revoke = |name: &str| send(&server, &admin, Request::new("DELETE", &of(&format!("{name}/keys/{id}"))));
    refused("another account", &revoke("watcher"), 404, "NO_SUCH_KEY");
    refused("no account", &revoke("nobody"), 404, "NO_SUCH_ACCOUNT");
    assert!(done(200, &revoke("feed"))["key"]["revoked"].is_string());
    let publisher = made[1]["secret"].as_str().expect("a secret");
    let publish = Request::post("/api/events").body(r#"{"type":"alert","data":{}}"#);
    refused("the revoked key", &send(&server, publisher, publish), 401, "AUTHENTICATION_FAILED");
}

#[test]
fn an_admin_does_not_delete_the_account_of_the_key_in_use() {
    let server = Server::start();
    let admin = operator(&server, "ops");
    let delete = |key: &str, name: &str| send(&server, key, Request::new("DELETE", &of(name)));
    for name in ["ops", "OPS"] {
        refused(name, &delete(&admin, name), 409, "OWN_ACCOUNT");
    }
    // Another account's admin may.
    let other = operator(&server, "backup");
    done(200, &delete(&other, "ops"));
    refused("the deleted one", &delete(&admin, "backup"), 401, "AUTHENTICATION_FAILED");
}
