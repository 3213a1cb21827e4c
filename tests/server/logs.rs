//! The log: what is in it, that strangers can't flood it, and that no key, token or secret ever is.

use std::io::{Read, Write};
use std::net::TcpStream;

use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::{Value, json};
use stentor::limits::LINES_PER_WINDOW_MAX;

use crate::http::Request;
use crate::process::{OWNER, Server};
use crate::socket::Socket;
use crate::trade::trade;
use crate::wait::{SOON, until};
use crate::webhook_sink::{Answer, Sink};
use crate::{channels, rooms};

const JWT_SECRET: &str = "the-tokens-of-this-test-are-signed-with-this-secret";

/// What of a secret must not be said: all of it, or as much as would help to find it.
fn pieces(secret: &str) -> [&str; 3] {
    let rest = ["stn_", "whsec_"].into_iter().find_map(|prefix| secret.strip_prefix(prefix)).unwrap_or(secret);
    [secret, &rest[..8], &secret[secret.len() - 8..]]
}

/// Sends a request and has the beginning of its answer, which may be one that never ends.
fn knock(server: &Server, method: &str, path: &str, headers: &str, body: &str) {
    let mut stream = TcpStream::connect(server.address).expect("a connection");
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: stentor\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n{body}"
    );
    stream.write_all(request.as_bytes()).expect("a request");
    stream.set_read_timeout(Some(SOON)).expect("a timeout");
    assert!(stream.read(&mut [0; 4096]).expect("an answer") > 0);
}

fn token(secret: &str, claims: &Value) -> String {
    crate::jwt::signed("HS256", claims, &EncodingKey::from_secret(secret.as_bytes()), Algorithm::HS256)
}

#[test]
fn no_key_token_or_secret_is_ever_said() {
    let place = tempfile::tempdir().expect("a directory");
    let config = place.path().join("stentor.toml");
    let text = format!("[jwt]\nsecret = \"{JWT_SECRET}\"\n[webhooks]\nallow = [\"127.0.0.0/8\"]\nretry_seconds = []\n");
    std::fs::write(&config, &text).expect("a file");
    let flags =
        ["--shards", "2", "--config", config.to_str().expect("UTF-8"), "--log-level", "trace", "--log-format", "json"];
    let mut server = Server::start_with(&flags, |_| {});
    server.data_dir.account("ops", "enterprise");
    let admin = server.data_dir.key("ops", "admin");
    let member = server.member("member", "elite", &["bot:*"]);
    let unknown = format!("stn_{}", &"Zq7Kp3Xw9v".repeat(5)[..43]);
    let claims = json!({ "sub": "u1", "exp": crate::jwt::now_s() + 600 });
    let (token, forged) = (token(JWT_SECRET, &claims), token("another secret, which is nobody's at all", &claims));
    let mut secrets: Vec<String> =
        [&server.subscriber, &server.publisher, &admin, &member, &unknown, &token, &forged, JWT_SECRET]
            .into_iter()
            .map(|secret| secret.to_owned())
            .collect();

    // In addresses, headers and messages, good and bad, and where none belongs.
    let _sessions: Vec<Socket> = [&server.subscriber, &unknown, &server.publisher, &token]
        .into_iter()
        .flat_map(|key| {
            [
                format!("/ws/alerts?apiKey={key}"),
                format!("/ws/alerts?api_key={key}&since=0"),
                format!("/ws?token={key}"),
            ]
        })
        .filter_map(|path| Socket::open(server.address, &path).ok())
        .collect();
    for key in [&member, &unknown, &server.publisher, &token] {
        let mut socket = channels::open(&server);
        socket.say(&json!({ "type": "auth", "apiKey": key, "topics": ["price:M", key] }).to_string());
        socket.say(&json!({ "type": "subscribe", "channel": "bot", "botId": key }).to_string());
        socket.say(key);
        socket.say(r#"{"type":"ping"}"#);
        let _ = socket.next_message();
    }
    for token in [&token, &forged, &member] {
        let bearer = format!("Bearer {token}");
        let opened = Socket::open_with(server.address, "/ws", &[("Authorization", &bearer)]);
        opened.expect("told by messages").next_message();
        let mut socket = Socket::open(server.address, "/ws").expect("an upgrade");
        socket.say(&rooms::auth(token));
        socket.next_message();
    }
    for secret in secrets.clone() {
        for path in [
            "/api/events?topic=alerts",
            "/events/stream?topic=wallet:*",
            "/alerts/latest",
            "/api/keys",
            "/api/webhooks",
        ] {
            let separator = if path.contains('?') { '&' } else { '?' };
            knock(&server, "GET", path, &format!("X-API-Key: {secret}\r\n"), "");
            knock(&server, "GET", path, &format!("Authorization: Bearer {secret}\r\n"), "");
            knock(&server, "GET", &format!("{path}{separator}api_key={secret}"), "", "");
            knock(&server, "GET", &format!("{path}{separator}token={secret}"), "", "");
        }
        knock(&server, "GET", &format!("/{secret}"), "", "");
        knock(&server, "DELETE", &format!("/api/keys/{secret}"), &format!("X-API-Key: {admin}\r\n"), "");
        knock(
            &server,
            "POST",
            "/api/events",
            &format!("X-API-Key: {secret}\r\n"),
            &format!("{{\"type\":\"{secret}\"}}"),
        );
    }
    let made = Request::post("/api/keys").header("X-API-Key", &member).header("Content-Type", "application/json");
    let made = made.body(r#"{"role":"subscriber"}"#).send(server.address);
    secrets.push(made.json()["key"]["secret"].as_str().unwrap_or_else(|| panic!("{}", made.text())).to_owned());

    // Webhooks: their secrets, and URLs that are secrets by themselves; one endpoint that is content and one that fails.
    let sink = Sink::answering(|_, post| Answer::of(if post.path.contains("bad") { 500 } else { 200 }));
    for path in ["/good?access=Tk4uYt8RrWq2", "/bad?access=Tk4uYt8RrWq2"] {
        let create = Request::post("/api/webhooks").header("X-API-Key", &server.subscriber);
        let create = create.header("Content-Type", "application/json");
        let made =
            create.body(json!({ "url": sink.url(path), "events": ["trade.new"] }).to_string()).send(server.address);
        let webhook = made.json()["webhook"].clone();
        secrets.push(webhook["secret"].as_str().unwrap_or_else(|| panic!("{}", made.text())).to_owned());
        let again = format!("/api/webhooks/{}/secret", webhook["id"].as_str().expect("an id"));
        let again = Request::post(&again).header("X-API-Key", &server.subscriber).send(server.address);
        secrets.push(again.json()["webhook"]["secret"].as_str().expect("a secret").to_owned());
        let test = format!("/api/webhooks/{}/test", webhook["id"].as_str().expect("an id"));
        Request::post(&test).header("X-API-Key", &server.subscriber).send(server.address);
    }
    secrets.push("Tk4uYt8RrWq2".to_owned());
    server.publish(&[trade("trade.open", OWNER)]);
    sink.posts("/good?access=Tk4uYt8RrWq2", 1);
    sink.posts("/bad?access=Tk4uYt8RrWq2", 1);

    server.data_dir.value(&["key", "revoke", &member]);
    std::fs::write(&config, text.replace(JWT_SECRET, "another secret of the operator, not to be told"))
        .expect("a file");
    secrets.push("another secret of the operator, not to be told".to_owned());
    server.reload();
    server.await_word("the configuration was read again");
    server.stop();

    let said = server.said();
    assert!(said.lines().count() > 20, "it is at its loudest: {said}");
    for secret in &secrets {
        for piece in pieces(secret) {
            assert!(!said.contains(piece), "{piece} of {secret} is said: {said}");
        }
    }
    for prefix in ["stn_", "whsec_", "eyJ", "signed-with"] {
        assert!(!said.contains(prefix), "{prefix}: {said}");
    }
}

#[test]
fn a_log_for_programs_is_an_object_a_line_with_who_and_what() {
    let mut server = Server::start_with(&["--shards", "1", "--log-format", "json"], |_| {});
    server.member("member", "pro", &[]);
    Request::get("/alerts/latest").header("X-API-Key", "stn_wrong").send(server.address);
    server.stop();
    let said = server.said();
    let lines: Vec<Value> =
        said.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect();
    let line = |words: &str| {
        let found = lines.iter().find(|line| line["message"].as_str().is_some_and(|message| message.contains(words)));
        found.unwrap_or_else(|| panic!("{words}: {said}"))
    };
    assert_eq!(line("the server runs")["version"], env!("CARGO_PKG_VERSION"));
    line("account member was created, tier pro");
    line("subscriber key");
    let refused = line("a request was refused");
    assert_eq!((refused["level"].as_str(), refused["code"].as_str()), (Some("WARN"), Some("AUTHENTICATION_FAILED")));
    assert_eq!(refused["client"], "127.0.0.1");
    line("stopping: closing 0 sockets");
    assert_eq!(line("stopped")["in_order"], true);
}

#[test]
fn a_flood_of_refused_requests_is_a_few_lines() {
    let server = Server::start();
    for _ in 0..200 {
        Request::get("/alerts/latest").header("X-API-Key", "stn_wrong").send(server.address);
    }
    let lines = server.said().matches("a request was refused").count() as u64;
    // They take less than a window, and may lie in two.
    assert!((1..=2 * LINES_PER_WINDOW_MAX).contains(&lines), "{lines}");
}

#[test]
fn the_flag_wins_over_the_environment_and_that_over_the_file() {
    let place = tempfile::tempdir().expect("a directory");
    let config = place.path().join("stentor.toml");
    std::fs::write(&config, "[log]\nlevel = \"error\"\n").expect("a file");
    let file = ["--config", config.to_str().expect("UTF-8")];
    let is_told = |flags: &[&str], environment: Option<&str>| {
        let server = Server::start_with(flags, |command| {
            command.env_remove("RUST_LOG");
            environment.map(|level| command.env("RUST_LOG", level));
        });
        server.member("member", "pro", &[]);
        server.said().contains("account member was created")
    };
    assert!(is_told(&[], None), "it is `info`");
    assert!(!is_told(&file, None));
    assert!(is_told(&file, Some("info")));
    assert!(!is_told(&[&file[..], &["--log-level", "warn"]].concat(), Some("info")));
}

#[test]
fn a_slow_consumer_is_told_with_whose_it_is() {
    let server = Server::start_with(&["--shards", "1"], |_| {});
    let _deaf = server.connect();
    let pad = "x".repeat(60_000);
    let mut event = trade("trade.open", OWNER);
    event["data"]["pad"] = pad.into();
    until("a slow consumer", SOON * 3, || {
        server.publish(&vec![event.clone(); 20]);
        server.said().contains("a slow consumer falls behind").then_some(())
    });
    let said = server.said();
    let line = said.lines().find(|line| line.contains("a slow consumer")).expect("it was said");
    assert!(line.contains("account watcher") && line.contains("catch-up") && line.contains("WARN"), "{line}");
}
