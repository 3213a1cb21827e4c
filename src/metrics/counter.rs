//! Numbers that one thread writes and any thread reads, alone and by a word of a fixed list.
//!
//! Nothing here is a point in time: two numbers that are read one after the other may be a moment apart.

use std::marker::PhantomData;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// For the one thread that writes it: a load and a store are cheaper than a locked add.
    pub fn add(&self, count: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(count), Relaxed);
    }

    /// Where several threads count, which is nowhere on the way of an event.
    pub fn add_shared(&self, count: u64) {
        self.0.fetch_add(count, Relaxed);
    }

    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// A number that goes up and down. It has one writer.
#[derive(Debug, Default)]
pub struct Gauge(AtomicU64);

impl Gauge {
    pub fn set(&self, value: u64) {
        self.0.store(value, Relaxed);
    }

    pub fn raise(&self) {
        self.set(self.get() + 1);
    }

    pub fn lower(&self) {
        self.set(self.get().saturating_sub(1));
    }

    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// A word of a fixed list, by which something is counted. So whatever a peer sends, there are no more numbers than words.
pub trait Label: Copy + 'static {
    const ALL: &'static [Self];

    /// Its place in the list.
    fn index(self) -> usize;

    fn word(self) -> &'static str;
}

/// An enum of such words.
macro_rules! labels {
    (
        $(#[$about:meta])*
        $visibility:vis enum $name:ident {
            $($(#[doc = $about_variant:literal])* $(#[cfg($condition:meta)])? $variant:ident = $word:literal),+ $(,)?
        }
    ) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        $visibility enum $name { $($(#[doc = $about_variant])* $(#[cfg($condition)])? $variant),+ }

        impl $crate::metrics::Label for $name {
            const ALL: &'static [Self] = &[$($(#[cfg($condition)])? Self::$variant),+];

            fn index(self) -> usize {
                self as usize
            }

            fn word(self) -> &'static str {
                match self { $($(#[cfg($condition)])? Self::$variant => $word),+ }
            }
        }
    };
}
pub(crate) use labels;

/// A cell for each word.
#[derive(Debug)]
pub struct ByLabel<L, T> {
    cells: Box<[T]>,
    label: PhantomData<fn(L)>,
}

pub type Counters<L> = ByLabel<L, Counter>;
pub type Gauges<L> = ByLabel<L, Gauge>;

impl<L: Label, T: Default> Default for ByLabel<L, T> {
    fn default() -> Self {
        Self { cells: L::ALL.iter().map(|_| T::default()).collect(), label: PhantomData }
    }
}

impl<L: Label, T> ByLabel<L, T> {
    pub fn of(&self, label: L) -> &T {
        &self.cells[label.index()]
    }

    /// Every word with its cell.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &T)> {
        L::ALL.iter().map(|label| (label.word(), self.of(*label)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    labels! {
        enum Fruit { Apple = "apple", Pear = "pear" }
    }

    #[test]
    fn every_word_has_a_cell_of_its_own() {
        let counters = Counters::<Fruit>::default();
        counters.of(Fruit::Pear).add(2);
        counters.of(Fruit::Pear).add_shared(1);
        let counts: Vec<_> = counters.iter().map(|(word, counter)| (word, counter.get())).collect();
        assert_eq!(counts, [("apple", 0), ("pear", 3)]);
    }

    #[test]
    fn a_gauge_goes_up_and_down_and_not_below_nothing() {
        let gauge = Gauge::default();
        gauge.raise();
        gauge.raise();
        gauge.lower();
        assert_eq!(gauge.get(), 1);
        (0..2).for_each(|_| gauge.lower());
        assert_eq!(gauge.get(), 0);
    }
}
