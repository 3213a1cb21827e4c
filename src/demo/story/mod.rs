//! What the made-up market leads to, on every protocol: one step of the market and all that follows from it.
//!
//! ```text
//!   Market::step ─▶ a price, a trade ─┬─▶ the trade itself                               wallet:{owner}
//!                                     ├─▶ Ticker    prices, market data, candles         price:{mint}, market:{symbol}
//!                                     ├─▶ Scout     an alert on a large trade            alerts
//!                                     ├─▶ CopyBot   trades after the busiest wallets     bot:{botId}, transactions:{wallet}
//!                                     ├─▶ Customer  positions, guard, notifications      user:{userId}
//!                                     └─▶ Operator  now and then a word                  system, admin:{level}
//! ```
//!
//! Invariants:
//! * What is told agrees: every price, size and profit is the market's own.
//! * The same seed gives, for the same times, the same lines.
//! * A step is a few lines, at most `DEMO_STEP_EVENTS_MAX`.

mod bot;
mod customer;
mod inbox;
mod operator;
mod price_alerts;
mod scout;
mod ticker;

use fastrand::Rng;

use super::line::Line;
use super::market::Market;
use super::moment::Moment;
use crate::limits::DEMO_STEP_EVENTS_MAX;
use bot::CopyBot;
use customer::Customer;
use operator::Operator;
use scout::Scout;
use ticker::Ticker;

pub use bot::BOT_ID;
pub use customer::USER_ID;
pub use operator::ADMIN_LEVEL;
pub use ticker::SOL_MINT;

/// The market and everybody who follows it.
pub struct Story {
    market: Market,
    random: Rng,
    ticker: Ticker,
    scout: Scout,
    bot: CopyBot,
    customer: Customer,
    operator: Operator,
}

impl Story {
    pub fn new(seed: u64) -> Self {
        let market = Market::new(seed);
        // Another stream than the market's, so that its trades don't depend on who follows them.
        let mut random = Rng::with_seed(seed ^ 0x5374_6f72_7900);
        Self {
            ticker: Ticker::new(&market),
            scout: Scout::default(),
            bot: CopyBot::new(&mut random),
            customer: Customer::new(&market),
            operator: Operator::default(),
            market,
            random,
        }
    }

    /// The wallets whose trades are told.
    pub fn wallets(&self) -> &[String] {
        self.market.wallets()
    }

    /// The wallet that the bot trades with, whose transactions are told.
    pub fn bot_wallet(&self) -> &str {
        self.bot.wallet()
    }

    /// The next step's events, in the order in which they happen. Panics on a time past the year 9999.
    pub fn next(&mut self, unix_ms: u64) -> Vec<Line> {
        let now = Moment::new(unix_ms);
        let mut lines = Vec::new();
        let step = self.market.step();
        if let Some(moved) = step.moved {
            self.ticker.price_moved(&self.market, moved, &mut self.random, &now, &mut lines);
        }
        let mut of_customer = Vec::new();
        let closed_by_guard = self.customer.step(&mut self.market, &step, &now, &mut of_customer);
        for trade in std::iter::once(&step.trade).chain(&closed_by_guard) {
            lines.push(trade.line(&self.market, &now));
            self.ticker.traded(trade);
            self.scout.traded(&self.market, trade, &mut lines);
            self.bot.traded(&self.market, trade, &mut self.random, &now, &mut lines);
        }
        lines.append(&mut of_customer);
        self.operator.step(&self.market, &step.trade, &now, &mut lines);
        debug_assert!(lines.len() <= DEMO_STEP_EVENTS_MAX, "{} lines", lines.len());
        lines
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, HashMap, HashSet};

    use serde_json::Value;

    use super::ticker::USDC_MINT;
    use super::*;
    use crate::event::EventParser;

    const START_UNIX_MS: u64 = 1_736_937_000_000;
    /// As at the demo's usual rate.
    const STEP_MS: u64 = 900;

    fn lines(seed: u64, steps: u64) -> Vec<Line> {
        let mut story = Story::new(seed);
        (0..steps).flat_map(|step| story.next(START_UNIX_MS + step * STEP_MS)).collect()
    }

    /// Everything on one topic.
    fn on<'l>(lines: &'l [Line], topic: &str) -> impl Iterator<Item = &'l Line> {
        lines.iter().filter(move |line| line.topic.as_deref() == Some(topic))
    }

    #[test]
    fn a_few_minutes_have_something_on_every_topic_and_of_every_type_whatever_the_seed() {
        for seed in 0..20 {
            // The default seed shows it all within three minutes; under some the guard has little to do at first.
            let minutes = if seed == 1 { 3 } else { 8 };
            let lines = lines(seed, minutes * 60_000 / STEP_MS);
            let mut counts: BTreeMap<&str, u32> = BTreeMap::new();
            lines.iter().for_each(|line| *counts.entry(line.r#type).or_default() += 1);
            for (kind, least) in [
                ("trade.open", 20),
                ("trade.close", 5),
                ("alert", 30),
                ("bot_update", 20),
                ("transaction_confirmed", 20),
                ("price_update", 60),
                ("market_data_update", 100),
                ("historical_data_update", 5),
                ("price_alert", 1),
                ("margin_guard_execution", 1),
                ("position_status_update", 20),
                ("auto_close_execution", 1),
                ("in_app_notification", 5),
                ("notification_status_update", 5),
                ("server_maintenance", 1),
                ("service_status_update", 2),
                ("exchange_report", 1),
            ] {
                let count = counts.get(kind).copied().unwrap_or(0);
                assert!(count >= least, "seed {seed}: {kind} came {count} times: {counts:?}");
            }
            let topics: HashSet<&str> = lines.iter().filter_map(|line| line.topic.as_deref()).collect();
            for topic in ["bot:bot_abc123", "market:BTC_USD", "market:SOL_USD", "user:user_123", "admin:1", "system"] {
                assert!(topics.contains(topic), "seed {seed}: nothing on {topic}");
            }
            for mint in [SOL_MINT, USDC_MINT] {
                assert!(on(&lines, &format!("price:{mint}")).count() >= 20, "seed {seed}: {mint}");
            }
        }
    }

    #[test]
    fn every_line_is_an_event_that_the_server_takes() {
        let mut parser = EventParser::new();
        let mut story = Story::new(9);
        for step in 0..5_000 {
            let lines = story.next(START_UNIX_MS + step * STEP_MS);
            assert!((1..=DEMO_STEP_EVENTS_MAX).contains(&lines.len()));
            for line in lines {
                let text = line.to_string();
                let event = parser.parse(text.as_bytes(), 1, None).unwrap_or_else(|error| panic!("{error}: {text}"));
                let owner = line.data["owner"].as_str().map(|owner| format!("wallet:{owner}"));
                assert_eq!(event.topic.as_str(), line.topic.or(owner).as_deref().unwrap_or("alerts"));
            }
        }
    }

    #[test]
    fn a_seed_tells_the_same_story_each_time() {
        let texts = |seed| lines(seed, 500).iter().map(Line::to_string).collect::<Vec<_>>();
        assert_eq!(texts(42), texts(42));
        assert_ne!(texts(42), texts(43));
    }

    /// What is told on different topics is told of one market.
    #[test]
    fn protocols_agree_on_prices_positions_and_transactions() {
        let lines = lines(5, 20_000);
        let busiest = Story::new(5).wallets()[0].clone();
        let bot_wallet = format!("transactions:{}", Story::new(5).bot_wallet());
        let mut prices: HashMap<String, Value> = HashMap::new();
        let mut open: HashMap<String, Value> = HashMap::new();
        let mut shown: HashSet<Value> = HashSet::new();
        let mut signature = None;
        for line in &lines {
            let data = &line.data;
            match line.r#type {
                "market_data_update" => {
                    let price = data["price"].as_f64();
                    assert!(data["low24h"].as_f64() <= price && price <= data["high24h"].as_f64(), "{line}");
                    prices.insert(data["symbol"].to_string(), data["price"].clone());
                }
                "trade.open" if data["owner"] == *busiest => {
                    open.insert(data["marketSymbol"].to_string(), data["entryPrice"].clone());
                }
                "position_status_update" => {
                    let position = &data["position"];
                    let known = prices.get(&position["symbol"].to_string());
                    assert!(known.is_none_or(|price| *price == position["currentPrice"]), "{line}, not {known:?}");
                    let (pnl, side) = (position["pnl"].as_f64().unwrap(), &position["side"]);
                    let up = position["currentPrice"].as_f64() > position["entryPrice"].as_f64();
                    assert!(pnl.abs() < 0.02 || (pnl > 0.0) == (up == (side == "long")), "{line}");
                    assert_eq!(
                        position["isAtRisk"].as_bool(),
                        position["distanceToLiquidation"].as_f64().map(|left| left <= 0.9)
                    );
                }
                "price_alert" => {
                    let (set_at, price) = (data["price"].as_f64(), data["currentPrice"].as_f64());
                    assert!(if data["condition"] == "above" { price >= set_at } else { price <= set_at }, "{line}");
                    assert_eq!(Some(&data["currentPrice"]), prices.get(&data["symbol"].to_string()), "{line}");
                }
                "bot_update" => signature = Some(data["data"]["signature"].clone()),
                "transaction_confirmed" => {
                    assert_eq!(line.topic.as_deref(), Some(bot_wallet.as_str()));
                    assert_eq!(Some(&data["signature"]), signature.as_ref(), "{line}");
                }
                "in_app_notification" => assert!(shown.insert(data["id"].clone()), "{line}"),
                "notification_status_update" => assert!(shown.remove(&data["id"]), "{line}"),
                _ => {}
            }
        }
        assert!(open.len() == 3 && shown.len() <= 2 && signature.is_some(), "{open:?} {shown:?}");
    }

    #[test]
    fn the_guard_closes_what_it_says_and_the_trade_is_told() {
        let mut story = Story::new(2);
        let busiest = story.wallets()[0].clone();
        let mut closed = 0;
        for step in 0..10_000 {
            let lines = story.next(START_UNIX_MS + step * STEP_MS);
            for line in lines.iter().filter(|line| line.r#type == "auto_close_execution") {
                let symbol = line.data["position"]["symbol"].as_str().unwrap().replace("_USD", "-PERP");
                let told = lines.iter().filter(|line| {
                    line.r#type == "trade.close"
                        && line.data["owner"] == *busiest
                        && line.data["marketSymbol"] == *symbol
                });
                assert_eq!(told.count(), 1, "{lines:?}");
                assert!(line.data["position"]["pnl"].as_f64() < Some(0.0), "{line}");
                closed += 1;
            }
        }
        assert!(closed >= 10, "{closed}");
    }
}
