//! What kind of trader stands behind a wallet.

use fastrand::Rng;

use super::listing::LISTING_COUNT;
use super::position::{Position, Side, collateral_cents};

/// At 40 the initial margin is 2.5 %, well above the maintenance margin: nothing is born under water.
const LEVERAGE_TENTHS_MAX: u32 = 400;

const BASE58: &[u8; 58] = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";

#[derive(Debug)]
pub struct Trader {
    pub(super) usual_cents: u64,
    leverage_tenths: u32,
    pub(super) favourites: Vec<usize>,
}

impl Trader {
    pub(super) fn new(random: &mut Rng) -> Self {
        let mut favourites: Vec<usize> = (0..LISTING_COUNT).collect();
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

    /// One who is worth watching: a daring one on the three markets that move most.
    pub(super) fn daring() -> Self {
        Self { usual_cents: 500_000, leverage_tenths: LEVERAGE_TENTHS_MAX, favourites: vec![0, 1, 2] }
    }

    pub(super) fn opens(&self, trader: usize, price: f64, random: &mut Rng) -> Position {
        let size_cents = (self.usual_cents as f64 * (0.4 + 1.6 * random.f64())) as u64;
        let leverage_tenths = (self.leverage_tenths * random.u32(80..=120) / 100).clamp(11, LEVERAGE_TENTHS_MAX);
        let side = if random.bool() { Side::Long } else { Side::Short };
        let collateral_cents = collateral_cents(size_cents, leverage_tenths);
        Position { trader, side, size_cents, collateral_cents, leverage_tenths, entry_price: price }
    }
}

/// As the base58 form of 32 random bytes looks, which has 43 or 44 characters.
pub fn address(random: &mut Rng) -> String {
    let len = if random.u32(..4) == 0 { 43 } else { 44 };
    base58(len, random)
}

/// As the base58 form of a signature's 64 bytes looks, which has 87 or 88 characters.
pub fn signature(random: &mut Rng) -> String {
    base58(random.usize(87..=88), random)
}

fn base58(len: usize, random: &mut Rng) -> String {
    (0..len).map(|_| char::from(BASE58[random.usize(..BASE58.len())])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_signatures_look_like_base58() {
        let mut random = Rng::with_seed(1);
        for _ in 0..100 {
            let (address, signature) = (address(&mut random), signature(&mut random));
            assert!((43..=44).contains(&address.len()) && (87..=88).contains(&signature.len()));
            assert!(address.bytes().chain(signature.bytes()).all(|byte| BASE58.contains(&byte)));
        }
    }
}
