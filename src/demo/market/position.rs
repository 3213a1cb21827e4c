//! What a wallet holds on a market: money in whole cents, so that parts add up to the whole.

use serde::Serialize;

/// What is left of the size, in hundredths, when the exchange steps in.
const MAINTENANCE_PERCENT: f64 = 1.0;

#[derive(Clone, Copy, Debug)]
pub struct Position {
    pub trader: usize,
    pub side: Side,
    pub size_cents: u64,
    pub collateral_cents: u64,
    pub leverage_tenths: u32,
    pub entry_price: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    Long,
    Short,
}

impl Position {
    pub(super) fn is_under_water(&self, price: f64) -> bool {
        self.collateral_cents as f64 + self.gain_cents(price) <= self.maintenance_cents()
    }

    /// What it has gained at `price`; a loss is negative.
    pub fn gain_cents(&self, price: f64) -> f64 {
        let size = self.size_cents as f64;
        let change = price / self.entry_price - 1.0;
        if self.side == Side::Long { size * change } else { -size * change }
    }

    /// How much of the way from entry to liquidation is left at `price`: 1 at entry, 0 at liquidation, more than 1 in profit.
    pub fn distance_to_liquidation(&self, price: f64) -> f64 {
        let cushion = self.collateral_cents as f64 - self.maintenance_cents();
        (cushion + self.gain_cents(price)) / cushion
    }

    fn maintenance_cents(&self) -> f64 {
        self.size_cents as f64 * MAINTENANCE_PERCENT / 100.0
    }

    /// Buys more at `price`. What is returned was added, at the entry price that the position has by now.
    pub(super) fn increase(&mut self, size_cents: u64, price: f64) -> Self {
        let collateral_cents = collateral_cents(size_cents, self.leverage_tenths);
        let coins = self.size_cents as f64 / self.entry_price + size_cents as f64 / price;
        self.size_cents += size_cents;
        self.collateral_cents += collateral_cents;
        self.entry_price = cents_exact(self.size_cents as f64 / coins);
        Self { size_cents, collateral_cents, ..*self }
    }

    /// Sells a part, and frees its share of the collateral. What is returned was closed.
    pub(super) fn take_part(&mut self, size_cents: u64) -> Self {
        let share = size_cents as f64 / self.size_cents as f64;
        let collateral_cents = (self.collateral_cents as f64 * share) as u64;
        self.size_cents -= size_cents;
        self.collateral_cents -= collateral_cents;
        Self { size_cents, collateral_cents, ..*self }
    }
}

pub(super) fn collateral_cents(size_cents: u64, leverage_tenths: u32) -> u64 {
    (size_cents * 10).div_ceil(leverage_tenths.into())
}

/// Dollars with two decimals; the nearest double to them, which prints as them.
pub fn dollars(cents: u64) -> f64 {
    cents as f64 / 100.0
}

/// Rounded to two decimals.
pub fn cents_exact(dollars: f64) -> f64 {
    // Adding zero makes -0 into 0, which JSON would show.
    (dollars * 100.0).round() / 100.0 + 0.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_to_liquidation_goes_from_one_to_nothing() {
        for side in [Side::Long, Side::Short] {
            let (size_cents, leverage_tenths) = (1_000_000, 200);
            let collateral_cents = collateral_cents(size_cents, leverage_tenths);
            let position =
                Position { trader: 0, side, size_cents, collateral_cents, leverage_tenths, entry_price: 100.0 };
            // A collateral of 5 % and a maintenance margin of 1 % leave 4 % of price.
            let worse = |part: f64| if side == Side::Long { 100.0 * (1.0 - part) } else { 100.0 * (1.0 + part) };
            for (part, left) in [(0.0, 1.0), (0.01, 0.75), (0.04, 0.0), (-0.02, 1.5)] {
                let distance = position.distance_to_liquidation(worse(part));
                assert!((distance - left).abs() < 1e-9, "{side:?} {part}: {distance}");
            }
            assert!(position.is_under_water(worse(0.0401)) && !position.is_under_water(worse(0.0399)));
        }
    }
}
