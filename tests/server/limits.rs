//! Who may come in, from where, and how much: connections, handshakes, publishers, proxies and pages.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use socket2::{Domain, SockAddr, Type};
use stentor::ws::CloseCode;
use stentor::ws::client::client_request;

use crate::http::{Reply, Request};
use crate::process::{OWNER, Server};
use crate::socket::{Received, Socket};
use crate::trade::trade;
use crate::wait::{SOON, until};

const NONCE: [u8; 16] = *b"the sample nonce";

/// A server with the two accounts and this configuration.
fn server(config: &str) -> Server {
    Server::configured(config)
}

/// A connection from an address of this machine's many.
pub fn from(source: &str, server: SocketAddr) -> TcpStream {
    let socket = socket2::Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    let source = SocketAddr::new(source.parse().expect("an address"), 0);
    socket.bind(&SockAddr::from(source)).expect("an address of the loopback network");
    socket.connect(&SockAddr::from(server)).expect("a connection");
    socket.into()
}

/// Asks for a WebSocket over that connection, which stays open for as long as it is held.
fn shake(mut stream: TcpStream, path: &str, headers: &[(&str, &str)]) -> (Reply, TcpStream) {
    stream.write_all(&client_request("stentor", path, NONCE, headers)).expect("a request");
    (Reply::read(&mut stream), stream)
}

fn assert_limited(reply: &Reply, status: u16, code: &str) -> u64 {
    let error = reply.error();
    assert_eq!((reply.status, error["code"].as_str()), (status, Some(code)), "{error}");
    let seconds = reply.header("retry-after").expect("a time to wait").parse().expect("seconds");
    assert!(seconds >= 1);
    seconds
}

fn assert_too_many(reply: &Reply) -> u64 {
    assert_limited(reply, 429, "RATE_LIMIT_EXCEEDED")
}

#[test]
fn an_address_has_so_many_sockets_and_gets_another_when_one_ends() {
    let server = server("[limits]\nconnections_per_address = 3\nexempt_addresses = []\n");
    let mut sockets: Vec<Socket> = (0..3).map(|_| server.connect()).collect();
    assert_too_many(&Socket::open(server.address, &server.alerts_path()).expect_err("three are open"));
    Socket::open_on(from("127.0.0.2", server.address), &server.alerts_path(), b"").expect("another address");
    assert_eq!(Request::get("/healthz").send(server.address).status, 200, "what is no socket is not counted");

    let mut leaving = sockets.pop().expect("three");
    leaving.send_close(CloseCode::NORMAL, "");
    leaving.expect_close(CloseCode::NORMAL);
    sockets.push(until("a place", SOON, || Socket::open(server.address, &server.alerts_path()).ok()));
    // Nobody had to leave for what was refused.
    server.publish(&[trade("trade.open", OWNER)]);
    sockets.iter_mut().for_each(|socket| assert_eq!(socket.trade()["type"], "trade"));
}

#[test]
fn places_come_back_however_a_socket_or_a_handshake_ends() {
    let server = server("[limits]\nconnections_per_address = 2\nexempt_addresses = []\n");
    let path = server.alerts_path();
    for _ in 0..10 {
        // Refused for its key, abandoned in the middle, gone behind the upgrade, and closed for what it sent.
        assert_eq!(until("a place", SOON, || refusal(&server, "/ws/alerts?apiKey=x", 401)), 401);
        let mut abandoned = TcpStream::connect(server.address).expect("a connection");
        abandoned.write_all(b"GET /ws/alerts?apiKey=x HTTP/1.1\r\n").expect("half a handshake");
        drop(abandoned);
        drop(until("a place", SOON, || Socket::open(server.address, &path).ok()));
        let mut wrong = until("a place", SOON, || Socket::open(server.address, &path).ok());
        wrong.send_raw(b"no frame at all");
        wrong.expect_close(CloseCode::PROTOCOL_ERROR);
    }
    let _both: Vec<Socket> =
        (0..2).map(|_| until("a place", SOON, || Socket::open(server.address, &path).ok())).collect();
    assert_too_many(&Socket::open(server.address, &path).expect_err("two are open"));
}

/// The status of a refusal, once it is the one that is waited for.
fn refusal(server: &Server, path: &str, status: u16) -> Option<u16> {
    let reply = Socket::open(server.address, path).expect_err("no such key");
    (reply.status == status).then_some(status)
}

#[test]
fn a_key_has_so_many_sockets_wherever_they_come_from() {
    let server = server("[limits]\nconnections_per_key = 2\nexempt_addresses = []\n");
    let open = |source, path: &str| Socket::open_on(from(source, server.address), path, b"");
    let _sockets = ["127.0.0.2", "127.0.0.3"].map(|source| open(source, &server.alerts_path()).expect("a place"));
    assert_too_many(&open("127.0.0.4", &server.alerts_path()).expect_err("two are open"));
    let other = server.data_dir.key("watcher", "subscriber");
    let path = format!("/ws/alerts?apiKey={other}");
    until("the other key", SOON, || open("127.0.0.4", &path).ok());
}

#[test]
fn strangers_of_an_address_have_a_share_and_leave_the_rest_to_others() {
    let server = server("[limits]\npending_authentications = 40\nexempt_addresses = []\n");
    let open = |source, path: &str| Socket::open_on(from(source, server.address), path, b"");
    let mut strangers = ["/v1/ws", "/ws"].map(|path| open("127.0.0.2", path).expect("its share"));
    for path in ["/v1/ws", "/ws"] {
        assert_too_many(&open("127.0.0.2", path).expect_err("two of forty"));
    }
    open("127.0.0.2", &server.alerts_path()).expect("it says who it is");
    let _others = ["127.0.0.3", "127.0.0.4"].map(|source| open(source, "/ws").expect("others have their own"));
    strangers[0].say(&format!("{{\"type\":\"auth\",\"apiKey\":\"{}\"}}", server.subscriber));
    strangers[0].message("authenticated");
    open("127.0.0.2", "/v1/ws").expect("it is no stranger any more");
}

#[test]
fn handshakes_of_an_address_have_a_rate_whatever_becomes_of_them() {
    let server = server("[limits]\nhandshakes_per_second = 1\nhandshake_burst = 5\nexempt_addresses = []\n");
    let shake = || Socket::open(server.address, "/ws/alerts?apiKey=wrong").expect_err("no such key");
    let passed = (0..100).map(|_| shake()).take_while(|reply| reply.status == 401).count();
    assert!((5..100).contains(&passed), "{passed} passed");
    // A valid key makes no difference, another address does.
    let refused = (0..100).find_map(|_| Socket::open(server.address, &server.alerts_path()).err());
    let wait = assert_too_many(&refused.expect("too fast"));
    Socket::open_on(from("127.0.0.2", server.address), &server.alerts_path(), b"").expect("another address");
    std::thread::sleep(Duration::from_secs(wait));
    server.connect();
}

#[test]
fn by_default_this_machine_itself_is_not_limited() {
    let server = server("[limits]\nconnections_per_address = 1\nconnections_per_key = 1\nhandshakes_per_second = 1\n");
    let _sockets: Vec<Socket> = (0..20).map(|_| server.connect()).collect();
}

#[test]
fn a_trusted_proxy_tells_the_clients_address_and_nobody_else_does() {
    let server = server(
        "[server]\ntrusted_proxies = [\"127.0.0.9\", \"10.0.0.0/8\"]\n\
         [limits]\nconnections_per_address = 1\nexempt_addresses = []\n",
    );
    let shake = |source, forwarded| {
        shake(from(source, server.address), &server.alerts_path(), &[("X-Forwarded-For", forwarded)])
    };
    let mut held = Vec::new();
    let mut expect = |source, forwarded, status| {
        let (reply, stream) = shake(source, forwarded);
        assert_eq!(reply.status, status, "{source} for {forwarded}: {}", reply.text());
        held.push(stream);
    };
    expect("127.0.0.9", "192.0.2.1", 101);
    expect("127.0.0.9", "192.0.2.1", 429);
    expect("127.0.0.9", "192.0.2.2", 101);
    expect("127.0.0.9", "192.0.2.77, 192.0.2.1:4711, 10.1.2.3", 429);
    expect("127.0.0.9", "[2001:db8::1]:80", 101);
    expect("127.0.0.9", "2001:db8::2", 429);
    // One that is not trusted is itself, whatever it says.
    expect("127.0.0.2", "192.0.2.3", 101);
    expect("127.0.0.2", "192.0.2.4", 429);
    expect("127.0.0.9", "192.0.2.3", 101);
}

/// A PROXY protocol header, version 2, for a client at this address.
pub fn proxy_header(client: [u8; 4]) -> Vec<u8> {
    let fixed = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0f";
    [&fixed[..], &client, &[127, 0, 0, 1], &[16, 0, 1, 187], &[4, 0, 0]].concat()
}

const PROXIED: &str = "[server]\ntrusted_proxies = [\"127.0.0.9\"]\nproxy_protocol = true\n\
                       [limits]\nconnections_per_address = 1\nexempt_addresses = []\n";

#[test]
fn behind_the_proxy_protocol_the_header_tells_the_address_and_the_rest_is_http() {
    let server = server(PROXIED);
    let open = |client, behind: &[u8]| {
        let mut stream = from("127.0.0.9", server.address);
        let request = client_request("stentor", &server.alerts_path(), NONCE, &[]);
        // All of it in one segment, so that the beginning of the request comes with the header.
        stream.write_all(&[&proxy_header(client), &request[..], behind].concat()).expect("a request");
        (Reply::read(&mut stream), stream)
    };
    let (first, _first) = open([192, 0, 2, 1], b"");
    assert_eq!(first.status, 101, "{}", first.text());
    assert_too_many(&open([192, 0, 2, 1], b"").0);
    let (second, _second) = open([192, 0, 2, 2], b"");
    assert_eq!(second.status, 101, "{}", second.text());

    // In pieces, with a frame behind the request.
    let mut slow = from("127.0.0.9", server.address);
    for piece in proxy_header([192, 0, 2, 3]).chunks(5) {
        slow.write_all(piece).expect("the server reads");
        std::thread::sleep(Duration::from_millis(20));
    }
    let ping = [0x89, 0x82, 0, 0, 0, 0, b'h', b'i'];
    let mut socket = Socket::open_on(slow, &server.alerts_path(), &ping).expect("an upgrade");
    assert_eq!(socket.receive_past_pings(SOON), Some(Received::Pong(b"hi".to_vec())));

    // A health check of the proxy's own, several requests on a connection, and who comes past the proxy.
    let mut local = from("127.0.0.9", server.address);
    local.write_all(b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0").expect("a header");
    for _ in 0..2 {
        local.write_all(b"GET /healthz HTTP/1.1\r\nHost: stentor\r\n\r\n").expect("a request");
        assert_eq!(Reply::read(&mut local).status, 200);
    }
    assert_eq!(Request::get("/healthz").send(server.address).status, 200);
}

#[test]
fn a_proxy_that_sends_no_header_is_closed_without_a_word() {
    let server = server(PROXIED);
    let ends = |bytes: &[u8], patience| {
        let mut stream = from("127.0.0.9", server.address);
        stream.write_all(bytes).expect("some bytes");
        stream.set_read_timeout(Some(patience)).expect("a timeout");
        let began = Instant::now();
        // What was not read may turn the end into a reset.
        match stream.read(&mut [0; 64]) {
            Ok(read) => assert_eq!(read, 0, "an end without words"),
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{error}"),
        }
        began.elapsed()
    };
    let header = proxy_header([192, 0, 2, 1]);
    for wrong in [&b"GET /healthz HTTP/1.1\r\nHost: stentor\r\n\r\n"[..], b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n"] {
        ends(wrong, SOON);
    }
    // Too long, and of another version.
    ends(&[&header[..14], &[0xff, 0xff]].concat(), SOON);
    ends(&[&header[..12], &[0x11], &header[13..]].concat(), SOON);
    // What is begun has as long as a request's head.
    assert!((9..15).contains(&ends(&header[..20], Duration::from_secs(20)).as_secs()));
    assert_eq!(Request::get("/healthz").send(server.address).status, 200);
}

const APP: &str = "https://app.example";
const EVIL: &str = "https://evil.example";

#[test]
fn pages_of_origins_that_are_not_listed_get_no_socket_and_can_t_read_answers() {
    let server = server("[server]\nallowed_origins = [\"https://app.example\"]\n");
    let shake = |headers: &[(&str, &str)]| {
        shake(TcpStream::connect(server.address).expect("a connection"), &server.alerts_path(), headers)
    };
    assert_eq!(shake(&[("Origin", APP)]).0.status, 101);
    assert_eq!(shake(&[]).0.status, 101, "a program has no origin");
    let (refused, _stream) = shake(&[("Origin", EVIL)]);
    assert_eq!((refused.status, refused.error()["code"].as_str()), (403, Some("FORBIDDEN")));

    let get = |path, origin| Request::get(path).header("Origin", origin).send(server.address);
    // Answers, and refusals of each kind.
    for (path, status) in [("/readyz", 200), ("/api/watchlist", 401), ("/api/keys/k", 405), ("/nowhere", 404)] {
        let reply = get(path, APP);
        assert_eq!((reply.status, reply.header("access-control-allow-origin")), (status, Some(APP)), "{path}");
        let exposed = reply.header("access-control-expose-headers").expect("headers");
        assert!(exposed.contains("retry-after") && exposed.contains("etag"), "{exposed}");
        assert_eq!(reply.header("vary"), Some("origin"));
        let reply = get(path, EVIL);
        assert_eq!((reply.status, reply.header("access-control-allow-origin")), (status, None), "{path}");
        assert_eq!(reply.header("vary"), Some("origin"), "for caches");
    }
}

#[test]
fn a_preflight_tells_an_allowed_page_what_it_may_and_another_nothing() {
    let server = server("[server]\nallowed_origins = [\"https://app.example\"]\n");
    let preflight = |path, origin| {
        Request::new("OPTIONS", path)
            .header("Origin", origin)
            .header("Access-Control-Request-Method", "POST")
            .header("Access-Control-Request-Headers", "x-api-key,content-type")
            .send(server.address)
    };
    for (path, methods) in [("/api/events", "GET, POST"), ("/api/watchlist", "GET, PUT, POST")] {
        let reply = preflight(path, APP);
        assert_eq!((reply.status, reply.header("access-control-allow-methods")), (204, Some(methods)));
        assert_eq!(reply.header("access-control-allow-origin"), Some(APP));
        let headers = reply.header("access-control-allow-headers").expect("headers");
        assert!(["authorization", "content-type", "x-api-key"].iter().all(|name| headers.contains(name)), "{headers}");
        assert!(reply.header("access-control-max-age").is_some());

        let reply = preflight(path, EVIL);
        assert_eq!((reply.status, reply.header("access-control-allow-origin")), (403, None));
        assert_eq!(reply.header("access-control-allow-methods"), None);
    }
    assert_eq!(preflight("/nowhere", APP).status, 404);
    assert_eq!(Request::new("OPTIONS", "/api/events").send(server.address).status, 405, "that is no preflight");
}

#[test]
fn by_default_any_page_may_read_and_connect() {
    let server = Server::start();
    let reply = Request::get("/readyz").header("Origin", "null").send(server.address);
    assert_eq!((reply.header("access-control-allow-origin"), reply.header("vary")), (Some("*"), None));
    assert_eq!(Request::get("/readyz").send(server.address).header("access-control-allow-origin"), None);
    let stream = TcpStream::connect(server.address).expect("a connection");
    assert_eq!(shake(stream, &server.alerts_path(), &[("Origin", EVIL)]).0.status, 101);
}

#[test]
fn a_publishers_events_have_a_rate_and_what_is_refused_is_not_published() {
    let server = server("[limits]\npublisher_events_per_second = 1\npublisher_event_burst = 100000\n");
    let ndjson = |count| "{\"type\":\"price_update\",\"topic\":\"price:a\",\"data\":{}}\n".repeat(count);
    let post = |count| server.post_events("application/x-ndjson", &ndjson(count));
    assert_eq!(post(99_990).status, 200);
    // What is left of the burst, and whatever the rate gives meanwhile.
    let passed = (0..1_000).map(|_| post(1)).take_while(|reply| reply.status == 200).count();
    assert!((10..1_000).contains(&passed), "{passed} passed");
    let head = server.last_seq();
    assert!(assert_too_many(&post(50)) > 1, "fifty take longer than one");
    assert_eq!(server.last_seq(), head);
    let other = server.data_dir.key("feed", "publisher");
    let published = until("the other key", SOON, || {
        let request =
            Request::post("/api/events").header("X-API-Key", &other).header("Content-Type", "application/json");
        let reply = request.body(trade("trade.open", OWNER).to_string()).send(server.address);
        (reply.status != 401).then_some(reply)
    });
    assert_eq!(published.status, 200, "another publisher has its own rate: {}", published.text());
    let refused = (0..100).map(|_| post(2)).find(|reply| reply.status != 200);
    std::thread::sleep(Duration::from_secs(assert_too_many(&refused.expect("two are too fast, sooner or later"))));
    assert_eq!(post(2).status, 200);
}

#[test]
fn a_publishers_requests_under_way_are_bounded_and_one_alone_always_passes() {
    let server = server("[limits]\npublisher_bytes_in_flight = 8388608\n");
    let event = trade("trade.open", OWNER).to_string();
    let head = |framing: &str| {
        format!(
            "POST /api/events HTTP/1.1\r\nHost: stentor\r\nX-API-Key: {}\r\nContent-Type: application/json\r\n{framing}\r\n\r\n",
            server.publisher
        )
    };
    let mut held = TcpStream::connect(server.address).expect("a connection");
    held.write_all(head("Content-Length: 8388608\r\nExpect: 100-continue").as_bytes()).expect("a head");
    // It is asked for its body once there is room for it; until then another request could have taken that.
    let mut go_on = [0; b"HTTP/1.1 100 Continue\r\n\r\n".len()];
    held.read_exact(&mut go_on).expect("room");
    assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");
    assert_limited(&server.post_events("application/json", &event), 503, "OVERLOADED");
    let mut chunked = TcpStream::connect(server.address).expect("a connection");
    let body = format!("{}{:x}\r\n{event}\r\n0\r\n\r\n", head("Transfer-Encoding: chunked"), event.len());
    chunked.write_all(body.as_bytes()).expect("a request");
    assert_limited(&Reply::read(&mut chunked), 503, "OVERLOADED");
    let other = server.data_dir.key("feed", "publisher");
    until("the other key", SOON, || {
        let request = Request::post("/api/events").header("X-API-Key", &other).body(event.as_str());
        (request.send(server.address).status == 200).then_some(())
    });

    drop(held);
    until("room", SOON, || (server.post_events("application/json", &event).status == 200).then_some(()));
    chunked.write_all(body.as_bytes()).expect("a request");
    assert_eq!(Reply::read(&mut chunked).status, 200, "the connection is as good as ever");
}
