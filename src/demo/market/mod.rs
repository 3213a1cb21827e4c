//! A made-up exchange: wallets open, increase and close leveraged positions while prices wander.
//!
//! ```text
//!   step() ──▶ is a position under water? ──yes──▶ liquidation
//!                 │ no: one price moves
//!                 ├──▶ did that put one under water? ──yes──▶ liquidation
//!                 └──no──▶ one wallet decides ──▶ open | increase | close
//! ```
//!
//! Invariants:
//! * A wallet has at most one position a market; nothing is increased, closed or liquidated that isn't open.
//! * `sizeUsd` and `collateral` are those of the trade: what was opened, added, closed or liquidated. Over a
//!   position's life they add up to nothing left, to the cent.
//! * A liquidation comes only when the price has taken the collateral down to the maintenance margin, and then before
//!   any further price moves.
//! * The same seed gives the same wallets and the same steps.

mod listing;
mod position;
mod trade;
mod trader;

use fastrand::Rng;

pub use listing::Listing;
pub use position::{Position, Side, cents_exact, dollars};
pub use trade::{Trade, TradeKind};
pub use trader::{address, signature};

use listing::LISTING_COUNT;
use trader::Trader;

/// Wallets that trade. Each has up to three favourite markets, so that some hundreds of positions are open.
pub const WALLETS: usize = 200;

/// The busiest wallet, whose trader likes the liveliest markets and high leverage.
pub const BUSIEST: usize = 0;

/// A position smaller than this (in cents) isn't worth keeping: what would leave less behind closes it whole.
pub const POSITION_CENTS_MIN: u64 = 1_000;

/// A wallet doesn't add to a position past this many times its usual size.
pub const POSITION_GROWTH_MAX: u64 = 10;

/// All wallets, prices and open positions.
#[derive(Debug)]
pub struct Market {
    random: Rng,
    listings: Vec<Listing>,
    addresses: Vec<String>,
    traders: Vec<Trader>,
    /// The listing whose price moved last: only there can a position be under water.
    moved: usize,
}

/// What happened: at most one price moved, and then somebody traded.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// The listing whose price is another now.
    pub moved: Option<usize>,
    pub trade: Trade,
}

impl Market {
    /// A market without positions.
    pub fn new(seed: u64) -> Self {
        let mut random = Rng::with_seed(seed);
        let addresses = (0..WALLETS).map(|_| address(&mut random)).collect();
        let mut traders: Vec<Trader> = (0..WALLETS).map(|_| Trader::new(&mut random)).collect();
        traders[BUSIEST] = Trader::daring();
        Self { random, listings: Listing::all(), addresses, traders, moved: 0 }
    }

    /// The wallets' addresses, the busiest first: its first few make a lively watchlist.
    pub fn wallets(&self) -> &[String] {
        &self.addresses
    }

    pub fn listings(&self) -> &[Listing] {
        &self.listings
    }

    pub fn listing(&self, index: usize) -> &Listing {
        &self.listings[index]
    }

    /// What a wallet holds on a market.
    pub fn position(&self, trader: usize, listing: usize) -> Option<&Position> {
        self.listings[listing].positions.iter().find(|position| position.trader == trader)
    }

    /// The markets that a wallet trades on.
    pub fn favourites(&self, trader: usize) -> &[usize] {
        &self.traders[trader].favourites
    }

    pub fn open_positions(&self) -> usize {
        self.listings.iter().map(|listing| listing.positions.len()).sum()
    }

    pub fn step(&mut self) -> Step {
        let (moved, trade) = match self.liquidation() {
            Some(trade) => (None, trade),
            None => {
                self.move_a_price();
                (Some(self.moved), self.liquidation().unwrap_or_else(|| self.decision()))
            }
        };
        self.listings[trade.listing].count(trade.position.size_cents);
        Step { moved, trade }
    }

    /// Closes what a wallet holds on a market, out of its turn.
    pub fn close(&mut self, trader: usize, listing: usize) -> Option<Trade> {
        let on = &mut self.listings[listing];
        let index = on.positions.iter().position(|position| position.trader == trader)?;
        let position = on.positions.swap_remove(index);
        on.count(position.size_cents);
        Some(Trade { kind: TradeKind::Close, listing, position })
    }

    fn move_a_price(&mut self) {
        // Squared, so that the first ones move more often than the last.
        self.moved = (self.random.f64().powi(2) * LISTING_COUNT as f64) as usize;
        self.listings[self.moved].move_price(&mut self.random);
    }

    fn liquidation(&mut self) -> Option<Trade> {
        let listing = &mut self.listings[self.moved];
        let price = listing.price();
        let index = listing.positions.iter().position(|position| position.is_under_water(price))?;
        let position = listing.positions.swap_remove(index);
        Some(Trade { kind: TradeKind::Liquidation, listing: self.moved, position })
    }

    /// Some wallet does something in one of its favourite markets.
    fn decision(&mut self) -> Trade {
        // Squared, so that the first wallets trade far more often than the last.
        let trader = (self.random.f64().powi(2) * WALLETS as f64) as usize;
        let who = &self.traders[trader];
        let listing = who.favourites[self.random.usize(..who.favourites.len())];
        let on = &mut self.listings[listing];
        let price = on.price();
        let Some(index) = on.positions.iter().position(|position| position.trader == trader) else {
            let position = who.opens(trader, price, &mut self.random);
            on.positions.push(position);
            return Trade { kind: TradeKind::Open, listing, position };
        };
        let position = &mut on.positions[index];
        let part = |random: &mut Rng| (position.size_cents as f64 * (0.2 + 0.5 * random.f64())) as u64;
        let (kind, position) = match self.random.u32(..100) {
            0..25 if position.size_cents < who.usual_cents * POSITION_GROWTH_MAX => {
                let size_cents = part(&mut self.random).max(POSITION_CENTS_MIN);
                (TradeKind::Increase, position.increase(size_cents, price))
            }
            25..50 if position.size_cents > 4 * POSITION_CENTS_MIN => {
                let size_cents = part(&mut self.random);
                (TradeKind::Close, position.take_part(size_cents))
            }
            _ => (TradeKind::Close, on.positions.swap_remove(index)),
        };
        Trade { kind, listing, position }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, HashMap, HashSet};

    use serde_json::Value;

    use super::*;
    use crate::demo::moment::Moment;

    const NOW_UNIX_MS: u64 = 1_736_937_000_000;

    fn line(market: &mut Market, unix_ms: u64) -> String {
        let step = market.step();
        step.trade.line(market, &Moment::new(unix_ms)).to_string()
    }

    /// A position as somebody sees it who knows nothing but the events. Money in cents.
    #[derive(Debug)]
    struct Seen {
        side: String,
        size: i64,
        collateral: i64,
        entry: f64,
    }

    /// A number of at most two decimals, in hundredths.
    fn hundredths(value: &Value) -> i64 {
        let number = value.as_f64().expect("a number");
        let hundredths = (number * 100.0).round();
        assert_eq!(number, hundredths / 100.0, "{number} has more than two decimals");
        hundredths as i64
    }

    #[test]
    fn a_hundred_thousand_events_tell_a_story_without_contradiction() {
        let mut market = Market::new(7);
        let wallets: HashSet<String> = market.wallets().iter().cloned().collect();
        let mut open: HashMap<(String, String), Seen> = HashMap::new();
        let mut counts: BTreeMap<String, u32> = BTreeMap::new();
        let mut partial_closes = 0;
        for number in 0..100_000 {
            let line = line(&mut market, NOW_UNIX_MS + number);
            let event: Value = serde_json::from_str(&line).expect("JSON");
            let (kind, data) = (event["type"].as_str().expect("a type"), &event["data"]);
            let text = |key: &str| data[key].as_str().expect(key).to_owned();
            let (owner, symbol, side) = (text("owner"), text("marketSymbol"), text("side"));
            let (size, collateral) = (hundredths(&data["sizeUsd"]), hundredths(&data["collateral"]));
            let (entry, leverage) = (data["entryPrice"].as_f64().expect("a price"), hundredths(&data["leverage"]));
            let listing = market.listings().iter().find(|listing| listing.symbol() == symbol).expect("a listed market");
            let price = listing.price();
            hundredths(&data["entryPrice"]);
            assert!(wallets.contains(&owner) && size > 0 && collateral > 0 && entry > 0.0, "{line}");
            assert!((100..=4_000).contains(&leverage), "{line}");
            assert!(side == "long" || side == "short", "{line}");
            *counts.entry(kind.to_owned()).or_default() += 1;
            let position = open.get_mut(&(owner.clone(), symbol.clone()));
            match (kind, position) {
                ("trade.open", None) => {
                    assert_eq!(entry, price, "{line}");
                    let implied = size as f64 / collateral as f64 * 100.0;
                    assert!((implied / leverage as f64 - 1.0).abs() < 0.01, "{implied} is not the leverage of {line}");
                    open.insert((owner, symbol), Seen { side, size, collateral, entry });
                }
                ("trade.increase", Some(seen)) => {
                    let (low, high) = (seen.entry.min(price) - 0.01, seen.entry.max(price) + 0.01);
                    assert!(side == seen.side && (low..=high).contains(&entry), "{seen:?}, at {price}: {line}");
                    seen.size += size;
                    seen.collateral += collateral;
                    seen.entry = entry;
                }
                ("trade.close", Some(seen)) => {
                    assert!(side == seen.side && entry == seen.entry && size <= seen.size, "{seen:?}: {line}");
                    seen.size -= size;
                    seen.collateral -= collateral;
                    if seen.size == 0 {
                        assert_eq!(seen.collateral, 0, "{line}");
                        open.remove(&(owner, symbol));
                    } else {
                        assert!(seen.collateral > 0 && seen.size >= POSITION_CENTS_MIN as i64, "{seen:?}: {line}");
                        partial_closes += 1;
                    }
                }
                ("trade.liquidation", Some(seen)) => {
                    assert_eq!((&side, size, collateral, entry), (&seen.side, seen.size, seen.collateral, seen.entry));
                    let change = (price / entry - 1.0) * if side == "long" { 1.0 } else { -1.0 };
                    let left = collateral as f64 + size as f64 * change;
                    assert!(left <= size as f64 / 100.0, "{left} cents were left at {price}: {line}");
                    open.remove(&(owner, symbol));
                }
                (_, seen) => panic!("event {number}: {line} while {seen:?}"),
            }
        }
        for kind in ["trade.open", "trade.increase", "trade.close", "trade.liquidation"] {
            let count = counts.get(kind).copied().unwrap_or(0);
            assert!(count >= 1_000, "{kind} came {count} times of 100,000: {counts:?}");
        }
        assert!(partial_closes >= 1_000, "{partial_closes}");
        assert!(counts["trade.liquidation"] < 15_000, "a massacre: {counts:?}");
        assert!((100..=600).contains(&open.len()), "{} open positions", open.len());
    }

    #[test]
    fn nothing_that_is_under_water_outlives_the_next_price_move() {
        let mut market = Market::new(11);
        let mut liquidations = 0;
        for _ in 0..50_000 {
            if market.step().trade.kind == TradeKind::Liquidation {
                liquidations += 1;
                continue;
            }
            for listing in &market.listings {
                let drowned = listing.positions.iter().find(|position| position.is_under_water(listing.price()));
                assert!(drowned.is_none(), "{drowned:?} at {}", listing.price());
            }
        }
        assert!(liquidations > 0);
    }

    #[test]
    fn a_seed_tells_the_same_story_each_time() {
        let lines = |seed| {
            let mut market = Market::new(seed);
            let lines: Vec<String> = (0..1_000).map(|ms| line(&mut market, NOW_UNIX_MS + ms)).collect();
            (market.wallets().to_vec(), lines)
        };
        assert_eq!(lines(42), lines(42));
        assert_ne!(lines(42), lines(43));
    }

    #[test]
    fn all_wallets_are_different() {
        let market = Market::new(1);
        let different: HashSet<&String> = market.wallets().iter().collect();
        assert_eq!((market.wallets().len(), different.len()), (WALLETS, WALLETS));
    }

    #[test]
    fn an_event_reads_as_a_publisher_sends_it() {
        let line = line(&mut Market::new(1), 1_736_937_000_000);
        let event: Value = serde_json::from_str(&line).expect("JSON");
        assert!(line.starts_with("{\"type\":\"trade.open\",\"data\":{\"owner\":\"") && !line.contains('\n'), "{line}");
        assert_eq!(event["data"]["timestamp"], "2025-01-15T10:30:00.000Z");
        let keys: Vec<&String> = event["data"].as_object().expect("an object").keys().collect();
        assert_eq!(keys.len(), 8, "{keys:?}");
        assert!(line.len() < 300, "{} bytes", line.len());
    }
}
