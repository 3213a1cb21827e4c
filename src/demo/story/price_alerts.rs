//! The customer's alarms on prices: one above and one below each market that the customer trades on.

use serde_json::json;

use crate::demo::line::Line;
use crate::demo::market::Listing;
use crate::demo::moment::Moment;

use super::customer::user_line;

/// How far from the price an alarm is set, in usual moves.
const USUAL_MOVES: f64 = 5.0;

pub struct PriceAlerts {
    pairs: Vec<Pair>,
    triggered: u64,
}

/// The alarms on one market.
struct Pair {
    listing: usize,
    below: f64,
    above: f64,
}

impl PriceAlerts {
    /// `listings` with their numbers.
    pub fn new<'l>(listings: impl Iterator<Item = (usize, &'l Listing)>) -> Self {
        Self { pairs: listings.map(|(number, listing)| Pair::around(number, listing)).collect(), triggered: 0 }
    }

    /// An alarm that went off is told, and both are set anew.
    pub fn price_moved(&mut self, moved: usize, listing: &Listing, now: &Moment, lines: &mut Vec<Line>) {
        let Some(pair) = self.pairs.iter_mut().find(|pair| pair.listing == moved) else { return };
        let (condition, set_at) = match listing.price() {
            price if price >= pair.above => ("above", pair.above),
            price if price <= pair.below => ("below", pair.below),
            _ => return,
        };
        self.triggered += 1;
        let data = json!({
            "id": format!("alert_{}", self.triggered),
            "symbol": listing.pair(),
            "condition": condition,
            "price": set_at,
            "currentPrice": listing.price(),
            "triggeredAt": now.text(),
        });
        lines.push(user_line("price_alert", data));
        *pair = Pair::around(moved, listing);
    }
}

impl Pair {
    fn around(number: usize, listing: &Listing) -> Self {
        let at = |moves: f64| {
            let price = listing.price() * (1.0 + moves * listing.usual_move());
            // Whole tenths look like somebody's choice; no listed price is near enough to zero to lose by it.
            (price * 10.0).round() / 10.0
        };
        Self { listing: number, below: at(-USUAL_MOVES), above: at(USUAL_MOVES) }
    }
}
