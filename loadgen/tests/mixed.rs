//! `loadgen mixed` against a small server of all four protocols that can be told to misbehave: what a faithful one does
//! passes, what an unfaithful one does to a single socket is found, and the exit codes tell which it was.

mod http;
mod outcome;
mod websocket;

use std::collections::{BTreeSet, HashMap};
use std::io::{BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{header, ok, read_head};
use outcome::{assert_code, said};
use serde_json::{Value, json};
use websocket::{text_frame, upgraded};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Protocol {
    Watchlist,
    Tiered,
    Channels,
    Rooms,
}

/// How the server treats the second event of one socket, the first of its protocol that gets any.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    None,
    /// It never comes.
    Lose,
    /// It comes twice.
    Repeat,
    /// It comes after the third.
    Swap,
    /// It comes with one byte changed.
    Alter,
    /// Before it comes one of a topic that the socket does not hear.
    Leak,
    /// Before it comes a message that nobody asked for.
    Stray,
    /// The socket is closed with 4409 instead.
    Close,
    /// Publishers are told numbers that are one too high.
    Renumber,
    /// Every subscription is granted.
    Lavish,
    /// What sockets of the protocol give up again is still sent.
    Deaf,
}

struct Client {
    stream: Mutex<TcpStream>,
    protocol: Protocol,
    who: Mutex<Who>,
}

#[derive(Default)]
struct Who {
    key: String,
    user: String,
    admin_level: u64,
    topics: BTreeSet<String>,
    got: u32,
    held_back: Vec<u8>,
}

struct Server {
    fault: Fault,
    victims: Protocol,
    victim: Mutex<Option<usize>>,
    clients: Mutex<Vec<Arc<Client>>>,
    watchlists: Mutex<HashMap<String, Vec<String>>>,
    seq: Mutex<u64>,
}

/// Starts a server on a port of its own; it serves until the test's process ends.
fn serve(fault: Fault, victims: Protocol) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (victim, clients, watchlists) = Default::default();
    let server = Arc::new(Server { fault, victims, victim, clients, watchlists, seq: Mutex::new(40) });
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let server = Arc::clone(&server);
            std::thread::spawn(move || server.connection(stream.unwrap()));
        }
    });
    port
}

impl Server {
    fn connection(&self, stream: TcpStream) {
        stream.set_nodelay(true).unwrap();
        let mut reader = BufReader::new(stream);
        while let Some(head) = read_head(&mut reader) {
            if let Some(key) = header(&head, "Sec-WebSocket-Key") {
                reader.get_mut().write_all(upgraded(key).as_bytes()).unwrap();
                return self.socket(&head, reader);
            }
            let mut body = vec![0; header(&head, "Content-Length").unwrap().parse().unwrap()];
            reader.read_exact(&mut body).unwrap();
            let key = header(&head, "X-API-Key").unwrap().to_owned();
            let answer = match head.split(' ').next().unwrap() {
                "POST" => self.publish(&body),
                "PUT" => {
                    let owners = serde_json::from_slice::<Value>(&body).unwrap()["owners"].clone();
                    self.watchlists.lock().unwrap().insert(key, serde_json::from_value(owners).unwrap());
                    json!({ "success": true })
                }
                _ => json!({ "success": true, "owners": self.watchlists.lock().unwrap()[&key] }),
            };
            reader.get_mut().write_all(ok(&answer.to_string()).as_bytes()).unwrap();
        }
    }

    fn socket(&self, head: &str, mut reader: BufReader<TcpStream>) {
        let path = head.split(' ').nth(1).unwrap();
        let (protocol, key) = match path.split_once("?apiKey=").or_else(|| path.split_once("?api_key=")) {
            Some((_, key)) if path.contains("apiKey") => (Protocol::Watchlist, key),
            Some((_, key)) => (Protocol::Tiered, key),
            None if path == "/v1/ws" => (Protocol::Channels, ""),
            None => (Protocol::Rooms, ""),
        };
        let stream = Mutex::new(reader.get_ref().try_clone().unwrap());
        let who = Mutex::new(Who { key: key.into(), ..Who::default() });
        let client = Arc::new(Client { stream, protocol, who });
        match protocol {
            Protocol::Tiered => client.say(json!({ "type": "connected", "message": "m", "tier": "pro", "seq": 40 })),
            Protocol::Watchlist => client.send(b"\x89\x01!"),
            _ => {}
        }
        if let Some(token) = header(head, "Authorization").and_then(|value| value.strip_prefix("Bearer ")) {
            client.say(client.authenticate(token));
        }
        self.clients.lock().unwrap().push(Arc::clone(&client));
        while let Some((opcode, payload)) = read_frame(&mut reader) {
            match opcode {
                1 if payload == b"ping" => client.say(json!({ "type": "pong" })),
                1 => client.say(self.command(&client, &serde_json::from_slice(&payload).unwrap())),
                8 => return client.send(b"\x88\x02\x03\xe8"),
                _ => {}
            }
        }
    }

    /// The answer to one message of the channels or rooms protocol.
    fn command(&self, client: &Client, message: &Value) -> Value {
        let kind = message["type"].as_str().unwrap();
        let mut who = client.who.lock().unwrap();
        if kind == "ping" {
            return json!({ "type": "pong", "timestamp": "2025-01-15T10:30:00Z", "seq": 1 });
        }
        if let (Protocol::Rooms, "auth") = (client.protocol, kind) {
            drop(who);
            return client.authenticate(message["token"].as_str().unwrap());
        }
        if kind == "auth" {
            who.key = message["apiKey"].as_str().unwrap().into();
            return json!({ "type": "authenticated", "seq": 40 });
        }
        let topic = match (client.protocol, message["channel"].as_str().unwrap_or("")) {
            (Protocol::Rooms, channel) => channel.to_owned(),
            (_, "bot") => format!("bot:{}", message["botId"].as_str().unwrap()),
            (_, "price") => format!("price:{}", message["mint"].as_str().unwrap()),
            (_, channel) => format!("{channel}:{}", message["wallet"].as_str().unwrap()),
        };
        let forbidden =
            topic.starts_with("bot:") && who.key != "bots" || topic.starts_with("user:") || topic.starts_with("admin:");
        if forbidden && self.fault != Fault::Lavish {
            return json!({ "type": "error", "code": "FORBIDDEN", "message": "no" });
        }
        let status = match kind {
            "subscribe" => {
                who.topics.insert(topic);
                "subscribed"
            }
            "unsubscribe" => {
                if (self.fault, self.victims) != (Fault::Deaf, client.protocol) {
                    who.topics.remove(&topic);
                }
                "unsubscribed"
            }
            _ => "listed",
        };
        let mut answer = message.clone();
        if client.protocol == Protocol::Channels {
            answer["type"] = status.into();
            answer["seq"] = 40.into();
            return answer;
        }
        let rooms: Vec<String> = [format!("user:{}", who.user)].into_iter().chain(who.topics.iter().cloned()).collect();
        answer["type"] = "room_subscription".into();
        answer["status"] = status.into();
        answer["subscribedRooms"] = json!(rooms);
        answer["seq"] = 40.into();
        answer
    }

    fn publish(&self, body: &[u8]) -> Value {
        let mut seq = self.seq.lock().unwrap();
        let first = *seq + 1;
        for line in body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            *seq += 1;
            self.fan_out(&serde_json::from_slice(line).unwrap(), *seq);
        }
        let wrong = u64::from(self.fault == Fault::Renumber);
        json!({ "accepted": *seq + 1 - first, "first_seq": first + wrong, "last_seq": *seq + wrong })
    }

    fn fan_out(&self, event: &Value, seq: u64) {
        let (topic, kind) = (event["topic"].as_str().unwrap(), event["type"].as_str().unwrap());
        let data = event["data"].to_string();
        let members = &data[1..data.len() - 1];
        let text = match topic.split(':').next().unwrap() {
            "wallet" => {
                let trade = kind.strip_prefix("trade.").unwrap();
                format!(r#"{{"type":"trade","seq":{seq},"data":{{{members},"tradeType":"{trade}"}}}}"#)
            }
            "alerts" => format!(r#"{{"type":"alert","seq":{seq},"data":{data}}}"#),
            "bot" | "price" | "transactions" => format!(r#"{{"type":"{kind}","seq":{seq},{members}}}"#),
            _ => {
                let channel = event["channel"].as_str().unwrap_or(match kind {
                    "market_data_update" => "market_data",
                    "historical_data_update" => "historical_data",
                    "price_alert" => "alerts",
                    "margin_guard_execution" | "auto_close_execution" => "margin_guard",
                    "position_status_update" => "positions",
                    "server_maintenance" => "system",
                    _ => "notifications",
                });
                format!(r#"{{"type":"{kind}","channel":"{channel}","seq":{seq},"data":{data}}}"#)
            }
        };
        let frame = text_frame(&text);
        let clients = self.clients.lock().unwrap();
        let mut victim = self.victim.lock().unwrap();
        for (number, client) in clients.iter().enumerate() {
            let hears = self.hears(client, topic);
            if hears && client.protocol == self.victims {
                victim.get_or_insert(number);
            }
            if Some(number) == *victim {
                self.mistreat(client, hears, &frame);
            } else if hears {
                client.send(&frame);
            }
        }
    }

    fn hears(&self, client: &Client, topic: &str) -> bool {
        let who = client.who.lock().unwrap();
        let level = topic.strip_prefix("admin:").map(|level| level.parse::<u64>().unwrap());
        match client.protocol {
            Protocol::Watchlist => topic
                .strip_prefix("wallet:")
                .is_some_and(|owner| self.watchlists.lock().unwrap()[&who.key].iter().any(|watched| watched == owner)),
            Protocol::Tiered => topic == "alerts",
            Protocol::Channels => who.topics.contains(topic),
            Protocol::Rooms => {
                topic == "system"
                    || topic == format!("user:{}", who.user)
                    || level.is_some_and(|level| level <= who.admin_level)
                    || who.topics.contains(topic)
            }
        }
    }

    fn mistreat(&self, client: &Client, hears: bool, frame: &[u8]) {
        let mut who = client.who.lock().unwrap();
        if !hears {
            if self.fault == Fault::Leak && who.got == 1 {
                who.got += 1;
                client.send(frame);
            }
            return;
        }
        who.got += 1;
        let bytes = match (self.fault, who.got) {
            (Fault::Lose, 2) => Vec::new(),
            (Fault::Repeat, 2) => [frame, frame].concat(),
            (Fault::Alter, 2) => {
                let mut frame = frame.to_vec();
                let at = frame.len() - 6;
                frame[at] ^= 1;
                frame
            }
            (Fault::Swap, 2) => {
                who.held_back = frame.to_vec();
                Vec::new()
            }
            (Fault::Swap, 3) => [frame, &who.held_back].concat(),
            (Fault::Stray, 2) => [&text_frame(r#"{"type":"gap","from":1,"to":2,"reason":"crash"}"#), frame].concat(),
            (Fault::Close, 2) => b"\x88\x06\x11\x39slow".to_vec(),
            (Fault::Close, 3..) => Vec::new(),
            _ => frame.to_vec(),
        };
        client.send(&bytes);
    }
}

impl Client {
    fn send(&self, bytes: &[u8]) {
        // One who went away is none of the server's business.
        let _ = self.stream.lock().unwrap().write_all(bytes);
    }

    fn say(&self, message: Value) {
        self.send(&text_frame(&message.to_string()));
    }

    fn authenticate(&self, token: &str) -> Value {
        let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
        let claims: Value = serde_json::from_slice(&claims).unwrap();
        let mut who = self.who.lock().unwrap();
        who.user = claims["sub"].as_str().unwrap().into();
        who.admin_level = claims["admin_level"].as_u64().unwrap_or(0);
        json!({
            "type": "connection", "status": "connected", "userId": who.user, "sessionId": "s",
            "serverTime": "2025-01-06T10:30:00Z", "seq": 40
        })
    }
}

/// A client's frame: opcode and unmasked payload.
fn read_frame(reader: &mut impl Read) -> Option<(u8, Vec<u8>)> {
    let mut head = [0; 2];
    reader.read_exact(&mut head).ok()?;
    let mut length = usize::from(head[1] & 0x7F);
    if length == 126 {
        let mut long = [0; 2];
        reader.read_exact(&mut long).ok()?;
        length = u16::from_be_bytes(long).into();
    }
    let mut mask = [0; 4];
    reader.read_exact(&mut mask).ok()?;
    let mut payload = vec![0; length];
    reader.read_exact(&mut payload).ok()?;
    payload.iter_mut().zip(mask.iter().cycle()).for_each(|(byte, mask)| *byte ^= mask);
    Some((head[0] & 0x0F, payload))
}

/// Runs a mix of 20 sockets a protocol and 2,000 events.
fn loadgen(port: u16, more: &str) -> Output {
    let secret = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("secret-{port}"));
    std::fs::write(&secret, "a secret\n").unwrap();
    let line = format!(
        "mixed --url http://127.0.0.1:{port} --publisher-key p --subscriber-key a --subscriber-key b --bot-key bots \
         --sockets-per-protocol 20 --rate 4000 --burst 20 --duration 500ms --settle 50ms --drain 500ms --timeout 30s {more}"
    );
    let mut command = Command::new(env!("CARGO_BIN_EXE_loadgen"));
    let output = command.args(line.split_whitespace()).arg("--jwt-secret-file").arg(&secret).output().unwrap();
    std::fs::remove_file(secret).unwrap();
    output
}

#[test]
fn a_faithful_server_of_four_protocols_passes_and_every_delivery_is_counted() {
    let output = loadgen(serve(Fault::None, Protocol::Rooms), "--json -");
    assert_code(&output, 0);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    for (protocol, name) in
        report["protocols"].as_array().unwrap().iter().zip(["watchlist", "tiered", "channels", "rooms"])
    {
        assert_eq!((&protocol["name"], &protocol["sockets"]), (&name.into(), &20.into()));
        assert!(protocol["deliveries_due"].as_u64() > Some(20), "{protocol}");
        assert_eq!(protocol["latency"]["count"], protocol["deliveries_due"], "{protocol}");
        assert!(protocol["faults"].as_object().unwrap().values().all(|count| count == 0), "{protocol}");
    }
    assert!(said(&output).contains("exactly what it should"), "{}", said(&output));
}

#[test]
fn what_is_done_to_one_socket_of_any_protocol_is_found_and_exits_with_3() {
    use Protocol::*;
    for (fault, victims, words) in [
        (Fault::Lose, Watchlist, "watchlist: 1 deliveries missing"),
        (Fault::Lose, Rooms, "rooms: 1 deliveries missing"),
        (Fault::Repeat, Tiered, "tiered: 1 duplicated"),
        (Fault::Swap, Channels, "channels: 1 reordered"),
        (Fault::Alter, Rooms, "rooms: 1 altered"),
        (Fault::Leak, Watchlist, "watchlist: 1 of topics that the socket does not hear"),
        (Fault::Leak, Channels, "channels: 1 of topics that the socket does not hear"),
        (Fault::Stray, Tiered, "tiered: 1 unexpected messages"),
        (Fault::Close, Watchlist, "watchlist: 1 sockets ended early"),
    ] {
        let output = loadgen(serve(fault, victims), "");
        assert_code(&output, 3);
        assert!(said(&output).contains(words), "{fault:?}: {}", said(&output));
        let table = String::from_utf8_lossy(&output.stdout);
        assert!(table.contains("for example: ") && table.contains("socket "), "{fault:?}: {table}");
    }
}

#[test]
fn wrong_numbers_and_topics_that_were_given_up_are_found() {
    let output = loadgen(serve(Fault::Renumber, Protocol::Rooms), "");
    assert_code(&output, 3);
    assert!(said(&output).contains("under another number"), "{}", said(&output));
    let output = loadgen(serve(Fault::Deaf, Protocol::Channels), "");
    assert_code(&output, 3);
    assert!(said(&output).contains("of topics that the socket does not hear"), "{}", said(&output));
    // A rooms socket is told of the room that it gave up in the very answer.
    let output = loadgen(serve(Fault::Deaf, Protocol::Rooms), "");
    assert_code(&output, 1);
    assert!(said(&output).contains("subscribedRooms"), "{}", said(&output));
}

#[test]
fn a_subscription_that_should_be_refused_stops_the_run() {
    let output = loadgen(serve(Fault::Lavish, Protocol::Rooms), "");
    assert_code(&output, 1);
    assert!(said(&output).contains("FORBIDDEN"), "{}", said(&output));
}

#[test]
fn two_keys_of_one_account_and_wrong_words_have_their_own_sentences() {
    // The little server keeps watchlists by key: the same key twice is one account.
    let output = loadgen(serve(Fault::None, Protocol::Rooms), "--subscriber-key a");
    assert_code(&output, 1);
    assert!(said(&output).contains("account of its own"), "{}", said(&output));
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    assert_code(&loadgen(nobody, ""), 1);
    assert_code(&loadgen(nobody, "--rate 0"), 2);
    assert_code(&loadgen(nobody, "--sockets-per-protocol 0"), 2);
}
