//! What rides in an operation's `user_data`: 8 bits of operation, 24 of generation, 32 of slot.

use super::Operation;

/// A socket in the ring: its direct descriptor's index, and which of the successive sockets at that index is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SlotRef {
    pub slot: u32,
    /// 24 bits; see [`SlotRef::next_generation`].
    pub generation: u32,
}

const GENERATION_MASK: u32 = (1 << 24) - 1;

impl SlotRef {
    pub fn new(slot: u32, generation: u32) -> Self {
        debug_assert!(generation <= GENERATION_MASK);
        Self { slot, generation }
    }

    /// The generation that a slot's next socket gets. It wraps after 16 million sockets in one slot, which is
    /// harmless: a slot is reused only after its last completion was reaped.
    pub fn next_generation(generation: u32) -> u32 {
        (generation + 1) & GENERATION_MASK
    }
}

pub(super) fn pack(operation: Operation, at: SlotRef) -> u64 {
    ((operation as u64) << 56) | (u64::from(at.generation) << 32) | u64::from(at.slot)
}

pub(super) fn unpack(user_data: u64) -> (Operation, SlotRef) {
    let operation = match (user_data >> 56) as u8 {
        0 => Operation::Send,
        1 => Operation::Receive,
        2 => Operation::Writable,
        3 => Operation::ShutdownWrite,
        4 => Operation::Cancel,
        5 => Operation::Close,
        other => unreachable!("the ring returned an operation that nobody submitted: {other}"),
    };
    let at = SlotRef { slot: user_data as u32, generation: ((user_data >> 32) as u32) & GENERATION_MASK };
    (operation, at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_slot_and_generation_survives_the_round_trip() {
        use Operation::*;
        for operation in [Send, Receive, Writable, ShutdownWrite, Cancel, Close] {
            for (slot, generation) in [(0, 0), (1, 2), (u32::MAX, GENERATION_MASK), (19_999, 77)] {
                let at = SlotRef::new(slot, generation);
                assert_eq!(unpack(pack(operation, at)), (operation, at));
            }
        }
    }

    #[test]
    fn a_generation_wraps_inside_its_24_bits() {
        assert_eq!(SlotRef::next_generation(GENERATION_MASK), 0);
        assert_eq!(SlotRef::next_generation(0), 1);
    }
}
