//! What the bodies of all requests at one desk, the events parsed from them, and polls under way may take in memory.

use std::cell::Cell;
use std::rc::Rc;

/// A number of bytes, shared by the requests of one desk.
pub struct Budget {
    bytes_max: usize,
    held: Cell<usize>,
}

/// A request's part of the budget; given back when it is dropped.
pub struct Share {
    budget: Rc<Budget>,
    bytes: usize,
}

/// The others hold too much; retry later.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the server is overloaded: other requests take all the memory that there is for them, retry later")]
pub struct Exhausted;

impl Budget {
    pub fn new(bytes_max: usize) -> Rc<Self> {
        Rc::new(Self { bytes_max, held: Cell::default() })
    }

    /// A share of no bytes yet.
    pub fn share(self: &Rc<Self>) -> Share {
        Share { budget: self.clone(), bytes: 0 }
    }
}

impl Share {
    /// Makes it as large as `bytes`. Where it does not fit it stays as it was; one that has nobody beside it always fits, so
    /// that no request is too large for ever.
    pub fn resize(&mut self, bytes: usize) -> Result<(), Exhausted> {
        let others = self.budget.held.get() - self.bytes;
        if bytes > self.bytes && others > 0 && others + bytes > self.budget.bytes_max {
            return Err(Exhausted);
        }
        self.budget.held.set(others + bytes);
        self.bytes = bytes;
        Ok(())
    }

    /// Makes it at least as large as `bytes`.
    pub fn grow(&mut self, bytes: usize) -> Result<(), Exhausted> {
        self.resize(bytes.max(self.bytes))
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.held.set(self.budget.held.get() - self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_fit_the_budget_together_and_are_given_back() {
        let budget = Budget::new(100);
        let (mut first, mut second) = (budget.share(), budget.share());
        assert_eq!(first.grow(60), Ok(()));
        assert_eq!(second.grow(41), Err(Exhausted));
        assert_eq!(second.grow(40), Ok(()));
        assert_eq!(first.grow(61), Err(Exhausted));
        assert_eq!(first.grow(1), Ok(()), "it is as large already");
        assert_eq!(second.resize(10), Ok(()));
        assert_eq!(first.grow(90), Ok(()));
        drop(first);
        assert_eq!(second.resize(0), Ok(()));
        drop(second);
        assert_eq!(budget.held.get(), 0);
    }

    #[test]
    fn one_alone_may_be_larger_than_the_budget_but_lets_nobody_in_beside_it() {
        let budget = Budget::new(100);
        let (mut large, mut other) = (budget.share(), budget.share());
        assert_eq!(large.grow(150), Ok(()));
        assert_eq!(other.grow(1), Err(Exhausted));
        assert_eq!(large.resize(99), Ok(()));
        assert_eq!(other.grow(1), Ok(()));
    }
}
