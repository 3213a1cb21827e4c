//! A made-up market for `stentor demo`: wallets open, increase and close leveraged positions while prices wander.
//!
//! ```text
//!   next() ──▶ is a position under water? ──yes──▶ trade.liquidation
//!                 │ no: one price moves
//!                 ├──▶ did that put one under water? ──yes──▶ trade.liquidation
//!                 └──no──▶ one wallet decides ──▶ trade.open | trade.increase | trade.close
//! ```
//!
//! Invariants:
//! * A wallet has at most one position a market; nothing is increased, closed or liquidated that isn't open.
//! * `sizeUsd` and `collateral` are those of the trade: what was opened, added, closed or liquidated. Over a
//!   position's life they add up to nothing left, to the cent.
//! * A liquidation comes only when the price has taken the collateral down to the maintenance margin, and then before
//!   any further price moves.
//! * The same seed gives the same wallets and, for the same times, the same lines.

use fastrand::Rng;
use jiff::Timestamp;
use serde::Serialize;

/// Wallets that trade. Each has up to three favourite markets, so that some hundreds of positions are open.
pub const WALLETS: usize = 200;

/// A position smaller than this (in cents) isn't worth keeping: what would leave less behind closes it whole.
pub const POSITION_CENTS_MIN: u64 = 1_000;

/// A wallet doesn't add to a position past this many times its usual size.
pub const POSITION_GROWTH_MAX: u64 = 10;

/// What is left of the size, in hundredths, when the exchange steps in.
const MAINTENANCE_PERCENT: f64 = 1.0;

/// At 40 the initial margin is 2.5 %, well above the maintenance margin: nothing is born under water.
const LEVERAGE_TENTHS_MAX: u32 = 400;

/// One move in this many is news, and [`NEWS_FACTOR`] times as large.
const NEWS_ONE_IN: u32 = 400;
const NEWS_FACTOR: f64 = 8.0;

/// The part of its distance from home that a price comes back with each move: it stays within some 20 %.
const HOMING: f64 = 0.0005;

/// Symbol, the price that it wanders about, and the usual size of a move.
const LISTINGS: [(&str, f64, f64); 8] = [
    ("SOL-PERP", 185.42, 0.0016),
    ("BTC-PERP", 97_250.00, 0.0009),
    ("ETH-PERP", 3_310.50, 0.0012),
    ("AVAX-PERP", 38.15, 0.0018),
    ("LINK-PERP", 22.64, 0.0017),
    ("BNB-PERP", 702.30, 0.0011),
    ("LTC-PERP", 104.88, 0.0014),
    ("HYPE-PERP", 24.71, 0.0022),
];

const BASE58: &[u8; 58] = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";

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

#[derive(Debug)]
struct Listing {
    symbol: &'static str,
    home_price: f64,
    usual_move: f64,
    /// The logarithm of price by home price.
    distance: f64,
    price: f64,
    positions: Vec<Position>,
}

/// What kind of trader stands behind a wallet.
#[derive(Debug)]
struct Trader {
    usual_cents: u64,
    leverage_tenths: u32,
    favourites: Vec<usize>,
}

#[derive(Clone, Copy, Debug)]
struct Position {
    trader: usize,
    side: Side,
    size_cents: u64,
    collateral_cents: u64,
    leverage_tenths: u32,
    entry_price: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Side {
    Long,
    Short,
}

#[derive(Clone, Copy, Debug, Serialize)]
enum Kind {
    #[serde(rename = "trade.open")]
    Open,
    #[serde(rename = "trade.increase")]
    Increase,
    #[serde(rename = "trade.close")]
    Close,
    #[serde(rename = "trade.liquidation")]
    Liquidation,
}

/// One trade: `position` is the part of it that was traded, at the position's entry price.
#[derive(Clone, Copy, Debug)]
struct Trade {
    kind: Kind,
    listing: usize,
    position: Position,
}

/// The line of a publisher.
#[derive(Serialize)]
struct Event<'a> {
    r#type: Kind,
    data: EventData<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct EventData<'a> {
    owner: &'a str,
    market_symbol: &'a str,
    side: Side,
    size_usd: f64,
    leverage: f64,
    entry_price: f64,
    collateral: f64,
    timestamp: String,
}

impl Market {
    /// A market without positions.
    pub fn new(seed: u64) -> Self {
        let mut random = Rng::with_seed(seed);
        let listings = LISTINGS
            .map(|(symbol, home_price, usual_move)| Listing {
                symbol,
                home_price,
                usual_move,
                distance: 0.0,
                price: home_price,
                positions: Vec::new(),
            })
            .into();
        let addresses = (0..WALLETS).map(|_| address(&mut random)).collect();
        let traders = (0..WALLETS).map(|_| Trader::new(&mut random)).collect();
        Self { random, listings, addresses, traders, moved: 0 }
    }

    /// The wallets' addresses, the busiest first: its first few make a lively watchlist.
    pub fn wallets(&self) -> &[String] {
        &self.addresses
    }

    /// What a market trades at now, in dollars.
    pub fn price(&self, symbol: &str) -> Option<f64> {
        self.listings.iter().find(|listing| listing.symbol == symbol).map(|listing| listing.price)
    }

    /// The next trade as one line of JSON, without its line break, as a publisher sends it. Panics on a time past the
    /// year 9999.
    pub fn next(&mut self, now_unix_ms: u64) -> String {
        let trade = self.liquidation().or_else(|| {
            self.move_a_price();
            self.liquidation()
        });
        let trade = trade.unwrap_or_else(|| self.decision());
        self.line(trade, now_unix_ms)
    }

    fn line(&self, trade: Trade, now_unix_ms: u64) -> String {
        let Trade { kind, listing, position } = trade;
        let now = i64::try_from(now_unix_ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
        let data = EventData {
            owner: &self.addresses[position.trader],
            market_symbol: self.listings[listing].symbol,
            side: position.side,
            size_usd: dollars(position.size_cents),
            leverage: f64::from(position.leverage_tenths) / 10.0,
            entry_price: position.entry_price,
            collateral: dollars(position.collateral_cents),
            timestamp: format!("{:.3}", now.expect("a time before the year 10000")),
        };
        serde_json::to_string(&Event { r#type: kind, data }).expect("finite numbers and strings are JSON")
    }

    fn move_a_price(&mut self) {
        self.moved = self.random.usize(..self.listings.len());
        let listing = &mut self.listings[self.moved];
        // Three uniform numbers make a bell; halved and centred, it has a deviation of about one.
        let bell = 2.0 * (self.random.f64() + self.random.f64() + self.random.f64() - 1.5);
        let news = if self.random.u32(..NEWS_ONE_IN) == 0 { NEWS_FACTOR } else { 1.0 };
        listing.distance = listing.distance * (1.0 - HOMING) + listing.usual_move * bell * news;
        listing.price = cents_exact(listing.home_price * listing.distance.exp());
    }

    fn liquidation(&mut self) -> Option<Trade> {
        let listing = &mut self.listings[self.moved];
        let price = listing.price;
        let index = listing.positions.iter().position(|position| position.is_under_water(price))?;
        let position = listing.positions.swap_remove(index);
        Some(Trade { kind: Kind::Liquidation, listing: self.moved, position })
    }

    /// Some wallet does something in one of its favourite markets.
    fn decision(&mut self) -> Trade {
        // Squared, so that the first wallets trade far more often than the last.
        let trader = (self.random.f64().powi(2) * WALLETS as f64) as usize;
        let who = &self.traders[trader];
        let listing = who.favourites[self.random.usize(..who.favourites.len())];
        let on = &mut self.listings[listing];
        let Some(index) = on.positions.iter().position(|position| position.trader == trader) else {
            let position = who.opens(trader, on.price, &mut self.random);
            on.positions.push(position);
            return Trade { kind: Kind::Open, listing, position };
        };
        let position = &mut on.positions[index];
        let part = |random: &mut Rng| (position.size_cents as f64 * (0.2 + 0.5 * random.f64())) as u64;
        let (kind, position) = match self.random.u32(..100) {
            0..25 if position.size_cents < who.usual_cents * POSITION_GROWTH_MAX => {
                let size_cents = part(&mut self.random).max(POSITION_CENTS_MIN);
                (Kind::Increase, position.increase(size_cents, on.price))
            }
            25..50 if position.size_cents > 4 * POSITION_CENTS_MIN => {
                let size_cents = part(&mut self.random);
                (Kind::Close, position.take_part(size_cents))
            }
            _ => (Kind::Close, on.positions.swap_remove(index)),
        };
        Trade { kind, listing, position }
    }
}

impl Trader {
    fn new(random: &mut Rng) -> Self {
        let mut favourites: Vec<usize> = (0..LISTINGS.len()).collect();
        random.shuffle(&mut favourites);
        favourites.truncate(random.usize(1..=3));
        Self {
            // From 300 to 90,000 dollars, as many small ones as large ones in each decade.
            usual_cents: (30_000.0 * 300f64.powf(random.f64())) as u64,
            // Most are careful: the square puts the middle at a quarter of the most.
            leverage_tenths: 15 + ((LEVERAGE_TENTHS_MAX - 15) as f64 * random.f64().powi(2)) as u32,
            favourites,
        }
    }

    fn opens(&self, trader: usize, price: f64, random: &mut Rng) -> Position {
        let size_cents = (self.usual_cents as f64 * (0.4 + 1.6 * random.f64())) as u64;
        let leverage_tenths = (self.leverage_tenths * random.u32(80..=120) / 100).clamp(11, LEVERAGE_TENTHS_MAX);
        let side = if random.bool() { Side::Long } else { Side::Short };
        let collateral_cents = collateral_cents(size_cents, leverage_tenths);
        Position { trader, side, size_cents, collateral_cents, leverage_tenths, entry_price: price }
    }
}

impl Position {
    fn is_under_water(&self, price: f64) -> bool {
        let size = self.size_cents as f64;
        let change = price / self.entry_price - 1.0;
        let gain = if self.side == Side::Long { size * change } else { -size * change };
        self.collateral_cents as f64 + gain <= size * MAINTENANCE_PERCENT / 100.0
    }

    /// Buys more at `price`. What is returned was added, at the entry price that the position has by now.
    fn increase(&mut self, size_cents: u64, price: f64) -> Position {
        let collateral_cents = collateral_cents(size_cents, self.leverage_tenths);
        let coins = self.size_cents as f64 / self.entry_price + size_cents as f64 / price;
        self.size_cents += size_cents;
        self.collateral_cents += collateral_cents;
        self.entry_price = cents_exact(self.size_cents as f64 / coins);
        Position { size_cents, collateral_cents, ..*self }
    }

    /// Sells a part, and frees its share of the collateral. What is returned was closed.
    fn take_part(&mut self, size_cents: u64) -> Position {
        let share = size_cents as f64 / self.size_cents as f64;
        let collateral_cents = (self.collateral_cents as f64 * share) as u64;
        self.size_cents -= size_cents;
        self.collateral_cents -= collateral_cents;
        Position { size_cents, collateral_cents, ..*self }
    }
}

fn collateral_cents(size_cents: u64, leverage_tenths: u32) -> u64 {
    (size_cents * 10).div_ceil(leverage_tenths.into())
}

/// Dollars with two decimals; the nearest double to them, which prints as them.
fn dollars(cents: u64) -> f64 {
    cents as f64 / 100.0
}

fn cents_exact(dollars: f64) -> f64 {
    (dollars * 100.0).round() / 100.0
}

/// As the base58 form of 32 random bytes looks, which has 43 or 44 characters.
fn address(random: &mut Rng) -> String {
    let len = if random.u32(..4) == 0 { 43 } else { 44 };
    (0..len).map(|_| char::from(BASE58[random.usize(..BASE58.len())])).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, HashMap, HashSet};

    use serde_json::Value;

    use super::*;

    const NOW_UNIX_MS: u64 = 1_736_937_000_000;

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
            let line = market.next(NOW_UNIX_MS + number);
            let event: Value = serde_json::from_str(&line).expect("JSON");
            let (kind, data) = (event["type"].as_str().expect("a type"), &event["data"]);
            let text = |key: &str| data[key].as_str().expect(key).to_owned();
            let (owner, symbol, side) = (text("owner"), text("marketSymbol"), text("side"));
            let (size, collateral) = (hundredths(&data["sizeUsd"]), hundredths(&data["collateral"]));
            let (entry, leverage) = (data["entryPrice"].as_f64().expect("a price"), hundredths(&data["leverage"]));
            let price = market.price(&symbol).expect("a listed market");
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
            let line = market.next(NOW_UNIX_MS);
            if line.contains("trade.liquidation") {
                liquidations += 1;
                continue;
            }
            for listing in &market.listings {
                let drowned = listing.positions.iter().find(|position| position.is_under_water(listing.price));
                assert!(drowned.is_none(), "{drowned:?} at {}", listing.price);
            }
        }
        assert!(liquidations > 0);
    }

    #[test]
    fn prices_stay_near_home() {
        let mut market = Market::new(3);
        for _ in 0..60_000 {
            market.next(NOW_UNIX_MS);
            for listing in &market.listings {
                let ratio = listing.price / listing.home_price;
                assert!((0.5..2.0).contains(&ratio), "{} at {}", listing.symbol, listing.price);
            }
        }
    }

    #[test]
    fn a_seed_tells_the_same_story_each_time() {
        let lines = |seed| {
            let mut market = Market::new(seed);
            let lines: Vec<String> = (0..1_000).map(|ms| market.next(NOW_UNIX_MS + ms)).collect();
            (market.wallets().to_vec(), lines)
        };
        assert_eq!(lines(42), lines(42));
        assert_ne!(lines(42), lines(43));
    }

    #[test]
    fn wallets_look_like_addresses_and_are_all_different() {
        let market = Market::new(1);
        let different: HashSet<&String> = market.wallets().iter().collect();
        assert_eq!((market.wallets().len(), different.len()), (WALLETS, WALLETS));
        for wallet in market.wallets() {
            assert!((32..=44).contains(&wallet.len()) && wallet.bytes().all(|byte| BASE58.contains(&byte)), "{wallet}");
        }
    }

    #[test]
    fn an_event_reads_as_a_publisher_sends_it() {
        let line = Market::new(1).next(1_736_937_000_000);
        let event: Value = serde_json::from_str(&line).expect("JSON");
        assert!(line.starts_with("{\"type\":\"trade.open\",\"data\":{\"owner\":\"") && !line.contains('\n'), "{line}");
        assert_eq!(event["data"]["timestamp"], "2025-01-15T10:30:00.000Z");
        let keys: Vec<&String> = event["data"].as_object().expect("an object").keys().collect();
        assert_eq!(keys.len(), 8, "{keys:?}");
        assert!(line.len() < 300, "{} bytes", line.len());
    }
}
