//! Identity that stays true: what changes about a key, an account or a token acts on the sockets that are open, within a
//! second. The times are printed (`cargo test --test server identity -- --nocapture`).

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use stentor::ws::CloseCode;

use crate::admin::operator;
use crate::http::{Reply, Request};
use crate::process::{OWNER, Server};
use crate::socket::{Received, Socket};
use crate::trade::numbered;
use crate::wait::SOON;
use crate::{channels, jwt, rooms, tiered};

/// From a change's completion, as whoever made it sees it, to its effect on a live socket.
const IN_TIME: Duration = Duration::from_secs(1);

/// Of nobody's watchlist to begin with.
const NEWCOMER: &str = "9xQeWvG816bUx9EPjHmaT23yvVM2ZWbrrpZb9PusVFin";

fn in_time(what: &str, took: Duration) {
    eprintln!("identity: {what}: {:.1} ms", took.as_secs_f64() * 1e3);
    assert!(took < IN_TIME, "{what}: {took:?}");
}

/// A session in each protocol that is opened with a key.
struct Sessions {
    watchlist: Socket,
    tiered: Socket,
    channels: Socket,
}

impl Sessions {
    fn open(server: &Server, key: &str) -> Self {
        let watchlist = Socket::open(server.address, &format!("/ws/alerts?apiKey={key}")).expect("an upgrade");
        let tiered = tiered::greeted(server, key);
        let mut channels = channels::authenticated(server, key);
        channels::subscribe(&mut channels, "price:a");
        Self { watchlist, tiered, channels }
    }

    /// Each must be closed with 4401 in time.
    fn expect_ends(self, what: &str, since: Instant) {
        for (protocol, mut socket) in
            [("watchlist", self.watchlist), ("tiered", self.tiered), ("channels", self.channels)]
        {
            expect_end(&mut socket, CloseCode::AUTHENTICATION, &format!("{what}, {protocol}"), since);
        }
    }
}

/// Publishes something for each session, which must come next.
fn expect_alive<const N: usize>(server: &Server, all: [&mut Sessions; N]) {
    let events = [numbered(OWNER, 1), tiered::alert(1), channels::event("price:a", 1)];
    let (first, last) = server.publish(&events);
    for sessions in all {
        assert_eq!(sessions.watchlist.trade()["seq"], first);
        assert_eq!(sessions.tiered.message("alert")["seq"], first + 1);
        assert_eq!(sessions.channels.message("price_update")["seq"], last);
    }
}

/// A close in time. Returns its reason.
fn expect_end(socket: &mut Socket, code: CloseCode, what: &str, since: Instant) -> String {
    match socket.receive_past_pings(SOON) {
        Some(Received::Close(got, reason)) if got == code.get() => {
            in_time(what, since.elapsed());
            reason
        }
        other => panic!("{what}: expected a close with {code:?}, got {other:?}"),
    }
}

/// The account that things are done to: elite, with every bot, and it watches [`OWNER`]. Returns a key of it.
fn subject(server: &Server, name: &str) -> String {
    let key = server.member(name, "elite", &["bot:*"]);
    server.data_dir.watch(name, &[OWNER]);
    key
}

/// A request that must succeed; returns when it had been answered, and the answer.
fn done(server: &Server, key: &str, request: Request) -> (Instant, Reply) {
    let reply = request.header("X-API-Key", key).send(server.address);
    let at = Instant::now();
    assert!(reply.status < 300, "{}", reply.text());
    (at, reply)
}

/// A command that must succeed, in a process of its own; returns when that had ended.
fn run(server: &Server, arguments: &[&str]) -> Instant {
    server.data_dir.value(arguments);
    Instant::now()
}

fn patch(account: &str, change: &Value) -> Request {
    Request::new("PATCH", &format!("/api/admin/accounts/{account}")).body(change.to_string())
}

#[test]
fn a_revoked_key_ends_its_sessions_and_no_others() {
    let server = Server::start();
    let admin = operator(&server, "ops");
    subject(&server, "alice");
    let key = || {
        let key = server.data_dir.key("alice", "subscriber");
        server.await_key(&key);
        key
    };
    let (kept, other) = (key(), server.subscriber.clone());
    let id_of = |key: &str| {
        let (_, reply) = done(&server, &kept, Request::get("/api/keys"));
        let keys = reply.json()["keys"].as_array().cloned().expect("keys");
        let found = keys.iter().find(|listed| listed["prefix"] == key[..12]).expect("its own key");
        found["id"].as_str().expect("an id").to_owned()
    };
    let mut same_account = Sessions::open(&server, &kept);
    let mut other_account = Sessions::open(&server, &other);
    type Revoke<'a> = &'a dyn Fn(&str) -> Instant;
    let ways: [(&str, Revoke<'_>); 3] = [
        ("key revoke", &|key| run(&server, &["key", "revoke", key])),
        ("DELETE /api/keys/{id} by the key itself", &|key| {
            done(&server, key, Request::new("DELETE", &format!("/api/keys/{}", id_of(key)))).0
        }),
        ("DELETE /api/admin/accounts/{name}/keys/{id}", &|key| {
            done(&server, &admin, Request::new("DELETE", &format!("/api/admin/accounts/alice/keys/{}", id_of(key)))).0
        }),
    ];
    for (what, revoke) in ways {
        let key = key();
        let sessions = Sessions::open(&server, &key);
        let since = revoke(&key);
        sessions.expect_ends(what, since);
        for parameter in ["apiKey", "api_key"] {
            let refused = Socket::open(server.address, &format!("/ws/alerts?{parameter}={key}"));
            assert_eq!(refused.expect_err("a revoked key").status, 401);
        }
        expect_alive(&server, [&mut same_account, &mut other_account]);
    }
}

#[test]
fn a_deleted_account_has_no_sessions() {
    let server = Server::start();
    let admin = operator(&server, "ops");
    let (mut bystander, mut user) = (Sessions::open(&server, &server.subscriber), rooms::of_user(&server, "a", &[]));
    for (name, what) in [("a", "account delete"), ("b", "DELETE /api/admin/accounts/{name}")] {
        let sessions = Sessions::open(&server, &subject(&server, name));
        let since = match name {
            "a" => run(&server, &["account", "delete", "a"]),
            _ => done(&server, &admin, Request::new("DELETE", "/api/admin/accounts/b")).0,
        };
        sessions.expect_ends(what, since);
        expect_alive(&server, [&mut bystander]);
    }
    // Users of tokens are no accounts, whatever they are called.
    server.publish(&[rooms::event("user:a", 1)]);
    rooms::expect_event(&mut user, 1);
}

#[test]
fn a_lowered_tier_ends_what_it_no_longer_includes_and_a_raised_one_nothing() {
    let server = Server::start();
    let admin = operator(&server, "ops");
    let mut bystander = Sessions::open(&server, &server.subscriber);
    for (name, what) in [("a", "account set --tier"), ("b", "PATCH /api/admin/accounts/{name}")] {
        let set = |tier: &str| match name {
            "a" => run(&server, &["account", "set", "a", "--tier", tier]),
            _ => done(&server, &admin, patch("b", &json!({ "tier": tier }))).0,
        };
        let Sessions { mut watchlist, mut tiered, mut channels } = Sessions::open(&server, &subject(&server, name));
        set("enterprise");
        let since = set("pro");
        let reason = expect_end(&mut watchlist, CloseCode::TIER, &format!("{what} pro, watchlist"), since);
        assert!(reason.contains("tier"), "{reason}");
        let (seq, _) = server.publish(&[tiered::alert(1)]);
        assert_eq!(tiered.message("alert")["seq"], seq, "pro includes alerts");
        let since = set("free");
        expect_end(&mut tiered, CloseCode::TIER, &format!("{what} free, tiered"), since);
        // Channels are for every tier.
        let (seq, _) = server.publish(&[channels::event("price:a", 1)]);
        assert_eq!(channels.message("price_update")["seq"], seq);
        bystander.tiered.message("alert");
        bystander.channels.message("price_update");
    }
    expect_alive(&server, [&mut bystander]);
}

#[test]
fn a_lost_grant_ends_its_subscriptions_with_a_word_and_leaves_the_others() {
    let server = Server::start();
    let admin = operator(&server, "ops");
    for (name, what) in [("a", "account set --revoke-grant"), ("b", "PATCH /api/admin/accounts/{name}")] {
        let key = server.member(name, "free", &["bot:kept", "bot:team_*"]);
        let mut sockets = [(); 2].map(|()| {
            let mut socket = channels::authenticated(&server, &key);
            ["bot:kept", "bot:team_1", "price:a"].iter().for_each(|topic| channels::subscribe(&mut socket, topic));
            socket
        });
        let since = match name {
            "a" => run(&server, &["account", "set", "a", "--revoke-grant", "bot:team_*"]),
            _ => done(&server, &admin, patch("b", &json!({ "revoke": ["bot:team_*"] }))).0,
        };
        for socket in &mut sockets {
            assert!(socket.expect_error("FORBIDDEN").contains("bot:team_1"));
            let left = socket.message("unsubscribed");
            in_time(what, since.elapsed());
            assert_eq!((&left["channel"], &left["botId"]), (&json!("bot"), &json!("team_1")), "{left}");
        }
        server.publish(&["bot:team_1", "bot:kept", "price:a"].map(|topic| channels::event(topic, topic.len())));
        for socket in &mut sockets {
            assert_eq!(socket.message("price_update")["number"], "bot:kept".len());
            assert_eq!(socket.message("price_update")["number"], "price:a".len());
            socket.say(&channels::command("subscribe", "bot:team_1"));
            socket.expect_error("FORBIDDEN");
        }
        // Given again, it can be subscribed to again, by the sessions that are there.
        done(&server, &admin, patch(name, &json!({ "grant": ["bot:team_1"] })));
        let [socket, _] = &mut sockets;
        channels::subscribe(socket, "bot:team_1");
        server.publish(&[channels::event("bot:team_1", 1)]);
        assert_eq!(socket.message("price_update")["number"], 1);
    }
}

#[test]
fn a_changed_watchlist_changes_what_arrives() {
    let server = Server::start();
    let mut socket = server.connect();
    // By the command line: asked again and again until it acts.
    let added = run(&server, &["account", "watch", "watcher", NEWCOMER]);
    let mut number = 0;
    loop {
        number += 2;
        server.publish(&[numbered(NEWCOMER, number), numbered(OWNER, number + 1)]);
        let came = socket.trade()["data"]["number"].as_u64().expect("a number") as usize;
        if came == number {
            in_time("account watch", added.elapsed());
            socket.trade();
            break;
        }
        assert!(added.elapsed() < SOON, "account watch does not act");
    }
    let removed = run(&server, &["account", "unwatch", "watcher", NEWCOMER]);
    loop {
        number += 2;
        server.publish(&[numbered(NEWCOMER, number), numbered(OWNER, number + 1)]);
        if socket.trade()["data"]["number"] == number + 1 {
            in_time("account unwatch", removed.elapsed());
            break;
        }
        socket.trade();
        assert!(removed.elapsed() < SOON, "account unwatch does not act");
    }
    // By a request: in force when it is answered, so the very next event is judged by it.
    let add = Request::post("/api/watchlist").body(json!({ "owner": NEWCOMER }).to_string());
    done(&server, &server.subscriber, add);
    server.publish(&[numbered(NEWCOMER, 1)]);
    assert_eq!(socket.trade()["data"]["number"], 1);
    done(&server, &server.subscriber, Request::new("DELETE", &format!("/api/watchlist/{NEWCOMER}")));
    server.publish(&[numbered(NEWCOMER, 2), numbered(OWNER, 3)]);
    assert_eq!(socket.trade()["data"]["number"], 3);
}

#[test]
fn a_token_ends_its_session_when_it_expires_and_not_before() {
    let server = Server::start();
    let token = |ttl: &str| server.token("u", &["--admin-level", "2", "--ttl", ttl]);
    let (short, longer) = (token("2s"), token("4s"));
    let mut in_message = rooms::open(&server);
    in_message.say(&rooms::auth(&short));
    let mut refreshed = rooms::open_with_token(&server, &short);
    refreshed.say(&rooms::auth(&longer));
    let mut bystander = rooms::of_user(&server, "u", &[]);
    for (what, mut socket, token) in [
        ("expiry of a token in the header", rooms::open_with_token(&server, &short), &short),
        ("expiry of a token in a message", in_message, &short),
        ("expiry of a token that took another's place", refreshed, &longer),
    ] {
        let (messages, code, reason) = socket.read_to_close();
        let late_ms = stentor::clock::unix_ms() as i64 - jwt::payload(token)["exp"].as_i64().expect("an end") * 1000;
        assert!(late_ms >= 0, "{what}: {late_ms} ms");
        in_time(what, Duration::from_millis(late_ms as u64));
        assert_eq!(code, CloseCode::AUTHENTICATION.get());
        let kinds: Vec<&str> = messages.iter().map(|message| message["type"].as_str().expect("a type")).collect();
        assert_eq!(kinds.first(), Some(&"connection"), "{messages:?}");
        assert!(kinds.contains(&"expiring"), "{messages:?}");
        let last = messages.last().expect("an error");
        assert_eq!((&last["type"], &last["code"]), (&json!("error"), &json!("AUTHENTICATION_FAILED")));
        assert!(reason.contains("expired"), "{reason}");
    }
    // Another session of the same user has a token of its own.
    server.publish(&[rooms::event("user:u", 1)]);
    rooms::expect_event(&mut bystander, 1);
}
