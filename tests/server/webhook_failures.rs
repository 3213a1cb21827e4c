//! What becomes of deliveries and webhooks where an endpoint fails, is gone or is disabled, and where the server ends meanwhile.

use std::collections::HashSet;

use serde_json::{Value, json};

use crate::process::{OWNER, Server};
use crate::trade::{numbered, trade};
use crate::wait::{SOON, until};
use crate::webhook_deliveries::{let_all_be_matched, numbers};
use crate::webhook_sink::{Answer, Post, Sink};
use crate::webhooks::{Hook, done, server};

#[test]
fn a_failed_attempt_is_made_again_under_the_same_ids_until_none_is_left() {
    let server = server("retry_seconds = [1, 1]");
    let sink = Sink::scripted(&[500, 302, 404]);
    let key = &server.subscriber;
    let hook = Hook::create(&server, key, &sink.url("/hook"));
    let (seq, _) = server.publish(&[trade("trade.open", OWNER)]);
    let failed = hook.delivery(&server, key, seq, "failed");
    let posts = sink.posts("/hook", 3);
    let attempts: Vec<&str> = posts.iter().map(|post| post.header("x-delivery-attempt")).collect();
    assert_eq!(attempts, ["1", "2", "3"]);
    for post in &posts {
        assert_eq!(post.header("x-delivery-id"), posts[0].header("x-delivery-id"));
        assert_eq!(post.body, posts[0].body, "the id of the event included");
        post.assert_signed(&hook.secret);
        assert_eq!(post.header("webhook-signature"), post.standard_signature(&hook.secret));
    }
    let statuses: Vec<&Value> =
        failed["attempts"].as_array().expect("a list").iter().map(|attempt| &attempt["status_code"]).collect();
    assert_eq!(statuses, [500, 302, 404], "a redirect is no success, and is not followed");
    assert!(failed["attempts"][0]["error"].is_string(), "{failed}");
    assert_eq!((&failed["next_attempt_at"], &failed["id"]), (&Value::Null, &json!(posts[0].header("x-delivery-id"))));
    assert_eq!(hook.show(&server, key)["failures"], 3);
}

#[test]
fn an_attempt_that_succeeds_ends_it_and_clears_the_failures() {
    let server = server("retry_seconds = [1]");
    let sink = Sink::scripted(&[503, 201]);
    let key = &server.subscriber;
    let hook = Hook::create(&server, key, &sink.url("/hook"));
    let (seq, _) = server.publish(&[trade("trade.open", OWNER)]);
    let delivered = hook.delivery(&server, key, seq, "delivered");
    assert_eq!(delivered["attempts"].as_array().map(Vec::len), Some(2), "{delivered}");
    assert_eq!(hook.show(&server, key)["failures"], 0);
    assert_eq!(sink.posts_so_far("/hook").len(), 2);
}

#[test]
fn an_endpoint_that_is_gone_disables_its_webhook_and_a_replay_brings_what_it_missed() {
    let server = server("concurrency = 1");
    let sink = Sink::scripted(&[200, 410, 200]);
    let witness_sink = Sink::start();
    let key = &server.subscriber;
    let hook = Hook::of_events(&server, key, &sink.url("/hook"), &["trade.new"]);
    let witness = Hook::of_events(&server, key, &witness_sink.url("/witness"), &["trade.liquidation", "operational"]);
    let (first, _) = server.publish(&[numbered(OWNER, 1)]);
    hook.delivery(&server, key, first, "delivered");
    let (gone, _) = server.publish(&[numbered(OWNER, 2)]);
    hook.delivery(&server, key, gone, "dropped");
    let shown = hook.show(&server, key);
    assert_eq!((&shown["is_active"], &shown["disabled"]["reason"]), (&json!(false), &json!("gone")));
    assert_eq!(shown["disabled"]["since"], gone - 1, "what was refused is to be had again");
    let listed = hook.deliveries(&server, key);
    let notice = listed.iter().find(|one| one["status"] == "notice").expect("word of it");
    assert!(notice["note"].as_str().is_some_and(|words| words.contains("410")), "{notice}");

    // The account's other webhook is told, as it asked for that.
    let told = witness_sink.posts("/witness", 1).remove(0);
    told.assert_signed(&witness.secret);
    assert_eq!(told.header("x-event-type"), "operational");
    let data = &told.json()["data"];
    assert_eq!((&data["kind"], &data["webhook"]), (&json!("webhook.disabled"), &json!(hook.id)));
    assert_eq!(data["reason"], "gone");

    server.publish(&[numbered(OWNER, 3), numbered(OWNER, 4)]);
    let_all_be_matched(&server, &witness);
    assert_eq!(sink.posts_so_far("/hook").len(), 2, "nothing is sent to it");
    let refused = hook.replay(&server, key, gone - 1);
    assert_eq!((refused.status, refused.error()["code"].as_str()), (409, Some("WEBHOOK_DISABLED")));

    let enabled = hook.change(&server, key, &json!({ "is_active": true }));
    assert_eq!((&enabled["is_active"], enabled.get("disabled")), (&json!(true), None));
    let (after, _) = server.publish(&[numbered(OWNER, 5)]);
    hook.delivery(&server, key, after, "delivered");
    assert_eq!(numbers(&sink.posts_so_far("/hook")[2..]), [5], "the past comes only when it is asked for");
    let since = shown["disabled"]["since"].as_u64().expect("a number");
    let told = done(202, &hook.replay(&server, key, since));
    assert_eq!(told["from"], gone);
    assert!(told["until"].as_u64().is_some_and(|until| until > gone + 2) && told["message"].is_string(), "{told}");
    for seq in [gone, gone + 1, gone + 2] {
        hook.delivery(&server, key, seq, "delivered");
    }
    let posts = sink.posts_so_far("/hook");
    let again: Vec<&Post> = posts.iter().filter(|post| post.json()["data"]["number"] == 2).collect();
    assert_eq!(again[0].header("x-delivery-id"), again[1].header("x-delivery-id"), "the same delivery");
    assert_eq!(again[0].body, again[1].body);
    let brought: HashSet<u64> = numbers(&posts[2..]).into_iter().collect();
    assert_eq!(brought, HashSet::from([2, 3, 4, 5]));
    assert_eq!(numbers(&posts).iter().filter(|number| **number == 1).count(), 1, "what is before since stays there");
}

#[test]
fn a_webhook_that_its_owner_disabled_gets_nothing_until_it_is_enabled() {
    let server = server("");
    let sink = Sink::start();
    let key = &server.subscriber;
    let hook = Hook::of_events(&server, key, &sink.url("/hook"), &["trade.new"]);
    let witness = Hook::of_events(&server, key, &sink.url("/witness"), &["trade.liquidation"]);
    hook.change(&server, key, &json!({ "is_active": false }));
    let (missed, _) = server.publish(&[numbered(OWNER, 1)]);
    let_all_be_matched(&server, &witness);
    assert_eq!(hook.deliveries(&server, key), [] as [Value; 0]);
    let since = hook.show(&server, key)["disabled"]["since"].as_u64().expect("a number");
    assert!(since < missed, "{since}");
    hook.change(&server, key, &json!({ "is_active": true }));
    server.publish(&[numbered(OWNER, 2)]);
    assert_eq!(numbers(&sink.posts("/hook", 1)), [2]);
    done(202, &hook.replay(&server, key, since));
    hook.delivery(&server, key, missed, "delivered");
    let nothing = done(202, &hook.replay(&server, key, server.last_seq()));
    assert_eq!(nothing["from"], nothing["until"]);
}

#[test]
fn a_redirect_is_not_followed() {
    let server = server("retry_seconds = []");
    let sink =
        Sink::answering(|_, _| Answer { header: Some(("Location", "/elsewhere".to_owned())), ..Answer::of(307) });
    let key = &server.subscriber;
    let hook = Hook::create(&server, key, &sink.url("/hook"));
    let (seq, _) = server.publish(&[trade("trade.open", OWNER)]);
    let failed = hook.delivery(&server, key, seq, "failed");
    assert_eq!(failed["attempts"][0]["status_code"], 307);
    assert_eq!(sink.posts_so_far("/hook").len(), 1, "without a schedule there is one attempt");
    assert!(sink.posts_so_far("/elsewhere").is_empty());
}

#[test]
fn webhooks_and_what_waits_for_another_attempt_outlive_the_server() {
    let mut server = server("retry_seconds = [3]");
    let sink = Sink::scripted(&[500, 200]);
    let key = server.subscriber.clone();
    let hook = Hook::create(&server, &key, &sink.url("/hook"));
    let shown = hook.show(&server, &key);
    let (seq, _) = server.publish(&[numbered(OWNER, 1)]);
    let pending = until_attempted(&server, &hook, &key, seq);
    assert!(pending["next_attempt_at"].is_string(), "{pending}");
    server.kill();
    server.start_again();
    let mut after = hook.show(&server, &key);
    assert!(after["failures"].as_u64().is_some_and(|failures| failures <= 1), "{after}");
    after["failures"] = shown["failures"].clone();
    assert_eq!(after, shown);
    let delivered = hook.delivery(&server, &key, seq, "delivered");
    assert_eq!(delivered["id"], pending["id"]);
    let posts = sink.posts("/hook", 2);
    assert_eq!(posts[0].header("x-delivery-id"), posts[1].header("x-delivery-id"));
    assert_eq!((posts[1].header("x-delivery-attempt"), &posts[1].body), ("2", &posts[0].body));
    posts[1].assert_signed(&hook.secret);

    // And what is published after an orderly stop and a start.
    server.stop();
    server.start_again();
    let (seq, _) = server.publish(&[numbered(OWNER, 2)]);
    hook.delivery(&server, &key, seq, "delivered");
    assert_eq!(numbers(&sink.posts_so_far("/hook")), [1, 1, 2]);
}

/// Waits until the first attempt of a delivery is on record, and it waits for the next one.
fn until_attempted(server: &Server, hook: &Hook, key: &str, seq: u64) -> Value {
    until("the first attempt's record", SOON, || {
        let delivery = hook.delivery(server, key, seq, "pending");
        (delivery["attempts"].as_array().map(Vec::len) == Some(1)).then_some(delivery)
    })
}
