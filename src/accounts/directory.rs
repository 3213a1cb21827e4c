//! Where every shard finds the snapshot that is in force.

use std::sync::Arc;

use arc_swap::ArcSwap;

use super::Snapshot;

/// The current snapshot: one writer (the accounts thread) swaps it, any thread reads it without waiting.
#[derive(Debug)]
pub struct Directory {
    current: ArcSwap<Snapshot>,
}

impl Directory {
    pub fn new(snapshot: Snapshot) -> Self {
        Self { current: ArcSwap::from_pointee(snapshot) }
    }

    /// The snapshot in force. It stays as it is while it is held: ask again for each decision.
    pub fn load(&self) -> Arc<Snapshot> {
        self.current.load_full()
    }

    /// The version of the snapshot in force; cheaper than [`Directory::load`] where that is all that matters.
    pub fn version(&self) -> u64 {
        self.current.load().version()
    }

    pub(super) fn publish(&self, snapshot: Arc<Snapshot>) {
        self.current.store(snapshot);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_published_snapshot_is_what_the_next_load_gives_and_a_held_one_stays() {
        let directory = Directory::new(Snapshot::empty());
        let held = directory.load();
        directory.publish(Arc::new(Snapshot::empty().with_changes(7, [])));
        assert_eq!((directory.version(), directory.load().version(), held.version()), (7, 7, 0));
    }
}
