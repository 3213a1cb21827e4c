//! SIGHUP: the configuration is read again. What can change while the server runs is in force, what can't is named, and a file that
//! is refused changes nothing.

use std::net::TcpStream;
use std::time::Duration;

use crate::http::Request;
use crate::process::{OWNER, Server};
use crate::socket::Socket;
use crate::trade::trade;
use crate::wait::{SOON, until};
use crate::webhook_sink::Sink;

/// Writes the file anew, has it read, and waits until the server has said this.
fn reload(server: &Server, config: &str, word: &str) {
    std::fs::write(server.config_file(), config).expect("a file");
    let before = server.said().matches(word).count();
    server.reload();
    until(word, SOON, || (server.said().matches(word).count() > before).then_some(()));
}

const READ_AGAIN: &str = "the configuration was read again";

#[test]
fn limits_and_origins_are_in_force_for_whoever_comes_and_nobody_has_to_go() {
    let server = Server::configured("[limits]\nexempt_addresses = []\n");
    let mut first = server.connect();
    reload(&server, "[limits]\nexempt_addresses = []\nconnections_per_address = 1\n", READ_AGAIN);
    assert!(server.said().contains("`[limits] connections_per_address` changed from 1000 to 1: in force"));
    let refused = Socket::open(server.address, &server.alerts_path()).expect_err("one is enough");
    assert_eq!(refused.status, 429);
    let (seq, _) = server.publish(&[trade("trade.open", OWNER)]);
    assert_eq!(first.trade()["seq"], seq, "who is inside stays");
    let page = [("Origin", "https://app.example")];
    drop(first);
    until("room for another", SOON, || Socket::open_with(server.address, &server.alerts_path(), &page).ok());
    reload(&server, "[server]\nallowed_origins = []\n", READ_AGAIN);
    let refused = Socket::open_with(server.address, &server.alerts_path(), &page).expect_err("no page may");
    assert_eq!(refused.status, 403);
}

#[test]
fn a_sessions_rates_and_sizes_follow() {
    let server = Server::configured("");
    let mut socket = crate::channels::open(&server);
    reload(&server, "[limits]\nmessage_bytes = 1024\n", READ_AGAIN);
    // Shards look once a turn.
    std::thread::sleep(Duration::from_millis(200));
    socket.say(&format!(r#"{{"type":"auth","apiKey":"{}"}}"#, "x".repeat(2_000)));
    socket.expect_error("MESSAGE_TOO_LARGE");
    let mut slow = crate::channels::open(&server);
    reload(&server, "[limits]\nmessages_per_second = 1\nmessage_burst = 1\n", READ_AGAIN);
    std::thread::sleep(Duration::from_millis(200));
    slow.say_at_once(&[r#"{"type":"ping"}"#; 3]);
    slow.message("pong");
    slow.expect_error("RATE_LIMIT_EXCEEDED");
}

#[test]
fn what_can_not_change_is_named_and_left() {
    let server = Server::configured("");
    let changed = "[server]\nlisten = \"127.0.0.1:1\"\n[journal]\nsync = \"never\"\nretention_hours = 7\n[jwt]\nsecret = \
                   \"hush, hush, nobody is to know that\"\n";
    reload(&server, changed, READ_AGAIN);
    let said = server.said();
    for (key, value) in
        [("[journal] sync", "to \"never\""), ("[journal] retention_hours", "to 7"), ("[jwt] secret", "a secret")]
    {
        let line = said
            .lines()
            .find(|line| line.contains(&format!("`{key}` changed from ")))
            .unwrap_or_else(|| panic!("{said}"));
        assert!(line.contains(&format!("{value}: takes effect at the next start")), "{line}");
    }
    assert!(!said.contains("hush"), "{said}");
    assert!(!said.contains("listen` changed"), "a flag says where it listens, whatever the file says: {said}");
    assert!(TcpStream::connect(server.address).is_ok());
    // It is told each time, as it is still to come.
    let before = server.said().matches("`[journal] retention_hours` changed").count();
    reload(&server, changed, READ_AGAIN);
    assert_eq!(server.said().matches("`[journal] retention_hours` changed").count(), before + 1);
}

#[test]
fn a_file_that_is_refused_changes_nothing_and_is_told_with_its_line() {
    let server = Server::configured("[limits]\nexempt_addresses = []\n");
    let wrong = "[limits]\nexempt_addresses = []\nconnections_per_address = 1\nmesage_burst = 1\n";
    reload(&server, wrong, "nothing was reloaded");
    assert!(
        server.said().contains("line 4: unknown key `mesage_burst`: did you mean `message_burst`?"),
        "{}",
        server.said()
    );
    let _both = [(); 2].map(|()| server.connect());
    std::fs::remove_file(server.config_file()).expect("it is there");
    let before = server.said().matches("nothing was reloaded").count();
    server.reload();
    until("its word", SOON, || (server.said().matches("nothing was reloaded").count() > before).then_some(()));
    server.connect();
}

#[test]
fn where_webhooks_may_lead_follows() {
    let server = Server::configured("");
    let sink = Sink::start();
    let create = Request::post("/api/webhooks")
        .header("X-API-Key", &server.subscriber)
        .header("Content-Type", "application/json");
    let create = create.body(serde_json::json!({ "url": sink.url("/hook"), "events": ["trade.new"] }).to_string());
    assert_eq!(create.send(server.address).status, 400, "this machine is not public");
    reload(&server, "[webhooks]\nallow = [\"127.0.0.0/8\"]\n", READ_AGAIN);
    until("a webhook", SOON, || (create.send(server.address).status == 201).then_some(()));
}

#[test]
fn the_level_of_the_log_follows() {
    let server = Server::configured("[log]\nlevel = \"error\"\n");
    assert!(!server.said().contains("INFO"), "{}", server.said());
    reload(&server, "[log]\nlevel = \"info\"\nformat = \"json\"\n", READ_AGAIN);
    assert!(server.said().contains("INFO"));
    assert!(server.said().contains("`[log] format` changed from \"text\" to \"json\": takes effect at the next start"));
}
