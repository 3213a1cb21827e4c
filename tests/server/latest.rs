//! `GET /alerts/latest`: the newest alerts for clients that poll, and how cheap it is to ask in vain.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::{Value, json};

use crate::http::{Reply, Request};
use crate::process::{OWNER, Server};
use crate::trade::trade;
use crate::wait::{SOON, until};

const PATH: &str = "/alerts/latest";

fn alert(number: usize) -> Value {
    json!({ "type": "alert", "data": { "id": number, "usdc_value": 2100.5 } })
}

fn ask(server: &Server, path: &str) -> Reply {
    Request::get(path).header("X-API-Key", &server.subscriber).send(server.address)
}

fn ask_if_new(server: &Server, path: &str, known: &str) -> Reply {
    let request = Request::get(path).header("X-API-Key", &server.subscriber);
    request.header("If-None-Match", known).send(server.address)
}

fn tag(reply: &Reply) -> String {
    let tag = reply.header("etag").expect("a tag").to_owned();
    assert!(tag.starts_with('"') && tag.ends_with('"') && tag.len() > 2, "a strong tag: {tag}");
    tag
}

fn ids(reply: &Reply) -> Vec<u64> {
    let alerts = reply.json()["alerts"].as_array().cloned().expect("a list");
    alerts.iter().map(|alert| alert["id"].as_u64().expect("an id")).collect()
}

#[test]
fn alerts_come_newest_first_as_the_very_bytes_of_their_messages() {
    let server = Server::start();
    let empty = ask(&server, PATH);
    assert_eq!(empty.text(), r#"200 {"success":true,"alerts":[],"last_seq":0}"#);
    // Canonical form: an integral number loses its point, index keys go first, the text keeps its letters.
    let odd = r#"{"type":"alert","data":{"b":1.0,"a":"\u00e9\/","7":1e20}}"#;
    assert_eq!(server.post_events("application/json", odd).status, 200);
    let price = json!({ "type": "price_update", "topic": "price:EPj", "data": { "price": 1 } });
    server.publish(&[alert(1), trade("trade.open", OWNER), alert(2), price]);
    let reply = ask(&server, PATH);
    let expected = [
        r#"{"id":2,"usdc_value":2100.5}"#,
        r#"{"id":1,"usdc_value":2100.5}"#,
        r#"{"7":100000000000000000000,"b":1,"a":"é/"}"#,
    ];
    assert_eq!(reply.text(), format!(r#"200 {{"success":true,"alerts":[{}],"last_seq":4}}"#, expected.join(",")));
    assert_eq!(reply.header("content-type"), Some("application/json"));
    assert_eq!(reply.header("cache-control"), Some("private, no-cache"));
}

#[test]
fn a_limit_takes_the_newest_and_one_out_of_range_names_the_range() {
    let server = Server::start();
    let many: Vec<Value> = (1..=600).map(alert).collect();
    server.publish(&many);
    let newest = |count: u64| (0..count).map(|nth| 600 - nth).collect::<Vec<_>>();
    for (query, count) in [("", 50), ("?limit=1", 1), ("?limit=500", 500), ("?other=1&limit=3", 3)] {
        let reply = ask(&server, &format!("{PATH}{query}"));
        assert_eq!(ids(&reply), newest(count), "{query}");
        assert_eq!(reply.json()["last_seq"], 600, "{query}");
    }
    for wrong in ["0", "501", "-1", "", "%2B5", "1e2", "all", "99999999999999999999"] {
        let reply = ask(&server, &format!("{PATH}?limit={wrong}"));
        let error = reply.error();
        assert_eq!((reply.status, error["code"].as_str()), (400, Some("INVALID_REQUEST")), "{wrong}");
        assert!(error["message"].as_str().is_some_and(|message| message.contains("1 to 500")), "{error}");
    }
}

#[test]
fn every_tier_may_ask_with_its_key_in_a_header_or_in_the_address() {
    let server = Server::start();
    server.publish(&[alert(1)]);
    server.data_dir.account("poor", "free");
    let key = server.data_dir.key("poor", "subscriber");
    let in_query = |name: &str, key: &str| Request::get(&format!("{PATH}?{name}={key}"));
    until("the new key", SOON, || (in_query("api_key", &key).send(server.address).status == 200).then_some(()));
    for request in [
        in_query("api_key", &key),
        in_query("apiKey", &key),
        Request::get(PATH).header("X-API-Key", &key),
        Request::get(PATH).header("Authorization", &format!("Bearer {key}")),
        // What a proxy wants is nothing to us.
        in_query("api_key", &key).header("Authorization", "Basic dTpw"),
    ] {
        let reply = request.send(server.address);
        assert_eq!((reply.status, ids(&reply)), (200, vec![1]), "{request:?}");
    }
    for (request, status) in [
        (Request::get(PATH), 401),
        (in_query("api_key", ""), 401),
        (in_query("key", &key), 401),
        (in_query("api_key", &key).header("X-API-Key", "stn_nobody"), 401),
        (in_query("api_key", &server.publisher), 403),
    ] {
        // A known tag opens nothing to somebody who may not ask.
        let reply = request.clone().header("If-None-Match", "*").send(server.address);
        assert_eq!(reply.status, status, "{request:?}: {}", reply.text());
        reply.error();
        assert_eq!(reply.header("etag"), None);
    }
}

#[test]
fn an_answer_that_is_known_is_not_sent_again_until_there_is_a_new_alert() {
    let server = Server::start();
    let mut known = tag(&ask(&server, PATH));
    for number in 1..=3 {
        for list in [known.clone(), format!("W/{known}"), format!("\"a,b\" , W/{known}, \"c\""), "*".to_owned()] {
            let reply = ask_if_new(&server, PATH, &list);
            assert_eq!((reply.status, reply.text().as_str()), (304, "304 "), "{list}");
            assert_eq!(tag(&reply), known, "{list}");
            assert_eq!(reply.header("cache-control"), Some("private, no-cache"));
            // One of another length than that of the answer itself would be a lie (RFC 9110 §8.6).
            assert_eq!(reply.header("content-length"), None);
        }
        // Other events do not touch it, and another alert does.
        server.publish(&[trade("trade.open", OWNER)]);
        assert_eq!(ask_if_new(&server, PATH, &known).status, 304);
        server.publish(&[alert(number)]);
        let fresh = ask_if_new(&server, PATH, &known);
        assert_eq!((fresh.status, ids(&fresh)[0]), (200, number as u64));
        assert_ne!(tag(&fresh), known);
        known = tag(&fresh);
    }
    let one = tag(&ask(&server, &format!("{PATH}?limit=1")));
    assert_ne!(one, known, "another answer");
    assert_eq!(ask_if_new(&server, PATH, &one).status, 200);
    assert_eq!(ask_if_new(&server, PATH, &known[1..known.len() - 1]).status, 200, "without its quotes it is no tag");
}

#[test]
fn a_tag_of_another_start_of_the_server_is_not_known_though_the_numbers_are_the_same() {
    let tags = [(); 2].map(|()| {
        let server = Server::start();
        let empty = tag(&ask(&server, PATH));
        server.publish(&[alert(1)]);
        [empty, tag(&ask(&server, PATH))]
    });
    let [[first_empty, first_one], [second_empty, second_one]] = tags;
    assert_ne!(first_empty, second_empty);
    assert_ne!(first_one, second_one);
}

#[test]
fn head_tells_what_get_would_without_its_body() {
    let server = Server::start();
    server.publish(&[alert(1)]);
    let get = ask(&server, PATH);
    let length = get.header("content-length").expect("a length").to_owned();
    let head = |more: &str| {
        let mut stream = TcpStream::connect(server.address).expect("a connection");
        let head = format!("HEAD {PATH}?api_key={} HTTP/1.1\r\nHost: stentor\r\nConnection: close", server.subscriber);
        stream.write_all(format!("{head}{more}\r\n\r\n").as_bytes()).expect("a request");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer and an end");
        answer
    };
    let plain = head("");
    assert!(plain.starts_with("HTTP/1.1 200 ") && plain.ends_with("\r\n\r\n"), "{plain}");
    assert!(plain.contains(&format!("content-length: {length}\r\n")), "{plain}");
    assert!(plain.contains(&format!("etag: {}\r\n", tag(&get))), "{plain}");
    let known = head(&format!("\r\nIf-None-Match: {}", tag(&get)));
    assert!(known.starts_with("HTTP/1.1 304 ") && known.ends_with("\r\n\r\n"), "{known}");
    let wrong = Request::post(PATH).send(server.address);
    assert_eq!((wrong.status, wrong.header("allow")), (405, Some("GET, HEAD")));
}
