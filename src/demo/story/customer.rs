//! The user behind the busiest wallet: positions, the margin guard over them, alarms and notifications.
//!
//! The guard looks at a position whenever its price moves: near to liquidation it warns once, nearer it closes.

use serde_json::{Value, json};

use super::inbox::{Inbox, Notification};
use super::price_alerts::PriceAlerts;
use crate::demo::line::Line;
use crate::demo::market::{BUSIEST, Market, Position, Step, Trade, TradeKind, cents_exact, dollars};
use crate::demo::moment::Moment;

pub const USER_ID: &str = "user_123";

/// Parts of the way to liquidation that are left when the guard warns, and when it closes. Both are early, so that a demo of a few
/// minutes shows them.
const GUARD_WARNS: f64 = 0.9;
const GUARD_CLOSES: f64 = 0.8;

pub struct Customer {
    /// By listing.
    held: Vec<Option<Held>>,
    positions: u64,
    executions: u64,
    inbox: Inbox,
    price_alerts: PriceAlerts,
}

/// What is known of an open position beside what the market knows.
#[derive(Clone, Copy)]
struct Held {
    number: u64,
    warned: bool,
}

impl Customer {
    pub fn new(market: &Market) -> Self {
        let favourites = market.favourites(BUSIEST).iter().map(|&listing| (listing, market.listing(listing)));
        Self {
            held: vec![None; market.listings().len()],
            positions: 0,
            executions: 0,
            inbox: Inbox::default(),
            price_alerts: PriceAlerts::new(favourites),
        }
    }

    /// What a step of the market means to the customer. A trade of the guard's own is returned, and not among the lines.
    pub fn step(&mut self, market: &mut Market, step: &Step, now: &Moment, lines: &mut Vec<Line>) -> Option<Trade> {
        self.inbox.deliver(now, lines);
        if step.trade.position.trader == BUSIEST {
            self.traded(market, &step.trade, now, lines);
        }
        let moved = step.moved?;
        self.price_alerts.price_moved(moved, market.listing(moved), now, lines);
        let position = *market.position(BUSIEST, moved)?;
        let left = distance_left(&position, market.listing(moved).price());
        let held = self.held[moved]?;
        if left <= GUARD_CLOSES {
            return self.guard_closes(market, moved, held, now, lines);
        }
        lines.push(self.status(market, moved, held, &position, now));
        if left <= GUARD_WARNS && !held.warned {
            self.held[moved] = Some(Held { warned: true, ..held });
            self.guard_warns(market, moved, held, left, now, lines);
        }
        None
    }

    fn traded(&mut self, market: &Market, trade: &Trade, now: &Moment, lines: &mut Vec<Line>) {
        let pair = market.listing(trade.listing).pair();
        if trade.kind == TradeKind::Open {
            self.positions += 1;
            self.held[trade.listing] = Some(Held { number: self.positions, warned: false });
        }
        let Some(held) = self.held[trade.listing] else { return };
        let still_open = market.position(BUSIEST, trade.listing);
        match still_open {
            Some(position) => lines.push(self.status(market, trade.listing, held, position, now)),
            None => self.held[trade.listing] = None,
        }
        let (title, r#type) = match trade.kind {
            TradeKind::Open => ("Position opened", "success"),
            TradeKind::Increase => ("Position increased", "info"),
            TradeKind::Close if still_open.is_some() => ("Position reduced", "info"),
            TradeKind::Close => ("Position closed", "info"),
            TradeKind::Liquidation => ("Position liquidated", "warning"),
        };
        let notification = Notification {
            title,
            message: format!("{title}: {pair}, ${:.2}", dollars(trade.position.size_cents)),
            r#type,
            category: "positions",
            data: json!({ "positionId": position_id(held) }),
        };
        self.inbox.notify(notification, now, lines);
    }

    fn status(&self, market: &Market, listing: usize, held: Held, position: &Position, now: &Moment) -> Line {
        let listing = market.listing(listing);
        let (price, left) = (listing.price(), distance_left(position, listing.price()));
        let data = json!({
            "userId": USER_ID,
            "position": {
                "id": position_id(held),
                "symbol": listing.pair(),
                "side": position.side,
                "size": dollars(position.size_cents),
                "entryPrice": position.entry_price,
                "currentPrice": price,
                "margin": dollars(position.collateral_cents),
                "leverage": f64::from(position.leverage_tenths) / 10.0,
                "pnl": gain(position, price),
                "distanceToLiquidation": left,
                "isAtRisk": left <= GUARD_WARNS,
                "updatedAt": now.text(),
            },
        });
        user_line("position_status_update", data)
    }

    fn guard_warns(
        &mut self,
        market: &Market,
        listing: usize,
        held: Held,
        left: f64,
        now: &Moment,
        lines: &mut Vec<Line>,
    ) {
        self.executions += 1;
        let pair = market.listing(listing).pair();
        let id = position_id(held);
        let data = json!({
            "executionId": format!("mg_exec_{}", self.executions),
            "userId": USER_ID,
            "action": "notification_sent",
            "positions": [{
                "id": id,
                "symbol": pair,
                "distanceToLiquidation": left,
                "isAtRisk": true,
                "recommendedAction": "close_position",
            }],
            "summary": {
                "positionsChecked": self.held.iter().flatten().count(),
                "positionsAtRisk": self.held.iter().flatten().filter(|held| held.warned).count(),
                "actionsExecuted": ["notification_sent"],
            },
            "executedAt": now.text(),
        });
        lines.push(user_line("margin_guard_execution", data));
        let notification = Notification {
            title: "Margin guard",
            message: format!("Your position {pair} comes near its liquidation"),
            r#type: "warning",
            category: "margin_guard",
            data: json!({ "positionId": id, "distanceToLiquidation": left }),
        };
        self.inbox.notify(notification, now, lines);
    }

    fn guard_closes(
        &mut self,
        market: &mut Market,
        listing: usize,
        held: Held,
        now: &Moment,
        lines: &mut Vec<Line>,
    ) -> Option<Trade> {
        let trade = market.close(BUSIEST, listing)?;
        self.held[listing] = None;
        self.executions += 1;
        let (pair, price) = (market.listing(listing).pair(), market.listing(listing).price());
        let data = json!({
            "executionId": format!("auto_close_{}", self.executions),
            "userId": USER_ID,
            "position": {
                "id": position_id(held),
                "symbol": pair,
                "closedAt": now.text(),
                "reason": "margin_guard_auto_close",
                "pnl": gain(&trade.position, price),
            },
            "executedAt": now.text(),
        });
        lines.push(user_line("auto_close_execution", data));
        let notification = Notification {
            title: "Margin guard",
            message: format!("Your position {pair} was closed before its liquidation"),
            r#type: "warning",
            category: "margin_guard",
            data: json!({ "positionId": position_id(held) }),
        };
        self.inbox.notify(notification, now, lines);
        Some(trade)
    }
}

/// An event for the customer alone.
pub(super) fn user_line(r#type: &'static str, data: Value) -> Line {
    Line::new(r#type, Some(format!("user:{USER_ID}")), data)
}

fn position_id(held: Held) -> String {
    format!("pos_{}", held.number)
}

/// As it is shown, so that what the guard does agrees with what is seen.
fn distance_left(position: &Position, price: f64) -> f64 {
    cents_exact(position.distance_to_liquidation(price))
}

fn gain(position: &Position, price: f64) -> f64 {
    cents_exact(position.gain_cents(price) / 100.0)
}
