//! The `data` of a `trade.*` event, field by field.
//!
//! The watchlist's clients call methods on these fields (`data.sizeUsd.toLocaleString()`, `data.side.toUpperCase()`), so
//! one of another type, let through, would crash them. What the server does not know passes unchecked.

use jiff::Timestamp;

use super::json::Json;
use super::{Reason, Refusal};
use crate::accounts::Owner;
use crate::limits::TRADE_TEXT_BYTES_MAX;

/// What a trade did to its position. A partial close is a close.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TradeKind {
    Open,
    Increase,
    Close,
    Liquidation,
}

impl TradeKind {
    /// From an event's `type`; `None` where that is no trade's.
    pub fn of(kind: &str) -> Option<Self> {
        match kind.strip_prefix("trade.")? {
            "open" => Some(Self::Open),
            "increase" => Some(Self::Increase),
            "close" => Some(Self::Close),
            "liquidation" => Some(Self::Liquidation),
            _ => None,
        }
    }

    /// As in `tradeType`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Increase => "increase",
            Self::Close => "close",
            Self::Liquidation => "liquidation",
        }
    }
}

/// The field that the envelope adds, and that stored data therefore leaves out.
pub(super) const TRADE_TYPE: &str = "tradeType";

/// Checks the fields of a trade and returns its owner.
pub(super) fn check<'t>(data: Json<'t>, kind: TradeKind) -> Result<&'t str, Refusal> {
    let trade = Fields::read(data);
    let owner = text("data.owner", trade.owner)?;
    // One that no watchlist can hold would reach nobody.
    owner.parse::<Owner>().map_err(|invalid| Refusal::of("data.owner", invalid))?;
    text("data.marketSymbol", trade.market_symbol)?;
    if !matches!(text("data.side", trade.side)?, "long" | "short") {
        return Err(Refusal::of("data.side", Reason::Side));
    }
    for (field, value) in
        [("data.sizeUsd", trade.size_usd), ("data.leverage", trade.leverage), ("data.entryPrice", trade.entry_price)]
    {
        if number(field, value.ok_or_else(|| Refusal::of(field, Reason::Missing))?)? < 0.0 {
            return Err(Refusal::of(field, Reason::Negative));
        }
    }
    if !is_rfc3339(text("data.timestamp", trade.timestamp)?) {
        return Err(Refusal::of("data.timestamp", Reason::Timestamp));
    }
    if let Some(collateral) = trade.collateral {
        number("data.collateral", collateral)?;
    }
    match trade.trade_type {
        Some(given) if given.as_str() != Some(kind.as_str()) => {
            Err(Refusal::of("data.tradeType", Reason::TradeTypeDisagrees(kind)))
        }
        _ => Ok(owner),
    }
}

/// A trade's fields as they stand after `JSON.parse`: of duplicates, the last.
#[derive(Default)]
struct Fields<'t> {
    owner: Option<Json<'t>>,
    market_symbol: Option<Json<'t>>,
    side: Option<Json<'t>>,
    size_usd: Option<Json<'t>>,
    leverage: Option<Json<'t>>,
    entry_price: Option<Json<'t>>,
    timestamp: Option<Json<'t>>,
    collateral: Option<Json<'t>>,
    trade_type: Option<Json<'t>>,
}

impl<'t> Fields<'t> {
    fn read(data: Json<'t>) -> Self {
        let mut fields = Self::default();
        for (key, value) in data.members().into_iter().flatten() {
            let field = match key {
                "owner" => &mut fields.owner,
                "marketSymbol" => &mut fields.market_symbol,
                "side" => &mut fields.side,
                "sizeUsd" => &mut fields.size_usd,
                "leverage" => &mut fields.leverage,
                "entryPrice" => &mut fields.entry_price,
                "timestamp" => &mut fields.timestamp,
                "collateral" => &mut fields.collateral,
                TRADE_TYPE => &mut fields.trade_type,
                _ => continue,
            };
            *field = Some(value);
        }
        fields
    }
}

fn text<'t>(field: &str, value: Option<Json<'t>>) -> Result<&'t str, Refusal> {
    let value = value.ok_or_else(|| Refusal::of(field, Reason::Missing))?;
    match value.as_str() {
        None => Err(Refusal::of(field, Reason::WrongType { expected: "a string", got: value.type_name() })),
        Some("") => Err(Refusal::of(field, Reason::Blank)),
        Some(text) if text.len() > TRADE_TEXT_BYTES_MAX => {
            Err(Refusal::of(field, Reason::TextTooLong { bytes_max: TRADE_TEXT_BYTES_MAX }))
        }
        Some(text) => Ok(text),
    }
}

/// A finite number: the reader refuses what overflows a double.
fn number(field: &str, value: Json<'_>) -> Result<f64, Refusal> {
    let wrong = || Refusal::of(field, Reason::WrongType { expected: "a number", got: value.type_name() });
    value.as_f64().ok_or_else(wrong)
}

/// RFC 3339 §5.6, `2025-01-15T10:30:00Z`. jiff knows the calendar but takes more spellings (a blank for the `T`, no
/// seconds, zone names), which `new Date(…)` and other receivers don't: so the shape is checked first.
fn is_rfc3339(text: &str) -> bool {
    let bytes = text.as_bytes();
    let shape = bytes.len() >= "2025-01-15T10:30:00Z".len()
        && [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')].iter().all(|(at, byte)| bytes[*at] == *byte)
        && (bytes.ends_with(b"Z") || matches!(bytes, [.., b'+' | b'-', _, _, b':', _, _]))
        && bytes.iter().all(|byte| byte.is_ascii_digit() || b"-+:.TZ".contains(byte));
    shape && text.parse::<Timestamp>().is_ok()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::json::JsonReader;
    use super::*;
    use crate::accounts::InvalidOwner;

    fn trade() -> Value {
        json!({
            "owner": "DRVRvzf8pSiMJi5BY1NmZu5STahBYKMVcfkPp3vxPump", "marketSymbol": "SOL-PERP", "side": "long",
            "sizeUsd": 15000.5, "leverage": 5.2, "entryPrice": 185.42, "timestamp": "2025-01-15T10:30:00Z",
        })
    }

    fn check_text(text: &str) -> Result<String, Refusal> {
        JsonReader::new().read(text.as_bytes(), |json| check(json, TradeKind::Open).map(str::to_owned))
    }

    fn with(field: &str, value: Value) -> Result<String, Refusal> {
        let mut trade = trade();
        trade[field] = value;
        check_text(&trade.to_string())
    }

    #[test]
    fn a_whole_trade_passes_and_yields_its_owner() {
        assert_eq!(check_text(&trade().to_string()).unwrap(), "DRVRvzf8pSiMJi5BY1NmZu5STahBYKMVcfkPp3vxPump");
        for (field, value) in [
            ("collateral", json!(2884.71)),
            ("sizeUsd", json!(0)),
            ("side", json!("short")),
            ("tradeType", json!("open")),
            ("positionId", json!({"anything": [1]})),
        ] {
            assert!(with(field, value.clone()).is_ok(), "{field}: {value}");
        }
    }

    #[test]
    fn each_field_is_required_and_typed() {
        let fields: Vec<_> = trade().as_object().unwrap().keys().cloned().collect();
        for field in fields {
            let mut trade = trade();
            trade.as_object_mut().unwrap().remove(&field);
            let path = format!("data.{field}");
            assert_eq!(check_text(&trade.to_string()), Err(Refusal::of(&path, Reason::Missing)));
            let refusal = with(&field, json!([])).unwrap_err();
            assert_eq!(refusal.field.as_deref(), Some(&*path));
            assert!(matches!(refusal.reason, Reason::WrongType { got: "an array", .. }), "{refusal:?}");
        }
    }

    #[test]
    fn values_outside_their_range_are_refused() {
        for (field, value, reason) in [
            ("owner", json!(""), Reason::Blank),
            ("owner", json!("x".repeat(129)), Reason::TextTooLong { bytes_max: TRADE_TEXT_BYTES_MAX }),
            ("owner", json!("a b"), InvalidOwner::Character("a b".into()).into()),
            ("owner", json!("wället"), InvalidOwner::Character("wället".into()).into()),
            ("side", json!("LONG"), Reason::Side),
            ("sizeUsd", json!(-0.01), Reason::Negative),
            ("leverage", json!(-1), Reason::Negative),
            ("entryPrice", json!("185.42"), Reason::WrongType { expected: "a number", got: "a string" }),
            ("collateral", Value::Null, Reason::WrongType { expected: "a number", got: "null" }),
            ("tradeType", json!("close"), Reason::TradeTypeDisagrees(TradeKind::Open)),
            ("tradeType", Value::Null, Reason::TradeTypeDisagrees(TradeKind::Open)),
        ] {
            assert_eq!(with(field, value), Err(Refusal::of(&format!("data.{field}"), reason)), "{field}");
        }
    }

    #[test]
    fn timestamps_are_rfc_3339() {
        for good in ["2025-01-15T10:30:00Z", "2024-02-29T23:59:59.123456789Z", "2025-01-15T10:30:00.5+05:30"] {
            assert!(is_rfc3339(good), "{good}");
        }
        for bad in [
            "2025-01-15",
            "2025-01-15 10:30:00Z",
            "2025-01-15T10:30:00",
            "2025-01-15T10:30Z",
            "2025-02-29T10:30:00Z",
            "2025-01-15T25:30:00Z",
            "2025-01-15T10:30:00,5Z",
            "2025-01-15T10:30:00Z[UTC]",
            "2025-01-15T10:30:00+0530",
            "1736937000",
            "éééééééééééééééééééé",
        ] {
            assert!(!is_rfc3339(bad), "{bad}");
        }
    }

    #[test]
    fn of_duplicate_fields_the_last_counts() {
        let text = trade().to_string().replacen('{', r#"{"leverage":"five","#, 1);
        assert!(check_text(&text).is_ok());
    }
}
