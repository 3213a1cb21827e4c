//! `/api/keys`: an account's own keys, and that none of them can be used to get at more than it opens.

use serde_json::{Value, json};

use crate::admin::operator;
use crate::http::{Reply, Request};
use crate::process::Server;

const ROLES: [&str; 3] = ["subscriber", "publisher", "admin"];

fn send(server: &Server, key: &str, request: Request) -> Reply {
    request.header("X-API-Key", key).send(server.address)
}

fn list(server: &Server, key: &str) -> Vec<Value> {
    let reply = send(server, key, Request::get("/api/keys"));
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.json()["keys"].as_array().cloned().expect("a list")
}

fn create(server: &Server, key: &str, role: &str) -> Reply {
    send(server, key, Request::post("/api/keys").body(json!({ "role": role }).to_string()))
}

fn revoke(server: &Server, key: &str, id: &str) -> Reply {
    send(server, key, Request::new("DELETE", &format!("/api/keys/{id}")))
}

fn made(reply: &Reply) -> (String, String) {
    assert_eq!(reply.status, 201, "{}", reply.text());
    let text = |name: &str| reply.json()["key"][name].as_str().expect(name).to_owned();
    (text("id"), text("secret"))
}

fn refused(what: &str, reply: &Reply, status: u16, code: &str) {
    let error = reply.error();
    assert_eq!((reply.status, error["code"].as_str()), (status, Some(code)), "{what}: {error}");
}

/// The id of the first key with that role.
fn id_of(keys: &[Value], role: &str) -> String {
    let key = keys.iter().find(|key| key["role"] == role).expect("a key of that role");
    key["id"].as_str().expect("an id").to_owned()
}

#[test]
fn a_key_is_shown_once_opens_its_account_and_is_listed_without_its_secret() {
    let server = Server::start();
    let reply = create(&server, &server.subscriber, "subscriber");
    assert_eq!(reply.header("cache-control"), Some("no-store"));
    let (id, secret) = made(&reply);
    assert!(id.starts_with("key_") && secret.starts_with("stn_") && secret.len() == 47, "{id}");
    // It is in force as soon as it has been told.
    let keys = list(&server, &secret);
    assert_eq!(keys.len(), 2, "{keys:?}");
    for key in &keys {
        let fields: Vec<&str> = key.as_object().expect("an object").keys().map(String::as_str).collect();
        assert_eq!(fields, ["id", "role", "prefix", "created", "revoked"]);
        assert_eq!((&key["role"], &key["revoked"]), (&json!("subscriber"), &Value::Null));
        assert!(key["created"].as_str().is_some_and(|moment| moment.ends_with('Z')), "{key}");
    }
    assert_eq!((&keys[1]["id"], &keys[1]["prefix"]), (&json!(id), &json!(secret[..12])));
    let text = send(&server, &secret, Request::get("/api/keys")).text();
    for secret in [&secret, &server.subscriber] {
        assert!(!text.contains(&secret[12..]), "{text}");
    }
}

#[test]
fn a_revoked_key_opens_nothing_from_the_answer_on_and_a_repeat_is_no_error() {
    let server = Server::start();
    let (id, secret) = made(&create(&server, &server.subscriber, "subscriber"));
    let first = revoke(&server, &server.subscriber, &id);
    assert_eq!(first.status, 200, "{}", first.text());
    refused("a revoked key", &send(&server, &secret, Request::get("/api/keys")), 401, "AUTHENTICATION_FAILED");
    let again = revoke(&server, &server.subscriber, &id);
    assert!(first.json()["key"]["revoked"].is_string(), "{}", first.text());
    assert_eq!(again.json(), first.json());
    let listed = list(&server, &server.subscriber);
    assert_eq!(listed.iter().find(|key| key["id"] == id.as_str()), Some(&first.json()["key"]));
}

#[test]
fn a_key_may_revoke_itself_and_hears_of_it() {
    let server = Server::start();
    let (id, secret) = made(&create(&server, &server.subscriber, "subscriber"));
    assert_eq!(revoke(&server, &secret, &id).status, 200);
    refused("afterwards", &revoke(&server, &secret, &id), 401, "AUTHENTICATION_FAILED");
    refused("afterwards", &create(&server, &secret, "subscriber"), 401, "AUTHENTICATION_FAILED");
}

#[test]
fn a_key_makes_and_revokes_no_key_of_another_role_unless_it_is_an_admins() {
    let server = Server::start();
    let admin = operator(&server, "watcher");
    for role in ROLES {
        let (_, secret) = made(&create(&server, &admin, role));
        assert_eq!(list(&server, &admin).last().expect("the new one")["prefix"], secret[..12], "{role}");
    }
    let before = list(&server, &admin);
    for role in ["publisher", "admin"] {
        refused(role, &create(&server, &server.subscriber, role), 403, "FORBIDDEN");
        refused(role, &revoke(&server, &server.subscriber, &id_of(&before, role)), 403, "FORBIDDEN");
    }
    // A publisher key publishes, and that is all.
    for request in [
        Request::get("/api/keys"),
        Request::post("/api/keys").body(r#"{"role":"publisher"}"#),
        Request::new("DELETE", "/api/keys/key_0123456789abcdef"),
    ] {
        refused("a publisher", &send(&server, &server.publisher, request), 403, "FORBIDDEN");
    }
    assert_eq!(list(&server, &admin), before, "nothing was made or revoked");
    for role in ROLES {
        assert_eq!(revoke(&server, &admin, &id_of(&before, role)).status, 200, "{role}");
    }
}

#[test]
fn another_accounts_key_is_answered_like_one_that_is_not_there() {
    let server = Server::start();
    let admin = operator(&server, "ops");
    let feeds = send(&server, &admin, Request::get("/api/admin/accounts/feed/keys")).json();
    let theirs = feeds["keys"][0]["id"].as_str().expect("an id").to_owned();
    for key in [&server.subscriber, &admin] {
        let other = revoke(&server, key, &theirs);
        refused("another's", &other, 404, "NO_SUCH_KEY");
        let nobodys = revoke(&server, key, "key_0123456789abcdef");
        let message = |reply: &Reply, id: &str| reply.error()["message"].as_str().expect("words").replace(id, "ID");
        assert_eq!(message(&other, &theirs), message(&nobodys, "key_0123456789abcdef"));
    }
    assert_eq!(send(&server, &admin, Request::get("/api/admin/accounts/feed/keys")).json(), feeds);
    // Whoever sends the key for its id does not find it in an error, and perhaps in a log.
    let mistaken = revoke(&server, &server.subscriber, &server.subscriber);
    refused("a secret", &mistaken, 404, "NO_SUCH_KEY");
    assert!(!mistaken.text().contains(&server.subscriber[20..]), "{}", mistaken.text());
}

#[test]
fn a_wrong_request_is_refused_by_what_is_wrong_in_it() {
    let server = Server::start();
    for (body, told) in [
        (r#"{"role":"root"}"#, "publisher, subscriber or admin"),
        (r#"{"role":"subscriber","account":"feed"}"#, "expected `role`"),
        ("{}", "role"),
        ("", "role"),
        (r#"{"role":1}"#, "string"),
    ] {
        let reply = send(&server, &server.subscriber, Request::post("/api/keys").body(body));
        refused(body, &reply, 400, "INVALID_REQUEST");
        assert!(reply.text().contains(told), "{told}: {}", reply.text());
    }
    let long = format!(r#"{{"role":"{}"}}"#, "x".repeat(5000));
    let reply = send(&server, &server.subscriber, Request::post("/api/keys").body(long));
    refused("a long body", &reply, 413, "BODY_TOO_LARGE");
    assert!(reply.text().contains("4096 bytes"), "{}", reply.text());
    refused("no key", &Request::get("/api/keys").send(server.address), 401, "AUTHENTICATION_FAILED");
    for (method, path, allow) in [("PUT", "/api/keys", "GET, POST"), ("GET", "/api/keys/key_1", "DELETE")] {
        let reply = send(&server, &server.subscriber, Request::new(method, path));
        refused(path, &reply, 405, "METHOD_NOT_ALLOWED");
        assert_eq!(reply.header("allow"), Some(allow), "{path}");
    }
    assert_eq!(list(&server, &server.subscriber).len(), 1);
}
