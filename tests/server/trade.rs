//! Trades to publish.

use serde_json::{Value, json};

/// The four event types, and the `tradeType` that each becomes.
pub const TRIGGERS: [(&str, &str); 4] = [
    ("trade.open", "open"),
    ("trade.increase", "increase"),
    ("trade.close", "close"),
    ("trade.liquidation", "liquidation"),
];

pub fn trade(kind: &str, owner: &str) -> Value {
    json!({
        "type": kind,
        "data": {
            "owner": owner,
            "marketSymbol": "SOL-PERP",
            "side": "long",
            "sizeUsd": 15000.5,
            "leverage": 5.2,
            "entryPrice": 185.42,
            "timestamp": "2025-01-15T10:30:00Z",
        },
    })
}

/// An open trade that is told apart by a number.
pub fn numbered(owner: &str, number: usize) -> Value {
    let mut event = trade("trade.open", owner);
    event["data"]["number"] = number.into();
    event
}

/// The same, made longer by `pad_bytes`.
pub fn padded(owner: &str, number: usize, pad_bytes: usize) -> Value {
    let mut event = numbered(owner, number);
    event["data"]["pad"] = "x".repeat(pad_bytes).into();
    event
}
