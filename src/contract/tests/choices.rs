//! Words to choose from, and the fields of the counters.

use serde_json::Value;

use super::openapi;
use crate::accounts::audit::{Action, ActionFilter};
use crate::accounts::{Role, Tier};
use crate::delivery::{DeliveryState, EventKind};
use crate::metrics::{ProcessSample, Sample, ShardSample, ThreadSample};
use crate::protocol::{Endpoint, SlowPolicy};

#[test]
fn choices_are_the_codes() {
    let document = openapi();
    let listed = |place: &str| {
        let list = document.pointer(place).and_then(Value::as_array).unwrap_or_else(|| panic!("there is no {place}"));
        list.iter().map(|word| word.as_str().expect("a word").to_owned()).collect::<Vec<_>>()
    };
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    assert_eq!(listed("/components/schemas/Role/enum"), words(&Role::ALL.map(Role::as_str)));
    assert_eq!(listed("/components/schemas/Tier/enum"), words(&Tier::ALL.map(Tier::as_str)));
    assert_eq!(listed("/components/schemas/WebhookEvent/enum"), words(&EventKind::ALL.map(EventKind::as_str)));
    let status = "/components/schemas/Delivery/properties/status/enum";
    assert_eq!(listed(status), words(&DeliveryState::ALL.map(DeliveryState::as_str)));
    assert_eq!(listed("/components/parameters/policy/schema/enum"), words(&SlowPolicy::ALL.map(SlowPolicy::as_str)));
    let action = "/components/schemas/AuditEntry/properties/action/enum";
    let actions: Vec<&str> = Action::ALL.iter().map(|action| action.as_str()).collect();
    assert_eq!(listed(action), words(&actions));
    let parameters = "/paths/~1api~1admin~1audit/get/parameters";
    let parameters = document.pointer(parameters).and_then(Value::as_array).expect("parameters");
    let filter = parameters.iter().find(|parameter| parameter["name"] == "action").expect("a filter");
    for word in filter["schema"]["enum"].as_array().expect("words").iter().filter_map(Value::as_str) {
        word.parse::<ActionFilter>().expect(word);
    }
    let protocol = "/components/schemas/SlowSession/properties/protocol/enum";
    assert_eq!(listed(protocol), words(&Endpoint::ALL.map(Endpoint::as_str)));
}

/// The schema of an object has the fields of this one, and each of them is required.
fn check_fields(schema: &Value, value: &Value, place: &str) {
    if let (Some(fields), Some(described)) = (value.as_object(), schema["properties"].as_object()) {
        let names: Vec<&String> = fields.keys().collect();
        assert_eq!(described.keys().collect::<Vec<_>>(), names, "{place}");
        let required = schema["required"].as_array().expect(place).iter().filter_map(Value::as_str);
        assert_eq!(required.collect::<Vec<_>>(), names, "{place}");
        for (name, value) in fields {
            check_fields(&described[name], value, &format!("{place}.{name}"));
        }
    }
    for value in value.as_array().into_iter().flatten() {
        check_fields(&schema["items"], value, &format!("{place}[]"));
    }
}

#[test]
fn a_sample_is_described_to_its_last_counter() {
    let sample = Sample {
        shards: vec![ShardSample::default()],
        process: ProcessSample { threads: vec![ThreadSample::default()], ..Default::default() },
        ..Sample::default()
    };
    let document = openapi();
    check_fields(
        &document["components"]["schemas"]["Sample"],
        &serde_json::to_value(sample).expect("plain values"),
        "sample",
    );
}
