//! The last steps of this thread's world, to be told with a failure.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

/// How many of the last steps are remembered, where `STENTOR_STEPS` says nothing else.
const STEPS_TOLD: usize = 60;

thread_local! {
    static STEPS: RefCell<VecDeque<String>> = const { RefCell::new(VecDeque::new()) };
    static TELLS: Cell<bool> = const { Cell::new(false) };
}

/// Steps are put into words only where somebody will read them: a seed that failed is run again for that.
pub fn tell(whether: bool) {
    TELLS.set(whether);
}

/// A new world has no steps.
pub fn begin() {
    STEPS.with_borrow_mut(VecDeque::clear);
}

pub fn note(step: impl FnOnce() -> String) {
    if !TELLS.get() {
        return;
    }
    STEPS.with_borrow_mut(|steps| {
        let most = std::env::var("STENTOR_STEPS").ok().and_then(|most| most.parse().ok()).unwrap_or(STEPS_TOLD);
        if steps.len() >= most {
            steps.pop_front();
        }
        steps.push_back(step());
    });
}

pub fn last_steps() -> Vec<String> {
    STEPS.with_borrow(|steps| steps.iter().cloned().collect())
}
