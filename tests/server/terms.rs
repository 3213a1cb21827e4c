//! `since` and `policy` in the address of a WebSocket: what is told before the upgrade, and what is let through.

use crate::process::{OWNER, Server};
use crate::socket::Socket;
use crate::trade::trade;

/// The four routes, as far as a client can be let in without a message.
fn paths(server: &Server) -> [String; 4] {
    let key = &server.subscriber;
    [format!("/ws/alerts?apiKey={key}"), format!("/ws/alerts?api_key={key}"), "/v1/ws?".into(), "/ws?".into()]
}

fn refused(server: &Server, path: &str) -> (u16, String, String) {
    let reply = Socket::open(server.address, path).expect_err(path);
    let error = reply.error();
    let text = |name: &str| error[name].as_str().expect("a text").to_owned();
    (reply.status, text("code"), text("message"))
}

#[test]
fn terms_that_can_not_be_kept_are_refused_before_the_upgrade_on_every_route() {
    let server = Server::start();
    server.publish(&[trade("trade.open", OWNER), trade("trade.close", OWNER)]);
    for path in paths(&server) {
        for (terms, code, words) in [
            ("since=now", "INVALID_REQUEST", ["since", "number"]),
            ("since=-1", "INVALID_REQUEST", ["since", "number"]),
            ("since=1.5", "INVALID_REQUEST", ["since", "number"]),
            ("since=", "INVALID_REQUEST", ["since", "number"]),
            ("since=3", "SINCE_IN_FUTURE", ["since=3", "is 2"]),
            ("policy=fast", "INVALID_REQUEST", ["policy", "catch-up"]),
            ("since=1&policy=", "INVALID_REQUEST", ["policy", "disconnect"]),
        ] {
            let (status, told, message) = refused(&server, &format!("{path}&{terms}"));
            assert_eq!((status, told.as_str()), (400, code), "{path} {terms}");
            assert!(words.iter().all(|word| message.contains(word)), "{path} {terms}: {message}");
        }
    }
}

#[test]
fn terms_that_can_be_kept_are_let_in_on_every_route() {
    let server = Server::start();
    server.publish(&[trade("trade.open", OWNER)]);
    for path in paths(&server) {
        for terms in ["since=0", "since=1&policy=latest", "policy=catch-up", "policy=disconnect&since=01"] {
            Socket::open(server.address, &format!("{path}&{terms}")).unwrap_or_else(|reply| {
                panic!("{path} {terms}: {}", reply.text());
            });
        }
    }
}

#[test]
fn whoever_may_not_come_in_is_told_that_and_nothing_of_the_numbers() {
    let server = Server::start();
    let (status, code, _) = refused(&server, "/ws/alerts?apiKey=stn_nobody&since=99");
    assert_eq!((status, code.as_str()), (401, "AUTHENTICATION_FAILED"));
}

#[test]
fn a_policy_is_the_clients_to_choose_where_the_operator_says_so() {
    let config = "[slow_consumers]\ntiered_policy = \"disconnect\"\nsession_choice = [\"watchlist\"]\n";
    let server = Server::configured(config);
    let [watchlist, tiered, ..] = paths(&server);
    for path in [format!("{watchlist}&policy=latest"), tiered.clone(), format!("{tiered}&policy=disconnect")] {
        Socket::open(server.address, &path).unwrap_or_else(|reply| panic!("{path}: {}", reply.text()));
    }
    let (status, code, message) = refused(&server, &format!("{tiered}&policy=catch-up"));
    assert_eq!((status, code.as_str()), (400, "INVALID_REQUEST"));
    assert!(message.contains("session_choice") && message.contains("disconnect"), "{message}");
}
