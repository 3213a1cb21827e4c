//! One trade, and the event that a publisher makes of it.

use serde_json::json;

use super::Market;
use super::position::{Position, dollars};
use crate::demo::line::Line;
use crate::demo::moment::Moment;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TradeKind {
    Open,
    Increase,
    Close,
    Liquidation,
}

/// `position` is the part that was traded, at the position's entry price.
#[derive(Clone, Copy, Debug)]
pub struct Trade {
    pub kind: TradeKind,
    pub listing: usize,
    pub position: Position,
}

impl TradeKind {
    pub fn event_type(self) -> &'static str {
        match self {
            Self::Open => "trade.open",
            Self::Increase => "trade.increase",
            Self::Close => "trade.close",
            Self::Liquidation => "trade.liquidation",
        }
    }
}

impl Trade {
    pub fn line(&self, market: &Market, now: &Moment) -> Line {
        let Position { trader, side, size_cents, collateral_cents, leverage_tenths, entry_price } = self.position;
        let data = json!({
            "owner": market.wallets()[trader],
            "marketSymbol": market.listing(self.listing).symbol(),
            "side": side,
            "sizeUsd": dollars(size_cents),
            "leverage": f64::from(leverage_tenths) / 10.0,
            "entryPrice": entry_price,
            "collateral": dollars(collateral_cents),
            "timestamp": now.text(),
        });
        // Its topic follows from its type.
        Line::new(self.kind.event_type(), None, data)
    }
}
