//! What a webhook's endpoint is sent: which events, in which form, signed by what, and from when to when. How it goes on where the
//! endpoint fails is in `webhook_failures`.

use serde_json::{Value, json};

use crate::admin::operator;
use crate::http::Request;
use crate::jwt::now_s;
use crate::process::{OWNER, Server};
use crate::trade::{TRIGGERS, numbered, trade};
use crate::webhook_sink::{Post, Sink, plain_signature};
use crate::webhooks::{Hook, done, send, server};

/// Of nobody's watchlist to begin with.
const NEWCOMER: &str = "9xQeWvG816bUx9EPjHmaT23yvVM2ZWbrrpZb9PusVFin";

/// The types that came, sorted.
fn kinds(posts: &[Post]) -> Vec<&str> {
    let mut kinds: Vec<&str> = posts.iter().map(|post| post.header("x-event-type")).collect();
    kinds.sort_unstable();
    kinds
}

/// The numbers of the trades that came, sorted.
pub fn numbers(posts: &[Post]) -> Vec<u64> {
    let mut numbers: Vec<u64> =
        posts.iter().map(|post| post.json()["data"]["number"].as_u64().expect("a number")).collect();
    numbers.sort_unstable();
    numbers
}

/// Publishes a liquidation and waits until `witness`, a webhook of `watcher`, has it: events are matched in their order, so all before
/// it have been by then.
pub fn let_all_be_matched(server: &Server, witness: &Hook) {
    let (seq, _) = server.publish(&[trade("trade.liquidation", OWNER)]);
    witness.delivery(server, &server.subscriber, seq, "delivered");
}

#[test]
fn a_trade_arrives_once_in_the_printed_form_and_both_signatures_hold() {
    let server = server("");
    let sink = Sink::start();
    let hook = Hook::create(&server, &server.subscriber, &sink.url("/hook?room=7"));
    let mut event = trade("trade.open", OWNER);
    event["data"]["collateral"] = json!(2884.71);
    event["data"]["9"] = json!(["é", "\u{2028}", "a\"b", null, 0.1, 12_345_678_901_234_u64]);
    let before_s = now_s();
    let (seq, _) = server.publish(std::slice::from_ref(&event));
    let posts = sink.posts("/hook?room=7", 1);
    let post = &posts[0];
    assert_eq!(post.method, "POST");

    let body = post.json();
    let fields: Vec<&String> = body.as_object().expect("an object").keys().collect();
    assert_eq!(fields, ["id", "type", "created", "data"]);
    assert_eq!((&body["type"], &body["data"]), (&json!("trade.new"), &event["data"]));
    assert!(body["id"].as_str().is_some_and(|id| id.starts_with("evt_") && id.len() == 28), "{body}");
    assert!((before_s..=now_s()).contains(&body["created"].as_u64().expect("seconds")), "{body}");
    let printed_again = stentor::event::canonical(&post.body).expect("JSON");
    assert_eq!(printed_again, post.body, "what JSON.stringify(JSON.parse(body)) gives");

    assert_eq!(post.header("content-type"), "application/json");
    assert_eq!(post.header("x-webhook-id"), hook.id);
    assert_eq!(post.header("x-event-type"), "trade.new");
    assert_eq!(post.header("x-delivery-attempt"), "1");
    let delivery_id = post.header("x-delivery-id");
    assert!(delivery_id.starts_with("dlv_") && delivery_id.len() == 28, "{delivery_id}");
    assert_eq!(post.header("webhook-id"), delivery_id);
    let timestamp: u64 = post.header("webhook-timestamp").parse().expect("seconds");
    assert!((before_s..=now_s()).contains(&timestamp), "{timestamp}");
    post.assert_signed(&hook.secret);
    assert_eq!(post.header("webhook-signature"), post.standard_signature(&hook.secret));
    let mut changed = post.body.clone();
    changed[0] ^= 1;
    assert_ne!(post.header("x-webhook-signature"), plain_signature(&hook.secret, &changed));

    let delivery = hook.delivery(&server, &server.subscriber, seq, "delivered");
    let fields: Vec<&String> = delivery.as_object().expect("an object").keys().collect();
    let expected =
        ["id", "event_id", "event_type", "seq", "status", "created_at", "next_attempt_at", "attempts", "note"];
    assert_eq!(fields, expected);
    assert_eq!((&delivery["id"], &delivery["event_id"]), (&json!(delivery_id), &body["id"]));
    assert_eq!((&delivery["event_type"], &delivery["next_attempt_at"]), (&json!("trade.new"), &Value::Null));
    let attempts = delivery["attempts"].as_array().expect("a list");
    assert_eq!((attempts.len(), &attempts[0]["status_code"], &attempts[0]["error"]), (1, &json!(200), &Value::Null));
    assert!(attempts[0]["at"].is_string() && attempts[0]["duration_ms"].is_u64(), "{delivery}");
    assert_eq!(sink.posts_so_far("/hook?room=7").len(), 1);
}

#[test]
fn each_kind_of_trade_has_its_type_and_a_webhook_gets_those_that_it_asked_for() {
    let server = server("");
    let sink = Sink::start();
    let key = &server.subscriber;
    let closes = Hook::of_events(&server, key, &sink.url("/closes"), &["trade.close"]);
    let all = Hook::create(&server, key, &sink.url("/all"));
    let events: Vec<Value> = TRIGGERS.iter().map(|(kind, _)| trade(kind, OWNER)).collect();
    let (first, last) = server.publish(&events);
    let posts = sink.posts("/all", 4);
    assert_eq!(kinds(&posts), ["trade.close", "trade.increase", "trade.liquidation", "trade.new"]);
    for post in &posts {
        assert_eq!(post.json()["type"], post.header("x-event-type"));
        assert!(post.json()["data"].get("tradeType").is_none(), "the type says it");
    }
    for seq in first..=last {
        all.delivery(&server, key, seq, "delivered");
    }
    let listed = closes.deliveries(&server, key);
    assert_eq!(listed.iter().map(|one| &one["event_type"]).collect::<Vec<_>>(), ["trade.close"]);
    assert_eq!(kinds(&sink.posts("/closes", 1)), ["trade.close"]);

    // The same event has one id for all, each delivery its own.
    let one = posts.iter().find(|post| post.header("x-event-type") == "trade.close").expect("a close");
    let other = &sink.posts_so_far("/closes")[0];
    assert_eq!(one.json()["id"], other.json()["id"]);
    assert_ne!(one.header("x-delivery-id"), other.header("x-delivery-id"));

    // A change of the events counts for what is published after its answer.
    closes.change(&server, key, &json!({ "events": ["trade.new"] }));
    server.publish(&events);
    let_all_be_matched(&server, &all);
    let mut types: Vec<String> = closes
        .deliveries(&server, key)
        .iter()
        .map(|one| one["event_type"].as_str().expect("a type").to_owned())
        .collect();
    types.reverse();
    assert_eq!(types, ["trade.close", "trade.new"]);
}

#[test]
fn only_trades_of_watched_wallets_arrive_and_a_change_of_the_list_counts_for_what_comes_after_it() {
    let server = server("");
    let sink = Sink::start();
    let key = &server.subscriber;
    let hook = Hook::of_events(&server, key, &sink.url("/hook"), &["trade.new"]);
    let witness = Hook::of_events(&server, key, &sink.url("/witness"), &["trade.liquidation"]);
    server.publish(&[numbered(NEWCOMER, 1), numbered(OWNER, 2)]);
    let_all_be_matched(&server, &witness);
    let add = Request::post("/api/watchlist").body(json!({ "owner": NEWCOMER }).to_string());
    assert_eq!(send(&server, key, add).status, 200);
    server.publish(&[numbered(NEWCOMER, 3)]);
    let_all_be_matched(&server, &witness);
    assert_eq!(send(&server, key, Request::new("DELETE", &format!("/api/watchlist/{NEWCOMER}"))).status, 200);
    server.publish(&[numbered(NEWCOMER, 4), numbered(OWNER, 5)]);
    let_all_be_matched(&server, &witness);
    sink.posts("/hook", 3);
    assert_eq!(hook.deliveries(&server, key).len(), 3);
    assert_eq!(numbers(&sink.posts_so_far("/hook")), [2, 3, 5]);
}

#[test]
fn deliveries_go_to_the_url_that_the_webhook_has_now() {
    let server = server("");
    let sink = Sink::start();
    let key = &server.subscriber;
    let hook = Hook::create(&server, key, &sink.url("/old"));
    server.publish(&[numbered(OWNER, 1)]);
    sink.posts("/old", 1);
    hook.change(&server, key, &json!({ "url": sink.url("/new") }));
    server.publish(&[numbered(OWNER, 2)]);
    assert_eq!(numbers(&sink.posts("/new", 1)), [2]);
    assert_eq!(numbers(&sink.posts_so_far("/old")), [1]);
}

#[test]
fn a_new_secret_signs_alone_where_one_signature_fits_and_beside_the_old_one_elsewhere() {
    let server = server("");
    let sink = Sink::start();
    let key = &server.subscriber;
    let hook = Hook::create(&server, key, &sink.url("/hook"));
    let made = done(200, &send(&server, key, Request::post(&hook.path("/secret"))));
    let new = made["webhook"]["secret"].as_str().expect("a secret");
    server.publish(&[trade("trade.open", OWNER)]);
    let post = sink.posts("/hook", 1).remove(0);
    post.assert_signed(new);
    let mut signatures: Vec<&str> = post.header("webhook-signature").split(' ').collect();
    signatures.sort_unstable();
    let mut expected = [post.standard_signature(new), post.standard_signature(&hook.secret)];
    expected.sort_unstable();
    assert_eq!(signatures, expected);
}

#[test]
fn an_old_secret_without_grace_signs_nothing() {
    let server = server("secret_grace_seconds = 0");
    let sink = Sink::start();
    let key = &server.subscriber;
    let hook = Hook::create(&server, key, &sink.url("/hook"));
    let made = done(200, &send(&server, key, Request::post(&hook.path("/secret"))));
    let new = made["webhook"]["secret"].as_str().expect("a secret");
    server.publish(&[trade("trade.open", OWNER)]);
    let post = sink.posts("/hook", 1).remove(0);
    assert_eq!(post.header("webhook-signature"), post.standard_signature(new));
}

#[test]
fn a_deleted_webhook_gets_nothing_more() {
    // The second attempt is due a second after the first, and the webhook is gone by then.
    let server = server("retry_seconds = [1]");
    let sink = Sink::scripted(&[500]);
    let witness_sink = Sink::start();
    let key = &server.subscriber;
    let hook = Hook::of_events(&server, key, &sink.url("/hook"), &["trade.new"]);
    let witness = Hook::of_events(&server, key, &witness_sink.url("/witness"), &["trade.liquidation"]);
    server.publish(&[trade("trade.open", OWNER)]);
    sink.posts("/hook", 1);
    done(200, &send(&server, key, Request::new("DELETE", &hook.path(""))));
    let sent = sink.posts_so_far("/hook").len();
    server.publish(&[trade("trade.open", OWNER)]);
    let_all_be_matched(&server, &witness);
    // Nothing can show that a retry does not come, but that its time has passed.
    std::thread::sleep(std::time::Duration::from_millis(1_500));
    let_all_be_matched(&server, &witness);
    assert_eq!(sink.posts_so_far("/hook").len(), sent);
}

#[test]
fn the_webhooks_of_a_deleted_account_end_with_it() {
    let server = server("");
    let sink = Sink::start();
    let admin = operator(&server, "ops");
    let theirs = server.member("other", "elite", &[]);
    let add = Request::post("/api/watchlist").body(json!({ "owner": OWNER }).to_string());
    assert_eq!(send(&server, &theirs, add).status, 200);
    Hook::create(&server, &theirs, &sink.url("/theirs"));
    let own = Hook::create(&server, &server.subscriber, &sink.url("/own"));
    server.publish(&[numbered(OWNER, 1)]);
    sink.posts("/theirs", 1);
    done(200, &send(&server, &admin, Request::new("DELETE", "/api/admin/accounts/other")));
    for number in 2..10 {
        let (seq, _) = server.publish(&[numbered(OWNER, number)]);
        own.delivery(&server, &server.subscriber, seq, "delivered");
    }
    assert_eq!(numbers(&sink.posts_so_far("/theirs")), [1]);
    // An account that takes the name does not take the webhooks.
    let again = server.member("other", "elite", &[]);
    assert_eq!(done(200, &send(&server, &again, Request::get("/api/webhooks")))["webhooks"], json!([]));
}

#[test]
fn a_lowered_tier_gets_no_deliveries_and_a_raised_one_does_again() {
    let server = server("");
    let sink = Sink::start();
    let admin = operator(&server, "ops");
    let key = &server.subscriber;
    Hook::of_events(&server, key, &sink.url("/hook"), &["trade.new"]);
    let other = server.member("other", "elite", &[]);
    let add = Request::post("/api/watchlist").body(json!({ "owner": OWNER }).to_string());
    assert_eq!(send(&server, &other, add).status, 200);
    let witness = Hook::create(&server, &other, &sink.url("/witness"));
    let set_tier = |tier: &str| {
        let change = Request::new("PATCH", "/api/admin/accounts/watcher").body(json!({ "tier": tier }).to_string());
        done(200, &send(&server, &admin, change));
    };
    set_tier("pro");
    let (seq, _) = server.publish(&[numbered(OWNER, 1)]);
    witness.delivery(&server, &other, seq, "delivered");
    set_tier("elite");
    server.publish(&[numbered(OWNER, 2)]);
    assert_eq!(numbers(&sink.posts("/hook", 1)), [2]);
}
