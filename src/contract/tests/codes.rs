//! Error codes and their statuses.

use std::collections::{BTreeMap, BTreeSet};

use http::StatusCode;
use serde_json::Value;

use super::{openapi, operations, resolved};
use crate::accounts::{AccountName, Grant, Owner, StoreError};
use crate::contract::ErrorCode;
use crate::database::DatabaseError;
use crate::delivery::guard::{AddressKind, GuardRefusal};
use crate::delivery::{DeliveryError, EventKind};
use crate::desk::RestError;
use crate::event::EventParser;
use crate::gate::Refused;
use crate::journal::JournalError;
use crate::metrics::Label;
use crate::ws::UpgradeError;

/// Each code with the statuses that it is described under, wherever that is.
fn described() -> BTreeMap<String, BTreeSet<String>> {
    let document = openapi();
    let mut codes: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (_, _, operation) in operations(&document) {
        for (status, response) in operation["responses"].as_object().expect("responses") {
            let response = resolved(&document, response);
            let schemas = response.pointer("/content/application~1json/schema/allOf").and_then(Value::as_array);
            for schema in schemas.into_iter().flatten() {
                let named = schema.pointer("/properties/error/properties/code/enum").and_then(Value::as_array);
                for code in named.into_iter().flatten() {
                    codes.entry(text(code)).or_default().insert(status.clone());
                }
            }
        }
    }
    // They belong to every path, and to none.
    for (code, status) in [("METHOD_NOT_ALLOWED", "405"), ("NOT_FOUND", "404")] {
        codes.entry(code.to_owned()).or_default().insert(status.to_owned());
    }
    codes
}

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

fn words() -> BTreeSet<String> {
    ErrorCode::ALL.iter().map(|code| code.word().to_owned()).collect()
}

#[test]
fn every_error_code_is_described_and_nothing_else_is() {
    assert_eq!(words().len(), ErrorCode::ALL.len(), "each word is one code");
    let document = openapi();
    let listed = document["components"]["schemas"]["ErrorCode"]["enum"].as_array().expect("codes");
    assert_eq!(listed.iter().map(text).collect::<BTreeSet<_>>(), words(), "the schema ErrorCode");
    assert_eq!(described().into_keys().collect::<BTreeSet<_>>(), words(), "the answers of all operations together");
}

#[test]
fn every_error_has_a_status_under_which_its_code_is_described() {
    let described = described();
    let mut told = BTreeSet::new();
    for error in every_error() {
        let (status, code) = (error.status().as_str().to_owned(), error.code());
        told.insert(code.to_owned());
        let under = described.get(code).unwrap_or_else(|| panic!("{code} is not described"));
        assert!(under.contains(&status), "{code} is answered with {status}, and described under {under:?}");
        let reply = error.reply();
        let needed = match error.status() {
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => "retry-after",
            StatusCode::UNAUTHORIZED => "www-authenticate",
            StatusCode::METHOD_NOT_ALLOWED => "allow",
            _ => continue,
        };
        assert!(reply.headers().contains_key(needed), "{code} ({status}) comes without {needed}");
    }
    assert_eq!(told, words(), "a code that no error has");
}

/// One of every error that a request may be answered with, and more than one where that makes a difference.
fn every_error() -> Vec<RestError> {
    let store = |error: StoreError| RestError::from(error);
    let name = "".parse::<AccountName>().map(drop).map_err(StoreError::from).expect_err("no name");
    let grant = "".parse::<Grant>().map(drop).map_err(StoreError::from).expect_err("no grant");
    let owner = "".parse::<Owner>().map(drop).map_err(StoreError::from).expect_err("no owner");
    let event = EventParser::new().parse(b"{}", 1, None).map(drop).expect_err("no event");
    let kind = "".parse::<EventKind>().map(drop).expect_err("no kind of event");
    let upgrades = [
        UpgradeError::Method,
        UpgradeError::HttpVersion,
        UpgradeError::NotUpgrade,
        UpgradeError::Connection,
        UpgradeError::WebSocketVersion,
        UpgradeError::Key,
    ];
    let gate = [
        Refused::HandshakesTooFast { retry_after_s: 1 },
        Refused::AddressFull { max: 1 },
        Refused::KeyFull { max: 1 },
        Refused::UserFull { max: 1 },
        Refused::AddressPending { max: 1 },
        Refused::AuthenticationsPending,
        Refused::BytesInFlight,
        Refused::EventsTooFast { retry_after_s: 1 },
    ];
    let delivery = [
        DeliveryError::NoSuchWebhook,
        DeliveryError::Url(GuardRefusal::Address { address: [127, 0, 0, 1].into(), kind: AddressKind::Loopback }),
        DeliveryError::NoEvents,
        DeliveryError::TooManyWebhooks,
        DeliveryError::SinceInFuture { since: 2, last_seq: 1 },
        DeliveryError::Inactive,
        DeliveryError::TestUnderWay,
        DeliveryError::KeyRevoked,
        DeliveryError::Busy,
        DeliveryError::Stopping,
        DeliveryError::NotStored,
        DeliveryError::TestNotRecorded,
        DeliveryError::Recovering,
        DeliveryError::Sealed,
        DeliveryError::Database(DatabaseError::Busy),
        DeliveryError::Database(DatabaseError::DiskFull),
    ];
    let others = [
        RestError::NotFound("/x".to_owned()),
        RestError::MethodNotAllowed { allow: "GET" },
        RestError::KeyMissing,
        RestError::KeyMissingInQuery,
        RestError::KeyInvalid,
        RestError::KeyOrTokenMissing,
        RestError::SinceInFuture { since: 2, last_seq: 1 },
        RestError::HistoryUnavailable,
        RestError::Forbidden(String::new()),
        RestError::Repeated { reason: String::new(), retry_after_s: 1 },
        RestError::BodyTooLarge { bytes_max: 1 },
        RestError::Timeout,
        RestError::BodyBroken(String::new()),
        RestError::MediaType,
        RestError::InvalidRequest(String::new()),
        RestError::OwnAccount,
        RestError::Unconfirmed { waited_ms: 1, outcome: "" },
        RestError::Unkept { outcome: "" },
        RestError::Stopping,
        RestError::Full,
        RestError::TestFailed(String::new()),
        RestError::Journal(JournalError::QueueFull),
        RestError::Journal(JournalError::DiskFull),
        RestError::Journal(JournalError::Failed { reason: String::new() }),
        store(StoreError::NameTaken { name: String::new() }),
        store(StoreError::NoSuchAccount { account: String::new() }),
        store(StoreError::NoSuchKey { key: String::new() }),
        store(StoreError::WatchlistFull),
        store(StoreError::TooManyGrants { wanted: 1 }),
        store(StoreError::TooManyKeys),
        store(StoreError::Database(DatabaseError::Busy)),
        store(StoreError::Database(DatabaseError::DiskFull)),
        store(StoreError::Database(DatabaseError::Corrupt { detail: String::new() })),
        RestError::StatusStreams { max: 1 },
        RestError::from(event),
        RestError::from(kind),
        store(name),
        store(grant),
        store(owner),
    ];
    let upgrades = upgrades.map(RestError::from).into_iter();
    let errors = others.into_iter().chain(upgrades).chain(gate.map(RestError::from));
    errors.chain(delivery.map(RestError::from)).collect()
}
