//! The people who run the exchange: a word to all now and then, and a report to the administrators.

use serde_json::json;

use crate::demo::line::Line;
use crate::demo::market::{Market, Trade, TradeKind, dollars};
use crate::demo::moment::Moment;

/// The level that reports to administrators need.
pub const ADMIN_LEVEL: u32 = 1;

/// Steps between two words to all: half a minute at the demo's usual rate.
const WORD_STEPS: u64 = 40;
/// Steps between two reports.
const REPORT_STEPS: u64 = 60;

const MINUTE_MS: u64 = 60_000;

#[derive(Default)]
pub struct Operator {
    steps: u64,
    words: u64,
    liquidations: u64,
    traded_cents: u64,
}

impl Operator {
    pub fn step(&mut self, market: &Market, trade: &Trade, now: &Moment, lines: &mut Vec<Line>) {
        self.steps += 1;
        self.traded_cents += trade.position.size_cents;
        self.liquidations += u64::from(trade.kind == TradeKind::Liquidation);
        if self.steps.is_multiple_of(WORD_STEPS) {
            self.words += 1;
            lines.push(self.word(now));
        }
        if self.steps.is_multiple_of(REPORT_STEPS) {
            let data = json!({
                "trades": REPORT_STEPS,
                "volume": dollars(std::mem::take(&mut self.traded_cents)),
                "liquidations": std::mem::take(&mut self.liquidations),
                "openPositions": market.open_positions(),
                "createdAt": now.text(),
            });
            lines.push(Line::new("exchange_report", Some(format!("admin:{ADMIN_LEVEL}")), data));
        }
    }

    /// A service falters, recovers, and then a maintenance is announced; and so on.
    fn word(&self, now: &Moment) -> Line {
        let (r#type, data) = match self.words % 3 {
            1 => (
                "service_status_update",
                json!({
                    "service": "margin_guard",
                    "status": "degraded",
                    "message": "The margin guard looks at positions with a delay",
                    "estimatedRecovery": now.text_after_ms(MINUTE_MS),
                    "updatedAt": now.text(),
                }),
            ),
            2 => (
                "service_status_update",
                json!({
                    "service": "margin_guard",
                    "status": "operational",
                    "message": "The margin guard is back to normal",
                    "updatedAt": now.text(),
                }),
            ),
            _ => (
                "server_maintenance",
                json!({
                    "scheduled": true,
                    "startTime": now.text_after_ms(120 * MINUTE_MS),
                    "endTime": now.text_after_ms(240 * MINUTE_MS),
                    "message": "The exchange rests for two hours, two hours from now",
                }),
            ),
        };
        Line::new(r#type, Some("system".to_owned()), data)
    }
}
