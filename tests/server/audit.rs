//! The audit log: who did what, over HTTP, on the command line and by the server itself, and who may read it.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;

use serde_json::{Value, json};

use crate::admin::operator;
use crate::http::{Reply, Request};
use crate::process::{OWNER, STENTOR, Server};
use crate::trade::trade;
use crate::wait::{SOON, until};
use crate::webhook_sink::{Answer, Sink};
use crate::webhooks::Hook;

const AUDIT: &str = "/api/admin/audit";

fn send(server: &Server, key: &str, request: Request) -> Reply {
    request.header("X-API-Key", key).send(server.address)
}

/// The newest entries, the newest first.
fn entries(server: &Server, admin: &str, query: &str) -> Vec<Value> {
    let reply = send(server, admin, Request::get(&format!("{AUDIT}?{query}")));
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.json()["entries"].as_array().expect("entries").clone()
}

/// A key's public id, as its account's list tells it.
fn id_of(server: &Server, key: &str) -> String {
    let list = server.data_dir.value(&["key", "list"]);
    let row = list.lines().find(|row| row.contains(&key[..12])).expect("the key");
    row.split_whitespace().next().expect("an id").to_owned()
}

#[test]
fn what_is_done_over_http_is_recorded_with_its_key_and_address() {
    let server = Server::start();
    let admin = operator(&server, "ops");
    let make = Request::post("/api/admin/accounts").body(json!({ "name": "alice", "tier": "elite" }).to_string());
    assert_eq!(send(&server, &admin, make).status, 201);
    let make = Request::post("/api/admin/accounts/alice/keys").body(r#"{"role":"subscriber"}"#);
    let made = send(&server, &admin, make).json();
    let (key, id) = (made["key"]["secret"].as_str().expect("a key"), made["key"]["id"].as_str().expect("an id"));
    let watch = Request::new("PUT", "/api/watchlist").body(r#"{"owners":["w1","w2"]}"#);
    assert_eq!(send(&server, key, watch).status, 200);
    assert_eq!(send(&server, &admin, Request::new("DELETE", "/api/admin/accounts/alice")).status, 200);

    let told: Vec<[String; 3]> = entries(&server, &admin, "limit=4")
        .iter()
        .map(|entry| ["action", "target", "actor"].map(|field| entry[field].as_str().expect(field).to_owned()))
        .collect();
    let operator = format!("admin key {} of ops from 127.0.0.1", id_of(&server, &admin));
    let customer = format!("subscriber key {id} of alice from 127.0.0.1");
    let expected = [
        ["account.delete", "alice", &operator],
        ["watchlist.replace", "alice", &customer],
        ["key.create", id, &operator],
        ["account.create", "alice", &operator],
    ];
    assert_eq!(told, expected.map(|entry| entry.map(str::to_owned)));
    let watched = &entries(&server, &admin, "action=watchlist&actor=ALICE")[0];
    assert_eq!(watched["detail"], json!({ "added": 2, "removed": 0, "total": 2 }));
    assert!(watched["at"].as_str().is_some_and(|at| at.ends_with('Z')), "{watched}");
}

#[test]
fn a_webhooks_life_is_recorded_without_its_path_and_its_secret() {
    let server = Server::configured("[webhooks]\nallow = [\"127.0.0.0/8\"]\n");
    let admin = operator(&server, "ops");
    let hooks = "/api/webhooks";
    let wanted = json!({ "url": "http://127.0.0.1:59999/T0KEN/hook", "events": ["trade.new"] });
    let made = send(&server, &server.subscriber, Request::post(hooks).body(wanted.to_string())).json();
    let id = made["webhook"]["id"].as_str().unwrap_or_else(|| panic!("{made}"));
    let of = |rest: &str| format!("{hooks}/{id}{rest}");
    for request in [
        Request::new("PUT", &of("")).body(r#"{"is_active":false}"#),
        Request::post(&of("/secret")),
        Request::new("DELETE", &of("")),
    ] {
        let reply = send(&server, &server.subscriber, request);
        assert_eq!(reply.status, 200, "{}", reply.text());
    }
    let refused = send(&server, &server.subscriber, Request::new("DELETE", &of("")));
    assert_eq!(refused.status, 404, "{}", refused.text());

    let told = entries(&server, &admin, "action=webhook");
    let actions: Vec<_> = told.iter().map(|entry| entry["action"].as_str().expect("an action")).collect();
    assert_eq!(actions, ["webhook.delete", "webhook.secret", "webhook.change", "webhook.create"]);
    let change = &told[2];
    assert_eq!(
        (&change["target"], change["actor"].as_str().map(|actor| actor.contains(" of watcher from "))),
        (&json!(id), Some(true))
    );
    let detail = json!({ "account": "watcher", "host": "127.0.0.1", "events": ["trade.new"], "is_active": false, "changed": ["is_active"] });
    assert_eq!(change["detail"], detail);
    let all = json!(told).to_string();
    assert!(!all.contains("T0KEN") && !all.contains("whsec_"), "{all}");
}

#[test]
fn an_endpoint_that_ends_its_webhook_is_recorded_as_the_servers_doing() {
    let server = crate::webhooks::server("");
    let admin = operator(&server, "ops");
    let sink = Sink::answering(|_, _| Answer::of(410));
    let hook = Hook::create(&server, &server.subscriber, &sink.url("/T0KEN"));
    server.publish(&[trade("trade.open", OWNER)]);
    let entry = until("the webhook's end", SOON, || entries(&server, &admin, "action=webhook.disable").pop());
    assert_eq!((&entry["target"], &entry["actor"]), (&json!(hook.id), &json!("server")));
    let detail = &entry["detail"];
    assert_eq!((&detail["account"], &detail["host"]), (&json!("watcher"), &json!("127.0.0.1")), "{entry}");
    assert_eq!((&detail["is_active"], &detail["reason"]), (&json!(false), &json!("gone")), "{entry}");
    assert!(!entry.to_string().contains("T0KEN"), "{entry}");
}

#[test]
fn the_command_line_and_the_server_itself_are_recorded_over_a_restart() {
    let mut server = Server::start();
    server.token("user_7", &["--admin-level", "2"]);
    let backup = tempfile::tempdir().expect("a directory");
    server.data_dir.value(&["backup", backup.path().to_str().expect("UTF-8")]);
    server.stop();
    server.start_again();
    let log = server.data_dir.value(&["audit", "--json"]);
    let log: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).expect("an object")).collect();
    let of = |action: &str| log.iter().filter(|entry| entry["action"] == action).collect::<Vec<_>>();
    // The start's own entry is written by another thread than the one that says that it listens.
    until("the second start", SOON, || {
        (server.data_dir.value(&["audit", "--action", "server.start"]).lines().count() == 3).then_some(())
    });
    assert_eq!(of("server.stop").len(), 1);
    assert_eq!(of("server.stop")[0]["actor"], "server");
    let user = format!("uid {}", rustix::process::getuid().as_raw());
    for (action, target) in [("token.mint", "user_7"), ("backup.create", backup.path().to_str().expect("UTF-8"))] {
        let entry = of(action)[0];
        assert_eq!(entry["target"], target, "{entry}");
        assert!(
            entry["actor"].as_str().is_some_and(|actor| actor.starts_with("cli by ") && actor.contains(&user)),
            "{entry}"
        );
    }
    assert_eq!(of("token.mint")[0]["detail"]["admin_level"], 2);
    let ids: Vec<u64> = log.iter().map(|entry| entry["id"].as_u64().expect("a number")).collect();
    assert!(ids.is_sorted(), "the oldest first: {ids:?}");
}

#[test]
fn no_key_and_no_token_is_in_the_log() {
    let server = Server::start();
    let admin = operator(&server, "ops");
    let token = server.token("user_7", &[]);
    server.data_dir.value(&["key", "revoke", &server.publisher]);
    let log = server.data_dir.value(&["audit", "--limit", "1000", "--json"]);
    assert!(log.contains("key.revoke") && log.contains("token.mint"), "{log}");
    for secret in [&server.subscriber, &server.publisher, &admin, &token] {
        assert!(!log.contains(&secret[12..]), "{secret} in {log}");
    }
}

#[test]
fn only_an_admin_key_reads_the_log_and_a_page_goes_on_where_the_last_ended() {
    let server = Server::start();
    let admin = operator(&server, "ops");
    for key in [&server.subscriber, &server.publisher] {
        let refused = send(&server, key, Request::get(AUDIT));
        assert_eq!((refused.status, &refused.error()["code"]), (403, &json!("FORBIDDEN")));
    }
    assert_eq!(Request::get(AUDIT).send(server.address).status, 401);
    for wrong in ["limit=0", "limit=201", "before=x", "before=-1", "action=nonsense"] {
        let refused = send(&server, &admin, Request::get(&format!("{AUDIT}?{wrong}")));
        assert_eq!((refused.status, &refused.error()["code"]), (400, &json!("INVALID_REQUEST")), "{wrong}");
    }
    let all = entries(&server, &admin, "");
    assert!(all.len() > 4, "{all:?}");
    let first = entries(&server, &admin, "limit=2");
    let next = entries(&server, &admin, &format!("limit=2&before={}", first[1]["id"]));
    assert_eq!([first, next].concat(), all[..4]);
    assert_eq!(entries(&server, &admin, "before=1"), [] as [Value; 0]);
}

#[test]
fn whoever_follows_the_log_sees_what_is_done_meanwhile() {
    let server = Server::start();
    let mut follower = Command::new(STENTOR)
        .arg("--data-dir")
        .arg(server.data_dir.path())
        .args(["audit", "--follow", "--json", "--action", "account", "--limit", "1"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let (sender, lines) = channel();
    let stdout = BufReader::new(follower.stdout.take().expect("a pipe"));
    std::thread::spawn(move || stdout.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
    let next = || -> Value { serde_json::from_str(&lines.recv_timeout(SOON).expect("a line")).expect("an object") };
    let before = next();
    server.data_dir.account("newcomer", "pro");
    server.data_dir.key("newcomer", "subscriber");
    server.data_dir.value(&["account", "delete", "newcomer"]);
    let told: Vec<Value> = [next(), next()].iter().map(|entry| entry["action"].clone()).collect();
    let _ = follower.kill();
    let _ = follower.wait();
    assert_ne!(before["target"], "newcomer");
    assert_eq!(told, ["account.create", "account.delete"]);
}
