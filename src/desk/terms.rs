//! `since` and `policy`: from where a client wants events, and what is to become of it when it is too slow.
//!
//! | in the address | or |
//! |---|---|
//! | `?since=SEQ` | the header `Last-Event-ID` of a stream, which wins: a browser that comes back sends it beside the address that it began with |
//! | `?policy=catch-up`, `latest`, `disconnect` | what the configuration says for the endpoint |

use http::{HeaderMap, Uri};

use super::error::RestError;
use super::query;
use crate::protocol::{Endpoint, SlowPolicy, SlowRules, Terms};

/// The terms of a WebSocket at this endpoint. `last_seq` is the newest number that has been given out, as the client is told
/// it: the watchlist protocol has no greeting, so it is what its client goes on from.
pub fn of_session(uri: &Uri, endpoint: Endpoint, slow: &SlowRules, last_seq: u64) -> Result<Terms, RestError> {
    let told = (endpoint == Endpoint::Watchlist).then_some(last_seq);
    Ok(Terms { since: since(uri, last_seq)?.or(told), policy: policy(uri, endpoint, slow)? })
}

/// The terms of a stream, which begins where its client is told that it does.
pub fn of_stream(uri: &Uri, headers: &HeaderMap, slow: &SlowRules, last_seq: u64) -> Result<Terms, RestError> {
    let last_event = headers.get(LAST_EVENT_ID).map(|value| value.to_str().unwrap_or_default());
    let since = match last_event {
        Some(text) => number(LAST_EVENT_ID, text, last_seq)?,
        None => since(uri, last_seq)?.unwrap_or(last_seq),
    };
    Ok(Terms { since: Some(since), policy: policy(uri, Endpoint::Stream, slow)? })
}

/// `since`, where it is there.
pub fn since(uri: &Uri, last_seq: u64) -> Result<Option<u64>, RestError> {
    query::value(uri, "since").map(|text| number("since", &text, last_seq)).transpose()
}

const LAST_EVENT_ID: &str = "last-event-id";

/// A number that has been given out. One that has not is from another server or another life of this one: whoever believed
/// to have seen it would miss every event up to there.
fn number(name: &str, text: &str, last_seq: u64) -> Result<u64, RestError> {
    let digits = Some(text).filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    let since = digits.and_then(|text| text.parse().ok()).ok_or_else(|| {
        RestError::InvalidRequest(format!("{name} must be the number of an event, or 0 for all that is kept"))
    })?;
    if since > last_seq { Err(RestError::SinceInFuture { since, last_seq }) } else { Ok(since) }
}

fn policy(uri: &Uri, endpoint: Endpoint, slow: &SlowRules) -> Result<SlowPolicy, RestError> {
    let configured = slow.policy(endpoint);
    let Some(text) = query::value(uri, "policy") else { return Ok(configured) };
    let policy: SlowPolicy = text.parse().map_err(|unknown| RestError::InvalidRequest(format!("policy: {unknown}")))?;
    if policy != configured && !slow.may_choose(endpoint) {
        return Err(RestError::InvalidRequest(format!(
            "policy can't be chosen here, where it is {configured}: the operator can add \"{endpoint}\" to {CHOICE_KEY}"
        )));
    }
    Ok(policy)
}

/// Where the configuration lists the endpoints whose clients may choose.
const CHOICE_KEY: &str = "session_choice in [slow_consumers]";

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn uri(query: &str) -> Uri {
        format!("/ws/alerts?{query}").parse().expect("an address")
    }

    fn session(query: &str, last_seq: u64) -> Result<Terms, RestError> {
        of_session(&uri(query), Endpoint::Tiered, &SlowRules::default(), last_seq)
    }

    #[test]
    fn terms_are_what_the_address_says_and_else_the_configurations() {
        let none = session("api_key=k", 9).expect("no terms");
        assert_eq!(none, Terms { since: None, policy: SlowPolicy::CatchUp });
        for (query, since, policy) in [
            ("since=0", Some(0), SlowPolicy::CatchUp),
            ("since=9&policy=latest", Some(9), SlowPolicy::Latest),
            ("policy=disconnect&since=007", Some(7), SlowPolicy::Disconnect),
            ("policy=catch-up&since=1&since=2", Some(1), SlowPolicy::CatchUp),
        ] {
            assert_eq!(session(query, 9).expect(query), Terms { since, policy }, "{query}");
        }
        let mut slow = SlowRules::default();
        slow.set_policy(Endpoint::Tiered, SlowPolicy::Disconnect);
        let configured = of_session(&uri(""), Endpoint::Tiered, &slow, 9).expect("no terms");
        assert_eq!(configured.policy, SlowPolicy::Disconnect);
    }

    #[test]
    fn who_is_told_a_number_instead_of_a_greeting_goes_on_from_it() {
        let since = |endpoint, query: &str| {
            of_session(&uri(query), endpoint, &SlowRules::default(), 9).expect("sound terms").since
        };
        assert_eq!(since(Endpoint::Watchlist, ""), Some(9));
        assert_eq!(since(Endpoint::Watchlist, "since=4"), Some(4));
        for greeted in [Endpoint::Tiered, Endpoint::Channels, Endpoint::Rooms] {
            assert_eq!(since(greeted, ""), None);
        }
    }

    #[test]
    fn a_since_that_is_no_number_is_refused_by_name() {
        for wrong in ["", "-1", "%2B1", "1.5", "1e3", "now", "%D9%A5", "18446744073709551616"] {
            let refused = session(&format!("since={wrong}"), u64::MAX).expect_err(wrong);
            assert_eq!((refused.status().as_u16(), refused.code()), (400, "INVALID_REQUEST"), "{wrong}");
            assert!(refused.to_string().starts_with("since "), "{refused}");
        }
    }

    #[test]
    fn a_since_in_the_future_is_refused_with_both_numbers() {
        assert_eq!(session("since=9", 9).expect("the newest").since, Some(9));
        let refused = session("since=10", 9).expect_err("not given out");
        assert_eq!((refused.status().as_u16(), refused.code()), (400, "SINCE_IN_FUTURE"));
        let message = refused.to_string();
        assert!(message.contains("10") && message.contains(" 9"), "{message}");
    }

    #[test]
    fn a_policy_is_chosen_where_the_operator_lets_it() {
        let unknown = session("policy=fast", 0).expect_err("unknown");
        assert!(unknown.code() == "INVALID_REQUEST" && unknown.to_string().contains("catch-up, latest"), "{unknown}");
        let mut slow = SlowRules::default();
        slow.set_choice(&[Endpoint::Rooms]);
        let choose = |endpoint, policy: &str| of_session(&uri(&format!("policy={policy}")), endpoint, &slow, 0);
        assert_eq!(choose(Endpoint::Rooms, "latest").expect("allowed").policy, SlowPolicy::Latest);
        assert_eq!(choose(Endpoint::Tiered, "catch-up").expect("its own").policy, SlowPolicy::CatchUp);
        let refused = choose(Endpoint::Tiered, "latest").expect_err("not allowed");
        assert_eq!((refused.status().as_u16(), refused.code()), (400, "INVALID_REQUEST"));
        assert!(refused.to_string().contains(CHOICE_KEY) && refused.to_string().contains("\"tiered\""), "{refused}");
    }

    #[test]
    fn a_browser_that_comes_back_goes_on_where_it_was() {
        let stream = |id: Option<&'static str>, query: &str| {
            let headers = id.map(|id| (http::HeaderName::from_static(LAST_EVENT_ID), HeaderValue::from_static(id)));
            of_stream(&uri(query), &headers.into_iter().collect(), &SlowRules::default(), 9)
        };
        assert_eq!(stream(None, "since=3").expect("the address's").since, Some(3));
        assert_eq!(stream(Some("5"), "since=3").expect("the header's").since, Some(5));
        assert_eq!(stream(Some("5"), "since=junk").expect("the header's").since, Some(5));
        assert_eq!(stream(None, "").expect("none").since, Some(9));
        let wrong = stream(Some("x"), "since=3").expect_err("no number");
        assert!(wrong.to_string().starts_with(LAST_EVENT_ID), "{wrong}");
        assert_eq!(stream(Some("10"), "since=3").expect_err("the future").code(), "SINCE_IN_FUTURE");
    }
}
