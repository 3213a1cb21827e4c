//! A bot that copies what the busiest wallets do, with a small part of their money, and confirms each transaction.

use fastrand::Rng;
use serde_json::json;

use crate::demo::line::Line;
use crate::demo::market::{Market, Trade, TradeKind, address, cents_exact, signature};
use crate::demo::moment::Moment;

pub const BOT_ID: &str = "bot_abc123";

/// It follows so many of the busiest wallets: about every fourth trade is theirs.
const FOLLOWED: usize = 12;

/// Its trades are this much smaller than theirs.
const COPIES_ONE_IN: f64 = 100.0;

pub struct CopyBot {
    wallet: String,
}

impl CopyBot {
    pub fn new(random: &mut Rng) -> Self {
        Self { wallet: address(random) }
    }

    pub fn wallet(&self) -> &str {
        &self.wallet
    }

    pub fn traded(&mut self, market: &Market, trade: &Trade, random: &mut Rng, now: &Moment, lines: &mut Vec<Line>) {
        if trade.position.trader >= FOLLOWED {
            return;
        }
        let signature = signature(random);
        // It has copied from the beginning, so it holds its part of what is closed.
        let gain_cents = match trade.kind {
            TradeKind::Open | TradeKind::Increase => 0.0,
            TradeKind::Close | TradeKind::Liquidation => {
                trade.position.gain_cents(market.listing(trade.listing).price()) / COPIES_ONE_IN
            }
        };
        let update = json!({
            "botId": BOT_ID,
            "event": "trade_executed",
            "data": { "signature": signature, "profit": cents_exact(gain_cents / 100.0), "timestamp": now.text() },
        });
        lines.push(Line::new("bot_update", Some(format!("bot:{BOT_ID}")), update));
        let confirmed = json!({ "signature": signature, "status": "confirmed", "slot": now.slot() });
        lines.push(Line::new("transaction_confirmed", Some(format!("transactions:{}", self.wallet)), confirmed));
    }
}
