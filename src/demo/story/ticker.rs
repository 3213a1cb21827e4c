//! What everybody may see of the markets: prices of coins, market data and one-minute candles.

use fastrand::Rng;
use serde_json::json;

use crate::demo::line::Line;
use crate::demo::market::{Market, Trade, cents_exact, dollars};
use crate::demo::moment::Moment;

/// Wrapped SOL.
pub const SOL_MINT: &str = "So11111111111111111111111111111111111111112";
/// The stable coin that everybody pays with.
pub const USDC_MINT: &str = "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v";

/// Of the coins that are listed, only this one has a mint: the others live on blockchains of their own.
const COIN_WITH_MINT: &str = "SOL";

/// The stable coin's price comes with one move in this many.
const STABLE_ONE_IN: u32 = 3;
/// How far it strays from a dollar, in ten-thousandths.
const STABLE_STRAYS: i32 = 5;

const CANDLE_MS: u64 = 60_000;

pub struct Ticker {
    candles: Vec<Candle>,
    paid_cents: u64,
}

/// A market's present minute.
struct Candle {
    start_unix_ms: u64,
    open: f64,
    high: f64,
    low: f64,
    close: f64,
    traded_cents: u64,
}

impl Ticker {
    pub fn new(market: &Market) -> Self {
        let candles = market.listings().iter().map(|listing| Candle::new(0, listing.price())).collect();
        Self { candles, paid_cents: 0 }
    }

    pub fn traded(&mut self, trade: &Trade) {
        self.candles[trade.listing].traded_cents += trade.position.size_cents;
        self.paid_cents += trade.position.size_cents;
    }

    pub fn price_moved(
        &mut self,
        market: &Market,
        moved: usize,
        random: &mut Rng,
        now: &Moment,
        lines: &mut Vec<Line>,
    ) {
        let listing = market.listing(moved);
        let (price, (low, high)) = (listing.price(), listing.range());
        if listing.coin() == COIN_WITH_MINT {
            lines.push(price_update(SOL_MINT, price, listing.volume(), now));
        }
        if random.u32(..STABLE_ONE_IN) == 0 {
            let price = f64::from(10_000 + random.i32(-STABLE_STRAYS..=STABLE_STRAYS)) / 10_000.0;
            lines.push(price_update(USDC_MINT, price, dollars(self.paid_cents), now));
        }
        let topic = format!("market:{}", listing.pair());
        let change = price - listing.home_price();
        let data = json!({
            "symbol": listing.pair(),
            "price": price,
            "change": cents_exact(change),
            "changePercent": cents_exact(100.0 * change / listing.home_price()),
            "volume": listing.volume(),
            "high24h": high,
            "low24h": low,
            "timestamp": now.text(),
        });
        lines.push(Line::new("market_data_update", Some(topic.clone()), data));
        if let Some(candle) = self.candles[moved].take(price, now.unix_ms()) {
            let data = json!({
                "symbol": listing.pair(),
                "timeframe": "1m",
                "candles": [{
                    "time": candle.start_unix_ms / 1000,
                    "open": candle.open,
                    "high": candle.high,
                    "low": candle.low,
                    "close": candle.close,
                    "volume": dollars(candle.traded_cents),
                }],
                "timestamp": now.text(),
            });
            lines.push(Line::new("historical_data_update", Some(topic), data));
        }
    }
}

impl Candle {
    fn new(start_unix_ms: u64, price: f64) -> Self {
        Self { start_unix_ms, open: price, high: price, low: price, close: price, traded_cents: 0 }
    }

    /// Takes a price in. What is returned is the candle of an earlier minute, which has ended.
    fn take(&mut self, price: f64, unix_ms: u64) -> Option<Self> {
        let minute = unix_ms - unix_ms % CANDLE_MS;
        // A clock that was set back stays in its candle.
        let ended = (minute > self.start_unix_ms).then(|| {
            let next = Self::new(minute, self.close);
            std::mem::replace(self, next)
        });
        self.high = self.high.max(price);
        self.low = self.low.min(price);
        self.close = price;
        // The first minute began before anybody looked.
        ended.filter(|candle| candle.start_unix_ms > 0)
    }
}

fn price_update(mint: &str, price: f64, volume: f64, now: &Moment) -> Line {
    let data = json!({ "mint": mint, "price": price, "volume": volume, "timestamp": now.text() });
    Line::new("price_update", Some(format!("price:{mint}")), data)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_candle_ends_with_its_minute_and_the_next_opens_where_it_closed() {
        let mut candle = Candle::new(0, 10.0);
        assert!(candle.take(11.0, 60_000).is_none(), "the first minute is not told");
        for (price, unix_ms) in [(14.0, 70_000), (9.0, 80_000), (12.0, 119_999), (13.0, 60_001)] {
            assert!(candle.take(price, unix_ms).is_none());
        }
        let ended = candle.take(20.0, 240_000).expect("a candle");
        assert_eq!(
            (ended.start_unix_ms, ended.open, ended.high, ended.low, ended.close),
            (60_000, 10.0, 14.0, 9.0, 13.0)
        );
        assert_eq!((candle.start_unix_ms, candle.open, candle.high, candle.low), (240_000, 13.0, 20.0, 13.0));
    }
}
