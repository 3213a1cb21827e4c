//! Alerts on large trades, as bets on where a coin's price will be.

use serde_json::json;

use crate::demo::line::Line;
use crate::demo::market::{Listing, Market, Side, Trade, TradeKind, dollars};

/// From this size on a trade is worth an alert: about a third of them.
const LARGE_CENTS_MIN: u64 = 1_000_000;

/// So many usual moves of the price are still to come, as those who bet believe: it makes the odds.
const MOVES_TO_COME: f64 = 20.0;

#[derive(Default)]
pub struct Scout {
    alerts: u64,
}

impl Scout {
    pub fn traded(&mut self, market: &Market, trade: &Trade, lines: &mut Vec<Line>) {
        let position = &trade.position;
        // Nobody decides to be liquidated.
        let (alert_type, side) = match trade.kind {
            TradeKind::Open => ("fresh", "BUY"),
            TradeKind::Increase => ("repeat", "BUY"),
            TradeKind::Close => ("exit", "SELL"),
            TradeKind::Liquidation => return,
        };
        if position.size_cents < LARGE_CENTS_MIN {
            return;
        }
        self.alerts += 1;
        let listing = market.listing(trade.listing);
        let strike = strike(listing.home_price());
        let above = odds_above(listing, strike);
        let (outcome, odds) = if position.side == Side::Long { ("Yes", above) } else { ("No", 1.0 - above) };
        let data = json!({
            "id": self.alerts,
            "alert_type": alert_type,
            "side": side,
            "outcome": outcome,
            "entry_price": (odds * 100.0).round() / 100.0,
            "usdc_value": dollars(position.size_cents),
            "signal_score": score(trade),
            "event_title": format!("Will {} be above ${strike} at midnight UTC?", listing.coin()),
            "category": "crypto",
        });
        // Its topic follows from its type.
        lines.push(Line::new("alert", None, data));
    }
}

/// The price to bet on: near `price`, with two digits that aren't zero.
fn strike(price: f64) -> f64 {
    let unit = 10f64.powi(price.log10().floor() as i32 - 1);
    (price / unit).round() * unit
}

/// How likely the price ends above `strike`, as a logistic curve, and never certain.
fn odds_above(listing: &Listing, strike: f64) -> f64 {
    let distance = (listing.price() / strike).ln() / (listing.usual_move() * MOVES_TO_COME);
    (1.0 / (1.0 + (-distance).exp())).clamp(0.01, 0.99)
}

/// From 1 to 100: a large trade with a high leverage is a strong conviction.
fn score(trade: &Trade) -> u32 {
    let size = (trade.position.size_cents as f64 / LARGE_CENTS_MIN as f64).log10();
    let leverage = f64::from(trade.position.leverage_tenths) / 10.0;
    (40.0 + 30.0 * size + leverage).round().clamp(1.0, 100.0) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_strike_is_a_round_number() {
        for (price, round) in [(185.42, 190.0), (97_250.0, 97_000.0), (22.64, 23.0), (3_310.5, 3_300.0)] {
            assert_eq!(strike(price), round);
        }
    }

    #[test]
    fn the_odds_are_even_at_the_strike_and_never_certain() {
        let market = Market::new(1);
        let listing = market.listing(0);
        let price = listing.price();
        assert_eq!(odds_above(listing, price), 0.5);
        assert!(odds_above(listing, price * 0.99) > 0.5 && odds_above(listing, price * 1.01) < 0.5);
        assert_eq!((odds_above(listing, price / 2.0), odds_above(listing, price * 2.0)), (0.99, 0.01));
    }
}
