//! The watchlist protocol end to end: which trades reach a session, and in which form.

use std::time::Duration;

use serde_json::{Value, json};
use stentor::limits;
use stentor::ws::CloseCode;

use crate::http::Request;
use crate::process::{OWNER, Server};
use crate::socket::{Received, Socket};
use crate::trade::{TRIGGERS, numbered, trade};
use crate::wait::{SOON, until};

/// Of nobody's watchlist to begin with.
const NEWCOMER: &str = "9xQeWvG816bUx9EPjHmaT23yvVM2ZWbrrpZb9PusVFin";

#[test]
fn the_four_triggers_arrive_with_all_eight_fields_and_their_number() {
    let server = Server::start();
    let mut socket = server.connect();
    for (kind, trade_type) in TRIGGERS {
        let event = trade(kind, OWNER);
        let (seq, _) = server.publish(std::slice::from_ref(&event));
        let mut data = event["data"].clone();
        data["tradeType"] = trade_type.into();
        assert_eq!(data.as_object().map(serde_json::Map::len), Some(8));
        assert_eq!(socket.trade(), json!({ "type": "trade", "seq": seq, "data": data }), "{kind}");
    }
}

#[test]
fn only_watched_wallets_arrive() {
    let server = Server::start();
    let mut socket = server.connect();
    let events: Vec<Value> =
        (0..20).map(|number| numbered(if number % 2 == 0 { NEWCOMER } else { OWNER }, number)).collect();
    server.publish(&events);
    for number in (1..20).step_by(2) {
        assert_eq!(socket.trade()["data"]["number"], number);
    }
}

#[test]
fn sessions_of_two_accounts_get_their_own_trades() {
    let server = Server::start();
    server.data_dir.account("other", "enterprise");
    server.data_dir.watch("other", &[NEWCOMER]);
    let key = server.data_dir.key("other", "subscriber");
    let path = format!("/ws/alerts?apiKey={key}");
    // The key was made while the server runs: it is live within a second.
    let mut other = until("a new key's first session", SOON, || Socket::open(server.address, &path).ok());
    let mut watcher = server.connect();
    server.publish(&[numbered(OWNER, 1), numbered(NEWCOMER, 2), numbered(OWNER, 3), numbered(NEWCOMER, 4)]);
    let numbers = |socket: &mut Socket| [(); 2].map(|()| socket.trade()["data"]["number"].as_u64().expect("a number"));
    assert_eq!(numbers(&mut watcher), [1, 3]);
    assert_eq!(numbers(&mut other), [2, 4]);
}

#[test]
fn an_added_owner_reaches_a_connected_session_and_a_removed_one_does_not() {
    let server = Server::start();
    let mut socket = server.connect();
    let edit = |request: Request| {
        let reply = request.header("X-API-Key", &server.subscriber).send(server.address);
        assert_eq!(reply.status, 200, "{}", reply.text());
        reply.json()
    };
    // After each answer, no later event may be judged by the old list.
    let added = edit(Request::post("/api/watchlist").body(json!({ "owner": NEWCOMER }).to_string()));
    assert_eq!((&added["added"], &added["total"]), (&json!(1), &json!(2)));
    server.publish(&[numbered(NEWCOMER, 1)]);
    assert_eq!(socket.trade()["data"]["number"], 1);

    let removed = edit(Request::new("DELETE", &format!("/api/watchlist/{NEWCOMER}")));
    assert_eq!((&removed["removed"], &removed["total"]), (&json!(1), &json!(1)));
    server.publish(&[numbered(NEWCOMER, 2), numbered(OWNER, 3)]);
    assert_eq!(socket.trade()["data"]["number"], 3);

    let replaced = edit(Request::new("PUT", "/api/watchlist").body(json!({ "owners": [NEWCOMER] }).to_string()));
    assert_eq!((&replaced["added"], &replaced["removed"]), (&json!(1), &json!(1)));
    server.publish(&[numbered(OWNER, 4), numbered(NEWCOMER, 5)]);
    assert_eq!(socket.trade()["data"]["number"], 5);
    assert_eq!(edit(Request::get("/api/watchlist"))["owners"], json!([NEWCOMER]));
}

#[test]
fn an_owner_is_removed_by_its_name_in_the_path_escaped_or_not() {
    let server = Server::start();
    let edit = |request: Request| request.header("X-API-Key", &server.subscriber).send(server.address);
    for (owner, path) in [("a:b", "a%3Ab"), ("a:b", "a:b"), ("a/b", "a/b"), ("a/b", "a%2Fb"), ("100%", "100%25")] {
        let added = edit(Request::post("/api/watchlist").body(json!({ "owner": owner }).to_string()));
        assert_eq!(added.json()["added"], 1, "{owner}: {}", added.text());
        let remove = || edit(Request::new("DELETE", &format!("/api/watchlist/{path}"))).json();
        assert_eq!(remove()["removed"], 1, "{owner} as {path}");
        assert_eq!(remove(), json!({ "success": true, "removed": 0, "total": 1 }), "a repeat");
    }
    for invalid in ["a%20b", "%ff", "%C3%A9"] {
        let refused = edit(Request::new("DELETE", &format!("/api/watchlist/{invalid}")));
        assert_eq!((refused.status, refused.error()["code"].as_str()), (400, Some("INVALID_OWNER")), "{invalid}");
    }
}

#[test]
fn a_watchlist_is_replaced_by_as_many_owners_as_it_holds_however_often_they_are_named() {
    let server = Server::start();
    let replace = |owners: &[String]| {
        let request = Request::new("PUT", "/api/watchlist").header("X-API-Key", &server.subscriber);
        request.body(json!({ "owners": owners }).to_string()).send(server.address)
    };
    // The longest that there are.
    let mut owners: Vec<String> = (0..limits::WATCHLIST_OWNERS_MAX).map(|number| format!("{number:0128}")).collect();
    owners.push(owners[0].clone());
    let replaced = replace(&owners);
    assert_eq!(replaced.status, 200, "{}", replaced.text());
    assert_eq!(replaced.json()["total"], limits::WATCHLIST_OWNERS_MAX);
    owners.push(NEWCOMER.to_owned());
    let refused = replace(&owners);
    assert_eq!((refused.status, &refused.error()["code"]), (409, &json!("WATCHLIST_FULL")));
}

#[test]
fn a_change_on_the_command_line_reaches_a_connected_session() {
    let server = Server::start();
    let mut socket = server.connect();
    server.data_dir.watch("watcher", &[NEWCOMER]);
    // The server follows within a second; a busy machine may take longer.
    let arrived = until("a trade of the owner that was added", SOON, || {
        server.publish(&[trade("trade.open", NEWCOMER)]);
        socket.receive_past_pings(Duration::from_millis(100))
    });
    assert!(matches!(arrived, Received::Text(_)), "{arrived:?}");

    server.data_dir.value(&["account", "unwatch", "watcher", NEWCOMER]);
    until("an end of the removed owner's trades", SOON, || {
        server.publish(&[trade("trade.open", NEWCOMER)]);
        let (marker, _) = server.publish(&[trade("trade.open", OWNER)]);
        let mut removed_came = false;
        while socket.trade()["seq"] != marker {
            removed_came = true;
        }
        (!removed_came).then_some(())
    });
}

#[test]
fn a_burst_reaches_fifty_sockets_in_order_and_once() {
    let server = Server::start();
    let mut sockets: Vec<Socket> = (0..50).map(|_| server.connect()).collect();
    let events: Vec<Value> = (0..1000).map(|number| numbered(OWNER, number)).collect();
    let (first_seq, last_seq) = server.publish(&events);
    assert_eq!(last_seq - first_seq, 999);
    for socket in &mut sockets {
        for number in 0..1000 {
            let trade = socket.trade();
            assert_eq!((&trade["seq"], &trade["data"]["number"]), (&json!(first_seq + number), &json!(number)));
        }
    }
    // One event more: nothing came twice in between.
    let (seq, _) = server.publish(&[trade("trade.close", OWNER)]);
    assert!(sockets.iter_mut().all(|socket| socket.trade()["seq"] == seq));
    for mut socket in sockets {
        socket.send_close(CloseCode::NORMAL, "");
        socket.expect_close(CloseCode::NORMAL);
    }
}
