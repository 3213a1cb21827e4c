//! Numbers in the document, and the limits that they are.

use serde_json::Value;

use super::openapi;
use crate::limits;

/// With the commas that English has between thousands.
fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let places = digits.len();
    let grouped = digits.chars().enumerate().map(|(at, digit)| match at > 0 && (places - at).is_multiple_of(3) {
        true => format!(",{digit}"),
        false => digit.to_string(),
    });
    grouped.collect()
}

#[track_caller]
fn check(document: &Value, bounds: &[(&str, usize)]) {
    for (place, limit) in bounds {
        let found = document.pointer(place).unwrap_or_else(|| panic!("there is no {place}"));
        assert_eq!(found.as_u64(), Some(*limit as u64), "{place}");
    }
}

#[track_caller]
fn check_told(document: &Value, place: &str, limits: &[usize]) {
    let text = document.pointer(place).and_then(Value::as_str).unwrap_or_else(|| panic!("there is no {place}"));
    for limit in limits {
        assert!(text.contains(&grouped(*limit)), "{place} does not tell {}: {text}", grouped(*limit));
    }
}

#[test]
fn numbers_are_grouped_in_threes() {
    assert_eq!([0, 999, 1_000, 65_536, 8_388_608].map(grouped), ["0", "999", "1,000", "65,536", "8,388,608"]);
}

#[test]
fn the_bounds_of_the_rest_side_are_the_codes() {
    let document = openapi();
    for event in ["TradeEvent", "AlertEvent", "FlatEvent", "RoomsEvent"] {
        let bound = |field: &str, limit| {
            let place = format!("/components/schemas/{event}/properties/{field}/maxLength");
            check(&document, &[(&place, limit)]);
        };
        bound("channel", limits::EVENT_CHANNEL_BYTES_MAX);
        bound("key", limits::EVENT_KEY_BYTES_MAX);
        bound("id", limits::EVENT_ID_BYTES_MAX);
        if event.starts_with(['F', 'R']) {
            bound("type", limits::EVENT_TYPE_BYTES_MAX);
        }
        if event != "AlertEvent" {
            bound("topic", limits::TOPIC_BYTES_MAX);
        }
    }
    check(
        &document,
        &[
            ("/components/schemas/Seq/maximum", limits::SEQ_MAX as usize),
            ("/components/schemas/Trade/properties/owner/maxLength", limits::TRADE_TEXT_BYTES_MAX),
            ("/components/schemas/Trade/properties/marketSymbol/maxLength", limits::TRADE_TEXT_BYTES_MAX),
            ("/components/schemas/Accepted/properties/accepted/maximum", limits::BATCH_EVENTS_MAX),
            ("/components/schemas/EventPage/properties/events/maxItems", limits::EVENTS_MAX),
            ("/components/schemas/LatestAlerts/properties/alerts/maxItems", limits::LATEST_ALERTS_MAX),
            ("/components/schemas/Owner/maxLength", limits::OWNER_BYTES_MAX),
            ("/components/schemas/Watchlist/properties/owners/maxItems", limits::WATCHLIST_OWNERS_MAX),
            ("/components/schemas/WatchlistEdit/properties/total/maximum", limits::WATCHLIST_OWNERS_MAX),
            ("/components/schemas/AccountName/maxLength", limits::ACCOUNT_NAME_BYTES_MAX),
            ("/components/schemas/Account/properties/grants/maxItems", limits::GRANTS_PER_ACCOUNT_MAX),
            ("/components/schemas/Account/properties/live_keys/maximum", limits::LIVE_KEYS_PER_ACCOUNT_MAX),
            ("/components/schemas/Accounts/properties/accounts/maxItems", limits::ACCOUNTS_PAGE_MAX),
            ("/components/schemas/WebhookUrl/maxLength", limits::WEBHOOK_URL_BYTES_MAX),
            ("/components/schemas/WebhookChange/properties/url/maxLength", limits::WEBHOOK_URL_BYTES_MAX),
            ("/components/schemas/Webhooks/properties/webhooks/maxItems", limits::WEBHOOKS_PER_ACCOUNT_MAX),
            ("/components/schemas/Delivery/properties/attempts/maxItems", limits::ATTEMPTS_RECORDED_MAX as usize),
            ("/components/schemas/Deliveries/properties/deliveries/maxItems", limits::DELIVERIES_LISTED_MAX),
            ("/components/schemas/WatchedWebhooks/properties/webhooks/maxItems", limits::OPERATOR_WEBHOOKS_MAX),
            ("/components/schemas/BusiestTopics/properties/by_events/maxItems", limits::TOPICS_LISTED_MAX),
            ("/components/schemas/SlowSessions/properties/sessions/maxItems", limits::SLOW_LISTED_MAX),
            ("/components/schemas/AuditEntries/properties/entries/maxItems", limits::AUDIT_PAGE_MAX),
            ("/components/parameters/topic/schema/maxItems", limits::SUBSCRIPTIONS_MAX as usize),
            ("/components/parameters/topic/schema/items/maxLength", limits::TOPIC_BYTES_MAX),
        ],
    );
    let publish = "/paths/~1api~1events/post";
    let array = format!("{publish}/requestBody/content/application~1json/schema/anyOf/1/maxItems");
    check(&document, &[(&array, limits::BATCH_EVENTS_MAX)]);
    check_told(&document, &format!("{publish}/description"), &[limits::BODY_BYTES_MAX, limits::BATCH_EVENTS_MAX]);
    let poll = "/paths/~1api~1events/get/description";
    check_told(&document, poll, &[limits::EVENTS_SCANNED_MAX, limits::EVENTS_ANSWER_BYTES_MAX]);
    let event = "/components/schemas/PublishedEvent/description";
    check_told(&document, event, &[limits::EVENT_BYTES_MAX, limits::EVENT_DEPTH_MAX]);
    check_told(&document, "/info/description", &[limits::HEADER_BYTES_MAX]);
}

/// Of what is a set, the code counts each once, so a request's list may be longer than the set.
#[test]
fn the_list_of_a_set_is_as_long_as_its_body_allows() {
    let document = openapi();
    let watchlist = "/paths/~1api~1watchlist/put";
    let owners = format!("{watchlist}/requestBody/content/application~1json/schema/properties/owners");
    for list in [
        &owners,
        "/components/schemas/WantedAccount/properties/grants",
        "/components/schemas/AccountChange/properties/grants",
        "/components/schemas/AccountChange/properties/grant",
        "/components/schemas/AccountChange/properties/revoke",
    ] {
        let list = document.pointer(list).unwrap_or_else(|| panic!("there is no {list}"));
        assert!(list["items"].is_object() && list["maxItems"].is_null(), "{list}");
    }
    let told = [limits::WATCHLIST_OWNERS_MAX, limits::WATCHLIST_BODY_BYTES_MAX];
    check_told(&document, &format!("{watchlist}/description"), &told);
    for schema in ["WantedAccount", "AccountChange"] {
        let place = format!("/components/schemas/{schema}/description");
        check_told(&document, &place, &[limits::GRANTS_PER_ACCOUNT_MAX]);
    }
}

#[test]
fn a_limit_is_the_default_and_the_most_that_the_code_takes() {
    let document = openapi();
    for (path, default, most) in [
        ("/api/events", limits::EVENTS_DEFAULT, limits::EVENTS_MAX),
        ("/alerts/latest", limits::LATEST_ALERTS_DEFAULT, limits::LATEST_ALERTS_MAX),
        ("/api/admin/accounts", limits::ACCOUNTS_PAGE_MAX, limits::ACCOUNTS_PAGE_MAX),
        ("/api/webhooks/{id}/deliveries", limits::DELIVERIES_LISTED, limits::DELIVERIES_LISTED_MAX),
        ("/api/admin/webhooks", limits::OPERATOR_WEBHOOKS_MAX, limits::OPERATOR_WEBHOOKS_MAX),
        ("/api/admin/webhooks/{id}/deliveries", limits::DELIVERIES_LISTED, limits::DELIVERIES_LISTED_MAX),
        ("/api/admin/topics", limits::TOPICS_LISTED, limits::TOPICS_LISTED_MAX),
        ("/api/admin/slow", limits::SLOW_LISTED, limits::SLOW_LISTED_MAX),
        ("/api/admin/audit", limits::AUDIT_PAGE, limits::AUDIT_PAGE_MAX),
    ] {
        let parameters = document["paths"][path]["get"]["parameters"].as_array().expect(path);
        let limit = parameters.iter().find(|parameter| parameter["name"] == "limit").expect(path);
        let schema = &limit["schema"];
        let found = [&schema["minimum"], &schema["default"], &schema["maximum"]].map(Value::as_u64);
        assert_eq!(found, [1, default, most].map(|number| Some(number as u64)), "{path}");
    }
}
