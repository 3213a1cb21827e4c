//! What is sent: `{"id":"evt_…","type":"trade.new","created":1705312800,"data":{…}}`, encoded once an event, whoever it goes to.
//!
//! `data` is canonical already (what `JSON.stringify(JSON.parse(text))` gives) and the fields around it are written in that form, so a
//! receiver that parses and writes the body again has the signed bytes.

use std::fmt;
use std::io::Write;

use bytes::Bytes;
use jiff::Timestamp;
use sha2::{Digest, Sha256};

use super::{EventKind, Webhook, WebhookId};
use crate::event::{Event, Namespace, TradeKind, append_string};

/// The type of `POST …/test`, which no webhook can ask for and no trading program acts on.
const TEST_KIND: &str = "webhook.test";
/// What stands around `data`, with room for the longest type and number.
const FRAME_BYTES_MAX: usize = 128;

/// Random bytes that make a server's ids its own: two servers that number their events alike send no equal ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Salt(pub [u8; 16]);

/// `evt_` and 24 hex digits: the same event, the same id, whoever gets it and however often.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EventId(pub [u8; ID_BYTES]);

/// `dlv_` and 24 hex digits: the same event to the same webhook, the same id; `X-Delivery-ID` and `webhook-id`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DeliveryId(pub [u8; ID_BYTES]);

/// Half of the 96 bits may collide only after some 2^48 ids.
const ID_BYTES: usize = 12;

impl EventId {
    /// Derived from the event's number, so that it survives whatever is lost.
    pub fn of(salt: &Salt, seq: u64) -> Self {
        Self(derived(b"stentor event", &[&salt.0, &seq.to_be_bytes()]))
    }

    /// Of what is no event of the journal: tests, operational events.
    pub fn generate() -> Result<Self, getrandom::Error> {
        let mut random = [0; ID_BYTES];
        getrandom::fill(&mut random)?;
        Ok(Self(random))
    }
}

impl DeliveryId {
    pub fn of(event: EventId, webhook: WebhookId) -> Self {
        Self(derived(b"stentor delivery", &[&event.0, &webhook.0.to_be_bytes()]))
    }
}

/// The beginning of a SHA-256. The parts have fixed lengths and no domain is the beginning of another, so no two inputs meet.
fn derived(domain: &[u8], parts: &[&[u8]]) -> [u8; ID_BYTES] {
    let hash = parts.iter().fold(Sha256::new_with_prefix(domain), |hash, part| hash.chain_update(part)).finalize();
    std::array::from_fn(|place| hash[place])
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_id("evt_", &self.0, f)
    }
}

impl fmt::Display for DeliveryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_id("dlv_", &self.0, f)
    }
}

fn write_id(mark: &str, id: &[u8; ID_BYTES], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    f.write_str(mark)?;
    id.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

/// A body, ready to send; cheap to clone.
#[derive(Clone, Debug)]
pub struct Payload {
    /// As in `type` and `X-Event-Type`: an [`EventKind`]'s, or `webhook.test`.
    pub kind: &'static str,
    pub event: EventId,
    pub body: Bytes,
}

impl Payload {
    /// A trade's; `None` of any other event. `created_ms` is when it was published, in Unix milliseconds.
    pub fn of_trade(salt: &Salt, event: &Event, seq: u64, created_ms: u64) -> Option<Self> {
        let (kind, _) = audience(event)?;
        Some(Self::new(kind.as_str(), EventId::of(salt, seq), created_ms, &event.data))
    }

    /// The trade of `POST …/test`: type `webhook.test` with full, plausible `data`.
    pub fn test(event: EventId, created_ms: u64) -> Self {
        let second = i64::try_from(created_ms / 1000).ok().and_then(|second| Timestamp::from_second(second).ok());
        let timestamp = second.unwrap_or(Timestamp::UNIX_EPOCH);
        let data = format!(
            r#"{{"owner":"DRVRvzf8pSiMJi5BY1NmZu5STahBYKMVcfkPp3vxPump","marketSymbol":"SOL-PERP","side":"long","sizeUsd":15000.5,"leverage":5.2,"entryPrice":185.42,"collateral":2884.71,"timestamp":"{timestamp}"}}"#
        );
        Self::new(TEST_KIND, event, created_ms, data.as_bytes())
    }

    /// Of type `operational`: `{"kind":"webhook.disabled","webhook":"wh_…","url":…,"reason":…}` as `data`.
    pub fn disabled(event: EventId, created_ms: u64, webhook: &Webhook) -> Self {
        let mut data = format!(r#"{{"kind":"webhook.disabled","webhook":"{}","url":"#, webhook.id).into_bytes();
        append_string(webhook.url.as_str(), &mut data);
        data.extend_from_slice(br#","reason":"#);
        match webhook.disabled {
            Some(disabled) => append_string(disabled.reason.as_str(), &mut data),
            None => data.extend_from_slice(b"null"),
        }
        data.push(b'}');
        Self::new(EventKind::Operational.as_str(), event, created_ms, &data)
    }

    /// `data` is canonical.
    fn new(kind: &'static str, event: EventId, created_ms: u64, data: &[u8]) -> Self {
        let mut body = Vec::with_capacity(FRAME_BYTES_MAX + data.len());
        let created = created_ms / 1000;
        // Ids and types hold nothing that needs to be escaped.
        let _ = write!(body, r#"{{"id":"{event}","type":"{kind}","created":{created},"data":"#);
        body.extend_from_slice(data);
        body.push(b'}');
        Self { kind, event, body: body.into() }
    }
}

/// The kind that a webhook has to have asked for, and the owner whose watchers get it; `None` of an event that no webhook gets.
pub fn audience(event: &Event) -> Option<(EventKind, &str)> {
    let kind = TradeKind::of(&event.kind).map(EventKind::of_trade)?;
    (event.topic.namespace() == Namespace::Wallet).then(|| (kind, event.topic.name()))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::Value;

    use super::*;
    use crate::accounts::AccountId;
    use crate::delivery::guard::WebhookUrl;
    use crate::delivery::{DisableReason, Disabled, EventKinds, Secret, SigningSecrets};
    use crate::event::{EventParser, Topic, canonical};

    const SALT: Salt = Salt([7; 16]);
    const OWNER: &str = "DRVRvzf8pSiMJi5BY1NmZu5STahBYKMVcfkPp3vxPump";

    fn event(text: &str) -> Event {
        EventParser::new().parse(text.as_bytes(), 1, None).expect(text)
    }

    fn trade(kind: &str) -> Event {
        event(&format!(
            r#"{{"type":"{kind}","data":{{"owner":"{OWNER}","marketSymbol":"SOL-PERP","side":"long","sizeUsd":15000.50,
            "leverage":5.2,"entryPrice":1.8542e2,"timestamp":"2025-01-15T10:30:00Z","9":[-0,"\u00e9\/"],"tradeType":"{}"}}}}"#,
            &kind["trade.".len()..]
        ))
    }

    fn text(payload: &Payload) -> &str {
        std::str::from_utf8(&payload.body).expect("JSON is text")
    }

    #[test]
    fn a_trade_is_told_with_its_data_as_stored() {
        let payload = Payload::of_trade(&SALT, &trade("trade.open"), 5, 1_705_312_800_999).expect("a trade");
        let id = EventId::of(&SALT, 5);
        assert_eq!((payload.kind, payload.event), ("trade.new", id));
        assert_eq!(
            text(&payload),
            format!(
                "{{\"id\":\"{id}\",\"type\":\"trade.new\",\"created\":1705312800,\"data\":{{\"9\":[0,\"é/\"],\
                 \"owner\":\"{OWNER}\",\"marketSymbol\":\"SOL-PERP\",\"side\":\"long\",\"sizeUsd\":15000.5,\
                 \"leverage\":5.2,\"entryPrice\":185.42,\"timestamp\":\"2025-01-15T10:30:00Z\"}}}}"
            )
        );
    }

    #[test]
    fn a_receiver_that_parses_a_body_and_prints_it_again_has_the_same_bytes() {
        for payload in [
            Payload::of_trade(&SALT, &trade("trade.increase"), u64::MAX, 1_705_312_800_000).expect("a trade"),
            Payload::test(EventId::of(&SALT, 1), 1_705_312_800_000),
            Payload::disabled(EventId::of(&SALT, 2), 1_705_312_800_000, &webhook(Some(DisableReason::Gone))),
            Payload::disabled(EventId::of(&SALT, 2), 1_705_312_800_000, &webhook(None)),
        ] {
            assert_eq!(canonical(&payload.body).expect("JSON"), payload.body, "{}", text(&payload));
        }
    }

    #[test]
    fn a_test_holds_a_whole_trade() {
        let payload = Payload::test(EventId([0xab; ID_BYTES]), 1_736_937_000_000);
        let body: Value = serde_json::from_slice(&payload.body).expect("JSON");
        assert_eq!((payload.kind, &body["type"]), ("webhook.test", &Value::from("webhook.test")));
        assert_eq!(body["id"], "evt_abababababababababababab");
        assert_eq!(body["data"]["timestamp"], "2025-01-15T10:30:00Z");
        let fields: Vec<_> = body["data"].as_object().expect("an object").keys().map(String::as_str).collect();
        assert_eq!(
            fields,
            ["owner", "marketSymbol", "side", "sizeUsd", "leverage", "entryPrice", "collateral", "timestamp"]
        );
        let published = event(&format!(r#"{{"type":"trade.open","data":{}}}"#, body["data"]));
        assert_eq!(audience(&published), Some((EventKind::TradeNew, OWNER)));
        Payload::test(EventId([0; ID_BYTES]), u64::MAX);
    }

    fn webhook(reason: Option<DisableReason>) -> Webhook {
        Webhook {
            id: WebhookId(0xabc),
            account: AccountId(1),
            url: WebhookUrl::stored("https://a.example/\"x\"".into()),
            events: EventKinds::default(),
            secrets: SigningSecrets { current: Arc::new(Secret::of_key([1; 32])), previous: Vec::new() },
            created_ms: 0,
            from_seq: 0,
            disabled: reason.map(|reason| Disabled { reason, at_ms: 0, from_seq: 0 }),
            failures: 0,
            failing_since_ms: None,
            replay: None,
        }
    }

    #[test]
    fn word_of_a_disabled_webhook_names_it_and_why() {
        let payload = Payload::disabled(EventId([0; ID_BYTES]), 1_999, &webhook(Some(DisableReason::Failures)));
        assert_eq!(payload.kind, "operational");
        assert_eq!(
            text(&payload),
            r#"{"id":"evt_000000000000000000000000","type":"operational","created":1,"data":{"kind":"webhook.disabled","webhook":"wh_0000000000000abc","url":"https://a.example/\"x\"","reason":"failures"}}"#
        );
    }

    #[test]
    fn each_kind_of_trade_is_for_its_owners_watchers() {
        for (kind, asked) in [
            ("trade.open", EventKind::TradeNew),
            ("trade.increase", EventKind::TradeIncrease),
            ("trade.close", EventKind::TradeClose),
            ("trade.liquidation", EventKind::TradeLiquidation),
        ] {
            assert_eq!(audience(&trade(kind)), Some((asked, OWNER)), "{kind}");
        }
    }

    #[test]
    fn no_other_event_reaches_a_webhook() {
        let alert = event(r#"{"type":"alert","data":{}}"#);
        let elsewhere = Event { topic: Topic::parse("bot:b").expect("a topic"), ..trade("trade.open") };
        let no_trade = Event { kind: "alert".into(), ..trade("trade.open") };
        for event in [alert, elsewhere, no_trade] {
            assert_eq!(audience(&event), None, "{event:?}");
            assert!(Payload::of_trade(&SALT, &event, 1, 1).is_none());
        }
    }

    /// Receivers remember ids: a new version must derive the same ones. The values are `sha256sum`'s.
    #[test]
    fn ids_stay_what_they_are() {
        let event = EventId::of(&SALT, 5);
        assert_eq!(event.to_string(), "evt_bc327194f0ccd94bab0df834");
        assert_eq!(DeliveryId::of(event, WebhookId(9)).to_string(), "dlv_396b9db093aa921e5baa5e05");
    }

    #[test]
    fn ids_differ_by_salt_number_event_and_webhook() {
        let event = EventId::of(&SALT, 5);
        assert_ne!(EventId::of(&Salt([8; 16]), 5), event);
        assert_ne!(EventId::of(&SALT, 6), event);
        let delivery = DeliveryId::of(event, WebhookId(9));
        assert_ne!(DeliveryId::of(event, WebhookId(10)), delivery);
        assert_ne!(DeliveryId::of(EventId::of(&SALT, 6), WebhookId(9)), delivery);
        assert_ne!(EventId::generate().expect("random numbers"), EventId::generate().expect("random numbers"));
    }
}
