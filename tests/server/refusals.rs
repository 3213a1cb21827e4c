//! Clients that come back for ever after 4403: each costs one upgrade, and its repeats are refused before theirs.
//! `scripts/bench-refusals` shows the same with a thousand of them.

use serde_json::json;
use stentor::ws::CloseCode;

use crate::admin::operator;
use crate::http::{Reply, Request};
use crate::limits::from;
use crate::process::Server;
use crate::socket::Socket;
use crate::tiered::alert;

/// A handshake of that key from that address, in the tiered protocol.
fn knock(server: &Server, source: &str, key: &str) -> Result<Socket, Reply> {
    Socket::open_on(from(source, server.address), &format!("/ws/alerts?api_key={key}"), b"")
}

/// Refused before the upgrade, with the time to wait.
fn assert_known(refused: &Reply) {
    let error = refused.error();
    assert_eq!((refused.status, error["code"].as_str()), (403, Some("FORBIDDEN")), "{error}");
    let wait: u64 = refused.header("retry-after").expect("a time to wait").parse().expect("seconds");
    assert!((1..=60).contains(&wait), "{wait}");
    let words = error["message"].as_str().expect("words");
    assert!(words.contains("tier") && words.contains(&wait.to_string()), "{words}");
}

#[test]
fn fifty_clients_that_never_stop_cost_an_upgrade_each_and_hold_nobody_up() {
    let server = Server::start();
    let admin = operator(&server, "ops");
    server.data_dir.account("crowd", "free");
    let clients: Vec<(String, String)> = (1..=50)
        .map(|number| {
            let create = Request::post("/api/admin/accounts/crowd/keys").body(r#"{"role":"subscriber"}"#);
            let reply = create.header("X-API-Key", &admin).send(server.address);
            let key = reply.json()["key"]["secret"].as_str().expect("a secret").to_owned();
            (format!("127.0.3.{number}"), key)
        })
        .collect();
    let mut healthy = server.connect();
    let mut upgrades = vec![0; clients.len()];
    for round in 0..20 {
        for ((source, key), upgrades) in clients.iter().zip(&mut upgrades) {
            match knock(&server, source, key) {
                Ok(mut socket) => {
                    *upgrades += 1;
                    socket.expect_close(CloseCode::TIER);
                }
                Err(refused) => assert_known(&refused),
            }
        }
        server.publish(&[crate::trade::numbered(crate::process::OWNER, round)]);
        assert_eq!(healthy.trade()["data"]["number"], round);
    }
    assert_eq!(upgrades, vec![1; clients.len()]);
}

#[test]
fn a_repeat_is_known_by_its_key_or_its_address_and_nobody_elses_is() {
    let server = Server::start();
    let keys = ["a", "b"].map(|name| server.member(name, "free", &[]));
    knock(&server, "127.0.3.1", &keys[0]).expect("an upgrade").expect_close(CloseCode::TIER);
    assert_known(&knock(&server, "127.0.3.2", &keys[0]).expect_err("the key came before"));
    assert_known(&knock(&server, "127.0.3.1", &keys[1]).expect_err("the address came before"));
    knock(&server, "127.0.3.2", &keys[1])
        .expect("a refusal before the upgrade is not remembered, so this is the first");
    // Who may come in is let in, from there too.
    knock(&server, "127.0.3.1", &server.subscriber).expect("an upgrade").message("connected");
}

#[test]
fn a_client_of_one_protocol_is_known_in_the_other() {
    let server = Server::start();
    let key = server.member("a", "free", &[]);
    let watchlist = |source| Socket::open_on(from(source, server.address), &format!("/ws/alerts?apiKey={key}"), b"");
    let reason = watchlist("127.0.3.1").expect("an upgrade").expect_close(CloseCode::TIER);
    assert!(reason.contains("elite"), "{reason}");
    assert_known(&watchlist("127.0.3.1").expect_err("a repeat"));
    assert_known(&knock(&server, "127.0.3.1", &key).expect_err("a repeat"));
}

#[test]
fn who_has_paid_meanwhile_is_let_in_at_once() {
    let server = Server::start();
    let admin = operator(&server, "ops");
    let key = server.member("a", "free", &[]);
    knock(&server, "127.0.3.1", &key).expect("an upgrade").expect_close(CloseCode::TIER);
    assert_known(&knock(&server, "127.0.3.1", &key).expect_err("a repeat"));
    let pay = Request::new("PATCH", "/api/admin/accounts/a").body(json!({ "tier": "pro" }).to_string());
    assert_eq!(pay.header("X-API-Key", &admin).send(server.address).status, 200);
    let mut socket = knock(&server, "127.0.3.1", &key).expect("an upgrade");
    assert_eq!(socket.message("connected")["tier"], "pro");
    let (seq, _) = server.publish(&[alert(1)]);
    assert_eq!(socket.message("alert")["seq"], seq);
}
