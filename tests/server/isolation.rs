//! Nobody gets what is another's: users, administrators' levels, bots, watchlists, roles of keys; and no forged token is
//! believed.

use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::{Value, json};
use stentor::ws::CloseCode;

use crate::http::Request;
use crate::jwt::{corpus, now_s, rsa, signed, unsigned};
use crate::process::{OWNER, Server};
use crate::rooms::{event, expect_event, greeting, of_user};
use crate::socket::Socket;
use crate::trade::numbered;
use crate::{channels, rooms, tiered};

#[test]
fn a_users_events_reach_that_user_alone_whatever_others_are_called() {
    let server = Server::start();
    let users = ["a", "A", "ab", "a:b", "user:a", "a*", "*", "admin:9", "system"];
    let mut sockets = users.map(|user| of_user(&server, user, &[]));
    // A session that has found out another's name tries to get in.
    for (user, socket) in users.iter().zip(&mut sockets) {
        for other in users.iter().filter(|other| *other != user) {
            for kind in ["subscribe", "unsubscribe"] {
                socket.say(&json!({ "type": kind, "channel": format!("user:{other}") }).to_string());
                assert!(socket.expect_error("FORBIDDEN").contains("another user"), "{user} as {other}");
            }
        }
    }
    let mut events: Vec<Value> =
        users.iter().enumerate().map(|(number, user)| event(&format!("user:{user}"), number)).collect();
    events.push(event("user:nobody", 99));
    events.push(event("system", 100));
    server.publish(&events);
    for (number, socket) in sockets.iter_mut().enumerate() {
        expect_event(socket, number);
        expect_event(socket, 100);
    }
}

#[test]
fn an_admin_topic_needs_its_level() {
    let server = Server::start();
    let levels = [None, Some(0), Some(1), Some(3)];
    let mut sockets = levels.map(|level| match level {
        None => of_user(&server, "plain", &[]),
        // The same user with and without a level: it is the token that counts.
        Some(level) => of_user(&server, "plain", &["--admin-level", &level.to_string()]),
    });
    for (level, socket) in levels.iter().zip(&mut sockets) {
        for room in 0..5 {
            socket.say(&json!({ "type": "subscribe", "channel": format!("admin:{room}") }).to_string());
            if level.is_some_and(|level| level >= room) {
                let answer = socket.message("room_subscription");
                let own = format!("admin:{}", level.expect("a level"));
                assert_eq!(answer["subscribedRooms"], json!(["user:plain", own]), "{answer}");
            } else {
                assert!(socket.expect_error("FORBIDDEN").contains("admin_level"));
            }
        }
    }
    let mut events: Vec<Value> = (0..5).map(|room| event(&format!("admin:{room}"), room)).collect();
    events.push(event("system", 100));
    server.publish(&events);
    for (level, socket) in levels.iter().zip(&mut sockets) {
        // Once each, although some were named too.
        (0..=4).filter(|room| level.is_some_and(|level| level >= *room)).for_each(|room| {
            expect_event(socket, room);
        });
        expect_event(socket, 100);
    }
}

#[test]
fn a_newer_token_takes_an_administrators_level_away_or_gives_it() {
    let server = Server::start();
    let mut lowered = of_user(&server, "u", &["--admin-level", "2"]);
    let mut raised = of_user(&server, "u", &[]);
    for (socket, more) in [(&mut lowered, &[][..]), (&mut raised, &["--admin-level", "2"])] {
        socket.say(&rooms::auth(&server.token("u", more)));
        greeting(socket, "u");
    }
    server.publish(&[event("admin:2", 1), event("user:u", 2)]);
    expect_event(&mut lowered, 2);
    expect_event(&mut raised, 1);
    expect_event(&mut raised, 2);
}

const ISSUER: &str = "https://id.example";
const AUDIENCE: &str = "stentor";

/// What the server of [`strict`] believes, where the right key signs it.
fn believed() -> Value {
    json!({ "sub": "victim", "iss": ISSUER, "aud": AUDIENCE, "exp": now_s() + 600 })
}

/// The same with some members changed; null takes one away.
fn with(changes: &Value) -> Value {
    let mut payload = believed();
    for (name, value) in changes.as_object().expect("an object") {
        payload[name] = value.clone();
    }
    payload.as_object_mut().expect("an object").retain(|_, value| !value.is_null());
    payload
}

fn rs256(payload: &Value) -> String {
    signed("RS256", payload, &rsa(), Algorithm::RS256)
}

/// A server that believes tokens of one RSA key, one issuer and one audience.
fn strict() -> Server {
    let file = corpus("rsa-public.pem");
    Server::configured(&format!(
        "[jwt]\npublic_key_file = {file:?}\nissuer = \"{ISSUER}\"\naudience = \"{AUDIENCE}\"\n"
    ))
}

/// Tokens that must not be believed, and what their bearers are told.
fn attacks() -> Vec<(String, String, &'static str)> {
    const ALGORITHM: &str = "must be signed with RS256";
    const SIGNATURE: &str = "signature is wrong";
    let mut attacks = Vec::new();
    let mut add = |name: &str, token: String, told| attacks.push((name.to_owned(), token, told));
    let good = believed();
    let valid = rs256(&good);
    let valid_signature = valid.rsplit_once('.').expect("three parts").1;
    for alg in ["none", "None", "NONE", "nOnE", ""] {
        add(&format!("alg {alg:?} without a signature"), unsigned(alg, &good) + ".", ALGORITHM);
        add(&format!("alg {alg:?} with one"), format!("{}.{valid_signature}", unsigned(alg, &good)), ALGORITHM);
    }
    // The public key is public: whoever knows it must not be able to use it as a secret, in any of its forms.
    let pem = std::fs::read(corpus("rsa-public.pem")).expect("a file");
    let lines = String::from_utf8(pem.clone()).expect("text");
    let body: String = lines.lines().filter(|line| !line.starts_with('-')).collect();
    let der = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, &body).expect("base64");
    let secrets: [(&str, &[u8]); 5] = [
        ("the PEM file", &pem),
        ("the PEM file without its last line break", pem.trim_ascii_end()),
        ("its base64", body.as_bytes()),
        ("the DER form", &der),
        ("nothing", b""),
    ];
    for (name, secret) in secrets {
        let key = EncodingKey::from_secret(secret);
        add(&format!("HS256 with {name}"), signed("HS256", &good, &key, Algorithm::HS256), ALGORITHM);
        add(&format!("HS256 with {name} under RS256"), signed("RS256", &good, &key, Algorithm::HS256), SIGNATURE);
    }
    let curve = std::fs::read(corpus("p256-private.pem")).expect("a file");
    let curve = EncodingKey::from_ec_pem(&curve).expect("a key");
    add("ES256 with a key of one's own", signed("ES256", &good, &curve, Algorithm::ES256), ALGORITHM);
    add("another RSA algorithm", signed("RS512", &good, &rsa(), Algorithm::RS512), ALGORITHM);
    add("no signature", unsigned("RS256", &good) + ".", SIGNATURE);
    for changes in [json!({ "sub": "another" }), json!({ "admin_level": 9 }), json!({ "exp": now_s() + 9_999_999 })] {
        let tampered = format!("{}.{valid_signature}", unsigned("RS256", &with(&changes)));
        add(&format!("the valid signature under {changes}"), tampered, SIGNATURE);
    }
    for (changes, told) in [
        (json!({ "exp": now_s() - 1 }), "expired"),
        (json!({ "exp": now_s() }), "expired"),
        (json!({ "exp": null }), "exp"),
        (json!({ "nbf": now_s() + 120 }), "not valid yet"),
        (json!({ "aud": "another" }), "(aud)"),
        (json!({ "aud": null }), "(aud)"),
        (json!({ "iss": "https://evil.example" }), "(iss)"),
        (json!({ "iss": null }), "(iss)"),
        (json!({ "sub": null }), "(sub)"),
        (json!({ "userId": "another" }), "two users"),
    ] {
        add(&changes.to_string(), rs256(&with(&changes)), told);
    }
    add("no token", "x".into(), "not a JSON Web Token");
    add("a long one", format!("{valid}{}", "A".repeat(8192)), "longer than");
    attacks
}

/// A token that is not believed is told in the message that the protocol's clients wait for, then as an error, then 4401.
fn assert_refused(what: &str, socket: &mut Socket, told: &str) {
    let (messages, code, reason) = socket.read_to_close();
    let [connection, error] = &messages[..] else { panic!("{what}: {messages:?}") };
    assert_eq!((&connection["type"], &connection["status"]), (&json!("connection"), &json!("error")), "{what}");
    assert_eq!((&error["type"], &error["code"]), (&json!("error"), &json!("AUTHENTICATION_FAILED")), "{what}");
    assert_eq!(code, CloseCode::AUTHENTICATION.get(), "{what}");
    assert_eq!(connection["message"], error["message"], "{what}");
    let words = error["message"].as_str().expect("words");
    assert!(words.contains(told) && words.starts_with(&reason) && !reason.is_empty(), "{what}: {words} / {reason}");
}

#[test]
fn no_forged_token_opens_a_session_in_the_header_or_in_a_message() {
    let server = strict();
    let accepted = rs256(&believed());
    for (what, token, told) in attacks() {
        let mut in_header = rooms::open_with_token(&server, &token);
        // What is sent behind it opens nothing either.
        in_header.say(&rooms::auth(&accepted));
        assert_refused(&format!("{what}, in the header"), &mut in_header, told);
        let mut in_message = rooms::open(&server);
        in_message.say_at_once(&[&rooms::auth(&token), &rooms::auth(&accepted)]);
        assert_refused(&format!("{what}, in a message"), &mut in_message, told);
    }
    for scheme in ["Basic", "Token", ""] {
        let header = format!("{scheme} {accepted}");
        let mut socket = Socket::open_with(server.address, "/ws", &[("Authorization", &header)]).expect("an upgrade");
        assert_refused(&format!("the scheme {scheme:?}"), &mut socket, "not a JSON Web Token");
    }
    // And it is not that nothing would be believed.
    greeting(&mut rooms::open_with_token(&server, &accepted), "victim");
    let mut in_message = rooms::open(&server);
    in_message.say(&rooms::auth(&rs256(&with(&json!({ "aud": ["x", AUDIENCE], "nbf": now_s() })))));
    greeting(&mut in_message, "victim");
}

#[test]
fn no_forged_token_extends_a_session_or_raises_it() {
    let server = strict();
    let attacks = attacks();
    // One that goes on and on is closed: rooms.rs.
    for few in attacks.chunks(8) {
        let mut socket = rooms::open_with_token(&server, &rs256(&believed()));
        greeting(&mut socket, "victim");
        for (what, token, told) in few {
            socket.say(&rooms::auth(token));
            let words = socket.expect_error("AUTHENTICATION_FAILED");
            assert!(words.contains(told), "{what}: {words}");
        }
        server.publish(&[event("admin:0", 1), event("user:another", 2), event("user:victim", 3)]);
        expect_event(&mut socket, 3);
    }
}

#[test]
fn a_token_of_the_servers_own_secret_is_worth_nothing_where_another_key_is_configured() {
    let server = strict();
    let minted = server.data_dir.value(&["token", "mint", "--user", "victim"]);
    assert_refused("a minted token", &mut rooms::open_with_token(&server, &minted), "must be signed with RS256");
}

#[test]
fn a_bot_without_a_grant_is_out_of_reach_by_every_name() {
    let server = Server::start();
    server.member("owner", "free", &["bot:secret"]);
    let mut socket = channels::authenticated(&server, &server.subscriber);
    for (text, code) in [
        (r#"{"type":"subscribe","channel":"bot","botId":"secret"}"#, "FORBIDDEN"),
        (r#"{"type":"subscribe","channel":"bot","botId":"*"}"#, "FORBIDDEN"),
        (r#"{"type":"subscribe","channel":"bot","botId":"s\u0065cret"}"#, "FORBIDDEN"),
        (r#"{"type":"subscribe","channel":"bot","mint":"secret","wallet":"secret"}"#, "INVALID_MESSAGE"),
        (r#"{"type":"subscribe","channel":"bot:secret","botId":"x"}"#, "INVALID_MESSAGE"),
        (r#"{"type":"subscribe","channel":"user","userId":"u"}"#, "INVALID_MESSAGE"),
        (
            r#"{"type":"subscribe","channel":"price","channel":"bot","mint":"secret","botId":"secret"}"#,
            "INVALID_MESSAGE",
        ),
    ] {
        socket.say(text);
        socket.expect_error(code);
    }
    // A name that looks like the topic is a name.
    for topic in ["price:bot:secret", "transactions:bot:secret", "price:secret"] {
        channels::subscribe(&mut socket, topic);
    }
    let secret = |topic| channels::event(topic, 1);
    server.publish(&[secret("bot:secret"), secret("transactions:secret"), channels::event("price:secret", 2)]);
    assert_eq!(socket.message("price_update")["number"], 2);
}

#[test]
fn a_watchlist_is_its_accounts_alone() {
    let server = Server::start();
    let other = server.member("other", "elite", &[]);
    let mut mine = server.connect();
    let mut theirs = Socket::open(server.address, &format!("/ws/alerts?apiKey={other}")).expect("an upgrade");
    let edit = |key: &str, request: Request| {
        let reply = request.header("X-API-Key", key).send(server.address);
        assert_eq!(reply.status, 200, "{}", reply.text());
        reply.json()
    };
    edit(&other, Request::new("PUT", "/api/watchlist").body(r#"{"owners":["theirs","both"]}"#));
    edit(&server.subscriber, Request::new("PUT", "/api/watchlist").body(r#"{"owners":["mine","both"]}"#));
    let owners = ["mine", "theirs", "both", OWNER];
    let publish = || server.publish(&[0, 1, 2, 3].map(|number| numbered(owners[number], number)));
    publish();
    for (socket, numbers) in [(&mut mine, [0, 2]), (&mut theirs, [1, 2])] {
        numbers.iter().for_each(|number| assert_eq!(socket.trade()["data"]["number"], *number));
    }
    // What the one takes off its list stays on the other's.
    edit(&other, Request::new("DELETE", "/api/watchlist/both"));
    assert_eq!(edit(&server.subscriber, Request::get("/api/watchlist"))["owners"], json!(["both", "mine"]));
    publish();
    publish();
    for number in [0, 2, 0, 2] {
        assert_eq!(mine.trade()["data"]["number"], number);
    }
    for number in [1, 1] {
        assert_eq!(theirs.trade()["data"]["number"], number);
    }
}

/// The status of a request with that key.
fn status(server: &Server, request: Request, key: &str) -> u16 {
    let reply = request.header("X-API-Key", key).send(server.address);
    reply.error();
    reply.status
}

#[test]
fn a_publisher_key_publishes_and_opens_nothing() {
    let server = Server::start();
    let key = &server.publisher;
    for path in ["/ws/alerts?apiKey=", "/ws/alerts?api_key="] {
        let refused = Socket::open(server.address, &format!("{path}{key}")).expect_err("a publisher");
        assert_eq!((refused.status, refused.error()["code"].as_str()), (403, Some("FORBIDDEN")));
    }
    let mut socket = channels::open(&server);
    socket.say(&channels::auth(key));
    assert!(socket.expect_error("AUTHENTICATION_FAILED").contains("publisher"));
    socket.expect_close(CloseCode::AUTHENTICATION);
    assert_refused("a key as a token", &mut rooms::open_with_token(&server, key), "not a JSON Web Token");
    for path in ["/alerts/latest", "/api/watchlist", "/api/keys", "/api/admin/accounts"] {
        assert_eq!(status(&server, Request::get(path), key), 403, "{path}");
    }
    let list = Request::new("PUT", "/api/watchlist").body(r#"{"owners":[]}"#);
    assert_eq!(status(&server, list, key), 403);
}

#[test]
fn who_subscribes_can_not_publish_and_a_token_is_no_key() {
    let server = Server::start();
    let token = server.token("u", &["--admin-level", "9"]);
    let publish = || Request::post("/api/events").body(tiered::alert(1).to_string());
    assert_eq!(status(&server, publish(), &server.subscriber), 403);
    assert_eq!(status(&server, publish(), &token), 401);
    assert_eq!(publish().header("Authorization", &format!("Bearer {token}")).send(server.address).status, 401);
    assert_eq!(publish().send(server.address).status, 401);
    assert_eq!(server.last_seq(), 0, "nothing was published");
    for path in ["/api/admin/accounts", "/api/watchlist", "/api/keys", "/alerts/latest"] {
        assert_eq!(status(&server, Request::get(path), &token), 401, "{path}");
    }
    assert_eq!(status(&server, Request::get("/api/admin/accounts"), &server.subscriber), 403);
    for parameter in ["apiKey", "api_key"] {
        let refused = Socket::open(server.address, &format!("/ws/alerts?{parameter}={token}"));
        assert_eq!(refused.expect_err("a token").status, 401);
    }
    let mut socket = channels::open(&server);
    socket.say(&channels::auth(&token));
    socket.expect_error("AUTHENTICATION_FAILED");
    socket.expect_close(CloseCode::AUTHENTICATION);
}
