//! Bodies of requests about webhooks. Pure.

use serde::Deserialize;

use crate::delivery::{DeliveryError, EventKind, EventKinds, UnknownEventKind};
use crate::desk::accounts::parse;
use crate::desk::error::RestError;

/// A webhook to be made.
#[derive(Debug, PartialEq, Eq)]
pub struct Wanted {
    pub url: String,
    pub events: EventKinds,
}

/// What is `None` stays.
#[derive(Debug, PartialEq, Eq)]
pub struct Change {
    pub url: Option<String>,
    pub events: Option<EventKinds>,
    pub is_active: Option<bool>,
}

pub fn new(body: &[u8]) -> Result<Wanted, RestError> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Body {
        url: String,
        events: Vec<String>,
    }
    let Body { url, events } = parse(body, r#"{"url":"https://…","events":["trade.new",…]}"#)?;
    Ok(Wanted { url, events: kinds(&events)? })
}

pub fn change(body: &[u8]) -> Result<Change, RestError> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Body {
        url: Option<String>,
        events: Option<Vec<String>>,
        is_active: Option<bool>,
    }
    let Body { url, events, is_active } = parse(body, r#"an object with "url", "events" or "is_active""#)?;
    Ok(Change { url, events: events.as_deref().map(kinds).transpose()?, is_active })
}

/// Whether a webhook is to be active, which is all that an operator may change of another account's.
pub fn is_active(body: &[u8]) -> Result<bool, RestError> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Body {
        is_active: bool,
    }
    let Body { is_active } = parse(body, r#"{"is_active":true} or {"is_active":false}"#)?;
    Ok(is_active)
}

/// The number after which a replay begins.
pub fn since(body: &[u8]) -> Result<u64, RestError> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Body {
        since: u64,
    }
    let Body { since } = parse(body, r#"{"since":SEQ}, the number of an event or 0"#)?;
    Ok(since)
}

/// A set: one that is named twice counts once, and the order is the set's own.
fn kinds(names: &[String]) -> Result<EventKinds, RestError> {
    let kinds = names.iter().map(|name| name.parse::<EventKind>()).collect::<Result<EventKinds, UnknownEventKind>>()?;
    if kinds.is_empty() { Err(DeliveryError::NoEvents.into()) } else { Ok(kinds) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code_and_words<T: std::fmt::Debug>(refused: Result<T, RestError>) -> (&'static str, String) {
        let error = refused.expect_err("refused");
        assert_eq!(error.status(), http::StatusCode::BAD_REQUEST);
        (error.code(), error.to_string())
    }

    #[test]
    fn a_new_webhook_has_a_url_and_a_set_of_events() {
        let body = br#"{"events":["trade.close","trade.new","trade.close"],"url":"https://a.example/hook"}"#;
        let events = [EventKind::TradeNew, EventKind::TradeClose].into_iter().collect();
        assert_eq!(new(body).expect("valid"), Wanted { url: "https://a.example/hook".to_owned(), events });
    }

    #[test]
    fn a_body_of_another_shape_is_told_the_right_one() {
        for body in [
            "",
            "[]",
            "null",
            r#"{"url":"https://a.example"}"#,
            r#"{"events":["trade.new"]}"#,
            r#"{"url":1,"events":["trade.new"]}"#,
            r#"{"url":"https://a.example","events":"trade.new"}"#,
            r#"{"url":"https://a.example","events":[1]}"#,
            r#"{"url":"https://a.example","events":["trade.new"],"secret":"whsec_mine"}"#,
            r#"{"url":"https://a.example","url":"https://b.example","events":["trade.new"]}"#,
            r#"{"url":"https://a.example","events":["trade.new"]} {}"#,
        ] {
            let (code, words) = code_and_words(new(body.as_bytes()));
            assert_eq!(code, "INVALID_REQUEST", "{body}");
            assert!(words.starts_with(r#"the body must be {"url":"https://…","events":["trade.new",…]}: "#), "{words}");
        }
        let (code, words) = code_and_words(change(br#"{"active":true}"#));
        assert_eq!(code, "INVALID_REQUEST");
        assert!(words.contains("is_active") && words.contains("`active`"), "{words}");
    }

    #[test]
    fn a_wrong_event_is_named_and_no_event_is_no_webhook() {
        let (code, words) = code_and_words(new(br#"{"url":"x","events":["trade.new","trade.open"]}"#));
        assert_eq!(code, "INVALID_EVENTS");
        assert!(words.contains(r#""trade.open""#) && words.contains("trade.liquidation"), "{words}");
        let long = format!(r#"{{"url":"x","events":["{}"]}}"#, "x".repeat(10_000));
        let (code, words) = code_and_words(new(long.as_bytes()));
        assert!(code == "INVALID_EVENTS" && words.len() < 300, "{words}");
        for refused in [new(br#"{"url":"x","events":[]}"#).err(), change(br#"{"events":[]}"#).err()] {
            assert_eq!(refused.map(|error| error.code()), Some("INVALID_EVENTS"));
        }
    }

    #[test]
    fn a_change_names_what_changes() {
        let nothing = Change { url: None, events: None, is_active: None };
        assert_eq!(change(b"{}").expect("valid"), nothing);
        let all = change(br#"{"url":"https://b.example","events":["operational"],"is_active":false}"#).expect("valid");
        let events = Some([EventKind::Operational].into_iter().collect());
        assert_eq!(all, Change { url: Some("https://b.example".to_owned()), events, is_active: Some(false) });
    }

    #[test]
    fn a_replay_begins_after_a_number() {
        assert_eq!(since(br#"{"since":0}"#).expect("valid"), 0);
        assert_eq!(since(br#"{"since":18446744073709551615}"#).expect("valid"), u64::MAX);
        for wrong in ["", "{}", r#"{"since":-1}"#, r#"{"since":1.5}"#, r#"{"since":"1"}"#, r#"{"since":1,"until":2}"#] {
            let (code, words) = code_and_words(since(wrong.as_bytes()));
            assert!(code == "INVALID_REQUEST" && words.contains(r#"{"since":SEQ}"#), "{wrong}: {words}");
        }
    }

    #[test]
    fn a_deep_body_is_refused_and_not_followed() {
        let deep = format!(r#"{{"url":"x","events":{}"#, "[".repeat(16_000));
        assert_eq!(code_and_words(new(deep.as_bytes())).0, "INVALID_REQUEST");
    }
}
