//! Bugs that are put in on purpose, to see that the simulation finds them. Only in tests, and only on the thread that asks for one.

use std::cell::Cell;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sabotage {
    /// A range of the log that follows the last one is not merged with it but forgotten.
    SkipMerge,
    /// A slot is given up before its last completion.
    ReuseSlotEarly,
    /// Publishers are answered when their events are written, and not when they are synced.
    AcknowledgeBeforeSync,
    /// After a crash numbers go on behind the last event that is there.
    ForgetLease,
    /// An answer behind events that the log can't keep is dropped with them.
    DropHeldAnswer,
    /// Of a half-sent frame that the log can't keep the rest is dropped.
    DropHalfSentFrame,
    /// A session goes live one event early.
    DropLastBeforeLive,
    /// A start does not learn which ids were published before.
    ForgetIds,
}

thread_local! {
    static IN_FORCE: Cell<Option<Sabotage>> = const { Cell::new(None) };
}

pub fn set(sabotage: Option<Sabotage>) {
    IN_FORCE.set(sabotage);
}

/// Whether this bug is in.
pub fn is(sabotage: Sabotage) -> bool {
    IN_FORCE.get() == Some(sabotage)
}
