//! One market of the exchange: a price that wanders about its home, and the positions that are open on it.

use fastrand::Rng;

use super::position::{Position, cents_exact, dollars};

/// One move in this many is news, and [`NEWS_FACTOR`] times as large.
const NEWS_ONE_IN: u32 = 400;
const NEWS_FACTOR: f64 = 8.0;

/// The part of its distance from home that a price comes back with each move: it stays within some 20 %.
const HOMING: f64 = 0.0005;

/// Coin, the price that it wanders about, and the usual size of a move. The first ones move most often.
const LISTINGS: [(&str, f64, f64); 8] = [
    ("SOL", 185.42, 0.0016),
    ("BTC", 97_250.00, 0.0009),
    ("ETH", 3_310.50, 0.0012),
    ("AVAX", 38.15, 0.0018),
    ("LINK", 22.64, 0.0017),
    ("BNB", 702.30, 0.0011),
    ("LTC", 104.88, 0.0014),
    ("HYPE", 24.71, 0.0022),
];

/// How many there are.
pub const LISTING_COUNT: usize = LISTINGS.len();

#[derive(Debug)]
pub struct Listing {
    coin: &'static str,
    home_price: f64,
    usual_move: f64,
    /// The logarithm of price by home price.
    distance: f64,
    price: f64,
    low: f64,
    high: f64,
    traded_cents: u64,
    pub(super) positions: Vec<Position>,
}

impl Listing {
    pub(super) fn all() -> Vec<Self> {
        let listing = |(coin, home_price, usual_move)| Self {
            coin,
            home_price,
            usual_move,
            distance: 0.0,
            price: home_price,
            low: home_price,
            high: home_price,
            traded_cents: 0,
            positions: Vec::new(),
        };
        LISTINGS.map(listing).into()
    }

    /// Such as `SOL`.
    pub fn coin(&self) -> &'static str {
        self.coin
    }

    /// As trades name it, such as `SOL-PERP`.
    pub fn symbol(&self) -> String {
        format!("{}-PERP", self.coin)
    }

    /// As market data names it, such as `SOL_USD`.
    pub fn pair(&self) -> String {
        format!("{}_USD", self.coin)
    }

    /// What it trades at now, in dollars.
    pub fn price(&self) -> f64 {
        self.price
    }

    /// What it traded at when the demo began, and what it wanders about.
    pub fn home_price(&self) -> f64 {
        self.home_price
    }

    /// The deviation of a move, as a part of the price.
    pub fn usual_move(&self) -> f64 {
        self.usual_move
    }

    /// Its least and its greatest price so far.
    pub fn range(&self) -> (f64, f64) {
        (self.low, self.high)
    }

    /// The sizes of all its trades so far, in dollars.
    pub fn volume(&self) -> f64 {
        dollars(self.traded_cents)
    }

    pub(super) fn count(&mut self, size_cents: u64) {
        self.traded_cents = self.traded_cents.saturating_add(size_cents);
    }

    pub(super) fn move_price(&mut self, random: &mut Rng) {
        // Three uniform numbers make a bell; halved and centred, it has a deviation of about one.
        let bell = 2.0 * (random.f64() + random.f64() + random.f64() - 1.5);
        let news = if random.u32(..NEWS_ONE_IN) == 0 { NEWS_FACTOR } else { 1.0 };
        self.distance = self.distance * (1.0 - HOMING) + self.usual_move * bell * news;
        self.price = cents_exact(self.home_price * self.distance.exp());
        self.low = self.low.min(self.price);
        self.high = self.high.max(self.price);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_stay_near_home() {
        let mut random = Rng::with_seed(3);
        for mut listing in Listing::all() {
            for _ in 0..20_000 {
                listing.move_price(&mut random);
            }
            let (low, high) = listing.range();
            assert!(low > 0.5 * listing.home_price && high < 2.0 * listing.home_price, "{listing:?}");
            assert!(low <= listing.price && listing.price <= high && low < high, "{listing:?}");
        }
    }
}
